//! Wakes the loop in time for the next message of a schedule.
//!
//! `epoll` counts in milliseconds, which is as long as what is to be measured; a timer of the kernel that is one more
//! thing to wait for counts in nanoseconds and costs nothing between two messages.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::Context;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer that fires again and again.
#[derive(Debug)]
pub(crate) struct Pacer {
    timer: OwnedFd,
}

impl Pacer {
    /// A timer that fires every `interval` from now on.
    ///
    /// # Errors
    /// The kernel gives no timer.
    pub(crate) fn every(interval: Duration) -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("cannot create a timer")?;
        let interval = Timespec::try_from(interval).context("an interval in nanoseconds")?;
        let setting = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting).context("cannot start a timer")?;
        Ok(Self { timer })
    }

    /// Has the timer wake whoever waits for this registry. It is edge-triggered: each firing wakes once, whether it
    /// was read or not.
    pub(crate) fn register(&self, registry: &Registry, token: Token) -> anyhow::Result<()> {
        let timer = self.timer.as_raw_fd();
        registry.register(&mut SourceFd(&timer), token, Interest::READABLE).context("cannot wait for a timer")
    }
}
