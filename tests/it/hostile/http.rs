//! Malformed requests at the HTTP port, and floods and noise inside its WebSockets.
//!
//! Single frames and handshakes that break the rules are in `hostile/websocket.rs`.

use std::time::Duration;

use serde_json::{Value, json};
use thng_pubsub_tests::canary::Canary;
use thng_pubsub_tests::frames::{Frames, frame, handshake, status};
use thng_pubsub_tests::link::{Arrival, Link, Raw};
use thng_pubsub_tests::wait::{random, until};
use thng_pubsub_tests::{KEY, Launch, Server, WAIT_MAX};

#[test]
fn a_malformed_request_is_answered_with_a_4xx_or_not_at_all() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let long = "x".repeat(100_000);
    let many: String = (0..5_000).map(|n| format!("H{n}: x\r\n")).collect();
    for request in [
        "\r\n\r\n\r\n\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /access\r\n\r\n".to_owned(),
        "GET /access HTTP/9.9\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET /é HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET /\u{1} HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET http://[:::]/access HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET /access HTTP/1.1\r\nno colon\r\n\r\n".to_owned(),
        "GET /access HTTP/1.1\r\n: nameless\r\n\r\n".to_owned(),
        "GET /access HTTP/1.1\r\nA\0B: x\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /access?access_token={long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /access HTTP/1.1\r\nAuthorization: {long}\r\n\r\n"),
        format!("GET /access HTTP/1.1\r\n{many}\r\n"),
        "POST /thngs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "POST /thngs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "POST /thngs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "POST /thngs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
            .to_owned(),
        "GET /%00%ff%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /sdk/../../operator.key HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /sdk/%2e%2e/%2e%2e/operator.key HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        let mut raw = Raw::connect(server.http()).with(request.as_bytes());
        raw.finish();
        let answer = raw.until_closed();
        let status = status(&answer);
        let shown = &request[..request.floor_char_boundary(60)];
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{shown:?}: {status:?}");
    }
    canary.sings();
}

/// Bug class 5 of `docs/security.md` (CVE-2019-11779).
#[test]
fn a_path_of_65_thousand_slashes_is_refused() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    for path in ["/".repeat(65_000), format!("/thngs{}", "/x".repeat(30_000))] {
        for request in [format!("GET {path} HTTP/1.1\r\nAuthorization: {KEY}\r\n\r\n"), handshake(&path, "")]
        {
            let mut raw = Raw::connect(server.http()).with(request.as_bytes());
            raw.finish();
            let answer = raw.until_closed();
            assert!(matches!(status(&answer), Some(400..500)), "{:?}", status(&answer));
        }
    }
    canary.sings();
}

/// The status and the document of the last answer on a connection, which has the headers that pages need.
fn rejected(mut raw: Raw) -> (u16, Value) {
    let answer = String::from_utf8(raw.until_closed()).expect("text");
    let (head, body) = answer.rsplit_once("\r\n\r\n").unwrap_or_else(|| panic!("an answer: {answer:?}"));
    let head = &head[head.rfind("HTTP/1.1 ").expect("a status line")..];
    for header in ["access-control-allow-origin: *", "content-type: application/json", "connection: close"] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let document: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
    let status = status(head.as_bytes()).expect("a status");
    assert_eq!(document["status"], status);
    (status, document)
}

#[test]
fn what_the_http_library_refuses_gets_the_error_document() {
    let server = Server::start();
    let served =
        format!("GET /health HTTP/1.1\r\nHost: x\r\n{}Connection: close\r\n\r\n", "X: x\r\n".repeat(98));
    let answer = Raw::connect(server.http()).with(served.as_bytes()).until_closed();
    assert_eq!(status(&answer), Some(200), "100 headers are served");
    let long = "x".repeat(100_000);
    let post = |headers: &str| format!("POST /thngs HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{{}}");
    for (request, expected, sentence) in [
        ("GET /thngs?filter=createdAt>17 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400, "%3E"),
        (format!("GET /thngs?x={long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431, "32768"),
        (format!("GET /thngs HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"), 431, "32768"),
        (format!("GET /thngs HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: x\r\n".repeat(100)), 431, "100 headers"),
        (post("Content-Length: -1"), 400, "content-length"),
        (post("Content-Length: 2\r\nContent-Length: 3"), 400, "content-length"),
        (post("Transfer-Encoding: gzip"), 400, "transfer-encoding"),
        ("GET /thngs\r\n\r\n".to_owned(), 400, "head"),
        ("GET /thngs HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n".to_owned(), 400, "head"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "HTTP/1.1"),
    ] {
        let counted = format!(r#"http_requests_total{{status="{expected}"}}"#);
        let before = server.metric(&counted);
        // Alone, and on a connection that was used.
        let good = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
        for earlier in ["", good] {
            let mut raw = Raw::connect(server.http()).with(earlier.as_bytes());
            if !earlier.is_empty() {
                assert!(matches!(raw.receive(WAIT_MAX), Arrival::Bytes(_)));
            }
            let (status, document) = rejected(raw.with(request.as_bytes()));
            assert_eq!(status, expected, "{document}");
            let errors = document["errors"][0].as_str().expect("a sentence");
            assert!(errors.contains(sentence), "{errors}");
        }
        until("both are counted", || (server.metric(&counted) == before + 2).then_some(()));
    }
}

#[test]
fn an_answer_that_is_not_read_comes_whole_before_a_rejection() {
    let server = Server::shared();
    let good = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(40);
    let (status, document) =
        rejected(Raw::connect(server.http()).with((good + "GET /> x\r\n\r\n").as_bytes()));
    assert_eq!((status, &document["code"]), (400, &json!(50_331_648)));
}

#[test]
fn a_host_is_needed_once_and_the_target_has_the_last_word() {
    let server = Server::shared();
    let ask = |target: &str, headers: &str| {
        let request =
            format!("GET {target} HTTP/1.1\r\n{headers}Authorization: {KEY}\r\nConnection: close\r\n\r\n");
        String::from_utf8(Raw::connect(server.http()).with(request.as_bytes()).until_closed()).expect("text")
    };
    for headers in ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nHost: b\r\n", "Host: a/b\r\n"] {
        for target in ["/access", "http://a/access"] {
            let answer = ask(target, headers);
            assert!(answer.starts_with("HTTP/1.1 400"), "{headers:?}: {answer}");
            assert!(
                answer.contains("Host header") && answer.contains("access-control-allow-origin"),
                "{answer}"
            );
        }
    }
    // What was refused names the host in `moreInfo`.
    for (target, headers, url) in [
        ("/nothing", "Host: own:1\r\n", "http://own:1/"),
        ("http://target:2/nothing", "Host: own:1\r\n", "http://target:2/"),
        (
            "/nothing",
            "Host: own\r\nX-Forwarded-Proto: https, http\r\nX-Forwarded-Host: a, b\r\n",
            "https://a/",
        ),
        ("/nothing", "Host: own\r\nX-Forwarded-Proto:\r\nX-Forwarded-Host:\r\n", "http://own/"),
    ] {
        let answer = ask(target, headers);
        assert!(answer.contains(&format!(r#""moreInfo":"{url}docs/errors#"#)), "{answer}");
    }
}

#[test]
fn an_idle_connection_outlives_slow_heads_and_has_its_own_end() {
    let server = Launch::new().flag("--connect-timeout-s", "1").flag("--http-idle-timeout-s", "4").start();
    let request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut raw = Raw::connect(server.http());
    let mut slow = Raw::connect(server.http()).with(request);
    for _ in 0..2 {
        raw.send(request);
        let Arrival::Bytes(answer) = raw.receive(WAIT_MAX) else { panic!("an answer") };
        assert_eq!(status(&answer), Some(200));
        // A head that is begun and not ended has its second, whatever an idle connection has.
        assert_eq!(raw.receive(Duration::from_millis(1_500)), Arrival::Nothing);
    }
    assert_eq!(raw.receive(WAIT_MAX), Arrival::Closed);
    assert!(matches!(slow.receive(WAIT_MAX), Arrival::Bytes(_)));
    assert_eq!(slow.receive(WAIT_MAX), Arrival::Closed);

    let (status, document) = rejected(Raw::connect(server.http()).with(b"GET /health HTTP/1.1\r\n"));
    assert_eq!((status, &document["code"]), (408, &json!(50_331_654)));
    let mut used = Raw::connect(server.http()).with(request);
    assert!(matches!(used.receive(WAIT_MAX), Arrival::Bytes(_)));
    assert_eq!(rejected(used.with(b"GET /health HTTP/1.1\r\n")).0, 408);
}

#[test]
fn a_body_that_ends_before_its_announced_length_stores_nothing() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let mut canary = Canary::in_the(server);
    for sent in ["", "[", r#"[{"value":1}]"#] {
        let head = format!(
            "PUT {topic} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\nContent-Length: 100\r\n\r\n{sent}"
        );
        let mut raw = Raw::connect(server.http()).with(head.as_bytes());
        raw.finish();
        let answer = raw.until_closed();
        assert_ne!(status(&answer), Some(200));
    }
    assert_eq!(rest.get(&topic).expect(200), json!([]));
    canary.sings();
}

#[test]
fn requests_that_are_sent_together_are_answered_in_their_order() {
    let server = Server::shared();
    let request = |path: &str, close: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n{close}\r\n")
    };
    let both = request("/nothing", "") + &request("/access", "Connection: close\r\n");
    let answers = Raw::connect(server.http()).with(both.as_bytes()).until_closed();
    let text = String::from_utf8(answers).expect("text");
    let lines: Vec<_> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(lines, ["404", "200"]);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_a_request() {
    let server = Server::shared();
    let mut raw = Raw::connect(server.http());
    let request =
        format!("GET /access HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {KEY}\r\n\r\n");
    for byte in request.bytes() {
        raw.send(&[byte]);
    }
    assert_eq!(status(&raw.until_closed()), Some(200));
}

#[test]
fn a_flood_of_pings_and_empty_fragments_is_survived() {
    let server = Server::shared();
    let path = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut canary = Canary::in_the(server);
    let mut flood = Raw::connect(server.http()).with(handshake(&path, "").as_bytes());
    let pings = frame(0x89, b"").repeat(10_000);
    flood.send(&pings);
    flood.send(&frame(0x01, b""));
    flood.send(&frame(0x00, b"").repeat(10_000));
    canary.sings();
    flood.cut();
    canary.sings();
}

#[test]
fn random_bytes_over_http_end_only_their_own_connection() {
    let mut random = random();
    let server = Server::shared();
    let path = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut canary = Canary::in_the(server);
    for _ in 0..200 {
        let noise: Vec<u8> = (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
        let mut raw = Raw::connect(server.http()).with(&noise);
        raw.finish();
        raw.until_closed();
        for path in [&*path, "/mqtt"] {
            Frames::open(server, path).send(&noise);
        }
    }
    canary.sings();
}

#[test]
fn a_refused_upgrade_leaves_a_connection_that_can_be_closed() {
    let server = Server::shared();
    let request = handshake("/thngs/Uabcdefghkmnpqrstwxy0123/properties/k", "");
    let mut raw = Raw::connect(server.http()).with(request.as_bytes());
    let Arrival::Bytes(answer) = raw.receive(WAIT_MAX) else { panic!("an answer") };
    assert_eq!(status(&answer), Some(403));
    raw.finish();
    raw.until_closed();
}
