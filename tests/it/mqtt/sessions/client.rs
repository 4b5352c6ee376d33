//! Clients with durable sessions that connect, leave and come back.

use serde_json::json;
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{Rest, Server};

/// A durable client of the operator's, connected.
#[track_caller]
pub(super) fn connect(server: &Server, client_id: &str) -> Client {
    Client::connect_as(server, &Hello::with_key(server.key()).durable(client_id))
}

/// The same, which finds its session.
#[track_caller]
pub(super) fn resume(server: &Server, client_id: &str) -> Client {
    let client = connect(server, client_id);
    assert!(client.session_present, "the session of {client_id} is there");
    client
}

/// One who comes back and acknowledges nothing by itself.
#[track_caller]
pub(super) fn resume_silently(server: &Server, client_id: &str) -> Client {
    let mut client = resume(server, client_id);
    client.acknowledges = false;
    client
}

pub(super) fn put(rest: &mut Rest, topic: &str, values: impl IntoIterator<Item = i64>) {
    for value in values {
        rest.put(topic, json!([{ "value": value }])).assert_status(200);
    }
}

#[track_caller]
pub(super) fn values(client: &mut Client, count: usize) -> Vec<i64> {
    (0..count).map(|_| client.message().value().as_i64().expect("a number")).collect()
}

/// Cuts the connection, and waits until the server has noticed: it may write to a dead connection until then, and a message
/// that it wrote there is repeated with DUP.
#[track_caller]
pub(super) fn leave(server: &Server, client: Client) {
    let connections = || server.metric(r#"connections{protocol="mqtt"}"#);
    let before = connections();
    client.cut();
    until("the server notices the end of the connection", || (connections() < before).then_some(()));
}

/// A topic, its own REST client, and a durable client that subscribed to it at QoS 1 and has left.
pub(super) fn left_behind(server: &Server, client_id: &str) -> (Rest, String) {
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let mut client = connect(server, client_id);
    client.subscribed(&topic, QoS::AtLeastOnce);
    leave(server, client);
    (rest, topic)
}
