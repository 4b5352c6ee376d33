//! Subscriptions by MQTT: allowed topics, the topic string of their notifications, and how `pubStates` begins.

use serde_json::json;
use thng_pubsub_protocol::mqtt::{Packet, QoS, SubAckCode, Unsubscribe};
use thng_pubsub_tests::mqtt::{Client, Hello, Message, Received};
use thng_pubsub_tests::{KEY, Rest, Server};

#[track_caller]
fn property(rest: &mut Rest) -> String {
    format!("/thngs/{}/properties/temperature", rest.thng())
}

#[track_caller]
fn set(rest: &mut Rest, topic: &str, value: impl Into<serde_json::Value>) {
    rest.put(topic, json!([{"value": value.into()}])).assert_status(200);
}

/// Also MQTT-3.8.4-6.
#[test]
fn a_subscription_is_granted_at_most_qos_1_in_both_levels() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let all = topic.trim_end_matches("/temperature").to_owned();
    for hello in [Hello::with_key(KEY), Hello::with_key(KEY).in_3_1()] {
        let mut client = Client::connect_as(server, &hello);
        for filter in [&topic, &all] {
            assert_eq!(client.subscribe(filter, QoS::AtMostOnce), SubAckCode::Granted(QoS::AtMostOnce));
            assert_eq!(client.subscribe(filter, QoS::AtLeastOnce), SubAckCode::Granted(QoS::AtLeastOnce));
            assert_eq!(client.subscribe(filter, QoS::ExactlyOnce), SubAckCode::Granted(QoS::AtLeastOnce));
        }
    }
}

/// MQTT-4.7.2-1: No topic begins with `$`, and no wildcard is served that could match one.
///
/// Also MQTT-3.8.4-5, MQTT-3.1-8.
#[test]
fn an_unsubscribable_topic_gets_0x80_and_the_connection_stays() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let deleted = rest.thng();
    rest.delete(&format!("/thngs/{deleted}")).assert_status(200);
    let unknown = "Uabcdefghkmnpqrstwxy0123";
    for hello in [Hello::with_key(KEY), Hello::with_key(KEY).in_3_1()] {
        let mut client = Client::connect_as(server, &hello);
        for filter in [
            format!("/thngs/{unknown}/properties"),
            format!("/thngs/{unknown}/properties/k"),
            format!("/thngs/{deleted}/properties/k"),
            format!("/products/{unknown}/properties"),
            format!("/collections/{unknown}/thngs"),
            "/thngs".to_owned(),
            "/nothing".to_owned(),
            "/".to_owned(),
            "//".to_owned(),
            "?".to_owned(),
            "garbage".to_owned(),
            format!("//thngs/{thng}/properties"),
            format!("/thngs/{thng}/properties/k/more"),
            format!("/thngs/{thng}/properties/not%20a%20key"),
            format!("/thngs/{thng}/properties/%zz"),
            format!("/thngs/{thng}/properties/%ff"),
            format!("/thngs/{thng}/properties?pubStates=maybe"),
            format!("/thngs/{thng}/properties?access_token={}", KEY.to_lowercase()),
            "/thngs/../properties".to_owned(),
            "$SYS/broker/uptime".to_owned(),
            "é/thngs".to_owned(),
        ] {
            assert_eq!(client.subscribe(&filter, QoS::AtLeastOnce), SubAckCode::Refused, "{filter}");
        }
        client.ping();
    }
}

/// Bug class 7 of `docs/security.md` (CVE-2026-49186); with keys of little scope in `hostile/rights.rs`.
///
/// MQTT-3.8.3-2: Wildcards are not served: a filter with one gets 0x80
/// ([0006](decisions/0006-wildcards-are-refused.md)).
/// MQTT-4.7.1-2: `#` is rejected in every place of a filter.
/// MQTT-4.7.1-3: `+` is rejected in every place of a filter.
///
/// Also MQTT-4.7.2-1.
#[test]
fn wildcards_are_refused() {
    let server = Server::shared();
    let thng = server.rest().thng();
    let mut client = Client::connect(server);
    for filter in ["#", "/#", "+", "/+/+", "/thngs/+/properties", "/thngs/#"] {
        assert_eq!(client.subscribe(filter, QoS::AtMostOnce), SubAckCode::Refused, "{filter}");
    }
    for end in ["#", "+", "k/#"] {
        let filter = format!("/thngs/{thng}/properties/{end}");
        assert_eq!(client.subscribe(&filter, QoS::AtMostOnce), SubAckCode::Refused, "{filter}");
    }
}

/// Also MQTT-3.8.4-1.
#[test]
fn each_filter_of_a_packet_gets_its_own_code_in_order() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (first, second) = (property(&mut rest), property(&mut rest));
    let mut client = Client::connect(server);
    let codes = client.subscribe_all(&[
        (&first, QoS::AtLeastOnce),
        ("/nothing", QoS::AtLeastOnce),
        (&second, QoS::AtMostOnce),
        ("#", QoS::AtMostOnce),
    ]);
    let granted = SubAckCode::Granted;
    let expected =
        [granted(QoS::AtLeastOnce), SubAckCode::Refused, granted(QoS::AtMostOnce), SubAckCode::Refused];
    assert_eq!(codes, expected);
    set(&mut rest, &second, 2);
    assert_eq!(client.message().topic, second);
}

#[test]
fn an_unset_property_can_be_subscribed_before_its_first_value() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtMostOnce);
    set(&mut rest, &topic, 1);
    assert_eq!(client.message().value(), 1);
}

/// MQTT-3.3.2-3: The topic name of a delivery is the exact string of the subscription.
///
/// Also MQTT-3.3.5-1, MQTT-4.7.3-4.
#[test]
fn each_subscription_is_served_on_its_exact_string() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let filters = [
        format!("/thngs/{thng}/properties/temperature"),
        format!("thngs/{thng}/properties/temperature"),
        format!("/thngs/{thng}/properties/temperature/"),
        format!("thngs/{thng}/properties/temperature/"),
        format!("/thngs/{thng}/properties/temperature?pubStates=0"),
        format!("thngs/{thng}/properties/temperature/?pubStates=0"),
        format!("/thngs/{thng}/properties/temperature?access_token={KEY}"),
        format!("/thngs/{thng}/properties/temperature?access_token={KEY}&pubStates=0"),
        format!("/thngs/{thng}/properties/temperature?pubStates=0&access_token={KEY}"),
        format!("/thngs/{thng}/properties/temperature?unknown=1"),
        format!("/thngs/{thng}/properties/Temperature"),
        format!("/thngs/{thng}/properties/%74emperature"),
        format!("/thngs/{thng}/properties"),
        format!("thngs/{thng}/properties/?pubStates=0"),
    ];
    for hello in [Hello::with_key(KEY), Hello::with_key(KEY).in_3_1()] {
        let mut client = Client::connect_as(server, &hello);
        for filter in &filters {
            client.subscribed(filter, QoS::AtLeastOnce);
        }
        set(&mut rest, &filters[0], 21.5);

        let mut messages: Vec<_> = filters.iter().map(|_| client.message()).collect();
        messages.sort_by(|one, other| one.topic.cmp(&other.topic));
        let mut expected = filters.to_vec();
        expected.sort();
        assert_eq!(messages.iter().map(|message| message.topic.clone()).collect::<Vec<_>>(), expected);
        for message in &messages {
            assert_eq!(message.payload, messages[0].payload, "{}", message.topic);
        }
        client.assert_nothing_else();
    }
}

/// Also MQTT-3.8.4-3.
#[test]
fn subscribing_again_with_the_same_string_replaces() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtMostOnce);
    client.subscribed(&topic, QoS::AtLeastOnce);
    set(&mut rest, &topic, 1);
    set(&mut rest, &topic, 2);
    let messages = [client.message(), client.message()];
    assert_eq!(messages.each_ref().map(Message::value), [json!(1), json!(2)]);
    client.assert_nothing_else();
}

#[test]
fn a_notification_has_the_shape_of_the_rest_answer() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtMostOnce);
    let stored = rest.put(&topic, r#"[{"value":18446744073709551616.0}]"#);
    let message = client.message();
    assert_eq!(message.payload, stored.text(), "the same JSON to the letter");
}

#[test]
fn an_update_of_several_keys_notifies_properties_and_each_key() {
    let server = Server::shared();
    let mut rest = server.rest();
    let all = format!("/thngs/{}/properties", rest.thng());
    let (a, b, c) = (format!("{all}/a"), format!("{all}/b"), format!("{all}/c"));
    let mut client = Client::connect(server);
    for topic in [&all, &a, &b, &c] {
        client.subscribed(topic, QoS::AtLeastOnce);
    }
    let sent = json!([
        {"key": "a", "value": 1, "timestamp": 1_000},
        {"key": "b", "value": 2},
        {"key": "a", "value": 3, "timestamp": 3_000},
    ]);
    let stored = rest.put(&all, sent).expect(200);

    let messages = [client.message(), client.message(), client.message()];
    let on = |topic: &str| {
        let found = messages.iter().find(|message| message.topic == topic);
        found.unwrap_or_else(|| panic!("nothing on {topic}: {messages:?}")).json()
    };
    assert_eq!(on(&all), stored);
    assert_eq!(on(&a), json!([stored[0], stored[2]]));
    assert_eq!(on(&b), json!([stored[1]]));
    rest.put(&c, json!([{"value": 4}])).assert_status(200);
    let marker = [client.message(), client.message()];
    assert!(marker.iter().all(|message| message.value() == 4), "nothing came between: {marker:?}");
}

/// MQTT-4.5.0-1: A stored write is delivered to every subscription to its topic.
///
/// Also MQTT-4.6.0-5.
#[test]
fn deliveries_keep_the_order_of_the_writes() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let all = topic.trim_end_matches("/temperature").to_owned();
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtLeastOnce);
    client.subscribed(&all, QoS::AtMostOnce);
    let mut publisher = Client::connect(server);
    for n in 0..300 {
        publisher.publish_unacknowledged(&topic, &format!(r#"[{{"value":{n}}}]"#));
    }
    let (mut on_key, mut on_all) = (Vec::new(), Vec::new());
    for _ in 0..600 {
        let message = client.message();
        let list = if message.topic == topic { &mut on_key } else { &mut on_all };
        list.push(message.value());
    }
    let expected: Vec<_> = (0..300).map(|n| json!(n)).collect();
    assert_eq!(on_key, expected);
    assert_eq!(on_all, expected);
}

/// Also MQTT-2.3.1-4, MQTT-4.3.2-1.
#[test]
fn a_delivery_has_the_subscriptions_qos_and_no_retain_flag() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    client.acknowledges = false;
    client.subscribed(&topic, QoS::AtLeastOnce);
    client.subscribed(&topic[1..], QoS::AtMostOnce);
    let mut publisher = Client::connect(server);
    for n in 0..5 {
        publisher.publish_acknowledged(&topic, &format!(r#"[{{"value":{n}}}]"#));
    }
    let messages: Vec<_> = (0..10).map(|_| client.message()).collect();
    assert!(messages.iter().all(|message| !message.retain && !message.dup), "{messages:?}");
    let (at_least_once, at_most_once): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.qos == QoS::AtLeastOnce);
    assert!(at_least_once.iter().all(|message| message.topic == topic), "{at_least_once:?}");
    assert!(at_most_once.iter().all(|message| message.topic == topic[1..] && message.packet_id.is_none()));
    let mut ids: Vec<_> = at_least_once.iter().filter_map(|message| message.packet_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "deliveries that are not yet acknowledged have numbers of their own");
}

/// MQTT-4.3.2-1: A delivery at QoS 1 has an unused id and DUP 0, and is inflight until its PUBACK.
#[test]
fn a_client_without_acknowledgements_loses_nothing() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    client.acknowledges = false;
    client.subscribed(&topic, QoS::AtLeastOnce);
    for n in 0..200 {
        set(&mut rest, &topic, n);
    }
    let first = client.message();
    assert_eq!(first.value(), 0);
    client.send(&Packet::PubAck(first.packet_id.expect("QoS 1 has a number")));
    for n in 1..200 {
        let message = client.message();
        assert_eq!(message.value(), n);
        client.send(&Packet::PubAck(message.packet_id.expect("QoS 1 has a number")));
    }
}

#[test]
fn a_connection_without_a_key_subscribes_with_the_topics_token() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut keyless = Client::connect_as(server, &Hello::anonymous());
    let with_token = format!("{topic}?access_token={KEY}");
    keyless.subscribed(&with_token, QoS::AtMostOnce);
    assert_eq!(
        keyless.subscribe(&topic, QoS::AtMostOnce),
        SubAckCode::Refused,
        "the token was for that topic"
    );
    let wrong_token = format!("{topic}?access_token={}", KEY.to_lowercase());
    assert_eq!(keyless.subscribe(&wrong_token, QoS::AtMostOnce), SubAckCode::Refused);
    set(&mut rest, &topic, 1);
    let message = keyless.message();
    assert_eq!((message.topic, message.retain), (with_token, false));
}

/// Also MQTT-3.10.4-1, MQTT-3.10.4-5.
#[test]
fn unsubscribing_ends_one_string_and_is_always_acknowledged() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtMostOnce);
    client.subscribed(&topic[1..], QoS::AtMostOnce);
    client.unsubscribe(&topic);
    for never_subscribed in ["/nothing", "#", "/thngs/x/properties", &topic] {
        client.unsubscribe(never_subscribed);
    }
    set(&mut rest, &topic, 1);
    assert_eq!(client.message().topic, topic[1..]);
    set(&mut rest, &topic, 2);
    let marker = client.message();
    assert_eq!((&*marker.topic, marker.value()), (&topic[1..], json!(2)), "nothing came on {topic}");
    client.assert_nothing_else();
}

/// Also MQTT-3.10.4-6.
#[test]
fn one_unsubscribe_may_name_several_filters() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topics = [property(&mut rest), property(&mut rest), property(&mut rest)];
    let mut client = Client::connect(server);
    for topic in &topics {
        client.subscribed(topic, QoS::AtMostOnce);
    }
    let id = client.packet_id();
    client.send(&Packet::Unsubscribe(Unsubscribe::new(id, &[&topics[0], "/nothing", &topics[1]])));
    client.wait("UNSUBACK", |packet| (*packet == Received::UnsubAck(id)).then_some(()));
    for topic in &topics {
        set(&mut rest, topic, 1);
        set(&mut rest, topic, 2);
    }
    let received = [client.message(), client.message()];
    assert!(received.iter().all(|message| message.topic == topics[2]), "{received:?}");
    client.assert_nothing_else();
}

#[test]
fn deleting_values_and_changing_the_thng_update_no_property() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtMostOnce);
    set(&mut rest, &topic, 1);
    assert_eq!(client.message().value(), 1);
    rest.delete(&topic).assert_status(200);
    let thng = topic.split("/properties").next().expect("a path");
    rest.put(thng, r#"{"name":"renamed"}"#).assert_status(200);
    set(&mut rest, &topic, "a marker");
    assert_eq!(client.message().value(), "a marker");
}

/// Also MQTT-2.3.1-1, MQTT-3.8.3-3, MQTT-4.7.3-1.
#[test]
fn an_empty_topic_or_invalid_qos_ends_the_connection() {
    let server = Server::shared();
    for body in [
        &b"\x00\x01"[..],                // no filter
        b"\x00\x01\x00\x01x\x03",        // QoS 3
        b"\x00\x00\x00\x01x\x00",        // packet identifier 0
        b"\x00\x01\x00\x00\x00",         // an empty filter
        b"\x00\x01\x00\x05x\x00",        // a length beyond the packet
        b"\x00\x01\x00\x02\xff\xfe\x00", // no UTF-8
        b"\x00\x01\x00\x02a\x00\x00",    // a NUL character
    ] {
        let mut packet = vec![0x82, u8::try_from(body.len()).expect("it is short")];
        packet.extend(body);
        let mut client = Client::connect(server);
        client.send_bytes(&packet);
        client.assert_closed();
    }
}

#[test]
fn a_subscription_begins_with_what_is_written_after_it() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    for n in 0..100 {
        set(&mut rest, &topic, "before");
        client.subscribed(&topic, QoS::AtMostOnce);
        set(&mut rest, &topic, n);
        assert_eq!(client.message().value(), n, "what was answered before the SUBSCRIBE is history");
        client.unsubscribe(&topic);
    }
}
