//! `cargo xtask soak`: ten minutes of clients that come and go, on the release build. The test itself is
//! `tests/it/soak.rs`, and says every ten seconds how far it is.

use anyhow::{Context, bail};

use crate::server::{self, Profile};
use crate::setup;
use crate::step::{Session, stream};

/// How long it takes, in seconds.
const SECONDS: u32 = 600;

/// Runs the command with the words behind `cargo xtask soak`.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let seconds = parse(words)?;
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

fn parse(words: &[String]) -> anyhow::Result<u32> {
    match words {
        [] => Ok(SECONDS),
        [flag, number] if flag == "--seconds" => {
            let seconds = number.parse().ok().filter(|seconds| *seconds >= 120);
            seconds.context("`--seconds` takes a number of seconds, 120 or more: the first minute warms up")
        }
        _ => bail!("`cargo xtask soak` takes `--seconds N` and nothing else"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_takes_ten_minutes_or_at_least_two() {
        let parse = |line: &str| parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!((parse("").ok(), parse("--seconds 120").ok()), (Some(600), Some(120)));
        for wrong in ["--seconds", "--seconds 119", "--seconds x", "120", "--seconds 120 x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
