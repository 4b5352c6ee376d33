//! The notification bus: carries committed notifications to the subscribers of their topic.
//!
//! The store's writer hands every committed [`Notification`] to [`Bus::publish`]; a session that subscribes to a topic
//! puts a [`Subscriber`] into the table with [`Bus::subscribe`] and empties its [`OutboundQueue`].
//! Between the two every notification travels through the rumqttd router and its commit log. There is no second path:
//! when the bus stops, nothing is delivered.
//!
//! A notification passes `flow` (sequence, credits, the in-flight window) → `carrier` (its contract) → `rumqttd` (the
//! only file that names that crate) → `dispatch` (grouping) → `routes` (the subscription tables) → `outbound_queue`.
//! `watchdog` detects a bus that died, builds a new one and replays the window. A notification is therefore delivered
//! once and in order, whatever happens to the router.
//!
//! Left to others: who may subscribe, what a topic means, the wire, and durable sessions.
//!
//! A program that sets up `tracing` switches rumqttd's own target off with the directive `rumqttd=off`: it opens an
//! error-level span per message, which costs more than the message. The bus logs what matters itself.

mod carrier;
mod config;
mod dispatch;
mod envelope;
mod flow;
mod metrics;
mod notification;
mod outbound_queue;
mod routes;
mod rumqttd;
mod watchdog;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use self::carrier::{Carrier, CarrierError};
use self::dispatch::Activity;
use self::flow::Flow;
use self::metrics::Metrics;
use self::routes::Table;
use self::watchdog::{Board, Watchdog};

pub use self::config::BusSettings;
pub use self::notification::{Notification, RouteKey, RouteKeyBuffer};
pub use self::outbound_queue::{Delivery, OutboundQueue, OutboundQueueLimits, OutboundQueueState};
pub use self::routes::{DeliveryQos, Predicate, Route, Subscriber};

/// Partitions of the bus. A key lives in one of them for good, and order is kept within a partition.
///
/// As many as there may be dispatchers: each keeps a log of its own, so more of them only cost memory.
/// A power of two not above 64, since a probe round is tracked in the bits of one `u64`.
pub const PARTITIONS: usize = 16;

/// Why the bus did not start.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// A setting is out of its range, or two of them contradict each other.
    #[error("bus setting {setting}: {reason}")]
    Config {
        /// The field of [`BusSettings`].
        setting: &'static str,
        /// What is expected of it.
        reason: String,
    },
    /// The metrics could not be registered, for example because the registry serves another bus already.
    #[error("bus metrics")]
    Metrics(#[from] prometheus::Error),
    /// The bus could not be built.
    #[error("the notification bus could not be built")]
    Bus(#[from] CarrierError),
    /// The bus was built, but the first probe did not come back through every partition in time.
    #[error("the notification bus does not answer")]
    Unresponsive,
    /// A thread could not be started.
    #[error("bus thread")]
    Thread(#[from] std::io::Error),
}

/// The state of the bus, for the health endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusHealth {
    /// Whether the bus works. False while it is being rebuilt and after [`Bus::stop`].
    pub alive: bool,
    /// How long the last complete probe round, one probe through every partition, was under way.
    pub probe_round_trip: Option<Duration>,
    /// How long ago that round was completed. Far above the probe interval while dispatchers work off a
    /// large fan-out: probes queue behind notifications.
    pub probe_age: Option<Duration>,
    /// How often the bus was rebuilt since the start.
    pub rebuilds: u64,
    /// Sequence numbers that were missing when a later one arrived. Zero, unless there is a defect.
    pub gaps: u64,
}

/// What the bus's threads share.
#[derive(Debug)]
struct Shared {
    config: BusSettings,
    flow: Flow,
    table: Arc<Table>,
    board: Board,
    metrics: Metrics,
    /// The number of the present bus: a dispatcher of an older one ends without delivering anything more.
    generation: AtomicU64,
    /// Highest sequence dispatched, per partition. Written by the one dispatcher that owns the partition.
    seen: [AtomicU64; PARTITIONS],
    /// What each dispatcher is doing.
    activity: Box<[Activity]>,
}

/// The notification bus. One per process; ends its threads when it is dropped.
#[derive(Debug)]
pub struct Bus {
    shared: Arc<Shared>,
    watchdog: Mutex<Option<JoinHandle<()>>>,
}

impl Bus {
    /// Builds the bus, sends a probe through every partition, and returns when all came back.
    ///
    /// A stopped bus leaves one idle router thread behind, because rumqttd cannot end a router that lives: start
    /// one bus and share it.
    ///
    /// # Errors
    /// [`BusError::Config`] for settings out of range, [`BusError::Metrics`] if `registry` has metrics
    /// of these names already, the other variants if the bus does not come up.
    pub fn start(config: BusSettings, registry: &prometheus::Registry) -> Result<Arc<Bus>, BusError> {
        Self::start_on(Box::new(rumqttd::Rumqttd), config, registry)
    }

    fn start_on(
        carrier: Box<dyn Carrier>,
        config: BusSettings,
        registry: &prometheus::Registry,
    ) -> Result<Arc<Bus>, BusError> {
        config.validate()?;
        let metrics = Metrics::register(registry)?;
        let shared = Arc::new(Shared {
            flow: Flow::new(&config, metrics.clone()),
            table: Arc::new(Table::new(metrics.subscriptions.clone())),
            board: Board::new(metrics.probe_round_trip.clone()),
            metrics,
            generation: AtomicU64::new(0),
            seen: std::array::from_fn(|_| AtomicU64::new(0)),
            activity: (0..config.dispatchers).map(|_| Activity::new()).collect(),
            config,
        });
        let mut watchdog = Watchdog::new(Arc::clone(&shared), carrier);
        watchdog.open()?;
        if !shared.board.wait_for_probe(shared.config.probe_deadline) {
            return Err(BusError::Unresponsive);
        }
        let thread = thread::Builder::new().name("bus-watchdog".into()).spawn(move || watchdog.run())?;
        Ok(Arc::new(Bus { shared, watchdog: Mutex::new(Some(thread)) }))
    }

    /// Puts `subscriber` into the table of `key`. When this returns it gets every notification that is published
    /// from then on, and perhaps some that were published shortly before. Dropping the [`Route`] removes it.
    ///
    /// Waits for nothing but a short slice of a fan-out on this very key.
    pub fn subscribe(&self, key: &RouteKey, subscriber: Subscriber) -> Route {
        self.shared.table.insert(key, subscriber)
    }

    /// Whether the key of these bytes has subscribers right now. A notification of a key without any need not be published: a
    /// session that subscribes after this call subscribes after the notification.
    pub fn has_subscribers(&self, key: &[u8]) -> bool {
        self.shared.table.has_subscribers(key)
    }

    /// Publishes notifications in the order given. Notifications of one key are delivered in the order of the calls.
    ///
    /// For the store's writer thread, after its commit: it blocks while more than
    /// [`BusSettings::pending_bytes`] wait for the dispatchers, so it must not run on a tokio worker.
    /// After [`Bus::stop`] notifications are counted and forgotten.
    pub fn publish(&self, notifications: Vec<Notification>) {
        self.shared.flow.publish(&notifications);
    }

    /// Waits until everything that was published before this call has been offered to its outbound queues, for at
    /// most `deadline`. Returns whether it has.
    pub fn flush(&self, deadline: Duration) -> bool {
        self.shared.flow.flush(deadline)
    }

    /// Stops the bus for good: when this returns, nothing is delivered any more. Call [`Bus::flush`]
    /// first to get out what was published. The second call does nothing.
    pub fn stop(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
        self.shared.flow.stop();
        self.shared.board.stop();
        let thread = self.watchdog.lock().take();
        if let Some(thread) = thread {
            // A panic of the watchdog was reported by the panic hook, and there is nothing left to stop.
            let _ = thread.join();
        }
    }

    /// How the bus is.
    pub fn health(&self) -> BusHealth {
        let probe = self.shared.board.last_probe();
        BusHealth {
            alive: self.shared.flow.is_attached(),
            probe_round_trip: probe.map(|(round_trip, _)| round_trip),
            probe_age: probe.map(|(_, returned)| returned.elapsed()),
            rebuilds: self.shared.metrics.rebuilds.get(),
            gaps: self.shared.metrics.gaps.get(),
        }
    }

    /// Fault injection: really kills the router thread, with the one packet that does it. Returns false if
    /// there is no router at the moment. For tests, which show that the watchdog loses nothing.
    #[cfg(any(test, feature = "fault-injection"))]
    pub fn kill_router_for_test(&self) -> bool {
        self.shared.flow.kill_router()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop();
    }
}
