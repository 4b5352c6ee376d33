//! Acknowledged writes are stored, whatever happens to the process next.
//!
//! In each round the server is killed with `kill -9` at a random moment of a stream of writes, and started again on the
//! same data. Then everything that the writers ever wrote is compared with everything that is stored.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use thng_pubsub_protocol::mqtt::{ConnectCode, Packet, Publish, QoS};
use thng_pubsub_tests::history::whole;
use thng_pubsub_tests::link::{Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello, Received};
use thng_pubsub_tests::wait::{random, rounds, until};
use thng_pubsub_tests::{Launch, Server, WAIT_MAX};

const ROUNDS: usize = 6;

/// Publishes that are under way without an acknowledgement, for each writer.
const WINDOW: usize = 8;

/// What one writer knows of its own numbers, which it sends in order: 0, 1, 2, …
#[derive(Debug, Default)]
struct Written {
    /// All below this were sent.
    sent: u64,
    /// All below this, back to where the round began, were acknowledged.
    acknowledged: u64,
    /// What the restart after the last round showed.
    stored: Vec<u64>,
}

/// Publishes numbers, `WINDOW` of them at a time, until the connection ends.
fn stream<L: Link>(
    mut client: Client<L>,
    topic: &str,
    written: &mut Written,
    acknowledgements: &AtomicUsize,
) {
    let mut under_way = VecDeque::new();
    loop {
        while under_way.len() < WINDOW {
            let payload = format!(r#"[{{"value":{}}}]"#, written.sent);
            under_way.push_back(client.publish_unacknowledged(topic, &payload));
            written.sent += 1;
        }
        match client.next_within(WAIT_MAX) {
            Some(Ok(Received::PubAck(id))) => {
                assert_eq!(under_way.pop_front(), Some(id), "acknowledgements come in order");
                written.acknowledged = written.sent - under_way.len() as u64;
                acknowledgements.fetch_add(1, Ordering::Relaxed);
            }
            Some(Ok(other)) => panic!("only acknowledgements were to come, not {other:?}"),
            Some(Err(_)) => return,
            None => panic!("no acknowledgement in {:?}", WAIT_MAX),
        }
    }
}

/// Also MQTT-4.5.0-1.
#[test]
fn after_kill_9_every_acknowledged_publish_is_stored_once() {
    let mut random = random();
    // So few values wait for the time index that each round writes some of it.
    let mut server = Launch::new().flag("--unindexed-values-max", "100").start();
    let thng = server.rest().thng();
    let mut writers: [Written; 3] = Default::default();

    for round in 0..rounds(ROUNDS) {
        let kill_after = random.usize(20..600);
        eprintln!("round {round}: kill -9 after {kill_after} acknowledgements");
        let acknowledgements = AtomicUsize::new(0);
        let began = writers.each_ref().map(|written| written.sent);
        let (first, second) = (Client::connect(&server), Client::connect(&server));
        let over_websocket = Client::connect_over_websocket(&server);
        std::thread::scope(|scope| {
            let [w0, w1, w2] = &mut writers;
            let acknowledgements = &acknowledgements;
            let [t0, t1, t2] = [0, 1, 2].map(|n| format!("/thngs/{thng}/properties/w{n}"));
            scope.spawn(move || stream(first, &t0, w0, acknowledgements));
            scope.spawn(move || stream(over_websocket, &t1, w1, acknowledgements));
            scope.spawn(move || stream(second, &t2, w2, acknowledgements));
            until("there are enough acknowledgements", || {
                (acknowledgements.load(Ordering::Relaxed) >= kill_after).then_some(())
            });
            server.kill9();
        });

        server = server.restart();
        for (n, written) in writers.iter_mut().enumerate() {
            let key = format!("w{n}");
            let history = whole(&mut server.rest(), &thng, &key);
            let history = history.iter().map(|point| point.value.as_u64().expect("a number")).collect();
            check(&key, began[n], history, written);
        }
    }
}

/// Compares what the history holds with what the writer knows, who began the round at the number `began`.
fn check(writer: &str, began: u64, history: Vec<u64>, written: &mut Written) {
    assert!(history.starts_with(&written.stored), "{writer}: what earlier rounds stored has changed");
    let new = &history[written.stored.len()..];
    let end = began + new.len() as u64;
    let in_order = new.iter().copied().eq(began..end);
    assert!(in_order, "{writer}: from {began} on, in order, once, without a gap; but {new:?}");
    assert!(
        end >= written.acknowledged,
        "{writer}: acknowledged to {}, stored to {end}",
        written.acknowledged
    );
    assert!(end <= written.sent, "{writer}: sent to {}, stored to {end}", written.sent);
    written.stored = history;
}

#[test]
fn after_kill_9_every_rest_write_that_was_answered_is_there() {
    let mut random = random();
    let mut server = Server::start();
    let thng = server.rest().thng();
    let mut answered = Vec::new();
    let mut created = Vec::new();
    for _ in 0..3 {
        let mut rest = server.rest();
        for n in 0..random.usize(1..40) {
            let value = answered.len() + n % 2;
            rest.put(&format!("/thngs/{thng}/properties/k"), json!([{"value": value}])).assert_status(200);
            answered.push(json!(value));
            created.push(rest.thng());
        }
        // Nothing lies between the last answer and the end.
        server.kill9();
        server = server.restart();
        let history: Vec<_> =
            whole(&mut server.rest(), &thng, "k").into_iter().map(|point| point.value).collect();
        assert_eq!(history, answered);
        for id in &created {
            server.rest().get(&format!("/thngs/{id}")).assert_status(200);
        }
    }
}

/// Bug class 20 of `docs/security.md` (CVE-2026-8741), at QoS 1.
///
/// Also MQTT-4.3.2-2.
#[test]
fn a_publish_resent_after_a_lost_puback_is_stored() {
    let mut server = Server::start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut client = Client::connect(&server);
    let id = client.publish_unacknowledged(&topic, r#"[{"value":"important"}]"#);
    client.cut();
    server.kill9();
    server = server.restart();

    let (mut again, code) = Client::greeted(Raw::connect(server.mqtt()), &Hello::with_key(server.key()));
    assert_eq!(code, ConnectCode::Accepted);
    let payload = br#"[{"value":"important"}]"#;
    let resent = Publish {
        dup: true,
        qos: QoS::AtLeastOnce,
        retain: false,
        packet_id: Some(id),
        topic: &topic,
        payload,
    };
    again.send(&Packet::Publish(resent));
    assert_eq!(again.packet(), Received::PubAck(id));
    let history = server.rest().get(&topic).expect(200);
    let copies = history.as_array().expect("an array").len();
    assert!((1..=2).contains(&copies), "at least once, and only what was sent: {history}");
}

#[test]
fn a_server_that_is_killed_while_it_starts_starts_again() {
    let mut random = random();
    let mut server = Server::start();
    let thng = server.rest().thng();
    server.rest().put(&format!("/thngs/{thng}/properties/k"), json!([{"value": 1}])).assert_status(200);
    for _ in 0..5 {
        server = server.restart();
        let mut client = Client::connect(&server);
        for n in 0..random.u32(0..20) {
            client.publish_unacknowledged(
                &format!("/thngs/{thng}/properties/n"),
                &format!(r#"[{{"value":{n}}}]"#),
            );
        }
        server.kill9();
    }
    let server = server.restart();
    assert_eq!(server.rest().get(&format!("/thngs/{thng}/properties/k")).expect(200)[0]["value"], 1);
    server.assert_serves();
}
