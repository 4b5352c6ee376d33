//! Whether the other side is still there: when to send PINGREQ, and when silence means that the link is dead.
//!
//! A connection can be gone without a word (a lost network, a sleeping laptop): the socket stays open and nothing
//! comes. Any packet from the server is a sign of life; when none has come for as long as keep alive, or we have sent
//! none for as long, the server is asked for one.

/// How long a PINGRESP may take, in milliseconds, unless keep alive itself is shorter.
const PING_TIMEOUT_MS: u64 = 10_000;

#[derive(Debug)]
pub(crate) struct KeepAlive {
    interval_ms: u64,
    sent_at: u64,
    received_at: u64,
    pinged_at: Option<u64>,
}

/// What the clock asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    /// A ping was not answered in time.
    Dead,
}

impl KeepAlive {
    /// An interval of 0 s never asks for anything, until [`ping_now`](Self::ping_now).
    pub(crate) fn new(interval_s: u16, now: u64) -> Self {
        Self { interval_ms: u64::from(interval_s) * 1_000, sent_at: now, received_at: now, pinged_at: None }
    }

    pub(crate) fn sent(&mut self, now: u64) {
        self.sent_at = now;
    }

    pub(crate) fn received(&mut self, now: u64) {
        self.received_at = now;
        self.pinged_at = None;
    }

    /// Notes that a ping is being sent, unless one is on its way: then `false`.
    pub(crate) fn ping_now(&mut self, now: u64) -> bool {
        if self.pinged_at.is_some() {
            return false;
        }
        self.pinged_at = Some(now);
        true
    }

    pub(crate) fn due(&self, now: u64) -> Due {
        match self.deadline() {
            Some(deadline) if deadline <= now => match self.pinged_at {
                Some(_) => Due::Dead,
                None => Due::Ping,
            },
            _ => Due::Nothing,
        }
    }

    /// When [`due`](Self::due) will next have something to say.
    pub(crate) fn deadline(&self) -> Option<u64> {
        match self.pinged_at {
            Some(at) if self.interval_ms == 0 => Some(at + PING_TIMEOUT_MS),
            Some(at) => Some(at + PING_TIMEOUT_MS.min(self.interval_ms)),
            None if self.interval_ms == 0 => None,
            None => Some(self.sent_at.min(self.received_at) + self.interval_ms),
        }
    }
}
