//! Writes: publishes on topics, and every other command for the writer.

use thng_pubsub_protocol::{
    id::Id,
    payload::{LocationInput, MembershipChange, Patch, ResourceKind, Scopes, ScopesPatch, UserScope},
    publish::{self, PublishRequest},
    topic::{Topic, TopicString, table::Access},
};
use tokio::sync::oneshot;

use crate::gateway::{BrokerError, Gateway, RequestContext};
use crate::{
    auth::{Principal, roles},
    commands::{Command, Outcome},
    notifications,
};
use thng_pubsub_store::{Actor, PropertyOwner, ResourceMeta, session_queue::SessionNumber};

/// What is called once the outcome is known and on disk, on the writer's thread: quick, never blocking.
pub trait OnStored: FnOnce(Result<Outcome, BrokerError>) + Send + 'static {}

impl<F: FnOnce(Result<Outcome, BrokerError>) + Send + 'static> OnStored for F {}

impl Gateway {
    /// Publishes on a topic: authorizes, reads the payload, and puts the write into the writer's queue.
    ///
    /// When this returns `Ok`, `on_stored` will be called exactly once, in the order of the calls of one caller;
    /// when it returns an error, never.
    ///
    /// # Errors
    /// Any [`BrokerError`] that is known before the write.
    pub async fn publish(
        &self,
        principal: &Principal,
        topic: &TopicString,
        payload: &[u8],
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let command = self.add_first_thngs(self.published(principal, topic, payload)?).await?;
        self.submit(command, payload.len(), on_stored).await
    }

    /// The same for a QoS 2 publish of a durable session: what was stored under this packet id before, and not released
    /// since, is not stored again.
    ///
    /// # Errors
    /// Any [`BrokerError`] that is known before the write.
    pub async fn publish_once(
        &self,
        principal: &Principal,
        topic: &TopicString,
        payload: &[u8],
        (session, packet_id): (SessionNumber, u16),
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let command = Box::new(self.add_first_thngs(self.published(principal, topic, payload)?).await?);
        let command = Command::PublishOnce { session, packet_id, command };
        self.submit(command, payload.len(), on_stored).await
    }

    /// Puts an authorized command into the writer's queue.
    pub(crate) async fn submit(
        &self,
        command: Command,
        payload_bytes: usize,
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        // For those who export traces: from here until the outcome is on disk.
        let span = tracing::debug_span!("write", command = command.name());
        let reply = Box::new(move |outcome: Result<Outcome, _>| {
            drop(span);
            on_stored(outcome.map_err(BrokerError::from));
        });
        Ok(self.writer.submit(command, payload_bytes, reply).await?)
    }

    /// Whether a publish would be taken, without doing it.
    ///
    /// # Errors
    /// Any [`BrokerError`] that is known before the write.
    pub fn check_publish(
        &self,
        principal: &Principal,
        topic: &TopicString,
        payload: &[u8],
    ) -> Result<(), BrokerError> {
        self.published(principal, topic, payload).map(drop)
    }

    /// The operation of a publish, with the verb that the topic's row says.
    fn published(
        &self,
        principal: &Principal,
        topic: &TopicString,
        payload: &[u8],
    ) -> Result<Command, BrokerError> {
        let row = topic.topic.kind().row();
        let access = row.publish.ok_or(BrokerError::SubscribeOnly)?.access;
        let canonical = topic.topic.canonical();
        let mut caller = RequestContext::new(principal, access, &canonical);
        caller.project = topic.options.project;
        self.command(&caller, &topic.topic, payload)
    }

    /// Does by REST what a publish does, with REST's own verb, and waits for the outcome.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and whatever the domain refuses.
    pub async fn write(
        &self,
        caller: &RequestContext<'_>,
        topic: &Topic,
        payload: &[u8],
    ) -> Result<Outcome, BrokerError> {
        let command = self.add_first_thngs(self.command(caller, topic, payload)?).await?;
        self.execute(command, payload.len()).await
    }

    /// Publishes and waits for the outcome.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and whatever the domain refuses.
    pub async fn publish_and_wait(
        &self,
        principal: &Principal,
        topic: &TopicString,
        payload: &[u8],
    ) -> Result<Outcome, BrokerError> {
        let command = self.add_first_thngs(self.published(principal, topic, payload)?).await?;
        self.execute(command, payload.len()).await
    }

    /// The authorized command of a publish.
    fn command(
        &self,
        caller: &RequestContext<'_>,
        topic: &Topic,
        payload: &[u8],
    ) -> Result<Command, BrokerError> {
        if topic.kind().row().publish.is_none() {
            return Err(BrokerError::SubscribeOnly);
        }
        let meta = match notifications::resource(topic) {
            Some((kind, id)) => Some(self.authorise(caller, kind, id)?),
            None => {
                self.permit(caller)?;
                None
            }
        };
        let account = caller.principal.account;
        Ok(match publish::parse_publish(topic, payload)? {
            PublishRequest::ActionType(patch) => {
                self.creation(caller, crate::gateway::NewResource::of(patch))?
            }
            PublishRequest::Actions { subject, type_in_path, actions } => {
                let inputs = actions
                    .into_iter()
                    .map(|(action_type, patch)| {
                        self.action_input(caller, subject, action_type, type_in_path, patch)
                    })
                    .collect::<Result<_, _>>()?;
                Command::CreateActions { account, inputs, notifications_max: self.settings.notifications_max }
            }
            PublishRequest::Update { kind, id, mut patch } => {
                Self::keep_scopes(caller, &mut patch);
                self.check_patch(caller, &patch, meta.as_deref())?;
                Command::Update { account, kind, id, patch: Box::new(patch), private: None }
            }
            PublishRequest::Thngs { collection, thngs } => {
                self.check_members(thngs.len())?;
                for thng in &thngs {
                    self.can_reference(caller, ResourceKind::Thng, *thng, "The body")?;
                }
                Command::ChangeThngs { account, collection, change: MembershipChange::ThngsAdded, thngs }
            }
            PublishRequest::Properties { owner, writes } => {
                Command::UpdateProperties { account, owner, writes }
            }
            PublishRequest::Location { thng, writes } => {
                for write in &writes {
                    if let LocationInput::Place(place) = write.input {
                        self.can_reference(caller, ResourceKind::Place, place, "place")?;
                    }
                }
                Command::UpdateLocation { account, thng, writes }
            }
            PublishRequest::Nothing => return Err(BrokerError::SubscribeOnly),
        })
    }

    /// Those who are not there to manage what others see leave scopes as they are: a user their own document's, a thng
    /// its own. Clients send whole documents back.
    pub(crate) fn keep_scopes(caller: &RequestContext<'_>, patch: &mut Patch) {
        let own = match caller.principal.actor {
            Actor::User(_) => patch.kind() == ResourceKind::User,
            Actor::Device(_) => true,
            Actor::Operator(_)
            | Actor::Application(_)
            | Actor::TrustedApplication(_)
            | Actor::AccessToken(_) => false,
        };
        if own {
            patch.scopes = None;
        }
    }

    /// Refuses a patch that names what the caller may not name, or gives rights that the caller may not give. `before`
    /// is what it changes: entries that are in its scopes already may stay there.
    pub(crate) fn check_patch(
        &self,
        caller: &RequestContext<'_>,
        patch: &Patch,
        before: Option<&ResourceMeta>,
    ) -> Result<(), BrokerError> {
        if patch.kind() == ResourceKind::Thng
            && let Some(product) = patch.id("product")
            && before.is_none_or(|before| before.product != Some(product))
        {
            self.can_reference(caller, ResourceKind::Product, product, "product")?;
        }
        for collection in &patch.collections {
            self.can_reference(caller, ResourceKind::Collection, *collection, "collections")?;
            if before.is_none() {
                self.may_join(caller, patch.kind(), *collection)?;
            }
        }
        if let Some(LocationInput::Place(place)) = patch.location.as_ref().map(|location| &location.input) {
            self.can_reference(caller, ResourceKind::Place, *place, "location")?;
        }
        match patch.kind() {
            ResourceKind::AccessPolicy => {
                Self::may_give_rights(caller)?;
                if patch.text("name").as_deref() == Some(roles::ACCOUNT_ADMIN) {
                    return Err(BrokerError::Conflict(
                        "This name is that of the policy that is built in.".into(),
                    ));
                }
                roles::check_permissions(&patch.texts("permissions")).map_err(BrokerError::Invalid)?;
            }
            ResourceKind::AccessToken | ResourceKind::Access => {
                Self::may_give_rights(caller)?;
                roles::conditions(&patch.texts("conditions")).map_err(BrokerError::invalid)?;
            }
            ResourceKind::Role => Self::may_give_rights(caller)?,
            _ => {}
        }
        match &patch.scopes {
            Some(scopes) => self.check_scopes(caller, scopes, before.map(|before| &before.scopes)),
            None => Ok(()),
        }
    }

    /// Refuses scopes that the caller may not give. `before` is what they change.
    fn check_scopes(
        &self,
        caller: &RequestContext<'_>,
        patch: &ScopesPatch,
        before: Option<&Scopes>,
    ) -> Result<(), BrokerError> {
        let known = before.cloned().unwrap_or_default();
        let mut after = known.clone();
        patch.clone().apply(&mut after)?;
        if let Some(own) = caller.own_projects().filter(|_| patch.changes_projects()) {
            let added = after.projects.iter().filter(|project| !known.projects.contains(project));
            let removed = known.projects.iter().filter(|project| !after.projects.contains(project));
            if added.chain(removed).any(|project| !own.contains(project)) {
                return Err(BrokerError::invalid(
                    "scopes: this API key changes the scopes of its own project only.",
                ));
            }
        }
        if let UserScope::Only(users) = &after.users
            && patch.changes_users()
            && !caller.is_unlimited()
        {
            let is_known = |user: &Id| matches!(&known.users, UserScope::Only(known) if known.contains(user));
            for user in users.iter().filter(|user| **user != caller.principal.actor.id() && !is_known(user)) {
                self.can_reference(caller, ResourceKind::User, *user, "scopes")?;
            }
        }
        Ok(())
    }

    /// Checks that the caller may add a member of this kind to a collection. What is created in a collection needs the
    /// right that adding it afterwards needs.
    fn may_join(
        &self,
        caller: &RequestContext<'_>,
        kind: ResourceKind,
        collection: Id,
    ) -> Result<(), BrokerError> {
        let path = match kind {
            ResourceKind::Collection => {
                format!("{}/collections", Topic::Collection { collection }.canonical())
            }
            _ => Topic::CollectionThngs { collection }.canonical(),
        };
        let member = RequestContext::new(caller.principal, Access::Update, &path);
        self.permit(&member)?;
        self.can_reference(&member, ResourceKind::Collection, collection, "collections")
    }

    /// Forgets property values: of one key or all, those before a time or all.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn delete_properties(
        &self,
        caller: &RequestContext<'_>,
        owner: PropertyOwner,
        key: Option<thng_pubsub_protocol::id::PropertyKey>,
        before_ms: Option<thng_pubsub_store::TimestampMs>,
    ) -> Result<(), BrokerError> {
        self.authorise(caller, owner.kind(), owner.id())?;
        let account = caller.principal.account;
        self.execute(Command::DeleteProperties { account, owner, key, before_ms }, 0).await.map(drop)
    }

    /// Forgets a thng's locations: those before a time or all.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn delete_locations(
        &self,
        caller: &RequestContext<'_>,
        thng: Id,
        before_ms: Option<thng_pubsub_store::TimestampMs>,
    ) -> Result<(), BrokerError> {
        self.authorise(caller, ResourceKind::Thng, thng)?;
        let account = caller.principal.account;
        self.execute(Command::DeleteLocation { account, thng, before_ms }, 0).await.map(drop)
    }

    /// Hands an authorized command to the writer and waits until it is on disk.
    pub(crate) async fn execute(
        &self,
        command: Command,
        payload_bytes: usize,
    ) -> Result<Outcome, BrokerError> {
        let (sender, receiver) = oneshot::channel();
        self.submit(command, payload_bytes, move |outcome| drop(sender.send(outcome))).await?;
        receiver.await.map_err(|_| BrokerError::Unavailable)?
    }
}
