//! The subscription tables: the subscribers of each key.
//!
//! One shard per partition, and in it one list per key behind a lock of its own. A large fan-out therefore delays only
//! a subscription to that very key, and only for a slice of the fan-out.
//! Lists are sorted by id: a removal is a binary search that leaves a tombstone, and a list is compacted when
//! half of it is dead. A key without subscribers is removed.
//!
//! Subscribers are dropped outside of all locks, because what their predicates own may drop routes in turn.

use std::fmt;
use std::hash::BuildHasher;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};
use prometheus::IntGauge;
use tracing::error;

use super::PARTITIONS;
use super::envelope::NotificationEnvelope;
use super::notification::{self, RouteKey};
use super::outbound_queue::{OfferResult, OutboundQueue};

/// Deliveries after which a fan-out lets others have the lock of the list; well under a millisecond.
const SLICE_DELIVERIES: usize = 2048;

/// Decides from the scopes of a notification whether a subscription may see it. It runs in a dispatcher, for every
/// notification of the key, and must be short. A predicate that panics refuses. It must not own the bus.
pub type Predicate = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The consequence of a full outbound queue for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryQos {
    /// QoS 0: the notification is dropped and counted.
    AtMostOnce,
    /// QoS 1: the queue overflows, and the session must end.
    AtLeastOnce,
}

/// One subscription of one session.
pub struct Subscriber {
    /// Where the notifications go.
    pub outbound_queue: Arc<OutboundQueue>,
    /// The session's own name for the subscription, handed on in every delivery.
    pub slot: u32,
    /// The consequence of a full outbound queue.
    pub qos: DeliveryQos,
    /// Which notifications of the key it may see; all if there is none.
    pub predicate: Option<Predicate>,
    /// Notifications up to this store sequence are older than the subscription and not for it; `None`: all are for it.
    pub after: Option<u64>,
    /// Receives the store sequence up to which every notification of the key has been offered to the outbound queue or
    /// was not for it; `None` where that is not needed.
    pub offered: Option<Arc<AtomicU64>>,
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("slot", &self.slot)
            .field("qos", &self.qos)
            .field("filtered", &self.predicate.is_some())
            .finish_non_exhaustive()
    }
}

/// Keeps a subscription in the table; dropping it removes the subscription.
#[must_use = "dropping the route removes the subscription"]
pub struct Route {
    table: Arc<Table>,
    topic: Arc<Topic>,
    id: u64,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("key", &self.topic.key).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        let subscriber = self.topic.list.lock().remove(self.id);
        self.table.release(&self.topic);
        drop(subscriber);
    }
}

/// Notifications of one key that are fanned out together, at most 64.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) notifications: &'a [NotificationEnvelope],
    /// Hash of the key, and the position in `notifications`, of each member.
    pub(super) members: &'a [(u64, u8)],
}

impl<'a> Run<'a> {
    fn iter(&self) -> impl Iterator<Item = &'a NotificationEnvelope> + use<'a> {
        let notifications = self.notifications;
        self.members.iter().map(move |(_, position)| &notifications[usize::from(*position)])
    }

    /// The store sequence of the last member.
    fn last_seq(&self) -> u64 {
        self.members.last().map_or(0, |(_, position)| self.notifications[usize::from(*position)].seq)
    }

    /// The members whose bit is set in `selected`, in order.
    pub(super) fn selected(&self, selected: u64) -> impl Iterator<Item = &'a NotificationEnvelope> + use<'a> {
        self.iter()
            .enumerate()
            .filter(move |(bit, _)| selected >> bit & 1 == 1)
            .map(|(_, notification)| notification)
    }

    /// One bit for each member that is for this subscriber.
    fn passing(&self, subscriber: &Subscriber) -> u64 {
        let is_new = |notification: &NotificationEnvelope| {
            subscriber.after.is_none_or(|after| notification.seq > after)
        };
        // The notifications of a key come in the order of their sequence: if the first is new, all are.
        let all_new = self.iter().next().is_some_and(is_new);
        let Some(predicate) = &subscriber.predicate else {
            if all_new {
                return u64::MAX;
            }
            return self
                .iter()
                .enumerate()
                .fold(0, |bits, (bit, notification)| bits | u64::from(is_new(notification)) << bit);
        };
        let passes = |notification: &NotificationEnvelope| {
            panic::catch_unwind(AssertUnwindSafe(|| predicate(notification.scopes()))).unwrap_or_else(|_| {
                error!("a predicate panicked; its subscription does not get the notification");
                false
            })
        };
        let selected =
            |notification: &NotificationEnvelope| (all_new || is_new(notification)) && passes(notification);
        self.iter()
            .enumerate()
            .fold(0, |bits, (bit, notification)| bits | u64::from(selected(notification)) << bit)
    }
}

/// What came of fanning out, added up over a chunk before it goes to the metrics.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    pub(super) delivered_bytes: u64,
    pub(super) dropped: u64,
    pub(super) overflowed: u64,
}

/// All subscriptions of the server.
#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Mutex<HashTable<Arc<Topic>>>]>,
    hasher: foldhash::fast::RandomState,
    subscriptions: IntGauge,
}

/// A key that is subscribed to.
#[derive(Debug)]
pub(super) struct Topic {
    key: RouteKey,
    hash: u64,
    /// Routes that are alive. Changed only under the lock of the shard; the topic goes when it reaches 0.
    routes: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    /// Sorted by id, because ids only grow.
    entries: Vec<Entry>,
    /// Entries without a subscriber.
    dead: usize,
    next_id: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    subscriber: Option<Subscriber>,
}

impl Table {
    pub(super) fn new(subscriptions: IntGauge) -> Self {
        Self {
            shards: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            subscriptions,
        }
    }

    /// The hash that [`Table::find`] wants.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The subscribed key of these bytes, if there is one.
    pub(super) fn find(&self, partition: u8, hash: u64, key: &[u8]) -> Option<Arc<Topic>> {
        let shard = self.shards[usize::from(partition)].lock();
        shard.find(hash, |topic| topic.key.as_bytes() == key).cloned()
    }

    /// Whether this key has subscribers right now.
    pub(super) fn has_subscribers(&self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        let shard = self.shards[usize::from(notification::partition(key))].lock();
        shard.find(hash, |topic| topic.key.as_bytes() == key).is_some()
    }

    pub(super) fn insert(self: &Arc<Self>, key: &RouteKey, subscriber: Subscriber) -> Route {
        let topic = self.retain(key);
        let id = topic.list.lock().push(subscriber);
        self.subscriptions.inc();
        Route { table: Arc::clone(self), topic, id }
    }

    /// Finds or makes the topic and counts one more route on it.
    fn retain(&self, key: &RouteKey) -> Arc<Topic> {
        let hash = self.hash(key.as_bytes());
        let mut shard = self.shards[usize::from(key.partition())].lock();
        let entry = shard.entry(hash, |topic| topic.key == *key, |topic| topic.hash);
        let entry = entry.or_insert_with(|| {
            let (routes, list) = (AtomicUsize::new(0), Mutex::default());
            Arc::new(Topic { key: key.clone(), hash, routes, list })
        });
        entry.get().routes.fetch_add(1, Ordering::Relaxed);
        Arc::clone(entry.get())
    }

    fn release(&self, topic: &Arc<Topic>) {
        self.subscriptions.dec();
        let mut shard = self.shards[usize::from(topic.key.partition())].lock();
        if topic.routes.fetch_sub(1, Ordering::Relaxed) == 1
            && let Ok(entry) = shard.find_entry(topic.hash, |other| Arc::ptr_eq(other, topic))
        {
            entry.remove();
        }
    }

    #[cfg(test)]
    fn keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl Topic {
    /// Offers `run` to every subscriber there is at this moment.
    pub(super) fn fan_out(&self, run: &Run<'_>, tally: &mut Tally) {
        let slice = (SLICE_DELIVERIES / run.members.len()).max(1);
        let mut gone = Vec::new();
        let mut list = self.list.lock();
        let end = list.next_id;
        let mut next = 0;
        while let Some(last) = list.offer(next, end, slice, run, tally, &mut gone) {
            next = last + 1;
            MutexGuard::bump(&mut list);
        }
        list.compact();
        drop(list);
        drop(gone);
    }
}

impl List {
    fn push(&mut self, subscriber: Subscriber) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.entries.push(Entry { id, subscriber: Some(subscriber) });
        id
    }

    /// Takes the subscriber out, unless a dispatcher has forgotten it before.
    fn remove(&mut self, id: u64) -> Option<Subscriber> {
        let position = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        let subscriber = self.entries[position].subscriber.take()?;
        self.dead += 1;
        self.compact();
        Some(subscriber)
    }

    /// Drops the tombstones when they are half of the list, so that each costs a constant on average.
    fn compact(&mut self) {
        if self.dead * 2 < self.entries.len() || self.dead == 0 {
            return;
        }
        self.entries.retain(|entry| entry.subscriber.is_some());
        self.dead = 0;
        if self.entries.capacity() > 4 * self.entries.len() {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// Offers `run` to at most `count` entries with ids of `from..end`. Returns the last id that was
    /// served if there may be more. Subscribers whose outbound queue has ended are moved to `gone`.
    fn offer(
        &mut self,
        from: u64,
        end: u64,
        count: usize,
        run: &Run<'_>,
        tally: &mut Tally,
        gone: &mut Vec<Subscriber>,
    ) -> Option<u64> {
        let start = self.entries.partition_point(|entry| entry.id < from);
        let stop = (start + count).min(self.entries.len());
        for entry in &mut self.entries[start..stop] {
            if entry.id >= end {
                return None;
            }
            let Some(subscriber) = &entry.subscriber else { continue };
            let selected = run.passing(subscriber);
            if selected != 0
                && subscriber.outbound_queue.offer(run, selected, subscriber.slot, subscriber.qos, tally)
                    == OfferResult::Forget
            {
                gone.extend(entry.subscriber.take());
                self.dead += 1;
                continue;
            }
            if let Some(subscriber) = &entry.subscriber
                && let Some(offered) = &subscriber.offered
            {
                offered.store(run.last_seq(), Ordering::Release);
            }
        }
        (stop < self.entries.len()).then(|| self.entries[stop - 1].id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bytes::Bytes;
    use tokio::sync::Notify;

    use super::*;
    use crate::envelope::{self, Envelope};
    use crate::{Notification, OutboundQueueLimits};

    fn table() -> Arc<Table> {
        Arc::new(Table::new(IntGauge::new("subscriptions", "for the test").unwrap()))
    }

    fn outbound_queue() -> Arc<OutboundQueue> {
        OutboundQueue::new(OutboundQueueLimits { messages: 1 << 20, bytes: 1 << 30 }, Arc::new(Notify::new()))
    }

    fn subscriber(outbound_queue: &Arc<OutboundQueue>, slot: u32) -> Subscriber {
        Subscriber {
            outbound_queue: Arc::clone(outbound_queue),
            slot,
            qos: DeliveryQos::AtMostOnce,
            predicate: None,
            after: None,
            offered: None,
        }
    }

    /// Fans one notification out and returns the slots that got it, in order.
    fn slots_served(table: &Table, key: &RouteKey, outbound_queue: &OutboundQueue) -> Vec<u32> {
        let notification =
            Notification { key: key.clone(), scopes: Bytes::new(), seq: 1, body: Bytes::from_static(b"1") };
        let partition = key.partition();
        let Ok(Envelope::Notification(notification)) =
            envelope::decode(envelope::encode_notification(partition, 1, &notification))
        else {
            panic!("no notification")
        };
        let hash = table.hash(notification.key());
        if let Some(topic) = table.find(partition, hash, notification.key()) {
            topic.fan_out(
                &Run { notifications: &[notification], members: &[(hash, 0)] },
                &mut Tally::default(),
            );
        }
        let mut batch = Vec::new();
        outbound_queue.take(&mut batch);
        batch.iter().map(|delivery| delivery.slot).collect()
    }

    #[test]
    fn a_key_without_subscribers_is_removed() {
        let (table, outbound_queue) = (table(), outbound_queue());
        let keys: Vec<RouteKey> = (0..100).map(|n| RouteKey::new("a", &format!("/{n}"))).collect();
        let mut routes: Vec<Route> = Vec::new();
        for _ in 0..2 {
            routes.extend(keys.iter().map(|key| table.insert(key, subscriber(&outbound_queue, 0))));
        }
        assert_eq!((table.keys(), table.subscriptions.get()), (100, 200));
        routes.truncate(100);
        assert_eq!((table.keys(), table.subscriptions.get()), (100, 100));
        routes.clear();
        assert_eq!((table.keys(), table.subscriptions.get()), (0, 0));
        assert_eq!(Arc::strong_count(&outbound_queue), 1);
    }

    #[test]
    fn removal_in_any_order_leaves_exactly_the_other_subscribers() {
        const SUBSCRIBERS: u32 = 5000;
        let (table, outbound_queue, key) = (table(), outbound_queue(), RouteKey::new("a", "/thngs"));
        let mut routes: Vec<Option<Route>> = (0..SUBSCRIBERS)
            .map(|slot| Some(table.insert(&key, subscriber(&outbound_queue, slot))))
            .collect();
        let mut alive: HashSet<u32> = (0..SUBSCRIBERS).collect();
        // A stride that is coprime to the count visits every slot once.
        for (nth, slot) in (0..SUBSCRIBERS).map(|n| n * 1777 % SUBSCRIBERS).enumerate() {
            routes[slot as usize] = None;
            alive.remove(&slot);
            if nth % 500 == 0 {
                let mut expected: Vec<u32> = alive.iter().copied().collect();
                expected.sort_unstable();
                assert_eq!(slots_served(&table, &key, &outbound_queue), expected);
                let topic = table.find(key.partition(), table.hash(key.as_bytes()), key.as_bytes()).unwrap();
                let list = topic.list.lock();
                assert!(list.entries.len() <= 2 * alive.len() + 1, "tombstones pile up");
            }
        }
        assert_eq!((slots_served(&table, &key, &outbound_queue), table.keys()), (vec![], 0));
    }

    #[test]
    fn a_predicate_may_own_a_route_of_the_same_key() {
        let (table, key) = (table(), RouteKey::new("a", "/thngs"));
        let (closed, open) = (outbound_queue(), outbound_queue());
        let inner = table.insert(&key, subscriber(&open, 7));
        let predicate: Predicate = Arc::new(move |_| {
            let _owned: &Route = &inner;
            true
        });
        let _outer = table.insert(&key, Subscriber { predicate: Some(predicate), ..subscriber(&closed, 1) });
        closed.close();
        assert_eq!(slots_served(&table, &key, &open), vec![7]);
        // The dispatcher forgot the closed one, and with its predicate the inner route went.
        assert_eq!(slots_served(&table, &key, &open), Vec::<u32>::new());
        assert_eq!(table.subscriptions.get(), 1);
    }
}
