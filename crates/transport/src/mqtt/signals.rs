//! Ends the wait of a connection when the server stops, another connection takes over, or a time has come.
//!
//! A registration takes locks that many connections share, and changes the memory of its neighbors in a list. So it lasts
//! from one wake-up to the next, instead of being made for each.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

pin_project! {
    /// Registrations of one connection.
    pub(super) struct Signals<'a> {
        #[pin]
        stopped: WaitForCancellationFuture<'a>,
        #[pin]
        taken_over: Option<WaitForCancellationFuture<'a>>,
        #[pin]
        sleep: Sleep,
    }
}

/// What came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Stopping,
    TakenOver,
    Due,
}

impl<'a> Signals<'a> {
    pub(super) fn new(
        stop: &'a CancellationToken,
        taken_over: Option<&'a CancellationToken>,
        due: Instant,
    ) -> Self {
        Self {
            stopped: stop.cancelled(),
            taken_over: taken_over.map(CancellationToken::cancelled),
            sleep: tokio::time::sleep_until(due),
        }
    }

    /// Moves the time of [`Signal::Due`].
    pub(super) fn set_due(self: Pin<&mut Self>, due: Instant) {
        let sleep = self.project().sleep;
        if due != sleep.deadline() {
            sleep.reset(due);
        }
    }

    /// Ready with the first signal; the clock counts only if it is `timed`.
    pub(super) fn poll_signal(self: Pin<&mut Self>, cx: &mut Context<'_>, timed: bool) -> Poll<Signal> {
        let this = self.project();
        if this.stopped.poll(cx).is_ready() {
            return Poll::Ready(Signal::Stopping);
        }
        if this.taken_over.as_pin_mut().is_some_and(|taken_over| taken_over.poll(cx).is_ready()) {
            return Poll::Ready(Signal::TakenOver);
        }
        if timed && this.sleep.poll(cx).is_ready() {
            return Poll::Ready(Signal::Due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
    };

    use super::*;

    #[derive(Debug, Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_reason_to_end_wakes_after_many_polls() {
        let (stop, taken_over, count) = (CancellationToken::new(), CancellationToken::new(), Arc::default());
        let mut signals = pin!(Signals::new(&stop, Some(&taken_over), Instant::now()));
        let waker = Waker::from(Arc::<Count>::clone(&count));
        let cx = &mut Context::from_waker(&waker);
        for _ in 0..3 {
            assert_eq!(signals.as_mut().poll_signal(cx, false), Poll::Pending);
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        taken_over.cancel();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(signals.as_mut().poll_signal(cx, true), Poll::Ready(Signal::TakenOver));
        stop.cancel();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(signals.as_mut().poll_signal(cx, true), Poll::Ready(Signal::Stopping));
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_counts_when_it_is_asked() {
        let stop = CancellationToken::new();
        let mut signals = pin!(Signals::new(&stop, None, Instant::now()));
        let mut cx = Context::from_waker(Waker::noop());
        let hour = std::time::Duration::from_secs(3600);
        signals.as_mut().set_due(Instant::now() + hour);
        assert_eq!(signals.as_mut().poll_signal(&mut cx, true), Poll::Pending);
        tokio::time::advance(hour).await;
        assert_eq!(signals.as_mut().poll_signal(&mut cx, false), Poll::Pending);
        assert_eq!(signals.as_mut().poll_signal(&mut cx, true), Poll::Ready(Signal::Due));
    }
}
