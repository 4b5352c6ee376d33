//! The settings of the bus, and the rules that hold between them.

use std::time::Duration;

use super::carrier::PARCEL_OVERHEAD;
use super::envelope::PROBE_BYTES;
use super::{BusError, PARTITIONS};

/// The fewest bytes that the commit log accepts for a segment (it panics below).
const SEGMENT_BYTES_MIN: usize = 1024;

/// The longest probe interval and deadline: a watchdog that sleeps longer is none.
const PROBE_TIME_MAX: Duration = Duration::from_secs(3600);

/// Settings of the notification bus. [`Default`] is right for one server on one machine.
///
/// Memory: each of the [`PARTITIONS`] keeps its last `segment_count` segments, read or not. The bus grows to
/// `16 * segment_count * segment_bytes` of charged bytes (envelopes and a fixed overhead), 8 MiB by default.
/// Notifications of 200 bytes take about twice that in real memory, because each entry also costs 230 bytes of
/// bookkeeping. A segment ends with the notification that fills it, so larger notifications can take
/// `16 * segment_count * (segment_bytes + notification)`: 48 MiB for notifications of 1.25 MiB in every partition.
///
/// Larger credits made nothing faster: 256 KiB are 900 notifications of 200 bytes, many times what is on the way
/// during one turn of the router.
#[derive(Debug, Clone)]
pub struct BusSettings {
    /// Threads that fan notifications out, 1 to 16. More than the machine has cores is no use.
    pub dispatchers: usize,
    /// Size of a commit log segment in bytes, at least 1024.
    pub segment_bytes: usize,
    /// Segments that the commit log of a partition keeps, at least 2.
    pub segment_count: usize,
    /// How many bytes of notifications may be on the way between publisher and dispatchers, summed over all
    /// partitions. Not above `segment_bytes * (segment_count - 1)`: all of it may fall on one partition, and
    /// what is unread there must not be overwritten. A notification larger than this travels alone.
    pub credit_bytes: usize,
    /// How many bytes of notifications may wait for credit before [`super::Bus::publish`] blocks. It may be
    /// exceeded by 64 notifications.
    pub pending_bytes: usize,
    /// Time between two probe rounds.
    pub probe_interval: Duration,
    /// How long an idle dispatcher may wait for a probe before the bus counts as dead.
    pub probe_deadline: Duration,
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            dispatchers: 2,
            segment_bytes: 256 << 10,
            segment_count: 2,
            credit_bytes: 256 << 10,
            pending_bytes: 8 << 20,
            probe_interval: Duration::from_secs(1),
            probe_deadline: Duration::from_secs(2),
        }
    }
}

impl BusSettings {
    /// What one round of probes may occupy in a partition on top of the notifications; taken off the credits.
    pub(super) const PROBE_RESERVE: usize = PROBE_BYTES + PARCEL_OVERHEAD;

    /// # Errors
    /// [`BusError::Config`] with the first setting that is out of range.
    pub(super) fn validate(&self) -> Result<(), BusError> {
        let check = |holds: bool, setting: &'static str, reason: &str| {
            if holds { Ok(()) } else { Err(BusError::Config { setting, reason: reason.to_owned() }) }
        };
        check((1..=PARTITIONS).contains(&self.dispatchers), "dispatchers", "must be 1 to 16")?;
        check(self.segment_bytes >= SEGMENT_BYTES_MIN, "segment_bytes", "must be at least 1024")?;
        check(self.segment_count >= 2, "segment_count", "must be at least 2")?;
        check(self.credit_bytes > Self::PROBE_RESERVE, "credit_bytes", "is too small for a notification")?;
        let unread_max = self.segment_bytes.saturating_mul(self.segment_count - 1);
        check(
            self.credit_bytes <= unread_max,
            "credit_bytes",
            "must not be above segment_bytes * (segment_count - 1), or unread notifications are overwritten",
        )?;
        check(self.pending_bytes > 0, "pending_bytes", "must not be 0")?;
        let sensible = |time: Duration| !time.is_zero() && time <= PROBE_TIME_MAX;
        check(sensible(self.probe_interval), "probe_interval", "must be above 0 and at most an hour")?;
        check(sensible(self.probe_deadline), "probe_deadline", "must be above 0 and at most an hour")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut BusSettings)) -> &'static str {
        let mut config = BusSettings::default();
        change(&mut config);
        match config.validate() {
            Err(BusError::Config { setting, .. }) => setting,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        BusSettings::default().validate().unwrap();
    }

    #[test]
    fn credits_that_could_overrun_an_unread_position_are_refused() {
        let too_many = |config: &mut BusSettings| {
            (config.segment_bytes, config.segment_count, config.credit_bytes) = (65_536, 4, 3 * 65_536 + 1);
        };
        assert_eq!(refused(too_many), "credit_bytes");
    }

    #[test]
    fn settings_that_the_commit_log_panics_on_are_refused() {
        assert_eq!(refused(|config| config.segment_bytes = 1023), "segment_bytes");
        assert_eq!(refused(|config| config.segment_count = 1), "segment_count");
        assert_eq!(refused(|config| config.dispatchers = 0), "dispatchers");
        assert_eq!(refused(|config| config.dispatchers = 17), "dispatchers");
        assert_eq!(refused(|config| config.probe_deadline = Duration::MAX), "probe_deadline");
    }
}
