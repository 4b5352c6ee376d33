//! Publishes of one client that wait for their commit.
//!
//! The broker answers on the writer's thread, and the answers are put here. The session acknowledges in the order of the
//! publishes [MQTT-4.6.0-2], never before they are on disk.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use thng_pubsub_protocol::mqtt::PacketId;
use tokio::sync::Notify;

use crate::logged_error::LoggedError;
use thng_pubsub_broker::pubsub::Wake;

/// The acknowledgement of a publish once it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PendingAck {
    /// QoS 0: nothing.
    Nothing,
    /// QoS 1.
    PubAck(PacketId),
    /// QoS 2.
    PubRec(PacketId),
    /// The release of a QoS 2 publish of a durable session.
    PubComp(PacketId),
}

/// What became of a publish.
pub(super) type Completion = Result<(), Box<LoggedError>>;

/// The answers that the writer has put down and the session has not picked up.
///
/// The writer answers one caller in the order of its publishes, so an answer needs no name.
#[derive(Debug)]
pub(super) struct Completions {
    waiting: Mutex<VecDeque<Completion>>,
    wake: Arc<Notify>,
}

impl Completions {
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), wake })
    }

    /// Called on the writer's thread. Returns the session's task, unless it is woken for an earlier answer.
    pub(super) fn put(&self, answer: Completion) -> Wake {
        let mut waiting = self.waiting.lock();
        waiting.push_back(answer);
        (waiting.len() == 1).then(|| Arc::clone(&self.wake))
    }
}

#[derive(Debug)]
struct InFlight {
    ack: PendingAck,
    /// `None` while the writer has it.
    answer: Option<Completion>,
}

/// The publishes in flight, oldest first.
#[derive(Debug)]
pub(super) struct InflightPublishes {
    in_flight: VecDeque<InFlight>,
    completions: Arc<Completions>,
}

impl InflightPublishes {
    pub(super) fn new(completions: Arc<Completions>) -> Self {
        Self { in_flight: VecDeque::new(), completions }
    }

    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether a QoS 2 publish with this id is on its way.
    pub(super) fn awaits_pubrec(&self, id: PacketId) -> bool {
        self.in_flight.iter().any(|waiting| waiting.ack == PendingAck::PubRec(id))
    }

    /// A publish was handed to the writer.
    pub(super) fn submitted(&mut self, ack: PendingAck) {
        self.in_flight.push_back(InFlight { ack, answer: None });
    }

    /// A publish that will never reach the writer but must keep its position in the order of acknowledgements.
    pub(super) fn answered(&mut self, ack: PendingAck, answer: Completion) {
        self.in_flight.push_back(InFlight { ack, answer: Some(answer) });
    }

    /// Whether the oldest publish was answered without the writer.
    pub(super) fn is_next_refused(&self) -> bool {
        self.in_flight.front().is_some_and(|oldest| oldest.answer.is_some())
    }

    /// The next publish whose answer is there, if it is the oldest one's turn.
    pub(super) fn next_answered(&mut self) -> Option<(PendingAck, Completion)> {
        let oldest = self.in_flight.front_mut()?;
        let answer = match oldest.answer.take() {
            Some(answer) => answer,
            // What was answered without the writer took no position in its order, so the oldest open one is meant.
            None => self.completions.waiting.lock().pop_front()?,
        };
        let ack = oldest.ack;
        self.in_flight.pop_front();
        if self.in_flight.is_empty() {
            // Quiet connections are small ones.
            self.in_flight = VecDeque::new();
            *self.completions.waiting.lock() = VecDeque::new();
        }
        Some((ack, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thng_pubsub_broker::BrokerError;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).expect("not zero")
    }

    #[test]
    fn acknowledgements_keep_the_order_of_the_publishes() {
        let completions = Completions::new(Arc::default());
        let mut publishes = InflightPublishes::new(Arc::clone(&completions));
        publishes.submitted(PendingAck::PubAck(id(1)));
        let refused: Completion = Err(Box::new(LoggedError::new(BrokerError::NotFound, None)));
        publishes.answered(PendingAck::PubAck(id(2)), refused.clone());
        publishes.submitted(PendingAck::PubRec(id(3)));
        assert!(publishes.next_answered().is_none());
        assert!(completions.put(Ok(())).is_some());
        assert_eq!(publishes.next_answered(), Some((PendingAck::PubAck(id(1)), Ok(()))));
        assert_eq!(publishes.next_answered(), Some((PendingAck::PubAck(id(2)), refused)));
        assert!(publishes.next_answered().is_none());
        assert!(publishes.awaits_pubrec(id(3)));
        assert!(completions.put(Ok(())).is_some());
        assert_eq!(publishes.next_answered(), Some((PendingAck::PubRec(id(3)), Ok(()))));
        assert!(publishes.is_empty());
    }

    #[test]
    fn a_session_is_woken_once_for_answers_that_wait() {
        let completions = Completions::new(Arc::default());
        let mut publishes = InflightPublishes::new(Arc::clone(&completions));
        let mut woken = |answers: u16| {
            (1..=answers).for_each(|number| publishes.submitted(PendingAck::PubAck(id(number))));
            let woken = (0..answers).filter(|_| completions.put(Ok(())).is_some()).count();
            while publishes.next_answered().is_some() {}
            woken
        };
        assert_eq!([woken(1), woken(3), woken(2)], [1, 1, 1]);
    }
}
