//! Every route, tried by those whom it is none of their business: operators of another account, and every kind of key
//! of another project of the same account. Generated over the table of routes, so that a new route is tried as well.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::router::{Shape, Verb, table};
use crate::{http, testing};
use thng_pubsub_broker::{Services, testing::TestBroker};

/// The REST transport of a broker with two accounts.
struct World {
    router: Router,
    _data: tempfile::TempDir,
}

/// What was answered.
struct Answer {
    status: StatusCode,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.body))
    }

    fn id(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("{field} in {}", self.body)).to_owned()
    }
}

impl World {
    async fn open() -> Self {
        let TestBroker { pubsub, resources, identity, client_events, metrics, data, .. } =
            TestBroker::open().await;
        let services = Services { pubsub, resources, identity, client_events };
        let context = testing::context(services, metrics);
        Self { router: http::router(Arc::new(context)), _data: data }
    }

    async fn call(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "localhost")
            .header("authorization", key)
            .header("content-type", "application/json")
            .body(body)
            .expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("a router never fails");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { status, body: String::from_utf8(body.to_vec()).expect("text") }
    }

    async fn create(&self, key: &str, path: &str, body: Value) -> Answer {
        let answer = self.call(key, "POST", path, Some(&body)).await;
        assert!(answer.status.is_success(), "POST {path}: {} {}", answer.status, answer.body);
        answer
    }
}

/// Everything that a project can have, by the name of its parameter in a path.
struct Estate {
    ids: BTreeMap<&'static str, String>,
    /// Keys of this project: what they are called, and the keys.
    keys: Vec<(&'static str, String)>,
}

/// The operator's key of the first account, and of the second.
fn operator(letter: &str) -> String {
    letter.repeat(80)
}

async fn build(world: &World, name: &str) -> Estate {
    let owner = operator("a");
    let mut ids = BTreeMap::new();
    let named = json!({"name": name, "identifiers": {"serial": name}, "tags": [name]});
    let project = world.create(&owner, "/projects", named.clone()).await.id("id");
    let scoped = |path: &str| format!("{path}?project={project}");
    let applications = format!("/projects/{project}/applications");
    let application = world.create(&owner, &applications, json!({"name": name, "socialNetworks": {}})).await;
    let app = application.id("id");
    let public = application.id("appApiKey");
    let secret = world.call(&owner, "GET", &format!("{applications}/{app}/secretKey"), None).await;
    let user = world.create(&public, "/auth/evrythng/users?anonymous=true", json!({})).await;
    for (kind, path) in [("product", "/products"), ("collection", "/collections"), ("place", "/places")] {
        ids.insert(kind, world.create(&owner, &scoped(path), named.clone()).await.id("id"));
    }
    let mut thng = named.clone();
    thng["product"] = ids["product"].clone().into();
    thng["collections"] = json!([ids["collection"]]);
    thng["properties"] = json!({"k": 1});
    thng["location"] = json!({"latitude": 1, "longitude": 2});
    ids.insert("thng", world.create(&owner, &scoped("/thngs"), thng).await.id("id"));
    let device = world.create(&owner, "/auth/evrythng/thngs", json!({"thngId": ids["thng"]})).await;
    world.create(&owner, &scoped("/actions"), json!({"name": format!("_{name}")})).await;
    let action = json!({"type": format!("_{name}"), "thng": ids["thng"]});
    ids.insert("action", world.create(&owner, "/actions/all", action).await.id("id"));
    ids.insert("batch", world.create(&owner, "/batches", named.clone()).await.id("id"));
    let role = world.create(&owner, "/roles", json!({"name": name, "type": "userInApp", "version": 2})).await;
    ids.insert("role", role.id("id"));
    let policy = json!({"name": name, "permissions": ["*:*"]});
    // `*` is no resource: what is granted is named.
    assert_eq!(world.call(&owner, "POST", "/accessPolicies", Some(&policy)).await.status, 400);
    let permissions: Vec<String> = [
        "thngs",
        "products",
        "collections",
        "places",
        "actions",
        "actionTypes",
        "projects",
        "users",
        "applications",
        "auth",
        "batches",
        "roles",
        "accessPolicies",
        "accessTokens",
        "accounts",
        "operators",
    ]
    .iter()
    .map(|resource| format!("{resource}:*"))
    .collect();
    let policy =
        world.create(&owner, "/accessPolicies", json!({"name": name, "permissions": permissions})).await;
    ids.insert("policy", policy.id("id"));
    let conditions = json!([format!("projects:{project}")]);
    let token = json!({"name": name, "policies": [ids["policy"]], "conditions": conditions});
    let token = world.create(&owner, "/accessTokens", token).await;
    ids.insert("token", token.id("id"));
    let access = world.call(&owner, "GET", "/access", None).await.json();
    ids.insert("account", access["account"].as_str().expect("an account").to_owned());
    ids.insert("operator", access["actor"]["id"].as_str().expect("an operator").to_owned());
    let accesses = format!("/accounts/{}/accesses", ids["account"]);
    let accesses = world.call(&owner, "GET", &accesses, None).await.json();
    ids.insert("access", accesses[0]["id"].as_str().expect("an access").to_owned());
    ids.insert("user", user.id("evrythngUser"));
    ids.insert("app", app);
    ids.insert("project", project);
    let keys = vec![
        ("application", public),
        ("trusted application", secret.id("secretApiKey")),
        ("user", user.id("evrythngApiKey")),
        ("device", device.id("thngApiKey")),
        ("access token", token.id("apiKey")),
    ];
    Estate { ids, keys }
}

/// The path of a route to what belongs to an estate, and whether it names something of it.
fn path_to(template: &str, estate: &Estate, name: &str) -> (String, bool) {
    let mut names_something = false;
    let mut before = "";
    let mut path = String::new();
    for segment in template.split('/').skip(1) {
        path.push('/');
        let Some(parameter) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            path.push_str(segment);
            before = segment;
            continue;
        };
        let id = match (before, parameter) {
            (_, "key") => "k",
            (_, "name") => "global_read",
            (_, "type") => {
                path.push_str(&format!("_{name}"));
                continue;
            }
            (_, "action") => &estate.ids["action"],
            (_, "task") => "UnobodysTask000000000000",
            ("accessTokens", _) => &estate.ids["token"],
            ("accessPolicies", _) => &estate.ids["policy"],
            ("accesses" | "operatorAccess", _) => &estate.ids["access"],
            ("applications", _) => &estate.ids["app"],
            ("users", _) => &estate.ids["user"],
            (plural, _) => match plural.strip_suffix("es").filter(|_| plural == "batches") {
                Some(_) => &estate.ids["batch"],
                None => &estate.ids[plural.trim_end_matches('s')],
            },
        };
        names_something = true;
        path.push_str(id);
    }
    (path, names_something)
}

/// A body that the route would take from a client with the right.
fn body_for(shape: Shape, estate: &Estate) -> Option<Value> {
    Some(match shape {
        Shape::Nothing => return None,
        Shape::Named("Ids") => json!([estate.ids["thng"]]),
        Shape::Named("PropertyWrites") => json!([{"key": "k", "value": 666}]),
        Shape::Named("LocationWrites") => json!([{"latitude": 66, "longitude": 66}]),
        Shape::Named("ActionWrites") => json!({"tags": ["666"]}),
        Shape::Named("Redirector") => json!({"rules": [{"match": "666"}]}),
        Shape::Named("DeviceKeyWrite") => json!({"thngId": estate.ids["thng"]}),
        Shape::Named("Activation") => json!({"activationCode": "666"}),
        Shape::Named("Permissions") => json!([]),
        Shape::Named("OperatorPermission") => json!({"name": "global_read", "enabled": true}),
        Shape::Named("Credentials") => json!({"email": "six@example.org", "password": "66666666"}),
        Shape::Named("NewUser") => json!({}),
        Shape::Many(_) | Shape::Named(_) => json!({}),
        Shape::One(_) => json!({
            "name": "_666", "description": "666", "email": "six@example.org", "socialNetworks": {},
            "permissions": ["thngs:read"], "policies": [], "type": "POPULATING",
            "inputParameters": {"type": "FIXED_AMOUNT", "quantity": 1, "thngTemplate": {"name": "666"}},
        }),
    })
}

/// Everything that there is of an estate, as its owner reads it.
async fn inventory(world: &World, estate: &Estate, name: &str) -> BTreeMap<String, Value> {
    let mut read = BTreeMap::new();
    for route in table().into_iter().filter(|route| route.verb == Verb::Get && route.path != "/time") {
        let (path, names_something) = path_to(route.path, estate, name);
        // Lists of the whole account grow by what the strangers make of their own.
        if !names_something || path.ends_with("/accesses") || path.ends_with("/operatorAccess") {
            continue;
        }
        for path in [path.clone(), format!("{path}?withScopes=true")] {
            let answer = world.call(&operator("a"), "GET", &path, None).await;
            read.insert(path, serde_json::from_str(&answer.body).unwrap_or(Value::Null));
        }
    }
    read
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Post => "POST",
        Verb::Put => "PUT",
        Verb::Delete => "DELETE",
    }
}

/// Tries every route on an estate with a key that has no business there; returns what it got through.
async fn intrude(
    world: &World,
    estate: &Estate,
    name: &str,
    who: &str,
    key: &str,
    own: &[String],
) -> Vec<String> {
    let mut found = Vec::new();
    let secrets: Vec<&String> = estate
        .ids
        .iter()
        .filter(|(kind, id)| !["account", "operator", "access", "role"].contains(kind) && !own.contains(*id))
        .map(|(_, id)| id)
        .collect();
    let everything: Vec<&str> = secrets.iter().map(|id| id.as_str()).collect();
    for route in table() {
        let (path, names_something) = path_to(route.path, estate, name);
        let ids = everything.join("%2C");
        let project = &estate.ids["project"];
        let filter = format!("name%3D{name}%7Ctags%3D{name}");
        for prefix in ["", "/v2"] {
            for query in [
                String::new(),
                format!("ids={ids}"),
                format!("filter={filter}&withScopes=true"),
                format!("project={project}&withTotalCount=true"),
            ] {
                let full = format!("{prefix}{path}?{query}");
                let method = verb(route.verb);
                let body = body_for(route.body, estate);
                let answer = world.call(key, method, &full, body.as_ref()).await;
                let what = format!("{who}: {method} {full}: {} {}", answer.status, answer.body);
                if answer.status.is_server_error() {
                    found.push(what);
                    continue;
                }
                // A client event repeats the path that the key itself asked for.
                let is_own_words = route.path == "/clientEvents";
                if !is_own_words && secrets.iter().any(|id| answer.body.contains(id.as_str())) {
                    found.push(what);
                } else if names_something && answer.status.is_success() {
                    // An account of one's own, and roles, are no secret within it.
                    let shared =
                        ["/accounts", "/roles", "/operators"].iter().any(|start| path.starts_with(start));
                    if who.starts_with("stranger") || !shared {
                        found.push(what);
                    }
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_below_an_invisible_parent_is_not_found() {
    let world = World::open().await;
    let (owner, stranger) = (operator("a"), operator("b"));
    for (parent, below) in [
        ("collections", "thngs"),
        ("collections", "collections"),
        ("collections", "actions/all"),
        ("projects", "applications"),
        ("batches", "tasks"),
        ("thngs", "clientEvents"),
    ] {
        let id = world.create(&owner, &format!("/{parent}"), json!({"name": "n"})).await.id("id");
        for query in ["", "?perPage=0", "?sortOrder=x", "?nextPageToken=x", "?page=x", "?ids=x", "?filter=x"]
        {
            let path = format!("/{parent}/{id}/{below}{query}");
            let answer = world.call(&stranger, "GET", &path, None).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.body);
        }
        let path = format!("/{parent}/{id}/{below}?perPage=0");
        let answer = world.call(&owner, "GET", &path, None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_reads_or_changes_anything_of_another_account() {
    let world = World::open().await;
    let estate = build(&world, "mine").await;
    let before = inventory(&world, &estate, "mine").await;
    assert!(before.len() > 80, "{}", before.len());
    let found = intrude(&world, &estate, "mine", "stranger", &operator("b"), &[]).await;
    assert!(found.is_empty(), "{} got through:\n{}", found.len(), found.join("\n"));
    assert_eq!(inventory(&world, &estate, "mine").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_reaches_another_project_with_any_key() {
    let world = World::open().await;
    let mine = build(&world, "mine").await;
    let theirs = build(&world, "theirs").await;
    let before = inventory(&world, &mine, "mine").await;
    for (who, key) in &theirs.keys {
        // What is of the whole account is not of a project: an access token that may manage it does.
        let of_account = ["batch", "role", "policy", "token"].map(|kind| mine.ids[kind].clone());
        if *who == "access token" {
            continue;
        }
        let found = intrude(&world, &mine, "mine", who, key, &of_account).await;
        assert!(found.is_empty(), "{} got through:\n{}", found.len(), found.join("\n"));
        assert_eq!(inventory(&world, &mine, "mine").await, before, "{who}");
    }
}
