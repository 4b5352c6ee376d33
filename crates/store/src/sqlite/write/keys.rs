//! API keys: hashes with whom they belong to.

use rusqlite::{Connection, Rows, params};
use thng_pubsub_protocol::id::Id;

use super::{Fault, account, column, read};
use crate::{Actor, KeyHash, KeyRecord};

pub(super) fn add(connection: &Connection, key: &KeyRecord) -> Result<(), Fault> {
    let owner = account(connection, key.account, key.created_at_ms)?;
    let (kind, actor) = column::actor_columns(key.actor);
    connection.prepare_cached(ADD)?.execute(params![
        &key.hash.0[..],
        owner,
        kind,
        actor.as_str(),
        key.nonce.as_ref().map(|nonce| &nonce[..]),
        key.created_at_ms
    ])?;
    Ok(())
}

pub(super) fn is_there(connection: &Connection, hash: &KeyHash) -> Result<bool, Fault> {
    Ok(read::one(connection, IS_THERE, [&hash.0[..]], |_| Ok(()))?.is_some())
}

/// Takes one key away; `false` where there is none.
pub(super) fn remove_one(connection: &Connection, hash: &KeyHash) -> Result<bool, Fault> {
    Ok(connection.prepare_cached(REMOVE_ONE)?.execute([&hash.0[..]])? == 1)
}

/// Takes the keys of an actor away; returns their hashes.
pub(super) fn remove(connection: &Connection, actor: Actor) -> Result<Vec<KeyHash>, Fault> {
    let (kind, actor) = column::actor_columns(actor);
    let mut statement = connection.prepare_cached(REMOVE)?;
    hashes(statement.query(params![actor.as_str(), kind])?)
}

fn hashes(mut rows: Rows<'_>) -> Result<Vec<KeyHash>, Fault> {
    let mut removed = Vec::new();
    while let Some(row) = rows.next()? {
        let hash: Vec<u8> = row.get(0)?;
        removed.push(KeyHash(hash.try_into().map_err(|_| Fault::Corrupt("api_key.hash"))?));
    }
    Ok(removed)
}

/// Takes every key of a resource away; returns their hashes.
pub(super) fn remove_of(connection: &Connection, actor: Id) -> Result<Vec<KeyHash>, Fault> {
    let mut statement = connection.prepare_cached(REMOVE_OF)?;
    hashes(statement.query([actor.as_str()])?)
}

const ADD: &str = "INSERT INTO api_key (hash, account, actor_kind, actor, nonce, created_at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const IS_THERE: &str = "SELECT 1 FROM api_key WHERE hash = ?1";

const REMOVE_ONE: &str = "DELETE FROM api_key WHERE hash = ?1";

const REMOVE: &str = "DELETE FROM api_key WHERE actor = ?1 AND actor_kind = ?2 RETURNING hash";

const REMOVE_OF: &str = "DELETE FROM api_key WHERE actor = ?1 RETURNING hash";

/// Every statement of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[ADD, IS_THERE, REMOVE_ONE, REMOVE, REMOVE_OF];
