//! An account keeps its fair share of sessions and of bytes, and the one that holds most gives way.

use super::*;

#[test]
fn an_account_within_its_share_of_bytes_loses_nothing() {
    let mut store = store_with_keys();
    // Each notification counts 1,000 bytes; a topic may have a sixteenth of all.
    let limits = bounds(100, 64_000);
    let (_, modest) = subscribed(&mut store, &KEYS[2], "modest");
    // The oldest of all, and not more than a half of all.
    (0..4).for_each(|_| enqueue(&mut store, &modest, 952, &limits));
    let greedy: Vec<_> =
        (0..40).map(|n| subscribed(&mut store, &KEYS[n % 2], &format!("greedy {n}")).1).collect();
    for _ in 0..4 {
        greedy.iter().for_each(|route| enqueue(&mut store, route, 952, &limits));
    }
    assert_eq!(queued(&store, &modest), 4);
    let extent = store.write.queue_stats();
    assert_eq!((extent.bytes, extent.lost_to_bytes, extent.lost_of), (64_000, 100, Some(id(1))));
    // The same after a restart, which reads what each holds.
    let mut store = store.restart();
    (0..8).for_each(|_| enqueue(&mut store, &greedy[0], 952, &limits));
    assert_eq!((queued(&store, &modest), store.write.queue_stats().bytes), (4, 64_000));
}

#[test]
fn of_an_account_the_key_that_holds_most_bytes_gives_way() {
    let mut store = store_with_keys();
    let limits = bounds(100, 64_000);
    let (_, modest) = subscribed(&mut store, &KEYS[1], "modest");
    (0..3).for_each(|_| enqueue(&mut store, &modest, 952, &limits));
    for n in 0..20 {
        let (_, route) = subscribed(&mut store, &KEYS[0], &format!("greedy {n}"));
        (0..4).for_each(|_| enqueue(&mut store, &route, 952, &limits));
    }
    assert_eq!((queued(&store, &modest), store.write.queue_stats().bytes), (3, 64_000));
}

#[test]
fn an_account_below_its_share_of_sessions_gets_one_of_another() {
    let mut store = store_with_keys();
    let limits = bounds(4, 64_000);
    let open = |store: &mut Fixture, key: &KeyHash, name: &str| {
        store.commit(|write| write.open_session(key, name, &limits))
    };
    let leave = |store: &mut Fixture, session, at_ms| {
        let subscriptions = Vec::new();
        let progress = SessionProgress { session, subscriptions, in_flight: None, has_left: true };
        store.commit(|write| write.save_progress(&progress, at_ms));
    };
    let mut first = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let OpenedSession::Started(session) = open(&mut store, &KEYS[0], name) else { panic!("{name}") };
        first.push(session);
    }
    assert_eq!(open(&mut store, &KEYS[0], "e"), OpenedSession::TooMany, "it would be its own");
    // The one whose client has been away longest goes first, and connected ones last.
    leave(&mut store, first[2], 10);
    leave(&mut store, first[1], 20);
    for expected in [first[2], first[1]] {
        let opened = open(&mut store, &KEYS[2], &format!("for {}", expected.number));
        let OpenedSession::StartedInstead { ended, .. } = opened else { panic!("{opened:?}") };
        assert_eq!(ended, expected.number);
    }
    assert_eq!(open(&mut store, &KEYS[2], "third"), OpenedSession::TooMany, "two of four are its share");
    // Within the account it is the key that holds most.
    assert_eq!(open(&mut store, &KEYS[1], "x").ended(), Some(first[0].number));
    assert_eq!(open(&mut store, &KEYS[1], "y"), OpenedSession::TooMany);
    let extent = store.write.queue_stats();
    assert_eq!((extent.sessions, extent.evicted, extent.evicted_of), (4, 3, Some(id(1))));
    let mut store = store.restart();
    assert_eq!(open(&mut store, &KEYS[1], "y"), OpenedSession::TooMany, "a restart counts the same");
}
