//! A session ends at once, whatever ends it and however much it has, and its rows are freed in steps.

use super::*;
use crate::session_queue::QueuedMessages;

/// More subscriptions and messages than one step frees.
const MANY: usize = 20;

/// Rows that one step frees at the most.
const STEP: i64 = super::super::SMALL.step as i64;

type End = fn(&mut Fixture);

/// What ends the session of a client of the first key.
const ENDS: [(&str, End); 5] = [
    ("clean session", |store| store.commit(|write| write.end_session(&KEYS[0], "c"))),
    ("expiry", |store| assert_eq!(store.commit(|write| write.expire_sessions(10, 5)), 1)),
    ("its key revoked", |store| assert!(store.commit(|write| write.remove_key(&KEYS[0])))),
    ("all keys of its actor revoked", |store| {
        store.commit(|write| write.remove_keys(key_record(KEYS[0]).actor));
    }),
    ("another account's session", |store| {
        store.commit(|write| write.open_session(&KEYS[0], "connected", &AMPLE));
        let opened = store.commit(|write| write.open_session(&KEYS[2], "other", &bounds(2, 64_000)));
        assert!(matches!(opened, OpenedSession::StartedInstead { .. }), "{opened:?}");
        store.commit(|write| write.end_session(&KEYS[2], "other"));
        store.commit(|write| write.end_session(&KEYS[0], "connected"));
    }),
];

fn own_topic(number: usize) -> Vec<u8> {
    format!("account\u{ff}/many/{number}").into_bytes()
}

/// Opens a session with many subscriptions, each with a message, whose client is away since 5.
fn opened_with_many(store: &mut Fixture) -> SessionNumber {
    let session = store.commit(|write| {
        let OpenedSession::Started(session) = write.open_session(&KEYS[0], "c", &AMPLE)? else {
            panic!("new")
        };
        for number in 0..MANY {
            let filter = format!("many/{number}");
            write.put_subscription(session, filter.as_bytes(), Some(&own_topic(number)))?;
            write.receive(session, number as u16 + 1)?;
        }
        Ok(session)
    });
    (0..MANY).for_each(|number| enqueue(store, &own_topic(number), 100, &AMPLE));
    let (subscriptions, in_flight) = (Vec::new(), None);
    let progress = SessionProgress { session, subscriptions, in_flight, has_left: true };
    store.commit(|write| write.save_progress(&progress, 5));
    session
}

/// No reader and no count has the session any more.
fn assert_ended(store: &mut Fixture, session: SessionNumber, how: &str) {
    let extent = store.write.queue_stats();
    assert_eq!((extent.sessions, extent.subscriptions), (0, 0), "{how}");
    assert!(store.write.subscription_usage().is_empty(), "{how}");
    assert!(!store.read.has_session(&KEYS[0], "c").expect("a look"), "{how}");
    assert_eq!(store.read.session(session).expect("a look"), StoredSession::default(), "{how}");
    assert!(!store.write.is_current(session).expect("a look"), "{how}");
}

fn rows_of_sessions(store: &Fixture) -> i64 {
    store.rows("session_subscription") + store.rows("session_received")
}

#[test]
fn a_session_ends_at_once_and_is_freed_in_steps() {
    for (how, end) in ENDS {
        let mut store = store_with_keys();
        let session = opened_with_many(&mut store);
        end(&mut store);
        assert_eq!(rows_of_sessions(&store), 2 * MANY as i64, "{how}: what it had is freed later");
        assert_ended(&mut store, session, how);
        let mut more = true;
        while more {
            let before = (rows_of_sessions(&store), store.rows("session_note"));
            more = store.write.reclaim().expect("a part is freed");
            assert!(before.0 - rows_of_sessions(&store) <= STEP, "{how}");
            assert!(before.1 - store.rows("session_note") <= STEP, "{how}");
            assert_ended(&mut store, session, how);
            // A start of the server in the middle finds the same.
            if rows_of_sessions(&store) == MANY as i64 {
                store = store.restart();
                store.commit(|write| write.leave_all_sessions(7));
                assert_ended(&mut store, session, how);
            }
        }
        for table in ["session", "session_topic", "session_note", "ended_session", "ended_session_key"] {
            assert_eq!(store.rows(table), 0, "{how}: {table}");
        }
        assert_eq!(rows_of_sessions(&store), 0, "{how}");
    }
}

#[test]
fn a_client_that_comes_back_meanwhile_has_a_session_of_its_own() {
    for (at, (how, end)) in ENDS.into_iter().enumerate() {
        let mut store = store_with_keys();
        let ended = opened_with_many(&mut store);
        end(&mut store);
        for _ in 0..at {
            store.write.reclaim().expect("a part is freed");
        }
        // No key comes back; if one did, it would have none of this either.
        if !store.commit(|write| write.has_key(&KEYS[0])) {
            store.commit(|write| write.add_key(&key_record(KEYS[0])));
        }
        let opened = store.commit(|write| write.open_session(&KEYS[0], "c", &AMPLE));
        let OpenedSession::Started(session) = opened else { panic!("{how}: {opened:?}") };
        assert_eq!(store.read.session(session).expect("a look"), StoredSession::default(), "{how}");
        assert_eq!(store.write.queue_stats().subscriptions, 0, "{how}");
        let last = MANY - 1;
        let stored = store
            .commit(|write| write.put_subscription(session, b"many/19", Some(&own_topic(last))))
            .expect("the session is there");
        let (topic, Progress { cursor, .. }) = stored.queue.expect("it is kept");
        let notes = |store: &Fixture| {
            let queued = store.read.queued_messages(topic, cursor, Sequence::MAX >> 1, 10, usize::MAX);
            queued.map(|QueuedMessages { messages, .. }| messages.len()).expect("a look")
        };
        assert_eq!(notes(&store), 0, "{how}: nothing from before");
        enqueue(&mut store, &own_topic(last), 10, &AMPLE);
        store.reclaim_all();
        assert_eq!(notes(&store), 1, "{how}");
        assert_eq!(store.read.session(session).expect("a look").subscriptions.len(), 1, "{how}");
        assert!(!store.write.is_current(ended).expect("a look"), "{how}");
    }
}

#[test]
fn a_topic_that_cannot_be_freed_blocks_no_others() {
    for stuck in [0, MANY / 2, MANY - 1] {
        let mut store = store_with_keys();
        opened_with_many(&mut store);
        let topic = store.write.session_topic(&own_topic(stuck)).expect("it is subscribed to");
        let refused = format!(
            "CREATE TEMP TRIGGER stuck BEFORE DELETE ON main.session_note WHEN old.topic = {topic}
             BEGIN SELECT RAISE(ABORT, 'a page is damaged'); END"
        );
        store.write.connection().execute_batch(&refused).expect("a trigger");
        store.commit(|write| write.end_session(&KEYS[0], "c"));
        let mut failed = 0;
        for _ in 0..20 * MANY {
            failed += usize::from(store.write.reclaim().is_err());
        }
        assert!(failed > 0, "it is tried again and again");
        assert_eq!(store.rows("session_note"), 1, "that of topic {stuck}");
        store.commit(|write| write.open_session(&KEYS[1], "other", &AMPLE));
        store.commit(|write| write.end_session(&KEYS[1], "other"));
        (0..5).for_each(|_| drop(store.write.reclaim()));
        assert_eq!(store.rows("ended_session"), 0, "what is left later is freed beside topic {stuck}");
        store.write.connection().execute_batch("DROP TRIGGER stuck").expect("it is repaired");
        store.reclaim_all();
        assert_eq!((store.rows("session_note"), store.rows("session_topic")), (0, 0));
    }
}

#[test]
fn all_sessions_of_a_key_end_with_one_row() {
    let mut store = store_with_keys();
    for number in 0..MANY {
        store.commit(|write| write.open_session(&KEYS[0], &format!("client {number}"), &AMPLE));
    }
    store.commit(|write| write.open_session(&KEYS[1], "other", &AMPLE));
    store.commit(|write| write.leave_all_sessions(5));
    store.commit(|write| write.remove_key(&KEYS[0]));
    assert_eq!((store.rows("session"), store.rows("ended_session_key")), (MANY as i64 + 1, 1));
    assert_eq!(store.write.queue_stats().sessions, 1);
    assert!(!store.read.has_session(&KEYS[0], "client 0").expect("a look"));
    // Those that are not freed yet are not counted as expired.
    assert_eq!(store.commit(|write| write.expire_sessions(10, 5)), 0);
    store.reclaim_all();
    assert_eq!((store.rows("session"), store.rows("ended_session_key")), (1, 0));
}

#[test]
fn ended_subscriptions_in_front_hide_no_other_messages() {
    let mut store = store_with_keys();
    let route = own_topic(0);
    let (_, other) = subscribed(&mut store, &KEYS[2], "other");
    store.commit(|write| {
        for number in 0..2 * MANY {
            let OpenedSession::Started(session) =
                write.open_session(&KEYS[0], &format!("client {number}"), &AMPLE)?
            else {
                panic!("new")
            };
            write.put_subscription(session, b"f", Some(&route))?;
        }
        Ok(())
    });
    (0..3).for_each(|_| enqueue(&mut store, &route, 10, &AMPLE));
    let stored = store.commit(|write| {
        let OpenedSession::Started(session) = write.open_session(&KEYS[1], "ahead", &AMPLE)? else {
            panic!("new")
        };
        write.put_subscription(session, b"f", Some(&route))
    });
    let (topic, progress) = stored.and_then(|stored| stored.queue).expect("it is kept");
    enqueue(&mut store, &route, 10, &AMPLE);
    store.commit(|write| write.remove_key(&KEYS[0]));
    let needed = |store: &Fixture| {
        let queued = store.read.queued_messages(topic, progress.cursor, Sequence::MAX >> 1, 10, usize::MAX);
        queued.expect("a look").messages.len()
    };
    while store.write.reclaim().expect("a part is freed") {
        assert_eq!(needed(&store), 1);
        assert_eq!(store.write.session_topic(&route), Some(topic));
    }
    assert_eq!((needed(&store), store.rows("session_note")), (1, 1));
    assert_eq!(store.write.session_usage()[&KEYS[1].0], (1, 48 + 10));
    assert!(store.write.session_topic(&other).is_some());
}

#[test]
fn what_ended_sessions_leave_gives_way_first_and_is_not_lost() {
    let mut store = store_with_keys();
    let limits = bounds(100, 64_000);
    let (_, modest) = subscribed(&mut store, &KEYS[1], "modest");
    enqueue(&mut store, &modest, 952, &limits);
    let left: Vec<_> = (0..15).map(|n| subscribed(&mut store, &KEYS[2], &format!("left {n}")).1).collect();
    (0..4).for_each(|_| left.iter().for_each(|route| enqueue(&mut store, route, 952, &limits)));
    store.commit(|write| write.remove_key(&KEYS[2]));
    let (_, next) = subscribed(&mut store, &KEYS[0], "next");
    (0..4).for_each(|_| enqueue(&mut store, &next, 952, &limits));
    let extent = store.write.queue_stats();
    assert_eq!((extent.bytes, extent.lost_to_bytes), (64_000, 0));
    // The same where the topic has its bound.
    let few = QueueLimits { messages_per_topic: 2, ..AMPLE };
    (0..4).for_each(|_| enqueue(&mut store, &left[14], 10, &few));
    assert_eq!(store.write.queue_stats().lost_to_count, 0);
    assert_eq!((queued(&store, &modest), queued(&store, &next)), (1, 4));
}

#[test]
fn a_key_that_was_revoked_gets_no_session_and_leaves_none() {
    let mut store = store_with_keys();
    subscribed(&mut store, &KEYS[0], "a");
    // As it was left by a version that did not look.
    store.commit(|write| {
        let session =
            "INSERT INTO session (key, client_id, epoch, in_flight) VALUES (zeroblob(32), 'x', 1, x'')";
        write.connection().execute_batch(session).expect("a row");
        Ok(())
    });
    let mut store = store.restart();
    store.commit(|write| write.leave_all_sessions(5));
    assert_eq!(store.write.queue_stats().sessions, 1);
    store.reclaim_all();
    assert_eq!(store.rows("session"), 1);
    store.commit(|write| write.remove_key(&KEYS[0]));
    assert_eq!(store.write.queue_stats().sessions, 0);
    store.reclaim_all();
    assert_eq!(store.rows("session"), 0);
    let opened = store.commit(|write| write.open_session(&KEYS[0], "a", &AMPLE));
    assert_eq!((opened, store.rows("session")), (OpenedSession::InvalidKey, 0));
    assert!(store.write.subscription_usage().is_empty());
}

#[test]
fn a_subscription_behind_many_ended_ones_keeps_its_messages() {
    let mut store = store_with_keys();
    let route = own_topic(0);
    store.commit(|write| {
        for number in 0..2 * MANY {
            let OpenedSession::Started(session) =
                write.open_session(&KEYS[0], &format!("client {number}"), &AMPLE)?
            else {
                panic!("new")
            };
            write.put_subscription(session, b"f", Some(&route))?;
        }
        write.remove_key(&KEYS[0])
    });
    // Nothing is freed yet, and the server does not know any more for whom the topic counted.
    let mut store = store.restart();
    store.commit(|write| {
        let OpenedSession::Started(session) = write.open_session(&KEYS[1], "live", &AMPLE)? else {
            panic!("new")
        };
        write.put_subscription(session, b"f", Some(&route))
    });
    let limits = bounds(100, 64_000);
    enqueue(&mut store, &route, 952, &limits);
    assert_eq!(store.write.session_usage()[&KEYS[1].0], (1, 1_000));
    let (_, other) = subscribed(&mut store, &KEYS[2], "greedy");
    let many: Vec<_> = (0..16).map(|n| subscribed(&mut store, &KEYS[2], &format!("greedy {n}")).1).collect();
    (0..4).for_each(|_| many.iter().for_each(|route| enqueue(&mut store, route, 952, &limits)));
    enqueue(&mut store, &other, 952, &limits);
    assert_eq!(queued(&store, &route), 1, "the key that holds more gives way");
}
