//! Which kind of key sees which resource. For a client, an invisible resource does not exist, in every kind of request.

use serde_json::{Value, json};
use thng_pubsub_tests::Rest;
use thng_pubsub_tests::keys::{text, unique};

use super::world::{KINDS, Side, World, can_see, ids, scopes};

#[test]
fn resources_outside_projects_are_visible_to_operators_only() {
    let mut world = World::new();
    for kind in KINDS {
        let id = world.rest.id_of(&format!("/{kind}"), json!({"name": "n"}));
        assert_eq!(scopes(&mut world.rest, kind, &id), json!({"projects": [], "users": []}), "{kind}");
        let Side { application, ada, .. } = &world.own;
        for key in [&application.public_key, &application.secret_key, &ada.key] {
            assert!(!can_see(world.server, key, kind, &id), "{kind}");
        }
        assert!(can_see(world.server, world.server.key(), kind, &id), "{kind}");
    }
}

#[test]
fn resources_of_a_project_are_visible_within_it_only() {
    let mut world = World::new();
    for kind in KINDS {
        let id = world.own.make(&mut world.rest, kind);
        let expected = json!({"projects": [world.own.project], "users": ["all"]});
        assert_eq!(scopes(&mut world.rest, kind, &id), expected, "{kind}");
        let Side { application, ada, bob, .. } = &world.own;
        for key in [&application.secret_key, &ada.key, &bob.key] {
            assert!(can_see(world.server, key, kind, &id), "{kind}");
        }
        // The public key reads products and places.
        let public = matches!(kind, "products" | "places");
        assert_eq!(can_see(world.server, &application.public_key, kind, &id), public, "{kind}");
        let Side { application, ada, .. } = &world.foreign;
        for key in [&application.secret_key, &application.public_key, &ada.key] {
            assert!(!can_see(world.server, key, kind, &id), "{kind}");
        }
    }
}

#[test]
fn what_a_user_makes_is_for_them_alone_within_their_project() {
    let mut world = World::new();
    let Side { project, ada, bob, application, .. } = &world.own;
    let mut own = world.server.rest_as(&ada.key);
    for kind in ["thngs", "products", "collections"] {
        let created = own.create(&format!("/{kind}?withScopes=true"), json!({"name": "n"}));
        let id = text(&created, "id");
        assert_eq!(created["scopes"], json!({"projects": [project], "users": [ada.id]}), "{kind}");
        assert_eq!(scopes(&mut world.rest, kind, &id), created["scopes"], "{kind}");
        for (key, expected) in [
            (&ada.key, true),
            (&application.secret_key, true),
            (&bob.key, false),
            (&world.foreign.application.secret_key, false),
            (&world.foreign.ada.key, false),
        ] {
            assert_eq!(can_see(world.server, key, kind, &id), expected, "{kind}");
        }
        let mut other = world.server.rest_as(&bob.key);
        other.put(&format!("/{kind}/{id}"), json!({"name": "mine"})).assert_status(404);
        own.put(&format!("/{kind}/{id}"), json!({"name": "still mine"})).assert_status(200);
        own.delete(&format!("/{kind}/{id}")).assert_status(403);
    }
    let action = own.create("/actions/scans", json!({}));
    let path = format!("/actions/scans/{}", text(&action, "id"));
    assert_eq!((&action["user"], &action["createdByProject"]), (&json!(ada.id), &json!(project)));
    for (key, status) in [
        (&ada.key, 200),
        (&application.secret_key, 200),
        (&bob.key, 404),
        (&world.foreign.application.secret_key, 404),
    ] {
        world.server.rest_as(key).get(&path).assert_status(status);
    }
    assert_eq!(ids(&world.server.rest_as(&bob.key).get("/actions/all")), [""; 0]);
}

#[test]
fn a_user_does_nothing_to_what_is_not_for_them() {
    let mut world = World::new();
    let (ada, bob) = (world.own.ada.clone(), world.own.bob.clone());
    let thng = world.server.rest_as(&ada.key).id_of("/thngs", json!({"name": "Ada's"}));
    let product = world.server.rest_as(&ada.key).id_of("/products", json!({"name": "Ada's"}));
    let collection = world.server.rest_as(&ada.key).id_of("/collections", json!({"name": "Ada's"}));
    let mut own = world.server.rest_as(&bob.key);
    let mine = own.id_of("/thngs", json!({"name": "Bob's"}));
    for (method, path, body) in [
        ("GET", format!("/thngs/{thng}"), None),
        ("GET", format!("/thngs/{thng}/properties"), None),
        ("GET", format!("/thngs/{thng}/properties/k"), None),
        ("GET", format!("/thngs/{thng}/location"), None),
        ("GET", format!("/thngs/{thng}/actions/all"), None),
        ("GET", format!("/thngs/{thng}/commissionState"), None),
        ("PUT", format!("/thngs/{thng}/properties/k"), Some(json!([{"value": 1}]))),
        ("POST", format!("/thngs/{thng}/properties"), Some(json!([{"key": "k", "value": 1}]))),
        ("PUT", format!("/thngs/{thng}/location"), Some(json!([{"latitude": 1, "longitude": 1}]))),
        ("POST", format!("/thngs/{thng}/actions/scans"), Some(json!({}))),
        ("PUT", format!("/products/{product}/properties/k"), Some(json!([{"value": 1}]))),
        ("DELETE", format!("/products/{product}/properties/k"), None),
        ("GET", format!("/collections/{collection}/thngs"), None),
        ("PUT", format!("/collections/{collection}/thngs"), Some(json!([mine]))),
        ("GET", format!("/auth/evrythng/thngs/{thng}"), None),
    ] {
        let body = body.map(|body: Value| body.to_string());
        let answer =
            own.send(method, &path, &[("Authorization", &bob.key)], body.as_deref().map(str::as_bytes));
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
    }
    own.post("/actions/scans", json!({"thng": thng})).assert_status(400);
    own.post("/thngs", json!({"name": "n", "product": product})).assert_status(400);
    let read = world.rest.get(&format!("/thngs/{thng}")).expect(200);
    assert_eq!((&read["name"], &read["properties"]), (&json!("Ada's"), &json!({})));
}

#[test]
fn a_trusted_application_sees_nothing_of_another_project() {
    let mut world = World::new();
    let rest = &mut world.rest;
    let thng = world.own.make(rest, "thngs");
    let product = world.own.make(rest, "products");
    let collection = world.own.make(rest, "collections");
    let child = world.own.make(rest, "collections");
    let place = world.own.make(rest, "places");
    rest.put(&format!("/thngs/{thng}"), json!({"product": product, "identifiers": {"serial": thng}}))
        .assert_status(200);
    rest.put(&format!("/thngs/{thng}/properties/k"), json!([{"value": 1}])).assert_status(200);
    rest.put(&format!("/products/{product}/properties/k"), json!([{"value": 1}])).assert_status(200);
    rest.put(&format!("/collections/{collection}/thngs"), json!([thng])).assert_status(200);
    rest.post(&format!("/collections/{collection}/collections"), json!([child])).assert_status(200);
    let kind = format!("_{}", unique("type").replace(' ', "_"));
    rest.create(&format!("/actions?project={}", world.own.project), json!({"name": kind}));
    let action = rest.id_of(&format!("/thngs/{thng}/actions/{kind}"), json!({}));
    let _ = rest.device(&thng);
    let user = &world.own.ada.id;
    let mine = world.foreign.make(rest, "thngs");
    let before = [
        rest.get(&format!("/thngs/{thng}")).expect(200),
        rest.get(&format!("/products/{product}")).expect(200),
        rest.get(&format!("/collections/{collection}/thngs")).expect(200),
        rest.get(&format!("/places/{place}")).expect(200),
        rest.get(&format!("/actionTypes/{kind}")).expect(200),
    ];

    let name = || Some(json!({"name": "mine"}));
    let value = || Some(json!([{"value": 2}]));
    let entry = || Some(json!([{"key": "k", "value": 2}]));
    let key = world.foreign.application.secret_key.clone();
    let mut faults = Vec::new();
    for (method, path, body) in [
        ("GET", format!("/thngs/{thng}"), None),
        ("PUT", format!("/thngs/{thng}"), name()),
        ("DELETE", format!("/thngs/{thng}"), None),
        ("GET", format!("/thngs/serial:{thng}"), None),
        ("PUT", format!("/thngs/serial:{thng}"), name()),
        ("DELETE", format!("/thngs/serial:{thng}"), None),
        ("GET", format!("/thngs/{thng}/properties"), None),
        ("PUT", format!("/thngs/{thng}/properties"), entry()),
        ("POST", format!("/thngs/{thng}/properties"), entry()),
        ("DELETE", format!("/thngs/{thng}/properties"), None),
        ("GET", format!("/thngs/{thng}/properties/k"), None),
        ("PUT", format!("/thngs/{thng}/properties/k"), value()),
        ("POST", format!("/thngs/{thng}/properties/k"), value()),
        ("DELETE", format!("/thngs/{thng}/properties/k"), None),
        ("GET", format!("/thngs/{thng}/location"), None),
        ("PUT", format!("/thngs/{thng}/location"), Some(json!([{"latitude": 1, "longitude": 1}]))),
        ("DELETE", format!("/thngs/{thng}/location"), None),
        ("GET", format!("/thngs/{thng}/commissionState"), None),
        ("GET", format!("/thngs/serial:{thng}/commissionState"), None),
        ("GET", format!("/thngs/{thng}/actions/all"), None),
        ("POST", format!("/thngs/{thng}/actions/scans"), Some(json!({}))),
        ("POST", format!("/thngs/{thng}/actions/commissions"), Some(json!({}))),
        ("GET", format!("/thngs/{thng}/actions/{kind}/{action}"), None),
        ("GET", format!("/thngs/{mine}/actions/{kind}/{action}"), None),
        ("GET", format!("/products/{product}"), None),
        ("PUT", format!("/products/{product}"), name()),
        ("DELETE", format!("/products/{product}"), None),
        ("GET", format!("/products/{product}/properties"), None),
        ("PUT", format!("/products/{product}/properties"), entry()),
        ("PUT", format!("/products/{product}/properties/k"), value()),
        ("GET", format!("/products/{product}/properties/k"), None),
        ("DELETE", format!("/products/{product}/properties/k"), None),
        ("DELETE", format!("/products/{product}/properties"), None),
        ("GET", format!("/products/{product}/actions/all"), None),
        ("POST", format!("/products/{product}/actions/scans"), Some(json!({}))),
        ("GET", format!("/collections/{collection}"), None),
        ("PUT", format!("/collections/{collection}"), name()),
        ("DELETE", format!("/collections/{collection}"), None),
        ("GET", format!("/collections/{collection}/thngs"), None),
        ("PUT", format!("/collections/{collection}/thngs"), Some(json!([mine]))),
        ("DELETE", format!("/collections/{collection}/thngs"), None),
        ("DELETE", format!("/collections/{collection}/thngs/{thng}"), None),
        ("GET", format!("/collections/{collection}/collections"), None),
        ("POST", format!("/collections/{collection}/collections"), Some(json!([]))),
        ("DELETE", format!("/collections/{collection}/collections"), None),
        ("DELETE", format!("/collections/{collection}/collections/{child}"), None),
        ("GET", format!("/collections/{collection}/actions/all"), None),
        ("POST", format!("/collections/{collection}/actions/{kind}"), Some(json!({}))),
        ("GET", format!("/places/{place}"), None),
        ("PUT", format!("/places/{place}"), name()),
        ("DELETE", format!("/places/{place}"), None),
        ("GET", format!("/actions/all/{action}"), None),
        ("GET", format!("/actions/{kind}/{action}"), None),
        ("POST", format!("/actions/{kind}"), Some(json!({}))),
        ("GET", format!("/actionTypes/{kind}"), None),
        ("DELETE", format!("/actionTypes/{kind}"), None),
        ("DELETE", format!("/actions/{kind}"), None),
        ("GET", format!("/auth/evrythng/thngs/{thng}"), None),
        ("DELETE", format!("/auth/evrythng/thngs/{thng}"), None),
        ("GET", format!("/users/{user}"), None),
        ("GET", format!("/users/{user}/status"), None),
        ("POST", format!("/auth/evrythng/users/{user}/validate"), Some(json!({"activationCode": "x"}))),
    ] {
        let body = body.map(|body| body.to_string());
        let headers = [("Authorization", &*key)];
        let answer = world.foreign.trusted.send(method, &path, &headers, body.as_deref().map(str::as_bytes));
        if answer.status != 404 {
            faults.push(format!("{method} {path}: {} {}", answer.status, answer.text()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The list of actions of a type that does not exist is empty.
    assert_eq!(ids(&world.foreign.trusted.get(&format!("/actions/{kind}"))), [""; 0]);
    let after = [
        rest.get(&format!("/thngs/{thng}")).expect(200),
        rest.get(&format!("/products/{product}")).expect(200),
        rest.get(&format!("/collections/{collection}/thngs")).expect(200),
        rest.get(&format!("/places/{place}")).expect(200),
        rest.get(&format!("/actionTypes/{kind}")).expect(200),
    ];
    assert_eq!(after, before, "nothing was changed");
}

#[test]
fn no_list_count_filter_or_bulk_change_reaches_another_project() {
    let mut world = World::new();
    let (own, foreign) = (world.own.project.clone(), world.foreign.project.clone());
    let name = unique("hidden");
    let collection = world.own.make(&mut world.rest, "collections");
    for kind in KINDS {
        let make = |rest: &mut Rest| {
            let document = json!({"name": name, "tags": ["hidden"], "identifiers": {"serial": name}});
            rest.id_of(&format!("/{kind}?project={own}"), document)
        };
        let hidden = [make(&mut world.rest), make(&mut world.rest)];
        match kind {
            "thngs" => {
                world.rest.put(&format!("/collections/{collection}/thngs"), json!(hidden)).assert_status(200)
            }
            "collections" => world
                .rest
                .post(&format!("/collections/{collection}/collections"), json!(hidden))
                .assert_status(200),
            _ => {}
        }
        let list = format!("/{kind}");
        let encoded = name.replace(' ', "%20");
        let mut queries = vec![
            String::new(),
            format!("project={own}&"),
            format!("ids={}&", hidden.join(",")),
            format!("ids={}&project={own}&", hidden[0]),
            format!("filter=name={encoded}&"),
            "filter=tags=hidden&".to_owned(),
            format!("filter=identifiers.serial={encoded}&"),
            format!("filter=name={encoded}|name=other&"),
            format!("filter=name!=other&"),
            "filter=createdAt%3E0&".to_owned(),
            "sortOrder=ASCENDING&".to_owned(),
        ];
        if matches!(kind, "thngs" | "collections") {
            queries.push(format!("filter=collections={collection}&"));
        }
        for query in queries {
            for suffix in ["perPage=100", "page=1", "withTotalCount=true"] {
                let answer = world.foreign.trusted.get(&format!("{list}?{query}{suffix}"));
                assert_eq!(ids(&answer), [""; 0], "{list}?{query}{suffix}");
                let count = answer.header("x-result-count");
                let expected = (suffix != "perPage=100").then_some("0");
                assert_eq!(count, expected, "{list}?{query}{suffix}");
                assert_eq!(answer.header("link"), None, "{list}?{query}{suffix}");
            }
        }
        if kind != "places" {
            for selection in [
                format!("ids={}", hidden.join(",")),
                format!("filter=name={encoded}"),
                format!("ids={}&project={own}", hidden.join(",")),
            ] {
                let path = format!("{list}?{selection}");
                let updated = world.foreign.trusted.put(&path, json!({"description": "mine"}));
                updated.assert_status(204);
                assert_eq!(updated.header("x-result-count"), Some("0"), "{path}");
                let deleted = world.foreign.trusted.delete(&path);
                deleted.assert_status(200);
                assert_eq!(deleted.header("x-result-count"), Some("0"), "{path}");
            }
        }
        for id in &hidden {
            let read = world.rest.get(&format!("{list}/{id}?withScopes=true")).expect(200);
            assert_eq!((read.get("description"), &read["scopes"]["projects"]), (None, &json!([own])));
        }
    }
    assert_ne!(own, foreign);
}

#[test]
fn actions_are_visible_with_their_subject() {
    let mut world = World::new();
    let thng = world.own.make(&mut world.rest, "thngs");
    let path = format!("/thngs/{thng}/actions/scans");
    let made: Vec<String> = vec![
        world.rest.id_of(&path, json!({})),
        world.rest.id_of("/actions/scans", json!({"thng": thng})),
        world.own.trusted.id_of("/actions/scans", json!({"thng": thng})),
    ];
    let nowhere = world.rest.id_of("/actions/scans", json!({}));
    let newest_first: Vec<String> = made.iter().rev().cloned().collect();
    for key in [&world.own.application.secret_key, &world.own.ada.key] {
        let mut own = world.server.rest_as(key);
        for list in [path.clone(), "/actions/scans".to_owned(), "/actions/all".to_owned()] {
            assert_eq!(ids(&own.get(&list)), newest_first, "{list}");
        }
        own.get(&format!("/actions/all/{nowhere}")).assert_status(404);
    }
    for key in [&world.foreign.application.secret_key, &world.foreign.ada.key] {
        let mut other = world.server.rest_as(key);
        for list in ["/actions/scans", "/actions/all"] {
            let all = other.get(&format!("{list}?withTotalCount=true"));
            assert_eq!((ids(&all), all.header("x-result-count")), (vec![], Some("0")), "{list}");
            assert_eq!(ids(&other.get(&format!("{list}?filter=thng={thng}"))), [""; 0]);
            assert_eq!(ids(&other.get(&format!("{list}?ids={}", made[0]))), [""; 0]);
        }
    }
}

#[test]
fn action_types_are_those_of_the_project_and_built_in() {
    let mut world = World::new();
    let name = |what: &str| format!("_{}", unique(what).replace(' ', "_"));
    let (own, foreign, nowhere) = (name("own"), name("foreign"), name("nowhere"));
    world.rest.create(&format!("/actions?project={}", world.own.project), json!({"name": own}));
    world.rest.create(&format!("/actions?project={}", world.foreign.project), json!({"name": foreign}));
    world.rest.create("/actions", json!({"name": nowhere}));
    let Side { application, ada, .. } = &world.own;
    for key in [&application.secret_key, &application.public_key, &ada.key] {
        let mut rest = world.server.rest_as(key);
        let parts = rest.parts("/actions?perPage=100").concat();
        let names: Vec<String> = parts.iter().map(|one| text(one, "name")).collect();
        assert!(names.len() >= 5 && names.contains(&"scans".to_owned()), "{names:?}");
        assert_eq!(names.last(), Some(&own), "{names:?}");
        assert!(!names.contains(&foreign) && !names.contains(&nowhere), "{names:?}");
        for hidden in [&foreign, &nowhere] {
            assert_eq!(rest.get(&format!("/actions?filter=name={hidden}")).expect(200), json!([]));
            rest.get(&format!("/actionTypes/{hidden}")).assert_status(404);
        }
        assert_eq!(rest.get(&format!("/actions?filter=name={own}")).expect(200)[0]["name"], *own);
    }
    let mut own_rest = world.server.rest_as(&ada.key);
    own_rest.post(&format!("/actions/{own}"), json!({})).assert_status(201);
    own_rest.post(&format!("/actions/{foreign}"), json!({})).assert_status(404);
    own_rest.post("/actions/all", json!({"type": foreign})).assert_status(400);
}

#[test]
fn members_and_collections_are_listed_by_visibility() {
    let mut world = World::new();
    let rest = &mut world.rest;
    let collection = world.own.make(rest, "collections");
    let (inside, outside) = (world.own.make(rest, "thngs"), world.foreign.make(rest, "thngs"));
    let (child, foreign) = (world.own.make(rest, "collections"), world.foreign.make(rest, "collections"));
    rest.put(&format!("/collections/{collection}/thngs"), json!([inside, outside])).assert_status(200);
    rest.put(&format!("/collections/{foreign}/thngs"), json!([inside])).assert_status(200);
    rest.post(&format!("/collections/{collection}/collections"), json!([child, foreign])).assert_status(200);
    let listed = world.own.trusted.get(&format!("/collections/{collection}/thngs?withTotalCount=true"));
    assert_eq!((ids(&listed), listed.header("x-result-count")), (vec![inside.clone()], Some("1")));
    assert_eq!(ids(&world.own.trusted.get(&format!("/collections/{collection}/collections"))), [&*child]);
    let shown = world.own.trusted.get(&format!("/thngs/{inside}")).expect(200);
    assert_eq!(shown["collections"], json!([collection]), "not the id of one that is not there for it");
    let listed = world.own.trusted.get("/thngs").expect(200);
    assert!(!listed.to_string().contains(&foreign), "{listed}");
    let mut all = world.rest.get(&format!("/thngs/{inside}")).expect(200)["collections"].clone();
    let all = all.as_array_mut().expect("an array");
    assert_eq!(all.len(), 2, "{all:?}");
}

#[test]
fn a_filter_does_not_reveal_members_of_a_hidden_collection() {
    let mut world = World::new();
    let rest = &mut world.rest;
    let (own, foreign) = (world.own.make(rest, "collections"), world.foreign.make(rest, "collections"));
    let [thng, child] = [world.own.make(rest, "thngs"), world.own.make(rest, "collections")];
    for collection in [&own, &foreign] {
        rest.put(&format!("/collections/{collection}/thngs"), json!([thng])).assert_status(200);
        rest.post(&format!("/collections/{collection}/collections"), json!([child])).assert_status(200);
    }
    for (kind, id) in [("thngs", &thng), ("collections", &child)] {
        let mut query = |collection: &str| {
            ids(&world.own.trusted.get(&format!("/{kind}?filter=collections={collection}")))
        };
        assert_eq!(query(&own), [&**id], "{kind}");
        assert_eq!(query(&foreign), [""; 0], "{kind}");
    }
}
