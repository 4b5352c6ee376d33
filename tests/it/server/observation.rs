//! Observability: metrics and the pages and dashboards that name them, readiness, and the log.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{Launch, Rest, Server};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all metrics, as their `# TYPE` lines say them.
fn metrics(server: &Server) -> BTreeSet<String> {
    let text = Rest::new(server.http(), None).send("GET", "/metrics", &[], None).text().to_owned();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names.map(str::to_owned).collect()
}

/// Words of a text that could be the names of metrics, without what Prometheus adds to those of a histogram.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let metrics = words.filter(|word| word.starts_with("thng_pubsub_") || word.starts_with("process_"));
    metrics.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

/// The names of what the server registers: the texts of the two files that do, which hold more than that and no less.
fn registered() -> BTreeSet<String> {
    let files =
        [("crates/broker/src/metrics.rs", "thng_pubsub_"), ("crates/bus/src/metrics.rs", "thng_pubsub_bus_")];
    let names = files.iter().flat_map(|(file, prefix)| {
        let source = document(file);
        let texts: Vec<String> = source.split('"').map(str::to_owned).collect();
        texts.into_iter().map(move |text| format!("{prefix}{}", text.trim_start_matches(prefix)))
    });
    names.collect()
}

/// A server that has counted something of everything that a client can cause.
fn busy_server() -> Server {
    let server = Server::start();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let mut client = Client::connect(&server);
    client.subscribe(&topic, QoS::AtLeastOnce);
    client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
    client.message();
    drop(client);
    let _ =
        WebSocket::request(&server, "/thngs/UeECn9a8PBpar8x4FEGdMsDd", &[("Authorization", server.key())]);
    let mut keyless = Client::connect(&server);
    keyless.subscribe("/nothing", QoS::AtMostOnce);
    keyless.publish("/nothing", "1");
    keyless.ping();
    server
}

#[test]
fn the_dashboard_names_metrics_that_exist_only() {
    let known = metrics(&busy_server());
    let registered = registered();
    let text = document("docs/operations/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let expressions: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .filter_map(|target| target["expr"].as_str())
        .collect();
    assert!(expressions.len() > 30, "{expressions:?}");
    for expression in expressions {
        let named = named(expression);
        assert!(!named.is_empty(), "{expression}");
        for name in named {
            // What nothing has happened to yet has no sample, and Prometheus shows families with samples only.
            assert!(known.contains(&name) || registered.contains(&name), "{name} in {expression}");
        }
    }
}

#[test]
fn the_page_about_metrics_names_metrics_that_exist_only() {
    let page = document("docs/operations.md");
    let known = registered();
    for name in named(&page).iter().filter(|name| name.starts_with("thng_pubsub_")) {
        assert!(known.contains(name), "docs/operations.md names {name}, which there is not");
    }
}

#[test]
fn build_and_process_are_among_the_metrics() {
    let server = Server::start();
    let known = metrics(&server);
    for name in [
        "thng_pubsub_build_info",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
    ] {
        assert!(known.contains(name), "{name}: {known:?}");
    }
    let version =
        format!(r#"build_info{{arch="{}",version="{}"}}"#, std::env::consts::ARCH, env!("CARGO_PKG_VERSION"));
    assert_eq!(server.metric(&version), 1);
}

#[test]
fn a_server_that_can_store_and_deliver_is_ready() {
    let server = Server::start();
    let answer = Rest::new(server.http(), None).send("GET", "/ready", &[], None);
    assert_eq!(answer.expect(200)["status"], "ready");
}

#[test]
fn a_log_in_json_is_one_object_a_line() {
    let mut server = Launch::new().flag("--log-format", "json").flag("--log", "debug").start();
    let mut rest = server.rest();
    rest.get("/thngs/nothing");
    drop(rest);
    server.terminate();
    let log = server.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.len() > 2, "{log}");
    for line in lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
}
