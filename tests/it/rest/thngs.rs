//! Thngs over REST: create, list, read, update, delete.

use serde_json::{Value, json};
use thng_pubsub_tests::wait::now_ms;
use thng_pubsub_tests::{Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

#[track_caller]
fn create(rest: &mut Rest, document: Value) -> Value {
    rest.post("/thngs", document).expect(201)
}

fn path_of(thng: &Value) -> String {
    format!("/thngs/{}", thng["id"].as_str().expect("a thng has an id"))
}

#[test]
fn a_created_thng_comes_back_whole_with_its_address() {
    let mut rest = Server::shared().rest();
    let sent = json!({
        "name": "Lamp 7",
        "description": "in the hall – über der Tür",
        "tags": ["hall", "light"],
        "customFields": {"Watts": 7, "nested": {"list": [1, 2.5, null, true]}},
        "identifiers": {"gs1:21": "23984736", "Serial": "X"},
    });
    let before = now_ms();
    let answer = rest.post("/thngs", sent.clone());
    let created = answer.expect(201);
    let after = now_ms();

    let id = created["id"].as_str().expect("a thng has an id");
    assert!(is_id(id), "{id}");
    let location = answer.header("location").expect("201 comes with a Location");
    assert!(location.ends_with(&format!("/thngs/{id}")), "{location}");
    for (field, value) in sent.as_object().expect("an object") {
        assert_eq!(created[field], *value, "{field}");
    }
    let made = created["createdAt"].as_u64().expect("createdAt is whole milliseconds");
    assert!((before..=after).contains(&made), "{before} <= {made} <= {after}");
    assert_eq!(created["updatedAt"], created["createdAt"]);

    let mut read = rest.get(&path_of(&created)).expect(200);
    let mut created = created;
    assert_eq!(read.as_object_mut().expect("an object").remove("properties"), Some(json!({})));
    created.as_object_mut().expect("an object").remove("properties");
    assert_eq!(read, created, "it reads as it was created");
}

#[test]
fn two_thngs_never_share_an_id() {
    let mut rest = Server::shared().rest();
    let mut ids: Vec<_> = (0..50).map(|_| rest.thng()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
    assert!(ids.iter().all(|id| is_id(id)), "{ids:?}");
}

#[test]
fn fields_that_were_not_given_are_left_out_and_not_null() {
    let mut rest = Server::shared().rest();
    let created = create(&mut rest, json!({"name": "bare"}));
    let read = rest.get(&path_of(&created)).expect(200);
    for document in [&created, &read] {
        for (field, value) in document.as_object().expect("an object") {
            assert!(!value.is_null(), "{field} in {document}");
        }
        assert_eq!(document.get("description"), None);
        assert_eq!(document.get("scopes"), None, "shown only with ?withScopes=true");
    }
}

#[test]
fn first_property_values_can_come_with_the_thng() {
    let mut rest = Server::shared().rest();
    let thng = create(&mut rest, json!({"name": "n", "properties": {"Temp": 3.5, "on": false}}));
    let read = rest.get(&path_of(&thng)).expect(200);
    assert_eq!(read["properties"], json!({"temp": 3.5, "on": false}), "keys in lower case");

    let history = rest.get(&format!("{}/properties/temp", path_of(&thng))).expect(200);
    assert_eq!(history[0]["value"], 3.5);
    assert_eq!(history[0]["timestamp"], thng["createdAt"], "timestamped with the creation");
}

#[test]
fn a_thng_shows_the_latest_value_of_each_property() {
    let mut rest = Server::shared().rest();
    let thng = create(&mut rest, json!({"name": "n"}));
    let properties = format!("{}/properties", path_of(&thng));
    rest.put(&properties, json!([{"key": "a", "value": 1}, {"key": "b", "value": "x"}])).assert_status(200);
    rest.put(&format!("{properties}/a"), json!([{"value": [2]}])).assert_status(200);
    assert_eq!(rest.get(&path_of(&thng)).expect(200)["properties"], json!({"a": [2], "b": "x"}));
}

#[test]
fn a_list_is_a_bare_array_with_the_newest_first() {
    // A server of its own: others' thngs would push these off the first page.
    let server = Server::start();
    let mut rest = server.rest();
    assert_eq!(rest.get("/thngs").expect(200), json!([]));

    let created: Vec<_> = (0..10).map(|n| create(&mut rest, json!({"name": format!("thng {n}")}))).collect();
    let listed = rest.get("/thngs").expect(200);
    let names: Vec<_> =
        listed.as_array().expect("an array").iter().map(|thng| thng["name"].clone()).collect();
    let newest_first: Vec<_> = created.iter().rev().map(|thng| thng["name"].clone()).collect();
    assert_eq!(names, newest_first);
    assert_eq!(listed[0], rest.get(&path_of(&created[9])).expect(200), "an entry is the whole document");

    rest.put(&path_of(&created[0]), json!({"description": "touched"})).assert_status(200);
    rest.delete(&path_of(&created[5])).assert_status(200);
    let listed = rest.get("/thngs").expect(200);
    assert_eq!(listed.as_array().expect("an array").len(), 9);
    assert_eq!(listed[8]["name"], "thng 0", "the order is that of creation, not of change");
}

#[test]
fn an_update_changes_the_fields_that_it_names_and_the_time() {
    let mut rest = Server::shared().rest();
    let thng = create(
        &mut rest,
        json!({"name": "old", "description": "stays", "tags": ["a"], "customFields": {"a": 1, "b": 2}}),
    );
    let updated = rest.put(&path_of(&thng), json!({"name": "new", "customFields": {"c": 3}})).expect(200);
    assert_eq!(updated["name"], "new");
    assert_eq!(updated["description"], "stays");
    assert_eq!(updated["tags"], json!(["a"]));
    assert_eq!(updated["customFields"], json!({"c": 3}), "an inner object is replaced whole");
    assert_eq!(updated["createdAt"], thng["createdAt"]);
    assert!(
        updated["updatedAt"].as_u64() > thng["createdAt"].as_u64(),
        "even within the millisecond of its creation: {updated}"
    );
    assert_eq!(rest.get(&path_of(&thng)).expect(200)["name"], "new");
}

#[test]
fn a_document_that_was_read_can_be_sent_back() {
    let mut rest = Server::shared().rest();
    let thng = create(&mut rest, json!({"name": "n", "properties": {"k": 1}}));
    let read_only = [
        ("id", json!(UNKNOWN)),
        ("createdAt", json!(1)),
        ("updatedAt", json!(2)),
        ("activatedAt", json!(3)),
        ("properties", json!({"k": 99, "invented": 1})),
        ("location", json!({"latitude": 1, "longitude": 2})),
        ("collections", json!([UNKNOWN])),
        ("batch", json!(UNKNOWN)),
        ("createdByTask", json!(UNKNOWN)),
        ("someFieldOfTheFuture", json!({"x": 1})),
    ];
    let mut document = rest.get(&path_of(&thng)).expect(200);
    for (field, value) in &read_only {
        document[*field] = value.clone();
    }
    document["name"] = json!("sent back");

    let updated = rest.put(&path_of(&thng), document).expect(200);
    assert_eq!(updated["name"], "sent back");
    let read = rest.get(&path_of(&thng)).expect(200);
    for shown in [&updated, &read] {
        assert_eq!(shown["id"], thng["id"]);
        assert_eq!(shown["createdAt"], thng["createdAt"]);
        for (field, value) in &read_only {
            assert_ne!(shown.get(*field), Some(value), "{field} in {shown}");
        }
    }
    assert_eq!(read["properties"], json!({"k": 1}), "values change at their own address");
}

#[test]
fn a_deleted_thng_is_gone_with_its_properties() {
    let mut rest = Server::shared().rest();
    let thng = create(&mut rest, json!({"name": "n", "properties": {"k": 1}}));
    let path = path_of(&thng);

    let answer = rest.delete(&path);
    answer.assert_status(200);
    assert_eq!(answer.text(), "", "strict clients want 200 and nothing");

    for gone in [path.clone(), format!("{path}/properties"), format!("{path}/properties/k")] {
        rest.get(&gone).assert_status(404);
    }
    rest.put(&path, r#"{"name":"back"}"#).assert_status(404);
    rest.put(&format!("{path}/properties/k"), r#"[{"value":1}]"#).assert_status(404);
    rest.delete(&path).assert_status(404);
}

#[test]
fn a_thng_without_a_name_is_refused_as_clients_expect_it() {
    let mut rest = Server::shared().rest();
    let refusal = rest.post("/thngs", r#"{"foo":"bar"}"#).expect(400);
    assert_eq!(refusal["status"], 400);
    assert!(refusal["errors"][0].as_str().is_some_and(|error| error.contains("name")), "{refusal}");
    assert!(refusal["moreInfo"].is_string(), "{refusal}");
}

#[test]
fn a_field_of_the_wrong_type_is_refused_by_name() {
    let mut rest = Server::shared().rest();
    let thng = create(&mut rest, json!({"name": "stays"}));
    let before = rest.get(&path_of(&thng)).expect(200);
    for (field, value) in [
        ("name", json!(5)),
        ("name", json!("")),
        ("description", json!(["x"])),
        ("tags", json!("one")),
        ("tags", json!([1])),
        ("customFields", json!([])),
        ("customFields", json!("x")),
        ("identifiers", json!({"gs1": [5]})),
        ("identifiers", json!(["x"])),
    ] {
        let mut document = json!({"name": "a name", "description": "changed"});
        document[field] = value;
        for answer in [rest.post("/thngs", document.clone()), rest.put(&path_of(&thng), document.clone())] {
            let refusal = answer.expect(400);
            let named = refusal["errors"]
                .as_array()
                .expect("errors")
                .iter()
                .any(|error| error.as_str().is_some_and(|error| error.contains(field)));
            assert!(named, "{field} in {document}: {refusal}");
        }
    }
    assert_eq!(rest.get(&path_of(&thng)).expect(200), before);
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    let mut rest = Server::shared().rest();
    let path = path_of(&create(&mut rest, json!({"name": "n"})));
    for body in ["[]", "5", "null", "\"name\"", "true", ""] {
        rest.post("/thngs", body).assert_status(400);
        rest.put(&path, body).assert_status(400);
    }
}

#[test]
fn what_is_not_there_is_404_whatever_its_id_looks_like() {
    let mut rest = Server::shared().rest();
    for id in [UNKNOWN, "x", "0123456789abcdef01234567", "%00", "%F0%9F%92%A1", "a%2Fb", "UPPER-and-lower_._"]
    {
        let path = format!("/thngs/{id}");
        rest.get(&path).assert_status(404);
        rest.put(&path, r#"{"name":"n"}"#).assert_status(404);
        rest.delete(&path).assert_status(404);
        rest.get(&format!("{path}/properties")).assert_status(404);
    }
}

#[test]
fn a_bulk_call_without_an_id_is_refused() {
    let mut rest = Server::shared().rest();
    let thng = create(&mut rest, json!({"name": "survivor"}));
    for path in ["/thngs", "/thngs/"] {
        assert!((400..500).contains(&rest.delete(path).status), "DELETE {path}");
        assert!((400..500).contains(&rest.put(path, r#"{"name":"all"}"#).status), "PUT {path}");
    }
    assert_eq!(rest.get(&path_of(&thng)).expect(200)["name"], "survivor");
}

fn is_id(text: &str) -> bool {
    const ALPHABET: &str = "abcdefghkmnpqrstwxyABCDEFGHKMNPQRSTUVWXY0123456789";
    text.len() == 24 && text.starts_with('U') && text.chars().all(|symbol| ALPHABET.contains(symbol))
}
