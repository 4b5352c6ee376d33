//! `cargo xtask bench`: the server beside Debian's Mosquitto, in the same run, on the same machine.
//!
//! Every measurement gets a new broker process, because reused memory hides the cost of a connection. The brokers
//! alternate, so that a slow moment of the machine does not fall on one of them. The binary of the crate `bench` sends
//! the load; `table` formats the results. `bench rest` is a table of its own, in `rest`.

mod brokers;
mod rest;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::ValueEnum as _;
use serde_json::Value;

use crate::server::{self, Profile};
use crate::setup;
use crate::step::{Log, announce, stream};
use brokers::{Broker, Started};

/// Measure the release build of the server beside Debian's Mosquitto
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "cargo xtask bench [OPTIONS] [SCENARIO]...\n       cargo xtask bench rest [--write]",
    after_help = "\
Runs one scenario after the other, each on a new process, alternating between the brokers, and prints a
table. Takes about nine minutes. `rest` measures REST with wrk, beside PocketBase, and in process with a
million thngs; that takes ten minutes. Loopback only.

Examples:
  cargo xtask bench
  cargo xtask bench fanout-1000-qos1 --rounds 1
  cargo xtask bench --write
  cargo xtask bench rest"
)]
pub(crate) struct Args {
    /// Names of scenarios of `thng-pubsub-bench` [default: the usual ones], or `rest`
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// How often each scenario runs; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long one measurement takes
    #[arg(long, value_name = "N", default_value = "4")]
    seconds: String,
    /// Measure only this broker
    #[arg(long, value_name = "BROKER")]
    only: Option<Broker>,
    /// Write the table into docs/performance.md, with machine, date and commit
    #[arg(long)]
    write: bool,
}

/// The scenario that is a table of its own.
const REST: &str = "rest";

impl Args {
    fn brokers(&self) -> Vec<Broker> {
        self.only.map_or_else(|| Broker::value_variants().to_vec(), |one| vec![one])
    }
}

/// Runs the command.
pub(crate) fn run(asked: &Args) -> anyhow::Result<()> {
    let brokers = asked.brokers();
    let root = setup::root();
    let log = &mut Log::default();
    if asked.scenarios.iter().any(|name| name == REST) {
        warn_if_busy();
        let text = rest::document(&root, log)?;
        return print(&root, table::REST, &text, asked.write);
    }
    if brokers.contains(&Broker::Mosquitto) {
        setup::debian(&[setup::MOSQUITTO], log)?;
    }
    announce("building what is measured and the load generator");
    if brokers.contains(&Broker::ThngPubsub) {
        server::build(&root, Profile::Release, log)?;
    }
    // Apart from the server: built together, cargo would give both the features that either asks for.
    let bench = ["build", "--release", "--package", "thng-pubsub-bench", "--bins"];
    stream(setup::cargo(&root).args(bench), log)?;
    raise_open_files_limit();
    warn_if_busy();
    let bench = setup::target_dir(&root).join("release/thng-pubsub-bench");
    let scenarios =
        if asked.scenarios.is_empty() { usual_scenarios(&bench)? } else { asked.scenarios.clone() };
    let mut rows = Vec::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        announce(&format!("{scenario} ({} of {})", number + 1, scenarios.len()));
        rows.push(measure_row(&root, &bench, scenario, asked, &brokers)?);
    }
    let text = table::document(&root, &brokers, &rows, asked.rounds as usize, &asked.seconds)?;
    print(&root, table::MQTT, &text, asked.write)
}

fn print(root: &Path, part: table::Part, text: &str, write: bool) -> anyhow::Result<()> {
    println!("{text}");
    if write {
        let file = root.join("docs/performance.md");
        table::write(&file, part, text)?;
        announce(&format!("written into {}", file.display()));
    }
    Ok(())
}

/// The scenarios that the load generator measures by default.
fn usual_scenarios(bench: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new(bench).arg("--list").output()?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// All rounds of one scenario on all brokers: for each broker the round that is the median.
fn measure_row(
    root: &Path,
    bench: &Path,
    scenario: &str,
    asked: &Args,
    brokers: &[Broker],
) -> anyhow::Result<table::Row> {
    let mut results: Vec<Vec<Value>> = vec![Vec::new(); brokers.len()];
    for round in 0..asked.rounds as usize {
        for turn in 0..brokers.len() {
            // The first broker of one round is the last of the next.
            let which = (turn + round) % brokers.len();
            let broker = brokers[which];
            if !broker.has(scenario) {
                continue;
            }
            let measured = measure(root, bench, scenario, broker, &asked.seconds);
            results[which].push(measured.with_context(|| format!("{scenario} on {}", broker.name()))?);
        }
    }
    let cells = results.into_iter().map(table::median).collect();
    Ok(table::Row { scenario: scenario.to_owned(), cells })
}

/// One scenario on one fresh broker.
fn measure(
    root: &Path,
    bench: &Path,
    scenario: &str,
    broker: Broker,
    seconds: &str,
) -> anyhow::Result<Value> {
    let scratch = setup::target_dir(root).join("xtask");
    std::fs::create_dir_all(&scratch)?;
    // On the disk of the checkout, not in /tmp: that may be memory, where a sync costs nothing.
    let folder = tempfile::tempdir_in(&scratch)?;
    let started = Started::start(broker, root, folder.path())?;
    let json: PathBuf = folder.path().join("result.json");
    let mut command = Command::new(bench);
    command.arg(scenario).args(["--seconds", seconds]).arg("--json").arg(&json).args(started.flags());
    eprint!("{:12} ", broker.name());
    stream(&mut command, &mut Log::default())?;
    started.stop()?;
    let results: Vec<Value> = serde_json::from_slice(&std::fs::read(&json)?)?;
    results.into_iter().next().context("the load generator wrote one result")
}

/// Says so if something else is using the machine: what is measured now will be too low.
fn warn_if_busy() {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default();
    // What was just built is still in the average of the last minute.
    if load > 2.0 {
        announce(&format!(
            "this machine is busy (load {load}): figures will be low; measure again when it is quiet"
        ));
    }
}

/// Allows us, and so the brokers, as many open files as the system lets us have: each connection is one.
fn raise_open_files_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is not allowed, the load generator says so when it matters.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, clap::Error> {
        crate::parse(line)
    }

    #[test]
    fn three_rounds_of_everything_on_both_are_the_default() {
        let args = parsed("").unwrap();
        assert_eq!((args.rounds, args.brokers().len(), args.scenarios.len(), args.write), (3, 2, 0, false));
        assert_eq!(args.seconds, "4");
    }

    #[test]
    fn scenarios_and_options_are_distinguished() {
        let args = parsed("fanin-50-qos1 --rounds 1 --only mosquitto --seconds 0.5 --write").unwrap();
        assert_eq!(args.scenarios, ["fanin-50-qos1"]);
        assert_eq!((args.rounds, args.brokers(), args.write), (1, vec![Broker::Mosquitto], true));
    }

    #[test]
    fn wrong_options_are_rejected() {
        for line in ["--rounds 0", "--rounds", "--only rabbit", "--fast"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
