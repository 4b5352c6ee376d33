//! The base of unit tests: the application services with the real store and the real bus.

use std::sync::{Arc, atomic::AtomicI64};

use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
    topic::table::Access,
};

use crate::{
    auth::{
        Principal,
        keys::{KeySecret, SECRET_BYTES},
    },
    client_events::{ClientEvents, JournalLimits, JournalSettings},
    clock::Clock,
    identity::{Identity, first_account},
    metrics::Metrics,
    pubsub::PubSub,
    request::RequestContext,
    resources::{NewResource, Resources},
    services::Services,
    settings::{ScanLimits, ServiceSettings},
};
use thng_pubsub_bus::{Bus, BusSettings};
use thng_pubsub_store::{
    Durability, ResourceRecord, SqliteStore, WriteStore, session_queue::QueueLimits,
    subscriptions::SubscriptionLimits,
};

/// Application services with two accounts.
#[derive(Debug)]
pub struct TestBroker {
    pub pubsub: PubSub,
    pub resources: Arc<Resources>,
    pub identity: Identity,
    pub client_events: Arc<ClientEvents>,
    pub bus: Arc<Bus>,
    pub metrics: Arc<Metrics>,
    pub owner: Arc<Principal>,
    pub stranger: Arc<Principal>,
    /// What the clock says, in milliseconds.
    pub clock: Arc<AtomicI64>,
    pub data: tempfile::TempDir,
}

fn add_account(store: &mut dyn WriteStore, letter: &str) -> String {
    let key = letter.repeat(80);
    first_account(store, &key, 0).expect("an account fits");
    key
}

impl TestBroker {
    /// Opens it on a store of its own; the clock stays at 1,000 ms.
    pub async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// As [`TestBroker::open`], with other settings.
    pub async fn open_with(change: impl FnOnce(&mut ServiceSettings)) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let (read, mut write) = SqliteStore::open(data.path(), Durability::Normal, 2).expect("a new store");
        let keys = [add_account(&mut *write, "a"), add_account(&mut *write, "b")];
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let bus = Bus::start(BusSettings::default(), &metrics.registry).expect("a bus");
        let manual = Arc::new(AtomicI64::new(1_000));
        let clock = Clock::Manual(Arc::clone(&manual));
        let secret = KeySecret::new([7; SECRET_BYTES]);
        let mut settings = ServiceSettings {
            write_queue_bytes_max: 1 << 24,
            bulk_size_max: 500,
            page_size_max: 100,
            connections_per_key_max: usize::MAX,
            members_max: 10_000,
            notifications_max: 3_000,
            answer_bytes_max: 64 << 20,
            scans: ScanLimits {
                at_a_time: 1,
                queue_max: 1_000,
                bytes_max: 256 << 20,
                time_max: std::time::Duration::from_secs(1),
            },
            session_queue: QueueLimits {
                sessions: 1_000,
                sessions_per_key: usize::MAX,
                subscriptions: 1_000_000,
                messages_per_topic: 10_000,
                bytes: 1 << 26,
            },
            subscriptions: SubscriptionLimits {
                per_key: usize::MAX,
                per_account: usize::MAX,
                total: usize::MAX,
            },
            password_queue_max: 100,
            session_expiry_ms: 60_000,
        };
        change(&mut settings);
        let limits = JournalLimits { events: 1_000, bytes: 1 << 20, age_ms: i64::MAX };
        let settings_of_journal =
            JournalSettings { limits: Some(limits), buffer_max: 1_000, system_account: None };
        let journal =
            ClientEvents::open(data.path(), settings_of_journal, Arc::clone(&read), clock.clone(), &metrics);
        let (services, _thread) = Services::start(
            read,
            write,
            Arc::clone(&bus),
            clock,
            Arc::clone(&metrics),
            secret,
            settings,
            journal,
        )
        .expect("the writer starts");
        let Services { pubsub, resources, identity, client_events } = services;
        let owner = identity.authenticate(&keys[0]).await.expect("a known key");
        let stranger = identity.authenticate(&keys[1]).await.expect("a known key");
        Self {
            pubsub,
            resources,
            identity,
            client_events,
            bus,
            metrics,
            owner,
            stranger,
            clock: manual,
            data,
        }
    }

    /// Something new of the owner's.
    pub async fn create(&self, kind: ResourceKind, path: &str, body: &str) -> Arc<ResourceRecord> {
        let patch = Patch::parse(kind, body.as_bytes()).expect("a document");
        let request = RequestContext::new(&self.owner, Access::Create, path);
        self.resources.create(&request, NewResource::of(patch), 0).await.expect("it is created")
    }

    /// A new thng of the owner's.
    pub async fn thng(&self) -> Id {
        self.create(ResourceKind::Thng, "/thngs", r#"{"name":"lamp"}"#).await.id
    }
}
