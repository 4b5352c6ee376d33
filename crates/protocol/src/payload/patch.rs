//! The patch of a resource: what a client sends of it, read field by field.
//!
//! One reader for every kind: what a field may hold is said in [`schema`](super::schema). Faults are collected, so
//! that the sender of a document learns of all at once.

use alloc::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec,
    vec::Vec,
};

use serde_json::value::RawValue;

use super::{
    Json, LocationWrite, PayloadError, PropertyWrite, ScopesPatch,
    field_value::read_field,
    members::Members,
    schema::{ResourceKind, SetBy},
};
use crate::{
    id::{Id, PropertyKey},
    limits,
};

/// What a client wants of one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Change {
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
    pub(super) changes: Vec<Change>,
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
pub(super) fn object(text: &str) -> Result<Members<'_>, PayloadError> {
    serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            PayloadError::one("The body is an object such as {\"name\": \"Lamp 7\"}.")
        } else {
            PayloadError::syntax(&error)
        }
    })
}

/// Of members of one name the last counts.
pub(super) fn by_name(Members(members): Members<'_>) -> BTreeMap<Cow<'_, str>, &RawValue> {
    members.into_iter().collect()
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
    use alloc::string::ToString as _;

    use super::*;

    fn thng(body: &str) -> Result<Patch, PayloadError> {
        Patch::parse(ResourceKind::Thng, body.as_bytes())
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
