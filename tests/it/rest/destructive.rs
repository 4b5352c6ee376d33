//! Destructive calls: every `DELETE` and every bulk `PUT` takes what was named and nothing else, or is refused.

use serde_json::{Value, json};
use thng_pubsub_tests::{KEY, Response, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// A collection with three thngs and two collections in it.
struct Collection {
    id: String,
    thngs: Vec<String>,
    collections: Vec<String>,
}

impl Collection {
    #[track_caller]
    fn create(rest: &mut Rest) -> Self {
        let id = rest.id_of("/collections", json!({"name": "of the tests"}));
        let thngs: Vec<String> = (0..3).map(|_| rest.thng()).collect();
        let collections: Vec<String> =
            (0..2).map(|n| rest.id_of("/collections", json!({"name": n.to_string()}))).collect();
        rest.put(&format!("/collections/{id}/thngs"), json!(thngs)).assert_status(200);
        rest.put(&format!("/collections/{id}/collections"), json!(collections)).assert_status(200);
        Self { id, thngs, collections }
    }

    /// The ids in the list of members of a kind, oldest first.
    #[track_caller]
    fn members(&self, rest: &mut Rest, kind: &str) -> Vec<String> {
        let list = rest.get(&format!("/collections/{}/{kind}?sortOrder=ASCENDING", self.id)).expect(200);
        ids(&list)
    }
}

fn ids(list: &Value) -> Vec<String> {
    let items = list.as_array().expect("a list");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

#[track_caller]
fn assert_refused(answer: &Response, says: &str) {
    let refusal = answer.expect(400);
    let sentence = refusal["errors"][0].as_str().expect("a sentence");
    assert!(sentence.contains(says), "{sentence}");
    assert!(sentence.contains("Nothing was changed"), "{sentence}");
}

fn delete_with_body(rest: &mut Rest, path: &str, body: &str) -> Response {
    let headers = [("Content-Type", "application/json"), ("Authorization", KEY)];
    rest.send("DELETE", path, &headers, Some(body.as_bytes()))
}

#[test]
fn ids_name_the_members_that_are_removed() {
    let server = Server::shared();
    let mut rest = server.rest();
    let of = Collection::create(&mut rest);
    for (kind, all) in [("thngs", &of.thngs), ("collections", &of.collections)] {
        let path = format!("/collections/{}/{kind}", of.id);
        let removed = rest.delete(&format!("{path}?ids={},{UNKNOWN},x", all[0]));
        assert_eq!((removed.status, removed.header("x-result-count")), (200, Some("1")));
        assert_eq!(removed.text(), "");
        assert_eq!(of.members(&mut rest, kind), all[1..]);
        for nothing in ["ids=", "ids=,", &format!("ids={UNKNOWN}"), &format!("ids={}", all[0])] {
            let removed = rest.delete(&format!("{path}?{nothing}"));
            assert_eq!((removed.status, removed.header("x-result-count")), (200, Some("0")), "{nothing}");
        }
        assert_eq!(of.members(&mut rest, kind), all[1..]);
        let too_many = vec![UNKNOWN; 101].join(",");
        rest.delete(&format!("{path}?ids={too_many}")).assert_status(400);
        let removed = rest.delete(&path);
        assert_eq!(removed.header("x-result-count"), Some(&*(all.len() - 1).to_string()));
        assert_eq!(of.members(&mut rest, kind), [""; 0]);
    }
}

#[test]
fn a_project_narrows_the_removal_of_members() {
    let server = Server::shared();
    let mut rest = server.rest();
    let of = Collection::create(&mut rest);
    let project = rest.id_of("/projects", json!({"name": "of the tests"}));
    for thng in &of.thngs[..2] {
        rest.put(&format!("/thngs/{thng}"), json!({"scopes": {"projects": [project], "users": ["all"]}}))
            .assert_status(200);
    }
    let scopes = json!({"scopes": {"projects": [project]}});
    rest.put(&format!("/collections/{}", of.id), scopes).assert_status(200);
    let path = format!("/collections/{}/thngs", of.id);
    rest.delete(&format!("{path}/{}?project={project}", of.thngs[2])).assert_status(404);
    let both = format!("{path}?project={project}&ids={},{}", of.thngs[0], of.thngs[2]);
    assert_eq!(rest.delete(&both).header("x-result-count"), Some("1"));
    assert_eq!(of.members(&mut rest, "thngs"), of.thngs[1..]);
    let all = rest.delete(&format!("{path}?project={project}"));
    assert_eq!((all.status, all.header("x-result-count")), (200, Some("1")));
    assert_eq!(of.members(&mut rest, "thngs"), of.thngs[2..]);
}

#[test]
fn members_stay_where_a_removal_is_not_understood() {
    let server = Server::shared();
    let mut rest = server.rest();
    let of = Collection::create(&mut rest);
    for (kind, all) in [("thngs", &of.thngs), ("collections", &of.collections)] {
        let path = format!("/collections/{}/{kind}", of.id);
        for query in
            ["filter=name%3Dx", "Ids=x", "id=x", "perPage=1", "To=1", "from=1", "to=1", "", "=x", "tags=a"]
                .into_iter()
                .filter(|query| !query.is_empty())
        {
            assert_refused(&rest.delete(&format!("{path}?{query}")), "does not understand");
        }
        assert_refused(&rest.delete(&format!("{path}?Ids={}", all[0])), "Write ids");
        let twice = format!("{path}?ids={}&ids={}", all[0], all[1]);
        assert_refused(&rest.delete(&twice), "ids comes more than once");
        for body in [&*json!([all[0]]).to_string(), "[]", "null", "{\"ids\":[]}", "{"] {
            assert_refused(&delete_with_body(&mut rest, &path, body), "takes no body");
        }
        assert_eq!(of.members(&mut rest, kind), *all);
    }
}

#[test]
fn values_stay_where_a_deletion_is_not_understood() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    for (path, values) in [
        (
            format!("/thngs/{thng}/properties/x"),
            json!([{"value": 1, "timestamp": 1}, {"value": 2, "timestamp": 2}]),
        ),
        (format!("/thngs/{thng}/properties"), json!([{"key": "y", "value": 1, "timestamp": 1}])),
        (format!("/thngs/{thng}/location"), json!([{"latitude": 1, "longitude": 1, "timestamp": 1}])),
    ] {
        rest.put(&path, values).assert_status(200);
        let before = rest.get(&path).expect(200);
        for query in
            ["from=2", "To=2", "filter=timestamp%3C2", "ids=x", "key=y", "perPage=1", "TO=2", "to%20=2"]
        {
            assert_refused(&rest.delete(&format!("{path}?{query}")), "does not understand");
        }
        assert_refused(&rest.delete(&format!("{path}?to=1&to=2")), "more than once");
        rest.delete(&format!("{path}?to=")).assert_status(400);
        assert_refused(&delete_with_body(&mut rest, &path, "{\"to\":1}"), "takes no body");
        assert_eq!(rest.get(&path).expect(200), before, "{path}");
        rest.delete(&format!("{path}?to=1&access_token={KEY}&context=true")).assert_status(200);
        assert_eq!(rest.get(&path).expect(200), before, "{path}: nothing is older");
        rest.delete(&path).assert_status(200);
        assert_eq!(rest.get(&path).expect(200), json!([]), "{path}");
    }
}

#[test]
fn every_destructive_route_refuses_what_it_does_not_know() {
    let server = Server::shared();
    let mut rest = server.rest();
    let description = rest.get("/openapi.json").expect(200);
    let account = rest.get("/access").expect(200)["account"].as_str().expect("an id").to_owned();
    let mut seen = 0;
    for (path, item) in description["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let own: Vec<&str> = operation["parameters"]
                .as_array()
                .expect("parameters")
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().expect("a name"))
                .collect();
            let is_bulk = method == "put" && own.contains(&"ids");
            if method != "delete" && !is_bulk {
                continue;
            }
            seen += 1;
            let path = path.replace("{account}", &account).replace("{type}", "all").replace("{key}", "k");
            let path = path.replace("{id}", UNKNOWN).replace("{project}", UNKNOWN);
            let path = path.replace("{member}", UNKNOWN).replace("{action}", UNKNOWN);
            assert!(!path.contains('{'), "{path}");
            let mut call = |query: &str| match is_bulk {
                true => rest.put(&format!("{path}?{query}"), json!({"tags": ["changed"]})),
                false => rest.delete(&format!("{path}?{query}")),
            };
            for name in ["ids", "filter", "from", "to", "key", "perPage", "page", "To", "x"] {
                if !own.contains(&name) {
                    assert_refused(&call(&format!("{name}=1")), "does not understand");
                }
            }
            for name in &own {
                let misspelled = name.to_uppercase();
                assert_refused(&call(&format!("{misspelled}={UNKNOWN}")), &format!("Write {name}"));
                assert_refused(&call(&format!("{name}={UNKNOWN}&{name}={UNKNOWN}")), "more than once");
            }
            if !is_bulk {
                assert_refused(&delete_with_body(&mut rest, &path, "[1]"), "takes no body");
            }
        }
    }
    assert!(seen > 30, "{seen} destructive routes");
}

#[test]
fn what_clients_append_to_every_call_is_passed_over() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let app = UNKNOWN;
    let neutral = format!("access_token={KEY}&app={app}&context=true&withScopes=true");
    let answer = delete_with_body(&mut rest, &format!("/thngs/{thng}?{neutral}"), " {} ");
    answer.assert_status(200);
    rest.get(&format!("/thngs/{thng}")).assert_status(404);
    let other = rest.thng();
    rest.delete(&format!("/thngs?ids={other}&{neutral}")).assert_status(200);
    rest.get(&format!("/thngs/{other}")).assert_status(404);
}

#[test]
fn a_refusal_does_not_repeat_what_was_sent() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let answer = rest.delete(&format!("/thngs/{thng}?{KEY}"));
    assert_refused(&answer, "does not understand");
    assert!(!answer.text().contains(KEY));
}
