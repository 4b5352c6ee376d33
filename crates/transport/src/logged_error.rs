//! Rejected calls for log and journal: the key's public name, the topic and the reason.
//!
//! Topics are shown without their options, and nothing that could be an API key is ever shown, at any position in a
//! topic.

use thng_pubsub_protocol::{
    limits,
    topic::{Topic, TopicString},
};

use thng_pubsub_broker::{
    BrokerError, PublishContext,
    client_events::{EventOwner, owner_of},
    identity::{Principal, hash_key},
};

/// Characters of a topic that are shown.
const SHOWN_CHARS: usize = 256;

/// Letters and digits in a row from which on they are not shown: more than an id has, fewer than a key.
const SECRET_CHARS: usize = limits::API_KEY_CHARS / 2;

/// A refusal, whom it was given, and on which topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggedError {
    pub(super) refusal: BrokerError,
    /// Whom the key belongs to, as far as it is known.
    pub(super) owner: EventOwner,
    pub(super) topic: Option<Box<str>>,
}

impl LoggedError {
    /// Without a topic.
    pub(super) fn new(refusal: BrokerError, principal: Option<&Principal>) -> Self {
        Self { refusal, owner: principal.map(owner_of).unwrap_or_default(), topic: None }
    }

    /// On a topic as the client wrote it, which need not be one.
    pub(super) fn on_text(refusal: BrokerError, principal: Option<&Principal>, topic: &str) -> Self {
        let rejected = Self { topic: Some(shown(topic).into()), ..Self::new(refusal, principal) };
        if rejected.refusal != BrokerError::InvalidKey || principal.is_some() {
            return rejected;
        }
        let token = TopicString::parse(topic).ok().and_then(|topic| topic.options.access_token);
        rejected.with_key(token.as_ref().map(|token| token.reveal()))
    }

    /// Of a publish.
    pub(super) fn of_publish(refusal: BrokerError, publish: &PublishContext) -> Self {
        Self::on_topic(refusal, publish.principal(), publish.topic())
    }

    /// On a topic that was understood.
    pub(super) fn on_topic(refusal: BrokerError, principal: &Principal, topic: &Topic) -> Self {
        Self { topic: Some(shown(&topic.canonical()).into()), ..Self::new(refusal, Some(principal)) }
    }

    /// With the key that opened nothing: the journal knows the owner of one that was revoked.
    pub(super) fn with_key(mut self, key: Option<&str>) -> Self {
        if self.owner.key.is_none() && self.refusal == BrokerError::InvalidKey {
            self.owner.key = key.and_then(|key| hash_key(key).ok());
        }
        self
    }
}

/// A topic, or a client id, for the log.
pub(super) fn shown(topic: &str) -> String {
    let path = topic.split('?').next().unwrap_or_default();
    let mut shown = String::new();
    let mut run = String::new();
    for (at, character) in path.chars().chain(['\0']).enumerate() {
        // A run that goes on behind the cut may be a key, of which nothing is shown.
        if at >= SHOWN_CHARS && run.is_empty() {
            break;
        }
        if character.is_ascii_alphanumeric() {
            run.push(character);
            continue;
        }
        if run.len() >= SECRET_CHARS {
            shown.push('…');
        } else {
            let end = run.len().min((SHOWN_CHARS + run.len()).saturating_sub(at));
            shown.push_str(&run[..end]);
        }
        run.clear();
        if character != '\0' && at < SHOWN_CHARS {
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
        let before = "/".repeat(217);
        assert_eq!(shown(&format!("{before}{key}")), format!("{before}……"), "no part of a key");
        assert_eq!(shown(&format!("{before}{}", "ab/".repeat(99))), format!("{before}{}…", "ab/".repeat(13)));
    }
}
