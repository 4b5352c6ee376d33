//! Tests of the whole bus, on the real rumqttd unless a fault is easier to stage otherwise.
//!
//! Here is the rig; what is shown lies in `delivery`, `pressure` and `faults`.

mod delivery;
mod faults;
mod pressure;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus::Registry;
use tokio::sync::Notify;

use super::carrier::{Carrier, CarrierError, CarrierLink, CarrierSender, Parcel};
use super::*;

/// Long enough for a debug build on a busy machine; a test that meets it has failed.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

pub(super) const UNLIMITED: OutboundQueueLimits =
    OutboundQueueLimits { messages: usize::MAX, bytes: usize::MAX };

/// Little of everything, so that credits, segments and pending bounds are met all the time.
pub(super) fn tight() -> BusSettings {
    BusSettings {
        segment_bytes: 16 << 10,
        segment_count: 2,
        credit_bytes: 16 << 10,
        pending_bytes: 64 << 10,
        ..BusSettings::default()
    }
}

pub(super) fn start(config: BusSettings) -> Arc<Bus> {
    Bus::start(config, &Registry::new()).unwrap()
}

pub(super) fn key(number: usize) -> RouteKey {
    RouteKey::new("account", &format!("/thngs/{number}/properties"))
}

pub(super) fn notification(key: &RouteKey, seq: u64) -> Notification {
    Notification {
        key: key.clone(),
        scopes: Bytes::new(),
        seq,
        body: Bytes::from(format!("{{\"value\":{seq}}}")),
    }
}

/// A session that is looked into when the test wants to.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) outbound_queue: Arc<OutboundQueue>,
    pub(super) wake: Arc<Notify>,
    pub(super) received: Vec<Delivery>,
}

impl Session {
    pub(super) fn new(limits: OutboundQueueLimits) -> Self {
        let wake = Arc::new(Notify::new());
        Self { outbound_queue: OutboundQueue::new(limits, Arc::clone(&wake)), wake, received: Vec::new() }
    }

    pub(super) fn subscriber(&self, slot: u32, qos: DeliveryQos) -> Subscriber {
        Subscriber {
            outbound_queue: Arc::clone(&self.outbound_queue),
            slot,
            qos,
            predicate: None,
            after: None,
            offered: None,
        }
    }

    /// Moves what is in the outbound queue to `received`.
    pub(super) fn take(&mut self) -> OutboundQueueState {
        let mut batch = Vec::new();
        let state = self.outbound_queue.take(&mut batch);
        self.received.append(&mut batch);
        state
    }

    /// The sequences received, by slot, in order of arrival.
    pub(super) fn by_slot(&self) -> HashMap<u32, Vec<u64>> {
        let mut slots: HashMap<u32, Vec<u64>> = HashMap::new();
        for delivery in &self.received {
            slots.entry(delivery.slot).or_default().push(delivery.seq);
        }
        slots
    }
}

/// Waits until `condition` holds.
pub(super) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::yield_now();
    }
}

/// What is done to each batch before it goes onto the bus.
pub(super) type Tamper = Arc<Mutex<dyn FnMut(&mut Vec<Parcel>) + Send>>;

/// A carrier with a fault: it changes what is sent, or refuses to build a bus while `closed`.
pub(super) struct Faulty {
    pub(super) carrier: Box<dyn Carrier>,
    pub(super) tamper: Tamper,
    pub(super) closed: Arc<std::sync::atomic::AtomicBool>,
}

impl Faulty {
    pub(super) fn tampering(
        carrier: Box<dyn Carrier>,
        tamper: impl FnMut(&mut Vec<Parcel>) + Send + 'static,
    ) -> Self {
        Self { carrier, tamper: Arc::new(Mutex::new(tamper)), closed: Arc::default() }
    }
}

impl Carrier for Faulty {
    fn open(&mut self, config: &BusSettings) -> Result<CarrierLink, CarrierError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(CarrierError("closed by the test".into()));
        }
        let CarrierLink { sender, receivers } = self.carrier.open(config)?;
        Ok(CarrierLink {
            sender: Box::new(FaultySender { sender, tamper: Arc::clone(&self.tamper) }),
            receivers,
        })
    }
}

struct FaultySender {
    sender: Box<dyn CarrierSender>,
    tamper: Tamper,
}

impl CarrierSender for FaultySender {
    fn send(&mut self, batch: &mut Vec<Parcel>) {
        (self.tamper.lock())(batch);
        self.sender.send(batch);
    }

    fn kill(&mut self) {
        self.sender.kill();
    }
}
