//! Two projects of one account, their applications and users, and whether a key sees a resource.

use serde_json::{Value, json};
use thng_pubsub_tests::keys::text;
use thng_pubsub_tests::{Application, Keyed, Response, Rest, Server};

pub(super) const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

/// The kinds of resources that have scopes and are found by id.
pub(super) const KINDS: [&str; 4] = ["thngs", "products", "collections", "places"];

/// A project with an application and two users.
pub(super) struct Side {
    pub(super) project: String,
    pub(super) application: Application,
    pub(super) ada: Keyed,
    pub(super) bob: Keyed,
    pub(super) trusted: Rest,
}

impl Side {
    #[track_caller]
    pub(super) fn new(server: &Server) -> Side {
        let mut rest = server.rest();
        let project = rest.project();
        let application = rest.application(&project);
        let mut public = server.rest_as(&application.public_key);
        let (ada, bob) = (public.anonymous_user(), public.anonymous_user());
        let trusted = server.rest_as(&application.secret_key);
        Side { project, application, ada, bob, trusted }
    }

    /// Something of a kind in this project.
    #[track_caller]
    pub(super) fn make(&self, rest: &mut Rest, kind: &str) -> String {
        rest.id_of(&format!("/{kind}?project={}", self.project), json!({"name": "n"}))
    }
}

/// Two projects of one account, and an operator.
pub(super) struct World {
    pub(super) server: &'static Server,
    pub(super) rest: Rest,
    pub(super) own: Side,
    pub(super) foreign: Side,
}

impl World {
    #[track_caller]
    pub(super) fn new() -> World {
        let server = Server::shared();
        World { server, rest: server.rest(), own: Side::new(server), foreign: Side::new(server) }
    }
}

#[track_caller]
pub(super) fn ids(list: &Response) -> Vec<String> {
    let list = list.expect(200);
    list.as_array().expect("an array").iter().map(|one| text(one, "id")).collect()
}

/// Whether a key sees something: by its id, in the list of its kind, and among the ids asked for, all the same.
#[track_caller]
pub(super) fn can_see(server: &Server, key: &str, kind: &str, id: &str) -> bool {
    let mut rest = server.rest_as(key);
    let read = rest.get(&format!("/{kind}/{id}"));
    if read.status == 403 {
        rest.get(&format!("/{kind}")).assert_status(403);
        return false;
    }
    let is_there = read.status == 200;
    assert!(is_there || read.status == 404, "GET /{kind}/{id}: {}", read.status);
    let by_id = ids(&rest.get(&format!("/{kind}?ids={id}")));
    assert_eq!(by_id.contains(&id.to_owned()), is_there, "/{kind}?ids=");
    let listed = rest.parts(&format!("/{kind}?perPage=100")).concat();
    assert_eq!(listed.iter().any(|one| one["id"] == *id), is_there, "/{kind}");
    let counted = rest.get(&format!("/{kind}?ids={id}&withTotalCount=true"));
    assert_eq!(counted.header("x-result-count"), Some(if is_there { "1" } else { "0" }), "/{kind} counted");
    is_there
}

#[track_caller]
pub(super) fn scopes(rest: &mut Rest, kind: &str, id: &str) -> Value {
    rest.get(&format!("/{kind}/{id}?withScopes=true")).expect(200)["scopes"].clone()
}
