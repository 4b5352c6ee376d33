//! MQTT over WebSocket, at `/mqtt`.

use std::io::Write as _;

use serde_json::json;
use thng_pubsub_protocol::mqtt::{ConnectCode, Packet, PacketId, QoS, SubAckCode, Subscribe};
use thng_pubsub_tests::frames::{Frames, frame, handshake};
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill, Received, encoded, publish};
use thng_pubsub_tests::websocket::{CloseOutcome, MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Server, WAIT_MAX};
use tungstenite::{Bytes, Message};

use super::native::property;

const MIB: usize = 1 << 20;

// MQTT over WebSocket

/// MQTT-6.0.0-4: The server selects the subprotocol that the client offered.
#[test]
fn mqtt_over_websocket_echoes_the_requested_subprotocol() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    for (protocol, hello) in [("mqtt", Hello::with_key(KEY)), ("mqttv3.1", Hello::with_key(KEY).in_3_1())] {
        let mut client = Client::accepted(MqttFrames::open(server, protocol), &hello);
        client.subscribed(&topic, QoS::AtLeastOnce);
        client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
        let message = client.message();
        assert_eq!((&message.topic, message.value()), (&topic, json!(1)), "{protocol}");
        client.ping();
        client.unsubscribe(&topic);
        client.disconnect();
    }
}

/// Also MQTT-6.0.0-4.
#[test]
fn of_several_sub_protocols_one_of_mqtts_is_chosen() {
    let server = Server::shared();
    let offer = [("Sec-WebSocket-Protocol", "soap, mqttv3.1, wamp")];
    let socket = WebSocket::request(server, "/mqtt", &offer).expect("one of them is MQTT's");
    assert_eq!(socket.protocol.as_deref(), Some("mqttv3.1"));
}

/// MQTT-6.0.0-3: A client offers the subprotocol `mqtt`, or `mqttv3.1` as older ones do; without one it is not
/// upgraded.
#[test]
fn mqtt_over_websocket_needs_one_of_mqtts_sub_protocols() {
    let server = Server::shared();
    assert_eq!(WebSocket::request(server, "/mqtt", &[]).err(), Some(400));
    assert_eq!(
        WebSocket::request(server, "/mqtt", &[("Sec-WebSocket-Protocol", "soap, wamp")]).err(),
        Some(400)
    );
}

#[test]
fn mqtt_over_websocket_checks_the_key_at_connect() {
    let server = Server::shared();
    let wrong = Hello::with_key(&KEY.to_lowercase());
    let (mut client, code) = Client::greeted(MqttFrames::open(server, "mqtt"), &wrong);
    assert_eq!(code, ConnectCode::NotAuthorised);
    client.assert_closed();

    let topic = property(&mut server.rest());
    let mut keyless = Client::accepted(MqttFrames::open(server, "mqtt"), &Hello::anonymous());
    assert_eq!(keyless.subscribe(&topic, QoS::AtMostOnce), SubAckCode::Refused);
    let with_token = format!("{topic}?access_token={KEY}");
    assert_eq!(keyless.subscribe(&with_token, QoS::AtMostOnce), SubAckCode::Granted(QoS::AtMostOnce));
}

/// Opens `/mqtt` with a key in the upgrade.
#[track_caller]
fn upgraded(server: &Server, query: &str, header: Option<&str>) -> MqttFrames {
    let headers = [Some(("Sec-WebSocket-Protocol", "mqtt")), header.map(|key| ("Authorization", key))];
    let headers: Vec<_> = headers.into_iter().flatten().collect();
    let socket = WebSocket::request(server, &format!("/mqtt{query}"), &headers).expect("an upgrade");
    MqttFrames { socket }
}

#[test]
fn the_key_of_the_upgrade_counts_where_connect_has_none() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let bearer = format!("Bearer {KEY}");
    let by_query = format!("?access_token={KEY}");
    for (query, header) in [("", Some(KEY)), ("", Some(&*bearer)), (&*by_query, None)] {
        let link = upgraded(server, query, header);
        let mut client = Client::accepted(link, &Hello::anonymous());
        client.subscribed(&topic, QoS::AtMostOnce);
        client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
        assert_eq!(client.message().value(), 1);
    }
    // As with a key in CONNECT, a session can be kept under it.
    let hello = Hello::anonymous().durable("by upgrade");
    Client::accepted(upgraded(server, &by_query, None), &hello).cut();
    let again = Client::accepted(upgraded(server, "", Some(KEY)), &hello);
    assert!(again.session_present);
}

#[test]
fn credentials_of_other_schemes_in_the_upgrade_are_no_key() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let by_query = format!("?access_token={KEY}");
    for header in ["Basic dXNlcjpwYXNz", "Digest username=\"a\", realm=\"b\""] {
        // As without the header: each topic needs a key, and CONNECT may bring one.
        let mut client = Client::accepted(upgraded(server, "", Some(header)), &Hello::anonymous());
        assert_eq!(client.subscribe(&topic, QoS::AtMostOnce), SubAckCode::Refused, "{header}");
        client.subscribed(&format!("{topic}?access_token={KEY}"), QoS::AtMostOnce);
        let mut client = Client::accepted(upgraded(server, "", Some(header)), &Hello::with_key(KEY));
        client.subscribed(&topic, QoS::AtMostOnce);
        let mut client = Client::accepted(upgraded(server, &by_query, Some(header)), &Hello::anonymous());
        client.subscribed(&topic, QoS::AtMostOnce);
    }
}

#[test]
fn a_connect_that_brings_a_key_wins_over_the_upgrade() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let device = rest.device(&thng).key;
    let (own, other) = (format!("/thngs/{thng}/properties/k"), property(&mut rest));
    let by_query = format!("?access_token={KEY}");
    let mut client = Client::accepted(upgraded(server, &by_query, None), &Hello::with_key(&device));
    client.publish_acknowledged(&own, "1");
    assert_eq!(client.subscribe(&other, QoS::AtMostOnce), SubAckCode::Refused, "the operator could");

    let wrong = Hello::with_key(&KEY.to_lowercase());
    let (_, code) = Client::greeted(upgraded(server, &by_query, None), &wrong);
    assert_eq!(code, ConnectCode::NotAuthorised, "a wrong key is not replaced");
    let user_only = Hello { user_name: Some("somebody".to_owned()), ..Hello::anonymous() };
    let (_, code) = Client::greeted(upgraded(server, &by_query, None), &user_only);
    assert_eq!(code, ConnectCode::NotAuthorised);
}

#[test]
fn a_wrong_key_in_the_upgrade_is_refused_at_connect() {
    let server = Server::start();
    let wrong = KEY.to_lowercase();
    let by_query = format!("?access_token={wrong}");
    for (query, header) in [("", Some(&*wrong)), (&*by_query, None)] {
        let (mut client, code) = Client::greeted(upgraded(&server, query, header), &Hello::anonymous());
        assert_eq!(code, ConnectCode::NotAuthorised);
        client.assert_closed();
    }
    assert!(!server.log().contains(&wrong), "no key is logged");
}

/// Bug class 2 of `docs/security.md` (CVE-2026-25627).
///
/// MQTT-6.0.0-2: Packets and messages begin and end independently of each other.
#[test]
fn packets_may_be_split_and_merged_over_frames_in_any_way() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let filters = [(&*topic, QoS::AtMostOnce)];
    let payload = r#"[{"value":"in pieces"}]"#;
    let packet_id = PacketId::MIN;
    let mut stream = Hello::with_key(KEY).bytes();
    stream.extend(encoded(&Packet::Subscribe(Subscribe::new(packet_id, &filters))));
    stream.extend(encoded(&Packet::PingReq));
    stream.extend(encoded(&Packet::Publish(publish(&topic, payload, QoS::AtLeastOnce, Some(packet_id)))));

    for frame_bytes in [1, 2, 7, 64, stream.len()] {
        let mut client = Client::on(MqttFrames::open(server, "mqtt"));
        client.expects(Hello::with_key(KEY).level);
        for frame in stream.chunks(frame_bytes) {
            client.send_bytes(frame);
            client.send_bytes(b"");
        }
        assert_eq!(client.message().value(), "in pieces", "{frame_bytes} bytes a frame");
        client.ping();
    }
}

/// Publishes at QoS 1 of 1 kB each, as many as fit into so many bytes.
fn publishes(topic: &str, bytes_max: usize) -> (Vec<u8>, u16) {
    let payload = format!(r#"[{{"value":"{}"}}]"#, "x".repeat(1000));
    let mut message = Vec::new();
    for number in 1.. {
        let packet = Packet::Publish(publish(topic, &payload, QoS::AtLeastOnce, PacketId::new(number)));
        let packet = encoded(&packet);
        if message.len() + packet.len() > bytes_max {
            return (message, number - 1);
        }
        message.extend(packet);
    }
    unreachable!("packet ids end later");
}

#[track_caller]
fn acknowledges(client: &mut Client<MqttFrames>, count: u16) {
    for number in 1..=count {
        assert_eq!(client.packet(), Received::PubAck(PacketId::new(number).expect("not zero")));
    }
}

/// Issue: the SDK sends one WebSocket message without bound; the server closed above 131,072 bytes.
#[test]
fn a_message_of_one_mebibyte_may_hold_many_packets() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let mut client = Client::connect_over_websocket(server);
    let (message, count) = publishes(&topic, MIB);
    assert!(count > 950 && message.len() > MIB - 2000, "{count} packets in {} bytes", message.len());
    client.send_bytes(&message);
    acknowledges(&mut client, count);
    client.send_bytes(&message);
    acknowledges(&mut client, count);
    client.send_bytes(&b"\xc0\x00".repeat(MIB / 2));
    for _ in 0..MIB / 2 {
        assert_eq!(client.packet(), Received::PingResp);
    }
    client.send_bytes(&b"\xc0\x00".repeat(MIB / 2 + 1));
    assert_eq!(client.link().socket.ended(), CloseOutcome::Code(1009));
}

#[test]
fn the_size_of_a_message_at_mqtt_is_a_setting() {
    let server = Launch::new().flag("--mqtt-websocket-message-bytes-max", "262144").start();
    let topic = property(&mut server.rest());
    let mut client = Client::connect_over_websocket(&server);
    let (message, count) = publishes(&topic, 262_144);
    client.send_bytes(&message);
    acknowledges(&mut client, count);
    client.send_bytes(&publishes(&topic, 264_000).0);
    assert_eq!(client.link().socket.ended(), CloseOutcome::Code(1009));
}

#[test]
fn a_large_message_does_not_raise_the_limit_of_a_packet() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let mut client = Client::connect_over_websocket(server);
    let of = |length: usize| {
        let payload = format!(r#"[{{"value":"{}"}}]"#, "x".repeat(length));
        encoded(&Packet::Publish(publish(&topic, &payload, QoS::AtLeastOnce, Some(PacketId::MIN))))
    };
    client.send_bytes(&of(100_000).repeat(2));
    assert_eq!(client.packet(), Received::PubAck(PacketId::MIN));
    assert_eq!(client.packet(), Received::PubAck(PacketId::MIN));
    client.send_bytes(&of(131_072));
    client.assert_closed_after("a packet above --message-bytes-max");
}

#[test]
fn a_client_without_a_key_sends_smaller_messages() {
    let server = Server::shared();
    let fragments = |first: u8, count| {
        let mut fragments = vec![frame(first, &[0; 20_000])];
        fragments.resize(count, frame(0, &[0; 20_000]));
        fragments.concat()
    };
    let mut unknown = Frames::open(server, "/mqtt");
    unknown.send(&fragments(2, 10));
    assert_eq!(unknown.ended(), CloseOutcome::Code(1009), "before CONNECT");

    let handshake = handshake("/mqtt", "").replace(&format!("Authorization: {KEY}\r\n"), "");
    let mut anonymous = Frames::opened(Raw::connect(server.http()).with(handshake.as_bytes()));
    anonymous.send(&frame(0x82, &Hello::anonymous().bytes()));
    assert_eq!(anonymous.payload(2), b"\x20\x02\x00\x00");
    anonymous.send(&fragments(2, 10));
    assert_eq!(anonymous.ended(), CloseOutcome::Code(1009), "without a key in CONNECT");
}

/// A message that never ends costs its connection's share and no more.
#[test]
fn messages_that_never_end_cost_bounded_memory() {
    let server = Server::start();
    let grown = server.growth(|| {
        let begin = |_| {
            let mut client = Client::connect_over_websocket(&server);
            let header = [&[0x82, 0xff][..], &(MIB as u64).to_be_bytes(), &[0; 4]].concat();
            let stream = client.link().socket.stream();
            stream.write_all(&header).expect("the server reads");
            stream.write_all(&vec![0; MIB - 1]).expect("the server reads");
            client
        };
        (0..20).map(begin).collect::<Vec<_>>()
    });
    assert!(grown < 32 * MIB as u64, "{grown} bytes for 20 messages of 1 MiB");
    server.assert_serves();
}

/// Bug class 2 of `docs/security.md` (CVE-2026-25627).
///
/// MQTT-6.0.0-1: Packets travel in binary messages; a text message ends the connection.
#[test]
fn a_text_frame_ends_mqtt_over_websocket() {
    let server = Server::shared();
    let mut client = Client::connect_over_websocket(server);
    let socket = &mut client.link().socket;
    socket.send("\u{10}\u{c}");
    socket.ended();
    server.assert_serves();
}

/// Also MQTT-3.1.2-8.
#[test]
fn the_will_is_stored_when_a_websocket_ends_without_disconnect() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, QoS::AtLeastOnce);
    let hello = |value: &str| {
        let payload = format!(r#"[{{"value":"{value}"}}]"#);
        let will = LastWill { topic: topic.clone(), payload, qos: QoS::AtLeastOnce };
        Hello { will: Some(will), ..Hello::with_key(KEY) }
    };

    Client::accepted(MqttFrames::open(server, "mqtt"), &hello("polite")).disconnect();
    Client::accepted(MqttFrames::open(server, "mqtt"), &hello("cut")).cut();
    assert_eq!(watcher.message().value(), "cut");
    let mut closes = Client::accepted(MqttFrames::open(server, "mqtt"), &hello("closed"));
    closes.link().socket.send(Message::Close(None));
    assert_eq!(watcher.message().value(), "closed", "a close frame is no DISCONNECT");
}

/// Also MQTT-3.1.2-24.
#[test]
fn a_keep_alive_counts_over_websocket_too() {
    let server = Server::shared();
    let hello = Hello { keep_alive_s: 1, ..Hello::with_key(KEY) };
    let mut client = Client::accepted(MqttFrames::open(server, "mqtt"), &hello);
    client.assert_closed();
}

#[test]
fn a_websocket_ping_is_answered_on_mqtts_socket_too() {
    let server = Server::shared();
    let mut client = Client::connect_over_websocket(server);
    client.link().socket.send(Message::Ping(Bytes::from_static(b"ping")));
    let pong = client.link().socket.receive(WAIT_MAX);
    assert_eq!(pong, Ok(Some(Message::Pong(Bytes::from_static(b"ping")))));
}

#[test]
fn a_plain_get_of_mqtts_address_says_that_it_wants_a_websocket() {
    let answer = Server::shared().rest().get("/mqtt");
    assert!((400..500).contains(&answer.status), "{}", answer.status);
}
