//! Rights on a path or topic: with escapes, with options, with an action type that only the body names, and of a will.

use std::{net::Ipv4Addr, sync::Arc};

use serde_json::{Value, json};
use thng_pubsub_protocol::{
    payload::{Patch, ResourceKind},
    topic::{TopicString, table::Access},
};

use super::world::{World, context, id_of};
use crate::{auth::Principal, error::BrokerError, request::RequestContext, resources::ListScope};

/// A new user of the first project, whose role has these permissions.
async fn user_with(world: &World, permissions: &Value) -> Arc<Principal> {
    let owner = world.owner();
    let (resources, identity) = (world.resources(), world.identity());
    let role = Patch::parse(ResourceKind::Role, br#"{"name":"r","type":"userInApp"}"#).expect("a role");
    let role = resources.create_role(&context(&owner, Access::Create, "/roles"), role, 0).await;
    let role = role.expect("created").id;
    let request = context(&owner, Access::Update, &format!("/roles/{role}/permissions"));
    let permissions = permissions.to_string();
    let replaced = resources.replace_permissions(&request, role.as_str(), permissions.as_bytes());
    replaced.await.expect("replaced");
    let application = id_of(&world.application);
    let body = json!({"defaultRole": role.as_str()}).to_string();
    let patch = Patch::parse_update(ResourceKind::Application, body.as_bytes()).expect("an application");
    let request =
        context(&owner, Access::Update, &format!("/projects/{}/applications/{application}", world.project));
    resources.update_application(&request, application.0, patch, 0).await.expect("changed");
    let request = context(&world.application, Access::Create, "/auth/evrythng/users");
    let new = identity.create_user(&request, Ipv4Addr::LOCALHOST.into(), b"{}", true).await.expect("a user");
    identity.authenticate(&new.key.expect("a key")).await.expect("a key")
}

/// A user who can read actions of the type `_c d` and create those of every other type.
async fn reader_of_one_type(world: &World) -> Arc<Principal> {
    for name in ["_c d", "_x"] {
        let scopes = json!({"projects": [world.project], "users": ["all"]});
        let _ = world.made("/actionTypes", json!({"name": name, "scopes": scopes})).await;
    }
    let permissions =
        json!([{"path": "/actions/:type", "access": "c"}, {"path": "/actions/_c d", "access": "r"}]);
    user_with(world, &permissions).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_on_a_path_are_those_on_its_decoded_form() {
    let world = World::new().await;
    let eve = reader_of_one_type(&world).await;
    for (name, reads) in [("_c%20d", true), ("%5Fc%20%64", true), ("_x", false), ("%5F%78", false)] {
        let path = format!("/actions/{name}");
        let expected = |granted| if granted { Ok(()) } else { Err(BrokerError::Forbidden) };
        assert_eq!(context(&eve, Access::Read, &path).permit(), expected(reads), "read {path}");
        assert_eq!(context(&eve, Access::Create, &path).permit(), expected(!reads), "create {path}");
        assert_eq!(world.subscribe(&eve, &path).await.map(drop), expected(reads), "subscribe to {path}");
        assert_eq!(world.publish(&eve, &path, json!({})).await, expected(!reads), "publish to {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_in_the_body_needs_the_rights_of_its_path() {
    let world = World::new().await;
    let eve = reader_of_one_type(&world).await;
    for (payload, expected) in [
        (json!({"type": "_x"}), Ok(())),
        (json!({"type": "_c d"}), Err(BrokerError::Forbidden)),
        (json!([{"type": "_x"}, {"type": "_c d"}]), Err(BrokerError::Forbidden)),
    ] {
        assert_eq!(world.publish(&eve, "/actions/all", payload.clone()).await, expected, "{payload}");
    }
    assert_eq!(world.list(&world.owner(), "/actions/all").await.expect("a list").len(), 1);
    for payload in [json!({}), json!({"type": "_unknown"})] {
        let refused = world.publish(&world.owner(), "/actions/all", payload.clone()).await;
        assert!(matches!(refused, Err(BrokerError::Invalid(_))), "{payload}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_escapes_is_the_topic_without() {
    let world = World::new().await;
    let owner = world.owner();
    let _ = world.made("/actionTypes", json!({"name": "_über"})).await;
    let spellings = ["/actions/_über", "/actions/_%C3%BCber", "/actions/%5f%c3%bcber"];
    let mut subscribers = Vec::new();
    for topic in spellings {
        subscribers.push(world.subscribe(&owner, topic).await.expect("visible"));
    }
    for topic in spellings {
        world.publish(&owner, topic, json!({})).await.expect("created");
        for (subscriber, subscribed) in subscribers.iter().zip(spellings) {
            let received = world.received(subscriber);
            assert!(matches!(&received[..], [one] if one["type"] == "_über"), "{topic} to {subscribed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_on_a_publish_narrows_it_and_scopes_its_action() {
    let world = World::new().await;
    let (project, other, owner) = (world.project, world.other_project, world.owner());
    let thng = world.made(&format!("/thngs?project={project}"), json!({"name": "t"})).await;
    let topic = format!("/thngs/{thng}/properties/n");
    let publish = async |topic: String| world.publish(&owner, &topic, json!([{"value": 1}])).await;
    assert_eq!(publish(format!("{topic}?project={other}")).await, Err(BrokerError::NotFound));
    assert_eq!(world.state(&owner, &topic).await, Ok(None), "nothing was stored");
    assert_eq!(publish(format!("{topic}?project={project}")).await, Ok(()));
    for (query, seen_by) in [
        ("".to_owned(), [false, false]),
        (format!("?project={project}"), [true, false]),
        (format!("?project={other}"), [false, true]),
    ] {
        world.publish(&owner, &format!("/actions/scans{query}"), json!({})).await.expect("created");
        let action = world.list(&owner, "/actions/all").await.expect("a list")[0];
        for (by, expected) in [&world.ada, &world.other_user].into_iter().zip(seen_by) {
            let seen = world.read(by, &format!("/actions/scans/{action}")).await.is_ok();
            assert_eq!(seen, expected, "{query:?}: the user {}", id_of(by));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_in_the_query_narrows_and_extends_nothing() {
    let world = World::new().await;
    let owner = world.owner();
    let mut actions = Vec::new();
    for by in [&owner, &world.ada, &world.other_user] {
        world.publish(by, "/actions/scans", json!({})).await.expect("created");
        actions.push(world.list(&owner, "/actions/all").await.expect("a list")[0]);
    }
    let (own, other) = (id_of(&world.trusted).0, id_of(&world.other_trusted).0);
    let (ada, bob) = (id_of(&world.ada), id_of(&world.bob));
    for (by, app, kind, expected) in [
        (&owner, own, ResourceKind::Action, vec![actions[1]]),
        (&owner, other, ResourceKind::Action, vec![actions[2]]),
        (&world.trusted, own, ResourceKind::Action, vec![actions[1]]),
        (&world.trusted, other, ResourceKind::Action, vec![]),
        (&owner, own, ResourceKind::User, vec![bob, ada]),
        (&owner, other, ResourceKind::User, vec![id_of(&world.other_user)]),
        (&world.trusted, other, ResourceKind::User, vec![]),
    ] {
        let path = if kind == ResourceKind::User { "/users" } else { "/actions/all" };
        let mut request = context(by, Access::Read, path);
        request.app = Some(app);
        assert_eq!(world.listed(&request, kind, ListScope::All).await, Ok(expected), "{path}?app={app}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_is_authorized_at_connect_and_when_published() {
    let world = World::new().await;
    let (project, owner) = (world.project, world.owner());
    let thng = world.made(&format!("/thngs?project={project}"), json!({"name": "t"})).await;
    let text = format!("/thngs/{thng}/properties/n");
    let leave = |by: &Arc<Principal>, topic: &str, payload: &[u8]| {
        let will = RequestContext::publish(by, TopicString::parse(topic).expect("a topic"))?;
        world.pubsub().check_publish(&will, payload).map(|()| will)
    };
    assert_eq!(leave(&world.other_trusted, &text, b"1").err(), Some(BrokerError::NotFound));
    assert_eq!(leave(&world.application, &text, b"1").err(), Some(BrokerError::Forbidden));
    let tasks = format!("/batches/{thng}/tasks");
    assert_eq!(leave(&owner, &tasks, b"1").err(), Some(BrokerError::SubscribeOnly));
    assert!(matches!(leave(&owner, &text, b"{").err(), Some(BrokerError::Invalid(_))));
    let will = leave(&world.trusted, &text, b"1").expect("it can be left");
    assert_eq!(world.state(&owner, &text).await, Ok(None), "a check stores nothing");
    assert_eq!(world.pubsub().publish_and_wait(&will, b"1").await, Ok(()));
    let hidden = json!({"scopes": {"projects": [], "users": []}});
    world.update(&owner, &format!("/thngs/{thng}"), hidden).await.expect("rescoped");
    assert_eq!(world.pubsub().publish_and_wait(&will, b"2").await, Err(BrokerError::NotFound));
    let stored = world.state(&owner, &text).await.expect("visible").expect("stored");
    assert_eq!(stored[0]["value"], json!(1));
    // The transport asks for the key before it publishes.
    let device = id_of(&world.device);
    assert_eq!(world.identity().check_key(&world.device), Ok(()));
    world.delete(&owner, &format!("/thngs/{device}")).await.expect("deleted");
    assert_eq!(world.identity().check_key(&world.device), Err(BrokerError::InvalidKey));
}
