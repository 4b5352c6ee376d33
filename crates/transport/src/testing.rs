//! A context with ample limits, for the tests of transports.

use std::{sync::Arc, time::Duration};

use thng_pubsub_broker::{
    Services,
    log_throttle::LogThrottle,
    metrics::Metrics,
    pubsub::OutboundQueueLimits,
    rate::{FailedLogins, RateLimit},
};

use crate::{
    Context, Limits, OnRejectedPublish,
    least_rate::LeastRate,
    mqtt,
    origins::AllowedOrigins,
    rate_limits::{RateSettings, Rates},
};

const MINUTE: Duration = Duration::from_secs(60);

/// What connections share, in front of a broker.
pub(crate) fn context(services: Services, metrics: Arc<Metrics>) -> Context {
    let Services { pubsub, resources, identity, client_events } = services;
    Context {
        rates: Arc::new(Rates::new(&rates(), &metrics)),
        pubsub,
        resources,
        identity,
        client_events,
        metrics,
        limits: limits(),
        mqtt_sessions: mqtt::Sessions::default(),
        refusal_log: LogThrottle::new(),
        authority: None,
    }
}

fn limits() -> Limits {
    Limits {
        connect_timeout: MINUTE,
        http_idle_timeout: MINUTE,
        body_timeout: MINUTE,
        answer_rate: LeastRate { bytes_per_s: 1, window: MINUTE },
        websocket_ping_interval: MINUTE,
        initial_state_delay: Duration::ZERO,
        message_bytes_max: 1 << 20,
        mqtt_websocket_message_bytes_max: 1 << 20,
        body_bytes_max: 1 << 20,
        subscriptions_max: 1_000,
        publishes_in_flight_max: 100,
        deliveries_in_flight_max: 100,
        outbound_queue: OutboundQueueLimits { messages: 1_000, bytes: 1 << 20 },
        on_rejected_publish: OnRejectedPublish::Ack,
        allowed_origins: AllowedOrigins::Any,
    }
}

fn rates() -> RateSettings {
    RateSettings {
        request_rate_per_key: RateLimit::Off,
        request_rate_per_address: RateLimit::Off,
        publish_rate_per_key: RateLimit::Off,
        publish_rate_per_address: RateLimit::Off,
        connection_rate_per_key: RateLimit::Off,
        connection_rate_per_address: RateLimit::Off,
        failed_logins_per_address: FailedLogins { limit: RateLimit::Off, counts_private: true },
        entries_max: 1_000,
        publish_delay_max: MINUTE,
    }
}
