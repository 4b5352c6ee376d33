//! The exercise of every third-party MQTT client: it subscribes, publishes, gets the state, is refused, loses its
//! connection, and comes back as its own documentation says.
//!
//! A test brings the [`Client`]; its steps and expectations are here once. `js/exercise.mjs` is the same for
//! clients in JavaScript.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::proxy::Proxy;
use crate::rest::Rest;
use crate::server::{KEY, Server};

/// A topic below a thng that does not exist.
pub const REFUSED_TOPIC: &str = "/thngs/Uabcdefghkmnpqrstwxy0123/properties";

/// How many values are written while a client with a durable session is away.
const MISSED: usize = 10;

/// Which MQTT the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Mqtt31,
    Mqtt311,
}

/// With what the client connects. Its user name is `authorization`.
#[derive(Debug, Clone)]
pub struct Setting {
    pub address: SocketAddr,
    pub key: &'static str,
    pub version: Version,
    pub client_id: String,
    /// With a clean session a client subscribes again when it has come back; without one it leaves that alone.
    pub clean_session: bool,
}

/// A client that is connected. Every wait ends by [`crate::WAIT_MAX`].
pub trait Client {
    /// Subscribes, and returns the QoS that was granted, or `None` where it was refused.
    fn subscribe(&mut self, topic: &str, qos: u8) -> Option<u8>;

    /// Publishes at QoS 1, and returns when it is acknowledged.
    fn publish(&mut self, topic: &str, payload: &str);

    /// The next message that was delivered: its topic and its payload.
    fn message(&mut self) -> (String, String);

    /// Waits until the client has lost its connection and has come back.
    /// Returns whether its CONNACK said that its session is present.
    fn back(&mut self) -> bool;
}

impl Setting {
    /// A unique client id that MQTT 3.1 accepts.
    #[must_use]
    pub fn new(address: SocketAddr, version: Version, clean_session: bool) -> Setting {
        let client_id = format!("other-{:08x}", fastrand::u32(..));
        Setting { address, key: KEY, version, client_id, clean_session }
    }
}

/// The exercise with a clean session.
#[track_caller]
pub fn run<C: Client>(version: Version, connect: impl FnOnce(&Setting) -> C) {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let property = |name: &str| format!("/thngs/{thng}/properties/{name}");
    let (temperature, humidity) = (property("temperature"), property("humidity"));
    let humidity_with_state = format!("{humidity}?pubStates=1");
    write(&mut rest, &humidity, "stored before");

    let proxy = Proxy::start(server.mqtt());
    let mut client = connect(&Setting::new(proxy.address(), version, true));

    assert_eq!(client.subscribe(&temperature, 1), Some(1));
    client.publish(&temperature, &payload("published"));
    assert_receives(&mut client, &temperature, "published");
    assert_eq!(rest.get(&temperature).expect(200)[0]["value"], "published");
    write(&mut rest, &temperature, "by REST");
    assert_receives(&mut client, &temperature, "by REST");

    assert_eq!(client.subscribe(&humidity_with_state, 0), Some(0));
    assert_receives(&mut client, &humidity_with_state, "stored before");
    write(&mut rest, &humidity, "update");
    assert_receives(&mut client, &humidity_with_state, "update");

    assert_eq!(client.subscribe(REFUSED_TOPIC, 1), None, "a refused subscription is shown as one");

    proxy.cut();
    assert!(!client.back(), "nothing is kept of a clean session");
    // The state comes with every subscription, so it says that the client has subscribed again.
    assert_receives(&mut client, &humidity_with_state, "update");
    write(&mut rest, &temperature, "after the cut");
    assert_receives(&mut client, &temperature, "after the cut");
    client.publish(&humidity, &payload("published after the cut"));
    assert_receives(&mut client, &humidity_with_state, "published after the cut");
}

/// The exercise with a session that outlives its connection.
#[track_caller]
pub fn run_durable<C: Client>(version: Version, connect: impl FnOnce(&Setting) -> C) {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/temperature", rest.thng());
    let proxy = Proxy::start(server.mqtt());
    let mut client = connect(&Setting::new(proxy.address(), version, false));
    assert_eq!(client.subscribe(&topic, 1), Some(1));

    proxy.shut();
    let missed: Vec<String> = (0..MISSED).map(|n| format!("missed {n}")).collect();
    missed.iter().for_each(|value| write(&mut rest, &topic, value));
    proxy.open();

    let is_present = client.back();
    // The CONNACK of MQTT 3.1 has no place for it.
    assert_eq!(is_present, version == Version::Mqtt311, "session present");
    write(&mut rest, &topic, "after");
    for value in missed.iter().map(String::as_str).chain(["after"]) {
        assert_receives(&mut client, &topic, value);
    }
}

fn payload(value: &str) -> String {
    json!([{ "value": value }]).to_string()
}

#[track_caller]
fn write(rest: &mut Rest, topic: &str, value: &str) {
    rest.put(topic, payload(value)).assert_status(200);
}

/// The next message is this value of this topic's property, on the string that was subscribed to.
#[track_caller]
fn assert_receives(client: &mut impl Client, topic: &str, value: &str) {
    let (on, payload) = client.message();
    let document: Value =
        serde_json::from_str(&payload).unwrap_or_else(|error| panic!("{error} in {payload:?}"));
    assert_eq!((on.as_str(), &document[0]["value"]), (topic, &json!(value)), "{payload}");
}
