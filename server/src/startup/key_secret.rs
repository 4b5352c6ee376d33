//! The secret that keys are made from which are shown again: made at the first start, kept beside the database.
//!
//! It is a file of its own, so that the database, or a backup of it, opens nothing by itself. The database remembers
//! which secret it belongs to; with another one every such key would be shown wrong.

use std::{fs, io, path::Path};

use anyhow::{Context as _, anyhow, ensure};

use crate::{
    durable_file,
    identity::{KeySecret, SECRET_BYTES},
    random,
    store::{self, ReadStore, WriteStore},
};

/// Readable by its owner only.
pub(crate) const FILE: &str = store::SECRET_FILE;

/// Under which name the database remembers the secret's fingerprint.
pub(crate) const META_KEY: &str = "key-secret";

/// Reads the secret, or makes it where there is none yet.
pub(super) fn open(
    data: &Path,
    read: &dyn ReadStore,
    write: &mut dyn WriteStore,
) -> anyhow::Result<KeySecret> {
    let path = data.join(FILE);
    let known = read.meta(META_KEY)?;
    let secret = match read_file(&path) {
        Ok(secret) => KeySecret::new(secret),
        Err(SecretError::Missing) if known.is_none() => KeySecret::new(make(data)?),
        Err(unread) => return Err(unread.of(&path)),
    };
    match known {
        Some(known) => ensure_fits(&secret, &known, &path)?,
        None => {
            write.begin()?;
            write.set_meta(META_KEY, &secret.fingerprint())?;
            write.commit()?;
            write.disk_sync().sync()?;
        }
    }
    Ok(secret)
}

/// Reads the secret that goes with a database which remembers this fingerprint, and looks whether it does.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn read(data: &Path, known: &str) -> anyhow::Result<[u8; SECRET_BYTES]> {
    let path = data.join(FILE);
    let secret = read_file(&path).map_err(|unread| unread.of(&path))?;
    ensure_fits(&KeySecret::new(secret), known, &path)?;
    Ok(secret)
}

/// The secret that a data folder has for a database which remembers this fingerprint; nothing where it has none.
///
/// # Errors
/// A sentence that names the file, where it is of another database.
pub(crate) fn find(data: &Path, known: Option<&str>) -> anyhow::Result<Option<[u8; SECRET_BYTES]>> {
    match (data.join(FILE).exists(), known) {
        (true, Some(known)) => read(data, known).map(Some),
        (true, None) | (false, _) => Ok(None),
    }
}

/// Whether a secret is the one of a database which remembers this fingerprint.
pub(crate) fn fits(secret: &[u8; SECRET_BYTES], known: &str) -> bool {
    KeySecret::new(*secret).fingerprint() == known
}

/// Writes the secret into a data folder, for good. Returns whether it was not there before.
///
/// # Errors
/// A sentence that names the file, also where another secret is there.
pub(crate) fn write(data: &Path, secret: &[u8; SECRET_BYTES]) -> anyhow::Result<bool> {
    ensure_no_other(data, secret)?;
    let path = data.join(FILE);
    let is_new = !path.exists();
    // Also where it is there: it may not be on the disk.
    durable_file::write(&path, secret, 0o600).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(is_new)
}

/// Removes what [`write()`] wrote, where its database did not come about.
pub(crate) fn remove(data: &Path) {
    // What stays is the same secret, which the next restore or import overwrites.
    let _ = fs::remove_file(data.join(FILE));
}

/// Looks whether a data folder has another secret than this one, which nothing may overwrite.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn ensure_no_other(data: &Path, secret: &[u8; SECRET_BYTES]) -> anyhow::Result<()> {
    let path = data.join(FILE);
    match read_file(&path) {
        Err(SecretError::Missing) => Ok(()),
        Err(SecretError::Failed(error)) => Err(SecretError::Failed(error).of(&path)),
        Ok(found) if found == *secret => Ok(()),
        Ok(_) | Err(SecretError::Foreign) => {
            Err(anyhow!("{} is there, and belongs to another database: move it away", path.display()))
        }
    }
}

fn ensure_fits(secret: &KeySecret, known: &str, path: &Path) -> anyhow::Result<()> {
    ensure!(
        secret.fingerprint() == known,
        "{} belongs to another database: the keys of this one were made from another secret. Restore the right one \
         from a backup",
        path.display()
    );
    Ok(())
}

/// Why a secret could not be read.
enum SecretError {
    Missing,
    /// It has another length.
    Foreign,
    Failed(io::Error),
}

impl SecretError {
    fn of(self, path: &Path) -> anyhow::Error {
        let path = path.display();
        match self {
            Self::Missing => anyhow!(
                "{path} is missing: the keys of applications, users and devices are made from it. Restore it from a backup"
            ),
            Self::Foreign => {
                anyhow!("{path} is not the secret that this program wrote: restore it from a backup")
            }
            Self::Failed(error) => anyhow::Error::new(error).context(format!("cannot read {path}")),
        }
    }
}

fn read_file(path: &Path) -> Result<[u8; SECRET_BYTES], SecretError> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => SecretError::Missing,
        _ => SecretError::Failed(error),
    })?;
    bytes.try_into().map_err(|_| SecretError::Foreign)
}

fn make(data: &Path) -> anyhow::Result<[u8; SECRET_BYTES]> {
    let secret = std::array::from_fn(|_| random::byte());
    write(data, &secret)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::{Durability, SqliteStore};

    fn start(data: &Path) -> anyhow::Result<String> {
        let (read, mut write) = SqliteStore::open(data, Durability::Normal, 1)?;
        open(data, &*read, &mut *write).map(|secret| secret.fingerprint())
    }

    #[test]
    fn the_secret_is_made_once_for_its_owner_only() {
        let data = tempfile::tempdir().expect("a folder");
        let first = start(data.path()).expect("made");
        assert_eq!(start(data.path()).expect("read"), first);
        let mode = fs::metadata(data.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_secret_that_is_missing_or_another_one_stops_the_start() {
        let data = tempfile::tempdir().expect("a folder");
        start(data.path()).expect("made");
        let path = data.path().join(FILE);
        fs::remove_file(&path).expect("removed");
        assert!(start(data.path()).is_err_and(|error| error.to_string().contains("is missing")));
        fs::write(&path, [1; SECRET_BYTES]).expect("written");
        assert!(start(data.path()).is_err_and(|error| error.to_string().contains("another database")));
        fs::write(&path, [1; 5]).expect("written");
        assert!(start(data.path()).is_err_and(|error| error.to_string().contains("is not the secret")));
    }
}
