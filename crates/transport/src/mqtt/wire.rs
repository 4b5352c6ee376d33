//! The carriers of MQTT: a byte stream (TCP), or binary WebSocket messages.
//!
//! Packets have nothing to do with the borders of segments or messages: several may come in one, one in several.

use std::{
    cell::RefCell,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::extract::ws::{CloseCode, CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{message_bound::UnfinishedBytes, upgrade};

/// Bytes that one read takes at the most.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// Where reads land first, one for each worker thread: a connection that waits for bytes holds no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Bytes that wait to be written, and how many of them are.
#[derive(Debug, Default)]
pub struct Outgoing {
    pub(super) bytes: Vec<u8>,
    written: usize,
    /// The carrier has taken the bytes, but not all of them have left it.
    flushing: bool,
}

/// A buffer that was emptied keeps this much; more is given back, so that a quiet connection is a small one.
const KEPT_BYTES: usize = 1024;

impl Outgoing {
    pub(super) fn is_sent(&self) -> bool {
        self.bytes.is_empty() && !self.flushing
    }

    pub(super) fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    fn emptied(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.written = 0;
    }
}

/// The API key that the upgrade to a WebSocket brought. Never printed.
pub struct UpgradeKey(pub Box<str>);

impl fmt::Debug for UpgradeKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<key>")
    }
}

/// Bytes in, bytes out.
pub trait Wire: Send {
    /// Appends what has arrived. `Ok(0)`: the peer has ended the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>>;
    /// Ready when all of `from` has left.
    fn poll_send(&mut self, cx: &mut Context<'_>, from: &mut Outgoing) -> Poll<io::Result<()>>;
    /// The API key that came before MQTT did, for a CONNECT that brings none.
    fn take_key(&mut self) -> Option<UpgradeKey> {
        None
    }
    /// The client has shown a key: from now on it may send whole messages of the configured size.
    fn authenticated(&mut self) {}
    /// The server stops: what can say so at the end says it. MQTT 3.1.1 has no word for it.
    fn will_restart(&mut self) {}
    /// Ends the stream towards the peer.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// MQTT on a byte stream.
#[derive(Debug)]
pub struct ByteStream<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for ByteStream<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut read))?;
            into.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, from: &mut Outgoing) -> Poll<io::Result<()>> {
        while from.waiting() > 0 {
            let written = ready!(Pin::new(&mut self.0).poll_write(cx, &from.bytes[from.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            from.written += written;
        }
        from.emptied();
        // TLS buffers bytes that it cannot send yet: they have to be flushed when the socket takes more, or they would wait
        // for the next ones.
        from.flushing = true;
        ready!(Pin::new(&mut self.0).poll_flush(cx))?;
        from.flushing = false;
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll_shutdown(cx).map(drop)
    }
}

/// A rule of what carries MQTT was broken; says which.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BrokenRule(pub(super) &'static str);

/// MQTT in binary WebSocket messages [MQTT-6.0.0-1].
#[derive(Debug)]
pub struct MessageStream {
    socket: WebSocket,
    key: Option<UpgradeKey>,
    /// What the session has not taken yet of the last message. Nothing more is read from the socket until it has.
    message: Bytes,
    unfinished: Arc<UnfinishedBytes>,
    /// With what to close it, until that is on its way.
    farewell: Option<CloseFrame>,
}

impl MessageStream {
    /// A client that has not shown a key may send messages of `without_key_bytes_max`.
    pub fn new(
        socket: WebSocket,
        key: Option<UpgradeKey>,
        unfinished: Arc<UnfinishedBytes>,
        without_key_bytes_max: usize,
    ) -> Self {
        unfinished.limit(without_key_bytes_max);
        Self { socket, key, message: Bytes::new(), unfinished, farewell: None }
    }

    fn broken(&mut self, code: CloseCode, sentence: &'static str) -> io::Error {
        self.farewell = Some(CloseFrame { code, reason: Utf8Bytes::from_static(sentence) });
        io::Error::new(io::ErrorKind::InvalidData, BrokenRule(sentence))
    }
}

fn gone(error: axum::Error) -> io::Error {
    io::Error::other(error)
}

impl Wire for MessageStream {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        while self.message.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                None | Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(0)),
                Some(Err(error)) => {
                    return Poll::Ready(Err(match upgrade::broken_rule(&error) {
                        Some((code, sentence)) => self.broken(code, sentence),
                        None => gone(error),
                    }));
                }
                Some(Ok(Message::Binary(message))) => {
                    self.unfinished.finish();
                    self.message = message;
                }
                Some(Ok(Message::Text(_))) => {
                    let sentence = "a text message came where MQTT needs binary ones [MQTT-6.0.0-1]";
                    return Poll::Ready(Err(self.broken(close_code::UNSUPPORTED, sentence)));
                }
                // tungstenite answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            }
        }
        // In pieces, so that a message and its copy are never in memory at once.
        let piece = self.message.split_to(self.message.len().min(READ_BYTES));
        into.extend_from_slice(&piece);
        if self.message.is_empty() {
            self.message = Bytes::new();
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn take_key(&mut self) -> Option<UpgradeKey> {
        self.key.take()
    }

    fn authenticated(&mut self) {
        self.unfinished.lift();
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, from: &mut Outgoing) -> Poll<io::Result<()>> {
        let mut socket = Pin::new(&mut self.socket);
        if from.waiting() > 0 {
            ready!(socket.as_mut().poll_ready(cx)).map_err(gone)?;
            let message = Message::Binary(std::mem::take(&mut from.bytes).into());
            socket.as_mut().start_send(message).map_err(gone)?;
            from.flushing = true;
        }
        ready!(socket.poll_flush(cx)).map_err(gone)?;
        from.flushing = false;
        Poll::Ready(Ok(()))
    }

    fn will_restart(&mut self) {
        let (code, reason) = upgrade::RESTART;
        self.farewell = Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) });
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut socket = Pin::new(&mut self.socket);
        if self.farewell.is_some() && ready!(socket.as_mut().poll_ready(cx)).is_ok() {
            let farewell = self.farewell.take();
            // A socket that takes no more is closed without a word.
            let _ = socket.as_mut().start_send(Message::Close(farewell));
        }
        socket.poll_close(cx).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes every byte at once and keeps it until it is flushed a second time, as TLS does in front of a slow peer.
    #[derive(Debug, Default)]
    struct SlowFlush {
        flushes: usize,
    }

    impl AsyncRead for SlowFlush {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for SlowFlush {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            if self.flushes < 2 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn bytes_that_the_carrier_has_not_flushed_are_not_sent() {
        let mut wire = ByteStream(SlowFlush::default());
        let mut out = Outgoing { bytes: b"some".to_vec(), ..Outgoing::default() };
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(wire.poll_send(cx, &mut out).is_pending());
        assert!(!out.is_sent(), "somebody has to come back and flush");
        assert!(wire.poll_send(cx, &mut out).is_ready());
        assert!(out.is_sent());
    }
}
