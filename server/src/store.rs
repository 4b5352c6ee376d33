//! What is remembered: accounts, keys, resources, and the one append-only event log that is the history of everything.
//!
//! Two traits in domain terms, so that another database is a second file and not a second design:
//! [`WriteStore`] belongs to the single writer (`domain::writer`), [`ReadStore`] to everyone else.
//! Nothing here decides who may do what, and nothing here makes JSON for clients.
//!
//! The event log holds each value and each document once. Resources, latest values and histories are indices into it, so
//! its layout is a promise: `seq` grows by commit order and is never used twice. [`session`] says what is remembered of
//! MQTT clients that are away, [`facts`] how everything leaves for another server.

use std::{
    cell::LazyCell,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Instant,
};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thng_pubsub_protocol::{
    filter::FieldValue,
    id::{Id, PropertyKey},
    payload::{Fields, Json, LocationUpdate, PropertyUpdate, ResourceKind, Scopes, texts_at, values_at},
};

pub(crate) mod facts;
pub(crate) mod session;
mod sqlite;
pub(crate) mod subscriptions;

use session::{ReadSessions, WriteSessions};
pub(crate) use sqlite::{
    Backup, BackupHead, Bystander, Durability, Examination, Import, KNOWN_LAYOUT, SECRET_FILE, SqliteStore,
    sizes,
};
pub(crate) use thng_pubsub_protocol::wanted::PropertyOwner;

/// Milliseconds since the epoch, UTC.
pub(crate) type TimestampMs = i64;

/// The place of an entry in the event log: grows in commit order, is never used twice.
pub(crate) type Sequence = u64;

/// The note under which the last time is kept that was made before the clock was set back: milliseconds.
pub(crate) const CLOCK_SET_BACK: &str = "clock set back from";

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database was written by a later version of this program.
    #[error(
        "the database has layout {found}, this program knows up to {known}: start the newer program, or restore a backup made before the upgrade"
    )]
    TooNew { found: i64, known: i64 },
    /// The database was written by a version that was never released.
    #[error(
        "the database has layout {found} of a development version, which was never released: start with an empty folder"
    )]
    TooOld { found: i64 },
    /// It cannot be opened, read or written right now: permissions, a full or failing disk, another process.
    #[error("the database at {place} cannot be used: {reason}")]
    Unavailable { place: String, reason: String },
    /// There is no database where one was to be read.
    #[error("there is no database at {place}: `serve` makes one, `restore` and `import` bring one")]
    Nothing { place: String },
    /// There is none, because what was to make it was interrupted.
    #[error(
        "{place} has no database, but {file} of a restore or an import that was interrupted: run that command again, \
         or delete the file to begin with an empty database"
    )]
    Unfinished { place: String, file: String },
    /// There is none, or an empty one, beside a file that belongs to one.
    #[error(
        "{place} has no database, but {file}, which belongs to one: put that database back, or restore a backup into an \
         empty folder; to begin with an empty database, move the file away"
    )]
    Missing { place: String, file: String },
    /// What was read back is not what was ever written.
    #[error("the database holds something that this program never wrote: {0}")]
    Corrupt(String),
}

/// SHA-256 of an API key. The key itself is never stored: of 476 random bits no table can be made, so no salt is needed.
#[derive(Debug, Clone, Copy, Eq)]
pub(crate) struct KeyHash(pub(crate) [u8; 32]);

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for KeyHash {
    /// Takes as long for a hash that differs at its end as for one that differs at its beginning.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Digits of [`KeyHash::handle`]: enough to tell some millions of keys apart.
const HANDLE_DIGITS: usize = 12;

impl KeyHash {
    /// What people call the key by, who must not see it: the beginning of its hash.
    pub(crate) fn handle(&self) -> String {
        self.to_hex()[..HANDLE_DIGITS].to_owned()
    }

    /// All of it, in hexadecimal digits.
    pub(crate) fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Who a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Actor {
    /// An operator of the account.
    Operator(Id),
    /// An application, by its public key.
    Application(Id),
    /// An application, by its secret key.
    TrustedApplication(Id),
    /// A user of an application.
    User(Id),
    /// A thng.
    Device(Id),
    /// An access token.
    AccessToken(Id),
}

impl Actor {
    /// The resource that acts.
    pub(crate) fn id(self) -> Id {
        match self {
            Self::Operator(id)
            | Self::Application(id)
            | Self::TrustedApplication(id)
            | Self::User(id)
            | Self::Device(id)
            | Self::AccessToken(id) => id,
        }
    }
}

/// What a key that this server can show again was made from, besides the server's secret.
pub(crate) type KeyNonce = [u8; 16];

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    pub(crate) hash: KeyHash,
    pub(crate) account: Id,
    pub(crate) actor: Actor,
    /// `None` for a key that was given, and for one that is shown only once.
    pub(crate) nonce: Option<KeyNonce>,
    pub(crate) created_at_ms: TimestampMs,
}

/// What every write on a resource and every subscription to it needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceHead {
    pub(crate) id: Id,
    pub(crate) kind: ResourceKind,
    pub(crate) account: Id,
    pub(crate) scopes: Scopes,
    /// The thng that an action happened to.
    pub(crate) thng: Option<Id>,
    /// The product that a thng is one of, or that an action happened to.
    pub(crate) product: Option<Id>,
}

/// A resource as stored. Properties and locations are in the event log, collections in their own table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceRecord {
    pub(crate) id: Id,
    pub(crate) account: Id,
    pub(crate) kind: ResourceKind,
    /// The project of an application, the application of a user, the batch of a task.
    pub(crate) parent: Option<Id>,
    /// What [`Fields::document`] wrote.
    pub(crate) body: Arc<str>,
    /// A JSON object that no document shows: a password's hash, a role's permissions, an action's context.
    pub(crate) private: Option<Json>,
    pub(crate) scopes: Scopes,
    pub(crate) created_at_ms: TimestampMs,
    pub(crate) updated_at_ms: TimestampMs,
    /// The sequence of its creation: its place in every list. 0 until it is stored.
    pub(crate) place: Sequence,
}

impl ResourceRecord {
    /// Its fields, to look into or to change.
    pub(crate) fn fields(&self) -> Fields {
        Fields::read(self.kind, &self.body).unwrap_or_else(|_| Fields::new(self.kind))
    }

    /// Its place in lists.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at_ms: 0, seq: self.place }
    }

    pub(crate) fn head(&self) -> ResourceHead {
        self.head_with(&LazyCell::new(|| self.fields()))
    }

    /// The same, for those who read the fields anyway.
    pub(crate) fn head_with<F: FnOnce() -> Fields>(&self, fields: &LazyCell<Fields, F>) -> ResourceHead {
        let (thng, product) = match self.kind {
            ResourceKind::Thng => (None, fields.id("product")),
            ResourceKind::Action => (fields.id("thng"), fields.id("product")),
            _ => (None, None),
        };
        let (id, kind, account, scopes) = (self.id, self.kind, self.account, self.scopes.clone());
        ResourceHead { id, kind, account, scopes, thng, product }
    }

    /// The name that only one of its kind can have in the account, if the kind has such a one.
    pub(crate) fn unique_name(&self) -> Option<String> {
        match self.kind {
            ResourceKind::ActionType | ResourceKind::AccessPolicy => self.fields().text("name"),
            ResourceKind::Operator => self.fields().text("email").map(|email| email.to_lowercase()),
            ResourceKind::User => {
                let email = self.fields().text("email").filter(|email| !email.is_empty())?;
                Some(format!("{}/{}", self.parent.as_ref().map_or("", Id::as_str), email.to_lowercase()))
            }
            ResourceKind::Account
            | ResourceKind::Access
            | ResourceKind::Project
            | ResourceKind::Application
            | ResourceKind::Role
            | ResourceKind::AccessToken
            | ResourceKind::Thng
            | ResourceKind::Product
            | ResourceKind::Collection
            | ResourceKind::Place
            | ResourceKind::Action
            | ResourceKind::Batch
            | ResourceKind::Task => None,
        }
    }

    /// The values at a path of a filter, such as `identifiers.serial`.
    pub(crate) fn values_at(&self, fields: &Fields, path: &str) -> Vec<FieldValue<'static>> {
        let number = |number: i64| vec![FieldValue::Number(number.to_string().into())];
        match path {
            "id" => vec![FieldValue::Text(self.id.to_string().into())],
            "createdAt" => number(self.created_at_ms),
            "updatedAt" => number(self.updated_at_ms),
            "collection" if self.kind == ResourceKind::Action => {
                self.action_collections(fields).into_iter().map(|id| FieldValue::Text(id.into())).collect()
            }
            _ => match path.strip_prefix("context.") {
                Some(key) => self.private_values("context", key),
                None => fields.values_at(path),
            },
        }
    }

    /// Whether a user is `anonymous`, `inactive` (not validated yet) or `active`.
    pub(crate) fn user_status(&self) -> String {
        self.private_text("status").unwrap_or_default()
    }

    /// When a user was validated, Unix milliseconds; nothing before.
    pub(crate) fn activated_at_ms(&self) -> Option<i64> {
        self.private_text("activatedAt")?.parse().ok()
    }

    /// A text that the resource keeps to itself.
    pub(crate) fn private_text(&self, member: &str) -> Option<String> {
        texts_at(self.private.as_ref()?.as_str(), Some(member)).into_iter().next()
    }

    fn private_values(&self, member: &str, key: &str) -> Vec<FieldValue<'static>> {
        let private = self.private.as_ref().map(Json::as_str).unwrap_or_default();
        values_at(private, Some(&format!("{member}.{key}")))
    }

    /// The collections that an action belongs to: its own, and those that its thng was in.
    fn action_collections(&self, fields: &Fields) -> Vec<String> {
        let mut collections = fields.texts_at("collection");
        if let Some(private) = &self.private {
            collections.extend(texts_at(private.as_str(), Some("collections")));
        }
        collections
    }
}

/// How much an owner's properties are, as its document shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PropertiesExtent {
    pub(crate) count: usize,
    /// Of their latest values.
    pub(crate) bytes: usize,
}

/// What happened to a resource itself, as the log keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    Updated,
    Deleted,
}

/// Who is to join or to leave a collection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Members<'a> {
    /// These.
    These(&'a [Id]),
    /// As many as this of those who are in it.
    UpTo(usize),
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

/// Where the items of a list come from. Every source is answered by an index, one item at a time, so that a page costs
/// what it shows and not what lies around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// All of the kind.
    All,
    /// Those that have this value in this field, or one that is told apart from it only by looking.
    Term(i64),
    /// The members of a collection.
    Members(Id),
    /// These.
    Ids(Vec<Id>),
    /// Those that are in each of these.
    Each(Vec<Source>),
    /// Those that are in any of these.
    Any(Vec<Source>),
}

impl Source {
    /// What is in both; no narrower than it must be.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, other) | (other, Self::All) => other,
            (Self::Each(mut sources), other) => {
                sources.push(other);
                Self::Each(sources)
            }
            (source, other) => Self::Each(vec![source, other]),
        }
    }
}

/// Says whether a resource belongs to a list; it may ask for the collections that the resource is in.
pub(crate) type Keep<'a> = &'a (dyn Fn(&ResourceRecord, &dyn Fn() -> Vec<Id>) -> bool + Sync);

/// A page of a history. It ends before the bytes of its values do, but has at least one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryPage {
    pub(crate) page: PageRequest,
    /// Values to pass over before the page.
    pub(crate) skip: usize,
    /// Bytes of the page.
    pub(crate) bytes: usize,
}

impl From<PageRequest> for HistoryPage {
    fn from(page: PageRequest) -> Self {
        Self { page, skip: 0, bytes: usize::MAX }
    }
}

/// What a list asks for.
pub(crate) struct Find<'a> {
    pub(crate) account: Id,
    pub(crate) kind: ResourceKind,
    pub(crate) source: Source,
    /// Who of the source belongs to the list; `None` for all.
    pub(crate) keep: Option<Keep<'a>>,
    pub(crate) page: PageRequest,
    /// Items to pass over before the page.
    pub(crate) skip: usize,
    /// Items of the source that are looked at; a page that would need more ends there, with the place to go on from.
    pub(crate) looked_at_max: usize,
    /// What the scan may cost besides.
    pub(crate) bounds: ScanBounds,
}

/// What a scan may cost. It ends at the first item that reaches a bound, with the place to go on from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanBounds {
    /// Bytes that are looked at, each as often as `passes` says.
    pub(crate) work_bytes: u64,
    /// How often the bytes of an item are gone through: once, and once for each value that they are compared with.
    pub(crate) passes: u64,
    /// When it ends.
    pub(crate) until: Option<Instant>,
    /// Bytes of the page.
    pub(crate) page_bytes: usize,
}

impl ScanBounds {
    /// For lookups that are short by their source.
    pub(crate) const NONE: Self =
        Self { work_bytes: u64::MAX, passes: 1, until: None, page_bytes: usize::MAX };
}

/// What of a scan is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Items that were looked at.
    pub(crate) items: usize,
    /// As [`ScanBounds::work_bytes`] counts them.
    pub(crate) work_bytes: u64,
    /// Items that were passed over before the page.
    pub(crate) skipped: usize,
    /// Where the scan goes on; nothing at its end.
    pub(crate) next: Option<Cursor>,
}

/// A part of a page of a list.
#[derive(Debug)]
pub(crate) struct FoundPart {
    pub(crate) items: Vec<ResourceRecord>,
    /// Whether the page has as many items, or bytes, as it may.
    pub(crate) is_full: bool,
    pub(crate) scanned: Scanned,
}

impl std::fmt::Debug for Find<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Find")
            .field("account", &self.account)
            .field("kind", &self.kind)
            .field("source", &self.source)
            .field("page", &self.page)
            .finish_non_exhaustive()
    }
}

/// The number that a value of a field is found by. Two values may share one, which the finder's `keep` tells apart.
pub(crate) fn term(account: Id, kind: ResourceKind, field: &str, value: &str) -> i64 {
    let digest = Sha256::new()
        .chain_update(account.as_str())
        .chain_update(kind.noun())
        .chain_update([0])
        .chain_update(field)
        .chain_update([0])
        .chain_update(value)
        .finalize();
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    i64::from_be_bytes(*first)
}

/// Fields that no document has, for [`term`]: what lists are narrowed to before anybody filters.
pub(crate) mod terms {
    /// Resources that are scoped to this project.
    pub(crate) const PROJECT: &str = "@project";
    /// Resources that every user of this project sees.
    pub(crate) const EVERYBODY: &str = "@everybody";
    /// Resources that this user sees.
    pub(crate) const USER: &str = "@user";
    /// What belongs to this resource.
    pub(crate) const PARENT: &str = "@parent";
    /// Tasks that are not finished.
    pub(crate) const OPEN: &str = "@open";
    /// Users who are not anonymous.
    pub(crate) const NAMED: &str = "@named";
}

/// Everything that a resource is found by.
pub(crate) fn terms_of(record: &ResourceRecord) -> Vec<i64> {
    use thng_pubsub_protocol::payload::UserScope;
    let fields = record.fields();
    let mut found = Vec::with_capacity(8);
    let mut add = |field: &str, value: &str| found.push(term(record.account, record.kind, field, value));
    fields.terms(|field, value| add(&field, &value));
    if let Some(parent) = &record.parent {
        add(terms::PARENT, parent.as_str());
    }
    for project in &record.scopes.projects {
        add(terms::PROJECT, project.as_str());
        if record.scopes.users == UserScope::All {
            add(terms::EVERYBODY, project.as_str());
        }
    }
    if let UserScope::Only(users) = &record.scopes.users {
        users.iter().for_each(|user| add(terms::USER, user.as_str()));
    }
    match record.kind {
        ResourceKind::Action => {
            record.action_collections(&fields).iter().for_each(|id| add("collection", id));
            for key in ["city", "countryCode"] {
                let values = record.private_values("context", key);
                values.iter().for_each(|value| add(&format!("context.{key}"), value.as_str()));
            }
        }
        ResourceKind::Task if matches!(fields.text("status").as_deref(), Some("PENDING" | "EXECUTING")) => {
            add(terms::OPEN, "");
        }
        ResourceKind::User if record.user_status() != "anonymous" => add(terms::NAMED, ""),
        _ => {}
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// An opened store: for those who read, and for the one who writes.
pub(crate) type Halves = (Arc<dyn ReadStore>, Box<dyn WriteStore>);

/// What belongs to a resource and stands elsewhere than in its document.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The collections that it is in, in the order of their creation.
    pub(crate) collections: Vec<Id>,
    /// Of a thng or product: the latest value of each property, by key.
    pub(crate) latest: Vec<PropertyUpdate>,
    /// Of a thng: where it is.
    pub(crate) location: Option<LocationUpdate>,
}

/// The reading side: many threads, each call blocks for as long as the disk takes.
pub(crate) trait ReadStore: ReadSessions + Send + Sync + std::fmt::Debug {
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
    /// Whether anybody can get in at all.
    fn has_keys(&self) -> Result<bool, StoreError>;
    /// The accounts, oldest first, at most so many.
    fn accounts(&self, most: usize) -> Result<Vec<Id>, StoreError>;
    /// A text that is kept under this name, such as the fingerprint of the server's secret.
    fn note(&self, name: &str) -> Result<Option<String>, StoreError>;
    /// What every use of a resource needs to know of it.
    fn head(&self, id: Id) -> Result<Option<ResourceHead>, StoreError>;
    /// A resource, whichever account it belongs to: that is for the caller to check.
    fn resource(&self, id: Id) -> Result<Option<ResourceRecord>, StoreError>;
    /// The document that a resource was created with.
    fn first_document(&self, place: Sequence) -> Result<Option<String>, StoreError>;
    /// The resource with this unique name.
    fn named(&self, account: Id, kind: ResourceKind, name: &str) -> Result<Option<Id>, StoreError>;
    /// A part of a page, by creation.
    fn find(&self, find: &Find<'_>) -> Result<FoundPart, StoreError>;
    /// How many items a part of a list has, and how far the part goes.
    fn count(&self, find: &Find<'_>) -> Result<(usize, Scanned), StoreError>;
    /// The tasks of all accounts that are not finished, oldest first, at most so many.
    fn open_tasks(&self, most: usize) -> Result<Vec<Id>, StoreError>;
    /// The collections that something is in, in the order of their creation.
    fn collections_of(&self, id: Id) -> Result<Vec<Id>, StoreError>;
    /// A resource and what belongs to it, all of one moment.
    fn resource_and_beside(&self, id: Id) -> Result<Option<(ResourceRecord, Beside)>, StoreError>;
    /// What belongs to a thng or product and stands elsewhere, all of one moment.
    fn beside(&self, owner: PropertyOwner) -> Result<Beside, StoreError>;
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
}

/// Puts on the disk what was committed before the call, from any thread, beside the next groups.
pub(crate) trait DiskSync: Send + Sync {
    /// Returns once it is there, as far as the store's durability asks for that. After an error nobody knows what is on the
    /// disk, not even after a later call that succeeds: the system may have dropped what it could not write.
    fn sync(&self) -> Result<(), StoreError>;
}

/// The writing side: one thread. Between [`begin`](Self::begin) and [`commit`](Self::commit) stand many operations;
/// nothing is promised to anybody before a [`DiskSync`] that began after `commit` has returned.
///
/// An operation checks before it writes. When a write fails all the same, the caller rolls the whole group back and
/// repeats its operations one by one, so a method may leave a failed group half written.
pub(crate) trait WriteStore: WriteSessions + Send {
    /// Starts a group.
    fn begin(&mut self) -> Result<(), StoreError>;
    /// Commits the group: whoever reads sees it, and the end of this process does not undo it. A loss of power may, until
    /// it is synced.
    fn commit(&mut self) -> Result<(), StoreError>;
    /// Forgets the group.
    fn rollback(&mut self);
    /// What puts committed groups on the disk.
    fn disk_sync(&self) -> Box<dyn DiskSync>;

    /// The time of the last event, which the server made.
    fn last_made_ms(&mut self) -> Result<Option<TimestampMs>, StoreError>;
    /// Keeps a text under a name.
    fn put_note(&mut self, name: &str, text: &str) -> Result<(), StoreError>;
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
    fn head(&mut self, id: Id) -> Result<Option<Arc<ResourceHead>>, StoreError>;
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
    /// What belongs to it ([`terms::PARENT`]) is not there any more for anybody who asks for its parent first, and
    /// goes with [`reclaim`](Self::reclaim), and so do its members.
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
    /// Appends the values of one update to the log, in their order; each becomes the latest of its property unless
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
