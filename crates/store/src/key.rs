//! API keys as they are stored: a hash and an owner, never the key itself.

use std::hash::{Hash, Hasher};

use subtle::ConstantTimeEq as _;
use thng_pubsub_protocol::id::Id;

use super::TimestampMs;

/// SHA-256 of an API key. The key itself is never stored: of 476 random bits no table can be made, so no salt is needed.
#[derive(Debug, Clone, Copy, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for KeyHash {
    /// Takes as long for a hash that differs at its end as for one that differs at its beginning.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Digits of [`KeyHash::handle`]: enough to tell some millions of keys apart.
const HANDLE_DIGITS: usize = 12;

impl KeyHash {
    /// The public name of the key, which does not reveal it: the beginning of its hash.
    pub fn handle(&self) -> String {
        self.to_hex()[..HANDLE_DIGITS].to_owned()
    }

    /// All of it, in hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The owner of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// An operator of the account.
    Operator(Id),
    /// An application, by its public key.
    Application(Id),
    /// An application, by its secret key.
    TrustedApplication(Id),
    /// A user of an application.
    User(Id),
    /// A thng.
    Device(Id),
    /// An access token.
    AccessToken(Id),
}

impl Actor {
    /// What the kind of owner is called.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Operator(_) => "operator",
            Self::Application(_) => "application",
            Self::TrustedApplication(_) => "trustedApplication",
            Self::User(_) => "user",
            Self::Device(_) => "device",
            Self::AccessToken(_) => "accessToken",
        }
    }

    /// The resource that acts.
    pub fn id(self) -> Id {
        match self {
            Self::Operator(id)
            | Self::Application(id)
            | Self::TrustedApplication(id)
            | Self::User(id)
            | Self::Device(id)
            | Self::AccessToken(id) => id,
        }
    }
}

/// What a key that this server can show again was made from, besides the server's secret.
pub type KeyNonce = [u8; 16];

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub hash: KeyHash,
    pub account: Id,
    pub actor: Actor,
    /// `None` for a key that was given, and for one that is shown only once.
    pub nonce: Option<KeyNonce>,
    pub created_at_ms: TimestampMs,
}
