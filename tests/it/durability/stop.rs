//! SIGTERM in the middle of work: accepted requests are finished and answered, all clients are informed, and no answered
//! write is missing afterwards.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::json;
use thng_pubsub_tests::history::whole;
use thng_pubsub_tests::link::{Arrival, Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello, Received};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{CloseOutcome, MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Server, WAIT_MAX};

/// Answers that are waited for before the server is stopped.
const ANSWERS: u64 = 300;

fn number(value: u64) -> String {
    json!([{ "value": value }]).to_string()
}

/// Publishes numbers over MQTT until the end of the connection; returns how many were acknowledged.
fn publish(mut client: Client<impl Link>, topic: &str, answers: &AtomicU64) -> u64 {
    for value in 0.. {
        client.publish_unacknowledged(topic, &number(value));
        match client.next_within(WAIT_MAX) {
            Some(Ok(Received::PubAck(_))) => answers.fetch_add(1, Ordering::Relaxed),
            Some(Err(_)) => return value,
            other => panic!("an acknowledgement or the end was to come, not {other:?}"),
        };
    }
    unreachable!("the server stops before")
}

/// The same on a native WebSocket, where a stored value comes back.
fn send(mut socket: WebSocket, answers: &AtomicU64) -> (u64, CloseOutcome) {
    for value in 0.. {
        socket.send(number(value));
        match socket.receive(WAIT_MAX) {
            Ok(Some(_)) => answers.fetch_add(1, Ordering::Relaxed),
            Err(end) => return (value, end),
            Ok(None) => panic!("a notification or the end was to come"),
        };
    }
    unreachable!("the server stops before")
}

/// The same by REST, on one connection; returns how many were answered with 200.
fn put(mut link: Raw, topic: &str, answers: &AtomicU64) -> u64 {
    for value in 0.. {
        let body = number(value);
        let head = format!(
            "PUT {topic} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\nContent-Type: application/json\r\n"
        );
        link.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let mut answer = Vec::new();
        // What is stored comes back, and ends the answer.
        while !answer.ends_with(b"}]") {
            match link.receive(WAIT_MAX) {
                Arrival::Bytes(bytes) => answer.extend(bytes),
                Arrival::Closed => return value,
                Arrival::Nothing => panic!("an answer or the end was to come"),
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        answers.fetch_add(1, Ordering::Relaxed);
    }
    unreachable!("the server stops before")
}

#[test]
fn sigterm_under_writes_loses_no_answered_write() {
    let mut server = Server::start();
    let mut rest = server.rest();
    let thngs: Vec<String> = (0..4).map(|_| rest.thng()).collect();
    let topics: Vec<String> = thngs.iter().map(|thng| format!("/thngs/{thng}/properties/k")).collect();
    let answers = AtomicU64::new(0);
    let mut idle = WebSocket::open(&server, &topics[3]);
    let mut idle_mqtt = MqttFrames::open(&server, "mqtt");
    idle_mqtt.send(&Hello::with_key(KEY).bytes());
    assert_ne!(idle_mqtt.receive(WAIT_MAX), Arrival::Nothing, "a CONNACK");
    let acknowledged = thread::scope(|scope| {
        let (answers, topics) = (&answers, &topics);
        let tcp = Client::connect_as(&server, &Hello::with_key(KEY));
        let websocket = Client::connect_over_websocket(&server);
        let native = WebSocket::open(&server, &topics[2]);
        let http = Raw::connect(server.http());
        let by_tcp = scope.spawn(move || publish(tcp, &topics[0], answers));
        let by_websocket = scope.spawn(move || publish(websocket, &topics[1], answers));
        let by_native = scope.spawn(move || send(native, answers));
        let by_rest = scope.spawn(move || put(http, &topics[3], answers));
        until("there is traffic", || (answers.load(Ordering::Relaxed) >= ANSWERS).then_some(()));
        server.terminate();
        let (natively, end) = by_native.join().expect("no panic");
        assert_eq!(end, CloseOutcome::Code(1012), "a native WebSocket learns that the server restarts");
        let by_mqtt = [by_tcp, by_websocket].map(|writer| writer.join().expect("no panic"));
        [by_mqtt[0], by_mqtt[1], natively, by_rest.join().expect("no panic")]
    });
    // It watched what REST wrote, which comes before the end.
    let end = loop {
        match idle.receive(WAIT_MAX) {
            Ok(message) => assert!(message.is_some(), "a notification or the end was to come"),
            Err(end) => break end,
        }
    };
    assert_eq!(end, CloseOutcome::Code(1012), "a native WebSocket that only watches, too");
    assert_eq!(idle_mqtt.socket.ended(), CloseOutcome::Code(1012), "and one that carries MQTT");
    assert!(TcpStream::connect(server.mqtt()).is_err(), "nobody listens any more");

    let server = server.restart();
    for (thng, acknowledged) in thngs.iter().zip(acknowledged) {
        let stored: Vec<_> =
            whole(&mut server.rest(), thng, "k").iter().filter_map(|point| point.value.as_u64()).collect();
        // The last one may have been stored while its answer was lost with the connection.
        assert!(stored.len() as u64 >= acknowledged, "{acknowledged} were acknowledged: {stored:?}");
        assert_eq!(stored, (0..stored.len() as u64).collect::<Vec<_>>(), "in order, each once");
    }
}
