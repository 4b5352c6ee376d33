//! Two other implementations of MQTT 3.1.1 read what we write, write what we read, and judge what was damaged.
//!
//! Where they differ from us, they differ by a rule that is listed beside them with bytes that show it.

#[path = "../mqtt_generated/mod.rs"]
mod mqtt_generated;
mod protocol_core;
mod rumqttd;

use std::fmt::Debug;

use mqtt_generated::{config, damaged, sent, sent_at};
use proptest::prelude::*;
use protocol_core::ProtocolCore;
use rumqttd::Rumqttd;
use thng_pubsub_protocol::mqtt::{Connect, Decoder, Packet, PacketError, ProtocolLevel, Side};

/// Another implementation. It knows level 3.1.1 and no sides.
trait Oracle {
    type Packet: PartialEq + Debug;

    /// The rules that it does not hold, each with a packet that it lets pass.
    const LAX: &[(PacketError, &[u8])];

    /// Its packet of the same meaning, or `None` if it has none, for a reason that is given where that is decided.
    fn same(packet: &Packet<'_>) -> Option<Self::Packet>;

    /// The bytes that it writes for its [`same`](Self::same) packet; `None` also if it cannot write what it can read.
    fn encode(packet: &Packet<'_>) -> Option<Vec<u8>>;

    /// The packet at the start of the bytes.
    fn decode(bytes: &[u8]) -> Result<Self::Packet, String>;
}

fn writes_what_we_write<O: Oracle>(packet: &Packet<'_>, ours: &[u8]) -> Result<(), TestCaseError> {
    if let Some(theirs) = O::encode(packet) {
        prop_assert_eq!(theirs, ours);
    }
    Ok(())
}

fn reads_what_we_write<O: Oracle>(packet: &Packet<'_>, ours: &[u8]) -> Result<(), TestCaseError> {
    if let Some(same) = O::same(packet) {
        prop_assert_eq!(O::decode(ours), Ok(same));
    }
    Ok(())
}

fn judges_like_us<O: Oracle>(decoder: &Decoder, bytes: &[u8]) -> Result<(), TestCaseError> {
    match decoder.decode(bytes) {
        Ok(Some((packet, consumed))) => reads_what_we_write::<O>(&packet, &bytes[..consumed]),
        Ok(None) => {
            prop_assert!(O::decode(bytes).is_err(), "they read a packet where we wait for more");
            Ok(())
        }
        Err(error) => {
            let known = O::LAX.iter().any(|(lax, _)| *lax == error);
            let theirs = O::decode(bytes);
            prop_assert!(known || theirs.is_err(), "they read {theirs:?} where we say: {error}");
            Ok(())
        }
    }
}

fn lets_pass_what_is_listed<O: Oracle>() {
    for (error, bytes) in O::LAX {
        let refused_by =
            [Side::Client, Side::Server].map(|side| Decoder::new(side, usize::MAX).decode(bytes));
        assert!(refused_by.contains(&Err(*error)), "we say of {bytes:02x?}: {refused_by:?}, not {error}");
        assert!(O::decode(bytes).is_ok(), "they refuse {bytes:02x?} too: {error} can be taken off the list");
    }
}

#[test]
fn each_listed_laxness_of_rumqttd_is_one() {
    lets_pass_what_is_listed::<Rumqttd>();
}

#[test]
fn each_listed_laxness_of_protocol_core_is_one() {
    lets_pass_what_is_listed::<ProtocolCore>();
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn both_write_the_bytes_that_we_write(sent in sent()) {
        writes_what_we_write::<Rumqttd>(&sent.packet, &sent.bytes())?;
        writes_what_we_write::<ProtocolCore>(&sent.packet, &sent.bytes())?;
    }

    #[test]
    fn both_read_in_our_bytes_what_we_meant(sent in sent()) {
        reads_what_we_write::<Rumqttd>(&sent.packet, &sent.bytes())?;
        reads_what_we_write::<ProtocolCore>(&sent.packet, &sent.bytes())?;
    }

    #[test]
    fn connect_of_3_1_is_theirs_of_3_1_1_but_for_its_beginning(sent in sent_at(ProtocolLevel::V3_1)) {
        if let Packet::Connect(connect) = sent.packet {
            let theirs = Packet::Connect(Connect { level: ProtocolLevel::V3_1_1, ..connect });
            let theirs = ProtocolCore::encode(&theirs).unwrap();
            let header_bytes = |bytes: &[u8]| sent.decoder().frame(bytes).unwrap().unwrap().header_bytes;
            let behind_level = &theirs[header_bytes(&theirs) + b"\0\x04MQTT\x04".len()..];
            let ours = sent.bytes();
            prop_assert_eq!(&ours[header_bytes(&ours)..], &[b"\0\x06MQIsdp\x03", behind_level].concat());
        }
    }
}

proptest! {
    #![proptest_config(config(6_000))]

    #[test]
    fn both_judge_damaged_bytes_like_us((sent, bytes) in damaged(sent_at(ProtocolLevel::V3_1_1))) {
        judges_like_us::<Rumqttd>(&sent.decoder(), &bytes)?;
        judges_like_us::<ProtocolCore>(&sent.decoder(), &bytes)?;
    }
}
