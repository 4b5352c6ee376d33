//! All connections of a scenario, and the one loop that serves them.
//!
//! [`Clients::open`] connects and subscribes; after that a scenario calls [`Clients::turn`] again and again, receives
//! every packet, and appends what it wants to send to a client's buffer.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::{Events, Interest, Poll, Token};
use thng_pubsub_protocol::mqtt::{
    Connect, ConnectCode, Packet, PacketId, ProtocolLevel, QoS, SubAckCode, Subscribe,
};

use crate::client::{Client, Stage};
use crate::pacer::Pacer;
use crate::process;
use crate::target::Target;

/// Connections that are opened at the same time. Below what a listener's backlog takes, and enough that the broker
/// never waits for us.
const OPENING_MAX: usize = 64;

/// How long the broker may take to answer any one connection.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// Filters in one SUBSCRIBE packet: well below 8 KiB.
const FILTERS_MAX: usize = 50;

/// Bytes that one read takes at the most.
const READ_BYTES: usize = 256 * 1024;

/// How many connections this process has opened so far.
static OPENED: AtomicUsize = AtomicUsize::new(0);

/// The token of a pacer; clients have their index.
const PACER: Token = Token(usize::MAX - 1);

/// Connections, in the order in which they were opened.
pub(crate) struct Clients {
    poll: Poll,
    events: Events,
    buffer: Box<[u8]>,
    clients: Vec<Client>,
}

impl Clients {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let poll = Poll::new().context("cannot create an epoll")?;
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Ok(Self { poll, events: Events::with_capacity(1024), buffer, clients: Vec::new() })
    }

    /// Opens `count` connections more; the nth of all subscribes to `filters(n)`. Returns when each is ready.
    ///
    /// # Errors
    /// The broker refuses or closes a connection, refuses a subscription, or takes longer than 30 s for one.
    pub(crate) fn open<'a>(
        &mut self,
        count: usize,
        target: &Target,
        qos: QoS,
        filters: impl Fn(usize) -> &'a [String],
    ) -> anyhow::Result<()> {
        let (start, end) = (self.clients.len(), self.clients.len() + count);
        check_open_files(end)?;
        let mut ready = start;
        let mut progress = Instant::now();
        while ready < end {
            while self.clients.len() < end && self.clients.len() - ready < OPENING_MAX {
                self.connect(target)?;
            }
            let before = ready;
            self.turn(Some(Duration::from_millis(100)), |index, packet, stage, outgoing| {
                let next = greet(*stage, packet, filters(index), qos, outgoing)?;
                ready += usize::from(*stage != Stage::Ready && next == Stage::Ready);
                *stage = next;
                Ok(())
            })
            .with_context(|| format!("after {} of {count} connections", before - start))?;
            if ready > before {
                progress = Instant::now();
            } else if progress.elapsed() > OPEN_LIMIT {
                bail!("after {} of {count} connections the broker stopped answering", ready - start);
            }
        }
        Ok(())
    }

    fn connect(&mut self, target: &Target) -> anyhow::Result<()> {
        let mut client = Client::connect(target.mqtt)?;
        let (user_name, password) = target.credentials();
        // Unique on this machine: the broker may not have noticed yet that the last scenario's connections are gone.
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let client_id = format!("bench-{}-{number}", std::process::id());
        let connect = Connect {
            level: ProtocolLevel::V3_1_1,
            clean_session: true,
            keep_alive_s: 0,
            client_id: &client_id,
            will: None,
            user_name,
            password: password.map(str::as_bytes),
        };
        connect.encode(&mut client.outgoing)?;
        // Edge-triggered: one registration for the whole life.
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut client.stream, Token(self.clients.len()), interest)?;
        self.clients.push(client);
        Ok(())
    }

    /// Has a pacer wake [`turn`](Self::turn).
    pub(crate) fn pace(&mut self, pacer: &Pacer) -> anyhow::Result<()> {
        pacer.register(self.poll.registry(), PACER)
    }

    /// Waits until something has happened, at most `timeout`, and serves it: reads, calls `on` for each packet with
    /// the client's index, and writes.
    ///
    /// # Errors
    /// A connection is lost, sends what is not MQTT, or `on` fails.
    pub(crate) fn turn(
        &mut self,
        timeout: Option<Duration>,
        mut on: impl FnMut(usize, Packet<'_>, &mut Stage, &mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error).context("epoll"),
            _ => {}
        }
        for event in &self.events {
            let Token(index) = event.token();
            // The pacer only wakes.
            let Some(client) = self.clients.get_mut(index) else { continue };
            let served =
                serve(client, event, &mut self.buffer, |packet, stage, out| on(index, packet, stage, out));
            served.with_context(|| format!("connection {index}"))?;
        }
        Ok(())
    }

    /// The buffer of a client, to append packets to. [`flush`](Self::flush) sends them.
    pub(crate) fn outgoing(&mut self, index: usize) -> &mut Vec<u8> {
        &mut self.clients[index].outgoing
    }

    /// Writes what was appended for a client, as far as its socket takes it now.
    pub(crate) fn flush(&mut self, index: usize) -> anyhow::Result<()> {
        self.clients[index].flush().with_context(|| format!("connection {index}"))
    }

    /// Whether the client's socket has taken all that was sent.
    pub(crate) fn is_flushed(&self, index: usize) -> bool {
        self.clients[index].is_flushed()
    }
}

fn serve(
    client: &mut Client,
    event: &mio::event::Event,
    buffer: &mut [u8],
    on: impl FnMut(Packet<'_>, &mut Stage, &mut Vec<u8>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if client.stage == Stage::Opening {
        if let Some(error) = client.stream.take_error()? {
            return Err(error).context("cannot connect");
        }
        client.stream.set_nodelay(true)?;
    }
    if event.is_readable() || event.is_read_closed() {
        client.receive(buffer, on)?;
    }
    client.flush()
}

/// The next stage of a connection, after a packet that came while it was being opened.
fn greet(
    stage: Stage,
    packet: Packet<'_>,
    filters: &[String],
    qos: QoS,
    outgoing: &mut Vec<u8>,
) -> anyhow::Result<Stage> {
    match (stage, packet) {
        (Stage::Opening, Packet::ConnAck(answer)) => {
            if answer.code != ConnectCode::Accepted {
                bail!("the broker refuses the connection: {:?}", answer.code);
            }
            subscribe(filters, qos, outgoing)
        }
        (Stage::Subscribing(left), Packet::SubAck(answer)) => {
            if answer.results().any(|result| result == SubAckCode::Refused) {
                bail!("the broker refuses a subscription");
            }
            Ok(if left > 1 { Stage::Subscribing(left - 1) } else { Stage::Ready })
        }
        // A message of a topic that is subscribed already.
        (stage, Packet::Publish(_)) => Ok(stage),
        (stage, packet) => bail!("a packet that does not belong here: {packet:?} ({stage:?})"),
    }
}

fn subscribe(filters: &[String], qos: QoS, outgoing: &mut Vec<u8>) -> anyhow::Result<Stage> {
    let mut packet_id = PacketId::MIN;
    for some in filters.chunks(FILTERS_MAX) {
        let filters: Vec<(&str, QoS)> = some.iter().map(|filter| (filter.as_str(), qos)).collect();
        Subscribe::new(packet_id, &filters).encode(outgoing)?;
        packet_id = packet_id.successor();
    }
    let packets = filters.len().div_ceil(FILTERS_MAX);
    Ok(if packets == 0 { Stage::Ready } else { Stage::Subscribing(packets) })
}

/// Each connection is an open file here, and one in the broker.
pub(crate) fn check_open_files(connections: usize) -> anyhow::Result<()> {
    let (allowed, needed) = (process::raise_open_files_limit(), connections as u64 + 32);
    if allowed < needed {
        bail!(
            "{connections} connections need {needed} open files, and {allowed} are allowed: raise `ulimit -Hn`"
        );
    }
    Ok(())
}
