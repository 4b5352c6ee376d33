//! What the HTTP port does with requests, handshakes and frames that no client should send.

use thng_pubsub_tests::canary::Canary;
use thng_pubsub_tests::link::{Arrival, Link, Raw};
use thng_pubsub_tests::wait::random;
use thng_pubsub_tests::{KEY, PATIENCE, Server};

/// A WebSocket handshake on this path with the operator's key.
fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: {KEY}\r\n\r\n"
    )
}

/// A socket on a property, opened by hand.
#[track_caller]
fn socket(server: &Server, path: &str) -> Raw {
    let mut raw = Raw::connect(server.http()).with(handshake(path).as_bytes());
    let head = raw.read_until(|received| received.ends_with(b"\r\n\r\n"));
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    raw
}

/// A frame as a client has to mask it: the first byte, and what it carries.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).expect("a short frame").to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The status line's number, or `None` where the server hung up without an answer.
fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

#[test]
fn a_malformed_request_is_answered_with_a_4xx_or_not_at_all() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let long = "x".repeat(100_000);
    let many: String = (0..5_000).map(|n| format!("H{n}: x\r\n")).collect();
    for request in [
        "\r\n\r\n\r\n\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /access\r\n\r\n".to_owned(),
        "GET /access HTTP/9.9\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET /é HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET /\u{1} HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET http://[:::]/access HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET /access HTTP/1.1\r\nno colon\r\n\r\n".to_owned(),
        "GET /access HTTP/1.1\r\n: nameless\r\n\r\n".to_owned(),
        "GET /access HTTP/1.1\r\nA\0B: x\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /access?access_token={long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /access HTTP/1.1\r\nAuthorization: {long}\r\n\r\n"),
        format!("GET /access HTTP/1.1\r\n{many}\r\n"),
        "POST /thngs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "POST /thngs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "POST /thngs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "POST /thngs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
            .to_owned(),
        "GET /%00%ff%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /sdk/../../operator.key HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /sdk/%2e%2e/%2e%2e/operator.key HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        let mut raw = Raw::connect(server.http()).with(request.as_bytes());
        raw.finish();
        let answer = raw.until_closed();
        let status = status(&answer);
        let shown = &request[..request.floor_char_boundary(60)];
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{shown:?}: {status:?}");
    }
    canary.sings();
}

#[test]
fn a_path_of_sixty_five_thousand_slashes_is_refused_also_as_a_websockets() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    for path in ["/".repeat(65_000), format!("/thngs{}", "/x".repeat(30_000))] {
        for request in [format!("GET {path} HTTP/1.1\r\nAuthorization: {KEY}\r\n\r\n"), handshake(&path)] {
            let mut raw = Raw::connect(server.http()).with(request.as_bytes());
            raw.finish();
            let answer = raw.until_closed();
            assert!(matches!(status(&answer), Some(400..500)), "{:?}", status(&answer));
        }
    }
    canary.sings();
}

#[test]
fn a_body_that_ends_before_its_announced_length_stores_nothing() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let mut canary = Canary::in_the(server);
    for sent in ["", "[", r#"[{"value":1}]"#] {
        let head = format!(
            "PUT {topic} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\nContent-Length: 100\r\n\r\n{sent}"
        );
        let mut raw = Raw::connect(server.http()).with(head.as_bytes());
        raw.finish();
        let answer = raw.until_closed();
        assert_ne!(status(&answer), Some(200));
    }
    assert_eq!(rest.get(&topic).expect(200), serde_json::json!([]));
    canary.sings();
}

#[test]
fn requests_that_are_sent_together_are_answered_in_their_order() {
    let server = Server::shared();
    let request = |path: &str, close: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n{close}\r\n")
    };
    let both = request("/nothing", "") + &request("/access", "Connection: close\r\n");
    let answers = Raw::connect(server.http()).with(both.as_bytes()).until_closed();
    let text = String::from_utf8(answers).expect("text");
    let lines: Vec<_> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(lines, ["404", "200"]);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_a_request() {
    let server = Server::shared();
    let mut raw = Raw::connect(server.http());
    let request =
        format!("GET /access HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {KEY}\r\n\r\n");
    for byte in request.bytes() {
        raw.send(&[byte]);
    }
    assert_eq!(status(&raw.until_closed()), Some(200));
}

#[test]
fn a_handshake_that_is_none_is_answered_with_a_4xx() {
    let server = Server::shared();
    let path = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut canary = Canary::in_the(server);
    for path in [&*path, "/mqtt"] {
        let whole = handshake(path);
        for (what, broken) in [
            ("no version", whole.replace("Sec-WebSocket-Version: 13\r\n", "")),
            ("an old version", whole.replace("Version: 13", "Version: 8")),
            ("no key", whole.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "")),
            ("another protocol", whole.replace("Upgrade: websocket", "Upgrade: irc")),
            ("another method", whole.replace("GET ", "DELETE ")),
            ("an older HTTP", whole.replace("HTTP/1.1", "HTTP/1.0")),
        ] {
            let mut raw = Raw::connect(server.http()).with(broken.as_bytes());
            raw.finish();
            let answer = raw.until_closed();
            assert_ne!(status(&answer), Some(101), "{what} on {path}");
        }
    }
    canary.sings();
}

#[test]
fn a_handshake_and_frames_that_come_byte_by_byte_are_served() {
    let server = Server::shared();
    let path = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut raw = Raw::connect(server.http());
    for byte in handshake(&path).bytes().chain(frame(0x81, br#"[{"value":"drop by drop"}]"#)) {
        raw.send(&[byte]);
    }
    let received = raw.read_until(|received| received.ends_with(b"}]"));
    assert!(String::from_utf8_lossy(&received).contains("drop by drop"));
}

#[test]
fn a_frame_that_breaks_the_protocol_ends_the_socket_of_who_sent_it_and_nothing_else() {
    let server = Server::shared();
    let path = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut canary = Canary::in_the(server);
    let mut unmasked = vec![0x81, 13];
    unmasked.extend(br#"[{"value":1}]"#);
    let long = [b'x'; 126];
    let split = [frame(0x01, b"[{"), frame(0x81, b"}]")].concat();
    let fragmented_ping = frame(0x09, b"ping");
    for path in [&*path, "/mqtt"] {
        for (what, bytes) in [
            ("an unmasked frame", unmasked.clone()),
            ("reserved bit 1, which an extension would need", frame(0xc1, b"x")),
            ("reserved bit 2", frame(0xa1, b"x")),
            ("reserved bit 3", frame(0x91, b"x")),
            ("opcode 3", frame(0x83, b"x")),
            ("opcode 15", frame(0x8f, b"x")),
            ("a fragmented ping", fragmented_ping.clone()),
            ("a ping of 126 bytes", frame(0x89, &long)),
            ("a continuation of nothing", frame(0x80, b"x")),
            ("a new message inside a fragmented one", split.clone()),
            ("a close frame of one byte", frame(0x88, b"x")),
            ("close code 0", frame(0x88, b"\x00\x00")),
            ("close code 999", frame(0x88, b"\x03\xe7")),
            ("close code 1005", frame(0x88, b"\x03\xed")),
            ("close code 1006", frame(0x88, b"\x03\xee")),
            ("a close reason that is no UTF-8", frame(0x88, b"\x03\xe8\xff")),
            ("a length with the highest bit", vec![0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("a frame of a gigabyte", vec![0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            let mut raw = if path == "/mqtt" { mqtt_socket(server) } else { socket(server, path) };
            raw.send(&bytes);
            let answer = raw.until_closed();
            let data_frame = answer.first().is_some_and(|first| matches!(first & 0x0f, 1 | 2));
            assert!(!data_frame, "{what} on {path} was answered with data: {answer:02x?}");
        }
    }
    canary.sings();
}

#[track_caller]
fn mqtt_socket(server: &Server) -> Raw {
    let request = handshake("/mqtt").replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n");
    let mut raw = Raw::connect(server.http()).with(request.as_bytes());
    raw.read_until(|received| received.starts_with(b"HTTP/1.1 101 ") && received.ends_with(b"\r\n\r\n"));
    raw
}

#[test]
fn a_flood_of_pings_and_empty_fragments_is_survived() {
    let server = Server::shared();
    let path = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut canary = Canary::in_the(server);
    let mut flood = socket(server, &path);
    let pings = frame(0x89, b"").repeat(10_000);
    flood.send(&pings);
    flood.send(&frame(0x01, b""));
    flood.send(&frame(0x00, b"").repeat(10_000));
    canary.sings();
    flood.cut();
    canary.sings();
}

#[test]
fn random_bytes_on_the_http_port_and_inside_a_socket_end_their_connection_and_nothing_else() {
    let mut random = random();
    let server = Server::shared();
    let path = format!("/thngs/{}/properties/k", server.rest().thng());
    let mut canary = Canary::in_the(server);
    for _ in 0..200 {
        let noise: Vec<u8> = (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
        let mut raw = Raw::connect(server.http()).with(&noise);
        raw.finish();
        raw.until_closed();
        let mut raw = socket(server, &path).with(&noise);
        raw.finish();
        raw.cut();
        let mut raw = mqtt_socket(server).with(&noise);
        raw.finish();
        raw.cut();
    }
    canary.sings();
}

#[test]
fn a_refused_upgrade_leaves_a_connection_that_can_be_closed() {
    let server = Server::shared();
    let request = handshake("/thngs/Uabcdefghkmnpqrstwxy0123/properties/k");
    let mut raw = Raw::connect(server.http()).with(request.as_bytes());
    let Arrival::Bytes(answer) = raw.receive(PATIENCE) else { panic!("an answer") };
    assert_eq!(status(&answer), Some(403));
    raw.finish();
    raw.until_closed();
}
