//! The settings: what the command line, the environment and a file say, read once at the start.
//!
//! One name, spelled `--http` on the command line, `THNG_PUBSUB_HTTP` in the environment and `http` in the file; the
//! command line counts most, the file least. No other code reads the environment. Nothing secret is printed.
//!
//! - `environment.rs`: variables that are empty, or that no setting has
//! - `file.rs`: the settings file
//! - `print.rs`: all settings as such a file

mod environment;
mod file;
mod former_names;
mod print;

use std::{
    ffi::OsString,
    fmt,
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    str::FromStr,
};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, error::ErrorKind,
    parser::ValueSource,
};

use thng_pubsub_transport::origins::AllowedOrigins;

use crate::{
    auth::keys,
    defaults,
    rate::{FailedLogins, RateLimit},
};
use environment::Environment;
use file::SettingsFile;

pub mod administration;

/// A Pub/Sub broker for the digital identities of physical things.
#[derive(Debug, Parser)]
#[command(name = "thng-pubsub-server", version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until SIGTERM or Ctrl-C.
    Serve(Box<Config>),
    /// Say what the settings are, without serving.
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(flatten)]
    Administer(Box<administration::Administration>),
}

/// What can be asked of the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a server would start with these settings, files that they name included.
    Check(Box<Config>),
    /// Print every setting with its meaning and its value, as a settings file.
    Print(Box<Config>),
}

impl Command {
    /// The settings that come with it.
    fn config(&self) -> Option<&Config> {
        match self {
            Self::Serve(config)
            | Self::Config(ConfigCommand::Check(config) | ConfigCommand::Print(config)) => Some(config),
            Self::Administer(command) => match &**command {
                administration::Administration::Doctor(doctor) => Some(&doctor.settings),
                _ => None,
            },
        }
    }
}

/// What was asked for, and how to say where it came from.
#[derive(Debug)]
pub struct Cli {
    /// What to do.
    pub command: Command,
    /// The settings as a file, where that is what to do.
    pub printed: String,
    /// What is not as it was probably meant, and keeps nothing from starting.
    pub warnings: Vec<String>,
}

/// Reads the command line, the environment and the settings file.
///
/// `--help`, and what is no command line, ends the program as clap does.
///
/// # Errors
/// What is wrong with a setting or with the file, with the place that it comes from.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Cli> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let environment = Environment::read();
    let shown: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let parse = |command: clap::Command| {
        command.try_get_matches_from(&arguments).unwrap_or_else(|error| {
            let fault = environment.fault(&error, &shown);
            fault
                .map_or(error, |fault| clap::Error::raw(ErrorKind::InvalidValue, format!("{fault}\n")))
                .exit()
        })
    };
    let plain = environment.without_empty(Arguments::command());
    let first = parse(plain.clone());
    let path = innermost(&first).try_get_one::<PathBuf>(file::CONFIG).ok().flatten();
    let file = match path {
        Some(path) => SettingsFile::read(path, &Config::command())?,
        None => SettingsFile::default(),
    };
    let matches = parse(with_defaults(plain, &file));
    let command = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command;
    let settings = innermost(&matches);
    if let Some(Err(InvalidSetting { setting, sentence })) = command.config().map(Config::check) {
        let place = match settings.value_source(&file::id(setting)) {
            Some(ValueSource::EnvVariable) => {
                Some(format!("THNG_PUBSUB_{}", file::id(setting).to_uppercase()))
            }
            Some(ValueSource::DefaultValue) => file.place(setting),
            _ => None,
        };
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        anyhow::bail!("{place}{sentence}");
    }
    let printed = match command {
        Command::Config(ConfigCommand::Print(_)) => print::print(&Config::command(), settings, &file),
        _ => String::new(),
    };
    let warnings = environment.unknown(&Arguments::command());
    Ok(Cli { command, printed, warnings })
}

/// The matches of the command that was named last.
fn innermost(mut matches: &clap::ArgMatches) -> &clap::ArgMatches {
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    matches
}

/// Makes what the file says the defaults of every command that takes a file.
fn with_defaults(mut command: clap::Command, file: &SettingsFile) -> clap::Command {
    let takes_file = command.get_arguments().any(|arg| arg.get_id() == file::CONFIG);
    if takes_file {
        command = file.as_defaults_of(command);
    }
    let names: Vec<_> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |inner| with_defaults(inner, file));
    }
    command
}

/// A setting that cannot be, and why.
#[derive(Debug)]
struct InvalidSetting {
    setting: &'static str,
    sentence: String,
}

/// An address to listen on, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Do not listen.
    Off,
    /// Listen here; port 0 lets the system choose.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .map(Self::At)
            .ok_or_else(|| "an address is HOST:PORT, such as 127.0.0.1:8080 or [::]:8080, or `off`".into())
    }
}

/// An operator's API key, as it was given at the start. Never printed.
#[derive(Clone)]
pub struct OperatorKey(String);

impl OperatorKey {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<key>")
    }
}

impl From<String> for OperatorKey {
    /// Takes any text: whether it is a key is checked where a refusal does not repeat it.
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// When a write counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// When it is on the disk. Survives a power failure.
    Full,
    /// When the operating system has it. Survives a crash of the server; a power failure may cost the last moments.
    Normal,
}

/// What happens to a QoS 1 or 2 publish that is refused for good, such as one with an invalid payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnRejectedPublish {
    /// It is acknowledged, logged and counted: clients send again for ever what is not acknowledged.
    Ack,
    /// The connection is closed without PUBACK or PUBREC: the client learns that it was not stored.
    Close,
}

/// The settings of `serve`.
#[derive(Debug, Parser)]
pub struct Config {
    /// A settings file: TOML with the names of the flags as keys, such as `http = "[::]:8080"`.
    #[arg(long, env = "THNG_PUBSUB_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where to serve REST, native WebSocket, MQTT over WebSocket (/mqtt), the SDK and health: HOST:PORT or `off`.
    #[arg(long, env = "THNG_PUBSUB_HTTP", default_value = defaults::HTTP)]
    pub http: Listen,

    /// Where to serve MQTT over TCP: HOST:PORT or `off`.
    #[arg(long, env = "THNG_PUBSUB_MQTT", default_value = defaults::MQTT)]
    pub mqtt: Listen,

    /// Where to serve the same over TLS (HTTPS and WSS): HOST:PORT or `off`.
    #[arg(long, env = "THNG_PUBSUB_HTTPS", default_value = "off")]
    pub https: Listen,

    /// Where to serve MQTT over TLS: HOST:PORT or `off`.
    #[arg(long, env = "THNG_PUBSUB_MQTTS", default_value = "off")]
    pub mqtts: Listen,

    /// Certificate chains for the TLS listeners, PEM files, the server's own certificate first; of several the one that
    /// fits the name a client asks for. Without any, one is made for development. Files that change are read again.
    #[arg(long, env = "THNG_PUBSUB_TLS_CERT", value_name = "FILE", value_delimiter = ',')]
    pub tls_cert: Vec<PathBuf>,

    /// The private keys of --tls-cert, PEM files without a passphrase, in the same order.
    #[arg(long, env = "THNG_PUBSUB_TLS_KEY", value_name = "FILE", value_delimiter = ',')]
    pub tls_key: Vec<PathBuf>,

    /// The folder of the database, of `operator.key` and of `keys.secret`; it is made where it is missing.
    #[arg(long, env = "THNG_PUBSUB_DATA", value_name = "DIR", default_value = defaults::DATA)]
    pub data: PathBuf,

    /// The operator's API key for the first start on an empty folder: 80 letters and digits. Without it one is made
    /// and written to `operator.key`.
    #[arg(long, env = "THNG_PUBSUB_OPERATOR_KEY", value_name = "KEY", hide_env_values = true)]
    pub operator_key: Option<OperatorKey>,

    /// What to log, to standard error: error, warn, info, debug, trace, also per crate or module (`info,thng_pubsub_bus=debug`).
    #[arg(long, env = "THNG_PUBSUB_LOG", value_name = "FILTER", default_value = defaults::LOG)]
    pub log: String,

    /// How the log is written: `text` for people, `json` for programs, one object a line.
    #[arg(long, env = "THNG_PUBSUB_LOG_FORMAT", value_enum, ignore_case = true, default_value = "text")]
    pub log_format: LogFormat,

    /// The OpenTelemetry collector that spans are sent to by OTLP over HTTP, such as http://localhost:4318. Only for
    /// programs that were built with the feature `otel`.
    #[arg(long, env = "THNG_PUBSUB_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// When a write counts as stored.
    #[arg(long, env = "THNG_PUBSUB_DURABILITY", value_enum, ignore_case = true, default_value = "full")]
    pub durability: Durability,

    /// What happens to a QoS 1 or 2 publish that is refused for good, such as one with an invalid payload. One that may
    /// succeed later always closes the connection.
    #[arg(
        long,
        env = "THNG_PUBSUB_ON_REJECTED_PUBLISH",
        value_enum,
        ignore_case = true,
        default_value = "ack"
    )]
    pub on_rejected_publish: OnRejectedPublish,

    /// Origins of pages that may use the server from a browser, separated by commas, or `*` for any. A WebSocket of
    /// another origin is refused, and answers cannot be read by its pages.
    #[arg(long, env = "THNG_PUBSUB_ALLOWED_ORIGINS", value_name = "ORIGINS", default_value = "*")]
    pub allowed_origins: AllowedOrigins,

    /// Milliseconds between SUBACK and the initial state (`pubStates=1`).
    #[arg(long, env = "THNG_PUBSUB_INITIAL_STATE_DELAY_MS", value_name = "MS", default_value_t = defaults::INITIAL_STATE_DELAY_MS,
          value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub initial_state_delay_ms: u64,

    /// Seconds that a new connection has for its TLS handshake, then for its MQTT CONNECT or the head of an HTTP request.
    #[arg(long, env = "THNG_PUBSUB_CONNECT_TIMEOUT_S", value_name = "S", default_value_t = defaults::CONNECT_TIMEOUT_S,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub connect_timeout_s: u64,

    /// Seconds that an HTTP connection may wait for its next request. Proxies that keep connections in a pool need a
    /// shorter time of their own.
    #[arg(long, env = "THNG_PUBSUB_HTTP_IDLE_TIMEOUT_S", value_name = "S", default_value_t = defaults::HTTP_IDLE_TIMEOUT_S,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub http_idle_timeout_s: u64,

    /// Seconds that the body of an HTTP request may take.
    #[arg(long, env = "THNG_PUBSUB_BODY_TIMEOUT_S", value_name = "S", default_value_t = defaults::BODY_TIMEOUT_S,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub body_timeout_s: u64,

    /// Bytes a second that a client takes of HTTP answers at the least; slower clients are disconnected.
    #[arg(long, env = "THNG_PUBSUB_ANSWER_RATE_MIN", value_name = "BYTES", default_value_t = defaults::ANSWER_RATE_MIN,
          value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub answer_rate_min: u64,

    /// Seconds over which --answer-rate-min is averaged.
    #[arg(long, env = "THNG_PUBSUB_ANSWER_RATE_WINDOW_S", value_name = "S", default_value_t = defaults::ANSWER_RATE_WINDOW_S,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub answer_rate_window_s: u64,

    /// Bytes of HTTP answers of more than 16 KiB in memory; one account may have half of them.
    #[arg(long, env = "THNG_PUBSUB_ANSWER_BYTES_MAX", value_name = "BYTES", default_value_t = defaults::ANSWER_BYTES_MAX)]
    pub answer_bytes_max: usize,

    /// Seconds of silence on a native WebSocket before it is pinged, and again before it is closed.
    #[arg(long, env = "THNG_PUBSUB_WEBSOCKET_PING_INTERVAL_S", value_name = "S", default_value_t = defaults::WEBSOCKET_PING_INTERVAL_S,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub websocket_ping_interval_s: u64,

    /// Connections of all protocols together.
    #[arg(long, env = "THNG_PUBSUB_CONNECTIONS_MAX", value_name = "N", default_value_t = defaults::CONNECTIONS_MAX)]
    pub connections_max: usize,

    /// Connections of one address (of IPv6: of one /64 network); without it as many as there are of all.
    #[arg(long, env = "THNG_PUBSUB_CONNECTIONS_PER_ADDRESS_MAX", value_name = "N")]
    pub connections_per_address_max: Option<usize>,

    /// MQTT connections, native WebSockets and subscriptions with an `access_token` that one API key may hold at a time;
    /// without it as many as there are connections of all.
    #[arg(long, env = "THNG_PUBSUB_CONNECTIONS_PER_KEY_MAX", value_name = "N")]
    pub connections_per_key_max: Option<usize>,

    /// HTTP requests of one API key: a rate such as 100/s, 6000/m or 100/s:500 (500 at once), or `off`.
    #[arg(long, env = "THNG_PUBSUB_REQUEST_RATE_PER_KEY", value_name = "RATE", default_value = "off")]
    pub request_rate_per_key: RateLimit,

    /// HTTP requests of one address (of IPv6: of one /64 network), with a key or without: a rate, or `off`.
    #[arg(long, env = "THNG_PUBSUB_REQUEST_RATE_PER_ADDRESS", value_name = "RATE", default_value = "off")]
    pub request_rate_per_address: RateLimit,

    /// Publishes of one API key, by every protocol: a rate, or `off`. MQTT and WebSocket are read more slowly beyond it.
    #[arg(long, env = "THNG_PUBSUB_PUBLISH_RATE_PER_KEY", value_name = "RATE", default_value = "off")]
    pub publish_rate_per_key: RateLimit,

    /// Publishes of one address, by every protocol: a rate, or `off`.
    #[arg(long, env = "THNG_PUBSUB_PUBLISH_RATE_PER_ADDRESS", value_name = "RATE", default_value = "off")]
    pub publish_rate_per_address: RateLimit,

    /// MQTT connections and native WebSockets that are opened with one API key: a rate, or `off`.
    #[arg(long, env = "THNG_PUBSUB_CONNECTION_RATE_PER_KEY", value_name = "RATE", default_value = "off")]
    pub connection_rate_per_key: RateLimit,

    /// TCP connections, of whatever protocol, that one address opens: a rate, or `off`.
    #[arg(long, env = "THNG_PUBSUB_CONNECTION_RATE_PER_ADDRESS", value_name = "RATE", default_value = "off")]
    pub connection_rate_per_address: RateLimit,

    /// Wrong API keys and passwords of one address, beyond which none of its keys are checked: a rate, or `off`. With
    /// `public:` in front, it holds only for addresses outside of private networks.
    #[arg(long, env = "THNG_PUBSUB_FAILED_LOGINS_PER_ADDRESS", value_name = "RATE", default_value = defaults::FAILED_LOGINS_PER_ADDRESS)]
    pub failed_logins_per_address: FailedLogins,

    /// Passwords of users that may wait to be checked, a quarter of them of one address. More are answered with 429.
    #[arg(long, env = "THNG_PUBSUB_PASSWORD_QUEUE_MAX", value_name = "N", default_value_t = defaults::PASSWORD_QUEUE_MAX)]
    pub password_queue_max: usize,

    /// Seconds that a publish by MQTT or WebSocket may be delayed by its rate limits.
    #[arg(long, env = "THNG_PUBSUB_PUBLISH_DELAY_MAX_S", value_name = "S", default_value_t = defaults::PUBLISH_DELAY_MAX_S,
          value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub publish_delay_max_s: u64,

    /// Keys, and addresses, that each rate limit remembers.
    #[arg(long, env = "THNG_PUBSUB_RATE_LIMIT_ENTRIES_MAX", value_name = "N", default_value_t = defaults::RATE_LIMIT_ENTRIES_MAX)]
    pub rate_limit_entries_max: usize,

    /// Bytes of one MQTT packet, or of one message on a native WebSocket.
    #[arg(long, env = "THNG_PUBSUB_MESSAGE_BYTES_MAX", value_name = "BYTES", default_value_t = defaults::MESSAGE_BYTES_MAX)]
    pub message_bytes_max: usize,

    /// Bytes of one WebSocket message at /mqtt. It may hold many MQTT packets, each of --message-bytes-max at most.
    #[arg(long, env = "THNG_PUBSUB_MQTT_WEBSOCKET_MESSAGE_BYTES_MAX", value_name = "BYTES", default_value_t = defaults::MQTT_WEBSOCKET_MESSAGE_BYTES_MAX)]
    pub mqtt_websocket_message_bytes_max: usize,

    /// Bytes of the body of an HTTP request; at most 1 MiB, the largest notification that the bus carries.
    #[arg(long, env = "THNG_PUBSUB_BODY_BYTES_MAX", value_name = "BYTES", default_value_t = defaults::BODY_BYTES_MAX)]
    pub body_bytes_max: usize,

    /// Resources that one call changes or deletes by `ids` or `filter`; where more are meant, nothing is changed.
    #[arg(long, env = "THNG_PUBSUB_BULK_SIZE_MAX", value_name = "N", default_value_t = defaults::BULK_SIZE_MAX)]
    pub bulk_size_max: usize,

    /// Items of a page that a list may be asked for.
    #[arg(long, env = "THNG_PUBSUB_PAGE_SIZE_MAX", value_name = "N", default_value_t = defaults::PAGE_SIZE_MAX)]
    pub page_size_max: usize,

    /// Bytes of documents that one list or bulk change goes through, each once and once for each value of its filter.
    #[arg(long, env = "THNG_PUBSUB_SCAN_BYTES_MAX", value_name = "BYTES", default_value_t = defaults::SCAN_BYTES_MAX,
          value_parser = clap::value_parser!(u64).range(1_048_576..=1_099_511_627_776))]
    pub scan_bytes_max: u64,

    /// Milliseconds of work of one list or bulk change.
    #[arg(long, env = "THNG_PUBSUB_SCAN_TIME_MAX_MS", value_name = "MS", default_value_t = defaults::SCAN_TIME_MAX_MS,
          value_parser = clap::value_parser!(u64).range(10..=600_000))]
    pub scan_time_max_ms: u64,

    /// Lists that wait for a connection to the database, of all API keys together.
    #[arg(long, env = "THNG_PUBSUB_SCAN_QUEUE_MAX", value_name = "N", default_value_t = defaults::SCAN_QUEUE_MAX)]
    pub scan_queue_max: usize,

    /// Members that one call adds to a collection.
    #[arg(long, env = "THNG_PUBSUB_MEMBERS_MAX", value_name = "N", default_value_t = defaults::MEMBERS_MAX)]
    pub members_max: usize,

    /// Notifications that one command may cause, such as many actions on a thng in many collections.
    #[arg(long, env = "THNG_PUBSUB_COMMAND_NOTIFICATIONS_MAX", value_name = "N", default_value_t = defaults::COMMAND_NOTIFICATIONS_MAX)]
    pub command_notifications_max: usize,

    /// Subscriptions of one MQTT session.
    #[arg(long, env = "THNG_PUBSUB_SUBSCRIPTIONS_MAX", value_name = "N", default_value_t = defaults::SUBSCRIPTIONS_MAX)]
    pub subscriptions_max: usize,

    /// Bytes of memory that the subscriptions of one API key may take, those of durable sessions included; a subscription
    /// counts 1,024 bytes and twice its filter.
    #[arg(long, env = "THNG_PUBSUB_SUBSCRIPTION_BYTES_PER_KEY_MAX", value_name = "BYTES", default_value_t = defaults::SUBSCRIPTION_BYTES_PER_KEY_MAX)]
    pub subscription_bytes_per_key_max: usize,

    /// Bytes of memory that the subscriptions of one account may take.
    #[arg(long, env = "THNG_PUBSUB_SUBSCRIPTION_BYTES_PER_ACCOUNT_MAX", value_name = "BYTES", default_value_t = defaults::SUBSCRIPTION_BYTES_PER_ACCOUNT_MAX)]
    pub subscription_bytes_per_account_max: usize,

    /// Bytes of memory that all subscriptions together may take.
    #[arg(long, env = "THNG_PUBSUB_SUBSCRIPTION_BYTES_MAX", value_name = "BYTES", default_value_t = defaults::SUBSCRIPTION_BYTES_MAX)]
    pub subscription_bytes_max: usize,

    /// Publishes of one connection that may wait for their commit; reading stops beyond it.
    #[arg(long, env = "THNG_PUBSUB_PUBLISHES_IN_FLIGHT_MAX", value_name = "N", default_value_t = defaults::PUBLISHES_IN_FLIGHT_MAX)]
    pub publishes_in_flight_max: usize,

    /// QoS 1 messages that a client may leave unacknowledged before more are held back.
    #[arg(long, env = "THNG_PUBSUB_DELIVERIES_IN_FLIGHT_MAX", value_name = "N", default_value_t = defaults::DELIVERIES_IN_FLIGHT_MAX)]
    pub deliveries_in_flight_max: usize,

    /// Messages that may wait for one connection: beyond it QoS 0 is dropped and a QoS 1 session is ended.
    #[arg(long, env = "THNG_PUBSUB_OUTBOUND_QUEUE_MESSAGES_MAX", value_name = "N", default_value_t = defaults::OUTBOUND_QUEUE_MESSAGES_MAX)]
    pub outbound_queue_messages_max: usize,

    /// Bytes that may wait for one connection.
    #[arg(long, env = "THNG_PUBSUB_OUTBOUND_QUEUE_BYTES_MAX", value_name = "BYTES", default_value_t = defaults::OUTBOUND_QUEUE_BYTES_MAX)]
    pub outbound_queue_bytes_max: usize,

    /// Durable MQTT sessions (clean session 0) that are stored, of all API keys together.
    #[arg(long, env = "THNG_PUBSUB_SESSIONS_MAX", value_name = "N", default_value_t = defaults::SESSIONS_MAX)]
    pub sessions_max: usize,

    /// Durable MQTT sessions of one API key; without it as many as there are of all.
    #[arg(long, env = "THNG_PUBSUB_SESSIONS_PER_KEY_MAX", value_name = "N")]
    pub sessions_per_key_max: Option<usize>,

    /// Subscriptions of all durable MQTT sessions together.
    #[arg(long, env = "THNG_PUBSUB_SESSION_SUBSCRIPTIONS_MAX", value_name = "N", default_value_t = defaults::SESSION_SUBSCRIPTIONS_MAX)]
    pub session_subscriptions_max: usize,

    /// Seconds that a durable MQTT session waits for its client.
    #[arg(long, env = "THNG_PUBSUB_SESSION_EXPIRY_S", value_name = "S", default_value_t = defaults::SESSION_EXPIRY_S,
          value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub session_expiry_s: u64,

    /// Messages of one topic that are kept for durable sessions; beyond it the oldest are dropped.
    #[arg(long, env = "THNG_PUBSUB_SESSION_QUEUE_MESSAGES_MAX", value_name = "N", default_value_t = defaults::SESSION_QUEUE_MESSAGES_MAX)]
    pub session_queue_messages_max: usize,

    /// Bytes of messages that are kept for durable sessions, of all topics together; beyond it the oldest are dropped.
    #[arg(long, env = "THNG_PUBSUB_SESSION_QUEUE_BYTES_MAX", value_name = "BYTES", default_value_t = defaults::SESSION_QUEUE_BYTES_MAX)]
    pub session_queue_bytes_max: usize,

    /// Bytes of writes that may wait for their commit, of all connections together.
    #[arg(long, env = "THNG_PUBSUB_WRITE_QUEUE_BYTES_MAX", value_name = "BYTES", default_value_t = defaults::WRITE_QUEUE_BYTES_MAX)]
    pub write_queue_bytes_max: usize,

    /// Connections to the database that read.
    #[arg(long, env = "THNG_PUBSUB_DATABASE_READERS", value_name = "N", default_value_t = defaults::DATABASE_READERS)]
    pub database_readers: usize,

    /// Threads that carry notifications from the bus to the sessions.
    #[arg(long, env = "THNG_PUBSUB_DISPATCHERS", value_name = "N", default_value_t = defaults::DISPATCHERS)]
    pub dispatchers: usize,
}

impl Config {
    /// Checks what one flag alone cannot know.
    fn check(&self) -> Result<(), InvalidSetting> {
        let ensure = |is_possible: bool, setting: &'static str, sentence: String| {
            if is_possible { Ok(()) } else { Err(InvalidSetting { setting, sentence }) }
        };
        ensure(
            self.tls_cert.len() == self.tls_key.len(),
            "tls-cert",
            format!(
                "--tls-cert names {} file(s) and --tls-key {}: each certificate needs its key, in the same order",
                self.tls_cert.len(),
                self.tls_key.len()
            ),
        )?;
        if let Some(Err(error)) = self.operator_key.as_ref().map(|key| keys::hash(key.reveal())) {
            return Err(InvalidSetting {
                setting: "operator-key",
                sentence: format!("--operator-key: {error}"),
            });
        }
        ensure(
            [self.http, self.mqtt, self.https, self.mqtts].iter().any(|listen| *listen != Listen::Off),
            "http",
            "--http, --mqtt, --https and --mqtts are all `off`: there is nothing to serve".into(),
        )?;
        let sizes = [
            ("connections-max", self.connections_max, 1, usize::MAX),
            ("connections-per-address-max", self.connections_per_address_max.unwrap_or(1), 1, usize::MAX),
            ("connections-per-key-max", self.connections_per_key_max.unwrap_or(1), 1, usize::MAX),
            ("rate-limit-entries-max", self.rate_limit_entries_max, 1_000, 10_000_000),
            ("password-queue-max", self.password_queue_max, 4, 100_000),
            ("message-bytes-max", self.message_bytes_max, 128, defaults::BODY_BYTES_MAX),
            (
                "mqtt-websocket-message-bytes-max",
                self.mqtt_websocket_message_bytes_max,
                defaults::MQTT_WEBSOCKET_MESSAGE_BYTES_LEAST,
                defaults::MQTT_WEBSOCKET_MESSAGE_BYTES_MOST,
            ),
            ("body-bytes-max", self.body_bytes_max, 128, defaults::BODY_BYTES_MAX),
            ("answer-bytes-max", self.answer_bytes_max, defaults::ANSWER_BYTES_LEAST, usize::MAX),
            ("bulk-size-max", self.bulk_size_max, 1, 10_000),
            ("page-size-max", self.page_size_max, 1, defaults::PAGE_SIZE_MAX),
            ("scan-queue-max", self.scan_queue_max, 1, 1_000_000),
            ("members-max", self.members_max, 1, defaults::MEMBERS_MAX),
            ("command-notifications-max", self.command_notifications_max, 1_000, 1_000_000),
            ("subscriptions-max", self.subscriptions_max, 1, 1_000_000),
            (
                "subscription-bytes-per-key-max",
                self.subscription_bytes_per_key_max,
                defaults::SUBSCRIPTION_BYTES_MIN,
                usize::MAX,
            ),
            (
                "subscription-bytes-per-account-max",
                self.subscription_bytes_per_account_max,
                defaults::SUBSCRIPTION_BYTES_MIN,
                usize::MAX,
            ),
            (
                "subscription-bytes-max",
                self.subscription_bytes_max,
                defaults::SUBSCRIPTION_BYTES_MIN,
                usize::MAX,
            ),
            ("publishes-in-flight-max", self.publishes_in_flight_max, 1, 60_000),
            ("deliveries-in-flight-max", self.deliveries_in_flight_max, 1, 60_000),
            ("outbound-queue-messages-max", self.outbound_queue_messages_max, 1, usize::MAX),
            ("outbound-queue-bytes-max", self.outbound_queue_bytes_max, 1024, usize::MAX),
            ("write-queue-bytes-max", self.write_queue_bytes_max, 2 * defaults::BODY_BYTES_MAX, usize::MAX),
            ("sessions-max", self.sessions_max, 1, usize::MAX),
            ("sessions-per-key-max", self.sessions_per_key_max.unwrap_or(1), 1, usize::MAX),
            ("session-subscriptions-max", self.session_subscriptions_max, 1, usize::MAX),
            ("session-queue-messages-max", self.session_queue_messages_max, 1, usize::MAX),
            (
                "session-queue-bytes-max",
                self.session_queue_bytes_max,
                2 * defaults::BODY_BYTES_MAX,
                usize::MAX,
            ),
            ("database-readers", self.database_readers, 2, 256),
            ("dispatchers", self.dispatchers, 1, 16),
        ];
        for (name, value, least, most) in sizes {
            let is_possible = (least..=most).contains(&value);
            ensure(is_possible, name, format!("--{name} is {value}; it can be {least} to {most}"))?;
        }
        Ok(())
    }
}
