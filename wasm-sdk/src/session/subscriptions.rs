//! Subscriptions: the callbacks of each topic string, and the receivers of a message.
//!
//! The key is the string that was subscribed with, options and slashes included, because the server sends on exactly
//! that string. A server that sends on another spelling of the same resource is understood too.

use thng_pubsub_protocol::mqtt::QoS;

use super::HandlerId;

#[derive(Debug)]
struct Subscription {
    topic: String,
    qos: QoS,
    handlers: Vec<HandlerId>,
}

/// The topics in order, for a binary search. A sorted list and not a map, because a map is a tenth of the module.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_topic: Vec<Subscription>,
}

impl Subscriptions {
    pub(super) fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// Adds a callback. The topic is asked for with the highest QoS that any of its callbacks wants.
    pub(super) fn add(&mut self, topic: &str, qos: QoS, handler: HandlerId) {
        match self.find(topic) {
            Ok(at) => {
                let subscription = &mut self.by_topic[at];
                subscription.qos = subscription.qos.max(qos);
                subscription.handlers.push(handler);
            }
            Err(at) => {
                let subscription = Subscription { topic: topic.into(), qos, handlers: vec![handler] };
                self.by_topic.insert(at, subscription);
            }
        }
    }

    /// The QoS to ask for.
    pub(super) fn qos(&self, topic: &str) -> QoS {
        self.get(topic).map_or(QoS::AtMostOnce, |it| it.qos)
    }

    /// Takes one callback back. A topic whose last one it was is forgotten.
    pub(super) fn remove_handler(&mut self, topic: &str, handler: HandlerId) {
        if let Ok(at) = self.find(topic) {
            let handlers = &mut self.by_topic[at].handlers;
            handlers.retain(|&it| it != handler);
            if handlers.is_empty() {
                self.by_topic.remove(at);
            }
        }
    }

    /// Takes these callbacks (or all) back from every spelling of the resource, and returns the topic strings
    /// without further callbacks.
    pub(super) fn remove_resource(&mut self, topic: &str, handlers: Option<&[HandlerId]>) -> Vec<String> {
        let resource = resource_of(topic);
        let mut silent = Vec::new();
        self.by_topic.retain_mut(|subscription| {
            if resource_of(&subscription.topic) != resource {
                return true;
            }
            match handlers {
                Some(handlers) => subscription.handlers.retain(|it| !handlers.contains(it)),
                None => subscription.handlers.clear(),
            }
            let is_needed = !subscription.handlers.is_empty();
            if !is_needed {
                silent.push(std::mem::take(&mut subscription.topic));
            }
            is_needed
        });
        silent
    }

    pub(super) fn contains(&self, topic: &str, handler: HandlerId) -> bool {
        self.get(topic).is_some_and(|it| it.handlers.contains(&handler))
    }

    /// Every topic with the QoS to ask for and the number of its callbacks.
    pub(super) fn topics(&self) -> impl Iterator<Item = (&str, QoS, usize)> {
        self.by_topic.iter().map(|it| (it.topic.as_str(), it.qos, it.handlers.len()))
    }

    /// The callbacks that a message on this topic name is for.
    pub(super) fn handlers(&self, topic: &str) -> Vec<HandlerId> {
        if let Some(subscription) = self.get(topic) {
            return subscription.handlers.clone();
        }
        let resource = resource_of(topic);
        let mut handlers = Vec::new();
        for subscription in &self.by_topic {
            if resource_of(&subscription.topic) == resource {
                handlers.extend_from_slice(&subscription.handlers);
            }
        }
        handlers
    }

    /// Where a topic is in the table, or where it would be.
    pub(super) fn find(&self, topic: &str) -> Result<usize, usize> {
        self.by_topic.binary_search_by(|it| it.topic.as_str().cmp(topic))
    }

    fn get(&self, topic: &str) -> Option<&Subscription> {
        self.find(topic).ok().map(|at| &self.by_topic[at])
    }
}

/// What the spellings of a topic have in common: no options, and no slash at either end.
fn resource_of(topic: &str) -> &[u8] {
    let mut path = topic.as_bytes();
    if let Some(options) = path.iter().position(|&byte| byte == b'?') {
        path = &path[..options];
    }
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HandlerId = HandlerId(1);
    const B: HandlerId = HandlerId(2);
    const C: HandlerId = HandlerId(3);

    fn subscribed(topics: &[(&str, HandlerId)]) -> Subscriptions {
        let mut subscriptions = Subscriptions::default();
        for &(topic, handler) in topics {
            subscriptions.add(topic, QoS::AtMostOnce, handler);
        }
        subscriptions
    }

    #[test]
    fn the_exact_string_wins_over_other_spellings_of_the_resource() {
        let subscriptions = subscribed(&[("/thngs/x", A), ("thngs/x", B), ("/thngs/x?pubStates=1", C)]);
        assert_eq!(subscriptions.handlers("/thngs/x"), [A]);
        assert_eq!(subscriptions.handlers("thngs/x"), [B]);
        assert_eq!(subscriptions.handlers("/thngs/x?pubStates=1"), [C]);
    }

    #[test]
    fn another_spelling_reaches_every_subscription_of_the_resource() {
        let subscriptions = subscribed(&[("thngs/x/", A), ("/thngs/x?pubStates=1", B), ("/thngs/y", C)]);
        let mut handlers = subscriptions.handlers("/thngs/x");
        handlers.sort_by_key(|handler| handler.0);
        assert_eq!(handlers, [A, B]);
    }

    #[test]
    fn a_topic_without_handlers_delivers_nothing() {
        assert!(subscribed(&[("/thngs/x", A)]).handlers("/thngs/xx").is_empty());
    }

    #[test]
    fn a_topic_is_silent_only_when_its_last_callback_is_gone() {
        let mut subscriptions = subscribed(&[("/thngs/x", A), ("/thngs/x", B), ("/thngs/x?pubStates=1", B)]);
        assert_eq!(subscriptions.remove_resource("/thngs/x", Some(&[B])), ["/thngs/x?pubStates=1"]);
        assert_eq!(subscriptions.handlers("/thngs/x"), [A]);
        assert_eq!(subscriptions.remove_resource("/thngs/x", None), ["/thngs/x"]);
        assert!(!subscriptions.contains("/thngs/x", A));
    }

    #[test]
    fn the_highest_qos_that_was_asked_for_stays() {
        let mut subscriptions = subscribed(&[("/thngs/x", A)]);
        subscriptions.add("/thngs/x", QoS::AtLeastOnce, B);
        subscriptions.add("/thngs/x", QoS::AtMostOnce, C);
        assert_eq!(subscriptions.qos("/thngs/x"), QoS::AtLeastOnce);
    }
}
