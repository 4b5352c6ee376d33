//! SIGTERM in the middle of work: what was accepted is finished and answered, everybody is told, and nothing that was
//! answered is missing afterwards.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::json;
use thng_pubsub_tests::history::whole;
use thng_pubsub_tests::mqtt::{Client, Hello, Received};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{End, WebSocket};
use thng_pubsub_tests::{KEY, PATIENCE, Server};

/// Answers that are waited for before the server is stopped.
const ANSWERS: u64 = 300;

fn number(value: u64) -> String {
    json!([{ "value": value }]).to_string()
}

/// Publishes numbers over MQTT until the end of the connection; returns how many were acknowledged.
fn publish(mut client: Client<impl thng_pubsub_tests::link::Link>, topic: &str, answers: &AtomicU64) -> u64 {
    for value in 0.. {
        client.publish_unacknowledged(topic, &number(value));
        match client.next_within(PATIENCE) {
            Some(Ok(Received::PubAck(_))) => answers.fetch_add(1, Ordering::Relaxed),
            Some(Err(_)) => return value,
            other => panic!("an acknowledgement or the end was to come, not {other:?}"),
        };
    }
    unreachable!("the server stops before")
}

/// The same on a native WebSocket, where a stored value comes back.
fn send(mut socket: WebSocket, answers: &AtomicU64) -> (u64, End) {
    for value in 0.. {
        socket.send(number(value));
        match socket.receive(PATIENCE) {
            Ok(Some(_)) => answers.fetch_add(1, Ordering::Relaxed),
            Err(end) => return (value, end),
            Ok(None) => panic!("a notification or the end was to come"),
        };
    }
    unreachable!("the server stops before")
}

#[test]
fn sigterm_amid_writes_loses_none_that_was_answered_and_closes_sockets_as_a_restart() {
    let mut server = Server::start();
    let mut rest = server.rest();
    let thngs: Vec<String> = (0..4).map(|_| rest.thng()).collect();
    let topic = |at: usize| format!("/thngs/{}/properties/k", thngs[at]);
    let answers = AtomicU64::new(0);
    let idle = WebSocket::open(&server, &topic(3));
    let acknowledged = thread::scope(|scope| {
        let answers = &answers;
        let tcp = Client::connect_as(&server, &Hello::with_key(KEY));
        let websocket = Client::connect_over_websocket(&server);
        let native = WebSocket::open(&server, &topic(2));
        let by_tcp = scope.spawn(move || publish(tcp, &topic(0), answers));
        let by_websocket = scope.spawn(move || publish(websocket, &topic(1), answers));
        let by_native = scope.spawn(move || send(native, answers));
        until("there is traffic", || (answers.load(Ordering::Relaxed) >= ANSWERS).then_some(()));
        server.terminate();
        let (natively, end) = by_native.join().expect("no panic");
        assert_eq!(end, End::Code(1012), "a native WebSocket is told that the server restarts");
        [by_tcp.join().expect("no panic"), by_websocket.join().expect("no panic"), natively]
    });
    let mut idle = idle;
    assert_eq!(idle.ended(), End::Code(1012));
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
