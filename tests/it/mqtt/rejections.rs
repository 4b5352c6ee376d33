//! The answer to a refused publish: what a client gets that asks for it, what others get, and that nothing else changes.

use std::process::Command;

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS, SubAckCode};
use thng_pubsub_protocol::rejection;
use thng_pubsub_tests::keys::unique;
use thng_pubsub_tests::mqtt::{Client, Hello, Received, encoded, publish};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Rest, Server, WAIT_MAX};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// A publish that is refused for good.
struct RefusalCase {
    reason: &'static str,
    status: u16,
    hello: Hello,
    topic: String,
    payload: String,
    /// The method of the same write by REST, where there is one.
    by_rest: Option<&'static str>,
}

/// One for each row of the reason table that a publish can meet and that is final.
fn refused_for_good(server: &Server) -> Vec<RefusalCase> {
    let mut rest = server.rest();
    let (thng, other) = (rest.thng(), rest.thng());
    let device = rest.device(&thng).key;
    let own = format!("/thngs/{thng}/properties/k");
    let row = |reason, status, key: Option<&str>, topic: &str, payload: &str, by_rest| RefusalCase {
        reason,
        status,
        hello: key.map_or_else(Hello::anonymous, Hello::with_key),
        topic: topic.to_owned(),
        payload: payload.to_owned(),
        by_rest,
    };
    let finished = json!({"type": "decommissions", "thng": thng}).to_string();
    vec![
        row("no_key", 401, None, &own, "1", Some("PUT")),
        row("invalid_key", 403, Some(KEY), &format!("{own}?access_token=wrong"), "1", None),
        row("forbidden", 403, Some(&device), &format!("/products/{UNKNOWN}"), "{}", Some("PUT")),
        row("forbidden", 403, Some(&device), &format!("/thngs/{other}/properties/k"), "1", Some("PUT")),
        row("not_found", 404, Some(KEY), &format!("/thngs/{UNKNOWN}/properties/k"), "1", Some("PUT")),
        row("invalid_topic", 404, Some(KEY), "/nothing", "1", None),
        row("invalid_topic", 400, Some(KEY), &format!("{own}?pubStates=1&pubStates=1"), "1", None),
        row("subscribe_only", 405, Some(KEY), &format!("/batches/{UNKNOWN}/tasks"), "{}", None),
        row("invalid", 400, Some(KEY), &own, "[{", Some("PUT")),
        row("invalid", 400, Some(KEY), &own, r#"[{"value":1,"timestamp":"yesterday"}]"#, Some("PUT")),
        row("conflict", 409, Some(KEY), "/actions/all", &finished, Some("POST")),
    ]
}

fn publish_bytes(refused: &RefusalCase, qos: QoS, id: Option<PacketId>) -> Vec<u8> {
    encoded(&Packet::Publish(publish(&refused.topic, &refused.payload, qos, id)))
}

#[track_caller]
fn rejection(client: &mut Client) -> Value {
    match client.packet() {
        Received::Message(message) => {
            assert_eq!(message.topic, rejection::TOPIC);
            assert_eq!((message.qos, message.retain, message.packet_id), (QoS::AtMostOnce, false, None));
            message.json()
        }
        other => panic!("an answer was to come, not {other:?}"),
    }
}

#[track_caller]
fn assert_says(document: &Value, refused: &RefusalCase, server: &Server) {
    let what = format!("{} on {}: {document}", refused.payload, refused.topic);
    assert_eq!(document["reason"], refused.reason, "{what}");
    assert_eq!(document["status"], refused.status, "{what}");
    assert_eq!(document["temporary"], false, "{what}");
    assert!(document["errors"][0].as_str().is_some_and(|sentence| sentence.len() > 10), "{what}");
    assert!(document.get("message").is_none(), "{what}");
    assert!(!document.to_string().contains("access_token=wrong"), "{what}");
    if let Some(method) = refused.by_rest {
        let key = refused.hello.password.as_ref().map(|key| String::from_utf8_lossy(key).into_owned());
        let mut rest = Rest::new(server.http(), key.as_deref());
        let answer = match method {
            "PUT" => rest.put(&refused.topic, &*refused.payload),
            _ => rest.post(&refused.topic, &*refused.payload),
        };
        let by_rest = answer.expect(refused.status);
        for field in ["status", "errors", "code"] {
            assert_eq!(document[field], by_rest[field], "{field} of {what}");
        }
        // MQTT has no address to begin the link with.
        let (here, there) = (document["moreInfo"].as_str(), by_rest["moreInfo"].as_str());
        assert!(there.zip(here).is_some_and(|(there, here)| there.ends_with(here)), "{what} and {by_rest}");
    }
}

/// Issue: one refused QoS 1 publish kills clients.
#[test]
fn every_final_refusal_is_answered_before_its_acknowledgement() {
    let server = Server::shared();
    for refused in refused_for_good(server) {
        let mut client = Client::connect_as(server, &refused.hello);
        client.subscribed(rejection::TOPIC, QoS::AtMostOnce);
        let (one, two) = (client.packet_id(), client.packet_id());
        client.send_bytes(&publish_bytes(&refused, QoS::AtLeastOnce, Some(one)));
        let document = rejection(&mut client);
        assert_eq!(document["packetId"], one.get());
        assert_says(&document, &refused, server);
        assert_eq!(client.packet(), Received::PubAck(one));

        client.send_bytes(&publish_bytes(&refused, QoS::ExactlyOnce, Some(two)));
        let document = rejection(&mut client);
        assert_eq!(document["packetId"], two.get());
        assert_says(&document, &refused, server);
        assert_eq!(client.packet(), Received::PubRec(two));
        client.send(&Packet::PubRel(two));
        assert_eq!(client.packet(), Received::PubComp(two));

        client.send_bytes(&publish_bytes(&refused, QoS::AtMostOnce, None));
        let document = rejection(&mut client);
        assert!(document.get("packetId").is_none(), "{document}");
        assert_says(&document, &refused, server);
        client.assert_nothing_else();
    }
}

#[test]
fn a_client_without_the_subscription_gets_no_rejections() {
    let server = Server::shared();
    for refused in refused_for_good(server) {
        let mut client = Client::connect_as(server, &refused.hello);
        let id = client.packet_id();
        client.send_bytes(&publish_bytes(&refused, QoS::AtLeastOnce, Some(id)));
        assert_eq!(client.packet(), Received::PubAck(id), "{}", refused.reason);
        client.send_bytes(&publish_bytes(&refused, QoS::AtMostOnce, None));
        client.assert_nothing_else();
    }
}

#[test]
fn answers_end_with_the_subscription_and_the_connection() {
    let server = Server::shared();
    let hello = Hello::with_key(KEY).durable(&unique("rejections"));
    let mut client = Client::connect_as(server, &hello);
    assert_eq!(client.publish_refused("/nothing", "1")["reason"], "invalid_topic");
    client.unsubscribe(rejection::TOPIC);
    client.publish_acknowledged("/nothing", "1");
    client.assert_nothing_else();
    client.publish_refused("/nothing", "1");
    client.cut();

    // It is no subscription of the session, so it does not come back with it.
    let mut again = Client::connect_as(server, &hello);
    assert!(again.session_present);
    again.publish_acknowledged("/nothing", "1");
    again.assert_nothing_else();
}

#[test]
fn the_reserved_topic_counts_nowhere_and_takes_no_publish() {
    let server =
        Launch::new().flag("--subscriptions-max", "1").flag("--session-subscriptions-max", "1").start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut client = Client::connect_as(&server, &Hello::with_key(KEY).durable("counted"));
    let codes = client.subscribe_all(&[
        (rejection::TOPIC, QoS::AtLeastOnce),
        (&topic, QoS::AtLeastOnce),
        (rejection::TOPIC, QoS::ExactlyOnce),
        ("/thngs", QoS::AtLeastOnce),
    ]);
    let granted = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtMostOnce].map(SubAckCode::Granted);
    assert_eq!(codes[..3], granted);
    assert_eq!(codes[3], SubAckCode::Refused, "--subscriptions-max");
    assert_eq!(server.metric("bus_subscriptions"), 1);
    let document = client.publish_refused(rejection::TOPIC, "1");
    assert_eq!(document["reason"], "invalid_topic");

    // Spelled in another way it is no topic at all.
    for other in ["$thng-pubsub/rejections/", "/$thng-pubsub/rejections", "$thng-pubsub/rejections?x=1"] {
        assert_eq!(client.subscribe(other, QoS::AtMostOnce), SubAckCode::Refused, "{other}");
    }
}

#[test]
fn answers_keep_the_order_of_neighboring_publishes() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let good = format!("/thngs/{thng}/properties/k");
    let mut client = Client::connect(server);
    client.subscribed(rejection::TOPIC, QoS::AtMostOnce);
    let mut sent = Vec::new();
    let mut bytes = Vec::new();
    for n in 0..300 {
        let id = client.packet_id();
        // One that the transport refuses, one that the writer refuses, and one that is stored.
        let (topic, is_refused) = match n % 3 {
            0 => ("/nothing".to_owned(), true),
            1 => (format!("/thngs/{UNKNOWN}/properties/k"), true),
            _ => (good.clone(), false),
        };
        let payload = n.to_string();
        bytes.extend(encoded(&Packet::Publish(publish(&topic, &payload, QoS::AtLeastOnce, Some(id)))));
        sent.push((id, is_refused));
    }
    client.send_bytes(&bytes);
    for (id, is_refused) in sent {
        if is_refused {
            assert_eq!(rejection(&mut client)["packetId"], id.get());
        }
        assert_eq!(client.packet(), Received::PubAck(id));
    }
    assert_eq!(rest.get(&good).expect(200)[0]["value"], 299);
}

#[test]
fn with_close_a_client_that_asks_is_answered_and_stays() {
    let server = Launch::new().flag("--on-rejected-publish", "close").start();
    for refused in refused_for_good(&server) {
        let mut client = Client::connect_as(&server, &refused.hello);
        let document = client.publish_refused(&refused.topic, &refused.payload);
        assert_says(&document, &refused, &server);
        client.ping();
    }
}

/// From now on the server can write to no file, or can again.
fn let_no_file_be_written(server: &Server, limit: &str) {
    let pid = server.pid().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).status();
    assert!(status.expect("util-linux is installed").success());
}

/// A publish that the store cannot take.
///
/// Also MQTT-3.3.5-2.
#[test]
fn a_temporary_refusal_ends_the_connection_unanswered() {
    for setting in ["ack", "close"] {
        let server = Launch::new().flag("--on-rejected-publish", setting).start();
        let topic = format!("/thngs/{}/properties/k", server.rest().thng());
        let mut asking = Client::connect(&server);
        asking.subscribed(rejection::TOPIC, QoS::AtMostOnce);
        let mut plain = [Client::connect(&server), Client::connect(&server)];
        let_no_file_be_written(&server, "0");
        for (client, qos) in plain.iter_mut().zip([QoS::AtLeastOnce, QoS::ExactlyOnce]) {
            let id = client.packet_id();
            client.send(&Packet::Publish(publish(&topic, "1", qos, Some(id))));
            client.assert_closed_after(setting);
        }
        let document = asking.publish_refused(&topic, "1");
        assert_eq!((&document["reason"], &document["status"]), (&json!("unavailable"), &json!(503)));
        assert_eq!(document["temporary"], true);
        let_no_file_be_written(&server, "unlimited");
        until("the server stores again", || {
            (Rest::new(server.http(), None).send("GET", "/ready", &[], None).status == 200).then_some(())
        });
        asking.publish_acknowledged(&topic, "2");
        assert_eq!(server.rest().get(&topic).expect(200).as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn a_publish_that_comes_too_often_is_answered_and_not_stored() {
    let server = Launch::new().flag("--publish-rate-per-key", "2/d").start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut client = Client::connect(&server);
    client.publish_acknowledged(&topic, "1");
    client.publish_acknowledged(&topic, "2");
    let document = client.publish_refused(&topic, "3");
    assert_eq!((&document["reason"], &document["status"]), (&json!("rate_limited"), &json!(429)));
    assert_eq!(document["temporary"], true);
    let sentence = document["errors"][0].as_str().unwrap_or_default();
    assert!(sentence.contains("--publish-rate-per-key is 2/d"), "{sentence}");
    client.publish(&topic, "4");
    assert_eq!(rejection(&mut client)["reason"], "rate_limited");
    client.ping();

    let mut plain = Client::connect(&server);
    plain.publish_unacknowledged(&topic, "5");
    assert!(matches!(plain.next_within(WAIT_MAX), Some(Err(_))), "closed without PUBACK");
    assert_eq!(server.rest().get(&topic).expect(200).as_array().map(Vec::len), Some(2));
}
