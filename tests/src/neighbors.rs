//! Measures what one account's load costs another account: publishes, subscriptions, lists and `/ready` on a schedule.
//!
//! The schedule is an open loop: an attempt begins when it is due, whatever became of earlier ones, and its time counts
//! from then. So a server that stops for a second shows as twenty slow attempts, not as one.
//! The machine is measured beside the server by an echo of this process: what the machine itself delays is allowed on top.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS, SubAckCode, Subscribe};

use crate::keys::text;
use crate::mqtt::{Client, Ended, Hello, Received};
use crate::rest::Rest;
use crate::server::Server;
use crate::wait::{WAIT_MAX, park_until};

/// Between two attempts of one kind: 20 a second.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long an attack goes on.
const ATTACK: Duration = Duration::from_secs(6);

/// The same before it, to see that the attempts succeed and to warm the server up.
const BEFORE: Duration = Duration::from_secs(1);

/// 95 of 100 attempts take no longer, on a machine that delays nothing.
const P95_MAX: Duration = Duration::from_millis(250);

/// No attempt takes longer, on a machine that delays nothing.
const SLOWEST_MAX: Duration = Duration::from_secs(1);

/// What the server's memory may grow by at the most while an attack goes on.
const GROWTH_MAX: u64 = 64 << 20;

/// No command and no poll takes longer: about ten times what the longest are to take.
const STALL_MAX: Duration = Duration::from_millis(700);

/// What the machine delays an echo, the server may be delayed so many times: a request crosses several threads.
const CROSSINGS: u32 = 4;

/// Thngs of the neighbor's account, so that its list has something to show.
const THNGS: usize = 30;

/// An account with nothing to do with the attack.
#[derive(Debug)]
pub struct Neighbors<'a> {
    server: &'a Server,
    key: String,
    thng: String,
}

/// Tells an attacker how long to go on.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    until: Instant,
}

impl Attack {
    /// Whether the attack still goes on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }
}

/// How long each attempt took, from when it was due, and what the server's memory grew by.
pub struct Report {
    times: Vec<(&'static str, Vec<Duration>)>,
    machine: Vec<Duration>,
    growth: u64,
    /// The longest that one command held the writer, and that one connection kept a thread of the runtime.
    command: Duration,
    poll: Duration,
}

/// When attempts of one kind are due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    first: Instant,
    end: Instant,
}

impl Schedule {
    fn ticks(self) -> impl Iterator<Item = Instant> {
        (0..).map(move |tick| self.first + INTERVAL * tick).take_while(move |due| *due < self.end)
    }

    /// The same a little later, so that the kinds do not wait for each other.
    fn shifted(self, by: u32) -> Self {
        Self { first: self.first + INTERVAL / 5 * by, ..self }
    }
}

impl<'a> Neighbors<'a> {
    /// Makes another account on the server, with some thngs.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    #[track_caller]
    pub fn of(server: &'a Server) -> Neighbors<'a> {
        let made = server.administer(&["accounts", "create", "--json"]).printed();
        let made: Value = serde_json::from_str(&made).expect("an object");
        let key = text(&made, "key");
        let mut rest = server.rest_as(&key);
        let thng = (0..THNGS).map(|_| rest.thng()).last().expect("there are some");
        Neighbors { server, key, thng }
    }

    /// Attempts what a neighbor does while so many attackers do theirs, each with a number of its own and in its own
    /// thread. An attacker goes on as long as [`Attack::goes_on`] says.
    ///
    /// # Panics
    /// When an attempt fails or stays without an answer.
    #[track_caller]
    pub fn during(&self, attackers: usize, attacker: impl Fn(usize, Attack) + Sync) -> Report {
        let now = Instant::now();
        self.measure(Schedule { first: now, end: now + BEFORE });
        self.server.forget_peak();
        let before = self.server.resident_bytes();
        let first = Instant::now();
        let schedule = Schedule { first, end: first + ATTACK };
        let mut report = thread::scope(|scope| {
            for number in 0..attackers {
                let (attacker, attack) = (&attacker, Attack { until: schedule.end });
                scope.spawn(move || attacker(number, attack));
            }
            self.measure(schedule)
        });
        report.growth = self.server.resident_bytes_at_the_most().saturating_sub(before);
        report.command = self.server.longest("command_duration_seconds");
        report.poll = self.server.longest("poll_duration_seconds");
        eprintln!("{report:?}");
        report
    }

    #[track_caller]
    fn measure(&self, schedule: Schedule) -> Report {
        let (ready, lists) = (Times::default(), Times::default());
        let (publishes, subscriptions, machine) = thread::scope(|scope| {
            let machine = scope.spawn(|| echoes(schedule));
            let publishes = scope.spawn(|| self.publishes(schedule.shifted(1)));
            let subscriptions = scope.spawn(|| self.subscriptions(schedule.shifted(2)));
            self.requests(scope, schedule.shifted(3), "/thngs", &lists);
            self.requests(scope, schedule.shifted(4), "/ready", &ready);
            let taken = |thread: thread::ScopedJoinHandle<'_, Vec<Duration>>| match thread.join() {
                Ok(times) => times,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            (taken(publishes), taken(subscriptions), taken(machine))
        });
        let times = vec![
            ("publish", publishes),
            ("subscribe", subscriptions),
            ("list", lists.into_inner()),
            ("ready", ready.into_inner()),
        ];
        Report { times, machine, growth: 0, command: Duration::ZERO, poll: Duration::ZERO }
    }

    /// Each request has a connection and a thread of its own, so that none waits for another.
    fn requests<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        schedule: Schedule,
        path: &'static str,
        times: &'s Times,
    ) {
        scope.spawn(move || {
            for due in schedule.ticks() {
                park_until(due);
                scope.spawn(move || {
                    Rest::new(self.server.http(), Some(&self.key)).get(path).assert_status(200);
                    times.add(due.elapsed());
                });
            }
        });
    }

    fn publishes(&self, schedule: Schedule) -> Vec<Duration> {
        let topic = format!("/thngs/{}/properties/k", self.thng);
        self.pipeline(
            schedule,
            |client, number| client.publish_unacknowledged(&topic, &json!([{"value": number}]).to_string()),
            |packet| match packet {
                Received::PubAck(id) => Some(*id),
                _ => None,
            },
        )
    }

    fn subscriptions(&self, schedule: Schedule) -> Vec<Duration> {
        self.pipeline(
            schedule,
            |client, number| {
                let id = client.packet_id();
                let filter = format!("/thngs/{}/properties/s{number}", self.thng);
                client.send(&Packet::Subscribe(Subscribe::new(id, &[(&filter, QoS::AtLeastOnce)])));
                id
            },
            |packet| match packet {
                Received::SubAck { packet_id, codes } => {
                    assert_eq!(*codes, [SubAckCode::Granted(QoS::AtLeastOnce)]);
                    Some(*packet_id)
                }
                _ => None,
            },
        )
    }

    /// Sends one packet at each tick on one connection, and takes the time of each answer.
    fn pipeline(
        &self,
        schedule: Schedule,
        send: impl Fn(&mut Client, usize) -> PacketId,
        answered: impl Fn(&Received) -> Option<PacketId>,
    ) -> Vec<Duration> {
        let mut client = Client::connect_as(self.server, &Hello::with_key(&self.key));
        let (mut open, mut times) = (HashMap::new(), Vec::new());
        let mut ticks = schedule.ticks().enumerate().peekable();
        while ticks.peek().is_some() || !open.is_empty() {
            let next = ticks.next_if(|(_, due)| *due <= Instant::now());
            if let Some((number, due)) = next {
                open.insert(send(&mut client, number), due);
                continue;
            }
            let timeout = ticks.peek().map_or(WAIT_MAX, |(_, due)| due.duration_since(Instant::now()));
            match client.next_within(timeout) {
                Some(Ok(packet)) => {
                    let due = answered(&packet).and_then(|id| open.remove(&id));
                    times.extend(due.map(|due| due.elapsed()));
                }
                Some(Err(Ended)) => panic!("the server closed the connection of a neighbor"),
                None => assert!(ticks.peek().is_some(), "{} attempts stay unanswered", open.len()),
            }
        }
        times
    }
}

/// How long each of many attempts took.
#[derive(Debug, Default)]
struct Times(Mutex<Vec<Duration>>);

impl Times {
    fn add(&self, time: Duration) {
        self.0.lock().expect("no attempt panicked").push(time);
    }

    fn into_inner(self) -> Vec<Duration> {
        self.0.into_inner().expect("no attempt panicked")
    }
}

/// What the machine alone takes for a message and its answer between two threads, on the same schedule.
fn echoes(schedule: Schedule) -> Vec<Duration> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let address = listener.local_addr().expect("a listener has an address");
    let answers = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the other side connects");
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
    });
    let mut stream = TcpStream::connect(address).expect("the listener is there");
    stream.set_nodelay(true).expect("a TCP option can be set");
    let echo = |due: Instant| {
        park_until(due);
        stream.write_all(&[1]).expect("the other side reads");
        stream.read_exact(&mut [0]).expect("the other side answers");
        due.elapsed()
    };
    let times = schedule.ticks().map(echo).collect();
    drop(stream);
    answers.join().expect("the echo did not panic");
    times
}

/// The time that this part of the attempts does not exceed.
fn percentile(times: &[Duration], part: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let index = (sorted.len() * part).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

impl Report {
    /// # Panics
    /// When the neighbor had to wait, or the server's memory grew.
    #[track_caller]
    pub fn assert_undisturbed(&self) {
        for (kind, times) in &self.times {
            let expected = (ATTACK.as_millis() / INTERVAL.as_millis()) as usize;
            assert!(
                times.len() + 1 >= expected,
                "{} of {expected} attempts of {kind}: {self:?}",
                times.len()
            );
            let p95 = P95_MAX + percentile(&self.machine, 95) * CROSSINGS;
            assert!(percentile(times, 95) <= p95, "95 of 100 times {kind} within {p95:?}: {self:?}");
            let slowest = SLOWEST_MAX + percentile(&self.machine, 100) * CROSSINGS;
            assert!(percentile(times, 100) <= slowest, "each {kind} within {slowest:?}: {self:?}");
        }
        let stall = STALL_MAX + percentile(&self.machine, 100) * CROSSINGS;
        assert!(self.command <= stall, "no command holds the writer for {stall:?}: {self:?}");
        assert!(self.poll <= stall, "no connection keeps the runtime for {stall:?}: {self:?}");
        assert!(self.growth < GROWTH_MAX, "memory grew by less than {GROWTH_MAX} bytes: {self:?}");
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = ("machine", &self.machine);
        for (kind, times) in self.times.iter().map(|(kind, times)| (*kind, times)).chain([machine]) {
            let [p50, p95, most] = [50, 95, 100].map(|part| percentile(times, part));
            write!(out, "{kind}: p50 {p50:.1?}, p95 {p95:.1?}, slowest {most:.1?} of {}; ", times.len())?;
        }
        write!(out, "longest command below {:?}, longest poll below {:?}; ", self.command, self.poll)?;
        write!(out, "memory grew by {} KiB", self.growth >> 10)
    }
}

impl Server {
    /// An upper bound of the longest time that a histogram of `/metrics` has counted since the start.
    ///
    /// # Panics
    /// When there is no such histogram.
    #[must_use]
    #[track_caller]
    pub fn longest(&self, histogram: &str) -> Duration {
        let metrics = Rest::new(self.http(), None).send("GET", "/metrics", &[], None);
        let start = format!("thng_pubsub_{histogram}_bucket{{le=\"");
        let buckets = metrics.text().lines().filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "));
        let buckets: Vec<(&str, &str)> = buckets.collect();
        let (_, all) = buckets.last().expect("there is such a histogram");
        let (bound, _) = buckets.iter().find(|(_, count)| count == all).expect("the last holds all");
        let bound: f64 = bound.parse().expect("a bound is a number");
        Duration::try_from_secs_f64(bound).unwrap_or(Duration::MAX)
    }

    /// Forgets the most memory that the process had resident, so that it is measured from here on.
    ///
    /// # Panics
    /// When the operating system refuses.
    #[track_caller]
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5")
            .expect("the server is this user's own process");
    }
}
