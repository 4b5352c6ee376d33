//! Wakes the loop in time for the next message of a schedule.
//!
//! `epoll` counts in milliseconds, which is as long as the latencies to measure. A timer of the kernel, registered like
//! a socket, counts in nanoseconds and costs nothing between two messages.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::Context;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer that fires once, each time it is set.
#[derive(Debug)]
pub(crate) struct Pacer {
    timer: OwnedFd,
}

impl Pacer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// The kernel gives no timer.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("cannot create a timer")?;
        Ok(Self { timer })
    }

    /// Has the timer fire after this time, and not when it was set to before.
    ///
    /// # Errors
    /// The time is longer than a timer can wait.
    pub(crate) fn set(&self, after: Duration) -> anyhow::Result<()> {
        // Zero would unset it.
        let after =
            Timespec::try_from(after.max(Duration::from_nanos(1))).context("a time in nanoseconds")?;
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: after };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).context("cannot set a timer")?;
        Ok(())
    }

    /// Has the timer wake the thread that waits for this registry. It is edge-triggered: each firing wakes once, whether it
    /// was read or not.
    pub(crate) fn register(&self, registry: &Registry, token: Token) -> anyhow::Result<()> {
        let timer = self.timer.as_raw_fd();
        registry.register(&mut SourceFd(&timer), token, Interest::READABLE).context("cannot wait for a timer")
    }
}
