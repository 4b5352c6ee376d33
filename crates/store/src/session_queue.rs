//! Durable MQTT sessions in the store: their subscriptions, cursors and queued notifications.
//!
//! A notification is stored once for all sessions that subscribe to its topic, in the commit of its write. It is removed
//! when the last of them has acknowledged it. Each subscription has a cursor of its own: the notifications of one topic
//! are delivered in the order of their sequence, those of different topics in any.

use std::sync::Arc;

use thng_pubsub_protocol::id::Id;

use super::{KeyHash, Sequence, StoreError, TimestampMs, subscriptions::SubscriptionUsage};

/// A session, as one connection has it: another that takes over has the next epoch, and what the earlier one still asks for
/// changes nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionNumber {
    /// Never used twice.
    pub number: i64,
    pub epoch: i64,
}

/// A subscription's number; never used twice.
pub type SubscriptionNumber = i64;

/// The number of a topic that a durable session subscribes to; never used twice.
pub type TopicNumber = i64;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Sessions of all keys together.
    pub sessions: usize,
    /// Sessions of one key.
    pub sessions_per_key: usize,
    /// Subscriptions of all sessions together.
    pub subscriptions: usize,
    /// Notifications of one topic.
    pub messages_per_topic: usize,
    /// Bytes of notifications of all topics together.
    pub bytes: usize,
}

/// What became of a client that asked for a durable session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenedSession {
    /// It had one, and goes on with it.
    Resumed(SessionNumber),
    /// It has a new one.
    Started(SessionNumber),
    /// It has a new one, for which the session with the number `ended` of another key was ended.
    StartedInstead { session: SessionNumber, ended: i64 },
    /// There are as many as there may be.
    TooMany,
    /// The key is not there any more.
    InvalidKey,
}

#[cfg(test)]
impl OpenedSession {
    /// The number of the session that was ended for it.
    pub fn ended(self) -> Option<i64> {
        if let Self::StartedInstead { ended, .. } = self { Some(ended) } else { None }
    }
}

/// How far a subscription at QoS 1 has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Up to here everything was acknowledged.
    pub cursor: Sequence,
    /// Up to here everything was sent; what is open between the two is in [`StoredSession::in_flight`].
    pub sent: Sequence,
}

/// A subscription of a durable session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSubscription {
    pub number: SubscriptionNumber,
    /// The topic that the client's string was parsed to.
    pub filter: Vec<u8>,
    /// `None` at QoS 0, for which nothing is kept.
    pub queue: Option<(TopicNumber, Progress)>,
}

/// A notification that was sent and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    pub packet_id: u16,
    pub subscription: SubscriptionNumber,
    pub seq: Sequence,
}

/// What a client comes back to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredSession {
    /// In the order in which they were made.
    pub subscriptions: Vec<StoredSubscription>,
    /// Oldest first.
    pub in_flight: Vec<InFlight>,
    /// QoS 2 publishes that were stored and whose PUBREL has not come.
    pub received: Vec<u16>,
}

/// How far a session has come, to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionProgress {
    pub session: SessionNumber,
    /// Of its subscriptions at QoS 1.
    pub subscriptions: Vec<(SubscriptionNumber, Progress)>,
    /// Oldest first; `None` leaves it as it is.
    pub in_flight: Option<Vec<InFlight>>,
    /// Its connection has ended.
    pub has_left: bool,
}

impl SessionProgress {
    /// The same in parts with at most so many subscriptions, to be saved in this order. Unacknowledged messages come
    /// first, so that an end in between repeats messages and loses none.
    pub fn into_parts(self, subscriptions_max: usize) -> Vec<Self> {
        let Self { session, subscriptions, in_flight, has_left } = self;
        let part = |subscriptions: &[_]| {
            let subscriptions = subscriptions.to_vec();
            Self { session, subscriptions, in_flight: None, has_left: false }
        };
        let mut parts: Vec<Self> = subscriptions.chunks(subscriptions_max).map(part).collect();
        if parts.is_empty() {
            parts.push(part(&[]));
        }
        parts.first_mut().expect("there is one").in_flight = in_flight;
        parts.last_mut().expect("there is one").has_left = has_left;
        parts
    }
}

/// A notification that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMessage {
    pub seq: Sequence,
    /// Who sees it.
    pub scopes: Vec<u8>,
    /// The payload.
    pub body: Vec<u8>,
}

/// Notifications of one topic, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueuedMessages {
    pub messages: Vec<QueuedMessage>,
    /// Whether there are no more in the range that was asked for.
    pub is_last: bool,
}

/// How much is kept at the moment, and what the bounds have cost since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    pub sessions: usize,
    pub subscriptions: usize,
    pub messages: usize,
    pub bytes: usize,
    /// Notifications that were dropped because their topic held too many.
    pub lost_to_count: u64,
    /// Notifications that were dropped because all topics together held too many bytes.
    pub lost_to_bytes: u64,
    /// Notifications that were dropped because they were too old.
    pub lost_to_age: u64,
    /// The account that lost the last one of [`lost_to_bytes`](Self::lost_to_bytes).
    pub lost_of: Option<Id>,
    /// Sessions that were ended in favor of one of another key.
    pub evicted: u64,
    /// The account that lost the last one of these.
    pub evicted_of: Option<Id>,
}

/// The reading side.
pub trait ReadSessions {
    /// Whether this key has a durable session under this client id.
    fn has_session(&self, key: &KeyHash, client_id: &str) -> Result<bool, StoreError>;
    /// What a session holds.
    fn session(&self, session: SessionNumber) -> Result<StoredSession, StoreError>;
    /// Notifications of a topic behind `after` and up to `up_to`, in order, at most so many; a page ends early where it
    /// holds `bytes_max`, but not before its first.
    fn queued_messages(
        &self,
        topic: TopicNumber,
        after: Sequence,
        up_to: Sequence,
        most: usize,
        bytes_max: usize,
    ) -> Result<QueuedMessages, StoreError>;
    /// The sequence of the last event.
    fn last_sequence(&self) -> Result<Sequence, StoreError>;
}

/// The writing side; each call is part of a group.
pub trait WriteSessions {
    /// Opens the session of a key and client id: the one that is there, or a new one. Where there are as many as there may
    /// be, one of the key that holds most of the account that holds most gives way.
    fn open_session(
        &mut self,
        key: &KeyHash,
        client_id: &str,
        limits: &QueueLimits,
    ) -> Result<OpenedSession, StoreError>;
    /// Ends the session of a key and client id: from here on nothing finds it. Its rows, and what was kept for it alone,
    /// are freed by [`reclaim`](super::WriteStore::reclaim).
    fn end_session(&mut self, key: &KeyHash, client_id: &str) -> Result<(), StoreError>;
    /// Ends sessions whose connection ended before `left_before_ms`, at most so many, and drops as many notifications
    /// that are older. Returns how many sessions it were.
    fn expire_sessions(&mut self, left_before_ms: TimestampMs, most: usize) -> Result<usize, StoreError>;
    /// Says of all sessions that seem to be connected that they are not, and has those freed whose key is gone: for the
    /// start of the server.
    fn leave_all_sessions(&mut self, at_ms: TimestampMs) -> Result<(), StoreError>;
    /// Adds a subscription, or changes the one with this filter. `route`: of its topic, at QoS 1. What is written from here
    /// on is kept for it; one that was there at QoS 1 goes on where it was. `None` if the session has ended or was taken
    /// over.
    fn put_subscription(
        &mut self,
        session: SessionNumber,
        filter: &[u8],
        route: Option<&[u8]>,
    ) -> Result<Option<StoredSubscription>, StoreError>;
    /// Whether a session has a subscription with this filter.
    fn has_subscription(&mut self, session: SessionNumber, filter: &[u8]) -> Result<bool, StoreError>;
    /// Removes a subscription, if it is there.
    fn remove_subscription(&mut self, session: SessionNumber, filter: &[u8]) -> Result<(), StoreError>;
    /// Saves how far a session has come. A cursor never goes back.
    fn save_progress(&mut self, progress: &SessionProgress, at_ms: TimestampMs) -> Result<(), StoreError>;
    /// Whether the session is there and was not taken over.
    fn is_current(&mut self, session: SessionNumber) -> Result<bool, StoreError>;
    /// Whether a QoS 2 publish is remembered.
    fn is_received(&mut self, session: SessionNumber, packet_id: u16) -> Result<bool, StoreError>;
    /// Remembers a QoS 2 publish until it is released.
    fn receive(&mut self, session: SessionNumber, packet_id: u16) -> Result<(), StoreError>;
    /// Forgets a QoS 2 publish.
    fn release(&mut self, session: SessionNumber, packet_id: u16) -> Result<(), StoreError>;

    /// Whether anything is kept at all.
    fn has_queues(&self) -> bool;
    /// The topic of this route, if a durable session subscribes to it at QoS 1.
    fn session_topic(&self, route: &[u8]) -> Option<TopicNumber>;
    /// Keeps a notification.
    fn enqueue(
        &mut self,
        topic: TopicNumber,
        at_ms: TimestampMs,
        message: &QueuedMessage,
        limits: &QueueLimits,
    ) -> Result<(), StoreError>;
    /// How much is kept.
    fn queue_stats(&self) -> QueueStats;
    /// The memory that subscriptions take, those of durable sessions as of the last commit.
    fn subscription_usage(&self) -> Arc<SubscriptionUsage>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_saved_in_parts_with_the_open_messages_first() {
        let session = SessionNumber { number: 1, epoch: 1 };
        let in_flight = Some(vec![InFlight { packet_id: 1, subscription: 1, seq: 2 }]);
        for (count, expected) in [(0, vec![0]), (3, vec![3]), (4, vec![3, 1])] {
            let subscriptions: Vec<_> =
                (0..count).map(|number| (number, Progress { cursor: 1, sent: 2 })).collect();
            let progress = SessionProgress {
                session,
                subscriptions: subscriptions.clone(),
                in_flight: in_flight.clone(),
                has_left: true,
            };
            let parts = progress.into_parts(3);
            assert_eq!(parts.iter().map(|part| part.subscriptions.len()).collect::<Vec<_>>(), expected);
            assert_eq!(
                parts.iter().flat_map(|part| part.subscriptions.clone()).collect::<Vec<_>>(),
                subscriptions
            );
            let last = parts.len() - 1;
            for (at, part) in parts.iter().enumerate() {
                assert_eq!((part.in_flight.is_some(), part.has_left), (at == 0, at == last));
            }
        }
    }
}
