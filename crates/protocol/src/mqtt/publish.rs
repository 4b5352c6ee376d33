//! PUBLISH: a message on its way, in either direction.

use alloc::vec::Vec;

use super::encode::{put_binary, put_packet_id, topic_name_bytes};
use super::frame::{DUP, RETAIN, encode_header};
use super::reader::Reader;
use super::{PacketError, PacketId, PacketType, QoS};

/// A message and how it is to be delivered (section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this may be a second attempt; never at QoS 0 `[MQTT-3.3.1-2]`.
    pub dup: bool,
    /// What the sender will do until it is acknowledged.
    pub qos: QoS,
    /// Towards a server: to be kept for later subscribers. Towards a client: kept from before.
    pub retain: bool,
    /// What its acknowledgement will name: `Some` at QoS 1 and 2, `None` at QoS 0 `[MQTT-2.3.1-5]`.
    pub packet_id: Option<PacketId>,
    /// Where to, 1 to 65,535 bytes, without wildcards `[MQTT-3.3.2-2]`.
    pub topic: &'a str,
    /// Any bytes, none included.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// The flags have passed [`FirstByte`](super::frame::FirstByte).
    pub(super) fn decode(flags: u8, mut body: Reader<'a>) -> Result<Self, PacketError> {
        let qos = QoS::from_bits(flags >> 1 & 0b11).ok_or(PacketError::PublishQos)?;
        let topic = body.topic_name()?;
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(body.packet_id()?),
        };
        Ok(Self {
            dup: flags & DUP != 0,
            qos,
            retain: flags & RETAIN != 0,
            packet_id,
            topic,
            payload: body.rest(),
        })
    }

    /// Appends the packet to `out`, in one pass and with at most one allocation.
    ///
    /// # Errors
    /// [`PacketError::PacketIdAgainstQos`], [`PacketError::DupAtQos0`], a topic that is none
    /// ([`PacketError::EmptyTopic`], [`PacketError::WildcardInTopicName`], [`PacketError::NullCharacter`],
    /// [`PacketError::StringTooLong`]) or [`PacketError::PacketTooLong`]; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        self.encode_up_to_payload(out, self.payload.len())?;
        out.extend_from_slice(self.payload);
        Ok(())
    }

    /// Appends everything but the payload, for a caller that sends the payload from where it lies.
    ///
    /// The payload's bytes have to follow directly on the connection.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode).
    pub fn encode_head(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        self.encode_up_to_payload(out, 0)
    }

    fn encode_up_to_payload(&self, out: &mut Vec<u8>, reserve_bytes: usize) -> Result<(), PacketError> {
        if self.packet_id.is_some() != (self.qos > QoS::AtMostOnce) {
            return Err(PacketError::PacketIdAgainstQos); // [MQTT-2.3.1-5]
        }
        if self.dup && self.qos == QoS::AtMostOnce {
            return Err(PacketError::DupAtQos0); // [MQTT-3.3.1-2]
        }
        let variable_bytes = topic_name_bytes(self.topic)? + if self.packet_id.is_some() { 2 } else { 0 };
        let flags =
            if self.dup { DUP } else { 0 } | (self.qos as u8) << 1 | if self.retain { RETAIN } else { 0 };
        encode_header(
            out,
            PacketType::Publish.first_byte() | flags,
            variable_bytes + self.payload.len(),
            variable_bytes + reserve_bytes,
        )?;
        put_binary(out, self.topic.as_bytes());
        if let Some(id) = self.packet_id {
            put_packet_id(out, id);
        }
        Ok(())
    }
}
