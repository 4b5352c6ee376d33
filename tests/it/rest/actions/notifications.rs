//! The topics on which a created action is notified.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::Server;
use thng_pubsub_tests::mqtt::Client;

use super::world::{World, id_of, ids};

#[test]
fn an_action_is_notified_once_on_each_of_its_topics() {
    let server = Server::start();
    let mut rest = server.rest();
    let world = World::new(&mut rest);
    let (thng, product, [first, second]) = (&world.thng, &world.product, &world.collections);
    let mut client = Client::connect(&server);
    let paths = world.paths();
    for path in &paths {
        for action_type in ["all", "_turned", "scans"] {
            client.subscribed(&format!("{path}/{action_type}"), QoS::AtLeastOnce);
        }
    }
    let everywhere = [0, 1, 2, 3, 4];
    for (path, sent, notified_at) in [
        ("/actions/_turned".to_owned(), json!({}), &[0][..]),
        ("/actions/all".to_owned(), json!({"type": "_turned", "product": product}), &[0, 2]),
        ("/actions/all".to_owned(), json!({"type": "_turned", "thng": thng}), &everywhere),
        (
            "/actions/_turned".to_owned(),
            json!({"thng": thng, "product": product, "collection": first}),
            &everywhere,
        ),
        (format!("/thngs/{thng}/actions/_turned"), json!({"type": "_turned"}), &everywhere),
        (format!("/thngs/{thng}/actions/all"), json!({"type": "_turned"}), &everywhere),
        (format!("/products/{product}/actions/_turned"), json!({}), &[0, 2]),
        (format!("/collections/{first}/actions/_turned"), json!({}), &[0, 3]),
        (
            format!("/collections/{second}/actions/all"),
            json!({"type": "_turned", "collection": first}),
            &[0, 4],
        ),
        (format!("/collections/{first}/actions/all"), json!({"type": "_turned", "thng": thng}), &everywhere),
    ] {
        for by_mqtt in [false, true] {
            if by_mqtt {
                client.publish_acknowledged(&path, &sent.to_string());
            } else {
                rest.post(&path, sent.clone()).assert_status(201);
            }
            let action = rest.get("/actions/all?perPage=1").expect(200)[0].clone();
            // The marker is published on every topic, after all earlier notifications.
            let marker = rest.create(&format!("/thngs/{thng}/actions/_turned"), json!({"tags": ["marker"]}));
            let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for (at, topic) in paths.iter().enumerate() {
                for topic in [format!("{topic}/all"), format!("{topic}/_turned")] {
                    let notified = expected.entry(topic).or_default();
                    notified.extend(notified_at.contains(&at).then(|| action.clone()));
                    notified.push(marker.clone());
                }
            }
            let mut received: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for _ in 0..expected.values().map(Vec::len).sum() {
                let message = client.message();
                received.entry(message.topic.clone()).or_default().push(message.json());
            }
            assert_eq!(received, expected, "{sent} to {path}");
            client.assert_nothing_else();
        }
    }
}

#[test]
fn an_array_is_notified_action_by_action_and_deletions_are_not() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/actions/all", rest.thng());
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtLeastOnce);
    let created =
        rest.post(&topic, json!([{"type": "scans"}, {"type": "shares"}, {"type": "scans"}])).expect(201);
    for action in created.as_array().expect("an array") {
        assert_eq!(client.message().json(), *action, "in the order of the request");
    }
    rest.delete(&format!("{topic}/{}", id_of(&created[0]))).assert_status(200);
    client.publish_acknowledged(&topic, r#"[{"type":"scans"},{"type":"checkins"}]"#);
    let notified = [client.message().json(), client.message().json()];
    assert_eq!(notified.each_ref().map(|action| &action["type"]), ["scans", "checkins"]);
    client.assert_nothing_else();
    let remaining: BTreeSet<_> =
        created.as_array().expect("an array")[1..].iter().chain(&notified).map(id_of).collect();
    assert_eq!(ids(&mut rest, &topic).into_iter().collect::<BTreeSet<_>>(), remaining);
}
