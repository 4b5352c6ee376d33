//! Publishes: order, identifiers, acknowledgements, the queue, and what is done about one that is never acknowledged.

use thng_pubsub_protocol::mqtt::QoS;

use super::{Sent, World};
use crate::{effect::Notice, failure::Code, options::Options};

fn payloads(sent: &[Sent]) -> Vec<&str> {
    sent.iter()
        .filter_map(|packet| match packet {
            Sent::Publish { payload, .. } => Some(payload.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn qos_0_is_settled_when_it_was_sent() {
    let mut world = World::new();
    world.connect();
    let call = world.publish("/a", "1", QoS::AtMostOnce);
    let expected = Sent::Publish { id: None, dup: false, topic: "/a".into(), payload: "1".into() };
    assert_eq!(world.take_one_sent(), expected);
    assert_eq!(world.outcome(call), Some(&Ok(())));
}

#[test]
fn qos_1_is_settled_by_its_puback() {
    let mut world = World::new();
    world.connect();
    let calls = [1, 2, 3].map(|n| world.publish("/a", &n.to_string(), QoS::AtLeastOnce));
    let sent = world.take_sent();
    world.puback(sent[1].id());
    assert_eq!(calls.map(|call| world.outcome(call).is_some()), [false, true, false]);
    world.puback(sent[0].id());
    world.puback(sent[2].id());
    assert!(calls.iter().all(|&call| world.outcome(call) == Some(&Ok(()))));
}

#[test]
fn a_puback_for_nothing_is_ignored() {
    let mut world = World::new();
    world.connect();
    let call = world.publish("/a", "1", QoS::AtLeastOnce);
    let id = world.take_one_sent().id();
    world.puback(id);
    world.puback(id);
    world.puback(12_345);
    assert_eq!(world.outcome(call), Some(&Ok(())));
    assert_eq!(world.open.len(), 1);
}

#[test]
fn offline_publishes_are_sent_in_order_after_connecting() {
    let mut world = World::new();
    let calls = [
        world.publish("/a", "1", QoS::AtMostOnce),
        world.publish("/a", "2", QoS::AtLeastOnce),
        world.publish("/a", "3", QoS::AtMostOnce),
    ];
    world.accept();
    assert_eq!(payloads(&world.take_sent()), ["1", "2", "3"]);
    assert_eq!(calls.map(|call| world.outcome(call).is_some()), [true, false, true]);
}

#[test]
fn a_long_queue_goes_out_in_sends_of_bounded_size() {
    let mut world = World::new();
    let payload = "x".repeat(1_000);
    let calls: Vec<u32> = (0..1_000).map(|_| world.publish("/a", &payload, QoS::AtLeastOnce)).collect();
    world.accept();
    let sent = world.take_sent();
    assert_eq!(sent.len(), 1_000);
    assert!((16..=20).contains(&world.sends), "{} sends", world.sends);
    for packet in &sent {
        world.puback(packet.id());
    }
    assert!(calls.iter().all(|&call| world.outcome(call) == Some(&Ok(()))));
}

#[test]
fn a_packet_that_is_too_long_for_one_send_is_split() {
    let mut world = World::new();
    world.connect();
    let payload = "x".repeat(200_000);
    world.publish("/a", &payload, QoS::AtMostOnce);
    world.publish("/a", "next", QoS::AtMostOnce);
    assert_eq!(payloads(&world.take_sent()), [payload.as_str(), "next"]);
}

#[test]
fn the_queue_is_bounded_and_the_newest_is_refused() {
    let mut world = World::with(Options { queue_limit: 2, ..Options::default() });
    let remaining = [world.publish("/a", "1", QoS::AtMostOnce), world.publish("/a", "2", QoS::AtLeastOnce)];
    let refused = world.publish("/b", "3", QoS::AtMostOnce);
    assert_eq!(world.outcome(refused), Some(&Err((Code::QueueFull, Some("/b".into())))));
    world.accept();
    assert_eq!(payloads(&world.take_sent()), ["1", "2"]);
    assert_eq!(remaining.map(|call| world.code(call)), [None, None]);
}

#[test]
fn the_queue_bound_applies_only_without_a_connection() {
    let mut world = World::with(Options { queue_limit: 0, ..Options::default() });
    world.subscribe("/a");
    world.accept();
    for n in 0..5_000 {
        let call = world.publish("/a", &n.to_string(), QoS::AtLeastOnce);
        assert_eq!(world.outcome(call), None);
    }
}

#[test]
fn a_canceled_publish_that_waits_is_never_sent() {
    let mut world = World::with(Options { queue_limit: 1, ..Options::default() });
    let canceled = world.publish("/a", "1", QoS::AtLeastOnce);
    world.cancel(canceled);
    assert_eq!(world.outcome(canceled), Some(&Err((Code::Aborted, Some("/a".into())))));
    let kept = world.publish("/a", "2", QoS::AtMostOnce);
    assert_eq!(world.outcome(kept), None, "the canceled one counts no more");
    world.accept();
    assert_eq!(payloads(&world.take_sent()), ["2"]);
}

#[test]
fn a_canceled_publish_that_was_sent_is_acknowledged() {
    let mut world = World::new();
    world.connect();
    let call = world.publish("/a", "1", QoS::AtLeastOnce);
    let id = world.take_one_sent().id();
    world.cancel(call);
    assert_eq!(world.outcome(call), None);
    world.puback(id);
    assert_eq!(world.outcome(call), Some(&Ok(())));
}

#[test]
fn a_canceled_publish_holds_no_connection() {
    let options = Options { retry_first_connection: true, idle_timeout_ms: 1_000, ..Options::default() };
    let mut world = World::with(options);
    let call = world.publish("/a", "1", QoS::AtLeastOnce);
    world.offline();
    world.wait(5_000);
    assert!(!world.session.is_ended());
    world.cancel(call);
    world.wait(1_000);
    assert!(world.session.is_ended());
}

#[test]
fn an_unacknowledged_publish_is_resent_with_dup_and_same_id() {
    let mut world = World::new();
    world.connect();
    let call = world.publish("/a", "1", QoS::AtLeastOnce);
    let first = world.take_one_sent();
    assert!(matches!(first, Sent::Publish { dup: false, .. }));
    world.lose();
    world.wait_for_reconnect();
    world.accept();
    let again = world.take_one_sent();
    assert_eq!(
        again,
        Sent::Publish { id: Some(first.id()), dup: true, topic: "/a".into(), payload: "1".into() }
    );
    world.puback(first.id());
    assert_eq!(world.outcome(call), Some(&Ok(())));
}

#[test]
fn resent_publishes_precede_queued_ones_in_order() {
    let mut world = World::new();
    world.connect();
    for n in 1..=3 {
        world.publish("/a", &n.to_string(), QoS::AtLeastOnce);
    }
    let second = world.take_sent()[1].id();
    world.puback(second);
    world.lose();
    world.publish("/a", "4", QoS::AtMostOnce);
    world.publish("/a", "5", QoS::AtLeastOnce);
    world.wait_for_reconnect();
    world.accept();
    let sent = world.take_sent();
    assert_eq!(payloads(&sent), ["1", "3", "4", "5"]);
    assert!(matches!(sent[3], Sent::Publish { dup: false, .. }));
}

#[test]
fn an_identifier_in_flight_is_not_given_to_anything_else() {
    let mut world = World::new();
    world.connect();
    world.publish("/a", "held", QoS::AtLeastOnce);
    let first_id = world.take_one_sent().id();
    for _ in 0..66_000 {
        world.publish("/a", "", QoS::AtLeastOnce);
        let id = world.take_one_sent().id();
        assert_ne!(id, first_id);
        world.puback(id);
        world.settled.clear();
    }
    world.subscribe("/a");
    assert_ne!(world.take_one_sent().id(), first_id);
}

#[test]
fn without_free_identifiers_publishes_wait() {
    let mut world = World::with(Options { queue_limit: 10_000, ..Options::default() });
    world.connect();
    for n in 0..60_001 {
        world.session.publish(
            "/a",
            Vec::new(),
            QoS::AtLeastOnce,
            crate::session::CallId(100_000 + n),
            world.now,
        );
        if n % 1_000 == 0 {
            world.run();
        }
    }
    world.run();
    let sent = world.take_sent();
    assert_eq!(sent.len(), 60_000);
    world.subscribe("/b");
    assert!(matches!(world.take_one_sent(), Sent::Subscribe { .. }));
    world.puback(sent[0].id());
    assert!(matches!(world.take_one_sent(), Sent::Publish { dup: false, .. }), "the one that waited");
}

#[test]
fn a_publish_that_kills_the_connection_is_found_and_rejected() {
    let mut world = World::new();
    world.connect();
    let good = ["before", "after"];
    let before = world.publish("/a", good[0], QoS::AtLeastOnce);
    let bad = world.publish("/bad", "poison", QoS::AtLeastOnce);
    let after = world.publish("/a", good[1], QoS::AtLeastOnce);

    // A server that closes when it reads the poison. Its acknowledgements are lost with the connection, unless
    // nothing else was under way.
    let mut lost_as_oldest = 0;
    loop {
        let sent = world.take_sent();
        let Some(poison) = payloads(&sent).iter().position(|payload| *payload == "poison") else {
            if sent.is_empty() {
                break;
            }
            for packet in sent {
                world.puback(packet.id());
            }
            continue;
        };
        if poison == 0 {
            assert!(lost_as_oldest < 2 || sent.len() == 1, "a suspect goes alone: {sent:?}");
            lost_as_oldest += 1;
        }
        assert!(world.sockets_opened < 10, "the publish is sent for ever");
        world.lose();
        world.wait_for_reconnect();
        world.accept();
    }
    assert_eq!(world.outcome(before), Some(&Ok(())));
    assert_eq!(world.outcome(after), Some(&Ok(())));
    assert_eq!(world.outcome(bad), Some(&Err((Code::PublishRefused, Some("/bad".into())))));
    assert!(world.session.ids.are_all_free(), "identifiers were lost");
}

#[test]
fn while_a_suspect_is_alone_new_publishes_wait_behind_it() {
    let mut world = World::new();
    world.connect();
    let suspect = world.publish("/a", "suspect", QoS::AtLeastOnce);
    for _ in 0..2 {
        world.lose();
        world.wait_for_reconnect();
        world.accept();
    }
    world.publish("/a", "new", QoS::AtMostOnce);
    let sent = world.take_sent();
    assert_eq!(payloads(&sent), ["suspect"]);
    world.puback(sent[0].id());
    assert_eq!(payloads(&world.take_sent()), ["new"]);
    assert_eq!(world.outcome(suspect), Some(&Ok(())));
}

#[test]
fn a_puback_that_never_comes_times_out_in_the_end() {
    let mut world = World::new();
    world.connect();
    let call = world.publish("/a", "1", QoS::AtLeastOnce);
    for _ in 0..3 {
        assert_eq!(world.outcome(call), None);
        world.wait(30_000);
        world.wait_for_reconnect();
        world.accept();
    }
    assert_eq!(world.code(call), Some(Code::Timeout));
}

#[test]
fn an_unacknowledging_server_times_out_despite_new_publishes() {
    let mut world = World::with(Options { keep_alive_s: 0, ..Options::default() });
    world.connect();
    for _ in 0..29 {
        world.publish("/a", "1", QoS::AtLeastOnce);
        world.wait(1_000);
    }
    assert_eq!(world.open.len(), 1);
    world.wait(1_000);
    assert!(world.open.is_empty());
}

#[test]
fn a_slow_server_that_keeps_acknowledging_is_left_alone() {
    let mut world = World::with(Options { keep_alive_s: 0, ..Options::default() });
    world.connect();
    for n in 0..10 {
        world.publish("/a", &n.to_string(), QoS::AtLeastOnce);
    }
    let sent = world.take_sent();
    for packet in &sent {
        world.wait(20_000);
        world.puback(packet.id());
    }
    assert_eq!(world.sockets_opened, 1);
    world.wait(40_000);
    assert_eq!(world.sockets_opened, 1, "nothing is owed any more");
}

#[test]
fn a_subscribe_only_topic_is_rejected_without_a_connection() {
    for topic in ["", "/a/+", "#", "a\0b"] {
        let mut world = World::new();
        let call = world.publish(topic, "1", QoS::AtMostOnce);
        assert_eq!(world.code(call), Some(Code::InvalidTopic), "{topic:?}");
        assert_eq!(world.sockets_opened, 0);
    }
}

#[test]
fn a_rejection_settles_its_publish_and_no_other() {
    let mut world = World::new();
    world.connect();
    let calls = [1, 2, 3].map(|n| world.publish("/a", &n.to_string(), QoS::AtLeastOnce));
    let ids: Vec<u16> = world.take_sent().iter().map(Sent::id).collect();
    world.puback(ids[0]);
    world.reject(Some(ids[1]));
    assert_eq!(world.outcome(calls[1]), Some(&Err((Code::PublishRefused, Some("/a".into())))));
    assert!(world.failures[0].detail.contains("\"Gone.\""), "what the server said");
    world.puback(ids[1]);
    world.puback(ids[2]);
    assert_eq!(world.outcome(calls[0]), Some(&Ok(())));
    assert_eq!(world.outcome(calls[2]), Some(&Ok(())));
    assert_eq!((world.sockets_opened, world.notices.len()), (1, 0), "no connection is touched");
    assert!(world.delivered.is_empty());
    assert!(world.session.ids.are_all_free());
}

#[test]
fn a_rejected_publish_keeps_its_identifier_until_its_puback() {
    let mut world = World::new();
    world.connect();
    world.publish("/a", "1", QoS::AtLeastOnce);
    let id = world.take_one_sent().id();
    world.reject(Some(id));
    world.reject(Some(id));
    world.reject(Some(id + 1));
    assert!(!world.session.ids.are_all_free());
    world.puback(id);
    assert!(world.session.ids.are_all_free());
}

#[test]
fn a_rejected_publish_is_not_sent_again() {
    let mut world = World::new();
    world.connect();
    let bad = world.publish("/a", "bad", QoS::AtLeastOnce);
    let good = world.publish("/a", "good", QoS::AtLeastOnce);
    let id = world.take_sent()[0].id();
    world.reject(Some(id));
    world.lose();
    assert_eq!(world.code(bad), Some(Code::PublishRefused));
    world.wait_for_reconnect();
    world.accept();
    let sent = world.take_sent();
    assert_eq!(payloads(&sent), ["good"]);
    world.puback(sent[0].id());
    assert_eq!(world.outcome(good), Some(&Ok(())));
    assert!(world.session.ids.are_all_free());
}

#[test]
fn a_rejected_publish_is_settled_once_when_the_session_ends() {
    let mut world = World::new();
    world.connect();
    let call = world.publish("/a", "1", QoS::AtLeastOnce);
    let id = world.take_one_sent().id();
    world.reject(Some(id));
    world.close();
    assert_eq!(world.code(call), Some(Code::PublishRefused));
}

#[test]
fn a_rejection_at_qos_0_is_an_error_event() {
    let mut world = World::new();
    world.connect();
    let call = world.publish("/a", "1", QoS::AtMostOnce);
    world.reject(None);
    assert_eq!(world.outcome(call), Some(&Ok(())));
    let [Notice::Error(failure)] = world.notices.as_slice() else { panic!("{:?}", world.notices) };
    assert_eq!(failure.code, Code::PublishRefused);
    assert!(failure.detail.contains("\"Gone.\""));
}
