//! Wrong settings, files and machines: the server refuses to start with a sentence, or it works. It never grants access
//! because of them.
//!
//! `docs/security.md` numbers the bug classes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use serde_json::json;
use thng_pubsub_protocol::mqtt::{ConnectCode, ProtocolLevel, QoS, SubAckCode};
use thng_pubsub_tests::link::{Arrival, Link as _, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::server::{Ended, binary};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Rest, Server, WAIT_MAX};

/// The flags whose values are no numbers. Every other one is tried, also those that are added later.
const NO_NUMBERS: [&str; 23] = [
    "--allowed-origins",
    "--config",
    "--http",
    "--mqtt",
    "--https",
    "--mqtts",
    "--tls-cert",
    "--tls-key",
    "--data",
    "--operator-key",
    "--log",
    "--log-format",
    "--otlp-endpoint",
    "--durability",
    "--on-rejected-publish",
    "--request-rate-per-key",
    "--request-rate-per-address",
    "--publish-rate-per-key",
    "--publish-rate-per-address",
    "--connection-rate-per-key",
    "--connection-rate-per-address",
    "--failed-logins-per-address",
    "--system-account",
];

/// The flags that take a number, as `--help` lists them.
fn numeric_flags() -> Vec<String> {
    let help = Command::new(binary()).args(["serve", "--help"]).output().expect("the binary can be run");
    let help = String::from_utf8(help.stdout).expect("text");
    let flags = help.lines().filter_map(|line| line.trim_start().split_once(" <")).map(|(flag, _)| flag);
    let numeric = flags.filter(|flag| flag.starts_with("--") && !NO_NUMBERS.contains(flag));
    numeric.map(str::to_owned).collect()
}

/// Tries a value of a flag by its variable, where a minus is no flag of its own.
#[track_caller]
fn tried(flag: &str, value: &str) -> Result<Server, Ended> {
    let variable = format!("THNG_PUBSUB_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
    Launch::new().variable(&variable, value).tried()
}

#[track_caller]
fn assert_refused(ended: &Ended, naming: &str, what: &str) {
    assert!(matches!(ended.status.code(), Some(1 | 2)), "{what}: {ended:?}");
    assert_eq!(ended.stdout, "", "{what}: no `ready` line");
    assert!(ended.stderr.contains(naming), "{what}: the reason names {naming}: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{what}: a setting is no crash: {}", ended.stderr);
}

/// The bounds that a refusal names, as `it can be 1 to 600`.
fn bounds(ended: &Ended) -> Vec<String> {
    let (_, behind) = ended.stderr.split_once(" can be ").unwrap_or_default();
    let numbers = behind.split(|letter: char| !letter.is_ascii_digit()).filter(|number| !number.is_empty());
    numbers.take(2).map(str::to_owned).collect()
}

/// Shows that a server takes a write by each protocol and tells of it, over one connection at a time.
#[track_caller]
fn assert_works(server: &Server, what: &str) {
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    rest.put(&topic, r#"[{"value":1}]"#).assert_status(200);
    drop(rest);
    let hello = Hello::with_key(KEY).bytes();
    let link = until(format!("there is room for a connection: {what}"), || {
        let mut link = Raw::connect(server.mqtt()).with(&hello);
        (link.receive(WAIT_MAX) == Arrival::Bytes(b"\x20\x02\x00\x00".to_vec())).then_some(link)
    });
    let mut client = Client::on(link);
    client.expects(ProtocolLevel::V3_1_1);
    client.subscribed(&topic, QoS::AtLeastOnce);
    for n in 2..5 {
        client.publish_acknowledged(&topic, &format!(r#"[{{"value":{n}}}]"#));
        assert_eq!(client.message().value(), n, "{what}");
    }
    client.disconnect();
}

/// Bug class 21: extreme numbers (CVE-2026-42209, a division by zero).
#[test]
fn every_number_of_every_flag_is_refused_by_name_or_works() {
    let flags = Mutex::new(numeric_flags());
    assert!(flags.lock().expect("no panic").len() > 15, "the flags are found in the help");
    let next = || flags.lock().expect("no panic").pop();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(flag) = next() {
                    try_numbers(&flag)
                }
            });
        }
    });
}

fn try_numbers(flag: &str) {
    for none in [" ", "-1", "18446744073709551616"] {
        let ended = tried(flag, none).expect_err(&format!("{flag} {none:?} is no number of it"));
        assert_refused(&ended, flag, &format!("{flag} {none:?}"));
    }
    let mut at_the_bounds = Vec::new();
    for extreme in ["0", "18446744073709551615"] {
        let what = format!("{flag} {extreme}");
        match tried(flag, extreme) {
            Ok(server) => assert_works(&server, &what),
            Err(ended) => {
                assert_refused(&ended, flag, &what);
                let bounds = bounds(&ended);
                assert_eq!(bounds.len(), 2, "{what}: the refusal says what can be: {}", ended.stderr);
                at_the_bounds = bounds;
            }
        }
    }
    for bound in at_the_bounds {
        let what = format!("{flag} {bound}, which its refusal says can be");
        let server = tried(flag, &bound).unwrap_or_else(|ended| panic!("{what}: {ended:?}"));
        assert_works(&server, &what);
    }
}

/// Bug class 11: a file or a line that is empty and so opens everything (CVE-2018-12550, CVE-2018-12551).
#[test]
fn an_empty_or_blank_operator_key_is_refused() {
    // An empty variable says nothing, so a key is made.
    let unset = Launch::new().without("--operator-key").variable("THNG_PUBSUB_OPERATOR_KEY", "").start();
    assert_eq!(fs::read_to_string(unset.data().join("operator.key")).expect("a key").trim().len(), 80);
    for empty in [" ", "\n", &" ".repeat(80)] {
        let by_flag = Launch::new().flag("--operator-key", empty).refused();
        assert_refused(&by_flag, "--operator-key", "by flag");
        let by_variable = Launch::new().without("--operator-key").variable("THNG_PUBSUB_OPERATOR_KEY", empty);
        assert_refused(&by_variable.refused(), "--operator-key", "by variable");
    }
    assert_refused(&Launch::new().flag("--operator-key", "").refused(), "--operator-key", "by flag");
    let mut server = Launch::new().without("--operator-key").start();
    server.terminate();
    // The key in the file is never read again, so its content grants no access.
    fs::write(server.data().join("operator.key"), "\n").expect("the file is the test's");
    let server = server.restart();
    for key in ["", " ", "\n"] {
        let mut rest = Rest::new(server.http(), None);
        let status = rest.send("GET", "/access", &[("Authorization", key)], None).status;
        assert!(matches!(status, 401 | 403), "{key:?}: {status}");
        let status = rest.send("GET", "/access?access_token=", &[], None).status;
        assert!(matches!(status, 401 | 403), "{key:?}: {status}");
        let (_, code) = Client::greeted(Raw::connect(server.mqtt()), &Hello::with_key(key));
        assert_eq!(code, ConnectCode::NotAuthorised, "{key:?}");
    }
}

/// Bug class 11: a server that starts without a part of its data, and with less to check.
#[test]
fn a_missing_or_foreign_secret_stops_the_start_without_changes() {
    let mut server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let device = rest.device(&thng);
    server.terminate();
    let path = server.data().join("keys.secret");
    let secret = fs::read(&path).expect("the secret is there");
    let others: [Option<&[u8]>; 5] = [None, Some(b""), Some(b"\n"), Some(&[0; 32]), Some(&[7; 33])];
    for other in others {
        match other {
            None => fs::remove_file(&path).expect("the file is the test's"),
            Some(bytes) => fs::write(&path, bytes).expect("the file is the test's"),
        }
        let ended = Launch::new().refused_in(server.data());
        assert_refused(&ended, "keys.secret", &format!("{other:?}"));
        assert_eq!(fs::read(&path).ok().as_deref(), other, "it is left as it is");
    }
    fs::write(&path, &secret).expect("the file is the test's");
    let server = server.restart();
    server.rest_as(&device.key).get(&format!("/thngs/{thng}")).assert_status(200);
}

/// Bug class 11: what is checked against files when no file can be opened any more (CVE-2017-7652).
#[test]
fn at_the_descriptor_limit_keys_count_and_writes_are_stored() {
    let server = Launch::new().after("ulimit -n 120").flag("--connect-timeout-s", "600").start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut inside = Client::connect(&server);
    let refused = r#"connections_refused_total{protocol="mqtt",reason="open_files_limit"}"#;
    let mut waiting = at_the_limit(&server);
    let mut accepted = waiting.drain(..6);
    for (key, code) in [
        (KEY.to_lowercase(), ConnectCode::NotAuthorised),
        (String::new(), ConnectCode::NotAuthorised),
        ("x".repeat(80), ConnectCode::NotAuthorised),
        (KEY.to_owned(), ConnectCode::Accepted),
    ] {
        let link = accepted.next().expect("some were accepted");
        let (mut client, answered) = Client::greeted(link, &Hello::with_key(&key));
        assert_eq!(answered, code);
        if code == ConnectCode::Accepted {
            client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
        }
    }
    let mut keyless = Client::accepted(accepted.next().expect("some were accepted"), &Hello::anonymous());
    assert_eq!(keyless.subscribe(&topic, QoS::AtMostOnce), SubAckCode::Refused);
    inside.publish_acknowledged(&topic, r#"[{"value":2}]"#);
    assert!(server.metric(refused) > 0);
    assert!(!server.log().contains("cannot accept connections"), "{}", server.log());
    drop(accepted);
    drop(waiting);
    until("there are descriptors again", || {
        let mut raw = Raw::connect(server.mqtt()).with(&Hello::with_key(KEY).bytes());
        matches!(raw.receive(WAIT_MAX), Arrival::Bytes(_)).then_some(())
    });
    server.assert_serves();
    server.rest_as(&KEY.to_lowercase()).get("/access").assert_status(403);
    assert_eq!(server.rest().get(&topic).expect(200)[0]["value"], json!(2));
}

/// Connections that say nothing, as many as the server has descriptors for.
fn at_the_limit(server: &Server) -> Vec<Raw> {
    let mut open = Vec::new();
    until("the server refuses a connection for want of descriptors", || {
        open.push(Raw::connect(server.mqtt()));
        let line = "the limit of open files (ulimit -n) is reached";
        server.log().contains(line).then_some(())
    });
    open
}

/// Issue 14, item 14: at 19,973 connections `/health` timed out.
#[test]
fn at_the_descriptor_limit_http_is_answered_without_upgrades() {
    let server = Launch::new().with_tls().after("ulimit -n 140").start();
    let topic = format!("/thngs/{}/properties/k", server.rest().thng());
    let _open = at_the_limit(&server);
    for _ in 0..40 {
        for path in ["/health", "/ready"] {
            let answer = Rest::new(server.http(), None).get(path);
            answer.assert_status(200);
            assert_eq!(answer.header("connection"), Some("close"), "{path}");
        }
    }
    server.rest().put(&topic, r#"[{"value":1}]"#).assert_status(200);
    assert_eq!(server.rest().get(&topic).expect(200)[0]["value"], json!(1));
    server.administer(&["accounts", "create"]).printed();
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (path, protocol) in [(topic.as_str(), "websocket"), ("/mqtt", "mqtt_ws")] {
        let answer = server.rest().send("GET", path, &upgrade, None);
        assert!(answer.expect(503)["errors"][0].as_str().expect("text").contains("ulimit -n"), "{path}");
        let refused =
            format!(r#"connections_refused_total{{protocol="{protocol}",reason="open_files_limit"}}"#);
        assert_eq!(server.metric(&refused), 1, "{path}");
    }
    let silent: Vec<_> = (0..60).map(|_| Raw::connect(server.http())).collect();
    until("what is set aside for HTTP is free again, since silent clients lose it soon", || {
        let mut raw = Raw::connect(server.http()).with(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        raw.until_closed().starts_with(b"HTTP/1.1 200").then_some(())
    });
    drop(silent);
    assert!(!server.log().contains("cannot accept connections"), "{}", server.log());
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let server =
        Launch::new().after("ulimit -Sn 150; ulimit -Hn 500").flag("--connections-max", "200").start();
    let limit = Rest::new(server.http(), None).get("/metrics").text().to_owned();
    assert!(limit.contains("process_max_fds 500"), "{limit}");
    assert_eq!(server.metric("connections_limit"), 200);
    assert!(!server.log().contains("--connections-max exceeds"), "{}", server.log());
}

#[test]
fn connections_beyond_the_descriptor_limit_warn_at_start() {
    let server = Launch::new().after("ulimit -n 200").flag("--connections-max", "1000").start();
    let log = server.log();
    assert!(log.contains("--connections-max exceeds what the limit of open files allows"), "{log}");
    let connections = server.metric("connections_limit");
    assert!((50..200).contains(&connections), "{connections} connections");
    assert!(log.contains(&format!("connections={connections}")), "{log}");
    let ended = Launch::new().after("ulimit -n 60").refused();
    assert_refused(&ended, "ulimit -n", "too few for the server itself");
}

/// Bug class 22: state and keys that every user of the machine can read (CVE-2017-9868).
#[test]
fn created_files_are_private_whatever_the_umask() {
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    for is_made_by_the_server in [true, false] {
        let data = tempfile::tempdir().expect("a folder");
        match is_made_by_the_server {
            true => fs::remove_dir(data.path()).expect("it is empty"),
            false => fs::set_permissions(data.path(), fs::Permissions::from_mode(0o777)).expect("it is ours"),
        }
        let server = Launch::new().without("--operator-key").after("umask 0").start_in(data);
        // So that the log of the database is there as well.
        Rest::new(server.http(), None).get("/health").assert_status(200);
        if is_made_by_the_server {
            assert_eq!(mode(server.data()), 0o700, "the folder");
        }
        let files: Vec<_> =
            fs::read_dir(server.data()).expect("a folder").map(|it| it.expect("an entry")).collect();
        assert!(files.len() >= 5, "the database, its log and index, two keys: {files:?}");
        for file in files {
            assert_eq!(mode(&file.path()), 0o600, "{:?}", file.file_name());
        }
    }
}
