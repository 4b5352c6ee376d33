//! Locations of thngs: stored with the time that they speak of and the time that they arrived.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    payload::{LocationInput, LocationUpdate, LocationWrite, Point, ResourceKind, location_value, point},
};

use super::{AppliedCommand, CommandError, Event, Outcome, invalid};
use thng_pubsub_store::{TimestampMs, WriteStore};

pub(super) fn update(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    thng: Id,
    writes: &[LocationWrite],
) -> Result<AppliedCommand, CommandError> {
    let meta = store
        .resource_meta(thng)?
        .filter(|meta| meta.account == account && meta.kind == ResourceKind::Thng)
        .ok_or(CommandError::NotFound)?;
    let updates: Arc<[LocationUpdate]> = stamp(store, account, writes, now_ms)?.into();
    let mut events = Vec::new();
    if !updates.is_empty() {
        let seq = store.append_locations(account, thng, &updates)?;
        events.push(Event::LocationsUpdated { seq, meta, thng, updates: Arc::clone(&updates) });
    }
    Ok(AppliedCommand { outcome: Outcome::Locations(updates), events })
}

/// Locations without a timestamp of their own get the time of arrival; a place is where it is now.
pub(super) fn stamp(
    store: &mut dyn WriteStore,
    account: Id,
    writes: &[LocationWrite],
    now_ms: TimestampMs,
) -> Result<Vec<LocationUpdate>, CommandError> {
    let mut updates = Vec::with_capacity(writes.len());
    for write in writes {
        let (at, place) = resolve(store, account, &write.input)?;
        updates.push(LocationUpdate {
            value: location_value(&at, place.as_ref()),
            timestamp_ms: write.timestamp_ms.unwrap_or(now_ms),
            created_at_ms: now_ms,
        });
    }
    Ok(updates)
}

/// The point that is meant, and the place that said it.
pub(super) fn resolve(
    store: &mut dyn WriteStore,
    account: Id,
    input: &LocationInput,
) -> Result<(Point, Option<Id>), CommandError> {
    match input {
        LocationInput::At(point) => Ok((point.clone(), None)),
        LocationInput::Place(id) => {
            let place = store
                .resource(*id)?
                .filter(|place| place.account == account && place.kind == ResourceKind::Place)
                .ok_or_else(|| invalid("place: there is no such place."))?;
            let position = place.fields().get("position").and_then(point);
            let point = position.ok_or_else(|| invalid("place: this place has no position."))?;
            Ok((point, Some(*id)))
        }
    }
}

/// Deletes locations. No notification is sent: a topic carries locations, and there is none to send.
pub(super) fn delete(
    store: &mut dyn WriteStore,
    account: Id,
    thng: Id,
    before_ms: Option<TimestampMs>,
) -> Result<AppliedCommand, CommandError> {
    store
        .resource_meta(thng)?
        .filter(|meta| meta.account == account && meta.kind == ResourceKind::Thng)
        .ok_or(CommandError::NotFound)?;
    store.delete_locations(thng, before_ms)?;
    Ok(AppliedCommand::done())
}
