//! The data directory: made where it is missing, readable by its owner only, and used by one server at a time.
//!
//! The lock is on a file of its own, because SQLite's locks on the database vanish when any other handle on that file
//! is closed. The operating system lets go of it when the process ends, however it ends.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::fault::Fault;
use crate::durable_file::{self, sync_folder};

/// The database; SQLite keeps two more files with this name and a suffix beside it.
pub(super) const DATABASE_FILE: &str = "thng-pubsub.db";

/// The write-ahead log: SQLite names it so.
pub(super) const WRITE_AHEAD_FILE: &str = "thng-pubsub.db-wal";

/// What goes with a database: the app writes and reads it.
pub const SECRET_FILE: &str = "keys.secret";

const LOCK_FILE: &str = "thng-pubsub.lock";

/// What becomes the database once it is whole.
const PART_FILE: &str = "thng-pubsub.db.part";

/// How often a claim makes its folder again, where others remove it: some processes at the most claim at once.
const CLAIM_TRIES_MAX: u32 = 100;

/// A directory that this process alone may use, for as long as the value lives.
#[derive(Debug)]
pub(super) struct DataDirectory {
    database: PathBuf,
    /// Open for as long as any connection is: SQLite's locks on a file vanish when any handle on it is closed.
    file: File,
    _claim: Claim,
}

impl DataDirectory {
    /// Takes the directory; `WouldBlock` is another process that has it. Makes an empty database where nothing of another
    /// one is.
    pub(super) fn claim(path: &Path) -> Result<Self, Fault> {
        let mut claim = Claim::new(path).map_err(Fault::File)?;
        ensure_no_remains(path)?;
        let database = path.join(DATABASE_FILE);
        // SQLite gives its other files the permissions of this one.
        let made = owner_only().read(true).write(true).create(true).truncate(false).open(&database);
        let file = made.and_then(|file| sync_folder(path).map(|()| file)).map_err(Fault::File)?;
        claim.is_used = true;
        Ok(Self { database, file, _claim: claim })
    }

    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    /// Puts on the disk what was written to the database.
    pub(super) fn sync_database(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Puts the names of its files on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        durable_file::sync_folder_of(&self.database)
    }

    /// The write-ahead log: there while a connection to the database is open.
    pub(super) fn write_ahead_log(&self) -> PathBuf {
        self.database.with_file_name(WRITE_AHEAD_FILE)
    }
}

/// A directory of ours in which there is nothing yet, and into which a database comes whole or not at all.
#[derive(Debug)]
pub(crate) struct NewDirectory {
    path: PathBuf,
    /// Open from the beginning, so that a failure to put any of it on the disk is seen.
    part: File,
    /// Whether an earlier try has left its file: then one stays, because something is to be repeated.
    is_repeated: bool,
    claim: Claim,
}

impl NewDirectory {
    /// Takes a directory that is empty or missing, or has what an earlier try has left that was killed.
    pub(super) fn claim(path: &Path) -> io::Result<Self> {
        let claim = Claim::new(path)?;
        let next = durable_file::part(Path::new(PART_FILE));
        let secret_part = durable_file::part(Path::new(SECRET_FILE));
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name();
            // The second is in every file system's own root. Of the secret, the one who writes it sees whether it is ours.
            let is_allowed = [LOCK_FILE, "lost+found", PART_FILE, SECRET_FILE].iter().any(|own| name == *own);
            if !is_allowed && name != next.as_os_str() && name != secret_part.as_os_str() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
        }
        let is_repeated = path.join(PART_FILE).exists() || path.join(&next).exists();
        let part = make_part(path, &path.join(next))?;
        let made = Self { path: path.into(), part, is_repeated, claim };
        sync_folder(path)?;
        Ok(made)
    }

    /// The file that becomes the database; it is there, and empty.
    pub(super) fn part(&self) -> PathBuf {
        self.path.join(PART_FILE)
    }

    /// Makes a database of what was written into [`part`](Self::part).
    pub(super) fn finish(&mut self) -> io::Result<()> {
        put(&self.part, &self.part(), &self.path.join(DATABASE_FILE))?;
        self.claim.is_used = true;
        Ok(())
    }
}

impl Drop for NewDirectory {
    /// Removes the files of an unfinished import or restore, so that it can be repeated.
    fn drop(&mut self) {
        if !self.claim.is_used && !self.is_repeated {
            // What cannot be removed is replaced by the next try.
            let _ = fs::remove_file(self.part());
        }
    }
}

/// Makes the file that becomes the database, instead of that of an earlier try: there is one at every moment.
fn make_part(directory: &Path, next: &Path) -> io::Result<File> {
    match fs::remove_file(next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = make(next)?;
    let named = file.sync_all().and_then(|()| fs::rename(next, directory.join(PART_FILE)));
    named.inspect_err(|_| drop(fs::remove_file(next)))?;
    Ok(file)
}

/// A directory that no other process has. Unless it is used, what the claim made goes with it: another user could
/// neither open the lock nor the folder.
#[derive(Debug)]
struct Claim {
    path: PathBuf,
    /// Those that the claim made, the innermost first.
    folders: Vec<PathBuf>,
    lock: Option<File>,
    is_lock_new: bool,
    is_used: bool,
}

impl Claim {
    /// `WouldBlock` is another process that has the directory.
    fn new(path: &Path) -> io::Result<Self> {
        let mut claim =
            Self { path: path.into(), folders: Vec::new(), lock: None, is_lock_new: false, is_used: false };
        let mut tries = 0;
        loop {
            match claim.make_folders().and_then(|()| claim.lock()) {
                Ok(()) => return Ok(claim),
                // A claim that ended in between has removed the folders that it made.
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < CLAIM_TRIES_MAX => {
                    tries += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn make_folders(&mut self) -> io::Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        let missing = self.path.ancestors().take_while(|ancestor| !ancestor.exists());
        self.folders = missing.map(Path::to_owned).collect();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.path)?;
        self.folders.iter().filter_map(|made| made.parent()).try_for_each(sync_folder)
    }

    fn lock(&mut self) -> io::Result<()> {
        let path = self.path.join(LOCK_FILE);
        loop {
            let is_new = !path.exists();
            let lock = owner_only().read(true).write(true).create(true).truncate(false).open(&path)?;
            lock.try_lock().map_err(|error| match error {
                TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
                TryLockError::Error(error) => error,
            })?;
            // A claim that ended in between may have removed the file, and its lock excludes no other process.
            if is_at(&lock, &path)? {
                (self.lock, self.is_lock_new) = (Some(lock), is_new);
                return Ok(());
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        // What stays is empty. The lock is held until its file is gone.
        if self.is_lock_new {
            let _ = fs::remove_file(self.path.join(LOCK_FILE));
        }
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Whether a path names this very file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let own = file.metadata()?;
        match fs::metadata(path) {
            Ok(named) => Ok((own.dev(), own.ino()) == (named.dev(), named.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
    #[cfg(not(unix))]
    file.metadata().and_then(|_| path.metadata()).map(|_| true)
}

/// Makes a file for its owner only, which must not be there yet.
pub(super) fn make(path: &Path) -> io::Result<File> {
    owner_only().read(true).write(true).create_new(true).open(path)
}

/// Gives a file that is written its name, for good: after this it is there whatever happens. Else it is named as before.
pub(super) fn put(file: &File, part: &Path, path: &Path) -> io::Result<()> {
    put_synced(file, part, path, durable_file::sync_folder_of)
}

fn put_synced(
    file: &File,
    part: &Path,
    path: &Path,
    sync: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(part, path)?;
    sync(path).inspect_err(|_| drop(fs::rename(path, part)))
}

/// Looks whether a directory has a database.
pub(super) fn ensure_database(path: &Path) -> Result<(), Fault> {
    if path.join(DATABASE_FILE).is_file() {
        return Ok(());
    }
    ensure_no_remains(path)?;
    Err(Fault::Nothing)
}

/// Refuses a directory that has no database, but something of one: an empty one must not replace it.
fn ensure_no_remains(path: &Path) -> Result<(), Fault> {
    let bytes = |name: &str| match fs::metadata(path.join(name)) {
        Ok(file) => Ok(Some(file.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::File(error)),
    };
    let database = bytes(DATABASE_FILE)?;
    // SQLite deletes the log of a database that is empty.
    if database.unwrap_or(0) == 0 && bytes(WRITE_AHEAD_FILE)?.is_some_and(|log| log > 0) {
        return Err(Fault::Missing(WRITE_AHEAD_FILE));
    }
    if database.is_some() {
        return Ok(());
    }
    let next = durable_file::part(Path::new(PART_FILE));
    if bytes(PART_FILE)?.is_some() || bytes(&next.to_string_lossy())?.is_some() {
        return Err(Fault::Unfinished(PART_FILE));
    }
    if bytes(SECRET_FILE)?.is_some() { Err(Fault::Missing(SECRET_FILE)) } else { Ok(()) }
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_file_whose_name_is_not_synced_stays_unfinished() {
        let folder = tempfile::tempdir().expect("a folder");
        let (part, path) = (folder.path().join(PART_FILE), folder.path().join(DATABASE_FILE));
        let file = make(&part).expect("a file");
        let refused = put_synced(&file, &part, &path, |_| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(refused.expect_err("it is not synced").kind(), io::ErrorKind::StorageFull);
        assert!(part.exists() && !path.exists());
        assert!(matches!(ensure_database(folder.path()), Err(Fault::Unfinished(PART_FILE))));
        put(&file, &part, &path).expect("synced");
        assert!(path.exists() && !part.exists());
    }

    #[test]
    fn claims_that_race_make_the_folder_or_wait() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("some/where");
        let claims = || {
            for _ in 0..2_000 {
                match Claim::new(&path) {
                    Ok(claim) => assert!(claim.path.is_dir(), "a claim keeps its folder"),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
                }
            }
        };
        thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(claims))));
    }
}
