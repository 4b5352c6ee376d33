//! The writing half: one connection, one thread, many operations a commit.
//!
//! What every write needs to know (a resource's head, a property's series and newest timestamp) is kept in bounded
//! caches, so that a value costs one insertion into the log and, once a group, its place in `latest`.
//! [`events`] appends to the log, [`properties`] and [`resources`] say what is appended, [`removal`] takes away.

use std::sync::Arc;

use rusqlite::{Connection, params};
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::PropertyUpdate,
};

use super::{Durability, column, connection, directory::DataDirectory, fault::Fault, layout, read};
use crate::store::{
    KeyRecord, OperatorRecord, PropertiesExtent, PropertyOwner, ResourceHead, Sequence, StoreError,
    ThngChange, ThngRecord, TimestampMs, WriteStore,
};
use events::EventLog;
use properties::Properties;
use resources::Resources;

mod events;
mod properties;
mod removal;
mod resources;

/// How much is done at a time, and how much is remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Events that a deletion takes away at once; more are left to [`WriteStore::reclaim`].
    pub(super) at_once: usize,
    /// Events that one call of [`WriteStore::reclaim`] looks at.
    pub(super) step: usize,
    /// Properties whose series is known without asking the database, about 150 bytes each. Writing one of the
    /// others costs a look-up in an index.
    pub(super) series_cached: usize,
    /// Resources whose head is known without asking the database, about 300 bytes each.
    pub(super) heads_cached: usize,
}

impl Default for Bounds {
    /// Every event may lie on a page of its own, so the first two bound what a commit carries, and how long it holds
    /// up the writes behind it.
    fn default() -> Self {
        Self { at_once: 500, step: 500, series_cached: 100_000, heads_cached: 50_000 }
    }
}

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct SqliteWriter {
    connection: Connection,
    log: EventLog,
    resources: Resources,
    properties: Properties,
    bounds: Bounds,
    place: Arc<str>,
    _directory: Arc<DataDirectory>,
}

impl SqliteWriter {
    /// Opens the database and brings it to the layout of this program.
    pub(super) fn open(
        directory: Arc<DataDirectory>,
        durability: Durability,
        bounds: Bounds,
        place: Arc<str>,
    ) -> Result<Self, Fault> {
        let mut connection = connection::writer(&directory)?;
        layout::check(&connection)?;
        connection::prepare_writer(&connection, durability)?;
        layout::migrate(&mut connection)?;
        let log = EventLog::open(&connection)?;
        let resources = Resources::new(bounds.heads_cached);
        let properties = Properties::new(bounds.series_cached);
        Ok(Self { connection, log, resources, properties, bounds, place, _directory: directory })
    }

    fn start_group(&mut self) -> Result<(), Fault> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), Fault> {
        self.properties.flush(&self.connection)?;
        self.log.flush(&self.connection)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn delete_values(
        &mut self,
        owner: PropertyOwner,
        key: Option<&PropertyKey>,
        before_ms: Option<TimestampMs>,
    ) -> Result<(), Fault> {
        self.properties.forget_extent(owner);
        // From here on the database knows which values are the latest.
        self.properties.flush(&self.connection)?;
        for key in
            removal::delete_values(&self.connection, &mut self.log, self.bounds, owner, key, before_ms)?
        {
            self.properties.forget_series(owner, &key);
        }
        Ok(())
    }

    /// After this nothing of the group is left, neither in the database nor in the caches.
    fn abandon_group(&mut self) {
        // Some failures (a full disk) make SQLite roll back by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(store.place = %self.place, %error, "a group of writes could not be rolled back");
        }
        self.resources.forget();
        self.properties.forget();
        self.log.forget();
    }

    fn at_place<T>(&self, outcome: Result<T, Fault>) -> Result<T, StoreError> {
        outcome.map_err(|fault| fault.at(&self.place))
    }
}

impl WriteStore for SqliteWriter {
    fn begin(&mut self) -> Result<(), StoreError> {
        let outcome = self.start_group();
        self.at_place(outcome)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let outcome = self.end_group();
        self.at_place(outcome)
    }

    fn rollback(&mut self) {
        self.abandon_group();
    }

    fn add_operator(&mut self, operator: &OperatorRecord, key: &KeyRecord) -> Result<(), StoreError> {
        let outcome = add_operator(&self.connection, operator, key);
        self.at_place(outcome)
    }

    fn head(&mut self, id: Id) -> Result<Option<Arc<ResourceHead>>, StoreError> {
        let outcome = self.resources.head(&self.connection, id);
        self.at_place(outcome)
    }

    fn thng(&mut self, id: Id) -> Result<Option<ThngRecord>, StoreError> {
        self.at_place(read::thng(&self.connection, id))
    }

    fn put_thng(
        &mut self,
        thng: &ThngRecord,
        change: ThngChange,
        document: &str,
    ) -> Result<Sequence, StoreError> {
        let outcome = self.resources.put_thng(&self.connection, &mut self.log, thng, change, document);
        self.at_place(outcome)
    }

    fn delete_thng(
        &mut self,
        thng: &ThngRecord,
        at_ms: TimestampMs,
        document: &str,
    ) -> Result<Sequence, StoreError> {
        let outcome = self.delete_values(PropertyOwner::Thng(thng.id), None, None).and_then(|()| {
            self.resources.delete_thng(&self.connection, &mut self.log, thng, at_ms, document)
        });
        self.at_place(outcome)
    }

    fn properties_after(
        &mut self,
        owner: PropertyOwner,
        updates: &[PropertyUpdate],
    ) -> Result<PropertiesExtent, StoreError> {
        let outcome = self.properties.after(&self.connection, owner, updates);
        self.at_place(outcome)
    }

    fn append_properties(
        &mut self,
        account: Id,
        owner: PropertyOwner,
        updates: &[PropertyUpdate],
    ) -> Result<Sequence, StoreError> {
        let outcome = self.properties.append(&self.connection, &mut self.log, account, owner, updates);
        self.at_place(outcome)
    }

    fn delete_properties(
        &mut self,
        owner: PropertyOwner,
        key: Option<&PropertyKey>,
        before_ms: Option<TimestampMs>,
    ) -> Result<(), StoreError> {
        let outcome = self.delete_values(owner, key, before_ms);
        self.at_place(outcome)
    }

    fn reclaim(&mut self) -> Result<bool, StoreError> {
        if !self.at_place(removal::is_pending(&self.connection))? {
            return Ok(false);
        }
        let group = self.start_group().and_then(|()| {
            let more = removal::free_some(&self.connection, &mut self.log, self.bounds)?;
            self.end_group()?;
            Ok(more)
        });
        if group.is_err() {
            self.abandon_group();
        }
        self.at_place(group)
    }
}

fn add_operator(connection: &Connection, operator: &OperatorRecord, key: &KeyRecord) -> Result<(), Fault> {
    let owner = account(connection, operator.account, operator.created_at_ms)?;
    connection.prepare_cached(ADD_OPERATOR)?.execute(params![
        operator.id.as_str(),
        owner,
        operator.email,
        operator.first_name,
        operator.last_name,
        operator.created_at_ms,
        operator.updated_at_ms,
    ])?;
    let owner = account(connection, key.account, key.created_at_ms)?;
    let (actor_kind, actor) = column::actor_columns(key.actor);
    connection.prepare_cached(ADD_KEY)?.execute(params![
        &key.hash.0[..],
        owner,
        actor_kind,
        actor.as_str(),
        key.created_at_ms
    ])?;
    Ok(())
}

/// The number that stands for an account in other tables; an account that is new is added.
fn account(connection: &Connection, id: Id, now_ms: TimestampMs) -> Result<i64, Fault> {
    if let Some(num) = read::one(connection, ACCOUNT, [id.as_str()], |row| Ok(row.get(0)?))? {
        return Ok(num);
    }
    connection.prepare_cached(ADD_ACCOUNT)?.execute(params![id.as_str(), now_ms])?;
    Ok(connection.last_insert_rowid())
}

const ACCOUNT: &str = "SELECT num FROM account WHERE id = ?1";

const ADD_ACCOUNT: &str = "INSERT INTO account (id, created_at_ms) VALUES (?1, ?2)";

const ADD_OPERATOR: &str = "INSERT INTO operator
    (id, account, email, first_name, last_name, created_at_ms, updated_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const ADD_KEY: &str =
    "INSERT INTO api_key (hash, account, actor_kind, actor, created_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";

/// Every statement of the writer, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    let own: &[&str] = &[ACCOUNT, ADD_ACCOUNT, ADD_OPERATOR, ADD_KEY];
    [own, events::STATEMENTS, properties::STATEMENTS, resources::STATEMENTS, removal::STATEMENTS]
        .into_iter()
        .flatten()
        .copied()
}

#[cfg(test)]
impl SqliteWriter {
    /// The connection, for tests that make the disk full or look at plans and rows.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}
