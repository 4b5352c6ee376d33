//! A disk that is full, or that takes no writes. Writes are refused, reads go on, and no acknowledged write is lost. The
//! server recovers by itself once the disk does.
//!
//! The disk is a small one in memory, mounted in a namespace that the server alone sees, so that no rights are needed for it.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use thng_pubsub_tests::history::whole;
use thng_pubsub_tests::mqtt::{Client, Received};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{Launch, Rest, Server, WAIT_MAX};

/// Starts the server with a disk of its own under its data: `$4` is the folder behind `serve --data`. `None` where
/// namespaces are not allowed, as in most containers; then only the tests that need no disk are left.
fn on_a_disk(options: &str) -> Option<Launch> {
    let can = Command::new("unshare")
        .args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    if !can.is_ok_and(|output| output.status.success()) {
        // Where everything is to be shown, what is not shown is a failure.
        assert!(std::env::var_os("CI").is_none(), "a process may not have disks of its own here");
        eprintln!(
            "not run: a process may not have disks of its own here (`unshare --map-root-user --mount`)"
        );
        return None;
    }
    let inside = format!(r#"mount -t tmpfs -o mode=700,{options} tmpfs "$4" && exec "$@""#);
    Some(
        Launch::new()
            .after(&format!(r#"exec unshare --map-root-user --mount sh -c '{inside}' sh "$0" "$@""#)),
    )
}

/// Where the server's own disk is seen from here.
fn disk(server: &Server) -> PathBuf {
    let data = server.data().strip_prefix("/").expect("an absolute path");
    PathBuf::from(format!("/proc/{}/root", server.pid())).join(data)
}

/// Fills what is left of it.
fn fill(server: &Server) -> PathBuf {
    let filler = disk(server).join("filler");
    let mut file = fs::File::create(&filler).expect("there is room for a file");
    // The last bytes too: a small write fits where a large one does not.
    for size in [1 << 16, 1 << 10, 1] {
        let block = vec![b'x'; size];
        loop {
            match file.write(&block) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    filler
}

/// From now on the process can write to no file: every write fails, as on a disk that the system has made read-only.
fn let_no_file_be_written(server: &Server, limit: &str) {
    let pid = server.pid().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).status();
    assert!(status.expect("util-linux is installed").success());
}

/// Writes until the server's disk is full, over REST. Returns how many were stored.
fn write_until_refused(rest: &mut Rest, topic: &str, from: u64) -> u64 {
    // Each larger than a page, so that what is freed inside the database does not serve many.
    let padding = "x".repeat(20_000);
    for number in from.. {
        let answer =
            rest.put(topic, json!([{ "value": { "number": number, "padding": padding } }]).to_string());
        if answer.status == 503 {
            let document = answer.expect(503);
            assert!(
                document["errors"][0].as_str().is_some_and(|sentence| !sentence.is_empty()),
                "{document}"
            );
            return number;
        }
        answer.assert_status(200);
    }
    unreachable!("a disk is finite")
}

/// The numbers that are stored in a thng's property, oldest first.
fn numbers(server: &Server, thng: &str) -> Vec<u64> {
    let history = whole(&mut server.rest(), thng, "k");
    history.iter().filter_map(|point| point.value["number"].as_u64()).collect()
}

/// What holds while nothing can be stored, and again when it can.
fn assert_refuses_and_recovers(
    mut server: Server,
    mut spoil: impl FnMut(&Server),
    mut mend: impl FnMut(&Server),
) {
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = format!("/thngs/{thng}/properties/k");
    let small = json!([{ "value": { "number": 0 } }]).to_string();
    rest.put(&topic, &*small).assert_status(200);
    let mut stored = 1;
    for _ in 0..3 {
        spoil(&server);
        stored = write_until_refused(&mut rest, &topic, stored);

        // Reads go on, also those that need the disk, and `/ready` says what is wrong.
        rest.get(&topic).assert_status(200);
        rest.get(&format!("/thngs/{thng}")).assert_status(200);
        rest.get("/thngs").assert_status(200);
        let keyless = || Rest::new(server.http(), None);
        until("the server says that it is not ready", || {
            (keyless().send("GET", "/ready", &[], None).status == 503).then_some(())
        });
        keyless().get("/health").assert_status(200);
        assert!(server.metric("commit_failures_total") > 0);

        // By every other protocol nothing is acknowledged either.
        let mut client = Client::connect(&server);
        client.publish_unacknowledged(&topic, &small);
        let answer = client.next_within(WAIT_MAX).expect("an answer or an end");
        assert!(!matches!(answer, Ok(Received::PubAck(_))), "{answer:?}");
        let mut socket = WebSocket::open(&server, &topic);
        socket.send(small.clone());
        assert_eq!(socket.json()["status"], 503);

        mend(&server);
        until("the server is ready again by itself", || {
            (keyless().send("GET", "/ready", &[], None).status == 200).then_some(())
        });
        let again = json!([{ "value": { "number": stored } }]).to_string();
        rest.put(&topic, again).assert_status(200);
        stored += 1;
        let mut client = Client::connect(&server);
        client.publish_acknowledged(&topic, r#"[{"value":"well again"}]"#);
    }
    assert_eq!(
        numbers(&server, &thng),
        (0..stored).collect::<Vec<_>>(),
        "all that was answered, in order, once"
    );
    drop(rest);
    server.terminate();
}

#[test]
fn on_a_full_disk_writes_get_503_until_space_is_freed() {
    let Some(launch) = on_a_disk("size=96m") else { return };
    let server = launch.start();
    let filler = disk(&server).join("filler");
    assert_refuses_and_recovers(
        server,
        |server| drop(fill(server)),
        |_| fs::remove_file(&filler).expect("the filler is there"),
    );
}

#[test]
fn unwritable_files_give_503_for_writes_until_they_are_writable() {
    assert_refuses_and_recovers(
        Server::start(),
        |server| let_no_file_be_written(server, "0"),
        |server| let_no_file_be_written(server, "unlimited"),
    );
}

#[test]
fn a_crash_on_a_full_disk_loses_nothing_that_was_answered() {
    let mut server = Launch::new().start();
    let thng = server.rest().thng();
    let topic = format!("/thngs/{thng}/properties/k");
    let stored = {
        let mut rest = server.rest();
        rest.put(&topic, json!([{ "value": { "number": 0 } }]).to_string()).assert_status(200);
        let_no_file_be_written(&server, "0");
        write_until_refused(&mut rest, &topic, 1)
    };
    server.kill9();
    let server = server.restart();
    assert_eq!(numbers(&server, &thng), (0..stored).collect::<Vec<_>>());
    server.assert_serves();
}

#[test]
fn a_disk_that_is_read_only_at_the_start_is_named() {
    let Some(launch) = on_a_disk("size=8m,ro") else { return };
    let ended = launch.refused();
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("may not write there"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}
