//! Updates or deletes many resources at once, all or none, within bounds.

use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
};

use super::{delete::delete, own, update::check, validate::complete};
use crate::commands::{AppliedCommand, Bound, CommandError, Outcome, beyond};
use thng_pubsub_store::{ResourceRecord, TimestampMs, WriteStore, index_keys};

/// Bytes of the documents that one command changes or deletes: all of them are written in one transaction.
const BULK_BYTES_MAX: usize = 8 << 20;

/// What an entry of an index that is added or removed counts, in bytes. 52,000 of them take 40 ms.
const INDEX_ENTRY_BYTES: usize = 160;

/// What a notification counts that a deletion of many causes, in bytes.
const NOTIFICATION_BYTES: usize = 1_024;

/// What it counts, in bytes, to replace one document by another one, or to delete it.
fn bulk_bytes(before: &ResourceRecord, after: Option<&ResourceRecord>) -> usize {
    let (old, new) = (index_keys(before), after.map(index_keys).unwrap_or_default());
    let added = new.iter().filter(|key| old.binary_search(key).is_err()).count();
    let removed = old.iter().filter(|key| new.binary_search(key).is_err()).count();
    after.unwrap_or(before).body.len() + (added + removed) * INDEX_ENTRY_BYTES
}

/// What one command of a deletion of many may count, in bytes: half of what is refused, since documents may grow meanwhile.
pub(crate) const DELETED_BYTES_AT_ONCE: usize = BULK_BYTES_MAX / 2;

/// What it counts, in bytes, to delete a resource with so many notifications.
pub(crate) fn deletion_bytes(record: &ResourceRecord, notifications: usize) -> usize {
    bulk_bytes(record, None) + NOTIFICATION_BYTES * notifications
}

/// Refuses a change of many that writes too much.
fn check_bulk_bytes(bytes: usize) -> Result<(), CommandError> {
    match bytes <= BULK_BYTES_MAX {
        true => Ok(()),
        false => Err(beyond(
            Bound::Bytes,
            format!(
                "These documents, with {INDEX_ENTRY_BYTES} bytes for each entry of an index, would be more than \
                 {BULK_BYTES_MAX} bytes, which is the most for one call. Name fewer at a time."
            ),
        )),
    }
}

pub(in crate::commands) fn update_many(
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

pub(in crate::commands) fn delete_many(
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
                     Delete fewer at a time."
                ),
            ));
        }
    }
    Ok(caused)
}
