//! Durable sessions: opened, subscribed, saved and ended, and what each account and key holds of their bounds.
//!
//! Which topics are kept, and how much of each, is in memory as well: every event of the server asks for it. The
//! database has it as of the last commit, and a group that is rolled back leaves no trace in either.
//!
//! - `ending.rs`: the end of sessions, and what is freed after it
//! - `queue.rs`: the queued notifications
//! - `shares.rs`: fair shares of a bound

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, Row, params};
use thng_pubsub_protocol::id::Id;

use super::{Fault, column, read};
use crate::{
    KeyHash, Sequence, TimestampMs,
    session_queue::{
        InFlight, OpenedSession, Progress, QueueLimits, QueueStats, SessionNumber, SessionProgress,
        StoredSubscription, SubscriptionNumber, TopicNumber,
    },
    subscriptions::{SubscriptionUsage, subscription_bytes},
};
use queue::Extent;
use shares::{AccountNumber, KeyBytes, Owner, Ranking, Shares};

mod ending;
mod queue;
mod shares;

/// Topics that are trimmed at once when a session saves its progress; the others are freed later, in parts.
const TRIMMED_AT_ONCE: usize = 32;

/// Notifications that are freed at once when a session saves its progress.
const FREED_AT_ONCE: usize = 500;

/// Bytes of one entry of `session.in_flight`.
const IN_FLIGHT_BYTES: usize = 18;

/// How many subscriptions there are, and the bytes of their filters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Subscribed {
    count: usize,
    filter_bytes: usize,
}

impl Subscribed {
    fn add(&mut self, filter_bytes: usize) {
        self.count += 1;
        self.filter_bytes += filter_bytes;
    }

    fn remove(&mut self, filter_bytes: usize) {
        self.count -= 1;
        self.filter_bytes -= filter_bytes;
    }
}

/// What a key has of durable sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyUse {
    account: AccountNumber,
    account_id: Id,
    sessions: usize,
    subscribed: Subscribed,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Topics of which there may be more to free than was freed.
    garbage: HashSet<TopicNumber>,
    /// Those of which freeing has failed.
    set_aside: HashSet<TopicNumber>,
    topics: HashMap<Box<[u8]>, TopicNumber>,
    extents: HashMap<TopicNumber, Extent>,
    /// Keys that have sessions. A row in `session` counts only while its key is here.
    keys: HashMap<KeyHash, KeyUse>,
    /// Sessions that have subscriptions.
    sessions: HashMap<i64, Subscribed>,
    extent: QueueStats,
    session_shares: Shares,
    byte_shares: Shares,
    /// Topics by whom their notifications count for; `None`: they wait to be freed.
    topic_shares: Ranking<Option<Owner>, TopicNumber>,
    /// Topics whose extent has changed since they were ranked.
    unranked: HashSet<TopicNumber>,
    usage: Arc<SubscriptionUsage>,
    before: GroupUndo,
}

/// What a group has changed, as it was before.
#[derive(Debug, Default)]
struct GroupUndo {
    extents: HashMap<TopicNumber, Option<Extent>>,
    topics: HashMap<Box<[u8]>, Option<TopicNumber>>,
    keys: HashMap<KeyHash, Option<KeyUse>>,
    sessions: HashMap<i64, Option<Subscribed>>,
    extent: Option<QueueStats>,
}

impl Sessions {
    pub(super) fn open(connection: &Connection) -> Result<Self, Fault> {
        let mut sessions = Self {
            garbage: HashSet::new(),
            set_aside: HashSet::new(),
            topics: HashMap::new(),
            extents: HashMap::new(),
            keys: HashMap::new(),
            sessions: HashMap::new(),
            extent: QueueStats::default(),
            session_shares: Shares::default(),
            byte_shares: Shares::default(),
            topic_shares: Ranking::default(),
            unranked: HashSet::new(),
            usage: Arc::default(),
            before: GroupUndo::default(),
        };
        sessions.read_keys(connection)?;
        sessions.read_topics(connection)?;
        sessions.rank();
        sessions.committed();
        Ok(sessions)
    }

    fn read_keys(&mut self, connection: &Connection) -> Result<(), Fault> {
        let mut statement = connection.prepare(SESSIONS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (session, key) = (row.get(0)?, key_hash(row, 1)?);
            let read = Subscribed { count: size(row, 2)?, filter_bytes: size(row, 3)? };
            let owner = owner_of_key(connection, &key)?;
            // Of a key that is gone, no session counts.
            if owner.is_none() {
                continue;
            }
            self.change_session(session, |of_session| *of_session = read);
            self.change_key(&key, owner, |of_key| {
                of_key.sessions += 1;
                of_key.subscribed.count += read.count;
                of_key.subscribed.filter_bytes += read.filter_bytes;
            });
        }
        Ok(())
    }

    pub(super) fn usage(&self) -> Arc<SubscriptionUsage> {
        Arc::clone(&self.usage)
    }

    pub(super) fn has_queues(&self) -> bool {
        !self.topics.is_empty()
    }

    pub(super) fn extent(&self) -> QueueStats {
        self.extent
    }

    /// The group is in the database.
    pub(super) fn committed(&mut self) {
        if self.before.extent.is_none() {
            return;
        }
        for (key, before) in &self.before.keys {
            let now = self.keys.get(key);
            if let Some(KeyUse { account_id, .. }) = now.or(before.as_ref()) {
                let bytes = now.map_or(0, |KeyUse { subscribed, .. }| {
                    subscription_bytes(subscribed.count, subscribed.filter_bytes)
                });
                self.usage.set_stored(*account_id, *key, bytes);
            }
        }
        self.before = GroupUndo::default();
    }

    /// The group is rolled back.
    pub(super) fn forget(&mut self) {
        let GroupUndo { extents, topics, keys, sessions, extent } = std::mem::take(&mut self.before);
        // What was freed is there again.
        self.garbage.extend(extents.keys().filter(|topic| !self.set_aside.contains(*topic)));
        self.unranked.extend(extents.keys());
        for (topic, before) in extents {
            restore(&mut self.extents, topic, before);
        }
        for (route, before) in topics {
            restore(&mut self.topics, route, before);
        }
        for (key, before) in keys {
            self.rank_key(&key, before);
            restore(&mut self.keys, key, before);
        }
        for (session, before) in sessions {
            restore(&mut self.sessions, session, before);
        }
        self.rank();
        self.extent = extent.unwrap_or(self.extent);
    }

    pub(super) fn open_session(
        &mut self,
        connection: &Connection,
        key: &KeyHash,
        client_id: &str,
        limits: &QueueLimits,
    ) -> Result<OpenedSession, Fault> {
        // The key may have been revoked since its client connected: nothing would ever end a session of it.
        let Some(of_account) = owner_of_key(connection, key)? else { return Ok(OpenedSession::InvalidKey) };
        if let Some(number) = number(connection, key, client_id)? {
            let epoch = connection.prepare_cached(ENTER)?.query_row([number], |row| row.get(0))?;
            return Ok(OpenedSession::Resumed(SessionNumber { number, epoch }));
        }
        if self.keys.get(key).is_some_and(|of_key| of_key.sessions >= limits.sessions_per_key) {
            return Ok(OpenedSession::TooMany);
        }
        let mut ended = None;
        if self.extent.sessions >= limits.sessions {
            let newcomer = Owner { account: of_account.0, key: key.0 };
            let Some(owner) = self.session_shares.gives_way_to(newcomer) else {
                return Ok(OpenedSession::TooMany);
            };
            ended = self.evict(connection, owner)?;
            if ended.is_none() {
                return Ok(OpenedSession::TooMany);
            }
        }
        connection.prepare_cached(ADD_SESSION)?.execute(params![&key.0[..], client_id])?;
        let session = SessionNumber { number: connection.last_insert_rowid(), epoch: 1 };
        self.change_key(key, Some(of_account), |of_key| of_key.sessions += 1);
        Ok(match ended {
            Some(ended) => OpenedSession::StartedInstead { session, ended },
            None => OpenedSession::Started(session),
        })
    }

    pub(super) fn put_subscription(
        &mut self,
        connection: &Connection,
        session: SessionNumber,
        filter: &[u8],
        route: Option<&[u8]>,
        last: Sequence,
    ) -> Result<Option<StoredSubscription>, Fault> {
        let Some(key) = self.key_of(connection, session)? else { return Ok(None) };
        let session = session.number;
        let topic = route.map(|route| self.retain(connection, route)).transpose()?;
        let before = read::one(connection, SUBSCRIPTION, params![session, filter], subscription)?;
        let Some(before) = before else {
            let last = last as i64;
            connection.prepare_cached(ADD_SUBSCRIPTION)?.execute(params![session, filter, topic, last])?;
            let queue =
                topic.map(|topic| (topic, Progress { cursor: last as Sequence, sent: last as Sequence }));
            let number = connection.last_insert_rowid();
            self.change_subscribed(&key, session, |subscribed| subscribed.add(filter.len()));
            topic.map_or(Ok(()), |topic| self.add_holder(connection, topic, &key))?;
            return Ok(Some(StoredSubscription { number, filter: filter.to_vec(), queue }));
        };
        let queue = match (before.queue, topic) {
            (Some((old, progress)), Some(topic)) if old == topic => Some((topic, progress)),
            (_, Some(topic)) => Some((topic, Progress { cursor: last, sent: last })),
            (_, None) => None,
        };
        let Progress { cursor, sent } = queue.map_or(Progress { cursor: last, sent: last }, |(_, it)| it);
        connection.prepare_cached(SET_SUBSCRIPTION)?.execute(params![
            before.number,
            topic,
            cursor as i64,
            sent as i64
        ])?;
        topic.map_or(Ok(()), |topic| self.add_holder(connection, topic, &key))?;
        if let Some((old, _)) = before.queue
            && topic != Some(old)
        {
            self.mark_for_gc(connection, old)?;
        }
        Ok(Some(StoredSubscription { queue, ..before }))
    }

    pub(super) fn remove_subscription(
        &mut self,
        connection: &Connection,
        session: SessionNumber,
        filter: &[u8],
    ) -> Result<(), Fault> {
        let Some(key) = self.key_of(connection, session)? else { return Ok(()) };
        let topic = read::one(connection, REMOVE_SUBSCRIPTION, params![session.number, filter], |row| {
            Ok(row.get::<_, Option<TopicNumber>>(0)?)
        })?;
        let Some(topic) = topic else { return Ok(()) };
        self.change_subscribed(&key, session.number, |subscribed| subscribed.remove(filter.len()));
        topic.map_or(Ok(()), |topic| self.mark_for_gc(connection, topic))
    }

    pub(super) fn save(
        &mut self,
        connection: &Connection,
        progress: &SessionProgress,
        at_ms: TimestampMs,
    ) -> Result<(), Fault> {
        if !self.is_current(connection, progress.session)? {
            return Ok(());
        }
        let left = progress.has_left.then_some(at_ms);
        let in_flight = progress.in_flight.as_deref().map(in_flight_column);
        connection.prepare_cached(SAVE_SESSION)?.execute(params![
            progress.session.number,
            left,
            in_flight
        ])?;
        let mut moved = Vec::new();
        for (number, Progress { cursor, sent }) in &progress.subscriptions {
            let parameters = params![number, *cursor as i64, *sent as i64];
            moved.extend(
                read::one(connection, SAVE_SUBSCRIPTION, parameters, |row| {
                    Ok(row.get::<_, Option<TopicNumber>>(0)?)
                })?
                .flatten(),
            );
        }
        let mut left = FREED_AT_ONCE;
        for (at, topic) in moved.into_iter().enumerate() {
            match at < TRIMMED_AT_ONCE && left > 0 {
                true => left -= self.trim(connection, topic, left)?,
                false => drop(self.garbage.insert(topic)),
            }
        }
        Ok(())
    }

    /// Marks all sessions as not connected, and has those freed whose key is gone.
    pub(super) fn leave_all(&mut self, connection: &Connection, at_ms: TimestampMs) -> Result<(), Fault> {
        connection.prepare_cached(LEAVE_ALL)?.execute([at_ms])?;
        connection.prepare_cached(END_OF_GONE_KEYS)?.execute([])?;
        Ok(())
    }

    pub(super) fn is_current(&self, connection: &Connection, session: SessionNumber) -> Result<bool, Fault> {
        Ok(self.key_of(connection, session)?.is_some())
    }

    /// The key of a session, if it has not ended and was not taken over.
    fn key_of(&self, connection: &Connection, session: SessionNumber) -> Result<Option<KeyHash>, Fault> {
        let SessionNumber { number, epoch } = session;
        let key = read::one(connection, KEY_OF, [number, epoch], |row| key_hash(row, 0))?;
        Ok(key.filter(|key| self.keys.contains_key(key)))
    }

    fn change_extent(&mut self, change: impl FnOnce(&mut QueueStats)) {
        self.before.extent.get_or_insert(self.extent);
        change(&mut self.extent);
    }

    fn change_subscribed(&mut self, key: &KeyHash, session: i64, change: impl Fn(&mut Subscribed)) {
        self.change_session(session, &change);
        self.change_key(key, None, |of_key| change(&mut of_key.subscribed));
    }

    /// Changes what a session has; returns what it had.
    fn change_session(&mut self, session: i64, change: impl FnOnce(&mut Subscribed)) -> Subscribed {
        let before = self.sessions.get(&session).copied();
        self.before.sessions.entry(session).or_insert(before);
        let old = before.unwrap_or_default();
        let mut new = old;
        change(&mut new);
        restore(&mut self.sessions, session, (new != Subscribed::default()).then_some(new));
        self.change_extent(|_| {});
        old
    }

    /// Changes what a key has of durable sessions. `of_account` says whose key it is where it has none yet.
    fn change_key(
        &mut self,
        key: &KeyHash,
        of_account: Option<(AccountNumber, Id)>,
        change: impl FnOnce(&mut KeyUse),
    ) {
        let before = self.keys.get(key).copied();
        self.before.keys.entry(*key).or_insert(before);
        let none = of_account.map(|(account, account_id)| KeyUse {
            account,
            account_id,
            sessions: 0,
            subscribed: Subscribed::default(),
        });
        let mut new = before.or(none).expect("a key without sessions comes with its account");
        change(&mut new);
        let new = (new.sessions > 0).then_some(new);
        self.rank_key(key, new);
        restore(&mut self.keys, *key, new);
        let count = |of_key: &KeyUse| (of_key.sessions, of_key.subscribed.count);
        let (old, new) = (before.as_ref().map_or((0, 0), count), new.as_ref().map_or((0, 0), count));
        self.change_extent(|extent| {
            extent.sessions = extent.sessions + new.0 - old.0;
            extent.subscriptions = extent.subscriptions + new.1 - old.1;
        });
    }

    /// Of each key, its sessions and the bytes that are kept for it, as they are ranked.
    #[cfg(test)]
    pub(super) fn key_usage(&self) -> std::collections::BTreeMap<KeyBytes, (usize, usize)> {
        assert!(self.unranked.is_empty(), "a group has ended");
        let mut key_usage = std::collections::BTreeMap::<_, (usize, usize)>::new();
        self.session_shares.keys().for_each(|(key, sessions)| key_usage.entry(key).or_default().0 = sessions);
        self.byte_shares.keys().for_each(|(key, bytes)| key_usage.entry(key).or_default().1 = bytes);
        key_usage
    }

    fn rank_key(&mut self, key: &KeyHash, new: Option<KeyUse>) {
        let old = self.keys.get(key).copied();
        if let Some(KeyUse { account, .. }) = old.or(new) {
            let sessions = |of_key: Option<KeyUse>| of_key.map_or(0, |of_key| of_key.sessions);
            self.session_shares.change(Owner { account, key: key.0 }, sessions(old), sessions(new));
        }
    }
}

fn size(row: &Row<'_>, column: usize) -> Result<usize, Fault> {
    usize::try_from(row.get::<_, i64>(column)?).map_err(|_| Fault::Corrupt("a negative size"))
}

fn restore<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, before: Option<V>) {
    match before {
        Some(before) => map.insert(key, before),
        None => map.remove(&key),
    };
}

/// The account of a key that is there.
fn owner_of_key(connection: &Connection, key: &KeyHash) -> Result<Option<(AccountNumber, Id)>, Fault> {
    read::one(connection, OWNER_OF_KEY, [&key.0[..]], |row| Ok((row.get(0)?, column::id(row, 1)?)))
}

fn key_hash(row: &Row<'_>, column: usize) -> Result<KeyHash, Fault> {
    let key: Vec<u8> = row.get(column)?;
    Ok(KeyHash(KeyBytes::try_from(key).map_err(|_| Fault::Corrupt("session.key"))?))
}

fn number(connection: &Connection, key: &KeyHash, client_id: &str) -> Result<Option<i64>, Fault> {
    read::one(connection, SESSION, params![&key.0[..], client_id], |row| Ok(row.get(0)?))
}

pub(super) fn has_subscription(
    connection: &Connection,
    session: SessionNumber,
    filter: &[u8],
) -> Result<bool, Fault> {
    Ok(read::one(connection, SUBSCRIPTION, params![session.number, filter], |_| Ok(()))?.is_some())
}

pub(super) fn is_received(
    connection: &Connection,
    session: SessionNumber,
    packet_id: u16,
) -> Result<bool, Fault> {
    Ok(read::one(connection, IS_RECEIVED, params![session.number, packet_id], |_| Ok(()))?.is_some())
}

pub(super) fn receive(connection: &Connection, session: SessionNumber, packet_id: u16) -> Result<(), Fault> {
    connection.prepare_cached(RECEIVE)?.execute(params![session.number, packet_id])?;
    Ok(())
}

pub(super) fn release(connection: &Connection, session: SessionNumber, packet_id: u16) -> Result<(), Fault> {
    connection.prepare_cached(RELEASE)?.execute(params![session.number, packet_id])?;
    Ok(())
}

/// A row of number, filter, topic, cursor, sent.
pub(in crate::sqlite) fn subscription(row: &Row<'_>) -> Result<StoredSubscription, Fault> {
    let topic: Option<TopicNumber> = row.get(2)?;
    let (cursor, sent) = (row.get::<_, i64>(3)? as Sequence, row.get::<_, i64>(4)? as Sequence);
    let queue = topic.map(|topic| (topic, Progress { cursor, sent }));
    Ok(StoredSubscription { number: row.get(0)?, filter: row.get(1)?, queue })
}

fn in_flight_column(in_flight: &[InFlight]) -> Vec<u8> {
    let mut column = Vec::with_capacity(in_flight.len() * IN_FLIGHT_BYTES);
    for InFlight { packet_id, subscription, seq } in in_flight {
        column.extend_from_slice(&packet_id.to_be_bytes());
        column.extend_from_slice(&subscription.to_be_bytes());
        column.extend_from_slice(&seq.to_be_bytes());
    }
    column
}

/// What [`in_flight_column`] wrote.
pub(in crate::sqlite) fn read_in_flight(column: &[u8]) -> Result<Vec<InFlight>, Fault> {
    let (entries, rest) = column.as_chunks::<IN_FLIGHT_BYTES>();
    if !rest.is_empty() {
        return Err(Fault::Corrupt("session.in_flight"));
    }
    let read = |entry: &[u8; IN_FLIGHT_BYTES]| {
        let (packet_id, rest) = entry.split_first_chunk().expect("two of 18 bytes");
        let (subscription, rest) = rest.split_first_chunk().expect("eight of 16 bytes");
        let seq = rest.first_chunk().expect("the other eight");
        InFlight {
            packet_id: u16::from_be_bytes(*packet_id),
            subscription: SubscriptionNumber::from_be_bytes(*subscription),
            seq: Sequence::from_be_bytes(*seq),
        }
    };
    Ok(entries.iter().map(read).collect())
}

const SESSIONS: &str = "SELECT session.num, session.key, count(filter), coalesce(sum(length(filter)), 0)
    FROM session LEFT JOIN session_subscription ON session_subscription.session = session.num
    GROUP BY session.num";

const SESSION: &str = "SELECT num FROM session WHERE key = ?1 AND client_id = ?2";

const KEY_OF: &str = "SELECT key FROM session WHERE num = ?1 AND epoch = ?2";

const OWNER_OF_KEY: &str = "SELECT api_key.account, account.id FROM api_key
    JOIN account ON account.num = api_key.account WHERE api_key.hash = ?1";

const ANY_OF_KEY: &str = "SELECT num FROM session WHERE key = ?1 LIMIT 1";

const ADD_SESSION: &str = "INSERT INTO session (key, client_id, epoch, in_flight) VALUES (?1, ?2, 1, x'')";

const ENTER: &str = "UPDATE session SET left_at_ms = NULL, epoch = epoch + 1 WHERE num = ?1 RETURNING epoch";

const LEAVE_ALL: &str = "UPDATE session SET left_at_ms = ?1 WHERE left_at_ms IS NULL";

const END_OF_GONE_KEYS: &str = "INSERT OR IGNORE INTO ended_session_key (key)
    SELECT key FROM session WHERE NOT EXISTS (SELECT 1 FROM api_key WHERE hash = session.key)";

const REMOVE_SESSION: &str = "DELETE FROM session WHERE num = ?1";

const SAVE_SESSION: &str =
    "UPDATE session SET left_at_ms = coalesce(?2, left_at_ms), in_flight = coalesce(?3, in_flight)
    WHERE num = ?1";

const SUBSCRIPTION: &str = "SELECT num, filter, topic, cursor, sent FROM session_subscription
    WHERE session = ?1 AND filter = ?2";

const ADD_SUBSCRIPTION: &str = "INSERT INTO session_subscription (session, filter, topic, cursor, sent)
    VALUES (?1, ?2, ?3, ?4, ?4)";

const SET_SUBSCRIPTION: &str =
    "UPDATE session_subscription SET topic = ?2, cursor = ?3, sent = ?4 WHERE num = ?1";

const SAVE_SUBSCRIPTION: &str =
    "UPDATE session_subscription SET cursor = max(cursor, ?2), sent = max(sent, ?3)
    WHERE num = ?1 RETURNING topic";

const REMOVE_SUBSCRIPTION: &str =
    "DELETE FROM session_subscription WHERE session = ?1 AND filter = ?2 RETURNING topic";

const IS_RECEIVED: &str = "SELECT 1 FROM session_received WHERE session = ?1 AND packet_id = ?2";

const RECEIVE: &str = "INSERT OR IGNORE INTO session_received (session, packet_id)
    SELECT num, ?2 FROM session WHERE num = ?1";

const RELEASE: &str = "DELETE FROM session_received WHERE session = ?1 AND packet_id = ?2";

/// Every statement of this file but those of the server's start, for the test that looks at how SQLite goes about them.
#[cfg(test)]
const OWN_STATEMENTS: &[&str] = &[
    SESSION,
    KEY_OF,
    OWNER_OF_KEY,
    ANY_OF_KEY,
    ADD_SESSION,
    ENTER,
    REMOVE_SESSION,
    SAVE_SESSION,
    SUBSCRIPTION,
    ADD_SUBSCRIPTION,
    SET_SUBSCRIPTION,
    SAVE_SUBSCRIPTION,
    REMOVE_SUBSCRIPTION,
    IS_RECEIVED,
    RECEIVE,
    RELEASE,
];

#[cfg(test)]
pub(super) const STATEMENTS: [&[&str]; 3] = [OWN_STATEMENTS, ending::STATEMENTS, queue::STATEMENTS];
