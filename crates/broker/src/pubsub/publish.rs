//! Publishes to topics: authorizes, parses the payload into a command, and hands it to the writer.

use thng_pubsub_protocol::{
    payload::{LocationInput, MembershipChange, ResourceKind},
    publish::{self, PublishRequest},
    topic::Topic,
};

use super::{OnStored, PubSub};
use crate::{
    commands::{Command, Outcome},
    error::BrokerError,
    notifications,
    request::RequestContext,
    resources::{NewResource, Resources},
};
use thng_pubsub_store::session_queue::SessionNumber;

impl PubSub {
    /// Publishes to a topic: authorizes, reads the payload, and puts the write into the writer's queue.
    ///
    /// When this returns `Ok`, `on_stored` will be called exactly once, in the order of the calls of one caller;
    /// when it returns an error, never.
    ///
    /// # Errors
    /// Any [`BrokerError`] that is known before the write.
    pub async fn publish(
        &self,
        caller: &RequestContext,
        topic: &Topic,
        payload: &[u8],
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let mut steps = self.steps(caller, topic, payload).await?;
        let last = steps.pop().ok_or(BrokerError::Unavailable)?;
        self.submit_last(steps, last, payload.len(), on_stored).await
    }

    /// Executes all steps of a publish but the last one, and puts that one into the writer's queue.
    async fn submit_last(
        &self,
        steps: Vec<Command>,
        last: Command,
        payload_bytes: usize,
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let changed = match steps.is_empty() {
            true => 0,
            false => self.shared.count_of_all(steps).await?,
        };
        let on_stored = move |outcome: Result<_, BrokerError>| {
            on_stored(outcome.map_err(|error| error.after_steps(changed)))
        };
        let submitted = self.shared.submit(last, payload_bytes, on_stored).await;
        submitted.map_err(|error| error.after_steps(changed))
    }

    /// The same for a QoS 2 publish of a durable session: what was stored under this packet id before, and not released
    /// since, is not stored again.
    ///
    /// # Errors
    /// Any [`BrokerError`] that is known before the write.
    pub async fn publish_once(
        &self,
        caller: &RequestContext,
        topic: &Topic,
        payload: &[u8],
        (session, packet_id): (SessionNumber, u16),
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let mut steps = self.steps(caller, topic, payload).await?;
        let last = steps.pop().ok_or(BrokerError::Unavailable)?;
        let once = |command, is_last| {
            let command = Box::new(command);
            Command::PublishOnce { session, packet_id, command, is_last }
        };
        let steps = steps.into_iter().map(|step| once(step, false)).collect();
        self.submit_last(steps, once(last, true), payload.len(), on_stored).await
    }

    /// Publishes and waits for the outcome. The verb of the call may be another one than the topic's own.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and whatever the command refuses.
    pub async fn publish_and_wait(
        &self,
        caller: &RequestContext,
        topic: &Topic,
        payload: &[u8],
    ) -> Result<Outcome, BrokerError> {
        let mut steps = self.steps(caller, topic, payload).await?;
        if steps.len() > 1 {
            return self.shared.count_of_all(steps).await.map(Outcome::Count);
        }
        let command = steps.pop().ok_or(BrokerError::Unavailable)?;
        self.shared.execute(command, payload.len()).await
    }

    /// Whether a publish would be taken, without doing it.
    ///
    /// # Errors
    /// Any [`BrokerError`] that is known before the write.
    pub fn check_publish(
        &self,
        caller: &RequestContext,
        topic: &Topic,
        payload: &[u8],
    ) -> Result<(), BrokerError> {
        self.command(caller, topic, payload).map(drop)
    }

    /// The authorized command of a publish, in several steps where it is too long for one.
    async fn steps(
        &self,
        caller: &RequestContext,
        topic: &Topic,
        payload: &[u8],
    ) -> Result<Vec<Command>, BrokerError> {
        self.resources.steps(&caller.principal, self.command(caller, topic, payload)?).await
    }

    /// The authorized command of a publish.
    fn command(
        &self,
        caller: &RequestContext,
        topic: &Topic,
        payload: &[u8],
    ) -> Result<Command, BrokerError> {
        let meta = match notifications::resource(topic) {
            Some((kind, id)) => Some(self.shared.authorize(caller, kind, id)?),
            None => {
                caller.permit()?;
                None
            }
        };
        let account = caller.principal.account;
        Ok(match publish::parse_publish(topic, payload)? {
            PublishRequest::ActionType(patch) => self.resources.creation(caller, NewResource::of(patch))?,
            PublishRequest::Actions { subject, type_in_path, actions } => {
                let inputs = actions
                    .into_iter()
                    .map(|(action_type, patch)| {
                        self.resources.action_input(caller, subject, action_type, type_in_path, patch)
                    })
                    .collect::<Result<_, _>>()?;
                Command::CreateActions {
                    account,
                    inputs,
                    notifications_max: self.shared.settings.notifications_max,
                }
            }
            PublishRequest::Update { kind, id, mut patch } => {
                Resources::keep_scopes(caller, &mut patch);
                self.resources.check_patch(caller, &patch, meta.as_deref())?;
                Command::Update { account, kind, id, patch: Box::new(patch), private: None }
            }
            PublishRequest::Thngs { collection, thngs } => {
                self.resources.check_members(thngs.len())?;
                for thng in &thngs {
                    self.shared.can_reference(caller, ResourceKind::Thng, *thng, "The body")?;
                }
                Command::ChangeThngs { account, collection, change: MembershipChange::ThngsAdded, thngs }
            }
            PublishRequest::Properties { owner, writes } => {
                Command::UpdateProperties { account, owner, writes }
            }
            PublishRequest::Location { thng, writes } => {
                for write in &writes {
                    if let LocationInput::Place(place) = write.input {
                        self.shared.can_reference(caller, ResourceKind::Place, place, "place")?;
                    }
                }
                Command::UpdateLocation { account, thng, writes }
            }
            PublishRequest::Nothing => return Err(BrokerError::SubscribeOnly),
        })
    }
}
