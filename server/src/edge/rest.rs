//! REST: paths and documents as the platform's clients know them. One file a resource.
//!
//! What a topic can do goes through [`Gateway::publish`](crate::gateway::Gateway::publish), as from every other
//! protocol; the rest are calls of the gateway that no topic has.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use thng_pubsub_protocol::payload::{ErrorCode, ErrorDocument};

use super::{Context, http::json};
use crate::gateway::Refusal;

mod access;
mod call;
mod list;
mod properties;
mod thngs;

pub(super) use call::key_of;

/// The resources. Served at `/` and again at `/v2`.
pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/access", get(access::access))
        .route("/operators/{id}", get(access::operator))
        .route("/thngs", get(thngs::list).post(thngs::create))
        .route("/thngs/{id}", get(thngs::read).put(thngs::update).delete(thngs::delete))
        .route(
            "/thngs/{id}/properties",
            get(properties::latest)
                .put(properties::update)
                .post(properties::update)
                .delete(properties::delete),
        )
        .route(
            "/thngs/{id}/properties/{key}",
            get(properties::history)
                .put(properties::update_one)
                .post(properties::update_one)
                .delete(properties::delete_one),
        )
}

/// A refusal on its way to becoming a response: what handlers return.
#[derive(Debug)]
struct Refused(Box<ErrorDocument>);

impl Refused {
    fn new(code: ErrorCode, sentence: &str) -> Self {
        Self(Box::new(ErrorDocument::new(code, vec![sentence.into()])))
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(refusal.document()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        document(&self.0)
    }
}

/// A refusal as a response.
pub(super) fn refuse(code: ErrorCode, sentence: &str) -> Response {
    document(&ErrorDocument::new(code, vec![sentence.into()]))
}

/// The gateway's refusal as a response: the one place where REST renders it.
pub(super) fn render(refusal: &Refusal) -> Response {
    document(&refusal.document())
}

fn document(document: &ErrorDocument) -> Response {
    let status = StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, document.to_json());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The answer where no resource has this path.
pub(super) async fn not_found() -> Response {
    render(&Refusal::NotFound)
}

/// The answer where the path exists with other methods; axum adds them as `Allow`.
pub(super) async fn method_not_allowed(_headers: HeaderMap) -> Response {
    refuse(
        ErrorCode::METHOD,
        "This resource does not have this method; the Allow header lists those that it has.",
    )
}
