//! The native WebSocket, opened on the path of a resource.

use std::net::Shutdown;

use serde_json::json;
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::link::{Link as _, Raw};
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::websocket::{CloseOutcome, WebSocket};
use thng_pubsub_tests::{KEY, Launch, Rest, Server, WAIT_MAX};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Bytes, Message};

#[track_caller]
pub(super) fn property(rest: &mut Rest) -> String {
    format!("/thngs/{}/properties/temperature", rest.thng())
}

#[track_caller]
fn set(rest: &mut Rest, topic: &str, value: impl Into<serde_json::Value>) {
    rest.put(topic, json!([{"value": value.into()}])).assert_status(200);
}

#[test]
fn a_native_socket_publishes_and_receives() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let all = topic.trim_end_matches("/temperature").to_owned();
    let mut on_key = WebSocket::open(server, &topic);
    let mut on_all = WebSocket::open(server, &all);

    on_key.send(r#"[{"value":37.2}]"#);
    let text = on_key.text();
    assert_eq!(on_all.text(), text, "one update, one text");
    let shown = rest.get(&all);
    assert_eq!(text, shown.text(), "as REST shows it");

    on_all.send(r#"[{"key":"Temperature","value":38},{"key":"other","value":0}]"#);
    assert_eq!(on_all.json().as_array().map(Vec::len), Some(2));
    assert_eq!(on_key.json()[0]["value"], 38);

    let stored = rest.put(&topic, r#"[{"value":18446744073709551616.0}]"#);
    assert_eq!(on_key.text(), stored.text(), "to the letter");
}

#[test]
fn a_key_is_read_from_the_header_or_the_query() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let bearer = format!("Bearer {KEY}");
    for headers in [[("Authorization", KEY)], [("Authorization", &*bearer)]] {
        WebSocket::request(server, &topic, &headers).expect("a key in the header").close();
    }
    for query in [
        format!("access_token={KEY}"),
        format!("pubStates=0&access_token={KEY}"),
        format!("access_token={KEY}&unknown=1"),
    ] {
        let mut socket = WebSocket::request(server, &format!("{topic}?{query}"), &[]).expect(&query);
        socket.send(r#"[{"value":1}]"#);
        assert_eq!(socket.json()[0]["value"], 1, "{query}");
    }
    let slashed = format!("{topic}/?access_token={KEY}");
    WebSocket::request(server, &slashed, &[]).expect("a trailing slash").close();
}

#[test]
fn an_unauthorized_subscriber_gets_403_before_the_upgrade() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let unknown = "/thngs/Uabcdefghkmnpqrstwxy0123/properties/k";
    let wrong = KEY.to_lowercase();
    for (path, key) in [(&*topic, &*wrong), (&topic, "x"), (unknown, KEY), ("/thngs/x/properties/k", KEY)] {
        assert_eq!(WebSocket::request(server, path, &[("Authorization", key)]).err(), Some(403), "{path}");
        let in_query = format!("{path}?access_token={key}");
        assert_eq!(WebSocket::request(server, &in_query, &[]).err(), Some(403), "{in_query}");
    }
    let without_key = WebSocket::request(server, &topic, &[]).err();
    assert!(matches!(without_key, Some(401 | 403)), "{without_key:?}");
}

#[test]
fn a_path_that_is_no_topic_is_not_upgraded() {
    let server = Server::shared();
    for path in ["/", "/thngs", "/nothing", "/health", "/sdk/thng-pubsub.js", "/access", "/projects"] {
        let refused = WebSocket::request(server, path, &[("Authorization", KEY)]).err();
        assert!(matches!(refused, Some(403 | 404)), "{path}: {refused:?}");
    }
}

#[test]
fn an_invalid_option_value_is_400_and_an_unknown_path_404() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    for (options, naming) in [
        ("pubStates=abc", "pubStates"),
        ("pubStates=", "pubStates"),
        ("pubStates=1.5", "pubStates"),
        ("project=x", "project"),
        ("pubStates=1&project=", "project"),
    ] {
        let path = format!("{topic}?{options}");
        let refused = WebSocket::request(server, &path, &[("Authorization", KEY)]).err();
        assert_eq!(refused, Some(400), "{options}");
        let headers = [
            ("Authorization", KEY),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let document = server.rest().send("GET", &path, &headers, None).expect(400);
        assert!(document["errors"][0].as_str().is_some_and(|error| error.contains(naming)), "{document}");
    }
    for options in ["pubStates=0", "pubStates=7", "nobody=knows"] {
        WebSocket::open(server, &format!("{topic}?{options}")).close();
    }
}

#[test]
fn a_binary_frame_is_a_publish_as_a_text_frame_is() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let mut socket = WebSocket::open(server, &topic);
    socket.send(Message::binary(&br#"[{"value":"in binary"}]"#[..]));
    assert_eq!(socket.json()[0]["value"], "in binary", "what comes out is text");
    socket.send(Message::binary(&b"\xff\xfe"[..]));
    assert_eq!(socket.json()["status"], 400);
}

#[test]
fn a_topic_is_opened_under_v2_as_at_the_root() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut socket = WebSocket::open(server, &format!("/v2{topic}"));
    set(&mut rest, &topic, 1);
    assert_eq!(socket.json()[0]["value"], 1);
}

#[test]
fn a_socket_without_pongs_is_closed() {
    let server = Launch::new().flag("--websocket-ping-interval-s", "2").start();
    let topic = property(&mut server.rest());
    let mut mute = Raw::connect(server.http());
    let head = format!(
        "GET {topic}?access_token={KEY} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    mute.send(head.as_bytes());
    let mut answers = WebSocket::open(&server, &topic);
    for _ in 0..3 {
        assert_eq!(
            answers.receive(WAIT_MAX),
            Ok(Some(Message::Ping(Bytes::new()))),
            "which is answered at once"
        );
    }
    answers.send(r#"[{"value":"still open"}]"#);
    assert_eq!(answers.json()[0]["value"], "still open");
    mute.until_closed();
}

#[test]
fn the_refusal_of_an_upgrade_has_the_document_of_every_error() {
    let server = Server::shared();
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Authorization", KEY),
    ];
    let answer = server.rest().send("GET", "/thngs/Uabcdefghkmnpqrstwxy0123/properties", &upgrade, None);
    let document = answer.expect(403);
    assert_eq!(document["status"], 403);
    assert!(document["errors"][0].is_string(), "{document}");
}

#[test]
fn any_origin_may_open_a_socket_since_cookies_never_authorize() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let headers = [("Authorization", KEY), ("Origin", "https://app.example")];
    WebSocket::request(server, &topic, &headers).expect("any origin").close();
    let cookie = format!("authorization={KEY}; access_token={KEY}");
    let by_cookie = WebSocket::request(server, &topic, &[("Cookie", &cookie)]).err();
    assert!(matches!(by_cookie, Some(401 | 403)), "{by_cookie:?}");
}

#[test]
fn an_invalid_payload_gets_an_error_document() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut socket = WebSocket::open(server, &topic);
    let deep = "[".repeat(100_000);
    for payload in ["[{", "{}", "[]", "", "not json", r#"[{"key":"another","value":1}]"#, &deep] {
        socket.send(payload);
        let refusal = socket.json();
        assert_eq!(refusal["status"], 400, "{refusal}");
        assert!(refusal["errors"][0].is_string(), "{refusal}");
        assert_eq!(refusal.get("message"), None, "{refusal}");
    }
    socket.send(r#"[{"value":"still open"}]"#);
    assert_eq!(socket.json()[0]["value"], "still open");
    assert_eq!(rest.get(&topic).expect(200).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_publish_to_a_deleted_thng_gets_404() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut socket = WebSocket::open(server, &topic);
    rest.delete(topic.split("/properties").next().expect("a path")).assert_status(200);
    socket.send(r#"[{"value":1}]"#);
    assert_eq!(socket.json()["status"], 404);
}

#[test]
fn with_pub_states_a_native_socket_starts_with_the_value() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let all = topic.trim_end_matches("/temperature").to_owned();
    let mut empty = WebSocket::open(server, &format!("{topic}?pubStates=1"));
    set(&mut rest, &topic, "first");
    assert_eq!(empty.json()[0]["value"], "first", "where nothing was stored, the first update is the first");

    for (path, option) in
        [(&topic, "pubStates"), (&topic, "pubStates=true"), (&topic, "pubStates=1"), (&all, "pubStates=1")]
    {
        let mut socket = WebSocket::open(server, &format!("{path}?{option}"));
        assert_eq!(socket.text(), rest.get(&all).text());
    }
    let mut without = WebSocket::open(server, &topic);
    set(&mut rest, &topic, "second");
    assert_eq!(without.json()[0]["value"], "second");
}

#[test]
fn messages_are_stored_and_delivered_in_sending_order() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    let mut watcher = WebSocket::open(server, &topic);
    let mut socket = WebSocket::open(server, &topic);
    for n in 0..200 {
        socket.send(format!(r#"[{{"value":{n}}}]"#));
    }
    for n in 0..200 {
        assert_eq!(watcher.json()[0]["value"], n);
        assert_eq!(socket.json()[0]["value"], n);
    }
}

#[test]
fn a_message_may_come_in_fragments_with_a_ping_between_them() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let mut socket = WebSocket::open(server, &topic);
    let part = |text: &'static str, opcode, last| {
        Message::Frame(Frame::message(text.as_bytes(), OpCode::Data(opcode), last))
    };
    socket.send(part(r#"[{"val"#, Data::Text, false));
    socket.send(Message::Ping(Bytes::from_static(b"are you there")));
    socket.send(part(r#"ue":"grü"#, Data::Continue, false));
    socket.send(part(r#"n"}]"#, Data::Continue, true));
    let pong = socket.receive(WAIT_MAX).expect("open");
    assert_eq!(pong, Some(Message::Pong(Bytes::from_static(b"are you there"))));
    assert_eq!(socket.json()[0]["value"], "grün");
}

#[test]
fn a_goodbye_is_answered_and_the_server_goes_on() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    WebSocket::open(server, &topic).close();
    server.assert_serves();
}

#[test]
fn a_message_above_the_limit_closes_with_1009() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let of = |kibibytes: usize| format!(r#"[{{"value":"{}"}}]"#, "x".repeat(kibibytes * 1024));
    let mut socket = WebSocket::open(server, &topic);
    socket.send(of(100));
    assert_eq!(socket.json()[0]["value"].as_str().map(str::len), Some(100 * 1024));
    socket.send(of(200));
    assert_eq!(socket.ended(), CloseOutcome::Code(1009));
}

#[test]
fn text_that_is_not_utf_8_closes_with_1007() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let mut socket = WebSocket::open(server, &topic);
    let frame = Frame::message(&b"\"\xff\xfe\""[..], OpCode::Data(Data::Text), true);
    socket.send(Message::Frame(frame));
    assert_eq!(socket.ended(), CloseOutcome::Code(1007));
}

#[test]
fn an_extension_that_is_offered_is_not_taken() {
    let server = Server::shared();
    let topic = property(&mut server.rest());
    let headers =
        [("Authorization", KEY), ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")];
    // The harness refuses an answer that agrees on an extension.
    WebSocket::request(server, &topic, &headers).expect("the offer is passed over").close();
}

#[test]
fn a_socket_that_is_cut_is_forgotten() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = property(&mut rest);
    for _ in 0..20 {
        let mut socket = WebSocket::open(server, &topic);
        socket.stream().tcp().shutdown(Shutdown::Both).expect("it was open");
        let mut client = Client::connect_over_websocket(server);
        client.subscribed(&topic, QoS::AtLeastOnce);
        client.link().cut();
    }
    let mut watcher = WebSocket::open(server, &topic);
    set(&mut rest, &topic, "after");
    assert_eq!(watcher.json()[0]["value"], "after");
}
