//! The load generator against brokers that do exactly what they should, and one that does not.
//!
//! The brokers are a page of code each and say nothing about speed. The tests show that the counts are right, that loss
//! is found, and that every scenario ends by itself.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thng_pubsub_bench::scenario::{Figures, Scenario, Settings, run};
use thng_pubsub_bench::target::Target;
use thng_pubsub_protocol::mqtt::{
    ConnAck, ConnectCode, Decoder, Packet, PacketId, Publish, QoS, Side, SubAck, encode_puback,
};

/// What a broker does to a delivery.
#[derive(Clone, Copy, PartialEq)]
enum Manners {
    Faithful,
    /// Every hundredth delivery is not made.
    Loses,
    /// Every hundredth delivery is made twice.
    Repeats,
    /// Every client is rejected.
    Refuses,
}

type Subscribers = Arc<Mutex<BTreeMap<String, Vec<(TcpStream, QoS)>>>>;

/// Starts a broker that lives as long as the test.
fn broker(manners: Manners) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let subscribers = Subscribers::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let subscribers = Arc::clone(&subscribers);
            std::thread::spawn(move || serve(stream.unwrap(), &subscribers, manners));
        }
    });
    address
}

/// Serves one connection until it closes.
fn serve(mut stream: TcpStream, subscribers: &Subscribers, manners: Manners) {
    let mut decoder = Decoder::new(Side::Client, 100_000);
    let mut received = Vec::new();
    let mut chunk = [0; 65_536];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        received.extend_from_slice(&chunk[..count]);
        let mut at = 0;
        while let Some((packet, bytes)) = decoder.decode(&received[at..]).unwrap() {
            if let Packet::Connect(connect) = packet {
                decoder.level = Some(connect.level);
            }
            let mut answer = Vec::new();
            take(packet, &stream, subscribers, manners, &mut answer);
            // Answers and deliveries to one socket must not be mixed, so both are written under the lock.
            let _lock = subscribers.lock().unwrap();
            if stream.write_all(&answer).is_err() {
                return;
            }
            at += bytes;
        }
        received.drain(..at);
    }
}

fn take(
    packet: Packet<'_>,
    stream: &TcpStream,
    subscribers: &Subscribers,
    manners: Manners,
    answer: &mut Vec<u8>,
) {
    match packet {
        Packet::Connect(_) => {
            let refused = manners == Manners::Refuses;
            let code = if refused { ConnectCode::NotAuthorised } else { ConnectCode::Accepted };
            ConnAck { session_present: false, code }.encode(answer).unwrap();
        }
        Packet::Subscribe(subscribe) => {
            let mut subscribers = subscribers.lock().unwrap();
            let mut codes = Vec::new();
            for (filter, qos) in subscribe.filters() {
                let stream = stream.try_clone().unwrap();
                subscribers.entry(filter.to_owned()).or_default().push((stream, qos));
                codes.push(qos as u8);
            }
            SubAck { packet_id: subscribe.packet_id, codes: &codes }.encode(answer).unwrap();
        }
        Packet::Publish(publish) => {
            deliver(publish, subscribers, manners);
            if let Some(packet_id) = publish.packet_id {
                encode_puback(packet_id, answer);
            }
        }
        _ => {}
    }
}

/// Writes a message to all who subscribed to its topic. The packet identifier is only echoed, never looked at.
fn deliver(publish: Publish<'_>, subscribers: &Subscribers, manners: Manners) {
    let mut subscribers = subscribers.lock().unwrap();
    let unlucky = publish.payload.windows(4).any(|digits| digits == b"00#x") && manners != Manners::Faithful;
    for (stream, qos) in subscribers.get_mut(publish.topic).into_iter().flatten() {
        let packet_id = (*qos == QoS::AtLeastOnce).then_some(PacketId::MIN);
        let mut bytes = Vec::new();
        Publish { qos: *qos, packet_id, ..publish }.encode(&mut bytes).unwrap();
        let copies = match manners {
            Manners::Loses if unlucky => 0,
            Manners::Repeats if unlucky => 2,
            _ => 1,
        };
        for _ in 0..copies {
            // A client that has disconnected is not missed.
            let _ = stream.write_all(&bytes);
        }
    }
}

fn settings() -> Settings {
    let (measure, warm_up) = (Duration::from_millis(200), Duration::from_millis(20));
    Settings { measure, warm_up, ..Settings::default() }
}

fn figures(manners: Manners, scenario: &str) -> Figures {
    let scenario: Scenario = scenario.parse().unwrap();
    let target = Target::anonymous(broker(manners));
    run(&scenario, &target, &settings()).unwrap().figures
}

#[test]
fn every_message_of_a_flow_is_counted_once() {
    for (scenario, receivers) in [
        ("fanout-5-qos0", 5),
        ("fanout-5-qos1", 5),
        ("fanin-4-qos0", 1),
        ("fanin-4-qos1", 1),
        ("series-120-qos1", 1),
    ] {
        let Figures::Flow(flow) = figures(Manners::Faithful, scenario) else {
            panic!("{scenario} is a flow")
        };
        assert!(flow.sent > 0, "{scenario}: {flow:?}");
        assert_eq!(flow.expected, flow.sent * receivers, "{scenario}");
        assert_eq!((flow.received, flow.lost, flow.surplus), (flow.expected, 0, 0), "{scenario}");
        assert_eq!(flow.acknowledged_per_s.is_some(), scenario.ends_with('1'), "{scenario}");
    }
}

#[test]
fn each_isolated_message_reaches_every_receiver() {
    for name in ["isolated-5-qos0", "isolated-5-qos1"] {
        let Figures::Isolated(isolated) = figures(Manners::Faithful, name) else { panic!("it is isolated") };
        assert!(isolated.sent > 1, "{name}: {isolated:?}");
        assert_eq!((isolated.expected, isolated.lost, isolated.surplus), (isolated.sent * 5, 0, 0), "{name}");
        assert!(isolated.p50_ms > 0.0 && isolated.p50_ms <= isolated.max_ms, "{name}: {isolated:?}");
    }
}

#[test]
fn writes_are_measured_in_a_loop_and_at_a_rate() {
    let Figures::Writes(writes) = figures(Manners::Faithful, "writes-120") else {
        panic!("these are writes")
    };
    assert_eq!((writes.sent, writes.lost, writes.surplus), (220, 0, 0), "20 ms and 200 ms");
    assert!(writes.publishes_per_s > 0.0 && writes.closed.is_none() && writes.steady.is_none());
    assert!(writes.p50_ms > 0.0 && writes.p50_ms <= writes.p99_ms && writes.p99_ms <= writes.max_ms);
}

#[test]
fn latency_is_measured_of_every_message() {
    let Figures::Latency(latency) = figures(Manners::Faithful, "latency-500") else {
        panic!("it is a latency")
    };
    assert_eq!((latency.sent, latency.lost, latency.surplus), (110, 0, 0));
    assert!(latency.p50_ms > 0.0 && latency.p50_ms <= latency.p99_ms && latency.p99_ms <= latency.max_ms);
}

#[test]
fn half_open_clients_are_counted_and_others_measured() {
    let Figures::HalfOpen(found) = figures(Manners::Faithful, "halfopen-30") else {
        panic!("it is about those who stop halfway")
    };
    assert_eq!((found.begun, found.left), (30, 30));
    assert_eq!((found.sent, found.lost, found.surplus), (420, 0, 0), "20 ms, and twice 200 ms");
    assert!(found.before_p50_ms > 0.0 && found.before_p50_ms <= found.before_p99_ms);
    assert!(found.p50_ms > 0.0 && found.p50_ms <= found.p99_ms && found.p99_ms <= found.max_ms);
}

#[test]
fn messages_that_are_lost_or_repeated_are_found() {
    let Figures::Latency(latency) = figures(Manners::Loses, "latency-1000") else {
        panic!("it is a latency")
    };
    assert_eq!((latency.lost, latency.surplus), (3, 0), "numbers 0, 100 and 200 of 220");
    let Figures::Latency(latency) = figures(Manners::Repeats, "latency-1000") else {
        panic!("it is a latency")
    };
    assert_eq!((latency.lost, latency.surplus), (0, 3));
}

#[test]
fn a_flow_that_loses_every_message_ends_with_an_error() {
    // In a flow all messages bear the number 0, so this broker delivers none.
    let Figures::Flow(flow) = figures(Manners::Loses, "fanout-2-qos0") else { panic!("it is a flow") };
    assert_eq!((flow.received, flow.lost), (0, flow.sent * 2));
    assert!(flow.sent > 0);
}

#[test]
fn connections_are_counted_when_their_subscription_is_confirmed() {
    let Figures::Connections(found) = figures(Manners::Faithful, "connections-70") else {
        panic!("connections")
    };
    assert_eq!((found.connections, found.kib_per_connection), (70, None));
    assert!(found.connects_per_s > 0.0);
}

#[test]
fn the_cost_of_a_process_is_measured_if_it_is_known() {
    let mut target = Target::anonymous(broker(Manners::Faithful));
    // The broker is a thread of this very process.
    target.pid = Some(std::process::id());
    let measured = run(&Scenario::Connections { count: 10 }, &target, &settings()).unwrap();
    let Figures::Connections(found) = measured.figures else { panic!("connections") };
    assert!(found.idle_kib.is_some_and(|kib| kib > 0) && found.kib_per_connection.is_some());
    let measured = run(&Scenario::Writes { series: 10 }, &target, &settings()).unwrap();
    let Figures::Writes(found) = measured.figures else { panic!("these are writes") };
    assert!(found.closed.is_some() && found.steady.is_some());
}

#[test]
fn a_refusing_or_missing_broker_is_reported_as_an_error() {
    let scenario = Scenario::Fanout { receivers: 1, qos: 0 };
    let refused = run(&scenario, &Target::anonymous(broker(Manners::Refuses)), &settings()).unwrap_err();
    assert!(format!("{refused:#}").contains("NotAuthorised"), "{refused:#}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let absent = run(&scenario, &Target::anonymous(free), &settings()).unwrap_err();
    assert!(format!("{absent:#}").contains("cannot connect"), "{absent:#}");
}
