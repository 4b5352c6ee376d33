//! What the server counts. One registry, Prometheus text at `/metrics`; the bus registers its own beside these.
//!
//! Every name starts with `thng_pubsub_`, but for those of the process (`process_`), which all programs share. Nothing that a client chooses becomes a label.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    PullingGauge, Registry, TextEncoder, process_collector::ProcessCollector,
};

/// The server's counters, shared by everyone who counts.
#[derive(Debug)]
pub struct Metrics {
    pub registry: Registry,
    /// Open connections, by `protocol`.
    pub connections: IntGaugeVec,
    /// Connections that may be open: `--connections-max`, or fewer where the limit of open files allows fewer.
    pub connections_limit: IntGauge,
    /// Connections that were turned away, by `protocol` and `reason`.
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
    /// Subscriptions whose own key was taken away, by `protocol`.
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
    /// Durable sessions that were ended to make room for one of another key.
    pub sessions_evicted: IntCounter,
}

impl Metrics {
    /// Makes a registry with everything at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(format!("thng_pubsub_{name}"), help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let options = HistogramOpts::new(format!("thng_pubsub_{name}"), help).buckets(buckets);
            let histogram = Histogram::with_opts(options)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("thng_pubsub_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let connections =
            IntGaugeVec::new(Opts::new("thng_pubsub_connections", "Open connections."), &["protocol"])?;
        registry.register(Box::new(connections.clone()))?;
        let rate_limit_entries = IntGaugeVec::new(
            Opts::new("thng_pubsub_rate_limit_entries", "Keys and addresses that rate limits remember."),
            &["kind", "scope"],
        )?;
        registry.register(Box::new(rate_limit_entries.clone()))?;
        let commit_failures =
            IntCounter::new("thng_pubsub_commit_failures_total", "Operations that could not be stored.")?;
        registry.register(Box::new(commit_failures.clone()))?;
        let sessions_evicted = IntCounter::new(
            "thng_pubsub_sessions_evicted_total",
            "Durable sessions that were ended to make room for one of another key.",
        )?;
        registry.register(Box::new(sessions_evicted.clone()))?;
        let build = IntGaugeVec::new(
            Opts::new("thng_pubsub_build_info", "Always 1; the labels say what runs."),
            &["version", "arch"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), std::env::consts::ARCH]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            connections,
            connections_limit: gauge(
                "connections_limit",
                "Connections that may be open: --connections-max, or what the limit of open files allows.",
            )?,
            connections_refused: counters(
                "connections_refused_total",
                "Connections that were turned away.",
                &["protocol", "reason"],
            )?,
            tls_reloads: counters(
                "tls_reloads_total",
                "TLS certificates that were read again.",
                &["outcome"],
            )?,
            tls_certificate_expiry: gauge(
                "tls_certificate_expiry_timestamp_seconds",
                "When the first TLS certificate runs out, in seconds since the epoch; 0 without TLS.",
            )?,
            publishes: counters("publishes_total", "Publishes that were stored.", &["protocol"])?,
            publishes_refused: counters(
                "publishes_refused_total",
                "Publishes that were refused.",
                &["protocol", "reason"],
            )?,
            subscriptions_refused: counters(
                "subscriptions_refused_total",
                "Subscriptions that were refused.",
                &["protocol", "reason"],
            )?,
            subscriptions_revoked: counters(
                "subscriptions_revoked_total",
                "Subscriptions that ended because the key of their access_token was taken away.",
                &["protocol"],
            )?,
            deliveries: counters("deliveries_total", "Notifications handed to sockets.", &["protocol"])?,
            disconnects: counters("disconnects_total", "Connections that ended.", &["protocol", "reason"])?,
            requests: counters("http_requests_total", "REST requests.", &["status"])?,
            rate_limited: counters(
                "rate_limited_total",
                "What was too much for a rate limit.",
                &["kind", "scope"],
            )?,
            rate_limit_entries,
            clock_steps: counters(
                "clock_steps_total",
                "Times that the clock was set by more than five minutes.",
                &["direction"],
            )?,
            passwords_refused: counters(
                "passwords_refused_total",
                "Passwords that were not checked because too many waited.",
                &["bound"],
            )?,
            publishes_throttled: counters(
                "publishes_throttled_total",
                "Publishes that had to wait for their turn under a rate limit.",
                &["protocol"],
            )?,
            commit_batch_size: histogram(
                "commit_batch_size",
                "Operations in one commit.",
                prometheus::exponential_buckets(1.0, 2.0, 10)?,
            )?,
            commit_duration_seconds: histogram(
                "commit_duration_seconds",
                "Seconds that a commit took, answers included.",
                prometheus::exponential_buckets(0.000_1, 2.0, 14)?,
            )?,
            poll_duration_seconds: histogram(
                "poll_duration_seconds",
                "Seconds that a connection kept a thread of the runtime at a time.",
                prometheus::exponential_buckets(0.000_1, 2.0, 15)?,
            )?,
            command_duration_seconds: histogram(
                "command_duration_seconds",
                "Seconds that one command held the writer, before its commit.",
                prometheus::exponential_buckets(0.000_01, 2.0, 18)?,
            )?,
            reclaim_seconds: histogram(
                "reclaim_seconds",
                "Seconds of one step that frees what was deleted, its commit included.",
                prometheus::exponential_buckets(0.000_01, 2.0, 18)?,
            )?,
            commands_rejected: counters(
                "commands_rejected_total",
                "Commands that were rejected because they asked for more than one command may do.",
                &["bound"],
            )?,
            commit_failures,
            scans_refused: counters(
                "scans_refused_total",
                "Lists, totals and bulk changes that were refused for the cost of their scan.",
                &["bound"],
            )?,
            answers_limited: counters(
                "answers_limited_total",
                "HTTP answers for which too few of --answer-bytes-max were free.",
                &["outcome"],
            )?,
            scans_ended_early: counters(
                "scans_ended_early_total",
                "Scans that ended at a bound before their list did.",
                &["bound"],
            )?,
            sessions: gauge("sessions", "Durable sessions that are stored, connected or not.")?,
            session_queued_messages: gauge(
                "session_queued_messages",
                "Messages that are kept for durable sessions.",
            )?,
            session_queued_bytes: gauge(
                "session_queued_bytes",
                "Bytes of the messages that are kept for durable sessions.",
            )?,
            session_messages_dropped: counters(
                "session_messages_dropped_total",
                "Messages that were dropped though a durable session waited for them.",
                &["reason"],
            )?,
            sessions_evicted,
            registry,
        })
    }

    /// Shows how many scans wait for a turn, which `read` knows.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_answer_bytes(
        &self,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        let help = "Bytes of HTTP answers of more than 16 KiB that are in memory.";
        let gauge = PullingGauge::new("thng_pubsub_answer_bytes", help, Box::new(move || read() as f64))?;
        self.registry.register(Box::new(gauge))
    }

    /// Shows how many scans wait for a turn.
    pub fn show_scans_waiting(
        &self,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        let name = "thng_pubsub_scans_waiting";
        let gauge = PullingGauge::new(
            name,
            "Scans of lists that wait for a connection to the database.",
            Box::new(move || read() as f64),
        )?;
        self.registry.register(Box::new(gauge))
    }

    /// Shows how many bytes wait to be written, which `read` knows.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_write_queue(
        &self,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        self.show("write_queue_bytes", "Bytes of writes that wait for their commit.", read)
    }

    /// Shows how much memory subscriptions take, which `read` knows.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_subscription_bytes(
        &self,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        let help = "Memory of subscriptions, those of durable sessions included, in bytes.";
        self.show("subscription_bytes", help, read)
    }

    fn show(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        let name = format!("thng_pubsub_{name}");
        let gauge = PullingGauge::new(name, help, Box::new(move || read() as f64))?;
        self.registry.register(Box::new(gauge))
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
