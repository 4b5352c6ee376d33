//! How often one address may present a wrong key or password.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;
use thng_pubsub_protocol::mqtt::{ConnectCode, QoS, SubAckCode};
use thng_pubsub_tests::keys::unique_email;
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{Rest, Server};

use super::server::{ELSEWHERE, RateLimitedServer, assert_too_often, wrong_key};

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
