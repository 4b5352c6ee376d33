//! Publishes to topics: authorizes, parses the payload into a command, and hands it to the writer.

use thng_pubsub_protocol::publish::{PublishRequest, parse_publish};
use tokio::sync::oneshot;

use super::{OnStored, PubSub};
use crate::{
    commands::{ChangeThngs, Command, CommandError, PublishCommand, PublishOnce, UpdateProperties},
    error::BrokerError,
    notifications,
    request::PublishContext,
    resources::NewResource,
};
use thng_pubsub_store::session_queue::SessionNumber;

impl PubSub {
    /// Publishes on a topic: authorizes, reads the payload, and puts the write into the writer's queue.
    ///
    /// When this returns `Ok`, `on_stored` will be called exactly once, in the order of the calls of one caller;
    /// when it returns an error, never.
    ///
    /// # Errors
    /// Any [`BrokerError`] that is known before the write.
    pub async fn publish(
        &self,
        publish: &PublishContext,
        payload: &[u8],
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let (steps, last) = self.steps(publish, payload).await?;
        self.submit_last(steps, last, payload.len(), on_stored).await
    }

    /// Executes all steps of a publish but the last one, and puts that one into the writer's queue.
    async fn submit_last(
        &self,
        steps: Vec<impl Command<Output = usize>>,
        last: impl Command<Output = ()>,
        payload_bytes: usize,
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let changed = match steps.is_empty() {
            true => 0,
            false => self.shared.count_of_all(steps).await?,
        };
        let on_stored = move |outcome: Result<(), BrokerError>| {
            on_stored(outcome.map_err(|error| error.after_steps(changed)))
        };
        let submitted = self.submit(last, payload_bytes, on_stored).await;
        submitted.map_err(|error| error.after_steps(changed))
    }

    /// The same for a QoS 2 publish of a durable session: what was stored under this packet id before, and not released
    /// since, is not stored again.
    ///
    /// # Errors
    /// Any [`BrokerError`] that is known before the write.
    pub async fn publish_once(
        &self,
        publish: &PublishContext,
        payload: &[u8],
        (session, packet_id): (SessionNumber, u16),
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let (steps, command) = self.steps(publish, payload).await?;
        let once = |command| PublishOnce { session, packet_id, command, is_last: false };
        let last = PublishOnce { session, packet_id, command, is_last: true };
        self.submit_last(steps.into_iter().map(once).collect(), last, payload.len(), on_stored).await
    }

    /// Puts an authorized command into the writer's queue.
    pub(super) async fn submit(
        &self,
        command: impl Command<Output = ()>,
        payload_bytes: usize,
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let reply = |answer: Result<(), CommandError>| on_stored(answer.map_err(BrokerError::from));
        Ok(self.shared.writer.submit(command, payload_bytes, reply).await?)
    }

    /// Publishes and waits until that is on the disk.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and whatever the command refuses.
    pub async fn publish_and_wait(
        &self,
        publish: &PublishContext,
        payload: &[u8],
    ) -> Result<(), BrokerError> {
        let (sender, receiver) = oneshot::channel();
        let on_stored = move |stored| {
            drop(sender.send(stored));
            None
        };
        self.publish(publish, payload, on_stored).await?;
        receiver.await.map_err(|_| CommandError::Stopping)?
    }

    /// Whether a publish would be taken, without doing it.
    ///
    /// # Errors
    /// Any [`BrokerError`] that is known before the write.
    pub fn check_publish(&self, publish: &PublishContext, payload: &[u8]) -> Result<(), BrokerError> {
        self.command(publish, payload).map(drop)
    }

    /// The authorized command of a publish.
    fn command(&self, publish: &PublishContext, payload: &[u8]) -> Result<PublishCommand, BrokerError> {
        let (request, topic) = (publish.context(), publish.topic());
        let meta = match notifications::resource(topic) {
            Some((kind, id)) => Some(self.shared.authorize_publish(publish, kind, id)?),
            None => {
                request.permit()?;
                None
            }
        };
        let resources = &self.resources;
        Ok(match parse_publish(topic, payload)? {
            PublishRequest::ActionType(patch) => {
                let command = resources.creation(request, NewResource::of(patch))?;
                PublishCommand::CreateActionType(Box::new(command))
            }
            PublishRequest::Actions { subject, type_in_path, actions } => {
                let inputs = resources.action_inputs(request, subject, type_in_path, actions)?;
                PublishCommand::CreateActions(resources.actions_command(request, inputs))
            }
            PublishRequest::Update { id, patch, .. } => {
                PublishCommand::Update(resources.update_command(request, id, meta.as_deref(), patch)?)
            }
            PublishRequest::Thngs { collection, thngs } => {
                PublishCommand::AddThngs(resources.add_thngs_command(request, collection, thngs)?)
            }
            PublishRequest::Properties { owner, writes } => {
                let account = request.principal().account;
                PublishCommand::UpdateProperties(UpdateProperties { account, owner, writes })
            }
            PublishRequest::Location { thng, writes } => {
                PublishCommand::UpdateLocation(resources.location_command(request, thng, writes)?)
            }
            PublishRequest::Nothing => return Err(BrokerError::SubscribeOnly),
        })
    }

    /// The last command of a publish, and those that come before it: several where it adds more thngs than one command
    /// may.
    async fn steps(
        &self,
        publish: &PublishContext,
        payload: &[u8],
    ) -> Result<(Vec<ChangeThngs>, PublishCommand), BrokerError> {
        match self.command(publish, payload)? {
            PublishCommand::AddThngs(command) => {
                let mut steps = self.resources.steps(publish.principal(), command).await?;
                let last = steps.pop().expect("a command has one step or more");
                Ok((steps, PublishCommand::AddThngs(last)))
            }
            command @ (PublishCommand::CreateActionType(_)
            | PublishCommand::CreateActions(_)
            | PublishCommand::Update(_)
            | PublishCommand::UpdateProperties(_)
            | PublishCommand::UpdateLocation(_)) => Ok((Vec::new(), command)),
        }
    }
}
