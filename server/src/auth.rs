//! Who a key is, and what it may do. The one place where that is decided, for every protocol.
//!
//! [`keys`] turns an API key into a [`Principal`]; [`policy`] answers (principal, access, resource) -> allowed, denied
//! or not found; [`visibility`] is the same answer for an event on its way to a subscriber.

use thng_pubsub_protocol::id::Id;

use crate::store::{Actor, KeyHash};

pub(crate) mod keys;
pub(crate) mod policy;
pub(crate) mod visibility;

/// Somebody with a valid key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The account that the key belongs to; nobody ever sees or touches another one.
    pub(crate) account: Id,
    /// Who acts.
    pub(crate) actor: Actor,
    /// Which key it was: sessions belong to it.
    pub(crate) key: KeyHash,
}
