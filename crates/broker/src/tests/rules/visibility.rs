//! Visibility of each kind of resource for each kind of principal: by its id, in lists, on topics and in deliveries.

use std::sync::Arc;

use serde_json::json;
use thng_pubsub_protocol::payload::ResourceKind;

use super::world::{ResourceId, World, id_of};
use crate::{auth::Principal, error::BrokerError};

/// Whether a principal sees a resource: the answers by id, in the list and on its topic must agree.
async fn can_see(world: &World, by: &Arc<Principal>, kind: &str, id: ResourceId) -> bool {
    let path = format!("/{kind}/{id}");
    let read = world.read(by, &path).await.map(drop);
    let listed = world.list(by, &format!("/{kind}")).await;
    match read {
        Ok(()) => {
            assert!(listed.is_ok_and(|ids| ids.contains(&id)), "{path} is read, and is not in the list")
        }
        Err(BrokerError::NotFound) => {
            assert!(!listed.is_ok_and(|ids| ids.contains(&id)), "{path} is in the list, and is not read");
        }
        Err(BrokerError::Forbidden) => {
            assert!(!listed.is_ok_and(|ids| ids.contains(&id)), "{path} is in the list, and is forbidden");
        }
        Err(ref other) => panic!("{path}: {other:?}"),
    }
    if ["thngs", "products", "collections"].contains(&kind) {
        let subscribed = world.subscribe(by, &path).await.map(drop);
        assert_eq!(subscribed, read, "a subscription to {path}");
    }
    read.is_ok()
}

/// Every principal of the world, by the name that the tables use.
fn principals(world: &World) -> [(&'static str, Arc<Principal>); 10] {
    let of = Arc::clone;
    [
        ("owner", of(&world.broker.owner)),
        ("application", of(&world.application)),
        ("trusted", of(&world.trusted)),
        ("ada", of(&world.ada)),
        ("bob", of(&world.bob)),
        ("device", of(&world.device)),
        ("token", of(&world.token)),
        ("other trusted", of(&world.other_trusted)),
        ("other user", of(&world.other_user)),
        ("stranger", of(&world.broker.stranger)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_decide_which_principal_sees_a_resource() {
    let world = World::new().await;
    let (project, other, ada) = (world.project, world.other_project, id_of(&world.ada));
    let scopes = [
        ("no project", json!({"projects": [], "users": []}), &["owner"][..]),
        (
            "the project",
            json!({"projects": [project], "users": []}),
            &["owner", "application", "trusted", "token"],
        ),
        (
            "the project and all users",
            json!({"projects": [project], "users": ["all"]}),
            &["owner", "application", "trusted", "ada", "bob", "token"],
        ),
        (
            "the project and one user",
            json!({"projects": [project], "users": [ada]}),
            &["owner", "application", "trusted", "ada", "token"],
        ),
        ("no project and one user", json!({"projects": [], "users": [ada]}), &["owner"]),
        (
            "the other project and all users",
            json!({"projects": [other], "users": ["all"]}),
            &["owner", "other trusted", "other user"],
        ),
        (
            "both projects",
            json!({"projects": [project, other], "users": []}),
            &["owner", "application", "trusted", "token", "other trusted"],
        ),
    ];
    for kind in ["thngs", "products", "collections", "places"] {
        for (name, scopes, sees) in &scopes {
            let id = world.made(&format!("/{kind}"), json!({"name": "n", "scopes": scopes})).await;
            for (who, by) in principals(&world) {
                // The public key of an application reads products and places only.
                let readable = who != "application" || ["products", "places"].contains(&kind);
                let expected = sees.contains(&who) && readable;
                assert_eq!(can_see(&world, &by, kind, id).await, expected, "{who}: {kind} of {name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_sees_itself_and_its_product_only() {
    let world = World::new().await;
    let project = world.project;
    let scoped = |kind: &str| format!("/{kind}?project={project}");
    let product = world.made(&scoped("products"), json!({"name": "p"})).await;
    let other_product = world.made(&scoped("products"), json!({"name": "p"})).await;
    let thng = world.made(&scoped("thngs"), json!({"name": "t", "product": product})).await;
    let other_thng = world.made(&scoped("thngs"), json!({"name": "t", "product": product})).await;
    let collection = world.made(&scoped("collections"), json!({"name": "c"})).await;
    let device = world.device_of(thng).await;
    for (kind, id, expected) in [
        ("thngs", thng, true),
        ("thngs", other_thng, false),
        ("products", product, true),
        ("products", other_product, false),
        ("collections", collection, false),
    ] {
        assert_eq!(world.read(&device, &format!("/{kind}/{id}")).await.is_ok(), expected, "/{kind}/{id}");
    }
    // What it sees follows its product.
    world
        .update(&world.owner(), &format!("/thngs/{thng}"), json!({"product": other_product}))
        .await
        .expect("set");
    let device = world.device_of(thng).await;
    assert!(world.read(&device, &format!("/products/{other_product}")).await.is_ok());
    assert_eq!(world.read(&device, &format!("/products/{product}")).await.err(), Some(BrokerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_visible_to_those_who_see_their_subject() {
    let world = World::new().await;
    let (project, ada) = (world.project, id_of(&world.ada));
    let thng =
        world.made("/thngs", json!({"name": "t", "scopes": {"projects": [project], "users": [ada]}})).await;
    let device = world.device_of(thng).await;
    world.publish(&world.owner(), &format!("/thngs/{thng}/actions/scans"), json!({})).await.expect("created");
    let action = world.list(&world.owner(), "/actions/all").await.expect("a list")[0];
    for (who, by) in principals(&world) {
        let path = format!("/actions/scans/{action}");
        let expected = ["owner", "trusted", "ada", "token"].contains(&who);
        assert_eq!(world.read(&by, &path).await.is_ok(), expected, "{who}");
        let listed = world.list(&by, "/actions/all").await;
        assert_eq!(listed.is_ok_and(|ids| ids.contains(&action)), expected, "{who}");
    }
    assert_eq!(world.list(&device, "/actions/all").await, Ok(vec![action]), "the thng itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_follow_the_scopes_at_the_time_of_the_write() {
    let world = World::new().await;
    let (project, owner) = (world.project, world.owner());
    let thng = world.made(&format!("/thngs?project={project}"), json!({"name": "t"})).await;
    let topic = format!("/thngs/{thng}/properties/n");
    let mut subscribers = Vec::new();
    for (who, by) in [("trusted", &world.trusted), ("ada", &world.ada), ("bob", &world.bob)] {
        subscribers.push((who, world.subscribe(by, &topic).await.expect("it is visible")));
    }
    let ada = id_of(&world.ada);
    for (scopes, expected) in [
        (json!({"projects": [project], "users": ["all"]}), &["trusted", "ada", "bob"][..]),
        (json!({"projects": [project], "users": [ada]}), &["trusted", "ada"]),
        (json!({"projects": [project], "users": []}), &["trusted"]),
        (json!({"projects": [], "users": ["all"]}), &[]),
        (json!({"projects": [project], "users": ["all"]}), &["trusted", "ada", "bob"]),
    ] {
        world.update(&owner, &format!("/thngs/{thng}"), json!({"scopes": scopes})).await.expect("rescoped");
        world.publish(&owner, &topic, json!([{"value": 1}])).await.expect("stored");
        for (who, subscriber) in &subscribers {
            let received = world.received(subscriber).len();
            assert_eq!(received, usize::from(expected.contains(who)), "{who} with {scopes}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_delivered_to_those_who_see_the_action() {
    let world = World::new().await;
    let (project, owner) = (world.project, world.owner());
    let scoped = |kind: &str| format!("/{kind}?project={project}");
    let collection = world.made(&scoped("collections"), json!({"name": "c"})).await;
    let thng = world.made(&scoped("thngs"), json!({"name": "t", "collections": [collection]})).await;
    let topic = format!("/collections/{collection}/actions/scans");
    let subscriber = world.subscribe(&world.ada, &topic).await.expect("it is visible");
    let hide = async |path: String| {
        let hidden = json!({"scopes": {"projects": [], "users": []}});
        world.update(&owner, &path, hidden).await.expect("rescoped");
    };
    let act = async || {
        let path = format!("/thngs/{thng}/actions/scans");
        world.publish(&owner, &path, json!({})).await.expect("created");
        world.received(&subscriber).len()
    };
    assert_eq!(act().await, 1);
    hide(format!("/collections/{collection}")).await;
    assert_eq!(act().await, 1, "the action is visible to her at the root as well");
    hide(format!("/thngs/{thng}")).await;
    assert_eq!(act().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_is_scoped_to_its_creator() {
    let world = World::new().await;
    let (project, ada) = (world.project, id_of(&world.ada));
    for (who, by, expected) in [
        ("owner", world.owner(), json!({"projects": [], "users": []})),
        ("trusted", Arc::clone(&world.trusted), json!({"projects": [project], "users": ["all"]})),
        ("ada", Arc::clone(&world.ada), json!({"projects": [project], "users": [ada]})),
        ("token", Arc::clone(&world.token), json!({"projects": [project], "users": ["all"]})),
    ] {
        let id = world.create(&by, "/thngs", json!({"name": "t"})).await.expect("created");
        let record = world.read(&by, &format!("/thngs/{id}")).await.expect("its creator sees it");
        assert_eq!(record.scopes.to_json(), expected.to_string(), "{who}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_name_only_what_the_caller_may_share_with() {
    let world = World::new().await;
    let (project, other, other_user) = (world.project, world.other_project, id_of(&world.other_user));
    let both = json!({"projects": [project, other]});
    for (who, by, scopes) in [
        ("trusted", &world.trusted, both.clone()),
        ("ada", &world.ada, both.clone()),
        ("token", &world.token, both),
        ("trusted", &world.trusted, json!({"users": [other_user]})),
        ("ada", &world.ada, json!({"users": [other_user]})),
    ] {
        let thng = world.create(by, "/thngs", json!({"name": "t"})).await.expect("created");
        let path = format!("/thngs/{thng}");
        let before = world.read(&world.owner(), &path).await.expect("it is there").scopes;
        let refused = world.update(by, &path, json!({"scopes": scopes})).await;
        assert!(matches!(refused, Err(BrokerError::Invalid(_))), "{who} {scopes}: {refused:?}");
        let after = world.read(&world.owner(), &path).await.expect("it is there").scopes;
        assert_eq!(after, before, "{who} {scopes}");
        let created = world.create(by, "/thngs", json!({"name": "t", "scopes": scopes})).await;
        assert!(matches!(created, Err(BrokerError::Invalid(_))), "{who} {scopes}: {created:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_in_the_query_narrows_and_extends_nothing() {
    let world = World::new().await;
    let (project, other) = (world.project, world.other_project);
    let own = world.made(&format!("/places?project={project}"), json!({"name": "n"})).await;
    let foreign = world.made(&format!("/places?project={other}"), json!({"name": "n"})).await;
    let none = world.made("/places", json!({"name": "n"})).await;
    let owner = world.owner();
    for (by, path, expected) in [
        (&owner, "/places".to_owned(), vec![none, foreign, own]),
        (&owner, format!("/places?project={project}"), vec![own]),
        (&owner, format!("/places?project={other}"), vec![foreign]),
        (&world.trusted, format!("/places?project={project}"), vec![own]),
        (&world.trusted, format!("/places?project={other}"), vec![]),
    ] {
        assert_eq!(world.list(by, &path).await, Ok(expected), "{path}");
    }
    let path = format!("/places/{own}?project={other}");
    assert_eq!(world.read(&owner, &path).await.err(), Some(BrokerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_grants_its_verbs_and_no_others() {
    let world = World::new().await;
    let rights = json!({"name": "rights", "permissions": ["accessPolicies:create,read,list"]});
    let _ = world.made("/accessPolicies", rights).await;
    let eve = world.operator(&["all", "rights"]).await;
    let thng = world.create(&eve, "/thngs", json!({"name": "t"})).await.expect("granted");
    let path = format!("/thngs/{thng}");
    assert_eq!(world.update(&eve, &path, json!({"name": "u"})).await, Ok(()));
    assert_eq!(world.publish(&eve, &path, json!({"name": "v"})).await, Ok(()));
    assert_eq!(world.create(&eve, "/places", json!({"name": "n"})).await.err(), Some(BrokerError::Forbidden));
    assert_eq!(world.list(&eve, "/products").await.err(), Some(BrokerError::Forbidden));
    assert_eq!(world.subscribe(&eve, "/actions/all").await.err(), Some(BrokerError::Forbidden));
    // Only those who may do everything give rights, whatever their policies say.
    assert!(world.list(&eve, "/accessPolicies").await.is_ok());
    let more = json!({"name": "more", "permissions": ["places:create"]});
    assert_eq!(world.create(&eve, "/accessPolicies", more).await.err(), Some(BrokerError::Forbidden));
    assert_eq!(world.delete(&eve, &path).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn references_to_invisible_resources_are_refused() {
    let world = World::new().await;
    let (project, other, owner) = (world.project, world.other_project, world.owner());
    let foreign = |kind: &str| format!("/{kind}?project={other}");
    let product = world.made(&foreign("products"), json!({"name": "p"})).await;
    let collection = world.made(&foreign("collections"), json!({"name": "c"})).await;
    let position = json!({"type": "Point", "coordinates": [1, 2]});
    let place = world.made(&foreign("places"), json!({"name": "n", "position": position})).await;
    let hidden = world.made(&foreign("thngs"), json!({"name": "t"})).await;
    let thng = world.made(&format!("/thngs?project={project}"), json!({"name": "t"})).await;
    let own = world.made(&format!("/collections?project={project}"), json!({"name": "c"})).await;
    let trusted = &world.trusted;
    for body in [
        json!({"name": "t", "product": product}),
        json!({"name": "t", "collections": [collection]}),
        json!({"name": "t", "location": {"place": place}}),
    ] {
        let refused = world.create(trusted, "/thngs", body.clone()).await;
        assert!(matches!(refused, Err(BrokerError::Invalid(_))), "{body}: {refused:?}");
        let refused = world.create(&owner, "/thngs", body.clone()).await;
        assert!(refused.is_ok(), "the owner sees all of the account: {body}: {refused:?}");
    }
    for (topic, payload) in [
        (format!("/thngs/{thng}"), json!({"product": product})),
        (format!("/thngs/{thng}/location"), json!([{"place": place}])),
        (format!("/collections/{own}/thngs"), json!([hidden])),
        ("/actions/scans".to_owned(), json!({"thng": hidden})),
        ("/actions/scans".to_owned(), json!({"product": product})),
        ("/actions/scans".to_owned(), json!({"collection": collection})),
    ] {
        let refused = world.publish(trusted, &topic, payload.clone()).await;
        assert!(matches!(refused, Err(BrokerError::Invalid(_))), "{topic} {payload}: {refused:?}");
    }
    assert_eq!(world.members(own, ResourceKind::Thng).await, []);
}
