//! A packet for every broken rule, refused by the decoder or the encoder.

use super::*;

#[test]
fn a_bad_first_byte_is_refused_alone() {
    for side in [Client, Server] {
        refuses(side, "00", E::ReservedPacketType);
        refuses(side, "ff", E::ReservedPacketType);
        refuses(side, "36", E::PublishQos);
        refuses(side, "38", E::DupAtQos0);
        refuses(side, "41", E::ReservedFlags);
        refuses(side, "60", E::ReservedFlags);
    }
    for first_byte in ["1f", "80", "83", "a0", "c1", "e4"] {
        refuses(Client, first_byte, E::ReservedFlags);
    }
    for first_byte in ["20", "90", "b0", "d0"] {
        refuses(Client, first_byte, E::WrongDirection);
    }
    for first_byte in ["10", "82", "a2", "c0", "e0"] {
        refuses(Server, first_byte, E::WrongDirection);
    }
}

#[test]
fn a_bad_remaining_length_is_refused_without_the_body() {
    refuses(Client, "30 ffffffff", E::RemainingLengthTooLong);
    refuses(Client, "30 80808080", E::RemainingLengthTooLong);
    refuses(Client, "40 03", E::WrongLength);
    refuses(Client, "62 01", E::WrongLength);
    refuses(Client, "c0 01", E::WrongLength);
    refuses(Client, "e0 02", E::WrongLength);
    refuses(Server, "20 00", E::WrongLength);
    refuses(Server, "b0 03", E::WrongLength);
    // A gigabyte is not announced before the largest packet there is: 256 MiB.
    refuses(Client, "30 ffffff7f", E::TooLarge);
    refuses(Client, "10 ffffff7f", E::TooLarge);
}

#[test]
fn the_limit_counts_the_whole_packet() {
    let input = bytes("30 07 0003 'a/b' 'hi'");
    assert!(Decoder::new(Client, 9).decode(&input).unwrap().is_some());
    assert_eq!(Decoder::new(Client, 8).decode(&input[..2]), Err(E::TooLarge));
    assert_eq!(Decoder::new(Client, 0).decode(&input[..1]), Ok(None));
}

#[test]
fn an_unknown_protocol_name_differs_from_an_unknown_level() {
    refuses(Client, "10 0d 0004 'MQTX' 04 02 003c 0001 'a'", E::UnknownProtocolName);
    refuses(Client, "10 0d 0004 'mqtt' 04 02 003c 0001 'a'", E::UnknownProtocolName);
    refuses(Client, "10 08 0000 04 02 003c 0000", E::UnknownProtocolName);
    refuses(Client, "10 0d 0004 'MQTT' 03 02 003c 0001 'a'", E::UnacceptableProtocolLevel);
    refuses(Client, "10 0f 0006 'MQIsdp' 04 02 003c 0001 'a'", E::UnacceptableProtocolLevel);
    // MQTT 5 has properties after the keep alive, and mosquitto's bridges mark the level: both are answered.
    refuses(Client, "10 0e 0004 'MQTT' 05 02 003c 00 0001 'a'", E::UnacceptableProtocolLevel);
    refuses(Client, "10 0d 0004 'MQTT' 84 02 003c 0001 'a'", E::UnacceptableProtocolLevel);
    refuses(Client, "10 07 0004 'MQTT' 06", E::UnacceptableProtocolLevel);
}

#[test]
fn connect_with_flags_that_contradict_each_other_is_refused() {
    refuses(Client, "10 0d 0004 'MQTT' 04 03 003c 0001 'a'", E::ReservedConnectFlag);
    refuses(Client, "10 0d 0004 'MQTT' 04 0a 003c 0001 'a'", E::WillFlagsWithoutWill);
    refuses(Client, "10 0d 0004 'MQTT' 04 22 003c 0001 'a'", E::WillFlagsWithoutWill);
    refuses(Client, "10 12 0004 'MQTT' 04 1e 003c 0001 'a' 0001 'w' 0000", E::WillQos);
    refuses(Client, "10 14 0006 'MQIsdp' 03 1e 003c 0001 'a' 0001 'w' 0000", E::WillQos);
    refuses(Client, "10 10 0004 'MQTT' 04 42 003c 0001 'a' 0001 'p'", E::PasswordWithoutUserName);
    refuses(Client, "10 12 0006 'MQIsdp' 03 42 003c 0001 'a' 0001 'p'", E::PasswordWithoutUserName);
}

#[test]
fn connect_with_bad_fields_is_refused() {
    refuses(Client, "10 00", E::Truncated);
    refuses(Client, "10 0a 0004 'MQTT' 04 02 003c", E::Truncated);
    refuses(Client, "10 0d 0004 'MQTT' 04 02 003c 0002 'a'", E::Truncated);
    refuses(Client, "10 0e 0004 'MQTT' 04 02 003c 0001 'a' 00", E::TrailingBytes);
    refuses(Client, "10 10 0006 'MQIsdp' 03 02 003c 0001 'a' 00", E::TrailingBytes);
    refuses(Client, "10 0d 0004 'MQTT' 04 02 003c 0001 ff", E::NotUtf8);
    refuses(Client, "10 0d 0004 'MQTT' 04 02 003c 0001 00", E::NullCharacter);
    refuses(Client, "10 10 0004 'MQTT' 04 82 003c 0001 'a' 0001 00", E::NullCharacter);
    refuses(Client, "10 11 0004 'MQTT' 04 06 003c 0001 'a' 0000 0000", E::EmptyTopic);
    refuses(Client, "10 12 0004 'MQTT' 04 06 003c 0001 'a' 0001 '#' 0000", E::WildcardInTopicName);
}

#[test]
fn connack_with_reserved_values_is_refused() {
    for level in [None, Some(V3_1_1)] {
        refuses_at(level, Server, "20 02 02 00", E::ReservedConnAckFlags);
        refuses_at(level, Server, "20 02 01 05", E::SessionPresentOnRefusal);
    }
    refuses(Server, "20 02 00 06", E::ReservedConnectCode);
}

#[test]
fn publish_with_bad_fields_is_refused() {
    refuses(Client, "30 00", E::Truncated);
    refuses(Client, "30 04 0003 'ab'", E::Truncated);
    refuses(Client, "32 04 0001 'a' 00", E::Truncated);
    refuses(Client, "30 02 0000", E::EmptyTopic);
    refuses(Client, "30 05 0003 'a/+'", E::WildcardInTopicName);
    refuses(Client, "30 05 0003 'a/#'", E::WildcardInTopicName);
    refuses(Client, "30 04 0002 '++'", E::WildcardInTopicName);
    refuses(Client, "30 03 0001 00", E::NullCharacter);
    refuses(Client, "32 05 0001 'a' 0000", E::ZeroPacketId);
}

#[test]
fn a_topic_in_no_utf8_is_refused() {
    refuses(Client, "30 03 0001 80", E::NotUtf8);
    refuses(Client, "30 04 0002 c080", E::NotUtf8); // U+0000 as Java writes it
    refuses(Client, "30 05 0003 eda080", E::NotUtf8); // a surrogate
    refuses(Client, "30 06 0004 f4908080", E::NotUtf8); // above U+10FFFF
}

/// Also MQTT-2.3.1-1.
#[test]
fn acknowledgements_of_identifier_zero_are_refused() {
    for first_byte in ["40", "50", "62", "70"] {
        refuses(Client, &format!("{first_byte} 02 0000"), E::ZeroPacketId);
    }
    refuses(Server, "b0 02 0000", E::ZeroPacketId);
    refuses(Server, "90 03 0000 00", E::ZeroPacketId);
}

#[test]
fn subscribe_with_bad_fields_is_refused() {
    refuses(Client, "82 02 0001", E::NoTopicFilters);
    refuses(Client, "82 06 0000 0001 'a' 00", E::ZeroPacketId);
    refuses(Client, "82 05 0001 0000 00", E::EmptyTopic);
    refuses(Client, "82 06 0001 0001 'a' 03", E::SubscribeQos);
    refuses(Client, "82 06 0001 0001 'a' 04", E::SubscribeQos);
    refuses(Client, "82 05 0001 0001 'a'", E::Truncated);
    refuses(Client, "82 0a 0001 0001 'a' 00 0003 'b' 00", E::Truncated);
    refuses(Client, "82 06 0001 0001 00 00", E::NullCharacter);
    refuses(Client, "82 06 0001 0001 ff 00", E::NotUtf8);
}

#[test]
fn unsubscribe_with_bad_fields_is_refused() {
    refuses(Client, "a2 02 0001", E::NoTopicFilters);
    refuses(Client, "a2 05 0000 0001 'a'", E::ZeroPacketId);
    refuses(Client, "a2 04 0001 0000", E::EmptyTopic);
    refuses(Client, "a2 05 0001 0002 'a'", E::Truncated);
}

/// Also MQTT-3.9.3-2.
#[test]
fn suback_with_bad_codes_is_refused() {
    refuses(Server, "90 02 0001", E::NoSubAckCodes);
    refuses(Server, "90 03 0001 03", E::ReservedSubAckCode);
    refuses(Server, "90 04 0001 00 81", E::ReservedSubAckCode);
}

/// Nothing is written of what cannot be written.
#[track_caller]
fn unwritable(packet: Packet<'_>, error: PacketError) {
    let mut out = vec![0xaa];
    assert_eq!(packet.encode(&mut out), Err(error));
    assert_eq!(out, [0xaa]);
}

#[test]
fn a_connect_that_has_no_bytes_is_refused_by_the_encoder() {
    let long = "x".repeat(65_536);
    let connect = |connect: Connect<'_>, error| unwritable(Packet::Connect(connect), error);
    connect(Connect { client_id: &long, ..PLAIN }, E::StringTooLong);
    connect(Connect { client_id: "a\0", ..PLAIN }, E::NullCharacter);
    connect(Connect { user_name: Some(&long), ..PLAIN }, E::StringTooLong);
    connect(Connect { user_name: Some("u"), password: Some(long.as_bytes()), ..PLAIN }, E::StringTooLong);
    connect(Connect { password: Some(b"p"), ..PLAIN }, E::PasswordWithoutUserName);
    let will = FULL.will.unwrap();
    connect(Connect { will: Some(Will { topic: "a/+", ..will }), ..PLAIN }, E::WildcardInTopicName);
    connect(Connect { will: Some(Will { topic: "", ..will }), ..PLAIN }, E::EmptyTopic);
    connect(Connect { will: Some(Will { payload: long.as_bytes(), ..will }), ..PLAIN }, E::StringTooLong);
}

#[test]
fn a_publish_that_has_no_bytes_is_refused_by_the_encoder() {
    let long = "x".repeat(65_536);
    let publish = |publish: Publish<'_>, error| unwritable(Packet::Publish(publish), error);
    publish(Publish { topic: "", ..MESSAGE }, E::EmptyTopic);
    publish(Publish { topic: "+", ..MESSAGE }, E::WildcardInTopicName);
    publish(Publish { topic: "a\0", ..MESSAGE }, E::NullCharacter);
    publish(Publish { topic: &long, ..MESSAGE }, E::StringTooLong);
    publish(Publish { dup: true, ..MESSAGE }, E::DupAtQos0);
    publish(Publish { packet_id: Some(id(1)), ..MESSAGE }, E::PacketIdAgainstQos);
    publish(Publish { qos: QoS::AtLeastOnce, ..MESSAGE }, E::PacketIdAgainstQos);
    let largest = vec![0; 268_435_455 - 2];
    publish(Publish { topic: "a", payload: &largest, ..MESSAGE }, E::PacketTooLong);
}

#[test]
fn the_largest_packet_there_is_can_be_announced() {
    let payload = vec![0; 268_435_455 - 3];
    let mut head = Vec::new();
    Publish { topic: "a", payload: &payload, ..MESSAGE }.encode_head(&mut head).unwrap();
    assert_eq!(head, bytes("30 ffffff7f 0001 'a'"));
    let frame = Decoder::new(Client, usize::MAX).frame(&head).unwrap().unwrap();
    assert_eq!(frame.packet_bytes(), thng_pubsub_protocol::mqtt::PACKET_BYTES_MAX);
}

#[test]
fn lists_that_have_no_bytes_are_refused_by_the_encoder() {
    let long = "x".repeat(65_536);
    unwritable(Packet::Subscribe(Subscribe::new(id(1), &[])), E::NoTopicFilters);
    unwritable(Packet::Subscribe(Subscribe::new(id(1), &[("", QoS::AtMostOnce)])), E::EmptyTopic);
    unwritable(Packet::Subscribe(Subscribe::new(id(1), &[(&long, QoS::AtMostOnce)])), E::StringTooLong);
    unwritable(Packet::Unsubscribe(Unsubscribe::new(id(1), &[])), E::NoTopicFilters);
    unwritable(Packet::Unsubscribe(Unsubscribe::new(id(1), &["a", "\0"])), E::NullCharacter);
    unwritable(Packet::SubAck(SubAck { packet_id: id(1), codes: &[] }), E::NoSubAckCodes);
    unwritable(Packet::SubAck(SubAck { packet_id: id(1), codes: &[3] }), E::ReservedSubAckCode);
    let refused = ConnAck { session_present: true, code: ConnectCode::NotAuthorised };
    unwritable(Packet::ConnAck(refused), E::SessionPresentOnRefusal);
}

#[test]
fn an_error_is_a_sentence_with_its_rule() {
    assert_eq!(E::ZeroPacketId.to_string(), "the packet identifier is 0 [MQTT-2.3.1-1]");
    let error: &dyn std::error::Error = &E::Truncated;
    assert_eq!(error.to_string(), E::Truncated.reason());
}
