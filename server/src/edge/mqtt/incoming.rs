//! Publishes of one client that wait for their commit.
//!
//! The gateway answers on the writer's thread; the answers are put here, and the session acknowledges in the order in
//! which the publishes came [MQTT-4.6.0-2], never before they are on disk.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use thng_pubsub_protocol::mqtt::PacketId;
use tokio::sync::Notify;

use crate::edge::rejected::Rejected;

/// What a publish is owed when it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
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
pub(super) type Answer = Result<(), Box<Rejected>>;

/// The answers that the writer has put down and the session has not picked up.
///
/// The writer answers one caller in the order of its publishes, so an answer needs no name.
#[derive(Debug)]
pub(super) struct Answers {
    waiting: Mutex<VecDeque<Answer>>,
    wake: Arc<Notify>,
}

impl Answers {
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), wake })
    }

    /// Called on the writer's thread.
    pub(super) fn put(&self, answer: Answer) {
        self.waiting.lock().push_back(answer);
        self.wake.notify_one();
    }
}

#[derive(Debug)]
struct InFlight {
    owed: Owed,
    /// `None` while the writer has it.
    answer: Option<Answer>,
}

/// The publishes in flight, oldest first.
#[derive(Debug)]
pub(super) struct Incoming {
    in_flight: VecDeque<InFlight>,
    answers: Arc<Answers>,
}

impl Incoming {
    pub(super) fn new(answers: Arc<Answers>) -> Self {
        Self { in_flight: VecDeque::new(), answers }
    }

    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether a QoS 2 publish with this id is on its way.
    pub(super) fn awaits_pubrec(&self, id: PacketId) -> bool {
        self.in_flight.iter().any(|waiting| waiting.owed == Owed::PubRec(id))
    }

    /// A publish was handed to the writer.
    pub(super) fn submitted(&mut self, owed: Owed) {
        self.in_flight.push_back(InFlight { owed, answer: None });
    }

    /// A publish that will never reach the writer but must keep its place in the order of acknowledgements.
    pub(super) fn answered(&mut self, owed: Owed, answer: Answer) {
        self.in_flight.push_back(InFlight { owed, answer: Some(answer) });
    }

    /// The next publish whose answer is there, if it is the oldest one's turn.
    pub(super) fn next_answered(&mut self) -> Option<(Owed, Answer)> {
        let oldest = self.in_flight.front_mut()?;
        let answer = match oldest.answer.take() {
            Some(answer) => answer,
            // What was answered without the writer took no place in its order, so the oldest open one is meant.
            None => self.answers.waiting.lock().pop_front()?,
        };
        let owed = oldest.owed;
        self.in_flight.pop_front();
        if self.in_flight.is_empty() {
            // Quiet connections are small ones.
            self.in_flight = VecDeque::new();
            *self.answers.waiting.lock() = VecDeque::new();
        }
        Some((owed, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Refusal;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).expect("not zero")
    }

    #[test]
    fn acknowledgements_keep_the_order_of_the_publishes_whoever_answers() {
        let answers = Answers::new(Arc::default());
        let mut incoming = Incoming::new(Arc::clone(&answers));
        incoming.submitted(Owed::PubAck(id(1)));
        let refused: Answer = Err(Box::new(Rejected::new(Refusal::NotFound, None)));
        incoming.answered(Owed::PubAck(id(2)), refused.clone());
        incoming.submitted(Owed::PubRec(id(3)));
        assert!(incoming.next_answered().is_none());
        answers.put(Ok(()));
        assert_eq!(incoming.next_answered(), Some((Owed::PubAck(id(1)), Ok(()))));
        assert_eq!(incoming.next_answered(), Some((Owed::PubAck(id(2)), refused)));
        assert!(incoming.next_answered().is_none());
        assert!(incoming.awaits_pubrec(id(3)));
        answers.put(Ok(()));
        assert_eq!(incoming.next_answered(), Some((Owed::PubRec(id(3)), Ok(()))));
        assert!(incoming.is_empty());
    }
}
