//! Thngs: created, changed field by field, deleted with all that hangs on them.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    payload::{Json, PropertyUpdate, Scopes, ThngDocument, ThngInput},
};

use super::{Applied, Event, OperationError, Outcome, property};
use crate::store::{PropertyOwner, ResourceHead, Sequence, ThngChange, ThngRecord, TimestampMs, WriteStore};

/// The document of a thng as every door shows it.
pub(crate) fn document(thng: &ThngRecord, properties: Option<&Json>, scopes: Option<&Scopes>) -> String {
    ThngDocument {
        id: thng.id.as_str(),
        name: &thng.name,
        description: thng.description.as_deref(),
        kind: thng.kind.as_deref(),
        product: None,
        tags: &thng.tags,
        custom_fields: &thng.custom_fields,
        identifiers: &thng.identifiers,
        created_at: thng.created_at_ms,
        updated_at: thng.updated_at_ms,
        properties,
        scopes,
    }
    .to_json()
}

pub(super) fn create(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    id: Id,
    input: &ThngInput,
) -> Result<Applied, OperationError> {
    let Some(name) = input.name.clone() else {
        return Err(OperationError::Invalid(vec!["name is required.".into()]));
    };
    let mut thng = ThngRecord {
        id,
        account,
        name,
        description: None,
        kind: None,
        tags: Vec::new(),
        custom_fields: Json::parse("{}".into()).expect("an empty object is JSON"),
        identifiers: Default::default(),
        scopes: Scopes::default(),
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
    };
    merge(&mut thng, input)?;
    let owner = PropertyOwner::Thng(id);
    let updates: Arc<[PropertyUpdate]> = property::stamp(&input.properties, now_ms).collect();
    property::check_extent(store, owner, &updates)?;
    let mut events = vec![put(store, &thng, ThngChange::Created)?];
    if !updates.is_empty() {
        let seq = store.append_properties(account, owner, &updates)?;
        events.push(Event::PropertiesUpdated { seq, head: head(&thng), owner, updates });
    }
    Ok(Applied { outcome: Outcome::Thng(Box::new(thng)), events })
}

pub(super) fn update(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    id: Id,
    input: &ThngInput,
) -> Result<Applied, OperationError> {
    let mut thng = own(store, account, id)?;
    merge(&mut thng, input)?;
    // Clients compare the two to see that something changed, also within one millisecond.
    thng.updated_at_ms = now_ms.max(thng.created_at_ms + 1);
    let event = put(store, &thng, ThngChange::Updated)?;
    Ok(Applied { outcome: Outcome::Thng(Box::new(thng)), events: vec![event] })
}

pub(super) fn delete(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    id: Id,
) -> Result<Applied, OperationError> {
    let thng = own(store, account, id)?;
    let document: Arc<str> = document(&thng, None, None).into();
    let seq = store.delete_thng(&thng, now_ms, &document)?;
    Ok(Applied { outcome: Outcome::Done, events: vec![changed(&thng, seq, ThngChange::Deleted, document)] })
}

fn own(store: &mut dyn WriteStore, account: Id, id: Id) -> Result<ThngRecord, OperationError> {
    store.thng(id)?.filter(|thng| thng.account == account).ok_or(OperationError::NotFound)
}

fn put(store: &mut dyn WriteStore, thng: &ThngRecord, change: ThngChange) -> Result<Event, OperationError> {
    let document: Arc<str> = document(thng, None, None).into();
    let seq = store.put_thng(thng, change, &document)?;
    Ok(changed(thng, seq, change, document))
}

fn changed(thng: &ThngRecord, seq: Sequence, change: ThngChange, document: Arc<str>) -> Event {
    Event::ThngChanged { seq, head: head(thng), thng: thng.id, change, document }
}

fn head(thng: &ThngRecord) -> Arc<ResourceHead> {
    Arc::new(ResourceHead { account: thng.account, scopes: thng.scopes.clone() })
}

/// Replaces each field that the input names, whole.
fn merge(thng: &mut ThngRecord, input: &ThngInput) -> Result<(), OperationError> {
    if input.product.is_some() {
        return Err(OperationError::Invalid(vec!["product: there is no such product.".into()]));
    }
    if let Some(name) = &input.name {
        thng.name.clone_from(name);
    }
    if let Some(description) = &input.description {
        thng.description = Some(description.clone());
    }
    if let Some(kind) = &input.kind {
        thng.kind = Some(kind.clone()).filter(|kind| !kind.is_empty());
    }
    if let Some(tags) = &input.tags {
        thng.tags.clone_from(tags);
    }
    if let Some(custom_fields) = &input.custom_fields {
        thng.custom_fields = custom_fields.clone();
    }
    if let Some(identifiers) = &input.identifiers {
        thng.identifiers.clone_from(identifiers);
    }
    if let Some(scopes) = input.scopes.clone() {
        scopes.apply(&mut thng.scopes);
    }
    Ok(())
}
