//! What `cargo xtask help` prints: every command, what it does, and a line to try.
//!
//! The names of suites and checks come from where they are defined, so that they cannot be out of date here.

use crate::{lint, test};

const OVERVIEW: &str = "\
The project's tasks. Each sets up what it needs and says what it does.

Usage: cargo xtask COMMAND [...]

  run     build everything, start the server, print where it is and what to try
  test    everything that must be green (all suites, or those that are named)
  lint    format, clippy, rustdoc, house rules (all checks, or those that are named)
  generate  write the generated parts of docs/
  fuzz    give the fuzz targets of crates/protocol/ inputs for as long as you like
  soak    ten minutes of clients that come and go
  bench   measure the server beside Debian's Mosquitto
  npm     build the SDK and pack it as an npm tarball
  dist    make what is shipped: program, archive, Debian package, SBOM, checksums
  help    this text, or `cargo xtask help COMMAND`

A fresh machine needs Rust (https://rustup.rs) and Node.js 20.19 or newer. Everything else is fetched when it is needed.
";

const RUN: &str = "\
Build the SDK, the examples and the server, start the server on ./data, and say what to try first.

Usage: cargo xtask run [--release | --debug] [-- SERVER FLAGS]

  --release   the optimised build (default)
  --debug     the quick build

The server listens on 127.0.0.1:8080 (HTTP, WebSocket) and 127.0.0.1:1883 (MQTT) unless its flags say otherwise.
The operator's API key is made on the first start and kept in ./data/operator.key. Ctrl-C stops the server.

Examples:
  cargo xtask run
  cargo xtask run -- --http 127.0.0.1:0 --mqtt 127.0.0.1:0 --log debug
  cargo xtask run --debug -- --data /tmp/try
";

const TEST: &str = "\
Run everything that must be green. Set-up that is missing is done first: the wasm32 target, npm packages,
Python packages, cargo-nextest, and Debian's chromium, mosquitto, mosquitto-clients and libpaho-mqtt-dev (by
apt-get as root; otherwise a message says what to install). Every step is shown with its duration; the summary at the
end repeats the first failure.

Usage: cargo xtask test [SUITE...] [-- NAME...]

  NAME        only tests with this in their name

Suites:
{suites}
The suites find what they test in the environment: THNG_PUBSUB_SERVER (the binary), THNG_PUBSUB_TARBALL (the SDK),
THNG_PUBSUB_CHROMIUM, THNG_PUBSUB_PAHO_PYTHON (a Python with tests/python/requirements.txt), and for the Node.js
suites a server that runs already: THNG_PUBSUB_TEST_URL, THNG_PUBSUB_TEST_MQTT (host:port), THNG_PUBSUB_TEST_KEY (the
operator's). A THNG_PUBSUB_CHROMIUM of yours is used instead of Debian's.

Examples:
  cargo xtask test
  cargo xtask test rust
  cargo xtask test rust blackbox -- properties
";

const LINT: &str = "\
Check everything about the code that can be said without running it. Nothing is changed, not even Cargo.lock.

Usage: cargo xtask lint [CHECK...]
       cargo xtask lint prose [PATH...]

Checks:
{checks}
Examples:
  cargo xtask lint
  cargo xtask lint tidy fmt
  cargo xtask lint prose README.md docs
";

const GENERATE: &str = "\
Write the parts of docs/ that are generated: the tables of mqtt-conformance.md, from the documentation of tests.
`cargo xtask lint conformance` checks that they are current.

Usage: cargo xtask generate
";

const FUZZ: &str = "\
Give the fuzz targets of crates/protocol/fuzz/ inputs of the fuzzer's making, as many targets at once as there are
cores. Needs a nightly toolchain (`rustup toolchain install nightly --profile minimal`) and a C++ compiler.
`cargo xtask test` runs each for 20 seconds where there is one.

Usage: cargo xtask fuzz [--seconds N] [TARGET...]

  --seconds N   how long each target runs (default 20)
  TARGET        the name of a file in crates/protocol/fuzz/fuzz_targets/; all where none is given

An input that breaks a promise is kept in crates/protocol/fuzz/artifacts/. When it is mended, it goes into the
target's corpus under a name that says what it is: the test `fuzz_corpus` of the protocol crate replays it from then on.

Examples:
  cargo xtask fuzz
  cargo xtask fuzz --seconds 3600 topic filter
";

const SOAK: &str = "\
Let clients of every protocol come and go for ten minutes, on the release build. At the end the memory has to be within
10 % of what it was after the first minute, and nobody may have missed anything. No part of `test`. Loopback only.

Usage: cargo xtask soak [--seconds N]

  --seconds N   how long it takes, 120 or more (default 600)
";

const BENCH: &str = "\
Measure the release build of the server and Debian's mosquitto, one scenario after the other, each on a fresh
process, alternating. Prints a table. Loopback only; takes about six minutes.

Usage: cargo xtask bench [SCENARIO...] [--rounds N] [--seconds N] [--write] [--only BROKER]
       cargo xtask bench rest [--write]

  SCENARIO      names of `thng-pubsub-bench`, such as fanout-100-qos0; all where none is given
  --rounds N    how often each is measured; the median counts (default 3)
  --seconds N   how long one measurement takes (default 4)
  --only NAME   one broker: thng-pubsub or mosquitto
  --write       write the table into docs/performance.md, with machine, date and commit
  rest          REST instead: with wrk, beside PocketBase, and in process with a million thngs; takes ten minutes

Examples:
  cargo xtask bench
  cargo xtask bench fanout-1000-qos1 --rounds 1
  cargo xtask bench --write
  cargo xtask bench rest
";

const NPM: &str = "\
Build the SDK for wasm32 and pack it as an npm tarball, target/npm/thng-pubsub-VERSION.tgz, whose path is printed.

Usage: cargo xtask npm
";

const DIST: &str = "\
Make what is shipped, and leave it in target/dist/: the program with SDK and examples inside, an archive of it with its
manual, completions and settings, a Debian package with a systemd service, the SBOM of all that is inside (CycloneDX),
and SHA256SUMS. Takes ten minutes and more the first time.

Usage: cargo xtask dist [--install-test]

  --install-test   make nothing: install the Debian package of target/dist/ into a folder of its own, start what its
                   unit starts, upgrade it, remove it. Needs root and dpkg, and says so where it has not both

The program is built for this machine, and needs nothing but a glibc that is as new. The same commit gives the same
files; their date is that of the commit, or SOURCE_DATE_EPOCH.

Examples:
  cargo xtask dist
  cargo xtask dist --install-test
";

/// Prints the overview, or what is known of one command.
pub(crate) fn print(command: Option<&str>) {
    println!("{}", text(command).trim_end());
}

fn text(command: Option<&str>) -> String {
    match command {
        Some("run") => RUN.to_owned(),
        Some("test") => TEST.replace("{suites}", &list(test::names())),
        Some("lint") => LINT.replace("{checks}", &list(lint::names())),
        Some("generate") => GENERATE.to_owned(),
        Some("fuzz") => FUZZ.to_owned(),
        Some("soak") => SOAK.to_owned(),
        Some("bench") => BENCH.to_owned(),
        Some("npm") => NPM.to_owned(),
        Some("dist") => DIST.to_owned(),
        _ => OVERVIEW.to_owned(),
    }
}

/// One line for each: the name, padded, and what it is.
fn list<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    rows.map(|(name, about)| format!("  {name:12}  {about}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_overview_has_a_text_of_its_own() {
        let commands = OVERVIEW.lines().filter_map(|line| line.strip_prefix("  "));
        for command in
            commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help")
        {
            assert!(text(Some(command)).contains(&format!("Usage: cargo xtask {command}")), "{command}");
        }
    }

    #[test]
    fn suites_and_checks_are_listed_with_what_they_do() {
        assert!(text(Some("test")).contains("  blackbox "));
        assert!(text(Some("lint")).contains("  tidy "));
        assert!(!text(Some("test")).contains('{'));
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_of_120_columns() {
        for command in [
            None,
            Some("run"),
            Some("test"),
            Some("lint"),
            Some("generate"),
            Some("fuzz"),
            Some("bench"),
            Some("npm"),
            Some("dist"),
        ] {
            assert!(text(command).lines().all(|line| line.len() <= 120));
        }
    }
}
