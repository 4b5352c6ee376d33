//! After a loss: when it is tried again, and that everything is as before.

use thng_pubsub_protocol::mqtt::{ConnectCode, Packet, QoS};

use super::world::packet_id;
use super::{Sent, World};
use crate::{effect::Notice, failure::Code, options::Options};

#[test]
fn every_subscription_is_made_again_in_one_packet() {
    let mut world = World::new();
    let a = world.subscribe("/a");
    world.subscribe_with("/b?pubStates=1", QoS::AtLeastOnce);
    world.accept();
    world.take_sent();
    world.lose();
    world.wait_for_reconnect();
    world.accept();
    let Sent::Subscribe { id, filters } = world.take_one_sent() else { panic!("no SUBSCRIBE") };
    assert_eq!(
        filters,
        [("/a".into(), QoS::AtMostOnce), ("/b?pubStates=1".into(), QoS::AtLeastOnce)],
        "with its options, so that the state comes again"
    );
    world.suback(id, &[0, 1]);
    world.message("/a", "after");
    assert_eq!(world.delivered, [(vec![a], "after".into())]);
}

#[test]
fn many_subscriptions_are_spread_over_packets_and_all_answered() {
    let mut world = World::new();
    let calls: Vec<u32> = (0..250).map(|n| world.subscribe(&format!("/{n:03}"))).collect();
    world.accept();
    let sent = world.take_sent();
    assert_eq!(sent.len(), 3);
    for packet in sent {
        let Sent::Subscribe { id, filters } = packet else { panic!("no SUBSCRIBE") };
        world.suback(id, &vec![0; filters.len()]);
    }
    assert!(calls.iter().all(|&call| world.outcome(call) == Some(&Ok(()))));
}

#[test]
fn long_topics_are_spread_over_several_packets() {
    let mut world = World::new();
    for n in 0..20 {
        world.subscribe(&format!("/{n:03}{}", "x".repeat(4_000)));
    }
    world.subscribe(&format!("/999{}", "x".repeat(40_000)));
    world.accept();
    let sizes: Vec<usize> = world
        .take_sent()
        .into_iter()
        .map(|packet| {
            let Sent::Subscribe { filters, .. } = packet else { panic!("no SUBSCRIBE") };
            filters.len()
        })
        .collect();
    assert_eq!(sizes, [4, 4, 4, 4, 4, 1]);
}

#[test]
fn calls_made_offline_wait_for_the_next_connection() {
    let mut world = World::new();
    world.connect();
    world.lose();
    let subscribe = world.subscribe("/a");
    let publish = world.publish("/b", "1", QoS::AtMostOnce);
    world.wait_for_reconnect();
    // The next attempt fails as well, and they still wait.
    world.lose();
    assert_eq!(world.outcome(subscribe), None);
    world.wait_for_reconnect();
    world.accept();
    let sent = world.take_sent();
    assert!(matches!(sent[..], [Sent::Subscribe { .. }, Sent::Publish { .. }]), "{sent:?}");
    world.suback(sent[0].id(), &[0]);
    assert_eq!(world.outcome(subscribe), Some(&Ok(())));
    assert_eq!(world.outcome(publish), Some(&Ok(())));
}

#[test]
fn a_lost_subscribe_answer_is_asked_for_again() {
    let mut world = World::new();
    world.connect();
    let call = world.subscribe("/a");
    world.take_sent();
    world.lose();
    world.wait_for_reconnect();
    world.accept();
    let id = world.take_one_sent().id();
    world.suback(id, &[0]);
    assert_eq!(world.outcome(call), Some(&Ok(())));
}

#[test]
fn a_refused_resubscription_is_reported_and_retried() {
    let mut world = World::new();
    world.subscribe("/a");
    world.accept();
    let id = world.take_one_sent().id();
    world.suback(id, &[0]);
    for _ in 0..2 {
        world.lose();
        world.wait_for_reconnect();
        world.accept();
        let id = world.take_one_sent().id();
        world.suback(id, &[0x80]);
        let Some(Notice::Error(failure)) = world.notices.last() else { panic!("{:?}", world.notices) };
        assert_eq!((failure.code, failure.topic.as_deref()), (Code::SubscribeRefused, Some("/a")));
    }
}

#[test]
fn a_subscription_is_lost_with_notice_also_beside_a_new_call() {
    let mut world = World::new();
    world.subscribe("/a");
    world.accept();
    let id = world.take_one_sent().id();
    world.suback(id, &[0]);
    world.lose();
    let call = world.subscribe("/a");
    world.wait_for_reconnect();
    world.accept();
    let id = world.take_one_sent().id();
    world.suback(id, &[0x80]);
    assert_eq!(world.code(call), Some(Code::SubscribeRefused));
    let Some(Notice::Error(failure)) = world.notices.last() else { panic!("{:?}", world.notices) };
    assert_eq!((failure.code, failure.topic.as_deref()), (Code::SubscribeRefused, Some("/a")));
}

#[test]
fn a_refusal_of_new_calls_alone_is_no_loss() {
    let mut world = World::new();
    let first = world.subscribe("/a");
    world.accept();
    let second = world.subscribe("/a");
    world.lose();
    world.wait_for_reconnect();
    world.accept();
    let id = world.take_one_sent().id();
    world.suback(id, &[0x80]);
    assert_eq!([first, second].map(|call| world.code(call)), [Some(Code::SubscribeRefused); 2]);
    assert!(!world.notices.iter().any(|it| matches!(it, Notice::Error(_))), "{:?}", world.notices);
}

#[test]
fn a_revoked_key_ends_the_session_and_is_reported() {
    let mut world = World::new();
    world.subscribe("/a");
    world.accept();
    let id = world.take_one_sent().id();
    world.suback(id, &[0]);
    world.lose();
    world.wait_for_reconnect();
    world.open_socket();
    world.connack(ConnectCode::NotAuthorised);
    assert!(world.session.is_ended());
    let Some(Notice::Error(failure)) = world.notices.last() else { panic!("{:?}", world.notices) };
    assert_eq!(failure.code, Code::Unauthorized);
    world.wait(3_600_000);
    assert_eq!(world.sockets_opened, 2);
}

#[test]
fn a_server_that_is_unavailable_later_is_tried_again() {
    let mut world = World::new();
    world.connect();
    world.lose();
    world.wait_for_reconnect();
    world.open_socket();
    world.connack(ConnectCode::ServerUnavailable);
    assert!(!world.session.is_ended());
    world.sent.clear();
    world.wait_for_reconnect();
    world.accept();
    assert_eq!(world.notices.last(), Some(&Notice::Connected));
}

#[test]
fn attempts_back_off_and_restart_after_a_stable_connection() {
    let mut world =
        World::with(Options { reconnect_ms: 100, reconnect_ms_max: 2_000, seed: 42, ..Options::default() });
    world.connect();
    let mut delays = Vec::new();
    for _ in 0..40 {
        world.lose();
        let Some(Notice::Disconnected { retry_in_ms: Some(delay), .. }) = world.notices.last() else {
            panic!("{:?}", world.notices)
        };
        delays.push(*delay);
        world.wait_for_reconnect();
    }
    assert!(delays.iter().all(|&delay| delay <= 2_000), "{delays:?}");
    assert!(delays.iter().any(|&delay| delay > 1_000), "{delays:?}");
    let late: std::collections::BTreeSet<u64> = delays[10..].iter().copied().collect();
    assert!(late.len() > 20, "the delays are spread: {delays:?}");

    world.accept();
    world.wait(10_000);
    world.lose();
    let Some(Notice::Disconnected { retry_in_ms: Some(delay), .. }) = world.notices.last() else { panic!() };
    assert!(*delay <= 100, "{delay}");
}

#[test]
fn a_server_that_closes_at_once_is_retried_with_pauses() {
    let mut world = World::new();
    world.connect();
    let start = world.now;
    for _ in 0..12 {
        world.lose();
        world.wait_for_reconnect();
        world.accept();
    }
    assert!(world.now - start > 30_000, "twelve attempts in {} ms", world.now - start);
}

#[test]
fn a_first_connection_that_fails_is_made_again_if_asked() {
    let mut world = World::with(Options { retry_first_connection: true, ..Options::default() });
    let call = world.subscribe("/a");
    world.lose();
    assert_eq!(world.outcome(call), None);
    assert!(matches!(
        world.notices.last(),
        Some(Notice::Disconnected { failure, retry_in_ms: Some(_) }) if failure.code == Code::Handshake
    ));
    world.wait_for_reconnect();
    world.accept();
    let id = world.take_one_sent().id();
    world.suback(id, &[0]);
    assert_eq!(world.outcome(call), Some(&Ok(())));
}

#[test]
fn a_session_works_after_a_thousand_reconnects() {
    let mut world = World::new();
    let a = world.subscribe("/a");
    world.accept();
    let mut rounds = 0;
    let mut acknowledged = 0;
    while rounds < 1_000 {
        rounds += 1;
        // Something is always under way when the connection is lost: a subscribe, an unsubscribe, publishes.
        let topic = format!("/extra/{}", rounds % 7);
        if rounds % 2 == 0 {
            world.subscribe(&topic);
        } else {
            world.unsubscribe(&topic, None);
        }
        for n in 0..3 {
            world.publish("/a", &format!("{rounds}.{n}"), QoS::AtLeastOnce);
        }
        // The server answers some of it, and is lost in the middle.
        for packet in world.take_sent().into_iter().take(rounds % 5) {
            answer(&mut world, &packet, &mut acknowledged);
        }
        world.lose();
        world.wait_for_reconnect();
        world.accept();
        while !world.sent.is_empty() && rounds % 3 == 0 {
            for packet in world.take_sent() {
                answer(&mut world, &packet, &mut acknowledged);
            }
        }
    }
    while !world.sent.is_empty() {
        for packet in world.take_sent() {
            answer(&mut world, &packet, &mut acknowledged);
        }
    }
    let failed: Vec<_> = world.settled.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    let expected =
        |code: &Code| matches!(code, Code::Unsubscribed | Code::PublishRefused | Code::SubscribeRefused);
    assert!(failed.iter().all(|(_, outcome)| outcome.as_ref().is_err_and(|(code, _)| expected(code))));
    assert!(acknowledged > 1_000, "{acknowledged} publishes were acknowledged");
    assert!(world.session.ids.are_all_free(), "identifiers were lost");

    world.delivered.clear();
    world.message("/a", "end");
    assert_eq!(world.delivered, [(vec![a], "end".into())]);
    let ids: Vec<u16> = (0..1_000)
        .map(|_| {
            world.publish("/a", "", QoS::AtLeastOnce);
            world.take_one_sent().id()
        })
        .collect();
    let distinct: std::collections::BTreeSet<u16> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), 1_000);
    assert_eq!(world.open.len(), 1);
}

/// What a server that works sends back.
fn answer(world: &mut World, packet: &Sent, acknowledged: &mut usize) {
    match packet {
        Sent::Subscribe { id, filters } => world.suback(*id, &vec![0; filters.len()]),
        Sent::Unsubscribe { id, .. } => world.reply(&Packet::UnsubAck(packet_id(*id))),
        Sent::Publish { id: Some(id), .. } => {
            world.puback(*id);
            *acknowledged += 1;
        }
        _ => {}
    }
}

/// The delays before so many attempts, each of which ends right after `during` has had its connection.
fn delays(world: &mut World, attempts: usize, mut during: impl FnMut(&mut World)) -> Vec<u64> {
    let mut delays = Vec::new();
    for _ in 0..attempts {
        during(world);
        world.lose();
        let Some(Notice::Disconnected { retry_in_ms: Some(delay), .. }) = world.notices.last() else {
            panic!("{:?}", world.notices)
        };
        delays.push(*delay);
        world.wait_for_reconnect();
        world.accept();
    }
    delays
}

/// Issue: subscriptions were gone for up to 87 s because short connections that served never reset the back-off.
#[test]
fn a_short_connection_that_served_starts_the_count_again() {
    type Call = fn(&mut World, usize) -> u32;
    let calls: [Call; 3] = [
        |world, _| world.publish("/a", "1", QoS::AtLeastOnce),
        |world, round| world.subscribe(&format!("/{round}")),
        |world, _| world.unsubscribe("/b", None),
    ];
    for call in calls {
        let mut world = World::new();
        world.subscribe("/a");
        world.accept();
        let mut round = 0;
        let delays = delays(&mut world, 40, |world| {
            world.subscribe("/b");
            world.take_sent();
            call(world, round);
            round += 1;
            let packet = world.take_one_sent();
            answer(world, &packet, &mut 0);
        });
        assert!(delays.iter().all(|delay| *delay <= 1_000), "{delays:?}");
    }
}

#[test]
fn an_answered_resubscription_does_not_start_the_count_again() {
    let mut world = World::new();
    world.subscribe("/a");
    world.accept();
    let delays = delays(&mut world, 40, |world| {
        let packet = world.take_one_sent();
        answer(world, &packet, &mut 0);
    });
    assert!(delays.iter().any(|delay| *delay > 15_000), "{delays:?}");
}

#[test]
fn a_connection_that_only_accepts_is_asked_for_less_and_less() {
    let mut world = World::new();
    world.connect();
    let delays = delays(&mut world, 40, |_| ());
    assert!(delays.iter().any(|delay| *delay > 15_000), "{delays:?}");
}

#[test]
fn a_publish_that_is_given_up_starts_the_count_again() {
    let mut world = World::new();
    world.connect();
    let calls: Vec<u32> = (0..10).map(|_| world.publish("/bad", "1", QoS::AtLeastOnce)).collect();
    let delays = delays(&mut world, 30, |_| ());
    assert!(calls.iter().all(|&call| world.code(call) == Some(Code::PublishRefused)));
    assert!(delays.iter().all(|delay| *delay <= 4_000), "{delays:?}");
}
