//! The one place where the time is read, so that a test can hold it still.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// What the time is.
#[derive(Debug, Clone)]
pub(crate) enum Clock {
    /// The machine's own clock.
    System,
    /// A time that only changes when a test says so.
    #[cfg_attr(not(test), expect(dead_code, reason = "made by tests only"))]
    Held(Arc<AtomicI64>),
}

impl Clock {
    /// Milliseconds since the epoch; 0 on a machine whose clock stands before it.
    pub(crate) fn now_ms(&self) -> i64 {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the place")]
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Self::Held(at_ms) => at_ms.load(Ordering::Relaxed),
        }
    }
}
