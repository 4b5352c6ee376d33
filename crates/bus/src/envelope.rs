//! The binary envelope of a notification on the bus, written once and sliced when it is read.
//!
//! Layout, integers little-endian:
//!
//! | offset | bytes | notification | probe |
//! |---|---|---|---|
//! | 0 | 1 | 1 | 2 |
//! | 1 | 1 | partition | partition |
//! | 2 | 8 | sequence in the partition, from 1 | number of the probe round |
//! | 10 | 8 | the store's event sequence | |
//! | 18 | 4 | length of the key | |
//! | 22 | 4 | length of the scopes | |
//! | 26 | | key, scopes, body to the end | |
//!
//! Nothing in it is interpreted by the bus, and it never leaves the process.

use std::ops::Range;

use bytes::Bytes;

use super::notification::Notification;

const NOTIFICATION: u8 = 1;
const PROBE: u8 = 2;
const NOTIFICATION_HEADER_BYTES: usize = 26;

/// Size of a probe's envelope.
pub(super) const PROBE_BYTES: usize = 10;

/// The bytes are no envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed envelope")]
pub(super) struct MalformedEnvelope;

/// What came off the bus.
#[derive(Debug)]
pub(super) enum Envelope {
    Notification(NotificationEnvelope),
    Probe { partition: u8, round: u64 },
}

/// A notification as it came off the bus. Key and scopes lie in `payload`; `body` is a slice of it that is handed
/// to the sessions.
#[derive(Debug)]
pub(super) struct NotificationEnvelope {
    pub(super) partition: u8,
    pub(super) sequence: u64,
    pub(super) seq: u64,
    pub(super) body: Bytes,
    payload: Bytes,
    key: Range<usize>,
    scopes: Range<usize>,
}

impl NotificationEnvelope {
    pub(super) fn key(&self) -> &[u8] {
        &self.payload[self.key.clone()]
    }

    pub(super) fn scopes(&self) -> &[u8] {
        &self.payload[self.scopes.clone()]
    }
}

/// Writes the envelope of `notification`, the `sequence`th of its `partition`.
pub(super) fn encode_notification(partition: u8, sequence: u64, notification: &Notification) -> Bytes {
    let key = notification.key.as_bytes();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("keys and scopes are far below 4 GiB");
    let mut out = Vec::with_capacity(
        NOTIFICATION_HEADER_BYTES + key.len() + notification.scopes.len() + notification.body.len(),
    );
    out.push(NOTIFICATION);
    out.push(partition);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&notification.seq.to_le_bytes());
    out.extend_from_slice(&length(key).to_le_bytes());
    out.extend_from_slice(&length(&notification.scopes).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&notification.scopes);
    out.extend_from_slice(&notification.body);
    out.into()
}

/// Writes the probe of `round` for `partition`.
pub(super) fn encode_probe(partition: u8, round: u64) -> Bytes {
    let mut out = Vec::with_capacity(PROBE_BYTES);
    out.push(PROBE);
    out.push(partition);
    out.extend_from_slice(&round.to_le_bytes());
    out.into()
}

/// Reads an envelope without copying its content.
///
/// # Errors
/// [`MalformedEnvelope`] if `payload` is not what the functions above write.
pub(super) fn decode(payload: Bytes) -> Result<Envelope, MalformedEnvelope> {
    match *payload.first().ok_or(MalformedEnvelope)? {
        NOTIFICATION => decode_notification(payload).map(Envelope::Notification),
        PROBE if payload.len() == PROBE_BYTES => {
            Ok(Envelope::Probe { partition: payload[1], round: u64_at(&payload, 2)? })
        }
        _ => Err(MalformedEnvelope),
    }
}

fn decode_notification(payload: Bytes) -> Result<NotificationEnvelope, MalformedEnvelope> {
    let key_bytes = u32_at(&payload, 18)? as usize;
    let scopes_bytes = u32_at(&payload, 22)? as usize;
    let key = NOTIFICATION_HEADER_BYTES
        ..NOTIFICATION_HEADER_BYTES.checked_add(key_bytes).ok_or(MalformedEnvelope)?;
    let scopes = key.end..key.end.checked_add(scopes_bytes).ok_or(MalformedEnvelope)?;
    if scopes.end > payload.len() {
        return Err(MalformedEnvelope);
    }
    Ok(NotificationEnvelope {
        partition: payload[1],
        sequence: u64_at(&payload, 2)?,
        seq: u64_at(&payload, 10)?,
        body: payload.slice(scopes.end..),
        payload,
        key,
        scopes,
    })
}

fn u64_at(payload: &[u8], offset: usize) -> Result<u64, MalformedEnvelope> {
    let bytes = payload.get(offset..offset + 8).ok_or(MalformedEnvelope)?;
    Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}

fn u32_at(payload: &[u8], offset: usize) -> Result<u32, MalformedEnvelope> {
    let bytes = payload.get(offset..offset + 4).ok_or(MalformedEnvelope)?;
    Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RouteKey;

    fn notification(scopes: &'static [u8], body: &'static [u8]) -> Notification {
        Notification {
            key: RouteKey::new("account", "/thngs/1"),
            scopes: Bytes::from_static(scopes),
            seq: u64::MAX - 1,
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn a_notification_round_trips() {
        for (scopes, body) in [(&b"p1,p2"[..], &b"{\"value\":1}"[..]), (b"", b"x"), (b"p", b""), (b"", b"")] {
            let sent = notification(scopes, body);
            let Ok(Envelope::Notification(read)) = decode(encode_notification(63, 7, &sent)) else {
                panic!("no notification")
            };
            assert_eq!((read.partition, read.sequence, read.seq), (63, 7, u64::MAX - 1));
            assert_eq!((read.key(), read.scopes(), &read.body[..]), (sent.key.as_bytes(), scopes, body));
        }
    }

    #[test]
    fn the_body_is_a_slice_of_the_envelope_and_no_copy() {
        let payload = encode_notification(0, 1, &notification(b"scopes", b"body"));
        let inside = payload.as_ptr_range();
        let Ok(Envelope::Notification(read)) = decode(payload) else { panic!("no notification") };
        assert!(inside.contains(&read.body.as_ptr()));
    }

    #[test]
    fn a_probe_comes_out_as_it_went_in() {
        let payload = encode_probe(5, 99);
        assert_eq!(payload.len(), PROBE_BYTES);
        assert!(matches!(decode(payload), Ok(Envelope::Probe { partition: 5, round: 99 })));
    }

    #[test]
    fn every_truncation_within_header_key_and_scopes_is_malformed() {
        let payload = encode_notification(3, 1, &notification(b"scopes", b""));
        for length in 0..payload.len() {
            assert!(decode(payload.slice(..length)).is_err(), "{length} bytes were read as an envelope");
        }
        assert!(decode(encode_probe(1, 1).slice(..9)).is_err());
        assert!(decode(Bytes::from_static(&[9; 40])).is_err());
    }

    #[test]
    fn lengths_beyond_the_payload_are_malformed() {
        let mut payload = encode_notification(3, 1, &notification(b"", b"body")).to_vec();
        payload[18..26].fill(0xFF);
        assert_eq!(decode(payload.into()).err(), Some(MalformedEnvelope));
    }
}
