//! The write-ahead log under writes without a pause.

use std::{
    fs,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{Fixture, id, owner, update};
use crate::WriteStore as _;

/// What is written: several times what the log may come to.
const GROUPS: i64 = 400;
const VALUES: i64 = 10;
const VALUE_BYTES: usize = 100_000;

/// Where the writer begins to wait (112 MiB), and a group.
const LOG_BYTES_MAX: u64 = 120 << 20;

#[test]
fn the_log_starts_anew_under_writes_without_a_pause() {
    let mut store = Fixture::new();
    let log = store.directory.path().join("thng-pubsub.db-wal");
    let value = format!("\"{}\"", "x".repeat(VALUE_BYTES));
    let mut longest = 0;
    for group in 0..GROUPS {
        let updates: Vec<_> = (0..VALUES).map(|n| update("k", group * VALUES + n, &value)).collect();
        store.commit(|write| write.append_properties(id(1), owner(), &updates));
        longest = longest.max(fs::metadata(&log).expect("the log is there").len());
    }
    assert!(longest < LOG_BYTES_MAX, "{longest} bytes");
    assert_eq!(store.rows("event"), GROUPS * VALUES);
}

/// What a log that was long keeps on the disk.
const LOG_BYTES_KEPT: u64 = 128 << 20;

/// Ten times what a commit may take beside a long log.
const COMMIT_MAX: Duration = Duration::from_secs(1);

/// A log of 256 MiB has so many parts of the largest size, without those at its ends.
const PARTS_MIN: u64 = 28;

const DEADLINE: Duration = Duration::from_secs(180);

#[test]
fn a_blocked_log_restarts_parallel_to_the_writer() {
    let mut store = Fixture::new();
    let log = store.directory.path().join("thng-pubsub.db-wal");
    let log_bytes = || fs::metadata(&log).expect("the log is there").len();
    let reader = Connection::open(store.directory.path().join("thng-pubsub.db")).expect("a reader");
    reader.execute_batch("BEGIN; SELECT count(*) FROM event").expect("it reads");
    let value = format!("\"{}\"", "x".repeat(VALUE_BYTES));
    let mut written = 0;
    while log_bytes() < 2 * LOG_BYTES_KEPT {
        let updates: Vec<_> = (0..VALUES).map(|n| update("k", written + n, &value)).collect();
        store.commit(|write| write.append_properties(id(1), owner(), &updates));
        written += VALUES;
    }
    let (blocked, parts) = (log_bytes(), store.write.checkpoints.parts());
    reader.execute_batch("COMMIT").expect("it has read");
    drop(reader);

    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    while log_bytes() > LOG_BYTES_KEPT {
        assert!(began.elapsed() < DEADLINE, "{} bytes, {blocked} before", log_bytes());
        let commit = Instant::now();
        store.commit(|write| write.append_properties(id(1), owner(), &[update("k", written, "1")]));
        longest = longest.max(commit.elapsed());
        written += 1;
    }
    assert!(longest < COMMIT_MAX, "{longest:?}");
    let parts = store.write.checkpoints.parts() - parts;
    assert!(parts > PARTS_MIN, "it was synced {parts} times");
    assert_eq!(store.rows("event"), written);
}

/// How often the log restarts afterwards.
const RESTARTS: u64 = 3;

#[test]
fn pacing_ends_when_a_blocked_log_has_restarted() {
    let mut store = Fixture::new();
    let log = store.directory.path().join("thng-pubsub.db-wal");
    let log_bytes = || fs::metadata(&log).expect("the log is there").len();
    let reader = Connection::open(store.directory.path().join("thng-pubsub.db")).expect("a reader");
    reader.execute_batch("BEGIN; SELECT count(*) FROM event").expect("it reads");
    let value = format!("\"{}\"", "x".repeat(VALUE_BYTES));
    let mut written = 0;
    let mut write = |store: &mut Fixture| {
        let updates: Vec<_> = (0..VALUES).map(|n| update("k", written + n, &value)).collect();
        store.commit(|write| write.append_properties(id(1), owner(), &updates));
        written += VALUES;
    };
    while log_bytes() < LOG_BYTES_KEPT {
        write(&mut store);
    }
    reader.execute_batch("COMMIT").expect("it has read");
    drop(reader);

    let began = Instant::now();
    let mut write_until_restarted = |store: &mut Fixture, restarts| {
        while store.write.checkpoints.restarts() < restarts {
            assert!(began.elapsed() < DEADLINE, "{} bytes", log_bytes());
            write(store);
        }
    };
    let first = store.write.checkpoints.restarts() + 1;
    write_until_restarted(&mut store, first);
    let parts = store.write.checkpoints.parts();
    write_until_restarted(&mut store, first + RESTARTS);
    assert_eq!(store.write.checkpoints.parts(), parts, "a log of the usual length is carried over at once");
}
