//! Runs scans of lists in slices: fair between accounts and keys, bounded, and ended when the client has gone.
//!
//! Between two slices a scan gives its turn to others. It also returns to the runtime there, which drops the scan when its
//! connection has ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::scan_queue::{QueueFull, ScanPermit, ScanQueue};
use crate::{
    auth::Principal,
    error::{BrokerError, LogFailure as _},
    metrics::Metrics,
    polls,
    request::RequestContext,
    settings::ScanLimits,
};
use thng_pubsub_store::{ListRequest, ScanBounds, ScanProgress, StoreError};

/// How long a scan keeps a turn: what another account waits for at the most, times the scans that run at once.
const SLICE: Duration = Duration::from_millis(10);

/// Which bound ended a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Items,
    Bytes,
    Time,
}

impl Bound {
    fn name(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Bytes => "bytes",
            Self::Time => "time",
        }
    }
}

/// The time for which other work than a scan has a turn.
#[derive(Debug)]
pub(crate) struct Slice(Instant);

impl Slice {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Whether it is time to let others go first.
    pub(crate) fn is_used_up(&self) -> bool {
        self.0.elapsed() >= SLICE
    }
}

/// The scans of all callers.
#[derive(Debug)]
pub(crate) struct Scans {
    turns: Arc<ScanQueue>,
    limits: ScanLimits,
    metrics: Arc<Metrics>,
}

/// The right to scan, for a slice at a time.
#[derive(Debug)]
pub(crate) struct ScanLease(Option<ScanPermit>);

/// The work of one scan.
#[derive(Debug)]
pub(crate) struct Scan<'s> {
    scans: &'s Scans,
    passes: u64,
    /// Items that it may look at.
    items_max: usize,
    items: usize,
    work_bytes: u64,
    worked: Duration,
}

impl Scans {
    pub(crate) fn new(limits: ScanLimits, metrics: Arc<Metrics>) -> Result<Self, prometheus::Error> {
        let turns = ScanQueue::new(limits.at_a_time, limits.queue_max);
        let waiting = Arc::clone(&turns);
        metrics.show_scans_waiting(move || waiting.waiting())?;
        Ok(Self { turns, limits, metrics })
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self, request: &RequestContext) -> Result<ScanLease, BrokerError> {
        self.turn_of(request.principal()).await
    }

    /// As [`turn`](Self::turn).
    pub(crate) async fn turn_of(&self, principal: &Principal) -> Result<ScanLease, BrokerError> {
        let turn = self.turns.take(principal.account, principal.key).await;
        turn.map(|turn| ScanLease(Some(turn))).map_err(|QueueFull| {
            self.metrics.scans_refused.with_label_values(&["queue"]).inc();
            BrokerError::TooManyScans
        })
    }

    /// Lets those go first that wait.
    pub(crate) async fn pass_on(
        &self,
        turn: &mut ScanLease,
        request: &RequestContext,
    ) -> Result<(), BrokerError> {
        if self.turns.waiting() > 0 {
            turn.0 = None;
            *turn = self.turn(request).await?;
        }
        // Where the client has gone, the scan is dropped here.
        tokio::task::yield_now().await;
        Ok(())
    }

    pub(crate) fn begin(&self, passes: u64, items_max: usize) -> Scan<'_> {
        Scan { scans: self, passes, items_max, items: 0, work_bytes: 0, worked: Duration::ZERO }
    }

    /// The refusal of what may not end early, and would.
    pub(crate) fn refused(&self, bound: Bound, sentence: &str) -> BrokerError {
        self.metrics.scans_refused.with_label_values(&[bound.name()]).inc();
        let setting = match bound {
            Bound::Items => "",
            Bound::Bytes => " The bound is --scan-bytes-max.",
            Bound::Time => " The bound is --scan-time-max-ms.",
        };
        BrokerError::invalid(format!("{sentence}{setting}"))
    }
}

impl Scan<'_> {
    /// Scans for a slice of time, from where `list` says.
    pub(crate) fn slice<'f, T>(
        &mut self,
        list: &mut ListRequest<'f>,
        scan: impl FnOnce(&ListRequest<'f>) -> Result<T, StoreError>,
    ) -> Result<T, BrokerError> {
        let begin = Instant::now();
        let limits = &self.scans.limits;
        list.looked_at_max = self.items_max.saturating_sub(self.items);
        list.bounds = ScanBounds {
            work_bytes: limits.bytes_max.saturating_sub(self.work_bytes),
            passes: self.passes,
            until: Some(begin + SLICE.min(limits.time_max.saturating_sub(self.worked))),
            page_bytes: list.bounds.page_bytes,
        };
        let part = polls::blocking(|| scan(list));
        self.worked += begin.elapsed();
        part.log_failure()
    }

    /// Which bound the scan has reached, if it has; `scanned` is its last slice.
    pub(crate) fn is_used_up(&mut self, scanned: &ScanProgress) -> Option<Bound> {
        self.items += scanned.items;
        self.work_bytes += scanned.work_bytes;
        let limits = &self.scans.limits;
        let bound = match () {
            () if self.items >= self.items_max => Bound::Items,
            () if self.work_bytes >= limits.bytes_max => Bound::Bytes,
            () if self.worked >= limits.time_max => Bound::Time,
            () => return None,
        };
        self.scans.metrics.scans_ended_early.with_label_values(&[bound.name()]).inc();
        Some(bound)
    }
}
