//! Authenticates keys and users, and manages keys, users, operators and accounts.

use std::sync::Arc;

use crate::{resources::Resources, shared::Shared};
use password_queue::PasswordQueue;

mod administration;
mod authenticate;
mod explain;
mod keys;
mod operators;
mod password_queue;
mod users;

pub use crate::auth::{
    Principal,
    grants::who_may,
    key_leases::KeyLease,
    keys::{KeySecret, SECRET_BYTES, generate as generate_key, hash as hash_key},
};
pub use administration::{IssuedKey, Rights};
pub use explain::EXPLAIN;
pub use operators::first_account;
/// The owner of a key.
pub use thng_pubsub_store::{Actor, KeyHash};
pub use users::{Login, NewUser};

/// Keys, users and operators.
#[derive(Debug)]
pub struct Identity {
    shared: Arc<Shared>,
    resources: Arc<Resources>,
    passwords: Arc<PasswordQueue>,
}

/// The word for a kind of actor, as documents have it.
pub fn kind_word(actor: Actor) -> &'static str {
    match actor {
        Actor::Operator(_) => "operator",
        Actor::Application(_) | Actor::TrustedApplication(_) => "app",
        Actor::User(_) => "userInApp",
        Actor::Device(_) => "device",
        Actor::AccessToken(_) => "accessToken",
    }
}

impl Identity {
    pub(crate) fn new(shared: Arc<Shared>, resources: Arc<Resources>) -> Self {
        let passwords = Arc::new(PasswordQueue::new(shared.settings.password_queue_max));
        Self { shared, resources, passwords }
    }
}
