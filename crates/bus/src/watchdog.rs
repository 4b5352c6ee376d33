//! Detects a dead bus and replaces it.
//!
//! A thread sends a probe through every partition each interval. The bus is dead when a dispatcher reports that it died
//! or lost something, or when a probe does not come back although its dispatcher is idle. The thread then detaches the
//! bus from the publisher, waits until the old dispatchers have ended, builds a new bus, and has the flow replay what
//! had not been dispatched.
//! A dispatcher that is at work is no reason to rebuild: its probe waits behind notifications, and a new bus would
//! only bring them again.
//!
//! Each notification reaches each outbound queue once. A dispatcher returns the credit of all that it delivered before
//! it ends, and the next one starts after that; its sequence shows what arrives twice.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus::Gauge;
use tracing::{error, info, warn};

use super::carrier::Carrier;
use super::dispatch::{DispatchEnd, Dispatcher};
use super::{BusError, PARTITIONS, Shared};

/// The least time between two attempts to build a bus, so that one that dies at once makes no busy loop.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(100);

/// One bit per partition.
const ALL_PARTITIONS: u64 = u64::MAX >> (u64::BITS as usize - PARTITIONS);

/// Where dispatchers and callers leave word for the watchdog.
#[derive(Debug)]
pub(super) struct Board {
    notices: Mutex<Notices>,
    changed: Condvar,
    round_trip: Gauge,
}

#[derive(Debug, Default)]
struct Notices {
    stopped: bool,
    /// Why a dispatcher of the present bus ended by itself.
    ended: Option<DispatchEnd>,
    rounds: u64,
    probe: Option<Probe>,
    last: Option<(Duration, Instant)>,
}

/// A probe round that is under way.
#[derive(Debug)]
struct Probe {
    round: u64,
    sent: Instant,
    /// One bit per partition.
    missing: u64,
    late_reported: bool,
}

impl Board {
    pub(super) fn new(round_trip: Gauge) -> Self {
        Self { notices: Mutex::default(), changed: Condvar::new(), round_trip }
    }

    /// A dispatcher ended by itself.
    pub(super) fn report(&self, ended: DispatchEnd) {
        self.notices.lock().ended = Some(ended);
        self.changed.notify_all();
    }

    pub(super) fn probe_returned(&self, partition: u8, round: u64) {
        let mut notices = self.notices.lock();
        let Some(probe) = notices.probe.as_mut().filter(|probe| probe.round == round) else { return };
        probe.missing &= !(1 << partition);
        if probe.missing == 0 {
            let round_trip = probe.sent.elapsed();
            notices.last = Some((round_trip, Instant::now()));
            notices.probe = None;
            self.round_trip.set(round_trip.as_secs_f64());
            self.changed.notify_all();
        }
    }

    pub(super) fn stop(&self) {
        self.notices.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Round trip and time of the last complete round.
    pub(super) fn last_probe(&self) -> Option<(Duration, Instant)> {
        self.notices.lock().last
    }

    /// Waits until the round that is under way is complete. False if it is not within `deadline`.
    pub(super) fn wait_for_probe(&self, deadline: Duration) -> bool {
        let mut notices = self.notices.lock();
        let waiting = |notices: &mut Notices| notices.probe.is_some() && notices.ended.is_none();
        self.changed.wait_while_for(&mut notices, waiting, deadline);
        notices.probe.is_none()
    }
}

/// What the watchdog found when it looked.
enum Finding {
    Stopped,
    Died(&'static str),
    ProbeDue,
    Nothing,
}

/// The owner of bus and dispatchers.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    carrier: Box<dyn Carrier>,
    dispatchers: Vec<JoinHandle<()>>,
    probe_due: Instant,
    last_attempt: Instant,
}

impl Watchdog {
    pub(super) fn new(shared: Arc<Shared>, carrier: Box<dyn Carrier>) -> Self {
        let now = Instant::now();
        Self { shared, carrier, dispatchers: Vec::new(), probe_due: now, last_attempt: now }
    }

    /// Builds a bus, starts its dispatchers, replays the window, and sends a first round of probes.
    ///
    /// # Errors
    /// [`BusError::Bus`] or [`BusError::Thread`]; nothing is left running then.
    pub(super) fn open(&mut self) -> Result<(), BusError> {
        self.last_attempt = Instant::now();
        let bus = self.carrier.open(&self.shared.config)?;
        let generation = self.shared.generation.load(Ordering::SeqCst);
        for (index, receiver) in bus.receivers.into_iter().enumerate() {
            let dispatcher = Dispatcher::new(Arc::clone(&self.shared), index, generation);
            let thread = thread::Builder::new().name(format!("bus-dispatch-{index}"));
            match thread.spawn(move || dispatcher.run(receiver)) {
                Ok(handle) => self.dispatchers.push(handle),
                Err(error) => {
                    self.close();
                    return Err(error.into());
                }
            }
        }
        self.shared.flow.attach(bus.sender);
        self.send_probes();
        Ok(())
    }

    /// Takes the bus away and waits for its dispatchers to end.
    pub(super) fn close(&mut self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
        self.shared.flow.detach();
        for dispatcher in self.dispatchers.drain(..) {
            // It catches its panics and reports them.
            let _ = dispatcher.join();
        }
        let mut notices = self.shared.board.notices.lock();
        notices.probe = None;
        notices.ended = None;
    }

    /// Watches until the bus is stopped.
    pub(super) fn run(mut self) {
        loop {
            match self.look() {
                Finding::Stopped => break,
                Finding::Died(reason) => self.rebuild(reason),
                Finding::ProbeDue => self.send_probes(),
                Finding::Nothing => {}
            }
        }
    }

    /// Waits for a notice or for the time to do something, and says what.
    fn look(&self) -> Finding {
        let mut notices = self.shared.board.notices.lock();
        if !notices.stopped && notices.ended.is_none() {
            let wake = match &notices.probe {
                Some(_) => Instant::now() + self.shared.config.probe_deadline / 4,
                None => self.probe_due,
            };
            self.shared.board.changed.wait_until(&mut notices, wake);
        }
        if notices.stopped {
            return Finding::Stopped;
        }
        match notices.ended {
            Some(DispatchEnd::Gap) => return Finding::Died("it lost notifications"),
            Some(DispatchEnd::Panicked) => return Finding::Died("a dispatcher panicked"),
            Some(DispatchEnd::CarrierDied | DispatchEnd::Superseded) => {
                return Finding::Died("the router has gone");
            }
            None => {}
        }
        match notices.probe.as_mut().map(|probe| self.is_overdue(probe)) {
            Some(true) => Finding::Died("a probe did not come back"),
            Some(false) => Finding::Nothing,
            None if Instant::now() >= self.probe_due => Finding::ProbeDue,
            None => Finding::Nothing,
        }
    }

    /// Whether a probe is missing from a dispatcher that has been idle for longer than the deadline.
    fn is_overdue(&self, probe: &mut Probe) -> bool {
        let deadline = self.shared.config.probe_deadline;
        let dispatchers = self.shared.activity.len();
        let late = |partition: &usize| {
            let activity = &self.shared.activity[partition % dispatchers];
            probe.missing >> partition & 1 == 1
                && !activity.is_busy()
                && activity.since().max(probe.sent).elapsed() > deadline
        };
        if (0..PARTITIONS).any(|partition| late(&partition)) {
            return true;
        }
        if !probe.late_reported && probe.sent.elapsed() > 4 * deadline {
            warn!(waited_s = probe.sent.elapsed().as_secs(), "probes are late: dispatchers are busy");
            probe.late_reported = true;
        }
        false
    }

    fn send_probes(&mut self) {
        self.probe_due = Instant::now() + self.shared.config.probe_interval;
        let round = {
            let mut notices = self.shared.board.notices.lock();
            notices.rounds += 1;
            let round = notices.rounds;
            notices.probe =
                Some(Probe { round, sent: Instant::now(), missing: ALL_PARTITIONS, late_reported: false });
            round
        };
        if !self.shared.flow.probe(round) {
            self.shared.board.notices.lock().probe = None;
        }
    }

    /// Waits until it is time for another attempt to build a bus. False if the bus was stopped.
    fn wait_for_attempt(&self) -> bool {
        let mut notices = self.shared.board.notices.lock();
        let next = self.last_attempt + ATTEMPT_INTERVAL;
        self.shared.board.changed.wait_while_until(&mut notices, |notices| !notices.stopped, next);
        !notices.stopped
    }

    fn rebuild(&mut self, reason: &str) {
        error!(reason, "the notification bus died; building another");
        self.shared.metrics.rebuilds.inc();
        let begun = Instant::now();
        self.close();
        loop {
            if !self.wait_for_attempt() {
                return;
            }
            match self.open() {
                Ok(()) => break,
                Err(error) => error!(%error, "the notification bus could not be built; trying again"),
            }
        }
        info!(duration_ms = begun.elapsed().as_millis() as u64, "the notification bus was rebuilt");
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("dispatchers", &self.dispatchers.len()).finish_non_exhaustive()
    }
}
