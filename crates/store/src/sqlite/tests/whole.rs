//! Commands on a whole database: backups beside a writer, and exports from one database into another.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::{Durability, Fixture, ReadStore as _, Sequence, StoreError, WriteStore as _, id, thng, update};
use crate::{
    Backup, BackupHeader, CopySpeed, Import, ReadOnlyDatabase, SqliteStore, UnnamedDatabase,
    export::{ExportRecord, ExportedEvent},
};

fn head() -> BackupHeader {
    BackupHeader { created_at_ms: 1, version: "test".into(), secret: vec![7; 32] }
}

fn records(directory: &Path) -> (Sequence, Vec<ExportRecord>) {
    let read_only = ReadOnlyDatabase::open(directory).expect("a database");
    let all = read_only.records().expect("a snapshot");
    let mut found = Vec::new();
    all.each(|record| {
        found.push(record);
        Ok::<_, StoreError>(())
    })
    .expect("all are read");
    (all.header().expect("a head").next_sequence, found)
}

#[test]
fn a_backup_is_consistent_and_does_not_restart_on_commits() {
    let mut store = Fixture::new();
    for number in 0..200 {
        store.append([number], &"x".repeat(100_000));
    }
    let before = store.history().len();
    let read_only = ReadOnlyDatabase::open(store.directory.path()).expect("a database");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    let (mut steps, mut last) = (0, 0);
    read_only
        .back_up(&file, &head(), CopySpeed::BesideServer, &mut |done, all| {
            assert!(done > last, "it goes on where it was");
            assert!(done == all || done - last <= 512 << 10, "it is synced after each 512 KiB");
            (steps, last) = (steps + 1, done);
            store.append([1_000 + steps], "later");
        })
        .expect("a backup");
    assert!(steps > 2, "it was written to in between");
    assert_eq!(store.history().len(), before + steps as usize);

    let backup = Backup::open(&file).expect("it is one");
    backup.check().expect("it is whole");
    assert_eq!(backup.head(), &head());
    let data = folder.path().join("data");
    let database = UnnamedDatabase::claim(&data).expect("a new directory");
    backup.restore(database, &mut |_, _| {}).and_then(|mut made| made.finish()).expect("it is restored");
    let restored = fs::read(data.join("thng-pubsub.db")).expect("a file");
    assert!(!restored.windows(32).any(|bytes| bytes == [7; 32]), "the secret is in no page of it");
    let (read, _write) = SqliteStore::open(&data, Durability::Full, 1).expect("a store");
    assert_eq!(read.last_sequence().expect("read"), before as Sequence);
}

#[test]
fn a_directory_that_is_claimed_is_no_first_start() {
    let folder = tempfile::tempdir().expect("a directory");
    let data = folder.path().join("data");
    let database = UnnamedDatabase::claim(&data).expect("it is missing");
    for refusal in [
        ReadOnlyDatabase::open(&data).expect_err("unfinished"),
        SqliteStore::ensure_in(&data).expect_err("unfinished"),
    ] {
        assert!(refusal.to_string().contains("thng-pubsub.db.part"), "{refusal}");
    }
    drop(database);
    UnnamedDatabase::claim(&data).map(drop).expect("it can be repeated");
}

#[test]
fn an_unused_claim_leaves_neither_its_lock_nor_its_folders() {
    let folder = tempfile::tempdir().expect("a directory");
    UnnamedDatabase::claim(&folder.path().join("new/data")).map(drop).expect("it is missing");
    assert_eq!(names(folder.path()), [""; 0], "another user could not use them");
    fs::write(folder.path().join("other"), "").expect("a file");
    UnnamedDatabase::claim(folder.path()).expect_err("it is not empty");
    assert_eq!(names(folder.path()), ["other"]);
    fs::remove_file(folder.path().join("other")).expect("it is there");
    fs::write(folder.path().join("thng-pubsub.lock"), "").expect("a file");
    UnnamedDatabase::claim(folder.path()).map(drop).expect("it is empty");
    assert_eq!(names(folder.path()), ["thng-pubsub.lock"], "that of another one stays");
}

#[test]
fn a_refused_repetition_leaves_the_mark_of_the_killed_try() {
    let data = tempfile::tempdir().expect("a directory");
    fs::write(data.path().join("thng-pubsub.db.part"), "half").expect("a file");
    let database = UnnamedDatabase::claim(data.path()).expect("it can be repeated");
    assert_eq!(fs::read(data.path().join("thng-pubsub.db.part")).expect("a file"), b"");
    drop(database);
    assert_eq!(names(data.path()), ["thng-pubsub.db.part"]);
    SqliteStore::open(data.path(), Durability::Full, 1).map(drop).expect_err("unfinished");
    assert_eq!(names(data.path()), ["thng-pubsub.db.part"]);
}

/// What is in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    entries.map(|entry| entry.file_name().into_string().expect("text")).collect()
}

#[test]
fn a_backup_of_an_earlier_layout_is_restored_and_migrated() {
    let directory = tempfile::tempdir().expect("a folder");
    let early = Connection::open(directory.path().join("thng-pubsub.db")).expect("a database");
    early
        .execute_batch(include_str!("../migrations/0002_accounts_resources_events.sql"))
        .and_then(|()| early.execute_batch("INSERT INTO note VALUES ('n', 'kept'); PRAGMA user_version = 2"))
        .expect("the layout before");
    early.close().expect("closed");
    let (file, data) = (directory.path().join("backup"), directory.path().join("data"));
    let read_only = ReadOnlyDatabase::open(directory.path()).expect("a database");
    read_only.back_up(&file, &head(), CopySpeed::Full, &mut |_, _| {}).expect("a backup");
    assert_eq!(records(directory.path()).1.len(), 1, "an export can be made of it too");
    let backup = Backup::open(&file).expect("it is one");
    assert_eq!((backup.layout(), backup.meta("n").expect("read").as_deref()), (2, Some("kept")));
    let database = UnnamedDatabase::claim(&data).expect("a new directory");
    backup.restore(database, &mut |_, _| {}).and_then(|mut made| made.finish()).expect("it is restored");
    let (read, _write) = SqliteStore::open(&data, Durability::Full, 1).expect("a store");
    assert_eq!(read.meta("n").expect("read").as_deref(), Some("kept"));
}

#[test]
fn an_import_rebuilds_the_database_despite_unfreed_values() {
    let mut store = Fixture::new();
    let record = store.put(thng(7, &[3]));
    store.append(0..20, "a");
    store.append([19, 5], "b");
    // More than are deleted at once: they stay until they are freed.
    store.delete_below(15);
    store.append([3], "late");
    let other = [update("gone", 1, "1")];
    store.commit(|write| write.append_properties(id(1), super::owner(), &other));
    store.commit(|write| write.delete_properties(super::owner(), Some(&super::key("gone")), None));
    let (next, exported) = records(store.directory.path());
    let values = exported
        .iter()
        .filter(|record| matches!(record, ExportRecord::Event(ExportedEvent { series, .. }) if *series == 2));
    assert_eq!(values.count(), store.history().len(), "what is deleted is none");
    assert!(store.rows("doomed") > 0);

    let data = tempfile::tempdir().expect("a folder");
    let mut import = Import::begin(data.path(), next).expect("an empty folder");
    exported.iter().for_each(|record| import.put(record).expect("it fits"));
    import.complete().map(|mut made| made.finish().expect("it gets its name")).expect("it is whole");
    assert_eq!(records(data.path()), (next, exported));
    let mut imported = Fixture::at(data);
    assert_eq!(imported.history(), store.history());
    assert_eq!(imported.latest(), store.latest());
    assert_eq!(imported.read.resource(record.id).expect("read"), Some(record));
    assert_eq!(imported.append([30], "c"), next, "no sequence is used twice");
    let terms = "SELECT term, resource FROM term ORDER BY 1, 2";
    let rows = |store: &Fixture, query: &str| -> Vec<(i64, i64)> {
        let mut statement = store.write.connection().prepare(query).expect("a query");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.collect::<Result<_, _>>().expect("rows")
    };
    assert_eq!(rows(&imported, terms), rows(&store, terms));
}

#[test]
fn an_incomplete_import_leaves_nothing_and_locks_out_others() {
    let data = tempfile::tempdir().expect("a folder");
    let import = Import::begin(data.path(), 5).expect("an empty folder");
    assert!(Import::begin(data.path(), 5).is_err(), "another one is at it");
    assert!(SqliteStore::open(data.path(), Durability::Full, 1).is_err(), "and no server starts");
    drop(import);
    assert_eq!(names(data.path()), [""; 0]);
    let mut import = Import::begin(data.path(), 5).expect("it is empty again");
    import.put(&ExportRecord::Account { id: id(1), created_at_ms: 0 }).expect("it fits");
    let again = import.put(&ExportRecord::Account { id: id(1), created_at_ms: 0 });
    assert!(again.expect_err("twice").to_string().contains("already"));
}

#[test]
fn an_import_finds_the_latest_where_the_clock_was_set_back() {
    const HOUR_MS: i64 = 3_600_000;
    let mut store = Fixture::new();
    let made = |at_ms: i64, value: &str| {
        let mut update = update("k", at_ms, &format!("\"{value}\""));
        update.created_at_ms = at_ms;
        update
    };
    for (at_ms, value) in [(9 * HOUR_MS, "first"), (8 * HOUR_MS, "set back"), (8 * HOUR_MS + 1, "last")] {
        store.commit(|write| write.append_properties(id(1), super::owner(), &[made(at_ms, value)]));
    }
    assert_eq!(store.latest().as_deref(), Some("last"));
    let (next, records) = records(store.directory.path());
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut import = Import::begin(&data, next).expect("an empty folder");
    records.iter().for_each(|record| import.put(record).expect("it fits"));
    import.complete().and_then(|mut made| Ok(made.finish()?)).expect("it is made");
    let (read, _write) = SqliteStore::open(&data, Durability::Full, 1).expect("a store");
    let latest = read.latest_of(super::owner(), &super::key("k")).expect("read").expect("a value");
    assert_eq!(latest.value.as_str(), "\"last\"");
}
