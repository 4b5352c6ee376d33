//! One REST call: who calls, with what query and body. Everything that can be refused before the resource matters.

use std::{borrow::Cow, sync::Arc};

use axum::{
    extract::{FromRequest, FromRequestParts, OriginalUri, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use thng_pubsub_protocol::{id::Id, payload::ErrorCode, topic::Topic};

use super::{Context, Refused};
use crate::edge::answer::{key_of, parameter};
use crate::gateway::{Outcome, Principal, Refusal, TimestampMs};

/// A call by somebody with a valid key.
pub(super) struct Call {
    pub(super) context: Arc<Context>,
    pub(super) principal: Arc<Principal>,
    pub(super) body: Bytes,
    head: Parts,
}

impl FromRequest<Arc<Context>> for Call {
    type Rejection = Refused;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Refused> {
        let (head, body) = request.into_parts();
        let key = key_of(&head.headers, head.uri.query()).ok_or(Refusal::NoKey)?;
        let principal = context.gateway.authenticate(&key).await?;
        let body = read_body(context, &head.headers, body).await?;
        Ok(Self { context: Arc::clone(context), principal, body, head })
    }
}

async fn read_body(context: &Context, headers: &HeaderMap, body: axum::body::Body) -> Result<Bytes, Refused> {
    let bytes_max = context.limits.body_bytes_max;
    let too_large =
        || Refused::new(ErrorCode::TOO_LARGE, &format!("The body is larger than {bytes_max} bytes."));
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let collected =
        tokio::time::timeout(context.limits.body_timeout, Limited::new(body, bytes_max).collect());
    let body = match collected.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Refused::new(ErrorCode::INVALID, "The body broke off.")),
        Err(_) => return Err(Refused::new(ErrorCode::INVALID, "The body did not come in time.")),
    };
    if !body.is_empty() && !is_json(headers) {
        let sentence = "The body must be JSON: send Content-Type: application/json.";
        return Err(Refused::new(ErrorCode::MEDIA_TYPE, sentence));
    }
    Ok(body)
}

/// A body without a type is taken for JSON: small clients leave the header out.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(media_type) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return true;
    };
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

impl Call {
    /// Publishes the body on a topic: the writes that other protocols know too.
    pub(super) async fn publish(&self, topic: &Topic) -> Result<Outcome, Refused> {
        let Context { gateway, metrics, .. } = &*self.context;
        let stored = gateway.publish_and_wait(&self.principal, topic, &self.body).await;
        match &stored {
            Ok(_) => metrics.publishes.with_label_values(&["rest"]).inc(),
            Err(refusal) => metrics.publishes_refused.with_label_values(&["rest", refusal.reason()]).inc(),
        }
        Ok(stored?)
    }

    /// A parameter of the query, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        parameter(self.head.uri.query(), name)
    }

    /// All parameters of the query, decoded.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.head.uri.query().unwrap_or_default().as_bytes())
    }

    /// A parameter that is a time in milliseconds.
    pub(super) fn time(&self, name: &str) -> Result<Option<TimestampMs>, Refused> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        let wrong = || invalid(&format!("{name} is a time in milliseconds since 1970."));
        text.parse().map(Some).map_err(|_| wrong())
    }

    /// The parameter `project`.
    pub(super) fn project(&self) -> Result<Option<Id>, Refused> {
        let Some(text) = self.parameter("project") else { return Ok(None) };
        Id::parse(&text).map(Some).map_err(|_| invalid("project is the id of a project."))
    }

    /// The path as the client called it, with `/v2` if that was there.
    pub(super) fn path(&self) -> &str {
        let original = self.head.extensions.get::<OriginalUri>();
        original.map_or(self.head.uri.path(), |uri| uri.path())
    }

    /// The address that the client used for this server, such as `http://127.0.0.1:8080`.
    pub(super) fn origin(&self) -> String {
        let header = |name| self.head.headers.get(name).and_then(|value| value.to_str().ok());
        let scheme = header("x-forwarded-proto").unwrap_or("http");
        let host = header("x-forwarded-host").or(header("host")).unwrap_or("localhost");
        format!("{scheme}://{host}")
    }
}

/// The parameters of a path, decoded; a refusal in our words where they are no text.
pub(super) struct Segments<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned + Send> FromRequestParts<Arc<Context>> for Segments<T> {
    type Rejection = Refused;

    async fn from_request_parts(head: &mut Parts, context: &Arc<Context>) -> Result<Self, Refused> {
        let path = Path::<T>::from_request_parts(head, context).await;
        path.map(|Path(segments)| Self(segments))
            .map_err(|_| invalid("The path does not decode to UTF-8 text."))
    }
}

/// 400 with one sentence.
pub(super) fn invalid(sentence: &str) -> Refused {
    Refused::new(ErrorCode::INVALID, sentence)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn json_is_json_whatever_stands_behind_the_semicolon() {
        let with = |value: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))])
        };
        assert!(is_json(&HeaderMap::new()));
        assert!(is_json(&with("Application/JSON; charset=utf-8")));
        assert!(!is_json(&with("text/plain")));
    }
}
