//! A PUBLISH that is encoded once and then only copied, with a packet identifier and a number written into it.
//!
//! The payload is a property update as a thng-pubsub server takes it, `[{"value":"#0000000042#xxxx..."}]`, so that the
//! same bytes can be sent to any broker. The number survives whatever document the receiver gets.

use anyhow::Context;
use thng_pubsub_protocol::mqtt::{PacketId, Publish, QoS};

const HEAD: &[u8] = b"[{\"value\":\"";
const TAIL: &[u8] = b"\"}]";

/// The mark before and behind the number, which is nowhere else in a received message.
const MARK: u8 = b'#';

/// Digits of the number: ten billion messages.
const DIGITS: usize = 10;

/// The smallest payload, which is a number without padding, in bytes.
pub(crate) const PAYLOAD_BYTES_MIN: usize = HEAD.len() + DIGITS + 2 + TAIL.len();

/// The largest payload, in bytes. It and its topic fit into one read many times.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 32 * 1024;

/// One message on one topic, ready to be copied into a connection's buffer.
#[derive(Debug)]
pub(crate) struct Message {
    packet: Vec<u8>,
    /// Where its packet identifier is, for QoS 1.
    packet_id_at: Option<usize>,
    number_at: usize,
}

impl Message {
    /// Encodes a message of `payload_bytes` for a topic.
    ///
    /// # Errors
    /// The topic is no topic name.
    pub(crate) fn new(topic: &str, payload_bytes: usize, qos: QoS) -> anyhow::Result<Self> {
        let mut payload = Vec::with_capacity(payload_bytes);
        payload.extend_from_slice(HEAD);
        payload.push(MARK);
        payload.extend([b'0'; DIGITS]);
        payload.push(MARK);
        payload.resize(payload_bytes - TAIL.len(), b'x');
        payload.extend_from_slice(TAIL);
        let packet_id = (qos == QoS::AtLeastOnce).then_some(PacketId::MIN);
        let publish = Publish { dup: false, qos, retain: false, packet_id, topic, payload: &payload };
        let mut packet = Vec::new();
        publish.encode(&mut packet).with_context(|| format!("{topic} is no topic name"))?;
        let payload_at = packet.len() - payload_bytes;
        // The packet identifier is the last part of the variable header, right before the payload.
        let packet_id_at = packet_id.map(|_| payload_at - 2);
        Ok(Self { packet, packet_id_at, number_at: payload_at + HEAD.len() + 1 })
    }

    /// Appends the message with this packet identifier, which QoS 0 has no place for.
    pub(crate) fn append(&self, packet_id: PacketId, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.packet);
        if let Some(at) = self.packet_id_at {
            out[start + at..start + at + 2].copy_from_slice(&packet_id.get().to_be_bytes());
        }
    }

    /// As [`append`](Self::append), with a number that [`number`] finds again in what is received.
    pub(crate) fn append_numbered(&self, packet_id: PacketId, number: u64, out: &mut Vec<u8>) {
        let digits = out.len() + self.number_at;
        self.append(packet_id, out);
        let mut rest = number;
        for digit in out[digits..digits + DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

/// The number in a received payload.
pub(crate) fn number(payload: &[u8]) -> Option<u64> {
    let start = payload.iter().position(|byte| *byte == MARK)? + 1;
    let digits = payload.get(start..start + DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use thng_pubsub_protocol::mqtt::{Decoder, Packet, Side};

    fn decoded(bytes: &[u8]) -> Publish<'_> {
        match Decoder::new(Side::Client, 100_000).decode(bytes) {
            Ok(Some((Packet::Publish(publish), used))) if used == bytes.len() => publish,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_payload_has_its_size_and_is_json_with_the_number_in_it() {
        for payload_bytes in [PAYLOAD_BYTES_MIN, 200, PAYLOAD_BYTES_MAX] {
            let mut out = vec![];
            let message = Message::new("a/b", payload_bytes, QoS::AtLeastOnce).unwrap();
            message.append_numbered(PacketId::new(513).unwrap(), 1_234_567, &mut out);
            let publish = decoded(&out);
            assert_eq!((publish.topic, publish.packet_id), ("a/b", PacketId::new(513)));
            assert_eq!(publish.payload.len(), payload_bytes);
            assert_eq!(number(publish.payload), Some(1_234_567));
            let document: serde_json::Value = serde_json::from_slice(publish.payload).unwrap();
            assert!(document[0]["value"].is_string());
        }
    }

    #[test]
    fn at_qos_0_there_is_no_packet_identifier_to_write() {
        let mut out = vec![];
        Message::new("a", 100, QoS::AtMostOnce).unwrap().append(PacketId::MIN, &mut out);
        assert_eq!(decoded(&out).packet_id, None);
    }

    #[test]
    fn a_number_is_found_in_the_document_that_a_server_makes_of_it() {
        assert_eq!(number(b"[{\"key\":\"k\",\"value\":\"#0000000007#x\"}]"), Some(7));
        assert_eq!(number(b"[{\"value\":\"#00\"}]"), None);
        assert_eq!(number(b"[]"), None);
    }
}
