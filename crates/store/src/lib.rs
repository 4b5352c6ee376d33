//! The store: accounts, keys, resources, and one append-only event log, which is the history of everything.
//!
//! Two traits in domain terms, so that another database is a second file and not a second design:
//! [`WriteStore`] belongs to the one thread that writes, [`ReadStore`] to all others.
//! Nothing here decides who may do what, and nothing here makes JSON for clients.
//!
//! The event log holds each value and each document once. Resources, latest values and histories are indices into it, so
//! its layout is a promise: `seq` grows by commit order and is never used twice. [`session_queue`] says what is remembered of
//! MQTT clients that are away, [`export`] how everything leaves for another server.

use std::sync::Arc;

pub use thng_pubsub_protocol::topic::PropertyOwner;
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{LocationUpdate, PropertyUpdate, ResourceKind},
};

pub mod client_events;
pub mod durable_file;
mod error;
pub mod export;
mod index;
mod key;
mod list;
mod model;
mod paced_file;
pub mod session_queue;
mod sqlite;
pub mod subscriptions;

pub use self::{
    error::StoreError,
    index::{index_fields, index_key, index_keys},
    key::{Actor, KeyHash, KeyNonce, KeyRecord},
    list::{
        Cursor, HistoryPage, IndexScan, ListPart, ListRequest, OpenTask, Page, PageRequest, RecordFilter,
        ScanBounds, ScanProgress, SortOrder, TimeRange,
    },
    model::{Change, Members, PropertiesExtent, ResourceDetails, ResourceMeta, ResourceRecord},
    paced_file::{CopySpeed, PacedFile},
    sqlite::{
        Backup, BackupHeader, CLIENT_EVENTS_FILE, ClientEventFile, Durability, Examination, Import,
        KNOWN_LAYOUT, ReadOnlyDatabase, SECRET_FILE, SqliteStore, StoreSettings, UnnamedDatabase, sizes,
    },
};
use session_queue::{ReadSessions, WriteSessions};

/// Milliseconds since the epoch, UTC.
pub type TimestampMs = i64;

/// The position of an entry in the event log: grows in commit order, is never used twice.
pub type Sequence = u64;

/// The name of the last time before the clock was set back, in milliseconds.
pub const CLOCK_SET_BACK: &str = "clock set back from";

/// A clock that is set back by at most this, in milliseconds, sets no time of the log back.
pub const CLOCK_STEP_MS: i64 = 5 * 60 * 1_000;

/// An opened store: for those who read, and for the one who writes.
pub type StoreHandles = (Arc<dyn ReadStore>, Box<dyn WriteStore>);

/// The reading side: many threads, each call blocks for as long as the disk takes.
pub trait ReadStore: ReadSessions + Send + Sync + std::fmt::Debug {
    /// The key with this hash.
    fn key(&self, hash: &KeyHash) -> Result<Option<KeyRecord>, StoreError>;
    /// The key of this actor.
    fn key_of(&self, actor: Actor) -> Result<Option<KeyRecord>, StoreError>;
    /// The keys whose hashes are in this range, both ends included, at most so many.
    fn keys_between(
        &self,
        least: &KeyHash,
        greatest: &KeyHash,
        most: usize,
    ) -> Result<Vec<KeyRecord>, StoreError>;
    /// Whether there is any API key.
    fn has_keys(&self) -> Result<bool, StoreError>;
    /// The accounts, oldest first, at most so many.
    fn accounts(&self, most: usize) -> Result<Vec<Id>, StoreError>;
    /// A text that is kept under this name, such as the fingerprint of the server's secret.
    fn meta(&self, name: &str) -> Result<Option<String>, StoreError>;
    /// What every use of a resource needs to know of it.
    fn resource_meta(&self, id: Id) -> Result<Option<ResourceMeta>, StoreError>;
    /// A resource, whichever account it belongs to: that is for the caller to check.
    fn resource(&self, id: Id) -> Result<Option<ResourceRecord>, StoreError>;
    /// The document that a resource was created with.
    fn first_document(&self, created_seq: Sequence) -> Result<Option<String>, StoreError>;
    /// The resource with this unique name.
    fn named(&self, account: Id, kind: ResourceKind, name: &str) -> Result<Option<Id>, StoreError>;
    /// A part of a page, by creation.
    fn find(&self, find: &ListRequest<'_>) -> Result<ListPart, StoreError>;
    /// How many items a part of a list has, and how far the part goes.
    fn count(&self, find: &ListRequest<'_>) -> Result<(usize, ScanProgress), StoreError>;
    /// The tasks that are not finished: the oldest of each account, in their order, at most so many.
    fn open_tasks(&self, most_per_account: usize) -> Result<Vec<OpenTask>, StoreError>;
    /// The collections that something is in, in the order of their creation.
    fn collections_of(&self, id: Id) -> Result<Vec<Id>, StoreError>;
    /// The first of these that is not in the collection, and is in `most` others or more.
    fn first_crowded(
        &self,
        collection: Id,
        kind: ResourceKind,
        members: &[Id],
        most: usize,
    ) -> Result<Option<Id>, StoreError>;
    /// A resource and what belongs to it, all of one moment.
    fn resource_with_details(&self, id: Id) -> Result<Option<(ResourceRecord, ResourceDetails)>, StoreError>;
    /// The details of a thng or product outside of its document, all of one moment.
    fn details(&self, owner: PropertyOwner) -> Result<ResourceDetails, StoreError>;
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
        page: HistoryPage,
    ) -> Result<Page<PropertyUpdate>, StoreError>;
    /// The latest location of a thng.
    fn latest_location(&self, thng: Id) -> Result<Option<LocationUpdate>, StoreError>;
    /// A thng's locations, by their timestamp, equal ones by arrival.
    fn locations(
        &self,
        thng: Id,
        range: TimeRange,
        page: HistoryPage,
    ) -> Result<Page<LocationUpdate>, StoreError>;
    /// How many values are in the log only, and in memory, and not in the index by time yet.
    fn unindexed_values(&self) -> usize;
}

/// Puts on the disk what was committed before the call, from any thread, beside the next groups.
pub trait DiskSync: Send + Sync {
    /// Returns once it is there, as far as the store's durability asks for that. After an error the state of the disk is
    /// unknown, even after a later call that succeeds: the system may have dropped what it could not write.
    fn sync(&self) -> Result<(), StoreError>;
}

/// The writing side: one thread. There are many commands between [`begin`](Self::begin) and [`commit`](Self::commit);
/// nothing is promised to a client before a [`DiskSync`] that began after `commit` has returned.
///
/// A command checks before it writes. When a write still fails, the caller rolls the whole group back and repeats its
/// commands one by one. A method may therefore leave a failed group half written.
pub trait WriteStore: WriteSessions + Send {
    /// Starts a group.
    fn begin(&mut self) -> Result<(), StoreError>;
    /// Commits the group: readers see it, and the end of this process does not undo it. A loss of power may, until
    /// it is synced.
    fn commit(&mut self) -> Result<(), StoreError>;
    /// Forgets the group.
    fn rollback(&mut self);
    /// What puts committed groups on the disk.
    fn disk_sync(&self) -> Box<dyn DiskSync>;

    /// The time of the last event, which the server made.
    fn last_made_ms(&mut self) -> Result<Option<TimestampMs>, StoreError>;
    /// Keeps a text under a name.
    fn set_meta(&mut self, name: &str, text: &str) -> Result<(), StoreError>;
    /// Adds a key.
    fn add_key(&mut self, key: &KeyRecord) -> Result<(), StoreError>;
    /// The key of this actor, as the group sees it.
    fn key_of(&mut self, actor: Actor) -> Result<Option<KeyRecord>, StoreError>;
    /// Whether there is such a key, as the group sees it.
    fn has_key(&mut self, hash: &KeyHash) -> Result<bool, StoreError>;
    /// Takes one key away; `false` where there is none.
    fn remove_key(&mut self, hash: &KeyHash) -> Result<bool, StoreError>;
    /// Takes an actor's keys away; returns their hashes.
    fn remove_keys(&mut self, actor: Actor) -> Result<Vec<KeyHash>, StoreError>;

    /// What every write on a resource needs to know of it, as the group sees it.
    fn resource_meta(&mut self, id: Id) -> Result<Option<Arc<ResourceMeta>>, StoreError>;
    /// A resource, as the group sees it.
    fn resource(&mut self, id: Id) -> Result<Option<ResourceRecord>, StoreError>;
    /// The resource with this unique name, as the group sees it.
    fn named(&mut self, account: Id, kind: ResourceKind, name: &str) -> Result<Option<Id>, StoreError>;
    /// Adds a resource, or replaces what it was `before`, and logs that. The account is added where it is new.
    fn put_resource(
        &mut self,
        before: Option<&ResourceRecord>,
        after: &ResourceRecord,
    ) -> Result<Sequence, StoreError>;
    /// Says that a resource was changed by what hangs on it.
    fn touch(&mut self, id: Id, at_ms: TimestampMs) -> Result<(), StoreError>;
    /// Removes a resource with its properties, their histories, its locations and memberships, and logs its deletion.
    /// Resources that belong to it ([`index_fields::PARENT`]) are gone for every caller that checks their parent first.
    /// [`reclaim`](Self::reclaim) removes them, and its members.
    fn delete_resource(
        &mut self,
        resource: &ResourceRecord,
        at_ms: TimestampMs,
    ) -> Result<Sequence, StoreError>;

    /// The collections that something is in, as the group sees it, in the order of their creation, at most so many.
    fn collections_of(&mut self, id: Id, most: usize) -> Result<Vec<Id>, StoreError>;
    /// How many collections something is in, as the group sees it; no further than `most` is counted.
    fn count_collections(&mut self, id: Id, most: usize) -> Result<usize, StoreError>;
    /// The first of these resources that is not in the collection, and is in so many others.
    fn first_crowded(
        &mut self,
        collection: Id,
        kind: ResourceKind,
        members: &[Id],
        most: usize,
    ) -> Result<Option<Id>, StoreError>;
    /// Takes a resource out of some of the collections that it is in.
    fn leave_collections(&mut self, id: Id, collections: &[Id]) -> Result<(), StoreError>;
    /// Puts resources of one kind into a collection; returns those that were not in it.
    fn add_members(
        &mut self,
        collection: Id,
        kind: ResourceKind,
        members: &[Id],
    ) -> Result<Vec<Id>, StoreError>;
    /// Takes resources of one kind out of a collection; returns those that were in it.
    fn remove_members(
        &mut self,
        collection: Id,
        kind: ResourceKind,
        members: Members<'_>,
    ) -> Result<Vec<Id>, StoreError>;
    /// Whether resources of this kind are in a collection.
    fn has_members(&mut self, collection: Id, kind: ResourceKind) -> Result<bool, StoreError>;
    /// Logs what happened to the members of a collection; `document` is the JSON that subscribers get.
    fn log_membership(
        &mut self,
        account: Id,
        collection: Id,
        at_ms: TimestampMs,
        document: &str,
    ) -> Result<Sequence, StoreError>;

    /// What the owner's properties would come to with this update.
    fn properties_after(
        &mut self,
        owner: PropertyOwner,
        updates: &[PropertyUpdate],
    ) -> Result<PropertiesExtent, StoreError>;
    /// Appends the values of one update to the log, in their order. Each becomes the latest of its property unless
    /// a later timestamp is there already (equal timestamps: the one written last). Returns the last entry's sequence.
    fn append_properties(
        &mut self,
        account: Id,
        owner: PropertyOwner,
        updates: &[PropertyUpdate],
    ) -> Result<Sequence, StoreError>;
    /// The same for the locations of a thng.
    fn append_locations(
        &mut self,
        account: Id,
        thng: Id,
        updates: &[LocationUpdate],
    ) -> Result<Sequence, StoreError>;
    /// Removes values: of one property or (`None`) all, those with a timestamp below `before_ms` or (`None`) all.
    fn delete_properties(
        &mut self,
        owner: PropertyOwner,
        key: Option<&PropertyKey>,
        before_ms: Option<TimestampMs>,
    ) -> Result<(), StoreError>;
    /// Removes locations: those with a timestamp below `before_ms` or (`None`) all.
    fn delete_locations(&mut self, thng: Id, before_ms: Option<TimestampMs>) -> Result<(), StoreError>;
    /// Frees a bounded amount of what was deleted, in a group of its own. `true` when there is more to free.
    fn reclaim(&mut self) -> Result<bool, StoreError>;
}
