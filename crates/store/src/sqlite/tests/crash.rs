//! A writing process is killed in the middle of its work: every group that it knew to be committed is there.
//!
//! The process is this test binary once more, which an environment variable makes the victim.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Durability, Fixture, id, key, owner, update};
use crate::{PageRequest, ReadStore, SortOrder, SqliteStore, TimeRange};

const DIRECTORY: &str = "THNG_PUBSUB_TEST_CRASH_DIRECTORY";

/// Values of one group.
const GROUP: i64 = 5;

/// Groups that are awaited before the process is killed, which happens while the next ones are written.
const GROUPS: usize = 200;

#[test]
fn every_committed_group_is_whole_after_the_process_was_killed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut committed = 0;
    for round in 1..=3 {
        committed = write_and_kill(directory.path(), committed);
        assert!(committed >= round * GROUPS as i64 * GROUP);
    }
    let store = Fixture::at(directory);
    let page = PageRequest { items: usize::MAX, order: SortOrder::OldestFirst, after: None };
    let history =
        store.read.history(owner(), &key("k"), TimeRange::default(), page.into()).expect("a history");
    let values: Vec<String> = history.items.iter().map(|update| update.value.as_str().to_owned()).collect();
    let stored = values.len() as i64;
    assert!(stored >= committed && stored % GROUP == 0, "{stored} stored, {committed} committed");
    assert_eq!(values, (0..stored).map(|n| n.to_string()).collect::<Vec<_>>(), "in order, each once");
    assert_eq!(store.latest(), values.last().cloned());
}

/// Runs the victim until it has committed some groups, kills it, and returns how many values it committed in all.
fn write_and_kill(directory: &Path, before: i64) -> i64 {
    let mut child = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "sqlite::tests::crash::victim", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second process");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut committed = |line: std::io::Result<String>| {
        line.expect("text").strip_prefix("committed ").map(|count| count.parse::<i64>().expect("a number"))
    };
    let last = lines.by_ref().filter_map(&mut committed).nth(GROUPS - 1).expect("the groups are committed");
    child.kill().expect("it runs");
    // What it said before it died counts too.
    let rest: Vec<i64> = lines.filter_map(&mut committed).collect();
    child.wait().expect("it is dead");
    assert!(last > before);
    rest.into_iter().fold(last, i64::max)
}

#[test]
#[ignore = "started by the test above as a process of its own"]
fn victim() {
    let directory = PathBuf::from(env::var_os(DIRECTORY).expect("the test above says where"));
    let (read, mut write) = SqliteStore::open(&directory, Durability::Full, 1).expect("the store opens");
    let latest = read.latest_of(owner(), &key("k")).expect("read");
    let mut next = latest.map_or(0, |update| update.timestamp_ms + 1);
    loop {
        write.begin().expect("begin");
        for ts in next..next + GROUP {
            write.append_properties(id(1), owner(), &[update("k", ts, &ts.to_string())]).expect("append");
        }
        write.commit().expect("commit");
        next += GROUP;
        let line = format!("committed {next}\n");
        std::io::stdout().write_all(line.as_bytes()).expect("somebody listens");
    }
}
