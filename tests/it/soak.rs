//! Ten minutes of changing load: the server's memory does not grow, and no subscriber misses a message.
//!
//! `cargo xtask soak` runs it; it is no part of the suites. Strangers of every protocol connect, subscribe, publish, read a
//! little and leave, politely or not. Meanwhile two writers number their publishes and two subscribers record what they
//! get: one stays, the other has a durable session and loses its connection all the time. After a minute, and at the end,
//! all strangers pause and the server's memory is read.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::link::{Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Ended, Hello, Received};
use thng_pubsub_tests::wait::{environment, random, until};
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Server, WAIT_MAX};

/// How long it takes, in seconds; `THNG_PUBSUB_SOAK_S` says otherwise.
const LENGTH_S: u64 = 600;

/// The first reading of the memory.
const WARM: Duration = Duration::from_secs(60);

/// What the memory may have grown by between the two readings.
const GROWTH_PERCENT_MAX: u64 = 10;

const THNGS: usize = 40;
const STRANGERS: usize = 4;

/// The clients that have to pause, and what they have done.
#[derive(Debug, Default)]
struct Stage {
    over: AtomicBool,
    paused: AtomicBool,
    /// Strangers that are in the middle of something.
    busy: AtomicU64,
    connections: AtomicU64,
    published: AtomicU64,
    received: AtomicU64,
}

impl Stage {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Waits until it goes on; counts as busy from then on, if it does.
    fn enter(&self) -> bool {
        while self.paused.load(Ordering::SeqCst) && !self.is_over() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        self.busy.fetch_add(1, Ordering::SeqCst);
        !self.is_over()
    }

    fn leave(&self) {
        self.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One who comes, does this and that, and leaves.
fn visit(server: &Server, thngs: &[String], stage: &Stage, random: &mut fastrand::Rng) {
    let thng = &thngs[random.usize(..thngs.len())];
    let hello = Hello::with_key(KEY);
    let hello = match random.u8(..4) {
        0 => hello,
        1 => hello.in_3_1(),
        2 => hello.named(&format!("stranger {}", random.u8(..100))),
        _ => hello.durable(&format!("stranger {}", random.u8(..100))),
    };
    stage.connections.fetch_add(1, Ordering::Relaxed);
    match random.u8(..4) {
        0 => watch_natively(server, thng, stage, random),
        1 => run_client(MqttFrames::open(server, "mqtt"), &hello, thngs, stage, random),
        _ => run_client(Raw::connect(server.mqtt()), &hello, thngs, stage, random),
    }
}

fn watch_natively(server: &Server, thng: &str, stage: &Stage, random: &mut fastrand::Rng) {
    let mut socket = WebSocket::open(server, &format!("/thngs/{thng}/properties?pubStates=1"));
    for n in 0..random.u32(..20) {
        socket.send(format!(r#"[{{"key":"native","value":{n}}}]"#));
        stage.published.fetch_add(1, Ordering::Relaxed);
        if random.bool() {
            let _ = socket.receive(WAIT_MAX);
        }
    }
    if random.bool() {
        socket.close();
    }
}

fn run_client<L: Link>(link: L, hello: &Hello, thngs: &[String], stage: &Stage, random: &mut fastrand::Rng) {
    let (mut client, _) = Client::greeted(link, hello);
    let mut filters = Vec::new();
    for _ in 0..random.u32(..30) {
        let thng = &thngs[random.usize(..thngs.len())];
        let path = ["", "/properties", "/properties/k", "/location", "/actions/all"][random.usize(..5)];
        let options = ["", "?pubStates=1", "/"][random.usize(..3)];
        filters.push((
            format!("/thngs/{thng}{path}{options}"),
            [QoS::AtMostOnce, QoS::AtLeastOnce][random.usize(..2)],
        ));
    }
    if !filters.is_empty() {
        let filters: Vec<_> = filters.iter().map(|(filter, qos)| (&**filter, *qos)).collect();
        // Another client may have taken the client id over: then there is no answer.
        client.send(&thng_pubsub_protocol::mqtt::Packet::Subscribe(
            thng_pubsub_protocol::mqtt::Subscribe::new(client_id(random), &filters),
        ));
    }
    for n in 0..random.u32(..50) {
        let thng = &thngs[random.usize(..thngs.len())];
        let (path, payload) = match random.u8(..3) {
            0 => ("properties", format!(r#"[{{"key":"k","value":{n}}},{{"key":"l","value":"{n}"}}]"#)),
            1 => ("properties/k", format!(r#"[{{"value":{n}}}]"#)),
            _ => ("location", format!(r#"[{{"position":{{"type":"Point","coordinates":[{n}.5,1]}}}}]"#)),
        };
        let topic = format!("/thngs/{thng}/{path}");
        if random.bool() {
            client.publish(&topic, &payload);
        } else {
            client.publish_unacknowledged(&topic, &payload);
        }
        stage.published.fetch_add(1, Ordering::Relaxed);
    }
    for _ in 0..random.u32(..200) {
        match client.next_within(Duration::from_millis(5)) {
            Some(Ok(_)) => drop(stage.received.fetch_add(1, Ordering::Relaxed)),
            Some(Err(Ended)) | None => break,
        }
    }
    if random.bool() {
        client.send(&thng_pubsub_protocol::mqtt::Packet::Disconnect);
    } else {
        client.cut();
    }
}

fn client_id(random: &mut fastrand::Rng) -> thng_pubsub_protocol::mqtt::PacketId {
    thng_pubsub_protocol::mqtt::PacketId::new(random.u16(40_000..)).expect("not zero")
}

/// Publishes numbers until it is over; returns how many were acknowledged.
fn number(server: &Server, topic: &str, stage: &Stage) -> u64 {
    let mut client = Client::connect(server);
    let mut next = 0;
    while !stage.is_over() {
        // A burst, and then as long a pause as one round trip takes.
        for _ in 0..16 {
            client.publish_unacknowledged(topic, &format!(r#"[{{"value":{next}}}]"#));
            next += 1;
        }
        for _ in 0..16 {
            assert!(matches!(client.packet(), Received::PubAck(_)));
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    next
}

/// Readers that are at work at the same time while the server warms up: more than it has connections to its database.
const READERS: usize = 8;

/// Fills what the server keeps at any load, such as the bus's own log and the caches of the database, before the first
/// reading. It writes to every topic, with a subscriber that may miss some of it.
fn flood(server: &Server, thngs: &[String], until: Instant) {
    let mut watcher = Client::connect(server);
    let mut client = Client::connect(server);
    let topics: Vec<String> = thngs
        .iter()
        .flat_map(|thng| {
            ["properties/k", "properties/l", "properties"].map(|path| format!("/thngs/{thng}/{path}"))
        })
        .collect();
    topics.iter().for_each(|topic| watcher.subscribed(topic, QoS::AtMostOnce));
    let payload = format!(r#"[{{"key":"k","value":"{0}"}},{{"key":"l","value":"{0}"}}]"#, "x".repeat(1_000));
    while Instant::now() < until {
        for thng in thngs {
            client.publish_unacknowledged(&format!("/thngs/{thng}/properties"), &payload);
        }
        for _ in thngs {
            assert!(matches!(client.packet(), Received::PubAck(_)));
        }
        while let Some(Ok(_)) = watcher.next_within(Duration::ZERO) {}
    }
}

/// The other half of it: reads long histories, each from one end to the other.
fn read_on(server: &Server, thngs: &[String], first: usize, until: Instant) {
    let mut rest = server.rest();
    for thng in thngs.iter().cycle().skip(first) {
        let mut page = Some(format!("/thngs/{thng}/properties/k?perPage=100"));
        while let Some(path) = page {
            if Instant::now() >= until {
                return;
            }
            let answer = rest.get(&path);
            answer.assert_status(200);
            page = rest.next(&answer);
        }
    }
}

/// What a connection of the durable subscriber was sent, until it loses it.
fn durable_connection(address: SocketAddr, seen: &mut [BTreeSet<u64>; 2], topics: &[String; 2], most: usize) {
    let mut client = Client::accepted(Raw::connect(address), &Hello::with_key(KEY).durable("checker"));
    assert!(client.session_present, "the checker's session is lost");
    let mut last = [None; 2];
    for _ in 0..most {
        let Some(Ok(Received::Message(message))) = client.next_within(Duration::from_millis(500)) else {
            break;
        };
        let value = message.value().as_u64().expect("a number");
        let which = usize::from(message.topic == topics[1]);
        assert!(last[which].is_none_or(|last| last < value), "in order on each connection");
        last[which] = Some(value);
        seen[which].insert(value);
    }
    client.cut();
}

#[test]
#[ignore = "takes ten minutes: cargo xtask soak"]
fn ten_minutes_of_churn_leak_no_memory_and_lose_nothing() {
    let length_s = environment("THNG_PUBSUB_SOAK_S").map_or(LENGTH_S, |s| s.parse().expect("seconds"));
    let length = Duration::from_secs(length_s);
    let server = Launch::new().start();
    let mut rest = server.rest();
    let thngs: Vec<String> = (0..THNGS).map(|_| rest.thng()).collect();
    for thng in &thngs {
        rest.put(&format!("/thngs/{thng}/properties"), json!([{"key": "k", "value": 0}])).assert_status(200);
    }
    let topics = [0, 1].map(|n| format!("/thngs/{}/properties/n{n}", rest.thng()));
    let mut checker = Client::connect_as(&server, &Hello::with_key(KEY).durable("checker"));
    let mut steady = Client::connect(&server);
    for topic in &topics {
        checker.subscribed(topic, QoS::AtLeastOnce);
        steady.subscribed(topic, QoS::AtLeastOnce);
    }
    checker.cut();

    let (stage, mut seeds) = (Stage::default(), random());
    let (started, address) = (Instant::now(), server.mqtt());
    let (stage, server, thngs, topics) = (&stage, &server, &thngs, &topics);
    let (mut resident, mut durable_seen) = ([0_u64; 2], [BTreeSet::new(), BTreeSet::new()]);
    let (steady_seen, sent) = std::thread::scope(|scope| {
        for _ in 0..STRANGERS {
            let mut random = seeds.fork();
            scope.spawn(move || {
                while stage.enter() {
                    visit(server, thngs, stage, &mut random);
                    stage.leave();
                }
                stage.leave();
            });
        }
        let warm = WARM.min(length / 10);
        let warmed = started + warm * 3 / 4;
        scope.spawn(move || flood(server, thngs, warmed));
        for reader in 0..READERS {
            scope.spawn(move || read_on(server, thngs, reader * THNGS / READERS, warmed));
        }
        let writers = topics.each_ref().map(|topic| scope.spawn(move || number(server, topic, stage)));
        let steady = scope.spawn(move || {
            let mut seen = [0_u64; 2];
            while let Some(Ok(Received::Message(message))) = steady.next_within(Duration::from_secs(10)) {
                let which = usize::from(message.topic == topics[1]);
                assert_eq!(message.value().as_u64(), Some(seen[which]), "in order, once, without a gap");
                seen[which] += 1;
            }
            seen
        });
        let mut random = seeds.fork();
        let durable = scope.spawn(move || {
            let mut seen = [BTreeSet::new(), BTreeSet::new()];
            while !stage.is_over() {
                durable_connection(address, &mut seen, topics, random.usize(1..3_000));
            }
            seen
        });
        let mut shown = Instant::now();
        let show = |what: &str| {
            eprintln!(
                "{:>4} s: {what}{} connections, {} publishes, {} messages read, {} KiB resident, {} sessions, {} kept",
                started.elapsed().as_secs(),
                stage.connections.load(Ordering::Relaxed),
                stage.published.load(Ordering::Relaxed),
                stage.received.load(Ordering::Relaxed),
                server.resident_bytes() / 1024,
                server.metric("sessions"),
                server.metric("session_queued_messages"),
            );
        };
        for (reading, at) in [warm, length].into_iter().enumerate() {
            while started.elapsed() < at {
                std::thread::park_timeout(Duration::from_millis(200));
                if shown.elapsed() > Duration::from_secs(10) {
                    shown = Instant::now();
                    show("");
                }
            }
            stage.paused.store(true, Ordering::SeqCst);
            until("the strangers have left", || (stage.busy.load(Ordering::SeqCst) == 0).then_some(()));
            resident[reading] = lowest(server);
            show("pause, ");
            stage.paused.store(false, Ordering::SeqCst);
        }
        stage.over.store(true, Ordering::SeqCst);
        let sent = writers.map(|writer| writer.join().expect("the writer's own assertions"));
        durable_seen = durable.join().expect("the durable subscriber's own assertions");
        (steady.join().expect("the steady subscriber's own assertions"), sent)
    });
    while durable_seen.each_ref().map(|seen| seen.len() as u64) != sent {
        let before = durable_seen.each_ref().map(BTreeSet::len);
        durable_connection(address, &mut durable_seen, topics, usize::MAX);
        assert_ne!(
            durable_seen.each_ref().map(BTreeSet::len),
            before,
            "the durable subscriber misses something"
        );
    }
    assert_eq!(steady_seen, sent, "the steady subscriber misses something");
    assert_eq!(server.metric("bus_gaps_total"), 0);
    let [warm, end] = resident;
    eprintln!(
        "resident: {} KiB after the warm-up, {} KiB at the end; {sent:?} numbers",
        warm / 1024,
        end / 1024
    );
    assert!(end * 100 <= warm * (100 + GROWTH_PERCENT_MAX), "memory grew from {warm} to {end} bytes");
}

/// The least that is resident within some seconds: the allocator gives pages back in its own time.
fn lowest(server: &Server) -> u64 {
    let readings = (0..15).map(|_| {
        std::thread::park_timeout(Duration::from_secs(1));
        server.resident_bytes()
    });
    readings.min().expect("there are readings")
}
