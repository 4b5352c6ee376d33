//! The JSON documents as REST shows them: what comes in is read and checked here, what goes out is written here.
//!
//! One shape: REST bodies, MQTT payloads and WebSocket messages of a resource are the same bytes.
//! Values that belong to the user (property values, custom fields) are stored as the text that was sent: `1.0` stays
//! `1.0`, and an integer of 30 digits stays whole.

use alloc::{borrow::ToOwned, boxed::Box, string::String, vec::Vec};
use core::fmt;

use serde_json::value::RawValue;

mod access;
mod action;
mod error;
mod field_value;
mod fields;
mod location;
mod members;
mod membership;
mod patch;
mod property;
mod readable;
pub mod schema;
mod scopes;
mod values;

pub use access::{AccessDocument, Actor};
pub use action::parse_actions;
pub use error::{ERROR_CODES, ErrorCode, ErrorDocument};
pub use field_value::is_email;
pub use fields::{Fields, with_members};
pub use location::{
    LocationInput, LocationUpdate, LocationWrite, Point, location_value, locations_document, parse_locations,
    point,
};
pub use members::has_duplicate_members;
pub use membership::{MembershipChange, THNGS_MAX, ids_document, membership_document, parse_ids};
pub use patch::Patch;
pub use property::{
    PropertyUpdate, PropertyWrite, history_document, latest_document, parse_writes, update_document,
};
pub use schema::{Field, Form, ResourceKind, SetBy};
pub use scopes::{Scopes, ScopesPatch, UserScope};
pub use values::{Members, texts_at, values_at};

/// Why a document is not what the resource takes: one sentence a fault, fit to be shown to its sender.
///
/// The sentences name fields, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadError(pub Vec<String>);

impl PayloadError {
    pub(crate) fn one(sentence: impl Into<String>) -> Self {
        Self([sentence.into()].into())
    }

    /// Puts what `serde_json` found into a sentence that shows where, but nothing of the document.
    fn syntax(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        Self::one(alloc::format!("The body is not a valid JSON document: line {line}, column {column}."))
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join(" "))
    }
}

impl core::error::Error for PayloadError {}

/// A JSON value, kept as the text that it came as.
#[derive(Debug, Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Takes text that is known to be one JSON value, such as what the store gives back.
    ///
    /// # Errors
    /// [`PayloadError`] where it is none.
    pub fn parse(text: String) -> Result<Self, PayloadError> {
        RawValue::from_string(text).map(Self).map_err(|error| PayloadError::syntax(&error))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// What keeps some readers from parsing it, as the end of a sentence about it.
    fn fault(&self) -> Option<&'static str> {
        readable::fault(self.as_str())
    }

    fn is_object(&self) -> bool {
        self.0.get().starts_with('{')
    }
}

impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Self {
        Self(raw.to_owned())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl serde::Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(out)
    }
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(input).map(Self)
    }
}

/// Writes a document; none of ours can fail to become JSON.
pub(crate) fn to_json<T: serde::Serialize>(document: &T) -> String {
    serde_json::to_string(document).expect("the keys of our documents are strings")
}

/// Reads `T` from a JSON object only: by itself serde also takes an array of the fields in their order.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Object<T> {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct MapOnly<T>(core::marker::PhantomData<T>);
        impl<'de, T: serde::Deserialize<'de>> serde::de::Visitor<'de> for MapOnly<T> {
            type Value = T;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            }
        }
        input.deserialize_map(MapOnly(core::marker::PhantomData)).map(Self)
    }
}
