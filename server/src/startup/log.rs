//! Where the log goes, how it is written, and what of it is exported as traces.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

#[cfg(feature = "otel")]
use super::traces;
use crate::config::log::{LogFormat, LogSettings};

/// What has to be kept while lines are written: when it goes, what waits to be exported is sent.
#[derive(Debug)]
pub(super) struct Log {
    #[cfg(feature = "otel")]
    _exporter: Option<traces::Exporter>,
}

/// Starts the log, for the whole process.
///
/// # Errors
/// The filter is none, or spans cannot be exported.
pub(super) fn start(settings: &LogSettings) -> anyhow::Result<Log> {
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(std::io::stderr);
    let lines = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    // At trace level it prints every frame with its payload, which belongs in no log.
    let no_payloads =
        filter_fn(|line| !line.target().starts_with("tungstenite") || *line.level() <= tracing::Level::INFO);
    let lines = lines.with_filter(no_payloads).with_filter(filter(&settings.filter)?);
    let registry = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "otel")]
    {
        let (exporter, layer) = settings.otlp_endpoint.as_deref().map(traces::export).transpose()?.unzip();
        registry.with(layer).init();
        Ok(Log { _exporter: exporter })
    }
    #[cfg(not(feature = "otel"))]
    {
        anyhow::ensure!(
            settings.otlp_endpoint.is_none(),
            "--otlp-endpoint: this program was built without OpenTelemetry; build it with `--features otel`"
        );
        registry.init();
        Ok(Log {})
    }
}

/// Starts the log of a command: lines for people, at this level.
///
/// # Errors
/// The filter is none.
pub(crate) fn start_plain(level: &str) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(lines.with_writer(std::io::stderr).with_filter(filter(level)?))
        .init();
    Ok(())
}

/// What `--log` asks for.
///
/// # Errors
/// It is no filter.
pub(super) fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let parsed = EnvFilter::try_new(text).with_context(|| {
        format!("--log {text}: not a filter such as `info` or `info,thng_pubsub_bus=debug`")
    })?;
    // The router's own spans cost more than its messages; the bus logs what matters.
    Ok(parsed.add_directive("rumqttd=off".parse().expect("a valid directive")))
}
