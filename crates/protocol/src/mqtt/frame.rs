//! The fixed header: what type of packet starts here, and how many bytes are it.
//!
//! [`Frame`] is what the first two to five bytes say, and all that is needed to judge a packet's type, flags and
//! size before its body has arrived. The decoder asks for it first, and every encoder starts with it.
//! The content of the body is not known here.

use alloc::vec::Vec;

use super::{PacketError, ProtocolLevel, QoS};

/// The largest remaining length that four bytes of seven bits can say (section 2.2.3, table 2.4), in bytes.
pub const REMAINING_BYTES_MAX: usize = 268_435_455;

/// The largest packet there is: the largest remaining length behind a fixed header of five bytes.
pub const PACKET_BYTES_MAX: usize = 5 + REMAINING_BYTES_MAX;

/// The types of control packets (table 2.1), each with its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants of `Packet` say what each type is")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
}

impl PacketType {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            _ => return None,
        })
    }

    /// The low four bits of the first byte where the type leaves no choice (table 2.2). PUBLISH has its own.
    const fn reserved_flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    /// The remaining length of the types that have only one, in bytes.
    const fn fixed_remaining_bytes(self) -> Option<usize> {
        match self {
            Self::ConnAck | Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp | Self::UnsubAck => {
                Some(2)
            }
            Self::PingReq | Self::PingResp | Self::Disconnect => Some(0),
            Self::Connect | Self::Publish | Self::Subscribe | Self::SubAck | Self::Unsubscribe => None,
        }
    }

    /// The first byte of a packet of a type whose flags leave no choice.
    pub(super) const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.reserved_flags()
    }
}

/// The first byte of a packet, held to its rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstByte {
    pub(super) packet_type: PacketType,
    pub(super) flags: u8,
}

impl FirstByte {
    pub(super) fn decode(byte: u8, level: Option<ProtocolLevel>) -> Result<Self, PacketError> {
        let packet_type = PacketType::from_number(byte >> 4).ok_or(PacketError::ReservedPacketType)?;
        let flags = byte & 0x0f;
        match packet_type {
            PacketType::Publish => check_publish_flags(flags)?,
            // MQTT 3.1 marks these three, when they are sent again, as it does a PUBLISH (its section 2.1).
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe
                if level == Some(ProtocolLevel::V3_1) && flags & !DUP == packet_type.reserved_flags() => {}
            _ if flags == packet_type.reserved_flags() => {}
            _ => return Err(PacketError::ReservedFlags), // [MQTT-2.2.2-2]
        }
        Ok(Self { packet_type, flags })
    }
}

pub(super) const DUP: u8 = 0b1000;
pub(super) const RETAIN: u8 = 0b0001;

fn check_publish_flags(flags: u8) -> Result<(), PacketError> {
    match QoS::from_bits(flags >> 1 & 0b11) {
        None => Err(PacketError::PublishQos), // [MQTT-3.3.1-4]
        Some(QoS::AtMostOnce) if flags & DUP != 0 => Err(PacketError::DupAtQos0), // [MQTT-3.3.1-2]
        Some(_) => Ok(()),
    }
}

/// What the fixed header of a packet says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The type of the packet.
    pub packet_type: PacketType,
    /// The low four bits of the first byte.
    pub flags: u8,
    /// The length of the fixed header itself, 2 to 5 bytes.
    pub header_bytes: usize,
    /// The bytes behind the fixed header, at most [`REMAINING_BYTES_MAX`].
    pub remaining_bytes: usize,
}

impl Frame {
    /// The length of the whole packet, in bytes.
    pub const fn packet_bytes(&self) -> usize {
        self.header_bytes + self.remaining_bytes
    }

    /// The frame behind a first byte, or `None` where the remaining length goes on past the end of `length`.
    pub(super) fn decode(first: FirstByte, length: &[u8]) -> Result<Option<Self>, PacketError> {
        let mut remaining_bytes = 0;
        for (index, &byte) in length.iter().take(4).enumerate() {
            remaining_bytes |= usize::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let FirstByte { packet_type, flags } = first;
                if packet_type.fixed_remaining_bytes().is_some_and(|fixed| fixed != remaining_bytes) {
                    return Err(PacketError::WrongLength);
                }
                return Ok(Some(Self { packet_type, flags, header_bytes: 2 + index, remaining_bytes }));
            }
        }
        // Section 2.2.3: the fourth byte is the last.
        if length.len() < 4 { Ok(None) } else { Err(PacketError::RemainingLengthTooLong) }
    }
}

/// Appends a fixed header, after reserving space for it and for the `inline_bytes` of the body that will follow.
///
/// # Errors
/// [`PacketError::PacketTooLong`]; `out` is then as it was.
pub(super) fn encode_header(
    out: &mut Vec<u8>,
    first_byte: u8,
    remaining_bytes: usize,
    inline_bytes: usize,
) -> Result<(), PacketError> {
    if remaining_bytes > REMAINING_BYTES_MAX {
        return Err(PacketError::PacketTooLong);
    }
    out.reserve(5 + inline_bytes);
    out.push(first_byte);
    let mut left = remaining_bytes;
    while left > 0x7f {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    Ok(())
}
