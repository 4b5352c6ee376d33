//! Property values: `[{"key","value","timestamp"}]` in, `[{"key","value","timestamp","createdAt"}]` out.

use alloc::{borrow::Cow, format, string::String, vec::Vec};
use core::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Json, Object, PayloadError};
use crate::{filter::integer, id::PropertyKey, limits};

/// A request to store one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyWrite {
    /// Which property.
    pub key: PropertyKey,
    /// Any JSON value but `null`.
    pub value: Json,
    /// Milliseconds since the epoch, or `None` for the moment of arrival.
    pub timestamp_ms: Option<i64>,
}

/// One value that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyUpdate {
    /// Which property.
    pub key: PropertyKey,
    /// The value, as it was sent.
    pub value: Json,
    /// Milliseconds since the epoch: when it was so.
    pub timestamp_ms: i64,
    /// Milliseconds since the epoch: when it arrived here.
    pub created_at_ms: i64,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
}

/// Reads what is written to `…/properties` (`path_key` is `None`) or `…/properties/:key`.
///
/// Taken are an array of entries, a lone entry, and on a key's own path also a bare string, number or boolean.
/// An entry without `key` means the key of the path.
///
/// # Errors
/// [`PayloadError`]: not JSON, an entry without a value, a key or timestamp that cannot be one, a key other than the
/// path's, no entries, or more than [`limits::PROPERTY_VALUES_MAX`].
pub fn parse_writes(body: &[u8], path_key: Option<&PropertyKey>) -> Result<Vec<PropertyWrite>, PayloadError> {
    let text = core::str::from_utf8(body).map_err(|_| PayloadError::one("The body is not UTF-8 text."))?;
    let entries = match (text.trim_start().as_bytes().first(), path_key) {
        (Some(b'['), _) => serde_json::from_str(text),
        (Some(b'{'), _) | (_, None) => serde_json::from_str(text).map(|entry| [entry].into()),
        (_, Some(_)) => serde_json::from_str(text)
            .map(|value| [Object(Entry { key: None, value: Some(value), timestamp: None })].into()),
    };
    let entries: Vec<Object<Entry<'_>>> = entries.map_err(|error| describe(&error))?;
    if entries.is_empty() || entries.len() > limits::PROPERTY_VALUES_MAX {
        return Err(PayloadError::one(format!(
            "An update holds 1 to {} property values, this one has {}.",
            limits::PROPERTY_VALUES_MAX,
            entries.len()
        )));
    }
    entries.into_iter().enumerate().map(|(index, Object(entry))| entry.read(index, path_key)).collect()
}

fn describe(error: &serde_json::Error) -> PayloadError {
    if error.is_data() {
        PayloadError::one(
            "A property update is an array of entries such as {\"key\": \"temperature\", \"value\": 21.5, \
             \"timestamp\": 1700000000000}; key and timestamp may be left out where they are known.",
        )
    } else {
        PayloadError::syntax(error)
    }
}

impl Entry<'_> {
    fn read(self, index: usize, path_key: Option<&PropertyKey>) -> Result<PropertyWrite, PayloadError> {
        let at = |what: &str| PayloadError::one(format!("Entry {index}: {what}."));
        let key = match (self.key, path_key) {
            (Some(key), path_key) => {
                let key = PropertyKey::parse(&key).map_err(|error| at(&format!("{error}")))?;
                if path_key.is_some_and(|path_key| *path_key != key) {
                    return Err(at("key differs from the property that the path names"));
                }
                key
            }
            (None, Some(path_key)) => path_key.clone(),
            (None, None) => return Err(at("key is required")),
        };
        let value =
            self.value.filter(|value| value.get() != "null").ok_or_else(|| at("value is required"))?;
        let value = Json::from(value);
        if value.as_str().len() > limits::PROPERTY_VALUE_BYTES_MAX {
            return Err(at(&format!("value is longer than {} bytes", limits::PROPERTY_VALUE_BYTES_MAX)));
        }
        if let Some(fault) = value.fault() {
            return Err(at(&format!("value {fault}")));
        }
        let timestamp_ms = self.timestamp.map(|raw| timestamp(raw.get())).transpose();
        let timestamp_ms = timestamp_ms
            .map_err(|()| at("timestamp is a whole number of milliseconds since 1970"))?
            .flatten();
        Ok(PropertyWrite { key, value, timestamp_ms })
    }
}

/// Reads a timestamp: a number that is whole by its value, such as `1.7e12`. Clients in the field also send it as a
/// string of digits.
pub(super) fn timestamp(raw: &str) -> Result<Option<i64>, ()> {
    if raw == "null" {
        return Ok(None);
    }
    let text: Option<Cow<'_, str>> = serde_json::from_str(raw).ok();
    let number = match text {
        Some(text) => text.parse().map_err(|_| ())?,
        None => integer(raw).ok_or(())?,
    };
    if (0..=limits::TIMESTAMP_MS_MAX).contains(&number) { Ok(Some(number)) } else { Err(()) }
}

impl PropertyUpdate {
    fn write(&self, with_key: bool, out: &mut String) {
        out.push('{');
        if with_key {
            // The characters of a key need no escaping.
            let _ = write!(out, "\"key\":\"{}\",", self.key);
        }
        let (timestamp, created_at) = (self.timestamp_ms, self.created_at_ms);
        out.push_str("\"value\":");
        out.push_str(self.value.as_str());
        let _ = write!(out, ",\"timestamp\":{timestamp},\"createdAt\":{created_at}}}");
    }
}

fn array<'a>(updates: impl IntoIterator<Item = &'a PropertyUpdate>, with_key: bool) -> String {
    let mut out = String::with_capacity(256);
    out.push('[');
    for (index, update) in updates.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        update.write(with_key, &mut out);
    }
    out.push(']');
    out
}

/// The document of an update, of all latest values, and of a notification: entries with their `key`.
#[must_use]
pub fn update_document<'a>(updates: impl IntoIterator<Item = &'a PropertyUpdate>) -> String {
    array(updates, true)
}

/// The document of one property's history: entries without `key`, as the platform's clients know it.
#[must_use]
pub fn history_document<'a>(updates: impl IntoIterator<Item = &'a PropertyUpdate>) -> String {
    array(updates, false)
}

/// The `properties` field of a thng or a product: `{"key": value}` of the latest values.
#[must_use]
pub fn latest_document<'a>(updates: impl IntoIterator<Item = &'a PropertyUpdate>) -> Json {
    let mut out = String::from("{");
    for (index, update) in updates.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let _ = write!(out, "\"{}\":{}", update.key, update.value.as_str());
    }
    out.push('}');
    Json::parse(out).expect("keys need no escaping and values are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn key(text: &str) -> PropertyKey {
        PropertyKey::parse(text).expect("a key")
    }

    fn read(body: &str, path_key: Option<&str>) -> Result<Vec<(String, String, Option<i64>)>, String> {
        parse_writes(body.as_bytes(), path_key.map(key).as_ref())
            .map(|writes| {
                let flat = |write: PropertyWrite| {
                    (write.key.to_string(), write.value.as_str().to_string(), write.timestamp_ms)
                };
                writes.into_iter().map(flat).collect()
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_shape_that_clients_send_is_read() {
        let one = |key: &str, value: &str, at| Ok(std::vec![(key.to_string(), value.to_string(), at)]);
        assert_eq!(read(r#"[{"key":"Temp","value":3}]"#, None), one("temp", "3", None));
        assert_eq!(
            read(r#"{"key":"a","value":"null","timestamp":"17"}"#, None),
            one("a", r#""null""#, Some(17))
        );
        assert_eq!(read(r#"[{"value":37.20}]"#, Some("t")), one("t", "37.20", None));
        assert_eq!(
            read(r#"{"value":{"a":[1]},"timestamp":5}"#, Some("t")),
            one("t", r#"{"a":[1]}"#, Some(5))
        );
        assert_eq!(read(" 21.5 ", Some("t")), one("t", "21.5", None));
        assert_eq!(read("\"on\"", Some("t")), one("t", "\"on\"", None));
        assert_eq!(read(r#"[{"key":"T","value":false,"createdAt":1}]"#, Some("t")), one("t", "false", None));
    }

    #[test]
    fn numbers_keep_every_digit() {
        let big = "123456789012345678901234567890";
        assert_eq!(read(big, Some("n")), Ok(std::vec![("n".to_string(), big.to_string(), None)]));
    }

    #[test]
    fn what_is_no_update_is_refused_with_a_sentence_that_says_where() {
        for (body, path_key, says) in [
            ("{", None, "line 1, column 1"),
            ("not json", Some("t"), "not a valid JSON document"),
            ("null", Some("t"), "value is required"),
            ("5", None, "array of entries"),
            ("[]", Some("t"), "1 to 500"),
            (r#"[{"key":"a"}]"#, None, "Entry 0: value is required"),
            (r#"[{"key":"a","value":1},{"value":2}]"#, None, "Entry 1: key is required"),
            (r#"[{"key":"a","value":1}]"#, Some("b"), "differs"),
            (r#"[{"key":"a b","value":1}]"#, None, "a property key is"),
            (r#"[{"value":1,"timestamp":1.5}]"#, Some("t"), "whole number"),
            (r#"[{"value":1,"timestamp":-1}]"#, Some("t"), "whole number"),
            ("[[1]]", Some("t"), "array of entries"),
            (r#"[["a",1]]"#, None, "array of entries"),
        ] {
            let error = read(body, path_key).expect_err(body);
            assert!(error.contains(says), "{body}: {error}");
        }
    }

    #[test]
    fn a_value_that_readers_could_not_parse_is_refused() {
        let nested = |depth| format!("{{\"value\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(limits::JSON_DEPTH_MAX), Some("t")).is_ok());
        for depth in [limits::JSON_DEPTH_MAX + 1, 50_000] {
            let error = read(&nested(depth), Some("t")).expect_err("too deep");
            assert!(error.contains("nests deeper than 100 levels"), "{error}");
        }
        assert!(read(&"[".repeat(100_000), Some("t")).is_err());
    }

    #[test]
    fn a_value_that_strict_readers_refuse_is_refused() {
        for (body, says) in [
            (r#""\ud800""#, "half of a character"),
            (r#"{"value":[1e999]}"#, "larger than a floating-point number"),
        ] {
            let error = read(body, Some("t")).expect_err(body);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_timestamp_in_a_string_is_what_the_string_says() {
        assert_eq!(
            read(r#"{"value":1,"timestamp":"\u00317"}"#, Some("t")).map(|writes| writes[0].2),
            Ok(Some(17))
        );
        assert!(read(r#"{"value":1,"timestamp":"\"17\""}"#, Some("t")).is_err());
    }

    #[test]
    fn a_timestamp_is_whole_by_its_value() {
        let at = |number: &str| {
            read(&format!(r#"{{"value":1,"timestamp":{number}}}"#), Some("t")).map(|writes| writes[0].2)
        };
        for number in ["1.7e12", "1700000000000.0", "17E11", "1700000000000", r#""1700000000000""#] {
            assert_eq!(at(number), Ok(Some(1_700_000_000_000)), "{number}");
        }
        assert_eq!(at("-0.0"), Ok(Some(0)));
        assert_eq!(at("9007199254740991"), Ok(Some(limits::TIMESTAMP_MS_MAX)));
        for number in [
            "1.5",
            "9007199254740992",
            "9007199254740991.5",
            "1e16",
            "1e999999999",
            "-1e0",
            r#""1.7e12""#,
            "true",
        ] {
            assert!(at(number).is_err(), "{number}");
        }
    }

    #[test]
    fn a_value_of_128_kib_is_taken_and_a_longer_one_is_refused() {
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert!(read(&text(limits::PROPERTY_VALUE_BYTES_MAX), Some("t")).is_ok());
        let error = read(&text(limits::PROPERTY_VALUE_BYTES_MAX + 1), Some("t")).expect_err("too long");
        assert!(error.contains("longer than 131072 bytes"), "{error}");
    }

    #[test]
    fn documents_show_key_value_and_both_times() {
        let update = PropertyUpdate {
            key: key("t"),
            value: Json::parse("37.20".into()).expect("JSON"),
            timestamp_ms: 1,
            created_at_ms: 2,
        };
        assert_eq!(update_document([&update]), r#"[{"key":"t","value":37.20,"timestamp":1,"createdAt":2}]"#);
        assert_eq!(history_document([&update]), r#"[{"value":37.20,"timestamp":1,"createdAt":2}]"#);
        assert_eq!(latest_document([&update]).as_str(), r#"{"t":37.20}"#);
        assert_eq!(latest_document([]).as_str(), "{}");
    }
}
