//! Making a database of records: checks each, and works out what follows from them all.
//!
//! It is written under another name and gets its own when all of it is there, so that an import that fails leaves nothing.

use std::{path::Path, sync::Arc};

use hashbrown::HashMap;
use rusqlite::{Connection, ErrorCode, params};
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{Fields, Json},
};

use super::{
    column, connection,
    directory::NewDirectory,
    export::{event_kind_number, series_kind_number},
    fault::{Fault, describe},
    layout, read,
    write::{is_later, is_made},
};
use crate::{
    CLOCK_STEP_MS, KeyRecord, ResourceRecord, Sequence, StoreError, TimestampMs,
    export::{
        EventKind, ExportRecord, ExportedEvent, ExportedResource, ExportedSeries, ImportError, SeriesKind,
    },
    index_keys,
};

/// KiB of pages that are kept: what the records name was written a while ago.
const CACHE_KIB: i64 = 65_536;

/// A database that is being made.
#[derive(Debug)]
pub struct Import {
    connection: Connection,
    directory: NewDirectory,
    data_dir: Arc<str>,
    /// The numbers of accounts.
    accounts: HashMap<Id, i64>,
    /// Of each series, the number of its account and its kind.
    series: HashMap<i64, (i64, SeriesKind)>,
    last_event: Sequence,
    /// The latest arrival so far.
    last_arrival_ms: TimestampMs,
    /// The first event that came in after the clock was set back.
    set_back: Option<i64>,
    next_sequence: Sequence,
}

impl Import {
    /// Begins in a directory that is empty or missing. The records say nothing of a later event than before
    /// `next_sequence`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], also for a directory that is not empty.
    pub fn begin(directory: &Path, next_sequence: Sequence) -> Result<Self, StoreError> {
        let data_dir: Arc<str> = directory.display().to_string().into();
        let begin = || {
            let directory = NewDirectory::claim(directory).map_err(Fault::File)?;
            let mut connection = connection::unshared(&directory.part())?;
            connection::shape(&connection)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            layout::migrate(&mut connection)?;
            // One whole transaction: what fails is thrown away with the file.
            connection.execute_batch("BEGIN EXCLUSIVE")?;
            Ok((directory, connection))
        };
        let (directory, connection) = begin().map_err(|fault: Fault| fault.at(&data_dir))?;
        let (accounts, series) = (HashMap::new(), HashMap::new());
        let (last_arrival_ms, set_back) = (TimestampMs::MIN, None);
        Ok(Self {
            connection,
            directory,
            data_dir,
            accounts,
            series,
            last_event: 0,
            last_arrival_ms,
            set_back,
            next_sequence,
        })
    }

    /// Takes a record in.
    ///
    /// # Errors
    /// [`ImportError::Invalid`] for one that does not go with those before.
    pub fn put(&mut self, record: &ExportRecord) -> Result<(), ImportError> {
        match record {
            ExportRecord::Meta { name, text } => self.execute(ADD_META, params![name, text]),
            ExportRecord::Account { id, created_at_ms } => {
                self.execute(ADD_ACCOUNT, params![id.as_str(), created_at_ms])?;
                self.accounts.insert(*id, self.connection.last_insert_rowid());
                Ok(())
            }
            ExportRecord::Key(key) => self.put_key(key),
            ExportRecord::Series(series) => self.put_series(series),
            ExportRecord::Event(event) => self.put_event(event),
            ExportRecord::Resource(resource) => self.put_resource(resource),
            ExportRecord::Member { collection, kind, member } => {
                let (collection, kind) = (self.row_id(*collection)?, column::kind_number(*kind));
                self.execute(ADD_MEMBER, params![collection, kind, self.row_id(*member)?])
            }
            ExportRecord::Orphan { created_seq, id, kind } => {
                let kind = column::kind_number(*kind);
                self.execute(ADD_ORPHAN, params![self.row_id(*created_seq)?, id.as_str(), kind])
            }
        }
    }

    fn put_key(&self, key: &KeyRecord) -> Result<(), ImportError> {
        let (kind, actor) = column::actor_columns(key.actor);
        self.execute(
            ADD_KEY,
            params![
                &key.hash.0[..],
                self.account(key.account)?,
                kind,
                actor.as_str(),
                key.nonce.as_ref().map(|nonce| &nonce[..]),
                key.created_at_ms
            ],
        )
    }

    fn put_series(&mut self, series: &ExportedSeries) -> Result<(), ImportError> {
        let ExportedSeries { number, account, owner_kind, owner, kind, key } = series;
        if *number < 1 {
            return Err(invalid("its number is 1 or more"));
        }
        if *kind == SeriesKind::Property && PropertyKey::parse(key).is_err() {
            return Err(invalid("its key is no property key"));
        }
        let account = self.account(*account)?;
        self.execute(
            ADD_SERIES,
            params![
                number,
                account,
                column::kind_number(*owner_kind),
                owner.as_str(),
                series_kind_number(*kind),
                key
            ],
        )?;
        self.series.insert(*number, (account, *kind));
        Ok(())
    }

    fn put_event(&mut self, event: &ExportedEvent) -> Result<(), ImportError> {
        let ExportedEvent { seq, series, kind, part, timestamp_ms, arrived_at_ms, body } = event;
        let Some((account, series_kind)) = self.series.get(series) else {
            return Err(invalid(format!("there is no series {series}")));
        };
        if *seq <= self.last_event {
            return Err(invalid("events come in the order of their sequences, each once"));
        }
        if !kind.fits(*series_kind) {
            return Err(invalid(format!("series {series} has no such events")));
        }
        if serde_json::from_str::<&serde_json::value::RawValue>(body).is_err() {
            return Err(invalid("its body is no JSON"));
        }
        let created_seq = self.row_id(*seq)?;
        self.execute(
            ADD_EVENT,
            params![
                created_seq,
                account,
                series,
                event_kind_number(*kind),
                part,
                timestamp_ms,
                arrived_at_ms,
                body
            ],
        )?;
        self.last_event = *seq;
        if self.last_arrival_ms.saturating_sub(*arrived_at_ms) > CLOCK_STEP_MS {
            self.set_back.get_or_insert(created_seq);
        }
        self.last_arrival_ms = self.last_arrival_ms.max(*arrived_at_ms);
        Ok(())
    }

    fn put_resource(&self, resource: &ExportedResource) -> Result<(), ImportError> {
        let account = self.account(resource.account)?;
        let created_seq = self.row_id(resource.created_seq)?;
        let (document, kind) = (self.row_id(resource.document)?, resource.kind);
        let body = read::one(&self.connection, DOCUMENT, [document], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        });
        let body = body.map_err(|fault| self.fault(fault))?;
        let Some((body, _)) = body.filter(|(_, kind)| *kind != event_kind_number(EventKind::Value)) else {
            return Err(invalid(format!("event {document} holds no document of it")));
        };
        if Fields::read(kind, &body).is_err() {
            return Err(invalid(format!("the document in event {document} cannot be read")));
        }
        let record = ResourceRecord {
            id: resource.id,
            account: resource.account,
            kind,
            parent: resource.parent,
            body: body.into(),
            private: resource.private.clone(),
            scopes: resource.scopes.clone(),
            created_at_ms: resource.created_at_ms,
            updated_at_ms: resource.updated_at_ms,
            created_seq: resource.created_seq,
        };
        let meta = record.meta();
        self.execute(
            ADD_RESOURCE,
            params![
                created_seq,
                record.id.as_str(),
                account,
                column::kind_number(kind),
                record.parent.as_ref().map(Id::as_str),
                meta.thng.as_ref().map(Id::as_str),
                meta.product.as_ref().map(Id::as_str),
                document,
                record.private.as_ref().map(Json::as_str),
                column::projects_column(&record.scopes),
                column::users_column(&record.scopes),
                record.created_at_ms,
                record.updated_at_ms,
            ],
        )?;
        for term in index_keys(&record) {
            self.execute(ADD_TERM, [term, created_seq])?;
        }
        if let Some(name) = record.unique_name() {
            self.execute(ADD_NAME, params![account, column::kind_number(kind), name, record.id.as_str()])?;
        }
        Ok(())
    }

    /// Works out what follows from the records. What has been made gets its name with [`UnnamedDatabase::finish`].
    ///
    /// # Errors
    /// [`ImportError::Invalid`] where something that the records name has not come.
    pub fn complete(self) -> Result<UnnamedDatabase, ImportError> {
        let complete = || {
            let next = i64::try_from(self.next_sequence).unwrap_or(i64::MAX);
            self.connection.execute("UPDATE log_end SET next_seq = ?1", [next])?;
            // At the end, sorted, instead of page by page wherever a value belongs.
            self.connection.execute(INDEX_VALUES, [event_kind_number(EventKind::Value)])?;
            self.connection.execute("UPDATE indexed SET up_to = ?1 - 1", [next])?;
            self.connection.execute(
                SET_LATEST,
                params![series_kind_number(SeriesKind::Property), series_kind_number(SeriesKind::Location)],
            )?;
            if let Some(seq) = self.set_back {
                set_latest_by_arrival(&self.connection, seq)?;
            }
            self.connection.execute_batch("COMMIT")?;
            Ok(())
        };
        complete().map_err(|fault| self.fault(fault))?;
        let Self { connection, directory, data_dir, .. } = self;
        drop(connection);
        Ok(UnnamedDatabase { directory, data_dir })
    }

    fn account(&self, id: Id) -> Result<i64, ImportError> {
        self.accounts.get(&id).copied().ok_or_else(|| invalid(format!("there is no account {id}")))
    }

    /// A sequence as a column stores it.
    fn row_id(&self, seq: Sequence) -> Result<i64, ImportError> {
        match i64::try_from(seq) {
            Ok(created_seq) if seq > 0 && seq < self.next_sequence => Ok(created_seq),
            _ => Err(invalid(format!(
                "{seq} is no sequence of this log, which ends before {}",
                self.next_sequence
            ))),
        }
    }

    fn execute(&self, statement: &str, parameters: impl rusqlite::Params) -> Result<(), ImportError> {
        let executed = self.connection.prepare_cached(statement).and_then(|mut it| it.execute(parameters));
        match executed {
            Ok(_) => Ok(()),
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::ConstraintViolation => {
                Err(invalid("the same is there already"))
            }
            Err(error) => Err(self.fault(error.into())),
        }
    }

    fn fault(&self, fault: Fault) -> ImportError {
        fault.at(&self.data_dir).into()
    }
}

/// A database that is whole and has no name yet: what goes with it can be put beside it.
#[derive(Debug)]
pub struct UnnamedDatabase {
    pub(super) directory: NewDirectory,
    pub(super) data_dir: Arc<str>,
}

impl UnnamedDatabase {
    /// Takes a directory that is empty or missing. From here on a server does not begin with an empty database there.
    ///
    /// # Errors
    /// [`StoreError`], also for a directory that is not empty.
    pub fn claim(directory: &Path) -> Result<Self, StoreError> {
        let data_dir: Arc<str> = directory.display().to_string().into();
        let directory = NewDirectory::claim(directory).map_err(|error| Fault::File(error).at(&data_dir))?;
        Ok(Self { directory, data_dir })
    }

    /// Makes it the database of its directory.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn finish(&mut self) -> Result<(), StoreError> {
        self.directory.finish().map_err(|error| StoreError::Unavailable {
            data_dir: self.data_dir.to_string(),
            reason: describe(&error),
        })
    }
}

fn invalid(sentence: impl Into<String>) -> ImportError {
    ImportError::Invalid(sentence.into())
}

const INDEX_VALUES: &str = "INSERT INTO value_by_time (series, ts, seq)
    SELECT series, ts, seq FROM event WHERE kind = ?1 ORDER BY series, ts, seq";

const ADD_META: &str = "INSERT INTO note (name, body) VALUES (?1, ?2)";

const ADD_ACCOUNT: &str = "INSERT INTO account (id, created_at_ms) VALUES (?1, ?2)";

const ADD_KEY: &str = "INSERT INTO api_key (hash, account, actor_kind, actor, nonce, created_at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const ADD_SERIES: &str = "INSERT INTO series (id, account, owner_kind, owner, kind, key)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const ADD_EVENT: &str = "INSERT INTO event (seq, account, series, kind, part, ts, at, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const ADD_RESOURCE: &str =
    "INSERT INTO resource (created, id, account, kind, parent, thng, product, doc, private, projects,
    users, created_at_ms, updated_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

const ADD_TERM: &str = "INSERT INTO term (term, resource) VALUES (?1, ?2)";

const ADD_NAME: &str = "INSERT INTO unique_name (account, kind, name, id) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (account, kind, name) DO UPDATE SET id = excluded.id";

const ADD_MEMBER: &str = "INSERT INTO member (collection, kind, resource) VALUES (?1, ?2, ?3)";

const ADD_ORPHAN: &str = "INSERT INTO orphaned (place, id, kind) VALUES (?1, ?2, ?3)";

const DOCUMENT: &str = "SELECT body, kind FROM event WHERE seq = ?1";

/// Where the clock was set back, the greatest timestamp need not be the latest value: the series with events from there on
/// are gone through as they were written.
fn set_latest_by_arrival(connection: &Connection, seq: i64) -> Result<(), Fault> {
    let mut statement = connection.prepare(SERIES_FROM)?;
    let series = statement.query_map(params![seq, event_kind_number(EventKind::Value)], |row| row.get(0))?;
    for series in series.collect::<Result<Vec<i64>, _>>()? {
        let mut statement = connection.prepare_cached(BY_ARRIVAL)?;
        let mut rows = statement.query([series])?;
        let mut latest = None;
        while let Some(row) = rows.next()? {
            let (seq, ts, at): (i64, TimestampMs, TimestampMs) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let time = (ts, is_made(ts, at));
            if latest.is_none_or(|(_, latest)| is_later(time, latest)) {
                latest = Some((seq, time));
            }
        }
        if let Some((seq, (ts, _))) = latest {
            connection.prepare_cached(REPLACE_LATEST)?.execute([series, seq, ts])?;
        }
    }
    Ok(())
}

const SERIES_FROM: &str = "SELECT DISTINCT series FROM event WHERE seq >= ?1 AND kind = ?2";

const BY_ARRIVAL: &str = "SELECT event.seq, event.ts, event.at FROM value_by_time CROSS JOIN event
    ON event.seq = value_by_time.seq WHERE value_by_time.series = ?1 ORDER BY event.seq";

const REPLACE_LATEST: &str = "REPLACE INTO latest (series, seq, ts) VALUES (?1, ?2, ?3)";

/// The greatest (ts, seq) of each series of values.
const SET_LATEST: &str = "INSERT INTO latest (series, seq, ts)
    SELECT series.id, last.seq, last.ts FROM series JOIN event AS last ON last.seq =
        (SELECT seq FROM value_by_time WHERE value_by_time.series = series.id ORDER BY ts DESC, seq DESC LIMIT 1)
    WHERE series.kind IN (?1, ?2)";
