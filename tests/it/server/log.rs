//! The log: where it goes, that clients cannot fill it, and what it never contains.

use std::time::Instant;

use thng_pubsub_protocol::mqtt::{ConnectCode, QoS};
use thng_pubsub_tests::link::{Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill};
use thng_pubsub_tests::tls::Trust;
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Rest, Server, WAIT_MAX};

#[test]
fn the_log_goes_to_standard_error_and_its_filter_is_a_setting() {
    let quiet = Launch::new().flag("--log", "error").start();
    quiet.assert_serves();
    assert_eq!(quiet.log(), "", "nothing went wrong");

    let chatty = Launch::new().flag("--log", "debug").start();
    chatty.assert_serves();
    assert!(!chatty.log().is_empty(), "a start is worth a line");
}

#[test]
fn a_refused_publish_is_logged_and_counted_with_its_reason() {
    let server = Server::start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut client = Client::connect(&server);
    client.publish(&topic, "[{");
    client.publish("/thngs/Uabcdefghkmnpqrstwxy0123/properties/k", r#"[{"value":1}]"#);
    client.ping();
    let mut keyless = Rest::new(server.http(), None);
    for reason in ["invalid", "not_found"] {
        until(format!("a metric and the log show a refusal because of {reason}"), || {
            let metrics = keyless.send("GET", "/metrics", &[], None);
            let labelled = format!("reason=\"{reason}\"");
            let counted =
                |line: &str| line.contains("refused") && line.contains(&labelled) && line.ends_with(" 1");
            let logged = |line: &str| line.contains("refused") && line.contains(reason);
            (metrics.text().lines().any(counted) && server.log().lines().any(logged)).then_some(())
        });
    }
}

#[test]
fn refusals_are_logged_with_key_owner_and_topic_without_options() {
    let server = Server::start();
    let mut rest = server.rest();
    let (own, other) = (rest.thng(), rest.thng());
    let device = rest.device(&own);
    let topic = format!("/thngs/{other}/properties/k");
    let payload = r#"[{"value":1}]"#;
    let will =
        LastWill { topic: format!("{topic}?project=x"), payload: payload.into(), qos: QoS::AtMostOnce };
    let (mut client, code) = Client::greeted(
        Raw::connect(server.mqtt()),
        &Hello { will: Some(will), ..Hello::with_key(&device.key) },
    );
    assert_eq!(code, ConnectCode::NotAuthorised);
    client.assert_closed();

    let mut client = Client::connect_as(&server, &Hello::with_key(&device.key));
    client.subscribe(&format!("{topic}/?pubStates=1"), QoS::AtLeastOnce);
    client.publish(&format!("{topic}?project=Uabcdefghkmnpqrstwxy0123"), payload);
    client.ping();
    // With a token of its own it is the token's owner who was refused.
    let mut anonymous = Client::connect_as(&server, &Hello::anonymous());
    anonymous.subscribe(&format!("{topic}?access_token={}", device.key), QoS::AtLeastOnce);
    let socket =
        WebSocket::request(&server, &format!("{topic}?pubStates=1"), &[("Authorization", &device.key)]);
    assert!(socket.is_err());
    for (what, protocol, times) in [
        ("a will was refused", "mqtt", 1),
        ("a subscription was refused", "mqtt", 2),
        ("a publish was refused", "mqtt", 1),
        ("an upgrade was refused", "websocket", 1),
    ] {
        let parts =
            [what, &format!("protocol=\"{protocol}\""), &format!("key={own} topic=\"{topic}"), "reason="];
        until(format!("{times} lines say that {what}"), || {
            let log = server.log();
            let lines = log.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
            (lines.filter(|line| !line.contains('?')).count() == times).then_some(())
        });
    }
}

/// Has the server refuse something 5,000 times. Expects a few log lines a second, whose `suppressed` counts the rest, and
/// a metric that counts all.
#[track_caller]
fn assert_counted_and_seldom_logged(line: &str, metric: &str, mut five_hundred_times: impl FnMut(&Server)) {
    const REFUSALS: u64 = 5_000;
    let server = Server::start();
    let lines = |log: &str| log.lines().filter(|it| it.contains(line)).count() as u64;
    let suppressed = |log: &str| -> u64 {
        let numbers = log.lines().filter_map(|line| line.split_once("suppressed=")?.1.split(' ').next());
        numbers.filter_map(|number| number.parse::<u64>().ok()).sum()
    };
    let started = Instant::now();
    (0..REFUSALS / 500).for_each(|_| five_hundred_times(&server));
    until(format!("{metric} counts all of them"), || (server.metric(metric) == REFUSALS).then_some(()));

    let log = until("the log has a line for each of them, or tells how many it left out", || {
        five_hundred_times(&server);
        let log = server.log();
        (suppressed(&log) + lines(&log) >= REFUSALS).then_some(log)
    });
    // At most 20 lines in each second that has begun.
    let lines_max = 20 * (started.elapsed().as_secs() + 2);
    let written = lines(&log);
    assert!(written <= lines_max, "{written} lines {line:?} for {REFUSALS} refusals");
}

#[test]
fn refused_publishes_are_all_counted_and_sparsely_logged() {
    let mut client = None;
    assert_counted_and_seldom_logged(
        "a publish was refused",
        r#"publishes_refused_total{protocol="mqtt",reason="invalid"}"#,
        |server| {
            let (client, topic) = client.get_or_insert_with(|| {
                (Client::connect(server), format!("/thngs/{}/properties/k", server.rest().thng()))
            });
            (0..500).for_each(|_| client.publish(topic, "[{"));
            client.ping();
        },
    );
}

#[test]
fn refused_subscriptions_are_all_counted_and_sparsely_logged() {
    let mut client = None;
    assert_counted_and_seldom_logged(
        "a subscription was refused",
        r#"subscriptions_refused_total{protocol="mqtt",reason="not_found"}"#,
        |server| {
            let client = client.get_or_insert_with(|| Client::connect(server));
            client.subscribe_all(&[("/thngs/Uabcdefghkmnpqrstwxy0123", QoS::AtMostOnce); 500]);
        },
    );
}

#[test]
fn refused_upgrades_are_all_counted_and_sparsely_logged() {
    assert_counted_and_seldom_logged(
        "an upgrade was refused",
        r#"subscriptions_refused_total{protocol="websocket",reason="not_found"}"#,
        |server| {
            for _ in 0..500 {
                let headers = [("Authorization", server.key())];
                let refused = WebSocket::request(server, "/thngs/Uabcdefghkmnpqrstwxy0123", &headers);
                assert_eq!(refused.err(), Some(403));
            }
        },
    );
}

#[test]
fn refused_connects_are_all_counted_and_sparsely_logged() {
    let unknown = Hello::with_key(&KEY.to_lowercase()).bytes();
    assert_counted_and_seldom_logged(
        "connection ended",
        r#"connections_refused_total{protocol="mqtt",reason="invalid_key"}"#,
        |server| {
            for _ in 0..500 {
                Raw::connect(server.mqtt()).with(&unknown).until_closed();
            }
        },
    );
}

/// What no log may show, wherever it was written: a part of every payload below.
const MARKER: &str = "NobodyMayReadThisInALog";

/// Payloads that are stored and payloads that are refused, for different reasons, each with the marker in it.
fn payloads() -> [String; 5] {
    [
        format!(r#"[{{"value":"{MARKER}"}}]"#),
        format!("\"{MARKER}\""),
        format!(r#"[{{"value":"{MARKER}"#),
        format!(r#"[{{"value":1,"timestamp":"{MARKER}"}}]"#),
        format!(r#"{{"{MARKER}":1}}"#),
    ]
}

/// Writes, watches and is refused over REST, with the key in every allowed position.
fn drive_rest(server: &Server, topic: &str) {
    let thng = topic.split("/properties").next().expect("a path");
    let mut rest = server.rest();
    let mut in_query = Rest::new(server.http(), None);
    let made =
        format!(r#"{{"name":"{MARKER}","properties":{{"k":"{MARKER}"}},"customFields":{{"c":"{MARKER}"}}}}"#);
    rest.post("/thngs", &*made).assert_status(201);
    rest.put(thng, &*made).assert_status(200);
    rest.post("/thngs", &made[1..]).assert_status(400);
    for payload in payloads() {
        rest.put(topic, &*payload);
        in_query.put(&format!("{topic}?access_token={KEY}"), payload);
    }
    for path in ["/thngs", thng, topic, "/access"] {
        rest.get(path).assert_status(200);
        in_query.get(&format!("{path}?access_token={KEY}")).assert_status(200);
    }
    let wrong = KEY.to_lowercase();
    in_query.get(&format!("/access?access_token={wrong}")).assert_status(403);
    Rest::new(server.http(), Some(&wrong)).get("/access").assert_status(403);
}

/// As [`drive_rest`], on a native WebSocket.
fn drive_websocket(server: &Server, topic: &str) {
    let by_query = format!("{topic}?pubStates=1&access_token={KEY}");
    let mut sockets = [
        WebSocket::open(server, topic),
        WebSocket::request(server, &by_query, &[]).expect("a key in the query"),
    ];
    for payload in payloads() {
        for socket in &mut sockets {
            socket.send(payload.clone());
            let _ = socket.json();
        }
    }
    let wrong = KEY.to_lowercase();
    for path in [format!("{topic}?access_token={wrong}"), format!("/nothing?access_token={KEY}")] {
        assert!(WebSocket::request(server, &path, &[]).is_err());
    }
}

/// As [`drive_rest`], over MQTT, in whatever it travels.
fn drive_mqtt<L: Link>(connect: impl Fn() -> L, topic: &str) {
    let will = LastWill { topic: topic.to_owned(), payload: payloads()[0].clone(), qos: QoS::AtMostOnce };
    let hello = Hello { will: Some(will), ..Hello::with_key(KEY) };
    let states = format!("{topic}?pubStates=1&access_token={KEY}");
    let mut watcher = Client::accepted(connect(), &Hello::anonymous());
    watcher.subscribed(&states, QoS::AtLeastOnce);
    watcher.subscribe(&format!("/nothing?access_token={KEY}"), QoS::AtMostOnce);
    for payload in payloads() {
        let mut client = Client::accepted(connect(), &hello);
        client.publish(topic, &payload);
        client.publish(&format!("{topic}?access_token={KEY}"), &payload);
        client.publish(&format!("/thngs/{KEY}/properties/{}", KEY.to_lowercase()), &payload);
        client.publish_unacknowledged(topic, &payload);
        // Its PUBACK, or its end.
        assert!(client.next_within(WAIT_MAX).is_some());
        client.cut();
    }
    let _ = watcher.message();
    watcher.cut();
    let (_, code) = Client::greeted(connect(), &Hello::with_key(&KEY.to_lowercase()));
    assert_ne!(code, ConnectCode::Accepted);
}

/// A user's password, which is sent and never shown.
const PASSWORD: &str = "PasswordThatNobodyMayReadAnywhere";

/// Makes a key of every kind, and signs a user of an application up and in, rightly and wrongly. Returns all secrets
/// that were made.
fn drive_keys(server: &Server) -> Vec<String> {
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let mut app = Rest::new(server.http(), Some(&application.public_key));
    let thng = rest.thng();
    let device = rest.device(&thng);
    let token = rest.access_token(&["thngs:read"], &[]);
    let by_command = server.administer(&["keys", "create", "--operator", "operator@localhost"]).printed();
    let mut secrets = vec![application.public_key.clone(), application.secret_key, device.key, token.key];
    secrets.push(by_command.trim().to_owned());
    // Each is used, by header, by parameter and in a CONNECT.
    for key in &secrets {
        Rest::new(server.http(), Some(key)).get("/access");
        Rest::new(server.http(), None).get(&format!("/access?access_token={key}"));
        let mut client = Client::connect_as(server, &Hello::with_key(key));
        client.subscribe(&format!("/thngs/{thng}?access_token={key}"), QoS::AtLeastOnce);
    }
    let user =
        format!(r#"{{"email":"a@example.com","password":"{PASSWORD}","firstName":"A","lastName":"B"}}"#);
    let user = app.post("/auth/evrythng/users", &*user).expect(201);
    let (id, code) = (user["evrythngUser"].as_str(), user["activationCode"].as_str());
    let validation = format!(r#"{{"activationCode":"{}"}}"#, code.expect("a code"));
    app.post(&format!("/auth/evrythng/users/{}/validate", id.expect("an id")), &*validation);
    for password in [PASSWORD.to_owned(), format!("{PASSWORD}!")] {
        let login =
            app.post("/auth/evrythng", format!(r#"{{"email":"a@example.com","password":"{password}"}}"#));
        secrets.extend(login.json()["evrythngApiKey"].as_str().map(str::to_owned));
    }
    secrets.push(code.expect("a code").to_owned());
    secrets
}

/// Bug class 19 of `docs/security.md` (CWE-598).
#[test]
fn no_log_line_shows_a_key_or_payload_on_any_transport() {
    let mut server = Launch::new().with_tls().flag("--log", "trace").start();
    let trust = Trust::in_the(&server);
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    drive_rest(&server, &topic);
    drive_websocket(&server, &topic);
    drive_mqtt(|| Raw::connect(server.mqtt()), &topic);
    drive_mqtt(|| MqttFrames::open(&server, "mqtt"), &topic);
    drive_mqtt(|| trust.connect(server.mqtts()), &topic);
    drive_mqtt(|| MqttFrames::open_over_tls(&server, &trust, "mqtt"), &topic);
    let mut over_tls = Rest::over_tls(server.https(), None, &trust);
    over_tls.get(&format!("{topic}?access_token={KEY}")).assert_status(200);
    over_tls.get(&format!("{topic}?access_token={}", KEY.to_lowercase())).assert_status(403);
    let made = drive_keys(&server);
    let metrics = Rest::new(server.http(), None).send("GET", "/metrics", &[], None);
    let metrics = metrics.text().to_owned();

    let printed = server.terminate();
    assert_eq!(printed, Vec::<String>::new());
    let log = until("the last line was read", || Some(server.log()).filter(|log| log.contains(": stopped")));
    assert!(log.contains(" TRACE ") && log.contains(" DEBUG "), "the log says what it can");
    assert_eq!(made.len(), 7, "four by REST, one by command, a user's, and the code that they were sent");
    let given = [KEY, &KEY.to_lowercase(), MARKER, PASSWORD].map(str::to_owned);
    for secret in given.iter().chain(&made) {
        // Part of it is as bad, and so are the bytes of it, as `Debug` shows them.
        let (beginning, end) = (&secret[..12], &secret[secret.len() - 12..]);
        let bytes = format!("{:?}", &secret.as_bytes()[..12]);
        for shown in [beginning, end, bytes.trim_matches(['[', ']'])] {
            let line = log.lines().chain(metrics.lines()).find(|line| line.contains(shown));
            assert_eq!(line, None, "a secret stands in the log or in the metrics");
        }
    }
}

/// Whatever is wrong with a request, the document that says so repeats no key from any position.
#[test]
fn no_error_document_shows_a_key_wherever_it_came() {
    let server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let wrong = KEY.to_lowercase();
    let mut keyless = Rest::new(server.http(), None);
    let json = ("Content-Type", "application/json");
    let mut shown = Vec::new();
    for key in [KEY, &wrong] {
        let whole = format!(r#"{{"{key}":1,"name":5,"tags":"{key}"}}"#);
        let value = format!(r#"[{{"key":"{key}","timestamp":"{key}"}}]"#);
        let requests: Vec<(&str, String, &str)> = vec![
            ("GET", format!("/thngs/{key}?access_token={key}"), ""),
            ("GET", format!("/{key}"), ""),
            ("GET", format!("/thngs?filter={key}%3D&access_token={KEY}"), ""),
            ("GET", format!("/thngs?filter=name%3D{key}&perPage={key}&access_token={KEY}"), ""),
            ("GET", format!("/thngs?ids={key}&project={key}&app={key}&access_token={KEY}"), ""),
            ("GET", format!("/thngs/{thng}/properties/{key}?from={key}&access_token={KEY}"), ""),
            ("GET", format!("/access?access_token={key}&access_token={key}"), ""),
            ("GET", format!("/access?access_token={key}x"), ""),
            ("POST", format!("/thngs?access_token={KEY}"), &whole),
            ("POST", format!("/actions/{key}?access_token={KEY}"), &whole),
            ("PUT", format!("/thngs/{thng}/properties?access_token={KEY}"), &value),
            ("PUT", format!("/thngs/{thng}/location?access_token={KEY}"), &value),
            ("PATCH", format!("/thngs/{thng}?access_token={KEY}"), &whole),
            ("DELETE", format!("/thngs/{key}?access_token={KEY}"), ""),
            ("POST", format!("/auth/all/logout?access_token={key}"), &whole),
        ];
        for (method, path, body) in requests {
            let answer = keyless.send(method, &path, &[json], Some(body.as_bytes()));
            if answer.status >= 400 {
                shown.push((format!("{method} {path}"), answer.text().to_owned()));
            }
        }
        for headers in
            [[("Authorization", key)], [("Authorization", &*format!("Bearer {key}"))], [("Accept", key)]]
        {
            let answer = keyless.send("GET", &format!("/thngs/{key}"), &headers, None);
            shown.push((format!("{headers:?}"), answer.text().to_owned()));
        }
    }
    assert!(shown.len() > 20, "{shown:?}");
    for (request, text) in shown {
        for key in [KEY, &wrong] {
            assert!(!text.contains(&key[..12]), "{request}: {text}");
        }
    }
}
