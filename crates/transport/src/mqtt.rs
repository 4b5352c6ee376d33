//! MQTT 3.1 and 3.1.1: the same connection and session code behind TCP and WebSocket.
//!
//! - [`wire`]: bytes in, bytes out, over whatever carries them
//! - [`connection`]: one connection from CONNECT to its end: timing, buffers, when to read and when to write
//! - [`signals`]: stop, take-over and clock, which end the wait of a connection
//! - [`connect`]: what a CONNECT asks for
//! - [`session`]: what each packet means; [`disconnect_reason`]: why a connection ends
//! - [`subscriptions`]: what a client is subscribed to
//! - [`durable`]: what a session with clean session 0 remembers, and the way to catch up
//! - [`inflight_publishes`]: publishes that wait for their commit, acknowledged in order
//! - [`recent_topics`]: the topics that the client published on last
//! - [`received`]: QoS 2 publishes between PUBREC and PUBREL
//! - [`outgoing`]: notifications on their way to the client
//! - [`sessions`]: the connected client ids

mod connect;
mod connection;
mod disconnect_reason;
mod durable;
mod inflight_publishes;
mod outgoing;
mod received;
mod recent_topics;
mod session;
mod sessions;
mod signals;
mod subscriptions;
mod wire;

pub use connection::serve;
pub use sessions::Sessions;
pub use wire::{ByteStream, MessageStream, UpgradeKey};
