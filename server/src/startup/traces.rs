//! Spans on their way to an OpenTelemetry collector: what a request, a write and a commit took, by OTLP over HTTP.
//!
//! Only the server's own spans are exported. They carry methods, routes and kinds of operations: nothing that a client
//! chose, so neither keys nor payloads.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// Sends spans in the background; what waits is sent when it goes.
#[derive(Debug)]
pub(super) struct Exporter(SdkTracerProvider);

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}

/// Exports to the collector at this address, such as `http://localhost:4318`.
///
/// # Errors
/// It is no address.
pub(super) fn export<S>(endpoint: &str) -> anyhow::Result<(Exporter, impl Layer<S> + use<S>)>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .with_context(|| format!("--otlp-endpoint {endpoint}: not the address of a collector"))?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("thng-pubsub").build())
        .build();
    let tracer = provider.tracer("thng-pubsub-server");
    let own = filter_fn(|span| span.is_span() && span.target().starts_with("thng_pubsub_"));
    Ok((Exporter(provider), tracing_opentelemetry::layer().with_tracer(tracer).with_filter(own)))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_span_reaches_the_collector_when_the_exporter_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let collector = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the exporter comes");
            let mut request = Vec::new();
            let mut part = [0; 4096];
            // The name of the span is in the body as it is, whatever else protobuf puts around it.
            while !request.windows(5).any(|part| part == b"write") {
                let read = stream.read(&mut part).expect("a request");
                assert!(read > 0, "the request ended early");
                request.extend_from_slice(&part[..read]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("an answer");
            String::from_utf8_lossy(&request).into_owned()
        });
        let (exporter, layer) = export(&endpoint).expect("an address");
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug_span!("write", command = "update").in_scope(|| {});
        });
        drop(exporter);
        let request = collector.join().expect("no panic");
        assert!(request.starts_with("POST /v1/traces "), "{request}");
        assert!(request.contains("thng-pubsub"), "{request}");
    }
}
