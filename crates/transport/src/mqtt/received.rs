//! QoS 2 publishes that were acknowledged with PUBREC and wait for their PUBREL, by packet id.
//!
//! There are no more of them than packet ids, so their own number is the bound: a client may send a burst of any size
//! before it releases the first. A connection that sends nothing at QoS 2 holds nothing.

use thng_pubsub_protocol::mqtt::PacketId;

const WORDS: usize = (u16::MAX as usize + 1) / u64::BITS as usize;

/// A set of packet ids: 8 KiB where there are any.
#[derive(Debug, Default)]
pub(super) struct ReceivedIds {
    bits: Option<Box<[u64; WORDS]>>,
    count: usize,
}

fn place(id: PacketId) -> (usize, u64) {
    let number = usize::from(id.get());
    (number / u64::BITS as usize, 1 << (number % u64::BITS as usize))
}

impl ReceivedIds {
    pub(super) fn contains(&self, id: PacketId) -> bool {
        let (word, bit) = place(id);
        self.bits.as_ref().is_some_and(|bits| bits[word] & bit != 0)
    }

    pub(super) fn insert(&mut self, id: PacketId) {
        let (word, bit) = place(id);
        let bits = self.bits.get_or_insert_with(|| Box::new([0; WORDS]));
        self.count += usize::from(bits[word] & bit == 0);
        bits[word] |= bit;
    }

    pub(super) fn remove(&mut self, id: PacketId) {
        let (word, bit) = place(id);
        let Some(bits) = &mut self.bits else { return };
        self.count -= usize::from(bits[word] & bit != 0);
        bits[word] &= !bit;
        if self.count == 0 {
            self.bits = None;
        }
    }
}

impl FromIterator<PacketId> for ReceivedIds {
    fn from_iter<I: IntoIterator<Item = PacketId>>(ids: I) -> Self {
        let mut received = Self::default();
        ids.into_iter().for_each(|id| received.insert(id));
        received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).expect("not zero")
    }

    #[test]
    fn it_holds_every_packet_id_and_nothing_once_all_are_gone() {
        let mut received: ReceivedIds = (1..=u16::MAX).map(id).collect();
        received.insert(id(7));
        assert!((1..=u16::MAX).all(|number| received.contains(id(number))));
        for number in (1..u16::MAX).chain([9]) {
            received.remove(id(number));
        }
        assert!(received.contains(id(u16::MAX)) && !received.contains(id(64)));
        received.remove(id(u16::MAX));
        assert!(received.bits.is_none() && !received.contains(id(1)));
    }
}
