//! The client-event journal: what happened to connections and requests, kept for a while in a file beside the database.

use thng_pubsub_protocol::id::Id;

use super::{Actor, KeyHash, PageRequest, TimestampMs};

/// The account, key and actor of an event, as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventOwner {
    /// `None` where no key came, or one that the server never knew.
    pub account: Option<Id>,
    pub key: Option<KeyHash>,
    pub actor: Option<Actor>,
}

/// An event as it is stored. Equal events of a minute are one with a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClientEvent {
    pub owner: EventOwner,
    pub first_at_ms: TimestampMs,
    pub last_at_ms: TimestampMs,
    /// How often it happened, 1 or more.
    pub count: u64,
    /// A JSON object with everything else.
    pub document: String,
}

/// An event as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredClientEvent {
    /// Grows in the order of storage, and is never used twice while newer events are stored.
    pub seq: u64,
    /// The public name of the key.
    pub handle: Option<String>,
    pub actor: Option<Actor>,
    pub first_at_ms: TimestampMs,
    pub last_at_ms: TimestampMs,
    pub count: u64,
    pub document: String,
}

/// One more occurrence of events that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatedClientEvent {
    pub seq: u64,
    pub last_at_ms: TimestampMs,
    /// How often it happened again.
    pub count: u64,
}

/// Whose events a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventScope {
    /// Those of an account.
    Account(Id),
    /// Those of an account, and those of no account.
    AccountAndUnattributed(Id),
    /// Those of one actor of an account.
    Actor(Id, Actor),
}

/// How much the journal keeps. Beyond it the account that has most events loses its oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    pub events: u64,
    /// Bytes on the disk, estimated.
    pub bytes: u64,
    pub age_ms: TimestampMs,
}

/// What the journal keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalSize {
    pub events: u64,
    /// Bytes on the disk, estimated.
    pub bytes: u64,
}

/// A page of events, and the bound of what one call looks at.
#[derive(Debug, Clone, Copy)]
pub struct EventRequest {
    pub scope: EventScope,
    pub page: PageRequest,
    /// Events that one call looks at; the page ends there.
    pub looked_at_max: usize,
}
