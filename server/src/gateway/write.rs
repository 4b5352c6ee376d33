//! Writes: what is published on a topic, and what REST asks for where there is no topic.

use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{ScopesPatch, ThngInput, UserScope},
    topic::{Topic, table::Access},
};
use tokio::sync::oneshot;

use super::{Gateway, Refusal};
use crate::{
    auth::{Principal, policy},
    domain::{Operation, Outcome},
    random,
    store::{PropertyOwner, TimestampMs},
    translate,
};

/// What is called once the outcome is known and on disk, on the writer's thread: quick, never blocking.
pub(crate) type WhenStored = Box<dyn FnOnce(Result<Outcome, Refusal>) + Send>;

impl Gateway {
    /// Publishes on a topic: authorises, reads the payload, and puts the write into the writer's queue.
    ///
    /// When this returns `Ok`, `when_stored` will be called exactly once, in the order of the calls of one caller;
    /// when it returns an error, never.
    ///
    /// # Errors
    /// Any [`Refusal`] that is known before the write.
    pub(crate) async fn publish(
        &self,
        principal: &Principal,
        topic: &Topic,
        payload: &[u8],
        when_stored: WhenStored,
    ) -> Result<(), Refusal> {
        let served = self.authorise_publish(principal, topic).await?;
        let operation = translate::operation(principal.account, served, payload)?;
        let reply = Box::new(|outcome: Result<Outcome, _>| when_stored(outcome.map_err(Refusal::from)));
        Ok(self.writer.submit(operation, payload.len(), reply).await?)
    }

    /// The part of a publish that needs no payload.
    ///
    /// # Errors
    /// [`Refusal`] where a publish on the topic would be refused whatever it says.
    async fn authorise_publish<'t>(
        &self,
        principal: &Principal,
        topic: &'t Topic,
    ) -> Result<translate::Served<'t>, Refusal> {
        let publish = topic.kind().row().publish.ok_or(Refusal::WatchOnly)?;
        let served = translate::served(topic).ok_or(Refusal::NotServed)?;
        self.authorise(principal, publish.access, served.resource()).await?;
        Ok(served)
    }

    /// Whether a publish would be taken, without doing it.
    ///
    /// # Errors
    /// Any [`Refusal`] that is known before the write.
    pub(crate) async fn check_publish(
        &self,
        principal: &Principal,
        topic: &Topic,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        let served = self.authorise_publish(principal, topic).await?;
        translate::operation(principal.account, served, payload)?;
        Ok(())
    }

    /// Publishes and waits for the outcome.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and whatever the domain refuses.
    pub(crate) async fn publish_and_wait(
        &self,
        principal: &Principal,
        topic: &Topic,
        payload: &[u8],
    ) -> Result<Outcome, Refusal> {
        let (tell, told) = oneshot::channel();
        let when_stored = Box::new(move |outcome| drop(tell.send(outcome)));
        self.publish(principal, topic, payload, when_stored).await?;
        told.await.map_err(|_| Refusal::Unavailable)?
    }

    /// Creates a thng; `project` scopes it to a project and all its users. `payload_bytes` is what the input holds in
    /// memory.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn create_thng(
        &self,
        principal: &Principal,
        mut input: ThngInput,
        payload_bytes: usize,
        project: Option<Id>,
    ) -> Result<Outcome, Refusal> {
        policy::on_kind(principal, Access::Create)?;
        if let Some(project) = project {
            input
                .scopes
                .get_or_insert(ScopesPatch { projects: Some(vec![project]), users: Some(UserScope::All) });
        }
        let id = Id::generate(random::byte);
        let operation = Operation::CreateThng { account: principal.account, id, input: Box::new(input) };
        self.execute(operation, payload_bytes).await
    }

    /// Deletes a thng.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn delete_thng(&self, principal: &Principal, id: Id) -> Result<(), Refusal> {
        self.authorise(principal, Access::Delete, id).await?;
        self.execute(Operation::DeleteThng { account: principal.account, id }, 0).await.map(drop)
    }

    /// Forgets property values: of one key or all, those before a time or all.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn delete_properties(
        &self,
        principal: &Principal,
        owner: PropertyOwner,
        key: Option<PropertyKey>,
        before_ms: Option<TimestampMs>,
    ) -> Result<(), Refusal> {
        self.authorise(principal, Access::Delete, owner.id()).await?;
        let account = principal.account;
        self.execute(Operation::DeleteProperties { account, owner, key, before_ms }, 0).await.map(drop)
    }

    /// Hands an authorised operation to the writer and waits until it is on disk.
    async fn execute(&self, operation: Operation, payload_bytes: usize) -> Result<Outcome, Refusal> {
        let (tell, told) = oneshot::channel();
        self.writer
            .submit(operation, payload_bytes, Box::new(move |outcome| drop(tell.send(outcome))))
            .await?;
        Ok(told.await.map_err(|_| Refusal::Unavailable)??)
    }
}
