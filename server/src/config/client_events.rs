//! Settings of the journal of client events: how much it keeps, and which account sees what belongs to none.

use clap::Args;
use thng_pubsub_broker::client_events::{JournalLimits, JournalSettings};
use thng_pubsub_protocol::id::Id;

use super::range::{from, within};

/// The flags below `Client events` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Client events")]
pub struct ClientEventSettings {
    /// Client events that are stored; 0 records none.
    ///
    /// Beyond it, the account that has most loses its oldest.
    #[arg(long, value_name = "EVENTS", default_value_t = 100_000, value_parser = within::<u64>(0..=10_000_000))]
    pub client_events_max: u64,

    /// Bytes of client events on the disk, as far as they can be estimated.
    ///
    /// Beyond it, the account that has most events loses its oldest.
    #[arg(long, value_name = "BYTES", default_value_t = 56 << 20, value_parser = from::<u64>(1 << 20))]
    pub client_events_bytes_max: u64,

    /// Time that client events are stored.
    #[arg(long, value_name = "SECONDS", default_value_t = 604_800, value_parser = within::<u64>(60..=31_536_000))]
    pub client_events_age_max_s: u64,

    /// Client events that wait in memory until they are stored, once a second.
    ///
    /// Beyond it events are dropped and counted.
    /// An account takes half of it at the most, as do connections that come and go, and what belongs to no account a quarter.
    #[arg(long, value_name = "EVENTS", default_value_t = 2_000, value_parser = within::<usize>(2..=1_000_000))]
    pub client_events_buffer_max: usize,

    /// The account that sees what belongs to no account, such as clients with unknown keys. Default: the oldest.
    #[arg(long, value_name = "ACCOUNT", value_parser = account)]
    pub system_account: Option<Id>,
}

fn account(text: &str) -> Result<Id, String> {
    Id::parse(text).map_err(|_| "it is the id of an account, of 24 letters and digits".into())
}

impl ClientEventSettings {
    /// The bounds of the journal.
    pub(crate) fn journal(&self) -> JournalSettings {
        let limits = JournalLimits {
            events: self.client_events_max,
            bytes: self.client_events_bytes_max,
            age_ms: i64::try_from(self.client_events_age_max_s).unwrap_or(i64::MAX / 1000) * 1000,
        };
        JournalSettings {
            limits: (limits.events > 0).then_some(limits),
            buffer_max: self.client_events_buffer_max,
            system_account: self.system_account,
        }
    }
}
