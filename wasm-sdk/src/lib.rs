//! The SDK of thng-pubsub, compiled to WebAssembly.
//!
//! - [`session`]: the connection to the broker as a state machine without IO. Everything that can be tested natively is
//!   there: MQTT, subscriptions, queue, keep alive, reconnecting.
//! - [`channel`]: the same for one topic over a WebSocket of its own, without MQTT.
//! - [`effect`], [`failure`], [`options`]: what goes out of either, what it may fail with, what it is told.
//! - [`js`]: the skin that JavaScript sees. It gives them their clock, timers and browser events, and performs
//!   what they ask for.
//!
//! Sockets, promises, callbacks and the words of errors belong to `npm/src`, which is plain JavaScript.
#![warn(missing_docs)]

mod backoff;
pub mod channel;
pub mod effect;
pub mod failure;
pub mod js;
mod keep_alive;
pub mod options;
pub mod session;
