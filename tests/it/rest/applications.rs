//! Applications of projects: their two keys, what each may know of the application, and what ends with it; and the
//! rules of redirectors, which are kept as they were given.

use serde_json::{Value, json};
use thng_pubsub_tests::keys::{text, unique_email};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{Application, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// A new application of a new project, and its path.
#[track_caller]
fn application(rest: &mut Rest) -> (String, Application, String) {
    let project = rest.project();
    let application = rest.application(&project);
    let path = format!("/projects/{project}/applications/{}", application.id);
    (project, application, path)
}

#[track_caller]
fn assert_key(key: &str) {
    assert!(key.len() == 80 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
}

#[test]
fn a_new_application_has_two_stable_keys_of_80_characters() {
    let mut rest = Server::shared().rest();
    let project = rest.project();
    let path = format!("/projects/{project}/applications");
    let sent = json!({
        "name": "Shop",
        "description": "on the web",
        "socialNetworks": {"facebook": {"appId": "1"}},
        "defaultUrl": "https://shop.example",
        "tags": ["web"],
        "customFields": {"a": 1},
        "appApiKey": "mine",
    });
    let answer = rest.post(&path, sent.clone());
    let created = answer.expect(201);
    let id = text(&created, "id");
    let location = answer.header("location").expect("201 has a Location");
    assert!(location.ends_with(&format!("{path}/{id}")), "{location}");
    for field in ["name", "description", "socialNetworks", "defaultUrl", "tags", "customFields"] {
        assert_eq!(created[field], sent[field], "{field}");
    }
    assert_eq!((&created["project"], &created["defaultRole"]), (&json!(project), &json!("base_app_user")));
    let public = text(&created, "appApiKey");
    assert_key(&public);
    let secret = rest.get(&format!("{path}/{id}/secretKey")).expect(200);
    assert_eq!(secret.as_object().map(serde_json::Map::len), Some(1), "{secret}");
    assert_key(&text(&secret, "secretApiKey"));
    assert_ne!(secret["secretApiKey"], *public);

    for _ in 0..3 {
        assert_eq!(rest.get(&format!("{path}/{id}")).expect(200), created);
        assert_eq!(rest.get(&format!("/applications/{id}")).expect(200), created);
        assert_eq!(rest.get(&path).expect(200), json!([created]));
        assert_eq!(rest.get(&format!("/applications?ids={id}")).expect(200), json!([created]));
        assert_eq!(rest.get(&format!("{path}/{id}/secretKey")).expect(200), secret);
    }
    let updated =
        rest.put(&format!("{path}/{id}"), json!({"name": "Store", "appApiKey": "mine"})).expect(200);
    assert_eq!((&updated["name"], &updated["appApiKey"]), (&json!("Store"), &json!(public)));
    assert_ne!(updated["updatedAt"], created["updatedAt"]);
    assert_eq!(rest.get(&format!("{path}/{id}/secretKey")).expect(200), secret, "an update changes no key");
}

#[test]
fn no_two_applications_share_a_key() {
    let mut rest = Server::shared().rest();
    let project = rest.project();
    let mut keys: Vec<String> = (0..5)
        .map(|_| rest.application(&project))
        .flat_map(|application| [application.public_key, application.secret_key])
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 10);
}

#[test]
fn an_application_needs_a_name_networks_and_a_project() {
    let mut rest = Server::shared().rest();
    let path = format!("/projects/{}/applications", rest.project());
    for (document, named) in [
        (json!({"name": "n"}), "socialNetworks"),
        (json!({"socialNetworks": {}}), "name"),
        (json!({"name": "", "socialNetworks": {}}), "name"),
        (json!({"name": "n", "socialNetworks": []}), "socialNetworks"),
        (json!({"name": "n", "socialNetworks": {}, "defaultRole": "nobody"}), "defaultRole"),
        (json!({"name": "n", "socialNetworks": {}, "defaultRole": UNKNOWN}), "defaultRole"),
    ] {
        let refusal = rest.post(&path, document.clone()).expect(400);
        let named = refusal["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|sentence| sentence.as_str().is_some_and(|sentence| sentence.contains(named)));
        assert!(named, "{document}: {refusal}");
    }
    assert_eq!(rest.get(&path).expect(200), json!([]));
    let fine = json!({"name": "n", "socialNetworks": {}});
    rest.post(&format!("/projects/{UNKNOWN}/applications"), fine).assert_status(404);
    let thng = rest.thng();
    let fine = json!({"name": "n", "socialNetworks": {}});
    rest.post(&format!("/projects/{thng}/applications"), fine).assert_status(404);
}

#[test]
fn an_application_is_found_below_its_own_project_only() {
    let mut rest = Server::shared().rest();
    let (_, application, path) = application(&mut rest);
    let other = rest.project();
    for project in [&*other, UNKNOWN, "me"] {
        let elsewhere = format!("/projects/{project}/applications/{}", application.id);
        for below in ["", "/secretKey", "/redirector"] {
            rest.get(&format!("{elsewhere}{below}")).assert_status(404);
        }
        rest.put(&elsewhere, json!({"name": "n"})).assert_status(404);
        rest.put(&format!("{elsewhere}/redirector"), json!({"rules": []})).assert_status(404);
        rest.delete(&elsewhere).assert_status(404);
    }
    rest.get(&path).assert_status(200);
    assert_eq!(rest.get(&format!("/projects/{other}/applications")).expect(200), json!([]));
}

#[test]
fn both_keys_read_their_own_application_with_its_public_key() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (project, application, path) = application(&mut rest);
    let document = rest.get(&path).expect(200);
    assert_eq!(document["appApiKey"], *application.public_key);
    for key in [&application.public_key, &application.secret_key] {
        let mut own = server.rest_as(key);
        assert_eq!(own.get("/applications/me").expect(200), document);
        let access = own.get("/access").expect(200);
        assert_eq!(access["actor"], json!({"type": "app", "id": application.id}));
        assert_eq!((&access["project"], &access["app"]), (&json!(project), &json!(application.id)));
        assert_eq!(access["account"], *rest.account());
    }
    let user = server.rest_as(&application.public_key).anonymous_user();
    assert_eq!(server.rest_as(&user.key).get("/applications/me").expect(200)["id"], *application.id);
    rest.get("/applications/me").assert_status(404);

    let mut trusted = server.rest_as(&application.secret_key);
    let updated = trusted.put("/applications/me", json!({"customFields": {"by": "itself"}})).expect(200);
    assert_eq!(updated["customFields"], json!({"by": "itself"}));
    assert_eq!(rest.get(&path).expect(200), updated);
}

#[test]
fn the_secret_key_is_shown_to_operators_only() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (project, application, path) = application(&mut rest);
    let secret = format!("{path}/secretKey");
    let user = server.rest_as(&application.public_key).anonymous_user();
    let thng = rest.thng();
    let device = rest.device(&thng);
    let token = rest.access_token(&["thngs:*", "applications:*"], &[]);
    for key in [&application.public_key, &application.secret_key, &user.key, &device.key, &token.key] {
        let mut other = server.rest_as(key);
        other.get(&secret).assert_status(403);
        // There is no such way around it.
        let around = other.get("/applications/me/secretKey").status;
        assert!(matches!(around, 403 | 404), "{around}");
    }
    for document in [
        rest.get(&path),
        rest.get("/applications"),
        rest.get(&format!("/projects/{project}")),
        rest.get(&format!("/projects/{project}/applications")),
        server.rest_as(&application.secret_key).get("/applications/me"),
        server.rest_as(&application.secret_key).get("/access"),
    ] {
        document.assert_status(200);
        assert!(!document.text().contains(&application.secret_key));
    }
}

#[test]
fn what_a_public_and_a_secret_key_create_belongs_to_the_project() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (project, application, _) = application(&mut rest);
    let mut trusted = server.rest_as(&application.secret_key);
    let scopes = json!({"projects": [project], "users": ["all"]});
    for (path, document) in [
        ("/thngs", json!({"name": "n"})),
        ("/products", json!({"name": "n"})),
        ("/collections", json!({"name": "n"})),
        ("/places", json!({"name": "n"})),
    ] {
        let created = trusted.create(&format!("{path}?withScopes=true"), document);
        assert_eq!(created["scopes"], scopes, "{path}");
        let read = rest.get(&format!("{path}/{}?withScopes=true", text(&created, "id"))).expect(200);
        assert_eq!(read["scopes"], scopes, "{path}");
    }
    trusted.post("/thngs", json!({"foo": "bar"})).assert_status(400);
}

#[test]
fn a_deleted_application_ends_its_keys_and_its_users_keys() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (project, application, path) = application(&mut rest);
    let mut public = server.rest_as(&application.public_key);
    let anonymous = public.anonymous_user();
    let (email, password) = (unique_email(), "correct horse");
    let named = public.named_user(&email, password);
    let keys = [&application.public_key, &application.secret_key, &anonymous.key, &named.key];
    for key in keys {
        server.rest_as(key).get("/access").assert_status(200);
    }
    let other = rest.application(&project);

    let deleted = rest.delete(&path);
    deleted.assert_status(200);
    assert!(deleted.body.is_empty());
    for key in keys {
        server.rest_as(key).get("/access").assert_status(403);
        server.rest_as(key).get("/products").assert_status(403);
    }
    for gone in [&path, &format!("{path}/secretKey"), &format!("/applications/{}", application.id)] {
        rest.get(gone).assert_status(404);
    }
    rest.delete(&path).assert_status(404);
    server.rest_as(&other.public_key).get("/applications/me").assert_status(200);
    // The same person may come to another application.
    let _ = server.rest_as(&other.public_key).named_user(&email, password);
}

#[test]
fn users_of_a_deleted_application_are_removed() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (project, application, path) = application(&mut rest);
    let other = rest.application(&project);
    let remaining = server.rest_as(&other.public_key).named_user(&unique_email(), "correct horse");
    let mut public = server.rest_as(&application.public_key);
    let users: Vec<_> = (0..3).map(|_| public.named_user(&unique_email(), "correct horse")).collect();
    let listed = |rest: &mut Rest| rest.get(&format!("/users?project={project}")).expect(200);
    assert_eq!(listed(&mut rest).as_array().map(Vec::len), Some(4));
    rest.delete(&path).assert_status(200);
    // They are freed in steps: an application may have had very many.
    until("its users are not listed any more", || {
        (listed(&mut rest).as_array().map(Vec::len) == Some(1)).then_some(())
    });
    for user in users {
        rest.get(&format!("/users/{}", user.id)).assert_status(404);
    }
    rest.get(&format!("/users/{}", remaining.id)).assert_status(200);
    server.rest_as(&remaining.key).get("/access").assert_status(200);
}

#[test]
fn a_deleted_project_ends_its_applications_and_all_their_keys() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let applications = [rest.application(&project), rest.application(&project)];
    let remaining = rest.project();
    let remaining_application = rest.application(&remaining);
    let thng = rest.id_of(&format!("/thngs?project={project}"), json!({"name": "n"}));
    let mut keys = Vec::new();
    for Application { public_key, secret_key, .. } in &applications {
        keys.push(server.rest_as(public_key).anonymous_user().key);
        keys.extend([public_key.clone(), secret_key.clone()]);
    }
    for key in &keys {
        server.rest_as(key).get("/access").assert_status(200);
    }
    rest.delete(&format!("/projects/{project}")).assert_status(200);
    for key in &keys {
        server.rest_as(key).get("/access").assert_status(403);
    }
    rest.get(&format!("/projects/{project}")).assert_status(404);
    rest.get(&format!("/projects/{project}/applications")).assert_status(404);
    for Application { id, .. } in &applications {
        rest.get(&format!("/projects/{project}/applications/{id}")).assert_status(404);
        until("the application is freed", || {
            (rest.get(&format!("/applications/{id}")).status == 404).then_some(())
        });
        assert_eq!(rest.get(&format!("/applications?ids={id}")).expect(200), json!([]));
    }
    server.rest_as(&remaining_application.secret_key).get("/applications/me").assert_status(200);
    // What was in the project is the account's.
    rest.get(&format!("/thngs/{thng}")).assert_status(200);
    rest.put(&format!("/thngs/{thng}"), json!({"name": "still there"})).assert_status(200);
}

#[test]
fn projects_deleted_together_end_their_keys() {
    let server = Server::shared();
    let mut rest = server.rest();
    let projects = [rest.project(), rest.project()];
    let applications = projects.clone().map(|project| rest.application(&project));
    let deleted = rest.delete(&format!("/projects?ids={}", projects.join(",")));
    deleted.assert_status(200);
    assert_eq!(deleted.header("x-result-count"), Some("2"));
    for Application { public_key, secret_key, .. } in &applications {
        server.rest_as(public_key).get("/access").assert_status(403);
        server.rest_as(secret_key).get("/access").assert_status(403);
    }
}

#[test]
fn keys_of_every_kind_survive_a_restart() {
    let server = Server::start();
    let mut rest = server.rest();
    let (_, application, path) = application(&mut rest);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let thng = rest.thng();
    let device = rest.device(&thng);
    let token = rest.access_token(&["thngs:read"], &[]);
    let (document, account) = (rest.get(&path).expect(200), rest.account());
    let keys = [
        (&application.public_key, "app"),
        (&application.secret_key, "app"),
        (&user.key, "userInApp"),
        (&device.key, "device"),
        (&token.key, "accessToken"),
    ];

    let mut server = server.restart();
    server.terminate();
    let server = server.restart();
    let mut rest = server.rest();
    for (key, kind) in keys {
        let access = server.rest_as(key).get("/access").expect(200);
        assert_eq!((&access["actor"]["type"], &access["account"]), (&json!(kind), &json!(account)));
    }
    assert_eq!(rest.get(&path).expect(200), document);
    assert_eq!(rest.get(&format!("{path}/secretKey")).expect(200)["secretApiKey"], *application.secret_key);
    assert_eq!(rest.device(&thng).key, device.key);
    assert_eq!(server.rest_as(&application.public_key).get("/applications/me").expect(200), document);
}

#[test]
fn redirector_rules_start_empty_and_keep_their_text() {
    let server = Server::start();
    let mut rest = server.rest();
    let (_, application, path) = application(&mut rest);
    let mut trusted = server.rest_as(&application.secret_key);
    let document = rest.get(&path).expect(200);
    let rules = json!({
        "rules": [
            {"name": "first", "match": "thng.name=test", "delegates": ["https://a.example/?x={shortId}"], "weight": 1.5},
            {"meta": {"Nested": [null, true, {"k": "v"}]}},
        ],
        "extra": {"kept": true},
    });
    for path in [&*format!("{path}/redirector"), "/redirector"] {
        assert_eq!(rest.get(path).expect(200), json!({"rules": []}), "{path}");
        assert_eq!(rest.put(path, rules.clone()).expect(200), rules, "{path}");
        assert_eq!(rest.get(path).expect(200), rules, "{path}");
        for wrong in [json!([]), json!({}), json!({"rules": {}}), json!({"rules": null}), json!("rules")] {
            let answer = rest.put(path, wrong.clone());
            assert_eq!(answer.status, 400, "{path}: {wrong}");
        }
        assert_eq!(rest.get(path).expect(200), rules, "{path}");
    }
    assert_eq!(trusted.get("/applications/me/redirector").expect(200), rules);
    let own = json!({"rules": [{"match": "by itself"}]});
    assert_eq!(trusted.put("/applications/me/redirector", own.clone()).expect(200), own);
    assert_eq!(rest.get(&format!("{path}/redirector")).expect(200), own);
    assert_eq!(rest.get("/redirector").expect(200), rules, "the account's are others");
    trusted.get("/redirector").assert_status(403);
    trusted.put("/redirector", own).assert_status(403);

    let mut read = rest.get(&path).expect(200);
    for rules in ["redirector", "rules"] {
        assert_eq!(read.get(rules), None);
    }
    read["updatedAt"] = document["updatedAt"].clone();
    assert_eq!(read, document, "rules are no part of the application");
    let server = server.restart();
    assert_eq!(server.rest().get("/redirector").expect(200), rules);
}

#[test]
fn rules_and_application_updates_do_not_overwrite_each_other() {
    let mut rest = Server::shared().rest();
    let (_, _, path) = application(&mut rest);
    let rules = json!({"rules": [{"match": "m"}]});
    rest.put(&format!("{path}/redirector"), rules.clone()).assert_status(200);
    rest.put(&path, json!({"name": "another"})).assert_status(200);
    assert_eq!(rest.get(&format!("{path}/redirector")).expect(200), rules);
    let renamed: Value = rest.get(&path).expect(200);
    assert_eq!(renamed["name"], "another");
}
