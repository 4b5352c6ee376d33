//! Properties of the codec for every packet and for arbitrary bytes.

mod mqtt_generated;

#[path = "../fuzz/src/mqtt_decode.rs"]
#[expect(unreachable_pub, reason = "it is public in the crate of the fuzz targets")]
mod check;

use mqtt_generated::{Sent, config, damaged, level, sent, sent_by, side};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use thng_pubsub_protocol::mqtt::Decoder;

/// Reads everything that is there, as a connection does after each read of its socket.
fn drain(decoder: &Decoder, unread: &mut Vec<u8>, mut each: impl FnMut(String)) {
    let mut consumed = 0;
    while let Some((packet, length)) = decoder.decode(&unread[consumed..]).expect("good packets") {
        each(format!("{packet:?}"));
        consumed += length;
    }
    unread.drain(..consumed);
}

fn conversation() -> impl Strategy<Value = Vec<Sent>> {
    (side(), level()).prop_flat_map(|(side, level)| vec(sent_by(side, level), 1..6))
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn a_packet_survives_encoding_and_decoding(sent in sent()) {
        let bytes = sent.bytes();
        prop_assert_eq!(sent.decoder().decode(&bytes), Ok(Some((sent.packet, bytes.len()))));
    }

    #[test]
    fn what_follows_a_packet_is_left_alone(sent in sent(), next in vec(any::<u8>(), 0..20)) {
        let mut bytes = sent.bytes();
        let length = bytes.len();
        bytes.extend(next);
        prop_assert_eq!(sent.decoder().decode(&bytes), Ok(Some((sent.packet, length))));
    }

    #[test]
    fn a_packet_is_appended_to_what_is_there(sent in sent(), before in vec(any::<u8>(), 0..20)) {
        let mut out = before.clone();
        sent.packet.encode(&mut out).unwrap();
        prop_assert_eq!(out, [before, sent.bytes()].concat());
    }

    #[test]
    fn the_beginning_of_a_packet_asks_for_more(sent in sent(), cut in any::<Index>()) {
        let bytes = sent.bytes();
        let decoder = sent.decoder();
        let first_bytes = 0..bytes.len().min(200);
        for length in first_bytes.chain([cut.index(bytes.len()), bytes.len() - 1]) {
            prop_assert_eq!(decoder.decode(&bytes[..length]), Ok(None));
        }
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_were_split(sent in conversation(), cuts in vec(any::<Index>(), 0..8)) {
        let bytes: Vec<u8> = sent.iter().flat_map(Sent::bytes).collect();
        let decoder = sent[0].decoder();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        ends.push(bytes.len());
        ends.sort_unstable();

        let (mut received, mut unread, mut start) = (Vec::new(), Vec::new(), 0);
        for end in ends {
            unread.extend_from_slice(&bytes[start..end]);
            drain(&decoder, &mut unread, |packet| received.push(packet));
            start = end;
        }
        prop_assert_eq!(received, sent.iter().map(|sent| format!("{:?}", sent.packet)).collect::<Vec<_>>());
        prop_assert!(unread.is_empty());
    }

    #[test]
    fn a_packet_above_the_limit_is_refused_by_its_header(sent in sent()) {
        let bytes = sent.bytes();
        let header_bytes = sent.decoder().frame(&bytes).unwrap().unwrap().header_bytes;
        let fits = Decoder { max_packet_bytes: bytes.len(), ..sent.decoder() };
        prop_assert!(fits.decode(&bytes).unwrap().is_some());
        let too_small = Decoder { max_packet_bytes: bytes.len() - 1, ..sent.decoder() };
        prop_assert!(too_small.decode(&bytes[..header_bytes]).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        check::check(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_good_header_are_read_without_a_panic(
        first_byte in 0x10..0xf0_u8, body in vec(any::<u8>(), 0..120),
    ) {
        check::check(&[&[first_byte, body.len() as u8], &body[..]].concat());
    }
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn damaged_packets_are_read_without_a_panic((_, bytes) in damaged(sent())) {
        check::check(&bytes);
    }
}
