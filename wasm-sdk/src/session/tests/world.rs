//! A driver and a server for one session: the tests' side of every socket, promise and clock.

use std::collections::VecDeque;

use thng_pubsub_protocol::{
    mqtt::{ConnAck, ConnectCode, Decoder, PACKET_BYTES_MAX, Packet, PacketId, Publish, QoS, Side, SubAck},
    rejection,
};

use crate::{
    effect::{CallId, Effect, HandlerId, Notice, SocketId},
    failure::{Code, Failure},
    options::{Key, Options},
    session::{Session, outgoing::SEND_BYTES_MAX},
};

pub(super) const KEY: &str = "SECRETKEY";

/// A packet that the session has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Connect { client_id: String, user_name: String, password: String, keep_alive_s: u16, clean_session: bool },
    Subscribe { id: u16, filters: Vec<(String, QoS)> },
    Unsubscribe { id: u16, filters: Vec<String> },
    Publish { id: Option<u16>, dup: bool, topic: String, payload: String },
    PubAck(u16),
    PingReq,
    Disconnect,
}

/// What became of a call: `Ok`, or the code and the topic of its failure.
pub(super) type Outcome = Result<(), (Code, Option<String>)>;

pub(super) struct World {
    pub(super) session: Session,
    pub(super) now: u64,
    /// Sockets that were asked for and not closed by either side.
    pub(super) open: Vec<SocketId>,
    pub(super) sockets_opened: u32,
    /// What the session has sent and the test has not looked at.
    pub(super) sent: VecDeque<Sent>,
    /// How often bytes were sent.
    pub(super) sends: usize,
    pub(super) settled: Vec<(u32, Outcome)>,
    pub(super) failures: Vec<Failure>,
    pub(super) delivered: Vec<(Vec<u32>, String)>,
    /// How many of the delivered messages were marked as a state.
    pub(super) states: usize,
    pub(super) notices: Vec<Notice>,
    /// Whether the network takes nothing, so that all that is sent stays in the buffer of the socket.
    pub(super) is_stalled: bool,
    /// Bytes in the buffer of the socket.
    pub(super) buffered: usize,
    /// The beginning of a packet whose rest is not sent yet.
    unfinished: Vec<u8>,
    /// The identifier of a SUBSCRIBE to the topic of rejections that was not answered.
    rejections_requested: Option<u16>,
    last_number: u32,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(super) fn with(options: Options) -> Self {
        let options = Options { client_id: "client".into(), key: Key(KEY.into()), ..options };
        Self {
            session: Session::new(options),
            // Not zero, so that a time that was forgotten shows.
            now: 1_000_000,
            open: Vec::new(),
            sockets_opened: 0,
            sent: VecDeque::new(),
            sends: 0,
            settled: Vec::new(),
            failures: Vec::new(),
            delivered: Vec::new(),
            states: 0,
            notices: Vec::new(),
            is_stalled: false,
            buffered: 0,
            unfinished: Vec::new(),
            rejections_requested: None,
            last_number: 0,
        }
    }

    // What a program does. Each call returns its number, which is that of its promise and of its callback.

    pub(super) fn subscribe(&mut self, topic: &str) -> u32 {
        self.subscribe_with(topic, QoS::AtMostOnce)
    }

    pub(super) fn subscribe_with(&mut self, topic: &str, qos: QoS) -> u32 {
        let number = self.number();
        self.session.subscribe(topic, qos, HandlerId(number), CallId(number), self.now);
        self.run();
        number
    }

    pub(super) fn unsubscribe(&mut self, topic: &str, handlers: Option<&[u32]>) -> u32 {
        let number = self.number();
        let handlers: Option<Vec<HandlerId>> =
            handlers.map(|all| all.iter().map(|&it| HandlerId(it)).collect());
        self.session.unsubscribe(topic, handlers.as_deref(), CallId(number), self.now);
        self.run();
        number
    }

    pub(super) fn publish(&mut self, topic: &str, payload: &str, qos: QoS) -> u32 {
        let number = self.number();
        self.session.publish(topic, payload.into(), qos, CallId(number), self.now);
        self.run();
        number
    }

    pub(super) fn cancel(&mut self, call: u32) {
        self.session.cancel(CallId(call), self.now);
        self.run();
    }

    pub(super) fn offline(&mut self) {
        self.session.offline(self.now);
        self.run();
    }

    pub(super) fn wake(&mut self) {
        self.session.wake(self.now);
        self.run();
    }

    pub(super) fn close(&mut self) {
        self.session.close(self.now);
        self.run();
    }

    fn number(&mut self) -> u32 {
        self.last_number += 1;
        self.last_number
    }

    // What the network and the server do.

    /// The socket that the session has asked for opens.
    pub(super) fn open_socket(&mut self) {
        let socket = self.socket();
        self.session.socket_opened(socket, self.now);
        self.run();
    }

    /// Opens the socket and lets the session in.
    pub(super) fn accept(&mut self) {
        self.open_socket();
        assert!(matches!(self.sent.pop_front(), Some(Sent::Connect { .. })), "CONNECT comes first");
        self.connack(ConnectCode::Accepted);
    }

    /// A session that is connected, with nothing else asked of it.
    pub(super) fn connect(&mut self) {
        self.publish("/first", "", QoS::AtMostOnce);
        self.accept();
        self.sent.clear();
        self.settled.clear();
        self.notices.clear();
    }

    pub(super) fn connack(&mut self, code: ConnectCode) {
        self.reply(&Packet::ConnAck(ConnAck { session_present: false, code }));
        // As a server does that knows the topic, or one that does not.
        if let Some(id) = self.rejections_requested.take() {
            self.suback(id, if id % 2 == 0 { &[0] } else { &[0x80] });
        }
    }

    pub(super) fn suback(&mut self, id: u16, codes: &[u8]) {
        self.reply(&Packet::SubAck(SubAck { packet_id: packet_id(id), codes }));
    }

    pub(super) fn puback(&mut self, id: u16) {
        self.reply(&Packet::PubAck(packet_id(id)));
    }

    /// The server says why it refuses a publish.
    pub(super) fn reject(&mut self, id: Option<u16>) {
        let about = id.map_or(String::new(), |id| format!("\"packetId\":{id},"));
        self.message(rejection::TOPIC, &format!("{{{about}\"status\":404,\"errors\":[\"Gone.\"]}}"));
    }

    /// The server sends a message at QoS 0.
    pub(super) fn message(&mut self, topic: &str, payload: &str) {
        self.reply(&Packet::Publish(publish(topic, payload, None)));
    }

    pub(super) fn reply(&mut self, packet: &Packet<'_>) {
        self.reply_bytes(&encode(packet));
    }

    pub(super) fn reply_bytes(&mut self, bytes: &[u8]) {
        let socket = self.socket();
        self.session.socket_received(socket, bytes, self.now);
        self.run();
    }

    /// The server closes, or the network fails.
    pub(super) fn lose(&mut self) {
        let socket = self.socket();
        self.open.clear();
        self.session.socket_closed(socket, "WebSocket close code 1006", self.now);
        self.run();
    }

    /// The network takes everything, and goes on to do so.
    pub(super) fn drain(&mut self) {
        self.is_stalled = false;
        self.buffered = 0;
    }

    /// Lets time pass, and the session do what falls due in it, each thing at its time.
    pub(super) fn wait(&mut self, ms: u64) {
        let end = self.now + ms;
        let mut steps = 0;
        while let Some(due) = self.session.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.read_buffered();
            self.session.handle_timeout(self.now);
            self.run();
            steps += 1;
            assert!(steps < 10_000, "the session asks for the clock again and again");
        }
        self.now = end;
    }

    /// Waits until the session has asked for another socket.
    pub(super) fn wait_for_reconnect(&mut self) {
        let before = self.sockets_opened;
        while self.sockets_opened == before {
            let due = self.session.poll_timeout().expect("the session waits for its next attempt");
            self.wait(due.saturating_sub(self.now));
        }
    }

    pub(super) fn socket(&self) -> SocketId {
        match self.open.as_slice() {
            [socket] => *socket,
            other => panic!("there should be one socket, not {other:?}"),
        }
    }

    // What the session wants.

    /// Performs what the session has asked for, and whatever that brings.
    pub(super) fn run(&mut self) {
        while let Some(effect) = self.next_effect() {
            match effect {
                Effect::Open(socket) => {
                    self.open.push(socket);
                    self.sockets_opened += 1;
                    // Unread bytes of the old one are lost with it.
                    self.sent.clear();
                    self.unfinished.clear();
                    self.buffered = 0;
                }
                Effect::Close(socket) => self.open.retain(|it| *it != socket),
                Effect::Ping(_) => panic!("MQTT has a ping of its own"),
                Effect::Send(socket, bytes) => {
                    assert_eq!(self.open, [socket], "bytes for another socket");
                    assert!(bytes.len() <= SEND_BYTES_MAX, "{} bytes in one send", bytes.len());
                    self.sends += 1;
                    self.buffered += if self.is_stalled { bytes.len() } else { 0 };
                    self.unfinished.extend(bytes);
                    for packet in decode(&mut self.unfinished) {
                        match packet {
                            Sent::Subscribe { id, filters } if filters[0].0 == rejection::TOPIC => {
                                let is_first = self.sent.iter().all(|it| matches!(it, Sent::Connect { .. }));
                                assert!(is_first, "it is asked for before anything else");
                                assert_eq!(filters[0].1, QoS::AtMostOnce);
                                self.rejections_requested = Some(id);
                            }
                            packet => self.sent.push_back(packet),
                        }
                    }
                }
                Effect::Settle(CallId(call_id), outcome) => {
                    let before = self.settled.iter().filter(|(it, _)| *it == call_id).count();
                    assert_eq!(before, 0, "call {call_id} is settled twice");
                    if let Err(failure) = &outcome {
                        self.failures.push(failure.clone());
                    }
                    let outcome = outcome.map_err(|failure| (failure.code, failure.topic));
                    self.settled.push((call_id, outcome));
                }
                Effect::Deliver(handlers, payload, is_state) => {
                    let handlers = handlers.into_iter().map(|handler| handler.0).collect();
                    self.delivered.push((handlers, String::from_utf8(payload).unwrap()));
                    self.states += usize::from(is_state);
                }
                Effect::Report(notice) => self.notices.push(notice),
            }
        }
    }

    fn next_effect(&mut self) -> Option<Effect> {
        let effect = self.session.poll_effect();
        if effect.is_some() {
            return effect;
        }
        self.read_buffered();
        self.session.poll_effect()
    }

    fn read_buffered(&mut self) {
        self.session.socket_buffered(self.buffered.try_into().unwrap(), self.now);
    }

    pub(super) fn take_sent(&mut self) -> Vec<Sent> {
        self.sent.drain(..).collect()
    }

    /// The one packet that was sent since the test last looked.
    pub(super) fn take_one_sent(&mut self) -> Sent {
        let mut sent = self.take_sent();
        assert_eq!(sent.len(), 1, "one packet should be sent, not {sent:?}");
        sent.remove(0)
    }

    pub(super) fn outcome(&self, call: u32) -> Option<&Outcome> {
        self.settled.iter().find(|(call_id, _)| *call_id == call).map(|(_, outcome)| outcome)
    }

    pub(super) fn code(&self, call: u32) -> Option<Code> {
        self.outcome(call)?.as_ref().err().map(|(code, _)| *code)
    }
}

impl Sent {
    pub(super) fn id(&self) -> u16 {
        match self {
            Self::Subscribe { id, .. } | Self::Unsubscribe { id, .. } | Self::PubAck(id) => *id,
            Self::Publish { id: Some(id), .. } => *id,
            other => panic!("{other:?} has no packet identifier"),
        }
    }
}

pub(super) fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub(super) fn publish<'a>(topic: &'a str, payload: &'a str, id: Option<u16>) -> Publish<'a> {
    Publish {
        dup: false,
        qos: if id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce },
        retain: false,
        packet_id: id.map(packet_id),
        topic,
        payload: payload.as_bytes(),
    }
}

pub(super) fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).unwrap();
    bytes
}

/// Takes the packets that are complete out of the bytes.
fn decode(bytes: &mut Vec<u8>) -> Vec<Sent> {
    let decoder = Decoder::new(Side::Client, PACKET_BYTES_MAX);
    let (mut packets, mut read) = (Vec::new(), 0);
    while let Some((packet, used)) = decoder.decode(&bytes[read..]).expect("valid MQTT") {
        packets.push(owned(packet));
        read += used;
    }
    bytes.drain(..read);
    packets
}

fn owned(packet: Packet<'_>) -> Sent {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match packet {
        Packet::Connect(it) => Sent::Connect {
            client_id: it.client_id.into(),
            user_name: it.user_name.unwrap().into(),
            password: text(it.password.unwrap()),
            keep_alive_s: it.keep_alive_s,
            clean_session: it.clean_session,
        },
        Packet::Subscribe(it) => Sent::Subscribe {
            id: it.packet_id.get(),
            filters: it.filters().map(|(topic, qos)| (topic.into(), qos)).collect(),
        },
        Packet::Unsubscribe(it) => {
            Sent::Unsubscribe { id: it.packet_id.get(), filters: it.filters().map(Into::into).collect() }
        }
        Packet::Publish(it) => Sent::Publish {
            id: it.packet_id.map(PacketId::get),
            dup: it.dup,
            topic: it.topic.into(),
            payload: text(it.payload),
        },
        Packet::PubAck(id) => Sent::PubAck(id.get()),
        Packet::PingReq => Sent::PingReq,
        Packet::Disconnect => Sent::Disconnect,
        other => panic!("a client does not send {other:?}"),
    }
}
