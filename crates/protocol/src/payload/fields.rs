//! The fields of a resource: read from what a client sends, merged into what is stored, written as a document.
//!
//! One reader for every kind: what a field may hold is said in [`schema`](super::schema). Faults are collected, so
//! that the sender of a document learns of all at once.

use alloc::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::fmt::Write as _;

use serde_json::value::RawValue;

use super::{
    Json, LocationWrite, PayloadError, PropertyWrite, ScopesPatch,
    members::Members,
    schema::{Field, Form, ResourceKind, SetBy},
    values::values_at,
};
use crate::{
    filter::{FieldValue, integer},
    id::{Id, PropertyKey},
    limits,
};

/// The fields that a resource has, each the JSON text that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    kind: ResourceKind,
    /// In the order of the schema.
    values: Vec<Option<Json>>,
}

impl Fields {
    /// A resource of which nothing is known but the defaults.
    #[must_use]
    pub fn new(kind: ResourceKind) -> Self {
        let default =
            |field: &Field| field.default.map(|json| Json::parse(json.into()).expect("a default is JSON"));
        Self { kind, values: kind.fields().iter().map(default).collect() }
    }

    /// Reads back what [`document`](Self::document) wrote.
    ///
    /// # Errors
    /// [`PayloadError`] where the text is no JSON object.
    pub fn read(kind: ResourceKind, document: &str) -> Result<Self, PayloadError> {
        let mut given = by_name(object(document)?);
        let values = kind.fields().iter().map(|field| given.remove(field.name).map(Json::from)).collect();
        Ok(Self { kind, values })
    }

    /// Which kind this is.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// A field's JSON text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.kind.field(name).and_then(|(at, _)| self.values[at].as_ref()).map(Json::as_str)
    }

    /// A field that is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// A field that is an array of strings; nothing where there is none.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.get(name).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// A field that is an id.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<Id> {
        Id::parse(&self.text(name)?).ok()
    }

    /// A field that is a whole number.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// Sets a field to JSON; `None` removes it.
    ///
    /// # Panics
    /// Where the kind has no such field.
    pub fn set(&mut self, name: &str, json: Option<Json>) {
        let (at, _) = self.kind.field(name).expect("the kind has the field");
        self.values[at] = json;
    }

    /// Sets a field to a string.
    pub fn set_text(&mut self, name: &str, text: &str) {
        let json = Json::parse(super::to_json(&text)).expect("a string becomes JSON");
        self.set(name, Some(json));
    }

    /// Sets a field to a number.
    pub fn set_integer(&mut self, name: &str, number: i64) {
        self.set(name, Some(Json::parse(number.to_string()).expect("a number is JSON")));
    }

    /// Takes over what a patch says; `is_new` also what can only be said at the creation.
    ///
    /// # Errors
    /// One sentence for each required field that is missing.
    pub fn apply(&mut self, patch: &Patch, is_new: bool) -> Result<(), PayloadError> {
        let mut faults = Vec::new();
        for (at, field) in self.kind.fields().iter().enumerate() {
            let is_open = match field.set_by {
                SetBy::Owner => true,
                SetBy::Creator => is_new,
                SetBy::Server => false,
            };
            if !is_open {
                continue;
            }
            match &patch.changes[at] {
                Change::Keep => {}
                Change::Set(json) => self.values[at] = Some(json.clone()),
                Change::Unset if field.required => faults.push(format!("{} is required.", field.name)),
                Change::Unset => {
                    self.values[at] =
                        field.default.map(|json| Json::parse(json.into()).expect("a default is JSON"));
                }
            }
            if is_new && field.required && self.values[at].is_none() {
                faults.push(format!("{} is required.", field.name));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(PayloadError(faults)) }
    }

    /// The part of the document that is stored: everything but what the server works out when it shows it.
    #[must_use]
    pub fn document(&self, id: Option<&Id>, created_at_ms: i64) -> String {
        let mut out = String::with_capacity(256);
        out.push('{');
        if let Some(id) = id {
            let _ = write!(out, "\"id\":\"{id}\",");
        }
        for (field, value) in self.kind.fields().iter().zip(&self.values) {
            if let Some(value) = value {
                // Names of fields need no escaping.
                let _ = write!(out, "\"{}\":{},", field.name, value.as_str());
            }
        }
        let _ = write!(out, "\"createdAt\":{created_at_ms}}}");
        out
    }

    /// What lists of it can be filtered by: (field, value) of everything that an index answers. Identifiers are
    /// `identifiers.KEY`.
    pub fn terms(&self, mut term: impl FnMut(Cow<'_, str>, Cow<'_, str>)) {
        for (field, value) in self.kind.fields().iter().zip(&self.values) {
            let Some(value) = value.as_ref().filter(|_| field.indexed) else { continue };
            texts_of(field.name, value.as_str(), &mut term);
        }
    }

    /// The values at the path of a filter: none where the field is missing, several of a list.
    #[must_use]
    pub fn values_at(&self, path: &str) -> Vec<FieldValue<'static>> {
        let (name, key) = path.split_once('.').map_or((path, None), |(name, key)| (name, Some(key)));
        let Some(json) = self.get(name) else { return Vec::new() };
        values_at(json, key)
    }

    /// The same as texts.
    #[must_use]
    pub fn texts_at(&self, path: &str) -> Vec<String> {
        self.values_at(path).iter().map(|value| value.as_str().into()).collect()
    }
}

fn texts_of(name: &str, json: &str, term: &mut impl FnMut(Cow<'_, str>, Cow<'_, str>)) {
    match json.as_bytes().first() {
        Some(b'"') => {
            if let Ok(text) = serde_json::from_str::<Cow<'_, str>>(json) {
                term(name.into(), text);
            }
        }
        Some(b'[') => {
            for text in serde_json::from_str::<Vec<Cow<'_, str>>>(json).unwrap_or_default() {
                term(name.into(), text);
            }
        }
        Some(b'{') => {
            for (key, text) in
                serde_json::from_str::<BTreeMap<Cow<'_, str>, Cow<'_, str>>>(json).unwrap_or_default()
            {
                term(format!("{name}.{key}").into(), text);
            }
        }
        _ => term(name.into(), json.into()),
    }
}

/// Puts more members behind those of a JSON object that has some.
#[must_use]
pub fn with_members(object: &str, members: &[(&str, &str)]) -> String {
    let more: usize = members.iter().map(|(name, json)| name.len() + json.len() + 4).sum();
    let mut out = String::with_capacity(object.len() + more);
    out.push_str(object.strip_suffix('}').unwrap_or(object));
    for (name, json) in members {
        if !out.ends_with('{') {
            out.push(',');
        }
        let _ = write!(out, "\"{name}\":{json}");
    }
    out.push('}');
    out
}

/// What a client wants of one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Change {
    /// It was not named.
    #[default]
    Keep,
    /// This value.
    Set(Json),
    /// It said `null`, or an empty label.
    Unset,
}

/// What a `POST` or `PUT` says of a resource. What it does not name stays as it is.
///
/// Fields that only the server sets and fields that it does not know are passed over: clients send whole documents
/// back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    kind: ResourceKind,
    changes: Vec<Change>,
    /// Who sees it.
    pub scopes: Option<ScopesPatch>,
    /// First values of its properties; taken at the creation only.
    pub properties: Vec<PropertyWrite>,
    /// Its first location; taken at the creation only.
    pub location: Option<LocationWrite>,
    /// The collections that it is to be in; taken at the creation only.
    pub collections: Vec<Id>,
}

impl Patch {
    /// A patch that says nothing.
    #[must_use]
    pub fn empty(kind: ResourceKind) -> Self {
        Self {
            kind,
            changes: vec![Change::Keep; kind.fields().len()],
            scopes: None,
            properties: Vec::new(),
            location: None,
            collections: Vec::new(),
        }
    }

    /// Reads the body of a creation.
    ///
    /// # Errors
    /// [`PayloadError`] with one sentence for every field that is wrong.
    pub fn parse(kind: ResourceKind, body: &[u8]) -> Result<Self, PayloadError> {
        Self::read(kind, utf8(body)?)
    }

    /// Reads the body of a change. What can be said at the creation only is passed over unread: whole documents that
    /// are sent back hold any number of properties.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_update(kind: ResourceKind, body: &[u8]) -> Result<Self, PayloadError> {
        Self::read_for(kind, utf8(body)?, false)
    }

    /// Reads the text of a creation.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn read(kind: ResourceKind, text: &str) -> Result<Self, PayloadError> {
        Self::read_for(kind, text, true)
    }

    fn read_for(kind: ResourceKind, text: &str, is_new: bool) -> Result<Self, PayloadError> {
        let members = object(text)?;
        if members.has_duplicates() {
            return Err(PayloadError::one("The body has two members of one name."));
        }
        let mut given = by_name(members);
        let mut patch = Self::empty(kind);
        let mut faults = Vec::new();
        let mut keep = |outcome: Result<Change, String>| outcome.map_err(|fault| faults.push(fault)).ok();
        for (at, field) in kind.fields().iter().enumerate() {
            let is_open = field.set_by == SetBy::Owner || (is_new && field.set_by == SetBy::Creator);
            if let Some(raw) = given.remove(field.name).filter(|_| is_open)
                && let Some(change) = keep(read_field(field, raw))
            {
                patch.changes[at] = change;
            }
        }
        let mut extra =
            |name: &str, is_known: bool| given.remove(name).filter(|raw| is_known && raw.get() != "null");
        if let Some(raw) = extra("scopes", kind.is_scoped()) {
            match ScopesPatch::read(&Json::from(raw)) {
                Ok(scopes) => patch.scopes = Some(scopes),
                Err(error) => faults.extend(error.0),
            }
        }
        if let Some(raw) = extra("properties", is_new && kind.has_properties()) {
            match properties(raw) {
                Ok(properties) => patch.properties = properties,
                Err(fault) => faults.push(fault),
            }
        }
        if let Some(raw) =
            extra("location", is_new && kind == ResourceKind::Thng).filter(|raw| raw.get() != "{}")
        {
            match LocationWrite::read(raw.get()) {
                Ok(location) => patch.location = Some(location),
                Err(fault) => faults.push(format!("location: {fault}.")),
            }
        }
        if let Some(raw) = extra("collections", is_new && kind.has_collections()) {
            match collections(raw) {
                Ok(ids) => patch.collections = ids,
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(patch) } else { Err(PayloadError(faults)) }
    }

    /// Which kind it speaks of.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// What it says a field is to be, as JSON.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (at, _) = self.kind.field(name)?;
        match &self.changes[at] {
            Change::Set(json) => Some(json.as_str()),
            Change::Keep | Change::Unset => None,
        }
    }

    /// What it says a field is to be, as a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// What it says a field is to be, as an id.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<Id> {
        Id::parse(&self.text(name)?).ok()
    }

    /// What it says a field is to be, as an array of strings.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.get(name).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// Says a string for a field, whatever was said before.
    ///
    /// # Panics
    /// Where the kind has no such field.
    pub fn set_text(&mut self, name: &str, text: &str) {
        let (at, _) = self.kind.field(name).expect("the kind has the field");
        self.changes[at] = Change::Set(Json::parse(super::to_json(&text)).expect("a string becomes JSON"));
    }

    /// Says of a field what another patch of the same kind says of it.
    ///
    /// # Panics
    /// Where the kind has no such field.
    pub fn take(&mut self, name: &str, other: &Self) {
        let (at, _) = self.kind.field(name).expect("the kind has the field");
        self.changes[at] = other.changes[at].clone();
    }

    /// Says nothing of a field.
    ///
    /// # Panics
    /// Where the kind has no such field.
    pub fn pass_over(&mut self, name: &str) {
        let (at, _) = self.kind.field(name).expect("the kind has the field");
        self.changes[at] = Change::Keep;
    }
}

fn utf8(body: &[u8]) -> Result<&str, PayloadError> {
    core::str::from_utf8(body).map_err(|_| PayloadError::one("The body is not UTF-8 text."))
}

/// The members of a JSON object.
fn object(text: &str) -> Result<Members<'_>, PayloadError> {
    serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            PayloadError::one("The body is an object such as {\"name\": \"Lamp 7\"}.")
        } else {
            PayloadError::syntax(&error)
        }
    })
}

/// Of members of one name the last counts.
fn by_name(Members(members): Members<'_>) -> BTreeMap<Cow<'_, str>, &RawValue> {
    members.into_iter().collect()
}

fn read_field(field: &Field, raw: &RawValue) -> Result<Change, String> {
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

/// Whether a text is the address of one mailbox, in one spelling: one address must not have two users.
///
/// There are no spaces, no control characters and no marks that are not seen, and one `@`. Letters beyond ASCII are
/// taken where they are whole: `é` is one, and not `e` with an accent behind it.
#[must_use]
pub fn is_email(text: &str) -> bool {
    const { assert!(limits::EMAIL_CHARS_MAX == 254, "the sentence says so") };
    let is_seen = |letter: char| match letter.is_ascii() {
        true => letter.is_ascii_graphic(),
        false => letter.is_alphanumeric(),
    };
    let Some((local, domain)) = text.split_once('@') else { return false };
    !local.is_empty()
        && !domain.is_empty()
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

fn properties(raw: &RawValue) -> Result<Vec<PropertyWrite>, String> {
    let wrong = || {
        String::from(
            "properties is an object of property keys and their values, none of them null or longer than 128 KiB.",
        )
    };
    let Members(members): Members<'_> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    if members.len() > limits::PROPERTY_VALUES_MAX {
        return Err(format!("properties holds at most {} values.", limits::PROPERTY_VALUES_MAX));
    }
    let mut keys = BTreeSet::new();
    let mut writes = Vec::with_capacity(members.len());
    for (key, value) in members {
        let key = PropertyKey::parse(&key).map_err(|error| format!("properties: {error}."))?;
        let value = Json::from(value);
        if value.as_str() == "null" || value.as_str().len() > limits::PROPERTY_VALUE_BYTES_MAX {
            return Err(wrong());
        }
        if let Some(fault) = value.fault() {
            return Err(format!("properties: a value {fault}."));
        }
        // Keys that differ in case only are one property.
        if !keys.insert(key.clone()) {
            return Err("properties: two of the keys are one property, in upper or lower case.".into());
        }
        writes.push(PropertyWrite { key, value, timestamp_ms: None });
    }
    Ok(writes)
}

fn collections(raw: &RawValue) -> Result<Vec<Id>, String> {
    let most = limits::COLLECTIONS_MAX;
    let wrong = || format!("collections is an array of at most {most} ids of existing collections.");
    let texts: Vec<Cow<'_, str>> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    if texts.len() > most {
        return Err(wrong());
    }
    texts.iter().map(|text| Id::parse(text).map_err(|_| wrong())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thng(body: &str) -> Result<Patch, PayloadError> {
        Patch::parse(ResourceKind::Thng, body.as_bytes())
    }

    fn created(kind: ResourceKind, body: &str) -> Result<Fields, PayloadError> {
        let mut fields = Fields::new(kind);
        fields.apply(&Patch::parse(kind, body.as_bytes())?, true).map(|()| fields)
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let body = r#"{"name":"","tags":[1],"customFields":[],"identifiers":{"a":[]},"product":"x","scopes":{"users":["y"]},
            "properties":[],"location":5,"collections":["z"]}"#;
        let error = thng(body).expect_err("nothing in it is right").to_string();
        for field in [
            "name",
            "tags",
            "customFields",
            "identifiers",
            "product",
            "scopes",
            "properties",
            "location",
            "collections",
        ] {
            assert!(error.contains(field), "{field}: {error}");
        }
    }

    #[test]
    fn a_whole_document_sent_back_is_taken() {
        let body =
            r#"{"id":"x","createdAt":1,"updatedAt":2,"name":"n","location":{},"batch":5,"unknown":null}"#;
        let mut expected = Patch::empty(ResourceKind::Thng);
        expected.set_text("name", "n");
        assert_eq!(thng(body).expect("read-only and unknown fields are passed over"), expected);
    }

    #[test]
    fn a_change_ignores_fields_that_belong_to_the_creation() {
        let many: Vec<String> = (0..600).map(|n| format!("\"k{n}\":1")).collect();
        let body =
            format!(r#"{{"name":"n","properties":{{{}}},"collections":5,"location":5}}"#, many.join(","));
        let patch = Patch::parse_update(ResourceKind::Thng, body.as_bytes()).expect("only the name is read");
        assert_eq!((patch.properties.len(), patch.collections.len()), (0, 0));
        assert!(thng(&body).is_err());
    }

    #[test]
    fn required_fields_are_checked_at_creation_and_stay() {
        let error =
            created(ResourceKind::Application, r#"{"description":"d"}"#).expect_err("two are missing");
        assert_eq!(error.0, ["name is required.", "socialNetworks is required."]);
        let mut fields = created(ResourceKind::Thng, r#"{"name":"n"}"#).expect("complete");
        let patch = thng(r#"{"name":null}"#).expect("well formed");
        assert!(fields.apply(&patch, false).is_err());
    }

    #[test]
    fn null_and_an_empty_label_unset_a_field_or_reset_its_default() {
        let mut fields =
            created(ResourceKind::Thng, r#"{"name":"n","description":"d","type":"t","tags":["a"]}"#)
                .expect("complete");
        fields
            .apply(&thng(r#"{"description":null,"type":"","tags":null}"#).expect("well formed"), false)
            .expect("fits");
        assert_eq!(
            fields.document(None, 1),
            r#"{"name":"n","tags":[],"customFields":{},"identifiers":{},"createdAt":1}"#
        );
    }

    #[test]
    fn what_belongs_to_the_creation_stays_as_it_was() {
        let mut fields = created(ResourceKind::ActionType, r#"{"name":"_a"}"#).expect("complete");
        let patch = Patch::parse_update(ResourceKind::ActionType, br#"{"name":"_b","tags":["t"]}"#)
            .expect("well formed");
        fields.apply(&patch, false).expect("fits");
        assert_eq!((fields.text("name").as_deref(), fields.get("tags")), (Some("_a"), Some(r#"["t"]"#)));
    }

    #[test]
    fn a_document_round_trips_and_keeps_its_text() {
        let fields = created(ResourceKind::Thng, r#"{"name":"n","customFields":{"n":1.0, "s":"x"}}"#)
            .expect("complete");
        let document = fields.document(Some(&Id::parse(&"a".repeat(24)).expect("an id")), 7);
        assert!(document.contains(r#""customFields":{"n":1.0, "s":"x"}"#), "{document}");
        assert_eq!(Fields::read(ResourceKind::Thng, &document).expect("our own"), fields);
    }

    #[test]
    fn members_are_put_behind_those_that_are_there() {
        assert_eq!(with_members(r#"{"a":1}"#, &[("b", "2"), ("c", "[]")]), r#"{"a":1,"b":2,"c":[]}"#);
        assert_eq!(with_members("{}", &[("b", "2")]), r#"{"b":2}"#);
    }

    #[test]
    fn terms_are_what_can_be_looked_up() {
        let body = r#"{"name":"n","tags":["a","b"],"identifiers":{"gs1:21":"7"},"description":"d"}"#;
        let mut terms = Vec::new();
        let fields = created(ResourceKind::Thng, body).expect("complete");
        fields.terms(|field, value| terms.push(format!("{field}={value}")));
        assert_eq!(terms, ["name=n", "tags=a", "tags=b", "identifiers.gs1:21=7"]);
    }

    #[test]
    fn texts_are_found_by_the_path_of_a_filter() {
        let body = r#"{"name":"n","customFields":{"a":{"b":[1,"x"]},"a.b":true},"identifiers":{"x.y":"z"}}"#;
        let fields = created(ResourceKind::Thng, body).expect("complete");
        for (path, expected) in [
            ("name", &["n"][..]),
            ("identifiers.x.y", &["z"]),
            ("customFields.a.b", &["true"]),
            ("customFields.a", &[]),
            ("product", &[]),
        ] {
            assert_eq!(fields.texts_at(path), expected, "{path}");
        }
    }

    #[test]
    fn values_that_strict_readers_refuse_are_refused_everywhere() {
        for value in [r#""\udc00""#, "-1e309"] {
            for body in [
                format!(r#"{{"customFields":{{"a":[{value}]}}}}"#),
                format!(r#"{{"properties":{{"a":{value}}}}}"#),
            ] {
                let error = thng(&body).expect_err(&body).to_string();
                assert!(error.contains("holds a"), "{error}");
            }
        }
        assert!(Patch::parse(ResourceKind::Action, br#"{"location":1e999}"#).is_err());
        let place = br#"{"name":"n","position":{"type":"Point","coordinates":[8.5,47],"x":{"\udc00":1}}}"#;
        assert!(Patch::parse(ResourceKind::Place, place).is_err());
    }

    #[test]
    fn a_repeated_name_is_refused_at_any_depth() {
        for body in [
            r#"{"name":"n","properties":{"Temp":1,"temp":2}}"#,
            r#"{"name":"n","properties":{"temp":1,"\u0074emp":2}}"#,
            r#"{"name":"n","properties":{"t":{"a":1,"a":2}}}"#,
            r#"{"name":"n","customFields":{"a":1,"a":2}}"#,
            r#"{"name":"n","customFields":{"a":1,"\u0061":2}}"#,
            r#"{"name":"n","customFields":{"x":[{"a":{"b":1,"b":1}}]}}"#,
            r#"{"name":"n","identifiers":{"a":"1","a":"1"}}"#,
            r#"{"name":"n","identifiers":{"a":"1","\u0061":"2"}}"#,
            r#"{"name":"n","name":"n"}"#,
            r#"{"name":"n","\u006eame":"m"}"#,
            r#"{"name":"n","scopes":{"projects":[],"projects":[]}}"#,
        ] {
            assert!(thng(body).is_err(), "{body}");
        }
        for (kind, body) in [
            (ResourceKind::Place, r#"{"address":{"city":"a","city":"b"}}"#),
            (ResourceKind::Place, r#"{"position":{"type":"Point","coordinates":[8,47],"x":{"a":1,"a":2}}}"#),
            (
                ResourceKind::Action,
                r#"{"location":{"position":{"type":"Point","coordinates":[8,47],"a":1,"a":2}}}"#,
            ),
            (ResourceKind::Action, r#"{"customFields":{"a":1,"a":2}}"#),
            (ResourceKind::User, r#"{"birthday":{"day":1,"day":2}}"#),
            (ResourceKind::Task, r#"{"inputParameters":{"thngTemplate":{"name":"a","name":"b"}}}"#),
        ] {
            assert!(Patch::parse(kind, body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn stored_documents_with_a_name_twice_stay_readable() {
        let document =
            r#"{"name":"n","customFields":{"a":1,"a":2},"identifiers":{"k":"1","k":"2"},"createdAt":1}"#;
        let mut fields = Fields::read(ResourceKind::Thng, document).expect("it was taken once");
        assert_eq!(fields.get("customFields"), Some(r#"{"a":1,"a":2}"#));
        assert_eq!(fields.texts_at("customFields.a"), ["2"]);
        let patch = Patch::parse_update(ResourceKind::Thng, br#"{"name":"m"}"#).expect("well formed");
        fields.apply(&patch, false).expect("what is not named stays");
        let mut terms = Vec::new();
        fields.terms(|field, value| terms.push(format!("{field}={value}")));
        assert_eq!(terms, ["name=m", "identifiers.k=2"]);
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
    fn an_address_has_one_spelling() {
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

    #[test]
    fn ids_in_scopes_may_be_written_with_escapes() {
        let id = "a".repeat(24);
        let patch = |a: &str, all: &str| {
            thng(&format!(r#"{{"scopes":{{"projects":["{a}{}"],"users":["{all}"]}}}}"#, &id[1..]))
        };
        assert_eq!(patch("\\u0061", "\\u0061ll").expect("escapes"), patch("a", "all").expect("none"));
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for body in ["[]", "5", "null", "", "{"] {
            assert!(thng(body).is_err(), "{body}");
        }
    }
}
