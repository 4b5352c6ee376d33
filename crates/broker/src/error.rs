//! Refusals and failures, in terms of no protocol. Each transport has one function that renders them.

use thng_pubsub_protocol::{
    payload::{ErrorCode, ErrorDocument, PayloadError},
    publish::SUBSCRIBE_ONLY,
    topic::TopicError,
};

use crate::{auth::policy::AuthzError, commands::CommandError, rate::Exceeded};
use thng_pubsub_store::{StoreError, subscriptions::SubscriptionBound};

/// A bound of subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionsBound {
    /// Of one session.
    Session,
    /// Of all durable sessions.
    Durable,
    /// Memory of one key.
    KeyMemory,
    /// Memory of one account.
    AccountMemory,
    /// Memory of all.
    Memory,
}

impl SubscriptionsBound {
    /// The setting that says how much it is.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Session => "--subscriptions-max",
            Self::Durable => "--session-subscriptions-max",
            Self::KeyMemory => "--subscription-bytes-per-key-max",
            Self::AccountMemory => "--subscription-bytes-per-account-max",
            Self::Memory => "--subscription-bytes-max",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Session | Self::Durable => "too_many_subscriptions",
            Self::KeyMemory => "subscription_memory_per_key",
            Self::AccountMemory => "subscription_memory_per_account",
            Self::Memory => "subscription_memory",
        }
    }

    /// For the client.
    fn sentence(self) -> &'static str {
        match self {
            Self::Session => {
                "This session has as many subscriptions as it may have. End some, or open another connection."
            }
            Self::Durable => {
                "Durable sessions have as many subscriptions as they may have. Connect with clean session 1."
            }
            Self::KeyMemory => {
                "The subscriptions of this API key take as much memory as they may. End some, or use another key."
            }
            Self::AccountMemory => {
                "The subscriptions of this account take as much memory as they may. End some of them."
            }
            Self::Memory => {
                "All subscriptions of this server take as much memory as they may. Try again later."
            }
        }
    }
}

impl From<SubscriptionBound> for BrokerError {
    fn from(bound: SubscriptionBound) -> Self {
        Self::TooManySubscriptions(match bound {
            SubscriptionBound::Key => SubscriptionsBound::KeyMemory,
            SubscriptionBound::Account => SubscriptionsBound::AccountMemory,
            SubscriptionBound::Total => SubscriptionsBound::Memory,
        })
    }
}

/// A refusal: its kind, and a sentence for the client that caused it. It never repeats keys, topics or payloads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// No key came.
    #[error("no API key was sent")]
    NoKey,
    /// The key is malformed, unknown or revoked.
    #[error("the API key is not known")]
    InvalidKey,
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
    InvalidTopic(TopicError),
    /// Clients can subscribe to the topic, but not publish to it.
    #[error("this topic can be subscribed to, but not published on")]
    SubscribeOnly,
    /// The request or its payload cannot be what it says; one sentence a fault.
    #[error("{}", .0.join(" "))]
    Invalid(Vec<String>),
    /// The key has as many leases as it may.
    #[error("too many connections and subscriptions of this API key: --connections-per-key-max is reached")]
    ConnectionLimitPerKey,
    /// There are as many subscriptions as a bound allows.
    #[error("too many subscriptions: {} is reached", .0.setting())]
    TooManySubscriptions(SubscriptionsBound),
    /// There are as many durable sessions as there may be, and none of a key that holds more.
    #[error("too many durable sessions: --sessions-max or --sessions-per-key-max is reached")]
    TooManySessions,
    /// As many passwords wait to be checked as may.
    #[error("too many passwords wait to be checked: --password-queue-max is reached")]
    PasswordQueueFull,
    /// More lists wait for the database than may, and this key has the most of them.
    #[error("too many lists wait for the database: --scan-queue-max is reached")]
    TooManyScans,
    /// The answers of the account, or all answers, occupy as much memory as they may.
    #[error("too many answers wait for their clients: --answer-bytes-max is reached")]
    TooManyAnswerBytes,
    /// More inputs of batch tasks wait to be read than may, and this key has the most of them.
    #[error("too many batch tasks wait to be checked")]
    TooManyTasks,
    /// It comes more often than it may.
    #[error("{0}")]
    TooOften(Exceeded),
    /// It cannot be stored or read right now.
    #[error("the server cannot store or read right now")]
    Unavailable,
    /// The same, when the first steps of so many resources are stored.
    #[error("the server cannot store the rest of a call of several steps")]
    StoppedPartway(usize),
    /// The refusal of a later step of a call, when the steps before it have changed so many resources.
    #[error("{refusal}")]
    RefusedPartway { refusal: Box<BrokerError>, changed: usize },
}

/// What follows the refusal of a command that would do too much. It is a sentence of its own, since it is not true of a
/// later step.
const NOTHING_CHANGED: &str = "Nothing was changed.";

/// What the steps before a refused one have done.
fn changed_before(changed: usize) -> String {
    let (resources, are) = if changed == 1 { ("resource", "is") } else { ("resources", "are") };
    format!("{changed} {resources} of this call {are} changed already.")
}

/// How long a refusal lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Persistence {
    /// The same request is refused again.
    Final,
    /// The same request can succeed later.
    Temporary,
}

impl BrokerError {
    /// One thing that is wrong with what was sent.
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(vec![sentence.into()])
    }

    /// The same refusal of a later step of a call, whose earlier steps have changed so many resources.
    pub(crate) fn after_steps(self, changed: usize) -> Self {
        match self {
            error if changed == 0 => error,
            Self::Unavailable => Self::StoppedPartway(changed),
            Self::StoppedPartway(before) => Self::StoppedPartway(before + changed),
            Self::RefusedPartway { refusal, changed: before } => {
                Self::RefusedPartway { refusal, changed: before + changed }
            }
            refusal => Self::RefusedPartway { refusal: Box::new(refusal), changed },
        }
    }

    /// A name for metrics and logs; a closed set.
    pub fn reason(&self) -> &'static str {
        self.row().0
    }

    /// Whether the same request can succeed later, without a change to it or to the rights of its key.
    pub fn is_temporary(&self) -> bool {
        match self.row().1 {
            Persistence::Final => false,
            Persistence::Temporary => true,
        }
    }

    /// The reason table: the name of each reason, and how long it lasts.
    fn row(&self) -> (&'static str, Persistence) {
        match self {
            Self::NoKey => ("no_key", Persistence::Final),
            Self::InvalidKey => ("invalid_key", Persistence::Final),
            Self::NotFound => ("not_found", Persistence::Final),
            Self::InvalidTopic(_) => ("invalid_topic", Persistence::Final),
            Self::BadLogin => ("bad_login", Persistence::Final),
            Self::Forbidden => ("forbidden", Persistence::Final),
            Self::Conflict(_) => ("conflict", Persistence::Final),
            Self::SubscribeOnly => ("subscribe_only", Persistence::Final),
            Self::Invalid(_) => ("invalid", Persistence::Final),
            Self::ConnectionLimitPerKey => ("connection_limit_per_key", Persistence::Temporary),
            Self::TooManySubscriptions(bound) => (bound.reason(), Persistence::Temporary),
            Self::TooManySessions => ("too_many_sessions", Persistence::Temporary),
            Self::PasswordQueueFull => ("password_queue_full", Persistence::Temporary),
            Self::TooManyScans => ("scan_queue_full", Persistence::Temporary),
            Self::TooManyAnswerBytes => ("answer_memory", Persistence::Temporary),
            Self::TooManyTasks => ("task_queue_full", Persistence::Temporary),
            Self::TooOften(_) => ("rate_limited", Persistence::Temporary),
            Self::Unavailable => ("unavailable", Persistence::Temporary),
            Self::StoppedPartway(_) => ("stopped_partway", Persistence::Temporary),
            Self::RefusedPartway { refusal, .. } => refusal.row(),
        }
    }

    /// The document that REST and WebSocket clients get.
    pub fn document(&self) -> ErrorDocument {
        let one = |code, sentence: &str| ErrorDocument::new(code, vec![sentence.into()]);
        match self {
            Self::NoKey => one(
                ErrorCode::NO_KEY,
                "An API key is required: send it in the Authorization header or as ?access_token=.",
            ),
            Self::InvalidKey => one(ErrorCode::INVALID_KEY, "The API key is not valid."),
            Self::NotFound => one(ErrorCode::NOT_FOUND, "The requested resource was not found."),
            Self::InvalidTopic(TopicError::Option(_) | TopicError::RepeatedOption) => {
                one(ErrorCode::INVALID, &format!("{self}."))
            }
            Self::InvalidTopic(error) => one(ErrorCode::NOT_FOUND, &format!("This is no topic: {error}.")),
            Self::BadLogin => {
                one(ErrorCode::BAD_LOGIN, "Email and password do not fit, or the user was not validated yet.")
            }
            Self::Forbidden => one(
                ErrorCode::FORBIDDEN,
                "The API key may not do this. Use one whose role or policies allow it.",
            ),
            Self::Conflict(sentence) => one(ErrorCode::CONFLICT, sentence),
            Self::SubscribeOnly => one(ErrorCode::METHOD, SUBSCRIBE_ONLY),
            Self::Invalid(sentences) => ErrorDocument::new(ErrorCode::INVALID, sentences.clone()),
            Self::ConnectionLimitPerKey => one(
                ErrorCode::TOO_MANY,
                "This API key has as many connections as it may have at a time. Close some, or use another key.",
            ),
            Self::TooManySubscriptions(bound) => one(ErrorCode::TOO_MANY, bound.sentence()),
            Self::TooManySessions => one(
                ErrorCode::TOO_MANY,
                "There are as many durable sessions as there may be. Connect with clean session 1.",
            ),
            Self::PasswordQueueFull => one(
                ErrorCode::TOO_MANY,
                "Too many passwords are being checked right now. Try again in a second.",
            ),
            Self::TooManyScans => one(
                ErrorCode::UNAVAILABLE,
                "Too many lists wait for the database, many of them of this API key or account (--scan-queue-max). Try \
                 again shortly, and fewer at a time.",
            ),
            Self::TooManyAnswerBytes => one(
                ErrorCode::UNAVAILABLE,
                "Too many bytes of answers wait for their clients, many of them of this account (--answer-bytes-max). Read \
                 answers faster, ask for smaller pages, or try again shortly.",
            ),
            Self::TooManyTasks => one(
                ErrorCode::UNAVAILABLE,
                "Too many batch tasks wait to be checked, many of them of this API key or account. Try again shortly, and \
                 fewer at a time.",
            ),
            Self::TooOften(exceeded) => one(ErrorCode::TOO_MANY, &exceeded.sentence()),
            Self::Unavailable => one(
                ErrorCode::UNAVAILABLE,
                "The server cannot store or read right now. Nothing was changed; try again shortly.",
            ),
            Self::StoppedPartway(changed) => one(
                ErrorCode::UNAVAILABLE,
                &format!(
                    "The server cannot store right now. {} Repeat it shortly for the rest.",
                    changed_before(*changed)
                ),
            ),
            Self::RefusedPartway { refusal, changed } => {
                let mut document = refusal.document();
                document.errors.retain(|sentence| sentence != NOTHING_CHANGED);
                document.errors.push(changed_before(*changed));
                document
            }
        }
    }
}

impl From<PayloadError> for BrokerError {
    fn from(error: PayloadError) -> Self {
        Self::Invalid(error.0)
    }
}

impl From<TopicError> for BrokerError {
    fn from(error: TopicError) -> Self {
        Self::InvalidTopic(error)
    }
}

impl From<CommandError> for BrokerError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotFound => Self::NotFound,
            CommandError::Invalid(sentences) => Self::Invalid(sentences),
            CommandError::BeyondBound { sentence, .. } => {
                Self::Invalid(vec![sentence, NOTHING_CHANGED.into()])
            }
            CommandError::Conflict(sentence) => Self::Conflict(sentence),
            CommandError::TooManySubscriptions => Self::TooManySubscriptions(SubscriptionsBound::Durable),
            // The writer has logged a failure of the store.
            CommandError::Store(_) | CommandError::Stopping => Self::Unavailable,
        }
    }
}

impl From<AuthzError> for BrokerError {
    fn from(error: AuthzError) -> Self {
        match error {
            AuthzError::Forbidden => Self::Forbidden,
            AuthzError::NotFound => Self::NotFound,
        }
    }
}

/// Turns a failure of the store into a refusal. It is a call of its own, because it logs.
pub(crate) trait LogFailure<T> {
    /// Logs a failure of the store, and returns [`BrokerError::Unavailable`] for it.
    fn log_failure(self) -> Result<T, BrokerError>;
}

impl<T> LogFailure<T> for Result<T, StoreError> {
    fn log_failure(self) -> Result<T, BrokerError> {
        self.map_err(|error| {
            tracing::error!(%error, "the store did not answer");
            BrokerError::Unavailable
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thng_pubsub_doc_tables::assert_documented;

    use super::*;
    use crate::rate;

    #[test]
    fn every_reason_is_documented() {
        const NAME: rate::Name = rate::Name { setting: "…", kind: "…", scope: "…", said: "…" };
        let limit: rate::RateLimit = "1/s".parse().expect("a rate");
        let exceeded = Exceeded::new(&NAME, limit.rate().expect("it is on"), Duration::ZERO);
        let conflict = BrokerError::Conflict("the change collides with something that exists".into());
        let all = [
            BrokerError::NoKey,
            BrokerError::InvalidKey,
            BrokerError::BadLogin,
            BrokerError::Forbidden,
            BrokerError::NotFound,
            conflict,
            BrokerError::InvalidTopic(TopicError::Unknown),
            BrokerError::SubscribeOnly,
            BrokerError::invalid(
                "the request or payload is malformed, or names something that does not exist",
            ),
            BrokerError::ConnectionLimitPerKey,
            BrokerError::TooManySubscriptions(SubscriptionsBound::Session),
            BrokerError::TooManySubscriptions(SubscriptionsBound::Durable),
            BrokerError::TooManySubscriptions(SubscriptionsBound::KeyMemory),
            BrokerError::TooManySubscriptions(SubscriptionsBound::AccountMemory),
            BrokerError::TooManySubscriptions(SubscriptionsBound::Memory),
            BrokerError::TooManySessions,
            BrokerError::PasswordQueueFull,
            BrokerError::TooManyScans,
            BrokerError::TooManyAnswerBytes,
            BrokerError::TooManyTasks,
            BrokerError::TooOften(exceeded),
            BrokerError::Unavailable,
            BrokerError::StoppedPartway(1),
        ];
        let rows = all.map(|refusal| {
            let lasts = if refusal.is_temporary() { "temporary" } else { "final" };
            let status = refusal.document().status.to_string();
            let cure = crate::reasons::cure(refusal.reason()).expect("each reason has a cure");
            [format!("`{}`", refusal.reason()), lasts.into(), status, refusal.to_string(), cure.into()]
        });
        assert_documented(
            "docs/errors.md",
            "## Reasons",
            &["reason", "lasts", "status", "log text", "cure"],
            rows,
        );
    }
}
