//! TLS as clients meet it: every protocol over it, which versions are spoken, and what is said to those who speak plain.
//!
//! `tls/certificates.rs` has the sources and the exchange of certificates, and `hostile/tls.rs` unfinished handshakes.
//! Clients from npm, our SDK and Chromium over TLS are in `js/` and `npm/test/tls.test.mjs`.

use std::fs;
use std::io::Read as _;

use rustls::{HandshakeKind, ProtocolVersion};
use serde_json::{Value, json};
use tempfile::TempDir;
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::command::Program;
use thng_pubsub_tests::link::{Link as _, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::tls::{Authority, Trust, client_pem, old_hello};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Rest, Server, WAIT_MAX};

const PACKAGE: &str = "mosquitto-clients";

/// A server with all four listeners, and what its clients need to trust it.
#[track_caller]
fn started() -> (Server, Trust) {
    let server = Launch::new().with_tls().start();
    let trust = Trust::in_the(&server);
    (server, trust)
}

/// A property of a thng that is there.
#[track_caller]
fn property(server: &Server) -> String {
    format!("/thngs/{}/properties/temperature", server.rest().thng())
}

#[track_caller]
fn mqtts(server: &Server, trust: &Trust) -> Client {
    Client::accepted(trust.connect(server.mqtts()), &Hello::with_key(KEY))
}

#[track_caller]
fn https(server: &Server, trust: &Trust) -> Rest {
    Rest::over_tls(server.https(), Some(KEY), trust)
}

/// What was counted as refused by a listener for a reason.
#[track_caller]
fn refused(server: &Server, protocol: &str, reason: &str) -> u64 {
    server.metric(&format!(r#"connections_refused_total{{protocol="{protocol}",reason="{reason}"}}"#))
}

/// Waits for a line of the log with all of these in it, which must not have another level than `INFO`.
#[track_caller]
fn logged(server: &Server, parts: &[&str]) {
    until(format!("the log has a line with {parts:?}"), || {
        let log = server.log();
        let line = log.lines().find(|line| parts.iter().all(|part| line.contains(part)))?;
        assert!(line.contains(" INFO "), "what clients cause is not an error of the server: {line}");
        Some(())
    });
}

/// A file with an authority's certificate, in a folder that goes with it.
#[track_caller]
fn file(pem: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let path = folder.path().join("client.pem");
    fs::write(&path, pem).expect("the folder is the test's");
    let path = path.display().to_string();
    (folder, path)
}

/// The product description's lines: `-h localhost -p PORT --cafile client.pem … -u authorization -P KEY`.
#[track_caller]
fn mosquitto(program: &str, server: &Server, cafile: &str, arguments: &[&str]) -> Program {
    let port = server.mqtts().port().to_string();
    let mut all = vec!["-h", "localhost", "-p", &port, "--cafile", cafile];
    all.extend(arguments);
    all.extend(["-u", "authorization", "-P", KEY]);
    Program::start_line_by_line(program, PACKAGE, &all)
}

#[test]
fn the_ready_line_names_tls_listeners_which_serve_alone_too() {
    let (server, _) = started();
    let names: Vec<_> =
        server.ready_line().split(' ').skip(1).map(|word| word.split('=').next().unwrap()).collect();
    assert_eq!(names, ["http", "mqtt", "https", "mqtts"]);

    let alone = Launch::new().with_tls().flag("--http", "off").flag("--mqtt", "off").start();
    let pem = Rest::over_tls(alone.https(), None, &Trust::blind()).send("GET", "/client.pem", &[], None);
    pem.assert_status(200);
    let trust = Trust::of(pem.text());
    https(&alone, &trust).get("/access").assert_status(200);
    mqtts(&alone, &trust).ping();
}

#[test]
fn the_documented_mosquitto_lines_work_with_client_pem() {
    let (server, _) = started();
    let (_folder, cafile) = file(&client_pem(&server));
    let topic = property(&server);
    let with_state = format!("{topic}?pubStates=1");
    server.rest().put(&topic, r#"[{"value":"initial"}]"#).assert_status(200);
    let received = |program: &Program| -> Value {
        let line = program.line_that_starts("[");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    };

    let watching = mosquitto("mosquitto_sub", &server, &cafile, &["-t", &with_state, "-d"]);
    watching.line_that_starts("Subscribed ");
    assert_eq!(received(&watching)[0]["value"], "initial");
    let update = ["-t", &topic, "-q", "1", "-m", r#"[{"value":37.2}]"#];
    assert_eq!(mosquitto("mosquitto_pub", &server, &cafile, &update).exit_code(), Some(0));
    assert_eq!(received(&watching)[0]["value"], 37.2);
    assert_eq!(server.rest().get(&topic).expect(200)[0]["value"], 37.2);
}

#[test]
fn an_untrusting_client_fails_and_the_log_names_client_pem() {
    let (server, _) = started();
    let (_folder, cafile) = file(&Authority::new().pem);
    let publishing = mosquitto("mosquitto_pub", &server, &cafile, &["-t", "/thngs/x", "-m", "1"]);
    assert_ne!(publishing.exit_code(), Some(0));
    logged(&server, &["protocol=\"mqtts\"", "reason=\"tls_handshake\"", "GET /client.pem"]);
    assert_eq!(refused(&server, "mqtts", "tls_handshake"), 1);
}

#[test]
fn every_protocol_over_tls_receives_every_other() {
    let (server, trust) = started();
    let topic = property(&server);
    let mut rest = https(&server, &trust);
    let mut mqtt = mqtts(&server, &trust);
    let mut frames =
        Client::accepted(MqttFrames::open_over_tls(&server, &trust, "mqtt"), &Hello::with_key(KEY));
    let opened = WebSocket::request_over_tls(&server, &trust, &topic, &[("Authorization", KEY)]);
    let mut socket = opened.expect("the topic is there");
    let mut plain = Client::connect(&server);
    mqtt.subscribed(&topic, QoS::AtLeastOnce);
    frames.subscribed(&topic, QoS::AtMostOnce);
    plain.subscribed(&topic, QoS::AtMostOnce);

    let payload = |value: &str| json!([{ "value": value }]).to_string();
    for writer in ["https", "mqtts", "MQTT in wss", "wss", "mqtt"] {
        match writer {
            "https" => rest.put(&topic, payload(writer)).assert_status(200),
            "mqtts" => mqtt.publish_acknowledged(&topic, &payload(writer)),
            "MQTT in wss" => frames.publish_acknowledged(&topic, &payload(writer)),
            "wss" => socket.send(payload(writer)),
            _ => plain.publish_acknowledged(&topic, &payload(writer)),
        }
        let received = [mqtt.message().value(), frames.message().value(), plain.message().value()]
            .map(|it| it.to_string());
        assert_eq!(received, [0; 3].map(|_| json!(writer).to_string()));
        assert_eq!(socket.json()[0]["value"], writer);
        assert_eq!(rest.get(&topic).expect(200)[0]["value"], writer);
    }
    assert_eq!(rest.connections(), 1, "a connection over TLS is kept alive as any other");
    for (protocol, open) in [("https", 1), ("mqtts", 1), ("mqtt_ws", 1), ("websocket", 1), ("mqtt", 1)] {
        let counted = server.metric(&format!(r#"connections{{protocol="{protocol}"}}"#));
        // A connection that was upgraded does not count as HTTP any more, on either listener.
        assert_eq!(counted, open, "{protocol}");
    }
}

#[test]
fn links_and_locations_of_an_answer_over_https_are_of_https() {
    let (server, trust) = started();
    let mut rest = https(&server, &trust);
    let mut made: Vec<String> = (0..5).map(|_| rest.thng()).collect();
    // The harness follows links of this server's own https address only.
    let parts = rest.parts("/thngs?perPage=2");
    assert_eq!(parts.len(), 3);
    let mut listed: Vec<String> =
        parts.iter().flatten().map(|thng| thng["id"].as_str().expect("an id").to_owned()).collect();
    made.sort();
    listed.sort();
    assert_eq!(listed, made);

    let behind_a_proxy =
        [("Authorization", KEY), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "outside")];
    let answer = rest.send("GET", "/thngs?perPage=2", &behind_a_proxy, None);
    let link = answer.header("link").expect("there is more");
    assert!(link.starts_with("<http%3A%2F%2Foutside%2F"), "a proxy knows the address better: {link}");
}

#[test]
fn the_largest_messages_arrive_whole_in_both_directions() {
    let (server, trust) = started();
    let topic = property(&server);
    let value = "ü".repeat(60_000);
    let payload = json!([{ "value": value }]).to_string();
    let mut rest = https(&server, &trust);
    let mut client = mqtts(&server, &trust);
    client.subscribed(&topic, QoS::AtLeastOnce);
    for _ in 0..10 {
        client.publish_acknowledged(&topic, &payload);
        assert_eq!(client.message().value(), json!(value));
        rest.put(&topic, payload.clone()).assert_status(200);
        assert_eq!(client.message().value(), json!(value));
    }
    let history = rest.get(&topic).expect(200);
    let values = history.as_array().expect("a history");
    assert_eq!(values.len(), 10 * 2);
    assert!(values.iter().all(|entry| entry["value"] == json!(value)));
}

#[test]
fn tls_1_2_and_1_3_are_spoken() {
    let (server, trust) = started();
    for (version, spoken) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let trust = trust.clone().speaking(&[version]);
        assert_eq!(trust.connect(server.mqtts()).tls().protocol_version(), Some(spoken));
        https(&server, &trust).get("/access").assert_status(200);
        mqtts(&server, &trust).ping();
    }
    assert_eq!(trust.connect(server.https()).tls().protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn older_tls_versions_are_refused_with_an_alert_and_logged() {
    let (server, _) = started();
    for version in [0x0301, 0x0302] {
        for (protocol, address) in [("https", server.https()), ("mqtts", server.mqtts())] {
            let before = refused(&server, protocol, "tls_handshake");
            let said = Raw::connect(address).with(&old_hello(version)).until_closed();
            // A fatal one: handshake_failure or protocol_version [RFC 5246, 7.2].
            assert!(matches!(*said, [0x15, 0x03, _, 0, 2, 2, 40 | 70]), "{said:02x?}");
            until("it is counted", || (refused(&server, protocol, "tls_handshake") > before).then_some(()));
            let protocol = format!("protocol={protocol:?}");
            logged(&server, &[&protocol, "reason=\"tls_handshake\"", "TLS 1.2 and 1.3 are spoken here"]);
        }
    }
}

#[test]
fn alpn_selects_http_1_1_on_https_and_any_protocol_on_mqtts() {
    let (server, trust) = started();
    let both = trust.clone().offering(&["h2", "http/1.1"]).connect(server.https());
    assert_eq!(both.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
    let refusal =
        trust.clone().offering(&["h2"]).try_connect(server.https()).expect_err("there is no HTTP/2");
    assert!(refusal.to_string().contains("NoApplicationProtocol"), "{refusal}");
    for offered in ["mqtt", "x-amzn-mqtt-ca"] {
        let link = trust.clone().offering(&[offered]).connect(server.mqtts());
        Client::accepted(link, &Hello::with_key(KEY)).ping();
    }
}

#[test]
fn a_returning_client_resumes_its_tls_session() {
    let (server, trust) = started();
    for address in [server.https(), server.mqtts()] {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let trust = trust.clone().speaking(&[version]);
            let mut first = trust.connect(address);
            assert_eq!(first.tls().handshake_kind(), Some(HandshakeKind::Full));
            // The ticket of TLS 1.3 comes behind the handshake, before what is inside is answered.
            first.send(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            first.until_closed();
            let again = trust.connect(address);
            assert_eq!(again.tls().handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        }
    }
}

/// All that comes until the end, which has to be a proper one: after a reset some systems forget what came before.
#[track_caller]
fn read_to_the_end(raw: Raw) -> String {
    let mut said = String::new();
    let mut stream = raw.into_stream();
    stream.tcp().set_read_timeout(Some(WAIT_MAX)).expect("a timeout can be set");
    stream.read_to_string(&mut said).unwrap_or_else(|error| panic!("{error} behind {said:?}"));
    said
}

#[test]
fn a_plain_request_on_the_https_port_gets_400_with_advice() {
    let (server, _) = started();
    let long = format!("PUT /x HTTP/1.1\r\nContent-Length: 300000\r\n\r\n{}", "x".repeat(300_000));
    for (n, request) in ["GET /access HTTP/1.1\r\nHost: x\r\n\r\n", &long, "G"].into_iter().enumerate() {
        let mut raw = Raw::connect(server.https()).with(request.as_bytes());
        raw.finish();
        let said = read_to_the_end(raw);
        assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
        let (head, body) = said.split_once("\r\n\r\n").expect("a head and a body");
        assert_eq!(body, "This port speaks HTTPS: use https:// or wss://.");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        let counted = n as u64 + 1;
        until("it is counted", || (refused(&server, "https", "not_tls") == counted).then_some(()));
    }
    logged(&server, &["protocol=\"https\"", "reason=\"not_tls\"", "the peer speaks no TLS on this port"]);
}

#[test]
fn a_plain_connect_on_the_mqtts_port_is_closed_without_a_word() {
    let (server, _) = started();
    let said = Raw::connect(server.mqtts()).with(&Hello::with_key(KEY).bytes()).until_closed();
    assert_eq!(said, b"");
    until("it is counted", || (refused(&server, "mqtts", "not_tls") == 1).then_some(()));
    logged(&server, &["protocol=\"mqtts\"", "reason=\"not_tls\"", "the peer speaks no TLS on this port"]);
    assert!(!server.log().contains(KEY), "its key is not in the log");
}

#[test]
fn a_tls_client_on_a_plain_port_is_let_go_too() {
    let (server, trust) = started();
    for address in [server.http(), server.mqtt()] {
        trust.try_connect(address).expect_err("no TLS is spoken there");
    }
    server.assert_serves();
}

#[test]
fn keys_count_over_tls_as_they_do_elsewhere() {
    let (server, trust) = started();
    let wrong = KEY.to_lowercase();
    Rest::over_tls(server.https(), Some(&wrong), &trust).get("/access").assert_status(403);
    let topic = property(&server);
    let refusal = WebSocket::request_over_tls(&server, &trust, &topic, &[("Authorization", &wrong)]);
    assert_eq!(refusal.expect_err("nobody knows the key"), 403);
    let (_, code) = Client::greeted(trust.connect(server.mqtts()), &Hello::with_key(&wrong));
    assert_eq!(code, thng_pubsub_protocol::mqtt::ConnectCode::NotAuthorised);
    assert_eq!(refused(&server, "mqtts", "invalid_key"), 1);
}

/// The certificate that was downloaded is what the folder has, whichever listener gave it.
#[test]
fn client_pem_is_served_without_a_key_on_both_listeners() {
    let (server, trust) = started();
    let pem = client_pem(&server);
    let answer = Rest::over_tls(server.https(), None, &trust).send("GET", "/client.pem", &[], None);
    answer.assert_status(200);
    assert_eq!(answer.text(), pem);
    assert_eq!(answer.header("content-type"), Some("application/x-pem-file"));
    assert_eq!(fs::read_to_string(server.data().join("tls/authority.pem")).unwrap(), pem);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("PRIVATE KEY"), "{pem}");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_lowercase();
    for host_name in ["localhost", "127.0.0.1", "::1", &host] {
        for address in [server.https(), server.mqtts()] {
            let _ = trust.clone().named(host_name).connect(address);
        }
    }
    until("the log says what it is not for", || server.log().contains("for development only").then_some(()));
    let refusal = trust.named("example.com").try_connect(server.https()).expect_err("it is for this machine");
    assert!(refusal.to_string().contains("not valid for name"), "{refusal}");
}
