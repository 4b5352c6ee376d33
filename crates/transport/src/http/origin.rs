//! Which page a request comes from, and who may read its answer: CORS and `--allowed-origins`.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use crate::{origins::AllowedOrigins, origins::WebOrigin, public_url::hosts};

/// How long a browser may remember a preflight, in seconds: a day.
const PREFLIGHT_S: HeaderValue = HeaderValue::from_static("86400");

/// Headers that pages may send: those that the API reads, and those that tracing libraries add to every request.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, accept, x-requested-with, traceparent, tracestate, baggage",
);

/// Headers of an answer that pages may read.
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static("link, location, retry-after, x-result-count");

/// Which page a request comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Pages of every origin may use the server.
    Any,
    /// One that may, or no page at all.
    Allowed(Option<HeaderValue>),
    /// One that may not.
    Foreign,
}

impl Origin {
    pub(super) fn of(request: &Request, allowed: &AllowedOrigins) -> Self {
        if *allowed == AllowedOrigins::Any {
            return Self::Any;
        }
        let headers = request.headers();
        let Some(value) = headers.get(header::ORIGIN) else { return Self::Allowed(None) };
        let origin = value.to_str().ok().and_then(WebOrigin::parse);
        let may = origin.is_some_and(|origin| allowed.contains(&origin) || is_own(headers, &origin));
        if may { Self::Allowed(Some(value.clone())) } else { Self::Foreign }
    }

    /// Of a request whose head could not be read: only who may read every answer may read its answer.
    pub(super) fn unknown(allowed: &AllowedOrigins) -> Self {
        let only_one = || HeaderValue::try_from(allowed.only_one()?.as_str()).ok();
        match allowed {
            AllowedOrigins::Any => Self::Any,
            AllowedOrigins::These(_) => Self::Allowed(only_one()),
        }
    }

    /// Says who may read the answer. Never together with credentials: there are none that a browser sends by itself.
    pub(super) fn set_headers(self, headers: &mut HeaderMap) {
        let readable_by = match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Allowed(origin) => {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
                origin
            }
            Self::Foreign => {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
                None
            }
        };
        let Some(readable_by) = readable_by else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, readable_by);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
}

/// Whether the page is the server's own. A browser says so itself in `Sec-Fetch-Site`, which no page can set; it sees
/// the address in front of a proxy that rewrites `Host`.
fn is_own(headers: &HeaderMap, origin: &WebOrigin) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
        || hosts(headers).any(|host| origin.is_of_host(host))
}

pub(super) fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
