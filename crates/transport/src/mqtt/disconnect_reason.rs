//! Why an MQTT connection ends.

use thng_pubsub_broker::BrokerError;

/// Why a connection ends. The text goes into the log, the name into the metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DisconnectReason {
    #[error("the client disconnected")]
    Disconnect,
    #[error("the connection was lost")]
    ConnectionLost,
    #[error("{0}")]
    Protocol(&'static str),
    #[error("a QoS 1 or 2 publish was refused: {0}")]
    PublishRefused(BrokerError),
    #[error("a publish came too often: {0}")]
    RateLimited(BrokerError),
    #[error("the client reads too slowly: a QoS 1 message did not fit into its queue")]
    SlowConsumer,
    #[error("nothing came for one and a half times the keep alive")]
    KeepAlive,
    #[error("its API key was revoked")]
    Revoked,
    #[error("its durable session was ended for one of another key: --sessions-max is reached")]
    SessionEvicted,
    #[error("the server cannot store or read what belongs to its session right now")]
    Unavailable,
    #[error("another connection with the same key and client id took over")]
    TakenOver,
    #[error("the server is stopping")]
    Stopping,
    #[error("no CONNECT came in time")]
    ConnectTimeout,
    #[error("CONNECT was refused: {0}")]
    ConnectRefused(&'static str),
}

impl DisconnectReason {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::ConnectionLost => "connection_lost",
            Self::Protocol(_) => "protocol",
            Self::PublishRefused(_) => "publish_refused",
            Self::RateLimited(_) => "rate_limited",
            Self::SlowConsumer => "slow_consumer",
            Self::KeepAlive => "keep_alive",
            Self::Revoked => "revoked",
            Self::SessionEvicted => "session_evicted",
            Self::Unavailable => "unavailable",
            Self::TakenOver => "taken_over",
            Self::Stopping => "stopping",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectRefused(_) => "connect_refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use thng_pubsub_broker::reasons;
    use thng_pubsub_doc_tables::assert_documented;

    use super::*;

    #[test]
    fn every_end_of_a_connection_is_documented() {
        let all = [
            DisconnectReason::Disconnect,
            DisconnectReason::ConnectionLost,
            DisconnectReason::Protocol("the client broke a rule of the protocol, which the log names"),
            DisconnectReason::PublishRefused(BrokerError::Unavailable),
            DisconnectReason::RateLimited(BrokerError::Unavailable),
            DisconnectReason::SlowConsumer,
            DisconnectReason::KeepAlive,
            DisconnectReason::Revoked,
            DisconnectReason::SessionEvicted,
            DisconnectReason::Unavailable,
            DisconnectReason::TakenOver,
            DisconnectReason::Stopping,
            DisconnectReason::ConnectTimeout,
            DisconnectReason::ConnectRefused("…"),
        ];
        let sample = format!(": {}", BrokerError::Unavailable);
        let rows = all.map(|end| {
            let cure = reasons::cure(end.reason()).expect("each reason has a cure");
            [format!("`{}`", end.reason()), end.to_string().replace(&sample, ": …"), cure.into()]
        });
        let columns = ["reason", "log text", "cure"];
        assert_documented("docs/errors.md", "### Ended MQTT connections", &columns, rows);
    }
}
