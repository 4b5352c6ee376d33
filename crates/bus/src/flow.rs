//! The publisher's side: sequence numbers, byte credits, and what is on the way.
//!
//! A notification gets the next sequence number of its partition and is queued as pending. As soon as the credits
//! cover it, it moves into the in-flight window and onto the bus. At low rates the publishing thread moves it, which
//! saves a hop; otherwise the dispatcher that returns credits does. The window keeps it until it has been dispatched,
//! so that a new bus can be given everything that the old one did not deliver.
//!
//! Progress needs no timer. A notification that is alone always gets credit, so while something is pending on an
//! attached bus, something is in flight; and everything in flight comes back or is replayed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::carrier::{CarrierSender, PARCEL_OVERHEAD, Parcel};
use super::envelope::{encode_notification, encode_probe};
use super::metrics::Metrics;
use super::notification::Notification;
use super::{BusSettings, PARTITIONS};

/// Notifications that are encoded and handed over together. The router starts on one chunk while the next is made.
const CHUNK_NOTIFICATIONS: usize = 64;

/// The longest deadline of a flush; beyond it an `Instant` could overflow.
const FLUSH_MAX: Duration = Duration::from_secs(24 * 3600);

/// See the module's text.
pub(super) struct Flow {
    /// The last sequence given out, per partition. Held for a whole `publish`, so that calls do not mix.
    sequences: Mutex<[u64; PARTITIONS]>,
    state: Mutex<State>,
    /// Pending bytes went down to where `publish` may go on, or the bus was stopped.
    space: Condvar,
    /// Something was dispatched during a flush, or the bus was stopped.
    dispatched: Condvar,
    attached: AtomicBool,
    pending_bytes_max: usize,
    metrics: Metrics,
}

struct State {
    sender: Option<Box<dyn CarrierSender>>,
    lanes: Vec<Lane>,
    /// Credits in all, and those not in use.
    credits: usize,
    free: usize,
    pending: VecDeque<Parcel>,
    pending_bytes: usize,
    /// `publish` is waiting for space.
    waiting_for_space: bool,
    flushing: usize,
    stopped: bool,
    batch: Vec<Parcel>,
}

/// What is on the way in one partition.
#[derive(Default)]
struct Lane {
    /// Sequence up to which everything was dispatched; the window begins with the next.
    dispatched: u64,
    window: VecDeque<Bytes>,
}

impl Flow {
    pub(super) fn new(config: &BusSettings, metrics: Metrics) -> Self {
        let credits = config.credit_bytes - BusSettings::PROBE_RESERVE;
        let state = State {
            sender: None,
            lanes: (0..PARTITIONS).map(|_| Lane::default()).collect(),
            credits,
            free: credits,
            pending: VecDeque::new(),
            pending_bytes: 0,
            waiting_for_space: false,
            flushing: 0,
            stopped: false,
            batch: Vec::new(),
        };
        Self {
            sequences: Mutex::new([0; PARTITIONS]),
            state: Mutex::new(state),
            space: Condvar::new(),
            dispatched: Condvar::new(),
            attached: AtomicBool::new(false),
            pending_bytes_max: config.pending_bytes,
            metrics,
        }
    }

    pub(super) fn publish(&self, notifications: &[Notification]) {
        let mut sequences = self.sequences.lock();
        let mut parcels = Vec::with_capacity(notifications.len().min(CHUNK_NOTIFICATIONS));
        for chunk in notifications.chunks(CHUNK_NOTIFICATIONS) {
            for notification in chunk {
                let partition = notification.key.partition();
                let sequence = &mut sequences[usize::from(partition)];
                *sequence += 1;
                parcels.push(Parcel {
                    partition,
                    payload: encode_notification(partition, *sequence, notification),
                });
            }
            if !self.enqueue(&mut parcels) {
                self.metrics.dropped_stopped.inc_by(chunk.len() as u64);
                parcels.clear();
                continue;
            }
            self.metrics.published.inc_by(chunk.len() as u64);
        }
    }

    /// Queues `parcels`, sends what has credit, and waits if too much is left. False if stopped.
    fn enqueue(&self, parcels: &mut Vec<Parcel>) -> bool {
        let mut state = self.state.lock();
        if state.stopped {
            return false;
        }
        state.pending_bytes += parcels.iter().map(size).sum::<usize>();
        state.pending.extend(parcels.drain(..));
        self.pump(&mut state);
        if state.pending_bytes >= self.pending_bytes_max {
            // Going on only at half of it spares a switch of threads per chunk.
            while state.pending_bytes > self.pending_bytes_max / 2 && !state.stopped {
                state.waiting_for_space = true;
                self.space.wait(&mut state);
            }
            state.waiting_for_space = false;
        }
        true
    }

    /// Moves pending parcels onto the bus as far as credits go.
    fn pump(&self, state: &mut State) {
        if let Some(sender) = &mut state.sender {
            while let Some(parcel) = state.pending.front() {
                let cost = size(parcel).min(state.credits);
                if cost > state.free {
                    break;
                }
                let parcel = state.pending.pop_front().expect("there is a front");
                state.free -= cost;
                state.pending_bytes -= size(&parcel);
                state.lanes[usize::from(parcel.partition)].window.push_back(parcel.payload.clone());
                state.batch.push(parcel);
            }
            sender.send(&mut state.batch);
        }
        if state.waiting_for_space && state.pending_bytes <= self.pending_bytes_max / 2 {
            self.space.notify_one();
        }
        self.metrics.credit_bytes_in_use.set((state.credits - state.free) as i64);
        self.metrics.pending_bytes.set(state.pending_bytes as i64);
    }

    /// Records that the notifications of each partition, up to the sequence beside it, have been dispatched.
    pub(super) fn credit(&self, dispatched: &[(u8, u64)]) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        for (partition, upto) in dispatched {
            let lane = &mut state.lanes[usize::from(*partition)];
            while lane.dispatched < *upto
                && let Some(payload) = lane.window.pop_front()
            {
                lane.dispatched += 1;
                state.free += (payload.len() + PARCEL_OVERHEAD).min(state.credits);
            }
        }
        if state.flushing > 0 {
            self.dispatched.notify_all();
        }
        self.pump(&mut guard);
    }

    /// Whether the notification is in the window, so that a replay would bring it.
    pub(super) fn is_in_flight(&self, partition: u8, sequence: u64) -> bool {
        let state = self.state.lock();
        let lane = &state.lanes[usize::from(partition)];
        (lane.dispatched + 1..=lane.dispatched + lane.window.len() as u64).contains(&sequence)
    }

    /// Gives it a bus, which first gets everything that is in the window, partition by partition in order.
    pub(super) fn attach(&self, mut sender: Box<dyn CarrierSender>) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.stopped {
            return;
        }
        for (partition, lane) in (0_u8..).zip(&state.lanes) {
            let unconfirmed =
                lane.window.iter().map(|payload| Parcel { partition, payload: payload.clone() });
            state.batch.extend(unconfirmed);
        }
        sender.send(&mut state.batch);
        state.sender = Some(sender);
        self.attached.store(true, Ordering::Release);
        self.pump(&mut guard);
    }

    /// Takes the bus away; what is published meanwhile stays pending.
    pub(super) fn detach(&self) {
        self.attached.store(false, Ordering::Release);
        let sender = self.state.lock().sender.take();
        drop(sender);
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// Sends one probe through every partition, past the pending notifications and without credit. There is never
    /// more than one round on the way, and space for it is reserved. False if there is no bus.
    pub(super) fn probe(&self, round: u64) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(sender) = &mut state.sender else { return false };
        let probes = (0..PARTITIONS as u8)
            .map(|partition| Parcel { partition, payload: encode_probe(partition, round) });
        state.batch.extend(probes);
        sender.send(&mut state.batch);
        true
    }

    pub(super) fn flush(&self, deadline: Duration) -> bool {
        let deadline = Instant::now() + deadline.min(FLUSH_MAX);
        let Some(target) = self.sequences.try_lock_until(deadline).map(|sequences| *sequences) else {
            return false;
        };
        let mut state = self.state.lock();
        state.flushing += 1;
        let mut done = false;
        loop {
            done = done || state.lanes.iter().zip(target).all(|(lane, upto)| lane.dispatched >= upto);
            if done || state.stopped || self.dispatched.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.flushing -= 1;
        done || state.lanes.iter().zip(target).all(|(lane, upto)| lane.dispatched >= upto)
    }

    /// Ends it: drops the bus and all that is pending, and wakes every waiting thread.
    pub(super) fn stop(&self) {
        // Wakes the dispatchers, who find that their generation is over.
        self.probe(0);
        let mut state = self.state.lock();
        state.stopped = true;
        let forgotten = std::mem::take(&mut state.pending);
        state.pending_bytes = 0;
        self.metrics.pending_bytes.set(0);
        self.metrics.dropped_stopped.inc_by(forgotten.len() as u64);
        drop(state);
        self.space.notify_all();
        self.dispatched.notify_all();
        self.detach();
    }

    #[cfg(any(test, feature = "fault-injection"))]
    pub(super) fn kill_router(&self) -> bool {
        let mut state = self.state.lock();
        let Some(sender) = &mut state.sender else { return false };
        sender.kill();
        true
    }
}

fn size(parcel: &Parcel) -> usize {
    parcel.payload.len() + PARCEL_OVERHEAD
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Flow")
            .field("attached", &state.sender.is_some())
            .field("credits", &state.credits)
            .field("free", &state.free)
            .field("pending_bytes", &state.pending_bytes)
            .field("stopped", &state.stopped)
            .finish_non_exhaustive()
    }
}
