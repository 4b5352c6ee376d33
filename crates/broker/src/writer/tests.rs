//! Tests the writer: the order of the answers, each after the sync of its commit, and when deleted rows are freed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    AfterCommit, BeforeCommit, CommittedEvent, STEPS_AFTER_END, Wake, WriterThread,
    budget::Budget,
    commit_pipeline::{CommitPipeline, CommittedGroup},
    job::{Call, Effects, Job, PendingCall},
    queue::Queue,
};
use crate::{
    auth::keys,
    clock::{Clock, ServerTime},
    commands::{Applied, Command, CommandError, CommandResult, EndSession, Event, Garbage, Owner, Probe},
    identity::first_account,
    log_throttle::LogThrottle,
    metrics::Metrics,
};
use thng_pubsub_store::{
    DiskSync, Durability, SqliteStore, StoreError, TimestampMs, WriteStore,
    session_queue::{OpenedSession, QueueLimits},
};

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

impl AfterCommit<()> for NoEvents {
    fn after_commit(&mut self, events: Vec<CommittedEvent<()>>) {
        assert!(events.is_empty(), "this test has none");
    }
}

impl BeforeCommit<()> for NoEvents {
    fn before_commit(
        &mut self,
        _: &Event,
        _: TimestampMs,
        _: &mut dyn WriteStore,
    ) -> Result<Option<()>, StoreError> {
        Ok(None)
    }
}

/// A call that was applied before; its function is the answer.
struct Answered<F>(F);

impl<F: FnOnce() + Send> Call for Answered<F> {
    fn apply(&mut self, _: &mut dyn WriteStore, _: TimestampMs) -> Result<Effects, StoreError> {
        unreachable!("the pipeline applies nothing")
    }

    fn fail(&mut self, _: StoreError) {
        unreachable!("the pipeline refuses nothing")
    }

    fn answer(self: Box<Self>) -> Wake {
        (self.0)();
        None
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
        let call = Box::new(Answered(move || {
            assert!(disk_then.synced.load(Ordering::SeqCst) > number, "answered before the sync");
            answered.lock().push((number, thread::current().name().map(str::to_owned)));
        }));
        let owner = Owner::Server;
        let budget = budget.take(owner, 1).now_or_never().expect("there are units for all");
        let jobs = vec![Job { owner, payload_bytes: 0, budget, call }];
        disk.committed.store(number + 1, Ordering::SeqCst);
        let done = CommittedGroup { jobs, events: Vec::new() };
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

/// A writer that the test drives, and where its commands come from.
fn writer(store: Box<dyn WriteStore>, metrics: &Arc<Metrics>) -> (UnboundedSender<Job>, WriterThread<()>) {
    let (jobs, queue) = unbounded_channel();
    let writer = WriterThread {
        queue_stats: store.queue_stats(),
        pipeline: CommitPipeline::start(store.disk_sync(), Box::new(NoEvents)).expect("a thread"),
        store,
        time: ServerTime::new(Clock::System, None),
        command_duration_seconds: metrics.command_duration_seconds.local(),
        metrics: Arc::clone(metrics),
        before_commit: Box::new(NoEvents),
        queue: Queue::new(queue),
        reclaim: false,
        groups_since_reclaim: 0,
        steps_due: 0,
        caught_up_ms: None,
        losses: LogThrottle::new(),
        reclaim_failures: LogThrottle::new(),
    };
    (jobs, writer)
}

fn job<C: Command>(
    command: C,
    budget: &Arc<Budget>,
    reply: impl FnOnce(Result<C::Output, CommandError>) + Send + 'static,
) -> Job {
    let owner = command.owner();
    let budget = budget.take(owner, 1).now_or_never().expect("there are units for all");
    let reply = |answer| {
        reply(answer);
        None
    };
    Job { owner, payload_bytes: 0, budget, call: Box::new(PendingCall::new(command, reply)) }
}

/// What a command answers at each try.
struct Tries(AtomicUsize, [Try; 2]);

type Try = fn() -> CommandResult<usize>;

impl Command for Tries {
    type Output = usize;

    fn name(&self) -> &'static str {
        "tries"
    }

    fn owner(&self) -> Owner {
        Owner::Server
    }

    fn apply(&self, _: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<usize> {
        self.1[self.0.fetch_add(1, Ordering::SeqCst)]()
    }
}

fn counted(output: usize) -> CommandResult<usize> {
    Ok(Applied { output, events: Vec::new(), garbage: Garbage::None })
}

fn store_fails() -> CommandResult<usize> {
    let (data_dir, reason) = ("data".into(), "a test".into());
    Err(CommandError::Store(StoreError::Unavailable { data_dir, reason }))
}

#[test]
fn the_second_try_of_a_rolled_back_group_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_read, store) = SqliteStore::open(folder.path(), Durability::Normal, 1).expect("a store");
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let (jobs, mut writer) = writer(store, &metrics);
    let commands: [[Try; 2]; 5] = [
        [|| counted(1), || counted(2)],
        [|| counted(1), || Err(CommandError::NotFound)],
        [|| Err(CommandError::NotFound), || counted(2)],
        [|| counted(1), store_fails],
        // The last one is why the group is rolled back.
        [store_fails, || counted(2)],
    ];
    let (answers, budget) = (Arc::new(Mutex::new(Vec::new())), Budget::new(2 * commands.len()));
    for tries in commands {
        let answers = Arc::clone(&answers);
        let reply = move |answer: Result<usize, CommandError>| answers.lock().push(answer);
        assert!(
            jobs.send(job(Tries(AtomicUsize::new(0), tries), &budget, reply)).is_ok(),
            "the queue is open"
        );
    }
    assert!(writer.wait_for_work());
    assert_eq!(writer.commit_waiting(), commands.len(), "they are one group");
    writer.pipeline.finish();
    let answers = answers.lock();
    let is_second = |at: usize| match (at, &answers[at]) {
        (0 | 2 | 4, answer) => matches!(answer, Ok(2)),
        (1, answer) => matches!(answer, Err(CommandError::NotFound)),
        (_, answer) => matches!(answer, Err(CommandError::Store(_))),
    };
    assert_eq!(answers.len(), commands.len(), "{answers:?}");
    assert!((0..commands.len()).all(is_second), "{answers:?}");
}

/// More subscriptions than are freed after one end of a session.
const SUBSCRIPTIONS: usize = 600 * STEPS_AFTER_END as usize;

#[test]
fn an_ended_session_is_freed_in_a_step_per_group_under_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_read, mut store) = SqliteStore::open(folder.path(), Durability::Normal, 1).expect("a store");
    let text = "a".repeat(80);
    let (account, _) = first_account(&mut *store, &text, 0).expect("an account");
    let key = keys::hash(&text).expect("a key");
    let limits = QueueLimits {
        sessions: 1,
        sessions_per_key: 1,
        subscriptions: SUBSCRIPTIONS,
        messages_per_topic: 1,
        bytes: 1 << 20,
    };
    store.begin().expect("a group");
    let opened = store.open_session(&key, "c", &limits).expect("a session");
    let OpenedSession::Started(session) = opened else { panic!("{opened:?}") };
    for number in 0..SUBSCRIPTIONS {
        store.put_subscription(session, &number.to_be_bytes(), None).expect("a subscription");
    }
    store.commit().expect("a commit");

    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let (jobs, mut writer) = writer(store, &metrics);
    let budget = Budget::new(2);
    let end = EndSession { account, key, client_id: "c".into() };
    assert!(jobs.send(job(end, &budget, drop)).is_ok(), "the queue is open");
    assert!(writer.wait_for_work());
    writer.commit_waiting();
    assert!(jobs.send(job(Probe, &budget, drop)).is_ok(), "the queue is open");
    for step in 1..=u64::from(STEPS_AFTER_END) {
        assert!(writer.wait_for_work(), "the probe waits");
        assert_eq!(metrics.reclaim_seconds.get_sample_count(), step);
    }
    assert!(writer.wait_for_work() && writer.reclaim, "the rest waits for a pause or for its turn");
    assert_eq!(metrics.reclaim_seconds.get_sample_count(), u64::from(STEPS_AFTER_END));
}
