//! `pubStates=1`: the current value right after the subscription.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS, Subscribe};
use thng_pubsub_tests::link::{Arrival, Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello, Received, encoded};
use thng_pubsub_tests::{KEY, Rest, Server, WAIT_MAX};

#[track_caller]
fn property(rest: &mut Rest) -> String {
    format!("/thngs/{}/properties/temperature", rest.thng())
}

#[track_caller]
fn set(rest: &mut Rest, topic: &str, value: impl Into<Value>) {
    rest.put(topic, json!([{"value": value.into()}])).assert_status(200);
}

/// MQTT-3.3.1-8: **Differs on purpose:** RETAIN is sent only with an initial state whose topic has `markStates=1`.
///
/// Also MQTT-3.3.1-6.
#[test]
fn with_pub_states_the_current_value_follows_the_suback() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let all = topic.trim_end_matches("/temperature").to_owned();
    rest.put(&all, json!([{"key": "other", "value": "x"}])).assert_status(200);
    set(&mut rest, &topic, 21.5);
    let listed = rest.get(&all).expect(200);
    let temperature = listed.as_array().expect("a list").iter().find(|entry| entry["key"] == "temperature");

    for hello in [Hello::with_key(KEY), Hello::with_key(KEY).in_3_1()] {
        for (filter, expected) in [
            (format!("{topic}?pubStates=1"), json!([temperature])),
            (format!("{topic}?pubStates"), json!([temperature])),
            (format!("{topic}?pubStates=true"), json!([temperature])),
            (format!("{}/?pubStates=1", &topic[1..]), json!([temperature])),
            (format!("{topic}?access_token={KEY}&pubStates=1"), json!([temperature])),
            (format!("{all}?pubStates=1"), listed.clone()),
        ] {
            let mut client = Client::connect_as(server, &hello);
            let id = client.packet_id();
            client.send(&Packet::Subscribe(Subscribe::new(id, &[(&filter, QoS::AtLeastOnce)])));
            assert!(matches!(client.packet(), Received::SubAck { .. }), "the SUBACK comes first");
            let Received::Message(state) = client.packet() else { panic!("a message") };
            assert_eq!(state.topic, filter);
            assert!(!state.retain, "the retain flag is not set");
            let mut entries = state.json();
            let by_key = |entry: &Value| entry["key"].as_str().map(str::to_owned);
            entries.as_array_mut().expect("an array").sort_by_key(by_key);
            let mut expected = expected;
            expected.as_array_mut().expect("an array").sort_by_key(by_key);
            assert_eq!(entries, expected, "{filter}");
        }
    }
}

#[test]
fn a_state_has_retain_where_marking_is_asked_for() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    set(&mut rest, &topic, 1);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut client = Client::connect_as(server, &Hello::with_key(KEY));
        client.subscribed(&format!("{topic}?pubStates=1&markStates=1"), qos);
        let state = client.message();
        assert!(state.retain && state.qos == qos, "{state:?}");
        set(&mut rest, &topic, 2);
        assert!(!client.message().retain, "an update is none");
    }
}

#[test]
fn the_initial_state_is_not_in_the_segment_of_the_suback() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    set(&mut rest, &topic, 1);
    let filter = format!("{topic}?pubStates=1");
    let filters = [(&*filter, QoS::AtMostOnce)];
    let subscribe = encoded(&Packet::Subscribe(Subscribe::new(PacketId::MIN, &filters)));

    // Where this process was not given the processor in time, both are there at its first look: look again.
    let apart = (0..10).any(|_| {
        let mut raw = Raw::connect(server.mqtt()).with(&Hello::with_key(KEY).bytes());
        raw.read_until(|received| received.len() >= 4);
        raw.send(&subscribe);
        let Arrival::Bytes(first) = raw.receive(WAIT_MAX) else { panic!("a SUBACK") };
        let subscribed = Instant::now();
        raw.read_until(|received| received.first() == Some(&0x30));
        first == [0x90, 3, 0, 1, 0] && subscribed.elapsed() >= Duration::from_millis(20)
    });
    assert!(apart, "clients register their handler after SUBACK and lose what comes with it");
}

#[test]
fn where_nothing_is_stored_pub_states_sends_nothing() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let all = topic.trim_end_matches("/temperature").to_owned();
    let mut client = Client::connect(server);
    client.subscribed(&format!("{topic}?pubStates=1"), QoS::AtMostOnce);
    client.subscribed(&format!("{all}?pubStates=1"), QoS::AtMostOnce);

    // Another property's state, asked for later, comes after where these would have come.
    let other = property(&mut rest);
    set(&mut rest, &other, "a marker");
    client.subscribed(&format!("{other}?pubStates=1"), QoS::AtMostOnce);
    assert_eq!(client.message().value(), "a marker");
    client.assert_nothing_else();
}

#[test]
fn with_pub_states_0_or_without_it_no_state_is_sent() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    set(&mut rest, &topic, "stored");
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtMostOnce);
    client.subscribed(&format!("{topic}?pubStates=0"), QoS::AtMostOnce);
    client.subscribed(&format!("{topic}?pubStates=1"), QoS::AtMostOnce);
    let only = client.message();
    assert_eq!(only.topic, format!("{topic}?pubStates=1"));
    client.assert_nothing_else();
}

/// Also MQTT-3.8.4-3.
#[test]
fn the_state_is_sent_on_every_subscribe_and_reconnect() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let filter = format!("{topic}?pubStates=1");
    set(&mut rest, &topic, 1);
    let hello = Hello::with_key(KEY).named("comes back");
    for _ in 0..2 {
        let mut client = Client::connect_as(server, &hello);
        for _ in 0..2 {
            client.subscribed(&filter, QoS::AtLeastOnce);
            assert_eq!(client.message().value(), 1);
        }
        client.cut();
    }
}

#[test]
fn the_state_is_the_latest_value_and_not_the_one_written_last() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    set(&mut rest, &topic, "latest");
    rest.put(&topic, json!([{"value": "of the past", "timestamp": 1_000}])).assert_status(200);
    let mut client = Client::connect(server);
    client.subscribed(&format!("{topic}?pubStates=1"), QoS::AtMostOnce);
    assert_eq!(client.message().value(), "latest");
}

/// Ends the writer also when an assertion fails, because the scope waits for it.
struct EndsWriter<'a>(&'a AtomicBool);

impl Drop for EndsWriter<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A property without writes under load: an initial state of all properties has it, an update of one has not.
const UNWRITTEN: &str = "unwritten";

/// Subscribes to all properties while `n` is written on and on, and checks the promises. Updates come without a gap, and a
/// state is not older than an update that came before it. Updates that are older than the state may come after it: they
/// were on their way when it was read.
#[track_caller]
fn assert_state_under_writes(server: &Server, all: &str, qos: QoS) {
    let mut client = Client::connect(server);
    client.subscribed(&format!("{all}?pubStates=1"), qos);
    let (mut state, mut updates) = (None, Vec::new());
    // Until an update has come that was written after the state was read, so that a late one would have come too.
    while state.is_none() || updates.last() <= state.as_ref() {
        let entries = client.message().json();
        let entries = entries.as_array().expect("an array");
        let n = entries.iter().find(|entry| entry["key"] == "n").and_then(|entry| entry["value"].as_u64());
        let n = n.expect("a number that was written");
        if entries.iter().any(|entry| entry["key"] == UNWRITTEN) {
            let earlier = updates.iter().max();
            assert!(earlier <= Some(&n), "the state says {n} behind an update to {earlier:?}");
            assert_eq!(state.replace(n), None, "one subscription, one state");
        } else {
            updates.push(n);
        }
    }
    assert!(updates.is_sorted_by(|one, next| *next == one + 1), "updates without a gap: {updates:?}");
}

#[test]
fn the_initial_state_is_never_older_than_a_prior_update() {
    let server = Server::shared();
    let mut rest = server.rest();
    let all = format!("/thngs/{}/properties", rest.thng());
    let written = format!("{all}/n");
    set(&mut rest, &format!("{all}/{UNWRITTEN}"), 0);
    set(&mut rest, &written, 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends_writer = EndsWriter(&done);
        scope.spawn(|| {
            let mut writer = Client::connect(server);
            let values = (1..).take_while(|_| !done.load(Ordering::Relaxed));
            values.for_each(|n| writer.publish_acknowledged(&written, &format!(r#"[{{"value":{n}}}]"#)));
        });
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce].repeat(10) {
            assert_state_under_writes(server, &all, qos);
        }
    });
}
