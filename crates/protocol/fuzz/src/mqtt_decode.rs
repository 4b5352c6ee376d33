//! Checks what the MQTT decoder promises for every string of bytes.
//!
//! The input is what a connection sends, from its first byte.

use thng_pubsub_protocol::mqtt::{Decoder, PacketError, ProtocolLevel, Side};

/// Reads `bytes` as a connection, from each side and at each level.
///
/// # Panics
/// If the decoder breaks one of its promises.
pub fn check(bytes: &[u8]) {
    for side in [Side::Client, Side::Server] {
        for level in [None, Some(ProtocolLevel::V3_1), Some(ProtocolLevel::V3_1_1)] {
            check_connection(&Decoder { level, ..Decoder::new(side, usize::MAX) }, bytes);
        }
    }
}

fn check_connection(decoder: &Decoder, mut bytes: &[u8]) {
    while let Some(consumed) = check_packet(decoder, bytes) {
        assert!(consumed >= 2, "a packet has a fixed header");
        bytes = &bytes[consumed..];
    }
}

/// The length of the packet at the start of `bytes`, if there is one.
fn check_packet(decoder: &Decoder, bytes: &[u8]) -> Option<usize> {
    let frame = decoder.frame(bytes);
    let (packet, consumed) = match decoder.decode(bytes) {
        Ok(Some(decoded)) => decoded,
        Ok(None) => {
            let needed = frame.expect("what is not refused as a whole is not refused by its header");
            assert!(needed.is_none_or(|frame| frame.packet_bytes() > bytes.len()), "the packet was there");
            return None;
        }
        Err(error) => {
            assert!(frame.is_err() || frame.is_ok_and(|frame| frame.is_some()), "{error} without a header");
            return None;
        }
    };
    assert_eq!(frame.map(|frame| frame.map(|frame| frame.packet_bytes())), Ok(Some(consumed)));
    assert_eq!(
        decoder.decode(&bytes[..consumed]),
        Ok(Some((packet, consumed))),
        "what follows has no influence"
    );
    assert_eq!(
        decoder.decode(&bytes[..consumed - 1]),
        Ok(None),
        "a packet is not there before its last byte"
    );
    let limited = Decoder { max_packet_bytes: consumed - 1, ..*decoder };
    assert_eq!(limited.decode(bytes), Err(PacketError::TooLarge));

    let mut encoded = Vec::new();
    packet.encode(&mut encoded).expect("what was decoded can be encoded");
    assert!(encoded.len() <= consumed, "the encoder wastes no byte");
    assert_eq!(decoder.decode(&encoded), Ok(Some((packet, encoded.len()))), "encoded, it means the same");
    Some(consumed)
}
