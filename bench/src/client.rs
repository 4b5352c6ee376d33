//! One MQTT connection: a socket that is never waited for, what is still to be written, and what was half received.
//!
//! Served by `clients`. What has been received is decoded in a buffer that all connections share; only an unfinished
//! packet is kept here, so that ten thousand idle connections stay small.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, bail};
use mio::net::TcpStream;
use thng_pubsub_protocol::mqtt::{Decoder, Packet, ProtocolLevel, Side};

/// The largest packet that a broker may send us, in bytes: any payload and its topic fit.
const PACKET_BYTES_MAX: usize = 128 * 1024;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The socket is not connected yet, or CONNECT is not answered.
    Opening,
    /// So many SUBSCRIBE packets are not answered.
    Subscribing(usize),
    /// Messages may flow.
    Ready,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stage: Stage,
    pub(crate) stream: TcpStream,
    /// What is to be written; `written` bytes of it are gone.
    pub(crate) outgoing: Vec<u8>,
    written: usize,
    /// The start of a packet whose rest has not arrived.
    unfinished: Vec<u8>,
    decoder: Decoder,
}

impl Client {
    /// Starts to connect.
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("cannot open a socket")?;
        let mut decoder = Decoder::new(Side::Server, PACKET_BYTES_MAX);
        decoder.level = Some(ProtocolLevel::V3_1_1);
        let (outgoing, unfinished) = (Vec::new(), Vec::new());
        Ok(Self { stage: Stage::Opening, stream, outgoing, written: 0, unfinished, decoder })
    }

    /// Writes as much as the socket takes now.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        while self.written < self.outgoing.len() {
            match self.stream.write(&self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot write to the broker"),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        Ok(())
    }

    /// Whether all that was appended to `outgoing` is written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Reads all that is there, and calls `on` for each packet, with the buffer that takes its answer.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        mut on: impl FnMut(Packet<'_>, &mut Stage, &mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            let leftover = self.unfinished.len();
            buffer[..leftover].copy_from_slice(&self.unfinished);
            let count = match self.stream.read(&mut buffer[leftover..]) {
                Ok(0) => bail!("the broker closed the connection"),
                Ok(count) => count,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot read from the broker"),
            };
            let received = &buffer[..leftover + count];
            let mut at = 0;
            while let Some((packet, bytes)) = self.decoder.decode(&received[at..])? {
                on(packet, &mut self.stage, &mut self.outgoing)?;
                at += bytes;
            }
            self.unfinished.clear();
            self.unfinished.extend_from_slice(&received[at..]);
            // Less than would have fit: the socket is empty, and the next byte wakes us again.
            if leftover + count < buffer.len() {
                return Ok(());
            }
        }
    }
}

/// Whether the socket is only not ready: not connected yet, or its buffer full or empty.
fn is_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
