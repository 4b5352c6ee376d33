//! Deletes property values and locations in small steps, so that no other write waits.
//!
//! A property that goes whole loses its row in `series` and `latest` at once: nothing finds its events any more, and a
//! later value starts a new series. Of one that loses its older values, few are deleted at once, while many get a
//! row in `doomed` that readers honor. What was left behind either way is freed in small steps by [`free_some`].

use rusqlite::{Connection, params};
use thng_pubsub_protocol::id::{Id, PropertyKey};

use super::{Bounds, Fault, column, events::EventLog, properties::SeriesKey, read, value_index::ValueIndex};
use crate::TimestampMs;

/// What of an owner is to lose values.
#[derive(Debug, Clone, Copy)]
pub(super) enum DeletionScope<'a> {
    /// One series.
    One(SeriesKey<'a>),
    /// All of its properties.
    Properties,
}

/// Deletes values of an owner, those below `before_ms` or all. Returns the keys of the properties whose series are not
/// what they were, `None` for that of its locations.
pub(super) fn delete_values(
    connection: &Connection,
    log: &mut EventLog,
    index: &ValueIndex,
    bounds: Bounds,
    owner: Id,
    which: DeletionScope<'_>,
    before_ms: Option<TimestampMs>,
) -> Result<Vec<Option<PropertyKey>>, Fault> {
    let mut changed = Vec::new();
    let (kind, text) = match &which {
        DeletionScope::One(key) => (key.columns().0, Some(key.columns().1)),
        DeletionScope::Properties => (column::PROPERTY, None),
    };
    for series in ids(connection, owner, kind, text, usize::MAX)? {
        index.index_all(connection, series)?;
    }
    for (key, series, latest_ts) in series_of(connection, owner, which)? {
        match before_ms {
            Some(before_ms) if before_ms <= latest_ts => {
                delete_before(connection, log, bounds, series, before_ms)?;
            }
            Some(before_ms) => match greatest(connection, series)? {
                // The clock was set back, so others have greater timestamps than the latest, which goes.
                Some((seq, ts)) if before_ms <= ts => {
                    connection.prepare_cached(SET_LATEST)?.execute([series, seq, ts, log.last()])?;
                    delete_before(connection, log, bounds, series, before_ms)?;
                }
                _ => drop_series(connection, series)?,
            },
            None => drop_series(connection, series)?,
        }
        changed.push(key);
    }
    Ok(changed)
}

/// The numbers of an owner's series of a kind, so many at the most.
fn ids(
    connection: &Connection,
    owner: Id,
    kind: i64,
    key: Option<&str>,
    most: usize,
) -> Result<Vec<i64>, Fault> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    match key {
        Some(key) => {
            let id =
                read::one(connection, SERIES_ID, params![owner.as_str(), kind, key], |row| Ok(row.get(0)?))?;
            Ok(id.into_iter().collect())
        }
        None => {
            let mut statement = connection.prepare_cached(SOME_SERIES)?;
            let ids = statement.query_map(params![owner.as_str(), kind, most], |row| row.get(0))?;
            Ok(ids.collect::<Result<_, _>>()?)
        }
    }
}

type KnownSeries = (Option<PropertyKey>, i64, TimestampMs);

fn series_of(
    connection: &Connection,
    owner: Id,
    which: DeletionScope<'_>,
) -> Result<Vec<KnownSeries>, Fault> {
    let mut found = Vec::new();
    match which {
        DeletionScope::One(key) => {
            let (kind, text) = key.columns();
            let mut statement = connection.prepare_cached(SERIES)?;
            let mut rows = statement.query(params![owner.as_str(), kind, text])?;
            while let Some(row) = rows.next()? {
                let name = match key {
                    SeriesKey::Property(key) => Some(key.clone()),
                    SeriesKey::Location => None,
                };
                found.push((name, row.get(1)?, row.get(2)?));
            }
        }
        DeletionScope::Properties => {
            let mut statement = connection.prepare_cached(SERIES_OF_OWNER)?;
            let mut rows = statement.query(params![owner.as_str(), column::PROPERTY])?;
            while let Some(row) = rows.next()? {
                found.push((Some(column::property_key(row, 0)?), row.get(1)?, row.get(2)?));
            }
        }
    }
    Ok(found)
}

/// Whether an owner has more properties than so many.
pub(super) fn has_many_series(connection: &Connection, owner: Id, most: usize) -> Result<bool, Fault> {
    let mut count = connection.prepare_cached(COUNT_SERIES)?;
    let count: i64 =
        count.query_row(params![owner.as_str(), column::PROPERTY, most as i64 + 1], |row| row.get(0))?;
    Ok(count > most as i64)
}

/// Takes values of an owner that is gone away, so many series at the most. Returns how many there were.
pub(super) fn drop_some_series(
    connection: &Connection,
    index: &ValueIndex,
    owner: Id,
    most: usize,
) -> Result<usize, Fault> {
    let mut dropped = 0;
    for kind in [column::PROPERTY, column::LOCATION] {
        let series = ids(connection, owner, kind, None, most - dropped)?;
        for series in &series {
            index.index_all(connection, *series)?;
            drop_series(connection, *series)?;
        }
        dropped += series.len();
    }
    Ok(dropped)
}

/// Sequence and timestamp of the value of a series with the greatest timestamp, of equal ones the last.
fn greatest(connection: &Connection, series: i64) -> Result<Option<(i64, TimestampMs)>, Fault> {
    read::one(connection, GREATEST, [series], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn drop_series(connection: &Connection, series: i64) -> Result<(), Fault> {
    connection.prepare_cached(DROP_LATEST)?.execute([series])?;
    connection.prepare_cached(DROP_SERIES)?.execute([series])?;
    schedule_delete(connection, series, TimestampMs::MAX, i64::MAX)
}

/// Deletes the values of a series that are older than its latest.
fn delete_before(
    connection: &Connection,
    log: &mut EventLog,
    bounds: Bounds,
    series: i64,
    before_ms: TimestampMs,
) -> Result<(), Fault> {
    let at_once = bounds.at_once as i64;
    let below = read::one(connection, COUNT_BELOW, params![series, before_ms, at_once + 1], |row| {
        Ok(row.get::<_, i64>(0)?)
    })?;
    if below.unwrap_or(0) > at_once {
        return schedule_delete(connection, series, before_ms, log.last());
    }
    connection.prepare_cached(DELETE_BELOW)?.execute([series, before_ms])?;
    connection.prepare_cached(UNINDEX_BELOW)?.execute([series, before_ms])?;
    connection.prepare_cached(DROP_OVERTAKEN)?.execute([series, before_ms])?;
    log.shorten();
    Ok(())
}

/// Leaves events to be freed. Events of the same series that were marked before, and reach no further, are part of it.
fn schedule_delete(
    connection: &Connection,
    series: i64,
    before_ms: TimestampMs,
    up_to: i64,
) -> Result<(), Fault> {
    connection.prepare_cached(DROP_OVERTAKEN)?.execute([series, before_ms])?;
    connection.prepare_cached(SCHEDULE_DELETE)?.execute([series, before_ms, up_to, i64::MIN])?;
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct PendingDelete {
    series: i64,
    before_ts: TimestampMs,
    up_to: i64,
    /// How far the freeing has come.
    freed: (TimestampMs, i64),
}

/// Frees marked events, after a look at no more than `bounds.step` of them.
pub(super) fn free_some(connection: &Connection, log: &mut EventLog, bounds: Bounds) -> Result<(), Fault> {
    let mut left = bounds.step;
    while left > 0 {
        let Some(pending) = read::one(connection, NEXT_PENDING_DELETE, [], |row| {
            let freed = (row.get(3)?, row.get(4)?);
            Ok(PendingDelete { series: row.get(0)?, before_ts: row.get(1)?, up_to: row.get(2)?, freed })
        })?
        else {
            return Ok(());
        };
        left -= free(connection, log, pending, left)?;
    }
    Ok(())
}

/// Frees events of one series, after a look at no more than `count`. Returns how many it looked at, and at least 1,
/// so that emptied series count for something too.
fn free(
    connection: &Connection,
    log: &mut EventLog,
    pending: PendingDelete,
    count: usize,
) -> Result<usize, Fault> {
    let PendingDelete { series, before_ts, up_to, freed } = pending;
    let points = points_below(connection, pending, count)?;
    let mut delete = connection.prepare_cached(FREE)?;
    let mut unindex = connection.prepare_cached(UNINDEX)?;
    for (ts, seq) in points.iter().filter(|(_, seq)| *seq <= up_to) {
        delete.execute([seq])?;
        unindex.execute([series, *ts, *seq])?;
        log.shorten();
    }
    if points.len() < count {
        connection.prepare_cached(ALL_FREED)?.execute([series, before_ts])?;
    } else {
        let (ts, seq) = points.last().copied().unwrap_or(freed);
        connection.prepare_cached(FREED)?.execute([series, before_ts, ts, seq])?;
    }
    Ok(points.len().max(1))
}

fn points_below(
    connection: &Connection,
    pending: PendingDelete,
    count: usize,
) -> Result<Vec<(i64, i64)>, Fault> {
    let PendingDelete { series, before_ts, freed: (ts, seq), .. } = pending;
    let mut statement = connection.prepare_cached(POINTS_BELOW)?;
    let points = statement
        .query_map(params![series, ts, seq, before_ts, count as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(points.collect::<Result<_, _>>()?)
}

const SERIES: &str = "SELECT series.key, series.id, latest.ts
    FROM series JOIN latest ON latest.series = series.id
    WHERE series.owner = ?1 AND series.kind = ?2 AND series.key = ?3";

const SERIES_ID: &str = "SELECT id FROM series WHERE owner = ?1 AND kind = ?2 AND key = ?3";

const SERIES_OF_OWNER: &str = "SELECT series.key, series.id, latest.ts
    FROM series JOIN latest ON latest.series = series.id WHERE series.owner = ?1 AND series.kind = ?2";

const COUNT_SERIES: &str = "SELECT count(*) FROM
    (SELECT 1 FROM series WHERE owner = ?1 AND kind = ?2 LIMIT ?3)";

const SOME_SERIES: &str = "SELECT id FROM series WHERE owner = ?1 AND kind = ?2 LIMIT ?3";

const GREATEST: &str =
    "SELECT seq, ts FROM value_by_time WHERE series = ?1 ORDER BY ts DESC, seq DESC LIMIT 1";

const SET_LATEST: &str = "REPLACE INTO latest (series, seq, ts, indexed) VALUES (?1, ?2, ?3, ?4)";

const COUNT_BELOW: &str =
    "SELECT count(*) FROM (SELECT 1 FROM value_by_time WHERE series = ?1 AND ts < ?2 LIMIT ?3)";

const DELETE_BELOW: &str =
    "DELETE FROM event WHERE seq IN (SELECT seq FROM value_by_time WHERE series = ?1 AND ts < ?2)";

const UNINDEX_BELOW: &str = "DELETE FROM value_by_time WHERE series = ?1 AND ts < ?2";

const DROP_OVERTAKEN: &str = "DELETE FROM doomed WHERE series = ?1 AND before_ts <= ?2";

const SCHEDULE_DELETE: &str = "INSERT INTO doomed (series, before_ts, up_to, late, freed_ts, freed_seq)
    VALUES (?1, ?2, ?3, 0, ?4, 0)";

const NEXT_PENDING_DELETE: &str = "SELECT series, before_ts, up_to, freed_ts, freed_seq FROM doomed
    ORDER BY series, before_ts LIMIT 1";

/// In two parts, as the pages of a history are read.
const POINTS_BELOW: &str = "SELECT ts, seq FROM value_by_time WHERE series = ?1 AND ts = ?2 AND seq > ?3
    UNION ALL SELECT ts, seq FROM value_by_time WHERE series = ?1 AND ts > ?2 AND ts < ?4
    ORDER BY ts, seq LIMIT ?5";

const FREED: &str = "UPDATE doomed SET freed_ts = ?3, freed_seq = ?4 WHERE series = ?1 AND before_ts = ?2";

const DROP_LATEST: &str = "DELETE FROM latest WHERE series = ?1";

const DROP_SERIES: &str = "DELETE FROM series WHERE id = ?1";

const FREE: &str = "DELETE FROM event WHERE seq = ?1";

const UNINDEX: &str = "DELETE FROM value_by_time WHERE series = ?1 AND ts = ?2 AND seq = ?3";

const ALL_FREED: &str = "DELETE FROM doomed WHERE series = ?1 AND before_ts = ?2";

/// Every statement of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    SERIES,
    SERIES_ID,
    SERIES_OF_OWNER,
    COUNT_SERIES,
    SOME_SERIES,
    DROP_LATEST,
    DROP_SERIES,
    GREATEST,
    SET_LATEST,
    COUNT_BELOW,
    DELETE_BELOW,
    UNINDEX_BELOW,
    DROP_OVERTAKEN,
    SCHEDULE_DELETE,
    NEXT_PENDING_DELETE,
    POINTS_BELOW,
    FREE,
    UNINDEX,
    FREED,
    ALL_FREED,
];
