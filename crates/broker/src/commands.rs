//! Commands, which change what is stored, and the closed set of events that they cause.
//!
//! [`Command::apply`] validates against what is stored and writes; one noun per file. Before it, `auth` authorized
//! the request and `protocol::payload` parsed the JSON; after it, `notifications` chooses the subscribers. The single
//! writer that puts many commands into one commit is [`writer`](crate::writer).

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    payload::{LocationUpdate, PropertyUpdate},
};

use thng_pubsub_store::{
    Actor, Change, KeyHash, PropertyOwner, ResourceMeta, ResourceRecord, Sequence, StoreError, TimestampMs,
    WriteStore,
};

mod account;
mod action;
mod collection;
mod document;
mod key;
mod location;
mod property;
mod publish;
mod resource;
mod session;
mod task;

pub(crate) use account::CreateAccount;
pub(crate) use action::{ActionInput, BUILT_IN_TYPES, CreateActions, commission_state};
pub(crate) use collection::{
    ADDED_AT_ONCE, ChangeCollections, ChangeThngs, LEFT_AT_ONCE, LeaveCollections, crowded,
};
pub(crate) use document::{ADDRESS_PATH, notification};
pub use document::{ContextVisibility, Extras, document};
pub(crate) use key::{AddKey, IssueKey, RevokeKey, RevokeKeys};
pub(crate) use location::{DeleteLocation, UpdateLocation};
pub(crate) use property::{DeleteProperties, UpdateProperties};
pub(crate) use publish::PublishCommand;
pub(crate) use resource::{
    Create, DELETED_BYTES_AT_ONCE, Delete, DeleteMany, Update, UpdateMany, deletion_bytes,
};
pub(crate) use session::{
    DurableSubscription, EXPIRED_AT_ONCE, EndSession, ExpireSessions, OpenSession, PublishOnce, ReleaseQos2,
    SaveProgress, Subscribe, Unsubscribe,
};
pub(crate) use task::{AdvanceTask, PART_THNGS, TaskInput, input_of, is_open, key_of_task, task_private};

/// The name of a probe in the store.
const PROBE: &str = "probe";

/// An authorized request to change something, with the type of its answer.
///
/// The writer applies it, commits it with others, and then gives the answer.
pub(crate) trait Command: Send + 'static {
    /// The answer once the command is committed.
    type Output: Send + 'static;

    /// Its name in traces.
    fn name(&self) -> &'static str;

    /// The owner of the time and memory that it uses in the writer.
    fn owner(&self) -> Owner;

    /// Checks it against the store and writes it, at the time `now_ms`. It is applied again if its group is rolled back.
    ///
    /// Every check comes before the first write.
    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output>;
}

/// The owner of a command, with which it waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// An account: also for the work of its sessions and tasks.
    Account(Id),
    /// The server itself.
    Server,
    /// A [`Probe`], which waits for nothing else.
    Probe,
}

/// A command that is in the group to be committed.
#[derive(Debug)]
pub(crate) struct Applied<T> {
    /// The answer to the call.
    pub output: T,
    /// What has changed.
    pub events: Vec<Event>,
    /// What is freed later.
    pub garbage: Garbage,
}

/// What becomes of a command when it is applied.
pub(crate) type CommandResult<T> = Result<Applied<T>, CommandError>;

/// What a command leaves in the database that is freed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Garbage {
    None,
    /// Rows of anything but sessions.
    Rows,
    /// Rows of ended sessions: they are freed before more is added.
    Sessions,
}

impl Applied<()> {
    fn done(garbage: Garbage) -> Self {
        Self { output: (), events: Vec::new(), garbage }
    }
}

impl<T> Applied<T> {
    fn without_output(self) -> Applied<()> {
        Applied { output: (), events: self.events, garbage: self.garbage }
    }
}

/// Writes a value that is never read: whether the store can be written at all.
#[derive(Debug)]
pub(crate) struct Probe;

impl Command for Probe {
    type Output = ();

    fn name(&self) -> &'static str {
        "probe"
    }

    fn owner(&self) -> Owner {
        Owner::Probe
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<()> {
        store.set_meta(PROBE, &now_ms.to_string())?;
        Ok(Applied::done(Garbage::None))
    }
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
    /// Keys of an account were revoked.
    KeysRevoked { account: Id, keys: Vec<(Actor, KeyHash)> },
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

/// Why a command was not applied.
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
    /// The server is stopping; nothing of it was kept.
    #[error("the server is stopping")]
    Stopping,
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
