//! Deletions take effect at once, and the rows behind them are freed in bounded steps.

use super::*;

#[test]
fn mass_deletions_take_effect_at_once_and_are_freed_in_steps() {
    let mut store = Fixture::new();
    store.append(0..10, "a");
    store.delete_below(8);
    // Said twice it is the same.
    store.delete_below(8);
    assert_eq!(store.history(), ["8a", "9a"]);
    assert_eq!(store.latest().as_deref(), Some("9a"));
    assert_eq!(store.rows("event"), 10, "nothing is freed while the writer is waited for");
    assert!(store.write.reclaim().expect("a step"));
    assert_eq!(store.rows("event"), 8);
    store.reclaim_all();
    assert_eq!(store.rows("event"), 2);
    assert_eq!(store.rows("doomed"), 0);
    assert_eq!(store.history(), ["8a", "9a"]);
}

#[test]
fn a_page_behind_a_cursor_omits_what_was_deleted_meanwhile() {
    for order in [SortOrder::NewestFirst, SortOrder::OldestFirst] {
        let mut store = Fixture::new();
        store.append([0, 1, 2, 3, 3, 3, 3, 3, 3, 8, 9], "a");
        let page = |store: &Fixture, after| {
            let request = PageRequest { items: 4, order, after };
            store.read.history(owner(), &key("k"), TimeRange::default(), request.into()).expect("a page")
        };
        // Four of the newest or oldest: the cursor is among the threes, or before them.
        let cursor = page(&store, None).next;
        store.delete_below(8);
        let left: Vec<i64> = page(&store, cursor).items.iter().map(|update| update.timestamp_ms).collect();
        assert_eq!(left, if order == SortOrder::NewestFirst { vec![] } else { vec![8, 9] });
    }
}

#[test]
fn a_value_after_a_deletion_counts_despite_an_older_timestamp() {
    let mut store = Fixture::new();
    // The last one that is deleted is also the last in the log.
    store.append([8, 9, 0, 1, 2, 3, 4, 5, 6, 7], "a");
    store.delete_below(8);
    store.append([3], "late");
    assert_eq!(store.history(), ["3late", "8a", "9a"]);
    // A second deletion reaches less far in time, but further in the log.
    store.append(0..6, "later");
    store.delete_below(5);
    assert_eq!(store.history(), ["5later", "8a", "9a"]);
    let mut store = store.restart();
    store.append([4, 1], "last");
    for _ in 0..20 {
        assert_eq!(store.history(), ["1last", "4last", "5later", "8a", "9a"]);
        store.write.reclaim().expect("a step");
    }
    assert_eq!(store.rows("event"), 5);
    assert_eq!(store.latest().as_deref(), Some("9a"));
}

#[test]
fn a_property_rewritten_after_its_deletion_starts_anew() {
    let mut store = Fixture::new();
    store.append(0..10, "a");
    store.commit(|write| write.delete_properties(owner(), Some(&key("k")), None));
    assert_eq!((store.history(), store.latest()), (Vec::new(), None));
    store.append([2], "b");
    // Everything is below 50: nothing is left, not even a latest value.
    assert_eq!((store.history(), store.latest().as_deref()), (vec!["2b".into()], Some("2b")));
    store.delete_below(50);
    assert_eq!((store.history(), store.latest()), (Vec::new(), None));
    store.append([1], "c");
    store.reclaim_all();
    assert_eq!((store.history(), store.latest().as_deref()), (vec!["1c".into()], Some("1c")));
    assert_eq!(store.rows("event"), 1);
}

#[test]
fn a_deleted_thng_loses_its_properties_and_is_logged() {
    let mut store = Fixture::new();
    let thng = store.put(thng(7, &[50]));
    store.append(0..10, "a");
    store.commit(|write| write.delete_resource(&thng, 200));
    assert_eq!(store.read.resource(thng.id).expect("read"), None);
    assert_eq!(store.write.resource_meta(thng.id).expect("read"), None);
    assert_eq!(store.read.latest(owner()).expect("read"), []);
    assert_eq!(store.history(), [""; 0]);
    store.reclaim_all();
    assert_eq!((store.rows("event"), store.rows("term"), store.rows("latest")), (2, 0, 0));
    let last: (i64, i64, String) = store
        .write
        .connection()
        .query_row("SELECT kind, at, body FROM event ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .expect("the last event");
    assert_eq!(last, (4, 200, thng.body.to_string()));
}

#[test]
fn children_of_a_deleted_resource_are_freed_in_steps() {
    let mut store = Fixture::new();
    let of = |number, kind, parent: Option<u64>| {
        let mut fields = Fields::new(kind);
        if kind == ResourceKind::User {
            fields.set_text("email", &format!("u{number}@example.org"));
        }
        let body = fields.document(Some(&id(number)), 100).into();
        ResourceRecord { kind, parent: parent.map(id), body, ..thng(number, &[]) }
    };
    let project = store.put(of(10, ResourceKind::Project, None));
    store.put(of(20, ResourceKind::Application, Some(10)));
    let other = store.put(of(21, ResourceKind::Application, Some(11)));
    for number in 30..37 {
        store.put(of(number, ResourceKind::User, Some(20)));
        let key = KeyRecord {
            hash: KeyHash([number as u8; 32]),
            account: id(1),
            actor: Actor::User(id(number)),
            nonce: None,
            created_at_ms: 5,
        };
        store.commit(|write| write.add_key(&key));
    }
    store.put(of(40, ResourceKind::User, Some(21)));
    store.commit(|write| write.delete_resource(&project, 200));
    assert!(store.read.resource(id(30)).expect("read").is_some(), "nobody waits for all of them");
    let mut store = store.restart();
    assert!(store.reclaim_all() > 3);
    assert_eq!((store.rows("resource"), store.rows("api_key"), store.rows("orphaned")), (2, 0, 0));
    assert_eq!((store.rows("unique_name"), store.rows("term")), (1, 4));
    assert_eq!(store.read.resource(id(21)).expect("read"), Some(other));
}

#[test]
fn members_join_once_and_leave_with_their_collection() {
    let mut store = Fixture::new();
    let collection = |number| ResourceRecord { kind: ResourceKind::Collection, ..thng(number, &[]) };
    let group = store.put(collection(1000));
    store.put(collection(1001));
    for number in 10..14 {
        store.put(thng(number, &[]));
    }
    let kind = ResourceKind::Thng;
    let ids: Vec<Id> = (10..15).map(id).collect();
    assert_eq!(store.commit(|write| write.add_members(id(1000), kind, &ids)), ids[..4]);
    assert_eq!(store.commit(|write| write.add_members(id(1000), kind, &ids)), []);
    store.commit(|write| write.add_members(id(1001), kind, &ids[..1]));
    store.commit(|write| write.add_members(id(1000), ResourceKind::Collection, &[id(1001)]));
    assert_eq!(store.read.collections_of(id(10)).expect("read"), [id(1000), id(1001)]);
    assert_eq!(store.read.collections_of(id(1001)).expect("read"), [id(1000)]);
    let removed = store.commit(|write| write.remove_members(id(1000), kind, Members::These(&ids[3..])));
    assert_eq!(removed, ids[3..4]);
    let removed = store.commit(|write| write.remove_members(id(1000), kind, Members::UpTo(2)));
    assert_eq!(removed, ids[..2]);
    let twelve = store.read.resource(id(12)).expect("read").expect("it is there");
    store.commit(|write| write.delete_resource(&twelve, 1));
    store.commit(|write| write.delete_resource(&group, 1));
    assert_eq!(store.read.collections_of(id(1001)).expect("read"), [], "what is gone is not shown");
    store.reclaim_all();
    assert_eq!(store.rows("member"), 1);
    assert_eq!(store.read.collections_of(id(10)).expect("read"), [id(1001)]);
}

#[test]
fn many_deleted_series_are_freed_in_bounded_steps_too() {
    let mut store = Fixture::new();
    let updates: Vec<_> = (0..20).map(|n| update(&format!("k{n}"), 1, "1")).collect();
    store.commit(|write| write.append_properties(id(1), owner(), &updates));
    store.commit(|write| write.delete_properties(owner(), None, None));
    assert_eq!((store.rows("series"), store.rows("event")), (0, 20));
    assert!(store.reclaim_all() > 5);
    assert_eq!((store.rows("doomed"), store.rows("event")), (0, 0));
    assert!(!store.write.reclaim().expect("nothing to free"));
}
