//! An MQTT client that a test drives packet by packet, on TCP or inside WebSocket frames.
//!
//! It answers nothing by itself but, by default, a QoS 1 delivery with its PUBACK.
//! What arrives while it waits for something else is kept in its order, so that a test can ask what came before what.
//! The wire format is `thng-pubsub-protocol`'s; that it is MQTT is shown by that crate's own tests and by the clients of
//! others in `clients/mosquitto.rs`, `clients/paho.rs`, `clients/rumqttc.rs` and `js/`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;
use thng_pubsub_protocol::mqtt::{
    self, Connect, ConnectCode, Decoder, Packet, PacketId, ProtocolLevel, Publish, QoS, Side, SubAckCode,
    Subscribe, Unsubscribe, Will,
};
use thng_pubsub_protocol::rejection;

use crate::link::{Arrival, Link, Raw};
use crate::server::Server;
use crate::wait::WAIT_MAX;
use crate::websocket::MqttFrames;

/// The user name that goes with an API key.
pub const USER_NAME: &str = "authorization";

/// What a client says of itself when it connects.
#[derive(Debug, Clone)]
pub struct Hello {
    pub level: ProtocolLevel,
    pub clean_session: bool,
    pub keep_alive_s: u16,
    pub client_id: String,
    pub user_name: Option<String>,
    pub password: Option<Vec<u8>>,
    pub will: Option<LastWill>,
}

/// What the server publishes for a client that is lost.
#[derive(Debug, Clone)]
pub struct LastWill {
    pub topic: String,
    pub payload: String,
    pub qos: QoS,
}

impl Hello {
    /// MQTT 3.1.1, clean session, a client id that the server chooses, and this key.
    #[must_use]
    pub fn with_key(key: &str) -> Hello {
        Hello {
            level: ProtocolLevel::V3_1_1,
            clean_session: true,
            keep_alive_s: 60,
            client_id: String::new(),
            user_name: Some(USER_NAME.to_owned()),
            password: Some(key.as_bytes().to_vec()),
            will: None,
        }
    }

    /// Without user name and password.
    #[must_use]
    pub fn anonymous() -> Hello {
        Hello { user_name: None, password: None, ..Hello::with_key("") }
    }

    /// The same as another client id.
    #[must_use]
    pub fn named(self, client_id: &str) -> Hello {
        Hello { client_id: client_id.to_owned(), ..self }
    }

    /// The same with a durable session under this client id.
    #[must_use]
    pub fn durable(self, client_id: &str) -> Hello {
        Hello { clean_session: false, ..self.named(client_id) }
    }

    /// The same in MQTT 3.1, which wants a client id.
    #[must_use]
    pub fn in_3_1(self) -> Hello {
        let client_id =
            if self.client_id.is_empty() { format!("v31-{:08x}", fastrand::u32(..)) } else { self.client_id };
        Hello { level: ProtocolLevel::V3_1, client_id, ..self }
    }

    /// The CONNECT packet.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let will = self.will.as_ref().map(|will| Will {
            topic: &will.topic,
            payload: will.payload.as_bytes(),
            qos: will.qos,
            retain: false,
        });
        encoded(&Packet::Connect(Connect {
            level: self.level,
            clean_session: self.clean_session,
            keep_alive_s: self.keep_alive_s,
            client_id: &self.client_id,
            will,
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
        }))
    }
}

/// A packet from the server, with its bytes owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    ConnAck { session_present: bool, code: ConnectCode },
    Message(Message),
    PubAck(PacketId),
    PubRec(PacketId),
    PubComp(PacketId),
    SubAck { packet_id: PacketId, codes: Vec<SubAckCode> },
    UnsubAck(PacketId),
    PingResp,
}

/// A PUBLISH that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub qos: QoS,
    pub retain: bool,
    pub dup: bool,
    pub packet_id: Option<PacketId>,
}

impl Message {
    /// The payload as JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or_else(|error| panic!("{error} in {:?}", self.payload))
    }

    /// The `value` of the first entry of a property update.
    #[must_use]
    #[track_caller]
    pub fn value(&self) -> Value {
        self.json()[0]["value"].clone()
    }
}

/// A connected, or connecting, MQTT client.
#[derive(Debug)]
pub struct Client<L: Link = Raw> {
    link: L,
    decoder: Decoder,
    unread: Vec<u8>,
    backlog: VecDeque<Received>,
    next_id: PacketId,
    /// Whether deliveries at QoS 1 are acknowledged.
    pub acknowledges: bool,
    /// Whether the server said that it has kept a session.
    pub session_present: bool,
}

impl Client<Raw> {
    /// Connects over TCP with the operator's key.
    #[must_use]
    #[track_caller]
    pub fn connect(server: &Server) -> Client {
        Client::accepted(Raw::connect(server.mqtt()), &Hello::with_key(server.key()))
    }

    /// Connects over TCP as `hello` says.
    #[must_use]
    #[track_caller]
    pub fn connect_as(server: &Server, hello: &Hello) -> Client {
        Client::accepted(Raw::connect(server.mqtt()), hello)
    }
}

impl Client<MqttFrames> {
    /// Connects over WebSocket with the operator's key.
    #[must_use]
    #[track_caller]
    pub fn connect_over_websocket(server: &Server) -> Client<MqttFrames> {
        Client::accepted(MqttFrames::open(server, "mqtt"), &Hello::with_key(server.key()))
    }
}

impl<L: Link> Client<L> {
    /// A client that has not yet said anything.
    #[must_use]
    pub fn on(link: L) -> Client<L> {
        Client {
            link,
            decoder: Decoder::new(Side::Server, mqtt::PACKET_BYTES_MAX),
            unread: Vec::new(),
            backlog: VecDeque::new(),
            next_id: PacketId::MIN,
            acknowledges: true,
            session_present: false,
        }
    }

    /// A client whose CONNECT the server accepts.
    #[must_use]
    #[track_caller]
    pub fn accepted(link: L, hello: &Hello) -> Client<L> {
        let (client, code) = Client::greeted(link, hello);
        assert_eq!(code, ConnectCode::Accepted, "CONNACK");
        client
    }

    /// A client that has sent its CONNECT, and the answer.
    #[must_use]
    #[track_caller]
    pub fn greeted(link: L, hello: &Hello) -> (Client<L>, ConnectCode) {
        let mut client = Client::on(link);
        client.decoder.level = Some(hello.level);
        client.send_bytes(&hello.bytes());
        match client.packet() {
            Received::ConnAck { session_present, code } => {
                assert!(!session_present || !hello.clean_session, "a clean session is a new one");
                client.session_present = session_present;
                (client, code)
            }
            other => panic!("expected CONNACK, not {other:?}"),
        }
    }

    /// Says which level the answers are in, for a test that writes its CONNECT itself.
    pub fn expects(&mut self, level: ProtocolLevel) {
        self.decoder.level = Some(level);
    }

    /// Sends bytes that need not be a packet.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.link.send(bytes);
    }

    /// Sends a packet.
    pub fn send(&mut self, packet: &Packet<'_>) {
        self.send_bytes(&encoded(packet));
    }

    /// A packet identifier that was not used before.
    pub fn packet_id(&mut self) -> PacketId {
        let id = self.next_id;
        self.next_id = id.successor();
        id
    }

    /// Subscribes to one filter.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> SubAckCode {
        self.subscribe_all(&[(filter, qos)])[0]
    }

    /// Subscribes to one filter that the server grants at the QoS asked for.
    #[track_caller]
    pub fn subscribed(&mut self, filter: &str, qos: QoS) {
        let code = self.subscribe(filter, qos);
        assert_eq!(code, SubAckCode::Granted(qos), "SUBACK for {filter}");
    }

    /// Subscribes to several filters with one packet.
    #[track_caller]
    pub fn subscribe_all(&mut self, filters: &[(&str, QoS)]) -> Vec<SubAckCode> {
        let sent = self.packet_id();
        self.send(&Packet::Subscribe(Subscribe::new(sent, filters)));
        let codes = self.wait("SUBACK", |packet| match packet {
            Received::SubAck { packet_id, codes } if *packet_id == sent => Some(codes.clone()),
            _ => None,
        });
        assert_eq!(codes.len(), filters.len(), "one code for each filter of {filters:?}");
        codes
    }

    /// Takes a subscription back.
    #[track_caller]
    pub fn unsubscribe(&mut self, filter: &str) {
        let sent = self.packet_id();
        self.send(&Packet::Unsubscribe(Unsubscribe::new(sent, &[filter])));
        self.wait("UNSUBACK", |packet| (*packet == Received::UnsubAck(sent)).then_some(()));
    }

    /// Publishes at QoS 0.
    pub fn publish(&mut self, topic: &str, payload: &str) {
        self.send(&Packet::Publish(publish(topic, payload, QoS::AtMostOnce, None)));
    }

    /// Publishes at QoS 1 and does not wait.
    pub fn publish_unacknowledged(&mut self, topic: &str, payload: &str) -> PacketId {
        let id = self.packet_id();
        self.send(&Packet::Publish(publish(topic, payload, QoS::AtLeastOnce, Some(id))));
        id
    }

    /// Publishes at QoS 1 and waits for the PUBACK.
    #[track_caller]
    pub fn publish_acknowledged(&mut self, topic: &str, payload: &str) {
        let id = self.publish_unacknowledged(topic, payload);
        self.wait("PUBACK", |packet| (*packet == Received::PubAck(id)).then_some(()));
    }

    /// Publishes at QoS 1 what the server refuses, and returns the answer that a client gets who asked for one.
    ///
    /// # Panics
    /// When there is none before the acknowledgement, or it is about another publish.
    #[track_caller]
    pub fn publish_refused(&mut self, topic: &str, payload: &str) -> Value {
        self.subscribed(rejection::TOPIC, QoS::AtMostOnce);
        let id = self.publish_unacknowledged(topic, payload);
        let answer = self.wait("an answer to the publish", |packet| match packet {
            Received::Message(message) if message.topic == rejection::TOPIC => Some(Ok(message.json())),
            Received::PubAck(acknowledged) if *acknowledged == id => Some(Err(())),
            _ => None,
        });
        let document =
            answer.unwrap_or_else(|()| panic!("{payload} on {topic} was acknowledged without an answer"));
        assert_eq!(document["packetId"], id.get(), "{document}");
        self.wait("PUBACK", |packet| (*packet == Received::PubAck(id)).then_some(()));
        document
    }

    /// Asks for a PINGRESP, which comes after everything that the server has sent before.
    #[track_caller]
    pub fn ping(&mut self) {
        self.send(&Packet::PingReq);
        self.wait("PINGRESP", |packet| (*packet == Received::PingResp).then_some(()));
    }

    /// Says goodbye, so that no will is published.
    #[track_caller]
    pub fn disconnect(mut self) {
        self.send(&Packet::Disconnect);
        self.assert_closed();
    }

    /// Loses the connection without a word.
    pub fn cut(mut self) {
        self.link.cut();
    }

    /// The next delivery.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        self.wait("a delivery", |packet| match packet {
            Received::Message(message) => Some(message.clone()),
            _ => None,
        })
    }

    /// The next packet of whatever kind.
    #[track_caller]
    pub fn packet(&mut self) -> Received {
        match self.next_within(WAIT_MAX) {
            Some(Ok(packet)) => packet,
            Some(Err(Ended)) => panic!("the server closed the connection"),
            None => panic!("nothing came in {WAIT_MAX:?}"),
        }
    }

    /// The next packet, the end of the connection, or `None` when the time is up.
    #[track_caller]
    pub fn next_within(&mut self, timeout: Duration) -> Option<Result<Received, Ended>> {
        if let Some(packet) = self.backlog.pop_front() {
            return Some(Ok(packet));
        }
        self.read_within(timeout)
    }

    /// # Panics
    /// When the server does not close the connection, or sends something before.
    #[track_caller]
    pub fn assert_closed(&mut self) {
        self.assert_closed_after("that");
    }

    /// As [`Client::assert_closed`], saying what was sent.
    #[track_caller]
    pub fn assert_closed_after(&mut self, what: &str) {
        match self.next_within(WAIT_MAX) {
            Some(Err(Ended)) => {}
            Some(Ok(packet)) => panic!("after {what} the connection was to end, but there came {packet:?}"),
            None => panic!("{WAIT_MAX:?} after {what} the connection is still open"),
        }
    }

    /// Shows that nothing has arrived but what the test took.
    ///
    /// A delivery may still be on its way through the server: first take a later one that is sure to come after it.
    ///
    /// # Panics
    /// When there is something.
    #[track_caller]
    pub fn assert_nothing_else(&mut self) {
        self.ping();
        assert!(self.backlog.is_empty(), "nothing else was to arrive, but {:?}", self.backlog);
    }

    /// The link underneath.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }

    /// Waits for a packet that `is` likes; the others are kept for later.
    #[track_caller]
    pub fn wait<T>(&mut self, what: &str, is: impl Fn(&Received) -> Option<T>) -> T {
        if let Some((index, found)) =
            self.backlog.iter().enumerate().find_map(|(index, packet)| Some((index, is(packet)?)))
        {
            self.backlog.remove(index);
            return found;
        }
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            match self.read_within(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok(packet)) => match is(&packet) {
                    Some(found) => return found,
                    None => self.backlog.push_back(packet),
                },
                Some(Err(Ended)) => panic!("the server closed instead of {what}; before: {:?}", self.backlog),
                None => panic!("no {what} in {WAIT_MAX:?}; what came: {:?}", self.backlog),
            }
        }
    }

    #[track_caller]
    fn read_within(&mut self, timeout: Duration) -> Option<Result<Received, Ended>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(packet) = self.decode() {
                self.acknowledge(&packet);
                return Some(Ok(packet));
            }
            match self.link.receive(deadline.saturating_duration_since(Instant::now())) {
                Arrival::Bytes(bytes) => self.unread.extend(bytes),
                Arrival::Closed => return Some(Err(Ended)),
                Arrival::Nothing if Instant::now() >= deadline => return None,
                Arrival::Nothing => {}
            }
        }
    }

    #[track_caller]
    fn decode(&mut self) -> Option<Received> {
        let decoded = self.decoder.decode(&self.unread).expect("what the server sends is MQTT");
        let (packet, consumed) = decoded?;
        let packet = Received::from(packet);
        self.unread.drain(..consumed);
        Some(packet)
    }

    fn acknowledge(&mut self, packet: &Received) {
        if let Received::Message(Message { packet_id: Some(id), .. }) = packet
            && self.acknowledges
        {
            self.send(&Packet::PubAck(*id));
        }
    }
}

/// The connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl From<Packet<'_>> for Received {
    fn from(packet: Packet<'_>) -> Received {
        match packet {
            Packet::ConnAck(ack) => {
                Received::ConnAck { session_present: ack.session_present, code: ack.code }
            }
            Packet::Publish(publish) => Received::Message(Message {
                topic: publish.topic.to_owned(),
                payload: String::from_utf8(publish.payload.to_vec()).expect("a payload is UTF-8"),
                qos: publish.qos,
                retain: publish.retain,
                dup: publish.dup,
                packet_id: publish.packet_id,
            }),
            Packet::PubAck(id) => Received::PubAck(id),
            Packet::PubRec(id) => Received::PubRec(id),
            Packet::PubComp(id) => Received::PubComp(id),
            Packet::SubAck(ack) => {
                Received::SubAck { packet_id: ack.packet_id, codes: ack.results().collect() }
            }
            Packet::UnsubAck(id) => Received::UnsubAck(id),
            Packet::PingResp => Received::PingResp,
            other => panic!("a server does not send {other:?}"),
        }
    }
}

/// A PUBLISH packet without the flags that this server ignores.
#[must_use]
pub fn publish<'a>(topic: &'a str, payload: &'a str, qos: QoS, packet_id: Option<PacketId>) -> Publish<'a> {
    Publish { dup: false, qos, retain: false, packet_id, topic, payload: payload.as_bytes() }
}

/// The bytes of a packet.
#[must_use]
#[track_caller]
pub fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).expect("the packet can be written");
    bytes
}
