//! How the fields of a packet are measured and written, for the `encode` of each packet.
//!
//! A packet is checked and measured in full before its first byte is written. A refused packet leaves the buffer as it
//! was, and an accepted one is written in one pass.

use alloc::vec::Vec;

use super::string::{check_string, check_topic_filter, check_topic_name};
use super::{PacketError, PacketId};

/// The bytes that a field behind its own length takes.
pub(super) fn binary_bytes(field: &[u8]) -> Result<usize, PacketError> {
    if field.len() > usize::from(u16::MAX) {
        return Err(PacketError::StringTooLong); // section 1.5.3
    }
    Ok(2 + field.len())
}

pub(super) fn string_bytes(text: &str) -> Result<usize, PacketError> {
    check_string(text)?;
    binary_bytes(text.as_bytes())
}

pub(super) fn topic_name_bytes(topic: &str) -> Result<usize, PacketError> {
    check_topic_name(topic)?;
    binary_bytes(topic.as_bytes())
}

pub(super) fn topic_filter_bytes(filter: &str) -> Result<usize, PacketError> {
    check_topic_filter(filter)?;
    binary_bytes(filter.as_bytes())
}

/// Writes a field that one of the measures above has passed.
pub(super) fn put_binary(out: &mut Vec<u8>, field: &[u8]) {
    debug_assert!(field.len() <= usize::from(u16::MAX), "the field was measured before");
    put_u16(out, field.len() as u16);
    out.extend_from_slice(field);
}

pub(super) fn put_u16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

pub(super) fn put_packet_id(out: &mut Vec<u8>, id: PacketId) {
    put_u16(out, id.get());
}
