//! Idle connections: how fast they are taken, and what memory each costs the broker.
//!
//! Each subscribes to a topic of its own, as devices do. The broker should be freshly started: memory that it has used
//! and freed before would hide what a connection costs.

use std::time::{Duration, Instant};

use serde::Serialize;
use thng_pubsub_protocol::mqtt::QoS;

use crate::clients::Clients;
use crate::process;
use crate::target::Target;

/// How long the broker is left alone before its memory is read.
const SETTLE: Duration = Duration::from_millis(500);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// How many connections were opened; all of them were still open at the end.
    pub connections: usize,
    /// Connections per second, from opening the socket to SUBACK.
    pub connects_per_s: f64,
    /// Memory of the broker for each, in KiB; only if its process is known.
    pub kib_per_connection: Option<f64>,
    /// Memory of the broker before, in KiB.
    pub idle_kib: Option<u64>,
    /// CPU time of the broker for each connect, in microseconds.
    pub cpu_us_per_connect: Option<f64>,
}

/// Opens the connections, reads the broker's memory, and lets them go.
pub(super) fn measure(count: usize, target: &Target) -> anyhow::Result<Figures> {
    let topics: Vec<[String; 1]> = target.topics(count)?.into_iter().map(|topic| [topic]).collect();
    let mut clients = Clients::new()?;
    let idle_kib = target.pid.map(process::resident_kib).transpose()?;
    let cpu_before = target.pid.map(process::cpu_time).transpose()?;
    let started = Instant::now();
    clients.open(count, target, QoS::AtLeastOnce, |index| &topics[index])?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_after = target.pid.map(process::cpu_time).transpose()?;
    // Also notices a connection that the broker has closed.
    while started.elapsed().as_secs_f64() < seconds + SETTLE.as_secs_f64() {
        clients.turn(Some(SETTLE / 10), |_, _, _, _| Ok(()))?;
    }
    let full_kib = target.pid.map(process::resident_kib).transpose()?;
    let each = count as f64;
    Ok(Figures {
        connections: count,
        connects_per_s: each / seconds,
        kib_per_connection: full_kib
            .zip(idle_kib)
            .map(|(full, idle)| full.saturating_sub(idle) as f64 / each),
        idle_kib,
        cpu_us_per_connect: cpu_after
            .zip(cpu_before)
            .map(|(to, from)| (to - from).as_secs_f64() * 1e6 / each),
    })
}
