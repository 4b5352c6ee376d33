//! thng-pubsub-server: a Pub/Sub broker for the digital identities of physical things.
//!
//! The way of a call, front to back; dependencies point the same way and never back:
//!
//! - [`config`], [`app`]: what to run, and the putting together of it
//! - [`admin`]: the commands of whoever looks after a server
//! - `edge`: bytes to gateway calls, refusals to the wire; one folder a protocol, no business rule
//! - `gateway`: the one door for every protocol
//! - `auth`: who is this key, may it do this; `translate`: topics to operations, events to notifications
//! - `domain`: what can be done and what happens then, and the single writer that commits it in groups
//!
//! `ARCHITECTURE.md` at the root of the repository walks through a write.

use thng_pubsub_store::{self as store, durable_file};

pub mod admin;
mod auth;
mod clock;
pub mod config;
mod defaults;
mod domain;
mod edge;
mod gateway;
mod log_throttle;
#[cfg(feature = "measure")]
pub mod measure;
mod metrics;
mod notifications;
mod polls;
mod random;
pub mod rate;
pub mod startup;
#[cfg(test)]
mod testing;

/// What one thread allocates here another often frees: a payload comes in on an edge's thread and is dropped by the
/// writer's. The C library's allocator makes the two wait for each other's lock (docs/performance.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
