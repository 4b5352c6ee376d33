//! `cargo xtask soak`: ten minutes of clients that come and go, on the release build. The test itself is
//! `tests/it/soak.rs`, and says every ten seconds how far it is.

use crate::server::{self, Profile};
use crate::setup;
use crate::step::{Session, stream};

/// How long it takes, in seconds.
const SECONDS: u32 = 600;

/// Let clients of every protocol come and go, on the release build
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(after_help = "\
Fails when memory at the end is more than 10 % above that of the first minute, or when a client missed a
message. Not part of `test`. Loopback only.

Examples:
  cargo xtask soak
  cargo xtask soak --seconds 3600")]
pub(crate) struct Args {
    /// How long it takes; the first of at least two minutes is the warm-up
    #[arg(long, value_name = "N", default_value_t = SECONDS, value_parser = clap::value_parser!(u32).range(120..))]
    seconds: u32,
}

/// Runs the command.
pub(crate) fn run(Args { seconds }: Args) -> anyhow::Result<()> {
    let root = setup::root();
    let mut session = Session::new();
    let binary = session
        .step("server", "the release build of the server", |log| server::build(&root, Profile::Release, log));
    match binary {
        None => session.skip("soak", "server"),
        Some(binary) => {
            session.step("soak", "clients that come and go, and what is left of them", |log| {
                let mut cargo = setup::cargo(&root);
                cargo.env("THNG_PUBSUB_SERVER", &binary).env("THNG_PUBSUB_SOAK_S", seconds.to_string());
                cargo.args(["test", "--locked", "--package", "thng-pubsub-tests", "--test", "it"]);
                stream(cargo.args(["--", "soak::", "--ignored", "--nocapture"]), log)
            });
        }
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
}
