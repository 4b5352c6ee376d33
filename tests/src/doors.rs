//! The four protocols behind one face: open a topic, write to it, read what was written.
//!
//! For the tests whose point is that it does not matter which door somebody came by.

use serde_json::Value;
use thng_pubsub_protocol::mqtt::QoS;

use crate::link::{Link, Raw};
use crate::mqtt::{Client, Ended};
use crate::rest::Rest;
use crate::server::Server;
use crate::wait::PATIENCE;
use crate::websocket::{MqttFrames, WebSocket};

/// A protocol that values are written and watched through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Rest,
    Mqtt,
    MqttOverWebSocket,
    WebSocket,
}

/// All of them.
pub const DOORS: [Door; 4] = [Door::Rest, Door::Mqtt, Door::MqttOverWebSocket, Door::WebSocket];

/// Somebody who writes to one topic.
#[derive(Debug)]
pub struct Writer {
    topic: String,
    by: Connection,
}

/// Somebody who watches one topic, or over REST looks at it.
#[derive(Debug)]
pub struct Reader {
    topic: String,
    by: Connection,
}

#[derive(Debug)]
enum Connection {
    Rest(Rest),
    Mqtt(Client<Raw>),
    MqttOverWebSocket(Client<MqttFrames>),
    WebSocket(WebSocket),
}

impl Connection {
    #[track_caller]
    fn open(door: Door, server: &Server, topic: &str) -> Connection {
        match door {
            Door::Rest => Connection::Rest(server.rest()),
            Door::Mqtt => Connection::Mqtt(Client::connect(server)),
            Door::MqttOverWebSocket => Connection::MqttOverWebSocket(Client::connect_over_websocket(server)),
            Door::WebSocket => Connection::WebSocket(WebSocket::open(server, topic)),
        }
    }
}

impl Writer {
    /// A writer through this door.
    #[must_use]
    #[track_caller]
    pub fn open(door: Door, server: &Server, topic: &str) -> Writer {
        Writer { topic: topic.to_owned(), by: Connection::open(door, server, topic) }
    }

    /// Writes, and returns when the server has said that it is stored: with 200, with PUBACK, or, on a native
    /// WebSocket, with the notification that its own socket gets.
    #[track_caller]
    pub fn write(&mut self, payload: &str) {
        match &mut self.by {
            Connection::Rest(rest) => rest.put(&self.topic, payload).assert_status(200),
            Connection::Mqtt(client) => client.publish_acknowledged(&self.topic, payload),
            Connection::MqttOverWebSocket(client) => client.publish_acknowledged(&self.topic, payload),
            Connection::WebSocket(socket) => {
                socket.send(payload);
                let outcome = socket.json();
                assert!(outcome.is_array(), "the notification of its own write, not {outcome}");
            }
        }
    }
}

impl Writer {
    /// Writes what the server is to refuse; whether it did, in the way of the protocol.
    #[must_use]
    #[track_caller]
    pub fn is_refused(mut self, payload: &str) -> bool {
        match &mut self.by {
            Connection::Rest(rest) => rest.put(&self.topic, payload).status == 400,
            Connection::Mqtt(client) => refused_over_mqtt(client, &self.topic, payload),
            Connection::MqttOverWebSocket(client) => refused_over_mqtt(client, &self.topic, payload),
            Connection::WebSocket(socket) => {
                socket.send(payload);
                socket.json()["status"] == 400
            }
        }
    }
}

/// At QoS 1 the connection ends without a PUBACK.
#[track_caller]
fn refused_over_mqtt<L: Link>(client: &mut Client<L>, topic: &str, payload: &str) -> bool {
    client.publish_unacknowledged(topic, payload);
    client.next_within(PATIENCE) == Some(Err(Ended))
}

/// What a reader was shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// The topic string on it, where the protocol has one.
    pub topic: Option<String>,
    /// The text, where the protocol notifies.
    pub text: Option<String>,
    /// The update.
    pub json: Value,
}

impl Reader {
    /// A reader through this door, subscribed when this returns.
    #[must_use]
    #[track_caller]
    pub fn open(door: Door, server: &Server, topic: &str) -> Reader {
        let mut by = Connection::open(door, server, topic);
        match &mut by {
            Connection::Mqtt(client) => client.subscribed(topic, QoS::AtLeastOnce),
            Connection::MqttOverWebSocket(client) => client.subscribed(topic, QoS::AtLeastOnce),
            Connection::Rest(_) | Connection::WebSocket(_) => {}
        }
        Reader { topic: topic.to_owned(), by }
    }

    /// The next notification; over REST, the newest value in the form of one.
    #[must_use]
    #[track_caller]
    pub fn read(&mut self) -> Note {
        match &mut self.by {
            Connection::Rest(rest) => Note {
                topic: None,
                text: None,
                json: newest(&rest.get(&self.topic).expect(200), &self.topic),
            },
            Connection::Mqtt(client) => client.message().into(),
            Connection::MqttOverWebSocket(client) => client.message().into(),
            Connection::WebSocket(socket) => {
                let text = socket.text();
                let json = serde_json::from_str(&text).expect("a notification is JSON");
                Note { topic: None, text: Some(text), json }
            }
        }
    }
}

/// The newest entry of what REST shows, with the `key` that it leaves out in a property's own history.
fn newest(shown: &Value, topic: &str) -> Value {
    let mut entry = shown[0].clone();
    if let (Some(object), Some((_, key))) = (entry.as_object_mut(), topic.split_once("/properties/")) {
        assert!(!object.contains_key("key"), "a property's history does not repeat its key");
        object.insert("key".to_owned(), Value::from(key));
    }
    Value::Array(vec![entry])
}

impl From<crate::mqtt::Message> for Note {
    fn from(message: crate::mqtt::Message) -> Note {
        Note { json: message.json(), topic: Some(message.topic), text: Some(message.payload) }
    }
}
