//! Which topics an event reaches: each write, and every topic that is notified of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use thng_pubsub_protocol::{
    payload::{Patch, ResourceKind},
    topic::table::Access,
};
use thng_pubsub_store::PropertyOwner;

use super::world::{ResourceId, Subscriber, WAIT_MAX, World, context};
use crate::error::BrokerError;

/// Resources that hang together, and the owner's subscription to every topic that they have.
struct Topics {
    world: World,
    thng: ResourceId,
    product: ResourceId,
    collection: ResourceId,
    subscribers: BTreeMap<String, Subscriber>,
}

impl Topics {
    async fn new() -> Self {
        let world = World::new().await;
        let product = world.made("/products", json!({"name": "p"})).await;
        let collection = world.made("/collections", json!({"name": "c"})).await;
        let thng = json!({"name": "t", "product": product, "collections": [collection]});
        let thng = world.made("/thngs", thng).await;
        let mut topics = vec!["/actions".to_owned(), "/actions/all".into(), "/actions/scans".into()];
        topics.push("/actions/_own".into());
        for below in ["", "/properties", "/properties/a", "/properties/b"] {
            topics.push(format!("/thngs/{thng}{below}"));
            topics.push(format!("/products/{product}{below}"));
        }
        for (kind, id) in [("thngs", thng), ("products", product), ("collections", collection)] {
            topics.extend(["all", "scans"].map(|name| format!("/{kind}/{id}/actions/{name}")));
        }
        topics.push(format!("/thngs/{thng}/location"));
        topics.extend(["", "/thngs"].map(|below| format!("/collections/{collection}{below}")));
        let mut subscribers = BTreeMap::new();
        for topic in topics {
            let subscriber = world.subscribe(&world.owner(), &topic).await.expect("it is visible");
            subscribers.insert(topic, subscriber);
        }
        Self { world, thng, product, collection, subscribers }
    }

    /// The topics that were notified since the last call, each with what it received.
    fn notified(&self) -> BTreeMap<String, Vec<Value>> {
        let received = self.subscribers.iter().map(|(topic, one)| (topic.clone(), self.world.received(one)));
        received.filter(|(_, received)| !received.is_empty()).collect()
    }

    /// Checks that exactly these topics were notified, once each.
    #[track_caller]
    fn assert_notified<S: AsRef<str>>(&self, write: &str, expected: &[S]) {
        let notified = self.notified();
        let mut expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
        expected.sort_unstable();
        assert_eq!(notified.keys().collect::<Vec<_>>(), expected, "{write}");
        assert!(notified.values().all(|received| received.len() == 1), "{write}: once each: {notified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_resource_notifies_its_own_topic() {
    let topics = Topics::new().await;
    let (world, owner) = (&topics.world, topics.world.owner());
    for (kind, id) in
        [("thngs", topics.thng), ("products", topics.product), ("collections", topics.collection)]
    {
        let path = format!("/{kind}/{id}");
        world.update(&owner, &path, json!({"name": "new"})).await.expect("changed");
        topics.assert_notified(&path, &[&path]);
        world.publish(&owner, &path, json!({"description": "d"})).await.expect("published");
        let notified = topics.notified();
        let [document] = &notified[&path][..] else { panic!("{notified:?}") };
        assert_eq!((&document["id"], &document["name"]), (&json!(id), &json!("new")), "the whole document");
    }
    let place = world.made("/places", json!({"name": "n"})).await;
    world.update(&owner, &format!("/places/{place}"), json!({"name": "new"})).await.expect("changed");
    topics.assert_notified::<&str>("a place has no topic", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_notify_their_key_and_the_whole_update_once() {
    let topics = Topics::new().await;
    let (world, owner) = (&topics.world, topics.world.owner());
    for (kind, id) in [("thngs", topics.thng), ("products", topics.product)] {
        let base = format!("/{kind}/{id}/properties");
        let both = [base.clone(), format!("{base}/a"), format!("{base}/b")];
        let values = json!([{"key": "a", "value": 1}, {"key": "b", "value": 2}]);
        world.publish(&owner, &base, values).await.expect("stored");
        topics.assert_notified("two keys", &both);
        world.publish(&owner, &both[2], json!([{"value": 3}])).await.expect("stored");
        topics.assert_notified("one key", &[&both[0], &both[2]]);
        world.publish(&owner, &format!("{base}/c"), json!([{"value": 4}])).await.expect("stored");
        topics.assert_notified("a key without subscribers", &[&base]);
    }
    let location = format!("/thngs/{}/location", topics.thng);
    let position = json!([{"position": {"type": "Point", "coordinates": [1, 2]}}]);
    world.publish(&owner, &location, position).await.expect("stored");
    topics.assert_notified("a location", &[location]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_notifies_the_root_and_its_subjects() {
    let topics = Topics::new().await;
    let (world, owner) = (&topics.world, topics.world.owner());
    let Topics { thng, product, collection, .. } = &topics;
    let of =
        |kind: &str, id: &ResourceId| ["all", "scans"].map(|name| format!("/{kind}/{id}/actions/{name}"));
    let root = ["/actions/all".to_owned(), "/actions/scans".to_owned()];
    let (of_thng, of_product, of_collection) =
        (of("thngs", thng), of("products", product), of("collections", collection));
    for (topic, payload, expected) in [
        ("/actions/scans".to_owned(), json!({}), root.to_vec()),
        (
            of_thng[1].clone(),
            json!({}),
            [&root[..], &of_thng[..], &of_product[..], &of_collection[..]].concat(),
        ),
        (of_product[1].clone(), json!({}), [&root[..], &of_product[..]].concat()),
        (of_collection[1].clone(), json!({}), [&root[..], &of_collection[..]].concat()),
        (
            "/actions/all".to_owned(),
            json!({"type": "scans", "thng": thng}),
            [&root[..], &of_thng[..], &of_product[..], &of_collection[..]].concat(),
        ),
        (of_thng[0].clone(), json!({"type": "checkins"}), {
            let all = [&of_thng[0], &of_product[0], &of_collection[0], &root[0]];
            all.into_iter().cloned().collect()
        }),
    ] {
        world.publish(&owner, &topic, payload.clone()).await.expect("created");
        topics.assert_notified(&format!("{payload} on {topic}"), &expected);
    }
    world.publish(&owner, "/actions/scans", json!([{}, {}])).await.expect("created");
    assert!(topics.notified().values().all(|received| received.len() == 2), "an array, action by action");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_join_or_leave_notify_their_collection() {
    let topics = Topics::new().await;
    let (world, owner, collection) = (&topics.world, topics.world.owner(), topics.collection);
    let topic = format!("/collections/{collection}/thngs");
    let thng = world.made("/thngs", json!({"name": "t"})).await;
    let changes = |received: &BTreeMap<String, Vec<Value>>| received[&topic][0].to_string();

    world.publish(&owner, &topic, json!([thng])).await.expect("joined");
    let joined = topics.notified();
    assert_eq!(joined.keys().collect::<Vec<_>>(), [&topic]);
    assert!(changes(&joined).contains(thng.0.as_str()), "{joined:?}");
    world.publish(&owner, &topic, json!([thng])).await.expect("it is in there");
    topics.assert_notified::<&str>("a thng that was a member", &[]);

    let path = format!("/collections/{collection}/thngs/{thng}");
    let request = context(&owner, Access::Delete, &path);
    world.resources().remove_thng(&request, collection.0, thng.0).await.expect("removed");
    topics.assert_notified("a thng that was removed", &[&topic]);

    let body = json!({"name": "t", "collections": [collection]});
    let thng = world.made("/thngs", body).await;
    topics.assert_notified("a thng that was created in it", &[&topic]);
    world.delete(&owner, &format!("/thngs/{thng}")).await.expect("deleted");
    topics.assert_notified("a member that was deleted", &[&topic]);
}

#[tokio::test(flavor = "multi_thread")]
async fn creations_and_deletions_notify_the_topics_that_outlive_them() {
    let topics = Topics::new().await;
    let (world, owner) = (&topics.world, topics.world.owner());
    let own = world.made("/actionTypes", json!({"name": "_own"})).await;
    topics.assert_notified("a created action type", &["/actions"]);
    world.delete(&owner, &format!("/actionTypes/{own}")).await.expect("deleted");
    topics.assert_notified("a deleted action type", &["/actions/_own"]);
    let _ = world.made("/products", json!({"name": "p"})).await;
    topics.assert_notified::<&str>("a created product", &[]);
    let Topics { thng, product, collection, .. } = &topics;
    world.delete(&owner, &format!("/collections/{collection}")).await.expect("deleted");
    topics.assert_notified("a deleted collection", &[format!("/collections/{collection}")]);
    world.delete(&owner, &format!("/thngs/{thng}")).await.expect("deleted");
    world.delete(&owner, &format!("/products/{product}")).await.expect("deleted");
    topics.assert_notified::<&str>("a deleted thng and product", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_values_and_refused_writes_notify_nothing() {
    let topics = Topics::new().await;
    let (world, owner, thng) = (&topics.world, topics.world.owner(), topics.thng);
    let base = format!("/thngs/{thng}/properties");
    world.publish(&owner, &base, json!([{"key": "a", "value": 1}])).await.expect("stored");
    assert_eq!(topics.notified().len(), 2);
    let request = context(&owner, Access::Delete, &base);
    let values = PropertyOwner::Thng(thng.0);
    world.resources().delete_properties(&request, values, None, None).await.expect("deleted");
    for (topic, payload) in [
        (base.clone(), json!([{"key": "a", "value": 1}, {"key": "", "value": 2}])),
        (format!("/thngs/{thng}"), json!({"product": thng})),
        ("/actions/scans".to_owned(), json!([{}, {"thng": topics.product}])),
    ] {
        let refused = world.publish(&owner, &topic, payload.clone()).await;
        assert!(matches!(refused, Err(BrokerError::Invalid(_))), "{topic} {payload}: {refused:?}");
    }
    let stranger = &world.broker.stranger;
    for (topic, payload) in [
        (base.clone(), json!([{"key": "a", "value": 1}])),
        (format!("{base}/a"), json!([{"value": 1}])),
        (format!("/thngs/{thng}"), json!({"name": "n"})),
        (format!("/thngs/{thng}/actions/scans"), json!({})),
        (format!("/collections/{}/thngs", topics.collection), json!([thng])),
    ] {
        let refused = world.publish(stranger, &topic, payload).await;
        assert_eq!(refused, Err(BrokerError::NotFound), "{topic} of another account");
    }
    let refused = world.publish(stranger, "/actions/scans", json!({"thng": thng})).await;
    assert!(matches!(refused, Err(BrokerError::Invalid(_))), "an action on a foreign thng: {refused:?}");
    topics.assert_notified::<&str>("nothing was stored", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_task_notifies_its_batch_and_itself() {
    let world = World::new().await;
    let owner = world.owner();
    let batch = world.made("/batches", json!({"name": "b"})).await;
    let of_batch = world.subscribe(&owner, &format!("/batches/{batch}/tasks")).await.expect("visible");
    let create = async |quantity: u32| {
        let path = format!("/batches/{batch}/tasks");
        let request = context(&owner, Access::Create, &path);
        let input = json!({"type": "FIXED_AMOUNT", "quantity": quantity, "thngTemplate": {"name": "made"}});
        let body = json!({"type": "POPULATING", "inputParameters": input});
        let patch = Patch::parse(ResourceKind::Task, body.to_string().as_bytes()).expect("a task");
        ResourceId(world.resources().create_task(&request, batch.0, patch, 0).await.expect("created").id)
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let work = world.resources().run_task_worker(stop.clone());
    let ended = async {
        let (mut all, mut own) = (Vec::new(), Vec::new());
        let task = create(3).await;
        let topic = format!("/batches/{batch}/tasks/{task}");
        let of_task = world.subscribe(&owner, &topic).await.expect("visible");
        // A commit can be read before its notifications are published, so the task's end is awaited where it is notified.
        while all.is_empty() {
            all.extend(world.received(&of_batch));
            tokio::task::yield_now().await;
        }
        // The worker is done with a task once it has worked on the next one.
        let next = create(1).await;
        while all.last().is_none_or(|last: &Value| last["id"] != json!(next)) {
            all.extend(world.received(&of_batch));
            own.extend(world.received(&of_task));
            tokio::task::yield_now().await;
        }
        stop.cancel();
        (task, next, of_task, all, own)
    };
    let both = async { tokio::join!(work, ended).1 };
    let (task, next, of_task, mut all, mut own) =
        tokio::time::timeout(WAIT_MAX, both).await.expect("the tasks end");
    all.extend(world.received(&of_batch));
    own.extend(world.received(&of_task));
    let ids = |received: &[Value]| received.iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&all), [json!(task), json!(next)], "the batch");
    assert_eq!(ids(&own), [json!(task)], "the task");
    let made = world.list(&owner, "/thngs").await.expect("a list");
    assert_eq!(made.len(), 3 + 1 + 1, "four more than that of the device");
}
