//! Settings of the log and of traces.

use clap::{Args, ValueEnum};

/// The flags below `Log` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogSettings {
    /// The lines that are logged to standard error: error, warn, info, debug or trace, also per crate or module.
    ///
    /// An example is `info,thng_pubsub_bus=debug`.
    #[arg(id = "log", long = "log", value_name = "FILTER", default_value = "info")]
    pub filter: String,

    /// The form of a line of the log: `text` for people, `json` for programs, one object a line.
    ///
    /// An object has `timestamp`, `level`, `target`, `message` and the fields of the line.
    #[arg(
        id = "log_format",
        long = "log-format",
        value_enum,
        ignore_case = true,
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub format: LogFormat,

    /// The OpenTelemetry collector of spans, by OTLP over HTTP, such as http://localhost:4318.
    ///
    /// Spans are of requests, writes and commits.
    /// Only for programs that were built with `--features otel`; others refuse it.
    #[arg(long, value_name = "http://HOST:PORT")]
    pub otlp_endpoint: Option<String>,
}

/// The form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}
