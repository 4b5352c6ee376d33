//! Thngs and products by their identifiers: `/thngs/<key>:<value>` in place of an id.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::{Rest, Server};

/// What is found by an identifier.
const LISTS: [&str; 2] = ["/thngs", "/products"];

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[track_caller]
fn create(rest: &mut Rest, list: &str, key: &str, value: &str) -> String {
    let mut sent = json!({"name": "found by its identifier"});
    sent["identifiers"][key] = json!(value);
    rest.id_of(list, sent)
}

#[track_caller]
fn assert_finds(rest: &mut Rest, path: &str, id: &str) {
    let answer = rest.get(path);
    assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
    assert_eq!(answer.json()["id"], *id, "{path}");
}

#[test]
fn a_key_and_value_replace_the_id_in_any_encoding() {
    let server = Server::start();
    let mut rest = server.rest();
    for list in LISTS {
        for (key, value) in [
            ("gs1:21", "23984736"),
            ("gs1:01", "09780345418913"),
            ("serial", "A-1"),
            ("mac", "AA:BB:CC:DD:EE:FF"),
            ("urn:x:y", "a:b"),
            ("with space", "1 2&3"),
            ("path", "a/b?c#d"),
            ("Größe", "ü=50%"),
            ("plus", "1+1"),
            ("dots.in.it", "1.2.3"),
        ] {
            let id = create(&mut rest, list, key, value);
            let text = format!("{key}:{value}");
            assert_finds(&mut rest, &format!("{list}/{}", encode(&text)), &id);
            assert_finds(&mut rest, &format!("/v2{list}/{}", encode(&text)), &id);
            assert_finds(&mut rest, &format!("{list}/{}", encode(&text).replace("%3A", ":")), &id);
            let lower_case = encode(&text).replace("%3A", "%3a");
            assert_finds(&mut rest, &format!("{list}/{lower_case}"), &id);
            if text.chars().all(|letter| letter.is_ascii_alphanumeric() || ":-.+".contains(letter)) {
                assert_finds(&mut rest, &format!("{list}/{text}"), &id);
            }
        }
    }
}

#[test]
fn a_value_may_hold_any_number_of_colons() {
    let mut rest = Server::shared().rest();
    for list in LISTS {
        for colons in [1, 7, 8, 9, 30] {
            let value = vec!["x"; colons + 1].join(":");
            let id = create(&mut rest, list, "colons", &value);
            assert_finds(&mut rest, &format!("{list}/colons:{value}"), &id);
        }
    }
}

#[test]
fn what_no_identifier_says_is_404() {
    let mut rest = Server::shared().rest();
    for list in LISTS {
        let other = if list == "/thngs" { "/products" } else { "/thngs" };
        create(&mut rest, list, "gs1:21", "found");
        let foreign = format!("of-another-kind-than{}", list.replace('/', "-"));
        create(&mut rest, other, "gs1:21", &foreign);
        rest.get(&format!("{list}/gs1:21:{foreign}")).assert_status(404);
        for text in [
            "gs1:21:lost",
            "gs1:21:foun",
            "gs1:21:found2",
            "gs1:21:FOUND",
            "GS1:21:found",
            "gs1:22:found",
            "gs1:found",
            "21:found",
            "found",
            "gs1:21:",
            "gs1:21",
            ":found",
            ":",
            "::",
            "name:found",
            "gs1%3A21%3Alost",
            "gs1:21:%20found",
            "gs1:21:fo*nd",
        ] {
            let path = format!("{list}/{text}");
            rest.get(&path).assert_status(404);
            rest.put(&path, json!({"description": "changed"})).assert_status(404);
            rest.delete(&path).assert_status(404);
            rest.get(&format!("{path}/properties")).assert_status(404);
            rest.put(&format!("{path}/properties/k"), json!([{"value": 1}])).assert_status(404);
            rest.post(&format!("{path}/actions/scans"), json!({})).assert_status(404);
            rest.get(&format!("{path}/actions/all")).assert_status(404);
        }
        rest.get(&format!("{list}/gs1:21:found")).assert_status(200);
    }
}

#[test]
fn of_several_with_one_identifier_the_newest_is_meant() {
    let mut rest = Server::shared().rest();
    for list in LISTS {
        let path = format!("{list}/gs1:21:shared");
        let ids: Vec<_> = (0..3).map(|_| create(&mut rest, list, "gs1:21", "shared")).collect();
        assert_finds(&mut rest, &path, &ids[2]);
        rest.put(&format!("{list}/{}", ids[0]), json!({"description": "touched"})).assert_status(200);
        assert_finds(&mut rest, &path, &ids[2]);
        rest.delete(&path).assert_status(200);
        assert_finds(&mut rest, &path, &ids[1]);
        rest.put(&path, json!({"identifiers": {"gs1:21": "alone"}})).assert_status(200);
        assert_finds(&mut rest, &path, &ids[0]);
        assert_finds(&mut rest, &format!("{list}/gs1:21:alone"), &ids[1]);
        rest.put(&path, json!({"identifiers": {}})).assert_status(200);
        rest.get(&path).assert_status(404);
        rest.get(&format!("{list}/{}", ids[0])).assert_status(200);
    }
}

#[test]
fn the_longest_key_that_leads_anywhere_counts() {
    let mut rest = Server::shared().rest();
    for list in LISTS {
        let short = create(&mut rest, list, "a", "b:c:d");
        let path = format!("{list}/a:b:c:d");
        assert_finds(&mut rest, &path, &short);
        let long = create(&mut rest, list, "a:b", "c:d");
        assert_finds(&mut rest, &path, &long);
        let longest = create(&mut rest, list, "a:b:c", "d");
        create(&mut rest, list, "a", "b:c:d");
        assert_finds(&mut rest, &path, &longest);
    }
}

#[test]
fn everything_below_is_reached_by_the_identifier_too() {
    let server = Server::shared();
    let mut rest = server.rest();
    for list in LISTS {
        let id = create(&mut rest, list, "gs1:21", "below");
        for path in [format!("{list}/gs1:21:below"), format!("{list}/gs1%3A21%3Abelow")] {
            let mut client = Client::connect(server);
            client.subscribed(&format!("{list}/{id}"), QoS::AtLeastOnce);
            client.subscribed(&format!("{list}/{id}/properties"), QoS::AtLeastOnce);
            client.subscribed(&format!("{list}/{id}/actions/all"), QoS::AtLeastOnce);

            let updated = rest.put(&path, json!({"description": "changed"})).expect(200);
            assert_eq!(updated["id"], *id);
            assert_eq!(client.message().json(), updated);
            let stored =
                rest.put(&format!("{path}/properties"), json!([{"key": "a", "value": 1}])).expect(200);
            assert_eq!(client.message().json(), stored);
            let stored = rest.post(&format!("{path}/properties/b"), json!([{"value": 2}])).expect(200);
            assert_eq!(client.message().json(), stored);
            assert_eq!(rest.get(&path).expect(200)["properties"], json!({"a": 1, "b": 2}));
            assert_eq!(rest.get(&format!("{path}/properties/b")).expect(200)[0]["value"], 2);
            rest.delete(&format!("{path}/properties/b")).assert_status(200);
            let left = rest.get(&format!("{list}/{id}/properties")).expect(200);
            assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");

            let action = rest.create(&format!("{path}/actions/scans"), json!({}));
            assert_eq!(client.message().json(), action);
            assert_eq!(action[list.trim_matches(['/', 's'])], *id);
            let action_id = action["id"].as_str().expect("an id");
            assert_eq!(rest.get(&format!("{path}/actions/all/{action_id}")).expect(200), action);
            assert_eq!(rest.get(&format!("{path}/actions/scans?perPage=1")).expect(200), json!([action]));
            rest.delete(&format!("{path}/actions/scans/{action_id}")).assert_status(200);
            client.assert_nothing_else();
        }
    }
    let thng = "/thngs/gs1:21:below";
    rest.put(&format!("{thng}/location"), json!([{"latitude": 1, "longitude": 2}])).assert_status(200);
    assert_eq!(rest.get(thng).expect(200)["location"]["latitude"], 1);
    assert_eq!(rest.get(&format!("{thng}/location")).expect(200).as_array().map(Vec::len), Some(1));
    rest.delete(&format!("{thng}/location")).assert_status(200);
    assert_eq!(rest.get(&format!("{thng}/location")).expect(200), json!([]));
    assert_eq!(rest.get(&format!("{thng}/commissionState")).expect(200)["state"], "not_commissioned");
}

#[test]
fn the_newest_comes_first_where_clients_look_one_up_by_a_filter() {
    let mut rest = Server::shared().rest();
    for list in LISTS {
        let ids: Vec<_> = (0..3).map(|_| create(&mut rest, list, "gs1:21", "1 2&3")).collect();
        let found = rest.get(&format!("{list}?filter=identifiers.gs1%3A21%3D1%202%263")).expect(200);
        let found: Vec<_> =
            found.as_array().expect("an array").iter().map(|item| item["id"].clone()).collect();
        assert_eq!(found, ids.iter().rev().map(|id| Value::from(id.as_str())).collect::<Vec<_>>());
        assert_finds(&mut rest, &format!("{list}/gs1:21:1%202&3"), &ids[2]);
    }
}

#[test]
fn an_identifier_is_stored_as_the_string_that_was_sent() {
    let mut rest = Server::shared().rest();
    let many = |count: usize| -> Value {
        (0..count).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
    };
    let of_key =
        |length: usize| -> Value { serde_json::Map::from_iter([("k".repeat(length), json!("v"))]).into() };
    for list in ["/thngs", "/products", "/collections", "/places"] {
        for fits in [
            json!({}),
            json!({"Case": "Kept", "case": "kept too", "": "x"}),
            many(100),
            of_key(128),
            json!({"k": "v".repeat(1_024)}),
        ] {
            let created = rest.create(list, json!({"name": "n", "identifiers": fits}));
            assert_eq!(created["identifiers"], fits);
        }
        for wrong in [
            json!({"k": null}),
            json!({"k": ["v"]}),
            json!({"k": {"v": "w"}}),
            json!(["k"]),
            json!("k:v"),
            many(101),
            of_key(129),
            json!({"k": "v".repeat(1_025)}),
        ] {
            let refusal = rest.post(list, json!({"name": "n", "identifiers": wrong})).expect(400);
            assert!(
                refusal["errors"][0].as_str().is_some_and(|error| error.contains("identifiers")),
                "{refusal}"
            );
        }
    }
}

#[test]
fn what_a_key_may_not_see_does_not_show_by_its_identifier() {
    let server = Server::start();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut user = server.rest_as(&user.key);
    let seen_by_user = |rest: &mut Rest, list: &str| {
        let path = format!("{list}?project={project}");
        rest.id_of(&path, json!({"name": "n", "identifiers": {"gs1:21": "shared"}}))
    };
    for list in LISTS {
        let seen = seen_by_user(&mut rest, list);
        // More than is looked at for one path, all of it newer, and none of it in the project.
        let large = "x".repeat(125_000);
        for _ in 0..70 {
            let identifiers = json!({"gs1:21": "shared", "gs1:22": "hidden"});
            let document = json!({"name": "n", "identifiers": identifiers, "customFields": {"x": large}});
            rest.create(list, document);
        }
        assert_finds(&mut user, &format!("{list}/gs1:21:shared"), &seen);
        let hidden = user.get(&format!("{list}/gs1:22:hidden"));
        let absent = user.get(&format!("{list}/gs1:22:absent"));
        hidden.assert_status(404);
        assert_eq!(hidden.json()["errors"], absent.json()["errors"], "{list}");
        rest.get(&format!("{list}/gs1:22:hidden")).assert_status(200);
    }
}
