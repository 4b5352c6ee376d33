//! Packets as the standard draws them: what is read is what was written.

use super::*;

#[test]
fn connect_of_3_1_1_with_nothing_optional() {
    golden(Client, "10 0d 0004 'MQTT' 04 02 003c 0001 'a'", Packet::Connect(PLAIN));
}

/// Also MQTT-3.1.3-1.
#[test]
fn connect_of_3_1_1_with_everything() {
    golden(
        Client,
        "10 2e 0004 'MQTT' 04 ec 012c 0005 'dev-1' 0003 'w/t' 0002 00ff 000d 'authorization' 0003 6b0079",
        Packet::Connect(FULL),
    );
}

#[test]
fn connect_of_3_1_with_nothing_optional() {
    let connect = Connect { level: V3_1, ..PLAIN };
    golden(Client, "10 0f 0006 'MQIsdp' 03 02 003c 0001 'a'", Packet::Connect(connect));
}

#[test]
fn connect_of_3_1_with_everything() {
    golden(
        Client,
        "10 30 0006 'MQIsdp' 03 ec 012c 0005 'dev-1' 0003 'w/t' 0002 00ff 000d 'authorization' 0003 6b0079",
        Packet::Connect(Connect { level: V3_1, ..FULL }),
    );
}

#[test]
fn connect_with_empty_fields_keeps_them_apart_from_missing_ones() {
    let will = Will { topic: "w", payload: b"", qos: QoS::ExactlyOnce, retain: false };
    let connect = Connect {
        client_id: "",
        will: Some(will),
        user_name: Some(""),
        password: Some(b""),
        keep_alive_s: 0,
        ..PLAIN
    };
    golden(Client, "10 15 0004 'MQTT' 04 d6 0000 0000 0001 'w' 0000 0000 0000", Packet::Connect(connect));
}

#[test]
fn the_codec_accepts_long_client_identifiers_even_in_3_1() {
    let connect = Connect { level: V3_1, client_id: "abcdefghijklmnopqrstuvwxyz", ..PLAIN };
    golden(
        Client,
        "10 28 0006 'MQIsdp' 03 02 003c 001a 'abcdefghijklmnopqrstuvwxyz'",
        Packet::Connect(connect),
    );
}

/// Also MQTT-3.1-5.
#[test]
fn connect_of_3_1_may_lack_the_login_that_its_flags_announce() {
    let connect = Connect { level: V3_1, ..PLAIN };
    let named = Connect { user_name: Some("u"), ..connect };
    reads(Client, V3_1, "10 0f 0006 'MQIsdp' 03 82 003c 0001 'a'", Packet::Connect(connect));
    reads(Client, V3_1, "10 0f 0006 'MQIsdp' 03 c2 003c 0001 'a'", Packet::Connect(connect));
    reads(Client, V3_1, "10 12 0006 'MQIsdp' 03 c2 003c 0001 'a' 0001 'u'", Packet::Connect(named));
    refuses(Client, "10 0d 0004 'MQTT' 04 82 003c 0001 'a'", E::Truncated);
    refuses(Client, "10 10 0004 'MQTT' 04 c2 003c 0001 'a' 0001 'u'", E::Truncated);
}

#[test]
fn connect_of_3_1_disregards_the_flags_that_mean_nothing_to_it() {
    let connect = Packet::Connect(Connect { level: V3_1, ..PLAIN });
    reads(Client, V3_1, "10 0f 0006 'MQIsdp' 03 03 003c 0001 'a'", connect);
    reads(Client, V3_1, "10 0f 0006 'MQIsdp' 03 1a 003c 0001 'a'", connect);
    reads(Client, V3_1, "10 0f 0006 'MQIsdp' 03 22 003c 0001 'a'", connect);
}

/// MQTT-2.2.2-1: The server sends each packet type with the flags of that type.
#[test]
fn connack_with_each_code() {
    let answer = |session_present, code| Packet::ConnAck(ConnAck { session_present, code });
    golden(Server, "20 02 00 00", answer(false, ConnectCode::Accepted));
    golden(Server, "20 02 00 01", answer(false, ConnectCode::UnacceptableProtocolVersion));
    golden(Server, "20 02 00 02", answer(false, ConnectCode::IdentifierRejected));
    golden(Server, "20 02 00 03", answer(false, ConnectCode::ServerUnavailable));
    golden(Server, "20 02 00 04", answer(false, ConnectCode::BadUserNameOrPassword));
    golden(Server, "20 02 00 05", answer(false, ConnectCode::NotAuthorised));
}

/// MQTT-3.1-7: The first byte behind the header of CONNACK is always 0.
#[test]
fn connack_has_session_present_in_3_1_1_only() {
    let answer = |session_present| Packet::ConnAck(ConnAck { session_present, code: ConnectCode::Accepted });
    reads(Server, V3_1_1, "20 02 01 00", answer(true));
    reads(Server, V3_1, "20 02 01 00", answer(false));
    reads(Server, V3_1, "20 02 fe 00", answer(false));
    let mut out = Vec::new();
    assert_eq!(answer(true).encode(&mut out), Ok(()));
    assert_eq!(out, bytes("20 02 01 00"));
}

/// Also MQTT-2.3.1-5.
#[test]
fn publish_at_each_qos() {
    golden(Client, "30 07 0003 'a/b' 'hi'", Packet::Publish(MESSAGE));
    let once = Publish { qos: QoS::AtLeastOnce, packet_id: Some(id(10)), ..MESSAGE };
    golden(Server, "32 09 0003 'a/b' 000a 'hi'", Packet::Publish(once));
    let exactly = Publish { qos: QoS::ExactlyOnce, packet_id: Some(id(0xfffe)), ..MESSAGE };
    golden(Client, "34 09 0003 'a/b' fffe 'hi'", Packet::Publish(exactly));
}

#[test]
fn publish_with_each_flag() {
    golden(Server, "31 07 0003 'a/b' 'hi'", Packet::Publish(Publish { retain: true, ..MESSAGE }));
    let again = Publish { dup: true, qos: QoS::AtLeastOnce, packet_id: Some(id(1)), ..MESSAGE };
    golden(Client, "3a 09 0003 'a/b' 0001 'hi'", Packet::Publish(again));
    golden(Client, "3b 09 0003 'a/b' 0001 'hi'", Packet::Publish(Publish { retain: true, ..again }));
}

#[test]
fn publish_without_a_payload() {
    golden(Client, "30 03 0001 'a'", Packet::Publish(Publish { topic: "a", payload: b"", ..MESSAGE }));
}

/// Also MQTT-1.5.3-3.
#[test]
fn a_byte_order_mark_is_a_character_of_the_topic() {
    let publish = Publish { topic: "\u{feff}a", payload: b"", ..MESSAGE };
    golden(Client, "30 06 0004 efbbbf 'a'", Packet::Publish(publish));
}

/// Also MQTT-2.2.2-1.
#[test]
fn every_acknowledgement() {
    golden(Client, "40 02 1234", Packet::PubAck(id(0x1234)));
    golden(Server, "40 02 0001", Packet::PubAck(id(1)));
    golden(Client, "50 02 1234", Packet::PubRec(id(0x1234)));
    golden(Client, "62 02 1234", Packet::PubRel(id(0x1234)));
    golden(Server, "70 02 ffff", Packet::PubComp(id(0xffff)));
    golden(Server, "b0 02 1234", Packet::UnsubAck(id(0x1234)));
}

#[test]
fn the_encoders_of_acknowledgements_write_what_the_packets_do() {
    let mut out = Vec::new();
    encode_puback(id(1), &mut out);
    encode_pubrec(id(2), &mut out);
    encode_pubrel(id(3), &mut out);
    encode_pubcomp(id(4), &mut out);
    encode_unsuback(id(5), &mut out);
    encode_pingreq(&mut out);
    encode_pingresp(&mut out);
    encode_disconnect(&mut out);
    assert_eq!(out, bytes("40020001 50020002 62020003 70020004 b0020005 c000 d000 e000"));
}

#[test]
fn subscribe_to_two_filters() {
    let filters = [("a/b", QoS::AtLeastOnce), ("c/#", QoS::ExactlyOnce)];
    let subscribe = Subscribe::new(id(10), &filters);
    golden(Client, "82 0e 000a 0003 'a/b' 01 0003 'c/#' 02", Packet::Subscribe(subscribe));
    let bytes = bytes("82 0e 000a 0003 'a/b' 01 0003 'c/#' 02");
    let Ok(Some((Packet::Subscribe(decoded), _))) = decoder(Client, None).decode(&bytes) else {
        panic!("no SUBSCRIBE");
    };
    assert_eq!(decoded.filters().collect::<Vec<_>>(), filters);
    assert_eq!(
        format!("{decoded:?}"),
        r#"Subscribe { packet_id: PacketId(10), filters: [("a/b", AtLeastOnce), ("c/#", ExactlyOnce)] }"#
    );
}

/// Also MQTT-3.1-6.
#[test]
fn subscribe_of_3_1_may_be_marked_as_sent_again() {
    let subscribe = Packet::Subscribe(Subscribe::new(id(1), &[("a", QoS::AtMostOnce)]));
    reads(Client, V3_1, "8a 06 0001 0001 'a' 00", subscribe);
    reads(Client, V3_1, "aa 05 0001 0001 'a'", Packet::Unsubscribe(Unsubscribe::new(id(1), &["a"])));
    reads(Client, V3_1, "6a 02 0001", Packet::PubRel(id(1)));
    reads(Server, V3_1, "6a 02 0001", Packet::PubRel(id(1)));
    for level in [None, Some(V3_1_1)] {
        for first_byte in ["8a", "aa", "6a"] {
            refuses_at(level, Client, first_byte, E::ReservedFlags);
        }
    }
    for first_byte in ["88", "8b", "4a", "c8"] {
        refuses_at(Some(V3_1), Client, first_byte, E::ReservedFlags);
    }
}

#[test]
fn packets_with_equal_filters_are_equal() {
    let bytes = bytes("82 06 0001 0001 'a' 01");
    let Ok(Some((decoded, _))) = decoder(Client, None).decode(&bytes) else { panic!("no SUBSCRIBE") };
    let made = |number, filters| Packet::Subscribe(Subscribe::new(id(number), filters));
    assert_eq!(decoded, made(1, &[("a", QoS::AtLeastOnce)]));
    assert_ne!(decoded, made(2, &[("a", QoS::AtLeastOnce)]));
    assert_ne!(decoded, made(1, &[("a", QoS::AtMostOnce)]));
    assert_ne!(decoded, made(1, &[("a", QoS::AtLeastOnce), ("b", QoS::AtLeastOnce)]));

    let made = |number, filters| Unsubscribe::new(id(number), filters);
    assert_eq!(made(1, &["a"]), made(1, &["a"]));
    assert_ne!(made(1, &["a"]), made(2, &["a"]));
    assert_ne!(made(1, &["a"]), made(1, &["b"]));
}

/// Also MQTT-2.2.2-1.
#[test]
fn suback_with_every_code() {
    let suback = SubAck { packet_id: id(10), codes: &[0, 1, 2, 0x80] };
    golden(Server, "90 06 000a 00 01 02 80", Packet::SubAck(suback));
    let results: Vec<_> = suback.results().collect();
    assert_eq!(
        results,
        [
            SubAckCode::Granted(QoS::AtMostOnce),
            SubAckCode::Granted(QoS::AtLeastOnce),
            SubAckCode::Granted(QoS::ExactlyOnce),
            SubAckCode::Refused,
        ]
    );
    assert_eq!(results.into_iter().map(SubAckCode::byte).collect::<Vec<_>>(), suback.codes);
}

#[test]
fn unsubscribe_from_two_filters() {
    let unsubscribe = Unsubscribe::new(id(10), &["a/b", "c/d"]);
    golden(Client, "a2 0c 000a 0003 'a/b' 0003 'c/d'", Packet::Unsubscribe(unsubscribe));
    let bytes = bytes("a2 0c 000a 0003 'a/b' 0003 'c/d'");
    let Ok(Some((Packet::Unsubscribe(decoded), _))) = decoder(Client, None).decode(&bytes) else {
        panic!("no UNSUBSCRIBE");
    };
    assert_eq!(decoded.filters().collect::<Vec<_>>(), ["a/b", "c/d"]);
    let shown = format!("{decoded:?}");
    assert_eq!(shown, r#"Unsubscribe { packet_id: PacketId(10), filters: ["a/b", "c/d"] }"#);
}

/// Also MQTT-2.2.2-1.
#[test]
fn packets_that_are_nothing_but_their_header() {
    golden(Client, "c0 00", Packet::PingReq);
    golden(Server, "d0 00", Packet::PingResp);
    golden(Client, "e0 00", Packet::Disconnect);
}

#[test]
fn the_remaining_length_takes_as_many_bytes_as_it_needs() {
    // The values of table 2.4, each with what the header before so many bytes is.
    for (remaining, header) in [
        (0x7f, "30 7f"),
        (0x80, "30 8001"),
        (0x3fff, "30 ff7f"),
        (0x4000, "30 808001"),
        (0x1f_ffff, "30 ffff7f"),
        (0x20_0000, "30 80808001"),
    ] {
        let payload = vec![0x5a; remaining - 3];
        let publish = Publish { topic: "a", payload: &payload, ..MESSAGE };
        let mut out = Vec::new();
        publish.encode(&mut out).unwrap();
        let header = bytes(header);
        assert_eq!(out[..header.len()], header);
        assert_eq!(out.len(), header.len() + remaining);
        let decoder = Decoder::new(Side::Server, usize::MAX);
        assert_eq!(decoder.decode(&out), Ok(Some((Packet::Publish(publish), out.len()))));
    }
}

#[test]
fn a_remaining_length_with_surplus_bytes_is_read() {
    // Only MQTT 5 forbids it.
    reads(Client, V3_1_1, "40 82808000 1234", Packet::PubAck(id(0x1234)));
}

#[test]
fn the_frame_is_known_from_the_header() {
    let decoder = Decoder::new(Client, 300);
    assert_eq!(decoder.frame(&[]), Ok(None));
    assert_eq!(decoder.frame(&bytes("33")), Ok(None));
    assert_eq!(decoder.frame(&bytes("33 a7")), Ok(None));
    let frame = Frame { packet_type: PacketType::Publish, flags: 3, header_bytes: 3, remaining_bytes: 0x127 };
    assert_eq!(decoder.frame(&bytes("33 a702")), Ok(Some(frame)));
    assert_eq!(frame.packet_bytes(), 298);
}

#[test]
fn the_head_of_a_publish_is_all_of_it_but_the_payload() {
    let payload = [0x5a; 200];
    let publish = Publish { qos: QoS::AtLeastOnce, packet_id: Some(id(7)), payload: &payload, ..MESSAGE };
    let (mut head, mut whole) = (Vec::new(), Vec::new());
    publish.encode_head(&mut head).unwrap();
    publish.encode(&mut whole).unwrap();
    assert_eq!([&head, &payload[..]].concat(), whole);
}

#[test]
fn a_publish_is_encoded_with_one_reservation_of_its_size() {
    let payload = [0x5a; 200];
    let mut out = Vec::new();
    Publish { payload: &payload, ..MESSAGE }.encode(&mut out).unwrap();
    // Five bytes are reserved for the header, whatever it takes.
    assert!((out.len()..out.len() + 5).contains(&out.capacity()), "{} bytes", out.capacity());
}

/// Also MQTT-4.7.3-3.
#[test]
fn the_longest_string_is_written_and_read() {
    let client_id = "x".repeat(65_535);
    let connect = Packet::Connect(Connect { client_id: &client_id, ..PLAIN });
    let mut out = Vec::new();
    connect.encode(&mut out).unwrap();
    assert_eq!(decoder(Client, None).decode(&out), Ok(Some((connect, out.len()))));
}

#[test]
fn a_decoded_publish_lies_in_the_input() {
    // Packets are Copy, so they own no memory; and what they borrow is the input's.
    const fn owns_nothing<T: Copy>() {}
    const { owns_nothing::<Packet<'_>>() };

    let payload = [0x5a; 190];
    let mut input = Vec::new();
    Publish { payload: &payload, ..MESSAGE }.encode(&mut input).unwrap();
    let Ok(Some((Packet::Publish(decoded), _))) = decoder(Client, None).decode(&input) else {
        panic!("no PUBLISH");
    };
    assert_eq!(decoded.topic.as_ptr(), input[5..].as_ptr());
    assert_eq!(decoded.payload.as_ptr(), input[8..].as_ptr());
}

#[test]
fn packet_identifiers_go_round_without_zero() {
    assert_eq!(PacketId::new(0), None);
    assert_eq!(PacketId::MIN.get(), 1);
    assert_eq!(id(1).successor(), id(2));
    assert_eq!(id(65_535).successor(), id(1));
}
