//! The SUBSCRIBE and UNSUBSCRIBE packets that the server has not answered, and the calls that wait for the answers.
//!
//! A call outlives the packet it was sent with: when the connection is lost, its claim goes back to those that wait,
//! and is sent with the next connection's resubscription.

use thng_pubsub_protocol::mqtt::{PacketId, QoS, SubAck, SubAckCode};

use super::{CallId, HandlerId};

/// A `subscribe` call that waits for its SUBACK.
#[derive(Debug, Clone)]
pub(super) struct PendingCall {
    pub(super) topic: String,
    pub(super) call_id: CallId,
    pub(super) handler: HandlerId,
    /// How many connections were lost, not for want of a network, while the answer was due.
    pub(super) losses: u8,
}

/// One topic filter of a SUBSCRIBE, with the calls that its return code answers.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) topic: String,
    pub(super) qos: QoS,
    pub(super) pending_calls: Vec<PendingCall>,
    /// Whether it restores the subscription of callbacks whose calls were answered on an earlier connection.
    pub(super) is_restored: bool,
}

/// What became of one topic filter.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) item: Item,
    pub(super) is_granted: bool,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    /// In the order in which they were sent; the server answers in that order as a rule.
    subscribes: Vec<(PacketId, Vec<Item>)>,
    unsubscribes: Vec<(PacketId, CallId)>,
    waiting: Vec<PendingCall>,
}

impl Requests {
    pub(super) fn is_unanswered(&self) -> bool {
        !self.subscribes.is_empty() || !self.unsubscribes.is_empty()
    }

    /// Whether no call waits.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_unanswered() && self.waiting.is_empty()
    }

    pub(super) fn subscribe_sent(&mut self, id: PacketId, items: Vec<Item>) {
        self.subscribes.push((id, items));
    }

    pub(super) fn unsubscribe_sent(&mut self, id: PacketId, call_id: CallId) {
        self.unsubscribes.push((id, call_id));
    }

    /// Keeps a call for the next connection.
    pub(super) fn wait(&mut self, pending_call: PendingCall) {
        self.waiting.push(pending_call);
    }

    /// The calls among those that wait for a connection of which this is true.
    pub(super) fn take_waiting(&mut self, is_meant: &dyn Fn(&PendingCall) -> bool) -> Vec<PendingCall> {
        self.waiting.extract_if(.., |pending_call| is_meant(pending_call)).collect()
    }

    /// What a SUBACK answers; `None` when there is no such SUBSCRIBE, or it has another number of topic filters.
    pub(super) fn subscribe_answered(&mut self, suback: &SubAck<'_>) -> Option<Vec<Answer>> {
        let fits = |(id, items): &(PacketId, Vec<Item>)| {
            *id == suback.packet_id && items.len() == suback.codes.len()
        };
        let at = self.subscribes.iter().position(fits)?;
        let (_, items) = self.subscribes.remove(at);
        let mut answers = Vec::new();
        for (item, result) in items.into_iter().zip(suback.results()) {
            answers.push(Answer { item, is_granted: matches!(result, SubAckCode::Granted(_)) });
        }
        Some(answers)
    }

    /// The call that an UNSUBACK answers; `None` when no such UNSUBSCRIBE was sent.
    pub(super) fn unsubscribe_answered(&mut self, id: PacketId) -> Option<CallId> {
        let at = self.unsubscribes.iter().position(|(sent, _)| *sent == id)?;
        Some(self.unsubscribes.remove(at).1)
    }

    /// Returns everything that a lost connection leaves unanswered.
    ///
    /// These are the free identifiers, the `unsubscribe` calls that it fulfilled, and the `subscribe` calls, each with one
    /// more loss if they are suspected of it.
    pub(super) fn connection_lost(
        &mut self,
        is_suspect: bool,
    ) -> (Vec<PacketId>, Vec<CallId>, Vec<PendingCall>) {
        let (mut ids, mut unsubscribed, mut pending_calls) = (Vec::new(), Vec::new(), Vec::new());
        for (id, call_id) in std::mem::take(&mut self.unsubscribes) {
            ids.push(id);
            unsubscribed.push(call_id);
        }
        for (id, items) in std::mem::take(&mut self.subscribes) {
            ids.push(id);
            for mut item in items {
                pending_calls.append(&mut item.pending_calls);
            }
        }
        for pending_call in &mut pending_calls {
            pending_call.losses = pending_call.losses.saturating_add(u8::from(is_suspect));
        }
        (ids, unsubscribed, pending_calls)
    }

    /// Every call that waits, whether for a connection or for an answer; nothing is left behind.
    pub(super) fn take_calls(&mut self) -> Vec<(CallId, Option<String>)> {
        let (_, unsubscribed, mut pending_calls) = self.connection_lost(false);
        pending_calls.append(&mut self.waiting);
        let mut call_ids = Vec::new();
        for call_id in unsubscribed {
            call_ids.push((call_id, None));
        }
        for pending_call in pending_calls {
            call_ids.push((pending_call.call_id, Some(pending_call.topic)));
        }
        call_ids
    }
}
