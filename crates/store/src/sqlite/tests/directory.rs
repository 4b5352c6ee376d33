//! Directories as they are found: empty, taken, from the future, damaged, forbidden.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::{Durability, Fixture, KeyHash, ReadStore as _, StoreError};
use crate::{
    Actor, KNOWN_LAYOUT, KeyRecord, SqliteStore, WriteStore as _,
    session_queue::{OpenedSession, QueueLimits, WriteSessions as _},
};

fn refusal(directory: &Path) -> StoreError {
    SqliteStore::open(directory, Durability::Full, 1).map(drop).expect_err("the directory is refused")
}

#[test]
fn a_directory_is_made_for_its_owner_only_with_parents() {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let directory = parent.path().join("some/where");
    let store = SqliteStore::open(&directory, Durability::Full, 1).expect("a new store");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        for file in fs::read_dir(&directory).expect("files") {
            let path = file.expect("a file").path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    drop(store);
}

#[test]
fn an_empty_file_becomes_a_database() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("thng-pubsub.db"), "").expect("an empty file");
    let mut store = Fixture::at(directory);
    store.append([1], "a");
    assert_eq!(store.restart().history(), ["1a"]);
}

#[test]
fn the_first_file_of_a_killed_restore_is_a_mark() {
    for name in ["thng-pubsub.db.part", "thng-pubsub.db.part.part"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join(name), "").expect("a file");
        assert!(matches!(refusal(directory.path()), StoreError::Unfinished { .. }), "{name}");
    }
}

#[test]
fn a_directory_serves_one_server_at_a_time() {
    let first = Fixture::new();
    let sentence = refusal(first.directory.path()).to_string();
    let data_dir = first.directory.path().display();
    assert_eq!(sentence, format!("the database at {data_dir} cannot be used: another server has it open"));
    // The readers alone keep the directory taken: what they read must not change under a second writer's layout.
    let Fixture { read, write, directory } = first;
    drop(write);
    assert!(matches!(refusal(directory.path()), StoreError::Unavailable { .. }));
    drop(read);
    SqliteStore::open(directory.path(), Durability::Full, 1).expect("it is free now");
}

#[test]
fn a_database_of_a_later_program_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("thng-pubsub.db");
    let later = Connection::open(&path).expect("a database");
    later.execute_batch("CREATE TABLE later (x); PRAGMA user_version = 1000").expect("a later layout");
    later.close().expect("closed");
    let before = fs::read(&path).expect("the file");
    let refused = refusal(directory.path());
    assert!(
        matches!(refused, StoreError::TooNew { found: 1_000, known } if known == KNOWN_LAYOUT),
        "{refused}"
    );
    assert_eq!(fs::read(&path).expect("the file"), before);
}

#[test]
fn a_database_of_layout_2_is_migrated_with_its_content() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let early = Connection::open(directory.path().join("thng-pubsub.db")).expect("a database");
    early
        .execute_batch(include_str!("../migrations/0002_accounts_resources_events.sql"))
        .and_then(|()| early.execute_batch("INSERT INTO note VALUES ('n', 'kept'); PRAGMA user_version = 2"))
        .expect("the layout before");
    early.close().expect("closed");
    let mut store = Fixture::at(directory);
    assert_eq!(store.read.meta("n").expect("a look").as_deref(), Some("kept"));
    let limits =
        QueueLimits { sessions: 1, sessions_per_key: 1, subscriptions: 1, messages_per_topic: 1, bytes: 1 };
    let (hash, account) = (KeyHash([1; 32]), super::id(1));
    let actor = Actor::Operator(account);
    let key = KeyRecord { hash, account, actor, nonce: None, created_at_ms: 1 };
    store.commit(|write| write.add_key(&key));
    let opened = store.commit(|write| write.open_session(&hash, "c", &limits));
    assert!(matches!(opened, OpenedSession::Started(_)), "{opened:?}");
}

#[test]
fn a_database_of_layout_4_keeps_its_sessions_until_they_end() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let early = Connection::open(directory.path().join("thng-pubsub.db")).expect("a database");
    let (account, hash) = (super::id(1), KeyHash([1; 32]));
    let key = "x'0101010101010101010101010101010101010101010101010101010101010101'";
    let rows = format!(
        "INSERT INTO account VALUES (1, '{account}', 1);
        INSERT INTO api_key VALUES ({key}, 1, 1, '{account}', NULL, 1);
        INSERT INTO session VALUES (1, {key}, 'c', 1, NULL, x''), (2, zeroblob(32), 'gone', 1, 5, x'');
        INSERT INTO session_topic VALUES (1, x'61', 0, 0);
        INSERT INTO session_subscription VALUES (1, 1, x'61', 1, 0, 0), (2, 1, x'62', NULL, 0, 0), (3, 2, x'63', 1, 0, 0);
        PRAGMA user_version = 4"
    );
    for layout in [
        include_str!("../migrations/0002_accounts_resources_events.sql"),
        include_str!("../migrations/0003_durable_sessions.sql"),
        include_str!("../migrations/0004_sessions_by_key.sql"),
        &rows,
    ] {
        early.execute_batch(layout).expect("the layout before");
    }
    early.close().expect("closed");
    let mut store = Fixture::at(directory);
    let extent = store.write.queue_stats();
    assert_eq!((extent.sessions, extent.subscriptions), (1, 2), "a session without a key counts for nothing");
    store.commit(|write| write.leave_all_sessions(6));
    store.reclaim_all();
    assert_eq!((store.rows("session"), store.rows("session_subscription")), (1, 2));
    store.commit(|write| write.end_session(&hash, "c"));
    store.reclaim_all();
    assert_eq!(
        (store.rows("session"), store.rows("session_subscription"), store.rows("session_topic")),
        (0, 0, 0)
    );
}

#[test]
fn a_database_of_a_version_that_was_never_released_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let early = Connection::open(directory.path().join("thng-pubsub.db")).expect("a database");
    early.execute_batch("CREATE TABLE early (x); PRAGMA user_version = 1").expect("an early layout");
    early.close().expect("closed");
    assert!(matches!(refusal(directory.path()), StoreError::TooOld { found: 1 }));
}

#[test]
fn a_file_that_is_no_database_is_reported_and_left_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("thng-pubsub.db");
    let text = "something else ".repeat(1_000);
    fs::write(&path, &text).expect("a file");
    let refused = refusal(directory.path());
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
    assert_eq!(fs::read_to_string(&path).expect("the file"), text);
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named() {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let path = parent.path().join("data");
    fs::write(&path, "").expect("a file");
    for path in [path.clone(), path.join("below")] {
        let sentence = refusal(&path).to_string();
        let expected = format!("the database at {} cannot be used: it is not a directory", path.display());
        assert_eq!(sentence, expected);
    }
}

#[cfg(unix)]
#[test]
fn an_unwritable_directory_is_refused_in_plain_words() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).expect("read-only");
    // Permissions do not hold for root; what the kernel shows of itself is read-only for all users.
    let is_root = fs::write(directory.path().join("probe"), "").is_ok();
    let path = if is_root { Path::new("/sys/kernel") } else { directory.path() };
    let expected =
        format!("the database at {} cannot be used: this process may not write there", path.display());
    assert_eq!(refusal(path).to_string(), expected);
}
