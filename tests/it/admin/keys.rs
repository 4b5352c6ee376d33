//! `keys` and `accounts`: commands of the owner of the data folder, with the server running and without.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{ConnectCode, QoS};
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Server};

/// The keys that `keys list --json` shows.
#[track_caller]
fn keys(server: &Server) -> Vec<Value> {
    let printed = server.administer(&["keys", "list", "--json"]).printed();
    printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// A key that was made, as `--json` shows it.
#[track_caller]
fn created(server: &Server, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["keys", "create", "--json"].iter().chain(arguments).copied().collect();
    serde_json::from_str(&server.administer(&arguments).printed()).expect("an object")
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

#[track_caller]
fn assert_opens(server: &Server, key: &str) {
    server.rest_as(key).get("/access").assert_status(200);
    Client::connect_as(server, &Hello::with_key(key)).ping();
}

#[track_caller]
fn assert_opens_nothing(server: &Server, key: &str) {
    server.rest_as(key).get("/access").assert_status(403);
    let (_, code) = Client::greeted(Raw::connect(server.mqtt()), &Hello::with_key(key));
    assert_eq!(code, ConnectCode::NotAuthorised);
}

#[test]
fn the_list_shows_every_key_with_its_owner_and_no_text() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let thng = rest.id_of("/thngs", json!({"name": "lamp\u{1b}[31m red"}));
    let device = rest.device(&thng);
    let token = rest.access_token(&["thngs:read"], &[]);
    let listed = keys(&server);
    let of =
        |actor: &str| listed.iter().find(|key| key["actor"] == actor).unwrap_or_else(|| panic!("{actor}"));
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert_eq!(text(of("operator"), "name"), "operator@localhost");
    assert_eq!((text(of("device"), "id"), text(of("device"), "name")), (&*thng, "lamp\u{1b}[31m red"));
    assert_eq!(text(of("accessToken"), "id"), token.id);
    for key in &listed {
        assert_eq!(text(key, "hash").len(), 64);
        assert!(text(key, "hash").starts_with(text(key, "handle")));
        assert!(key["createdAt"].as_i64().is_some_and(|at| at > 1_700_000_000_000), "{key}");
        assert_eq!(text(key, "account"), rest.account());
    }
    let table = server.administer(&["keys", "list"]).printed();
    assert!(table.lines().count() == 4 && table.contains(text(of("device"), "handle")), "{table}");
    assert!(!table.contains('\u{1b}'), "a name writes nothing to the terminal: {table:?}");
    let all = format!("{table}{listed:?}{}", server.log());
    for key in [KEY, &device.key, &token.key] {
        assert!(!all.contains(key));
    }
    let none = server.administer(&["keys", "list", "--json", "--account", &thng]).printed();
    assert_eq!(none, "", "another account has none of them");
}

#[test]
fn an_operators_old_and_new_key_count_until_one_is_revoked() {
    let mut server = Launch::new().start();
    let lost = keys(&server).remove(0);
    let made = server.administer(&["keys", "create", "--operator", "Operator@localhost"]);
    let key = made.stdout.trim_end().to_owned();
    assert_eq!(made.stdout, format!("{key}\n"), "the key and nothing else");
    assert_eq!(key.len(), 80);
    assert!(made.stderr.contains("keys revoke"), "{}", made.stderr);
    assert_opens(&server, &key);
    assert_opens(&server, KEY);
    assert!(!server.log().contains(&key));

    let mut live = Client::connect(&server);
    live.ping();
    assert_eq!(server.administer(&["keys", "revoke", &text(&lost, "hash")[..8]]).printed(), "");
    live.assert_closed();
    assert_opens_nothing(&server, KEY);
    assert_opens(&server, &key);
    until("the log says who did it and to which key", || {
        server.log().contains(text(&lost, "handle")).then_some(())
    });
    server.terminate();
    let server = server.restart_with(|launch| launch.without("--operator-key"));
    assert_opens(&server, &key);
    assert_opens_nothing(&server, KEY);
}

#[test]
fn a_new_operator_and_a_token_have_exactly_their_rights() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let account = rest.account();
    let policy = rest.access_policy(&["thngs:read,list"]);
    let all = created(&server, &["--account", &account, "--operator", "ada@example.com", "--role", "admin"]);
    server.rest_as(text(&all, "key")).post("/thngs", json!({"name": "hers"})).assert_status(201);
    let some = created(&server, &["--operator", "eve@example.com", "--policy", &policy]);
    server.rest_as(text(&some, "key")).get("/thngs").assert_status(200);
    server.rest_as(text(&some, "key")).post("/thngs", json!({"name": "x"})).assert_status(403);
    let token = created(&server, &["--token", "of a script", "--policy", "evt:accountAdmin"]);
    let thng = server.rest_as(text(&token, "key")).id_of("/thngs", json!({"name": "its"}));
    let read = rest.get(&format!("/accessTokens/{}", text(&token, "id"))).expect(200);
    assert_eq!(text(&read, "name"), "of a script");
    let narrow = created(
        &server,
        &["--token", "narrow", "--policy", &policy, "--condition", &format!("thngs:{thng}")],
    );
    assert_eq!(
        server.rest_as(text(&narrow, "key")).get("/thngs").expect(200).as_array().map(Vec::len),
        Some(1)
    );
    Client::connect_as(&server, &Hello::with_key(text(&token, "key")))
        .subscribed(&format!("/thngs/{thng}"), QoS::AtLeastOnce);
}

#[test]
fn an_ambiguous_or_impossible_request_changes_nothing() {
    let server = Launch::new().start();
    let before = keys(&server);
    let handle = text(&before[0], "handle").to_owned();
    for (arguments, says) in [
        (&["create", "--operator", "nobody@example.com"][..], "--role"),
        (&["create", "--operator", "operator@localhost", "--role", "admin"], "already"),
        (&["create", "--operator", "new@example.com", "--role", "kaiser"], "role"),
        (&["create", "--token", "t", "--policy", "none of ours"], "policies"),
        (&["create", "--token", "t", "--policy", "evt:accountAdmin", "--condition", "x"], "condition"),
        (
            &["create", "--operator", "operator@localhost", "--account", "UeECn9a8PBpar8x4FEGdMsDd"],
            "no account",
        ),
        (&["create"], "--operator"),
        (&["create", "--token", "t"], "--policy"),
        (&["revoke", &handle[..7]], "8 to 64"),
        (&["revoke", "00000000000000000000"], "no key"),
        (&["revoke", KEY], "never by the key itself"),
        (&["revoke", &format!("{handle}zz")], "8 to 64"),
    ] {
        let arguments: Vec<&str> = ["keys"].iter().chain(arguments).copied().collect();
        let refusal = server.administer(&arguments).refusal();
        assert!(refusal.contains(says), "{arguments:?}: {refusal}");
        assert!(!refusal.contains(KEY), "{refusal}");
    }
    assert_eq!(keys(&server), before);
}

#[test]
fn with_a_second_account_commands_must_name_the_account() {
    let server = Launch::new().start();
    let mut first = server.rest();
    let thng = first.thng();
    let made =
        server.administer(&["accounts", "create", "--json", "--name", "Second", "--email", "op@example.com"]);
    let made: Value = serde_json::from_str(&made.printed()).expect("an object");
    let (account, key) = (text(&made, "account"), text(&made, "key"));
    let mut second = server.rest_as(key);
    assert_eq!(second.account(), account);
    assert_eq!(text(&second.get(&format!("/accounts/{account}")).expect(200), "name"), "Second");
    let own = second.get(&format!("/operators/{}", text(&made, "operator"))).expect(200);
    assert_eq!(text(&own, "email"), "op@example.com");
    second.get(&format!("/thngs/{thng}")).assert_status(404);
    assert_eq!(second.get("/thngs").expect(200), json!([]));
    let _thng = second.thng();
    assert_eq!(first.get("/thngs").expect(200).as_array().map(Vec::len), Some(1));

    let unclear = server.administer(&["keys", "create", "--operator", "op@example.com"]).refusal();
    assert!(unclear.contains("--account"), "{unclear}");
    let again = created(&server, &["--operator", "op@example.com", "--account", account]);
    assert_eq!(server.rest_as(text(&again, "key")).account(), account);
    let plain = server.administer(&["accounts", "create"]).printed();
    assert_eq!(plain.lines().count(), 3, "{plain}");
    for email in ["op@example.com ", "op@@example.com", "op", "op@example.com\n"] {
        let wrong = server.administer(&["accounts", "create", "--email", email]).refusal();
        assert!(wrong.contains("email"), "{email:?}: {wrong}");
    }
    let wrong = server.administer(&["accounts", "create", "--name", &"x".repeat(31)]).refusal();
    assert!(wrong.contains("name"), "{wrong}");
}

#[test]
fn commands_work_without_a_server_and_can_revoke_the_last_key() {
    let mut server = Launch::new().without("--operator-key").start();
    let account = text(&keys(&server)[0], "account").to_owned();
    let mut other = String::new();
    let endings: [fn(&mut Server); 2] = [|server| drop(server.terminate()), Server::kill9];
    for end in endings {
        end(&mut server);
        let operator = created(&server, &["--operator", "operator@localhost", "--account", &account]);
        let made = server.administer(&["accounts", "create", "--json"]).printed();
        let made: Value = serde_json::from_str(&made).expect("an object");
        for key in keys(&server).iter().filter(|key| key["handle"] != operator["handle"]) {
            server.administer(&["keys", "revoke", text(key, "handle")]).printed();
        }
        assert_eq!(keys(&server).len(), 1);
        server = server.restart();
        assert_opens(&server, text(&operator, "key"));
        assert_opens_nothing(&server, text(&made, "key"));
        text(&operator, "key").clone_into(&mut other);
    }
    server.terminate();
    server.administer(&["keys", "revoke", text(&keys(&server)[0], "handle")]).printed();
    let server = server.restart();
    until("the log says so", || server.log().contains("keys create").then_some(()));
    assert_opens_nothing(&server, &other);
    let first =
        server.administer(&["keys", "create", "--operator", "operator@localhost", "--json"]).refusal();
    assert!(first.contains("--account"), "no account was made anew: {first}");

    let nothing = tempfile::tempdir().expect("a folder");
    let missing = nothing.path().join("x");
    let path = missing.to_str().expect("text");
    let refusal = thng_pubsub_tests::server::run(["accounts", "create", "--data", path]).refusal();
    assert!(refusal.contains("no database"), "{refusal}");
    assert!(!missing.exists());
}

/// Bug class 22 of `docs/security.md`.
#[test]
fn the_socket_is_private_and_answers_one_request_each() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    let mut server = Launch::new().after("umask 0").start();
    let socket = server.data().join("admin.sock");
    let file = fs::metadata(&socket).expect("the socket");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);

    let ask = |request: &[u8]| {
        let mut stream = UnixStream::connect(&socket).expect("it is open");
        stream.set_read_timeout(Some(thng_pubsub_tests::WAIT_MAX)).expect("a timeout");
        // A client that sends more than is read is disconnected.
        let _ = stream.write_all(request);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let status: Value = serde_json::from_str(&ask(b"{\"status\":{}}\n")).expect("an answer");
    assert_eq!(status["status"]["listeners"][0][1], server.http().to_string());
    assert!(ask(b"{\"status\":{}}\n{\"status\":{}}\n").lines().count() <= 1, "one connection asks once");
    let strange: [&[u8]; 5] =
        [b"\n", b"{}\n", b"GET / HTTP/1.1\r\n\r\n", b"{\"revokeKey\":{\"handle\":1}}\n", b"[[[[\n"];
    for request in strange {
        let answer: Value = serde_json::from_str(&ask(request)).expect("an answer");
        assert!(answer["refused"].is_string(), "{answer}");
    }
    assert!(!ask(&vec![b'x'; 1 << 20]).contains("created"), "an endless line is cut off");
    // As many as are answered at a time, none of which sends a request: they lock no other out for good.
    let idle: Vec<_> = (0..4).map(|_| UnixStream::connect(&socket).expect("it is open")).collect();
    until("others are let in again", || ask(b"{\"status\":{}}\n").contains("listeners").then_some(()));
    drop(idle);
    server.assert_serves();

    server.kill9();
    assert!(socket.exists(), "who is killed leaves it");
    let mut server = server.restart();
    assert_eq!(keys(&server).len(), 1);
    created(&server, &["--operator", "operator@localhost"]);
    server.terminate();
    assert!(!socket.exists(), "who stops takes it away");
}

#[test]
fn a_server_without_its_socket_warns_and_serves() {
    let folder = tempfile::Builder::new().prefix(&"long".repeat(25)).tempdir().expect("a folder");
    let mut server = Launch::new().start_in(folder);
    until("the log says that there is no socket", || {
        server.log().contains("administrator's socket could not be opened").then_some(())
    });
    server.assert_serves();
    let refusal = server.administer(&["keys", "create", "--operator", "operator@localhost"]).refusal();
    assert!(refusal.contains("does not listen"), "{refusal}");
    assert_eq!(keys(&server).len(), 1, "reading needs no socket");
    server.terminate();
    created(&server, &["--operator", "operator@localhost"]);
}
