//! `cargo xtask fuzz`: runs the fuzz targets of `crates/protocol/fuzz` for a while.
//!
//! `test` runs each target for [`SECONDS`] where a nightly toolchain is installed, which the instrumentation needs. A
//! test of the protocol crate replays the committed corpora on the stable one. New inputs are stored below the target
//! folder, from where the next run continues.
//! The targets are compiled with the flags of `cargo fuzz`, so that it need not be installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::setup;
use crate::step::{Log, Session, human, stream};

/// How long each target runs in `cargo xtask test`: on two cores all five take 40 s.
pub(crate) const SECONDS: u32 = 20;

/// Bytes of the longest input that is made. What is longer is for unit tests, which know why.
const INPUT_BYTES_MAX: u32 = 1_024;

/// How many lines of a target that has found something are shown: the panic, its backtrace, and where the input is.
const SHOWN_LINES: usize = 60;

/// Coverage of every edge, counted, and the operands of comparisons, for libFuzzer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Run the fuzz targets of crates/protocol/fuzz, one on each core
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs a nightly toolchain (`rustup toolchain install nightly --profile minimal`) and a C++ compiler. An input
that fails is stored in crates/protocol/fuzz/artifacts/. Once the fault is fixed, move it into the target's
corpus under a name that describes it; the test `fuzz_corpus` of the protocol crate replays it.

Examples:
  cargo xtask fuzz
  cargo xtask fuzz --seconds 3600 topic filter")]
pub(crate) struct Args {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Names of files in crates/protocol/fuzz/fuzz_targets/ [default: all]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = setup::root();
    let chosen = choose(&args.targets, targets(&root)?)?;
    let Some(toolchain) = nightly() else {
        bail!("fuzzing needs a nightly toolchain: `rustup toolchain install nightly --profile minimal`");
    };
    let mut session = Session::new();
    session.step("fuzz", "the fuzz targets of crates/protocol/", |log| {
        fuzz(&root, &toolchain, &chosen, args.seconds, log)
    });
    session.finish()
}

/// The suite of `cargo xtask test`: every target, or those with one of `filters` in their name.
///
/// # Errors
/// A target does not compile, or has found an input that breaks a promise.
pub(crate) fn suite(root: &Path, filters: &[String], log: &mut Log) -> anyhow::Result<()> {
    let Some(toolchain) = nightly() else {
        log.note("skipped: no nightly toolchain");
        return Ok(());
    };
    let mut chosen = targets(root)?;
    chosen.retain(|name| filters.is_empty() || filters.iter().any(|filter| name.contains(filter)));
    if chosen.is_empty() { Ok(()) } else { fuzz(root, &toolchain, &chosen, SECONDS, log) }
}

/// The targets that are named, all where none is.
fn choose(names: &[String], known: Vec<String>) -> anyhow::Result<Vec<String>> {
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target `{unknown}`; the targets are {}", known.join(", "));
    }
    Ok(if names.is_empty() { known } else { names.to_vec() })
}

/// The names of all targets.
fn targets(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join("crates/protocol/fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// A nightly toolchain, as rustup calls it.
fn nightly() -> Option<String> {
    let listed = Command::new("rustup").args(["toolchain", "list"]).output().ok()?;
    first_nightly(&String::from_utf8_lossy(&listed.stdout))
}

/// `nightly` itself comes before one of a date.
fn first_nightly(list: &str) -> Option<String> {
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let mut nightlies: Vec<&str> = names.filter(|name| name.starts_with("nightly")).collect();
    nightlies.sort_by_key(|name| name.starts_with("nightly-2"));
    nightlies.first().map(|name| (*name).to_owned())
}

/// Builds the targets and runs the chosen ones, one and a half for each core at once, so that no core waits for the last.
fn fuzz(root: &Path, toolchain: &str, chosen: &[String], seconds: u32, log: &mut Log) -> anyhow::Result<()> {
    let programs = build(root, toolchain, log)?;
    let waiting = Mutex::new(chosen.iter());
    let found = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(target) = waiting.lock().expect("no worker panics").next() else { return };
            let ended = run_target(root, &programs, target, seconds);
            found.lock().expect("no worker panics").extend(ended.err());
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..(cores + cores / 2).min(chosen.len()) {
            scope.spawn(work);
        }
    });
    let found: Vec<String> =
        found.into_inner().expect("no worker panics").iter().map(|error| format!("{error:#}")).collect();
    if found.is_empty() { Ok(()) } else { bail!("{}", found.join("\n")) }
}

/// Compiles every target. Returns the folder of the programs.
fn build(root: &Path, toolchain: &str, log: &mut Log) -> anyhow::Result<PathBuf> {
    let version = with(toolchain, &["rustc", "-vV"]).output().context("rustup is not installed")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    let folder = setup::target_dir(root).join("fuzz");
    // With a target named, the flags are not for build scripts and macros, which could not be linked with them.
    let mut cargo = with(toolchain, &["cargo", "build", "--release", "--locked", "--target", host]);
    cargo
        .current_dir(root.join("crates/protocol/fuzz"))
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", FLAGS);
    stream(&mut cargo, log)?;
    Ok(folder.join(host).join("release"))
}

fn with(toolchain: &str, words: &[&str]) -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(["run", toolchain]).args(words);
    rustup
}

fn run_target(root: &Path, programs: &Path, target: &str, seconds: u32) -> anyhow::Result<()> {
    let started = Instant::now();
    eprintln!("    {target}: runs for {}", human(Duration::from_secs(seconds.into())));
    let corpus = root.join("crates/protocol/fuzz/corpus").join(target);
    let (kept, artifacts) =
        (programs.join("corpus").join(target), root.join("crates/protocol/fuzz/artifacts"));
    for folder in [&kept, &artifacts] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut program = Command::new(programs.join(target));
    program.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
    program.args(["-timeout=10", "-rss_limit_mb=1024", "-verbosity=0", "-print_final_stats=1"]);
    // What is new goes into the first folder.
    program.arg(format!("-artifact_prefix={}/{target}-", artifacts.display())).arg(kept).arg(corpus);
    let output = program.output().with_context(|| format!("cannot start the fuzz target {target}"))?;
    let text = text(&output);
    if !output.status.success() {
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
            eprintln!("    {target}: {line}");
        }
        bail!(
            "{target} has found an input that breaks a promise, see above and {}; it belongs into its corpus when \
             it is mended",
            artifacts.display()
        );
    }
    let inputs = inputs(&text).unwrap_or(0);
    eprintln!("    {target}: {inputs} inputs in {}, nothing found", human(started.elapsed()));
    if inputs == 0 { bail!("{target} was given no input") } else { Ok(()) }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// How many inputs a run says it has tried.
fn inputs(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_chosen_by_name_and_run_for_the_given_time() {
        let known = || vec!["filter".to_owned(), "topic".to_owned()];
        let parsed = |line: &str| {
            let args: Args = crate::parse(line).unwrap();
            (choose(&args.targets, known()).map_err(|error| error.to_string()), args.seconds)
        };
        assert_eq!(parsed(""), (Ok(known()), SECONDS));
        assert_eq!(parsed("--seconds 3600 topic"), (Ok(vec!["topic".to_owned()]), 3600));
        assert!(parsed("topics").0.unwrap_err().contains("filter, topic"));
        for wrong in ["--seconds", "--seconds 0", "--seconds topic"] {
            assert!(crate::parse::<Args>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_target_has_a_corpus() {
        let root = setup::root();
        let targets = targets(&root).unwrap();
        assert!(targets.iter().any(|target| target == "mqtt_decode"));
        for target in targets {
            assert!(root.join("crates/protocol/fuzz/corpus").join(&target).is_dir(), "{target}");
        }
    }

    #[test]
    fn a_nightly_toolchain_is_found_among_the_others() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\nnightly-2026-01-01-x86_64-unknown-linux-gnu\n\
            nightly-x86_64-unknown-linux-gnu\n";
        assert_eq!(first_nightly(list).as_deref(), Some("nightly-x86_64-unknown-linux-gnu"));
        assert_eq!(first_nightly("stable-x86_64-unknown-linux-gnu (default)\nno nightly\n"), None);
    }

    #[test]
    fn the_number_of_inputs_is_read_from_the_closing_lines() {
        assert_eq!(
            inputs("Done\nstat::number_of_executed_units: 390033\nstat::peak_rss_mb: 30\n"),
            Some(390_033)
        );
        assert_eq!(inputs(""), None);
    }
}
