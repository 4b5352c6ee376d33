//! Roles of operators: a tree of switches, and what each switch permits.

use serde_json::json;
use thng_pubsub_tests::keys::{text, unique};
use thng_pubsub_tests::{Rest, Server};

use super::attempts::{UNKNOWN, attempt, names, operator_role, operator_with};

#[test]
fn an_operator_role_is_a_tree_of_switches() {
    let mut rest = Server::shared().rest();
    let role = rest.id_of("/roles", json!({"name": unique("role")}));
    let path = format!("/roles/{role}/permissions");
    let tree = rest.get(&path).expect(200);
    assert_eq!(names(&tree), ["global_read", "project_read"]);
    assert_eq!(names(&tree[0]["children"]), ["gl_resource_update", "gl_project_update"]);
    assert_eq!(names(&tree[1]["children"]), ["project_update", "project_resource_update"]);
    for name in [
        "global_read",
        "gl_resource_update",
        "gl_project_update",
        "project_read",
        "project_update",
        "project_resource_update",
    ] {
        let switch = rest.get(&format!("{path}/{name}")).expect(200);
        assert_eq!((&switch["name"], &switch["enabled"]), (&json!(name), &json!(false)));
        assert_eq!(switch["projectScoped"] == true, name.starts_with("project_"), "{switch}");
        let set = rest.put(&format!("{path}/{name}"), json!({"enabled": true})).expect(200);
        assert_eq!((&set["name"], &set["enabled"]), (&json!(name), &json!(true)));
        assert_eq!(rest.get(&format!("{path}/{name}")).expect(200), set);
        rest.put(&format!("{path}/{name}"), json!({"enabled": false})).assert_status(200);
    }
    assert_eq!(rest.get(&path).expect(200), tree, "as it was");
    let mut whole = tree.clone();
    whole[0]["enabled"] = json!(true);
    assert_eq!(rest.put(&path, whole.clone()).expect(200), whole);
    assert_eq!(rest.get(&path).expect(200), whole);

    let project = rest.project();
    let scoped = rest
        .put(&format!("{path}/project_read"), json!({"enabled": true, "projects": [project]}))
        .expect(200);
    assert_eq!(scoped["projects"], json!([project]));
    for (name, body, status) in [
        ("nosuchname", json!({"enabled": true}), 404),
        ("project_read", json!({}), 400),
        ("project_read", json!({"enabled": "yes"}), 400),
        ("project_read", json!({"enabled": true, "projects": [UNKNOWN]}), 400),
        ("project_read", json!({"enabled": true, "projects": ["short"]}), 400),
        ("project_read", json!({"enabled": true, "projects": [role]}), 400),
        ("project_read", json!([]), 400),
    ] {
        let answer = rest.put(&format!("{path}/{name}"), body.clone());
        assert_eq!(answer.status, status, "{name} {body}");
    }
    rest.get(&format!("{path}/nosuchname")).assert_status(404);
    rest.put(&path, json!([{"name": "nosuchname", "enabled": true}])).assert_status(404);
    assert_eq!(rest.get(&format!("{path}/project_read")).expect(200), scoped, "nothing was changed");
    for (role, enabled) in [("admin", true), ("none", false)] {
        let tree = rest.get(&format!("/roles/{role}/permissions")).expect(200);
        assert_eq!(names(&tree)[0], "global_read");
        assert_eq!(tree[0]["enabled"], enabled, "{role}");
    }
}

#[test]
fn an_operator_without_switches_reads_only_their_own_access() {
    let server = Server::shared();
    let thng = server.rest().thng();
    let mut other = operator_with(server, &[]);
    let access = other.get("/access").expect(200);
    let own = format!("/operators/{}", text(&access["actor"], "id"));
    attempt(
        &mut other,
        [
            ("GET", own.clone(), None, 200),
            ("PUT", own, Some(json!({"firstName": "A"})), 200),
            ("GET", "/me".to_owned(), None, 200),
            ("GET", "/rateLimits".to_owned(), None, 200),
            ("GET", "/thngs".to_owned(), None, 403),
            ("GET", format!("/thngs/{thng}"), None, 403),
            ("POST", "/thngs".to_owned(), Some(json!({"name": "n"})), 403),
            ("GET", "/projects".to_owned(), None, 403),
            ("GET", "/accounts".to_owned(), None, 403),
            ("GET", "/roles".to_owned(), None, 403),
        ],
    );
}

#[test]
fn global_read_reads_everything_but_keys_and_writes_nothing() {
    let server = &Server::start();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let (thng, scoped) =
        (rest.thng(), rest.id_of(&format!("/thngs?project={project}"), json!({"name": "n"})));
    let _ = rest.device(&thng);
    let account = rest.account();
    let role = rest.id_of("/roles", json!({"name": unique("role")}));
    let applications = format!("/projects/{project}/applications");
    let mut other = operator_with(server, &[("global_read", None)]);
    attempt(
        &mut other,
        [
            ("GET", format!("/thngs/{thng}"), None, 200),
            ("GET", format!("/thngs/{scoped}"), None, 200),
            ("GET", format!("/thngs/{thng}/properties"), None, 200),
            ("GET", "/thngs".to_owned(), None, 200),
            ("GET", format!("/projects/{project}"), None, 200),
            ("GET", applications.clone(), None, 200),
            ("GET", "/users".to_owned(), None, 200),
            ("GET", "/batches".to_owned(), None, 200),
            ("GET", format!("/roles/{role}"), None, 200),
            ("GET", format!("/accounts/{account}"), None, 200),
            ("GET", format!("{applications}/{}/secretKey", application.id), None, 403),
            ("GET", format!("/auth/evrythng/thngs/{thng}"), None, 403),
            ("POST", "/thngs".to_owned(), Some(json!({"name": "n"})), 403),
            ("PUT", format!("/thngs/{thng}"), Some(json!({"name": "n"})), 403),
            ("PUT", format!("/thngs/{thng}/properties/k"), Some(json!([{"value": 1}])), 403),
            ("POST", "/actions/scans".to_owned(), Some(json!({})), 403),
            ("DELETE", format!("/thngs/{thng}"), None, 403),
            ("POST", "/projects".to_owned(), Some(json!({"name": "n"})), 403),
            ("POST", "/roles".to_owned(), Some(json!({"name": "n"})), 403),
            (
                "PUT",
                format!("/roles/{role}/permissions/gl_resource_update"),
                Some(json!({"enabled": true})),
                403,
            ),
            ("POST", format!("/accounts/{account}/accesses"), Some(json!({"email": "a@b.c"})), 403),
            (
                "POST",
                "/accessTokens".to_owned(),
                Some(json!({"name": "n", "policies": ["evt:accountAdmin"]})),
                403,
            ),
            ("POST", "/auth/evrythng/thngs".to_owned(), Some(json!({"thngId": thng})), 403),
        ],
    );
    // It reads the whole account, also as numbers.
    let counted = other.get("/thngs?withTotalCount=true&perPage=1");
    assert_eq!(
        counted.header("x-result-count"),
        rest.get("/thngs?withTotalCount=true&perPage=1").header("x-result-count")
    );
}

#[test]
fn gl_resource_update_writes_resources_only() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let thng = rest.thng();
    let product = rest.id_of("/products", json!({"name": "p"}));
    let mut other = operator_with(server, &[("gl_resource_update", None)]);
    attempt(
        &mut other,
        [
            ("POST", "/thngs".to_owned(), Some(json!({"name": "n", "product": product})), 201),
            ("PUT", format!("/thngs/{thng}"), Some(json!({"name": "by another"})), 200),
            ("PUT", format!("/thngs/{thng}/properties/k"), Some(json!([{"value": 1}])), 200),
            ("POST", "/actions/scans".to_owned(), Some(json!({"thng": thng})), 201),
            ("POST", format!("/thngs?project={project}"), Some(json!({"name": "n"})), 201),
            ("GET", format!("/thngs/{thng}"), None, 403),
            ("GET", "/thngs".to_owned(), None, 403),
            ("POST", "/projects".to_owned(), Some(json!({"name": "n"})), 403),
            ("PUT", format!("/projects/{project}"), Some(json!({"name": "n"})), 403),
            ("DELETE", format!("/projects/{project}"), None, 403),
            (
                "POST",
                format!("/projects/{project}/applications"),
                Some(json!({"name": "n", "socialNetworks": {}})),
                403,
            ),
            ("POST", "/roles".to_owned(), Some(json!({"name": "n"})), 403),
            ("POST", "/accessPolicies".to_owned(), Some(json!({"name": "n", "permissions": ["*:*"]})), 403),
            ("DELETE", format!("/thngs/{thng}"), None, 200),
        ],
    );
    rest.get(&format!("/thngs/{thng}")).assert_status(404);
    let mut both = operator_with(server, &[("global_read", None), ("gl_resource_update", None)]);
    let created = both.id_of("/thngs", json!({"name": "n"}));
    both.get(&format!("/thngs/{created}")).assert_status(200);
    both.post("/projects", json!({"name": "n"})).assert_status(403);
}

#[test]
fn gl_project_update_writes_projects_and_applications_only() {
    let server = Server::shared();
    let mut other = operator_with(server, &[("global_read", None), ("gl_project_update", None)]);
    let project = other.id_of("/projects", json!({"name": "n"}));
    let application = json!({"name": "n", "socialNetworks": {}});
    let thng = server.rest().thng();
    attempt(
        &mut other,
        [
            ("PUT", format!("/projects/{project}"), Some(json!({"name": "m"})), 200),
            ("POST", format!("/projects/{project}/applications"), Some(application), 201),
            ("POST", "/thngs".to_owned(), Some(json!({"name": "n"})), 403),
            ("PUT", format!("/thngs/{thng}"), Some(json!({"name": "n"})), 403),
            ("POST", "/actions/scans".to_owned(), Some(json!({})), 403),
            ("DELETE", format!("/projects/{project}"), None, 200),
        ],
    );
}

#[test]
fn project_read_reads_what_is_in_its_projects_and_nothing_else() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (own, foreign) = (rest.project(), rest.project());
    let inside = rest.id_of(&format!("/thngs?project={own}"), json!({"name": "n"}));
    let outside = rest.id_of(&format!("/thngs?project={foreign}"), json!({"name": "n"}));
    let nowhere = rest.thng();
    let (application, other_application) = (rest.application(&own), rest.application(&foreign));
    let mut other = operator_with(server, &[("project_read", Some(&[&own]))]);
    attempt(
        &mut other,
        [
            ("GET", format!("/thngs/{inside}"), None, 200),
            ("GET", format!("/thngs/{inside}/properties"), None, 200),
            ("GET", format!("/thngs/{inside}?project={own}"), None, 200),
            ("GET", format!("/thngs/{outside}"), None, 404),
            ("GET", format!("/thngs/{outside}?project={foreign}"), None, 404),
            ("GET", format!("/thngs/{nowhere}"), None, 404),
            ("GET", format!("/thngs/{outside}/properties"), None, 404),
            ("GET", format!("/projects/{own}"), None, 200),
            ("GET", format!("/projects/{foreign}"), None, 404),
            ("GET", format!("/projects/{own}/applications"), None, 200),
            ("GET", format!("/projects/{own}/applications/{}", application.id), None, 200),
            ("GET", format!("/projects/{foreign}/applications"), None, 404),
            ("GET", format!("/projects/{foreign}/applications/{}", other_application.id), None, 404),
            ("GET", format!("/applications/{}", other_application.id), None, 404),
            ("GET", format!("/projects/{own}/applications/{}/secretKey", application.id), None, 403),
            ("PUT", format!("/thngs/{inside}"), Some(json!({"name": "x"})), 403),
            ("PUT", format!("/projects/{own}"), Some(json!({"name": "x"})), 403),
            ("POST", "/thngs".to_owned(), Some(json!({"name": "x"})), 403),
            ("POST", format!("/thngs?project={own}"), Some(json!({"name": "x"})), 403),
            ("DELETE", format!("/thngs/{inside}"), None, 403),
            ("GET", "/accounts".to_owned(), None, 403),
            ("GET", "/accessTokens".to_owned(), None, 403),
        ],
    );
    for query in ["", "?perPage=100", &format!("?ids={inside},{outside},{nowhere}"), "?filter=name=n"] {
        let listed = other.get(&format!("/thngs{query}")).expect(200);
        let ids: Vec<String> =
            listed.as_array().expect("an array").iter().map(|one| text(one, "id")).collect();
        assert_eq!(ids, [&*inside], "{query}");
    }
    let counted = other.get("/thngs?withTotalCount=true");
    assert_eq!(counted.header("x-result-count"), Some("1"));
    let projects = other.get("/projects").expect(200);
    assert_eq!(projects.as_array().map(|list| list.len()), Some(1), "{projects}");
    assert_eq!(projects[0]["id"], *own);
    let applications = other.get("/applications").expect(200);
    assert_eq!(applications[0]["id"], *application.id);
    assert_eq!(applications.as_array().map(Vec::len), Some(1), "{applications}");
}

#[test]
fn project_resource_update_writes_within_its_projects_only() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (own, foreign) = (rest.project(), rest.project());
    let make = |rest: &mut Rest, kind: &str, project: &str| {
        rest.id_of(&format!("/{kind}?project={project}"), json!({"name": "n"}))
    };
    let inside = make(&mut rest, "thngs", &own);
    let outside = make(&mut rest, "thngs", &foreign);
    let product = make(&mut rest, "products", &own);
    let foreign_product = make(&mut rest, "products", &foreign);
    let foreign_collection = make(&mut rest, "collections", &foreign);
    let nowhere = rest.thng();
    let projects: &[&str] = &[&own];
    let mut other = operator_with(
        server,
        &[("project_read", Some(projects)), ("project_resource_update", Some(projects))],
    );
    attempt(
        &mut other,
        [
            ("PUT", format!("/thngs/{inside}"), Some(json!({"name": "x"})), 200),
            ("PUT", format!("/thngs/{inside}/properties/k"), Some(json!([{"value": 1}])), 200),
            ("POST", format!("/thngs/{inside}/actions/scans"), Some(json!({})), 201),
            ("POST", format!("/thngs?project={own}"), Some(json!({"name": "x", "product": product})), 201),
            // What is outside cannot be written,
            ("PUT", format!("/thngs/{outside}"), Some(json!({"name": "x"})), 404),
            ("PUT", format!("/thngs/{nowhere}"), Some(json!({"name": "x"})), 404),
            ("PUT", format!("/thngs/{outside}/properties/k"), Some(json!([{"value": 1}])), 404),
            ("DELETE", format!("/thngs/{outside}"), None, 404),
            // nor named,
            (
                "POST",
                format!("/thngs?project={own}"),
                Some(json!({"name": "x", "product": foreign_product})),
                400,
            ),
            ("PUT", format!("/thngs/{inside}"), Some(json!({"product": foreign_product})), 400),
            (
                "POST",
                format!("/thngs?project={own}"),
                Some(json!({"name": "x", "collections": [foreign_collection]})),
                400,
            ),
            ("POST", format!("/actions/scans?project={own}"), Some(json!({"thng": outside})), 400),
            // nor created,
            ("POST", format!("/thngs?project={foreign}"), Some(json!({"name": "x"})), 400),
            ("POST", format!("/products?project={foreign}"), Some(json!({"name": "x"})), 400),
            ("POST", "/thngs".to_owned(), Some(json!({"name": "x", "scopes": {"projects": [foreign]}})), 400),
            ("PUT", format!("/thngs/{inside}"), Some(json!({"scopes": {"projects": [own, foreign]}})), 400),
            // and projects are not resources.
            ("PUT", format!("/projects/{own}"), Some(json!({"name": "x"})), 403),
            ("DELETE", format!("/projects/{own}"), None, 403),
            (
                "POST",
                format!("/projects/{own}/applications"),
                Some(json!({"name": "n", "socialNetworks": {}})),
                403,
            ),
            ("POST", "/roles".to_owned(), Some(json!({"name": "n"})), 403),
        ],
    );
    // What such an operator makes without saying where, they see.
    let created = other.post("/thngs", json!({"name": "x"}));
    if created.status == 201 {
        other.get(&format!("/thngs/{}", text(&created.json(), "id"))).assert_status(200);
    } else {
        created.assert_status(400);
    }
    let many =
        other.put(&format!("/thngs?ids={inside},{outside},{nowhere}"), json!({"description": "by many"}));
    many.assert_status(204);
    assert_eq!(many.header("x-result-count"), Some("1"));
    for thng in [&outside, &nowhere] {
        assert_eq!(rest.get(&format!("/thngs/{thng}")).expect(200).get("description"), None);
    }
}

#[test]
fn project_update_changes_its_projects_and_creates_none() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (own, foreign) = (rest.project(), rest.project());
    let application = rest.application(&own);
    let foreign_application = rest.application(&foreign);
    let projects: &[&str] = &[&own];
    let mut other =
        operator_with(server, &[("project_read", Some(projects)), ("project_update", Some(projects))]);
    let new = || json!({"name": "n", "socialNetworks": {}});
    attempt(
        &mut other,
        [
            ("PUT", format!("/projects/{own}"), Some(json!({"name": "x"})), 200),
            ("POST", format!("/projects/{own}/applications"), Some(new()), 201),
            (
                "PUT",
                format!("/projects/{own}/applications/{}", application.id),
                Some(json!({"name": "x"})),
                200,
            ),
            ("DELETE", format!("/projects/{own}/applications/{}", application.id), None, 200),
            ("PUT", format!("/projects/{foreign}"), Some(json!({"name": "x"})), 404),
            ("DELETE", format!("/projects/{foreign}"), None, 404),
            ("POST", format!("/projects/{foreign}/applications"), Some(new()), 404),
            (
                "PUT",
                format!("/projects/{foreign}/applications/{}", foreign_application.id),
                Some(json!({"name": "x"})),
                404,
            ),
            ("DELETE", format!("/projects/{foreign}/applications/{}", foreign_application.id), None, 404),
            ("POST", "/projects".to_owned(), Some(json!({"name": "x"})), 403),
            ("POST", format!("/thngs?project={own}"), Some(json!({"name": "x"})), 403),
        ],
    );
    rest.get(&format!("/projects/{foreign}")).assert_status(200);
}

#[test]
fn switches_count_from_the_next_request_and_after_a_restart() {
    let server = Server::start();
    let mut rest = server.rest();
    let role = operator_role(&mut rest, &[("global_read", None)]);
    let operator = rest.operator(json!({"role": role}));
    let mut other = server.rest_as(&operator.key);
    let switch = format!("/roles/{role}/permissions/global_read");
    for _ in 0..10 {
        other.get("/thngs").assert_status(200);
        rest.put(&switch, json!({"enabled": false})).assert_status(200);
        other.get("/thngs").assert_status(403);
        rest.put(&switch, json!({"enabled": true})).assert_status(200);
    }
    let server = server.restart();
    let mut other = server.rest_as(&operator.key);
    other.get("/thngs").assert_status(200);
    other.post("/thngs", json!({"name": "n"})).assert_status(403);
    server.rest().delete(&format!("/roles/{role}")).assert_status(200);
    other.get("/thngs").assert_status(403);
}
