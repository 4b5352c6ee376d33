//! Which crates are compiled into a program, and what is known of each: from `cargo metadata`, `cargo tree` and
//! `Cargo.lock`.
//!
//! Called by `sbom` and `licences`, which describe what a release holds, and by `build` for where sources lie.
//! `cargo metadata` knows everything about every package, but not what a single program is made of: its features are
//! those of the whole workspace, tests included. That is what `cargo tree` is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::setup;

/// One crate of a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// What `Cargo.toml` names, an SPDX expression.
    pub(super) licence: String,
    pub(super) description: String,
    /// Whether it comes from the registry; else it is one of ours.
    pub(super) is_foreign: bool,
    /// The SHA-256 of what the registry gave, in hex.
    pub(super) checksum: Option<String>,
    /// Where its sources are.
    pub(super) folder: PathBuf,
    /// What it uses itself, as name and version.
    pub(super) uses: BTreeSet<(String, String)>,
}

/// What `cargo metadata` says of one target.
#[derive(Debug)]
pub(super) struct Metadata(Value);

impl Metadata {
    /// Asks cargo for the dependencies on one target.
    ///
    /// # Errors
    /// `Cargo.lock` does not fit the manifests, or a package cannot be fetched.
    pub(super) fn read(root: &Path, target: &str) -> anyhow::Result<Self> {
        let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform", target];
        let json = ask(root, &arguments)?;
        Ok(Self(serde_json::from_str(&json).context("cargo metadata is JSON")?))
    }

    /// The folders that hold the sources of packages which are not ours: one for each registry.
    pub(super) fn source_folders(&self) -> impl Iterator<Item = PathBuf> {
        let foreign = self.packages().filter(|package| !package["source"].is_null());
        foreign.filter_map(|package| Some(folder(package)?.parent()?.to_owned()))
    }

    /// The version of one of our crates.
    ///
    /// # Errors
    /// There is none of this name.
    pub(super) fn version(&self, name: &str) -> anyhow::Result<&str> {
        let package = self.packages().find(|package| package["name"] == name && package["source"].is_null());
        let version = package.and_then(|package| package["version"].as_str());
        version.with_context(|| format!("the workspace has no crate {name}"))
    }

    fn packages(&self) -> impl Iterator<Item = &Value> {
        self.0["packages"].as_array().into_iter().flatten()
    }

    /// What the wanted crates are, in the order of their names.
    fn crates(
        &self,
        wanted: &BTreeSet<(String, String)>,
        checksums: &Checksums,
    ) -> anyhow::Result<Vec<Crate>> {
        let mut names = BTreeMap::new();
        for package in self.packages() {
            names.insert(word(package, "id"), (word(package, "name"), word(package, "version")));
        }
        let mut uses = BTreeMap::new();
        for node in self.0["resolve"]["nodes"].as_array().into_iter().flatten() {
            uses.insert(word(node, "id"), used(node, &names, wanted));
        }
        let mut crates = Vec::new();
        for package in self.packages() {
            let key = (word(package, "name"), word(package, "version"));
            if wanted.contains(&key) {
                let checksum = checksums.get(&key).cloned();
                crates.push(describe(
                    package,
                    checksum,
                    uses.remove(&word(package, "id")).unwrap_or_default(),
                )?);
            }
        }
        crates.sort();
        if crates.len() != wanted.len() {
            bail!("cargo tree names {} crates, of which cargo metadata knows {}", wanted.len(), crates.len());
        }
        Ok(crates)
    }
}

/// The crates that are compiled into `package`, itself included, without what runs only while it is built: build
/// scripts and procedural macros.
///
/// # Errors
/// Cargo cannot say, or says what is not understood here.
pub(super) fn compiled(
    root: &Path,
    metadata: &Metadata,
    package: &str,
    target: &str,
) -> anyhow::Result<Vec<Crate>> {
    let arguments = ["tree", "--locked", "--package", package, "--target", target];
    let shape = ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"];
    let tree = ask(root, &[&arguments[..], &shape[..]].concat())?;
    let wanted = tree.lines().map(in_tree).collect::<Option<BTreeSet<_>>>();
    let wanted =
        wanted.with_context(|| format!("`cargo tree` printed something else than crates:\n{tree}"))?;
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock cannot be read")?;
    metadata.crates(&wanted, &checksums(&lock))
}

/// `serde v1.0.0 (*)` is serde, 1.0.0.
fn in_tree(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
}

/// What the registry's files hash to, by name and version.
type Checksums = BTreeMap<(String, String), String>;

/// Reads them from `Cargo.lock`, which cargo writes with one value a line.
fn checksums(lock: &str) -> Checksums {
    let value = |package: &str, name: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
        line.map(|rest| rest.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    let known = packages.filter_map(|package| {
        Some(((value(package, "name")?, value(package, "version")?), value(package, "checksum")?))
    });
    known.collect()
}

/// What a package uses in the program itself, not in its tests or while it is built, of those that are in the program.
fn used(
    node: &Value,
    names: &BTreeMap<String, (String, String)>,
    wanted: &BTreeSet<(String, String)>,
) -> BTreeSet<(String, String)> {
    let is_normal =
        |one: &&Value| one["dep_kinds"].as_array().into_iter().flatten().any(|kind| kind["kind"].is_null());
    let dependencies = node["deps"].as_array().into_iter().flatten().filter(is_normal);
    let used = dependencies.filter_map(|one| names.get(&word(one, "pkg")));
    used.filter(|name| wanted.contains(*name)).cloned().collect()
}

fn describe(
    package: &Value,
    checksum: Option<String>,
    uses: BTreeSet<(String, String)>,
) -> anyhow::Result<Crate> {
    Ok(Crate {
        name: word(package, "name"),
        version: word(package, "version"),
        licence: spdx(&word(package, "license")),
        description: word(package, "description").split_whitespace().collect::<Vec<_>>().join(" "),
        is_foreign: !package["source"].is_null(),
        checksum,
        folder: folder(package).context("a package has a manifest in a folder")?.to_owned(),
        uses,
    })
}

/// A license in today's spelling: `/` is an old one of `OR`.
fn spdx(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

/// A text of a JSON object; none is an empty one.
fn word(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_default().to_owned()
}

fn folder(package: &Value) -> Option<&Path> {
    Path::new(package["manifest_path"].as_str()?).parent()
}

/// What cargo prints for a question.
fn ask(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = setup::cargo(root).args(arguments).output().context("cargo cannot be started")?;
    if !output.status.success() {
        bail!("`cargo {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in super::super) fn key(name: &str) -> (String, String) {
        (name.to_owned(), "1.0.0".to_owned())
    }

    /// A crate of the registry, for what describes crates.
    pub(in super::super) fn foreign(name: &str, licence: &str, folder: &Path) -> Crate {
        Crate {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.to_owned(),
            description: String::new(),
            is_foreign: true,
            checksum: Some("ab".repeat(32)),
            folder: folder.to_owned(),
            uses: BTreeSet::new(),
        }
    }

    #[test]
    fn a_line_of_the_tree_is_a_name_and_a_version() {
        assert_eq!(in_tree("serde v1.0.0 (*)"), Some(key("serde")));
        assert_eq!(
            in_tree("thng-pubsub-protocol v1.0.0 (/somewhere/protocol)"),
            Some(key("thng-pubsub-protocol"))
        );
        assert_eq!(in_tree("[build-dependencies]"), None);
    }

    #[test]
    fn checksums_are_read_from_the_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"ours\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"serde\"\n\
                    version = \"1.0.0\"\nsource = \"registry+x\"\nchecksum = \"abc\"\ndependencies = [\n \"ours\",\n]\n";
        assert_eq!(checksums(lock), Checksums::from([(key("serde"), "abc".to_owned())]));
    }

    #[test]
    fn only_selected_run_time_crates_are_listed() {
        let package = |name: &str, source: Value| {
            json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source,
                "description": "Two\n  lines.", "manifest_path": format!("/registry/{name}-1.0.0/Cargo.toml")})
        };
        let uses =
            |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind, "target": null}]});
        let metadata = Metadata(json!({
            "packages": [package("server", Value::Null), package("log", json!("registry+x")), package("cc", json!("registry+x"))],
            "resolve": {"nodes": [
                {"id": "server", "deps": [uses("log", Value::Null), uses("cc", json!("build"))]},
                {"id": "log", "deps": []}
            ]}
        }));
        let wanted = BTreeSet::from([key("server"), key("log")]);
        let crates = metadata.crates(&wanted, &Checksums::new()).unwrap();
        assert_eq!(crates.len(), 2);
        assert_eq!((crates[0].name.as_str(), crates[0].licence.as_str()), ("log", "MIT OR Apache-2.0"));
        assert!(crates[0].is_foreign && !crates[1].is_foreign);
        assert_eq!(crates[1].description, "Two lines.");
        assert_eq!(crates[1].uses, BTreeSet::from([key("log")]));
        assert_eq!(metadata.version("server").unwrap(), "1.0.0");
        assert!(metadata.version("log").is_err(), "that one is not ours");
        assert!(metadata.source_folders().all(|folder| folder == Path::new("/registry")));

        let error =
            metadata.crates(&BTreeSet::from([key("gone")]), &Checksums::new()).unwrap_err().to_string();
        assert!(error.contains("knows 0"), "{error}");
    }
}
