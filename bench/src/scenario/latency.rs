//! Latency at a steady rate, over pairs of publisher and receiver, at QoS 1.
//!
//! The schedule is open: a message is due whether the last one has arrived or not, and its latency counts from the
//! moment when it was due. A broker that stops for a while is therefore charged for all messages that waited. So is
//! this program when it sends late, which is a figure of its own.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;
use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS, encode_puback};

use super::Settings;
use crate::clients::Clients;
use crate::message::{self, Message};
use crate::pacer::Pacer;
use crate::process;
use crate::statistics::Samples;
use crate::target::Target;

/// How long to wait, at the end, for what is still on its way.
const DRAIN: Duration = Duration::from_secs(3);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Messages per second that were due.
    pub per_s: u32,
    /// Half of the messages arrived within this time, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 did.
    pub p99_ms: f64,
    /// All did.
    pub max_ms: f64,
    /// 99 of 100 messages were sent within this time after they were due: our own share.
    pub late_p99_ms: f64,
    /// CPU time of the broker for each message, in microseconds; only if its process is known.
    pub cpu_us_per_message: Option<f64>,
    /// Messages that were sent, from warm-up to end.
    pub sent: u64,
    /// Messages that did not arrive.
    pub lost: u64,
    /// Messages that arrived more than once.
    pub surplus: u64,
}

/// From when a message was due to its arrival, in milliseconds, and from then to its sending.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    pub(super) late_p99_ms: f64,
    pub(super) late_max_ms: f64,
}

/// The end of a message's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Its receiver has it.
    Received,
    /// Its publisher has the PUBACK. There are no receivers.
    Acknowledged,
}

/// Messages, from warm-up to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) surplus: u64,
}

/// When message 0 is due, and how far apart the others are.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    start: Instant,
    per_s: u32,
}

impl Schedule {
    fn due(self, number: u64) -> Instant {
        self.start + Duration::from_nanos(number * 1_000_000_000 / u64::from(self.per_s))
    }

    /// How many messages are due by `now`.
    fn count(self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(nanos * u128::from(self.per_s) / 1_000_000_000 + 1).unwrap_or(u64::MAX)
    }
}

/// Keeps to the schedule and records the time of each arrival.
pub(super) fn measure(
    pairs: usize,
    per_s: u32,
    target: &Target,
    settings: &Settings,
) -> anyhow::Result<Figures> {
    let (first, end) = (due_in(settings.warm_up, per_s), due_in(settings.warm_up + settings.measure, per_s));
    let mut steady = Steady::open(pairs, per_s, Until::Received, target, settings)?;
    steady.until(first)?;
    let cpu_before = target.pid.map(process::cpu_time).transpose()?;
    steady.until(end)?;
    let cpu_after = target.pid.map(process::cpu_time).transpose()?;
    let run = steady.drained()?;
    let cpu = cpu_after.zip(cpu_before).map(|(to, from)| (to - from).as_secs_f64() * 1e6);
    Ok(run.figures(first, cpu.map(|cpu| cpu / (end - first).max(1) as f64)))
}

/// How many messages are due in a time.
pub(super) fn due_in(time: Duration, per_s: u32) -> u64 {
    (time.as_secs_f64() * f64::from(per_s)).round() as u64
}

/// Pairs that are connected, and the schedule that they keep to.
pub(super) struct Steady {
    run: Run,
    pacer: Pacer,
    clients: Clients,
}

impl Steady {
    /// Connects the pairs; message 0 is due when they are.
    pub(super) fn open(
        pairs: usize,
        per_s: u32,
        until: Until,
        target: &Target,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let topics: Vec<[String; 1]> = target.topics(pairs)?.into_iter().map(|topic| [topic]).collect();
        let mut clients = Clients::new()?;
        if until == Until::Received {
            clients.open(pairs, target, QoS::AtLeastOnce, |index| &topics[index])?;
        }
        clients.open(pairs, target, QoS::AtLeastOnce, |_| &[])?;
        let message = |[topic]: &[String; 1]| Message::new(topic, settings.payload_bytes(), QoS::AtLeastOnce);
        let messages = topics.iter().map(message).collect::<anyhow::Result<Vec<_>>>()?;
        Self::start(clients, |schedule| Run::new(schedule, messages, pairs, until), per_s)
    }

    /// Connects publishers, each of which sends messages that are chosen at random, until PUBACK.
    pub(super) fn scattered(
        publishers: usize,
        per_s: u32,
        messages: Vec<Message>,
        random: Rng,
        target: &Target,
    ) -> anyhow::Result<Self> {
        let mut clients = Clients::new()?;
        clients.open(publishers, target, QoS::AtLeastOnce, |_| &[])?;
        let run = |schedule| Run {
            random: Some(random),
            ..Run::new(schedule, messages, publishers, Until::Acknowledged)
        };
        Self::start(clients, run, per_s)
    }

    fn start(mut clients: Clients, run: impl FnOnce(Schedule) -> Run, per_s: u32) -> anyhow::Result<Self> {
        let pacer = Pacer::new()?;
        clients.pace(&pacer)?;
        let schedule = Schedule { start: Instant::now(), per_s };
        Ok(Self { run: run(schedule), pacer, clients })
    }

    /// How many messages were sent.
    pub(super) fn sent(&self) -> u64 {
        self.run.sent
    }

    /// Sends what is due, up to message `end`, and takes what arrives.
    pub(super) fn until(&mut self, end: u64) -> anyhow::Result<()> {
        self.run.until(end, &self.pacer, &mut self.clients)
    }

    /// What has become of the messages, when the last has arrived or is given up.
    pub(super) fn drained(mut self) -> anyhow::Result<Run> {
        self.run.drain(&mut self.clients)?;
        Ok(self.run)
    }
}

/// The state of one run: per message, how late it was sent and how long it took.
pub(super) struct Run {
    schedule: Schedule,
    /// One for each publisher, or any number to choose from.
    messages: Vec<Message>,
    random: Option<Rng>,
    packet_ids: Vec<PacketId>,
    until: Until,
    /// The first publisher, by number of the client.
    first_publisher: usize,
    /// Numbers of the messages that each publisher has no PUBACK for, oldest first.
    unacknowledged: Vec<VecDeque<u64>>,
    sent: u64,
    /// Nanoseconds between due and sent, by number of the message.
    late: Vec<u64>,
    /// Nanoseconds between due and arrived, by number of the message.
    took: Vec<Option<u64>>,
    received: u64,
    surplus: u64,
}

impl Run {
    fn new(schedule: Schedule, messages: Vec<Message>, publishers: usize, until: Until) -> Self {
        Self {
            schedule,
            messages,
            random: None,
            packet_ids: vec![PacketId::MIN; publishers],
            until,
            first_publisher: if until == Until::Received { publishers } else { 0 },
            unacknowledged: vec![VecDeque::new(); publishers],
            sent: 0,
            late: Vec::new(),
            took: Vec::new(),
            received: 0,
            surplus: 0,
        }
    }

    /// Sends what is due, up to message `end`, and takes what arrives.
    fn until(&mut self, end: u64, pacer: &Pacer, clients: &mut Clients) -> anyhow::Result<()> {
        while self.sent < end {
            let due = self.schedule.count(Instant::now()).min(end);
            while self.sent < due {
                self.send(clients)?;
            }
            if self.sent < end {
                pacer.set(self.schedule.due(self.sent).saturating_duration_since(Instant::now()))?;
                self.turn(Duration::from_millis(100), clients)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        let pair = (self.sent % self.packet_ids.len() as u64) as usize;
        let message = match &mut self.random {
            Some(random) => random.usize(..self.messages.len()),
            None => pair,
        };
        let client = self.first_publisher + pair;
        let outgoing = clients.outgoing(client);
        self.messages[message].append_numbered(self.packet_ids[pair], self.sent, outgoing);
        self.packet_ids[pair] = self.packet_ids[pair].successor();
        self.late.push(nanos_since(self.schedule.due(self.sent)));
        self.took.push(None);
        if self.until == Until::Acknowledged {
            self.unacknowledged[pair].push_back(self.sent);
        }
        self.sent += 1;
        clients.flush(client)
    }

    fn turn(&mut self, wait: Duration, clients: &mut Clients) -> anyhow::Result<()> {
        clients.turn(Some(wait), |client, packet, _, outgoing| {
            match packet {
                Packet::Publish(publish) => {
                    if let Some(packet_id) = publish.packet_id {
                        encode_puback(packet_id, outgoing);
                    }
                    if let Some(number) = message::number(publish.payload) {
                        self.arrive(number);
                    }
                }
                Packet::PubAck(_) if self.until == Until::Acknowledged => self.acknowledge(client),
                _ => {}
            }
            Ok(())
        })
    }

    /// Acknowledgements come in the order of the messages. [MQTT-4.6.0-2]
    fn acknowledge(&mut self, client: usize) {
        match self.unacknowledged[client - self.first_publisher].pop_front() {
            Some(number) => self.arrive(number),
            None => self.surplus += 1,
        }
    }

    fn arrive(&mut self, number: u64) {
        let took = nanos_since(self.schedule.due(number));
        match self.took.get_mut(number as usize) {
            Some(slot @ None) => {
                *slot = Some(took);
                self.received += 1;
            }
            _ => self.surplus += 1,
        }
    }

    fn drain(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        let end = Instant::now() + DRAIN;
        while self.received < self.sent && Instant::now() < end {
            self.turn(Duration::from_millis(100), clients)?;
        }
        Ok(())
    }

    /// The figures of the messages from `first` on.
    fn figures(&self, first: u64, cpu_us_per_message: Option<f64>) -> Figures {
        let Times { p50_ms, p99_ms, max_ms, late_p99_ms, .. } = self.times(first..self.sent);
        let Counts { sent, lost, surplus } = self.counts();
        let per_s = self.schedule.per_s;
        Figures { per_s, p50_ms, p99_ms, max_ms, late_p99_ms, cpu_us_per_message, sent, lost, surplus }
    }

    /// How long some of the messages took.
    pub(super) fn times(&self, numbers: Range<u64>) -> Times {
        let numbers = numbers.start as usize..numbers.end as usize;
        let took = Samples::new(self.took[numbers.clone()].iter().flatten().copied().collect());
        let late = Samples::new(self.late[numbers].to_vec());
        let ms = |nanos: u64| nanos as f64 / 1e6;
        Times {
            p50_ms: ms(took.percentile(50.0)),
            p99_ms: ms(took.percentile(99.0)),
            max_ms: ms(took.max()),
            late_p99_ms: ms(late.percentile(99.0)),
            late_max_ms: ms(late.max()),
        }
    }

    /// What has become of all of them.
    pub(super) fn counts(&self) -> Counts {
        Counts { sent: self.sent, lost: self.sent - self.received, surplus: self.surplus }
    }
}

fn nanos_since(due: Instant) -> u64 {
    u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_exactly_when_the_schedule_counts_it() {
        let schedule = Schedule { start: Instant::now(), per_s: 3 };
        for number in [0, 1, 2, 3, 1000] {
            let due = schedule.due(number);
            assert!(schedule.count(due + Duration::from_nanos(1)) > number);
            if number > 0 {
                assert_eq!(schedule.count(due - Duration::from_millis(1)), number);
            }
        }
    }

    #[test]
    fn a_repeated_message_is_surplus_and_a_missing_one_lost() {
        let schedule = Schedule { start: Instant::now(), per_s: 1000 };
        let messages = vec![Message::new("a", 100, QoS::AtLeastOnce).unwrap()];
        let mut run = Run::new(schedule, messages, 1, Until::Received);
        (run.sent, run.took, run.late) = (3, vec![None; 3], vec![0; 3]);
        run.arrive(0);
        run.arrive(2);
        run.arrive(2);
        run.arrive(99);
        let figures = run.figures(0, None);
        assert_eq!((figures.lost, figures.surplus), (1, 2));
    }

    #[test]
    fn acknowledgements_belong_to_messages_in_their_order() {
        let schedule = Schedule { start: Instant::now(), per_s: 1000 };
        let messages = ["a", "b"].map(|topic| Message::new(topic, 100, QoS::AtLeastOnce).unwrap());
        let mut run = Run::new(schedule, messages.into(), 2, Until::Acknowledged);
        (run.sent, run.took, run.late) = (3, vec![None; 3], vec![0; 3]);
        run.unacknowledged = vec![[0, 2].into(), [1].into()];
        [1, 0, 1].into_iter().for_each(|client| run.acknowledge(client));
        assert!(run.took[0].is_some() && run.took[1].is_some() && run.took[2].is_none());
        assert_eq!((run.counts().lost, run.surplus), (1, 1));
    }
}
