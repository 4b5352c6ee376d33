//! Known attacks on REST: forged cursors of lists, endless parameters, numbers beyond all bounds, and pages of other
//! origins.
//!
//! Bug classes 19, 21 and 23 of `docs/security.md`. Fields that no client may set are in `hostile/fields.rs`, rights
//! in `rest/rights.rs` and `rest/permissions.rs`.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use thng_pubsub_tests::canary::Canary;
use thng_pubsub_tests::{KEY, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// What a key sees in a list of thngs, or `None` where the place in it is refused.
#[track_caller]
fn seen(rest: &mut Rest, path: &str, token: &str) -> Option<BTreeSet<String>> {
    let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
    let joined = if path.contains('?') { '&' } else { '?' };
    let answer = rest.get(&format!("{path}{joined}nextPageToken={token}"));
    if answer.status == 400 {
        return None;
    }
    let list = answer.expect(200);
    Some(
        list.as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| Some(one.get("id")?.as_str()?.to_owned()))
            .collect(),
    )
}

/// Bug class 23: a cursor of a list that was changed, or that belongs to another client.
#[test]
fn a_cursor_shows_each_key_only_its_own_resources() {
    let server = Server::shared();
    let mut rest = server.rest();
    let mut canary = Canary::in_the(server);
    let (own, foreign) = (rest.project(), rest.project());
    let application = rest.application(&own);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut make = |project: &str| rest.id_of(&format!("/thngs?project={project}"), json!({"name": "n"}));
    let mut mine = BTreeSet::new();
    for _ in 0..3 {
        make(&foreign);
        mine.insert(make(&own));
        make(&foreign);
    }
    let mut tokens = Vec::new();
    let mut path = Some("/thngs?perPage=1".to_owned());
    for _ in 0..8 {
        let answer = rest.get(&path.take().expect("there is more"));
        path = rest.next(&answer);
        let link = path.as_deref().expect("there is more");
        tokens.push(link.split("nextPageToken=").nth(1).expect("a place").to_owned());
    }
    let valid = tokens[3].clone();
    let (at, seq) = valid.split_once('-').expect("a time and a number");
    for forged in [
        "0-0",
        "-",
        "",
        "0",
        "1-1-1",
        "-1--1",
        "+1-+1",
        "00000000000000000000-0",
        "7fffffffffffffff-ffffffffffffffff",
        "8000000000000000-0",
        "ffffffffffffffff-ffffffffffffffff",
        "10000000000000000-0",
        "0-10000000000000000",
        "x-y",
        "../..",
        "' OR '1'='1",
        "%00",
        "\0",
        "１-１",
        " 0-0",
        "0-0 ",
        UNKNOWN,
        KEY,
    ] {
        tokens.push(forged.to_owned());
    }
    tokens.extend([
        format!("{at}-0"),
        format!("0-{seq}"),
        format!("{seq}-{at}"),
        format!("{valid}0"),
        "f".repeat(10_000),
    ]);
    let mut limited = server.rest_as(&user.key);
    let one = mine.first().expect("there are three");
    limited.put(&format!("/thngs/{one}/properties/k"), json!([{"value": 1}])).assert_status(200);
    let mut placed = 0;
    for token in &tokens {
        for path in ["/thngs", "/thngs?perPage=1&sortOrder=ASCENDING", "/thngs?filter=name%3Dn"] {
            let seen = seen(&mut limited, path, token).unwrap_or_default();
            assert!(seen.is_subset(&mine), "{path} at {token:?}: {seen:?}");
            placed += seen.len();
        }
        for path in ["/products", "/actions/all", "/collections", &format!("/thngs/{one}/properties/k")] {
            let seen = seen(&mut limited, path, token).unwrap_or_default();
            assert!(seen.is_empty(), "{path} at {token:?}: {seen:?}");
        }
    }
    assert!(placed > 0, "some places are places");
    canary.sings();
}

/// Bug class 23: filters and other parameters without end; bug class 21: extreme numbers.
#[test]
fn excessive_parameters_are_refused_or_read_as_written() {
    let server = Server::shared();
    let mut rest = server.rest();
    let mut canary = Canary::in_the(server);
    let thng = rest.thng();
    let history = format!("/thngs/{thng}/properties/k");
    rest.put(&history, json!([{"value": 1}])).assert_status(200);
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    for filter in [
        "a".repeat(20_000),
        "(".repeat(5_000),
        format!("{}name=x{}", "(".repeat(900), ")".repeat(900)),
        vec!["name=x"; 300].join("&"),
        vec!["name=x"; 300].join("|"),
        format!("name={}", vec!["x"; 1_000].join(",")),
        format!("name~{}", "%".repeat(3_000)),
        format!("customFields{}=1", ".a".repeat(2_000)),
        format!("createdAt>{}", "9".repeat(3_000)),
        "\0".to_owned(),
    ] {
        let answer = rest.get(&format!("/thngs?filter={}", encoded(&filter)));
        assert_eq!(answer.status, 400, "{:?}…", &filter[..filter.floor_char_boundary(30)]);
    }
    let ids = |count| vec![UNKNOWN; count].join(",");
    rest.get(&format!("/thngs?ids={}", ids(101))).assert_status(400);
    rest.get(&format!("/thngs?ids={}", ids(1_200))).assert_status(400);
    rest.delete(&format!("/thngs?ids={}", ids(1_200))).assert_status(400);

    let extremes = [
        "-1",
        "0",
        "1",
        "-9223372036854775808",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "1e400",
        "-0",
        "NaN",
        "Infinity",
        "0x7f",
        "1.5",
    ];
    for extreme in extremes {
        for query in [
            format!("/thngs?perPage={extreme}"),
            format!("/thngs?page={extreme}"),
            format!("/thngs?page={extreme}&perPage=100&filter=name%3Dx"),
            format!("{history}?from={extreme}"),
            format!("{history}?to={extreme}"),
            format!("{history}?from={extreme}&to={extreme}&perPage=1"),
            format!("{history}?page={extreme}"),
            format!("/places?lat={extreme}&lon={extreme}&maxDist={extreme}"),
            format!("/thngs?filter=createdAt%3E{extreme}"),
            format!("/thngs?filter=createdAt%3D{extreme}"),
        ] {
            let status = rest.get(&query).status;
            assert!(matches!(status, 200 | 400), "{query}: {status}");
        }
        let value = format!(r#"[{{"value":1,"timestamp":{extreme}}}]"#);
        let location = format!(r#"[{{"latitude":{extreme},"longitude":{extreme},"timestamp":{extreme}}}]"#);
        let action = format!(r#"{{"timestamp":{extreme}}}"#);
        for answer in [
            rest.put(&history, value),
            rest.put(&format!("/thngs/{thng}/location"), location),
            rest.post(&format!("/thngs/{thng}/actions/scans"), action),
        ] {
            assert!(matches!(answer.status, 200 | 201 | 400), "{extreme}: {}", answer.status);
        }
        // Whatever was taken is shown as JSON.
        for path in [
            &*history,
            &format!("/thngs/{thng}/location"),
            &format!("/thngs/{thng}/actions/all"),
            &format!("/thngs/{thng}"),
        ] {
            let _ = rest.get(path).json();
        }
        let deleted = rest.delete(&format!("{history}?to={extreme}")).status;
        assert!(matches!(deleted, 200 | 400), "{extreme}: {deleted}");
    }
    canary.sings();
}

/// Bug class 23: a page of any origin that is allowed to come with credentials.
#[test]
fn no_answer_allows_credentials_or_sets_a_cookie() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = format!("/thngs/{}", rest.thng());
    let cookie = format!("authorization={KEY}; access_token={KEY}");
    let request = [
        ("Origin", "https://evil.example"),
        ("Cookie", &*cookie),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "authorization,cookie,x-other"),
        ("Access-Control-Request-Private-Network", "true"),
    ];
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for path in
        [&*thng, "/access", "/thngs", "/nothing", "/health", "/metrics", "/docs", "/openapi.json", "/mqtt"]
    {
        for method in ["OPTIONS", "GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"] {
            for headers in [request.to_vec(), [&request[..], &upgrade].concat()] {
                let answer = rest.send(method, path, &headers, None);
                for never in
                    ["access-control-allow-credentials", "access-control-allow-private-network", "set-cookie"]
                {
                    assert_eq!(answer.header(never), None, "{method} {path}: {}", answer.status);
                }
                assert!(
                    !matches!(answer.status, 101) && answer.status < 500,
                    "{method} {path}: {}",
                    answer.status
                );
            }
        }
    }
    rest.get(&thng).assert_status(200);
}

/// Bug class 19: a key in a URL that comes back in an answer (CWE-598). That no log shows one is in `server/log.rs`.
#[test]
fn no_error_link_or_metric_repeats_a_key_from_the_url() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    for _ in 0..2 {
        let _ = rest.thng();
    }
    let mut keyless = Rest::new(server.http(), None);
    let wrong = KEY.to_lowercase();
    for key in [KEY, &wrong] {
        for (method, path) in [
            ("GET", format!("/nothing?access_token={key}")),
            ("GET", format!("/thngs/{key}?access_token={key}")),
            ("GET", format!("/thngs?perPage=1&access_token={key}")),
            ("GET", format!("/thngs?perPage={key}&access_token={key}")),
            ("GET", format!("/thngs?filter={key}&access_token={key}")),
            ("GET", format!("/thngs?nextPageToken={key}&access_token={key}")),
            ("GET", format!("/thngs?project={key}&access_token={key}")),
            ("PATCH", format!("/thngs/{thng}?access_token={key}")),
            ("POST", format!("/thngs?access_token={key}")),
            ("PUT", format!("/thngs/{thng}/properties/k?access_token={key}")),
            ("GET", format!("/thngs/{thng}/properties/{key}{key}?access_token={key}")),
            ("GET", format!("/mqtt?access_token={key}")),
            ("GET", format!("/docs?access_token={key}")),
        ] {
            let body = (method != "GET").then_some(&b"{"[..]);
            let answer = keyless.send(method, &path, &[], body);
            let headers = answer.headers.iter().map(|(_, value)| value.as_str()).collect::<String>();
            let shown = headers + &String::from_utf8_lossy(&answer.body);
            assert!(!shown.contains(&key[..12]), "{method} {path}: {shown}");
        }
    }
    let metrics = keyless.send("GET", "/metrics", &[], None);
    assert!(!metrics.text().contains(&KEY[..12]) && !metrics.text().contains(&wrong[..12]));
}

/// Bug class 23: the refusal of a query or body would say that a resource is there, or that it is not.
#[test]
fn faults_of_a_call_below_an_invisible_resource_are_404() {
    let server = Server::shared();
    let mut operator = server.rest();
    let project = operator.project();
    let application = operator.application(&project);
    let mut rest = server.rest_as(&application.secret_key);
    let (own, hidden) = (rest.thng(), operator.thng());
    // No body of these is one that the call takes.
    let call = |rest: &mut Rest, method: &str, path: &str| match method {
        "GET" => rest.get(path),
        "PUT" => rest.put(path, json!("x")),
        "POST" => rest.post(path, json!("x")),
        _ => rest.delete(path),
    };
    for (method, below) in [
        ("GET", "properties?filter=name=a"),
        ("GET", "properties/k?ids=a"),
        ("GET", "properties/k?from=x"),
        ("GET", "properties/k?filter=%28"),
        ("GET", "properties/k?perPage=0"),
        ("GET", "properties/a%20b"),
        ("PUT", "properties/a%20b"),
        ("DELETE", "properties?to=x"),
        ("DELETE", "properties/k?to=x"),
        ("DELETE", "properties/a%20b"),
        ("GET", "location?to=x"),
        ("GET", "location?page=0"),
        ("DELETE", "location?to=x"),
    ] {
        for (thng, status) in [(&own, 400), (&hidden, 404), (&UNKNOWN.to_owned(), 404)] {
            let path = format!("/thngs/{thng}/{below}");
            let answer = call(&mut rest, method, &path);
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        }
    }
    let ids = vec![UNKNOWN; 101].join(",");
    for (method, path) in [
        ("DELETE", format!("/collections/{UNKNOWN}/thngs?ids={ids}")),
        ("POST", format!("/collections/{UNKNOWN}/collections")),
        ("POST", format!("/batches/{UNKNOWN}/tasks")),
        ("POST", format!("/projects/{UNKNOWN}/applications")),
    ] {
        let answer = call(&mut operator, method, &path);
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
    }
}
