//! REST: paths and documents as the platform's clients know them. One file a resource.
//!
//! What a topic can do goes through [`Gateway::publish`](crate::gateway::Gateway::publish), as from every other
//! protocol; the rest are calls of the gateway that no topic has.

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use thng_pubsub_protocol::payload::{ErrorCode, ErrorDocument};

use super::{
    Context,
    answer::{document, json, refuse, render},
};
use crate::gateway::Refusal;

mod access;
mod call;
mod list;
mod properties;
mod thngs;

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

/// The answer where no resource has this path.
pub(super) async fn not_found() -> Response {
    render(&Refusal::NotFound)
}

/// The answer where the path exists with other methods; axum adds them as `Allow`.
pub(super) async fn method_not_allowed() -> Response {
    refuse(
        ErrorCode::METHOD,
        "This resource does not have this method; the Allow header lists those that it has.",
    )
}
