//! The account and its operators: `/accounts…`, `/operators/…`, and the routes for every client: `/time`,
//! `/rateLimits`.

use serde_json::{Value, json};
use thng_pubsub_tests::keys::{text, unique, unique_email};
use thng_pubsub_tests::wait::now_ms;
use thng_pubsub_tests::{KEY, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// The path of the accesses of the key's own account.
#[track_caller]
fn accesses(rest: &mut Rest) -> String {
    format!("/accounts/{}/accesses", rest.account())
}

/// The access of the operator that the server was started with.
#[track_caller]
fn own_access(rest: &mut Rest) -> Value {
    let operator = text(&rest.get("/access").expect(200)["actor"], "id");
    let path = accesses(rest);
    let all = rest.get(&format!("{path}?filter=operator={operator}")).expect(200);
    assert_eq!(all.as_array().map(Vec::len), Some(1), "one access of one operator: {all}");
    all[0].clone()
}

/// Whether text has the form of a key.
fn is_key(value: &Value) -> bool {
    let is_symbol = |byte: u8| byte.is_ascii_alphanumeric();
    value.as_str().is_some_and(|key| key.len() == 80 && key.bytes().all(is_symbol))
}

#[test]
fn the_account_list_holds_only_the_keys_own_account() {
    let mut rest = Server::shared().rest();
    let account = rest.account();
    let list = rest.get("/accounts").expect(200);
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list[0]["id"], *account);
    assert!(list[0]["name"].is_string(), "{list}");
    assert_eq!(rest.get(&format!("/accounts/{account}")).expect(200), list[0]);
}

#[test]
fn custom_fields_of_an_account_round_trip_and_change_alone() {
    let server = Server::start();
    let mut rest = server.rest();
    let path = format!("/accounts/{}", rest.account());
    let before = rest.get(&path).expect(200);
    let fields = json!({"Nested": {"list": [1, 2.5, null, true]}, "e2e": "abc"});
    let updated = rest.put(&path, json!({"customFields": fields})).expect(200);
    assert_eq!(updated["customFields"], fields);
    assert_ne!(updated["updatedAt"], updated["createdAt"]);
    let read = rest.get(&path).expect(200);
    assert_eq!(read, updated);
    for same in ["id", "name", "createdAt"] {
        assert_eq!(read[same], before[same], "{same}");
    }
    // Clients send the whole document back.
    rest.put(&path, read.clone()).assert_status(200);
    rest.put(&path, json!({"name": "x".repeat(31)})).assert_status(400);
    let server = server.restart();
    assert_eq!(server.rest().get(&path).expect(200)["customFields"], fields);
}

#[test]
fn another_account_is_404_for_every_request() {
    let mut rest = Server::shared().rest();
    let access = text(&own_access(&mut rest), "id");
    for id in [UNKNOWN, "me", "5f1d7b3e4a2c9d8e7f6a5b4c"] {
        let path = format!("/accounts/{id}");
        for below in ["", "/accesses", "/operatorAccess", "/domains", "/shortDomains"] {
            rest.get(&format!("{path}{below}")).assert_status(404);
        }
        rest.get(&format!("{path}/accesses/{access}")).assert_status(404);
        rest.put(&path, json!({"name": "mine"})).assert_status(404);
        rest.put(&format!("{path}/accesses/{access}"), json!({"role": "none"})).assert_status(404);
        rest.delete(&format!("{path}/accesses/{access}")).assert_status(404);
        let operator = json!({"email": unique_email(), "role": "admin"});
        rest.post(&format!("{path}/accesses"), operator).assert_status(404);
    }
    rest.get("/access").assert_status(200);
}

#[test]
fn an_operators_own_access_shows_account_role_and_key() {
    let mut rest = Server::shared().rest();
    let account = rest.account();
    let access = own_access(&mut rest);
    assert_eq!(access["account"], *account);
    assert_eq!(access["role"], "admin");
    assert!(is_key(&access["apiKey"]), "{access}");
    assert!(access["apiKey"] == KEY, "the key that it was asked with");
    let path = format!("/accounts/{account}/accesses/{}", text(&access, "id"));
    assert_eq!(rest.get(&path).expect(200), access);
}

#[test]
fn a_new_access_has_a_key_that_works_at_once_and_later() {
    let server = Server::start();
    let mut rest = server.rest();
    let (account, path) = (rest.account(), accesses(&mut rest));
    let email = unique_email();
    let sent = json!({"email": email, "firstName": "Ada", "lastName": "Lovelace", "role": "admin"});
    let answer = rest.post(&path, sent);
    let created = answer.expect(201);
    let id = text(&created, "id");
    assert!(
        answer.header("location").is_some_and(|location| location.ends_with(&format!("{path}/{id}"))),
        "{answer:?}"
    );
    assert!(is_key(&created["apiKey"]), "{created}");
    assert_eq!((&created["email"], &created["role"]), (&json!(email), &json!("admin")));
    let key = text(&created, "apiKey");
    let mut other = server.rest_as(&key);
    let access = other.get("/access").expect(200);
    assert_eq!(access, json!({"account": account, "actor": {"type": "operator", "id": created["operator"]}}));
    let operator = other.get(&format!("/operators/{}", text(&created, "operator"))).expect(200);
    assert_eq!((&operator["firstName"], &operator["lastName"]), (&json!("Ada"), &json!("Lovelace")));
    assert!(operator.get("apiKey").is_none(), "{operator}");
    assert_eq!(other.get(&format!("{path}/{id}")).expect(200)["apiKey"], *key, "shown to its owner");

    let server = server.restart();
    server.rest_as(&key).get("/access").assert_status(200);
}

#[test]
fn an_operator_is_found_by_id_or_address_and_renamed() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = accesses(&mut rest);
    let email = unique_email();
    let created = rest.create(&path, json!({"email": email, "role": "admin"}));
    let (id, key) = (text(&created, "operator"), text(&created, "apiKey"));
    let mut own = server.rest_as(&key);
    let by_id = own.get(&format!("/operators/{id}")).expect(200);
    assert_eq!(by_id["email"], *email);
    for name in [email.clone(), email.to_uppercase(), email.replace('@', "%40")] {
        assert_eq!(own.get(&format!("/operators/{name}")).expect(200), by_id, "{name}");
    }
    let update = json!({"firstName": "Grace", "email": unique_email(), "id": UNKNOWN});
    let updated = own.put(&format!("/operators/{id}"), update).expect(200);
    assert_eq!((&updated["firstName"], &updated["email"]), (&json!("Grace"), &json!(email)));
    assert_eq!(updated["id"], *id);
    assert_eq!(own.get(&format!("/operators/{email}")).expect(200), updated);
    for unknown in [unique_email(), UNKNOWN.to_owned(), "me".to_owned()] {
        own.get(&format!("/operators/{unknown}")).assert_status(404);
    }
}

#[test]
fn an_invalid_access_leaves_no_operator_behind() {
    let mut rest = Server::shared().rest();
    let path = accesses(&mut rest);
    let taken = unique_email();
    rest.create(&path, json!({"email": taken, "role": "none"}));
    for (document, status) in [
        (json!({"email": taken}), 409),
        (json!({"email": taken.to_uppercase()}), 409),
        (json!({"role": "admin"}), 400),
        (json!({"email": 7}), 400),
        (json!({"email": ""}), 400),
        (json!({"email": "new@example.com", "role": "owner"}), 400),
        (json!({"email": "new@example.com", "role": UNKNOWN}), 400),
        (json!({"email": "new@example.com", "policies": [UNKNOWN]}), 400),
        (json!({"email": "new@example.com", "policies": "evt:accountAdmin"}), 400),
        (json!({"email": "new@example.com", "conditions": ["everything"]}), 400),
        (json!({"email": "new@example.com", "conditions": ["thngs:short"]}), 400),
    ] {
        let answer = rest.post(&path, document.clone());
        assert_eq!(answer.status, status, "{document}: {}", answer.text());
    }
    rest.get("/operators/new@example.com").assert_status(404);
    rest.create(&path, json!({"email": "new@example.com", "role": "none"}));
}

#[test]
fn a_changed_role_changes_an_operators_rights_at_once() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = accesses(&mut rest);
    for created in [json!({"email": unique_email()}), json!({"email": unique_email(), "role": "none"})] {
        let created = rest.create(&path, created);
        assert_eq!(created["role"], "none", "{created}");
        let mut other = server.rest_as(&text(&created, "apiKey"));
        other.get("/thngs").assert_status(403);
        let one = format!("{path}/{}", text(&created, "id"));
        let updated = rest.put(&one, json!({"role": "admin"})).expect(200);
        assert_eq!((&updated["role"], &updated["operator"]), (&json!("admin"), &created["operator"]));
        other.get("/thngs").assert_status(200);
        rest.put(&one, json!({"role": "owner"})).assert_status(400);
        rest.put(&one, json!({"role": "none"})).assert_status(200);
        other.get("/thngs").assert_status(403);
    }
}

#[test]
fn a_deleted_access_ends_its_key_and_frees_the_address() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = accesses(&mut rest);
    let email = unique_email();
    let created = rest.create(&path, json!({"email": email, "role": "admin"}));
    let mut other = server.rest_as(&text(&created, "apiKey"));
    other.get("/access").assert_status(200);
    let one = format!("{path}/{}", text(&created, "id"));
    let deleted = rest.delete(&one);
    deleted.assert_status(204);
    assert!(deleted.body.is_empty());
    other.get("/access").assert_status(403);
    rest.get(&one).assert_status(404);
    rest.delete(&one).assert_status(404);
    rest.get(&format!("/operators/{}", text(&created, "operator"))).assert_status(404);
    rest.create(&path, json!({"email": email, "role": "none"}));
}

#[test]
fn an_operator_cannot_delete_their_own_access() {
    let server = Server::start();
    let mut rest = server.rest();
    let path = accesses(&mut rest);
    let own = text(&own_access(&mut rest), "id");
    let second = rest.operator(json!({"role": "admin"}));
    let mut other = server.rest_as(&second.key);
    for (who, id) in [(&mut rest, &own), (&mut other, &second.id)] {
        who.delete(&format!("{path}/{id}")).assert_status(400);
        who.get("/access").assert_status(200);
        who.get(&format!("{path}/{id}")).assert_status(200);
    }
    other.delete(&format!("{path}/{own}")).assert_status(204);
    rest.get("/access").assert_status(403);
}

#[test]
fn accesses_and_operator_access_are_the_same_list() {
    let mut rest = Server::shared().rest();
    let account = rest.account();
    let created = rest.create(
        &format!("/accounts/{account}/operatorAccess"),
        json!({"email": unique_email(), "policies": ["evt:accountAdmin"], "conditions": []}),
    );
    let id = text(&created, "id");
    let by_one = rest.get(&format!("/accounts/{account}/accesses/{id}")).expect(200);
    assert_eq!(rest.get(&format!("/accounts/{account}/operatorAccess/{id}")).expect(200), by_one);
    assert_eq!(by_one["policies"], json!(["evt:accountAdmin"]));
    let filter = format!("?filter=email={}", text(&created, "email"));
    for path in ["accesses", "operatorAccess"] {
        let found = rest.get(&format!("/accounts/{account}/{path}{filter}")).expect(200);
        assert_eq!(found, json!([by_one]), "{path}");
    }
}

#[test]
fn domains_are_documents_and_short_domains_strings() {
    let mut rest = Server::shared().rest();
    let account = rest.account();
    let domains = rest.get(&format!("/accounts/{account}/domains")).expect(200);
    let domains = domains.as_array().expect("an array");
    assert!(!domains.is_empty());
    for domain in domains {
        assert_eq!(domain["accountId"], *account, "{domain}");
        assert!(domain["id"].is_string() && domain["domain"].is_string(), "{domain}");
    }
    let short = rest.get(&format!("/accounts/{account}/shortDomains")).expect(200);
    let short = short.as_array().expect("an array");
    assert!(!short.is_empty() && short.iter().all(Value::is_string), "{short:?}");
}

#[test]
fn the_time_needs_no_key_and_knows_zones() {
    let mut keyless = Rest::new(Server::shared().http(), None);
    let before = now_ms();
    let plain = keyless.get("/time").expect(200);
    let after = now_ms();
    let at = plain["timestamp"].as_u64().expect("milliseconds");
    assert!((before..=after).contains(&at), "{before} <= {at} <= {after}");
    assert_eq!(plain.as_object().map(serde_json::Map::len), Some(1), "{plain}");

    for (zone, offsets, changes) in [
        ("Europe/Zurich", &[3_600_000, 7_200_000][..], true),
        ("Europe%2FZurich", &[3_600_000, 7_200_000], true),
        ("Asia/Kolkata", &[19_800_000], false),
        ("UTC", &[0], false),
    ] {
        let time = keyless.get(&format!("/time?tz={zone}")).expect(200);
        assert!(offsets.iter().any(|offset| time["offset"] == *offset), "{zone}: {time}");
        assert!(time["localTime"].is_string() && time["timestamp"].is_u64(), "{zone}: {time}");
        assert_eq!(time.get("nextChange").is_some(), changes, "{zone}: {time}");
        if changes {
            assert!(time["nextChange"].as_u64() > time["timestamp"].as_u64(), "{zone}: {time}");
        }
    }
    for wrong in ["Europe/Nowhere", "", "..%2F..%2Fetc%2Fpasswd", "%00"] {
        keyless.get(&format!("/time?tz={wrong}")).assert_status(400);
    }
    // A client with a key may ask as well, even with an unknown one.
    Rest::new(Server::shared().http(), Some("x")).get("/time").assert_status(200);
}

#[test]
fn rate_limits_are_a_list_for_every_kind_of_key() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let thng = rest.thng();
    let device = rest.device(&thng);
    let token = rest.access_token(&["thngs:read"], &[]);
    for key in
        [server.key(), &application.public_key, &application.secret_key, &user.key, &device.key, &token.key]
    {
        let limits = server.rest_as(key).get("/rateLimits").expect(200);
        assert!(limits.is_array(), "{limits}");
    }
}

#[test]
fn accesses_hide_keys_from_operators_without_the_right() {
    let server = Server::start();
    let mut rest = server.rest();
    let path = accesses(&mut rest);
    let admin = rest.operator(json!({"role": "admin"}));
    let role = rest.id_of("/roles", json!({"name": unique("reader")}));
    rest.put(&format!("/roles/{role}/permissions/global_read"), json!({"enabled": true})).assert_status(200);
    let reader = rest.operator(json!({"role": role}));
    let token = rest.access_token(&["accounts.accesses:list,read"], &[]);
    for (who, key) in
        [("an operator who may only read", &reader.key), ("a token that may only read", &token.key)]
    {
        let mut who_reads = server.rest_as(key);
        who_reads.post(&path, json!({"email": unique_email(), "role": "admin"})).assert_status(403);
        for one in [path.clone(), format!("{path}/{}", admin.id)] {
            let shown = who_reads.get(&one);
            shown.assert_status(200);
            assert!(!shown.text().contains(&admin.key), "{who} is shown an administrator's key by GET {one}");
        }
    }
}

#[test]
fn two_operators_never_have_one_address() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = accesses(&mut rest);
    let email = thng_pubsub_tests::keys::unique_email();
    rest.post(&path, json!({"email": email, "role": "none"})).assert_status(201);
    for (same, status) in [
        (format!("{email} "), 400),
        (format!("{email}\n"), 400),
        (format!("{email}\0"), 400),
        (email.replace('@', "@@"), 400),
        (String::new(), 400),
        (email.to_uppercase(), 409),
    ] {
        let answer = rest.post(&path, json!({"email": same, "role": "none"}));
        assert_eq!(answer.status, status, "{same:?}: {}", answer.text());
    }
}
