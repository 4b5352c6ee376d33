//! Bytes to and from a port, with a deadline on every wait.
//!
//! The MQTT client speaks through a [`Link`]; a test that sends what no client would send uses [`Raw`] directly.

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::wait::PATIENCE;

/// What a wait for bytes ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// What one read returned: on TCP at most what the other side has sent so far.
    Bytes(Vec<u8>),
    /// The time was up.
    Nothing,
    /// The other side has closed, cleanly or with a reset.
    Closed,
}

/// A byte stream to the server.
pub trait Link: Debug {
    /// Sends all of `bytes`; that the other side has closed shows at the next [`Link::receive`].
    fn send(&mut self, bytes: &[u8]);

    /// Waits for bytes, at most `patience` long.
    fn receive(&mut self, patience: Duration) -> Arrival;

    /// Ends the connection without a word, as a client does that lost its network.
    fn cut(&mut self);
}

/// Whichever it is, for those to whom that makes no difference.
impl Link for Box<dyn Link> {
    fn send(&mut self, bytes: &[u8]) {
        (**self).send(bytes);
    }

    fn receive(&mut self, patience: Duration) -> Arrival {
        (**self).receive(patience)
    }

    fn cut(&mut self) {
        (**self).cut();
    }
}

/// A plain TCP connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Connects to a port of the server.
    ///
    /// # Panics
    /// When nobody accepts.
    #[must_use]
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Raw {
        Raw::try_connect(to).expect("the server accepts connections")
    }

    /// Connects to a port of a server that may be gone.
    #[must_use]
    pub fn try_connect(to: SocketAddr) -> Option<Raw> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
        stream.set_nodelay(true).expect("a TCP option can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Some(Raw { stream })
    }

    /// Sends bytes and returns the connection, so that a malformed message is one expression.
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Raw {
        self.send(bytes);
        self
    }

    /// Says that nothing more will come from this side, and still reads.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Everything that the server sends until it closes.
    ///
    /// # Panics
    /// When it does not close within [`PATIENCE`].
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Arrival::Bytes(bytes) => received.extend(bytes),
                Arrival::Closed => return received,
                Arrival::Nothing => {
                    panic!("the server did not close in {PATIENCE:?}; it sent {received:02x?}")
                }
            }
        }
    }

    /// What the server sends until `enough` of it has come.
    ///
    /// # Panics
    /// When the server closes or [`PATIENCE`] ends before.
    #[track_caller]
    pub fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut received = Vec::new();
        while !enough(&received) {
            match self.receive(PATIENCE) {
                Arrival::Bytes(bytes) => received.extend(bytes),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&received)),
            }
        }
        received
    }

    /// The stream itself, for a WebSocket handshake.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl Link for Raw {
    fn send(&mut self, bytes: &[u8]) {
        // A server that has refused the first bytes need not read the rest.
        let _ = self.stream.write_all(bytes);
    }

    fn receive(&mut self, patience: Duration) -> Arrival {
        read_some(&mut self.stream, patience)
    }

    fn cut(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn read_some(stream: &mut TcpStream, patience: Duration) -> Arrival {
    // A timeout of zero would mean none.
    let patience = patience.max(Duration::from_millis(1));
    stream.set_read_timeout(Some(patience)).expect("a timeout can be set");
    let mut buffer = vec![0; 64 * 1024];
    match stream.read(&mut buffer) {
        Ok(0) => Arrival::Closed,
        Ok(length) => {
            buffer.truncate(length);
            Arrival::Bytes(buffer)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Arrival::Nothing,
        Err(error) if error.kind() == ErrorKind::Interrupted => Arrival::Nothing,
        Err(_) => Arrival::Closed,
    }
}
