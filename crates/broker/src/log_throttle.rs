//! Log lines that a client can cause at will, kept to a number that a disk and a reader can take.
//!
//! Metrics count all of them; the log shows the first of each second and says how many were left out.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// Lines a second.
const LINES_MAX: u64 = 20;

/// A budget of lines, shared by those who log the same kind of thing.
#[derive(Debug)]
pub struct LogThrottle {
    begun: Instant,
    /// The second that is being counted (upper half), and the lines that were asked for in it (lower half).
    window: AtomicU64,
    suppressed: AtomicU64,
}

impl Default for LogThrottle {
    fn default() -> Self {
        Self { begun: Instant::now(), window: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }
}

impl LogThrottle {
    /// A budget of which nothing is used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a line may be written now, and how many were not since the last one that was.
    pub fn admit(&self) -> Option<u64> {
        self.admit_at(self.begun.elapsed().as_secs())
    }

    fn admit_at(&self, second: u64) -> Option<u64> {
        let count = |window: u64| if window >> 32 == second { window + 1 } else { second << 32 | 1 };
        let before =
            self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |window| Some(count(window)));
        let lines = count(before.unwrap_or_default()) & u64::from(u32::MAX);
        if lines <= LINES_MAX {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_of_a_second_are_written_and_others_counted() {
        let throttle = LogThrottle::new();
        let written = (0..100).filter(|_| throttle.admit_at(5).is_some()).count();
        assert_eq!(written as u64, LINES_MAX);
        assert_eq!(throttle.admit_at(6), Some(100 - LINES_MAX));
        assert_eq!(throttle.admit_at(6), Some(0));
    }
}
