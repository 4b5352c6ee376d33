//! Changes of many at once: `PUT` and `DELETE` of whatever `ids` or `filter` name, all or nothing.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::{Launch, Response, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// What can be changed many at once.
const LISTS: [&str; 3] = ["/thngs", "/products", "/collections"];

/// A server that changes at most five at once.
fn server() -> Server {
    Launch::new().flag("--bulk-size-max", "5").start()
}

/// New ones by their ids, the oldest first; each is tagged and has its number as a name.
#[track_caller]
fn create(rest: &mut Rest, list: &str, count: usize, tag: &str) -> Vec<String> {
    (0..count).map(|n| rest.id_of(list, json!({"name": n.to_string(), "tags": [tag]}))).collect()
}

fn filter(expression: &str) -> String {
    format!("filter={}", utf8_percent_encode(expression, NON_ALPHANUMERIC))
}

/// The whole list.
#[track_caller]
fn all(rest: &mut Rest, list: &str) -> Vec<Value> {
    rest.parts(&format!("{list}?perPage=100")).concat()
}

/// What a change of so many answers.
#[track_caller]
fn assert_changed(answer: &Response, status: u16, count: usize) {
    answer.assert_status(status);
    assert_eq!(answer.text(), "");
    assert_eq!(answer.header("x-result-count"), Some(&*count.to_string()));
}

#[test]
fn an_update_changes_all_that_are_named_and_no_other() {
    let server = server();
    let mut rest = server.rest();
    for list in LISTS {
        let (red, blue) = (create(&mut rest, list, 4, "red"), create(&mut rest, list, 2, "blue"));
        for (n, (query, changed)) in [
            (format!("ids={},{}", red[0], red[3]), vec![&red[0], &red[3]]),
            (format!("ids={0},{UNKNOWN},{0},x", red[1]), vec![&red[1]]),
            (filter("tags=blue"), vec![&blue[0], &blue[1]]),
            (filter("tags=red&name!=0"), vec![&red[1], &red[2], &red[3]]),
            (format!("{}&ids={},{},{}", filter("tags=red"), red[2], blue[0], blue[1]), vec![&red[2]]),
            (format!("ids={UNKNOWN}"), vec![]),
            (filter("name=nobody"), vec![]),
        ]
        .into_iter()
        .enumerate()
        {
            let before = all(&mut rest, list);
            let answer = rest.put(&format!("{list}?{query}"), json!({"customFields": {"round": n}}));
            assert_changed(&answer, 204, changed.len());
            for (before, after) in before.iter().zip(all(&mut rest, list)) {
                if changed.iter().any(|id| after["id"] == **id) {
                    assert_eq!(after["customFields"], json!({"round": n}), "{query}");
                    assert_eq!(after["tags"], before["tags"], "what the patch does not name stays");
                    assert!(after["updatedAt"].as_u64() > after["createdAt"].as_u64(), "{after}");
                } else {
                    assert_eq!(after, *before, "{query}");
                }
            }
        }
    }
}

#[test]
fn a_patch_may_invalidate_its_own_filter() {
    let server = server();
    let mut rest = server.rest();
    for list in LISTS {
        create(&mut rest, list, 3, "red");
        let path = format!("{list}?{}", filter("tags=red"));
        assert_changed(&rest.put(&path, json!({"tags": ["blue"], "id": UNKNOWN, "createdAt": 1})), 204, 3);
        assert_changed(&rest.put(&path, json!({"tags": ["blue"]})), 204, 0);
        let now = all(&mut rest, list);
        assert_eq!(now.len(), 3);
        assert!(now.iter().all(|item| item["tags"] == json!(["blue"]) && item["id"] != UNKNOWN));
    }
}

#[test]
fn a_deletion_deletes_all_that_are_named_and_no_other() {
    let server = server();
    let mut rest = server.rest();
    for list in ["/thngs", "/products", "/collections", "/projects"] {
        let (red, blue) = (create(&mut rest, list, 4, "red"), create(&mut rest, list, 3, "blue"));
        for (query, deleted) in [
            (format!("ids={},{},{UNKNOWN}", red[0], red[3]), vec![&red[0], &red[3]]),
            (format!("{}&ids={},{}", filter("tags=red"), red[1], blue[0]), vec![&red[1]]),
            (filter("tags=blue&name!=0"), vec![&blue[1], &blue[2]]),
            (format!("ids={}", red[0]), vec![]),
            (filter("name=nobody"), vec![]),
        ] {
            let before = all(&mut rest, list);
            assert_changed(&rest.delete(&format!("{list}?{query}")), 200, deleted.len());
            let stays = |item: &&Value| !deleted.iter().any(|id| item["id"] == **id);
            let expected: Vec<_> = before.iter().filter(stays).cloned().collect();
            assert_eq!(all(&mut rest, list), expected, "{query}");
            for id in deleted {
                rest.get(&format!("{list}/{id}")).assert_status(404);
            }
        }
    }
}

#[test]
fn a_bulk_change_takes_its_filter_as_it_was_sent() {
    let server = server();
    let mut rest = server.rest();
    for list in ["/thngs", "/products", "/collections", "/projects"] {
        create(&mut rest, list, 2, "red one");
        let before = all(&mut rest, list);
        // Encoded twice: a list finds both all the same.
        let path = format!("{list}?{}", filter("tags=red%20one"));
        assert_eq!(rest.get(&path).expect(200).as_array().map(Vec::len), Some(2));
        assert_changed(&rest.delete(&path), 200, 0);
        if list != "/projects" {
            assert_changed(&rest.put(&path, json!({"tags": ["blue"]})), 204, 0);
        }
        assert_eq!(all(&mut rest, list), before);
    }
}

#[test]
fn a_bulk_call_without_ids_and_filter_is_refused() {
    let server = server();
    let mut rest = server.rest();
    for list in ["/thngs", "/products", "/collections", "/projects"] {
        create(&mut rest, list, 2, "red");
        let before = all(&mut rest, list);
        for query in
            ["", "?", "?filter=", "?perPage=1", "?page=1", "?x=y", "?project=Uabcdefghkmnpqrstwxy0123"]
        {
            let refusal = rest.delete(&format!("{list}{query}")).expect(400);
            let sentence = refusal["errors"][0].as_str().expect("a sentence");
            assert!(sentence.contains("ids") && sentence.contains("filter"), "{list}{query}: {sentence}");
            if list != "/projects" {
                rest.put(&format!("{list}{query}"), json!({"tags": ["changed"]})).assert_status(400);
            }
        }
        for query in [
            "filter=colour%3Dred",
            "filter=name",
            "ids=&filter=%3D",
            &format!("ids={}", vec![UNKNOWN; 101].join(",")),
        ] {
            rest.delete(&format!("{list}?{query}")).assert_status(400);
            if list != "/projects" {
                rest.put(&format!("{list}?{query}"), json!({"tags": ["changed"]})).assert_status(400);
            }
        }
        assert_eq!(all(&mut rest, list), before);
    }
}

#[test]
fn a_bulk_change_above_the_limit_changes_nothing() {
    let server = server();
    let mut rest = server.rest();
    for list in LISTS {
        let six = create(&mut rest, list, 6, "red");
        let before = all(&mut rest, list);
        for query in [format!("ids={}", six.join(",")), filter("tags=red"), filter("name!=nobody")] {
            for answer in [
                rest.put(&format!("{list}?{query}"), json!({"tags": ["changed"]})),
                rest.delete(&format!("{list}?{query}")),
            ] {
                let refusal = answer.expect(400);
                assert!(
                    refusal["errors"][0].as_str().is_some_and(|error| error.contains('5')),
                    "{query}: {refusal}"
                );
                assert_eq!(answer.header("x-result-count"), None);
            }
            assert_eq!(all(&mut rest, list), before, "{query}");
        }
        // What narrows a list to a page narrows no change.
        for page in ["perPage=1", "page=2&perPage=5", "nextPageToken=0-1", "sortOrder=ASCENDING"] {
            let query = format!("{}&{page}", filter("tags=red"));
            rest.put(&format!("{list}?{query}"), json!({"tags": ["changed"]})).assert_status(400);
            rest.delete(&format!("{list}?{query}")).assert_status(400);
            assert_eq!(all(&mut rest, list), before, "{query}");
        }
        // Five of them are taken, whatever else is named that is not there.
        let five = format!("ids={},{UNKNOWN}", six[1..].join(","));
        assert_changed(&rest.put(&format!("{list}?{five}"), json!({"tags": ["changed"]})), 204, 5);
        assert_changed(&rest.delete(&format!("{list}?{}", filter("tags=changed"))), 200, 5);
        assert_eq!(all(&mut rest, list).len(), 1);
    }
}

#[test]
fn by_default_five_hundred_are_changed_at_once_and_no_more() {
    let server = Server::start();
    let mut rest = server.rest();
    create(&mut rest, "/thngs", 501, "red");
    let path = format!("/thngs?{}", filter("tags=red"));
    rest.put(&path, json!({"description": "changed"})).assert_status(400);
    rest.delete(&path).assert_status(400);
    let newest = all(&mut rest, "/thngs")[0]["id"].as_str().expect("an id").to_owned();
    rest.delete(&format!("/thngs/{newest}")).assert_status(200);
    assert_changed(&rest.put(&path, json!({"description": "changed"})), 204, 500);
    let changed = all(&mut rest, "/thngs");
    assert_eq!(changed.len(), 500);
    assert!(changed.iter().all(|thng| thng["description"] == "changed"));
    assert_changed(&rest.delete(&path), 200, 500);
    assert_eq!(all(&mut rest, "/thngs"), [] as [Value; 0]);
}

#[test]
fn a_patch_that_is_wrong_changes_none_of_them() {
    let server = server();
    let mut rest = server.rest();
    for list in LISTS {
        let ids = create(&mut rest, list, 3, "red");
        let before = all(&mut rest, list);
        for wrong in [
            json!({"name": ""}),
            json!({"name": null}),
            json!({"description": "changed", "tags": "one"}),
            json!({"description": "changed", "customFields": []}),
            json!({"description": "changed", "identifiers": {"a": [1]}}),
            json!({"description": "changed", "scopes": {"projects": [UNKNOWN]}}),
            json!([{"description": "changed"}]),
            json!("changed"),
            json!(null),
        ] {
            for query in [format!("ids={}", ids.join(",")), filter("tags=red")] {
                rest.put(&format!("{list}?{query}"), wrong.clone()).assert_status(400);
            }
        }
        for body in ["", "{", "{\"description\":"] {
            rest.put(&format!("{list}?{}", filter("tags=red")), body).assert_status(400);
        }
        assert_eq!(all(&mut rest, list), before);
    }
    let path = format!("/thngs?{}", filter("tags=red"));
    let before = all(&mut rest, "/thngs");
    for product in [json!(UNKNOWN), json!("x"), before[0]["id"].clone()] {
        rest.put(&path, json!({"description": "changed", "product": product})).assert_status(400);
    }
    assert_eq!(all(&mut rest, "/thngs"), before);
    let product = rest.id_of("/products", json!({"name": "p"}));
    assert_changed(&rest.put(&path, json!({"product": product})), 204, 3);
}

#[test]
fn every_change_of_a_bulk_call_is_notified() {
    let server = server();
    let mut rest = server.rest();
    for list in LISTS {
        let ids = create(&mut rest, list, 3, "red");
        let bystander = create(&mut rest, list, 1, "blue").remove(0);
        let mut client = Client::connect(&server);
        for id in ids.iter().chain([&bystander]) {
            client.subscribed(&format!("{list}/{id}"), QoS::AtLeastOnce);
        }
        rest.put(&format!("{list}?{}", filter("tags=red")), json!({"description": "changed"}))
            .assert_status(204);
        let mut notified = BTreeSet::new();
        for _ in &ids {
            let message = client.message();
            let document = message.json();
            assert_eq!(document["description"], "changed");
            assert_eq!(message.topic, format!("{list}/{}", document["id"].as_str().expect("an id")));
            notified.insert(message.topic);
        }
        assert_eq!(notified, ids.iter().map(|id| format!("{list}/{id}")).collect());

        if list == "/collections" {
            rest.delete(&format!("{list}?ids={}", ids.join(","))).assert_status(200);
            let notified: BTreeSet<_> = ids.iter().map(|_| client.message().topic).collect();
            assert_eq!(
                notified,
                ids.iter().map(|id| format!("{list}/{id}")).collect(),
                "their end is published too"
            );
        }
        rest.put(&format!("{list}/{bystander}"), json!({"description": "marker"})).assert_status(200);
        assert_eq!(client.message().json()["description"], "marker");
        client.assert_nothing_else();
    }
}

#[test]
fn thngs_deleted_together_leave_collections_with_notifications() {
    let server = server();
    let mut rest = server.rest();
    let thngs = create(&mut rest, "/thngs", 4, "red");
    let collections = create(&mut rest, "/collections", 2, "c");
    for collection in &collections {
        rest.put(&format!("/collections/{collection}/thngs"), json!(thngs)).assert_status(200);
    }
    let mut client = Client::connect(&server);
    for collection in &collections {
        client.subscribed(&format!("/collections/{collection}/thngs"), QoS::AtLeastOnce);
    }
    assert_changed(&rest.delete(&format!("/thngs?ids={}", thngs[..3].join(","))), 200, 3);
    for collection in &collections {
        let left = rest.get(&format!("/collections/{collection}/thngs")).expect(200);
        assert_eq!(left.as_array().map(Vec::len), Some(1));
        assert_eq!(left[0]["id"], *thngs[3]);
    }
    let mut notified = BTreeSet::new();
    while notified.len() < 6 {
        let message = client.message();
        let change = message.json();
        assert_eq!(change["operation"], "thngsRemoved");
        for id in change["resources"].as_array().expect("ids") {
            let id = id.as_str().expect("an id").to_owned();
            assert!(notified.insert((message.topic.clone(), id)), "no thng leaves twice: {change}");
        }
    }
    let gone: BTreeSet<_> = notified.into_iter().map(|(_, id)| id).collect();
    assert_eq!(gone, thngs[..3].iter().cloned().collect());
    client.assert_nothing_else();
}

#[test]
fn page_and_member_limits_can_be_lowered() {
    let server = Launch::new().flag("--page-size-max", "4").flag("--members-max", "2").start();
    let mut rest = server.rest();
    let thngs = create(&mut rest, "/thngs", 6, "t");
    assert_eq!(rest.get("/thngs").expect(200).as_array().map(Vec::len), Some(4), "nothing asked for");
    let refused = rest.get("/thngs?perPage=5");
    assert_eq!(
        (refused.status, refused.json()["errors"][0].as_str()),
        (400, Some("perPage is a number from 1 to 4."))
    );
    assert_eq!(rest.parts("/thngs?perPage=4").concat().len(), 6);
    let collections = create(&mut rest, "/collections", 4, "c");
    for (path, members) in [("thngs", &thngs[..3]), ("collections", &collections[1..])] {
        let path = format!("/collections/{}/{path}", collections[0]);
        let refused = rest.put(&path, json!(members));
        let sentence = "One call adds at most 2 members to a collection.";
        assert_eq!((refused.status, refused.json()["errors"][0].as_str()), (400, Some(sentence)), "{path}");
        assert_eq!(rest.get(&path).expect(200), json!([]));
        rest.put(&path, json!(members[1..])).assert_status(200);
        assert_eq!(rest.get(&path).expect(200).as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn the_largest_limit_of_a_bulk_change_can_be_set() {
    let server = Launch::new().flag("--bulk-size-max", "10000").start();
    let mut rest = server.rest();
    create(&mut rest, "/thngs", 3, "t");
    assert_changed(&rest.put("/thngs?filter=tags=t", json!({"description": "d"})), 204, 3);
}
