//! Codec of MQTT 3.1 and 3.1.1 packets, for both ends of a connection.
//!
//! [`Decoder`] turns received bytes into a [`Packet`] that borrows from them, [`Packet::encode`] appends a packet
//! to a buffer. The server's MQTT edge and the SDK call them, each with the other [`Side`].
//! Every rule of the standard that one packet alone can break is checked here, in both directions. A packet that was
//! decoded or encoded needs no second check; [`PacketError`] names the rule that was broken.
//! Rules over more than one packet belong to the session, such as the order of packets, keep alive and packet
//! identifiers in flight. The grammar of topic filters is the server's.
//!
//! Numbers such as `[MQTT-3.3.1-4]` are the normative statements of
//! [MQTT 3.1.1](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html).
//! [`ProtocolLevel::V3_1`] lists where 3.1 differs.

mod ack;
mod connect;
mod decode;
mod encode;
mod error;
mod frame;
mod publish;
mod reader;
mod string;
mod subscribe;

use alloc::vec::Vec;
use core::num::NonZeroU16;

pub use ack::{
    encode_disconnect, encode_pingreq, encode_pingresp, encode_puback, encode_pubcomp, encode_pubrec,
    encode_pubrel, encode_unsuback,
};
pub use connect::{ConnAck, Connect, ConnectCode, Will};
pub use decode::{Decoder, Side};
pub use error::PacketError;
pub use frame::{Frame, PACKET_BYTES_MAX, PacketType, REMAINING_BYTES_MAX};
pub use publish::Publish;
pub use subscribe::{SubAck, SubAckCode, Subscribe, Unsubscribe};

/// How often a message may arrive: the quality of service of section 4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// Sent once, never acknowledged.
    AtMostOnce = 0,
    /// Sent until a PUBACK arrives.
    AtLeastOnce = 1,
    /// Sent and released in two round trips: PUBREC, PUBREL, PUBCOMP.
    ExactlyOnce = 2,
}

impl QoS {
    /// The quality of service that these two bits mean, or `None` for 3, which is reserved, and above.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// Which MQTT a connection speaks, as its CONNECT says with a protocol name and a level.
///
/// MQTT 5 would be a third variant here and a variant of each packet that gained properties;
/// until then its CONNECT is answered by [`PacketError::UnacceptableProtocolLevel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolLevel {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    ///
    /// It is read like 3.1.1, but for what its text demands of a receiver:
    /// - SUBSCRIBE, UNSUBSCRIBE and PUBREL may carry the DUP flag, which is ignored.
    /// - In CONNECT the reserved flag is ignored, and so are will QoS and will retain when there is no will.
    /// - The user name or the password may be missing although its flag is set; the remaining length decides.
    /// - The first byte of CONNACK is not used: no session is ever present.
    ///
    /// Client identifiers of more than 23 bytes, which its text forbids, are left to the server's judgement.
    V3_1,
    /// MQTT 3.1.1: protocol name `MQTT`, level 4.
    V3_1_1,
}

impl ProtocolLevel {
    const fn name(self) -> &'static str {
        match self {
            Self::V3_1 => "MQIsdp",
            Self::V3_1_1 => "MQTT",
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::V3_1 => 3,
            Self::V3_1_1 => 4,
        }
    }
}

/// The number that ties an acknowledgement to its packet: 1 to 65,535 `[MQTT-2.3.1-1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The smallest identifier: 1.
    pub const MIN: Self = Self(NonZeroU16::MIN);

    /// The identifier with this number, or `None` for 0.
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, 1 to 65,535.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The identifier after this one; 1 comes after 65,535.
    pub const fn successor(self) -> Self {
        match self.0.checked_add(1) {
            Some(number) => Self(number),
            None => Self::MIN,
        }
    }
}

/// One control packet, which borrows its strings and bytes from where it was decoded or is to be encoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A client introduces itself (section 3.1).
    Connect(Connect<'a>),
    /// The server's answer to CONNECT (section 3.2).
    ConnAck(ConnAck),
    /// A message, from either side (section 3.3).
    Publish(Publish<'a>),
    /// A PUBLISH with QoS 1 has arrived (section 3.4).
    PubAck(PacketId),
    /// A PUBLISH with QoS 2 has arrived (section 3.5).
    PubRec(PacketId),
    /// The sender of a PUBLISH with QoS 2 has seen its PUBREC (section 3.6).
    PubRel(PacketId),
    /// A PUBLISH with QoS 2 is complete (section 3.7).
    PubComp(PacketId),
    /// A client asks for messages (section 3.8).
    Subscribe(Subscribe<'a>),
    /// The server's answer to SUBSCRIBE (section 3.9).
    SubAck(SubAck<'a>),
    /// A client asks for no more messages (section 3.10).
    Unsubscribe(Unsubscribe<'a>),
    /// The server's answer to UNSUBSCRIBE (section 3.11).
    UnsubAck(PacketId),
    /// A client asks for a sign of life (section 3.12).
    PingReq,
    /// The server's sign of life (section 3.13).
    PingResp,
    /// A client says goodbye, and its will is not to be published (section 3.14).
    Disconnect,
}

impl Packet<'_> {
    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// Whatever [`Decoder::decode`] would say of the bytes, and [`PacketError::StringTooLong`],
    /// [`PacketError::PacketTooLong`] and [`PacketError::PacketIdAgainstQos`] for what has no bytes at all.
    /// `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        match self {
            Self::Connect(connect) => return connect.encode(out),
            Self::ConnAck(connack) => return connack.encode(out),
            Self::Publish(publish) => return publish.encode(out),
            Self::PubAck(id) => encode_puback(*id, out),
            Self::PubRec(id) => encode_pubrec(*id, out),
            Self::PubRel(id) => encode_pubrel(*id, out),
            Self::PubComp(id) => encode_pubcomp(*id, out),
            Self::Subscribe(subscribe) => return subscribe.encode(out),
            Self::SubAck(suback) => return suback.encode(out),
            Self::Unsubscribe(unsubscribe) => return unsubscribe.encode(out),
            Self::UnsubAck(id) => encode_unsuback(*id, out),
            Self::PingReq => encode_pingreq(out),
            Self::PingResp => encode_pingresp(out),
            Self::Disconnect => encode_disconnect(out),
        }
        Ok(())
    }
}
