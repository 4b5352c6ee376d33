//! Checks dependencies without a network: their licenses and sources, whether they are used, and that `Cargo.lock`
//! fits the manifests.
//! Among the crates of this workspace it checks which depends on which.
//!
//! Called by `lint`. The rules are a part of those of cargo-deny, read with its parser of SPDX expressions. The tool
//! itself finds the same here, but a new machine would compile 141 crates for it, which takes minutes. It also does not
//! find dependencies that no file names.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

use crate::setup;
use crate::tidy::sources;

/// Licenses that may be linked into a program under Apache-2.0.
const LICENSES: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The crates of this workspace with what each depends on among them: no arrow less, and no other.
const ARROWS: [(&str, &[&str]); 7] = [
    (
        "thng-pubsub-server",
        &[
            "thng-pubsub-broker",
            "thng-pubsub-bus",
            "thng-pubsub-protocol",
            "thng-pubsub-store",
            "thng-pubsub-transport",
        ],
    ),
    ("thng-pubsub-transport", &["thng-pubsub-broker", "thng-pubsub-protocol"]),
    ("thng-pubsub-broker", &["thng-pubsub-bus", "thng-pubsub-protocol", "thng-pubsub-store"]),
    ("thng-pubsub-store", &["thng-pubsub-protocol"]),
    ("thng-pubsub-bus", &[]),
    ("thng-pubsub-protocol", &[]),
    ("thng-pubsub-wasm", &["thng-pubsub-protocol"]),
];

/// Crates for development: they may depend on any other.
const DEVELOPMENT: [&str; 4] = ["thng-pubsub-bench", "thng-pubsub-doc-tables", "thng-pubsub-tests", "xtask"];

/// Checks every package of the lock file.
///
/// # Errors
/// One line for each finding, or that `Cargo.lock` does not fit the manifests.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let output = setup::cargo(root).args(["metadata", "--locked", "--format-version", "1"]).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has packages")?;
    let mut findings = Vec::new();
    for package in packages {
        findings.extend(foreign(package));
        if package["source"].is_null() {
            findings.extend(unused(root, package)?);
            findings.extend(other_arrows(package));
        }
    }
    if findings.is_empty() { Ok(()) } else { bail!("{} finding(s)\n{}", findings.len(), findings.join("\n")) }
}

/// What is wrong with a package's license or origin.
fn foreign(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    if let Some(source) = package["source"].as_str()
        && !source.starts_with("registry+")
        && !source.starts_with("sparse+")
    {
        return Some(format!("{name} comes from {source}; only the registry and this workspace are allowed"));
    }
    match package["license"].as_str() {
        Some(license) if is_allowed(license) => None,
        Some(license) => {
            Some(format!("{name} is under `{license}`, which is not in xtask/src/dependencies.rs"))
        }
        None => Some(format!("{name} names no license")),
    }
}

/// Whether the allowed licenses satisfy an SPDX expression. `/` is an old spelling of `OR`.
fn is_allowed(expression: &str) -> bool {
    let Ok(expression) = Expression::parse_mode(expression, ParseMode::LAX) else { return false };
    let allowed = LICENSES.map(|name| Licensee::parse(name).expect("a test reads each name"));
    expression.evaluate(|wanted| allowed.iter().any(|one| one.satisfies(wanted)))
}

/// How the crates that one of ours depends on differ from [`ARROWS`]; dependencies of tests are exempt.
fn other_arrows(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    if DEVELOPMENT.contains(&name) {
        return None;
    }
    let Some((_, expected)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return Some(format!("{name} is not in ARROWS of xtask/src/dependencies.rs"));
    };
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let ours = dependencies.filter(|one| one["kind"].is_null() && one["source"].is_null());
    let mut found: Vec<&str> = ours.filter_map(|one| one["name"].as_str()).collect();
    found.sort_unstable();
    (found != *expected).then(|| {
        let [found, expected] = [&found[..], expected].map(|names| names.join(", "));
        format!("{name} depends on [{found}]; ARROWS of xtask/src/dependencies.rs allow [{expected}]")
    })
}

/// The dependencies of one of our own crates that none of its files names.
fn unused(root: &Path, package: &Value) -> anyhow::Result<Vec<String>> {
    let manifest = Path::new(package["manifest_path"].as_str().context("a package has a manifest")?);
    let folder =
        manifest.parent().context("a manifest is in a folder")?.strip_prefix(root).unwrap_or(manifest);
    let mut text = String::new();
    for source in sources(root)?.iter().filter(|file| file.path.starts_with(folder) && file.is_rust()) {
        text.push_str(&source.text);
    }
    let name = package["name"].as_str().unwrap_or_default();
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let words = dependencies.filter_map(|one| one["rename"].as_str().or_else(|| one["name"].as_str()));
    let unused = words.filter(|word| !text.contains(&word.replace('-', "_")));
    Ok(unused.map(|word| format!("{name} depends on {word} but does not name it")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn license_expressions_are_understood() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "Apache-2.0/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "MIT AND (MIT OR Apache-2.0)",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for name in LICENSES {
            assert!(is_allowed(name), "{name}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND AGPL-3.0", ""] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn an_arrow_between_crates_that_is_not_in_the_table_is_found() {
        let package = |name: &str, normal: &[&str]| {
            let arrow = |name: &&str, kind: Value| json!({"name": name, "kind": kind, "source": null});
            let mut dependencies: Vec<Value> = normal.iter().map(|name| arrow(name, Value::Null)).collect();
            dependencies.push(arrow(&"thng-pubsub-broker", json!("dev")));
            dependencies.push(json!({"name": "bytes", "kind": null, "source": "registry+somewhere"}));
            json!({"name": name, "dependencies": dependencies})
        };
        let bus = other_arrows(&package("thng-pubsub-bus", &["thng-pubsub-store"])).unwrap();
        assert!(bus.contains("depends on [thng-pubsub-store]; "), "{bus}");
        assert!(other_arrows(&package("thng-pubsub-store", &[])).is_some(), "an arrow that is missing");
        assert!(other_arrows(&package("thng-pubsub-new", &[])).is_some(), "a crate without a row");
        assert_eq!(other_arrows(&package("thng-pubsub-bus", &[])), None);
        assert_eq!(other_arrows(&package("xtask", &["thng-pubsub-store"])), None);
    }

    #[test]
    fn a_package_from_elsewhere_or_without_license_is_found() {
        let git = json!({"name": "x", "license": "MIT", "source": "git+https://example.com/x"});
        assert!(foreign(&git).unwrap().contains("comes from git+"));
        let bare = json!({"name": "x", "license": null, "source": null});
        assert!(foreign(&bare).unwrap().contains("no license"));
        let fine = json!({"name": "x", "license": "MIT", "source": "registry+somewhere"});
        assert_eq!(foreign(&fine), None);
    }
}
