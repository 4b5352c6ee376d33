//! Tests of calls that are made of several commands.

use thng_pubsub_protocol::{
    id::Id,
    payload::{MembershipChange, ResourceKind},
};

use crate::{
    commands::{ADDED_AT_ONCE, Command},
    error::BrokerError,
    resources::{ListQuery, ListScope, Outcome},
    testing::TestBroker,
};
use thng_pubsub_store::session_queue::{OpenedSession, QueueLimits};

async fn collection(broker: &TestBroker) -> Id {
    broker.create(ResourceKind::Collection, "/collections", r#"{"name":"c"}"#).await.id
}

fn change(broker: &TestBroker, collection: Id, change: MembershipChange, thngs: Vec<Id>) -> Command {
    Command::ChangeThngs { account: broker.owner.account, collection, change, thngs }
}

async fn members(broker: &TestBroker, collection: Id) -> usize {
    let (caller, query) = (super::reader(&broker.owner), ListQuery::one());
    let page =
        broker.resources.list(&caller, ResourceKind::Thng, ListScope::Members(collection), &query).await;
    page.expect("a list").0.items.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_step_that_fails_reports_what_is_changed() {
    let broker = TestBroker::open().await;
    let (first, second) = (collection(&broker).await, collection(&broker).await);
    let (there, gone) = (broker.thng().await, second);
    let add = |thng| change(&broker, first, MembershipChange::ThngsAdded, vec![thng]);
    let refused = broker.resources.shared.count_of_all(vec![add(there), add(gone)]).await;
    let Err(BrokerError::Invalid(sentences)) = refused else { panic!("{refused:?}") };
    assert_eq!(sentences[1], "Earlier steps of this call have changed 1 resources.");
    assert_eq!(members(&broker, first).await, 1);
    assert_eq!(broker.resources.shared.count_of_all(vec![add(there), add(there)]).await, Ok(0));
}

#[test]
fn a_store_that_fails_between_two_steps_is_reported() {
    let refusal = BrokerError::Unavailable.after_steps(2_500);
    assert_eq!(refusal, BrokerError::StoppedPartway(2_500));
    assert!(refusal.is_temporary());
    let sentence = refusal.document().errors.join(" ");
    assert!(sentence.contains("2500 resources of this call are changed; repeat it"), "{sentence}");
    assert_eq!(BrokerError::Unavailable.after_steps(0), BrokerError::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_a_large_addition_waits_for_a_scan_turn() {
    let broker = TestBroker::open_with(|settings| settings.scans.queue_max = 0).await;
    let (collection, thng) = (collection(&broker).await, broker.thng().await);
    let add = |count| change(&broker, collection, MembershipChange::ThngsAdded, vec![thng; count]);
    let scans = broker.resources.scans.turn_of(&broker.owner).await.expect("the only turn");
    let steps = broker.resources.steps(&broker.owner, add(ADDED_AT_ONCE + 1)).await;
    assert!(matches!(steps, Err(BrokerError::TooManyScans)), "{steps:?}");
    assert_eq!(broker.resources.steps(&broker.owner, add(ADDED_AT_ONCE)).await.expect("one step").len(), 1);
    drop(scans);
    let steps = broker.resources.steps(&broker.owner, add(ADDED_AT_ONCE + 1)).await;
    assert_eq!(steps.expect("two steps").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_a_received_qos_2_publish_is_repeated() {
    let broker = TestBroker::open().await;
    let (collection, thng) = (collection(&broker).await, broker.thng().await);
    let limits = QueueLimits {
        sessions: 1,
        sessions_per_key: 1,
        subscriptions: 1,
        messages_per_topic: 1,
        bytes: 1 << 20,
    };
    let (account, key) = (broker.owner.account, broker.owner.key);
    let open = Command::OpenSession { account, key, client_id: "c".into(), limits };
    let shared = &broker.resources.shared;
    let Ok(Outcome::Session(OpenedSession::Started(session))) = shared.execute(open, 0).await else {
        panic!("no session")
    };
    let step = |is_last| {
        let command = Box::new(change(&broker, collection, MembershipChange::ThngsAdded, vec![thng]));
        Command::PublishOnce { session, packet_id: 1, command, is_last }
    };
    let remove = || change(&broker, collection, MembershipChange::ThngsRemoved, vec![thng]);
    assert_eq!(shared.count_of_all(vec![step(false), step(true), remove()]).await, Ok(2));
    assert_eq!(shared.count_of_all(vec![step(false)]).await, Ok(0), "it is received");
    assert_eq!(members(&broker, collection).await, 0);
}
