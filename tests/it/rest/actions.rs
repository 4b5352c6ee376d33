//! Actions: their subject, author and location, their lists, and their notifications.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::wait::now_ms;
use thng_pubsub_tests::{Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

fn id_of(document: &Value) -> String {
    document["id"].as_str().unwrap_or_else(|| panic!("{document} has an id")).to_owned()
}

/// The ids in a list, in its order.
#[track_caller]
fn ids(rest: &mut Rest, list: &str) -> Vec<String> {
    rest.parts(list).iter().flatten().map(id_of).collect()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A thng with a product, in two collections, and an action type of the account's own.
struct World {
    thng: String,
    product: String,
    collections: [String; 2],
}

impl World {
    #[track_caller]
    fn new(rest: &mut Rest) -> World {
        // Tests share a server, and a type is there once.
        let _ = rest.post("/actions", json!({"name": "_turned"}));
        let product = rest.id_of("/products", json!({"name": "a product of the tests"}));
        let thng = rest.id_of("/thngs", json!({"name": "a thng of the tests", "product": product}));
        let collections = [(); 2].map(|()| rest.id_of("/collections", json!({"name": "of the tests"})));
        for collection in &collections {
            rest.put(&format!("/collections/{collection}/thngs"), json!([thng])).assert_status(200);
        }
        World { thng, product, collections }
    }

    /// The paths under which actions of the thng are found, but for the type at their end.
    fn paths(&self) -> Vec<String> {
        let mut paths = vec![
            "/actions".to_owned(),
            format!("/thngs/{}/actions", self.thng),
            format!("/products/{}/actions", self.product),
        ];
        paths.extend(self.collections.iter().map(|collection| format!("/collections/{collection}/actions")));
        paths
    }
}

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
fn below_a_resource_an_unknown_type_is_404_to_read_too() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    for path in world.paths().iter().filter(|path| *path != "/actions") {
        rest.get(&format!("{path}/_unheard%20of")).assert_status(404);
        assert_eq!(rest.get(&format!("{path}/checkins")).expect(200), json!([]));
    }
}

#[test]
fn every_list_that_an_action_belongs_to_shows_it_and_no_other() {
    let server = Server::start();
    let mut rest = server.rest();
    let world = World::new(&mut rest);
    let elsewhere = World::new(&mut rest);
    let (thng, product, [first, second]) = (&world.thng, &world.product, &world.collections);
    rest.create(&format!("/thngs/{}/actions/_turned", elsewhere.thng), json!({}));
    let root = "/actions".to_owned();
    let of_thng = format!("/thngs/{thng}/actions");
    let of_product = format!("/products/{product}/actions");
    let of_first = format!("/collections/{first}/actions");
    let of_second = format!("/collections/{second}/actions");

    for (path, sent, shown_at) in [
        (&root, json!({}), vec![&root]),
        (&root, json!({"product": product}), vec![&root, &of_product]),
        (&root, json!({"collection": first}), vec![&root, &of_first]),
        (&root, json!({"thng": thng}), vec![&root, &of_thng, &of_product, &of_first, &of_second]),
        (&of_thng, json!({}), vec![&root, &of_thng, &of_product, &of_first, &of_second]),
        (&of_product, json!({}), vec![&root, &of_product]),
        (&of_second, json!({}), vec![&root, &of_second]),
        (&of_second, json!({"thng": thng}), vec![&root, &of_thng, &of_product, &of_first, &of_second]),
    ] {
        for action_type in ["_turned", "scans"] {
            let created = rest.create(&format!("{path}/{action_type}"), sent.clone());
            let other_type = if action_type == "scans" { "_turned" } else { "scans" };
            for list in world.paths() {
                let shows = |rest: &mut Rest, of_type: &str| {
                    ids(rest, &format!("{list}/{of_type}")).contains(&id_of(&created))
                };
                let expected = shown_at.contains(&&list);
                assert_eq!(shows(&mut rest, "all"), expected, "{list}/all of {sent} to {path}");
                assert_eq!(
                    shows(&mut rest, action_type),
                    expected,
                    "{list}/{action_type} of {sent} to {path}"
                );
                assert!(!shows(&mut rest, other_type), "{list}/{other_type}");
            }
            for list in elsewhere.paths().iter().filter(|list| **list != root) {
                assert!(!ids(&mut rest, &format!("{list}/all")).contains(&id_of(&created)), "{list}");
            }
        }
    }
}

#[test]
fn an_action_stays_in_the_collections_that_its_thng_was_in() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let action = rest.create(&format!("/thngs/{}/actions/scans", world.thng), json!({}));
    let later = rest.id_of("/collections", json!({"name": "later"}));
    rest.delete(&format!("/collections/{}/thngs", world.collections[0])).assert_status(200);
    rest.put(&format!("/collections/{later}/thngs"), json!([world.thng])).assert_status(200);
    let shown = ids(&mut rest, &format!("/collections/{}/actions/all", world.collections[0]));
    assert_eq!(shown, [id_of(&action)]);
    assert_eq!(rest.get(&format!("/collections/{later}/actions/all")).expect(200), json!([]));
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
fn every_form_of_a_location_is_shown_in_both_with_its_source() {
    let mut rest = Server::shared().rest();
    let position =
        |longitude: f64, latitude: f64| json!({"type": "Point", "coordinates": [longitude, latitude]});
    let place = rest.id_of("/places", json!({"name": "n", "position": position(-1.5, 2.25)}));
    for (sent, longitude, latitude, named, source) in [
        (
            json!({"location": {"latitude": 47.25, "longitude": 8.5}, "locationSource": "sensor"}),
            8.5,
            47.25,
            None,
            "sensor",
        ),
        (
            json!({"location": {"position": position(8.5, 47.25)}, "locationSource": "sensor"}),
            8.5,
            47.25,
            None,
            "sensor",
        ),
        (
            json!({"location": {"position": {"coordinates": [8.5, 47.25]}}, "locationSource": "geoIp"}),
            8.5,
            47.25,
            None,
            "geoIp",
        ),
        (json!({"location": {"place": place}}), -1.5, 2.25, Some(&place), "place"),
    ] {
        let created = rest.create("/actions/checkins", sent.clone());
        let location = &created["location"];
        assert_eq!(location["position"], position(longitude, latitude), "{sent}");
        assert_eq!((&location["latitude"], &location["longitude"]), (&json!(latitude), &json!(longitude)));
        assert_eq!(location.get("place").and_then(Value::as_str), named.map(String::as_str), "{sent}");
        assert_eq!(created["locationSource"], source, "{sent}");
        assert_eq!(rest.get(&format!("/actions/checkins/{}", id_of(&created))).expect(200), created);
    }
    for nowhere in
        [json!({}), json!({"locationSource": "sensor"}), json!({"location": null}), json!({"location": {}})]
    {
        let created = rest.create("/actions/checkins", nowhere.clone());
        assert_eq!(created.get("location"), None, "{nowhere}");
        assert_eq!(created["locationSource"], "unknown", "{nowhere}");
    }
    for wrong in [
        json!({"latitude": 91, "longitude": 0}),
        json!({"latitude": 47}),
        json!({"latitude": "47", "longitude": "8"}),
        json!({"position": position(181.0, 0.0)}),
        json!({"position": {"type": "Point", "coordinates": []}}),
        json!({"place": "x"}),
        json!("here"),
        json!(5),
    ] {
        let refusal = rest.post("/actions/checkins", json!({"location": wrong})).expect(400);
        assert!(
            refusal["errors"][0].as_str().is_some_and(|error| error.contains("location")),
            "{wrong}: {refusal}"
        );
    }
    // An action does not move its thng.
    let thng = rest.thng();
    let sent = json!({"location": {"latitude": 1, "longitude": 1}});
    rest.create(&format!("/thngs/{thng}/actions/checkins"), sent);
    assert_eq!(rest.get(&format!("/thngs/{thng}")).expect(200).get("location"), None);
}

#[test]
fn the_source_of_a_location_is_one_of_those_that_there_are() {
    let mut rest = Server::shared().rest();
    let known = ["sensor", "geoIp", "place", "unknown"];
    let sent = |said: &str| json!({"location": {"latitude": 1, "longitude": 1}, "locationSource": said});
    for said in known {
        assert_eq!(rest.create("/actions/checkins", sent(said))["locationSource"], said);
    }
    for invented in ["hearsay", "Sensor", ""] {
        let answer = rest.post("/actions/checkins", sent(invented));
        if answer.status != 400 {
            let shown = answer.expect(201)["locationSource"].clone();
            assert!(known.iter().any(|known| shown == *known), "{invented} is shown as {shown}");
        }
    }
}

#[test]
fn an_action_is_in_the_requested_project() {
    let mut rest = Server::shared().rest();
    let project = rest.project();
    let thng = rest.id_of(&format!("/thngs?project={project}"), json!({"name": "n"}));
    let lists =
        ["/actions/all".to_owned(), "/actions/scans".to_owned(), format!("/thngs/{thng}/actions/scans")];
    let mut created = Vec::new();
    for list in &lists {
        for unknown in [UNKNOWN, &thng] {
            let answer = rest.post(&format!("{list}?project={unknown}"), json!({"type": "scans"}));
            assert!([400, 404].contains(&answer.status), "{list}?project={unknown}: {}", answer.text());
        }
        let action =
            rest.create(&format!("{list}?project={project}&withScopes=true"), json!({"type": "scans"}));
        assert_eq!(action["scopes"]["projects"], json!([project]));
        assert_eq!(action["createdByProject"], *project);
        created.insert(0, id_of(&action));
    }
    assert_eq!(ids(&mut rest, &format!("/actions/all?project={project}")), created);
    assert_eq!(ids(&mut rest, &format!("/actions/scans?project={project}&perPage=1")), created);
    assert_eq!(ids(&mut rest, &format!("/thngs/{thng}/actions/all?project={project}")), created[..1]);
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

#[test]
fn a_list_is_read_newest_first_despite_changes() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let create = |rest: &mut Rest, n: u64| {
        let sent = json!({"type": "_turned", "timestamp": 9_000 - n});
        id_of(&rest.create(&format!("/thngs/{}/actions/all", world.thng), sent))
    };
    let oldest_first: Vec<_> = (0..6).map(|n| create(&mut rest, n)).collect();
    let mut newest_first = oldest_first.clone();
    newest_first.reverse();
    for path in world.paths().iter().filter(|path| *path != "/actions") {
        for action_type in ["all", "_turned"] {
            let list = format!("{path}/{action_type}");
            assert_eq!(ids(&mut rest, &list), newest_first, "by creation and not by timestamp");
            let sizes: Vec<_> = rest.parts(&format!("{list}?perPage=2")).iter().map(Vec::len).collect();
            assert_eq!(sizes, [2, 2, 2], "the last part is full, and has no link");
            assert_eq!(ids(&mut rest, &format!("{list}?perPage=1")), newest_first);
            assert_eq!(ids(&mut rest, &format!("{list}?perPage=4&sortOrder=ASCENDING")), oldest_first);
        }
    }
    let first = rest.get(&format!("/actions/all?perPage=2&filter=thng%3D{}", world.thng));
    let second = rest.next(&first).expect("there is more");
    create(&mut rest, 10);
    rest.delete(&format!("/actions/all/{}", newest_first[1])).assert_status(200);
    rest.delete(&format!("/actions/all/{}", newest_first[3])).assert_status(200);
    let expected = [&newest_first[2], &newest_first[4], &newest_first[5]].map(Clone::clone);
    assert_eq!(ids(&mut rest, &second), expected);
}

#[test]
fn a_list_is_filtered_by_everything_that_the_reference_names() {
    let mut rest = Server::shared().rest();
    let world = World::new(&mut rest);
    let other = rest.thng();
    let all = [
        json!({"type": "scans", "thng": world.thng, "timestamp": 1_000, "tags": ["red"], "identifiers": {"gs1:21": "a&b (1)"}}),
        json!({"type": "_turned", "product": world.product, "timestamp": 2_000, "tags": ["blue", "round"]}),
        json!({"type": "checkins", "collection": world.collections[0], "timestamp": 3_000, "customFields": {"n": 7}}),
        json!({"type": "scans", "thng": other, "timestamp": 4_000, "tags": ["round"], "identifiers": {"gs1:21": "2"}}),
    ];
    let created: Vec<_> = all.iter().map(|sent| id_of(&rest.create("/actions/all", sent.clone()))).collect();
    let among = created.join(",");
    let (thng, product, collection) = (&world.thng, &world.product, &world.collections[0]);
    for (filter, expected) in [
        (format!("thng={thng}"), &[0][..]),
        (format!("thng={thng},{other}"), &[3, 0]),
        (format!("thng!={thng}"), &[3, 2, 1]),
        (format!("product={product}"), &[1, 0]),
        (format!("collection={collection}"), &[2, 0]),
        ("type=scans".to_owned(), &[3, 0]),
        ("type=scans,checkins".to_owned(), &[3, 2, 0]),
        ("type~SCAN".to_owned(), &[3, 0]),
        ("tags=red,round".to_owned(), &[3, 1, 0]),
        ("tags!=round".to_owned(), &[2, 0]),
        ("identifiers.gs1:21=2".to_owned(), &[3]),
        ("identifiers.gs1:21=a&b (1)".to_owned(), &[0]),
        ("timestamp>2000".to_owned(), &[3, 2]),
        ("timestamp>=2000&timestamp<4000".to_owned(), &[2, 1]),
        ("timestamp<=1000|timestamp=4000".to_owned(), &[3, 0]),
        ("createdAt>0".to_owned(), &[3, 2, 1, 0]),
        ("createdAt<1000".to_owned(), &[]),
        ("customFields.n=7".to_owned(), &[2]),
        ("context.city=London".to_owned(), &[]),
        ("context.countryCode=GB".to_owned(), &[]),
        ("user=Uabcdefghkmnpqrstwxy0123".to_owned(), &[]),
        (format!("(type=scans|tags=blue)&product={product}"), &[1, 0]),
    ] {
        let expected: Vec<_> = expected.iter().map(|n: &usize| created[*n].clone()).collect();
        let list = format!("/actions/all?ids={among}&filter={}", encode(&filter));
        assert_eq!(ids(&mut rest, &list), expected, "{filter}");
        assert_eq!(ids(&mut rest, &format!("{list}&perPage=1")), expected, "{filter}, one by one");
    }
    let refusal = rest.get("/actions/all?filter=colour%3Dred").expect(400);
    let sentence = refusal["errors"][0].as_str().expect("a sentence");
    for field in [
        "type",
        "user",
        "thng",
        "product",
        "collection",
        "tags",
        "identifiers",
        "timestamp",
        "context.city",
        "context.countryCode",
    ] {
        assert!(sentence.contains(field), "{field}: {sentence}");
    }
}

#[test]
fn an_action_is_read_and_deleted_under_its_own_subject_only() {
    let mut rest = Server::shared().rest();
    let (world, elsewhere) = (World::new(&mut rest), World::new(&mut rest));
    for own in world.paths() {
        for action_type in ["all", "_turned"] {
            let action = rest.create(&format!("/thngs/{}/actions/_turned", world.thng), json!({}));
            let id = id_of(&action);
            let mut foreign: Vec<_> =
                elsewhere.paths().iter().skip(1).map(|path| format!("{path}/all")).collect();
            foreign.extend(elsewhere.paths().iter().skip(1).map(|path| format!("{path}/_turned")));
            foreign.extend(world.paths().iter().map(|path| format!("{path}/scans")));
            for path in foreign {
                rest.get(&format!("{path}/{id}")).assert_status(404);
                rest.delete(&format!("{path}/{id}")).assert_status(404);
            }
            let path = format!("{own}/{action_type}/{id}");
            assert_eq!(rest.get(&path).expect(200), action);
            let answer = rest.delete(&path);
            answer.assert_status(200);
            assert_eq!(answer.text(), "");
            for own in world.paths() {
                rest.get(&format!("{own}/all/{id}")).assert_status(404);
                assert!(
                    !ids(&mut rest, &format!("{own}/_turned?filter=thng%3D{}", world.thng)).contains(&id)
                );
            }
            rest.delete(&path).assert_status(404);
        }
    }
}

#[test]
fn an_action_is_notified_once_on_each_of_its_topics() {
    let server = Server::start();
    let mut rest = server.rest();
    let world = World::new(&mut rest);
    let (thng, product, [first, second]) = (&world.thng, &world.product, &world.collections);
    let mut client = Client::connect(&server);
    let paths = world.paths();
    for path in &paths {
        for action_type in ["all", "_turned", "scans"] {
            client.subscribed(&format!("{path}/{action_type}"), QoS::AtLeastOnce);
        }
    }
    let everywhere = [0, 1, 2, 3, 4];
    for (path, sent, notified_at) in [
        ("/actions/_turned".to_owned(), json!({}), &[0][..]),
        ("/actions/all".to_owned(), json!({"type": "_turned", "product": product}), &[0, 2]),
        ("/actions/all".to_owned(), json!({"type": "_turned", "thng": thng}), &everywhere),
        (
            "/actions/_turned".to_owned(),
            json!({"thng": thng, "product": product, "collection": first}),
            &everywhere,
        ),
        (format!("/thngs/{thng}/actions/_turned"), json!({"type": "_turned"}), &everywhere),
        (format!("/thngs/{thng}/actions/all"), json!({"type": "_turned"}), &everywhere),
        (format!("/products/{product}/actions/_turned"), json!({}), &[0, 2]),
        (format!("/collections/{first}/actions/_turned"), json!({}), &[0, 3]),
        (
            format!("/collections/{second}/actions/all"),
            json!({"type": "_turned", "collection": first}),
            &[0, 4],
        ),
        (format!("/collections/{first}/actions/all"), json!({"type": "_turned", "thng": thng}), &everywhere),
    ] {
        for by_mqtt in [false, true] {
            if by_mqtt {
                client.publish_acknowledged(&path, &sent.to_string());
            } else {
                rest.post(&path, sent.clone()).assert_status(201);
            }
            let action = rest.get("/actions/all?perPage=1").expect(200)[0].clone();
            // The marker is published on every topic, after all earlier notifications.
            let marker = rest.create(&format!("/thngs/{thng}/actions/_turned"), json!({"tags": ["marker"]}));
            let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for (at, topic) in paths.iter().enumerate() {
                for topic in [format!("{topic}/all"), format!("{topic}/_turned")] {
                    let notified = expected.entry(topic).or_default();
                    notified.extend(notified_at.contains(&at).then(|| action.clone()));
                    notified.push(marker.clone());
                }
            }
            let mut received: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for _ in 0..expected.values().map(Vec::len).sum() {
                let message = client.message();
                received.entry(message.topic.clone()).or_default().push(message.json());
            }
            assert_eq!(received, expected, "{sent} to {path}");
            client.assert_nothing_else();
        }
    }
}

#[test]
fn an_array_is_notified_action_by_action_and_deletions_are_not() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/actions/all", rest.thng());
    let mut client = Client::connect(server);
    client.subscribed(&topic, QoS::AtLeastOnce);
    let created =
        rest.post(&topic, json!([{"type": "scans"}, {"type": "shares"}, {"type": "scans"}])).expect(201);
    for action in created.as_array().expect("an array") {
        assert_eq!(client.message().json(), *action, "in the order of the request");
    }
    rest.delete(&format!("{topic}/{}", id_of(&created[0]))).assert_status(200);
    client.publish_acknowledged(&topic, r#"[{"type":"scans"},{"type":"checkins"}]"#);
    let notified = [client.message().json(), client.message().json()];
    assert_eq!(notified.each_ref().map(|action| &action["type"]), ["scans", "checkins"]);
    client.assert_nothing_else();
    let remaining: BTreeSet<_> =
        created.as_array().expect("an array")[1..].iter().chain(&notified).map(id_of).collect();
    assert_eq!(ids(&mut rest, &topic).into_iter().collect::<BTreeSet<_>>(), remaining);
}

/// A thng with an identifier, a product with one, and the path of the thng by its identifier.
#[track_caller]
fn to_be_commissioned(rest: &mut Rest, serial: &str) -> (String, String, String) {
    let product =
        rest.id_of("/products", json!({"name": "p", "identifiers": {"gs1:01": format!("0{serial}")}}));
    let thng = rest.id_of("/thngs", json!({"name": "t", "identifiers": {"gs1:21": serial}}));
    (thng, product, format!("/thngs/gs1:21:{serial}"))
}

#[track_caller]
fn state(rest: &mut Rest, path: &str) -> Value {
    rest.get(&format!("{path}/commissionState")).expect(200)
}

#[test]
fn a_thng_is_commissioned_once_and_decommissioned_afterwards() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (thng, product, path) = to_be_commissioned(&mut rest, "23984736");
    let mut client = Client::connect(server);
    client.subscribed(&format!("/thngs/{thng}/actions/all"), QoS::AtLeastOnce);
    client.subscribed(&format!("/products/{product}/actions/commissions"), QoS::AtLeastOnce);
    let refused = |rest: &mut Rest, action_type: &str| {
        for body in [json!({}), json!({"occurredAt": 9_000})] {
            rest.post(&format!("{path}/actions/{action_type}"), body).assert_status(409);
        }
        rest.post(&format!("/actions/{action_type}"), json!({"thng": thng})).assert_status(409);
        rest.post(&format!("/thngs/{thng}/actions/all"), json!({"type": action_type})).assert_status(409);
    };

    assert_eq!(state(&mut rest, &path), json!({"state": "not_commissioned"}));
    refused(&mut rest, "decommissions");
    let sent = json!({
        "product": "gs1:01:023984736", "occurredAt": 5_000, "location": {"latitude": 47.25, "longitude": 8.5},
        "purchaseOrder": "PO-1", "factoryMetadata": {"line": 3},
    });
    let commissioned = rest.post(&format!("{path}/actions/commissions"), sent).expect(200);
    for (field, expected) in [("type", "commissions"), ("thng", &*thng), ("product", &*product)] {
        assert_eq!(commissioned[field], expected, "{field}");
    }
    assert_eq!(commissioned["timestamp"], 5_000);
    assert_eq!(commissioned["location"]["latitude"], 47.25);
    assert_eq!(state(&mut rest, &path), json!({"state": "commissioned", "occurredAt": 5_000}));
    assert_eq!(
        state(&mut rest, &format!("/thngs/{thng}")),
        json!({"state": "commissioned", "occurredAt": 5_000})
    );
    let notified = [client.message(), client.message()];
    let topics: BTreeSet<_> = notified.iter().map(|message| message.topic.clone()).collect();
    assert_eq!(topics.len(), 2);
    assert!(notified.iter().all(|message| message.json() == commissioned));

    refused(&mut rest, "commissions");
    let decommissioned = rest.post(&format!("{path}/actions/decommissions"), json!({})).expect(200);
    assert_eq!(decommissioned["type"], "decommissions");
    let expected = json!({"state": "decommissioned", "occurredAt": decommissioned["timestamp"]});
    assert_eq!(state(&mut rest, &path), expected);
    assert_eq!(client.message().json(), decommissioned);
    refused(&mut rest, "decommissions");
    assert_eq!(state(&mut rest, &path), expected, "what was refused changed nothing");
    client.assert_nothing_else();
    let shown = ids(&mut rest, &format!("/thngs/{thng}/actions/all"));
    assert_eq!(shown, [id_of(&decommissioned), id_of(&commissioned)]);
}

#[test]
fn a_commissioning_keeps_its_text_like_every_action() {
    let mut rest = Server::shared().rest();
    let (_, _, path) = to_be_commissioned(&mut rest, "to-the-letter");
    let fields = r#"{"z":1,"a":123456789012345678901234567890,"f":1.0}"#;
    for (action_type, status) in [("scans", 201), ("commissions", 200)] {
        let answer =
            rest.post(&format!("{path}/actions/{action_type}"), format!(r#"{{"customFields":{fields}}}"#));
        answer.assert_status(status);
        assert!(answer.text().contains(fields), "{action_type}: {}", answer.text());
    }
}

#[test]
fn a_thng_is_commissioned_by_an_action_wherever_it_is_created() {
    let mut rest = Server::shared().rest();
    for (n, by) in ["/actions/commissions", "/actions/all", "/thngs/THNG/actions/all"].into_iter().enumerate()
    {
        let (thng, _, path) = to_be_commissioned(&mut rest, &format!("wherever-{n}"));
        let sent = json!({"type": "commissions", "thng": thng, "timestamp": 7_000});
        rest.create(&by.replace("THNG", &thng), sent);
        assert_eq!(state(&mut rest, &path), json!({"state": "commissioned", "occurredAt": 7_000}), "{by}");
        rest.post(&format!("{path}/actions/commissions"), json!({})).assert_status(409);
    }
}

#[test]
fn one_array_changes_the_state_of_a_thng_once_at_the_most() {
    let mut rest = Server::shared().rest();
    let (thng, _, path) = to_be_commissioned(&mut rest, "in-an-array");
    for types in [["commissions", "commissions"], ["commissions", "decommissions"]] {
        let sent = types.map(|action_type| json!({"type": action_type, "thng": thng}));
        let status = rest.post("/actions/all", json!(sent)).status;
        assert!([400, 409].contains(&status), "{types:?}: {status}");
        assert_eq!(state(&mut rest, &path), json!({"state": "not_commissioned"}), "{types:?}");
        assert_eq!(rest.get(&format!("/thngs/{thng}/actions/all")).expect(200), json!([]), "{types:?}");
    }
    let (other, _, other_path) = to_be_commissioned(&mut rest, "in-an-array-too");
    let sent = [thng, other].map(|thng| json!({"type": "commissions", "thng": thng, "timestamp": 7_000}));
    rest.post("/actions/commissions", json!(sent)).assert_status(201);
    for path in [path, other_path] {
        assert_eq!(state(&mut rest, &path), json!({"state": "commissioned", "occurredAt": 7_000}));
    }
}

#[test]
fn nothing_is_commissioned_that_is_not_there_or_said_wrongly() {
    let mut rest = Server::shared().rest();
    let (_, _, path) = to_be_commissioned(&mut rest, "said-wrongly");
    for missing in ["/thngs/gs1:21:nobody".to_owned(), format!("/thngs/{UNKNOWN}")] {
        rest.get(&format!("{missing}/commissionState")).assert_status(404);
        rest.post(&format!("{missing}/actions/commissions"), json!({})).assert_status(404);
    }
    for wrong in [
        json!({"product": "gs1:01:nothing"}),
        json!({"product": UNKNOWN}),
        json!({"occurredAt": "yesterday"}),
        json!({"location": {"latitude": 91, "longitude": 0}}),
        json!({"type": "decommissions"}),
        json!("now"),
        json!(5),
    ] {
        rest.post(&format!("{path}/actions/commissions"), wrong).assert_status(400);
    }
    assert_eq!(state(&mut rest, &path), json!({"state": "not_commissioned"}));
}
