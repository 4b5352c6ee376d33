//! REST: paths and documents as the platform's clients know them.
//!
//! [`router`] is the whole URL space on one page, [`openapi`] its description, and [`asyncapi`] that of the topics. The
//! handlers are one file a noun; [`resource`] has what all kinds of resources share. Writes that a publish
//! can do as well count for the limits and metrics of publishes.

use axum::response::{IntoResponse, Response};
use thng_pubsub_protocol::payload::{ErrorCode, ErrorDocument};

use super::{
    Context,
    answer::{document, json, refuse, render, retry_after_s},
};
use thng_pubsub_broker::BrokerError;

mod action;
mod answered_call;
mod application;
pub(super) mod asyncapi;
mod call;
mod client_events;
mod collection;
mod device;
mod examples;
mod list;
mod location;
pub(super) mod openapi;
mod operator;
mod parameters;
mod property;
mod resource;
mod role;
mod router;
mod task;
#[cfg(test)]
mod tests;
mod time;
mod user;

pub(super) use router::routes;

/// A refusal on its way to becoming a response: what handlers return.
#[derive(Debug)]
struct HttpError {
    document: Box<ErrorDocument>,
    retry_after_s: Option<u32>,
    /// What it is for log and journal.
    refusal: BrokerError,
}

impl HttpError {
    fn new(code: ErrorCode, sentence: &str) -> Self {
        Self {
            document: Box::new(ErrorDocument::new(code, vec![sentence.into()])),
            retry_after_s: None,
            refusal: BrokerError::invalid(sentence),
        }
    }
}

impl From<BrokerError> for HttpError {
    fn from(refusal: BrokerError) -> Self {
        Self { document: Box::new(refusal.document()), retry_after_s: retry_after_s(&refusal), refusal }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        document(&self.document, self.retry_after_s)
    }
}

/// The answer where no resource has this path.
pub(super) async fn not_found() -> Response {
    render(&BrokerError::NotFound)
}

/// The answer where the path exists with other methods; axum adds them as `Allow`.
pub(super) async fn method_not_allowed() -> Response {
    refuse(
        ErrorCode::METHOD,
        "This resource does not have this method; the Allow header lists those that it has.",
    )
}
