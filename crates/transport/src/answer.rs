//! Shared parts of everything over HTTP: reading the API key, and the form of answers and errors.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use thng_pubsub_protocol::payload::{ErrorCode, ErrorDocument};

use thng_pubsub_broker::{BrokerError, resources::AnswerShare};

/// The API key of a request: the Authorization header, with or without a scheme in front, or `?access_token=`.
pub(super) fn key_of(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let header = authorization(headers).map(|value| without_scheme(value).unwrap_or(value).to_owned());
    header.or_else(|| parameter(query, "access_token").map(Cow::into_owned))
}

/// The API key of an upgrade that needs none. A header of another scheme is not for the service: a browser sends what it
/// knows for the host, and a proxy what it asked for itself.
pub(super) fn optional_key_of(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let header = authorization(headers).and_then(without_scheme).filter(|key| !key.is_empty());
    header.map(str::to_owned).or_else(|| parameter(query, "access_token").map(Cow::into_owned))
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
}

/// The key in an Authorization header that has no scheme, or one that comes before API keys.
fn without_scheme(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ').unwrap_or(("", value));
    let is_known = ["", "token", "bearer"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
    is_known.then(|| key.trim())
}

/// A parameter of a query, decoded.
pub(super) fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<Cow<'q, str>> {
    form_urlencoded::parse(query?.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Unused bytes that the buffer of an answer may have.
const SPARE_BYTES_MAX: usize = 4 * 1024;

/// A JSON answer.
pub(super) fn json(status: StatusCode, mut body: String) -> Response {
    // What is counted is what is in use.
    if body.capacity() - body.len() > SPARE_BYTES_MAX {
        body.shrink_to_fit();
    }
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, headers, Body::from(body)).into_response()
}

/// A refusal as a response.
pub(super) fn refuse(code: ErrorCode, sentence: &str) -> Response {
    document(&ErrorDocument::new(code, vec![sentence.into()]), None)
}

/// The broker's error as a response: rendered for HTTP here only.
pub(super) fn render(refusal: &BrokerError) -> Response {
    document(&refusal.document(), retry_after_s(refusal))
}

/// When it is worth trying again, in seconds, where the refusal knows.
pub(super) fn retry_after_s(refusal: &BrokerError) -> Option<u32> {
    match refusal {
        BrokerError::TooOften(exceeded) => Some(exceeded.retry_after_s),
        BrokerError::PasswordQueueFull => Some(1),
        _ => None,
    }
}

/// A refusal's document as a response.
pub(super) fn document(document: &ErrorDocument, retry_after_s: Option<u32>) -> Response {
    let status = StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, document.to_json());
    response.extensions_mut().insert(document.clone());
    let soon = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
    if let Some(seconds) = retry_after_s.or(soon) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Makes the body of an answer count until it is written.
///
/// # Errors
/// [`BrokerError`] where too few bytes are free for it.
pub(super) async fn counted(share: &Arc<AnswerShare>, response: Response) -> Result<Response, BrokerError> {
    let (head, body) = response.into_parts();
    // All bodies are in memory already, so nothing is waited for, and nothing fails.
    let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(|_| BrokerError::Unavailable)?;
    Ok(Response::from_parts(head, Body::from(share.body(bytes)?)))
}

/// Makes `moreInfo` of an answer that is an error document a whole address below `url`.
pub(super) fn with_whole_links(mut response: Response, url: &str) -> Response {
    if let Some(document) = response.extensions_mut().remove::<ErrorDocument>() {
        *response.body_mut() = Body::from(document.with_base(url).to_json());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_key_is_found_with_and_without_a_scheme_and_in_the_query() {
        for value in ["abc", "Token abc", "bearer abc"] {
            assert_eq!(key_of(&with(value), None).as_deref(), Some("abc"), "{value}");
        }
        assert_eq!(key_of(&HeaderMap::new(), Some("x=1&access_token=a%2Bc")).as_deref(), Some("a+c"));
        assert_eq!(key_of(&HeaderMap::new(), None), None);
        assert_eq!(key_of(&with("Basic abc"), None).as_deref(), Some("Basic abc"), "it is refused");
    }

    #[test]
    fn where_no_key_is_needed_other_schemes_bring_none() {
        for value in ["abc", "Token abc", "bearer abc"] {
            assert_eq!(optional_key_of(&with(value), Some("access_token=x")).as_deref(), Some("abc"));
        }
        for value in ["Basic dXNlcjpwYXNz", "Digest username=\"a\", realm=\"b\"", "", "Bearer "] {
            assert_eq!(optional_key_of(&with(value), None), None, "{value}");
            assert_eq!(optional_key_of(&with(value), Some("access_token=x")).as_deref(), Some("x"));
        }
    }
}
