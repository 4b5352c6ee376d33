//! The write-ahead log under writes without a pause.

use std::fs;

use super::{Fixture, id, owner, update};
use crate::store::WriteStore as _;

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
