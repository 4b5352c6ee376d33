//! One topic over a WebSocket of its own, as a state machine without IO.
//!
//! Opening the topic's path subscribes, sending publishes.
//!
//! Effects, times and reconnection are those of a [`Session`](crate::session::Session). The protocol acknowledges
//! nothing, so a publish is settled when it has been sent, and a refused one returns as an error document without a
//! call.
//!
//! The socket is opened with the first call. It is closed with the last subscription, or a while after the last
//! message if there never was one, unless an option prevents it. The channel has then ended, and the driver makes another on demand.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::{
    backoff::Backoff,
    effect::{CallId, Effect, HandlerId, Notice, SocketId},
    failure::{Code, Failure},
    keep_alive::{Due, KeepAlive},
    options::Options,
    send_buffer::{SendBuffer, earlier},
    session::OFFLINE,
};

#[derive(Debug)]
enum Link {
    /// Nothing has been asked for yet.
    Idle,
    /// A socket is being opened.
    Opening { socket: SocketId, deadline: u64 },
    /// The server has agreed.
    Up { socket: SocketId, since: u64, keep_alive: KeepAlive },
    /// The connection was lost; the next one is opened then.
    Waiting { until: u64 },
    /// It is over, and every further call fails like this.
    Ended(Failure),
}

/// The state machine. See the module's documentation.
#[derive(Debug)]
pub struct Channel {
    topic: String,
    options: Options,
    link: Link,
    sockets: u32,
    /// Whether a failed attempt at a connection is repeated.
    retries: bool,
    /// There is no network, as far as the browser knows.
    is_offline: bool,
    backoff: Backoff,
    handlers: Vec<HandlerId>,
    /// `subscribe` calls that wait for the socket.
    waiting: Vec<(CallId, HandlerId)>,
    /// Messages that wait for the socket, oldest first.
    queue: VecDeque<(CallId, Vec<u8>)>,
    buffer: SendBuffer,
    /// When it was last of use, while there is no subscription.
    unused_since: u64,
    effects: VecDeque<Effect>,
}

impl Channel {
    /// A channel to a topic, options included, that connects when it is first used.
    pub fn new(topic: &str, options: Options) -> Self {
        Self {
            topic: topic.into(),
            backoff: Backoff::new(&options),
            retries: options.retry_first_connection,
            is_offline: false,
            options,
            link: Link::Idle,
            sockets: 0,
            handlers: Vec::new(),
            waiting: Vec::new(),
            queue: VecDeque::new(),
            buffer: SendBuffer::default(),
            unused_since: 0,
            effects: VecDeque::new(),
        }
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest; `None` while nothing is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        match &self.link {
            Link::Idle | Link::Ended(_) => None,
            Link::Opening { deadline, .. } => Some(*deadline),
            Link::Waiting { until } => Some(*until),
            Link::Up { keep_alive, .. } => {
                self.buffer.deadline_or_poll(earlier(keep_alive.deadline(), self.unused_deadline()))
            }
        }
    }

    /// Whether it is over, and every further call fails.
    pub fn is_ended(&self) -> bool {
        matches!(self.link, Link::Ended(_))
    }

    /// Adds a callback. The call is settled when the socket is open, which is the subscription.
    pub fn subscribe(&mut self, handler: HandlerId, call_id: CallId, now: u64) {
        match &self.link {
            Link::Ended(failure) => {
                let failure = failure.clone();
                self.settle(call_id, Err(failure));
            }
            Link::Up { .. } => {
                self.handlers.push(handler);
                self.settle(call_id, Ok(()));
            }
            Link::Idle | Link::Opening { .. } | Link::Waiting { .. } => {
                self.handlers.push(handler);
                self.waiting.push((call_id, handler));
                self.connect_if_idle(now);
            }
        }
    }

    /// Takes these callbacks (or all) back. The call is settled at once; with the last callback the channel ends.
    pub fn unsubscribe(&mut self, handlers: Option<&[HandlerId]>, call_id: CallId, now: u64) {
        let is_meant = |it: &HandlerId| handlers.is_none_or(|handlers| handlers.contains(it));
        let had_handlers = !self.handlers.is_empty();
        self.handlers.retain(|handler| !is_meant(handler));
        let unclaimed: Vec<_> = self.waiting.extract_if(.., |(_, handler)| is_meant(handler)).collect();
        for (call_id, _) in unclaimed {
            self.settle(call_id, Err(Failure::new(Code::Unsubscribed)));
        }
        if had_handlers && self.handlers.is_empty() {
            self.unused_since = now;
            if self.queue.is_empty() {
                self.end(Failure::new(Code::Closed));
            }
        }
        self.settle(call_id, Ok(()));
    }

    /// Publishes a message. The call is settled when it has been sent. Without a connection, or with a full buffer, it
    /// waits, up to the limit of the queue.
    pub fn publish(&mut self, payload: Vec<u8>, call_id: CallId, now: u64) {
        if let Link::Ended(failure) = &self.link {
            let failure = failure.clone();
            return self.settle(call_id, Err(failure));
        }
        let has_space = matches!(self.link, Link::Up { .. }) && !self.buffer.is_full();
        if !has_space && self.queue.len() >= self.options.queue_limit {
            return self.settle(call_id, Err(Failure::new(Code::QueueFull)));
        }
        self.queue.push_back((call_id, payload));
        self.connect_if_idle(now);
        self.send_queue(now);
    }

    /// Drops the message of a `publish` call that waits to be sent. A channel that was for this message alone ends.
    pub fn cancel(&mut self, call_id: CallId, now: u64) {
        let Some(at) = self.queue.iter().position(|(it, _)| *it == call_id) else { return };
        self.queue.remove(at);
        self.settle(call_id, Err(Failure::new(Code::Aborted)));
        self.unused_since = now;
        if !matches!(self.link, Link::Up { .. }) && self.handlers.is_empty() && self.queue.is_empty() {
            self.end(Failure::new(Code::Closed));
        }
    }

    /// See [`Session::offline`](crate::session::Session::offline).
    pub fn offline(&mut self, now: u64) {
        self.is_offline = true;
        if let Link::Waiting { until } = &mut self.link {
            *until = u64::MAX;
        }
        self.break_off(Failure::with_detail(Code::ConnectionLost, OFFLINE), now);
    }

    /// The network is back, or the page is visible again: connects now if that was scheduled for later.
    ///
    /// Otherwise it checks the other side, if the transport can.
    pub fn wake(&mut self, now: u64) {
        self.is_offline = false;
        match &mut self.link {
            Link::Waiting { .. } => self.connect(now),
            Link::Up { .. } if self.options.keep_alive_s > 0 => self.ping(now),
            Link::Idle | Link::Opening { .. } | Link::Up { .. } | Link::Ended(_) => {}
        }
    }

    /// Ends the channel. Calls that wait fail with [`Code::Closed`].
    pub fn close(&mut self, _now: u64) {
        self.end(Failure::new(Code::Closed));
    }

    /// The socket is open.
    pub fn socket_opened(&mut self, socket: SocketId, now: u64) {
        if !matches!(self.link, Link::Opening { socket: opening, .. } if opening == socket) {
            return;
        }
        self.retries = true;
        self.unused_since = now;
        let keep_alive = KeepAlive::new(self.options.keep_alive_s, now);
        self.link = Link::Up { socket, since: now, keep_alive };
        self.effects.push_back(Effect::Report(Notice::Connected));
        for (call_id, _) in std::mem::take(&mut self.waiting) {
            self.settle(call_id, Ok(()));
        }
        self.send_queue(now);
    }

    /// A message has come: a notification, which is binary if it is a state, or the error document of a publish that was
    /// refused.
    pub fn socket_received(&mut self, socket: SocketId, message: &[u8], is_binary: bool, now: u64) {
        if !self.is_alive(socket, now) {
            return;
        }
        if is_error_document(message) {
            let detail = String::from_utf8_lossy(message).into_owned();
            let failure = self.about(Failure::with_detail(Code::PublishRefused, detail));
            self.effects.push_back(Effect::Report(Notice::Error(failure)));
        } else if !self.handlers.is_empty() {
            self.effects.push_back(Effect::Deliver(self.handlers.clone(), message.to_vec(), is_binary));
        }
    }

    /// The other side has answered a ping.
    pub fn socket_ponged(&mut self, socket: SocketId, now: u64) {
        self.is_alive(socket, now);
    }

    /// See [`Session::socket_buffered`](crate::session::Session::socket_buffered).
    pub fn socket_buffered(&mut self, bytes: u32, now: u64) {
        if self.buffer.drained_towards_answer(bytes, now)
            && let Link::Up { keep_alive, .. } = &mut self.link
        {
            keep_alive.ping_delayed(now);
        }
        self.send_queue(now);
    }

    /// The socket has failed. Before it was open that is its end, since not every implementation goes on to close it;
    /// afterwards [`socket_closed`](Self::socket_closed) follows.
    pub fn socket_failed(&mut self, socket: SocketId, detail: &str, now: u64) {
        if !matches!(self.link, Link::Opening { socket: opening, .. } if opening == socket) {
            return;
        }
        self.effects.push_back(Effect::Close(socket));
        match refusal(detail) {
            // Asking again would bring the same answer.
            Some(code) => {
                self.link = Link::Idle;
                self.end(Failure::with_detail(code, detail));
            }
            None => self.connection_ended(Failure::with_detail(Code::Handshake, detail), now),
        }
    }

    /// The socket is closed, by either side.
    pub fn socket_closed(&mut self, socket: SocketId, detail: &str, now: u64) {
        if self.socket() == Some(socket) {
            let is_up = matches!(self.link, Link::Up { .. });
            let code = if is_up { Code::ConnectionLost } else { Code::Handshake };
            self.connection_ended(Failure::with_detail(code, detail), now);
        }
    }

    /// Does what is due by now. Calling it too early does no harm.
    pub fn handle_timeout(&mut self, now: u64) {
        match &self.link {
            Link::Idle | Link::Ended(_) => {}
            Link::Waiting { until } => {
                if *until <= now {
                    self.connect(now);
                }
            }
            Link::Opening { deadline, .. } => {
                if *deadline <= now {
                    self.break_off(Failure::with_detail(Code::Timeout, "no connection"), now);
                }
            }
            Link::Up { keep_alive, .. } => match keep_alive.due(now, self.buffer.is_full()) {
                Due::Dead => self.break_off(Failure::with_detail(Code::Timeout, "no answer to a ping"), now),
                _ if self.unused_deadline().is_some_and(|deadline| deadline <= now) => {
                    self.end(Failure::new(Code::Closed));
                }
                Due::Ping => self.ping(now),
                Due::Nothing => {}
            },
        }
    }

    /// When it ends for lack of use.
    fn unused_deadline(&self) -> Option<u64> {
        let is_used = !self.handlers.is_empty() || !self.queue.is_empty();
        let idle_ms = u64::from(self.options.idle_timeout_ms);
        (!is_used && idle_ms > 0).then(|| self.buffer.drained_deadline(self.unused_since + idle_ms))
    }

    fn socket(&self) -> Option<SocketId> {
        match self.link {
            Link::Opening { socket, .. } | Link::Up { socket, .. } => Some(socket),
            Link::Idle | Link::Waiting { .. } | Link::Ended(_) => None,
        }
    }

    /// Something has come on this socket. `false` if it is not the present one.
    fn is_alive(&mut self, from: SocketId, now: u64) -> bool {
        match &mut self.link {
            Link::Up { socket, keep_alive, .. } if *socket == from => {
                keep_alive.received(now);
                true
            }
            _ => false,
        }
    }

    fn ping(&mut self, now: u64) {
        if let Link::Up { socket, keep_alive, .. } = &mut self.link
            && keep_alive.ping_now(now)
        {
            keep_alive.sent(now);
            self.effects.push_back(Effect::Ping(*socket));
            self.buffer.expect_answer();
        }
    }

    fn connect_if_idle(&mut self, now: u64) {
        if matches!(self.link, Link::Idle) {
            self.connect(now);
        }
    }

    fn connect(&mut self, now: u64) {
        if self.is_offline {
            return self.connection_ended(Failure::with_detail(Code::Handshake, OFFLINE), now);
        }
        self.sockets = self.sockets.wrapping_add(1);
        let socket = SocketId(self.sockets);
        self.link = Link::Opening { socket, deadline: now + u64::from(self.options.connect_timeout_ms) };
        self.effects.push_back(Effect::Report(Notice::Connecting));
        self.effects.push_back(Effect::Open(socket));
    }

    fn send_queue(&mut self, now: u64) {
        let Link::Up { socket, keep_alive, .. } = &mut self.link else { return };
        let socket = *socket;
        while !self.buffer.is_full()
            && let Some((call_id, payload)) = self.queue.pop_front()
        {
            keep_alive.sent(now);
            self.unused_since = now;
            self.buffer.sent(payload.len());
            // Not joined: each message is a frame.
            self.effects.push_back(Effect::Send(socket, payload));
            self.effects.push_back(Effect::Settle(call_id, Ok(())));
        }
    }

    /// Closes the socket and goes on as if it had been lost.
    fn break_off(&mut self, failure: Failure, now: u64) {
        if let Some(socket) = self.socket() {
            self.effects.push_back(Effect::Close(socket));
            self.connection_ended(failure, now);
        }
    }

    /// The connection, or the attempt at one, is over: retries later if it is needed.
    fn connection_ended(&mut self, failure: Failure, now: u64) {
        let is_needed = !self.handlers.is_empty() || !self.queue.is_empty();
        if !self.retries || !is_needed {
            self.link = Link::Idle;
            return self.end(failure);
        }
        if let Link::Up { since, .. } = self.link {
            self.backoff.connection_lasted(now.saturating_sub(since));
        }
        self.buffer = SendBuffer::default();
        let delay = if self.is_offline { u64::MAX } else { self.backoff.next_delay_ms() };
        self.link = Link::Waiting { until: now.saturating_add(delay) };
        let notice = Notice::Disconnected { failure: self.about(failure), retry_in_ms: Some(delay) };
        self.effects.push_back(Effect::Report(notice));
    }

    /// Ends the channel for good. Waiting calls fail with the reason; without one, subscriptions report it as an event.
    fn end(&mut self, failure: Failure) {
        if self.is_ended() {
            return;
        }
        if let Some(socket) = self.socket() {
            self.effects.push_back(Effect::Close(socket));
        }
        let failure = self.about(failure);
        self.link = Link::Ended(failure.clone());
        let mut call_ids: Vec<CallId> =
            std::mem::take(&mut self.waiting).into_iter().map(|(call_id, _)| call_id).collect();
        call_ids.extend(std::mem::take(&mut self.queue).into_iter().map(|(call_id, _)| call_id));
        let is_missed = call_ids.is_empty() && !self.handlers.is_empty() && failure.code != Code::Closed;
        for call_id in call_ids {
            self.settle(call_id, Err(failure.clone()));
        }
        let ended = Notice::Disconnected { failure: failure.clone(), retry_in_ms: None };
        self.effects.push_back(Effect::Report(ended));
        if is_missed {
            self.effects.push_back(Effect::Report(Notice::Error(failure)));
        }
    }

    fn settle(&mut self, call_id: CallId, outcome: Result<(), Failure>) {
        let outcome = outcome.map_err(|failure| self.about(failure));
        self.effects.push_back(Effect::Settle(call_id, outcome));
    }

    fn about(&self, failure: Failure) -> Failure {
        failure.of_topic(&self.topic)
    }
}

/// What the server said before the upgrade, where the WebSocket implementation tells: its sentence ends with the status.
/// Browsers tell nothing. A request that the server calls wrong does not become right by being tried again, unless the
/// status is one of time or of load.
fn refusal(detail: &str) -> Option<Code> {
    match detail.rsplit(' ').next()?.as_bytes() {
        b"401" => Some(Code::Unauthorized),
        b"408" | b"425" | b"429" => None,
        [b'4', tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit() => Some(Code::SubscribeRefused),
        _ => None,
    }
}

/// The server's documents begin with what they are about; only that of an error begins with its status.
fn is_error_document(message: &[u8]) -> bool {
    let status = message.strip_prefix(b"{\"status\":");
    status.and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
}
