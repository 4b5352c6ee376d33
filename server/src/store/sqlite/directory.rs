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

/// Behind [`DATABASE_FILE`]: the write-ahead log.
pub(super) const WRITE_AHEAD_SUFFIX: &str = "-wal";

const LOCK_FILE: &str = "thng-pubsub.lock";

/// What becomes the database once it is whole.
const PART_FILE: &str = "thng-pubsub.db.part";

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
        let lock = lock(path)?;
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
        name.push(WRITE_AHEAD_SUFFIX);
        name.into()
    }
}

/// A directory of ours in which there is nothing yet, and into which a database comes whole or not at all.
#[derive(Debug)]
pub(crate) struct NewDirectory {
    path: PathBuf,
    is_finished: bool,
    _lock: File,
}

impl NewDirectory {
    /// Takes a directory that is empty or missing.
    pub(super) fn claim(path: &Path) -> io::Result<Self> {
        create(path)?;
        let lock = lock(path)?;
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name();
            // The second is in every file system's own root.
            if name != LOCK_FILE && name != "lost+found" {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
        }
        let made = Self { path: path.into(), is_finished: false, _lock: lock };
        make(&made.part())?;
        Ok(made)
    }

    /// The file that becomes the database; it is there, and empty.
    pub(super) fn part(&self) -> PathBuf {
        self.path.join(PART_FILE)
    }

    /// Makes a database of what was written into [`part`](Self::part).
    pub(super) fn finish(mut self) -> io::Result<()> {
        put(&self.part(), &self.path.join(DATABASE_FILE))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for NewDirectory {
    /// What was begun and not finished is taken away, so that it can be begun again.
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed is found by the next one, who says that the directory is not empty.
            let _ = fs::remove_file(self.part());
        }
    }
}

/// Makes a file for its owner only, which must not be there yet.
pub(super) fn make(path: &Path) -> io::Result<File> {
    owner_only().read(true).write(true).create_new(true).open(path)
}

/// Gives a file that is written its name, for good: after this it is there whatever happens.
pub(super) fn put(part: &Path, path: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    fs::rename(part, path)?;
    path.parent().map_or(Ok(()), sync)
}

fn lock(path: &Path) -> io::Result<File> {
    let lock = owner_only().read(true).write(true).create(true).truncate(false).open(path.join(LOCK_FILE))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        TryLockError::Error(error) => error,
    })?;
    Ok(lock)
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
