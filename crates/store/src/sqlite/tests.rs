//! The store against real files: what is promised of commits, deletions and restarts.
//!
//! [`model`] compares arbitrary sequences of calls with a model in memory, [`sessions`] does so for durable sessions.
//! [`directory`] opens damaged directories, [`crash`] kills a writing process, [`checkpoints`] writes without a pause.
//! [`tail`] reads beside an index that is written later, [`deletions`] frees in steps, [`lists`] seeks and merges, [`plans`] checks the query plan of every statement,
//! [`whole`] copies and exports.

use std::{fs, sync::Barrier, thread};

use tempfile::TempDir;
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{Fields, Json, LocationUpdate, Patch, PropertyUpdate, ResourceKind, Scopes, UserScope},
};

use super::{
    Durability, open,
    read::SqliteReaders,
    write::{Bounds, SqliteWriter},
};
use crate::{
    Actor, IndexScan, KeyHash, KeyRecord, ListRequest, Members, PageRequest, PropertyOwner, ReadStore,
    ResourceRecord, Sequence, SortOrder, StoreError, TimeRange, WriteStore, index_key,
};

mod checkpoints;
mod client_events;
mod crash;
mod deletions;
mod directory;
mod lists;
mod model;
mod plans;
mod sessions;
mod tail;
mod whole;

/// A store in a directory of its own.
struct Fixture {
    read: SqliteReaders,
    write: SqliteWriter,
    directory: TempDir,
}

/// Such that a handful is many.
const SMALL: Bounds = Bounds {
    at_once: 3,
    series_at_once: 3,
    step: 2,
    series_cached: 3,
    resources_cached: 2,
    unindexed_max: 12,
    indexed_at_once: 2,
    cache_bytes: 1 << 20,
};

impl Fixture {
    fn new() -> Self {
        Self::with(SMALL)
    }

    fn with(bounds: Bounds) -> Self {
        Self::at_with(tempfile::tempdir().expect("a temporary directory"), bounds)
    }

    fn at(directory: TempDir) -> Self {
        Self::at_with(directory, SMALL)
    }

    fn at_with(directory: TempDir, bounds: Bounds) -> Self {
        let (read, write) = open(directory.path(), Durability::Normal, 2, bounds).expect("the store opens");
        Self { read, write, directory }
    }

    /// Closes the store and opens it again, as the next start of the server does.
    fn restart(self) -> Self {
        self.restart_with(SMALL)
    }

    fn restart_with(self, bounds: Bounds) -> Self {
        let Self { read, write, directory } = self;
        drop((read, write));
        Self::at_with(directory, bounds)
    }

    /// Does `writes` in a group of their own.
    fn commit<T>(&mut self, writes: impl FnOnce(&mut SqliteWriter) -> Result<T, StoreError>) -> T {
        self.write.begin().expect("a group starts");
        let done = writes(&mut self.write).expect("the writes are taken");
        self.write.commit().expect("the group is committed");
        done
    }

    /// One update of `k` with these timestamps, in which each value is its timestamp with a suffix of its own.
    fn append(&mut self, timestamps: impl IntoIterator<Item = i64>, suffix: &str) -> Sequence {
        let updates: Vec<_> =
            timestamps.into_iter().map(|ts| update("k", ts, &format!("\"{ts}{suffix}\""))).collect();
        self.commit(|write| write.append_properties(id(1), owner(), &updates))
    }

    fn delete_below(&mut self, before_ms: i64) {
        self.commit(|write| write.delete_properties(owner(), Some(&key("k")), Some(before_ms)));
    }

    /// Frees what is deleted; returns how many steps it took.
    fn reclaim_all(&mut self) -> usize {
        let mut steps = 1;
        while self.write.reclaim().expect("events are freed") {
            steps += 1;
            assert!(steps < 1_000, "it comes to an end");
        }
        steps
    }

    /// The values of `k`, oldest first.
    fn history(&self) -> Vec<String> {
        let page = PageRequest { items: usize::MAX, order: SortOrder::OldestFirst, after: None };
        let history =
            self.read.history(owner(), &key("k"), TimeRange::default(), page.into()).expect("a history");
        assert_eq!(history.next, None);
        history.items.iter().map(|update| update.value.as_str().trim_matches('"').to_owned()).collect()
    }

    fn latest(&self) -> Option<String> {
        let latest = self.read.latest_of(owner(), &key("k")).expect("the latest value");
        latest.map(|update| update.value.as_str().trim_matches('"').to_owned())
    }

    /// Adds a resource, or replaces what has its id; returns it as it is stored.
    fn put(&mut self, record: ResourceRecord) -> ResourceRecord {
        let before = self.read.resource(record.id).expect("read");
        let seq = self.commit(|write| write.put_resource(before.as_ref(), &record));
        ResourceRecord { created_seq: before.map_or(seq, |before| before.created_seq), ..record }
    }

    /// How many rows a table holds, deleted for readers or not.
    fn rows(&self, table: &str) -> i64 {
        let query = format!("SELECT count(*) FROM {table}");
        self.write.connection().query_row(&query, [], |row| row.get(0)).expect("a count")
    }
}

fn id(number: u64) -> Id {
    Id::parse(&format!("U{number:023}")).expect("an id")
}

/// The thng whose properties most tests write.
fn owner() -> PropertyOwner {
    PropertyOwner::Thng(id(7))
}

fn key(text: &str) -> PropertyKey {
    PropertyKey::parse(text).expect("a key")
}

fn json(text: &str) -> Json {
    Json::parse(text.into()).expect("JSON")
}

fn update(name: &str, timestamp_ms: i64, value: &str) -> PropertyUpdate {
    PropertyUpdate {
        key: key(name),
        value: json(value),
        timestamp_ms,
        created_at_ms: 1_000_000 + timestamp_ms,
    }
}

/// A thng with these fields besides its name.
fn thng_of(number: u64, projects: &[u64], body: &str) -> ResourceRecord {
    let mut fields = Fields::new(ResourceKind::Thng);
    fields.set_text("name", &format!("thng {number}"));
    let patch = Patch::parse(ResourceKind::Thng, body.as_bytes()).expect("a document");
    fields.apply(&patch, false).expect("it fits");
    let projects = projects.iter().map(|project| id(*project)).collect();
    ResourceRecord {
        id: id(number),
        account: id(1),
        kind: ResourceKind::Thng,
        parent: None,
        body: fields.document(Some(&id(number)), 100).into(),
        private: None,
        scopes: Scopes { projects, users: UserScope::Only(Vec::new()) },
        created_at_ms: 100,
        updated_at_ms: 100,
        created_seq: 0,
    }
}

fn thng(number: u64, projects: &[u64]) -> ResourceRecord {
    thng_of(number, projects, "{}")
}

#[test]
fn a_resource_is_read_as_it_was_put_with_every_field() {
    let mut store = Fixture::new();
    let bare = thng(10, &[]);
    let body = r#"{"description":"a \"b\" \ud83d\ude00 \\","tags":["b","a, [\"","b"],
        "customFields":{"n":1.0, "big":123456789012345678901234567890},
        "identifiers":{"gs1:21":"x\ny","":""},"product":"U00000000000000000000042"}"#;
    let full = ResourceRecord {
        scopes: Scopes { projects: vec![id(5), id(3), id(5)], users: UserScope::All },
        private: Some(json(r#"{"commission":{"state":"commissioned"}}"#)),
        parent: Some(id(77)),
        ..thng_of(11, &[], body)
    };
    let shared = ResourceRecord {
        scopes: Scopes { projects: Vec::new(), users: UserScope::Only(vec![id(9), id(8)]) },
        ..thng(12, &[])
    };
    for record in [bare, full, shared] {
        let record = store.put(record);
        let meta = record.meta();
        assert_eq!(store.read.resource(record.id).expect("read").as_ref(), Some(&record));
        assert_eq!(store.read.resource_meta(record.id).expect("read"), Some(meta.clone()));
        assert_eq!(store.write.resource_meta(record.id).expect("read").as_deref(), Some(&meta));
        assert_eq!(store.write.resource(record.id).expect("read").as_ref(), Some(&record));
    }
    assert_eq!(store.read.resource_meta(id(11)).expect("read").expect("it is there").product, Some(id(42)));
    assert_eq!(store.read.resource(id(99)).expect("read"), None);
    assert_eq!(store.read.resource_meta(id(99)).expect("read"), None);
}

#[test]
fn an_update_keeps_its_place_and_both_documents_stay_in_the_log() {
    let mut store = Fixture::new();
    let first = store.put(thng(10, &[]));
    let second = store.put(ResourceRecord { updated_at_ms: 101, ..thng_of(10, &[], r#"{"tags":["new"]}"#) });
    assert_eq!(first.created_seq, second.created_seq);
    assert_eq!(store.read.resource(id(10)).expect("read"), Some(second));
    assert_eq!(store.rows("event"), 2);
}

#[test]
fn keys_are_found_by_hash_and_by_owner_after_a_restart_too() {
    let mut store = Fixture::new();
    assert!(!store.read.has_keys().expect("read"));
    let record = KeyRecord {
        hash: KeyHash([0xa5; 32]),
        account: id(1),
        actor: Actor::Operator(id(2)),
        nonce: None,
        created_at_ms: 5,
    };
    let second = KeyRecord {
        hash: KeyHash([1; 32]),
        actor: Actor::Device(id(3)),
        nonce: Some([7; 16]),
        ..record.clone()
    };
    store.commit(|write| write.add_key(&record));
    store.commit(|write| write.add_key(&second));

    let mut store = store.restart();
    assert!(store.read.has_keys().expect("read"));
    assert_eq!(store.read.key(&record.hash).expect("read"), Some(record.clone()));
    assert_eq!(store.read.key_of(second.actor).expect("read"), Some(second.clone()));
    assert_eq!(store.write.key_of(second.actor).expect("read"), Some(second.clone()));
    assert_eq!(store.read.key_of(Actor::User(id(3))).expect("read"), None);
    assert_eq!(store.read.key(&KeyHash([0; 32])).expect("read"), None);
    assert_eq!(store.rows("account"), 1);
    assert_eq!(store.commit(|write| write.remove_keys(second.actor)), [second.hash]);
    assert_eq!(store.read.key(&second.hash).expect("read"), None);
    assert_eq!(store.read.key(&record.hash).expect("read"), Some(record));
}

#[test]
fn a_meta_text_is_stored_and_replaced() {
    let mut store = Fixture::new();
    assert_eq!(store.read.meta("a").expect("read"), None);
    for text in ["1", "2"] {
        store.commit(|write| write.set_meta("a", text));
        assert_eq!(store.read.meta("a").expect("read").as_deref(), Some(text));
    }
}

#[test]
fn a_unique_name_finds_its_resource_until_renamed_or_deleted() {
    let mut store = Fixture::new();
    let named = |number, name: &str| {
        let mut fields = Fields::new(ResourceKind::AccessPolicy);
        fields.set_text("name", name);
        let body = fields.document(Some(&id(number)), 100).into();
        ResourceRecord { kind: ResourceKind::AccessPolicy, body, ..thng(number, &[]) }
    };
    let find =
        |store: &Fixture, name| store.read.named(id(1), ResourceKind::AccessPolicy, name).expect("read");
    store.put(named(10, "a"));
    assert_eq!(find(&store, "a"), Some(id(10)));
    assert_eq!(store.read.named(id(2), ResourceKind::AccessPolicy, "a").expect("read"), None);
    assert_eq!(store.read.named(id(1), ResourceKind::ActionType, "a").expect("read"), None);
    let renamed = store.put(named(10, "b"));
    assert_eq!((find(&store, "a"), find(&store, "b")), (None, Some(id(10))));
    store.commit(|write| write.delete_resource(&renamed, 200));
    assert_eq!(find(&store, "b"), None);
}

#[test]
fn locations_have_their_own_history() {
    let mut store = Fixture::new();
    store.append([5], "a");
    let at =
        |timestamp_ms| LocationUpdate { value: json(r#"{"latitude":1}"#), timestamp_ms, created_at_ms: 9 };
    store.commit(|write| write.append_locations(id(1), id(7), &[at(3), at(1), at(2)]));
    let page = PageRequest { items: 9, order: SortOrder::OldestFirst, after: None };
    let times = |store: &Fixture| -> Vec<i64> {
        let locations = store.read.locations(id(7), TimeRange::default(), page.into()).expect("read");
        locations.items.iter().map(|location| location.timestamp_ms).collect()
    };
    assert_eq!(times(&store), [1, 2, 3]);
    assert_eq!(store.read.latest_location(id(7)).expect("read"), Some(at(3)));
    assert_eq!(store.read.latest(owner()).expect("read").len(), 1, "a location is no property");
    store.commit(|write| write.delete_locations(id(7), Some(3)));
    assert_eq!((times(&store), store.latest().as_deref()), (vec![3], Some("5a")));
    store.commit(|write| write.delete_properties(owner(), None, None));
    assert_eq!(times(&store), [3]);
    store.commit(|write| write.delete_locations(id(7), None));
    assert_eq!(store.read.latest_location(id(7)).expect("read"), None);
}

#[test]
fn a_group_is_visible_to_readers_only_after_its_commit() {
    let mut store = Fixture::new();
    store.write.begin().expect("begin");
    store.write.put_resource(None, &thng(7, &[])).expect("put");
    store.write.append_properties(id(1), owner(), &[update("k", 1, "1")]).expect("append");
    assert!(store.write.resource_meta(id(7)).expect("head").is_some());
    assert!(store.write.resource(id(7)).expect("thng").is_some());
    assert_eq!(store.read.resource(id(7)).expect("read"), None);
    assert_eq!(store.latest(), None);
    store.write.commit().expect("commit");
    assert!(store.read.resource(id(7)).expect("read").is_some());
    assert_eq!(store.latest().as_deref(), Some("1"));
}

#[test]
fn a_group_rolled_back_leaves_nothing_in_rows_and_caches() {
    let mut store = Fixture::new();
    store.append([5], "a");
    let eighth = store.put(thng(8, &[]));
    store.write.begin().expect("begin");
    store.write.put_resource(None, &thng(7, &[])).expect("put");
    store.write.delete_resource(&eighth, 1).expect("delete");
    store.write.append_properties(id(1), owner(), &[update("k", 9, "9")]).expect("append");
    store.write.append_properties(id(1), owner(), &[update("new", 9, "9")]).expect("append");
    store.write.rollback();
    assert_eq!(store.write.resource_meta(id(7)).expect("head"), None);
    assert!(store.write.resource_meta(id(8)).expect("head").is_some());
    // Were 9 still known as the newest timestamp, 6 would not become the latest.
    store.append([6], "a");
    assert_eq!(store.latest().as_deref(), Some("6a"));
    // Were the series of `new` still known, its value would be lost.
    store.commit(|write| write.append_properties(id(1), owner(), &[update("new", 1, "1")]));
    assert!(store.read.latest_of(owner(), &key("new")).expect("read").is_some());
    store.write.rollback();
    assert_eq!(store.history(), ["5a", "6a"]);
}

#[test]
fn values_of_one_update_are_separate_from_their_neighbors() {
    let mut store = Fixture::new();
    store.append([1, 2, 3], "a");
    store.append([4], "b");
    store.append([5, 6], "c");
    // Without its first and last value the first update must not run into the second.
    store.commit(|write| write.delete_properties(owner(), Some(&key("k")), Some(2)));
    let mut statement = store
        .write
        .connection()
        .prepare("SELECT seq - part, body FROM event ORDER BY seq")
        .expect("the columns of the log");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let updates: Vec<(i64, String)> = rows.collect::<Result<_, _>>().expect("rows");
    let firsts: Vec<i64> = updates.iter().map(|(first, _)| *first).collect();
    assert_eq!(firsts, [1, 1, 4, 5, 5], "{updates:?}");
}

#[test]
fn a_sequence_is_not_used_again_when_the_newest_events_are_gone() {
    let mut store = Fixture::new();
    let last = store.append([1, 2, 3, 4, 5], "a");
    store.commit(|write| write.delete_properties(owner(), None, None));
    store.reclaim_all();
    assert_eq!(store.rows("event"), 0);
    let mut store = store.restart();
    let next = store.append([1], "b");
    assert!(next > last, "{next} after {last}");

    // The same without a restart, and where the deletion is done at once.
    let older = store.append([2], "b");
    let newest = store.append([0], "b");
    store.delete_below(1);
    let mut store = store.restart();
    assert!(older < newest && newest < store.append([3], "b"));
}

#[test]
fn a_full_disk_rolls_back_the_group_and_the_store_continues() {
    let mut store = Fixture::new();
    store.append([1], "a");
    let limit = |pages: i64| {
        store.write.connection().pragma_update(None, "max_page_count", pages).expect("a limit");
    };
    limit(
        store.write.connection().pragma_query_value(None, "page_count", |row| row.get(0)).expect("a count"),
    );
    let large = update("k", 2, &format!("\"{}\"", "x".repeat(100_000)));
    store.write.begin().expect("begin");
    let refused = store.write.append_properties(id(1), owner(), &[update("k", 3, "3"), large.clone()]);
    let sentence = refused.expect_err("there is no room").to_string();
    assert!(sentence.ends_with("cannot be used: the disk is full"), "{sentence}");
    store.write.rollback();
    assert_eq!(store.history(), ["1a"]);

    store.write.connection().pragma_update(None, "max_page_count", i64::from(i32::MAX)).expect("room again");
    store.commit(|write| write.append_properties(id(1), owner(), &[large]));
    let store = store.restart();
    assert_eq!(store.history().len(), 2);
    let whole: String =
        store.write.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(whole, "ok");
}

#[test]
fn after_a_clean_stop_the_database_is_one_file() {
    for writer_first in [true, false] {
        let mut store = Fixture::new();
        store.append([1], "a");
        assert_eq!(store.latest().as_deref(), Some("1a"));
        let Fixture { read, write, directory } = store;
        if writer_first {
            drop(write);
            drop(read);
        } else {
            drop(read);
            drop(write);
        }
        let entries =
            fs::read_dir(directory.path()).expect("files").map(|file| file.expect("a file").file_name());
        let mut files: Vec<_> = entries.collect();
        files.sort();
        assert_eq!(files, ["thng-pubsub.db", "thng-pubsub.lock"]);
        assert_eq!(Fixture::at(directory).history(), ["1a"]);
    }
}

#[test]
fn readers_share_few_connections_and_see_whole_groups() {
    let mut store = Fixture::new();
    let start = Barrier::new(9);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..100 {
                    // Both properties are written by the same groups, with the same values.
                    let latest = store.read.latest(owner()).expect("read");
                    if let [a, b] = &latest[..] {
                        assert_eq!(a.value, b.value);
                    }
                    assert_ne!(latest.len(), 1);
                }
            });
        }
        start.wait();
        for ts in 0..200 {
            store.write.begin().expect("begin");
            for name in ["a", "b"] {
                let updates = [update(name, ts, &ts.to_string())];
                store.write.append_properties(id(1), owner(), &updates).expect("append");
            }
            store.write.commit().expect("commit");
        }
    });
}
