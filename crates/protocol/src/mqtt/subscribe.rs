//! SUBSCRIBE, SUBACK and UNSUBSCRIBE: the packets that speak of several topic filters at once.
//!
//! The filters stay where they are, in the received bytes or in the caller's slice, and are read in passing.

use alloc::vec::Vec;
use core::{fmt, slice};

use super::encode::{put_binary, put_packet_id, topic_filter_bytes};
use super::frame::encode_header;
use super::reader::Reader;
use super::{PacketError, PacketId, PacketType, QoS};

/// Where the filters of a packet lie; `T` is one of them.
#[derive(Debug, Clone, Copy)]
enum Filters<'a, T> {
    /// The payload of a packet that was checked from end to end when it was decoded.
    Wire(&'a [u8]),
    Slice(&'a [T]),
}

#[derive(Debug, Clone)]
enum FilterIter<'a, T> {
    Wire(Reader<'a>),
    Slice(slice::Iter<'a, T>),
}

impl<'a, T> Filters<'a, T> {
    fn iter(&self) -> FilterIter<'a, T> {
        match *self {
            Self::Wire(payload) => FilterIter::Wire(Reader::new(payload)),
            Self::Slice(filters) => FilterIter::Slice(filters.iter()),
        }
    }
}

/// One entry of a payload of filters.
trait Entry<'a>: Copy + 'a {
    fn decode(payload: &mut Reader<'a>) -> Result<Self, PacketError>;
}

impl<'a> Entry<'a> for &'a str {
    fn decode(payload: &mut Reader<'a>) -> Result<Self, PacketError> {
        payload.topic_filter()
    }
}

impl<'a> Entry<'a> for (&'a str, QoS) {
    fn decode(payload: &mut Reader<'a>) -> Result<Self, PacketError> {
        let filter = payload.topic_filter()?;
        let qos = QoS::from_bits(payload.u8()?).ok_or(PacketError::SubscribeQos)?; // [MQTT-3-8.3-4]
        Ok((filter, qos))
    }
}

impl<'a, T: Entry<'a>> Iterator for FilterIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self {
            // The payload has been decoded once without an error, so that only its end ends it here.
            Self::Wire(payload) => T::decode(payload).ok(),
            Self::Slice(filters) => filters.next().copied(),
        }
    }
}

/// Checks a payload of filters from end to end.
fn decode_filters<'a, T: Entry<'a>>(payload: Reader<'a>) -> Result<Filters<'a, T>, PacketError> {
    if payload.is_empty() {
        return Err(PacketError::NoTopicFilters); // [MQTT-3.8.3-3] [MQTT-3.10.3-2]
    }
    let mut unread = payload.clone();
    while !unread.is_empty() {
        T::decode(&mut unread)?;
    }
    Ok(Filters::Wire(payload.rest()))
}

/// What a client wants to receive (section 3.8).
#[derive(Clone, Copy)]
pub struct Subscribe<'a> {
    /// What SUBACK will name.
    pub packet_id: PacketId,
    filters: Filters<'a, (&'a str, QoS)>,
}

impl<'a> Subscribe<'a> {
    /// A packet to be encoded. It needs at least one filter `[MQTT-3.8.3-3]`.
    pub const fn new(packet_id: PacketId, filters: &'a [(&'a str, QoS)]) -> Self {
        Self { packet_id, filters: Filters::Slice(filters) }
    }

    /// The topic filters, each with the highest QoS that the client asks for, in the order of the packet.
    pub fn filters(&self) -> impl Iterator<Item = (&'a str, QoS)> + Clone + use<'a> {
        self.filters.iter()
    }

    pub(super) fn decode(mut body: Reader<'a>) -> Result<Self, PacketError> {
        Ok(Self { packet_id: body.packet_id()?, filters: decode_filters(body)? })
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`PacketError::NoTopicFilters`], [`PacketError::EmptyTopic`], [`PacketError::NullCharacter`],
    /// [`PacketError::StringTooLong`], [`PacketError::PacketTooLong`]; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        let mut bytes = 2;
        for (filter, _) in self.filters() {
            bytes += topic_filter_bytes(filter)? + 1;
        }
        begin(out, PacketType::Subscribe, self.packet_id, bytes)?;
        for (filter, qos) in self.filters() {
            put_binary(out, filter.as_bytes());
            out.push(qos as u8);
        }
        Ok(())
    }
}

/// What a client no longer wants to receive (section 3.10).
#[derive(Clone, Copy)]
pub struct Unsubscribe<'a> {
    /// What UNSUBACK will name.
    pub packet_id: PacketId,
    filters: Filters<'a, &'a str>,
}

impl<'a> Unsubscribe<'a> {
    /// A packet to be encoded. It needs at least one filter `[MQTT-3.10.3-2]`.
    pub const fn new(packet_id: PacketId, filters: &'a [&'a str]) -> Self {
        Self { packet_id, filters: Filters::Slice(filters) }
    }

    /// The topic filters, in the order of the packet.
    pub fn filters(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.filters.iter()
    }

    pub(super) fn decode(mut body: Reader<'a>) -> Result<Self, PacketError> {
        Ok(Self { packet_id: body.packet_id()?, filters: decode_filters(body)? })
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`PacketError::NoTopicFilters`], [`PacketError::EmptyTopic`], [`PacketError::NullCharacter`],
    /// [`PacketError::StringTooLong`], [`PacketError::PacketTooLong`]; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        let mut bytes = 2;
        for filter in self.filters() {
            bytes += topic_filter_bytes(filter)?;
        }
        begin(out, PacketType::Unsubscribe, self.packet_id, bytes)?;
        for filter in self.filters() {
            put_binary(out, filter.as_bytes());
        }
        Ok(())
    }
}

/// Writes what comes before the filters. `remaining_bytes` counts the packet identifier and the filters.
fn begin(
    out: &mut Vec<u8>,
    packet_type: PacketType,
    packet_id: PacketId,
    remaining_bytes: usize,
) -> Result<(), PacketError> {
    if remaining_bytes == 2 {
        return Err(PacketError::NoTopicFilters); // [MQTT-3.8.3-3] [MQTT-3.10.3-2]
    }
    encode_header(out, packet_type.first_byte(), remaining_bytes, remaining_bytes)?;
    put_packet_id(out, packet_id);
    Ok(())
}

// Two packets are equal when they mean the same, wherever their filters lie.

impl PartialEq for Subscribe<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.packet_id == other.packet_id && self.filters().eq(other.filters())
    }
}

impl Eq for Subscribe<'_> {}

impl PartialEq for Unsubscribe<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.packet_id == other.packet_id && self.filters().eq(other.filters())
    }
}

impl Eq for Unsubscribe<'_> {}

struct ListOf<I>(I);

impl<I: Iterator<Item: fmt::Debug> + Clone> fmt::Debug for ListOf<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.clone()).finish()
    }
}

impl fmt::Debug for Subscribe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("packet_id", &self.packet_id)
            .field("filters", &ListOf(self.filters()))
            .finish()
    }
}

impl fmt::Debug for Unsubscribe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsubscribe")
            .field("packet_id", &self.packet_id)
            .field("filters", &ListOf(self.filters()))
            .finish()
    }
}

/// The server's answer to SUBSCRIBE (section 3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// That of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One byte for each of its filters, in its order: 0, 1, 2 or 128. [`SubAckCode::byte`] makes them,
    /// [`results`](Self::results) reads them.
    pub codes: &'a [u8],
}

/// What became of one topic filter of a SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubAckCode {
    /// Subscribed; messages come with at most this QoS.
    Granted(QoS),
    /// Not subscribed. MQTT 3.1 has no word for it, but its clients are sent the same byte.
    Refused,
}

impl SubAckCode {
    const FAILURE: u8 = 0x80;

    /// The return code on the wire: 0, 1, 2 or 128.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Granted(qos) => qos as u8,
            Self::Refused => Self::FAILURE,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match QoS::from_bits(byte) {
            Some(qos) => Some(Self::Granted(qos)),
            None if byte == Self::FAILURE => Some(Self::Refused),
            None => None,
        }
    }
}

impl<'a> SubAck<'a> {
    /// What became of each filter, in the order of the SUBSCRIBE. A code that MQTT does not know is no grant.
    pub fn results(&self) -> impl Iterator<Item = SubAckCode> + Clone + use<'a> {
        self.codes.iter().map(|&code| SubAckCode::from_byte(code).unwrap_or(SubAckCode::Refused))
    }

    pub(super) fn decode(mut body: Reader<'a>) -> Result<Self, PacketError> {
        let suback = Self { packet_id: body.packet_id()?, codes: body.rest() };
        suback.check().map(|()| suback)
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`PacketError::NoSubAckCodes`], [`PacketError::ReservedSubAckCode`], [`PacketError::PacketTooLong`];
    /// `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        self.check()?;
        let remaining_bytes = 2 + self.codes.len();
        encode_header(out, PacketType::SubAck.first_byte(), remaining_bytes, remaining_bytes)?;
        put_packet_id(out, self.packet_id);
        out.extend_from_slice(self.codes);
        Ok(())
    }

    fn check(&self) -> Result<(), PacketError> {
        if self.codes.is_empty() {
            return Err(PacketError::NoSubAckCodes); // [MQTT-3.8.4-5]
        }
        if self.codes.iter().any(|&code| SubAckCode::from_byte(code).is_none()) {
            return Err(PacketError::ReservedSubAckCode); // [MQTT-3.9.3-2]
        }
        Ok(())
    }
}
