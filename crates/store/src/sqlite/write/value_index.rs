//! Writes values of the event log into the index by time and into `latest`, sorted and many at a time.
//!
//! The tail collects them. When it is three quarters full, a round begins: each commit indexes some series more, in the
//! order of the index, until all have had their turn. So a page of the index is written once for all values of a
//! round, and no commit waits for the whole of it. The round ends with a mark up to which a start need not read the log.

use std::sync::Arc;

use hashbrown::hash_map::Entry;
use rusqlite::{CachedStatement, Connection, Row, params};

use super::{
    super::tail::{Tail, TailValue, latest_of},
    Bounds, Fault, column, is_later,
};
use crate::TimestampMs;

/// See the module's text.
#[derive(Debug)]
pub(super) struct ValueIndex {
    tail: Arc<Tail>,
    unindexed_max: usize,
    indexed_at_once: usize,
    /// All values up to here are in the index.
    up_to: i64,
    /// The same, as the open group leaves it.
    group_up_to: Option<i64>,
    round: Option<Round>,
    /// The last sequence of the log when the last group ended; at a start none.
    advanced_to: i64,
}

#[derive(Debug)]
struct Round {
    /// The series whose turn comes, the last one first.
    series: Vec<i64>,
    /// The last sequence of the log when it began.
    up_to: i64,
}

/// Values that a commit indexes during a round for each event that it appends, in halves. A start reads all events behind
/// the mark, so events count that are no values, too. With more than one, the tail becomes no fuller.
const INDEXED_PER_EVENT_HALVES: usize = 3;

/// Values beyond the bound of the tail that a commit indexes besides: a start under a lower bound finds many.
const SURPLUS_AT_ONCE: usize = 4_096;

impl ValueIndex {
    /// Reads the values that are not in the index back from the log.
    pub(super) fn open(connection: &Connection, tail: Arc<Tail>, bounds: Bounds) -> Result<Self, Fault> {
        let up_to = connection.query_row(UP_TO, [], |row| row.get(0))?;
        restore(connection, &tail, up_to)?;
        let Bounds { unindexed_max, indexed_at_once, .. } = bounds;
        let advanced_to = i64::MAX;
        Ok(Self { tail, unindexed_max, indexed_at_once, up_to, group_up_to: None, round: None, advanced_to })
    }

    /// To be called at the end of each group: indexes some values, where there are many.
    pub(super) fn advance(&mut self, connection: &Connection, last_seq: i64) -> Result<(), Fault> {
        let over = self.tail.unindexed().saturating_sub(self.unindexed_max);
        let appended = usize::try_from(last_seq.saturating_sub(self.advanced_to)).unwrap_or(0);
        self.advanced_to = last_seq;
        let mut left = (appended * INDEXED_PER_EVENT_HALVES / 2)
            .max(self.indexed_at_once)
            .max(over.min(SURPLUS_AT_ONCE));
        while left > 0 && (self.round.is_some() || self.is_due(last_seq)) {
            let series = || self.tail.unindexed_series().into_iter().rev().collect();
            let round = self.round.get_or_insert_with(|| Round { series: series(), up_to: last_seq });
            let mut statements = Statements::prepare(connection)?;
            while left > 0
                && let Some(series) = round.series.pop()
            {
                let indexed = index_some(&mut statements, &self.tail, series, left)?;
                if !indexed.is_all && indexed.up_to < round.up_to {
                    round.series.push(series);
                }
                left = left.saturating_sub(indexed.values.max(1));
            }
            if round.series.is_empty() {
                connection.prepare_cached(SET_UP_TO)?.execute([round.up_to])?;
                self.group_up_to = Some(round.up_to);
                self.round = None;
            }
        }
        Ok(())
    }

    /// Whether a round is to begin.
    fn is_due(&self, last_seq: i64) -> bool {
        // A start reads all of these, and there may be few values among them.
        let behind = last_seq.saturating_sub(self.group_up_to.unwrap_or(self.up_to));
        self.tail.unindexed() >= self.unindexed_max / 4 * 3
            || usize::try_from(behind).is_ok_and(|behind| behind > self.unindexed_max)
    }

    /// Indexes all values of a series: from here on the database knows its latest and finds each.
    pub(super) fn index_all(&self, connection: &Connection, series: i64) -> Result<(), Fault> {
        index_some(&mut Statements::prepare(connection)?, &self.tail, series, usize::MAX).map(drop)
    }

    pub(super) fn committed(&mut self) {
        self.up_to = self.group_up_to.take().unwrap_or(self.up_to);
    }

    /// The group is rolled back, and with it what the round has done in it.
    pub(super) fn forget(&mut self) {
        (self.group_up_to, self.round) = (None, None);
    }
}

/// Prepared once for many series.
struct Statements<'c> {
    add: CachedStatement<'c>,
    add_many: CachedStatement<'c>,
    set_latest: CachedStatement<'c>,
    set_indexed: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, Fault> {
        let [add, add_many, set_latest, set_indexed] =
            [ADD, ADD_MANY, SET_LATEST, SET_INDEXED].map(|statement| connection.prepare_cached(statement));
        Ok(Self { add: add?, add_many: add_many?, set_latest: set_latest?, set_indexed: set_indexed? })
    }

    /// Adds values of a series to the index.
    fn add(&mut self, series: i64, values: &[TailValue]) -> Result<(), Fault> {
        let (many, rest) = values.as_chunks::<MANY>();
        for values in many {
            let columns = values.iter().flat_map(|value| [value.ts, value.seq]);
            self.add_many.execute(rusqlite::params_from_iter(std::iter::once(series).chain(columns)))?;
        }
        for TailValue { ts, seq, .. } in rest {
            self.add.execute([series, *ts, *seq])?;
        }
        Ok(())
    }
}

struct IndexedPart {
    values: usize,
    up_to: i64,
    is_all: bool,
}

/// Indexes the first values of a series, by their arrival.
fn index_some(
    statements: &mut Statements<'_>,
    tail: &Tail,
    series: i64,
    most: usize,
) -> Result<IndexedPart, Fault> {
    let mut values = tail.unindexed_of(series, most);
    let Some(last) = values.last() else { return Ok(IndexedPart { values: 0, up_to: 0, is_all: true }) };
    let up_to = last.seq;
    match latest_of(&values) {
        Some(TailValue { seq, ts, .. }) => statements.set_latest.execute(params![series, seq, ts, up_to])?,
        None => statements.set_indexed.execute([series, up_to])?,
    };
    values.sort_unstable_by_key(TailValue::position);
    statements.add(series, &values)?;
    let is_all = tail.set_indexed(series, up_to);
    Ok(IndexedPart { values: values.len(), up_to, is_all })
}

/// Reads the values behind a sequence into the tail, except those that are indexed and those of series that are gone.
fn restore(connection: &Connection, tail: &Tail, up_to: i64) -> Result<(), Fault> {
    let mut known = hashbrown::HashMap::<i64, Option<IndexedSeries>>::new();
    let mut of_series = connection.prepare(INDEXED)?;
    let mut values = connection.prepare(VALUES_BEHIND)?;
    let mut rows = values.query([up_to, column::VALUE])?;
    while let Some(row) = rows.next()? {
        let (series, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
        let indexed = match known.entry(series) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let mut rows = of_series.query([series])?;
                entry.insert(rows.next()?.map(IndexedSeries::read).transpose()?)
            }
        };
        if let Some(indexed) = indexed
            && seq > indexed.up_to
        {
            let (ts, bytes, is_made) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let is_latest = indexed.latest.is_none_or(|latest| is_later((ts, is_made), latest));
            if is_latest {
                indexed.latest = Some((ts, is_made));
            }
            tail.append(series, TailValue { seq, ts, bytes, is_made, is_latest });
        }
    }
    Ok(())
}

/// What a start knows of a series whose values it reads.
struct IndexedSeries {
    /// Its values up to here are in the index.
    up_to: i64,
    /// The time of its latest value so far.
    latest: Option<(TimestampMs, bool)>,
}

impl IndexedSeries {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let latest = row.get::<_, Option<_>>(1)?.zip(row.get::<_, Option<_>>(2)?);
        Ok(Self { up_to: row.get(0)?, latest })
    }
}

const UP_TO: &str = "SELECT up_to FROM indexed";

const SET_UP_TO: &str = "UPDATE indexed SET up_to = ?1";

/// No row is there yet. With a plain `INSERT` SQLite would keep a journal of the statement, to undo a part of it.
const ADD: &str = "INSERT OR IGNORE INTO value_by_time (series, ts, seq) VALUES (?1, ?2, ?3)";

/// Values of a series that one statement adds: its start and its end cost as much as adding one.
const MANY: usize = 8;

const ADD_MANY: &str =
    "INSERT OR IGNORE INTO value_by_time (series, ts, seq) VALUES (?1, ?2, ?3), (?1, ?4, ?5), (?1, ?6, ?7),
    (?1, ?8, ?9), (?1, ?10, ?11), (?1, ?12, ?13), (?1, ?14, ?15), (?1, ?16, ?17)";

/// All columns: an upsert would look for the row first.
const SET_LATEST: &str = "REPLACE INTO latest (series, seq, ts, indexed) VALUES (?1, ?2, ?3, ?4)";

const SET_INDEXED: &str = "UPDATE latest SET indexed = ?2 WHERE series = ?1";

const INDEXED: &str = "SELECT coalesce(latest.indexed, 0), event.ts, event.at = event.ts
    FROM series LEFT JOIN latest ON latest.series = series.id LEFT JOIN event ON event.seq = latest.seq
    WHERE series.id = ?1";

const VALUES_BEHIND: &str = "SELECT series, seq, ts, octet_length(body), at = ts FROM event
    WHERE seq > ?1 AND kind = ?2 ORDER BY seq";

/// Every statement of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[UP_TO, SET_UP_TO, ADD, ADD_MANY, SET_LATEST, SET_INDEXED, INDEXED, VALUES_BEHIND];
