//! The journal of client events: a refused client finds the reason with its own key, and no other account does.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{ConnectCode, QoS, SubAckCode};
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Keyed, Launch, Rest, Server};

/// Letters and digits that no key consists of.
const UNKNOWN_KEY: &str = "nobodysKeynobodysKeynobodysKeynobodysKeynobodysKeynobodysKeynobodysKeynobodysKey";

const ABSENT: &str = "/products/U00000000000000000000000";

/// The events that a filter finds, newest first.
#[track_caller]
fn events(rest: &mut Rest, filter: &str) -> Vec<Value> {
    let filter = filter.replace('&', "%26").replace('>', "%3E");
    let found = rest.get(&format!("/clientEvents?perPage=100&filter={filter}")).expect(200);
    found.as_array().expect("a bare array").clone()
}

/// The newest event that a filter finds; waits until it is stored.
#[track_caller]
fn event(rest: &mut Rest, filter: &str) -> Value {
    until(format!("there is an event with {filter}"), || events(rest, filter).into_iter().next())
}

#[track_caller]
fn assert_explained(event: &Value, what: &str, reason: &str) {
    assert_eq!((&event["what"], &event["reason"]), (&json!(what), &json!(reason)), "{event}");
    for text in ["sentence", "cure"] {
        assert!(event[text].as_str().is_some_and(|text| !text.is_empty()), "{event} has a {text}");
    }
    assert!(event["at"].is_i64() && event["lastAt"].is_i64() && event["count"] == 1, "{event}");
}

fn device(server: &Server) -> Keyed {
    let mut rest = server.rest();
    let thng = rest.thng();
    rest.device(&thng)
}

/// Every refusal that MQTT has after authentication, with the client id `name`; the words are those of the event.
fn refused_by_mqtt<L: thng_pubsub_tests::link::Link>(
    connect: &dyn Fn(&Hello) -> (Client<L>, ConnectCode),
    device: &Keyed,
    name: &str,
) -> [(&'static str, &'static str); 5] {
    let hello = Hello::with_key(&device.key).named(name);
    let will = LastWill { topic: "/products".into(), payload: "[]".into(), qos: QoS::AtMostOnce };
    let (_, code) = connect(&Hello { will: Some(will), ..hello.clone() });
    assert_eq!(code, ConnectCode::NotAuthorised);
    let (mut client, code) = connect(&hello);
    assert_eq!(code, ConnectCode::Accepted);
    assert_eq!(client.subscribe("/nothing/at/all", QoS::AtMostOnce), SubAckCode::Refused);
    assert_eq!(client.subscribe(ABSENT, QoS::AtMostOnce), SubAckCode::Refused);
    let own = format!("/thngs/{}/properties?pubStates=1", device.id);
    client.publish_acknowledged(&own, "canary payload");
    client.publish_acknowledged(&format!("{ABSENT}/properties"), r#"[{"key":"a","value":1}]"#);
    client.disconnect();
    [
        ("will", "invalid_topic"),
        ("subscribe", "invalid_topic"),
        ("subscribe", "not_found"),
        ("publish", "invalid"),
        ("publish", "not_found"),
    ]
}

#[test]
fn a_client_refused_by_mqtt_finds_out_why_with_its_own_key() {
    let server = Server::start();
    let over_tcp = |hello: &Hello| Client::greeted(Raw::connect(server.mqtt()), hello);
    let over_websocket = |hello: &Hello| Client::greeted(MqttFrames::open(&server, "mqtt"), hello);
    let device = device(&server);
    let (mut operator, mut own) = (server.rest(), server.rest_as(&device.key));
    let (mut stranger, _) = server.another_account();
    for (protocol, name) in [("mqtt", "lamp-1"), ("mqtt_ws", "lamp-2")] {
        let refusals = match protocol {
            "mqtt" => refused_by_mqtt(&over_tcp, &device, name),
            _ => refused_by_mqtt(&over_websocket, &device, name),
        };
        for (what, reason) in refusals {
            let filter = format!("clientId={name}&event=refused&what={what}&reason={reason}");
            for rest in [&mut own, &mut operator] {
                let event = event(rest, &filter);
                assert_explained(&event, what, reason);
                assert_eq!(event["protocol"], protocol);
                assert_eq!(event["address"], "127.0.0.1");
                assert_eq!(
                    (&event["key"]["kind"], &event["key"]["id"]),
                    (&json!("device"), &json!(device.id))
                );
                assert_eq!(event["key"]["handle"].as_str().map(str::len), Some(12), "{event}");
            }
        }
        let topic = event(&mut own, &format!("clientId={name}&reason=invalid"))["topic"].clone();
        assert_eq!(topic, json!(format!("/thngs/{}/properties", device.id)), "without its options");
        assert_eq!(event(&mut own, &format!("clientId={name}&event=connected"))["what"], "connect");
        assert_eq!(event(&mut own, &format!("clientId={name}&event=disconnected"))["reason"], "disconnect");
    }
    let all = own.get("/clientEvents?perPage=100");
    assert!(!all.text().contains("canary") && !all.text().contains(&device.key), "{}", all.text());
    let path = format!("/thngs/{}/clientEvents?perPage=100", device.id);
    for rest in [&mut own, &mut operator] {
        assert_eq!(rest.get(&path).expect(200), all.json(), "the device's own");
    }
    stranger.get(&path).assert_status(404);
    assert_eq!(events(&mut stranger, "clientId~lamp"), Vec::<Value>::new());
}

#[test]
fn refusals_of_rest_and_native_websockets_are_found() {
    let server = Server::start();
    let device = device(&server);
    let mut own = server.rest_as(&device.key);
    own.get(ABSENT).assert_status(404);
    own.get("/products").assert_status(403);
    let properties = format!("/thngs/{}/properties", device.id);
    own.put(&properties, r#"[{"value":"canary"}]"#).assert_status(400);
    for (topic, reason) in [(ABSENT, "not_found"), ("/products", "forbidden"), (&properties, "invalid")] {
        let event = event(&mut own, &format!("protocol=rest&topic={topic}"));
        assert_explained(&event, "request", reason);
        assert_eq!((&event["event"], &event["key"]["id"]), (&json!("refused"), &json!(device.id)));
    }

    let headers = [("authorization", &*device.key)];
    assert_eq!(WebSocket::request(&server, ABSENT, &headers).err(), Some(403));
    let upgrade = event(&mut own, &format!("protocol=websocket&topic={ABSENT}"));
    assert_explained(&upgrade, "upgrade", "not_found");
    let mut socket = WebSocket::request(&server, &properties, &headers).expect("its own");
    socket.send("canary");
    socket.json();
    socket.close();
    assert_explained(&event(&mut own, "protocol=websocket&what=publish"), "publish", "invalid");
    event(&mut own, "protocol=websocket&event=connected");
    assert_eq!(event(&mut own, "protocol=websocket&event=disconnected")["reason"], "client_closed");
    let all = own.get("/clientEvents?perPage=100");
    assert!(!all.text().contains("canary") && !all.text().contains(&device.key), "{}", all.text());
}

#[test]
fn what_has_no_account_is_seen_by_the_system_account_only() {
    let server = Server::start();
    let (mut stranger, _) = server.another_account();
    let connect = |hello: &Hello| Client::greeted(Raw::connect(server.mqtt()), hello).1;
    assert_eq!(connect(&Hello::with_key(UNKNOWN_KEY).named("unknown")), ConnectCode::NotAuthorised);
    assert_eq!(connect(&Hello::with_key(KEY).in_3_1().named("")), ConnectCode::IdentifierRejected);
    let (mut anonymous, _) =
        Client::greeted(Raw::connect(server.mqtt()), &Hello::anonymous().named("keyless"));
    assert_eq!(anonymous.subscribe(ABSENT, QoS::AtMostOnce), SubAckCode::Refused);
    server.rest_as(UNKNOWN_KEY).get("/thngs").assert_status(403);
    assert_eq!(WebSocket::request(&server, ABSENT, &[]).err(), Some(401));

    let mut system = server.rest();
    for (filter, what, reason) in [
        ("clientId=unknown", "connect", "invalid_key"),
        ("protocol=mqtt&reason=empty_client_id", "connect", "empty_client_id"),
        ("clientId=keyless&event=refused", "subscribe", "no_key"),
        ("protocol=rest&address=127.0.0.1&topic=/thngs", "request", "invalid_key"),
        ("protocol=websocket&event=refused", "upgrade", "no_key"),
    ] {
        let event = event(&mut system, filter);
        assert_explained(&event, what, reason);
        assert_eq!(event["key"], Value::Null, "the handle of no key of ours: {event}");
        assert_eq!(events(&mut stranger, filter), Vec::<Value>::new());
    }
    assert!(!system.get("/clientEvents?perPage=100").text().contains(UNKNOWN_KEY));
}

#[test]
fn a_setting_names_the_account_that_sees_what_has_none() {
    let server = Server::start();
    let (mut other, _) = server.another_account();
    let id = other.account();
    let server = server.restart_with(|launch| launch.flag("--system-account", &id));
    let mut other = server.rest_as(&other_key(&server, &id));
    let (_, code) =
        Client::greeted(Raw::connect(server.mqtt()), &Hello::with_key(UNKNOWN_KEY).named("unknown"));
    assert_eq!(code, ConnectCode::NotAuthorised);
    assert_explained(&event(&mut other, "clientId=unknown"), "connect", "invalid_key");
    assert_eq!(events(&mut server.rest(), "clientId=unknown"), Vec::<Value>::new());
}

/// One more key of an account that may do everything.
fn other_key(server: &Server, account: &str) -> String {
    let arguments = [
        "keys",
        "create",
        "--account",
        account,
        "--operator",
        "ada@example.com",
        "--role",
        "admin",
        "--json",
    ];
    let made: Value = serde_json::from_str(&server.administer(&arguments).printed()).expect("an object");
    thng_pubsub_tests::keys::text(&made, "key")
}

#[test]
fn a_revoked_key_is_attributed_to_its_account() {
    let server = Server::start();
    let (mut other, _) = server.another_account();
    let thng = other.thng();
    let device = other.device(&thng);
    let mut client = Client::connect_as(&server, &Hello::with_key(&device.key).named("revoked"));
    other.delete(&format!("/auth/evrythng/thngs/{thng}")).assert_status(200);
    client.assert_closed();
    let ended = event(&mut other, "clientId=revoked&event=revoked");
    assert_eq!((&ended["reason"], &ended["key"]["id"]), (&json!("revoked"), &json!(thng)));

    let hello = Hello::with_key(&device.key).named("again");
    let (_, code) = Client::greeted(Raw::connect(server.mqtt()), &hello);
    assert_eq!(code, ConnectCode::NotAuthorised);
    server.rest_as(&device.key).get("/access").assert_status(403);
    for filter in ["clientId=again", "protocol=rest&topic=/access"] {
        let refused = event(&mut other, filter);
        assert_eq!((&refused["reason"], &refused["key"]["id"]), (&json!("invalid_key"), &json!(thng)));
        assert_eq!(events(&mut server.rest(), filter), Vec::<Value>::new(), "it has an account");
    }
    let topic = format!("/thngs/{thng}?access_token={}", device.key);
    let (mut keyless, _) =
        Client::greeted(Raw::connect(server.mqtt()), &Hello::anonymous().named("by-token"));
    assert_eq!(keyless.subscribe(&topic, QoS::AtMostOnce), SubAckCode::Refused);
    let refused = event(&mut other, "clientId=by-token");
    assert_eq!((&refused["reason"], &refused["key"]["id"]), (&json!("invalid_key"), &json!(thng)));
    let all = other.get("/clientEvents?perPage=100");
    assert!(!all.text().contains(&device.key) && !all.text().contains("access_token"), "{}", all.text());
}

#[test]
fn a_take_over_is_an_event_and_outlives_a_restart() {
    let server = Server::start();
    let hello = Hello::with_key(KEY).named("twin");
    let mut first = Client::connect_as(&server, &hello);
    let second = Client::connect_as(&server, &hello);
    first.assert_closed();
    assert_eq!(event(&mut server.rest(), "clientId=twin&event=takenOver")["reason"], "taken_over");
    drop(second);
    let server = server.restart();
    assert_eq!(events(&mut server.rest(), "clientId=twin&event=takenOver").len(), 1);
}

#[test]
fn equal_events_of_a_minute_are_one_with_a_count() {
    let server = Server::start();
    let mut client = Client::connect_as(&server, &Hello::with_key(KEY).named("noisy"));
    for _ in 0..50 {
        assert_eq!(client.subscribe(ABSENT, QoS::AtMostOnce), SubAckCode::Refused);
    }
    let mut rest = server.rest();
    let counted = |rest: &mut Rest, count: i64| {
        until(format!("{count} are counted"), || {
            let found = events(rest, "clientId=noisy&what=subscribe");
            let sum: i64 = found.iter().filter_map(|event| event["count"].as_i64()).sum();
            (sum == count).then_some(found.len())
        })
    };
    assert!(counted(&mut rest, 50) <= 2, "one, or two around the end of a minute");
    for _ in 0..10 {
        assert_eq!(client.subscribe(ABSENT, QoS::AtMostOnce), SubAckCode::Refused);
    }
    assert!(counted(&mut rest, 60) <= 2, "also with one that is stored");
    let event = event(&mut rest, "clientId=noisy&what=subscribe&count>1");
    assert!(event["lastAt"].as_i64() >= event["at"].as_i64(), "{event}");
}

#[test]
fn events_are_listed_in_pages_newest_first() {
    let server = Server::start();
    for number in 0..5 {
        Client::connect_as(&server, &Hello::with_key(KEY).named(&format!("paged-{number}"))).disconnect();
        event(&mut server.rest(), &format!("clientId=paged-{number}&event=disconnected"));
    }
    let mut rest = server.rest();
    let names = |parts: Vec<Vec<Value>>| -> Vec<String> {
        parts
            .into_iter()
            .flatten()
            .map(|event| event["clientId"].as_str().unwrap_or_default().into())
            .collect()
    };
    let path = "/clientEvents?perPage=2&filter=event=connected%26clientId~paged";
    assert_eq!(names(rest.parts(path)), ["paged-4", "paged-3", "paged-2", "paged-1", "paged-0"]);
    let ascending = format!("{path}&sortOrder=ASCENDING");
    assert_eq!(names(rest.parts(&ascending)), ["paged-0", "paged-1", "paged-2", "paged-3", "paged-4"]);
    rest.get("/clientEvents?filter=(").assert_status(400);
}

#[test]
fn a_key_with_few_rights_sees_only_its_own_events() {
    let server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let device = rest.device(&thng);
    let token = rest.access_token(&["thngs:read,list"], &[]);
    let project = rest.project();
    let application = rest.application(&project);
    Client::connect_as(&server, &Hello::with_key(&device.key).named("secret-name")).disconnect();
    Client::connect_as(&server, &Hello::with_key(&token.key).named("token-name")).disconnect();
    event(&mut rest, "clientId=secret-name&event=disconnected");
    let mut own = server.rest_as(&token.key);
    event(&mut own, "clientId=token-name&event=connected");
    assert_eq!(events(&mut own, "clientId=secret-name"), Vec::<Value>::new());
    let mut secret = server.rest_as(&application.secret_key);
    assert_eq!(events(&mut secret, "clientId~name"), Vec::<Value>::new());
    // All installations of an application share its public key.
    server.rest_as(&application.public_key).get("/clientEvents").assert_status(403);
}

#[test]
fn events_of_a_visible_thng_need_a_right_of_their_own() {
    let server = Server::start();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let thng = rest.id_of(&format!("/thngs?project={project}"), json!({"name": "n"}));
    let device = rest.device(&thng);
    Client::connect_as(&server, &Hello::with_key(&device.key).named("watched")).disconnect();
    event(&mut rest, "clientId=watched&event=disconnected");
    let role = rest.id_of("/roles", json!({"name": "guests", "type": "userInApp", "version": 2}));
    let grants = json!([{"path": "/thngs", "access": "r"}]);
    rest.put(&format!("/roles/{role}/permissions"), grants).assert_status(200);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let reading = rest.access_token(&["thngs:read"], &[]);
    let permitted = rest.access_token(&["thngs:read", "thngs.clientEvents:list"], &[]);
    let (visible, its_events) = (format!("/thngs/{thng}"), format!("/thngs/{thng}/clientEvents"));
    let assert_refused = |key: &str| {
        let mut own = server.rest_as(key);
        own.get(&visible).assert_status(200);
        own.get(&its_events).assert_status(403);
    };
    assert_refused(&user.key);
    assert_refused(&reading.key);
    let application = format!("/projects/{project}/applications/{}", application.id);
    rest.put(&application, json!({"defaultRole": role})).assert_status(200);
    assert_refused(&user.key);
    for key in [&device.key, &permitted.key, server.key()] {
        let found = server.rest_as(key).get(&its_events).expect(200);
        assert!(found.as_array().is_some_and(|events| !events.is_empty()), "{found}");
    }
}

#[test]
fn a_client_id_that_could_be_a_key_is_not_shown() {
    let server = Server::start();
    let id = format!("id-{KEY}");
    Client::connect_as(&server, &Hello::with_key(KEY).named(&id)).disconnect();
    event(&mut server.rest(), "clientId~id-&event=connected");
    assert!(!server.rest().get("/clientEvents").text().contains(KEY));
}

#[test]
fn stored_events_are_bounded_in_number() {
    let server = Launch::new().flag("--client-events-max", "5").start();
    for number in 0..12 {
        Client::connect_as(&server, &Hello::with_key(KEY).named(&format!("many-{number}"))).disconnect();
    }
    let mut rest = server.rest();
    event(&mut rest, "clientId=many-11&event=disconnected");
    assert_eq!(events(&mut rest, "count>0").len(), 5);
    assert_eq!(server.metric("client_events"), 5);
}

#[test]
fn events_beyond_the_buffer_are_dropped_and_counted() {
    let server = Launch::new().flag("--client-events-buffer-max", "2").start();
    let mut client = Client::connect(&server);
    let filters: Vec<String> = (10..40).map(|n| format!("/thngs/U000000000000000000000{n}")).collect();
    let filters: Vec<_> = filters.iter().map(|filter| (&**filter, QoS::AtMostOnce)).collect();
    client.subscribe_all(&filters);
    assert!(server.metric(r#"client_events_dropped_total{reason="buffer"}"#) >= 20);
    client.ping();
}

#[test]
fn a_journal_that_is_off_records_nothing() {
    let server = Launch::new().flag("--client-events-max", "0").start();
    Client::connect(&server).disconnect();
    server.rest().get(ABSENT).assert_status(404);
    assert_eq!(server.rest().get("/clientEvents").expect(200), json!([]));
    assert!(!server.data().join("client-events.db").exists());
}

#[test]
fn a_journal_that_cannot_be_read_begins_anew() {
    let server = Server::start();
    let data = server.data().join("client-events.db");
    let mut server = server;
    server.terminate();
    std::fs::write(&data, [b'x'; 10_000]).expect("the file is ours");
    let server = server.restart();
    Client::connect_as(&server, &Hello::with_key(KEY).named("anew")).disconnect();
    event(&mut server.rest(), "clientId=anew&event=connected");
}
