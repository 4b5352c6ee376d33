//! The protocol of thng-pubsub, shared by the server and the SDK: topics, ids, documents, filters and MQTT packets.
//!
//! - [`topic`]: the resources that are also topics, and [`topic::table`], the one matrix of what may be done with them.
//! - [`id`]: identifiers and property keys.
//! - [`filter`]: the expressions that choose from a list.
//! - `payload`: the JSON documents as REST shows them (the feature of that name).
//! - `publish`: what a publish of a document on a topic asks for (the same feature).
//! - [`mqtt`]: the MQTT 3.1 and 3.1.1 wire format, for both ends.
//! - [`rejection`]: the answer to a refused publish, for clients that ask for it.
//! - [`limits`]: the numbers of the protocol.
//!
//! Nothing here does IO, reads a clock or spawns: bytes and strings in, values out.
//! It builds for `wasm32-unknown-unknown` and needs only `alloc`.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod filter;
pub mod id;
pub mod limits;
pub mod mqtt;
#[cfg(feature = "payload")]
pub mod payload;
#[cfg(feature = "payload")]
pub mod publish;
pub mod rejection;
pub mod topic;
