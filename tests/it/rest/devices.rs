//! Keys of thngs: issued once, shown again, revoked; and what a device does with its own.

use serde_json::{Value, json};
use thng_pubsub_tests::keys::{text, unique};
use thng_pubsub_tests::{Keyed, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";
const KEYS: &str = "/auth/evrythng/thngs";

/// A device whose thng is one of a product, in a project, and another thng of the same product and project.
struct Device {
    project: String,
    product: String,
    device: Keyed,
    other: String,
    /// A client with the device's key.
    own: Rest,
}

impl Device {
    #[track_caller]
    fn new(server: &Server) -> Device {
        let mut rest = server.rest();
        let project = rest.project();
        let product = rest.id_of(&format!("/products?project={project}"), json!({"name": "p"}));
        let thng = |rest: &mut Rest| {
            rest.id_of(&format!("/thngs?project={project}"), json!({"name": "t", "product": product}))
        };
        let (thng, other) = (thng(&mut rest), thng(&mut rest));
        let device = rest.device(&thng);
        let own = server.rest_as(&device.key);
        Device { project, product, device, other, own }
    }

    fn path(&self) -> String {
        format!("/thngs/{}", self.device.id)
    }
}

#[test]
fn a_key_is_issued_once_and_shown_again_as_the_same_document() {
    let mut rest = Server::shared().rest();
    let thng = rest.thng();
    let answer = rest.post(KEYS, json!({"thngId": thng}));
    let created = answer.expect(201);
    let location = answer.header("location").expect("201 has a Location");
    assert!(location.ends_with(&format!("{KEYS}/{thng}")), "{location}");
    assert_eq!(created["thngId"], *thng);
    assert_eq!(created.as_object().map(serde_json::Map::len), Some(2), "{created}");
    let key = text(&created, "thngApiKey");
    assert!(key.len() == 80 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
    for _ in 0..2 {
        assert_eq!(rest.post(KEYS, json!({"thngId": thng})).expect(201), created);
        assert_eq!(rest.get(&format!("{KEYS}/{thng}")).expect(200), created);
    }
    let another = rest.thng();
    assert_ne!(rest.device(&another).key, key);
    assert!(!rest.get(&format!("/thngs/{thng}")).text().contains(&key), "a thng's document shows no key");
}

#[test]
fn a_revoked_device_key_is_dead_and_its_successor_differs() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let path = format!("{KEYS}/{thng}");
    rest.get(&path).assert_status(404);
    rest.delete(&path).assert_status(404);
    let device = rest.device(&thng);
    let mut own = server.rest_as(&device.key);
    own.get("/access").assert_status(200);
    let deleted = rest.delete(&path);
    deleted.assert_status(200);
    assert!(deleted.body.is_empty());
    own.get("/access").assert_status(403);
    own.get(&format!("/thngs/{thng}")).assert_status(403);
    rest.get(&path).assert_status(404);
    rest.delete(&path).assert_status(404);
    rest.get(&format!("/thngs/{thng}")).assert_status(200);
    let next = rest.device(&thng);
    assert_ne!(next.key, device.key);
    server.rest_as(&next.key).get("/access").assert_status(200);
    own.get("/access").assert_status(403);
}

#[test]
fn only_a_thng_that_is_there_gets_a_key() {
    let mut rest = Server::shared().rest();
    let product = rest.id_of("/products", json!({"name": "p"}));
    for thng in [json!(UNKNOWN), json!(product)] {
        let status = rest.post(KEYS, json!({"thngId": thng})).status;
        assert!(matches!(status, 400 | 404), "{thng}: {status}");
    }
    for body in
        [json!({}), json!({"thngId": 7}), json!({"thngId": null}), json!({"thngId": "short"}), json!([])]
    {
        let answer = rest.post(KEYS, body.clone());
        assert_eq!(answer.status, 400, "{body}");
    }
    for id in [UNKNOWN, "short", &product] {
        rest.get(&format!("{KEYS}/{id}")).assert_status(404);
        rest.delete(&format!("{KEYS}/{id}")).assert_status(404);
    }
}

#[test]
fn a_deleted_thng_takes_its_key_with_it() {
    let server = Server::shared();
    let mut rest = server.rest();
    let one_by_one = {
        let thng = rest.thng();
        rest.device(&thng)
    };
    let together: Vec<Keyed> = (0..2)
        .map(|_| {
            let thng = rest.thng();
            rest.device(&thng)
        })
        .collect();
    let ids: Vec<&str> = together.iter().map(|device| &*device.id).collect();
    for (path, devices) in [
        (format!("/thngs/{}", one_by_one.id), vec![&one_by_one]),
        (format!("/thngs?ids={}", ids.join(",")), together.iter().collect()),
    ] {
        for device in &devices {
            server.rest_as(&device.key).get("/access").assert_status(200);
        }
        rest.delete(&path).assert_status(200);
        for device in devices {
            server.rest_as(&device.key).get("/access").assert_status(403);
            server.rest_as(&device.key).post("/actions/scans", json!({})).assert_status(403);
            rest.get(&format!("{KEYS}/{}", device.id)).assert_status(404);
        }
    }
}

#[test]
fn a_device_reads_and_changes_itself() {
    let server = Server::shared();
    let mut device = Device::new(server);
    let access = device.own.get("/access").expect(200);
    assert_eq!(access["actor"], json!({"type": "device", "id": device.device.id}));
    assert_eq!(access["account"], *server.rest().account());
    assert_eq!(access["project"], *device.project);
    let path = device.path();
    let read = device.own.get(&path).expect(200);
    assert_eq!((&read["id"], &read["product"]), (&json!(device.device.id), &json!(device.product)));
    let updated = device.own.put(&path, json!({"description": "by itself"})).expect(200);
    assert_eq!(updated["description"], "by itself");
    // Clients send the whole document back.
    device.own.put(&path, updated).assert_status(200);
    assert_eq!(server.rest().get(&path).expect(200)["description"], "by itself");
    // Of a list it sees itself, if it may ask for one at all.
    let listed = device.own.get("/thngs");
    assert!(listed.status == 403 || listed.json()[0]["id"] == *device.device.id, "{}", listed.text());
}

#[test]
fn a_device_writes_and_reads_its_properties_and_its_location() {
    let server = Server::shared();
    let mut device = Device::new(server);
    let path = device.path();
    let own = &mut device.own;
    own.put(&format!("{path}/properties"), json!([{"key": "a", "value": 1}, {"key": "b", "value": 2}]))
        .assert_status(200);
    own.put(&format!("{path}/properties/a"), json!([{"value": 3}])).assert_status(200);
    own.post(&format!("{path}/properties/c"), json!([{"value": 4}])).assert_status(200);
    let latest = own.get(&path).expect(200)["properties"].clone();
    assert_eq!(latest, json!({"a": 3, "b": 2, "c": 4}));
    let history = own.get(&format!("{path}/properties/a")).expect(200);
    assert_eq!((&history[0]["value"], &history[1]["value"]), (&json!(3), &json!(1)));
    assert_eq!(own.get(&format!("{path}/properties")).expect(200).as_array().map(Vec::len), Some(3));

    let position = json!({"type": "Point", "coordinates": [8.5, 47.4]});
    let written = own.put(&format!("{path}/location"), json!([{"position": position}])).expect(200);
    assert_eq!(written[0]["position"], position);
    assert_eq!(own.get(&format!("{path}/location")).expect(200)[0]["position"], position);
    // A device may not delete what it has reported.
    for below in ["/properties", "/properties/a"] {
        own.delete(&format!("{path}{below}")).assert_status(403);
    }
    own.delete(&path).assert_status(403);
    assert_eq!(server.rest().get(&path).expect(200)["properties"], latest);
}

#[test]
fn a_device_action_defaults_to_its_own_thng() {
    let server = Server::shared();
    let mut device = Device::new(server);
    let mut rest = server.rest();
    let own_type = format!("_{}", unique("switched").replace(' ', "_"));
    rest.create(&format!("/actions?project={}", device.project), json!({"name": own_type}));
    for (path, body) in [
        ("/actions/scans".to_owned(), json!({})),
        ("/actions/scans".to_owned(), json!({"type": "scans"})),
        ("/actions/all".to_owned(), json!({"type": "checkins"})),
        (format!("/actions/{own_type}"), json!({})),
        (format!("{}/actions/scans", device.path()), json!({"type": "scans"})),
        (format!("{}/actions/all", device.path()), json!({"type": own_type})),
    ] {
        let action = device.own.create(&path, body);
        assert_eq!(action["thng"], *device.device.id, "POST {path}: {action}");
        assert_eq!(action["product"], *device.product, "POST {path}: {action}");
        let kind = text(&action, "type");
        let id = text(&action, "id");
        let read = device.own.get(&format!("/actions/{kind}/{id}")).expect(200);
        assert_eq!(read["id"], *id);
        assert_eq!(
            rest.get(&format!("/thngs/{}/actions/{kind}", device.device.id)).expect(200)[0]["id"],
            *id
        );
        device.own.delete(&format!("/actions/{kind}/{id}")).assert_status(403);
    }
    assert_eq!(device.own.get("/actions/all").expect(200).as_array().map(Vec::len), Some(6));
    // A body without anything, as small clients send it.
    let bare =
        device.own.send("POST", "/actions/scans", &[("Authorization", &device.device.key)], None).expect(201);
    assert_eq!(bare["thng"], *device.device.id);
}

#[test]
fn a_device_acts_on_its_product() {
    let server = Server::shared();
    let mut device = Device::new(server);
    let path = format!("/products/{}", device.product);
    let own = &mut device.own;
    assert_eq!(own.get(&path).expect(200)["id"], *device.product);
    own.put(&format!("{path}/properties/k"), json!([{"value": "by a device"}])).assert_status(200);
    own.put(&format!("{path}/properties"), json!([{"key": "l", "value": 1}])).assert_status(200);
    assert_eq!(own.get(&format!("{path}/properties/k")).expect(200)[0]["value"], "by a device");
    let action = own.create(&format!("{path}/actions/scans"), json!({}));
    assert_eq!(action["product"], *device.product);
    let listed = own.get(&format!("{path}/actions/scans")).expect(200);
    assert_eq!(listed[0]["id"], action["id"]);
    own.put(&path, json!({"name": "mine"})).assert_status(403);
    own.delete(&path).assert_status(403);
    own.delete(&format!("{path}/properties/k")).assert_status(403);
}

#[test]
fn a_device_sees_no_other_thng_product_or_action() {
    let server = Server::shared();
    let mut device = Device::new(server);
    let mut rest = server.rest();
    let (project, other) = (&device.project, &device.other);
    let foreign = rest.id_of(&format!("/products?project={project}"), json!({"name": "another"}));
    let collection = rest.id_of(&format!("/collections?project={project}"), json!({"name": "c"}));
    let place = rest.id_of(&format!("/places?project={project}"), json!({"name": "p"}));
    rest.put(&format!("/collections/{collection}/thngs"), json!([device.device.id])).assert_status(200);
    let scan = rest.create(&format!("/thngs/{other}/actions/scans"), json!({}));
    let property = json!([{"value": 1}]);
    for (method, path, body) in [
        ("GET", format!("/thngs/{other}"), None),
        ("PUT", format!("/thngs/{other}"), Some(json!({"name": "mine"}))),
        ("DELETE", format!("/thngs/{other}"), None),
        ("GET", format!("/thngs/{other}/properties"), None),
        ("PUT", format!("/thngs/{other}/properties/k"), Some(property.clone())),
        ("GET", format!("/thngs/{other}/properties/k"), None),
        ("GET", format!("/thngs/{other}/location"), None),
        ("PUT", format!("/thngs/{other}/location"), Some(json!([{"latitude": 1, "longitude": 1}]))),
        ("GET", format!("/thngs/{other}/actions/all"), None),
        ("POST", format!("/thngs/{other}/actions/scans"), Some(json!({}))),
        ("GET", format!("/actions/scans/{}", text(&scan, "id")), None),
        ("GET", format!("/products/{foreign}"), None),
        ("GET", format!("/products/{foreign}/properties/k"), None),
        ("PUT", format!("/products/{foreign}/properties/k"), Some(property)),
        ("POST", format!("/products/{foreign}/actions/scans"), Some(json!({}))),
        ("GET", format!("/collections/{collection}"), None),
        ("GET", format!("/collections/{collection}/thngs"), None),
        ("GET", format!("/places/{place}"), None),
        ("GET", format!("{KEYS}/{other}"), None),
        ("GET", format!("/projects/{project}"), None),
        ("POST", "/thngs".to_owned(), Some(json!({"name": "n"}))),
    ] {
        let body = body.map(|body: Value| body.to_string());
        let headers = [("Authorization", &*device.device.key)];
        let answer = device.own.send(method, &path, &headers, body.as_deref().map(str::as_bytes));
        assert!(matches!(answer.status, 403 | 404), "{method} {path}: {} {}", answer.status, answer.text());
    }
    for body in [json!({"thng": other}), json!({"product": foreign}), json!({"collection": collection})] {
        let answer = device.own.post("/actions/scans", body.clone());
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
    }
    assert_eq!(device.own.get("/actions/all").expect(200), json!([]));
    assert_eq!(rest.get(&format!("/thngs/{other}")).expect(200)["properties"], json!({}));
}

#[test]
fn a_device_moved_to_another_product_acts_on_that_one_only() {
    let server = Server::shared();
    let mut device = Device::new(server);
    let mut rest = server.rest();
    let next = rest.id_of(&format!("/products?project={}", device.project), json!({"name": "next"}));
    let (before, after) = (format!("/products/{}", device.product), format!("/products/{next}"));
    device.own.get(&before).assert_status(200);
    device.own.get(&after).assert_status(404);
    rest.put(&device.path(), json!({"product": next})).assert_status(200);
    device.own.get(&before).assert_status(404);
    device.own.get(&after).assert_status(200);
    assert_eq!(device.own.create("/actions/scans", json!({}))["product"], *next);
}

#[test]
fn keys_of_thngs_are_managed_within_ones_own_project_only() {
    let server = Server::shared();
    let device = Device::new(server);
    let mut rest = server.rest();
    let own = rest.application(&device.project);
    let user = server.rest_as(&own.public_key).anonymous_user();
    let elsewhere = rest.project();
    let foreign = rest.application(&elsewhere);
    let foreign_user = server.rest_as(&foreign.public_key).anonymous_user();
    let path = format!("{KEYS}/{}", device.device.id);
    for key in [&own.secret_key, &user.key] {
        assert_eq!(server.rest_as(key).get(&path).expect(200)["thngApiKey"], *device.device.key);
        assert_eq!(server.rest_as(key).device(&device.device.id).key, device.device.key);
    }
    for key in [&foreign.secret_key, &foreign_user.key] {
        let mut foreign = server.rest_as(key);
        foreign.get(&path).assert_status(404);
        foreign.delete(&path).assert_status(404);
        let refusal = foreign.post(KEYS, json!({"thngId": device.device.id}));
        let unknown = foreign.post(KEYS, json!({"thngId": UNKNOWN}));
        assert_eq!(
            (refusal.status, refusal.json()),
            (unknown.status, unknown.json()),
            "as if it were not there"
        );
        assert!(matches!(refusal.status, 400 | 404), "{}", refusal.status);
    }
    for key in [&own.public_key, &device.device.key] {
        server.rest_as(key).get(&path).assert_status(403);
        server.rest_as(key).delete(&path).assert_status(403);
        server.rest_as(key).post(KEYS, json!({"thngId": device.other})).assert_status(403);
    }
    server.rest_as(&device.device.key).get("/access").assert_status(200);
    server.rest_as(&user.key).delete(&path).assert_status(200);
    server.rest_as(&device.device.key).get("/access").assert_status(403);
}

#[test]
fn a_device_does_not_see_scopes() {
    let server = Server::shared();
    let mut device = Device::new(server);
    let mut rest = server.rest();
    let elsewhere = rest.project();
    let path = device.path();
    for scopes in [
        json!({"projects": [elsewhere]}),
        json!({"projects": []}),
        json!({"users": []}),
        json!({"projects": [elsewhere], "users": ["all"]}),
    ] {
        let _ = device.own.put(&path, json!({"scopes": scopes}));
        let after = rest.get(&format!("{path}?withScopes=true")).expect(200)["scopes"].clone();
        assert_eq!(after, json!({"projects": [device.project], "users": ["all"]}), "{scopes}");
    }
}

#[test]
fn an_array_is_not_taken_for_the_object_that_names_the_thng() {
    let mut rest = Server::shared().rest();
    let thng = rest.thng();
    for body in [json!([thng]), json!([{"thngId": thng}])] {
        let answer = rest.post(KEYS, body.clone());
        assert_eq!(answer.status, 400, "{body}");
    }
    rest.get(&format!("{KEYS}/{thng}")).assert_status(404);
}
