//! The data directory: made where it is missing, readable by its owner only, and used by one server at a time.
//!
//! The lock is on a file of its own, because SQLite's locks on the database vanish when any other handle on that file
//! is closed. The operating system lets go of it when the process ends, however it ends.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// The database; SQLite keeps two more files with this name and a suffix beside it.
pub(super) const DATABASE_FILE: &str = "thng-pubsub.db";

const LOCK_FILE: &str = "thng-pubsub.lock";

/// A directory that this process alone may use, for as long as the value lives.
#[derive(Debug)]
pub(super) struct DataDirectory {
    database: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Takes the directory; `WouldBlock` is another process that has it.
    pub(super) fn claim(path: &Path) -> io::Result<Self> {
        create(path)?;
        let lock =
            owner_only().read(true).write(true).create(true).truncate(false).open(path.join(LOCK_FILE))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            TryLockError::Error(error) => error,
        })?;
        let database = path.join(DATABASE_FILE);
        // SQLite gives its other files the permissions of this one.
        owner_only().read(true).write(true).create(true).truncate(false).open(&database)?;
        sync(path)?;
        Ok(Self { database, _lock: lock })
    }

    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    /// The write-ahead log: there while a connection to the database is open.
    pub(super) fn write_ahead_log(&self) -> PathBuf {
        let mut name = self.database.clone().into_os_string();
        name.push("-wal");
        name.into()
    }
}

fn create(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let missing: Vec<_> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    missing.iter().filter_map(|made| made.parent()).try_for_each(sync)
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Puts the directory's entries on disk: a file whose name is lost is lost.
fn sync(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
