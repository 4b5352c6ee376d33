//! Decodes received bytes into packets.
//!
//! The caller keeps the bytes, calls [`Decoder::decode`] on what has arrived, and drops what a packet consumed.
//! Which packets are allowed when is the session's affair; here it only matters who sent them and at which level.

use super::frame::{FirstByte, Frame};
use super::reader::Reader;
use super::{
    ConnAck, Connect, Packet, PacketError, PacketType, ProtocolLevel, Publish, SubAck, Subscribe, Unsubscribe,
};

/// Which end of the connection sent the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// A client sent them; a server decodes them.
    Client,
    /// A server sent them; a client decodes them.
    Server,
}

impl Side {
    /// Whether a packet of this type ever flows from this side (table 2.1).
    const fn sends(self, packet_type: PacketType) -> bool {
        match packet_type {
            PacketType::Publish
            | PacketType::PubAck
            | PacketType::PubRec
            | PacketType::PubRel
            | PacketType::PubComp => true,
            PacketType::Connect
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::PingReq
            | PacketType::Disconnect => matches!(self, Self::Client),
            PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck | PacketType::PingResp => {
                matches!(self, Self::Server)
            }
        }
    }
}

/// What a receiver knows about the other side, and so how it reads its bytes.
///
/// It holds no bytes: the same input gives the same answer, wherever it was split on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoder {
    /// The end that sends.
    pub side: Side,
    /// The level of the connection. `None`, as long as no CONNECT has named it, reads like 3.1.1.
    pub level: Option<ProtocolLevel>,
    /// The largest packet that is accepted, in bytes and with its fixed header.
    pub max_packet_bytes: usize,
}

impl Decoder {
    /// A decoder for a connection whose level is not known yet: set [`level`](Self::level) after CONNECT.
    pub const fn new(side: Side, max_packet_bytes: usize) -> Self {
        Self { side, level: None, max_packet_bytes }
    }

    /// What the packet at the start of `input` is going to be, before its body is there.
    ///
    /// `Ok(None)` asks for more bytes. A receiver learns from it how many bytes the packet needs, and may refuse by
    /// type, such as anything but CONNECT from a stranger.
    ///
    /// # Errors
    /// As soon as the first byte is there: [`PacketError::ReservedPacketType`], [`PacketError::WrongDirection`],
    /// [`PacketError::ReservedFlags`], [`PacketError::PublishQos`], [`PacketError::DupAtQos0`].
    /// As soon as the fixed header is: [`PacketError::RemainingLengthTooLong`], [`PacketError::WrongLength`],
    /// [`PacketError::TooLarge`].
    pub fn frame(&self, input: &[u8]) -> Result<Option<Frame>, PacketError> {
        let Some((&first, length)) = input.split_first() else {
            return Ok(None);
        };
        let first = FirstByte::decode(first, self.level)?;
        if !self.side.sends(first.packet_type) {
            return Err(PacketError::WrongDirection);
        }
        let frame = Frame::decode(first, length)?;
        match frame {
            Some(frame) if frame.packet_bytes() > self.max_packet_bytes => Err(PacketError::TooLarge),
            frame => Ok(frame),
        }
    }

    /// The packet at the start of `input`, which it borrows from, and how many bytes it takes.
    ///
    /// `Ok(None)` asks for more bytes. It never panics and allocates nothing, whatever the bytes are.
    ///
    /// # Errors
    /// Those of [`frame`](Self::frame), as early as there; and for a whole packet the rule that its body breaks.
    /// The bytes behind an error mean nothing: the connection is to be closed `[MQTT-4.8.0-1]`.
    pub fn decode<'a>(&self, input: &'a [u8]) -> Result<Option<(Packet<'a>, usize)>, PacketError> {
        let Some(frame) = self.frame(input)? else {
            return Ok(None);
        };
        let Some(body) = input.get(frame.header_bytes..frame.packet_bytes()) else {
            return Ok(None);
        };
        let packet = self.decode_body(&frame, Reader::new(body))?;
        Ok(Some((packet, frame.packet_bytes())))
    }

    fn decode_body<'a>(&self, frame: &Frame, mut body: Reader<'a>) -> Result<Packet<'a>, PacketError> {
        Ok(match frame.packet_type {
            PacketType::Connect => Packet::Connect(Connect::decode(body)?),
            PacketType::ConnAck => Packet::ConnAck(ConnAck::decode(body, self.level)?),
            PacketType::Publish => Packet::Publish(Publish::decode(frame.flags, body)?),
            PacketType::PubAck => Packet::PubAck(body.packet_id()?),
            PacketType::PubRec => Packet::PubRec(body.packet_id()?),
            PacketType::PubRel => Packet::PubRel(body.packet_id()?),
            PacketType::PubComp => Packet::PubComp(body.packet_id()?),
            PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(body)?),
            PacketType::SubAck => Packet::SubAck(SubAck::decode(body)?),
            PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(body)?),
            PacketType::UnsubAck => Packet::UnsubAck(body.packet_id()?),
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Packet::Disconnect,
        })
    }
}
