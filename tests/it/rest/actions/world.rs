//! An account with one resource of every kind that an action can happen to.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use thng_pubsub_tests::Rest;

pub(super) const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

pub(super) fn id_of(document: &Value) -> String {
    document["id"].as_str().unwrap_or_else(|| panic!("{document} has an id")).to_owned()
}

/// The ids in a list, in its order.
#[track_caller]
pub(super) fn ids(rest: &mut Rest, list: &str) -> Vec<String> {
    rest.parts(list).iter().flatten().map(id_of).collect()
}

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A thng with a product, in two collections, and an action type of the account's own.
pub(super) struct World {
    pub(super) thng: String,
    pub(super) product: String,
    pub(super) collections: [String; 2],
}

impl World {
    #[track_caller]
    pub(super) fn new(rest: &mut Rest) -> World {
        // Tests share a server, and a type is there once.
        let _ = rest.post("/actions", json!({"name": "_turned"}));
        let product = rest.id_of("/products", json!({"name": "a product of the tests"}));
        let thng = rest.id_of("/thngs", json!({"name": "a thng of the tests", "product": product}));
        let collections = [(); 2].map(|()| rest.id_of("/collections", json!({"name": "of the tests"})));
        for collection in &collections {
            rest.put(&format!("/collections/{collection}/thngs"), json!([thng])).assert_status(200);
        }
        World { thng, product, collections }
    }

    /// The paths under which actions of the thng are found, but for the type at their end.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = vec![
            "/actions".to_owned(),
            format!("/thngs/{}/actions", self.thng),
            format!("/products/{}/actions", self.product),
        ];
        paths.extend(self.collections.iter().map(|collection| format!("/collections/{collection}/actions")));
        paths
    }
}
