//! Who a key is: `GET /access` and `GET /operators/:id`.

use alloc::string::String;

use serde::Serialize;

use super::to_json;

/// The one who acts with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// `operator` and, with the other kinds of keys, `app`, `userInApp`, `device`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The operator's id; clients make `/operators/:id` of it.
    pub id: String,
}

/// `GET /access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessDocument {
    /// The account that the key belongs to.
    pub account: String,
    /// Who acts.
    pub actor: Actor,
}

/// `GET /operators/:id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are the document's own")]
pub struct OperatorDocument {
    pub id: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
}

impl AccessDocument {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl OperatorDocument {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}
