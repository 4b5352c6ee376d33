//! Publishes to topics, subscribes to topics, reads their initial state, and keeps durable sessions.

use std::sync::{Arc, atomic::AtomicU64};

use thng_pubsub_bus::Bus;
use thng_pubsub_store::subscriptions::SubscriptionUsage;

use crate::{
    error::BrokerError,
    resources::Resources,
    shared::{Shared, session_leases::SessionLeases},
};

mod durable_sessions;
mod health;
mod initial_state;
mod publish;
mod subscribe;

pub use crate::{shared::session_leases::SessionLease, writer::Wake};
pub use durable_sessions::{STORED_AT_ONCE, leave_all_sessions};
pub use subscribe::{SubscribeGrant, SubscriptionHandle};
/// A connection owns its outbound queue, and writes the deliveries in it.
pub use thng_pubsub_bus::{Delivery, DeliveryQos, OutboundQueue, OutboundQueueLimits, OutboundQueueState};
/// What a durable session is and how far it has come.
pub use thng_pubsub_store::{
    Sequence,
    session_queue::{
        InFlight, Progress, SessionNumber, SessionProgress, StoredSession, StoredSubscription,
        SubscriptionNumber, TopicNumber,
    },
    subscriptions::SubscriptionLease,
};

/// Called on the writer's thread once a write is on the disk or has failed: it must be quick and must not block. Returns
/// the task to be woken for the answer, which happens once all answers of the commit are given.
pub trait OnStored: FnOnce(Result<(), BrokerError>) -> Wake + Send + 'static {}

impl<F: FnOnce(Result<(), BrokerError>) -> Wake + Send + 'static> OnStored for F {}

/// Publishes and subscriptions of every protocol.
#[derive(Debug)]
pub struct PubSub {
    pub(crate) shared: Arc<Shared>,
    resources: Arc<Resources>,
    bus: Arc<Bus>,
    /// The last sequence that is on disk: a subscription begins behind it.
    committed: Arc<AtomicU64>,
    /// The memory that subscriptions take.
    subscriptions: Arc<SubscriptionUsage>,
    /// The connections of durable sessions.
    session_leases: Arc<SessionLeases>,
    probe: health::Probe,
}

impl PubSub {
    pub(crate) fn new(
        shared: Arc<Shared>,
        resources: Arc<Resources>,
        bus: Arc<Bus>,
        committed: Arc<AtomicU64>,
        subscriptions: Arc<SubscriptionUsage>,
        session_leases: Arc<SessionLeases>,
    ) -> Self {
        let probe = health::Probe::default();
        Self { shared, resources, bus, committed, subscriptions, session_leases, probe }
    }
}
