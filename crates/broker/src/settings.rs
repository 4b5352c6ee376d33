//! The limits of the services. The server's settings state their ranges and defaults.

use std::time::Duration;

use thng_pubsub_store::{TimestampMs, session_queue::QueueLimits, subscriptions::SubscriptionLimits};

/// The settings of the application services.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Bytes of writes that may wait for their commit.
    pub write_queue_bytes_max: usize,
    /// Resources that one call changes or deletes by `ids` or `filter`.
    pub bulk_size_max: usize,
    /// Items of a page.
    pub page_size_max: usize,
    /// Members that one call adds to a collection.
    pub members_max: usize,
    /// Notifications that one command may cause.
    pub notifications_max: usize,
    /// Connections and subscriptions that lease one key.
    pub connections_per_key_max: usize,
    /// What lists may cost.
    pub scans: ScanLimits,
    /// Bytes of HTTP answers in memory.
    pub answer_bytes_max: usize,
    /// What is kept for durable sessions.
    pub session_queue: QueueLimits,
    /// Memory that subscriptions take.
    pub subscriptions: SubscriptionLimits,
    /// Passwords that may wait to be hashed.
    pub password_queue_max: usize,
    /// How long a durable session waits for its client, 1 ms or more.
    pub session_expiry_ms: TimestampMs,
}

/// What one call may scan.
#[derive(Debug, Clone, Copy)]
pub struct ScanLimits {
    /// Scans at a time, 1 or more.
    pub at_a_time: usize,
    /// Scans that wait for a turn.
    pub queue_max: usize,
    /// Bytes that are gone through, each as often as there are values to compare it with.
    pub bytes_max: u64,
    /// Time of work.
    pub time_max: Duration,
}
