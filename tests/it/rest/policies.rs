//! Access policies, and those whose rights they say: access tokens, and operators who have policies and no role.

use serde_json::{Value, json};
use thng_pubsub_tests::keys::{text, unique, unique_email};
use thng_pubsub_tests::{Keyed, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";
const POLICIES: &str = "/accessPolicies";
const TOKENS: &str = "/accessTokens";

#[track_caller]
fn thngs_name(rest: &mut Rest, thng: &str) -> Value {
    rest.get(&format!("/thngs/{thng}")).expect(200)["name"].clone()
}

#[test]
fn a_policy_is_created_read_changed_and_deleted() {
    let mut rest = Server::shared().rest();
    let sent = json!({
        "name": unique("policy"), "description": "d", "permissions": ["thngs:read,list", "places:*"],
        "uiPermissions": ["a"], "homepage": "/home", "tags": ["t"], "customFields": {"a": 1},
        "identifiers": {"i": "1"},
    });
    let answer = rest.post(POLICIES, sent.clone());
    let created = answer.expect(201);
    let id = text(&created, "id");
    assert!(
        answer.header("location").is_some_and(|at| at.ends_with(&format!("{POLICIES}/{id}"))),
        "{answer:?}"
    );
    for (field, value) in sent.as_object().expect("an object") {
        assert_eq!(created[field], *value, "{field}");
    }
    let path = format!("{POLICIES}/{id}");
    assert_eq!(rest.get(&path).expect(200), created);
    let updated = rest.put(&path, json!({"permissions": ["thngs:read"]})).expect(200);
    assert_eq!((&updated["permissions"], &updated["name"]), (&json!(["thngs:read"]), &created["name"]));
    assert_ne!(updated["updatedAt"], updated["createdAt"]);
    assert_eq!(rest.get(&path).expect(200), updated);
    rest.put(&path, updated).assert_status(200);
    let deleted = rest.delete(&path);
    deleted.assert_status(204);
    assert!(deleted.body.is_empty());
    rest.get(&path).assert_status(404);
    rest.put(&path, json!({"description": "x"})).assert_status(404);
    rest.delete(&path).assert_status(404);
}

#[test]
fn policy_names_are_unique_including_the_built_in_one() {
    let mut rest = Server::shared().rest();
    let (first, second) = (unique("policy"), unique("policy"));
    let policy = |name: &str| json!({"name": name, "permissions": ["thngs:read"]});
    let id = rest.id_of(POLICIES, policy(&first));
    let other = rest.id_of(POLICIES, policy(&second));
    rest.post(POLICIES, policy(&first)).assert_status(409);
    rest.put(&format!("{POLICIES}/{other}"), json!({"name": first})).assert_status(409);
    rest.put(&format!("{POLICIES}/{other}"), json!({"name": second})).assert_status(200);
    rest.post(POLICIES, policy("evt:accountAdmin")).assert_status(409);
    rest.put(&format!("{POLICIES}/{other}"), json!({"name": "evt:accountAdmin"})).assert_status(409);
    rest.delete(&format!("{POLICIES}/{id}")).assert_status(204);
    rest.post(POLICIES, policy(&first)).assert_status(201);
}

#[test]
fn an_invalid_permission_is_refused() {
    let mut rest = Server::shared().rest();
    for fine in ["thngs:read", "thngs:read,list,create,update,delete", "thngs:*", "batches.tasks:list"] {
        let answer = rest.post(POLICIES, json!({"name": unique("policy"), "permissions": [fine]}));
        assert_eq!(answer.status, 201, "{fine}: {}", answer.text());
    }
    let id = rest.access_policy(&["thngs:read"]);
    for wrong in [
        json!(["thngs"]),
        json!(["thngs:"]),
        json!([":read"]),
        json!(["thngs:fly"]),
        json!(["thngs:read,"]),
        json!(["thngs:Read"]),
        json!(["thngs:read list"]),
        json!(["th ngs:read"]),
        json!(["/thngs:read"]),
        json!(["thngs:read:list"]),
        json!([""]),
        json!([7]),
        json!(["thngs:read", "thngs"]),
        json!("thngs:read"),
        json!({}),
        json!(null),
    ] {
        let policy = json!({"name": unique("policy"), "permissions": wrong});
        let answer = rest.post(POLICIES, policy);
        assert_eq!(answer.status, 400, "POST {wrong}");
        if wrong.is_null() {
            continue;
        }
        let answer = rest.put(&format!("{POLICIES}/{id}"), json!({"permissions": wrong}));
        assert_eq!(answer.status, 400, "PUT {wrong}");
    }
    rest.post(POLICIES, json!({"name": unique("policy")})).assert_status(400);
    rest.post(POLICIES, json!({"permissions": []})).assert_status(400);
    assert_eq!(rest.get(&format!("{POLICIES}/{id}")).expect(200)["permissions"], json!(["thngs:read"]));
}

#[test]
fn the_built_in_administrator_policy_is_immutable() {
    let mut rest = Server::shared().rest();
    let listed = rest.get(POLICIES).expect(200);
    assert_eq!(listed[0]["name"], "evt:accountAdmin", "what is built in stands first");
    for query in ["filter=name=evt:accountAdmin", "filter=name%3Devt%253AaccountAdmin"] {
        let found = rest.get(&format!("{POLICIES}?{query}")).expect(200);
        assert_eq!(found, json!([listed[0]]), "{query}");
    }
    let id = text(&listed[0], "id");
    assert_eq!(id.len(), 24);
    assert_eq!(rest.get(&format!("{POLICIES}/{id}")).expect(200), listed[0]);
    for status in [
        rest.put(&format!("{POLICIES}/{id}"), json!({"permissions": []})).status,
        rest.delete(&format!("{POLICIES}/{id}")).status,
    ] {
        assert!(matches!(status, 400 | 403 | 404), "{status}");
    }
    assert_eq!(rest.get(&format!("{POLICIES}/{id}")).expect(200), listed[0]);
}

#[test]
fn the_built_in_policy_is_found_by_id_in_lists() {
    let mut rest = Server::shared().rest();
    let built_in = rest.get(&format!("{POLICIES}?filter=name=evt:accountAdmin")).expect(200);
    let id = text(&built_in[0], "id");
    let own = rest.access_policy(&["thngs:read"]);
    assert_eq!(rest.get(&format!("{POLICIES}?ids={id}")).expect(200), built_in);
    let both = rest.get(&format!("{POLICIES}?ids={own},{id},{UNKNOWN}")).expect(200);
    assert_eq!((&both[0]["id"], &both[1]["id"]), (&json!(id), &json!(own)), "{both}");
}

#[test]
fn a_token_shows_its_key_once_and_is_listed_without_it() {
    let server = Server::shared();
    let mut rest = server.rest();
    let policy = rest.access_policy(&["thngs:read,list"]);
    let sent = json!({
        "name": "a token", "description": "d", "policies": [policy], "conditions": [], "tags": ["t"],
        "customFields": {"a": 1}, "identifiers": {"i": "1"}, "apiKey": "mine",
    });
    let answer = rest.post(TOKENS, sent.clone());
    let created = answer.expect(201);
    let (id, key) = (text(&created, "id"), text(&created, "apiKey"));
    assert!(
        answer.header("location").is_some_and(|at| at.ends_with(&format!("{TOKENS}/{id}"))),
        "{answer:?}"
    );
    assert!(key.len() == 80 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
    for field in ["name", "description", "policies", "conditions", "tags", "customFields", "identifiers"] {
        assert_eq!(created[field], sent[field], "{field}");
    }
    let path = format!("{TOKENS}/{id}");
    for shown in [
        rest.get(&path),
        rest.get(TOKENS),
        rest.get(&format!("{TOKENS}?ids={id}")),
        rest.put(&path, json!({"description": "e", "apiKey": "mine"})),
    ] {
        shown.assert_status(200);
        assert!(!shown.text().contains(&key) && !shown.text().contains("apiKey"), "{}", shown.text());
    }
    let mut read = rest.get(&path).expect(200);
    assert_eq!(read["description"], "e");
    for changed in ["updatedAt", "description"] {
        read[changed] = created[changed].clone();
    }
    read["apiKey"] = json!(key);
    assert_eq!(read, created);

    let access = server.rest_as(&key).get("/access").expect(200);
    assert_eq!(access["actor"], json!({"type": "accessToken", "id": id}));
    assert_eq!(access["account"], *rest.account());
    let deleted = rest.delete(&path);
    deleted.assert_status(204);
    assert!(deleted.body.is_empty());
    server.rest_as(&key).get("/access").assert_status(403);
    rest.get(&path).assert_status(404);
    rest.delete(&path).assert_status(404);
}

#[test]
fn a_token_needs_existing_policies_and_valid_conditions() {
    let mut rest = Server::shared().rest();
    let policy = rest.access_policy(&["thngs:read"]);
    let thng = rest.thng();
    let place = format!("places:{}", rest.id_of("/places", json!({"name": "p"})));
    for (document, status) in [
        (json!({"name": "n", "policies": [policy]}), 201),
        (json!({"name": "n", "policies": ["evt:accountAdmin"], "conditions": []}), 201),
        (json!({"name": "n", "policies": [policy], "conditions": [place, format!("thngs:{thng}")]}), 201),
        (json!({"name": "n"}), 400),
        (json!({"policies": [policy]}), 400),
        (json!({"name": "n", "policies": [UNKNOWN]}), 400),
        (json!({"name": "n", "policies": [thng]}), 400),
        (json!({"name": "n", "policies": ["nosuchname"]}), 400),
        (json!({"name": "n", "policies": policy}), 400),
        (json!({"name": "n", "policies": [policy], "conditions": ["places"]}), 400),
        (json!({"name": "n", "policies": [policy], "conditions": ["places:x"]}), 400),
        (json!({"name": "n", "policies": [policy], "conditions": [format!("fish:{thng}")]}), 400),
        (json!({"name": "n", "policies": [policy], "conditions": place}), 400),
    ] {
        let answer = rest.post(TOKENS, document.clone());
        assert_eq!(answer.status, status, "{document}: {}", answer.text());
    }
    let id = rest.access_token(&["thngs:read"], &[]).id;
    for wrong in [json!({"policies": [UNKNOWN]}), json!({"conditions": ["places"]}), json!({"policies": "x"})]
    {
        let answer = rest.put(&format!("{TOKENS}/{id}"), wrong.clone());
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn a_token_may_do_what_its_policies_say_and_nothing_else() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let path = format!("/thngs/{thng}");
    let new = || Some(json!({"name": "n"}));
    // What is tried, with the operation that it needs.
    let attempts = [
        ("list", "GET", "/thngs".to_owned(), None),
        ("read", "GET", path.clone(), None),
        ("read", "GET", format!("{path}/properties"), None),
        ("create", "POST", "/thngs".to_owned(), new()),
        ("update", "PUT", path.clone(), new()),
        ("update", "PUT", format!("{path}/properties/k"), Some(json!([{"value": 1}]))),
        ("update", "PUT", format!("{path}/location"), Some(json!([{"latitude": 1, "longitude": 2}]))),
        ("delete", "DELETE", format!("{path}/properties/k"), None),
        ("never", "GET", "/products".to_owned(), None),
        ("never", "GET", "/actions/all".to_owned(), None),
        ("never", "POST", "/projects".to_owned(), new()),
        ("never", "GET", POLICIES.to_owned(), None),
        ("never", "GET", TOKENS.to_owned(), None),
        ("never", "GET", "/accounts".to_owned(), None),
        ("never", "GET", "/me".to_owned(), None),
        ("access", "GET", "/access".to_owned(), None),
    ];
    for operations in ["read", "list", "create", "update", "delete", "read,list", "create,update", "*"] {
        let token = rest.access_token(&[&format!("thngs:{operations}")], &[]);
        for (operation, method, path, body) in &attempts {
            let body = body.as_ref().map(ToString::to_string);
            let headers = [("Authorization", &*token.key)];
            let answer =
                server.rest_as(&token.key).send(method, path, &headers, body.as_deref().map(str::as_bytes));
            let may = *operation == "access"
                || (*operation != "never"
                    && (operations == "*" || operations.split(',').any(|it| it == *operation)));
            let did = answer.status < 300;
            assert_eq!(did, may, "thngs:{operations} {method} {path}: {}", answer.status);
            assert!(did || answer.status == 403, "thngs:{operations} {method} {path}: {}", answer.status);
        }
    }
}

#[test]
fn several_policies_grant_together_and_by_name_as_well_as_by_id() {
    let server = Server::shared();
    let mut rest = server.rest();
    let name = unique("policy");
    rest.create(POLICIES, json!({"name": name, "permissions": ["places:read,list"]}));
    let products = rest.access_policy(&["products:list"]);
    let token = rest.create(TOKENS, json!({"name": "n", "policies": [name, products]}));
    let mut own = server.rest_as(&text(&token, "apiKey"));
    own.get("/places").assert_status(200);
    own.get("/products").assert_status(200);
    own.get("/thngs").assert_status(403);
    let update = rest.put(&format!("{TOKENS}/{}", text(&token, "id")), json!({"policies": [products]}));
    update.assert_status(200);
    own.get("/places").assert_status(403);
    own.get("/products").assert_status(200);
}

#[test]
fn policy_changes_count_from_the_next_request() {
    let server = Server::shared();
    let mut rest = server.rest();
    let policy = rest.access_policy(&["thngs:list"]);
    let path = format!("{POLICIES}/{policy}");
    let token = rest.create(TOKENS, json!({"name": "n", "policies": [policy]}));
    let operator = rest.operator(json!({"policies": [policy]}));
    let mut keys = [text(&token, "apiKey"), operator.key].map(|key| server.rest_as(&key));
    for _ in 0..10 {
        for own in &mut keys {
            own.get("/thngs").assert_status(200);
        }
        rest.put(&path, json!({"permissions": ["products:list"]})).assert_status(200);
        for own in &mut keys {
            own.get("/thngs").assert_status(403);
            own.get("/products").assert_status(200);
        }
        rest.put(&path, json!({"permissions": ["thngs:list"]})).assert_status(200);
    }
    rest.delete(&path).assert_status(204);
    for own in &mut keys {
        own.get("/thngs").assert_status(403);
        own.get("/access").assert_status(200);
    }
}

#[test]
fn the_administrator_policy_grants_everything() {
    let server = Server::shared();
    let mut rest = server.rest();
    let token = rest.create(TOKENS, json!({"name": "n", "policies": ["evt:accountAdmin"], "conditions": []}));
    let operator = rest.operator(json!({"policies": ["evt:accountAdmin"], "conditions": []}));
    for key in [text(&token, "apiKey"), operator.key] {
        let mut own = server.rest_as(&key);
        let project = own.project();
        let application = own.application(&project);
        assert_eq!(application.secret_key.len(), 80);
        let thng = own.id_of(&format!("/thngs?project={project}"), json!({"name": "n"}));
        let _ = own.device(&thng);
        let policy = own.access_policy(&["thngs:read"]);
        own.delete(&format!("{POLICIES}/{policy}")).assert_status(204);
        own.delete(&format!("/thngs/{thng}")).assert_status(200);
    }
}

#[test]
fn an_operator_cannot_grant_rights_they_lack() {
    let server = Server::shared();
    let mut rest = server.rest();
    let account = rest.account();
    let accesses = format!("/accounts/{account}/accesses");
    let permissions = [
        "accessTokens:*",
        "accessPolicies:*",
        "roles:*",
        "roles.permissions:*",
        "accounts:*",
        "accounts.accesses:*",
        "accounts.operatorAccess:*",
    ];
    let token = rest.access_token(&permissions, &[]);
    let policy = rest.access_policy(&permissions);
    let operator = rest.operator(json!({"policies": [policy]}));
    let victim = rest.operator(json!({"role": "none"}));
    let role = rest.id_of("/roles", json!({"name": unique("role")}));
    for Keyed { id, key } in [&token, &operator] {
        let mut own = server.rest_as(key);
        own.get("/thngs").assert_status(403);
        let everything = || json!({"name": unique("all"), "policies": ["evt:accountAdmin"]});
        for (path, body) in [
            (TOKENS.to_owned(), everything()),
            (accesses.clone(), json!({"email": unique_email(), "role": "admin"})),
            (accesses.clone(), json!({"email": unique_email(), "policies": ["evt:accountAdmin"]})),
            (
                format!("/accounts/{account}/operatorAccess"),
                json!({"email": unique_email(), "role": "admin"}),
            ),
        ] {
            let answer = own.post(&path, body.clone());
            assert_eq!(answer.status, 403, "POST {path} {body}: {}", answer.text());
        }
        for (path, body) in [
            (format!("{POLICIES}/{policy}"), json!({"permissions": ["*:*", "thngs:*"]})),
            (format!("{TOKENS}/{}", token.id), json!({"policies": ["evt:accountAdmin"]})),
            (format!("{accesses}/{}", operator.id), json!({"role": "admin", "policies": []})),
            (format!("{accesses}/{}", operator.id), json!({"policies": ["evt:accountAdmin"]})),
            (format!("{accesses}/{}", victim.id), json!({"role": "admin"})),
            (format!("/roles/{role}/permissions/global_read"), json!({"enabled": true})),
        ] {
            let answer = own.put(&path, body.clone());
            assert_eq!(answer.status, 403, "PUT {path} {body} by {id}: {}", answer.text());
        }
        let shown = own.get(&format!("{accesses}/{}", victim.id));
        assert!(!shown.text().contains(&victim.key), "the key of another operator is shown");
        own.get("/thngs").assert_status(403);
    }
    server.rest_as(&victim.key).get("/thngs").assert_status(403);
}

#[test]
fn an_operators_policies_add_to_any_role() {
    let server = Server::shared();
    let mut rest = server.rest();
    let policy = rest.access_policy(&["thngs:read,list"]);
    let path = format!("/accounts/{}/operatorAccess", rest.account());
    let email = unique_email();
    let sent = json!({
        "email": email, "firstName": "Ada", "lastName": "L", "policies": [policy], "conditions": [], "role": "admin",
    });
    let created = rest.create(&path, sent);
    let id = text(&created, "id");
    assert_eq!((&created["policies"], &created["conditions"]), (&json!([policy]), &json!([])));
    let mut own = server.rest_as(&text(&created, "apiKey"));
    own.get("/thngs").assert_status(200);
    own.post("/thngs", json!({"name": "n"})).assert_status(403);
    own.get("/products").assert_status(403);
    own.get(&format!("/operators/{}", text(&created, "operator"))).assert_status(200);

    let one = format!("{path}/{id}");
    let more = rest.access_policy(&["products:list"]);
    let updated = rest.put(&one, json!({"policies": [policy, more]})).expect(200);
    assert_eq!(updated["policies"], json!([policy, more]));
    own.get("/products").assert_status(200);
    for (filter, count) in [
        (format!("filter=policies={more}"), 1),
        (format!("filter=email={email}"), 1),
        (format!("filter=policies={UNKNOWN}"), 0),
    ] {
        let found = rest.get(&format!("{path}?{filter}")).expect(200);
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{filter}: {found}");
    }
    let deleted = rest.delete(&one);
    deleted.assert_status(204);
    own.get("/access").assert_status(403);
}

#[test]
fn me_shows_an_operators_access_with_its_policies() {
    let server = Server::shared();
    let mut rest = server.rest();
    let policy = rest.access_policy(&["thngs:read"]);
    let thng = rest.thng();
    let path = format!("/accounts/{}/operatorAccess", rest.account());
    let email = unique_email();
    let conditions = [format!("thngs:{thng}")];
    let sent = json!({
        "email": email, "firstName": "Ada", "lastName": "Lovelace", "policies": [policy], "conditions": conditions,
    });
    let created = rest.create(&path, sent);
    let me = server.rest_as(&text(&created, "apiKey")).get("/me").expect(200);
    let documents = json!([rest.get(&format!("{POLICIES}/{policy}")).expect(200)]);
    for (field, value) in [
        ("id", &created["id"]),
        ("operator", &created["operator"]),
        ("name", &json!("Ada Lovelace")),
        ("email", &json!(email)),
        ("policies", &documents),
        ("conditions", &json!(conditions)),
    ] {
        assert_eq!(me[field], *value, "{field}");
    }
    let admin = rest.get("/me").expect(200);
    assert_eq!(admin["policies"][0]["name"], "evt:accountAdmin");
    assert_eq!(admin["conditions"], json!([]));
    // What the access names and what is gone by now are no reason to be refused.
    rest.delete(&format!("{POLICIES}/{policy}")).assert_status(204);
    let left = server.rest_as(&text(&created, "apiKey")).get("/me").expect(200);
    assert_eq!(left["policies"], json!([]));

    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let device = rest.device(&thng);
    let token = rest.create(TOKENS, json!({"name": "n", "policies": ["evt:accountAdmin"]}));
    let token = text(&token, "apiKey");
    for key in [&application.public_key, &application.secret_key, &user.key, &device.key, &token] {
        server.rest_as(key).get("/me").assert_status(403);
    }
}

#[test]
fn tokens_and_their_policies_survive_a_restart() {
    let server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let name = thngs_name(&mut rest, &thng);
    let token = rest.access_token(&["thngs:read"], &[format!("thngs:{thng}")]);
    let server = server.restart();
    let mut own = server.rest_as(&token.key);
    assert_eq!(thngs_name(&mut own, &thng), name);
    let other = server.rest().thng();
    own.get(&format!("/thngs/{other}")).assert_status(404);
    own.get("/thngs").assert_status(403);
}
