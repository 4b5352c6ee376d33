//! How long a test waits, what time it is, and which numbers are random.
//!
//! Every wait of the harness ends by [`WAIT_MAX`]; a test that passes never waits that long.
//! The one pause between two looks at a condition is here, so that no test has a fixed sleep.

use std::fmt::Display;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a wait is given before the test fails: long, because two cores may be shared with a build.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// Between two checks of a condition without a signal.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Looks until `look` finds something, at most [`WAIT_MAX`] long.
///
/// # Panics
/// When the time is up, with `what` as the sentence of what never came.
#[track_caller]
pub fn until<T>(what: impl Display, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {WAIT_MAX:?} in vain until {what}");
        std::thread::park_timeout(BETWEEN_LOOKS);
    }
}

/// Returns at this moment, for what happens on a schedule.
pub fn park_until(due: Instant) {
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Milliseconds since the epoch, by this machine's clock, which is the server's clock too.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the tests compare the server's timestamps with the real time")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970");
    u64::try_from(since.as_millis()).expect("the year is before 500,000,000")
}

/// Random numbers whose seed is in the output of a failing test.
///
/// `THNG_PUBSUB_TEST_SEED` repeats a run as far as the numbers decide it.
#[must_use]
pub fn random() -> fastrand::Rng {
    let seed = environment("THNG_PUBSUB_TEST_SEED")
        .map(|text| text.parse().expect("THNG_PUBSUB_TEST_SEED is a whole number"))
        .unwrap_or_else(|| fastrand::u64(..));
    eprintln!("random numbers from THNG_PUBSUB_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// How often a test repeats what random choices decide, where `usual` is enough in the suite.
#[must_use]
pub fn rounds(usual: usize) -> usize {
    environment("THNG_PUBSUB_TEST_ROUNDS").map_or(usual, |count| count.parse().expect("a number of rounds"))
}

/// One variable of the test run's own settings.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the settings of the test run, not of the server")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
