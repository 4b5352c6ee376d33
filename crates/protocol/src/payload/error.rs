//! The document of every refusal: `{"status","errors","code","moreInfo"}`.
//!
//! It never has a field `message`: an existing client would show that and lose the rest.

use alloc::{format, string::String, vec::Vec};

use serde::Serialize;

/// What kind of refusal it is, as a number that does not change. Source: the platform's own numbers where they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// The number in `code`.
    pub code: u32,
    /// The HTTP status that it comes with.
    pub status: u16,
    /// What it means and what to do, for the page that `moreInfo` leads to.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $status:literal, $meaning:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $meaning] pub const $name: Self = Self { code: $code, status: $status, meaning: $meaning };)*
        }
        /// Every code, for the page that explains them.
        pub const ERROR_CODES: &[ErrorCode] = &[$(ErrorCode::$name),*];
    };
}

codes! {
    INVALID = 50_331_648, 400, "The request cannot be read or a field of it is missing or has a value that it cannot take. `errors` names each one.";
    NO_KEY = 50_724_865, 401, "No API key came with the request. Send it in the Authorization header, or as ?access_token= where headers cannot be set.";
    INVALID_KEY = 50_724_864, 403, "The API key is not known here or was revoked. Check that the whole key was sent and that it belongs to this server.";
    FORBIDDEN = 50_724_866, 403, "The API key may not do this. Use a key whose role or policies allow it.";
    BAD_LOGIN = 50_724_867, 401, "Email and password of an application user do not fit, or the user was not validated yet.";
    NOT_FOUND = 16_777_216, 404, "There is no such resource, or the key may not know of it.";
    METHOD = 16_777_217, 405, "The resource exists, but not with this method. The Allow header lists those that it has.";
    CONFLICT = 67_239_936, 409, "The change collides with something that exists, such as a name that is taken.";
    TOO_LARGE = 50_331_649, 413, "The body is larger than the server takes. Send less at a time, or ask its operator to raise the limit.";
    MEDIA_TYPE = 50_331_650, 415, "The body is not application/json.";
    UPGRADE = 50_331_651, 426, "This address speaks WebSocket only. Open it with a WebSocket client.";
    TOO_MANY = 50_331_652, 429, "More was asked for than a limit allows. `errors` names the limit; wait, or spread the load.";
    HEAD_TOO_LARGE = 50_331_653, 431, "The head of the HTTP request, its address and its headers, is larger than the server takes.";
    REQUEST_TIMEOUT = 50_331_654, 408, "Timed out reading the head of the HTTP request.";
    INTERNAL = 83_886_080, 500, "The server failed at something that it should be able to do. Its log has the details under the time of the request.";
    UNAVAILABLE = 83_886_081, 503, "The server cannot store or deliver right now, or is stopping. Nothing was changed: try again shortly.";
}

/// A refusal as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDocument {
    /// The HTTP status, also where no HTTP is spoken.
    pub status: u16,
    /// One sentence a fault.
    pub errors: Vec<String>,
    /// The number that does not change when sentences do.
    pub code: u32,
    /// Where to read on.
    pub more_info: String,
}

impl ErrorDocument {
    /// A refusal of this kind for these reasons.
    #[must_use]
    pub fn new(code: ErrorCode, errors: Vec<String>) -> Self {
        let more_info = format!("/docs/errors#{}", code.code);
        Self { status: code.status, errors, code: code.code, more_info }
    }

    /// The same with `moreInfo` as a whole address, below the server's own, such as `https://example.com`.
    #[must_use]
    pub fn with_base(mut self, url: &str) -> Self {
        self.more_info.insert_str(0, url);
        self
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::to_json(self)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use thng_pubsub_doc_tables::assert_documented;

    use super::*;

    #[test]
    fn every_error_code_is_documented() {
        let rows = ERROR_CODES
            .iter()
            .map(|error| [error.code.to_string(), error.status.to_string(), error.meaning.into()]);
        assert_documented("docs/errors.md", "## Codes", &["code", "status", "meaning"], rows);
    }

    #[test]
    fn an_error_document_has_the_expected_fields_and_no_message() {
        let json = ErrorDocument::new(ErrorCode::NOT_FOUND, ["Gone.".into()].into()).to_json();
        assert_eq!(
            json,
            r#"{"status":404,"errors":["Gone."],"code":16777216,"moreInfo":"/docs/errors#16777216"}"#
        );
    }

    #[test]
    fn no_two_refusals_share_a_number() {
        for (index, code) in ERROR_CODES.iter().enumerate() {
            assert!(ERROR_CODES[..index].iter().all(|other| other.code != code.code), "{}", code.code);
        }
    }
}
