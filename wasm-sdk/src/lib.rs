//! The SDK of thng-pubsub, compiled to WebAssembly.
//!
//! - [`session`]: the connection to the broker as a state machine without IO. Everything that can be tested natively is
//!   there: MQTT, subscriptions, queue, keep alive, reconnecting.
//! - [`channel`]: the same for one topic over a WebSocket of its own, without MQTT.
//! - [`check`]: checks topics and payloads as the server would, without a server.
//! - [`effect`], [`failure`], [`options`]: their outputs, failures and settings.
//! - [`bindings`]: wasm-bindgen bindings. They provide the clock, timers and browser events, and perform the effects.
//!
//! Each of the three is a feature, and `npm/build.mjs` makes entries of those that belong together.
//!
//! Sockets, promises, callbacks and the words of errors belong to `npm/src`, which is plain JavaScript.
#![warn(missing_docs)]

#[cfg(feature = "session")]
mod backoff;
#[cfg(feature = "session")]
pub mod bindings;
#[cfg(feature = "channel")]
pub mod channel;
#[cfg(feature = "check")]
pub mod check;
#[cfg(feature = "session")]
pub mod effect;
#[cfg(feature = "session")]
pub mod failure;
#[cfg(feature = "session")]
mod keep_alive;
#[cfg(feature = "session")]
pub mod options;
#[cfg(feature = "session")]
mod send_buffer;
#[cfg(feature = "session")]
pub mod session;
