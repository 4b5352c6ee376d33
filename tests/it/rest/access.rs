//! The identity of a key: `GET /access`, `GET /operators/:id`, and the ways in which a key can come.

use thng_pubsub_tests::{KEY, Rest, Server};

#[test]
fn access_names_the_account_and_the_operator_behind_the_key() {
    let access = Server::shared().rest().get("/access").expect(200);
    assert_is_id(&access["account"]);
    assert_eq!(access["actor"]["type"], "operator");
    assert_is_id(&access["actor"]["id"]);
    assert_eq!(access.get("project"), None, "an operator stands in no project");
}

#[test]
fn access_has_a_parameter_of_lists_passed_over() {
    let mut rest = Server::shared().rest();
    assert_eq!(rest.get("/access?perPage=30").expect(200), rest.get("/access").expect(200));
}

#[test]
fn an_operator_reads_its_own_document() {
    let mut rest = Server::shared().rest();
    let id = rest.get("/access").expect(200)["actor"]["id"].as_str().expect("an id").to_owned();

    let operator = rest.get(&format!("/operators/{id}")).expect(200);
    assert_eq!(operator["id"], *id);
    for time in ["createdAt", "updatedAt"] {
        assert!(operator[time].is_u64(), "{time} is milliseconds: {operator}");
    }
    assert!(operator["email"].is_string(), "{operator}");
    assert!(operator.get("apiKey").is_none(), "a key is stored as a hash only: {operator}");
}

#[test]
fn another_operators_document_is_never_shown() {
    let mut rest = Server::shared().rest();
    for id in ["Uabcdefghkmnpqrstwxy0123", "me", "../thngs"] {
        rest.get(&format!("/operators/{id}")).assert_status(404);
    }
}

#[test]
fn a_key_is_taken_raw_with_a_scheme_and_from_the_query() {
    let server = Server::shared();
    let mut rest = Rest::new(server.http(), None);
    for header in [KEY.to_owned(), format!("Token {KEY}"), format!("Bearer {KEY}")] {
        rest.send("GET", "/access", &[("Authorization", &header)], None).assert_status(200);
        rest.send("GET", "/access", &[("authorization", &header)], None).assert_status(200);
    }
    rest.get(&format!("/access?access_token={KEY}")).assert_status(200);
    rest.get(&format!("/access?perPage=30&access_token={KEY}&x=1")).assert_status(200);
}

#[test]
fn a_missing_key_gets_401_and_an_unknown_one_403() {
    let server = Server::shared();
    let mut keyless = Rest::new(server.http(), None);
    let one_other_letter = format!("{}p", &KEY[..79]);
    let lower_case = KEY.to_lowercase();
    for path in ["/access", "/thngs", "/operators/Uabcdefghkmnpqrstwxy0123", "/v2/access"] {
        keyless.get(path).assert_status(401);
        for wrong in [&*one_other_letter, &*lower_case, &KEY[..79], "x"] {
            Rest::new(server.http(), Some(wrong)).get(path).assert_status(403);
            keyless.get(&format!("{path}?access_token={wrong}")).assert_status(403);
        }
    }
}

#[test]
fn a_write_without_the_right_key_changes_nothing() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let path = format!("/thngs/{thng}");
    let before = rest.get(&path).expect(200);

    let stranger_key = KEY.to_lowercase();
    for (key, status) in [(None, 401), (Some(&*stranger_key), 403)] {
        let mut stranger = Rest::new(server.http(), key);
        stranger.post("/thngs", r#"{"name":"by a stranger"}"#).assert_status(status);
        stranger.put(&path, r#"{"name":"by a stranger"}"#).assert_status(status);
        stranger.put(&format!("{path}/properties"), r#"[{"key":"k","value":1}]"#).assert_status(status);
        stranger.put(&format!("{path}/properties/k"), r#"[{"value":1}]"#).assert_status(status);
        stranger.delete(&format!("{path}/properties/k")).assert_status(status);
        stranger.delete(&path).assert_status(status);
    }
    assert_eq!(rest.get(&path).expect(200), before);
}

#[track_caller]
fn assert_is_id(id: &serde_json::Value) {
    let text = id.as_str().unwrap_or_else(|| panic!("{id} is no id"));
    assert_eq!(text.len(), 24, "{text}");
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
}
