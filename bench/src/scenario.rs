//! The scenarios, by name, and their durations.
//!
//! Each scenario is one file. [`connections`]; [`flow`]: fan-out, fan-in and series are one loop with different
//! numbers; [`isolated`] is fan-out of one message at a time. [`latency`]; [`halfopen`] is latency twice, [`beside`] is
//! latency beside a copy. [`writes`] is rate and latency over many properties, and what reaches the disk.

pub mod beside;
pub mod connections;
pub mod flow;
pub mod halfopen;
pub mod isolated;
pub mod latency;
pub mod writes;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use crate::message;
use crate::target::Target;

/// How many publish in a `series` and a `writes` scenario.
const SERIES_PUBLISHERS: usize = 50;

/// How many pairs share the rate of a `latency` scenario, and that of a `halfopen` one.
const LATENCY_PAIRS: usize = 100;

/// Messages per second of a `halfopen`, a `beside` and a `writes` scenario.
const STEADY_PER_S: u32 = 1000;

/// Bytes of each message's payload, where nothing else is asked for.
const PAYLOAD_BYTES: usize = 200;

/// One thing to measure. [`fmt::Display`] and [`FromStr`] are its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Idle connections with one subscription each.
    Connections {
        /// How many.
        count: usize,
    },
    /// One publisher, many receivers of its topic.
    Fanout {
        /// How many receive.
        receivers: usize,
        /// 0 or 1, for publishing and receiving.
        qos: u8,
    },
    /// The same, one message at a time.
    Isolated {
        /// How many receive.
        receivers: usize,
        /// 0 or 1, for publishing and receiving.
        qos: u8,
    },
    /// Many publishers on one topic, one receiver.
    Fanin {
        /// How many publish.
        publishers: usize,
        /// 0 or 1, for publishing and receiving.
        qos: u8,
    },
    /// Fifty publishers on many different topics, one receiver of them all.
    Series {
        /// How many topics.
        topics: usize,
        /// 0 or 1, for publishing and receiving.
        qos: u8,
    },
    /// Fifty publishers on many different topics at random, without a receiver.
    Writes {
        /// How many topics.
        series: usize,
    },
    /// A steady rate over a hundred pairs of publisher and receiver.
    Latency {
        /// Messages per second, of all pairs together.
        per_s: u32,
    },
    /// The same, before and while others begin connections that stop halfway.
    HalfOpen {
        /// How many do.
        count: usize,
    },
    /// A steady rate of writes, alone and beside a backup and an export.
    Beside {
        /// Values in the database.
        values: usize,
    },
}

impl Scenario {
    /// What is recorded in `docs/performance.md`.
    pub fn usual() -> Vec<Self> {
        let mut usual = Vec::new();
        for receivers in [100, 1000] {
            usual.extend([0, 1].map(|qos| Self::Fanout { receivers, qos }));
        }
        usual.extend([1000, 10_000].map(|receivers| Self::Isolated { receivers, qos: 1 }));
        usual.extend([0, 1].map(|qos| Self::Fanin { publishers: 50, qos }));
        usual.push(Self::Series { topics: 5000, qos: 1 });
        usual.extend([500, 5000, 50_000].map(|series| Self::Writes { series }));
        usual.push(Self::Latency { per_s: 1000 });
        usual.push(Self::HalfOpen { count: 1000 });
        usual.push(Self::Beside { values: 1_000_000 });
        usual.push(Self::Connections { count: 10_000 });
        usual
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections { count } => write!(f, "connections-{count}"),
            Self::Fanout { receivers, qos } => write!(f, "fanout-{receivers}-qos{qos}"),
            Self::Isolated { receivers, qos } => write!(f, "isolated-{receivers}-qos{qos}"),
            Self::Fanin { publishers, qos } => write!(f, "fanin-{publishers}-qos{qos}"),
            Self::Series { topics, qos } => write!(f, "series-{topics}-qos{qos}"),
            Self::Writes { series } => write!(f, "writes-{series}"),
            Self::Latency { per_s } => write!(f, "latency-{per_s}"),
            Self::HalfOpen { count } => write!(f, "halfopen-{count}"),
            Self::Beside { values } => write!(f, "beside-{values}"),
        }
    }
}

impl FromStr for Scenario {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let mut parts = name.split('-');
        let kind = parts.next().unwrap_or_default();
        let count = parts.next().and_then(|count| count.parse::<u32>().ok()).filter(|count| *count > 0);
        let qos = match (parts.next(), parts.next()) {
            (Some("qos0"), None) => Some(0),
            (Some("qos1"), None) => Some(1),
            (None, _) => None,
            _ => bail!("there is no scenario `{name}`; see --help"),
        };
        Ok(match (kind, count.map(|count| count as usize), qos) {
            ("connections", Some(count), None) => Self::Connections { count },
            ("fanout", Some(receivers), Some(qos)) => Self::Fanout { receivers, qos },
            ("isolated", Some(receivers), Some(qos)) => Self::Isolated { receivers, qos },
            ("fanin", Some(publishers), Some(qos)) => Self::Fanin { publishers, qos },
            ("series", Some(topics), Some(qos)) => Self::Series { topics, qos },
            ("writes", Some(series), None) => Self::Writes { series },
            ("halfopen", Some(count), None) => Self::HalfOpen { count },
            ("beside", Some(values), None) => Self::Beside { values },
            ("latency", Some(_), None) => Self::Latency { per_s: count.unwrap_or_default() },
            _ => bail!("there is no scenario `{name}`; see --help"),
        })
    }
}

/// How to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a measurement takes.
    pub measure: Duration,
    /// How long the same load runs before it.
    pub warm_up: Duration,
    /// Messages that are on their way at the most; `None` chooses by scenario.
    pub window: Option<usize>,
    /// Bytes of each message's payload; `None` chooses by scenario.
    pub payload_bytes: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        let (measure, warm_up) = (Duration::from_secs(4), Duration::from_secs(1));
        Self { measure, warm_up, window: None, payload_bytes: None }
    }
}

impl Settings {
    /// Bytes of each message's payload, in most scenarios.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload_bytes.unwrap_or(PAYLOAD_BYTES)
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.measure < Duration::from_millis(10) {
            bail!("--seconds must be at least 0.01");
        }
        let (min, max) = (message::PAYLOAD_BYTES_MIN, message::PAYLOAD_BYTES_MAX);
        if !(min..=max).contains(&self.payload_bytes()) {
            bail!("--payload must be {min} to {max} bytes");
        }
        if self.window == Some(0) {
            bail!("--window must be at least 1");
        }
        Ok(())
    }
}

/// What a scenario found.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// The scenario's name.
    pub scenario: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The figures of one scenario, by kind.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Figures {
    /// Of [`Scenario::Connections`].
    Connections(connections::Figures),
    /// Of [`Scenario::Fanout`], [`Scenario::Fanin`] and [`Scenario::Series`].
    Flow(flow::Figures),
    /// Of [`Scenario::Isolated`].
    Isolated(isolated::Figures),
    /// Of [`Scenario::Writes`].
    Writes(writes::Figures),
    /// Of [`Scenario::Latency`].
    Latency(latency::Figures),
    /// Of [`Scenario::HalfOpen`].
    HalfOpen(halfopen::Figures),
    /// Of [`Scenario::Beside`].
    Beside(beside::Figures),
}

/// Measures one scenario against a broker.
///
/// # Errors
/// The broker cannot be reached, refuses a connection or a subscription, or closes a connection; `/proc` does not
/// know its process.
pub fn run(scenario: &Scenario, target: &Target, settings: &Settings) -> anyhow::Result<Measurement> {
    let figures = match *scenario {
        Scenario::Connections { count } => Figures::Connections(connections::measure(count, target)?),
        Scenario::Fanout { receivers, qos } => {
            let shape = flow::Shape { publishers: 1, receivers, topics: 1, qos };
            Figures::Flow(flow::measure(&shape, target, settings)?)
        }
        Scenario::Fanin { publishers, qos } => {
            let shape = flow::Shape { publishers, receivers: 1, topics: 1, qos };
            Figures::Flow(flow::measure(&shape, target, settings)?)
        }
        Scenario::Series { topics, qos } => {
            let publishers = SERIES_PUBLISHERS.min(topics);
            let shape = flow::Shape { publishers, receivers: 1, topics, qos };
            Figures::Flow(flow::measure(&shape, target, settings)?)
        }
        Scenario::Isolated { receivers, qos } => {
            Figures::Isolated(isolated::measure(receivers, qos, target, settings)?)
        }
        Scenario::Writes { series } => {
            Figures::Writes(writes::measure(series, SERIES_PUBLISHERS, STEADY_PER_S, target, settings)?)
        }
        Scenario::Latency { per_s } => {
            Figures::Latency(latency::measure(LATENCY_PAIRS, per_s, target, settings)?)
        }
        Scenario::HalfOpen { count } => {
            Figures::HalfOpen(halfopen::measure(count, LATENCY_PAIRS, STEADY_PER_S, target, settings)?)
        }
        Scenario::Beside { values } => {
            Figures::Beside(beside::measure(values as u64, LATENCY_PAIRS, STEADY_PER_S, target, settings)?)
        }
    };
    Ok(Measurement { scenario: scenario.to_string(), figures })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_scenario_can_be_asked_for_by_its_name() {
        for scenario in Scenario::usual() {
            assert_eq!(scenario.to_string().parse::<Scenario>().unwrap(), scenario);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "fanout",
            "fanout-0-qos0",
            "fanout-10-qos2",
            "fanout-10-qos1-x",
            "latency-9-qos1",
            "fan-1",
            "writes-9-qos1",
            "isolated-9",
        ] {
            assert!(name.parse::<Scenario>().is_err(), "{name}");
        }
    }
}
