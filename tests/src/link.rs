//! Bytes to and from a port, with a deadline on every wait.
//!
//! The MQTT client speaks through a [`Link`]; a test that sends what no client would send uses [`Raw`] directly.
//! Inside TLS it is the same: [`crate::tls::Trust`] makes such a [`Raw`].

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::wait::WAIT_MAX;

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

    /// Waits for bytes, at most `timeout` long.
    fn receive(&mut self, timeout: Duration) -> Arrival;

    /// Ends the connection without a word, as a client does that lost its network.
    fn cut(&mut self);
}

/// Whichever it is, for those to whom that makes no difference.
impl Link for Box<dyn Link> {
    fn send(&mut self, bytes: &[u8]) {
        (**self).send(bytes);
    }

    fn receive(&mut self, timeout: Duration) -> Arrival {
        (**self).receive(timeout)
    }

    fn cut(&mut self) {
        (**self).cut();
    }
}

/// What carries bytes.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// The TCP connection, whatever is inside.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// A TCP connection, plain or inside TLS.
#[derive(Debug)]
pub struct Raw {
    stream: Stream,
}

impl Raw {
    /// Connects to a port of the server.
    ///
    /// # Panics
    /// When the connection is refused.
    #[must_use]
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Raw {
        Raw::try_connect(to).expect("the server accepts connections")
    }

    /// Connects to a port of a server that may be gone.
    #[must_use]
    pub fn try_connect(to: SocketAddr) -> Option<Raw> {
        TcpStream::connect_timeout(&to, WAIT_MAX).ok().map(Raw::ready)
    }

    /// Connects as if from another machine: every address of the loopback network can be one's own.
    ///
    /// # Panics
    /// When the connection is refused.
    #[must_use]
    #[track_caller]
    pub fn connect_from(from: Ipv4Addr, to: SocketAddr) -> Raw {
        Raw::ready(stream_from(from, to).expect("the server accepts connections"))
    }

    fn ready(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).expect("a TCP option can be set");
        stream.set_write_timeout(Some(WAIT_MAX)).expect("a timeout can be set");
        Raw { stream: Stream::Plain(stream) }
    }

    /// A connection on a stream that is there already.
    #[must_use]
    pub fn on(stream: Stream) -> Raw {
        Raw { stream }
    }

    /// What is known of the connection's TLS.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    #[track_caller]
    pub fn tls(&self) -> &ClientConnection {
        match &self.stream {
            Stream::Plain(_) => panic!("the connection is plain"),
            Stream::Tls(stream) => &stream.conn,
        }
    }

    /// Sends bytes and returns the connection, so that a malformed message is one expression.
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Raw {
        self.send(bytes);
        self
    }

    /// Says that nothing more will come from this side, and still reads.
    pub fn finish(&mut self) {
        let _ = self.stream.tcp().shutdown(Shutdown::Write);
    }

    /// Everything that the server sends until it closes.
    ///
    /// # Panics
    /// When it does not close within [`WAIT_MAX`].
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Arrival::Bytes(bytes) => received.extend(bytes),
                Arrival::Closed => return received,
                Arrival::Nothing => {
                    panic!("the server did not close in {WAIT_MAX:?}; it sent {received:02x?}")
                }
            }
        }
    }

    /// What the server sends until `enough` of it has come.
    ///
    /// # Panics
    /// When the server closes or [`WAIT_MAX`] ends before.
    #[track_caller]
    pub fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut received = Vec::new();
        while !enough(&received) {
            match self.receive(WAIT_MAX) {
                Arrival::Bytes(bytes) => received.extend(bytes),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&received)),
            }
        }
        received
    }

    /// The stream itself, for a WebSocket handshake.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        self.stream
    }
}

/// A connection from this address to that.
fn stream_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&to.into(), WAIT_MAX)?;
    Ok(socket.into())
}

impl Link for Raw {
    fn send(&mut self, bytes: &[u8]) {
        // A server that has refused the first bytes need not read the rest.
        let _ = self.stream.write_all(bytes);
    }

    fn receive(&mut self, timeout: Duration) -> Arrival {
        read_some(&mut self.stream, timeout)
    }

    fn cut(&mut self) {
        let _ = self.stream.tcp().shutdown(Shutdown::Both);
    }
}

fn read_some(stream: &mut Stream, timeout: Duration) -> Arrival {
    // A timeout of zero would mean none.
    let timeout = timeout.max(Duration::from_millis(1));
    stream.tcp().set_read_timeout(Some(timeout)).expect("a timeout can be set");
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
