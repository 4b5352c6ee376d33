//! The end of a connection without use, and what happens without a network.

use thng_pubsub_protocol::mqtt::{Packet, QoS};

use super::world::packet_id;
use super::{Sent, World};
use crate::{effect::Notice, failure::Code, options::Options};

const IDLE_MS: u64 = 30_000;

fn idling() -> World {
    World::with(Options { idle_timeout_ms: IDLE_MS as u32, keep_alive_s: 0, ..Options::default() })
}

#[test]
fn a_connection_without_use_closes_by_itself() {
    let mut world = idling();
    world.connect();
    world.wait(IDLE_MS - 1);
    assert_eq!(world.open.len(), 1);
    world.wait(1);
    assert_eq!(world.take_one_sent(), Sent::Disconnect);
    assert!(world.open.is_empty());
    assert!(matches!(
        world.notices.as_slice(),
        [Notice::Disconnected { failure, retry_in_ms: None }] if failure.code == Code::Closed
    ));
}

#[test]
fn each_call_starts_the_idle_time_again() {
    let mut world = idling();
    world.connect();
    world.wait(IDLE_MS - 1);
    world.publish("/a", "1", QoS::AtMostOnce);
    world.wait(IDLE_MS - 1);
    assert_eq!(world.open.len(), 1);
    world.wait(1);
    assert!(world.open.is_empty());
}

#[test]
fn a_subscription_keeps_the_connection_until_it_is_closed() {
    let mut world = idling();
    world.subscribe("/a");
    world.accept();
    let id = world.take_one_sent().id();
    world.suback(id, &[0]);
    world.wait(2 * IDLE_MS);
    assert_eq!(world.open.len(), 1);
    world.unsubscribe("/a", None);
    let unsubscribe = world.take_sent().into_iter().find(|it| matches!(it, Sent::Unsubscribe { .. }));
    world.reply(&Packet::UnsubAck(packet_id(unsubscribe.expect("it is sent").id())));
    world.wait(IDLE_MS);
    assert!(world.session.is_ended() && world.open.is_empty());
}

#[test]
fn a_publish_without_acknowledgement_keeps_the_connection() {
    let options = Options { idle_timeout_ms: 1_000, ..Options::default() };
    let mut world = World::with(options);
    world.connect();
    world.publish("/a", "1", QoS::AtLeastOnce);
    let id = world.take_one_sent().id();
    world.wait(29_000);
    assert_eq!(world.open.len(), 1);
    world.puback(id);
    world.wait(1_000);
    assert!(world.session.is_ended());
}

#[test]
fn bytes_that_the_network_has_not_taken_keep_the_connection() {
    let mut world = idling();
    world.connect();
    world.is_stalled = true;
    world.publish("/a", "1", QoS::AtMostOnce);
    world.wait(IDLE_MS + 1);
    assert_eq!(world.open.len(), 1);
}

#[test]
fn bytes_that_leave_in_time_do_not_delay_the_idle_close() {
    let mut world = idling();
    world.connect();
    world.is_stalled = true;
    world.publish("/a", "1", QoS::AtMostOnce);
    world.wait(10);
    world.drain();
    world.wait(IDLE_MS - 11);
    assert_eq!(world.open.len(), 1);
    world.wait(1);
    assert!(world.session.is_ended() && world.open.is_empty());
}

#[test]
fn bytes_that_leave_late_are_followed_by_the_idle_close() {
    let mut world = idling();
    world.connect();
    world.is_stalled = true;
    world.publish("/a", "1", QoS::AtMostOnce);
    world.wait(2 * IDLE_MS);
    assert_eq!(world.open.len(), 1);
    world.drain();
    world.wait(100);
    assert!(world.session.is_ended() && world.open.is_empty());
}

#[test]
fn a_lost_connection_without_use_is_not_made_again_for_long() {
    let options = Options {
        idle_timeout_ms: 1_000,
        reconnect_ms: 60_000,
        reconnect_ms_max: 60_000,
        ..Options::default()
    };
    let mut world = World::with(options);
    world.connect();
    world.lose();
    world.wait(1_000);
    assert!(world.session.is_ended());
    assert_eq!(world.session.poll_timeout(), None);
}

#[test]
fn offline_ends_the_connection_and_no_attempt_is_made() {
    let mut world = idling();
    let call = world.subscribe("/a");
    world.accept();
    world.offline();
    assert!(world.open.is_empty());
    assert!(matches!(
        world.notices.last(),
        Some(Notice::Disconnected { failure, retry_in_ms: Some(u64::MAX) }) if failure.code == Code::ConnectionLost
    ));
    world.wait(3_600_000);
    assert_eq!((world.sockets_opened, world.outcome(call)), (1, None));
    world.wake();
    world.accept();
    let id = world.take_one_sent().id();
    world.suback(id, &[0]);
    assert_eq!(world.outcome(call), Some(&Ok(())));
}

#[test]
fn going_offline_is_no_fault_of_the_calls_that_wait() {
    let mut world = World::new();
    world.connect();
    let publish = world.publish("/a", "1", QoS::AtLeastOnce);
    let subscribe = world.subscribe("/b");
    for _ in 0..10 {
        world.offline();
        world.wake();
        world.accept();
    }
    assert_eq!((world.outcome(publish), world.outcome(subscribe)), (None, None));
    let sent = world.take_sent();
    assert!(matches!(sent[..], [Sent::Subscribe { .. }, Sent::Publish { dup: true, .. }]), "{sent:?}");
    world.suback(sent[0].id(), &[0]);
    world.puback(sent[1].id());
    assert_eq!((world.outcome(publish), world.outcome(subscribe)), (Some(&Ok(())), Some(&Ok(()))));
}

#[test]
fn a_page_that_starts_offline_waits_for_the_network() {
    let mut world = World::with(Options { retry_first_connection: true, ..Options::default() });
    world.session.offline(world.now);
    let call = world.publish("/a", "1", QoS::AtMostOnce);
    assert_eq!((world.sockets_opened, world.outcome(call)), (0, None));
    world.session.wake(world.now);
    world.run();
    world.accept();
    assert_eq!(world.outcome(call), Some(&Ok(())));
}

#[test]
fn without_retries_a_page_that_starts_offline_fails_at_once() {
    let mut world = World::new();
    world.session.offline(world.now);
    let call = world.publish("/a", "1", QoS::AtMostOnce);
    assert_eq!(world.code(call), Some(Code::Handshake));
}
