//! Roles: of application users, which are paths with letters, and of operators, which are a tree of switches; and what
//! those who have such a role can and cannot do.

use serde_json::{Value, json};
use thng_pubsub_tests::keys::{text, unique};
use thng_pubsub_tests::{Launch, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";
const BUILT_IN: [&str; 3] = ["admin", "none", "base_app_user"];

/// A new role of application users, by its path.
#[track_caller]
fn user_role(rest: &mut Rest) -> String {
    format!("/roles/{}", rest.id_of("/roles", json!({"name": unique("role"), "type": "userInApp"})))
}

/// A new role of operators with these switches on, by its id.
#[track_caller]
fn operator_role(rest: &mut Rest, switches: &[(&str, Option<&[&str]>)]) -> String {
    let role = rest.id_of("/roles", json!({"name": unique("role")}));
    for (name, projects) in switches {
        let mut switch = json!({"enabled": true});
        if let Some(projects) = projects {
            switch["projects"] = json!(projects);
        }
        rest.put(&format!("/roles/{role}/permissions/{name}"), switch).assert_status(200);
    }
    role
}

/// A client with the key of a new operator who has such a role.
#[track_caller]
fn operator_with(server: &Server, switches: &[(&str, Option<&[&str]>)]) -> Rest {
    let mut rest = server.rest();
    let role = operator_role(&mut rest, switches);
    let key = rest.operator(json!({"role": role})).key;
    server.rest_as(&key)
}

/// One attempt: method, path, body, and the status that it is to have.
type Attempt = (&'static str, String, Option<Value>, u16);

#[track_caller]
fn attempt(rest: &mut Rest, attempts: impl IntoIterator<Item = Attempt>) {
    let mut faults = Vec::new();
    for (method, path, body, expected) in attempts {
        let answer = match (method, body) {
            ("GET", _) => rest.get(&path),
            ("DELETE", _) => rest.delete(&path),
            ("PUT", Some(body)) => rest.put(&path, body),
            (_, Some(body)) => rest.post(&path, body),
            (_, None) => panic!("{method} {path} without a body"),
        };
        if answer.status != expected {
            faults.push(format!("{method} {path}: {} and not {expected}: {}", answer.status, answer.text()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn names(switches: &Value) -> Vec<String> {
    switches.as_array().expect("an array").iter().map(|switch| text(switch, "name")).collect()
}

#[test]
fn the_list_of_roles_begins_with_those_that_are_built_in() {
    let server = Server::start();
    let mut rest = server.rest();
    let ids = |rest: &mut Rest, query: &str| -> Vec<String> {
        let roles = rest.get(&format!("/roles{query}")).expect(200);
        roles.as_array().expect("an array").iter().map(|role| text(role, "id")).collect()
    };
    assert_eq!(ids(&mut rest, ""), BUILT_IN);
    let created: Vec<String> =
        (0..3).map(|_| rest.id_of("/roles", json!({"name": unique("role")}))).collect();
    let mut all: Vec<&str> = BUILT_IN.to_vec();
    all.extend(created.iter().rev().map(|id| &**id));
    assert_eq!(ids(&mut rest, ""), all, "then those of the account, newest first");
    for size in 1..=6 {
        let parts = rest.parts(&format!("/roles?perPage={size}"));
        let walked: Vec<String> = parts.iter().flatten().map(|role| text(role, "id")).collect();
        assert_eq!(walked, all, "perPage={size}");
        assert!(parts.iter().all(|part| part.len() <= size), "perPage={size}");
    }
    assert_eq!(ids(&mut rest, "?filter=name=base_app_user"), ["base_app_user"]);
    let base = rest.get("/roles/base_app_user").expect(200);
    assert_eq!((&base["type"], &base["version"]), (&json!("userInApp"), &json!(2)));
    for id in BUILT_IN {
        assert_eq!(rest.get(&format!("/roles/{id}")).expect(200)["name"], id);
    }
}

#[test]
fn a_list_behind_built_in_roles_goes_on_where_its_scan_ended() {
    let server = Launch::new().flag("--scan-bytes-max", "1048576").start();
    let mut rest = server.rest();
    let oldest = rest.id_of("/roles", json!({"name": "oldest"}));
    for _ in 0..12 {
        rest.create("/roles", json!({"name": "large", "customFields": {"x": "x".repeat(120_000)}}));
    }
    let parts = rest.parts("/roles?perPage=3&filter=name!=large");
    let mut expected = BUILT_IN.to_vec();
    expected.push(&oldest);
    let walked: Vec<String> = parts.iter().flatten().map(|role| text(role, "id")).collect();
    assert_eq!(walked, expected);
}

#[test]
fn a_role_is_created_read_changed_and_deleted() {
    let mut rest = Server::shared().rest();
    let sent = json!({
        "name": unique("role"), "description": "d", "customFields": {"a": 1}, "type": "userInApp", "version": 2,
    });
    let answer = rest.post("/roles", sent.clone());
    let created = answer.expect(201);
    let id = text(&created, "id");
    assert!(id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert!(answer.header("location").is_some_and(|at| at.ends_with(&format!("/roles/{id}"))), "{answer:?}");
    for (field, value) in sent.as_object().expect("an object") {
        assert_eq!(created[field], *value, "{field}");
    }
    let path = format!("/roles/{id}");
    assert_eq!(rest.get(&path).expect(200), created);
    let updated = rest.put(&path, json!({"description": "e"})).expect(200);
    assert_eq!((&updated["description"], &updated["name"]), (&json!("e"), &created["name"]));
    assert_ne!(updated["updatedAt"], updated["createdAt"]);
    assert_eq!(rest.put(&path, updated.clone()).expect(200)["type"], "userInApp");
    let deleted = rest.delete(&path);
    deleted.assert_status(200);
    assert!(deleted.body.is_empty());
    for gone in [path.clone(), format!("{path}/permissions")] {
        rest.get(&gone).assert_status(404);
    }
    rest.delete(&path).assert_status(404);
    for wrong in [json!({}), json!({"name": ""}), json!({"name": "n", "type": "operator"})] {
        let answer = rest.post("/roles", wrong.clone());
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn built_in_roles_are_immutable() {
    let mut rest = Server::shared().rest();
    for id in BUILT_IN {
        let path = format!("/roles/{id}");
        let before = (rest.get(&path).expect(200), rest.get(&format!("{path}/permissions")).expect(200));
        for status in [
            rest.put(&path, json!({"name": "mine"})).status,
            rest.delete(&path).status,
            rest.put(&format!("{path}/permissions"), json!([])).status,
            rest.put(&format!("{path}/permissions/global_read"), json!({"enabled": true})).status,
        ] {
            assert!(matches!(status, 400 | 403), "{id}: {status}");
        }
        let after = (rest.get(&path).expect(200), rest.get(&format!("{path}/permissions")).expect(200));
        assert_eq!(after, before, "{id}");
    }
}

#[test]
fn a_role_of_users_starts_with_its_defaults() {
    let mut rest = Server::shared().rest();
    let path = format!("{}/permissions", user_role(&mut rest));
    let defaults = rest.get(&path).expect(200);
    let entries = defaults.as_array().expect("an array");
    assert!(entries.len() >= 5, "{defaults}");
    for entry in entries {
        assert_eq!(entry["default"], true, "{entry}");
        assert!(entry["path"].as_str().is_some_and(|path| path.starts_with('/')), "{entry}");
        let letters = entry["access"].as_str().unwrap_or_default();
        assert!((1..=4).contains(&letters.len()) && letters.chars().all(|it| "crud".contains(it)), "{entry}");
    }
    let mut expected = entries.clone();
    expected.push(json!({"path": "/thngs", "access": "cr"}));
    let given = rest.put(&path, json!([{"path": "/thngs", "access": "cr"}])).expect(200);
    assert_eq!(given, json!(expected));
    assert_eq!(rest.get(&path).expect(200), given);
    assert_eq!(rest.put(&path, given.clone()).expect(200), given, "clients send back what they were shown");
    let replaced = rest.put(&path, json!([{"path": "/products", "access": "r"}])).expect(200);
    assert_eq!(replaced.as_array().map(Vec::len), Some(entries.len() + 1), "{replaced}");
    assert_eq!(rest.put(&path, json!([])).expect(200), defaults);
    assert_eq!(rest.get(&path).expect(200), defaults);
}

#[test]
fn a_role_of_users_cannot_grant_what_the_base_role_does_not() {
    let mut rest = Server::shared().rest();
    let path = format!("{}/permissions", user_role(&mut rest));
    let before = rest.get(&path).expect(200);
    for (where_to, access) in [
        ("/thngs", "d"),
        ("/thngs", "crud"),
        ("/thngs/:id", "d"),
        ("/thngs/*", "d"),
        ("/products", "d"),
        ("/collections/:id/thngs", "d"),
        ("/places", "c"),
        ("/actions", "c"),
        ("/actions/:type/:id", "d"),
        ("/users", "r"),
        ("/users/:id", "r"),
        ("/users/*", "r"),
        ("/projects", "r"),
        ("/batches", "r"),
        ("/accounts", "r"),
        ("/accessTokens", "c"),
        ("/roles", "c"),
        ("/applications/me", "u"),
        ("/applications", "r"),
        ("/", "r"),
        ("/*", "r"),
        ("/:any", "r"),
        ("/*/*", "u"),
        ("//thngs", "d"),
        ("/auth", "c"),
        ("/thngs", ""),
        ("/thngs", "x"),
        ("/thngs", "R"),
        ("/thngs", "crudr"),
        ("thngs", "r"),
        ("", "r"),
    ] {
        let answer = rest.put(&path, json!([{"path": where_to, "access": access}]));
        assert_eq!(answer.status, 400, "{where_to} {access}: {}", answer.text());
    }
    for wrong in [json!({}), json!([{}]), json!([{"path": "/thngs"}]), json!([7]), json!("r")] {
        rest.put(&path, wrong).assert_status(400);
    }
    let one_is_wrong = json!([{"path": "/thngs", "access": "r"}, {"path": "/projects", "access": "r"}]);
    rest.put(&path, one_is_wrong).assert_status(400);
    assert_eq!(rest.get(&path).expect(200), before, "nothing was changed");
}

#[test]
fn permissions_of_a_user_role_cannot_exceed_or_revoke_defaults() {
    let server = Server::shared();
    let mut rest = server.rest();
    let role = user_role(&mut rest);
    let path = format!("{role}/permissions");
    // A claim to be a default makes nothing one.
    let answer = rest.put(&path, json!([{"path": "/projects", "access": "crud", "default": true}]));
    assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    let shown = rest.get(&path).expect(200);
    assert!(!shown.to_string().contains("/projects"), "{shown}");
    let project = rest.project();
    let application = rest.application(&project);
    let one = format!("/projects/{project}/applications/{}", application.id);
    let role_id = role.trim_start_matches("/roles/");
    rest.put(&one, json!({"defaultRole": role_id})).assert_status(200);
    let key = server.rest_as(&application.public_key).anonymous_user().key;
    server.rest_as(&key).get("/projects").assert_status(403);
    server.rest_as(&key).get("/thngs").assert_status(403);
}

#[test]
fn the_longest_matching_permission_of_a_user_role_counts() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let role = user_role(&mut rest);
    let permissions = format!("{role}/permissions");
    let one = format!("/projects/{project}/applications/{}", application.id);
    let role_id = role.trim_start_matches("/roles/");
    let thng = rest.id_of(&format!("/thngs?project={project}"), json!({"name": "n"}));
    let user = server.rest_as(&application.public_key).anonymous_user();
    rest.put(&one, json!({"defaultRole": role_id})).assert_status(200);
    let mut own = server.rest_as(&user.key);
    let write = json!([{"value": 1}]);
    for placeholder in [":id", ":thngId", "{id}", "*"] {
        let granted = json!([
            {"path": "/thngs", "access": "r"},
            {"path": format!("/thngs/{placeholder}/properties"), "access": "ru"},
            {"path": format!("/thngs/{placeholder}/location"), "access": "c"},
        ]);
        rest.put(&permissions, granted).assert_status(200);
        attempt(
            &mut own,
            [
                ("GET", format!("/thngs/{thng}"), None, 200),
                ("PUT", format!("/thngs/{thng}"), Some(json!({"name": "x"})), 403),
                ("GET", format!("/thngs/{thng}/properties"), None, 200),
                ("PUT", format!("/thngs/{thng}/properties/k"), Some(write.clone()), 200),
                ("POST", format!("/thngs/{thng}/properties/k"), Some(write.clone()), 403),
                // A longer entry counts and not the one for all thngs.
                ("GET", format!("/thngs/{thng}/location"), None, 403),
                ("GET", format!("/thngs/{thng}/actions/all"), None, 200),
                ("POST", format!("/thngs/{thng}/actions/scans"), Some(json!({})), 403),
            ],
        );
    }
}

#[test]
fn a_change_of_a_role_counts_from_the_next_request_on() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let role = user_role(&mut rest);
    let one = format!("/projects/{project}/applications/{}", application.id);
    let role_id = role.trim_start_matches("/roles/");
    rest.put(&one, json!({"defaultRole": role_id})).assert_status(200);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut own = server.rest_as(&user.key);
    let path = format!("{role}/permissions");
    for _ in 0..20 {
        rest.put(&path, json!([{"path": "/thngs", "access": "r"}])).assert_status(200);
        own.get("/thngs").assert_status(200);
        rest.put(&path, json!([])).assert_status(200);
        own.get("/thngs").assert_status(403);
    }
    assert_eq!(own.connections(), 1, "on the connection that it has");
}

#[test]
fn application_users_read_user_roles_and_change_none() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let role = user_role(&mut rest);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut own = server.rest_as(&user.key);
    attempt(
        &mut own,
        [
            ("GET", "/roles".to_owned(), None, 200),
            ("GET", "/roles/base_app_user".to_owned(), None, 200),
            ("GET", "/roles/base_app_user/permissions".to_owned(), None, 200),
            ("GET", role.clone(), None, 200),
            ("GET", format!("{role}/permissions"), None, 200),
            ("POST", "/roles".to_owned(), Some(json!({"name": "n"})), 403),
            ("PUT", role.clone(), Some(json!({"name": "n"})), 403),
            ("PUT", format!("{role}/permissions"), Some(json!([])), 403),
            ("DELETE", role.clone(), None, 403),
        ],
    );
    // What operators may do is not their business.
    let of_operators = operator_role(&mut rest, &[("global_read", None)]);
    for id in [&*of_operators, "admin", "none"] {
        own.get(&format!("/roles/{id}")).assert_status(404);
        own.get(&format!("/roles/{id}/permissions")).assert_status(404);
    }
    let listed = own.parts("/roles?perPage=100").concat();
    let ids: Vec<String> = listed.iter().map(|role| text(role, "id")).collect();
    assert!(ids.contains(&"base_app_user".to_owned()) && role.ends_with(&ids[1]), "{ids:?}");
    assert!(listed.iter().all(|role| role["type"] == "userInApp"), "{listed:?}");
}

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

#[test]
fn an_array_is_not_taken_for_the_object_that_is_a_permission() {
    let mut rest = Server::shared().rest();
    let for_users = format!("{}/permissions", user_role(&mut rest));
    let for_operators = format!("/roles/{}/permissions", operator_role(&mut rest, &[]));
    let before = [rest.get(&for_users).expect(200), rest.get(&for_operators).expect(200)];
    let mut faults = Vec::new();
    for (path, body) in [
        (for_users.clone(), json!([["/thngs", "r"]])),
        (for_users.clone(), json!([["/thngs", "r", false]])),
        (for_operators.clone(), json!([["global_read", true]])),
        (format!("{for_operators}/global_read"), json!([true])),
        (format!("{for_operators}/global_read"), json!([true, null])),
    ] {
        let status = rest.put(&path, body.clone()).status;
        if status != 400 {
            faults.push(format!("PUT {path} {body}: {status}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!([rest.get(&for_users).expect(200), rest.get(&for_operators).expect(200)], before);
}
