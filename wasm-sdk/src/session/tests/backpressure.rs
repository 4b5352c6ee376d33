//! A network that takes bytes slowly, or not at all.

use thng_pubsub_protocol::mqtt::QoS;

use super::{Sent, World};
use crate::{
    failure::Code, options::Options, send_buffer::BUFFERED_BYTES_MAX, session::outgoing::SEND_BYTES_MAX,
};

/// Bytes of a payload of the tests.
const PAYLOAD: usize = 1_000;

/// A connected session whose socket takes all that the session sends, and whose network takes nothing of it.
fn stalled(options: Options) -> World {
    let mut world = World::with(options);
    world.connect();
    world.is_stalled = true;
    world
}

/// Publishes numbered messages, at QoS 0 and 1 in turn, and returns the calls.
fn publish(world: &mut World, numbers: std::ops::Range<usize>) -> Vec<u32> {
    let qos = |n| if n % 2 == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    numbers.map(|n| world.publish("/a", &format!("{n:0PAYLOAD$}"), qos(n))).collect()
}

fn numbers(sent: &[Sent]) -> Vec<usize> {
    let publishes = sent.iter().filter_map(|it| match it {
        Sent::Publish { payload, .. } => Some(payload.parse().unwrap()),
        _ => None,
    });
    publishes.collect()
}

/// The network takes everything, and time passes in which that shows.
fn drain(world: &mut World) {
    world.drain();
    world.wait(100);
}

#[test]
fn a_full_buffer_holds_publishes_until_it_drains() {
    let mut world = stalled(Options::default());
    let calls = publish(&mut world, 0..500);
    let before = numbers(&world.take_sent());
    assert!((1..500).contains(&before.len()), "{} were sent", before.len());
    assert!(world.buffered <= BUFFERED_BYTES_MAX + SEND_BYTES_MAX, "{} bytes", world.buffered);
    world.wait(10_000);
    assert_eq!(world.sent, [], "the network has taken nothing");
    assert_eq!(world.outcome(calls[498]), None, "QoS 0 waits too");
    drain(&mut world);
    let after = numbers(&world.take_sent());
    assert_eq!([before, after].concat(), (0..500).collect::<Vec<_>>());
    assert_eq!(world.outcome(calls[498]), Some(&Ok(())));
}

#[test]
fn one_long_publish_may_exceed_the_bound() {
    let mut world = stalled(Options::default());
    let payload = "x".repeat(200_000);
    for _ in 0..3 {
        world.publish("/a", &payload, QoS::AtMostOnce);
    }
    assert_eq!(world.take_sent().len(), 2);
    drain(&mut world);
    assert_eq!(world.take_sent().len(), 1);
}

#[test]
fn with_a_full_buffer_the_queue_is_bounded() {
    let mut world = stalled(Options { queue_limit: 2, ..Options::default() });
    let calls = publish(&mut world, 0..400);
    let sent = world.take_sent().len();
    assert_eq!(world.code(calls[sent + 1]), None);
    for &refused in &calls[sent + 2..] {
        assert_eq!(world.outcome(refused), Some(&Err((Code::QueueFull, Some("/a".into())))));
    }
    drain(&mut world);
    assert_eq!(numbers(&world.take_sent()), [sent, sent + 1]);
}

#[test]
fn a_subscription_does_not_wait_for_a_full_buffer() {
    let mut world = stalled(Options::default());
    publish(&mut world, 0..400);
    world.take_sent();
    world.subscribe("/b");
    assert!(matches!(world.take_one_sent(), Sent::Subscribe { .. }));
}

#[test]
fn a_loss_with_a_full_buffer_repeats_only_qos_1() {
    let mut world = stalled(Options::default());
    publish(&mut world, 0..500);
    world.subscribe("/waits");
    let sent = world.take_sent().len();
    world.lose();
    world.is_stalled = false;
    world.wait_for_reconnect();
    world.accept();
    let again = world.take_sent();
    assert!(matches!(&again[0], Sent::Subscribe { filters, .. } if filters.len() == 1), "{:?}", again[0]);
    let expected: Vec<usize> = (0..500).filter(|n| *n >= sent || n % 2 == 1).collect();
    assert_eq!(numbers(&again), expected);
}

#[test]
fn closing_with_a_full_buffer_rejects_what_waits() {
    let mut world = stalled(Options::default());
    let calls = publish(&mut world, 0..500);
    world.close();
    assert_eq!(world.code(calls[498]), Some(Code::Closed));
    assert!(world.open.is_empty() && world.session.poll_timeout().is_none());
}

#[test]
fn a_ping_in_a_slow_buffer_is_timed_from_when_it_is_sent() {
    let mut world = stalled(Options { answer_timeout_ms: 1_000_000, ..Options::default() });
    publish(&mut world, 0..400);
    for _ in 0..30 {
        world.wait(5_000);
        world.buffered -= 1_000;
    }
    assert_eq!(world.open.len(), 1, "bytes have left all the time");
    drain(&mut world);
    assert!(world.take_sent().contains(&Sent::PingReq));
    world.wait(9_800);
    assert_eq!(world.open.len(), 1);
    world.wait(200);
    assert!(world.open.is_empty(), "now the ping was sent ten seconds ago");
}

#[test]
fn publishes_after_a_ping_do_not_delay_its_deadline() {
    let mut world = World::new();
    world.connect();
    world.wait(50_000);
    assert_eq!(world.take_one_sent(), Sent::PingReq);
    for _ in 0..10 {
        world.wait(1_000);
        world.publish("/a", "1", QoS::AtMostOnce);
    }
    assert!(world.open.is_empty());
}

#[test]
fn a_ping_that_no_byte_leaves_before_finds_a_dead_link() {
    let mut world = stalled(Options { answer_timeout_ms: 1_000_000, ..Options::default() });
    publish(&mut world, 0..400);
    world.wait(59_900);
    assert_eq!(world.open.len(), 1);
    world.wait(200);
    assert!(world.open.is_empty());
}
