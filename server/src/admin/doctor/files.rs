//! The data folder: its owner, its permissions, and the free space.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use super::Report;
use crate::{admin::output::bytes, startup::key_secret, store};

/// Below this a server stops to take writes soon: its log alone may have half as much.
const ROOM_MIN: u64 = 256 << 20;

/// Permissions of group and others.
const OTHERS: u32 = 0o077;

pub(super) fn check(report: &mut Report, data: &Path) {
    let place = data.display();
    let folder = match fs::metadata(data) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return report.problem(
                "folder",
                format!("{place} is not there"),
                "start the server once, which makes it, or give the right --data",
            );
        }
        Err(error) => {
            return report.problem(
                "folder",
                format!("{place}: {error}"),
                "run this as the user of the server, or give that user the folder",
            );
        }
    };
    if !folder.is_dir() {
        return report.problem("folder", format!("{place} is no folder"), "give the right --data");
    }
    match folder.mode() & 0o777 {
        mode if mode & OTHERS == 0 => report.ok("folder", format!("{place} is its owner's alone")),
        mode => report.warning(
            "folder",
            format!("{place} has mode {mode:o}: others may look into it"),
            format!("chmod 700 {place}"),
        ),
    }
    entries(report, data, folder.uid());
    free_space(report, data);
    file_system(report, data);
}

/// Every file of the server's: its owner and mode.
fn entries(report: &mut Report, data: &Path, owner: u32) {
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) => {
            return report.problem(
                "files",
                format!("{}: {error}", data.display()),
                "run this as the user of the server, or give that user the folder",
            );
        }
    };
    let (mut looked_at, mut strange) = (0, 0);
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(file) = entry.metadata() else { continue };
        let is_ours = name.to_string_lossy().starts_with("thng-pubsub.")
            || [key_secret::FILE, "operator.key", "admin.sock"].iter().any(|own| name == *own);
        if !is_ours {
            continue;
        }
        looked_at += 1;
        if file.uid() != owner {
            strange += 1;
            report.problem(
                "files",
                format!("{} belongs to user {}, the folder to user {owner}", path.display(), file.uid()),
                format!("chown {owner} {}", path.display()),
            );
        }
        if file.mode() & OTHERS != 0 {
            strange += 1;
            report.problem(
                "files",
                format!("{} has mode {:o}: others can use it", path.display(), file.mode() & 0o777),
                format!("chmod 600 {}", path.display()),
            );
        }
    }
    if strange == 0 {
        report.ok("files", format!("{looked_at} files are their owner's alone"));
    }
}

fn free_space(report: &mut Report, data: &Path) {
    let free = match rustix::fs::statvfs(data) {
        Ok(volume) => volume.f_bavail.saturating_mul(volume.f_frsize),
        Err(error) => {
            return report.warning("disk", format!("its free space is unknown: {error}"), "look with `df`");
        }
    };
    let size = store::sizes(data).map_or(0, |sizes| sizes.database);
    let found = format!("{} free, the database has {}", bytes(free), bytes(size));
    if free < ROOM_MIN {
        report.problem("disk", found, "free space: without it writes are refused with 503");
    } else if free < size {
        report.warning("disk", found, "free space: a backup does not fit beside the database");
    } else {
        report.ok("disk", found);
    }
}

/// SQLite needs locks and syncs that network file systems do not always give.
#[cfg(target_os = "linux")]
fn file_system(report: &mut Report, data: &Path) {
    /// By the numbers of the kernel's `magic.h`.
    const NETWORKED: [(u32, &str); 7] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xfe53_4d42, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x0102_1997, "9P"),
    ];
    const FUSE: u32 = 0x6573_5546;
    let Ok(system) = rustix::fs::statfs(data) else { return };
    // The numbers have 32 bits; the field is wider on some machines, and signed.
    let kind = system.f_type as u32;
    match NETWORKED.iter().find(|(number, _)| *number == kind) {
        Some((_, name)) => report.problem(
            "file system",
            format!("the data folder is on {name}"),
            "move it to a local disk: a network file system loses writes that were acknowledged",
        ),
        None if kind == FUSE => report.warning(
            "file system",
            "the data folder is on a FUSE file system",
            "see to it that it locks and syncs like a local disk",
        ),
        None => report.ok("file system", "the data folder is on a local disk"),
    }
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &mut Report, _: &Path) {}
