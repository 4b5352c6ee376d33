//! Tests the services with the real store and the real bus: stored events are delivered, even when a router dies.

mod rules;
mod steps;

use std::{
    future::{Future as _, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
    topic::{Topic, TopicString, table::Access},
};
use tokio::{sync::Notify, time::timeout};

use crate::{
    auth::Principal,
    commands::Probe,
    error::BrokerError,
    pubsub::{DeliveryQos, OutboundQueue, OutboundQueueLimits},
    request::{PublishContext, RequestContext},
    resources::{ListQuery, ListScope, NewResource, PageRequest, PropertyOwner, SortOrder, TimeRange},
    testing::TestBroker,
};
use thng_pubsub_store::CLOCK_SET_BACK;

/// How long anything may take on a busy machine before a test calls it lost.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn topic(thng: Id, rest: &str) -> TopicString {
    TopicString::parse(&format!("/thngs/{thng}{rest}")).expect("a topic")
}

/// A reading call that every operator may make.
fn reader(principal: &Arc<Principal>) -> RequestContext {
    RequestContext::new(principal, Access::Read, "/")
}

fn publish(principal: &Arc<Principal>, topic: &TopicString) -> PublishContext {
    RequestContext::publish(principal, topic.clone()).expect("a topic to publish to")
}

fn outbound_queue() -> (Arc<OutboundQueue>, Arc<Notify>) {
    let wake = Arc::<Notify>::default();
    (OutboundQueue::new(OutboundQueueLimits { messages: 1_000_000, bytes: 1 << 30 }, Arc::clone(&wake)), wake)
}

/// Everything that arrives until `count` messages are there.
async fn received(outbound_queue: &OutboundQueue, wake: &Notify, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut batch = Vec::new();
    while all.len() < count {
        outbound_queue.take(&mut batch);
        if batch.is_empty() {
            timeout(WAIT_MAX, wake.notified())
                .await
                .unwrap_or_else(|_| panic!("{} of {count} arrived", all.len()));
        }
        all.extend(batch.drain(..).map(|one| String::from_utf8(one.body.to_vec()).expect("JSON")));
    }
    all
}

fn value(document: &str) -> usize {
    let (_, rest) = document.split_once("\"value\":").expect("a property update");
    rest.split(',').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn router_deaths_under_load_lose_and_repeat_nothing() {
    const WRITES: usize = 20_000;
    let broker = TestBroker::open().await;
    let thng = broker.thng().await;
    let subscribed = topic(thng, "/properties/n");
    let (outbound_queue, wake) = outbound_queue();
    let _watch = broker
        .pubsub
        .subscribe(
            &RequestContext::subscribe(&broker.owner, subscribed.clone()),
            &outbound_queue,
            0,
            DeliveryQos::AtLeastOnce,
            None,
        )
        .await
        .expect("the owner watches");
    let stored = Arc::new(AtomicI64::new(0));
    for number in 0..WRITES {
        if number % (WRITES / 5) == WRITES / 10 {
            // The one before may still be being replaced.
            let killed = timeout(WAIT_MAX, async {
                while !broker.bus.kill_router_for_test() {
                    tokio::task::yield_now().await;
                }
            });
            killed.await.expect("there is a router to kill");
        }
        let stored = Arc::clone(&stored);
        let count = Box::new(move |outcome: Result<_, BrokerError>| {
            outcome.expect("the store is well");
            stored.fetch_add(1, Ordering::SeqCst);
            None
        });
        let payload = format!("[{{\"value\":{number}}}]");
        broker
            .pubsub
            .publish(&publish(&broker.owner, &subscribed), payload.as_bytes(), count)
            .await
            .expect("accepted");
    }
    let values: Vec<usize> =
        received(&outbound_queue, &wake, WRITES).await.iter().map(|one| value(one)).collect();
    assert_eq!(values, (0..WRITES).collect::<Vec<_>>());
    // A callback runs after the notifications.
    let called_back = timeout(WAIT_MAX, async {
        while stored.load(Ordering::SeqCst) < WRITES as i64 {
            tokio::task::yield_now().await;
        }
    });
    called_back.await.expect("each callback is called");
    assert_eq!(stored.load(Ordering::SeqCst), WRITES as i64);
    assert!(broker.bus.health().rebuilds >= 1);
    assert_eq!(broker.bus.health().gaps, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_bus_stops_all_delivery_and_nothing_else() {
    let broker = TestBroker::open().await;
    let thng = broker.thng().await;
    let subscribed = topic(thng, "/properties/n");
    let (outbound_queue, wake) = outbound_queue();
    let request = RequestContext::subscribe(&broker.owner, subscribed.clone());
    let subscribe = broker.pubsub.subscribe(&request, &outbound_queue, 0, DeliveryQos::AtLeastOnce, None);
    let _watch = subscribe.await.expect("the owner watches");
    broker.pubsub.publish_and_wait(&publish(&broker.owner, &subscribed), b"1").await.expect("stored");
    assert_eq!(received(&outbound_queue, &wake, 1).await.len(), 1);

    broker.bus.stop();
    broker.pubsub.publish_and_wait(&publish(&broker.owner, &subscribed), b"2").await.expect("stored");
    // A bus that works has delivered by then.
    assert!(!broker.bus.flush(WAIT_MAX), "a stopped bus delivers nothing");
    let mut late = Vec::new();
    outbound_queue.take(&mut late);
    assert!(late.is_empty(), "{late:?} was delivered");
    let page = PageRequest { items: 10, order: SortOrder::OldestFirst, after: None };
    let Topic::Properties { key: Some(key), .. } = &subscribed.topic else { unreachable!("a property") };
    let owner = PropertyOwner::Thng(thng);
    let request = reader(&broker.owner);
    let history = broker.resources.history(&request, owner, key, TimeRange::default(), page.into()).await;
    let values: Vec<String> =
        history.expect("readable").items.iter().map(|update| update.value.as_str().to_owned()).collect();
    assert_eq!(values, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_finds_nothing_of_another_account_through_any_call() {
    let broker = TestBroker::open().await;
    let thng = broker.thng().await;
    let (pubsub, resources, stranger) = (&broker.pubsub, &broker.resources, &broker.stranger);
    let (outbound_queue, _wake) = outbound_queue();
    let owner = PropertyOwner::Thng(thng);
    for rest in ["", "/properties", "/properties/n"] {
        let topic = topic(thng, rest);
        let watch = pubsub
            .subscribe(
                &RequestContext::subscribe(stranger, topic.clone()),
                &outbound_queue,
                0,
                DeliveryQos::AtMostOnce,
                None,
            )
            .await;
        assert_eq!(watch.err(), Some(BrokerError::NotFound), "{rest}");
        let published =
            pubsub.publish_and_wait(&publish(stranger, &topic), br#"{"key":"n","value":1}"#).await;
        assert_eq!(published.err(), Some(BrokerError::NotFound), "{rest}");
        assert_eq!(
            pubsub.initial_state(&RequestContext::subscribe(stranger, topic.clone())).await.err(),
            Some(BrokerError::NotFound),
            "{rest}"
        );
    }
    let request = reader(stranger);
    assert_eq!(resources.read(&request, ResourceKind::Thng, thng).await.err(), Some(BrokerError::NotFound));
    assert_eq!(resources.properties(&request, owner).await.err(), Some(BrokerError::NotFound));
    assert_eq!(resources.delete(&request, ResourceKind::Thng, thng).await.err(), Some(BrokerError::NotFound));
    assert_eq!(
        resources.delete_properties(&request, owner, None, None).await.err(),
        Some(BrokerError::NotFound)
    );
    for (principal, count) in [(stranger, 0), (&broker.owner, 1)] {
        let list =
            resources.list(&reader(principal), ResourceKind::Thng, ListScope::All, &ListQuery::one()).await;
        assert_eq!(list.expect("a list").0.items.len(), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_thng_is_gone_for_the_next_call_whatever_is_cached() {
    let broker = TestBroker::open().await;
    for _ in 0..50 {
        let thng = broker.thng().await;
        let topic = topic(thng, "");
        broker
            .pubsub
            .publish_and_wait(&publish(&broker.owner, &topic), br#"{"name":"x"}"#)
            .await
            .expect("it is there");
        broker
            .resources
            .delete(&reader(&broker.owner), ResourceKind::Thng, thng)
            .await
            .expect("it is deleted");
        let again = broker.pubsub.publish_and_wait(&publish(&broker.owner, &topic), br#"{"name":"y"}"#).await;
        assert_eq!(again.err(), Some(BrokerError::NotFound));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_narrows_a_subscription_to_what_is_scoped_to_it() {
    let broker = TestBroker::open().await;
    let project = broker.create(ResourceKind::Project, "/projects", r#"{"name":"p"}"#).await.id;
    let patch = Patch::parse(ResourceKind::Thng, br#"{"name":"lamp"}"#).expect("a thng");
    let mut request = RequestContext::new(&broker.owner, Access::Create, "/");
    request.project = Some(project);
    let inside = broker.resources.create(&request, NewResource::of(patch), 0).await.expect("created");
    let outside = broker.thng().await;
    let (outbound_queue, wake) = outbound_queue();
    let mut watches = Vec::new();
    for (slot, thng) in [(0, inside.id), (1, outside)] {
        let topic = topic(thng, &format!("/properties/n?project={project}"));
        let watch = broker
            .pubsub
            .subscribe(
                &RequestContext::subscribe(&broker.owner, topic.clone()),
                &outbound_queue,
                slot,
                DeliveryQos::AtMostOnce,
                None,
            )
            .await;
        watches.push(watch.expect("the owner watches"));
    }
    for (thng, number) in [(outside, "1"), (inside.id, "2")] {
        let topic = topic(thng, "/properties/n");
        broker
            .pubsub
            .publish_and_wait(&publish(&broker.owner, &topic), number.as_bytes())
            .await
            .expect("stored");
    }
    assert!(broker.bus.flush(WAIT_MAX));
    assert_eq!(
        received(&outbound_queue, &wake, 1).await.iter().map(|one| value(one)).collect::<Vec<_>>(),
        [2]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_starts_at_the_next_write_and_can_be_repeated() {
    let broker = TestBroker::open().await;
    let thng = broker.thng().await;
    let subscribed = topic(thng, "/properties/n");
    for round in 0..200 {
        let (outbound_queue, wake) = outbound_queue();
        let write = async |value: usize| {
            let payload = value.to_string();
            broker
                .pubsub
                .publish_and_wait(&publish(&broker.owner, &subscribed), payload.as_bytes())
                .await
                .expect("stored");
        };
        let subscribe = async |earlier| {
            let qos = DeliveryQos::AtLeastOnce;
            broker
                .pubsub
                .subscribe(
                    &RequestContext::subscribe(&broker.owner, subscribed.clone()),
                    &outbound_queue,
                    0,
                    qos,
                    earlier,
                )
                .await
                .expect("the owner watches")
        };
        write(round * 10).await;
        let first = subscribe(None).await;
        write(round * 10 + 1).await;
        let _second = subscribe(Some(&first)).await;
        drop(first);
        write(round * 10 + 2).await;
        assert!(broker.bus.flush(WAIT_MAX));
        let mut values: Vec<usize> =
            received(&outbound_queue, &wake, 2).await.iter().map(|one| value(one)).collect();
        // While one replaces the other, a value may come twice, but none is missing and none is older.
        values.dedup();
        assert_eq!(values, [round * 10 + 1, round * 10 + 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_write_is_the_latest_when_the_clock_is_set_back() {
    const HOUR_MS: i64 = 3_600_000;
    const NOON_MS: i64 = 1_000_000_000_000;
    let broker = TestBroker::open().await;
    let thng = broker.thng().await;
    let subscribed = topic(thng, "/properties/n");
    let Topic::Properties { key: Some(key), .. } = &subscribed.topic else { unreachable!("a property") };
    let owner = PropertyOwner::Thng(thng);
    let write = async |at_ms: i64, payload: &str| {
        broker.clock.store(at_ms, Ordering::Relaxed);
        let published =
            broker.pubsub.publish_and_wait(&publish(&broker.owner, &subscribed), payload.as_bytes()).await;
        published.expect("stored");
        let latest = broker.resources.properties(&reader(&broker.owner), owner).await.expect("readable");
        let latest = latest.into_iter().find(|update| update.key == *key).expect("a value");
        (latest.value.as_str().to_owned(), latest.timestamp_ms)
    };
    let value = |value: &str, at_ms: i64| (value.to_owned(), at_ms);
    assert_eq!(write(NOON_MS, "1").await, value("1", NOON_MS));
    // A small step: time stays the same.
    assert_eq!(write(NOON_MS - 5 * 60_000, "2").await, value("2", NOON_MS));
    assert_eq!(broker.metrics.clock_steps.with_label_values(&["back"]).get(), 0);
    // An hour: the clock is followed, and the last value is the latest all the same.
    assert_eq!(write(NOON_MS - HOUR_MS, "3").await, value("3", NOON_MS - HOUR_MS));
    assert_eq!(write(NOON_MS - HOUR_MS + 1, "4").await, value("4", NOON_MS - HOUR_MS + 1));
    assert_eq!(broker.metrics.clock_steps.with_label_values(&["back"]).get(), 1);
    // A client that speaks of the past brings no latest value, and one that speaks of the future moves no time.
    let past = format!("[{{\"value\":5,\"timestamp\":{}}}]", NOON_MS - 2 * HOUR_MS);
    assert_eq!(write(NOON_MS - HOUR_MS + 2, &past).await.0, "4");
    let ahead_ms = NOON_MS + 240 * HOUR_MS;
    let future = format!("[{{\"value\":6,\"timestamp\":{ahead_ms}}}]");
    assert_eq!(write(NOON_MS - HOUR_MS + 3, &future).await, value("6", ahead_ms));
    assert_eq!(write(NOON_MS - HOUR_MS + 4, "7").await.0, "6", "its time is still to come");
    let page = PageRequest { items: 10, order: SortOrder::OldestFirst, after: None };
    let request = reader(&broker.owner);
    let history = broker.resources.history(&request, owner, key, TimeRange::default(), page.into()).await;
    let history: Vec<_> = history
        .expect("readable")
        .items
        .iter()
        .map(|update| (update.value.as_str().to_owned(), update.created_at_ms))
        .collect();
    let by_time: Vec<_> = history.iter().map(|(value, _)| value.as_str()).collect();
    assert_eq!(by_time, ["5", "3", "4", "7", "1", "2", "6"]);
    assert!(history.contains(&value("7", NOON_MS - HOUR_MS + 4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_project_leave_all_or_none_when_lists_queue() {
    let broker = TestBroker::open().await;
    let project = broker.create(ResourceKind::Project, "/projects", r#"{"name":"p"}"#).await.id;
    let mut request = RequestContext::new(&broker.owner, Access::Create, "/collections");
    request.project = Some(project);
    let create = async |kind: ResourceKind, document: &str| {
        let patch = Patch::parse(kind, document.as_bytes()).expect("a document");
        broker.resources.create(&request, NewResource::of(patch), 0).await.expect("it is created").id
    };
    let collection = create(ResourceKind::Collection, r#"{"name":"c"}"#).await;
    let document = format!(r#"{{"name":"n","collections":["{collection}"]}}"#);
    // More than one page of what is found.
    let count = 501;
    for _ in 0..count {
        create(ResourceKind::Thng, &document).await;
    }
    let mut request = RequestContext::new(&broker.owner, Access::Delete, "/collections");
    request.project = Some(project);
    // No change is answered before the turn is taken.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let hold = move |_| {
        let _ = released.recv();
        None
    };
    broker.pubsub.shared.writer.submit(Probe, 0, hold).await.expect("the writer takes it");
    let mut removal =
        Box::pin(broker.resources.remove_members(&request, collection, ResourceKind::Thng, None));
    // From the first change on, no scan gets a turn any more.
    let reading = reader(&broker.owner);
    let turn = loop {
        let polled = poll_fn(|context| Poll::Ready(removal.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "it waits for its first change: {polled:?}");
        if let Ok(turn) = timeout(Duration::from_millis(20), broker.resources.scans.turn(&reading)).await {
            break turn.expect("the queue is empty");
        }
    };
    drop(release);
    let removed = timeout(WAIT_MAX, removal).await.expect("it scans no more").expect("it is removed");
    assert_eq!(removed, count);
    drop(turn);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_is_noted_though_its_first_commit_fails() {
    const HOUR_MS: i64 = 3_600_000;
    let broker = TestBroker::open().await;
    let write = async |at_ms: i64| {
        broker.clock.store(at_ms, Ordering::Relaxed);
        let patch = Patch::parse(ResourceKind::Thng, br#"{"name":"n"}"#).expect("a document");
        let request = RequestContext::new(&broker.owner, Access::Create, "/thngs");
        broker.resources.create(&request, NewResource::of(patch), 0).await.map(drop)
    };
    write(9 * HOUR_MS).await.expect("stored");
    let database =
        rusqlite::Connection::open(broker.data.path().join("thng-pubsub.db")).expect("the database");
    let fault = "CREATE TRIGGER fault BEFORE INSERT ON resource BEGIN SELECT RAISE(ABORT, 'fault'); END";
    database.execute_batch(fault).expect("a trigger");
    assert!(write(HOUR_MS).await.is_err());
    let meta = || {
        let query = "SELECT body FROM note WHERE name = ?1";
        database.query_row(query, [CLOCK_SET_BACK], |row| row.get::<_, String>(0)).ok()
    };
    assert_eq!(meta(), None, "its commit was rolled back");
    database.execute_batch("DROP TRIGGER fault").expect("no trigger");
    write(HOUR_MS + 1).await.expect("stored");
    assert_eq!(meta(), Some((9 * HOUR_MS).to_string()));
    assert_eq!(broker.metrics.clock_steps.with_label_values(&["back"]).get(), 1);
    database.execute("DELETE FROM note WHERE name = ?1", [CLOCK_SET_BACK]).expect("no note");
    write(HOUR_MS + 2).await.expect("stored");
    assert_eq!(meta(), None, "it is noted once");
}
