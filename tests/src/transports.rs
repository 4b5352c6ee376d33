//! The four protocols behind one face: come with a key, write to a topic, watch topics.
//!
//! For tests that must give the same result with every protocol.

use std::collections::BTreeMap;

use thng_pubsub_protocol::mqtt::{QoS, SubAckCode};
use thng_pubsub_protocol::rejection;
use thng_pubsub_protocol::topic::table::Access;

use crate::link::{Link, Raw};
use crate::mqtt::{Client, Hello, Received};
use crate::rest::Rest;
use crate::server::Server;
use crate::websocket::{MqttFrames, WebSocket};

/// A protocol that values are written and watched through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Rest,
    Mqtt,
    MqttOverWebSocket,
    WebSocket,
}

/// All of them.
pub const TRANSPORTS: [Transport; 4] =
    [Transport::Rest, Transport::Mqtt, Transport::MqttOverWebSocket, Transport::WebSocket];

/// Those that notify.
pub const SUBSCRIBABLE: [Transport; 3] =
    [Transport::Mqtt, Transport::MqttOverWebSocket, Transport::WebSocket];

/// Access was refused. Holds the HTTP status; MQTT has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteError(pub Option<u16>);

/// An MQTT client on either of its links.
pub type Mqtt = Client<Box<dyn Link>>;

/// Opens an MQTT session over one of its two transports.
///
/// # Panics
/// When the server refuses, or the transport is not MQTT's.
#[must_use]
#[track_caller]
pub fn mqtt(transport: Transport, server: &Server, hello: &Hello) -> Mqtt {
    let link: Box<dyn Link> = match transport {
        Transport::Mqtt => Box::new(Raw::connect(server.mqtt())),
        Transport::MqttOverWebSocket => Box::new(MqttFrames::open(server, "mqtt")),
        Transport::Rest | Transport::WebSocket => panic!("{transport:?} does not speak MQTT"),
    };
    Client::accepted(link, hello)
}

/// Opens a native WebSocket, with the key in the header if there is one.
///
/// # Errors
/// When the server refuses the upgrade.
#[track_caller]
pub fn websocket(server: &Server, key: Option<&str>, topic: &str) -> Result<WebSocket, WriteError> {
    let header = key.map(|key| ("Authorization", key));
    WebSocket::request(server, topic, header.as_slice()).map_err(|status| WriteError(Some(status)))
}

/// A client that writes to one topic.
#[derive(Debug)]
pub struct Writer {
    topic: String,
    by: Writing,
}

#[derive(Debug)]
enum Writing {
    Rest(Box<Rest>),
    Mqtt(Mqtt),
    WebSocket(WebSocket),
}

impl Writer {
    /// A writer over this transport. A native WebSocket also subscribes to its topic.
    ///
    /// # Errors
    /// When this key is refused before anything is written, which a native WebSocket may do.
    #[track_caller]
    pub fn open(transport: Transport, server: &Server, key: &str, topic: &str) -> Result<Writer, WriteError> {
        let by = match transport {
            Transport::Rest => Writing::Rest(Box::new(server.rest_as(key))),
            Transport::Mqtt | Transport::MqttOverWebSocket => {
                Writing::Mqtt(mqtt(transport, server, &Hello::with_key(key)))
            }
            Transport::WebSocket => Writing::WebSocket(websocket(server, Some(key), topic)?),
        };
        Ok(Writer { topic: topic.to_owned(), by })
    }

    /// Writes, and returns when the server has acknowledged the write: with 200 or 201, with PUBACK, or on a native
    /// WebSocket with the notification that its own socket gets.
    ///
    /// # Errors
    /// What the server refused, in the form of the protocol: an error document, or the answer that an MQTT client asked
    /// for.
    #[track_caller]
    pub fn write(&mut self, access: Access, payload: &str) -> Result<(), WriteError> {
        match &mut self.by {
            Writing::Rest(rest) => {
                let answer = match access {
                    Access::Create => rest.post(&self.topic, payload),
                    Access::Update => rest.put(&self.topic, payload),
                    Access::Read | Access::Delete => panic!("{access:?} is no write with a payload"),
                };
                if answer.status < 300 { Ok(()) } else { Err(WriteError(Some(answer.status))) }
            }
            Writing::Mqtt(client) => {
                client.subscribed(rejection::TOPIC, QoS::AtMostOnce);
                let id = client.publish_unacknowledged(&self.topic, payload);
                let outcome = match client.packet() {
                    Received::PubAck(acknowledged) if acknowledged == id => return Ok(()),
                    Received::Message(answer) if answer.topic == rejection::TOPIC => {
                        assert_eq!(answer.json()["packetId"], id.get(), "{}", answer.payload);
                        Err(WriteError(None))
                    }
                    other => panic!("PUBACK or an answer, not {other:?}"),
                };
                assert_eq!(client.packet(), Received::PubAck(id), "behind the answer");
                outcome
            }
            Writing::WebSocket(socket) => {
                socket.send(payload);
                let answer = socket.json();
                match answer.get("errors") {
                    None => Ok(()),
                    Some(_) => Err(WriteError(answer["status"].as_u64().and_then(|it| it.try_into().ok()))),
                }
            }
        }
    }
}

/// A client that subscribes to a topic, in one spelling or in several.
#[derive(Debug)]
pub struct Reader {
    strings: Vec<String>,
    by: Watching,
}

#[derive(Debug)]
enum Watching {
    Mqtt(Mqtt),
    /// One for each string.
    WebSockets(Vec<WebSocket>),
}

impl Reader {
    /// A reader over this transport, subscribed with all these strings when this returns. Without a key of the connection's
    /// own, the strings have to bring one.
    ///
    /// # Errors
    /// When the server refuses, which it has to for all of them or for none.
    #[track_caller]
    pub fn open(
        transport: Transport,
        server: &Server,
        key: Option<&str>,
        strings: &[String],
    ) -> Result<Reader, WriteError> {
        let by = match transport {
            Transport::Mqtt | Transport::MqttOverWebSocket => {
                let mut client = mqtt(transport, server, &key.map_or_else(Hello::anonymous, Hello::with_key));
                let filters: Vec<_> = strings.iter().map(|it| (it.as_str(), QoS::AtLeastOnce)).collect();
                let codes = client.subscribe_all(&filters);
                assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?} for {strings:?}");
                if codes[0] == SubAckCode::Refused {
                    return Err(WriteError(None));
                }
                Watching::Mqtt(client)
            }
            Transport::WebSocket => {
                let opened = strings.iter().map(|it| websocket(server, key, it)).collect::<Vec<_>>();
                let statuses: Vec<_> = opened.iter().map(|it| it.as_ref().err().copied()).collect();
                assert!(statuses.iter().all(|it| *it == statuses[0]), "{statuses:?} for {strings:?}");
                Watching::WebSockets(opened.into_iter().collect::<Result<_, _>>()?)
            }
            Transport::Rest => panic!("REST does not notify"),
        };
        Ok(Reader { strings: strings.to_vec(), by })
    }

    /// The text of the next so many notifications on each of the strings.
    #[must_use]
    #[track_caller]
    pub fn read(&mut self, count: usize) -> Vec<(&str, Vec<String>)> {
        match &mut self.by {
            Watching::Mqtt(client) => {
                let mut came: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for _ in 0..count * self.strings.len() {
                    let message = client.message();
                    came.entry(message.topic).or_default().push(message.payload);
                }
                let unknown = came.keys().find(|topic| !self.strings.contains(topic));
                assert_eq!(unknown, None, "a topic string that nobody subscribed with");
                let of = |string: &String| came.remove(string).unwrap_or_default();
                self.strings.iter().map(String::as_str).zip(self.strings.iter().map(of)).collect()
            }
            Watching::WebSockets(sockets) => {
                let of = |socket: &mut WebSocket| (0..count).map(|_| socket.text()).collect();
                self.strings.iter().map(String::as_str).zip(sockets.iter_mut().map(of)).collect()
            }
        }
    }
}
