//! Application services of thng-pubsub: the only API that transports may call.
//!
//! The path of a call; dependencies point the same way:
//!
//! - [`gateway`]: authorizes a call, and reads or hands a command to the writer
//! - [`auth`]: the principal of a key, and what it may do
//! - `commands`: validates a change and applies it to the store
//! - `writer`: commits many commands at once, in one thread
//! - `notifications`: what each event notifies, and to which topics
//!
//! The crate knows no wire format: a refusal is one type, which each transport renders. Of the bus it exports the
//! outbound queue and its deliveries, since a connection owns its queue.

pub use thng_pubsub_store::durable_file;

pub mod auth;
pub mod clock;
mod commands;
mod error;
pub mod gateway;
mod identity;
pub mod log_throttle;
pub mod metrics;
mod notifications;
pub mod polls;
mod pubsub;
pub mod random;
pub mod rate;
mod request;
mod resources;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod writer;
