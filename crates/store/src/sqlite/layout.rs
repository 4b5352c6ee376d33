//! The layout of the database: migrations in order, each applied once, each whole or not at all.
//!
//! The number of the last one that was applied is in the database itself (`user_version`).

use rusqlite::Connection;

use super::fault::Fault;

/// The layout that a new database starts with. Layout 1 was that of development versions and was never released.
const FIRST: i64 = 2;

/// All migrations from [`FIRST`] on, each named for the layout that it leads to. What was released is never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0002_accounts_resources_events.sql"),
    include_str!("migrations/0003_durable_sessions.sql"),
    include_str!("migrations/0004_sessions_by_key.sql"),
    include_str!("migrations/0005_ended_sessions.sql"),
    include_str!("migrations/0006_values_by_time.sql"),
];

/// The layout from which on values are found in a table of their own.
pub(super) const VALUES_BY_TIME: i64 = 6;

/// The layout of this program.
pub(super) const KNOWN: i64 = FIRST + MIGRATIONS.len() as i64 - 1;

/// Refuses a database that a later program has written, or an unfinished one. Changes nothing.
pub(super) fn check(connection: &Connection) -> Result<(), Fault> {
    match applied(connection)? {
        found if found > KNOWN => Err(Fault::TooNew { found, known: KNOWN }),
        0 | FIRST.. => Ok(()),
        ..0 => Err(Fault::Corrupt("a negative layout number")),
        found => Err(Fault::TooOld { found }),
    }
}

/// The layout of a database that is not empty. Changes nothing.
pub(super) fn of(connection: &Connection) -> Result<i64, Fault> {
    check(connection)?;
    match applied(connection)? {
        0 => Err(Fault::Nothing),
        layout => Ok(layout),
    }
}

/// Applies what is missing.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let applied = applied(connection)?;
    if (1..KNOWN).contains(&applied) {
        tracing::info!(from = applied, to = KNOWN, "upgrading the layout of the database");
    }
    for (layout, migration) in (FIRST..).zip(MIGRATIONS).filter(|(layout, _)| *layout > applied) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", layout)?;
        transaction.commit()?;
    }
    Ok(())
}

fn applied(connection: &Connection) -> Result<i64, Fault> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
