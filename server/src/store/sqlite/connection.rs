//! How a connection to the database is set up: the one that writes, and those that read.

use std::time::Duration;

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{Durability, directory::DataDirectory, fault::Fault};

/// Bytes of a page of a new database. Measured with 180-byte values: 2,048 and 8,192 are no faster.
const PAGE_BYTES: i64 = 4_096;

/// Pages in the write-ahead log before a commit carries them over into the database, which makes that commit wait.
/// Measured with 5,000 properties in groups of 256: 80,000 values/s at 1,000 pages, 91,000 at 2,000, 94,000 at 3,000.
/// The wait grows with it, to 10 ms at 2,000 under that load; at 1,000 values/s 99 of 100 commits take about 1 ms.
const CHECKPOINT_PAGES: i64 = 2_000;

/// Bytes that the write-ahead log keeps on disk when one large group has made it grow. Usually it stays far below and
/// keeps its size: a sync of a file that is overwritten in place costs half of one that grows.
const WAL_KEPT_BYTES: i64 = 64 << 20;

/// KiB of pages that a connection keeps. The operating system keeps the rest: reading a page from it costs little more,
/// while SQLite walks through all that it keeps itself when a commit has split a page of an index (at 64 MiB an eighth
/// of the writer's time). No memory map instead: with one, a failing disk ends the process.
const CACHE_KIB: i64 = 8_192;

/// Statements that a connection keeps compiled: more than the store has.
const STATEMENTS: usize = 64;

/// How long to wait for a lock of SQLite's. Nobody else should have one; a backup program might, for a moment.
const BUSY: Duration = Duration::from_secs(5);

/// The connection that writes. Nothing of the database is touched before [`super::layout`] has looked at it.
pub(super) fn writer(directory: &DataDirectory) -> Result<Connection, Fault> {
    open(directory)
}

/// Sets the writing connection up, once it is known that the database may be written to.
pub(super) fn prepare_writer(connection: &Connection, durability: Durability) -> Result<(), Fault> {
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    Ok(())
}

/// A connection that only reads. It could write but for `query_only`, because the last connection to close carries
/// the write-ahead log over into the database, and one without the right to write would leave it lying.
pub(super) fn reader(directory: &DataDirectory) -> Result<Connection, Fault> {
    let connection = open(directory)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn open(directory: &DataDirectory) -> Result<Connection, Fault> {
    // Without CREATE: the directory has made the file. Without SQLite's mutex: one thread at a time has it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.database(), flags)?;
    connection.busy_timeout(BUSY)?;
    // A plan depends on the statement alone. Otherwise SQLite compiles some of ours anew whenever a value is bound, which
    // took half of the time of a read.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}
