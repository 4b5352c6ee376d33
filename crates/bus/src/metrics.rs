//! Metrics of the bus. Every name begins with `thng_pubsub_bus_`.

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, PullingGauge, Registry,
    core::Collector,
};

use super::outbound_queue::QUEUE_TOTALS;

/// The bus's metrics; cheap to clone. They are counted per batch, never per delivery.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) published: IntCounter,
    pub(super) delivered: IntCounter,
    pub(super) dropped_queue_full: IntCounter,
    pub(super) dropped_stopped: IntCounter,
    pub(super) overflowed: IntCounter,
    pub(super) subscriptions: IntGauge,
    pub(super) credit_bytes_in_use: IntGauge,
    pub(super) pending_bytes: IntGauge,
    pub(super) gaps: IntCounter,
    pub(super) duplicates: IntCounter,
    pub(super) malformed: IntCounter,
    pub(super) rebuilds: IntCounter,
    pub(super) probe_round_trip: Gauge,
    pub(super) batch: Histogram,
}

impl Metrics {
    /// # Errors
    /// If one of the names is registered already.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| added(registry, IntCounter::with_opts(opts(name, help))?);
        let gauge = |name: &str, help: &str| added(registry, IntGauge::with_opts(opts(name, help))?);
        let dropped = added(
            registry,
            IntCounterVec::new(
                opts(
                    "dropped_total",
                    "Deliveries at QoS 0 to slow consumers (outbound_queue_full), and notifications after the bus was stopped (stopped).",
                ),
                &["reason"],
            )?,
        )?;
        let batch =
            HistogramOpts::new("dispatch_batch_size", "Notifications that a dispatcher handled at once.")
                .namespace(NAMESPACE)
                .buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]);
        let pulled = |name: &str, help: &str, read: fn() -> i64| {
            let name = format!("{NAMESPACE}_{name}");
            added(registry, PullingGauge::new(name, help, Box::new(move || read() as f64))?).map(drop)
        };
        pulled(
            "outbound_queue_messages",
            "Deliveries that wait for clients, in the queues of all connections.",
            || QUEUE_TOTALS.messages(),
        )?;
        pulled("outbound_queue_bytes", "Bytes of the deliveries that wait for clients.", || {
            QUEUE_TOTALS.bytes()
        })?;
        Ok(Self {
            published: counter("notifications_published_total", "Notifications that the bus accepted.")?,
            delivered: counter(
                "deliveries_total",
                "Deliveries that were put into the queues of connections.",
            )?,
            dropped_queue_full: dropped.with_label_values(&["outbound_queue_full"]),
            dropped_stopped: dropped.with_label_values(&["stopped"]),
            overflowed: counter(
                "slow_consumers_total",
                "Connections that ended because a delivery at QoS 1 did not fit into their queue.",
            )?,
            subscriptions: gauge("subscriptions", "Subscriptions in the tables of the bus.")?,
            credit_bytes_in_use: gauge(
                "credit_bytes_in_use",
                "Bytes between the writer and the dispatchers.",
            )?,
            pending_bytes: gauge(
                "pending_bytes",
                "Bytes that wait for credit; near 8 MiB writers are slowed down.",
            )?,
            gaps: counter("gaps_total", "Sequence numbers that were missing on the bus: a defect.")?,
            duplicates: counter(
                "duplicates_total",
                "Notifications that came again after a rebuild and were skipped.",
            )?,
            malformed: counter("malformed_total", "Envelopes that could not be read: a defect.")?,
            rebuilds: counter("rebuilds_total", "Routers of the bus that died and were replaced.")?,
            probe_round_trip: added(
                registry,
                Gauge::with_opts(opts(
                    "probe_round_trip_seconds",
                    "Seconds of the last probe through every partition of the bus.",
                ))?,
            )?,
            batch: added(registry, Histogram::with_opts(batch)?)?,
        })
    }
}

const NAMESPACE: &str = "thng_pubsub_bus";

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

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
    fn every_metric_of_the_bus_is_documented() {
        Metrics::register(&Registry::new()).expect("a new registry");
        let columns = ["metric", "type", "meaning"];
        assert_documented("docs/operations.md", "### The notification bus", &columns, metrics::recorded());
    }
}
