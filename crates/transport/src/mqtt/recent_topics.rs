//! The topics that a connection published on last, each with its context: what a client repeats is not parsed again.
//!
//! A context depends on the topic string and on the principal, which never changes. An `access_token` in the string is
//! authenticated at each publish all the same, and another principal, such as that of changed rights, gets a context of
//! its own. The broker asks for the resource, and the connection for its key, at each publish.

use std::{fmt, sync::Arc};

use thng_pubsub_broker::{BrokerError, PublishContext, RequestContext, identity::Principal};
use thng_pubsub_protocol::topic::{AccessToken, TopicError, TopicString};

/// Topics of a connection: of a device with a few sensors all. An entry takes about 1 KiB.
const TOPICS_MAX: usize = 8;

/// A connection that publishes on more topics than these would replace one at each publish, and find none of them. So only
/// each of so many replaces one.
const MISSES_PER_REPLACEMENT: u8 = 16;

/// Bytes of a topic string that is remembered.
const TEXT_BYTES_MAX: usize = 256;

/// See the module's text. Without a publish it allocates nothing.
#[derive(Default)]
pub(super) struct RecentTopics {
    topics: Vec<RecentTopic>,
    /// Topics that were not remembered since one was replaced.
    misses: u8,
    /// Whether there was a publish since the last ping.
    is_used: bool,
}

/// A topic as the client wrote it.
struct RecentTopic {
    text: Box<str>,
    access_token: Option<AccessToken>,
    context: Arc<PublishContext>,
}

/// Not the topics, which may hold keys.
impl fmt::Debug for RecentTopics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "<{} topics>", self.topics.len())
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
        self.is_used = true;
        let source = match self.topics.iter().position(|topic| *topic.text == *text) {
            Some(index) => TopicSource::Remembered(index),
            None => TopicSource::Parsed(TopicString::parse(text)?),
        };
        Ok(PublishTopic { recent: self, text, source })
    }

    /// The client has sent a ping: after two without a publish in between nothing is remembered.
    pub(super) fn pinged(&mut self) {
        if !std::mem::take(&mut self.is_used) {
            *self = Self::default();
        }
    }

    /// Whether there is space for one more topic, or one to be replaced.
    fn takes_one_more(&mut self) -> bool {
        if self.topics.len() < TOPICS_MAX {
            return true;
        }
        self.misses += 1;
        let replaces = self.misses == MISSES_PER_REPLACEMENT;
        if replaces {
            self.misses = 0;
        }
        replaces
    }

    fn remember(&mut self, topic: RecentTopic) {
        if self.topics.len() == TOPICS_MAX {
            self.topics.remove(0);
        } else {
            let more = if self.topics.is_empty() { 1 } else { TOPICS_MAX - self.topics.len() };
            self.topics.reserve_exact(more);
        }
        self.topics.push(topic);
    }
}

impl PublishTopic<'_, '_> {
    /// The key that the topic is used with, where it is not the connection's own.
    pub(super) fn access_token(&self) -> Option<&AccessToken> {
        match &self.source {
            TopicSource::Remembered(index) => self.recent.topics[*index].access_token.as_ref(),
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
                let context = &recent.topics[index].context;
                if Arc::ptr_eq(context.principal(), principal) {
                    return Ok(Arc::clone(context));
                }
                recent.topics.remove(index);
                TopicString::parse(text)?
            }
            TopicSource::Parsed(topic) => topic,
        };
        let is_remembered = text.len() <= TEXT_BYTES_MAX && recent.takes_one_more();
        let access_token = topic.options.access_token.clone().filter(|_| is_remembered);
        let context = Arc::new(RequestContext::publish(principal, topic)?);
        if is_remembered {
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
        assert_eq!(recent.topics.len(), 1);
        assert_eq!(format!("{recent:?}"), "<1 topics>");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn topics_are_bounded_in_number_and_bytes() {
        let TestBroker { owner, data: _data, .. } = TestBroker::open().await;
        let mut recent = RecentTopics::default();
        assert_eq!(recent.topics.capacity(), 0);
        published(&mut recent, &topic(0), &owner);
        assert_eq!(recent.topics.capacity(), 1, "a client with one topic pays for one");
        for number in (0..100).chain(0..TOPICS_MAX) {
            let context = published(&mut recent, &topic(number), &owner);
            assert_eq!(context.topic().canonical(), topic(number));
        }
        let long = format!("/actions/all?x={}", "x".repeat(TEXT_BYTES_MAX));
        published(&mut recent, &long, &owner);
        assert_eq!((recent.topics.len(), recent.topics.capacity()), (TOPICS_MAX, TOPICS_MAX));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_of_sixteen_further_topics_replaces_the_oldest() {
        let TestBroker { owner, data: _data, .. } = TestBroker::open().await;
        let mut recent = RecentTopics::default();
        let texts = |recent: &RecentTopics| -> Vec<String> {
            recent.topics.iter().map(|topic| topic.text.to_string()).collect()
        };
        for number in 0..TOPICS_MAX + usize::from(MISSES_PER_REPLACEMENT) - 1 {
            published(&mut recent, &topic(number), &owner);
        }
        assert_eq!(texts(&recent), (0..TOPICS_MAX).map(topic).collect::<Vec<_>>());
        published(&mut recent, &topic(99), &owner);
        let kept = (1..TOPICS_MAX).chain([99]).map(topic);
        assert_eq!(texts(&recent), kept.collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_that_only_pings_costs_nothing() {
        let TestBroker { owner, data: _data, .. } = TestBroker::open().await;
        let mut recent = RecentTopics::default();
        published(&mut recent, &topic(0), &owner);
        recent.pinged();
        assert_eq!(recent.topics.len(), 1);
        recent.pinged();
        assert_eq!(recent.topics.capacity(), 0);
    }
}
