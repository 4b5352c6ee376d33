//! Application users: anonymous and named, validated, logged in and out; what they see of themselves and of others;
//! and that no answer ever shows a password.

use serde_json::{Value, json};
use thng_pubsub_tests::keys::{text, unique, unique_email};
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{Application, Launch, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";
const PASSWORD: &str = "Correct-Horse-Battery-1";

/// An application of a new project, and clients with its public key and its secret key.
struct App {
    project: String,
    application: Application,
    public: Rest,
    trusted: Rest,
}

impl App {
    #[track_caller]
    fn new(server: &Server) -> App {
        let mut rest = server.rest();
        let project = rest.project();
        let application = rest.application(&project);
        let public = server.rest_as(&application.public_key);
        let trusted = server.rest_as(&application.secret_key);
        App { project, application, public, trusted }
    }

    /// The ids of `GET /users` of the project, as this client sees them.
    #[track_caller]
    fn listed(&self, rest: &mut Rest) -> Vec<String> {
        let users = rest.get(&format!("/users?project={}", self.project)).expect(200);
        users.as_array().expect("an array").iter().map(|user| text(user, "id")).collect()
    }
}

#[track_caller]
fn assert_key(document: &Value, field: &str) {
    let key = document[field].as_str().unwrap_or_default();
    assert!(key.len() == 80 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{field} in {document}");
}

#[test]
fn an_anonymous_user_has_a_key_and_is_not_listed() {
    let server = Server::shared();
    let (mut app, mut rest) = (App::new(server), server.rest());
    let answer = app.public.post("/auth/evrythng/users?anonymous=true", json!({}));
    let created = answer.expect(201);
    assert_eq!(created["status"], "anonymous");
    assert_key(&created, "evrythngApiKey");
    assert!(created.get("activationCode").is_none(), "{created}");
    let (id, key) = (text(&created, "evrythngUser"), text(&created, "evrythngApiKey"));
    // Small clients send nothing at all.
    let bodiless = app.public.send(
        "POST",
        "/auth/evrythng/users?anonymous=true",
        &[("Authorization", &app.application.public_key)],
        None,
    );
    assert_ne!(bodiless.expect(201)["evrythngUser"], *id);
    // A user's own fields are kept, except an address that was not verified.
    let sent = json!({"firstName": "Nobody", "email": unique_email()});
    let third = app.public.post("/auth/evrythng/users?anonymous=true", sent).expect(201);
    let third = rest.get(&format!("/users/{}", text(&third, "evrythngUser"))).expect(200);
    assert_eq!((&third["firstName"], third.get("email")), (&json!("Nobody"), None));

    let mut user = server.rest_as(&key);
    let access = user.get("/access").expect(200);
    assert_eq!(access["actor"], json!({"type": "userInApp", "id": id}));
    assert_eq!((&access["project"], &access["app"]), (&json!(app.project), &json!(app.application.id)));
    let read = user.get(&format!("/users/{id}")).expect(200);
    assert_eq!((&read["project"], &read["app"]), (&json!(app.project), &json!(app.application.id)));
    assert_eq!(rest.get(&format!("/users/{id}")).expect(200), read);
    assert_eq!(app.trusted.get(&format!("/users/{id}")).expect(200), read);

    let named = app.public.named_user(&unique_email(), PASSWORD);
    let mut trusted = server.rest_as(&app.application.secret_key);
    for who in [&mut rest, &mut trusted] {
        assert_eq!(app.listed(who), [&*named.id], "anonymous users are not listed");
        let counted = who.get(&format!("/users?project={}&withTotalCount=true", app.project));
        assert_eq!(counted.header("x-result-count"), Some("1"));
    }

    // An operator manages anonymous users by their ids.
    let path = format!("/users/{id}");
    let updated = rest.put(&path, json!({"firstName": "A", "customFields": {"a": 1}})).expect(200);
    assert_eq!((&updated["firstName"], &updated["customFields"]), (&json!("A"), &json!({"a": 1})));
    assert_ne!(updated["updatedAt"], updated["createdAt"]);
    let deleted = rest.delete(&path);
    deleted.assert_status(200);
    assert!(deleted.body.is_empty());
    rest.get(&path).assert_status(404);
    user.get("/access").assert_status(403);
}

#[test]
fn a_named_user_is_created_validated_and_logged_in_and_out() {
    let server = Server::shared();
    let (mut app, mut rest) = (App::new(server), server.rest());
    let email = unique_email();
    let sent = json!({"email": email, "password": PASSWORD, "firstName": "Ada", "lastName": "L"});
    let created = app.public.post("/auth/evrythng/users", sent).expect(201);
    assert_eq!((&created["status"], &created["email"]), (&json!("inactive"), &json!(email)));
    assert!(created.get("evrythngApiKey").is_none(), "not before the code was shown: {created}");
    let (id, code) = (text(&created, "evrythngUser"), text(&created, "activationCode"));
    let credentials = json!({"email": email, "password": PASSWORD});
    app.public.post("/auth/evrythng", credentials.clone()).assert_status(401);
    assert_eq!(rest.get(&format!("/users/{id}/status")).expect(200)["activated"], false);

    let validate = format!("/auth/evrythng/users/{id}/validate");
    for wrong in [
        json!({"activationCode": code.to_uppercase()}),
        json!({"activationCode": ""}),
        json!({"activationCode": null}),
        json!({"activationCode": 1}),
        json!({}),
    ] {
        let answer = app.public.post(&validate, wrong.clone());
        assert_eq!(answer.status, 400, "{wrong}");
    }
    app.public
        .post(&format!("/auth/evrythng/users/{UNKNOWN}/validate"), json!({"activationCode": code}))
        .assert_status(404);
    app.public.post("/auth/evrythng", credentials.clone()).assert_status(401);
    let validated = app.public.post(&validate, json!({"activationCode": code})).expect(201);
    assert_eq!((&validated["status"], &validated["evrythngUser"]), (&json!("active"), &json!(id)));
    assert_key(&validated, "evrythngApiKey");
    let key = text(&validated, "evrythngApiKey");
    let status = rest.get(&format!("/users/{id}/status")).expect(200);
    assert_eq!(status["activated"], true);
    assert!(status["activationDate"].is_u64(), "{status}");

    let logged_in = app.public.post("/auth/evrythng", credentials.clone()).expect(201);
    let expected = json!({
        "evrythngUser": id, "evrythngApiKey": key, "email": email, "status": "active", "socialNetwork": "evrythng",
    });
    assert_eq!(logged_in, expected, "the key of validate, not another one");
    let login = app.trusted.post("/users/login", credentials.clone()).expect(200);
    assert_eq!(
        (&login["id"], &login["firstName"], &login["email"]),
        (&json!(id), &json!("Ada"), &json!(email))
    );
    let access = &login["access"];
    assert_eq!(access["apiKey"], *key);
    assert_eq!((&access["project"], &access["app"]), (&json!(app.project), &json!(app.application.id)));
    assert_eq!((&access["user"], &access["actor"]["id"]), (&json!(id), &json!(id)));
    assert_eq!(access["actor"]["type"], "userInApp");

    let mut user = server.rest_as(&key);
    user.get("/thngs").assert_status(200);
    let headers = [("Authorization", &*key), ("Content-Type", "application/json")];
    let logged_out = user.send("POST", "/auth/all/logout", &headers, None);
    assert_eq!(logged_out.expect(201), json!({"logout": "ok"}));
    for path in ["/access", "/thngs", &format!("/users/{id}")] {
        user.get(path).assert_status(403);
    }
    user.send("POST", "/auth/all/logout", &headers, None).assert_status(403);

    let again = text(&app.public.post("/users/login", credentials).expect(200)["access"], "apiKey");
    assert_ne!(again, key, "the old key stays what it is: nobody's");
    server.rest_as(&again).get("/access").assert_status(200);
    user.get("/access").assert_status(403);
}

#[test]
fn a_wrong_password_address_or_application_cannot_log_in() {
    let server = Server::shared();
    let mut app = App::new(server);
    let email = unique_email();
    let user = app.public.named_user(&email, PASSWORD);
    let mut elsewhere = App::new(server);
    for route in ["/auth/evrythng", "/users/login"] {
        for (who, password) in [
            (email.clone(), PASSWORD.to_lowercase()),
            (email.clone(), format!("{PASSWORD} ")),
            (email.clone(), String::new()),
            (email.clone(), "x".repeat(10_000)),
            (unique_email(), PASSWORD.to_owned()),
            (String::new(), PASSWORD.to_owned()),
        ] {
            let answer = app.public.post(route, json!({"email": who, "password": password}));
            assert_eq!(answer.status, 401, "{route} {who} {}", answer.text());
        }
        let fitting = json!({"email": email, "password": PASSWORD});
        elsewhere.public.post(route, fitting.clone()).assert_status(401);
        for incomplete in [json!({"email": email}), json!({"password": PASSWORD}), json!({}), json!([])] {
            app.public.post(route, incomplete).assert_status(400);
        }
        let in_other_letters = json!({"email": email.to_uppercase(), "password": PASSWORD});
        for right in [fitting, in_other_letters] {
            assert!(matches!(app.public.post(route, right).status, 200 | 201), "{route}");
        }
    }
    server.rest_as(&user.key).get("/access").assert_status(200);
}

#[test]
fn an_address_is_unique_in_an_application_whatever_its_case() {
    let server = Server::shared();
    let mut app = App::new(server);
    let email = unique_email();
    let create = |rest: &mut Rest, email: &str| {
        rest.post("/auth/evrythng/users", json!({"email": email, "password": PASSWORD})).status
    };
    assert_eq!(create(&mut app.public, &email), 201);
    assert_eq!(create(&mut app.public, &email), 409, "also before it was validated");
    assert_eq!(create(&mut app.trusted, &email.to_uppercase()), 409);
    assert_eq!(create(&mut App::new(server).public, &email), 201, "another application has users of its own");
    let mut rest = server.rest();
    let user = app.listed(&mut rest);
    rest.delete(&format!("/users/{}", user[0])).assert_status(200);
    assert_eq!(create(&mut app.public, &email), 201, "who is gone has no address");
}

#[test]
fn addresses_and_passwords_have_bounds_with_clear_errors() {
    let server = Server::shared();
    let mut app = App::new(server);
    for (password, status) in [
        ("x".repeat(7), 400),
        ("x".repeat(8), 201),
        ("x".repeat(64), 201),
        ("x".repeat(65), 400),
        ("\u{fc}".repeat(64), 201),
        (String::new(), 400),
    ] {
        let email = unique_email();
        let answer = app.public.post("/auth/evrythng/users", json!({"email": email, "password": password}));
        assert_eq!(answer.status, status, "{} characters: {}", password.chars().count(), answer.text());
        assert!(!answer.text().contains("xxxxxxx"), "a password is not repeated: {}", answer.text());
    }
    let mut faults = |document: Value| {
        let refusal = app.public.post("/auth/evrythng/users", document).expect(400);
        refusal["errors"].as_array().cloned().unwrap_or_default().len()
    };
    assert_eq!(faults(json!({})), 2, "email and password");
    assert_eq!(faults(json!({"email": unique_email()})), 1);
    for email in [json!("nobody"), json!("@"), json!(""), json!("a@".to_owned() + &"b".repeat(300)), json!(7)]
    {
        assert!(faults(json!({"email": email, "password": PASSWORD})) >= 1, "{email}");
    }
    assert!(app.listed(&mut server.rest()).len() == 3);
}

#[test]
fn two_users_never_have_one_address() {
    let server = Server::shared();
    let mut app = App::new(server);
    let email = unique_email();
    let _named = app.public.named_user(&email, PASSWORD);
    let mut register = |email: &str| {
        app.public.post("/auth/evrythng/users", json!({"email": email, "password": PASSWORD})).status
    };
    for same in [
        format!("{email} "),
        format!(" {email}"),
        format!("{email}\n"),
        format!("{email}\0"),
        format!("{email}\u{200b}"),
        format!("\u{feff}{email}"),
        format!("{email}\u{a0}"),
        email.replace('@', "@@"),
        email.replace('@', " @"),
        format!("{email}@example.com"),
        format!("{email}."),
        format!("<{email}>"),
    ] {
        assert_eq!(register(&same), 400, "{same:?}");
    }
    assert_eq!(register(&email.to_uppercase()), 409);
    let mut rest = server.rest();
    assert_eq!(app.listed(&mut rest).len(), 1);

    let accesses = format!("/accounts/{}/accesses", rest.account());
    let mut add = |email: &str| rest.post(&accesses, json!({"email": email, "role": "none"})).status;
    let operator = unique_email();
    assert_eq!(add(&operator), 201);
    for same in
        [format!("{operator} "), format!("{operator}\n"), format!("{operator}."), format!("<{operator}>")]
    {
        assert_eq!(add(&same), 400, "{same:?}");
    }
    assert_eq!(add(&operator.to_uppercase()), 409);
}

#[test]
fn users_belong_to_an_application_and_not_to_operators() {
    let server = Server::shared();
    let mut rest = server.rest();
    let named = json!({"email": unique_email(), "password": PASSWORD});
    for (path, document) in [
        ("/auth/evrythng/users", named.clone()),
        ("/auth/evrythng/users?anonymous=true", json!({})),
        ("/auth/evrythng", named.clone()),
        ("/users/login", named),
    ] {
        rest.post(path, document).assert_status(400);
    }
}

#[test]
fn a_user_sees_and_changes_only_themselves() {
    let server = Server::shared();
    let mut app = App::new(server);
    let email = unique_email();
    let ada = app.public.named_user(&email, PASSWORD);
    let others = [
        app.public.named_user(&unique_email(), PASSWORD),
        app.public.anonymous_user(),
        App::new(server).public.anonymous_user(),
    ];
    let mut own = server.rest_as(&ada.key);
    let path = format!("/users/{}", ada.id);
    let read = own.get(&path).expect(200);
    assert_eq!((&read["id"], &read["email"]), (&json!(ada.id), &json!(email)));
    let update = json!({
        "firstName": "Grace", "city": "Zurich", "customFields": {"a": 1}, "email": unique_email(),
        "project": UNKNOWN, "app": UNKNOWN, "id": UNKNOWN, "createdAt": 1,
    });
    let updated = own.put(&path, update).expect(200);
    for (field, value) in [
        ("firstName", json!("Grace")),
        ("city", json!("Zurich")),
        ("customFields", json!({"a": 1})),
        ("lastName", json!("L")),
        ("email", json!(email)),
        ("project", json!(app.project)),
        ("app", json!(app.application.id)),
        ("id", json!(ada.id)),
        ("createdAt", read["createdAt"].clone()),
    ] {
        assert_eq!(updated[field], value, "{field}");
    }
    assert_ne!(updated["updatedAt"], updated["createdAt"]);
    assert_eq!(own.get(&path).expect(200), updated);
    assert_eq!(own.get(&format!("{path}/status")).expect(200)["activated"], true);
    // Clients send the whole document back.
    own.put(&path, updated).assert_status(200);

    for other in &others {
        let theirs = format!("/users/{}", other.id);
        for status in [
            own.get(&theirs).status,
            own.get(&format!("{theirs}/status")).status,
            own.put(&theirs, json!({"firstName": "x"})).status,
            own.delete(&theirs).status,
        ] {
            assert!(matches!(status, 403 | 404), "{status}");
        }
    }
    own.get("/users").assert_status(403);
    own.delete(&path).assert_status(403);
    for other in &others[..2] {
        assert_eq!(app.trusted.get(&format!("/users/{}", other.id)).expect(200).get("city"), None);
    }
    app.trusted.get(&format!("/users/{}", others[2].id)).assert_status(404);
}

#[test]
fn a_user_changed_by_others_keeps_key_and_password() {
    let server = Server::shared();
    let (mut app, mut rest) = (App::new(server), server.rest());
    let email = unique_email();
    let ada = app.public.named_user(&email, PASSWORD);
    rest.put(&format!("/users/{}", ada.id), json!({"firstName": "Grace", "password": "another password"}))
        .assert_status(200);
    app.trusted.put(&format!("/users/{}", ada.id), json!({"firstName": "x"})).assert_status(403);
    let login = app.public.post("/users/login", json!({"email": email, "password": PASSWORD})).expect(200);
    assert_eq!((&login["access"]["apiKey"], &login["firstName"]), (&json!(ada.key), &json!("Grace")));
    server.rest_as(&ada.key).get("/access").assert_status(200);
}

#[test]
fn users_are_found_by_address_name_and_application() {
    let server = Server::shared();
    let (mut app, mut rest) = (App::new(server), server.rest());
    let second = rest.application(&app.project);
    let emails = [unique_email(), unique_email()];
    let ada = app.public.named_user(&emails[0], PASSWORD);
    let grace = server.rest_as(&second.public_key).named_user(&emails[1], PASSWORD);
    let mut found = |query: String| -> Vec<String> {
        let users = rest.get(&format!("/users?project={}&{query}", app.project)).expect(200);
        users.as_array().expect("an array").iter().map(|user| text(user, "id")).collect()
    };
    for (query, expected) in [
        (String::new(), vec![&grace.id, &ada.id]),
        (format!("filter=email={}", emails[0]), vec![&ada.id]),
        ("filter=firstName=Ada".to_owned(), vec![&grace.id, &ada.id]),
        ("filter=lastName=Nobody".to_owned(), vec![]),
        (format!("app={}", second.id), vec![&grace.id]),
        (format!("app={}", app.application.id), vec![&ada.id]),
        (format!("ids={},{}", ada.id, UNKNOWN), vec![&ada.id]),
    ] {
        assert_eq!(found(query.clone()).iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[test]
fn an_applications_role_narrows_its_users_at_once() {
    let server = Server::shared();
    let (mut app, mut rest) = (App::new(server), server.rest());
    let user = app.public.anonymous_user();
    let role = rest.id_of("/roles", json!({"name": unique("readers"), "type": "userInApp"}));
    let permissions = format!("/roles/{role}/permissions");
    rest.put(&permissions, json!([{"path": "/thngs", "access": "r"}])).assert_status(200);
    let path = format!("/projects/{}/applications/{}", app.project, app.application.id);
    let mut own = server.rest_as(&user.key);
    let new = || json!({"name": "n"});
    let thng = own.id_of("/thngs", new());
    own.get("/products").assert_status(200);

    let updated = rest.put(&path, json!({"defaultRole": role})).expect(200);
    assert_eq!(updated["defaultRole"], *role);
    // The next call of a key that is in use already, and of a new one.
    let newcomer = app.public.anonymous_user();
    for key in [&user.key, &newcomer.key] {
        let mut own = server.rest_as(key);
        own.get("/thngs").assert_status(200);
        own.post("/thngs", new()).assert_status(403);
        own.put(&format!("/thngs/{thng}"), new()).assert_status(403);
        own.put(&format!("/thngs/{thng}/properties/k"), json!([{"value": 1}])).assert_status(403);
        own.get("/products").assert_status(403);
        own.get("/collections").assert_status(403);
        // The defaults are the same for all.
        own.get("/access").assert_status(200);
        own.get("/actions").assert_status(200);
    }
    own.get(&format!("/thngs/{thng}")).assert_status(200);
    own.put(&format!("/users/{}", user.id), json!({"firstName": "x"})).assert_status(200);

    rest.put(&permissions, json!([{"path": "/thngs", "access": "cru"}])).assert_status(200);
    own.post("/thngs", new()).assert_status(201);
    own.get("/products").assert_status(403);
    rest.put(&path, json!({"defaultRole": "base_app_user"})).assert_status(200);
    own.get("/products").assert_status(200);

    // Of a role that is gone nothing is left but the defaults.
    rest.put(&path, json!({"defaultRole": role})).assert_status(200);
    rest.delete(&format!("/roles/{role}")).assert_status(200);
    own.get("/thngs").assert_status(403);
    own.get("/access").assert_status(200);
    let headers = [("Authorization", &*user.key)];
    own.send("POST", "/auth/all/logout", &headers, None).assert_status(201);
}

#[test]
fn no_document_or_log_shows_passwords_hashes_or_codes() {
    const SECRET: &str = "Zq7!secret-Horse-77";
    const WRONG: &str = "Yw8!wrong-Horse-88";
    let mut server = Launch::new().flag("--log", "trace").start();
    let (mut app, mut rest) = (App::new(&server), server.rest());
    let email = unique_email();
    let created = app
        .public
        .post("/auth/evrythng/users", json!({"email": email, "password": SECRET, "customFields": {}}))
        .expect(201);
    let (id, code) = (text(&created, "evrythngUser"), text(&created, "activationCode"));
    let mut shown = vec![rest.get(&format!("/users/{id}")), rest.get(&format!("/users/{id}/status"))];
    let validated = app
        .public
        .post(&format!("/auth/evrythng/users/{id}/validate"), json!({"activationCode": code}))
        .expect(201);
    let mut user = server.rest_as(&text(&validated, "evrythngApiKey"));
    let path = format!("/users/{id}");
    for route in ["/auth/evrythng", "/users/login"] {
        shown.push(app.public.post(route, json!({"email": email, "password": SECRET})));
        shown.push(app.public.post(route, json!({"email": email, "password": WRONG})));
    }
    shown.extend([
        app.public.post("/auth/evrythng/users", json!({"email": email, "password": SECRET})),
        app.public.post("/auth/evrythng/users", json!({"email": "nobody", "password": SECRET})),
        app.public.post("/auth/evrythng/users", format!("{{\"password\":\"{SECRET}\",")),
        user.get(&path),
        user.put(&path, json!({"firstName": "Ada", "password": SECRET})),
        user.get(&format!("{path}?withScopes=true")),
        app.trusted.get(&path),
        app.trusted.get("/users"),
        rest.get("/users"),
        rest.get(&path),
        rest.get(&format!("/users?filter=email={email}")),
    ]);
    for answer in &shown {
        let answer = answer.text();
        for secret in [SECRET, WRONG, &code, "argon2", "\"password\"", "activationCode", "activation\""] {
            assert!(!answer.contains(secret), "{secret} in {answer}");
        }
    }
    rest.get("/users?filter=password=x").assert_status(400);

    server.terminate();
    let log = until("the last line was read", || Some(server.log()).filter(|log| log.contains(": stopped")));
    assert!(log.contains(" DEBUG "), "the log says what it can");
    for secret in [SECRET, WRONG] {
        let bytes = format!("{:?}", secret.as_bytes());
        for part in [&secret[..8], &secret[secret.len() - 8..], bytes.trim_matches(['[', ']'])] {
            assert_eq!(log.lines().find(|line| line.contains(part)), None, "a password stands in the log");
        }
    }
    for part in [&*code, "argon2id$", &text(&validated, "evrythngApiKey")] {
        assert_eq!(log.lines().find(|line| line.contains(part)), None, "a secret stands in the log");
    }
}

#[test]
fn a_password_is_not_in_the_files_of_the_server_either() {
    const SECRET: &str = "Xv5?kept-nowhere-55";
    let mut server = Server::start();
    let mut app = App::new(&server);
    let email = unique_email();
    let ada = app.public.named_user(&email, SECRET);
    server.terminate();
    let mut folders = vec![server.data().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let content = std::fs::read(&entry).expect("a file of the server");
            for secret in [SECRET, &ada.key] {
                let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{} holds {secret} in clear", entry.display());
            }
        }
    }
    let server = server.restart();
    let mut public = server.rest_as(&app.application.public_key);
    let login = public.post("/users/login", json!({"email": email, "password": SECRET})).expect(200);
    assert_eq!(login["access"]["apiKey"], *ada.key);
}

#[test]
fn an_array_is_refused_as_credentials_or_code() {
    let server = Server::shared();
    let mut app = App::new(server);
    let email = unique_email();
    let created = app.public.create("/auth/evrythng/users", json!({"email": email, "password": PASSWORD}));
    let validate = format!("/auth/evrythng/users/{}/validate", text(&created, "evrythngUser"));
    app.public.post(&validate, json!([created["activationCode"]])).assert_status(400);
    app.public.post(&validate, json!({"activationCode": created["activationCode"]})).assert_status(201);
    for route in ["/auth/evrythng", "/users/login"] {
        app.public.post(route, json!([email, PASSWORD])).assert_status(400);
    }
    app.public.post("/auth/evrythng/users", json!([unique_email(), PASSWORD])).assert_status(400);
}
