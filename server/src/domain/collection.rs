//! Who is in a collection: thngs, and other collections.

use thng_pubsub_protocol::{
    id::Id,
    payload::{MembershipChange, ResourceKind, THNGS_MAX, membership_document},
};

use super::{Applied, OperationError, Outcome, invalid, resource};
use crate::store::{Members, TimestampMs, WriteStore};

/// Collections above one another. Deeper trees would make every look for a circle slow.
const DEPTH_MAX: usize = 50;

/// Puts thngs into a collection, takes some out, or takes out as many as one notification can name. The outcome says
/// how many joined or left.
///
/// The collection's own document stays as it was; each thng's says when it was changed.
pub(super) fn change_thngs(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    collection: Id,
    change: MembershipChange,
    thngs: &[Id],
) -> Result<Applied, OperationError> {
    let record = resource::own(store, account, ResourceKind::Collection, collection)?;
    let changed = match change {
        MembershipChange::ThngsAdded => {
            for thng in thngs {
                resource::existing(store, account, *thng, ResourceKind::Thng, "The body")?;
            }
            store.add_members(collection, ResourceKind::Thng, thngs)?
        }
        MembershipChange::ThngsRemoved => {
            store.remove_members(collection, ResourceKind::Thng, Members::These(thngs))?
        }
        MembershipChange::ThngsCleared => {
            store.remove_members(collection, ResourceKind::Thng, Members::UpTo(THNGS_MAX))?
        }
    };
    for thng in &changed {
        store.touch(*thng, now_ms)?;
    }
    let mut events = Vec::new();
    if !changed.is_empty() {
        // A collection of more than that is emptied in steps, and only the last one says so.
        let is_emptied = !store.has_members(collection, ResourceKind::Thng)?;
        let told = match change {
            MembershipChange::ThngsCleared if !is_emptied => MembershipChange::ThngsRemoved,
            change => change,
        };
        let document = membership_document(told, now_ms, &changed);
        events.extend(resource::membership(store, account, record.id, now_ms, document)?);
    }
    Ok(Applied { outcome: Outcome::Count(changed.len()), events })
}

/// Puts collections into another one, or takes some (`None`: all) out of it.
pub(super) fn change_children(
    store: &mut dyn WriteStore,
    account: Id,
    collection: Id,
    joins: bool,
    children: Option<&[Id]>,
) -> Result<Applied, OperationError> {
    resource::own(store, account, ResourceKind::Collection, collection)?;
    let kind = ResourceKind::Collection;
    let changed = match children {
        Some(children) if joins => {
            let above = ancestors(store, collection)?;
            for child in children {
                resource::existing(store, account, *child, kind, "The body")?;
                if *child == collection || above.contains(child) {
                    return Err(invalid("A collection cannot be inside itself, also not by way of others."));
                }
            }
            store.add_members(collection, kind, children)?
        }
        Some(children) => store.remove_members(collection, kind, Members::These(children))?,
        None => store.remove_members(collection, kind, Members::UpTo(THNGS_MAX))?,
    };
    Ok(Applied { outcome: Outcome::Count(changed.len()), events: Vec::new() })
}

/// Every collection that this one is in, also by way of others.
fn ancestors(store: &mut dyn WriteStore, collection: Id) -> Result<Vec<Id>, OperationError> {
    let mut found: Vec<Id> = Vec::new();
    let mut level = vec![collection];
    for _ in 0..DEPTH_MAX {
        let mut above = Vec::new();
        for id in level {
            for parent in store.collections_of(id)? {
                if !found.contains(&parent) {
                    found.push(parent);
                    above.push(parent);
                }
            }
        }
        if above.is_empty() {
            return Ok(found);
        }
        level = above;
    }
    Err(invalid(format!("Collections can stand at most {DEPTH_MAX} deep in one another.")))
}
