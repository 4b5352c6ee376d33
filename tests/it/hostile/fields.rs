//! Fields that a document may have and its sender may not set: they have no effect, for any sender.
//!
//! Bug class 23 of `docs/security.md`, mass assignment. Scopes are in `rest/scopes.rs`.

use serde_json::{Value, json};
use thng_pubsub_tests::Server;
use thng_pubsub_tests::keys::{text, unique, unique_email};

const FORGED_ID: &str = "Uabcdefghkmnpqrstwxy0123";

fn forged_key() -> String {
    "Forged00".repeat(10)
}

/// Every field that only the server sets in some document, with a value that it would never have.
fn forged() -> Value {
    json!({
        "id": FORGED_ID, "createdAt": 1, "updatedAt": 2, "account": FORGED_ID, "operator": FORGED_ID, "actor": FORGED_ID,
        "app": FORGED_ID, "createdByTask": FORGED_ID, "createdByApp": FORGED_ID, "createdByProject": FORGED_ID,
        "createdByThng": FORGED_ID, "user": FORGED_ID, "evrythngUser": FORGED_ID, "fn": "forged", "status": "forged",
        "apiKey": forged_key(), "appApiKey": forged_key(), "secretApiKey": forged_key(), "evrythngApiKey": forged_key(),
        "thngApiKey": forged_key(), "access": {"apiKey": forged_key()}, "resourceCountsByProduct": {FORGED_ID: 7},
        "reactions": [{"type": "forged"}], "progress": {"madeAmount": 7}, "result": {"error": "forged"},
        "completedAt": 1, "passwordHash": "forged", "_id": FORGED_ID, "__proto__": {"admin": true}, "admin": true,
    })
}

/// A document with the forged fields that it does not say itself.
fn with_forged(document: &Value) -> Value {
    let mut all = forged();
    let own = document.as_object().expect("an object").clone();
    all.as_object_mut().expect("an object").extend(own);
    all
}

/// Shows that a document has no forged field.
#[track_caller]
fn assert_nothing_forged(document: &Value, what: &str) {
    for (field, value) in forged().as_object().expect("an object") {
        assert_ne!(document.get(field), Some(value), "{field} of {what}: {document}");
    }
    let shown = document.to_string();
    assert!(!shown.contains(FORGED_ID) && !shown.contains("Forged00"), "{what}: {document}");
}

/// Bug class 23: mass assignment, for every kind of resource, at its creation and in an update.
#[test]
fn server_set_fields_cannot_be_set_by_any_client() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let batch = rest.id_of("/batches", json!({"name": "b"}));
    let policy = rest.access_policy(&["thngs:read"]);
    let accesses = format!("/accounts/{}/accesses", rest.account());
    let task = json!({"type": "POPULATING", "inputParameters":
        {"type": "FIXED_AMOUNT", "quantity": 1, "thngTemplate": {"name": "n"}}});
    for (path, document, is_changed) in [
        ("/thngs", json!({"name": "n"}), true),
        ("/products", json!({"name": "n"}), true),
        ("/collections", json!({"name": "n"}), true),
        ("/places", json!({"name": "n"}), true),
        ("/projects", json!({"name": "n"}), true),
        (&*format!("/projects/{project}/applications"), json!({"name": "n", "socialNetworks": {}}), true),
        ("/actionTypes", json!({"name": format!("_{}", unique("forged"))}), false),
        ("/actions/scans", json!({}), false),
        ("/batches", json!({"name": "n"}), true),
        ("/roles", json!({"name": "n"}), true),
        ("/accessPolicies", json!({"name": unique("p"), "permissions": ["thngs:read"]}), true),
        ("/accessTokens", json!({"name": "n", "policies": [policy]}), true),
        (&*accesses, json!({"email": unique_email(), "role": "none"}), true),
    ] {
        let created = rest.post(path, with_forged(&document)).expect(201);
        assert_nothing_forged(&created, path);
        if !is_changed {
            continue;
        }
        let address = format!("{path}/{}", text(&created, "id"));
        let mut before = rest.get(&address).expect(200);
        let changed = rest.put(&address, with_forged(&json!({"customFields": {"changed": true}})));
        assert_nothing_forged(&changed.expect(200), &address);
        let mut after = rest.get(&address).expect(200);
        for changing in ["updatedAt", "customFields"] {
            before.as_object_mut().expect("an object").remove(changing);
            after.as_object_mut().expect("an object").remove(changing);
        }
        assert_eq!(after, before, "{address}: nothing else has changed");
    }
    let accepted = rest.post(&format!("/batches/{batch}/tasks"), with_forged(&task));
    accepted.assert_status(202);
    let location = accepted.header("location").expect("where the task is").to_owned();
    let path = &location[location.find("/batches").expect("a path")..];
    assert_nothing_forged(&rest.get(path).expect(200), path);
    server.rest_as(&forged_key()).get("/access").assert_status(403);
}

/// Bug class 23: mass assignment by those who have few rights.
#[test]
fn limited_users_devices_and_operators_cannot_extend_rights() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (project, foreign) = (rest.project(), rest.project());
    let application = rest.application(&project);
    let other = rest.application(&foreign);
    let mut public = server.rest_as(&application.public_key);

    let email = unique_email();
    let named = json!({"email": email, "password": "enchantress", "firstName": "Ada", "lastName": "L"});
    let created = public.post("/auth/evrythng/users", with_forged(&named)).expect(201);
    assert_nothing_forged(&created, "a user");
    assert_eq!(created["status"], "inactive");
    let anonymous = public.post("/auth/evrythng/users?anonymous=true", forged()).expect(201);
    assert_nothing_forged(&anonymous, "an anonymous user");

    let user = public.named_user(&unique_email(), "enchantress");
    let mut own = server.rest_as(&user.key);
    let path = format!("/users/{}", user.id);
    let before = own.get(&path).expect(200);
    let scopes = json!({"projects": [project, foreign], "users": ["all"]});
    let more = json!({
        "app": other.id, "project": foreign, "email": unique_email(), "scopes": scopes, "role": "admin",
        "password": "another password", "firstName": "Augusta",
    });
    let mut after = own.put(&path, with_forged(&more)).expect(200);
    assert_nothing_forged(&after, "a user");
    assert_eq!(after["firstName"], "Augusta");
    for changing in ["firstName", "updatedAt"] {
        after[changing] = before[changing].clone();
    }
    assert_eq!(after, before);
    own.get("/projects").assert_status(403);

    let thng = rest.thng();
    let mut device = server.rest_as(&rest.device(&thng).key);
    let made = device.put(&format!("/thngs/{thng}"), with_forged(&json!({"name": "n", "scopes": scopes})));
    assert_nothing_forged(&made.expect(200), "a device's thng");
    let shown = rest.get(&format!("/thngs/{thng}?withScopes=true")).expect(200);
    assert_eq!(shown["scopes"], json!({"projects": [], "users": []}));
    let another = rest.thng();
    let issued = rest.create("/auth/evrythng/thngs", with_forged(&json!({"thngId": another})));
    assert_nothing_forged(&issued, "a device's key");

    let role = rest.id_of("/roles", json!({"name": "without a switch"}));
    let key = rest.operator(json!({"role": role})).key;
    let mut operator = server.rest_as(&key);
    let me = operator.get("/access").expect(200)["actor"]["id"].as_str().expect("an id").to_owned();
    let admin = json!({"role": "admin", "policies": ["evt:accountAdmin"], "firstName": "Ada"});
    let changed = operator.put(&format!("/operators/{me}"), with_forged(&admin)).expect(200);
    assert_nothing_forged(&changed, "an operator");
    operator.get("/thngs").assert_status(403);
}
