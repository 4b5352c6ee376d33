//! Maps domain types to columns: the numbers of the kinds, ids as text, lists as JSON.
//!
//! Whatever does not read back as it was written is [`Fault::Corrupt`], which names the column and not its value.

use rusqlite::Row;
use serde_json::{from_str, to_string};
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{Json, LocationUpdate, PropertyUpdate, ResourceKind, Scopes, UserScope},
};

use super::fault::Fault;
use crate::{Actor, Change, KeyHash, KeyRecord, ResourceMeta, ResourceRecord};

/// `series.kind`.
pub(super) const PROPERTY: i64 = 1;
pub(super) const CHANGES: i64 = 2;
pub(super) const LOCATION: i64 = 3;
pub(super) const ACTIONS: i64 = 4;
pub(super) const MEMBERSHIP: i64 = 5;

/// `event.kind` of a property's value, or of a location.
pub(super) const VALUE: i64 = 1;

/// `event.kind` of members that joined and left a collection.
pub(super) const MEMBERS: i64 = 5;

/// `event.kind` of what happened to a resource.
pub(super) fn change_kind(change: Change) -> i64 {
    match change {
        Change::Created => 2,
        Change::Updated => 3,
        Change::Deleted => 4,
    }
}

/// `resource.kind`, `member.kind` and `series.owner_kind`.
pub(super) fn kind_number(kind: ResourceKind) -> i64 {
    match kind {
        ResourceKind::Thng => 1,
        ResourceKind::Product => 2,
        ResourceKind::Collection => 3,
        ResourceKind::Place => 4,
        ResourceKind::Action => 5,
        ResourceKind::ActionType => 6,
        ResourceKind::Batch => 7,
        ResourceKind::Task => 8,
        ResourceKind::Project => 9,
        ResourceKind::Application => 10,
        ResourceKind::User => 11,
        ResourceKind::Role => 12,
        ResourceKind::Account => 13,
        ResourceKind::Operator => 14,
        ResourceKind::Access => 15,
        ResourceKind::AccessPolicy => 16,
        ResourceKind::AccessToken => 17,
    }
}

pub(super) fn kind(number: i64) -> Result<ResourceKind, Fault> {
    let known = ResourceKind::ALL.into_iter().find(|kind| kind_number(*kind) == number);
    known.ok_or(Fault::Corrupt("resource.kind"))
}

/// `api_key.actor_kind` and `api_key.actor`.
pub(super) fn actor_columns(actor: Actor) -> (i64, Id) {
    let kind = match actor {
        Actor::Operator(_) => 1,
        Actor::Application(_) => 2,
        Actor::TrustedApplication(_) => 3,
        Actor::User(_) => 4,
        Actor::Device(_) => 5,
        Actor::AccessToken(_) => 6,
    };
    (kind, actor.id())
}

/// The actor of the two columns from `first` on.
pub(super) fn actor(row: &Row<'_>, first: usize) -> Result<Actor, Fault> {
    let id = id(row, first + 1)?;
    match row.get(first)? {
        1_i64 => Ok(Actor::Operator(id)),
        2 => Ok(Actor::Application(id)),
        3 => Ok(Actor::TrustedApplication(id)),
        4 => Ok(Actor::User(id)),
        5 => Ok(Actor::Device(id)),
        6 => Ok(Actor::AccessToken(id)),
        _ => Err(Fault::Corrupt("api_key.actor_kind")),
    }
}

/// What [`key`] reads, of `api_key` joined with `account`.
macro_rules! key_columns {
    () => {
        "account.id, actor_kind, actor, nonce, api_key.created_at_ms, hash"
    };
}
pub(super) use key_columns;

pub(super) fn key(row: &Row<'_>) -> Result<KeyRecord, Fault> {
    let nonce: Option<Vec<u8>> = row.get(3)?;
    let nonce =
        nonce.map(|nonce| nonce.try_into().map_err(|_| Fault::Corrupt("api_key.nonce"))).transpose()?;
    let hash: Vec<u8> = row.get(5)?;
    let hash = KeyHash(hash.try_into().map_err(|_| Fault::Corrupt("api_key.hash"))?);
    Ok(KeyRecord { hash, account: id(row, 0)?, actor: actor(row, 1)?, nonce, created_at_ms: row.get(4)? })
}

pub(super) fn id(row: &Row<'_>, column: usize) -> Result<Id, Fault> {
    Id::parse(text(row, column)?).map_err(|_| Fault::Corrupt("an id"))
}

pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, Fault> {
    row.get_ref(column)?.as_str().map_err(|_| Fault::Corrupt("a column that is not text"))
}

fn json(row: &Row<'_>, column: usize) -> Result<Json, Fault> {
    Json::parse(row.get(column)?).map_err(|_| Fault::Corrupt("a JSON value"))
}

pub(super) fn optional_id(row: &Row<'_>, column: usize) -> Result<Option<Id>, Fault> {
    match row.get_ref(column)?.as_str_or_null().map_err(|_| Fault::Corrupt("a column that is not text"))? {
        None => Ok(None),
        Some(text) => Id::parse(text).map(Some).map_err(|_| Fault::Corrupt("an id")),
    }
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
fn projects(column: &str) -> Result<Vec<Id>, Fault> {
    ids(&from_str::<Vec<&str>>(column).map_err(|_| Fault::Corrupt("resource.projects"))?)
}

/// The scopes of the columns `projects` and `users` from `first` on.
fn scopes(row: &Row<'_>, first: usize) -> Result<Scopes, Fault> {
    let projects = projects(text(row, first)?)?;
    let users: Vec<&str> = from_str(text(row, first + 1)?).map_err(|_| Fault::Corrupt("resource.users"))?;
    let users = if users == ["all"] { UserScope::All } else { UserScope::Only(ids(&users)?) };
    Ok(Scopes { projects, users })
}

/// The columns that [`resource_meta`] reads, of `resource` joined with `account`.
macro_rules! head_columns {
    () => {
        "account.id, resource.projects, resource.users, resource.id, resource.kind, resource.thng, resource.product"
    };
}
pub(super) use head_columns;

pub(super) fn resource_meta(row: &Row<'_>) -> Result<ResourceMeta, Fault> {
    Ok(ResourceMeta {
        account: id(row, 0)?,
        scopes: scopes(row, 1)?,
        id: id(row, 3)?,
        kind: kind(row.get(4)?)?,
        thng: optional_id(row, 5)?,
        product: optional_id(row, 6)?,
    })
}

/// What [`resource`] reads, of `resource` joined with `account` and `event`.
macro_rules! resource_columns {
    () => {
        "account.id, resource.projects, resource.users, resource.id, resource.kind, resource.parent, event.body, \
         resource.private, resource.created_at_ms, resource.updated_at_ms, resource.created"
    };
}
pub(super) use resource_columns;

pub(super) fn resource(row: &Row<'_>) -> Result<ResourceRecord, Fault> {
    let private: Option<String> = row.get(7)?;
    Ok(ResourceRecord {
        account: id(row, 0)?,
        scopes: scopes(row, 1)?,
        id: id(row, 3)?,
        kind: kind(row.get(4)?)?,
        parent: optional_id(row, 5)?,
        body: text(row, 6)?.into(),
        private: private.map(Json::parse).transpose().map_err(|_| Fault::Corrupt("resource.private"))?,
        created_at_ms: row.get(8)?,
        updated_at_ms: row.get(9)?,
        created_seq: row.get::<_, i64>(10)? as u64,
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

/// A location out of the same columns.
pub(super) fn location(row: &Row<'_>, first: usize) -> Result<LocationUpdate, Fault> {
    Ok(LocationUpdate {
        timestamp_ms: row.get(first)?,
        created_at_ms: row.get(first + 1)?,
        value: json(row, first + 2)?,
    })
}

pub(super) fn property_key(row: &Row<'_>, column: usize) -> Result<PropertyKey, Fault> {
    PropertyKey::parse(text(row, column)?).map_err(|_| Fault::Corrupt("series.key"))
}
