//! Subscribes to topics: authorizes, and attaches an outbound queue to the bus.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use thng_pubsub_protocol::topic::{Topic, table::Access};

use super::PubSub;
use crate::{
    auth::{
        Principal, policy,
        visibility::{EncodedScopes, Scoped as _, Visibility},
    },
    error::BrokerError,
    notifications,
    request::{RequestContext, SubscribeContext},
};
use thng_pubsub_bus::{DeliveryQos, OutboundQueue, Predicate, Route, RouteKey, Subscriber};
use thng_pubsub_store::{
    Sequence,
    subscriptions::{SubscriptionLease, subscription_bytes},
};

/// The right to subscribe to a topic, as of when it was asked for.
#[derive(Clone)]
pub struct SubscribeGrant {
    key: RouteKey,
    /// Which events it sees; all if there is none.
    predicate: Option<Predicate>,
}

impl fmt::Debug for SubscribeGrant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SubscribeGrant").field("key", &self.key).finish_non_exhaustive()
    }
}

impl SubscribeGrant {
    /// What tells its topic from every other, also in a later run of the server.
    pub fn route(&self) -> &[u8] {
        self.key.as_bytes()
    }

    /// Whether it does not see every event of its topic.
    pub fn is_narrowed(&self) -> bool {
        self.predicate.is_some()
    }

    /// Whether it sees an event with these scopes.
    pub(crate) fn can_see(&self, scopes: &[u8]) -> bool {
        self.predicate.as_ref().is_none_or(|can_see| can_see(scopes))
    }
}

/// A subscription in the bus's table. Dropping it ends it.
#[derive(Debug)]
pub struct SubscriptionHandle {
    /// What was committed up to here is older than the subscription.
    after: Sequence,
    _route: Route,
    /// The memory that it counts; `None` for a durable session, whose subscriptions the store counts.
    lease: Option<SubscriptionLease>,
}

impl SubscriptionHandle {
    /// Gives the memory that it counts to the subscription that replaces it.
    pub fn take_lease(&mut self) -> Option<SubscriptionLease> {
        self.lease.take()
    }
}

impl PubSub {
    /// Checks that this caller can subscribe to a topic: what it names is there and visible.
    pub(super) fn authorize_subscribe(
        &self,
        request: &RequestContext,
        topic: &Topic,
    ) -> Result<(), BrokerError> {
        match notifications::resource(topic) {
            Some((kind, id)) => {
                if let Topic::Tasks { batch, task: Some(task) } = topic {
                    self.resources.authorize_task(request, *batch, *task)?;
                } else {
                    self.shared.authorize(request, kind, id)?;
                }
            }
            None => request.permit()?,
        }
        if let Some(name) = notifications::needed_type(topic) {
            self.resources.known_type(request, name.as_str())?;
        }
        Ok(())
    }

    /// Subscribes: authorizes, and puts the session into the bus's table. Events that are committed after this returned
    /// reach `outbound_queue` under `slot`. Events that were committed before the call do not, even if they are still
    /// on their way through the bus. A subscription that replaces `earlier` goes on where that began, so that no event
    /// is lost between the two.
    ///
    /// # Errors
    /// Any [`BrokerError`]; nothing was subscribed then.
    pub async fn subscribe(
        &self,
        subscribe: &SubscribeContext,
        outbound_queue: &Arc<OutboundQueue>,
        slot: u32,
        qos: DeliveryQos,
        earlier: Option<&SubscriptionHandle>,
    ) -> Result<SubscriptionHandle, BrokerError> {
        let after = self.begin(earlier);
        let granted = self.grant(subscribe)?;
        let lease = self.lease_subscription(subscribe.principal(), subscribe.context().path().len())?;
        Ok(self.attach(&granted, outbound_queue, slot, qos, (after, None), Some(lease)))
    }

    /// Counts the memory of a subscription with a filter of so many bytes for a principal's key and account.
    ///
    /// # Errors
    /// [`BrokerError::TooManySubscriptions`].
    pub fn lease_subscription(
        &self,
        principal: &Principal,
        filter_bytes: usize,
    ) -> Result<SubscriptionLease, BrokerError> {
        let bytes = subscription_bytes(1, filter_bytes);
        let limits = &self.shared.settings.subscriptions;
        Ok(self.subscriptions.lease(principal.account, principal.key, bytes, limits)?)
    }

    /// Where a subscription begins that replaces `earlier`, if there is one.
    pub fn begin(&self, earlier: Option<&SubscriptionHandle>) -> Sequence {
        earlier.map_or_else(|| self.committed.load(Ordering::SeqCst), |earlier| earlier.after)
    }

    /// Asks for the right to subscribe to a topic.
    ///
    /// # Errors
    /// Any [`BrokerError`].
    pub fn grant(&self, subscribe: &SubscribeContext) -> Result<SubscribeGrant, BrokerError> {
        let (request, topic) = (subscribe.context(), subscribe.topic());
        self.authorize_subscribe(request, &topic.topic)?;
        let views = request.views().to_vec();
        // A subscriber that reads actions at the root need not see the resource below which they are sent.
        let root = match &topic.topic {
            Topic::Actions { .. } => {
                let all = Topic::Actions { subject: None, action_type: None }.canonical();
                policy::views(request.principal(), Access::Read, &all)
            }
            Topic::ActionTypes
            | Topic::Resource { .. }
            | Topic::Properties { .. }
            | Topic::Location { .. }
            | Topic::Members { .. }
            | Topic::Tasks { .. } => Vec::new(),
        };
        let project = topic.options.project;
        // What an operator sees of a resource that is there is everything: nothing is asked of each event.
        let predicate: Option<Predicate> = match views.contains(&Visibility::Account) && project.is_none() {
            true => None,
            false => Some(Arc::new(move |bytes| {
                EncodedScopes::read(bytes).is_some_and(|EncodedScopes { meta, below }| {
                    let visible_here = || {
                        policy::on_event(&views, &meta)
                            && below.is_none_or(|below| policy::on_event(&views, &below))
                    };
                    (visible_here() || policy::on_event(&root, &meta))
                        && project.is_none_or(|project| !meta.kind().is_scoped() || meta.is_in(project))
                })
            })),
        };
        Ok(SubscribeGrant {
            key: RouteKey::new(request.principal().account.as_str(), request.path()),
            predicate,
        })
    }

    /// Puts a session into the bus's table: events behind `after` reach `outbound_queue` under `slot` from now on. `offered` says
    /// how far the bus has come with it.
    pub fn attach(
        &self,
        granted: &SubscribeGrant,
        outbound_queue: &Arc<OutboundQueue>,
        slot: u32,
        qos: DeliveryQos,
        (after, offered): (Sequence, Option<Arc<AtomicU64>>),
        lease: Option<SubscriptionLease>,
    ) -> SubscriptionHandle {
        let (outbound_queue, predicate) = (Arc::clone(outbound_queue), granted.predicate.clone());
        let subscriber = Subscriber { outbound_queue, slot, qos, predicate, after: Some(after), offered };
        SubscriptionHandle { after, _route: self.bus.subscribe(&granted.key, subscriber), lease }
    }
}
