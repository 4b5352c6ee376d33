//! How often one key and one address may publish, and how a publish beyond that is delayed.

use thng_pubsub_protocol::mqtt::{Packet, QoS};
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello, Received, publish};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::{MqttFrames, WebSocket};
use thng_pubsub_tests::{KEY, history};

use super::server::{ELSEWHERE, RateLimitedServer, assert_too_often, put};

/// Publishes three; the first two are acknowledged, and the third ends the connection.
#[track_caller]
fn publish_until_closed(client: &mut Client, topic: &str, qos: QoS) {
    for n in 1..=3 {
        let payload = format!(r#"[{{"value":{n}}}]"#);
        let id = (qos != QoS::AtMostOnce).then(|| client.packet_id());
        client.send(&Packet::Publish(publish(topic, &payload, qos, id)));
        let acknowledged = match (qos, id) {
            (QoS::AtLeastOnce, Some(id)) => Received::PubAck(id),
            (QoS::ExactlyOnce, Some(id)) => Received::PubRec(id),
            _ => continue,
        };
        if n < 3 {
            assert_eq!(client.packet(), acknowledged);
        }
    }
    client.assert_closed();
}

#[test]
fn a_publish_over_the_longest_delay_ends_the_connection() {
    for (by, refused_publish) in [("--publish-rate-per-key", "close"), ("--publish-rate-per-address", "ack")]
    {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let limited = RateLimitedServer::with(&[(by, "2/d"), ("--on-rejected-publish", refused_publish)]);
            let mut client = Client::connect_as(&limited.server, &limited.hello());
            publish_until_closed(&mut client, &limited.topic("k"), qos);
            assert_eq!(limited.values("k"), [1, 2], "{by} at {qos:?}");
            // A connection is counted when it has ended, which its client may know before.
            until(format!("the end is counted: {by} at {qos:?}"), || {
                let ended =
                    limited.server.metric(r#"disconnects_total{protocol="mqtt",reason="rate_limited"}"#);
                (ended == 1).then_some(())
            });
            let refused =
                limited.server.metric(r#"publishes_refused_total{protocol="mqtt",reason="rate_limited"}"#);
            assert_eq!(refused, 1, "{by} at {qos:?}");
            until("the log says why", || {
                limited.server.log().contains(&format!("{by} is reached")).then_some(())
            });
        }
    }
}

#[test]
fn a_keys_publishes_are_counted_over_all_protocols() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-key", "4/d")]);
    let (topic, other) = (limited.topic("k"), limited.topic("other"));
    let mut rest = limited.rest();
    put(&mut rest, &topic, 1).assert_status(200);
    let mut client = Client::connect_as(&limited.server, &limited.hello());
    client.publish_acknowledged(&topic, r#"[{"value":2}]"#);
    let link = MqttFrames::open(&limited.server, "mqtt");
    Client::accepted(link, &limited.hello()).publish_acknowledged(&topic, r#"[{"value":3}]"#);
    let mut socket =
        WebSocket::request(&limited.server, &topic, &[("Authorization", &limited.key)]).expect("open");
    socket.send(r#"[{"value":4}]"#);
    assert_eq!(socket.json()[0]["value"], 4);

    assert_too_often(&put(&mut rest, &topic, 5), "--publish-rate-per-key is 4/d");
    for _ in 0..2 {
        socket.send(r#"[{"value":5}]"#);
        let refused = socket.json();
        assert_eq!(refused["status"], 429, "{refused}");
    }
    client.publish_unacknowledged(&topic, r#"[{"value":5}]"#);
    client.assert_closed();
    let mut anonymous = Client::connect_as(&limited.server, &Hello::anonymous());
    anonymous.publish_unacknowledged(&format!("{topic}?access_token={}", limited.key), r#"[{"value":5}]"#);
    anonymous.assert_closed();

    let mut client = Client::connect(&limited.server);
    client.publish_acknowledged(&other, r#"[{"value":1}]"#);
    let mut anonymous = Client::connect_as(&limited.server, &Hello::anonymous());
    anonymous.publish_acknowledged(&format!("{other}?access_token={KEY}"), r#"[{"value":2}]"#);
    rest.post("/thngs", r#"{"name":"no topic creates thngs"}"#).assert_status(201);
    put(&mut limited.server.rest(), &topic, 6).assert_status(200);
    assert_eq!(socket.json()[0]["value"], 6, "a socket that was refused stays open");
    assert_eq!(limited.values("k"), [1, 2, 3, 4, 6]);
    assert_eq!(limited.values("other"), [1, 2]);
}

#[test]
fn an_addresss_publishes_are_counted_over_all_keys() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-address", "2/d")]);
    let topic = limited.topic("k");
    put(&mut limited.rest(), &topic, 1).assert_status(200);
    put(&mut limited.server.rest(), &topic, 2).assert_status(200);
    assert_too_often(&put(&mut limited.rest(), &topic, 3), "--publish-rate-per-address is 2/d");
    put(&mut limited.rest_from_elsewhere(), &topic, 4).assert_status(200);
    let link = Raw::connect_from(ELSEWHERE, limited.server.mqtt());
    Client::accepted(link, &limited.hello()).publish_acknowledged(&topic, r#"[{"value":5}]"#);
    assert_eq!(limited.values("k"), [1, 2, 4, 5]);
}

#[test]
fn a_fast_publisher_is_throttled_without_loss_over_mqtt() {
    for by in ["--publish-rate-per-key", "--publish-rate-per-address"] {
        let limited = RateLimitedServer::with(&[(by, "100/s:50")]);
        let mut client = Client::connect_as(&limited.server, &limited.hello());
        let topic = limited.topic("k");
        let sent: Vec<_> = (0..200)
            .map(|n| client.publish_unacknowledged(&topic, &format!(r#"[{{"value":{n}}}]"#)))
            .collect();
        for id in sent {
            assert_eq!(client.packet(), Received::PubAck(id));
        }
        assert_eq!(limited.values("k"), (0..200).collect::<Vec<_>>(), "{by}");
        assert!(limited.server.metric(r#"publishes_throttled_total{protocol="mqtt"}"#) > 0, "{by}");
        assert_eq!(limited.exceeded("publishes", by.trim_start_matches("--publish-rate-per-")), 0);
    }
}

#[test]
fn publishers_sharing_a_key_are_throttled_without_loss() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-key", "200/s:10")]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let limited = &limited;
            scope.spawn(move || {
                let mut client = Client::connect_as(&limited.server, &limited.hello());
                let topic = limited.topic(&format!("k{number}"));
                (0..25).for_each(|n| client.publish(&topic, &format!(r#"[{{"value":{n}}}]"#)));
                client.publish_acknowledged(&topic, r#"[{"value":25}]"#);
            });
        }
    });
    for number in 0..8 {
        assert_eq!(limited.values(&format!("k{number}")), (0..=25).collect::<Vec<_>>());
    }
}

#[test]
fn a_fast_publisher_is_throttled_without_loss_over_websocket() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-key", "100/s:10")]);
    let topic = limited.topic("k");
    let mut socket =
        WebSocket::request(&limited.server, &topic, &[("Authorization", &limited.key)]).expect("open");
    (0..60).for_each(|n| socket.send(format!(r#"[{{"value":{n}}}]"#)));
    for n in 0..60 {
        assert_eq!(socket.json()[0]["value"], n);
    }
    assert!(limited.server.metric(r#"publishes_throttled_total{protocol="websocket"}"#) > 0);
}

/// A limit of which two are there, and the third waits for longer than the test.
const LONG_WAIT: [(&str, &str); 2] = [("--publish-rate-per-key", "1/m:2"), ("--publish-delay-max-s", "3600")];

/// Publishes three; the third is not acknowledged.
#[track_caller]
fn delayed_client(limited: &RateLimitedServer) -> Client {
    let mut client = Client::connect_as(&limited.server, &limited.hello());
    let topic = limited.topic("k");
    client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
    client.publish_acknowledged(&topic, r#"[{"value":2}]"#);
    client.publish_unacknowledged(&topic, r#"[{"value":3}]"#);
    client
}

#[test]
fn pings_and_deliveries_continue_while_a_publish_waits() {
    let limited = RateLimitedServer::with(&[&LONG_WAIT[..], &[("--deliveries-in-flight-max", "1")]].concat());
    let subscribed = limited.topic("watched");
    let mut client = Client::connect_as(&limited.server, &limited.hello());
    client.subscribed(&subscribed, QoS::AtLeastOnce);
    let topic = limited.topic("k");
    client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
    client.publish_acknowledged(&topic, r#"[{"value":2}]"#);
    let id = client.packet_id();
    let mut together =
        thng_pubsub_tests::mqtt::encoded(&Packet::Publish(publish(&topic, "3", QoS::AtLeastOnce, Some(id))));
    together.extend([0xC0, 0, 0xC0, 0]);
    client.send_bytes(&together);
    assert_eq!([client.packet(), client.packet()], [Received::PingResp, Received::PingResp]);
    // The second comes only when the first was acknowledged.
    for n in 0..2 {
        put(&mut limited.server.rest(), &subscribed, n).assert_status(200);
        assert_eq!(client.message().value(), n);
    }
    client.assert_nothing_else();
    assert_eq!(limited.values("k"), [1, 2]);
}

#[test]
fn a_stopping_server_does_not_wait_for_a_delayed_publish() {
    let limited = RateLimitedServer::with(&LONG_WAIT);
    let mut client = delayed_client(&limited);
    client.ping();
    let RateLimitedServer { mut server, thng, .. } = limited;
    server.terminate();
    client.assert_closed();
    let server = server.restart_with(|launch| launch.without("--publish-rate-per-key"));
    let values = history::whole(&mut server.rest(), &thng, "k");
    assert_eq!(values.len(), 2, "what was not acknowledged was not stored: {values:?}");
}

#[test]
fn a_client_that_leaves_returns_the_turn_of_its_publish() {
    let limited = RateLimitedServer::with(&LONG_WAIT);
    let waits_s = || {
        let limits = limited.rest().get("/rateLimits").expect(200);
        limits[0]["rateLimits"][0]["reset"].as_u64().expect("seconds")
    };
    let mut client = delayed_client(&limited);
    client.ping();
    assert!((121..=180).contains(&waits_s()), "{} s", waits_s());
    client.cut();
    until("the turn is given back", || (waits_s() <= 120).then_some(()));
}

#[test]
fn a_closed_native_socket_still_publishes_its_messages() {
    let limited = RateLimitedServer::with(&[("--publish-rate-per-key", "2/s:1")]);
    let topic = limited.topic("k");
    let mut socket =
        WebSocket::request(&limited.server, &topic, &[("Authorization", &limited.key)]).expect("open");
    (1..=3).for_each(|n| socket.send(format!(r#"[{{"value":{n}}}]"#)));
    socket.close();
    until("all three are stored", || (limited.values("k") == [1, 2, 3]).then_some(()));
}
