//! How connections end, against the standard: wills, keep alive, and take-over.
//! The statements are listed in `docs/mqtt-conformance.md`.
//!
//! MQTT-3.14.4-1: Not ours: the client closes the connection; if it does not, the server does.
//! MQTT-3.14.4-2: Not ours: the server does not read packets behind a DISCONNECT.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{Connect, Packet, PacketId, ProtocolLevel, Publish, QoS, SubAckCode, Will};
use thng_pubsub_tests::link::{Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill, Received, USER_NAME, encoded, publish};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::MqttFrames;
use thng_pubsub_tests::{KEY, Launch, Rest, Server, WAIT_MAX};

#[track_caller]
fn property(rest: &mut Rest) -> String {
    format!("/thngs/{}/properties/k", rest.thng())
}

fn will(topic: &str, value: &str) -> Option<LastWill> {
    let (topic, payload) = (topic.to_owned(), format!("\"{value}\""));
    Some(LastWill { topic, payload, qos: QoS::AtLeastOnce })
}

/// A way in which a connection ends; gets the connected client, and the greeting that it came with.
type Ending = fn(&Server, Client, &Hello);

/// Sends bytes that the server ends the connection for.
fn breaks(mut client: Client, bytes: &[u8]) {
    client.send_bytes(bytes);
    client.assert_closed_after(&format!("{bytes:02x?}"));
}

/// Each with whether its will is published.
const ENDINGS: [(&str, bool, Ending); 14] = [
    ("DISCONNECT", false, |_, client, _| client.disconnect()),
    ("DISCONNECT behind a PINGREQ in one segment", false, |_, mut client, _| {
        client.send_bytes(&[encoded(&Packet::PingReq), encoded(&Packet::Disconnect)].concat());
        assert_eq!(client.packet(), Received::PingResp);
        client.assert_closed();
    }),
    ("cut", true, |_, client, _| client.cut()),
    ("closed by its side only", true, |_, mut client, _| {
        client.link().finish();
        client.assert_closed();
    }),
    ("cut in the middle of a DISCONNECT", true, |_, mut client, _| {
        client.send_bytes(b"\xe0");
        client.cut();
    }),
    ("silence", true, |_, mut client, _| client.assert_closed()),
    ("DISCONNECT with a flag", true, |_, client, _| breaks(client, b"\xe1\x00")),
    ("DISCONNECT with a body", true, |_, client, _| breaks(client, b"\xe0\x01\x00")),
    ("a second CONNECT", true, |_, client, hello| breaks(client, &hello.bytes())),
    ("a packet that only servers send", true, |_, client, _| breaks(client, b"\xd0\x00")),
    ("a wildcard in a topic name", true, |_, client, _| breaks(client, b"\x30\x04\x00\x01#1")),
    ("no UTF-8", true, |_, client, _| breaks(client, b"\x30\x04\x00\x01\xff1")),
    ("a publish that is refused", true, |_, client, _| {
        let id = Some(PacketId::MIN);
        breaks(client, &encoded(&Packet::Publish(publish("/nothing", "1", QoS::AtLeastOnce, id))));
    }),
    ("a take-over", true, |server, mut client, hello| {
        let second = Client::connect_as(server, &Hello { clean_session: true, will: None, ..hello.clone() });
        client.assert_closed_after("a take-over");
        second.cut();
    }),
];

/// MQTT-3.1.2-8: The will is published when the connection ends without DISCONNECT, also when the server stops. It is
/// not published after its key is revoked, and a crash of the server loses it.
/// MQTT-3.1.2-10: A will is published once and then removed; DISCONNECT removes it too.
/// MQTT-3.1.2-12: Without a will nothing is published, also not the will of an earlier connection.
/// MQTT-3.14.4-3: DISCONNECT discards the will.
///
/// Also MQTT-3.1.0-2, MQTT-3.14.1-1, MQTT-4.8.0-1.
#[test]
fn a_will_is_published_once_unless_the_client_disconnects() {
    let server = &Launch::new().flag("--on-rejected-publish", "close").start();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, QoS::AtLeastOnce);
    for (what, is_published, ending) in ENDINGS {
        for clean_session in [true, false] {
            let keep_alive_s = if what == "silence" { 1 } else { 60 };
            let hello =
                Hello { keep_alive_s, clean_session, will: will(&topic, what), ..Hello::with_key(KEY) };
            let hello = hello.named(what);
            ending(server, Client::connect_as(server, &hello), &hello);
            if is_published {
                assert_eq!(watcher.message().value(), what, "clean session {clean_session}");
            }
            // A connection of the same client without a will has none left over, and none of its session either.
            Client::connect_as(server, &Hello { clean_session: true, will: None, ..hello }).cut();
            rest.put(&topic, json!([{"value": "marker"}])).assert_status(200);
            assert_eq!(watcher.message().value(), "marker", "after {what}");
        }
    }
    watcher.assert_nothing_else();
}

/// MQTT-3.1.2-16: A will is published without RETAIN.
/// MQTT-3.1.2-17: **Differs on purpose:** a will with will retain is published without RETAIN too.
///
/// Also MQTT-3.1-9.
#[test]
fn a_will_is_delivered_like_any_write_and_never_retained() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, QoS::AtLeastOnce);
    for level in [ProtocolLevel::V3_1_1, ProtocolLevel::V3_1] {
        for (qos, retain) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]
            .into_iter()
            .flat_map(|qos| [(qos, false), (qos, true)])
        {
            let mut client = Client::on(Raw::connect(server.mqtt()));
            client.expects(level);
            client.send(&Packet::Connect(Connect {
                level,
                clean_session: true,
                keep_alive_s: 60,
                client_id: "leaves a will",
                will: Some(Will { topic: &topic, payload: b"\"will\"", qos, retain }),
                user_name: Some(USER_NAME),
                password: Some(KEY.as_bytes()),
            }));
            client.ping();
            client.cut();
            let received = watcher.message();
            assert_eq!(
                (received.value(), received.qos),
                (json!("will"), QoS::AtLeastOnce),
                "{qos:?} {retain}"
            );
            assert!(!received.retain && !received.dup, "{received:?}");

            let mut late = Client::connect(server);
            late.subscribed(&topic, QoS::AtLeastOnce);
            late.publish_acknowledged(&topic, "\"next\"");
            assert_eq!(
                late.message().value(),
                "next",
                "nothing was kept of a will at {qos:?}, retain {retain}"
            );
            assert_eq!(watcher.message().value(), "next");
        }
    }
}

/// Also MQTT-3.1.2-10, MQTT-3.1.2-12.
#[test]
fn the_will_is_that_of_the_last_connect_and_of_no_other() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let hello = |value| Hello { will: will(&topic, value), ..Hello::with_key(KEY).named("changes its mind") };
    Client::connect_as(server, &hello("first")).disconnect();
    Client::connect_as(server, &hello("second")).cut();
    let mut marker = Client::connect(server);
    let received = |rest: &mut Rest| -> Vec<Value> {
        let entries = rest.get(&topic).expect(200);
        entries.as_array().expect("a list").iter().map(|entry| entry["value"].clone()).collect()
    };
    until("the second will is stored", || (received(&mut rest) == ["second"]).then_some(()));
    marker.publish_acknowledged(&topic, "\"marker\"");
    assert_eq!(received(&mut rest), ["marker", "second"]);
}

/// Also MQTT-3.1.2-8.
#[test]
fn wills_of_connected_clients_are_stored_when_the_server_stops() {
    let mut server = Server::start();
    let topic = property(&mut server.rest());
    let hello = Hello { will: will(&topic, "the server stopped"), ..Hello::with_key(KEY) };
    let _client = Client::connect_as(&server, &hello);
    server.terminate();
    let server = server.restart();
    assert_eq!(server.rest().get(&topic).expect(200)[0]["value"], "the server stopped");
}

/// Also MQTT-3.1.2-24.
#[test]
fn only_a_requested_keep_alive_ends_a_connection() {
    let server = Server::shared();
    let silent = |keep_alive_s| Client::connect_as(server, &Hello { keep_alive_s, ..Hello::with_key(KEY) });
    let mut patient = [0, 120, 121, u16::MAX].map(silent);
    let mut impatient = silent(1);
    impatient.assert_closed_after("one and a half seconds of silence");
    for client in &mut patient {
        client.ping();
    }
}

#[track_caller]
fn assert_takes_over<A: Link, B: Link>(mut first: Client<A>, second: impl FnOnce() -> Client<B>) {
    let mut second = second();
    first.assert_closed_after("a take-over");
    second.ping();
}

/// MQTT-3.1.4-2: A second connection with the same key and client id ends the first. **Differs on purpose:** another
/// key, or none, is another client ([topics.md](topics.md#mqtt-in-short)).
///
/// Also MQTT-3.1-9.
#[test]
fn the_same_key_and_client_id_take_over_on_any_transport() {
    let server = Server::shared();
    let hello = Hello::with_key(KEY).named("one at a time");
    let levels = [hello.clone(), hello.in_3_1()];
    let tcp = |hello: &Hello| Client::connect_as(server, hello);
    let websocket = |hello: &Hello| Client::accepted(MqttFrames::open(server, "mqtt"), hello);
    for first in &levels {
        for second in &levels {
            assert_takes_over(tcp(first), || tcp(second));
            assert_takes_over(tcp(first), || websocket(second));
            assert_takes_over(websocket(first), || tcp(second));
            assert_takes_over(websocket(first), || websocket(second));
        }
    }
}

/// Also MQTT-3.1.3-2, MQTT-3.1.4-2.
#[test]
fn a_client_id_belongs_to_its_key() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = format!("/thngs/{thng}/properties/k");
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let keys = [
        KEY.to_owned(),
        rest.operator(json!({})).key,
        rest.device(&thng).key,
        application.secret_key,
        user.key,
        rest.access_token(&["thngs:read", "thngs.properties:read"], &[]).key,
    ];
    let mut clients: Vec<_> =
        keys.iter().map(|key| Client::connect_as(server, &Hello::with_key(key).named("shared"))).collect();
    // A client without a key has no session to take over, and takes none over.
    clients.extend((0..3).map(|_| Client::connect_as(server, &Hello::anonymous().named("shared"))));
    clients[0].subscribed(&topic, QoS::AtLeastOnce);
    for client in &mut clients {
        client.ping();
    }
    let number = clients.len();
    assert_eq!(
        clients[number - 1].subscribe(&topic, QoS::AtLeastOnce),
        SubAckCode::Refused,
        "nor its rights"
    );
    for key in &keys {
        let mut second = Client::connect_as(server, &Hello::with_key(key).named("shared"));
        second.ping();
    }
    for (client, key) in clients.iter_mut().zip(&keys) {
        client.assert_closed_after(&format!("a take-over with the key of {}", &key[..3]));
    }
    for keyless in &mut clients[keys.len()..] {
        keyless.ping();
    }
}

/// MQTT-3.1.2-6: A clean session discards the stored session, and never continues itself.
/// MQTT-3.1.4-3: The session continues, begins or is discarded, as the clean session flag says.
#[test]
fn a_clean_take_over_starts_with_nothing() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let hello = Hello::with_key(KEY).named("starts with nothing");
    let mut first = Client::connect_as(server, &hello);
    first.acknowledges = false;
    first.subscribed(&topic, QoS::AtLeastOnce);
    rest.put(&topic, json!([{"value": 1}])).assert_status(200);
    assert_eq!(first.message().value(), 1);
    // A QoS 2 publish that was not released is forgotten with the session: its id is free.
    let publish = |payload| Publish {
        dup: false,
        qos: QoS::ExactlyOnce,
        retain: false,
        packet_id: Some(PacketId::MIN),
        topic: &topic,
        payload,
    };
    let received = Received::PubRec(PacketId::MIN);
    first.send(&Packet::Publish(publish(b"2")));
    first.wait("PUBREC", |packet| (*packet == received).then_some(()));

    let mut second = Client::connect_as(server, &hello);
    second.send(&Packet::Publish(publish(b"3")));
    assert_eq!(second.packet(), received);
    assert_eq!(rest.get(&topic).expect(200)[0]["value"], 3);
    second.subscribed(&topic, QoS::AtLeastOnce);
    rest.put(&topic, json!([{"value": 4}])).assert_status(200);
    let received = second.next_within(WAIT_MAX);
    let Some(Ok(Received::Message(received))) = received else { panic!("{received:?}") };
    assert_eq!((received.value(), received.dup), (json!(4), false), "nothing is left over from the first");
    second.assert_nothing_else();
}

/// Issue: the second CONNECT of a bridge is refused for a will that says on `$SYS/` how the bridge is.
#[test]
fn a_will_on_the_topics_of_brokers_is_ignored() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, QoS::AtLeastOnce);
    for on in ["$SYS/broker/connection/a.bridge/state", "$SYS/broker/uptime"] {
        for hello in [Hello::with_key(KEY), Hello::with_key(KEY).durable("a.bridge"), Hello::anonymous()] {
            Client::connect_as(server, &Hello { will: will(on, "0"), ..hello }).cut();
        }
    }
    rest.put(&topic, json!([{"value": "marker"}])).assert_status(200);
    assert_eq!(watcher.message().value(), "marker");
}
