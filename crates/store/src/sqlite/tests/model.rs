//! Any sequence of writes, deletions, rollbacks, steps of freeing and restarts reads like a list in memory.
//!
//! The bounds are so small that values are read from the tail of the log, from the index, and from both.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, option, prelude::*};

use super::{Fixture, SMALL, id, json, key, thng_of};
use crate::{
    Cursor, IndexScan, ListRequest, Page, PageRequest, PropertiesExtent, PropertyOwner, ReadStore,
    ResourceRecord, ScanBounds, Sequence, SortOrder, StoreError, TimeRange, WriteStore, index_fields,
    index_key,
};
use thng_pubsub_protocol::{
    id::Id,
    payload::{PropertyUpdate, ResourceKind},
};

const THNGS: u64 = 3;
const KEYS: u64 = 3;
const PROJECTS: u64 = 2;
/// Few timestamps, so that many values share one.
const TIMES: i64 = 12;

#[derive(Debug, Clone)]
enum Step {
    /// Of each value the key, the timestamp, and whether the server makes that.
    Append {
        thng: u64,
        values: Vec<(u64, i64, bool)>,
    },
    Delete {
        thng: u64,
        key: Option<u64>,
        before_ms: Option<i64>,
    },
    PutThng {
        thng: u64,
        projects: Vec<u64>,
    },
    DeleteThng {
        thng: u64,
    },
    Commit,
    Rollback,
    Reclaim,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let before = option::weighted(0.8, 0..TIMES + 2);
    prop_oneof![
        10 => (0..THNGS, vec((0..KEYS, 0..TIMES, any::<bool>()), 1..8)).prop_map(|(thng, values)| Step::Append { thng, values }),
        4 => (0..THNGS, option::weighted(0.8, 0..KEYS), before)
            .prop_map(|(thng, key, before_ms)| Step::Delete { thng, key, before_ms }),
        3 => (0..THNGS, vec(0..PROJECTS, 0..3)).prop_map(|(thng, projects)| Step::PutThng { thng, projects }),
        1 => (0..THNGS).prop_map(|thng| Step::DeleteThng { thng }),
        6 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        4 => Just(Step::Reclaim),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug, Clone)]
struct Value {
    thng: u64,
    key: u64,
    update: PropertyUpdate,
}

/// What the store should show: values in the order of their arrival, thngs in the order of their creation.
#[derive(Debug, Clone, Default)]
struct Model {
    values: Vec<Value>,
    /// By thng and key.
    latest: BTreeMap<(u64, u64), PropertyUpdate>,
    thngs: Vec<ResourceRecord>,
}

/// Whether the server made the timestamp.
fn is_made(update: &PropertyUpdate) -> bool {
    update.timestamp_ms == update.created_at_ms
}

impl Model {
    /// By timestamp, equal ones by arrival.
    fn history(&self, thng: u64, key: u64) -> Vec<PropertyUpdate> {
        let own = self.values.iter().filter(|value| value.thng == thng && value.key == key);
        let mut history: Vec<_> = own.map(|value| value.update.clone()).collect();
        history.sort_by_key(|update| update.timestamp_ms);
        history
    }

    fn extent(&self, thng: u64) -> PropertiesExtent {
        let keys = self.keys(thng);
        let latest =
            |key: &u64| self.latest.get(&(thng, *key)).map_or(0, |update| update.value.as_str().len());
        PropertiesExtent { count: keys.len(), bytes: keys.iter().map(latest).sum() }
    }

    fn keys(&self, thng: u64) -> BTreeSet<u64> {
        self.values.iter().filter(|value| value.thng == thng).map(|value| value.key).collect()
    }

    /// What the server made is the latest by arrival, whatever the clock said; else the greatest timestamp is.
    fn append(&mut self, thng: u64, key: u64, update: PropertyUpdate) {
        self.values.push(Value { thng, key, update: update.clone() });
        let is_later = |latest: &PropertyUpdate| {
            update.timestamp_ms >= latest.timestamp_ms || (is_made(&update) && is_made(latest))
        };
        if self.latest.get(&(thng, key)).is_none_or(is_later) {
            self.latest.insert((thng, key), update);
        }
    }

    fn delete(&mut self, thng: u64, key: Option<u64>, before_ms: Option<i64>) {
        self.values.retain(|value| {
            value.thng != thng
                || key.is_some_and(|key| value.key != key)
                || before_ms.is_some_and(|before_ms| value.update.timestamp_ms >= before_ms)
        });
        for key in 0..KEYS {
            let history = self.history(thng, key);
            match self.latest.get(&(thng, key)) {
                Some(latest) if history.contains(latest) => {}
                _ => match history.into_iter().last() {
                    Some(greatest) => drop(self.latest.insert((thng, key), greatest)),
                    None => drop(self.latest.remove(&(thng, key))),
                },
            }
        }
    }
}

/// The store beside its model.
struct Run {
    store: Fixture,
    /// What readers see.
    committed: Model,
    /// What the open group will make of it.
    group: Option<Model>,
    last_seq: Sequence,
    /// The last that was committed: after a restart no later one is known.
    committed_seq: Sequence,
    /// The last of the open group.
    group_seq: Option<Sequence>,
    /// Values and names are numbered, so that no two are alike.
    count: u64,
}

impl Run {
    fn take(mut self, step: &Step) -> Self {
        match step {
            Step::Append { thng, values } => self.append(*thng, values),
            Step::Delete { thng, key: name, before_ms } => {
                let (store, group) = self.group();
                group.delete(*thng, *name, *before_ms);
                let name = name.map(key_of);
                store.write.delete_properties(owner(*thng), name.as_ref(), *before_ms).expect("deleted");
            }
            Step::PutThng { thng, projects } => self.put_thng(*thng, projects),
            Step::DeleteThng { thng } => self.delete_thng(*thng),
            Step::Commit => self.commit(),
            Step::Rollback => {
                (self.group, self.group_seq) = (None, None);
                self.store.write.rollback();
            }
            Step::Reclaim => {
                self.commit();
                self.store.write.reclaim().expect("a step of freeing");
            }
            Step::Restart => {
                // A group that is open is lost.
                (self.group, self.group_seq) = (None, None);
                self.last_seq = self.committed_seq;
                self.store = self.store.restart();
            }
        }
        self
    }

    /// The store with a group open, and what the group makes of the model.
    fn group(&mut self) -> (&mut Fixture, &mut Model) {
        if self.group.is_none() {
            self.store.write.begin().expect("a group starts");
        }
        (&mut self.store, self.group.get_or_insert_with(|| self.committed.clone()))
    }

    fn next_count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn commit(&mut self) {
        if let Some(group) = self.group.take() {
            self.store.write.commit().expect("the group is committed");
            self.committed = group;
            self.committed_seq = self.group_seq.take().unwrap_or(self.committed_seq);
        }
    }

    /// Sequences grow, also over restarts and deletions.
    fn log(&mut self, seq: Sequence, entries: usize) {
        assert!(seq >= self.last_seq + entries as Sequence, "{seq} after {}", self.last_seq);
        self.last_seq = seq;
        self.group_seq = Some(seq);
    }

    fn append(&mut self, thng: u64, values: &[(u64, i64, bool)]) {
        let mut updates = Vec::new();
        for (name, timestamp_ms, is_made) in values {
            let count = self.next_count() as i64;
            let padding = "x".repeat(count as usize % 13);
            let value = json(&format!("{{\"n\":{count},\"p\":\"{padding}\"}}"));
            let created_at_ms = if *is_made { *timestamp_ms } else { TIMES + count };
            updates.push(PropertyUpdate {
                key: key_of(*name),
                value,
                timestamp_ms: *timestamp_ms,
                created_at_ms,
            });
        }
        let (store, group) = self.group();
        let after = store.write.properties_after(owner(thng), &updates).expect("an extent");
        for ((key, ..), update) in values.iter().zip(&updates) {
            group.append(thng, *key, update.clone());
        }
        assert_eq!(after, group.extent(thng));
        let seq = store.write.append_properties(id(1), owner(thng), &updates).expect("appended");
        self.log(seq, updates.len());
    }

    fn put_thng(&mut self, number: u64, projects: &[u64]) {
        let name = format!("name {}", self.next_count());
        let projects: Vec<u64> = projects.iter().map(|project| 200 + project).collect();
        let (store, group) = self.group();
        let mut record = thng_of(100 + number, &projects, &format!("{{\"name\":\"{name}\"}}"));
        let known = group.thngs.iter_mut().find(|thng| thng.id == record.id);
        let before = known.as_deref().cloned();
        if let Some(before) = &before {
            record.updated_at_ms = before.updated_at_ms + 1;
        }
        let seq = store.write.put_resource(before.as_ref(), &record).expect("put");
        record.created_seq = before.map_or(seq, |before| before.created_seq);
        match known {
            Some(known) => *known = record,
            None => group.thngs.push(record),
        }
        self.log(seq, 1);
    }

    fn delete_thng(&mut self, number: u64) {
        let (store, group) = self.group();
        let Some(place) = group.thngs.iter().position(|thng| thng.id == id(100 + number)) else { return };
        let record = group.thngs.remove(place);
        group.delete(number, None, None);
        let seq = store.write.delete_resource(&record, 5).expect("deleted");
        self.log(seq, 1);
    }

    /// Everything that can be read, in pages of `items` where there are pages, compared with the model.
    fn check(&self, items: usize, range: TimeRange) {
        for number in 0..THNGS {
            self.check_thng(number);
            for name in 0..KEYS {
                self.check_history(number, name, items, range);
            }
        }
        for project in [None, Some(200), Some(201)] {
            self.check_list(project, items);
        }
    }

    fn check_thng(&self, number: u64) {
        let store = &self.store.read;
        let latest: Vec<_> =
            (0..KEYS).filter_map(|name| self.committed.latest.get(&(number, name)).cloned()).collect();
        assert_eq!(store.latest(owner(number)).expect("read"), latest);
        for name in 0..KEYS {
            let one = latest.iter().find(|update| update.key == key_of(name));
            assert_eq!(store.latest_of(owner(number), &key_of(name)).expect("read").as_ref(), one);
        }
        let record = self.committed.thngs.iter().find(|thng| thng.id == id(100 + number));
        assert_eq!(store.resource(id(100 + number)).expect("read").as_ref(), record);
        let meta = store.resource_meta(id(100 + number)).expect("read");
        assert_eq!(meta.map(|meta| meta.scopes), record.map(|thng| thng.scopes.clone()));
    }

    fn check_history(&self, number: u64, name: u64, items: usize, range: TimeRange) {
        let mut expected = self.committed.history(number, name);
        expected.retain(|update| {
            range.from_ms.is_none_or(|from| update.timestamp_ms >= from)
                && range.to_ms.is_none_or(|to| update.timestamp_ms <= to)
        });
        for order in [SortOrder::OldestFirst, SortOrder::NewestFirst] {
            let read = pages(items, order, |page| {
                self.store.read.history(owner(number), &key_of(name), range, page.into())
            });
            assert_eq!(read, expected, "{order:?} {range:?}");
            expected.reverse();
        }
    }

    fn check_list(&self, project: Option<u64>, items: usize) {
        let mut expected = self.committed.thngs.clone();
        expected.retain(|thng| project.is_none_or(|project| thng.scopes.projects.contains(&id(project))));
        expected.sort_by_key(|thng| thng.created_seq);
        for order in [SortOrder::OldestFirst, SortOrder::NewestFirst] {
            let read = pages(items, order, |page| {
                let found = self.store.read.find(&list(id(1), project, page))?;
                Ok(Page { items: found.items, next: found.scanned.next })
            });
            assert_eq!(read, expected, "{order:?}");
            let foreign =
                self.store.read.find(&list(id(2), project, page(items, order, None))).expect("read");
            assert_eq!(foreign.items, []);
            expected.reverse();
        }
    }
}

fn list(account: Id, project: Option<u64>, page: PageRequest) -> ListRequest<'static> {
    let kind = ResourceKind::Thng;
    let by_project =
        |project| IndexScan::Key(index_key(account, kind, index_fields::PROJECT, id(project).as_str()));
    let source = project.map_or(IndexScan::All, by_project);
    ListRequest {
        account,
        kind,
        source,
        record_filter: None,
        page,
        skip: 0,
        looked_at_max: 1_000,
        bounds: ScanBounds::NONE,
    }
}

fn page(items: usize, order: SortOrder, after: Option<Cursor>) -> PageRequest {
    PageRequest { items, order, after }
}

/// Follows the cursors to the end; every page but the last is full, and none is empty unless it is the only one.
fn pages<T>(
    items: usize,
    order: SortOrder,
    read: impl Fn(PageRequest) -> Result<Page<T>, StoreError>,
) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let found = read(page(items, order, after)).expect("a page");
        assert!(found.next.is_none() || found.items.len() == items);
        assert!(after.is_none() || !found.items.is_empty());
        all.extend(found.items);
        after = found.next;
        if after.is_none() {
            return all;
        }
    }
}

fn owner(number: u64) -> PropertyOwner {
    let id: Id = id(100 + number);
    PropertyOwner::Thng(id)
}

fn key_of(number: u64) -> thng_pubsub_protocol::id::PropertyKey {
    key(&format!("key{number}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_reads_like_a_list_in_memory(
        steps in vec((step(), 1_usize..=5, option::of(0..TIMES), option::of(0..TIMES)), 1..60)
    ) {
        let store = Fixture::new();
        let committed = Model::default();
        let mut run =
            Run { store, committed, group: None, last_seq: 0, committed_seq: 0, group_seq: None, count: 0 };
        for (step, items, from_ms, to_ms) in &steps {
            run = run.take(step);
            run.check(*items, TimeRange { from_ms: *from_ms, to_ms: *to_ms });
        }
        run.commit();
        let visible = run.committed.values.len() as i64;
        run.store.reclaim_all();
        run.check(5, TimeRange::default());
        let stored: i64 = run.store.write.connection()
            .query_row("SELECT count(*) FROM event WHERE kind = 1", [], |row| row.get(0))
            .expect("a count");
        let indexed = run.store.rows("value_by_time") as usize;
        prop_assert_eq!(indexed + run.store.read.unindexed_values(), stored as usize);
        prop_assert!(run.store.read.unindexed_values() <= SMALL.unindexed_max);
        prop_assert_eq!(stored, visible, "everything that is deleted is freed, and nothing else");
    }
}
