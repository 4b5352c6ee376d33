//! Values that are in the log and not in the index by time yet: read, indexed in rounds, and found again by a start.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
};

use rusqlite::Connection;

use super::{Bounds, Durability, Fixture, SMALL, id, json, key, open, owner, update};
use crate::{
    Cursor, PageRequest, PropertyOwner, ReadOnlyDatabase, ReadStore as _, SortOrder, TimeRange,
    WriteStore as _, sqlite::read::SqliteReaders,
};

#[test]
fn a_commit_of_few_values_writes_the_log_only() {
    let mut store = Fixture::new();
    store.append(0..5, "");
    assert_eq!((store.rows("event"), store.rows("value_by_time"), store.rows("latest")), (5, 0, 0));
    assert_eq!(store.read.unindexed_values(), 5);
    assert_eq!((store.history().len(), store.latest().as_deref()), (5, Some("4")));
}

#[test]
fn unindexed_values_stay_below_their_bound() {
    let mut store = Fixture::new();
    for ts in 0..100 {
        store.append([ts], "");
        assert!(
            store.read.unindexed_values() <= SMALL.unindexed_max,
            "{} values",
            store.read.unindexed_values()
        );
    }
    store.append(100..200, "");
    assert!(store.read.unindexed_values() <= SMALL.unindexed_max, "also behind a large group");
    assert_eq!(store.history().len(), 200);
}

#[test]
fn a_start_reads_unindexed_values_from_the_log() {
    let mut store = Fixture::new();
    store.append(0..7, "a");
    store.append([3], "b");
    store.delete_below(2);
    store.append([1], "late");
    store.append([9], "c");
    let (history, latest, unindexed) = (store.history(), store.latest(), store.read.unindexed_values());
    assert_eq!(unindexed, 2, "a deletion indexes its series first");
    let store = store.restart();
    assert_eq!((store.history(), store.latest()), (history, latest));
    assert_eq!(store.read.unindexed_values(), unindexed);
}

#[test]
fn a_start_reads_no_more_of_the_log_than_is_needed() {
    let mut store = Fixture::new();
    for ts in 0..200 {
        store.append([ts], "");
    }
    let up_to: i64 = store
        .write
        .connection()
        .query_row("SELECT up_to FROM indexed", [], |row| row.get(0))
        .expect("a mark");
    assert!(up_to > 200 - 3 * SMALL.unindexed_max as i64, "{up_to}");
}

#[test]
fn a_latest_value_is_found_below_late_ones_and_after_a_start() {
    let mut store = Fixture::new();
    store.append([1, 9], "");
    store.append([5, 3, 4], "");
    assert_eq!(store.latest().as_deref(), Some("9"));
    let mut store = store.restart();
    assert_eq!(store.latest().as_deref(), Some("9"));
    store.append([7], "");
    assert_eq!(store.latest().as_deref(), Some("9"));
    store.append([10], "");
    store.append([8], "");
    assert_eq!(store.latest().as_deref(), Some("10"));
}

#[test]
fn a_lower_bound_is_reached_in_steps() {
    let mut store = Fixture::with(Bounds { unindexed_max: 20_000, ..SMALL });
    store.append(0..14_000, "");
    assert_eq!(store.read.unindexed_values(), 14_000);
    let mut store = store.restart_with(SMALL);
    store.append([20_000], "");
    let left = store.read.unindexed_values();
    assert!((9_000..14_000).contains(&left), "{left} values: not all in one commit");
    for ts in 20_001..20_010 {
        store.append([ts], "");
    }
    assert!(store.read.unindexed_values() <= SMALL.unindexed_max);
    assert_eq!(store.history().len(), 14_010);
}

#[test]
fn events_that_are_no_values_advance_a_round_too() {
    let mut store = Fixture::with(Bounds { unindexed_max: 400, ..SMALL });
    for ts in 0..290 {
        store.append([ts], "");
    }
    let mut groups = 0;
    while store.read.unindexed_values() > 0 {
        store.commit(|write| {
            (0..100).try_for_each(|at| write.log_membership(id(1), id(900), at, "{}").map(drop))
        });
        groups += 1;
        assert!(groups < 6, "{} values are left", store.read.unindexed_values());
    }
}

const READERS: usize = 2;
const SERIES: i64 = 4;
const VALUES: i64 = 600;

fn thng(number: i64) -> PropertyOwner {
    PropertyOwner::Thng(id(500 + number as u64))
}

/// All values of a series, in pages.
fn numbers(read: &SqliteReaders, owner: PropertyOwner, order: SortOrder, items: usize) -> Vec<i64> {
    let (mut all, mut after) = (Vec::new(), None::<Cursor>);
    loop {
        let page = PageRequest { items, order, after };
        let found = read.history(owner, &key("k"), TimeRange::default(), page.into()).expect("a page");
        all.extend(found.items.iter().map(|update| update.timestamp_ms));
        after = found.next;
        if after.is_none() {
            return all;
        }
    }
}

#[test]
fn readers_miss_and_repeat_nothing_while_values_are_indexed() {
    let Fixture { read, mut write, directory: _directory } = Fixture::new();
    let (committed, is_done, start) = (AtomicI64::new(0), AtomicBool::new(false), Barrier::new(READERS + 1));
    thread::scope(|scope| {
        for reader in 0..READERS {
            let (read, committed, is_done, start) = (&read, &committed, &is_done, &start);
            scope.spawn(move || {
                start.wait();
                let mut round = reader as i64;
                loop {
                    let is_last = is_done.load(Ordering::SeqCst);
                    let (least, owner) = (committed.load(Ordering::SeqCst), thng(round % SERIES));
                    let latest =
                        read.latest_of(owner, &key("k")).expect("read").map_or(0, |it| it.timestamp_ms);
                    assert!(latest >= least, "{latest} is older than {least}, which was committed");
                    // A page that sees one state, and pages that go on from a cursor towards what is written.
                    for items in [usize::MAX, 7] {
                        let all = numbers(read, owner, SortOrder::OldestFirst, items);
                        assert!(all.len() as i64 >= latest, "{} values, {latest} before", all.len());
                        assert_eq!(all, (1..=all.len() as i64).collect::<Vec<_>>(), "in order, each once");
                    }
                    let mut newest = numbers(read, owner, SortOrder::NewestFirst, 7);
                    newest.reverse();
                    assert_eq!(newest, (1..=newest.len() as i64).collect::<Vec<_>>(), "in order, each once");
                    round += 1;
                    if is_last {
                        break;
                    }
                }
            });
        }
        start.wait();
        for ts in 1..=VALUES {
            write.begin().expect("a group starts");
            for number in 0..SERIES {
                write.append_properties(id(1), thng(number), &[update("k", ts, "1")]).expect("appended");
            }
            write.commit().expect("committed");
            committed.store(ts, Ordering::SeqCst);
        }
        is_done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_rolled_back_group_leaves_no_value_and_indexes_none() {
    let mut store = Fixture::new();
    store.append(0..8, "");
    store.write.begin().expect("a group starts");
    let values: Vec<_> = (8..30).map(|ts| update("k", ts, "1")).collect();
    store.write.append_properties(id(1), owner(), &values).expect("appended");
    store.write.delete_properties(owner(), Some(&key("k")), Some(3)).expect("deleted");
    store.write.rollback();
    assert_eq!((store.read.unindexed_values(), store.rows("value_by_time")), (8, 0));
    assert_eq!((store.history().len(), store.latest().as_deref()), (8, Some("7")));
    store.append(8..30, "");
    assert_eq!((store.history().len(), store.latest().as_deref()), (30, Some("29")));
}

#[test]
fn an_earlier_layout_keeps_its_histories_and_latest_values() {
    let directory = tempfile::tempdir().expect("a folder");
    let early = Connection::open(directory.path().join("thng-pubsub.db")).expect("a database");
    for migration in [
        include_str!("../migrations/0002_accounts_resources_events.sql"),
        include_str!("../migrations/0003_durable_sessions.sql"),
        include_str!("../migrations/0004_sessions_by_key.sql"),
        include_str!("../migrations/0005_ended_sessions.sql"),
    ] {
        early.execute_batch(migration).expect("the layout before");
    }
    let rows = format!(
        "INSERT INTO account VALUES (1, '{}', 0);
         INSERT INTO series VALUES (1, 1, 1, '{}', 1, 'k');
         INSERT INTO event VALUES (1, 1, 1, 1, 0, 20, 5, '\"b\"'), (2, 1, 1, 1, 0, 10, 6, '\"a\"');
         INSERT INTO latest VALUES (1, 1, 20);
         PRAGMA user_version = 5",
        id(1).as_str(),
        owner().id().as_str()
    );
    early.execute_batch(&rows).expect("rows");
    early.close().expect("closed");
    let mut store = Fixture::at(directory);
    assert_eq!((store.history(), store.latest().as_deref()), (vec!["a".into(), "b".into()], Some("b")));
    assert_eq!(store.read.unindexed_values(), 0);
    store.append([15], "c");
    assert_eq!(
        (store.history(), store.latest().as_deref()),
        (vec!["a".into(), "15c".into(), "b".into()], Some("b"))
    );
    store.delete_below(16);
    assert_eq!(store.history(), ["b"]);
}

#[test]
fn an_examination_finds_an_index_that_differs_from_the_log() {
    let mut store = Fixture::new();
    for ts in 0..30 {
        store.append([ts], "");
    }
    let faults = |store: &Fixture| {
        let database = ReadOnlyDatabase::open(store.directory.path()).expect("a database");
        (database.examine(false).expect("read").faults.len(), database.examine(true).expect("read").faults)
    };
    assert_eq!(faults(&store), (0, Vec::new()));
    store.write.connection().execute("DELETE FROM value_by_time WHERE ts = 1", []).expect("deleted");
    let (quick, full) = faults(&store);
    assert_eq!((quick, full.len()), (0, 1), "{full:?}");
    store.write.connection().execute("INSERT INTO value_by_time VALUES (1, 500, 500)", []).expect("added");
    assert_eq!(faults(&store).1.len(), 2);
}

#[test]
fn a_location_is_read_before_it_is_indexed() {
    let mut store = Fixture::new();
    let at = |timestamp_ms| crate::LocationUpdate {
        value: json(r#"{"latitude":1}"#),
        timestamp_ms,
        created_at_ms: 9,
    };
    store.commit(|write| write.append_locations(id(1), id(7), &[at(3), at(5), at(4)]));
    assert_eq!(store.rows("value_by_time"), 0);
    assert_eq!(store.read.latest_location(id(7)).expect("read"), Some(at(5)));
    let details = store.read.details(owner()).expect("read");
    assert_eq!((details.location, details.latest), (Some(at(5)), Vec::new()));
}

#[test]
fn a_snapshot_finds_what_was_indexed_after_it_began() {
    let directory = tempfile::tempdir().expect("a folder");
    let (_read, mut write) = open(directory.path(), Durability::Normal, 1, SMALL).expect("a store");
    let reader = Connection::open(directory.path().join("thng-pubsub.db")).expect("a reader");
    let mut append = |timestamps: std::ops::Range<i64>| {
        write.begin().expect("a group starts");
        let values: Vec<_> = timestamps.map(|ts| update("k", ts, "1")).collect();
        write.append_properties(id(1), owner(), &values).expect("appended");
        write.commit().expect("committed");
        write.tail()
    };
    let tail = append(0..5);
    let snapshot = super::super::values::ValueSnapshot::of(&reader, &tail).expect("a snapshot");
    assert_eq!(reader.query_row("SELECT count(*) FROM event", [], |row| row.get(0)), Ok(5));
    append(5..60);
    append(60..120);
    let key = key("k");
    let latest = super::super::values::latest_of(&snapshot, owner(), &key).expect("read");
    assert_eq!(latest.map(|update| update.timestamp_ms), Some(4));
    let page = PageRequest { items: 10, order: SortOrder::NewestFirst, after: None };
    let name = (owner().id(), 1, "k");
    let found = super::super::values::history(&snapshot, name, TimeRange::default(), page.into(), |row| {
        Ok(row.get::<_, i64>(1)?)
    });
    assert_eq!(found.expect("read").items, [4, 3, 2, 1, 0]);
    drop(snapshot);
}
