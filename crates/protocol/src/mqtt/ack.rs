//! The packets of fixed size that are nothing but their type and, most of them, a packet identifier.
//!
//! Both sides send them often, so each has an encoder of its own that cannot fail.

use alloc::vec::Vec;

use super::{PacketId, PacketType};

fn encode_ack(packet_type: PacketType, id: PacketId, out: &mut Vec<u8>) {
    let [high, low] = id.get().to_be_bytes();
    out.extend_from_slice(&[packet_type.first_byte(), 2, high, low]);
}

/// Appends a PUBACK (4 bytes).
pub fn encode_puback(id: PacketId, out: &mut Vec<u8>) {
    encode_ack(PacketType::PubAck, id, out);
}

/// Appends a PUBREC (4 bytes).
pub fn encode_pubrec(id: PacketId, out: &mut Vec<u8>) {
    encode_ack(PacketType::PubRec, id, out);
}

/// Appends a PUBREL (4 bytes).
pub fn encode_pubrel(id: PacketId, out: &mut Vec<u8>) {
    encode_ack(PacketType::PubRel, id, out);
}

/// Appends a PUBCOMP (4 bytes).
pub fn encode_pubcomp(id: PacketId, out: &mut Vec<u8>) {
    encode_ack(PacketType::PubComp, id, out);
}

/// Appends an UNSUBACK (4 bytes).
pub fn encode_unsuback(id: PacketId, out: &mut Vec<u8>) {
    encode_ack(PacketType::UnsubAck, id, out);
}

/// Appends a PINGREQ (2 bytes).
pub fn encode_pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::PingReq.first_byte(), 0]);
}

/// Appends a PINGRESP (2 bytes).
pub fn encode_pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::PingResp.first_byte(), 0]);
}

/// Appends a DISCONNECT (2 bytes).
pub fn encode_disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::Disconnect.first_byte(), 0]);
}
