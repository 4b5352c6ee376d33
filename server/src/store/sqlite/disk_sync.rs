//! Putting committed groups on the disk, beside the writer.
//!
//! SQLite would do it inside COMMIT (`synchronous = FULL`), and the writer would wait a third of its time
//! (docs/decisions/0014-synced-beside-the-next-commit.md). It is the same call on the same file, before anybody is
//! answered. What SQLite itself syncs under `NORMAL` keeps the database whole: the log before it is carried over, the
//! database before the log starts anew.

use std::{fs::File, io, sync::Arc};

use super::{Durability, directory::DataDirectory, fault::Fault};
use crate::store::{DiskSync, StoreError};

/// The write-ahead log, to be synced.
#[derive(Debug, Clone)]
pub(super) struct LogSync {
    /// `None` where the operating system's word is enough.
    log: Option<Arc<File>>,
    place: Arc<str>,
}

impl LogSync {
    /// To be called when the writer's connection has made the log.
    pub(super) fn open(
        directory: &DataDirectory,
        durability: Durability,
        place: Arc<str>,
    ) -> Result<Self, Fault> {
        // SQLite's locks are on its other files, so it does not lose them when this handle is closed.
        let open = || -> io::Result<_> {
            Ok(Arc::new(File::options().write(true).open(directory.write_ahead_log())?))
        };
        let log = match durability {
            Durability::Full => Some(open().map_err(Fault::File)?),
            Durability::Normal => None,
        };
        Ok(Self { log, place })
    }
}

impl DiskSync for LogSync {
    fn sync(&self) -> Result<(), StoreError> {
        let synced = self.log.as_ref().map_or(Ok(()), |log| log.sync_data());
        synced.map_err(|error| Fault::File(error).at(&self.place))
    }
}
