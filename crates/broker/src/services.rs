//! Starts the services on one store and one bus.

use std::{
    io,
    sync::{Arc, atomic::AtomicU64},
    thread::JoinHandle,
};

use crate::{
    auth::keys::{KeySecret, Keys},
    client_events::ClientEvents,
    clock::Clock,
    identity::Identity,
    metrics::Metrics,
    notifications::{CommittedPublisher, SessionEnqueuer},
    pubsub::PubSub,
    resources::Resources,
    settings::ServiceSettings,
    shared::{Shared, resource_cache::ResourceCache, session_leases::SessionLeases},
    writer::Writer,
};
use thng_pubsub_bus::{Bus, RouteKeyBuffer};
use thng_pubsub_store::{ReadStore, WriteStore};

/// The services, shared by all connections.
#[derive(Debug)]
pub struct Services {
    pub pubsub: PubSub,
    pub resources: Arc<Resources>,
    pub identity: Identity,
    pub client_events: Arc<ClientEvents>,
}

impl Services {
    #[expect(clippy::too_many_arguments, reason = "they are the parts that the services share")]
    /// Starts the writer, whose events go to the bus. Its thread ends when the services are dropped.
    ///
    /// # Errors
    /// The thread cannot be started, the store cannot be read, or a metric is registered already.
    pub fn start(
        store: Arc<dyn ReadStore>,
        write_store: Box<dyn WriteStore>,
        bus: Arc<Bus>,
        clock: Clock,
        metrics: Arc<Metrics>,
        secret: KeySecret,
        settings: ServiceSettings,
        client_events: ClientEvents,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let resource_cache = Arc::new(ResourceCache::new());
        let keys = Arc::new(Keys::new(Arc::clone(&store), settings.connections_per_key_max));
        let committed = Arc::new(AtomicU64::new(store.last_sequence().map_err(io::Error::other)?));
        let subscriptions = write_store.subscription_usage();
        let session_leases = Arc::<SessionLeases>::default();
        let client_events = Arc::new(client_events);
        let publisher = CommittedPublisher {
            client_events: Arc::clone(&client_events),
            resource_cache: Arc::clone(&resource_cache),
            keys: Arc::clone(&keys),
            bus: Arc::clone(&bus),
            committed: Arc::clone(&committed),
            session_leases: Arc::clone(&session_leases),
            key_buffer: RouteKeyBuffer::default(),
        };
        let (writer, thread) = Writer::start(
            write_store,
            clock.clone(),
            Arc::clone(&metrics),
            settings.write_queue_bytes_max,
            Box::new(SessionEnqueuer::new(settings.session_queue)),
            Box::new(publisher),
        )?;
        metrics.show_write_queue(writer.waiting_bytes()).map_err(io::Error::other)?;
        let usage = Arc::clone(&subscriptions);
        metrics.show_subscription_bytes(move || usage.total()).map_err(io::Error::other)?;
        let values = Arc::clone(&store);
        metrics.show_unindexed_values(move || values.unindexed_values()).map_err(io::Error::other)?;
        let shared =
            Arc::new(Shared { store, keys, secret, settings, metrics, clock, resource_cache, writer });
        let resources = Arc::new(Resources::new(Arc::clone(&shared)).map_err(io::Error::other)?);
        let pubsub = PubSub::new(
            Arc::clone(&shared),
            Arc::clone(&resources),
            bus,
            committed,
            subscriptions,
            session_leases,
        );
        let identity = Identity::new(shared, Arc::clone(&resources));
        Ok((Self { pubsub, resources, identity, client_events }, thread))
    }
}
