//! The values at the end of the event log that the index by time does not have yet, in memory.
//!
//! A commit appends to the log only. Values enter the index and `latest` later, sorted and many at a time
//! ([`super::write`]). Until then readers find them here, and a start reads them back from the log.
//!
//! The writer adds a value before its commit. A reader therefore takes only values that its snapshot of the database has
//! in the log and not in the index. Values that were indexed since a snapshot began stay until it has ended, which its [`Pin`] shows.

use std::{collections::VecDeque, fmt, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::{SortOrder, TimestampMs};

/// Where a value is in its history.
pub(super) type Position = (TimestampMs, i64);

/// What the tail knows of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TailValue {
    pub(super) seq: i64,
    pub(super) ts: TimestampMs,
    /// How long it is.
    pub(super) bytes: u32,
    /// Whether the server made its timestamp.
    pub(super) is_made: bool,
    /// Whether it was the latest of its series when it came.
    pub(super) is_latest: bool,
}

impl TailValue {
    pub(super) fn position(&self) -> Position {
        (self.ts, self.seq)
    }
}

/// What a snapshot of the database knows of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Indexed {
    /// Its values up to here are in the index.
    pub(super) up_to: i64,
    /// The last sequence of the snapshot's log.
    pub(super) last_seq: i64,
}

/// A part of a history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) order: SortOrder,
    /// Where it begins, itself excluded.
    pub(super) after: Position,
    /// The timestamp that it ends with.
    pub(super) end: TimestampMs,
    pub(super) most: usize,
}

/// See the module's text.
pub(super) struct Tail {
    state: Mutex<State>,
}

/// Keeps in the tail what a snapshot that begins later may need.
#[derive(Debug)]
pub(super) struct Pin(#[expect(dead_code, reason = "it is counted")] Arc<()>);

#[derive(Default)]
struct State {
    series: HashMap<i64, TailSeries, RandomState>,
    /// How many values are not in the index, as the writer sees it.
    unindexed: usize,
    /// The pins since values were last indexed.
    generation: Arc<()>,
    /// Values that are in the index, and that snapshots of earlier generations may need.
    retired: VecDeque<Retired>,
    /// What the open group has done.
    group: Option<Group>,
}

struct Retired {
    generation: Arc<()>,
    /// Series, and the last of their values in the index.
    series: Vec<(i64, i64)>,
}

#[derive(Default)]
struct Group {
    unindexed_before: usize,
    /// The first sequence, and the series that got values, some of them repeatedly.
    first_seq: Option<i64>,
    appended: Vec<i64>,
    /// Series whose values were indexed, and up to where they were before.
    indexed: Vec<(i64, i64)>,
}

#[derive(Debug)]
struct TailSeries {
    /// In the order of their arrival.
    values: Vec<TailValue>,
    /// Whether that is the order of their timestamps too.
    is_in_order: bool,
    /// Values up to here are indexed, as the writer sees it.
    indexed: i64,
    /// The sequence of the last value that was the latest when it came; it may be in the index by now. 0: there is none.
    latest: i64,
}

impl fmt::Debug for Tail {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tail").field("unindexed", &self.unindexed()).finish_non_exhaustive()
    }
}

impl Tail {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// How many values are not in the index.
    pub(super) fn unindexed(&self) -> usize {
        self.state.lock().unindexed
    }

    // The writer's.

    pub(super) fn begin_group(&self) {
        let state = &mut *self.state.lock();
        state.group = Some(Group { unindexed_before: state.unindexed, ..Group::default() });
    }

    /// Takes in a value that was appended to the log, or that a start reads from there.
    pub(super) fn append(&self, series: i64, value: TailValue) {
        let state = &mut *self.state.lock();
        if let Some(group) = &mut state.group {
            group.first_seq.get_or_insert(value.seq);
            if group.appended.last() != Some(&series) {
                group.appended.push(series);
            }
        }
        state.unindexed += 1;
        state.series.entry(series).or_insert_with(TailSeries::new).push(value);
    }

    /// The first values of a series that are not in the index, in the order of their arrival.
    pub(super) fn unindexed_of(&self, series: i64, most: usize) -> Vec<TailValue> {
        let state = self.state.lock();
        let Some(entry) = state.series.get(&series) else { return Vec::new() };
        let values = entry.after(entry.indexed);
        values[..values.len().min(most)].to_vec()
    }

    /// The values of a series up to `seq` are in the index, if the open group is committed. `true`: that is all of them.
    pub(super) fn set_indexed(&self, series: i64, seq: i64) -> bool {
        let state = &mut *self.state.lock();
        let Some(entry) = state.series.get_mut(&series) else { return true };
        let before = entry.after(entry.indexed).len();
        if let Some(group) = &mut state.group {
            group.indexed.push((series, entry.indexed));
        }
        entry.indexed = seq;
        let left = entry.after(seq).len();
        state.unindexed -= before - left;
        left == 0
    }

    /// The series that have values which are not in the index, sorted.
    pub(super) fn unindexed_series(&self) -> Vec<i64> {
        let state = self.state.lock();
        let unindexed = state.series.iter().filter(|(_, entry)| !entry.after(entry.indexed).is_empty());
        let mut series: Vec<i64> = unindexed.map(|(series, _)| *series).collect();
        // Readers and the next commit need not wait for the order.
        drop(state);
        series.sort_unstable();
        series
    }

    /// To be called after a commit: readers that begin now find in the index what it has put there.
    pub(super) fn committed(&self) {
        let state = &mut *self.state.lock();
        let indexed = state.group.take().unwrap_or_default().indexed;
        if !indexed.is_empty() {
            let up_to = |(series, _)| Some((series, state.series.get(&series)?.indexed));
            let series = indexed.into_iter().filter_map(up_to).collect();
            let generation = std::mem::take(&mut state.generation);
            state.retired.push_back(Retired { generation, series });
        }
        state.drop_retired();
    }

    pub(super) fn rolled_back(&self) {
        let state = &mut *self.state.lock();
        let Some(group) = state.group.take() else { return };
        state.unindexed = group.unindexed_before;
        for (series, indexed) in group.indexed.into_iter().rev() {
            if let Some(entry) = state.series.get_mut(&series) {
                entry.indexed = indexed;
            }
        }
        let Some(first_seq) = group.first_seq else { return };
        for series in group.appended {
            if let Some(entry) = state.series.get_mut(&series) {
                let kept = entry.values.partition_point(|value| value.seq < first_seq);
                entry.values.truncate(kept);
                entry.latest = latest_of(&entry.values).map_or(0, |value| value.seq);
                if entry.values.is_empty() {
                    state.series.remove(&series);
                }
            }
        }
    }

    // The readers'.

    /// To be called before a snapshot begins, and to be kept until it has ended.
    pub(super) fn pin(&self) -> Pin {
        Pin(Arc::clone(&self.state.lock().generation))
    }

    /// The value of a series that is later than the latest in the snapshot's index.
    pub(super) fn latest(&self, series: i64, indexed: Indexed) -> Option<TailValue> {
        let state = self.state.lock();
        let entry = state.series.get(&series)?;
        // Under load the last one is of the open group, and that before it is found at once.
        (entry.latest > indexed.up_to).then(|| latest_of(entry.within(indexed))).flatten()
    }

    /// A part of the history of a series, as far as a snapshot does not have it in the index.
    pub(super) fn part(&self, series: i64, indexed: Indexed, part: Part) -> Vec<TailValue> {
        let state = self.state.lock();
        let Some(entry) = state.series.get(&series) else { return Vec::new() };
        let values = entry.within(indexed);
        let Part { order, after, end, most } = part;
        if entry.is_in_order {
            return match order {
                SortOrder::OldestFirst => {
                    let from = values.partition_point(|value| value.position() <= after);
                    let to = values.partition_point(|value| value.ts <= end).max(from);
                    values[from..to].iter().take(most).copied().collect()
                }
                SortOrder::NewestFirst => {
                    let to = values.partition_point(|value| value.position() < after);
                    let from = values.partition_point(|value| value.ts < end).min(to);
                    values[from..to].iter().rev().take(most).copied().collect()
                }
            };
        }
        let is_within = |value: &&TailValue| match order {
            SortOrder::OldestFirst => value.position() > after && value.ts <= end,
            SortOrder::NewestFirst => value.position() < after && value.ts >= end,
        };
        let by_position = |a: &TailValue, b: &TailValue| match order {
            SortOrder::OldestFirst => a.position().cmp(&b.position()),
            SortOrder::NewestFirst => b.position().cmp(&a.position()),
        };
        // The writer waits meanwhile, so no more than two pages are copied and ordered at a time.
        let mut found: Vec<TailValue> = Vec::new();
        for value in values.iter().filter(is_within) {
            found.push(*value);
            if found.len() == most.saturating_mul(2) {
                found.select_nth_unstable_by(most - 1, by_position);
                found.truncate(most);
            }
        }
        drop(state);
        found.sort_unstable_by(by_position);
        found.truncate(most);
        found
    }
}

/// The latest of the values that follow all others, in the order of their arrival.
pub(super) fn latest_of(values: &[TailValue]) -> Option<TailValue> {
    values.iter().rev().find(|value| value.is_latest).copied()
}

impl State {
    /// Forgets values that are in the index of every snapshot.
    fn drop_retired(&mut self) {
        while let Some(front) = self.retired.front()
            && Arc::strong_count(&front.generation) == 1
            && let Some(retired) = self.retired.pop_front()
        {
            for (series, up_to) in retired.series {
                let Some(entry) = self.series.get_mut(&series) else { continue };
                let kept = entry.values.partition_point(|value| value.seq <= up_to);
                entry.values.drain(..kept);
                entry.is_in_order = entry.is_in_order || entry.values.is_sorted_by_key(|value| value.ts);
                if entry.values.is_empty() {
                    self.series.remove(&series);
                }
            }
        }
    }
}

impl TailSeries {
    fn new() -> Self {
        // Most series have one: without this there would be space for four.
        Self { values: Vec::with_capacity(1), is_in_order: true, indexed: 0, latest: 0 }
    }

    fn push(&mut self, value: TailValue) {
        self.is_in_order &= self.values.last().is_none_or(|last| last.ts <= value.ts);
        if value.is_latest {
            self.latest = value.seq;
        }
        self.values.push(value);
    }

    /// The values behind a sequence.
    fn after(&self, seq: i64) -> &[TailValue] {
        &self.values[self.values.partition_point(|value| value.seq <= seq)..]
    }

    /// The values that a snapshot has in its log and not in its index.
    fn within(&self, indexed: Indexed) -> &[TailValue] {
        let values = self.after(indexed.up_to);
        &values[..values.partition_point(|value| value.seq <= indexed.last_seq)]
    }
}
