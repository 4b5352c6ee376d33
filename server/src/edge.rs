//! The edges: bytes to gateway calls, refusals to the wire. No business rule lives here.
//!
//! - [`accept`]: the one accept loop, and what is shared by all connections
//! - [`admin`]: the administrator's socket in the data folder
//! - [`addresses`]: how many connections each address has
//! - [`http`]: one HTTP listener for REST, native WebSocket, `/mqtt`, the SDK, health and metrics
//! - [`rest`], [`websocket`], [`mqtt`]: one protocol each; none knows another
//! - [`answer`]: keys, answers and refusals over HTTP
//! - [`least_rate`]: how fast a client has to take its HTTP answers
//! - [`public_url`]: the address by which a client calls this server
//! - [`rates`]: how often each key and each address may come, ask and publish
//! - [`rejected`]: what the log says of what a client was refused
//! - [`tls`]: what is in front of an edge on the TLS listeners
//! - [`unfinished`]: bounds the bytes of a WebSocket message that has not come to its end
//! - [`upgrade`]: what both kinds of WebSocket have in common
//! - [`assets`]: the files inside the binary

pub(crate) mod accept;
pub(crate) mod addresses;
pub(crate) mod admin;
mod answer;
mod assets;
pub(crate) mod http;
pub(crate) mod least_rate;
mod logged_error;
mod message_bound;
pub(crate) mod mqtt;
mod public_url;
pub(crate) mod rates;
mod rest;
pub(crate) mod tls;
mod upgrade;
mod websocket;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    config::{AllowedOrigins, OnRejectedPublish},
    gateway::{Gateway, OutboundQueueLimits},
    log_throttle::LogThrottle,
    metrics::Metrics,
};

/// How long an initial state waits that the database had no time for.
const STATE_RETRY: Duration = Duration::from_secs(1);

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) gateway: Gateway,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) mqtt_sessions: mqtt::Sessions,
    pub(crate) rates: Arc<rates::Rates>,
    /// For lines about what clients were refused.
    pub(crate) refusal_log: LogThrottle,
    /// What `/client.pem` is: the certificate of the authority that signed ours, where that is our own.
    pub(crate) authority: Option<Bytes>,
}

/// The bounds of a connection, from the settings of the same names.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) connect_timeout: Duration,
    pub(crate) http_idle_timeout: Duration,
    pub(crate) body_timeout: Duration,
    /// How fast a client has to take HTTP answers.
    pub(crate) answer_rate: least_rate::LeastRate,
    pub(crate) websocket_ping_interval: Duration,
    pub(crate) initial_state_delay: Duration,
    pub(crate) message_bytes_max: usize,
    pub(crate) mqtt_websocket_message_bytes_max: usize,
    pub(crate) body_bytes_max: usize,
    pub(crate) subscriptions_max: usize,
    pub(crate) publishes_in_flight_max: usize,
    pub(crate) deliveries_in_flight_max: usize,
    pub(crate) outbound_queue: OutboundQueueLimits,
    pub(crate) on_rejected_publish: OnRejectedPublish,
    pub(crate) allowed_origins: AllowedOrigins,
}
