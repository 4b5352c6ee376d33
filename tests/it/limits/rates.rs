//! How often one key and one address may ask, publish, connect and fail to log in, and what becomes of what is too much.
//!
//! The rates are by the day, so that within a test only the burst counts. How many may be there at a time is in
//! `limits/clients.rs`; how many keys and addresses the server remembers is a unit test beside the buckets.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{ConnectCode, Packet, QoS, SubAckCode};
use thng_pubsub_tests::keys::unique_email;
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello, Received, publish};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Response, Rest, Server, history};

/// Another machine.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A text that is no API key.
fn wrong_key() -> String {
    "x".repeat(80)
}

/// A server with limits, and what was there before it had them.
struct RateLimitedServer {
    server: Server,
    /// Of an operator who may do everything, as [`KEY`] is of another.
    key: String,
    thng: String,
}

impl RateLimitedServer {
    #[track_caller]
    fn with(flags: &[(&str, &str)]) -> RateLimitedServer {
        let server = Server::start();
        let mut rest = server.rest();
        let key = rest.operator(json!({"role": "admin"})).key;
        let thng = rest.thng();
        let limited =
            |launch| flags.iter().fold(launch, |launch: Launch, (name, value)| launch.flag(name, value));
        RateLimitedServer { server: server.restart_with(limited), key, thng }
    }

    fn rest(&self) -> Rest {
        self.server.rest_as(&self.key)
    }

    fn rest_from_elsewhere(&self) -> Rest {
        self.rest().from(ELSEWHERE)
    }

    fn topic(&self, key: &str) -> String {
        format!("/thngs/{}/properties/{key}", self.thng)
    }

    fn hello(&self) -> Hello {
        Hello::with_key(&self.key)
    }

    fn exceeded(&self, what: &str, by: &str) -> u64 {
        self.server.metric(&format!(r#"rate_limited_total{{kind="{what}",scope="{by}"}}"#))
    }

    /// The status of an upgrade with this key, 101 if it is made.
    fn upgrade(&self, key: &str, topic: &str) -> u16 {
        WebSocket::request(&self.server, topic, &[("Authorization", key)]).err().unwrap_or(101)
    }

    /// What a CONNECT with this key is answered.
    fn connect(&self, key: &str) -> ConnectCode {
        Client::greeted(Raw::connect(self.server.mqtt()), &Hello::with_key(key)).1
    }

    /// The values of a property, oldest first; asked for with the key that has no limit to reach.
    fn values(&self, key: &str) -> Vec<Value> {
        let points = history::whole(&mut self.server.rest(), &self.thng, key);
        points.into_iter().map(|point| point.value).collect()
    }
}

/// 429 that says which limit it was, how much it allows, and when to come again.
#[track_caller]
fn assert_too_often(answer: &Response, limit: &str) {
    let document = answer.expect(429);
    let seconds: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("whole seconds");
    assert!((1..=86_400).contains(&seconds), "{seconds}");
    let sentence = document["errors"][0].as_str().unwrap_or_default();
    let said = format!("{limit}. Try again in {seconds} s.");
    assert!(sentence.ends_with(&said), "{sentence:?} ends with {said:?}");
    assert_eq!(document["code"], 50_331_652);
}

#[track_caller]
fn put(rest: &mut Rest, topic: &str, value: u64) -> Response {
    rest.put(topic, format!(r#"[{{"value":{value}}}]"#))
}

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

/// Publishes three; the first two are acknowledged, and the third ends the connection.
#[track_caller]
fn publish_until_closed(client: &mut Client, topic: &str, qos: QoS) {
    for n in 1..=3 {
        let payload = format!(r#"[{{"value":{n}}}]"#);
        let id = (qos != QoS::AtMostOnce).then(|| client.packet_id());
        client.send(&Packet::Publish(publish(topic, &payload, qos, id)));
        let acknowledged = match (qos, id) {
            (QoS::AtLeastOnce, Some(id)) => Received::PubAck(id),
            (QoS::ExactlyOnce, Some(id)) => Received::PubRec(id),
            _ => continue,
        };
        if n < 3 {
            assert_eq!(client.packet(), acknowledged);
        }
    }
    client.assert_closed();
}

#[test]
fn a_publish_over_the_longest_delay_ends_the_connection() {
    for (by, refused_publish) in [("--publish-rate-per-key", "close"), ("--publish-rate-per-address", "ack")]
    {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let limited = RateLimitedServer::with(&[(by, "2/d"), ("--on-rejected-publish", refused_publish)]);
            let mut client = Client::connect_as(&limited.server, &limited.hello());
            publish_until_closed(&mut client, &limited.topic("k"), qos);
            assert_eq!(limited.values("k"), [1, 2], "{by} at {qos:?}");
            // A connection is counted when it has ended, which its client may know before.
            until(format!("the end is counted: {by} at {qos:?}"), || {
                let ended =
                    limited.server.metric(r#"disconnects_total{protocol="mqtt",reason="rate_limited"}"#);
                (ended == 1).then_some(())
            });
            let refused =
                limited.server.metric(r#"publishes_refused_total{protocol="mqtt",reason="rate_limited"}"#);
            assert_eq!(refused, 1, "{by} at {qos:?}");
            until("the log says why", || {
                limited.server.log().contains(&format!("{by} is reached")).then_some(())
            });
        }
    }
}

#[test]
fn a_keys_publishes_are_counted_over_all_protocols() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-key", "4/d")]);
    let (topic, other) = (limited.topic("k"), limited.topic("other"));
    let mut rest = limited.rest();
    put(&mut rest, &topic, 1).assert_status(200);
    let mut client = Client::connect_as(&limited.server, &limited.hello());
    client.publish_acknowledged(&topic, r#"[{"value":2}]"#);
    let link = MqttFrames::open(&limited.server, "mqtt");
    Client::accepted(link, &limited.hello()).publish_acknowledged(&topic, r#"[{"value":3}]"#);
    let mut socket =
        WebSocket::request(&limited.server, &topic, &[("Authorization", &limited.key)]).expect("open");
    socket.send(r#"[{"value":4}]"#);
    assert_eq!(socket.json()[0]["value"], 4);

    assert_too_often(&put(&mut rest, &topic, 5), "--publish-rate-per-key is 4/d");
    for _ in 0..2 {
        socket.send(r#"[{"value":5}]"#);
        let refused = socket.json();
        assert_eq!(refused["status"], 429, "{refused}");
    }
    client.publish_unacknowledged(&topic, r#"[{"value":5}]"#);
    client.assert_closed();
    let mut anonymous = Client::connect_as(&limited.server, &Hello::anonymous());
    anonymous.publish_unacknowledged(&format!("{topic}?access_token={}", limited.key), r#"[{"value":5}]"#);
    anonymous.assert_closed();

    let mut client = Client::connect(&limited.server);
    client.publish_acknowledged(&other, r#"[{"value":1}]"#);
    let mut anonymous = Client::connect_as(&limited.server, &Hello::anonymous());
    anonymous.publish_acknowledged(&format!("{other}?access_token={KEY}"), r#"[{"value":2}]"#);
    rest.post("/thngs", r#"{"name":"no topic creates thngs"}"#).assert_status(201);
    put(&mut limited.server.rest(), &topic, 6).assert_status(200);
    assert_eq!(socket.json()[0]["value"], 6, "a socket that was refused stays open");
    assert_eq!(limited.values("k"), [1, 2, 3, 4, 6]);
    assert_eq!(limited.values("other"), [1, 2]);
}

#[test]
fn an_addresss_publishes_are_counted_over_all_keys() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-address", "2/d")]);
    let topic = limited.topic("k");
    put(&mut limited.rest(), &topic, 1).assert_status(200);
    put(&mut limited.server.rest(), &topic, 2).assert_status(200);
    assert_too_often(&put(&mut limited.rest(), &topic, 3), "--publish-rate-per-address is 2/d");
    put(&mut limited.rest_from_elsewhere(), &topic, 4).assert_status(200);
    let link = Raw::connect_from(ELSEWHERE, limited.server.mqtt());
    Client::accepted(link, &limited.hello()).publish_acknowledged(&topic, r#"[{"value":5}]"#);
    assert_eq!(limited.values("k"), [1, 2, 4, 5]);
}

#[test]
fn a_fast_publisher_is_throttled_without_loss_over_mqtt() {
    for by in ["--publish-rate-per-key", "--publish-rate-per-address"] {
        let limited = RateLimitedServer::with(&[(by, "100/s:50")]);
        let mut client = Client::connect_as(&limited.server, &limited.hello());
        let topic = limited.topic("k");
        let sent: Vec<_> = (0..200)
            .map(|n| client.publish_unacknowledged(&topic, &format!(r#"[{{"value":{n}}}]"#)))
            .collect();
        for id in sent {
            assert_eq!(client.packet(), Received::PubAck(id));
        }
        assert_eq!(limited.values("k"), (0..200).collect::<Vec<_>>(), "{by}");
        assert!(limited.server.metric(r#"publishes_throttled_total{protocol="mqtt"}"#) > 0, "{by}");
        assert_eq!(limited.exceeded("publishes", by.trim_start_matches("--publish-rate-per-")), 0);
    }
}

#[test]
fn publishers_sharing_a_key_are_throttled_without_loss() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-key", "200/s:10")]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let limited = &limited;
            scope.spawn(move || {
                let mut client = Client::connect_as(&limited.server, &limited.hello());
                let topic = limited.topic(&format!("k{number}"));
                (0..25).for_each(|n| client.publish(&topic, &format!(r#"[{{"value":{n}}}]"#)));
                client.publish_acknowledged(&topic, r#"[{"value":25}]"#);
            });
        }
    });
    for number in 0..8 {
        assert_eq!(limited.values(&format!("k{number}")), (0..=25).collect::<Vec<_>>());
    }
}

#[test]
fn a_fast_publisher_is_throttled_without_loss_over_websocket() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-key", "100/s:10")]);
    let topic = limited.topic("k");
    let mut socket =
        WebSocket::request(&limited.server, &topic, &[("Authorization", &limited.key)]).expect("open");
    (0..60).for_each(|n| socket.send(format!(r#"[{{"value":{n}}}]"#)));
    for n in 0..60 {
        assert_eq!(socket.json()[0]["value"], n);
    }
    assert!(limited.server.metric(r#"publishes_throttled_total{protocol="websocket"}"#) > 0);
}

/// A limit of which two are there, and the third waits for longer than the test.
const LONG_WAIT: [(&str, &str); 2] = [("--publish-rate-per-key", "1/m:2"), ("--publish-delay-max-s", "3600")];

/// Publishes three; the third is not acknowledged.
#[track_caller]
fn delayed_client(limited: &RateLimitedServer) -> Client {
    let mut client = Client::connect_as(&limited.server, &limited.hello());
    let topic = limited.topic("k");
    client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
    client.publish_acknowledged(&topic, r#"[{"value":2}]"#);
    client.publish_unacknowledged(&topic, r#"[{"value":3}]"#);
    client
}

#[test]
fn pings_and_deliveries_continue_while_a_publish_waits() {
    let limited = RateLimitedServer::with(&[&LONG_WAIT[..], &[("--deliveries-in-flight-max", "1")]].concat());
    let subscribed = limited.topic("watched");
    let mut client = Client::connect_as(&limited.server, &limited.hello());
    client.subscribed(&subscribed, QoS::AtLeastOnce);
    let topic = limited.topic("k");
    client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
    client.publish_acknowledged(&topic, r#"[{"value":2}]"#);
    let id = client.packet_id();
    let mut together =
        thng_pubsub_tests::mqtt::encoded(&Packet::Publish(publish(&topic, "3", QoS::AtLeastOnce, Some(id))));
    together.extend([0xC0, 0, 0xC0, 0]);
    client.send_bytes(&together);
    assert_eq!([client.packet(), client.packet()], [Received::PingResp, Received::PingResp]);
    // The second comes only when the first was acknowledged.
    for n in 0..2 {
        put(&mut limited.server.rest(), &subscribed, n).assert_status(200);
        assert_eq!(client.message().value(), n);
    }
    client.assert_nothing_else();
    assert_eq!(limited.values("k"), [1, 2]);
}

#[test]
fn a_stopping_server_does_not_wait_for_a_delayed_publish() {
    let limited = RateLimitedServer::with(&LONG_WAIT);
    let mut client = delayed_client(&limited);
    client.ping();
    let RateLimitedServer { mut server, thng, .. } = limited;
    server.terminate();
    client.assert_closed();
    let server = server.restart_with(|launch| launch.without("--publish-rate-per-key"));
    let values = history::whole(&mut server.rest(), &thng, "k");
    assert_eq!(values.len(), 2, "what was not acknowledged was not stored: {values:?}");
}

#[test]
fn a_client_that_leaves_returns_the_turn_of_its_publish() {
    let limited = RateLimitedServer::with(&LONG_WAIT);
    let waits_s = || {
        let limits = limited.rest().get("/rateLimits").expect(200);
        limits[0]["rateLimits"][0]["reset"].as_u64().expect("seconds")
    };
    let mut client = delayed_client(&limited);
    client.ping();
    assert!((121..=180).contains(&waits_s()), "{} s", waits_s());
    client.cut();
    until("the turn is given back", || (waits_s() <= 120).then_some(()));
}

#[test]
fn a_closed_native_socket_still_publishes_its_messages() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-key", "2/s:1")]);
    let topic = limited.topic("k");
    let mut socket =
        WebSocket::request(&limited.server, &topic, &[("Authorization", &limited.key)]).expect("open");
    (1..=3).for_each(|n| socket.send(format!(r#"[{{"value":{n}}}]"#)));
    socket.close();
    until("all three are stored", || (limited.values("k") == [1, 2, 3]).then_some(()));
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
    assert_eq!(limited.exceeded("connects", "key"), 3);
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
    assert_eq!(limited.exceeded("connects", "address"), 4);
    until("the log says so", || {
        limited.server.log().contains("--connection-rate-per-address is reached").then_some(())
    });
}

#[test]
fn an_address_that_guesses_keys_is_blocked() {
    let guess_by_rest =
        |limited: &RateLimitedServer| limited.server.rest_as(&wrong_key()).get("/access").assert_status(403);
    let guess_in_url = |limited: &RateLimitedServer| {
        let mut keyless = Rest::new(limited.server.http(), None);
        keyless.get("/access?access_token=short").assert_status(403);
    };
    let guess_by_mqtt =
        |limited: &RateLimitedServer| assert_eq!(limited.connect(&wrong_key()), ConnectCode::NotAuthorised);
    let guess_by_upgrade =
        |limited: &RateLimitedServer| assert_eq!(limited.upgrade(&wrong_key(), &limited.topic("k")), 403);
    let guess_by_topic = |limited: &RateLimitedServer| {
        let mut client = Client::connect_as(&limited.server, &Hello::anonymous());
        let topic = format!("{}?access_token={}", limited.topic("k"), wrong_key());
        assert_eq!(client.subscribe(&topic, QoS::AtMostOnce), SubAckCode::Refused);
    };
    let guesses: [fn(&RateLimitedServer); 5] =
        [guess_by_rest, guess_in_url, guess_by_mqtt, guess_by_upgrade, guess_by_topic];
    for guess in guesses {
        let limited = RateLimitedServer::with(&[("--failed-logins-per-address", "3/d")]);
        let topic = limited.topic("k");
        let mut inside = Client::connect_as(&limited.server, &limited.hello());
        let mut anonymous = Client::connect_as(&limited.server, &Hello::anonymous());
        (0..3).for_each(|_| guess(&limited));

        for key in [&limited.key, &wrong_key()] {
            let refused = limited.server.rest_as(key).get("/access");
            assert_too_often(&refused, "--failed-logins-per-address is 3/d");
            assert_eq!(limited.upgrade(key, &topic), 429);
            assert_eq!(limited.connect(key), ConnectCode::ServerUnavailable);
            let own = format!("{topic}?access_token={key}");
            assert_eq!(anonymous.subscribe(&own, QoS::AtMostOnce), SubAckCode::Refused);
        }
        assert_eq!(limited.exceeded("failed_logins", "address"), 8);
        until("the log says so", || {
            limited.server.log().contains("--failed-logins-per-address is reached").then_some(())
        });
        anonymous.publish(&format!("{topic}?access_token={}", limited.key), r#"[{"value":1}]"#);
        anonymous.assert_closed();

        inside.publish_acknowledged(&topic, r#"[{"value":2}]"#);
        Rest::new(limited.server.http(), None).get("/access").assert_status(401);
        let mut elsewhere = limited.rest_from_elsewhere();
        assert_eq!(elsewhere.get(&topic).expect(200)[0]["value"], 2);
    }
}

#[test]
fn a_flood_of_wrong_logins_delays_no_other_address() {
    const FLOOD: usize = 600;
    let server = Server::start();
    let mut rest = server.rest();
    let project = rest.project();
    let key = rest.application(&project).public_key;
    let email = unique_email();
    let _user = server.rest_as(&key).named_user(&email, "a right password");
    let body = json!({"email": email, "password": "a wrong password"}).to_string();
    let request = format!(
        "POST /auth/evrythng HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let flood: Vec<Raw> =
        (0..FLOOD).map(|_| Raw::connect_from(ELSEWHERE, server.http()).with(request.as_bytes())).collect();
    let refused = || server.metric(r#"passwords_refused_total{bound="address"}"#);
    // A quarter of the default may wait, and two are hashed.
    until("the queue of the address is full", || (refused() >= 1).then_some(()));
    let mut right = server.rest_as(&key);
    let before = Instant::now();
    right.post("/auth/evrythng", json!({"email": email, "password": "a right password"})).assert_status(201);
    // Ten times of what it takes on a machine with something else to do.
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    let mut answers = [0; 2];
    for mut raw in flood {
        let answer = raw.read_until(|bytes| bytes.ends_with(b"}"));
        let answer = String::from_utf8(answer).expect("text");
        let is_full = answer.starts_with("HTTP/1.1 429");
        assert!(is_full || answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(!is_full || answer.contains("retry-after: 1"), "{answer}");
        answers[usize::from(is_full)] += 1;
    }
    assert!(answers[0] >= 64 && answers[1] as u64 == refused() && answers[1] > FLOOD / 2, "{answers:?}");
    until("the log names the bound", || server.log().contains("--password-queue-max").then_some(()));
    let again = right.post("/auth/evrythng", json!({"email": email, "password": "a right password"}));
    again.assert_status(201);
}

#[test]
fn parallel_password_guesses_gain_nothing() {
    let mut server = Server::start();
    let application = {
        let mut rest = server.rest();
        let project = rest.project();
        rest.application(&project)
    };
    let email = unique_email();
    let mut rest = server.rest_as(&application.public_key);
    let user = rest.named_user(&email, "a right password");
    drop(rest);
    server = server.restart_with(|launch| launch.flag("--failed-logins-per-address", "3/d"));
    let log_in = |rest: &mut Rest, path: &str, password: &str| {
        rest.post(path, json!({"email": email, "password": password}))
    };
    let paths = ["/auth/evrythng", "/users/login"];
    let mut rest = server.rest_as(&application.public_key);
    for path in paths.iter().cycle().take(8) {
        assert!(log_in(&mut rest, path, "a right password").status < 300, "{path}");
    }
    rest.post(paths[0], r#"{"email":1}"#).assert_status(400);

    let statuses = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (server, application, statuses) = (&server, &application, &statuses);
            scope.spawn(move || {
                let mut rest = server.rest_as(&application.public_key);
                let answer = log_in(&mut rest, paths[number % 2], "a wrong password");
                statuses.lock().expect("no panic").push(answer.status);
            });
        }
    });
    let mut statuses = statuses.into_inner().expect("no panic");
    statuses.sort_unstable();
    assert_eq!(statuses, [[401; 3].as_slice(), &[429; 9]].concat());
    for path in paths {
        let refused = log_in(&mut rest, path, "a right password");
        assert_too_often(&refused, "--failed-logins-per-address is 3/d");
    }
    let mut elsewhere = server.rest_as(&application.public_key).from(ELSEWHERE);
    assert!(log_in(&mut elsewhere, paths[0], "a right password").status < 300);
    server.rest_as(&user.key).from(ELSEWHERE).get("/access").assert_status(200);
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
