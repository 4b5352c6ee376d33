//! The notifications that are kept for durable sessions: added, dropped above a bound, and freed once they are not needed.
//!
//! A notification is kept once for its topic, and counts for the key that is furthest behind on that topic: that key is
//! why it is still there. What a topic without subscriptions still holds counts for no key, and is dropped first.

use rusqlite::{Connection, params};

use super::{Owner, Sessions, key_hash, restore, size};
use crate::{
    KeyHash, TimestampMs,
    session_queue::{QueueLimits, QueueStats, QueuedMessage, TopicNumber},
    sqlite::{fault::Fault, read},
};

/// Notifications that are dropped at a time where there are too many, at the most.
const DROPPED_AT_ONCE: usize = 64;

/// One topic may take this part of the bytes that all may take.
const TOPIC_SHARE: usize = 16;

/// Subscriptions of ended sessions that are passed over in search of one that counts. With more, they are freed first.
const ENDED_PASSED_OVER: usize = 16;

/// Topics of which it is found at a time that they count for another key than before.
const CORRECTED_AT_ONCE: usize = 16;

/// How much is kept for a topic, and for whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    messages: usize,
    bytes: usize,
    /// The key that is furthest behind; `None` for a topic without subscriptions.
    holder: Option<Owner>,
}

impl Sessions {
    pub(super) fn read_topics(&mut self, connection: &Connection) -> Result<(), Fault> {
        let mut statement = connection.prepare(TOPICS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (number, route): (TopicNumber, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
            let (messages, bytes) = (size(row, 2)?, size(row, 3)?);
            self.change_messages(number, |extent| (extent.messages, extent.bytes) = (messages, bytes));
            // What was acknowledged before the last stop may not be freed yet.
            if route.is_none() || messages > 0 {
                self.garbage.insert(number);
            }
            if let Some(route) = route {
                self.topics.insert(route.into(), number);
            }
        }
        let mut statement = connection.prepare(HOLDERS)?;
        let mut rows = statement.query([])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let topic: TopicNumber = row.get(0)?;
            if last != Some(topic)
                && let Some(owner) = self.owner(&key_hash(row, 1)?)
            {
                last = Some(topic);
                self.change_messages(topic, |extent| extent.holder = Some(owner));
            }
        }
        Ok(())
    }

    pub(in crate::sqlite::write) fn topic(&self, route: &[u8]) -> Option<TopicNumber> {
        self.topics.get(route).copied()
    }

    /// Writes down how much of each topic is kept, at the end of a group.
    pub(in crate::sqlite::write) fn flush(&mut self, connection: &Connection) -> Result<(), Fault> {
        for topic in self.before.extents.keys() {
            if let Some(Extent { messages, bytes, .. }) = self.extents.get(topic) {
                connection.prepare_cached(SET_EXTENT)?.execute(params![
                    topic,
                    *messages as i64,
                    *bytes as i64
                ])?;
            }
        }
        self.rank();
        Ok(())
    }

    pub(in crate::sqlite::write) fn enqueue(
        &mut self,
        connection: &Connection,
        topic: TopicNumber,
        at_ms: TimestampMs,
        message: &QueuedMessage,
        limits: &QueueLimits,
    ) -> Result<(), Fault> {
        let QueuedMessage { seq, scopes, body } = message;
        connection.prepare_cached(KEEP)?.execute(params![*seq as i64, topic, at_ms, scopes, body])?;
        self.change_messages(topic, |extent| {
            extent.messages += 1;
            extent.bytes += bytes_of(scopes.len(), body.len());
        });
        if self.extents.get(&topic).is_some_and(|extent| extent.messages > limits.messages_per_topic) {
            let most = (limits.messages_per_topic / 16 + 1).min(DROPPED_AT_ONCE) as i64;
            let is_needed = self.find_holder(connection, topic)?.is_some();
            let dropped = self.drop_messages(connection, DROP_FIRST, params![topic, most])?;
            self.change_extent(|extent| extent.lost_to_count += if is_needed { dropped as u64 } else { 0 });
        }
        // One topic alone never takes what others need.
        let bytes_max = (limits.bytes / TOPIC_SHARE).max(bytes_of(scopes.len(), body.len()));
        while let Some(over) = self.extents.get(&topic).and_then(|extent| over(extent.bytes, bytes_max)) {
            if !self.drop_lost(connection, topic, over)? {
                break;
            }
        }
        while let Some(over) = over(self.extent.bytes, limits.bytes) {
            if !self.give_way(connection, over, limits)? {
                break;
            }
        }
        Ok(())
    }

    /// Drops some of what is `over` the bytes that all topics may hold. Notifications that no session needs go first, then
    /// the oldest of a topic of the key that holds most, in the account that holds most. Returns whether there was
    /// something.
    fn give_way(
        &mut self,
        connection: &Connection,
        over: usize,
        limits: &QueueLimits,
    ) -> Result<bool, Fault> {
        for _ in 0..CORRECTED_AT_ONCE {
            self.rank();
            if let Some((topic, _)) = self.topic_shares.largest(None) {
                return Ok(self.drop_first_bytes(connection, topic, over)? > 0);
            }
            let Some((account, most)) = self.byte_shares.largest_account() else { return Ok(false) };
            let share = limits.bytes / self.byte_shares.accounts().max(1);
            let topic = self
                .byte_shares
                .largest_key(account)
                .and_then(|(owner, _)| self.topic_shares.largest(Some(owner)));
            let Some((topic, _)) = topic else { return Ok(false) };
            let holder = self.holder(topic);
            self.find_holder(connection, topic)?;
            if self.holder(topic) == holder {
                return self.drop_lost(connection, topic, over.min(most.saturating_sub(share)));
            }
            // It counted for a session that has ended: from here on it counts for another one, or for none.
        }
        Ok(false)
    }

    fn holder(&self, topic: TopicNumber) -> Option<Owner> {
        self.extents.get(&topic).and_then(|extent| extent.holder)
    }

    /// Drops the first notifications of a topic though they are needed, until it has `bytes` less. Returns whether there
    /// were any.
    fn drop_lost(
        &mut self,
        connection: &Connection,
        topic: TopicNumber,
        bytes: usize,
    ) -> Result<bool, Fault> {
        let is_needed = self.find_holder(connection, topic)?.is_some();
        let holder = self.holder(topic);
        let dropped = self.drop_first_bytes(connection, topic, bytes)?;
        if is_needed {
            let of_key = holder.and_then(|owner| self.keys.get(&KeyHash(owner.key)));
            let account = of_key.map(|of_key| of_key.account_id);
            self.change_extent(|extent| {
                extent.lost_to_bytes += dropped as u64;
                extent.lost_of = account.or(extent.lost_of);
            });
        }
        Ok(dropped > 0)
    }

    /// Drops the first notifications of a topic: the fewest that have so many bytes, but at least one and not more than
    /// [`DROPPED_AT_ONCE`].
    fn drop_first_bytes(
        &mut self,
        connection: &Connection,
        topic: TopicNumber,
        bytes: usize,
    ) -> Result<usize, Fault> {
        let (mut up_to, mut found) = (None, 0);
        {
            let mut statement = connection.prepare_cached(FIRST_SIZES)?;
            let mut rows = statement.query(params![topic, DROPPED_AT_ONCE as i64])?;
            while (up_to.is_none() || found < bytes)
                && let Some(row) = rows.next()?
            {
                up_to = Some(row.get::<_, i64>(0)?);
                found += bytes_of(size(row, 1)?, size(row, 2)?);
            }
        }
        let Some(up_to) = up_to else { return Ok(0) };
        self.drop_messages(connection, DROP_ACKNOWLEDGED, params![topic, up_to, DROPPED_AT_ONCE as i64])
    }

    /// Drops the oldest notifications of all topics that are older than this.
    pub(super) fn drop_old(
        &mut self,
        connection: &Connection,
        most: usize,
        before_ms: TimestampMs,
    ) -> Result<usize, Fault> {
        self.drop_messages(connection, DROP_OLDEST, params![most as i64, before_ms])
    }

    /// A topic has a subscription less: what it needs no more is freed later, in parts.
    pub(super) fn mark_for_gc(&mut self, connection: &Connection, topic: TopicNumber) -> Result<(), Fault> {
        self.garbage.insert(topic);
        if self.find_holder(connection, topic)?.is_some() {
            return Ok(());
        }
        let route: Option<Vec<u8>> = read::one(connection, ROUTE, [topic], |row| Ok(row.get(0)?))?.flatten();
        if let Some(route) = route {
            connection.prepare_cached(UNNAME_TOPIC)?.execute([topic])?;
            self.change_topic(&route, None);
        }
        Ok(())
    }

    /// Frees at most so many notifications of a topic that no session needs. Frees the topic itself when it has neither
    /// subscriptions nor notifications. Returns how many notifications it freed; where there may be more, the topic is
    /// looked at again.
    pub(super) fn trim(
        &mut self,
        connection: &Connection,
        topic: TopicNumber,
        most: usize,
    ) -> Result<usize, Fault> {
        let cursor = self.find_holder(connection, topic)?;
        let up_to = cursor.unwrap_or(i64::MAX);
        let dropped =
            self.drop_messages(connection, DROP_ACKNOWLEDGED, params![topic, up_to, most as i64])?;
        if dropped >= most {
            self.garbage.insert(topic);
            return Ok(dropped);
        }
        if cursor.is_none() && connection.prepare_cached(REMOVE_TOPIC)?.execute([topic])? == 1 {
            self.change_messages(topic, |_| {});
            self.extents.remove(&topic);
        }
        Ok(dropped)
    }

    /// Finds the key that is furthest behind on a topic, for which what is kept counts from here on. Returns up to where it
    /// needs nothing; `None` where there is no subscription. Where too many of ended sessions are in front, the topic counts
    /// as before until they are freed.
    pub(super) fn find_holder(
        &mut self,
        connection: &Connection,
        topic: TopicNumber,
    ) -> Result<Option<i64>, Fault> {
        let (mut cursor, mut passed_over, mut holder) = (None, 0, None);
        {
            let mut statement = connection.prepare_cached(FURTHEST_BEHIND)?;
            let mut rows = statement.query([topic])?;
            while passed_over < ENDED_PASSED_OVER
                && let Some(row) = rows.next()?
            {
                cursor = Some(row.get(0)?);
                holder = match row.get::<_, Option<i64>>(1)? {
                    Some(_) => self.owner(&key_hash(row, 2)?),
                    None => None,
                };
                if holder.is_some() {
                    break;
                }
                passed_over += 1;
            }
        }
        if passed_over == ENDED_PASSED_OVER {
            return Ok(cursor);
        }
        if self.extents.get(&topic).is_some_and(|extent| extent.holder != holder) {
            self.change_messages(topic, |extent| extent.holder = holder);
        }
        Ok(cursor.filter(|_| holder.is_some()))
    }

    /// A subscription of this key is added to a topic, which counts for it where nothing else is known: the subscription may
    /// be behind too many of ended sessions. What it needs must not be freed as unneeded.
    pub(super) fn add_holder(
        &mut self,
        connection: &Connection,
        topic: TopicNumber,
        key: &KeyHash,
    ) -> Result<(), Fault> {
        self.find_holder(connection, topic)?;
        if self.holder(topic).is_none() {
            let holder = self.owner(key);
            self.change_messages(topic, |extent| extent.holder = holder);
        }
        Ok(())
    }

    /// Whether there may be something to free, other than topics that could not be freed.
    pub(in crate::sqlite::write) fn has_garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// Runs a deletion that returns the topic and the bytes of each row.
    fn drop_messages(
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
            self.change_messages(topic, |extent| {
                extent.messages = extent.messages.saturating_sub(1);
                extent.bytes = extent.bytes.saturating_sub(bytes_of(scopes, body));
            });
            dropped += 1;
        }
        Ok(dropped)
    }

    pub(super) fn retain(&mut self, connection: &Connection, route: &[u8]) -> Result<TopicNumber, Fault> {
        if let Some(topic) = self.topic(route) {
            return Ok(topic);
        }
        connection.prepare_cached(ADD_TOPIC)?.execute([route])?;
        let topic = connection.last_insert_rowid();
        self.change_topic(route, Some(topic));
        self.change_messages(topic, |_| {});
        Ok(topic)
    }

    fn change_topic(&mut self, route: &[u8], topic: Option<TopicNumber>) {
        let before = self.topic(route);
        self.before.topics.entry(route.into()).or_insert(before);
        restore(&mut self.topics, route.into(), topic);
        self.change_extent(|_| {});
    }

    fn change_messages(&mut self, topic: TopicNumber, change: impl FnOnce(&mut Extent)) {
        let before = self.extents.get(&topic).copied();
        self.before.extents.entry(topic).or_insert(before);
        self.unranked.insert(topic);
        let of_topic = self.extents.entry(topic).or_default();
        let old = *of_topic;
        change(of_topic);
        let new = *of_topic;
        self.change_extent(|extent: &mut QueueStats| {
            extent.messages = extent.messages + new.messages - old.messages;
            extent.bytes = extent.bytes + new.bytes - old.bytes;
        });
    }

    /// Brings up to date what accounts, keys and topics hold: once a group, and before it is asked for.
    pub(super) fn rank(&mut self) {
        for topic in self.unranked.drain() {
            let Extent { bytes, holder, .. } = self.extents.get(&topic).copied().unwrap_or_default();
            let before = self.topic_shares.set(topic, holder, bytes);
            if let Some((Some(owner), bytes)) = before {
                self.byte_shares.change(owner, bytes, 0);
            }
            if let Some(owner) = holder {
                self.byte_shares.change(owner, 0, bytes);
            }
        }
    }

    /// `None` for a key that is gone.
    fn owner(&self, key: &KeyHash) -> Option<Owner> {
        self.keys.get(key).map(|of_key| Owner { account: of_key.account, key: key.0 })
    }
}

/// How much more it is than there may be.
fn over(amount: usize, most: usize) -> Option<usize> {
    amount.checked_sub(most).filter(|over| *over > 0)
}

/// What a notification counts, in bytes: about what its row and the index take.
fn bytes_of(scopes: usize, body: usize) -> usize {
    const ROW_BYTES: usize = 48;
    ROW_BYTES + scopes + body
}

const TOPICS: &str = "SELECT num, route, notes, bytes FROM session_topic";

/// The first of each topic is the one that is furthest behind.
const HOLDERS: &str = "SELECT session_subscription.topic, session.key FROM session_subscription
    JOIN session ON session.num = session_subscription.session
    WHERE session_subscription.topic IS NOT NULL
    ORDER BY session_subscription.topic, session_subscription.cursor, session_subscription.num";

/// Without a session where that has ended.
const FURTHEST_BEHIND: &str = "SELECT session_subscription.cursor, session.num, session.key
    FROM session_subscription LEFT JOIN session ON session.num = session_subscription.session
    WHERE session_subscription.topic = ?1 ORDER BY session_subscription.cursor, session_subscription.num";

const ADD_TOPIC: &str = "INSERT INTO session_topic (route, notes, bytes) VALUES (?1, 0, 0)";

const SET_EXTENT: &str = "UPDATE session_topic SET notes = ?2, bytes = ?3 WHERE num = ?1";

const ROUTE: &str = "SELECT route FROM session_topic WHERE num = ?1";

const UNNAME_TOPIC: &str = "UPDATE session_topic SET route = NULL WHERE num = ?1";

const REMOVE_TOPIC: &str = "DELETE FROM session_topic WHERE num = ?1";

const KEEP: &str = "INSERT INTO session_note (seq, topic, at, scopes, body) VALUES (?1, ?2, ?3, ?4, ?5)";

const FIRST_SIZES: &str = "SELECT seq, length(scopes), length(body) FROM session_note
    WHERE topic = ?1 ORDER BY seq LIMIT ?2";

const DROP_ACKNOWLEDGED: &str = "DELETE FROM session_note WHERE (seq, topic) IN
    (SELECT seq, topic FROM session_note WHERE topic = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)
    RETURNING topic, length(scopes), length(body)";

const DROP_FIRST: &str = "DELETE FROM session_note WHERE (seq, topic) IN
    (SELECT seq, topic FROM session_note WHERE topic = ?1 ORDER BY seq LIMIT ?2)
    RETURNING topic, length(scopes), length(body)";

const DROP_OLDEST: &str = "DELETE FROM session_note WHERE (seq, topic) IN
    (SELECT seq, topic FROM session_note ORDER BY seq, topic LIMIT ?1) AND at < ?2
    RETURNING topic, length(scopes), length(body)";

/// Every statement of this file but those of the server's start, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FURTHEST_BEHIND,
    ADD_TOPIC,
    SET_EXTENT,
    ROUTE,
    UNNAME_TOPIC,
    REMOVE_TOPIC,
    KEEP,
    FIRST_SIZES,
    DROP_ACKNOWLEDGED,
    DROP_FIRST,
    DROP_OLDEST,
];
