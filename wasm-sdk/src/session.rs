//! One connection to the broker that outlives its sockets, as a state machine without IO.
//!
//! Bytes, socket events, calls and the time go in; [`Effect`]s come out, and [`poll_timeout`](Session::poll_timeout)
//! says when the clock is wanted next. It owns MQTT, the subscriptions, the publishes that are not done, keep alive
//! and the way back after a loss. Sockets, timers, promises and callbacks are the driver's: `bindings.rs` in a browser or in
//! Node.js, the tests natively with simulated time.
//!
//! A connection that fails is made again, and calls wait. A refusal for good (the key is not valid), or a time without use,
//! ends the session. An option makes the first connection an exception: if it fails, every
//! waiting call fails with the reason and the session ends.
//!
//! All times are milliseconds of a clock that never goes back.

mod incoming;
mod outgoing;
mod packet_ids;
mod publishes;
mod requests;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use thng_pubsub_protocol::mqtt::{Connect, PacketId, ProtocolLevel, QoS, Subscribe, encode_disconnect};

use crate::{
    backoff::Backoff,
    effect::{CallId, Effect, HandlerId, Notice, SocketId},
    failure::{Code, Failure},
    keep_alive::{Due, KeepAlive},
    options::Options,
    send_buffer::{SendBuffer, earlier},
};
use outgoing::publish_packet;
use packet_ids::PacketIds;
use publishes::{Outgoing, Publishes};
use requests::{PendingCall, Requests};
use subscriptions::Subscriptions;

/// The user name of every connection; the key is the password.
const USER_NAME: &str = "authorization";

/// What is said of a connection that the browser's network ends.
pub(crate) const OFFLINE: &str = "the browser is offline";

/// How many lost connections a call is resent over, before it fails as refused by the server.
const LOSSES_MAX: u8 = 3;

#[derive(Debug)]
enum Link {
    /// Nothing has been asked for yet.
    Idle,
    /// A socket is being opened.
    Opening { socket: SocketId, deadline: u64 },
    /// CONNECT is sent.
    Accepting { socket: SocketId, deadline: u64 },
    /// CONNACK has come.
    Up { socket: SocketId, since: u64, keep_alive: KeepAlive },
    /// The connection was lost; the next one is opened then.
    Waiting { until: u64 },
    /// It is over, and every further call fails like this.
    Ended(Failure),
}

/// The state machine. See the module's documentation.
#[derive(Debug)]
pub struct Session {
    options: Options,
    link: Link,
    sockets: u32,
    /// Whether a failed attempt at a connection is repeated.
    retries: bool,
    /// There is no network, as far as the browser knows.
    is_offline: bool,
    backoff: Backoff,
    ids: PacketIds,
    subscriptions: Subscriptions,
    requests: Requests,
    publishes: Publishes,
    /// The SUBSCRIBE that asks for an answer to each refused publish, while it is not answered itself.
    rejections: Option<PacketId>,
    /// Since when an answer of the server is pending.
    unanswered_since: Option<u64>,
    /// The bytes of a packet that has not arrived completely.
    received: Vec<u8>,
    buffer: SendBuffer,
    /// When a call was last made or settled.
    used_at: u64,
    effects: VecDeque<Effect>,
}

impl Session {
    /// A session that connects when it is first used.
    pub fn new(options: Options) -> Self {
        Self {
            backoff: Backoff::new(&options),
            retries: options.retry_first_connection,
            options,
            link: Link::Idle,
            sockets: 0,
            is_offline: false,
            ids: PacketIds::new(),
            subscriptions: Subscriptions::default(),
            requests: Requests::default(),
            publishes: Publishes::default(),
            rejections: None,
            unanswered_since: None,
            received: Vec::new(),
            buffer: SendBuffer::default(),
            used_at: 0,
            effects: VecDeque::new(),
        }
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest; `None` while nothing is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        let deadline = match &self.link {
            Link::Idle | Link::Ended(_) => return None,
            Link::Opening { deadline, .. } | Link::Accepting { deadline, .. } => Some(*deadline),
            Link::Waiting { until } => Some(*until),
            Link::Up { keep_alive, .. } => {
                self.buffer.deadline_or_poll(earlier(keep_alive.deadline(), self.answer_deadline()))
            }
        };
        earlier(deadline, self.idle_deadline())
    }

    /// Whether it is over, and every further call fails.
    pub fn is_ended(&self) -> bool {
        matches!(self.link, Link::Ended(_))
    }

    /// Subscribes a callback to a topic. The call is settled when the server has answered.
    pub fn subscribe(&mut self, topic: &str, qos: QoS, handler: HandlerId, call_id: CallId, now: u64) {
        let check = Subscribe::new(PacketId::MIN, &[(topic, qos)]).encode(&mut Vec::new());
        if let Err(error) = check {
            return self.settle_invalid(call_id, topic, error.reason());
        }
        if let Link::Ended(failure) = &self.link {
            let failure = failure.clone().of_topic(topic);
            return self.settle(call_id, Err(failure));
        }
        self.used_at = now;
        self.subscriptions.add(topic, qos, handler);
        let pending_call = PendingCall { topic: topic.into(), call_id, handler, losses: 0 };
        if self.is_up() {
            self.send_subscribe(pending_call, now);
        } else {
            self.requests.wait(pending_call);
            self.connect_if_idle(now);
        }
    }

    /// Takes these callbacks (or all) back from a resource, in whatever spelling and with whatever options they
    /// subscribed to it. The call is settled when the server has answered, or at once if there is nothing to tell it.
    pub fn unsubscribe(&mut self, topic: &str, handlers: Option<&[HandlerId]>, call_id: CallId, now: u64) {
        self.used_at = now;
        let topics = self.subscriptions.remove_resource(topic, handlers);
        let subscriptions = &self.subscriptions;
        let unclaimed = self
            .requests
            .take_waiting(&|pending_call| !subscriptions.contains(&pending_call.topic, pending_call.handler));
        for pending_call in unclaimed {
            self.settle_call(pending_call, Err(Failure::new(Code::Unsubscribed)));
        }
        // What is not connected has no subscriptions at the server: its session ended with the connection.
        if topics.is_empty() || !self.is_up() {
            self.settle(call_id, Ok(()));
        } else {
            self.send_unsubscribe(&topics, call_id, now);
        }
    }

    /// Publishes a message. At QoS 0 the call is settled when it has been sent, at QoS 1 when the server has
    /// acknowledged it. Without a connection, or with a full buffer, it waits, up to the limit of the queue.
    pub fn publish(&mut self, topic: &str, payload: Vec<u8>, qos: QoS, call_id: CallId, now: u64) {
        // As it will be sent, and a little longer at QoS 0, so that what passes here can always be encoded.
        let packet = publish_packet(Some(PacketId::MIN), false, topic, &payload);
        if let Err(error) = packet.encode_head(&mut Vec::new()) {
            return self.settle_invalid(call_id, topic, error.reason());
        }
        if let Link::Ended(failure) = &self.link {
            let failure = failure.clone().of_topic(topic);
            return self.settle(call_id, Err(failure));
        }
        self.used_at = now;
        self.publishes.queue(Outgoing { topic: topic.into(), payload, qos, call_id });
        self.connect_if_idle(now);
        self.send_publishes(now);
        if self.publishes.queued() > self.options.queue_limit
            && let Some(refused) = self.publishes.take_newest()
        {
            self.settle(call_id, Err(Failure::new(Code::QueueFull).of_topic(&refused.topic)));
        }
    }

    /// Drops the message of a `publish` call that was never sent; one that was sent remains.
    pub fn cancel(&mut self, call_id: CallId, now: u64) {
        if let Some(dropped) = self.publishes.take_queued(call_id) {
            self.used_at = now;
            self.settle(call_id, Err(Failure::new(Code::Aborted).of_topic(&dropped.topic)));
        }
    }

    /// There is no network: gives the connection up, and waits for [`wake`](Self::wake) with the next one.
    pub fn offline(&mut self, now: u64) {
        self.is_offline = true;
        if let Link::Waiting { until } = &mut self.link {
            *until = u64::MAX;
        }
        self.break_off(Failure::with_detail(Code::ConnectionLost, OFFLINE), now);
    }

    /// The network is back, or the page is looked at again: connects now if that was to happen later, and else makes
    /// sure that the other side is still there.
    pub fn wake(&mut self, now: u64) {
        self.is_offline = false;
        match &mut self.link {
            Link::Waiting { .. } => self.connect(now),
            Link::Up { keep_alive, .. } => {
                if keep_alive.ping_now(now) {
                    self.send_ping(now);
                }
            }
            Link::Idle | Link::Opening { .. } | Link::Accepting { .. } | Link::Ended(_) => {}
        }
    }

    /// Ends the session. Calls that wait fail with [`Code::Closed`].
    pub fn close(&mut self, now: u64) {
        if self.is_up() {
            let mut packet = Vec::new();
            encode_disconnect(&mut packet);
            self.send(packet, now);
        }
        self.end(Failure::new(Code::Closed));
    }

    /// The socket is open.
    pub fn socket_opened(&mut self, socket: SocketId, now: u64) {
        let Link::Opening { socket: opening, deadline } = self.link else {
            return;
        };
        if opening != socket {
            return;
        }
        self.link = Link::Accepting { socket, deadline };
        let connect = Connect {
            level: ProtocolLevel::V3_1_1,
            clean_session: true,
            keep_alive_s: self.options.keep_alive_s,
            client_id: &self.options.client_id,
            will: None,
            user_name: Some(USER_NAME),
            password: Some(self.options.key.0.as_bytes()),
        };
        let mut packet = Vec::new();
        match connect.encode(&mut packet) {
            Ok(()) => self.send(packet, now),
            Err(error) => self.end(Failure::with_detail(Code::ConnectRefused, error.reason())),
        }
    }

    /// Bytes have come, wherever they were split on their way.
    pub fn socket_received(&mut self, socket: SocketId, bytes: &[u8], now: u64) {
        if self.socket() == Some(socket) {
            self.receive(bytes, now);
        }
    }

    /// How many bytes the socket holds that the network has not taken. Sends what has waited for it.
    ///
    /// The driver calls it before [`handle_timeout`](Self::handle_timeout), and when nothing is left to be performed.
    pub fn socket_buffered(&mut self, bytes: u32, now: u64) {
        if self.buffer.drained_towards_answer(bytes, now) {
            if let Link::Up { keep_alive, .. } = &mut self.link {
                keep_alive.ping_delayed(now);
            }
            self.unanswered_since = self.unanswered_since.map(|_| now);
        }
        self.send_publishes(now);
    }

    /// The socket has failed. Before it was open that is its end, since not every implementation goes on to close it;
    /// afterwards [`socket_closed`](Self::socket_closed) follows.
    pub fn socket_failed(&mut self, socket: SocketId, detail: &str, now: u64) {
        if matches!(self.link, Link::Opening { socket: opening, .. } if opening == socket) {
            self.break_off(Failure::with_detail(Code::Handshake, detail), now);
        }
    }

    /// The socket is closed, by either side.
    pub fn socket_closed(&mut self, socket: SocketId, detail: &str, now: u64) {
        if self.socket() == Some(socket) {
            let code = if self.is_up() { Code::ConnectionLost } else { Code::Handshake };
            self.connection_ended(Failure::with_detail(code, detail), now);
        }
    }

    /// Does what is due by now. Calling it too early does no harm.
    pub fn handle_timeout(&mut self, now: u64) {
        if self.idle_deadline().is_some_and(|deadline| deadline <= now) {
            return self.close(now);
        }
        match &mut self.link {
            Link::Idle | Link::Ended(_) => {}
            Link::Waiting { until } => {
                if *until <= now {
                    self.connect(now);
                }
            }
            Link::Opening { deadline, .. } | Link::Accepting { deadline, .. } => {
                if *deadline <= now {
                    self.break_off(Failure::with_detail(Code::Timeout, "no connection"), now);
                }
            }
            Link::Up { keep_alive, .. } => match keep_alive.due(now, self.buffer.is_full()) {
                Due::Dead => self.break_off(Failure::with_detail(Code::Timeout, "no answer to a ping"), now),
                _ if self.answer_deadline().is_some_and(|deadline| deadline <= now) => {
                    self.break_off(Failure::with_detail(Code::Timeout, "no acknowledgement"), now);
                }
                Due::Ping => self.wake(now),
                Due::Nothing => {}
            },
        }
    }

    fn is_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    fn socket(&self) -> Option<SocketId> {
        match self.link {
            Link::Opening { socket, .. } | Link::Accepting { socket, .. } | Link::Up { socket, .. } => {
                Some(socket)
            }
            Link::Idle | Link::Waiting { .. } | Link::Ended(_) => None,
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
        self.received.clear();
        self.link = Link::Opening { socket, deadline: now + u64::from(self.options.connect_timeout_ms) };
        self.effects.push_back(Effect::Report(Notice::Connecting));
        self.effects.push_back(Effect::Open(socket));
    }

    /// Closes the socket and goes on as if it had been lost.
    fn break_off(&mut self, failure: Failure, now: u64) {
        if let Some(socket) = self.socket() {
            self.effects.push_back(Effect::Close(socket));
            self.connection_ended(failure, now);
        }
    }

    /// The connection, or the attempt at one, is over: tries again later.
    fn connection_ended(&mut self, failure: Failure, now: u64) {
        if !self.retries {
            self.link = Link::Idle;
            return self.end(failure);
        }
        if let Link::Up { since, .. } = self.link {
            self.backoff.connection_lasted(now.saturating_sub(since));
            self.take_back_unanswered(&failure);
        }
        self.buffer = SendBuffer::default();
        let delay = if self.is_offline { u64::MAX } else { self.backoff.next_delay_ms() };
        self.link = Link::Waiting { until: now.saturating_add(delay) };
        self.effects.push_back(Effect::Report(Notice::Disconnected { failure, retry_in_ms: Some(delay) }));
    }

    /// Sorts what the lost connection leaves unanswered: what came true with it, what is sent again with the next
    /// one, and what has been tried often enough.
    fn take_back_unanswered(&mut self, loss: &Failure) {
        self.unanswered_since = None;
        // A network that the browser has lost says nothing of what was sent over it.
        let is_suspect = !self.is_offline;
        let (ids, unsubscribed, pending_calls) = self.requests.connection_lost(is_suspect);
        for id in ids.into_iter().chain(self.rejections.take()).chain(self.publishes.take_rejected()) {
            self.ids.release(id);
        }
        for call_id in unsubscribed {
            self.settle(call_id, Ok(()));
        }
        for pending_call in pending_calls {
            if !self.subscriptions.contains(&pending_call.topic, pending_call.handler) {
                self.settle_call(pending_call, Err(Failure::new(Code::Unsubscribed)));
            } else if pending_call.losses >= LOSSES_MAX {
                self.subscriptions.remove_handler(&pending_call.topic, pending_call.handler);
                self.settle_call(pending_call, Err(given_up(Code::SubscribeRefused, loss)));
            } else {
                self.requests.wait(pending_call);
            }
        }
        if let Some(publish) = self.publishes.connection_lost(LOSSES_MAX, is_suspect) {
            self.ids.release(publish.id);
            if loss.code != Code::Timeout {
                // The connections were lost because of it, and it is gone.
                self.backoff.connection_served();
            }
            let failure = given_up(Code::PublishRefused, loss).of_topic(&publish.message.topic);
            self.settle(publish.message.call_id, Err(failure));
        }
    }

    /// Ends the session for good. Waiting calls fail with the reason; without one, it is reported as an event.
    fn end(&mut self, failure: Failure) {
        if matches!(self.link, Link::Ended(_)) {
            return;
        }
        if let Some(socket) = self.socket() {
            self.effects.push_back(Effect::Close(socket));
        }
        self.link = Link::Ended(failure.clone());
        let mut call_ids = self.requests.take_calls();
        call_ids.extend(self.publishes.take_calls());
        let is_reported = !call_ids.is_empty() || failure.code == Code::Closed;
        for (call_id, topic) in call_ids {
            let failure = Failure { topic, ..failure.clone() };
            self.settle(call_id, Err(failure));
        }
        self.effects
            .push_back(Effect::Report(Notice::Disconnected { failure: failure.clone(), retry_in_ms: None }));
        if !is_reported {
            self.effects.push_back(Effect::Report(Notice::Error(failure)));
        }
    }

    /// When it ends for lack of use.
    fn idle_deadline(&self) -> Option<u64> {
        let is_used =
            !self.subscriptions.is_empty() || !self.requests.is_empty() || !self.publishes.is_empty();
        let idle_ms = u64::from(self.options.idle_timeout_ms);
        (!is_used && idle_ms > 0 && !matches!(self.link, Link::Idle | Link::Ended(_)))
            .then(|| self.buffer.drained_deadline(self.used_at + idle_ms))
    }

    fn answer_deadline(&self) -> Option<u64> {
        let since = self.unanswered_since?;
        Some(since + u64::from(self.options.answer_timeout_ms))
    }

    fn settle(&mut self, call_id: CallId, outcome: Result<(), Failure>) {
        self.effects.push_back(Effect::Settle(call_id, outcome));
    }

    fn settle_call(&mut self, pending_call: PendingCall, outcome: Result<(), Failure>) {
        self.settle(pending_call.call_id, outcome.map_err(|failure| failure.of_topic(&pending_call.topic)));
    }

    fn settle_invalid(&mut self, call_id: CallId, topic: &str, reason: &str) {
        self.settle(call_id, Err(Failure::with_detail(Code::InvalidTopic, reason).of_topic(topic)));
    }
}

/// The failure of a call that was sent over [`LOSSES_MAX`] connections: silence is a timeout, else a refusal.
fn given_up(refusal: Code, loss: &Failure) -> Failure {
    let code = if loss.code == Code::Timeout { Code::Timeout } else { refusal };
    Failure::with_detail(code, loss.detail.clone())
}
