//! Explanations of rights: `GET /access/permissions` and `POST /access/explain`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use thng_pubsub_tests::{Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

#[track_caller]
fn explained(rest: &mut Rest, verb: &str, path: &str) -> Value {
    rest.post("/access/explain", json!({"verb": verb, "path": path})).expect(200)
}

/// The paths of the entries that decide.
fn deciding(explanation: &Value) -> Vec<&str> {
    let entries = explanation["decidedBy"].as_array().expect("an array");
    entries.iter().filter_map(|entry| entry["path"].as_str()).collect()
}

/// The handle of a key, which the key itself is shown.
fn handle(rest: &mut Rest) -> String {
    explained(rest, "read", "/access")["key"]["handle"].as_str().expect("a handle").to_owned()
}

#[test]
fn permissions_list_the_entries_of_a_key_with_their_reach() {
    let server = Server::shared();
    let mut operator = server.rest();
    let all = json!([{"path": "/", "access": "crud", "reach": {"kind": "account"}}]);
    assert_eq!(operator.get("/access/permissions").expect(200), all);
    let thng = operator.thng();
    let device = operator.device(&thng).key;
    let entries = server.rest_as(&device).get("/access/permissions").expect(200);
    let own = entries.as_array().expect("an array").iter().find(|entry| entry["path"] == "/thngs/:self");
    let own = own.expect("an entry for itself");
    assert_eq!((&own["access"], &own["reach"]["thng"]), (&json!("ru"), &json!(thng)));
    let token = operator.access_token(&["thngs:read"], &[format!("thngs:{thng}")]).key;
    let entries = server.rest_as(&token).get("/access/permissions").expect(200);
    let reach = json!({"kind": "conditions", "conditions": [format!("thngs:{thng}")]});
    assert!(entries.as_array().expect("an array").iter().all(|entry| entry["reach"] == reach), "{entries}");
}

#[test]
fn explain_names_the_entry_that_decides() {
    let server = Server::shared();
    let mut operator = server.rest();
    let project = operator.project();
    let application = operator.application(&project);
    let mut rest = server.rest_as(&application.secret_key);
    let (own, hidden) = (rest.thng(), operator.thng());
    for (verb, path, outcome, entries) in [
        ("read", format!("/thngs/{own}"), "allowed", &["/thngs"][..]),
        ("create", format!("/v2/thngs/{own}/actions/scans"), "allowed", &["/thngs/*/actions"][..]),
        ("update", format!("/thngs/{own}/actions/scans"), "forbidden", &["/thngs/*/actions"][..]),
        ("read", format!("/projects/{project}"), "forbidden", &[][..]),
        ("update", format!("/thngs/{hidden}/properties/k"), "notFound", &["/thngs"][..]),
        ("read", format!("/actions/scans/{UNKNOWN}"), "notFound", &["/actions/*/*"][..]),
    ] {
        let explanation = explained(&mut rest, verb, &path);
        assert_eq!(explanation["outcome"], outcome, "{verb} {path}: {explanation}");
        assert_eq!(deciding(&explanation), entries, "{verb} {path}");
    }
    let mut hidden_one = explained(&mut rest, "read", &format!("/thngs/{hidden}"));
    let mut missing = explained(&mut rest, "read", &format!("/thngs/{UNKNOWN}"));
    hidden_one["path"].take();
    missing["path"].take();
    assert_eq!(hidden_one, missing, "what is hidden is explained like what is not there");
}

#[test]
fn explain_agrees_with_rest_on_every_kind_of_path() {
    let server = Server::shared();
    let mut operator = server.rest();
    let (project, foreign) = (operator.project(), operator.project());
    let application = operator.application(&project);
    let account = operator.account();
    let access = operator.get(&format!("/accounts/{account}/accesses")).expect(200)[0].clone();
    let (access, its_operator) = (access["id"].as_str(), access["operator"].as_str());
    let (access, its_operator) = (access.expect("an id"), its_operator.expect("an id"));
    let batch = operator.id_of("/batches", json!({"name": "n"}));
    let named = json!({"name": "n", "identifiers": {"serial": foreign.clone()}});
    let thng = operator.id_of(&format!("/thngs?project={foreign}"), named);
    let action = operator.id_of("/actions/scans", json!({"thng": thng}));
    let hidden_type = action_type(&mut operator, &foreign);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let token = operator.access_token(&["thngs:read,list"], &[]);
    let keys = [
        server.key().to_owned(),
        application.public_key,
        application.secret_key,
        user.key.clone(),
        token.key.clone(),
        operator.device(&thng).key,
        administrating_token(&mut operator),
    ];
    let mut seen = BTreeSet::new();
    for path in [
        "/time".to_owned(),
        "/thngs".to_owned(),
        format!("/thngs/{thng}"),
        format!("/thngs/serial:{foreign}"),
        format!("/thngs/{thng}/actions/scans/{action}"),
        format!("/thngs/{UNKNOWN}/actions/scans/{action}"),
        format!("/actions/scans/{action}"),
        format!("/actions/checkins/{action}"),
        format!("/batches/{batch}"),
        format!("/batches/{batch}/tasks/{UNKNOWN}"),
        format!("/projects/{foreign}"),
        format!("/projects/{project}/applications/{}", application.id),
        format!("/projects/{foreign}/applications/{}", application.id),
        format!("/users/{}", user.id),
        "/applications/me".to_owned(),
        "/roles/admin".to_owned(),
        "/accessPolicies/evt:accountAdmin".to_owned(),
        format!("/accessTokens/{}", token.id),
        format!("/operators/{its_operator}"),
        format!("/accounts/{account}"),
        format!("/accounts/{UNKNOWN}"),
        format!("/accounts/{account}/accesses/{access}"),
        format!("/accounts/{account}/accesses/{UNKNOWN}"),
        format!("/auth/evrythng/thngs/{thng}"),
        format!("/auth/evrythng/thngs/serial:{foreign}"),
        format!("/thngs/{thng}/clientEvents"),
        format!("/thngs/serial:{foreign}/clientEvents"),
        "/me".to_owned(),
        "/actionTypes/scans".to_owned(),
        format!("/actionTypes/{hidden_type}"),
        "/actionTypes/_absent".to_owned(),
    ] {
        for key in &keys {
            let mut rest = server.rest_as(key);
            let outcome = outcome(rest.get(&path).status);
            let explanation = explained(&mut rest, "read", &path);
            assert_eq!(explanation["outcome"], outcome, "{path}: {explanation}");
            seen.insert(outcome);
        }
    }
    assert_eq!(seen.len(), 3);
}

/// What a call was answered, in the words of explanations; a fault in the body and a conflict are found after the right.
#[track_caller]
fn outcome(status: u16) -> &'static str {
    match status {
        200 | 201 | 204 | 400 | 409 => "allowed",
        403 => "forbidden",
        404 | 405 => "notFound",
        status => panic!("{status}"),
    }
}

/// A token that may do everything, but is no operator.
fn administrating_token(operator: &mut Rest) -> String {
    let token = json!({"name": "all", "policies": ["evt:accountAdmin"], "conditions": []});
    operator.create("/accessTokens", token)["apiKey"].as_str().expect("a key").to_owned()
}

/// An action type that only one project sees, by its name.
fn action_type(operator: &mut Rest, project: &str) -> String {
    let name = format!("_{project}");
    operator.create(&format!("/actionTypes?project={project}"), json!({"name": name}));
    name
}

#[test]
fn explain_agrees_with_rest_on_every_kind_of_write() {
    let server = Server::start();
    let mut operator = server.rest();
    let (project, foreign) = (operator.project(), operator.project());
    let application = operator.application(&project);
    let account = operator.account();
    let accesses = format!("/accounts/{account}/accesses");
    let access = operator.id_of(&accesses, json!({"email": "more@example.org", "role": "none"}));
    let (own_type, hidden_type) =
        (action_type(&mut operator, &project), action_type(&mut operator, &foreign));
    let role = operator.id_of("/roles", json!({"name": "guests", "type": "userInApp", "version": 2}));
    let policy = operator.access_policy(&["thngs:read"]);
    let other = operator.access_token(&["thngs:read"], &[]);
    let thng = operator.thng();
    let granting = operator.access_token(
        &[
            "roles:*",
            "roles.permissions:*",
            "accessPolicies:*",
            "accessTokens:*",
            "accounts:*",
            "accounts.accesses:*",
        ],
        &[],
    );
    let keys = [
        server.key().to_owned(),
        administrating_token(&mut operator),
        granting.key,
        server.rest_as(&application.public_key).anonymous_user().key,
        application.public_key,
        application.secret_key,
        operator.device(&thng).key,
    ];
    let question = json!({"verb": "read", "path": "/places"});
    let mut seen = BTreeSet::new();
    for (verb, path, body) in [
        ("create", "/roles".to_owned(), json!({"name": "more", "version": 2})),
        ("update", format!("/roles/{role}"), json!({"name": "guests"})),
        ("update", format!("/roles/{role}/permissions"), json!([])),
        ("update", "/roles/d91ff87357a3c362315818c7".to_owned(), json!({})),
        ("delete", "/roles/d91ff87357a3c362315818c7".to_owned(), json!({})),
        ("create", "/accessPolicies".to_owned(), json!({"name": "more", "permissions": ["places:read"]})),
        ("update", format!("/accessPolicies/{policy}"), json!({"permissions": ["thngs:read"]})),
        ("update", format!("/accessPolicies/{UNKNOWN}"), json!({})),
        ("delete", format!("/accessPolicies/{UNKNOWN}"), json!({})),
        (
            "create",
            "/accessTokens".to_owned(),
            json!({"name": "more", "policies": [policy], "conditions": []}),
        ),
        ("update", format!("/accessTokens/{}", other.id), json!({"name": "other"})),
        ("update", format!("/accessTokens/{UNKNOWN}"), json!({"name": "other"})),
        ("delete", format!("/accessTokens/{UNKNOWN}"), json!({})),
        ("update", format!("{accesses}/{access}"), json!({})),
        ("update", format!("{accesses}/{UNKNOWN}"), json!({})),
        ("delete", format!("{accesses}/{access}"), json!({})),
        ("update", format!("/actions/{own_type}"), json!({"tags": ["t"]})),
        ("update", format!("/actionTypes/{hidden_type}"), json!({"tags": ["t"]})),
        ("update", "/actions/scans".to_owned(), json!({})),
        ("delete", format!("/actions/{hidden_type}"), json!({})),
        ("delete", "/actions/_absent".to_owned(), json!({})),
        ("create", "/access/explain".to_owned(), question),
    ] {
        // Those with few rights first: the others may delete what these are to find.
        for key in keys.iter().rev() {
            let mut rest = server.rest_as(key);
            let explanation = explained(&mut rest, verb, &path);
            let answer = match verb {
                "create" => rest.post(&path, body.clone()),
                "update" => rest.put(&path, body.clone()),
                _ => rest.delete(&path),
            };
            let outcome = outcome(answer.status);
            assert_eq!(explanation["outcome"], outcome, "{verb} {path}: {explanation}, {}", answer.text());
            seen.insert(outcome);
        }
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_verb_that_a_path_does_not_have_is_not_found() {
    let mut rest = Server::shared().rest();
    let thng = rest.thng();
    let (properties, events) = (format!("/thngs/{thng}/properties"), format!("/thngs/{thng}/clientEvents"));
    for (verb, path, outcome) in [
        ("read", "/nothing", "notFound"),
        ("create", "/nothing", "notFound"),
        ("delete", "/time", "notFound"),
        ("update", &*events, "notFound"),
        ("read", &*events, "allowed"),
        ("delete", &*properties, "allowed"),
        ("update", &*properties, "allowed"),
        ("read", "/time", "allowed"),
    ] {
        let explanation = explained(&mut rest, verb, path);
        assert_eq!(explanation["outcome"], outcome, "{verb} {path}: {explanation}");
        let is_unserved = explanation["sentence"].as_str().is_some_and(|text| text.starts_with("No call"));
        assert_eq!(is_unserved, outcome == "notFound", "{verb} {path}: {explanation}");
    }
}

#[test]
fn explain_reads_no_other_keys_rights_except_for_administrators() {
    let server = Server::shared();
    let mut operator = server.rest();
    let thng = operator.thng();
    let mut device = server.rest_as(&operator.device(&thng).key);
    let (own, administrators) = (handle(&mut device), handle(&mut operator));
    let about = |key: &str| json!({"verb": "delete", "path": format!("/thngs/{thng}"), "key": key});
    let explanation = operator.post("/access/explain", about(&own)).expect(200);
    assert_eq!((&explanation["outcome"], &explanation["key"]["id"]), (&json!("forbidden"), &json!(thng)));
    assert_eq!(deciding(&explanation), ["/thngs/:self"]);
    for key in [&own, &administrators, "0123456789ab"] {
        device.post("/access/explain", about(key)).assert_status(403);
    }
    let (mut stranger, _) = server.another_account();
    let foreign = handle(&mut stranger);
    let refused = operator.post("/access/explain", about(&foreign)).expect(400);
    let missing = operator.post("/access/explain", about("0123456789ab")).expect(400);
    assert_eq!(refused["errors"], missing["errors"], "a key of another account is none");
    operator.post("/access/explain", about(&server.key()[..12])).assert_status(400);
}

#[test]
fn questions_that_are_none_are_refused() {
    let mut rest = Server::shared().rest();
    for body in [
        json!([]),
        json!({}),
        json!({"verb": "read"}),
        json!({"verb": "GET", "path": "/thngs"}),
        json!({"verb": "read", "path": "thngs"}),
        json!({"verb": "read", "path": "/thngs?x=1"}),
        json!({"verb": "read", "path": format!("/{}", "a".repeat(4_096))}),
        json!({"verb": "read", "path": "/thngs", "key": "xyz"}),
    ] {
        rest.post("/access/explain", body.clone()).assert_status(400);
    }
}
