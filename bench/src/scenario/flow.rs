//! Rates: publishers send as fast as their messages come back, and deliveries are counted at the receivers.
//!
//! Fan-out, fan-in and series are this loop with different numbers: every receiver gets every message. The loop is
//! closed by a window: no more than so many messages may be on their way to the slowest receiver. So the broker is
//! always busy, its queues stay bounded, and it has no reason to drop anything; what is lost is lost by it.

use std::time::{Duration, Instant};

use serde::Serialize;
use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS, encode_puback};

use super::Settings;
use crate::clients::Clients;
use crate::message::Message;
use crate::process;
use crate::target::Target;

/// Messages on their way, in a fan-out, per receiver.
const WINDOW_FANOUT: usize = 100;

/// Messages on their way, in a fan-in, of all publishers together: 40 of each of 50.
const WINDOW_FANIN: usize = 2000;

/// Publishes of one connection that are not acknowledged, at QoS 1. Below what brokers bound it to.
const IN_FLIGHT_MAX: usize = 1000;

/// How long nothing may arrive until what is missing is taken as lost and the window opens again.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// How long to wait, at the end, for what is still on its way.
const DRAIN: Duration = Duration::from_secs(3);

/// The publishers, the receivers and the topics.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Connections that publish; each has its share of the topics.
    pub publishers: usize,
    /// Connections that receive, each on all topics.
    pub receivers: usize,
    /// How many topics.
    pub topics: usize,
    /// 0 or 1.
    pub qos: u8,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Messages that were on their way to the slowest receiver, at the most.
    pub window: usize,
    /// Messages that arrived at a receiver, per second.
    pub deliveries_per_s: f64,
    /// Messages that were sent, per second.
    pub publishes_per_s: f64,
    /// PUBACKs per second; only at QoS 1.
    pub acknowledged_per_s: Option<f64>,
    /// CPU time of the broker for each delivery, in microseconds; only if its process is known.
    pub cpu_us_per_delivery: Option<f64>,
    /// How many CPUs the broker kept busy.
    pub broker_cpus: Option<f64>,
    /// How many CPUs this program kept busy; near 1 it may itself be the limit.
    pub generator_cpus: f64,
    /// Messages that were sent, from warm-up to end.
    pub sent: u64,
    /// Deliveries that were due for them.
    pub expected: u64,
    /// Deliveries that arrived.
    pub received: u64,
    /// Deliveries that did not arrive.
    pub lost: u64,
    /// Deliveries that were not due.
    pub surplus: u64,
}

/// Runs the loop.
pub(super) fn measure(shape: &Shape, target: &Target, settings: &Settings) -> anyhow::Result<Figures> {
    let qos = if shape.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    let topics = target.topics(shape.topics)?;
    let mut clients = Clients::new()?;
    clients.open(shape.receivers, target, qos, |_| &topics)?;
    clients.open(shape.publishers, target, qos, |_| &[])?;
    let messages: anyhow::Result<Vec<Message>> =
        topics.iter().map(|topic| Message::new(topic, settings.payload_bytes(), qos)).collect();
    let window = settings.window.unwrap_or(if shape.publishers == 1 { WINDOW_FANOUT } else { WINDOW_FANIN });
    let mut flow = Flow::new(shape, window, messages?, qos);

    let begin = Instant::now();
    flow.run_until(begin + settings.warm_up, &mut clients)?;
    let from = flow.reading(target)?;
    flow.run_until(from.at + settings.measure, &mut clients)?;
    let to = flow.reading(target)?;
    flow.drain(&mut clients)?;
    Ok(flow.figures(shape, &from, &to))
}

/// One who sends.
#[derive(Debug)]
struct Publisher {
    packet_id: PacketId,
    /// Sent and not acknowledged; always 0 at QoS 0.
    in_flight: usize,
    /// Which of its messages is next.
    next: usize,
}

/// The loop's state: all counts are since its start.
struct Flow {
    qos: QoS,
    window: usize,
    messages: Vec<Message>,
    publishers: Vec<Publisher>,
    /// Whose turn it is, so that all send alike.
    turn: usize,
    sent: u64,
    acknowledged: u64,
    /// Deliveries, by receiver.
    received: Vec<u64>,
    total: u64,
    /// What every receiver has, at least.
    floor: u64,
    /// How many receivers have no more than that.
    at_floor: usize,
    /// Messages up to this one are no longer waited for.
    written_off: u64,
    last_arrival: Instant,
}

/// The counts at one moment.
#[derive(Debug)]
struct Reading {
    at: Instant,
    sent: u64,
    acknowledged: u64,
    received: u64,
    broker: Option<Duration>,
    own: Duration,
}

impl Flow {
    fn new(shape: &Shape, window: usize, messages: Vec<Message>, qos: QoS) -> Self {
        let publisher =
            |number| Publisher { packet_id: PacketId::MIN, in_flight: 0, next: number % messages.len() };
        let publishers = (0..shape.publishers).map(publisher).collect();
        Self {
            qos,
            window,
            messages,
            publishers,
            turn: 0,
            sent: 0,
            acknowledged: 0,
            received: vec![0; shape.receivers],
            total: 0,
            floor: 0,
            at_floor: shape.receivers,
            written_off: 0,
            last_arrival: Instant::now(),
        }
    }

    fn run_until(&mut self, end: Instant, clients: &mut Clients) -> anyhow::Result<()> {
        while Instant::now() < end {
            self.top_up(clients)?;
            self.turn(clients)?;
            if self.last_arrival.elapsed() > LOST_AFTER {
                self.written_off = self.sent;
                self.last_arrival = Instant::now();
            }
        }
        Ok(())
    }

    /// Waits for what is on its way.
    fn drain(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        self.last_arrival = Instant::now();
        while self.floor < self.sent && self.last_arrival.elapsed() < DRAIN {
            self.turn(clients)?;
        }
        Ok(())
    }

    /// Serves what has happened.
    fn turn(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        let before = self.total;
        clients.turn(Some(Duration::from_millis(100)), |index, packet, _, outgoing| {
            match packet {
                Packet::Publish(publish) => {
                    if let Some(packet_id) = publish.packet_id {
                        encode_puback(packet_id, outgoing);
                    }
                    self.deliver(index);
                }
                Packet::PubAck(_) => {
                    self.acknowledged += 1;
                    let publisher = index - self.received.len();
                    self.publishers[publisher].in_flight =
                        self.publishers[publisher].in_flight.saturating_sub(1);
                }
                _ => {}
            }
            Ok(())
        })?;
        if self.total > before {
            self.last_arrival = Instant::now();
        }
        Ok(())
    }

    /// Counts a delivery, and notices when the slowest receiver has moved on.
    fn deliver(&mut self, receiver: usize) {
        self.total += 1;
        let count = &mut self.received[receiver];
        *count += 1;
        if *count == self.floor + 1 {
            self.at_floor -= 1;
            if self.at_floor == 0 {
                self.floor = self.received.iter().copied().min().unwrap_or(0);
                self.at_floor = self.received.iter().filter(|count| **count == self.floor).count();
            }
        }
    }

    /// How many messages may be sent now.
    fn credit(&self) -> usize {
        let on_the_way = self.sent - self.floor.max(self.written_off).min(self.sent);
        self.window.saturating_sub(usize::try_from(on_the_way).unwrap_or(usize::MAX))
    }

    /// Sends what the window allows, in equal shares.
    fn top_up(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        let credit = self.credit();
        if credit == 0 {
            return Ok(());
        }
        let share = credit.div_ceil(self.publishers.len());
        let mut left = credit;
        for _ in 0..self.publishers.len() {
            if left == 0 {
                break;
            }
            let index = self.turn;
            self.turn = (self.turn + 1) % self.publishers.len();
            left -= self.send(index, share.min(left), clients)?;
        }
        Ok(())
    }

    /// Sends up to `count` messages of one publisher; returns how many it took.
    fn send(&mut self, index: usize, count: usize, clients: &mut Clients) -> anyhow::Result<usize> {
        let client = self.received.len() + index;
        if !clients.is_flushed(client) {
            return Ok(0);
        }
        let (step, publisher) = (self.publishers.len(), &mut self.publishers[index]);
        let count = count.min(IN_FLIGHT_MAX.saturating_sub(publisher.in_flight));
        let outgoing = clients.outgoing(client);
        for _ in 0..count {
            self.messages[publisher.next].append(publisher.packet_id, outgoing);
            publisher.packet_id = publisher.packet_id.successor();
            publisher.next += step;
            if publisher.next >= self.messages.len() {
                publisher.next = index % self.messages.len();
            }
        }
        if self.qos == QoS::AtLeastOnce {
            publisher.in_flight += count;
        }
        self.sent += count as u64;
        clients.flush(client)?;
        Ok(count)
    }

    fn reading(&self, target: &Target) -> anyhow::Result<Reading> {
        Ok(Reading {
            at: Instant::now(),
            sent: self.sent,
            acknowledged: self.acknowledged,
            received: self.total,
            broker: target.pid.map(process::cpu_time).transpose()?,
            own: process::cpu_time(std::process::id())?,
        })
    }

    fn figures(&self, shape: &Shape, from: &Reading, to: &Reading) -> Figures {
        let seconds = (to.at - from.at).as_secs_f64();
        let deliveries = (to.received - from.received) as f64;
        let broker = to.broker.zip(from.broker).map(|(to, from)| (to - from).as_secs_f64());
        let missing = self.received.iter().map(|count| self.sent.saturating_sub(*count)).sum();
        let surplus = self.received.iter().map(|count| count.saturating_sub(self.sent)).sum();
        Figures {
            window: self.window,
            deliveries_per_s: deliveries / seconds,
            publishes_per_s: (to.sent - from.sent) as f64 / seconds,
            acknowledged_per_s: (self.qos == QoS::AtLeastOnce)
                .then(|| (to.acknowledged - from.acknowledged) as f64 / seconds),
            cpu_us_per_delivery: broker.map(|cpu| cpu * 1e6 / deliveries.max(1.0)),
            broker_cpus: broker.map(|cpu| cpu / seconds),
            generator_cpus: (to.own - from.own).as_secs_f64() / seconds,
            sent: self.sent,
            expected: self.sent * shape.receivers as u64,
            received: self.total,
            lost: missing,
            surplus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(receivers: usize, window: usize) -> Flow {
        let shape = Shape { publishers: 1, receivers, topics: 1, qos: 0 };
        Flow::new(&shape, window, vec![Message::new("a", 100, QoS::AtMostOnce).unwrap()], QoS::AtMostOnce)
    }

    #[test]
    fn the_window_is_held_by_the_slowest_receiver() {
        let mut flow = flow(2, 3);
        assert_eq!(flow.credit(), 3);
        flow.sent = 3;
        (0..3).for_each(|_| flow.deliver(0));
        assert_eq!(flow.credit(), 0, "the second has nothing yet");
        flow.deliver(1);
        assert_eq!(flow.credit(), 1);
        flow.deliver(1);
        flow.deliver(1);
        assert_eq!(flow.credit(), 3);
    }

    #[test]
    fn a_written_off_message_opens_the_window_and_counts_as_lost() {
        let mut flow = flow(2, 2);
        flow.sent = 2;
        flow.deliver(0);
        flow.deliver(0);
        flow.written_off = flow.sent;
        assert_eq!(flow.credit(), 2);
        let shape = Shape { publishers: 1, receivers: 2, topics: 1, qos: 0 };
        let target = Target::anonymous("127.0.0.1:1".parse().unwrap());
        let (from, to) = (flow.reading(&target).unwrap(), flow.reading(&target).unwrap());
        let figures = flow.figures(&shape, &from, &to);
        assert_eq!((figures.expected, figures.received, figures.lost, figures.surplus), (4, 2, 2, 0));
    }

    #[test]
    fn a_delivery_too_many_is_surplus_and_hides_no_loss() {
        let mut flow = flow(2, 2);
        flow.sent = 1;
        flow.deliver(0);
        flow.deliver(0);
        let shape = Shape { publishers: 1, receivers: 2, topics: 1, qos: 0 };
        let target = Target::anonymous("127.0.0.1:1".parse().unwrap());
        let (from, to) = (flow.reading(&target).unwrap(), flow.reading(&target).unwrap());
        let figures = flow.figures(&shape, &from, &to);
        assert_eq!((figures.lost, figures.surplus), (1, 1));
    }
}
