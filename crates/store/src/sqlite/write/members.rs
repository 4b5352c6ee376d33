//! Members of collections.

use rusqlite::{Connection, params};
use thng_pubsub_protocol::{id::Id, payload::ResourceKind};

use super::{Fault, column, read};
use crate::Members;

fn created_seq(connection: &Connection, id: Id) -> Result<Option<i64>, Fault> {
    read::one(connection, PLACE, [id.as_str()], |row| Ok(row.get(0)?))
}

/// Puts resources into a collection; returns those that were not in it.
pub(super) fn add(
    connection: &Connection,
    collection: Id,
    kind: ResourceKind,
    members: &[Id],
) -> Result<Vec<Id>, Fault> {
    let Some(collection) = created_seq(connection, collection)? else { return Ok(Vec::new()) };
    let mut added = Vec::new();
    let mut add = connection.prepare_cached(ADD)?;
    for member in members {
        if let Some(created_seq) = created_seq(connection, *member)?
            && add.execute(params![collection, column::kind_number(kind), created_seq])? == 1
        {
            added.push(*member);
        }
    }
    Ok(added)
}

/// Takes resources out of a collection; returns those that were in it.
pub(super) fn remove(
    connection: &Connection,
    collection: Id,
    kind: ResourceKind,
    members: Members<'_>,
) -> Result<Vec<Id>, Fault> {
    let Some(collection) = created_seq(connection, collection)? else { return Ok(Vec::new()) };
    let kind = column::kind_number(kind);
    let found = match members {
        Members::These(members) => {
            let mut found = Vec::new();
            for member in members {
                if let Some(created_seq) = created_seq(connection, *member)? {
                    found.push((created_seq, *member));
                }
            }
            found
        }
        Members::UpTo(most) => {
            let mut statement = connection.prepare_cached(FIRST)?;
            let mut rows = statement.query(params![collection, kind, most as i64])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push((row.get(0)?, column::id(row, 1)?));
            }
            found
        }
    };
    let mut remove = connection.prepare_cached(REMOVE)?;
    let mut removed = Vec::new();
    for (created_seq, member) in found {
        if remove.execute(params![collection, kind, created_seq])? == 1 {
            removed.push(member);
        }
    }
    Ok(removed)
}

/// How many collections a resource is in; no further than `most` is counted.
pub(super) fn count_of(connection: &Connection, id: Id, most: usize) -> Result<usize, Fault> {
    let Some(created_seq) = created_seq(connection, id)? else { return Ok(0) };
    count_others(connection, created_seq, NO_COLLECTION, most)
}

/// No collection has this position.
const NO_COLLECTION: i64 = 0;

fn count_others(
    connection: &Connection,
    created_seq: i64,
    collection: i64,
    most: usize,
) -> Result<usize, Fault> {
    let mut count = connection.prepare_cached(COUNT_OTHERS)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    Ok(count.query_row([created_seq, collection, most], |row| row.get::<_, i64>(0))? as usize)
}

/// The first of these resources that is not in the collection, and is in so many others.
pub(in crate::sqlite) fn first_crowded(
    connection: &Connection,
    collection: Id,
    kind: ResourceKind,
    members: &[Id],
    most: usize,
) -> Result<Option<Id>, Fault> {
    let Some(collection) = created_seq(connection, collection)? else { return Ok(None) };
    for member in members {
        let Some(created_seq) = created_seq(connection, *member)? else { continue };
        if count_others(connection, created_seq, collection, most)? >= most {
            let parameters = params![collection, column::kind_number(kind), created_seq];
            if read::one(connection, IS_MEMBER, parameters, |_| Ok(()))?.is_none() {
                return Ok(Some(*member));
            }
        }
    }
    Ok(None)
}

/// Takes a resource out of some of the collections that it is in.
pub(super) fn leave_collections(connection: &Connection, id: Id, collections: &[Id]) -> Result<(), Fault> {
    let Some(resource) = created_seq(connection, id)? else { return Ok(()) };
    for collection in collections {
        if let Some(collection) = created_seq(connection, *collection)? {
            connection.prepare_cached(LEAVE)?.execute([resource, collection])?;
        }
    }
    Ok(())
}

/// Whether there are any.
pub(super) fn are_there(connection: &Connection, collection: Id, kind: ResourceKind) -> Result<bool, Fault> {
    let kind = column::kind_number(kind);
    let found = read::one(connection, ARE_THERE, params![collection.as_str(), kind], |row| Ok(row.get(0)?))?;
    Ok(found.unwrap_or(false))
}

/// Takes a resource that goes away out of every collection.
pub(super) fn leave_all(connection: &Connection, created_seq: i64) -> Result<(), Fault> {
    connection.prepare_cached(LEAVE_ALL)?.execute([created_seq])?;
    Ok(())
}

/// Frees memberships of a collection that is gone. Returns how many.
pub(super) fn free(connection: &Connection, collection: i64, most: usize) -> Result<usize, Fault> {
    Ok(connection.prepare_cached(FREE)?.execute(params![collection, most as i64])?)
}

const PLACE: &str = "SELECT created FROM resource WHERE id = ?1";

const ADD: &str = "INSERT OR IGNORE INTO member (collection, kind, resource) VALUES (?1, ?2, ?3)";

const FIRST: &str = "SELECT member.resource, resource.id FROM member
    JOIN resource ON resource.created = member.resource
    WHERE member.collection = ?1 AND member.kind = ?2 ORDER BY member.resource LIMIT ?3";

const ARE_THERE: &str = "SELECT EXISTS (SELECT 1 FROM member
    WHERE collection = (SELECT created FROM resource WHERE id = ?1) AND kind = ?2)";

const REMOVE: &str = "DELETE FROM member WHERE collection = ?1 AND kind = ?2 AND resource = ?3";

const COUNT_OTHERS: &str = "SELECT count(*) FROM
    (SELECT 1 FROM member WHERE resource = ?1 AND collection <> ?2 LIMIT ?3)";

const IS_MEMBER: &str = "SELECT 1 FROM member WHERE collection = ?1 AND kind = ?2 AND resource = ?3";

const LEAVE: &str = "DELETE FROM member WHERE resource = ?1 AND collection = ?2";

const LEAVE_ALL: &str = "DELETE FROM member WHERE resource = ?1";

const FREE: &str = "DELETE FROM member WHERE (collection, kind, resource) IN
    (SELECT collection, kind, resource FROM member WHERE collection = ?1 LIMIT ?2)";

/// Every statement of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[PLACE, ADD, FIRST, ARE_THERE, REMOVE, COUNT_OTHERS, IS_MEMBER, LEAVE, LEAVE_ALL, FREE];
