//! Packets and their exchanges against the standard: first bytes, packet ids, acknowledgements, DUP and RETAIN.
//! The statements are listed in `docs/mqtt-conformance.md`.
//!
//! MQTT-2.3.1-2: Not ours: the client chooses its packet ids, and the server answers each.
//! MQTT-2.3.1-3: Not ours: the client repeats its ids; 4.3.2-2 and 4.3.3-2 distinguish a repeated packet from a new
//! one.
//! MQTT-4.3.3-1: Not ours: no subscription is granted QoS 2, so nothing is sent at QoS 2.
//! MQTT-4.5.0-2: Not ours: the client acknowledges its deliveries.
//! MQTT-4.6.0-4: Not ours: the client sends PUBREL; the server's PUBCOMPs are in that order.
//! MQTT-7.0.0-1: Not ours: the server connects to no other server.
//! MQTT-7.1.2-1: Not ours: this statement is for clients.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{Packet, PacketId, ProtocolLevel, Publish, QoS, Subscribe, Unsubscribe};
use thng_pubsub_tests::link::Link;
use thng_pubsub_tests::mqtt::{Client, Ended, Hello, Received, encoded};
use thng_pubsub_tests::{KEY, Rest, Server, WAIT_MAX};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("it is not zero")
}

#[track_caller]
fn property(rest: &mut Rest) -> String {
    format!("/thngs/{}/properties/k", rest.thng())
}

/// A PUBLISH that writes `value`, with a packet id where it has one.
fn write(topic: &str, value: &str, qos: QoS, packet_id: u16, dup: bool) -> Vec<u8> {
    let payload = format!("\"{value}\"");
    let packet_id = (qos != AtMostOnce).then(|| id(packet_id));
    let publish = Publish { dup, qos, retain: false, packet_id, topic, payload: payload.as_bytes() };
    encoded(&Packet::Publish(publish))
}

/// What was stored, oldest first, of a hundred at the most.
#[track_caller]
fn history(rest: &mut Rest, topic: &str) -> Vec<Value> {
    let entries = rest.get(&format!("{topic}?perPage=100")).expect(200);
    entries.as_array().expect("a list").iter().rev().map(|entry| entry["value"].clone()).collect()
}

/// A packet of the type and flags of its first byte whose body is as good as it can be.
fn packet(first_byte: u8, topic: &str) -> Vec<u8> {
    let name = [&u16::try_from(topic.len()).expect("short").to_be_bytes(), topic.as_bytes()].concat();
    let body = match first_byte >> 4 {
        1 => Hello::with_key(KEY).bytes().split_off(2),
        2 => vec![0, 0],
        3 if first_byte & 0b110 == 0 => [&name[..], b"1"].concat(),
        3 => [&name[..], &[0, 9], b"1"].concat(),
        4..=7 | 11 => vec![0, 9],
        8 => [&[0, 9], &name[..], &[1]].concat(),
        9 => vec![0, 9, 0],
        10 => [&[0, 9], &name[..]].concat(),
        _ => vec![],
    };
    let (low, high) = (body.len() % 128, body.len() / 128);
    let length = if high == 0 { vec![low] } else { vec![low | 0x80, high] };
    let length = length.into_iter().map(|part| u8::try_from(part).expect("it is short"));
    std::iter::once(first_byte).chain(length).chain(body).collect()
}

/// MQTT-2.2.2-2: Flags other than those of the type end the connection; in MQTT 3.1 three types may carry DUP.
/// MQTT-3.3.1-2: A delivery at QoS 0 never carries DUP, and a publish at QoS 0 with DUP ends the connection.
/// MQTT-3.3.1-4: QoS 3 ends the connection.
/// MQTT-3.6.1-1: A PUBREL with other flags than its own ends the connection.
/// MQTT-3.8.1-1: A SUBSCRIBE with other flags than its own ends the connection.
/// MQTT-3.10.1-1: An UNSUBSCRIBE with other flags than its own ends the connection.
/// MQTT-3.12.4-1: A PINGREQ is answered with PINGRESP.
/// MQTT-3.14.1-1: A DISCONNECT with a flag is malformed: the connection ends, and its will is published.
/// MQTT-3.1-6: SUBSCRIBE, UNSUBSCRIBE and PUBREL may carry DUP.
///
/// Also MQTT-4.8.0-1.
#[test]
fn only_first_bytes_of_client_packets_leave_a_connection_open() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let ping = encoded(&Packet::PingReq);
    for (hello, level) in
        [(Hello::with_key(KEY), ProtocolLevel::V3_1_1), (Hello::with_key(KEY).in_3_1(), ProtocolLevel::V3_1)]
    {
        for first_byte in 0..=u8::MAX {
            let is_open = match first_byte {
                // PUBLISH: no QoS 3, and no repetition of what was never acknowledged.
                0x30..=0x3f => first_byte & 0b110 != 0b110 && first_byte & 0b1110 != 0b1000,
                0x40 | 0x62 | 0x82 | 0xa2 | 0xc0 => true,
                // MQTT 3.1 marks these as repeated, too.
                0x6a | 0x8a | 0xaa => level == ProtocolLevel::V3_1,
                // The acknowledgements of a QoS that nothing is sent with: that they mean nothing may end it or not.
                0x50 | 0x70 => continue,
                _ => false,
            };
            let mut client = Client::connect_as(server, &hello);
            client.send_bytes(&[packet(first_byte, &topic), ping.clone()].concat());
            let stayed_open = loop {
                match client.next_within(WAIT_MAX) {
                    Some(Ok(Received::PingResp)) => break true,
                    Some(Ok(_)) => {}
                    Some(Err(Ended)) => break false,
                    None => panic!("{first_byte:02x}: neither an answer nor the end"),
                }
            };
            assert_eq!(stayed_open, is_open, "{first_byte:02x} at {level:?}");
        }
    }
}

/// MQTT-2.3.1-6: PUBACK, PUBREC and PUBCOMP carry the id of the PUBLISH.
/// MQTT-2.3.1-7: SUBACK and UNSUBACK carry the id of their request.
/// MQTT-3.8.4-2: A SUBACK carries the packet id of its SUBSCRIBE.
/// MQTT-3.10.4-4: An UNSUBSCRIBE is answered with an UNSUBACK that carries its packet id.
#[test]
fn every_answer_has_the_packet_id_of_its_request() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let filters = [(&*topic, AtLeastOnce)];
    for number in [1, 255, 256, 0x7fff, 0x8000, u16::MAX] {
        let mut client = Client::connect(server);
        client.acknowledges = false;
        let packet_id = id(number);
        // All of them at once, and a delivery under an id of the server's own.
        client.send(&Packet::Subscribe(Subscribe::new(packet_id, &filters)));
        client.send_bytes(&write(&topic, "one", AtLeastOnce, number, false));
        client.send_bytes(&write(&topic, "two", ExactlyOnce, number, false));
        client.send(&Packet::Unsubscribe(Unsubscribe::new(packet_id, &["never"])));
        let is = |expected: Received| move |packet: &Received| (*packet == expected).then_some(());
        client.wait("SUBACK", |packet| match packet {
            Received::SubAck { packet_id, .. } => (packet_id.get() == number).then_some(()),
            _ => None,
        });
        client.wait("PUBACK", is(Received::PubAck(packet_id)));
        client.wait("PUBREC", is(Received::PubRec(packet_id)));
        client.wait("UNSUBACK", is(Received::UnsubAck(packet_id)));
        client.send(&Packet::PubRel(packet_id));
        client.wait("PUBCOMP", is(Received::PubComp(packet_id)));
        let ids = [client.message(), client.message()].map(|message| message.packet_id.map(PacketId::get));
        assert!(ids[0].is_some() && ids[1].is_some() && ids[0] != ids[1], "of the server's own: {ids:?}");
        client.assert_nothing_else();
    }
}

#[track_caller]
fn assert_ids_are_free_again<L: Link>(server: &Server, mut client: Client<L>) {
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, AtLeastOnce);

    // QoS 1: after the PUBACK the same id is another message, marked as repeated or not.
    for (value, dup) in [("a", false), ("a", true), ("b", false)] {
        client.send_bytes(&write(&topic, value, AtLeastOnce, 7, dup));
        assert_eq!(client.packet(), Received::PubAck(id(7)));
    }
    // QoS 2: until the PUBREL it is the same message, whatever it looks like; after the PUBCOMP it is another one.
    for value in ["c", "d"] {
        for (repeated, dup) in
            [(value, value == "d"), (value, true), ("not this one", true), ("nor this", false)]
        {
            client.send_bytes(&write(&topic, repeated, ExactlyOnce, 7, dup));
            assert_eq!(client.packet(), Received::PubRec(id(7)));
        }
        for _ in 0..3 {
            client.send(&Packet::PubRel(id(7)));
            assert_eq!(client.packet(), Received::PubComp(id(7)), "also when it is repeated");
        }
    }
    for unknown in [8, u16::MAX] {
        client.send(&Packet::PubRel(id(unknown)));
        assert_eq!(client.packet(), Received::PubComp(id(unknown)), "also when nothing was published");
    }
    // All repetitions before the first is on disk.
    let segment: Vec<u8> = (0..5).flat_map(|n| write(&topic, "e", ExactlyOnce, 9, n > 0)).collect();
    client.send_bytes(&segment);
    assert_eq!(client.packet(), Received::PubRec(id(9)));
    client.send(&Packet::PubRel(id(9)));
    let completed = (0..5).map(|_| client.packet()).find(|packet| *packet != Received::PubRec(id(9)));
    assert_eq!(completed, Some(Received::PubComp(id(9))));

    let expected = ["a", "a", "b", "c", "d", "e"].map(Value::from);
    assert_eq!(history(&mut rest, &topic), expected);
    assert_eq!(expected.clone().map(|_| watcher.message().value()), expected);
    client.assert_nothing_else();
    watcher.assert_nothing_else();
}

/// MQTT-4.3.2-2: A publish at QoS 1 is acknowledged when it is stored; after that the same id is another message,
/// with DUP or without.
/// MQTT-4.3.3-2: A publish at QoS 2 is stored once, however often PUBLISH or PUBREL arrive; PUBCOMP frees its id. A
/// repeated PUBLISH during the commit is answered together with the first.
/// MQTT-3.1-9: Wills, QoS 2, take-over and subscriptions behave as in MQTT 3.1.1.
#[test]
fn a_packet_id_is_free_only_after_its_exchange_is_complete() {
    let server = Server::shared();
    assert_ids_are_free_again(server, Client::connect(server));
    assert_ids_are_free_again(server, Client::connect_as(server, &Hello::with_key(KEY).in_3_1()));
    assert_ids_are_free_again(server, Client::connect_over_websocket(server));
}

/// MQTT-3.3.4-1: A publish at QoS 0 is not answered, at QoS 1 with PUBACK, at QoS 2 with PUBREC.
/// MQTT-4.6.0-2: PUBACKs are in the order of the publishes.
/// MQTT-4.6.0-3: PUBRECs are in the order of the publishes.
/// MQTT-4.6.0-5: Every topic has one order, that of the commits.
/// MQTT-4.6.0-6: The publishes of a client are delivered in the order in which it sent them, at every QoS.
#[test]
fn acknowledgements_keep_publish_order_at_any_qos() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, AtLeastOnce);
    let mut client = Client::connect(server);
    let numbers = 1..=99_u16;
    let qos_of = |number: u16| [AtMostOnce, AtLeastOnce, ExactlyOnce][usize::from(number % 3)];
    let segment: Vec<u8> = numbers
        .clone()
        .flat_map(|number| write(&topic, &number.to_string(), qos_of(number), number, false))
        .collect();
    client.send_bytes(&segment);
    for number in numbers.clone() {
        match qos_of(number) {
            AtMostOnce => {}
            AtLeastOnce => assert_eq!(client.packet(), Received::PubAck(id(number))),
            ExactlyOnce => assert_eq!(client.packet(), Received::PubRec(id(number))),
        }
    }
    let at_qos_2: Vec<_> = numbers.clone().filter(|number| qos_of(*number) == ExactlyOnce).map(id).collect();
    client.send_bytes(&at_qos_2.iter().flat_map(|id| encoded(&Packet::PubRel(*id))).collect::<Vec<_>>());
    for id in at_qos_2 {
        assert_eq!(client.packet(), Received::PubComp(id));
    }
    client.assert_nothing_else();
    let expected: Vec<_> = numbers.map(|number| json!(number.to_string())).collect();
    assert_eq!(history(&mut rest, &topic), expected, "one topic, one order, for all three");
    assert_eq!(expected.iter().map(|_| watcher.message().value()).collect::<Vec<_>>(), expected);
}

/// Also MQTT-4.3.3-2.
#[test]
fn a_thousand_qos_2_publishes_may_precede_the_first_release() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    // A client library that was handed them in a loop: all are on their way before it has read the first PUBREC.
    let numbers = 1..=1_000_u16;
    let all: Vec<u8> = numbers
        .clone()
        .flat_map(|number| write(&topic, &number.to_string(), ExactlyOnce, number, false))
        .collect();
    client.send_bytes(&all);
    let (mut received, mut completed) = (numbers.clone(), numbers);
    while !completed.is_empty() {
        match client.packet() {
            Received::PubRec(id) => {
                assert_eq!(Some(id.get()), received.next());
                client.send(&Packet::PubRel(id));
            }
            Received::PubComp(id) => assert_eq!(Some(id.get()), completed.next()),
            other => panic!("{other:?} is no part of the exchange"),
        }
    }
    client.assert_nothing_else();
    assert_eq!(rest.get(&topic).expect(200)[0]["value"], "1000");
}

/// MQTT-3.3.1-3: The DUP of a publish does not reach a subscriber.
/// MQTT-3.3.1-5: **Differs on purpose:** a publish with RETAIN is a publish; only the history stores it.
/// MQTT-3.3.1-6: **Differs on purpose:** a new subscription gets no retained message; with `pubStates=1` it gets the
/// current state.
/// MQTT-3.3.1-9: A delivery has RETAIN 0, with whichever flag it was published.
/// MQTT-3.3.1-12: A publish without RETAIN is not retained.
///
/// Also MQTT-3.3.1-2, MQTT-4.3.1-1.
#[test]
fn dup_and_retain_of_a_publish_reach_no_subscriber() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut client = Client::connect(server);
    let mut watchers = [AtMostOnce, AtLeastOnce].map(|qos| {
        let mut watcher = Client::connect(server);
        watcher.subscribed(&topic, qos);
        (watcher, qos)
    });
    let mut count = 0;
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        for (dup, retain) in [(false, false), (false, true), (true, false), (true, true)] {
            if qos == AtMostOnce && dup {
                continue;
            }
            count += 1;
            let packet_id = (qos != AtMostOnce).then(|| id(count));
            let payload = count.to_string();
            let publish = Publish { dup, qos, retain, packet_id, topic: &topic, payload: payload.as_bytes() };
            client.send(&Packet::Publish(publish));
            for (watcher, granted) in &mut watchers {
                let received = watcher.message();
                assert_eq!((received.value(), received.qos), (json!(count), *granted));
                assert!(!received.dup && !received.retain, "{received:?} of {publish:?}");
            }
            let mut late = Client::connect(server);
            late.subscribed(&topic, AtLeastOnce);
            client.publish_acknowledged(&topic, "\"marker\"");
            assert_eq!(late.message().value(), "marker", "nothing was kept of {publish:?}");
            watchers.iter_mut().for_each(|(watcher, _)| assert_eq!(watcher.message().value(), "marker"));
        }
    }
}

/// MQTT-3.3.1-10: An empty payload with RETAIN is a publish with an empty payload: an action, or invalid JSON and
/// rejected ([0005](decisions/0005-invalid-json-is-refused.md)).
/// MQTT-3.3.1-11: An empty payload with RETAIN is never retained.
#[test]
fn an_empty_retained_publish_deletes_nothing() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let (property, actions) = (format!("/thngs/{thng}/properties/k"), format!("/thngs/{thng}/actions/scans"));
    let empty =
        |topic| Publish { dup: false, qos: AtMostOnce, retain: true, packet_id: None, topic, payload: b"" };
    let mut client = Client::connect(server);
    client.subscribed(&actions, AtLeastOnce);
    client.publish_acknowledged(&property, "\"kept\"");
    // For a property it is no JSON, so nothing is written; for an action it is a whole one.
    client.send(&Packet::Publish(empty(&property)));
    client.send(&Packet::Publish(empty(&actions)));
    let action = client.message();
    assert_eq!((&action.topic, &action.json()["thng"], action.retain), (&actions, &json!(thng), false));
    assert_eq!(history(&mut rest, &property), ["kept"]);

    client.send(&Packet::Publish(Publish { qos: AtLeastOnce, packet_id: Some(id(5)), ..empty(&property) }));
    assert_eq!(client.packet(), Received::PubAck(id(5)));
    assert_eq!(history(&mut rest, &property), ["kept"]);
}
