//! Tests of calls that are made of several commands.

use std::{pin::pin, time::Instant};

use futures_util::FutureExt as _;
use thng_pubsub_protocol::{
    id::Id,
    payload::{MembershipChange, ResourceKind, THNGS_MAX},
    topic::table::Access,
};

use crate::{
    commands::{ADDED_AT_ONCE, Bound, ChangeThngs, CommandError, OpenSession, Probe, PublishOnce},
    error::BrokerError,
    random,
    request::RequestContext,
    resources::{ListQuery, ListScope},
    testing::TestBroker,
};
use thng_pubsub_store::session_queue::{OpenedSession, QueueLimits};

async fn collection(broker: &TestBroker) -> Id {
    broker.create(ResourceKind::Collection, "/collections", r#"{"name":"c"}"#).await.id
}

fn change(broker: &TestBroker, collection: Id, change: MembershipChange, thngs: Vec<Id>) -> ChangeThngs {
    ChangeThngs { account: broker.owner.account, collection, change, thngs }
}

async fn members(broker: &TestBroker, collection: Id) -> usize {
    let (request, query) = (super::reader(&broker.owner), ListQuery::one());
    let page =
        broker.resources.list(&request, ResourceKind::Thng, ListScope::Members(collection), &query).await;
    page.expect("a list").0.items.len()
}

/// No command is answered until this is dropped.
async fn hold_answers(broker: &TestBroker) -> std::sync::mpsc::Sender<()> {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let hold = move |_| {
        let _ = released.recv();
        None
    };
    broker.resources.shared.writer.submit(Probe, 0, hold).await.expect("the writer takes it");
    release
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_step_that_fails_reports_what_is_changed() {
    let broker = TestBroker::open().await;
    let (first, second) = (collection(&broker).await, collection(&broker).await);
    let (there, gone) = (broker.thng().await, Id::generate(random::byte));
    let add_to = |collection, thng| change(&broker, collection, MembershipChange::ThngsAdded, vec![thng]);
    let add = |thng| add_to(first, thng);
    let shared = &broker.resources.shared;
    // A thng that is none, and a collection that is gone.
    for (refused_step, reason) in [(add(second), "invalid"), (add_to(gone, there), "not_found")] {
        let thng = broker.thng().await;
        let refusal = shared.count_of_all(vec![add(thng), refused_step]).await.expect_err("a refusal");
        let document = refusal.document();
        assert_eq!((refusal.reason(), document.errors.len()), (reason, 2), "{refusal:?}");
        assert_eq!(document.errors[1], "1 resource of this call is changed already.");
    }
    assert_eq!(shared.count_of_all(vec![add(there), add(there)]).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_is_made_although_its_client_has_gone() {
    let broker = TestBroker::open().await;
    let request = RequestContext::new(&broker.owner, Access::Create, "/");
    let body = br#"{"email":"new@example.com","firstName":"New","lastName":"Operator","role":"admin"}"#;
    let held = hold_answers(&broker).await;
    let first_poll = broker.identity.create_access(&request, body).now_or_never();
    assert!(first_poll.is_none(), "it waits for the writer");
    drop(held);
    let (request, query) = (super::reader(&broker.owner), ListQuery::one());
    let accesses = async || {
        let page = broker.resources.list(&request, ResourceKind::Access, ListScope::All, &query).await;
        page.expect("a list").0.items
    };
    let began = Instant::now();
    while !accesses().await[0].body.contains("new@example.com") {
        assert!(began.elapsed() < super::WAIT_MAX, "the operator has no access");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_emptied_although_its_client_has_gone() {
    let broker = TestBroker::open().await;
    let (collection, mut thngs) = (collection(&broker).await, Vec::new());
    for _ in 0..=ADDED_AT_ONCE.max(THNGS_MAX) {
        thngs.push(broker.thng().await);
    }
    let shared = &broker.resources.shared;
    for part in thngs.chunks(ADDED_AT_ONCE) {
        let add = change(&broker, collection, MembershipChange::ThngsAdded, part.to_vec());
        shared.count_of_all(vec![add]).await.expect("added");
    }
    let request = RequestContext::new(&broker.owner, Access::Delete, "/collections");
    let held = hold_answers(&broker).await;
    let removal = broker.resources.remove_members(&request, collection, ResourceKind::Thng, None);
    assert!(removal.now_or_never().is_none(), "it waits for the writer");
    drop(held);
    let began = Instant::now();
    while members(&broker, collection).await > 0 {
        assert!(began.elapsed() < super::WAIT_MAX, "a later step did not come");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_panic_report_what_is_changed() {
    let broker = TestBroker::open().await;
    let panics = |changed: usize| {
        broker.resources.shared.in_steps(move |_, count| async move {
            count.add(changed);
            assert_eq!(changed, usize::MAX, "a panic of the test");
            Ok(())
        })
    };
    assert_eq!(panics(2).await, Err(BrokerError::StoppedPartway(2)));
    assert_eq!(panics(0).await, Err(BrokerError::Unavailable));
}

#[test]
fn a_refused_later_step_does_not_deny_what_is_changed() {
    let beyond = || CommandError::BeyondBound { bound: Bound::Bytes, sentence: "Too much.".into() };
    let sentences = |changed| BrokerError::from(beyond()).after_steps(changed).document().errors;
    assert_eq!(sentences(0), ["Too much.", "Nothing was changed."]);
    assert_eq!(sentences(3), ["Too much.", "3 resources of this call are changed already."]);
    let twice = BrokerError::NotFound.after_steps(3).after_steps(4);
    assert_eq!((twice.reason(), twice.is_temporary()), ("not_found", false));
    assert_eq!(twice.document().errors[1], "7 resources of this call are changed already.");
}

/// More than a slice of time is for on a busy machine.
const DELETED: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_deletion_gives_its_turn_up_once_per_slice() {
    let broker = TestBroker::open().await;
    let mut ids = Vec::new();
    for _ in 0..DELETED {
        ids.push(broker.thng().await);
    }
    let (request, query) = (super::reader(&broker.owner), ListQuery { ids: Some(ids), ..ListQuery::one() });
    let mut deletion = pin!(broker.resources.delete_many(&request, ResourceKind::Thng, &query));
    let mut turns = 0;
    loop {
        // Counted are those turns that the deletion has and gives up.
        turns += usize::from(broker.resources.scans.turn_of(&broker.stranger).now_or_never().is_none());
        tokio::select! {
            biased;
            deleted = &mut deletion => break assert_eq!(deleted, Ok(DELETED)),
            turn = broker.resources.scans.turn_of(&broker.stranger) => drop(turn.expect("a turn")),
        }
        tokio::task::yield_now().await;
    }
    assert!(turns < DELETED / 2, "{turns} turns of others between {DELETED} looks");
}

#[test]
fn a_store_that_fails_between_two_steps_is_reported() {
    let refusal = BrokerError::Unavailable.after_steps(2_500);
    assert_eq!(refusal, BrokerError::StoppedPartway(2_500));
    assert!(refusal.is_temporary());
    let sentence = refusal.document().errors.join(" ");
    assert!(sentence.contains("2500 resources of this call are changed already. Repeat it"), "{sentence}");
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
    let open = OpenSession { account, key, client_id: "c".into(), limits };
    let shared = &broker.resources.shared;
    let Ok(OpenedSession::Started(session)) = shared.execute(open, 0).await else { panic!("no session") };
    let step = |is_last| {
        let command = change(&broker, collection, MembershipChange::ThngsAdded, vec![thng]);
        PublishOnce { session, packet_id: 1, command, is_last }
    };
    let remove = || change(&broker, collection, MembershipChange::ThngsRemoved, vec![thng]);
    assert_eq!(shared.count_of_all(vec![step(false), step(true)]).await, Ok(1));
    assert_eq!(shared.execute(remove(), 0).await, Ok(1));
    assert_eq!(shared.count_of_all(vec![step(false)]).await, Ok(0), "it is received");
    assert_eq!(members(&broker, collection).await, 0);
}
