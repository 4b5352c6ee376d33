//! `cargo xtask lint`: checks the code without running it.
//!
//! Each check is a step with a name; `cargo xtask lint tidy fmt` runs only those. The project's own rules are
//! in `tidy`, `prose` and `dependencies`.

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
    Check {
        name: "tidy",
        about: "the project's own rules (xtask/src/tidy.rs)",
        run: |root, _| tidy::check(root),
    },
    Check {
        name: PROSE,
        about: "words and length of sentences (xtask/src/prose/words.rs); paths may follow",
        run: |root, _| prose::check(root),
    },
    Check {
        name: "conformance",
        about: "the generated tables of docs/mqtt-conformance.md",
        run: |root, _| conformance::check(root),
    },
    Check { name: "fmt", about: "cargo fmt", run: fmt },
    Check {
        name: "dependencies",
        about: "Cargo.lock is current; license, source and use of every dependency",
        run: |root, _| dependencies::check(root),
    },
    Check { name: "clippy", about: "clippy on all targets, warnings denied", run: clippy },
    Check { name: "clippy-wasm", about: "clippy on what is compiled to wasm32", run: clippy_wasm },
    Check {
        name: "wasm",
        about: "protocol and SDK build for wasm32; protocol imports nothing from its host",
        run: wasm,
    },
    Check { name: "doc", about: "rustdoc with private items, warnings denied", run: doc },
];

/// Check the code without running it, and change nothing
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "cargo xtask lint [CHECK]...\n       cargo xtask lint prose [PATH]...",
    after_help = after_help(),
)]
pub(crate) struct Args {
    /// The checks to run [default: all]; after `prose`, the files and folders to read
    #[arg(value_name = "CHECK")]
    words: Vec<String>,
}

fn after_help() -> String {
    let checks = crate::list(CHECKS.iter().map(|check| (check.name, check.about)));
    format!(
        "Checks:\n{checks}
Examples:
  cargo xtask lint
  cargo xtask lint tidy fmt
  cargo xtask lint prose README.md docs"
    )
}

/// The check that takes paths.
const PROSE: &str = "prose";

fn is_check(word: &str) -> bool {
    CHECKS.iter().any(|check| check.name == word)
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = setup::root();
    if let Some(paths) = paths(&args.words) {
        return if paths.is_empty() { prose::check(&root) } else { prose::check_paths(&root, paths) };
    }
    if let Some(unknown) = args.words.iter().find(|word| !is_check(word)) {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        bail!("there is no check `{unknown}`; the checks are {}", known.join(", "));
    }
    let mut session = Session::new();
    let is_chosen =
        |check: &&Check| args.words.is_empty() || args.words.iter().any(|word| word == check.name);
    for check in CHECKS.iter().filter(is_chosen) {
        session.step(check.name, check.about, |log| (check.run)(&root, log));
    }
    session.finish()
}

/// The words behind `prose` where it runs alone: they are paths.
fn paths(words: &[String]) -> Option<&[String]> {
    let (first, rest) = words.split_first()?;
    (first == PROSE && !rest.iter().any(|word| is_check(word))).then_some(rest)
}

fn fmt(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    stream(setup::cargo(root).args(["fmt", "--all", "--check"]), log)
}

fn clippy(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    let deny = ["--", "--deny", "warnings"];
    let features = "thng-pubsub-server/otel,thng-pubsub-server/measure";
    let everything = ["--workspace", "--all-targets", "--features", features];
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        crate::parse::<Args>(line).unwrap().words
    }

    #[test]
    fn words_behind_a_lone_prose_are_paths() {
        assert_eq!(paths(&words("prose README.md docs")), Some(&words("README.md docs")[..]));
        assert_eq!(paths(&words("prose")), Some(&[][..]));
        for line in ["", "tidy", "tidy prose", "prose tidy"] {
            assert_eq!(paths(&words(line)), None, "{line}");
        }
    }

    #[test]
    fn an_unknown_check_is_answered_with_the_known_ones() {
        let error = run(&Args { words: words("tidy x") }).unwrap_err().to_string();
        assert!(error.contains("no check `x`") && error.contains("clippy"), "{error}");
    }
}
