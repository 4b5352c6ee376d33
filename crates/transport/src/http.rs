//! The HTTP listener: one address for REST, native WebSockets, `/mqtt`, the SDK, the example pages, and operation
//! (`/health`, `/ready`, `/metrics`).
//!
//! Only the head of a request is read here; the transport that it goes to interprets it.
//!
//! - [`stream`]: how long a connection may wait, and what the HTTP library would answer by itself
//! - [`head`]: the host of a request, and the answer to a head that cannot be read
//! - [`origin`]: which pages may use the server
//! - [`page_headers`]: what a browser may do with an answer

mod head;
mod origin;
mod page_headers;
mod stream;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::TryFutureExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use thng_pubsub_protocol::payload::{ERROR_CODES, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;
use tracing::Instrument as _;

use thng_pubsub_broker::{BrokerError, client_events::EventOwner};

use super::{
    Context,
    accept::AcceptedConnection,
    addresses,
    answer::{self, json, refuse},
    assets::{self, Asset},
    client_reports::{Client, Refused},
    least_rate::{RateState, TimedStream},
    logged_error::LoggedError,
    message_bound::{CountedStream, UnfinishedBytes},
    mqtt,
    public_url::public_url,
    rest, upgrade, websocket,
};
use head::InvalidHead;
use origin::Origin;
use stream::{Progress, RequestStream, RequestTimeouts};

/// How long a request that is under way keeps a stopping server waiting. Whole ones need milliseconds.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How long a reserved connection may last.
const RESERVED_MAX: Duration = Duration::from_secs(10);

/// Bytes of a request's head. Keys, topics and cookies of other sites fit many times.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Headers of a request: the library's own bound, which it reports as it reports too many bytes.
const HEADERS_MAX: usize = 100;

/// Everything that the HTTP listener answers.
pub fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/mqtt", get(mqtt_over_websocket))
        .route("/client.pem", get(authority))
        .route("/openapi.json", get(openapi))
        .route("/asyncapi.json", get(asyncapi))
        .route("/docs", get(docs))
        .route("/docs/{file}", get(docs))
        .route("/docs/errors", get(error_page))
        .route("/sdk", get(|| async { Redirect::permanent("/sdk/") }))
        .route("/sdk/", get(sdk_index))
        .route("/sdk/{*path}", get(asset))
        .route("/examples", get(|| async { Redirect::permanent("/examples/") }))
        .route("/examples/", get(asset))
        .route("/examples/{*path}", get(asset))
        .nest("/v2", rest::routes())
        .merge(rest::routes())
        .fallback(rest::not_found)
        .method_not_allowed_fallback(rest::method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&context), front))
        .with_state(context)
}

/// Serves the requests of one connection.
pub async fn serve<S>(context: Arc<Context>, router: Router, stream: S, admitted: AcceptedConnection)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (peer, stop, is_reserved) = (admitted.peer, admitted.stop.clone(), admitted.is_reserved);
    let timeouts = RequestTimeouts {
        head: admitted.timeout(context.limits.connect_timeout),
        idle: context.limits.http_idle_timeout,
    };
    let progress = Progress::new();
    let unfinished = UnfinishedBytes::new();
    let rate = Arc::<RateState>::default();
    let stream = TimedStream::new(stream, context.limits.answer_rate, Arc::clone(&rate));
    let stream = CountedStream { stream, unfinished: Arc::clone(&unfinished) };
    let (protocol, rate_of_requests) = (admitted.protocol, Arc::clone(&rate));
    let stream = RequestStream::new(stream, progress.clone(), timeouts);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let exchange = progress.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(admitted.clone());
        request.extensions_mut().insert(Arc::clone(&unfinished));
        request.extensions_mut().insert(Arc::clone(&rate_of_requests));
        router.clone().oneshot(request).map_ok(|answer| exchange.last_with(answer))
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .keep_alive(!is_reserved)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = tokio::time::sleep(RESERVED_MAX), if is_reserved => {
            return tracing::debug!(%peer, "a reserved HTTP connection took too long");
        }
        () = stop.cancelled() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            match tokio::time::timeout(STOP_GRACE, &mut connection).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        }
    };
    if rate.was_too_slow() {
        return report_slow_consumer(&context, protocol, peer);
    }
    let Err(error) = outcome else { return };
    tracing::debug!(%peer, %error, "an HTTP connection ended early");
    let Some(parts) = connection.into_parts() else { return };
    let (stream, bare, is_slow) = parts.io.into_inner().into_parts();
    if let Some(rejected) = InvalidHead::new(&error, bare, is_slow) {
        // Boxed, since few connections need the memory.
        Box::pin(rejected.answer(&context, stream)).await;
    }
}

/// Counts and logs a connection that was ended because its client took an answer too slowly.
fn report_slow_consumer(context: &Context, protocol: &'static str, peer: SocketAddr) {
    let reason = "slow_consumer";
    let client = Client { protocol, address: addresses::network(peer.ip()), client_id: None };
    let sentence = "the client takes its answer below --answer-rate-min";
    context.report_end(client, EventOwner::default(), reason, sentence);
    if let Some(suppressed) = context.refusal_log.admit() {
        tracing::info!(
            protocol,
            %peer,
            reason,
            suppressed,
            "connection ended: {sentence}"
        );
    }
}

/// Handles every request: answers preflights, counts the others against the rate of their address, and passes
/// WebSockets on topics on. Pages of other origins may read every answer, since no page sends the headers of keys by
/// itself. Every answer is counted.
async fn front(State(context): State<Arc<Context>>, mut request: Request, next: Next) -> Response {
    let is_mqtt = request.uri().path() == "/mqtt";
    let is_example = request.uri().path().starts_with("/examples/");
    let rate = request.extensions().get::<Arc<RateState>>().map(Arc::clone);
    let host = head::settle_host(&mut request);
    let origin = Origin::of(&request, &context.limits.allowed_origins);
    let is_tls = request.extensions().get::<AcceptedConnection>().is_some_and(AcceptedConnection::is_https);
    let url = public_url(request.headers(), is_tls);
    let response = if let Err(sentence) = host {
        refuse(ErrorCode::INVALID, sentence)
    } else if request.method() == Method::OPTIONS {
        origin::preflight()
    } else if let Err(refusal) = count(&context, &request) {
        answer::render(&refusal)
    } else if origin == Origin::Foreign && is_websocket(&request) {
        refuse_origin(&context, AcceptedConnection::address_in(request.extensions()), is_mqtt)
    } else if is_websocket(&request) && is_reserved(&request) {
        refuse_upgrade_at_limit(&context, AcceptedConnection::address_in(request.extensions()), is_mqtt)
    } else if is_websocket(&request) && !is_mqtt {
        websocket::open(Arc::clone(&context), request).await
    } else {
        // The path may have a key in it, by mistake; the route has none.
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map(|route| tracing::field::display(route.as_str()));
        let span = tracing::debug_span!("request", method = %request.method(), route);
        next.run(request).instrument(span).await
    };
    if let Some(rate) = rate.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
        rate.lift();
    }
    let mut response = answer::with_whole_links(response, &url);
    origin.set_headers(response.headers_mut());
    page_headers::set(&mut response, is_example);
    context.metrics.requests.with_label_values(&[response.status().as_str()]).inc();
    response
}

/// Counts a request by its address. Monitoring often comes through a proxy, and must not report
/// a busy server as failed.
fn count(context: &Context, request: &Request) -> Result<(), BrokerError> {
    let Some(admitted) = request.extensions().get::<AcceptedConnection>() else { return Ok(()) };
    if matches!(request.uri().path(), "/health" | "/ready" | "/metrics") {
        return Ok(());
    }
    let counted = context.rates.request_of_address(admitted.address());
    counted.inspect_err(|refusal| {
        let client = Client { protocol: admitted.protocol, address: admitted.address(), client_id: None };
        let rejected = LoggedError::new(refusal.clone(), None);
        context.report_refusal(client, Refused::Request, &rejected);
    })
}

/// A WebSocket of a page that may not use the server. Browsers send no preflight before they open one, so the server has to check.
fn refuse_origin(context: &Context, address: IpAddr, is_mqtt: bool) -> Response {
    let protocol = if is_mqtt { "mqtt_ws" } else { "websocket" };
    let sentence = "an upgrade was refused: its page is not in --allowed-origins";
    context.report_unacceptable(Client { protocol, address, client_id: None }, "origin", sentence);
    if let Some(suppressed) = context.refusal_log.admit() {
        tracing::info!(protocol, reason = "origin", suppressed, "{sentence}");
    }
    refuse(ErrorCode::FORBIDDEN, "Pages of this origin may not use this server: see --allowed-origins.")
}

/// Whether the request came on one of the descriptors that are reserved for single requests.
fn is_reserved(request: &Request) -> bool {
    request.extensions().get::<AcceptedConnection>().is_some_and(|admitted| admitted.is_reserved)
}

/// A WebSocket where the server has no descriptor left for connections that last.
fn refuse_upgrade_at_limit(context: &Context, address: IpAddr, is_mqtt: bool) -> Response {
    let protocol = if is_mqtt { "mqtt_ws" } else { "websocket" };
    let sentence = "The server has reached its limit of open files (ulimit -n) and opens no more WebSockets. Try again later.";
    context.report_unacceptable(Client { protocol, address, client_id: None }, "open_files_limit", sentence);
    refuse(ErrorCode::UNAVAILABLE, sentence)
}

fn is_websocket(request: &Request) -> bool {
    request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

async fn health(State(context): State<Arc<Context>>) -> Response {
    if context.pubsub.delivers() {
        json(StatusCode::OK, r#"{"status":"ok"}"#.into())
    } else {
        refuse(ErrorCode::UNAVAILABLE, "Notifications are not delivered right now; the bus is being rebuilt.")
    }
}

/// Whether it can serve: for balancers and scripts that wait for a start.
async fn ready(State(context): State<Arc<Context>>) -> Response {
    match context.pubsub.ready().await {
        Ok(()) => json(StatusCode::OK, r#"{"status":"ready"}"#.into()),
        Err(sentence) => refuse(ErrorCode::UNAVAILABLE, sentence),
    }
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let response = ([(header::CONTENT_TYPE, media_type)], context.metrics.render()).into_response();
    let share = context.resources.answer_share(None);
    let counted = answer::counted(&share, response).await;
    counted.unwrap_or_else(|refusal| {
        share.limited("refused");
        answer::render(&refusal)
    })
}

/// The certificate that TLS clients need to trust a server in development.
async fn authority(State(context): State<Arc<Context>>) -> Response {
    match &context.authority {
        Some(pem) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            ];
            (headers, pem.clone()).into_response()
        }
        None => refuse(
            ErrorCode::NOT_FOUND,
            "There is no authority of this server's own: it has no TLS listener, or a certificate that clients trust \
             already.",
        ),
    }
}

/// A file of the binary.
async fn asset(request: Request) -> Response {
    match assets::find(request.uri().path()) {
        Some(asset) => send_asset(&asset, request.headers()),
        None if request.uri().path().starts_with("/sdk/") => refuse(
            ErrorCode::NOT_FOUND,
            "There is no such file. A server that was built before the SDK has none of its files: \
             build with `cargo xtask run`.",
        ),
        None => rest::not_found().await,
    }
}

/// The file, or that the browser's copy is still good; compressed for clients that accept it.
fn send_asset(asset: &Asset, request_headers: &HeaderMap) -> Response {
    let says = |name, text: &str| {
        let values = request_headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().trim_start_matches("W/") == text)
    };
    // One tag for both encodings, hence a weak one: they are the same file [RFC 9110, 8.8.3.3].
    let tag = format!("\"{}\"", asset.integrity.trim_start_matches("sha384-"));
    let cache = if asset.is_pinned { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if says(header::IF_NONE_MATCH, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if let Some(compressed) = asset.compressed.filter(|_| says(header::ACCEPT_ENCODING, "gzip")) {
        ([(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], compressed).into_response()
    } else {
        asset.bytes.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::try_from(format!("W/{tag}")) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// What lies under `/sdk/`, with the lines that load it.
async fn sdk_index() -> Response {
    use std::fmt::Write as _;
    let mut rows = String::new();
    for (name, asset) in assets::sdk() {
        let (size, sent) = (asset.bytes.len(), asset.compressed.map_or(asset.bytes.len(), <[u8]>::len));
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"{name}\">{name}</a></td><td>{size}</td><td>{sent}</td><td>{}</td></tr>",
            asset.integrity
        );
    }
    if rows.is_empty() {
        rows.push_str("<tr><td colspan=\"4\">This server was built before the SDK: build with <code>cargo xtask run</code>.</td></tr>");
    }
    let script = assets::find("/sdk/thng-pubsub.js").map_or_else(String::new, |script| script.integrity);
    let version = assets::SDK_VERSION;
    let page = format!(include_str!("sdk.html"), rows = rows, version = version, script = script);
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], page).into_response()
}

/// The description of REST for programs. It is written once.
async fn openapi() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| rest::openapi::document().into());
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (headers, DOCUMENT.clone()).into_response()
}

/// The description of the topics for programs.
async fn asyncapi() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| rest::asyncapi::document().into());
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (headers, DOCUMENT.clone()).into_response()
}

/// The script of `/docs`: its parts in one function, so that none of their names is global.
const DOCS_SCRIPT: &str = concat!(
    "(() => {\n'use strict'\n",
    include_str!("docs/page/nodes.js"),
    include_str!("docs/page/schemas.js"),
    include_str!("docs/page/operations.js"),
    include_str!("docs/page/requests.js"),
    include_str!("docs/page/topics.js"),
    include_str!("docs/page/page.js"),
    "})()\n",
);

/// The style of `/docs`; the last part overrides the others.
const DOCS_STYLE: &str = concat!(
    include_str!("docs/style/base.css"),
    include_str!("docs/style/navigation.css"),
    include_str!("docs/style/entries.css"),
    include_str!("docs/style/screens.css"),
);

/// The description of both for people: a page that reads `/openapi.json` and needs nothing from elsewhere.
async fn docs(request: Request) -> Response {
    let (media_type, text) = match request.uri().path() {
        "/docs" => ("text/html; charset=utf-8", include_str!("docs/index.html")),
        "/docs/page.js" => ("text/javascript; charset=utf-8", DOCS_SCRIPT),
        "/docs/style.css" => ("text/css; charset=utf-8", DOCS_STYLE),
        "/docs/tables.css" => ("text/css; charset=utf-8", include_str!("docs/tables.css")),
        "/docs/icon.svg" => ("image/svg+xml", include_str!("docs/icon.svg")),
        _ => return rest::not_found().await,
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(page_headers::DOCS_POLICY)),
    ];
    (headers, text).into_response()
}

/// Where `moreInfo` of an error document leads.
async fn error_page() -> Response {
    use std::fmt::Write as _;
    let mut rows = String::new();
    for ErrorCode { code, status, meaning } in ERROR_CODES {
        let meaning = meaning.replace('`', "");
        let _ = writeln!(rows, "<tr id=\"{code}\"><td>{code}</td><td>{status}</td><td>{meaning}</td></tr>");
    }
    let page = format!(include_str!("errors.html"), rows = rows);
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], page).into_response()
}

/// MQTT in WebSocket messages [MQTT-6.0.0-3]: `mqtt`, and `mqttv3.1` for clients of the older level. Whether a key that
/// the upgrade brings counts, CONNECT says: one that brings its own wins.
async fn mqtt_over_websocket(
    State(context): State<Arc<Context>>,
    Extension(admitted): Extension<AcceptedConnection>,
    Extension(unfinished): Extension<Arc<UnfinishedBytes>>,
    request: Request,
) -> Response {
    let key = answer::optional_key_of(request.headers(), request.uri().query());
    let key = key.map(|key| mqtt::UpgradeKey(key.into()));
    let upgrade = match upgrade::handshake(request, context.limits.mqtt_websocket_message_bytes_max).await {
        Ok(upgrade) => upgrade.protocols(["mqtt", "mqttv3.1"]),
        Err(response) => return response,
    };
    if upgrade.selected_protocol().is_none() {
        return refuse(
            ErrorCode::INVALID,
            "MQTT over WebSocket needs the sub-protocol `mqtt` or `mqttv3.1` in Sec-WebSocket-Protocol.",
        );
    }
    upgrade.on_upgrade(move |socket| async move {
        let gauge = context.metrics.connections.with_label_values(&["mqtt_ws"]);
        gauge.inc();
        let wire = mqtt::MessageStream::new(socket, key, unfinished, context.limits.message_bytes_max);
        mqtt::serve(context, wire, "mqtt_ws", admitted).await;
        gauge.dec();
    })
}

#[cfg(test)]
mod tests {
    use thng_pubsub_protocol::topic::{
        Topic,
        table::{Access, TABLE},
    };

    use super::*;
    use crate::testing;
    use thng_pubsub_broker::{Services, testing::TestBroker};

    async fn status(router: &Router, method: &str, path: &str) -> u16 {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let request = request.body(Body::empty()).expect("a request");
        router.clone().oneshot(request).await.expect("a router never fails").status().as_u16()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_row_of_the_topic_table_has_a_rest_route() {
        let TestBroker { pubsub, resources, identity, client_events, metrics, data: _data, .. } =
            TestBroker::open().await;
        let services = Services { pubsub, resources, identity, client_events };
        let router = router(Arc::new(testing::context(services, metrics)));
        for row in &TABLE {
            let path: Vec<&str> = row
                .template
                .split('/')
                .map(|segment| match segment {
                    ":key" | ":type" => "name",
                    id if id.starts_with(':') => "UeECn9a8PBpar8x4FEGdMsDd",
                    literal => literal,
                })
                .collect();
            let path = path.join("/");
            let topic = Topic::parse_path(&path).expect("a row of the table");
            // Without a key a route that exists asks for one; where there is no such verb, nothing is asked for.
            let write = match row.publish.map(|publish| publish.access) {
                Some(Access::Create) => "POST",
                Some(_) => "PUT",
                None => "GET",
            };
            assert_eq!(topic.kind(), row.kind);
            for prefix in ["", "/v2"] {
                let path = format!("{prefix}{path}");
                assert_eq!(status(&router, "GET", &path).await, 401, "GET {path}");
                assert_eq!(status(&router, write, &path).await, 401, "{write} {path}");
            }
        }
    }
}
