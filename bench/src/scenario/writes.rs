//! Writes of single values to properties that are chosen at random: the rate, and what reaches the disk.
//!
//! Each property has a value before. Then come a steady rate, as in [`latency`](super::latency) but until PUBACK, and a
//! closed loop in which each publisher has some writes on their way. There are no receivers.

use std::time::{Duration, Instant};

use anyhow::bail;
use fastrand::Rng;
use serde::Serialize;
use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS};

use super::Settings;
use super::latency::{Counts, Steady, Times, due_in};
use crate::clients::Clients;
use crate::message::{self, Message};
use crate::process;
use crate::target::Target;

/// Writes of one publisher that are on their way, in the closed loop.
const WINDOW: usize = 20;

/// How long no write may be acknowledged.
const LIMIT: Duration = Duration::from_secs(30);

/// The random choice is the same in every run.
const SEED: u64 = 17;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Properties, each with a series of values.
    pub series: usize,
    /// Writes on their way in the closed loop, of all publishers together.
    pub window: usize,
    /// Acknowledged writes per second, in the closed loop.
    pub publishes_per_s: f64,
    /// CPU time and bytes of a write in the closed loop.
    pub closed: Option<Costs>,
    /// Writes per second that were due at the steady rate.
    pub per_s: u32,
    /// Half of the writes at the steady rate were acknowledged within this time, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 were.
    pub p99_ms: f64,
    /// All were.
    pub max_ms: f64,
    /// 99 of 100 were sent within this time after they were due: our own share.
    pub late_p99_ms: f64,
    /// CPU time and bytes of a write at the steady rate.
    pub steady: Option<Costs>,
    /// Writes at the steady rate, from warm-up to end.
    pub sent: u64,
    /// Writes without a PUBACK.
    pub lost: u64,
    /// Acknowledgements without a write.
    pub surplus: u64,
}

/// What one write costs the broker; only if its process is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Costs {
    /// CPU time, in microseconds.
    pub cpu_us_per_publish: f64,
    /// Bytes that the process had written to the disk.
    pub disk_bytes_per_publish: f64,
}

/// Writes in all ways, one after the other.
pub(super) fn measure(
    series: usize,
    publishers: usize,
    per_s: u32,
    target: &Target,
    settings: &Settings,
) -> anyhow::Result<Figures> {
    let topics = target.topics(series)?;
    let payload_bytes = settings.payload_bytes.unwrap_or(message::PAYLOAD_BYTES_MIN);
    let messages = || -> anyhow::Result<Vec<Message>> {
        topics.iter().map(|topic| Message::new(topic, payload_bytes, QoS::AtLeastOnce)).collect()
    };
    let window = settings.window.map_or(WINDOW, |all| all.div_ceil(publishers));
    let mut writers = Writers::open(publishers, window, messages()?, target)?;
    let mut all = 0..series;
    writers.run(|| all.next())?;
    writers.drain()?;

    let mut random = Rng::with_seed(SEED);
    let mut steady = Steady::scattered(publishers, per_s, messages()?, random.fork(), target)?;
    let first = due_in(settings.warm_up, per_s);
    steady.until(first)?;
    let from = Reading::of(target)?;
    steady.until(first + due_in(settings.measure, per_s))?;
    let steady_costs = Reading::of(target)?.since(&from, steady.sent() - first);
    let run = steady.drained()?;
    let Times { p50_ms, p99_ms, max_ms, late_p99_ms, .. } = run.times(first..run.counts().sent);
    let Counts { sent, lost, surplus } = run.counts();

    let mut random_until = |end: Instant| {
        let mut random = random.fork();
        move || (Instant::now() < end).then(|| random.usize(..series))
    };
    writers.run(random_until(Instant::now() + settings.warm_up))?;
    let (from, start, before) = (Reading::of(target)?, Instant::now(), writers.acknowledged);
    writers.run(random_until(start + settings.measure))?;
    let (seconds, count) = (start.elapsed().as_secs_f64(), writers.acknowledged - before);
    let closed = Reading::of(target)?.since(&from, count);
    writers.drain()?;
    Ok(Figures {
        series,
        window: window * publishers,
        publishes_per_s: count as f64 / seconds,
        closed,
        per_s,
        p50_ms,
        p99_ms,
        max_ms,
        late_p99_ms,
        steady: steady_costs,
        sent,
        lost,
        surplus,
    })
}

/// What the broker's process has used so far; nothing if it is not known.
struct Reading(Option<(Duration, u64)>);

impl Reading {
    fn of(target: &Target) -> anyhow::Result<Self> {
        let read = |pid| anyhow::Ok((process::cpu_time(pid)?, process::disk_bytes(pid)?));
        Ok(Self(target.pid.map(read).transpose()?))
    }

    fn since(&self, earlier: &Self, publishes: u64) -> Option<Costs> {
        let ((cpu, bytes), (cpu_before, bytes_before)) = self.0.zip(earlier.0)?;
        let each = publishes.max(1) as f64;
        Some(Costs {
            cpu_us_per_publish: (cpu - cpu_before).as_secs_f64() * 1e6 / each,
            disk_bytes_per_publish: (bytes - bytes_before) as f64 / each,
        })
    }
}

/// Publishers in a closed loop.
struct Writers {
    clients: Clients,
    messages: Vec<Message>,
    packet_ids: Vec<PacketId>,
    /// Writes without a PUBACK, by publisher.
    in_flight: Vec<usize>,
    window: usize,
    acknowledged: u64,
}

impl Writers {
    fn open(count: usize, window: usize, messages: Vec<Message>, target: &Target) -> anyhow::Result<Self> {
        let mut clients = Clients::new()?;
        clients.open(count, target, QoS::AtLeastOnce, |_| &[])?;
        let (packet_ids, in_flight) = (vec![PacketId::MIN; count], vec![0; count]);
        Ok(Self { clients, messages, packet_ids, in_flight, window, acknowledged: 0 })
    }

    /// Sends the messages with these numbers, as fast as they are acknowledged, until there is none.
    fn run(&mut self, mut next: impl FnMut() -> Option<usize>) -> anyhow::Result<()> {
        loop {
            for publisher in 0..self.in_flight.len() {
                while self.in_flight[publisher] < self.window {
                    let Some(number) = next() else { return Ok(()) };
                    let packet_id = self.packet_ids[publisher];
                    self.messages[number].append(packet_id, self.clients.outgoing(publisher));
                    self.packet_ids[publisher] = packet_id.successor();
                    self.in_flight[publisher] += 1;
                }
                self.clients.flush(publisher)?;
            }
            self.turn()?;
        }
    }

    /// Waits for the acknowledgements of all that was sent.
    fn drain(&mut self) -> anyhow::Result<()> {
        for publisher in 0..self.in_flight.len() {
            self.clients.flush(publisher)?;
        }
        while self.in_flight.iter().any(|waiting| *waiting > 0) {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits for acknowledgements.
    fn turn(&mut self) -> anyhow::Result<()> {
        let (before, start) = (self.acknowledged, Instant::now());
        while self.acknowledged == before {
            let (in_flight, acknowledged) = (&mut self.in_flight, &mut self.acknowledged);
            self.clients.turn(Some(Duration::from_millis(100)), |publisher, packet, _, _| {
                if let Packet::PubAck(_) = packet {
                    in_flight[publisher] = in_flight[publisher].saturating_sub(1);
                    *acknowledged += 1;
                }
                Ok(())
            })?;
            if start.elapsed() > LIMIT {
                bail!("after {before} writes the server stopped acknowledging");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_what_was_used_between_two_readings() {
        let reading = |ms, bytes| Reading(Some((Duration::from_millis(ms), bytes)));
        let costs = reading(30, 5_000).since(&reading(10, 1_000), 4).unwrap();
        assert_eq!((costs.cpu_us_per_publish, costs.disk_bytes_per_publish), (5_000.0, 1_000.0));
        assert_eq!(Reading(None).since(&reading(10, 1_000), 4), None);
    }
}
