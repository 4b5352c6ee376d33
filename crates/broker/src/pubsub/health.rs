//! Says whether writes are stored and notifications delivered right now.

use std::time::{Duration, Instant};

use super::PubSub;
use crate::commands;

/// How long the answer of a probe is good for.
const PROBE_AGE: Duration = Duration::from_secs(1);

/// How long a probe may take before the store counts as not there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The last check of the store.
#[derive(Debug, Default)]
pub(super) struct Probe {
    last: tokio::sync::Mutex<Option<(Instant, Result<(), &'static str>)>>,
}

impl PubSub {
    /// Whether the server can store writes and send their notifications.
    ///
    /// The check is a write of its own, so that a store that has recovered is noticed without any other write. Checks
    /// within [`PROBE_AGE`] of each other get the same answer.
    ///
    /// # Errors
    /// A sentence that says what does not work.
    pub async fn ready(&self) -> Result<(), &'static str> {
        if !self.delivers() {
            return Err("Notifications are not delivered right now; the bus is being rebuilt.");
        }
        let mut last = self.probe.last.lock().await;
        if let Some((when, outcome)) = &*last
            && when.elapsed() < PROBE_AGE
        {
            return *outcome;
        }
        let outcome = match tokio::time::timeout(PROBE_TIMEOUT, self.shared.execute(commands::Probe, 0)).await
        {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("The store cannot be written; the log of the server says why."),
            Err(_) => Err("The store does not answer in time; its disk may be too slow."),
        };
        *last = Some((Instant::now(), outcome));
        outcome
    }

    /// Whether notifications get through right now. A bus that died is rebuilt within seconds; until then writes are
    /// stored, and their notifications wait.
    pub fn delivers(&self) -> bool {
        self.bus.health().alive
    }
}
