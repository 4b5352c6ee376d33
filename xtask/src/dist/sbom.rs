//! The bill of materials of a release: everything that is inside the program, as CycloneDX 1.6 in JSON.
//!
//! Called by `dist`. A program contains the server's crates with two C libraries, the SDK as a WebAssembly module with
//! crates of its own, and packages of npm that it serves. The document follows from them and the date alone, so that
//! the same sources give the same bytes.
//!
//! cargo-cyclonedx describes one graph of crates in CycloneDX 1.5 at most. It does not see the files that the program
//! serves, nor the C libraries, whose names scanners look for.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::crates::Crate;
use super::packages::Package;

/// What is inside a program.
#[derive(Debug)]
pub(super) struct Inside {
    /// The crates of the server, itself among them.
    pub(super) server: Vec<Crate>,
    /// The crates of the SDK's module, itself among them.
    pub(super) module: Vec<Crate>,
    /// The SDK's version.
    pub(super) sdk: String,
    /// What others wrote and the program serves.
    pub(super) packages: Vec<Package>,
}

/// The crates that everything else is inside of.
const SERVER: &str = "thng-pubsub-server";
const MODULE: &str = "thng-pubsub-wasm";

/// A part of the document: what it is, and the references to what it uses.
#[derive(Debug)]
struct Part {
    component: Value,
    uses: BTreeSet<String>,
}

/// The document. `date` is in seconds since 1970, `compiler` what `rustc --version` says.
///
/// # Errors
/// The date is none, or the server is not among its crates.
pub(super) fn document(inside: &Inside, date: u64, compiler: &str) -> anyhow::Result<String> {
    let mut parts = BTreeMap::new();
    for one in inside.server.iter().chain(&inside.module) {
        // What both programs use is one part, which uses what it uses in either.
        let part = parts.entry(reference(one)).or_insert_with(|| describe(one));
        part.uses.extend(one.uses.iter().map(|(name, version)| {
            let is_it = |used: &&Crate| used.name == *name && used.version == *version;
            inside.server.iter().chain(&inside.module).find(is_it).map_or_else(String::new, reference)
        }));
    }
    for one in &inside.server {
        if let Some((name, part)) = c_library(one) {
            if let Some(brings) = parts.get_mut(&reference(one)) {
                brings.uses.insert(name.clone());
            }
            parts.insert(name, part);
        }
    }
    let mut served = BTreeSet::new();
    let module = inside.module.iter().find(|one| one.name == MODULE);
    let (purl, part) = sdk(&inside.sdk, module);
    served.insert(purl.clone());
    parts.insert(purl, part);
    for package in &inside.packages {
        let purl = npm_purl(package);
        served.insert(purl.clone());
        parts.insert(purl.clone(), of_npm(package, &purl));
    }

    let server =
        inside.server.iter().find(|one| one.name == SERVER).context("the server is a crate of itself")?;
    let mut server = parts.remove(&reference(server)).context("each crate is a part")?;
    server.uses.extend(served);
    server.component["type"] = json!("application");
    let when = jiff::Timestamp::from_second(i64::try_from(date)?)?.to_string();
    finish(&server, &parts, &when, compiler)
}

/// Puts the document together, and gives it a number that follows from all the rest.
fn finish(
    server: &Part,
    parts: &BTreeMap<String, Part>,
    when: &str,
    compiler: &str,
) -> anyhow::Result<String> {
    let depends = |part: &Part| json!({"ref": part.component["bom-ref"], "dependsOn": part.uses});
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": when,
            "tools": {"components": [{"type": "application", "name": "cargo xtask dist"}]},
            "component": server.component,
            "properties": [{"name": "thng-pubsub:compiler", "value": compiler}],
        },
        "components": parts.values().map(|part| &part.component).collect::<Vec<_>>(),
        "dependencies": std::iter::once(server).chain(parts.values()).map(depends).collect::<Vec<_>>(),
    });
    document["serialNumber"] = json!(format!("urn:uuid:{}", uuid(document.to_string().as_bytes())));
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// A UUID of version 8, which is for values from other sources than time and chance: here a hash.
fn uuid(content: &[u8]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(content)[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = super::hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn describe(one: &Crate) -> Part {
    let purl = reference(one);
    let mut component = component("library", &one.name, &one.version, &purl);
    add_licence(&mut component, &one.licence);
    if !one.description.is_empty() {
        component["description"] = json!(one.description);
    }
    if let Some(checksum) = &one.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    Part { component, uses: BTreeSet::new() }
}

/// The package URL of a crate. One of ours is in no registry, and must not be confused with a crate that is published
/// there under the same name.
fn reference(one: &Crate) -> String {
    let kind = if one.is_foreign { "cargo" } else { "generic" };
    format!("pkg:{kind}/{}@{}", one.name, one.version.replace('+', "%2B"))
}

/// The C library that a crate brings and compiles: those who look for known flaws look for its name, not the crate's.
fn c_library(one: &Crate) -> Option<(String, Part)> {
    let (name, version, licence, cpe) = match one.name.as_str() {
        "libsqlite3-sys" => {
            let header = std::fs::read_to_string(one.folder.join("sqlite3/sqlite3.h")).ok()?;
            let line = header.lines().find_map(|line| line.strip_prefix("#define SQLITE_VERSION "))?;
            ("sqlite", line.trim().trim_matches('"').to_owned(), "blessing", "sqlite:sqlite")
        }
        // `0.6.1+5.3.0-1-ge13ca99`: behind the plus is what was taken from jemalloc's repository.
        "tikv-jemalloc-sys" => {
            let version = one.version.split_once('+')?.1.split('-').next()?.to_owned();
            ("jemalloc", version, "BSD-2-Clause", "jemalloc:jemalloc")
        }
        _ => return None,
    };
    let purl = format!("pkg:generic/{name}@{version}");
    let mut component = component("library", name, &version, &purl);
    add_licence(&mut component, licence);
    component["cpe"] = json!(format!("cpe:2.3:a:{cpe}:{version}:*:*:*:*:*:*:*"));
    Some((purl, Part { component, uses: BTreeSet::new() }))
}

/// The SDK, as the program serves it: JavaScript around the module.
fn sdk(version: &str, module: Option<&Crate>) -> (String, Part) {
    let purl = format!("pkg:generic/thng-pubsub@{version}");
    let mut component = component("library", "thng-pubsub", version, &purl);
    component["description"] = json!("The SDK for web pages, which the server serves");
    add_licence(&mut component, "Apache-2.0");
    (purl, Part { component, uses: module.map(reference).into_iter().collect() })
}

fn of_npm(package: &Package, purl: &str) -> Part {
    let mut component = component("library", &package.name, &package.version, purl);
    add_licence(&mut component, &package.licence);
    if let Some(checksum) = &package.checksum {
        component["hashes"] = json!([{"alg": "SHA-512", "content": checksum}]);
    }
    Part { component, uses: BTreeSet::new() }
}

fn npm_purl(package: &Package) -> String {
    format!("pkg:npm/{}@{}", package.name.replace('@', "%40"), package.version)
}

fn component(kind: &str, name: &str, version: &str, purl: &str) -> Value {
    json!({"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl})
}

fn add_licence(component: &mut Value, licence: &str) {
    if !licence.is_empty() {
        component["licenses"] = json!([{"expression": licence}]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::crates::tests::{foreign, key};
    use super::*;
    use std::path::Path;

    fn ours(name: &str, uses: &[&str]) -> Crate {
        Crate {
            is_foreign: false,
            checksum: None,
            uses: uses.iter().map(|name| key(name)).collect(),
            ..foreign(name, "Apache-2.0", Path::new("ours"))
        }
    }

    fn inside() -> Inside {
        let log = foreign("log", "MIT OR Apache-2.0", Path::new("log"));
        Inside {
            server: vec![log.clone(), ours(SERVER, &["log"])],
            module: vec![log, ours(MODULE, &["log"])],
            sdk: "1.0.0".to_owned(),
            packages: vec![Package {
                name: "@a/b".to_owned(),
                version: "2.0.0".to_owned(),
                licence: "MIT".to_owned(),
                checksum: Some("cd".repeat(64)),
            }],
        }
    }

    fn parsed(inside: &Inside, date: u64) -> Value {
        serde_json::from_str(&document(inside, date, "rustc 1").unwrap()).unwrap()
    }

    #[test]
    fn the_document_has_what_the_schema_asks_for() {
        let document = parsed(&inside(), 0);
        assert_eq!((&document["bomFormat"], &document["specVersion"]), (&json!("CycloneDX"), &json!("1.6")));
        assert_eq!(document["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(document["metadata"]["component"]["name"], SERVER);
        let components = document["components"].as_array().unwrap();
        let log = components.iter().find(|one| one["name"] == "log").unwrap();
        assert_eq!(log["purl"], "pkg:cargo/log@1.0.0");
        assert_eq!(log["licenses"], json!([{"expression": "MIT OR Apache-2.0"}]));
        assert_eq!(log["hashes"][0], json!({"alg": "SHA-256", "content": "ab".repeat(32)}));
        assert_eq!(components.len(), 4, "what both programs use is there once, the server itself not at all");
    }

    #[test]
    fn every_component_is_reachable_and_every_reference_resolves() {
        let document = parsed(&inside(), 0);
        let dependencies = document["dependencies"].as_array().unwrap();
        let uses = |name: &str| {
            let of = dependencies.iter().find(|one| one["ref"] == name).unwrap();
            of["dependsOn"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(
            uses("pkg:generic/thng-pubsub-server@1.0.0"),
            ["pkg:cargo/log@1.0.0", "pkg:generic/thng-pubsub@1.0.0", "pkg:npm/%40a/b@2.0.0"]
        );
        assert_eq!(uses("pkg:generic/thng-pubsub@1.0.0"), ["pkg:generic/thng-pubsub-wasm@1.0.0"]);
        let known: BTreeSet<&str> = dependencies.iter().map(|one| one["ref"].as_str().unwrap()).collect();
        assert!(known.iter().flat_map(|name| uses(name)).all(|used| known.contains(used)));
    }

    #[test]
    fn the_serial_number_is_a_uuid_of_the_content() {
        let number =
            |inside: &Inside, date| parsed(inside, date)["serialNumber"].as_str().unwrap().to_owned();
        let one = number(&inside(), 0);
        assert_eq!(one, number(&inside(), 0));
        assert_ne!(one, number(&inside(), 1));
        let uuid = one.strip_prefix("urn:uuid:").unwrap();
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "8");
    }

    #[test]
    fn c_libraries_are_named_besides_the_crates_that_bring_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sqlite3")).unwrap();
        std::fs::write(folder.path().join("sqlite3/sqlite3.h"), "#define SQLITE_VERSION        \"3.50.1\"\n")
            .unwrap();
        let (name, part) = c_library(&foreign("libsqlite3-sys", "MIT", folder.path())).unwrap();
        assert_eq!(name, "pkg:generic/sqlite@3.50.1");
        assert_eq!(part.component["cpe"], "cpe:2.3:a:sqlite:sqlite:3.50.1:*:*:*:*:*:*:*");
        let jemalloc = Crate {
            version: "0.6.1+5.3.0-1-gabc".to_owned(),
            ..foreign("tikv-jemalloc-sys", "MIT", folder.path())
        };
        assert_eq!(c_library(&jemalloc).unwrap().0, "pkg:generic/jemalloc@5.3.0");
        assert!(c_library(&foreign("log", "MIT", folder.path())).is_none());
    }
}
