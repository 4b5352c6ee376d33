//! Application services of thng-pubsub: the only API that transports may call.
//!
//! Three services take the calls of every protocol, each with a [`RequestContext`], or with one that is tied to a topic:
//!
//! - [`pubsub`]: publishes, subscriptions, initial states and durable sessions
//! - [`resources`]: lists, reads and writes of resources
//! - [`identity`]: authentication, keys, users and operators
//!
//! [`client_events`] records what happens to clients, and [`reasons`] what can be done about it.
//!
//! Behind them, the path of a call:
//!
//! - `auth`: the principal of a key, and what it may do
//! - `commands`: validates a change and applies it to the store
//! - `writer`: commits many commands at once, in one thread
//! - `notifications`: what each event notifies, and to which topics
//!
//! The crate knows no wire format: a refusal is a [`BrokerError`], which each transport renders. Of the bus it exports the
//! outbound queue and its deliveries, since a connection owns its queue.

pub use error::{BrokerError, SubscriptionsBound};
pub use request::{PublishContext, RequestContext, SubscribeContext};
pub use services::Services;
pub use settings::{ScanLimits, ServiceSettings};
pub use thng_pubsub_store::{durable_file, session_queue::QueueLimits, subscriptions::SubscriptionLimits};

mod auth;
pub mod client_events;
pub mod clock;
mod commands;
mod error;
pub mod identity;
pub mod log_throttle;
pub mod metrics;
mod notifications;
pub mod polls;
pub mod pubsub;
pub mod random;
pub mod rate;
pub mod reasons;
mod request;
pub mod resources;
mod services;
mod settings;
mod shared;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod writer;
