//! Any sequence of what durable sessions do reads like a model in memory, rolled back groups and restarts included.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use thng_pubsub_protocol::id::Id;

use super::{Fixture, id};
use crate::{
    Actor, KeyHash, KeyRecord, Sequence, WriteStore,
    session_queue::{
        InFlight, OpenedSession, Progress, QueueLimits, QueueStats, QueuedMessage, ReadSessions,
        SessionNumber, SessionProgress, StoredSession, StoredSubscription, SubscriptionNumber, WriteSessions,
    },
    sqlite::write::SqliteWriter,
    subscriptions::subscription_bytes,
};

mod ending;
mod shares;

const KEY: KeyHash = KeyHash([1; 32]);
/// Two keys of one account, and one of another.
const KEYS: [KeyHash; 3] = [KEY, KeyHash([2; 32]), KeyHash([3; 32])];
const CLIENTS: usize = 4;
const TOPICS: usize = 3;

/// More than the steps reach.
const AMPLE: QueueLimits = QueueLimits {
    sessions: 100,
    sessions_per_key: 100,
    subscriptions: 1_000,
    messages_per_topic: 10_000,
    bytes: 1 << 20,
};

#[derive(Debug, Clone)]
enum Step {
    Open {
        client: usize,
    },
    End {
        client: usize,
    },
    Subscribe {
        client: usize,
        topic: usize,
        queued: bool,
    },
    Unsubscribe {
        client: usize,
        topic: usize,
    },
    Enqueue {
        topic: usize,
        bytes: usize,
    },
    /// Acknowledges so many of what waits.
    Save {
        client: usize,
        topic: usize,
        acknowledged: usize,
    },
    /// Revokes the key of a client, and adds it again.
    Revoke {
        client: usize,
    },
    Commit,
    /// Commits, and frees so many parts of what is needed no more.
    Free {
        parts: usize,
    },
    Rollback,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (client, topic) = (0..CLIENTS, 0..TOPICS);
    let both = (client.clone(), topic.clone());
    prop_oneof![
        3 => client.clone().prop_map(|client| Step::Open { client }),
        1 => client.clone().prop_map(|client| Step::End { client }),
        1 => client.prop_map(|client| Step::Revoke { client }),
        4 => (both.clone(), prop::bool::weighted(0.8))
            .prop_map(|((client, topic), queued)| Step::Subscribe { client, topic, queued }),
        1 => both.clone().prop_map(|(client, topic)| Step::Unsubscribe { client, topic }),
        8 => (topic, 0..50_usize).prop_map(|(topic, bytes)| Step::Enqueue { topic, bytes }),
        4 => (both, 0..4_usize)
            .prop_map(|((client, topic), acknowledged)| Step::Save { client, topic, acknowledged }),
        3 => Just(Step::Commit),
        2 => prop_oneof![1 => Just(usize::MAX), 2 => 1..4_usize].prop_map(|parts| Step::Free { parts }),
        1 => Just(Step::Rollback),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Subscribed {
    number: SubscriptionNumber,
    /// Where it is, at QoS 1.
    cursor: Option<Sequence>,
}

#[derive(Debug, Clone, Default)]
struct Model {
    sessions: BTreeMap<usize, (SessionNumber, BTreeMap<usize, Subscribed>)>,
    /// By topic: every notification since the first subscription.
    published: BTreeMap<usize, Vec<(Sequence, usize)>>,
    ended: Vec<SessionNumber>,
    /// Topics of ended sessions, until all is freed.
    left: BTreeSet<usize>,
}

impl Model {
    fn end(&mut self, client: usize) {
        let Some((session, subscribed)) = self.sessions.remove(&client) else { return };
        self.ended.push(session);
        self.left.extend(subscribed.keys());
    }

    fn cursors(&self, topic: usize) -> impl Iterator<Item = Sequence> {
        let subscribed = self.sessions.values().filter_map(move |(_, subscribed)| subscribed.get(&topic));
        subscribed.filter_map(|subscribed| subscribed.cursor)
    }

    /// What each key holds: its sessions, and the bytes of the topics on which it is furthest behind.
    fn key_usage(&self, write: &SqliteWriter) -> BTreeMap<[u8; 32], (usize, usize)> {
        let mut key_usage = BTreeMap::<_, (usize, usize)>::new();
        for client in self.sessions.keys() {
            key_usage.entry(key(*client).0).or_default().0 += 1;
        }
        for topic in (0..TOPICS).filter(|topic| write.session_topic(&route(*topic)).is_some()) {
            let subscribed = self.sessions.iter().filter_map(|(client, (_, subscribed))| {
                let subscribed = subscribed.get(&topic)?;
                Some((subscribed.cursor?, subscribed.number, key(*client)))
            });
            if let Some((_, _, key)) = subscribed.min_by_key(|(cursor, number, _)| (*cursor, *number)) {
                let bytes = self.needed(topic).iter().map(|(_, bytes)| 48 + 1 + bytes).sum::<usize>();
                key_usage.entry(key.0).or_default().1 += bytes;
            }
        }
        key_usage
    }

    /// The notifications of a topic that some session still needs.
    fn needed(&self, topic: usize) -> Vec<(Sequence, usize)> {
        let Some(least) = self.cursors(topic).min() else { return Vec::new() };
        let published = self.published.get(&topic).into_iter().flatten();
        published.filter(|(seq, _)| *seq > least).copied().collect()
    }
}

fn route(topic: usize) -> Vec<u8> {
    format!("account\u{ff}/topics/{topic}").into_bytes()
}

fn filter(topic: usize) -> Vec<u8> {
    format!("topics/{topic}?pubStates=1").into_bytes()
}

fn client_id(client: usize) -> String {
    format!("client {client}")
}

/// The key of a client.
fn key(client: usize) -> KeyHash {
    KEYS[client % KEYS.len()]
}

/// The account of a key: keys 0 and 1 are of the same.
fn account(key: &KeyHash) -> Id {
    id(if *key == KEYS[2] { 2 } else { 1 })
}

fn key_record(hash: KeyHash) -> KeyRecord {
    let account = account(&hash);
    KeyRecord { hash, account, actor: Actor::Operator(account), nonce: None, created_at_ms: 1 }
}

/// A store that has the keys.
fn store_with_keys() -> Fixture {
    let mut store = Fixture::new();
    store.commit(|write| KEYS.iter().try_for_each(|key| write.add_key(&key_record(*key))));
    store
}

struct Run {
    fixture: Fixture,
    model: Model,
    committed: Model,
}

impl Run {
    fn take(&mut self, step: Step) {
        let write = &mut self.fixture.write;
        match step {
            Step::Open { client } => {
                let opened = write.open_session(&key(client), &client_id(client), &AMPLE).expect("it opens");
                let known = self.model.sessions.get(&client).map(|(number, _)| *number);
                match (opened, known) {
                    (OpenedSession::Resumed(number), Some(known)) => {
                        assert_eq!(number, SessionNumber { epoch: known.epoch + 1, ..known });
                        self.model.sessions.get_mut(&client).expect("it is known").0 = number;
                    }
                    (OpenedSession::Started(number), None) => {
                        self.model.sessions.insert(client, (number, BTreeMap::new()));
                    }
                    other => panic!("{other:?}"),
                }
            }
            Step::End { client } => {
                write.end_session(&key(client), &client_id(client)).expect("it ends");
                self.model.end(client);
            }
            Step::Revoke { client } => {
                assert!(write.remove_key(&key(client)).expect("it is revoked"));
                write.add_key(&key_record(key(client))).expect("it is added");
                (0..CLIENTS)
                    .filter(|other| key(*other) == key(client))
                    .for_each(|of_key| self.model.end(of_key));
            }
            Step::Subscribe { client, topic, queued } => {
                let Some((session, subscribed)) = self.model.sessions.get_mut(&client) else {
                    let refused = write
                        .put_subscription(SessionNumber { number: 999, epoch: 1 }, &filter(topic), None)
                        .expect("a look");
                    assert_eq!(refused, None);
                    return;
                };
                let route = queued.then(|| route(topic));
                let stored = write
                    .put_subscription(*session, &filter(topic), route.as_deref())
                    .expect("it is stored")
                    .expect("the session is there");
                let before = subscribed.get(&topic).cloned();
                let cursor = queued.then(|| {
                    let now = stored.queue.expect("it is kept").1.cursor;
                    before
                        .as_ref()
                        .and_then(|before| before.cursor)
                        .inspect(|was| assert_eq!(*was, now))
                        .unwrap_or(now)
                });
                assert_eq!(stored.queue.is_some(), queued);
                assert!(before.is_none_or(|before| before.number == stored.number));
                subscribed.insert(topic, Subscribed { number: stored.number, cursor });
            }
            Step::Unsubscribe { client, topic } => {
                let Some((session, subscribed)) = self.model.sessions.get_mut(&client) else { return };
                write.remove_subscription(*session, &filter(topic)).expect("it ends");
                subscribed.remove(&topic);
            }
            Step::Enqueue { topic, bytes } => {
                let seq = write.log_membership(id(1), id(1), 1, "{}").expect("an event");
                let listened_to = self.model.cursors(topic).next().is_some();
                let queued = write.session_topic(&route(topic));
                assert!(queued.is_some() || !listened_to);
                assert!(queued.is_none() || listened_to || self.model.left.contains(&topic));
                let Some(queued) = queued else { return };
                let message = QueuedMessage { seq, scopes: b"s".to_vec(), body: vec![b'x'; bytes] };
                write.enqueue(queued, 0, &message, &AMPLE).expect("it is kept");
                self.model.published.entry(topic).or_default().push((seq, bytes));
            }
            Step::Save { client, topic, acknowledged } => {
                let needed = self.model.needed(topic);
                let Some((session, subscribed)) = self.model.sessions.get_mut(&client) else { return };
                let Some(Subscribed { number, cursor: Some(cursor) }) = subscribed.get_mut(&topic) else {
                    return;
                };
                let mine = needed.iter().map(|(seq, _)| *seq).filter(|seq| *seq > *cursor);
                *cursor = mine.take(acknowledged).last().unwrap_or(*cursor);
                let progress = Progress { cursor: *cursor, sent: *cursor };
                let in_flight = vec![InFlight { packet_id: 7, subscription: *number, seq: *cursor + 1 }];
                let subscriptions = vec![(*number, progress)];
                let progress = SessionProgress {
                    session: *session,
                    subscriptions,
                    in_flight: Some(in_flight),
                    has_left: true,
                };
                write.save_progress(&progress, 5).expect("it is saved");
            }
            Step::Commit => {
                write.commit().expect("a commit");
                self.committed = self.model.clone();
                self.check();
                self.fixture.write.begin().expect("a group");
            }
            Step::Free { parts } => {
                write.commit().expect("a commit");
                if (0..parts).all(|_| self.fixture.write.reclaim().expect("a part is freed")) {
                    self.check();
                } else {
                    self.model.left.clear();
                    self.check();
                    self.check_freed();
                }
                self.committed = self.model.clone();
                self.fixture.write.begin().expect("a group");
            }
            Step::Rollback => {
                write.rollback();
                self.model = self.committed.clone();
                self.check();
                self.fixture.write.begin().expect("a group");
            }
            Step::Restart => unreachable!("taken by value"),
        }
    }

    fn restart(mut self) -> Self {
        self.fixture.write.rollback();
        self.model = self.committed.clone();
        self.fixture = self.fixture.restart();
        self.check();
        self.fixture.write.begin().expect("a group");
        self
    }

    /// Compares what is committed with the model, whatever of ended sessions is freed by now.
    fn check(&mut self) {
        for ended in &self.model.ended {
            assert!(!self.fixture.write.is_current(*ended).expect("a look"));
        }
        let Fixture { read, write, .. } = &self.fixture;
        let extent = write.queue_stats();
        let subscriptions = self.model.sessions.values().map(|(_, subscribed)| subscribed.len()).sum();
        assert_eq!((extent.sessions, extent.subscriptions), (self.model.sessions.len(), subscriptions));
        self.check_usage();
        for ended in &self.model.ended {
            assert_eq!(read.session(*ended).expect("a look"), StoredSession::default());
        }
        for client in 0..CLIENTS {
            let known = self.model.sessions.get(&client);
            assert_eq!(read.has_session(&key(client), &client_id(client)).expect("a look"), known.is_some());
            let Some((session, subscribed)) = known else { continue };
            let stored = read.session(*session).expect("a look").subscriptions;
            let expected: BTreeSet<_> =
                subscribed.values().map(|subscribed| (subscribed.number, subscribed.cursor)).collect();
            let cursor = |stored: &StoredSubscription| stored.queue.map(|(_, progress)| progress.cursor);
            assert_eq!(
                stored.iter().map(|stored| (stored.number, cursor(stored))).collect::<BTreeSet<_>>(),
                expected
            );
            for (topic, Subscribed { cursor, .. }) in subscribed {
                let Some(cursor) = *cursor else { continue };
                let expected = self.model.published.get(topic).into_iter().flatten();
                let expected: Vec<_> = expected.filter(|(seq, _)| *seq > cursor).copied().collect();
                assert_eq!(self.queued(*topic, cursor), expected, "client {client} topic {topic}");
            }
        }
    }

    /// What is kept of a topic behind a cursor.
    fn queued(&self, topic: usize, after: Sequence) -> Vec<(Sequence, usize)> {
        let Fixture { read, write, .. } = &self.fixture;
        let number = write.session_topic(&route(topic)).expect("it is listened to");
        let queued =
            read.queued_messages(number, after, Sequence::MAX >> 1, 1_000, usize::MAX).expect("a look");
        queued.messages.iter().map(|message| (message.seq, message.body.len())).collect()
    }

    /// Compares what is kept with the model, where all is freed that is needed no more.
    fn check_freed(&self) {
        let write = &self.fixture.write;
        let (mut messages, mut bytes) = (0, 0);
        for topic in 0..TOPICS {
            let needed = self.model.needed(topic);
            let is_named = write.session_topic(&route(topic)).is_some();
            assert_eq!(is_named, self.model.cursors(topic).next().is_some(), "topic {topic}");
            if is_named {
                assert_eq!(self.queued(topic, 0), needed, "topic {topic}");
            }
            messages += needed.len();
            bytes += needed.iter().map(|(_, bytes)| 48 + 1 + bytes).sum::<usize>();
        }
        let extent = write.queue_stats();
        let subscriptions: usize = self.model.sessions.values().map(|(_, subscribed)| subscribed.len()).sum();
        assert_eq!(
            extent,
            QueueStats {
                sessions: self.model.sessions.len(),
                subscriptions,
                messages,
                bytes,
                ..QueueStats::default()
            }
        );
        assert_eq!(self.fixture.rows("session_subscription"), subscriptions as i64);
        assert_eq!((self.fixture.rows("ended_session"), self.fixture.rows("ended_session_key")), (0, 0));
        assert_eq!(write.session_usage(), self.model.key_usage(write));
    }
}

impl Run {
    /// The memory of subscriptions that is shown is that of those that are committed.
    fn check_usage(&self) {
        let usage = self.fixture.write.subscription_usage();
        let of = |selected: &dyn Fn(usize) -> bool| -> usize {
            let sessions = self.model.sessions.iter().filter(|(client, _)| selected(**client));
            let filters = sessions.flat_map(|(_, (_, subscribed))| subscribed.keys());
            filters.map(|topic| subscription_bytes(1, filter(*topic).len())).sum()
        };
        assert_eq!(usage.total(), of(&|_| true));
        for hash in KEYS {
            let account_of = account(&hash);
            let expected =
                (of(&|client| key(client) == hash), of(&|client| account(&key(client)) == account_of));
            assert_eq!(usage.of(account_of, &hash), expected);
        }
        assert_eq!(usage.is_empty(), of(&|_| true) == 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn session_queues_hold_exactly_what_sessions_need(steps in vec(step(), 1..120)) {
        let mut fixture = store_with_keys();
        fixture.write.begin().expect("a group");
        let model = Model::default();
        let mut run = Run { fixture, committed: model.clone(), model };
        for step in steps {
            match step {
                Step::Restart => run = run.restart(),
                step => run.take(step),
            }
        }
        run.take(Step::Free { parts: usize::MAX });
    }
}

#[test]
fn in_flight_and_received_come_back_as_they_were_saved() {
    let mut store = store_with_keys();
    let (session, subscription) = store.commit(|write| {
        let OpenedSession::Started(session) = write.open_session(&KEY, "c", &AMPLE)? else { panic!("new") };
        let stored = write.put_subscription(session, b"f", Some(b"r"))?.expect("the session is there");
        for packet_id in [1, 65_535, 1] {
            write.receive(session, packet_id)?;
        }
        // Of a session that is gone nothing is left behind.
        write.receive(SessionNumber { number: session.number + 1, epoch: 1 }, 3)?;
        Ok((session, stored.number))
    });
    let in_flight: Vec<_> = [(1, 9), (65_535, u64::MAX >> 1)]
        .into_iter()
        .map(|(packet_id, seq)| InFlight { packet_id, subscription, seq })
        .collect();
    let progress = SessionProgress {
        session,
        subscriptions: vec![(subscription, Progress { cursor: 8, sent: 10 })],
        in_flight: Some(in_flight.clone()),
        has_left: false,
    };
    store.commit(|write| write.save_progress(&progress, 1));
    // A late save takes nothing back.
    let late = vec![(subscription, Progress { cursor: 3, sent: 4 })];
    store.commit(|write| {
        write.save_progress(&SessionProgress { subscriptions: late.clone(), ..progress.clone() }, 1)?;
        write.release(session, 1)
    });
    // A session that was taken over changes nothing any more.
    let again = store.commit(|write| write.open_session(&KEY, "c", &AMPLE));
    assert_eq!(again, OpenedSession::Resumed(SessionNumber { epoch: session.epoch + 1, ..session }));
    let over = Progress { cursor: 20, sent: 30 };
    store.commit(|write| {
        let subscriptions = vec![(subscription, over)];
        write
            .save_progress(&SessionProgress { subscriptions, in_flight: Some(Vec::new()), ..progress }, 1)?;
        write.remove_subscription(session, b"f")?;
        assert_eq!(write.put_subscription(session, b"g", None)?, None);
        assert!(!write.is_current(session)?);
        Ok(())
    });
    let store = store.restart();
    let stored = store.read.session(session).expect("a look");
    assert_eq!(stored.in_flight, in_flight);
    assert_eq!(stored.received, [65_535]);
    assert_eq!(
        stored.subscriptions[0].queue.map(|(_, progress)| progress),
        Some(Progress { cursor: 8, sent: 10 })
    );
    assert!(!store.read.has_session(&KeyHash([2; 32]), "c").expect("a look"));
}

#[test]
fn sequences_of_events_and_cursors_are_of_one_count() {
    let mut store = store_with_keys();
    let last = store.read.last_sequence().expect("a look");
    let thng = id(1);
    let after = store.commit(|write| {
        let seq = write.log_membership(thng, thng, 1, "{}")?;
        let OpenedSession::Started(session) = write.open_session(&KEY, "c", &AMPLE)? else { panic!("new") };
        let stored = write.put_subscription(session, b"f", Some(b"r"))?.expect("the session is there");
        assert_eq!(stored.queue.expect("it is kept").1.cursor, seq);
        Ok(seq)
    });
    assert_eq!((last + 1, store.read.last_sequence().expect("a look")), (after, after));
}

/// Bounds that a handful reaches.
fn bounds(sessions: usize, bytes: usize) -> QueueLimits {
    QueueLimits { sessions, bytes, ..AMPLE }
}

/// Opens a session, subscribed to a topic of its own at QoS 1.
fn subscribed(store: &mut Fixture, key: &KeyHash, name: &str) -> (SessionNumber, Vec<u8>) {
    let route = format!("{name}\u{ff}/topic").into_bytes();
    let session = store.commit(|write| {
        let OpenedSession::Started(session) = write.open_session(key, name, &AMPLE)? else { panic!("new") };
        write.put_subscription(session, name.as_bytes(), Some(&route))?.expect("the session is there");
        Ok(session)
    });
    (session, route)
}

/// Keeps a notification of so many bytes on a topic.
fn enqueue(store: &mut Fixture, route: &[u8], bytes: usize, limits: &QueueLimits) {
    store.commit(|write| {
        let seq = write.log_membership(id(1), id(1), 1, "{}")?;
        let topic = write.session_topic(route).expect("a durable session subscribes to it");
        write.enqueue(topic, 0, &QueuedMessage { seq, scopes: Vec::new(), body: vec![b'x'; bytes] }, limits)
    });
}

fn queued(store: &Fixture, route: &[u8]) -> usize {
    let topic = store.write.session_topic(route).expect("a durable session subscribes to it");
    let messages =
        store.read.queued_messages(topic, 0, Sequence::MAX >> 1, 1_000_000, usize::MAX).expect("a look");
    messages.messages.len()
}

#[test]
fn messages_without_subscriptions_are_dropped_first() {
    let mut store = store_with_keys();
    let limits = bounds(100, 64_000);
    let (session, left) = subscribed(&mut store, &KEYS[0], "left");
    (0..4).for_each(|_| enqueue(&mut store, &left, 952, &limits));
    store.commit(|write| write.remove_subscription(session, b"left"));
    let store = &mut store.restart();
    for n in 0..16 {
        let (_, route) = subscribed(store, &KEYS[0], &format!("{n}"));
        (0..4).for_each(|_| enqueue(store, &route, 952, &limits));
    }
    let extent = store.write.queue_stats();
    assert_eq!((extent.bytes, extent.lost_to_bytes), (64_000, 0));
}

#[test]
fn of_too_many_messages_of_a_topic_the_furthest_behind_loses() {
    let mut store = store_with_keys();
    let limits = QueueLimits { messages_per_topic: 10, ..AMPLE };
    let (_, route) = subscribed(&mut store, &KEYS[0], "behind");
    let session = store.commit(|write| {
        let OpenedSession::Started(session) = write.open_session(&KEYS[1], "current", &AMPLE)? else {
            panic!("new")
        };
        Ok(session)
    });
    let stored = store.commit(|write| write.put_subscription(session, b"current", Some(&route)));
    let (topic, _) = stored.as_ref().and_then(|stored| stored.queue).expect("it is kept");
    (0..8).for_each(|_| enqueue(&mut store, &route, 100, &limits));
    let cursor = store.read.last_sequence().expect("a look");
    let progress = SessionProgress {
        session,
        subscriptions: vec![(stored.expect("stored").number, Progress { cursor, sent: cursor })],
        in_flight: None,
        has_left: true,
    };
    store.commit(|write| write.save_progress(&progress, 1));
    (0..10).for_each(|_| enqueue(&mut store, &route, 100, &limits));
    // All ten that the other still needs are there, and nothing else.
    let left = store.read.queued_messages(topic, 0, Sequence::MAX >> 1, 100, usize::MAX).expect("a look");
    assert_eq!(left.messages.iter().filter(|message| message.seq > cursor).count(), 10);
    assert!(store.write.queue_stats().lost_to_count >= 8);
}
