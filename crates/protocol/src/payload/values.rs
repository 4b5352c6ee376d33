//! The values at a path of a JSON document, as filters compare them: found in one pass, with every digit of a number.

use alloc::{borrow::Cow, collections::BTreeMap, string::String, vec::Vec};
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::filter::FieldValue;

/// The values below `key` of a JSON value: strings, numbers as they were written, and truth values. A list has one for
/// each of its items; objects, `null` and lists inside a list have none.
///
/// A key may hold dots itself; where no member has it, it is the path that its dots make.
#[must_use]
pub fn values_at(json: &str, key: Option<&str>) -> Vec<FieldValue<'static>> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = match key {
        None => <&RawValue as serde::Deserialize>::deserialize(&mut reader).map(Some),
        Some(key) => Path(key).deserialize(&mut reader),
    };
    found.ok().flatten().map(|raw| values_of(raw.get())).unwrap_or_default()
}

/// The same as texts.
#[must_use]
pub fn texts_at(json: &str, key: Option<&str>) -> Vec<String> {
    values_at(json, key).iter().map(|value| value.as_str().into()).collect()
}

/// The members of a JSON object, found once for all paths below it.
#[derive(Debug)]
pub struct Members<'j>(BTreeMap<Cow<'j, str>, &'j RawValue>);

impl<'j> Members<'j> {
    /// Nothing where the text is no object.
    #[must_use]
    pub fn of(json: &'j str) -> Option<Self> {
        serde_json::from_str(json).ok().map(Self)
    }

    /// The same as [`values_at`] of the object.
    #[must_use]
    pub fn values_at(&self, key: &str) -> Vec<FieldValue<'static>> {
        if let Some(raw) = self.0.get(key) {
            return values_of(raw.get());
        }
        let Some((first, rest)) = key.split_once('.') else { return Vec::new() };
        self.0.get(first).map(|raw| values_at(raw.get(), Some(rest))).unwrap_or_default()
    }
}

fn values_of(json: &str) -> Vec<FieldValue<'static>> {
    if !json.starts_with('[') {
        return value_of(json).into_iter().collect();
    }
    let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
    items.iter().filter_map(|item| value_of(item.get())).collect()
}

fn value_of(json: &str) -> Option<FieldValue<'static>> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(json).ok().map(|text| FieldValue::Text(Cow::Owned(text))),
        b't' => Some(FieldValue::Text("true".into())),
        b'f' => Some(FieldValue::Text("false".into())),
        b'-' | b'0'..=b'9' => Some(FieldValue::Number(Cow::Owned(json.into()))),
        _ => None,
    }
}

/// Finds a member by its key or path; of members of one name the last counts.
struct Path<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Path<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Path<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let path = self.0.split_once('.');
        let (mut by_key, mut by_path) = (None, None);
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match path {
                _ if name == self.0 => by_key = Some(map.next_value()?),
                Some((first, rest)) if name == first => by_path = map.next_value_seed(Path(rest))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(by_key.or(by_path))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_key_or_path_and_keep_their_digits() {
        let json = r#"{"a":{"b":[1.50,"x",null,{"c":1},[2]],"n":89445012345678901234},"a.b":true,"e":1e2,
            "s":"\u0061","z":null}"#;
        for (key, expected) in [
            ("a.b", &["true"][..]),
            ("a.n", &["89445012345678901234"]),
            ("e", &["1e2"]),
            ("s", &["a"]),
            ("z", &[]),
            ("a", &[]),
            ("a.b.c", &[]),
            ("s.x", &[]),
            ("e.x", &[]),
            ("missing", &[]),
            ("", &[]),
        ] {
            assert_eq!(texts_at(json, Some(key)), expected, "{key}");
            let members = Members::of(json).expect("an object");
            assert_eq!(members.values_at(key), values_at(json, Some(key)), "{key}");
        }
        assert_eq!(texts_at(r#"{"a":{"b":[1.50,"x",null,{"c":1},[2]]}}"#, Some("a.b")), ["1.50", "x"]);
        assert_eq!(values_at("5.0", None), [FieldValue::Number("5.0".into())]);
        assert_eq!(values_at(r#""5.0""#, None), [FieldValue::Text("5.0".into())]);
        assert_eq!(texts_at("{", None), [""; 0]);
    }

    #[test]
    fn of_members_of_one_name_the_last_counts() {
        assert_eq!(texts_at(r#"{"a":1,"\u0061":2}"#, Some("a")), ["2"]);
        assert_eq!(texts_at(r#"{"a":{"b":1},"a":5}"#, Some("a.b")), [""; 0]);
    }
}
