//! Roles as documents: created, read, listed, changed and deleted; those that are built in stay as they are.

use serde_json::json;
use thng_pubsub_tests::keys::{text, unique};
use thng_pubsub_tests::{Launch, Rest, Server};

use super::attempts::{BUILT_IN, operator_role, user_role};

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
