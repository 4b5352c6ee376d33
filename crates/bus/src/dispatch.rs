//! A dispatcher: takes from the bus what has arrived and fans it out.
//!
//! Each dispatcher is a thread that owns some partitions. It works in chunks of at most 64 notifications: it checks
//! their sequence, groups them by key, offers them to the outbound queues, and returns their credit. The groups save
//! locks and wakes: each session's are taken once per group. It never waits for a session.
//!
//! It ends when its bus dies, when a newer bus has taken over, or when a gap in a sequence shows a loss that a replay
//! can repair. It then delivers nothing more, and the watchdog does the rest.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::error;

use super::Shared;
use super::carrier::{CarrierReceiver, Parcel};
use super::envelope::{self, Envelope, NotificationEnvelope};
use super::routes::{Run, Tally};

/// Notifications that are grouped and fanned out together. The members of a run are the bits of a `u64`.
const CHUNK_NOTIFICATIONS: usize = 64;

/// How long a dispatcher waits before it looks whether its bus is still the present one.
/// Only a router that hangs without dying makes this wait visible.
const RECEIVE_WAIT: Duration = Duration::from_millis(500);

/// What a dispatcher is doing, so that the watchdog can tell a dead bus from a busy dispatcher.
#[derive(Debug)]
pub(super) struct Activity {
    begun: Instant,
    busy: AtomicBool,
    /// When `busy` last changed, in microseconds since `begun`.
    changed_us: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), busy: AtomicBool::new(false), changed_us: AtomicU64::new(0) }
    }

    fn set_busy(&self, busy: bool) {
        self.changed_us.store(self.begun.elapsed().as_micros() as u64, Ordering::Release);
        self.busy.store(busy, Ordering::Release);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Since when it is busy, or idle.
    pub(super) fn since(&self) -> Instant {
        self.begun + Duration::from_micros(self.changed_us.load(Ordering::Acquire))
    }
}

/// Why a dispatcher ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DispatchEnd {
    /// Another bus has taken over, or the bus was stopped.
    Superseded,
    /// The bus died.
    CarrierDied,
    /// The bus lost notifications that are still in the window.
    Gap,
    /// It panicked; what it was fanning out may not have reached every subscriber, and is not repeated.
    Panicked,
}

/// One dispatcher's thread.
#[derive(Debug)]
pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    index: usize,
    generation: u64,
    notifications: Vec<NotificationEnvelope>,
    /// Hash of the key and position in `notifications`; sorted, so that the notifications of a key are side by side.
    order: Vec<(u64, u8)>,
    /// Partition and sequence of what this chunk has dealt with.
    done: Vec<(u8, u64)>,
}

impl Dispatcher {
    pub(super) fn new(shared: Arc<Shared>, index: usize, generation: u64) -> Self {
        Self {
            shared,
            index,
            generation,
            notifications: Vec::with_capacity(CHUNK_NOTIFICATIONS),
            order: Vec::with_capacity(CHUNK_NOTIFICATIONS),
            done: Vec::with_capacity(CHUNK_NOTIFICATIONS),
        }
    }

    /// Works until there is a reason to end.
    pub(super) fn run(mut self, mut receiver: Box<dyn CarrierReceiver>) {
        let work = panic::catch_unwind(AssertUnwindSafe(|| self.deliver_until_end(&mut *receiver)));
        let ended = work.unwrap_or(DispatchEnd::Panicked);
        self.shared.activity[self.index].set_busy(false);
        if ended != DispatchEnd::Superseded {
            self.shared.board.report(ended);
        }
    }

    fn deliver_until_end(&mut self, receiver: &mut dyn CarrierReceiver) -> DispatchEnd {
        let mut arrived = VecDeque::new();
        loop {
            self.shared.activity[self.index].set_busy(false);
            if receiver.receive(&mut arrived, RECEIVE_WAIT).is_err() {
                return DispatchEnd::CarrierDied;
            }
            self.shared.activity[self.index].set_busy(true);
            // Also when nothing arrived, since then the wait was over.
            loop {
                if self.shared.generation.load(Ordering::SeqCst) != self.generation {
                    return DispatchEnd::Superseded;
                }
                if arrived.is_empty() {
                    break;
                }
                let admitted = self.admit(&mut arrived);
                self.fan_out();
                if !admitted {
                    return DispatchEnd::Gap;
                }
            }
        }
    }

    /// Reads a chunk and checks its sequences. False if the bus lost something that a replay can bring.
    fn admit(&mut self, arrived: &mut VecDeque<Parcel>) -> bool {
        while self.notifications.len() < CHUNK_NOTIFICATIONS
            && let Some(Parcel { partition, payload }) = arrived.pop_front()
        {
            if !self.admit_one(partition, payload) {
                return false;
            }
        }
        true
    }

    fn admit_one(&mut self, partition: u8, payload: Bytes) -> bool {
        let shared = &self.shared;
        let seen = &shared.seen[usize::from(partition)];
        let expected = seen.load(Ordering::Relaxed) + 1;
        match envelope::decode(payload) {
            Ok(Envelope::Probe { partition: inside, round }) if inside == partition => {
                shared.board.probe_returned(partition, round);
            }
            Ok(Envelope::Notification(notification)) if notification.partition == partition => {
                if notification.sequence < expected {
                    shared.metrics.duplicates.inc();
                    // If it was not credited the first time, it must not stay in the window.
                    self.done.push((partition, notification.sequence));
                    return true;
                }
                if notification.sequence > expected
                    && self.is_gap_repairable(partition, expected, notification.sequence)
                {
                    return false;
                }
                seen.store(notification.sequence, Ordering::Relaxed);
                self.done.push((partition, notification.sequence));
                self.notifications.push(notification);
            }
            Ok(_) | Err(_) => {
                error!(partition, sequence = expected, "notification lost: its envelope is malformed");
                shared.metrics.malformed.inc();
                // It replaces the next notification, whose credit is returned with the chunk.
                seen.store(expected, Ordering::Relaxed);
                self.done.push((partition, expected));
            }
        }
        true
    }

    /// Reports that `expected..sequence` did not arrive. True if they can be replayed.
    fn is_gap_repairable(&self, partition: u8, expected: u64, sequence: u64) -> bool {
        let missing = sequence - expected;
        self.shared.metrics.gaps.inc_by(missing);
        let repairable = self.shared.flow.is_in_flight(partition, expected);
        error!(partition, expected, sequence, missing, repairable, "the bus lost notifications");
        repairable
    }

    /// Offers the chunk to the outbound queues and returns its credit.
    fn fan_out(&mut self) {
        let shared = &self.shared;
        let hashes = self.notifications.iter().map(|notification| shared.table.hash(notification.key()));
        self.order.extend(hashes.zip(0_u8..));
        self.order.sort_unstable();
        let same_key = |a: &(u64, u8), b: &(u64, u8)| {
            a.0 == b.0
                && self.notifications[usize::from(a.1)].key() == self.notifications[usize::from(b.1)].key()
        };
        let mut tally = Tally::default();
        for members in self.order.chunk_by(same_key) {
            let (hash, first) = members[0];
            let first = &self.notifications[usize::from(first)];
            if let Some(topic) = shared.table.find(first.partition, hash, first.key()) {
                topic.fan_out(&Run { notifications: &self.notifications, members }, &mut tally);
            }
        }
        if !self.notifications.is_empty() {
            shared.metrics.batch.observe(self.notifications.len() as f64);
            count(&tally, shared);
        }
        if !self.done.is_empty() {
            shared.flow.credit(&self.done);
        }
        self.notifications.clear();
        self.order.clear();
        self.done.clear();
    }
}

fn count(tally: &Tally, shared: &Shared) {
    shared.metrics.delivered.inc_by(tally.delivered);
    super::outbound_queue::QUEUE_TOTALS.add(tally.delivered, tally.delivered_bytes);
    shared.metrics.dropped_queue_full.inc_by(tally.dropped);
    shared.metrics.overflowed.inc_by(tally.overflowed);
}
