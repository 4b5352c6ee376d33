//! Updates a resource: its own fields, its private data and its scopes.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    limits,
    payload::{Fields, Json, Patch, ResourceKind, ScopesPatch},
};

use super::{
    own,
    validate::{body, check_references, complete},
};
use crate::commands::{Applied, Command, CommandError, CommandResult, Event, Garbage, Owner};
use thng_pubsub_store::{Actor, Change, ResourceRecord, StoreError, TimestampMs, WriteStore};

/// Updates a resource's own fields, and its private data where given.
#[derive(Debug)]
pub(crate) struct Update {
    pub account: Id,
    pub kind: ResourceKind,
    pub id: Id,
    pub patch: Box<Patch>,
    pub private: Option<Json>,
}

impl Command for Update {
    type Output = Arc<ResourceRecord>;

    fn name(&self) -> &'static str {
        "update"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, kind, id, patch, private } = self;
        let before = own(store, *account, *kind, *id)?;
        let (record, events) =
            change(store, now_ms, before, private.as_ref(), patch.scopes.clone(), |fields| {
                fields.apply(patch, false)?;
                complete(fields, patch)
            })?;
        Ok(Applied { output: record, events, garbage: Garbage::None })
    }
}

/// Changes a resource: its fields, what it keeps to itself, who sees it.
pub(in crate::commands) fn change(
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
pub(super) struct ValidatedChange {
    pub(super) before: ResourceRecord,
    pub(super) after: ResourceRecord,
}

pub(super) fn check(
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

impl ValidatedChange {
    pub(super) fn write(
        self,
        store: &mut dyn WriteStore,
    ) -> Result<(Arc<ResourceRecord>, Vec<Event>), StoreError> {
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
