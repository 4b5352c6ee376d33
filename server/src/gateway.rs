//! THE door for every protocol: REST, MQTT and WebSocket all end here, and nothing else reaches the rooms behind it.
//!
//! It authenticates keys, authorises every call ([`crate::auth`]), turns topics into operations and events into
//! notifications ([`crate::translate`]), hands operations to the writer ([`crate::domain::writer`]) and notifications
//! to the bus ([`crate::engine`]). It knows no wire: what it refuses is a [`Refusal`], which each edge renders.
//!
//! - `write.rs`: publish and execute
//! - `watch.rs`: subscribe and the initial state
//! - `read.rs`: what REST reads
//! - `heads.rs`: the cache of what every call needs to know of a resource

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use thng_pubsub_protocol::{
    id::Id,
    topic::{Topic, TopicOptions, table::Access},
};

use crate::{
    auth::{
        keys::{self, Keys},
        policy::{self, Denial},
    },
    clock::Clock,
    domain::{
        Event,
        writer::{EventSink, Writer},
    },
    engine::{Engine, Note, RouteKey},
    metrics::Metrics,
    store::{ReadStore, ResourceHead, StoreError, WriteStore},
    translate,
};

mod heads;
mod read;
mod refusal;
#[cfg(test)]
mod tests;
mod watch;
mod write;

use heads::Heads;
pub(crate) use read::ThngView;
pub(crate) use refusal::Refusal;
pub(crate) use watch::Watch;

/// What edges see of the rooms behind: who calls, what they get, what they ask for.
pub(crate) use crate::{
    auth::Principal,
    domain::{Outcome, thng_document},
    engine::{Delivery, DeliveryQos, Outbox, OutboxLimits, OutboxState},
    store::{Actor, Cursor, KeyHash, PageRequest, PropertyOwner, SortOrder, TimeRange, TimestampMs},
};

/// The door. Shared by all connections.
#[derive(Debug)]
pub(crate) struct Gateway {
    store: Arc<dyn ReadStore>,
    keys: Keys,
    heads: Arc<Heads>,
    writer: Writer,
    engine: Arc<Engine>,
    /// The last sequence that is on disk: a subscription begins behind it.
    committed: Arc<AtomicU64>,
}

impl Gateway {
    /// Opens the door: starts the writer, whose events go to the bus. The thread ends when the gateway is dropped.
    pub(crate) fn start(
        store: Arc<dyn ReadStore>,
        write_store: Box<dyn WriteStore>,
        engine: Arc<Engine>,
        clock: Clock,
        metrics: Arc<Metrics>,
        write_queue_bytes_max: usize,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let heads = Arc::new(Heads::new());
        let committed = Arc::<AtomicU64>::default();
        let sink = announce(Arc::clone(&heads), Arc::clone(&engine), Arc::clone(&committed));
        let (writer, thread) = Writer::start(write_store, clock, metrics, write_queue_bytes_max, sink)?;
        let keys = Keys::new(Arc::clone(&store));
        Ok((Self { store, keys, heads, writer, engine, committed }, thread))
    }

    /// Whether notifications get through right now. A bus that died is rebuilt within seconds; until then writes are
    /// stored and wait to be told.
    pub(crate) fn delivers(&self) -> bool {
        self.engine.health().alive
    }

    /// Who a key is.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`], [`Refusal::Unavailable`].
    pub(crate) async fn authenticate(&self, key: &str) -> Result<Arc<Principal>, Refusal> {
        let hash = keys::hash(key).map_err(|_| Refusal::UnknownKey)?;
        if let Some(principal) = self.keys.cached(&hash) {
            return Ok(principal);
        }
        tokio::task::block_in_place(|| self.keys.look_up(&hash))?.ok_or(Refusal::UnknownKey)
    }

    /// Who uses a topic: whoever the topic's own `access_token` belongs to, else the connection's principal.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate), and [`Refusal::NoKey`] where there is neither.
    pub(crate) async fn principal(
        &self,
        connection: Option<&Arc<Principal>>,
        options: &TopicOptions,
    ) -> Result<Arc<Principal>, Refusal> {
        match (&options.access_token, connection) {
            (Some(token), _) => self.authenticate(token.reveal()).await,
            (None, Some(principal)) => Ok(Arc::clone(principal)),
            (None, None) => Err(Refusal::NoKey),
        }
    }

    /// Checks that the resource is there for this principal and may be used so.
    async fn authorise(
        &self,
        principal: &Principal,
        access: Access,
        resource: Id,
    ) -> Result<Arc<ResourceHead>, Refusal> {
        let head = match self.heads.get(resource) {
            Some(head) => head,
            None => {
                let found = tokio::task::block_in_place(|| self.heads.look_up(&*self.store, resource));
                found?.ok_or(Refusal::NotFound)?
            }
        };
        policy::on_resource(principal, access, &head)?;
        Ok(head)
    }
}

/// What the writer does with the events of a commit: forget what they made stale, then tell the bus.
fn announce(heads: Arc<Heads>, engine: Arc<Engine>, committed: Arc<AtomicU64>) -> EventSink {
    Box::new(move |events| {
        let mut notes = Vec::with_capacity(events.len() * 2);
        for event in &events {
            let (seq, head) = match event {
                Event::ThngChanged { seq, head, thng, .. } => {
                    heads.forget(*thng);
                    (*seq, head)
                }
                Event::PropertiesUpdated { seq, head, .. } => (*seq, head),
            };
            committed.fetch_max(seq, Ordering::SeqCst);
            let scopes = crate::auth::visibility::encode(&head.scopes);
            // Whoever subscribes from here on subscribes after this commit, so the unwatched need no note.
            let address = |topic: &Topic| {
                let key = RouteKey::new(head.account.as_str(), &topic.canonical());
                engine.is_watched(&key).then_some(key)
            };
            let note = |key, body| notes.push(Note { key, scopes: scopes.clone(), seq, body });
            translate::notes(event, address, note);
        }
        if !notes.is_empty() {
            engine.publish(notes);
        }
    })
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::NotFound => Self::NotFound,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store did not answer");
        Self::Unavailable
    }
}
