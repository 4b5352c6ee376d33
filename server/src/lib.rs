//! thng-pubsub-server: a Pub/Sub broker for the digital identities of physical things.
//!
//! Starts the crates that do the work, and has the commands of administration:
//!
//! - [`config`], [`startup`]: the settings, and the components that they start
//! - [`admin`]: the commands that need the data folder or the administrator's socket
//!
//! The transports are the crate `thng-pubsub-transport`, authorization, commands and the writer `thng-pubsub-broker`, the
//! notification bus `thng-pubsub-bus`, and the database `thng-pubsub-store`. `ARCHITECTURE.md` at the root of the repository walks through a write.

use thng_pubsub_broker::{clock, identity, log_throttle, metrics, random, rate};
use thng_pubsub_store::{self as store, durable_file};

pub mod admin;
pub mod config;
#[cfg(feature = "measure")]
pub mod measure;
pub mod startup;

/// One thread often frees what another allocated: a payload comes in on a transport's thread and is dropped by the
/// writer's. The C library's allocator makes the two wait for each other's lock (docs/performance.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
