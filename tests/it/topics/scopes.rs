//! Content and visibility of notifications in special cases: below a resource, and of resources that they name.

use serde_json::json;
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::{Rest, Server};

/// A resource in these projects, visible to all their users.
fn made(rest: &mut Rest, kind: &str, projects: &[&str]) -> String {
    let scopes = json!({"projects": projects, "users": ["all"]});
    rest.id_of(&format!("/{kind}"), json!({"name": "n", "scopes": scopes}))
}

fn subscriber(server: &Server, key: &str, topic: &str) -> Client {
    let mut client = Client::connect_as(server, &Hello::with_key(key));
    client.subscribed(topic, QoS::AtLeastOnce);
    client
}

/// Who may read actions below a resource, and not at the root, reads none once the resource is out of sight.
#[test]
fn an_action_is_not_notified_below_a_hidden_resource() {
    let server = Server::shared();
    let mut rest = server.rest();
    let [own, other] = [rest.project(), rest.project()];
    let collection = made(&mut rest, "collections", &[&own]);
    let token = rest.access_token(&["collections:read"], &[format!("projects:{own}")]).key;
    let mut limited = server.rest_as(&token);
    let topic = format!("/collections/{collection}/actions/all");
    let mut client = subscriber(server, &token, &topic);
    let mut act = |projects: &[&str]| {
        let scopes = json!({"projects": projects, "users": ["all"]});
        rest.put(&format!("/collections/{collection}"), json!({"scopes": scopes})).assert_status(200);
        let action = json!({"type": "scans", "scopes": {"projects": [own], "users": ["all"]}});
        rest.id_of(&topic, action)
    };
    let hidden = act(&[&other]);
    limited.get(&format!("{topic}/{hidden}")).assert_status(404);
    limited.get(&format!("/actions/all/{hidden}")).assert_status(403);
    let marker = act(&[&own, &other]);
    limited.get(&format!("{topic}/{marker}")).assert_status(200);
    assert_eq!(client.message().json()["id"], marker, "told, though REST shows nothing of {hidden}");
}

/// A notification is written once for all receivers: it names what REST leaves out for some, by its id and nothing else
/// (docs/permissions.md).
#[test]
fn a_notification_may_name_ids_of_hidden_resources() {
    let server = Server::shared();
    let mut rest = server.rest();
    let [own, other] = [rest.project(), rest.project()];
    let key = rest.application(&own).secret_key;
    let mut limited = server.rest_as(&key);
    let [seen, hidden] = [&own, &other].map(|project| made(&mut rest, "collections", &[project]));
    let thng = made(&mut rest, "thngs", &[&own]);
    let path = format!("/thngs/{thng}");
    for collection in [&seen, &hidden] {
        rest.put(&format!("/collections/{collection}/thngs"), json!([thng])).assert_status(200);
    }
    let mut client = subscriber(server, &key, &path);
    rest.put(&path, json!({"name": "another"})).assert_status(200);
    assert_eq!(client.message().json()["collections"], json!([seen, hidden]));
    assert_eq!(limited.get(&path).expect(200)["collections"], json!([seen]));
    limited.get(&format!("/collections/{hidden}")).assert_status(404);

    let [visible, invisible] = [&own, &other].map(|project| made(&mut rest, "thngs", &[project]));
    let path = format!("/collections/{seen}/thngs");
    let mut client = subscriber(server, &key, &path);
    rest.put(&path, json!([visible, invisible])).assert_status(200);
    assert_eq!(client.message().json()["resources"], json!([visible, invisible]));
    limited.get(&format!("/thngs/{invisible}")).assert_status(404);
}
