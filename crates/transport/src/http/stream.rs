//! The byte stream below the HTTP library: it limits the wait for a request, and withholds the library's bare answers.
//!
//! The library answers a request head that it cannot read with a status line and no body, and never shows that request
//! to the service. Its answer is the last thing that it writes, so it is kept here, and `rejected_head` completes it.
//! Which heads are readable is the library's decision alone.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    http::{Response, StatusCode},
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// Bytes of the longest bare answer: a status line and three short headers.
const BARE_ANSWER_BYTES_MAX: usize = 256;

/// How long a connection may wait for a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestTimeouts {
    /// From the start of a connection, or from the first byte of a later request, to the end of its head.
    pub(super) head: Duration,
    /// From the end of an answer, when its last byte was taken, to the first byte of the next request.
    pub(super) idle: Duration,
}

/// What a connection is at. The service advances it, and the stream reads it.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<State>);

#[derive(Debug)]
struct State {
    stage: AtomicU8,
    begin: Instant,
    /// Microseconds from the begin to the end of the last answer.
    answered_us: AtomicU64,
}

/// A request head is expected or incomplete.
const READING: u8 = 0;
/// The service has the request.
const ANSWERING: u8 = 1;
/// The answer has been handed to the library.
const ANSWERED: u8 = 2;
/// The connection is a WebSocket.
const UPGRADED: u8 = 3;

impl Progress {
    /// Of a connection that begins now.
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            stage: AtomicU8::new(READING),
            begin: Instant::now(),
            answered_us: AtomicU64::new(0),
        }))
    }

    /// A request has reached the service.
    pub(super) fn begin(&self) -> Exchange {
        self.0.stage.store(ANSWERING, Ordering::Release);
        Exchange { progress: self.clone() }
    }

    /// The stage, and when the last answer ended if that has not been asked yet.
    fn advance(&self) -> (u8, Option<Instant>) {
        let state = &*self.0;
        match state.stage.compare_exchange(ANSWERED, READING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                let answered = Duration::from_micros(state.answered_us.load(Ordering::Relaxed));
                (READING, Some(state.begin + answered))
            }
            Err(stage) => (stage, None),
        }
    }

    fn is_upgraded(&self) -> bool {
        self.0.stage.load(Ordering::Acquire) == UPGRADED
    }
}

/// One request and its answer. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Exchange {
    progress: Progress,
}

impl Exchange {
    /// Makes the exchange last as long as the body of its answer.
    pub(super) fn last_with(self, response: Response<Body>) -> Response<AnswerBody> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.progress.0.stage.store(UPGRADED, Ordering::Release);
        }
        response.map(|body| AnswerBody { body, _exchange: self })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let state = &*self.progress.0;
        let micros = u64::try_from(state.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        state.answered_us.store(micros, Ordering::Relaxed);
        // Of an upgraded connection nothing changes any more.
        let _ = state.stage.compare_exchange(ANSWERING, ANSWERED, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// The body of an answer, which ends the exchange with it.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    _exchange: Exchange,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a connection waits for while no request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitPhase {
    /// The rest of a head, or the head of the first request.
    Head,
    /// The first byte of a request after an answer.
    Request,
}

/// A stream with the limits above.
#[derive(Debug)]
pub(super) struct RequestStream<S> {
    inner: S,
    progress: Progress,
    timeouts: RequestTimeouts,
    waiting: WaitPhase,
    deadline: Instant,
    /// Never later than the deadline; where it is earlier, it is set again when it fires. That spares a timer a request.
    timer: Pin<Box<Sleep>>,
    /// Output waits for the client. The service may long have ended the answer that it is of.
    is_writing: bool,
    withheld: Option<Vec<u8>>,
    has_slow_head: bool,
}

impl<S> RequestStream<S> {
    pub(super) fn new(inner: S, progress: Progress, timeouts: RequestTimeouts) -> Self {
        let deadline = Instant::now() + timeouts.head;
        Self {
            inner,
            progress,
            timeouts,
            waiting: WaitPhase::Head,
            deadline,
            timer: Box::pin(tokio::time::sleep_until(deadline)),
            is_writing: false,
            withheld: None,
            has_slow_head: false,
        }
    }

    /// The stream, the library's bare answer if there was one, and whether the head of a request took too long.
    pub(super) fn into_parts(self) -> (S, Option<Vec<u8>>, bool) {
        (self.inner, self.withheld, self.has_slow_head)
    }

    fn wait_for(&mut self, waiting: WaitPhase, since: Instant) {
        let timeout = match waiting {
            WaitPhase::Head => self.timeouts.head,
            WaitPhase::Request => self.timeouts.idle,
        };
        (self.waiting, self.deadline) = (waiting, since + timeout);
    }

    /// Records the outcome of a write or a flush: while one is pending, and until it has ended, no request is expected. A
    /// client that takes an answer slowly is `least_rate`'s matter.
    fn record_output<T>(&mut self, outcome: &Poll<io::Result<T>>, is_progress: bool) {
        self.is_writing = outcome.is_pending();
        if !is_progress || !matches!(outcome, Poll::Ready(Ok(_))) {
            return;
        }
        let (stage, answered) = self.progress.advance();
        if stage == READING {
            let waiting = answered.map_or(self.waiting, |_| WaitPhase::Request);
            self.wait_for(waiting, Instant::now());
        }
    }

    /// Pending until the deadline.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.timer.deadline() > self.deadline {
            self.timer.as_mut().reset(self.deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.timer.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }

    /// Wakes the connection now and then while an answer is made or written. The library does not read again by itself when
    /// the answer has ended, so the wait for the next request would never begin.
    fn poll_answering(&mut self, context: &mut Context<'_>) {
        while self.timer.as_mut().poll(context).is_ready() {
            self.timer.as_mut().reset(Instant::now() + self.timeouts.head);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RequestStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (stage, answered) = this.progress.advance();
        if let Some(answered) = answered {
            this.wait_for(WaitPhase::Request, answered);
        }
        let filled = buffer.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(context, buffer);
        if stage == UPGRADED {
            return outcome;
        }
        if outcome.is_pending() {
            if stage == ANSWERING || this.is_writing {
                this.poll_answering(context);
                return Poll::Pending;
            }
            ready!(this.poll_deadline(context));
            this.has_slow_head = this.waiting == WaitPhase::Head;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if stage == READING && buffer.filled().len() > filled && this.waiting == WaitPhase::Request {
            this.wait_for(WaitPhase::Head, Instant::now());
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RequestStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        match bare_answer(bytes).filter(|_| !this.progress.is_upgraded()) {
            Some(0) => {
                this.withheld = Some(bytes.to_vec());
                Poll::Ready(Ok(bytes.len()))
            }
            before => {
                let bytes = before.map_or(bytes, |before| &bytes[..before]);
                let outcome = Pin::new(&mut this.inner).poll_write(context, bytes);
                this.record_output(&outcome, true);
                outcome
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Heads are a part of their own, the first. Where a body of an earlier answer follows, it still goes out.
        match parts.first() {
            Some(first) if bare_answer(first).is_some() && !self.progress.is_upgraded() => {
                self.poll_write(context, first)
            }
            _ => {
                let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, parts);
                self.record_output(&outcome, true);
                outcome
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let had_output = self.is_writing;
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        // The library also flushes where nothing is to be written.
        self.record_output(&outcome, had_output);
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.withheld.is_some() {
            // The answer is still to be written.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Where a bare answer begins, if these bytes end with one. Every answer of the service has a further header, so that
/// none of them is taken for it.
fn bare_answer(bytes: &[u8]) -> Option<usize> {
    let head = bytes.strip_suffix(b"\r\n\r\n")?;
    let earliest = head.len().saturating_sub(BARE_ANSWER_BYTES_MAX);
    let begin = earliest + head[earliest..].windows(7).rposition(|seven| seven == b"HTTP/1.")?;
    let mut lines = std::str::from_utf8(&head[begin..]).ok()?.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?;
    let is_bare = matches!(status, "400" | "414" | "431")
        && lines.all(|line| {
            line == "content-length: 0" || line == "connection: close" || line.starts_with("date: ")
        });
    is_bare.then_some(begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
        date: Sun, 29 Nov 2026 12:00:00 GMT\r\n\r\n";

    #[test]
    fn a_bare_answer_is_found_alone_and_after_another_answer() {
        assert_eq!(bare_answer(BARE.as_bytes()), Some(0));
        let other = "HTTP/1.1 204 No Content\r\nvary: origin\r\n\r\n";
        assert_eq!(bare_answer([other, BARE].concat().as_bytes()), Some(other.len()));
        assert_eq!(bare_answer(other.as_bytes()), None);
        assert_eq!(bare_answer(BARE.replace("400", "404").as_bytes()), None);
        assert_eq!(bare_answer(BARE.replace("date", "vary").as_bytes()), None);
        assert_eq!(bare_answer(b"\r\n\r\n"), None);
    }

    #[tokio::test]
    async fn a_head_and_an_idle_connection_have_limits_of_their_own() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut client, server) = tokio::io::duplex(64);
        let progress = Progress::new();
        let timeouts = RequestTimeouts { head: Duration::from_millis(50), idle: Duration::from_millis(200) };
        let mut stream = RequestStream::new(server, progress.clone(), timeouts);
        let mut byte = [0];
        for _ in 0..2 {
            client.write_all(b"G").await.expect("there is room");
            stream.read_exact(&mut byte).await.expect("a byte");
            drop(progress.begin());
            let begin = Instant::now();
            assert!(stream.read(&mut byte).await.is_err());
            assert!(begin.elapsed() >= timeouts.idle && !stream.has_slow_head);
        }
        drop(progress.begin());
        client.write_all(b"G").await.expect("there is room");
        stream.read_exact(&mut byte).await.expect("a byte");
        let begin = Instant::now();
        assert!(stream.read(&mut byte).await.is_err());
        assert!(begin.elapsed() >= timeouts.head && stream.has_slow_head);
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_is_waited_for_while_output_is_pending() {
        use tokio::io::AsyncReadExt as _;
        let (mut client, server) = tokio::io::duplex(64);
        let progress = Progress::new();
        let timeouts = RequestTimeouts { head: Duration::from_millis(50), idle: Duration::from_millis(200) };
        let mut stream = RequestStream::new(server, progress.clone(), timeouts);
        drop(progress.begin());
        let begin = Instant::now();
        let answer = [7; 640];
        let mut written = 0;
        let reader = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(timeouts.idle * 2).await;
                client.read_exact(&mut [0; 64]).await.expect("a part of the answer");
            }
            client
        });
        let mut byte = [0];
        // As the library does: each poll reads and then writes.
        std::future::poll_fn(|context| {
            let read = Pin::new(&mut stream).poll_read(context, &mut ReadBuf::new(&mut byte));
            assert!(read.is_pending(), "{read:?} after {written} bytes");
            while written < answer.len() {
                let outcome = Pin::new(&mut stream).poll_write(context, &answer[written..]);
                written += ready!(outcome).expect("the client is there");
            }
            Poll::Ready(())
        })
        .await;
        assert!(begin.elapsed() > timeouts.idle * 10);
        let begin = Instant::now();
        assert!(stream.read(&mut byte).await.is_err());
        assert!(begin.elapsed() >= timeouts.idle && !stream.has_slow_head);
        drop(reader.await.expect("the reader ends"));
    }
}
