//! `backup` and `restore`: one file that holds everything of one moment, made while the server works.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;
use tempfile::TempDir;
use thng_pubsub_protocol::mqtt::{Packet, QoS};
use thng_pubsub_tests::mqtt::{Client, Hello, Received, publish};
use thng_pubsub_tests::server::{Ended, niceness, run, run_killed};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{Launch, Rest, Server};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A backup of a server, in a folder of its own.
#[track_caller]
fn backed_up(server: &Server) -> (TempDir, PathBuf) {
    let folder = folder();
    let file = folder.path().join("backup");
    assert_eq!(server.administer(&["backup", file.to_str().expect("text")]).printed(), "");
    (folder, file)
}

#[track_caller]
fn restore(file: &Path, data: &Path) -> Ended {
    run(["restore".as_ref(), file.as_os_str(), "--data".as_ref(), data.as_os_str()])
}

/// A server on what was restored of a backup.
#[track_caller]
fn restored(file: &Path) -> Server {
    let data = folder();
    restore(file, data.path()).printed();
    Launch::new().start_in(data)
}

fn history(rest: &mut Rest, topic: &str) -> Vec<u64> {
    let parts = rest.parts(&format!("{topic}?perPage=100&sortOrder=ASCENDING"));
    parts.into_iter().flatten().map(|value| value["value"].as_u64().expect("a number")).collect()
}

#[test]
fn a_backup_under_writes_has_every_acknowledged_whole_update() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let thngs: Vec<String> = (0..2).map(|_| rest.thng()).collect();
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let backups = std::thread::scope(|scope| {
        let (server, acknowledged, stop) = (&server, &acknowledged, &stop);
        for thng in &thngs {
            scope.spawn(move || {
                let mut rest = server.rest();
                let path = format!("/thngs/{thng}/properties");
                for number in 1.. {
                    let update = json!([{"key": "a", "value": number}, {"key": "b", "value": number}]);
                    rest.put(&path, update).assert_status(200);
                    acknowledged.fetch_max(number, Ordering::SeqCst);
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
        }
        // A writer may be any number of updates ahead of the other: the expected values are read per thng before each
        // backup.
        let backups: Vec<_> = [20, 60]
            .into_iter()
            .map(|least| {
                until("something was written", || {
                    (acknowledged.load(Ordering::SeqCst) >= least).then_some(())
                });
                let before: Vec<u64> = thngs
                    .iter()
                    .map(|thng| {
                        let values = server.rest().get(&format!("/thngs/{thng}/properties/a")).expect(200);
                        values[0]["value"].as_u64().expect("a number")
                    })
                    .collect();
                (before, backed_up(server))
            })
            .collect();
        stop.store(true, Ordering::SeqCst);
        backups
    });
    for (before, (_folder, file)) in backups {
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
        let entries = fs::read_dir(file.parent().expect("a folder")).expect("a folder").count();
        assert_eq!(entries, 1, "nothing else is left there");
        let restored = restored(&file);
        let mut rest = restored.rest();
        for (thng, before) in thngs.iter().zip(before) {
            let a = history(&mut rest, &format!("/thngs/{thng}/properties/a"));
            let b = history(&mut rest, &format!("/thngs/{thng}/properties/b"));
            assert_eq!(a, b, "an update is there whole or not at all");
            assert_eq!(a, (1..=a.len() as u64).collect::<Vec<_>>(), "in order, without a gap");
            assert!(a.len() as u64 >= before, "{} of {before}", a.len());
        }
        rest.put(&format!("/thngs/{}/properties/a", thngs[0]), json!([{"value": 1}])).assert_status(200);
    }
}

#[test]
fn a_restored_server_answers_the_same_with_the_same_keys() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let (thng, gone) = (rest.thng(), rest.thng());
    let (device, revoked) = (rest.device(&thng), rest.device(&gone));
    rest.put(&format!("/thngs/{thng}/properties"), json!([{"key": "k", "value": {"a": [1, 2.50]}}]))
        .assert_status(200);
    rest.delete(&format!("/auth/evrythng/thngs/{gone}")).assert_status(200);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let paths = [
        "/thngs?withScopes=true".to_owned(),
        format!("/thngs/{thng}/properties/k"),
        format!("/projects/{project}/applications"),
        format!("/projects/{project}/applications/{}/secretKey", application.id),
        format!("/auth/evrythng/thngs/{thng}"),
        "/access".to_owned(),
    ];
    let answers =
        |rest: &mut Rest| -> Vec<_> { paths.iter().map(|path| rest.get(path).expect(200)).collect() };
    let before = answers(&mut rest);
    let (_folder, file) = backed_up(&server);
    let secret = fs::read(server.data().join("keys.secret")).expect("the secret");
    drop(server);

    let restored = restored(&file);
    assert_eq!(answers(&mut restored.rest()), before);
    for key in [&application.public_key, &application.secret_key, &device.key, &user.key] {
        restored.rest_as(key).get("/access").assert_status(200);
    }
    restored.rest_as(&revoked.key).get("/access").assert_status(403);
    assert_eq!(fs::read(restored.data().join("keys.secret")).expect("the secret"), secret);
    let database = fs::read(restored.data().join("thng-pubsub.db")).expect("the database");
    assert!(!database.windows(secret.len()).any(|bytes| bytes == secret), "the database alone opens nothing");
    for name in ["keys.secret", "thng-pubsub.db"] {
        let mode = fs::metadata(restored.data().join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn durable_sessions_resume_after_a_restore_without_loss() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    let hello = Hello::with_key(server.key()).durable("restored");
    let mut client = Client::connect_as(&server, &hello);
    client.subscribed(&topic, QoS::AtLeastOnce);
    // One that is in flight, and a QoS 2 publish whose release has not come.
    client.acknowledges = false;
    rest.put(&topic, json!([{"value": 1}])).assert_status(200);
    assert_eq!(client.message().value(), 1);
    let id = client.packet_id();
    client.send(&Packet::Publish(publish(&topic, r#"[{"value":2}]"#, QoS::ExactlyOnce, Some(id))));
    client.wait("it is received", |packet| {
        matches!(packet, Received::PubRec(received) if *received == id).then_some(())
    });
    client.cut();
    rest.put(&topic, json!([{"value": 3}])).assert_status(200);
    let (_folder, file) = backed_up(&server);
    drop(server);

    let restored = restored(&file);
    let mut client = Client::connect_as(&restored, &hello);
    assert!(client.session_present);
    // After the backup the client had released its publish, and uses the id for another one.
    client.send(&Packet::Publish(publish(&topic, r#"[{"value":4}]"#, QoS::ExactlyOnce, Some(id))));
    let received: Vec<_> = (0..4).map(|_| client.message().value()).collect();
    assert_eq!(received, [1, 2, 3, 4]);
    client.wait("the publish is received", |packet| {
        matches!(packet, Received::PubRec(received) if *received == id).then_some(())
    });
    client.assert_nothing_else();
}

#[test]
fn restore_takes_an_empty_folder_only() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    for _ in 0..100 {
        rest.create("/thngs", json!({"name": "thng", "description": "x".repeat(2_000)}));
    }
    let (_folder, file) = backed_up(&server);
    let refusal = restore(&file, server.data()).refusal();
    assert!(refusal.contains("another server has it open") || refusal.contains("not empty"), "{refusal}");
    let other = folder();
    fs::write(other.path().join("notes"), "mine").expect("a file");
    let refusal = restore(&file, other.path()).refusal();
    assert!(refusal.contains("not empty"), "{refusal}");
    // Before the backup is checked, which takes long: a restore that is killed meanwhile has marked its folder.
    let mut damaged = fs::read(&file).expect("the backup");
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8_192].fill(0x55);
    let file_of_it = file.with_extension("damaged");
    fs::write(&file_of_it, damaged).expect("a file");
    let refusal = restore(&file_of_it, other.path()).refusal();
    assert!(refusal.contains("not empty"), "{refusal}");
    assert_eq!(fs::read_to_string(other.path().join("notes")).expect("a file"), "mine");
    assert!(!other.path().join("keys.secret").exists() && !other.path().join("thng-pubsub.db").exists());
    let missing = other.path().join("a/b");
    restore(&file, &missing).printed();
    assert_eq!(fs::metadata(&missing).expect("a folder").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_killed_restore_is_no_first_start_and_can_be_repeated() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let thng = rest.thng();
    for _ in 0..50 {
        rest.create("/thngs", json!({"name": "thng", "description": "x".repeat(2_000)}));
    }
    let (_folder, file) = backed_up(&server);
    let data = folder();
    let arguments = ["restore".as_ref(), file.as_os_str(), "--data".as_ref(), data.path().as_os_str()];
    run_killed(arguments, 64);
    let part = data.path().join("thng-pubsub.db.part");
    assert!(part.exists() && !data.path().join("thng-pubsub.db").exists());

    let names = |sentence: &str| sentence.contains("thng-pubsub.db.part") && sentence.contains("again");
    let ended = Launch::new().refused_in(data.path());
    assert!(names(&ended.stderr), "{ended:?}");
    let path = data.path().to_str().expect("text");
    for command in [
        &["backup", "/nowhere/backup"][..],
        &["export", "-"],
        &["keys", "list"],
        &["keys", "create", "--operator", "a@example.com"],
    ] {
        let refusal = run(command.iter().chain(&["--data", path])).refusal();
        assert!(names(&refusal), "{command:?}: {refusal}");
    }
    let doctor = run(["doctor", "--data", path, "--json"]);
    assert!(names(&doctor.stdout), "{doctor:?}");
    assert!(!data.path().join("thng-pubsub.db").exists(), "nothing has made a database");

    // A second one that is refused leaves the mark of the first.
    let mut damaged = fs::read(&file).expect("the backup");
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8_192].fill(0x55);
    let bad = file.with_extension("damaged");
    fs::write(&bad, damaged).expect("a file");
    restore(&bad, data.path()).refusal();
    assert!(part.exists());

    // One that was killed later has written the secret too, or half of it.
    let secret = fs::read(server.data().join("keys.secret")).expect("the secret");
    fs::write(data.path().join("keys.secret"), &secret).expect("a file");
    fs::write(data.path().join("keys.secret.part"), "half").expect("a file");
    restore(&file, data.path()).printed();
    assert!(!part.exists());
    let restored = Launch::new().start_in(data);
    restored.rest().get(&format!("/thngs/{thng}")).assert_status(200);
}

#[test]
fn what_belongs_to_a_lost_database_starts_no_empty_one() {
    let mut server = Launch::new().start();
    let thng = server.rest().thng();
    let (_folder, file) = backed_up(&server);
    server.kill9();
    let database = server.data().join("thng-pubsub.db");
    let original = fs::read(&database).expect("the database");
    let log = fs::read(server.data().join("thng-pubsub.db-wal")).expect("the log");
    for (lost, named) in [(true, "thng-pubsub.db-wal"), (false, "thng-pubsub.db-wal"), (true, "keys.secret")]
    {
        let log_path = server.data().join("thng-pubsub.db-wal");
        match lost {
            true => fs::remove_file(&database).expect("the database"),
            // SQLite deletes the log of a database that is empty.
            false => fs::write(&database, "").expect("the database"),
        }
        if named == "keys.secret" {
            fs::remove_file(&log_path).expect("the log");
        }
        let ended = Launch::new().refused_in(server.data());
        assert!(ended.stderr.contains(named) && ended.stderr.contains("put that database back"), "{ended:?}");
        fs::write(&database, &original).expect("the database");
        fs::write(&log_path, &log).expect("the log");
    }
    let server = server.restart();
    server.rest().get(&format!("/thngs/{thng}")).assert_status(200);

    // A secret that may be the only one is not overwritten by that of another database.
    let other = folder();
    fs::write(other.path().join("keys.secret"), [7; 32]).expect("a file");
    let refusal = restore(&file, other.path()).refusal();
    assert!(refusal.contains("keys.secret") && refusal.contains("another database"), "{refusal}");
    assert_eq!(fs::read(other.path().join("keys.secret")).expect("a file"), [7; 32]);
}

#[test]
fn a_damaged_cut_or_foreign_backup_is_refused_without_traces() {
    let mut server = Launch::new().start();
    let mut rest = server.rest();
    for _ in 0..100 {
        rest.create("/thngs", json!({"name": "thng", "description": "x".repeat(2_000)}));
    }
    let (folder, file) = backed_up(&server);
    server.terminate();
    let whole = fs::read(&file).expect("the backup");
    let cut = whole[..whole.len() / 2].to_vec();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8_192].fill(0x55);
    let plain = fs::read(server.data().join("thng-pubsub.db")).expect("the database");
    for (name, bytes, says) in [
        ("cut", &cut, "damaged"),
        ("damaged", &damaged, ""),
        ("plain", &plain, "`backup` did not make"),
        ("empty", &Vec::new(), "no database"),
        ("text", &b"not a database at all, but long enough to be taken for one".repeat(20), "damaged"),
    ] {
        let bad = folder.path().join(name);
        fs::write(&bad, bytes).expect("a file");
        let data = folder.path().join(format!("{name}-data"));
        let refusal = restore(&bad, &data).refusal();
        assert!(refusal.contains(says) && refusal.contains(name), "{name}: {refusal}");
        assert!(!data.exists(), "{name}: no folder of another user stays");
    }
    let refusal = restore(&folder.path().join("missing"), &folder.path().join("data")).refusal();
    assert!(refusal.contains("missing"), "{refusal}");
}

#[test]
fn backup_refuses_a_target_in_the_words_of_export() {
    let server = Launch::new().start();
    let folder = folder();
    let file = folder.path().join("a file");
    fs::write(&file, "mine").expect("the file is the test's");
    for (target, sentence) in [
        (file.clone(), "is there already: give another name, or delete it"),
        (folder.path().to_owned(), "is there already: give another name, or delete it"),
        (folder.path().join("no/such"), "cannot write "),
        (file.join("below"), "cannot write "),
    ] {
        let target = target.to_str().expect("text");
        let refusal = server.administer(&["backup", target]).refusal();
        assert!(refusal.contains(sentence) && refusal.contains(target), "{refusal}");
        assert_eq!(refusal, server.administer(&["export", target]).refusal());
    }
    assert_eq!(fs::read(&file).expect("a file"), b"mine");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing else is left");
}

#[test]
fn a_backup_overwrites_nothing_and_needs_its_own_secret() {
    let mut server = Launch::new().start();
    let (_folder, file) = backed_up(&server);
    let before = fs::read(&file).expect("the backup");
    let path = file.to_str().expect("text");
    let refusal = server.administer(&["backup", path]).refusal();
    assert!(refusal.contains(path), "{refusal}");
    assert_eq!(fs::read(&file).expect("the backup"), before);
    let unwritable = server.administer(&["backup", "/nowhere/backup"]).refusal();
    assert!(unwritable.contains("/nowhere/backup"), "{unwritable}");
    // Without a server it is the same.
    server.terminate();
    backed_up(&server);
    fs::write(server.data().join("keys.secret"), [7; 32]).expect("the secret");
    let other = file.with_extension("other");
    let refusal = server.administer(&["backup", other.to_str().expect("text")]).refusal();
    assert!(refusal.contains("keys.secret"), "{refusal}");
    assert!(!other.exists());
    let nothing = folder();
    let refusal =
        run(["backup".as_ref(), other.as_os_str(), "--data".as_ref(), nothing.path().as_os_str()]).refusal();
    assert!(refusal.contains("no database"), "{refusal}");
}

#[test]
fn copies_run_at_a_low_priority_unless_asked_otherwise() {
    let server = Launch::new().start();
    let folder = folder();
    let niceness = |command: &str, file: &str, options: &[&str]| {
        let file = folder.path().join(file);
        let data = ["--data".as_ref(), server.data().as_os_str(), file.as_os_str()];
        let ended =
            niceness([command.as_ref()].into_iter().chain(data).chain(options.iter().map(|o| o.as_ref())));
        assert!(file.is_file(), "{command} has failed");
        ended
    };
    let own = i64::from(rustix::process::getpriority_process(None).expect("it has one"));
    let low = (own + 10).min(19);
    assert_eq!([niceness("backup", "b", &[]), niceness("export", "e", &[])], [low, low]);
    let full = ["--full-speed"];
    assert_eq!([niceness("backup", "fb", &full), niceness("export", "fe", &full)], [own, own]);
}
