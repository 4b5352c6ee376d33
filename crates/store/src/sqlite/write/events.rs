//! The end of the event log: which sequence comes next, and the one statement that appends.

use rusqlite::{CachedStatement, Connection, params};

use super::{Fault, read};
use crate::{Sequence, TimestampMs};

/// Where the log ends.
#[derive(Debug)]
pub(super) struct EventLog {
    /// Grows, also when a group is rolled back: what was once handed out is not handed out again.
    next_seq: i64,
    /// Whether this group takes events away, so that the log itself may not tell its end any more.
    shortened: bool,
}

/// What an event says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) account: i64,
    pub(super) series: i64,
    pub(super) kind: i64,
    pub(super) part: usize,
    pub(super) ts: TimestampMs,
    pub(super) at: TimestampMs,
    pub(super) body: &'a str,
}

impl EventLog {
    pub(super) fn open(connection: &Connection) -> Result<Self, Fault> {
        let next_seq = connection.query_row(NEXT_SEQ, [], |row| row.get(0))?;
        Ok(Self { next_seq, shortened: false })
    }

    /// The sequence of the last event.
    pub(super) fn last(&self) -> i64 {
        self.next_seq - 1
    }

    /// The statement for [`append`](Self::append), looked up once for many events.
    pub(super) fn appending(connection: &Connection) -> Result<CachedStatement<'_>, Fault> {
        Ok(connection.prepare_cached(APPEND)?)
    }

    pub(super) fn append(
        &mut self,
        statement: &mut CachedStatement<'_>,
        entry: Entry<'_>,
    ) -> Result<Sequence, Fault> {
        let seq = self.next_seq;
        self.next_seq += 1;
        let part = entry.part as i64;
        let Entry { account, series, kind, ts, at, body, .. } = entry;
        statement.execute(params![seq, account, series, kind, part, ts, at, body])?;
        Ok(seq as Sequence)
    }

    /// To be called where events are removed.
    pub(super) fn shorten(&mut self) {
        self.shortened = true;
    }

    /// Writes the end down where the log may have lost it.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<(), Fault> {
        if self.shortened {
            connection.prepare_cached(SET_END)?.execute([self.next_seq])?;
            self.shortened = false;
        }
        Ok(())
    }

    /// The group is rolled back: what it was handed out is in no event, so the log does not tell its end.
    pub(super) fn forget(&mut self) {
        self.shortened = true;
    }
}

/// When the last event came in.
pub(super) fn last_arrival(connection: &Connection) -> Result<Option<TimestampMs>, Fault> {
    read::one(connection, LAST_ARRIVAL, [], |row| Ok(row.get(0)?))
}

const LAST_ARRIVAL: &str = "SELECT at FROM event WHERE seq = (SELECT max(seq) FROM event)";

const NEXT_SEQ: &str = "SELECT max(next_seq, coalesce((SELECT max(seq) FROM event), 0) + 1) FROM log_end";

const APPEND: &str = "INSERT INTO event (seq, account, series, kind, part, ts, at, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const SET_END: &str = "UPDATE log_end SET next_seq = ?1";

/// Every statement of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[NEXT_SEQ, LAST_ARRIVAL, APPEND, SET_END];
