//! How often one key and one address may ask and connect, and how a client learns its limits.
//!
//! How many may be there at a time is in `limits/clients.rs`; how many keys and addresses the server remembers is a unit
//! test beside the buckets.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::ConnectCode;
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

use super::server::{ELSEWHERE, RateLimitedServer, assert_too_often, put, wrong_key};

#[test]
fn a_key_over_its_request_rate_gets_retry_after() {
    let limited = RateLimitedServer::with(&[("--request-rate-per-key", "3/d")]);
    let mut rest = limited.rest();
    rest.get("/access").assert_status(200);
    rest.get("/thngs/nothing").assert_status(404);
    rest.delete(&limited.topic("k")).assert_status(200);
    assert_too_often(&rest.get("/access"), "--request-rate-per-key is 3/d");
    assert_too_often(&limited.rest_from_elsewhere().get("/access"), "--request-rate-per-key is 3/d");
    assert_eq!(limited.upgrade(&limited.key, &limited.topic("k")), 429);

    limited.server.rest().get("/access").assert_status(200);
    Rest::new(limited.server.http(), None).get("/access").assert_status(401);
    Client::connect_as(&limited.server, &limited.hello())
        .publish_acknowledged(&limited.topic("k"), r#"[{"value":1}]"#);
    assert_eq!(limited.exceeded("requests", "key"), 3);
    assert_eq!(limited.server.metric(r#"rate_limit_entries{kind="requests",scope="key"}"#), 2);
    until("the log says which limit it was", || {
        let log = limited.server.log();
        let line = log.lines().find(|line| line.contains("--request-rate-per-key is reached"))?;
        assert!(line.contains(r#"protocol="rest" reason="rate_limited" address=127.0.0."#), "{line}");
        Some(())
    });
    assert!(!limited.server.log().contains(&limited.key));
}

#[test]
fn an_address_over_its_request_rate_is_refused_with_any_key() {
    let limited = RateLimitedServer::with(&[("--request-rate-per-address", "3/d")]);
    let mut keyless = Rest::new(limited.server.http(), None);
    keyless.get("/access").assert_status(401);
    keyless.send("GET", "/docs", &[], None).assert_status(200);
    limited.rest().get("/access").assert_status(200);
    for mut rest in [limited.rest(), limited.server.rest(), Rest::new(limited.server.http(), None)] {
        assert_too_often(&rest.get("/access"), "--request-rate-per-address is 3/d");
    }
    assert_eq!(limited.upgrade(&limited.key, &limited.topic("k")), 429);
    let mqtt = WebSocket::request(&limited.server, "/mqtt", &[("Sec-WebSocket-Protocol", "mqtt")]);
    assert_eq!(mqtt.err(), Some(429));

    keyless.get("/health").assert_status(200);
    keyless.get("/ready").assert_status(200);
    keyless.send("OPTIONS", "/access", &[], None).assert_status(204);
    assert_eq!(limited.exceeded("requests", "address"), 5, "and /metrics goes on");
    limited.rest_from_elsewhere().get("/access").assert_status(200);
    Client::connect(&limited.server).ping();
}

#[test]
fn a_key_over_its_connection_rate_must_wait() {
    let limited = RateLimitedServer::with(&[("--connection-rate-per-key", "3/d")]);
    let topic = limited.topic("k");
    let mut inside = Client::connect_as(&limited.server, &limited.hello());
    Client::accepted(MqttFrames::open(&limited.server, "mqtt"), &limited.hello()).disconnect();
    assert_eq!(limited.upgrade(&limited.key, &topic), 101);

    let (mut refused, code) = Client::greeted(Raw::connect(limited.server.mqtt()), &limited.hello());
    assert_eq!(code, ConnectCode::ServerUnavailable);
    refused.assert_closed();
    let link = MqttFrames::open(&limited.server, "mqtt");
    assert_eq!(Client::greeted(link, &limited.hello()).1, ConnectCode::ServerUnavailable);
    assert_eq!(limited.upgrade(&limited.key, &topic), 429);

    inside.publish_acknowledged(&topic, r#"[{"value":1}]"#);
    limited.rest().get("/access").assert_status(200);
    assert_eq!(limited.connect(KEY), ConnectCode::Accepted);
    Client::connect_as(&limited.server, &Hello::anonymous()).ping();
    assert_eq!(limited.exceeded("connections", "key"), 3);
    let refused =
        limited.server.metric(r#"connections_refused_total{protocol="mqtt",reason="rate_limited"}"#);
    assert_eq!(refused, 1);
    until("the log says so", || {
        limited.server.log().contains("--connection-rate-per-key is reached").then_some(())
    });
}

#[test]
fn an_address_over_its_connection_rate_is_closed_on_every_port() {
    let anywhere = "127.0.0.1:0";
    let limited = RateLimitedServer::with(&[
        ("--connection-rate-per-address", "4/d"),
        ("--https", anywhere),
        ("--mqtts", anywhere),
    ]);
    let (server, mqtt) = (&limited.server, limited.server.mqtt());
    let mut inside = limited.rest_from_elsewhere();
    inside.get("/access").assert_status(200);
    let mut clients: Vec<_> =
        (0..3).map(|_| Client::accepted(Raw::connect_from(ELSEWHERE, mqtt), &limited.hello())).collect();
    for port in [server.http(), mqtt, server.https(), server.mqtts()] {
        assert_eq!(Raw::connect_from(ELSEWHERE, port).until_closed(), b"");
    }
    inside.get("/access").assert_status(200);
    clients.iter_mut().for_each(Client::ping);
    Client::connect(&limited.server).ping();
    assert_eq!(limited.exceeded("connections", "address"), 4);
    until("the log says so", || {
        limited.server.log().contains("--connection-rate-per-address is reached").then_some(())
    });
}

#[test]
fn addresses_of_private_networks_are_not_counted_by_default() {
    let server = Server::start();
    let mut wrong = server.rest_as(&wrong_key());
    (0..1_100).for_each(|_| wrong.get("/access").assert_status(403));
    server.rest().get("/access").assert_status(200);
}

#[test]
fn limits_and_remaining_counts_are_shown_per_key_and_address() {
    let limited = RateLimitedServer::with(&[
        ("--request-rate-per-key", "100/d:200"),
        ("--publish-rate-per-address", "5/d"),
        ("--failed-logins-per-address", "3/d"),
    ]);
    let topic = limited.topic("k");
    put(&mut limited.rest(), &topic, 1).assert_status(200);
    put(&mut limited.server.rest(), &topic, 2).assert_status(200);
    limited.server.rest_as(&wrong_key()).get("/access").assert_status(403);

    let shown = |rest: &mut Rest| {
        let Value::Array(mut limits) = rest.get("/rateLimits").expect(200) else { panic!("no array") };
        let reset: Vec<_> = limits
            .iter_mut()
            .map(|limit| limit["rateLimits"][0]["reset"].take().as_u64().expect("seconds"))
            .collect();
        (Value::Array(limits), reset)
    };
    let limit = |name: &str, by: &str, count: u64, burst: u64, hits: u64| {
        json!({"name": name, "rateLimits": [{
            "url": {"path": "/", "depth": 1},
            "access": "crud",
            "by": by,
            "limit": {
                "rate": "day",
                "timeFrame": 1,
                "warningMaxHits": count,
                "blockingMaxHits": count,
                "burst": burst,
            },
            "hits": hits,
            "hitsRemaining": burst - hits,
            "reset": null,
        }]})
    };
    let (limits, reset) = shown(&mut limited.rest());
    let expected = json!([
        limit("request-rate-per-key", "key", 100, 200, 2),
        limit("publish-rate-per-address", "address", 5, 5, 2),
        limit("failed-logins-per-address", "address", 3, 3, 1),
    ]);
    assert_eq!(limits, expected);
    // One comes back in 864 s, in 17,280 s, in 28,800 s.
    for (reset, most) in reset.into_iter().zip([2 * 864, 2 * 17_280, 28_800]) {
        assert!((most - 60..=most).contains(&reset), "{reset} of {most}");
    }
    let (limits, reset) = shown(&mut limited.server.rest().from(ELSEWHERE));
    let expected = json!([
        limit("request-rate-per-key", "key", 100, 200, 2),
        limit("publish-rate-per-address", "address", 5, 5, 0),
        limit("failed-logins-per-address", "address", 3, 3, 0),
    ]);
    assert_eq!(limits, expected);
    assert_eq!(reset[1..], [0, 0]);
}

#[test]
fn where_nothing_is_limited_the_list_of_limits_is_empty() {
    let off = Launch::new().flag("--failed-logins-per-address", "off").start();
    assert_eq!(off.rest().get("/rateLimits").expect(200), json!([]));
    let by_default = Server::shared().rest().get("/rateLimits").expect(200);
    assert_eq!(by_default, json!([]), "this machine's addresses are not counted by default");
}

#[test]
fn an_invalid_rate_stops_the_start_with_a_clear_message() {
    for flag in [
        "--request-rate-per-key",
        "--request-rate-per-address",
        "--publish-rate-per-key",
        "--publish-rate-per-address",
        "--connection-rate-per-key",
        "--connection-rate-per-address",
        "--failed-logins-per-address",
    ] {
        for (value, sentence) in [
            ("100", "a rate is COUNT/UNIT or COUNT/UNIT:BURST"),
            (" ", "a rate is COUNT/UNIT or COUNT/UNIT:BURST"),
            ("0/s", "0 is not a number from 1 to 1000000000"),
            ("1/d:1000", "within 366 days"),
        ] {
            let variable =
                format!("THNG_PUBSUB_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
            let by_variable = Launch::new().variable(&variable, value).refused();
            for ended in [Launch::new().flag(flag, value).refused(), by_variable] {
                assert_eq!(ended.status.code(), Some(2), "{flag} {value:?}: {ended:?}");
                assert!(ended.stderr.contains(flag) && ended.stderr.contains(sentence), "{}", ended.stderr);
            }
        }
    }
}
