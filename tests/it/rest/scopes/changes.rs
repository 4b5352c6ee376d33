//! How the scopes of a resource are shown, set and changed, and which names a change may not contain.

use serde_json::{Value, json};
use thng_pubsub_tests::Server;
use thng_pubsub_tests::keys::text;

use super::world::{KINDS, Side, UNKNOWN, World, can_see, scopes};

#[test]
fn scopes_are_shown_only_on_request_and_alike_everywhere() {
    let mut world = World::new();
    let project = world.own.project.clone();
    let expected = json!({"projects": [project], "users": ["all"]});
    for kind in KINDS {
        let sent = json!({"name": "n"});
        let created = world.rest.create(&format!("/{kind}?project={project}&withScopes=true"), sent.clone());
        assert_eq!(created["scopes"], expected, "{kind}");
        let path = format!("/{kind}/{}", text(&created, "id"));
        let plain = [
            world.rest.create(&format!("/{kind}?project={project}"), sent.clone()),
            world.rest.get(&path).expect(200),
            world.rest.get(&format!("{path}?withScopes=false")).expect(200),
            world.rest.put(&path, sent.clone()).expect(200),
            world.rest.get(&format!("/{kind}?project={project}")).expect(200)[0].clone(),
        ];
        for document in plain {
            assert_eq!(document.get("scopes"), None, "{kind}");
        }
        let with = [
            world.rest.get(&format!("{path}?withScopes=true")).expect(200),
            world.rest.put(&format!("{path}?withScopes=true"), sent).expect(200),
            world.rest.get(&format!("/{kind}?project={project}&withScopes=true")).expect(200)[0].clone(),
            world.own.trusted.get(&format!("{path}?withScopes=true")).expect(200),
        ];
        for document in with {
            assert_eq!(document["scopes"], expected, "{kind}");
        }
    }
}

#[test]
fn a_rescope_replaces_named_scopes_at_once() {
    let mut world = World::new();
    let (own, foreign) = (world.own.project.clone(), world.foreign.project.clone());
    let ada = world.own.ada.id.clone();
    for kind in KINDS {
        let id = world.rest.id_of(&format!("/{kind}"), json!({"name": "n"}));
        let path = format!("/{kind}/{id}");
        // What is said, what it is then, and whether trusted applications, Ada and Bob see it.
        for (said, then, [own_app, foreign_app, by_ada, by_bob]) in [
            (
                json!({"projects": [own]}),
                json!({"projects": [own], "users": []}),
                [true, false, false, false],
            ),
            (
                json!({"users": ["all"]}),
                json!({"projects": [own], "users": ["all"]}),
                [true, false, true, true],
            ),
            (
                json!({"projects": [own], "users": [ada]}),
                json!({"projects": [own], "users": [ada]}),
                [true, false, true, false],
            ),
            (
                json!({"projects": [foreign, own]}),
                json!({"projects": [foreign, own], "users": [ada]}),
                [true, true, true, false],
            ),
            (
                json!({"users": []}),
                json!({"projects": [foreign, own], "users": []}),
                [true, true, false, false],
            ),
            (
                json!({"projects": [foreign]}),
                json!({"projects": [foreign], "users": []}),
                [false, true, false, false],
            ),
            (
                json!({"projects": [], "users": ["all"]}),
                json!({"projects": [], "users": ["all"]}),
                [false, false, false, false],
            ),
            (json!({}), json!({"projects": [], "users": ["all"]}), [false, false, false, false]),
            (json!({"projects": [], "users": []}), json!({"projects": [], "users": []}), [false; 4]),
        ] {
            let updated =
                world.rest.put(&format!("{path}?withScopes=true"), json!({"scopes": said})).expect(200);
            assert_eq!(updated["scopes"], then, "{kind} {said}");
            assert_eq!(scopes(&mut world.rest, kind, &id), then, "{kind} {said}");
            for (key, expected) in [
                (&world.own.application.secret_key, own_app),
                (&world.foreign.application.secret_key, foreign_app),
                (&world.own.ada.key, by_ada),
                (&world.own.bob.key, by_bob),
            ] {
                assert_eq!(can_see(world.server, key, kind, &id), expected, "{kind} {said}");
            }
            assert!(
                !can_see(world.server, &world.foreign.ada.key, kind, &id) || then["users"] == json!(["all"])
            );
        }
        world.rest.put(&path, json!({"name": "m"})).assert_status(200);
        assert_eq!(
            scopes(&mut world.rest, kind, &id),
            json!({"projects": [], "users": []}),
            "no scopes said"
        );
    }
}

#[test]
fn scopes_can_be_said_at_the_creation_and_stay_over_a_restart() {
    let server = Server::start();
    let side = Side::new(&server);
    let mut rest = server.rest();
    let said = json!({"projects": [side.project], "users": [side.ada.id, side.bob.id]});
    let made: Vec<(&str, String)> = KINDS
        .iter()
        .map(|kind| (*kind, rest.id_of(&format!("/{kind}"), json!({"name": "n", "scopes": said}))))
        .collect();
    // What the document says counts more than the query.
    let other = rest.project();
    let both = rest.id_of(&format!("/thngs?project={other}"), json!({"name": "n", "scopes": said}));
    let server = server.restart();
    let mut rest = server.rest();
    for (kind, id) in made.iter().chain([&("thngs", both)]) {
        assert_eq!(scopes(&mut rest, kind, id), said, "{kind}");
        for key in [&side.application.secret_key, &side.ada.key, &side.bob.key] {
            assert!(can_see(&server, key, kind, id), "{kind}");
        }
    }
}

/// One attempt to name something: a path, and a body with this id in it.
type Naming = (&'static str, String, fn(&str) -> Value);

#[test]
fn references_into_another_project_are_refused_as_missing() {
    let mut world = World::new();
    let rest = &mut world.rest;
    let own: Vec<String> = KINDS.iter().map(|kind| world.own.make(rest, kind)).collect();
    let foreign: Vec<String> = KINDS.iter().map(|kind| world.foreign.make(rest, kind)).collect();
    let [thng, _, collection, _] = [&own[0], &own[1], &own[2], &own[3]];
    let [of_thngs, of_products, of_collections, of_places] = [0, 1, 2, 3];
    let attempts: [(usize, Naming); 13] = [
        (of_products, ("POST", "/thngs".to_owned(), |id| json!({"name": "n", "product": id}))),
        (of_products, ("PUT", format!("/thngs/{thng}"), |id| json!({"product": id}))),
        (of_collections, ("POST", "/thngs".to_owned(), |id| json!({"name": "n", "collections": [id]}))),
        (of_collections, ("POST", "/collections".to_owned(), |id| json!({"name": "n", "collections": [id]}))),
        (of_places, ("POST", "/thngs".to_owned(), |id| json!({"name": "n", "location": {"place": id}}))),
        (of_places, ("PUT", format!("/thngs/{thng}/location"), |id| json!([{"place": id}]))),
        (of_thngs, ("PUT", format!("/collections/{collection}/thngs"), |id| json!([id]))),
        (of_collections, ("POST", format!("/collections/{collection}/collections"), |id| json!([id]))),
        (of_thngs, ("POST", "/actions/scans".to_owned(), |id| json!({"thng": id}))),
        (of_products, ("POST", "/actions/scans".to_owned(), |id| json!({"product": id}))),
        (of_collections, ("POST", "/actions/scans".to_owned(), |id| json!({"collection": id}))),
        (of_places, ("POST", "/actions/scans".to_owned(), |id| json!({"location": {"place": id}}))),
        (of_products, ("POST", format!("/thngs/{thng}/actions/commissions"), |id| json!({"product": id}))),
    ];
    let mut faults = Vec::new();
    for (kind, (method, path, body)) in &attempts {
        for key in [&world.own.application.secret_key, &world.own.ada.key] {
            let mut own = world.server.rest_as(key);
            let mut send = |id: &str| match *method {
                "PUT" => own.put(path, body(id)),
                _ => own.post(path, body(id)),
            };
            let (hidden, unknown) = (send(&foreign[*kind]), send(UNKNOWN));
            if (hidden.status, hidden.text()) != (unknown.status, unknown.text()) || hidden.status != 400 {
                faults.push(format!(
                    "{method} {path} {}: {} {}, of an unknown id {} {}",
                    body(&foreign[*kind]),
                    hidden.status,
                    hidden.text(),
                    unknown.status,
                    unknown.text()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // What is in their own project can be named in all these ways.
    for (kind, (method, path, body)) in &attempts[..12] {
        let mine = match *kind == of_collections && path.starts_with("/collections/") {
            true => world.own.make(&mut world.rest, "collections"),
            false => own[*kind].clone(),
        };
        let mine = if *kind == of_places {
            let place = json!({"name": "n", "latitude": 1, "longitude": 2});
            world.own.trusted.id_of("/places", place)
        } else {
            mine
        };
        let answer = match *method {
            "PUT" => world.own.trusted.put(path, body(&mine)),
            _ => world.own.trusted.post(path, body(&mine)),
        };
        // A collection is named by actions of one's own types only.
        assert!(
            answer.status < 300 || body(&mine).get("collection").is_some(),
            "{method} {path}: {}",
            answer.text()
        );
    }
}

/// Bug class 23 of `docs/security.md`: mass assignment of scopes.
#[test]
fn scopes_cannot_name_another_project_or_its_users() {
    let mut world = World::new();
    let (own, foreign) = (world.own.project.clone(), world.foreign.project.clone());
    let foreign_user = world.foreign.ada.id.clone();
    let thng = world.own.make(&mut world.rest, "thngs");
    let before = scopes(&mut world.rest, "thngs", &thng);
    for said in [
        json!({"projects": [foreign]}),
        json!({"projects": [own, foreign]}),
        json!({"projects": [UNKNOWN]}),
        json!({"users": [foreign_user]}),
        json!({"users": [UNKNOWN]}),
        json!({"projects": [own], "users": [foreign_user]}),
        json!({"projects": "all"}),
        json!({"projects": ["all"]}),
        json!({"projects": [7]}),
        json!({"users": ["all", foreign_user]}),
    ] {
        for key in [&world.own.application.secret_key, &world.own.ada.key] {
            let mut own = world.server.rest_as(key);
            for path in ["/thngs", "/products", "/collections"] {
                let answer = own.post(path, json!({"name": "n", "scopes": said}));
                assert_eq!(answer.status, 400, "POST {path} {said}: {}", answer.text());
            }
            let answer = own.put(&format!("/thngs/{thng}"), json!({"scopes": said}));
            assert_eq!(answer.status, 400, "PUT {said}: {}", answer.text());
            let answer = own.put(&format!("/thngs?ids={thng}"), json!({"scopes": said}));
            assert_eq!(answer.status, 400, "bulk {said}: {}", answer.text());
        }
        assert_eq!(scopes(&mut world.rest, "thngs", &thng), before, "{said}");
    }
    // Operators reach all projects of the account, and none beyond.
    for said in [json!({"projects": [UNKNOWN]}), json!({"projects": [thng]}), json!({"users": [UNKNOWN]})] {
        world.rest.post("/thngs", json!({"name": "n", "scopes": said})).assert_status(400);
        world.rest.put(&format!("/thngs/{thng}"), json!({"scopes": said})).assert_status(400);
    }
    assert_eq!(scopes(&mut world.rest, "thngs", &thng), before);
    let ada = &world.own.ada.id;
    let narrowed = json!({"projects": [own], "users": [ada]});
    world.own.trusted.put(&format!("/thngs/{thng}"), json!({"scopes": narrowed})).assert_status(200);
    assert_eq!(scopes(&mut world.rest, "thngs", &thng), narrowed);
}

#[test]
fn scopes_are_an_object_and_nothing_else() {
    let mut world = World::new();
    let thng = world.own.make(&mut world.rest, "thngs");
    let before = scopes(&mut world.rest, "thngs", &thng);
    for said in
        [json!("all"), json!(7), json!(true), json!([]), json!([[], []]), json!([[world.own.project]])]
    {
        let answer = world.rest.post("/thngs", json!({"name": "n", "scopes": said}));
        assert_eq!(answer.status, 400, "POST {said}: {}", answer.text());
        let answer = world.rest.put(&format!("/thngs/{thng}"), json!({"scopes": said}));
        assert_eq!(answer.status, 400, "PUT {said}: {}", answer.text());
    }
    assert_eq!(scopes(&mut world.rest, "thngs", &thng), before);
}

#[test]
fn an_application_cannot_unshare_a_resource_from_others() {
    let mut world = World::new();
    let shared = json!({"projects": [world.own.project, world.foreign.project], "users": ["all"]});
    let thng = world.rest.id_of("/thngs", json!({"name": "n", "scopes": shared}));
    let path = format!("/thngs/{thng}");
    world.own.trusted.put(&path, json!({"name": "ours"})).assert_status(200);
    // Clients send the whole document back.
    let mut whole = world.own.trusted.get(&format!("{path}?withScopes=true")).expect(200);
    whole["description"] = json!("d");
    world.own.trusted.put(&path, whole).assert_status(200);
    assert_eq!(scopes(&mut world.rest, "thngs", &thng), shared);
    world.own.trusted.put(&path, json!({"scopes": {"projects": [world.own.project]}})).assert_status(400);
    assert_eq!(scopes(&mut world.rest, "thngs", &thng), shared);
}
