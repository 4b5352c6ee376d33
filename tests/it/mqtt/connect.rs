//! How an MQTT session begins and ends: CONNECT, keep alive, take-over, the will.

use std::time::{Duration, Instant};

use thng_pubsub_protocol::mqtt::{ConnectCode, Packet, PacketId, QoS, SubAckCode, Subscribe};
use thng_pubsub_tests::link::{Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Ended, Hello, LastWill, encoded};
use thng_pubsub_tests::{KEY, Launch, Server};

/// The same greeting in both levels.
fn levels(hello: &Hello) -> [Hello; 2] {
    [hello.clone(), hello.clone().in_3_1()]
}

#[track_caller]
fn answer_to(hello: &Hello) -> (Client, ConnectCode) {
    Client::greeted(Raw::connect(Server::shared().mqtt()), hello)
}

#[track_caller]
fn assert_refused(hello: &Hello, with: ConnectCode) {
    let (mut client, code) = answer_to(hello);
    assert_eq!(code, with, "{hello:?}");
    client.assert_closed();
}

/// Also MQTT-3.1.4-4, MQTT-3.1-1.
#[test]
fn a_key_opens_a_session_in_mqtt_3_1_and_3_1_1() {
    for hello in levels(&Hello::with_key(KEY)) {
        let (mut client, code) = answer_to(&hello);
        assert_eq!(code, ConnectCode::Accepted, "{:?}", hello.level);
        client.ping();
        client.disconnect();
    }
}

#[test]
fn a_key_that_is_not_known_is_refused_with_code_5() {
    let lower_case = KEY.to_lowercase();
    for wrong in [&*lower_case, &KEY[..79], "", "x"] {
        for hello in levels(&Hello::with_key(wrong)) {
            assert_refused(&hello, ConnectCode::NotAuthorised);
        }
    }
    let not_text = Hello { password: Some(vec![0xff; 80]), ..Hello::with_key(KEY) };
    assert_refused(&not_text, ConnectCode::NotAuthorised);
}

#[test]
fn a_key_counts_only_with_the_user_name_authorization() {
    for user_name in ["", "Authorization", "admin", "authorization "] {
        let hello = Hello { user_name: Some(user_name.to_owned()), ..Hello::with_key(KEY) };
        let (mut client, code) = answer_to(&hello);
        let refused = matches!(code, ConnectCode::BadUserNameOrPassword | ConnectCode::NotAuthorised);
        assert!(refused, "{user_name:?}: {code:?}");
        client.assert_closed();
    }
    let without_key = Hello { password: None, ..Hello::with_key(KEY) };
    let (_, code) = answer_to(&without_key);
    assert!(matches!(code, ConnectCode::BadUserNameOrPassword | ConnectCode::NotAuthorised), "{code:?}");
}

/// MQTT-3.1.3-6: An empty client id in MQTT 3.1.1 makes a client of its own that no other can take over.
/// MQTT-3.1.3-7: An empty client id requires a clean session.
/// MQTT-3.1-2: An empty client id gets CONNACK 2, with a clean session too.
///
/// Also MQTT-3.1.3-8.
#[test]
fn an_empty_client_id_is_for_3_1_1_with_a_clean_session_only() {
    let nameless = Hello::with_key(KEY);
    let (_, code) = answer_to(&nameless);
    assert_eq!(code, ConnectCode::Accepted);

    assert_refused(&Hello { clean_session: false, ..nameless.clone() }, ConnectCode::IdentifierRejected);
    for clean_session in [true, false] {
        let nameless_in_3_1 = Hello { clean_session, client_id: String::new(), ..nameless.clone().in_3_1() };
        assert_refused(&nameless_in_3_1, ConnectCode::IdentifierRejected);
    }
}

/// Also MQTT-3.1.3-5, MQTT-3.1-3.
#[test]
fn a_client_id_may_be_longer_than_23_characters_and_any_text() {
    let long = "x".repeat(200);
    for client_id in ["evrythng-pubsub.js_1a2b3c4d", "sensor #1/+/ß", &long] {
        for hello in levels(&Hello::with_key(KEY).named(client_id)) {
            let (mut client, code) = answer_to(&hello);
            assert_eq!(code, ConnectCode::Accepted, "{client_id}");
            client.ping();
        }
    }
}

/// Also MQTT-3.1.2-2.
#[test]
fn a_protocol_level_that_is_not_served_is_answered_with_code_1() {
    let server = Server::shared();
    // CONNECT as MQTT 5 sends it, with its properties; then unknown levels.
    let level_5 = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01x";
    let level_9 = b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01x";
    let old_name_new_level = b"\x10\x0f\x00\x06MQIsdp\x04\x02\x00\x3c\x00\x01x";
    for connect in [&level_5[..], level_9, old_name_new_level] {
        let answer = Raw::connect(server.mqtt()).with(connect).until_closed();
        assert_eq!(answer, [0x20, 0x02, 0x00, 0x01], "CONNACK 1 and the end, for {connect:02x?}");
    }
}

/// Also MQTT-3.1.2-1.
#[test]
fn a_protocol_name_that_is_not_mqtts_is_not_answered() {
    let connect = b"\x10\x0d\x00\x04AMQP\x04\x02\x00\x3c\x00\x01x";
    assert_eq!(Raw::connect(Server::shared().mqtt()).with(connect).until_closed(), b"");
}

#[test]
fn a_connection_without_a_key_is_accepted_without_rights() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    for hello in levels(&Hello::anonymous()) {
        let mut keyless = Client::connect_as(server, &hello);
        assert_eq!(keyless.subscribe(&topic, QoS::AtMostOnce), SubAckCode::Refused);
        keyless.publish(&topic, r#"[{"value":1}]"#);
        keyless.ping();
        assert_eq!(keyless.publish_refused(&topic, r#"[{"value":1}]"#)["status"], 401);
    }
    assert_eq!(rest.get(&topic).expect(200), serde_json::json!([]));
}

/// MQTT-3.1.0-1: A first packet other than CONNECT ends the connection without an answer.
#[test]
fn a_packet_before_connect_ends_the_connection_without_a_word() {
    let server = Server::shared();
    for packet in [
        encoded(&Packet::PingReq),
        encoded(&Packet::Disconnect),
        b"\x82\x06\x00\x01\x00\x01x\x00".to_vec(),
        b"\x30\x04\x00\x01xy".to_vec(),
    ] {
        assert_eq!(Raw::connect(server.mqtt()).with(&packet).until_closed(), b"", "{packet:02x?}");
    }
}

/// MQTT-3.1.0-2: A second CONNECT ends the connection.
#[test]
fn a_second_connect_ends_the_connection() {
    let mut client = Client::connect(Server::shared());
    client.send_bytes(&Hello::with_key(KEY).bytes());
    client.assert_closed();
}

/// Also MQTT-3.12.4-1.
#[test]
fn packets_pipelined_behind_connect_are_served() {
    let server = Server::shared();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut bytes = Hello::with_key(KEY).bytes();
    let filters = [(&*topic, QoS::AtMostOnce)];
    bytes.extend(encoded(&Packet::Subscribe(Subscribe::new(PacketId::MIN, &filters))));
    bytes.extend(encoded(&Packet::PingReq));
    let answers = Raw::connect(server.mqtt()).with(&bytes).read_until(|received| received.len() >= 11);
    assert_eq!(answers, b"\x20\x02\x00\x00\x90\x03\x00\x01\x00\xd0\x00", "CONNACK, SUBACK, PINGRESP");
}

/// MQTT-3.1.2-24: Silence for one and a half keep alives ends the connection and publishes the will; 0 is no limit.
/// **Differs on purpose:** more than 120 s counts as 120 s ([0007](decisions/0007-keep-alive.md)).
#[test]
fn silence_for_one_and_a_half_keep_alives_ends_the_connection() {
    let hello = Hello { keep_alive_s: 1, ..Hello::with_key(KEY) };
    for hello in levels(&hello) {
        let mut client = Client::connect_as(Server::shared(), &hello);
        let connected = Instant::now();
        client.assert_closed();
        let after = connected.elapsed();
        assert!(after >= Duration::from_millis(1_400), "closed too early, after {after:?}");
        assert!(after < Duration::from_secs(10), "closed too late, after {after:?}");
    }
}

/// Also MQTT-3.1.2-24.
#[test]
fn client_packets_keep_a_connection_alive_and_deliveries_do_not() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let hello = Hello { keep_alive_s: 2, ..Hello::with_key(KEY) };
    let mut alive = Client::connect_as(server, &hello);
    let mut mute = Client::connect_as(server, &hello);
    mute.subscribed(&topic, QoS::AtMostOnce);

    // Each look for a packet that does not come takes half a second, until a keep alive and a half is long over.
    for round in 0..8 {
        rest.put(&topic, format!(r#"[{{"value":{round}}}]"#)).assert_status(200);
        assert_eq!(alive.next_within(Duration::from_millis(500)), None);
        if round % 2 == 0 {
            alive.ping();
        } else {
            alive.publish(&topic, r#"[{"value":"alive"}]"#);
        }
    }
    alive.ping();
    while mute.next_within(Duration::ZERO).is_some_and(|packet| packet.is_ok()) {}
    mute.assert_closed();
}

/// Also MQTT-3.1.4-2.
#[test]
fn a_client_with_the_same_id_and_key_takes_over() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    for (n, hello) in levels(&Hello::with_key(KEY).named("the same id")).iter().enumerate() {
        let mut first = Client::connect_as(server, hello);
        first.subscribed(&topic, QoS::AtLeastOnce);

        let mut second = Client::connect_as(server, hello);
        first.assert_closed();
        second.subscribed(&topic, QoS::AtLeastOnce);
        rest.put(&topic, format!(r#"[{{"value":{n}}}]"#)).assert_status(200);
        assert_eq!(second.message().value(), n, "one delivery, to the one that is there");
        second.assert_nothing_else();
    }
}

/// Bug class 12 of `docs/security.md` (CVE-2026-6564).
///
/// Also MQTT-3.1.4-2.
#[test]
fn a_client_with_the_same_id_and_no_key_takes_nothing_over() {
    let server = Server::shared();
    let hello = Hello::with_key(KEY).named("mine");
    let mut mine = Client::connect_as(server, &hello);
    let _other = Client::greeted(Raw::connect(server.mqtt()), &Hello::anonymous().named("mine"));
    let (mut wrong, code) = answer_to(&Hello::with_key(&KEY.to_lowercase()).named("mine"));
    assert_eq!(code, ConnectCode::NotAuthorised);
    wrong.assert_closed();
    mine.ping();
}

/// Also MQTT-3.1.3-6.
#[test]
fn clients_without_an_id_do_not_disturb_each_other() {
    let server = Server::shared();
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(server)).collect();
    for client in &mut clients {
        client.ping();
    }
}

#[test]
fn a_client_with_clean_session_0_is_served() {
    let hello = Hello { clean_session: false, ..Hello::with_key(KEY).named("keeps its session") };
    for hello in levels(&hello) {
        let (mut client, code) = answer_to(&hello);
        assert_eq!(code, ConnectCode::Accepted);
        client.ping();
        client.disconnect();
    }
}

/// A thng's property that is watched, and the greeting of a client whose will is written there.
fn with_will(server: &Server, qos: QoS, value: &str) -> (Client, Hello) {
    let topic = format!("/thngs/{}/properties/online", server.rest().thng());
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, QoS::AtLeastOnce);
    let payload = format!(r#"[{{"value":"{value}"}}]"#);
    let will = LastWill { topic, payload, qos };
    (watcher, Hello { keep_alive_s: 1, will: Some(will), ..Hello::with_key(KEY) })
}

/// Also MQTT-3.1.2-8.
#[test]
fn the_will_is_stored_and_delivered_when_a_connection_is_lost() {
    let server = Server::shared();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let (mut watcher, hello) = with_will(server, qos, "lost");
        for hello in levels(&hello) {
            Client::connect_as(server, &hello).cut();
            assert_eq!(watcher.message().value(), "lost", "{:?}", hello.level);
        }
        let topic = &hello.will.as_ref().expect("it has one").topic;
        assert_eq!(server.rest().get(topic).expect(200)[0]["value"], "lost", "stored as any publish");
    }
}

#[test]
fn the_will_is_stored_on_silence_or_a_protocol_error() {
    let server = Server::shared();
    let (mut watcher, hello) = with_will(server, QoS::AtLeastOnce, "gone");
    let mut silent = Client::connect_as(server, &hello);
    silent.assert_closed();
    assert_eq!(watcher.message().value(), "gone", "after the keep alive");

    let mut broken = Client::connect_as(server, &hello);
    broken.send_bytes(&[0xff; 16]);
    broken.assert_closed();
    assert_eq!(watcher.message().value(), "gone", "after malformed bytes");
}

/// Also MQTT-3.14.4-3.
#[test]
fn a_client_that_says_goodbye_leaves_no_will() {
    let server = Server::shared();
    let (mut watcher, polite) = with_will(server, QoS::AtLeastOnce, "polite");
    let topic = polite.will.as_ref().expect("it has one").topic.clone();
    Client::connect_as(server, &polite).disconnect();
    let lost = LastWill { topic, payload: r#"[{"value":"lost"}]"#.to_owned(), qos: QoS::AtLeastOnce };
    Client::connect_as(server, &Hello { will: Some(lost), ..polite }).cut();
    assert_eq!(watcher.message().value(), "lost", "the first that arrives is of the one that was lost");
    watcher.assert_nothing_else();
}

/// Bug class 8 of `docs/security.md`: a will as a way round one's rights.
#[test]
fn an_unauthorized_will_is_refused_at_connect() {
    let server = Server::shared();
    let (mut watcher, hello) = with_will(server, QoS::AtMostOnce, "not allowed");
    let will = hello.will.clone().expect("it has one");
    let invalid = LastWill { payload: "[{".to_owned(), ..will.clone() };
    let elsewhere =
        LastWill { topic: "/thngs/Uabcdefghkmnpqrstwxy0123/properties/k".to_owned(), ..will.clone() };
    for refused in [
        Hello { will: Some(will.clone()), ..Hello::anonymous() },
        Hello { will: Some(invalid), ..hello.clone() },
        Hello { will: Some(elsewhere), ..hello },
    ] {
        for hello in levels(&refused) {
            assert_refused(&hello, ConnectCode::NotAuthorised);
        }
    }
    server.rest().put(&will.topic, r#"[{"value":"a marker"}]"#).assert_status(200);
    assert_eq!(watcher.message().value(), "a marker");
    watcher.assert_nothing_else();
    let history = server.rest().get(&will.topic).expect(200);
    assert_eq!(history.as_array().map(Vec::len), Some(1), "{history}");
}

#[test]
fn a_will_may_bring_the_key_of_its_topic() {
    let server = Server::shared();
    let (mut watcher, hello) = with_will(server, QoS::AtMostOnce, "by its own key");
    let will = hello.will.expect("it has one");
    let with_token = LastWill { topic: format!("{}?access_token={KEY}", will.topic), ..will };
    Client::connect_as(server, &Hello { will: Some(with_token), ..Hello::anonymous() }).cut();
    assert_eq!(watcher.message().value(), "by its own key");
}

/// Bug class 14 of `docs/security.md` (CVE-2020-13849).
#[test]
fn a_connection_without_connect_is_closed_after_its_time() {
    let server = Launch::new().flag("--connect-timeout-s", "2").start();
    let half = Hello::with_key(KEY).bytes();
    for begun in [&b""[..], &half[..1], &half[..half.len() - 1]] {
        let connected = Instant::now();
        assert_eq!(Raw::connect(server.mqtt()).with(begun).until_closed(), b"");
        assert!(connected.elapsed() >= Duration::from_millis(1_900), "it had its time");
    }
    let mut in_time = Client::connect(&server);
    assert_eq!(in_time.next_within(Duration::from_millis(2_500)), None, "who said it in time stays");
    in_time.ping();
}

#[test]
fn a_client_cut_off_within_a_packet_is_forgotten() {
    let server = Server::shared();
    let mut client = Client::connect(server);
    client.send_bytes(b"\x30\x7f\x00\x05half");
    client.link().finish();
    assert_eq!(client.next_within(Duration::from_secs(20)), Some(Err(Ended)));
    client.link().cut();
    server.assert_serves();
}
