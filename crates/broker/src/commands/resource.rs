//! Resources of every kind: created, changed field by field, deleted with all that hangs on them.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    limits,
    payload::{
        Fields, Json, LocationUpdate, MembershipChange, Patch, Point, PropertyUpdate, ResourceKind, Scopes,
        ScopesPatch, UserScope, membership_document, point,
    },
};

use super::{AppliedCommand, Bound, CommandError, Event, Outcome, beyond, invalid, location, property};
use thng_pubsub_store::{
    Actor, Change, KeyRecord, PropertyOwner, ResourceMeta, ResourceRecord, StoreError, TimestampMs,
    WriteStore, index_keys,
};

/// A new resource.
#[derive(Debug)]
pub(crate) struct Creation {
    pub account: Id,
    pub id: Id,
    pub parent: Option<Id>,
    pub patch: Patch,
    /// Fields that only the server sets, as JSON.
    pub set: Vec<(&'static str, String)>,
    /// Who sees it unless the patch says so.
    pub scopes: Scopes,
    pub private: Option<Json>,
    pub keys: Vec<KeyRecord>,
}

pub(super) fn create(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    creation: &Creation,
) -> Result<AppliedCommand, CommandError> {
    let Creation { account, id, patch, .. } = creation;
    let (account, id, kind) = (*account, *id, patch.kind());
    if let Some(parent) = creation.parent {
        let there = store.resource_meta(parent)?.is_some_and(|meta| meta.account == account);
        if !there {
            return Err(CommandError::NotFound);
        }
    }
    let mut fields = Fields::new(kind);
    fields.apply(patch, true)?;
    for (name, json) in &creation.set {
        fields.set(name, Some(Json::parse(json.clone())?));
    }
    complete(&mut fields, patch)?;
    let mut scopes = creation.scopes.clone();
    if let Some(patch) = patch.scopes.clone() {
        patch.apply(&mut scopes)?;
    }
    let mut record = ResourceRecord {
        id,
        account,
        kind,
        parent: creation.parent,
        body: body(&fields, &id, now_ms)?,
        private: creation.private.clone(),
        scopes,
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        place: 0,
    };
    check_references(store, None, &record, &fields)?;
    for collection in &patch.collections {
        existing(store, account, *collection, ResourceKind::Collection, "collections")?;
    }
    let values = Values::read(store, account, id, patch, now_ms)?;

    let mut events = Vec::new();
    record.place = store.put_resource(None, &record)?;
    for key in &creation.keys {
        store.add_key(&KeyRecord { created_at_ms: now_ms, ..key.clone() })?;
    }
    let mut joined = Vec::new();
    for collection in &patch.collections {
        if !store.add_members(*collection, kind, &[id])?.is_empty() {
            joined.push(*collection);
        }
    }
    let collections =
        if joined.is_empty() { Vec::new() } else { store.collections_of(id, limits::COLLECTIONS_MAX)? };
    let record = Arc::new(record);
    let meta = Arc::new(record.meta());
    events.push(changed(&record, Change::Created, collections.into()));
    values.append(store, account, &meta, &mut events)?;
    if kind == ResourceKind::Thng {
        for collection in joined {
            let document = membership_document(MembershipChange::ThngsAdded, now_ms, &[id]);
            events.extend(membership(store, account, collection, now_ms, document)?);
        }
    }
    Ok(AppliedCommand { outcome: Outcome::Resource(record), events })
}

/// First values of a new thng or product.
struct Values {
    owner: Option<PropertyOwner>,
    properties: Arc<[PropertyUpdate]>,
    locations: Arc<[LocationUpdate]>,
}

impl Values {
    fn read(
        store: &mut dyn WriteStore,
        account: Id,
        id: Id,
        patch: &Patch,
        now_ms: TimestampMs,
    ) -> Result<Self, CommandError> {
        let owner = match patch.kind() {
            ResourceKind::Thng => Some(PropertyOwner::Thng(id)),
            ResourceKind::Product => Some(PropertyOwner::Product(id)),
            _ => None,
        };
        let properties: Arc<[PropertyUpdate]> = property::stamp(&patch.properties, now_ms).collect();
        if let Some(owner) = owner.filter(|_| !properties.is_empty()) {
            property::check_extent(store, owner, &properties)?;
        }
        let locations = location::stamp(store, account, patch.location.as_slice(), now_ms)?.into();
        Ok(Self { owner, properties, locations })
    }

    fn append(
        self,
        store: &mut dyn WriteStore,
        account: Id,
        meta: &Arc<ResourceMeta>,
        events: &mut Vec<Event>,
    ) -> Result<(), CommandError> {
        if let Some(owner) = self.owner.filter(|_| !self.properties.is_empty()) {
            let seq = store.append_properties(account, owner, &self.properties)?;
            events.push(Event::PropertiesUpdated {
                seq,
                meta: Arc::clone(meta),
                owner,
                updates: self.properties,
            });
        }
        if !self.locations.is_empty() {
            let seq = store.append_locations(account, meta.id, &self.locations)?;
            let (meta, thng) = (Arc::clone(meta), meta.id);
            events.push(Event::LocationsUpdated { seq, meta, thng, updates: self.locations });
        }
        Ok(())
    }
}

pub(super) fn update(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    kind: ResourceKind,
    id: Id,
    patch: &Patch,
    private: Option<&Json>,
) -> Result<AppliedCommand, CommandError> {
    let before = own(store, account, kind, id)?;
    let (record, events) = change(store, now_ms, before, private, patch.scopes.clone(), |fields| {
        fields.apply(patch, false)?;
        complete(fields, patch)
    })?;
    Ok(AppliedCommand { outcome: Outcome::Resource(record), events })
}

/// Changes a resource: its fields, what it keeps to itself, who sees it.
pub(super) fn change(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    before: ResourceRecord,
    private: Option<&Json>,
    scopes: Option<ScopesPatch>,
    edit: impl FnOnce(&mut Fields) -> Result<(), CommandError>,
) -> Result<(Arc<ResourceRecord>, Vec<Event>), CommandError> {
    Ok(check(store, now_ms, before, private, scopes, edit)?.write(store)?)
}

/// A change that was checked and can be written.
struct ValidatedChange {
    before: ResourceRecord,
    after: ResourceRecord,
}

fn check(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    before: ResourceRecord,
    private: Option<&Json>,
    scopes: Option<ScopesPatch>,
    edit: impl FnOnce(&mut Fields) -> Result<(), CommandError>,
) -> Result<ValidatedChange, CommandError> {
    let mut fields = before.fields();
    edit(&mut fields)?;
    let mut after = before.clone();
    after.body = body(&fields, &before.id, before.created_at_ms)?;
    // Clients compare the two to see that something changed, also within one millisecond.
    after.updated_at_ms = now_ms.max(before.created_at_ms + 1);
    if let Some(scopes) = scopes {
        scopes.apply(&mut after.scopes)?;
    }
    if let Some(private) = private {
        after.private = Some(private.clone());
    }
    check_references(store, Some(&before), &after, &fields)?;
    Ok(ValidatedChange { before, after })
}

/// The stored part of a document, if it is not too large. A task's input may be as large as a request.
fn body(fields: &Fields, id: &Id, created_at_ms: TimestampMs) -> Result<Arc<str>, CommandError> {
    let document = fields.document(Some(id), created_at_ms);
    let most = limits::DOCUMENT_BYTES_MAX;
    if document.len() > most && fields.kind() != ResourceKind::Task {
        return Err(invalid(format!("The document would be {} bytes; it can have {most}.", document.len())));
    }
    Ok(document.into())
}

impl ValidatedChange {
    fn write(self, store: &mut dyn WriteStore) -> Result<(Arc<ResourceRecord>, Vec<Event>), StoreError> {
        let Self { before, after } = self;
        let seq = store.put_resource(Some(&before), &after)?;
        let collections = match after.kind.has_collections() {
            true => store.collections_of(after.id, limits::COLLECTIONS_MAX)?,
            false => Vec::new(),
        };
        let record = Arc::new(after);
        let meta = Arc::new(record.meta());
        let mut events = Vec::new();
        events.extend(rights_of(store, &before, &record)?);
        events.push(Event::ResourceChanged {
            seq,
            meta,
            change: Change::Updated,
            record: Arc::clone(&record),
            collections: collections.into(),
        });
        Ok((record, events))
    }
}

/// The effect of a change on the keys that depend on the resource.
fn rights_of(
    store: &mut dyn WriteStore,
    before: &ResourceRecord,
    after: &ResourceRecord,
) -> Result<Option<Event>, StoreError> {
    Ok(match after.kind {
        ResourceKind::Role
        | ResourceKind::AccessPolicy
        | ResourceKind::AccessToken
        | ResourceKind::Access
        | ResourceKind::Application => Some(Event::RightsChanged),
        ResourceKind::Thng => {
            let (old, new) = (before.meta(), after.meta());
            let same = old.product == new.product && old.scopes == new.scopes;
            let key = if same { None } else { store.key_of(Actor::Device(after.id))? };
            key.map(|key| Event::KeysChanged { hashes: vec![key.hash] })
        }
        ResourceKind::Account
        | ResourceKind::Operator
        | ResourceKind::Project
        | ResourceKind::User
        | ResourceKind::Product
        | ResourceKind::Collection
        | ResourceKind::Place
        | ResourceKind::ActionType
        | ResourceKind::Action
        | ResourceKind::Batch
        | ResourceKind::Task => None,
    })
}

/// Bytes of the documents that one command changes or deletes: all of them are written in one transaction.
const BULK_BYTES_MAX: usize = 8 << 20;

/// What an entry of an index that is added or removed counts, in bytes.
const INDEX_ENTRY_BYTES: usize = 128;

/// What a notification counts that a deletion of many causes, in bytes.
const NOTIFICATION_BYTES: usize = 1_024;

/// What it counts, in bytes, to replace one document by another one, or to delete it.
fn bulk_bytes(before: &ResourceRecord, after: Option<&ResourceRecord>) -> usize {
    let (old, new) = (index_keys(before), after.map(index_keys).unwrap_or_default());
    let added = new.iter().filter(|key| old.binary_search(key).is_err()).count();
    let removed = old.iter().filter(|key| new.binary_search(key).is_err()).count();
    after.unwrap_or(before).body.len() + (added + removed) * INDEX_ENTRY_BYTES
}

/// Refuses a change of many that writes too much.
fn check_bulk_bytes(bytes: usize) -> Result<(), CommandError> {
    match bytes <= BULK_BYTES_MAX {
        true => Ok(()),
        false => Err(beyond(
            Bound::Bytes,
            format!(
                "These documents, with {INDEX_ENTRY_BYTES} bytes for each entry of an index, would be more than \
                 {BULK_BYTES_MAX} bytes, which is the most for one call. Name fewer at a time; nothing was changed."
            ),
        )),
    }
}

pub(super) fn update_many(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    kind: ResourceKind,
    ids: &[Id],
    patch: &Patch,
) -> Result<AppliedCommand, CommandError> {
    let (mut checked, mut bytes) = (Vec::with_capacity(ids.len()), 0);
    for id in ids {
        match own(store, account, kind, *id) {
            Ok(before) => {
                let one = check(store, now_ms, before, None, patch.scopes.clone(), |fields| {
                    fields.apply(patch, false)?;
                    complete(fields, patch)
                })?;
                bytes += bulk_bytes(&one.before, Some(&one.after));
                check_bulk_bytes(bytes)?;
                checked.push(one);
            }
            Err(CommandError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    let (count, mut events) = (checked.len(), Vec::new());
    for one in checked {
        events.extend(one.write(store)?.1);
    }
    Ok(AppliedCommand { outcome: Outcome::Count(count), events })
}

pub(super) fn delete(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    kind: ResourceKind,
    id: Id,
) -> Result<AppliedCommand, CommandError> {
    let record = own(store, account, kind, id)?;
    let collections = match kind.has_collections() {
        true => store.collections_of(id, limits::COLLECTIONS_MAX)?,
        false => Vec::new(),
    };
    let mut hashes = Vec::new();
    for actor in actors_of(kind, id) {
        hashes.extend(store.remove_keys(actor)?);
    }
    let mut events = Vec::new();
    let seq = store.delete_resource(&record, now_ms)?;
    if !hashes.is_empty() {
        events.push(Event::KeysRevoked { hashes });
    }
    if matches!(
        kind,
        ResourceKind::Project | ResourceKind::Application | ResourceKind::Role | ResourceKind::AccessPolicy
    ) {
        events.push(Event::RightsChanged);
    }
    if kind == ResourceKind::Thng {
        for collection in &collections {
            let document = membership_document(MembershipChange::ThngsRemoved, now_ms, &[id]);
            events.extend(membership(store, account, *collection, now_ms, document)?);
        }
    }
    let record = Arc::new(record);
    let meta = Arc::new(record.meta());
    let collections = collections.into();
    events.push(Event::ResourceChanged { seq, meta, change: Change::Deleted, record, collections });
    Ok(AppliedCommand { outcome: Outcome::Done, events })
}

pub(super) fn delete_many(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    kind: ResourceKind,
    ids: &[Id],
    notifications_max: usize,
) -> Result<AppliedCommand, CommandError> {
    let mut bytes = NOTIFICATION_BYTES * check_notifications(store, kind, ids, notifications_max)?;
    for id in ids {
        if let Some(record) = store.resource(*id)? {
            bytes += bulk_bytes(&record, None);
            check_bulk_bytes(bytes)?;
        }
    }
    let (mut count, mut events) = (0, Vec::new());
    for id in ids {
        match delete(store, now_ms, account, kind, *id) {
            Ok(applied) => {
                count += 1;
                events.extend(applied.events);
            }
            Err(CommandError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(AppliedCommand { outcome: Outcome::Count(count), events })
}

/// Refuses a deletion whose notifications to the collections of the thngs exceed the bound. Returns how many there are.
fn check_notifications(
    store: &mut dyn WriteStore,
    kind: ResourceKind,
    ids: &[Id],
    most: usize,
) -> Result<usize, CommandError> {
    if kind != ResourceKind::Thng {
        return Ok(ids.len());
    }
    let mut caused = ids.len();
    for id in ids {
        caused += store.count_collections(*id, most.saturating_sub(caused) + 1)?;
        if caused > most {
            return Err(beyond(
                Bound::Notifications,
                format!(
                    "This would cause more than {most} notifications, which is the most for one command \
                     (--command-notifications-max): each collection gets a notification of each thng that leaves. \
                     Delete fewer at a time; nothing was deleted."
                ),
            ));
        }
    }
    Ok(caused)
}

/// Those whose keys go with a resource.
fn actors_of(kind: ResourceKind, id: Id) -> Vec<Actor> {
    match kind {
        ResourceKind::Operator => vec![Actor::Operator(id)],
        ResourceKind::Application => vec![Actor::Application(id), Actor::TrustedApplication(id)],
        ResourceKind::User => vec![Actor::User(id)],
        ResourceKind::Thng => vec![Actor::Device(id)],
        ResourceKind::AccessToken => vec![Actor::AccessToken(id)],
        ResourceKind::Account
        | ResourceKind::Access
        | ResourceKind::Project
        | ResourceKind::Role
        | ResourceKind::AccessPolicy
        | ResourceKind::Product
        | ResourceKind::Collection
        | ResourceKind::Place
        | ResourceKind::ActionType
        | ResourceKind::Action
        | ResourceKind::Batch
        | ResourceKind::Task => Vec::new(),
    }
}

/// The resource, if it is there, of this account and kind.
pub(super) fn own(
    store: &mut dyn WriteStore,
    account: Id,
    kind: ResourceKind,
    id: Id,
) -> Result<ResourceRecord, CommandError> {
    store
        .resource(id)?
        .filter(|found| found.account == account && found.kind == kind)
        .ok_or(CommandError::NotFound)
}

/// Refuses a reference to something that is not there.
pub(super) fn existing(
    store: &mut dyn WriteStore,
    account: Id,
    id: Id,
    kind: ResourceKind,
    field: &str,
) -> Result<Arc<ResourceMeta>, CommandError> {
    let found = store.resource_meta(id)?.filter(|meta| meta.account == account && meta.kind == kind);
    found.ok_or_else(|| invalid(format!("{field}: there is no such {}.", noun(kind))))
}

/// What a kind is called in a sentence.
pub(super) fn noun(kind: ResourceKind) -> String {
    let mut words = String::new();
    for letter in kind.noun().chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// An event of a membership, where the collection is still there.
pub(super) fn membership(
    store: &mut dyn WriteStore,
    account: Id,
    collection: Id,
    now_ms: TimestampMs,
    document: String,
) -> Result<Option<Event>, StoreError> {
    let Some(meta) = store.resource_meta(collection)? else { return Ok(None) };
    let seq = store.log_membership(account, collection, now_ms, &document)?;
    Ok(Some(Event::MembershipChanged { seq, meta, collection, document: document.into() }))
}

pub(super) fn changed(record: &Arc<ResourceRecord>, change: Change, collections: Arc<[Id]>) -> Event {
    let meta = Arc::new(record.meta());
    Event::ResourceChanged { seq: record.place, meta, change, record: Arc::clone(record), collections }
}

/// What follows from the fields that were set, and what no single field can tell is wrong.
fn complete(fields: &mut Fields, patch: &Patch) -> Result<(), CommandError> {
    match fields.kind() {
        ResourceKind::Product => {
            let name = fields.text("name").unwrap_or_default();
            fields.set_text("fn", &name);
        }
        ResourceKind::Place => complete_place(fields, patch)?,
        ResourceKind::ActionType => {
            let name = fields.text("name").unwrap_or_default();
            if !name.starts_with('_') || name.len() < 2 {
                return Err(invalid("name: the name of an action type of your own starts with `_`."));
            }
            thng_pubsub_protocol::id::ActionTypeName::parse(&name)
                .map_err(|error| invalid(format!("name: {error}.")))?;
        }
        ResourceKind::Account
        | ResourceKind::Operator
        | ResourceKind::Access
        | ResourceKind::AccessPolicy
        | ResourceKind::AccessToken
        | ResourceKind::Project
        | ResourceKind::Application
        | ResourceKind::User
        | ResourceKind::Role
        | ResourceKind::Thng
        | ResourceKind::Collection
        | ResourceKind::Action
        | ResourceKind::Batch
        | ResourceKind::Task => {}
    }
    Ok(())
}

/// A place says where it is in two ways; what was said last counts, and a position before degrees.
fn complete_place(fields: &mut Fields, patch: &Patch) -> Result<(), CommandError> {
    let json = |text: &str| Json::parse(text.into()).ok();
    let at = match patch.get("position") {
        Some(position) => point(position),
        None if patch.get("latitude").is_some() || patch.get("longitude").is_some() => {
            let (longitude, latitude) = (fields.get("longitude"), fields.get("latitude"));
            let (Some(longitude), Some(latitude)) = (longitude, latitude) else {
                return Err(invalid("latitude and longitude go together."));
            };
            let text = format!("{{\"coordinates\":[{longitude},{latitude}]}}");
            Some(
                point(&text)
                    .ok_or_else(|| invalid("latitude is -90 to 90 and longitude -180 to 180 degrees."))?,
            )
        }
        None => {
            // Removed in one direction, it is gone in the other.
            let ways = ["position", "longitude", "latitude"];
            if ways.iter().any(|way| fields.get(way).is_none()) {
                ways.iter().for_each(|way| fields.set(way, None));
            }
            return Ok(());
        }
    };
    if let Some(at) = at {
        let Point { longitude, latitude } = &at;
        fields.set("longitude", json(longitude));
        fields.set("latitude", json(latitude));
        fields.set("position", json(&at.position()));
    }
    Ok(())
}

/// Refuses what points to nothing, and a name that is taken.
fn check_references(
    store: &mut dyn WriteStore,
    before: Option<&ResourceRecord>,
    after: &ResourceRecord,
    fields: &Fields,
) -> Result<(), CommandError> {
    let account = after.account;
    if after.kind == ResourceKind::Thng
        && let Some(product) = fields.id("product")
        && before.is_none_or(|before| before.fields().id("product") != Some(product))
    {
        existing(store, account, product, ResourceKind::Product, "product")?;
    }
    let known = |project: &Id| before.is_some_and(|before| before.scopes.projects.contains(project));
    if after.kind.is_scoped() {
        for project in after.scopes.projects.iter().filter(|project| !known(project)) {
            existing(store, account, *project, ResourceKind::Project, "scopes")?;
        }
        let users_known = before.is_some_and(|before| before.scopes.users == after.scopes.users);
        if let (UserScope::Only(users), false, true) =
            (&after.scopes.users, users_known, after.kind != ResourceKind::User)
        {
            for user in users {
                existing(store, account, *user, ResourceKind::User, "scopes")?;
            }
        }
    }
    if let Some(name) = after.unique_name()
        && before.and_then(ResourceRecord::unique_name).as_ref() != Some(&name)
        && let Some(other) = store.named(account, after.kind, &name)?
        && other != after.id
    {
        let what = match after.kind {
            ResourceKind::User | ResourceKind::Operator => "email",
            _ => "name",
        };
        return Err(CommandError::Conflict(format!(
            "This {what} is taken: another {} has it.",
            noun(after.kind)
        )));
    }
    if after.kind == ResourceKind::ActionType
        && fields.text("name").is_some_and(|name| super::BUILT_IN_TYPES.contains(&name.as_str()))
    {
        return Err(CommandError::Conflict("This action type is built in.".into()));
    }
    Ok(())
}
