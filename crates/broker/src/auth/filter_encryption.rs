//! Subscriptions that hold an API key, written so that the database alone does not give it away.
//!
//! A durable session remembers the exact strings that its client subscribed with, and those may hold an `access_token`.
//! Such a string is encrypted with the server's secret (XChaCha20-Poly1305). The nonce is made from the string itself, so
//! that the same string is always written the same way and can be looked up.

use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce, aead::Aead as _};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use thng_pubsub_protocol::topic::TopicString;

use super::keys::KeySecret;

/// Before what is encrypted. It is in no UTF-8 text.
const CONCEALED: u8 = 0xFF;

const NONCE_BYTES: usize = 24;

impl KeySecret {
    /// A subscription's string as it is stored.
    pub fn encrypt_filter(&self, filter: &str) -> Vec<u8> {
        let has_token = TopicString::parse(filter).is_ok_and(|topic| topic.options.access_token.is_some());
        if !has_token {
            return filter.as_bytes().to_vec();
        }
        let nonce = self.derive("filter nonce", filter.as_bytes());
        let nonce = &nonce[..NONCE_BYTES];
        let encrypted = self
            .filter_cipher()
            .encrypt(&XNonce::try_from(nonce).expect("24 bytes"), filter.as_bytes())
            .expect("a filter is far shorter than what the cipher takes");
        [&[CONCEALED], nonce, &encrypted].concat()
    }

    /// The string that [`encrypt_filter`](Self::encrypt_filter) was given. `None` if it was another secret's.
    pub fn decrypt_filter(&self, stored: &[u8]) -> Option<String> {
        let filter = match stored.split_first() {
            Some((&CONCEALED, rest)) => {
                let (nonce, encrypted) = rest.split_at_checked(NONCE_BYTES)?;
                self.filter_cipher().decrypt(&XNonce::try_from(nonce).ok()?, encrypted).ok()?
            }
            _ => stored.to_vec(),
        };
        String::from_utf8(filter).ok()
    }

    fn filter_cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.derive("filter key", &[]).into())
    }

    /// 32 bytes derived from this purpose and this text, which reveal nothing of the secret.
    fn derive(&self, purpose: &str, text: &[u8]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.bytes())
            .expect("any length of key is taken");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::SECRET_BYTES;

    #[test]
    fn a_filter_with_a_token_comes_back_and_shows_nothing_of_it() {
        let secret = KeySecret::new([7; SECRET_BYTES]);
        let token = "T".repeat(80);
        let filter = format!("/thngs/UeECn9a8PBpar8x4FEGdMsDd?access_token={token}&pubStates=1");
        let stored = secret.encrypt_filter(&filter);
        assert!(!String::from_utf8_lossy(&stored).contains("TTTT"));
        assert_eq!(stored, secret.encrypt_filter(&filter), "it could not be looked up");
        assert_eq!(secret.decrypt_filter(&stored).as_deref(), Some(&*filter));
        assert_eq!(KeySecret::new([8; SECRET_BYTES]).decrypt_filter(&stored), None);
        let mut changed = stored;
        *changed.last_mut().expect("it is not empty") ^= 1;
        assert_eq!(secret.decrypt_filter(&changed), None);
    }

    #[test]
    fn a_filter_without_a_token_stays_readable() {
        let secret = KeySecret::new([7; SECRET_BYTES]);
        let filter = "/actions/all?pubStates=1";
        assert_eq!(secret.encrypt_filter(filter), filter.as_bytes());
        assert_eq!(secret.decrypt_filter(filter.as_bytes()).as_deref(), Some(filter));
    }
}
