//! The only file that reads the time, so that a test can hold it still, and what the server makes of a clock that is set.
//!
//! Clocks are set: by hand, by NTP, by a machine that wakes up. After a small step back,
//! the server's time stays at the last one that it gave. A large step is followed, because a clock that was days ahead
//! must not stop time for days.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A step of the clock that is not followed back, and not taken for the passing of time: milliseconds.
pub use thng_pubsub_store::CLOCK_STEP_MS as STEP_MS;

/// How long the clock has to run evenly before sessions expire by it.
const EVEN_FOR: Duration = Duration::from_secs(3_600);

/// What the time is.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's own clock.
    System,
    /// A time that only changes when a test says so.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Milliseconds since the epoch; 0 on a machine whose clock is before it.
    pub fn now_ms(&self) -> i64 {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the place")]
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Self::Manual(at_ms) => at_ms.load(Ordering::Relaxed),
        }
    }
}

/// The times that the server makes, one after the other.
#[derive(Debug)]
pub struct ServerTime {
    clock: Clock,
    last_ms: i64,
}

/// A time that the server made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssignedTime {
    pub now_ms: i64,
    /// How far behind the last time this one is, where the clock was set back by more than [`STEP_MS`].
    pub set_back_ms: Option<i64>,
}

impl ServerTime {
    /// `last_ms` is the last time that an earlier run of the server made.
    pub fn new(clock: Clock, last_ms: Option<i64>) -> Self {
        Self { clock, last_ms: last_ms.unwrap_or(i64::MIN) }
    }

    /// The time now.
    pub fn make(&mut self) -> AssignedTime {
        let clock_ms = self.clock.now_ms();
        let behind_ms = self.last_ms.saturating_sub(clock_ms);
        let is_followed = !(1..=STEP_MS).contains(&behind_ms);
        if is_followed {
            self.last_ms = clock_ms;
        }
        AssignedTime { now_ms: self.last_ms, set_back_ms: (behind_ms > STEP_MS).then_some(behind_ms) }
    }
}

/// Whether the clock has run evenly for long enough to end by it what waits for days.
#[derive(Debug)]
pub struct EvenClock {
    clock: Clock,
    /// How long it has to run evenly.
    wait: Duration,
    even_since: Instant,
    last: (i64, Instant),
}

/// How a clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It has run evenly for long enough.
    Even { now_ms: i64 },
    /// It has not yet.
    Waiting,
    /// It was set by so much since it was last looked at.
    Set { by_ms: i64 },
}

impl EvenClock {
    /// For what waits for `after`: a short wait needs no longer a look at the clock.
    pub fn new(clock: Clock, after: Duration, at: Instant) -> Self {
        let now_ms = clock.now_ms();
        Self { clock, wait: after.min(EVEN_FOR), even_since: at, last: (now_ms, at) }
    }

    /// Looks at the clock; `at` is the time that no setting changes.
    pub fn look(&mut self, at: Instant) -> Run {
        let now_ms = self.clock.now_ms();
        let (last_ms, last_at) = std::mem::replace(&mut self.last, (now_ms, at));
        let passed_ms = i64::try_from((at - last_at).as_millis()).unwrap_or(i64::MAX);
        let by_ms = now_ms.saturating_sub(last_ms).saturating_sub(passed_ms);
        if by_ms.abs() > STEP_MS {
            self.even_since = at;
            return Run::Set { by_ms };
        }
        if at - self.even_since < self.wait { Run::Waiting } else { Run::Even { now_ms } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manual(at_ms: i64) -> (Clock, Arc<AtomicI64>) {
        let manual = Arc::new(AtomicI64::new(at_ms));
        (Clock::Manual(Arc::clone(&manual)), manual)
    }

    #[test]
    fn assigned_times_ignore_small_steps_back_and_follow_large_ones() {
        let (clock, manual) = manual(10_000_000);
        let mut time = ServerTime::new(clock, None);
        let mut at = |clock_ms: i64| {
            manual.store(clock_ms, Ordering::Relaxed);
            let AssignedTime { now_ms, set_back_ms } = time.make();
            (now_ms, set_back_ms)
        };
        assert_eq!(at(10_000_000), (10_000_000, None));
        assert_eq!(at(10_000_000 - STEP_MS), (10_000_000, None), "five minutes back");
        assert_eq!(at(10_000_001), (10_000_001, None));
        assert_eq!(at(10_000_000 - STEP_MS), (10_000_000 - STEP_MS, Some(STEP_MS + 1)), "and a bit more");
        assert_eq!(at(10_000_000 - STEP_MS - 1), (10_000_000 - STEP_MS, None));
        assert_eq!(at(99_000_000), (99_000_000, None), "forward at once");
    }

    #[test]
    fn a_restart_goes_on_behind_the_last_made_time() {
        let (clock, manual) = manual(1_000);
        assert_eq!(ServerTime::new(clock.clone(), Some(1_500)).make().now_ms, 1_500);
        manual.store(2_000, Ordering::Relaxed);
        assert_eq!(ServerTime::new(clock.clone(), Some(1_500)).make().now_ms, 2_000);
        let hour = 3_600_000;
        let made = ServerTime::new(clock, Some(2_000 + hour)).make();
        assert_eq!((made.now_ms, made.set_back_ms), (2_000, Some(hour)));
    }

    #[test]
    fn nothing_expires_by_a_clock_that_was_just_set() {
        const DAYS_MS: i64 = 3 * 86_400_000;
        let (clock, manual) = manual(0);
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let mut even = EvenClock::new(clock, Duration::from_secs(604_800), start);
        // One look a minute; the clock is days ahead for one of them.
        let mut ahead_ms = 0;
        let looks: Vec<Run> = (1..=130_i64)
            .map(|minutes| {
                match minutes {
                    65 => ahead_ms = DAYS_MS,
                    66 => ahead_ms = 0,
                    _ => {}
                }
                manual.store(minutes * 60_000 + ahead_ms, Ordering::Relaxed);
                even.look(start + minute * minutes as u32)
            })
            .collect();
        assert!(looks[..59].iter().all(|run| *run == Run::Waiting), "an hour from the start");
        assert_eq!(looks[59], Run::Even { now_ms: 60 * 60_000 });
        assert_eq!(looks[64..66], [Run::Set { by_ms: DAYS_MS }, Run::Set { by_ms: -DAYS_MS }]);
        assert!(looks[66..125].iter().all(|run| *run == Run::Waiting), "an hour from the last setting");
        assert!(matches!(looks[125], Run::Even { .. }));
    }

    #[test]
    fn a_short_wait_needs_an_even_clock_no_longer_than_itself() {
        let (clock, manual) = manual(0);
        let start = Instant::now();
        let mut even = EvenClock::new(clock, Duration::from_secs(1), start);
        manual.store(1_000, Ordering::Relaxed);
        assert_eq!(even.look(start + Duration::from_secs(1)), Run::Even { now_ms: 1_000 });
    }
}
