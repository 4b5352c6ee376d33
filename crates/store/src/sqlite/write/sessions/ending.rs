//! Ends durable sessions at once and frees their rows in steps.
//!
//! The end of a session is one row: without its row in `session` nothing finds what belongs to it, and what it had counts
//! no more. The same holds for all sessions of a key that is gone, however many there are. The numbers of sessions and
//! subscriptions are never used again, so a new session of the same client has nothing of the old one.

use rusqlite::{Connection, params};

use super::{ANY_OF_KEY, Owner, REMOVE_SESSION, Sessions, Subscribed, key_hash, number};
use crate::{
    KeyHash, TimestampMs,
    session_queue::TopicNumber,
    sqlite::{fault::Fault, read},
};

/// What the end of a session counts when rows are freed.
const SESSION_ROWS: usize = 1;

/// What a look at a topic counts when rows are freed.
const TOPIC_ROWS: usize = 4;

impl Sessions {
    pub(in crate::sqlite::write) fn end_session(
        &mut self,
        connection: &Connection,
        key: &KeyHash,
        client_id: &str,
    ) -> Result<(), Fault> {
        match number(connection, key, client_id)? {
            Some(session) => self.end(connection, key, session),
            None => Ok(()),
        }
    }

    /// Ends all sessions of a key that is gone.
    pub(in crate::sqlite::write) fn end_sessions_of(
        &mut self,
        connection: &Connection,
        key: &KeyHash,
    ) -> Result<(), Fault> {
        if !self.keys.contains_key(key) {
            return Ok(());
        }
        connection.prepare_cached(ADD_ENDED_KEY)?.execute([&key.0[..]])?;
        self.change_key(key, None, |of_key| {
            (of_key.sessions, of_key.subscribed) = (0, Subscribed::default());
        });
        Ok(())
    }

    /// A key is added: sessions that one with the same hash has left are not its own.
    pub(in crate::sqlite::write) fn begin_key(
        &mut self,
        connection: &Connection,
        key: &KeyHash,
    ) -> Result<(), Fault> {
        if connection.prepare_cached(REMOVE_ENDED_KEY)?.execute([&key.0[..]])? == 1 {
            connection.prepare_cached(ADD_ENDED_OF_KEY)?.execute([&key.0[..]])?;
            connection.prepare_cached(REMOVE_SESSIONS_OF_KEY)?.execute([&key.0[..]])?;
        }
        Ok(())
    }

    /// Ends the session of a key whose client has been away longest, else one whose client is connected.
    pub(super) fn evict(&mut self, connection: &Connection, owner: Owner) -> Result<Option<i64>, Fault> {
        let key = &owner.key[..];
        let away = read::one(connection, AWAY_OF_KEY, [key], |row| Ok(row.get(0)?))?;
        let session = match away {
            Some(session) => Some(session),
            None => read::one(connection, ANY_OF_KEY, [key], |row| Ok(row.get(0)?))?,
        };
        if let Some(session) = session {
            let key = KeyHash(owner.key);
            let account = self.keys.get(&key).map(|of_key| of_key.account_id);
            self.end(connection, &key, session)?;
            self.change_extent(|extent| {
                extent.evicted += 1;
                extent.evicted_of = account;
            });
        }
        Ok(session)
    }

    pub(in crate::sqlite::write) fn expire(
        &mut self,
        connection: &Connection,
        left_before_ms: TimestampMs,
        most: usize,
    ) -> Result<usize, Fault> {
        let mut expired = 0;
        for _ in 0..most {
            let Some((session, key)) = read::one(connection, LONG_GONE, [left_before_ms], |row| {
                Ok((row.get(0)?, key_hash(row, 1)?))
            })?
            else {
                break;
            };
            expired += usize::from(self.keys.contains_key(&key));
            self.end(connection, &key, session)?;
        }
        let dropped = self.drop_old(connection, most, left_before_ms)?;
        self.change_extent(|extent| extent.lost_to_age += dropped as u64);
        Ok(expired)
    }

    fn end(&mut self, connection: &Connection, key: &KeyHash, session: i64) -> Result<(), Fault> {
        connection.prepare_cached(REMOVE_SESSION)?.execute([session])?;
        connection.prepare_cached(ADD_ENDED)?.execute([session])?;
        let of_session = self.change_session(session, |of_session| *of_session = Subscribed::default());
        // The sessions of a key that is gone count no more already.
        if self.keys.contains_key(key) {
            self.change_key(key, None, |of_key| {
                of_key.sessions -= 1;
                of_key.subscribed.count -= of_session.count;
                of_key.subscribed.filter_bytes -= of_session.filter_bytes;
            });
        }
        Ok(())
    }

    /// Takes up again the topics that could not be freed. Returns whether there are any.
    pub(in crate::sqlite::write) fn retry_set_aside(&mut self) -> bool {
        self.garbage.extend(self.set_aside.drain());
        self.has_garbage()
    }

    /// Frees a part of what sessions have left and topics need no more: about so many rows.
    pub(in crate::sqlite::write) fn free(
        &mut self,
        connection: &Connection,
        most: usize,
    ) -> Result<(), Fault> {
        let mut freed = 0;
        while freed < most {
            match self.free_ended(connection, most - freed)? {
                0 => break,
                rows => freed += rows,
            }
        }
        while freed < most
            && let Some(topic) = self.garbage.iter().next().copied()
        {
            self.garbage.remove(&topic);
            let trimmed = self.trim(connection, topic, most - freed);
            if trimmed.is_err() {
                // The whole step is rolled back, so the next ones leave it out until nothing else is to be freed.
                self.set_aside.insert(topic);
            }
            freed += trimmed? + TOPIC_ROWS;
        }
        Ok(())
    }

    /// Frees rows of one session that has ended. Returns how many, 0 where there is no such session.
    fn free_ended(&mut self, connection: &Connection, most: usize) -> Result<usize, Fault> {
        if let Some(session) = read::one(connection, NEXT_ENDED, [], |row| Ok(row.get::<_, i64>(0)?))? {
            return self.free_rows(connection, session, most);
        }
        let next = read::one(connection, NEXT_ENDED_KEY, [], |row| key_hash(row, 0))?;
        let Some(key) = next else { return Ok(0) };
        match read::one(connection, ANY_OF_KEY, [&key.0[..]], |row| Ok(row.get(0)?))? {
            Some(session) => self.end(connection, &key, session)?,
            None => drop(connection.prepare_cached(REMOVE_ENDED_KEY)?.execute([&key.0[..]])?),
        }
        Ok(SESSION_ROWS)
    }

    fn free_rows(&mut self, connection: &Connection, session: i64, most: usize) -> Result<usize, Fault> {
        let mut topics = Vec::new();
        {
            let mut statement = connection.prepare_cached(FREE_SUBSCRIPTIONS)?;
            let mut rows = statement.query(params![session, most as i64])?;
            while let Some(row) = rows.next()? {
                topics.push(row.get::<_, Option<TopicNumber>>(0)?);
            }
        }
        let mut freed = topics.len();
        topics.into_iter().flatten().try_for_each(|topic| self.mark_for_gc(connection, topic))?;
        if freed < most {
            let received = params![session, (most - freed) as i64];
            freed += connection.prepare_cached(FREE_RECEIVED)?.execute(received)?;
        }
        if freed < most {
            connection.prepare_cached(REMOVE_ENDED)?.execute([session])?;
            self.change_session(session, |of_session| *of_session = Subscribed::default());
        }
        Ok(freed + SESSION_ROWS)
    }
}

const LONG_GONE: &str = "SELECT num, key FROM session WHERE left_at_ms < ?1 ORDER BY left_at_ms LIMIT 1";

const AWAY_OF_KEY: &str = "SELECT num FROM session WHERE key = ?1 AND left_at_ms IS NOT NULL
    ORDER BY left_at_ms LIMIT 1";

const ADD_ENDED: &str = "INSERT INTO ended_session (session) VALUES (?1)";

const NEXT_ENDED: &str = "SELECT session FROM ended_session LIMIT 1";

const REMOVE_ENDED: &str = "DELETE FROM ended_session WHERE session = ?1";

const ADD_ENDED_KEY: &str = "INSERT OR IGNORE INTO ended_session_key (key) VALUES (?1)";

const NEXT_ENDED_KEY: &str = "SELECT key FROM ended_session_key LIMIT 1";

const REMOVE_ENDED_KEY: &str = "DELETE FROM ended_session_key WHERE key = ?1";

const ADD_ENDED_OF_KEY: &str = "INSERT INTO ended_session (session) SELECT num FROM session WHERE key = ?1";

const REMOVE_SESSIONS_OF_KEY: &str = "DELETE FROM session WHERE key = ?1";

const FREE_SUBSCRIPTIONS: &str = "DELETE FROM session_subscription WHERE num IN
    (SELECT num FROM session_subscription WHERE session = ?1 LIMIT ?2) RETURNING topic";

const FREE_RECEIVED: &str = "DELETE FROM session_received WHERE (session, packet_id) IN
    (SELECT session, packet_id FROM session_received WHERE session = ?1 LIMIT ?2)";

/// Every statement of this file, for the test that looks at how SQLite executes them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    LONG_GONE,
    AWAY_OF_KEY,
    ADD_ENDED,
    NEXT_ENDED,
    REMOVE_ENDED,
    ADD_ENDED_KEY,
    NEXT_ENDED_KEY,
    REMOVE_ENDED_KEY,
    ADD_ENDED_OF_KEY,
    REMOVE_SESSIONS_OF_KEY,
    FREE_SUBSCRIPTIONS,
    FREE_RECEIVED,
];
