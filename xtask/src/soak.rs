//! `cargo xtask soak`: tests that take too long for the suites, on the release build of the server.
//!
//! Ten minutes of clients that come and go (`tests/it/soak.rs`), and many rounds of `kill -9` and of a loss of power
//! (`tests/it/durability/`), of which the suites run a few.

use clap::ValueEnum as _;

use crate::server::{self, Profile};
use crate::setup;
use crate::step::{Session, stream};

/// How long clients come and go, in seconds.
const SECONDS: u32 = 600;

/// Rounds of `kill -9`.
const KILLS: u32 = 150;

/// Losses of power, in each of the tests.
const POWER_LOSSES: u32 = 100;

/// Let clients of every protocol come and go, kill the server and cut its power
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
`clients` fails when memory at the end is more than 10 % above that of the first minute, or when a client
missed a message.
`kills` and `power` fail when an acknowledged write is gone, or a write is there twice.
After a loss of power the disk has what was synced, and any of the pages that were not. Not part of `test`.
Loopback only.

Examples:
  cargo xtask soak
  cargo xtask soak clients --seconds 3600
  cargo xtask soak kills power")]
pub(crate) struct Args {
    /// What to do [default: all]
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
    /// How long clients come and go; the first of at least two minutes is the warm-up
    #[arg(long, value_name = "N", default_value_t = SECONDS, value_parser = clap::value_parser!(u32).range(120..))]
    seconds: u32,
    /// Rounds of `kill -9`
    #[arg(long, value_name = "N", default_value_t = KILLS, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// Losses of power, of a disk that works and of one whose sync fails
    #[arg(long, value_name = "N", default_value_t = POWER_LOSSES, value_parser = clap::value_parser!(u32).range(1..))]
    power_losses: u32,
}

/// A part of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Clients,
    Kills,
    Power,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Kills => "kills",
            Self::Power => "power",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Clients => "clients that come and go, and what is left of them",
            Self::Kills => "kill -9 at random moments of writes",
            Self::Power => "losses of power, with any of the unsynced pages on the disk",
        }
    }

    /// The variable that says how long, and the words behind `--` that choose the tests.
    fn test(self, args: &Args) -> ((&'static str, u32), &'static [&'static str]) {
        let rounds = |count| ("THNG_PUBSUB_TEST_ROUNDS", count);
        match self {
            Self::Clients => (("THNG_PUBSUB_SOAK_S", args.seconds), &["soak::", "--ignored"]),
            Self::Kills => (rounds(args.kills), &["durability::kills::after_kill_9_every_acknowledged"]),
            Self::Power => (rounds(args.power_losses), &["durability::power_loss::"]),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = setup::root();
    let mut session = Session::new();
    let binary = session
        .step("server", "the release build of the server", |log| server::build(&root, Profile::Release, log));
    let parts = if args.parts.is_empty() { Part::value_variants() } else { &args.parts };
    for part in parts {
        let Some(binary) = &binary else {
            session.skip(part.name(), "server");
            continue;
        };
        let ((variable, value), tests) = part.test(args);
        session.step(part.name(), part.explanation(), |log| {
            let mut cargo = setup::cargo(&root);
            cargo.env("THNG_PUBSUB_SERVER", binary).env(variable, value.to_string());
            cargo.args(["test", "--locked", "--package", "thng-pubsub-tests", "--test", "it", "--"]);
            stream(cargo.args(tests).arg("--nocapture"), log)
        });
    }
    session.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_ten_minutes_by_default_and_never_less_than_two() {
        let parse = |line: &str| crate::parse::<Args>(line).map(|args| args.seconds);
        assert_eq!((parse("").ok(), parse("--seconds 120").ok()), (Some(600), Some(120)));
        for wrong in ["--seconds", "--seconds 119", "--seconds x", "120", "--seconds 120 x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_runs_its_tests_so_many_times() {
        let args = crate::parse::<Args>("kills power --kills 7").unwrap();
        assert_eq!(args.parts, [Part::Kills, Part::Power]);
        let ((variable, rounds), tests) = Part::Kills.test(&args);
        assert_eq!((variable, rounds, tests.len()), ("THNG_PUBSUB_TEST_ROUNDS", 7, 1));
        assert_eq!(Part::Power.test(&args).0.1, 100);
        assert!(crate::parse::<Args>("--kills 0").is_err());
    }

    #[test]
    fn the_tests_of_each_part_exist() {
        let file = |name: &str| std::fs::read_to_string(setup::root().join("tests/it").join(name)).unwrap();
        assert!(file("durability/kills.rs").contains("fn after_kill_9_every_acknowledged"));
        for name in ["durability/kills.rs", "durability/power_loss.rs"] {
            assert!(file(name).contains("0..rounds(ROUNDS)"), "{name}");
        }
    }
}
