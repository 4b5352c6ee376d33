//! The small cost of announced sizes, half-finished handshakes and readers that do not read.
//!
//! Each test has a server of its own, because each measures that server's memory or fills its listeners.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thng_pubsub_protocol::mqtt::{Packet, QoS, SubAckCode};
use thng_pubsub_tests::canary::Canary;
use thng_pubsub_tests::link::{Arrival, Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Server, WAIT_MAX};

const MIB: u64 = 1 << 20;

/// What a server may need for its first connections, such as memory of its threads and of SQLite. What is announced is
/// hundreds of times as much.
const FIRST_USE_BYTES: u64 = 4 * MIB;

/// The largest remaining length that MQTT can announce: 256 MiB.
const LONGEST: [u8; 4] = [0xff, 0xff, 0xff, 0x7f];

/// A packet of each type that announces 256 MiB and brings a few bytes of them.
fn announcements() -> Vec<Vec<u8>> {
    let flags = |packet_type: u8| if matches!(packet_type, 6 | 8 | 10) { 2 } else { 0 };
    let announce = |packet_type: u8| {
        let mut packet = vec![packet_type << 4 | flags(packet_type)];
        packet.extend(LONGEST);
        packet.extend(b"\x00\x04MQTT");
        packet
    };
    (1..=14).map(announce).collect()
}

/// Bug class 1 of `docs/security.md`: a giant length is announced before CONNECT (CVE-2017-7651, CVE-2023-0809).
#[test]
fn an_announced_length_costs_no_memory_before_and_after_connect() {
    let server = Server::start();
    let before_connect = server.growth(|| {
        let announce = |packet: Vec<u8>| Raw::connect(server.mqtt()).with(&packet);
        announcements().into_iter().map(announce).collect::<Vec<_>>()
    });
    assert!(before_connect < FIRST_USE_BYTES, "{before_connect} bytes before CONNECT");

    let after_connect = server.growth(|| {
        let announce = |packet: Vec<u8>| {
            let mut client = Client::connect(&server);
            client.send_bytes(&packet);
            client
        };
        announcements().into_iter().map(announce).collect::<Vec<_>>()
    });
    assert!(after_connect < FIRST_USE_BYTES, "{after_connect} bytes after CONNECT");

    let in_frames = server.growth(|| {
        let announce = |packet: Vec<u8>| {
            let mut link = MqttFrames::open(&server, "mqtt");
            link.send(&packet);
            link
        };
        announcements().into_iter().map(announce).collect::<Vec<_>>()
    });
    assert!(in_frames < FIRST_USE_BYTES, "{in_frames} bytes before CONNECT in frames");
}

#[test]
fn an_announced_length_costs_no_memory_over_http_and_websocket() {
    let server = Server::start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let bodies = server.growth(|| {
        let post = |framing: &str| {
            let head = format!("PUT {topic} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n{framing}");
            Raw::connect(server.http()).with(head.as_bytes())
        };
        let announced = post("Content-Length: 1000000000\r\n\r\n[");
        let chunked = post("Transfer-Encoding: chunked\r\n\r\n40000000\r\n[");
        [announced, chunked]
    });
    assert!(bodies < FIRST_USE_BYTES, "{bodies} bytes for bodies");

    let gigabyte = [0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4, 5];
    let frames = server.growth(|| {
        let mut native = WebSocket::open(&server, &topic);
        let mut mqtt = Client::connect_over_websocket(&server);
        for stream in [native.stream(), mqtt.link().socket.stream()] {
            std::io::Write::write_all(stream, &gigabyte).expect("the socket is open");
        }
        (native, mqtt)
    });
    assert!(frames < FIRST_USE_BYTES, "{frames} bytes for frames");
}

#[test]
fn a_connection_that_announces_too_much_is_closed_at_once() {
    let server = Server::start();
    for packet in announcements() {
        Raw::connect(server.mqtt()).with(&packet).until_closed();
        let mut client = Client::connect(&server);
        client.send_bytes(&packet);
        client.assert_closed();
    }
}

/// Bug class 14 of `docs/security.md` (CVE-2020-13849).
#[test]
fn half_finished_handshakes_do_not_keep_others_out() {
    let server = Server::start();
    let mut canary = Canary::in_the(&server);
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let connect = Hello::with_key(KEY).bytes();
    let upgrade = format!("GET {topic} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    let body =
        format!("PUT {topic} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\nContent-Length: 9\r\n\r\n[");
    let mut unfinished = Vec::new();
    for _ in 0..50 {
        unfinished.push(Raw::connect(server.mqtt()));
        unfinished.push(Raw::connect(server.mqtt()).with(&connect[..1]));
        unfinished.push(Raw::connect(server.mqtt()).with(&connect[..connect.len() - 1]));
        unfinished.push(Raw::connect(server.http()));
        unfinished.push(Raw::connect(server.http()).with(b"GET /acc"));
        unfinished.push(Raw::connect(server.http()).with(b"GET /access HTTP/1.1\r\nHost: x\r\n"));
        unfinished.push(Raw::connect(server.http()).with(upgrade.as_bytes()));
        unfinished.push(Raw::connect(server.http()).with(body.as_bytes()));
    }
    canary.sings();
    for mut raw in unfinished {
        raw.cut();
    }
    canary.sings();
}

/// Bug class 14 of `docs/security.md`, for those who never read.
#[test]
fn a_stalled_subscriber_costs_bounded_memory_and_no_delay() {
    let server = Server::start();
    let mut canary = Canary::in_the(&server);
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut deaf_over_tcp = Client::connect(&server);
    deaf_over_tcp.subscribed(&topic, QoS::AtMostOnce);
    let mut deaf_at_qos_1 = Client::connect(&server);
    deaf_at_qos_1.subscribed(&topic, QoS::AtLeastOnce);
    let deaf_over_websocket = WebSocket::open(&server, &topic);

    let mut publisher = Client::connect(&server);
    let payload = format!(r#"[{{"value":"{}"}}]"#, "x".repeat(100_000));
    let mut publish = |times| (0..times).for_each(|_| publisher.publish_acknowledged(&topic, &payload));
    publish(100);
    let before = server.resident_bytes();
    publish(900);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown} bytes for 90 MB that three subscribers do not read");
    canary.sings();
    drop((deaf_over_tcp, deaf_at_qos_1, deaf_over_websocket));
    canary.sings();
}

/// Bug class 13 of `docs/security.md` (CVE-2017-7654, CVE-2023-3592), for those who are let in.
#[test]
fn connections_that_come_and_go_leave_no_memory_behind() {
    let server = Server::start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let come_and_go = |times| {
        for _ in 0..times {
            let mut client = Client::connect(&server);
            client.subscribed(&topic, QoS::AtLeastOnce);
            client.subscribed(&format!("{topic}?pubStates=1"), QoS::AtMostOnce);
            client.cut();
            drop(WebSocket::open(&server, &topic));
        }
    };
    come_and_go(300);
    let before = server.resident_bytes();
    come_and_go(600);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 2 * MIB, "{grown} bytes after 600 more clients of each kind");
}

#[test]
fn beyond_the_connection_limit_only_new_ones_are_refused() {
    let server = Launch::new().flag("--connections-max", "10").start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut inside: Vec<_> = (0..9).map(|_| Client::connect(&server)).collect();
    let mut last = until("the tenth is inside, since the REST connection has ended", || {
        let mut raw = Raw::connect(server.mqtt()).with(&Hello::with_key(KEY).bytes());
        matches!(raw.receive(WAIT_MAX), Arrival::Bytes(_)).then_some(raw)
    });
    for _ in 0..5 {
        assert_eq!(Raw::connect(server.mqtt()).with(&Hello::with_key(KEY).bytes()).until_closed(), b"");
        assert_eq!(
            Raw::connect(server.http()).with(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").until_closed(),
            b""
        );
    }
    for client in &mut inside {
        client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
    }
    last.cut();
    until("there is room again", || {
        let mut raw = Raw::connect(server.mqtt()).with(&Hello::with_key(KEY).bytes());
        matches!(raw.receive(WAIT_MAX), Arrival::Bytes(_)).then_some(())
    });
}

#[test]
fn a_session_over_its_subscription_limit_is_refused_the_next() {
    let server = Launch::new().flag("--subscriptions-max", "3").start();
    let path = format!("/thngs/{}/properties", server.rest().thng());
    let mut client = Client::connect(&server);
    for n in 0..3 {
        client.subscribed(&format!("{path}/k{n}"), QoS::AtMostOnce);
    }
    assert_eq!(client.subscribe(&format!("{path}/k3"), QoS::AtMostOnce), SubAckCode::Refused);
    client.subscribed(&format!("{path}/k0"), QoS::AtLeastOnce);
    client.unsubscribe(&format!("{path}/k1"));
    client.subscribed(&format!("{path}/k3"), QoS::AtMostOnce);
}

#[test]
fn an_idle_server_is_quiet_after_load() {
    let server = Server::start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut stays = Client::connect(&server);
    for n in 0..100 {
        let mut client = Client::connect(&server);
        client.subscribed(&topic, QoS::AtLeastOnce);
        client.publish(&topic, &format!(r#"[{{"value":{n}}}]"#));
        if n % 2 == 0 {
            client.send(&Packet::Disconnect);
        }
        client.cut();
    }
    stays.ping();
    let before = server.processor_time();
    // A packet that does not come takes its two seconds.
    assert_eq!(stays.next_within(Duration::from_secs(2)), None);
    let used = server.processor_time() - before;
    assert!(used < Duration::from_millis(300), "{used:?} of processor time in two quiet seconds");
}

#[test]
fn a_server_under_debug_logging_survives_hostile_input() {
    let server = Launch::new().flag("--log", "debug").start();
    let mut client = Client::connect(&server);
    for filter in ["\u{1b}[31mred", "a\rb", "%n%s", "{}", "\u{202e}reversed"] {
        client.subscribe(filter, QoS::AtMostOnce);
    }
    client.ping();
    assert!(
        !server.log().contains('\u{1b}'),
        "a client's bytes do not steer the terminal that shows the log"
    );
}

/// Threads are the one thing that a page of a list could take without a bound: it is read while the runtime goes on.
#[test]
fn pages_that_many_ask_for_at_once_do_not_take_a_thread_each() {
    const ASKING: usize = 40;
    let server = Launch::new().flag("--database-readers", "2").start();
    let mut rest = server.rest();
    (0..100).for_each(|_| drop(rest.thng()));
    rest.get("/thngs?perPage=100").assert_status(200);
    let (before, done) = (server.threads(), AtomicUsize::new(0));
    let most = std::thread::scope(|scope| {
        for _ in 0..ASKING {
            scope.spawn(|| {
                let mut rest = server.rest();
                (0..20).for_each(|_| rest.get("/thngs?perPage=100").assert_status(200));
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        let mut most = 0;
        while done.load(Ordering::SeqCst) < ASKING {
            most = most.max(server.threads());
            std::thread::yield_now();
        }
        most
    });
    assert!(most < before + ASKING as u64 / 2, "{before} threads before, {most} under {ASKING} readers");
}
