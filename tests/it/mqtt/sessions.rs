//! Durable sessions (clean session 0): what a client that was away finds when it comes back.

use std::fs;

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{ConnectCode, Packet, PacketId, Publish, QoS, SubAckCode};
use thng_pubsub_tests::keys::Keyed;
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello, Message, Received};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

/// A durable client of the operator's, connected.
#[track_caller]
fn connect(server: &Server, client_id: &str) -> Client {
    Client::connect_as(server, &Hello::with_key(server.key()).durable(client_id))
}

/// The same, which finds its session.
#[track_caller]
fn resume(server: &Server, client_id: &str) -> Client {
    let client = connect(server, client_id);
    assert!(client.session_present, "the session of {client_id} is there");
    client
}

/// One who comes back and acknowledges nothing by itself.
#[track_caller]
fn resume_silently(server: &Server, client_id: &str) -> Client {
    let mut client = resume(server, client_id);
    client.acknowledges = false;
    client
}

fn put(rest: &mut Rest, topic: &str, values: impl IntoIterator<Item = i64>) {
    for value in values {
        rest.put(topic, json!([{ "value": value }])).assert_status(200);
    }
}

#[track_caller]
fn values(client: &mut Client, count: usize) -> Vec<i64> {
    (0..count).map(|_| client.message().value().as_i64().expect("a number")).collect()
}

/// Cuts the connection, and waits until the server has noticed: it may write to a dead connection until then, and a message
/// that it wrote there is repeated with DUP.
#[track_caller]
fn leave(server: &Server, client: Client) {
    let connections = || server.metric(r#"connections{protocol="mqtt"}"#);
    let before = connections();
    client.cut();
    until("the server notices the end of the connection", || (connections() < before).then_some(()));
}

/// A topic, its own REST client, and a durable client that subscribed to it at QoS 1 and has left.
fn left_behind(server: &Server, client_id: &str) -> (Rest, String) {
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let mut client = connect(server, client_id);
    client.subscribed(&topic, QoS::AtLeastOnce);
    leave(server, client);
    (rest, topic)
}

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
fn sessions_end_with_the_application_of_their_user() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    Client::connect_as(&server, &Hello::with_key(&user.key).durable("orphan")).cut();
    let mut connected = Client::connect_as(&server, &Hello::with_key(&user.key).durable("connected"));
    connect(&server, "operator").cut();
    rest.delete(&format!("/projects/{project}/applications/{}", application.id)).assert_status(200);
    connected.assert_closed();
    until("the sessions of the user have ended", || (server.metric("sessions") == 1).then_some(()));
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
fn the_same_client_id_with_another_key_has_another_session() {
    let server = Server::shared();
    let (mut rest, topic) = left_behind(server, "shared name");
    let application = rest.project();
    let application = rest.application(&application);
    put(&mut rest, &topic, [1]);
    let other = Hello::with_key(&application.public_key).durable("shared name");
    let mut client = Client::connect_as(server, &other);
    assert!(!client.session_present);
    client.assert_nothing_else();
    let clean = Hello { clean_session: true, ..other };
    Client::connect_as(server, &clean).disconnect();
    assert_eq!(values(&mut resume(server, "shared name"), 1), [1]);
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
fn a_revoked_key_ends_its_sessions() {
    let server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = format!("/thngs/{thng}/properties/k");
    let device = rest.device(&thng);
    for n in 0..3 {
        let hello = Hello::with_key(&device.key).durable(&format!("device {n}"));
        let mut client = Client::connect_as(&server, &hello);
        client.subscribed(&topic, QoS::AtLeastOnce);
        leave(&server, client);
    }
    put(&mut rest, &topic, [1]);
    assert_eq!((server.metric("sessions"), server.metric("session_queued_messages")), (3, 1));
    rest.delete(&format!("/auth/evrythng/thngs/{thng}")).assert_status(200);
    assert_eq!(server.metric("sessions"), 0);
    until("nothing is kept any more", || (server.metric("session_queued_messages") == 0).then_some(()));
}

#[test]
fn what_may_not_be_seen_any_more_is_ended_and_the_rest_comes() {
    let server = Server::shared();
    let mut rest = server.rest();
    let (gone, stays) = (rest.thng(), rest.thng());
    let mut client = connect(server, "rights");
    for thng in [&gone, &stays] {
        client.subscribed(&format!("/thngs/{thng}/properties/k"), QoS::AtLeastOnce);
    }
    leave(server, client);
    for thng in [&gone, &stays] {
        put(&mut rest, &format!("/thngs/{thng}/properties/k"), [1]);
    }
    rest.delete(&format!("/thngs/{gone}")).assert_status(200);
    let mut client = resume(server, "rights");
    assert_eq!(client.message().topic, format!("/thngs/{stays}/properties/k"));
    client.assert_nothing_else();
}

#[test]
fn an_access_token_in_a_filter_is_encrypted_and_revocable() {
    let server = Server::start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let device = rest.device(&thng);
    let topic = format!("/thngs/{thng}/properties/k");
    let filter = format!("{topic}?access_token={}", device.key);
    let mut client = connect(&server, "token");
    client.subscribed(&filter, QoS::AtLeastOnce);
    leave(&server, client);
    put(&mut rest, &topic, [1]);
    for file in fs::read_dir(server.data()).expect("the data folder").map(|file| file.expect("a file").path())
    {
        let bytes = fs::read(&file).unwrap_or_default();
        let holds = bytes.windows(80).any(|window| window == device.key.as_bytes());
        assert!(!holds, "{} holds an API key", file.display());
    }
    let mut client = resume(&server, "token");
    let message = client.message();
    assert_eq!((&message.topic, message.value()), (&filter, json!(1)));
    leave(&server, client);
    put(&mut rest, &topic, [2]);
    rest.delete(&format!("/auth/evrythng/thngs/{thng}")).assert_status(200);
    resume(&server, "token").assert_nothing_else();
}

/// A QoS 2 publish of this value.
fn publish_2(client: &mut Client, topic: &str, value: i64, dup: bool) {
    let payload = format!(r#"[{{"value":{value}}}]"#);
    let (qos, packet_id) = (QoS::ExactlyOnce, Some(PacketId::MIN));
    let publish = Publish { dup, qos, retain: false, packet_id, topic, payload: payload.as_bytes() };
    client.send(&Packet::Publish(publish));
    assert_eq!(client.packet(), Received::PubRec(PacketId::MIN));
}

fn release(client: &mut Client) {
    client.send(&Packet::PubRel(PacketId::MIN));
    assert_eq!(client.packet(), Received::PubComp(PacketId::MIN));
}

#[test]
fn a_qos_2_publish_is_stored_once_despite_kills_in_between() {
    let mut server = Server::start();
    let thng = server.rest().thng();
    let topic = format!("/thngs/{thng}/properties/k");
    connect(&server, "twice").cut();
    for value in 0..2 {
        publish_2(&mut resume(&server, "twice"), &topic, value, false);
        server.kill9();
        server = server.restart();
        let mut client = resume(&server, "twice");
        publish_2(&mut client, &topic, value, true);
        server.kill9();
        server = server.restart();
        let mut client = resume(&server, "twice");
        release(&mut client);
        server.kill9();
        server = server.restart();
        // What is released already is answered all the same, and the packet id is free.
        release(&mut resume(&server, "twice"));
    }
    let stored = server.rest().get(&topic).expect(200);
    let stored: Vec<&Value> =
        stored.as_array().expect("a list").iter().map(|entry| &entry["value"]).collect();
    assert_eq!(stored, [&json!(1), &json!(0)]);
}

#[test]
fn sessions_are_bounded_in_all_and_for_each_key() {
    for flag in ["--sessions-max", "--sessions-per-key-max"] {
        let server = Launch::new().flag(flag, "2").start();
        let mut rest = server.rest();
        let project = rest.project();
        let other_key = rest.application(&project).public_key;
        let answer = |key: &str, client_id: &str| {
            Client::greeted(Raw::connect(server.mqtt()), &Hello::with_key(key).durable(client_id)).1
        };
        for client_id in ["a", "b", "a"] {
            assert_eq!(answer(KEY, client_id), ConnectCode::Accepted);
        }
        assert_eq!(answer(KEY, "c"), ConnectCode::ServerUnavailable);
        // Of two in all, each of two keys can have one.
        assert_eq!(answer(&other_key, "c"), ConnectCode::Accepted, "{flag}");
        assert_eq!(answer(KEY, "c"), ConnectCode::ServerUnavailable);
        let refused = r#"connections_refused_total{protocol="mqtt",reason="too_many_sessions"}"#;
        assert!(server.metric(refused) >= 1);
        // One that ends frees its place.
        for client_id in ["a", "b"] {
            Client::connect_as(&server, &Hello::with_key(KEY).named(client_id)).disconnect();
        }
        assert_eq!(answer(KEY, "c"), ConnectCode::Accepted);
    }
}

#[test]
fn subscriptions_of_durable_sessions_are_bounded_in_all() {
    let server = Launch::new().flag("--session-subscriptions-max", "3").start();
    let mut rest = server.rest();
    let topics: Vec<String> = (0..4).map(|_| format!("/thngs/{}/properties/k", rest.thng())).collect();
    let (mut one, mut other) = (connect(&server, "one"), connect(&server, "other"));
    one.subscribed(&topics[0], QoS::AtLeastOnce);
    one.subscribed(&topics[1], QoS::AtMostOnce);
    other.subscribed(&topics[2], QoS::AtLeastOnce);
    assert_eq!(other.subscribe(&topics[3], QoS::AtLeastOnce), SubAckCode::Refused);
    let refused = r#"subscriptions_refused_total{protocol="mqtt",reason="too_many_subscriptions"}"#;
    assert_eq!(server.metric(refused), 1);
    // A session without durability takes none of them, and one that ends frees its place.
    Client::connect(&server).subscribed(&topics[3], QoS::AtLeastOnce);
    one.unsubscribe(&topics[1]);
    other.subscribed(&topics[3], QoS::AtLeastOnce);
}

#[test]
fn another_quality_of_service_adds_no_subscription() {
    let server = Launch::new().flag("--session-subscriptions-max", "2").start();
    let mut rest = server.rest();
    let topics: Vec<String> = (0..3).map(|_| format!("/thngs/{}/properties/k", rest.thng())).collect();
    let mut client = connect(&server, "full");
    let (q0, q1) = (QoS::AtMostOnce, QoS::AtLeastOnce);
    client.subscribe_all(&[(&topics[0], q1), (&topics[1], q1)]);
    let (granted, refused) = (SubAckCode::Granted, SubAckCode::Refused);
    for qos in [q0, q1] {
        let codes = client.subscribe_all(&[(&topics[0], qos), (&topics[2], qos), (&topics[1], qos)]);
        assert_eq!(codes, [granted(qos), refused, granted(qos)]);
    }
    assert_eq!(client.subscribe(&topics[1], q0), granted(q0), "one alone");
}

#[test]
fn too_many_messages_of_a_topic_drop_the_oldest() {
    let server = Launch::new().flag("--session-queue-messages-max", "10").start();
    let (mut rest, topic) = left_behind(&server, "count");
    put(&mut rest, &topic, 0..25);
    let lost = server.metric(r#"session_messages_dropped_total{reason="count"}"#);
    assert!((15..25).contains(&lost), "{lost} of 25 were dropped");
    let mut client = resume(&server, "count");
    let rest_of_them: Vec<i64> = (lost as i64..25).collect();
    assert_eq!(values(&mut client, rest_of_them.len()), rest_of_them);
    client.assert_nothing_else();
    assert!(server.log().contains("--session-queue-messages-max"), "the log says what was lost");
}

#[test]
fn too_many_bytes_drop_the_oldest_of_all_topics() {
    let server = Launch::new().flag("--session-queue-bytes-max", "2097152").start();
    let (mut rest, topic) = left_behind(&server, "bytes");
    let long = "x".repeat(100_000);
    for n in 0..40 {
        rest.put(&topic, json!([{ "value": format!("{n} {long}") }])).assert_status(200);
    }
    let lost = server.metric(r#"session_messages_dropped_total{reason="bytes"}"#);
    assert!((20..40).contains(&lost), "{lost} of 40 were dropped");
    assert!(server.metric("session_queued_bytes") <= 2_097_152);
    let first = resume(&server, "bytes").message().value();
    assert!(first.as_str().expect("a text").starts_with(&format!("{lost} x")), "the oldest that is left");
}

/// An anonymous user, and the paths of so many thngs' properties that they see.
fn user_and_topics(rest: &mut Rest, server: &Server, count: usize) -> (Keyed, Vec<String>) {
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let mut trusted = server.rest_as(&application.secret_key);
    let topics = (0..count).map(|_| format!("/thngs/{}/properties/k", trusted.thng())).collect();
    (user, topics)
}

#[test]
fn a_users_session_takes_no_messages_of_another_account() {
    let server = Launch::new().flag("--session-queue-bytes-max", "2097152").start();
    let (mut rest, topic) = left_behind(&server, "victim");
    put(&mut rest, &topic, [1, 2, 3]);
    let (mut other, key) = server.another_account();
    let (user, topics) = user_and_topics(&mut other, &server, 40);
    let mut greedy = Client::connect_as(&server, &Hello::with_key(&user.key).durable("greedy"));
    topics.iter().for_each(|topic| greedy.subscribed(topic, QoS::AtLeastOnce));
    greedy.cut();
    let long = "x".repeat(100_000);
    for topic in &topics {
        other.put(topic, json!([{ "value": long }])).assert_status(200);
    }
    let lost = server.metric(r#"session_messages_dropped_total{reason="bytes"}"#);
    assert!((15..40).contains(&lost), "{lost} of 40 were dropped");
    let whose = format!("account={}", other.account());
    until("the log says whose", || server.log().contains(&whose).then_some(()));
    // What each holds is counted anew at the start.
    let server = server.restart();
    let mut other = server.rest_as(&key);
    for topic in &topics {
        other.put(topic, json!([{ "value": long }])).assert_status(200);
    }
    assert!(server.metric("session_queued_bytes") <= 2_097_152);
    let mut client = resume(&server, "victim");
    assert_eq!(values(&mut client, 3), [1, 2, 3]);
    client.assert_nothing_else();
}

#[test]
fn sessions_of_one_user_keep_no_other_account_out() {
    let server = Launch::new().flag("--sessions-max", "4").start();
    let (mut other, _) = server.another_account();
    let (user, topics) = user_and_topics(&mut other, &server, 1);
    let hello = |client_id: &str| Hello::with_key(&user.key).durable(client_id);
    Client::connect_as(&server, &hello("away")).cut();
    until("it is saved that it is away", || {
        (server.metric(r#"connections{protocol="mqtt"}"#) == 0).then_some(())
    });
    let mut connected: Vec<Client> = ["a", "b", "c"]
        .iter()
        .map(|client_id| {
            let mut client = Client::connect_as(&server, &hello(client_id));
            client.subscribed(&topics[0], QoS::AtLeastOnce);
            client
        })
        .collect();
    // The one that is away gives way first, then one that is connected, whose client is informed.
    let _first = connect(&server, "first");
    assert_eq!(server.metric("sessions_evicted_total"), 1);
    connected.iter_mut().for_each(Client::ping);
    let _second = connect(&server, "second");
    until("one was disconnected", || {
        let ended = r#"disconnects_total{protocol="mqtt",reason="session_evicted"}"#;
        (server.metric(ended) == 1).then_some(())
    });
    // Two of four are its share.
    let third = Hello::with_key(server.key()).durable("third");
    let (_, code) = Client::greeted(Raw::connect(server.mqtt()), &third);
    assert_eq!(code, ConnectCode::ServerUnavailable);
    assert!(connect(&server, "first").session_present, "its own sessions stay");
    assert_eq!((server.metric("sessions"), server.metric("sessions_evicted_total")), (4, 2));
    until("the log names the bound", || server.log().contains("--sessions-max").then_some(()));
}

/// MQTT-4.1.0-2: A session exists at least as long as its connection.
#[test]
fn an_unused_session_expires_only_while_disconnected() {
    let server = Launch::new().flag("--session-expiry-s", "1").start();
    let (mut rest, topic) = left_behind(&server, "gone");
    let mut connected = connect(&server, "connected");
    connected.subscribed(&topic, QoS::AtLeastOnce);
    put(&mut rest, &topic, [1]);
    until("one session is left", || (server.metric("sessions") == 1).then_some(()));
    assert_eq!(values(&mut connected, 1), [1]);
    assert!(!connect(&server, "gone").session_present);
    assert!(resume(&server, "connected").session_present);
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
fn a_client_without_a_key_gets_no_durable_session() {
    let server = Server::shared();
    let hello = Hello::anonymous().durable("nobody");
    for _ in 0..2 {
        assert!(!Client::connect_as(server, &hello).session_present);
    }
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
