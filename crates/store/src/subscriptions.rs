//! Counts the memory that subscriptions take, per API key, per account and in all, and refuses what is too much.
//!
//! A subscription of a connection counts for the key whose rights it has, as long as its [`SubscriptionLease`] exists. A
//! subscription of a durable session counts for the key of the session, from the commit that stores it to the commit that
//! ends it, its client connected or not.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use thng_pubsub_protocol::id::Id;

use super::KeyHash;

/// What a subscription takes beside its filter, in bytes: measured with 100 connections of 10,000 subscriptions.
const SUBSCRIPTION_BYTES: usize = 1024;

/// How often the text of a filter is in memory: as it was sent, and as what notifications are addressed to.
const FILTER_COPIES: usize = 2;

/// About what subscriptions take in memory whose filters have so many bytes together.
pub fn subscription_bytes(count: usize, filter_bytes: usize) -> usize {
    count * SUBSCRIPTION_BYTES + FILTER_COPIES * filter_bytes
}

/// Bytes of memory that subscriptions may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionLimits {
    pub per_key: usize,
    pub per_account: usize,
    pub total: usize,
}

/// Which of the [`SubscriptionLimits`] is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionBound {
    Key,
    Account,
    Total,
}

/// The counters. Shared by the store, which knows of durable sessions, and the broker, which knows of the others.
#[derive(Debug, Default)]
pub struct SubscriptionUsage {
    counters: Mutex<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    total: usize,
    accounts: HashMap<Id, usize>,
    keys: HashMap<KeyHash, KeyUsage>,
}

#[derive(Debug, Clone, Copy, Default)]
struct KeyUsage {
    /// Of connections.
    leased: usize,
    /// Of durable sessions.
    stored: usize,
}

impl Counters {
    fn change(&mut self, account: Id, key: KeyHash, change: impl FnOnce(&mut KeyUsage)) {
        let of_key = self.keys.entry(key).or_default();
        let before = of_key.leased + of_key.stored;
        change(of_key);
        let after = of_key.leased + of_key.stored;
        if after == 0 {
            self.keys.remove(&key);
        }
        let of_account = self.accounts.entry(account).or_default();
        *of_account = *of_account + after - before;
        if *of_account == 0 {
            self.accounts.remove(&account);
        }
        self.total = self.total + after - before;
    }
}

impl SubscriptionUsage {
    /// Bytes of all subscriptions together.
    pub fn total(&self) -> usize {
        self.counters.lock().total
    }

    /// What the durable sessions of a key take now.
    pub(super) fn set_stored(&self, account: Id, key: KeyHash, bytes: usize) {
        self.counters.lock().change(account, key, |of_key| of_key.stored = bytes);
    }

    /// Counts `bytes` for a key until the lease is dropped.
    ///
    /// # Errors
    /// The bound that this would exceed; nothing is counted then.
    pub fn lease(
        self: &Arc<Self>,
        account: Id,
        key: KeyHash,
        bytes: usize,
        limits: &SubscriptionLimits,
    ) -> Result<SubscriptionLease, SubscriptionBound> {
        let mut counters = self.counters.lock();
        let of_key = counters.keys.get(&key).map_or(0, |of_key| of_key.leased + of_key.stored);
        let of_account = counters.accounts.get(&account).copied().unwrap_or_default();
        for (used, most, bound) in [
            (of_key, limits.per_key, SubscriptionBound::Key),
            (of_account, limits.per_account, SubscriptionBound::Account),
            (counters.total, limits.total, SubscriptionBound::Total),
        ] {
            if used.saturating_add(bytes) > most {
                return Err(bound);
            }
        }
        counters.change(account, key, |of_key| of_key.leased += bytes);
        Ok(SubscriptionLease { usage: Arc::clone(self), account, key, bytes })
    }

    /// Whether nothing is counted, not even a zero.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        let Counters { total, accounts, keys } = &*self.counters.lock();
        *total == 0 && accounts.is_empty() && keys.is_empty()
    }

    /// What counts for a key and for an account.
    #[cfg(test)]
    pub fn of(&self, account: Id, key: &KeyHash) -> (usize, usize) {
        let counters = self.counters.lock();
        let of_key = counters.keys.get(key).map_or(0, |of_key| of_key.leased + of_key.stored);
        (of_key, counters.accounts.get(&account).copied().unwrap_or_default())
    }
}

/// Memory that counts for a key; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping the lease gives the memory back"]
pub struct SubscriptionLease {
    usage: Arc<SubscriptionUsage>,
    account: Id,
    key: KeyHash,
    bytes: usize,
}

impl Drop for SubscriptionLease {
    fn drop(&mut self) {
        self.usage.counters.lock().change(self.account, self.key, |of_key| of_key.leased -= self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [KeyHash; 3] = [KeyHash([1; 32]), KeyHash([2; 32]), KeyHash([3; 32])];

    fn id(letter: &str) -> Id {
        Id::parse(&letter.repeat(24)).expect("24 letters")
    }

    #[test]
    fn each_bound_refuses_the_first_byte_above_it() {
        let limits = SubscriptionLimits { per_key: 10, per_account: 15, total: 20 };
        let usage = Arc::<SubscriptionUsage>::default();
        let lease = |account: &str, key: usize, bytes| usage.lease(id(account), KEYS[key], bytes, &limits);
        let first = lease("a", 0, 10).expect("as much as a key may have");
        assert_eq!(lease("a", 0, 1).err(), Some(SubscriptionBound::Key));
        let second = lease("a", 1, 5).expect("as much as an account may have");
        assert_eq!(lease("a", 1, 1).err(), Some(SubscriptionBound::Account));
        let third = lease("b", 2, 5).expect("as much as all may have");
        assert_eq!(lease("b", 2, 1).err(), Some(SubscriptionBound::Total));
        assert_eq!((usage.total(), usage.of(id("a"), &KEYS[0])), (20, (10, 15)));
        drop(first);
        assert!(lease("b", 2, 1).is_ok(), "what ended makes room");
        drop((second, third));
        assert!(usage.is_empty());
    }

    #[test]
    fn stored_and_live_subscriptions_count_together() {
        let limits = SubscriptionLimits { per_key: 10, per_account: 100, total: 100 };
        let usage = Arc::<SubscriptionUsage>::default();
        usage.set_stored(id("a"), KEYS[0], 8);
        assert_eq!(usage.lease(id("a"), KEYS[0], 3, &limits).err(), Some(SubscriptionBound::Key));
        let lease = usage.lease(id("a"), KEYS[0], 2, &limits).expect("there are two left");
        usage.set_stored(id("a"), KEYS[0], 0);
        assert_eq!(usage.of(id("a"), &KEYS[0]), (2, 2));
        drop(lease);
        assert!(usage.is_empty());
    }
}
