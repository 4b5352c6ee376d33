//! How the server is started and driven: what scripts outside the project rely on.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::server::Ended;
use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

#[test]
fn the_ready_line_names_the_bound_addresses() {
    let mut server = Server::start();

    let line = server.ready_line().to_owned();
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("ready"), "{line}");
    assert_eq!(words.next(), Some(&*format!("http={}", server.http())), "{line}");
    assert_eq!(words.next(), Some(&*format!("mqtt={}", server.mqtt())), "{line}");
    assert!(
        server.http().port() != 0 && server.mqtt().port() != 0,
        "port 0 was replaced by a bound one: {line}"
    );
    server.assert_serves();

    let printed_later = server.terminate();
    assert!(printed_later.is_empty(), "logs go to standard error, not {printed_later:?}");
}

#[test]
fn a_disabled_listener_is_not_in_the_ready_line() {
    let without_mqtt = Launch::new().flag("--mqtt", "off").start();
    assert!(!without_mqtt.ready_line().contains("mqtt=127"), "{}", without_mqtt.ready_line());
    without_mqtt.rest().get("/access").assert_status(200);

    let without_http = Launch::new().flag("--http", "off").start();
    assert!(!without_http.ready_line().contains("http=127"), "{}", without_http.ready_line());
    Client::connect(&without_http).ping();
}

#[test]
fn the_tls_listeners_can_be_turned_off_by_name() {
    let server = Launch::new().flag("--https", "off").flag("--mqtts", "off").start();
    server.assert_serves();
}

#[test]
fn a_setting_in_the_environment_counts_and_a_flag_counts_more() {
    let by_environment = Launch::new().without("--mqtt").variable("THNG_PUBSUB_MQTT", "off").start();
    assert!(!by_environment.ready_line().contains("mqtt=127"), "{}", by_environment.ready_line());

    let by_flag = Launch::new().variable("THNG_PUBSUB_MQTT", "off").start();
    assert!(by_flag.ready_line().contains("mqtt=127"), "{}", by_flag.ready_line());
}

#[test]
fn health_answers_200_without_a_key() {
    let mut keyless = Rest::new(Server::shared().http(), None);
    keyless.get("/health").assert_status(200);
}

#[test]
fn metrics_are_prometheus_text() {
    let server = Server::shared();
    server.rest().get("/access").assert_status(200);

    let metrics = Rest::new(server.http(), None).send("GET", "/metrics", &[], None);
    metrics.assert_status(200);
    let kind = metrics.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain"), "{kind}");
    let text = metrics.text();
    assert!(text.lines().any(|line| line.starts_with("# TYPE ")), "{text}");
    for sample in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let value = sample.rsplit(' ').next().expect("a line has a word");
        assert!(value.parse::<f64>().is_ok(), "a sample ends with a number: {sample}");
    }
}

#[test]
fn the_script_tag_sdk_needs_no_key() {
    let sdk = Rest::new(Server::shared().http(), None).send("GET", "/sdk/thng-pubsub.js", &[], None);
    sdk.assert_status(200);
    let kind = sdk.header("content-type").unwrap_or_default();
    assert!(kind.contains("javascript"), "{kind}");
    assert!(sdk.text().contains("PubSub"), "the script defines the global `PubSub`");
}

#[test]
fn the_sdk_of_the_platform_is_served_together_with_its_license() {
    let mut keyless = Rest::new(Server::shared().http(), None);
    let mut get = |path| keyless.send("GET", path, &[], None);
    let script = get("/sdk/evrythng.js");
    script.assert_status(200);
    let licence = get("/sdk/evrythng.LICENSE.txt");
    licence.assert_status(200);
    assert!(licence.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    assert!(licence.text().contains("Apache License"), "the licence of the code in it");
    assert!(script.text().contains("evrythng.LICENSE.txt"), "the script says where its licence is");
}

#[test]
fn the_platforms_sdk_as_served_names_no_foreign_host() {
    let script = Rest::new(Server::shared().http(), None).send("GET", "/sdk/evrythng.js", &[], None);
    script.assert_status(200);
    let text = script.text();
    for foreign in ["evrythng.com", "evrythng.io", "tn.gg"] {
        assert!(!text.contains(foreign), "a key would go to {foreign}");
    }
}

#[test]
fn mqttws31_has_the_platforms_global_and_its_license() {
    let mut client = Rest::new(Server::shared().http(), None);
    let script = client.send("GET", "/sdk/mqttws31.js", &[], None);
    script.assert_status(200);
    assert!(script.text().contains("globalThis.Messaging"));
    assert!(client.send("GET", "/sdk/mqttws31.LICENSE.txt", &[], None).text().contains("Eclipse"));
}

#[test]
fn the_same_tree_is_served_at_the_root_and_under_v2() {
    let mut rest = Server::shared().rest();
    assert_eq!(rest.get("/v2/access").expect(200), rest.get("/access").expect(200));

    let created = rest.post("/v2/thngs", r#"{"name":"made under /v2"}"#);
    let id = created.expect(201)["id"].as_str().expect("an id").to_owned();
    let location = created.header("location").expect("201 has a Location");
    assert!(location.ends_with(&format!("/v2/thngs/{id}")), "{location} stays in the tree of the request");
    rest.put(&format!("/thngs/{id}/properties/k"), r#"[{"value":1}]"#).assert_status(200);
    let under_v2 = rest.get(&format!("/v2/thngs/{id}/properties")).expect(200);
    assert_eq!(under_v2, rest.get(&format!("/thngs/{id}/properties")).expect(200));
    assert_eq!(under_v2[0]["value"], 1);
}

#[test]
fn a_missing_operator_key_is_generated_privately_and_reused() {
    let server = Launch::new().without("--operator-key").start();
    let key = read_key(server.data());
    assert_eq!(key.len(), 80, "{key}");
    assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
    let mode = fs::metadata(server.data().join("operator.key")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "readable and writable by the owner only");
    let access = Rest::new(server.http(), Some(&key)).get("/access").expect(200);

    let restarted = server.restart();
    assert_eq!(read_key(restarted.data()), key);
    assert_eq!(Rest::new(restarted.http(), Some(&key)).get("/access").expect(200), access);
}

#[test]
fn the_first_operator_key_stays_valid_in_later_starts() {
    let mut server = Server::start();
    let access = server.rest().get("/access").expect(200);
    server.terminate();

    let restarted = server.restart_with(|launch| launch.without("--operator-key"));
    assert_eq!(Rest::new(restarted.http(), Some(KEY)).get("/access").expect(200), access);
}

#[test]
fn the_operator_key_may_come_from_the_environment() {
    let key = KEY.chars().rev().collect::<String>();
    let server = Launch::new().without("--operator-key").variable("THNG_PUBSUB_OPERATOR_KEY", &key).start();
    Rest::new(server.http(), Some(&key)).get("/access").assert_status(200);
}

#[test]
fn a_data_directory_has_one_server_at_a_time() {
    let server = Server::start();
    assert_refused(&Launch::new().refused_in(server.data()), &server.data().display().to_string());
    server.assert_serves();
}

#[test]
fn a_database_that_is_none_is_refused_and_left_as_it_is() {
    let mut server = Server::start();
    server.rest().get("/access").assert_status(200);
    server.terminate();
    for file in files_below(server.data()) {
        fs::write(&file, "this was a database").expect("the file is the test's");
    }
    let ended = Launch::new().refused_in(server.data());
    assert_refused(&ended, &server.data().display().to_string());
    let database =
        files_below(server.data()).into_iter().find(|file| file.extension().is_some_and(|it| it == "db"));
    let database = fs::read(database.expect("there is a database")).expect("it can be read");
    assert_eq!(database, b"this was a database");
}

/// Bug class 22 of `docs/security.md` (CVE-2017-9868).
#[test]
fn the_data_is_readable_by_its_owner_only() {
    let server = Launch::new().without("--operator-key").start();
    Rest::new(server.http(), None).get("/health").assert_status(200);
    for file in files_below(server.data()) {
        let mode = fs::metadata(&file).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is {:o}", file.display(), mode);
    }
}

/// Bug class 22 of `docs/security.md`.
#[test]
fn keys_are_stored_as_hashes_only() {
    let mut server = Server::start();
    server.rest().get("/access").assert_status(200);
    server.terminate();
    for file in files_below(server.data()) {
        let content = fs::read(&file).expect("a file of the server");
        let found = content.windows(KEY.len()).any(|window| window == KEY.as_bytes());
        assert!(!found, "{} holds the operator's key in clear", file.display());
    }
}

#[test]
fn an_invalid_operator_key_is_refused_with_the_rule() {
    let with_a_blank = format!("{} ", &KEY[1..]);
    for wrong in ["short", &KEY[1..], &format!("{KEY}x"), &with_a_blank] {
        let ended = Launch::new().flag("--operator-key", wrong).refused();
        assert_refused(&ended, "80");
        assert!(!ended.stderr.contains(wrong) || wrong == "short", "a key is not repeated: {}", ended.stderr);
    }
}

#[test]
fn an_unknown_flag_and_an_invalid_address_are_refused_by_name() {
    assert_refused(&Launch::new().flag("--no-such-flag", "1").refused(), "--no-such-flag");
    assert_refused(&Launch::new().flag("--http", "nowhere").refused(), "nowhere");
}

#[test]
fn a_port_that_is_taken_is_refused_by_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    assert_refused(&Launch::new().flag("--http", &address).refused(), &address);
    assert_refused(&Launch::new().flag("--mqtt", &address).refused(), &address);
}

#[test]
fn sigterm_stops_within_ten_seconds_and_keeps_acknowledged_data() {
    let mut server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = format!("/thngs/{thng}/properties/k");
    let _silent = Raw::connect(server.mqtt());
    let _half_request = Raw::connect(server.http()).with(b"GET /access HTTP/1.1\r\nHost:");
    let _watching = WebSocket::open(&server, &topic);
    let mut publishing = Client::connect(&server);
    publishing.publish_acknowledged(&topic, r#"[{"value":"kept"}]"#);

    server.terminate();
    publishing.assert_closed();

    let restarted = server.restart();
    assert_eq!(restarted.rest().get(&topic).expect(200)[0]["value"], "kept");
}

#[track_caller]
fn assert_refused(ended: &Ended, naming: &str) {
    assert!(!ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout, "", "no `ready` line and nothing else on standard output");
    assert!(ended.stderr.contains(naming), "the reason names {naming:?}: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "a wrong setting is no crash: {}", ended.stderr);
}

#[track_caller]
fn read_key(data: &Path) -> String {
    let text = fs::read_to_string(data.join("operator.key")).expect("the key is written beside the data");
    text.trim_end().to_owned()
}

fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
