//! The fields of a resource: what is stored of it, merged with what a client sends, and written as a document.

use alloc::{
    borrow::Cow,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write as _;

use super::{
    Json, PayloadError,
    patch::{Change, Patch, by_name, object},
    schema::{Field, ResourceKind, SetBy},
    values::values_at,
};
use crate::{filter::FieldValue, id::Id};

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
}
