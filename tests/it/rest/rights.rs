//! No client gets more rights than it has: limited operators, tokens and application keys try to work around them.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{QoS, SubAckCode};
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::{Rest, Server};

/// An operator with this access, by their key.
#[track_caller]
fn operator(rest: &mut Rest, access: &Value) -> String {
    let account = account(rest);
    let mut access = access.clone();
    let random = rest.id_of("/places", json!({"name": "for its id"}));
    access["email"] = format!("{random}@example.org").into();
    let created = rest.create(&format!("/accounts/{account}/accesses"), access);
    created["apiKey"].as_str().expect("an administrator sees it").to_owned()
}

fn account(rest: &mut Rest) -> String {
    rest.get("/access").expect(200)["account"].as_str().expect("an account").to_owned()
}

/// A role of operators with these switches on, for these projects.
#[track_caller]
fn role(rest: &mut Rest, switches: &[&str], projects: &[&str]) -> String {
    let role = rest.id_of("/roles", json!({"name": "a role of the tests"}));
    for name in switches {
        let permission = json!({"name": name, "enabled": true, "projects": projects});
        rest.put(&format!("/roles/{role}/permissions/{name}"), permission).assert_status(200);
    }
    role
}

struct Two {
    mine: String,
    theirs: String,
    /// A thng of theirs.
    thng: String,
    /// Its product.
    product: String,
}

fn two_projects(rest: &mut Rest) -> Two {
    let (mine, theirs) = (rest.project(), rest.project());
    let product = rest.id_of(&format!("/products?project={theirs}"), json!({"name": "theirs"}));
    let thng = rest.id_of(&format!("/thngs?project={theirs}"), json!({"name": "theirs", "product": product}));
    Two { mine, theirs, thng, product }
}

#[test]
fn a_reading_operator_reads_no_keys_of_others() {
    let server = Server::shared();
    let mut rest = server.rest();
    let account = account(&mut rest);
    let project = rest.project();
    let application = rest.application(&project);
    let thng = rest.thng();
    let _device = rest.device(&thng);
    let admin = operator(&mut rest, &json!({"role": "admin"}));
    let reader = role(&mut rest, &["global_read"], &[]);
    let reader = operator(&mut rest, &json!({"role": reader}));
    let token = rest.access_token(&["accounts:read,list", "projects:read,list", "auth:read,list"], &[]);
    for key in [&reader, &token.key] {
        let mut limited = server.rest_as(key);
        for path in [format!("/accounts/{account}/accesses"), format!("/accounts/{account}/operatorAccess")] {
            let read = limited.get(&path);
            assert!(!read.text().contains(&admin), "{path}");
        }
        let path = format!("/projects/{project}/applications/{}/secretKey", application.id);
        limited.get(&path).assert_status(403);
        limited.get(&format!("/auth/evrythng/thngs/{thng}")).assert_status(403);
        limited.post("/thngs", json!({"name": "n"})).assert_status(403);
    }
    let own = server.rest_as(&reader).get(&format!("/accounts/{account}/accesses"));
    assert!(own.text().contains(&reader), "one's own key is shown");
}

#[test]
fn an_operator_of_one_project_does_nothing_in_another() {
    let server = Server::shared();
    let mut rest = server.rest();
    let Two { mine, theirs, thng, product } = two_projects(&mut rest);
    let role = role(&mut rest, &["project_read", "project_resource_update", "project_update"], &[&mine]);
    let by_role = operator(&mut rest, &json!({"role": role}));
    let everything: Vec<String> =
        ["thngs", "products", "collections", "places", "actions", "batches", "applications"]
            .iter()
            .map(|resource| format!("{resource}:*"))
            .collect();
    let permissions: Vec<&str> = everything.iter().map(String::as_str).collect();
    let by_token = rest.access_token(&permissions, &[format!("projects:{mine}")]);
    for key in [by_role, by_token.key] {
        let mut limited = server.rest_as(&key);
        limited.get(&format!("/thngs/{thng}")).assert_status(404);
        limited.post(&format!("/thngs?project={theirs}"), json!({"name": "n"})).assert_status(400);
        let own = limited.create("/thngs", json!({"name": "mine"}));
        let path = format!("/thngs/{}", own["id"].as_str().expect("an id"));
        let shown = limited.get(&format!("{path}?withScopes=true")).expect(200);
        assert_eq!(shown["scopes"]["projects"], json!([mine]), "what they make is theirs to see");
        for scopes in [json!({"projects": [mine, theirs]}), json!({"projects": [theirs]})] {
            limited.put(&path, json!({"scopes": scopes})).assert_status(400);
        }
        limited.put(&path, json!({"product": product})).assert_status(400);
        for action in ["scans", "commissions"] {
            limited.post(&format!("/actions/{action}"), json!({"thng": thng})).assert_status(400);
            limited.post(&format!("/thngs/{thng}/actions/{action}"), json!({})).assert_status(404);
        }
        let collection = limited.id_of("/collections", json!({"name": "mine"}));
        limited.put(&format!("/collections/{collection}/thngs"), json!([thng])).assert_status(400);
        limited.put(&format!("/thngs?ids={thng}"), json!({"name": "taken"})).assert_status(204);
    }
    let untouched = rest.get(&format!("/thngs/{thng}")).expect(200);
    assert_eq!((&untouched["name"], untouched.get("collections")), (&json!("theirs"), None));
    let state = rest.get(&format!("/thngs/{thng}/commissionState")).expect(200);
    assert_eq!(state["state"], "not_commissioned");
}

#[test]
fn a_role_of_a_project_reaches_the_project_itself() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (mine, theirs) = (rest.project(), rest.project());
    let application = rest.application(&mine);
    let role = role(&mut rest, &["project_read", "project_update"], &[&mine]);
    let key = operator(&mut rest, &json!({"role": role}));
    let mut limited = server.rest_as(&key);
    let listed = limited.get("/projects").expect(200);
    let ids: Vec<&str> =
        listed.as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, [mine.as_str()]);
    limited.put(&format!("/projects/{mine}"), json!({"description": "changed"})).assert_status(200);
    limited.get(&format!("/projects/{mine}/applications/{}", application.id)).assert_status(200);
    limited.get(&format!("/projects/{theirs}")).assert_status(404);
    limited.put(&format!("/projects/{theirs}"), json!({"description": "changed"})).assert_status(404);
    limited.post("/projects", json!({"name": "another"})).assert_status(403);
}

#[test]
fn only_an_administrator_changes_what_others_may_do() {
    let server = Server::shared();
    let mut rest = server.rest();
    let account = account(&mut rest);
    let token = rest.access_token(
        &[
            "accessTokens:*",
            "accessPolicies:*",
            "roles:*",
            "roles.permissions:*",
            "accounts:*",
            "accounts.accesses:*",
        ],
        &[],
    );
    let policy = rest.get(&format!("/accessTokens/{}", token.id)).expect(200)["policies"][0].clone();
    let policy = policy.as_str().expect("an id").to_owned();
    let custom = role(&mut rest, &[], &[]);
    let access = rest.get(&format!("/accounts/{account}/accesses")).expect(200)[0]["id"].clone();
    let access = access.as_str().expect("an id").to_owned();
    let mut limited = server.rest_as(&token.key);
    let admin = json!({"name": "more", "policies": ["evt:accountAdmin"]});
    for (path, body) in [
        ("/accessTokens".to_owned(), admin.clone()),
        ("/accessPolicies".to_owned(), json!({"name": "more", "permissions": ["thngs:*"]})),
        ("/roles".to_owned(), json!({"name": "more"})),
        (format!("/accounts/{account}/accesses"), json!({"email": "more@example.org", "role": "admin"})),
    ] {
        limited.post(&path, body).assert_status(403);
    }
    for (path, body) in [
        (format!("/accessTokens/{}", token.id), admin),
        (format!("/accessPolicies/{policy}"), json!({"permissions": ["thngs:*"]})),
        (format!("/roles/{custom}/permissions/global_read"), json!({"enabled": true})),
        (format!("/accounts/{account}/accesses/{access}"), json!({"role": "none"})),
    ] {
        limited.put(&path, body).assert_status(403);
    }
    for path in [
        format!("/accessTokens/{}", token.id),
        format!("/accessPolicies/{policy}"),
        format!("/roles/{custom}"),
        format!("/accounts/{account}/accesses/{access}"),
    ] {
        limited.delete(&path).assert_status(403);
    }
    limited.get("/thngs").assert_status(403);
}

#[test]
fn an_access_that_is_refused_leaves_no_operator_behind() {
    let mut rest = Server::shared().rest();
    let path = format!("/accounts/{}/accesses", account(&mut rest));
    let email = format!("{}@example.org", rest.id_of("/places", json!({})));
    rest.post(&path, json!({"email": email, "conditions": ["nonsense"]})).assert_status(400);
    rest.post(&path, json!({"email": email, "policies": ["nothing"]})).assert_status(400);
    rest.get(&format!("/operators/{email}")).assert_status(404);
    rest.post(&path, json!({"email": email, "role": "admin"})).assert_status(201);
    rest.get(&format!("/operators/{email}")).assert_status(200);
}

#[test]
fn an_application_key_does_not_say_what_its_users_may_do() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let nothing = rest.id_of("/roles", json!({"name": "nothing", "type": "userInApp", "version": 2}));
    let path = format!("/projects/{project}/applications/{}", application.id);
    rest.put(&path, json!({"defaultRole": nothing})).assert_status(200);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut user = server.rest_as(&user.key);
    user.post("/thngs", json!({"name": "n"})).assert_status(403);
    for key in [&application.public_key, &application.secret_key] {
        let mut own = server.rest_as(key);
        own.put("/applications/me", json!({"defaultRole": "base_app_user", "description": "d"}))
            .assert_status(200);
        assert_eq!(own.get("/applications/me").expect(200)["defaultRole"], nothing.as_str());
        user.post("/thngs", json!({"name": "n"})).assert_status(403);
    }
    let rules = json!({"rules": []});
    server.rest_as(&application.public_key).put("/applications/me/redirector", rules).assert_status(403);
}

#[test]
fn a_role_holds_for_a_type_however_it_is_spelled() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let name = format!("_{}", rest.id_of("/places", json!({})));
    rest.create(&format!("/actions?project={project}"), json!({"name": name}));
    let role = rest.id_of("/roles", json!({"name": "scanner", "type": "userInApp", "version": 2}));
    let permissions = json!([{"path": "/actions/:type", "access": "cr"}, {"path": format!("/actions/{name}"), "access": "r"}]);
    rest.put(&format!("/roles/{role}/permissions"), permissions).assert_status(200);
    rest.put(&format!("/projects/{project}/applications/{}", application.id), json!({"defaultRole": role}))
        .assert_status(200);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut user = server.rest_as(&user.key);
    user.post("/actions/scans", json!({})).assert_status(201);
    user.post("/actions/all", json!({"type": "scans"})).assert_status(201);
    let escaped = format!("%5F{}", &name[1..]);
    for path in [format!("/actions/{name}"), format!("/actions/{escaped}"), format!("/v2/actions/{escaped}")]
    {
        user.post(&path, json!({})).assert_status(403);
    }
    user.post("/actions/all", json!({"type": name})).assert_status(403);
}

#[test]
fn sharing_a_product_gives_no_access_to_actions_or_scopes() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (p, q) = (rest.project(), rest.project());
    let [of_p, of_q] = [&p, &q].map(|project| {
        let application = rest.application(project);
        let user = server.rest_as(&application.public_key).anonymous_user();
        (application, user)
    });
    let product =
        rest.id_of("/products", json!({"name": "shared", "scopes": {"projects": [p, q], "users": ["all"]}}));
    let path = format!("/products/{product}");
    let scanned = server.rest_as(&of_p.1.key).create("/actions/scans", json!({"product": product}));
    let mut other = server.rest_as(&of_q.1.key);
    assert!(
        !other.get("/actions/scans?context=true").text().contains(scanned["id"].as_str().expect("an id"))
    );
    let own = server.rest_as(&of_p.1.key).get("/actions/scans?context=true").expect(200);
    assert_eq!(own[0]["id"], scanned["id"]);
    assert!(own[0]["context"].get("ipAddress").is_none(), "{own}");
    let operators = rest.get(&format!("/actions/scans?context=true&filter=product%3D{product}")).expect(200);
    assert!(operators[0]["context"]["ipAddress"].is_string(), "{operators}");

    for key in [&of_p.0.secret_key, &of_p.1.key] {
        let mut own = server.rest_as(key);
        own.put(&path, json!({"scopes": {"projects": [p]}})).assert_status(400);
        let whole = own.get(&format!("{path}?withScopes=true")).expect(200);
        own.put(&path, whole).assert_status(200);
    }
    other.get(&path).assert_status(200);
}

#[test]
fn users_see_the_roles_that_are_for_users() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let hidden = role(&mut rest, &["project_read"], &[&project]);
    let shown = rest.id_of("/roles", json!({"name": "for users", "type": "userInApp", "version": 2}));
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut user = server.rest_as(&user.key);
    let roles = user.get("/roles?perPage=100");
    assert!(roles.text().contains(&shown) && !roles.text().contains(&hidden), "{}", roles.text());
    assert!(!roles.text().contains("\"admin\""), "{}", roles.text());
    for path in
        [format!("/roles/{hidden}"), format!("/roles/{hidden}/permissions"), "/roles/admin".to_owned()]
    {
        user.get(&path).assert_status(404);
    }
}

#[test]
fn a_bulk_change_that_fails_for_one_changes_none() {
    let mut rest = Server::shared().rest();
    let project = rest.project();
    let first = rest.id_of(&format!("/thngs?project={project}"), json!({"name": "first"}));
    rest.delete(&format!("/projects/{project}")).assert_status(200);
    let second = rest.id_of("/thngs", json!({"name": "second"}));
    let patch = json!({"name": "half", "scopes": {"projects": [project]}});
    rest.put(&format!("/thngs?ids={first}%2C{second}"), patch).assert_status(400);
    assert_eq!(rest.get(&format!("/thngs/{first}")).expect(200)["name"], "first");
}

#[test]
fn a_thng_is_commissioned_once_also_by_one_call() {
    let mut rest = Server::shared().rest();
    let thng = rest.thng();
    let twice = json!([{"thng": thng}, {"thng": thng}]);
    rest.post("/actions/commissions", twice).assert_status(400);
    let state = rest.get(&format!("/thngs/{thng}/commissionState")).expect(200);
    assert_eq!(state["state"], "not_commissioned");
}

#[test]
fn a_secret_key_deletes_no_actions_by_any_path() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let mut trusted = server.rest_as(&application.secret_key);
    let thng = trusted.id_of("/thngs", json!({"name": "n"}));
    let action = trusted.id_of(&format!("/thngs/{thng}/actions/scans"), json!({}));
    trusted.delete(&format!("/actions/scans/{action}")).assert_status(403);
    trusted.delete(&format!("/thngs/{thng}/actions/scans/{action}")).assert_status(403);
    rest.delete(&format!("/thngs/{thng}/actions/scans/{action}")).assert_status(200);
}

#[test]
fn a_task_makes_nothing_that_its_caller_could_not_make() {
    let server = Server::shared();
    let mut rest = server.rest();
    let Two { mine, theirs, product, .. } = two_projects(&mut rest);
    let token = rest.access_token(&["batches:*", "thngs:*"], &[format!("projects:{mine}")]);
    let batch = rest.id_of("/batches", json!({"name": "b"}));
    let mut limited = server.rest_as(&token.key);
    for template in
        [json!({"name": "n", "scopes": {"projects": [theirs]}}), json!({"name": "n", "product": product})]
    {
        let task = json!({"type": "POPULATING", "inputParameters":
            {"type": "FIXED_AMOUNT", "quantity": 1, "thngTemplate": template}});
        limited.post(&format!("/batches/{batch}/tasks"), task).assert_status(400);
    }
}

#[test]
fn a_thng_hides_its_scopes() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let thng = rest.id_of(
        &format!("/thngs?project={project}"),
        json!({"name": "n", "scopes": {"projects": [project], "users": []}}),
    );
    let device = rest.device(&thng);
    let mut own = server.rest_as(&device.key);
    let path = format!("/thngs/{thng}");
    own.put(&path, json!({"name": "renamed", "scopes": {"users": ["all"], "projects": []}}))
        .assert_status(200);
    let shown = rest.get(&format!("{path}?withScopes=true")).expect(200);
    assert_eq!(shown["scopes"], json!({"projects": [project], "users": []}));
    assert_eq!(shown["name"], "renamed");
}

#[test]
fn a_task_is_notified_to_the_keys_that_can_read_it() {
    let server = Server::shared();
    let mut rest = server.rest();
    let Two { mine, theirs, .. } = two_projects(&mut rest);
    let batch = |rest: &mut Rest, project: &str| {
        let id = rest.id_of(&format!("/batches?project={project}"), json!({"name": "b"}));
        let task = json!({"type": "POPULATING", "inputParameters":
            {"type": "FIXED_AMOUNT", "quantity": 1, "thngTemplate": {"name": "n"}}});
        let begun = rest.post(&format!("/batches/{id}/tasks?project={project}"), task);
        let location = begun.header("location").expect("a task").to_owned();
        (id, location[location.find("/batches/").expect("its path")..].to_owned())
    };
    let ((one, of_one), (two, of_two)) = (batch(&mut rest, &mine), batch(&mut rest, &theirs));
    let condition = |kind: &str, id: &str| [format!("{kind}:{id}")];
    let everything = ["batches:*"];
    let of_project = rest.access_token(&everything, &condition("projects", &mine));
    let of_batch = rest.access_token(&everything, &condition("batches", &one));
    let reader = role(&mut rest, &["project_read"], &[&mine]);
    let operator = operator(&mut rest, &json!({"role": reader}));
    for key in [&of_project.key, &of_batch.key, &operator] {
        let mut limited = server.rest_as(key);
        let mut client = Client::connect_as(server, &Hello::with_key(key));
        for (path, is_there) in [
            (format!("/batches/{one}"), true),
            (of_one.clone(), true),
            (format!("/batches/{one}/tasks"), true),
            (format!("/batches/{two}"), false),
            (of_two.clone(), false),
            (format!("/batches/{two}/tasks"), false),
            // A task of theirs under a batch of mine.
            (of_two.replace(&two, &one), false),
        ] {
            limited.get(&path).assert_status(if is_there { 200 } else { 404 });
            if path.contains("/tasks") {
                let code = client.subscribe(&path, QoS::AtLeastOnce);
                assert_eq!(code != SubAckCode::Refused, is_there, "{path}");
            }
        }
        let listed = limited.get("/batches?perPage=100").expect(200);
        let listed: Vec<&str> =
            listed.as_array().expect("a list").iter().filter_map(|batch| batch["id"].as_str()).collect();
        assert!(listed.contains(&one.as_str()) && !listed.contains(&two.as_str()));
    }
}

#[test]
fn what_is_created_in_a_collection_needs_the_right_to_add_it() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let collection = rest.id_of(
        &format!("/collections?project={project}"),
        json!({"name": "c", "scopes": {"users": ["all"]}}),
    );
    let application = rest.application(&project);
    let in_collection = |name: &str| json!({"name": name, "collections": [collection]});

    // A role of users with and without a right on collections.
    for (permissions, status) in [
        (json!([{"path": "/thngs", "access": "cru"}]), 403),
        (json!([{"path": "/thngs", "access": "cru"}, {"path": "/collections", "access": "r"}]), 403),
        (json!([{"path": "/thngs", "access": "cru"}, {"path": "/collections", "access": "ru"}]), 201),
    ] {
        let role = rest.id_of("/roles", json!({"name": "r", "type": "userInApp", "version": 2}));
        rest.put(&format!("/roles/{role}/permissions"), permissions.clone()).assert_status(200);
        let path = format!("/projects/{project}/applications/{}", application.id);
        rest.put(&path, json!({"defaultRole": role})).assert_status(200);
        let user = server.rest_as(&application.public_key).anonymous_user();
        let mut user = server.rest_as(&user.key);
        user.post("/thngs", in_collection("n")).assert_status(status);
        user.post("/thngs", json!({"name": "outside"})).assert_status(201);
        let made = user.create("/thngs", json!({"name": "added later"}));
        let added = user.put(&format!("/collections/{collection}/thngs"), json!([made["id"]]));
        assert_eq!(added.status == 200, status == 201, "{permissions}: as adding it afterwards");
    }
    // The same for tokens, for a collection in a collection, and for what a task makes.
    for (permissions, is_allowed) in [
        (&["thngs:*", "collections:create", "batches:*"][..], false),
        (&["thngs:*", "collections:*", "batches:*"], true),
    ] {
        let token = rest.access_token(permissions, &[]);
        let mut limited = server.rest_as(&token.key);
        let status = if is_allowed { 201 } else { 403 };
        limited.post("/thngs", in_collection("n")).assert_status(status);
        limited.post("/collections", in_collection("n")).assert_status(status);
        let batch = limited.id_of("/batches", json!({"name": "b"}));
        let task = json!({"type": "POPULATING", "inputParameters":
            {"type": "FIXED_AMOUNT", "quantity": 1, "thngTemplate": in_collection("n")}});
        let status = if is_allowed { 202 } else { 403 };
        limited.post(&format!("/batches/{batch}/tasks"), task).assert_status(status);
    }
}
