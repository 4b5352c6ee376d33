//! Roles of application users: paths with letters.

use serde_json::json;
use thng_pubsub_tests::Server;
use thng_pubsub_tests::keys::text;

use super::attempts::{attempt, operator_role, user_role};

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
