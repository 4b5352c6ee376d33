//! Settings of lists: their pages, the work that one may cause, and the memory of answers.

use std::time::Duration;

use clap::Args;
use thng_pubsub_broker::ScanLimits;

use super::range::{from, within};

/// The flags below `Lists and answers` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lists and answers")]
pub struct ListSettings {
    /// Items that a list may be asked for with `perPage`. The most is what the platform's own clients ask for.
    #[arg(long, value_name = "ITEMS", default_value_t = 100, value_parser = within::<usize>(1..=100))]
    pub page_size_max: usize,

    /// Bytes of documents that one list, total or bulk change reads, each once and once more for each value of its
    /// filter.
    ///
    /// A list ends its page there, with a `link`; totals and bulk changes are refused.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20, value_parser = within::<u64>(1 << 20..=1 << 40))]
    pub scan_bytes_max: u64,

    /// Work of one list, total or bulk change, without the time for which it waits.
    ///
    /// The consequences are those of --scan-bytes-max.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2_000, value_parser = within::<u64>(10..=600_000))]
    pub scan_time_max_ms: u64,

    /// Lists that wait for a connection to the database, of all API keys together.
    ///
    /// Beyond it, the last one of the key that waits with most is refused with 503.
    #[arg(long, value_name = "LISTS", default_value_t = 1_000, value_parser = within::<usize>(1..=1_000_000))]
    pub scan_queue_max: usize,

    /// Bytes of HTTP answers of more than 16 KiB in memory; one account may have half of them.
    ///
    /// An account may have as many bytes as are then still free.
    /// Where few are free, pages of lists and histories get shorter, with a `link`.
    /// Other reads are refused with 503, and writes are answered without their document.
    // Half of the least fits the largest document several times. The default is six of the largest pages.
    #[arg(long, value_name = "BYTES", default_value_t = 24 << 20, value_parser = from::<usize>(16 << 20))]
    pub answer_bytes_max: usize,
}

impl ListSettings {
    /// The bounds of scans, of which so many run at a time.
    pub(crate) fn scan_limits(&self, at_a_time: usize) -> ScanLimits {
        ScanLimits {
            at_a_time,
            queue_max: self.scan_queue_max,
            bytes_max: self.scan_bytes_max,
            time_max: Duration::from_millis(self.scan_time_max_ms),
        }
    }
}
