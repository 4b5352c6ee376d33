//! Lists: what is found by seeking and merging is what a walk over everything would find, page by page.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use proptest::{collection::vec, prelude::*};
use thng_pubsub_protocol::payload::{Fields, Patch};

use super::{
    Fixture, Id, IndexScan, ListRequest, PageRequest, ReadStore, ResourceKind, ResourceRecord, SortOrder,
    WriteStore, id, index_key, thng, thng_of,
};
use crate::{OpenTask, ScanBounds, Sequence};

const TAGS: u64 = 4;

fn tagged(number: u64, tags: &BTreeSet<u64>) -> ResourceRecord {
    let tags: Vec<String> = tags.iter().map(|tag| format!("\"t{tag}\"")).collect();
    thng_of(number, &[], &format!("{{\"tags\":[{}]}}", tags.join(",")))
}

fn by_tag(tag: u64) -> IndexScan {
    IndexScan::Key(index_key(id(1), ResourceKind::Thng, "tags", &format!("t{tag}")))
}

/// A source, and whether a thng with this number and these tags is in it.
fn source() -> impl Strategy<Value = IndexScan> {
    let leaf = prop_oneof![
        1 => Just(IndexScan::All),
        4 => (0..TAGS).prop_map(by_tag),
        2 => vec(0_u64..14, 0..6).prop_map(|numbers| IndexScan::Ids(numbers.into_iter().map(id).collect())),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(IndexScan::Each),
            vec(inner, 1..4).prop_map(IndexScan::Any),
        ]
    })
}

fn holds(source: &IndexScan, number: u64, tags: &BTreeSet<u64>) -> bool {
    match source {
        IndexScan::All => true,
        IndexScan::Key(_) => (0..TAGS).any(|tag| *source == by_tag(tag) && tags.contains(&tag)),
        IndexScan::Members(_) => unreachable!("none is made here"),
        IndexScan::Ids(ids) => ids.contains(&id(number)),
        IndexScan::Each(sources) => sources.iter().all(|source| holds(source, number, tags)),
        IndexScan::Any(sources) => sources.iter().any(|source| holds(source, number, tags)),
    }
}

fn find(source: &IndexScan, page: PageRequest, skip: usize, looked_at_max: usize) -> ListRequest<'static> {
    let (account, kind) = (id(1), ResourceKind::Thng);
    ListRequest {
        account,
        kind,
        source: source.clone(),
        record_filter: None,
        page,
        skip,
        looked_at_max,
        bounds: ScanBounds::NONE,
    }
}

fn ids(store: &Fixture, source: &IndexScan, items: usize, order: SortOrder, looked_at_max: usize) -> Vec<Id> {
    let (mut all, mut after) = (Vec::new(), None);
    for _ in 0..10_000 {
        let page = PageRequest { items, order, after };
        let found = store.read.find(&find(source, page, 0, looked_at_max)).expect("a page");
        assert!(found.items.len() <= items);
        all.extend(found.items.iter().map(|record| record.id));
        after = found.scanned.next;
        if after.is_none() {
            return all;
        }
    }
    panic!("it comes to an end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_source_finds_what_a_walk_would_find_in_both_orders(
        all in vec(prop::collection::btree_set(0..TAGS, 0..4), 0..14),
        changed in vec((0_usize..14, prop::collection::btree_set(0..TAGS, 0..4)), 0..4),
        sources in vec(source(), 1..6),
        items in 1_usize..4,
        looked_at_max in prop_oneof![Just(1_usize), Just(2), Just(1_000)],
    ) {
        let mut store = Fixture::new();
        let mut all = all;
        for (number, tags) in all.iter().enumerate() {
            store.put(tagged(number as u64, tags));
        }
        for (number, tags) in changed {
            if let Some(known) = all.get_mut(number) {
                known.clone_from(&tags);
                store.put(tagged(number as u64, &tags));
            }
        }
        // One of another account and one of another kind, which no list shows.
        store.put(ResourceRecord { account: id(2), ..tagged(50, &(0..TAGS).collect()) });
        store.put(ResourceRecord { kind: ResourceKind::Product, ..tagged(51, &(0..TAGS).collect()) });
        for source in sources {
            let mut expected: Vec<Id> = (0..all.len() as u64)
                .filter(|number| holds(&source, *number, &all[*number as usize]))
                .map(id)
                .collect();
            for order in [SortOrder::OldestFirst, SortOrder::NewestFirst] {
                prop_assert_eq!(&ids(&store, &source, items, order, looked_at_max), &expected, "{:?}", source);
                let page = PageRequest { items: 100, order, after: None };
                let rest = store.read.find(&find(&source, page, 2, 1_000)).expect("a page");
                let rest: Vec<Id> = rest.items.iter().map(|record| record.id).collect();
                prop_assert_eq!(&rest[..], expected.get(2..).unwrap_or_default(), "behind two");
                prop_assert_eq!(store.read.count(&find(&source, page, 0, 1_000)).expect("a count").0, expected.len());
                expected.reverse();
            }
        }
    }
}

#[test]
fn a_scan_stops_at_the_bound_of_overtaking_and_continues_there() {
    let mut store = Fixture::new();
    for number in 0..200 {
        store.put(tagged(number, &[number % 2].into()));
    }
    store.put(tagged(200, &[0, 1].into()));
    for number in 201..400 {
        store.put(tagged(number, &[number % 2].into()));
    }
    let both = IndexScan::Each(vec![by_tag(0), by_tag(1)]);
    let page = PageRequest { items: 10, order: SortOrder::NewestFirst, after: None };
    let first = store.read.find(&find(&both, page, 0, 5)).expect("a page");
    assert!(first.items.is_empty() && first.scanned.next.is_some());
    assert_eq!(ids(&store, &both, 10, SortOrder::NewestFirst, 5), [id(200)]);
}

/// Where the first slice of a search ends that finds nothing: thngs 0 to 399 have one of two tags each.
fn end_of_slice(store: &Fixture, sources: usize, looked_at_max: usize, bounds: ScanBounds) -> Sequence {
    let source = IndexScan::Each((0..sources as u64).map(|source| by_tag(source % 2)).collect());
    let page = PageRequest { items: 10, order: SortOrder::OldestFirst, after: None };
    let find = ListRequest { bounds, ..find(&source, page, 0, looked_at_max) };
    let first = store.read.find(&find).expect("a page");
    assert!(first.items.is_empty());
    first.scanned.next.expect("it goes on").seq
}

fn alternating() -> (Fixture, Sequence) {
    let mut store = Fixture::new();
    let first = store.put(tagged(0, &[0].into())).created_seq;
    (1..400).for_each(|number| drop(store.put(tagged(number, &[number % 2].into()))));
    (store, first)
}

#[test]
fn sources_that_overtake_one_another_stop_in_time() {
    let (store, first) = alternating();
    let over = ScanBounds { until: Some(Instant::now()), ..ScanBounds::NONE };
    assert!(end_of_slice(&store, 2, 10_000, over) <= first + 2, "it has moved, and not gone on");
    let ample = ScanBounds { until: Some(Instant::now() + Duration::from_secs(3_600)), ..ScanBounds::NONE };
    assert!(end_of_slice(&store, 2, 100, ample) > first + 50);
}

#[test]
fn each_seek_of_sources_that_overtake_one_another_counts() {
    let (store, first) = alternating();
    for sources in [2, 20] {
        let end = end_of_slice(&store, sources, 100, ScanBounds::NONE) - first;
        assert!((50..=101).contains(&end), "{sources} sources moved by {end}");
    }
}

#[test]
fn open_tasks_are_the_oldest_of_each_account() {
    let mut store = Fixture::new();
    let mut put = |number: u64, account: u64, status: &str| {
        let patch = Patch::parse(ResourceKind::Task, br#"{"type":"POPULATING"}"#).expect("a document");
        let mut fields = Fields::new(ResourceKind::Task);
        fields.apply(&patch, false).expect("it fits");
        fields.set_text("status", status);
        let body = fields.document(Some(&id(number)), 100).into();
        let (account, kind) = (id(account), ResourceKind::Task);
        store.put(ResourceRecord { account, kind, body, ..thng(number, &[]) });
    };
    (0..5).for_each(|number| put(number, 1, "EXECUTING"));
    put(5, 1, "FINISHED");
    put(6, 2, "FINISHED");
    put(7, 2, "PENDING");
    let open = store.read.open_tasks(3).expect("a look");
    let expected = [(1, 0), (1, 1), (1, 2), (2, 7)];
    assert_eq!(open, expected.map(|(account, task)| OpenTask { account: id(account), task: id(task) }));
}

#[test]
fn a_record_filter_may_read_collections_during_the_scan() {
    let mut store = Fixture::new();
    store.put(ResourceRecord { kind: ResourceKind::Collection, ..tagged(1000, &BTreeSet::new()) });
    for number in 0..5 {
        store.put(tagged(number, &BTreeSet::new()));
    }
    store.commit(|write| write.add_members(id(1000), ResourceKind::Thng, &[id(1), id(3)]));
    let record_filter = |_: &ResourceRecord, collections: &dyn Fn() -> Vec<Id>| collections() == [id(1000)];
    let page = PageRequest { items: 10, order: SortOrder::OldestFirst, after: None };
    let request =
        ListRequest { record_filter: Some(&record_filter), ..find(&IndexScan::All, page, 0, 1_000) };
    let selected: Vec<Id> =
        store.read.find(&request).expect("a page").items.iter().map(|record| record.id).collect();
    assert_eq!(selected, [id(1), id(3)]);
    assert_eq!(ids(&store, &IndexScan::Members(id(1000)), 1, SortOrder::OldestFirst, 1_000), selected);
    assert_eq!(ids(&store, &IndexScan::Members(id(999)), 1, SortOrder::OldestFirst, 1_000), []);
}
