//! Settings of rate limits.

use std::time::Duration;

use clap::Args;
use thng_pubsub_transport::rate_limits::RateSettings;

use super::range::within;
use crate::rate::{FailedLogins, RateLimit};

/// The flags below `Rate limits` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rate limits")]
pub struct RateLimitSettings {
    /// HTTP requests of one API key: a rate such as 100/s, 6000/m or 100/s:500 (500 at once), or `off`.
    ///
    /// Upgrades of native WebSockets count.
    /// Beyond it, requests are answered with 429 and `Retry-After`.
    #[arg(long, value_name = "RATE", default_value = "off")]
    pub request_rate_per_key: RateLimit,

    /// HTTP requests of one address (IPv6: of one /64 network), with a key or without: a rate, or `off`.
    ///
    /// Pages and upgrades count; preflights, `/health`, `/ready` and `/metrics` do not.
    #[arg(long, value_name = "RATE", default_value = "off")]
    pub request_rate_per_address: RateLimit,

    /// Publishes of one API key, by every protocol: a rate, or `off`.
    ///
    /// A publish counts for the key whose rights it has: that of the topic's `access_token`, if there is one.
    /// A REST request counts where it does what a publish does.
    /// Beyond it, MQTT and native WebSockets are read more slowly, and REST answers with 429.
    #[arg(long, value_name = "RATE", default_value = "off")]
    pub publish_rate_per_key: RateLimit,

    /// Publishes of one address, by every protocol and with every key: a rate, or `off`.
    #[arg(long, value_name = "RATE", default_value = "off")]
    pub publish_rate_per_address: RateLimit,

    /// MQTT connections and native WebSockets that are opened with one API key: a rate, or `off`.
    ///
    /// Beyond it, a CONNECT is answered with code 3, an upgrade with 429.
    #[arg(long, value_name = "RATE", default_value = "off")]
    pub connection_rate_per_key: RateLimit,

    /// TCP connections of every protocol that one address opens: a rate, or `off`.
    ///
    /// Further ones are closed at once, before TLS.
    #[arg(long, value_name = "RATE", default_value = "off")]
    pub connection_rate_per_address: RateLimit,

    /// Wrong API keys and passwords of one address, beyond which none of its keys are checked: a rate, or `off`.
    ///
    /// They count in every protocol; REST and upgrades get 429, CONNECT gets code 3, and subscriptions with an
    /// `access_token` are refused.
    /// Open connections go on.
    /// With `public:` in front, addresses of this machine and of private networks do not count.
    /// An attacker behind a proxy there would lock out all others.
    /// The default bears a fleet of a thousand whose key was revoked; where each client has an address of its own, `10/m`
    /// is plenty.
    // A thousand devices may each try once, and a hundred of them every five seconds, before others wait. An attacker
    // needs 14 hours for a million passwords.
    #[arg(long, value_name = "RATE", default_value = "public:20/s:1000")]
    pub failed_logins_per_address: FailedLogins,

    /// Passwords of application users that wait to be checked, a quarter of them of one address.
    ///
    /// Two are checked at a time, in about 30 ms each, and the addresses take turns.
    /// More are answered with 429 and `Retry-After`.
    #[arg(long, value_name = "PASSWORDS", default_value_t = 256, value_parser = within::<usize>(4..=100_000))]
    pub password_queue_max: usize,

    /// Time that a publish by MQTT or native WebSocket waits for its turn.
    ///
    /// A longer delay is refused at once: MQTT closes the connection, a native WebSocket answers with 429.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = within::<u64>(0..=3600))]
    pub publish_delay_max_s: u64,

    /// Keys, and addresses, that each rate limit remembers, as long as they have used a part of their burst.
    ///
    /// Beyond it, the entry that is nearly full again is forgotten first.
    /// So an attacker with many addresses does not get rid of its own.
    /// One takes about 100 bytes.
    #[arg(long, value_name = "ENTRIES", default_value_t = 100_000, value_parser = within::<usize>(1_000..=10_000_000))]
    pub rate_limit_entries_max: usize,
}

impl RateLimitSettings {
    /// The settings of the transports.
    pub(crate) fn rates(&self) -> RateSettings {
        RateSettings {
            request_rate_per_key: self.request_rate_per_key,
            request_rate_per_address: self.request_rate_per_address,
            publish_rate_per_key: self.publish_rate_per_key,
            publish_rate_per_address: self.publish_rate_per_address,
            connection_rate_per_key: self.connection_rate_per_key,
            connection_rate_per_address: self.connection_rate_per_address,
            failed_logins_per_address: self.failed_logins_per_address,
            entries_max: self.rate_limit_entries_max,
            publish_delay_max: Duration::from_secs(self.publish_delay_max_s),
        }
    }
}
