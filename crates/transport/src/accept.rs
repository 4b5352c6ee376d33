//! The accept loop, the same for every listener: nothing that one peer does can stop it.
//!
//! Handshakes happen in the connection's own task. Beyond the limit of connections, or of descriptors for them, a peer is
//! let go at once. Should the system run out of descriptors all the same, the loop waits a moment and goes on.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use super::{
    addresses::{self, Addresses, CountedConnection},
    client_reports::ConnectionReports,
    least_rate,
    rate_limits::Rates,
};
use thng_pubsub_broker::{metrics::Metrics, polls::MeasuredFuture};

/// What all listeners share.
#[derive(Debug, Clone)]
pub struct Acceptor {
    /// One permit a connection.
    pub permits: Arc<Semaphore>,
    /// One permit a descriptor.
    pub open_files: OpenFiles,
    /// How many each address may have.
    pub addresses: Arc<Addresses>,
    /// How often each address may come.
    pub rates: Arc<Rates>,
    /// Ends the loops and asks every connection to finish.
    pub stop: CancellationToken,
    /// Knows when the last connection has ended.
    pub tasks: TaskTracker,
    pub metrics: Arc<Metrics>,
    pub reports: ConnectionReports,
}

/// The descriptors that connections may take, of those that the system grants the process.
#[derive(Debug, Clone)]
pub struct OpenFiles {
    /// Of all connections.
    pub connections: Arc<Semaphore>,
    /// Of HTTP connections when no other is left: each has one request.
    pub reserved_http: Arc<Semaphore>,
}

impl OpenFiles {
    /// Connections that may be open where the settings allow so many.
    pub fn connections_max(&self, configured: usize) -> i64 {
        i64::try_from(configured.min(self.connections.available_permits())).unwrap_or(i64::MAX)
    }

    /// A descriptor for a connection, and whether it is one of the reserved ones.
    fn take(&self, protocol: &'static str) -> Option<(OwnedSemaphorePermit, bool)> {
        let take = |permits: &Arc<Semaphore>| Arc::clone(permits).try_acquire_owned().ok();
        let is_http = matches!(protocol, "http" | "https");
        let reserved = || take(&self.reserved_http).filter(|_| is_http).map(|permit| (permit, true));
        take(&self.connections).map(|permit| (permit, false)).or_else(reserved)
    }
}

/// A connection that was let in. It counts among the connections until the last clone is gone, so a WebSocket that
/// outlives its HTTP request keeps one.
#[derive(Debug, Clone)]
pub struct AcceptedConnection {
    pub peer: SocketAddr,
    /// What the listener serves, as the metrics call it.
    pub protocol: &'static str,
    /// Whether it has one of the descriptors that are reserved for single requests.
    pub is_reserved: bool,
    /// Asks the connection to finish.
    pub stop: CancellationToken,
    _slot: Arc<ConnectionSlot>,
}

/// How long a handshake, and the head of a request, may take on a reserved descriptor: few slow clients must not be able
/// to take all of them.
const RESERVED_TIMEOUT: Duration = Duration::from_secs(2);

impl AcceptedConnection {
    /// How long a handshake or the head of a request may take, where that is usually `usual`.
    pub(super) fn timeout(&self, usual: Duration) -> Duration {
        if self.is_reserved { usual.min(RESERVED_TIMEOUT) } else { usual }
    }

    /// Whose connection it is, for what is counted by address.
    pub(super) fn address(&self) -> IpAddr {
        addresses::network(self.peer.ip())
    }

    /// The address of a request. Only a router without a listener in front does not know it.
    pub(super) fn address_in(extensions: &axum::http::Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), Self::address)
    }

    /// Whether it came by the HTTPS listener.
    pub(super) fn is_https(&self) -> bool {
        self.protocol == "https"
    }
}

#[cfg(test)]
impl AcceptedConnection {
    /// A connection that counts nowhere else.
    pub fn alone() -> Self {
        let slot = ConnectionSlot {
            _permit: Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is room"),
            _descriptor: Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is one"),
            _counted: Arc::new(Addresses::new(1)).enter([127, 0, 0, 1].into()).expect("there is room"),
            _task: TaskTracker::new().token(),
        };
        Self {
            peer: ([127, 0, 0, 1], 1).into(),
            protocol: "test",
            is_reserved: false,
            stop: CancellationToken::new(),
            _slot: Arc::new(slot),
        }
    }
}

#[derive(Debug)]
struct ConnectionSlot {
    _permit: OwnedSemaphorePermit,
    _descriptor: OwnedSemaphorePermit,
    _counted: CountedConnection,
    _task: TaskTrackerToken,
}

/// How long to wait when the system cannot accept, such as when file descriptors have run out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Silence after which the system asks whether a peer is still there, and between such questions. It finds peers that
/// vanished without a word also where the protocol has no keep alive.
const TCP_KEEP_ALIVE: socket2::TcpKeepalive =
    socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));

impl Acceptor {
    /// Accepts until it is stopped; each connection runs in a task of its own.
    pub async fn run<F>(
        self,
        listener: TcpListener,
        protocol: &'static str,
        serve: impl Fn(TcpStream, AcceptedConnection) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, protocol, &serve),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    tracing::error!(%error, protocol, "cannot accept connections; trying again (is `ulimit -n` large enough?)");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    fn admit<F>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        protocol: &'static str,
        serve: &impl Fn(TcpStream, AcceptedConnection) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(permits) = Arc::clone(&self.permits).try_acquire_owned() else {
            return self.reject(protocol, peer, "too_many_connections", "--connections-max");
        };
        let Some((descriptor, is_reserved)) = self.open_files.take(protocol) else {
            return self.reject(protocol, peer, "open_files_limit", "the limit of open files (ulimit -n)");
        };
        if let Err(refusal) = self.rates.connect_of_address(addresses::network(peer.ip())) {
            return self.reject(protocol, peer, refusal.reason(), "--connection-rate-per-address");
        }
        let Some(counted) = self.addresses.enter(peer.ip()) else {
            return self.reject(
                protocol,
                peer,
                "connection_limit_per_address",
                "--connections-per-address-max",
            );
        };
        // A socket that is gone already fails here; its task notices at the first read.
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&TCP_KEEP_ALIVE);
        if matches!(protocol, "http" | "https") {
            least_rate::observe(&stream);
        }
        let slot = ConnectionSlot {
            _permit: permits,
            _descriptor: descriptor,
            _counted: counted,
            _task: self.tasks.token(),
        };
        let (stop, slot) = (self.stop.clone(), Arc::new(slot));
        let connection = serve(stream, AcceptedConnection { peer, protocol, is_reserved, stop, _slot: slot });
        let gauge = self.metrics.connections.with_label_values(&[protocol]);
        gauge.inc();
        // Not an async block: that would hold the connection twice.
        let polls = self.metrics.poll_duration_seconds.clone();
        tokio::spawn(MeasuredFuture::new(connection.map(move |()| gauge.dec()), polls));
    }

    fn reject(&self, protocol: &'static str, peer: SocketAddr, reason: &'static str, setting: &str) {
        let sentence = format!("connection rejected: {setting} is reached");
        if let Some(suppressed) = self.reports.refused(protocol, peer, reason, &sentence) {
            tracing::warn!(protocol, %peer, reason, suppressed, "{sentence}");
        }
    }
}

/// Errors of `accept` that speak of one connection that was gone before it was accepted.
fn is_of_the_peer(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
