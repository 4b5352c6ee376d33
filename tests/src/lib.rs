//! The harness of the black-box tests: it starts the real binary and speaks to it over its sockets.
//!
//! - [`server`]: one server process on ports of its own, the ways to end it, and the other commands of its binary.
//! - [`rest`]: a small HTTP/1.1 client that holds every answer to the conventions of the REST API.
//! - [`link`]: bytes to and from a port, each wait with a deadline; for malformed input.
//! - [`mqtt`]: an MQTT client on any link, TCP or WebSocket.
//! - [`websocket`]: the native WebSocket on a topic, and MQTT's link over WebSocket.
//! - [`frames`]: WebSocket handshakes and frames by hand.
//! - [`transports`]: the four protocols behind one face, for the tests that are the same for all of them.
//! - [`rows`]: what every row of the topic table needs to be tested, so that a new row brings its tests.
//! - [`population`]: an account with hundreds of resources in random scopes, and dozens of keys.
//! - [`canary`]: a polite client that must not notice the hostile ones.
//! - [`command`]: programs of others (`mosquitto_pub`, `mosquitto_sub`) and what they print.
//! - [`exercise`]: what every client that others wrote is put through.
//! - [`proxy`]: a way to the server that can be cut.
//! - [`neighbors`]: what one account's load costs another account.
//! - [`keys`]: keys of every kind, made by REST.
//! - [`history`]: all of a property's history, walked window by window.
//! - [`tls`]: TLS towards the server, and certificates of the tests' own.
//! - [`wait`]: deadlines, the clock and seeded randomness.
//!
//! Nothing here knows the server's code: what it shares with it is `thng-pubsub-protocol`, for MQTT's wire format and
//! the topic table.
//! A harness function that cannot go on panics at its caller's line with what it waited for.

pub mod canary;
pub mod command;
pub mod exercise;
pub mod frames;
pub mod history;
pub mod keys;
pub mod link;
pub mod mqtt;
pub mod neighbors;
pub mod population;
pub mod proxy;
pub mod rest;
pub mod rows;
pub mod server;
pub mod tls;
pub mod transports;
pub mod wait;
pub mod websocket;

pub use keys::{Application, Keyed};
pub use rest::{Response, Rest};
pub use server::{KEY, Launch, Server};
pub use wait::WAIT_MAX;
