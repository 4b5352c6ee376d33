//! API keys: from the 80 characters that came over the wire to a principal, and from an actor to its key.
//!
//! Keys are looked up by their hash, so the time that a look-up takes tells nothing of any key. Some keys have to be
//! shown again (an application's, a device's). Those are derived from the server's secret and a stored number, so that
//! the database alone opens nothing (docs/decisions/0008-keys-that-are-shown-again.md).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use thng_pubsub_protocol::limits;
use tokio::sync::Notify;

use super::{
    Principal,
    key_leases::{KeyLease, KeyLeases},
    principal,
};
use thng_pubsub_store::{Actor, KeyHash, KeyNonce, ReadStore, StoreError};

/// Keys whose principals are kept in memory. An entry takes about 500 bytes.
const KEYS_CACHED_MAX: usize = 100_000;

/// Bytes of the server's secret.
pub const SECRET_BYTES: usize = 32;

/// Why text is no API key.
#[derive(Debug, thiserror::Error)]
#[error("an API key is {} letters and digits", limits::API_KEY_CHARS)]
pub struct MalformedKey;

/// Hashes a key for storage and look-up.
pub fn hash(key: &str) -> Result<KeyHash, MalformedKey> {
    let fits = key.len() == limits::API_KEY_CHARS && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(KeyHash(Sha256::digest(key.as_bytes()).into())) } else { Err(MalformedKey) }
}

/// Makes a new key.
pub fn generate(random: impl FnMut() -> u8) -> String {
    const SYMBOLS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    std::iter::repeat_with(random)
        .filter(|byte| *byte < 248) // 4 x 62: every symbol is equally likely
        .map(|byte| char::from(SYMBOLS[usize::from(byte) % SYMBOLS.len()]))
        .take(limits::API_KEY_CHARS)
        .collect()
}

/// What keys that are shown again are made from. Never printed.
#[derive(Clone)]
pub struct KeySecret([u8; SECRET_BYTES]);

impl fmt::Debug for KeySecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<secret>")
    }
}

impl KeySecret {
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The key of an actor that was issued with this nonce.
    pub fn key(&self, actor: Actor, nonce: &KeyNonce) -> String {
        let kind = match actor {
            Actor::Operator(_) => "operator",
            Actor::Application(_) => "application",
            Actor::TrustedApplication(_) => "trusted application",
            Actor::User(_) => "user",
            Actor::Device(_) => "device",
            Actor::AccessToken(_) => "access token",
        };
        let block = |number: u32| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length of key is taken");
            mac.update(kind.as_bytes());
            mac.update(&[0]);
            mac.update(actor.id().as_str().as_bytes());
            mac.update(nonce);
            mac.update(&number.to_be_bytes());
            mac.finalize().into_bytes()
        };
        let mut bytes = (0..).flat_map(block);
        generate(|| bytes.next().expect("there is always another block"))
    }

    pub(super) fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// What tells one secret from another without giving it away.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new().chain_update("thng-pubsub key secret").chain_update(self.0).finalize();
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The keys that are in use.
#[derive(Debug)]
pub(crate) struct Keys {
    store: Arc<dyn ReadStore>,
    cached: Cache<KeyHash, Arc<Principal>>,
    /// Counts what was forgotten, so that a slow reader notices.
    changes: AtomicU64,
    leases: Arc<KeyLeases>,
    /// Something that keys depend on may be gone: those with leases are to be looked up again.
    shaken: Notify,
}

impl Keys {
    pub(crate) fn new(store: Arc<dyn ReadStore>, connections_per_key_max: usize) -> Self {
        Self {
            store,
            cached: Cache::new(KEYS_CACHED_MAX),
            changes: AtomicU64::new(0),
            leases: Arc::new(KeyLeases::new(connections_per_key_max)),
            shaken: Notify::new(),
        }
    }

    /// Called after a commit that took keys away.
    pub(crate) fn revoke<'k>(&self, hashes: impl Iterator<Item = &'k KeyHash> + Clone) {
        self.forget(hashes.clone());
        hashes.for_each(|hash| self.leases.revoke(hash));
    }

    /// Called after a commit that changed what keys may do.
    pub(crate) fn forget<'k>(&self, hashes: impl IntoIterator<Item = &'k KeyHash>) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        for hash in hashes {
            self.cached.remove(hash);
        }
    }

    /// Called after a commit that changed the rights of many keys, or removed something that they depend on: every key
    /// is looked up again.
    pub(crate) fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.cached.clear();
        self.shaken.notify_one();
    }

    /// Leases a key for longer than a call: `wake` is notified once it is revoked. Check afterwards whether it still
    /// exists. `None` if as many hold it as may.
    pub(crate) fn lease(&self, hash: &KeyHash, wake: Arc<Notify>) -> Option<KeyLease> {
        self.leases.lease(*hash, wake)
    }

    /// Whether there is such a key, and what it depends on. May block on the disk.
    pub(crate) fn is_in_force(&self, hash: &KeyHash) -> Result<bool, StoreError> {
        Ok(self.cached(hash).is_some() || self.look_up(hash)?.is_some())
    }

    /// Waits until leased keys are to be looked up again.
    pub(crate) async fn shaken(&self) {
        self.shaken.notified().await;
    }

    /// Looks every leased key up, and notifies the leases of those that are gone: the keys of an application's users end
    /// with it. Blocks on the disk.
    pub(crate) fn end_revoked(&self) -> Result<(), StoreError> {
        for hash in self.leases.hashes() {
            if !self.is_in_force(&hash)? {
                self.leases.revoke(&hash);
            }
        }
        Ok(())
    }

    /// The principal of a key that was used before, without touching the disk.
    pub(crate) fn cached(&self, hash: &KeyHash) -> Option<Arc<Principal>> {
        self.cached.get(hash)
    }

    /// Looks a key up in the store; may block on the disk. `None` for a key that is not known.
    ///
    /// Unknown keys are not remembered: a client could fill the memory with them.
    pub(crate) fn look_up(&self, hash: &KeyHash) -> Result<Option<Arc<Principal>>, StoreError> {
        let before = self.changes.load(Ordering::SeqCst);
        let Some(record) = self.store.key(hash)?.filter(|record| record.hash == *hash) else {
            return Ok(None);
        };
        let Some(principal) = principal::of(&*self.store, &record)?.map(Arc::new) else { return Ok(None) };
        // What was read may be stale by now; then it is good for this call, which began before, and for no other.
        if self.changes.load(Ordering::SeqCst) == before {
            self.cached.insert(*hash, Arc::clone(&principal));
            if self.changes.load(Ordering::SeqCst) != before {
                self.cached.remove(hash);
            }
        }
        Ok(Some(principal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_a_key() {
        let mut byte = 0_u8;
        let key = generate(|| {
            byte = byte.wrapping_add(37);
            byte
        });
        assert!(hash(&key).is_ok(), "{key}");
    }

    #[test]
    fn a_key_that_is_shown_again_is_the_same_and_unique() {
        let id = thng_pubsub_protocol::id::Id::parse(&"a".repeat(24)).expect("an id");
        let secret = KeySecret::new([7; SECRET_BYTES]);
        let key = secret.key(Actor::Device(id), &[1; 16]);
        assert!(hash(&key).is_ok(), "{key}");
        assert_eq!(secret.key(Actor::Device(id), &[1; 16]), key);
        let others = [
            secret.key(Actor::Device(id), &[2; 16]),
            secret.key(Actor::User(id), &[1; 16]),
            KeySecret::new([8; SECRET_BYTES]).key(Actor::Device(id), &[1; 16]),
        ];
        assert!(others.iter().all(|other| *other != key));
        assert!(!format!("{secret:?}").contains('7'));
    }

    #[test]
    fn what_is_not_80_letters_and_digits_is_no_key() {
        for key in ["", "short", &"a".repeat(79), &"a".repeat(81), &format!("{}-", "a".repeat(79))] {
            assert!(hash(key).is_err(), "{key}");
        }
    }
}
