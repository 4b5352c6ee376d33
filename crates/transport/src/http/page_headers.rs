//! Security headers: what a browser may do with an answer.
//!
//! Only documents that a browser displays and runs have a policy; every other answer is never taken for one.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};

/// The SDK compiles WebAssembly; icons are `data:` addresses.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The reference needs nothing but its own files and the API.
pub(super) const DOCS_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An example page connects to the server that its address names.
const EXAMPLE_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self' http: https: ws: wss:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// An example publishes the location of the device, at a click.
const FEATURES: &str = "camera=(), geolocation=(self), microphone=()";

/// Sets the headers of an answer; a policy that it has stays.
pub(super) fn set(response: &mut Response, is_example: bool) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_document(headers) {
        let policy = HeaderValue::from_static(if is_example { EXAMPLE_POLICY } else { POLICY });
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
        for (name, value) in [
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("permissions-policy"), FEATURES),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Whether a browser runs the scripts of such an answer.
fn is_document(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    media_type.starts_with(b"text/html") || media_type.starts_with(b"image/svg+xml")
}
