//! Log lines about rejected calls: the key's public name, the topic and the reason.
//!
//! Topics are shown without their options, and nothing that could be an API key is ever shown, at any position in a
//! topic.

use thng_pubsub_protocol::{id::Id, limits, topic::Topic};

use super::Context;
use thng_pubsub_broker::{BrokerError, PublishContext, identity::Principal};

/// Characters of a topic that are shown.
const SHOWN_CHARS: usize = 256;

/// Letters and digits in a row from which on they are not shown: more than an id has, fewer than a key.
const SECRET_CHARS: usize = limits::API_KEY_CHARS / 2;

/// A refusal, whom it was given, and on which topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggedError {
    pub(super) refusal: BrokerError,
    /// Whom the key belongs to, if it is known.
    key: Option<Id>,
    pub(super) topic: Option<Box<str>>,
}

impl LoggedError {
    /// Without a topic.
    pub(super) fn new(refusal: BrokerError, principal: Option<&Principal>) -> Self {
        Self { refusal, key: principal.map(|principal| principal.actor.id()), topic: None }
    }

    /// On a topic as the client wrote it, which need not be one.
    pub(super) fn on_text(refusal: BrokerError, principal: Option<&Principal>, topic: &str) -> Self {
        Self { topic: Some(shown(topic).into()), ..Self::new(refusal, principal) }
    }

    /// Of a publish.
    pub(super) fn of_publish(refusal: BrokerError, publish: &PublishContext) -> Self {
        Self::on_topic(refusal, publish.principal().actor.id(), publish.topic())
    }

    /// On a topic that was understood; `key` is whom the API key belongs to.
    pub(super) fn on_topic(refusal: BrokerError, key: Id, topic: &Topic) -> Self {
        Self { topic: Some(shown(&topic.canonical()).into()), key: Some(key), refusal }
    }
}

impl Context {
    /// One line about what a client was refused, unless there were many of late: clients can cause them at will.
    pub(super) fn log_refusal(&self, protocol: &'static str, what: &'static str, rejected: &LoggedError) {
        let Some(suppressed) = self.refusal_log.admit() else { return };
        let LoggedError { refusal, key, topic } = rejected;
        let reason = refusal.reason();
        let key = key.map(tracing::field::display);
        let topic = topic.as_deref();
        tracing::info!(protocol, reason, key, topic, suppressed, "{what}: {refusal}");
    }
}

/// A topic for the log.
fn shown(topic: &str) -> String {
    let path = topic.split('?').next().unwrap_or_default();
    let mut shown = String::new();
    let mut run = String::new();
    for character in path.chars().take(SHOWN_CHARS).chain(['\0']) {
        if character.is_ascii_alphanumeric() {
            run.push(character);
            continue;
        }
        if run.len() >= SECRET_CHARS {
            shown.push('…');
        } else {
            shown.push_str(&run);
        }
        run.clear();
        if character != '\0' {
            shown.extend(character.escape_debug());
        }
    }
    if path.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_shown_without_options_keys_and_control_characters() {
        let key = "k".repeat(80);
        for (topic, expected) in [
            (
                "/thngs/UeECn9a8PBpar8x4FEGdMsDd/properties?access_token=abc",
                "/thngs/UeECn9a8PBpar8x4FEGdMsDd/properties",
            ),
            (&*format!("/thngs/{key}"), "/thngs/…"),
            (&format!("/thngs/x%3Faccess_token={key}&a"), "/thngs/x%3Faccess_token=…&a"),
            (&key, "…"),
            ("/a\nINFO forged\u{1b}[0m", "/a\\nINFO forged\\u{1b}[0m"),
            ("", ""),
        ] {
            assert_eq!(shown(topic), expected);
        }
        let long = "/x".repeat(1_000);
        assert_eq!(shown(&long), format!("{}…", "/x".repeat(128)));
    }
}
