//! Notifications on their way to one client: from the outbound queue that the bus fills to bytes.
//!
//! QoS 1 messages get a packet id and count until the client acknowledges them. When too many are in flight, the rest
//! waits here and in the outbound queue, in order, within the bounds of that queue.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use thng_pubsub_protocol::mqtt::{PacketId, Publish, QoS};

use thng_pubsub_broker::pubsub::{Delivery, OutboundQueue, OutboundQueueState, Sequence};

/// After so many ids the first comes again.
const LAP: u32 = u16::MAX as u32;

/// The session is to end: a QoS 1 message did not fit into its outbound queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QueueOverflow;

/// The present meaning of a slot of the session.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeliveryTarget<'a> {
    /// The exact string that the client subscribed with: its topic name towards this client.
    pub(super) filter: &'a str,
    pub(super) qos: QoS,
    /// Whether its initial states have RETAIN set.
    pub(super) marks_state: bool,
    /// Up to here messages come from the store, and those of the bus are passed over.
    pub(super) stored_up_to: Sequence,
    /// Those of the bus have to wait for those from the store.
    pub(super) is_behind: bool,
}

/// A message that the client has not acknowledged.
#[derive(Debug, Clone, Copy)]
struct Unacked {
    /// How many ids had been given out before, to the next lap for one of an earlier connection.
    given: u32,
    id: PacketId,
    slot: u32,
    seq: Sequence,
}

/// A message that was read from the store, and the packet id that it was sent under before.
#[derive(Debug)]
struct StoredDelivery {
    delivery: Delivery,
    again: Option<PacketId>,
}

/// Where the message whose turn it is comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageSource {
    State,
    Store,
    Bus,
}

/// The way out of one session.
#[derive(Debug)]
pub(super) struct OutboundMessages {
    outbound_queue: Arc<OutboundQueue>,
    /// Taken from the outbound queue and not encoded yet, from `next` on.
    batch: Vec<Delivery>,
    next: usize,
    /// Initial states; they go out before the batch, or a change of them would be sent too late.
    states: VecDeque<Delivery>,
    /// Read from the store for a durable session; they are older than the batch.
    stored: VecDeque<StoredDelivery>,
    /// Messages that the client has not acknowledged, oldest first.
    unacknowledged: VecDeque<Unacked>,
    unacknowledged_max: usize,
    next_id: PacketId,
    /// How many ids were given out.
    given: u32,
    /// Of a durable session, by slot: the sequence up to which messages were sent at QoS 1.
    sent: HashMap<u32, Sequence>,
}

impl OutboundMessages {
    pub(super) fn new(outbound_queue: Arc<OutboundQueue>, unacknowledged_max: usize) -> Self {
        Self {
            outbound_queue,
            batch: Vec::new(),
            next: 0,
            states: VecDeque::new(),
            stored: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            unacknowledged_max,
            next_id: PacketId::MIN,
            given: 0,
            sent: HashMap::new(),
        }
    }

    pub(super) fn outbound_queue(&self) -> &Arc<OutboundQueue> {
        &self.outbound_queue
    }

    /// Whether an initial state waits to be encoded.
    pub(super) fn holds_state(&self) -> bool {
        !self.states.is_empty()
    }

    /// Puts an initial state on its way.
    pub(super) fn state(&mut self, delivery: Delivery) {
        self.states.push_back(delivery);
    }

    /// Whether a message that was read from the store waits to be encoded.
    pub(super) fn has_stored(&self) -> bool {
        !self.stored.is_empty()
    }

    /// Sends a message from the store, again under the packet id that [`restore_unacked`](Self::restore_unacked) got.
    pub(super) fn stored(&mut self, delivery: Delivery, again: Option<PacketId>) {
        self.stored.push_back(StoredDelivery { delivery, again });
    }

    /// Whether nothing waits to be encoded.
    pub(super) fn is_drained(&self) -> bool {
        self.states.is_empty()
            && self.stored.is_empty()
            && self.next == self.batch.len()
            && self.outbound_queue.is_empty()
    }

    /// A message of an earlier connection is still unacknowledged.
    pub(super) fn restore_unacked(&mut self, id: PacketId, slot: u32, seq: Sequence) {
        let given = self.given.wrapping_sub(LAP);
        self.unacknowledged.push_back(Unacked { given, id, slot, seq });
        self.next_id = id.successor();
    }

    /// Whether this packet id is still unacknowledged.
    pub(super) fn is_unacked(&self, id: PacketId) -> bool {
        self.unacknowledged.iter().any(|unacked| unacked.id == id)
    }

    /// The messages that the client has not acknowledged, oldest first: packet id, slot and sequence.
    pub(super) fn unacked(&self) -> impl Iterator<Item = (PacketId, u32, Sequence)> {
        self.unacknowledged.iter().map(|unacked| (unacked.id, unacked.slot, unacked.seq))
    }

    /// For a durable session: up to here the messages of a slot have been sent.
    pub(super) fn passed(&mut self, slot: u32, seq: Sequence) {
        let sent = self.sent.entry(slot).or_default();
        *sent = seq.max(*sent);
    }

    /// Up to where the messages of a slot have been sent.
    pub(super) fn sent(&self, slot: u32) -> Sequence {
        self.sent.get(&slot).copied().unwrap_or_default()
    }

    /// For a durable session: the slot is gone.
    pub(super) fn forget(&mut self, slot: u32) {
        self.sent.remove(&slot);
    }

    /// The client has acknowledged. An id that was not open is passed over: a client may repeat itself.
    pub(super) fn acknowledged(&mut self, id: PacketId) {
        if self.unacknowledged.front().is_some_and(|unacked| unacked.id == id) {
            self.unacknowledged.pop_front();
        } else if let Some(place) = self.unacknowledged.iter().position(|unacked| unacked.id == id) {
            self.unacknowledged.remove(place);
        }
        if self.unacknowledged.is_empty() {
            self.unacknowledged.shrink_to(8);
        }
    }

    /// Encodes what waits into `out` until that holds `bytes_max`, or until too many messages are
    /// unacknowledged. Returns how many messages were encoded.
    ///
    /// `address` gives the meaning of a slot; a delivery for a slot that is gone is dropped.
    ///
    /// # Errors
    /// [`QueueOverflow`].
    pub(super) fn encode<'s>(
        &mut self,
        out: &mut Vec<u8>,
        bytes_max: usize,
        address: impl Fn(u32) -> Option<DeliveryTarget<'s>>,
    ) -> Result<u64, QueueOverflow> {
        // Also while the client takes nothing: a session that lost something is not kept.
        if self.outbound_queue.state() == OutboundQueueState::Overflowed {
            return Err(QueueOverflow);
        }
        let mut encoded = 0;
        while out.len() < bytes_max {
            let Some((source, delivery)) = self.peek()? else { break };
            let (slot, seq) = (delivery.slot, delivery.seq);
            let Some(to) = address(slot) else {
                self.take(source);
                continue;
            };
            if source == MessageSource::Bus {
                if seq <= to.stored_up_to {
                    self.take(source);
                    continue;
                }
                if to.is_behind {
                    break;
                }
            }
            let owes = to.qos != QoS::AtMostOnce;
            let again = self
                .stored
                .front()
                .filter(|_| source == MessageSource::Store)
                .and_then(|stored| stored.again);
            let packet_id = match again {
                Some(id) if self.is_unacked(id) => Some(id),
                Some(_) => {
                    self.take(source);
                    continue;
                }
                None if owes && self.unacknowledged.len() >= self.unacknowledged_max => break,
                None => owes.then(|| self.id_of_unacked(slot, seq)),
            };
            let delivery = self.take(source).expect("it was there a moment ago");
            let publish = Publish {
                dup: again.is_some(),
                qos: to.qos,
                retain: source == MessageSource::State && to.marks_state,
                packet_id,
                topic: to.filter,
                payload: &delivery.body,
            };
            match publish.encode(out) {
                Ok(()) => encoded += 1,
                Err(error) => {
                    tracing::error!(%error, "a notification cannot be put into MQTT and was dropped");
                    packet_id.into_iter().for_each(|id| self.acknowledged(id));
                }
            }
            if owes
                && again.is_none()
                && let Some(sent) = self.sent.get_mut(&slot)
            {
                *sent = seq.max(*sent);
            }
        }
        Ok(encoded)
    }

    /// The delivery whose turn it is; refills from the outbound queue.
    fn peek(&mut self) -> Result<Option<(MessageSource, &Delivery)>, QueueOverflow> {
        if self.states.is_empty() && self.stored.is_empty() && self.next == self.batch.len() {
            self.batch.clear();
            self.next = 0;
            if self.outbound_queue.take(&mut self.batch) == OutboundQueueState::Overflowed {
                return Err(QueueOverflow);
            }
        }
        if let Some(state) = self.states.front() {
            return Ok(Some((MessageSource::State, state)));
        }
        if let Some(stored) = self.stored.front() {
            return Ok(Some((MessageSource::Store, &stored.delivery)));
        }
        Ok(self.batch.get(self.next).map(|delivery| (MessageSource::Bus, delivery)))
    }

    fn take(&mut self, source: MessageSource) -> Option<Delivery> {
        match source {
            MessageSource::State => self.states.pop_front(),
            MessageSource::Store => {
                let stored = self.stored.pop_front().map(|stored| stored.delivery);
                if self.stored.is_empty() {
                    self.stored = VecDeque::new();
                }
                stored
            }
            MessageSource::Bus => {
                let delivery = self.batch.get_mut(self.next)?;
                self.next += 1;
                // Leaves an empty body behind, which costs nothing; a clone would count references.
                let body = std::mem::take(&mut delivery.body);
                Some(Delivery { slot: delivery.slot, seq: delivery.seq, body })
            }
        }
    }

    /// An id that is not open [MQTT-2.3.1-2].
    fn id_of_unacked(&mut self, slot: u32, seq: Sequence) -> PacketId {
        // Ids are given out in a circle, so none is in the way unless the oldest was given a whole lap ago. Far fewer may be
        // open than there are: the search ends.
        if self.unacknowledged.front().is_some_and(|oldest| self.given.wrapping_sub(oldest.given) >= LAP) {
            while self.is_unacked(self.next_id) {
                self.next_id = self.next_id.successor();
            }
        }
        let id = self.next_id;
        self.next_id = id.successor();
        self.unacknowledged.push_back(Unacked { given: self.given, id, slot, seq });
        self.given = self.given.wrapping_add(1);
        id
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;
    use thng_pubsub_broker::pubsub::OutboundQueueLimits;

    #[test]
    fn no_packet_id_is_reused_while_it_is_unacknowledged() {
        let outbound_queue =
            OutboundQueue::new(OutboundQueueLimits { messages: 1, bytes: 1 }, Arc::new(Notify::new()));
        let mut outbound = OutboundMessages::new(outbound_queue, 256);
        let id = |number| PacketId::new(number).expect("not zero");
        // Of an earlier connection, and then two that are never acknowledged.
        outbound.restore_unacked(id(40_000), 0, 1);
        outbound.restore_unacked(id(3), 0, 2);
        let mut withheld = vec![id(40_000), id(3)];
        for number in 0..200_000_u64 {
            let given = outbound.id_of_unacked(0, number);
            assert!(!withheld.contains(&given), "{given:?} is given out again after {number} others");
            if matches!(number, 5 | 10) {
                withheld.push(given);
            } else {
                outbound.acknowledged(given);
            }
        }
        assert_eq!(outbound.unacked().count(), withheld.len());
    }
}
