//! Creates a resource, with its first values, in collections.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    limits,
    payload::{
        Fields, Json, LocationUpdate, MembershipChange, Patch, PropertyUpdate, ResourceKind, Scopes,
        membership_document,
    },
};

use super::{
    existing, membership,
    validate::{body, check_references, complete},
};
use crate::commands::{
    Applied, Command, CommandError, CommandResult, Event, Garbage, Owner, location, property,
};
use thng_pubsub_store::{
    Change, KeyRecord, PropertyOwner, ResourceMeta, ResourceRecord, TimestampMs, WriteStore,
};

/// Creates a resource.
#[derive(Debug)]
pub(crate) struct Create {
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

impl Command for Create {
    type Output = Arc<ResourceRecord>;

    fn name(&self) -> &'static str {
        "create"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, id, patch, .. } = self;
        let (account, id, kind) = (*account, *id, patch.kind());
        if let Some(parent) = self.parent {
            let there = store.resource_meta(parent)?.is_some_and(|meta| meta.account == account);
            if !there {
                return Err(CommandError::NotFound);
            }
        }
        let mut fields = Fields::new(kind);
        fields.apply(patch, true)?;
        for (name, json) in &self.set {
            fields.set(name, Some(Json::parse(json.clone())?));
        }
        complete(&mut fields, patch)?;
        let mut scopes = self.scopes.clone();
        if let Some(patch) = patch.scopes.clone() {
            patch.apply(&mut scopes)?;
        }
        let mut record = ResourceRecord {
            id,
            account,
            kind,
            parent: self.parent,
            body: body(&fields, &id, now_ms)?,
            private: self.private.clone(),
            scopes,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            created_seq: 0,
        };
        check_references(store, None, &record, &fields)?;
        for collection in &patch.collections {
            existing(store, account, *collection, ResourceKind::Collection, "collections")?;
        }
        let values = Values::read(store, account, id, patch, now_ms)?;

        let mut events = Vec::new();
        record.created_seq = store.put_resource(None, &record)?;
        for key in &self.keys {
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
        Ok(Applied { output: record, events, garbage: Garbage::None })
    }
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

fn changed(record: &Arc<ResourceRecord>, change: Change, collections: Arc<[Id]>) -> Event {
    let meta = Arc::new(record.meta());
    Event::ResourceChanged { seq: record.created_seq, meta, change, record: Arc::clone(record), collections }
}
