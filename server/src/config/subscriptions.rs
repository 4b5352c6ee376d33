//! Settings of subscriptions and of the delivery to subscribers.

use clap::Args;
use thng_pubsub_broker::SubscriptionLimits;
use thng_pubsub_bus::{BusSettings, OutboundQueueLimits};

use super::range::{from, within};

/// The least memory for subscriptions: one fits.
const SUBSCRIPTION_BYTES_LEAST: u64 = 8_192;

/// The flags below `Subscriptions and delivery` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Subscriptions and delivery")]
pub struct SubscriptionSettings {
    /// Subscriptions of one MQTT session; further ones are refused with 0x80.
    ///
    /// The default is enough for a hub of thousands of devices.
    #[arg(long, value_name = "SUBSCRIPTIONS", default_value_t = 10_000, value_parser = within::<usize>(1..=1_000_000))]
    pub subscriptions_max: usize,

    /// Memory of the subscriptions of one API key, on all its connections and durable sessions together.
    ///
    /// A subscription counts 1,024 bytes and twice the length of its topic, for the key whose rights it has.
    /// Those of durable sessions count for the key of the session, its client connected or not.
    /// One more is refused with 0x80, the upgrade of a native WebSocket with 429.
    /// A fleet of 100,000 that shares a key fits into the default.
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 20, value_parser = from::<usize>(SUBSCRIPTION_BYTES_LEAST))]
    pub subscription_bytes_per_key_max: usize,

    /// Memory of the subscriptions of one account, counted in the same way.
    ///
    /// The default is half of --subscription-bytes-max, so that no account takes all of it.
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 20, value_parser = from::<usize>(SUBSCRIPTION_BYTES_LEAST))]
    pub subscription_bytes_per_account_max: usize,

    /// Memory of the subscriptions of all accounts, counted in the same way.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30, value_parser = from::<usize>(SUBSCRIPTION_BYTES_LEAST))]
    pub subscription_bytes_max: usize,

    /// QoS 1 messages that a client may leave unacknowledged before more are held back.
    ///
    /// Clients with little memory take them one after the other anyway; 256 keep a link of 100 ms busy.
    #[arg(long, value_name = "MESSAGES", default_value_t = 256, value_parser = within::<usize>(1..=60_000))]
    pub deliveries_in_flight_max: usize,

    /// Messages that may wait for one connection: beyond it QoS 0 is dropped and a QoS 1 session is ended.
    #[arg(long, value_name = "MESSAGES", default_value_t = 10_000, value_parser = from::<usize>(1))]
    pub outbound_queue_messages_max: usize,

    /// Bytes that may wait for one connection, with the same consequences.
    ///
    /// One message always fits into an empty outbound queue.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, value_parser = from::<usize>(1_024))]
    pub outbound_queue_bytes_max: usize,

    /// Threads that carry notifications from the bus to the sessions. More than the machine has cores is no use.
    #[arg(long, value_name = "THREADS", default_value_t = BusSettings::default().dispatchers,
          value_parser = within::<usize>(1..=16))]
    pub dispatchers: usize,
}

impl SubscriptionSettings {
    pub(crate) fn memory(&self) -> SubscriptionLimits {
        SubscriptionLimits {
            per_key: self.subscription_bytes_per_key_max,
            per_account: self.subscription_bytes_per_account_max,
            total: self.subscription_bytes_max,
        }
    }

    pub(crate) fn outbound_queue(&self) -> OutboundQueueLimits {
        OutboundQueueLimits {
            messages: self.outbound_queue_messages_max,
            bytes: self.outbound_queue_bytes_max,
        }
    }
}
