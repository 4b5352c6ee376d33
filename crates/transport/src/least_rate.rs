//! Ends an HTTP connection whose client takes its answers too slowly.
//!
//! A client that does not read keeps a connection, and the memory of an answer, for as long as it likes. So each connection
//! has a budget of time in which a write may be pending. Pending writes use it up, and each byte that the system takes
//! gives some of it back. Whole answers that fit into the system's buffers never wait and cost nothing.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// Bytes that the system buffers before it sends them. With its usual buffer of megabytes it would report no progress for
/// minutes while a slow client reads.
const UNSENT_BYTES_MAX: u32 = 64 * 1024;

/// The least rate at which a client takes answers.
#[derive(Debug, Clone, Copy)]
pub struct LeastRate {
    /// 1 or more.
    pub bytes_per_s: u64,
    /// What the rate is averaged over.
    pub window: Duration,
}

impl LeastRate {
    /// The time in which so many bytes have to be taken.
    fn time_for(self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_s.max(1) as f64)
    }
}

/// What a connection and its requests share about its rate.
#[derive(Debug, Default)]
pub(super) struct RateState {
    lifted: AtomicBool,
    too_slow: AtomicBool,
}

impl RateState {
    /// The connection has become a WebSocket, which has bounds of its own.
    pub(super) fn lift(&self) {
        self.lifted.store(true, Relaxed);
    }

    /// Whether the connection was ended for its rate.
    pub(super) fn was_too_slow(&self) -> bool {
        self.too_slow.load(Relaxed)
    }
}

/// Makes the system report how a socket's client reads.
pub(super) fn observe(socket: &tokio::net::TcpStream) {
    // A system that does not know the option reports later, and slow clients are ended later.
    let _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

/// A stream that fails when its client takes less than the least rate.
#[derive(Debug)]
pub(super) struct TimedStream<S> {
    stream: S,
    rate: LeastRate,
    state: Arc<RateState>,
    /// Time for which writes may still be pending.
    budget: Duration,
    /// Since when a write is pending, and what wakes the connection when the budget is used up.
    pending: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> TimedStream<S> {
    pub(super) fn new(stream: S, rate: LeastRate, state: Arc<RateState>) -> Self {
        Self { stream, rate, state, budget: rate.window, pending: None }
    }

    /// Accounts for what became of a write; `taken` says how many bytes the system took.
    fn account<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if self.state.lifted.load(Relaxed) {
            self.pending = None;
            return written;
        }
        match written {
            Poll::Ready(Ok(done)) => {
                if let Some((since, _)) = self.pending.take() {
                    self.budget = self.budget.saturating_sub(since.elapsed());
                }
                self.budget = (self.budget + self.rate.time_for(taken(&done))).min(self.rate.window);
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let budget = self.budget;
                let start = || (Instant::now(), Box::pin(tokio::time::sleep(budget)));
                let (_, sleep) = self.pending.get_or_insert_with(start);
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.state.too_slow.store(true, Relaxed);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.account(cx, written, |taken| *taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.account(cx, written, |taken| *taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.account(cx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.account(cx, ended, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const RATE: LeastRate = LeastRate { bytes_per_s: 100, window: Duration::from_secs(30) };

    /// A stream whose client buffers 10 bytes.
    fn timed() -> (TimedStream<DuplexStream>, DuplexStream, Arc<RateState>) {
        let (ours, theirs) = duplex(10);
        let state = Arc::<RateState>::default();
        (TimedStream::new(ours, RATE, Arc::clone(&state)), theirs, state)
    }

    /// Writes 10,000 bytes to a client that reads so many at a time, and waits so long before each read.
    async fn written_to(bytes: usize, wait: Duration) -> io::Result<()> {
        let (mut stream, mut client, state) = timed();
        let reads = tokio::spawn(async move {
            let mut buffer = vec![0; bytes];
            loop {
                tokio::time::sleep(wait).await;
                if client.read_exact(&mut buffer).await.is_err() {
                    return;
                }
            }
        });
        let written = stream.write_all(&[0; 10_000]).await;
        assert_eq!(state.was_too_slow(), written.is_err());
        drop(stream);
        reads.await.expect("the reader does not panic");
        written
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_above_the_least_rate_gets_its_whole_answer() {
        written_to(10, Duration::from_millis(90)).await.expect("110 bytes a second");
        written_to(1, Duration::from_millis(9)).await.expect("the same in small reads");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_below_the_least_rate_is_ended() {
        let begun = Instant::now();
        let error = written_to(10, Duration::from_millis(150)).await.expect_err("66 bytes a second");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() > RATE.window, "an average over the window counts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_ended_after_the_window() {
        let (mut stream, _client, state) = timed();
        let begun = Instant::now();
        stream.write_all(&[0; 11]).await.expect_err("nothing is read");
        assert_eq!(begun.elapsed().as_secs(), RATE.window.as_secs());
        assert!(state.was_too_slow());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_without_a_pending_write_costs_nothing() {
        let (mut stream, mut client, _) = timed();
        for _ in 0..10 {
            stream.write_all(&[0; 10]).await.expect("it fits");
            tokio::time::sleep(RATE.window * 2).await;
            client.read_exact(&mut [0; 10]).await.expect("it is there");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_became_a_websocket_has_no_least_rate() {
        let (mut stream, mut client, state) = timed();
        state.lift();
        let writes = tokio::spawn(async move { stream.write_all(&[0; 11]).await });
        tokio::time::sleep(RATE.window * 2).await;
        client.read_exact(&mut [0; 11]).await.expect("it comes");
        writes.await.expect("the writer does not panic").expect("the write succeeds");
    }
}
