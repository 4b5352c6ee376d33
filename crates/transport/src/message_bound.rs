//! Bounds the bytes of a WebSocket message that has not come to its end.
//!
//! The library that reads WebSockets keeps a message until it is complete, up to one bound for the whole life of the
//! socket. A client that has not shown a key gets less than one that has, so the bytes are counted below the library.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that the library reads beyond the message that it returns, and those of frame headers.
const SLACK_BYTES: usize = 16 * 1024;

/// More bytes came without the end of a message than the client may send.
#[derive(Debug, thiserror::Error)]
#[error("the message is larger than this server takes from a client without a key")]
pub(super) struct TooManyBytes;

/// Counts the bytes that a connection has received since its last complete message.
#[derive(Debug)]
pub struct UnfinishedBytes {
    count: AtomicUsize,
    max: AtomicUsize,
}

impl UnfinishedBytes {
    /// Without a bound, until there is one.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), max: AtomicUsize::new(usize::MAX) })
    }

    /// From here on a message may have so many bytes.
    pub(super) fn limit(&self, bytes_max: usize) {
        self.count.store(0, Relaxed);
        self.max.store(bytes_max.saturating_add(SLACK_BYTES), Relaxed);
    }

    /// From here on the library's own bound is the only one.
    pub(super) fn lift(&self) {
        self.max.store(usize::MAX, Relaxed);
    }

    /// A message is complete.
    pub(super) fn finish(&self) {
        self.count.store(0, Relaxed);
    }
}

/// A stream whose received bytes are counted.
#[derive(Debug)]
pub(super) struct CountedStream<S> {
    pub(super) stream: S,
    pub(super) unfinished: Arc<UnfinishedBytes>,
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let received = into.filled().len() - before;
        let count = self.unfinished.count.fetch_add(received, Relaxed) + received;
        if count > self.unfinished.max.load(Relaxed) {
            return Poll::Ready(Err(io::Error::other(TooManyBytes)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
