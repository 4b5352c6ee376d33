//! The metrics of the bus. Every name begins with `thng_pubsub_bus_`.
//!
//! | name | kind | what |
//! |---|---|---|
//! | `notifications_published_total` | counter | notifications accepted by `publish` |
//! | `deliveries_total` | counter | notifications put into outbound queues |
//! | `dropped_total{reason}` | counter | `outbound_queue_full`: deliveries at QoS 0 that did not fit; `stopped`: notifications published after the stop |
//! | `slow_consumers_total` | counter | sessions that must end, because a delivery at QoS 1 did not fit |
//! | `subscriptions` | gauge | routes in the tables |
//! | `credit_bytes_in_use` | gauge | bytes on the way between publisher and dispatchers |
//! | `pending_bytes` | gauge | bytes waiting for credit |
//! | `gaps_total` | counter | sequence numbers missing when a later one arrived: a defect, alarm on it |
//! | `duplicates_total` | counter | notifications that arrived again and were skipped |
//! | `malformed_total` | counter | parcels that were no envelope: a defect |
//! | `rebuilds_total` | counter | buses that died and were replaced |
//! | `probe_round_trip_seconds` | gauge | of the last complete probe round |
//! | `outbound_queue_messages`, `outbound_queue_bytes` | gauge | what waits for clients, of all sessions together |
//! | `dispatch_batch_size` | histogram | notifications that a dispatcher worked off at once |

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
                opts("dropped_total", "Notifications that were dropped, by reason."),
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
        pulled("outbound_queue_messages", "Deliveries that wait for clients, of all sessions.", || {
            QUEUE_TOTALS.messages()
        })?;
        pulled("outbound_queue_bytes", "Their bytes.", || QUEUE_TOTALS.bytes())?;
        Ok(Self {
            published: counter("notifications_published_total", "Notifications accepted for publishing.")?,
            delivered: counter(
                "deliveries_total",
                "Notifications put into the outbound queues of sessions.",
            )?,
            dropped_queue_full: dropped.with_label_values(&["outbound_queue_full"]),
            dropped_stopped: dropped.with_label_values(&["stopped"]),
            overflowed: counter("slow_consumers_total", "Sessions that fell behind at QoS 1.")?,
            subscriptions: gauge("subscriptions", "Routes in the subscription tables.")?,
            credit_bytes_in_use: gauge("credit_bytes_in_use", "Bytes on the way to the dispatchers.")?,
            pending_bytes: gauge("pending_bytes", "Bytes waiting for credit.")?,
            gaps: counter("gaps_total", "Sequence numbers that were missing on the bus.")?,
            duplicates: counter("duplicates_total", "Notifications that arrived again and were skipped.")?,
            malformed: counter("malformed_total", "Parcels that were no envelope.")?,
            rebuilds: counter("rebuilds_total", "Buses that died and were replaced.")?,
            probe_round_trip: added(
                registry,
                Gauge::with_opts(opts("probe_round_trip_seconds", "Round trip of the last probe round."))?,
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
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
