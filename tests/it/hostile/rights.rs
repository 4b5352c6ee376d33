//! The ways round their rights that MQTT clients have found in other brokers: client ids, wildcards, wills, initial
//! states and take-overs.
//!
//! The ways round by REST are in `rest/rights.rs`; `docs/security.md` numbers the bug classes.

use serde_json::json;
use thng_pubsub_protocol::mqtt::{ConnectCode, Packet, QoS, SubAckCode};
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill, Received};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{KEY, Keyed, Launch, Rest, Server, WAIT_MAX};

fn property(thng: &str) -> String {
    format!("/thngs/{thng}/properties/k")
}

fn value(value: &str) -> String {
    format!(r#"[{{"value":"{value}"}}]"#)
}

/// A device, the topic that it may use, and one that it may not.
#[track_caller]
fn device(rest: &mut Rest) -> (Keyed, String, String) {
    let (thng, other) = (rest.thng(), rest.thng());
    (rest.device(&thng), property(&thng), property(&other))
}

#[track_caller]
fn history(rest: &mut Rest, topic: &str) -> usize {
    rest.get(topic).expect(200).as_array().map_or(0, Vec::len)
}

#[track_caller]
fn operators_id(rest: &mut Rest) -> String {
    let access = rest.get("/access").expect(200);
    access["actor"]["id"].as_str().expect("an operator").to_owned()
}

/// Bug class 6: a client id or user name that is a pattern (CVE-2017-7650).
#[test]
fn client_id_and_user_name_grant_no_rights() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (device, own, other) = device(&mut rest);
    let others_thng = other.split('/').nth(2).expect("its id").to_owned();
    let operator = operators_id(&mut rest);
    for id in
        ["#", "+", "/", "/#", "+/+", "..%2f", "../..", "%2b", "%u", "$SYS", "*", KEY, &others_thng, &operator]
    {
        for hello in [Hello::with_key(&device.key).named(id), Hello::with_key(&device.key).named(id).in_3_1()]
        {
            let mut client = Client::connect_as(server, &hello);
            client.subscribed(&own, QoS::AtMostOnce);
            assert_eq!(client.subscribe(&other, QoS::AtMostOnce), SubAckCode::Refused, "{id}");
            assert_eq!(
                client.subscribe("/thngs/+/properties/k", QoS::AtMostOnce),
                SubAckCode::Refused,
                "{id}"
            );
            assert_eq!(client.publish_refused(&other, &value("by its id"))["status"], 403, "{id}");
            for user_name in [id, &format!("authorization{id}"), &format!("{id}authorization")] {
                let hello = Hello { user_name: Some(user_name.to_owned()), ..hello.clone() };
                let (mut client, code) = Client::greeted(Raw::connect(server.mqtt()), &hello);
                assert_eq!(code, ConnectCode::NotAuthorised, "{user_name}");
                client.assert_closed();
            }
        }
    }
    assert_eq!(history(&mut rest, &other), 0);
}

/// Bug class 7: a wildcard that reaches more than its client's scope (CVE-2026-49186).
#[test]
fn a_wildcard_reaches_nothing_however_it_is_written() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (device, own, other) = device(&mut rest);
    let thng = format!("/thngs/{}", device.id);
    for key in [&*device.key, KEY] {
        let mut client = Client::connect_as(server, &Hello::with_key(key));
        for filter in [
            "#",
            "/#",
            "+",
            "/+",
            "+/+/+",
            "/+/+/+/+",
            "/thngs/#",
            "/thngs/+",
            "/thngs/+/#",
            "/thngs/+/properties",
            "/thngs/+/properties/k",
            "/thngs/+/properties/+",
            "/thngs/*/properties/k",
            "/actions/#",
            "/actions/+",
            "$SYS/#",
            "$share/g/#",
            "/thngs/%2b/properties/k",
            "/thngs/%23",
            "/%23",
            "%23",
            "/thngs/%2B/%23",
        ] {
            assert_eq!(client.subscribe(filter, QoS::AtMostOnce), SubAckCode::Refused, "{filter}");
            // In a URL a `#` would end the path.
            if !filter.contains('#') {
                let status = WebSocket::request(server, filter, &[("Authorization", key)]).err();
                assert!(matches!(status, Some(403 | 404)), "{filter} as a WebSocket: {status:?}");
            }
        }
        for end in
            ["#", "+", "properties/#", "properties/+", "properties/%2b", "+/k", "properties/k/#", "%2e%2e/+"]
        {
            let filter = format!("{thng}/{end}");
            assert_eq!(client.subscribe(&filter, QoS::AtMostOnce), SubAckCode::Refused, "{filter}");
        }
        let shared = format!("$share/g{own}");
        assert_eq!(client.subscribe(&shared, QoS::AtMostOnce), SubAckCode::Refused, "{shared}");

        client.subscribed(&own, QoS::AtMostOnce);
        rest.put(&other, value("somebody else's")).assert_status(200);
        rest.put(&own, value("its own")).assert_status(200);
        assert_eq!(client.message().value(), "its own");
        client.assert_nothing_else();
    }
}

/// Bug class 7, where the topic itself is as wide as a wildcard.
#[test]
fn the_topic_of_all_actions_shows_only_the_keys_own_project() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (own, foreign) = (rest.project(), rest.project());
    let application = rest.application(&own);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut client = Client::connect_as(server, &Hello::with_key(&user.key));
    let mut socket =
        WebSocket::request(server, "/actions/all", &[("Authorization", &user.key)]).expect("granted");
    client.subscribed("/actions/all", QoS::AtMostOnce);
    client.subscribed(&format!("/actions/scans?project={foreign}"), QoS::AtMostOnce);
    for project in [&format!("?project={foreign}"), "", &format!("?project={own}")] {
        let marker = json!({"customFields": {"project": project}});
        rest.post(&format!("/actions/scans{project}"), marker).assert_status(201);
    }
    let last = json!(format!("?project={own}"));
    assert_eq!(client.message().json()["customFields"]["project"], last);
    assert_eq!(socket.json()["customFields"]["project"], last);
    client.assert_nothing_else();
}

/// Bug class 8: a will that goes where its client could not publish (Mosquitto 2.0.16: `$CONTROL`).
#[test]
fn a_will_goes_nowhere_that_its_client_could_not_publish_to() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (device, own, other) = device(&mut rest);
    let mut watcher = Client::connect(server);
    watcher.subscribed(&other, QoS::AtLeastOnce);
    watcher.subscribed("/actions", QoS::AtLeastOnce);
    let will_on = |topic: &str, payload: String| {
        let will = LastWill { topic: topic.to_owned(), payload, qos: QoS::AtLeastOnce };
        Hello { will: Some(will), ..Hello::with_key(&device.key) }
    };
    let unknown_token = format!("{own}?access_token={}", KEY.to_lowercase());
    for (topic, payload) in [
        (&*other, value("by a will")),
        (&unknown_token, value("by a will")),
        (&other.replace("/properties/k", "/properties"), r#"[{"key":"k","value":1}]"#.to_owned()),
        (&other.replace("/properties/k", ""), r#"{"name":"mine"}"#.to_owned()),
        ("/actions", r#"{"name":"_by_a_will"}"#.to_owned()),
        ("/batches/Uabcdefghkmnpqrstwxy0123/tasks", "{}".to_owned()),
        ("$SYS", "1".to_owned()),
        ("/$SYS/broker/uptime", "1".to_owned()),
        ("$CONTROL/dynamic-security/v1", r#"{"commands":[]}"#.to_owned()),
        ("/access", "{}".to_owned()),
        ("/mqtt", "{}".to_owned()),
        ("/", "1".to_owned()),
    ] {
        let (mut client, code) = Client::greeted(Raw::connect(server.mqtt()), &will_on(topic, payload));
        assert_eq!(code, ConnectCode::NotAuthorised, "{topic}");
        client.assert_closed();
    }
    for topic in ["", "#", "/thngs/+/properties/k", "a\0b"] {
        let mut client = Client::on(Raw::connect(server.mqtt()));
        client.send_bytes(&will_bytes(topic, &device.key));
        assert!(!is_accepted(&mut client), "a will on {topic:?}");
    }
    let mut device = Client::connect_as(server, &will_on(&own, value("its own")));
    device.ping();
    rest.put(&other, value("a marker")).assert_status(200);
    assert_eq!(watcher.message().value(), "a marker");
    watcher.assert_nothing_else();
    assert_eq!(history(&mut rest, &other), 1);
}

/// A CONNECT whose will's topic the encoder would refuse.
fn will_bytes(topic: &str, key: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\xc6\x00\x3c".to_vec();
    for field in ["", topic, "1", "authorization", key] {
        body.extend(u16::try_from(field.len()).expect("short").to_be_bytes());
        body.extend(field.bytes());
    }
    let length = u8::try_from(body.len()).expect("short");
    [&[0x10, 0x80 | length & 0x7f, length >> 7], &*body].concat()
}

/// Whether a CONNECT was answered with CONNACK 0; else it was refused, or the connection has ended.
#[track_caller]
fn is_accepted(client: &mut Client) -> bool {
    let answer = client.next_within(WAIT_MAX).expect("an answer, or the end");
    matches!(answer, Ok(Received::ConnAck { code: ConnectCode::Accepted, .. }))
}

/// Bug class 8: a will is authorized again when it fires, and is not lost by a change that leaves the key as it is
/// (EMQX 15170).
#[test]
fn a_will_is_checked_when_published_with_the_rights_of_connect() {
    let server = Server::start();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let scoped = format!("/thngs?project={project}");
    let not_written = || server.log().matches("a will was not published").count();
    for (n, what) in ["nothing", "taken from view", "deleted", "less rights"].into_iter().enumerate() {
        let thng = rest.id_of(&scoped, json!({"name": what}));
        let topic = property(&thng);
        let token = rest.access_token(&["thngs:read", "thngs.properties:*"], &[]);
        let key = match what {
            "less rights" => token.key.clone(),
            _ => server.rest_as(&application.public_key).anonymous_user().key,
        };
        let will = LastWill { topic: topic.clone(), payload: value("gone"), qos: QoS::AtMostOnce };
        let client = Client::connect_as(&server, &Hello { will: Some(will), ..Hello::with_key(&key) });
        let before = not_written();
        match what {
            "taken from view" => {
                let scopes = json!({"scopes": {"projects": [], "users": []}});
                rest.put(&format!("/thngs/{thng}"), scopes).assert_status(200);
            }
            "deleted" => rest.delete(&format!("/thngs/{thng}")).assert_status(200),
            "less rights" => {
                let policy = rest.access_policy(&["places:read"]);
                let fewer = json!({"policies": [policy]});
                rest.put(&format!("/accessTokens/{}", token.id), fewer).assert_status(200);
            }
            _ => {}
        }
        client.cut();
        if matches!(n, 1 | 2) {
            until(format!("the will was refused: {what}"), || (not_written() > before).then_some(()));
        } else {
            until(format!("the will is written: {what}"), || (history(&mut rest, &topic) == 1).then_some(()));
        }
        if n == 1 {
            assert_eq!(history(&mut rest, &topic), 0, "{what}");
        }
    }
}

/// Bug class 9: the last value of what was deleted or taken from view (CVE-2018-12546).
#[test]
fn rights_are_checked_again_when_an_initial_state_is_sent() {
    // One message may be open, and it is not acknowledged: so the states wait until this test says so.
    let server = Launch::new().flag("--deliveries-in-flight-max", "1").start();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut thng = |name: &str| {
        let thng = rest.id_of(&format!("/thngs?project={project}"), json!({"name": name}));
        rest.put(&property(&thng), value(name)).assert_status(200);
        thng
    };
    let [seen, hidden, deleted, emptied, last] =
        ["seen", "hidden", "deleted", "emptied", "last"].map(&mut thng);
    let states = |thng: &str| format!("{}?pubStates=1", property(thng));

    let mut client = Client::connect_as(&server, &Hello::with_key(&user.key));
    client.acknowledges = false;
    client.subscribed(&states(&seen), QoS::AtLeastOnce);
    client.subscribed(&format!("{}&n=2", states(&seen)), QoS::AtLeastOnce);
    for thng in [&hidden, &deleted, &emptied, &last] {
        client.subscribed(&states(thng), QoS::AtLeastOnce);
    }
    let first = client.message();
    let scopes = json!({"scopes": {"projects": [], "users": []}});
    rest.put(&format!("/thngs/{hidden}"), scopes).assert_status(200);
    rest.delete(&format!("/thngs/{deleted}")).assert_status(200);
    rest.delete(&property(&emptied)).assert_status(200);

    client.acknowledges = true;
    client.send(&Packet::PubAck(first.packet_id.expect("QoS 1")));
    assert_eq!(client.message().value(), "seen");
    assert_eq!(client.message().value(), "last", "nothing of the three between");

    for gone in [&hidden, &deleted] {
        assert_eq!(client.subscribe(&states(gone), QoS::AtLeastOnce), SubAckCode::Refused);
        let refused = WebSocket::request(&server, &states(gone), &[("Authorization", &user.key)]);
        assert_eq!(refused.err(), Some(403));
    }
    client.subscribed(&states(&emptied), QoS::AtLeastOnce);
    client.subscribed(&format!("{}&n=2", states(&last)), QoS::AtLeastOnce);
    assert_eq!(client.message().value(), "last");
    client.assert_nothing_else();
}

/// Bug class 12: a client id that another key takes over (CVE-2026-6564).
#[test]
fn the_same_client_id_with_another_key_is_another_client() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (device, own, other) = device(&mut rest);
    let mut first = Client::connect_as(server, &Hello::with_key(KEY).named("the same"));
    first.subscribed(&other, QoS::AtLeastOnce);
    for clean_session in [true, false] {
        let hello = Hello { clean_session, ..Hello::with_key(&device.key).named("the same") };
        // That no session is present is asserted by the harness.
        let mut second = Client::connect_as(server, &hello);
        second.subscribed(&own, QoS::AtLeastOnce);
        second.unsubscribe(&other);
        rest.put(&other, value("for the first")).assert_status(200);
        rest.put(&own, value("for the second")).assert_status(200);
        assert_eq!(second.message().value(), "for the second");
        second.assert_nothing_else();
        assert_eq!(first.message().value(), "for the first");
    }
    first.assert_nothing_else();
}

/// Bug class 12: two clients that take over from each other without end.
#[test]
fn a_storm_of_take_overs_leaves_one_connection_and_no_memory() {
    let server = Server::start();
    let topic = property(&server.rest().thng());
    let hello = Hello::with_key(KEY).named("the same");
    let storm = |times| {
        let mut last = Client::connect_as(&server, &hello);
        for _ in 0..times {
            let mut next = Client::connect_as(&server, &hello);
            next.subscribed(&topic, QoS::AtLeastOnce);
            last.assert_closed_after("the take-over");
            last = next;
        }
        last
    };
    drop(storm(300));
    let before = server.resident_bytes();
    let mut last = storm(600);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes after 600 take-overs");
    until("one connection is left", || (server.metric(r#"connections{protocol="mqtt"}"#) == 1).then_some(()));
    last.publish_acknowledged(&topic, &value("still here"));
    assert_eq!(last.message().value(), "still here");
}
