//! Reports what happens to a client: each call writes the log, the metrics and the journal of client events.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use prometheus::IntCounterVec;

use super::{
    Context, addresses,
    logged_error::{LoggedError, shown},
};
use thng_pubsub_broker::{
    BrokerError,
    client_events::{Activity, ClientEvent, ClientEvents, EventKind, EventOwner},
    log_throttle::LogThrottle,
    metrics::Metrics,
};

/// The client that a report is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client<'c> {
    pub(super) protocol: &'static str,
    pub(super) address: IpAddr,
    /// Of MQTT.
    pub(super) client_id: Option<&'c str>,
}

/// What a client was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Connect,
    Upgrade,
    Request,
    Subscription,
    /// A subscription whose own key was revoked.
    EndedSubscription,
    Publish,
    IgnoredWill,
    Will,
    /// A will that was authorized at CONNECT, and no longer is.
    UnpublishedWill,
    InitialState,
    SessionSave,
}

impl Refused {
    /// What the log says.
    fn text(self) -> &'static str {
        match self {
            Self::Connect => "a CONNECT was refused",
            Self::Upgrade => "an upgrade was refused",
            Self::Request => "a request was refused",
            Self::Subscription => "a subscription was refused",
            Self::EndedSubscription => "subscription ended: its access_token was revoked",
            Self::Publish => "a publish was refused",
            Self::IgnoredWill => "a will was ignored",
            Self::Will => "a will was refused",
            Self::UnpublishedWill => "a will was not published",
            Self::InitialState => "an initial state was refused",
            Self::SessionSave => "a session was not saved",
        }
    }

    fn activity(self) -> Activity {
        match self {
            Self::Connect => Activity::Connect,
            Self::Upgrade => Activity::Upgrade,
            Self::Request => Activity::Request,
            Self::Subscription | Self::EndedSubscription => Activity::Subscribe,
            Self::Publish => Activity::Publish,
            Self::IgnoredWill | Self::Will | Self::UnpublishedWill => Activity::Will,
            Self::InitialState => Activity::Deliver,
            Self::SessionSave => Activity::Session,
        }
    }

    fn kind(self) -> EventKind {
        if self == Self::EndedSubscription { EventKind::Revoked } else { EventKind::Refused }
    }

    /// The counter of such refusals, and its word for the reason.
    fn counter(self, metrics: &Metrics, refusal: &BrokerError) -> Option<(IntCounterVec, &'static str)> {
        let reason = refusal.reason();
        match self {
            Self::Connect => Some((metrics.connections_refused.clone(), reason)),
            // A key that was not even checked may come again; every other will stays refused.
            Self::Will if matches!(refusal, BrokerError::TooOften(_)) => {
                Some((metrics.connections_refused.clone(), reason))
            }
            Self::Will => Some((metrics.connections_refused.clone(), "will")),
            Self::Upgrade | Self::Subscription => Some((metrics.subscriptions_refused.clone(), reason)),
            Self::Publish => Some((metrics.publishes_refused.clone(), reason)),
            Self::Request
            | Self::EndedSubscription
            | Self::IgnoredWill
            | Self::UnpublishedWill
            | Self::InitialState
            | Self::SessionSave => None,
        }
    }

    /// Whether the log has a line of its own: the end of a connection has one with the reason, and few requests are worth
    /// a line.
    fn is_logged(self, refusal: &BrokerError) -> bool {
        match self {
            Self::Connect | Self::Request => {
                matches!(refusal, BrokerError::TooOften(_) | BrokerError::PasswordQueueFull)
            }
            _ => true,
        }
    }
}

impl Context {
    /// Reports that a client was refused something.
    pub(super) fn report_refusal(&self, client: Client<'_>, refused: Refused, rejected: &LoggedError) {
        let LoggedError { refusal, owner, topic } = rejected;
        let (protocol, reason) = (client.protocol, refusal.reason());
        if let Some((counter, reason)) = refused.counter(&self.metrics, refusal) {
            counter.with_label_values(&[protocol, reason]).inc();
        }
        self.record(
            client,
            refused.kind(),
            refused.activity(),
            |event| {
                event.reason = Some(reason);
                event.owner = *owner;
                event.topic = topic.as_deref();
            },
            Some(&refusal.to_string()),
        );
        if !refused.is_logged(refusal) {
            return;
        }
        let Some(suppressed) = self.refusal_log.admit() else { return };
        let what = refused.text();
        let key = owner.actor.map(|actor| tracing::field::display(actor.id()));
        let has_address = matches!(refused, Refused::Connect | Refused::Request);
        let address = has_address.then(|| tracing::field::display(client.address));
        let topic = topic.as_deref();
        tracing::info!(protocol, reason, address, key, topic, suppressed, "{what}: {refusal}");
    }

    /// Reports that a CONNECT breaks a rule that no key can change.
    pub(super) fn report_unacceptable(&self, client: Client<'_>, reason: &'static str, sentence: &str) {
        self.metrics.connections_refused.with_label_values(&[client.protocol, reason]).inc();
        self.record(
            client,
            EventKind::Refused,
            Activity::Connect,
            |event| event.reason = Some(reason),
            Some(sentence),
        );
    }

    /// Reports a connection that is established.
    pub(super) fn report_connected(&self, client: Client<'_>, owner: EventOwner) {
        self.record(client, EventKind::Connected, Activity::Connect, |event| event.owner = owner, None);
    }

    /// Reports the end of a connection, with its reason and what the log says of it.
    pub(super) fn report_end(
        &self,
        client: Client<'_>,
        owner: EventOwner,
        reason: &'static str,
        sentence: &str,
    ) {
        self.metrics.disconnects.with_label_values(&[client.protocol, reason]).inc();
        // Its refusal has an event of its own.
        if reason == "connect_refused" {
            return;
        }
        let kind = match reason {
            "taken_over" => EventKind::TakenOver,
            "revoked" => EventKind::Revoked,
            _ => EventKind::Disconnected,
        };
        self.record(
            client,
            kind,
            Activity::Connect,
            |event| {
                event.reason = Some(reason);
                event.owner = owner;
            },
            Some(sentence),
        );
    }

    /// Reports that a publish waits for its turn.
    pub(super) fn report_throttled(&self, client: Client<'_>, owner: EventOwner) {
        self.metrics.publishes_throttled.with_label_values(&[client.protocol]).inc();
        self.record(
            client,
            EventKind::Throttled,
            Activity::Publish,
            |event| {
                event.reason = Some("rate_limited");
                event.owner = owner;
            },
            Some("publishes come faster than their rate limit and wait for their turn"),
        );
    }

    /// Reports deliveries at QoS 0 that a full outbound queue has dropped, which the bus has counted and logged.
    pub(super) fn report_dropped(&self, client: Client<'_>, owner: EventOwner, count: u64) {
        if count == 0 {
            return;
        }
        self.record(
            client,
            EventKind::Dropped,
            Activity::Deliver,
            |event| {
                event.reason = Some("slow_consumer");
                event.owner = owner;
                event.count = count;
            },
            Some("the client reads too slowly: QoS 0 messages did not fit into its queue"),
        );
    }

    fn record<'e>(
        &self,
        client: Client<'_>,
        kind: EventKind,
        activity: Activity,
        complete: impl FnOnce(&mut ClientEvent<'e>),
        sentence: Option<&str>,
    ) {
        // What could be a key is shown nowhere, also where it came as a client id.
        let client_id = client.client_id.filter(|id| !id.is_empty()).map(shown);
        let mut event = ClientEvent::new(kind, activity, client.protocol, Some(client.address));
        complete(&mut event);
        self.client_events.record(&ClientEvent { client_id: client_id.as_deref(), sentence, ..event });
    }
}

/// Reports connections that are refused before their protocol begins.
#[derive(Debug, Clone)]
pub struct ConnectionReports {
    pub metrics: Arc<Metrics>,
    /// For log lines about rejected connections.
    pub log: Arc<LogThrottle>,
    pub client_events: Arc<ClientEvents>,
}

impl ConnectionReports {
    /// Counts and records a refusal; says whether it is logged, and how many lines were left out before.
    pub(super) fn refused(
        &self,
        protocol: &'static str,
        peer: SocketAddr,
        reason: &'static str,
        sentence: &str,
    ) -> Option<u64> {
        self.metrics.connections_refused.with_label_values(&[protocol, reason]).inc();
        let address = Some(addresses::network(peer.ip()));
        let event = ClientEvent::new(EventKind::Refused, Activity::Connect, protocol, address);
        self.client_events.record(&ClientEvent { reason: Some(reason), sentence: Some(sentence), ..event });
        self.log.admit()
    }
}
