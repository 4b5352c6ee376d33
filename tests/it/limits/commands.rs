//! The bounds of what one command may ask of the writer, each from both sides, and that data beyond them is not stuck.
//!
//! All writers of all accounts wait for one command. What that costs them is measured in `hostile/neighbors.rs`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::TempDir;
use thng_pubsub_protocol::mqtt::{Packet, QoS};
use thng_pubsub_tests::mqtt::{Client, publish};
use thng_pubsub_tests::server::run_with;
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{Launch, Response, Rest, Server};

/// Collections that a thng or a collection can be in.
const COLLECTIONS_MAX: usize = 100;

#[track_caller]
fn collections(rest: &mut Rest, count: usize) -> Vec<String> {
    (0..count).map(|number| rest.id_of("/collections", json!({"name": format!("c{number}")}))).collect()
}

#[track_caller]
fn put(rest: &mut Rest, collection: &str, thngs: &[&str]) -> Value {
    rest.put(&format!("/collections/{collection}/thngs"), json!(thngs)).expect(200)
}

#[track_caller]
fn assert_names_bound(answer: &Response, bound: &str) {
    let sentence = answer.expect(400)["errors"][0].as_str().expect("a sentence").to_owned();
    assert!(sentence.contains(bound), "{sentence:?} names {bound:?}");
}

/// A thng that is in as many collections as it can be, and these.
#[track_caller]
fn crowded(rest: &mut Rest) -> (String, Vec<String>) {
    let all = collections(rest, COLLECTIONS_MAX);
    (rest.id_of("/thngs", json!({"name": "n", "collections": all})), all)
}

#[track_caller]
fn count(rest: &mut Rest, list: &str) -> usize {
    rest.parts(list).iter().map(Vec::len).sum()
}

#[test]
fn a_thng_is_in_100_collections_by_every_way_in() {
    const BOUND: &str = "is in 100 collections, which is the most";
    let server = Server::start();
    let mut rest = server.rest();
    let (thng, all) = crowded(&mut rest);
    let one_more = collections(&mut rest, 1).remove(0);
    let path = format!("/collections/{one_more}/thngs");

    assert_names_bound(&rest.put(&path, json!([server.rest().thng(), thng])), BOUND);
    let mut client = Client::connect(&server);
    let payload = json!([thng]).to_string();
    client.send(&Packet::Publish(publish(&path, &payload, QoS::AtMostOnce, None)));
    client.ping();
    let mut with_one_more = all.clone();
    with_one_more.push(one_more.clone());
    rest.post("/thngs", json!({"name": "n", "collections": with_one_more})).assert_status(400);
    assert_eq!(rest.get(&path).expect(200), json!([]), "nothing of what was refused is there");
    assert!(server.metric("commands_rejected_total{bound=\"collections\"}") >= 1);

    // Collections that it is in already take it again, and leaving one allows another.
    put(&mut rest, &all[0], &[&thng]);
    rest.delete(&format!("/collections/{}/thngs/{thng}", all[0])).assert_status(200);
    put(&mut rest, &one_more, &[&thng]);
    put(&mut rest, &one_more, &[&thng]);
    assert_eq!(
        rest.get(&format!("/thngs/{thng}")).expect(200)["collections"].as_array().map(Vec::len),
        Some(100)
    );
}

#[test]
fn a_collection_joins_100_others_and_is_below_1000() {
    let server = Server::start();
    let mut rest = server.rest();
    let join = |rest: &mut Rest, parent: &str, children: &[String]| {
        rest.post(&format!("/collections/{parent}/collections"), json!(children))
    };
    let child = collections(&mut rest, 1);
    let parents = collections(&mut rest, COLLECTIONS_MAX);
    for parent in &parents {
        join(&mut rest, parent, &child).assert_status(200);
    }
    let more = collections(&mut rest, 1).remove(0);
    assert_names_bound(&join(&mut rest, &more, &child), "is in 100 collections, which is the most");
    assert_eq!(rest.get(&format!("/collections/{more}/collections")).expect(200), json!([]));

    let grandparents = collections(&mut rest, 901);
    for (at, grandparent) in grandparents.iter().enumerate() {
        let parent = std::slice::from_ref(&parents[at % parents.len()]);
        join(&mut rest, grandparent, parent).assert_status(200);
        match at {
            899 => join(&mut rest, &child[0], &collections(&mut server.rest(), 1)).assert_status(200),
            900 => {
                let answer = join(&mut rest, &child[0], &collections(&mut server.rest(), 1));
                assert_names_bound(&answer, "below more than 1000 others");
            }
            _ => {}
        }
    }
    rest.delete(&format!("/collections/{}/collections", child[0])).assert_status(200);
}

/// The ids of so many new thngs that a batch task makes of a template.
fn thngs(rest: &mut Rest, quantity: usize, template: &Value) -> Vec<String> {
    let batch = rest.id_of("/batches", json!({"name": "b"}));
    let input = json!({
        "type": "FIXED_AMOUNT", "quantity": quantity, "thngTemplate": template, "generateThngs": true
    });
    let tasks = format!("/batches/{batch}/tasks");
    let begun = rest.post(&tasks, json!({"type": "POPULATING", "inputParameters": input}));
    let task = begun.header("location").and_then(|path| path.rsplit('/').next()).expect("a task").to_owned();
    until("the thngs are there", || {
        (rest.get(&format!("{tasks}/{task}")).expect(200)["status"] == "EXECUTED").then_some(())
    });
    let parts = rest.parts(&format!("/thngs?perPage=100&filter=batch%3D{batch}"));
    parts.iter().flatten().map(|thng| thng["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn many_thngs_join_a_collection_in_steps_or_none_does() {
    let server = Server::start();
    let mut rest = server.rest();
    let (crowded, _) = crowded(&mut rest);
    let mut all = thngs(&mut rest, 2_600, &json!({"name": "n"}));
    let collection = collections(&mut rest, 1).remove(0);
    let path = format!("/collections/{collection}/thngs");
    let mut client = Client::connect(&server);
    client.subscribed(&path, QoS::AtLeastOnce);
    all.push(crowded);
    assert_names_bound(&rest.put(&path, json!(all)), "is in 100 collections, which is the most");
    assert_eq!(rest.get(&path).expect(200), json!([]), "nothing of what was refused is there");
    assert_eq!(server.metric("commands_rejected_total{bound=\"collections\"}"), 1);
    all.pop();
    rest.put(&path, json!(all)).assert_status(200);
    let mut named = Vec::new();
    for count in [2_500, 100] {
        let change = client.message().json();
        assert_eq!(change["operation"], "thngsAdded");
        let thngs = change["resources"].as_array().expect("an array").clone();
        assert_eq!(thngs.len(), count);
        named.extend(thngs);
    }
    assert_eq!(named, all);
    assert_eq!(count(&mut rest, &format!("{path}?perPage=100")), 2_600);
}

#[test]
fn actions_above_the_notification_limit_are_refused_whole() {
    let server = Server::start();
    let mut rest = server.rest();
    let (thng, _) = crowded(&mut rest);
    let path = format!("/thngs/{thng}/actions/scans");
    let actions = |count: usize, fields: &str| json!(vec![json!({"customFields": {"x": fields}}); count]);
    // Two topics of each collection, of the thng and of the root: 204 an action, and one command may cause 3,000.
    rest.post(&path, actions(14, "")).assert_status(201);
    let answer = rest.post(&path, actions(15, ""));
    assert_names_bound(&answer, "more than 3000 notifications, which is the most for one command");
    assert_names_bound(&answer, "--command-notifications-max");
    // A longer document counts as several on each topic.
    assert_names_bound(&rest.post(&path, actions(13, &"x".repeat(5_000))), "more than 3000 notifications");
    assert_eq!(count(&mut rest, &format!("{path}?perPage=100")), 14);
    assert_eq!(server.metric("commands_rejected_total{bound=\"notifications\"}"), 2);

    let server = Launch::new().flag("--command-notifications-max", "1000").start();
    let mut rest = server.rest();
    let path = format!("/thngs/{}/actions/scans", rest.thng());
    rest.post(&path, actions(250, "")).assert_status(201);
    assert_names_bound(&rest.post(&path, actions(251, "")), "more than 1000 notifications");
}

#[test]
fn thngs_in_many_collections_are_deleted_in_bulk_or_none_is() {
    let server = Launch::new().flag("--command-notifications-max", "1000").start();
    let mut rest = server.rest();
    let all = collections(&mut rest, COLLECTIONS_MAX);
    let thngs: Vec<String> =
        (0..10).map(|_| rest.id_of("/thngs", json!({"name": "n", "collections": all}))).collect();
    let answer = rest.delete(&format!("/thngs?ids={}", thngs.join(",")));
    assert_names_bound(&answer, "more than 1000 notifications");
    assert_eq!(count(&mut rest, "/thngs"), 10);
    rest.delete(&format!("/thngs?ids={}", thngs[1..].join(","))).assert_status(200);
    assert_eq!(count(&mut rest, "/thngs"), 1);
}

#[test]
fn documents_above_8_mib_are_not_changed_but_deleted_at_once() {
    let server = Server::start();
    let mut rest = server.rest();
    let large = json!({"name": "n", "tags": ["large"], "customFields": {"x": "x".repeat(125_000)}});
    for _ in 0..68 {
        rest.create("/thngs", large.clone());
    }
    let path = "/thngs?filter=tags%3Dlarge";
    let answer = rest.put(path, json!({"description": "changed"}));
    assert_names_bound(&answer, "more than 8388608 bytes, which is the most for one call");
    assert!(rest.get(path).expect(200)[0].get("description").is_none());
    let one = rest.get(path).expect(200)[0]["id"].as_str().expect("an id").to_owned();
    rest.delete(&format!("/thngs/{one}")).assert_status(200);
    assert!(rest.put(path, json!({"description": "changed"})).status < 300);
    assert_eq!(rest.get(path).expect(200)[0]["description"], "changed");
    rest.create("/thngs", large);
    rest.delete(path).assert_status(200);
    assert_eq!(count(&mut rest, path), 0);
}

#[test]
fn as_many_large_thngs_as_a_call_may_name_are_deleted() {
    let server = Server::start();
    let mut rest = server.rest();
    let template = json!({"name": "n", "tags": ["many"], "customFields": {"x": "x".repeat(15_500)}});
    thngs(&mut rest, 500, &template);
    let answer = rest.delete("/thngs?filter=tags%3Dmany");
    answer.assert_status(200);
    assert_eq!(answer.header("x-result-count"), Some("500"));
    assert_eq!(count(&mut rest, "/thngs?filter=tags%3Dmany"), 0);
}

#[test]
fn entries_of_indexes_count_in_a_change_of_many() {
    let server = Server::start();
    let mut rest = server.rest();
    let identifiers = |value: &str| -> Value { (0..100).map(|n| (format!("k{n}"), json!(value))).collect() };
    let template = json!({"name": "n", "tags": ["many"], "identifiers": identifiers("a")});
    thngs(&mut rest, 400, &template);
    let path = "/thngs?filter=tags%3Dmany";
    // Each change removes 100 entries and adds as many: 32,000 bytes a thng.
    let answer = rest.put(path, json!({"identifiers": identifiers("b")}));
    assert_names_bound(&answer, "160 bytes for each entry of an index");
    assert!(server.metric("commands_rejected_total{bound=\"bytes\"}") >= 1);
    assert_eq!(rest.get(&format!("{path}%26identifiers.k0%3Db")).expect(200), json!([]));
    rest.put(path, json!({"description": "d"})).assert_status(204);
    rest.delete(path).assert_status(200);
}

/// An export of a thng that is in 100 collections, with memberships in so many more, as earlier versions allowed them.
#[track_caller]
fn exported_with_more(server: &Server, more: usize) -> String {
    let mut rest = server.rest();
    crowded(&mut rest);
    collections(&mut rest, more);
    let lines = server.administer(&["export", "--with-secret"]).printed();
    let mut facts: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let is_member = |fact: &Value| fact.get("member").is_some();
    let first = facts.iter().position(is_member).expect("a membership");
    let member = facts[first].clone();
    let all: Vec<Value> = facts
        .iter()
        .filter(|fact| fact["resource"]["kind"] == "Collection")
        .map(|fact| {
            let mut member = member.clone();
            member["member"]["collection"] = fact["resource"]["place"].clone();
            member
        })
        .collect();
    facts.retain(|fact| !is_member(fact));
    let trailer = facts.last_mut().expect("the last line");
    trailer["trailer"]["members"] = all.len().into();
    facts.splice(first..first, all);
    facts.iter().map(|fact| format!("{fact}\n")).collect()
}

#[test]
fn a_thng_that_was_in_more_collections_is_still_of_use() {
    let server = Server::start();
    let text = exported_with_more(&server, 150);
    let data = TempDir::new().expect("a folder");
    run_with(["import".as_ref(), "--data".as_ref(), data.path().as_os_str()], text.into_bytes()).printed();
    let server = Launch::new().start_in(data);
    let mut rest = server.rest();
    let thng = rest.get("/thngs").expect(200)[0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/thngs/{thng}");
    let of = |rest: &mut Rest| rest.get(&path).expect(200)["collections"].as_array().map(Vec::len);
    assert_eq!(of(&mut rest), Some(250), "it is read");
    assert_eq!(server.administer(&["export"]).printed().matches("{\"member\":").count(), 250);
    rest.put(&path, json!({"name": "renamed"})).assert_status(200);
    rest.put(&format!("{path}/properties/k"), json!([{"value": 1}])).assert_status(200);
    rest.post(&format!("{path}/actions/scans"), json!(vec![json!({}); 5])).assert_status(201);
    assert_names_bound(
        &rest.post(&format!("{path}/actions/scans"), json!(vec![json!({}); 6])),
        "3000 notifications",
    );
    let own = rest.get(&path).expect(200)["collections"][0].as_str().expect("an id").to_owned();
    rest.delete(&format!("/collections/{own}/thngs/{thng}")).assert_status(200);
    assert_eq!(of(&mut rest), Some(249), "it is taken out");
    let last = rest.get(&path).expect(200)["collections"][248].as_str().expect("an id").to_owned();
    let mut watcher = Client::connect(&server);
    watcher.subscribed(&format!("/collections/{last}/thngs"), QoS::AtLeastOnce);
    rest.delete(&path).assert_status(200);
    assert!(watcher.message().payload.contains(&thng), "each collection is told");
    rest.get(&path).assert_status(404);
    assert_eq!(rest.get(&format!("/collections/{last}/thngs")).expect(200), json!([]));
}

#[test]
fn a_bulk_deletion_notifies_more_than_100_collections() {
    // One more than the notifications of a command.
    let server = Server::start();
    let text = exported_with_more(&server, 901);
    let data = TempDir::new().expect("a folder");
    run_with(["import".as_ref(), "--data".as_ref(), data.path().as_os_str()], text.into_bytes()).printed();
    let server = Launch::new().flag("--command-notifications-max", "1000").start_in(data);
    let mut rest = server.rest();
    let thng = rest.get("/thngs").expect(200)[0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/thngs/{thng}");
    let of = |rest: &mut Rest| -> Vec<String> {
        let own = rest.get(&path).expect(200)["collections"].clone();
        serde_json::from_value(own).expect("ids")
    };
    let own = of(&mut rest);
    assert_eq!(own.len(), 1_001);

    // What is refused for the others leaves it where it is.
    let others: Vec<String> =
        (0..10).map(|_| rest.id_of("/thngs", json!({"name": "n", "collections": own[..100]}))).collect();
    let all = format!("/thngs?ids={thng},{}", others.join(","));
    assert_names_bound(&rest.delete(&all), "more than 1000 notifications");
    assert_eq!(of(&mut rest).len(), 1_001);

    let mut watcher = Client::connect(&server);
    for collection in &own {
        watcher.subscribed(&format!("/collections/{collection}/thngs"), QoS::AtLeastOnce);
    }
    rest.delete(&format!("/thngs?ids={thng},{}", others[0])).assert_status(200);
    let mut notified = BTreeSet::new();
    while notified.len() < own.len() {
        let message = watcher.message();
        assert_eq!(message.json()["operation"], "thngsRemoved");
        if message.payload.contains(&thng) {
            assert!(notified.insert(message.topic.clone()), "each once");
        }
    }
    rest.get(&path).assert_status(404);
    assert_eq!(count(&mut rest, "/thngs"), 9);
}

#[test]
fn a_thng_with_1000_properties_is_gone_at_once_and_freed_later() {
    let server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let path = format!("/thngs/{thng}");
    let entries = |from: usize| -> Value {
        (from..from + 500).map(|n| json!({"key": format!("k{n}"), "value": n})).collect()
    };
    for from in [0, 500] {
        rest.put(&format!("{path}/properties"), entries(from)).assert_status(200);
    }
    rest.delete(&path).assert_status(200);
    for gone in [path.clone(), format!("{path}/properties"), format!("{path}/properties/k1")] {
        rest.get(&gone).assert_status(404);
    }
    until("its values are freed", || {
        let lines = server.administer(&["export"]).printed();
        (!lines.contains("\"k999\"")).then_some(())
    });
}
