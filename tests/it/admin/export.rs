//! `export` and `import`: everything as JSON lines, out of one server and into another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use thng_pubsub_tests::population::{Population, TYPES};
use thng_pubsub_tests::server::{Ended, run, run_killed, run_with};
use thng_pubsub_tests::{Launch, Rest, Server};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The lines of an export.
#[track_caller]
fn exported(server: &Server, arguments: &[&str]) -> Vec<String> {
    let arguments: Vec<&str> = ["export"].iter().chain(arguments).copied().collect();
    server.administer(&arguments).printed().lines().map(str::to_owned).collect()
}

/// What of an export does not depend on when it was made.
fn records(lines: &[String]) -> (Value, &[String]) {
    let mut header: Value = serde_json::from_str(&lines[0]).expect("a header");
    header["header"]["createdAt"].take();
    (header, &lines[1..])
}

#[track_caller]
fn import(lines: &[String], data: &Path) -> Ended {
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    run_with(["import".as_ref(), "--data".as_ref(), data.as_os_str()], text.into_bytes())
}

/// Everything that an operator can read of their account.
fn answers(all: &mut Population) -> Vec<(String, Value)> {
    let rest = &mut all.operator;
    let mut paths =
        vec!["/access".to_owned(), "/accounts".into(), format!("/accounts/{}/accesses", rest.account())];
    for list in [
        "thngs",
        "products",
        "collections",
        "places",
        "actions",
        "projects",
        "roles",
        "accessPolicies",
        "accessTokens",
    ] {
        paths.push(format!("/{list}?perPage=100&withScopes=true"));
    }
    paths.extend(["/thngs?filter=tags%3Da&perPage=100".into(), "/actions/all?perPage=100".into()]);
    paths.extend(TYPES.iter().map(|name| format!("/actions/{}?perPage=100", name.replace(' ', "%20"))));
    for thng in &all.thngs[..20] {
        paths.extend(
            ["", "/properties", "/properties/k?perPage=100", "/location?perPage=100"]
                .map(|part| format!("/thngs/{thng}{part}")),
        );
        paths.push(format!("/auth/evrythng/thngs/{thng}"));
    }
    for product in &all.products[..20] {
        paths.push(format!("/products/{product}/properties"));
    }
    for collection in &all.collections {
        paths.extend(
            ["thngs", "collections"].map(|part| format!("/collections/{collection}/{part}?perPage=100")),
        );
    }
    for project in &all.projects {
        paths.push(format!("/projects/{project}/applications"));
    }
    let mut read = |path: String| {
        let answer = rest.get(&path);
        let mut document = if answer.body.is_empty() { Value::Null } else { answer.json() };
        if answer.status >= 400 {
            // It names the server that answered.
            document["moreInfo"].take();
        }
        (path, json!([answer.status, document]))
    };
    paths.into_iter().map(&mut read).collect()
}

/// Some of everything: values with histories, what was deleted, memberships, names that are unique, text as it was sent.
fn populate(all: &mut Population) {
    let rest = &mut all.operator;
    for (number, thng) in all.thngs.iter().take(20).enumerate() {
        let path = format!("/thngs/{thng}/properties");
        let spaced = format!("[{{\"key\":\"k\",\"value\":{{ \"spaced\" :\n [ {number}, 1.50, 1e2 ] }}}}]");
        rest.put(&path, spaced.as_str()).assert_status(200);
        for value in 0..3 {
            let timestamp = 1_000_000 - value;
            rest.put(
                &path,
                json!([{"key": "k", "value": value, "timestamp": timestamp}, {"key": "gone", "value": 1}]),
            )
            .assert_status(200);
        }
        rest.delete(&format!("{path}/gone")).assert_status(200);
        rest.delete(&format!("{path}/k?to=999998")).assert_status(200);
        rest.put(
            &format!("/thngs/{thng}/location"),
            json!([{"position": {"type": "Point", "coordinates": [number, 1]}}]),
        )
        .assert_status(200);
        rest.put(&format!("/thngs/{thng}"), json!({"tags": ["a", "ü \u{2028}"]})).assert_status(200);
    }
    for product in &all.products[..20] {
        rest.put(&format!("/products/{product}/properties"), json!([{"key": "p", "value": "v"}]))
            .assert_status(200);
    }
    // A project that is gone, with what belonged to it.
    let project = rest.project();
    let application = rest.application(&project);
    let _user = Rest::new(rest.address(), Some(&application.public_key)).anonymous_user();
    rest.delete(&format!("/projects/{project}")).assert_status(200);
}

#[test]
fn an_imported_export_answers_and_exports_the_same() {
    let server = Launch::new().start();
    let mut all = Population::new(&server);
    populate(&mut all);
    let before = answers(&mut all);
    let lines = exported(&server, &["--with-secret"]);
    let kinds = ["note", "account", "key", "series", "event", "resource", "member", "trailer"];
    for kind in kinds {
        assert!(lines.iter().any(|line| line.starts_with(&format!("{{\"{kind}\":"))), "{kind}");
    }

    let data = folder();
    let said = import(&lines, data.path());
    assert!(said.status.success(), "{said:?}");
    assert!(!data.path().join("thng-pubsub.db.part").exists());
    for name in ["keys.secret", "thng-pubsub.db"] {
        let mode = fs::metadata(data.path().join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let again =
        run(["export".as_ref(), "--with-secret".as_ref(), "--data".as_ref(), data.path().as_os_str()])
            .printed();
    let again: Vec<String> = again.lines().map(str::to_owned).collect();
    assert_eq!(records(&again), records(&lines));

    let moved = Launch::new().start_in(data);
    let keys = std::mem::take(&mut all.keys);
    all.operator = moved.rest();
    let after = answers(&mut all);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    assert!(before.iter().filter(|(_, answer)| answer[0] == 200).count() > 100);
    for key in keys {
        moved.rest_as(&key.key).get("/access").assert_status(200);
    }
    let place = format!("/thngs/{}/properties/k", all.thngs[0]);
    all.operator.put(&place, json!([{"value": "later"}])).assert_status(200);
    assert_eq!(all.operator.get(&place).expect(200)[0]["value"], "later");
}

#[test]
fn an_export_goes_on_under_writes_and_is_of_one_moment() {
    let server = Launch::new().start();
    let thng = server.rest().thng();
    let file = folder();
    let path = file.path().join("export");
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let mut rest = server.rest();
            for number in 0..200 {
                let update = json!([{"key": "a", "value": number}, {"key": "b", "value": number}]);
                rest.put(&format!("/thngs/{thng}/properties"), update).assert_status(200);
            }
        });
        assert_eq!(server.administer(&["export", path.to_str().expect("text")]).printed(), "");
        writes.join().expect("they are written");
    });
    let text = fs::read_to_string(&path).expect("an export");
    let values = text.lines().filter(|line| line.contains("\"kind\":\"value\"")).count();
    assert_eq!(values % 2, 0, "an update is in it whole or not at all");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let refusal = server.administer(&["export", path.to_str().expect("text")]).refusal();
    assert!(refusal.contains("is there already"), "{refusal}");
    let secret = fs::read(server.data().join("keys.secret")).expect("the secret");
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!text.contains(&digits), "the secret is in an export only where that is asked for");
}

#[test]
fn a_killed_import_is_no_first_start_and_can_be_repeated() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let thng = rest.thng();
    rest.put(&format!("/thngs/{thng}/properties/k"), json!([{"value": 89}])).assert_status(200);
    let files = folder();
    let path = files.path().join("export");
    assert_eq!(server.administer(&["export", "--with-secret", path.to_str().expect("text")]).printed(), "");
    let data = folder();
    let arguments = ["import".as_ref(), path.as_os_str(), "--data".as_ref(), data.path().as_os_str()];
    run_killed(arguments, 8);
    assert!(data.path().join("thng-pubsub.db.part").exists());
    let ended = Launch::new().refused_in(data.path());
    assert!(ended.stderr.contains("thng-pubsub.db.part") && ended.stderr.contains("again"), "{ended:?}");
    run(arguments).printed();
    let moved = Launch::new().start_in(data);
    assert_eq!(moved.rest().get(&format!("/thngs/{thng}/properties/k")).expect(200)[0]["value"], 89);
}

#[test]
fn an_export_without_secret_needs_that_of_its_server() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let thng = rest.thng();
    let device = rest.device(&thng);
    let lines = exported(&server, &[]);
    let secret = server.data().join("keys.secret");

    let data = folder();
    assert!(import(&lines, data.path()).stderr.contains("keys.secret"));
    assert!(Launch::new().refused_in(data.path()).stderr.contains("keys.secret is missing"));
    fs::copy(&secret, data.path().join("keys.secret")).expect("a copy");
    let moved = Launch::new().start_in(data);
    assert_eq!(moved.rest().device(&thng).key, device.key, "a key that is shown again is the same");

    let file = folder();
    let path = file.path().join("export");
    fs::write(&path, lines.join("\n") + "\n").expect("a file");
    let with_secret = |secret: &Path, data: &Path| {
        run([
            "import".as_ref(),
            path.as_os_str(),
            "--secret".as_ref(),
            secret.as_os_str(),
            "--data".as_ref(),
            data.as_os_str(),
        ])
    };
    let other = file.path().join("other.secret");
    fs::write(&other, [7; 32]).expect("a file");
    let data = folder();
    let refusal = with_secret(&other, data.path()).refusal();
    assert!(refusal.contains("another database"), "{refusal}");
    with_secret(&secret, data.path()).printed();
    let moved = Launch::new().start_in(data);
    assert_eq!(moved.rest().device(&thng).key, device.key);
}

#[test]
fn a_cut_changed_or_unknown_line_is_refused_without_traces() {
    let server = Launch::new().start();
    let mut rest = server.rest();
    let thng = rest.thng();
    rest.put(&format!("/thngs/{thng}/properties"), json!([{"key": "k", "value": 1}])).assert_status(200);
    let lines = exported(&server, &["--with-secret"]);
    let at =
        |kind: &str| lines.iter().position(|line| line.starts_with(&format!("{{\"{kind}\":"))).expect(kind);
    let without = |line: usize| [&lines[..line], &lines[line + 1..]].concat();
    let changed = |line: usize, from: &str, to: &str| {
        let mut lines = lines.clone();
        assert!(lines[line].contains(from), "{} has no {from}", lines[line]);
        lines[line] = lines[line].replace(from, to);
        lines
    };
    let number = |line: usize| format!("line {}:", line + 1);
    let (event, last) = (at("event"), lines.len() - 1);
    let mut cases = vec![
        (Vec::new(), number(0), "begins with"),
        (lines[1..].to_vec(), number(0), "begins with"),
        (lines[..last].to_vec(), number(last), "cut off"),
        (changed(0, "\"version\":1", "\"version\":2"), number(0), "form 2"),
        (changed(0, "thng-pubsub-export", "another-export"), number(0), "no export"),
        (changed(event, "\"sequence\":1,", "\"sequence\":0,"), number(event), "sequence"),
        (changed(event, "\"body\":\"{", "\"body\":\"[{"), number(event), "JSON"),
        (changed(event, "{\"event\"", "{\"evnet\""), number(event), "column"),
        (changed(event, "\"part\":0", "\"part\":0,\"more\":1"), number(event), "column"),
        (changed(at("key"), "\"hash\":\"", "\"hash\":\"z"), number(at("key")), "hash"),
        (changed(at("resource"), "\"document\":", "\"document\":9"), number(at("resource")), ""),
        (without(at("account")), number(at("account")), "no account"),
        (without(at("series")), String::new(), "no series"),
        (without(event), String::new(), ""),
        ([&lines[..=event], &lines[event..]].concat(), number(event + 1), "once"),
        ([&lines[..], &lines[last..]].concat(), number(last + 1), "after the last"),
        (without(lines.len() - 2), String::new(), "missing"),
    ];
    // Nothing but whole lines is taken, wherever it ends.
    for line in [at("note"), event, last] {
        let mut cut = lines[..=line].to_vec();
        let half = cut[line].len() / 2;
        cut[line].truncate(half);
        cases.push((cut, number(line), ""));
    }
    let parent = folder();
    for (number, (bad, says_where, says_what)) in cases.iter().enumerate() {
        let data = parent.path().join(number.to_string());
        let refusal = import(bad, &data).refusal();
        assert!(refusal.contains(says_where) && refusal.contains(says_what), "case {number}: {refusal}");
        assert!(!refusal.contains(&thng), "no value is repeated: {refusal}");
        assert!(!data.exists(), "case {number}: no folder stays");
        import(&lines, &data).printed();
    }
    let text = lines.join("\n");
    for bytes in [text.len() / 2, text.len() - 1, text.len()] {
        let data = parent.path().join(format!("cut at {bytes}"));
        let cut = text.as_bytes()[..bytes].to_vec();
        let refusal = run_with(["import".as_ref(), "--data".as_ref(), data.as_os_str()], cut).refusal();
        assert!(refusal.contains("cut off"), "{refusal}");
    }
    let mut whole = lines.join("\n");
    whole.push('\n');
    whole.insert_str(whole.find('\n').expect("a line") + 1, &"x".repeat(17 << 20));
    let data = parent.path().join("endless");
    let endless =
        run_with(["import".as_ref(), "--data".as_ref(), data.as_os_str()], whole.into_bytes()).refusal();
    assert!(endless.contains("line 2: it is longer"), "{endless}");
}

#[test]
fn an_import_goes_into_an_empty_folder_only() {
    let server = Launch::new().start();
    let lines = exported(&server, &[]);
    let refusal = import(&lines, server.data()).refusal();
    assert!(refusal.contains("another server has it open"), "{refusal}");
    let other = folder();
    fs::write(other.path().join("notes"), "mine").expect("a file");
    let refusal = import(&lines, other.path()).refusal();
    assert!(refusal.contains("not empty"), "{refusal}");
    assert_eq!(fs::read_dir(other.path()).expect("a folder").count(), 1, "what was there");
}

/// What was stored before such documents were refused.
#[test]
fn stored_names_that_come_twice_stay_readable_and_removable() {
    let server = Server::start();
    let mut rest = server.rest();
    let marker = r#"{"marker":1}"#;
    let body = format!(r#"{{"name":"n","customFields":{marker},"identifiers":{{"k":"1"}}}}"#);
    let created = rest.post("/thngs", body.as_str()).expect(201);
    let thng = format!("/thngs/{}", created["id"].as_str().expect("an id"));
    let value = format!(r#"[{{"value":{marker}}}]"#);
    rest.put(&format!("{thng}/properties/t"), value.as_str()).assert_status(200);
    let twice = |line: &String| {
        line.replace(r#"{\"marker\":1}"#, r#"{\"a\":1,\"a\":2}"#)
            .replace(r#"{\"k\":\"1\"}"#, r#"{\"k\":\"1\",\"k\":\"2\"}"#)
    };
    let lines: Vec<String> = exported(&server, &["--with-secret"]).iter().map(twice).collect();
    let data = folder();
    assert!(import(&lines, data.path()).status.success());
    let again =
        run(["export".as_ref(), "--with-secret".as_ref(), "--data".as_ref(), data.path().as_os_str()])
            .printed();
    let again: Vec<String> = again.lines().map(str::to_owned).collect();
    assert_eq!(records(&again), records(&lines));
    let other = Launch::new().start_in(data);
    let mut rest = other.rest();
    let shown = rest.get(&thng);
    shown.assert_status(200);
    assert!(shown.text().contains(r#""customFields":{"a":1,"a":2}"#), "{}", shown.text());
    assert!(shown.text().contains(r#""properties":{"t":{"a":1,"a":2}}"#), "{}", shown.text());
    for filter in ["customFields.a%3D2", "identifiers.k%3D2"] {
        let found = rest.get(&format!("/thngs?filter={filter}"));
        assert_eq!(found.expect(200).as_array().map(Vec::len), Some(1), "{filter}");
    }
    rest.put(&thng, json!({"name": "m"})).assert_status(200);
    rest.put(&thng, shown.text()).assert_status(400);
    rest.delete(&format!("{thng}/properties/t")).assert_status(200);
    rest.delete(&thng).assert_status(200);
    rest.get(&thng).assert_status(404);
}
