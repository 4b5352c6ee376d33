//! Clients that do not read, or do not acknowledge: their queues are bounded, and they are disconnected. No other client
//! notices, and neither does the server's shutdown.
//!
//! Each test has a server of its own, because each fills that server's queues.

use std::any::Any;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS, SubAckCode, Subscribe, Unsubscribe};
use thng_pubsub_tests::canary::Canary;
use thng_pubsub_tests::link::{Arrival, Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Ended, Hello, Received, encoded};
use thng_pubsub_tests::tls::Trust;
use thng_pubsub_tests::wait::{park_until, until};
use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{KEY, Launch, Server, WAIT_MAX};

const MIB: u64 = 1 << 20;

/// A value that fills a socket's buffers within some dozens of messages.
fn large() -> String {
    format!(r#"[{{"value":"{}"}}]"#, "x".repeat(100_000))
}

fn property(server: &Server) -> String {
    format!("/thngs/{}/properties/k", server.rest().thng())
}

/// Takes what was sent before, up to the end of the connection.
#[track_caller]
fn messages_until_the_end<L: Link>(client: &mut Client<L>) -> usize {
    let mut messages = 0;
    loop {
        match client.next_within(WAIT_MAX) {
            Some(Ok(packet)) => messages += usize::from(matches!(packet, Received::Message(_))),
            Some(Err(Ended)) => return messages,
            None => panic!("the connection is still open, {messages} messages later"),
        }
    }
}

#[test]
fn initial_states_wait_without_memory_for_a_stalled_client() {
    const STATES: usize = 400;
    let server = Server::start();
    let topic = property(&server);
    let mut canary = Canary::in_the(&server);
    server.rest().put(&topic, large()).assert_status(200);
    let filters: Vec<String> = (0..STATES).map(|n| format!("{topic}?pubStates=1&n={n}")).collect();
    let mut warms_up = Client::connect(&server);
    warms_up.subscribed(&filters[0], QoS::AtLeastOnce);
    assert_eq!(warms_up.message().topic, filters[0]);
    canary.sings();

    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let delivered = server.metric(r#"deliveries_total{protocol="mqtt"}"#);
        let before = server.resident_bytes_at_the_most();
        let filters: Vec<_> = filters.iter().map(|filter| (&**filter, qos)).collect();
        let mut deaf = Client::connect(&server);
        deaf.send(&Packet::Subscribe(Subscribe::new(PacketId::MIN, &filters)));
        until("the first states are on their way", || {
            (server.metric(r#"deliveries_total{protocol="mqtt"}"#) > delivered).then_some(())
        });
        (0..20).for_each(|_| canary.sings());

        let Received::SubAck { codes, .. } = deaf.packet() else { panic!("the SUBACK comes first") };
        assert_eq!(codes, vec![SubAckCode::Granted(qos); STATES]);
        let arrived: BTreeSet<String> = (0..STATES).map(|_| deaf.message().topic).collect();
        assert_eq!(arrived.len(), STATES, "each state comes, and once");
        deaf.assert_nothing_else();
        let grown = server.resident_bytes_at_the_most().saturating_sub(before);
        assert!(grown < 8 * MIB, "{grown} bytes for {STATES} states of 100 kB at {qos:?}");
    }
}

#[test]
fn an_ended_subscription_loses_its_pending_initial_state() {
    let server = Launch::new().flag("--deliveries-in-flight-max", "1").start();
    let topic = property(&server);
    server.rest().put(&topic, "1").assert_status(200);
    let mut client = Client::connect(&server);
    // The state that is sent is never acknowledged, so the next one waits, and whatever is due after it.
    client.acknowledges = false;
    for n in 0..3 {
        client.subscribed(&format!("{topic}?pubStates=1&n={n}"), QoS::AtLeastOnce);
    }
    let _ = client.message();

    let filter = format!("{topic}?pubStates=1&n=again");
    let id = PacketId::MIN;
    let mut pair = encoded(&Packet::Subscribe(Subscribe::new(id, &[(&filter, QoS::AtLeastOnce)])));
    pair.extend(encoded(&Packet::Unsubscribe(Unsubscribe::new(id, &[&filter]))));
    let pairs = pair.repeat(500);
    let mut come_and_go = |times| {
        for _ in 0..times {
            client.send_bytes(&pairs);
            client.send(&Packet::PingReq);
            while client.packet() != Received::PingResp {}
        }
    };
    come_and_go(10);
    let before = server.resident_bytes();
    come_and_go(200);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < MIB, "{grown} bytes after 100,000 subscriptions that were taken back");
}

/// Publishes to three subscribers of which only one reads, until the one that does not, at QoS 1, is ended.
#[track_caller]
fn assert_slow_is_ended<L: Link>(protocol: &str, connect: impl Fn(&Server) -> Client<L>) {
    let server = Launch::new().flag("--outbound-queue-messages-max", "10").start();
    let topic = property(&server);
    let watch = |qos| {
        let mut client = connect(&server);
        client.subscribed(&topic, qos);
        client
    };
    let (mut deaf, mut deaf_at_qos_0) = (watch(QoS::AtLeastOnce), watch(QoS::AtMostOnce));
    let mut polite = watch(QoS::AtLeastOnce);
    let mut publisher = Client::connect(&server);
    let payload = large();

    let slow =
        || server.metric(&format!(r#"disconnects_total{{protocol="{protocol}",reason="slow_consumer"}}"#));
    until(format!("the one that does not read is ended, over {protocol}"), || {
        publisher.publish_acknowledged(&topic, &payload);
        assert!(polite.message().payload.len() > 100_000, "who reads gets every message");
        deaf.send(&Packet::PingReq);
        (slow() > 0).then_some(())
    });
    messages_until_the_end(&mut deaf);
    assert_eq!(slow(), 1, "at QoS 0 what does not fit is dropped, and the connection stays");
    deaf_at_qos_0.ping();
    polite.ping();
    publisher.ping();
}

/// MQTT-4.8.0-2: A client that sends too much, or leaves too much unacknowledged, is disconnected.
#[test]
fn a_stalled_qos_1_subscriber_is_ended_despite_pings() {
    assert_slow_is_ended("mqtt", Client::connect);
    assert_slow_is_ended("mqtt_ws", Client::connect_over_websocket);
}

/// Bug class 13 of `docs/security.md`: flows that are never finished (CVE-2023-28366).
#[test]
fn a_subscriber_without_acknowledgements_is_ended_at_the_limit() {
    let server = Launch::new()
        .flag("--outbound-queue-messages-max", "10")
        .flag("--deliveries-in-flight-max", "5")
        .start();
    let topic = property(&server);
    let mut canary = Canary::in_the(&server);
    let mut mute = Client::connect(&server);
    mute.acknowledges = false;
    mute.subscribed(&topic, QoS::AtLeastOnce);
    let mut publisher = Client::connect(&server);
    // Five are open, some were taken out of the queue with them, ten wait in it.
    until("the one that acknowledges nothing is ended", || {
        publisher.publish_acknowledged(&topic, "1");
        let ended = server.metric(r#"disconnects_total{protocol="mqtt",reason="slow_consumer"}"#);
        (ended > 0).then_some(())
    });
    assert_eq!(messages_until_the_end(&mut mute), 5);
    canary.sings();
}

/// Bug class 13 of `docs/security.md`, for packet identifiers.
///
/// MQTT-2.3.1-4: The server reuses a packet id only after its acknowledgement.
///
/// Also MQTT-4.3.2-1.
#[test]
fn an_unacknowledged_packet_id_is_never_given_out_again() {
    // 65,535 is a multiple of it: the first message of a later round, when no other id is open, meets the one withheld.
    const TOPICS: usize = 85;
    let server = Server::start();
    let topic = property(&server);
    let filters: Vec<String> = (0..TOPICS).map(|n| format!("{topic}?n={n}")).collect();
    let mut client = Client::connect(&server);
    client.acknowledges = false;
    for filter in &filters {
        client.subscribed(filter, QoS::AtLeastOnce);
    }
    let mut publisher = Client::connect(&server);
    let mut withheld = None;
    let mut given_out = 0;
    while given_out <= usize::from(u16::MAX) + TOPICS {
        publisher.publish_acknowledged(&topic, "1");
        let mut acknowledgements = Vec::new();
        for _ in 0..TOPICS {
            let id = client.message().packet_id.expect("QoS 1");
            assert_ne!(Some(id), withheld, "given out again after {given_out} messages");
            given_out += 1;
            if withheld.is_some() {
                acknowledgements.extend(encoded(&Packet::PubAck(id)));
            }
            withheld = withheld.or(Some(id));
        }
        client.send_bytes(&acknowledgements);
        client.ping();
    }
}

#[test]
fn a_stalled_native_socket_is_closed_despite_pongs() {
    let server = Launch::new().flag("--websocket-ping-interval-s", "1").start();
    let topic = property(&server);
    let mut canary = Canary::in_the(&server);
    let mut deaf = WebSocket::open(&server, &topic);
    let mut publisher = Client::connect(&server);
    let payload = large();
    until("the one that does not read is closed", || {
        publisher.publish_acknowledged(&topic, &payload);
        deaf.send(tungstenite::Message::Pong(tungstenite::Bytes::new()));
        let closed = server.metric(r#"disconnects_total{protocol="websocket",reason="slow_consumer"}"#);
        (closed > 0).then_some(())
    });
    assert_eq!(server.metric(r#"connections{protocol="websocket"}"#), 0);
    canary.sings();
    while deaf.receive(WAIT_MAX).is_ok_and(|message| message.is_some()) {}
    assert!(deaf.receive(WAIT_MAX).is_err(), "the connection has ended for the client too");
}

/// Publishes until the queue of a client that does not read overflows.
fn publish_until_a_consumer_is_slow(server: &Server, topic: &str) {
    let mut publisher = Client::connect(server);
    let payload = large();
    until("somebody's queue is full", || {
        publisher.publish_acknowledged(topic, &payload);
        let lost = server.metric("bus_slow_consumers_total")
            + server.metric(r#"bus_dropped_total{reason="outbound_queue_full"}"#);
        (lost > 0).then_some(())
    });
}

/// Connects a client and stops in the middle of something.
type Arrives = fn(&Server, &str) -> Box<dyn Any>;

const THOSE_WHO_COULD_BE_WAITED_FOR: [(&str, Arrives); 9] = [
    ("a native WebSocket that does not read", |server, topic| {
        let deaf = WebSocket::open(server, topic);
        publish_until_a_consumer_is_slow(server, topic);
        Box::new(deaf)
    }),
    ("an MQTT subscriber that does not read", |server, topic| {
        let mut deaf = Client::connect(server);
        deaf.subscribed(topic, QoS::AtMostOnce);
        publish_until_a_consumer_is_slow(server, topic);
        Box::new(deaf)
    }),
    ("an MQTT subscriber over WebSocket that does not read", |server, topic| {
        let mut deaf = Client::connect_over_websocket(server);
        deaf.subscribed(topic, QoS::AtMostOnce);
        publish_until_a_consumer_is_slow(server, topic);
        Box::new(deaf)
    }),
    ("half the head of a request", |server, _| {
        Box::new(Raw::connect(server.http()).with(b"GET /access HTTP/1.1\r\nHost:"))
    }),
    ("half the body of a request", |server, topic| {
        let head = format!("PUT {topic} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n");
        Box::new(Raw::connect(server.http()).with(format!("{head}Content-Length: 9\r\n\r\n[").as_bytes()))
    }),
    ("a connection that is kept alive and idle", |server, _| {
        let mut rest = server.rest();
        rest.get("/access").assert_status(200);
        Box::new(rest)
    }),
    ("half a CONNECT", |server, _| {
        let connect = Hello::with_key(KEY).bytes();
        Box::new(Raw::connect(server.mqtt()).with(&connect[..connect.len() / 2]))
    }),
    ("connections that say nothing", |server, _| {
        Box::new([Raw::connect(server.mqtt()), Raw::connect(server.http())])
    }),
    ("a request whose answer is not read", |server, _| {
        // 20 thngs of nearly 1 MiB: more than the buffers of both sides hold.
        let mut rest = server.rest();
        for _ in 0..20 {
            let all = property(server);
            for n in 0..10 {
                rest.put(&format!("{all}{n}"), large()).assert_status(200);
            }
        }
        let get = format!("GET /thngs HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n\r\n");
        let mut asks = Raw::connect(server.http()).with(get.as_bytes());
        let Arrival::Bytes(_) = asks.receive(WAIT_MAX) else { panic!("an answer begins") };
        Box::new(asks)
    }),
];

#[test]
fn sigterm_ends_within_five_seconds_despite_stalled_clients() {
    let mut late = Vec::new();
    for (who, arrives) in THOSE_WHO_COULD_BE_WAITED_FOR {
        let mut server = Launch::new().flag("--outbound-queue-messages-max", "10").start();
        let topic = property(&server);
        let arrived = arrives(&server, &topic);
        let started = Instant::now();
        server.terminate();
        late.extend(Some((who, started.elapsed())).filter(|(_, took)| *took > Duration::from_secs(5)));
        drop(arrived);
    }
    assert!(late.is_empty(), "the end waited for {late:?}");
}

/// Issue 14, item 5: without any key, pipelined requests held all places of `--connections-max`.
#[test]
fn requests_without_reading_hold_no_place_of_connections_max() {
    const PLACES: usize = 8;
    let server = Launch::new()
        .with_tls()
        .flag("--connections-max", &PLACES.to_string())
        .flag("--answer-rate-window-s", "2")
        .start();
    let trust = Trust::in_the(&server);
    let pipelined = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
    let ended = |protocol| {
        server_metric_of(
            &server,
            &format!(r#"disconnects_total{{protocol="{protocol}",reason="slow_consumer"}}"#),
        )
    };
    let mut deaf = Vec::new();
    for number in 0..PLACES {
        let raw = match number % 2 {
            0 => Raw::connect(server.http()),
            _ => trust.try_connect(server.https()).expect("there is a place"),
        };
        deaf.push(raw.with(&pipelined));
    }
    until("each of them is ended, though none of them closed", || {
        let ended = (ended("http")?, ended("https")?);
        (ended == (PLACES as u64 / 2, PLACES as u64 / 2)).then_some(())
    });
    server.assert_serves();
    drop(deaf);
    let log = server.log();
    assert!(log.contains("the client takes its answer below --answer-rate-min"), "{log}");
}

/// A sample, where there is a place to ask for it.
fn server_metric_of(server: &Server, sample: &str) -> Option<u64> {
    let raw = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let text = Raw::try_connect(server.http())?.with(raw).until_closed();
    let text = String::from_utf8(text).ok()?;
    if text.is_empty() {
        return None;
    }
    let line = text.lines().find(|line| line.starts_with(&format!("thng_pubsub_{sample} ")));
    Some(
        line.map_or(0, |line| {
            line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
        }),
    )
}

#[test]
fn an_answer_that_is_read_as_it_comes_arrives_whole() {
    let server = Launch::new().flag("--answer-rate-window-s", "1").flag("--answer-rate-min", "1000").start();
    let mut rest = server.rest();
    let large = serde_json::json!({"name": "n", "customFields": {"x": "x".repeat(100_000)}});
    for _ in 0..40 {
        rest.post("/thngs", large.clone()).assert_status(201);
    }
    let request = format!(
        "GET /thngs?perPage=40 HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\nConnection: close\r\n\r\n"
    );
    let answer = Raw::connect(server.http()).with(request.as_bytes()).until_closed();
    assert!(answer.len() > 4_000_000 && answer.ends_with(b"]"), "{} bytes", answer.len());
    assert_eq!(server.metric(r#"disconnects_total{protocol="http",reason="slow_consumer"}"#), 0);
}

/// Issue 14, item 5: answers that were not read took memory without a bound.
#[test]
fn an_account_that_reads_no_answers_limits_only_its_own() {
    let server = Launch::new().with_tls().flag("--answer-bytes-max", "16777216").start();
    let trust = Trust::in_the(&server);
    let mut rest = server.rest();
    let large = serde_json::json!({"name": "n", "customFields": {"x": "x".repeat(100_000)}});
    let own = (0..45).map(|_| rest.id_of("/thngs", large.clone())).last().expect("there are some");
    let own = format!("/thngs/{own}");
    let made = server.administer(&["accounts", "create", "--json"]).printed();
    let made: serde_json::Value = serde_json::from_str(&made).expect("an object");
    let mut other = server.rest_as(made["key"].as_str().expect("a key"));
    let others = other.id_of("/thngs", large.clone());

    let request = format!("GET /thngs?perPage=100 HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n\r\n");
    let request = request.repeat(20);
    let mut deaf = Vec::new();
    let refused = until("the account has as much as it may", || {
        let raw = match deaf.len() % 2 {
            0 => Raw::connect(server.http()),
            _ => trust.connect(server.https()),
        };
        deaf.push(raw.with(request.as_bytes()));
        Some(rest.get(&own)).filter(|answer| answer.status == 503)
    });
    let bytes = server.metric("answer_bytes");
    assert!((7 * MIB..=8 * MIB).contains(&bytes), "half of what may be taken, and not {bytes}");
    assert!(refused.text().contains("--answer-bytes-max"), "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(server.metric(r#"answers_limited_total{outcome="refused"}"#) > 0);
    assert!(server.metric(r#"answers_limited_total{outcome="page_shortened"}"#) > 0);

    rest.get("/access").assert_status(200);
    other.get(&format!("/thngs/{others}")).assert_status(200);
    let written = rest.put(&own, serde_json::json!({"name": "written"}));
    assert_eq!((written.status, written.text()), (200, ""));
    assert_eq!(written.header("preference-applied"), Some("return=minimal"));
    let created = rest.post("/thngs", large);
    assert_eq!((created.status, created.text()), (201, ""));
    let created = created.header("location").expect("it says where").to_owned();

    drop(deaf);
    until("the bytes are free again", || (server.metric("answer_bytes") == 0).then_some(()));
    assert_eq!(rest.get(&own).expect(200)["name"], "written");
    rest.get(&created).assert_status(200);
    assert!(rest.get("/thngs?perPage=100").text().len() > 1_500_000);
}

/// The wait for the next request ran while megabytes of the answer were still to be sent.
#[test]
fn a_slow_reader_of_a_large_answer_gets_it_whole() {
    const BYTES_A_TURN: usize = 32 * 1024;
    let server = Launch::new().with_tls().flag("--http-idle-timeout-s", "2").start();
    let mut rest = server.rest();
    let large = serde_json::json!({"name": "n", "customFields": {"x": "x".repeat(100_000)}});
    for _ in 0..40 {
        rest.post("/thngs", large.clone()).assert_status(201);
    }
    let request = format!("GET /thngs?perPage=40 HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n\r\n");
    let trust = Trust::in_the(&server);
    for protocol in ["http", "https"] {
        // Connected only now: a connection that waits meanwhile is idle.
        let reader = match protocol {
            "http" => Raw::connect(server.http()),
            _ => trust.connect(server.https()),
        };
        let mut reader = reader.with(request.as_bytes());
        let begin = Instant::now();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}]") {
            // 640 KiB a second at the most.
            let due = begin + Duration::from_secs(answer.len() as u64 / BYTES_A_TURN as u64) / 20;
            park_until(due);
            let Arrival::Bytes(bytes) = reader.receive(WAIT_MAX) else {
                panic!("{protocol}: the answer ends after {} bytes, {:?}", answer.len(), begin.elapsed());
            };
            answer.extend(bytes);
        }
        assert!(answer.len() > 4_000_000, "{protocol}: {} bytes", answer.len());
        assert!(begin.elapsed() > Duration::from_secs(3), "it was no slow reader");
        // Idle only now.
        assert_eq!(reader.receive(WAIT_MAX), Arrival::Closed, "{protocol}");
    }
}
