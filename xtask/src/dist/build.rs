//! Builds the program that is shipped: the `dist` profile, nothing but glibc to link against, and no folder of the
//! machine that built it inside.
//!
//! Called by `dist`, after the SDK and the examples were built, which are inside the program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::crates::Metadata;
use crate::npm;
use crate::setup;
use crate::step::{Log, announce, stream};

/// Builds SDK, examples and server, and returns the server's binary.
///
/// # Errors
/// Something that is needed is not installed, or one of them does not build.
pub(super) fn build(root: &Path, metadata: &Metadata, log: &mut Log) -> anyhow::Result<PathBuf> {
    setup::node()?;
    setup::wasm_target(root, log)?;
    setup::npm_packages(&root.join("npm"), log)?;
    announce("building the SDK (some minutes the first time)");
    let tarball = npm::build(root)?;
    npm::build_examples(root, &tarball, log)?;
    announce("building the server to be shipped (ten minutes and more the first time)");
    let host = host(root)?;
    let mut cargo = setup::cargo(root);
    cargo.args(["build", "--locked", "--package", "thng-pubsub-server", "--bin", "thng-pubsub-server"]);
    // With a target the flags are those of the program alone, and not of what runs while it is built.
    cargo.args(["--profile", "dist", "--target", &host]);
    let folders = folders(root, metadata);
    // This variable wins over every other place where flags may be set, so that they are these and no others.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&folders)?);
    if let Some(flags) = c_flags(&folders) {
        cargo.env("CFLAGS", flags);
    }
    stream(&mut cargo, log)?;
    Ok(setup::target_dir(root).join(&host).join("dist/thng-pubsub-server"))
}

/// The target that a program for this machine is built for.
///
/// # Errors
/// There is no rustc, or it builds for something else than Linux with glibc.
pub(super) fn host(root: &Path) -> anyhow::Result<String> {
    let printed = Command::new("rustc").arg("-vV").current_dir(root).output();
    let printed = printed.context("rustc is not installed; install Rust from https://rustup.rs")?;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    if !host.contains("-linux-gnu") {
        bail!("releases are made on Linux with glibc, and this machine's rustc builds for `{host}`");
    }
    Ok(host)
}

/// Folders of this machine, and their names in the program. Later folders are inside earlier ones.
fn folders(root: &Path, metadata: &Metadata) -> Vec<(PathBuf, &'static str)> {
    let mut folders = vec![(root.to_owned(), "thng-pubsub"), (setup::target_dir(root), "target")];
    let registries: BTreeSet<PathBuf> = metadata.source_folders().collect();
    folders.extend(registries.into_iter().map(|folder| (folder, "cargo")));
    folders
}

/// Where the linker finds a `libgcc_s` that is the static libgcc.
///
/// The standard library asks for `-lgcc_s`, the shared one that unwinds a panicking stack, whatever `-static-libgcc`
/// says. It is a package of its own, which small images do not have. What is in this folder takes its place, in the way
/// in which glibc's own `libc.so` names others. The path is relative, because cargo makes names of symbols from flags,
/// which have to be the same on every machine. It is that from the root of the workspace, where rustc links.
const STATIC_LIBGCC: &str = "-Lnative=packaging/static-libgcc";

/// rustc's flags, separated as cargo wants them.
fn rust_flags(folders: &[(PathBuf, &str)]) -> anyhow::Result<String> {
    let mut flags = vec![STATIC_LIBGCC.to_owned()];
    for (folder, name) in folders {
        let folder = folder.to_str().with_context(|| format!("{} is not UTF-8", folder.display()))?;
        flags.push(format!("--remap-path-prefix={folder}={name}"));
    }
    Ok(flags.join("\x1f"))
}

/// The C compiler's flags, to which it adds its own. There are none where a folder has a space in its name, which would
/// end a flag early: then assertions of SQLite and jemalloc name that folder.
fn c_flags(folders: &[(PathBuf, &str)]) -> Option<String> {
    let flag = |(folder, name): &(PathBuf, &str)| {
        let folder = folder.to_str().filter(|text| !text.contains(char::is_whitespace))?;
        Some(format!("-ffile-prefix-map={folder}={name}"))
    };
    let flags = folders.iter().map(flag).collect::<Option<Vec<_>>>()?.join(" ");
    let before = std::env::var_os("CFLAGS").and_then(|flags| flags.into_string().ok());
    Some(before.map_or_else(|| flags.clone(), |before| format!("{before} {flags}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders() -> Vec<(PathBuf, &'static str)> {
        vec![(PathBuf::from("/a"), "thng-pubsub"), (PathBuf::from("/b/src"), "cargo")]
    }

    #[test]
    fn no_folder_of_the_machine_is_left_in_the_program() {
        let flags = rust_flags(&folders()).unwrap();
        assert_eq!(
            flags.split('\x1f').collect::<Vec<_>>(),
            [STATIC_LIBGCC, "--remap-path-prefix=/a=thng-pubsub", "--remap-path-prefix=/b/src=cargo"]
        );
        let flags = c_flags(&folders()).unwrap();
        assert!(
            flags.ends_with("-ffile-prefix-map=/a=thng-pubsub -ffile-prefix-map=/b/src=cargo"),
            "{flags}"
        );
    }

    #[test]
    fn the_folder_of_the_static_libgcc_is_where_the_flag_says() {
        let folder = STATIC_LIBGCC.strip_prefix("-Lnative=").unwrap();
        assert!(setup::root().join(folder).join("libgcc_s.so").is_file());
    }

    #[test]
    fn a_folder_with_a_space_leaves_the_c_compiler_alone() {
        assert_eq!(c_flags(&[(PathBuf::from("/a b"), "thng-pubsub")]), None);
    }
}
