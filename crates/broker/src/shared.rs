//! State that the services share: the store, the keys, the writer, and the steps that many calls have in common.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use thng_pubsub_protocol::{id::Id, payload::ResourceKind};

use crate::{
    auth::keys::{self, KeySecret, Keys},
    clock::Clock,
    commands::Command,
    error::{BrokerError, LogFailure as _},
    metrics::Metrics,
    random,
    request::{PublishContext, RequestContext},
    settings::ServiceSettings,
    writer::Writer,
};
use resource_cache::ResourceCache;
use thng_pubsub_store::{Actor, KeyRecord, ReadStore, ResourceMeta, StoreError};

pub(crate) mod resource_cache;
pub(crate) mod session_leases;

/// The state of all services. The thread of the writer ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) secret: KeySecret,
    pub(crate) settings: ServiceSettings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) resource_cache: Arc<ResourceCache>,
    pub(crate) writer: Writer,
}

/// How many resources the steps of a call have changed so far, also where the last one panics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changed(Arc<AtomicUsize>);

impl Changed {
    /// To be called after each step. Returns `count`.
    pub(crate) fn add(&self, count: usize) -> usize {
        self.0.fetch_add(count, Ordering::Relaxed);
        count
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// The metadata of a resource; `None` where it does not exist.
    pub(crate) fn resource_meta(&self, id: Id) -> Result<Option<Arc<ResourceMeta>>, StoreError> {
        match self.resource_cache.get(id) {
            Some(meta) => Ok(Some(meta)),
            None => self.resource_cache.look_up(&*self.store, id),
        }
    }

    /// Checks that a resource of this kind is there for the caller and may be used so.
    pub(crate) fn authorize(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        id: Id,
    ) -> Result<Arc<ResourceMeta>, BrokerError> {
        request.permit()?;
        let meta =
            self.resource_meta(id).log_failure()?.filter(|meta| meta.kind == kind && request.can_see(meta));
        meta.ok_or(BrokerError::NotFound)
    }

    /// The same for a publish. A result of an earlier publish with this context counts until the metadata of some resource
    /// changes: the rest of it, principal and path, never does.
    pub(crate) fn authorize_publish(
        &self,
        publish: &PublishContext,
        kind: ResourceKind,
        id: Id,
    ) -> Result<Arc<ResourceMeta>, BrokerError> {
        let generation = self.resource_cache.generation();
        if let Some(meta) = publish.authorized_at(generation) {
            return Ok(meta);
        }
        let meta = self.authorize(publish.context(), kind, id)?;
        publish.set_authorized(generation, &meta);
        Ok(meta)
    }

    /// Checks that a document may name this resource.
    pub(crate) fn can_reference(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        id: Id,
        field: &str,
    ) -> Result<(), BrokerError> {
        let is_there = self
            .resource_meta(id)
            .log_failure()?
            .is_some_and(|meta| meta.kind == kind && request.can_reference(&meta));
        match is_there {
            true => Ok(()),
            false => Err(BrokerError::invalid(format!(
                "{field}: there is no such {}.",
                kind.noun().to_lowercase()
            ))),
        }
    }

    /// Executes an authorized command: returns its output once it is committed and on the disk.
    pub(crate) async fn execute<C: Command>(
        &self,
        command: C,
        payload_bytes: usize,
    ) -> Result<C::Output, BrokerError> {
        Ok(self.writer.execute(command, payload_bytes).await?)
    }

    /// Executes commands one after the other, also when the caller's client has gone meanwhile. Returns the sum of their
    /// counts.
    ///
    /// # Errors
    /// As [`in_steps`](Self::in_steps).
    pub(crate) async fn count_of_all<C: Command<Output = usize>>(
        self: &Arc<Self>,
        commands: Vec<C>,
    ) -> Result<usize, BrokerError> {
        self.in_steps(|shared, changed| async move { shared.count_in_turn(commands, &changed).await }).await
    }

    /// The same, as steps of a longer call.
    pub(crate) async fn count_in_turn<C: Command<Output = usize>>(
        &self,
        commands: Vec<C>,
        changed: &Changed,
    ) -> Result<usize, BrokerError> {
        let mut count = 0;
        for command in commands {
            count += changed.add(self.execute(command, 0).await?);
        }
        Ok(count)
    }

    /// Executes several commands, also when the caller's client has gone meanwhile.
    ///
    /// # Errors
    /// That of `steps`, or [`BrokerError::Unavailable`] where they do not come to their end; each with what is changed.
    pub(crate) async fn in_steps<T, F>(
        self: &Arc<Self>,
        steps: impl FnOnce(Arc<Self>, Changed) -> F,
    ) -> Result<T, BrokerError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BrokerError>> + Send + 'static,
    {
        let changed = Changed::default();
        let steps = tokio::spawn(steps(Arc::clone(self), changed.clone()));
        let outcome = steps.await.unwrap_or(Err(BrokerError::Unavailable));
        outcome.map_err(|error| error.after_steps(changed.count()))
    }

    /// A new key for an actor, which can be shown again.
    pub(crate) fn new_key(&self, account: Id, actor: Actor) -> KeyRecord {
        let nonce = std::array::from_fn(|_| random::byte());
        let hash = keys::hash(&self.secret.key(actor, &nonce)).expect("a made key has the form of a key");
        KeyRecord { hash, account, actor, nonce: Some(nonce), created_at_ms: 0 }
    }

    /// The text of a key, if it can be shown.
    pub(crate) fn reveal(&self, key: &KeyRecord) -> Option<String> {
        key.nonce.as_ref().map(|nonce| self.secret.key(key.actor, nonce))
    }

    /// The key of an actor, if there is one that can be shown.
    pub(crate) fn key_of(&self, actor: Actor) -> Result<Option<String>, BrokerError> {
        let key = self.store.key_of(actor).log_failure()?;
        Ok(key.and_then(|key| self.reveal(&key)))
    }
}
