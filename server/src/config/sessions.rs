//! Settings of durable sessions: how many there are, how long they wait, and how much their queues store.

use clap::Args;
use thng_pubsub_broker::QueueLimits;

use super::{
    messages::BODY_BYTES_MOST,
    range::{from, within},
};

/// The flags below `Durable sessions` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Durable sessions")]
pub struct SessionSettings {
    /// Durable MQTT sessions (clean session 0) of all API keys, connected or not.
    ///
    /// For one more, a session ends of the key that has most, in the account that has most.
    /// It is the one that has waited longest, before one whose client is connected.
    /// So an account never loses its fair share.
    /// Where no key has at least two more than the one that asks, CONNECT is answered with code 3.
    /// One takes about 200 bytes on the disk, and as much for each subscription.
    #[arg(long, value_name = "SESSIONS", default_value_t = 100_000, value_parser = from::<usize>(1))]
    pub sessions_max: usize,

    /// Durable MQTT sessions of one API key. Default: as many as --sessions-max.
    ///
    /// Where many clients share a key, it has to be as large as the fleet.
    #[arg(long, value_name = "SESSIONS", value_parser = from::<usize>(1))]
    pub sessions_per_key_max: Option<usize>,

    /// Subscriptions of all durable MQTT sessions together; further ones are refused with 0x80.
    ///
    /// One takes up to 400 bytes of memory.
    #[arg(long, value_name = "SUBSCRIPTIONS", default_value_t = 1_000_000, value_parser = from::<usize>(1))]
    pub session_subscriptions_max: usize,

    /// Time that a durable MQTT session waits for its client.
    ///
    /// The default is a week, so that a device survives a long weekend.
    /// A clock that was just set ends no session.
    #[arg(long, value_name = "SECONDS", default_value_t = 604_800, value_parser = within::<u64>(1..=31_536_000))]
    pub session_expiry_s: u64,

    /// Messages of one topic that are stored for durable sessions, once for all of them.
    ///
    /// The default is what comes in a week with one a minute.
    /// Beyond it the oldest are dropped, logged and counted: those that only the session furthest behind needs.
    #[arg(long, value_name = "MESSAGES", default_value_t = 10_000, value_parser = from::<usize>(1))]
    pub session_queue_messages_max: usize,

    /// Bytes of messages of all topics that are stored for durable sessions.
    ///
    /// One topic has a sixteenth of it at the most.
    /// Beyond it, the account and in it the key that have most lose the oldest messages of their largest topic, which
    /// is logged and counted.
    /// An account within its fair share loses nothing.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30, value_parser = from::<usize>(2 * BODY_BYTES_MOST))]
    pub session_queue_bytes_max: usize,
}

impl SessionSettings {
    /// The bounds of the store.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            sessions: self.sessions_max,
            sessions_per_key: self.sessions_per_key_max.unwrap_or(usize::MAX),
            subscriptions: self.session_subscriptions_max,
            messages_per_topic: self.session_queue_messages_max,
            bytes: self.session_queue_bytes_max,
        }
    }
}
