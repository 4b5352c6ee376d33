//! Updates or deletes many resources at once, all or none, within bounds.

use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
};

use super::{delete::Delete, own, update::check, validate::complete};
use crate::commands::{Applied, Bound, Command, CommandError, CommandResult, Garbage, Owner, beyond};
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

/// Updates many resources in the same way; those that are gone are passed over. The output is how many there were.
#[derive(Debug)]
pub(crate) struct UpdateMany {
    pub account: Id,
    pub kind: ResourceKind,
    pub ids: Vec<Id>,
    pub patch: Box<Patch>,
}

impl Command for UpdateMany {
    type Output = usize;

    fn name(&self) -> &'static str {
        "update_many"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, kind, ids, patch } = self;
        let (mut checked, mut bytes) = (Vec::with_capacity(ids.len()), 0);
        for id in ids {
            match own(store, *account, *kind, *id) {
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
        Ok(Applied { output: count, events, garbage: Garbage::None })
    }
}

/// Deletes many resources; those that are gone are passed over. The output is how many there were.
#[derive(Debug)]
pub(crate) struct DeleteMany {
    pub account: Id,
    pub kind: ResourceKind,
    pub ids: Vec<Id>,
    /// The most notifications that all of it may cause.
    pub notifications_max: usize,
}

impl Command for DeleteMany {
    type Output = usize;

    fn name(&self) -> &'static str {
        "delete_many"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, kind, ids, notifications_max } = self;
        let (account, kind) = (*account, *kind);
        let mut bytes = NOTIFICATION_BYTES * check_notifications(store, kind, ids, *notifications_max)?;
        for id in ids {
            if let Some(record) = store.resource(*id)? {
                bytes += bulk_bytes(&record, None);
                check_bulk_bytes(bytes)?;
            }
        }
        let (mut count, mut events) = (0, Vec::new());
        for id in ids {
            match (Delete { account, kind, id: *id }).apply(store, now_ms) {
                Ok(applied) => {
                    count += 1;
                    events.extend(applied.events);
                }
                Err(CommandError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Applied { output: count, events, garbage: Garbage::Rows })
    }
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
