//! Which kind of key may call which route: every operation of the OpenAPI document with every kind of key, held
//! against `rest/permissions.txt`, where people can read and review it.
//!
//! A request names only what does not exist, so that nothing is changed and nothing but the key decides. Where that is
//! forbidden, it is made once more with the actor's own id in the path: what only that allows is a mark of its own.
//! When a route is new or a grant has changed, the failure prints the line as it would be right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};
use thng_pubsub_tests::{Application, Keyed, Rest, Server};

/// An id that nothing has.
const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// The file that people review.
const TABLE: &str = include_str!("permissions.txt");

/// A kind of key: a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Operator,
    Application,
    TrustedApplication,
    User,
    Device,
    /// An access token with the permission `thngs:read,list`.
    ReadingToken,
    /// An access token with the built-in policy that grants everything.
    AdministratingToken,
    NoKey,
    UnknownKey,
}

/// The columns, in their order, each with what `x-api-keys` of the document calls the kind, if anything.
const KINDS: [(Kind, Option<&str>); 9] = [
    (Kind::Operator, Some("Operator")),
    (Kind::Application, Some("Application")),
    (Kind::TrustedApplication, Some("Trusted Application")),
    (Kind::User, Some("Application User")),
    (Kind::Device, Some("Device")),
    (Kind::ReadingToken, None),
    (Kind::AdministratingToken, Some("Access Token")),
    (Kind::NoKey, None),
    (Kind::UnknownKey, None),
];

/// What keys are made with.
struct Keyring<'s> {
    server: &'s Server,
    operator: Rest,
    application: Application,
    reading: Keyed,
    administrating: Keyed,
}

impl<'s> Keyring<'s> {
    fn new(server: &'s Server) -> Keyring<'s> {
        let mut operator = server.rest();
        let project = operator.project();
        let application = operator.application(&project);
        let reading = operator.access_token(&["thngs:read,list"], &[]);
        let token = json!({"name": "all", "policies": ["evt:accountAdmin"], "conditions": []});
        let token = operator.create("/accessTokens", token);
        let administrating = Keyed { id: string(&token, "id"), key: string(&token, "apiKey") };
        Keyring { server, operator, application, reading, administrating }
    }

    /// A key of this kind, and the id of its owner. Users and devices are new each time: some calls end them.
    fn key(&mut self, kind: Kind) -> (Option<String>, Option<String>) {
        let Application { id, public_key, secret_key } = self.application.clone();
        let (key, id) = match kind {
            Kind::Operator => {
                let access = self.operator.get("/access").expect(200);
                (self.server.key().to_owned(), string(&access["actor"], "id"))
            }
            Kind::Application => (public_key, id),
            Kind::TrustedApplication => (secret_key, id),
            Kind::User => {
                let Keyed { id, key } = self.server.rest_as(&public_key).anonymous_user();
                (key, id)
            }
            Kind::Device => {
                let thng = self.operator.thng();
                (self.operator.device(&thng).key, thng)
            }
            Kind::ReadingToken => (self.reading.key.clone(), self.reading.id.clone()),
            Kind::AdministratingToken => (self.administrating.key.clone(), self.administrating.id.clone()),
            Kind::NoKey => return (None, None),
            Kind::UnknownKey => return (Some("U".repeat(80)), None),
        };
        (Some(key), Some(id))
    }

    /// `-` for 403, `0` for 401, `+` for whatever else is answered; `s` for 403 but on the caller's own id.
    fn mark(&mut self, kind: Kind, method: &str, template: &str) -> char {
        let (key, own) = self.key(kind);
        let status = |id| {
            let path = filled(template, id);
            let mut headers = vec![("Content-Type", "application/json")];
            headers.extend(key.as_deref().map(|key| ("Authorization", key)));
            let body = matches!(method, "POST" | "PUT").then_some(&b"{}"[..]);
            let status = Rest::new(self.server.http(), None).send(method, &path, &headers, body).status;
            assert!(status < 500, "{status} on {method} {path} with a key of {kind:?}");
            status
        };
        match (status(UNKNOWN), own) {
            (401, _) => '0',
            (403, Some(own)) if template.contains("{id}") && status(&own) != 403 => 's',
            (403, _) => '-',
            _ => '+',
        }
    }
}

fn string(document: &Value, field: &str) -> String {
    document[field].as_str().unwrap_or_else(|| panic!("{field} in {document}")).to_owned()
}

/// The template with this in the place of `{id}`, and what does not exist in the places of all others.
fn filled(template: &str, id: &str) -> String {
    let segments = template.split('/').map(|segment| match segment {
        "{id}" => id,
        "{type}" => "_nosuchtype",
        "{key}" => "nosuchkey",
        "{name}" => "nosuchname",
        segment if segment.starts_with('{') => UNKNOWN,
        segment => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Every operation of the document: method and path, with what it says of who may call it.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let mut operations = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            operations.insert((path.clone(), method.to_uppercase()), operation.clone());
        }
    }
    operations
}

/// The lines of the table by path and method; everything behind `#` is for people.
fn table() -> BTreeMap<(String, String), String> {
    let mut lines = BTreeMap::new();
    for line in TABLE.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        let mut words = line.split_whitespace();
        let (Some(method), Some(path)) = (words.next(), words.next()) else { continue };
        let marks = words.collect::<Vec<_>>().join(" ");
        let before = lines.insert((path.to_owned(), method.to_owned()), marks);
        assert!(before.is_none(), "rest_permissions.txt has {method} {path} twice");
    }
    lines
}

fn line((path, method): &(String, String), marks: &str) -> String {
    format!("{method:<6} {path:<56} {marks}")
}

/// What every kind of key was answered on every route, with what the document says of the route.
fn observed(server: &Server) -> BTreeMap<(String, String), (Vec<char>, Value)> {
    let document = server.rest().get("/openapi.json").expect(200);
    let mut keyring = Keyring::new(server);
    let operations = operations(&document).into_iter();
    let all = operations.map(|(name, operation)| {
        let (path, method) = &name;
        let marks = KINDS.iter().map(|(kind, _)| keyring.mark(*kind, method, path)).collect();
        (name, (marks, operation))
    });
    all.collect()
}

#[test]
fn every_route_is_open_to_exactly_the_reviewed_kinds_of_keys() {
    let mut expected = table();
    let mut faults = String::new();
    for (name, (marks, _)) in observed(&Server::start()) {
        let shown = marks.iter().map(char::to_string).collect::<Vec<_>>().join(" ");
        match expected.remove(&name) {
            Some(known) if known == shown => {}
            Some(known) => {
                let _ = writeln!(faults, "was  {}\nis   {}", line(&name, &known), line(&name, &shown));
            }
            None => {
                let _ = writeln!(faults, "new  {}", line(&name, &shown));
            }
        }
    }
    for (name, known) in expected {
        let _ = writeln!(faults, "gone {}", line(&name, &known));
    }
    assert!(faults.is_empty(), "rest_permissions.txt does not agree with the server:\n{faults}");
}

#[test]
fn the_document_names_the_kinds_of_keys_of_each_operation() {
    let mut faults = String::new();
    for ((path, method), (marks, operation)) in observed(&Server::start()) {
        // An operation that needs no key does not say which keys.
        if operation["security"] == json!([]) {
            assert!(operation.get("x-api-keys").is_none(), "{method} {path}");
            assert!(marks.iter().all(|mark| *mark == '+'), "{method} {path}: {marks:?}");
            continue;
        }
        let said = operation["x-api-keys"].as_array();
        let said: BTreeSet<&str> = said.into_iter().flatten().filter_map(Value::as_str).collect();
        let open = KINDS.iter().zip(&marks).filter(|(_, mark)| matches!(mark, '+' | 's'));
        let found: BTreeSet<&str> = open.filter_map(|((_, name), _)| *name).collect();
        if said != found {
            let _ = writeln!(faults, "{method} {path}: x-api-keys says {said:?}, found {found:?}");
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn a_public_key_creates_scans_only_and_deletes_nothing() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let product = rest.id_of(&format!("/products?project={project}"), json!({"name": "p"}));
    rest.create(&format!("/actions?project={project}"), json!({"name": "_own"}));
    let application = rest.application(&project);
    let mut public = server.rest_as(&application.public_key);
    let scan = public.create("/actions/scans", json!({"product": product}));
    assert_eq!(scan["type"], "scans");
    assert_eq!((&scan["product"], &scan["createdByApp"]), (&json!(product), &json!(application.id)));
    assert_eq!(scan["createdByProject"], *project);
    let scan = string(&scan, "id");
    for (method, path) in [
        ("POST", "/actions/checkins".to_owned()),
        ("POST", "/actions/_own".to_owned()),
        ("POST", "/actions/all".to_owned()),
        ("POST", "/actions".to_owned()),
        ("POST", format!("/products/{product}/actions/scans")),
        ("GET", "/actions/scans".to_owned()),
        ("GET", "/actions/all".to_owned()),
        ("GET", format!("/actions/scans/{scan}")),
        ("DELETE", format!("/actions/scans/{scan}")),
    ] {
        let body = match method {
            "POST" => Some(&br#"{"type":"scans"}"#[..]),
            _ => None,
        };
        let answer = public.send(method, &path, &[("Authorization", &application.public_key)], body);
        assert_eq!(answer.status, 403, "{method} {path}");
    }
    rest.get(&format!("/actions/scans/{scan}")).assert_status(200);
}

#[test]
fn under_v2_the_same_keys_are_refused_the_same_things() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    for (key, path, status) in [
        (&application.public_key, "/thngs", 403),
        (&application.public_key, "/products", 200),
        (&application.secret_key, "/projects", 403),
        (&application.secret_key, "/thngs", 200),
        (&user.key, "/users", 403),
        (&user.key, &*format!("/users/{}", user.id), 200),
        (&user.key, "/roles", 200),
    ] {
        server.rest_as(key).get(path).assert_status(status);
        server.rest_as(key).get(&format!("/v2{path}")).assert_status(status);
    }
}

/// Bug class 23 of `docs/security.md`: `..` in ids and paths.
#[test]
fn escapes_and_extra_slashes_open_no_path() {
    let server = Server::shared();
    let mut rest = server.rest();
    let project = rest.project();
    let application = rest.application(&project);
    let mut public = server.rest_as(&application.public_key);
    let (user, other) = (public.anonymous_user(), public.anonymous_user());
    let thng = |rest: &mut Rest| rest.id_of(&format!("/thngs?project={project}"), json!({"name": "n"}));
    let (own_thng, other_thng) = (thng(&mut rest), thng(&mut rest));
    let device = rest.device(&own_thng);
    let escaped = |id: &str| format!("%{:02X}{}", id.as_bytes()[0], &id[1..]);
    for (who, key, method, path) in [
        ("the public key", &application.public_key, "POST", "/actions/%63heckins".to_owned()),
        ("the public key", &application.public_key, "POST", "/actions/%61ll".to_owned()),
        ("the public key", &application.public_key, "GET", "/%74hngs".to_owned()),
        ("the public key", &application.public_key, "GET", "//thngs".to_owned()),
        ("the public key", &application.public_key, "GET", "/products/../thngs".to_owned()),
        ("the public key", &application.public_key, "GET", "/products/%2e%2e/thngs".to_owned()),
        ("the public key", &application.public_key, "GET", "/v2/v2/thngs".to_owned()),
        ("the public key", &application.public_key, "GET", "/applications/me/%73ecretKey".to_owned()),
        ("the public key", &application.public_key, "POST", "/auth/evrythng/%74hngs".to_owned()),
        ("a user", &user.key, "GET", format!("/users/{}", escaped(&other.id))),
        ("a user", &user.key, "PUT", format!("/users/{}", escaped(&other.id))),
        ("a user", &user.key, "GET", format!("/users/{}%2F..%2F{}", user.id, other.id)),
        ("a user", &user.key, "DELETE", format!("/thngs/{}", escaped(&own_thng))),
        ("a device", &device.key, "GET", format!("/thngs/{}", escaped(&other_thng))),
        ("a device", &device.key, "PUT", format!("/thngs/{}", escaped(&other_thng))),
        ("a device", &device.key, "PUT", format!("/thngs/{own_thng}%2F..%2F{other_thng}")),
        ("a device", &device.key, "PUT", format!("/thngs/{own_thng}/../{other_thng}")),
        ("a device", &device.key, "DELETE", format!("/thngs/{own_thng}/properties/%6b")),
    ] {
        let body = matches!(method, "POST" | "PUT").then_some(&br#"{"type":"checkins","name":"mine"}"#[..]);
        let answer = server.rest_as(key).send(method, &path, &[("Authorization", key)], body);
        assert!(matches!(answer.status, 403 | 404), "{method} {path} by {who}: {}", answer.status);
    }
    assert_eq!(rest.get(&format!("/thngs/{other_thng}")).expect(200)["name"], "n");
    // Written in another way, one's own is one's own.
    server.rest_as(&user.key).get(&format!("/users/{}", escaped(&user.id))).assert_status(200);
    server.rest_as(&device.key).get(&format!("/thngs/{}", escaped(&own_thng))).assert_status(200);
}
