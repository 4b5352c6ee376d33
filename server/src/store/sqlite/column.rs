//! How domain types stand in columns: the numbers of the kinds, ids as text, lists as JSON, and rows read back.
//!
//! Whatever does not read back as it was written is [`Fault::Corrupt`], which names the column and not its value.

use std::collections::BTreeMap;

use rusqlite::Row;
use serde_json::{from_str, to_string};
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{Json, PropertyUpdate, Scopes, UserScope},
};

use super::fault::Fault;
use crate::store::{Actor, ResourceHead, ThngChange, ThngRecord};

/// `resource.kind`, `scope.kind` and `series.owner_kind`.
pub(super) const THNG: i64 = 1;

/// `series.kind`.
pub(super) const PROPERTY: i64 = 1;
pub(super) const CHANGES: i64 = 2;

/// `event.kind` of a property's value.
pub(super) const VALUE: i64 = 1;

/// `event.kind` of what happened to a resource.
pub(super) fn change_kind(change: ThngChange) -> i64 {
    match change {
        ThngChange::Created => 2,
        ThngChange::Updated => 3,
        ThngChange::Deleted => 4,
    }
}

/// `api_key.actor_kind` and `api_key.actor`.
pub(super) fn actor_columns(actor: Actor) -> (i64, Id) {
    match actor {
        Actor::Operator(id) => (1, id),
    }
}

/// The actor of the two columns from `first` on.
pub(super) fn actor(row: &Row<'_>, first: usize) -> Result<Actor, Fault> {
    match row.get(first)? {
        1_i64 => Ok(Actor::Operator(id(row, first + 1)?)),
        _ => Err(Fault::Corrupt("api_key.actor_kind")),
    }
}

pub(super) fn id(row: &Row<'_>, column: usize) -> Result<Id, Fault> {
    Id::parse(text(row, column)?).map_err(|_| Fault::Corrupt("an id"))
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, Fault> {
    row.get_ref(column)?.as_str().map_err(|_| Fault::Corrupt("a column that is not text"))
}

fn json(row: &Row<'_>, column: usize) -> Result<Json, Fault> {
    Json::parse(row.get(column)?).map_err(|_| Fault::Corrupt("a JSON value"))
}

pub(super) fn tags_column(tags: &[String]) -> String {
    to_string(tags).expect("strings become JSON")
}

pub(super) fn identifiers_column(identifiers: &BTreeMap<String, String>) -> String {
    to_string(identifiers).expect("a map of strings becomes JSON")
}

pub(super) fn projects_column(scopes: &Scopes) -> String {
    ids_column(&scopes.projects)
}

pub(super) fn users_column(scopes: &Scopes) -> String {
    match &scopes.users {
        UserScope::All => r#"["all"]"#.into(),
        UserScope::Only(users) => ids_column(users),
    }
}

fn ids_column(ids: &[Id]) -> String {
    to_string(&ids.iter().map(Id::as_str).collect::<Vec<_>>()).expect("strings become JSON")
}

fn ids(ids: &[&str]) -> Result<Vec<Id>, Fault> {
    ids.iter().map(|id| Id::parse(id).map_err(|_| Fault::Corrupt("an id in scopes"))).collect()
}

/// `resource.projects` as text.
pub(super) fn projects(column: &str) -> Result<Vec<Id>, Fault> {
    ids(&from_str::<Vec<&str>>(column).map_err(|_| Fault::Corrupt("resource.projects"))?)
}

/// The scopes of the columns `projects` and `users` from `first` on.
fn scopes(row: &Row<'_>, first: usize) -> Result<Scopes, Fault> {
    let projects = projects(text(row, first)?)?;
    let users: Vec<&str> = from_str(text(row, first + 1)?).map_err(|_| Fault::Corrupt("resource.users"))?;
    let users = if users == ["all"] { UserScope::All } else { UserScope::Only(ids(&users)?) };
    Ok(Scopes { projects, users })
}

/// What [`head`] reads, of `resource` joined with `account`.
macro_rules! head_columns {
    () => {
        "account.id, resource.projects, resource.users"
    };
}
pub(super) use head_columns;

pub(super) fn head(row: &Row<'_>) -> Result<ResourceHead, Fault> {
    Ok(ResourceHead { account: id(row, 0)?, scopes: scopes(row, 1)? })
}

/// What [`thng`] reads, of `resource` joined with `account`; further columns follow from [`THNG_COLUMNS`] on.
macro_rules! thng_columns {
    () => {
        "account.id, resource.projects, resource.users, resource.id, name, description, type, tags, \
         custom_fields, identifiers, resource.created_at_ms, updated_at_ms"
    };
}
pub(super) use thng_columns;

pub(super) const THNG_COLUMNS: usize = 12;

pub(super) fn thng(row: &Row<'_>) -> Result<ThngRecord, Fault> {
    Ok(ThngRecord {
        account: id(row, 0)?,
        scopes: scopes(row, 1)?,
        id: id(row, 3)?,
        name: row.get(4)?,
        description: row.get(5)?,
        kind: row.get(6)?,
        tags: from_str(text(row, 7)?).map_err(|_| Fault::Corrupt("resource.tags"))?,
        custom_fields: json(row, 8)?,
        identifiers: from_str(text(row, 9)?).map_err(|_| Fault::Corrupt("resource.identifiers"))?,
        created_at_ms: row.get(10)?,
        updated_at_ms: row.get(11)?,
    })
}

/// A value of `key` out of the columns `ts`, `at`, `body` from `first` on.
pub(super) fn update(row: &Row<'_>, first: usize, key: PropertyKey) -> Result<PropertyUpdate, Fault> {
    Ok(PropertyUpdate {
        key,
        timestamp_ms: row.get(first)?,
        created_at_ms: row.get(first + 1)?,
        value: json(row, first + 2)?,
    })
}

pub(super) fn property_key(row: &Row<'_>, column: usize) -> Result<PropertyKey, Fault> {
    PropertyKey::parse(text(row, column)?).map_err(|_| Fault::Corrupt("series.key"))
}
