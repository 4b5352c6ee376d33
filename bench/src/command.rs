//! The binary: reads the command line, runs the scenarios one after the other, prints what they found.
#![expect(clippy::print_stdout, reason = "a command line program answers on standard output")]

use std::process::ExitCode;

use anyhow::Context;

use crate::args::{Args, HELP};
use crate::report;
use crate::scenario::{self, Scenario};

/// Does what the words behind the program's name ask for.
pub fn run(words: &[String]) -> ExitCode {
    if words.iter().any(|word| word == "--help" || word == "-h" || word == "help") {
        println!("{}", HELP.trim_end());
        return ExitCode::SUCCESS;
    }
    if words == ["--list"] {
        Scenario::usual().iter().for_each(|scenario| println!("{scenario}"));
        return ExitCode::SUCCESS;
    }
    match measure(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(words: &[String]) -> anyhow::Result<()> {
    let args = Args::parse(words)?;
    let mut measurements = Vec::new();
    for scenario in &args.scenarios {
        eprintln!("{scenario} ...");
        let measured = scenario::run(scenario, &args.target, &args.settings);
        let measured = measured.with_context(|| format!("{scenario} against {}", args.target.mqtt))?;
        println!("{}", report::line(&measured));
        measurements.push(measured);
    }
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&measurements)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
