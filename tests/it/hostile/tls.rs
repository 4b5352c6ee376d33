//! Clients that begin a handshake and stop, or whose first bytes are no handshake: they cost a connection for a second,
//! and other clients nothing.
//!
//! Bug class 14 of `docs/security.md` (CVE-2020-13849), for the TLS listeners and for all four together. Each test has a
//! server of its own, because each fills its listeners. The scenario `halfopen` of `bench/` measures how little their number
//! delays others.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::canary::Canary;
use thng_pubsub_tests::frames::handshake;
use thng_pubsub_tests::link::{Arrival, Link as _, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::tls::Trust;
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Rest, Server, WAIT_MAX};

/// How many of each kind stop halfway. There are eight kinds of TLS handshakes, so these are 200.
const EACH: usize = 25;

/// Between two drops. A whole handshake of those below would take seconds.
const DROP: Duration = Duration::from_millis(20);

#[track_caller]
fn started(launch: Launch) -> (Server, Trust) {
    let server = launch.with_tls().start();
    let trust = Trust::in_the(&server);
    (server, trust)
}

/// Raises this process's limit of open files, where it is lower and may be raised.
fn allow_open_files(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    let current =
        limit.current.map(|current| current.max(limit.maximum.map_or(needed, |most| most.min(needed))));
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("a soft limit can be raised");
}

#[track_caller]
fn refused(server: &Server, protocol: &str, reason: &str) -> u64 {
    server.metric(&format!(r#"connections_refused_total{{protocol="{protocol}",reason="{reason}"}}"#))
}

#[track_caller]
fn open(server: &Server, protocol: &str) -> u64 {
    server.metric(&format!(r#"connections{{protocol="{protocol}"}}"#))
}

/// The first half of what would open something.
fn half(whole: &[u8]) -> &[u8] {
    &whole[..whole.len() / 2]
}

/// Handshakes of TLS that stop: with nothing, with the type of the first record, or in the middle of a ClientHello. The
/// last stops after a whole one, which the server answers with its certificate and a signature.
fn half_handshakes(server: &Server, trust: &Trust) -> Vec<Raw> {
    let hello = trust.hello();
    let starts: [&[u8]; 4] = [b"", &hello[..1], half(&hello), &hello];
    let listeners = [server.https(), server.mqtts()];
    let begun = |address, start: &[u8]| Raw::connect(address).with(start);
    listeners.into_iter().flat_map(|address| starts.map(|start| begun(address, start))).collect()
}

/// What stops halfway in the protocols themselves, on the plain listeners and inside TLS.
#[track_caller]
fn half_openings(server: &Server, trust: &Trust) -> Vec<Raw> {
    let request = format!("GET /access HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n\r\n");
    let (upgrade, connect) = (handshake("/mqtt", ""), Hello::with_key(KEY).bytes());
    let in_http: [&[u8]; 3] = [b"", half(request.as_bytes()), half(upgrade.as_bytes())];
    let in_mqtt: [&[u8]; 2] = [b"", half(&connect)];
    let mut opened: Vec<Raw> = in_http.iter().map(|start| Raw::connect(server.http()).with(start)).collect();
    opened.extend(in_http.iter().map(|start| trust.connect(server.https()).with(start)));
    opened.extend(in_mqtt.iter().map(|start| Raw::connect(server.mqtt()).with(start)));
    opened.extend(in_mqtt.iter().map(|start| trust.connect(server.mqtts()).with(start)));
    opened
}

/// Shows that new clients get through every listener with TLS.
#[track_caller]
fn assert_served_over_tls(server: &Server, trust: &Trust) {
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut client = Client::accepted(trust.connect(server.mqtts()), &Hello::with_key(KEY));
    client.subscribed(&topic, QoS::AtLeastOnce);
    let opened = WebSocket::request_over_tls(server, trust, &topic, &[("Authorization", KEY)]);
    let mut socket = opened.expect("the topic is there");
    let frames = MqttFrames::open_over_tls(server, trust, "mqtt");
    Client::accepted(frames, &Hello::with_key(KEY)).publish_acknowledged(&topic, r#"[{"value":1}]"#);
    assert_eq!((client.message().value(), &socket.json()[0]["value"]), (1.into(), &1.into()));
    let mut rest = Rest::over_tls(server.https(), Some(KEY), trust);
    assert_eq!(rest.get(&topic).expect(200)[0]["value"], 1);
}

#[test]
fn a_thousand_half_open_handshakes_block_no_other_client() {
    // Before the server is started, which has the same limit from then on.
    allow_open_files(4_096);
    let (server, trust) = started(Launch::new().flag("--connect-timeout-s", "600"));
    let mut canary = Canary::in_the(&server);
    canary.sings();
    let mut unfinished = Vec::new();
    let each = 56;
    for _ in 0..each {
        unfinished.extend(half_handshakes(&server, &trust));
        unfinished.extend(half_openings(&server, &trust));
    }
    assert!(unfinished.len() > 1_000, "{}", unfinished.len());
    until("all of them have come", || {
        // The canary is one of MQTT, and the asking client is one of HTTP.
        let expected =
            [("https", 7 * each), ("mqtts", 6 * each), ("http", 3 * each + 1), ("mqtt", 2 * each + 1)];
        expected.iter().all(|(protocol, count)| open(&server, protocol) == *count).then_some(())
    });
    for _ in 0..5 {
        canary.sings();
        assert_served_over_tls(&server, &trust);
    }
    drop(unfinished);
    until("all of them have gone", || {
        (open(&server, "https") + open(&server, "mqtts") == 0 && open(&server, "mqtt") == 1).then_some(())
    });
    canary.sings();
    for protocol in ["https", "mqtts"] {
        assert_eq!(refused(&server, protocol, "tls_handshake"), 4 * each, "who hangs up is told apart");
        assert_eq!(refused(&server, protocol, "tls_timeout"), 0, "from who is late");
    }
}

#[test]
fn all_that_stop_halfway_are_let_go_when_their_time_is_up() {
    let (server, trust) = started(Launch::new().flag("--connect-timeout-s", "2"));
    let mut unfinished = Vec::new();
    for _ in 0..EACH {
        unfinished.extend(half_handshakes(&server, &trust));
        unfinished.extend(half_openings(&server, &trust));
    }
    for raw in &mut unfinished {
        raw.until_closed();
    }
    until("nothing is left of them", || {
        let left: u64 =
            ["https", "mqtts", "mqtt", "mqtt_ws"].map(|protocol| open(&server, protocol)).iter().sum();
        // The asking client is one of HTTP.
        (left == 0 && open(&server, "http") == 1).then_some(())
    });
    for protocol in ["https", "mqtts"] {
        assert_eq!(refused(&server, protocol, "tls_timeout"), 4 * EACH as u64, "{protocol}");
        let disconnects = format!(r#"disconnects_total{{protocol="{protocol}",reason="connect_timeout"}}"#);
        let late = if protocol == "mqtts" { 2 * EACH as u64 } else { 0 };
        assert_eq!(server.metric(&disconnects), late, "inside TLS, {protocol}");
    }
    let sentence = "the TLS handshake took too long (--connect-timeout-s)";
    assert!(server.log().contains(sentence), "{}", server.log());
    assert!(server.log().lines().filter(|line| line.contains(sentence)).count() <= 2 * 4 * EACH);
    server.assert_serves();
    assert_served_over_tls(&server, &trust);
}

/// Sends all of these, a drop at a time, until the server ends the connection; what it said until then.
#[track_caller]
fn dripped(what: &str, mut raw: Raw, drops: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut received = Vec::new();
    for drop in drops {
        raw.send(&drop);
        match raw.receive(DROP) {
            Arrival::Bytes(bytes) => received.extend(bytes),
            Arrival::Nothing => {}
            Arrival::Closed => return received,
        }
    }
    panic!("{what} was waited for to its end");
}

#[test]
fn a_dripping_handshake_gets_no_extra_time() {
    let (server, trust) = started(Launch::new().flag("--connect-timeout-s", "2"));
    let hello = trust.hello();
    // Each byte in a record of its own is a ClientHello all the same [RFC 8446, 5.1].
    let fragments: Vec<Vec<u8>> = hello[5..].iter().map(|byte| vec![0x16, 0x03, 0x01, 0, 1, *byte]).collect();
    // What middleboxes may send, and a server has to pass over [RFC 8446, D.4].
    let padding = std::iter::repeat_n(vec![0x14, 0x03, 0x03, 0, 1, 1], 1_000);
    std::thread::scope(|scope| {
        for address in [server.https(), server.mqtts()] {
            let (hello, fragments, padding) = (&hello, &fragments, padding.clone());
            scope.spawn(move || {
                let bytes = hello.iter().map(|byte| vec![*byte]);
                assert_eq!(dripped("a ClientHello", Raw::connect(address), bytes), b"");
            });
            scope.spawn(move || {
                let said =
                    dripped("a ClientHello in pieces", Raw::connect(address), fragments.iter().cloned());
                assert!(matches!(*said, [] | [0x15, ..]), "{said:02x?}");
            });
            scope.spawn(move || drop(dripped("a handshake", Raw::connect(address).with(hello), padding)));
        }
    });
    until("nothing is left of them", || (open(&server, "https") + open(&server, "mqtts") == 0).then_some(()));
    assert_served_over_tls(&server, &trust);
}

#[test]
fn half_open_handshakes_count_as_connections() {
    for (setting, reason) in [
        ("--connections-max", "too_many_connections"),
        ("--connections-per-address-max", "connection_limit_per_address"),
    ] {
        let (server, trust) = started(
            Launch::new().flag(setting, "8").flag("--connect-timeout-s", "600").flag("--log", "info"),
        );
        let hello = trust.hello();
        let mut unfinished = Vec::new();
        until("there is no more room", || {
            let address = [server.https(), server.mqtts()][unfinished.len() % 2];
            unfinished.push(Raw::connect(address).with(half(&hello)));
            server.log().contains(&format!("reason={reason:?}")).then_some(())
        });
        let rejected = |address| Raw::connect(address).with(&hello).until_closed().is_empty();
        assert!(rejected(server.https()) && rejected(server.mqtts()), "{setting}");
        assert_eq!(Raw::connect(server.http()).with(b"GET / HTTP/1.1\r\n\r\n").until_closed(), b"");

        drop(unfinished);
        let mut rest = until("there is room again", || {
            let raw = trust.try_connect(server.https()).ok()?;
            drop(raw);
            Some(Rest::over_tls(server.https(), None, &trust))
        });
        until("all of them have gone", || {
            (open(&server, "https") <= 1 && open(&server, "mqtts") == 0).then_some(())
        });
        let metrics = rest.send("GET", "/metrics", &[], None);
        for protocol in ["https", "mqtts", "http"] {
            let counted = format!(
                r#"thng_pubsub_connections_refused_total{{protocol="{protocol}",reason="{reason}"}}"#
            );
            assert!(metrics.text().contains(&counted), "{setting}: {}", metrics.text());
        }
        assert_served_over_tls(&server, &trust);
    }
}

#[test]
fn first_bytes_without_handshake_end_only_their_connection() {
    let (server, trust) = started(Launch::new().flag("--connect-timeout-s", "600"));
    let mut canary = Canary::in_the(&server);
    let hello = trust.hello();
    let record = |kind: u8, bytes: &[u8]| {
        let mut record = vec![kind, 0x03, 0x03];
        record.extend((bytes.len() as u16).to_be_bytes());
        record.extend(bytes);
        record
    };
    let mut random = thng_pubsub_tests::wait::random();
    let mut noise = || (0..2_000).map(|_| random.u8(..)).collect::<Vec<u8>>();
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("noise in a handshake record", record(0x16, &noise())),
        ("a record that is longer than any may be", [&[0x16, 0x03, 0x03, 0xff, 0xff][..], &noise()].concat()),
        ("a hello that would be 16 MiB", record(0x16, &[&[1, 0xff, 0xff, 0xff][..], &noise()].concat())),
        ("records without anything in them", record(0x16, &[]).repeat(10_000)),
        ("a Finished before everything else", record(0x16, &[&[20, 0, 0, 12][..], &[0; 12]].concat())),
        ("a message of nobody's", record(0x16, &[99, 0, 0, 0])),
        ("a hello and then plain text", [&*hello, b"GET / HTTP/1.1\r\n\r\n"].concat()),
        ("a hello and then application data", [&*hello, &record(0x17, &noise())].concat()),
        ("a hello after a hello", [&*hello, &*hello].concat()),
    ];
    for (what, bytes) in &broken {
        for (protocol, address) in [("https", server.https()), ("mqtts", server.mqtts())] {
            let before = refused(&server, protocol, "tls_handshake");
            Raw::connect(address).with(bytes).until_closed();
            until(format!("{what} is counted"), || {
                (refused(&server, protocol, "tls_handshake") == before + 1).then_some(())
            });
        }
        canary.sings();
    }
    // An alert, application data, a heartbeat, a hello of SSL 2, and bytes of no protocol at all.
    for first in [0x15, 0x17, 0x18, 0x80, 0x00, 0xff] {
        let before = refused(&server, "mqtts", "not_tls");
        assert_eq!(Raw::connect(server.mqtts()).with(&[first; 100]).until_closed(), b"");
        until("it is counted", || (refused(&server, "mqtts", "not_tls") == before + 1).then_some(()));
    }
    canary.sings();
    assert_served_over_tls(&server, &trust);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// A client that was let in and then breaks the rules of TLS is let go like one that breaks those of MQTT.
#[test]
fn a_tls_error_after_the_handshake_ends_only_its_connection() {
    let (server, trust) = started(Launch::new());
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut polite = Client::accepted(trust.connect(server.mqtts()), &Hello::with_key(KEY));
    polite.subscribed(&topic, QoS::AtLeastOnce);
    for address in [server.https(), server.mqtts()] {
        let raw = trust.connect(address);
        let mut underneath = Raw::on(thng_pubsub_tests::link::Stream::Plain(
            raw.into_stream().tcp().try_clone().expect("a socket can be had twice"),
        ));
        // A record that cannot have been encrypted with the keys of this connection.
        underneath.send(&[&[0x17, 0x03, 0x03, 0, 40][..], &[7; 40]].concat());
        underneath.until_closed();
    }
    polite.publish_acknowledged(&topic, r#"[{"value":1}]"#);
    assert_eq!(polite.message().value(), 1);
    assert_served_over_tls(&server, &trust);
}

#[test]
fn announced_handshakes_cost_little_memory() {
    const MIB: u64 = 1 << 20;
    let (server, trust) = started(Launch::new().flag("--connect-timeout-s", "600"));
    // The longest ClientHello that is put up with, of which its head comes.
    let announced = [&[0x16, 0x03, 0x01, 0x40, 0x00, 1, 0, 0xff, 0xff, 0x03, 0x03][..], &[7; 100]].concat();
    let grown = server.growth(|| {
        let begun: Vec<Raw> = (0..200).map(|_| Raw::connect(server.mqtts()).with(&announced)).collect();
        until("all of them have come", || (open(&server, "mqtts") >= 200).then_some(()));
        begun
    });
    assert!(grown < 8 * MIB, "{grown} bytes for 200 handshakes");
    assert_served_over_tls(&server, &trust);
}

#[test]
fn half_open_handshakes_do_not_delay_the_stop() {
    let (mut server, trust) = started(Launch::new().flag("--connect-timeout-s", "600"));
    let unfinished = half_handshakes(&server, &trust);
    until("all of them have come", || {
        (open(&server, "https") == 4 && open(&server, "mqtts") == 4).then_some(())
    });
    server.terminate();
    assert!(!server.log().contains("did not end in time"), "{}", server.log());
    drop(unfinished);
}

#[test]
fn the_time_of_a_handshake_is_not_taken_from_what_comes_inside() {
    let (server, trust) = started(Launch::new().flag("--connect-timeout-s", "2"));
    let mut late = trust.connect(server.mqtts());
    let ended = late.receive(WAIT_MAX);
    assert_eq!(ended, Arrival::Closed, "no CONNECT came in time");
    let reason = r#"disconnects_total{protocol="mqtts",reason="connect_timeout"}"#;
    until("it is counted as what it is", || (server.metric(reason) == 1).then_some(()));
    assert_eq!(refused(&server, "mqtts", "tls_timeout"), 0);
}
