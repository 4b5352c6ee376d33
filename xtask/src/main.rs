//! The project's tasks: `cargo xtask run | test | lint | generate | fuzz | soak | bench | npm | dist`.
//!
//! Each command is one module, with its arguments and its help.
#![expect(clippy::print_stdout, reason = "a command line program answers on standard output")]

mod bench;
mod conformance;
mod dependencies;
mod dist;
mod docs;
mod fuzz;
mod lint;
mod npm;
mod prose;
mod run;
mod server;
mod setup;
mod soak;
mod step;
mod tally;
mod test;
mod tidy;
mod wasm;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// The project's tasks. Each one installs what it needs.
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo xtask",
    after_help = "A new machine needs Rust (https://rustup.rs) and Node.js 20.19 or newer."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Test(test::Args),
    Lint(lint::Args),
    /// Write the generated tables of docs/, from the code and the documentation of tests
    Generate,
    Fuzz(fuzz::Args),
    Soak(soak::Args),
    Bench(bench::Args),
    /// Build the SDK for wasm32, pack it as an npm tarball, and print its path
    Npm,
    Dist(dist::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_help = !error.use_stderr();
            // A closed terminal is no reason to fail.
            let _ = error.print();
            return if is_help { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    let result = match cli.command {
        None => Cli::command().print_help().map_err(anyhow::Error::from),
        Some(command) => run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::run(args),
        Command::Lint(args) => lint::run(&args),
        Command::Generate => {
            conformance::write(&setup::root())?;
            docs::write(&setup::root())
        }
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Npm => npm::run(),
        Command::Dist(args) => dist::run(args),
    }
}

/// One line of a help text for each row: the name, padded, and its description.
fn list<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    rows.map(|(name, about)| format!("  {name:12}  {about}\n")).collect()
}

/// Parses the arguments of a command as clap does behind its name.
#[cfg(test)]
fn parse<A: clap::Args>(line: &str) -> Result<A, clap::Error> {
    let command = A::augment_args(clap::Command::new("test"));
    let matches = command.try_get_matches_from(std::iter::once("test").chain(line.split_whitespace()))?;
    A::from_arg_matches(&matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(command: &str) -> String {
        Cli::try_parse_from(["xtask", "help", command]).unwrap_err().to_string()
    }

    fn commands() -> Vec<String> {
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_of_itself() {
        for command in commands().into_iter().filter(|name| !["npm", "generate"].contains(&name.as_str())) {
            let text = help(&command);
            assert!(text.contains("Examples:\n"), "{text}");
            assert!(text.matches(&format!("cargo xtask {command}")).count() > 1, "{text}");
        }
    }

    #[test]
    fn suites_and_checks_are_listed_with_a_description() {
        assert!(help("test").contains("  blackbox "));
        assert!(help("lint").contains("  tidy "));
    }

    #[test]
    fn no_line_of_help_is_wider_than_a_terminal_of_120_columns() {
        for command in commands() {
            let text = help(&command);
            assert!(text.lines().all(|line| line.len() <= 120), "{text}");
        }
    }

    #[test]
    fn words_behind_two_dashes_are_never_options_of_ours() {
        let Ok(Cli { command: Some(Command::Run(args)) }) =
            Cli::try_parse_from(["xtask", "run", "--", "--help"])
        else {
            panic!("`run -- --help` starts the server")
        };
        assert_eq!(args.server_flags, ["--help"]);
    }
}
