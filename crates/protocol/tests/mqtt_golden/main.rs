//! The bytes of every packet as the standard draws them, in both directions, and a packet for every broken rule.

mod packets;
mod refusals;

use thng_pubsub_protocol::mqtt::{
    ConnAck, Connect, ConnectCode, Decoder, Frame, Packet, PacketError, PacketId, PacketType, ProtocolLevel,
    Publish, QoS, Side, SubAck, SubAckCode, Subscribe, Unsubscribe, Will, encode_disconnect, encode_pingreq,
    encode_pingresp, encode_puback, encode_pubcomp, encode_pubrec, encode_pubrel, encode_unsuback,
};

use PacketError as E;
use ProtocolLevel::{V3_1, V3_1_1};
use Side::{Client, Server};

/// Bytes from hexadecimal digits; `'text'` is its own bytes.
fn bytes(drawing: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in drawing.split('\'').enumerate() {
        if index % 2 == 1 {
            bytes.extend(part.as_bytes());
            continue;
        }
        let digits: Vec<u8> = part
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c.to_digit(16).expect("hexadecimal") as u8)
            .collect();
        let (pairs, odd) = digits.as_chunks::<2>();
        assert!(odd.is_empty(), "half a byte in {part}");
        bytes.extend(pairs.iter().map(|[high, low]| high << 4 | low));
    }
    bytes
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not zero")
}

fn decoder(side: Side, level: Option<ProtocolLevel>) -> Decoder {
    Decoder { level, ..Decoder::new(side, 1_000_000) }
}

/// The drawing is read as the packet at both levels, and the packet is written as the drawing.
#[track_caller]
fn golden(side: Side, drawing: &str, packet: Packet<'_>) {
    let bytes = bytes(drawing);
    for level in [None, Some(V3_1), Some(V3_1_1)] {
        assert_eq!(decoder(side, level).decode(&bytes), Ok(Some((packet, bytes.len()))), "{level:?}");
    }
    let mut encoded = Vec::new();
    assert_eq!(packet.encode(&mut encoded), Ok(()));
    assert_eq!(encoded, bytes);
}

#[track_caller]
fn reads(side: Side, level: ProtocolLevel, drawing: &str, packet: Packet<'_>) {
    let bytes = bytes(drawing);
    assert_eq!(decoder(side, Some(level)).decode(&bytes), Ok(Some((packet, bytes.len()))));
}

/// Refused at both levels, and at no earlier byte than the last.
#[track_caller]
fn refuses(side: Side, drawing: &str, error: PacketError) {
    for level in [None, Some(V3_1), Some(V3_1_1)] {
        refuses_at(level, side, drawing, error);
    }
}

#[track_caller]
fn refuses_at(level: Option<ProtocolLevel>, side: Side, drawing: &str, error: PacketError) {
    let bytes = bytes(drawing);
    let decoder = decoder(side, level);
    assert_eq!(decoder.decode(&bytes), Err(error), "{level:?}");
    assert_eq!(decoder.decode(&bytes[..bytes.len() - 1]), Ok(None), "{level:?}, without the last byte");
}

const PLAIN: Connect<'static> = Connect {
    level: V3_1_1,
    clean_session: true,
    keep_alive_s: 60,
    client_id: "a",
    will: None,
    user_name: None,
    password: None,
};

const FULL: Connect<'static> = Connect {
    level: V3_1_1,
    clean_session: false,
    keep_alive_s: 300,
    client_id: "dev-1",
    will: Some(Will { topic: "w/t", payload: b"\x00\xff", qos: QoS::AtLeastOnce, retain: true }),
    user_name: Some("authorization"),
    password: Some(b"k\x00y"),
};

const MESSAGE: Publish<'static> = Publish {
    dup: false,
    qos: QoS::AtMostOnce,
    retain: false,
    packet_id: None,
    topic: "a/b",
    payload: b"hi",
};
