//! Starts the components and stops them in an order that loses no data.

use std::{io::Write as _, net::SocketAddr, path::Path, sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::Context as _;
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{Signal, SignalKind, signal},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{
        Config,
        listeners::{Listen, ListenerSettings},
    },
    log_throttle::LogThrottle,
    metrics::Metrics,
    store::SqliteStore,
};
use thng_pubsub_broker::{Services, pubsub::leave_all_sessions};
use thng_pubsub_bus::Bus;
use thng_pubsub_transport::{
    Context, Limits,
    accept::{AcceptedConnection, Acceptor},
    addresses::Addresses,
    admin_socket::{AdminSocket, Answer, Request, SOCKET, Status},
    client_reports::ConnectionReports,
    mqtt,
    rate_limits::Rates,
    tls::{self, Certificates, Tls},
};

mod broker;
mod first_start;
pub(crate) mod key_secret;
pub(crate) mod log;
mod open_files;
#[cfg(feature = "otel")]
mod traces;

#[cfg(feature = "measure")]
pub(crate) use broker::service_settings;
use broker::{BrokerHandle, BrokerSettings};

/// Time from SIGTERM to the end, whatever still runs.
const STOP_TIMEOUT: Duration = Duration::from_secs(9);

/// Runs the server until SIGTERM or Ctrl-C.
///
/// # Errors
/// Whatever keeps it from starting, in a sentence that says what to do.
pub fn serve(config: Config, warnings: &[String]) -> anyhow::Result<()> {
    let _log = log::start(&config.log)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("transport")
        .build()
        .context("the runtime could not be started")?;
    let (mut signals, running) = runtime.block_on(async {
        // Watched from before the ready line on: its reader may stop us at once.
        let signals = Signals::watch()?;
        anyhow::Ok((signals, Running::start(&config).await?))
    })?;
    announce_ready(&running)?;
    runtime.block_on(async {
        while signals.wait().await == SignalAction::Reload {
            running.reload();
        }
        tracing::info!("stopping: no new connections, finishing what was accepted");
        running.stop().await;
    });
    // What still blocks a thread now must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    tracing::info!("stopped");
    Ok(())
}

/// Says whether a server would start with these settings, as far as that can be known without one.
///
/// # Errors
/// What is wrong, in a sentence that says what to do.
pub fn check(config: &Config, warnings: &[String]) -> anyhow::Result<()> {
    print_warnings(warnings);
    log::filter(&config.log.filter)?;
    if let Some(tls::CertificateSource::Files(files)) =
        tls_source(&config.data.folder.path, &config.listeners)
    {
        tls::check(&files).context("TLS")?;
    }
    print("The settings are fine.\n")
}

/// Prints what is probably not as it was meant, to standard error.
pub fn print_warnings(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

/// Prints what was asked for.
///
/// # Errors
/// Standard output is closed.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("standard output is closed")
}

/// The one line on standard output: scripts wait for it and read the ports from it.
fn announce_ready(running: &Running) -> anyhow::Result<()> {
    let mut line = String::from("ready");
    for (name, address) in &running.addresses {
        line.push_str(&format!(" {name}={address}"));
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("standard output is closed")
}

/// SIGTERM, Ctrl-C and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// Watched only so that it does not end the process: a file that may not grow is an error of the write, which is answered.
    _file_too_large: Signal,
}

/// SIGXFSZ.
const FILE_TOO_LARGE: i32 = 25;

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
enum SignalAction {
    Stop,
    Reload,
}

impl Signals {
    fn watch() -> anyhow::Result<Self> {
        let watch = |kind| signal(kind).context("signals cannot be watched");
        Ok(Self {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
            hang_up: watch(SignalKind::hangup())?,
            _file_too_large: watch(SignalKind::from_raw(FILE_TOO_LARGE))?,
        })
    }

    async fn wait(&mut self) -> SignalAction {
        tokio::select! {
            _ = self.terminate.recv() => SignalAction::Stop,
            _ = self.interrupt.recv() => SignalAction::Stop,
            _ = self.hang_up.recv() => SignalAction::Reload,
        }
    }
}

/// A server that serves.
struct Running {
    addresses: Vec<(&'static str, SocketAddr)>,
    context: Arc<Context>,
    bus: Arc<Bus>,
    writer: JoinHandle<()>,
    acceptor: Acceptor,
    /// What the TLS listeners show, where there are any.
    certificates: Option<Arc<Certificates>>,
}

impl Running {
    async fn start(config: &Config) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new().context("the metrics could not be registered")?);
        let broker = BrokerHandle::start(BrokerSettings::of(config), &metrics, |broker| {
            first_start::ensure_operator(config, broker.read, broker.write, broker.clock)?;
            Ok(leave_all_sessions(broker.write, broker.clock.now_ms())?)
        })?;
        // Behind the core, which made sure that the folder is ours alone.
        let certificates = open_certificates(config, &metrics)?;
        let BrokerHandle { services, bus, writer } = broker;
        let Services { pubsub, resources, identity, client_events } = services;
        let rates = Arc::new(Rates::new(&config.rates.rates(), &metrics));
        let listeners = Listeners::bind(&config.listeners)?;
        // When all that is open from the start is open.
        let open_files = open_files::divide(config)?;
        metrics.connections_limit.set(open_files.connections_max(config.connections.connections_max));
        let acceptor = Acceptor {
            permits: Arc::new(Semaphore::new(config.connections.connections_max.min(Semaphore::MAX_PERMITS))),
            open_files,
            addresses: Arc::new(Addresses::new(
                config.connections.connections_per_address_max.unwrap_or(usize::MAX),
            )),
            rates: Arc::clone(&rates),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            metrics: Arc::clone(&metrics),
            reports: ConnectionReports {
                metrics: Arc::clone(&metrics),
                log: Arc::new(LogThrottle::new()),
                client_events: Arc::clone(&client_events),
            },
        };
        let context = Arc::new(Context {
            pubsub,
            resources,
            identity,
            client_events,
            metrics,
            limits: limits(config),
            mqtt_sessions: mqtt::Sessions::default(),
            rates: Arc::clone(&rates),
            refusal_log: LogThrottle::new(),
            authority: certificates.as_ref().and_then(|own| own.authority()).map(Into::into),
        });
        let mut running = Self { addresses: Vec::new(), context, bus, writer, acceptor, certificates };
        running.listen(listeners)?;
        running.open_admin_socket(config);
        if let Some(certificates) = &running.certificates {
            let watching = Arc::clone(certificates).watch(running.acceptor.stop.clone());
            running.acceptor.tasks.spawn(watching);
        }
        let (context, stop) = (Arc::clone(&running.context), running.acceptor.stop.clone());
        running.acceptor.tasks.spawn(async move { context.resources.run_task_worker(stop).await });
        let (context, stop) = (Arc::clone(&running.context), running.acceptor.stop.clone());
        running.acceptor.tasks.spawn(async move { context.identity.run_key_watch(stop).await });
        let (context, stop) = (Arc::clone(&running.context), running.acceptor.stop.clone());
        running.acceptor.tasks.spawn(async move { context.pubsub.run_session_expiry(stop).await });
        let stop = running.acceptor.stop.clone();
        running.acceptor.tasks.spawn(async move { rates.run_eviction(stop).await });
        Ok(running)
    }

    /// Opens the administration socket for commands of this machine. A server without it serves all the same.
    fn open_admin_socket(&self, config: &Config) {
        let data = &config.data.folder.path;
        let socket = match AdminSocket::open(data) {
            Ok(socket) => socket,
            Err(error) => {
                let socket = data.join(SOCKET);
                return tracing::warn!(
                    %error,
                    socket = %socket.display(),
                    "the administrator's socket could not be opened: `keys` and `accounts` need the server to be stopped"
                );
            }
        };
        let listeners = self.addresses.iter().map(|(name, at)| ((*name).into(), at.to_string())).collect();
        let status = Status { listeners, ..status(config.connections.connections_max) };
        let (context, acceptor) = (Arc::clone(&self.context), &self.acceptor);
        let (stop, tasks) = (acceptor.stop.clone(), acceptor.tasks.clone());
        acceptor.tasks.spawn(async move { socket.serve(context, status, stop, tasks).await });
    }

    fn listen(&mut self, listeners: Listeners) -> anyhow::Result<()> {
        let Listeners { http, mqtt, https, mqtts } = listeners;
        for (name, listener) in [("http", &http), ("mqtt", &mqtt), ("https", &https), ("mqtts", &mqtts)] {
            if let Some(listener) = listener {
                self.addresses.push((name, listener.local_addr().context("a bound socket has an address")?));
            }
        }
        let router = thng_pubsub_transport::http::router(Arc::clone(&self.context));
        if let Some(listener) = http {
            let (context, router) = (Arc::clone(&self.context), router.clone());
            let serve = move |stream, admitted| {
                thng_pubsub_transport::http::serve(Arc::clone(&context), router.clone(), stream, admitted)
            };
            tokio::spawn(self.acceptor.clone().run(listener, "http", serve));
        }
        if let Some(listener) = mqtt {
            let context = Arc::clone(&self.context);
            let serve = move |stream, admitted| {
                mqtt::serve(Arc::clone(&context), mqtt::ByteStream(stream), "mqtt", admitted)
            };
            tokio::spawn(self.acceptor.clone().run(listener, "mqtt", serve));
        }
        if let Some(listener) = https {
            let (context, tls) = (Arc::clone(&self.context), self.tls(("https", &["http/1.1"]))?);
            let serve = move |stream, admitted: AcceptedConnection| {
                let (context, router, tls) = (Arc::clone(&context), router.clone(), tls.clone());
                async move {
                    if let Some(stream) = tls.handshake(stream, &admitted).await {
                        thng_pubsub_transport::http::serve(context, router, stream, admitted).await;
                    }
                }
            };
            tokio::spawn(self.acceptor.clone().run(listener, "https", serve));
        }
        if let Some(listener) = mqtts {
            let (context, tls) = (Arc::clone(&self.context), self.tls(("mqtts", &[]))?);
            let serve = move |stream, admitted: AcceptedConnection| {
                let (context, tls) = (Arc::clone(&context), tls.clone());
                async move {
                    if let Some(stream) = tls.handshake(stream, &admitted).await {
                        mqtt::serve(context, mqtt::ByteStream(stream), "mqtts", admitted).await;
                    }
                }
            };
            tokio::spawn(self.acceptor.clone().run(listener, "mqtts", serve));
        }
        Ok(())
    }

    fn tls(&self, protocol: (&'static str, &[&str])) -> anyhow::Result<Tls> {
        let certificates = self.certificates.clone().context("a TLS listener has certificates")?;
        let limit = self.context.limits.connect_timeout;
        Tls::new(certificates, protocol, limit, self.acceptor.reports.clone())
    }

    /// What SIGHUP asks for.
    fn reload(&self) {
        match &self.certificates {
            Some(certificates) => certificates.reload(),
            None => tracing::info!(
                "SIGHUP: there are no TLS certificates to read again; settings are read at the start only"
            ),
        }
    }

    /// Ends it: first the listeners, then the connections, then the writer, then the bus.
    async fn stop(self) {
        self.acceptor.stop.cancel();
        self.acceptor.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.acceptor.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.acceptor.tasks.len(), "some connections did not end in time");
        }
        // With the last reference to the broker the writer's queue closes; it finishes what is in it.
        drop(self.context);
        let (writer, bus) = (self.writer, self.bus);
        let finished = tokio::task::spawn_blocking(move || broker::finish(writer, &bus));
        if tokio::time::timeout(Duration::from_millis(500), finished).await.is_err() {
            tracing::warn!("the writer did not finish in time; what was answered is on disk");
        }
    }
}

/// Runs a command where no server runs: in the same way, without listeners.
///
/// # Errors
/// A sentence, also where a server has the folder open.
pub(crate) fn run_offline(data: &Path, request: &Request) -> anyhow::Result<Answer> {
    // Only `serve` creates a new database.
    SqliteStore::ensure_in(data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("the runtime could not be started")?;
    let metrics = Arc::new(Metrics::new().context("the metrics could not be registered")?);
    runtime.block_on(async {
        let broker = BrokerHandle::start(BrokerSettings::offline(data), &metrics, |_| Ok(()))?;
        let answer =
            thng_pubsub_transport::admin_socket::answer(&broker.services.identity, &status(0), request).await;
        broker.stop();
        Ok(answer)
    })
}

fn status(connections_max: usize) -> Status {
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        process: std::process::id(),
        listeners: Vec::new(),
        connections_max: u64::try_from(connections_max).unwrap_or(u64::MAX),
        open_files_max: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
    }
}

/// What the TLS listeners will show; nothing where there are none.
fn open_certificates(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Arc<Certificates>>> {
    let Some(source) = tls_source(&config.data.folder.path, &config.listeners) else {
        if !config.listeners.tls_cert.is_empty() {
            tracing::warn!("--tls-cert has no effect: neither --https nor --mqtts says where to listen");
        }
        return Ok(None);
    };
    let certificates = Certificates::open(source, Arc::clone(metrics)).context("TLS")?;
    Ok(Some(Arc::new(certificates)))
}

/// Where certificates come from; nothing where no listener wants any.
fn tls_source(data: &Path, listeners: &ListenerSettings) -> Option<tls::CertificateSource> {
    let ListenerSettings { https, mqtts, tls_cert, tls_key, .. } = listeners;
    if *https == Listen::Off && *mqtts == Listen::Off {
        return None;
    }
    Some(if tls_cert.is_empty() {
        tls::CertificateSource::Local(data.join("tls"))
    } else {
        tls::CertificateSource::Files(tls_cert.iter().cloned().zip(tls_key.iter().cloned()).collect())
    })
}

/// Connections that may wait to be accepted. With the usual 128, a thousand that come at once have to try again, a second
/// later; the system takes what it allows (`net.broker.somaxconn`).
const BACKLOG: u32 = 4096;

fn listen_at(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As `TcpListener::bind` does: a server that was stopped can start again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The sockets that listen. All are bound before any serves: a port that is taken stops the start before a client comes.
struct Listeners {
    http: Option<TcpListener>,
    mqtt: Option<TcpListener>,
    https: Option<TcpListener>,
    mqtts: Option<TcpListener>,
}

impl Listeners {
    fn bind(settings: &ListenerSettings) -> anyhow::Result<Self> {
        Ok(Self {
            http: bind("http", settings.http.listen)?,
            mqtt: bind("mqtt", settings.mqtt)?,
            https: bind("https", settings.https)?,
            mqtts: bind("mqtts", settings.mqtts)?,
        })
    }
}

fn bind(name: &str, listen: Listen) -> anyhow::Result<Option<TcpListener>> {
    match listen {
        Listen::Off => Ok(None),
        Listen::At(address) => listen_at(address).map(Some).with_context(|| {
            format!("cannot listen on --{name} {address}; is another program there? Choose another port, or 0 for any")
        }),
    }
}

/// The bounds of a connection, as the settings say.
fn limits(config: &Config) -> Limits {
    let Config { protocols, connections, messages, subscriptions, .. } = config;
    Limits {
        connect_timeout: Duration::from_secs(connections.connect_timeout_s),
        http_idle_timeout: Duration::from_secs(connections.http_idle_timeout_s),
        body_timeout: Duration::from_secs(connections.body_timeout_s),
        answer_rate: connections.answer_rate(),
        websocket_ping_interval: Duration::from_secs(protocols.websocket_ping_interval_s),
        initial_state_delay: Duration::from_millis(protocols.initial_state_delay_ms),
        message_bytes_max: messages.message_bytes_max,
        mqtt_websocket_message_bytes_max: messages.mqtt_websocket_message_bytes_max,
        body_bytes_max: messages.body_bytes_max,
        subscriptions_max: subscriptions.subscriptions_max,
        publishes_in_flight_max: messages.publishes_in_flight_max,
        deliveries_in_flight_max: subscriptions.deliveries_in_flight_max,
        outbound_queue: subscriptions.outbound_queue(),
        on_rejected_publish: protocols.on_rejected_publish.into(),
        allowed_origins: protocols.allowed_origins.clone(),
    }
}
