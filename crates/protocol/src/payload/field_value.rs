//! The value of one field, checked against what the field may hold.

use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use serde_json::value::RawValue;

use super::{
    Json,
    members::Members,
    patch::Change,
    schema::{Field, Form},
};
use crate::{filter::integer, id::Id, limits};

/// What a client wants of a field, or a sentence about what is wrong with it.
pub(super) fn read_field(field: &Field, raw: &RawValue) -> Result<Change, String> {
    let json = raw.get();
    let name = field.name;
    if json == "null" {
        return Ok(Change::Unset);
    }
    let wrong = |what: &str| Err(format!("{name} is {what}."));
    let set = || Ok(Change::Set(Json::from(raw)));
    match field.form {
        Form::Name(max) => match chars(json) {
            Some(0) => Err(format!("{name} is not empty.")),
            Some(count) if count <= max => set(),
            _ => wrong(&format!("a string of at most {max} characters")),
        },
        Form::Text(max) => match chars(json) {
            Some(count) if count <= max => set(),
            _ => wrong(&format!("a string of at most {max} characters")),
        },
        Form::Label => match chars(json) {
            Some(0) => Ok(Change::Unset),
            Some(count) if count <= limits::NAME_CHARS_MAX => set(),
            _ => wrong(&format!("a string of at most {} characters", limits::NAME_CHARS_MAX)),
        },
        Form::OneOf(names) => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) if names.iter().any(|name| *name == text) => set(),
            _ => wrong(&format!("one of {}", names.join(", "))),
        },
        Form::Tags => match texts_fit(json, limits::TAGS_MAX, limits::TAG_CHARS_MAX) {
            true => set(),
            false => wrong(&format!(
                "an array of at most {} strings of at most {} characters each",
                limits::TAGS_MAX,
                limits::TAG_CHARS_MAX
            )),
        },
        Form::Texts(items, max) => match texts_fit(json, items, max) {
            true => set(),
            false => wrong(&format!("an array of at most {items} strings of at most {max} characters each")),
        },
        Form::Identifiers => match identifiers(json) {
            Some(identifiers) => Ok(Change::Set(identifiers)),
            None => wrong(&format!(
                "an object of at most {} strings of {} characters, with keys of {}, each key once",
                limits::IDENTIFIERS_MAX,
                limits::IDENTIFIER_CHARS_MAX,
                limits::IDENTIFIER_KEY_CHARS_MAX
            )),
        },
        Form::Object => match Json::from(raw) {
            json if !json.is_object() => wrong("an object"),
            json => readable(name, json),
        },
        Form::Any => readable(name, Json::from(raw)),
        Form::Id => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) if Id::parse(&text).is_ok() => set(),
            Ok(text) if text.is_empty() => Ok(Change::Unset),
            _ => wrong("the id of an existing resource"),
        },
        Form::Bool => match json {
            "true" | "false" => set(),
            _ => wrong("true or false"),
        },
        // Clients in the field also send times as strings of digits.
        Form::Time => match super::property::timestamp(json) {
            Ok(Some(time)) => Ok(Change::Set(Json::parse(time.to_string()).expect("a number is JSON"))),
            _ => wrong("a whole number of milliseconds since 1970"),
        },
        Form::Number => match json.parse::<f64>() {
            Ok(number) if number.is_finite() => set(),
            _ => wrong("a number"),
        },
        Form::Integer => match integer(json) {
            Some(number) => Ok(Change::Set(Json::parse(number.to_string()).expect("a number is JSON"))),
            None => wrong("a whole number"),
        },
        Form::Email => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) if text.is_empty() => Ok(Change::Unset),
            Ok(text) if is_email(&text) => set(),
            _ => wrong(EMAIL),
        },
        Form::Point => match super::location::point(json) {
            // Members that are none of GeoJSON's are kept.
            Some(_) => readable(name, Json::from(raw)),
            None => wrong(super::location::POINT),
        },
    }
}

/// A value of the user's own, if every reader of JSON can read it.
fn readable(name: &str, json: Json) -> Result<Change, String> {
    match json.fault() {
        None => Ok(Change::Set(json)),
        Some(fault) => Err(format!("{name} {fault}.")),
    }
}

/// What an address is, for sentences.
const EMAIL: &str = "an address such as ada@example.com, of at most 254 characters";

/// Whether a text is the address of one mailbox, in one spelling as far as ASCII goes: one address must not have two
/// users.
///
/// There are no spaces, no control characters and no marks that are not seen, and one `@`. Nothing is quoted or put
/// into brackets, and no part of the domain is empty: `<ada@example.com>` and `ada@example.com.` are that mailbox
/// again. Letters and digits beyond ASCII are taken without combining accents. Unicode has more spellings of some of
/// them, such as fullwidth forms, and `xn--bcher-kva.ch` is `bücher.ch`: these remain different addresses.
#[must_use]
pub fn is_email(text: &str) -> bool {
    const { assert!(limits::EMAIL_CHARS_MAX == 254, "the sentence says so") };
    let is_seen = |letter: char| match letter.is_ascii() {
        true => letter.is_ascii_graphic() && !r#"()<>[]:;,\""#.contains(letter),
        false => letter.is_alphanumeric(),
    };
    let Some((local, domain)) = text.split_once('@') else { return false };
    !local.is_empty()
        && !domain.split('.').any(str::is_empty)
        && !domain.contains('@')
        && text.chars().count() <= limits::EMAIL_CHARS_MAX
        && text.chars().all(is_seen)
}

/// The characters of a JSON string.
fn chars(json: &str) -> Option<usize> {
    serde_json::from_str::<Cow<'_, str>>(json).ok().map(|text| text.chars().count())
}

fn texts_fit(json: &str, items: usize, chars: usize) -> bool {
    serde_json::from_str::<Vec<Cow<'_, str>>>(json)
        .is_ok_and(|texts| texts.len() <= items && texts.iter().all(|text| text.chars().count() <= chars))
}

/// Reads identifiers. Loaders that take numbers and truth values for what they look like send them so: each is the text
/// that was sent.
fn identifiers(json: &str) -> Option<Json> {
    let members: Members<'_> = serde_json::from_str(json).ok()?;
    if members.has_duplicates() || members.0.len() > limits::IDENTIFIERS_MAX {
        return None;
    }
    let mut texts = Vec::with_capacity(members.0.len());
    let mut are_strings = true;
    for (key, raw) in &members.0 {
        let text: Cow<'_, str> = match raw.get().as_bytes().first()? {
            b'"' => serde_json::from_str(raw.get()).ok()?,
            b'-' | b'0'..=b'9' | b't' | b'f' => {
                are_strings = false;
                raw.get().into()
            }
            _ => return None,
        };
        if key.chars().count() > limits::IDENTIFIER_KEY_CHARS_MAX
            || text.chars().count() > limits::IDENTIFIER_CHARS_MAX
        {
            return None;
        }
        texts.push((key, text));
    }
    if are_strings {
        return Json::parse(json.into()).ok();
    }
    let member = |(key, text): &(&Cow<'_, str>, Cow<'_, str>)| {
        format!("{}:{}", super::to_json(key), super::to_json(text))
    };
    let members: Vec<String> = texts.iter().map(member).collect();
    Json::parse(format!("{{{}}}", members.join(","))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Fields, Patch, PayloadError, ResourceKind};

    fn thng(body: &str) -> Result<Patch, PayloadError> {
        Patch::parse(ResourceKind::Thng, body.as_bytes())
    }

    fn created(kind: ResourceKind, body: &str) -> Result<Fields, PayloadError> {
        let mut fields = Fields::new(kind);
        fields.apply(&Patch::parse(kind, body.as_bytes())?, true).map(|()| fields)
    }

    #[test]
    fn identifiers_that_are_numbers_are_the_text_that_was_sent() {
        let body = r#"{"name":"n","identifiers":{"gs1:21":4837289,"a":"x","b":true,"c":1.50,"d":89445012345678901234}}"#;
        let fields = created(ResourceKind::Thng, body).expect("complete");
        assert_eq!(
            fields.get("identifiers"),
            Some(r#"{"gs1:21":"4837289","a":"x","b":"true","c":"1.50","d":"89445012345678901234"}"#)
        );
        for value in ["null", "{}", "[]", r#"["1"]"#] {
            assert!(thng(&format!(r#"{{"identifiers":{{"a":{value}}}}}"#)).is_err(), "{value}");
        }
    }

    #[test]
    fn an_address_in_ascii_has_one_spelling() {
        for text in ["ada@example.com", "a@b", "Ada.L+x@EXAMPLE.com", "operator@localhost", "jürg@bücher.ch"]
        {
            assert!(is_email(text), "{text}");
        }
        let long = format!("{}@b", "a".repeat(252));
        assert!(is_email(&long) && !is_email(&format!("a{long}")));
        for text in [
            "",
            "@",
            "a@",
            "@b",
            "ada",
            "ada@example.com ",
            " ada@example.com",
            "ada@example.com\n",
            "ada\0@example.com",
            "a@b@c",
            "ada@@example.com",
            "a b@c",
            "ada@exam\u{200b}ple.com",
            "ada\u{a0}@b",
            "ade\u{301}@b",
            "ada\u{7f}@b",
            "ada@example.com.",
            "ada@.example.com",
            "ada@example..com",
            "<ada@example.com>",
            "\"ada\"@example.com",
            "ada(comment)@example.com",
            "ada\\@example.com",
        ] {
            assert!(!is_email(text), "{text:?}");
        }
    }

    #[test]
    fn a_whole_number_is_one_by_value() {
        let role =
            |number: &str| created(ResourceKind::Role, &format!(r#"{{"name":"n","version":{number}}}"#));
        assert_eq!(role("2.0").expect("whole").integer("version"), Some(2));
        assert_eq!(role("20e-1").expect("whole").get("version"), Some("2"));
        for number in ["2.5", "\"2\"", "1e19", "true"] {
            assert!(role(number).is_err(), "{number}");
        }
    }
}
