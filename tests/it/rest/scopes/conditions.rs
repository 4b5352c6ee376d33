//! Access tokens whose conditions name resources or projects see and change only these.

use serde_json::json;
use thng_pubsub_tests::keys::text;
use thng_pubsub_tests::{Rest, Server};

use super::world::{KINDS, Side, UNKNOWN, World, ids};

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
