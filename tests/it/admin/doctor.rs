//! `doctor`, `health`, `completions` and `man`: whether a server is well, and what shells and people know of its commands.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use thng_pubsub_tests::server::{Ended, run};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{Launch, Server};

/// Every command of the binary, as its help lists them.
const COMMANDS: [&str; 11] = [
    "serve",
    "keys",
    "accounts",
    "backup",
    "restore",
    "export",
    "import",
    "doctor",
    "health",
    "completions",
    "man",
];

/// What `doctor` says of a data folder, on free ports: its exit code, and a line for each check.
#[track_caller]
fn examined(data: &Path, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let few: &[&str] = if more.contains(&"--connections-max") { &[] } else { &["--connections-max", "10"] };
    let free = ["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"];
    let path = data.to_str().expect("text");
    let ended: Ended = run(["doctor", "--json", "--data", path].iter().chain(&free).chain(few).chain(more));
    let lines = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
    (ended.status.code(), lines.collect())
}

/// The checks that came out so.
fn that_are(findings: &[Value], state: &str) -> Vec<String> {
    let found = findings.iter().filter(|finding| finding["state"] == state);
    found.map(|finding| finding["check"].as_str().expect("a check").to_owned()).collect()
}

/// The one problem of a check, with what to do.
#[track_caller]
fn assert_problem(data: &Path, check: &str, says: &str) {
    let (code, findings) = examined(data, &[]);
    assert_eq!(code, Some(1), "{findings:?}");
    let found = findings.iter().find(|finding| finding["state"] == "problem" && finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no problem of {check}: {findings:?}"));
    assert!(found["found"].as_str().is_some_and(|text| text.contains(says)), "{found}");
    assert!(found["advice"].as_str().is_some_and(|text| !text.is_empty()), "{found}");
}

fn populated() -> Server {
    let server = Launch::new().start();
    let mut rest = server.rest();
    for _ in 0..50 {
        rest.create("/thngs", json!({"name": "thng", "description": "x".repeat(2_000)}));
    }
    server
}

#[test]
fn a_healthy_server_passes_running_stopped_and_killed() {
    let mut server = populated();
    let (code, findings) = examined(server.data(), &["--full"]);
    assert_eq!((code, that_are(&findings, "problem")), (Some(0), Vec::new()), "{findings:?}");
    let serves = findings.iter().filter(|finding| finding["check"] == "ports");
    assert!(serves.clone().count() == 2 && serves.clone().all(|it| it["state"] == "ok"), "{findings:?}");
    assert!(findings.iter().any(|it| it["found"].as_str().is_some_and(|text| text.contains("process"))));
    let table = run(["doctor", "--data", server.data().to_str().expect("text")]);
    assert!(table.stdout.contains("0 problem(s)"), "{table:?}");

    let endings: [fn(&mut Server); 2] = [|server| drop(server.terminate()), Server::kill9];
    for end in endings {
        end(&mut server);
        let before = fs::read(server.data().join("thng-pubsub.db")).expect("the database");
        let (code, findings) = examined(server.data(), &[]);
        assert_eq!((code, that_are(&findings, "problem")), (Some(0), Vec::new()), "{findings:?}");
        let after = fs::read(server.data().join("thng-pubsub.db")).expect("the database");
        assert!(before == after, "who looks changes nothing");
        server = server.restart();
        assert_eq!(server.rest().get("/thngs?perPage=100").expect(200).as_array().map(Vec::len), Some(50));
    }
}

#[test]
fn exposed_files_a_missing_secret_and_folder_are_problems() {
    let mut server = populated();
    server.terminate();
    let file = |name: &str| server.data().join(name);
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(file(name), fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    for name in ["keys.secret", "thng-pubsub.db"] {
        mode(name, 0o644);
        assert_problem(server.data(), "files", name);
        mode(name, 0o600);
    }
    fs::set_permissions(server.data(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let (code, findings) = examined(server.data(), &[]);
    assert_eq!((code, that_are(&findings, "warning")), (Some(0), vec!["folder".to_owned()]), "{findings:?}");
    let secret = fs::read(file("keys.secret")).expect("the secret");
    fs::write(file("keys.secret"), [7; 32]).expect("it is ours");
    assert_problem(server.data(), "secret", "another database");
    fs::remove_file(file("keys.secret")).expect("it is ours");
    assert_problem(server.data(), "secret", "missing");
    fs::write(file("keys.secret"), secret).expect("it is ours");
    assert_problem(&file("none"), "folder", "not there");
}

#[test]
fn a_damaged_database_and_one_of_a_later_program_are_problems() {
    let mut server = populated();
    server.terminate();
    let path = server.data().join("thng-pubsub.db");
    let whole = fs::read(&path).expect("the database");
    // Behind the first pages, which say what tables there are, of the database itself.
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2 / 8_192 * 8_192;
    damaged[middle..middle + 3 * 8_192].fill(0x55);
    fs::write(&path, &damaged).expect("it is ours");
    assert_problem(server.data(), "database", "damaged");
    fs::write(&path, &whole[..whole.len() / 2]).expect("it is ours");
    assert_problem(server.data(), "database", "damaged");
    fs::write(&path, b"no database, and long enough to be taken for one".repeat(20)).expect("it is ours");
    assert_problem(server.data(), "database", "damaged");
    fs::write(&path, b"").expect("it is ours");
    assert_problem(server.data(), "database", "no database");
    // `user_version` of SQLite's header.
    let mut later = whole.clone();
    later[60..64].copy_from_slice(&1_000_i32.to_be_bytes());
    fs::write(&path, &later).expect("it is ours");
    assert_problem(server.data(), "database", "layout 1000");
    fs::write(&path, &whole).expect("it is ours");
    assert_eq!(examined(server.data(), &[]).0, Some(0));
}

#[test]
fn a_taken_port_and_unusable_certificates_are_problems() {
    let mut server = populated();
    server.terminate();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, findings) = examined(server.data(), &["--https", &address]);
    assert_eq!((code, that_are(&findings, "problem")), (Some(1), vec!["ports".to_owned()]), "{findings:?}");
    drop(taken);
    let none = server.data().join("none.pem");
    let none = none.to_str().expect("text");
    let (code, findings) = examined(server.data(), &["--tls-cert", none, "--tls-key", none]);
    assert_eq!((code, that_are(&findings, "problem")), (Some(1), vec!["tls".to_owned()]), "{findings:?}");
    let (code, findings) = examined(server.data(), &["--connections-max", "4000000000"]);
    assert_eq!(code, Some(0), "{findings:?}");
    assert!(that_are(&findings, "warning").contains(&"open files".to_owned()), "{findings:?}");
}

/// A data folder whose last event comes in at a time that is made of the present one.
fn with_last_event_at(at: impl Fn(i64) -> i64) -> TempDir {
    let server = Launch::new().start();
    let mut lines: Vec<String> =
        server.administer(&["export", "--with-secret"]).printed().lines().map(str::to_owned).collect();
    let last = lines.iter().rposition(|line| line.starts_with("{\"event\":")).expect("an event");
    let mut event: Value = serde_json::from_str(&lines[last]).expect("a line");
    let now = event["event"]["arrivedAt"].as_i64().expect("a time");
    event["event"]["arrivedAt"] = json!(at(now));
    lines[last] = event.to_string();
    let (folder, data) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("export");
    fs::write(&file, lines.join("\n") + "\n").expect("a file");
    run(["import".as_ref(), file.as_os_str(), "--data".as_ref(), data.path().as_os_str()]).printed();
    data
}

#[test]
fn a_time_before_the_newest_event_is_a_problem() {
    let data = with_last_event_at(|_| 4_000_000_000_000);
    assert_problem(data.path(), "clock", "before the newest event");
}

#[test]
fn a_clock_that_was_set_back_is_followed_and_named() {
    const HOUR_MS: i64 = 3_600_000;
    let mut server = Launch::new().start_in(with_last_event_at(|now| now + HOUR_MS));
    let mut rest = server.rest();
    let topic = format!("/thngs/{}/properties/k", rest.thng());
    rest.put(&topic, json!([{ "value": 1 }])).assert_status(200);
    assert_eq!(server.metric(r#"clock_steps_total{direction="back"}"#), 1);
    until("the log says so", || server.log().contains("clock set back").then_some(()));
    server.terminate();
    let (code, findings) = examined(server.data(), &[]);
    assert_eq!(code, Some(0), "{findings:?}");
    assert!(that_are(&findings, "warning").contains(&"clock".to_owned()), "{findings:?}");
}

#[test]
fn time_goes_on_over_a_restart_with_a_clock_behind() {
    let server = Launch::new().start_in(with_last_event_at(|now| now + 60_000));
    let mut rest = server.rest();
    let made = [rest.thng(), rest.thng()]
        .map(|id| rest.get(&format!("/thngs/{id}")).expect(200)["createdAt"].clone());
    assert_eq!(made[0], made[1], "a minute ahead of the clock");
    assert_eq!(server.metric(r#"clock_steps_total{direction="back"}"#), 0);
}

#[test]
fn commands_read_the_same_settings_file_as_the_server() {
    let mut server = populated();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    let settings =
        format!("data = {:?}\nhttp = {:?}\nbulk-size-max = 7\n", server.data(), server.http().to_string());
    fs::write(&file, settings).expect("a file");
    let with = |command: &[&str]| {
        run(command.iter().copied().chain(["--config", file.to_str().expect("text")])).printed()
    };
    assert_eq!(with(&["health"]), "");
    assert_eq!(with(&["keys", "list", "--json"]).lines().count(), 1);
    server.terminate();
    assert!(with(&["doctor", "--mqtt", "off"]).contains(&format!("--http: {}", server.http())));
}

#[test]
fn health_exits_0_where_a_server_serves_and_1_elsewhere() {
    let mut server = Launch::new().start();
    let address = server.http().to_string();
    let url = format!("http://{address}");
    assert_eq!(run(["health", "--url", &url]).printed(), "");
    assert_eq!(run(["health", "--http", &address]).printed(), "");
    let mqtt = format!("http://{}/", server.mqtt());
    assert!(run(["health", "--url", &mqtt]).refusal().contains("HTTP"));
    server.terminate();
    assert!(run(["health", "--url", &url]).refusal().contains("no server answers"));
    assert!(run(["health", "--url", "https://127.0.0.1:1"]).refusal().contains("http://"));
    assert!(run(["health", "--http", "off"]).refusal().contains("--url"));
    // One whose bus is being rebuilt.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\n");
    });
    assert!(run(["health", "--url", &url]).refusal().contains("cannot deliver"));
}

#[test]
fn completions_and_manual_name_every_command() {
    let help = run(["--help"]).printed();
    for command in COMMANDS {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {help}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]).printed();
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
        if shell == "bash" {
            let checked = Command::new("bash").args(["-n", "-c", &script]).status().expect("there is bash");
            assert!(checked.success());
        }
    }
    let manual = run(["man"]).printed();
    assert!(manual.contains(".TH ") && !manual.contains("panicked"), "{manual}");
    for command in COMMANDS.map(str::to_uppercase) {
        assert!(manual.contains(&format!("THNG-PUBSUB-SERVER {command}")), "{command}");
    }
    for part in ["KEYS CREATE", "KEYS REVOKE", "ACCOUNTS CREATE"] {
        assert!(manual.contains(part), "{part}");
    }
    assert!(manual.contains("\\-\\-operator\\-key") && manual.contains("THNG_PUBSUB_DATA"));
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man");
    run(["man".as_ref(), pages.as_os_str()]).printed();
    let names: Vec<_> =
        fs::read_dir(&pages).expect("pages").map(|it| it.expect("a page").file_name()).collect();
    assert!(names.iter().any(|name| name == "thng-pubsub-server-keys-create.1"), "{names:?}");
}
