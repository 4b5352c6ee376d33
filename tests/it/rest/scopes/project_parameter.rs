//! `?project=` narrows what an operator sees, and extends no right.

use serde_json::{Value, json};

use super::world::{KINDS, UNKNOWN, World, ids};

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
