//! Thngs: what `POST` and `PUT` take, what every door shows.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{Json, Object, PayloadError, PropertyWrite, to_json};
use crate::{
    id::{Id, PropertyKey},
    limits,
};

/// Who of a project's users sees a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserScope {
    /// `["all"]`: every user.
    All,
    /// These users.
    Only(Vec<Id>),
}

/// Which projects and users a resource is visible to. Operators of the account see it whatever stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    /// The projects.
    pub projects: Vec<Id>,
    /// The users.
    pub users: UserScope,
}

impl Default for Scopes {
    fn default() -> Self {
        Self { projects: Vec::new(), users: UserScope::Only(Vec::new()) }
    }
}

#[derive(Serialize, Deserialize)]
struct ScopesDocument<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    projects: Option<Vec<&'a str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    users: Option<Vec<&'a str>>,
}

impl Serialize for Scopes {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let users = match &self.users {
            UserScope::All => Vec::from(["all"]),
            UserScope::Only(users) => users.iter().map(Id::as_str).collect(),
        };
        let projects = self.projects.iter().map(Id::as_str).collect();
        ScopesDocument { projects: Some(projects), users: Some(users) }.serialize(out)
    }
}

/// A change of scopes: what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopesPatch {
    /// The new projects.
    pub projects: Option<Vec<Id>>,
    /// The new users.
    pub users: Option<UserScope>,
}

impl ScopesPatch {
    /// Changes `scopes` accordingly.
    pub fn apply(self, scopes: &mut Scopes) {
        if let Some(projects) = self.projects {
            scopes.projects = projects;
        }
        if let Some(users) = self.users {
            scopes.users = users;
        }
    }

    fn read(raw: &Json) -> Result<Self, PayloadError> {
        let wrong = || {
            PayloadError::one(
                "scopes is an object such as {\"projects\": [project ids], \"users\": [user ids or \"all\"]}.",
            )
        };
        let ids = |ids: &[&str]| {
            ids.iter().map(|id| Id::parse(id).map_err(|_| wrong())).collect::<Result<Vec<_>, _>>()
        };
        let document: ScopesDocument<'_> = serde_json::from_str(raw.as_str()).map_err(|_| wrong())?;
        let too_many =
            |ids: &Option<Vec<&str>>| ids.as_ref().is_some_and(|ids| ids.len() > limits::SCOPES_MAX);
        if too_many(&document.projects) || too_many(&document.users) {
            return Err(PayloadError::one(format!(
                "scopes holds at most {} projects and {} users.",
                limits::SCOPES_MAX,
                limits::SCOPES_MAX
            )));
        }
        let projects = document.projects.map(|projects| ids(&projects)).transpose()?;
        let users = match document.users.as_deref() {
            None => None,
            Some(["all"]) => Some(UserScope::All),
            Some(users) => Some(UserScope::Only(ids(users)?)),
        };
        Ok(Self { projects, users })
    }
}

/// What a `POST /thngs` or a `PUT /thngs/:id` says. A field that is `None` was not said.
///
/// Fields that only the server sets (`id`, `createdAt`, …) and fields that it does not know are passed over: clients
/// send whole documents back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThngInput {
    /// Required on creation.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Free text; an empty one takes the type away.
    pub kind: Option<String>,
    /// Replaced whole.
    pub tags: Option<Vec<String>>,
    /// Replaced whole; an object.
    pub custom_fields: Option<Json>,
    /// Replaced whole.
    pub identifiers: Option<BTreeMap<String, String>>,
    /// The product that this thng is one of.
    pub product: Option<Id>,
    /// Who sees it.
    pub scopes: Option<ScopesPatch>,
    /// First values; taken on creation only.
    pub properties: Vec<PropertyWrite>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputDocument {
    #[serde(default)]
    name: Option<Json>,
    #[serde(default)]
    description: Option<Json>,
    #[serde(default, rename = "type")]
    kind: Option<Json>,
    #[serde(default)]
    tags: Option<Json>,
    #[serde(default)]
    custom_fields: Option<Json>,
    #[serde(default)]
    identifiers: Option<Json>,
    #[serde(default)]
    product: Option<Json>,
    #[serde(default)]
    scopes: Option<Json>,
    #[serde(default)]
    properties: Option<Json>,
}

/// Collects what is wrong with a document, so that whoever sent it hears everything at once.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn take<T>(&mut self, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|fault| self.0.push(fault)).ok()
    }

    fn text(&mut self, field: &str, raw: Option<Json>, chars_max: usize) -> Option<String> {
        let read = |raw: Json| {
            serde_json::from_str::<String>(raw.as_str())
                .ok()
                .filter(|text| text.chars().count() <= chars_max)
                .ok_or_else(|| format!("{field} is a string of at most {chars_max} characters."))
        };
        raw.and_then(|raw| self.take(read(raw)))
    }

    fn tags(&mut self, raw: Option<Json>) -> Option<Vec<String>> {
        let fits = |tags: &Vec<String>| {
            tags.len() <= limits::TAGS_MAX
                && tags.iter().all(|tag| tag.chars().count() <= limits::TAG_CHARS_MAX)
        };
        let (count, chars) = (limits::TAGS_MAX, limits::TAG_CHARS_MAX);
        let wrong =
            || format!("tags is an array of at most {count} strings of at most {chars} characters each.");
        raw.and_then(|raw| self.take(serde_json::from_str(raw.as_str()).ok().filter(fits).ok_or_else(wrong)))
    }

    fn identifiers(&mut self, raw: Option<Json>) -> Option<BTreeMap<String, String>> {
        let (count, key_chars, chars) =
            (limits::IDENTIFIERS_MAX, limits::IDENTIFIER_KEY_CHARS_MAX, limits::IDENTIFIER_CHARS_MAX);
        let fits = |map: &BTreeMap<String, String>| {
            map.len() <= count
                && map
                    .iter()
                    .all(|(key, value)| key.chars().count() <= key_chars && value.chars().count() <= chars)
        };
        let wrong = || {
            format!(
                "identifiers is an object of at most {count} strings of {chars} characters, with keys of {key_chars}."
            )
        };
        raw.and_then(|raw| self.take(serde_json::from_str(raw.as_str()).ok().filter(fits).ok_or_else(wrong)))
    }

    fn object(&mut self, field: &str, raw: Option<Json>) -> Option<Json> {
        let fits = |raw: &Json| raw.is_object() && raw.is_shallow();
        let wrong =
            || format!("{field} is an object that nests at most {} levels deep.", limits::JSON_DEPTH_MAX);
        raw.and_then(|raw| self.take(Some(raw).filter(fits).ok_or_else(wrong)))
    }

    fn id(&mut self, field: &str, raw: Option<Json>) -> Option<Id> {
        let read =
            |raw: Json| serde_json::from_str::<String>(raw.as_str()).ok().and_then(|id| Id::parse(&id).ok());
        raw.and_then(|raw| {
            self.take(read(raw).ok_or_else(|| format!("{field} is the id of an existing resource.")))
        })
    }

    fn properties(&mut self, raw: Option<Json>) -> Vec<PropertyWrite> {
        let wrong = || {
            String::from(
                "properties is an object of property keys and their values, none of them null, deeply nested or longer than 128 KiB.",
            )
        };
        let read = |raw: Json| {
            let map: BTreeMap<String, Box<serde_json::value::RawValue>> =
                serde_json::from_str(raw.as_str()).map_err(|_| wrong())?;
            map.iter()
                .map(|(key, value)| {
                    let key = PropertyKey::parse(key).map_err(|error| format!("properties: {error}."))?;
                    let fits = |value: &Json| {
                        value.as_str() != "null"
                            && value.is_shallow()
                            && value.as_str().len() <= limits::PROPERTY_VALUE_BYTES_MAX
                    };
                    let value = Some(Json::from(&**value)).filter(fits).ok_or_else(wrong)?;
                    Ok(PropertyWrite { key, value, timestamp_ms: None })
                })
                .collect()
        };
        raw.and_then(|raw| self.take(read(raw))).unwrap_or_default()
    }
}

impl ThngInput {
    /// Reads a body.
    ///
    /// # Errors
    /// [`PayloadError`] with one sentence for every field that is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, PayloadError> {
        let text =
            core::str::from_utf8(body).map_err(|_| PayloadError::one("The body is not UTF-8 text."))?;
        let Object(document): Object<InputDocument> = serde_json::from_str(text).map_err(|error| {
            if error.is_data() {
                PayloadError::one("The body is an object such as {\"name\": \"Lamp 7\"}.")
            } else {
                PayloadError::syntax(&error)
            }
        })?;
        let mut faults = Faults::default();
        let scopes = document.scopes.and_then(|raw| {
            let read = ScopesPatch::read(&raw);
            faults.take(read.map_err(|error| error.0.join(" ")))
        });
        let input = Self {
            name: faults.text("name", document.name, limits::NAME_CHARS_MAX),
            description: faults.text("description", document.description, limits::DESCRIPTION_CHARS_MAX),
            kind: faults.text("type", document.kind, limits::NAME_CHARS_MAX),
            tags: faults.tags(document.tags),
            custom_fields: faults.object("customFields", document.custom_fields),
            identifiers: faults.identifiers(document.identifiers),
            product: faults.id("product", document.product),
            scopes,
            properties: faults.properties(document.properties),
        };
        if input.name.as_deref().is_some_and(str::is_empty) {
            faults.0.push("name is not empty.".into());
        }
        if input.properties.len() > limits::PROPERTY_VALUES_MAX {
            faults.0.push(format!("properties holds at most {} values.", limits::PROPERTY_VALUES_MAX));
        }
        if faults.0.is_empty() { Ok(input) } else { Err(PayloadError(faults.0)) }
    }
}

/// A thng as REST shows it. Fields that are `None` or empty are left out; `properties` is there when it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are the document's own")]
pub struct ThngDocument<'a> {
    pub id: &'a str,
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<&'a str>,
    pub tags: &'a [String],
    pub custom_fields: &'a Json,
    pub identifiers: &'a BTreeMap<String, String>,
    pub created_at: i64,
    pub updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<&'a Scopes>,
}

impl ThngDocument<'_> {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let body = br#"{"name":"","tags":[1],"customFields":[],"identifiers":{"a":1},"product":"x","scopes":{"users":["y"]}}"#;
        let error = ThngInput::parse(body).expect_err("nothing in it is right").to_string();
        for field in ["name", "tags", "customFields", "identifiers", "product", "scopes"] {
            assert!(error.contains(field), "{field}: {error}");
        }
    }

    #[test]
    fn a_whole_document_sent_back_is_taken() {
        let body = br#"{"id":"x","createdAt":1,"updatedAt":2,"name":"n","location":{},"unknown":null}"#;
        let input = ThngInput::parse(body).expect("read-only and unknown fields are passed over");
        assert_eq!(input, ThngInput { name: Some("n".into()), ..ThngInput::default() });
    }

    #[test]
    fn scopes_change_field_by_field() {
        let input = ThngInput::parse(br#"{"scopes":{"users":["all"]}}"#).expect("well formed");
        let mut scopes = Scopes {
            projects: [Id::parse("UeECn9a8PBpar8x4FEGdMsDd").expect("an id")].into(),
            ..Scopes::default()
        };
        input.scopes.expect("said").apply(&mut scopes);
        assert_eq!(to_json(&scopes), r#"{"projects":["UeECn9a8PBpar8x4FEGdMsDd"],"users":["all"]}"#);
    }

    #[test]
    fn custom_fields_keep_their_text() {
        let input = ThngInput::parse(br#"{"customFields":{"n":1.0, "s":"x"}}"#).expect("well formed");
        assert_eq!(input.custom_fields.expect("said").as_str(), r#"{"n":1.0, "s":"x"}"#);
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for body in ["[]", "5", "null", "", "{"] {
            assert!(ThngInput::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
