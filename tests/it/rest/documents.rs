//! Rules for the documents of every resource: a name comes once, integers count by value, and the documents of the
//! platform's loaders are read as the platform read them.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{Application, Rest, Server};

/// An ICCID as a number: more digits than a floating-point number tells apart.
const ICCID: &str = "89445012345678901234";

#[track_caller]
fn assert_twice(rest: &mut Rest, method: &str, path: &str, body: &str) {
    let answer = match method {
        "PUT" => rest.put(path, body),
        _ => rest.post(path, body),
    };
    let refusal = answer.expect(400);
    assert!(!refusal["errors"].to_string().contains("secret"), "{method} {path} {body}: {refusal}");
}

#[test]
fn a_name_that_comes_twice_is_refused_by_rest() {
    let server = Server::shared();
    let mut rest = server.rest();
    for list in ["/thngs", "/products", "/collections", "/places", "/batches", "/projects"] {
        let id = rest.id_of(list, json!({"name": "n"}));
        for (method, path) in [("POST", list.to_owned()), ("PUT", format!("{list}/{id}"))] {
            for body in [
                r#"{"name":"n","customFields":{"a":1,"a":2}}"#,
                r#"{"name":"n","customFields":{"a":"secret","\u0061":2}}"#,
                r#"{"name":"n","customFields":{"x":[{"a":1,"a":2}]}}"#,
                r#"{"name":"n","identifiers":{"a":"1","a":"2"}}"#,
                r#"{"name":"n","identifiers":{"a":"1","\u0061":"1"}}"#,
                r#"{"name":"n","name":"m"}"#,
            ] {
                assert_twice(&mut rest, method, &path, body);
            }
        }
        assert_eq!(rest.get(&format!("{list}/{id}")).expect(200)["customFields"], json!({}));
    }
    assert_twice(&mut rest, "POST", "/thngs", r#"{"name":"n","properties":{"Temp":1,"temp":2}}"#);
    assert_twice(&mut rest, "POST", "/products", r#"{"name":"n","properties":{"temp":1,"\u0074emp":2}}"#);
    assert_twice(&mut rest, "POST", "/places", r#"{"name":"n","address":{"city":"a","city":"b"}}"#);
    let thng = rest.thng();
    for (path, body) in [
        (format!("/thngs/{thng}/properties/t"), r#"[{"value":{"a":1,"a":2}}]"#),
        (format!("/thngs/{thng}/properties/t"), r#"{"value":[{"a":1,"\u0061":2}]}"#),
        (format!("/thngs/{thng}/properties/t"), r#"[{"value":1,"value":2}]"#),
        (format!("/thngs/{thng}/properties"), r#"[{"key":"t","value":{"a":1,"a":2}}]"#),
    ] {
        assert_twice(&mut rest, "PUT", &path, body);
    }
    assert_eq!(rest.get(&format!("/thngs/{thng}/properties")).expect(200), json!([]));
    for body in [
        r#"{"customFields":{"a":1,"a":2}}"#,
        r#"{"identifiers":{"a":"1","a":"2"}}"#,
        r#"{"location":{"position":{"type":"Point","coordinates":[8,47],"a":1,"a":2}}}"#,
        r#"[{},{"customFields":{"a":1,"a":2}}]"#,
    ] {
        assert_twice(&mut rest, "POST", &format!("/thngs/{thng}/actions/scans"), body);
    }
    let commission = format!("/thngs/{thng}/actions/commissions");
    assert_twice(&mut rest, "POST", &commission, r#"{"customFields":{"a":1},"customFields":{}}"#);
    assert_eq!(rest.get(&format!("/thngs/{thng}/actions/all")).expect(200), json!([]));
}

/// A topic below a thng, and a payload that has a name twice.
const PUBLISHED_TWICE: [(&str, &str); 9] = [
    ("/properties/t", r#"[{"value":{"a":1,"a":2}}]"#),
    ("/properties/t", r#"[{"value":1,"value":2}]"#),
    ("/properties", r#"[{"key":"t","value":[{"a":1,"\u0061":2}]}]"#),
    ("/location", r#"[{"latitude":47,"longitude":8,"latitude":48}]"#),
    ("", r#"{"customFields":{"a":1,"a":2}}"#),
    ("", r#"{"identifiers":{"a":"1","\u0061":"2"}}"#),
    ("", r#"{"description":"a","description":"b"}"#),
    ("/actions/scans", r#"{"customFields":{"a":1,"a":2}}"#),
    ("/actions/scans", r#"[{},{"identifiers":{"a":"1","a":"2"}}]"#),
];

#[test]
fn a_name_that_comes_twice_is_refused_by_websocket() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = format!("/thngs/{}", rest.thng());
    for (below, payload) in PUBLISHED_TWICE {
        let mut socket = WebSocket::open(server, &format!("{thng}{below}"));
        socket.send(payload);
        let refusal = socket.json();
        assert_eq!(refusal["status"], 400, "{below} {payload}: {refusal}");
    }
}

#[test]
fn a_name_that_comes_twice_is_refused_by_mqtt() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let mut client = Client::connect(server);
    for (below, payload) in PUBLISHED_TWICE {
        // At QoS 0, so that a refusal leaves the connection.
        client.publish(&format!("/thngs/{thng}{below}"), payload);
    }
    client.publish_acknowledged(&format!("/thngs/{thng}/properties/t"), r#"[{"value":{"a":1,"A":2}}]"#);
    let stored = rest.get(&format!("/thngs/{thng}/properties/t")).expect(200);
    assert_eq!(stored.as_array().map(Vec::len), Some(1), "{stored}");
    let document = rest.get(&format!("/thngs/{thng}")).expect(200);
    assert_eq!((&document["customFields"], &document["identifiers"]), (&json!({}), &json!({})));
    assert_eq!(document["description"], Value::Null);
    for below in ["location", "actions/all"] {
        assert_eq!(rest.get(&format!("/thngs/{thng}/{below}")).expect(200), json!([]), "{below}");
    }
}

#[test]
fn integers_count_by_value() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let path = format!("/thngs/{thng}/properties/t");
    let mut client = Client::connect(server);
    for spelling in ["1.7e12", "1700000000000.0", "17E+11", "1700000000000", "\"1700000000000\""] {
        let write = format!(r#"[{{"value":1,"timestamp":{spelling}}}]"#);
        let stored = rest.put(&path, write.as_str()).expect(200);
        assert_eq!(stored[0]["timestamp"], 1_700_000_000_000_u64, "{spelling}");
        client.publish_acknowledged(&path, &write);
        let location = format!(r#"[{{"latitude":1,"longitude":1,"timestamp":{spelling}}}]"#);
        let stored = rest.put(&format!("/thngs/{thng}/location"), location.as_str()).expect(200);
        assert_eq!(stored[0]["timestamp"], 1_700_000_000_000_u64, "{spelling}");
        let action = format!(r#"{{"timestamp":{spelling}}}"#);
        let stored = rest.post(&format!("/thngs/{thng}/actions/scans"), action.as_str()).expect(201);
        assert_eq!(stored["timestamp"], 1_700_000_000_000_u64, "{spelling}");
        let project = format!(r#"{{"name":"n","startsAt":{spelling}}}"#);
        assert_eq!(rest.post("/projects", project.as_str()).expect(201)["startsAt"], 1_700_000_000_000_u64);
    }
    for spelling in ["1.5", "1e16", "-1", "\"1.7e12\"", "1e999999999"] {
        let write = format!(r#"[{{"value":1,"timestamp":{spelling}}}]"#);
        rest.put(&path, write.as_str()).assert_status(400);
    }
    for (query, count) in [
        ("from=1.7e12", 10),
        ("from=1.7e12&to=1700000000000.0", 10),
        ("to=1.6999e12", 0),
        ("filter=timestamp%3E%3D1.7e12", 10),
        ("filter=timestamp%3E1.7e12", 0),
        ("perPage=1e1", 10),
        ("perPage=3.0", 3),
    ] {
        let found = rest.get(&format!("{path}?{query}")).expect(200);
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{query}");
    }
    for query in ["from=1.5", "to=x", "perPage=1.5", "perPage=1e9", "page=0.0", "filter=timestamp%3E1.5"] {
        rest.get(&format!("{path}?{query}")).assert_status(400);
    }
    rest.delete(&format!("{path}?to=1.7e12")).assert_status(200);
    assert_eq!(rest.get(&path).expect(200).as_array().map(Vec::len), Some(10), "none is older");
    rest.delete(&format!("{path}?to=1.700000000001e12")).assert_status(200);
    assert_eq!(rest.get(&path).expect(200), json!([]));
}

#[test]
fn the_quantity_of_a_task_counts_by_value() {
    let server = Server::shared();
    let mut rest = server.rest();
    let batch = rest.id_of("/batches", json!({"name": "n"}));
    let task = |quantity: &str| {
        format!(
            r#"{{"type":"POPULATING","inputParameters":{{"type":"FIXED_AMOUNT","quantity":{quantity},"thngTemplate":{{"name":"n"}}}}}}"#
        )
    };
    let tasks = format!("/batches/{batch}/tasks");
    for quantity in ["1.0", "2", "3e0"] {
        rest.post(&tasks, task(quantity).as_str()).assert_status(202);
    }
    for quantity in ["1.5", "0.0", "\"1\"", "1e7", "-1.0"] {
        rest.post(&tasks, task(quantity).as_str()).assert_status(400);
    }
    until("all thngs are made", || {
        let made = rest.get(&format!("/thngs?filter=batch%3D{batch}")).expect(200);
        (made.as_array().map(Vec::len) == Some(6)).then_some(())
    });
}

#[test]
fn the_description_has_times_as_digits_in_a_string() {
    let server = Server::shared();
    let description = server.rest().get("/openapi.json").expect(200);
    for pointer in [
        "/components/schemas/PropertyWrite/properties/timestamp",
        "/components/schemas/LocationWrite/properties/timestamp",
        "/components/schemas/NewAction/properties/timestamp",
        "/components/schemas/ProjectUpdate/properties/startsAt",
    ] {
        let forms = description.pointer(pointer).and_then(|schema| schema["oneOf"].as_array());
        let types: Vec<&Value> = forms.expect(pointer).iter().map(|form| &form["type"]).collect();
        assert_eq!(types, ["integer", "string"], "{pointer}");
    }
    let shown = description.pointer("/components/schemas/PropertyUpdate/properties/timestamp/type");
    assert_eq!(shown, Some(&json!("integer")));
}

#[test]
fn numeric_identifiers_are_stored_as_text() {
    let server = Server::shared();
    let mut rest = server.rest();
    let serial = format!("48{}", thng_pubsub_tests::wait::now_ms());
    let body = format!(
        r#"{{"name":"n","identifiers":{{"gs1:21":{serial},"iccid":{ICCID},"flag":true,"text":"007"}}}}"#
    );
    let created = rest.post("/thngs", body.as_str()).expect(201);
    let expected = json!({"gs1:21": serial, "iccid": ICCID, "flag": "true", "text": "007"});
    assert_eq!(created["identifiers"], expected);
    let found = rest.get(&format!("/thngs?filter=identifiers.gs1:21%3D{serial}")).expect(200);
    assert_eq!(found[0]["id"], created["id"]);
    assert_eq!(rest.get(&format!("/thngs/gs1:21:{serial}")).expect(200)["id"], created["id"]);
    for value in ["null", "[1]", "{}"] {
        let body = format!(r#"{{"name":"n","identifiers":{{"a":{value}}}}}"#);
        rest.post("/thngs", body.as_str()).assert_status(400);
    }
}

/// What the platform's command line makes of a cell of its CSV files: what reads as JSON is taken for it.
fn cell(value: &Value) -> Value {
    match value.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        None => value.clone(),
    }
}

#[test]
fn an_export_of_the_platforms_command_line_can_be_imported() {
    let server = Server::start();
    let mut rest = server.rest();
    for (name, serial) in [("Lamp 1", "4837289"), ("Lamp 2", "0042"), ("Lamp 3", "12.50")] {
        rest.create(
            "/thngs",
            json!({"name": name, "tags": ["a", "b"], "customFields": {"watt": 7, "on": true},
                "identifiers": {"gs1:21": serial, "flag": "true"}, "properties": {"t": 21}}),
        );
    }
    let exported = rest.get("/thngs?perPage=30&sortOrder=ASCENDING").expect(200);
    for thng in exported.as_array().expect("a list") {
        // By CSV: a row without what is empty, each cell read again.
        let mut row = json!({"name": thng["name"], "tags": thng["tags"]});
        for group in ["customFields", "identifiers", "properties"] {
            let cells = thng[group].as_object().expect("an object").iter();
            row[group] = cells.map(|(key, value)| (key.clone(), cell(value))).collect();
        }
        let imported = rest.post("/thngs", row).expect(201);
        // By JSON: the whole document.
        let again = rest.post("/thngs", thng.clone()).expect(201);
        for field in ["name", "tags", "customFields", "identifiers", "properties"] {
            let expected = match (field, thng["name"].as_str()) {
                // The command line itself made a number of it, and that number has lost a zero.
                ("identifiers", Some("Lamp 3")) => json!({"gs1:21": "12.5", "flag": "true"}),
                _ => thng[field].clone(),
            };
            assert_eq!(imported[field], expected, "{field} by CSV");
            assert_eq!(again[field], thng[field], "{field} by JSON");
        }
    }
}

fn scopes(rest: &mut Rest, path: &str) -> Value {
    rest.get(&format!("{path}?withScopes=true")).expect(200)["scopes"].clone()
}

#[test]
fn a_sign_adds_or_removes_scopes() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (one, two) = (rest.project(), rest.project());
    let loaded = json!({"name": "n", "scopes": {"projects": [format!("+{one}")], "users": ["+all"]}});
    let path = format!("/thngs/{}", rest.id_of("/thngs", loaded));
    assert_eq!(scopes(&mut rest, &path), json!({"projects": [one], "users": ["all"]}));
    for (change, expected) in [
        (json!({"projects": [format!("+{two}")]}), json!({"projects": [one, two], "users": ["all"]})),
        (json!({"projects": [format!("+{two}")]}), json!({"projects": [one, two], "users": ["all"]})),
        (json!({"projects": [format!("-{one}")]}), json!({"projects": [two], "users": ["all"]})),
        (json!({"users": ["-all"]}), json!({"projects": [two], "users": []})),
        (json!({"projects": [one], "users": ["all"]}), json!({"projects": [one], "users": ["all"]})),
    ] {
        rest.put(&path, json!({"scopes": change})).assert_status(200);
        assert_eq!(scopes(&mut rest, &path), expected, "{change}");
    }
    for wrong in [
        json!({"projects": [format!("+{one}"), two]}),
        json!({"projects": ["+Uabcdefghkmnpqrstwxy0123"]}),
        json!({"projects": ["+all"]}),
        json!({"users": ["all", "+all"]}),
    ] {
        rest.put(&path, json!({"scopes": wrong})).assert_status(400);
        assert_eq!(scopes(&mut rest, &path), json!({"projects": [one], "users": ["all"]}), "{wrong}");
    }
}

#[test]
fn a_sign_gives_no_key_more_than_its_own_project() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (own, other) = (rest.project(), rest.project());
    let Application { secret_key, .. } = rest.application(&own);
    let mut app = server.rest_as(&secret_key);
    let both = json!({"name": "n", "scopes": {"projects": [own, other], "users": ["all"]}});
    let path = format!("/thngs/{}", rest.id_of("/thngs", both));
    for (change, status) in [
        (json!({"projects": [format!("-{other}")]}), 400),
        (json!({"projects": [format!("+{}", rest.project())]}), 400),
        (json!({"projects": [format!("+{own}")], "users": ["+all"]}), 200),
    ] {
        app.put(&path, json!({"scopes": change})).assert_status(status);
    }
    let unchanged = scopes(&mut rest, &path);
    assert_eq!(unchanged, json!({"projects": [own, other], "users": ["all"]}));
    app.post("/thngs", json!({"name": "n", "scopes": {"projects": [format!("+{other}")]}}))
        .assert_status(400);
}

#[test]
fn a_sign_at_a_bulk_change_adds_to_each() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (one, two) = (rest.project(), rest.project());
    let first = rest.id_of("/thngs", json!({"name": "n", "scopes": {"projects": [one]}}));
    let second = rest.id_of("/thngs", json!({"name": "n"}));
    let change = json!({"scopes": {"projects": [format!("+{two}")]}});
    rest.put(&format!("/thngs?ids={first},{second}"), change).assert_status(204);
    assert_eq!(scopes(&mut rest, &format!("/thngs/{first}"))["projects"], json!([one, two]));
    assert_eq!(scopes(&mut rest, &format!("/thngs/{second}"))["projects"], json!([two]));
}

#[test]
fn a_publish_with_signs_changes_scopes_too() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let path = format!("/thngs/{}", rest.thng());
    let mut client = Client::connect(server);
    client.subscribed(&path, QoS::AtMostOnce);
    let change = json!({"scopes": {"projects": [format!("+{project}")], "users": ["+all"]}});
    client.publish_acknowledged(&path, &change.to_string());
    assert_eq!(scopes(&mut rest, &path), json!({"projects": [project], "users": ["all"]}));
}
