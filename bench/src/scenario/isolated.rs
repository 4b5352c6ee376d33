//! Fan-out of single messages: how long until the last receiver has one, and what a delivery costs.
//!
//! A message is sent when every receiver has the one before, and after a pause in which the broker falls idle. Nothing can
//! be done together for two messages, as in a [`flow`](super::flow).

use std::time::{Duration, Instant};

use serde::Serialize;
use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS, encode_puback};

use super::Settings;
use crate::clients::Clients;
use crate::message::Message;
use crate::process;
use crate::statistics::Samples;
use crate::target::Target;

/// The time between the last arrival of a message and the next message.
const PAUSE: Duration = Duration::from_millis(20);

/// How long nothing may arrive until what is missing is taken as lost.
const LOST_AFTER: Duration = Duration::from_secs(3);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Connections that receive each message.
    pub receivers: usize,
    /// Half of the messages had reached every receiver within this time after they were sent, in milliseconds.
    pub p50_ms: f64,
    /// All had.
    pub max_ms: f64,
    /// CPU time of the broker for each delivery, in microseconds; only if its process is known.
    pub cpu_us_per_delivery: Option<f64>,
    /// CPU time of this program for each delivery, in microseconds.
    pub generator_us_per_delivery: f64,
    /// Messages that were sent, from warm-up to end.
    pub sent: u64,
    /// Deliveries that were due for them.
    pub expected: u64,
    /// Deliveries that did not arrive.
    pub lost: u64,
    /// Deliveries that were not due.
    pub surplus: u64,
}

/// Sends one message after the other.
pub(super) fn measure(
    receivers: usize,
    qos: u8,
    target: &Target,
    settings: &Settings,
) -> anyhow::Result<Figures> {
    let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    let topics = target.topics(1)?;
    let mut clients = Clients::new()?;
    clients.open(receivers, target, qos, |_| &topics)?;
    clients.open(1, target, qos, |_| &[])?;
    let message = Message::new(&topics[0], settings.payload_bytes(), qos)?;
    let mut run = Run::new(message, receivers);
    run.until(Instant::now() + settings.warm_up, &mut clients)?;
    run.took.clear();
    let (begin, delivered) = (Instant::now(), run.delivered());
    let cpu = || -> anyhow::Result<_> {
        Ok((target.pid.map(process::cpu_time).transpose()?, process::cpu_time(std::process::id())?))
    };
    let (broker, own) = cpu()?;
    run.until(begin + settings.measure, &mut clients)?;
    let (broker_end, own_end) = cpu()?;
    let each = (run.delivered() - delivered).max(1) as f64;
    let micros = |from: Duration, to: Duration| (to - from).as_secs_f64() * 1e6 / each;
    let took = Samples::new(run.took);
    let ms = |nanos: u64| nanos as f64 / 1e6;
    Ok(Figures {
        receivers,
        p50_ms: ms(took.percentile(50.0)),
        max_ms: ms(took.max()),
        cpu_us_per_delivery: broker.zip(broker_end).map(|(from, to)| micros(from, to)),
        generator_us_per_delivery: micros(own, own_end),
        sent: run.sent,
        expected: run.sent * receivers as u64,
        lost: run.lost,
        surplus: run.surplus,
    })
}

/// The messages so far.
struct Run {
    message: Message,
    packet_id: PacketId,
    /// Whether a receiver has the last message.
    has_it: Vec<bool>,
    /// Receivers that do not have it.
    missing: usize,
    last_arrival: Instant,
    sent: u64,
    lost: u64,
    surplus: u64,
    /// Nanoseconds until the last receiver had a message.
    took: Vec<u64>,
}

impl Run {
    fn new(message: Message, receivers: usize) -> Self {
        Self {
            message,
            packet_id: PacketId::MIN,
            has_it: vec![true; receivers],
            missing: 0,
            last_arrival: Instant::now(),
            sent: 0,
            lost: 0,
            surplus: 0,
            took: Vec::new(),
        }
    }

    fn delivered(&self) -> u64 {
        self.sent * self.has_it.len() as u64 - self.lost
    }

    /// Sends messages until then, at least one.
    fn until(&mut self, end: Instant, clients: &mut Clients) -> anyhow::Result<()> {
        loop {
            self.send(clients)?;
            let pause_end = Instant::now() + PAUSE;
            while let Some(rest) = pause_end.checked_duration_since(Instant::now()) {
                // The timeout counts whole milliseconds.
                self.turn(rest.max(Duration::from_millis(1)), clients)?;
            }
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// Sends a message and waits until all receivers have it.
    fn send(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        let receivers = self.has_it.len();
        self.has_it.fill(false);
        self.missing = receivers;
        let start = Instant::now();
        self.last_arrival = start;
        self.message.append_numbered(self.packet_id, self.sent, clients.outgoing(receivers));
        self.packet_id = self.packet_id.successor();
        self.sent += 1;
        clients.flush(receivers)?;
        while self.missing > 0 && self.last_arrival.elapsed() < LOST_AFTER {
            self.turn(Duration::from_millis(100), clients)?;
        }
        if self.missing == 0 {
            self.took.push(u64::try_from((self.last_arrival - start).as_nanos()).unwrap_or(u64::MAX));
        }
        self.lost += self.missing as u64;
        Ok(())
    }

    fn turn(&mut self, wait: Duration, clients: &mut Clients) -> anyhow::Result<()> {
        clients.turn(Some(wait), |index, packet, _, outgoing| {
            if let Packet::Publish(publish) = packet {
                if let Some(packet_id) = publish.packet_id {
                    encode_puback(packet_id, outgoing);
                }
                self.arrive(index);
            }
            Ok(())
        })
    }

    fn arrive(&mut self, receiver: usize) {
        if std::mem::replace(&mut self.has_it[receiver], true) {
            self.surplus += 1;
        } else {
            self.missing -= 1;
            self.last_arrival = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_delivery_of_a_message_is_surplus() {
        let mut run = Run::new(Message::new("a", 100, QoS::AtMostOnce).unwrap(), 2);
        (run.has_it, run.missing, run.sent) = (vec![false; 2], 2, 1);
        run.arrive(0);
        run.arrive(0);
        assert_eq!((run.missing, run.surplus), (1, 1));
        run.lost = 1;
        assert_eq!(run.delivered(), 1);
    }
}
