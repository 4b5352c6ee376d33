//! Clients that we did not write: Mosquitto's, with the product description's own example lines, without their TLS, which
//! is in `tls/listeners.rs`.
//!
//! Paho's clients are in `clients/paho.rs`, that of Rust in `clients/rumqttc.rs`, and those from npm in `js/`.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::command::Program;
use thng_pubsub_tests::keys::unique;
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::proxy::Proxy;
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Rest, Server};

const PACKAGE: &str = "mosquitto-clients";

/// `-h`, `-p`, `-u` and `-P` of the examples, then what follows.
#[track_caller]
fn mosquitto(program: &str, server: &Server, key: &str, arguments: &[&str]) -> Program {
    mosquitto_at(program, server.mqtt(), key, arguments)
}

#[track_caller]
fn mosquitto_at(program: &str, at: SocketAddr, key: &str, arguments: &[&str]) -> Program {
    let (host, port) = (at.ip().to_string(), at.port().to_string());
    let mut all = vec!["-h", &host, "-p", &port, "-u", "authorization", "-P", key];
    all.extend(arguments);
    Program::start_line_by_line(program, PACKAGE, &all)
}

/// `mosquitto_sub`, subscribed when this returns: `-d` makes it say so.
#[track_caller]
fn sub(server: &Server, arguments: &[&str]) -> Program {
    let program = mosquitto("mosquitto_sub", server, KEY, &[arguments, &["-d"]].concat());
    program.line_that_starts("Subscribed ");
    program
}

/// The next payload that it prints.
#[track_caller]
fn message(program: &Program) -> Value {
    let line = program.line_that_starts("[");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

#[track_caller]
fn publish(server: &Server, arguments: &[&str]) {
    assert_eq!(mosquitto("mosquitto_pub", server, KEY, arguments).exit_code(), Some(0), "{arguments:?}");
}

#[track_caller]
fn property(rest: &mut Rest) -> String {
    format!("/thngs/{}/properties/temperature", rest.thng())
}

/// The general form of the examples, on every topic that can be published on.
#[test]
fn mosquitto_sub_prints_mosquitto_pub_on_every_topic() {
    let server = Server::shared();
    let mut rest = server.rest();
    let kind = format!("_{}", unique("type").replace(' ', "-"));
    rest.create("/actions", json!({"name": kind}));
    let product = rest.id_of("/products", json!({"name": "a product of the tests"}));
    let thng = rest.id_of("/thngs", json!({"name": "a thng of the tests", "product": product}));
    let collection = rest.id_of("/collections", json!({"name": "a collection of the tests"}));
    let another = format!("{kind}-2");

    // Topic, payload, and what of the outcome was in the payload.
    let rows = [
        ("/actions", json!({"name": another}), "/name", json!(another)),
        ("/actions/all", json!({"type": kind}), "/type", json!(kind)),
        ("/actions/TYPE", json!({"tags": ["a"]}), "/tags/0", json!("a")),
        ("/collections/COLLECTION", json!({"name": "renamed"}), "/name", json!("renamed")),
        ("/collections/COLLECTION/actions/all", json!({"type": kind}), "/type", json!(kind)),
        ("/collections/COLLECTION/actions/TYPE", json!({"tags": ["b"]}), "/tags/0", json!("b")),
        ("/collections/COLLECTION/thngs", json!([thng]), "/resources/0", json!(thng)),
        ("/products/PRODUCT", json!({"name": "renamed"}), "/name", json!("renamed")),
        ("/products/PRODUCT/actions/all", json!({"type": kind}), "/type", json!(kind)),
        ("/products/PRODUCT/actions/TYPE", json!({"tags": ["c"]}), "/tags/0", json!("c")),
        ("/products/PRODUCT/properties", json!([{"key": "k", "value": 1}]), "/0/value", json!(1)),
        ("/products/PRODUCT/properties/k", json!([{"value": 2}]), "/0/value", json!(2)),
        ("/thngs/THNG", json!({"name": "renamed"}), "/name", json!("renamed")),
        ("/thngs/THNG/actions/all", json!({"type": kind}), "/type", json!(kind)),
        ("/thngs/THNG/actions/TYPE", json!({"tags": ["d"]}), "/tags/0", json!("d")),
        ("/thngs/THNG/location", json!([{"latitude": 47.5, "longitude": 8.5}]), "/0/latitude", json!(47.5)),
        ("/thngs/THNG/properties", json!([{"key": "k", "value": 3}]), "/0/value", json!(3)),
        ("/thngs/THNG/properties/k", json!([{"value": 4}]), "/0/value", json!(4)),
    ];
    for (template, payload, field, value) in rows {
        let names = [("TYPE", &kind), ("COLLECTION", &collection), ("PRODUCT", &product), ("THNG", &thng)];
        let topic = names.iter().fold(template.to_owned(), |topic, (name, id)| topic.replace(name, id));
        let watching = sub(server, &["-v", "-t", &topic]);
        publish(server, &["-t", &topic, "-m", &payload.to_string()]);
        let line = watching.line_that_starts(&format!("{topic} "));
        let document: Value = serde_json::from_str(&line[topic.len()..]).unwrap();
        assert_eq!(document.pointer(field), Some(&value), "{template}: {document}");
    }
}

#[test]
fn mosquitto_sub_gets_the_state_again_after_a_reconnect() {
    let server = Server::shared();
    let mut rest = server.rest();
    for version in ["mqttv31", "mqttv311"] {
        let topic = property(&mut rest);
        let proxy = Proxy::start(server.mqtt());
        let with_state = format!("{topic}?pubStates=1");
        let arguments = ["-V", version, "-i", &unique("watcher"), "-q", "1", "-t", &with_state, "-d"];
        let watching = mosquitto_at("mosquitto_sub", proxy.address(), KEY, &arguments);
        watching.line_that_starts("Subscribed ");
        publish(server, &["-t", &topic, "-m", r#"[{"value":"before"}]"#]);
        assert_eq!(message(&watching)[0]["value"], "before");
        proxy.cut();
        watching.line_that_starts("Subscribed ");
        assert_eq!(message(&watching)[0]["value"], "before");
        publish(server, &["-t", &topic, "-m", r#"[{"value":"after"}]"#]);
        assert_eq!(message(&watching)[0]["value"], "after");
    }
}

#[test]
fn mosquitto_sub_with_a_durable_session_gets_missed_messages() {
    let server = Server::shared();
    let mut rest = server.rest();
    for version in ["mqttv31", "mqttv311"] {
        let topic = property(&mut rest);
        let proxy = Proxy::start(server.mqtt());
        let arguments = ["-V", version, "-i", &unique("durable"), "-c", "-q", "1", "-t", &topic, "-d"];
        let watching = mosquitto_at("mosquitto_sub", proxy.address(), KEY, &arguments);
        watching.line_that_starts("Subscribed ");
        proxy.shut();
        for n in 0..10 {
            rest.put(&topic, json!([{ "value": n }])).assert_status(200);
        }
        proxy.open();
        for n in 0..10 {
            assert_eq!(message(&watching)[0]["value"], n);
        }
    }
}

/// MQTT-7.0.0-2: Clients of other projects work unchanged.
#[test]
fn mosquitto_pub_mosquitto_sub_and_rest_see_the_same_value() {
    let server = Server::shared();
    let mut rest = server.rest();
    for version in ["mqttv31", "mqttv311"] {
        for qos in ["0", "1"] {
            let topic = property(&mut rest);
            let watching = sub(server, &["-V", version, "-q", qos, "-t", &topic]);
            publish(server, &["-V", version, "-q", qos, "-t", &topic, "-m", r#"[{"value":21.5}]"#]);
            let update = message(&watching);
            assert_eq!((&update[0]["key"], &update[0]["value"]), (&"temperature".into(), &21.5.into()));
            assert_eq!(rest.get(&topic).expect(200)[0]["value"], 21.5, "{version} at QoS {qos}");
        }
    }
}

#[test]
fn the_pub_states_example_prints_state_then_updates() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    rest.put(&topic, r#"[{"value":"initial"}]"#).assert_status(200);
    let watching = sub(server, &["-t", &format!("{topic}?pubStates=1")]);
    assert_eq!(message(&watching)[0]["value"], "initial");
    publish(server, &["-t", &topic, "-m", r#"[{"value":"update"}]"#]);
    assert_eq!(message(&watching)[0]["value"], "update");
}

#[test]
fn mosquitto_sub_prints_the_topic_as_it_was_given() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let without_slash = format!("{}/?pubStates=0", &topic[1..]);
    let watching = sub(server, &["-v", "-t", &without_slash]);
    publish(server, &["-t", &topic[1..], "-m", r#"[{"value":1}]"#]);
    let line = watching.line_that_starts("thngs/");
    assert!(line.starts_with(&format!("{without_slash} [")), "{line}");
}

#[test]
fn several_topics_share_one_connection() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (one, other) = (property(&mut rest), property(&mut rest));
    let watching = sub(server, &["-t", &one, "-t", &other]);
    for topic in [&other, &one] {
        publish(server, &["-t", topic, "-q", "1", "-m", &format!(r#"[{{"value":"{topic}"}}]"#)]);
        assert_eq!(message(&watching)[0]["value"], **topic);
    }
}

/// Also MQTT-3.3.1-5.
#[test]
fn a_retained_publish_is_a_publish_and_nothing_is_retained() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    publish(server, &["-r", "-q", "1", "-t", &topic, "-m", r#"[{"value":"retained?"}]"#]);
    assert_eq!(rest.get(&topic).expect(200)[0]["value"], "retained?");
    let watching = sub(server, &["-F", "[%r,%p]", "-t", &topic]);
    publish(server, &["-t", &topic, "-m", r#"[{"value":"next"}]"#]);
    let printed = message(&watching);
    assert_eq!(
        (&printed[0], &printed[1][0]["value"]),
        (&0.into(), &"next".into()),
        "retain flag and payload"
    );
}

#[test]
fn a_wrong_key_makes_mosquitto_exit_with_code_5() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let wrong = KEY.to_lowercase();
    let publishing = mosquitto("mosquitto_pub", server, &wrong, &["-t", &topic, "-m", r#"[{"value":1}]"#]);
    assert_eq!(publishing.exit_code(), Some(5), "5: not authorised");
    let watching = mosquitto("mosquitto_sub", server, &wrong, &["-t", &topic]);
    assert_eq!(watching.exit_code(), Some(5));
}

#[test]
fn mosquitto_sub_learns_that_all_its_subscriptions_were_refused() {
    let server = Server::shared();
    let unknown = "/thngs/Uabcdefghkmnpqrstwxy0123/properties";
    let refused = mosquitto("mosquitto_sub", server, KEY, &["-t", unknown, "-d"]);
    let granted = refused.line_that_starts("Subscribed ");
    assert!(granted.ends_with(": 128"), "{granted}");
    refused.exit_code();
}

/// Also MQTT-3.1.2-2.
#[test]
fn an_mqtt_5_client_is_refused_with_the_reason() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let publishing = mosquitto("mosquitto_pub", server, KEY, &["-V", "mqttv5", "-t", &topic, "-m", "1"]);
    assert_ne!(publishing.exit_code(), Some(0));
    server.assert_serves();
}

/// Also MQTT-7.0.0-2.
#[test]
fn the_will_of_mosquitto_sub_is_written_when_it_is_killed() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let will = [
        "--will-topic",
        &topic,
        "--will-payload",
        r#"[{"value":"killed"}]"#,
        "--will-qos",
        "1",
        "-t",
        &topic,
    ];
    // Dropping the program kills it.
    drop(sub(server, &will));
    until("the will is stored", || (rest.get(&topic).expect(200)[0]["value"] == "killed").then_some(()));
}

/// Also MQTT-4.6.0-6.
#[test]
fn publishes_of_successive_clients_arrive_in_order() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let watching = sub(server, &["-q", "1", "-t", &topic]);
    for n in 0..20 {
        publish(server, &["-q", "1", "-t", &topic, "-m", &format!(r#"[{{"value":{n}}}]"#)]);
    }
    for n in 0..20 {
        assert_eq!(message(&watching)[0]["value"], n);
    }
}

/// A broker of Mosquitto's with a bridge to the server, with its defaults but for the pause before it tries again.
struct Bridge {
    local: SocketAddr,
    _program: Program,
    _folder: tempfile::TempDir,
}

impl Bridge {
    #[track_caller]
    fn start(server: &Server, topics: &str) -> Bridge {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let local = free.local_addr().expect("an address");
        drop(free);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("mosquitto.conf");
        let settings = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nlog_dest stdout\nconnection thng-pubsub\naddress {}\n\
             remote_username authorization\nremote_password {KEY}\nrestart_timeout 1\n{topics}\n",
            local.port(),
            server.mqtt()
        );
        fs::write(&file, settings).expect("a file");
        let file = file.to_str().expect("a path of text");
        let program = Program::start_line_by_line("mosquitto", "mosquitto", &["-v", "-c", file]);
        while !program.line().contains("sending CONNECT") {}
        Bridge { local, _program: program, _folder: folder }
    }
}

#[test]
fn mosquitto_is_a_bridge_with_its_defaults() {
    let server = Server::start();
    let mut rest = server.rest();
    let path = format!("/thngs/{}/properties", rest.thng());
    let topics = format!("topic out out 1 local/ {path}/\ntopic in in 1 local/ {path}/");
    let bridge = Bridge::start(&server, &topics);
    let mut client = Client::accepted(Raw::connect(bridge.local), &Hello::anonymous());
    client.subscribed("local/in", QoS::AtLeastOnce);
    client.publish_acknowledged("local/out", "21.5");
    until("the bridge has published", || {
        let history = rest.get(&format!("{path}/out")).expect(200);
        (history[0]["value"] == 21.5).then_some(())
    });
    rest.put(&format!("{path}/in"), json!([{"value": 7}])).assert_status(200);
    let message = client.message();
    assert_eq!((&*message.topic, &message.value()), ("local/in", &json!(7)));
    until("the log says what became of the will", || {
        server
            .log()
            .lines()
            .any(|line| line.contains("a will was ignored") && line.contains("$SYS"))
            .then_some(())
    });
    assert_eq!(server.metric(r#"disconnects_total{protocol="mqtt",reason="publish_refused"}"#), 0);
}
