//! Property values and locations on their way into the log, and which of them is the latest.

use std::{fmt, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use quick_cache::{Equivalent, unsync::Cache};
use rusqlite::{Connection, Row, params};
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{Json, LocationUpdate, PropertyUpdate, ResourceKind},
};

use super::{
    super::tail::{Indexed, Tail, TailValue},
    Fault, account, column,
    events::{Entry, EventLog},
    read,
};
use crate::{PropertiesExtent, PropertyOwner, Sequence, TimestampMs};

/// Which series of its owner a value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum SeriesKey<'a> {
    Property(&'a PropertyKey),
    Location,
}

impl SeriesKey<'_> {
    /// `series.kind` and `series.key`.
    pub(super) fn columns(&self) -> (i64, &str) {
        match self {
            Self::Property(key) => (column::PROPERTY, key.as_str()),
            Self::Location => (column::LOCATION, ""),
        }
    }
}

/// A value with a time of its own.
pub(super) trait Timed {
    fn series(&self) -> SeriesKey<'_>;
    fn value(&self) -> &Json;
    fn timestamp_ms(&self) -> TimestampMs;
    fn created_at_ms(&self) -> TimestampMs;
}

impl Timed for PropertyUpdate {
    fn series(&self) -> SeriesKey<'_> {
        SeriesKey::Property(&self.key)
    }

    fn value(&self) -> &Json {
        &self.value
    }

    fn timestamp_ms(&self) -> TimestampMs {
        self.timestamp_ms
    }

    fn created_at_ms(&self) -> TimestampMs {
        self.created_at_ms
    }
}

impl Timed for LocationUpdate {
    fn series(&self) -> SeriesKey<'_> {
        SeriesKey::Location
    }

    fn value(&self) -> &Json {
        &self.value
    }

    fn timestamp_ms(&self) -> TimestampMs {
        self.timestamp_ms
    }

    fn created_at_ms(&self) -> TimestampMs {
        self.created_at_ms
    }
}

/// What has series: its id and its kind.
pub(super) type Owner = (Id, ResourceKind);

/// What the writer knows of the properties that it writes.
pub(super) struct Properties {
    series: Cache<SeriesName, Series>,
    /// The values that the database does not have among the latest yet.
    tail: Arc<Tail>,
    /// By owner, what its properties come to, with this group.
    extents: Cache<Id, PropertiesExtent>,
}

/// `key` is `None` for locations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SeriesName {
    owner: Id,
    key: Option<PropertyKey>,
}

/// [`SeriesName`], to look it up by.
#[derive(Hash)]
struct SeriesRef<'a> {
    owner: Id,
    key: Option<&'a PropertyKey>,
}

impl<'a> SeriesRef<'a> {
    fn new(owner: Id, key: SeriesKey<'a>) -> Self {
        let key = match key {
            SeriesKey::Property(key) => Some(key),
            SeriesKey::Location => None,
        };
        Self { owner, key }
    }

    fn to_name(&self) -> SeriesName {
        SeriesName { owner: self.owner, key: self.key.cloned() }
    }
}

impl Equivalent<SeriesName> for SeriesRef<'_> {
    fn equivalent(&self, name: &SeriesName) -> bool {
        self.owner == name.owner && self.key == name.key.as_ref()
    }
}

#[derive(Debug, Clone, Copy)]
struct Series {
    id: i64,
    account: i64,
    /// The timestamp of the latest value; below every other where there is none yet.
    latest_ts: TimestampMs,
    /// Whether the server made that timestamp.
    latest_is_made: bool,
    /// How long the latest value is.
    latest_bytes: usize,
    /// Values below this may be deleted and not freed yet; at or above it all count.
    floor: TimestampMs,
}

/// Whether the server made the timestamp of a value: then it is that of its arrival.
pub(in crate::sqlite) fn is_made(ts: TimestampMs, at: TimestampMs) -> bool {
    ts == at
}

/// Whether a value becomes the latest: it has the later timestamp, of equal ones it came last. Between two timestamps that
/// the server made the order of their arrival counts, whatever the clock said.
pub(in crate::sqlite) fn is_later(
    (ts, is_made): (TimestampMs, bool),
    (latest_ts, latest_is_made): (TimestampMs, bool),
) -> bool {
    ts >= latest_ts || (is_made && latest_is_made)
}

impl fmt::Debug for Properties {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Properties").field("series", &self.series.len()).finish_non_exhaustive()
    }
}

impl Properties {
    /// Remembers up to `series_cached` series, and the extents of as many owners.
    pub(super) fn new(series_cached: usize, tail: Arc<Tail>) -> Self {
        Self { series: Cache::new(series_cached), tail, extents: Cache::new(series_cached) }
    }

    /// Appends the values of one update; returns the sequence of the last.
    pub(super) fn append(
        &mut self,
        connection: &Connection,
        log: &mut EventLog,
        account: Id,
        owner: Owner,
        updates: &[impl Timed],
    ) -> Result<Sequence, Fault> {
        let mut statement = EventLog::appending(connection)?;
        let mut last = log.last() as Sequence;
        for (part, update) in updates.iter().enumerate() {
            let ts = update.timestamp_ms();
            let (series, is_latest) = self.admit(connection, account, owner, update)?;
            let entry = Entry {
                account: series.account,
                series: series.id,
                kind: column::VALUE,
                part,
                ts,
                at: update.created_at_ms(),
                body: update.value().as_str(),
            };
            last = log.append(&mut statement, entry)?;
            let value = TailValue {
                seq: last as i64,
                ts,
                bytes: u32::try_from(entry.body.len()).unwrap_or(u32::MAX),
                is_made: is_made(ts, entry.at),
                is_latest,
            };
            self.tail.append(series.id, value);
        }
        Ok(last)
    }

    /// What the owner's properties would come to with this update: known without asking the database for owners and
    /// properties that are written to often. A value that is older than the latest one changes nothing.
    pub(super) fn after(
        &mut self,
        connection: &Connection,
        owner: PropertyOwner,
        updates: &[PropertyUpdate],
    ) -> Result<PropertiesExtent, Fault> {
        let mut extent = self.extent(connection, owner)?;
        // By key, timestamp and length of what is the latest: one update may bring several values for it.
        let mut latest: HashMap<&PropertyKey, ((TimestampMs, bool), usize), RandomState> = HashMap::default();
        for PropertyUpdate { key, value, timestamp_ms, created_at_ms } in updates {
            if !latest.contains_key(key) {
                let known = self.known(connection, owner.id(), SeriesKey::Property(key))?;
                extent.count += usize::from(known.is_none());
                let before = known.map_or(((TimestampMs::MIN, false), 0), |series| {
                    ((series.latest_ts, series.latest_is_made), series.latest_bytes)
                });
                latest.insert(key, before);
            }
            let entry = latest.entry(key).or_default();
            let time = (*timestamp_ms, is_made(*timestamp_ms, *created_at_ms));
            if is_later(time, entry.0) {
                let bytes = value.as_str().len();
                extent.bytes = (extent.bytes + bytes).saturating_sub(entry.1);
                *entry = (time, bytes);
            }
        }
        Ok(extent)
    }

    /// What the owner's properties come to now.
    fn extent(&mut self, connection: &Connection, owner: PropertyOwner) -> Result<PropertiesExtent, Fault> {
        if let Some(extent) = self.extents.get(&owner.id()) {
            return Ok(*extent);
        }
        let id = owner.id();
        let mut extent = PropertiesExtent { count: 0, bytes: 0 };
        let mut statement = connection.prepare_cached(EXTENT)?;
        let mut rows = statement.query((id.as_str(), column::PROPERTY))?;
        while let Some(row) = rows.next()? {
            extent.count += 1;
            extent.bytes += self.series_of(row)?.latest_bytes;
        }
        self.extents.insert(id, extent);
        Ok(extent)
    }

    /// The series of a property, if there is one.
    fn known(
        &mut self,
        connection: &Connection,
        owner: Id,
        key: SeriesKey<'_>,
    ) -> Result<Option<Series>, Fault> {
        let name = SeriesRef::new(owner, key);
        if let Some(series) = self.series.get(&name) {
            return Ok(Some(*series));
        }
        let (kind, text) = key.columns();
        let parameters = params![owner.as_str(), kind, text];
        let Some(series) = read::one(connection, FIND, parameters, |row| self.series_of(row))? else {
            return Ok(None);
        };
        self.series.insert(name.to_name(), series);
        Ok(Some(series))
    }

    /// The series that a value belongs to, made where it is new, and whether the value is the latest of it.
    fn admit(
        &mut self,
        connection: &Connection,
        account: Id,
        owner: Owner,
        update: &impl Timed,
    ) -> Result<(Series, bool), Fault> {
        let key = update.series();
        let is_property = matches!(key, SeriesKey::Property(_));
        let mut series = match self.known(connection, owner.0, key)? {
            Some(series) => series,
            None => {
                if is_property && let Some(mut extent) = self.extents.get_mut(&owner.0) {
                    extent.count += 1;
                }
                add(connection, account, owner, update)?
            }
        };
        let (before, after) = (series.latest_bytes, update.value().as_str().len());
        let time = (update.timestamp_ms(), is_made(update.timestamp_ms(), update.created_at_ms()));
        let is_latest = series.admit(time, after);
        if is_latest
            && is_property
            && let Some(mut extent) = self.extents.get_mut(&owner.0)
        {
            extent.bytes = (extent.bytes + after).saturating_sub(before);
        }
        self.keep(owner.0, key, series);
        if update.timestamp_ms() < series.floor {
            connection.prepare_cached(MARK_LATE)?.execute([series.id, update.timestamp_ms()])?;
        }
        Ok((series, is_latest))
    }

    fn keep(&mut self, owner: Id, key: SeriesKey<'_>, series: Series) {
        let name = SeriesRef::new(owner, key);
        if let Some(mut cached) = self.series.get_mut(&name) {
            *cached = series;
            return;
        }
        self.series.insert(name.to_name(), series);
    }

    /// A series as the database and the tail have it, out of the columns of [`FIND`].
    fn series_of(&self, row: &Row<'_>) -> Result<Series, Fault> {
        let id = row.get(0)?;
        let latest = row.get::<_, Option<_>>(2)?.zip(row.get::<_, Option<_>>(5)?);
        let indexed = Indexed { up_to: row.get::<_, Option<_>>(6)?.unwrap_or(0), last_seq: i64::MAX };
        let (time, bytes) = match self.tail.latest(id, indexed) {
            Some(TailValue { ts, is_made, bytes, .. }) => ((ts, is_made), bytes as usize),
            None => {
                let bytes = row.get::<_, Option<i64>>(4)?.unwrap_or_default() as usize;
                (latest.unwrap_or((TimestampMs::MIN, false)), bytes)
            }
        };
        Ok(Series {
            id,
            account: row.get(1)?,
            latest_ts: time.0,
            latest_is_made: time.1,
            latest_bytes: bytes,
            floor: row.get::<_, Option<_>>(3)?.unwrap_or(TimestampMs::MIN),
        })
    }

    /// A series of this owner is gone, or its floor has changed.
    pub(super) fn forget_series(&mut self, owner: Id, key: SeriesKey<'_>) {
        self.series.remove(&SeriesRef::new(owner, key));
    }

    /// Values of this owner are removed.
    pub(super) fn forget_extent(&mut self, owner: Id) {
        self.extents.remove(&owner);
    }

    /// The group is rolled back: what is known may stem from it.
    pub(super) fn forget(&mut self) {
        self.series.clear();
        self.extents.clear();
    }
}

impl Series {
    /// Takes a value in; `true` when it is the latest now.
    fn admit(&mut self, time: (TimestampMs, bool), bytes: usize) -> bool {
        let is_latest = is_later(time, (self.latest_ts, self.latest_is_made));
        if is_latest {
            ((self.latest_ts, self.latest_is_made), self.latest_bytes) = (time, bytes);
        }
        is_latest
    }
}

fn add(
    connection: &Connection,
    account_id: Id,
    (owner, owner_kind): Owner,
    update: &impl Timed,
) -> Result<Series, Fault> {
    let account = account(connection, account_id, update.created_at_ms())?;
    let key = update.series();
    let (kind, key) = key.columns();
    let id = add_series(connection, account, column::kind_number(owner_kind), owner, kind, key)?;
    Ok(Series {
        id,
        account,
        latest_ts: TimestampMs::MIN,
        latest_is_made: false,
        latest_bytes: 0,
        floor: TimestampMs::MIN,
    })
}

/// A new series, empty.
pub(super) fn add_series(
    connection: &Connection,
    account: i64,
    owner_kind: i64,
    owner: Id,
    kind: i64,
    key: &str,
) -> Result<i64, Fault> {
    connection.prepare_cached(ADD)?.execute(params![account, owner_kind, owner.as_str(), kind, key])?;
    Ok(connection.last_insert_rowid())
}

/// The columns that a series is made of.
macro_rules! series_columns {
    () => {
        "SELECT series.id, series.account, event.ts,
        (SELECT max(before_ts) FROM doomed WHERE series = series.id), octet_length(event.body),
        event.at = event.ts, latest.indexed
        FROM series LEFT JOIN latest ON latest.series = series.id LEFT JOIN event ON event.seq = latest.seq
        WHERE series.owner = ?1 AND series.kind = ?2"
    };
}

const FIND: &str = concat!(series_columns!(), " AND series.key = ?3");

const EXTENT: &str = series_columns!();

const ADD: &str = "INSERT INTO series (account, owner_kind, owner, kind, key) VALUES (?1, ?2, ?3, ?4, ?5)";

const MARK_LATE: &str = "UPDATE doomed SET late = 1 WHERE series = ?1 AND before_ts > ?2 AND late = 0";

/// Every statement of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, EXTENT, ADD, MARK_LATE];
