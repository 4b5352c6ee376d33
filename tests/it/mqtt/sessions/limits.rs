//! The bounds of durable sessions, of their subscriptions and of their queues.

use serde_json::json;
use thng_pubsub_protocol::mqtt::{ConnectCode, QoS, SubAckCode};
use thng_pubsub_tests::keys::Keyed;
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

use super::client::{connect, left_behind, put, resume, values};

#[test]
fn sessions_are_bounded_in_all_and_for_each_key() {
    for flag in ["--sessions-max", "--sessions-per-key-max"] {
        let server = Launch::new().flag(flag, "2").start();
        let mut rest = server.rest();
        let project = rest.project();
        let other_key = rest.application(&project).public_key;
        let answer = |key: &str, client_id: &str| {
            Client::greeted(Raw::connect(server.mqtt()), &Hello::with_key(key).durable(client_id)).1
        };
        for client_id in ["a", "b", "a"] {
            assert_eq!(answer(KEY, client_id), ConnectCode::Accepted);
        }
        assert_eq!(answer(KEY, "c"), ConnectCode::ServerUnavailable);
        // Of two in all, each of two keys can have one.
        assert_eq!(answer(&other_key, "c"), ConnectCode::Accepted, "{flag}");
        assert_eq!(answer(KEY, "c"), ConnectCode::ServerUnavailable);
        let refused = r#"connections_refused_total{protocol="mqtt",reason="too_many_sessions"}"#;
        assert!(server.metric(refused) >= 1);
        // One that ends frees its place.
        for client_id in ["a", "b"] {
            Client::connect_as(&server, &Hello::with_key(KEY).named(client_id)).disconnect();
        }
        assert_eq!(answer(KEY, "c"), ConnectCode::Accepted);
    }
}

#[test]
fn subscriptions_of_durable_sessions_are_bounded_in_all() {
    let server = Launch::new().flag("--session-subscriptions-max", "3").start();
    let mut rest = server.rest();
    let topics: Vec<String> = (0..4).map(|_| format!("/thngs/{}/properties/k", rest.thng())).collect();
    let (mut one, mut other) = (connect(&server, "one"), connect(&server, "other"));
    one.subscribed(&topics[0], QoS::AtLeastOnce);
    one.subscribed(&topics[1], QoS::AtMostOnce);
    other.subscribed(&topics[2], QoS::AtLeastOnce);
    assert_eq!(other.subscribe(&topics[3], QoS::AtLeastOnce), SubAckCode::Refused);
    let refused = r#"subscriptions_refused_total{protocol="mqtt",reason="too_many_subscriptions"}"#;
    assert_eq!(server.metric(refused), 1);
    // A session without durability takes none of them, and one that ends frees its place.
    Client::connect(&server).subscribed(&topics[3], QoS::AtLeastOnce);
    one.unsubscribe(&topics[1]);
    other.subscribed(&topics[3], QoS::AtLeastOnce);
}

#[test]
fn another_quality_of_service_adds_no_subscription() {
    let server = Launch::new().flag("--session-subscriptions-max", "2").start();
    let mut rest = server.rest();
    let topics: Vec<String> = (0..3).map(|_| format!("/thngs/{}/properties/k", rest.thng())).collect();
    let mut client = connect(&server, "full");
    let (q0, q1) = (QoS::AtMostOnce, QoS::AtLeastOnce);
    client.subscribe_all(&[(&topics[0], q1), (&topics[1], q1)]);
    let (granted, refused) = (SubAckCode::Granted, SubAckCode::Refused);
    for qos in [q0, q1] {
        let codes = client.subscribe_all(&[(&topics[0], qos), (&topics[2], qos), (&topics[1], qos)]);
        assert_eq!(codes, [granted(qos), refused, granted(qos)]);
    }
    assert_eq!(client.subscribe(&topics[1], q0), granted(q0), "one alone");
}

#[test]
fn too_many_messages_of_a_topic_drop_the_oldest() {
    let server = Launch::new().flag("--session-queue-messages-max", "10").start();
    let (mut rest, topic) = left_behind(&server, "count");
    put(&mut rest, &topic, 0..25);
    let lost = server.metric(r#"session_messages_dropped_total{reason="count"}"#);
    assert!((15..25).contains(&lost), "{lost} of 25 were dropped");
    let mut client = resume(&server, "count");
    let rest_of_them: Vec<i64> = (lost as i64..25).collect();
    assert_eq!(values(&mut client, rest_of_them.len()), rest_of_them);
    client.assert_nothing_else();
    assert!(server.log().contains("--session-queue-messages-max"), "the log says what was lost");
}

#[test]
fn too_many_bytes_drop_the_oldest_of_all_topics() {
    let server = Launch::new().flag("--session-queue-bytes-max", "2097152").start();
    let (mut rest, topic) = left_behind(&server, "bytes");
    let long = "x".repeat(100_000);
    for n in 0..40 {
        rest.put(&topic, json!([{ "value": format!("{n} {long}") }])).assert_status(200);
    }
    let lost = server.metric(r#"session_messages_dropped_total{reason="bytes"}"#);
    assert!((20..40).contains(&lost), "{lost} of 40 were dropped");
    assert!(server.metric("session_queued_bytes") <= 2_097_152);
    let first = resume(&server, "bytes").message().value();
    assert!(first.as_str().expect("a text").starts_with(&format!("{lost} x")), "the oldest that is left");
}

/// An anonymous user, and the paths of so many thngs' properties that they see.
fn user_and_topics(rest: &mut Rest, server: &Server, count: usize) -> (Keyed, Vec<String>) {
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut trusted = server.rest_as(&application.secret_key);
    let topics = (0..count).map(|_| format!("/thngs/{}/properties/k", trusted.thng())).collect();
    (user, topics)
}

#[test]
fn a_users_session_takes_no_messages_of_another_account() {
    let server = Launch::new().flag("--session-queue-bytes-max", "2097152").start();
    let (mut rest, topic) = left_behind(&server, "victim");
    put(&mut rest, &topic, [1, 2, 3]);
    let (mut other, key) = server.another_account();
    let (user, topics) = user_and_topics(&mut other, &server, 40);
    let mut greedy = Client::connect_as(&server, &Hello::with_key(&user.key).durable("greedy"));
    topics.iter().for_each(|topic| greedy.subscribed(topic, QoS::AtLeastOnce));
    greedy.cut();
    let long = "x".repeat(100_000);
    for topic in &topics {
        other.put(topic, json!([{ "value": long }])).assert_status(200);
    }
    let lost = server.metric(r#"session_messages_dropped_total{reason="bytes"}"#);
    assert!((15..40).contains(&lost), "{lost} of 40 were dropped");
    let whose = format!("account={}", other.account());
    until("the log says whose", || server.log().contains(&whose).then_some(()));
    // What each holds is counted anew at the start.
    let server = server.restart();
    let mut other = server.rest_as(&key);
    for topic in &topics {
        other.put(topic, json!([{ "value": long }])).assert_status(200);
    }
    assert!(server.metric("session_queued_bytes") <= 2_097_152);
    let mut client = resume(&server, "victim");
    assert_eq!(values(&mut client, 3), [1, 2, 3]);
    client.assert_nothing_else();
}

#[test]
fn sessions_of_one_user_keep_no_other_account_out() {
    let server = Launch::new().flag("--sessions-max", "4").start();
    let (mut other, _) = server.another_account();
    let (user, topics) = user_and_topics(&mut other, &server, 1);
    let hello = |client_id: &str| Hello::with_key(&user.key).durable(client_id);
    Client::connect_as(&server, &hello("away")).cut();
    until("it is saved that it is away", || {
        (server.metric(r#"connections{protocol="mqtt"}"#) == 0).then_some(())
    });
    let mut connected: Vec<Client> = ["a", "b", "c"]
        .iter()
        .map(|client_id| {
            let mut client = Client::connect_as(&server, &hello(client_id));
            client.subscribed(&topics[0], QoS::AtLeastOnce);
            client
        })
        .collect();
    // The one that is away gives way first, then one that is connected, whose client is informed.
    let _first = connect(&server, "first");
    assert_eq!(server.metric("sessions_evicted_total"), 1);
    connected.iter_mut().for_each(Client::ping);
    let _second = connect(&server, "second");
    until("one was disconnected", || {
        let ended = r#"disconnects_total{protocol="mqtt",reason="session_evicted"}"#;
        (server.metric(ended) == 1).then_some(())
    });
    // Two of four are its share.
    let third = Hello::with_key(server.key()).durable("third");
    let (_, code) = Client::greeted(Raw::connect(server.mqtt()), &third);
    assert_eq!(code, ConnectCode::ServerUnavailable);
    assert!(connect(&server, "first").session_present, "its own sessions stay");
    assert_eq!((server.metric("sessions"), server.metric("sessions_evicted_total")), (4, 2));
    until("the log names the bound", || server.log().contains("--sessions-max").then_some(()));
}

/// MQTT-4.1.0-2: A session exists at least as long as its connection.
#[test]
fn an_unused_session_expires_only_while_disconnected() {
    let server = Launch::new().flag("--session-expiry-s", "1").start();
    let (mut rest, topic) = left_behind(&server, "gone");
    let mut connected = connect(&server, "connected");
    connected.subscribed(&topic, QoS::AtLeastOnce);
    put(&mut rest, &topic, [1]);
    until("one session is left", || (server.metric("sessions") == 1).then_some(()));
    assert_eq!(values(&mut connected, 1), [1]);
    assert!(!connect(&server, "gone").session_present);
    assert!(resume(&server, "connected").session_present);
}
