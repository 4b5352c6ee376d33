//! Settings of messages and requests: their sizes, and how many of them wait.

use clap::Args;
use thng_pubsub_protocol::limits::MEMBERSHIP_MAX;

use super::range::{from, within};

/// The most that `--body-bytes-max` can be: the largest notification that the bus carries.
pub(super) const BODY_BYTES_MOST: u64 = 1 << 20;

/// The flags below `Messages and requests` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Messages and requests")]
pub struct MessageSettings {
    /// Bytes of one MQTT packet, or of one message on a native WebSocket. A larger one ends its connection.
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 10, value_parser = within::<usize>(128..=BODY_BYTES_MOST))]
    pub message_bytes_max: usize,

    /// Bytes of one WebSocket message at /mqtt. It may contain many MQTT packets, each within --message-bytes-max.
    ///
    /// A larger one closes with code 1009.
    /// Clients put all queued packets into one message: a thousand publishes of 1 kB fit.
    /// A client without an API key in its CONNECT may send --message-bytes-max, and 16 KiB.
    // Clients in the field send messages of 64 KiB and a little more. A connection may fill a whole message with memory.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = within::<usize>(128 << 10..=16 << 20))]
    pub mqtt_websocket_message_bytes_max: usize,

    /// Bytes of the body of an HTTP request. The most is the largest notification that the bus carries.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = within::<usize>(128..=BODY_BYTES_MOST))]
    pub body_bytes_max: usize,

    /// Resources that one call changes or deletes by `ids` or `filter`; where more are meant, nothing is changed.
    ///
    /// An update is one transaction, for which other writers wait.
    #[arg(long, value_name = "RESOURCES", default_value_t = 500, value_parser = within::<usize>(1..=10_000))]
    pub bulk_size_max: usize,

    /// Thngs or collections that one call adds to a collection. More fit into no notification.
    #[arg(long, value_name = "MEMBERS", default_value_t = MEMBERSHIP_MAX,
          value_parser = within::<usize>(1..=MEMBERSHIP_MAX as u64))]
    pub members_max: usize,

    /// Notifications that one command may cause, beyond which it is refused whole.
    ///
    /// An action is reported on two topics of the account, of its thng, of its product and of each collection of its
    /// thng.
    /// A document counts once more for each whole 2 KiB.
    /// All writers wait for one command, for about ten microseconds a notification.
    /// 500 actions on a thng of a product need 3,000, one action on a thng in 100 collections 204.
    #[arg(long, value_name = "NOTIFICATIONS", default_value_t = 3_000, value_parser = within::<usize>(1_000..=1_000_000))]
    pub command_notifications_max: usize,

    /// Publishes of one connection that may wait for their commit; beyond it nothing more is read from it.
    ///
    /// One connection can bring so many into one commit, so it bounds a single publisher's throughput.
    #[arg(long, value_name = "PUBLISHES", default_value_t = 256, value_parser = within::<usize>(1..=60_000))]
    pub publishes_in_flight_max: usize,

    /// Bytes of writes that may wait for their commit, of all connections together; one account may have half of it.
    ///
    /// Beyond it writes wait, and the accounts take turns.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = from::<usize>(2 * BODY_BYTES_MOST))]
    pub write_queue_bytes_max: usize,
}
