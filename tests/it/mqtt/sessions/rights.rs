//! Durable sessions end with their key, and their subscriptions with the right to the resource.

use std::fs;

use serde_json::json;
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{Launch, Server};

use super::client::{connect, leave, left_behind, put, resume, values};

#[test]
fn sessions_end_with_the_application_of_their_user() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    Client::connect_as(&server, &Hello::with_key(&user.key).durable("orphan")).cut();
    let mut connected = Client::connect_as(&server, &Hello::with_key(&user.key).durable("connected"));
    connect(&server, "operator").cut();
    rest.delete(&format!("/projects/{project}/applications/{}", application.id)).assert_status(200);
    connected.assert_closed();
    until("the sessions of the user have ended", || (server.metric("sessions") == 1).then_some(()));
}

#[test]
fn the_same_client_id_with_another_key_has_another_session() {
    let server = Server::shared();
    let (mut rest, topic) = left_behind(server, "shared name");
    let application = rest.project();
    let application = rest.application(&application);
    put(&mut rest, &topic, [1]);
    let other = Hello::with_key(&application.public_key).durable("shared name");
    let mut client = Client::connect_as(server, &other);
    assert!(!client.session_present);
    client.assert_nothing_else();
    let clean = Hello { clean_session: true, ..other };
    Client::connect_as(server, &clean).disconnect();
    assert_eq!(values(&mut resume(server, "shared name"), 1), [1]);
}

#[test]
fn a_revoked_key_ends_its_sessions() {
    let server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = format!("/thngs/{thng}/properties/k");
    let device = rest.device(&thng);
    for n in 0..3 {
        let hello = Hello::with_key(&device.key).durable(&format!("device {n}"));
        let mut client = Client::connect_as(&server, &hello);
        client.subscribed(&topic, QoS::AtLeastOnce);
        leave(&server, client);
    }
    put(&mut rest, &topic, [1]);
    assert_eq!((server.metric("sessions"), server.metric("session_queued_messages")), (3, 1));
    rest.delete(&format!("/auth/evrythng/thngs/{thng}")).assert_status(200);
    assert_eq!(server.metric("sessions"), 0);
    until("nothing is kept any more", || (server.metric("session_queued_messages") == 0).then_some(()));
}

#[test]
fn what_may_not_be_seen_any_more_is_ended_and_the_rest_comes() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (gone, stays) = (rest.thng(), rest.thng());
    let mut client = connect(server, "rights");
    for thng in [&gone, &stays] {
        client.subscribed(&format!("/thngs/{thng}/properties/k"), QoS::AtLeastOnce);
    }
    leave(server, client);
    for thng in [&gone, &stays] {
        put(&mut rest, &format!("/thngs/{thng}/properties/k"), [1]);
    }
    rest.delete(&format!("/thngs/{gone}")).assert_status(200);
    let mut client = resume(server, "rights");
    assert_eq!(client.message().topic, format!("/thngs/{stays}/properties/k"));
    client.assert_nothing_else();
}

#[test]
fn an_access_token_in_a_filter_is_encrypted_and_revocable() {
    let server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let device = rest.device(&thng);
    let topic = format!("/thngs/{thng}/properties/k");
    let filter = format!("{topic}?access_token={}", device.key);
    let mut client = connect(&server, "token");
    client.subscribed(&filter, QoS::AtLeastOnce);
    leave(&server, client);
    put(&mut rest, &topic, [1]);
    for file in fs::read_dir(server.data()).expect("the data folder").map(|file| file.expect("a file").path())
    {
        let bytes = fs::read(&file).unwrap_or_default();
        let holds = bytes.windows(80).any(|window| window == device.key.as_bytes());
        assert!(!holds, "{} holds an API key", file.display());
    }
    let mut client = resume(&server, "token");
    let message = client.message();
    assert_eq!((&message.topic, message.value()), (&filter, json!(1)));
    leave(&server, client);
    put(&mut rest, &topic, [2]);
    rest.delete(&format!("/auth/evrythng/thngs/{thng}")).assert_status(200);
    resume(&server, "token").assert_nothing_else();
}

#[test]
fn a_client_without_a_key_gets_no_durable_session() {
    let server = Server::shared();
    let hello = Hello::anonymous().durable("nobody");
    for _ in 0..2 {
        assert!(!Client::connect_as(server, &hello).session_present);
    }
}
