//! Collections: their own documents, their members, collections inside collections, and their notifications.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::wait::now_ms;
use thng_pubsub_tests::{Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// A new collection, by its id.
#[track_caller]
fn collection(rest: &mut Rest) -> String {
    rest.id_of("/collections", json!({"name": "a collection of the tests"}))
}

/// The ids in a list, in its order.
#[track_caller]
fn ids(rest: &mut Rest, list: &str) -> Vec<String> {
    let listed = rest.parts(list).into_iter().flatten();
    listed.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

/// The `collections` of a thng or a collection; none where the field is left out.
#[track_caller]
fn collections_of(rest: &mut Rest, path: &str) -> BTreeSet<String> {
    let document = rest.get(path).expect(200);
    let collections = document.get("collections").map_or(&[] as &[Value], |ids| ids.as_array().expect("ids"));
    collections.iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
}

fn set<'a>(ids: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    ids.into_iter().cloned().collect()
}

fn subscriber(server: &Server, topic: &str) -> Client {
    let mut client = Client::connect(server);
    client.subscribed(topic, QoS::AtLeastOnce);
    client
}

/// The next message about a membership: its operation and the thngs that it names.
#[track_caller]
fn change(client: &mut Client) -> (String, BTreeSet<String>) {
    let notified = client.message().json();
    let fields: Vec<_> = notified.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["operation", "resources", "timestamp"], "{notified}");
    let at = notified["timestamp"].as_u64().expect("whole milliseconds");
    assert!(at <= now_ms() && at + 60_000 > now_ms(), "{notified}");
    let resources = notified["resources"].as_array().expect("ids");
    let named: BTreeSet<_> = resources.iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
    assert_eq!(named.len(), resources.len(), "no resource is named twice: {notified}");
    (notified["operation"].as_str().expect("an operation").to_owned(), named)
}

#[test]
fn a_collection_is_created_read_updated_and_deleted() {
    let mut rest = Server::shared().rest();
    let sent = json!({
        "name": "Hall", "description": "im Erdgeschoss", "type": "room", "tags": ["a", "b"],
        "customFields": {"n": [1, null]}, "identifiers": {"gs1:254": "1"},
    });
    let answer = rest.post("/collections", sent.clone());
    let created = answer.expect(201);
    let path = format!("/collections/{}", created["id"].as_str().expect("an id"));
    let location = answer.header("location").expect("201 comes with a Location");
    assert!(location.ends_with(&path), "{location}");
    for (field, value) in sent.as_object().expect("an object") {
        assert_eq!(created[field], *value, "{field}");
    }
    assert_eq!(created["updatedAt"], created["createdAt"]);
    assert_eq!(rest.get(&path).expect(200), created);

    let mut sent_back = created.clone();
    for (field, value) in [
        ("id", json!(UNKNOWN)),
        ("createdAt", json!(1)),
        ("updatedAt", json!(2)),
        ("collections", json!([UNKNOWN])),
        ("ofTheFuture", json!(3)),
    ] {
        sent_back[field] = value;
    }
    sent_back["name"] = json!("Stairs");
    sent_back["customFields"] = json!({"m": 1});
    let updated = rest.put(&path, sent_back).expect(200);
    assert!(updated["updatedAt"].as_u64() > created["createdAt"].as_u64(), "{updated}");
    let mut expected = created.clone();
    expected["name"] = json!("Stairs");
    expected["customFields"] = json!({"m": 1});
    expected["updatedAt"] = updated["updatedAt"].clone();
    assert_eq!(updated, expected, "what a client cannot set is passed over");
    assert_eq!(rest.get(&path).expect(200), expected);

    let answer = rest.delete(&path);
    answer.assert_status(200);
    assert_eq!(answer.text(), "");
    for path in [path, format!("/collections/{UNKNOWN}")] {
        rest.get(&path).assert_status(404);
        rest.put(&path, json!({"name": "back"})).assert_status(404);
        rest.delete(&path).assert_status(404);
        for members in ["thngs", "collections"] {
            rest.get(&format!("{path}/{members}")).assert_status(404);
            rest.put(&format!("{path}/{members}"), json!([])).assert_status(404);
            rest.delete(&format!("{path}/{members}")).assert_status(404);
        }
    }
}

#[test]
fn a_collection_needs_a_name_and_fields_of_the_right_type() {
    let mut rest = Server::shared().rest();
    let path = format!("/collections/{}", collection(&mut rest));
    let before = rest.get(&path).expect(200);
    for (wrong, field) in [
        (json!({"description": "nameless"}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "n", "tags": "one"}), "tags"),
        (json!({"name": "n", "customFields": 1}), "customFields"),
        (json!({"name": "n", "identifiers": {"a": [1]}}), "identifiers"),
    ] {
        let refusal = rest.post("/collections", wrong.clone()).expect(400);
        assert!(
            refusal["errors"][0].as_str().is_some_and(|error| error.contains(field)),
            "{wrong}: {refusal}"
        );
        if wrong.get("description").is_none() {
            rest.put(&path, wrong).assert_status(400);
        }
    }
    assert_eq!(rest.get(&path).expect(200), before);
}

#[test]
fn joining_thngs_are_answered_with_the_collections_document() {
    let mut rest = Server::shared().rest();
    let created = rest.create("/collections", json!({"name": "n", "tags": ["t"]}));
    let id = created["id"].as_str().expect("an id").to_owned();
    let members = format!("/collections/{id}/thngs");
    let (a, b) = (rest.thng(), rest.thng());
    let made = rest.get(&format!("/thngs/{a}")).expect(200);

    // A union: it does not matter what is in it already, nor what is said twice.
    for put in [json!([a]), json!([a, b, a]), json!([]), json!([b])] {
        assert_eq!(rest.put(&members, put).expect(200), created, "also its updatedAt");
    }
    assert_eq!(rest.get(&format!("/collections/{id}")).expect(200), created);
    assert_eq!(ids(&mut rest, &members), [b.clone(), a.clone()], "newest first");

    let joined = rest.get(&format!("/thngs/{a}")).expect(200);
    assert_eq!(joined["collections"], json!([id]));
    assert!(joined["updatedAt"].as_u64() > made["createdAt"].as_u64(), "joining changes the thng: {joined}");
    assert_eq!(rest.get(&members).expect(200)[1], joined, "an entry is the whole document");
    let in_lists = rest.get(&format!("/thngs?ids={a}")).expect(200);
    assert_eq!(in_lists[0]["collections"], json!([id]));
}

#[test]
fn a_thng_that_is_not_there_keeps_all_of_them_out() {
    let mut rest = Server::shared().rest();
    let id = collection(&mut rest);
    let members = format!("/collections/{id}/thngs");
    let (inside, outside, product) =
        (rest.thng(), rest.thng(), rest.id_of("/products", json!({"name": "no thng"})));
    rest.put(&members, json!([inside])).assert_status(200);
    let before = rest.get(&format!("/thngs/{outside}")).expect(200);
    for wrong in [
        json!([outside, UNKNOWN]),
        json!([UNKNOWN, outside]),
        json!([outside, product]),
        json!([outside, id]),
        json!([outside, "x"]),
        json!([outside, 5]),
        json!([outside, null]),
        json!({"ids": [outside]}),
        json!(outside),
        json!(null),
    ] {
        rest.put(&members, wrong).assert_status(400);
    }
    rest.put(&members, "").assert_status(400);
    assert_eq!(ids(&mut rest, &members), [inside]);
    assert_eq!(rest.get(&format!("/thngs/{outside}")).expect(200), before);
}

#[test]
fn ten_thousand_ids_are_accepted_and_one_more_is_refused() {
    let mut rest = Server::shared().rest();
    let members = format!("/collections/{}/thngs", collection(&mut rest));
    let (a, b) = (rest.thng(), rest.thng());
    let mut many: Vec<&str> = [&*a, &b].into_iter().cycle().take(10_000).collect();
    many.push(&a);
    let refusal = rest.put(&members, json!(many)).expect(400);
    let sentence = refusal["errors"][0].as_str().expect("a sentence");
    assert!(sentence.contains("10000") && sentence.contains("10001"), "{sentence}");
    assert_eq!(rest.get(&members).expect(200), json!([]));
    many.pop();
    rest.put(&members, json!(many)).assert_status(200);
    assert_eq!(ids(&mut rest, &members), [b, a]);
}

#[test]
fn the_thngs_of_a_collection_are_walked_filtered_and_counted() {
    let mut rest = Server::shared().rest();
    let id = collection(&mut rest);
    let members = format!("/collections/{id}/thngs");
    assert_eq!(rest.get(&members).expect(200), json!([]));
    let thngs: Vec<_> = (0..5)
        .map(|n| rest.id_of("/thngs", json!({"name": "n", "tags": [if n < 3 { "low" } else { "high" }]})))
        .collect();
    let _elsewhere = rest.id_of("/thngs", json!({"name": "n", "tags": ["low"]}));
    // The order of the list is that of creation, not of joining.
    rest.put(&members, json!([thngs[4], thngs[0]])).assert_status(200);
    rest.put(&members, json!([thngs[2], thngs[1], thngs[3]])).assert_status(200);

    let newest_first: Vec<_> = thngs.iter().rev().cloned().collect();
    assert_eq!(ids(&mut rest, &format!("{members}?perPage=1")), newest_first);
    assert_eq!(ids(&mut rest, &format!("{members}?perPage=2&sortOrder=ASCENDING")), thngs);
    let sizes: Vec<_> = rest.parts(&format!("{members}?perPage=2")).iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(ids(&mut rest, &format!("{members}?filter=tags%3Dlow&perPage=2")), newest_first[2..]);
    let query = format!("{members}?ids={},{UNKNOWN},{}", thngs[0], thngs[1]);
    assert_eq!(ids(&mut rest, &query), newest_first[3..]);
    let counted = rest.get(&format!("{members}?page=2&perPage=2"));
    assert_eq!(counted.header("x-result-count"), Some("5"));
    assert_eq!(counted.expect(200).as_array().map(Vec::len), Some(2));
    assert_eq!(ids(&mut rest, &format!("/thngs?filter=collections%3D{id}")), newest_first);
}

#[test]
fn thngs_leave_one_by_one_or_all_at_once_and_are_still_there() {
    let mut rest = Server::shared().rest();
    let (id, other) = (collection(&mut rest), collection(&mut rest));
    let members = format!("/collections/{id}/thngs");
    let thngs = [rest.thng(), rest.thng(), rest.thng()];
    rest.put(&members, json!(thngs)).assert_status(200);
    rest.put(&format!("/collections/{other}/thngs"), json!(thngs)).assert_status(200);
    let before = rest.get(&format!("/collections/{id}")).expect(200);

    let answer = rest.delete(&format!("{members}/{}", thngs[1]));
    answer.assert_status(200);
    assert_eq!(answer.text(), "");
    assert_eq!(ids(&mut rest, &members), [thngs[2].clone(), thngs[0].clone()]);
    assert_eq!(collections_of(&mut rest, &format!("/thngs/{}", thngs[1])), set([&other]));
    assert_eq!(collections_of(&mut rest, &format!("/thngs/{}", thngs[0])), set([&id, &other]));
    rest.delete(&format!("{members}/{UNKNOWN}")).assert_status(404);

    // With or without members: the answer is the same.
    for _ in 0..2 {
        let answer = rest.delete(&members);
        answer.assert_status(200);
        assert_eq!(answer.text(), "");
        assert_eq!(rest.get(&members).expect(200), json!([]));
    }
    for thng in &thngs {
        assert_eq!(collections_of(&mut rest, &format!("/thngs/{thng}")), set([&other]));
    }
    assert_eq!(
        rest.get(&format!("/collections/{id}")).expect(200),
        before,
        "its own document stays as it was"
    );
}

#[test]
fn leaving_changes_the_thng_as_joining_does() {
    let mut rest = Server::shared().rest();
    let members = format!("/collections/{}/thngs", collection(&mut rest));
    let thng = rest.thng();
    let path = format!("/thngs/{thng}");
    for leave in [format!("{members}/{thng}"), members.clone()] {
        rest.put(&members, json!([thng])).assert_status(200);
        let joined = rest.get(&path).expect(200)["updatedAt"].as_u64().expect("a time");
        // The time of a later moment differs.
        thng_pubsub_tests::wait::until("the clock goes on", || (now_ms() > joined).then_some(()));
        rest.delete(&leave).assert_status(200);
        let left = rest.get(&path).expect(200)["updatedAt"].as_u64().expect("a time");
        assert!(left > joined, "DELETE {leave}: {left} > {joined}");
    }
}

#[test]
fn collections_join_collections_by_post_and_put_and_leave_them() {
    let mut rest = Server::shared().rest();
    let parent = collection(&mut rest);
    let members = format!("/collections/{parent}/collections");
    let children: Vec<_> = (0..3).map(|_| collection(&mut rest)).collect();
    let before = rest.get(&format!("/collections/{parent}")).expect(200);

    for answer in [
        rest.post(&members, json!([children[0], children[1]])),
        rest.put(&members, json!([children[2], children[0]])),
        rest.post(&members, json!([])),
    ] {
        answer.assert_status(200);
        assert_eq!(answer.text(), "", "200 and nothing");
    }
    let newest_first: Vec<_> = children.iter().rev().cloned().collect();
    assert_eq!(ids(&mut rest, &members), newest_first);
    assert_eq!(ids(&mut rest, &format!("{members}?perPage=1")), newest_first);
    assert_eq!(collections_of(&mut rest, &format!("/collections/{}", children[0])), set([&parent]));
    assert_eq!(rest.get(&format!("/collections/{parent}")).expect(200), before);
    assert_eq!(ids(&mut rest, &format!("/collections?filter=collections%3D{parent}")), newest_first);
    assert_eq!(rest.get(&format!("/collections/{parent}/thngs")).expect(200), json!([]), "they are no thngs");

    let answer = rest.delete(&format!("{members}/{}", children[1]));
    answer.assert_status(200);
    assert_eq!(answer.text(), "");
    assert_eq!(ids(&mut rest, &members), [children[2].clone(), children[0].clone()]);
    rest.delete(&format!("{members}/{UNKNOWN}")).assert_status(404);
    let answer = rest.delete(&members);
    answer.assert_status(200);
    assert_eq!(answer.text(), "");
    assert_eq!(rest.get(&members).expect(200), json!([]));
    for child in &children {
        assert_eq!(collections_of(&mut rest, &format!("/collections/{child}")), set([]));
    }

    let thng = rest.thng();
    for wrong in
        [json!([children[0], UNKNOWN]), json!([children[0], thng]), json!(["x"]), json!({}), json!(1)]
    {
        rest.post(&members, wrong).assert_status(400);
    }
    assert_eq!(rest.get(&members).expect(200), json!([]), "one that is wrong keeps all of them out");
}

#[test]
fn no_collection_comes_to_be_inside_itself() {
    let mut rest = Server::shared().rest();
    let chain: Vec<_> = (0..5).map(|_| collection(&mut rest)).collect();
    let free = collection(&mut rest);
    let members = |at: usize| format!("/collections/{}/collections", chain[at]);
    for at in 0..4 {
        rest.post(&members(at), json!([chain[at + 1]])).assert_status(200);
    }
    for (inner, outer) in [(0, 0), (4, 4), (1, 0), (4, 0), (4, 2), (3, 1)] {
        for method in [Rest::post::<Value>, Rest::put::<Value>] {
            for body in [json!([chain[outer]]), json!([free, chain[outer]])] {
                let before = ids(&mut rest, &members(inner));
                let refusal = method(&mut rest, &members(inner), body).expect(400);
                assert!(
                    refusal["errors"][0].as_str().is_some_and(|error| error.contains("itself")),
                    "{refusal}"
                );
                assert_eq!(ids(&mut rest, &members(inner)), before, "{outer} inside {inner}");
            }
        }
    }
    assert_eq!(collections_of(&mut rest, &format!("/collections/{free}")), set([]));

    // Two ways to the same collection are no circle, and what has left can be put the other way round.
    rest.post(&members(0), json!([chain[4], chain[2]])).assert_status(200);
    assert_eq!(collections_of(&mut rest, &format!("/collections/{}", chain[4])), set([&chain[0], &chain[3]]));
    rest.delete(&members(0)).assert_status(200);
    rest.post(&members(4), json!([chain[0]])).assert_status(200);
    rest.post(&members(0), json!([chain[1]])).assert_status(400);
}

#[test]
fn a_deleted_collection_leaves_its_members_free() {
    let mut rest = Server::shared().rest();
    let (parent, middle, child) = (collection(&mut rest), collection(&mut rest), collection(&mut rest));
    let (thng, remaining) = (rest.thng(), collection(&mut rest));
    rest.post(&format!("/collections/{parent}/collections"), json!([middle])).assert_status(200);
    rest.post(&format!("/collections/{middle}/collections"), json!([child])).assert_status(200);
    for id in [&middle, &remaining] {
        rest.put(&format!("/collections/{id}/thngs"), json!([thng])).assert_status(200);
    }
    rest.delete(&format!("/collections/{middle}")).assert_status(200);

    assert_eq!(collections_of(&mut rest, &format!("/thngs/{thng}")), set([&remaining]));
    assert_eq!(collections_of(&mut rest, &format!("/collections/{child}")), set([]));
    assert_eq!(ids(&mut rest, &format!("/collections/{parent}/collections")), [] as [String; 0]);
    assert_eq!(ids(&mut rest, &format!("/thngs?filter=collections%3D{middle}")), [] as [String; 0]);
    // The way between the two is gone with it.
    rest.post(&format!("/collections/{child}/collections"), json!([parent])).assert_status(200);
}

#[test]
fn joining_and_leaving_thngs_are_notified() {
    let server = Server::shared();
    let mut rest = server.rest();
    let id = collection(&mut rest);
    let members = format!("/collections/{id}/thngs");
    let thngs: Vec<_> = (0..4).map(|_| rest.thng()).collect();
    let mut client = subscriber(server, &members);
    let mut of_document = subscriber(server, &format!("/collections/{id}"));
    let added = |thngs: &[String]| ("thngsAdded".to_owned(), set(thngs));

    rest.put(&members, json!([thngs[0], thngs[1], thngs[0]])).assert_status(200);
    assert_eq!(change(&mut client), added(&thngs[..2]));
    // No thng joins or leaves by these: there is no notification.
    rest.put(&members, json!([thngs[1]])).assert_status(200);
    rest.put(&members, json!([])).assert_status(200);
    rest.put(&members, json!([thngs[2], UNKNOWN])).assert_status(400);
    let _ = rest.delete(&format!("{members}/{}", thngs[3]));
    client.publish_acknowledged(&members, &json!([thngs[1], thngs[2]]).to_string());
    assert_eq!(change(&mut client), added(&thngs[2..3]), "of those named only the new one joined");

    rest.delete(&format!("{members}/{}", thngs[1])).assert_status(200);
    assert_eq!(change(&mut client), ("thngsRemoved".to_owned(), set([&thngs[1]])));
    rest.delete(&members).assert_status(200);
    assert_eq!(change(&mut client), ("thngsCleared".to_owned(), set([&thngs[0], &thngs[2]])));

    // A thng that is created in a collection joins it, and one that is deleted leaves it.
    let born = rest.create("/thngs", json!({"name": "n", "collections": [id]}));
    let born_id = born["id"].as_str().expect("an id").to_owned();
    assert_eq!(born["collections"], json!([id]));
    assert_eq!(change(&mut client), added(std::slice::from_ref(&born_id)));
    rest.delete(&format!("/thngs/{born_id}")).assert_status(200);
    assert_eq!(change(&mut client), ("thngsRemoved".to_owned(), set([&born_id])));
    client.assert_nothing_else();

    let updated = rest.put(&format!("/collections/{id}"), json!({"description": "marker"})).expect(200);
    assert_eq!(of_document.message().json(), updated, "memberships are not told on its own topic");
    of_document.assert_nothing_else();
}

#[test]
fn updates_and_deletion_of_a_collection_are_notified() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (parent, id) = (collection(&mut rest), collection(&mut rest));
    rest.post(&format!("/collections/{parent}/collections"), json!([id])).assert_status(200);
    let path = format!("/collections/{id}");
    let mut client = subscriber(server, &path);

    let updated = rest.put(&path, json!({"tags": ["x"]})).expect(200);
    assert_eq!(client.message().json(), updated);
    assert_eq!(updated["collections"], json!([parent]));
    client.publish_acknowledged(&path, r#"{"name":"by MQTT"}"#);
    assert_eq!(client.message().json()["name"], "by MQTT");

    let last = rest.get(&path).expect(200);
    rest.delete(&path).assert_status(200);
    assert_eq!(client.message().json(), last, "the document that it had");
    client.assert_nothing_else();
}
