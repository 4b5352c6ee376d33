//! CONNECT against the standard: every combination of its flags, every protocol level, its strings, its client ids,
//! and what an answer to it says. The statements are listed in `docs/mqtt-conformance.md`.
//!
//! MQTT-3.1.2-7: Not ours: there are no retained messages, neither in a session nor outside.
//! MQTT-3.1.2-23: Not ours: the client sends PINGREQ in time.

use serde_json::json;
use thng_pubsub_protocol::mqtt::{ConnectCode, Packet, ProtocolLevel, QoS};
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill, Received, encoded, publish};
use thng_pubsub_tests::{KEY, Server};

const RESERVED: u8 = 0x01;
const CLEAN: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_FLAGS: u8 = 0x38;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// A field behind its length.
fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("it is short");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A CONNECT of any name, level, flags and fields.
fn connect(name: &str, level: u8, flags: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields = fields.iter().flat_map(|bytes| field(bytes));
    let body: Vec<u8> =
        field(name.as_bytes()).into_iter().chain([level, flags, 0, 60]).chain(fields).collect();
    let mut packet = vec![0x10];
    let mut left = body.len();
    while left > 127 {
        packet.push(u8::try_from(left % 128).expect("seven bits") | 0x80);
        left /= 128;
    }
    packet.push(u8::try_from(left).expect("seven bits"));
    packet.extend(body);
    packet
}

/// What the server says to a CONNECT before it closes, or before the client says goodbye.
#[track_caller]
fn answer(connect: &[u8]) -> Vec<u8> {
    let goodbye = encoded(&Packet::Disconnect);
    Raw::connect(Server::shared().mqtt()).with(&[connect, &goodbye].concat()).until_closed()
}

/// The code that a CONNECT with these flags is answered with; `None` where the flags contradict each other.
fn code_for(flags: u8, level: u8) -> Option<u8> {
    let has = |flag| flags & flag != 0;
    let strict = level == 4;
    if (strict && has(RESERVED))
        || (has(PASSWORD) && !has(USER_NAME))
        || (has(WILL) && flags & 0x18 == 0x18)
        || (strict && !has(WILL) && has(WILL_FLAGS))
    {
        return None;
    }
    match (has(USER_NAME), has(PASSWORD), has(WILL)) {
        // A user name alone is no key, and a will needs one.
        (true, false, _) | (false, false, true) => Some(5),
        _ => Some(0),
    }
}

/// MQTT-3.1.2-3: The reserved flag ends the connection; in MQTT 3.1 it is ignored.
/// MQTT-3.1.2-9: With the will flag, topic and message are required.
/// MQTT-3.1.2-11: Without the will flag, its QoS and retain flags and its fields end the connection; in MQTT 3.1 the
/// flags are ignored.
/// MQTT-3.1.2-13: A will QoS without a will ends the connection.
/// MQTT-3.1.2-14: Will QoS 3 ends the connection.
/// MQTT-3.1.2-15: Will retain without a will ends the connection.
/// MQTT-3.1.2-18: A user name that the flags do not announce ends the connection.
/// MQTT-3.1.2-19: A user name that the flags announce and that is missing ends the connection; in MQTT 3.1 the end of
/// the packet overrides the flag.
/// MQTT-3.1.2-20: A password that the flags do not announce ends the connection.
/// MQTT-3.1.2-21: A password that the flags announce and that is missing ends the connection.
/// MQTT-3.1.2-22: A password without a user name ends the connection, in MQTT 3.1 too.
/// MQTT-3.1.3-1: The fields of the payload are read in the order of the standard.
/// MQTT-3.1.4-1: A CONNECT that breaks a rule ends the connection without a CONNACK.
/// MQTT-3.1-4: The reserved flag is ignored, and so are the flags of a missing will.
#[test]
fn contradictory_connect_flags_close_without_an_answer() {
    let topic = format!("/thngs/{}/properties/k", Server::shared().rest().thng());
    for (name, level) in [("MQTT", 4), ("MQIsdp", 3)] {
        for flags in 0..=u8::MAX {
            let mut fields: Vec<&[u8]> = vec![b"flags"];
            if flags & WILL != 0 {
                fields.extend([topic.as_bytes(), b"1"]);
            }
            for (flag, value) in [(USER_NAME, "authorization"), (PASSWORD, KEY)] {
                fields.extend(Some(value.as_bytes()).filter(|_| flags & flag != 0));
            }
            let code = code_for(flags, level);
            let answered = answer(&connect(name, level, flags, &fields));
            // Whether a session is present is not the question here.
            let of_code = |answer: &[u8]| match *answer {
                [] => None,
                [0x20, 2, 0 | 1, code] => Some(code),
                _ => panic!("{name} {flags:08b}: {answer:02x?} is no CONNACK"),
            };
            assert_eq!(of_code(&answered), code, "{name} {flags:08b}");

            let with_one_more = [&fields[..], &[b"more"]].concat();
            assert_eq!(
                answer(&connect(name, level, flags, &with_one_more)),
                b"",
                "{name} {flags:08b} and more"
            );
            // MQTT 3.1 lets the login be missing although its flags are set, but nothing else.
            let may_end_early = level == 3 && flags & (USER_NAME | PASSWORD) != 0;
            if !may_end_early {
                let with_one_less = connect(name, level, flags, &fields[..fields.len() - 1]);
                assert_eq!(answer(&with_one_less), b"", "{name} {flags:08b} and one field less");
            }
        }
    }
}

/// MQTT-3.1.2-1: A protocol name other than MQTT's ends the connection without an answer.
/// MQTT-3.1.2-2: A level that does not belong to the protocol name gets CONNACK 1, and the connection ends.
/// MQTT-3.1-1: The protocol name is `MQIsdp`, and the level 3.
///
/// Also MQTT-3.2.2-6.
#[test]
fn each_protocol_name_has_one_level_and_others_get_code_1() {
    let fields = [&b"level"[..], b"authorization", KEY.as_bytes()];
    let flags = CLEAN | USER_NAME | PASSWORD;
    for (name, served) in [("MQTT", 4), ("MQIsdp", 3)] {
        for level in 0..=u8::MAX {
            let expected = if level == served { [0x20, 2, 0, 0] } else { [0x20, 2, 0, 1] };
            assert_eq!(answer(&connect(name, level, flags, &fields)), expected, "{name} {level}");
        }
    }
    for name in ["", "M", "MQT", "mqtt", "Mqtt", "MQTT ", "MQTT5", "MQTT\u{feff}", "mqisdp", "MQIsd", "HTTP"]
    {
        for level in [3, 4] {
            assert_eq!(answer(&connect(name, level, flags, &fields)), b"", "{name:?} is no MQTT");
        }
    }
}

/// MQTT-3.1-5: The user name or the password may be missing although its flag is set.
///
/// Also MQTT-3.1.2-19, MQTT-3.1.2-21.
#[test]
fn in_mqtt_3_1_a_login_that_is_announced_may_be_missing() {
    for flags in [CLEAN | USER_NAME, CLEAN | USER_NAME | PASSWORD] {
        let anonymous = connect("MQIsdp", 3, flags, &[b"no login"]);
        assert_eq!(answer(&anonymous), [0x20, 2, 0, 0], "{flags:08b}");
    }
    let without_password = connect("MQIsdp", 3, CLEAN | USER_NAME | PASSWORD, &[b"half", b"authorization"]);
    assert_eq!(answer(&without_password), [0x20, 2, 0, 5], "a user name alone is no key");
}

/// MQTT-3.1.3-8: An empty client id without a clean session gets CONNACK 2, and the connection ends.
/// MQTT-3.1.3-9: A rejected client id gets CONNACK 2, and the connection ends; only an empty one is ever rejected.
/// MQTT-3.2.2-4: With a return code other than 0, session present is 0.
/// MQTT-3.2.2-5: After a return code other than 0 the connection is closed.
#[test]
fn a_refusing_connack_has_no_session_and_is_the_last_packet() {
    let named = Hello::with_key(KEY).named("refused");
    let will = LastWill { topic: "/nothing".to_owned(), payload: "1".to_owned(), qos: QoS::AtMostOnce };
    let wrong_key = Hello { password: Some(b"wrong".to_vec()), ..named.clone() };
    let ping = encoded(&Packet::PingReq);
    for clean_session in [true, false] {
        for (connect, code) in [
            (connect("MQTT", 5, u8::from(clean_session) * CLEAN, &[b"level"]), 1),
            (Hello { client_id: String::new(), ..named.clone().in_3_1() }.bytes(), 2),
            (Hello { client_id: String::new(), clean_session: false, ..named.clone() }.bytes(), 2),
            (Hello { clean_session, ..wrong_key.clone() }.bytes(), 5),
            (Hello { clean_session, user_name: Some("admin".to_owned()), ..named.clone() }.bytes(), 5),
            (Hello { clean_session, will: Some(will.clone()), ..named.clone() }.bytes(), 5),
        ] {
            let sent = [connect, ping.clone()].concat();
            let answered = Raw::connect(Server::shared().mqtt()).with(&sent).until_closed();
            assert_eq!(answered, [0x20, 2, 0, code], "for {sent:02x?}");
        }
    }
}

/// MQTT-3.1.4-5: The server reads nothing behind a rejected CONNECT.
#[test]
fn nothing_that_follows_a_connect_that_was_refused_is_done() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let with_token = format!("{topic}?access_token={KEY}");
    let behind = encoded(&Packet::Publish(publish(&with_token, "\"behind\"", QoS::AtMostOnce, None)));
    let hello = Hello::with_key(KEY).named("refused");
    for (what, connect) in [
        ("a wrong key", Hello::with_key("wrong").bytes()),
        ("an empty client id", Hello { client_id: String::new(), ..hello.clone().in_3_1() }.bytes()),
        ("another level", connect("MQTT", 5, CLEAN, &[b"level"])),
        ("another protocol", connect("AMQP", 4, CLEAN, &[b"name"])),
        ("a reserved flag", connect("MQTT", 4, CLEAN | RESERVED, &[b"flag"])),
    ] {
        Raw::connect(server.mqtt()).with(&[connect, behind.clone()].concat()).until_closed();
        assert_eq!(rest.get(&topic).expect(200), json!([]), "behind {what}");
    }
    // The same bytes behind a CONNECT that is accepted are written.
    Raw::connect(server.mqtt())
        .with(&[hello.bytes(), behind, encoded(&Packet::Disconnect)].concat())
        .until_closed();
    let mut later = Client::connect(server);
    later.publish_acknowledged(&topic, "\"later\"");
    let history = rest.get(&topic).expect(200);
    let values: Vec<_> = history.as_array().expect("a list").iter().map(|entry| &entry["value"]).collect();
    assert_eq!(values, ["later", "behind"]);
}

/// MQTT-3.1.3-2: Key and client id together identify the client and its session.
/// MQTT-3.1.3-5: A client id of 1 to 23 letters and digits is accepted, as is any other text that fits into a
/// CONNECT.
/// MQTT-3.1-3: **Differs on purpose:** a client id of more than 23 characters is accepted, as clients in the field
/// send them.
#[test]
fn client_ids_are_compared_bytewise_and_any_text_is_accepted() {
    let server = Server::shared();
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let longest = "ü".repeat(4_000);
    let ids = [
        // What the standard wants to be taken: 1 to 23 of its 62 characters.
        &all[..23],
        &all[23..46],
        &all[39..],
        "0",
        "Z",
        // And what it leaves open: other text, of any length, where look-alikes are different clients.
        "z",
        "0 ",
        " 0",
        "\u{feff}0",
        "0\u{200b}",
        "\u{e9}",
        "e\u{301}",
        "/",
        "#",
        "$SYS",
        "\u{1}",
        "\u{7f}",
        "\u{ffff}",
        "\u{10ffff}",
        &longest,
    ];
    for hello in [Hello::with_key(KEY), Hello::with_key(KEY).in_3_1()] {
        let mut clients: Vec<_> =
            ids.iter().map(|id| Client::connect_as(server, &hello.clone().named(id))).collect();
        clients.iter_mut().for_each(Client::ping);
        for (id, first) in ids.iter().zip(&mut clients) {
            let _second = Client::connect_as(server, &hello.clone().named(id));
            first.assert_closed_after(&format!("a take-over of {id:?}"));
        }
    }
}

/// Bytes that are no UTF-8, or that MQTT does not allow in it.
const NO_STRINGS: [&[u8]; 16] = [
    b"\x00",
    b"a\x00b",
    b"\x80",
    b"\xbf\xbf",
    b"\xc0\x80",
    b"\xc0\xaf",
    b"\xc3",
    b"\xc3\x28",
    b"\xe0\x80\xaf",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\xbd\xed\xb2\xa9",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe\xff",
];

/// MQTT-1.5.3-1: A string that is not well-formed UTF-8, surrogates included, ends the connection.
/// MQTT-1.5.3-2: A string with U+0000 ends the connection.
/// MQTT-3.1.3-4: A client id that is not UTF-8 ends the connection.
/// MQTT-3.1.3-10: A will topic that is not UTF-8 ends the connection.
/// MQTT-3.1.3-11: A user name that is not UTF-8 ends the connection.
/// MQTT-3.3.2-1: A topic name that is not UTF-8 ends the connection.
/// MQTT-3.8.3-1: A filter that is not UTF-8 ends the connection.
/// MQTT-3.10.3-1: A filter in an UNSUBSCRIBE that is not UTF-8 ends the connection.
/// MQTT-4.7.3-2: A topic name or filter with U+0000 ends the connection.
#[test]
fn invalid_utf_8_or_a_null_ends_the_connection() {
    let server = Server::shared();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let (topic, key) = (topic.as_bytes(), KEY.as_bytes());
    let login = CLEAN | USER_NAME | PASSWORD;
    for no_string in NO_STRINGS {
        for (name, level) in [("MQTT", 4), ("MQIsdp", 3)] {
            for (place, flags, fields) in [
                ("client id", CLEAN, &[no_string][..]),
                ("will topic", login | WILL, &[b"id", no_string, b"1", b"authorization", key]),
                ("user name", login, &[b"id", no_string, key]),
            ] {
                assert_eq!(answer(&connect(name, level, flags, fields)), b"", "{no_string:02x?} as {place}");
            }
            // These two are bytes, not strings: they are judged, not malformed.
            for (place, flags, fields) in [
                ("will message", login | WILL, &[b"id", topic, no_string, b"authorization", key][..]),
                ("password", login, &[b"id", b"authorization", no_string]),
            ] {
                let answered = answer(&connect(name, level, flags, fields));
                assert_eq!(answered, [0x20, 2, 0, 5], "{no_string:02x?} as {place}");
            }
        }
        let text = field(no_string);
        for (first_byte, body) in [
            (0x30, text.clone()),
            (0x82, [&[0, 1], &text[..], &[0]].concat()),
            (0xa2, [&[0, 1], &text[..]].concat()),
        ] {
            let mut client = Client::connect(server);
            client.send_bytes(&[&[first_byte, u8::try_from(body.len()).expect("short")], &body[..]].concat());
            client.assert_closed_after(&format!("{no_string:02x?} in {first_byte:02x}"));
        }
    }
}

/// MQTT-1.5.3-3: A byte order mark is a character of its string and is never removed.
///
/// Also MQTT-4.7.3-4.
#[test]
fn a_byte_order_mark_is_a_character_and_is_never_skipped() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = format!("/thngs/{}/properties/k", rest.thng());
    let mut client = Client::connect(server);
    for marked in [format!("\u{feff}{path}"), format!("{path}\u{feff}"), path.replace("/k", "/\u{feff}k")] {
        assert_ne!(client.subscribe(&marked, QoS::AtMostOnce).byte(), 0, "{marked:?}");
        client.publish(&marked, "\"marked\"");
    }
    client.subscribed(&path, QoS::AtMostOnce);
    client.publish_acknowledged(&path, "\"\u{feff}\"");
    assert_eq!(client.message().value(), "\u{feff}", "nor in a payload");
    assert_eq!(rest.get(&path).expect(200).as_array().map(Vec::len), Some(1));

    let user_name = Hello { user_name: Some("\u{feff}authorization".to_owned()), ..Hello::with_key(KEY) };
    let (_, code) = Client::greeted(Raw::connect(server.mqtt()), &user_name);
    assert_eq!(code, ConnectCode::NotAuthorised);
}

/// MQTT-3.1.4-4: An accepted CONNECT gets CONNACK 0.
/// MQTT-3.2.0-1: CONNACK is the first packet from the server.
/// MQTT-3.2.2-1: With a clean session, session present is 0.
///
/// Also MQTT-3.1-7.
#[test]
fn a_connack_comes_before_anything_else_that_the_server_sends() {
    let server = Server::shared();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut busy = Client::connect(server);
    busy.publish_acknowledged(&topic, "0");
    let filters = [(&*topic, QoS::AtLeastOnce)];
    let subscribe = thng_pubsub_protocol::mqtt::Subscribe::new(busy.packet_id(), &filters);
    for level in [ProtocolLevel::V3_1_1, ProtocolLevel::V3_1] {
        let mut bytes = Hello { level, ..Hello::with_key(KEY).named("in a hurry") }.bytes();
        bytes.extend(encoded(&Packet::PingReq));
        bytes.extend(encoded(&Packet::Subscribe(subscribe)));
        bytes.extend(encoded(&Packet::Publish(publish(&topic, "1", QoS::AtMostOnce, None))));
        let mut client = Client::on(Raw::connect(server.mqtt()));
        client.expects(level);
        client.send_bytes(&bytes);
        let accepted = Received::ConnAck { session_present: false, code: ConnectCode::Accepted };
        assert_eq!(client.packet(), accepted, "{level:?}");
        assert_eq!(client.packet(), Received::PingResp, "then what was asked for, in its order");
        assert!(matches!(client.packet(), Received::SubAck { .. }));
        assert_eq!(client.message().value(), 1);
    }
}
