//! Putting committed groups on the disk, beside the writer.
//!
//! SQLite would do it inside COMMIT (`synchronous = FULL`), and the writer would wait a third of its time
//! (docs/decisions/0014-synced-beside-the-next-commit.md). It is the same call on the same file, before any
//! answer. What SQLite itself syncs under `NORMAL` keeps the database whole: the log before it is carried over, the
//! database before the log starts anew.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::ffi;

use super::{Durability, directory::DataDirectory, fault::Fault};
use crate::{DiskSync, StoreError};

/// Whether a sync of a checkpoint or of SQLite's own has failed. Trying again would succeed and leave out what the first has lost, so nothing
/// may be acknowledged any more; the next start rewrites the log.
#[derive(Debug, Clone, Default)]
pub(super) struct SyncFailure(Arc<AtomicBool>);

impl SyncFailure {
    /// To be called with each error of a commit or a checkpoint.
    pub(super) fn record(&self, error: &rusqlite::Error) {
        let code = error.sqlite_error().map(|error| error.extended_code);
        if matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)) {
            self.set();
        }
    }

    /// To be called when a sync of one of the database's files has failed.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The write-ahead log, to be synced.
#[derive(Debug, Clone)]
pub(super) struct LogSync {
    /// `None` where the operating system's word is enough.
    log: Option<Arc<File>>,
    failure: SyncFailure,
    data_dir: Arc<str>,
}

impl LogSync {
    /// To be called when the writer's connection has made the log.
    pub(super) fn open(
        directory: &DataDirectory,
        durability: Durability,
        failure: SyncFailure,
        data_dir: Arc<str>,
    ) -> Result<Self, Fault> {
        // SQLite's locks are on its other files, so it does not lose them when this handle is closed.
        let open = || -> io::Result<_> {
            Ok(Arc::new(File::options().write(true).open(directory.write_ahead_log())?))
        };
        let log = match durability {
            Durability::Full => Some(open().map_err(Fault::File)?),
            Durability::Normal => None,
        };
        directory.sync().map_err(Fault::File)?;
        Ok(Self { log, failure, data_dir })
    }
}

impl DiskSync for LogSync {
    fn sync(&self) -> Result<(), StoreError> {
        let synced = self.log.as_ref().map_or(Ok(()), |log| log.sync_data());
        // After: what failed before this sync began is seen.
        let synced = synced.and_then(|()| match self.failure.is_noted() {
            true => Err(io::Error::other("the disk failed to sync, and what it has is not known")),
            false => Ok(()),
        });
        synced.map_err(|error| Fault::File(error).at(&self.data_dir))
    }
}
