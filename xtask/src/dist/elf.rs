//! Reads the requirements of a program on its machine: shared libraries, and the least version of glibc.
//!
//! Called by `dist`, which ships nothing that needs more than glibc, and by `deb`, whose dependency it is. It is read
//! from the file itself, so that neither `ldd` nor `readelf` has to be there.

use std::path::Path;

use anyhow::{Context, bail};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::FileHeader as _;

/// The libraries of glibc itself, by the beginning of their names: every Linux with glibc has them.
const GLIBC: [&str; 8] =
    ["ld-linux", "ld64.so", "libc.so", "libdl.so", "libm.so", "libpthread.so", "libresolv.so", "librt.so"];

/// What a program needs to be started.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    libraries: Vec<String>,
    /// The newest version of glibc that one of its symbols was added or changed in, such as (2, 34).
    glibc: (u32, u32),
}

impl Needs {
    /// Reads them from a program's file.
    ///
    /// # Errors
    /// It is no ELF file of 64 bits, or a damaged one.
    pub(super) fn read(path: &Path, program: &[u8]) -> anyhow::Result<Self> {
        Self::parse(program).with_context(|| format!("{} is no Linux program of 64 bits", path.display()))
    }

    fn parse(program: &[u8]) -> anyhow::Result<Self> {
        let header = FileHeader64::<Endianness>::parse(program)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, program)?;
        let dynamic = sections.dynamic_table(endian, program)?;
        let mut libraries = Vec::new();
        for entry in dynamic.iter().filter(|entry| entry.tag == DT_NEEDED) {
            libraries.push(String::from_utf8_lossy(dynamic.string(entry)?).into_owned());
        }
        let mut glibc = (0, 0);
        if let Some((mut files, strings)) = sections.gnu_verneed(endian, program)? {
            let strings = sections.strings(endian, program, strings)?;
            while let Some((_, mut versions)) = files.next()? {
                while let Some(version) = versions.next()? {
                    glibc = glibc.max(glibc_version(version.name(endian, strings)?).unwrap_or_default());
                }
            }
        }
        Ok(Self { libraries, glibc })
    }

    /// The glibc that it needs at least, as `2.34`.
    pub(super) fn glibc(&self) -> String {
        format!("{}.{}", self.glibc.0, self.glibc.1)
    }

    /// Whether nothing but glibc is needed.
    ///
    /// # Errors
    /// It is not; the message names what else would have to be installed.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let is_glibc = |library: &&String| GLIBC.iter().any(|name| library.starts_with(name));
        let others: Vec<&str> =
            self.libraries.iter().filter(|one| !is_glibc(one)).map(String::as_str).collect();
        if others.is_empty() {
            return Ok(());
        }
        bail!(
            "the program needs {}, and a release may need glibc only: link it statically \
             (xtask/src/dist/build.rs says how that is done with libgcc)",
            others.join(", ")
        )
    }
}

/// `GLIBC_2.34` is (2, 34), and so is `GLIBC_2.34.1`; other names are no version of glibc.
fn glibc_version(name: &[u8]) -> Option<(u32, u32)> {
    let mut numbers = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(libraries: &[&str]) -> Needs {
        Needs { libraries: libraries.iter().map(|&name| name.to_owned()).collect(), glibc: (2, 34) }
    }

    #[test]
    fn this_very_program_needs_a_glibc() {
        let path = std::env::current_exe().unwrap();
        let needs = Needs::read(&path, &std::fs::read(&path).unwrap()).unwrap();
        assert!(needs.libraries.iter().any(|name| name.starts_with("libc.so")), "{needs:?}");
        assert!(needs.glibc > (2, 2), "{needs:?}");
    }

    #[test]
    fn what_is_not_of_glibc_is_refused_by_name() {
        needs(&["libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"]).check().unwrap();
        let error = needs(&["libc.so.6", "libgcc_s.so.1", "libssl.so.3"]).check().unwrap_err().to_string();
        assert!(error.contains("libgcc_s.so.1, libssl.so.3"), "{error}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(glibc_version(b"GLIBC_2.34") > glibc_version(b"GLIBC_2.4"));
        assert_eq!(glibc_version(b"GLIBC_2.2.5"), Some((2, 2)));
        assert_eq!(glibc_version(b"GCC_3.0"), None);
        assert_eq!(needs(&[]).glibc(), "2.34");
    }

    #[test]
    fn other_files_are_no_programs() {
        let error = Needs::read(Path::new("notes.txt"), b"#!/bin/sh\n").unwrap_err().to_string();
        assert!(error.contains("notes.txt"), "{error}");
    }
}
