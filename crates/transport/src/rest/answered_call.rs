//! Counts the bytes of an answer to a REST call until its client has taken them.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use thng_pubsub_protocol::id::Id;

use super::{Context, HttpError, call::Call};
use crate::answer::counted;
use thng_pubsub_broker::{BrokerError, resources::AnswerShare};

/// What of a call is needed once it is answered.
pub(super) struct AnsweredCall {
    context: Arc<Context>,
    account: Id,
    reads: bool,
}

impl AnsweredCall {
    pub(super) fn by(call: &Call) -> Self {
        Self { context: Arc::clone(&call.context), account: call.principal().account, reads: call.reads() }
    }

    /// The answer as it is sent. A read is refused where too few bytes are free. A write has been done, so its answer says
    /// so, without the document.
    pub(super) async fn counted(self, mut response: Response) -> Result<Response, HttpError> {
        let share = response.extensions_mut().remove::<Arc<AnswerShare>>();
        let share = share.unwrap_or_else(|| self.context.resources.answer_share(Some(self.account)));
        let without_body = (!self.reads).then(|| head_of(&response));
        match (counted(&share, response).await, without_body) {
            (Err(_), Some(response)) => {
                self.report(&share, "body_omitted");
                Ok(response)
            }
            (Err(refusal), None) => {
                self.report(&share, "refused");
                Err(refusal.into())
            }
            (Ok(response), _) => Ok(response),
        }
    }

    fn report(&self, share: &AnswerShare, outcome: &'static str) {
        share.limited(outcome);
        if let Some(suppressed) = self.context.refusal_log.admit() {
            let reason = BrokerError::TooManyAnswerBytes.reason();
            tracing::info!(
                protocol = "rest",
                reason,
                outcome,
                suppressed,
                "answer limited: too few of --answer-bytes-max are free"
            );
        }
    }
}

/// The same answer without its document [RFC 7240, 4.2].
fn head_of(response: &Response) -> Response {
    let mut head = Response::new(Body::empty());
    *head.status_mut() = response.status();
    head.headers_mut().clone_from(response.headers());
    head.headers_mut().remove(header::CONTENT_TYPE);
    head.headers_mut()
        .insert(HeaderName::from_static("preference-applied"), HeaderValue::from_static("return=minimal"));
    head
}
