//! When to try again after a connection was lost: exponential back-off with full jitter.
//!
//! The delay is drawn evenly from zero to a bound that doubles with every attempt.
//! So the clients of a restarted server spread out instead of returning in waves.

use crate::options::Options;

/// How long a connection has to last before the next failure counts as the first one again, in milliseconds.
/// Shorter, and a server that accepts and closes at once would be asked again and again without a pause.
const STABLE_MS: u64 = 10_000;

#[derive(Debug)]
pub(crate) struct Backoff {
    first_ms: u64,
    max_ms: u64,
    attempt: u32,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            first_ms: options.reconnect_ms.into(),
            max_ms: options.reconnect_ms_max.max(options.reconnect_ms).into(),
            attempt: 0,
            // Zero is the one state that xorshift never leaves.
            random: options.seed.max(1),
        }
    }

    /// The server has answered a call: the next failure counts as the first one again. What each connection asks by
    /// itself is no call, or a server that answers it and closes would be asked again and again without a pause.
    pub(crate) fn connection_served(&mut self) {
        self.attempt = 0;
    }

    /// A connection has ended after this many milliseconds in use.
    pub(crate) fn connection_lasted(&mut self, ms: u64) {
        if ms >= STABLE_MS {
            self.attempt = 0;
        }
    }

    /// How long to wait before the next attempt, in milliseconds.
    pub(crate) fn next_delay_ms(&mut self) -> u64 {
        let bound = self.first_ms.saturating_mul(1 << self.attempt.min(32)).min(self.max_ms);
        self.attempt = self.attempt.saturating_add(1);
        self.next_random() % (bound + 1)
    }

    /// xorshift64*: good enough to spread clients, and a few bytes of code.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(seed: u64) -> Backoff {
        Backoff::new(&Options { reconnect_ms: 100, reconnect_ms_max: 1_000, seed, ..Options::default() })
    }

    /// The largest and the smallest delay of each attempt over many sessions.
    fn range_of_attempts(attempts: usize) -> Vec<(u64, u64)> {
        let mut ranges = vec![(u64::MAX, 0); attempts];
        for seed in 0..2_000 {
            let mut backoff = backoff(seed * 7_919);
            for range in &mut ranges {
                let delay = backoff.next_delay_ms();
                *range = (range.0.min(delay), range.1.max(delay));
            }
        }
        ranges
    }

    #[test]
    fn delays_double_up_to_the_maximum_and_use_the_whole_range() {
        for (attempt, (min, max)) in range_of_attempts(6).into_iter().enumerate() {
            let bound = (100 << attempt).min(1_000);
            assert!(max <= bound, "attempt {attempt}: {max} > {bound}");
            assert!(
                max > bound * 98 / 100,
                "attempt {attempt}: nothing near the bound {bound}, at most {max}"
            );
            assert!(min < bound * 2 / 100, "attempt {attempt}: no jitter down to zero, at least {min}");
        }
    }

    #[test]
    fn only_a_connection_that_lasted_starts_the_count_again() {
        let mut backoff = backoff(3);
        for _ in 0..20 {
            backoff.next_delay_ms();
        }
        backoff.connection_lasted(STABLE_MS - 1);
        assert_eq!(backoff.attempt, 20);
        backoff.connection_lasted(STABLE_MS);
        assert!(backoff.next_delay_ms() <= 100);
    }

    #[test]
    fn endless_attempts_do_not_overflow() {
        let mut backoff = Backoff::new(&Options {
            reconnect_ms: u32::MAX,
            reconnect_ms_max: u32::MAX,
            ..Options::default()
        });
        for _ in 0..10_000 {
            assert!(backoff.next_delay_ms() <= u32::MAX.into());
        }
    }
}
