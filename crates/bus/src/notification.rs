//! A notification and the key of its route.
//!
//! Built from a committed event. The bus looks into neither scopes nor body.

use std::borrow::Borrow;
use std::fmt;
use std::hash::BuildHasher;

use bytes::Bytes;

use super::PARTITIONS;

/// Between account and topic. This byte is in no UTF-8 text, so two different pairs never make one key.
const SEPARATOR: u8 = 0xFF;

/// One notification: the outcome of a write, addressed to one external topic of one account.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Whom it is for.
    pub key: RouteKey,
    /// What predicates look at; opaque to the bus.
    pub scopes: Bytes,
    /// The store's event sequence, handed on to [`super::Delivery::seq`].
    pub seq: u64,
    /// What subscribers get.
    pub body: Bytes,
}

/// An external topic, in canonical form, of one account.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RouteKey(Bytes);

/// Builds keys in memory that is used again: most topics have no subscribers, so their keys are only looked up.
#[derive(Debug, Default)]
pub struct RouteKeyBuffer {
    topic: String,
    key: Vec<u8>,
}

impl RouteKeyBuffer {
    /// Makes it the key of a topic in `account`. Returns the bytes of the key.
    pub fn set(&mut self, account: &str, write_topic: impl FnOnce(&mut String)) -> &[u8] {
        self.topic.clear();
        write_topic(&mut self.topic);
        self.key.clear();
        append_key(account, &self.topic, &mut self.key);
        &self.key
    }

    /// The key.
    pub fn to_key(&self) -> RouteKey {
        RouteKey(Bytes::copy_from_slice(&self.key))
    }
}

fn append_key(account: &str, topic: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(account.as_bytes());
    key.push(SEPARATOR);
    key.extend_from_slice(topic.as_bytes());
}

impl RouteKey {
    /// The key of `topic` in `account`. Different pairs give different keys.
    pub fn new(account: &str, topic: &str) -> Self {
        let mut key = Vec::with_capacity(account.len() + 1 + topic.len());
        append_key(account, topic, &mut key);
        Self(key.into())
    }

    /// The bytes that tell it from every other key, also in a later run of the server.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The partition that carries this key, below [`PARTITIONS`].
    pub(super) fn partition(&self) -> u8 {
        partition(self.as_bytes())
    }
}

/// The partition that carries the key of these bytes.
pub(super) fn partition(key: &[u8]) -> u8 {
    let hash = foldhash::quality::FixedState::default().hash_one(key);
    (hash % PARTITIONS as u64) as u8
}

impl Borrow<[u8]> for RouteKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.splitn(2, |byte| *byte == SEPARATOR).map(String::from_utf8_lossy);
        let (account, topic) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        f.debug_struct("RouteKey").field("account", &account).field("topic", &topic).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn different_pairs_of_account_and_topic_are_different_keys() {
        let pairs = [("a", "b/c"), ("ab", "/c"), ("a", "/b/c"), ("", "ab/c"), ("ab/c", "")];
        let keys: HashSet<RouteKey> =
            pairs.iter().map(|(account, topic)| RouteKey::new(account, topic)).collect();
        assert_eq!(keys.len(), pairs.len());
        assert_eq!(RouteKey::new("a", "/b"), RouteKey::new("a", "/b"));
    }

    #[test]
    fn a_buffer_builds_the_same_key_each_time() {
        let mut buffer = RouteKeyBuffer::default();
        for (account, topic) in [("account", "/thngs/long"), ("a", "/b"), ("", "")] {
            let key = RouteKey::new(account, topic);
            assert_eq!(buffer.set(account, |path| path.push_str(topic)), key.as_bytes());
            assert_eq!(buffer.to_key(), key);
        }
    }

    #[test]
    fn keys_spread_over_all_partitions() {
        let mut counts = [0_u32; PARTITIONS];
        for n in 0..16_000 {
            counts[RouteKey::new("account", &format!("/thngs/{n}")).partition() as usize] += 1;
        }
        assert!(counts.iter().all(|count| (700..1300).contains(count)), "{counts:?}");
    }
}
