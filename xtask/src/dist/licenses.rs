//! Collects the licenses of all crates in the program, because most require that their text comes with it.
//!
//! Called by `dist`. The texts are those in the crates' sources, each once, with the names of all crates under it. The
//! packages of npm that the program serves carry their own.
//!
//! cargo-about does this for crates, but a new machine would compile 115 crates for it, which takes minutes. The texts
//! are in sources that the build has fetched anyway.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

use super::crates::Crate;

/// Beginnings of names of files with a license, in capitals.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// Where they are in the folder of a crate; below `jemalloc` is the C library that a crate of ours brings.
const FOLDERS: [&str; 2] = ["", "jemalloc"];

/// What a release says about the work of others.
///
/// # Errors
/// The sources of a crate cannot be read.
pub(super) fn document<'a>(crates: impl Iterator<Item = &'a Crate>) -> anyhow::Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut without = Vec::new();
    let mut names = Vec::new();
    for one in crates.filter(|one| one.is_foreign) {
        let name = format!("{} {}", one.name, one.version);
        let found = texts_of(&one.folder)
            .with_context(|| format!("the license of {name} is not in {}", one.folder.display()))?;
        if found.is_empty() {
            without.push(format!("{name} ({})", one.licence));
        }
        for text in found {
            let users = texts.entry(text).or_default();
            // Both programs may have the crate, and a crate the same text twice.
            if !users.contains(&name) {
                users.push(name.clone());
            }
        }
        names.push(format!("{name}: {}", one.licence));
    }
    names.sort();
    names.dedup();
    without.sort();
    without.dedup();
    Ok(write(&names, &without, texts))
}

fn write(names: &[String], without: &[String], texts: BTreeMap<String, Vec<String>>) -> String {
    let mut document = String::from(
        "thng-pubsub is under the Apache License 2.0. Its program contains the work of others, under these licenses:\n\n",
    );
    for name in names {
        let _ = writeln!(document, "  {name}");
    }
    if !without.is_empty() {
        document += "\nThese name their license and bring no text of it:\n\n";
        for name in without {
            let _ = writeln!(document, "  {name}");
        }
    }
    document += "\nRust's standard library is under MIT OR Apache-2.0, as most of these are. SQLite, which libsqlite3-sys \
                 brings, is in\nthe public domain. libgcc is under the GPL with the exception that lets any program \
                 contain it.\n";
    let mut texts: Vec<_> = texts.into_iter().map(|(text, users)| (users, text)).collect();
    texts.sort();
    for (users, text) in texts {
        let line = "=".repeat(80);
        let _ = write!(document, "\n{line}\n{}\n{line}\n\n{text}\n", users.join(", "));
    }
    document
}

/// The texts of the files of a crate that have the name of a license.
fn texts_of(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    for folder in FOLDERS.map(|below| folder.join(below)).iter().filter(|folder| folder.is_dir()) {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_uppercase();
            if path.is_file() && NAMES.iter().any(|beginning| name.starts_with(beginning)) {
                texts.push(tidy(&String::from_utf8_lossy(&std::fs::read(&path)?)));
            }
        }
    }
    texts.sort();
    Ok(texts)
}

/// Without what differs between copies of the same text: ends of lines, and empty lines around it.
fn tidy(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::crates::tests::foreign;
    use super::*;

    #[test]
    fn a_shared_license_text_appears_once_with_all_names() {
        let folder = tempfile::tempdir().unwrap();
        for (name, file, text) in [
            ("a", "LICENSE-MIT", "Be kind. \r\n"),
            ("b", "license.md", "\nBe kind.\n"),
            ("c", "README.md", "LICENSE"),
        ] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join(file), text).unwrap();
        }
        let crates = ["a", "b", "c", "a"].map(|name| foreign(name, "MIT", &folder.path().join(name)));
        let text = document(crates.iter()).unwrap();
        assert_eq!(text.matches("Be kind.").count(), 1);
        assert!(text.contains("a 1.0.0, b 1.0.0\n="), "{text}");
        assert!(text.contains("bring no text of it:\n\n  c 1.0.0 (MIT)\n"), "{text}");
        assert_eq!(text.matches("a 1.0.0: MIT").count(), 1);
    }

    #[test]
    fn our_own_crates_are_not_the_work_of_others() {
        let ours = Crate { is_foreign: false, ..foreign("ours", "Apache-2.0", Path::new("nowhere")) };
        assert!(!document([ours].iter()).unwrap().contains("ours"));
    }
}
