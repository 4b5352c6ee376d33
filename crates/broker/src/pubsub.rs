//! Publishes to topics, subscribes to topics, and keeps durable sessions.

pub(crate) mod durable_session;
pub(crate) mod publish;
pub(crate) mod session_lease;
pub(crate) mod subscribe;
