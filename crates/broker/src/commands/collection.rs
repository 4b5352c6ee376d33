//! Members of collections: thngs, and other collections.

use std::collections::HashSet;

use thng_pubsub_protocol::{
    id::Id,
    limits::COLLECTIONS_MAX,
    payload::{MembershipChange, ResourceKind, THNGS_MAX, membership_document},
};

use super::{
    Applied, Bound, Command, CommandError, CommandResult, Garbage, Owner, beyond, invalid, resource,
};
use thng_pubsub_store::{Members, TimestampMs, WriteStore};

/// Collections above one another. Deeper trees would make every look for a circle slow.
const DEPTH_MAX: usize = 50;

/// Collections that one may be below, by way of others too: all of them are looked at before another one joins it.
const ANCESTORS_MAX: usize = 1_000;

/// Thngs that one command adds to a collection; further ones follow in others, so that no writer waits for all.
pub(crate) const ADDED_AT_ONCE: usize = 2_500;

/// Collections that a thng leaves at a time before it is deleted.
pub(crate) const LEFT_AT_ONCE: usize = COLLECTIONS_MAX;

/// Adds thngs to a collection, removes some, or removes as many as one notification can name. The output is how many
/// joined or left.
///
/// The collection's own document stays as it was; each thng's says when it was changed.
#[derive(Debug)]
pub(crate) struct ChangeThngs {
    pub account: Id,
    pub collection: Id,
    pub change: MembershipChange,
    pub thngs: Vec<Id>,
}

impl Command for ChangeThngs {
    type Output = usize;

    fn name(&self) -> &'static str {
        "change_thngs"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, collection, change, thngs } = self;
        let (account, collection, change) = (*account, *collection, *change);
        let record = resource::own(store, account, ResourceKind::Collection, collection)?;
        let changed = match change {
            MembershipChange::ThngsAdded => {
                for thng in thngs {
                    resource::existing(store, account, *thng, ResourceKind::Thng, "The body")?;
                }
                check_places(store, collection, ResourceKind::Thng, thngs)?;
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
            let reported = match change {
                MembershipChange::ThngsCleared if !is_emptied => MembershipChange::ThngsRemoved,
                change => change,
            };
            let document = membership_document(reported, now_ms, &changed);
            events.extend(resource::membership(store, account, record.id, now_ms, document)?);
        }
        Ok(Applied { output: changed.len(), events, garbage: Garbage::None })
    }
}

/// Adds collections to another one, or removes some (`None`: all) from it. The output is how many joined or left.
#[derive(Debug)]
pub(crate) struct ChangeCollections {
    pub account: Id,
    pub collection: Id,
    pub joins: bool,
    pub children: Option<Vec<Id>>,
}

impl Command for ChangeCollections {
    type Output = usize;

    fn name(&self) -> &'static str {
        "change_collections"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, collection, joins, children } = self;
        let (account, collection) = (*account, *collection);
        resource::own(store, account, ResourceKind::Collection, collection)?;
        let kind = ResourceKind::Collection;
        let changed = match children {
            Some(children) if *joins => {
                let above = ancestors(store, collection)?;
                for child in children {
                    resource::existing(store, account, *child, kind, "The body")?;
                    if *child == collection || above.contains(child) {
                        return Err(invalid(
                            "A collection cannot be inside itself, also not by way of others.",
                        ));
                    }
                }
                check_places(store, collection, kind, children)?;
                store.add_members(collection, kind, children)?
            }
            Some(children) => store.remove_members(collection, kind, Members::These(children))?,
            None => store.remove_members(collection, kind, Members::UpTo(THNGS_MAX))?,
        };
        Ok(Applied { output: changed.len(), events: Vec::new(), garbage: Garbage::None })
    }
}

/// Refuses to put something into one more collection than it may be in: each of its notifications goes to all of them.
fn check_places(
    store: &mut dyn WriteStore,
    collection: Id,
    kind: ResourceKind,
    members: &[Id],
) -> Result<(), CommandError> {
    match store.first_crowded(collection, kind, members, COLLECTIONS_MAX)? {
        Some(member) => Err(crowded(kind, member)),
        None => Ok(()),
    }
}

/// The refusal to put a member into one more collection.
pub(crate) fn crowded(kind: ResourceKind, member: Id) -> CommandError {
    beyond(
        Bound::Collections,
        format!(
            "The {} {member} is in {COLLECTIONS_MAX} collections, which is the most: take it out of another one first. \
             A call adds up to {ADDED_AT_ONCE} thngs all or none, and more in several steps.",
            resource::noun(kind)
        ),
    )
}

/// Removes a thng from some of its collections, before it is deleted. The output is from how many.
#[derive(Debug)]
pub(crate) struct LeaveCollections {
    pub account: Id,
    pub thng: Id,
}

impl Command for LeaveCollections {
    type Output = usize;

    fn name(&self) -> &'static str {
        "leave_collections"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, thng } = *self;
        resource::own(store, account, ResourceKind::Thng, thng)?;
        let collections = store.collections_of(thng, LEFT_AT_ONCE)?;
        store.leave_collections(thng, &collections)?;
        store.touch(thng, now_ms)?;
        let mut events = Vec::with_capacity(collections.len());
        for collection in &collections {
            let document = membership_document(MembershipChange::ThngsRemoved, now_ms, &[thng]);
            events.extend(resource::membership(store, account, *collection, now_ms, document)?);
        }
        Ok(Applied { output: collections.len(), events, garbage: Garbage::None })
    }
}

/// Every collection that this one is in, also by way of others.
fn ancestors(store: &mut dyn WriteStore, collection: Id) -> Result<HashSet<Id>, CommandError> {
    let mut found: HashSet<Id> = HashSet::new();
    let mut level = vec![collection];
    for _ in 0..DEPTH_MAX {
        let mut above = Vec::new();
        for id in level {
            // One more than may be tells that there are too many.
            for parent in store.collections_of(id, ANCESTORS_MAX + 1)? {
                if found.insert(parent) {
                    above.push(parent);
                }
            }
            if found.len() > ANCESTORS_MAX {
                return Err(beyond(
                    Bound::Ancestors,
                    format!(
                        "This collection is below more than {ANCESTORS_MAX} others, which is the most: nothing can be put into it."
                    ),
                ));
            }
        }
        if above.is_empty() {
            return Ok(found);
        }
        level = above;
    }
    Err(invalid(format!("Collections can be nested at most {DEPTH_MAX} deep.")))
}
