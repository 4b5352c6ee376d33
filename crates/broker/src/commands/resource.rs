//! Resources of every kind: created, updated and deleted, alone and many at once.

use std::sync::Arc;

use thng_pubsub_protocol::{id::Id, payload::ResourceKind};

use super::{CommandError, Event, invalid};
use thng_pubsub_store::{ResourceMeta, ResourceRecord, StoreError, TimestampMs, WriteStore};

mod bulk;
mod create;
mod delete;
mod update;
mod validate;

pub(crate) use bulk::{DELETED_BYTES_AT_ONCE, DeleteMany, UpdateMany, deletion_bytes};
pub(crate) use create::Create;
pub(crate) use delete::Delete;
pub(crate) use update::Update;
pub(super) use update::change;

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
