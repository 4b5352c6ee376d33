//! Property values: stored with the time that they speak of and the time that they arrived.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    limits,
    payload::{PropertyUpdate, PropertyWrite},
};

use super::{Applied, Command, CommandError, CommandResult, Event, Garbage, Owner};
use thng_pubsub_store::{PropertiesExtent, PropertyOwner, ResourceMeta, TimestampMs, WriteStore};

/// The owner's metadata, if it is there and of this account.
fn owner_meta(
    store: &mut dyn WriteStore,
    account: Id,
    owner: PropertyOwner,
) -> Result<Arc<ResourceMeta>, CommandError> {
    store
        .resource_meta(owner.id())?
        .filter(|meta| meta.account == account && meta.kind == owner.kind().resource())
        .ok_or(CommandError::NotFound)
}

/// Stores new property values, which are one update: one notification on the owner's `/properties`.
#[derive(Debug)]
pub(crate) struct UpdateProperties {
    pub account: Id,
    pub owner: PropertyOwner,
    pub writes: Vec<PropertyWrite>,
}

impl Command for UpdateProperties {
    type Output = Arc<[PropertyUpdate]>;

    fn name(&self) -> &'static str {
        "update_properties"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, owner, writes } = self;
        let meta = owner_meta(store, *account, *owner)?;
        let updates: Arc<[PropertyUpdate]> = stamp(writes, now_ms).collect();
        check_extent(store, *owner, &updates)?;
        let seq = store.append_properties(*account, *owner, &updates)?;
        let event = Event::PropertiesUpdated { seq, meta, owner: *owner, updates: Arc::clone(&updates) };
        Ok(Applied { output: updates, events: vec![event], garbage: Garbage::None })
    }
}

/// Everything that an owner has is shown in one document, so it cannot have any number of properties of any size.
pub(super) fn check_extent(
    store: &mut dyn WriteStore,
    owner: PropertyOwner,
    updates: &[PropertyUpdate],
) -> Result<(), CommandError> {
    let PropertiesExtent { count, bytes } = store.properties_after(owner, updates)?;
    let mut faults = Vec::new();
    if count > limits::PROPERTIES_MAX {
        let most = limits::PROPERTIES_MAX;
        faults.push(format!("With these there would be {count} properties; a resource can have {most}."));
    }
    if bytes > limits::PROPERTIES_BYTES_MAX {
        let most = limits::PROPERTIES_BYTES_MAX;
        faults.push(format!(
            "With these the latest values would be {bytes} bytes together; a resource can have {most}."
        ));
    }
    if faults.is_empty() { Ok(()) } else { Err(CommandError::Invalid(faults)) }
}

/// Values without a timestamp of their own get the time of arrival, the same for the whole request.
pub(super) fn stamp(writes: &[PropertyWrite], now_ms: TimestampMs) -> impl Iterator<Item = PropertyUpdate> {
    writes.iter().map(move |write| PropertyUpdate {
        key: write.key.clone(),
        value: write.value.clone(),
        timestamp_ms: write.timestamp_ms.unwrap_or(now_ms),
        created_at_ms: now_ms,
    })
}

/// Deletes property values: of one key or all, those before a time or all.
///
/// No notification is sent: a topic carries values, and there is none to send.
#[derive(Debug)]
pub(crate) struct DeleteProperties {
    pub account: Id,
    pub owner: PropertyOwner,
    pub key: Option<PropertyKey>,
    pub before_ms: Option<TimestampMs>,
}

impl Command for DeleteProperties {
    type Output = ();

    fn name(&self) -> &'static str {
        "delete_properties"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        owner_meta(store, self.account, self.owner)?;
        store.delete_properties(self.owner, self.key.as_ref(), self.before_ms)?;
        Ok(Applied::done(Garbage::Rows))
    }
}
