//! Action types: those that are built in, those of the account, and their notifications.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::{Rest, Server};

/// In the order of the alphabet; in which order they are listed is the server's own affair.
const BUILT_IN: [&str; 8] = [
    "checkins",
    "commissions",
    "decommissions",
    "encodings",
    "implicitScans",
    "invalidScans",
    "scans",
    "shares",
];

/// Names as people choose them.
const UNUSUAL: [&str; 8] = ["_x y", "_R&D", "_v1.2", "_a=b,c", "_50%", "_tür/öffnen", "_x%20y", "_(a|b)!~\\"];

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The names in a list, in its order.
#[track_caller]
fn names(rest: &mut Rest, list: &str) -> Vec<String> {
    let types = rest.parts(list).into_iter().flatten();
    types.map(|found| found["name"].as_str().expect("a name").to_owned()).collect()
}

#[track_caller]
fn create(rest: &mut Rest, name: &str) -> Value {
    rest.create("/actions", json!({"name": name}))
}

#[test]
fn those_that_are_built_in_come_first_and_then_the_newest() {
    let server = Server::start();
    let mut rest = server.rest();
    for list in ["/actions", "/actionTypes", "/v2/actionTypes"] {
        let listed: BTreeSet<_> = names(&mut rest, list).into_iter().collect();
        assert_eq!(listed, BUILT_IN.iter().map(|name| (*name).to_owned()).collect(), "{list}");
    }
    let built_in = names(&mut rest, "/actions");
    let mut expected = built_in.clone();
    for n in 0..7 {
        create(&mut rest, &format!("_{n}"));
        expected.insert(built_in.len(), format!("_{n}"));
        // However the border between the two falls on the parts, each is there exactly once.
        for per_page in [1, 2, 3, 5, 8, 100] {
            let parts = rest.parts(&format!("/actions?perPage={per_page}"));
            let (last, full) = parts.split_last().expect("there is a part");
            assert!(full.iter().all(|part| part.len() == per_page), "all but the last are full");
            assert!((1..=per_page).contains(&last.len()), "and the last is not empty");
            let walked: Vec<_> =
                parts.iter().flatten().map(|found| found["name"].as_str().expect("a name")).collect();
            assert_eq!(walked, expected, "perPage={per_page}");
        }
    }
    let listed = rest.get("/actions").expect(200);
    for found in listed.as_array().expect("an array").iter().take(8) {
        assert_eq!(found.get("id"), None, "what is built in has no id: {found}");
    }
}

#[test]
fn pages_are_counted_off_across_the_border_too() {
    let server = Server::start();
    let mut rest = server.rest();
    for n in 0..4 {
        create(&mut rest, &format!("_{n}"));
    }
    let all = names(&mut rest, "/actions");
    for per_page in [3, 4, 5, 8, 12] {
        let mut counted = Vec::new();
        for page in 1..=all.len().div_ceil(per_page) {
            let items = rest.get(&format!("/actions?perPage={per_page}&page={page}")).expect(200);
            counted.extend(items.as_array().expect("an array").iter().map(|found| found["name"].clone()));
        }
        assert_eq!(counted, all, "perPage={per_page}");
        assert_eq!(rest.get(&format!("/actions?perPage={per_page}&page=99")).expect(200), json!([]));
    }
}

#[test]
fn the_number_of_types_is_shown_on_request() {
    let server = Server::start();
    let mut rest = server.rest();
    create(&mut rest, "_0");
    create(&mut rest, "_1");
    for (query, expected) in [
        ("perPage=3", None),
        ("page=1&perPage=3", Some("10")),
        ("page=4&perPage=3", Some("10")),
        ("withTotalCount=true", Some("10")),
        ("page=1&filter=name%3D_1,scans", Some("2")),
    ] {
        let answer = rest.get(&format!("/actions?{query}"));
        answer.assert_status(200);
        assert_eq!(answer.header("x-result-count"), expected, "{query}");
    }
}

#[test]
fn a_created_type_has_an_address_and_is_found_by_name() {
    let server = Server::start();
    let mut rest = server.rest();
    for (list, name) in
        UNUSUAL.iter().enumerate().map(|(n, name)| (["/actions", "/actionTypes"][n % 2], *name))
    {
        let sent = json!({"name": name, "description": "d", "tags": ["t"], "customFields": {"n": [1, null]}});
        let answer = rest.post(list, sent.clone());
        let created = answer.expect(201);
        for (field, value) in sent.as_object().expect("an object") {
            assert_eq!(created[field], *value, "{field}");
        }
        assert_eq!(created["updatedAt"], created["createdAt"]);
        let location = answer.header("location").expect("201 comes with a Location");
        let own = location.rsplit('/').next().expect("a last segment");
        for path in [format!("/actionTypes/{own}"), format!("/actionTypes/{}", encode(name))] {
            assert_eq!(rest.get(&path).expect(200), created, "{path}");
        }
        // As existing clients read one: the first of a list, with a name that is encoded once or twice.
        for encoded in
            [encode(&format!("name={}", escaped(name))), format!("name%3D{}", encode(&encode(name)))]
        {
            let found = rest.get(&format!("/actions?filter={encoded}")).expect(200);
            assert_eq!(found, json!([created]), "{name} by {encoded}");
        }
        assert_eq!(
            rest.get(&format!("/actions/{}", encode(name))).expect(200),
            json!([]),
            "these are its actions"
        );
    }
    let mut newest_first: Vec<_> = UNUSUAL.to_vec();
    newest_first.reverse();
    assert_eq!(names(&mut rest, "/actions")[8..], newest_first);
}

/// A value of a filter in which nothing means something else.
fn escaped(value: &str) -> String {
    value
        .chars()
        .flat_map(|letter| ["&|!><=~(),\\".contains(letter).then_some('\\'), Some(letter)])
        .flatten()
        .collect()
}

#[test]
fn a_built_in_type_is_readable_and_immutable() {
    let mut rest = Server::shared().rest();
    for name in BUILT_IN {
        let read = rest.get(&format!("/actionTypes/{name}")).expect(200);
        assert_eq!(read["name"], name);
        assert_eq!(rest.get(&format!("/actions?filter=name%3D{name}")).expect(200), json!([read]));
        for path in [format!("/actions/{name}"), format!("/actionTypes/{name}")] {
            for status in [rest.put(&path, json!({"tags": ["x"]})).status, rest.delete(&path).status] {
                assert!([400, 403].contains(&status), "{path}: {status}");
            }
        }
        assert_eq!(rest.get(&format!("/actionTypes/{name}")).expect(200), read);
    }
}

#[test]
fn a_name_begins_with_an_underscore_and_is_there_once() {
    let server = Server::start();
    let mut rest = server.rest();
    create(&mut rest, "_taken");
    let before = names(&mut rest, "/actions?perPage=100");
    for (wrong, status) in [
        (json!({}), 400),
        (json!({"description": "nameless"}), 400),
        (json!({"name": ""}), 400),
        (json!({"name": 5}), 400),
        (json!({"name": "mine"}), 400),
        (json!({"name": "all"}), 400),
        (json!({"name": " _x"}), 400),
        (json!({"name": format!("_{}", "x".repeat(256))}), 400),
        (json!({"name": "_a\nb"}), 400),
        (json!({"name": "_new", "tags": "one"}), 400),
        (json!({"name": "_taken"}), 409),
        (json!({"name": "_taken", "tags": ["another"]}), 409),
    ] {
        for list in ["/actions", "/actionTypes"] {
            let refusal = rest.post(list, wrong.clone()).expect(status);
            let names_it = refusal["errors"][0].as_str().is_some_and(|error| error.contains("name"));
            assert!(names_it || wrong.get("tags").is_some(), "{wrong}: {refusal}");
        }
    }
    for name in ["scans", "checkins"] {
        let status = rest.post("/actions", json!({"name": name})).status;
        assert!([400, 409].contains(&status), "{name} is there already, and has no `_`: {status}");
    }
    assert_eq!(names(&mut rest, "/actions?perPage=100"), before);
    // Upper and lower case are two names.
    create(&mut rest, "_Taken");
}

#[test]
fn an_update_changes_everything_but_the_name_by_either_address() {
    let mut rest = Server::shared().rest();
    for (n, list) in ["/actions", "/actionTypes"].into_iter().enumerate() {
        let name = format!("_to be updated {n}");
        let created = rest.create(list, json!({"name": name, "description": "stays", "tags": ["a"]}));
        let path = format!("{list}/{}", encode(&name));
        let sent = json!({"id": "x", "name": "_other", "createdAt": 1, "tags": ["b", "c"], "customFields": {"n": 1}});
        let updated = rest.put(&path, sent).expect(200);
        let mut expected = created.clone();
        expected["tags"] = json!(["b", "c"]);
        expected["customFields"] = json!({"n": 1});
        expected["updatedAt"] = updated["updatedAt"].clone();
        assert_eq!(updated, expected);
        assert!(updated["updatedAt"].as_u64() > created["createdAt"].as_u64(), "{updated}");
        assert_eq!(rest.get(&format!("/actionTypes/{}", encode(&name))).expect(200), updated);
        rest.put(&path, json!({"tags": 5})).assert_status(400);
        rest.get("/actionTypes/_other").assert_status(404);
    }
}

#[test]
fn a_deleted_type_frees_its_name_and_keeps_its_actions() {
    let mut rest = Server::shared().rest();
    for (n, list) in ["/actions", "/actionTypes"].into_iter().enumerate() {
        let name = format!("_to be deleted {n}");
        create(&mut rest, &name);
        let thng = rest.thng();
        let action = rest.create(&format!("/thngs/{thng}/actions/{}", encode(&name)), json!({}));
        let path = format!("{list}/{}", encode(&name));
        let answer = rest.delete(&path);
        answer.assert_status(200);
        assert_eq!(answer.text(), "");

        rest.delete(&path).assert_status(404);
        rest.put(&path, json!({"tags": []})).assert_status(404);
        rest.get(&format!("/actionTypes/{}", encode(&name))).assert_status(404);
        assert_eq!(
            rest.get(&format!("/actions?filter=name%3D{}", encode(&encode(&name)))).expect(200),
            json!([])
        );
        rest.post(&format!("/actions/{}", encode(&name)), json!({})).assert_status(404);
        rest.post("/actions/all", json!({"type": name})).assert_status(400);
        assert_eq!(rest.get(&format!("/thngs/{thng}/actions/all")).expect(200), json!([action]));

        create(&mut rest, &name);
        assert_eq!(rest.get(&format!("/actions/{}", encode(&name))).expect(200), json!([action]));
    }
}

#[test]
fn a_filter_is_asked_about_both_halves_of_the_list() {
    let server = Server::start();
    let mut rest = server.rest();
    for (name, tag) in [("_scan twice", "a"), ("_walk", "b"), ("_100%", "a")] {
        rest.create("/actions", json!({"name": name, "tags": [tag], "customFields": {"n": tag}}));
    }
    let built_in = names(&mut rest, "/actions")[..8].to_vec();
    let without_scans: Vec<_> = built_in.iter().filter(|name| *name != "scans").cloned().collect();
    let and = |some: &[&str], more: &[&str]| -> Vec<String> {
        let in_order = built_in.iter().filter(|name| some.contains(&name.as_str())).cloned();
        in_order.chain(more.iter().map(|name| (*name).to_owned())).collect()
    };
    for (filter, expected) in [
        ("name=scans", and(&["scans"], &[])),
        ("name=_walk", and(&[], &["_walk"])),
        ("name=_walk,scans,shares", and(&["scans", "shares"], &["_walk"])),
        ("name=scans|name=_walk", and(&["scans"], &["_walk"])),
        ("name~SCAN", and(&["implicitScans", "invalidScans", "scans"], &["_scan twice"])),
        ("tags=a", and(&[], &["_100%", "_scan twice"])),
        ("customFields.n=b", and(&[], &["_walk"])),
        ("name=nothing", Vec::new()),
        ("name=_100%", and(&[], &["_100%"])),
        ("name=_100%25", and(&[], &["_100%"])),
    ] {
        for per_page in [1, 30] {
            let list = format!("/actions?perPage={per_page}&filter={}", encode(filter));
            assert_eq!(names(&mut rest, &list), expected, "{filter}");
        }
    }
    let others = names(&mut rest, "/actions?filter=name!%3Dscans&perPage=3");
    assert_eq!(others[..7], without_scans);
    assert_eq!(others[7..], ["_100%", "_walk", "_scan twice"]);

    let refusal = rest.get("/actions?filter=colour%3Dred").expect(400);
    let sentence = refusal["errors"][0].as_str().expect("a sentence");
    assert!(["name", "tags", "createdAt"].iter().all(|field| sentence.contains(field)), "{sentence}");
}

#[test]
fn creation_and_deletion_of_a_type_are_notified() {
    let server = Server::start();
    let mut rest = server.rest();
    let mut client = Client::connect(&server);
    client.subscribed("/actions", QoS::AtLeastOnce);
    for name in UNUSUAL {
        let topic = format!("/actions/{}", encode(name));
        client.subscribed(&topic, QoS::AtLeastOnce);
        let created = rest.create("/actions", json!({"name": name, "tags": ["t"]}));
        let message = client.message();
        assert_eq!((&*message.topic, message.json()), ("/actions", created), "{name}");

        // What it does in between is its actions' affair.
        rest.put(&format!("/actionTypes/{}", encode(name)), json!({"description": "d"})).assert_status(200);
        let last = rest.get(&format!("/actionTypes/{}", encode(name))).expect(200);
        rest.delete(&topic).assert_status(200);
        let message = client.message();
        assert_eq!((message.topic.clone(), message.json()), (topic, last), "the document that it had");
        assert_eq!(message.json().get("type"), None, "so that nobody takes it for an action");
    }
    client.publish_acknowledged("/actions", r#"{"name":"_by MQTT"}"#);
    assert_eq!(client.message().json()["name"], "_by MQTT");
    assert_eq!(names(&mut rest, "/actions")[8..], ["_by MQTT"]);
    client.assert_nothing_else();
}
