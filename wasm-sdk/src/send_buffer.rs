//! Counts the bytes that a socket has been given and the network has not taken, so that they stay within a bound.
//!
//! No event says that a socket's buffer drains. The driver therefore reads `bufferedAmount` after each input, and at a
//! timer while the buffer is full or a connection without use waits for it.

/// Bytes in the buffer of a socket from which on publishes wait; the last one may exceed it.
pub(crate) const BUFFERED_BYTES_MAX: usize = 256 * 1024;

/// How long to wait until the buffer of a socket is read again, in milliseconds.
const POLL_MS: u64 = 20;

/// The buffer of one socket.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    /// Bytes that the network has not taken, as far as is known.
    bytes: usize,
    /// Bytes that it is still to take, up to the end of the packet that the server is to answer.
    bytes_to_answer: usize,
    /// When `bufferedAmount` was read last.
    read_at: u64,
}

impl SendBuffer {
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BUFFERED_BYTES_MAX
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// An answer is due to what was sent last.
    pub(crate) fn expect_answer(&mut self) {
        self.bytes_to_answer = self.bytes;
    }

    /// Takes the socket's `bufferedAmount`. Returns whether bytes have gone on the way to a packet that the server is to
    /// answer: then the other side is there, and cannot have answered yet.
    pub(crate) fn drained_towards_answer(&mut self, buffered: u32, now: u64) -> bool {
        self.read_at = now;
        // What a socket counts besides, such as headers, is none of what was sent.
        let gone = self.bytes.saturating_sub(buffered as usize);
        let is_on_the_way = gone > 0 && self.bytes_to_answer > 0;
        self.bytes -= gone;
        self.bytes_to_answer = self.bytes_to_answer.saturating_sub(gone);
        is_on_the_way
    }

    /// When a connection whose use ended is closed: at the deadline, or later when the network has taken everything.
    pub(crate) fn drained_deadline(&self, deadline: u64) -> u64 {
        if self.bytes == 0 { deadline } else { deadline.max(self.read_at + POLL_MS) }
    }

    /// The earlier of a deadline and the time at which the buffer is read again.
    pub(crate) fn deadline_or_poll(&self, deadline: Option<u64>) -> Option<u64> {
        earlier(deadline, self.is_full().then_some(self.read_at + POLL_MS))
    }
}

#[inline(never)]
pub(crate) fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
