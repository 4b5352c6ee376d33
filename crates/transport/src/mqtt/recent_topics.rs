//! The topics that a connection published on last, each with its context: what a client repeats is not parsed again.
//!
//! A context depends on the topic string and on the principal, which never changes. An `access_token` in the string is
//! authenticated at each publish all the same, and another principal, such as that of changed rights, gets a context of
//! its own. The broker asks for the resource, and the connection for its key, at each publish.

use std::{fmt, sync::Arc};

use thng_pubsub_broker::{BrokerError, PublishContext, RequestContext, identity::Principal};
use thng_pubsub_protocol::topic::{AccessToken, TopicError, TopicString};

/// Topics of a connection: of a device with a few sensors all. An entry takes up to 1 KiB.
const TOPICS_MAX: usize = 8;

/// Bytes of a topic string that is remembered.
const TEXT_BYTES_MAX: usize = 256;

/// See the module's text. Without a publish it allocates nothing.
#[derive(Default)]
pub(super) struct RecentTopics(Vec<RecentTopic>);

/// A topic as the client wrote it.
struct RecentTopic {
    text: Box<str>,
    access_token: Option<AccessToken>,
    context: Arc<PublishContext>,
}

/// Not the topics, which may hold keys.
impl fmt::Debug for RecentTopics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "<{} topics>", self.0.len())
    }
}

/// The topic of a publish whose principal is not known yet.
pub(super) struct PublishTopic<'r, 't> {
    recent: &'r mut RecentTopics,
    text: &'t str,
    source: TopicSource,
}

enum TopicSource {
    /// At this index.
    Remembered(usize),
    Parsed(TopicString),
}

impl RecentTopics {
    /// The topic that a client published on.
    ///
    /// # Errors
    /// [`TopicError`].
    pub(super) fn topic<'t>(&mut self, text: &'t str) -> Result<PublishTopic<'_, 't>, TopicError> {
        let source = match self.0.iter().position(|topic| *topic.text == *text) {
            Some(index) => TopicSource::Remembered(index),
            None => TopicSource::Parsed(TopicString::parse(text)?),
        };
        Ok(PublishTopic { recent: self, text, source })
    }

    fn remember(&mut self, topic: RecentTopic) {
        if self.0.len() == TOPICS_MAX {
            self.0.remove(0);
        } else {
            self.0.reserve_exact(if self.0.is_empty() { 1 } else { TOPICS_MAX - self.0.len() });
        }
        self.0.push(topic);
    }
}

impl PublishTopic<'_, '_> {
    /// The key that the topic is used with, where it is not the connection's own.
    pub(super) fn access_token(&self) -> Option<&AccessToken> {
        match &self.source {
            TopicSource::Remembered(index) => self.recent.0[*index].access_token.as_ref(),
            TopicSource::Parsed(topic) => topic.options.access_token.as_ref(),
        }
    }

    /// The context of the publish.
    ///
    /// # Errors
    /// Those of [`RequestContext::publish`].
    pub(super) fn context(self, principal: &Arc<Principal>) -> Result<Arc<PublishContext>, BrokerError> {
        let Self { recent, text, source } = self;
        let topic = match source {
            TopicSource::Remembered(index) => {
                let context = &recent.0[index].context;
                if Arc::ptr_eq(context.principal(), principal) {
                    return Ok(Arc::clone(context));
                }
                recent.0.remove(index);
                TopicString::parse(text)?
            }
            TopicSource::Parsed(topic) => topic,
        };
        let access_token = topic.options.access_token.clone();
        let context = Arc::new(RequestContext::publish(principal, topic)?);
        if text.len() <= TEXT_BYTES_MAX {
            recent.remember(RecentTopic { text: text.into(), access_token, context: Arc::clone(&context) });
        }
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thng_pubsub_broker::testing::TestBroker;

    fn published(recent: &mut RecentTopics, text: &str, principal: &Arc<Principal>) -> Arc<PublishContext> {
        recent.topic(text).expect("a topic").context(principal).expect("one to publish on")
    }

    fn topic(number: usize) -> String {
        format!("/actions/_type{number}")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_repeated_topic_has_one_context_for_each_principal() {
        let TestBroker { owner, stranger, data: _data, .. } = TestBroker::open().await;
        let mut recent = RecentTopics::default();
        let first = published(&mut recent, "/actions/_a?access_token=x", &owner);
        assert!(Arc::ptr_eq(&first, &published(&mut recent, "/actions/_a?access_token=x", &owner)));
        let token = recent.topic("/actions/_a?access_token=x").expect("a topic");
        assert_eq!(token.access_token().map(AccessToken::reveal), Some("x"));
        let changed = published(&mut recent, "/actions/_a?access_token=x", &stranger);
        assert!(Arc::ptr_eq(changed.principal(), &stranger), "rights of another principal count");
        assert_eq!(recent.0.len(), 1);
        assert_eq!(format!("{recent:?}"), "<1 topics>");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn topics_are_bounded_in_number_and_bytes() {
        let TestBroker { owner, data: _data, .. } = TestBroker::open().await;
        let mut recent = RecentTopics::default();
        assert_eq!(recent.0.capacity(), 0);
        published(&mut recent, &topic(0), &owner);
        assert_eq!(recent.0.capacity(), 1, "a client with one topic pays for one");
        for number in (0..3 * TOPICS_MAX).chain(0..TOPICS_MAX) {
            let context = published(&mut recent, &topic(number), &owner);
            assert_eq!(context.topic().canonical(), topic(number));
        }
        let long = format!("/actions/all?x={}", "x".repeat(TEXT_BYTES_MAX));
        published(&mut recent, &long, &owner);
        assert_eq!((recent.0.len(), recent.0.capacity()), (TOPICS_MAX, TOPICS_MAX));
        let texts: Vec<&str> = recent.0.iter().map(|topic| &*topic.text).collect();
        assert_eq!(texts, (0..TOPICS_MAX).map(topic).collect::<Vec<_>>(), "the last ones");
    }
}
