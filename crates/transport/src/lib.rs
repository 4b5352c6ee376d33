//! The transports: bytes to calls of the broker, and errors of the broker to each wire. No rule of the product is here.
//!
//! - [`accept`]: the accept loop of every listener; [`addresses`]: the connections of each address
//! - [`http`]: one listener for REST, native WebSocket, `/mqtt`, the SDK, health and metrics
//! - `rest`, `websocket`, [`mqtt`]: one protocol each; none uses another
//! - [`admin_socket`]: the administrator's socket in the data folder
//! - `identify`: from a key to a principal
//! - [`rate_limits`]: the rate of requests, publishes, connections and failed logins of each key and each address
//! - [`tls`]: the handshake of the TLS listeners, and their certificates
//! - [`least_rate`]: the least rate at which a client takes its HTTP answers
//! - [`origins`]: the origins of pages that may use the server; `public_url`: the address by which a client calls it
//! - `answer`: keys, answers and errors over HTTP; `assets`: the files inside the binary
//! - `message_bound`: bounds the bytes of an unfinished WebSocket message; `upgrade`: what both kinds have in common
//! - `logged_error`: rejected calls; [`client_reports`]: what happens to clients, for log, metrics and journal

pub mod accept;
pub mod addresses;
pub mod admin_socket;
mod answer;
mod assets;
pub mod client_reports;
pub mod http;
mod identify;
pub mod least_rate;
mod logged_error;
mod message_bound;
pub mod mqtt;
pub mod origins;
mod public_url;
pub mod rate_limits;
mod rest;
#[cfg(test)]
mod testing;
pub mod tls;
mod upgrade;
mod websocket;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use origins::AllowedOrigins;
use thng_pubsub_broker::{
    client_events::ClientEvents, identity::Identity, log_throttle::LogThrottle, metrics::Metrics,
    pubsub::OutboundQueueLimits, pubsub::PubSub, resources::Resources,
};

/// How long an initial state waits that the database had no time for.
const STATE_RETRY: Duration = Duration::from_secs(1);

/// What every connection needs.
#[derive(Debug)]
pub struct Context {
    pub pubsub: PubSub,
    pub resources: Arc<Resources>,
    pub identity: Identity,
    pub client_events: Arc<ClientEvents>,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
    pub mqtt_sessions: mqtt::Sessions,
    pub rates: Arc<rate_limits::Rates>,
    /// For lines about what clients were refused.
    pub refusal_log: LogThrottle,
    /// What `/client.pem` is: the certificate of the authority that signed ours, where that is our own.
    pub authority: Option<Bytes>,
}

/// The bounds of a connection, from the settings of the same names, which state the defaults and ranges.
#[derive(Debug, Clone)]
pub struct Limits {
    pub connect_timeout: Duration,
    pub http_idle_timeout: Duration,
    pub body_timeout: Duration,
    /// How fast a client has to take HTTP answers.
    pub answer_rate: least_rate::LeastRate,
    pub websocket_ping_interval: Duration,
    pub initial_state_delay: Duration,
    pub message_bytes_max: usize,
    pub mqtt_websocket_message_bytes_max: usize,
    pub body_bytes_max: usize,
    pub subscriptions_max: usize,
    pub publishes_in_flight_max: usize,
    pub deliveries_in_flight_max: usize,
    pub outbound_queue: OutboundQueueLimits,
    pub on_rejected_publish: OnRejectedPublish,
    pub allowed_origins: AllowedOrigins,
}

/// The consequence of a QoS 1 or 2 publish that is rejected for good, such as one with an invalid payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRejectedPublish {
    /// It is acknowledged, logged and counted: clients send an unacknowledged publish again forever.
    Ack,
    /// The connection is closed without PUBACK or PUBREC: the client learns that it was not stored.
    Close,
}
