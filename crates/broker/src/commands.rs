//! The closed sets of commands and of the events that they cause.
//!
//! [`Command::apply`] validates against what is stored and writes; one noun a file. Before it, `auth` authorized
//! the request and `protocol::payload` parsed the JSON; after it, `notifications` chooses the subscribers. The single
//! writer that puts many commands into one commit is [`writer`](crate::writer).

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{
        Json, LocationUpdate, LocationWrite, MembershipChange, Patch, PropertyUpdate, PropertyWrite,
        ResourceKind,
    },
};

use thng_pubsub_store::{
    Actor, Change, KeyHash, KeyRecord, PropertyOwner, ResourceMeta, ResourceRecord, Sequence, StoreError,
    TimestampMs, WriteStore,
    session_queue::{OpenedSession, QueueLimits, SessionNumber, SessionProgress, StoredSubscription},
};

mod account;
mod action;
mod collection;
mod document;
mod key;
mod location;
mod property;
mod resource;
mod session;
mod task;

pub(crate) use account::NewAccount;
pub(crate) use action::{ActionInput, BUILT_IN_TYPES, commission_state};
pub(crate) use collection::{ADDED_AT_ONCE, LEFT_AT_ONCE, crowded};
pub(crate) use document::{ADDRESS_PATH, notification};
pub use document::{ContextVisibility, Extras, document};
pub(crate) use resource::{Creation, DELETED_BYTES_AT_ONCE, deletion_bytes};
pub(crate) use session::{DurableSubscription, EXPIRED_AT_ONCE};
pub(crate) use task::{PART_THNGS, TaskInput, input_of, is_open, key_of_task, task_private};

/// The name of a probe in the store.
const PROBE: &str = "probe";

/// An authorized write.
#[derive(Debug)]
pub(crate) enum Command {
    /// A new resource.
    Create(Box<Creation>),
    /// A new account with an operator who may do everything in it.
    CreateAccount(Box<NewAccount>),
    /// New values for a resource's own fields, and where given for what it keeps to itself.
    Update { account: Id, kind: ResourceKind, id: Id, patch: Box<Patch>, private: Option<Json> },
    /// The same change of many resources; those that are gone are passed over.
    UpdateMany { account: Id, kind: ResourceKind, ids: Vec<Id>, patch: Box<Patch> },
    /// The end of a resource and all that hangs on it.
    Delete { account: Id, kind: ResourceKind, id: Id },
    /// The same for many; those that are gone are passed over. `notifications_max`: what all of it may cause.
    DeleteMany { account: Id, kind: ResourceKind, ids: Vec<Id>, notifications_max: usize },
    /// New property values, which are one update: one notification on the owner's `/properties`.
    UpdateProperties { account: Id, owner: PropertyOwner, writes: Vec<PropertyWrite> },
    /// Values forgotten: of one key or all, those before a time or all.
    DeleteProperties {
        account: Id,
        owner: PropertyOwner,
        key: Option<PropertyKey>,
        before_ms: Option<TimestampMs>,
    },
    /// New locations of a thng, which are one update.
    UpdateLocation { account: Id, thng: Id, writes: Vec<LocationWrite> },
    /// Locations forgotten: those before a time or all.
    DeleteLocation { account: Id, thng: Id, before_ms: Option<TimestampMs> },
    /// New actions, one event each. `notifications_max`: what all of them may cause.
    CreateActions { account: Id, inputs: Vec<ActionInput>, notifications_max: usize },
    /// Thngs that join or leave a collection.
    ChangeThngs { account: Id, collection: Id, change: MembershipChange, thngs: Vec<Id> },
    /// A thng leaves some of its collections, before it is deleted.
    LeaveCollections { account: Id, thng: Id },
    /// Collections that join or leave another one; `None` for all.
    ChangeCollections { account: Id, collection: Id, joins: bool, children: Option<Vec<Id>> },
    /// A key for an actor without one; an existing key stays. `private` is what the actor's resource keeps to itself
    /// from now on.
    IssueKey { key: KeyRecord, private: Option<Json> },
    /// One more key for an actor.
    AddKey { key: KeyRecord },
    /// The end of one key.
    RevokeKey { account: Id, hash: KeyHash },
    /// The end of an actor's keys.
    RevokeKeys { account: Id, actor: Actor },
    /// The next part of a task's work, which may create these; its end where the key that it was made with is not in force
    /// any more. `input`: what the task creates, or why it cannot.
    AdvanceTask {
        account: Id,
        task: Id,
        ids: Vec<Id>,
        input: Arc<Result<TaskInput, String>>,
        key_in_force: bool,
    },
    /// A client connects and wants its durable session, or a new one.
    OpenSession { account: Id, key: KeyHash, client_id: Box<str>, limits: QueueLimits },
    /// The end of a durable session, if there is one.
    EndSession { account: Id, key: KeyHash, client_id: Box<str> },
    /// The end of some of the durable sessions whose clients went away before this time.
    ExpireSessions { left_before_ms: TimestampMs },
    /// Subscriptions that a durable session makes or changes.
    /// Refused if there were more than `most` of all sessions together.
    Subscribe { account: Id, session: SessionNumber, subscriptions: Vec<DurableSubscription>, most: usize },
    /// Subscriptions that a durable session ends, by their filters.
    Unsubscribe { account: Id, session: SessionNumber, filters: Vec<Vec<u8>> },
    /// How far a durable session has come.
    SaveProgress { account: Id, progress: Box<SessionProgress> },
    /// An operation that a QoS 2 publish of a durable session asks for. Without `is_last` another step of it follows, and
    /// the publish is not received yet.
    PublishOnce { session: SessionNumber, packet_id: u16, command: Box<Command>, is_last: bool },
    /// The client knows that its QoS 2 publish was received: its packet id is free.
    ReleaseQos2 { account: Id, session: SessionNumber, packet_id: u16 },
    /// A write that is never read: whether the store can be written at all.
    Probe,
}

/// Something that happened and is on disk. It carries every id that is needed to name its topics.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A resource was created, updated or deleted.
    ResourceChanged {
        seq: Sequence,
        meta: Arc<ResourceMeta>,
        change: Change,
        record: Arc<ResourceRecord>,
        collections: Arc<[Id]>,
    },
    /// Property values were stored, all by one request.
    PropertiesUpdated {
        seq: Sequence,
        meta: Arc<ResourceMeta>,
        owner: PropertyOwner,
        updates: Arc<[PropertyUpdate]>,
    },
    /// Locations were stored, all by one request.
    LocationsUpdated { seq: Sequence, meta: Arc<ResourceMeta>, thng: Id, updates: Arc<[LocationUpdate]> },
    /// An action happened. `collections` are those of its own and of its thng; `about` are its thng, its product and these
    /// collections, as they were then.
    ActionCreated {
        about: Arc<[Arc<ResourceMeta>]>,
        seq: Sequence,
        meta: Arc<ResourceMeta>,
        action_type: String,
        collections: Arc<[Id]>,
        record: Arc<ResourceRecord>,
    },
    /// Thngs joined or left a collection.
    MembershipChanged { seq: Sequence, meta: Arc<ResourceMeta>, collection: Id, document: Arc<str> },
    /// A task has ended.
    TaskCompleted {
        seq: Sequence,
        meta: Arc<ResourceMeta>,
        batch: Arc<ResourceMeta>,
        record: Arc<ResourceRecord>,
    },
    /// Keys were revoked.
    KeysRevoked { hashes: Vec<KeyHash> },
    /// These keys depend on something else now.
    KeysChanged { hashes: Vec<KeyHash> },
    /// What many keys may do has changed.
    RightsChanged,
    /// A durable session was ended in favor of one of another key.
    SessionEvicted { number: i64 },
}

impl Event {
    /// How many topics tell of it at the most.
    pub(crate) fn topics(&self) -> usize {
        match self {
            Self::ActionCreated { meta, collections, .. } => {
                let subjects = [meta.thng, meta.product].into_iter().flatten().count();
                2 * (1 + subjects + collections.len())
            }
            Self::PropertiesUpdated { updates, .. } => 1 + updates.len(),
            Self::TaskCompleted { .. } => 2,
            Self::ResourceChanged { .. } | Self::LocationsUpdated { .. } | Self::MembershipChanged { .. } => {
                1
            }
            Self::KeysRevoked { .. }
            | Self::KeysChanged { .. }
            | Self::RightsChanged
            | Self::SessionEvicted { .. } => 0,
        }
    }
}

/// What the one who asked for an operation gets to see.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The resource as it is now.
    Resource(Arc<ResourceRecord>),
    /// The resources as they are now, in the order of the request.
    Resources(Vec<Arc<ResourceRecord>>),
    /// The values as they were stored, in the order of the request.
    Properties(Arc<[PropertyUpdate]>),
    /// The same for locations.
    Locations(Arc<[LocationUpdate]>),
    /// How many resources were changed.
    Count(usize),
    /// The actor's present key.
    Key(KeyRecord),
    /// The durable session that a client got.
    Session(OpenedSession),
    /// Subscriptions as they were stored, in the order of the request.
    Subscriptions(Vec<StoredSubscription>),
    /// Nothing to show.
    Done,
}

/// An operation that is in the group to be committed.
#[derive(Debug)]
pub(crate) struct AppliedCommand {
    pub outcome: Outcome,
    pub events: Vec<Event>,
}

impl AppliedCommand {
    fn done() -> Self {
        Self { outcome: Outcome::Done, events: Vec::new() }
    }
}

/// Why an operation was not applied.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// What it is about does not exist, or not in this account.
    #[error("there is no such resource")]
    NotFound,
    /// It asks for something that cannot be; one sentence a fault.
    #[error("{}", .0.join(" "))]
    Invalid(Vec<String>),
    /// It collides with something that is there.
    #[error("{0}")]
    Conflict(String),
    /// It asks for more than one command may do, or than a resource may have; a sentence that names the bound.
    #[error("{sentence}")]
    BeyondBound { bound: Bound, sentence: String },
    /// Durable sessions have as many subscriptions as they may.
    #[error("too many subscriptions of durable sessions")]
    TooManySubscriptions,
    /// The store failed; nothing of it was kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A bound that keeps the work of one command small, since all writers wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Collections that a thng or a collection is in.
    Collections,
    /// Collections that one collection is below.
    Ancestors,
    /// Notifications that one command causes.
    Notifications,
    /// Bytes of documents that one command writes.
    Bytes,
}

impl Bound {
    /// What it is called in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Collections => "collections",
            Self::Ancestors => "ancestors",
            Self::Notifications => "notifications",
            Self::Bytes => "bytes",
        }
    }
}

fn beyond(bound: Bound, sentence: impl Into<String>) -> CommandError {
    CommandError::BeyondBound { bound, sentence: sentence.into() }
}

impl From<thng_pubsub_protocol::payload::PayloadError> for CommandError {
    fn from(error: thng_pubsub_protocol::payload::PayloadError) -> Self {
        Self::Invalid(error.0)
    }
}

fn invalid(sentence: impl Into<String>) -> CommandError {
    CommandError::Invalid(vec![sentence.into()])
}

impl Command {
    /// Checks the operation against the store and writes it, at the time `now_ms`.
    ///
    /// Every check comes before the first write.
    pub(crate) fn apply(
        &self,
        store: &mut dyn WriteStore,
        now_ms: TimestampMs,
    ) -> Result<AppliedCommand, CommandError> {
        match self {
            Self::Create(creation) => resource::create(store, now_ms, creation),
            Self::CreateAccount(account) => account::create(store, now_ms, account),
            Self::Update { account, kind, id, patch, private } => {
                resource::update(store, now_ms, *account, *kind, *id, patch, private.as_ref())
            }
            Self::UpdateMany { account, kind, ids, patch } => {
                resource::update_many(store, now_ms, *account, *kind, ids, patch)
            }
            Self::Delete { account, kind, id } => resource::delete(store, now_ms, *account, *kind, *id),
            Self::DeleteMany { account, kind, ids, notifications_max } => {
                resource::delete_many(store, now_ms, *account, *kind, ids, *notifications_max)
            }
            Self::UpdateProperties { account, owner, writes } => {
                property::update(store, now_ms, *account, *owner, writes)
            }
            Self::DeleteProperties { account, owner, key, before_ms } => {
                property::delete(store, *account, *owner, key.as_ref(), *before_ms)
            }
            Self::UpdateLocation { account, thng, writes } => {
                location::update(store, now_ms, *account, *thng, writes)
            }
            Self::DeleteLocation { account, thng, before_ms } => {
                location::delete(store, *account, *thng, *before_ms)
            }
            Self::CreateActions { account, inputs, notifications_max } => {
                action::create(store, now_ms, *account, inputs, *notifications_max)
            }
            Self::ChangeThngs { account, collection, change, thngs } => {
                collection::change_thngs(store, now_ms, *account, *collection, *change, thngs)
            }
            Self::LeaveCollections { account, thng } => {
                collection::leave_some(store, now_ms, *account, *thng)
            }
            Self::ChangeCollections { account, collection, joins, children } => {
                collection::change_children(store, *account, *collection, *joins, children.as_deref())
            }
            Self::IssueKey { key, private } => key::issue(store, now_ms, key, private.as_ref()),
            Self::AddKey { key } => key::add(store, now_ms, key),
            Self::RevokeKey { hash, .. } => key::revoke_one(store, hash),
            Self::RevokeKeys { account, actor } => key::revoke(store, *account, *actor),
            Self::AdvanceTask { task, ids, input, key_in_force, .. } => {
                task::advance(store, now_ms, *task, ids, input, *key_in_force)
            }
            Self::OpenSession { key, client_id, limits, .. } => session::open(store, key, client_id, limits),
            Self::EndSession { key, client_id, .. } => session::end(store, key, client_id),
            Self::ExpireSessions { left_before_ms } => session::expire(store, *left_before_ms),
            Self::Subscribe { session, subscriptions, most, .. } => {
                session::subscribe(store, *session, subscriptions, *most)
            }
            Self::Unsubscribe { session, filters, .. } => session::unsubscribe(store, *session, filters),
            Self::SaveProgress { progress, .. } => session::save(store, now_ms, progress),
            Self::PublishOnce { session, packet_id, command, is_last } => {
                session::once(store, now_ms, (*session, *packet_id), command, *is_last)
            }
            Self::ReleaseQos2 { session, packet_id, .. } => session::release(store, *session, *packet_id),
            Self::Probe => {
                store.set_meta(PROBE, &now_ms.to_string())?;
                Ok(AppliedCommand { outcome: Outcome::Done, events: Vec::new() })
            }
        }
    }

    /// What it is called in traces.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Update { .. } => "update",
            Self::UpdateMany { .. } => "update_many",
            Self::Delete { .. } => "delete",
            Self::DeleteMany { .. } => "delete_many",
            Self::UpdateProperties { .. } => "update_properties",
            Self::DeleteProperties { .. } => "delete_properties",
            Self::UpdateLocation { .. } => "update_location",
            Self::DeleteLocation { .. } => "delete_location",
            Self::CreateActions { .. } => "create_actions",
            Self::ChangeThngs { .. } => "change_thngs",
            Self::LeaveCollections { .. } => "leave_collections",
            Self::ChangeCollections { .. } => "change_collections",
            Self::IssueKey { .. } => "issue_key",
            Self::CreateAccount(_) => "create_account",
            Self::AddKey { .. } => "add_key",
            Self::RevokeKey { .. } => "revoke_key",
            Self::RevokeKeys { .. } => "revoke_keys",
            Self::AdvanceTask { .. } => "work_on",
            Self::OpenSession { .. } => "open_session",
            Self::EndSession { .. } => "end_session",
            Self::ExpireSessions { .. } => "expire_sessions",
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::SaveProgress { .. } => "save_progress",
            Self::PublishOnce { command, .. } => command.name(),
            Self::ReleaseQos2 { .. } => "release",
            Self::Probe => "probe",
        }
    }

    /// The account that it belongs to, with which it waits for its turn. `None`: it is the server's own.
    pub(crate) fn account(&self) -> Option<Id> {
        match self {
            Self::Create(creation) => Some(creation.account),
            Self::CreateAccount(new) => Some(new.account),
            Self::Update { account, .. }
            | Self::UpdateMany { account, .. }
            | Self::Delete { account, .. }
            | Self::DeleteMany { account, .. }
            | Self::UpdateProperties { account, .. }
            | Self::DeleteProperties { account, .. }
            | Self::UpdateLocation { account, .. }
            | Self::DeleteLocation { account, .. }
            | Self::CreateActions { account, .. }
            | Self::ChangeThngs { account, .. }
            | Self::LeaveCollections { account, .. }
            | Self::ChangeCollections { account, .. }
            | Self::RevokeKey { account, .. }
            | Self::RevokeKeys { account, .. }
            | Self::AdvanceTask { account, .. }
            | Self::OpenSession { account, .. }
            | Self::EndSession { account, .. }
            | Self::Subscribe { account, .. }
            | Self::Unsubscribe { account, .. }
            | Self::SaveProgress { account, .. }
            | Self::ReleaseQos2 { account, .. } => Some(*account),
            Self::IssueKey { key, .. } | Self::AddKey { key } => Some(key.account),
            Self::PublishOnce { command, .. } => command.account(),
            Self::ExpireSessions { .. } | Self::Probe => None,
        }
    }

    /// Whether it ends durable sessions, with this outcome: what they leave is freed before more is added.
    pub(crate) fn ends_sessions(&self, outcome: &Outcome) -> bool {
        matches!(
            self,
            Self::EndSession { .. }
                | Self::ExpireSessions { .. }
                | Self::RevokeKey { .. }
                | Self::RevokeKeys { .. }
        ) || matches!(outcome, Outcome::Session(OpenedSession::StartedInstead { .. }))
    }

    /// Whether it leaves something behind that is freed later, with this outcome.
    pub(crate) fn needs_gc(&self, outcome: &Outcome) -> bool {
        match self {
            Self::Delete { .. }
            | Self::DeleteMany { .. }
            | Self::DeleteProperties { .. }
            | Self::DeleteLocation { .. }
            | Self::RevokeKey { .. }
            | Self::RevokeKeys { .. }
            | Self::EndSession { .. }
            | Self::ExpireSessions { .. }
            | Self::Subscribe { .. }
            | Self::Unsubscribe { .. }
            | Self::SaveProgress { .. } => true,
            Self::Create(_)
            | Self::CreateAccount(_)
            | Self::AddKey { .. }
            | Self::Update { .. }
            | Self::UpdateMany { .. }
            | Self::UpdateProperties { .. }
            | Self::UpdateLocation { .. }
            | Self::CreateActions { .. }
            | Self::ChangeThngs { .. }
            | Self::LeaveCollections { .. }
            | Self::ChangeCollections { .. }
            | Self::IssueKey { .. }
            | Self::AdvanceTask { .. }
            | Self::ReleaseQos2 { .. }
            | Self::Probe => false,
            // The session of another key that was ended for it.
            Self::OpenSession { .. } => {
                matches!(outcome, Outcome::Session(OpenedSession::StartedInstead { .. }))
            }
            Self::PublishOnce { command, .. } => command.needs_gc(outcome),
        }
    }
}
