//! Watching: subscriptions, and the value that a topic has right now.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use thng_pubsub_protocol::{
    payload::update_document,
    topic::{TopicString, table::Access},
};

use super::{Gateway, Refusal};
use crate::{
    auth::{Principal, visibility::Visibility},
    domain,
    engine::{DeliveryQos, Outbox, Predicate, Route, RouteKey, Subscriber},
    store::{ReadStore, Sequence},
    translate::{self, Served},
};

/// A subscription that stands. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Watch {
    /// What was committed up to here is older than the subscription.
    after: Sequence,
    _route: Route,
}

fn visibility(topic: &TopicString) -> Visibility {
    topic.options.project.map_or(Visibility::Account, Visibility::Project)
}

impl Gateway {
    /// Subscribes: authorises, and puts the session into the bus's table. Events that are committed after this
    /// returned reach `outbox` under `slot`; events that were committed before it was called do not, also where they
    /// are still on their way through the bus. A subscription that takes the place of `earlier` goes on where that
    /// began, so that nothing falls between the two.
    ///
    /// # Errors
    /// Any [`Refusal`]; nothing was subscribed then.
    pub(crate) async fn subscribe(
        &self,
        principal: &Principal,
        topic: &TopicString,
        outbox: &Arc<Outbox>,
        slot: u32,
        qos: DeliveryQos,
        earlier: Option<&Watch>,
    ) -> Result<Watch, Refusal> {
        let after = earlier.map_or_else(|| self.committed.load(Ordering::SeqCst), |earlier| earlier.after);
        let served = translate::served(&topic.topic).ok_or(Refusal::NotServed)?;
        self.authorise(principal, Access::Read, served.resource()).await?;
        let predicate: Option<Predicate> = match visibility(topic) {
            Visibility::Account => None,
            visibility @ Visibility::Project(_) => Some(Box::new(move |scopes| visibility.admits(scopes))),
        };
        let key = RouteKey::new(principal.account.as_str(), &topic.topic.canonical());
        let outbox = Arc::clone(outbox);
        let route =
            self.engine.subscribe(&key, Subscriber { outbox, slot, qos, predicate, after: Some(after) });
        Ok(Watch { after, _route: route })
    }

    /// What the topic says right now: the document that an update with the stored values would bring.
    ///
    /// `None` where nothing is stored, or where the subscriber does not see it. Rights are asked for again: they
    /// may have gone since the subscription.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub(crate) async fn initial_state(
        &self,
        principal: &Principal,
        topic: &TopicString,
    ) -> Result<Option<Bytes>, Refusal> {
        let served = translate::served(&topic.topic).ok_or(Refusal::NotServed)?;
        let head = self.authorise(principal, Access::Read, served.resource()).await?;
        if !visibility(topic).admits_scopes(&head.scopes) {
            return Ok(None);
        }
        tokio::task::block_in_place(|| state(&*self.store, served))
    }
}

fn state(store: &dyn ReadStore, served: Served<'_>) -> Result<Option<Bytes>, Refusal> {
    let document = match served {
        Served::Thng(id) => store.thng(id)?.map(|thng| domain::thng_document(&thng, None, None)),
        Served::Properties(owner) => {
            let latest = store.latest(owner)?;
            (!latest.is_empty()).then(|| update_document(&latest))
        }
        Served::Property(owner, key) => store.latest_of(owner, key)?.map(|latest| update_document([&latest])),
    };
    Ok(document.map(Bytes::from))
}
