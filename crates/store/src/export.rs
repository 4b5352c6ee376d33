//! Everything that is remembered, as a stream of records: what an export holds, and what an import makes a database of.
//!
//! A record is a row in the domain's terms. What follows from other records is left out: terms, unique names and latest
//! values are made anew. Durable sessions are left out too: they are of one server, and of the moment. Records come in
//! the order of [`ExportRecord`]'s variants, so that whatever one of them names has come before.

use thng_pubsub_protocol::{
    id::Id,
    payload::{Json, ResourceKind, Scopes},
};

use super::{KeyRecord, Sequence, StoreError, TimestampMs};

/// What one sequence of events is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesKind {
    /// The values of a property.
    Property,
    /// What happened to the owner itself.
    Changes,
    /// Where a thng was.
    Location,
    /// The actions of a type.
    Actions,
    /// The members that joined and left a collection.
    Membership,
}

impl SeriesKind {
    pub const ALL: [Self; 5] =
        [Self::Property, Self::Changes, Self::Location, Self::Actions, Self::Membership];
}

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A property's value, or a location.
    Value,
    Created,
    Updated,
    Deleted,
    /// The members that joined and left a collection.
    Members,
}

impl EventKind {
    pub const ALL: [Self; 5] = [Self::Value, Self::Created, Self::Updated, Self::Deleted, Self::Members];

    /// Whether a series of this kind can have such an event.
    pub fn fits(self, series: SeriesKind) -> bool {
        match self {
            Self::Value => matches!(series, SeriesKind::Property | SeriesKind::Location),
            Self::Created | Self::Updated | Self::Deleted => {
                matches!(series, SeriesKind::Changes | SeriesKind::Actions)
            }
            Self::Members => series == SeriesKind::Membership,
        }
    }
}

/// One sequence of events about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedSeries {
    /// What its events call it.
    pub number: i64,
    pub account: Id,
    pub owner_kind: ResourceKind,
    pub owner: Id,
    pub kind: SeriesKind,
    /// A property's key or the name of an action type; empty for what has none.
    pub key: String,
}

/// An entry of the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedEvent {
    pub seq: Sequence,
    pub series: i64,
    pub kind: EventKind,
    /// Its position among the values of one update.
    pub part: i64,
    pub timestamp_ms: TimestampMs,
    pub arrived_at_ms: TimestampMs,
    /// The JSON value or document, as the text that it is stored as.
    pub body: String,
}

/// A resource, whose document is in the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedResource {
    pub created_seq: Sequence,
    pub id: Id,
    pub account: Id,
    pub kind: ResourceKind,
    pub parent: Option<Id>,
    /// The event that holds its document.
    pub document: Sequence,
    pub private: Option<Json>,
    pub scopes: Scopes,
    pub created_at_ms: TimestampMs,
    pub updated_at_ms: TimestampMs,
}

/// Something that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportRecord {
    /// What the server remembers of itself.
    Meta {
        name: String,
        text: String,
    },
    Account {
        id: Id,
        created_at_ms: TimestampMs,
    },
    Key(KeyRecord),
    Series(ExportedSeries),
    Event(ExportedEvent),
    Resource(ExportedResource),
    /// Something is in a collection: both by the sequence of their creation.
    Member {
        collection: Sequence,
        kind: ResourceKind,
        member: Sequence,
    },
    /// Something is gone whose members and children are still to be freed.
    Orphan {
        created_seq: Sequence,
        id: Id,
        kind: ResourceKind,
    },
}

/// What is not in the records themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportHeader {
    /// The layout of the database that they are from.
    pub layout: i64,
    /// The sequence that the next event gets: no earlier one is ever used again.
    pub next_sequence: Sequence,
}

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be so; says why.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}
