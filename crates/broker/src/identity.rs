//! Authenticates, and manages keys, users and operators.

pub(crate) mod administration;
pub(crate) mod key;
pub(crate) mod operator;
pub(crate) mod password_queue;
pub(crate) mod user;
