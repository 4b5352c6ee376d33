//! The layout of the database: migrations in order, each applied once, each whole or not at all.
//!
//! The number of the last one that was applied stands in the database itself (`user_version`).

use rusqlite::Connection;

use super::fault::Fault;

/// All migrations; the number of a layout is the count of those applied. What was released is never edited.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_accounts_resources_events.sql")];

/// Refuses a database that a later program has written. Changes nothing.
pub(super) fn check(connection: &Connection) -> Result<(), Fault> {
    let (found, known) = (applied(connection)?, MIGRATIONS.len() as i64);
    match found {
        _ if found > known => Err(Fault::TooNew { found, known }),
        ..0 => Err(Fault::Corrupt("a negative layout number")),
        _ => Ok(()),
    }
}

/// Applies what is missing.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let applied = applied(connection)? as usize;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(applied) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

fn applied(connection: &Connection) -> Result<i64, Fault> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
