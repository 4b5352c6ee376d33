//! The members of JSON objects, and whether an object has two of one name.
//!
//! Readers differ on an object with two members of one name: some take the first, some the last. Others, such as Gson
//! and org.json, refuse the whole document. Such an object is therefore refused on arrival. In documents that were
//! stored before this rule, the last member counts.

use alloc::{borrow::Cow, collections::BTreeSet, vec::Vec};
use core::{fmt, marker::PhantomData};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object in their order, those of one name included.
pub(super) struct Members<'a, V = &'a RawValue>(pub(super) Vec<(Cow<'a, str>, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<'de, V> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct InOrder<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for InOrder<V> {
            type Value = Members<'de, V>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        input.deserialize_map(InOrder(PhantomData))
    }
}

impl<V> Members<'_, V> {
    /// Whether two of them have one name.
    pub(super) fn has_duplicates(&self) -> bool {
        let mut names = BTreeSet::new();
        self.0.iter().any(|(name, _)| !names.insert(&**name))
    }
}

/// The name of a member, borrowed where it has no escape: `Cow` by itself always copies.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Name<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.into())))
            }
        }
        input.deserialize_str(Borrowed)
    }
}

/// Whether an object in a JSON text, however deep, has two members of one name. Text that is no JSON has none.
#[must_use]
pub fn has_duplicate_members(json: &str) -> bool {
    // Most values are a number or a word.
    json.contains('{')
        && matches!(Unique.deserialize(&mut serde_json::Deserializer::from_str(json)), Err(error) if error.is_data())
}

/// Reads a value whole, and fails at the first name that comes twice in an object.
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(Name(name)) = map.next_key()? {
            if !names.insert(name) {
                return Err(A::Error::custom("two members of one name"));
            }
            map.next_value_seed(Self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_members_of_one_name_are_found_at_any_depth() {
        for json in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[1,{"b":{"":0,"c":[],"":{}}}]"#,
            r#"{"x":[{"a":1},{"a":1,"b":2,"a":3}]}"#,
        ] {
            assert!(has_duplicate_members(json), "{json}");
        }
        for json in [
            "5",
            r#""{\"a\":1,\"a\":2}""#,
            "{}",
            r#"{"a":1,"A":2,"a ":3}"#,
            r#"[{"a":1},{"a":1}]"#,
            r#"{"a":{"a":{"a":null}}}"#,
            r#"{"a":1,"a"#,
            r#"{"a":123456789012345678901234567890.5e3,"b":true,"c":"x"}"#,
        ] {
            assert!(!has_duplicate_members(json), "{json}");
        }
    }
}
