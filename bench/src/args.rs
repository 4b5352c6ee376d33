//! The command line: which scenarios, against which broker, for how long.
//!
//! Read by the binary. Only addresses of this machine are taken: a load generator that a slip can point at
//! another owner's broker is a weapon.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::scenario::{Scenario, Settings};
use crate::target::Target;

/// What `--help` prints.
pub const HELP: &str = "\
Measures an MQTT broker on this machine: rates in a closed loop, latency on a schedule, and what it costs the broker.

Usage: thng-pubsub-bench [SCENARIO...] [--mqtt HOST:PORT] [...]

Scenarios (a usual set where none is given):
  connections-N      N idle connections with one subscription each: connects/s, KiB of broker memory each
  fanout-N-qosQ      1 publisher, N receivers of its topic
  isolated-N-qosQ    the same, one message at a time: from sending it until the last receiver has it
  fanin-N-qosQ       N publishers on one topic, 1 receiver
  series-N-qosQ      50 publishers on N different properties, 1 receiver of them all
  writes-N           50 publishers of single values on N properties at random, at QoS 1, without a receiver:
                     rate with 20 on their way each, then 1000/s from due to PUBACK, and bytes written to disk
  latency-R          R messages/s over 100 pairs at QoS 1: from the time each should have been sent to its arrival
  halfopen-N         1000 messages/s in the same way, before and while N others begin a connection and stop halfway:
                     in MQTT's CONNECT, and where there are such listeners in HTTP, WebSocket and TLS
  beside-N           1000 writes/s at QoS 1 over a database with N values, from due to PUBACK: alone, and beside a
                     backup and an export of it; needs --program and --data

The broker:
  --mqtt HOST:PORT   where it listens (default 127.0.0.1:1883); loopback only
  --user NAME        user name and
  --password WORD    password, if it wants them
  --http HOST:PORT   a thng-pubsub server's REST address: the thngs of the topics are created there first
  --key KEY          its operator's API key, which is then also the MQTT password
  --https HOST:PORT  its HTTPS listener and
  --mqtts HOST:PORT  its listener for MQTT over TLS, for halfopen
  --pid PID          its process, to read CPU time and memory of
  --program FILE     the program of a thng-pubsub server and
  --data FOLDER      its data folder, for beside; the copies are written next to that folder

The measurement:
  --seconds S        how long each takes (default 4)
  --warm-up S        before it (default 1)
  --window N         messages on their way at the most, in a closed loop (default: by scenario)
  --payload BYTES    of each message (default 200, in writes 26)
  --json FILE        write the results there as well

`thng-pubsub-bench --list` prints the names of the scenarios that run when none is given.
";

/// What the command line asked for.
#[derive(Debug)]
pub struct Args {
    /// What to measure, in this order.
    pub scenarios: Vec<Scenario>,
    /// The broker.
    pub target: Target,
    /// How to measure.
    pub settings: Settings,
    /// Where to write the results as JSON.
    pub json: Option<PathBuf>,
}

impl Args {
    /// Reads the words behind the program's name.
    ///
    /// # Errors
    /// An unknown word, a value that cannot be read, or an address that is not of this machine.
    pub fn parse(words: &[String]) -> anyhow::Result<Self> {
        let mut scenarios = Vec::new();
        let mut target = Target::anonymous(loopback("127.0.0.1:1883")?);
        let mut settings = Settings::default();
        let mut json = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !word.starts_with("--") {
                scenarios.push(word.parse()?);
                continue;
            }
            let value = words.next().with_context(|| format!("{word} needs a value; see --help"))?;
            match word.as_str() {
                "--mqtt" => target.mqtt = loopback(value)?,
                "--http" => target.http = Some(loopback(value)?),
                "--https" => target.https = Some(loopback(value)?),
                "--mqtts" => target.mqtts = Some(loopback(value)?),
                "--key" => target.key = Some(value.clone()),
                "--user" => target.user = Some(value.clone()),
                "--password" => target.password = Some(value.clone()),
                "--program" => target.program = Some(PathBuf::from(value)),
                "--data" => target.data = Some(PathBuf::from(value)),
                "--pid" => target.pid = Some(number(word, value)?),
                "--seconds" => settings.measure = seconds(word, value)?,
                "--warm-up" => settings.warm_up = seconds(word, value)?,
                "--window" => settings.window = Some(number(word, value)?),
                "--payload" => settings.payload_bytes = Some(number(word, value)?),
                "--json" => json = Some(PathBuf::from(value)),
                _ => bail!("unknown flag {word}; see --help"),
            }
        }
        if scenarios.is_empty() {
            scenarios = Scenario::usual();
        }
        if target.http.is_some() != target.key.is_some() {
            bail!(
                "--http and --key belong together: the address of a thng-pubsub server and its operator's key"
            );
        }
        settings.check()?;
        Ok(Self { scenarios, target, settings, json })
    }
}

fn number<T: std::str::FromStr>(flag: &str, value: &str) -> anyhow::Result<T> {
    value.parse().ok().with_context(|| format!("{flag} needs a whole number, not `{value}`"))
}

fn seconds(flag: &str, value: &str) -> anyhow::Result<Duration> {
    let seconds = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.with_context(|| format!("{flag} needs a number of seconds, not `{value}`"))
}

/// An address of this machine.
fn loopback(value: &str) -> anyhow::Result<SocketAddr> {
    let addresses =
        value.to_socket_addrs().with_context(|| format!("`{value}` is no address (HOST:PORT)"))?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    match addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()) {
        Some(address) if address.ip().is_loopback() => Ok(*address),
        _ => bail!("`{value}` is not an address of this machine's loopback; this program loads no other"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Args> {
        Args::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn without_words_the_usual_scenarios_run_against_the_usual_port() {
        let args = parse("").unwrap();
        assert_eq!(args.scenarios, Scenario::usual());
        assert_eq!(args.target.mqtt, "127.0.0.1:1883".parse().unwrap());
    }

    #[test]
    fn flags_and_scenarios_may_come_in_any_order() {
        let args = parse("--seconds 0.5 fanout-10-qos1 --mqtt 127.0.0.1:9 --pid 7 connections-3").unwrap();
        assert_eq!(
            args.scenarios,
            [Scenario::Fanout { receivers: 10, qos: 1 }, Scenario::Connections { count: 3 }]
        );
        assert_eq!((args.target.mqtt.port(), args.target.pid), (9, Some(7)));
        assert_eq!(args.settings.measure, Duration::from_millis(500));
    }

    #[test]
    fn any_other_machine_is_refused() {
        for line in [
            "--mqtt 192.0.2.1:1883",
            "--mqtt 0.0.0.0:1883",
            "--mqtt 127.0.0.1:1 --http 10.0.0.1:80 --key k",
            "--https 192.0.2.1:443",
            "--mqtts 192.0.2.1:8883",
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains("loopback"), "{line}: {error}");
        }
        assert!(parse("--mqtt [::1]:1883").is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (line, part) in [
            ("fanout-10", "fanout-10"),
            ("--window", "--window needs a value"),
            ("--window many", "whole number"),
            ("--seconds -1", "number of seconds"),
            ("--seconds 0", "--seconds"),
            ("--sceonds 1", "unknown flag"),
            ("--http 127.0.0.1:1", "belong together"),
            ("--payload 10", "--payload"),
        ] {
            let error = format!("{:#}", parse(line).unwrap_err());
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
