//! SUBSCRIBE and UNSUBSCRIBE against the standard: what is granted, what replaces what, what an UNSUBSCRIBE ends.
//! The statements are listed in `docs/mqtt-conformance.md`.
//!
//! MQTT-3.3.1-7: Not ours: there is no retained message that a publish at QoS 0 could replace.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS, SubAckCode, Subscribe, Unsubscribe};
use thng_pubsub_tests::link::Link;
use thng_pubsub_tests::mqtt::{Client, Hello, Received, encoded, publish};
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use SubAckCode::{Granted, Refused};

#[track_caller]
fn property(rest: &mut Rest) -> String {
    format!("/thngs/{}/properties/temperature", rest.thng())
}

#[track_caller]
fn set(rest: &mut Rest, topic: &str, value: impl Into<Value>) {
    rest.put(topic, json!([{"value": value.into()}])).assert_status(200);
}

/// Ends the subscriptions to all of these with one packet.
#[track_caller]
fn unsubscribe_all<L: Link>(client: &mut Client<L>, filters: &[&str]) {
    let id = client.packet_id();
    client.send(&Packet::Unsubscribe(Unsubscribe::new(id, filters)));
    client.wait("UNSUBACK", |packet| (*packet == Received::UnsubAck(id)).then_some(()));
}

/// MQTT-3.3.5-1: Two strings of one resource are two subscriptions, each with its copy at its own QoS.
/// MQTT-3.8.4-1: Each SUBSCRIBE is answered with a SUBACK.
/// MQTT-3.8.4-4: Several filters in one SUBSCRIBE have the effect of as many packets, and one answer.
/// MQTT-3.8.4-5: A SUBACK has one code for each filter: the granted QoS, or 0x80.
/// MQTT-3.9.3-1: The codes of a SUBACK are in the order of the filters.
/// MQTT-3.9.3-2: The codes of a SUBACK are 0, 1 or 0x80.
/// MQTT-3.1-8: A rejected filter gets 0x80, which MQTT 3.1 does not define: its clients read it as not granted.
///
/// Also MQTT-3.1-9.
#[test]
fn filters_of_one_packet_are_granted_one_by_one() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let (all, bare) = (topic.trim_end_matches("/temperature"), &topic[1..]);
    let device_key = {
        let other = rest.thng();
        rest.device(&other).key
    };
    let foreign = format!("{topic}?access_token={device_key}");
    let requests = [
        (&*topic, ExactlyOnce, Granted(AtLeastOnce)),
        ("#", AtLeastOnce, Refused),
        (bare, AtLeastOnce, Granted(AtLeastOnce)),
        (&*topic, AtMostOnce, Granted(AtMostOnce)),
        ("/thngs/+/properties", AtMostOnce, Refused),
        (&*foreign, AtLeastOnce, Refused),
        (all, AtMostOnce, Granted(AtMostOnce)),
        ("/thngs/Uabcdefghkmnpqrstwxy0123", ExactlyOnce, Refused),
        (bare, AtMostOnce, Granted(AtMostOnce)),
        (bare, ExactlyOnce, Granted(AtLeastOnce)),
        (all, AtMostOnce, Granted(AtMostOnce)),
    ];
    let expected: Vec<_> = requests.iter().map(|(_, _, code)| *code).collect();
    for hello in [Hello::with_key(KEY), Hello::with_key(KEY).in_3_1()] {
        let mut at_once = Client::connect_as(server, &hello);
        let filters: Vec<_> = requests.iter().map(|(filter, qos, _)| (*filter, *qos)).collect();
        assert_eq!(at_once.subscribe_all(&filters), expected);
        let mut one_by_one = Client::connect_as(server, &hello.named("one by one"));
        let codes: Vec<_> = filters.iter().map(|(filter, qos)| one_by_one.subscribe(filter, *qos)).collect();
        assert_eq!(codes, expected);

        set(&mut rest, &topic, 1);
        for client in [&mut at_once, &mut one_by_one] {
            let mut received = [(); 3].map(|()| client.message()).map(|message| (message.topic, message.qos));
            received.sort();
            let mut expected = [(all, AtMostOnce), (&*topic, AtMostOnce), (bare, AtLeastOnce)]
                .map(|(topic, qos)| (topic.to_owned(), qos));
            expected.sort();
            assert_eq!(received, expected, "each string once, with the QoS that it was granted last");
            client.assert_nothing_else();
        }
    }
}

/// Also MQTT-3.8.4-4, MQTT-3.8.4-5, MQTT-3.9.3-1, MQTT-3.10.4-6.
#[test]
fn one_packet_may_name_a_thousand_filters_and_has_one_answer() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let filters: Vec<String> = (0..1_000).map(|n| format!("{topic}?n={n}")).collect();
    let mut client = Client::connect(server);
    let requests: Vec<_> = filters
        .iter()
        .enumerate()
        .map(|(n, filter)| if n % 3 == 0 { ("/nothing", AtMostOnce) } else { (&**filter, AtMostOnce) })
        .collect();
    let codes = client.subscribe_all(&requests);
    for (n, code) in codes.iter().enumerate() {
        assert_eq!(*code, if n % 3 == 0 { Refused } else { Granted(AtMostOnce) }, "the code of filter {n}");
    }
    let all_but_the_last: Vec<&str> = filters[..999].iter().map(|filter| &**filter).collect();
    unsubscribe_all(&mut client, &all_but_the_last);
    let last = client.subscribe(&filters[999], AtMostOnce);
    assert_eq!(last, Granted(AtMostOnce));
    set(&mut rest, &topic, 1);
    assert_eq!(client.message().topic, filters[999]);
    client.assert_nothing_else();
}

/// MQTT-2.3.1-5: A delivery at QoS 0 has no packet id.
/// MQTT-3.8.4-6: At most QoS 1 is granted. **Differs on purpose:** a delivery is a publish of the server's own, at
/// the granted QoS, whatever the QoS of the write
/// ([0004](decisions/0004-notifications-are-the-servers-own-publishes.md)).
/// MQTT-4.3.1-1: A delivery at QoS 0 is sent once, with DUP 0.
#[test]
fn a_delivery_has_the_granted_qos() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let mut publisher = Client::connect(server);
    for requested in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let mut watcher = Client::connect(server);
        let granted = requested.min(AtLeastOnce);
        assert_eq!(watcher.subscribe(&topic, requested), Granted(granted));
        for published in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            let id = (published != AtMostOnce).then(|| publisher.packet_id());
            publisher.send(&Packet::Publish(publish(&topic, "1", published, id)));
            let received = watcher.message();
            assert_eq!((received.qos, received.packet_id.is_some()), (granted, granted == AtLeastOnce));
        }
    }
}

/// MQTT-3.8.3-4: A requested QoS above 2, or any other bit in its byte, ends the connection.
#[test]
fn a_requested_qos_above_2_ends_the_connection() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let requested = encoded(&Packet::Subscribe(Subscribe::new(PacketId::MIN, &[(&topic, AtMostOnce)])));
    for qos in 3..=u8::MAX {
        let mut packet = requested.clone();
        *packet.last_mut().expect("the QoS is its last byte") = qos;
        let mut client = Client::connect(server);
        client.send_bytes(&packet);
        client.assert_closed_after(&format!("a requested QoS of {qos:#04x}"));
    }
}

/// Also MQTT-3.3.2-2, MQTT-3.8.3-2, MQTT-4.7.1-2, MQTT-4.7.1-3.
#[test]
fn a_filter_with_a_wildcard_anywhere_is_refused() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let mut client = Client::connect(server);
    for filter in [
        "/actions/a+",
        "/actions/+a",
        "/actions/a#",
        "/actions/#a",
        "/actions/a+b?pubStates=1",
        &format!("/thngs/{thng}/properties/k?n=+"),
        &format!("/thngs/{thng}/properties/k?n=#"),
        &format!("/thngs/{thng}/properties?pubStates=1&a+b=1"),
        &format!("/thngs/{thng}/location?#"),
    ] {
        assert_eq!(client.subscribe(filter, AtLeastOnce), Refused, "{filter}");
    }
    // With its escape a plus is a character of a name like any other.
    let kind = format!("_a+{:08x}", fastrand::u32(..));
    rest.create("/actions", json!({"name": kind}));
    let escaped = format!("/thngs/{thng}/actions/{}", kind.replace('+', "%2B"));
    client.subscribed(&escaped, AtLeastOnce);
    client.publish_acknowledged(&escaped, "{}");
    let received = client.message();
    assert_eq!((&received.topic, &received.json()["type"]), (&escaped, &json!(kind)));
}

/// MQTT-3.8.4-3: The same string again replaces the first subscription without a gap. Its initial state is sent
/// again, since nothing is retained.
#[test]
fn subscribing_again_while_messages_flow_loses_none_of_them() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    for qos in [AtMostOnce, AtLeastOnce] {
        let mut client = Client::connect(server);
        client.subscribed(&topic, qos);
        let mut publisher = Client::connect(server);
        for n in 0..300 {
            publisher.publish_unacknowledged(&topic, &n.to_string());
            if n % 7 == 0 {
                client.subscribed(&topic, qos);
            }
        }
        // While one takes the place of the other a message may come by both, but none is missing or out of place.
        let mut received = Vec::new();
        while received.last() != Some(&json!(299)) {
            let value = client.message().value();
            if received.last() != Some(&value) {
                received.push(value);
            }
        }
        assert_eq!(received, (0..300).map(|n| json!(n)).collect::<Vec<_>>(), "{qos:?}");
    }
}

/// MQTT-3.10.4-1: An UNSUBSCRIBE ends the subscription with exactly the same string and no other.
/// MQTT-3.10.4-2: Writes after an UNSUBSCRIBE are not delivered.
/// MQTT-3.10.4-5: An UNSUBSCRIBE without a matching subscription is answered too.
/// MQTT-3.10.4-6: Several filters in one UNSUBSCRIBE have the effect of as many packets, and one answer.
/// MQTT-4.7.3-4: Subscriptions are identified, ended and served by their exact strings. **Differs on purpose:** a
/// topic selects its resource as a REST path does, so slashes, escapes and the case of a property's key may vary
/// ([topics.md](topics.md#how-a-topic-may-be-spelled)).
#[test]
fn an_unsubscribe_matches_exact_strings_only() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mine = [
        topic.clone(),
        format!("{topic}/"),
        topic[1..].to_owned(),
        format!("{topic}?pubStates=0"),
        topic.replace("temperature", "Temperature"),
        topic.replace("temperature", "%74emperature"),
    ];
    let mut client = Client::connect(server);
    for filter in &mine {
        client.subscribed(filter, AtLeastOnce);
    }
    let near = [
        topic.trim_end_matches("/temperature").to_owned(),
        format!("{topic}s"),
        topic[..topic.len() - 1].to_owned(),
        format!("{topic}//"),
        format!("/{topic}"),
        format!("{topic}?pubStates=1"),
        format!("{topic}?pubStates=0&"),
        topic.to_uppercase(),
        topic.replace("temperature", "TEMPERATURE"),
        topic.replace("temperature", "+"),
        format!("\u{feff}{topic}"),
        "#".to_owned(),
        "/nothing".to_owned(),
    ];
    for filter in &near {
        unsubscribe_all(&mut client, &[filter]);
    }
    unsubscribe_all(&mut client, &near.each_ref().map(|filter| &**filter));

    for ended in 0..=mine.len() {
        set(&mut rest, &topic, 1);
        let left = &mine[ended..];
        let mut received: Vec<_> = left.iter().map(|_| client.message().topic).collect();
        let mut expected = left.to_vec();
        received.sort();
        expected.sort();
        assert_eq!(received, expected, "after {ended} were ended");
        // The same filter twice in one packet, and one that is not there, are answered once.
        if let Some(next) = left.first() {
            unsubscribe_all(&mut client, &[next, "/nothing", next]);
        }
    }
    client.subscribed(&topic, AtLeastOnce);
    set(&mut rest, &topic, "marker");
    assert_eq!(client.message().value(), "marker");
    client.assert_nothing_else();
}

/// MQTT-3.10.4-3: A delivery at QoS 1 from before an UNSUBSCRIBE stays inflight until its acknowledgement.
///
/// Also MQTT-3.10.4-2.
#[test]
fn deliveries_before_an_unsubscribe_are_completed() {
    let server = Launch::new().flag("--deliveries-in-flight-max", "1").start();
    let mut rest = server.rest();
    let (ended, remaining) = (property(&mut rest), property(&mut rest));
    let mut client = Client::connect(&server);
    client.acknowledges = false;
    client.subscribed(&ended, AtLeastOnce);
    client.subscribed(&remaining, AtLeastOnce);
    set(&mut rest, &ended, 1);
    let open = client.message();
    assert_eq!((&open.topic, open.value()), (&ended, json!(1)));

    unsubscribe_all(&mut client, &[&ended]);
    set(&mut rest, &ended, 2);
    set(&mut rest, &remaining, 3);
    // The one exchange that may be open is that of the subscription that is gone: it still has to be completed.
    client.assert_nothing_else();
    client.send(&Packet::PubAck(open.packet_id.expect("QoS 1")));
    let next = client.message();
    assert_eq!((&next.topic, next.value()), (&remaining, json!(3)));
    client.send(&Packet::PubAck(next.packet_id.expect("QoS 1")));
    set(&mut rest, &remaining, 4);
    assert_eq!(client.message().value(), 4, "and nothing of what was written to the other");
}
