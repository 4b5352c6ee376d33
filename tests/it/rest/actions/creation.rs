//! Created actions: their type, time, subject, author and context, alone and in an array.

use serde_json::{Value, json};
use thng_pubsub_tests::Server;
use thng_pubsub_tests::wait::now_ms;

use super::world::{UNKNOWN, World, id_of, ids};

#[test]
fn a_created_action_comes_back_whole_with_its_address() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let sent = json!({
        "type": "_turned", "thng": world.thng, "timestamp": 1_500_000_000_123_u64, "url": "https://example.com",
        "tags": ["a", "b"], "customFields": {"n": [1, 2.5, null]}, "identifiers": {"gs1:21": "7"},
    });
    for path in ["/actions/all", "/actions/_turned"] {
        let before = now_ms();
        let answer = rest.post(path, sent.clone());
        let created = answer.expect(201);
        let after = now_ms();
        let location = answer.header("location").expect("201 comes with a Location");
        assert!(location.ends_with(&format!("{path}/{}", id_of(&created))), "{location}");
        for (field, value) in sent.as_object().expect("an object") {
            assert_eq!(created[field], *value, "{field}");
        }
        assert_eq!(created["product"], *world.product, "of the thng");
        let made = created["createdAt"].as_u64().expect("whole milliseconds");
        assert!((before..=after).contains(&made), "{before} <= {made} <= {after}");
        assert!(created.as_object().expect("an object").values().all(|value| !value.is_null()), "{created}");
        for path in ["/actions/all", "/actions/_turned"] {
            assert_eq!(rest.get(&format!("{path}/{}", id_of(&created))).expect(200), created);
        }
        assert_eq!(
            rest.get(&format!("{path}?perPage=1&filter=thng%3D{}", world.thng)).expect(200),
            json!([created])
        );
    }
}

#[test]
fn an_action_happens_now_unless_it_says_when() {
    let mut rest = Server::shared().rest();
    for (sent, expected) in [
        (json!({}), None),
        (json!({"timestamp": null}), None),
        (json!({"timestamp": 0}), Some(0)),
        (json!({"timestamp": 1_000}), Some(1_000)),
        (json!({"timestamp": "1500000000456"}), Some(1_500_000_000_456_u64)),
    ] {
        let created = rest.create("/actions/scans", sent.clone());
        let at = expected.map_or_else(|| created["createdAt"].clone(), |at| json!(at));
        assert_eq!(created["timestamp"], at, "{sent}");
    }
    for wrong in [json!("now"), json!(-1), json!(1.5), json!(true)] {
        rest.post("/actions/scans", json!({"timestamp": wrong})).assert_status(400);
    }
}

#[test]
fn the_type_comes_from_the_path_or_with_all_from_the_body() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    for path in world.paths() {
        for (action_type, sent) in [
            ("_turned", json!({"type": "_turned"})),
            ("_turned", json!({})),
            ("scans", json!({"customFields": {"type": "x"}})),
            ("all", json!({"type": "_turned"})),
            ("all", json!({"type": "scans"})),
        ] {
            let created = rest.create(&format!("{path}/{action_type}"), sent.clone());
            let expected = if action_type == "all" { sent["type"].clone() } else { json!(action_type) };
            assert_eq!(created["type"], expected, "{path}/{action_type} {sent}");
        }
        for (action_type, sent, status) in [
            ("all", json!({}), 400),
            ("all", json!({"type": ""}), 400),
            ("all", json!({"type": "all"}), 400),
            ("all", json!({"type": 5}), 400),
            ("all", json!({"type": "_unheard of"}), 400),
            ("_turned", json!({"type": "scans"}), 400),
            ("scans", json!({"type": "_turned"}), 400),
            ("scans", json!({"type": "all"}), 400),
            ("_unheard%20of", json!({}), 404),
            ("_unheard%20of", json!({"type": "_unheard of"}), 404),
            ("turned", json!({}), 404),
        ] {
            let answer = rest.post(&format!("{path}/{action_type}"), sent.clone());
            assert_eq!(answer.status, status, "{path}/{action_type} {sent}: {}", answer.text());
        }
    }
}

#[test]
fn an_array_creates_each_or_none() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let list = format!("/thngs/{}/actions/all", world.thng);
    let sent = json!([
        {"type": "scans", "customFields": {"n": 0}},
        {"type": "_turned", "customFields": {"n": 1}},
        {"type": "scans", "customFields": {"n": 2}},
    ]);
    let created = rest.post(&list, sent).expect(201);
    let created = created.as_array().expect("an array answers an array");
    let numbers: Vec<_> = created.iter().map(|action| action["customFields"]["n"].clone()).collect();
    assert_eq!(numbers, [0, 1, 2], "in the order of the request");
    assert!(
        created.iter().all(|action| action["thng"] == *world.thng && action["product"] == *world.product)
    );
    let newest_first: Vec<_> = created.iter().rev().map(id_of).collect();
    assert_eq!(ids(&mut rest, &list), newest_first);
    let one = rest.post(&format!("/thngs/{}/actions/scans", world.thng), json!([{}])).expect(201);
    assert_eq!(one.as_array().map(Vec::len), Some(1), "also of one: {one}");

    let before = ids(&mut rest, &list);
    for wrong in [
        json!([{"type": "scans"}, {}]),
        json!([{"type": "scans"}, {"type": "_unheard of"}]),
        json!([{"type": "scans"}, {"type": "scans", "product": UNKNOWN}]),
        json!([{"type": "scans"}, {"type": "scans", "location": {"latitude": 91, "longitude": 0}}]),
        json!([{"type": "scans"}, 5]),
        json!([]),
        json!("scans"),
        json!(null),
    ] {
        rest.post(&list, wrong).assert_status(400);
    }
    assert_eq!(ids(&mut rest, &list), before);
}

#[test]
fn the_path_says_what_it_happened_to() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let (thng, product, collection) = (&world.thng, &world.product, &world.collections[0]);
    let other = rest.thng();
    for (path, sent, expected) in [
        ("/actions".to_owned(), json!({}), json!({})),
        ("/actions".to_owned(), json!({"thng": thng}), json!({"thng": thng, "product": product})),
        ("/actions".to_owned(), json!({"thng": other}), json!({"thng": other})),
        ("/actions".to_owned(), json!({"product": product}), json!({"product": product})),
        ("/actions".to_owned(), json!({"collection": collection}), json!({"collection": collection})),
        (format!("/thngs/{thng}/actions"), json!({}), json!({"thng": thng, "product": product})),
        (format!("/thngs/{other}/actions"), json!({}), json!({"thng": other})),
        (format!("/products/{product}/actions"), json!({}), json!({"product": product})),
        (format!("/collections/{collection}/actions"), json!({}), json!({"collection": collection})),
        (
            format!("/collections/{collection}/actions"),
            json!({"thng": thng}),
            json!({"collection": collection, "thng": thng, "product": product}),
        ),
    ] {
        for action_type in ["_turned", "all"] {
            let mut sent = sent.clone();
            sent["type"] = json!("_turned");
            let created = rest.create(&format!("{path}/{action_type}"), sent.clone());
            for field in ["thng", "product", "collection"] {
                assert_eq!(created.get(field), expected.get(field), "{field} of {sent} to {path}");
            }
            assert_eq!(rest.get(&format!("{path}/{action_type}/{}", id_of(&created))).expect(200), created);
        }
    }
}

#[test]
fn what_is_not_there_is_404_in_the_path_and_400_in_the_body() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let deleted = rest.thng();
    rest.delete(&format!("/thngs/{deleted}")).assert_status(200);
    for path in [
        format!("/thngs/{UNKNOWN}"),
        format!("/thngs/{deleted}"),
        format!("/thngs/{}", world.product),
        format!("/products/{UNKNOWN}"),
        format!("/products/{}", world.thng),
        format!("/collections/{UNKNOWN}"),
        format!("/collections/{}", world.thng),
        "/collections/x".to_owned(),
    ] {
        for action_type in ["all", "scans", "_turned"] {
            let path = format!("{path}/actions/{action_type}");
            rest.post(&path, json!({"type": "scans"})).assert_status(404);
            rest.get(&path).assert_status(404);
            rest.get(&format!("{path}/{UNKNOWN}")).assert_status(404);
            rest.delete(&format!("{path}/{UNKNOWN}")).assert_status(404);
        }
    }
    let nowhere = rest.id_of("/places", json!({"name": "nowhere"}));
    for (wrong, word) in [
        (json!({"thng": UNKNOWN}), "thng"),
        (json!({"thng": deleted}), "thng"),
        (json!({"thng": world.product}), "thng"),
        (json!({"thng": "x"}), "thng"),
        (json!({"product": UNKNOWN}), "product"),
        (json!({"product": world.thng}), "product"),
        (json!({"thng": world.thng, "product": UNKNOWN}), "product"),
        (json!({"collection": UNKNOWN}), "collection"),
        (json!({"collection": world.thng}), "collection"),
        (json!({"location": {"place": UNKNOWN}}), "location"),
        (json!({"location": {"place": nowhere}}), "place"),
        (json!({"tags": "one"}), "tags"),
        (json!({"customFields": 5}), "customFields"),
        (json!({"identifiers": {"a": [1]}}), "identifiers"),
    ] {
        let refusal = rest.post("/actions/scans", wrong.clone()).expect(400);
        assert!(
            refusal["errors"][0].as_str().is_some_and(|error| error.contains(word)),
            "{wrong}: {refusal}"
        );
    }
}

#[test]
fn what_only_the_server_sets_is_passed_over() {
    let mut rest = Server::shared().rest();
    let read_only = [
        ("id", json!(UNKNOWN)),
        ("user", json!(UNKNOWN)),
        ("createdAt", json!(1)),
        ("createdByThng", json!(UNKNOWN)),
        ("createdByProject", json!(UNKNOWN)),
        ("createdByApp", json!(UNKNOWN)),
        ("reactions", json!([{"type": "x"}])),
        ("context", json!({"city": "Atlantis"})),
        ("ofTheFuture", json!(1)),
    ];
    let mut sent = json!({});
    for (field, value) in &read_only {
        sent[*field] = value.clone();
    }
    let created = rest.create("/actions/scans?context=true", sent);
    let read = rest.get(&format!("/actions/scans/{}?context=true", id_of(&created))).expect(200);
    for shown in [&created, &read] {
        for (field, value) in &read_only {
            assert_ne!(shown.get(*field), Some(value), "{field} in {shown}");
        }
    }
}

#[test]
fn an_action_names_its_creator() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let thng = rest.id_of(&format!("/thngs?project={project}"), json!({"name": "n"}));
    let device = rest.device(&thng);

    let by_operator = rest.create("/actions/scans", json!({}));
    let by_user = server.rest_as(&user.key).create("/actions/scans", json!({}));
    let by_application = server.rest_as(&application.secret_key).create("/actions/scans", json!({}));
    let by_device = server.rest_as(&device.key).create("/actions/scans", json!({"type": "scans"}));
    for (action, field, expected) in [
        (&by_operator, "user", None),
        (&by_operator, "createdByApp", None),
        (&by_user, "user", Some(&user.id)),
        (&by_user, "createdByApp", Some(&application.id)),
        (&by_user, "createdByProject", Some(&project)),
        (&by_application, "user", None),
        (&by_application, "createdByApp", Some(&application.id)),
        (&by_application, "createdByProject", Some(&project)),
        (&by_device, "user", None),
        (&by_device, "thng", Some(&thng)),
    ] {
        assert_eq!(
            action.get(field).and_then(Value::as_str),
            expected.map(String::as_str),
            "{field}: {action}"
        );
    }
    let by_user = [id_of(&by_user)];
    assert_eq!(ids(&mut rest, &format!("/actions/all?filter=user%3D{}", user.id)), by_user);
    assert_eq!(ids(&mut rest, &format!("/actions/scans?filter=user%3D{},{UNKNOWN}", user.id)), by_user);
    assert_eq!(ids(&mut rest, &format!("/actions/all?filter=user%3D{UNKNOWN}")), [] as [String; 0]);
    assert_eq!(ids(&mut rest, &format!("/thngs/{thng}/actions/all")), [id_of(&by_device)]);
}

#[test]
fn the_context_is_shown_on_request() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let list = format!("/thngs/{thng}/actions/scans");
    let headers = [("Authorization", server.key()), ("User-Agent", "a browser of the tests")];
    let mut create =
        |query: &str| rest.send("POST", &format!("{list}{query}"), &headers, Some(b"{}")).expect(201);
    let (without, with) = (create(""), create("?context=true"));
    assert_eq!(without.get("context"), None);
    assert_eq!(with["context"]["ipAddress"], "127.0.0.1");
    assert_eq!(with["context"]["userAgent"], "a browser of the tests");

    let one = format!("{list}/{}", id_of(&with));
    assert_eq!(rest.get(&format!("{one}?context=true")).expect(200), with);
    assert_eq!(rest.get(&one).expect(200).get("context"), None);
    assert_eq!(rest.get(&format!("{one}?context=false")).expect(200).get("context"), None);
    for part in rest.parts(&format!("{list}?context=true&perPage=1")) {
        assert_eq!(part[0]["context"], with["context"], "also on the next parts: {part:?}");
    }
    for action in rest.parts(&list).iter().flatten() {
        assert_eq!(action.get("context"), None);
    }
}
