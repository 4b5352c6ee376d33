//! The identity behind a key: `GET /access`.

use alloc::string::String;

use serde::Serialize;

use super::to_json;

/// The one who acts with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// `operator`, `app` (public and secret keys alike), `userInApp`, `device` or `accessToken`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The id of the operator, application, user, thng or token; clients make `/operators/:id` and the like of it.
    pub id: String,
}

/// `GET /access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessDocument {
    /// The account that the key belongs to.
    pub account: String,
    /// The identity that acts.
    pub actor: Actor,
    /// The project of an application, a user or a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The application of an application's or a user's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

impl AccessDocument {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}
