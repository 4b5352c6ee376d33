//! Writes files that survive a loss of power, with their names.
//!
//! A file whose bytes are synced is lost all the same while the folder that names it is not.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Behind the name of a file that is not whole yet.
const PART_SUFFIX: &str = ".part";

/// Writes a file whole or not at all, instead of the one that has the name.
///
/// # Errors
/// Those of the file system; a file that was there before is then as it was.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let part = part(path);
    // What a crash has left would keep its mode, and may be a file that others can read.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.write(true).create_new(true).open(&part)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&part, path))
        .inspect_err(|_| drop(fs::remove_file(&part)))?;
    sync_folder_of(path)
}

/// What [`write()`] calls a file before it is whole.
pub fn part(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(PART_SUFFIX);
    name.into()
}

/// Puts the name of a file on the disk.
///
/// # Errors
/// Those of the file system: then a loss of power may take the file.
pub fn sync_folder_of(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), sync_folder)
}

/// Puts the names in a folder on the disk.
///
/// # Errors
/// Those of the file system.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_whatever_a_crash_has_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "before").expect("a file");
        fs::write(part(&path), "half").expect("a file");
        fs::set_permissions(part(&path), fs::Permissions::from_mode(0o666)).expect("it is ours");
        write(&path, b"after", 0o600).expect("written");
        assert_eq!(fs::read(&path).expect("a file"), b"after");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert!(!part(&path).exists());
    }
}
