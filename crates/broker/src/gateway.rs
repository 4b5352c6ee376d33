//! Application services: the only API that transports may call.
//!
//! They authenticate keys, authorize every call ([`crate::auth`]), turn topics into commands and events into
//! notifications ([`crate::notifications`]), hand commands to the writer ([`crate::writer`]) and notifications
//! to the bus ([`thng_pubsub_bus`]). They know no wire format: every refusal is a [`BrokerError`], which each transport renders.
//!
//! - `pubsub/`: publish, subscribe, the initial state, durable sessions
//! - `resources/`: list, read and write resources of every kind
//! - `identity/`: keys, users, operators and administration

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use thng_pubsub_protocol::{id::Id, payload::ResourceKind, topic::table::Access};

use crate::{
    auth::{
        keys::{self, KeySecret, Keys},
        policy::{self, AuthzError},
    },
    clock::Clock,
    metrics::Metrics,
    notifications::{CommittedPublisher, SessionEnqueuer},
    writer::Writer,
};
use thng_pubsub_bus::Bus;
use thng_pubsub_store::{ReadStore, ResourceMeta, StoreError, WriteStore, subscriptions::SubscriptionUsage};

#[cfg(test)]
mod tests;

pub use crate::{
    error::{BrokerError, SubscriptionsBound},
    identity::{
        administration::{IssuedKey, Rights},
        operator::first_account,
        user::{Login, NewUser, named_users},
    },
    pubsub::{
        durable_session::{STORED_AT_ONCE, leave_all_sessions},
        session_lease::SessionLease,
        subscribe::{SubscribeGrant, SubscriptionHandle},
    },
    request::RequestContext,
    resources::{
        action::commissioned_type,
        answer_budget::{AnswerShare, PAGE_BYTES_MAX},
        list::{GeoFilter, LOOKED_AT_MAX, ListQuery, check_filter},
        scan::ScanLimits,
        write::{NewResource, children_of},
    },
};
use crate::{
    identity::password_queue::PasswordQueue,
    pubsub::session_lease::SessionLeases,
    resources::{
        answer_budget::AnswerBudget, resource_cache::ResourceCache, scan::Scans, scan_queue::ScanQueue, tasks,
    },
};

/// The types of the modules behind that transports use in calls and results.
pub use crate::{
    auth::{Principal, key_leases::KeyLease},
    commands::{ContextVisibility, Extras, Outcome, document},
};
/// The types of the bus that transports use: they own the outbound queue of each connection and write its deliveries.
pub use thng_pubsub_bus::{Delivery, DeliveryQos, OutboundQueue, OutboundQueueLimits, OutboundQueueState};
pub use thng_pubsub_store::{
    Actor, Cursor, HistoryPage, IndexScan, KeyHash, KeyRecord, Page, PageRequest, PropertyOwner,
    ResourceRecord, Sequence, SortOrder, TimeRange, TimestampMs,
    session_queue::{
        InFlight, Progress, QueueLimits, SessionNumber, SessionProgress, StoredSession, StoredSubscription,
        SubscriptionNumber, TopicNumber,
    },
    subscriptions::{SubscriptionLease, SubscriptionLimits},
};

/// The settings of the application services.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Bytes of writes that may wait for their commit.
    pub write_queue_bytes_max: usize,
    /// Resources that one call changes or deletes by `ids` or `filter`.
    pub bulk_size_max: usize,
    /// Items of a page, 1 to 100.
    pub page_size_max: usize,
    /// Members that one call adds to a collection, 1 to 10,000.
    pub members_max: usize,
    /// Notifications that one command may cause.
    pub notifications_max: usize,
    /// Connections and subscriptions that lease one key.
    pub connections_per_key_max: usize,
    /// What lists may cost.
    pub scans: ScanLimits,
    /// Bytes of HTTP answers in memory.
    pub answer_bytes_max: usize,
    /// What is kept for durable sessions.
    pub session_queue: QueueLimits,
    /// Memory that subscriptions take.
    pub subscriptions: SubscriptionLimits,
    /// Passwords that may wait to be hashed.
    pub password_queue_max: usize,
    /// How long a durable session waits for its client, 1 ms or more.
    pub session_expiry_ms: TimestampMs,
}

/// The application services, shared by all connections.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) secret: KeySecret,
    pub(crate) settings: GatewaySettings,
    /// The turns of reading long inputs, each on a thread of its own.
    pub(crate) reading: Arc<ScanQueue>,
    /// Wakes the background work of tasks.
    pub(crate) tasks: Arc<tokio::sync::Notify>,
    /// Lists: fewer at a time than the store has readers, because a scan may have to look up who sees a collection, with
    /// another reader.
    pub(crate) scans: Scans,
    pub(crate) answers: Arc<AnswerBudget>,
    pub(crate) passwords: Arc<PasswordQueue>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) resource_cache: Arc<ResourceCache>,
    /// The memory that subscriptions take.
    pub(crate) subscriptions: Arc<SubscriptionUsage>,
    /// The connections of durable sessions.
    pub(crate) session_leases: Arc<SessionLeases>,
    pub(crate) writer: Writer,
    pub(crate) clock: Clock,
    pub(crate) bus: Arc<Bus>,
    /// The last sequence that is on disk: a subscription begins behind it.
    pub(crate) committed: Arc<AtomicU64>,
    /// What the last probe of the store said, and when.
    pub(crate) probe: tokio::sync::Mutex<Option<(Instant, Result<(), &'static str>)>>,
}

/// How long the answer of a probe is good for.
const PROBE_AGE: Duration = Duration::from_secs(1);

/// How long a probe may take before the store counts as not there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

impl Gateway {
    /// Starts the writer, whose events go to the bus. Its thread ends when this is dropped.
    pub fn start(
        store: Arc<dyn ReadStore>,
        write_store: Box<dyn WriteStore>,
        bus: Arc<Bus>,
        clock: Clock,
        metrics: Arc<Metrics>,
        secret: KeySecret,
        settings: GatewaySettings,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let resource_cache = Arc::new(ResourceCache::new());
        let keys = Arc::new(Keys::new(Arc::clone(&store), settings.connections_per_key_max));
        let committed = Arc::new(AtomicU64::new(store.last_sequence().map_err(std::io::Error::other)?));
        let subscriptions = write_store.subscription_usage();
        let session_leases = Arc::<SessionLeases>::default();
        let publisher = CommittedPublisher {
            resource_cache: Arc::clone(&resource_cache),
            keys: Arc::clone(&keys),
            bus: Arc::clone(&bus),
            committed: Arc::clone(&committed),
            session_leases: Arc::clone(&session_leases),
        };
        let (writer, thread) = Writer::start(
            write_store,
            clock.clone(),
            Arc::clone(&metrics),
            settings.write_queue_bytes_max,
            Box::new(SessionEnqueuer::new(settings.session_queue)),
            Box::new(publisher),
        )?;
        metrics.show_write_queue(writer.waiting_bytes()).map_err(std::io::Error::other)?;
        let usage = Arc::clone(&subscriptions);
        metrics.show_subscription_bytes(move || usage.total()).map_err(std::io::Error::other)?;
        let tasks = Arc::default();
        let passwords = Arc::new(PasswordQueue::new(settings.password_queue_max));
        let answers = AnswerBudget::new(settings.answer_bytes_max, Arc::clone(&metrics))
            .map_err(std::io::Error::other)?;
        let scans = Scans::new(settings.scans, Arc::clone(&metrics)).map_err(std::io::Error::other)?;
        let gateway = Self {
            store,
            keys,
            secret,
            settings,
            reading: ScanQueue::new(tasks::READ_AT_A_TIME, tasks::READ_QUEUE_MAX),
            tasks,
            scans,
            answers,
            passwords,
            metrics,
            resource_cache,
            subscriptions,
            session_leases,
            writer,
            clock,
            bus,
            committed,
            probe: tokio::sync::Mutex::default(),
        };
        Ok((gateway, thread))
    }

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
        let mut last = self.probe.lock().await;
        if let Some((when, outcome)) = &*last
            && when.elapsed() < PROBE_AGE
        {
            return *outcome;
        }
        let outcome =
            match tokio::time::timeout(PROBE_TIMEOUT, self.execute(crate::commands::Command::Probe, 0)).await
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

    /// Items of a page that a list may be asked for.
    pub fn page_size_max(&self) -> usize {
        self.settings.page_size_max
    }

    /// What an HTTP answer to an account occupies; without bytes yet.
    pub fn answer_share(&self, account: Option<Id>) -> Arc<AnswerShare> {
        self.answers.share(account)
    }

    /// Refuses to add more members to a collection than one call may.
    pub(crate) fn check_members(&self, count: usize) -> Result<(), BrokerError> {
        let most = self.settings.members_max;
        match count <= most {
            true => Ok(()),
            false => {
                Err(BrokerError::invalid(format!("One call adds at most {most} members to a collection.")))
            }
        }
    }

    /// The principal of a key.
    ///
    /// # Errors
    /// [`BrokerError::InvalidKey`], [`BrokerError::Unavailable`].
    pub async fn authenticate(&self, key: &str) -> Result<Arc<Principal>, BrokerError> {
        let hash = keys::hash(key).map_err(|_| BrokerError::InvalidKey)?;
        if let Some(principal) = self.keys.cached(&hash) {
            return Ok(principal);
        }
        self.keys.look_up(&hash)?.ok_or(BrokerError::InvalidKey)
    }

    /// Whether a verb on a path is granted at all; what is there is not looked at.
    ///
    /// # Errors
    /// [`BrokerError::Forbidden`].
    pub fn permit(&self, caller: &RequestContext<'_>) -> Result<(), BrokerError> {
        Ok(policy::on_path(caller.principal, caller.access, &caller.path)?)
    }

    /// What every use of a resource needs to know of it; `None` where it does not exist.
    pub(crate) fn resource_meta(&self, id: Id) -> Result<Option<Arc<ResourceMeta>>, StoreError> {
        match self.resource_cache.get(id) {
            Some(meta) => Ok(Some(meta)),
            None => self.resource_cache.look_up(&*self.store, id),
        }
    }

    /// Checks that a resource of this kind is there for the caller and may be used so.
    pub(crate) fn authorise(
        &self,
        caller: &RequestContext<'_>,
        kind: ResourceKind,
        id: Id,
    ) -> Result<Arc<ResourceMeta>, BrokerError> {
        self.permit(caller)?;
        let meta = self.resource_meta(id)?.filter(|meta| meta.kind == kind).ok_or(BrokerError::NotFound)?;
        policy::on_resource(caller.principal, caller.access, &caller.path, &meta)?;
        if caller.can_see(&meta) { Ok(meta) } else { Err(BrokerError::NotFound) }
    }

    /// Checks that a document may name this resource.
    pub(crate) fn can_reference(
        &self,
        caller: &RequestContext<'_>,
        kind: ResourceKind,
        id: Id,
        field: &str,
    ) -> Result<(), BrokerError> {
        let is_there =
            self.resource_meta(id)?.is_some_and(|meta| meta.kind == kind && caller.can_reference(&meta));
        match is_there {
            true => Ok(()),
            false => Err(BrokerError::invalid(format!(
                "{field}: there is no such {}.",
                kind.noun().to_lowercase()
            ))),
        }
    }
}

/// The kinds of keys that may use a verb on a path, whose segments in braces match anything; for documentation.
pub fn who_may(access: Access, path: &str) -> Vec<&'static str> {
    use crate::auth::grants::{APPLICATION, BASE_APP_USER, DEVICE, Grants, TRUSTED_APPLICATION};
    let kinds = [
        ("Application", APPLICATION),
        ("Trusted Application", TRUSTED_APPLICATION),
        ("Application User", BASE_APP_USER),
        ("Device", DEVICE),
    ];
    let grants = |table: &[(&'static str, &'static str)]| {
        Grants::of(table.iter().copied()).on(path, "{id}").has(access)
    };
    let some = kinds.into_iter().filter(|(_, table)| grants(table)).map(|(name, _)| name);
    // Whose own access it is, an operator's.
    let tokens = (path != "/me").then_some("Access Token");
    ["Operator"].into_iter().chain(tokens).chain(some).collect()
}

impl From<AuthzError> for BrokerError {
    fn from(error: AuthzError) -> Self {
        match error {
            AuthzError::Forbidden => Self::Forbidden,
            AuthzError::NotFound => Self::NotFound,
        }
    }
}

impl From<StoreError> for BrokerError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store did not answer");
        Self::Unavailable
    }
}
