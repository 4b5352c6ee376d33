//! Visibility: the scopes of resources with every kind of key, `?project=` of operators, and the conditions of access
//! tokens. For a client, an invisible resource does not exist, in every kind of request.

use serde_json::{Value, json};
use thng_pubsub_tests::keys::{text, unique};
use thng_pubsub_tests::{Application, Keyed, Response, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// The kinds of resources that have scopes and are found by id.
const KINDS: [&str; 4] = ["thngs", "products", "collections", "places"];

/// A project with an application and two users.
struct Side {
    project: String,
    application: Application,
    ada: Keyed,
    bob: Keyed,
    trusted: Rest,
}

impl Side {
    #[track_caller]
    fn new(server: &Server) -> Side {
        let mut rest = server.rest();
        let project = rest.project();
        let application = rest.application(&project);
        let mut public = server.rest_as(&application.public_key);
        let (ada, bob) = (public.anonymous_user(), public.anonymous_user());
        let trusted = server.rest_as(&application.secret_key);
        Side { project, application, ada, bob, trusted }
    }

    /// Something of a kind in this project.
    #[track_caller]
    fn make(&self, rest: &mut Rest, kind: &str) -> String {
        rest.id_of(&format!("/{kind}?project={}", self.project), json!({"name": "n"}))
    }
}

/// Two projects of one account, and an operator.
struct World {
    server: &'static Server,
    rest: Rest,
    own: Side,
    foreign: Side,
}

impl World {
    #[track_caller]
    fn new() -> World {
        let server = Server::shared();
        World { server, rest: server.rest(), own: Side::new(server), foreign: Side::new(server) }
    }
}

#[track_caller]
fn ids(list: &Response) -> Vec<String> {
    let list = list.expect(200);
    list.as_array().expect("an array").iter().map(|one| text(one, "id")).collect()
}

/// Whether a key sees something: by its id, in the list of its kind, and among the ids asked for, all the same.
#[track_caller]
fn can_see(server: &Server, key: &str, kind: &str, id: &str) -> bool {
    let mut rest = server.rest_as(key);
    let read = rest.get(&format!("/{kind}/{id}"));
    if read.status == 403 {
        rest.get(&format!("/{kind}")).assert_status(403);
        return false;
    }
    let is_there = read.status == 200;
    assert!(is_there || read.status == 404, "GET /{kind}/{id}: {}", read.status);
    let by_id = ids(&rest.get(&format!("/{kind}?ids={id}")));
    assert_eq!(by_id.contains(&id.to_owned()), is_there, "/{kind}?ids=");
    let listed = rest.parts(&format!("/{kind}?perPage=100")).concat();
    assert_eq!(listed.iter().any(|one| one["id"] == *id), is_there, "/{kind}");
    let counted = rest.get(&format!("/{kind}?ids={id}&withTotalCount=true"));
    assert_eq!(counted.header("x-result-count"), Some(if is_there { "1" } else { "0" }), "/{kind} counted");
    is_there
}

#[track_caller]
fn scopes(rest: &mut Rest, kind: &str, id: &str) -> Value {
    rest.get(&format!("/{kind}/{id}?withScopes=true")).expect(200)["scopes"].clone()
}

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

#[test]
fn a_project_in_the_query_narrows_an_operator() {
    let mut world = World::new();
    let (own, foreign) = (world.own.project.clone(), world.foreign.project.clone());
    let rest = &mut world.rest;
    for kind in KINDS {
        let [inside, outside] = [world.own.make(rest, kind), world.foreign.make(rest, kind)];
        let nowhere = rest.id_of(&format!("/{kind}"), json!({"name": "n"}));
        let list = rest.get(&format!("/{kind}?project={own}&withTotalCount=true"));
        assert_eq!((ids(&list), list.header("x-result-count")), (vec![inside.clone()], Some("1")), "{kind}");
        let query = format!("/{kind}?project={own}&ids={inside},{outside},{nowhere}");
        assert_eq!(ids(&rest.get(&query)), [&*inside], "{kind}");
        for id in [&outside, &nowhere] {
            let path = format!("/{kind}/{id}");
            rest.get(&path).assert_status(200);
            let narrowed = format!("{path}?project={own}");
            rest.get(&narrowed).assert_status(404);
            rest.put(&narrowed, json!({"name": "x"})).assert_status(404);
            rest.delete(&narrowed).assert_status(404);
            rest.get(&path).assert_status(200);
        }
        rest.get(&format!("/{kind}/{inside}?project={own}")).assert_status(200);
        rest.get(&format!("/{kind}/{outside}?project={foreign}")).assert_status(200);
    }
    let thng = world.foreign.make(rest, "thngs");
    for (method, path, body) in [
        ("GET", format!("/thngs/{thng}/properties?project={own}"), None),
        ("GET", format!("/thngs/{thng}/properties/k?project={own}"), None),
        ("PUT", format!("/thngs/{thng}/properties/k?project={own}"), Some(json!([{"value": 1}]))),
        ("DELETE", format!("/thngs/{thng}/properties/k?project={own}"), None),
        ("GET", format!("/thngs/{thng}/location?project={own}"), None),
        ("GET", format!("/thngs/{thng}/actions/all?project={own}"), None),
        ("POST", format!("/thngs/{thng}/actions/scans?project={own}"), Some(json!({}))),
    ] {
        let body = body.map(|body: Value| body.to_string());
        let headers = [("Authorization", world.server.key())];
        let answer = rest.send(method, &path, &headers, body.as_deref().map(str::as_bytes));
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    let deleted = rest.delete(&format!("/thngs?project={own}&ids={thng}"));
    assert_eq!(deleted.header("x-result-count"), Some("0"));
    rest.get(&format!("/thngs/{thng}")).assert_status(200);
    for (project, status) in [(UNKNOWN, 400), (&*thng, 400), ("short", 400), ("", 400)] {
        for kind in KINDS {
            let answer = rest.post(&format!("/{kind}?project={project}"), json!({"name": "n"}));
            assert_eq!(answer.status, status, "/{kind}?project={project}");
        }
    }
    assert_eq!(ids(&rest.get(&format!("/thngs?project={UNKNOWN}"))), [""; 0]);
    rest.get("/thngs?project=short").assert_status(400);
}

#[test]
fn a_project_in_the_query_extends_no_rights() {
    let mut world = World::new();
    let (own, foreign) = (world.own.project.clone(), world.foreign.project.clone());
    let hidden = world.foreign.make(&mut world.rest, "thngs");
    let mine = world.own.make(&mut world.rest, "thngs");
    for key in [&world.own.application.secret_key, &world.own.ada.key] {
        let mut rest = world.server.rest_as(key);
        assert_eq!(ids(&rest.get(&format!("/thngs?project={foreign}"))), [""; 0]);
        rest.get(&format!("/thngs/{hidden}?project={foreign}")).assert_status(404);
        rest.get(&format!("/thngs/{mine}?project={foreign}")).assert_status(404);
        rest.get(&format!("/thngs/{mine}?project={own}")).assert_status(200);
        assert!(ids(&rest.get(&format!("/thngs?project={own}"))).contains(&mine));
        // Some clients say their own project on every request.
        let created = rest.create(&format!("/thngs?project={own}&withScopes=true"), json!({"name": "n"}));
        assert_eq!(created["scopes"]["projects"], json!([own]));
        let elsewhere = rest.post(&format!("/thngs?project={foreign}&withScopes=true"), json!({"name": "n"}));
        assert!(
            elsewhere.status == 400 || elsewhere.json()["scopes"]["projects"] == json!([own]),
            "{}",
            elsewhere.text()
        );
        let action = rest.post(&format!("/actions/scans?project={foreign}"), json!({}));
        assert!(action.status == 400 || action.json()["createdByProject"] == *own, "{}", action.text());
    }
    assert_eq!(ids(&world.foreign.trusted.get("/actions/all")), [""; 0]);
    assert_eq!(ids(&world.foreign.trusted.get("/thngs")), [&*hidden]);
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

/// A token with everything on resources, within these conditions.
#[track_caller]
fn conditioned(server: &'static Server, conditions: &[String]) -> Rest {
    let permissions = ["thngs:*", "products:*", "collections:*", "places:*", "actions:*", "projects:*"];
    server.rest_as(&server.rest().access_token(&permissions, conditions).key)
}

#[test]
fn a_token_with_resource_conditions_sees_only_these() {
    let mut world = World::new();
    for kind in KINDS {
        let make = |rest: &mut Rest| rest.id_of(&format!("/{kind}"), json!({"name": "n"}));
        let [first, second, other] = [0; 3].map(|_| make(&mut world.rest));
        let conditions = [format!("{kind}:{first}"), format!("{kind}:{second}")];
        let mut token = conditioned(world.server, &conditions);
        let list = token.get(&format!("/{kind}?withTotalCount=true"));
        assert_eq!(
            (ids(&list), list.header("x-result-count")),
            (vec![second.clone(), first.clone()], Some("2"))
        );
        let query = token.get(&format!("/{kind}?ids={first},{other}"));
        assert_eq!(ids(&query), [&*first], "{kind}");
        assert_eq!(ids(&token.get(&format!("/{kind}?filter=createdAt%3E0"))), [&*second, &*first], "{kind}");
        token.put(&format!("/{kind}/{first}"), json!({"name": "m"})).assert_status(200);
        token.get(&format!("/{kind}/{other}")).assert_status(404);
        token.put(&format!("/{kind}/{other}"), json!({"name": "m"})).assert_status(404);
        token.delete(&format!("/{kind}/{other}")).assert_status(404);
        if kind != "places" {
            let many = token.put(&format!("/{kind}?ids={first},{other}"), json!({"description": "d"}));
            assert_eq!(many.header("x-result-count"), Some("1"), "{kind}");
        }
        assert_eq!(world.rest.get(&format!("/{kind}/{other}")).expect(200)["name"], "n");
        // Of the kinds that are not named there is everything.
        for another in KINDS.iter().filter(|another| **another != kind) {
            let id = world.rest.id_of(&format!("/{another}"), json!({"name": "n"}));
            token.get(&format!("/{another}/{id}")).assert_status(200);
        }
    }
}

#[test]
fn a_token_with_a_thng_condition_writes_only_its_values() {
    let mut world = World::new();
    let (own, other) = (world.rest.thng(), world.rest.thng());
    let mut token = conditioned(world.server, &[format!("thngs:{own}")]);
    let value = || json!([{"value": 1}]);
    token.put(&format!("/thngs/{own}/properties/k"), value()).assert_status(200);
    token.put(&format!("/thngs/{other}/properties/k"), value()).assert_status(404);
    token.get(&format!("/thngs/{own}/properties/k")).assert_status(200);
    token.get(&format!("/thngs/{other}/properties")).assert_status(404);
    token.get(&format!("/thngs/{other}/location")).assert_status(404);
    token.get(&format!("/thngs/{other}/actions/all")).assert_status(404);
    token.post("/actions/scans", json!({"thng": own})).assert_status(201);
    token.post("/actions/scans", json!({"thng": other})).assert_status(400);
    let collection = world.rest.id_of("/collections", json!({"name": "c"}));
    token.put(&format!("/collections/{collection}/thngs"), json!([own])).assert_status(200);
    token.put(&format!("/collections/{collection}/thngs"), json!([other])).assert_status(400);
    world.rest.put(&format!("/collections/{collection}/thngs"), json!([other])).assert_status(200);
    assert_eq!(ids(&token.get(&format!("/collections/{collection}/thngs"))), [&*own]);
}

#[test]
fn a_token_on_condition_of_a_project_stays_within_it() {
    let mut world = World::new();
    let (own, foreign) = (world.own.project.clone(), world.foreign.project.clone());
    let mut token = conditioned(world.server, &[format!("projects:{own}")]);
    assert_eq!(ids(&token.get("/projects")), [&*own]);
    token.get(&format!("/projects/{foreign}")).assert_status(404);
    for kind in KINDS {
        let rest = &mut world.rest;
        let (inside, outside) = (world.own.make(rest, kind), world.foreign.make(rest, kind));
        let nowhere = rest.id_of(&format!("/{kind}"), json!({"name": "n"}));
        let list = token.get(&format!("/{kind}?withTotalCount=true"));
        assert_eq!((ids(&list), list.header("x-result-count")), (vec![inside.clone()], Some("1")), "{kind}");
        for hidden in [&outside, &nowhere] {
            token.get(&format!("/{kind}/{hidden}")).assert_status(404);
            token.put(&format!("/{kind}/{hidden}"), json!({"name": "x"})).assert_status(404);
            token.delete(&format!("/{kind}/{hidden}")).assert_status(404);
        }
        assert_eq!(ids(&token.get(&format!("/{kind}?project={foreign}"))), [""; 0], "{kind}");
        let created = token.create(&format!("/{kind}?project={own}"), json!({"name": "n"}));
        token.get(&format!("/{kind}/{}", text(&created, "id"))).assert_status(200);
        for (query, document) in [
            (format!("?project={foreign}"), json!({"name": "n"})),
            (String::new(), json!({"name": "n", "scopes": {"projects": [foreign]}})),
            (String::new(), json!({"name": "n", "scopes": {"projects": [own, foreign]}})),
        ] {
            let answer = token.post(&format!("/{kind}{query}"), document.clone());
            assert_eq!(answer.status, 400, "/{kind}{query} {document}: {}", answer.text());
        }
        let moved = token.put(&format!("/{kind}/{inside}"), json!({"scopes": {"projects": [foreign]}}));
        assert_eq!(moved.status, 400, "/{kind}: {}", moved.text());
        // What it makes without a word it sees.
        let plain = token.create(&format!("/{kind}"), json!({"name": "n"}));
        token.get(&format!("/{kind}/{}", text(&plain, "id"))).assert_status(200);
    }
    let (thng, hidden) =
        (world.own.make(&mut world.rest, "thngs"), world.foreign.make(&mut world.rest, "products"));
    token.put(&format!("/thngs/{thng}"), json!({"product": hidden})).assert_status(400);
    token.post("/thngs", json!({"name": "n", "product": hidden})).assert_status(400);
}

#[test]
fn applications_are_within_the_condition_of_a_project_too() {
    let world = World::new();
    let permissions = ["projects:*", "applications:*", "projects.applications:*"];
    let condition = [format!("projects:{}", world.own.project)];
    let key = world.server.rest().access_token(&permissions, &condition).key;
    let mut token = world.server.rest_as(&key);
    let path = |side: &Side| format!("/projects/{}/applications/{}", side.project, side.application.id);
    token.get(&path(&world.own)).assert_status(200);
    token.get(&path(&world.foreign)).assert_status(404);
    token.get(&format!("/applications/{}", world.foreign.application.id)).assert_status(404);
    assert_eq!(ids(&token.get("/applications")), [&*world.own.application.id]);
    token.put(&path(&world.foreign), json!({"name": "mine"})).assert_status(404);
    token.delete(&path(&world.foreign)).assert_status(404);
    world.server.rest().get(&path(&world.foreign)).assert_status(200);
}

#[test]
fn conditions_of_several_kinds_hold_together_and_change_at_once() {
    let mut world = World::new();
    let rest = &mut world.rest;
    let inside = world.own.make(rest, "thngs");
    let outside = world.foreign.make(rest, "thngs");
    let policy = rest.access_policy(&["thngs:read,list"]);
    let of = |kind: &str, id: &str| format!("{kind}:{id}");
    let own_project = of("projects", &world.own.project);
    let token =
        json!({"name": "n", "policies": [policy], "conditions": [own_project, of("thngs", &outside)]});
    let token = rest.create("/accessTokens", token);
    let path = format!("/accessTokens/{}", text(&token, "id"));
    let mut own = world.server.rest_as(&text(&token, "apiKey"));
    for (conditions, seen) in [
        (vec![own_project.clone(), of("thngs", &outside)], vec![]),
        (vec![own_project.clone(), of("thngs", &inside)], vec![&inside]),
        (vec![of("thngs", &outside)], vec![&outside]),
        (vec![of("thngs", &outside), of("thngs", &inside)], vec![&outside, &inside]),
        (vec![own_project], vec![&inside]),
        (vec![of("thngs", UNKNOWN)], vec![]),
    ] {
        rest.put(&path, json!({"conditions": conditions})).assert_status(200);
        for id in [&inside, &outside] {
            let status = own.get(&format!("/thngs/{id}")).status;
            assert_eq!(status == 200, seen.contains(&id), "{conditions:?}: {status}");
        }
        let listed = ids(&own.get("/thngs"));
        assert_eq!(listed.iter().collect::<Vec<_>>(), seen, "{conditions:?}");
    }
    rest.put(&path, json!({"conditions": []})).assert_status(200);
    for id in [&inside, &outside] {
        own.get(&format!("/thngs/{id}")).assert_status(200);
    }
}
