//! Notifications on their way to one client: from the outbox that the bus fills to bytes.
//!
//! QoS 1 messages get a packet id and stay counted until the client acknowledges them; when too many are open, the rest
//! waits here and in the outbox, in order, whose bounds then decide.

use std::{collections::VecDeque, sync::Arc};

use thng_pubsub_protocol::mqtt::{PacketId, Publish, QoS};

use crate::gateway::{Delivery, Outbox, OutboxState};

/// The session is to end: a QoS 1 message did not fit into its outbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflowed;

/// What a slot of the session stands for right now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addressed<'a> {
    /// The exact string that the client subscribed with: its topic name towards this client.
    pub(super) filter: &'a str,
    pub(super) qos: QoS,
}

/// The way out of one session.
#[derive(Debug)]
pub(super) struct Deliveries {
    outbox: Arc<Outbox>,
    /// Taken from the outbox and not encoded yet, from `next` on.
    batch: Vec<Delivery>,
    next: usize,
    /// Initial states; they go out before the batch, or a change of them would be told too late.
    states: VecDeque<Delivery>,
    /// Ids that the client has not acknowledged, oldest first.
    unacknowledged: VecDeque<PacketId>,
    unacknowledged_max: usize,
    next_id: PacketId,
}

impl Deliveries {
    pub(super) fn new(outbox: Arc<Outbox>, unacknowledged_max: usize) -> Self {
        Self {
            outbox,
            batch: Vec::new(),
            next: 0,
            states: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            unacknowledged_max,
            next_id: PacketId::MIN,
        }
    }

    pub(super) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Whether an initial state waits to be encoded.
    pub(super) fn holds_state(&self) -> bool {
        !self.states.is_empty()
    }

    /// Puts an initial state on its way.
    pub(super) fn state(&mut self, delivery: Delivery) {
        self.states.push_back(delivery);
    }

    /// The client has acknowledged. An id that was not open is passed over: a client may repeat itself.
    pub(super) fn acknowledged(&mut self, id: PacketId) {
        if self.unacknowledged.front() == Some(&id) {
            self.unacknowledged.pop_front();
        } else if let Some(place) = self.unacknowledged.iter().position(|open| *open == id) {
            self.unacknowledged.remove(place);
        }
        if self.unacknowledged.is_empty() {
            self.unacknowledged.shrink_to(8);
        }
    }

    /// Encodes what waits into `out` until that holds `bytes_max`, or until the client owes too many
    /// acknowledgements. Returns how many messages were encoded.
    ///
    /// `address` says what a slot stands for; a delivery for a slot that is gone is dropped.
    ///
    /// # Errors
    /// [`Overflowed`].
    pub(super) fn encode<'s>(
        &mut self,
        out: &mut Vec<u8>,
        bytes_max: usize,
        address: impl Fn(u32) -> Option<Addressed<'s>>,
    ) -> Result<u64, Overflowed> {
        // Also while the client takes nothing: a session that lost something is not kept.
        if self.outbox.state() == OutboxState::Overflowed {
            return Err(Overflowed);
        }
        let mut encoded = 0;
        while out.len() < bytes_max {
            let Some(delivery) = self.peek()? else { break };
            if let Some(to) = address(delivery.slot) {
                let owes = to.qos != QoS::AtMostOnce;
                if owes && self.unacknowledged.len() >= self.unacknowledged_max {
                    break;
                }
                let packet_id = owes.then(|| self.open_id());
                let delivery = self.take().expect("it was there a moment ago");
                let publish = Publish {
                    dup: false,
                    qos: to.qos,
                    retain: false,
                    packet_id,
                    topic: to.filter,
                    payload: &delivery.body,
                };
                match publish.encode(out) {
                    Ok(()) => encoded += 1,
                    Err(error) => {
                        tracing::error!(%error, "a notification cannot be put into MQTT and was dropped")
                    }
                }
            } else {
                self.take();
            }
        }
        Ok(encoded)
    }

    /// The delivery whose turn it is; refills from the outbox.
    fn peek(&mut self) -> Result<Option<&Delivery>, Overflowed> {
        if self.states.is_empty() && self.next == self.batch.len() {
            self.batch.clear();
            self.next = 0;
            if self.outbox.take(&mut self.batch) == OutboxState::Overflowed {
                return Err(Overflowed);
            }
        }
        Ok(self.states.front().or_else(|| self.batch.get(self.next)))
    }

    fn take(&mut self) -> Option<Delivery> {
        if let Some(state) = self.states.pop_front() {
            return Some(state);
        }
        let delivery = self.batch.get_mut(self.next)?;
        self.next += 1;
        // Leaves an empty body behind, which costs nothing; a clone would count references.
        Some(Delivery { slot: delivery.slot, seq: delivery.seq, body: std::mem::take(&mut delivery.body) })
    }

    /// An id that is not open [MQTT-2.3.1-2].
    fn open_id(&mut self) -> PacketId {
        // Ids are given out in a circle, and far fewer may be open than there are: the search ends.
        while self.unacknowledged.contains(&self.next_id) {
            self.next_id = self.next_id.successor();
        }
        let id = self.next_id;
        self.next_id = id.successor();
        self.unacknowledged.push_back(id);
        id
    }
}
