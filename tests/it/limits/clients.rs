//! The bounds of what a client may have, each from both sides: the last that passes, and the first that does not.
//!
//! The bounds of a server as a whole (connections, subscriptions, memory) are in `hostile/load.rs`.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{ConnectCode, QoS, SubAckCode};
use thng_pubsub_protocol::rejection;
use thng_pubsub_tests::link::{Arrival, Link as _, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill, Received};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Response, Rest, Server, WAIT_MAX};

/// What the 1,001st property is refused with.
const SENTENCE: &str = "there would be 1001 properties; a resource can have 1000.";

const VALUE_BYTES_MAX: usize = 128 * 1024;
const CONNECT_BYTES_MAX: usize = 16 * 1024;

/// Properties k0, k1, … with the value 0.
fn entries(numbers: std::ops::Range<usize>) -> Value {
    numbers.map(|n| json!({"key": format!("k{n}"), "value": 0})).collect()
}

/// A thng with as many properties as one can have, and the path of them all.
#[track_caller]
fn full_thng(rest: &mut Rest) -> String {
    let all = format!("/thngs/{}/properties", rest.thng());
    for numbers in [0..500, 500..1_000] {
        rest.put(&all, entries(numbers)).assert_status(200);
    }
    all
}

#[track_caller]
fn count(rest: &mut Rest, all: &str) -> Option<usize> {
    rest.get(all).expect(200).as_array().map(Vec::len)
}

#[track_caller]
fn assert_says(document: &Value, sentence: &str) {
    let errors = document["errors"].as_array().expect("an error document");
    let said = errors.iter().filter_map(Value::as_str).any(|error| error.contains(sentence));
    assert!(said, "{document} says {sentence:?}");
}

/// A JSON string of so many bytes, its quotes included.
fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

#[test]
fn the_1001st_property_is_refused_over_every_transport() {
    let server = Server::start();
    let mut rest = server.rest();
    let all = full_thng(&mut rest);
    let (known, new) = (format!("{all}/k0"), format!("{all}/new"));
    let mixed = json!([{"key": "k1", "value": "mixed"}, {"key": "new", "value": 1}]);

    assert_says(&rest.put(&new, r#"[{"value":1}]"#).expect(400), SENTENCE);
    assert_says(&rest.put(&all, mixed.clone()).expect(400), SENTENCE);
    let mut socket = WebSocket::open(&server, &new);
    socket.send(r#"[{"value":1}]"#);
    assert_says(&socket.json(), SENTENCE);
    for (topic, payload) in [(&new, r#"[{"value":1}]"#), (&all, &mixed.to_string())] {
        let mut client = Client::connect(&server);
        assert_says(&client.publish_refused(topic, payload), SENTENCE);
        let mut client = Client::connect_over_websocket(&server);
        assert_says(&client.publish_refused(topic, payload), SENTENCE);
    }
    until("the log has the sentence that MQTT has no words for", || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("protocol=\"mqtt\"") && line.contains(SENTENCE));
        line.map(drop)
    });

    let mut client = Client::connect(&server);
    client.publish(&new, r#"[{"value":1}]"#);
    for value in [1, 2] {
        client.publish_acknowledged(&known, &format!(r#"[{{"value":{value}}}]"#));
        assert_eq!(rest.get(&known).expect(200)[0]["value"], value);
        rest.put(&all, entries(0..500)).assert_status(200);
    }
    assert_eq!(count(&mut rest, &all), Some(1_000), "nothing of what was refused is there");
    assert_eq!(rest.get(&format!("{all}/k1")).expect(200)[0]["value"], 0, "also no part of it");
}

#[test]
fn latest_values_of_a_thng_are_limited_to_a_mebibyte() {
    const MEBIBYTE: usize = 1024 * 1024;
    let mut rest = Server::shared().rest();
    let all = format!("/thngs/{}/properties", rest.thng());
    let put = |rest: &mut Rest, key: &str, bytes: usize| {
        rest.put(&format!("{all}/{key}"), format!(r#"[{{"value":{}}}]"#, text(bytes)))
    };
    // The history of one property may be of any size: only the latest value counts.
    for _ in 0..12 {
        put(&mut rest, "k0", MEBIBYTE / 8).assert_status(200);
    }
    for n in 1..8 {
        put(&mut rest, &format!("k{n}"), MEBIBYTE / 8).assert_status(200);
    }
    let sentence =
        "With these the latest values would be 1048579 bytes together; a resource can have 1048576.";
    assert_says(&put(&mut rest, "more", 3).expect(400), sentence);
    // A shorter value frees space, and a value of the past takes none.
    put(&mut rest, "k7", MEBIBYTE / 8 - 3).assert_status(200);
    put(&mut rest, "more", 3).assert_status(200);
    let past = format!(r#"[{{"value":{},"timestamp":1}}]"#, text(1_000));
    rest.put(&format!("{all}/more"), past).assert_status(200);
    put(&mut rest, "more", 4).assert_status(400);
    rest.delete(&format!("{all}/k0")).assert_status(200);
    put(&mut rest, "more", 4).assert_status(200);
}

#[test]
fn a_deleted_property_frees_its_place() {
    let mut rest = Server::shared().rest();
    let all = full_thng(&mut rest);
    for n in 0..3 {
        rest.put(&format!("{all}/new{n}"), r#"[{"value":1}]"#).assert_status(400);
        rest.delete(&format!("{all}/k{n}")).assert_status(200);
        rest.put(&format!("{all}/new{n}"), r#"[{"value":1}]"#).assert_status(200);
    }
    rest.delete(&all).assert_status(200);
    rest.put(&all, entries(0..500)).assert_status(200);
    assert_eq!(count(&mut rest, &all), Some(500));
}

#[test]
fn properties_that_are_made_at_the_same_time_are_counted_too() {
    let server = Server::shared();
    let mut rest = server.rest();
    let all = format!("/thngs/{}/properties", rest.thng());
    let mut client = Client::connect(server);
    client.subscribed(rejection::TOPIC, QoS::AtMostOnce);
    let sent: Vec<_> =
        (0..1_010).map(|n| client.publish_unacknowledged(&format!("{all}/k{n}"), "0")).collect();
    for (n, id) in sent.into_iter().enumerate() {
        if n >= 1_000 {
            assert_says(&client.message().json(), SENTENCE);
        }
        assert_eq!(client.packet(), Received::PubAck(id));
    }
    assert_eq!(count(&mut rest, &all), Some(1_000));
}

#[test]
fn a_value_of_128_kib_passes_and_a_byte_more_is_refused() {
    // MQTT's packets hold less than such a value and its topic unless the operator allows more.
    let server = Launch::new().flag("--message-bytes-max", "1048576").start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let all = format!("/thngs/{thng}/properties");
    let one = format!("{all}/k");
    let (longest, too_long) = (text(VALUE_BYTES_MAX), text(VALUE_BYTES_MAX + 1));
    let mut watcher = Client::connect(&server);
    watcher.subscribed(&one, QoS::AtLeastOnce);
    let mut socket = WebSocket::open(&server, &one);

    rest.put(&one, format!(r#"[{{"value":{longest}}}]"#)).assert_status(200);
    rest.put(&all, format!(r#"[{{"key":"k","value":{longest}}}]"#)).assert_status(200);
    watcher.publish_acknowledged(&one, &format!(r#"[{{"value":{longest}}}]"#));
    rest.post("/thngs", format!(r#"{{"name":"x","properties":{{"k":{longest}}}}}"#)).assert_status(201);
    for _ in 0..3 {
        assert_eq!(watcher.message().value().to_string(), longest);
        assert_eq!(socket.json()[0]["value"].to_string(), longest);
    }
    assert_eq!(rest.get(&one).expect(200)[0]["value"].to_string(), longest);

    let bare = rest.put(&one, &*too_long);
    let entry = rest.put(&one, format!(r#"[{{"value":{too_long}}}]"#));
    let keyed = rest.put(&all, format!(r#"[{{"key":"k","value":{too_long}}}]"#));
    for refused in [bare, entry, keyed] {
        assert_says(&refused.expect(400), "longer than 131072 bytes");
    }
    let created = rest.post("/thngs", format!(r#"{{"name":"x","properties":{{"k":{too_long}}}}}"#));
    assert_says(&created.expect(400), "longer than 128 KiB");
    socket.send(format!(r#"[{{"value":{too_long}}}]"#));
    assert_says(&socket.json(), "longer than 131072 bytes");
    let refused = watcher.publish_refused(&one, &format!(r#"[{{"value":{too_long}}}]"#));
    assert_says(&refused, "longer than 131072 bytes");
    assert_eq!(rest.get(&one).expect(200).as_array().map(Vec::len), Some(3), "nothing of it was stored");
}

/// Creates a thng with these fields, and writes them into one that exists; both are answered alike.
#[track_caller]
fn created_and_updated(rest: &mut Rest, fields: &Value) -> [Response; 2] {
    let mut document = fields.clone();
    document["name"] = json!("a thng of the tests");
    let thng = rest.thng();
    [rest.post("/thngs", document), rest.put(&format!("/thngs/{thng}"), fields.clone())]
}

#[track_caller]
fn assert_taken(rest: &mut Rest, what: &str, fields: &Value) {
    let [created, updated] = created_and_updated(rest, fields);
    assert_eq!((created.status, updated.status), (201, 200), "{what}: {}", created.text());
}

#[track_caller]
fn assert_refused(rest: &mut Rest, what: &str, fields: &Value, sentence: &str) {
    for answer in created_and_updated(rest, fields) {
        assert_eq!(answer.status, 400, "{what}");
        assert_says(&answer.json(), sentence);
    }
}

/// So many ids, all different.
fn ids(count: usize) -> Vec<String> {
    let digits = b"abcdefghkmnpqrstwxyz";
    let digit = |n: usize| char::from(digits[n % digits.len()]);
    (0..count)
        .map(|n| format!("Uabcdefghkmnpqrstwxya{}{}{}", digit(n / 400), digit(n / 20), digit(n)))
        .collect()
}

#[test]
fn a_thng_has_at_most_a_hundred_projects_and_users() {
    const SENTENCE: &str = "scopes holds at most 100 projects and 100 users.";
    let server = Server::shared();
    let mut rest = server.rest();
    let too_many = ids(101);
    let projects: Vec<String> = (0..100).map(|_| rest.project()).collect();
    let application = rest.application(&projects[0]);
    let mut as_application = server.rest_as(&application.public_key);
    let users: Vec<String> = (0..100).map(|_| as_application.anonymous_user().id).collect();
    let scopes =
        |projects: &[String], users: &[String]| json!({"scopes": {"projects": projects, "users": users}});
    assert_taken(&mut rest, "the most of both", &scopes(&projects, &users));
    assert_taken(&mut rest, "all users", &json!({"scopes": {"projects": projects, "users": ["all"]}}));
    assert_refused(&mut rest, "a project more", &scopes(&too_many, &users), SENTENCE);
    assert_refused(&mut rest, "a user more", &scopes(&projects, &too_many), SENTENCE);
}

#[test]
fn identifiers_are_at_most_100_of_1024_characters() {
    const SENTENCE: &str = "identifiers is an object of at most 100 strings";
    let mut rest = Server::shared().rest();
    let of = |key: &str, value: &str| json!({"identifiers": {(key): value}});
    let several = |count: usize| {
        let map: serde_json::Map<_, _> = (0..count).map(|n| (format!("gs1:{n}"), json!("x"))).collect();
        json!({"identifiers": map})
    };
    // Characters, not bytes.
    for letter in ["x", "é"] {
        assert_taken(&mut rest, "the longest of both", &of(&letter.repeat(128), &letter.repeat(1_024)));
        assert_refused(&mut rest, "a longer key", &of(&letter.repeat(129), "x"), SENTENCE);
        assert_refused(&mut rest, "a longer value", &of("x", &letter.repeat(1_025)), SENTENCE);
    }
    assert_taken(&mut rest, "the most", &several(100));
    assert_refused(&mut rest, "one more", &several(101), SENTENCE);
}

/// A CONNECT of so many bytes: its will fills it.
#[track_caller]
fn connect_of(bytes: usize, topic: &str) -> Hello {
    let hello = |payload: usize| {
        let will = LastWill { topic: topic.to_owned(), payload: text(payload), qos: QoS::AtMostOnce };
        Hello { will: Some(will), ..Hello::with_key(KEY) }
    };
    let rest = hello(1_000).bytes().len() - 1_000;
    let hello = hello(bytes - rest);
    assert_eq!(hello.bytes().len(), bytes, "the length of the packet");
    hello
}

/// Also MQTT-3.1.3-5.
#[test]
fn a_connect_above_16_kib_is_refused_from_its_header() {
    // A connection that is closed within the test is not closed because of the time.
    let server = Launch::new().flag("--connect-timeout-s", "600").start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let longest = connect_of(CONNECT_BYTES_MAX, &topic);
    Client::connect_as(&server, &longest).ping();
    Client::accepted(MqttFrames::open(&server, "mqtt"), &longest).ping();

    let header = &connect_of(CONNECT_BYTES_MAX + 1, &topic).bytes()[..3];
    assert_eq!(Raw::connect(server.mqtt()).with(header).until_closed(), b"");
    let mut client = Client::on(MqttFrames::open(&server, "mqtt"));
    client.send_bytes(header);
    client.assert_closed();
}

#[test]
fn the_connect_limit_ends_with_connect_and_respects_lower_ones() {
    let topic_of = |server: &Server| format!("/thngs/{}/properties/k", server.rest().thng());
    let server = Server::shared();
    let topic = topic_of(server);
    let mut client = Client::connect_as(server, &connect_of(CONNECT_BYTES_MAX, &topic));
    client.publish_acknowledged(&topic, &text(100_000));

    let narrow = Launch::new().flag("--message-bytes-max", "2000").flag("--connect-timeout-s", "600").start();
    let topic = topic_of(&narrow);
    Client::connect_as(&narrow, &connect_of(2_000, &topic)).ping();
    let header = &connect_of(2_001, &topic).bytes()[..3];
    assert_eq!(Raw::connect(narrow.mqtt()).with(header).until_closed(), b"");
}

#[test]
fn an_address_has_so_many_connections_and_the_next_is_let_go() {
    let server = Launch::new().flag("--connections-per-address-max", "5").start();
    let mut inside: Vec<Client> = (0..5).map(|_| Client::connect(&server)).collect();
    assert_eq!(Raw::connect(server.mqtt()).with(&Hello::with_key(KEY).bytes()).until_closed(), b"");
    inside.iter_mut().for_each(Client::ping);
    inside.into_iter().for_each(Client::cut);
    until("there is room again", || {
        let mut raw = Raw::connect(server.mqtt()).with(&Hello::with_key(KEY).bytes());
        matches!(raw.receive(WAIT_MAX), Arrival::Bytes(_)).then_some(())
    });
    let refused =
        server.metric(r#"connections_refused_total{protocol="mqtt",reason="connection_limit_per_address"}"#);
    assert!(refused >= 1);
}

/// Also MQTT-3.2.2-5, MQTT-4.8.0-2.
#[test]
fn a_key_over_its_connection_limit_must_wait() {
    let server = Launch::new().flag("--connections-per-key-max", "3").start();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let first = Client::connect(&server);
    let mut tokens = Client::connect_as(&server, &Hello::anonymous());
    let own = |slash: &str| format!("{topic}{slash}?access_token={KEY}");
    tokens.subscribed(&own(""), QoS::AtLeastOnce);
    let _socket = WebSocket::open(&server, &topic);

    assert_eq!(tokens.subscribe(&own("/"), QoS::AtLeastOnce), SubAckCode::Refused);
    let (mut fourth, code) = Client::greeted(Raw::connect(server.mqtt()), &Hello::with_key(KEY));
    assert_eq!(code, ConnectCode::ServerUnavailable);
    fourth.assert_closed();
    assert_eq!(WebSocket::request(&server, &topic, &[("Authorization", KEY)]).err(), Some(429));
    assert_eq!(rest.get("/thngs").status, 200, "requests are not counted");

    first.disconnect();
    until("there is room again", || {
        let (_, code) = Client::greeted(Raw::connect(server.mqtt()), &Hello::with_key(KEY));
        (code == ConnectCode::Accepted).then_some(())
    });
}

/// Topics of one thng, all of the same length.
fn topics_of_a_thng(rest: &mut Rest, count: usize) -> Vec<String> {
    let thng = rest.thng();
    (0..count).map(|n| format!("/thngs/{thng}/properties/k{n:05}")).collect()
}

#[test]
fn subscriptions_are_bounded_by_memory_per_key_account_and_all() {
    // A subscription to one of these topics counts 1,024 bytes and twice its length: 7 fit into 8 KiB, 14 into 16 KiB.
    const ONE_KEY: usize = 7;
    for (flag, reason, sentence, own, same_account, other_account) in [
        ("key", "subscription_memory_per_key", "this API key", false, true, true),
        ("account", "subscription_memory_per_account", "this account", false, false, true),
        ("all", "subscription_memory", "All subscriptions", false, false, false),
    ] {
        let setting = match flag {
            "all" => "--subscription-bytes-max".to_owned(),
            of => format!("--subscription-bytes-per-{of}-max"),
        };
        let server = Launch::new().flag(&setting, "8192").start();
        let mut rest = server.rest();
        let topics = topics_of_a_thng(&mut rest, ONE_KEY + 1);
        let second_key = rest.operator(json!({"role": "admin"})).key;
        let (mut other, other_key) = server.another_account();
        let other_topic = &topics_of_a_thng(&mut other, 1)[0];
        // Over several connections, durable or not.
        let mut first = Client::connect(&server);
        let mut second = Client::connect_as(&server, &Hello::with_key(KEY).durable("limits"));
        topics[..3].iter().for_each(|topic| first.subscribed(topic, QoS::AtMostOnce));
        topics[3..ONE_KEY].iter().for_each(|topic| second.subscribed(topic, QoS::AtLeastOnce));
        let last = &topics[ONE_KEY];
        assert_eq!(first.subscribe(last, QoS::AtMostOnce) != SubAckCode::Refused, own, "{flag}");
        assert_eq!(second.subscribe(last, QoS::AtLeastOnce), SubAckCode::Refused);
        let refused = format!(r#"subscriptions_refused_total{{protocol="mqtt",reason="{reason}"}}"#);
        assert_eq!(server.metric(&refused), 2);
        until("the log names the setting", || server.log().contains(&setting).then_some(()));
        let answer = upgrade_refused(&server, last, KEY);
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
        assert!(answer.contains(sentence), "{answer}");
        // One that is there can be asked for again, at another quality of service too.
        first.subscribed(&topics[0], QoS::AtLeastOnce);
        second.subscribed(&topics[3], QoS::AtMostOnce);
        let of_key =
            Client::connect_as(&server, &Hello::with_key(&second_key)).subscribe(last, QoS::AtMostOnce);
        assert_eq!(of_key != SubAckCode::Refused, same_account, "{flag}");
        let mut client = Client::connect_as(&server, &Hello::with_key(&other_key));
        let of_other = client.subscribe(other_topic, QoS::AtMostOnce);
        assert_eq!(of_other != SubAckCode::Refused, other_account, "{flag}");
        // A durable session's count while its client is away, and after a restart.
        drop((first, client));
        second.cut();
        let server = server.restart();
        let mut first = Client::connect(&server);
        topics[..3].iter().for_each(|topic| first.subscribed(topic, QoS::AtMostOnce));
        assert_eq!(first.subscribe(last, QoS::AtMostOnce), SubAckCode::Refused, "{flag}");
        // It comes back with all of them, and one that ends frees its place.
        let mut second = Client::connect_as(&server, &Hello::with_key(KEY).durable("limits"));
        assert!(second.session_present);
        second.unsubscribe(&topics[3]);
        first.subscribed(last, QoS::AtMostOnce);
    }
}

#[test]
fn topics_with_a_token_count_for_the_durable_session_s_key() {
    let server = Launch::new().flag("--subscription-bytes-per-key-max", "8192").start();
    let mut rest = server.rest();
    let topics = topics_of_a_thng(&mut rest, 14);
    let second_key = rest.operator(json!({"role": "admin"})).key;
    let with_token = |topic: &str| format!("{topic}?access_token={second_key}");
    // The token's own key is full, which does not concern the session.
    let mut full = Client::connect_as(&server, &Hello::with_key(&second_key));
    topics[..7].iter().for_each(|topic| full.subscribed(topic, QoS::AtMostOnce));
    assert_eq!(full.subscribe(&topics[7], QoS::AtMostOnce), SubAckCode::Refused);
    let of_second = server.metric("subscription_bytes");
    let mut session = Client::connect_as(&server, &Hello::with_key(KEY).durable("limits"));
    session.subscribed(&with_token(&topics[0]), QoS::AtLeastOnce);
    let one = server.metric("subscription_bytes") - of_second;
    assert!(one > 1_024, "{one}");
    let fit = 8_192 / one;
    for qos in [QoS::AtLeastOnce, QoS::AtMostOnce] {
        for topic in &topics[1..] {
            session.subscribe(&with_token(topic), qos);
            assert!(server.metric("subscription_bytes") - of_second <= 8_192, "its key has no more");
        }
    }
    let used = server.metric("subscription_bytes") - of_second;
    assert!((fit - 1) * one <= used, "{used} of {fit} times {one}");
    let refused = r#"subscriptions_refused_total{protocol="mqtt",reason="subscription_memory_per_key"}"#;
    assert!(server.metric(refused) > 1);
    // Without durability the token's key pays, which has nothing left.
    let mut connection = Client::connect_as(&server, &Hello::with_key(KEY).named("connection"));
    assert_eq!(connection.subscribe(&with_token(&topics[7]), QoS::AtMostOnce), SubAckCode::Refused);
}

/// The answer to an upgrade on this topic, as text.
fn upgrade_refused(server: &Server, topic: &str, key: &str) -> String {
    let request = format!(
        "GET {topic} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: {key}\r\n\r\n"
    );
    let enough = |bytes: &[u8]| bytes.ends_with(b"}");
    let answer = Raw::connect(server.http()).with(request.as_bytes()).read_until(enough);
    String::from_utf8(answer).expect("text")
}

#[test]
fn memory_of_subscriptions_is_released_however_they_end() {
    let server = Launch::new()
        .flag("--subscriptions-max", "20")
        .flag("--outbound-queue-messages-max", "20")
        .flag("--deliveries-in-flight-max", "5")
        .start();
    let mut rest = server.rest();
    let topics = topics_of_a_thng(&mut rest, 21);
    let topic = topics[0].as_str();
    let used = || server.metric("subscription_bytes");
    let released = |what: &str| until(what, || (used() == 0).then_some(()));
    let hello = |client_id: &str| Hello::with_key(KEY).durable(client_id);
    for round in 0..3 {
        // One by one, repeated, and refused in the middle of a SUBSCRIBE.
        let mut client = Client::connect(&server);
        let q1 = QoS::AtLeastOnce;
        let codes =
            client.subscribe_all(&[(topic, q1), ("/nothing", q1), (topic, QoS::AtMostOnce), ("#", q1)]);
        assert_eq!(codes.iter().filter(|code| **code == SubAckCode::Refused).count(), 2);
        let one = used();
        assert!(one > 1_024, "{one}");
        let codes: Vec<SubAckCode> = topics.iter().map(|topic| client.subscribe(topic, q1)).collect();
        assert_eq!(codes.last(), Some(&SubAckCode::Refused));
        assert_eq!(used(), 20 * one, "the bound of the session refused the last");
        topics.iter().for_each(|topic| client.unsubscribe(topic));
        assert_eq!(used(), 0);
        client.subscribed(topic, q1);
        match round {
            0 => client.disconnect(),
            1 => client.cut(),
            _ => {
                client.send_bytes(&[0xFF, 0xFF]);
                client.assert_closed();
            }
        }
        released("the connection has ended");

        // A token of its own that is revoked, a key that is revoked, a native WebSocket.
        let thng = rest.thng();
        let device = rest.device(&thng);
        let mut tokens = Client::connect_as(&server, &Hello::anonymous());
        let own = format!("/thngs/{}/properties/k?access_token={}", device.id, device.key);
        tokens.subscribed(&own, q1);
        let mut connected = Client::connect_as(&server, &Hello::with_key(&device.key));
        connected.subscribed(&format!("/thngs/{}/properties", device.id), q1);
        assert!(used() > 2_048);
        rest.delete(&format!("/auth/evrythng/thngs/{}", device.id)).assert_status(200);
        connected.assert_closed();
        released("the subscriptions of a revoked key have ended");
        let socket = WebSocket::open(&server, topic);
        assert!(used() > 1_024);
        socket.close();
        released("the socket is closed");

        // A client that is taken over, and one that reads too slowly.
        let named = Hello::with_key(KEY).named("twice");
        let mut first = Client::connect_as(&server, &named);
        first.subscribed(topic, q1);
        let second = Client::connect_as(&server, &named);
        first.assert_closed();
        released("the one that was taken over has ended");
        second.disconnect();
        let mut slow = Client::connect(&server);
        slow.acknowledges = false;
        slow.subscribed(topic, q1);
        rest.put(topic, (0..100).map(|value| json!({"value": value})).collect::<Value>()).assert_status(200);
        for value in 0..100 {
            rest.put(topic, json!([{ "value": value }])).assert_status(200);
        }
        released("the slow one has ended");

        // A durable session: stored, resumed, changed, refused, ended.
        let mut durable = Client::connect_as(&server, &hello("churn"));
        durable.subscribed(topic, q1);
        durable.subscribed(&topics[1], QoS::AtMostOnce);
        let stored = used();
        durable.cut();
        let mut durable = Client::connect_as(&server, &hello("churn"));
        assert_eq!(used(), stored);
        durable.subscribed(topic, QoS::AtMostOnce);
        durable.subscribed(topic, q1);
        assert_eq!(durable.subscribe("/nothing", q1), SubAckCode::Refused);
        assert_eq!(used(), stored);
        durable.unsubscribe(topic);
        durable.unsubscribe(topic);
        assert_eq!(used(), stored / 2);
        durable.cut();
        Client::connect_as(&server, &Hello::with_key(KEY).named("churn")).disconnect();
        released("the session has ended");
    }
}
