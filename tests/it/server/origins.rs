//! `--allowed-origins`: which pages may use the server from a browser.

use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

const ALLOWED: &str = "https://app.example";

const FOREIGN: [&str; 5] = [
    "https://evil.example",
    "https://app.example.evil.example",
    "http://app.example",
    "https://app.example:444",
    "null",
];

fn server() -> Server {
    Launch::new().flag("--allowed-origins", &format!("http://localhost:5173, {ALLOWED}")).start()
}

/// Whether a page of this origin, or no page, can open both kinds of WebSocket.
fn opens(server: &Server, topic: &str, origin: Option<&str>) -> [Result<(), u16>; 2] {
    let mut headers = vec![("Authorization", server.key())];
    headers.extend(origin.map(|origin| ("Origin", origin)));
    let native = WebSocket::request(server, topic, &headers).map(drop);
    headers.push(("Sec-WebSocket-Protocol", "mqtt"));
    let mqtt = WebSocket::request(server, "/mqtt", &headers).map(drop);
    [native, mqtt]
}

#[test]
fn pages_of_other_origins_get_403_and_programs_are_served() {
    let server = server();
    let topic = format!("/thngs/{}", server.rest().thng());
    let own = format!("http://{}", server.http());
    for origin in
        [Some(ALLOWED), Some("HTTPS://App.Example"), Some("http://localhost:5173"), Some(&own), None]
    {
        assert_eq!(opens(&server, &topic, origin), [Ok(()), Ok(())], "{origin:?}");
    }
    for origin in FOREIGN {
        assert_eq!(opens(&server, &topic, Some(origin)), [Err(403), Err(403)], "{origin}");
    }
    for protocol in ["websocket", "mqtt_ws"] {
        let refused = format!(r#"connections_refused_total{{protocol="{protocol}",reason="origin"}}"#);
        assert_eq!(server.metric(&refused), FOREIGN.len() as u64);
    }
    assert!(server.log().contains("--allowed-origins"));
}

#[test]
fn answers_are_readable_by_allowed_origins_only() {
    let server = server();
    let mut rest = Rest::new(server.http(), None);
    let mut ask = |method: &str, origin: Option<&str>| {
        let mut headers = vec![("Authorization", KEY)];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let answer = rest.send(method, "/access", &headers, None);
        assert_eq!(answer.header("vary"), Some("origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    for method in ["GET", "OPTIONS"] {
        assert_eq!(ask(method, Some(ALLOWED)).as_deref(), Some(ALLOWED));
        assert_eq!(ask(method, None), None);
        for origin in FOREIGN {
            assert_eq!(ask(method, Some(origin)), None, "{method} {origin}");
        }
    }
}

#[test]
fn origins_are_compared_as_origins() {
    let server = Launch::new().flag("--allowed-origins", "https://A.example:443").start();
    let mut rest = Rest::new(server.http(), None);
    let mut readable_by = |headers: &[(&str, &str)]| {
        let answer = rest.send("GET", "/health", headers, None);
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    for origin in ["https://a.example", "https://a.example:443", "HTTPS://A.EXAMPLE"] {
        assert_eq!(readable_by(&[("Origin", origin)]).as_deref(), Some(origin));
    }
    for origin in ["http://a.example", "https://a.example:80", "https://a.example.", "a.example"] {
        assert_eq!(readable_by(&[("Origin", origin)]), None, "{origin}");
    }
}

#[test]
fn own_pages_may_behind_a_proxy_that_rewrites_host() {
    let server = server();
    let mut rest = Rest::new(server.http(), None);
    let own = "https://broker.example";
    let mut readable_by = |more: &[(&str, &str)]| {
        let answer = rest.send("GET", "/health", &[&[("Origin", own)], more].concat(), None);
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    for headers in [
        &[("Sec-Fetch-Site", "same-origin")][..],
        &[("X-Forwarded-Host", "broker.example")],
        &[("X-Forwarded-Host", "broker.example:443, inner:8080")],
    ] {
        assert_eq!(readable_by(headers).as_deref(), Some(own), "{headers:?}");
    }
    for headers in [&[("Sec-Fetch-Site", "cross-site")][..], &[("X-Forwarded-Host", "")], &[]] {
        assert_eq!(readable_by(headers), None, "{headers:?}");
    }
}

#[test]
fn preflights_allow_the_headers_of_tracing_libraries() {
    let mut rest = Rest::new(Server::shared().http(), None);
    let answer = rest.send("OPTIONS", "/thngs", &[("Access-Control-Request-Headers", "traceparent")], None);
    let allowed: Vec<_> =
        answer.header("access-control-allow-headers").expect("a list").split(", ").collect();
    for header in ["authorization", "content-type", "traceparent", "tracestate", "baggage"] {
        assert!(allowed.contains(&header), "{header} in {allowed:?}");
    }
}

#[test]
fn what_is_no_origin_is_refused_at_the_start_with_an_example() {
    for value in [
        "",
        "app.example",
        "https://app.example/",
        "https://*.example",
        "https://a.example,,",
        "https://u@a.example",
    ] {
        let ended = Launch::new().flag("--allowed-origins", value).refused();
        assert!(
            ended.stderr.contains("--allowed-origins") && ended.stderr.contains("https://example.com"),
            "{}",
            ended.stderr
        );
    }
    let ended = Launch::new().flag("--allowed-origins", "https://bücher.example").refused();
    assert!(ended.stderr.contains("xn--"), "{}", ended.stderr);
}
