//! Metrics of the server. One registry, Prometheus text at `/metrics`; the bus registers its own beside these.
//!
//! Every name starts with `thng_pubsub_`, but for those of the process (`process_`), which all programs share. Nothing that a client chooses becomes a label.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    PullingGauge, Registry, TextEncoder, core::Collector, process_collector::ProcessCollector,
};

/// The server's counters, shared by everyone who counts.
#[derive(Debug)]
pub struct Metrics {
    pub registry: Registry,
    /// Open connections, by `protocol`.
    pub connections: IntGaugeVec,
    /// Connections that may be open: `--connections-max`, or fewer where the limit of open files allows fewer.
    pub connections_limit: IntGauge,
    /// Connections that were rejected, by `protocol` and `reason`.
    pub connections_refused: IntCounterVec,
    /// TLS certificates that were read again, by `outcome`: taken or refused.
    pub tls_reloads: IntCounterVec,
    /// When the first TLS certificate runs out, in seconds since the epoch; 0 without TLS.
    pub tls_certificate_expiry: IntGauge,
    /// Publishes that were stored, by `protocol`.
    pub publishes: IntCounterVec,
    /// Publishes that were refused, by `protocol` and `reason`.
    pub publishes_refused: IntCounterVec,
    /// Subscriptions that were refused, by `protocol` and `reason`.
    pub subscriptions_refused: IntCounterVec,
    /// Subscriptions whose own key was revoked, by `protocol`.
    pub subscriptions_revoked: IntCounterVec,
    /// Notifications handed to sockets, by `protocol`.
    pub deliveries: IntCounterVec,
    /// Connections that ended, by `protocol` and `reason`.
    pub disconnects: IntCounterVec,
    /// REST requests, by `status`.
    pub requests: IntCounterVec,
    /// Operations in one commit.
    pub commit_batch_size: Histogram,
    /// Seconds from taking a group to having answered it.
    pub commit_duration_seconds: Histogram,
    /// Seconds of one poll of a connection's task, without the time in which another thread took over the other tasks.
    pub poll_duration_seconds: Histogram,
    /// Seconds that one command held the writer.
    pub command_duration_seconds: Histogram,
    /// Seconds that one step took which frees what was deleted.
    pub reclaim_seconds: Histogram,
    /// Commands that were rejected because they asked for too much, by `bound`.
    pub commands_rejected: IntCounterVec,
    /// Operations that could not be stored.
    pub commit_failures: IntCounter,
    /// What was too much for a rate limit, by `what` was counted and `by` what.
    pub rate_limited: IntCounterVec,
    /// Keys and addresses that rate limits remember, by the same.
    pub rate_limit_entries: IntGaugeVec,
    /// Times that the clock was set by more than five minutes, by `direction`: back or ahead.
    pub clock_steps: IntCounterVec,
    /// Passwords that were not checked because too many waited, by `bound`: address or all.
    pub passwords_refused: IntCounterVec,
    /// Publishes that had to wait for their turn under a rate limit, by `protocol`.
    pub publishes_throttled: IntCounterVec,
    /// Lists that were refused, by the `bound`: queue, items, bytes or time.
    pub scans_refused: IntCounterVec,
    /// HTTP answers for which too few bytes were free, by `outcome`: refused, page_shortened or body_omitted.
    pub answers_limited: IntCounterVec,
    /// Scans that reached a `bound`: items, bytes or time.
    pub scans_ended_early: IntCounterVec,
    /// Durable sessions that are stored, their clients connected or not.
    pub sessions: IntGauge,
    /// Messages that are kept for durable sessions, and their bytes.
    pub session_queued_messages: IntGauge,
    pub session_queued_bytes: IntGauge,
    /// Messages that were dropped though a durable session waited for them, by `reason`: count, bytes or age.
    pub session_messages_dropped: IntCounterVec,
    /// Durable sessions that were ended so that another key could have one.
    pub sessions_evicted: IntCounter,
    /// Client events that are stored, and their bytes.
    pub client_events: IntGauge,
    pub client_event_bytes: IntGauge,
    /// Client events that were not stored, by `reason`: buffer or store.
    pub client_events_dropped: IntCounterVec,
}

impl Metrics {
    /// Makes a registry with everything at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let opts = Opts::new(format!("thng_pubsub_{name}"), help);
            added(&registry, IntCounterVec::new(opts, labels)?)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let options = HistogramOpts::new(format!("thng_pubsub_{name}"), help).buckets(buckets);
            added(&registry, Histogram::with_opts(options)?)
        };
        let gauge =
            |name: &str, help: &str| added(&registry, IntGauge::new(format!("thng_pubsub_{name}"), help)?);
        let counter =
            |name: &str, help: &str| added(&registry, IntCounter::new(format!("thng_pubsub_{name}"), help)?);
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let opts = Opts::new(format!("thng_pubsub_{name}"), help);
            added(&registry, IntGaugeVec::new(opts, labels)?)
        };
        let build = gauges("build_info", "Always 1; the labels name what runs.", &["version", "arch"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), std::env::consts::ARCH]).set(1);
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            connections: gauges(
                "connections",
                "Open connections, TLS handshakes included; a WebSocket counts as http or https only until its upgrade.",
                &["protocol"],
            )?,
            connections_limit: gauge(
                "connections_limit",
                "Connections that may be open: --connections-max, or fewer where the limit of open files allows fewer.",
            )?,
            connections_refused: counters(
                "connections_refused_total",
                "Connections and CONNECTs that were rejected, by reason.",
                &["protocol", "reason"],
            )?,
            tls_reloads: counters(
                "tls_reloads_total",
                "TLS certificates that were read again, by outcome: taken or refused.",
                &["outcome"],
            )?,
            tls_certificate_expiry: gauge(
                "tls_certificate_expiry_timestamp_seconds",
                "When the first TLS certificate expires, in seconds since the epoch; 0 without TLS.",
            )?,
            publishes: counters("publishes_total", "Publishes that were stored.", &["protocol"])?,
            publishes_refused: counters(
                "publishes_refused_total",
                "Publishes that were refused, by reason.",
                &["protocol", "reason"],
            )?,
            subscriptions_refused: counters(
                "subscriptions_refused_total",
                "Subscriptions that were refused, by reason.",
                &["protocol", "reason"],
            )?,
            subscriptions_revoked: counters(
                "subscriptions_revoked_total",
                "Subscriptions that ended because the key of their access_token was revoked.",
                &["protocol"],
            )?,
            deliveries: counters(
                "deliveries_total",
                "Notifications that were written to the sockets of clients.",
                &["protocol"],
            )?,
            disconnects: counters(
                "disconnects_total",
                "MQTT connections and native WebSockets that ended, and HTTP connections that read too slowly, by reason.",
                &["protocol", "reason"],
            )?,
            requests: counters(
                "http_requests_total",
                "Answers of the HTTP listeners, upgrades (101) and health checks included.",
                &["status"],
            )?,
            rate_limited: counters(
                "rate_limited_total",
                "What exceeded a rate limit: requests, publishes, connections or failed_logins, by key or address.",
                &["kind", "scope"],
            )?,
            rate_limit_entries: gauges(
                "rate_limit_entries",
                "Keys and addresses that a rate limit remembers; at --rate-limit-entries-max it begins to forget.",
                &["kind", "scope"],
            )?,
            clock_steps: counters(
                "clock_steps_total",
                "Times that the clock was set by more than five minutes, by direction: back or ahead.",
                &["direction"],
            )?,
            passwords_refused: counters(
                "passwords_refused_total",
                "Passwords that were not checked because --password-queue-max was reached, by bound: address or all.",
                &["bound"],
            )?,
            publishes_throttled: counters(
                "publishes_throttled_total",
                "Publishes that a rate limit delayed.",
                &["protocol"],
            )?,
            commit_batch_size: histogram(
                "commit_batch_size",
                "Operations in one commit; a busy server commits many at once.",
                prometheus::exponential_buckets(1.0, 2.0, 10)?,
            )?,
            commit_duration_seconds: histogram(
                "commit_duration_seconds",
                "Seconds from taking a group of operations to having answered it.",
                prometheus::exponential_buckets(0.000_1, 2.0, 14)?,
            )?,
            poll_duration_seconds: histogram(
                "poll_duration_seconds",
                "Seconds that a connection kept a thread of the runtime at a time; others wait for it.",
                prometheus::exponential_buckets(0.000_1, 2.0, 15)?,
            )?,
            command_duration_seconds: histogram(
                "command_duration_seconds",
                "Seconds that one command held the writer before its commit; all accounts wait meanwhile.",
                prometheus::exponential_buckets(0.000_01, 2.0, 18)?,
            )?,
            reclaim_seconds: histogram(
                "reclaim_seconds",
                "Seconds of one step that frees deleted data or ended sessions, its commit included; all accounts wait meanwhile.",
                prometheus::exponential_buckets(0.000_01, 2.0, 18)?,
            )?,
            commands_rejected: counters(
                "commands_rejected_total",
                "Commands that exceeded what one may do, by bound: collections, ancestors, notifications, bytes or task_queue.",
                &["bound"],
            )?,
            commit_failures: counter("commit_failures_total", "Operations that could not be stored.")?,
            scans_refused: counters(
                "scans_refused_total",
                "Lists that were refused (queue), and totals and bulk changes whose scan reached a bound: items, bytes or time.",
                &["bound"],
            )?,
            answers_limited: counters(
                "answers_limited_total",
                "HTTP answers that --answer-bytes-max limited, by outcome: page_shortened, refused or body_omitted (of a stored write).",
                &["outcome"],
            )?,
            scans_ended_early: counters(
                "scans_ended_early_total",
                "Scans that reached a bound before the end of their list: items, bytes or time.",
                &["bound"],
            )?,
            sessions: gauge("sessions", "Durable sessions, their clients connected or not.")?,
            session_queued_messages: gauge(
                "session_queued_messages",
                "Messages that are stored for durable sessions.",
            )?,
            session_queued_bytes: gauge(
                "session_queued_bytes",
                "Bytes of the messages that are stored for durable sessions.",
            )?,
            session_messages_dropped: counters(
                "session_messages_dropped_total",
                "Messages that were dropped although a durable session needed them, by reason: count, bytes or age.",
                &["reason"],
            )?,
            sessions_evicted: counter(
                "sessions_evicted_total",
                "Durable sessions that were ended so that another key could have one (--sessions-max).",
            )?,
            client_events: gauge(
                "client_events",
                "Client events in the journal; equal ones of a minute are one.",
            )?,
            client_event_bytes: gauge(
                "client_event_bytes",
                "Bytes of the client events in the journal, estimated.",
            )?,
            client_events_dropped: counters(
                "client_events_dropped_total",
                "Client events that were not stored, by reason: buffer (--client-events-buffer-max) or store.",
                &["reason"],
            )?,
            registry,
        })
    }

    /// Shows how many bytes of answers are in memory, which `read` knows.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_answer_bytes(
        &self,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        self.show("answer_bytes", "Bytes of HTTP answers of more than 16 KiB that are in memory.", read)
    }

    /// Shows how many scans wait for a turn, which `read` knows.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_scans_waiting(
        &self,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        self.show("scans_waiting", "Lists that wait for a connection to the database.", read)
    }

    /// Shows how many bytes wait to be written, which `read` knows.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_write_queue(
        &self,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        self.show(
            "write_queue_bytes",
            "Bytes of writes that wait for their commit; near --write-queue-bytes-max writers wait.",
            read,
        )
    }

    /// Shows how many values are not indexed by their time yet, which `read` knows.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_unindexed_values(
        &self,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        self.show(
            "unindexed_values",
            "Stored values that are not in the time index yet; at most --unindexed-values-max.",
            read,
        )
    }

    /// Shows how much memory subscriptions take, which `read` knows.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_subscription_bytes(
        &self,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        let help = "Bytes of memory that subscriptions count, durable sessions included.";
        self.show("subscription_bytes", help, read)
    }

    fn show(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        let name = format!("thng_pubsub_{name}");
        added(&self.registry, PullingGauge::new(name, help, Box::new(move || read() as f64))?).map(drop)
    }

    /// The Prometheus text of everything in the registry.
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut out)
            .expect("metrics that were registered can be written to memory");
        out
    }
}

/// Registers a collector.
fn added<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    #[cfg(test)]
    thng_pubsub_doc_tables::metrics::record(&collector);
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use thng_pubsub_doc_tables::{assert_documented, metrics};

    use super::*;

    #[test]
    fn every_metric_of_the_server_is_documented() {
        let metrics = Metrics::new().expect("a new registry");
        metrics.show_answer_bytes(|| 0).expect("the first time");
        metrics.show_scans_waiting(|| 0).expect("the first time");
        metrics.show_write_queue(|| 0).expect("the first time");
        metrics.show_subscription_bytes(|| 0).expect("the first time");
        metrics.show_unindexed_values(|| 0).expect("the first time");
        metrics::record(&ProcessCollector::for_self());
        assert_documented(
            "docs/operations.md",
            "## Metrics",
            &["metric", "type", "meaning"],
            metrics::recorded(),
        );
    }
}
