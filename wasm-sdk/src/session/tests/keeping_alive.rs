//! Keep alive: pings, half-open connections, and being woken.

use thng_pubsub_protocol::mqtt::{Packet, QoS};

use super::{Sent, World};
use crate::{effect::Notice, failure::Code, options::Options};

#[test]
fn a_quiet_connection_is_pinged_after_the_keep_alive_interval() {
    let mut world = World::new();
    world.connect();
    world.wait(49_999);
    assert!(world.take_sent().is_empty());
    world.wait(1);
    assert_eq!(world.take_one_sent(), Sent::PingReq);
    world.reply(&Packet::PingResp);
    world.wait(49_999);
    assert!(world.take_sent().is_empty());
    world.wait(1);
    assert_eq!(world.take_one_sent(), Sent::PingReq);
}

#[test]
fn received_packets_do_not_replace_the_clients_ping() {
    let mut world = World::new();
    world.connect();
    for _ in 0..5 {
        world.wait(10_000);
        world.message("/a", "1");
    }
    assert_eq!(world.take_one_sent(), Sent::PingReq);
}

#[test]
fn only_sending_does_not_spare_the_ping_that_finds_a_dead_link() {
    let mut world = World::new();
    world.connect();
    for _ in 0..6 {
        world.wait(9_000);
        world.publish("/a", "1", QoS::AtMostOnce);
    }
    assert!(world.take_sent().contains(&Sent::PingReq));
    world.wait(10_000);
    assert_eq!(world.sockets_opened, 2, "nothing has come for a keep alive interval and the ping's time");
}

#[test]
fn a_ping_without_answer_is_a_dead_link_and_is_repaired() {
    let mut world = World::new();
    world.connect();
    world.wait(50_000);
    assert_eq!(world.take_one_sent(), Sent::PingReq);
    world.wait(9_999);
    assert_eq!(world.open.len(), 1);
    world.wait(1);
    assert!(world.open.is_empty());
    let Some(Notice::Disconnected { failure, retry_in_ms: Some(_) }) = world.notices.last() else {
        panic!("not told: {:?}", world.notices)
    };
    assert_eq!(failure.code, Code::Timeout);
    world.wait_for_reconnect();
    world.accept();
    world.wait(50_000);
    assert_eq!(world.take_one_sent(), Sent::PingReq, "pings go on");
}

#[test]
fn any_packet_answers_a_ping() {
    let mut world = World::new();
    world.connect();
    world.wait(50_000);
    world.message("/a", "1");
    world.wait(30_000);
    assert_eq!(world.open.len(), 1);
}

#[test]
fn a_short_keep_alive_bounds_the_wait_for_the_answer() {
    let mut world = World::with(Options { keep_alive_s: 1, ..Options::default() });
    world.connect();
    world.wait(1_999);
    assert_eq!(world.open.len(), 1);
    world.wait(1);
    assert!(world.open.is_empty());
}

#[test]
fn keep_alive_zero_asks_for_nothing() {
    let mut world = World::with(Options { keep_alive_s: 0, ..Options::default() });
    world.connect();
    assert_eq!(world.session.poll_timeout(), None);
}

#[test]
fn a_timer_that_goes_off_late_still_pings_before_it_gives_up() {
    let mut world = World::new();
    world.connect();
    // A browser runs the timers of a hidden tab once a minute.
    world.now += 60_000;
    world.wait(0);
    assert_eq!(world.take_one_sent(), Sent::PingReq);
    assert_eq!(world.open.len(), 1);
}

#[test]
fn waking_pings_at_once_and_only_once() {
    let mut world = World::new();
    world.connect();
    let now = world.now;
    world.session.wake(now);
    world.session.wake(now);
    world.run();
    world.run();
    assert_eq!(world.take_one_sent(), Sent::PingReq);
    world.wait(10_000);
    assert!(world.open.is_empty(), "a link that died in the dark is found in ten seconds");
}

#[test]
fn waking_with_keep_alive_off_still_finds_a_dead_link() {
    let mut world = World::with(Options { keep_alive_s: 0, ..Options::default() });
    world.connect();
    world.session.wake(world.now);
    world.run();
    world.wait(10_000);
    assert!(world.open.is_empty());
}

#[test]
fn waking_ends_the_wait_for_the_next_attempt() {
    let mut world = World::with(Options {
        reconnect_ms: 60_000,
        reconnect_ms_max: 60_000,
        seed: 12_345,
        ..Options::default()
    });
    world.connect();
    world.lose();
    assert!(world.session.poll_timeout().unwrap() > world.now + 100, "the draw leaves something to wait for");
    world.session.wake(world.now);
    world.run();
    world.run();
    assert_eq!(world.sockets_opened, 2);
}

#[test]
fn waking_what_is_idle_opening_or_over_does_nothing() {
    let mut world = World::new();
    world.session.wake(world.now);
    world.subscribe("/a");
    world.session.wake(world.now);
    world.run();
    assert_eq!(world.sockets_opened, 1);
    world.close();
    world.session.wake(world.now);
    world.run();
    assert_eq!(world.sockets_opened, 1);
}
