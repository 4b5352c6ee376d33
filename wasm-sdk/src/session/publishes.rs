//! The publishes that are not done: those that wait for a connection, and those of QoS 1 that wait for a PUBACK.
//!
//! Order is kept: nothing overtakes what was published before it, on the first attempt and on every other
//! `[MQTT-4.6.0-1]`. A publish keeps its packet identifier until it is acknowledged `[MQTT-2.3.1-4]`.

use std::collections::VecDeque;

use thng_pubsub_protocol::mqtt::{PacketId, QoS};

use super::CallId;

/// A message to be published.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: QoS,
    pub(super) call_id: CallId,
}

/// A message of QoS 1 that has its identifier.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: PacketId,
    pub(super) message: Outgoing,
    /// How many connections were lost, not for want of a network, while this was the oldest publish without an
    /// acknowledgement.
    losses: u8,
    /// The server has refused it and said why: its call is settled, and it is not sent again. It waits for its
    /// acknowledgement, which frees the identifier.
    is_rejected: bool,
}

/// After how many lost connections a publish is sent alone, so that it is seen whether it is the one at fault.
const LOSSES_BEFORE_ALONE: u8 = 2;

/// How many publishes may wait for their PUBACK. It leaves packet identifiers for SUBSCRIBE and UNSUBSCRIBE.
const IN_FLIGHT_MAX: usize = 60_000;

#[derive(Debug, Default)]
pub(super) struct Publishes {
    in_flight: VecDeque<InFlight>,
    /// How many at the end of `in_flight` are still to be sent on this connection.
    unsent: usize,
    queue: VecDeque<Outgoing>,
}

impl Publishes {
    pub(super) fn is_unanswered(&self) -> bool {
        self.in_flight.len() > self.unsent
    }

    /// Whether no call waits.
    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.queue.is_empty()
    }

    /// How many wait for a connection, and have never been sent.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn queue(&mut self, message: Outgoing) {
        self.queue.push_back(message);
    }

    /// The next publish that is to be sent again.
    pub(super) fn next_redelivery(&mut self) -> Option<&InFlight> {
        if self.unsent == 0 || self.is_held() {
            return None;
        }
        let at = self.in_flight.len() - self.unsent;
        self.unsent -= 1;
        self.in_flight.get(at)
    }

    /// The QoS of the message whose turn it is to leave the queue, if there is one and nothing holds it back. What is
    /// to be sent again goes first.
    pub(super) fn next_queued_qos(&self) -> Option<QoS> {
        let next = self.queue.front()?;
        let has_space = next.qos == QoS::AtMostOnce || self.in_flight.len() < IN_FLIGHT_MAX;
        (!self.is_held() && has_space).then_some(next.qos)
    }

    /// Takes the first message out of the queue.
    pub(super) fn take_oldest(&mut self) -> Option<Outgoing> {
        self.queue.pop_front()
    }

    /// Takes the last message out of the queue.
    pub(super) fn take_newest(&mut self) -> Option<Outgoing> {
        self.queue.pop_back()
    }

    /// Takes the message of a call out of the queue, if it is there.
    pub(super) fn take_queued(&mut self, call_id: CallId) -> Option<Outgoing> {
        let at = self.queue.iter().position(|it| it.call_id == call_id)?;
        self.queue.remove(at)
    }

    /// Keeps a message that is being sent for the first time, until it is acknowledged.
    pub(super) fn sent(&mut self, id: PacketId, message: Outgoing) {
        debug_assert_eq!(self.unsent, 0, "a new publish overtook a redelivery");
        self.in_flight.push_back(InFlight { id, message, losses: 0, is_rejected: false });
    }

    /// The publish that a PUBACK answers, and its call unless that is settled; `None` when no such PUBLISH waits for one.
    pub(super) fn acknowledged(&mut self, id: PacketId) -> Option<Option<CallId>> {
        let at = self.sent_at(id)?;
        self.in_flight.remove(at).map(|it| (!it.is_rejected).then_some(it.message.call_id))
    }

    /// The call and the topic of a publish that the server has refused; `None` when no such PUBLISH waits, or it was
    /// refused before.
    pub(super) fn rejected(&mut self, id: PacketId) -> Option<(CallId, &str)> {
        let at = self.sent_at(id)?;
        let publish = self.in_flight.get_mut(at).filter(|it| !it.is_rejected)?;
        publish.is_rejected = true;
        // It is not sent again, so it need not be kept.
        publish.message.payload = Vec::new();
        Some((publish.message.call_id, &publish.message.topic))
    }

    /// Takes out what was refused and will not be acknowledged any more. Returns the identifiers that are free again.
    pub(super) fn take_rejected(&mut self) -> Vec<PacketId> {
        let mut ids = Vec::new();
        self.in_flight.retain(|it| {
            if it.is_rejected {
                ids.push(it.id);
            }
            !it.is_rejected
        });
        ids
    }

    fn sent_at(&self, id: PacketId) -> Option<usize> {
        let sent = self.in_flight.len() - self.unsent;
        self.in_flight.iter().take(sent).position(|it| it.id == id)
    }

    /// Everything in flight is to be sent again on the next connection. Removes and returns the oldest, when
    /// `losses_max` connections were lost while it waited, of which it is suspected if `is_suspect`.
    pub(super) fn connection_lost(&mut self, losses_max: u8, is_suspect: bool) -> Option<InFlight> {
        let is_suspect = is_suspect && self.is_unanswered();
        let oldest = self.in_flight.front_mut().filter(|_| is_suspect);
        let is_given_up = oldest.is_some_and(|it| {
            it.losses += 1;
            it.losses >= losses_max
        });
        let given_up = if is_given_up { self.in_flight.pop_front() } else { None };
        self.unsent = self.in_flight.len();
        given_up
    }

    /// Every call that waits; nothing is left behind.
    pub(super) fn take_calls(&mut self) -> Vec<(CallId, Option<String>)> {
        self.unsent = 0;
        let mut call_ids = Vec::new();
        for publish in std::mem::take(&mut self.in_flight).into_iter().filter(|it| !it.is_rejected) {
            call_ids.push((publish.message.call_id, Some(publish.message.topic)));
        }
        for message in std::mem::take(&mut self.queue) {
            call_ids.push((message.call_id, Some(message.topic)));
        }
        call_ids
    }

    /// Whether the oldest has been sent alone, and everything else waits for what becomes of it.
    fn is_held(&self) -> bool {
        let oldest = self.in_flight.front();
        self.is_unanswered() && oldest.is_some_and(|it| it.losses >= LOSSES_BEFORE_ALONE)
    }
}
