//! Filters whose values are encoded twice, as existing clients send them.

use serde_json::{Value, json};
use thng_pubsub_tests::{Rest, Server};

/// Three thngs of one name among others, by the number in their custom fields.
#[track_caller]
fn namesakes(rest: &mut Rest) {
    for (n, name) in ["_x y", "_x y", "other", "_x y"].into_iter().enumerate() {
        let sent = json!({"name": name, "customFields": {"n": n}, "identifiers": {"gs1:21": name}});
        rest.create("/thngs", sent);
    }
}

/// As clients send what they mean to be `name=_x y`, and the like.
const ENCODED_TWICE: [&str; 3] =
    ["name%3D_x%2520y", "identifiers.gs1%3A21%3D_x%2520y", "name%3D_x%2520y%26tags!%3Dred"];

pub(super) fn numbers<'a>(thngs: impl IntoIterator<Item = &'a Value>) -> Vec<Value> {
    thngs.into_iter().map(|thng| thng["customFields"]["n"].clone()).collect()
}

#[test]
fn a_doubly_encoded_value_is_found() {
    let server = Server::start();
    let mut rest = server.rest();
    namesakes(&mut rest);
    for filter in ENCODED_TWICE {
        let found = rest.get(&format!("/thngs?filter={filter}")).expect(200);
        assert_eq!(numbers(found.as_array().expect("an array")), [3, 1, 0], "{filter}");
    }
    rest.create("/thngs", json!({"name": "_x%20y", "customFields": {"n": 4}}));
    let found = rest.get("/thngs?filter=name%3D_x%2520y").expect(200);
    assert_eq!(numbers(found.as_array().expect("an array")), [4]);
}

#[test]
fn a_list_by_a_doubly_encoded_value_is_read_to_its_end() {
    let server = Server::start();
    let mut rest = server.rest();
    namesakes(&mut rest);
    for filter in ENCODED_TWICE {
        for per_page in [1, 2, 3] {
            let parts = rest.parts(&format!("/thngs?filter={filter}&perPage={per_page}"));
            assert_eq!(numbers(parts.iter().flatten()), [3, 1, 0], "{filter} by {per_page}");
        }
    }
}

#[test]
fn a_list_by_a_doubly_encoded_value_is_counted_on_every_page() {
    let server = Server::start();
    let mut rest = server.rest();
    namesakes(&mut rest);
    for filter in ENCODED_TWICE {
        for (page, n) in [(1, 3), (2, 1), (3, 0)] {
            let answer = rest.get(&format!("/thngs?filter={filter}&perPage=1&page={page}"));
            assert_eq!(answer.header("x-result-count"), Some("3"), "page {page} of {filter}");
            assert_eq!(
                numbers(answer.expect(200).as_array().expect("an array")),
                [n],
                "page {page} of {filter}"
            );
        }
    }
}
