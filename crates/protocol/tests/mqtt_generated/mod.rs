//! Generated packets and damaged bytes, for the property tests and the differential tests.
//!
//! A packet borrows, and proptest wants to own its values: strings and bytes are leaked, a few megabytes in a run.

#![allow(dead_code, reason = "each test binary that includes this module uses its own part of it")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, FileFailurePersistence};
use thng_pubsub_protocol::mqtt::{
    ConnAck, Connect, ConnectCode, Decoder, Packet, PacketId, ProtocolLevel, Publish, QoS, Side, SubAck,
    SubAckCode, Subscribe, Unsubscribe, Will,
};

/// Failing cases are kept beside the test that found them, to be committed.
pub(crate) fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}

/// A packet and the connection that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) packet: Packet<'static>,
    pub(crate) side: Side,
    pub(crate) level: ProtocolLevel,
}

impl Sent {
    pub(crate) fn decoder(&self) -> Decoder {
        Decoder { level: Some(self.level), ..Decoder::new(self.side, usize::MAX) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.packet.encode(&mut bytes).expect("generated packets can be encoded");
        bytes
    }
}

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    level().prop_flat_map(sent_at)
}

pub(crate) fn sent_at(level: ProtocolLevel) -> impl Strategy<Value = Sent> {
    side().prop_flat_map(move |side| sent_by(side, level))
}

pub(crate) fn sent_by(side: Side, level: ProtocolLevel) -> impl Strategy<Value = Sent> {
    let packet = match side {
        Side::Client => client_packet(level).boxed(),
        Side::Server => server_packet(level).boxed(),
    };
    packet.prop_map(move |packet| Sent { packet, side, level })
}

pub(crate) fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

pub(crate) fn level() -> impl Strategy<Value = ProtocolLevel> {
    prop_oneof![Just(ProtocolLevel::V3_1), Just(ProtocolLevel::V3_1_1)]
}

fn client_packet(level: ProtocolLevel) -> impl Strategy<Value = Packet<'static>> {
    prop_oneof![
        3 => connect(level),
        4 => common_packet(),
        3 => (packet_id(), vec((topic_filter(), qos()), 1..5))
            .prop_map(|(id, filters)| Packet::Subscribe(Subscribe::new(id, filters.leak()))),
        2 => (packet_id(), vec(topic_filter(), 1..5))
            .prop_map(|(id, filters)| Packet::Unsubscribe(Unsubscribe::new(id, filters.leak()))),
        1 => Just(Packet::PingReq),
        1 => Just(Packet::Disconnect),
    ]
}

fn server_packet(level: ProtocolLevel) -> impl Strategy<Value = Packet<'static>> {
    prop_oneof![
        2 => connack(level),
        4 => common_packet(),
        2 => (packet_id(), vec(suback_code(), 1..9))
            .prop_map(|(packet_id, codes)| Packet::SubAck(SubAck { packet_id, codes: codes.leak() })),
        1 => packet_id().prop_map(Packet::UnsubAck),
        1 => Just(Packet::PingResp),
    ]
}

fn common_packet() -> impl Strategy<Value = Packet<'static>> {
    prop_oneof![
        6 => publish(),
        1 => packet_id().prop_map(Packet::PubAck),
        1 => packet_id().prop_map(Packet::PubRec),
        1 => packet_id().prop_map(Packet::PubRel),
        1 => packet_id().prop_map(Packet::PubComp),
    ]
}

prop_compose! {
    fn connect(level: ProtocolLevel)(
        clean_session: bool,
        keep_alive_s: u16,
        client_id in text(0),
        will in option::of(will()),
        login in option::of((text(0), option::of(payload(65_535)))),
    ) -> Packet<'static> {
        let user_name = login.map(|(user_name, _)| user_name);
        let password = login.and_then(|(_, password)| password);
        Packet::Connect(Connect { level, clean_session, keep_alive_s, client_id, will, user_name, password })
    }
}

prop_compose! {
    fn will()(
        topic in topic_name(), payload in payload(65_535), qos in qos(), retain: bool
    ) -> Will<'static> {
        Will { topic, payload, qos, retain }
    }
}

prop_compose! {
    fn connack(level: ProtocolLevel)(code in connect_code(), present: bool) -> Packet<'static> {
        let session_present =
            present && code == ConnectCode::Accepted && level == ProtocolLevel::V3_1_1;
        Packet::ConnAck(ConnAck { session_present, code })
    }
}

prop_compose! {
    fn publish()(
        dup: bool, qos in qos(), retain: bool, id in packet_id(), topic in topic_name(),
        payload in payload(20_000),
    ) -> Packet<'static> {
        let acknowledged = qos != QoS::AtMostOnce;
        Packet::Publish(Publish {
            dup: dup && acknowledged,
            qos,
            retain,
            packet_id: acknowledged.then_some(id),
            topic,
            payload,
        })
    }
}

fn connect_code() -> impl Strategy<Value = ConnectCode> {
    prop_oneof![
        Just(ConnectCode::Accepted),
        Just(ConnectCode::UnacceptableProtocolVersion),
        Just(ConnectCode::IdentifierRejected),
        Just(ConnectCode::ServerUnavailable),
        Just(ConnectCode::BadUserNameOrPassword),
        Just(ConnectCode::NotAuthorised),
    ]
}

fn suback_code() -> impl Strategy<Value = u8> {
    prop_oneof![qos().prop_map(SubAckCode::Granted), Just(SubAckCode::Refused)].prop_map(SubAckCode::byte)
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    prop_oneof![1..=2_u16, 1..=u16::MAX].prop_map(|number| PacketId::new(number).expect("not zero"))
}

/// Any characters but U+0000; now and then as many as a string may have, or about as many as make the remaining
/// length one byte longer.
fn text(min_chars: usize) -> impl Strategy<Value = &'static str> {
    prop_oneof![
        40 => vec(any::<char>(), min_chars..24).prop_map(|chars| chars.into_iter().collect::<String>()),
        40 => vec(prop::char::range(' ', '~'), min_chars..60).prop_map(String::from_iter),
        4 => (120_usize..130).prop_map(|length| "b".repeat(length)),
        1 => (16_370_usize..16_390).prop_map(|length| "c".repeat(length)),
        1 => Just("d".repeat(65_535)),
    ]
    .prop_map(|text| &*text.replace('\0', "\u{feff}").leak())
}

fn topic_filter() -> impl Strategy<Value = &'static str> {
    text(1)
}

fn topic_name() -> impl Strategy<Value = &'static str> {
    text(1).prop_map(|topic| &*topic.replace(['+', '#'], "/").leak())
}

fn payload(max_bytes: usize) -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        30 => vec(any::<u8>(), 0..40),
        8 => vec(any::<u8>(), 100..220),
        1 => (0..=max_bytes).prop_map(|length| vec![0x5a; length]),
    ]
    .prop_map(|payload| &*payload.leak())
}

/// A packet, and its bytes after an accident.
pub(crate) fn damaged(sent: impl Strategy<Value = Sent>) -> impl Strategy<Value = (Sent, Vec<u8>)> {
    (sent, any::<bool>(), first_byte_damage(), vec(body_damage(), 0..4)).prop_map(
        |(sent, length_is_right, first_byte, body)| {
            (sent, damage(&sent.bytes(), length_is_right, first_byte, &body))
        },
    )
}

#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    CutAt(Index),
}

/// Bits to flip in the first byte: mostly none, then the flags, then the type.
fn first_byte_damage() -> impl Strategy<Value = u8> {
    prop_oneof![16 => Just(0_u8), 3 => 0..16_u8, 1 => any::<u8>()]
}

fn body_damage() -> impl Strategy<Value = Damage> {
    // What lengths, flags and forbidden characters are made of.
    let byte = prop_oneof![
        4 => prop::sample::select(&[0_u8, 1, 2, 3, 4, 0x7f, 0x80, 0xff, b'+', b'#'][..]),
        1 => any::<u8>(),
    ];
    prop_oneof![
        2 => (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        2 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        1 => (any::<Index>(), byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        1 => any::<Index>().prop_map(Damage::Remove),
        1 => any::<Index>().prop_map(Damage::CutAt),
    ]
}

/// Applies the damage; where `length_is_right`, the remaining length follows what became of the body.
fn damage(bytes: &[u8], length_is_right: bool, first_byte: u8, body_damage: &[Damage]) -> Vec<u8> {
    let length_bytes = 1 + bytes[1..].iter().position(|byte| byte & 0x80 == 0).expect("a remaining length");
    let mut body = bytes[if length_is_right { 1 + length_bytes } else { 1 }..].to_vec();
    for damage in body_damage {
        let length = body.len();
        match damage {
            Damage::Insert(at, byte) => body.insert(at.index(length + 1), *byte),
            _ if body.is_empty() => {}
            Damage::Set(at, byte) => body[at.index(length)] = *byte,
            // Most rules are about the first bytes of a body.
            Damage::Flip(at, bits) => body[at.index(length.min(16))] ^= bits,
            Damage::Remove(at) => drop(body.remove(at.index(length))),
            Damage::CutAt(at) => body.truncate(at.index(length)),
        }
    }
    let mut damaged = vec![bytes[0] ^ first_byte];
    if length_is_right {
        let mut left = body.len();
        while left > 0x7f {
            damaged.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        damaged.push(left as u8);
    }
    damaged.extend(body);
    damaged
}
