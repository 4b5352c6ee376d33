//! What is remembered: accounts, keys, thngs, and the one append-only event log that is the history of everything.
//!
//! Two traits in domain terms, so that another database is a second file and not a second design:
//! [`WriteStore`] belongs to the single writer (`domain::writer`), [`ReadStore`] to everyone else.
//! Nothing here decides who may do what, and nothing here makes JSON for clients.
//!
//! The event log holds each value once. Latest values and histories are indices into it, and durable sessions will
//! replay it; so its layout is a promise: `seq` grows by commit order and is never used twice.

use std::{collections::BTreeMap, sync::Arc};

use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{Json, PropertyUpdate, Scopes},
};

mod sqlite;

pub(crate) use sqlite::{Durability, SqliteStore};

/// Milliseconds since the epoch, UTC.
pub(crate) type TimestampMs = i64;

/// The place of an entry in the event log: grows in commit order, is never used twice.
pub(crate) type Sequence = u64;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database was written by a later version of this program.
    #[error(
        "the database has layout {found}, this program knows up to {known}: start the newer program, or restore a backup made before the upgrade"
    )]
    TooNew { found: i64, known: i64 },
    /// It cannot be opened, read or written right now: permissions, a full or failing disk, another process.
    #[error("the database at {place} cannot be used: {reason}")]
    Unavailable { place: String, reason: String },
    /// What was read back is not what was ever written.
    #[error("the database holds something that this program never wrote: {0}")]
    Corrupt(String),
}

/// SHA-256 of an API key. The key itself is never stored: of 476 random bits no table can be made, so no salt is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash(pub(crate) [u8; 32]);

/// Who a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// An operator of the account.
    Operator(Id),
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    pub(crate) hash: KeyHash,
    pub(crate) account: Id,
    pub(crate) actor: Actor,
    pub(crate) created_at_ms: TimestampMs,
}

/// An operator as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperatorRecord {
    pub(crate) id: Id,
    pub(crate) account: Id,
    pub(crate) email: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) created_at_ms: TimestampMs,
    pub(crate) updated_at_ms: TimestampMs,
}

/// What has properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PropertyOwner {
    /// A thng.
    Thng(Id),
}

impl PropertyOwner {
    pub(crate) fn id(self) -> Id {
        match self {
            Self::Thng(id) => id,
        }
    }
}

/// What every write on a resource and every subscription to it needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceHead {
    pub(crate) account: Id,
    pub(crate) scopes: Scopes,
}

/// A thng as stored; its properties are in the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThngRecord {
    pub(crate) id: Id,
    pub(crate) account: Id,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) custom_fields: Json,
    pub(crate) identifiers: BTreeMap<String, String>,
    pub(crate) scopes: Scopes,
    pub(crate) created_at_ms: TimestampMs,
    pub(crate) updated_at_ms: TimestampMs,
}

/// How much an owner's properties are, as its document shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PropertiesExtent {
    pub(crate) count: usize,
    /// Of their latest values.
    pub(crate) bytes: usize,
}

/// What happened to a thng itself, as the log keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThngChange {
    Created,
    Updated,
    Deleted,
}

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SortOrder {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Where a page starts: behind the item with this time and sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) at_ms: TimestampMs,
    pub(crate) seq: Sequence,
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// 1 or more.
    pub(crate) items: usize,
    pub(crate) order: SortOrder,
    pub(crate) after: Option<Cursor>,
}

/// A part of a list, and where the next part starts if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<Cursor>,
}

/// Which part of a history; both ends are included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TimeRange {
    pub(crate) from_ms: Option<TimestampMs>,
    pub(crate) to_ms: Option<TimestampMs>,
}

/// An opened store: for those who read, and for the one who writes.
pub(crate) type Halves = (Arc<dyn ReadStore>, Box<dyn WriteStore>);

/// The reading side: many threads, each call blocks for as long as the disk takes.
pub(crate) trait ReadStore: Send + Sync + std::fmt::Debug {
    /// The key with this hash.
    fn key(&self, hash: &KeyHash) -> Result<Option<KeyRecord>, StoreError>;
    /// Whether anybody can get in at all.
    fn has_keys(&self) -> Result<bool, StoreError>;
    /// The operator with this id.
    fn operator(&self, id: Id) -> Result<Option<OperatorRecord>, StoreError>;
    /// Account and scopes of a resource that has topics (for now: a thng).
    fn head(&self, id: Id) -> Result<Option<ResourceHead>, StoreError>;
    /// A thng, whichever account it belongs to: that is for the caller to check.
    fn thng(&self, id: Id) -> Result<Option<ThngRecord>, StoreError>;
    /// The thngs of an account, by creation; `project` narrows to those scoped to it.
    fn thngs(
        &self,
        account: Id,
        project: Option<Id>,
        page: PageRequest,
    ) -> Result<Page<ThngRecord>, StoreError>;
    /// The latest value of each property, by key.
    fn latest(&self, owner: PropertyOwner) -> Result<Vec<PropertyUpdate>, StoreError>;
    /// The latest value of one property.
    fn latest_of(
        &self,
        owner: PropertyOwner,
        key: &PropertyKey,
    ) -> Result<Option<PropertyUpdate>, StoreError>;
    /// One property's values, by their timestamp, equal ones by arrival.
    fn history(
        &self,
        owner: PropertyOwner,
        key: &PropertyKey,
        range: TimeRange,
        page: PageRequest,
    ) -> Result<Page<PropertyUpdate>, StoreError>;
}

/// The writing side: one thread. Between [`begin`](Self::begin) and [`commit`](Self::commit) stand many operations;
/// nothing is promised to anybody before `commit` returned, and then it is on the disk.
///
/// An operation checks before it writes. When a write fails all the same, the caller rolls the whole group back and
/// repeats its operations one by one, so a method may leave a failed group half written.
pub(crate) trait WriteStore: Send {
    /// Starts a group.
    fn begin(&mut self) -> Result<(), StoreError>;
    /// Puts the group on disk.
    fn commit(&mut self) -> Result<(), StoreError>;
    /// Forgets the group.
    fn rollback(&mut self);

    /// Adds an account's operator and key (and the account, where it is new).
    fn add_operator(&mut self, operator: &OperatorRecord, key: &KeyRecord) -> Result<(), StoreError>;

    /// Account and scopes of a resource, as the group sees it.
    fn head(&mut self, id: Id) -> Result<Option<Arc<ResourceHead>>, StoreError>;
    /// A thng, as the group sees it.
    fn thng(&mut self, id: Id) -> Result<Option<ThngRecord>, StoreError>;
    /// Adds or replaces a thng, and logs `change` with `document` (the JSON that subscribers get).
    fn put_thng(
        &mut self,
        thng: &ThngRecord,
        change: ThngChange,
        document: &str,
    ) -> Result<Sequence, StoreError>;
    /// Removes a thng with its properties and their histories, and logs its deletion with its last `document`.
    fn delete_thng(
        &mut self,
        thng: &ThngRecord,
        at_ms: TimestampMs,
        document: &str,
    ) -> Result<Sequence, StoreError>;
    /// What the owner's properties would come to with this update.
    fn properties_after(
        &mut self,
        owner: PropertyOwner,
        updates: &[PropertyUpdate],
    ) -> Result<PropertiesExtent, StoreError>;
    /// Appends the values of one update to the log, in their order; each becomes the latest of its property unless
    /// a later timestamp is there already (equal timestamps: the one written last). Returns the last entry's sequence.
    fn append_properties(
        &mut self,
        account: Id,
        owner: PropertyOwner,
        updates: &[PropertyUpdate],
    ) -> Result<Sequence, StoreError>;
    /// Removes values: of one property or (`None`) all, those with a timestamp below `before_ms` or (`None`) all.
    fn delete_properties(
        &mut self,
        owner: PropertyOwner,
        key: Option<&PropertyKey>,
        before_ms: Option<TimestampMs>,
    ) -> Result<(), StoreError>;
    /// Frees a bounded amount of what was deleted, in a group of its own. `true` when there is more to free.
    fn reclaim(&mut self) -> Result<bool, StoreError>;
}
