//! Checks the contract of each carrier: on the link itself, and through a bus on top of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;

use super::carrier::{Carrier, CarrierDied, CarrierLink, PARCEL_OVERHEAD, Parcel};
use super::memory::Memory;
use super::rumqttd::Rumqttd;
use super::tests::{DEADLINE, Session, UNLIMITED, key, notification, tight, wait_until};
use super::{Bus, BusSettings, DeliveryQos, OutboundQueueState, PARTITIONS, Route};

macro_rules! on_each_bus {
    ($($name:ident),* $(,)?) => {
        mod rumqttd_bus { $(#[test] fn $name() { super::$name(Box::new(super::Rumqttd)); })* }
        mod memory_bus { $(#[test] fn $name() { super::$name(Box::new(super::Memory)); })* }
    };
}

on_each_bus! {
    parcels_of_a_partition_arrive_once_in_order_at_the_receiver_it_belongs_to,
    all_credits_in_one_partition_are_not_too_many,
    a_receiver_without_parcels_returns_after_its_wait,
    every_receiver_reports_the_death_and_the_next_bus_is_empty,
    a_bus_keeps_order_and_loses_nothing_under_credits,
    probes_return,
    a_dead_carrier_is_replaced_and_its_window_replayed,
    a_stopped_bus_delivers_nothing,
}

fn parcel(partition: usize, number: u64) -> Parcel {
    Parcel { partition: partition as u8, payload: Bytes::copy_from_slice(&number.to_le_bytes()) }
}

fn number(parcel: &Parcel) -> u64 {
    u64::from_le_bytes(parcel.payload[..8].try_into().unwrap())
}

/// Receives `count` parcels at receiver `index`.
fn receive(bus: &mut CarrierLink, index: usize, count: usize) -> Vec<Parcel> {
    let mut into = VecDeque::new();
    while into.len() < count {
        let before = into.len();
        bus.receivers[index].receive(&mut into, DEADLINE).unwrap();
        // Nothing may come of a wake-up, but not for the whole deadline.
        assert!(into.len() >= before);
    }
    assert_eq!(into.len(), count, "more arrived than was sent");
    into.into()
}

fn parcels_of_a_partition_arrive_once_in_order_at_the_receiver_it_belongs_to(mut carrier: Box<dyn Carrier>) {
    let config = BusSettings { dispatchers: 3, ..tight() };
    let mut bus = carrier.open(&config).unwrap();
    for round in 0..50 {
        let numbers = round * 8..(round + 1) * 8;
        for partitions in [0..PARTITIONS / 2, PARTITIONS / 2..PARTITIONS] {
            let all =
                numbers.clone().flat_map(|n| partitions.clone().map(move |partition| parcel(partition, n)));
            bus.sender.send(&mut all.collect());
        }
        for index in 0..config.dispatchers {
            let own: Vec<usize> = (index..PARTITIONS).step_by(config.dispatchers).collect();
            let parcels = receive(&mut bus, index, own.len() * 8);
            for partition in own {
                let of_partition = parcels.iter().filter(|parcel| usize::from(parcel.partition) == partition);
                assert!(of_partition.map(number).eq(numbers.clone()), "partition {partition}, round {round}");
            }
        }
    }
}

fn all_credits_in_one_partition_are_not_too_many(mut carrier: Box<dyn Carrier>) {
    // More than the 200 messages that rumqttd hands over before it waits to be asked for more.
    let config = BusSettings { segment_bytes: 64 << 10, credit_bytes: 64 << 10, ..tight() };
    let mut bus = carrier.open(&config).unwrap();
    let payload_bytes = 100;
    let fits = (config.credit_bytes / (payload_bytes + PARCEL_OVERHEAD)) as u64;
    for round in 0..40 {
        // Never in step with the segments, so that each kind of boundary is met.
        let count = fits - round % 7;
        for n in 0..count {
            let mut payload = n.to_le_bytes().to_vec();
            payload.resize(payload_bytes, 0);
            bus.sender.send(&mut vec![Parcel { partition: 5, payload: payload.into() }]);
        }
        let parcels = receive(&mut bus, 5 % config.dispatchers, count as usize);
        assert!(parcels.iter().map(number).eq(0..count), "round {round}");
    }
}

fn a_receiver_without_parcels_returns_after_its_wait(mut carrier: Box<dyn Carrier>) {
    let mut bus = carrier.open(&tight()).unwrap();
    let mut into = VecDeque::new();
    for _ in 0..10 {
        assert_eq!(bus.receivers[0].receive(&mut into, Duration::from_millis(5)), Ok(()));
    }
    assert!(into.is_empty());
}

fn every_receiver_reports_the_death_and_the_next_bus_is_empty(mut carrier: Box<dyn Carrier>) {
    let config = BusSettings { dispatchers: 3, ..tight() };
    let mut bus = carrier.open(&config).unwrap();
    bus.sender.send(&mut (0..PARTITIONS).map(|partition| parcel(partition, 0)).collect());
    bus.sender.kill();
    for receiver in &mut bus.receivers {
        let mut into = VecDeque::new();
        wait_until("the death is reported", || {
            receiver.receive(&mut into, Duration::from_millis(100)) == Err(CarrierDied)
        });
    }
    bus.sender.send(&mut vec![parcel(0, 1)]);
    let mut next = carrier.open(&config).unwrap();
    next.sender.send(&mut (0..PARTITIONS).map(|partition| parcel(partition, 2)).collect());
    for index in 0..config.dispatchers {
        let own = (index..PARTITIONS).step_by(config.dispatchers).count();
        assert!(receive(&mut next, index, own).iter().all(|parcel| number(parcel) == 2));
    }
}

fn start(carrier: Box<dyn Carrier>, config: BusSettings) -> Arc<Bus> {
    Bus::start_on(carrier, config, &Registry::new()).unwrap()
}

fn a_bus_keeps_order_and_loses_nothing_under_credits(carrier: Box<dyn Carrier>) {
    const NOTIFICATIONS: u64 = 20_000;
    let bus = start(carrier, tight());
    let mut session = Session::new(UNLIMITED);
    let subscribe =
        |slot: usize| bus.subscribe(&key(slot), session.subscriber(slot as u32, DeliveryQos::AtLeastOnce));
    let _routes: Vec<Route> = (0..7).map(subscribe).collect();
    // One publish that is far larger than all bounds together.
    bus.publish((0..NOTIFICATIONS).map(|seq| notification(&key(seq as usize % 7), seq)).collect());
    assert!(bus.flush(DEADLINE));
    session.take();
    for (slot, seqs) in session.by_slot() {
        assert!(
            seqs.into_iter().eq((0..NOTIFICATIONS).filter(|seq| seq % 7 == u64::from(slot))),
            "key {slot}"
        );
    }
    assert_eq!((session.received.len() as u64, bus.health().gaps), (NOTIFICATIONS, 0));
}

fn probes_return(carrier: Box<dyn Carrier>) {
    let bus = start(carrier, BusSettings { probe_interval: Duration::from_millis(5), ..tight() });
    for _ in 0..5 {
        let seen = bus.shared.board.last_probe();
        assert!(seen.is_some());
        wait_until("another round returns", || bus.shared.board.last_probe() != seen);
    }
    let health = bus.health();
    assert!(health.alive && health.rebuilds == 0 && health.probe_round_trip.is_some(), "{health:?}");
}

fn a_dead_carrier_is_replaced_and_its_window_replayed(carrier: Box<dyn Carrier>) {
    let bus = start(carrier, tight());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), session.subscriber(0, DeliveryQos::AtLeastOnce));
    for seq in 0..3000 {
        bus.publish(vec![notification(&key(1), seq)]);
        if seq % 1000 == 500 {
            bus.kill_router_for_test();
        }
    }
    assert!(bus.flush(DEADLINE));
    session.take();
    assert_eq!(session.by_slot()[&0], (0..3000).collect::<Vec<_>>());
    assert!(bus.health().rebuilds > 0 && bus.health().gaps == 0);
}

fn a_stopped_bus_delivers_nothing(carrier: Box<dyn Carrier>) {
    let bus = start(carrier, tight());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), session.subscriber(0, DeliveryQos::AtLeastOnce));
    bus.stop();
    bus.publish(vec![notification(&key(1), 1)]);
    assert_eq!(session.take(), OutboundQueueState::Open);
    assert!(session.received.is_empty());
    assert!(!bus.health().alive);
}
