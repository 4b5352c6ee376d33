//! Durable sessions, and the notifications that are kept for them.
//!
//! Which topics are kept, and how much of each, is in memory as well: every event of the server asks for it. The
//! database has it as of the last commit, and a group that is rolled back leaves no trace in either.

use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, Row, params};

use super::{Fault, read};
use crate::store::{
    KeyHash, Sequence, TimestampMs,
    session::{
        InFlight, KeptExtent, KeptLimits, KeptNote, OpenedSession, Progress, SessionNumber, SessionProgress,
        StoredSubscription, SubscriptionNumber, TopicNumber,
    },
};

/// Notifications that are dropped at a time where there are too many, at the most.
const DROPPED_AT_ONCE: usize = 64;

/// One topic may take this part of the bytes that all may take.
const TOPIC_SHARE: usize = 16;

/// Notifications that are freed at a time.
const FREED_AT_ONCE: usize = 500;

/// Bytes of one entry of `session.in_flight`.
const IN_FLIGHT_BYTES: usize = 18;

/// A topic for which notifications are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Extent {
    notes: usize,
    bytes: usize,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Topics of which there may be more to free than was freed.
    loose: HashSet<TopicNumber>,
    topics: HashMap<Box<[u8]>, TopicNumber>,
    extents: HashMap<TopicNumber, Extent>,
    extent: KeptExtent,
    before: Before,
}

/// What a group has changed, as it was before.
#[derive(Debug, Default)]
struct Before {
    extents: HashMap<TopicNumber, Option<Extent>>,
    topics: HashMap<Box<[u8]>, Option<TopicNumber>>,
    extent: Option<KeptExtent>,
}

impl Sessions {
    pub(super) fn open(connection: &Connection) -> Result<Self, Fault> {
        let mut extent = KeptExtent {
            sessions: connection.query_row(COUNT_SESSIONS, [], |row| Ok(size(row, 0)))??,
            subscriptions: connection.query_row(COUNT_SUBSCRIPTIONS, [], |row| Ok(size(row, 0)))??,
            ..KeptExtent::default()
        };
        let (mut topics, mut extents, mut loose) = (HashMap::new(), HashMap::new(), HashSet::new());
        let mut statement = connection.prepare(TOPICS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (number, route): (TopicNumber, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
            let of_topic = Extent { notes: size(row, 2)?, bytes: size(row, 3)? };
            extent.notes += of_topic.notes;
            extent.bytes += of_topic.bytes;
            match route {
                Some(route) => drop(topics.insert(route.into(), number)),
                None => drop(loose.insert(number)),
            }
            extents.insert(number, of_topic);
        }
        Ok(Self { loose, topics, extents, extent, before: Before::default() })
    }

    pub(super) fn keeps(&self) -> bool {
        !self.topics.is_empty()
    }

    pub(super) fn extent(&self) -> KeptExtent {
        self.extent
    }

    pub(super) fn topic(&self, route: &[u8]) -> Option<TopicNumber> {
        self.topics.get(route).copied()
    }

    /// Writes down how much of each topic is kept, at the end of a group.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<(), Fault> {
        for topic in self.before.extents.keys() {
            if let Some(Extent { notes, bytes }) = self.extents.get(topic) {
                connection.prepare_cached(SET_EXTENT)?.execute(params![
                    topic,
                    *notes as i64,
                    *bytes as i64
                ])?;
            }
        }
        Ok(())
    }

    /// The group is in the database.
    pub(super) fn committed(&mut self) {
        if self.before.extent.is_some() {
            self.before = Before::default();
        }
    }

    /// The group is rolled back.
    pub(super) fn forget(&mut self) {
        let Before { extents, topics, extent } = std::mem::take(&mut self.before);
        // What was freed is there again.
        self.loose.extend(extents.keys());
        for (topic, before) in extents {
            restore(&mut self.extents, topic, before);
        }
        for (route, before) in topics {
            restore(&mut self.topics, route, before);
        }
        self.extent = extent.unwrap_or(self.extent);
    }

    pub(super) fn open_session(
        &mut self,
        connection: &Connection,
        key: &KeyHash,
        client_id: &str,
        limits: &KeptLimits,
    ) -> Result<OpenedSession, Fault> {
        if let Some(number) = number(connection, key, client_id)? {
            let epoch = connection.prepare_cached(ENTER)?.query_row([number], |row| row.get(0))?;
            return Ok(OpenedSession::Resumed(SessionNumber { number, epoch }));
        }
        let most = i64::try_from(limits.sessions_per_key).unwrap_or(i64::MAX);
        let of_key = connection
            .prepare_cached(COUNT_OF_KEY)?
            .query_row(params![&key.0[..], most], |row| Ok(size(row, 0)))??;
        if self.extent.sessions >= limits.sessions || of_key >= limits.sessions_per_key {
            return Ok(OpenedSession::TooMany);
        }
        connection.prepare_cached(ADD_SESSION)?.execute(params![&key.0[..], client_id])?;
        self.change_extent(|extent| extent.sessions += 1);
        Ok(OpenedSession::Started(SessionNumber { number: connection.last_insert_rowid(), epoch: 1 }))
    }

    pub(super) fn end_session(
        &mut self,
        connection: &Connection,
        key: &KeyHash,
        client_id: &str,
    ) -> Result<(), Fault> {
        match number(connection, key, client_id)? {
            Some(session) => self.end(connection, session),
            None => Ok(()),
        }
    }

    /// Ends all sessions of a key that is taken away.
    pub(super) fn end_sessions_of(&mut self, connection: &Connection, key: &KeyHash) -> Result<(), Fault> {
        while let Some(session) = read::one(connection, ANY_OF_KEY, [&key.0[..]], |row| Ok(row.get(0)?))? {
            self.end(connection, session)?;
        }
        Ok(())
    }

    fn end(&mut self, connection: &Connection, session: i64) -> Result<(), Fault> {
        let (mut topics, mut subscriptions) = (Vec::new(), 0);
        {
            let mut statement = connection.prepare_cached(REMOVE_SUBSCRIPTIONS)?;
            let mut rows = statement.query([session])?;
            while let Some(row) = rows.next()? {
                topics.extend(row.get::<_, Option<TopicNumber>>(0)?);
                subscriptions += 1;
            }
        }
        connection.prepare_cached(RELEASE_ALL)?.execute([session])?;
        connection.prepare_cached(REMOVE_SESSION)?.execute([session])?;
        self.change_extent(|extent| {
            extent.sessions -= 1;
            extent.subscriptions -= subscriptions;
        });
        topics.into_iter().try_for_each(|topic| self.loosen(connection, topic))
    }

    pub(super) fn expire(
        &mut self,
        connection: &Connection,
        left_before_ms: TimestampMs,
        most: usize,
    ) -> Result<usize, Fault> {
        let mut expired = 0;
        while expired < most
            && let Some(session) = read::one(connection, LONG_GONE, [left_before_ms], |row| Ok(row.get(0)?))?
        {
            self.end(connection, session)?;
            expired += 1;
        }
        let dropped = self.drop_oldest(connection, most, Some(left_before_ms))?;
        self.change_extent(|extent| extent.lost_to_age += dropped as u64);
        Ok(expired)
    }

    pub(super) fn put_subscription(
        &mut self,
        connection: &Connection,
        session: SessionNumber,
        filter: &[u8],
        route: Option<&[u8]>,
        last: Sequence,
    ) -> Result<Option<StoredSubscription>, Fault> {
        if !is_current(connection, session)? {
            return Ok(None);
        }
        let session = session.number;
        let topic = route.map(|route| self.retain(connection, route)).transpose()?;
        let before = read::one(connection, SUBSCRIPTION, params![session, filter], subscription)?;
        let Some(before) = before else {
            let last = last as i64;
            connection.prepare_cached(ADD_SUBSCRIPTION)?.execute(params![session, filter, topic, last])?;
            let kept =
                topic.map(|topic| (topic, Progress { cursor: last as Sequence, sent: last as Sequence }));
            let number = connection.last_insert_rowid();
            self.change_extent(|extent| extent.subscriptions += 1);
            return Ok(Some(StoredSubscription { number, filter: filter.to_vec(), kept }));
        };
        let kept = match (before.kept, topic) {
            (Some((old, progress)), Some(topic)) if old == topic => Some((topic, progress)),
            (_, Some(topic)) => Some((topic, Progress { cursor: last, sent: last })),
            (_, None) => None,
        };
        let Progress { cursor, sent } = kept.map_or(Progress { cursor: last, sent: last }, |(_, it)| it);
        connection.prepare_cached(SET_SUBSCRIPTION)?.execute(params![
            before.number,
            topic,
            cursor as i64,
            sent as i64
        ])?;
        if let Some((old, _)) = before.kept
            && topic != Some(old)
        {
            self.loosen(connection, old)?;
        }
        Ok(Some(StoredSubscription { kept, ..before }))
    }

    pub(super) fn remove_subscription(
        &mut self,
        connection: &Connection,
        session: SessionNumber,
        filter: &[u8],
    ) -> Result<(), Fault> {
        if !is_current(connection, session)? {
            return Ok(());
        }
        let topic = read::one(connection, REMOVE_SUBSCRIPTION, params![session.number, filter], |row| {
            Ok(row.get::<_, Option<TopicNumber>>(0)?)
        })?;
        let Some(topic) = topic else { return Ok(()) };
        self.change_extent(|extent| extent.subscriptions -= 1);
        topic.map_or(Ok(()), |topic| self.loosen(connection, topic))
    }

    pub(super) fn save(
        &mut self,
        connection: &Connection,
        progress: &SessionProgress,
        at_ms: TimestampMs,
    ) -> Result<(), Fault> {
        if !is_current(connection, progress.session)? {
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
        for topic in moved {
            self.trim(connection, topic)?;
        }
        Ok(())
    }

    pub(super) fn keep(
        &mut self,
        connection: &Connection,
        topic: TopicNumber,
        at_ms: TimestampMs,
        note: &KeptNote,
        limits: &KeptLimits,
    ) -> Result<(), Fault> {
        let KeptNote { seq, scopes, body } = note;
        connection.prepare_cached(KEEP)?.execute(params![*seq as i64, topic, at_ms, scopes, body])?;
        self.change_notes(topic, |extent| {
            extent.notes += 1;
            extent.bytes += bytes_of(scopes.len(), body.len());
        });
        if self.extents.get(&topic).is_some_and(|extent| extent.notes > limits.messages_per_topic) {
            let most = (limits.messages_per_topic / 16 + 1).min(DROPPED_AT_ONCE) as i64;
            let dropped = self.drop_notes(connection, DROP_FIRST, params![topic, most])?;
            self.change_extent(|extent| extent.lost_to_count += dropped as u64);
        }
        // One topic alone never takes what others need.
        let bytes_max = (limits.bytes / TOPIC_SHARE).max(bytes_of(scopes.len(), body.len()));
        while self.extents.get(&topic).is_some_and(|extent| extent.bytes > bytes_max) {
            let dropped = self.drop_notes(connection, DROP_FIRST, params![topic, 1])?;
            self.change_extent(|extent| extent.lost_to_bytes += dropped as u64);
            if dropped == 0 {
                break;
            }
        }
        while self.extent.bytes > limits.bytes {
            let dropped = self.drop_oldest(connection, DROPPED_AT_ONCE, None)?;
            self.change_extent(|extent| extent.lost_to_bytes += dropped as u64);
            if dropped == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Drops the oldest notifications of all topics; where a time is given, those that are older.
    fn drop_oldest(
        &mut self,
        connection: &Connection,
        most: usize,
        before_ms: Option<TimestampMs>,
    ) -> Result<usize, Fault> {
        self.drop_notes(connection, DROP_OLDEST, params![most as i64, before_ms.unwrap_or(TimestampMs::MAX)])
    }

    /// A topic has a subscription less: what it needs no more is freed later, in parts.
    fn loosen(&mut self, connection: &Connection, topic: TopicNumber) -> Result<(), Fault> {
        self.loose.insert(topic);
        if least_cursor(connection, topic)?.is_some() {
            return Ok(());
        }
        let route: Option<Vec<u8>> = read::one(connection, ROUTE, [topic], |row| Ok(row.get(0)?))?.flatten();
        if let Some(route) = route {
            connection.prepare_cached(UNNAME_TOPIC)?.execute([topic])?;
            self.change_topic(&route, None);
        }
        Ok(())
    }

    /// Frees some of what nobody needs any more of a topic, and the topic itself when nobody subscribes to it and nothing of
    /// it is left. Returns whether there may be more.
    fn trim(&mut self, connection: &Connection, topic: TopicNumber) -> Result<bool, Fault> {
        let cursor = least_cursor(connection, topic)?;
        let up_to = cursor.unwrap_or(i64::MAX);
        let most = FREED_AT_ONCE as i64;
        let dropped = self.drop_notes(connection, DROP_ACKNOWLEDGED, params![topic, up_to, most])?;
        if dropped >= FREED_AT_ONCE {
            self.loose.insert(topic);
            return Ok(true);
        }
        if cursor.is_none() && connection.prepare_cached(REMOVE_TOPIC)?.execute([topic])? == 1 {
            self.change_notes(topic, |_| {});
            self.extents.remove(&topic);
        }
        Ok(false)
    }

    /// Whether there may be something to free.
    pub(super) fn is_loose(&self) -> bool {
        !self.loose.is_empty()
    }

    /// Frees a part of what nobody needs any more.
    pub(super) fn free(&mut self, connection: &Connection) -> Result<(), Fault> {
        for _ in 0..FREED_AT_ONCE {
            let Some(topic) = self.loose.iter().next().copied() else { break };
            self.loose.remove(&topic);
            if self.trim(connection, topic)? {
                break;
            }
        }
        Ok(())
    }

    /// Runs a deletion that returns the topic and the bytes of each row.
    fn drop_notes(
        &mut self,
        connection: &Connection,
        deletion: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<usize, Fault> {
        let mut statement = connection.prepare_cached(deletion)?;
        let mut rows = statement.query(parameters)?;
        let mut dropped = 0;
        while let Some(row) = rows.next()? {
            let (topic, scopes, body) = (row.get(0)?, size(row, 1)?, size(row, 2)?);
            self.change_notes(topic, |extent| {
                extent.notes = extent.notes.saturating_sub(1);
                extent.bytes = extent.bytes.saturating_sub(bytes_of(scopes, body));
            });
            dropped += 1;
        }
        Ok(dropped)
    }

    fn retain(&mut self, connection: &Connection, route: &[u8]) -> Result<TopicNumber, Fault> {
        if let Some(topic) = self.topic(route) {
            return Ok(topic);
        }
        connection.prepare_cached(ADD_TOPIC)?.execute([route])?;
        let topic = connection.last_insert_rowid();
        self.change_topic(route, Some(topic));
        self.change_notes(topic, |_| {});
        Ok(topic)
    }

    fn change_extent(&mut self, change: impl FnOnce(&mut KeptExtent)) {
        self.before.extent.get_or_insert(self.extent);
        change(&mut self.extent);
    }

    fn change_topic(&mut self, route: &[u8], topic: Option<TopicNumber>) {
        let before = self.topic(route);
        self.before.topics.entry(route.into()).or_insert(before);
        restore(&mut self.topics, route.into(), topic);
        self.change_extent(|_| {});
    }

    fn change_notes(&mut self, topic: TopicNumber, change: impl FnOnce(&mut Extent)) {
        let before = self.extents.get(&topic).copied();
        self.before.extents.entry(topic).or_insert(before);
        let of_topic = self.extents.entry(topic).or_default();
        let old = *of_topic;
        change(of_topic);
        let new = *of_topic;
        self.change_extent(|extent| {
            extent.notes = extent.notes + new.notes - old.notes;
            extent.bytes = extent.bytes + new.bytes - old.bytes;
        });
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

/// What a notification counts, in bytes: about what its row and the index take.
fn bytes_of(scopes: usize, body: usize) -> usize {
    const ROW_BYTES: usize = 48;
    ROW_BYTES + scopes + body
}

fn least_cursor(connection: &Connection, topic: TopicNumber) -> Result<Option<i64>, Fault> {
    Ok(read::one(connection, LEAST_CURSOR, [topic], |row| Ok(row.get::<_, Option<i64>>(0)?))?.flatten())
}

pub(super) fn is_current(connection: &Connection, session: SessionNumber) -> Result<bool, Fault> {
    let SessionNumber { number, epoch } = session;
    Ok(read::one(connection, IS_CURRENT, [number, epoch], |_| Ok(()))?.is_some())
}

fn number(connection: &Connection, key: &KeyHash, client_id: &str) -> Result<Option<i64>, Fault> {
    read::one(connection, SESSION, params![&key.0[..], client_id], |row| Ok(row.get(0)?))
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

pub(super) fn leave_all(connection: &Connection, at_ms: TimestampMs) -> Result<(), Fault> {
    connection.prepare_cached(LEAVE_ALL)?.execute([at_ms])?;
    Ok(())
}

/// A row of number, filter, topic, cursor, sent.
pub(in crate::store::sqlite) fn subscription(row: &Row<'_>) -> Result<StoredSubscription, Fault> {
    let topic: Option<TopicNumber> = row.get(2)?;
    let (cursor, sent) = (row.get::<_, i64>(3)? as Sequence, row.get::<_, i64>(4)? as Sequence);
    let kept = topic.map(|topic| (topic, Progress { cursor, sent }));
    Ok(StoredSubscription { number: row.get(0)?, filter: row.get(1)?, kept })
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
pub(in crate::store::sqlite) fn read_in_flight(column: &[u8]) -> Result<Vec<InFlight>, Fault> {
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

const COUNT_SESSIONS: &str = "SELECT count(*) FROM session";

const COUNT_SUBSCRIPTIONS: &str = "SELECT count(*) FROM session_subscription";

const TOPICS: &str = "SELECT num, route, notes, bytes FROM session_topic";

const SESSION: &str = "SELECT num FROM session WHERE key = ?1 AND client_id = ?2";

const IS_CURRENT: &str = "SELECT 1 FROM session WHERE num = ?1 AND epoch = ?2";

const ANY_OF_KEY: &str = "SELECT num FROM session WHERE key = ?1 LIMIT 1";

/// Counts no further than it must.
const COUNT_OF_KEY: &str = "SELECT count(*) FROM (SELECT 1 FROM session WHERE key = ?1 LIMIT ?2)";

const ADD_SESSION: &str = "INSERT INTO session (key, client_id, epoch, in_flight) VALUES (?1, ?2, 1, x'')";

const ENTER: &str = "UPDATE session SET left_at_ms = NULL, epoch = epoch + 1 WHERE num = ?1 RETURNING epoch";

const LEAVE_ALL: &str = "UPDATE session SET left_at_ms = ?1 WHERE left_at_ms IS NULL";

const LONG_GONE: &str = "SELECT num FROM session WHERE left_at_ms < ?1 ORDER BY left_at_ms LIMIT 1";

const REMOVE_SESSION: &str = "DELETE FROM session WHERE num = ?1";

const SAVE_SESSION: &str =
    "UPDATE session SET left_at_ms = coalesce(?2, left_at_ms), in_flight = coalesce(?3, in_flight)
    WHERE num = ?1";

const ADD_TOPIC: &str = "INSERT INTO session_topic (route, notes, bytes) VALUES (?1, 0, 0)";

const SET_EXTENT: &str = "UPDATE session_topic SET notes = ?2, bytes = ?3 WHERE num = ?1";

const ROUTE: &str = "SELECT route FROM session_topic WHERE num = ?1";

const UNNAME_TOPIC: &str = "UPDATE session_topic SET route = NULL WHERE num = ?1";

const REMOVE_TOPIC: &str = "DELETE FROM session_topic WHERE num = ?1";

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

const REMOVE_SUBSCRIPTIONS: &str = "DELETE FROM session_subscription WHERE session = ?1 RETURNING topic";

const LEAST_CURSOR: &str = "SELECT min(cursor) FROM session_subscription WHERE topic = ?1";

const KEEP: &str = "INSERT INTO session_note (seq, topic, at, scopes, body) VALUES (?1, ?2, ?3, ?4, ?5)";

const DROP_ACKNOWLEDGED: &str = "DELETE FROM session_note WHERE (seq, topic) IN
    (SELECT seq, topic FROM session_note WHERE topic = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)
    RETURNING topic, length(scopes), length(body)";

const DROP_FIRST: &str = "DELETE FROM session_note WHERE (seq, topic) IN
    (SELECT seq, topic FROM session_note WHERE topic = ?1 ORDER BY seq LIMIT ?2)
    RETURNING topic, length(scopes), length(body)";

const DROP_OLDEST: &str = "DELETE FROM session_note WHERE (seq, topic) IN
    (SELECT seq, topic FROM session_note ORDER BY seq, topic LIMIT ?1) AND at < ?2
    RETURNING topic, length(scopes), length(body)";

const IS_RECEIVED: &str = "SELECT 1 FROM session_received WHERE session = ?1 AND packet_id = ?2";

const RECEIVE: &str = "INSERT OR IGNORE INTO session_received (session, packet_id)
    SELECT num, ?2 FROM session WHERE num = ?1";

const RELEASE: &str = "DELETE FROM session_received WHERE session = ?1 AND packet_id = ?2";

const RELEASE_ALL: &str = "DELETE FROM session_received WHERE session = ?1";

/// Every statement of this file but those of the server's start, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    SESSION,
    IS_CURRENT,
    ANY_OF_KEY,
    COUNT_OF_KEY,
    ADD_SESSION,
    ENTER,
    LONG_GONE,
    REMOVE_SESSION,
    SAVE_SESSION,
    ADD_TOPIC,
    SET_EXTENT,
    ROUTE,
    UNNAME_TOPIC,
    REMOVE_TOPIC,
    SUBSCRIPTION,
    ADD_SUBSCRIPTION,
    SET_SUBSCRIPTION,
    SAVE_SUBSCRIPTION,
    REMOVE_SUBSCRIPTION,
    REMOVE_SUBSCRIPTIONS,
    LEAST_CURSOR,
    KEEP,
    DROP_ACKNOWLEDGED,
    DROP_FIRST,
    DROP_OLDEST,
    IS_RECEIVED,
    RECEIVE,
    RELEASE,
    RELEASE_ALL,
];
