//! Durable sessions (clean session 0): what a client finds when it comes back.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{Packet, QoS, SubAckCode};
use thng_pubsub_tests::mqtt::{Client, Hello, Message};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

use super::client::{connect, leave, left_behind, put, resume, resume_silently, values};

/// MQTT-3.1.2-4: A stored session continues; without one a new session begins.
/// MQTT-3.2.2-2: Without a clean session, session present says whether a stored session continues; in MQTT 3.1 the
/// byte is always 0.
/// MQTT-3.2.2-3: Without a stored session, session present is 0.
///
/// Also MQTT-3.1.2-6, MQTT-3.1.4-3, MQTT-3.2.2-1.
#[test]
fn a_session_is_present_until_a_clean_connect_ends_it() {
    let server = Server::shared();
    let hello = Hello::with_key(KEY).durable("present");
    assert!(!Client::connect_as(server, &hello).session_present);
    assert!(Client::connect_as(server, &hello).session_present);
    // MQTT 3.1 has no flag for it.
    assert!(!Client::connect_as(server, &hello.clone().in_3_1()).session_present);
    let clean = Hello { clean_session: true, ..hello.clone() };
    Client::connect_as(server, &clean).disconnect();
    assert!(!Client::connect_as(server, &hello).session_present);
}

/// MQTT-3.1.2-5: A stored session queues writes for its subscriptions at QoS 1 while its client is offline.
/// MQTT-4.1.0-1: The state of a session is stored as long as the session.
#[test]
fn missed_messages_arrive_in_order_after_any_restart() {
    let mut server = Server::start();
    let (mut rest, topic) = left_behind(&server, "away");
    let mut first = 0;
    let endings: [fn(&mut Server); 3] = [|_| {}, |server| drop(server.terminate()), |server| server.kill9()];
    for end in endings {
        put(&mut rest, &topic, first..first + 10);
        end(&mut server);
        server = server.restart();
        rest = server.rest();
        let mut client = resume(&server, "away");
        assert_eq!(values(&mut client, 10), (first..first + 10).collect::<Vec<_>>());
        // It goes on with what is written while it is connected.
        put(&mut rest, &topic, [first + 10]);
        assert_eq!(values(&mut client, 1), [first + 10]);
        client.assert_nothing_else();
        client.disconnect();
        first += 11;
    }
}

/// MQTT-3.3.1-1: A repeated delivery carries DUP.
/// MQTT-4.4.0-1: A client that continues its session receives again the deliveries that it has not acknowledged.
/// MQTT-4.6.0-1: Repeated deliveries keep the order of the first ones.
#[test]
fn only_unacknowledged_messages_are_redelivered() {
    let server = Server::shared();
    let (mut rest, topic) = left_behind(server, "again");
    let mut client = resume_silently(server, "again");
    put(&mut rest, &topic, 0..5);
    let sent: Vec<Message> = (0..5).map(|_| client.message()).collect();
    assert!(sent.iter().all(|message| !message.dup && message.qos == QoS::AtLeastOnce));
    // The second and the fourth are acknowledged, out of order.
    for n in [3, 1] {
        client.send(&Packet::PubAck(sent[n].packet_id.expect("at QoS 1")));
    }
    client.ping();
    leave(server, client);
    put(&mut rest, &topic, [5]);

    for new_ones in [5..6, 6..7] {
        let mut client = resume_silently(server, "again");
        for n in [0, 2, 4] {
            assert_eq!(client.message(), Message { dup: true, ..sent[n].clone() });
        }
        for value in new_ones.clone() {
            let new = client.message();
            assert_eq!((new.value(), new.dup), (json!(value), false));
            assert!([0, 2, 4].iter().all(|n| sent[*n].packet_id != new.packet_id), "that id is not free");
            client.send(&Packet::PubAck(new.packet_id.expect("at QoS 1")));
        }
        client.assert_nothing_else();
        leave(server, client);
        put(&mut rest, &topic, [new_ones.end]);
    }
}

#[test]
fn thousands_of_messages_pass_a_small_window_in_order() {
    let server = Launch::new().flag("--deliveries-in-flight-max", "7").start();
    let (_, topic) = left_behind(&server, "far");
    let mut writer = Client::connect(&server);
    let mut write = |values: std::ops::Range<i64>| {
        for value in values.clone() {
            writer.publish(&topic, &format!(r#"[{{"value":{value}}}]"#));
        }
        writer.publish_acknowledged(&topic, &format!(r#"[{{"value":{}}}]"#, values.end));
    };
    write(0..1500);
    let mut client = resume(&server, "far");
    // These come while it catches up.
    write(1501..1600);
    assert_eq!(values(&mut client, 1601), (0..1601).collect::<Vec<_>>());
    client.assert_nothing_else();
    until("nothing is kept any more", || (server.metric("session_queued_messages") == 0).then_some(()));
}

#[test]
fn at_qos_0_the_subscription_is_stored_without_messages() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let mut client = connect(server, "qos 0");
    client.subscribed(&topic, QoS::AtMostOnce);
    leave(server, client);
    put(&mut rest, &topic, [1]);
    let mut client = resume(server, "qos 0");
    client.ping();
    put(&mut rest, &topic, [2]);
    assert_eq!(values(&mut client, 1), [2]);
}

#[test]
fn a_subscription_that_was_taken_back_or_changed_comes_back_so() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = |key: &str| format!("/thngs/{thng}/properties/{key}");
    let mut client = connect(server, "changed");
    for key in ["ended", "raised", "lowered", "kept"] {
        let qos = if key == "raised" { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        client.subscribed(&topic(key), qos);
    }
    client.unsubscribe(&topic("ended"));
    client.subscribed(&topic("raised"), QoS::AtLeastOnce);
    client.subscribed(&topic("lowered"), QoS::AtMostOnce);
    client.subscribed(&topic("kept"), QoS::AtLeastOnce);
    leave(server, client);
    for key in ["ended", "raised", "lowered", "kept"] {
        put(&mut rest, &topic(key), [1]);
    }
    let mut client = resume(server, "changed");
    let mut seen = [client.message(), client.message()].map(|message| message.topic);
    seen.sort();
    assert_eq!(seen, [topic("kept"), topic("raised")]);
    put(&mut rest, &topic("lowered"), [2]);
    assert_eq!((client.message().topic, QoS::AtMostOnce), (topic("lowered"), QoS::AtMostOnce));
    client.assert_nothing_else();
}

#[test]
fn a_filter_with_options_resumes_exactly_and_in_its_project() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let id = rest.thng();
    let filter = format!("thngs/{id}/properties/k/?pubStates=1&project={project}");
    let mut client = connect(server, "options");
    client.subscribed(&filter, QoS::AtLeastOnce);
    leave(server, client);
    let topic = format!("/thngs/{id}/properties/k");
    put(&mut rest, &topic, [1]);
    rest.put(&format!("/thngs/{id}"), json!({ "scopes": { "projects": [project] } })).assert_status(200);
    put(&mut rest, &topic, [2]);
    let mut client = resume(server, "options");
    let message = client.message();
    assert_eq!((&message.topic, message.value()), (&filter, json!(2)));
    let state = client.message();
    assert_eq!((&state.topic, state.value()), (&filter, json!(2)), "the initial state");
    client.assert_nothing_else();
}

#[test]
fn a_resumed_session_gets_the_initial_state_again() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topics = ["q0", "q1", "plain"].map(|key| format!("/thngs/{}/properties/{key}", rest.thng()));
    for topic in &topics {
        put(&mut rest, topic, [0]);
    }
    let [q0, q1, plain] = topics;
    let state_of = |topic: &str| format!("{topic}?pubStates=1");
    let mut client = connect(server, "states");
    for (filter, qos) in [
        (state_of(&q0), QoS::AtMostOnce),
        (state_of(&q1), QoS::AtLeastOnce),
        (plain.clone(), QoS::AtLeastOnce),
    ] {
        client.subscribed(&filter, qos);
    }
    let initial = [client.message(), client.message()].map(|message| message.topic);
    assert_eq!(initial, [state_of(&q0), state_of(&q1)]);
    for round in 1..4 {
        leave(server, client);
        // What was missed comes first, so that the state is never older than what came before it.
        put(&mut rest, &q1, round * 100..round * 100 + 30);
        client = resume(server, "states");
        let messages: Vec<Message> = (0..32).map(|_| client.message()).collect();
        let of = |filter: String| {
            let of_filter = messages.iter().filter(move |message| message.topic == filter);
            of_filter.map(|message| message.value().as_i64().expect("a number")).collect::<Vec<_>>()
        };
        assert_eq!(of(state_of(&q0)), [0]);
        let last = round * 100 + 29;
        assert_eq!(of(state_of(&q1)), (round * 100..=last).chain([last]).collect::<Vec<_>>());
        assert!(messages.iter().all(|message| !message.retain));
        client.assert_nothing_else();
    }
    // Without anything missed, and not for one that ends before.
    client.unsubscribe(&state_of(&q0));
    leave(server, client);
    client = resume(server, "states");
    assert_eq!(client.message().topic, state_of(&q1));
    put(&mut rest, &plain, [1]);
    assert_eq!(client.message().topic, plain);
    client.assert_nothing_else();
}

#[test]
fn a_repeated_subscribe_gets_the_state_after_queued_messages() {
    const WINDOW: usize = 5;
    let server = Launch::new().flag("--deliveries-in-flight-max", &WINDOW.to_string()).start();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let filter = format!("{topic}?pubStates=1");
    let mut client = connect(&server, "repeats");
    client.subscribed(&filter, QoS::AtLeastOnce);
    leave(&server, client);
    put(&mut rest, &topic, 0..60);

    let mut client = resume_silently(&server, "repeats");
    let open: Vec<Message> = (0..WINDOW).map(|_| client.message()).collect();
    client.subscribed(&filter, QoS::AtLeastOnce);
    // When this one's state has come, that of the other one could have been read too.
    let mut later = Client::connect(&server);
    later.subscribed(&filter, QoS::AtMostOnce);
    assert_eq!(later.message().value(), 59);
    client.acknowledges = true;
    for message in &open {
        client.send(&Packet::PubAck(message.packet_id.expect("QoS 1")));
    }
    let mut got: Vec<Value> = open.iter().map(Message::value).collect();
    got.extend((0..61 - WINDOW).map(|_| client.message().value()));
    assert_eq!(
        got,
        (0..60).chain([59]).map(Value::from).collect::<Vec<_>>(),
        "all that was kept, then the state"
    );
    client.assert_nothing_else();
    // One that is not behind gets it at once, and once.
    client.subscribed(&filter, QoS::AtLeastOnce);
    assert_eq!(client.message().value(), 59);
    client.assert_nothing_else();
}

#[test]
fn a_session_with_many_subscriptions_ends_at_once() {
    let server = Server::start();
    let mut rest = server.rest();
    let thngs: Vec<String> = (0..4).map(|_| rest.thng()).collect();
    let written: Value = (0..500).map(|n| json!({"key": format!("k{n}"), "value": n})).collect();
    let topics: Vec<String> = thngs
        .iter()
        .flat_map(|thng| (0..500).map(move |n| format!("/thngs/{thng}/properties/k{n}")))
        .collect();
    let mut client = connect(&server, "many");
    for part in topics.chunks(500) {
        client.subscribe_all(&part.iter().map(|topic| (&**topic, QoS::AtLeastOnce)).collect::<Vec<_>>());
    }
    leave(&server, client);
    let write = |rest: &mut Rest| {
        for thng in &thngs {
            rest.put(&format!("/thngs/{thng}/properties"), written.clone()).assert_status(200);
        }
    };
    write(&mut rest);
    let clean = Hello { clean_session: true, ..Hello::with_key(KEY).durable("many") };
    Client::connect_as(&server, &clean).disconnect();
    assert_eq!(server.metric("sessions"), 0);
    let mut again = connect(&server, "many");
    assert!(!again.session_present);
    again.subscribed(&topics[0], QoS::AtLeastOnce);
    write(&mut rest);
    assert_eq!(values(&mut again, 1), [0], "what was kept before is not for it");
    again.assert_nothing_else();
    again.cut();
    // A start in the middle goes on with what is not freed yet.
    let mut server = server;
    server.kill9();
    let server = server.restart();
    let mut again = resume(&server, "many");
    put(&mut server.rest(), &topics[0], [7]);
    let last = std::iter::repeat_with(|| values(&mut again, 1)[0]).find(|value| *value == 7);
    assert_eq!(last, Some(7));
    again.assert_nothing_else();
    until("nothing is kept any more", || (server.metric("session_queued_messages") == 0).then_some(()));
}

#[test]
fn a_take_over_inherits_pending_acknowledgements() {
    let server = Server::shared();
    let (mut rest, topic) = left_behind(server, "taken over");
    let mut early = resume(server, "taken over");
    put(&mut rest, &topic, 0..20);
    assert_eq!(values(&mut early, 20).len(), 20);
    early.ping();
    let mut late = resume(server, "taken over");
    early.assert_closed();
    put(&mut rest, &topic, [20]);
    assert_eq!(values(&mut late, 1), [20]);
    late.assert_nothing_else();
}

#[test]
fn a_slow_consumer_gets_the_rest_when_it_returns() {
    let server = Launch::new()
        .flag("--outbound-queue-messages-max", "50")
        .flag("--deliveries-in-flight-max", "5")
        .start();
    let (mut rest, topic) = left_behind(&server, "slow");
    let mut client = resume_silently(&server, "slow");
    put(&mut rest, &topic, 0..100);
    until("it was disconnected", || {
        (server.metric(r#"disconnects_total{protocol="mqtt",reason="slow_consumer"}"#) == 1).then_some(())
    });
    assert_eq!(values(&mut client, 5), [0, 1, 2, 3, 4]);
    client.assert_closed();
    assert_eq!(values(&mut resume(&server, "slow"), 100), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_repeated_subscribe_answers_each_filter_in_its_position() {
    let server = Server::shared();
    let mut rest = server.rest();
    let topic = |rest: &mut Rest| format!("/thngs/{}/properties/k", rest.thng());
    let (one, two) = (topic(&mut rest), topic(&mut rest));
    let mut client = connect(server, "several");
    let (q0, q1) = (QoS::AtMostOnce, QoS::AtLeastOnce);
    let codes =
        client.subscribe_all(&[(&one, q1), ("/nothing", q1), (&two, q0), (&one, q0), (&one, q1), ("#", q1)]);
    let (granted, refused) = (SubAckCode::Granted, SubAckCode::Refused);
    assert_eq!(codes, [granted(q1), refused, granted(q0), granted(q0), granted(q1), refused]);
    leave(server, client);
    put(&mut rest, &two, [1]);
    put(&mut rest, &one, [2]);
    let mut client = resume(server, "several");
    assert_eq!(client.message().topic, one);
    client.assert_nothing_else();
}

#[test]
fn a_refused_subscribe_leaves_what_the_session_has() {
    let server = Launch::new().flag("--session-subscriptions-max", "600").start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = |number: usize| format!("/thngs/{thng}/properties/k{number}");
    let topics: Vec<String> = (0..=600).map(topic).collect();
    let (q0, q1) = (QoS::AtMostOnce, QoS::AtLeastOnce);
    let mut client = connect(&server, "several");
    client.subscribed(&topics[0], q0);
    client.subscribed(&topics[1], q1);
    // One to change, one to repeat, and more new ones than there may be.
    let mut filters = vec![(&*topics[0], q1), (&*topics[1], q1)];
    filters.extend(topics[2..].iter().map(|topic| (&**topic, q1)));
    let codes = client.subscribe_all(&filters);
    assert_eq!(codes[0], SubAckCode::Granted(q1), "it is not one of those that are too many");
    assert!(codes[2..].iter().all(|code| *code == SubAckCode::Refused));
    leave(&server, client);
    put(&mut rest, &topics[0], [1]);
    put(&mut rest, &topics[1], [2]);
    let mut client = resume(&server, "several");
    assert_eq!(values(&mut client, 2), [1, 2]);
    client.assert_nothing_else();
}
