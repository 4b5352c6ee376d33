//! The actions that commission and decommission a thng.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::{Rest, Server};

use super::world::{UNKNOWN, id_of, ids};

/// A thng with an identifier, a product with one, and the path of the thng by its identifier.
#[track_caller]
fn to_be_commissioned(rest: &mut Rest, serial: &str) -> (String, String, String) {
    let product =
        rest.id_of("/products", json!({"name": "p", "identifiers": {"gs1:01": format!("0{serial}")}}));
    let thng = rest.id_of("/thngs", json!({"name": "t", "identifiers": {"gs1:21": serial}}));
    (thng, product, format!("/thngs/gs1:21:{serial}"))
}

#[track_caller]
fn state(rest: &mut Rest, path: &str) -> Value {
    rest.get(&format!("{path}/commissionState")).expect(200)
}

#[test]
fn a_thng_is_commissioned_once_and_decommissioned_afterwards() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (thng, product, path) = to_be_commissioned(&mut rest, "23984736");
    let mut client = Client::connect(server);
    client.subscribed(&format!("/thngs/{thng}/actions/all"), QoS::AtLeastOnce);
    client.subscribed(&format!("/products/{product}/actions/commissions"), QoS::AtLeastOnce);
    let refused = |rest: &mut Rest, action_type: &str| {
        for body in [json!({}), json!({"occurredAt": 9_000})] {
            rest.post(&format!("{path}/actions/{action_type}"), body).assert_status(409);
        }
        rest.post(&format!("/actions/{action_type}"), json!({"thng": thng})).assert_status(409);
        rest.post(&format!("/thngs/{thng}/actions/all"), json!({"type": action_type})).assert_status(409);
    };

    assert_eq!(state(&mut rest, &path), json!({"state": "not_commissioned"}));
    refused(&mut rest, "decommissions");
    let sent = json!({
        "product": "gs1:01:023984736", "occurredAt": 5_000, "location": {"latitude": 47.25, "longitude": 8.5},
        "purchaseOrder": "PO-1", "factoryMetadata": {"line": 3},
    });
    let commissioned = rest.post(&format!("{path}/actions/commissions"), sent).expect(200);
    for (field, expected) in [("type", "commissions"), ("thng", &*thng), ("product", &*product)] {
        assert_eq!(commissioned[field], expected, "{field}");
    }
    assert_eq!(commissioned["timestamp"], 5_000);
    assert_eq!(commissioned["location"]["latitude"], 47.25);
    assert_eq!(state(&mut rest, &path), json!({"state": "commissioned", "occurredAt": 5_000}));
    assert_eq!(
        state(&mut rest, &format!("/thngs/{thng}")),
        json!({"state": "commissioned", "occurredAt": 5_000})
    );
    let notified = [client.message(), client.message()];
    let topics: BTreeSet<_> = notified.iter().map(|message| message.topic.clone()).collect();
    assert_eq!(topics.len(), 2);
    assert!(notified.iter().all(|message| message.json() == commissioned));

    refused(&mut rest, "commissions");
    let decommissioned = rest.post(&format!("{path}/actions/decommissions"), json!({})).expect(200);
    assert_eq!(decommissioned["type"], "decommissions");
    let expected = json!({"state": "decommissioned", "occurredAt": decommissioned["timestamp"]});
    assert_eq!(state(&mut rest, &path), expected);
    assert_eq!(client.message().json(), decommissioned);
    refused(&mut rest, "decommissions");
    assert_eq!(state(&mut rest, &path), expected, "what was refused changed nothing");
    client.assert_nothing_else();
    let shown = ids(&mut rest, &format!("/thngs/{thng}/actions/all"));
    assert_eq!(shown, [id_of(&decommissioned), id_of(&commissioned)]);
}

#[test]
fn a_commissioning_keeps_its_text_like_every_action() {
    let mut rest = Server::shared().rest();
    let (_, _, path) = to_be_commissioned(&mut rest, "to-the-letter");
    let fields = r#"{"z":1,"a":123456789012345678901234567890,"f":1.0}"#;
    for (action_type, status) in [("scans", 201), ("commissions", 200)] {
        let answer =
            rest.post(&format!("{path}/actions/{action_type}"), format!(r#"{{"customFields":{fields}}}"#));
        answer.assert_status(status);
        assert!(answer.text().contains(fields), "{action_type}: {}", answer.text());
    }
}

#[test]
fn a_thng_is_commissioned_by_an_action_wherever_it_is_created() {
    let mut rest = Server::shared().rest();
    for (n, by) in ["/actions/commissions", "/actions/all", "/thngs/THNG/actions/all"].into_iter().enumerate()
    {
        let (thng, _, path) = to_be_commissioned(&mut rest, &format!("wherever-{n}"));
        let sent = json!({"type": "commissions", "thng": thng, "timestamp": 7_000});
        rest.create(&by.replace("THNG", &thng), sent);
        assert_eq!(state(&mut rest, &path), json!({"state": "commissioned", "occurredAt": 7_000}), "{by}");
        rest.post(&format!("{path}/actions/commissions"), json!({})).assert_status(409);
    }
}

#[test]
fn one_array_changes_the_state_of_a_thng_once_at_the_most() {
    let mut rest = Server::shared().rest();
    let (thng, _, path) = to_be_commissioned(&mut rest, "in-an-array");
    for types in [["commissions", "commissions"], ["commissions", "decommissions"]] {
        let sent = types.map(|action_type| json!({"type": action_type, "thng": thng}));
        let status = rest.post("/actions/all", json!(sent)).status;
        assert!([400, 409].contains(&status), "{types:?}: {status}");
        assert_eq!(state(&mut rest, &path), json!({"state": "not_commissioned"}), "{types:?}");
        assert_eq!(rest.get(&format!("/thngs/{thng}/actions/all")).expect(200), json!([]), "{types:?}");
    }
    let (other, _, other_path) = to_be_commissioned(&mut rest, "in-an-array-too");
    let sent = [thng, other].map(|thng| json!({"type": "commissions", "thng": thng, "timestamp": 7_000}));
    rest.post("/actions/commissions", json!(sent)).assert_status(201);
    for path in [path, other_path] {
        assert_eq!(state(&mut rest, &path), json!({"state": "commissioned", "occurredAt": 7_000}));
    }
}

#[test]
fn nothing_is_commissioned_that_is_not_there_or_said_wrongly() {
    let mut rest = Server::shared().rest();
    let (_, _, path) = to_be_commissioned(&mut rest, "said-wrongly");
    for missing in ["/thngs/gs1:21:nobody".to_owned(), format!("/thngs/{UNKNOWN}")] {
        rest.get(&format!("{missing}/commissionState")).assert_status(404);
        rest.post(&format!("{missing}/actions/commissions"), json!({})).assert_status(404);
    }
    for wrong in [
        json!({"product": "gs1:01:nothing"}),
        json!({"product": UNKNOWN}),
        json!({"occurredAt": "yesterday"}),
        json!({"location": {"latitude": 91, "longitude": 0}}),
        json!({"type": "decommissions"}),
        json!("now"),
        json!(5),
    ] {
        rest.post(&format!("{path}/actions/commissions"), wrong).assert_status(400);
    }
    assert_eq!(state(&mut rest, &path), json!({"state": "not_commissioned"}));
}
