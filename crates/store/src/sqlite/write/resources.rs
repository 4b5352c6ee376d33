//! Resources: their rows, what they are found by, their changes in the log, and their heads in memory.

use std::{fmt, sync::Arc};

use quick_cache::unsync::Cache;
use rusqlite::{Connection, params};
use thng_pubsub_protocol::{
    id::Id,
    payload::{Json, ResourceKind},
};

use super::{
    Fault, account, column,
    events::{Entry, EventLog},
    keys, members,
    properties::add_series,
    read, removal,
    value_index::ValueIndex,
};
use crate::{
    Change, KeyHash, ResourceMeta, ResourceRecord, Sequence, TimestampMs, index_fields, index_key, index_keys,
};

/// What the writer knows of the resources that it writes to.
pub(super) struct Resources {
    cache: Cache<Id, Arc<ResourceMeta>>,
}

impl fmt::Debug for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Resources").field("heads", &self.cache.len()).finish_non_exhaustive()
    }
}

impl Resources {
    /// Remembers up to `resources_cached` heads.
    pub(super) fn new(resources_cached: usize) -> Self {
        Self { cache: Cache::new(resources_cached) }
    }

    pub(super) fn resource_meta(
        &mut self,
        connection: &Connection,
        id: Id,
    ) -> Result<Option<Arc<ResourceMeta>>, Fault> {
        if let Some(meta) = self.cache.get(&id) {
            return Ok(Some(Arc::clone(meta)));
        }
        let Some(meta) = read::resource_meta(connection, id)?.map(Arc::new) else { return Ok(None) };
        self.cache.insert(id, Arc::clone(&meta));
        Ok(Some(meta))
    }

    /// Adds or replaces a resource, what it is found by, and an event that tells of it.
    pub(super) fn put(
        &mut self,
        connection: &Connection,
        log: &mut EventLog,
        before: Option<&ResourceRecord>,
        after: &ResourceRecord,
    ) -> Result<Sequence, Fault> {
        let account = account(connection, after.account, after.created_at_ms)?;
        let change = if before.is_some() { Change::Updated } else { Change::Created };
        let seq = log_change(connection, log, account, after, change, after.updated_at_ms)?;
        let meta = after.meta();
        let created_seq = before.map_or(seq as i64, |before| before.created_seq as i64);
        let thng = meta.thng.as_ref().map(Id::as_str);
        let product = meta.product.as_ref().map(Id::as_str);
        let statement = if before.is_some() { REPLACE } else { ADD };
        connection.prepare_cached(statement)?.execute(params![
            created_seq,
            after.id.as_str(),
            account,
            column::kind_number(after.kind),
            after.parent.as_ref().map(Id::as_str),
            thng,
            product,
            seq as i64,
            after.private.as_ref().map(Json::as_str),
            column::projects_column(&after.scopes),
            column::users_column(&after.scopes),
            after.created_at_ms,
            after.updated_at_ms,
        ])?;
        index(connection, created_seq, before.map(index_keys).unwrap_or_default(), index_keys(after))?;
        rename(connection, account, before, Some(after))?;
        // Actions have no properties.
        if after.kind != ResourceKind::Action {
            self.cache.insert(after.id, Arc::new(meta));
        }
        Ok(seq)
    }

    /// Removes a resource from its table and from what it was found by, and logs that. Its values are for the caller to
    /// remove, or left to be freed with its members and children.
    pub(super) fn delete(
        &mut self,
        connection: &Connection,
        log: &mut EventLog,
        resource: &ResourceRecord,
        at_ms: TimestampMs,
        leaves_values: bool,
    ) -> Result<Sequence, Fault> {
        let account = account(connection, resource.account, at_ms)?;
        self.remove(connection, account, resource)?;
        if leaves_values || has_followers(resource.kind) {
            let kind = column::kind_number(resource.kind);
            connection.prepare_cached(ORPHAN)?.execute(params![
                resource.created_seq as i64,
                resource.id.as_str(),
                kind
            ])?;
        }
        log_change(connection, log, account, resource, Change::Deleted, at_ms)
    }

    fn remove(
        &mut self,
        connection: &Connection,
        account: i64,
        resource: &ResourceRecord,
    ) -> Result<(), Fault> {
        let created_seq = resource.created_seq as i64;
        connection.prepare_cached(DELETE)?.execute([created_seq])?;
        index(connection, created_seq, index_keys(resource), Vec::new())?;
        rename(connection, account, Some(resource), None)?;
        members::leave_all(connection, created_seq)?;
        self.cache.remove(&resource.id);
        Ok(())
    }

    /// Frees members and children of resources that are gone, `most` of them at the most. Returns how many there were, and
    /// the keys that went with them.
    pub(super) fn free_orphans(
        &mut self,
        connection: &Connection,
        index: &ValueIndex,
        most: usize,
    ) -> Result<(usize, Vec<KeyHash>), Fault> {
        let (mut freed, mut hashes) = (0, Vec::new());
        while freed < most {
            let Some((created_seq, id, kind)) = read::one(connection, NEXT_ORPHANED, [], |row| {
                Ok((row.get::<_, i64>(0)?, column::id(row, 1)?, column::kind(row.get(2)?)?))
            })?
            else {
                break;
            };
            let step = match kind {
                ResourceKind::Collection => members::free(connection, created_seq, most - freed)?,
                ResourceKind::Thng | ResourceKind::Product => {
                    removal::drop_some_series(connection, index, id, most - freed)?
                }
                kind => self.free_children(connection, id, kind, most - freed, &mut hashes)?,
            };
            if step == 0 {
                connection.prepare_cached(ADOPT)?.execute([created_seq])?;
            }
            freed += step.max(1);
        }
        Ok((freed, hashes))
    }

    fn free_children(
        &mut self,
        connection: &Connection,
        parent: Id,
        kind: ResourceKind,
        most: usize,
        hashes: &mut Vec<KeyHash>,
    ) -> Result<usize, Fault> {
        let Some(child) = child_kind(kind) else { return Ok(0) };
        let mut freed = 0;
        for account_id in accounts(connection)? {
            let term = index_key(account_id, child, index_fields::PARENT, parent.as_str());
            while freed < most
                && let Some(id) = read::one(connection, FIRST_OF_TERM, [term], |row| column::id(row, 0))?
            {
                let Some(resource) = read::resource(connection, id)? else { break };
                let account = account(connection, account_id, resource.created_at_ms)?;
                hashes.extend(keys::remove_of(connection, id)?);
                self.remove(connection, account, &resource)?;
                if has_followers(child) {
                    let number = column::kind_number(child);
                    connection.prepare_cached(ORPHAN)?.execute(params![
                        resource.created_seq as i64,
                        id.as_str(),
                        number
                    ])?;
                }
                freed += 1;
            }
        }
        Ok(freed)
    }

    /// A resource was changed by what hangs on it.
    pub(super) fn touch(&self, connection: &Connection, id: Id, at_ms: TimestampMs) -> Result<(), Fault> {
        connection.prepare_cached(TOUCH)?.execute(params![id.as_str(), at_ms])?;
        Ok(())
    }

    /// The group is rolled back: what is known may stem from it.
    pub(super) fn forget(&mut self) {
        self.cache.clear();
    }
}

/// What belongs to resources of a kind and goes with them.
fn child_kind(kind: ResourceKind) -> Option<ResourceKind> {
    match kind {
        ResourceKind::Project => Some(ResourceKind::Application),
        ResourceKind::Application => Some(ResourceKind::User),
        ResourceKind::Batch => Some(ResourceKind::Task),
        ResourceKind::Account
        | ResourceKind::Operator
        | ResourceKind::Access
        | ResourceKind::User
        | ResourceKind::Role
        | ResourceKind::AccessPolicy
        | ResourceKind::AccessToken
        | ResourceKind::Thng
        | ResourceKind::Product
        | ResourceKind::Collection
        | ResourceKind::Place
        | ResourceKind::ActionType
        | ResourceKind::Action
        | ResourceKind::Task => None,
    }
}

fn has_followers(kind: ResourceKind) -> bool {
    kind == ResourceKind::Collection || child_kind(kind).is_some()
}

fn accounts(connection: &Connection) -> Result<Vec<Id>, Fault> {
    let mut statement = connection.prepare_cached(ACCOUNTS)?;
    let mut rows = statement.query([])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        accounts.push(column::id(row, 0)?);
    }
    Ok(accounts)
}

/// Writes down what has changed of what a resource is found by. Both lists are sorted.
fn index(connection: &Connection, created_seq: i64, before: Vec<i64>, after: Vec<i64>) -> Result<(), Fault> {
    let mut add = connection.prepare_cached(ADD_TERM)?;
    for term in after.iter().filter(|term| before.binary_search(term).is_err()) {
        add.execute([*term, created_seq])?;
    }
    let mut delete = connection.prepare_cached(DELETE_TERM)?;
    for term in before.iter().filter(|term| after.binary_search(term).is_err()) {
        delete.execute([*term, created_seq])?;
    }
    Ok(())
}

/// Writes down the name that only one resource can have, where it has changed.
fn rename(
    connection: &Connection,
    account: i64,
    before: Option<&ResourceRecord>,
    after: Option<&ResourceRecord>,
) -> Result<(), Fault> {
    let name = |record: Option<&ResourceRecord>| record.and_then(ResourceRecord::unique_name);
    let (old, new) = (name(before), name(after));
    if old == new {
        return Ok(());
    }
    if let (Some(name), Some(record)) = (old, before) {
        connection.prepare_cached(DELETE_NAME)?.execute(params![
            account,
            column::kind_number(record.kind),
            name
        ])?;
    }
    if let (Some(name), Some(record)) = (new, after) {
        let kind = column::kind_number(record.kind);
        connection.prepare_cached(ADD_NAME)?.execute(params![account, kind, name, record.id.as_str()])?;
    }
    Ok(())
}

fn log_change(
    connection: &Connection,
    log: &mut EventLog,
    account: i64,
    resource: &ResourceRecord,
    change: Change,
    at_ms: TimestampMs,
) -> Result<Sequence, Fault> {
    let series = match resource.kind {
        // An action never changes: those of a type make one series.
        ResourceKind::Action => {
            let action_type = resource.fields().text("type").unwrap_or_default();
            series(
                connection,
                account,
                ResourceKind::Account,
                resource.account,
                column::ACTIONS,
                &action_type,
            )?
        }
        kind => series(connection, account, kind, resource.id, column::CHANGES, "")?,
    };
    let kind = column::change_kind(change);
    let ts = match resource.kind {
        ResourceKind::Action => resource.fields().integer("timestamp").unwrap_or(at_ms),
        _ => at_ms,
    };
    let entry = Entry { account, series, kind, part: 0, ts, at: at_ms, body: &resource.body };
    log.append(&mut EventLog::appending(connection)?, entry)
}

/// The series with this owner, kind and key, made where it is new.
pub(super) fn series(
    connection: &Connection,
    account: i64,
    owner_kind: ResourceKind,
    owner: Id,
    kind: i64,
    key: &str,
) -> Result<i64, Fault> {
    let known = read::one(connection, SERIES, params![owner.as_str(), kind, key], |row| Ok(row.get(0)?))?;
    match known {
        Some(series) => Ok(series),
        None => add_series(connection, account, column::kind_number(owner_kind), owner, kind, key),
    }
}

const ADD: &str =
    "INSERT INTO resource (created, id, account, kind, parent, thng, product, doc, private, projects,
    users, created_at_ms, updated_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

const REPLACE: &str =
    "UPDATE resource SET id = ?2, account = ?3, kind = ?4, parent = ?5, thng = ?6, product = ?7,
    doc = ?8, private = ?9, projects = ?10, users = ?11, created_at_ms = ?12, updated_at_ms = ?13
    WHERE created = ?1";

const DELETE: &str = "DELETE FROM resource WHERE created = ?1";

const TOUCH: &str = "UPDATE resource SET updated_at_ms = max(?2, created_at_ms + 1) WHERE id = ?1";

const ADD_TERM: &str = "INSERT OR IGNORE INTO term (term, resource) VALUES (?1, ?2)";

const DELETE_TERM: &str = "DELETE FROM term WHERE term = ?1 AND resource = ?2";

const FIRST_OF_TERM: &str = "SELECT resource.id FROM term JOIN resource ON resource.created = term.resource
    WHERE term = ?1 ORDER BY term.resource LIMIT 1";

const ADD_NAME: &str = "INSERT INTO unique_name (account, kind, name, id) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (account, kind, name) DO UPDATE SET id = excluded.id";

const DELETE_NAME: &str = "DELETE FROM unique_name WHERE account = ?1 AND kind = ?2 AND name = ?3";

const ORPHAN: &str = "INSERT OR IGNORE INTO orphaned (place, id, kind) VALUES (?1, ?2, ?3)";

const NEXT_ORPHANED: &str = "SELECT place, id, kind FROM orphaned ORDER BY place LIMIT 1";

const ADOPT: &str = "DELETE FROM orphaned WHERE place = ?1";

const ACCOUNTS: &str = "SELECT id FROM account";

const SERIES: &str = "SELECT id FROM series WHERE owner = ?1 AND kind = ?2 AND key = ?3";

/// Every statement of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    ADD,
    REPLACE,
    DELETE,
    TOUCH,
    ADD_TERM,
    DELETE_TERM,
    FIRST_OF_TERM,
    ADD_NAME,
    DELETE_NAME,
    ORPHAN,
    NEXT_ORPHANED,
    ADOPT,
    ACCOUNTS,
    SERIES,
];
