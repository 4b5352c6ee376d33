//! `cargo xtask lint`: everything about the code that can be said without running it.
//!
//! Each check is a step with a name; `cargo xtask lint tidy fmt` runs only those. The house's own rules are in
//! `tidy` and `dependencies`.

use std::path::Path;

use anyhow::bail;

use crate::step::{Log, Session, stream};
use crate::{conformance, dependencies, prose, setup, tidy, wasm};

/// The crates that are compiled to wasm32.
const WASM_CRATES: [&str; 2] = ["thng-pubsub-protocol", "thng-pubsub-wasm"];

/// One check: its name on the command line, what it shows, and what runs.
struct Check {
    name: &'static str,
    about: &'static str,
    run: fn(&Path, &mut Log) -> anyhow::Result<()>,
}

/// In the order in which they run: the quick ones first.
const CHECKS: [Check; 9] = [
    Check { name: "tidy", about: "the house rules (xtask/src/tidy.rs)", run: |root, _| tidy::check(root) },
    Check {
        name: "prose",
        about: "words and length of sentences (xtask/src/prose/words.rs); paths may follow",
        run: |root, _| prose::check(root, false),
    },
    Check {
        name: "conformance",
        about: "the generated tables of docs/mqtt-conformance.md",
        run: |root, _| conformance::check(root),
    },
    Check { name: "fmt", about: "cargo fmt", run: fmt },
    Check {
        name: "dependencies",
        about: "Cargo.lock is current; licences, sources and use of every dependency",
        run: |root, _| dependencies::check(root),
    },
    Check { name: "clippy", about: "clippy on all targets, warnings denied", run: clippy },
    Check { name: "clippy-wasm", about: "clippy on what is compiled to wasm32", run: clippy_wasm },
    Check {
        name: "wasm",
        about: "protocol and SDK build for wasm32; protocol asks nothing of its host",
        run: wasm,
    },
    Check { name: "doc", about: "rustdoc with private items, warnings denied", run: doc },
];

/// The names of all checks with what they show, for the help.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    CHECKS.iter().map(|check| (check.name, check.about))
}

/// Runs the command with the words behind `cargo xtask lint`.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    if let [name, paths @ ..] = words
        && name == "prose"
        && !paths.iter().any(|word| CHECKS.iter().any(|check| check.name == word))
    {
        let root = setup::root();
        return if paths.is_empty() { prose::check(&root, true) } else { prose::check_paths(&root, paths) };
    }
    if let Some(unknown) = words.iter().find(|word| CHECKS.iter().all(|check| check.name != *word)) {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        bail!("there is no check `{unknown}`; there are {}", known.join(", "));
    }
    let root = setup::root();
    let mut session = Session::new();
    for check in CHECKS.iter().filter(|check| words.is_empty() || words.iter().any(|word| word == check.name))
    {
        session.step(check.name, check.about, |log| (check.run)(&root, log));
    }
    session.finish()
}

fn fmt(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    stream(setup::cargo(root).args(["fmt", "--all", "--check"]), log)
}

fn clippy(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    let deny = ["--", "--deny", "warnings"];
    let everything = ["--workspace", "--all-targets", "--features", "thng-pubsub-server/otel"];
    stream(setup::cargo(root).args(["clippy", "--locked"]).args(everything).args(deny), log)?;
    // The SDK uses the protocol without its JSON documents.
    let protocol = ["clippy", "--locked", "--package", "thng-pubsub-protocol", "--no-default-features"];
    stream(setup::cargo(root).args(protocol).args(deny), log)
}

fn clippy_wasm(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    setup::wasm_target(root, log)?;
    let mut cargo = setup::cargo(root);
    cargo.args(["clippy", "--locked", "--target", setup::WASM_TARGET]);
    for name in WASM_CRATES {
        cargo.args(["--package", name]);
    }
    stream(cargo.args(["--", "--deny", "warnings"]), log)
}

fn wasm(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    setup::wasm_target(root, log)?;
    wasm::check(root, log)
}

fn doc(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    let mut cargo = setup::cargo(root);
    cargo.env("RUSTDOCFLAGS", "--deny warnings");
    stream(cargo.args(["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"]), log)
}
