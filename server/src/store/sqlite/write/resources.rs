//! Resources: their documents as rows, their changes in the log, and their heads in memory.

use std::{fmt, sync::Arc};

use quick_cache::unsync::Cache;
use rusqlite::{Connection, params};
use thng_pubsub_protocol::id::Id;

use super::{
    Fault, account, column,
    events::{Entry, EventLog},
    properties::add_series,
    read,
};
use crate::store::{ResourceHead, Sequence, ThngChange, ThngRecord, TimestampMs};

/// What the writer knows of the resources that it writes to.
pub(super) struct Resources {
    heads: Cache<Id, Arc<ResourceHead>>,
}

impl fmt::Debug for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Resources").field("heads", &self.heads.len()).finish_non_exhaustive()
    }
}

impl Resources {
    /// Remembers up to `heads_cached` heads.
    pub(super) fn new(heads_cached: usize) -> Self {
        Self { heads: Cache::new(heads_cached) }
    }

    pub(super) fn head(
        &mut self,
        connection: &Connection,
        id: Id,
    ) -> Result<Option<Arc<ResourceHead>>, Fault> {
        if let Some(head) = self.heads.get(&id) {
            return Ok(Some(Arc::clone(head)));
        }
        let Some(head) = read::head(connection, id)?.map(Arc::new) else { return Ok(None) };
        self.heads.insert(id, Arc::clone(&head));
        Ok(Some(head))
    }

    /// Adds or replaces a thng, its place in the lists of its projects, and an event that tells of it.
    pub(super) fn put_thng(
        &mut self,
        connection: &Connection,
        log: &mut EventLog,
        thng: &ThngRecord,
        change: ThngChange,
        document: &str,
    ) -> Result<Sequence, Fault> {
        let account = account(connection, thng.account, thng.created_at_ms)?;
        let seq = log_change(connection, log, account, thng.id, change, thng.updated_at_ms, document)?;
        let created = match unlist(connection, thng.id)? {
            Some(created) => {
                write_row(connection, REPLACE, created, account, thng)?;
                created
            }
            None => {
                write_row(connection, ADD, seq as i64, account, thng)?;
                seq as i64
            }
        };
        let mut scope = connection.prepare_cached(ADD_SCOPE)?;
        for project in &thng.scopes.projects {
            scope.execute(params![account, project.as_str(), column::THNG, created])?;
        }
        let head = ResourceHead { account: thng.account, scopes: thng.scopes.clone() };
        self.heads.insert(thng.id, Arc::new(head));
        Ok(seq)
    }

    /// Removes a thng from its table and its lists, and logs that. What it owns is for the caller to remove.
    pub(super) fn delete_thng(
        &mut self,
        connection: &Connection,
        log: &mut EventLog,
        thng: &ThngRecord,
        at_ms: TimestampMs,
        document: &str,
    ) -> Result<Sequence, Fault> {
        let account = account(connection, thng.account, at_ms)?;
        unlist(connection, thng.id)?;
        connection.prepare_cached(DELETE)?.execute([thng.id.as_str()])?;
        self.heads.remove(&thng.id);
        log_change(connection, log, account, thng.id, ThngChange::Deleted, at_ms, document)
    }

    /// The group is rolled back: what is known may stem from it.
    pub(super) fn forget(&mut self) {
        self.heads.clear();
    }
}

/// Takes a resource out of the lists of its projects. Returns its place in lists, if it is there.
fn unlist(connection: &Connection, id: Id) -> Result<Option<i64>, Fault> {
    let found = read::one(connection, PLACE, [id.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
    })?;
    let Some((created, account, projects)) = found else { return Ok(None) };
    let mut scope = connection.prepare_cached(DELETE_SCOPE)?;
    for project in column::projects(&projects)? {
        scope.execute(params![account, project.as_str(), column::THNG, created])?;
    }
    Ok(Some(created))
}

fn write_row(
    connection: &Connection,
    statement: &str,
    created: i64,
    account: i64,
    thng: &ThngRecord,
) -> Result<(), Fault> {
    connection.prepare_cached(statement)?.execute(params![
        created,
        thng.id.as_str(),
        account,
        column::THNG,
        thng.name,
        thng.description,
        thng.kind,
        column::tags_column(&thng.tags),
        thng.custom_fields.as_str(),
        column::identifiers_column(&thng.identifiers),
        column::projects_column(&thng.scopes),
        column::users_column(&thng.scopes),
        thng.created_at_ms,
        thng.updated_at_ms,
    ])?;
    Ok(())
}

fn log_change(
    connection: &Connection,
    log: &mut EventLog,
    account: i64,
    id: Id,
    change: ThngChange,
    at_ms: TimestampMs,
    document: &str,
) -> Result<Sequence, Fault> {
    let series = read::one(connection, SERIES, params![id.as_str(), column::CHANGES], |row| Ok(row.get(0)?))?;
    let series = match series {
        Some(series) => series,
        None => add_series(connection, account, column::THNG, id, column::CHANGES, "")?,
    };
    let kind = column::change_kind(change);
    let entry = Entry { account, series, kind, part: 0, ts: at_ms, at: at_ms, body: document };
    log.append(&mut EventLog::appending(connection)?, entry)
}

const PLACE: &str = "SELECT created, account, projects FROM resource WHERE id = ?1";

const ADD: &str =
    "INSERT INTO resource (created, id, account, kind, name, description, type, tags, custom_fields,
    identifiers, projects, users, created_at_ms, updated_at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

const REPLACE: &str =
    "UPDATE resource SET id = ?2, account = ?3, kind = ?4, name = ?5, description = ?6, type = ?7,
    tags = ?8, custom_fields = ?9, identifiers = ?10, projects = ?11, users = ?12, created_at_ms = ?13,
    updated_at_ms = ?14 WHERE created = ?1";

const DELETE: &str = "DELETE FROM resource WHERE id = ?1";

const ADD_SCOPE: &str =
    "INSERT OR IGNORE INTO scope (account, project, kind, resource) VALUES (?1, ?2, ?3, ?4)";

const DELETE_SCOPE: &str =
    "DELETE FROM scope WHERE account = ?1 AND project = ?2 AND kind = ?3 AND resource = ?4";

const SERIES: &str = "SELECT id FROM series WHERE owner = ?1 AND kind = ?2 AND key = ''";

/// Every statement of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[PLACE, ADD, REPLACE, DELETE, ADD_SCOPE, DELETE_SCOPE, SERIES];
