//! Which packages of npm are inside the program, as files that it serves: read from what was built and from the lock
//! files that it was built from.
//!
//! Called by `dist`, for `sbom`. What the SDK itself uses of npm (`ws`, for Node.js) is not served, and neither is what
//! builds and tests it.

use std::path::Path;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::step::announce;

/// One package of npm, as its lock file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// An SPDX expression.
    pub(super) licence: String,
    /// The SHA-512 of what the registry gave, in hex.
    pub(super) checksum: Option<String>,
}

/// What the app among the examples is made of, which Vite writes beside it.
const APP: &str = "examples-web/dist/app/licenses.md";

/// The version of the SDK.
///
/// # Errors
/// npm's manifest cannot be read.
pub(super) fn sdk_version(root: &Path) -> anyhow::Result<String> {
    let manifest = json(&root.join("npm/package.json"))?;
    Ok(manifest["version"].as_str().context("npm/package.json has no version")?.to_owned())
}

/// The packages that others wrote: beside the SDK and in the examples.
///
/// # Errors
/// A lock file cannot be read, or does not know a package that was built in.
pub(super) fn inside(root: &Path) -> anyhow::Result<Vec<Package>> {
    let (sdk, examples) =
        (json(&root.join("npm/package-lock.json"))?, json(&root.join("examples-web/package-lock.json"))?);
    let mut packages = Vec::new();
    if root.join("npm/dist/evrythng.js").is_file() {
        packages.push(package(&sdk, "evrythng")?);
    }
    if root.join("examples-web/dist/paho").is_dir() {
        packages.push(package(&examples, "paho-mqtt")?);
    }
    match std::fs::read_to_string(root.join(APP)) {
        Ok(text) => {
            for name in in_app(&text).filter(|name| *name != "thng-pubsub") {
                packages.push(package(&examples, name)?);
            }
        }
        Err(_) => announce("warning: the examples are not built, and so the SBOM names nothing of their app"),
    }
    Ok(packages)
}

fn json(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// The names in Vite's list, whose headings are `## NAME - VERSION (LICENCE)`.
fn in_app(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| Some(line.strip_prefix("## ")?.split_once(" - ")?.0))
}

fn package(lock: &Value, name: &str) -> anyhow::Result<Package> {
    let found = &lock["packages"][format!("node_modules/{name}")];
    let version = found["version"].as_str();
    Ok(Package {
        name: name.to_owned(),
        version: version.with_context(|| format!("package-lock.json does not know {name}"))?.to_owned(),
        licence: found["license"].as_str().unwrap_or_default().to_owned(),
        checksum: found["integrity"].as_str().and_then(sha512),
    })
}

/// `sha512-` and base64, as npm writes it, in hex.
fn sha512(integrity: &str) -> Option<String> {
    let bytes = STANDARD.decode(integrity.split_whitespace().next()?.strip_prefix("sha512-")?).ok()?;
    Some(super::hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_package_is_named_as_in_its_lock_file() {
        let lock = json!({"packages": {"node_modules/uplot": {"version": "1.6.32", "license": "MIT", "integrity": "sha512-AQID"}}});
        let uplot = package(&lock, "uplot").unwrap();
        assert_eq!((uplot.version.as_str(), uplot.licence.as_str()), ("1.6.32", "MIT"));
        assert_eq!(uplot.checksum.as_deref(), Some("010203"));
        assert!(package(&lock, "other").unwrap_err().to_string().contains("other"));
    }

    #[test]
    fn the_app_names_what_it_is_made_of() {
        let text = "# Licenses\n\n## thng-pubsub - 0.1.0 (Apache-2.0)\n\ntext\n\n## @a/b - 1.6.32 (MIT)\n\n## Terms\n";
        assert_eq!(in_app(text).collect::<Vec<_>>(), ["thng-pubsub", "@a/b"]);
    }

    #[test]
    fn this_checkout_knows_its_packages() {
        let root = crate::setup::root();
        assert!(!sdk_version(&root).unwrap().is_empty());
        let lock = super::json(&root.join("examples-web/package-lock.json")).unwrap();
        assert!(package(&lock, "paho-mqtt").unwrap().checksum.is_some_and(|hex| hex.len() == 128));
    }
}
