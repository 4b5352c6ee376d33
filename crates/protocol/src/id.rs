//! Identifiers: the names of resources, properties and action types in every protocol.
//!
//! Values of these types are well formed; whether the thing exists is for the store to say.

use alloc::{borrow::ToOwned, boxed::Box, string::String};
use core::{
    fmt,
    hash::{Hash, Hasher},
};

use crate::limits;

/// The 50 symbols that generated ids are made of: nothing that is easily misread.
const ALPHABET: &[u8; 50] = b"abcdefghkmnpqrstwxyABCDEFGHKMNPQRSTUVWXY0123456789";

/// Why a piece of text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not exactly 24 characters of `[A-Za-z0-9]`.
    #[error("an id is 24 characters of A-Z, a-z and 0-9")]
    Malformed,
    /// A property key outside `[A-Za-z0-9_.:-]`, or not of 1 to 128 characters.
    #[error("a property key is 1 to 128 characters of A-Z, a-z, 0-9, '_', '-', '.' and ':'")]
    PropertyKey,
    /// An action type's name that is empty, too long, or holds a control character.
    #[error("an action type's name is 1 to 256 bytes without control characters")]
    ActionType,
}

/// The id of an account, operator, thng, product, collection, batch, task or project: 24 ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id([u8; limits::ID_CHARS]);

impl Hash for Id {
    /// As three numbers: hashers mix these faster than a slice of any length, and a publish looks up many ids.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (words, rest) = self.0.as_chunks::<8>();
        const { assert!(limits::ID_CHARS.is_multiple_of(8), "no byte is left out") };
        debug_assert!(rest.is_empty());
        words.iter().for_each(|word| state.write_u64(u64::from_ne_bytes(*word)));
    }
}

impl Id {
    /// Reads an id as it is written in a path or a document.
    ///
    /// Any letter or digit is taken, also those that are never generated: documents of old hold such ids.
    ///
    /// # Errors
    /// [`IdError::Malformed`] for anything but 24 ASCII letters and digits.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let bytes: [u8; limits::ID_CHARS] = text.as_bytes().try_into().map_err(|_| IdError::Malformed)?;
        if bytes.iter().all(u8::is_ascii_alphanumeric) { Ok(Self(bytes)) } else { Err(IdError::Malformed) }
    }

    /// Makes a new id out of random bytes, starting with `U` as the ids of the platform did.
    ///
    /// `random` is called for one byte at a time; bytes of 250 and more are passed over, so that every symbol is
    /// equally likely. 23 symbols of 50 make 129 bits: ids of two nodes do not meet.
    pub fn generate(mut random: impl FnMut() -> u8) -> Self {
        let mut bytes = [b'U'; limits::ID_CHARS];
        for symbol in &mut bytes[1..] {
            let index = loop {
                let byte = usize::from(random());
                if byte < 250 {
                    break byte % ALPHABET.len();
                }
            };
            *symbol = ALPHABET[index];
        }
        Self(bytes)
    }

    /// The 24 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("an id is ASCII by construction")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The key of a property: `[a-z0-9_.:-]{1,128}`, lower-cased as the platform does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PropertyKey(Box<str>);

impl PropertyKey {
    /// Reads a key, percent-decoded already, and lower-cases it.
    ///
    /// # Errors
    /// [`IdError::PropertyKey`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let fits = (1..=limits::PROPERTY_KEY_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte));
        if fits { Ok(Self(text.to_ascii_lowercase().into_boxed_str())) } else { Err(IdError::PropertyKey) }
    }

    /// The key; it needs no escaping in a path, a topic or JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PropertyKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for PropertyKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The name of an action type: a built-in one such as `scans`, or a custom one that starts with `_`.
///
/// `all` is no name: where a topic says it, every type is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionTypeName(String);

impl ActionTypeName {
    /// Reads a name, percent-decoded already.
    ///
    /// # Errors
    /// [`IdError::ActionType`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let fits = (1..=limits::ACTION_TYPE_BYTES_MAX).contains(&text.len())
            && text != "all"
            && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(IdError::ActionType) }
    }

    /// The name as documents show it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActionTypeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_24_letters_and_digits_and_nothing_else() {
        assert!(Id::parse("UeECn9a8PBpar8x4FEGdMsDd").is_ok());
        assert!(Id::parse("5a0ce9d3c3f1b40001a2b3c4").is_ok());
        for text in
            ["", "short", "UeECn9a8PBpar8x4FEGdMsDdX", "UeECn9a8PBpar8x4FEGdMsD/", "éeECn9a8PBpar8x4FEGdMsD"]
        {
            assert_eq!(Id::parse(text), Err(IdError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_generated_id_passes_over_bytes_that_would_favor_a_symbol() {
        let mut bytes = [255, 250, 0, 49, 50].into_iter().chain(core::iter::repeat(1));
        let id = Id::generate(|| bytes.next().expect("the iterator is endless"));
        assert_eq!(id.as_str(), "Ua9abbbbbbbbbbbbbbbbbbbb");
    }

    #[test]
    fn a_property_key_is_lower_cased() {
        assert_eq!(
            PropertyKey::parse("Temp_C-1.a:b").map(|key| key.as_str().to_owned()),
            Ok("temp_c-1.a:b".into())
        );
        assert_eq!(PropertyKey::parse("a b"), Err(IdError::PropertyKey));
        assert_eq!(PropertyKey::parse(""), Err(IdError::PropertyKey));
        assert_eq!(PropertyKey::parse(&"k".repeat(129)), Err(IdError::PropertyKey));
    }

    #[test]
    fn all_is_not_the_name_of_an_action_type() {
        assert_eq!(ActionTypeName::parse("all"), Err(IdError::ActionType));
        assert_eq!(ActionTypeName::parse("_a\nb"), Err(IdError::ActionType));
        assert!(ActionTypeName::parse("_x y").is_ok());
    }
}
