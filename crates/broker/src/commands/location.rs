//! Locations of thngs: stored with the time that they speak of and the time that they arrived.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    payload::{LocationInput, LocationUpdate, LocationWrite, Point, ResourceKind, location_value, point},
};

use super::{Applied, Command, CommandError, CommandResult, Event, Garbage, Owner, invalid};
use thng_pubsub_store::{ResourceMeta, TimestampMs, WriteStore};

/// Stores new locations of a thng, which are one update.
#[derive(Debug)]
pub(crate) struct UpdateLocation {
    pub account: Id,
    pub thng: Id,
    pub writes: Vec<LocationWrite>,
}

impl Command for UpdateLocation {
    type Output = Arc<[LocationUpdate]>;

    fn name(&self) -> &'static str {
        "update_location"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, thng, writes } = self;
        let meta = thng_meta(store, *account, *thng)?;
        let updates: Arc<[LocationUpdate]> = stamp(store, *account, writes, now_ms)?.into();
        let mut events = Vec::new();
        if !updates.is_empty() {
            let seq = store.append_locations(*account, *thng, &updates)?;
            events.push(Event::LocationsUpdated { seq, meta, thng: *thng, updates: Arc::clone(&updates) });
        }
        Ok(Applied { output: updates, events, garbage: Garbage::None })
    }
}

/// The metadata of a thng, if it is there and of this account.
fn thng_meta(store: &mut dyn WriteStore, account: Id, thng: Id) -> Result<Arc<ResourceMeta>, CommandError> {
    store
        .resource_meta(thng)?
        .filter(|meta| meta.account == account && meta.kind == ResourceKind::Thng)
        .ok_or(CommandError::NotFound)
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

/// Deletes locations: those before a time or all.
///
/// No notification is sent: a topic carries locations, and there is none to send.
#[derive(Debug)]
pub(crate) struct DeleteLocation {
    pub account: Id,
    pub thng: Id,
    pub before_ms: Option<TimestampMs>,
}

impl Command for DeleteLocation {
    type Output = ();

    fn name(&self) -> &'static str {
        "delete_location"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        thng_meta(store, self.account, self.thng)?;
        store.delete_locations(self.thng, self.before_ms)?;
        Ok(Applied::done(Garbage::Rows))
    }
}
