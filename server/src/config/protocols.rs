//! Settings of MQTT and WebSocket that are no limits: how the server answers, and when.

use clap::{Args, ValueEnum};
use thng_pubsub_transport::{self as transport, origins::AllowedOrigins};

use super::range::within;

/// The flags below `MQTT and WebSocket` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "MQTT and WebSocket")]
pub struct ProtocolSettings {
    /// The consequence of a QoS 1 or 2 publish that is refused for good, such as one with an invalid payload.
    ///
    /// `ack`: it is acknowledged, logged and counted; many clients would otherwise send it again forever.
    /// `close`: the connection is closed without PUBACK or PUBREC, so that the client learns that it was not stored.
    /// A publish that can succeed later closes the connection in both cases.
    /// A client that asked for answers to refused publishes stays connected in both.
    #[arg(long, value_enum, ignore_case = true, default_value = "ack")]
    pub on_rejected_publish: OnRejectedPublish,

    /// Origins of pages that may use the server from a browser, separated by commas, or `*` for any.
    ///
    /// An example is `https://example.com,http://localhost:5173`.
    /// The server's own pages may too; a proxy that rewrites `Host` sets `X-Forwarded-Host` for them.
    /// Origins are compared without case and without default ports; a name that is not ASCII has its `xn--` form.
    /// A WebSocket of another page is refused with 403, and the answers of REST cannot be read by it.
    /// Keys are never in cookies, so `*` lets no page act for a visitor without that visitor's key.
    #[arg(long, value_name = "ORIGINS", default_value = "*")]
    pub allowed_origins: AllowedOrigins,

    /// Time between SUBACK and the initial state (`pubStates=1`).
    ///
    /// Existing clients install their handler only after the SUBACK, and lose a message that comes in the same TCP
    /// segment.
    /// 20 ms later it is safe.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 25, value_parser = within::<u64>(0..=60_000))]
    pub initial_state_delay_ms: u64,

    /// Silence on a native WebSocket before it is pinged, and again before it is closed.
    ///
    /// Proxies close what is silent for a minute.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = within::<u64>(1..=3600))]
    pub websocket_ping_interval_s: u64,
}

/// The consequence of a QoS 1 or 2 publish that is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnRejectedPublish {
    Ack,
    Close,
}

impl From<OnRejectedPublish> for transport::OnRejectedPublish {
    fn from(setting: OnRejectedPublish) -> Self {
        match setting {
            OnRejectedPublish::Ack => Self::Ack,
            OnRejectedPublish::Close => Self::Close,
        }
    }
}
