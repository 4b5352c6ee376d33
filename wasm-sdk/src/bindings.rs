//! wasm-bindgen bindings: a class each for a [`Session`] and a [`channel::Channel`], whose methods are their inputs, and
//! one interface, whose methods are their effects.
//!
//! It gives them the time and a timer. Effects that may run a callback of the program follow the
//! end of the borrow of the session, one after the other. A callback may call back in; its requests follow earlier ones.
//! Sockets, promises and callbacks stay in JavaScript and have numbers here, and so do the browser's events. So a trap costs none of them:
//! `npm/src/bridge.js` catches it, makes a new instance and subscribes again.

use std::cell::{Cell, RefCell};

use gloo_timers::callback::Timeout;
use js_sys::Uint8Array;
use thng_pubsub_protocol::mqtt::QoS;
use wasm_bindgen::prelude::*;

#[cfg(feature = "channel")]
use crate::channel;
use crate::{
    effect::{CallId, Effect, HandlerId, Notice, SocketId},
    failure::Failure,
    options::{Key, Options},
    session::Session,
};

#[wasm_bindgen]
extern "C" {
    /// What the session asks of JavaScript. Its methods do not throw.
    #[derive(Debug, Clone)]
    pub type Host;

    #[wasm_bindgen(method)]
    fn open(this: &Host, socket: u32);
    #[wasm_bindgen(method)]
    fn send(this: &Host, socket: u32, bytes: Uint8Array);
    /// `bufferedAmount` of the socket.
    #[wasm_bindgen(method)]
    fn buffered(this: &Host) -> u32;
    #[wasm_bindgen(method)]
    fn ping(this: &Host, socket: u32);
    #[wasm_bindgen(method)]
    fn close(this: &Host, socket: u32);
    #[wasm_bindgen(method)]
    fn resolve(this: &Host, call_id: u32);
    #[wasm_bindgen(method)]
    fn reject(this: &Host, call_id: u32, code: &str, topic: Option<String>, detail: &str);
    /// `payload` is a view of this module's memory: it is to be read before anything else is called.
    #[wasm_bindgen(method)]
    fn deliver(this: &Host, handlers: &[u32], payload: &[u8], is_state: bool);
    #[wasm_bindgen(method)]
    fn report(
        this: &Host,
        event: &str,
        code: Option<String>,
        topic: Option<String>,
        detail: Option<String>,
        retry_in_ms: Option<f64>,
    );
    /// The timer has gone off: calls [`Connection::tick`]. The way through JavaScript is what catches its traps.
    #[wasm_bindgen(method)]
    fn tick(this: &Host);

    /// The options of a connection, as plain JavaScript has them.
    #[derive(Debug)]
    pub type Settings;

    #[wasm_bindgen(method, getter, js_name = clientId)]
    fn client_id(this: &Settings) -> String;
    #[wasm_bindgen(method, getter)]
    fn key(this: &Settings) -> String;
    #[wasm_bindgen(method, getter, js_name = keepAlive)]
    fn keep_alive_s(this: &Settings) -> u16;
    #[wasm_bindgen(method, getter, js_name = connectTimeout)]
    fn connect_timeout_ms(this: &Settings) -> u32;
    #[wasm_bindgen(method, getter, js_name = answerTimeout)]
    fn answer_timeout_ms(this: &Settings) -> u32;
    #[wasm_bindgen(method, getter, js_name = reconnectPeriod)]
    fn reconnect_ms(this: &Settings) -> u32;
    #[wasm_bindgen(method, getter, js_name = reconnectPeriodMax)]
    fn reconnect_ms_max(this: &Settings) -> u32;
    #[wasm_bindgen(method, getter, js_name = queueLimit)]
    fn queue_limit(this: &Settings) -> u32;
    #[wasm_bindgen(method, getter, js_name = retryFirstConnection)]
    fn retry_first_connection(this: &Settings) -> bool;
    #[wasm_bindgen(method, getter, js_name = idleTimeout)]
    fn idle_timeout_ms(this: &Settings) -> u32;

    /// A clock that never goes back, in browsers, workers and Node.js alike.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

impl Settings {
    fn read(&self) -> Options {
        Options {
            client_id: self.client_id(),
            key: Key(self.key()),
            keep_alive_s: self.keep_alive_s(),
            connect_timeout_ms: self.connect_timeout_ms(),
            answer_timeout_ms: self.answer_timeout_ms(),
            reconnect_ms: self.reconnect_ms(),
            reconnect_ms_max: self.reconnect_ms_max(),
            queue_limit: self.queue_limit() as usize,
            retry_first_connection: self.retry_first_connection(),
            idle_timeout_ms: self.idle_timeout_ms(),
            seed: (js_sys::Math::random() * (1_u64 << 53) as f64) as u64,
        }
    }
}

/// What is driven: a state machine that queues effects and wants to know the time.
trait Machine {
    fn poll_effect(&mut self) -> Option<Effect>;
    fn poll_timeout(&self) -> Option<u64>;
    fn socket_buffered(&mut self, bytes: u32, now: u64);
}

impl Machine for Session {
    fn poll_effect(&mut self) -> Option<Effect> {
        Session::poll_effect(self)
    }

    fn poll_timeout(&self) -> Option<u64> {
        Session::poll_timeout(self)
    }

    fn socket_buffered(&mut self, bytes: u32, now: u64) {
        Session::socket_buffered(self, bytes, now);
    }
}

#[cfg(feature = "channel")]
impl Machine for channel::Channel {
    fn poll_effect(&mut self) -> Option<Effect> {
        channel::Channel::poll_effect(self)
    }

    fn poll_timeout(&self) -> Option<u64> {
        channel::Channel::poll_timeout(self)
    }

    fn socket_buffered(&mut self, bytes: u32, now: u64) {
        channel::Channel::socket_buffered(self, bytes, now);
    }
}

/// One session, driven by JavaScript.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Connection(Driver<Session>);

#[wasm_bindgen]
impl Connection {
    /// A connection that opens its socket when it is first used.
    #[wasm_bindgen(constructor)]
    pub fn new(host: Host, settings: &Settings) -> Self {
        Self(Driver::new(host, Session::new(settings.read())))
    }

    /// See [`Session::subscribe`]; `qos` is 0 or 1.
    pub fn subscribe(&self, call_id: u32, topic: &str, qos: u8, handler: u32) {
        let (handler, call_id) = (HandlerId(handler), CallId(call_id));
        self.0.run(|session, now| session.subscribe(topic, qos_of(qos), handler, call_id, now));
    }

    /// See [`Session::unsubscribe`].
    pub fn unsubscribe(&self, call_id: u32, topic: &str, handlers: Option<Vec<u32>>) {
        let handlers = handler_ids(handlers);
        self.0.run(|session, now| session.unsubscribe(topic, handlers.as_deref(), CallId(call_id), now));
    }

    /// See [`Session::publish`]; `qos` is 0 or 1.
    pub fn publish(&self, call_id: u32, topic: &str, payload: Vec<u8>, qos: u8) {
        self.0.run(|session, now| session.publish(topic, payload, qos_of(qos), CallId(call_id), now));
    }

    /// See [`Session::cancel`].
    pub fn cancel(&self, call_id: u32) {
        self.0.run(|session, now| session.cancel(CallId(call_id), now));
    }

    /// See [`Session::socket_opened`].
    pub fn opened(&self, socket: u32) {
        self.0.run(|session, now| session.socket_opened(SocketId(socket), now));
    }

    /// See [`Session::socket_received`].
    pub fn received(&self, socket: u32, bytes: &[u8]) {
        self.0.run(|session, now| session.socket_received(SocketId(socket), bytes, now));
    }

    /// See [`Session::socket_failed`].
    pub fn failed(&self, socket: u32, detail: &str) {
        self.0.run(|session, now| session.socket_failed(SocketId(socket), detail, now));
    }

    /// See [`Session::socket_closed`].
    pub fn closed(&self, socket: u32, detail: &str) {
        self.0.run(|session, now| session.socket_closed(SocketId(socket), detail, now));
    }

    /// See [`Session::handle_timeout`].
    pub fn tick(&self) {
        self.0.tick(Session::handle_timeout);
    }

    /// See [`Session::offline`].
    pub fn offline(&self) {
        self.0.run(Session::offline);
    }

    /// See [`Session::wake`].
    pub fn wake(&self) {
        self.0.run(Session::wake);
    }

    /// See [`Session::close`].
    pub fn close(&self) {
        self.0.run(Session::close);
    }
}

/// One topic over a WebSocket of its own, driven by JavaScript.
#[cfg(feature = "channel")]
#[wasm_bindgen]
#[derive(Debug)]
pub struct Channel(Driver<channel::Channel>);

#[cfg(feature = "channel")]
#[wasm_bindgen]
impl Channel {
    /// A channel that opens its socket when it is first used.
    #[wasm_bindgen(constructor)]
    pub fn new(host: Host, settings: &Settings, topic: &str) -> Self {
        Self(Driver::new(host, channel::Channel::new(topic, settings.read())))
    }

    /// See [`channel::Channel::subscribe`].
    pub fn subscribe(&self, call_id: u32, handler: u32) {
        self.0.run(|channel, now| channel.subscribe(HandlerId(handler), CallId(call_id), now));
    }

    /// See [`channel::Channel::unsubscribe`].
    pub fn unsubscribe(&self, call_id: u32, handlers: Option<Vec<u32>>) {
        let handlers = handler_ids(handlers);
        self.0.run(|channel, now| channel.unsubscribe(handlers.as_deref(), CallId(call_id), now));
    }

    /// See [`channel::Channel::publish`].
    pub fn publish(&self, call_id: u32, payload: Vec<u8>) {
        self.0.run(|channel, now| channel.publish(payload, CallId(call_id), now));
    }

    /// See [`channel::Channel::cancel`].
    pub fn cancel(&self, call_id: u32) {
        self.0.run(|channel, now| channel.cancel(CallId(call_id), now));
    }

    /// See [`channel::Channel::socket_opened`].
    pub fn opened(&self, socket: u32) {
        self.0.run(|channel, now| channel.socket_opened(SocketId(socket), now));
    }

    /// See [`channel::Channel::socket_received`].
    pub fn received(&self, socket: u32, message: &[u8], is_binary: bool) {
        self.0.run(|channel, now| channel.socket_received(SocketId(socket), message, is_binary, now));
    }

    /// See [`channel::Channel::socket_ponged`].
    pub fn ponged(&self, socket: u32) {
        self.0.run(|channel, now| channel.socket_ponged(SocketId(socket), now));
    }

    /// See [`channel::Channel::socket_failed`].
    pub fn failed(&self, socket: u32, detail: &str) {
        self.0.run(|channel, now| channel.socket_failed(SocketId(socket), detail, now));
    }

    /// See [`channel::Channel::socket_closed`].
    pub fn closed(&self, socket: u32, detail: &str) {
        self.0.run(|channel, now| channel.socket_closed(SocketId(socket), detail, now));
    }

    /// See [`channel::Channel::handle_timeout`].
    pub fn tick(&self) {
        self.0.tick(channel::Channel::handle_timeout);
    }

    /// See [`channel::Channel::offline`].
    pub fn offline(&self) {
        self.0.run(channel::Channel::offline);
    }

    /// See [`channel::Channel::wake`].
    pub fn wake(&self) {
        self.0.run(channel::Channel::wake);
    }

    /// See [`channel::Channel::close`].
    pub fn close(&self) {
        self.0.run(channel::Channel::close);
    }
}

/// Runs a state machine: gives it its inputs with the time, performs its effects, and sets its timer.
#[derive(Debug)]
struct Driver<M> {
    machine: RefCell<M>,
    state: DriverState,
}

/// What does not depend on the machine, so that it is in the module once.
#[derive(Debug)]
struct DriverState {
    host: Host,
    is_performing: Cell<bool>,
    /// With the time at which it goes off.
    timer: RefCell<Option<(u64, Timeout)>>,
}

impl<M: Machine + 'static> Driver<M> {
    fn new(host: Host, machine: M) -> Self {
        let state = DriverState { is_performing: Cell::new(false), timer: RefCell::new(None), host };
        Self { machine: RefCell::new(machine), state }
    }

    /// The timer has gone off.
    fn tick(&self, input: impl FnOnce(&mut M, u64)) {
        self.state.timer.take();
        // What has left the socket may move what is due.
        self.state.read_buffered(&self.machine);
        self.run(input);
    }

    /// Gives the machine an input and performs what comes of it.
    fn run(&self, input: impl FnOnce(&mut M, u64)) {
        input(&mut self.machine.borrow_mut(), now_ms());
        self.state.perform_all(&self.machine);
    }
}

impl DriverState {
    /// Called again from a callback, it leaves the performing to the call that is already at it.
    #[inline(never)]
    fn perform_all(&self, machine: &RefCell<dyn Machine>) {
        if self.is_performing.replace(true) {
            return;
        }
        loop {
            let mut effect = machine.borrow_mut().poll_effect();
            if effect.is_none() {
                // The socket may have space for more.
                self.read_buffered(machine);
                effect = machine.borrow_mut().poll_effect();
            }
            let Some(effect) = effect else { break };
            perform(&self.host, effect);
        }
        self.is_performing.set(false);
        self.schedule(&*machine.borrow());
    }

    #[inline(never)]
    fn read_buffered(&self, machine: &RefCell<dyn Machine>) {
        let buffered = self.host.buffered();
        machine.borrow_mut().socket_buffered(buffered, now_ms());
    }

    /// Sets the timer for what is due next. One that goes off too early is left alone: most deadlines only move away.
    fn schedule(&self, machine: &dyn Machine) {
        let Some(deadline) = machine.poll_timeout() else {
            // Nothing of a machine that is over keeps a Node.js process.
            self.timer.take();
            return;
        };
        let mut timer = self.timer.borrow_mut();
        if timer.as_ref().is_none_or(|(at, _)| deadline < *at) {
            let delay = deadline.saturating_sub(now_ms()).min(i32::MAX as u64);
            let host = self.host.clone();
            *timer = Some((deadline, Timeout::new(delay as u32, move || host.tick())));
        }
    }
}

fn perform(host: &Host, effect: Effect) {
    match effect {
        Effect::Open(socket) => host.open(socket.0),
        // A copy: some sockets queue what they are given, and this module's memory may move.
        Effect::Send(socket, bytes) => host.send(socket.0, Uint8Array::from(bytes.as_slice())),
        Effect::Ping(socket) => host.ping(socket.0),
        Effect::Close(socket) => host.close(socket.0),
        Effect::Settle(call_id, Ok(())) => host.resolve(call_id.0),
        Effect::Settle(call_id, Err(failure)) => {
            let Failure { code, topic, detail } = failure;
            host.reject(call_id.0, code.as_str(), topic, &detail);
        }
        Effect::Deliver(handlers, payload, is_state) => {
            let handlers: Vec<u32> = handlers.into_iter().map(|handler| handler.0).collect();
            host.deliver(&handlers, &payload, is_state);
        }
        Effect::Report(notice) => report(host, notice),
    }
}

fn report(host: &Host, notice: Notice) {
    let (event, failure, retry_in_ms) = match notice {
        Notice::Connecting => ("connecting", None, None),
        Notice::Connected => ("connected", None, None),
        Notice::Disconnected { failure, retry_in_ms } => ("disconnected", Some(failure), retry_in_ms),
        Notice::Error(failure) => ("error", Some(failure), None),
    };
    let code = failure.as_ref().map(|failure| failure.code.as_str().to_owned());
    let (topic, detail) = failure.map(|failure| (failure.topic, failure.detail)).unzip();
    // None is scheduled before the network is back.
    let retry_in_ms = retry_in_ms.map(|ms| if ms == u64::MAX { f64::INFINITY } else { ms as f64 });
    host.report(event, code, topic.flatten(), detail, retry_in_ms);
}

fn now_ms() -> u64 {
    performance_now() as u64
}

fn handler_ids(numbers: Option<Vec<u32>>) -> Option<Vec<HandlerId>> {
    numbers.map(|numbers| numbers.into_iter().map(HandlerId).collect())
}

fn qos_of(qos: u8) -> QoS {
    if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}
