//! The reading half: a bounded pool of read-only connections. Each call sees one committed state of the database,
//! beside a writer that goes on writing.

use std::{fmt, sync::Arc};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{LocationUpdate, PropertyUpdate, ResourceKind},
};

use super::{
    column, connection,
    directory::DataDirectory,
    fault::Fault,
    scan, session_queue,
    tail::Tail,
    values::{self, ValueSnapshot},
    write::first_crowded,
};
use crate::{
    Actor, HistoryPage, KeyHash, KeyRecord, ListPart, ListRequest, OpenTask, Page, PropertyOwner, ReadStore,
    ResourceDetails, ResourceMeta, ResourceRecord, ScanProgress, Sequence, StoreError, TimeRange,
    session_queue::{QueuedMessages, ReadSessions, SessionNumber, StoredSession, TopicNumber},
};

/// Read-only connections; a caller that finds none idle waits for one.
pub(super) struct SqliteReaders {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
    tail: Arc<Tail>,
    data_dir: Arc<str>,
    _directory: Arc<DataDirectory>,
}

impl fmt::Debug for SqliteReaders {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SqliteReaders").field("directory", &self.data_dir).finish_non_exhaustive()
    }
}

/// A pooled connection: it returns to the pool also when the reading panics.
struct PooledConnection<'p> {
    readers: &'p SqliteReaders,
    connection: Option<Connection>,
}

impl Drop for PooledConnection<'_> {
    fn drop(&mut self) {
        self.readers.idle.lock().extend(self.connection.take());
        self.readers.returned.notify_one();
    }
}

impl SqliteReaders {
    /// Opens `count` connections (at least one) to a database that the writer has prepared.
    pub(super) fn open(
        directory: Arc<DataDirectory>,
        count: usize,
        tail: Arc<Tail>,
        data_dir: Arc<str>,
    ) -> Result<Self, Fault> {
        let idle =
            (0..count.max(1)).map(|_| connection::reader(directory.database())).collect::<Result<_, _>>()?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new(), tail, data_dir, _directory: directory })
    }

    /// Runs `read` with a connection. One statement sees one state; who needs several opens a transaction.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        let loan = self.borrow();
        let connection = loan.connection.as_ref().expect("a pooled connection is there until it is dropped");
        read(connection).map_err(|fault| fault.at(&self.data_dir))
    }

    /// The same, for reads of values: all statements see one state.
    fn read_values<T>(
        &self,
        read: impl FnOnce(&ValueSnapshot<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.read(|connection| read(&ValueSnapshot::of(connection, &self.tail)?))
    }

    fn borrow(&self) -> PooledConnection<'_> {
        let mut idle = self.idle.lock();
        loop {
            if let Some(connection) = idle.pop() {
                return PooledConnection { readers: self, connection: Some(connection) };
            }
            self.returned.wait(&mut idle);
        }
    }
}

impl ReadSessions for SqliteReaders {
    fn has_session(&self, key: &KeyHash, client_id: &str) -> Result<bool, StoreError> {
        self.read(|connection| session_queue::has_session(connection, key, client_id))
    }

    fn session(&self, session: SessionNumber) -> Result<StoredSession, StoreError> {
        self.read(|connection| {
            let _snapshot = Snapshot::of(connection)?;
            session_queue::session(connection, session)
        })
    }

    fn queued_messages(
        &self,
        topic: TopicNumber,
        after: Sequence,
        up_to: Sequence,
        most: usize,
        bytes_max: usize,
    ) -> Result<QueuedMessages, StoreError> {
        self.read(|connection| session_queue::messages(connection, topic, (after, up_to), most, bytes_max))
    }

    fn last_sequence(&self) -> Result<Sequence, StoreError> {
        self.read(session_queue::last_sequence)
    }
}

impl ReadStore for SqliteReaders {
    fn key(&self, hash: &KeyHash) -> Result<Option<KeyRecord>, StoreError> {
        self.read(|connection| one(connection, KEY, [&hash.0[..]], column::key))
    }

    fn key_of(&self, actor: Actor) -> Result<Option<KeyRecord>, StoreError> {
        self.read(|connection| key_of(connection, actor))
    }

    fn keys_between(
        &self,
        least: &KeyHash,
        greatest: &KeyHash,
        most: usize,
    ) -> Result<Vec<KeyRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(KEYS_BETWEEN)?;
            let mut rows = statement.query(params![&least.0[..], &greatest.0[..], most as i64])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(column::key(row)?);
            }
            Ok(keys)
        })
    }

    fn accounts(&self, most: usize) -> Result<Vec<Id>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(ACCOUNTS)?;
            let mut rows = statement.query([most as i64])?;
            let mut accounts = Vec::new();
            while let Some(row) = rows.next()? {
                accounts.push(column::id(row, 0)?);
            }
            Ok(accounts)
        })
    }

    fn has_keys(&self) -> Result<bool, StoreError> {
        self.read(|connection| Ok(connection.prepare_cached(HAS_KEYS)?.query_row([], |row| row.get(0))?))
    }

    fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.read(|connection| meta(connection, name))
    }

    fn resource_meta(&self, id: Id) -> Result<Option<ResourceMeta>, StoreError> {
        self.read(|connection| resource_meta(connection, id))
    }

    fn resource(&self, id: Id) -> Result<Option<ResourceRecord>, StoreError> {
        self.read(|connection| resource(connection, id))
    }

    fn first_document(&self, created_seq: Sequence) -> Result<Option<String>, StoreError> {
        self.read(|connection| first_document(connection, created_seq))
    }

    fn named(&self, account: Id, kind: ResourceKind, name: &str) -> Result<Option<Id>, StoreError> {
        self.read(|connection| named(connection, account, kind, name))
    }

    fn find(&self, find: &ListRequest<'_>) -> Result<ListPart, StoreError> {
        self.read(|connection| {
            let _snapshot = Snapshot::of(connection)?;
            scan::page(connection, find)
        })
    }

    fn count(&self, find: &ListRequest<'_>) -> Result<(usize, ScanProgress), StoreError> {
        self.read(|connection| {
            let _snapshot = Snapshot::of(connection)?;
            scan::count(connection, find)
        })
    }

    fn open_tasks(&self, most_per_account: usize) -> Result<Vec<OpenTask>, StoreError> {
        self.read(|connection| scan::open_tasks(connection, most_per_account))
    }

    fn first_crowded(
        &self,
        collection: Id,
        kind: ResourceKind,
        members: &[Id],
        most: usize,
    ) -> Result<Option<Id>, StoreError> {
        self.read(|connection| first_crowded(connection, collection, kind, members, most))
    }

    fn collections_of(&self, id: Id) -> Result<Vec<Id>, StoreError> {
        self.read(|connection| collections_of(connection, id, usize::MAX))
    }

    fn resource_with_details(&self, id: Id) -> Result<Option<(ResourceRecord, ResourceDetails)>, StoreError> {
        self.read_values(|snapshot| {
            let Some(record) = resource(snapshot.connection, id)? else { return Ok(None) };
            let mut details = match record.kind.has_properties() {
                true => values::latest_and_location(snapshot, id)?,
                false => ResourceDetails::default(),
            };
            if record.kind.has_collections() {
                details.collections = collections_of(snapshot.connection, id, usize::MAX)?;
            }
            Ok(Some((record, details)))
        })
    }

    fn details(&self, owner: PropertyOwner) -> Result<ResourceDetails, StoreError> {
        self.read_values(|snapshot| {
            let details = values::latest_and_location(snapshot, owner.id())?;
            Ok(match owner {
                PropertyOwner::Thng(thng) => {
                    let collections = collections_of(snapshot.connection, thng, usize::MAX)?;
                    ResourceDetails { collections, ..details }
                }
                PropertyOwner::Product(_) => details,
            })
        })
    }

    fn latest(&self, owner: PropertyOwner) -> Result<Vec<PropertyUpdate>, StoreError> {
        self.read_values(|snapshot| values::latest(snapshot, owner))
    }

    fn latest_of(
        &self,
        owner: PropertyOwner,
        key: &PropertyKey,
    ) -> Result<Option<PropertyUpdate>, StoreError> {
        self.read_values(|snapshot| values::latest_of(snapshot, owner, key))
    }

    fn history(
        &self,
        owner: PropertyOwner,
        key: &PropertyKey,
        range: TimeRange,
        page: HistoryPage,
    ) -> Result<Page<PropertyUpdate>, StoreError> {
        self.read_values(|snapshot| {
            let name = (owner.id(), column::PROPERTY, key.as_str());
            values::history(snapshot, name, range, page, |row| column::update(row, 1, key.clone()))
        })
    }

    fn latest_location(&self, thng: Id) -> Result<Option<LocationUpdate>, StoreError> {
        self.read_values(|snapshot| values::latest_location(snapshot, thng))
    }

    fn locations(
        &self,
        thng: Id,
        range: TimeRange,
        page: HistoryPage,
    ) -> Result<Page<LocationUpdate>, StoreError> {
        self.read_values(|snapshot| {
            let name = (thng, column::LOCATION, "");
            values::history(snapshot, name, range, page, |row| column::location(row, 1))
        })
    }

    fn unindexed_values(&self) -> usize {
        self.tail.unindexed()
    }
}

/// Until it is dropped, the statements of this connection see what the first of them saw.
pub(super) struct Snapshot<'c> {
    connection: &'c Connection,
}

impl<'c> Snapshot<'c> {
    pub(super) fn of(connection: &'c Connection) -> Result<Self, Fault> {
        // Kept statements: rusqlite's own transactions compile theirs each time, a tenth of what a small read takes.
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self { connection })
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let ended = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        // Nothing was written, so there is nothing to lose; some failures have ended it already.
        if let Err(error) = ended
            && !self.connection.is_autocommit()
            && let Err(rollback) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, %rollback, "a snapshot could not be ended");
        }
    }
}

/// The head of a resource; the writer asks the same of its own connection, and so below.
pub(super) fn resource_meta(connection: &Connection, id: Id) -> Result<Option<ResourceMeta>, Fault> {
    one(connection, HEAD, [id.as_str()], column::resource_meta)
}

pub(super) fn resource(connection: &Connection, id: Id) -> Result<Option<ResourceRecord>, Fault> {
    one(connection, RESOURCE, [id.as_str()], column::resource)
}

pub(super) fn named(
    connection: &Connection,
    account: Id,
    kind: ResourceKind,
    name: &str,
) -> Result<Option<Id>, Fault> {
    one(connection, NAMED, params![account.as_str(), column::kind_number(kind), name], |row| {
        column::id(row, 0)
    })
}

pub(super) fn meta(connection: &Connection, name: &str) -> Result<Option<String>, Fault> {
    one(connection, META, [name], |row| Ok(row.get(0)?))
}

pub(super) fn first_document(
    connection: &Connection,
    created_seq: Sequence,
) -> Result<Option<String>, Fault> {
    one(connection, DOCUMENT, [signed(created_seq)], |row| Ok(row.get(0)?))
}

pub(super) fn key_of(connection: &Connection, actor: Actor) -> Result<Option<KeyRecord>, Fault> {
    let (kind, id) = column::actor_columns(actor);
    one(connection, KEY_OF, params![id.as_str(), kind], column::key)
}

pub(super) fn collections_of(connection: &Connection, id: Id, most: usize) -> Result<Vec<Id>, Fault> {
    let mut statement = connection.prepare_cached(COLLECTIONS_OF)?;
    let mut rows = statement.query(params![id.as_str(), i64::try_from(most).unwrap_or(i64::MAX)])?;
    let mut collections = Vec::new();
    while let Some(row) = rows.next()? {
        collections.push(column::id(row, 0)?);
    }
    Ok(collections)
}

/// The row that a query for at most one finds.
pub(super) fn one<T>(
    connection: &Connection,
    query: &str,
    parameters: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    connection.prepare_cached(query)?.query_row(parameters, |row| Ok(read(row))).optional()?.transpose()
}

/// A sequence as SQLite compares it; one beyond its range, which only a made-up cursor can hold, is behind them all.
pub(super) fn signed(seq: Sequence) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

const KEY: &str = concat!(
    "SELECT ",
    column::key_columns!(),
    " FROM api_key JOIN account ON account.num = api_key.account WHERE hash = ?1"
);

const KEY_OF: &str = concat!(
    "SELECT ",
    column::key_columns!(),
    " FROM api_key JOIN account ON account.num = api_key.account WHERE actor = ?1 AND actor_kind = ?2 LIMIT 1"
);

const KEYS_BETWEEN: &str = concat!(
    "SELECT ",
    column::key_columns!(),
    " FROM api_key JOIN account ON account.num = api_key.account WHERE hash BETWEEN ?1 AND ?2 LIMIT ?3"
);

const ACCOUNTS: &str = "SELECT id FROM account ORDER BY num LIMIT ?1";

const HAS_KEYS: &str = "SELECT EXISTS (SELECT 1 FROM api_key)";

const META: &str = "SELECT body FROM note WHERE name = ?1";

const HEAD: &str = concat!(
    "SELECT ",
    column::head_columns!(),
    " FROM resource JOIN account ON account.num = resource.account WHERE resource.id = ?1"
);

const RESOURCE: &str = concat!(
    "SELECT ",
    column::resource_columns!(),
    " FROM resource JOIN account ON account.num = resource.account JOIN event ON event.seq = resource.doc
     WHERE resource.id = ?1"
);

const DOCUMENT: &str = "SELECT body FROM event WHERE seq = ?1";

const NAMED: &str = "SELECT unique_name.id FROM unique_name
    WHERE account = (SELECT num FROM account WHERE id = ?1) AND kind = ?2 AND name = ?3";

const COLLECTIONS_OF: &str = "SELECT parent.id FROM resource JOIN member ON member.resource = resource.created
    JOIN resource AS parent ON parent.created = member.collection WHERE resource.id = ?1 ORDER BY member.collection
    LIMIT ?2";

/// Every query of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const QUERIES: &[&str] =
    &[KEY, KEY_OF, KEYS_BETWEEN, ACCOUNTS, HAS_KEYS, META, HEAD, RESOURCE, DOCUMENT, NAMED, COLLECTIONS_OF];
