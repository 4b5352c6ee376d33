//! Tests the order of the answers, and that each comes after the sync of its commit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use thng_pubsub_protocol::id::Id;

use super::{
    AfterCommit, Job,
    budget::Budget,
    commit_pipeline::{CommitPipeline, CommittedGroup},
};
use crate::commands::{Command, Event, Outcome};
use thng_pubsub_store::{DiskSync, StoreError};

const GROUPS: usize = 400;

/// How many groups were committed, and how many of them are surely on the disk.
#[derive(Default)]
struct Disk {
    committed: AtomicUsize,
    synced: AtomicUsize,
}

struct SlowDisk(Arc<Disk>);

impl DiskSync for SlowDisk {
    fn sync(&self) -> Result<(), StoreError> {
        let committed = self.0.committed.load(Ordering::SeqCst);
        // Such that others commit meanwhile.
        (0..committed % 50).for_each(|_| thread::yield_now());
        self.0.synced.fetch_max(committed, Ordering::SeqCst);
        Ok(())
    }
}

struct NoEvents;

impl AfterCommit for NoEvents {
    fn after_commit(&mut self, events: Vec<Event>) {
        assert!(events.is_empty(), "this test has none");
    }
}

#[test]
fn answers_keep_commit_order_and_follow_their_own_sync() {
    let disk = Arc::new(Disk::default());
    let pipeline = CommitPipeline::start(Box::new(SlowDisk(Arc::clone(&disk))), Box::new(NoEvents))
        .expect("a second thread");
    let answered_so_far = Arc::new(Mutex::new(Vec::new()));
    let budget = Budget::new(2 * GROUPS);
    for number in 0..GROUPS {
        let (answered, disk_then) = (Arc::clone(&answered_so_far), Arc::clone(&disk));
        let reply = Box::new(move |_| {
            assert!(disk_then.synced.load(Ordering::SeqCst) > number, "answered before the sync");
            answered.lock().push((number, thread::current().name().map(str::to_owned)));
        });
        let thng = Id::parse(&"U".repeat(24)).expect("an id");
        let command = Command::DeleteLocation { account: thng, thng, before_ms: None };
        let budget = budget.take(None, 1).now_or_never().expect("there are units for all");
        let jobs = vec![Box::new(Job { command, reply, payload_bytes: 0, budget })];
        disk.committed.store(number + 1, Ordering::SeqCst);
        let done = CommittedGroup { jobs, outcomes: vec![Ok(Outcome::Done)], events: Vec::new() };
        pipeline.submit(done, number % 4 > 0);
        // The disk catches up before each that is not busy, so that both ways are gone.
        while number % 4 == 3 && answered_so_far.lock().len() <= number {
            thread::yield_now();
        }
    }
    pipeline.finish();
    let answered = answered_so_far.lock();
    assert!(answered.iter().map(|(number, _)| *number).eq(0..GROUPS), "{answered:?}");
    let pipelined =
        answered.iter().filter(|(_, thread)| thread.as_deref() == Some("commit-pipeline")).count();
    assert!(pipelined > 0 && pipelined < GROUPS, "{pipelined} of {GROUPS} were answered beside the writer");
}
