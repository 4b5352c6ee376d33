//! `cargo xtask bench`: the server beside Debian's Mosquitto, in the same run, on the same machine.
//!
//! Every measurement gets a freshly started broker, because memory that was used before hides what a connection costs;
//! the brokers take turns, so that a slow moment of the machine does not fall on one of them. What is measured and how
//! is the business of the crate `bench`, whose binary is called here; the table is made by `table`. `bench rest` is a
//! table of its own, made by `rest`.

mod brokers;
mod rest;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::server::{self, Profile};
use crate::setup;
use crate::step::{Log, announce, stream};
use brokers::{Broker, Started};

/// What the command line asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    scenarios: Vec<String>,
    rounds: usize,
    seconds: String,
    brokers: Vec<Broker>,
    rest: bool,
    write: bool,
}

/// Runs the command with the words behind `cargo xtask bench`.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let asked = parse(words)?;
    let root = setup::root();
    let log = &mut Log::default();
    if asked.rest {
        warn_if_busy();
        let text = rest::document(&root, log)?;
        return print(&root, table::REST, &text, asked.write);
    }
    if asked.brokers.contains(&Broker::Mosquitto) {
        setup::debian(&[setup::MOSQUITTO], log)?;
    }
    announce("building what is measured and the load generator");
    if asked.brokers.contains(&Broker::ThngPubsub) {
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
        rows.push(measure_row(&root, &bench, scenario, &asked)?);
    }
    let text = table::document(&root, &asked.brokers, &rows, asked.rounds, &asked.seconds)?;
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

fn parse(words: &[String]) -> anyhow::Result<Asked> {
    let mut asked = Asked {
        scenarios: Vec::new(),
        rounds: 3,
        seconds: "4".to_owned(),
        brokers: vec![Broker::ThngPubsub, Broker::Mosquitto],
        rest: false,
        write: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "rest" => asked.rest = true,
            "--write" => asked.write = true,
            "--rounds" => {
                let rounds = value()?.parse().ok().filter(|rounds| *rounds > 0);
                asked.rounds = rounds.context("--rounds needs a number from 1")?;
            }
            "--seconds" => asked.seconds = value()?.clone(),
            "--only" => {
                let name = value()?;
                let known =
                    [Broker::ThngPubsub, Broker::Mosquitto].into_iter().find(|broker| broker.name() == name);
                asked.brokers =
                    vec![known.with_context(|| format!("there is no broker `{name}` to measure"))?];
            }
            flag if flag.starts_with("--") => bail!("`cargo xtask bench` does not know `{flag}`"),
            scenario => asked.scenarios.push(scenario.to_owned()),
        }
    }
    Ok(asked)
}

/// What the load generator measures when it is not told.
fn usual_scenarios(bench: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new(bench).arg("--list").output()?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// All rounds of one scenario on all brokers: for each broker the round that is the median.
fn measure_row(root: &Path, bench: &Path, scenario: &str, asked: &Asked) -> anyhow::Result<table::Row> {
    let mut results: Vec<Vec<Value>> = vec![Vec::new(); asked.brokers.len()];
    for round in 0..asked.rounds {
        for turn in 0..asked.brokers.len() {
            // Who was first in one round is last in the next.
            let which = (turn + round) % asked.brokers.len();
            let broker = asked.brokers[which];
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

    fn parsed(line: &str) -> anyhow::Result<Asked> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn three_rounds_of_everything_on_both_are_the_default() {
        let asked = parsed("").unwrap();
        assert_eq!((asked.rounds, asked.brokers.len(), asked.scenarios.len(), asked.write), (3, 2, 0, false));
    }

    #[test]
    fn scenarios_and_flags_are_distinguished() {
        let asked = parsed("fanin-50-qos1 --rounds 1 --only mosquitto --seconds 0.5 --write").unwrap();
        assert_eq!(asked.scenarios, ["fanin-50-qos1"]);
        assert_eq!((asked.rounds, asked.brokers, asked.write), (1, vec![Broker::Mosquitto], true));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for line in ["--rounds 0", "--rounds", "--only rabbit", "--fast"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
