//! The SDK of thng-pubsub, compiled to WebAssembly.
//!
//! - [`session`]: the connection to the broker as a state machine without IO. Everything that can be tested natively is
//!   there: MQTT, subscriptions, queue, keep alive, reconnecting.
//! - [`js`]: the skin that JavaScript sees. It gives the session its clock, timers and browser events, and performs
//!   what it asks for.
//!
//! Sockets, promises, callbacks and the words of errors belong to `npm/src`, which is plain JavaScript.
#![warn(missing_docs)]

pub mod js;
pub mod session;
