//! What can be done, and what has happened: the closed set of operations and events.
//!
//! [`Operation::apply`] validates against what is stored and writes; one noun a file. Who may do it was decided
//! before (`auth`), the JSON was read before (`protocol::payload`), and who hears of it is decided after
//! (`translate`). The single writer that puts many operations into one commit is [`writer`].

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{PropertyUpdate, PropertyWrite, ThngInput},
};

use crate::store::{
    PropertyOwner, ResourceHead, Sequence, StoreError, ThngChange, ThngRecord, TimestampMs, WriteStore,
};

mod property;
mod thng;
pub(crate) mod writer;

pub(crate) use thng::document as thng_document;

/// A write that somebody may do.
#[derive(Debug)]
pub(crate) enum Operation {
    /// A new thng with this id.
    CreateThng { account: Id, id: Id, input: Box<ThngInput> },
    /// New values for a thng's own fields.
    UpdateThng { account: Id, id: Id, input: Box<ThngInput> },
    /// The end of a thng, its properties and their histories.
    DeleteThng { account: Id, id: Id },
    /// New property values, which are one update: one notification on the owner's `/properties`.
    UpdateProperties { account: Id, owner: PropertyOwner, writes: Vec<PropertyWrite> },
    /// Values forgotten: of one key or all, those before a time or all.
    DeleteProperties {
        account: Id,
        owner: PropertyOwner,
        key: Option<PropertyKey>,
        before_ms: Option<TimestampMs>,
    },
}

/// Something that happened and is on disk. It carries every id that is needed to name its topics.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A thng was created, updated or deleted.
    ThngChanged { seq: Sequence, head: Arc<ResourceHead>, thng: Id, change: ThngChange, document: Arc<str> },
    /// Property values were stored, all by one request.
    PropertiesUpdated {
        seq: Sequence,
        head: Arc<ResourceHead>,
        owner: PropertyOwner,
        updates: Arc<[PropertyUpdate]>,
    },
}

/// What the one who asked for an operation gets to see.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The thng as it is now.
    Thng(Box<ThngRecord>),
    /// The values as they were stored, in the order of the request.
    Properties(Arc<[PropertyUpdate]>),
    /// Nothing to show.
    Done,
}

/// An operation that is in the group to be committed.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) outcome: Outcome,
    pub(crate) events: Vec<Event>,
}

/// Why an operation was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationError {
    /// What it is about does not exist, or not in this account.
    #[error("there is no such resource")]
    NotFound,
    /// It asks for something that cannot be; one sentence a fault.
    #[error("{}", .0.join(" "))]
    Invalid(Vec<String>),
    /// The store failed; nothing of it was kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation {
    /// Checks the operation against the store and writes it, at the time `now_ms`.
    ///
    /// Every check comes before the first write.
    pub(crate) fn apply(
        &self,
        store: &mut dyn WriteStore,
        now_ms: TimestampMs,
    ) -> Result<Applied, OperationError> {
        match self {
            Self::CreateThng { account, id, input } => thng::create(store, now_ms, *account, *id, input),
            Self::UpdateThng { account, id, input } => thng::update(store, now_ms, *account, *id, input),
            Self::DeleteThng { account, id } => thng::delete(store, now_ms, *account, *id),
            Self::UpdateProperties { account, owner, writes } => {
                property::update(store, now_ms, *account, *owner, writes)
            }
            Self::DeleteProperties { account, owner, key, before_ms } => {
                property::delete(store, *account, *owner, key.as_ref(), *before_ms)
            }
        }
    }
}
