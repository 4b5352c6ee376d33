//! Reading durable sessions and what is kept for them.

use rusqlite::{Connection, params};

use super::{
    fault::Fault,
    read,
    write::{read_in_flight, subscription},
};
use crate::{
    KeyHash, Sequence,
    session_queue::{QueuedMessage, QueuedMessages, SessionNumber, StoredSession, TopicNumber},
};

pub(super) fn has_session(connection: &Connection, key: &KeyHash, client_id: &str) -> Result<bool, Fault> {
    Ok(read::one(connection, HAS_SESSION, params![&key.0[..], client_id], |_| Ok(()))?.is_some())
}

/// What a session holds: nothing once it has ended, though its rows may not be freed yet.
pub(super) fn session(connection: &Connection, session: SessionNumber) -> Result<StoredSession, Fault> {
    let session = session.number;
    let in_flight = read::one(connection, IN_FLIGHT, [session], |row| Ok(row.get::<_, Vec<u8>>(0)?))?;
    let Some(in_flight) = in_flight else { return Ok(StoredSession::default()) };
    let mut stored = StoredSession { in_flight: read_in_flight(&in_flight)?, ..StoredSession::default() };
    let mut statement = connection.prepare_cached(SUBSCRIPTIONS)?;
    let mut rows = statement.query([session])?;
    while let Some(row) = rows.next()? {
        stored.subscriptions.push(subscription(row)?);
    }
    stored.subscriptions.sort_unstable_by_key(|subscription| subscription.number);
    let mut statement = connection.prepare_cached(RECEIVED)?;
    let mut rows = statement.query([session])?;
    while let Some(row) = rows.next()? {
        stored.received.push(row.get(0)?);
    }
    Ok(stored)
}

pub(super) fn messages(
    connection: &Connection,
    topic: TopicNumber,
    (after, up_to): (Sequence, Sequence),
    most: usize,
    bytes_max: usize,
) -> Result<QueuedMessages, Fault> {
    let (mut messages, mut bytes) = (Vec::new(), 0);
    let mut statement = connection.prepare_cached(NOTES)?;
    let mut rows = statement.query(params![topic, after as i64, up_to as i64, most as i64])?;
    while messages.len() < most {
        let Some(row) = rows.next()? else { return Ok(QueuedMessages { messages, is_last: true }) };
        let seq: i64 = row.get(0)?;
        let message = QueuedMessage { seq: seq as Sequence, scopes: row.get(1)?, body: row.get(2)? };
        bytes += message.body.len();
        if bytes > bytes_max && !messages.is_empty() {
            break;
        }
        messages.push(message);
    }
    Ok(QueuedMessages { messages, is_last: false })
}

pub(super) fn last_sequence(connection: &Connection) -> Result<Sequence, Fault> {
    let last: i64 = connection.prepare_cached(LAST_SEQUENCE)?.query_row([], |row| row.get(0))?;
    Ok(last as Sequence)
}

const HAS_SESSION: &str = "SELECT 1 FROM session JOIN api_key ON api_key.hash = session.key
    WHERE session.key = ?1 AND client_id = ?2";

const IN_FLIGHT: &str =
    "SELECT in_flight FROM session JOIN api_key ON api_key.hash = session.key WHERE num = ?1";

const SUBSCRIPTIONS: &str = "SELECT num, filter, topic, cursor, sent FROM session_subscription
    WHERE session = ?1";

const RECEIVED: &str = "SELECT packet_id FROM session_received WHERE session = ?1";

const NOTES: &str = "SELECT seq, scopes, body FROM session_note
    WHERE topic = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4";

const LAST_SEQUENCE: &str =
    "SELECT max(next_seq - 1, coalesce((SELECT max(seq) FROM event), 0)) FROM log_end";

/// Every query of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const QUERIES: &[&str] = &[HAS_SESSION, IN_FLIGHT, SUBSCRIPTIONS, RECEIVED, NOTES, LAST_SEQUENCE];
