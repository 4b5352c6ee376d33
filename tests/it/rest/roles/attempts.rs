//! Roles and operators for the tests, and requests with the status that each expects.

use serde_json::{Value, json};
use thng_pubsub_tests::keys::{text, unique};
use thng_pubsub_tests::{Rest, Server};

pub(super) const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

pub(super) const BUILT_IN: [&str; 3] = ["admin", "none", "base_app_user"];

/// A new role of application users, by its path.
#[track_caller]
pub(super) fn user_role(rest: &mut Rest) -> String {
    format!("/roles/{}", rest.id_of("/roles", json!({"name": unique("role"), "type": "userInApp"})))
}

/// A new role of operators with these switches on, by its id.
#[track_caller]
pub(super) fn operator_role(rest: &mut Rest, switches: &[(&str, Option<&[&str]>)]) -> String {
    let role = rest.id_of("/roles", json!({"name": unique("role")}));
    for (name, projects) in switches {
        let mut switch = json!({"enabled": true});
        if let Some(projects) = projects {
            switch["projects"] = json!(projects);
        }
        rest.put(&format!("/roles/{role}/permissions/{name}"), switch).assert_status(200);
    }
    role
}

/// A client with the key of a new operator who has such a role.
#[track_caller]
pub(super) fn operator_with(server: &Server, switches: &[(&str, Option<&[&str]>)]) -> Rest {
    let mut rest = server.rest();
    let role = operator_role(&mut rest, switches);
    let key = rest.operator(json!({"role": role})).key;
    server.rest_as(&key)
}

/// One attempt: method, path, body, and the status that it is to have.
type Attempt = (&'static str, String, Option<Value>, u16);

#[track_caller]
pub(super) fn attempt(rest: &mut Rest, attempts: impl IntoIterator<Item = Attempt>) {
    let mut faults = Vec::new();
    for (method, path, body, expected) in attempts {
        let answer = match (method, body) {
            ("GET", _) => rest.get(&path),
            ("DELETE", _) => rest.delete(&path),
            ("PUT", Some(body)) => rest.put(&path, body),
            (_, Some(body)) => rest.post(&path, body),
            (_, None) => panic!("{method} {path} without a body"),
        };
        if answer.status != expected {
            faults.push(format!("{method} {path}: {} and not {expected}: {}", answer.status, answer.text()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

pub(super) fn names(switches: &Value) -> Vec<String> {
    switches.as_array().expect("an array").iter().map(|switch| text(switch, "name")).collect()
}
