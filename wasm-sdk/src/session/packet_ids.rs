//! Which packet identifiers are free. Nothing that waits for an answer may share its number with another
//! `[MQTT-2.3.1-2]` `[MQTT-2.3.1-4]`, and SUBSCRIBE, UNSUBSCRIBE and PUBLISH draw from the same 65,535.

use thng_pubsub_protocol::mqtt::PacketId;

const WORD_BITS: usize = u64::BITS as usize;
const WORDS: usize = (u16::MAX as usize + 1) / WORD_BITS;

#[derive(Debug)]
pub(super) struct PacketIds {
    next: PacketId,
    free: usize,
    /// One bit for each number.
    in_use: Vec<u64>,
}

impl PacketIds {
    pub(super) fn new() -> Self {
        Self { next: PacketId::MIN, free: u16::MAX.into(), in_use: vec![0; WORDS] }
    }

    /// A free identifier, which is now in use; `None` when all are.
    ///
    /// They go round, so that one that was just released is the last to come again: an acknowledgement that is late
    /// or sent twice does not meet a new packet.
    pub(super) fn take(&mut self) -> Option<PacketId> {
        if self.free == 0 {
            return None;
        }
        while self.is_in_use(self.next) {
            self.next = self.next.successor();
        }
        let id = self.next;
        self.next = id.successor();
        self.free -= 1;
        *self.word(id) |= Self::bit(id);
        Some(id)
    }

    /// Gives back an identifier that [`take`](Self::take) gave out.
    pub(super) fn release(&mut self, id: PacketId) {
        debug_assert!(self.is_in_use(id), "{id:?} was released twice");
        self.free += 1;
        *self.word(id) &= !Self::bit(id);
    }

    #[cfg(test)]
    pub(super) fn are_all_free(&self) -> bool {
        self.free == usize::from(u16::MAX)
    }

    fn is_in_use(&self, id: PacketId) -> bool {
        self.in_use[usize::from(id.get()) / WORD_BITS] & Self::bit(id) != 0
    }

    fn word(&mut self, id: PacketId) -> &mut u64 {
        &mut self.in_use[usize::from(id.get()) / WORD_BITS]
    }

    fn bit(id: PacketId) -> u64 {
        1 << (usize::from(id.get()) % WORD_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    #[test]
    fn all_65535_numbers_are_given_out_once_and_then_none() {
        let mut ids = PacketIds::new();
        for number in 1..=u16::MAX {
            assert_eq!(ids.take(), Some(id(number)));
        }
        assert_eq!(ids.take(), None);
        ids.release(id(40_000));
        assert_eq!(ids.take(), Some(id(40_000)));
        assert_eq!(ids.take(), None);
    }

    #[test]
    fn a_released_number_is_not_the_next_one() {
        let mut ids = PacketIds::new();
        let first = ids.take().unwrap();
        ids.release(first);
        assert_eq!(ids.take(), Some(id(2)));
    }

    #[test]
    fn numbers_in_use_are_skipped_when_the_count_comes_round() {
        let mut ids = PacketIds::new();
        let remaining = ids.take().unwrap();
        for _ in 0..u16::MAX {
            let taken = ids.take().unwrap();
            assert_ne!(taken, remaining);
            ids.release(taken);
        }
    }
}
