//! A durable subscriber gets every acknowledged write, in order for each topic, and nothing else, though the server is killed
//! again and again.
//!
//! In each round the server is killed with `kill -9` at a random moment while two writers publish. A durable subscriber
//! receives, acknowledges late, out of order or not at all, and loses its own connection. It records the messages of each
//! of its connections; at the end they are compared with the writers' records and with what is stored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS};
use thng_pubsub_tests::history::whole;
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello, Received};
use thng_pubsub_tests::wait::{random, until};
use thng_pubsub_tests::{KEY, Server, WAIT_MAX};

const ROUNDS: usize = 100;

/// Packets that the writers and the subscriber get from one server before it is killed.
const PACKETS: Range<usize> = 10..150;

/// Publishes that are under way without an acknowledgement, for each writer.
const WINDOW: usize = 8;

const KEYS: [&str; 2] = ["w0", "w1"];

/// The name of the subscriber.
const WATCHER: &str = "watcher";

/// A writer publishes the numbers from 0 on.
#[derive(Debug, Default)]
struct Written {
    next: u64,
    acknowledged: BTreeSet<u64>,
}

/// What one connection of the subscriber was sent, in order: topic and number.
type Seen = Vec<(String, u64)>;

/// Publishes until the connection ends.
fn write(mut client: Client, topic: &str, written: &mut Written, packets: &AtomicUsize) {
    let mut under_way: VecDeque<(PacketId, u64)> = VecDeque::new();
    loop {
        while under_way.len() < WINDOW {
            let payload = format!(r#"[{{"value":{}}}]"#, written.next);
            under_way.push_back((client.publish_unacknowledged(topic, &payload), written.next));
            written.next += 1;
        }
        match client.next_within(WAIT_MAX) {
            Some(Ok(Received::PubAck(id))) => {
                let (oldest, number) = under_way.pop_front().expect("one is under way");
                assert_eq!(oldest, id, "acknowledgements come in order");
                written.acknowledged.insert(number);
                packets.fetch_add(1, Ordering::Relaxed);
            }
            Some(Ok(other)) => panic!("only acknowledgements were to come, not {other:?}"),
            Some(Err(_)) => return,
            None => panic!("no acknowledgement in {WAIT_MAX:?}"),
        }
    }
}

/// A connection of the subscriber; `None` if the server is gone.
fn watcher(server: SocketAddr) -> Option<Client> {
    let hello = Hello::with_key(KEY).durable(WATCHER);
    let mut client = Client::on(Raw::try_connect(server)?);
    client.acknowledges = false;
    client.expects(hello.level);
    client.send_bytes(&hello.bytes());
    match client.next_within(WAIT_MAX)? {
        Ok(Received::ConnAck { session_present, .. }) => {
            assert!(session_present, "the session of the subscriber is lost");
            Some(client)
        }
        Ok(other) => panic!("expected CONNACK, not {other:?}"),
        Err(_) => None,
    }
}

/// Receives, over one connection after the other, until the server is gone.
fn watch(server: SocketAddr, random: &mut fastrand::Rng, packets: &AtomicUsize) -> Vec<Seen> {
    let mut connections = Vec::new();
    while let Some(mut client) = watcher(server) {
        let mut seen = Vec::new();
        // Patient, forgetful or in a hurry: how many of ten messages it acknowledges at once, and when it disconnects.
        let (at_once, breaks_off_after) = (random.u32(0..=10), random.usize(5..400));
        let mut unacked = Vec::new();
        let gone = loop {
            if seen.len() >= breaks_off_after {
                break false;
            }
            match client.next_within(WAIT_MAX) {
                Some(Ok(Received::Message(message))) => {
                    assert_eq!(message.qos, QoS::AtLeastOnce);
                    seen.push((message.topic.clone(), message.value().as_u64().expect("a number")));
                    packets.fetch_add(1, Ordering::Relaxed);
                    unacked.push(message.packet_id.expect("at QoS 1"));
                    if random.u32(0..10) < at_once || unacked.len() > 100 {
                        let one = unacked.swap_remove(random.usize(..unacked.len()));
                        client.send(&Packet::PubAck(one));
                    }
                }
                Some(Ok(other)) => panic!("only messages were to come, not {other:?}"),
                Some(Err(_)) => break true,
                None => panic!("no message in {WAIT_MAX:?}"),
            }
        };
        connections.push(seen);
        if gone {
            break;
        }
        client.cut();
    }
    connections
}

#[test]
fn a_durable_subscriber_misses_nothing_over_a_hundred_kills() {
    let mut random = random();
    let mut server = Server::start();
    let thng = server.rest().thng();
    let topic = |key: &str| format!("/thngs/{thng}/properties/{key}");
    let whole_topic = format!("/thngs/{thng}/properties");
    let topics = [topic(KEYS[0]), topic(KEYS[1]), whole_topic.clone()];

    let mut client = Client::connect_as(&server, &Hello::with_key(server.key()).durable(WATCHER));
    for topic in &topics {
        client.subscribed(topic, QoS::AtLeastOnce);
    }
    client.cut();

    let mut writers: [Written; 2] = Default::default();
    let mut connections: Vec<Seen> = Vec::new();
    for _ in 0..ROUNDS {
        let kill_after = random.usize(PACKETS);
        let packets = AtomicUsize::new(0);
        let clients = KEYS.map(|_| Client::connect(&server));
        std::thread::scope(|scope| {
            for ((client, written), key) in clients.into_iter().zip(&mut writers).zip(KEYS) {
                let (topic, packets) = (topic(key), &packets);
                scope.spawn(move || write(client, &topic, written, packets));
            }
            let (address, packets, mut rng) = (server.mqtt(), &packets, random.fork());
            let watching = scope.spawn(move || watch(address, &mut rng, packets));
            until("enough has happened", || {
                (packets.load(Ordering::Relaxed) >= kill_after || watching.is_finished()).then_some(())
            });
            server.kill9();
            connections.extend(watching.join().expect("the subscriber's own assertions"));
        });
        server = server.restart();
    }

    // What is left, up to a last number on each topic, all acknowledged.
    let mut writer = Client::connect(&server);
    for (key, written) in KEYS.iter().zip(&mut writers) {
        writer.publish_acknowledged(&topic(key), &format!(r#"[{{"value":{}}}]"#, written.next));
        written.acknowledged.insert(written.next);
        written.next += 1;
    }
    let lasts: Vec<u64> = writers.iter().map(|written| written.next - 1).collect();
    let mut client = watcher(server.mqtt()).expect("the server runs");
    client.acknowledges = true;
    let (mut seen, mut missing) = (Seen::new(), 4);
    while missing > 0 {
        let message = client.message();
        let (topic, value) = (message.topic.clone(), message.value().as_u64().expect("a number"));
        let key = message.json()[0]["key"].as_str().expect("a key").to_owned();
        let number = KEYS.iter().position(|known| *known == key).expect("a known key");
        missing -= usize::from(value == lasts[number]);
        seen.push((topic, value));
    }
    client.assert_nothing_else();
    connections.push(seen);

    for (key, written) in KEYS.iter().zip(&writers) {
        let stored: Vec<u64> = whole(&mut server.rest(), &thng, key)
            .iter()
            .map(|point| point.value.as_u64().expect("a number"))
            .collect();
        check(&topic(key), written, &stored, &connections);
    }
    assert_eq!(server.metric("bus_gaps_total"), 0);
}

/// Compares what was delivered on a topic with what its writer knows, and with what is stored.
fn check(topic: &str, written: &Written, stored: &[u64], connections: &[Seen]) {
    let stored_set: BTreeSet<u64> = stored.iter().copied().collect();
    assert!(stored_set.iter().copied().eq(stored.iter().copied()), "{topic}: stored in order, once");
    assert!(written.acknowledged.is_subset(&stored_set), "{topic}: what was acknowledged is stored");
    let mut delivered: BTreeMap<u64, usize> = BTreeMap::new();
    for (number, seen) in connections.iter().enumerate() {
        let of_topic: Vec<u64> = seen.iter().filter(|(on, _)| on == topic).map(|(_, value)| *value).collect();
        assert!(
            of_topic.is_sorted_by(|a, b| a < b),
            "{topic}: in order on connection {number}: {of_topic:?}"
        );
        of_topic.iter().for_each(|value| *delivered.entry(*value).or_default() += 1);
    }
    let delivered_set: BTreeSet<u64> = delivered.keys().copied().collect();
    let missing: Vec<_> = stored_set.difference(&delivered_set).collect();
    let invented: Vec<_> = delivered_set.difference(&stored_set).collect();
    assert!(missing.is_empty(), "{topic}: stored and never delivered: {missing:?}");
    assert!(invented.is_empty(), "{topic}: delivered and never stored: {invented:?}");
    let repeated = delivered.values().filter(|times| **times > 1).count();
    eprintln!(
        "{topic}: {} stored, {} acknowledged, {repeated} delivered more than once",
        stored.len(),
        written.acknowledged.len()
    );
}
