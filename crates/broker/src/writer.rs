//! The single writer: applies the commands that wait, and puts them on disk in one commit.
//!
//! No command is answered before its commit is on the disk. Events are passed on in commit order, before the answers go
//! out, so that a client that got an answer can read what it wrote. [`commit_pipeline`] does both.
//!
//! A group ends by the work that it has done, not by commands alone ([`GroupWork`]): who asks for little does not wait
//! for those who ask for much. [`queue`] shares the writer's time between accounts.
//!
//! A command that fails in the store affects no other: the group is rolled back, and its commands are repeated one by
//! one, each in a commit of its own.

use std::{
    panic::{self, AssertUnwindSafe},
    process,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use prometheus::local::LocalHistogram;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::commands::{Command, CommandError, Event, Garbage, Owner};
use crate::{
    clock::{AssignedTime, Clock, ServerTime},
    log_throttle::LogThrottle,
    metrics::Metrics,
};
use budget::Budget;
use commit_pipeline::{CommitPipeline, CommittedGroup};
use job::{Effects, Job, PendingCall};
use queue::Queue;
use thng_pubsub_store::{CLOCK_SET_BACK, StoreError, TimestampMs, WriteStore, session_queue::QueueStats};

mod budget;
mod commit_pipeline;
mod job;
mod queue;
#[cfg(test)]
mod tests;

/// The task that waits for an answer, where the one who gives the answer is to wake it.
pub type Wake = Option<Arc<Notify>>;

/// Acts on each event before its commit: what it writes becomes part of the commit.
pub(crate) trait BeforeCommit<N>: Send {
    /// Returns what it has made of the event, for [`AfterCommit`].
    ///
    /// # Errors
    /// The store fails; the command of the event then fails too.
    fn before_commit(
        &mut self,
        event: &Event,
        now_ms: TimestampMs,
        store: &mut dyn WriteStore,
    ) -> Result<Option<N>, StoreError>;
}

/// Acts on the events of a commit that is on the disk, in commit order and before its answers go out. It may block, which
/// is how a full bus slows down writers.
pub(crate) trait AfterCommit<N>: Send {
    fn after_commit(&mut self, events: Vec<CommittedEvent<N>>);
}

/// An event of a commit.
pub(crate) struct CommittedEvent<N> {
    pub(crate) event: Event,
    /// What [`BeforeCommit`] has made of it.
    pub(crate) made: Option<N>,
}

/// Commands of one commit at the most. More would let the first wait for the last.
const GROUP_COMMANDS_MAX: usize = 512;

/// The time that the commands of one commit take together, beyond which no further one joins them.
const GROUP_TIME: Duration = Duration::from_millis(20);

/// Bytes of payloads of one commit, beyond which no further command joins it.
const GROUP_BYTES: usize = 4 << 20;

/// Notifications of one commit, beyond which no further command joins it.
const GROUP_NOTIFICATIONS: usize = 3_000;

/// Notifications of one commit from which on they are not written on the writer's thread.
const MANY_NOTIFICATIONS: usize = 500;

/// Commands that wait for the next commit, from which on this one is put on the disk beside it. With fewer, those that
/// come meanwhile had better share a commit.
const BUSY_COMMANDS: usize = 256;

/// Commits after which something deleted is freed also while others wait, or a busy server would never free it.
const GROUPS_BETWEEN_RECLAIMS: u32 = 100;

/// Steps after an end of sessions that are taken after each group: they free the subscriptions of a session with as many
/// as it may have by default. Otherwise a client that begins and ends sessions would add rows faster than they are freed.
const STEPS_AFTER_END: u32 = 20;

/// The most of these steps that are due at a time.
const STEPS_DUE_MAX: u32 = 1_000;

/// The exit code of a server whose writer failed: `EX_SOFTWARE` of sysexits.
const EXIT_WRITER_FAILED: i32 = 70;

/// What a command counts in the queue beside its payload, in bytes: about what it takes in memory.
const COMMAND_BYTES: usize = 512;

/// The unit of the queue's budget, in bytes.
const BUDGET_UNIT_BYTES: usize = 64;

/// A handle of the writer; cheap to clone. When the last one is dropped, the writer finishes what waits and ends.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::UnboundedSender<Job>,
    /// The queue's bound, in bytes: an unbounded channel behind a budget that is taken before and given back after.
    budget: Arc<Budget>,
    /// For one probe at a time, which does not wait for what others have in the queue.
    probes: Arc<Budget>,
}

impl Writer {
    /// Starts the writer's thread.
    pub(crate) fn start<N: Send + 'static>(
        mut store: Box<dyn WriteStore>,
        clock: Clock,
        metrics: Arc<Metrics>,
        queue_bytes_max: usize,
        before_commit: Box<dyn BeforeCommit<N>>,
        after_commit: Box<dyn AfterCommit<N>>,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let budget = Budget::new((queue_bytes_max / BUDGET_UNIT_BYTES).max(1));
        let pipeline = CommitPipeline::start(store.disk_sync(), after_commit)?;
        let last_ms = store.last_made_ms().map_err(std::io::Error::other)?;
        let run = WriterThread {
            queue_stats: store.queue_stats(),
            store,
            time: ServerTime::new(clock, last_ms),
            command_duration_seconds: metrics.command_duration_seconds.local(),
            metrics,
            before_commit,
            pipeline,
            queue: Queue::new(queue),
            reclaim: true,
            groups_since_reclaim: 0,
            steps_due: 0,
            caught_up_ms: None,
            losses: LogThrottle::new(),
            reclaim_failures: LogThrottle::new(),
        };
        show_queue_stats(&run.metrics, run.queue_stats);
        let thread = thread::Builder::new().name("writer".into()).spawn(move || run.run_or_die())?;
        Ok((Self { jobs, budget, probes: Budget::new(1) }, thread))
    }

    /// Says how many bytes wait for their commit. It holds no handle of the writer, which would never end.
    pub(crate) fn waiting_bytes(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let budget = Arc::clone(&self.budget);
        move || budget.used() * BUDGET_UNIT_BYTES
    }

    /// Executes a command: returns its output once it is committed and on the disk. `payload_bytes` is what it holds in
    /// memory.
    ///
    /// # Errors
    /// [`CommandError`]; nothing of the command is kept then.
    pub(crate) async fn execute<C: Command>(
        &self,
        command: C,
        payload_bytes: usize,
    ) -> Result<C::Output, CommandError> {
        let (sender, receiver) = oneshot::channel();
        let reply = move |answer| {
            drop(sender.send(answer));
            None
        };
        self.submit(command, payload_bytes, reply).await?;
        receiver.await.map_err(|_| CommandError::Stopping)?
    }

    /// Puts a command into the queue, waiting for space in it; the accounts share that ([`budget`]).
    ///
    /// Commands of one caller are applied in the order of these calls. `reply` is called exactly once if this returns
    /// `Ok`, and never otherwise. Many wait for its thread: it must be quick and must not block.
    ///
    /// # Errors
    /// [`CommandError::Stopping`].
    pub(crate) async fn submit<C: Command>(
        &self,
        command: C,
        payload_bytes: usize,
        reply: impl FnOnce(Result<C::Output, CommandError>) -> Wake + Send + 'static,
    ) -> Result<(), CommandError> {
        let (owner, units) = (command.owner(), (payload_bytes + COMMAND_BYTES) / BUDGET_UNIT_BYTES);
        let call = Box::new(PendingCall::new(command, reply));
        let budget = match owner {
            Owner::Probe => &self.probes,
            Owner::Account(_) | Owner::Server => &self.budget,
        };
        let budget = budget.take(owner, units).await;
        let job = Job { owner, payload_bytes, budget, call };
        self.jobs.send(job).map_err(|_| CommandError::Stopping)
    }
}

struct WriterThread<N> {
    store: Box<dyn WriteStore>,
    time: ServerTime,
    metrics: Arc<Metrics>,
    /// Shown after each group, because a shared histogram costs more.
    command_duration_seconds: LocalHistogram,
    before_commit: Box<dyn BeforeCommit<N>>,
    /// How much is kept, as it was last shown.
    queue_stats: QueueStats,
    /// For lines about what was not kept.
    losses: LogThrottle,
    /// For lines about what could not be freed.
    reclaim_failures: LogThrottle,
    pipeline: CommitPipeline<N>,
    queue: Queue,
    /// Something deleted may wait to be freed.
    reclaim: bool,
    groups_since_reclaim: u32,
    /// Steps of freeing that are due after each group.
    steps_due: u32,
    /// When a clock that was set back has caught up: for the next commit that succeeds.
    caught_up_ms: Option<TimestampMs>,
}

impl<N: Send + 'static> WriterThread<N> {
    fn run_or_die(self) {
        panic::catch_unwind(AssertUnwindSafe(|| self.run())).unwrap_or_else(|_| die());
    }

    fn run(mut self) {
        while self.wait_for_work() {
            let started = Instant::now();
            let _span = tracing::debug_span!("commit").entered();
            let commands = self.commit_waiting();
            self.metrics.commit_batch_size.observe(commands as f64);
            self.metrics.commit_duration_seconds.observe(started.elapsed().as_secs_f64());
        }
        self.pipeline.finish();
        tracing::debug!("the writer has finished");
    }

    /// Waits for work. `false` when there will be no more.
    fn wait_for_work(&mut self) -> bool {
        self.groups_since_reclaim += 1;
        let is_due = self.steps_due > 0 || self.groups_since_reclaim >= GROUPS_BETWEEN_RECLAIMS;
        if self.reclaim && is_due {
            self.reclaim_some();
        }
        loop {
            match self.queue.poll() {
                Some(true) => return true,
                Some(false) if self.reclaim => self.reclaim_some(),
                Some(false) => return self.queue.wait(),
                None => return false,
            }
        }
    }

    /// Frees a little of what was deleted.
    fn reclaim_some(&mut self) {
        self.groups_since_reclaim = 0;
        self.steps_due = self.steps_due.saturating_sub(1);
        let started = Instant::now();
        self.reclaim = self.store.reclaim().unwrap_or_else(|error| {
            if let Some(suppressed) = self.reclaim_failures.admit() {
                tracing::warn!(
                    %error,
                    suppressed,
                    "deleted history could not be freed; it is tried again after the next deletion"
                );
            }
            false
        });
        self.metrics.reclaim_seconds.observe(started.elapsed().as_secs_f64());
        self.show_queue_stats();
    }

    /// Commits what waits, as much as one group may hold. Returns how many commands it held.
    fn commit_waiting(&mut self) -> usize {
        let mut group = CommittedGroup::with_capacity(GROUP_COMMANDS_MAX.min(self.queue.len()));
        let mut work = GroupWork::begin();
        let applied = self.apply_waiting(&mut group, &mut work);
        let commands = group.jobs.len();
        match applied {
            Ok(()) => self.finish(group, &work),
            Err(error) if commands == 1 => {
                self.store.rollback();
                let job = group.jobs.pop().expect("the group holds one");
                self.refuse(job, error);
            }
            Err(error) => {
                self.store.rollback();
                tracing::warn!(%error, commands, "a commit failed; its commands are repeated one by one");
                group.jobs.into_iter().for_each(|job| self.commit_alone(job));
            }
        }
        self.command_duration_seconds.flush();
        commands
    }

    /// Repeats a command in a commit of its own.
    fn commit_alone(&mut self, mut job: Job) {
        let mut work = GroupWork::begin();
        let applied =
            self.begin().and_then(|now_ms| self.apply(&mut job, now_ms, &mut work)).and_then(|events| {
                self.commit()?;
                Ok(events)
            });
        match applied {
            Ok(events) => {
                self.show_queue_stats();
                self.finish(CommittedGroup { jobs: vec![job], events }, &work);
            }
            Err(error) => {
                self.store.rollback();
                self.refuse(job, error);
            }
        }
    }

    /// Begins a group; returns its time.
    fn begin(&mut self) -> Result<TimestampMs, StoreError> {
        let AssignedTime { now_ms, set_back_ms } = self.time.make();
        if let Some(by_ms) = set_back_ms {
            self.clock_was_set_back(now_ms, by_ms);
        }
        self.store.begin()?;
        if let Some(caught_up_ms) = self.caught_up_ms {
            self.store.set_meta(CLOCK_SET_BACK, &caught_up_ms.to_string())?;
        }
        Ok(now_ms)
    }

    /// Commits a group, with what its begin has stored.
    fn commit(&mut self) -> Result<(), StoreError> {
        self.store.commit()?;
        self.caught_up_ms = None;
        Ok(())
    }

    /// Applies and commits what waits. An `Err` is the store's and means that nothing of the group is kept.
    fn apply_waiting(
        &mut self,
        group: &mut CommittedGroup<N>,
        work: &mut GroupWork,
    ) -> Result<(), StoreError> {
        let (now_ms, mut failed) = match self.begin() {
            Ok(now_ms) => (now_ms, None),
            Err(error) => (0, Some(error)),
        };
        work.lap();
        while !work.is_full()
            && let Some(mut job) = self.queue.pop(group.jobs.is_empty())
        {
            let applied = failed.take().map_or_else(|| self.apply(&mut job, now_ms, work), Err);
            group.jobs.push(job);
            group.events.extend(applied?);
        }
        self.commit()?;
        self.show_queue_stats();
        Ok(())
    }

    /// Applies one command; returns its events.
    fn apply(
        &mut self,
        job: &mut Job,
        now_ms: TimestampMs,
        work: &mut GroupWork,
    ) -> Result<Vec<CommittedEvent<N>>, StoreError> {
        let mut made = Vec::new();
        let applied = job.call.apply(&mut *self.store, now_ms);
        if let Ok(Effects { events, garbage, .. }) = &applied {
            made.reserve(events.len());
            for event in events {
                made.push(self.before_commit.before_commit(event, now_ms, &mut *self.store)?);
            }
            self.reclaim |= *garbage != Garbage::None;
            if *garbage == Garbage::Sessions {
                self.steps_due = (self.steps_due + STEPS_AFTER_END).min(STEPS_DUE_MAX);
            }
        }
        let used = work.lap();
        self.command_duration_seconds.observe(used.as_secs_f64());
        self.queue.charge(job.owner, used);
        work.add(job, applied.as_ref().map(|applied| &applied.events[..]).unwrap_or_default());
        let Effects { events, exceeded, .. } = applied?;
        if let Some(bound) = exceeded {
            self.metrics.commands_rejected.with_label_values(&[bound.name()]).inc();
        }
        Ok(events.into_iter().zip(made).map(|(event, made)| CommittedEvent { event, made }).collect())
    }

    /// The clock is far behind the last time that was made: it is followed, and `doctor` will say so until it has caught up.
    fn clock_was_set_back(&mut self, now_ms: TimestampMs, by_ms: TimestampMs) {
        self.metrics.clock_steps.with_label_values(&["back"]).inc();
        tracing::warn!(
            seconds = by_ms / 1_000,
            "clock set back: times of new events are before those of earlier ones; the last written value of a property \
             counts as its latest all the same"
        );
        // Not lost with a group that is rolled back.
        self.caught_up_ms = self.caught_up_ms.max(Some(now_ms.saturating_add(by_ms)));
    }

    /// Tells how much is kept for durable sessions, and what their bounds have cost.
    fn show_queue_stats(&mut self) {
        let (before, now) = (self.queue_stats, self.store.queue_stats());
        if before == now {
            return;
        }
        self.queue_stats = now;
        show_queue_stats(&self.metrics, now);
        let lost = |bound, of: fn(&QueueStats) -> u64| {
            let lost = of(&now) - of(&before);
            self.metrics.session_messages_dropped.with_label_values(&[bound]).inc_by(lost);
            lost
        };
        let count = lost("count", |queue_stats| queue_stats.lost_to_count);
        let bytes = lost("bytes", |queue_stats| queue_stats.lost_to_bytes);
        let age = lost("age", |queue_stats| queue_stats.lost_to_age);
        let evicted = now.evicted - before.evicted;
        self.metrics.sessions_evicted.inc_by(evicted);
        if evicted > 0
            && let Some(suppressed) = self.losses.admit()
        {
            let account = now.evicted_of.map(tracing::field::display);
            tracing::warn!(
                evicted,
                account,
                suppressed,
                "durable session ended for one of another key: --sessions-max is reached, and its key holds most"
            );
        }
        if count + bytes + age > 0
            && let Some(suppressed) = self.losses.admit()
        {
            let account = now.lost_of.filter(|_| bytes > 0).map(tracing::field::display);
            tracing::warn!(
                count,
                bytes,
                age,
                account,
                suppressed,
                "messages for durable sessions were dropped unsent: --session-queue-messages-max, --session-queue-bytes-max or \
                 --session-expiry-s was reached"
            );
        }
    }

    fn finish(&self, group: CommittedGroup<N>, work: &GroupWork) {
        let is_busy = self.is_busy() || work.notifications >= MANY_NOTIFICATIONS;
        self.pipeline.submit(group, is_busy);
    }

    fn is_busy(&self) -> bool {
        self.queue.len() >= BUSY_COMMANDS
    }

    fn refuse(&self, mut job: Job, error: StoreError) {
        self.metrics.commit_failures.inc();
        tracing::error!(%error, "a write could not be stored");
        job.call.fail(error);
        self.pipeline.submit(CommittedGroup { jobs: vec![job], events: Vec::new() }, self.is_busy());
    }
}

/// What the commands of a group have done so far.
struct GroupWork {
    started: Instant,
    /// The end of the last command. It is the start of the next one: the clock is read once for each.
    now: Instant,
    commands: usize,
    bytes: usize,
    notifications: usize,
}

impl GroupWork {
    fn begin() -> Self {
        let started = Instant::now();
        Self { started, now: started, commands: 0, bytes: 0, notifications: 0 }
    }

    /// The time since the last call.
    fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.now, Instant::now());
        self.now - before
    }

    fn add(&mut self, job: &Job, events: &[Event]) {
        self.commands += 1;
        self.bytes += job.payload_bytes;
        self.notifications += events.iter().map(Event::topics).sum::<usize>();
    }

    /// Whether no further command is to join.
    fn is_full(&self) -> bool {
        self.commands >= GROUP_COMMANDS_MAX
            || self.bytes >= GROUP_BYTES
            || self.notifications >= GROUP_NOTIFICATIONS
            || (self.commands > 0 && self.now - self.started >= GROUP_TIME)
    }
}

fn show_queue_stats(metrics: &Metrics, queue_stats: QueueStats) {
    metrics.sessions.set(queue_stats.sessions as i64);
    metrics.session_queued_messages.set(queue_stats.messages as i64);
    metrics.session_queued_bytes.set(queue_stats.bytes as i64);
}

/// A server without its writer cannot answer. It ends, so that its supervisor restarts it; all answered writes are on
/// disk.
fn die() {
    tracing::error!("the writer failed, see above; the server ends");
    process::exit(EXIT_WRITER_FAILED);
}
