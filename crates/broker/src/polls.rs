//! Measures how long each poll of a task takes: for so long it keeps a thread of the runtime from all other tasks.
//!
//! Not with the histogram of tokio itself: that needs `--cfg tokio_unstable` in the flags of every build, and knows no
//! single kind of task. Two looks at the clock are little beside a poll, so it is on in every build.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;
use prometheus::Histogram;

thread_local! {
    /// Time of this poll in which another thread took over the other tasks.
    static BLOCKED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

pin_project! {
    /// A future whose polls are measured.
    #[must_use = "futures do nothing unless polled"]
    pub struct MeasuredFuture<F> {
        #[pin]
        future: F,
        seconds: Histogram,
    }
}

impl<F> MeasuredFuture<F> {
    /// Measures each poll of a future.
    pub fn new(future: F, seconds: Histogram) -> Self {
        Self { future, seconds }
    }
}

impl<F: Future> Future for MeasuredFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        BLOCKED.set(Duration::ZERO);
        let started = Instant::now();
        let outcome = this.future.poll(context);
        let own = started.elapsed().saturating_sub(BLOCKED.take());
        this.seconds.observe(own.as_secs_f64());
        outcome
    }
}

/// Does work that takes long, while another thread takes over the other tasks of this one. The caller bounds how many do
/// so at the same time.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = tokio::task::block_in_place(work);
    BLOCKED.set(BLOCKED.get() + started.elapsed());
    done
}

#[cfg(test)]
mod tests {
    use prometheus::HistogramOpts;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_poll_counts_without_the_time_that_it_blocked() {
        let options = HistogramOpts::new("seconds", "of polls").buckets(vec![0.05]);
        let seconds = Histogram::with_opts(options).expect("a histogram");
        let spin = || {
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(200) {
                std::hint::spin_loop();
            }
        };
        let busy = async move {
            spin();
            tokio::task::yield_now().await;
            blocking(spin);
        };
        tokio::spawn(MeasuredFuture::new(busy, seconds.clone())).await.expect("it ends");
        assert_eq!(seconds.get_sample_count(), 2);
        assert!((0.2..0.4).contains(&seconds.get_sample_sum()), "{}", seconds.get_sample_sum());
    }
}
