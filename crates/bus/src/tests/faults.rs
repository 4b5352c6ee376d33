//! The bus dies, hangs, loses, repeats or garbles: nothing is lost, nothing comes twice.

use std::sync::atomic::AtomicBool;

use super::super::memory::Memory;
use super::super::rumqttd::Rumqttd;
use super::*;

const QOS1: DeliveryQos = DeliveryQos::AtLeastOnce;

fn start_on(carrier: impl Carrier + 'static, config: BusSettings) -> Arc<Bus> {
    Bus::start_on(Box::new(carrier), config, &Registry::new()).unwrap()
}

/// Publishes `notifications` over `keys` keys while `meddle` is called after every `step`, and checks that each
/// arrived once and in order.
fn all_arrive_once(bus: &Bus, keys: usize, notifications: u64, step: u64, mut meddle: impl FnMut(u64)) {
    let mut session = Session::new(UNLIMITED);
    let keys: Vec<RouteKey> = (0..keys).map(key).collect();
    let _routes: Vec<Route> =
        (0_u32..).zip(&keys).map(|(slot, key)| bus.subscribe(key, session.subscriber(slot, QOS1))).collect();
    for seqs in (0..notifications).collect::<Vec<_>>().chunks(10) {
        bus.publish(seqs.iter().map(|seq| notification(&keys[*seq as usize % keys.len()], *seq)).collect());
        if seqs[0] % step == 0 {
            meddle(seqs[0] / step);
        }
    }
    assert!(bus.flush(DEADLINE), "{bus:?}");
    session.take();
    let slots = session.by_slot();
    for slot in 0..keys.len() {
        let expected: Vec<u64> =
            (0..notifications).filter(|seq| *seq as usize % keys.len() == slot).collect();
        assert_eq!(slots[&(slot as u32)], expected, "key {slot}");
    }
}

#[test]
fn router_deaths_under_load_lose_repeat_and_reorder_nothing() {
    let bus = start(BusSettings { dispatchers: 3, ..tight() });
    let threads = Arc::strong_count(&bus.shared);
    all_arrive_once(&bus, 100, 60_000, 10_000, |nth| {
        if nth > 0 {
            wait_until("there is a router to kill", || bus.kill_router_for_test());
            wait_until("the bus is rebuilt", || bus.health().rebuilds == nth && bus.health().alive);
        }
    });
    let health = bus.health();
    assert_eq!((health.rebuilds, health.gaps, health.alive), (5, 0, true));
    assert_eq!(bus.shared.metrics.duplicates.get(), 0);
    wait_until("old dispatchers have ended", || Arc::strong_count(&bus.shared) == threads);
}

#[test]
fn a_router_that_dies_during_a_rebuild_is_replaced() {
    let bus = start(tight());
    all_arrive_once(&bus, 20, 6000, 100, |_| {
        bus.kill_router_for_test();
    });
    assert!(bus.health().rebuilds > 0);
    assert_eq!(bus.health().gaps, 0);
}

#[test]
fn stopping_the_bus_stops_all_delivery() {
    let bus = start(tight());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), session.subscriber(0, QOS1));
    bus.publish(vec![notification(&key(1), 1)]);
    assert!(bus.flush(DEADLINE));
    bus.stop();
    bus.publish((2..1000).map(|seq| notification(&key(1), seq)).collect());
    session.take();
    assert_eq!(session.by_slot(), HashMap::from([(0, vec![1])]));
    assert_eq!(bus.shared.metrics.delivered.get(), 1);
    assert_eq!(bus.shared.metrics.dropped_stopped.get(), 998);
    assert!(!bus.health().alive && !bus.kill_router_for_test());
    assert_eq!(Arc::strong_count(&bus.shared), 1, "no thread is left");
    bus.stop();
}

#[test]
fn without_a_bus_delivery_waits_and_then_completes() {
    let faulty = Faulty::tampering(Box::new(Rumqttd), |_| {});
    let closed = Arc::clone(&faulty.closed);
    let bus = start_on(faulty, tight());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), session.subscriber(0, QOS1));
    closed.store(true, Ordering::SeqCst);
    bus.kill_router_for_test();
    wait_until("the death is noticed", || !bus.health().alive);
    bus.publish((0..100).map(|seq| notification(&key(1), seq)).collect());
    assert!(!bus.flush(Duration::from_millis(300)));
    session.take();
    assert!(session.received.is_empty(), "there is a way round the bus");
    closed.store(false, Ordering::SeqCst);
    assert!(bus.flush(DEADLINE));
    session.take();
    assert_eq!(session.by_slot()[&0], (0..100).collect::<Vec<_>>());
}

#[test]
fn probes_detect_a_bus_that_swallows_everything() {
    let deaf = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&deaf);
    let faulty = Faulty::tampering(Box::new(Rumqttd), move |batch| {
        if switch.load(Ordering::SeqCst) {
            batch.clear();
        }
    });
    let probe = Duration::from_millis(50);
    let bus = start_on(faulty, BusSettings { probe_interval: probe, probe_deadline: probe, ..tight() });
    all_arrive_once(&bus, 10, 1000, 500, |nth| {
        if nth == 1 {
            deaf.store(true, Ordering::SeqCst);
            bus.publish(vec![notification(&key(99), 0)]);
            wait_until("the silence is noticed", || bus.health().rebuilds > 0);
            deaf.store(false, Ordering::SeqCst);
        }
    });
}

#[test]
fn a_lost_notification_alarms_and_is_replayed() {
    let mut parcels = 0;
    let faulty = Faulty::tampering(Box::new(Rumqttd), move |batch| {
        batch.retain(|parcel| {
            let is_notification = parcel.payload[0] == 1;
            parcels += u32::from(is_notification);
            !(is_notification && parcels == 500)
        });
    });
    let bus = start_on(faulty, tight());
    all_arrive_once(&bus, 5, 2000, 2000, |_| {});
    let health = bus.health();
    assert!(health.gaps >= 1 && health.rebuilds == 1, "{health:?}");
}

#[test]
fn repeated_notifications_are_delivered_once() {
    let faulty = Faulty::tampering(Box::new(Memory), |batch| {
        let twice = batch.clone();
        batch.extend(twice);
    });
    let bus = start_on(faulty, tight());
    all_arrive_once(&bus, 5, 2000, 2000, |_| {});
    assert_eq!((bus.health().gaps, bus.health().rebuilds), (0, 0));
    wait_until("the last repetition is skipped", || bus.shared.metrics.duplicates.get() == 2000);
}

#[test]
fn a_garbled_envelope_is_counted_and_its_credit_comes_back() {
    const NOTIFICATIONS: u64 = 5000;
    let mut parcels = 0;
    let faulty = Faulty::tampering(Box::new(Rumqttd), move |batch| {
        for parcel in batch.iter_mut().filter(|parcel| parcel.payload[0] == 1) {
            parcels += 1;
            if parcels % 10 == 0 {
                parcel.payload = Bytes::from_static(b"garbled");
            }
        }
    });
    let bus = start_on(faulty, tight());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), session.subscriber(0, QOS1));
    for seq in 1..=NOTIFICATIONS {
        bus.publish(vec![notification(&key(1), seq)]);
    }
    assert!(bus.flush(DEADLINE));
    session.take();
    assert_eq!(session.by_slot()[&0], (1..=NOTIFICATIONS).filter(|seq| seq % 10 != 0).collect::<Vec<_>>());
    assert_eq!(bus.shared.metrics.malformed.get(), NOTIFICATIONS / 10);
    assert_eq!(bus.shared.metrics.credit_bytes_in_use.get(), 0);
    assert_eq!(bus.health().rebuilds, 0);
}

#[test]
fn a_blocked_publisher_continues_when_the_bus_stops() {
    let faulty = Faulty::tampering(Box::new(Memory), |_| {});
    let closed = Arc::clone(&faulty.closed);
    let bus = start_on(faulty, tight());
    closed.store(true, Ordering::SeqCst);
    bus.kill_router_for_test();
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for seq in 0..10_000 {
                bus.publish(vec![notification(&key(1), seq)]);
            }
        });
        let full = bus.shared.config.pending_bytes as i64;
        wait_until("the pending notifications fill their bound", || {
            bus.shared.metrics.pending_bytes.get() >= full
        });
        assert!(!publisher.is_finished());
        bus.stop();
        publisher.join().unwrap();
    });
}

#[test]
fn a_dispatcher_that_panics_is_replaced() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("staged: a subscriber that cannot be dropped in peace");
        }
    }
    let bus = start(tight());
    let (mut session, closed) = (Session::new(UNLIMITED), Session::new(UNLIMITED));
    let bomb = Bomb;
    let predicate: Predicate = Arc::new(move |_| {
        let _owned: &Bomb = &bomb;
        true
    });
    let armed =
        bus.subscribe(&key(1), Subscriber { predicate: Some(predicate), ..closed.subscriber(0, QOS1) });
    let _route = bus.subscribe(&key(2), session.subscriber(0, QOS1));
    closed.outbound_queue.close();
    bus.publish(vec![notification(&key(1), 1)]);
    assert!(bus.flush(DEADLINE), "the notification that it died of is not repeated");
    drop(armed);
    bus.publish((0..1000).map(|seq| notification(&key(2), seq)).collect());
    assert!(bus.flush(DEADLINE));
    session.take();
    assert_eq!(session.by_slot()[&0], (0..1000).collect::<Vec<_>>());
    assert_eq!((bus.health().rebuilds, bus.health().gaps), (1, 0));
}

#[test]
fn a_bus_does_not_start_on_a_silent_carrier() {
    let deaf = Faulty::tampering(Box::new(Memory), Vec::clear);
    let config = BusSettings { probe_deadline: Duration::from_millis(30), ..tight() };
    let started = Bus::start_on(Box::new(deaf), config, &Registry::new());
    assert!(matches!(started, Err(BusError::Unresponsive)), "{started:?}");
}
