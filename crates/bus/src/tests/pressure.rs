//! Slow consumers affect only themselves: full outbound queues, busy dispatchers, more notifications than fit.

use std::sync::atomic::AtomicUsize;

use super::*;

const QOS0: DeliveryQos = DeliveryQos::AtMostOnce;
const QOS1: DeliveryQos = DeliveryQos::AtLeastOnce;

#[test]
fn a_full_queue_drops_at_qos_0_and_overflows_at_qos_1() {
    const NOTIFICATIONS: u64 = 2000;
    let bus = start(tight());
    let small = OutboundQueueLimits { messages: 10, bytes: 1 << 20 };
    let (mut lazy0, mut lazy1, mut brisk) =
        (Session::new(small), Session::new(small), Session::new(UNLIMITED));
    let _routes = [
        bus.subscribe(&key(1), lazy0.subscriber(0, QOS0)),
        bus.subscribe(&key(1), lazy1.subscriber(0, QOS1)),
        bus.subscribe(&key(1), brisk.subscriber(0, QOS1)),
    ];
    for seq in 0..NOTIFICATIONS {
        bus.publish(vec![notification(&key(1), seq)]);
    }
    assert!(bus.flush(DEADLINE));

    assert_eq!(lazy0.take(), OutboundQueueState::Open);
    assert_eq!(lazy0.by_slot()[&0], (0..10).collect::<Vec<_>>());
    assert_eq!(lazy0.outbound_queue.dropped(), NOTIFICATIONS - 10);
    assert_eq!(lazy1.take(), OutboundQueueState::Overflowed);
    assert_eq!(lazy1.by_slot()[&0], (0..10).collect::<Vec<_>>());
    assert_eq!(brisk.take(), OutboundQueueState::Open);
    assert_eq!(brisk.by_slot()[&0], (0..NOTIFICATIONS).collect::<Vec<_>>());
    let metrics = &bus.shared.metrics;
    assert_eq!((metrics.dropped_queue_full.get(), metrics.overflowed.get()), (NOTIFICATIONS - 10, 1));

    bus.publish(vec![notification(&key(1), NOTIFICATIONS)]);
    assert!(bus.flush(DEADLINE));
    lazy0.take();
    lazy1.take();
    assert_eq!(
        lazy0.received.last().map(|delivery| delivery.seq),
        Some(NOTIFICATIONS),
        "room again, notifications again"
    );
    assert_eq!(lazy1.received.len(), 10, "nothing more after the overflow");
}

#[test]
fn a_closed_queue_gets_nothing_and_is_dropped() {
    let bus = start(tight());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), session.subscriber(0, QOS1));
    session.outbound_queue.close();
    bus.publish(vec![notification(&key(1), 1)]);
    assert!(bus.flush(DEADLINE));
    assert_eq!(session.take(), OutboundQueueState::Closed);
    assert!(session.received.is_empty());
    assert_eq!(Arc::strong_count(&session.outbound_queue), 1, "the dispatcher dropped the queue");
}

/// A gate that stops a dispatcher in the middle of its work.
fn gated(session: &Session, gate: &Arc<Mutex<()>>, entered: &Arc<AtomicUsize>) -> Subscriber {
    let (gate, entered) = (Arc::clone(gate), Arc::clone(entered));
    let predicate: Predicate = Arc::new(move |_| {
        entered.fetch_add(1, Ordering::SeqCst);
        drop(gate.lock());
        true
    });
    Subscriber { predicate: Some(predicate), ..session.subscriber(0, QOS1) }
}

#[test]
fn publish_blocks_at_the_pending_bound_and_resumes_in_order() {
    const NOTIFICATIONS: u64 = 5000;
    let bus = start(tight());
    let (gate, entered) = (Arc::default(), Arc::default());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), gated(&session, &gate, &entered));
    let closed = gate.lock();
    let bounds = bus.shared.config.pending_bytes + bus.shared.config.credit_bytes;
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for seq in 0..NOTIFICATIONS {
                bus.publish(vec![notification(&key(1), seq)]);
            }
        });
        let metrics = &bus.shared.metrics;
        let full = bus.shared.config.pending_bytes as i64;
        wait_until("the pending notifications fill their bound", || metrics.pending_bytes.get() >= full);
        let used = metrics.pending_bytes.get() + metrics.credit_bytes_in_use.get();
        assert!(used as usize <= bounds + 200, "{used} bytes are held, the bounds are {bounds}");
        assert!(!publisher.is_finished());
        assert!(metrics.published.get() < NOTIFICATIONS / 2, "publish went on without bound");
        drop(closed);
        publisher.join().unwrap();
    });
    assert!(bus.flush(DEADLINE));
    session.take();
    assert_eq!(session.by_slot()[&0], (0..NOTIFICATIONS).collect::<Vec<_>>());
    assert_eq!(bus.health().rebuilds, 0);
}

#[test]
fn a_busy_dispatcher_is_not_taken_for_a_dead_bus() {
    let probe_deadline = Duration::from_millis(250);
    let probe_interval = Duration::from_millis(5);
    let bus = start(BusSettings { probe_interval, probe_deadline, ..tight() });
    let (gate, entered) = (Arc::default(), Arc::<AtomicUsize>::default());
    let mut session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), gated(&session, &gate, &entered));
    let closed = gate.lock();
    bus.publish(vec![notification(&key(1), 1)]);
    wait_until("the dispatcher is at work", || entered.load(Ordering::SeqCst) == 1);
    wait_until("probes are late", || bus.health().probe_age.unwrap() > 3 * probe_deadline);
    assert_eq!((bus.health().rebuilds, bus.health().alive), (0, true));
    drop(closed);
    wait_until("probes return", || bus.health().probe_age.unwrap() < probe_deadline);
    assert!(bus.flush(DEADLINE));
    session.take();
    assert_eq!((session.received.len(), bus.health().rebuilds), (1, 0));
}

#[test]
fn a_subscribe_on_another_key_does_not_wait_for_a_fan_out() {
    let bus = start(tight());
    let (gate, entered) = (Arc::default(), Arc::<AtomicUsize>::default());
    let session = Session::new(UNLIMITED);
    let _route = bus.subscribe(&key(1), gated(&session, &gate, &entered));
    let closed = gate.lock();
    bus.publish(vec![notification(&key(1), 1)]);
    wait_until("the dispatcher is at work", || entered.load(Ordering::SeqCst) == 1);
    // Two hundred keys, so that some lie in the very shard that is being served.
    let routes: Vec<Route> = (2..200).map(|n| bus.subscribe(&key(n), session.subscriber(0, QOS0))).collect();
    drop(routes);
    drop(closed);
    assert!(bus.flush(DEADLINE));
}
