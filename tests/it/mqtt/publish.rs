//! Publishes by MQTT: allowed topics and payloads, and their acknowledgement.

use serde_json::json;
use thng_pubsub_protocol::mqtt::{Packet, Publish, QoS};
use thng_pubsub_tests::mqtt::{Client, Hello, Received, encoded, publish};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

#[track_caller]
fn property(rest: &mut Rest) -> String {
    format!("/thngs/{}/properties/temperature", rest.thng())
}

/// What is refused: a topic and a payload each.
fn refused(thng: &str) -> Vec<(String, &'static str)> {
    let key = format!("/thngs/{thng}/properties/k");
    let all = format!("/thngs/{thng}/properties");
    vec![
        (format!("/thngs/{UNKNOWN}/properties/k"), r#"[{"value":1}]"#),
        (format!("/thngs/{UNKNOWN}/properties"), r#"[{"key":"k","value":1}]"#),
        (format!("/products/{UNKNOWN}/properties/k"), r#"[{"value":1}]"#),
        (format!("/collections/{UNKNOWN}"), r#"{"name":"x"}"#),
        ("/nothing".to_owned(), r#"[{"value":1}]"#),
        ("garbage".to_owned(), r#"[{"value":1}]"#),
        ("$SYS/broker".to_owned(), "1"),
        ("é/thngs".to_owned(), r#"[{"value":1}]"#),
        (format!("/thngs/{thng}/properties/not%20a%20key"), r#"[{"value":1}]"#),
        (format!("{key}?access_token=wrong"), r#"[{"value":1}]"#),
        (key.clone(), r#"[{"value":"#),
        (key.clone(), "[{]"),
        (key.clone(), "{}"),
        (key.clone(), "[]"),
        (key.clone(), r#"[{"value":1,"timestamp":"yesterday"}]"#),
        (key, r#"[{"key":"another","value":1}]"#),
        (all.clone(), r#"[{"value":1}]"#),
        (all.clone(), "5"),
        (all, ""),
    ]
}

#[test]
fn after_the_puback_rest_reads_the_value() {
    let server = Server::shared();
    let mut rest = server.rest();
    for hello in [Hello::with_key(KEY), Hello::with_key(KEY).in_3_1()] {
        let topic = property(&mut rest);
        let all = topic.trim_end_matches("/temperature").to_owned();
        let mut client = Client::connect_as(server, &hello);
        for n in 0..20 {
            client.publish_acknowledged(&topic, &format!(r#"[{{"value":{n}}}]"#));
            assert_eq!(rest.get(&topic).expect(200)[0]["value"], n);
            client.publish_acknowledged(
                &all,
                &format!(r#"[{{"key":"Other","value":{n}}},{{"key":"x","value":0}}]"#),
            );
            assert_eq!(rest.get(&format!("{all}/other")).expect(200)[0]["value"], n);
        }
    }
}

/// Also MQTT-4.7.3-4.
#[test]
fn a_topic_may_be_spelled_as_in_a_subscription() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    for (n, spelled) in [
        topic.clone(),
        topic[1..].to_owned(),
        format!("{topic}/"),
        format!("{}/?pubStates=1", &topic[1..]),
        format!("{topic}?access_token={KEY}"),
        topic.replace("temperature", "%74emperature"),
        topic.replace("temperature", "Temperature"),
    ]
    .iter()
    .enumerate()
    {
        client.publish_acknowledged(spelled, &format!(r#"[{{"value":{n}}}]"#));
        assert_eq!(rest.get(&topic).expect(200)[0]["value"], n, "{spelled}");
    }
}

#[test]
fn a_property_takes_an_array_a_lone_entry_or_a_bare_value() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    for (payload, stored) in [
        (r#"[{"value":1}]"#, json!(1)),
        (r#"{"value":2}"#, json!(2)),
        (r#"[{"key":"temperature","value":3}]"#, json!(3)),
        ("4.5", json!(4.5)),
        ("true", json!(true)),
        (r#""text""#, json!("text")),
    ] {
        client.publish_acknowledged(&topic, payload);
        assert_eq!(rest.get(&topic).expect(200)[0]["value"], stored, "{payload}");
    }
}

#[test]
fn a_publisher_that_is_subscribed_receives_its_own_message() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut client = Client::connect(server);
        client.subscribed(&topic, qos);
        client.publish(&topic, r#"[{"value":"its own"}]"#);
        assert_eq!(client.message().value(), "its own");
        client.publish_acknowledged(&topic, r#"[{"value":"again"}]"#);
        assert_eq!(client.message().value(), "again");
    }
}

/// A server on which a publish that is refused for good ends its connection.
fn closing() -> Server {
    Launch::new().flag("--on-rejected-publish", "close").start()
}

/// Clients that send again for ever what is not acknowledged would never come back to their senses.
///
/// MQTT-3.3.5-2: A publish that is rejected for good is acknowledged, logged and counted; a setting makes it end the
/// connection at QoS 1 and 2. One that is rejected for now ends the connection without an acknowledgement.
#[test]
fn a_publish_refused_for_good_is_acknowledged_not_stored() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = format!("/thngs/{thng}/properties/k");
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, QoS::AtLeastOnce);
    let mut client = Client::connect(server);
    for (topic, payload) in refused(&thng) {
        client.publish_acknowledged(&topic, payload);
    }
    let id = client.packet_id();
    client.send(&Packet::Publish(publish(&topic, "[{", QoS::ExactlyOnce, Some(id))));
    assert_eq!(client.packet(), Received::PubRec(id));
    client.send(&Packet::PubRel(id));
    assert_eq!(client.packet(), Received::PubComp(id));
    assert_eq!(rest.get(&format!("/thngs/{thng}/properties")).expect(200), json!([]), "nothing was stored");
    client.publish_acknowledged(&topic, r#"[{"value":"a marker"}]"#);
    assert_eq!(watcher.message().value(), "a marker", "the first that arrives");
    client.assert_nothing_else();
}

/// Also MQTT-3.3.5-2.
#[test]
fn refused_publishes_and_their_neighbors_keep_their_order() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let good = format!("/thngs/{thng}/properties/round");
    for clean_session in [true, false] {
        let hello = Hello { clean_session, ..Hello::with_key(KEY).named(&format!("order {clean_session}")) };
        let mut client = Client::connect_as(server, &hello);
        for (topic, payload) in refused(&thng) {
            let segment = [(&*good, "1"), (&*topic, payload), (&*good, "2")];
            let ids = segment.map(|_| client.packet_id());
            let packets = segment.into_iter().zip(ids).flat_map(|((topic, payload), id)| {
                encoded(&Packet::Publish(publish(topic, payload, QoS::AtLeastOnce, Some(id))))
            });
            client.send_bytes(&packets.collect::<Vec<_>>());
            for id in ids {
                assert_eq!(client.packet(), Received::PubAck(id), "{topic} {payload}");
            }
            let history = rest.get(&good).expect(200);
            let latest: Vec<_> =
                history.as_array().expect("an array").iter().take(2).map(|entry| &entry["value"]).collect();
            assert_eq!(latest, [2, 1], "{topic} {payload}");
        }
    }
}

/// Also MQTT-3.3.5-2.
#[test]
fn with_close_a_refused_publish_ends_its_connection() {
    let server = closing();
    let mut rest = server.rest();
    let thng = rest.thng();
    for (topic, payload) in refused(&thng) {
        let mut client = Client::connect(&server);
        client.publish_unacknowledged(&topic, payload);
        client.assert_closed();
    }
    assert_eq!(rest.get(&format!("/thngs/{thng}/properties")).expect(200), json!([]), "nothing was stored");
}

/// Also MQTT-3.3.5-2.
#[test]
fn a_refused_qos_0_publish_is_dropped_and_the_connection_stays() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = format!("/thngs/{thng}/properties/k");
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, QoS::AtLeastOnce);
    let mut client = Client::connect(server);
    for (topic, payload) in refused(&thng) {
        client.publish(&topic, payload);
    }
    client.publish_acknowledged(&topic, r#"[{"value":"a marker"}]"#);
    assert_eq!(watcher.message().value(), "a marker", "the first that arrives");
    assert_eq!(rest.get(&format!("/thngs/{thng}/properties")).expect(200).as_array().map(Vec::len), Some(1));
}

#[test]
fn with_close_only_what_came_before_is_acknowledged() {
    let server = closing();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(&server);
    let before = client.publish_unacknowledged(&topic, r#"[{"value":"before"}]"#);
    client.publish_unacknowledged(&topic, "[{");
    client.publish_unacknowledged(&topic, r#"[{"value":"after"}]"#);
    assert_eq!(client.packet(), Received::PubAck(before));
    client.assert_closed();
    let history = rest.get(&topic).expect(200);
    let before = history.as_array().expect("an array").iter().filter(|entry| entry["value"] == "before");
    assert_eq!(before.count(), 1, "{history}");
}

#[test]
fn with_close_what_came_behind_in_its_segment_is_not_stored() {
    let server = closing();
    let mut rest = server.rest();
    let thng = rest.thng();
    for (n, (topic, payload)) in refused(&thng).into_iter().enumerate() {
        let good = format!("/thngs/{thng}/properties/round{n}");
        let segment =
            [(&*good, r#"[{"value":"before"}]"#), (&*topic, payload), (&*good, r#"[{"value":"behind"}]"#)];
        let mut client = Client::connect(&server);
        let ids = [(); 3].map(|()| client.packet_id());
        let packets = segment.into_iter().zip(ids).flat_map(|((topic, payload), id)| {
            encoded(&Packet::Publish(publish(topic, payload, QoS::AtLeastOnce, Some(id))))
        });
        client.send_bytes(&packets.collect::<Vec<_>>());
        assert_eq!(client.packet(), Received::PubAck(ids[0]), "{topic} {payload}");
        client.assert_closed();
        // What is written now is stored behind whatever the server still had of the segment.
        rest.put(&good, r#"[{"value":"later"}]"#).assert_status(200);
        let history = rest.get(&good).expect(200);
        let values: Vec<_> =
            history.as_array().expect("an array").iter().map(|entry| &entry["value"]).collect();
        assert_eq!(values, ["later", "before"], "{topic} {payload}");
    }
}

/// MQTT-3.3.2-2: A wildcard in a topic name ends the connection, and the server sends none.
/// MQTT-4.7.1-1: A wildcard in a topic name ends the connection.
#[test]
fn wildcards_in_a_topic_name_end_the_connection() {
    let server = Server::shared();
    for topic in ["#", "/thngs/+/properties", "/thngs/#"] {
        let mut packet = vec![
            0x30,
            u8::try_from(topic.len() + 3).expect("short"),
            0,
            u8::try_from(topic.len()).expect("short"),
        ];
        packet.extend(topic.bytes());
        packet.push(b'1');
        let mut client = Client::connect(server);
        client.send_bytes(&packet);
        client.assert_closed();
    }
}

/// Also MQTT-3.3.1-5.
#[test]
fn the_retain_flag_of_a_publish_is_passed_over() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtMostOnce);
    let id = client.packet_id();
    client.send(&Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: true,
        packet_id: Some(id),
        topic: &topic,
        payload: br#"[{"value":"kept as history, not as a retained message"}]"#,
    }));
    assert!(!client.message().retain);

    let mut late = Client::connect(server);
    late.subscribed(&topic, QoS::AtMostOnce);
    client.publish_acknowledged(&topic, r#"[{"value":"next"}]"#);
    assert_eq!(late.message().value(), "next", "nothing was kept for those who come later");
}

/// Also MQTT-4.6.0-2.
#[test]
fn pipelined_publishes_are_acknowledged_once_and_in_order() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    let sent: Vec<_> =
        (0..200).map(|n| client.publish_unacknowledged(&topic, &format!(r#"[{{"value":{n}}}]"#))).collect();
    for id in sent {
        assert_eq!(client.packet(), Received::PubAck(id));
    }
    client.assert_nothing_else();
    assert_eq!(rest.get(&topic).expect(200)[0]["value"], 199);
}

#[test]
fn a_qos_0_publish_right_before_a_goodbye_is_stored() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    for n in 0..20 {
        let mut client = Client::connect(server);
        client.publish(&topic, &format!(r#"[{{"value":{n}}}]"#));
        client.disconnect();
        until(format!("value {n} is stored"), || {
            (rest.get(&topic).expect(200)[0]["value"] == n).then_some(())
        });
    }
}

#[test]
fn a_connection_without_a_key_writes_with_the_topics_token() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut keyless = Client::connect_as(server, &Hello::anonymous());
    keyless.publish_acknowledged(&format!("{topic}?access_token={KEY}"), r#"[{"value":1}]"#);
    assert_eq!(rest.get(&topic).expect(200)[0]["value"], 1);
    assert_eq!(keyless.publish_refused(&topic, r#"[{"value":2}]"#)["status"], 401);
}

/// Also MQTT-4.8.0-2.
#[test]
fn a_100_kib_message_passes_and_200_kib_end_the_connection() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let of = |kibibytes: usize| format!(r#"[{{"value":"{}"}}]"#, "x".repeat(kibibytes * 1024));
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, QoS::AtLeastOnce);

    let mut client = Client::connect(server);
    client.publish_acknowledged(&topic, &of(100));
    assert_eq!(watcher.message().value().as_str().map(str::len), Some(100 * 1024));
    client.publish_unacknowledged(&topic, &of(200));
    client.assert_closed();
}

#[test]
fn a_deleted_thng_takes_no_more_values_from_a_connected_client() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
    rest.delete(topic.split("/properties").next().expect("a path")).assert_status(200);
    assert_eq!(client.publish_refused(&topic, r#"[{"value":2}]"#)["status"], 404);
}

/// Also MQTT-4.3.3-2.
#[test]
fn a_repeated_qos_2_publish_is_stored_once() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    for hello in [Hello::with_key(KEY), Hello::with_key(KEY).in_3_1()] {
        let before = rest.get(&topic).expect(200).as_array().map(Vec::len);
        let mut client = Client::connect_as(server, &hello);
        let id = client.packet_id();
        for dup in [false, true, true] {
            let payload = br#"[{"value":"exactly once"}]"#;
            let (qos, packet_id) = (QoS::ExactlyOnce, Some(id));
            client.send(&Packet::Publish(Publish {
                dup,
                qos,
                retain: false,
                packet_id,
                topic: &topic,
                payload,
            }));
            assert_eq!(client.packet(), Received::PubRec(id));
        }
        for _ in 0..2 {
            client.send(&Packet::PubRel(id));
            assert_eq!(client.packet(), Received::PubComp(id));
        }
        let after = rest.get(&topic).expect(200).as_array().map(Vec::len);
        assert_eq!(after, before.map(|before| before + 1), "{:?}", hello.level);
    }
}

/// Also MQTT-3.3.5-2.
#[test]
fn with_close_a_refusal_at_qos_2_has_no_pubrec() {
    let server = closing();
    let topic = property(&mut server.rest());
    let mut client = Client::connect(&server);
    let id = client.packet_id();
    client.send(&Packet::Publish(publish(&topic, "[{", QoS::ExactlyOnce, Some(id))));
    client.assert_closed();
}
