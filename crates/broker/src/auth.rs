//! Authenticates keys and authorizes requests, for every protocol.
//!
//! - [`keys`]: an API key by its hash, and keys that can be shown again without being stored
//! - [`filter_encryption`]: stored subscriptions that hold a key
//! - [`key_leases`]: connections that end when their key is revoked
//! - [`principal`]: from a key to a [`Principal`], with the rights of its kind, role or policies
//! - [`grants`]: which verbs on which paths; [`roles`]: how roles and policies say that
//! - [`visibility`]: which resources a right reaches, also for events on their way
//! - [`policy`]: (principal, access, path, resource) -> allowed, denied or not found

use thng_pubsub_protocol::id::Id;

use thng_pubsub_store::{Actor, KeyHash};

mod filter_encryption;
pub(crate) mod grants;
pub(crate) mod key_leases;
pub(crate) mod keys;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod roles;
pub(crate) mod visibility;

use grants::Grants;
use visibility::Visibility;

/// An authenticated identity with its grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account that the key belongs to; no other account is ever visible to it.
    pub account: Id,
    /// The identity that acts.
    pub actor: Actor,
    /// Which key it was: sessions belong to it.
    pub key: KeyHash,
    /// The project of an application or of its user.
    pub project: Option<Id>,
    /// The application, also of a user.
    pub app: Option<Id>,
    /// What it may do; any one suffices.
    pub rights: Vec<Right>,
}

impl Principal {
    /// Whether it may do everything in its account. Only such a principal gives rights to others, and sees their
    /// keys: with a right to give more than it has, any principal could do everything.
    pub fn is_admin(&self) -> bool {
        let everything = Grants::everything();
        self.rights.iter().any(|right| right.view == Visibility::Account && right.grants == everything)
    }
}

/// Verbs on paths, and the resources that they reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    pub grants: Grants,
    pub view: Visibility,
}
