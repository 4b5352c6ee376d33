//! Each bound of a command, a session and a key refuses before work starts, and leaves what is there as it was.

use std::sync::Arc;

use serde_json::{Value, json};
use thng_pubsub_protocol::{
    limits::{COLLECTIONS_MAX, PROPERTIES_BYTES_MAX, PROPERTIES_MAX},
    payload::ResourceKind,
    topic::table::Access,
};
use tokio::sync::Notify;

use super::world::{ResourceId, World, context, id_of, sentences};
use crate::error::{BrokerError, SubscriptionsBound};

async fn thngs(world: &World, count: usize, body: &Value) -> Vec<ResourceId> {
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        made.push(world.made("/thngs", body.clone()).await);
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_beyond_the_notifications_of_a_command_are_refused() {
    // An action on nothing causes two.
    let world = World::with(|settings| settings.notifications_max = 6).await;
    let (owner, three) = (world.owner(), json!([{}, {}, {}]));
    let subscriber = world.subscribe(&owner, "/actions/scans").await.expect("visible");
    assert_eq!(world.publish(&owner, "/actions/scans", three).await, Ok(()));
    assert_eq!(world.received(&subscriber).len(), 3);
    let refused = sentences(world.publish(&owner, "/actions/scans", json!([{}, {}, {}, {}])).await);
    assert!(refused.contains("--command-notifications-max"), "{refused}");
    assert!(world.received(&subscriber).is_empty(), "none of them was created");
    assert_eq!(world.list(&owner, "/actions/all").await.expect("a list").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_beyond_the_notifications_of_a_command_are_refused() {
    let world = World::with(|settings| settings.notifications_max = 4).await;
    let owner = world.owner();
    let collection = world.made("/collections", json!({"name": "c"})).await;
    let made = thngs(&world, 3, &json!({"name": "t", "collections": [collection]})).await;
    let refused = sentences(world.delete_many(&owner, "/thngs", &made).await);
    assert!(refused.contains("--command-notifications-max"), "{refused}");
    assert_eq!(world.members(collection, ResourceKind::Thng).await.len(), 3);
    assert_eq!(world.delete_many(&owner, "/thngs", &made[..2]).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_resources_than_a_bulk_change_may_have_are_refused() {
    let world = World::with(|settings| settings.bulk_size_max = 2).await;
    let owner = world.owner();
    let made = thngs(&world, 3, &json!({"name": "t"})).await;
    for refused in [
        world.update_many(&owner, "/thngs", &made, json!({"description": "d"})).await,
        world.delete_many(&owner, "/thngs", &made).await,
    ] {
        assert!(sentences(refused).contains("More than 2 are meant"));
    }
    assert_eq!(world.document(&format!("/thngs/{}", made[0])).await.get("description"), None);
    assert_eq!(world.delete_many(&owner, "/thngs", &made[1..]).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_members_than_a_call_may_add_are_refused() {
    let world = World::with(|settings| settings.members_max = 2).await;
    let owner = world.owner();
    let collection = world.made("/collections", json!({"name": "c"})).await;
    let made = thngs(&world, 3, &json!({"name": "t"})).await;
    let topic = format!("/collections/{collection}/thngs");
    assert!(sentences(world.publish(&owner, &topic, json!(made)).await).contains("at most 2 members"));
    assert_eq!(world.members(collection, ResourceKind::Thng).await, []);
    assert_eq!(world.publish(&owner, &topic, json!(made[1..])).await, Ok(()));
    let path = format!("/collections/{collection}/collections");
    let request = context(&owner, Access::Create, &path);
    let refused = world.resources().add_collections(&request, collection.0, vec![collection.0; 3]).await;
    assert!(sentences(refused).contains("at most 2 members"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thng_is_in_a_bounded_number_of_collections() {
    let world = World::new().await;
    let owner = world.owner();
    let mut collections = Vec::new();
    for _ in 0..=COLLECTIONS_MAX {
        collections.push(world.made("/collections", json!({"name": "c"})).await);
    }
    let [most @ .., last] = &collections[..] else { unreachable!("there are many") };
    let thng = world.made("/thngs", json!({"name": "t", "collections": most})).await;
    let topic = format!("/collections/{last}/thngs");
    let refused = sentences(world.publish(&owner, &topic, json!([thng])).await);
    assert!(refused.contains(&format!("is in {COLLECTIONS_MAX} collections")), "{refused}");
    assert_eq!(world.members(*last, ResourceKind::Thng).await, []);
    assert_eq!(
        world.publish(&owner, &format!("/collections/{}/thngs", most[0]), json!([thng])).await,
        Ok(())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_of_a_resource_are_bounded_in_number_and_bytes() {
    let world = World::new().await;
    let owner = world.owner();
    let [many, large] = thngs(&world, 2, &json!({"name": "t"})).await[..] else { unreachable!("two") };
    let values = |from: usize, to: usize| {
        (from..to).map(|key| json!({"key": format!("k{key}"), "value": 1})).collect::<Vec<_>>()
    };
    let topic = format!("/thngs/{many}/properties");
    for from in (0..PROPERTIES_MAX).step_by(500) {
        assert_eq!(world.publish(&owner, &topic, json!(values(from, from + 500))).await, Ok(()));
    }
    let refused =
        sentences(world.publish(&owner, &topic, json!(values(PROPERTIES_MAX, PROPERTIES_MAX + 1))).await);
    assert!(refused.contains(&format!("can have {PROPERTIES_MAX}")), "{refused}");
    assert_eq!(world.publish(&owner, &topic, json!(values(0, 1))).await, Ok(()), "a key that is there");

    let topic = format!("/thngs/{large}/properties");
    let text = "x".repeat(PROPERTIES_BYTES_MAX / 10);
    for key in 0..9 {
        let value = json!([{"key": format!("k{key}"), "value": text}]);
        assert_eq!(world.publish(&owner, &topic, value).await, Ok(()));
    }
    let two = json!([{"key": "y", "value": text}, {"key": "z", "value": text}]);
    let refused = sentences(world.publish(&owner, &topic, two).await);
    assert!(refused.contains(&format!("can have {PROPERTIES_BYTES_MAX}")), "{refused}");
    let state = world.state(&owner, &topic).await.expect("visible").expect("stored");
    assert_eq!(state.as_array().map(Vec::len), Some(9), "neither of the two");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_bounded_by_memory_per_key_and_account() {
    // One counts 1,024 bytes and twice the length of its topic.
    let topic = format!("/thngs/{}/properties/n", "U".repeat(24));
    let one = 1_024 + 2 * topic.len();
    for (bound, expected) in [
        ("key", SubscriptionsBound::KeyMemory),
        ("account", SubscriptionsBound::AccountMemory),
        ("total", SubscriptionsBound::Memory),
    ] {
        let world = World::with(|settings| {
            let most = match bound {
                "key" => &mut settings.subscriptions.per_key,
                "account" => &mut settings.subscriptions.per_account,
                _ => &mut settings.subscriptions.total,
            };
            *most = 2 * one;
        })
        .await;
        let topic = format!("/thngs/{}/properties/n", id_of(&world.device));
        let owner = world.owner();
        let first = world.subscribe(&owner, &topic).await.expect("there is space");
        let _second = world.subscribe(&owner, &topic).await.expect("both fit exactly");
        let refused = world.subscribe(&owner, &topic).await.err();
        assert_eq!(refused, Some(BrokerError::TooManySubscriptions(expected)), "{bound}");
        let device = world.subscribe(&world.device, &topic).await;
        assert_eq!(device.is_ok(), bound == "key", "{bound}: another key of the account");
        let foreign = world.subscribe(&world.broker.stranger, "/actions/all").await;
        assert_eq!(foreign.is_ok(), bound != "total", "{bound}: another account");
        drop((first, device, foreign));
        assert!(world.subscribe(&owner, &topic).await.is_ok(), "{bound}: what ended is returned");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_sessions_are_bounded_in_all_and_per_key() {
    let world = World::with(|settings| {
        settings.session_queue.sessions = 3;
        settings.session_queue.sessions_per_key = 2;
    })
    .await;
    let open = async |by, client_id: &str| world.pubsub().open_session(by, client_id).await.map(drop);
    let owner = world.owner();
    assert_eq!(open(&owner, "a").await, Ok(()));
    assert_eq!(open(&owner, "b").await, Ok(()));
    assert_eq!(open(&owner, "c").await, Err(BrokerError::TooManySessions));
    assert_eq!(open(&owner, "a").await, Ok(()), "one that is there is resumed");
    assert_eq!(open(&world.ada, "a").await, Ok(()));
    // All are taken: the key that holds more gives one up.
    assert_eq!(open(&world.bob, "a").await, Ok(()));
    assert_eq!(open(&world.ada, "b").await, Err(BrokerError::TooManySessions));
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_durable_sessions_are_bounded() {
    let world = World::with(|settings| settings.session_queue.subscriptions = 2).await;
    let owner = world.owner();
    let (session, _) = world.pubsub().open_session(&owner, "c").await.expect("there is space");
    let thng = id_of(&world.device);
    let subscribe = async |key: &str| {
        let text = format!("/thngs/{thng}/properties/{key}");
        let grant = world.grant(&owner, &text)?;
        let stored =
            world.pubsub().store_subscriptions(owner.account, session, &[(&text, Some(&grant))]).await;
        stored.map(drop)
    };
    assert_eq!((subscribe("a").await, subscribe("b").await), (Ok(()), Ok(())));
    let refused = Err(BrokerError::TooManySubscriptions(SubscriptionsBound::Durable));
    assert_eq!(
        (subscribe("c").await, subscribe("a").await),
        (refused, Ok(())),
        "one that is there adds none"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_a_key_are_bounded() {
    let world = World::with(|settings| settings.connections_per_key_max = 2).await;
    let wake = Arc::<Notify>::default();
    let lease = |by: &crate::auth::Principal| world.identity().lease_key(by, &wake);
    let first = lease(&world.ada).expect("there is space");
    let _second = lease(&world.ada).expect("there is space");
    assert_eq!(lease(&world.ada).err(), Some(BrokerError::ConnectionLimitPerKey));
    assert!(lease(&world.bob).is_ok(), "another key");
    drop(first);
    assert!(lease(&world.ada).is_ok(), "one that ended is returned");
}
