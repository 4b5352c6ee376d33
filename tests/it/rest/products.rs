//! Products: create, list, read, update, delete, their properties, and their notifications.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::wait::now_ms;
use thng_pubsub_tests::{Response, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

fn path_of(product: &Value) -> String {
    format!("/products/{}", product["id"].as_str().expect("a product has an id"))
}

/// A new product, by its path.
#[track_caller]
fn product(rest: &mut Rest) -> String {
    path_of(&rest.create("/products", json!({"name": "a product of the tests"})))
}

/// The `value`s of an array of entries.
#[track_caller]
fn values(answer: &Response) -> Vec<Value> {
    let entries = answer.expect(200);
    entries.as_array().expect("an array").iter().map(|entry| entry["value"].clone()).collect()
}

fn subscriber(server: &Server, topics: &[&str]) -> Client {
    let mut client = Client::connect(server);
    for topic in topics {
        client.subscribed(topic, QoS::AtLeastOnce);
    }
    client
}

/// The next so many messages, by the topics that they came on.
#[track_caller]
fn received(client: &mut Client, count: usize) -> BTreeMap<String, Vec<Value>> {
    let mut received: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for _ in 0..count {
        let message = client.message();
        received.entry(message.topic.clone()).or_default().push(message.json());
    }
    received
}

#[test]
fn a_created_product_comes_back_whole_with_its_name_again_as_fn() {
    let mut rest = Server::shared().rest();
    let sent = json!({
        "name": "Lamp",
        "description": "für den Flur",
        "type": "lighting",
        "brand": "Lumen & Co",
        "categories": ["indoor", "LED"],
        "photos": ["https://example.com/a.png"],
        "url": "https://example.com/lamp",
        "tags": ["hall", "light"],
        "customFields": {"Watts": 7, "nested": {"list": [1, 2.5, null, true]}},
        "identifiers": {"gs1:01": "09780345418913", "Model": "X"},
    });
    let before = now_ms();
    let answer = rest.post("/products", sent.clone());
    let mut created = answer.expect(201);
    let after = now_ms();

    let path = path_of(&created);
    let location = answer.header("location").expect("201 comes with a Location");
    assert!(location.ends_with(&path), "{location}");
    for (field, value) in sent.as_object().expect("an object") {
        assert_eq!(created[field], *value, "{field}");
    }
    assert_eq!(created["fn"], "Lamp");
    let made = created["createdAt"].as_u64().expect("createdAt is whole milliseconds");
    assert!((before..=after).contains(&made), "{before} <= {made} <= {after}");
    assert_eq!(created["updatedAt"], created["createdAt"]);
    assert_eq!(created.get("location"), None, "a product is nowhere");

    let mut read = rest.get(&path).expect(200);
    assert_eq!(read.as_object_mut().expect("an object").remove("properties"), Some(json!({})));
    created.as_object_mut().expect("an object").remove("properties");
    assert_eq!(read, created, "it reads as it was created");
    assert!(read.as_object().expect("an object").values().all(|value| !value.is_null()), "{read}");
}

#[test]
fn an_update_changes_only_named_fields_and_fn_follows_name() {
    let mut rest = Server::shared().rest();
    let sent = json!({
        "name": "old", "description": "stays", "type": "t", "tags": ["a"],
        "customFields": {"a": 1, "b": 2}, "identifiers": {"x": "1", "y": "2"},
    });
    let product = rest.create("/products", sent);
    let path = path_of(&product);
    let patch = json!({"name": "new", "type": "", "customFields": {"c": 3}, "identifiers": {"z": "3"}});
    let updated = rest.put(&path, patch).expect(200);
    for (field, expected) in [
        ("name", json!("new")),
        ("fn", json!("new")),
        ("description", json!("stays")),
        ("tags", json!(["a"])),
        ("customFields", json!({"c": 3})),
        ("identifiers", json!({"z": "3"})),
        ("createdAt", product["createdAt"].clone()),
    ] {
        assert_eq!(updated[field], expected, "{field}");
    }
    assert_eq!(updated.get("type"), None, "an empty string takes it away");
    assert!(updated["updatedAt"].as_u64() > product["createdAt"].as_u64(), "{updated}");

    let mut read = rest.get(&path).expect(200);
    read.as_object_mut().expect("an object").remove("properties");
    assert_eq!(read, updated);
    rest.put(&path, json!({"tags": []})).assert_status(200);
    assert_eq!(rest.get(&path).expect(200)["fn"], "new", "also when another field is changed");
}

#[test]
fn read_only_fields_are_ignored_in_creation_and_update() {
    let mut rest = Server::shared().rest();
    let read_only = [
        ("id", json!(UNKNOWN)),
        ("fn", json!("another")),
        ("createdAt", json!(1)),
        ("updatedAt", json!(2)),
        ("activatedAt", json!(3)),
        ("someFieldOfTheFuture", json!({"x": 1})),
    ];
    let mut sent = json!({"name": "n", "properties": {"k": 1}});
    for (field, value) in &read_only {
        sent[*field] = value.clone();
    }
    let created = rest.create("/products", sent);
    let path = path_of(&created);

    let mut sent_back = rest.get(&path).expect(200);
    for (field, value) in &read_only {
        sent_back[*field] = value.clone();
    }
    sent_back["properties"] = json!({"k": 99, "invented": 1});
    sent_back["description"] = json!("sent back");
    let updated = rest.put(&path, sent_back).expect(200);

    let read = rest.get(&path).expect(200);
    assert_eq!(read["description"], "sent back");
    assert_eq!(read["properties"], json!({"k": 1}), "values change at their own address");
    for shown in [&created, &updated, &read] {
        assert_eq!(shown["fn"], "n");
        for (field, value) in &read_only {
            assert_ne!(shown.get(*field), Some(value), "{field} in {shown}");
        }
    }
}

#[test]
fn a_deleted_product_is_gone_with_everything_below_it() {
    let mut rest = Server::shared().rest();
    let path = path_of(&rest.create("/products", json!({"name": "n", "properties": {"k": 1}})));
    let answer = rest.delete(&path);
    answer.assert_status(200);
    assert_eq!(answer.text(), "", "strict clients want 200 and nothing");

    for path in [path, format!("/products/{UNKNOWN}"), "/products/x".to_owned()] {
        rest.get(&path).assert_status(404);
        rest.put(&path, json!({"name": "back"})).assert_status(404);
        rest.delete(&path).assert_status(404);
        rest.get(&format!("{path}/properties")).assert_status(404);
        rest.put(&format!("{path}/properties"), json!([{"key": "k", "value": 1}])).assert_status(404);
        rest.delete(&format!("{path}/properties")).assert_status(404);
        rest.get(&format!("{path}/properties/k")).assert_status(404);
        rest.put(&format!("{path}/properties/k"), json!([{"value": 1}])).assert_status(404);
        rest.delete(&format!("{path}/properties/k")).assert_status(404);
        rest.get(&format!("{path}/actions/all")).assert_status(404);
        rest.post(&format!("{path}/actions/scans"), json!({"type": "scans"})).assert_status(404);
    }
}

#[test]
fn a_thng_of_a_deleted_product_can_still_be_sent_back_whole() {
    let mut rest = Server::shared().rest();
    let product = product(&mut rest);
    let sent = json!({"name": "n", "product": product.trim_start_matches("/products/")});
    let thng = format!("/thngs/{}", rest.id_of("/thngs", sent));
    rest.delete(&product).assert_status(200);
    // What a client has read it sends back, changed in another field.
    let mut document = rest.get(&thng).expect(200);
    document["description"] = json!("changed");
    assert_eq!(rest.put(&thng, document).expect(200)["description"], "changed");
}

#[test]
fn a_missing_or_wrong_field_is_refused_by_name() {
    let mut rest = Server::shared().rest();
    let refusal = rest.post("/products", json!({"foo": "bar"})).expect(400);
    assert!(refusal["errors"][0].as_str().is_some_and(|error| error.contains("name")), "{refusal}");

    let path = product(&mut rest);
    let before = rest.get(&path).expect(200);
    for (field, value) in [
        ("name", json!(5)),
        ("name", json!("")),
        ("name", json!("x".repeat(257))),
        ("description", json!(["x"])),
        ("brand", json!(1)),
        ("categories", json!("one")),
        ("photos", json!([1])),
        ("url", json!({})),
        ("tags", json!([1])),
        ("tags", Value::from(vec!["t"; 61])),
        ("customFields", json!([])),
        ("identifiers", json!({"gs1": [5]})),
    ] {
        let mut document = json!({"name": "a name", "description": "changed"});
        document[field] = value;
        for answer in [rest.post("/products", document.clone()), rest.put(&path, document.clone())] {
            let refusal = answer.expect(400);
            let errors = refusal["errors"].as_array().expect("errors");
            let named = errors.iter().any(|error| error.as_str().is_some_and(|error| error.contains(field)));
            assert!(named, "{field} in {document}: {refusal}");
        }
    }
    rest.put(&path, json!({"name": null})).assert_status(400);
    assert_eq!(rest.get(&path).expect(200), before);
}

#[test]
fn products_are_listed_with_the_newest_first_as_whole_documents() {
    let server = Server::start();
    let mut rest = server.rest();
    let made: Vec<_> = (0..5).map(|n| rest.create("/products", json!({"name": n.to_string()}))).collect();
    rest.put(&path_of(&made[0]), json!({"description": "touched"})).assert_status(200);
    let parts = rest.parts("/products?perPage=2");
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    let listed: Vec<_> = parts.into_iter().flatten().collect();
    let read: Vec<_> = made.iter().rev().map(|product| rest.get(&path_of(product)).expect(200)).collect();
    assert_eq!(listed, read, "in the order of creation, not of change");
}

#[test]
fn values_of_every_type_round_trip() {
    let mut rest = Server::shared().rest();
    let path = product(&mut rest);
    for (n, text) in [
        "37.20",
        "-0.0",
        "18446744073709551616",
        "true",
        "false",
        r#""null""#,
        r#""é 💡 \n""#,
        "[]",
        r#"[1,"a",null,[true]]"#,
        "{}",
        r#"{"z":1,"a":{"b":[1.0]},"A":null,"errors":[]}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("{path}/properties/v{n}");
        let sent = format!(r#"[{{"value":{text}}}]"#);
        for answer in [rest.put(&key, &*sent), rest.get(&key), rest.get(&format!("{path}/properties"))] {
            answer.assert_status(200);
            let entries: Vec<BTreeMap<String, Box<RawValue>>> =
                serde_json::from_slice(&answer.body).expect("an array of objects");
            assert!(entries.iter().any(|entry| entry["value"].get() == text), "{text}: {}", answer.text());
        }
        let shown = rest.get(&path);
        assert!(shown.text().contains(&format!(r#""v{n}":{text}"#)), "{text} in {}", shown.text());
    }
}

#[test]
fn put_and_post_answer_the_stored_value_with_both_times() {
    let mut rest = Server::shared().rest();
    for method in [Rest::put::<Value>, Rest::post::<Value>] {
        let path = format!("{}/properties", product(&mut rest));
        let before = now_ms();
        let sent = json!([{"key": "B", "value": 1}, {"key": "a", "value": "x", "timestamp": 1_000}]);
        let several = method(&mut rest, &path, sent).expect(200);
        let one = method(&mut rest, &format!("{path}/c"), json!([{"value": 2}])).expect(200);
        let after = now_ms();

        let entries: Vec<_> =
            [several, one].iter().flat_map(|stored| stored.as_array().expect("an array").clone()).collect();
        let said: Vec<_> =
            entries.iter().map(|entry| (entry["key"].clone(), entry["value"].clone())).collect();
        assert_eq!(
            said,
            [(json!("b"), json!(1)), (json!("a"), json!("x")), (json!("c"), json!(2))],
            "in the order of the request, keys in lower case"
        );
        for entry in &entries {
            let arrived = entry["createdAt"].as_u64().expect("whole milliseconds");
            assert!((before..=after).contains(&arrived), "{entry}");
            let at = if entry["key"] == "a" { 1_000 } else { arrived };
            assert_eq!(entry["timestamp"], at);
            assert_eq!(entry.as_object().map(serde_json::Map::len), Some(4), "{entry}");
        }
        assert_eq!(rest.get(&path).expect(200).as_array().map(Vec::len), Some(3));
    }
}

#[test]
fn a_history_is_ordered_paged_and_deletable_up_to_a_time() {
    let mut rest = Server::shared().rest();
    let path = product(&mut rest);
    let key = format!("{path}/properties/k");
    let sent: Vec<_> = [3, 1, 5, 2, 4].iter().map(|n| json!({"value": n, "timestamp": n * 1_000})).collect();
    rest.put(&key, Value::from(sent)).assert_status(200);
    rest.put(&format!("{path}/properties/other"), json!([{"value": "stays"}])).assert_status(200);

    for (query, expected) in [
        ("", &[5, 4, 3, 2, 1][..]),
        ("?sortOrder=ASCENDING", &[1, 2, 3, 4, 5]),
        ("?from=2000&to=4000", &[4, 3, 2]),
        ("?from=2001&to=2999", &[]),
        ("?filter=timestamp%3E3000", &[5, 4]),
    ] {
        assert_eq!(values(&rest.get(&format!("{key}{query}"))), expected, "{query}");
    }
    let parts = rest.parts(&format!("{key}?perPage=2&to=4000"));
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    let walked: Vec<_> = parts.into_iter().flatten().collect();
    assert_eq!(walked.iter().map(|entry| entry["value"].clone()).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert!(walked.iter().all(|entry| entry.get("key").is_none()), "a history does not repeat the key");

    for (query, rest_of_it) in [("?to=3000", &[5, 4, 3][..]), ("?to=3001", &[5, 4]), ("", &[])] {
        let answer = rest.delete(&format!("{key}{query}"));
        answer.assert_status(200);
        assert_eq!(answer.text(), "");
        assert_eq!(values(&rest.get(&key)), rest_of_it, "DELETE {query}: what is of that time is kept");
    }
    assert_eq!(rest.get(&path).expect(200)["properties"], json!({"other": "stays"}));
    rest.delete(&format!("{key}?to=yesterday")).assert_status(400);
    rest.delete(&format!("{path}/properties")).assert_status(200);
    assert_eq!(rest.get(&format!("{path}/properties")).expect(200), json!([]));
    assert_eq!(rest.get(&path).expect(200)["properties"], json!({}));
}

#[test]
fn initial_values_of_a_product_have_its_creation_time() {
    let mut rest = Server::shared().rest();
    let product = rest.create("/products", json!({"name": "n", "properties": {"Temp": 3.5, "on": false}}));
    let path = path_of(&product);
    assert_eq!(rest.get(&path).expect(200)["properties"], json!({"temp": 3.5, "on": false}));
    let history = rest.get(&format!("{path}/properties/temp")).expect(200);
    assert_eq!(history[0]["timestamp"], product["createdAt"]);
}

#[test]
fn a_property_update_notifies_properties_and_each_key() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = product(&mut rest);
    let all = format!("{path}/properties");
    let (a, b) = (format!("{all}/a"), format!("{all}/b"));
    let mut client = subscriber(server, &[&all, &a, &b, &path]);

    let sent = json!([
        {"key": "a", "value": 1, "timestamp": 1_000},
        {"key": "b", "value": {"x": [true]}},
        {"key": "A", "value": 2},
    ]);
    let both = rest.put(&all, sent).expect(200);
    let lone = rest.post(&b, json!([{"value": "only b"}])).expect(200);
    let expected = BTreeMap::from([
        (all, vec![both.clone(), lone.clone()]),
        (a, vec![json!([both[0], both[2]])]),
        (b, vec![json!([both[1]]), lone]),
    ]);
    assert_eq!(received(&mut client, 5), expected);

    // The update of the product itself comes after all of that.
    rest.put(&path, json!({"description": "marker"})).assert_status(200);
    let message = client.message();
    assert_eq!((message.topic, &message.payload.contains("marker")), (path, &true), "no value came there");
    client.assert_nothing_else();
}

#[test]
fn a_product_update_is_notified_whichever_client_made_it() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = path_of(&rest.create("/products", json!({"name": "n", "properties": {"k": 1}})));
    let mut client = subscriber(server, &[&path]);
    let updated = rest.put(&path, json!({"tags": ["x"]})).expect(200);
    let notified = client.message().json();
    assert_eq!(notified, updated);
    assert_eq!(notified.get("properties"), None, "without values, which an update does not change");

    client.publish_acknowledged(&path, r#"{"name":"by MQTT"}"#);
    let notified = client.message().json();
    assert_eq!(
        (&notified["name"], &notified["fn"], &notified["tags"]),
        (&json!("by MQTT"), &json!("by MQTT"), &json!(["x"]))
    );
    assert_eq!(rest.get(&path).expect(200)["name"], "by MQTT");
    client.assert_nothing_else();
}
