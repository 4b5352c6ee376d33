//! Subscriptions: their requests, their messages, and their ends.

use thng_pubsub_protocol::mqtt::{Packet, Publish, QoS};

use super::world::{packet_id, publish};
use super::{Sent, World};
use crate::{effect::Notice, failure::Code};

const REFUSED: u8 = 0x80;

/// Subscribes and lets the server grant it.
fn subscribed(world: &mut World, topic: &str) -> u32 {
    let call = world.subscribe(topic);
    let id = world.take_one_sent().id();
    world.suback(id, &[0]);
    assert_eq!(world.outcome(call), Some(&Ok(())));
    call
}

#[test]
fn the_call_is_settled_by_the_suback() {
    let mut world = World::new();
    world.connect();
    let call = world.subscribe("/a");
    let Sent::Subscribe { id, filters } = world.take_one_sent() else { panic!("no SUBSCRIBE") };
    assert_eq!(filters, [("/a".into(), QoS::AtMostOnce)]);
    assert_eq!(world.outcome(call), None);
    world.suback(id, &[0]);
    assert_eq!(world.outcome(call), Some(&Ok(())));
}

#[test]
fn a_refused_subscription_rejects_with_its_topic() {
    let mut world = World::new();
    world.connect();
    let call = world.subscribe("/a");
    let id = world.take_one_sent().id();
    world.suback(id, &[REFUSED]);
    assert_eq!(world.outcome(call), Some(&Err((Code::SubscribeRefused, Some("/a".into())))));
    world.message("/a", "1");
    assert!(world.delivered.is_empty());
    world.lose();
    world.wait_for_reconnect();
    world.accept();
    assert!(world.take_sent().is_empty(), "it is not asked for again");
}

#[test]
fn a_message_that_comes_before_the_suback_is_delivered() {
    let mut world = World::new();
    world.connect();
    let call = world.subscribe("/a?pubStates=1");
    world.message("/a?pubStates=1", "state");
    assert_eq!(world.delivered, [(vec![call], "state".into())]);
}

#[test]
fn a_retained_message_is_delivered_as_a_state() {
    let mut world = World::new();
    world.connect();
    world.subscribe("/a");
    world.message("/a", "update");
    assert_eq!(world.states, 0);
    world.reply(&Packet::Publish(Publish { retain: true, ..publish("/a", "state", None) }));
    assert_eq!(world.delivered.len(), 2);
    assert_eq!(world.states, 1);
}

#[test]
fn every_handler_of_a_topic_gets_messages_in_order() {
    let mut world = World::new();
    world.connect();
    let first = subscribed(&mut world, "/a");
    let other = subscribed(&mut world, "/b");
    let second = subscribed(&mut world, "/a");
    world.message("/a", "1");
    world.message("/b", "2");
    world.message("/c", "3");
    assert_eq!(world.delivered, [(vec![first, second], "1".into()), (vec![other], "2".into())]);
}

#[test]
fn a_second_handler_subscribes_again_to_see_a_refusal() {
    let mut world = World::new();
    world.connect();
    let first = subscribed(&mut world, "/a");
    let second = world.subscribe("/a");
    let id = world.take_one_sent().id();
    world.suback(id, &[REFUSED]);
    assert_eq!(world.code(second), Some(Code::SubscribeRefused));
    world.message("/a", "1");
    assert_eq!(world.delivered, [(vec![first], "1".into())]);
}

#[test]
fn answers_find_their_calls_in_any_order() {
    let mut world = World::new();
    world.connect();
    let calls = [world.subscribe("/a"), world.subscribe("/b")];
    let sent = world.take_sent();
    world.suback(sent[1].id(), &[REFUSED]);
    world.suback(sent[0].id(), &[0]);
    assert_eq!(world.outcome(calls[0]), Some(&Ok(())));
    assert_eq!(world.code(calls[1]), Some(Code::SubscribeRefused));
}

#[test]
fn a_suback_that_fits_no_subscribe_is_a_protocol_failure() {
    for codes in [&[0_u8][..], &[0, 0][..]] {
        let mut world = World::new();
        world.connect();
        world.subscribe("/a");
        let id = world.take_one_sent().id() + u16::from(codes.len() == 1);
        world.suback(id, codes);
        assert!(world.open.is_empty(), "{codes:?}");
        let Some(Notice::Disconnected { failure, .. }) = world.notices.last() else { panic!("not told") };
        assert_eq!(failure.code, Code::Protocol);
    }
}

#[test]
fn the_last_callback_of_a_topic_unsubscribes_it() {
    let mut world = World::new();
    world.connect();
    let first = subscribed(&mut world, "/a");
    let second = subscribed(&mut world, "/a");
    let call = world.unsubscribe("/a", Some(&[first]));
    assert!(world.take_sent().is_empty(), "somebody still listens");
    assert_eq!(world.outcome(call), Some(&Ok(())));
    let call = world.unsubscribe("/a", Some(&[second]));
    let Sent::Unsubscribe { id, filters } = world.take_one_sent() else { panic!("no UNSUBSCRIBE") };
    assert_eq!(filters, ["/a"]);
    assert_eq!(world.outcome(call), None);
    world.reply(&Packet::UnsubAck(packet_id(id)));
    assert_eq!(world.outcome(call), Some(&Ok(())));
}

#[test]
fn unsubscribing_a_resource_ends_all_its_spellings_at_once() {
    let mut world = World::new();
    world.connect();
    subscribed(&mut world, "/a");
    subscribed(&mut world, "/a?pubStates=1");
    subscribed(&mut world, "/ab");
    world.unsubscribe("/a", None);
    let Sent::Unsubscribe { filters, .. } = world.take_one_sent() else { panic!("no UNSUBSCRIBE") };
    assert_eq!(filters, ["/a", "/a?pubStates=1"]);
}

#[test]
fn nothing_is_delivered_after_unsubscribe_was_called() {
    let mut world = World::new();
    world.connect();
    subscribed(&mut world, "/a");
    world.unsubscribe("/a", None);
    world.message("/a", "late");
    assert!(world.delivered.is_empty());
}

#[test]
fn unsubscribing_what_is_not_subscribed_is_done_at_once() {
    let mut world = World::new();
    world.connect();
    let call = world.unsubscribe("/a", None);
    assert_eq!(world.outcome(call), Some(&Ok(())));
    assert!(world.take_sent().is_empty());
}

#[test]
fn unsubscribing_offline_is_done_at_once() {
    let mut world = World::new();
    world.connect();
    subscribed(&mut world, "/a");
    subscribed(&mut world, "/b");
    world.lose();
    let call = world.unsubscribe("/a", None);
    assert_eq!(world.outcome(call), Some(&Ok(())));
    world.wait_for_reconnect();
    world.accept();
    let Sent::Subscribe { filters, .. } = world.take_one_sent() else { panic!("no SUBSCRIBE") };
    assert_eq!(filters, [("/b".into(), QoS::AtMostOnce)]);
}

#[test]
fn a_subscribe_withdrawn_before_sending_is_rejected() {
    let mut world = World::new();
    let call = world.subscribe("/a");
    world.unsubscribe("/a", None);
    assert_eq!(world.outcome(call), Some(&Err((Code::Unsubscribed, Some("/a".into())))));
    world.accept();
    assert!(world.take_sent().is_empty());
}

#[test]
fn a_withdrawn_and_lost_subscribe_is_rejected() {
    let mut world = World::new();
    world.connect();
    let subscribe = world.subscribe("/a");
    let unsubscribe = world.unsubscribe("/a", None);
    world.lose();
    assert_eq!(world.code(subscribe), Some(Code::Unsubscribed));
    assert_eq!(world.outcome(unsubscribe), Some(&Ok(())), "the server's session ended with the connection");
}

#[test]
fn subscribing_after_unsubscribing_keeps_wire_order() {
    let mut world = World::new();
    world.connect();
    subscribed(&mut world, "/a");
    world.unsubscribe("/a", None);
    let call = world.subscribe("/a");
    let sent = world.take_sent();
    assert!(matches!(sent[..], [Sent::Unsubscribe { .. }, Sent::Subscribe { .. }]), "{sent:?}");
    world.message("/a", "1");
    assert_eq!(world.delivered, [(vec![call], "1".into())]);
}

#[test]
fn messages_of_qos_1_are_acknowledged_after_they_were_delivered() {
    let mut world = World::new();
    world.connect();
    subscribed(&mut world, "/a");
    world.reply(&Packet::Publish(publish("/a", "1", Some(77))));
    assert_eq!(world.delivered.len(), 1);
    assert_eq!(world.take_one_sent(), Sent::PubAck(77));
}

#[test]
fn qos_1_messages_without_handlers_are_acknowledged() {
    let mut world = World::new();
    world.connect();
    world.reply(&Packet::Publish(publish("/gone", "1", Some(78))));
    assert_eq!(world.take_one_sent(), Sent::PubAck(78));
}

#[test]
fn a_message_of_qos_2_is_a_protocol_failure() {
    let mut world = World::new();
    world.connect();
    let mut message = publish("/a", "1", Some(1));
    message.qos = QoS::ExactlyOnce;
    world.reply(&Packet::Publish(message));
    assert!(world.open.is_empty());
}

#[test]
fn a_topic_that_cannot_be_sent_is_rejected_without_a_connection() {
    for topic in ["", "a\0b", &"x".repeat(70_000)] {
        let mut world = World::new();
        let call = world.subscribe(topic);
        assert_eq!(world.code(call), Some(Code::InvalidTopic));
        assert_eq!(world.sockets_opened, 0);
    }
}

#[test]
fn a_subscribe_that_kills_the_connection_every_time_is_given_up() {
    let mut world = World::new();
    world.connect();
    let good = subscribed(&mut world, "/good");
    let bad = world.subscribe("/bad");
    for _ in 0..2 {
        world.lose();
        assert_eq!(world.outcome(bad), None);
        world.wait_for_reconnect();
        world.accept();
    }
    world.lose();
    assert_eq!(world.outcome(bad), Some(&Err((Code::SubscribeRefused, Some("/bad".into())))));
    world.wait_for_reconnect();
    world.accept();
    let Some(Sent::Subscribe { filters, .. }) = world.take_sent().pop() else { panic!("no SUBSCRIBE") };
    assert_eq!(filters, [("/good".into(), QoS::AtMostOnce)]);
    world.message("/good", "1");
    assert_eq!(world.delivered, [(vec![good], "1".into())]);
}

#[test]
fn a_missing_suback_breaks_the_connection_and_times_out() {
    let mut world = World::new();
    world.connect();
    let call = world.subscribe("/a");
    for _ in 0..3 {
        assert_eq!(world.outcome(call), None);
        // The server is alive, it only never answers this.
        for _ in 0..29 {
            world.wait(1_000);
            world.reply(&Packet::PingResp);
        }
        assert_eq!(world.open.len(), 1);
        world.wait(1_000);
        assert!(world.open.is_empty());
        world.wait_for_reconnect();
        world.accept();
    }
    assert_eq!(world.code(call), Some(Code::Timeout));
}
