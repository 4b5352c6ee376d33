//! Clients that keep a connection by sending a little now and then, which gives them no more time.
//!
//! Bug class 14 of `docs/security.md` (CVE-2020-13849), and of class 23 the slow body. Those who do not read are in
//! `hostile/readers.rs`, those who say nothing at all in `hostile/load.rs` and `mqtt/connect.rs`.

use std::time::Duration;

use thng_pubsub_protocol::mqtt::Packet;
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::frames::{Frames, frame, handshake, status};
use thng_pubsub_tests::link::{Arrival, Link as _, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill, encoded, publish};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Server};

/// Between two drops. A whole message of those below would take minutes.
const DROP: Duration = Duration::from_millis(20);

const CONNACK: &[u8] = b"\x20\x02\x00\x00";

/// A server that gives everything two seconds.
fn impatient() -> Server {
    let two = |launch: Launch, flag| launch.flag(flag, "2");
    ["--connect-timeout-s", "--body-timeout-s", "--websocket-ping-interval-s"]
        .into_iter()
        .fold(Launch::new(), two)
        .start()
}

/// What is sent piece by piece on a connection, and what it is.
type Drip = (&'static str, Raw, Vec<Vec<u8>>);

/// Sends all of them at the same time, each until the server ends its connection; what the server said until then.
#[track_caller]
fn dripped<const N: usize>(drips: [Drip; N]) -> [Vec<u8>; N] {
    std::thread::scope(|scope| {
        let threads = drips.map(|(what, raw, pieces)| scope.spawn(move || until_ended(what, raw, pieces)));
        threads.map(|thread| thread.join().expect("none is waited for to its end"))
    })
}

fn until_ended(what: &str, mut raw: Raw, pieces: Vec<Vec<u8>>) -> Vec<u8> {
    let mut received = Vec::new();
    for piece in pieces {
        raw.send(&piece);
        match raw.receive(DROP) {
            Arrival::Bytes(bytes) => received.extend(bytes),
            Arrival::Nothing => {}
            Arrival::Closed => return received,
        }
    }
    panic!("{what} was waited for to its end; the server said {:?}", String::from_utf8_lossy(&received));
}

/// Each byte alone.
fn bytes(all: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
    all.as_ref().iter().map(|byte| vec![*byte]).collect()
}

/// A CONNECT of some KiB: its will fills it.
fn long_connect(topic: &str) -> Vec<u8> {
    let payload = format!("\"{}\"", "x".repeat(10_000));
    let will = LastWill { topic: topic.to_owned(), payload, qos: QoS::AtMostOnce };
    Hello { will: Some(will), ..Hello::with_key(KEY) }.bytes()
}

#[test]
fn slow_connects_heads_and_handshakes_get_no_extra_time() {
    let server = impatient();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let connect = long_connect(&topic);
    let filler = format!("X-Filler: {}\r\n", "x".repeat(20_000));

    let get = format!("GET /access HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n{filler}\r\n");
    let http = || Raw::connect(server.http());
    let upgraded = http().with(handshake("/mqtt", "").as_bytes());
    let frames = connect.iter().map(|byte| frame(0x82, &[*byte])).collect();

    let [by_tcp, by_frames, heads @ ..] = dripped([
        ("a CONNECT", Raw::connect(server.mqtt()), bytes(&connect)),
        ("a CONNECT in frames", upgraded, frames),
        ("a head", http(), bytes(get)),
        ("a handshake", http(), bytes(handshake(&topic, &filler))),
        ("one of MQTT", http(), bytes(handshake("/mqtt", &filler))),
    ]);
    assert_eq!(by_tcp, b"");
    assert!(!by_frames.windows(CONNACK.len()).any(|four| four == CONNACK), "{by_frames:02x?}");
    for said in heads {
        assert!(matches!(status(&said), None | Some(408)), "{:?}", String::from_utf8_lossy(&said));
    }
    until("nothing is left of them", || {
        let left = server.metric(r#"connections{protocol="mqtt"}"#)
            + server.metric(r#"connections{protocol="mqtt_ws"}"#);
        (left == 0).then_some(())
    });
    server.assert_serves();
}

#[test]
fn a_dripping_body_gets_400_after_its_time_and_stores_nothing() {
    let server = impatient();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let head = format!("PUT {topic} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\nConnection: close\r\n");
    let body = format!(r#"[{{"value":"{}"}}]"#, "x".repeat(10_000));
    let announced = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let chunks = body.bytes().map(|byte| [b"1\r\n", &[byte][..], b"\r\n"].concat());
    let begun = |head: &str| Raw::connect(server.http()).with(head.as_bytes());
    for said in dripped([
        ("a body", begun(&announced), bytes(&body)),
        ("a body in chunks", begun(&chunked), chunks.collect()),
    ]) {
        assert_eq!(status(&said), Some(400), "{:?}", String::from_utf8_lossy(&said));
    }
    assert_eq!(server.rest().get(&topic).expect(200), serde_json::json!([]));
    server.assert_serves();
}

#[test]
fn a_frame_that_never_ends_does_not_keep_a_native_socket() {
    let server = impatient();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let whole = frame(0x81, format!(r#"[{{"value":"{}"}}]"#, "x".repeat(10_000)).as_bytes());
    let opened = || Raw::connect(server.http()).with(handshake(&topic, "").as_bytes());
    let begun = opened().with(&frame(0x01, b"["));
    for said in
        dripped([("a frame", opened(), bytes(&whole)), ("fragments", begun, vec![frame(0x00, b" "); 10_000])])
    {
        let close_frame = [0x88, 0x03, 0xe9];
        let closed =
            said.windows(close_frame.len() + 1).any(|four| [four[0], four[2], four[3]] == close_frame);
        assert!(closed, "with 1001, since no pong came: {said:02x?}");
    }
    assert_eq!(server.rest().get(&topic).expect(200), serde_json::json!([]));
    let mut polite = Frames::open(&server, &topic);
    polite.send(&frame(0x81, br#"[{"value":1}]"#));
    assert!(String::from_utf8_lossy(&polite.payload(1)).contains("\"value\":1"));
}

#[test]
fn a_packet_that_never_ends_is_no_sign_of_life() {
    let server = Server::shared();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let hello = Hello { keep_alive_s: 1, ..Hello::with_key(KEY) };
    let endless = encoded(&Packet::Publish(publish(&topic, &"x".repeat(1_000), QoS::AtMostOnce, None)));
    let greeted = Raw::connect(server.mqtt()).with(&hello.bytes());
    assert_eq!(dripped([("a PUBLISH", greeted, bytes(&endless))]), [CONNACK]);
    Client::connect(server).ping();
}
