//! API keys: from the 80 characters that came over the wire to a principal.
//!
//! Keys are looked up by their hash, so the time that a look-up takes tells nothing of any key.

use std::sync::Arc;

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use thng_pubsub_protocol::limits;

use super::Principal;
use crate::store::{KeyHash, ReadStore, StoreError};

/// Keys whose principals are kept in memory. An entry takes about 150 bytes.
const KEYS_CACHED_MAX: usize = 100_000;

/// Why text is no API key.
#[derive(Debug, thiserror::Error)]
#[error("an API key is {} letters and digits", limits::API_KEY_CHARS)]
pub(crate) struct MalformedKey;

/// Hashes a key for storage and look-up.
pub(crate) fn hash(key: &str) -> Result<KeyHash, MalformedKey> {
    let fits = key.len() == limits::API_KEY_CHARS && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(KeyHash(Sha256::digest(key.as_bytes()).into())) } else { Err(MalformedKey) }
}

/// Makes a new key.
pub(crate) fn generate(random: impl FnMut() -> u8) -> String {
    const SYMBOLS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    std::iter::repeat_with(random)
        .filter(|byte| *byte < 248) // 4 x 62: every symbol is equally likely
        .map(|byte| char::from(SYMBOLS[usize::from(byte) % SYMBOLS.len()]))
        .take(limits::API_KEY_CHARS)
        .collect()
}

/// The keys that are in use.
#[derive(Debug)]
pub(crate) struct Keys {
    store: Arc<dyn ReadStore>,
    cached: Cache<KeyHash, Arc<Principal>>,
}

impl Keys {
    pub(crate) fn new(store: Arc<dyn ReadStore>) -> Self {
        Self { store, cached: Cache::new(KEYS_CACHED_MAX) }
    }

    /// The principal of a key that was used before, without touching the disk.
    pub(crate) fn cached(&self, hash: &KeyHash) -> Option<Arc<Principal>> {
        self.cached.get(hash)
    }

    /// Looks a key up in the store; may block on the disk. `None` for a key that is not known.
    ///
    /// Unknown keys are not remembered: a client could fill the memory with them.
    pub(crate) fn look_up(&self, hash: &KeyHash) -> Result<Option<Arc<Principal>>, StoreError> {
        let Some(record) = self.store.key(hash)? else { return Ok(None) };
        let principal =
            Arc::new(Principal { account: record.account, actor: record.actor, key: record.hash });
        self.cached.insert(*hash, Arc::clone(&principal));
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
    fn what_is_not_80_letters_and_digits_is_no_key() {
        for key in ["", "short", &"a".repeat(79), &"a".repeat(81), &format!("{}-", "a".repeat(79))] {
            assert!(hash(key).is_err(), "{key}");
        }
    }
}
