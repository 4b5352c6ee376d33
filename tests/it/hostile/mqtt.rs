//! Malformed bytes at MQTT's port and MQTT's WebSocket.

use thng_pubsub_protocol::mqtt::{ConnectCode, Packet, PacketId, QoS, SubAckCode, Subscribe};
use thng_pubsub_tests::canary::Canary;
use thng_pubsub_tests::link::{Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill, encoded, publish};
use thng_pubsub_tests::wait::random;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Server};

/// Bytes that are no packet, whatever came before them.
const MALFORMED: [(&str, &[u8]); 36] = [
    ("packet type 0", b"\x00\x00"),
    ("packet type 15", b"\xf0\x00"),
    ("a remaining length of five bytes", b"\x30\xff\xff\xff\xff\x01"),
    ("SUBSCRIBE without its flags", b"\x80\x06\x00\x01\x00\x01x\x00"),
    ("UNSUBSCRIBE without its flags", b"\xa0\x05\x00\x01\x00\x01x"),
    ("PUBREL without its flags", b"\x60\x02\x00\x01"),
    ("PUBACK with flags", b"\x41\x02\x00\x01"),
    ("PINGREQ with flags", b"\xc1\x00"),
    ("PINGREQ with a body", b"\xc0\x01\x00"),
    ("DISCONNECT with a body", b"\xe0\x01\x00"),
    ("PUBACK without an identifier", b"\x40\x00"),
    ("PUBACK with half an identifier", b"\x40\x01\x00"),
    ("PUBACK with identifier 0", b"\x40\x02\x00\x00"),
    ("PUBACK with more than an identifier", b"\x40\x03\x00\x01\x00"),
    ("PUBLISH at QoS 3", b"\x36\x06\x00\x01x\x00\x01y"),
    ("PUBLISH at QoS 1 with identifier 0", b"\x32\x06\x00\x01x\x00\x00y"),
    ("PUBLISH at QoS 1 without an identifier", b"\x32\x03\x00\x01x"),
    ("PUBLISH without a topic", b"\x30\x00"),
    ("PUBLISH with an empty topic", b"\x30\x03\x00\x00y"),
    ("PUBLISH with a topic longer than itself", b"\x30\x04\x00\xffxy"),
    ("PUBLISH with a NUL in its topic", b"\x30\x05\x00\x02x\x00y"),
    ("PUBLISH with a topic that is no UTF-8", b"\x30\x05\x00\x02\xc3\x28y"),
    ("PUBLISH with half a surrogate in its topic", b"\x30\x06\x00\x03\xed\xa0\x80y"),
    ("PUBLISH with an overlong slash in its topic", b"\x30\x05\x00\x02\xc0\xafy"),
    ("SUBSCRIBE without a filter", b"\x82\x02\x00\x01"),
    ("SUBSCRIBE without a QoS", b"\x82\x05\x00\x01\x00\x01x"),
    ("SUBSCRIBE with a QoS that has other bits", b"\x82\x06\x00\x01\x00\x01x\x81"),
    ("SUBSCRIBE with a NUL in its filter", b"\x82\x07\x00\x01\x00\x02x\x00\x00"),
    ("SUBSCRIBE with a filter that is no UTF-8", b"\x82\x07\x00\x01\x00\x02\xc3\x28\x00"),
    ("UNSUBSCRIBE with a NUL in its filter", b"\xa2\x06\x00\x01\x00\x02x\x00"),
    ("UNSUBSCRIBE with an overlong slash in its filter", b"\xa2\x06\x00\x01\x00\x02\xc0\xaf"),
    ("UNSUBSCRIBE without a filter", b"\xa2\x02\x00\x01"),
    ("CONNACK, which only a server sends", b"\x20\x02\x00\x00"),
    ("SUBACK, which only a server sends", b"\x90\x03\x00\x01\x00"),
    ("UNSUBACK, which only a server sends", b"\xb0\x02\x00\x01"),
    ("PINGRESP, which only a server sends", b"\xd0\x00"),
];

/// Malformed CONNECT packets: the bytes behind the fixed header.
const MALFORMED_CONNECTS: [(&str, &[u8]); 14] = [
    ("nothing", b""),
    ("half a name", b"\x00\x04MQ"),
    ("no flags", b"\x00\x04MQTT\x04"),
    ("no keep alive", b"\x00\x04MQTT\x04\x02"),
    ("no client id", b"\x00\x04MQTT\x04\x02\x00\x3c"),
    ("a client id longer than the packet", b"\x00\x04MQTT\x04\x02\x00\x3c\x00\xffx"),
    ("a client id that is no UTF-8", b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xff\xfe"),
    ("a NUL in the client id", b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x02x\x00"),
    ("the reserved flag", b"\x00\x04MQTT\x04\x03\x00\x3c\x00\x01x"),
    ("a will at QoS 3", b"\x00\x04MQTT\x04\x1e\x00\x3c\x00\x01x\x00\x01t\x00\x01p"),
    ("a will's QoS without a will", b"\x00\x04MQTT\x04\x0a\x00\x3c\x00\x01x"),
    ("a will's retain flag without a will", b"\x00\x04MQTT\x04\x22\x00\x3c\x00\x01x"),
    ("a password without a user name", b"\x00\x04MQTT\x04\x42\x00\x3c\x00\x01x\x00\x01p"),
    ("something behind its end", b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x01xmore"),
];

/// Bug classes 3, a remaining length of five bytes (CVE-2026-21888, CVE-2019-19307), and 4, a topic that is empty or no
/// text (CVE-2021-34432, CVE-2017-7653).
///
/// MQTT-2.3.1-1: A packet that needs an id and has 0 ends the connection.
/// MQTT-3.8.3-3: A SUBSCRIBE without a filter ends the connection.
/// MQTT-3.10.3-2: An UNSUBSCRIBE without a filter ends the connection.
/// MQTT-4.7.3-1: An empty topic name or filter ends the connection.
/// MQTT-4.8.0-1: A client that breaks the protocol is disconnected, without an effect on other clients.
///
/// Also MQTT-3.3.1-4.
#[test]
fn a_malformed_packet_ends_only_its_senders_connection() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    for (what, bytes) in MALFORMED {
        let answer = Raw::connect(server.mqtt()).with(bytes).until_closed();
        assert_eq!(answer, b"", "{what}, before CONNECT");

        let mut client = Client::connect(server);
        client.send_bytes(bytes);
        client.assert_closed_after(what);

        let mut client = Client::connect_over_websocket(server);
        client.send_bytes(bytes);
        client.assert_closed_after(what);
    }
    canary.sings();
}

/// MQTT-3.1.3-3: A CONNECT without a client id is malformed.
/// MQTT-3.2.2-6: Where no return code applies, the connection is closed without CONNACK.
///
/// Also MQTT-3.1.4-1.
#[test]
fn a_malformed_connect_is_not_answered() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    for (what, body) in MALFORMED_CONNECTS {
        let mut packet = vec![0x10, u8::try_from(body.len()).expect("it is short")];
        packet.extend(body);
        let mut raw = Raw::connect(server.mqtt()).with(&packet);
        raw.finish();
        assert_eq!(raw.until_closed(), b"", "{what}");
    }
    canary.sings();
}

#[test]
fn a_topic_that_starts_beyond_ascii_is_refused_everywhere() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    for topic in ["é", "é/thngs", "日本/properties", "💡", "/é", "\u{feff}/thngs", "\u{fffd}"] {
        for hello in [Hello::with_key(KEY), Hello::with_key(KEY).in_3_1()] {
            let mut client = Client::connect_as(server, &hello);
            assert_eq!(client.subscribe(topic, QoS::AtMostOnce), SubAckCode::Refused, "{topic}");
            client.unsubscribe(topic);
            client.publish(topic, r#"[{"value":1}]"#);
            client.ping();
            client.publish_refused(topic, r#"[{"value":1}]"#);

            let will = LastWill { topic: topic.to_owned(), payload: "1".to_owned(), qos: QoS::AtMostOnce };
            let (mut client, code) =
                Client::greeted(Raw::connect(server.mqtt()), &Hello { will: Some(will), ..hello });
            assert_eq!(code, ConnectCode::NotAuthorised, "a will on {topic}");
            client.assert_closed();
        }
    }
    canary.sings();
}

/// Bug class 4: escapes that are overlong or mean nothing, and topics that begin with a dollar (CVE-2018-12543).
#[test]
fn a_topic_with_hidden_escapes_or_dollar_is_refused_everywhere() {
    let server = Server::shared();
    let mut rest = server.rest();
    let mut canary = Canary::in_the(server);
    let thng = rest.thng();
    let (all, own) = (format!("/thngs/{thng}/properties"), format!("/thngs/{thng}/properties/k"));
    let in_key = [
        "%00",
        "k%00",
        "%c0%af",
        "%c0%ae%c0%ae",
        "%ed%a0%80",
        "%ff",
        "%f4%90%80%80",
        "%",
        "%2",
        "%zz",
        "%25",
    ];
    let mut topics: Vec<String> = in_key.iter().map(|key| format!("{all}/{key}")).collect();
    topics.extend(["%00", "a%0ab", "%c2%80", "%7f", "%ff"].map(|name| format!("/actions/{name}")));
    topics.extend(["..", "%2e%2e", "%00", "*", "%2a"].map(|id| format!("/thngs/{id}/properties/k")));
    topics.extend([
        format!("/thngs/{thng}%2fproperties"),
        format!("{all}%2fk"),
        format!("{own}%2f"),
        format!("{own}%00"),
    ]);
    topics.extend(["/$SYS", "/$SYS/broker/uptime", "/$CONTROL/dynamic-security/v1", "/$"].map(str::to_owned));
    topics.extend([format!("/$share/g{own}"), format!("/$queue{own}"), format!("/$share/g/{own}")]);
    for topic in &topics {
        for topic in [&**topic, &topic[1..]] {
            let mut client = Client::connect(server);
            assert_eq!(client.subscribe(topic, QoS::AtMostOnce), SubAckCode::Refused, "{topic}");
            client.publish(topic, "1");
            client.ping();
            client.publish_refused(topic, "1");
            let will = LastWill { topic: topic.to_owned(), payload: "1".to_owned(), qos: QoS::AtMostOnce };
            let hello = Hello { will: Some(will), ..Hello::with_key(KEY) };
            let (_, code) = Client::greeted(Raw::connect(server.mqtt()), &hello);
            // What brokers say of themselves is passed over.
            let is_ignored = topic.starts_with("$SYS/");
            let expected = if is_ignored { ConnectCode::Accepted } else { ConnectCode::NotAuthorised };
            assert_eq!(code, expected, "a will on {topic}");
        }
        let upgrade = WebSocket::request(server, topic, &[("Authorization", KEY)]).err();
        assert!(matches!(upgrade, Some(400 | 403 | 404)), "{topic} as a WebSocket: {upgrade:?}");
        let written = rest.put(topic, "1").status;
        assert!(matches!(written, 400 | 404 | 405), "{topic} by REST: {written}");
    }
    assert_eq!(rest.get(&all).expect(200), serde_json::json!([]));
    canary.sings();
}

/// Bug class 5: levels without end (CVE-2019-11779).
///
/// MQTT-4.7.3-3: 65,535 bytes can be read; more than 4,096 are never a topic and are rejected.
#[test]
fn a_topic_of_sixty_five_thousand_slashes_is_refused() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let thng = server.rest().thng();
    for topic in [
        "/".repeat(65_535),
        format!("/thngs/{thng}/properties{}", "/".repeat(65_000)),
        "a/".repeat(32_000),
        "%2f".repeat(21_000),
        format!("/thngs/{thng}/properties?{}", "&".repeat(60_000)),
        format!("/thngs/{thng}/properties/{}", "k".repeat(60_000)),
    ] {
        let mut client = Client::connect(server);
        let shown = &topic[..20];
        let code = client.subscribe(&topic, QoS::AtMostOnce);
        assert_eq!(code, SubAckCode::Refused, "{shown}…");
        client.publish(&topic, r#"[{"key":"k","value":1}]"#);
        client.ping();
        client.publish_refused(&topic, r#"[{"key":"k","value":1}]"#);
    }
    let mut client = Client::connect(server);
    for filter in ["+/".repeat(32_000), "+/".repeat(32_000) + "#", "/+".repeat(32_000), "#".repeat(65_000)] {
        assert_eq!(client.subscribe(&filter, QoS::AtMostOnce), SubAckCode::Refused, "{}…", &filter[..4]);
    }
    canary.sings();
}

/// Bug class 5, for values.
#[test]
fn json_that_is_nested_a_hundred_thousand_deep_is_refused() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let opened = "[".repeat(100_000);
    let closed = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    for deep in [&opened, &closed] {
        let mut client = Client::connect(server);
        client.publish(&topic, deep);
        client.ping();
        client.publish_refused(&topic, &format!(r#"[{{"value":{deep}}}]"#));
    }
    canary.sings();
}

#[test]
fn unexpected_acknowledgements_affect_only_their_sender() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    for packet_type in [0x40, 0x50, 0x62, 0x70] {
        for id in [1_u16, 7, u16::MAX] {
            let mut client = Client::connect(server);
            let [high, low] = id.to_be_bytes();
            for _ in 0..100 {
                client.send_bytes(&[packet_type, 2, high, low]);
            }
            client.cut();
        }
    }
    canary.sings();
}

#[test]
fn a_connect_that_comes_byte_by_byte_is_a_connect() {
    let server = Server::shared();
    let mut raw = Raw::connect(server.mqtt());
    for byte in Hello::with_key(KEY).bytes() {
        raw.send(&[byte]);
    }
    raw.send(&[0xc0]);
    raw.send(&[0x00]);
    assert_eq!(raw.read_until(|received| received.len() >= 6), b"\x20\x02\x00\x00\xd0\x00");
}

#[test]
fn random_bytes_over_mqtt_end_only_their_own_connection() {
    let mut random = random();
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    for _ in 0..200 {
        let noise: Vec<u8> = (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
        let mut raw = Raw::connect(server.mqtt()).with(&noise);
        raw.finish();
        raw.until_closed();
        let mut client = Client::connect(server);
        client.send_bytes(&noise);
        client.cut();
        let mut frames = MqttFrames::open(server, "mqtt");
        frames.send(&noise);
        frames.cut();
    }
    canary.sings();
}

#[test]
fn sessions_with_wrong_bytes_end_only_their_own_connection() {
    let mut random = random();
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let states = format!("{topic}?pubStates=1");
    let filters = [(&*topic, QoS::AtLeastOnce), (&*states, QoS::AtMostOnce)];
    let will =
        LastWill { topic: topic.clone(), payload: r#"[{"value":"will"}]"#.to_owned(), qos: QoS::AtLeastOnce };
    let mut session = Hello { will: Some(will), ..Hello::with_key(KEY) }.bytes();
    let id = PacketId::MIN;
    session.extend(encoded(&Packet::Subscribe(Subscribe::new(id, &filters))));
    session.extend(encoded(&Packet::Publish(publish(
        &topic,
        r#"[{"value":1}]"#,
        QoS::AtLeastOnce,
        Some(id),
    ))));
    session.extend(encoded(&Packet::Publish(publish(&topic, r#"[{"value":2}]"#, QoS::AtMostOnce, None))));
    session.extend(encoded(&Packet::PubAck(id)));
    session.extend(encoded(&Packet::PingReq));

    for _ in 0..300 {
        let mut broken = session.clone();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(..broken.len());
            match random.u8(..3) {
                0 => broken[place] = random.u8(..),
                1 => drop(broken.remove(place)),
                _ => broken.insert(place, random.u8(..)),
            }
        }
        let mut raw = Raw::connect(server.mqtt()).with(&broken);
        raw.finish();
        raw.until_closed();
    }
    canary.sings();
}
