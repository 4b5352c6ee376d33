//! Why a call did not do what it was asked to: stable codes, with what is needed to say it in a sentence.
//!
//! The sentences are in `npm/src/errors.js`, beside the codes that only JavaScript raises, so that they can be read
//! (and translated) in one place; a test holds the two lists together.

/// The kinds of failure. The names are part of the package's interface: they are documented and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// CONNACK 4 or 5: the server does not know the key, or does not let it in.
    Unauthorized,
    /// CONNACK 1 or 2: the server does not accept the protocol level or the client identifier.
    ConnectRefused,
    /// CONNACK 3: the server is there but does not serve at the moment.
    ServerUnavailable,
    /// The connection ended before the server accepted it.
    Handshake,
    /// The server did not answer in time.
    Timeout,
    /// The connection ended after it was accepted.
    ConnectionLost,
    /// The server sent what is not MQTT 3.1.1.
    Protocol,
    /// The server does not let this key subscribe to the topic, or there is no such resource.
    SubscribeRefused,
    /// The server closes the connection instead of acknowledging this publish.
    PublishRefused,
    /// The topic cannot be sent.
    InvalidTopic,
    /// Too many publishes are waiting for a connection.
    QueueFull,
    /// Unsubscribed before the server had answered the subscribe.
    Unsubscribed,
    /// The program gave the publish up before it was sent.
    Aborted,
    /// The session was closed by the program.
    Closed,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 14] = [
        Self::Unauthorized,
        Self::ConnectRefused,
        Self::ServerUnavailable,
        Self::Handshake,
        Self::Timeout,
        Self::ConnectionLost,
        Self::Protocol,
        Self::SubscribeRefused,
        Self::PublishRefused,
        Self::InvalidTopic,
        Self::QueueFull,
        Self::Unsubscribed,
        Self::Aborted,
        Self::Closed,
    ];

    /// The code as JavaScript sees it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "UNAUTHORIZED",
            Self::ConnectRefused => "CONNECT_REFUSED",
            Self::ServerUnavailable => "SERVER_UNAVAILABLE",
            Self::Handshake => "HANDSHAKE",
            Self::Timeout => "TIMEOUT",
            Self::ConnectionLost => "CONNECTION_LOST",
            Self::Protocol => "PROTOCOL",
            Self::SubscribeRefused => "SUBSCRIBE_REFUSED",
            Self::PublishRefused => "PUBLISH_REFUSED",
            Self::InvalidTopic => "INVALID_TOPIC",
            Self::QueueFull => "QUEUE_FULL",
            Self::Unsubscribed => "UNSUBSCRIBED",
            Self::Aborted => "ABORTED",
            Self::Closed => "CLOSED",
        }
    }
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub code: Code,
    /// Which topic it is about; none when it is about the connection.
    pub topic: Option<String>,
    /// What the other side said, or which rule was broken; empty when the code says it all.
    pub detail: String,
}

impl Failure {
    /// A failure that is about the connection.
    pub(crate) fn new(code: Code) -> Self {
        Self { code, topic: None, detail: String::new() }
    }

    pub(crate) fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::new(code) }
    }

    /// The same failure, said of one topic.
    pub(crate) fn of_topic(mut self, topic: &str) -> Self {
        self.topic = Some(topic.into());
        self
    }
}
