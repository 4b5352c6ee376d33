//! Refusals of REST and their documents, and the exceptions that existing clients and browsers need.
//!
//! That every refusal has its document, and no success a field that clients misread, is asserted by the REST client of
//! the harness on each answer of each test.

use serde_json::json;
use thng_pubsub_tests::{KEY, Response, Rest, Server};

const ORIGIN: (&str, &str) = ("Origin", "https://app.example");

#[test]
fn an_unknown_path_is_404_with_the_error_document() {
    let mut rest = Server::shared().rest();
    for path in
        ["/nothing", "/thngs/x/y/z", "/v2/nothing", "/v3/access", "//thngs", "/thngs/x/properties/k/more"]
    {
        let refusal = rest.get(path).expect(404);
        assert!(refusal["code"].is_u64(), "a number that does not change when sentences do: {refusal}");
    }
}

#[test]
fn more_info_links_to_a_page_that_explains_the_code() {
    let server = Server::shared();
    let mut rest = server.rest();
    for refusal in [rest.get("/nothing"), rest.post("/thngs", "{}")] {
        let document = refusal.json();
        let more_info = document["moreInfo"].as_str().expect("a link");
        assert!(more_info.starts_with(&format!("http://{}/", server.http())), "{more_info}");
        let (path, number) = more_info.split_once('#').expect("a place on a page");
        assert_eq!(document["code"].to_string(), number);
        let page = rest.send("GET", &path[path.find("/docs").expect("a path of this server")..], &[], None);
        page.assert_status(200);
        assert!(page.text().contains(&format!("id=\"{number}\"")), "{number} on {path}");
    }
}

#[test]
fn a_missing_method_is_405_with_the_allowed_ones() {
    let mut rest = Server::shared().rest();
    let thng = format!("/thngs/{}", rest.thng());
    for (path, has) in [
        ("/access".to_owned(), &["GET"][..]),
        (thng.clone(), &["GET", "PUT", "DELETE"]),
        (format!("{thng}/properties"), &["GET", "PUT", "POST"]),
        (format!("{thng}/properties/k"), &["GET", "PUT", "POST", "DELETE"]),
    ] {
        let answer = rest.send("PATCH", &path, &[("Authorization", KEY)], Some(b"{}"));
        assert_eq!(answer.expect(405)["status"], 405, "{path}");
        let allowed = answer.header("allow").expect("405 comes with Allow");
        for method in has {
            assert!(allowed.split(',').any(|name| name.trim() == *method), "{path}: {method} in {allowed:?}");
        }
    }
}

#[test]
fn malformed_json_is_400_and_says_where() {
    let mut rest = Server::shared().rest();
    let thng = format!("/thngs/{}", rest.thng());
    for body in [
        "{",
        "{\"name\":",
        "{\"name\":\"x\"",
        "{'name':'x'}",
        "{\"name\":\"x\"} y",
        "[1,]",
        "nope",
        "\u{feff}{}",
    ] {
        let refusal = rest.post("/thngs", body).expect(400);
        assert!(!refusal["errors"][0].as_str().unwrap_or_default().is_empty(), "{refusal}");
        rest.put(&thng, body).assert_status(400);
        rest.put(&format!("{thng}/properties"), body).assert_status(400);
        rest.put(&format!("{thng}/properties/k"), body).assert_status(400);
    }
    let not_utf8 = rest.send("POST", "/thngs", &[("Authorization", KEY)], Some(b"{\"name\":\"\xff\"}"));
    not_utf8.assert_status(400);
}

#[test]
fn json_nested_a_hundred_thousand_deep_is_refused() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = format!("/thngs/{}", rest.thng());
    let brackets = "[".repeat(100_000);
    let balanced = format!("{brackets}{}", "]".repeat(100_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    for deep in [&brackets, &balanced, &objects] {
        for (path, body) in [
            (thng.clone(), format!(r#"{{"name":"n","customFields":{deep}}}"#)),
            (format!("{thng}/properties"), format!(r#"[{{"key":"k","value":{deep}}}]"#)),
            (format!("{thng}/properties/k"), format!(r#"[{{"value":{deep}}}]"#)),
            (format!("{thng}/properties/k"), deep.clone()),
        ] {
            rest.put(&path, body).assert_status(400);
        }
    }
    server.assert_serves();
}

#[test]
fn a_value_may_be_nested_as_people_nest_them() {
    let mut rest = Server::shared().rest();
    let path = format!("/thngs/{}/properties/k", rest.thng());
    let value = format!("{}7{}", "[".repeat(60), "]".repeat(60));
    rest.put(&path, format!(r#"[{{"value":{value}}}]"#)).assert_status(200);
    assert!(rest.get(&path).text().contains(&value));
}

/// Bug class 23 of `docs/security.md`: a body beyond the limit.
#[test]
fn a_body_over_one_mebibyte_is_413_and_one_below_is_taken() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = format!("/thngs/{}/properties", rest.thng());
    let value = |key: usize| format!(r#"{{"key":"k{key}","value":"{}"}}"#, "x".repeat(9_900));
    let of = |bytes: usize| format!("[{}]", (0..bytes / 10_000).map(value).collect::<Vec<_>>().join(","));

    rest.put(&thng, of(1_000_000)).assert_status(200);
    rest.put(&thng, of((1 << 20) + 20_000)).assert_status(413);
    rest.put(&thng, of(8 << 20)).assert_status(413);
    let announced =
        rest.send("POST", "/thngs", &[("Authorization", KEY), ("Content-Length", "1000000000000")], None);
    announced.assert_status(413);
    server.assert_serves();
}

#[test]
fn a_body_that_is_not_json_by_its_own_type_is_415() {
    let mut rest = Server::shared().rest();
    let body = br#"{"name":"n"}"#;
    for kind in ["text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let answer =
            rest.send("POST", "/thngs", &[("Authorization", KEY), ("Content-Type", kind)], Some(body));
        answer.assert_status(415);
        assert_is_error_document(&answer);
    }
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
    ] {
        let answer =
            rest.send("POST", "/thngs", &[("Authorization", KEY), ("Content-Type", kind)], Some(body));
        answer.assert_status(201);
    }
}

#[test]
fn a_content_type_on_a_request_without_a_body_harms_nothing() {
    let mut rest = Server::shared().rest();
    let thng = format!("/thngs/{}", rest.thng());
    rest.put(&format!("{thng}/properties/k"), json!([{"value": 1}])).assert_status(200);
    let headers = [("Authorization", KEY), ("Content-Type", "application/json")];
    for (method, path) in [
        ("GET", "/access".to_owned()),
        ("GET", "/thngs".to_owned()),
        ("GET", thng.clone()),
        ("GET", format!("{thng}/properties")),
        ("DELETE", format!("{thng}/properties/k")),
        ("DELETE", thng.clone()),
    ] {
        rest.send(method, &path, &headers, None).assert_status(200);
    }
}

#[test]
fn accept_and_unknown_parameters_are_passed_over() {
    let mut rest = Server::shared().rest();
    for accept in ["*/*", "application/json", "application/json, text/plain, */*"] {
        rest.send("GET", "/access", &[("Authorization", KEY), ("Accept", accept)], None).assert_status(200);
    }
    rest.get("/thngs?callback=f&tz=Europe/Zurich&userScope=all&withIds=true").assert_status(200);
}

#[test]
fn json_is_answered_as_json() {
    let mut rest = Server::shared().rest();
    for answer in [rest.get("/access"), rest.get("/thngs"), rest.get("/nothing"), rest.post("/thngs", "{}")] {
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{kind:?} on {}", answer.status);
    }
}

#[test]
fn a_browser_of_another_origin_may_ask_before_it_calls() {
    let server = Server::shared();
    let mut keyless = Rest::new(server.http(), None);
    let paths = ["/thngs", "/thngs/Uabcdefghkmnpqrstwxy0123/properties/k", "/access", "/v2/thngs"];
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let preflight = keyless.send(
                "OPTIONS",
                path,
                &[
                    ORIGIN,
                    ("Access-Control-Request-Method", method),
                    ("Access-Control-Request-Headers", "authorization,content-type"),
                ],
                None,
            );
            assert!(matches!(preflight.status, 200 | 204), "{path}: {}", preflight.status);
            assert_origin_allowed(&preflight);
            assert_lists(&preflight, "access-control-allow-methods", method);
            for header in ["authorization", "content-type", "accept"] {
                assert_lists(&preflight, "access-control-allow-headers", header);
            }
        }
    }
}

#[test]
fn a_browser_of_another_origin_may_read_answers_and_refusals() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let key = ("Authorization", KEY);
    for (path, headers, status) in [
        ("/access", &[ORIGIN, key][..], 200),
        (&*format!("/thngs/{thng}"), &[ORIGIN, key], 200),
        ("/access", &[ORIGIN], 401),
        ("/access", &[ORIGIN, ("Authorization", "wrong")], 403),
        ("/nothing", &[ORIGIN, key], 404),
    ] {
        let answer = rest.send("GET", path, headers, None);
        answer.assert_status(status);
        assert_origin_allowed(&answer);
        for header in ["link", "location", "retry-after", "x-result-count"] {
            assert_lists(&answer, "access-control-expose-headers", header);
        }
    }
}

/// Bug class 23 of `docs/security.md`: credentials with any origin.
#[test]
fn keys_are_never_read_from_cookies() {
    let mut rest = Server::shared().rest();
    let cookies = [("Cookie", &*format!("authorization={KEY}; access_token={KEY}"))];
    rest.send("GET", "/access", &cookies, None).assert_status(401);
    let answer = rest.send("GET", "/access", &[ORIGIN, ("Authorization", KEY)], None);
    assert_eq!(answer.header("access-control-allow-credentials"), None, "with any origin allowed");
}

#[test]
fn several_requests_share_one_connection_also_after_a_refusal() {
    let mut rest = Server::shared().rest();
    for _ in 0..3 {
        rest.get("/access").assert_status(200);
        rest.get("/nothing").assert_status(404);
        rest.post("/thngs", "{").assert_status(400);
    }
    assert_eq!(rest.connections(), 1, "a refusal is no reason to hang up");
}

#[track_caller]
fn assert_is_error_document(answer: &Response) {
    let document = answer.json();
    assert_eq!(document["status"], answer.status);
    assert!(document["errors"][0].is_string() && document["moreInfo"].is_string(), "{document}");
}

#[track_caller]
fn assert_origin_allowed(answer: &Response) {
    let allowed = answer.header("access-control-allow-origin");
    assert!(allowed == Some("*") || allowed == Some(ORIGIN.1), "{allowed:?} on {}", answer.status);
}

#[track_caller]
fn assert_lists(answer: &Response, header: &str, name: &str) {
    let listed = answer.header(header).unwrap_or_else(|| panic!("no {header} on {}", answer.status));
    let has = listed.split(',').any(|item| item.trim().eq_ignore_ascii_case(name));
    assert!(has, "{name} in {header}: {listed}");
}
