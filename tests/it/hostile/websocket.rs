//! WebSocket handshakes and frames that no client should send, on a topic's own path and at `/mqtt`.
//!
//! The rules are those of RFC 6455; `docs/security.md` lists the cases.

use thng_pubsub_protocol::mqtt::{Packet, PacketId, QoS};
use thng_pubsub_tests::canary::Canary;
use thng_pubsub_tests::frames::{Frame, Frames, MQTT, NONCE, frame, handshake, status};
use thng_pubsub_tests::link::{Arrival, Link as _, Raw};
use thng_pubsub_tests::mqtt::{Hello, encoded, publish};
use thng_pubsub_tests::websocket::CloseOutcome;
use thng_pubsub_tests::{KEY, Server, WAIT_MAX};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;
/// The bit of a frame that ends its message.
const FIN: u8 = 0x80;

const PROTOCOL: u16 = 1002;
const NOT_UTF_8: u16 = 1007;
const TOO_LARGE: u16 = 1009;

const CONNACK: &[u8] = b"\x20\x02\x00\x00";

/// The paths of both kinds of socket: a property of a new thng, and MQTT's.
fn paths(server: &Server) -> [String; 2] {
    [format!("/thngs/{}/properties/k", server.rest().thng()), "/mqtt".to_owned()]
}

/// The bytes of one message on this path.
fn message_bytes_max(path: &str) -> u64 {
    if path == "/mqtt" { 1024 * 1024 } else { 128 * 1024 }
}

/// What the server answers to a head and whatever follows it, up to the end.
#[track_caller]
fn answer(server: &Server, request: &str) -> Vec<u8> {
    let mut raw = Raw::connect(server.http()).with(request.as_bytes());
    let mut received = match raw.receive(WAIT_MAX) {
        Arrival::Bytes(bytes) => bytes,
        Arrival::Closed => return Vec::new(),
        Arrival::Nothing => panic!("no answer in {WAIT_MAX:?}"),
    };
    // Not before: a client that disconnects gets no answer.
    raw.finish();
    received.extend(raw.until_closed());
    received
}

/// A frame whose header announces so many bytes, of which none comes.
fn announcing(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first, FIN | 127];
    header.extend(length.to_be_bytes());
    header.extend([0; 4]);
    header
}

/// Shows that bytes close the socket that they come on: a native one with this code, MQTT's with it or without one.
#[track_caller]
fn assert_closes(server: &Server, path: &str, what: &str, bytes: &[u8], code: u16) {
    let mut socket = Frames::open(server, path);
    socket.send(bytes);
    assert_eq!(socket.ended(), CloseOutcome::Code(code), "{what} on {path}");
}

/// The bug classes 16 (a compressed bomb, CVE-2026-39804) and 17 (CVE-2023-43669) are among them.
#[test]
fn an_invalid_frame_closes_only_its_own_socket() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let unmasked = [&[FIN | TEXT, 13], &br#"[{"value":1}]"#[..]].concat();
    let long = [b'x'; 126];
    for path in &paths(server) {
        for (what, bytes, code) in [
            ("an unmasked frame", unmasked.clone(), PROTOCOL),
            ("an unmasked ping", vec![0x89, 0], PROTOCOL),
            ("reserved bit 1, which compression would need", frame(0xc1, b"x"), PROTOCOL),
            ("reserved bit 1 on a ping", frame(0xc9, b"x"), PROTOCOL),
            ("reserved bit 2", frame(0xa1, b"x"), PROTOCOL),
            ("reserved bit 3", frame(0x91, b"x"), PROTOCOL),
            ("opcode 3", frame(0x83, b"x"), PROTOCOL),
            ("opcode 7", frame(0x87, b"x"), PROTOCOL),
            ("opcode 11", frame(0x8b, b"x"), PROTOCOL),
            ("opcode 15", frame(0x8f, b"x"), PROTOCOL),
            ("a fragmented ping", frame(0x09, b"ping"), PROTOCOL),
            ("a fragmented pong", frame(0x0a, b"pong"), PROTOCOL),
            ("a fragmented close", frame(0x08, b"\x03\xe8"), PROTOCOL),
            ("a ping of 126 bytes", frame(0x89, &long), PROTOCOL),
            ("a pong of 126 bytes", frame(0x8a, &long), PROTOCOL),
            ("a close of 126 bytes", frame(0x88, &[b"\x03\xe8", &long[2..]].concat()), PROTOCOL),
            ("a continuation of nothing", frame(0x80, b"x"), PROTOCOL),
            ("a text inside a fragmented one", [frame(0x01, b"[{"), frame(0x81, b"}]")].concat(), PROTOCOL),
            ("a binary inside a fragmented text", [frame(0x01, b"["), frame(0x82, b"]")].concat(), PROTOCOL),
            ("a close of one byte", frame(0x88, b"x"), PROTOCOL),
            ("a close reason that is no UTF-8", frame(0x88, b"\x03\xe8\xff"), NOT_UTF_8),
            ("a length with the highest bit", announcing(0x81, 1 << 63), TOO_LARGE),
            ("the largest length of all", announcing(0x82, u64::MAX), TOO_LARGE),
            ("a gigabyte", announcing(0x82, 1 << 30), TOO_LARGE),
            ("a byte more than a message may have", announcing(0x82, message_bytes_max(path) + 1), TOO_LARGE),
            ("a ping of a gigabyte", announcing(0x89, 1 << 30), TOO_LARGE),
        ] {
            assert_closes(server, path, what, &bytes, code);
        }
    }
    canary.sings();
}

#[test]
fn invalid_close_codes_get_1002_and_valid_ones_are_echoed() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let never = (0..1_000).step_by(111).chain([1_004, 1_005, 1_006, 1_015, 1_016, 1_100, 2_000, 2_999]);
    let never = never.chain([5_000, 9_999, 65_535]).map(|code| (code, PROTOCOL));
    let good = (1_000..=1_003).chain(1_007..=1_011).chain([3_000, 3_999, 4_000, 4_999]);
    let cases: Vec<(u16, u16)> = never.chain(good.map(|code| (code, code))).collect();
    for path in &paths(server) {
        for (sent, answered) in &cases {
            let what = format!("close code {sent}");
            assert_closes(server, path, &what, &frame(0x88, &sent.to_be_bytes()), *answered);
        }
        let mut socket = Frames::open(server, path);
        socket.send(&frame(0x88, b""));
        assert_eq!(socket.payload(CLOSE), b"", "a close without a code is answered with one without");
        assert_eq!(socket.receive(), None, "and with the end");
    }
    canary.sings();
}

/// Bug class 4 (CVE-2017-7653): a payload that is no text is passed on to no client.
#[test]
fn text_is_checked_as_utf_8_across_fragments() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let [path, _] = &paths(server);
    let mut watcher = Frames::open(server, path);
    for (what, fragments) in [
        ("no UTF-8", &[&b"\"\xff\""[..]][..]),
        ("a surrogate", &[b"\"\xed\xa0\x80\""]),
        ("an overlong slash", &[b"\"\xc0\xaf\""]),
        ("a code point beyond the last", &[b"\"\xf4\x90\x80\x80\""]),
        ("half a code point at the end", &[b"\"gr\xc3"]),
        ("half a code point at the end of the last fragment", &[b"\"gr", b"\xc3"]),
        ("half a code point that something else follows", &[b"\"gr\xc3", b"n\""]),
        ("a wrong byte in the first fragment", &[b"\"\xff", b"\""]),
        ("a wrong byte in the last fragment", &[b"\"", b"", b"\xff\""]),
    ] {
        let last = fragments.len() - 1;
        let bytes = fragments.iter().enumerate().flat_map(|(n, fragment)| {
            frame(if n == 0 { TEXT } else { 0 } | if n == last { FIN } else { 0 }, fragment)
        });
        assert_closes(server, path, what, &bytes.collect::<Vec<_>>(), NOT_UTF_8);
    }
    let whole = r#"[{"value":"grün 日本 💡"}]"#.as_bytes();
    let mut socket = Frames::open(server, path);
    socket.send(&frame(TEXT, b""));
    for byte in whole {
        socket.send(&frame(0, &[*byte]));
    }
    socket.send(&frame(FIN, b""));
    for socket in [&mut socket, &mut watcher] {
        let text = String::from_utf8(socket.payload(TEXT)).expect("UTF-8");
        assert!(text.contains("grün 日本 💡"), "the first that is heard is this: {text}");
    }
    canary.sings();
}

#[test]
fn fragments_form_one_message_within_the_message_limit() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let [path, mqtt] = &paths(server);
    let mut native = Frames::open(server, path);
    for (first, part) in [(TEXT, &br#"[{"val"#[..]), (0, br#"ue":"wh"#)] {
        native.send(&frame(first, part));
        native.send(&frame(0x89, part));
        assert_eq!(native.payload(PONG), part, "a ping is answered between fragments");
    }
    native.send(&frame(FIN, br#"ole"}]"#));
    assert!(String::from_utf8_lossy(&native.payload(TEXT)).contains("whole"));
    let mut framed = Frames::open(server, mqtt);
    let connect = Hello::with_key(KEY).bytes();
    framed.send(&frame(BINARY, &connect[..3]));
    framed.send(&frame(0x89, b"?"));
    framed.send(&frame(FIN, &connect[3..]));
    assert_eq!(framed.payload(PONG), b"?");
    assert_eq!(framed.payload(BINARY), CONNACK);

    let part = [b' '; 40_000];
    let fragments = [frame(BINARY, &part), frame(0, &part).repeat(2), frame(FIN, &part)].concat();
    for path in [path, mqtt] {
        assert_closes(server, path, "fragments that are too large together", &fragments, TOO_LARGE);
    }
    canary.sings();
}

/// Bug class 14: a handshake and frames of which every byte comes alone.
#[test]
fn byte_by_byte_handshakes_and_frames_are_served() {
    let server = Server::shared();
    let [path, mqtt] = &paths(server);
    let dripped = |path: &str, frame: &[u8]| {
        let mut raw = Raw::connect(server.http());
        handshake(path, "").bytes().chain(frame.iter().copied()).for_each(|byte| raw.send(&[byte]));
        Frames::opened(raw)
    };
    let mut native = dripped(path, &frame(FIN | TEXT, br#"[{"value":"drop by drop"}]"#));
    assert!(String::from_utf8_lossy(&native.payload(TEXT)).contains("drop by drop"));
    let mut framed = dripped(mqtt, &frame(FIN | BINARY, &Hello::with_key(KEY).bytes()));
    assert_eq!(framed.payload(BINARY), CONNACK);
}

#[test]
fn an_incomplete_handshake_gets_426_or_400_with_the_reason() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    for path in &paths(server) {
        let whole = handshake(path, "Connection: close\r\n");
        for (what, broken, statuses) in [
            ("no Connection", whole.replace("Connection: Upgrade\r\n", ""), &[426][..]),
            ("another Connection", whole.replace("Connection: Upgrade", "Connection: keep-alive"), &[426]),
            ("no nonce", whole.replace(NONCE, ""), &[400]),
            ("no version", whole.replace("Sec-WebSocket-Version: 13\r\n", ""), &[426]),
            ("an old version", whole.replace("Version: 13", "Version: 8"), &[426]),
            ("a later version", whole.replace("Version: 13", "Version: 14"), &[426]),
            ("another method", whole.replace("GET ", "POST "), &[400, 405]),
            ("an older HTTP", whole.replace("HTTP/1.1", "HTTP/1.0"), &[400, 426]),
        ] {
            let answer = answer(server, &broken);
            let answered = status(&answer).unwrap_or_default();
            assert!(statuses.contains(&answered), "{what} on {path}: {answered}");
            let head = String::from_utf8_lossy(&answer).to_lowercase();
            for said in ["\r\nupgrade: websocket\r\n", "\r\nsec-websocket-version: 13\r\n"] {
                assert_eq!(head.contains(said), answered == 426, "{what} on {path}: {head}");
            }
        }
        // Without the wish to upgrade it is a request like any other.
        for lacking in ["Upgrade: websocket\r\n", "websocket\r\n"] {
            let answered = status(&answer(server, &whole.replace(lacking, "irc\r\n")));
            assert!(matches!(answered, Some(200 | 400 | 426)), "{lacking:?} on {path}: {answered:?}");
        }
    }
    canary.sings();
}

/// Bug class 17: slow expressions over `Sec-WebSocket-Protocol` (CVE-2021-32640), long headers (CVE-2023-43669).
#[test]
fn a_strange_or_endless_handshake_head_is_refused() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let protocols = |value: &str| format!("Sec-WebSocket-Protocol: {value}\r\n");
    let [path, mqtt] = &paths(server);
    for (what, lines, statuses) in [
        ("no sub-protocol", String::new(), &[400][..]),
        ("one that nobody knows", protocols("soap"), &[400]),
        ("MQTT's name in another", protocols("mqttv5, xmqtt, mqtt2, mqtt.org"), &[400]),
        ("MQTT's among others", protocols("soap ,mqtt,  wamp"), &[101]),
        ("blanks without end", protocols(&format!("mqtt{}x", " ".repeat(25_000))), &[400]),
        ("commas without end", protocols(&format!("{}mqtt", ",".repeat(25_000))), &[101, 400]),
        ("ten thousand names", protocols(&"m,".repeat(10_000)), &[400]),
        ("a head that is too long", protocols(&"x".repeat(64 * 1024)), &[400, 431]),
        ("a thousand headers", (0..1_000).map(|n| format!("H{n}: x\r\n")).collect(), &[400, 431]),
        ("a nonce that is too long", format!("Sec-WebSocket-Key: {}\r\n", "A".repeat(20_000)), &[400]),
    ] {
        let request = handshake(mqtt, &lines).replacen(MQTT, "", 1);
        let answered = status(&answer(server, &request)).unwrap_or_default();
        assert!(statuses.contains(&answered), "{what}: {answered}");
    }
    let native = Frames::opened(
        Raw::connect(server.http()).with(handshake(path, &protocols("mqtt, graphql-ws")).as_bytes()),
    );
    assert!(
        !native.head.to_lowercase().contains("sec-websocket-protocol"),
        "none is spoken: {}",
        native.head
    );
    canary.sings();
}

#[test]
fn bytes_around_a_handshake_are_read_in_order() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let [path, mqtt] = &paths(server);
    let value = frame(FIN | TEXT, br#"[{"value":"at once"}]"#);
    let connect = frame(FIN | BINARY, &Hello::with_key(KEY).bytes());
    for (path, first, opcode) in [(path, &value, TEXT), (mqtt, &connect, BINARY)] {
        let upgrade = handshake(path, "");
        let get = format!("GET /access HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n\r\n");

        let followed = Raw::connect(server.http()).with(format!("{upgrade}{get}").as_bytes());
        let end = Frames::opened(followed).ended();
        assert!(
            matches!(end, CloseOutcome::Code(PROTOCOL) | CloseOutcome::Cut),
            "a request is no frame: {end:?}"
        );

        let at_once = [upgrade.as_bytes(), first].concat();
        Frames::opened(Raw::connect(server.http()).with(&at_once)).payload(opcode);

        let mut raw = Raw::connect(server.http()).with(get.as_bytes()).with(&at_once);
        let is_whole = |received: &[u8]| String::from_utf8_lossy(received).contains("HTTP/1.1 101 ");
        let received = raw.read_until(is_whole);
        assert_eq!(status(&received), Some(200), "the request in front has its answer");
    }
    canary.sings();
}

/// Bug class 16: a compressed message that is a bomb (CVE-2026-39804). Nothing is ever decompressed.
#[test]
fn compression_is_never_negotiated_and_closes_the_socket() {
    let server = Server::shared();
    for path in &paths(server) {
        for offer in
            ["permessage-deflate", "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"]
        {
            let offered = handshake(path, &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
            let mut socket = Frames::opened(Raw::connect(server.http()).with(offered.as_bytes()));
            assert!(!socket.head.to_lowercase().contains("sec-websocket-extensions"), "{}", socket.head);
            // `Hello`, compressed: the example of RFC 7692, 7.2.3.1.
            socket.send(&frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"));
            let end = socket.ended();
            assert!(
                end == CloseOutcome::Code(PROTOCOL) || path == "/mqtt" && end == CloseOutcome::Cut,
                "{end:?}"
            );
        }
    }
}

/// Bug class 2: a packet that is longer than its frame (CVE-2026-25627).
#[test]
fn a_packet_longer_than_its_frame_waits_for_the_next() {
    let server = Server::shared();
    let mut canary = Canary::in_the(server);
    let [topic, mqtt] = &paths(server);
    let connected = || {
        let mut socket = Frames::open(server, mqtt);
        socket.send(&frame(FIN | BINARY, &Hello::with_key(KEY).bytes()));
        assert_eq!(socket.payload(BINARY), CONNACK);
        socket
    };
    let of = |value: &str, id| encoded(&Packet::Publish(publish(topic, value, QoS::AtLeastOnce, Some(id))));
    let ids = (PacketId::MIN, PacketId::MIN.successor());
    let (first, second) = (of(r#"[{"value":"first"}]"#, ids.0), of(r#"[{"value":"second"}]"#, ids.1));

    let mut socket = connected();
    let (begun, rest) = first.split_at(first.len() / 2);
    socket.send(&frame(FIN | BINARY, begun));
    socket.send(&frame(FIN | BINARY, &[rest, &second].concat()));
    let acknowledged = b"\x40\x02\x00\x01\x40\x02\x00\x02";
    let mut received = Vec::new();
    while received.len() < acknowledged.len() {
        let Some(Frame { opcode: BINARY, payload }) = socket.receive() else {
            panic!("after {received:02x?}")
        };
        received.extend(payload);
    }
    assert_eq!(received, acknowledged);

    for unfinished in
        [begun, &first[..2], b"\x30\xff\xff\xff\x7f", b"\x30\xff\xff\xff\xff\x01", b"\x82\x7f\x00\x01"]
    {
        let mut socket = connected();
        socket.send(&frame(FIN | BINARY, unfinished));
        socket.send(&frame(0x88, b"\x03\xe8"));
        let end = socket.ended();
        assert!(matches!(end, CloseOutcome::Code(1_000) | CloseOutcome::Cut), "{unfinished:02x?}: {end:?}");
    }
    let history = server.rest().get(topic).expect(200);
    assert_eq!(history.as_array().map(Vec::len), Some(2), "what was not whole is not there: {history}");
    canary.sings();
}
