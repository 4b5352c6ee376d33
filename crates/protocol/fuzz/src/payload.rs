//! Checks what the readers of JSON documents promise for every body.
//!
//! The input is a byte that chooses the reader, and the body. There are those of the topics' rows, and those of the
//! bodies by which REST creates and changes each kind of resource.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Value, value::RawValue};
use thng_pubsub_protocol::{
    id::{ActionTypeName, Id, PropertyKey},
    limits,
    payload::{
        Fields, Form, LocationInput, LocationWrite, Patch, PayloadError, PropertyWrite, ResourceKind, Scopes,
        SetBy, THNGS_MAX, UserScope, point, with_members,
    },
};

use super::reader::{Read, Reader};

static READERS: LazyLock<Vec<Reader>> = LazyLock::new(|| {
    let key = PropertyKey::parse("t").expect("a key");
    let action_type = ActionTypeName::parse("_a").expect("a name");
    let mut readers = vec![
        Reader::Ids,
        Reader::Locations,
        Reader::Writes(None),
        Reader::Writes(Some(key)),
        Reader::Actions(None),
        Reader::Actions(Some(action_type)),
    ];
    readers.extend(ResourceKind::ALL.map(Reader::Creation));
    readers.extend(ResourceKind::ALL.map(Reader::Update));
    readers
});

/// Reads `bytes` behind the first as the body that the first says. `0` is the first reader.
///
/// # Panics
/// If the reader breaks one of its promises.
pub fn check(bytes: &[u8]) {
    let Some((selector, body)) = bytes.split_first() else { return };
    let reader = &READERS[usize::from(selector.wrapping_sub(b'0')) % READERS.len()];
    let outcome = reader.read(body);
    let Ok(text) = std::str::from_utf8(body) else {
        assert!(outcome.is_err(), "a body that is no text");
        return;
    };
    let escaped = reader.read(escaped(text).as_bytes());
    assert_eq!(
        outcome.is_ok(),
        escaped.is_ok(),
        "{escaped:?} with escapes for letters, as it is {outcome:?}"
    );
    match outcome {
        Err(error) => check_error(&error),
        Ok(read) => {
            assert_eq!(
                reader.read(format!(" \n{text}\t\r\n").as_bytes()).as_ref(),
                Ok(&read),
                "between white space"
            );
            check_read(reader, text, &read);
        }
    }
}

/// The same JSON, with an escape for each letter and digit of a string that has none.
fn escaped(json: &str) -> String {
    let (mut out, mut in_string, mut literal) = (String::with_capacity(json.len()), false, 0);
    for letter in json.chars() {
        if literal > 0 {
            literal = if letter == 'u' && out.ends_with('\\') { 4 } else { literal - 1 };
        } else if in_string && letter.is_ascii_alphanumeric() {
            out.push_str(&format!("\\u{:04X}", u32::from(letter)));
            continue;
        } else if in_string && letter == '\\' {
            literal = 1;
        } else if letter == '"' {
            in_string = !in_string;
        }
        out.push(letter);
    }
    out
}

/// Sentences that can be shown: of ours alone, since all that we write is ASCII.
fn check_error(error: &PayloadError) {
    assert!((1..=32).contains(&error.0.len()), "{error}");
    for sentence in &error.0 {
        assert!(sentence.len() <= 400 && sentence.ends_with('.'), "{sentence}");
        assert!(sentence.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{sentence}");
    }
}

fn check_read(reader: &Reader, text: &str, read: &Read) {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    assert!(
        is_json || (text.trim().is_empty() && matches!(reader, Reader::Actions(Some(_)))),
        "{text} is no JSON"
    );
    match read {
        Read::Ids(ids) => assert!(ids.len() <= THNGS_MAX),
        Read::Locations(writes) => {
            assert!(writes.len() <= limits::PROPERTY_VALUES_MAX);
            writes.iter().for_each(check_location);
        }
        Read::Writes(writes) => {
            assert!((1..=limits::PROPERTY_VALUES_MAX).contains(&writes.len()));
            writes.iter().for_each(check_write);
        }
        Read::Actions(actions) => {
            assert!((1..=limits::ACTIONS_MAX).contains(&actions.len()));
            actions.iter().for_each(|(_, patch)| check_extras(patch));
        }
        Read::Patch(patch, is_new) => {
            check_patch(text, patch, *is_new);
            check_extras(patch);
        }
    }
    let Ok(documents) = read.documents() else { return };
    for document in documents {
        value_of(&document);
        let again = reader.read(document.as_bytes()).and_then(|again| again.documents());
        assert_eq!(again.as_deref(), Ok(&[document.clone()][..]), "read from its own document");
        if let Read::Patch(patch, _) = read {
            check_document(patch.kind(), &document);
        }
        if let Read::Actions(_) = read {
            check_document(ResourceKind::Action, &document);
        }
    }
}

/// What is shown, every reader of JSON has to read.
fn value_of(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
    }
}

fn check_time(timestamp_ms: Option<i64>) {
    assert!(
        timestamp_ms.is_none_or(|time| (0..=limits::TIMESTAMP_MS_MAX).contains(&time)),
        "{timestamp_ms:?}"
    );
}

fn check_location(write: &LocationWrite) {
    check_time(write.timestamp_ms);
    if let LocationInput::At(at) = &write.input {
        let (longitude, latitude) = at.degrees();
        assert!(longitude.abs() <= 180.0 && latitude.abs() <= 90.0, "{at:?}");
        assert_eq!(point(&at.position()).as_ref(), Some(at));
    }
}

fn check_write(write: &PropertyWrite) {
    check_time(write.timestamp_ms);
    let value = value_of(write.value.as_str());
    assert!(!value.is_null() && depth(&value) <= limits::JSON_DEPTH_MAX, "{}", write.value.as_str());
    assert!(write.value.as_str().len() <= limits::PROPERTY_VALUE_BYTES_MAX);
    assert_eq!(PropertyKey::parse(write.key.as_str()).as_ref(), Ok(&write.key), "a key that is shown is one");
}

/// Each field is what was sent, if it may be set and fits its form.
fn check_patch(text: &str, patch: &Patch, is_new: bool) {
    let given: BTreeMap<String, &RawValue> = serde_json::from_str(text).expect("an object");
    for field in patch.kind().fields() {
        let is_open = field.set_by == SetBy::Owner || (is_new && field.set_by == SetBy::Creator);
        let given = given.get(field.name).filter(|_| is_open).copied();
        if field.form == Form::Identifiers {
            check_identifiers(patch.get(field.name), given);
            continue;
        }
        let given = given.map(|raw| value_of(raw.get()));
        match (patch.get(field.name), given) {
            (Some(taken), Some(given)) => {
                assert!(fits(field.form, &given), "{} takes {given}", field.name);
                if field.form == Form::Integer {
                    let taken = value_of(taken);
                    assert!(taken.is_i64() && taken.as_f64() == given.as_f64(), "{taken} of {given}");
                } else if field.form != Form::Time {
                    assert_eq!(value_of(taken), given, "{}", field.name);
                }
            }
            (None, Some(given)) => assert!(
                given.is_null()
                    || (given == "" && matches!(field.form, Form::Label | Form::Id | Form::Email)),
                "{} passes over {given}",
                field.name
            ),
            (taken, None) => assert_eq!(taken, None, "{}", field.name),
        }
    }
    if is_new {
        let update = Patch::parse_update(patch.kind(), text.as_bytes()).expect("less of it is read");
        assert_eq!(update.scopes, patch.scopes);
    }
}

/// Every identifier is stored as text: a string as it was sent, a number or a Boolean in its own spelling, which no
/// floating-point number has to hold.
fn check_identifiers(taken: Option<&str>, given: Option<&RawValue>) {
    let Some(taken) = taken else {
        return assert!(given.is_none_or(|given| given.get() == "null"), "identifiers passes over {given:?}");
    };
    let given = given.expect("identifiers come from what is given").get();
    let texts: BTreeMap<String, String> = serde_json::from_str(taken).expect("an object of texts");
    let given: BTreeMap<String, &RawValue> = serde_json::from_str(given).expect("an object");
    assert!(given.keys().eq(texts.keys()), "{given:?} became {taken}");
    assert!(texts.len() <= limits::IDENTIFIERS_MAX);
    for (key, text) in &texts {
        assert!(key.chars().count() <= limits::IDENTIFIER_KEY_CHARS_MAX, "{key}");
        assert!(text.chars().count() <= limits::IDENTIFIER_CHARS_MAX, "{text}");
        let given = given[key].get();
        if given.starts_with('"') {
            assert_eq!(value_of(given), *text, "{key}");
        } else {
            assert_eq!(given, text, "{key}");
        }
    }
}

/// The forms of the schema, for values that are parsed already.
fn fits(form: Form, value: &Value) -> bool {
    let chars = |value: &Value, most: usize| value.as_str().is_some_and(|text| text.chars().count() <= most);
    let texts = |items: usize, most: usize| {
        let fits = |texts: &Vec<Value>| texts.len() <= items && texts.iter().all(|text| chars(text, most));
        value.as_array().is_some_and(fits)
    };
    match form {
        Form::Name(most) => chars(value, most) && value != "",
        Form::Text(most) => chars(value, most),
        Form::Label => chars(value, limits::NAME_CHARS_MAX) && value != "",
        Form::Email => value.as_str().is_some_and(|text| {
            chars(value, limits::EMAIL_CHARS_MAX)
                && text.matches('@').count() == 1
                && !text.starts_with('@')
                && !text.ends_with('@')
                && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        }),
        Form::OneOf(names) => value.as_str().is_some_and(|text| names.contains(&text)),
        Form::Tags => texts(limits::TAGS_MAX, limits::TAG_CHARS_MAX),
        Form::Texts(items, most) => texts(items, most),
        Form::Identifiers => unreachable!("checked apart"),
        Form::Object => value.is_object() && depth(value) <= limits::JSON_DEPTH_MAX,
        Form::Any => depth(value) <= limits::JSON_DEPTH_MAX,
        Form::Id => value.as_str().is_some_and(|text| Id::parse(text).is_ok()),
        Form::Bool => value.is_boolean(),
        Form::Time => {
            // As for an integer, any spelling of a whole number: `-0` and `1.7e12` are floats to the oracle.
            let whole = || value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i64);
            let time = value.as_i64().or_else(whole).or_else(|| value.as_str()?.parse().ok());
            time.is_some_and(|time| (0..=limits::TIMESTAMP_MS_MAX).contains(&time))
        }
        Form::Number => value.is_number(),
        // Whole by value, in any spelling, such as `7.6e7`.
        Form::Integer => value.is_i64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Form::Point => {
            let degrees = |at: usize| value["coordinates"][at].as_f64();
            degrees(0).is_some_and(|longitude| longitude.abs() <= 180.0)
                && degrees(1).is_some_and(|latitude| latitude.abs() <= 90.0)
                && value["coordinates"].as_array().is_some_and(|numbers| numbers.len() <= 3)
                && value.get("type").is_none_or(|kind| kind == "Point" || kind.is_null())
        }
    }
}

/// The members of a creation that are no fields keep their bounds, and scopes mean the same when they are read again.
fn check_extras(patch: &Patch) {
    assert!(patch.properties.len() <= limits::PROPERTY_VALUES_MAX);
    assert!(patch.collections.len() <= limits::COLLECTIONS_MAX);
    patch.properties.iter().for_each(check_write);
    patch.location.iter().for_each(check_location);
    if let Some(change) = &patch.scopes {
        let mut scopes = Scopes::default();
        change.clone().apply(&mut scopes).expect("no list is longer than the bound");
        assert!(scopes.projects.len() <= limits::SCOPES_MAX);
        if let UserScope::Only(users) = &scopes.users {
            assert!(users.len() <= limits::SCOPES_MAX);
        }
        let again = Patch::read(patch.kind(), &format!("{{\"scopes\":{}}}", scopes.to_json()))
            .expect("our own scopes");
        let mut read_again = Scopes::default();
        let again = again.scopes.expect("scopes were written");
        again.apply(&mut read_again).expect("no list is longer than the bound");
        assert_eq!(read_again, scopes);
    }
}

/// A stored document reads as what it was written from, and is found by everything that is indexed of it.
fn check_document(kind: ResourceKind, document: &str) {
    let fields = Fields::read(kind, document).expect("a stored document");
    let id = value_of(document)["id"].as_str().and_then(|id| Id::parse(id).ok());
    assert_eq!(fields.document(id.as_ref(), 7), document);
    let longer = value_of(&with_members(document, &[("updatedAt", "8"), ("collections", "[]")]));
    assert_eq!(longer["updatedAt"], 8);
    fields.terms(|field, text| {
        assert!(
            fields.texts_at(&field).iter().any(|at| *at == text),
            "{field}={text} is not found in {document}"
        );
    });
    // A filter finds each of the user's own values by itself, whatever is beside it.
    for name in ["customFields", "identifiers", "location"] {
        let Some(json) = fields.get(name) else { continue };
        let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json) else { continue };
        for (key, value) in members {
            let text = match value_of(value.get()) {
                Value::String(text) => text,
                // A number keeps the digits that it was written with.
                Value::Number(_) | Value::Bool(_) => value.get().to_owned(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            assert_eq!(fields.texts_at(&format!("{name}.{key}")), [text], "{name}.{key} in {document}");
        }
    }
}
