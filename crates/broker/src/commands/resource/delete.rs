//! Deletes a resource, and ends the keys and memberships that depend on it.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    limits,
    payload::{MembershipChange, ResourceKind, membership_document},
};

use super::{membership, own};
use crate::commands::{AppliedCommand, CommandError, Event, Outcome};
use thng_pubsub_store::{Actor, Change, TimestampMs, WriteStore};

pub(in crate::commands) fn delete(
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
