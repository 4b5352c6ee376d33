//! Reading the latest values and the histories of properties and locations.
//!
//! The database has those that are in the index by time, the [`tail`](super::tail) the newest. Both are read as of one
//! commit, and merged.

use rusqlite::{Connection, Row, Rows, fallible_streaming_iterator::FallibleStreamingIterator as _, params};
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{LocationUpdate, PropertyUpdate},
};

use super::{
    column,
    fault::Fault,
    read::{Snapshot, one, signed},
    tail::{Indexed, Part, Pin, Position, Tail, TailValue},
};
use crate::{
    Cursor, HistoryPage, Page, PropertyOwner, ResourceDetails, Sequence, SortOrder, TimeRange, TimestampMs,
};

/// One committed state of the database, and the values that its index lacks.
pub(super) struct ValueSnapshot<'c> {
    pub(super) connection: &'c Connection,
    tail: &'c Tail,
    /// Dropped before the pin, as it was made after it.
    _snapshot: Snapshot<'c>,
    _pin: Pin,
}

impl<'c> ValueSnapshot<'c> {
    pub(super) fn of(connection: &'c Connection, tail: &'c Tail) -> Result<Self, Fault> {
        let pin = tail.pin();
        Ok(Self { connection, tail, _snapshot: Snapshot::of(connection)?, _pin: pin })
    }

    /// Reads a value by its sequence, with the columns `seq, ts, at, body`.
    fn value<T>(
        &self,
        TailValue { seq, .. }: TailValue,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        one(self.connection, VALUE, [seq], read)?.ok_or(Fault::Corrupt("the log, which lacks a value"))
    }

    /// Reads the latest value of the series in a row of `latest!`, if it has any.
    fn latest<T>(
        &self,
        row: &Row<'_>,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let is_indexed = row.get::<_, Option<TimestampMs>>(1)?.is_some();
        match self.tail.latest(row.get(4)?, indexed(row, 5)?) {
            Some(value) => self.value(value, read).map(Some),
            None if is_indexed => read(row).map(Some),
            None => Ok(None),
        }
    }
}

/// The columns `latest.indexed` and the last sequence of the log from `first` on.
fn indexed(row: &Row<'_>, first: usize) -> Result<Indexed, Fault> {
    let up_to = row.get::<_, Option<i64>>(first)?.unwrap_or(0);
    Ok(Indexed { up_to, last_seq: row.get::<_, Option<i64>>(first + 1)?.unwrap_or(0) })
}

/// Both are series of the owner, so one query finds them.
pub(super) fn latest_and_location(snapshot: &ValueSnapshot<'_>, owner: Id) -> Result<ResourceDetails, Fault> {
    let mut statement = snapshot.connection.prepare_cached(LATEST)?;
    let mut rows = statement.query(params![owner.as_str(), column::PROPERTY, column::LOCATION])?;
    let mut details = ResourceDetails::default();
    while let Some(row) = rows.next()? {
        match row.get::<_, i64>(7)? {
            column::LOCATION => details.location = snapshot.latest(row, |row| column::location(row, 1))?,
            column::PROPERTY => details.latest.extend(property(snapshot, row)?),
            // Its own changes.
            _ => {}
        }
    }
    Ok(details)
}

pub(super) fn latest(
    snapshot: &ValueSnapshot<'_>,
    owner: PropertyOwner,
) -> Result<Vec<PropertyUpdate>, Fault> {
    let mut statement = snapshot.connection.prepare_cached(LATEST)?;
    let mut rows = statement.query(params![owner.id().as_str(), column::PROPERTY, column::PROPERTY])?;
    let mut updates = Vec::new();
    while let Some(row) = rows.next()? {
        updates.extend(property(snapshot, row)?);
    }
    Ok(updates)
}

fn property(snapshot: &ValueSnapshot<'_>, row: &Row<'_>) -> Result<Option<PropertyUpdate>, Fault> {
    let key = column::property_key(row, 0)?;
    snapshot.latest(row, |row| column::update(row, 1, key))
}

pub(super) fn latest_of(
    snapshot: &ValueSnapshot<'_>,
    owner: PropertyOwner,
    key: &PropertyKey,
) -> Result<Option<PropertyUpdate>, Fault> {
    let owner = owner.id();
    let parameters = params![owner.as_str(), column::PROPERTY, key.as_str()];
    let latest = one(snapshot.connection, LATEST_OF, parameters, |row| {
        snapshot.latest(row, |row| column::update(row, 1, key.clone()))
    })?;
    Ok(latest.flatten())
}

pub(super) fn latest_location(
    snapshot: &ValueSnapshot<'_>,
    thng: Id,
) -> Result<Option<LocationUpdate>, Fault> {
    let latest = one(snapshot.connection, LATEST_OF, params![thng.as_str(), column::LOCATION, ""], |row| {
        snapshot.latest(row, |row| column::location(row, 1))
    })?;
    Ok(latest.flatten())
}

/// A part of the series with this owner, kind and key. `read` is given the columns `seq, ts, at, body`.
pub(super) fn history<T>(
    snapshot: &ValueSnapshot<'_>,
    (owner, kind, key): (Id, i64, &str),
    range: TimeRange,
    page: HistoryPage,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Page<T>, Fault> {
    let series = one(snapshot.connection, SERIES, params![owner.as_str(), kind, key], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, indexed(row, 2)?))
    })?;
    let Some((series, floor, indexed)) = series else { return Ok(Page { items: Vec::new(), next: None }) };
    // Below the floor everything is deleted, if perhaps not freed: there is nothing to look at.
    let from = range.from_ms.max(floor).unwrap_or(i64::MIN);
    let to = range.to_ms.unwrap_or(i64::MAX);
    let cursor = page.page.after.map(|cursor| (cursor.at_ms, signed(cursor.seq)));
    let (order, most) = (page.page.order, page.page.items.saturating_add(page.skip).saturating_add(1));
    let (query, after, end) = match (order, cursor) {
        (SortOrder::NewestFirst, None) => (NEWEST, (to, i64::MAX), from),
        (SortOrder::OldestFirst, None) => (OLDEST, (from, 0), to),
        (SortOrder::NewestFirst, Some(cursor)) => (NEWEST_AFTER, cursor.min((to, i64::MAX)), from),
        (SortOrder::OldestFirst, Some(cursor)) => (OLDEST_AFTER, cursor.max((from, 0)), to),
    };
    let tail = snapshot.tail.part(series, indexed, Part { order, after, end, most });
    let mut statement = snapshot.connection.prepare_cached(query)?;
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = match cursor {
        None => statement.query(params![series, after.0, end, limit])?,
        Some(_) => statement.query(params![series, after.0, after.1, end, limit])?,
    };
    merge(snapshot, rows, tail, PageItems::new(page), read)
}

/// The values of the index and those of the tail in their common order, as many as a page takes.
fn merge<T>(
    snapshot: &ValueSnapshot<'_>,
    mut rows: Rows<'_>,
    tail: Vec<TailValue>,
    mut items: PageItems<T>,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Page<T>, Fault> {
    let mut tail = tail.into_iter().peekable();
    rows.advance()?;
    loop {
        let row = rows.get();
        let is_next = |value: &TailValue| match row {
            None => Ok(true),
            Some(row) => position(row).map(|position| match items.page.page.order {
                SortOrder::NewestFirst => value.position() > position,
                SortOrder::OldestFirst => value.position() < position,
            }),
        };
        let value = match tail.peek().map(is_next).transpose()? {
            Some(true) => tail.next(),
            Some(false) | None => None,
        };
        let is_full = match (value, row) {
            (Some(_), _) | (_, Some(_)) if items.skip() => false,
            (Some(value), _) => snapshot.value(value, |row| items.take(row, &read))?,
            (None, Some(row)) => items.take(row, &read)?,
            (None, None) => return Ok(Page { items: items.items, next: None }),
        };
        if is_full {
            return Ok(Page { items: items.items, next: items.last });
        }
        if value.is_none() {
            rows.advance()?;
        }
    }
}

fn position(row: &Row<'_>) -> Result<Position, Fault> {
    Ok((row.get(1)?, row.get(0)?))
}

/// Bytes of a value in a document besides those that the client sent: its times and its key.
const VALUE_BYTES: usize = 256;

/// The items of a page that is being filled.
struct PageItems<T> {
    page: HistoryPage,
    items: Vec<T>,
    last: Option<Cursor>,
    bytes: usize,
    skipped: usize,
}

impl<T> PageItems<T> {
    fn new(page: HistoryPage) -> Self {
        Self { page, items: Vec::new(), last: None, bytes: 0, skipped: 0 }
    }

    /// Whether the next value is to be left out.
    fn skip(&mut self) -> bool {
        let skips = self.skipped < self.page.skip;
        self.skipped += usize::from(skips);
        skips
    }

    /// Takes a value with the columns `seq, ts, at, body`. `true`: the page is full, and this value is one too many.
    fn take(&mut self, row: &Row<'_>, read: impl Fn(&Row<'_>) -> Result<T, Fault>) -> Result<bool, Fault> {
        let value = row.get_ref(3)?.as_bytes().map_err(|_| Fault::Corrupt("event.body"))?;
        self.bytes = self.bytes.saturating_add(VALUE_BYTES + value.len());
        if self.items.len() == self.page.page.items || self.bytes > self.page.bytes && !self.items.is_empty()
        {
            return Ok(true);
        }
        self.items.push(read(row)?);
        let (at_ms, seq) = position(row)?;
        self.last = Some(Cursor { at_ms, seq: seq as Sequence });
        Ok(false)
    }
}

/// Series with their latest values in the database.
macro_rules! latest {
    ($which:literal) => {
        concat!(
            "SELECT series.key, event.ts, event.at, event.body, series.id, latest.indexed,
            (SELECT max(seq) FROM event), series.kind
            FROM series LEFT JOIN latest ON latest.series = series.id LEFT JOIN event ON event.seq = latest.seq
            WHERE series.owner = ?1 AND ",
            $which
        )
    };
}

/// Of the kinds from that of properties to that of locations. As a list of two they would be sorted in a table made for it.
const LATEST: &str = latest!("series.kind BETWEEN ?2 AND ?3 ORDER BY series.kind, series.key");

const LATEST_OF: &str = latest!("series.kind = ?2 AND series.key = ?3");

const VALUE: &str = "SELECT seq, ts, at, body FROM event WHERE seq = ?1";

/// A series, and below which timestamp none of its events counts: that of its furthest pending deletion, unless
/// values below it have come since. Those must be found one by one, which the queries of the history do.
const SERIES: &str = "SELECT id,
    (SELECT iif(late, NULL, before_ts) FROM doomed WHERE series = series.id ORDER BY before_ts DESC LIMIT 1),
    (SELECT indexed FROM latest WHERE latest.series = series.id), (SELECT max(seq) FROM event)
    FROM series WHERE owner = ?1 AND kind = ?2 AND key = ?3";

/// A page of a series. Behind a cursor: what shares its timestamp with it, then what lies beyond, up to the other end of
/// the range. As one comparison of pairs SQLite would walk through all that share a timestamp, on every page.
macro_rules! history {
    ($ties:literal, $beyond:literal, $order:literal) => {
        concat!(history!($ties), " UNION ALL ", history!($beyond), " ORDER BY ", $order, " LIMIT ?5")
    };
    ($range:literal, $order:literal) => {
        concat!(history!($range), " ORDER BY ", $order, " LIMIT ?4")
    };
    ($part:literal) => {
        concat!(
            "SELECT at.seq, at.ts, event.at, event.body FROM value_by_time AS at
            CROSS JOIN event ON event.seq = at.seq WHERE at.series = ?1 AND ",
            $part,
            " AND NOT EXISTS (SELECT 1 FROM doomed WHERE doomed.series = at.series
                AND doomed.before_ts > at.ts AND doomed.up_to >= at.seq)"
        )
    };
}

const NEWEST: &str = history!("at.ts <= ?2 AND at.ts >= ?3", "at.ts DESC, at.seq DESC");

const OLDEST: &str = history!("at.ts >= ?2 AND at.ts <= ?3", "at.ts, at.seq");

const NEWEST_AFTER: &str =
    history!("at.ts = ?2 AND at.seq < ?3 AND ?2 >= ?4", "at.ts < ?2 AND at.ts >= ?4", "2 DESC, 1 DESC");

const OLDEST_AFTER: &str =
    history!("at.ts = ?2 AND at.seq > ?3 AND ?2 <= ?4", "at.ts > ?2 AND at.ts <= ?4", "2, 1");

/// Every query of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const QUERIES: &[&str] =
    &[LATEST, LATEST_OF, VALUE, SERIES, NEWEST, OLDEST, NEWEST_AFTER, OLDEST_AFTER];
