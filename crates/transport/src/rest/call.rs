//! One REST call: who calls, with what query and body. Everything that can be refused before the resource matters.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRequest, FromRequestParts, OriginalUri, RawPathParams, Request},
    http::{HeaderMap, Method, Uri, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use thng_pubsub_protocol::{
    filter::integer,
    id::Id,
    payload::{ErrorCode, Json},
    topic::table::Access,
};

use super::{Context, HttpError};
use crate::{
    accept::AcceptedConnection,
    answer::{key_of, parameter},
    client_reports::{Client, Refused},
    logged_error::LoggedError,
    public_url::public_url,
};
use thng_pubsub_broker::{
    BrokerError, RequestContext,
    identity::{EXPLAIN, Identity, Login, Principal},
    resources::Resources,
    resources::{AnswerShare, TimestampMs},
};

const PROTOCOL: &str = "rest";

/// Characters of a user agent that an action remembers.
const USER_AGENT_CHARS_MAX: usize = 512;

/// A call with a valid key that may use this verb on this path.
pub(super) struct Call {
    pub(super) context: Arc<Context>,
    pub(super) body: Bytes,
    /// The key as it came: an operator's access shows the operator's own.
    pub(super) key: String,
    request: RequestContext,
    /// Whether the call changes nothing.
    reads: bool,
    segments: Vec<(String, String)>,
    head: Parts,
}

impl FromRequest<Arc<Context>> for Call {
    type Rejection = HttpError;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, HttpError> {
        let mut reporter = RequestReporter::new(context, &request);
        let key = key_of(request.headers(), request.uri().query());
        let call = Self::read(request, key.as_deref(), context, &mut reporter).await;
        call.inspect_err(|error| reporter.refused(error, key.as_deref()))
    }
}

impl Call {
    /// Reads a request; `reporter` receives its principal.
    async fn read(
        request: Request,
        key: Option<&str>,
        context: &Arc<Context>,
        reporter: &mut RequestReporter,
    ) -> Result<Self, HttpError> {
        let (mut head, body) = request.into_parts();
        let key = key.ok_or(BrokerError::NoKey)?.to_owned();
        let principal = context.authenticate(reporter.address, &key).await?;
        reporter.principal = Some(Arc::clone(&principal));
        context.rates.request_of_key(&principal.key)?;
        let access = match head.method {
            Method::POST if plain_path(path_of(&head)) == EXPLAIN => Access::Read,
            Method::POST => Access::Create,
            Method::PUT => Access::Update,
            Method::DELETE => Access::Delete,
            _ => Access::Read,
        };
        let decoded = RawPathParams::from_request_parts(&mut head, context).await;
        let segments = decoded
            .map_err(|_| invalid("The path does not decode to UTF-8 text."))?
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let request = RequestContext::new(&principal, access, plain_path(path_of(&head)));
        // Before the body: who may not do this has no need to send it.
        request.permit()?;
        let reads = access == Access::Read;
        let mut call =
            Self { context: Arc::clone(context), body: Bytes::new(), key, request, reads, segments, head };
        call.request.project = call.id_parameter("project")?;
        call.request.app = call.id_parameter("app")?;
        call.body = read_body(context, &call.head.headers, body).await?;
        Ok(call)
    }
}

/// What a report about a call needs, also when the call is gone.
pub(super) struct RequestReporter {
    context: Arc<Context>,
    address: IpAddr,
    uri: Uri,
    principal: Option<Arc<Principal>>,
}

impl RequestReporter {
    fn new(context: &Arc<Context>, request: &Request) -> Self {
        let original = request.extensions().get::<OriginalUri>();
        Self {
            context: Arc::clone(context),
            address: AcceptedConnection::address_in(request.extensions()),
            uri: original.map_or_else(|| request.uri().clone(), |uri| uri.0.clone()),
            principal: None,
        }
    }

    /// Of a call that was read.
    pub(super) fn of(call: &Call) -> Self {
        let original = call.head.extensions.get::<OriginalUri>();
        Self {
            context: Arc::clone(&call.context),
            address: call.address(),
            uri: original.map_or_else(|| call.head.uri.clone(), |uri| uri.0.clone()),
            principal: Some(Arc::clone(call.request.principal())),
        }
    }

    /// Reports that the call was refused; `key` is what came as its key.
    pub(super) fn refused(&self, error: &HttpError, key: Option<&str>) {
        let path = plain_path(self.uri.path());
        let rejected = LoggedError::on_text(error.refusal.clone(), self.principal.as_deref(), path);
        let client = Client { protocol: PROTOCOL, address: self.address, client_id: None };
        self.context.report_refusal(client, Refused::Request, &rejected.with_key(key));
    }
}

async fn read_body(
    context: &Context,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<Bytes, HttpError> {
    let bytes_max = context.limits.body_bytes_max;
    let too_large =
        || HttpError::new(ErrorCode::TOO_LARGE, &format!("The body is larger than {bytes_max} bytes."));
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
        Ok(Err(_)) => return Err(HttpError::new(ErrorCode::INVALID, "The request body was truncated.")),
        Err(_) => return Err(HttpError::new(ErrorCode::INVALID, "Timed out reading the request body.")),
    };
    if !body.is_empty() && !is_json(headers) {
        let sentence = "The body must be JSON: send Content-Type: application/json.";
        return Err(HttpError::new(ErrorCode::MEDIA_TYPE, sentence));
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
    pub(super) fn resources(&self) -> &Resources {
        &self.context.resources
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.context.identity
    }

    /// The principal, verb and path, and what they reach.
    pub(super) fn request(&self) -> &RequestContext {
        &self.request
    }

    /// The same with what an action remembers of how it came about.
    pub(super) fn request_with_context(&self) -> RequestContext {
        let mut members = serde_json::Map::new();
        if let Some(admitted) = self.head.extensions.get::<AcceptedConnection>() {
            members.insert("ipAddress".into(), admitted.peer.ip().to_string().into());
        }
        if let Some(agent) = self.head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()) {
            let agent: String = agent.chars().take(USER_AGENT_CHARS_MAX).collect();
            members.insert("userAgent".into(), agent.into());
        }
        let mut request = self.request.clone();
        request.context = Json::parse(serde_json::Value::Object(members).to_string()).ok();
        request
    }

    /// Whether the call changes nothing.
    pub(super) fn reads(&self) -> bool {
        self.reads
    }

    /// What the answer occupies.
    pub(super) fn answer_share(&self) -> Arc<AnswerShare> {
        self.resources().answer_share(Some(self.request.principal().account))
    }

    /// The principal.
    pub(super) fn principal(&self) -> &Principal {
        self.request.principal()
    }

    /// Performs a write that other protocols request by a publish: with the limits and metrics of publishes.
    pub(super) async fn publish<T>(
        &self,
        write: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, HttpError> {
        let stored = match self.context.rates.publish(self.address(), &self.request.principal().key) {
            Ok(()) => write.await,
            Err(refusal) => Err(refusal),
        };
        let metrics = &self.context.metrics;
        match &stored {
            Ok(_) => metrics.publishes.with_label_values(&[PROTOCOL]).inc(),
            Err(refusal) => {
                metrics.publishes_refused.with_label_values(&[PROTOCOL, refusal.reason()]).inc();
            }
        }
        Ok(stored?)
    }

    /// Whose call it is, for what is counted by address.
    pub(super) fn address(&self) -> IpAddr {
        AcceptedConnection::address_in(&self.head.extensions)
    }

    /// Lets a user in who knows their password, unless too many of this address did not know theirs.
    pub(super) async fn log_in(&self) -> Result<Login, HttpError> {
        let tried = self.context.rates.try_password(self.address())?;
        let login = self.identity().log_in(self.request(), self.address(), &self.body).await;
        if !matches!(login, Err(BrokerError::BadLogin)) {
            tried.forgive();
        }
        Ok(login?)
    }

    /// A parameter of the path, decoded; empty where the path has none of this name.
    pub(super) fn segment(&self, name: &str) -> &str {
        self.segments.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The id in the path; text that can be none is simply not found.
    pub(super) fn id(&self, name: &str) -> Result<Id, HttpError> {
        Id::parse(self.segment(name)).map_err(|_| BrokerError::NotFound.into())
    }

    /// A parameter of the query, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        parameter(self.head.uri.query(), name)
    }

    /// Whether a parameter of the query says `true`.
    pub(super) fn says(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value == "true")
    }

    /// All parameters of the query, decoded.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.head.uri.query().unwrap_or_default().as_bytes())
    }

    /// A parameter that is a time in milliseconds.
    pub(super) fn time(&self, name: &str) -> Result<Option<TimestampMs>, HttpError> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        let wrong = || invalid(&format!("{name} is a time in milliseconds since 1970."));
        integer(&text).map(Some).ok_or_else(wrong)
    }

    fn id_parameter(&self, name: &str) -> Result<Option<Id>, HttpError> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        Id::parse(&text).map(Some).map_err(|_| invalid(&format!("{name} is an id of 24 letters and digits.")))
    }

    /// The path as the client called it, with `/v2` if that was there.
    pub(super) fn path(&self) -> &str {
        path_of(&self.head)
    }

    /// The address that the client used for this server, such as `http://127.0.0.1:8080`.
    pub(super) fn origin(&self) -> String {
        let is_tls =
            self.head.extensions.get::<AcceptedConnection>().is_some_and(AcceptedConnection::is_https);
        public_url(&self.head.headers, is_tls)
    }
}

/// The path as the client called it, with `/v2` if that was there.
fn path_of(head: &Parts) -> &str {
    let original = head.extensions.get::<OriginalUri>();
    original.map_or(head.uri.path(), |uri| uri.path())
}

/// The path without `/v2`.
fn plain_path(path: &str) -> &str {
    path.strip_prefix("/v2").filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// 400 with one sentence.
pub(super) fn invalid(sentence: &str) -> HttpError {
    HttpError::new(ErrorCode::INVALID, sentence)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn json_with_media_type_parameters_is_json() {
        let with = |value: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))])
        };
        assert!(is_json(&HeaderMap::new()));
        assert!(is_json(&with("Application/JSON; charset=utf-8")));
        assert!(!is_json(&with("text/plain")));
    }
}
