//! The first connection: when it is opened, what is said, and how it can fail.

use thng_pubsub_protocol::mqtt::{ConnAck, ConnectCode, Packet, QoS};

use super::world::{KEY, encode, publish};
use super::{Sent, World};
use crate::{
    effect::{Notice, SocketId},
    failure::Code,
    options::Options,
};

#[test]
fn nothing_is_opened_before_the_first_call() {
    let world = World::new();
    assert_eq!(world.sockets_opened, 0);
    assert_eq!(world.session.poll_timeout(), None);
}

#[test]
fn connect_carries_the_key_as_password_of_user_authorization() {
    let mut world = World::new();
    world.subscribe("/thngs/x/properties/a");
    world.open_socket();
    assert_eq!(
        world.take_one_sent(),
        Sent::Connect {
            client_id: "client".into(),
            user_name: "authorization".into(),
            password: KEY.into(),
            keep_alive_s: 50,
            clean_session: true,
        }
    );
}

#[test]
fn several_calls_share_one_connection() {
    let mut world = World::new();
    world.subscribe("/a");
    world.subscribe("/b");
    world.publish("/c", "1", QoS::AtMostOnce);
    assert_eq!(world.sockets_opened, 1);
    world.accept();
    assert_eq!(world.notices, [Notice::Connecting, Notice::Connected]);
}

#[test]
fn a_bad_key_rejects_every_waiting_call_and_is_not_tried_again() {
    for code in [ConnectCode::BadUserNameOrPassword, ConnectCode::NotAuthorised] {
        let mut world = World::new();
        let calls = [world.subscribe("/a"), world.publish("/b", "1", QoS::AtLeastOnce)];
        world.open_socket();
        world.connack(code);
        for call in calls {
            assert_eq!(world.code(call), Some(Code::Unauthorized));
        }
        assert!(world.session.is_ended());
        assert!(world.open.is_empty(), "the socket is closed");
        world.wait(3_600_000);
        assert_eq!(world.sockets_opened, 1);
    }
}

#[test]
fn a_refusal_names_the_topic_of_each_call() {
    let mut world = World::new();
    let subscribe = world.subscribe("/a");
    let publish = world.publish("/b", "1", QoS::AtMostOnce);
    world.open_socket();
    world.connack(ConnectCode::NotAuthorised);
    assert_eq!(world.outcome(subscribe), Some(&Err((Code::Unauthorized, Some("/a".into())))));
    assert_eq!(world.outcome(publish), Some(&Err((Code::Unauthorized, Some("/b".into())))));
    assert!(world.failures.iter().all(|failure| failure.detail == "CONNACK 5"));
}

#[test]
fn a_call_after_the_refusal_fails_at_once_with_the_same_code() {
    let mut world = World::new();
    world.subscribe("/a");
    world.open_socket();
    world.connack(ConnectCode::NotAuthorised);
    let late = world.publish("/b", "1", QoS::AtMostOnce);
    assert_eq!(world.code(late), Some(Code::Unauthorized));
}

#[test]
fn other_refusals_of_the_first_connection_have_their_own_codes() {
    for (connack, code) in [
        (ConnectCode::UnacceptableProtocolVersion, Code::ConnectRefused),
        (ConnectCode::IdentifierRejected, Code::ConnectRefused),
        (ConnectCode::ServerUnavailable, Code::ServerUnavailable),
    ] {
        let mut world = World::new();
        let call = world.subscribe("/a");
        world.open_socket();
        world.connack(connack);
        assert_eq!(world.code(call), Some(code));
        assert!(world.session.is_ended());
    }
}

#[test]
fn an_error_before_open_ends_the_socket_even_without_close() {
    let mut world = World::new();
    let call = world.subscribe("/a");
    let socket = world.socket();
    world.session.socket_failed(socket, "Unexpected server response: 403", world.now);
    world.run();
    assert_eq!(world.session.poll_timeout(), None);
    world.close();
    assert_eq!(world.code(call), Some(Code::Handshake));
    assert_eq!(world.failures[0].detail, "Unexpected server response: 403");
    assert!(world.open.is_empty());
}

#[test]
fn an_error_and_then_a_close_settle_a_call_once() {
    let mut world = World::new();
    let call = world.subscribe("/a");
    let socket = world.socket();
    world.session.socket_failed(socket, "refused", world.now);
    world.session.socket_closed(socket, "WebSocket close code 1006", world.now);
    world.run();
    world.close();
    assert_eq!(world.code(call), Some(Code::Handshake));
}

#[test]
fn an_error_of_an_open_socket_waits_for_its_close() {
    let mut world = World::new();
    world.connect();
    let socket = world.socket();
    world.session.socket_failed(socket, "hiccup", world.now);
    world.run();
    assert_eq!(world.open, [socket]);
}

#[test]
fn a_server_that_closes_before_connack_is_a_failed_handshake() {
    let mut world = World::new();
    let call = world.subscribe("/a");
    world.open_socket();
    world.lose();
    assert_eq!(world.code(call), Some(Code::Handshake));
}

#[test]
fn a_socket_that_never_opens_times_out() {
    let mut world = World::with(Options { connect_timeout_ms: 5_000, ..Options::default() });
    let call = world.subscribe("/a");
    world.wait(4_999);
    assert_eq!(world.outcome(call), None);
    world.wait(1);
    assert_eq!(world.code(call), Some(Code::Timeout));
    assert!(world.open.is_empty());
}

#[test]
fn a_connack_that_never_comes_times_out_counted_from_the_start() {
    let mut world = World::with(Options { connect_timeout_ms: 5_000, ..Options::default() });
    let call = world.subscribe("/a");
    world.wait(4_000);
    world.open_socket();
    world.wait(999);
    assert_eq!(world.outcome(call), None);
    world.wait(1);
    assert_eq!(world.code(call), Some(Code::Timeout));
}

#[test]
fn what_is_not_mqtt_is_a_protocol_failure() {
    for bytes in [
        b"HTTP/1.1 400 Bad Request".as_slice(),
        // A PINGRESP before CONNACK.
        &[0xD0, 0],
        // A reserved packet type.
        &[0xF0, 0],
    ] {
        let mut world = World::new();
        let call = world.subscribe("/a");
        world.open_socket();
        world.reply_bytes(bytes);
        assert_eq!(world.code(call), Some(Code::Protocol), "{bytes:?}");
        assert!(world.open.is_empty());
    }
}

#[test]
fn packets_may_be_split_and_joined_in_any_way() {
    let bytes = [
        encode(&Packet::ConnAck(ConnAck { session_present: false, code: ConnectCode::Accepted })),
        encode(&Packet::Publish(publish("/a", "one", None))),
        encode(&Packet::Publish(publish("/a", "two", None))),
        encode(&Packet::PingResp),
    ]
    .concat();
    for size in 1..=bytes.len() {
        let mut world = World::new();
        let call = world.subscribe("/a");
        world.open_socket();
        for chunk in bytes.chunks(size) {
            world.reply_bytes(chunk);
        }
        let expected = [(vec![call], "one".into()), (vec![call], "two".into())];
        assert_eq!(world.delivered, expected, "in chunks of {size}");
    }
}

#[test]
fn half_a_packet_of_a_lost_connection_spoils_nothing() {
    let mut world = World::new();
    world.connect();
    world.reply_bytes(&[0x30, 100, 0, 2]);
    world.lose();
    world.wait_for_reconnect();
    world.accept();
    assert_eq!(world.notices.last(), Some(&Notice::Connected));
}

#[test]
fn late_events_of_an_old_socket_are_ignored() {
    let mut world = World::new();
    let call = world.subscribe("/a");
    world.accept();
    world.take_sent();
    let old = world.socket();
    world.lose();
    world.wait_for_reconnect();
    let now = world.now;
    world.session.socket_opened(old, now);
    world.session.socket_received(old, &encode(&Packet::Publish(publish("/a", "late", None))), now);
    world.session.socket_failed(old, "late", now);
    world.session.socket_closed(old, "late", now);
    world.session.socket_closed(SocketId(9_999), "nobody", now);
    world.accept();
    assert!(world.delivered.is_empty());
    assert_eq!(world.outcome(call), None, "it still waits for its SUBACK");
}

#[test]
fn closing_says_goodbye_and_rejects_what_waits() {
    let mut world = World::new();
    world.connect();
    let subscribe = world.subscribe("/a");
    let publish = world.publish("/b", "1", QoS::AtLeastOnce);
    world.take_sent();
    world.close();
    assert_eq!(world.take_one_sent(), Sent::Disconnect);
    assert_eq!(world.code(subscribe), Some(Code::Closed));
    assert_eq!(world.code(publish), Some(Code::Closed));
    assert!(world.open.is_empty());
    assert_eq!(world.session.poll_timeout(), None, "nothing keeps the program running");
    let late = world.subscribe("/c");
    assert_eq!(world.code(late), Some(Code::Closed));
}

#[test]
fn closing_before_the_connection_closes_without_disconnect() {
    let mut world = World::new();
    let call = world.subscribe("/a");
    world.open_socket();
    world.take_sent();
    world.close();
    assert!(world.take_sent().is_empty());
    assert!(world.open.is_empty());
    assert_eq!(world.code(call), Some(Code::Closed));
}

#[test]
fn closing_is_no_error_and_may_be_done_twice() {
    let mut world = World::new();
    world.connect();
    world.close();
    world.close();
    assert!(matches!(
        world.notices.as_slice(),
        [Notice::Disconnected { failure, retry_in_ms: None }] if failure.code == Code::Closed
    ));
}
