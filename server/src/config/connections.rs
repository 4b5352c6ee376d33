//! Settings of connections: how many there are, and how long a client may take.

use std::time::Duration;

use clap::Args;
use thng_pubsub_transport::least_rate::LeastRate;

use super::range::{from, within};

/// The flags below `Connections` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionSettings {
    /// Connections of all protocols together; further ones are closed at once.
    ///
    /// An idle one takes a few KiB and a file descriptor.
    /// Where the limit of open files allows fewer, the server warns at its start and refuses connections before that
    /// limit.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 100_000, value_parser = from::<usize>(1))]
    pub connections_max: usize,

    /// Connections of one address (IPv6: of one /64 network); further ones are closed at once. Default: no limit.
    ///
    /// Behind a proxy all have its address, so limit them there.
    #[arg(long, value_name = "CONNECTIONS", value_parser = from::<usize>(1))]
    pub connections_per_address_max: Option<usize>,

    /// MQTT connections, native WebSockets and subscriptions with an `access_token` of one API key at a time.
    /// Default: no limit.
    ///
    /// The next CONNECT is answered with code 3, the next upgrade with 429, the next subscription is refused.
    /// REST requests do not count.
    /// A client that comes back counts twice until its old connection has ended.
    #[arg(long, value_name = "CONNECTIONS", value_parser = from::<usize>(1))]
    pub connections_per_key_max: Option<usize>,

    /// Time of a new connection for its TLS handshake, then for its MQTT CONNECT or the head of an HTTP request.
    ///
    /// The time for a head starts with its first byte.
    /// A phone on a bad network needs some seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = within::<u64>(1..=600))]
    pub connect_timeout_s: u64,

    /// Time that an HTTP connection may be idle between two requests.
    ///
    /// Keep it longer than the same time of the proxy in front: 60 s are common.
    /// Otherwise a request meets a connection that is being closed.
    #[arg(long, value_name = "SECONDS", default_value_t = 75, value_parser = within::<u64>(1..=3600))]
    pub http_idle_timeout_s: u64,

    /// Time that the body of an HTTP request may take: by default, 1 MiB at 35 KB a second.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = within::<u64>(1..=3600))]
    pub body_timeout_s: u64,

    /// Least rate at which a client takes an HTTP answer that waits; slower clients are disconnected.
    ///
    /// It does not apply to WebSockets, whose queues have bounds of their own.
    /// The slowest mobile networks in use carry a few KiB.
    #[arg(long, value_name = "BYTES_PER_SECOND", default_value_t = 4_096, value_parser = within::<u64>(1..=1_048_576))]
    pub answer_rate_min: u64,

    /// Time over which --answer-rate-min is averaged: a client may take nothing for so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = within::<u64>(1..=3600))]
    pub answer_rate_window_s: u64,
}

impl ConnectionSettings {
    pub(crate) fn answer_rate(&self) -> LeastRate {
        LeastRate {
            bytes_per_s: self.answer_rate_min,
            window: Duration::from_secs(self.answer_rate_window_s),
        }
    }
}
