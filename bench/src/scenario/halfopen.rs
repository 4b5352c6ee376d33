//! Measures the latency of other clients before and during many half-open connections.
//!
//! Both halves are one run over the same connections. First there is the steady rate alone, then the same rate while so
//! many connections are begun at once and left as they are. What comes late because the broker was busy with them is
//! charged to it, since latency counts from when a message was due.
//!
//! The broker lets such connections go after some time (ours after 10 s); how many were left at the end is a figure.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;
use thng_pubsub_protocol::mqtt::{Connect, ProtocolLevel};

use super::Settings;
use super::latency::{Counts, Steady, Until, due_in};
use crate::clients::check_open_files;
use crate::target::Target;

/// How long a connection, or the first bytes of an answer, may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Messages per second that were due.
    pub per_s: u32,
    /// Half of the messages arrived within this time before, in milliseconds.
    pub before_p50_ms: f64,
    /// 99 of 100 did.
    pub before_p99_ms: f64,
    /// Half of the messages arrived within this time from when the first of the others came, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 did.
    pub p99_ms: f64,
    /// All did.
    pub max_ms: f64,
    /// 99 of 100 messages were sent within this time after they were due meanwhile: our own share.
    pub late_p99_ms: f64,
    /// Connections that were begun.
    pub begun: usize,
    /// How long it took to begin them all, in milliseconds.
    pub begun_in_ms: f64,
    /// Those that the broker had not let go at the end.
    pub left: usize,
    /// Messages that were sent, from warm-up to end.
    pub sent: u64,
    /// Messages that did not arrive.
    pub lost: u64,
    /// Messages that arrived more than once.
    pub surplus: u64,
}

/// Keeps to the schedule, alone for the time of a measurement and then beside the others for as long.
pub(super) fn measure(
    count: usize,
    pairs: usize,
    per_s: u32,
    target: &Target,
    settings: &Settings,
) -> anyhow::Result<Figures> {
    check_open_files(count + 2 * pairs)?;
    let starts = starts(target)?;
    let first = due_in(settings.warm_up, per_s);
    let others = due_in(settings.warm_up + settings.measure, per_s);
    let end = due_in(settings.warm_up + settings.measure * 2, per_s);
    let mut steady = Steady::open(pairs, per_s, Until::Received, target, settings)?;
    steady.until(others)?;
    let beginning = std::thread::spawn(move || begin(count, &starts));
    steady.until(end)?;
    let (begun, took) = beginning.join().expect("the thread does not panic")?;
    let left = begun.into_iter().filter(is_open).count();
    let run = steady.drained()?;
    let (before, meanwhile, Counts { sent, lost, surplus }) =
        (run.times(first..others), run.times(others..end), run.counts());
    Ok(Figures {
        per_s,
        before_p50_ms: before.p50_ms,
        before_p99_ms: before.p99_ms,
        p50_ms: meanwhile.p50_ms,
        p99_ms: meanwhile.p99_ms,
        max_ms: meanwhile.max_ms,
        late_p99_ms: meanwhile.late_p99_ms,
        begun: count,
        begun_in_ms: took.as_secs_f64() * 1e3,
        left,
        sent,
        lost,
        surplus,
    })
}

/// How a connection begins that goes no further.
#[derive(Debug)]
struct Start {
    to: SocketAddr,
    bytes: Vec<u8>,
    /// Whether the other side has something to say to it, and with which byte.
    answered_with: Option<u8>,
}

/// One of each kind that the broker has a listener for.
fn starts(target: &Target) -> anyhow::Result<Vec<Start>> {
    let silent = |to, bytes: &[u8]| Start { to, bytes: bytes.to_vec(), answered_with: None };
    let half = |whole: &[u8]| whole[..whole.len() / 2].to_vec();
    let (user_name, password) = target.credentials();
    let mut connect = Vec::new();
    Connect {
        level: ProtocolLevel::V3_1_1,
        clean_session: true,
        keep_alive_s: 0,
        client_id: "halfway",
        will: None,
        user_name,
        password: password.map(str::as_bytes),
    }
    .encode(&mut connect)?;
    let mut starts = vec![silent(target.mqtt, b""), silent(target.mqtt, &half(&connect))];
    if let Some(http) = target.http {
        starts.push(silent(http, b"GET /access HTTP/1.1\r\nHost: loc"));
        starts.push(silent(
            http,
            b"GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        ));
    }
    let hello = client_hello();
    for tls in [target.https, target.mqtts].into_iter().flatten() {
        starts.push(silent(tls, b""));
        starts.push(silent(tls, &half(&hello)));
        // The costly one: the server agrees on keys and signs, and then waits.
        starts.push(Start { to: tls, bytes: hello.clone(), answered_with: Some(HANDSHAKE) });
    }
    Ok(starts)
}

/// Begins so many, all kinds in turn, and says how long that took.
///
/// # Errors
/// One is not accepted, or a TLS listener answers with something else than its handshake.
fn begin(count: usize, starts: &[Start]) -> anyhow::Result<(Vec<TcpStream>, Duration)> {
    let began = Instant::now();
    let mut begun = Vec::with_capacity(count);
    for start in starts.iter().cycle().take(count) {
        let connect = || -> std::io::Result<TcpStream> {
            let mut stream = TcpStream::connect_timeout(&start.to, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(&start.bytes)?;
            Ok(stream)
        };
        let stream = connect().with_context(|| format!("connection {} that stops halfway", begun.len()))?;
        begun.push(stream);
    }
    let took = began.elapsed();
    // The state of the half-open connections is checked when the run is over.
    for (stream, start) in begun.iter_mut().zip(starts.iter().cycle()) {
        let Some(expected) = start.answered_with else { continue };
        let mut first = [0];
        stream.read_exact(&mut first).with_context(|| format!("{} answers no ClientHello", start.to))?;
        if first[0] != expected {
            bail!("{} does not take our ClientHello: it begins with {:#04x}", start.to, first[0]);
        }
    }
    Ok((begun, took))
}

/// Whether the broker has not let go of a connection.
fn is_open(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let (mut reader, mut buffer) = (stream, [0; 4096]);
    loop {
        match reader.read(&mut buffer) {
            // What it said before it went is still there.
            Ok(1..) => {}
            Ok(0) => return false,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// The type of a record with a handshake in it. [RFC 8446, 5.1]
const HANDSHAKE: u8 = 0x16;

/// A ClientHello of TLS 1.3 that any server of it can go on from. [RFC 8446, 4.1.2]
fn client_hello() -> Vec<u8> {
    let sized = |length_bytes: usize, content: &[u8]| {
        let length = u32::try_from(content.len()).expect("a hello is short").to_be_bytes();
        [&length[4 - length_bytes..], content].concat()
    };
    let extension = |kind: u8, content: &[u8]| [&[0, kind][..], &sized(2, content)].concat();
    // The base point of the curve is as good as any public key for a client that does not go on.
    let mut share = [0; 32];
    share[0] = 9;
    let extensions = [
        // supported_versions: 1.3
        extension(43, &sized(1, &[0x03, 0x04])),
        // supported_groups: x25519
        extension(10, &sized(2, &[0x00, 0x1d])),
        // signature_algorithms: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, ed25519
        extension(13, &sized(2, &[0x04, 0x03, 0x08, 0x04, 0x08, 0x07])),
        // key_share
        extension(51, &sized(2, &[&[0x00, 0x1d][..], &sized(2, &share)].concat())),
    ]
    .concat();
    let body = [
        &[0x03, 0x03][..],
        &[7; 32],
        &sized(1, &[7; 32]),
        // TLS_AES_128_GCM_SHA256
        &sized(2, &[0x13, 0x01]),
        // no compression
        &sized(1, &[0]),
        &sized(2, &extensions),
    ]
    .concat();
    let message = [&[1][..], &sized(3, &body)].concat();
    [&[HANDSHAKE, 0x03, 0x01][..], &sized(2, &message)].concat()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn every_listener_that_is_known_is_begun_with() {
        let mut target = Target::anonymous("127.0.0.1:1".parse().unwrap());
        let ports = |target: &Target| -> Vec<u16> {
            starts(target).unwrap().iter().map(|start| start.to.port()).collect()
        };
        assert_eq!(ports(&target), [1, 1]);
        target.http = Some("127.0.0.1:2".parse().unwrap());
        target.https = Some("127.0.0.1:3".parse().unwrap());
        target.mqtts = Some("127.0.0.1:4".parse().unwrap());
        assert_eq!(ports(&target), [1, 1, 2, 2, 3, 3, 3, 4, 4, 4]);
    }

    #[test]
    fn the_lengths_in_a_hello_are_what_they_say() {
        let hello = client_hello();
        assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
        assert_eq!(usize::from(u16::from_be_bytes([hello[7], hello[8]])), hello.len() - 9);
    }

    #[test]
    fn a_connection_is_open_until_the_other_side_has_let_it_go() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        assert!(is_open(&stream));
        other.write_all(b"before it went").unwrap();
        drop(other);
        assert!((0..1_000_000).any(|_| !is_open(&stream)), "it was let go");
    }

    #[test]
    fn a_port_that_speaks_something_else_is_said_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad Request"));
        let start = Start { to, bytes: client_hello(), answered_with: Some(HANDSHAKE) };
        let error = begin(1, &[start]).unwrap_err().to_string();
        assert!(error.contains("does not take our ClientHello"), "{error}");
    }
}
