//! The secret that keys are made from which are shown again: made at the first start, kept beside the database.
//!
//! It is a file of its own, so that the database, or a backup of it, opens nothing by itself. The database remembers
//! which secret it belongs to; with another one every such key would be shown wrong.

use std::{
    fs::OpenOptions,
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, ensure};

use crate::{
    auth::keys::{KeySecret, SECRET_BYTES},
    random,
    store::{ReadStore, WriteStore},
};

/// Readable by its owner only.
const FILE: &str = "keys.secret";

/// Under which name the database remembers the secret's fingerprint.
const NOTE: &str = "key-secret";

/// Reads the secret, or makes it where there is none yet.
pub(super) fn open(
    data: &Path,
    read: &dyn ReadStore,
    write: &mut dyn WriteStore,
) -> anyhow::Result<KeySecret> {
    let path = data.join(FILE);
    let known = read.note(NOTE)?;
    let secret = match OpenOptions::new().read(true).open(&path) {
        Ok(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
            let bytes: [u8; SECRET_BYTES] = bytes.try_into().ok().with_context(|| {
                format!(
                    "{} is not the secret that this program wrote: restore it from a backup",
                    path.display()
                )
            })?;
            KeySecret::new(bytes)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && known.is_none() => make(&path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => anyhow::bail!(
            "{} is missing: the keys of applications, users and devices are made from it. Restore it from a backup",
            path.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let fingerprint = secret.fingerprint();
    match known {
        Some(known) => ensure!(
            known == fingerprint,
            "{} belongs to another database: the keys of this one were made from another secret. Restore the right one \
             from a backup",
            path.display()
        ),
        None => {
            write.begin()?;
            write.put_note(NOTE, &fingerprint)?;
            write.commit()?;
            write.disk_sync().sync()?;
        }
    }
    Ok(secret)
}

fn make(path: &Path) -> anyhow::Result<KeySecret> {
    let bytes: [u8; SECRET_BYTES] = std::array::from_fn(|_| random::byte());
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(KeySecret::new(bytes))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

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
