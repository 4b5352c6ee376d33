//! The default store: one SQLite database in a directory of this server's own.
//!
//! [`SqliteStore::open`] returns both handles: [`mod@write`] is the one connection that writes, [`read`] a pool of
//! connections that read snapshots beside it (WAL). [`values`] reads latest values and histories, of which the newest are in
//! the [`tail`]. [`checkpoint`] moves the write-ahead log into the database, and
//! [`disk_sync`] syncs it; [`log_rewrite`] comes before both, where a crash has left a log. [`layout`] migrates the
//! database, [`directory`] keeps a second server out, and [`mod@column`] maps domain types to columns.
//! For commands on a whole database, [`read_only`] reads beside a server, [`backup`] copies and restores, [`export`]
//! and [`import`] convert, and [`examine`] checks it.
//! [`client_events`] is a small database of its own beside it.
//! Nothing outside this folder names SQLite.

use std::{path::Path, sync::Arc};

use super::{StoreError, StoreHandles};
use directory::DataDirectory;
use fault::Fault;
use read::SqliteReaders;
use write::{Bounds, SqliteWriter};

mod backup;
mod checkpoint;
mod client_events;
mod column;
mod connection;
mod directory;
mod disk_sync;
mod examine;
mod export;
mod fault;
mod import;
mod layout;
mod log_rewrite;
mod paced_writes;
mod read;
mod read_only;
mod scan;
mod session_queue;
mod tail;
#[cfg(test)]
mod tests;
mod values;
mod write;

pub use backup::{Backup, BackupHeader};
pub use client_events::{CLIENT_EVENTS_FILE, ClientEventFile};
pub use directory::SECRET_FILE;
pub use examine::{Examination, KNOWN_LAYOUT, sizes};
pub use import::{Import, UnnamedDatabase};
pub use read_only::ReadOnlyDatabase;

/// How much a commit promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// What is synced is on the disk: it survives a loss of power.
    #[default]
    Full,
    /// What is synced is with the operating system: it survives the end of this process, but the last of it may be missing
    /// after a loss of power. The database stays whole either way.
    Normal,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct StoreSettings {
    pub durability: Durability,
    /// How many reads run at the same time, 1 or more; further ones wait.
    pub readers: usize,
    /// Values that wait in memory until they are indexed.
    pub unindexed_values_max: usize,
    /// Bytes of pages that the writer caches.
    pub writer_cache_bytes: usize,
}

impl StoreSettings {
    /// With the usual use of memory.
    pub fn new(durability: Durability, readers: usize) -> Self {
        let Bounds { unindexed_max, cache_bytes, .. } = Bounds::default();
        Self { durability, readers, unindexed_values_max: unindexed_max, writer_cache_bytes: cache_bytes }
    }
}

/// Opens the two halves of the store.
#[derive(Debug)]
pub enum SqliteStore {}

impl SqliteStore {
    /// Opens `directory`/thng-pubsub.db; makes both, for their owner only, where they are missing.
    ///
    /// # Errors
    /// [`StoreError::TooNew`], [`StoreError::Corrupt`] for a file that is no database, else
    /// [`StoreError::Unavailable`], also when another process has the directory open.
    pub fn open(
        directory: &Path,
        durability: Durability,
        readers: usize,
    ) -> Result<StoreHandles, StoreError> {
        Self::open_with(directory, StoreSettings::new(durability, readers))
    }

    /// The same, with these settings.
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn open_with(directory: &Path, settings: StoreSettings) -> Result<StoreHandles, StoreError> {
        let StoreSettings { durability, readers, unindexed_values_max, writer_cache_bytes } = settings;
        let bounds = Bounds {
            unindexed_max: unindexed_values_max,
            cache_bytes: writer_cache_bytes,
            ..Bounds::default()
        };
        let (readers, writer) = open(directory, durability, readers, bounds)?;
        Ok((Arc::new(readers), Box::new(writer)))
    }

    /// Looks whether there is a database in a directory.
    ///
    /// # Errors
    /// [`StoreError::Nothing`], [`StoreError::Unfinished`] or [`StoreError::Missing`].
    pub fn ensure_in(directory: &Path) -> Result<(), StoreError> {
        directory::ensure_database(directory).map_err(|fault| fault.at(&directory.display().to_string()))
    }
}

fn open(
    directory: &Path,
    durability: Durability,
    readers: usize,
    bounds: Bounds,
) -> Result<(SqliteReaders, SqliteWriter), StoreError> {
    let data_dir: Arc<str> = directory.display().to_string().into();
    let claimed = DataDirectory::claim(directory).map_err(|fault| fault.at(&data_dir))?;
    let directory = Arc::new(claimed);
    let halves = || -> Result<_, Fault> {
        log_rewrite::run(&directory)?;
        let writer = SqliteWriter::open(Arc::clone(&directory), durability, bounds, Arc::clone(&data_dir))?;
        let readers =
            SqliteReaders::open(Arc::clone(&directory), readers, writer.tail(), Arc::clone(&data_dir))?;
        Ok((readers, writer))
    };
    halves().map_err(|fault| fault.at(&data_dir))
}
