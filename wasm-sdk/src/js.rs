//! The skin that JavaScript sees: one class, whose methods are the inputs of a [`Session`], and one interface, whose
//! methods are its effects.
//!
//! It gives the session the time, a timer and the browser's events. Everything that a callback of the program could
//! be run by is done after the borrow of the session has ended, one effect after the other: a callback may call back
//! in, and what it asks for comes behind what was already asked for.
//! Sockets, promises and callbacks stay in JavaScript and have numbers here. So a trap costs none of them:
//! `npm/src/connection.js` catches it, makes a new instance and subscribes again.

use std::cell::{Cell, RefCell};

use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use js_sys::Uint8Array;
use thng_pubsub_protocol::mqtt::QoS;
use wasm_bindgen::prelude::*;

use crate::session::{Effect, Failure, HandlerId, Key, Notice, Options, Session, SocketId, Token};

#[wasm_bindgen]
extern "C" {
    /// What the session asks of JavaScript. Its methods do not throw.
    #[derive(Debug, Clone)]
    pub type Host;

    #[wasm_bindgen(method)]
    fn open(this: &Host, socket: u32);
    #[wasm_bindgen(method)]
    fn send(this: &Host, socket: u32, bytes: Uint8Array);
    #[wasm_bindgen(method)]
    fn close(this: &Host, socket: u32);
    #[wasm_bindgen(method)]
    fn resolve(this: &Host, token: u32);
    #[wasm_bindgen(method)]
    fn reject(this: &Host, token: u32, code: &str, topic: Option<String>, detail: &str);
    /// `payload` is a view of this module's memory: it is to be read before anything else is called.
    #[wasm_bindgen(method)]
    fn deliver(this: &Host, handlers: &[u32], payload: &[u8]);
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
    /// The network is back or the page is visible again: calls [`Connection::wake`].
    #[wasm_bindgen(method)]
    fn wake(this: &Host);

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
    #[wasm_bindgen(method, getter, js_name = isResumed)]
    fn is_resumed(this: &Settings) -> bool;

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
            is_resumed: self.is_resumed(),
            seed: (js_sys::Math::random() * (1_u64 << 53) as f64) as u64,
        }
    }
}

/// One session, driven by JavaScript.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Connection {
    host: Host,
    session: RefCell<Session>,
    is_performing: Cell<bool>,
    /// With the time at which it goes off.
    timer: RefCell<Option<(u64, Timeout)>>,
    listeners: RefCell<Vec<EventListener>>,
}

#[wasm_bindgen]
impl Connection {
    /// A connection that opens its socket when it is first used.
    #[wasm_bindgen(constructor)]
    pub fn new(host: Host, settings: &Settings) -> Self {
        Self {
            session: RefCell::new(Session::new(settings.read())),
            is_performing: Cell::new(false),
            timer: RefCell::new(None),
            listeners: RefCell::new(listen(&host)),
            host,
        }
    }

    /// See [`Session::subscribe`]; `qos` is 0 or 1.
    pub fn subscribe(&self, token: u32, topic: &str, qos: u8, handler: u32) {
        self.run(|session, now| session.subscribe(topic, qos_of(qos), HandlerId(handler), Token(token), now));
    }

    /// See [`Session::unsubscribe`].
    pub fn unsubscribe(&self, token: u32, topic: &str, handlers: Option<Vec<u32>>) {
        let handlers = handlers.map(|handlers| handlers.into_iter().map(HandlerId).collect::<Vec<_>>());
        self.run(|session, now| session.unsubscribe(topic, handlers.as_deref(), Token(token), now));
    }

    /// See [`Session::publish`]; `qos` is 0 or 1.
    pub fn publish(&self, token: u32, topic: &str, payload: Vec<u8>, qos: u8) {
        self.run(|session, now| session.publish(topic, payload, qos_of(qos), Token(token), now));
    }

    /// See [`Session::socket_opened`].
    pub fn opened(&self, socket: u32) {
        self.run(|session, now| session.socket_opened(SocketId(socket), now));
    }

    /// See [`Session::socket_received`].
    pub fn received(&self, socket: u32, bytes: &[u8]) {
        self.run(|session, now| session.socket_received(SocketId(socket), bytes, now));
    }

    /// See [`Session::socket_failed`].
    pub fn failed(&self, socket: u32, detail: &str) {
        self.run(|session, now| session.socket_failed(SocketId(socket), detail, now));
    }

    /// See [`Session::socket_closed`].
    pub fn closed(&self, socket: u32, detail: &str) {
        self.run(|session, now| session.socket_closed(SocketId(socket), detail, now));
    }

    /// See [`Session::handle_timeout`].
    pub fn tick(&self) {
        self.timer.take();
        self.run(Session::handle_timeout);
    }

    /// See [`Session::wake`].
    pub fn wake(&self) {
        self.run(Session::wake);
    }

    /// See [`Session::close`].
    pub fn close(&self) {
        self.run(Session::close);
    }

    /// Gives the session an input and performs what comes of it. Called again from a callback, it leaves the
    /// performing to the call that is already at it.
    fn run(&self, input: impl FnOnce(&mut Session, u64)) {
        input(&mut self.session.borrow_mut(), now_ms());
        if self.is_performing.replace(true) {
            return;
        }
        while let Some(effect) = self.next_effect() {
            self.perform(effect);
        }
        self.is_performing.set(false);
        self.schedule();
    }

    fn next_effect(&self) -> Option<Effect> {
        self.session.borrow_mut().poll_effect()
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Open(socket) => self.host.open(socket.0),
            // A copy: some sockets queue what they are given, and this module's memory may move.
            Effect::Send(socket, bytes) => self.host.send(socket.0, Uint8Array::from(bytes.as_slice())),
            Effect::Close(socket) => self.host.close(socket.0),
            Effect::Settle(token, Ok(())) => self.host.resolve(token.0),
            Effect::Settle(token, Err(failure)) => {
                let Failure { code, topic, detail } = failure;
                self.host.reject(token.0, code.as_str(), topic, &detail);
            }
            Effect::Deliver(handlers, payload) => {
                let handlers: Vec<u32> = handlers.into_iter().map(|handler| handler.0).collect();
                self.host.deliver(&handlers, &payload);
            }
            Effect::Report(notice) => self.report(notice),
        }
    }

    fn report(&self, notice: Notice) {
        let (event, failure, retry_in_ms) = match notice {
            Notice::Connecting => ("connecting", None, None),
            Notice::Connected => ("connected", None, None),
            Notice::Disconnected { failure, retry_in_ms } => ("disconnected", Some(failure), retry_in_ms),
            Notice::Error(failure) => ("error", Some(failure), None),
        };
        let code = failure.as_ref().map(|failure| failure.code.as_str().to_owned());
        let (topic, detail) = failure.map(|failure| (failure.topic, failure.detail)).unzip();
        let retry_in_ms = retry_in_ms.map(|ms| ms as f64);
        self.host.report(event, code, topic.flatten(), detail, retry_in_ms);
    }

    /// Sets the timer for what is due next. One that goes off too early is left alone: most deadlines only move away.
    fn schedule(&self) {
        let deadline = self.session.borrow().poll_timeout();
        let Some(deadline) = deadline else {
            // Nothing of a session that is over keeps a Node.js process or a page's memory.
            self.timer.take();
            if self.session.borrow().is_ended() {
                self.listeners.take();
            }
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

/// Listens for the moments at which the connection may have to be looked after. There are none in Node.js.
fn listen(host: &Host) -> Vec<EventListener> {
    let Ok(target) = js_sys::global().dyn_into::<web_sys::EventTarget>() else {
        return Vec::new();
    };
    // `visibilitychange` is the document's event and bubbles up to the window.
    ["online", "visibilitychange"]
        .map(|event| {
            let host = host.clone();
            EventListener::new(&target, event, move |_| {
                if is_visible() {
                    host.wake();
                }
            })
        })
        .into()
}

fn is_visible() -> bool {
    let document = web_sys::window().and_then(|window| window.document());
    document.is_none_or(|document| !document.hidden())
}

fn now_ms() -> u64 {
    performance_now() as u64
}

fn qos_of(qos: u8) -> QoS {
    if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}
