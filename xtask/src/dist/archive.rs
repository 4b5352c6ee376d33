//! Packs files so that the same files give the same bytes: `.tar.gz`, and the `ar` that a Debian package is.
//!
//! Called by `dist` and `deb`. Nothing is read from the disk here: a [`Tree`] holds bytes and modes, so that neither
//! the umask nor the owner of a checkout gets into a release. Every file belongs to root and has the date of the last
//! commit.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use anyhow::ensure;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The mode of a file that every user may read.
pub(super) const FILE: u32 = 0o644;

/// The mode of a file that every user may run.
pub(super) const PROGRAM: u32 = 0o755;

/// The mode of a file that only its group may read besides its owner.
pub(super) const PRIVATE: u32 = 0o640;

/// Files to be packed, by their paths, which are relative and name no `..`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, File>,
}

#[derive(Debug)]
struct File {
    mode: u32,
    bytes: Vec<u8>,
}

impl Tree {
    /// Adds a file; the folders above it come by themselves.
    pub(super) fn add(&mut self, path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), File { mode, bytes: bytes.into() });
    }

    /// What the files take on a disk, in KiB, as Debian counts it: each rounded up, and one for each folder.
    pub(super) fn kib(&self) -> usize {
        let files: usize = self.files.values().map(|file| file.bytes.len().div_ceil(1024)).sum();
        files + self.folders().len()
    }

    /// All folders above the files, each after the one that it is in.
    fn folders(&self) -> BTreeSet<&str> {
        self.files.keys().flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at])).collect()
    }

    /// The files as a tar, compressed with gzip. `root` comes before every path: `./`, or the name of a folder and `/`.
    ///
    /// # Errors
    /// A path has 100 bytes or more, which does not fit into this format.
    pub(super) fn tar_gz(&self, root: &str, date: u64) -> anyhow::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(gzip());
        let mut add = |path: &str, kind, mode, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            let ustar = header.as_ustar_mut().expect("it was made as one");
            ensure!(path.len() < ustar.name.len(), "{path} is too long for a tar");
            // `set_path` would take the `./` away, which Debian's tools expect.
            ustar.name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_username("root")?;
            header.set_groupname("root")?;
            header.set_mtime(date);
            header.set_size(u64::try_from(bytes.len())?);
            header.set_cksum();
            tar.append(&header, bytes)?;
            anyhow::Ok(())
        };
        add(root, tar::EntryType::Directory, PROGRAM, &[])?;
        for folder in self.folders() {
            add(&format!("{root}{folder}/"), tar::EntryType::Directory, PROGRAM, &[])?;
        }
        for (path, file) in &self.files {
            add(&format!("{root}{path}"), tar::EntryType::Regular, file.mode, &file.bytes)?;
        }
        Ok(tar.into_inner()?.finish()?)
    }
}

/// Compresses one file, without its name or date.
pub(super) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = gzip();
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
}

fn gzip() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::best())
}

/// An `ar` of a few small names, which is a head of 60 bytes before each file.
///
/// The crates for this format write the tables of a linker's archives, which a Debian package must not have, or have
/// had no maintainer for years.
pub(super) fn ar(members: &[(&str, &[u8])], date: u64) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        let size = bytes.len();
        archive.extend(format!("{name:<16}{date:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, "100644").bytes());
        archive.extend_from_slice(bytes);
        // Every head begins at an even offset.
        if size % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read as _;

    /// What is in a tar: path, mode, owner and content.
    fn read(packed: &[u8]) -> Vec<(String, u32, u64, String)> {
        let mut archive = tar::Archive::new(GzDecoder::new(packed));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            (path, entry.header().mode().unwrap(), entry.header().uid().unwrap(), content)
        });
        entries.collect()
    }

    #[test]
    fn a_tar_has_its_folders_first_and_everything_is_roots() {
        let mut tree = Tree::default();
        tree.add("usr/bin/server", PROGRAM, "x");
        tree.add("etc/server.toml", PRIVATE, "y");
        let folder = |path: &str| (path.to_owned(), 0o755, 0, String::new());
        let file = |path: &str, mode, content: &str| (path.to_owned(), mode, 0, content.to_owned());
        assert_eq!(
            read(&tree.tar_gz("./", 1).unwrap()),
            [
                folder("./"),
                folder("./etc/"),
                folder("./usr/"),
                folder("./usr/bin/"),
                file("./etc/server.toml", 0o640, "y"),
                file("./usr/bin/server", 0o755, "x")
            ]
        );
    }

    #[test]
    fn the_same_files_in_any_order_make_the_same_bytes() {
        let (mut one, mut other) = (Tree::default(), Tree::default());
        one.add("a", FILE, "1");
        one.add("b/c", FILE, "2");
        other.add("b/c", FILE, "2");
        other.add("a", FILE, "1");
        assert_eq!(one.tar_gz("x/", 7).unwrap(), other.tar_gz("x/", 7).unwrap());
        assert_ne!(one.tar_gz("x/", 7).unwrap(), one.tar_gz("x/", 8).unwrap());
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused_by_name() {
        let mut tree = Tree::default();
        tree.add("n".repeat(120), FILE, "");
        assert!(tree.tar_gz("./", 0).unwrap_err().to_string().contains("nnn"));
    }

    #[test]
    fn sizes_are_rounded_up_to_whole_kib() {
        let mut tree = Tree::default();
        tree.add("a/b/one", FILE, vec![0; 1025]);
        assert_eq!(tree.kib(), 2 + 2);
    }

    #[test]
    fn an_ar_has_60_byte_heads_and_even_offsets() {
        let archive = ar(&[("debian-binary", b"2.0\n"), ("odd", b"x"), ("last", b"")], 12);
        let text = String::from_utf8(archive).unwrap();
        assert!(text.starts_with(
            "!<arch>\ndebian-binary   12          0     0     100644  4         `\n2.0\nodd             12 "
        ));
        assert_eq!(text.find("last"), Some(8 + 60 + 4 + 60 + 2));
        assert_eq!(text.len(), 8 + 3 * 60 + 4 + 2);
    }

    #[test]
    fn what_was_compressed_is_read_again() {
        let mut text = String::new();
        GzDecoder::new(gz(b"hello").as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
}
