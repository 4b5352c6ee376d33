//! Everything arrives, in order, once, at those who may see it.

use std::sync::atomic::AtomicBool;

use super::*;

const QOS0: DeliveryQos = DeliveryQos::AtMostOnce;
const QOS1: DeliveryQos = DeliveryQos::AtLeastOnce;

#[test]
fn all_notifications_reach_every_subscriber_in_key_order() {
    const KEYS: usize = 2000;
    const ROUNDS: u64 = 100;
    let bus = start(BusSettings::default());
    let keys: Vec<RouteKey> = (0..KEYS).map(key).collect();
    let mut sessions: Vec<Session> = (0..3).map(|_| Session::new(UNLIMITED)).collect();
    let mut routes = Vec::new();
    for session in &sessions {
        let all = (0_u32..).zip(&keys);
        routes.extend(all.map(|(slot, key)| bus.subscribe(key, session.subscriber(slot, QOS1))));
    }
    for round in 0..ROUNDS {
        for some in keys.chunks(300) {
            bus.publish(some.iter().map(|key| notification(key, round)).collect());
        }
        sessions.iter_mut().for_each(|session| assert_eq!(session.take(), OutboundQueueState::Open));
    }
    assert!(bus.flush(DEADLINE));
    let expected: Vec<u64> = (0..ROUNDS).collect();
    for session in &mut sessions {
        session.take();
        assert_eq!(session.received.len(), KEYS * ROUNDS as usize);
        assert!(session.by_slot().values().all(|seqs| *seqs == expected));
    }
    assert_eq!(bus.health().gaps, 0);
    assert_eq!(bus.shared.metrics.delivered.get(), 3 * KEYS as u64 * ROUNDS);
}

#[test]
fn a_delivery_carries_slot_sequence_and_body() {
    let bus = start(tight());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), session.subscriber(77, QOS0));
    bus.publish(vec![notification(&key(1), 41), notification(&key(2), 42)]);
    assert!(bus.flush(DEADLINE));
    session.take();
    let [delivery] = &session.received[..] else { panic!("{:?}", session.received) };
    assert_eq!((delivery.slot, delivery.seq, &delivery.body[..]), (77, 41, &b"{\"value\":41}"[..]));
}

#[test]
fn two_subscriptions_of_one_session_on_one_key_get_a_copy_each() {
    let bus = start(tight());
    let mut session = Session::new(UNLIMITED);
    let _first = bus.subscribe(&key(1), session.subscriber(1, QOS0));
    let second = bus.subscribe(&key(1), session.subscriber(2, QOS1));
    bus.publish(vec![notification(&key(1), 1)]);
    assert!(bus.flush(DEADLINE));
    drop(second);
    bus.publish(vec![notification(&key(1), 2)]);
    assert!(bus.flush(DEADLINE));
    session.take();
    assert_eq!(session.by_slot(), HashMap::from([(1, vec![1, 2]), (2, vec![1])]));
}

#[test]
fn the_same_topic_of_another_account_is_another_key() {
    let bus = start(tight());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&RouteKey::new("mine", "/thngs"), session.subscriber(0, QOS0));
    bus.publish(vec![
        notification(&RouteKey::new("theirs", "/thngs"), 1),
        notification(&RouteKey::new("mine", "/thngs"), 2),
    ]);
    assert!(bus.flush(DEADLINE));
    session.take();
    assert_eq!(session.by_slot(), HashMap::from([(0, vec![2])]));
}

#[test]
fn a_predicate_decides_by_the_scopes_and_refuses_when_it_panics() {
    let bus = start(tight());
    let mut session = Session::new(UNLIMITED);
    let filtered = |slot, predicate: Predicate| Subscriber {
        predicate: Some(predicate),
        ..session.subscriber(slot, QOS1)
    };
    let _routes = [
        bus.subscribe(&key(1), filtered(1, Arc::new(|scopes| scopes == b"p1"))),
        bus.subscribe(&key(1), filtered(2, Arc::new(|scopes| scopes.starts_with(b"p")))),
        bus.subscribe(&key(1), filtered(3, Arc::new(|scopes| panic!("staged, at {} bytes", scopes.len())))),
        bus.subscribe(&key(1), session.subscriber(4, QOS1)),
    ];
    let scoped = |seq, scopes: &'static [u8]| Notification {
        scopes: Bytes::from_static(scopes),
        ..notification(&key(1), seq)
    };
    bus.publish(vec![scoped(1, b"p1"), scoped(2, b"p2"), scoped(3, b""), scoped(4, b"p1")]);
    assert!(bus.flush(DEADLINE));
    session.take();
    let expected = HashMap::from([(1, vec![1, 4]), (2, vec![1, 2, 4]), (4, vec![1, 2, 3, 4])]);
    assert_eq!(session.by_slot(), expected);
}

#[test]
fn a_subscription_after_a_sequence_gets_only_newer_ones() {
    let bus = start(tight());
    let mut session = Session::new(UNLIMITED);
    let begins = |slot, after, predicate: Option<Predicate>| {
        let subscriber = Subscriber { after: Some(after), predicate, ..session.subscriber(slot, QOS1) };
        bus.subscribe(&key(1), subscriber)
    };
    let _routes = [
        begins(0, 0, None),
        begins(1, 3, None),
        begins(2, 3, Some(Arc::new(|scopes| scopes == b"even"))),
        begins(3, 9, None),
    ];
    let scopes = |seq| Bytes::from_static(if seq % 2 == 0 { b"even" } else { b"odd" });
    bus.publish(
        (1..=6).map(|seq| Notification { scopes: scopes(seq), ..notification(&key(1), seq) }).collect(),
    );
    assert!(bus.flush(DEADLINE));
    session.take();
    let expected = HashMap::from([(0, (1..=6).collect()), (1, vec![4, 5, 6]), (2, vec![4, 6])]);
    assert_eq!(session.by_slot(), expected);
}

#[test]
fn large_notifications_pass_credits_smaller_than_themselves() {
    let bus = start(tight());
    let mut session = Session::new(UNLIMITED);
    let routes: Vec<Route> =
        (0..8).map(|slot| bus.subscribe(&key(slot), session.subscriber(slot as u32, QOS1))).collect();
    let body = |seq: u64| match seq % 5 {
        0 => Bytes::from(vec![seq as u8; 1_300_000]),
        _ => Bytes::from(vec![seq as u8; 100]),
    };
    for seq in 0..200 {
        let notification =
            Notification { body: body(seq), ..notification(&key(seq as usize % routes.len()), seq) };
        bus.publish(vec![notification]);
    }
    assert!(bus.flush(DEADLINE));
    session.take();
    assert_eq!(session.received.len(), 200);
    assert!(session.received.iter().all(|delivery| delivery.body == body(delivery.seq)));
    assert!(session.by_slot().values().all(|seqs| seqs.is_sorted()));
    assert_eq!((bus.health().gaps, bus.health().rebuilds), (0, 0));
}

#[test]
fn subscribing_and_leaving_under_load_affects_no_other_session() {
    const NOTIFICATIONS: u64 = 20_000;
    let bus = start(BusSettings::default());
    let keys: Vec<RouteKey> = (0..4).map(key).collect();
    let mut steady = Session::new(UNLIMITED);
    let _routes: Vec<Route> =
        (0_u32..).zip(&keys).map(|(slot, key)| bus.subscribe(key, steady.subscriber(slot, QOS1))).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let mut passing = Session::new(UNLIMITED);
                    let routes: Vec<Route> = (0_u32..40)
                        .map(|slot| bus.subscribe(&keys[slot as usize % 4], passing.subscriber(slot, QOS0)))
                        .collect();
                    drop(routes);
                    passing.take();
                    assert!(passing.by_slot().values().all(|seqs| seqs.is_sorted()));
                }
            });
        }
        for seqs in (0..NOTIFICATIONS).collect::<Vec<_>>().chunks(20) {
            bus.publish(seqs.iter().map(|seq| notification(&keys[*seq as usize % 4], *seq)).collect());
        }
        let flushed = bus.flush(DEADLINE);
        done.store(true, Ordering::Relaxed);
        assert!(flushed);
    });
    steady.take();
    for (slot, seqs) in steady.by_slot() {
        assert_eq!(seqs, (0..NOTIFICATIONS).filter(|seq| seq % 4 == u64::from(slot)).collect::<Vec<_>>());
    }
    assert_eq!(bus.shared.metrics.subscriptions.get(), 4);
}

#[test]
fn a_subscription_gets_what_is_published_until_it_is_dropped() {
    let bus = start(BusSettings::default());
    for round in 0..200 {
        let mut session = Session::new(UNLIMITED);
        let route = bus.subscribe(&key(1), session.subscriber(0, QOS1));
        bus.publish(vec![notification(&key(1), round)]);
        assert!(bus.flush(DEADLINE));
        drop(route);
        bus.publish(vec![notification(&key(1), 1000 + round)]);
        assert!(bus.flush(DEADLINE));
        session.take();
        assert_eq!(session.by_slot(), HashMap::from([(0, vec![round])]));
    }
}

#[test]
fn a_waiting_session_is_woken() {
    let bus = start(BusSettings::default());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), session.subscriber(0, QOS0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for seq in 0..100 {
        bus.publish(vec![notification(&key(1), seq)]);
        runtime
            .block_on(async { tokio::time::timeout(DEADLINE, session.wake.notified()).await })
            .expect("the notification wakes the session");
        session.take();
    }
    assert_eq!(session.by_slot(), HashMap::from([(0, (0..100).collect())]));
}

#[test]
fn flush_returns_after_all_dispatches_or_at_its_deadline() {
    let bus = start(tight());
    assert!(bus.flush(Duration::ZERO), "nothing was published");
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let session = Session::new(UNLIMITED);
    let blocked = Arc::clone(&gate);
    let predicate: Predicate = Arc::new(move |_| {
        drop(blocked.lock());
        true
    });
    let subscriber = Subscriber { predicate: Some(predicate), ..session.subscriber(0, QOS0) };
    let _route = bus.subscribe(&key(1), subscriber);
    bus.publish(vec![notification(&key(1), 1)]);
    assert!(!bus.flush(Duration::from_millis(30)));
    drop(closed);
    assert!(bus.flush(DEADLINE));
}

#[test]
fn a_registry_serves_one_bus() {
    let registry = Registry::new();
    let _bus = Bus::start(tight(), &registry).unwrap();
    assert!(matches!(Bus::start(tight(), &registry), Err(BusError::Metrics(_))));
    let names: Vec<String> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
    assert!(names.contains(&"thng_pubsub_bus_notifications_published_total".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("thng_pubsub_bus_")), "{names:?}");
}
