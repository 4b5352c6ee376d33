//! Reading a database from another process, beside the server that has it open or where none does.
//!
//! The directory is not claimed: SQLite's own locks let others read one state of the database while the server writes the
//! next. While a reader is active, the write-ahead log grows by what is written meanwhile, so read without pauses.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, config::DbConfig};

use super::{
    column, connection,
    directory::{self, DATABASE_FILE, WRITE_AHEAD_FILE},
    examine::sizes,
    fault::Fault,
    layout,
    read::{self, Snapshot},
};
use crate::{CopySpeed, KeyRecord, PacedFile, ResourceRecord, StoreError, TimestampMs};

/// A database that is opened for reading only.
#[derive(Debug)]
pub struct ReadOnlyDatabase {
    pub(super) connection: Connection,
    pub(super) layout: i64,
    directory: PathBuf,
    pub(super) data_dir: Arc<str>,
}

impl ReadOnlyDatabase {
    /// Opens the database in a directory.
    ///
    /// # Errors
    /// [`StoreError::Nothing`] where there is none, and as those of [`SqliteStore::open`](super::SqliteStore::open).
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let data_dir: Arc<str> = directory.display().to_string().into();
        let open = || {
            let database = directory.join(DATABASE_FILE);
            directory::ensure_database(directory)?;
            let connection = connection::reader(&database)?;
            let layout = layout::of(&connection)?;
            Ok((connection, layout))
        };
        let (connection, layout) = open().map_err(|fault: Fault| fault.at(&data_dir))?;
        Ok(Self { connection, layout, directory: directory.into(), data_dir })
    }

    /// A file for a copy of this database, which is empty so far.
    pub fn paced_file(&self, file: File, speed: CopySpeed) -> PacedFile {
        PacedFile::new(file, speed, self.directory.join(WRITE_AHEAD_FILE))
    }

    /// The number of the database's layout.
    pub fn layout(&self) -> i64 {
        self.layout
    }

    /// A text that is kept under this name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        read::meta(&self.connection, name).map_err(|fault| fault.at(&self.data_dir))
    }

    /// Every key, with the resource that it is of, as long as that is there: by account, kind and age.
    ///
    /// # Errors
    /// [`StoreError`], and whatever `visit` returns.
    pub fn keys<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(KeyRecord, Option<ResourceRecord>) -> Result<(), E>,
    ) -> Result<(), E> {
        let at = |fault: Fault| fault.at(&self.data_dir);
        let _snapshot = Snapshot::of(&self.connection).map_err(at)?;
        let mut statement = self.connection.prepare(KEYS).map_err(|error| at(error.into()))?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| at(error.into()))? {
            let key = column::key(row).map_err(at)?;
            let owner = read::resource(&self.connection, key.actor.id()).map_err(at)?;
            visit(key, owner)?;
        }
        Ok(())
    }

    /// When the last event came in; nothing where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_arrival_ms(&self) -> Result<Option<TimestampMs>, StoreError> {
        let last = read::one(&self.connection, LAST_ARRIVAL, [], |row| Ok(row.get(0)?));
        last.map_err(|fault| fault.at(&self.data_dir))
    }
}

impl Drop for ReadOnlyDatabase {
    /// The last connection to close carries the log over. Where a server was killed meanwhile that is for the next server,
    /// which rewrites the log before ([`super::log_rewrite`]). An empty log is removed, which may belong to another user.
    fn drop(&mut self) {
        let has_log = sizes(&self.directory).is_some_and(|sizes| sizes.log > 0);
        // It fails for a connection that is closed.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log);
    }
}

const KEYS: &str = concat!(
    "SELECT ",
    column::key_columns!(),
    " FROM api_key JOIN account ON account.num = api_key.account
     ORDER BY api_key.account, actor_kind, api_key.created_at_ms, hash"
);

const LAST_ARRIVAL: &str = "SELECT at FROM event ORDER BY seq DESC LIMIT 1";
