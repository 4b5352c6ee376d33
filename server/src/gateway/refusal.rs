//! Why the gateway says no, in terms of no protocol. Each edge has one function that puts it on its wire.

use thng_pubsub_protocol::{
    payload::{ErrorCode, ErrorDocument, PayloadError},
    topic::TopicError,
    wanted::WATCH_ONLY,
};

use crate::{
    domain::{OperationError, writer::Stopping},
    rate::Exceeded,
};

/// A refusal: what kind it is, and what to tell whoever caused it. It never repeats keys, topics or payloads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// No key came.
    #[error("no API key was sent")]
    NoKey,
    /// The key is malformed, unknown or revoked.
    #[error("the API key is not known")]
    UnknownKey,
    /// Email and password do not fit, or the user was not validated.
    #[error("the login was refused")]
    BadLogin,
    /// The key may not do this on this path.
    #[error("the API key may not do this")]
    Forbidden,
    /// It collides with something that exists.
    #[error("{0}")]
    Conflict(String),
    /// There is no such resource, or not for this key.
    #[error("the resource does not exist, or not for this API key")]
    NotFound,
    /// The text is no topic.
    #[error("{0}")]
    NotATopic(TopicError),
    /// The topic can be watched, not written.
    #[error("this topic can be subscribed to, but not published on")]
    WatchOnly,
    /// The request or its payload cannot be what it says; one sentence a fault.
    #[error("{}", .0.join(" "))]
    Invalid(Vec<String>),
    /// As much stands on the key as may.
    #[error("too many connections and subscriptions of this API key: --held-per-key-max is reached")]
    TooManyOfKey,
    /// The session, or all durable ones together, have as many subscriptions as they may.
    #[error("too many subscriptions: --subscriptions-max or --session-subscriptions-max is reached")]
    TooManySubscriptions,
    /// There are as many durable sessions as there may be.
    #[error("too many durable sessions: --sessions-max or --sessions-per-key-max is reached")]
    TooManySessions,
    /// It comes more often than it may.
    #[error("{0}")]
    TooOften(Exceeded),
    /// It cannot be stored or read right now.
    #[error("the server cannot store or read right now")]
    Unavailable,
}

impl Refusal {
    /// One thing that is wrong with what was sent.
    pub(crate) fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(vec![sentence.into()])
    }

    /// A name for metrics and logs; a closed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::UnknownKey => "unknown_key",
            Self::NotFound => "not_found",
            Self::NotATopic(_) => "not_a_topic",
            Self::BadLogin => "bad_login",
            Self::Forbidden => "forbidden",
            Self::Conflict(_) => "conflict",
            Self::WatchOnly => "watch_only",
            Self::Invalid(_) => "invalid",
            Self::TooManyOfKey => "too_many_of_key",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::TooManySessions => "too_many_sessions",
            Self::TooOften(_) => "rate_limited",
            Self::Unavailable => "unavailable",
        }
    }

    /// The document that REST and WebSocket clients get.
    pub(crate) fn document(&self) -> ErrorDocument {
        let one = |code, sentence: &str| ErrorDocument::new(code, vec![sentence.into()]);
        match self {
            Self::NoKey => one(
                ErrorCode::NO_KEY,
                "An API key is required: send it in the Authorization header or as ?access_token=.",
            ),
            Self::UnknownKey => one(ErrorCode::UNKNOWN_KEY, "The API key is not valid."),
            Self::NotFound => one(ErrorCode::NOT_FOUND, "The requested resource was not found."),
            Self::NotATopic(TopicError::Option(_) | TopicError::RepeatedOption) => {
                one(ErrorCode::INVALID, &format!("{self}."))
            }
            Self::NotATopic(error) => one(ErrorCode::NOT_FOUND, &format!("This is no topic: {error}.")),
            Self::BadLogin => {
                one(ErrorCode::BAD_LOGIN, "Email and password do not fit, or the user was not validated yet.")
            }
            Self::Forbidden => one(
                ErrorCode::FORBIDDEN,
                "The API key may not do this. Use one whose role or policies allow it.",
            ),
            Self::Conflict(sentence) => one(ErrorCode::CONFLICT, sentence),
            Self::WatchOnly => one(ErrorCode::METHOD, WATCH_ONLY),
            Self::Invalid(sentences) => ErrorDocument::new(ErrorCode::INVALID, sentences.clone()),
            Self::TooManyOfKey => one(
                ErrorCode::TOO_MANY,
                "This API key has as many connections as it may have at a time. Close some, or use another key.",
            ),
            Self::TooManySubscriptions => one(
                ErrorCode::TOO_MANY,
                "This session has as many subscriptions as it may have. End some, or open another connection.",
            ),
            Self::TooManySessions => one(
                ErrorCode::TOO_MANY,
                "There are as many durable sessions as there may be. Connect with clean session 1.",
            ),
            Self::TooOften(exceeded) => one(ErrorCode::TOO_MANY, &exceeded.sentence()),
            Self::Unavailable => one(
                ErrorCode::UNAVAILABLE,
                "The server cannot store or read right now. Nothing was changed; try again shortly.",
            ),
        }
    }
}

impl From<PayloadError> for Refusal {
    fn from(error: PayloadError) -> Self {
        Self::Invalid(error.0)
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::NotATopic(error)
    }
}

impl From<OperationError> for Refusal {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::NotFound => Self::NotFound,
            OperationError::Invalid(sentences) => Self::Invalid(sentences),
            OperationError::Conflict(sentence) => Self::Conflict(sentence),
            OperationError::TooManySubscriptions => Self::TooManySubscriptions,
            // The writer has logged it.
            OperationError::Store(_) => Self::Unavailable,
        }
    }
}

impl From<Stopping> for Refusal {
    fn from(_: Stopping) -> Self {
        Self::Unavailable
    }
}
