//! The journal of client events: its bounds in number, bytes and age, its order, and the owners of revoked keys.

use thng_pubsub_protocol::id::Id;

use crate::{
    Actor, ClientEventFile, KeyHash, PageRequest, SortOrder,
    client_events::{
        EventOwner, EventRequest, EventScope, JournalLimits, NewClientEvent, RepeatedClientEvent,
        StoredClientEvent,
    },
};

const LIMITS: JournalLimits = JournalLimits { events: 1_000, bytes: 1 << 30, age_ms: 1_000_000 };

fn id(letter: &str) -> Id {
    Id::parse(&letter.repeat(24)).expect("an id")
}

fn event(account: Option<Id>, at_ms: i64, text: &str) -> NewClientEvent {
    let owner = EventOwner {
        account,
        key: account.map(|_| KeyHash([7; 32])),
        actor: account.map(|_| Actor::Device(id("d"))),
    };
    let document = format!(r#"{{"event":"refused","clientId":"{text}"}}"#);
    NewClientEvent { owner, first_at_ms: at_ms, last_at_ms: at_ms, count: 1, document }
}

fn all(file: &ClientEventFile, scope: EventScope) -> Vec<StoredClientEvent> {
    let page = PageRequest { items: 1_000, order: SortOrder::NewestFirst, after: None };
    let request = EventRequest { scope, page, looked_at_max: 10_000 };
    file.list(&request, &mut |_| true).expect("it is read").items
}

fn count(file: &ClientEventFile, account: &str) -> usize {
    all(file, EventScope::Account(id(account))).len()
}

#[test]
fn the_account_with_most_events_loses_its_oldest() {
    let folder = tempfile::tempdir().expect("a folder");
    let file =
        ClientEventFile::open(folder.path(), JournalLimits { events: 10, ..LIMITS }).expect("a new file");
    let store = |account: &str, count: i64| {
        for at_ms in 0..count {
            file.store(&[event(Some(id(account)), at_ms, &format!("{account}{at_ms}"))], &[], at_ms)
                .expect("it is stored");
        }
    };
    store("a", 3);
    store("b", 20);
    assert_eq!((count(&file, "a"), count(&file, "b")), (3, 7));
    store("c", 20);
    assert_eq!((count(&file, "a"), count(&file, "b") + count(&file, "c")), (3, 7));
    assert!(count(&file, "b").abs_diff(count(&file, "c")) <= 1);
    let newest = &all(&file, EventScope::Account(id("c")))[0];
    assert!(newest.document.contains("c19"), "{newest:?}");
    assert_eq!(file.size().events, 10);
    let reopened = ClientEventFile::open(folder.path(), LIMITS).expect("it is read");
    assert_eq!(reopened.size(), file.size());
}

#[test]
fn bytes_and_age_bound_what_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = JournalLimits { bytes: 64 << 10, ..LIMITS };
    let file = ClientEventFile::open(folder.path(), limits).expect("a new file");
    for at_ms in 0..500 {
        file.store(&[event(Some(id("a")), at_ms, &"x".repeat(200))], &[], at_ms).expect("it is stored");
    }
    assert!(file.size().bytes <= limits.bytes && file.size().events > 10, "{:?}", file.size());
    let later = limits.age_ms + 499;
    file.store(&[event(None, later, "new")], &[], later).expect("it is stored");
    assert_eq!(file.size().events, 2, "one is as old as it may be");
}

#[test]
fn a_repeated_event_keeps_its_place_and_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = ClientEventFile::open(folder.path(), LIMITS).expect("a new file");
    let seqs = file.store(&[event(None, 1, "first"), event(Some(id("a")), 2, "second")], &[], 2);
    let first = seqs.expect("they are stored")[0];
    file.store(&[], &[RepeatedClientEvent { seq: first, last_at_ms: 9, count: 4 }], 9).expect("it is stored");
    let found = all(&file, EventScope::AccountAndUnattributed(id("a")));
    let shown: Vec<_> =
        found.iter().map(|event| (event.first_at_ms, event.last_at_ms, event.count)).collect();
    assert_eq!(shown, [(2, 2, 1), (1, 9, 5)]);
    assert_eq!(all(&file, EventScope::Account(id("a"))).len(), 1);
    assert_eq!(all(&file, EventScope::Actor(id("a"), Actor::Device(id("d")))).len(), 1);
    assert_eq!(all(&file, EventScope::Actor(id("b"), Actor::Device(id("d")))), []);
}

#[test]
fn pages_follow_each_other_in_both_orders() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = ClientEventFile::open(folder.path(), LIMITS).expect("a new file");
    let events: Vec<_> = (0..300).map(|at_ms| event((at_ms % 2 == 0).then(|| id("a")), at_ms, "x")).collect();
    file.store(&events, &[], 300).expect("they are stored");
    for order in [SortOrder::NewestFirst, SortOrder::OldestFirst] {
        let (mut after, mut times) = (None, Vec::new());
        loop {
            let page = PageRequest { items: 7, order, after };
            let scope = EventScope::AccountAndUnattributed(id("a"));
            let request = EventRequest { scope, page, looked_at_max: 50 };
            let found = file.list(&request, &mut |event| event.first_at_ms % 3 == 0).expect("it is read");
            assert!(found.items.len() <= 7);
            times.extend(found.items.iter().map(|event| event.first_at_ms));
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        let mut expected: Vec<i64> = (0..300).filter(|at_ms| at_ms % 3 == 0).collect();
        if order == SortOrder::NewestFirst {
            expected.reverse();
        }
        assert_eq!(times, expected);
    }
}

#[test]
fn the_owner_of_a_revoked_key_is_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = ClientEventFile::open(folder.path(), LIMITS).expect("a new file");
    let owner =
        EventOwner { account: Some(id("a")), key: Some(KeyHash([1; 32])), actor: Some(Actor::User(id("u"))) };
    file.remember_revoked(&[owner], 1).expect("it is stored");
    assert_eq!(file.revoked(&KeyHash([1; 32])).expect("it is read"), Some(owner));
    assert_eq!(file.revoked(&KeyHash([2; 32])).expect("it is read"), None);
}

#[test]
fn a_hundred_thousand_events_take_less_than_64_mib() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = JournalLimits { events: 100_000, bytes: 56 << 20, ..LIMITS };
    let file = ClientEventFile::open(folder.path(), limits).expect("a new file");
    for batch in 0..55 {
        let events: Vec<_> = (0..2_000)
            .map(|number| {
                let number = batch * 2_000 + number;
                let document = format!(
                    concat!(
                        r#"{{"event":"refused","what":"publish","reason":"not_found","#,
                        r#""sentence":"the resource does not exist, or not for this API key","#,
                        r#""protocol":"mqtt","clientId":"lamp-{:06}","address":"192.0.2.7","#,
                        r#""topic":"/thngs/UeECn9a8PBpar8x4FEGdMsDd/properties"}}"#
                    ),
                    number
                );
                NewClientEvent { document, ..event(Some(id("a")), number, "") }
            })
            .collect();
        file.store(&events, &[], batch).expect("they are stored");
    }
    assert_eq!(file.size().events, 100_000);
    let names = ["client-events.db", "client-events.db-wal", "client-events.db-shm"];
    let bytes = names.map(|name| std::fs::metadata(folder.path().join(name)).map_or(0, |file| file.len()));
    assert!(bytes.iter().sum::<u64>() < 64 << 20, "{bytes:?}");
}
