//! How a connection to the database is set up: the one that writes, and those that read.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{directory::DataDirectory, fault::Fault, paced_writes};

/// Bytes of a page of a new database. A commit of one value writes one page to the log, and the file system writes whole
/// blocks of 4 KiB. Measured at 1,000 values/s over 50,000 properties: 6.0 KB on the disk for each value at 4,096 bytes,
/// 9.1 KB at 8,192. With many values in a commit both are alike.
const PAGE_BYTES: i64 = 4_096;

/// KiB of pages that a connection caches. The operating system caches the rest: a read from there costs little more.
/// SQLite visits its whole cache when a commit has split a page of an index (at 64 MiB an eighth of the writer's
/// time). A memory map is no alternative: with one, a failing disk ends the process.
const CACHE_KIB: i64 = 8_192;

/// Statements that a connection keeps compiled: more than the store has.
const STATEMENTS: usize = 128;

/// How long to wait for a lock of SQLite's. No other process should have one; a backup program might, for a moment.
const BUSY: Duration = Duration::from_secs(5);

/// The connection that writes. Nothing of the database is touched before [`super::layout`] has looked at it.
pub(super) fn writer(directory: &DataDirectory) -> Result<Connection, Fault> {
    open(directory.database())
}

/// Sets the writing connection up, once it is known that the database may be written to.
pub(super) fn prepare_writer(connection: &Connection, cache_bytes: usize) -> Result<(), Fault> {
    shape(connection)?;
    let kibibytes = i64::try_from(cache_bytes >> 10).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kibibytes)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // super::disk_sync does what FULL would, beside the next commit.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // super::checkpoint does it, and shortens the log.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(())
}

/// Says how large the pages of a database are that has none yet.
pub(super) fn shape(connection: &Connection) -> Result<(), Fault> {
    Ok(connection.pragma_update(None, "page_size", PAGE_BYTES)?)
}

/// A connection that carries the write-ahead log over into the database and does nothing else.
pub(super) fn checkpointer(directory: &DataDirectory) -> Result<Connection, Fault> {
    open(directory.database())
}

/// A connection that only reads. Only `query_only` keeps it from writing: the last connection to close moves the
/// write-ahead log into the database, and one without the right to write would leave the log behind.
pub(super) fn reader(database: &Path) -> Result<Connection, Fault> {
    let connection = open(database)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A connection to a file that no other process has open and that counts only once it is whole. Nothing is synced
/// before, and a failure leaves nothing to use.
pub(super) fn unshared(file: &Path) -> Result<Connection, Fault> {
    paced_writes::install();
    let connection = Connection::open_with_flags(file, FLAGS)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    // What is written over would otherwise be in a second file for a while.
    connection.pragma_update(None, "journal_mode", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Without CREATE: the file was made before, for its owner only. Without SQLite's mutex: one thread at a time has it.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A connection to a file of ours, set up as all of them are.
pub(super) fn open(database: &Path) -> Result<Connection, Fault> {
    paced_writes::install();
    let connection = Connection::open_with_flags(database, FLAGS)?;
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
