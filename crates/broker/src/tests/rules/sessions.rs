//! Durable sessions: whose they are, what they queue, and that a repeated publish is stored once.

use std::sync::Arc;

use serde_json::{Value, json};
use thng_pubsub_protocol::topic::TopicString;
use thng_pubsub_store::session_queue::{SessionNumber, StoredSession};
use tokio::sync::oneshot;

use super::world::{World, id_of};
use crate::{auth::Principal, error::BrokerError, request::RequestContext};

async fn open(world: &World, by: &Arc<Principal>, client_id: &str) -> (SessionNumber, Option<StoredSession>) {
    world.pubsub().open_session(by, client_id).await.expect("there is space")
}

/// Stores a subscription at QoS 1.
async fn subscribe(
    world: &World,
    by: &Arc<Principal>,
    session: SessionNumber,
    topic: &str,
) -> Result<(), BrokerError> {
    let grant = world.grant(by, topic)?;
    let stored = world.pubsub().store_subscriptions(by.account, session, &[(topic, Some(&grant))]).await?;
    assert_eq!(stored.len(), 1);
    Ok(())
}

/// Resumes a session with one subscription; what it has queued, as far as the principal sees it.
async fn resumed(world: &World, by: &Arc<Principal>, client_id: &str, topic: &str) -> Vec<String> {
    let (_, stored) = open(world, by, client_id).await;
    let stored = stored.expect("the session is there");
    let (number, progress) = stored.subscriptions[0].queue.expect("it is at QoS 1");
    let grant = world.grant(by, topic).expect("visible");
    let page = world.pubsub().queued_messages(number, &grant, progress.cursor).expect("readable");
    let text = |body: &bytes::Bytes| String::from_utf8(body.to_vec()).expect("JSON");
    page.messages.iter().map(|(_, body)| text(body)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_its_key_and_client_id() {
    let world = World::new().await;
    let (ada, bob) = (&world.ada, &world.bob);
    let (first, none) = open(&world, ada, "c").await;
    assert_eq!(none, None);
    for (by, client_id) in [(ada, "d"), (bob, "c"), (&world.broker.stranger, "c")] {
        assert_eq!(open(&world, by, client_id).await.1, None, "{client_id} of another");
    }
    let (second, stored) = open(&world, ada, "c").await;
    assert_eq!((second.number, stored.is_some()), (first.number, true));
    assert!(second.epoch > first.epoch, "the connection before has lost it");
    let topic = format!("/thngs/{}/properties/n", id_of(&world.device));
    assert_eq!(subscribe(&world, ada, first, &topic).await, Err(BrokerError::NotFound), "taken over");
    world.pubsub().end_session(ada, "c").await.expect("ended");
    assert_eq!(open(&world, ada, "c").await.1, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_queues_what_its_key_may_see() {
    let world = World::new().await;
    let (project, owner, ada) = (world.project, world.owner(), &world.ada);
    let thng = world.made(&format!("/thngs?project={project}"), json!({"name": "t"})).await;
    let topic = format!("/thngs/{thng}/properties/n");
    let (session, _) = open(&world, ada, "c").await;
    subscribe(&world, ada, session, &topic).await.expect("visible");
    let write = async |value: i64| {
        world.publish(&owner, &topic, json!([{"value": value}])).await.expect("stored");
    };
    let rescope = async |users: Value| {
        let scopes = json!({"scopes": {"projects": [project], "users": users}});
        world.update(&owner, &format!("/thngs/{thng}"), scopes).await.expect("rescoped");
    };
    write(1).await;
    rescope(json!([])).await;
    write(2).await;
    rescope(json!(["all"])).await;
    write(3).await;
    let other = format!("/thngs/{thng}/properties/m");
    world.publish(&owner, &other, json!([{"value": 4}])).await.expect("stored");
    let values: Vec<Value> = resumed(&world, ada, "c", &topic)
        .await
        .iter()
        .map(|update| serde_json::from_str::<Value>(update).expect("JSON")[0]["value"].take())
        .collect();
    assert_eq!(values, [1, 3], "what was written while it was hidden, or to another key, is not shown later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qos_2_publish_is_stored_once_until_its_release() {
    let world = World::new().await;
    let (owner, thng) = (world.owner(), id_of(&world.device));
    let text = format!("/thngs/{thng}/properties/n");
    let topic = TopicString::parse(&text).expect("a topic");
    let (session, _) = open(&world, &owner, "c").await;
    let subscriber = world.subscribe(&owner, &text).await.expect("visible");
    let request = RequestContext::publish(&owner, topic).expect("a topic to publish to");
    let publish = async |packet_id: u16| {
        let (stored, answer) = oneshot::channel();
        let on_stored = move |outcome: Result<_, BrokerError>| {
            drop(stored.send(outcome.map(drop)));
            None
        };
        let once = (session, packet_id);
        let publish = world.pubsub().publish_once(&request, b"1", once, on_stored);
        publish.await.expect("accepted");
        answer.await.expect("it is answered").expect("stored");
        world.received(&subscriber).len()
    };
    assert_eq!([publish(7).await, publish(7).await, publish(8).await], [1, 0, 1]);
    let (released, answer) = oneshot::channel();
    let on_stored = move |outcome: Result<_, BrokerError>| {
        drop(released.send(outcome.map(drop)));
        None
    };
    world.pubsub().release(owner.account, (session, 7), on_stored).await.expect("accepted");
    answer.await.expect("it is answered").expect("released");
    assert_eq!([publish(7).await, publish(8).await], [1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_opens_no_session() {
    let world = World::new().await;
    let device = Arc::clone(&world.device);
    let (session, _) = open(&world, &device, "c").await;
    let topic = format!("/thngs/{}/properties/n", id_of(&device));
    subscribe(&world, &device, session, &topic).await.expect("visible");
    world.delete(&world.owner(), &format!("/thngs/{}", id_of(&device))).await.expect("deleted");
    let again = world.pubsub().open_session(&device, "c").await;
    assert_eq!(again.err(), Some(BrokerError::InvalidKey));
}
