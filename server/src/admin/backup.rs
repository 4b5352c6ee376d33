//! `backup` and `restore`: the whole database and `keys.secret` in one file, and a data folder made of it.

use std::{fs, path::Path};

use anyhow::{Context as _, anyhow, ensure};

use super::{
    output::{bytes, cannot_write, is_there_already, say, time},
    priority,
    progress::Progress,
};
use crate::{
    clock::Clock,
    config::administration::{Backup as BackupArguments, Restore},
    startup::key_secret,
    store::{Backup, BackupHeader, ReadOnlyDatabase, UnnamedDatabase},
};

/// Writes a backup of this moment, also while the server runs.
///
/// # Errors
/// A sentence; then there is no file.
pub(super) fn back_up(arguments: &BackupArguments) -> anyhow::Result<()> {
    let (data, file) = (arguments.data.path(), &arguments.file);
    let read_only = ReadOnlyDatabase::open(data)?;
    let speed = arguments.speed.speed();
    priority::adjust(speed);
    check_target(file)?;
    let known = read_only.meta(key_secret::META_KEY)?;
    let known =
        known.context("the server was never started on this database: there is nothing to back up")?;
    // Before the database: it never changes, and without it a backup could not be started.
    let secret = key_secret::read(data, &known)?.to_vec();
    let head = BackupHeader {
        created_at_ms: Clock::System.now_ms(),
        version: env!("CARGO_PKG_VERSION").into(),
        secret,
    };
    let progress = Progress::of_bytes("backing up");
    read_only.back_up(file, &head, speed, &mut |done, all| {
        progress.update(done, all);
        if done == all {
            progress.wait("checking");
        }
    })?;
    let size = fs::metadata(file).map_or(0, |file| file.len());
    say(&format!("{}: {} in {}, checked", file.display(), bytes(size), progress.end()));
    Ok(())
}

/// Refuses a file that is there, and one whose folder is not, in the words of `export`.
fn check_target(file: &Path) -> anyhow::Result<()> {
    ensure!(fs::symlink_metadata(file).is_err(), is_there_already(file));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::metadata(folder.join(".")).map(drop).with_context(|| cannot_write(file))
}

/// Makes a data folder of a backup.
///
/// # Errors
/// A sentence; then the folder is as it was.
pub(super) fn restore(arguments: &Restore) -> anyhow::Result<()> {
    let (data, file) = (arguments.data.path(), &arguments.file);
    let backup = Backup::open(file).map_err(|error| {
        anyhow::Error::new(error).context(format!("{} cannot be restored", file.display()))
    })?;
    // First of all: killed while it checks, it must not look like a folder that nothing was restored to.
    let database = UnnamedDatabase::claim(data)?;
    let progress = Progress::of_bytes("restoring");
    progress.wait("checking");
    backup.check()?;
    let BackupHeader { created_at_ms, version, secret } = backup.head().clone();
    let secret = secret.try_into().map_err(|_| anyhow!("{}: the secret in it is none", file.display()))?;
    let known = backup.meta(key_secret::META_KEY)?;
    ensure!(
        known.is_some_and(|known| key_secret::fits(&secret, &known)),
        "{}: the secret in it belongs to another database",
        file.display()
    );
    key_secret::ensure_no_other(data, &secret)?;
    let layout = backup.layout();
    let copying = Progress::of_bytes("restoring");
    let took = progress.end();
    let mut made = backup.restore(database, &mut |done, all| copying.update(done, all))?;
    let is_new = key_secret::write(data, &secret)?;
    made.finish().inspect_err(|_| {
        if is_new {
            key_secret::remove(data)
        }
    })?;
    say(&format!(
        "{}: the backup of {} UTC (version {version}, layout {layout}) is in {}; checked in {took}, copied in {}.\n\
         Start it with `thng-pubsub-server serve --data {}`, as the user who owns the folder.",
        file.display(),
        time(created_at_ms),
        data.display(),
        copying.end(),
        data.display()
    ));
    Ok(())
}
