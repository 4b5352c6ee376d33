//! Leases of open connections and subscriptions on their API keys, through which a revocation reaches them.
//!
//! Only that. What a key may do is a snapshot that a connection keeps until it connects again (product description,
//! "Permissions").

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use thng_pubsub_store::KeyHash;

/// The leases of each key. Bounded by the connections and their subscriptions.
#[derive(Debug)]
pub(crate) struct KeyLeases {
    leases: Mutex<HashMap<KeyHash, LeasesOfKey>>,
    most: usize,
}

#[derive(Debug, Default)]
struct LeasesOfKey {
    revoked: Arc<AtomicBool>,
    next: u64,
    /// Whom to wake.
    wakes: HashMap<u64, Arc<Notify>>,
}

/// A registration on a key; dropping it ends it.
#[derive(Debug)]
pub struct KeyLease {
    keys: Arc<KeyLeases>,
    hash: KeyHash,
    number: u64,
    revoked: Arc<AtomicBool>,
}

impl KeyLeases {
    /// For up to `most` holders of each key.
    pub(super) fn new(most: usize) -> Self {
        Self { leases: Mutex::default(), most }
    }

    /// Holds a key: `wake` is notified once it is revoked. Whether it is still there has to be asked *afterwards*. `None`
    /// if as many hold it as may.
    pub(super) fn lease(self: &Arc<Self>, hash: KeyHash, wake: Arc<Notify>) -> Option<KeyLease> {
        let mut leases = self.leases.lock();
        let leases_of_key = leases.entry(hash).or_default();
        if leases_of_key.wakes.len() >= self.most {
            return None;
        }
        let number = leases_of_key.next;
        leases_of_key.next += 1;
        leases_of_key.wakes.insert(number, wake);
        let revoked = Arc::clone(&leases_of_key.revoked);
        Some(KeyLease { keys: Arc::clone(self), hash, number, revoked })
    }

    /// Tells the holders of a key that it is gone.
    pub(super) fn revoke(&self, hash: &KeyHash) {
        let Some(leases_of_key) = self.leases.lock().remove(hash) else { return };
        leases_of_key.revoked.store(true, Ordering::Release);
        leases_of_key.wakes.values().for_each(|wake| wake.notify_one());
    }

    /// Every key with a lease.
    pub(super) fn hashes(&self) -> Vec<KeyHash> {
        self.leases.lock().keys().copied().collect()
    }
}

impl KeyLease {
    /// Whether the key was revoked.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }
}

impl Drop for KeyLease {
    fn drop(&mut self) {
        let mut leases = self.keys.leases.lock();
        let Some(leases_of_key) = leases.get_mut(&self.hash) else { return };
        // A key that was revoked may get a new lease from a connection that is about to learn it.
        if !Arc::ptr_eq(&leases_of_key.revoked, &self.revoked) {
            return;
        }
        leases_of_key.wakes.remove(&self.number);
        if leases_of_key.wakes.is_empty() {
            leases.remove(&self.hash);
        } else if leases_of_key.wakes.len() * 4 < leases_of_key.wakes.capacity() {
            // A storm of clients must not leave its size behind.
            leases_of_key.wakes.shrink_to_fit();
        }
        if leases.len() * 4 < leases.capacity() {
            leases.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_woken(wake: &Notify) -> bool {
        use std::{
            pin::pin,
            task::{Context, Waker},
        };
        pin!(wake.notified()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_revoked_key_wakes_exactly_its_leases() {
        let keys = Arc::new(KeyLeases::new(2));
        let wakes: [Arc<Notify>; 3] = Default::default();
        let first = keys.lease(KeyHash([1; 32]), Arc::clone(&wakes[0])).expect("room");
        let second = keys.lease(KeyHash([1; 32]), Arc::clone(&wakes[1])).expect("room");
        assert!(keys.lease(KeyHash([1; 32]), Arc::default()).is_none(), "two hold it");
        let other = keys.lease(KeyHash([2; 32]), Arc::clone(&wakes[2])).expect("room");
        keys.revoke(&KeyHash([1; 32]));
        assert!(first.is_revoked() && second.is_revoked() && !other.is_revoked());
        assert!(is_woken(&wakes[0]) && is_woken(&wakes[1]) && !is_woken(&wakes[2]));
    }

    #[test]
    fn a_dropped_lease_leaves_nothing_and_spares_later_leases() {
        let keys = Arc::new(KeyLeases::new(2));
        let early = keys.lease(KeyHash([1; 32]), Arc::default()).expect("room");
        keys.revoke(&KeyHash([1; 32]));
        let late = keys.lease(KeyHash([1; 32]), Arc::default()).expect("room");
        drop(early);
        assert_eq!(keys.hashes(), [KeyHash([1; 32])]);
        assert!(!late.is_revoked());
        drop(late);
        assert!(keys.hashes().is_empty());
    }
}
