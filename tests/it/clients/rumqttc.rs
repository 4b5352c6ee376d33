//! `rumqttc`, a client in Rust that we did not write, with the event loop and the reconnection of its documentation.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rumqttc::{Connection, ConnectionError, Event, MqttOptions, Packet, QoS, SubscribeReasonCode};
use thng_pubsub_tests::WAIT_MAX;
use thng_pubsub_tests::exercise::{self, Client, Setting, Version};

/// Between two attempts to connect; the library itself tries again at once.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

struct Rumqttc {
    client: rumqttc::Client,
    packets: Receiver<Packet>,
    /// What came while something else was waited for.
    messages: VecDeque<(String, String)>,
    topics: Vec<(String, QoS)>,
    clean_session: bool,
}

impl Rumqttc {
    #[track_caller]
    fn connect(setting: &Setting) -> Rumqttc {
        assert_eq!(setting.version, Version::Mqtt311, "rumqttc speaks no other of the two");
        let (host, port) = (setting.address.ip().to_string(), setting.address.port());
        let mut options = MqttOptions::new(&setting.client_id, host, port);
        options.set_credentials("authorization", setting.key).set_clean_session(setting.clean_session);
        let (client, connection) = rumqttc::Client::new(options, 10);
        let (send, packets) = channel();
        std::thread::spawn(move || drive(connection, |packet| send.send(packet).is_ok()));
        let (messages, topics) = (VecDeque::new(), Vec::new());
        let mut connected =
            Rumqttc { client, packets, messages, topics, clean_session: setting.clean_session };
        assert!(!connected.connack(), "a client that is new has no session");
        connected
    }

    /// The next packet that `select` makes something of; messages before it are kept.
    #[track_caller]
    fn wait_for<T>(&mut self, what: &str, select: impl Fn(&Packet) -> Option<T>) -> T {
        loop {
            let packet = self.packets.recv_timeout(WAIT_MAX);
            let packet = packet.unwrap_or_else(|error| panic!("no {what}: {error}"));
            if let Some(found) = select(&packet) {
                return found;
            }
            self.messages.extend(message(&packet));
        }
    }

    #[track_caller]
    fn connack(&mut self) -> bool {
        self.wait_for("CONNACK", |packet| match packet {
            Packet::ConnAck(connack) => Some(connack.session_present),
            _ => None,
        })
    }

    #[track_caller]
    fn subscribe_at(&mut self, topic: &str, qos: QoS) -> SubscribeReasonCode {
        self.client.subscribe(topic, qos).expect("the client runs");
        self.wait_for("SUBACK", |packet| match packet {
            Packet::SubAck(suback) => Some(suback.return_codes[0]),
            _ => None,
        })
    }
}

/// Goes on after every error: that is how this client reconnects.
fn drive(mut connection: Connection, on_packet: impl Fn(Packet) -> bool) {
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(packet)) => {
                if !on_packet(packet) {
                    return;
                }
            }
            Ok(Event::Outgoing(_)) => {}
            Err(ConnectionError::RequestsDone) => return,
            Err(_) => std::thread::park_timeout(BETWEEN_ATTEMPTS),
        }
    }
}

fn message(packet: &Packet) -> Option<(String, String)> {
    let Packet::Publish(publish) = packet else { return None };
    assert!(!publish.retain, "nothing is retained");
    Some((publish.topic.clone(), String::from_utf8(publish.payload.to_vec()).expect("a payload is text")))
}

impl Client for Rumqttc {
    fn subscribe(&mut self, topic: &str, qos: u8) -> Option<u8> {
        let qos = rumqttc::qos(qos).expect("a QoS");
        match self.subscribe_at(topic, qos) {
            SubscribeReasonCode::Success(granted) => {
                self.topics.push((topic.to_owned(), qos));
                Some(granted as u8)
            }
            SubscribeReasonCode::Failure => None,
        }
    }

    fn publish(&mut self, topic: &str, payload: &str) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).expect("the client runs");
        self.wait_for("PUBACK", |packet| matches!(packet, Packet::PubAck(_)).then_some(()));
    }

    fn message(&mut self) -> (String, String) {
        let queued = self.messages.pop_front();
        queued.unwrap_or_else(|| self.wait_for("PUBLISH", message))
    }

    fn back(&mut self) -> bool {
        let is_present = self.connack();
        if self.clean_session {
            for (topic, qos) in self.topics.clone() {
                assert_eq!(self.subscribe_at(&topic, qos), SubscribeReasonCode::Success(qos));
            }
        }
        is_present
    }
}

#[test]
fn rumqttc_receives_publishes_and_reconnects() {
    exercise::run(Version::Mqtt311, Rumqttc::connect);
}

#[test]
fn rumqttc_with_a_durable_session_misses_nothing() {
    exercise::run_durable(Version::Mqtt311, Rumqttc::connect);
}
