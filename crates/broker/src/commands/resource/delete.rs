//! Deletes a resource, and ends the keys and memberships that depend on it.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    limits,
    payload::{MembershipChange, ResourceKind, membership_document},
};

use super::{membership, own};
use crate::commands::{Applied, Command, CommandResult, Event, Garbage, Owner};
use thng_pubsub_store::{Actor, Change, TimestampMs, WriteStore};

/// Deletes a resource and everything that depends on it.
#[derive(Debug)]
pub(crate) struct Delete {
    pub account: Id,
    pub kind: ResourceKind,
    pub id: Id,
}

impl Command for Delete {
    type Output = ();

    fn name(&self) -> &'static str {
        "delete"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, kind, id } = *self;
        let record = own(store, account, kind, id)?;
        let collections = match kind.has_collections() {
            true => store.collections_of(id, limits::COLLECTIONS_MAX)?,
            false => Vec::new(),
        };
        let mut keys = Vec::new();
        for actor in actors_of(kind, id) {
            keys.extend(store.remove_keys(actor)?.into_iter().map(|hash| (actor, hash)));
        }
        let mut events = Vec::new();
        let seq = store.delete_resource(&record, now_ms)?;
        if !keys.is_empty() {
            events.push(Event::KeysRevoked { account, keys });
        }
        if matches!(
            kind,
            ResourceKind::Project
                | ResourceKind::Application
                | ResourceKind::Role
                | ResourceKind::AccessPolicy
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
        Ok(Applied { output: (), events, garbage: Garbage::Rows })
    }
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
