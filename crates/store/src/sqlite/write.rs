//! The writing half: one connection, one thread, many operations a commit.
//!
//! Every write needs a resource's metadata, and a property's series and newest timestamp. Bounded caches keep them, so
//! that a value costs one insertion into the log. [`value_index`] writes later what finds it.
//! [`events`] appends to the log, [`properties`] and [`resources`] say what is appended, [`removal`] deletes;
//! [`members`], [`keys`] and [`sessions`] have tables of their own.

use std::sync::Arc;

use rusqlite::{Connection, params};
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{LocationUpdate, PropertyUpdate, ResourceKind},
};

use super::{
    Durability,
    checkpoint::Checkpoints,
    column, connection,
    directory::DataDirectory,
    disk_sync::{LogSync, SyncFailure},
    fault::Fault,
    layout, read,
    tail::Tail,
};
use crate::{
    Actor, DiskSync, KeyHash, KeyRecord, Members, PropertiesExtent, PropertyOwner, ResourceMeta,
    ResourceRecord, Sequence, StoreError, TimestampMs, WriteStore,
    session_queue::{
        OpenedSession, QueueLimits, QueueStats, QueuedMessage, SessionNumber, SessionProgress,
        StoredSubscription, TopicNumber, WriteSessions,
    },
    subscriptions::SubscriptionUsage,
};
pub(super) use bounds::Bounds;
use events::{Entry, EventLog};
pub(super) use members::first_crowded;
use properties::{Properties, SeriesKey};
pub(super) use properties::{is_later, is_made};
use removal::DeletionScope;
use resources::Resources;
use sessions::Sessions;
pub(super) use sessions::{read_in_flight, subscription};
use value_index::ValueIndex;

mod bounds;
mod events;
mod keys;
mod members;
mod properties;
mod removal;
mod resources;
mod sessions;
mod value_index;

/// Rows that go with a resource whose parent is gone, about: the steps of freeing such resources are that much shorter.
const ORPHAN_ROWS: usize = 5;

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct SqliteWriter {
    connection: Connection,
    pub(super) checkpoints: Checkpoints,
    log_sync: LogSync,
    sync_failure: SyncFailure,
    log: EventLog,
    resources: Resources,
    properties: Properties,
    tail: Arc<Tail>,
    index: ValueIndex,
    sessions: Sessions,
    bounds: Bounds,
    data_dir: Arc<str>,
    _directory: Arc<DataDirectory>,
}

impl SqliteWriter {
    /// Opens the database and brings it to the layout of this program.
    pub(super) fn open(
        directory: Arc<DataDirectory>,
        durability: Durability,
        bounds: Bounds,
        data_dir: Arc<str>,
    ) -> Result<Self, Fault> {
        let mut connection = connection::writer(&directory)?;
        layout::check(&connection)?;
        connection::prepare_writer(&connection, bounds.cache_bytes)?;
        layout::migrate(&mut connection)?;
        let sync_failure = SyncFailure::default();
        let checkpoints = Checkpoints::start(&directory, sync_failure.clone())?;
        let log = EventLog::open(&connection)?;
        let log_sync = LogSync::open(&directory, durability, sync_failure.clone(), Arc::clone(&data_dir))?;
        let sessions = Sessions::open(&connection)?;
        let resources = Resources::new(bounds.resources_cached);
        let tail = Arc::new(Tail::new());
        let index = ValueIndex::open(&connection, Arc::clone(&tail), bounds)?;
        let properties = Properties::new(bounds.series_cached, Arc::clone(&tail));
        Ok(Self {
            connection,
            checkpoints,
            log_sync,
            sync_failure,
            log,
            resources,
            properties,
            tail,
            index,
            sessions,
            bounds,
            data_dir,
            _directory: directory,
        })
    }

    /// The values that are not indexed, for readers.
    pub(super) fn tail(&self) -> Arc<Tail> {
        Arc::clone(&self.tail)
    }

    fn start_group(&mut self) -> Result<(), Fault> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        self.tail.begin_group();
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), Fault> {
        self.index.advance(&self.connection, self.log.last())?;
        self.log.flush(&self.connection)?;
        self.sessions.flush(&self.connection)?;
        let committed = self.connection.prepare_cached("COMMIT")?.execute([]);
        committed.inspect_err(|error| self.sync_failure.record(error))?;
        self.tail.committed();
        self.index.committed();
        self.sessions.committed();
        self.checkpoints.after_commit(&self.connection);
        Ok(())
    }

    fn delete_values(
        &mut self,
        owner: Id,
        which: DeletionScope<'_>,
        before_ms: Option<TimestampMs>,
    ) -> Result<(), Fault> {
        self.properties.forget_extent(owner);
        let (log, index) = (&mut self.log, &self.index);
        let changed =
            removal::delete_values(&self.connection, log, index, self.bounds, owner, which, before_ms)?;
        for key in changed {
            let key = key.as_ref().map_or(SeriesKey::Location, SeriesKey::Property);
            self.properties.forget_series(owner, key);
        }
        Ok(())
    }

    /// Takes the values of a resource away that is deleted. `true`: there are many, and they are to be freed in steps. Its
    /// id is gone with the resource, so nothing finds them meanwhile.
    fn delete_few_values(&mut self, resource: &ResourceRecord) -> Result<bool, Fault> {
        if !resource.kind.has_properties() {
            return Ok(false);
        }
        if removal::has_many_series(&self.connection, resource.id, self.bounds.series_at_once)? {
            self.properties.forget_extent(resource.id);
            return Ok(true);
        }
        self.delete_values(resource.id, DeletionScope::Properties, None)?;
        self.delete_values(resource.id, DeletionScope::One(SeriesKey::Location), None)?;
        Ok(false)
    }

    fn log_members(
        &mut self,
        account_id: Id,
        collection: Id,
        at_ms: TimestampMs,
        document: &str,
    ) -> Result<Sequence, Fault> {
        let account = account(&self.connection, account_id, at_ms)?;
        let kind = ResourceKind::Collection;
        let series = resources::series(&self.connection, account, kind, collection, column::MEMBERSHIP, "")?;
        let entry =
            Entry { account, series, kind: column::MEMBERS, part: 0, ts: at_ms, at: at_ms, body: document };
        self.log.append(&mut EventLog::appending(&self.connection)?, entry)
    }

    /// After this nothing of the group is left, neither in the database nor in the caches.
    fn abandon_group(&mut self) {
        // Some failures (a full disk) make SQLite roll back by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(store.directory = %self.data_dir, %error, "a group of writes could not be rolled back");
        }
        self.tail.rolled_back();
        self.index.forget();
        self.resources.forget();
        self.properties.forget();
        self.log.forget();
        self.sessions.forget();
    }

    fn in_data_dir<T>(&self, outcome: Result<T, Fault>) -> Result<T, StoreError> {
        outcome.map_err(|fault| fault.at(&self.data_dir))
    }
}

impl WriteSessions for SqliteWriter {
    fn open_session(
        &mut self,
        key: &KeyHash,
        client_id: &str,
        limits: &QueueLimits,
    ) -> Result<OpenedSession, StoreError> {
        let outcome = self.sessions.open_session(&self.connection, key, client_id, limits);
        self.in_data_dir(outcome)
    }

    fn end_session(&mut self, key: &KeyHash, client_id: &str) -> Result<(), StoreError> {
        let outcome = self.sessions.end_session(&self.connection, key, client_id);
        self.in_data_dir(outcome)
    }

    fn expire_sessions(&mut self, left_before_ms: TimestampMs, most: usize) -> Result<usize, StoreError> {
        let outcome = self.sessions.expire(&self.connection, left_before_ms, most);
        self.in_data_dir(outcome)
    }

    fn leave_all_sessions(&mut self, at_ms: TimestampMs) -> Result<(), StoreError> {
        let outcome = self.sessions.leave_all(&self.connection, at_ms);
        self.in_data_dir(outcome)
    }

    fn put_subscription(
        &mut self,
        session: SessionNumber,
        filter: &[u8],
        route: Option<&[u8]>,
    ) -> Result<Option<StoredSubscription>, StoreError> {
        let last = self.log.last() as Sequence;
        let outcome = self.sessions.put_subscription(&self.connection, session, filter, route, last);
        self.in_data_dir(outcome)
    }

    fn has_subscription(&mut self, session: SessionNumber, filter: &[u8]) -> Result<bool, StoreError> {
        self.in_data_dir(sessions::has_subscription(&self.connection, session, filter))
    }

    fn remove_subscription(&mut self, session: SessionNumber, filter: &[u8]) -> Result<(), StoreError> {
        let outcome = self.sessions.remove_subscription(&self.connection, session, filter);
        self.in_data_dir(outcome)
    }

    fn save_progress(&mut self, progress: &SessionProgress, at_ms: TimestampMs) -> Result<(), StoreError> {
        let outcome = self.sessions.save(&self.connection, progress, at_ms);
        self.in_data_dir(outcome)
    }

    fn is_current(&mut self, session: SessionNumber) -> Result<bool, StoreError> {
        self.in_data_dir(self.sessions.is_current(&self.connection, session))
    }

    fn is_received(&mut self, session: SessionNumber, packet_id: u16) -> Result<bool, StoreError> {
        self.in_data_dir(sessions::is_received(&self.connection, session, packet_id))
    }

    fn receive(&mut self, session: SessionNumber, packet_id: u16) -> Result<(), StoreError> {
        self.in_data_dir(sessions::receive(&self.connection, session, packet_id))
    }

    fn release(&mut self, session: SessionNumber, packet_id: u16) -> Result<(), StoreError> {
        self.in_data_dir(sessions::release(&self.connection, session, packet_id))
    }

    fn has_queues(&self) -> bool {
        self.sessions.has_queues()
    }

    fn session_topic(&self, route: &[u8]) -> Option<TopicNumber> {
        self.sessions.topic(route)
    }

    fn enqueue(
        &mut self,
        topic: TopicNumber,
        at_ms: TimestampMs,
        message: &QueuedMessage,
        limits: &QueueLimits,
    ) -> Result<(), StoreError> {
        let outcome = self.sessions.enqueue(&self.connection, topic, at_ms, message, limits);
        self.in_data_dir(outcome)
    }

    fn queue_stats(&self) -> QueueStats {
        self.sessions.extent()
    }

    fn subscription_usage(&self) -> Arc<SubscriptionUsage> {
        self.sessions.usage()
    }
}

impl WriteStore for SqliteWriter {
    fn begin(&mut self) -> Result<(), StoreError> {
        let outcome = self.start_group();
        self.in_data_dir(outcome)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let outcome = self.end_group();
        self.in_data_dir(outcome)
    }

    fn rollback(&mut self) {
        self.abandon_group();
    }

    fn disk_sync(&self) -> Box<dyn DiskSync> {
        Box::new(self.log_sync.clone())
    }

    fn last_made_ms(&mut self) -> Result<Option<TimestampMs>, StoreError> {
        self.in_data_dir(events::last_arrival(&self.connection))
    }

    fn set_meta(&mut self, name: &str, text: &str) -> Result<(), StoreError> {
        let outcome = set_meta(&self.connection, name, text);
        self.in_data_dir(outcome)
    }

    fn add_key(&mut self, key: &KeyRecord) -> Result<(), StoreError> {
        let outcome = keys::add(&self.connection, key)
            .and_then(|()| self.sessions.begin_key(&self.connection, &key.hash));
        self.in_data_dir(outcome)
    }

    fn key_of(&mut self, actor: Actor) -> Result<Option<KeyRecord>, StoreError> {
        self.in_data_dir(read::key_of(&self.connection, actor))
    }

    fn has_key(&mut self, hash: &KeyHash) -> Result<bool, StoreError> {
        self.in_data_dir(keys::is_there(&self.connection, hash))
    }

    fn remove_key(&mut self, hash: &KeyHash) -> Result<bool, StoreError> {
        let outcome = keys::remove_one(&self.connection, hash).and_then(|was_there| {
            self.sessions.end_sessions_of(&self.connection, hash)?;
            Ok(was_there)
        });
        self.in_data_dir(outcome)
    }

    fn remove_keys(&mut self, actor: Actor) -> Result<Vec<KeyHash>, StoreError> {
        let outcome = keys::remove(&self.connection, actor).and_then(|hashes| {
            for hash in &hashes {
                self.sessions.end_sessions_of(&self.connection, hash)?;
            }
            Ok(hashes)
        });
        self.in_data_dir(outcome)
    }

    fn resource_meta(&mut self, id: Id) -> Result<Option<Arc<ResourceMeta>>, StoreError> {
        let outcome = self.resources.resource_meta(&self.connection, id);
        self.in_data_dir(outcome)
    }

    fn resource(&mut self, id: Id) -> Result<Option<ResourceRecord>, StoreError> {
        self.in_data_dir(read::resource(&self.connection, id))
    }

    fn named(&mut self, account: Id, kind: ResourceKind, name: &str) -> Result<Option<Id>, StoreError> {
        self.in_data_dir(read::named(&self.connection, account, kind, name))
    }

    fn put_resource(
        &mut self,
        before: Option<&ResourceRecord>,
        after: &ResourceRecord,
    ) -> Result<Sequence, StoreError> {
        let outcome = self.resources.put(&self.connection, &mut self.log, before, after);
        self.in_data_dir(outcome)
    }

    fn touch(&mut self, id: Id, at_ms: TimestampMs) -> Result<(), StoreError> {
        self.in_data_dir(self.resources.touch(&self.connection, id, at_ms))
    }

    fn delete_resource(
        &mut self,
        resource: &ResourceRecord,
        at_ms: TimestampMs,
    ) -> Result<Sequence, StoreError> {
        let outcome = self.delete_few_values(resource).and_then(|leaves_values| {
            self.resources.delete(&self.connection, &mut self.log, resource, at_ms, leaves_values)
        });
        self.in_data_dir(outcome)
    }

    fn collections_of(&mut self, id: Id, most: usize) -> Result<Vec<Id>, StoreError> {
        self.in_data_dir(read::collections_of(&self.connection, id, most))
    }

    fn count_collections(&mut self, id: Id, most: usize) -> Result<usize, StoreError> {
        self.in_data_dir(members::count_of(&self.connection, id, most))
    }

    fn first_crowded(
        &mut self,
        collection: Id,
        kind: ResourceKind,
        members: &[Id],
        most: usize,
    ) -> Result<Option<Id>, StoreError> {
        self.in_data_dir(members::first_crowded(&self.connection, collection, kind, members, most))
    }

    fn leave_collections(&mut self, id: Id, collections: &[Id]) -> Result<(), StoreError> {
        self.in_data_dir(members::leave_collections(&self.connection, id, collections))
    }

    fn add_members(
        &mut self,
        collection: Id,
        kind: ResourceKind,
        members: &[Id],
    ) -> Result<Vec<Id>, StoreError> {
        self.in_data_dir(members::add(&self.connection, collection, kind, members))
    }

    fn remove_members(
        &mut self,
        collection: Id,
        kind: ResourceKind,
        members: Members<'_>,
    ) -> Result<Vec<Id>, StoreError> {
        self.in_data_dir(members::remove(&self.connection, collection, kind, members))
    }

    fn has_members(&mut self, collection: Id, kind: ResourceKind) -> Result<bool, StoreError> {
        self.in_data_dir(members::are_there(&self.connection, collection, kind))
    }

    fn log_membership(
        &mut self,
        account: Id,
        collection: Id,
        at_ms: TimestampMs,
        document: &str,
    ) -> Result<Sequence, StoreError> {
        let outcome = self.log_members(account, collection, at_ms, document);
        self.in_data_dir(outcome)
    }

    fn properties_after(
        &mut self,
        owner: PropertyOwner,
        updates: &[PropertyUpdate],
    ) -> Result<PropertiesExtent, StoreError> {
        let outcome = self.properties.after(&self.connection, owner, updates);
        self.in_data_dir(outcome)
    }

    fn append_properties(
        &mut self,
        account: Id,
        owner: PropertyOwner,
        updates: &[PropertyUpdate],
    ) -> Result<Sequence, StoreError> {
        let owner = (owner.id(), owner.kind().resource());
        let outcome = self.properties.append(&self.connection, &mut self.log, account, owner, updates);
        self.in_data_dir(outcome)
    }

    fn append_locations(
        &mut self,
        account: Id,
        thng: Id,
        updates: &[LocationUpdate],
    ) -> Result<Sequence, StoreError> {
        let owner = (thng, ResourceKind::Thng);
        let outcome = self.properties.append(&self.connection, &mut self.log, account, owner, updates);
        self.in_data_dir(outcome)
    }

    fn delete_properties(
        &mut self,
        owner: PropertyOwner,
        key: Option<&PropertyKey>,
        before_ms: Option<TimestampMs>,
    ) -> Result<(), StoreError> {
        let which = key.map_or(DeletionScope::Properties, |key| DeletionScope::One(SeriesKey::Property(key)));
        let outcome = self.delete_values(owner.id(), which, before_ms);
        self.in_data_dir(outcome)
    }

    fn delete_locations(&mut self, thng: Id, before_ms: Option<TimestampMs>) -> Result<(), StoreError> {
        let outcome = self.delete_values(thng, DeletionScope::One(SeriesKey::Location), before_ms);
        self.in_data_dir(outcome)
    }

    fn reclaim(&mut self) -> Result<bool, StoreError> {
        let is_pending_now = self.sessions.has_garbage() || self.in_data_dir(is_pending(&self.connection))?;
        // A topic that fails again must not roll back the freeing of anything else.
        if !is_pending_now && !self.sessions.retry_set_aside() {
            return Ok(false);
        }
        let group = self.start_group().and_then(|()| {
            let most = (self.bounds.step / ORPHAN_ROWS).max(1);
            let (orphans, keys) = self.resources.free_orphans(&self.connection, &self.index, most)?;
            for key in &keys {
                self.sessions.end_sessions_of(&self.connection, key)?;
            }
            if orphans == 0 {
                removal::free_some(&self.connection, &mut self.log, self.bounds)?;
            }
            self.sessions.free(&self.connection, self.bounds.step)?;
            let more = self.sessions.has_garbage() || is_pending(&self.connection)?;
            self.end_group()?;
            Ok(more)
        });
        if group.is_err() {
            self.abandon_group();
        }
        self.in_data_dir(group)
    }
}

/// Whether there is something to free.
fn is_pending(connection: &Connection) -> Result<bool, Fault> {
    Ok(connection.prepare_cached(IS_PENDING)?.query_row([], |row| row.get(0))?)
}

fn set_meta(connection: &Connection, name: &str, text: &str) -> Result<(), Fault> {
    connection.prepare_cached(PUT_META)?.execute([name, text])?;
    Ok(())
}

/// The number of an account in other tables; an account that is new is added.
fn account(connection: &Connection, id: Id, now_ms: TimestampMs) -> Result<i64, Fault> {
    if let Some(num) = read::one(connection, ACCOUNT, [id.as_str()], |row| Ok(row.get(0)?))? {
        return Ok(num);
    }
    connection.prepare_cached(ADD_ACCOUNT)?.execute(params![id.as_str(), now_ms])?;
    Ok(connection.last_insert_rowid())
}

const ACCOUNT: &str = "SELECT num FROM account WHERE id = ?1";

const ADD_ACCOUNT: &str = "INSERT INTO account (id, created_at_ms) VALUES (?1, ?2)";

const PUT_META: &str = "INSERT INTO note (name, body) VALUES (?1, ?2)
    ON CONFLICT (name) DO UPDATE SET body = excluded.body";

const IS_PENDING: &str = "SELECT EXISTS (SELECT 1 FROM doomed) OR EXISTS (SELECT 1 FROM orphaned)
    OR EXISTS (SELECT 1 FROM ended_session) OR EXISTS (SELECT 1 FROM ended_session_key)";

/// Every statement of the writer, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    let own: &[&str] = &[ACCOUNT, ADD_ACCOUNT, PUT_META, IS_PENDING];
    let parts = [
        own,
        events::STATEMENTS,
        keys::STATEMENTS,
        members::STATEMENTS,
        properties::STATEMENTS,
        resources::STATEMENTS,
        removal::STATEMENTS,
        value_index::STATEMENTS,
    ];
    parts.into_iter().chain(sessions::STATEMENTS).flatten().copied()
}

#[cfg(test)]
impl SqliteWriter {
    /// Of each key, its sessions and the bytes that are kept for it.
    pub(super) fn session_usage(&self) -> std::collections::BTreeMap<[u8; 32], (usize, usize)> {
        self.sessions.key_usage()
    }

    /// The connection, for tests that make the disk full or look at plans and rows.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}
