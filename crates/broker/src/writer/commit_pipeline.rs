//! The steps after a commit: it is synced, its events go to [`AfterCommit`], and its answers to the waiting calls.
//!
//! While little else waits that happens on the writer's thread: the way is short. Once much work waits it happens on a
//! thread of its own, beside the next commits, and one sync may serve several of them. Either way the order is that of
//! the commits.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;

use super::{AfterCommit, CommittedEvent, budget::Permit, die, job::Job};
use thng_pubsub_store::DiskSync;

/// Groups that wait for the thread; with as many more the writer waits too. That is how a slow disk or a full bus slows it
/// down.
const WAITING_GROUPS_MAX: usize = 4;

/// A group of commands that was committed, or one that failed.
pub(super) struct CommittedGroup<N> {
    pub(super) jobs: Vec<Job>,
    /// In the order of the jobs.
    pub(super) events: Vec<CommittedEvent<N>>,
}

impl<N> CommittedGroup<N> {
    pub(super) fn with_capacity(jobs: usize) -> Self {
        Self { jobs: Vec::with_capacity(jobs), events: Vec::with_capacity(jobs) }
    }
}

/// Gives answers, in the order of the calls of [`submit`](Self::submit).
pub(super) struct CommitPipeline<N> {
    finisher: Arc<Finisher<N>>,
    groups: SyncSender<CommittedGroup<N>>,
    thread: JoinHandle<()>,
}

/// The path of a group to its waiting calls.
struct Finisher<N> {
    disk: Box<dyn DiskSync>,
    /// One thread goes this way at a time; the lock is there to say so.
    after_commit: Mutex<Box<dyn AfterCommit<N>>>,
    /// Groups that were handed to the thread and are not answered.
    unfinished: AtomicUsize,
}

impl<N: Send + 'static> CommitPipeline<N> {
    pub(super) fn start(disk: Box<dyn DiskSync>, after_commit: Box<dyn AfterCommit<N>>) -> io::Result<Self> {
        let (groups, waiting) = mpsc::sync_channel(WAITING_GROUPS_MAX);
        let finisher = Arc::new(Finisher {
            disk,
            after_commit: Mutex::new(after_commit),
            unfinished: AtomicUsize::new(0),
        });
        let own = Arc::clone(&finisher);
        let run = move || {
            panic::catch_unwind(AssertUnwindSafe(|| own.run(&waiting))).unwrap_or_else(|_| die());
        };
        let thread = thread::Builder::new().name("commit-pipeline".into()).spawn(run)?;
        Ok(Self { finisher, groups, thread })
    }

    /// Answers a group that was committed. `busy`: the writer has better things to do than to wait for the disk.
    pub(super) fn submit(&self, group: CommittedGroup<N>, busy: bool) {
        // Acquire: the other thread's groups are delivered before those of this one.
        if !busy && self.finisher.unfinished.load(Ordering::Acquire) == 0 {
            self.finisher.sync_or_die();
            return self.finisher.notify(group);
        }
        self.finisher.unfinished.fetch_add(1, Ordering::Relaxed);
        self.groups.send(group).expect("the pipeline's thread ends the process when it fails");
    }

    /// Waits until everything is delivered.
    pub(super) fn finish(self) {
        drop(self.groups);
        self.thread.join().expect("the pipeline's thread ends the process when it fails");
    }
}

impl<N> Finisher<N> {
    fn run(&self, waiting: &Receiver<CommittedGroup<N>>) {
        let mut groups = Vec::with_capacity(WAITING_GROUPS_MAX);
        while let Ok(first) = waiting.recv() {
            groups.push(first);
            groups.extend(waiting.try_iter().take(WAITING_GROUPS_MAX - 1));
            self.sync_or_die();
            for group in groups.drain(..) {
                self.notify(group);
                self.unfinished.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// After a failed sync the state of the disk is unknown, and a second try would not reveal it. Waiting calls are not
    /// answered; the next start reads what is there.
    fn sync_or_die(&self) {
        if let Err(error) = self.disk.sync() {
            tracing::error!(%error, "what was committed could not be put on the disk");
            die();
        }
    }

    fn notify(&self, CommittedGroup { jobs, events }: CommittedGroup<N>) {
        if !events.is_empty() {
            self.after_commit.lock().after_commit(events);
        }
        // A task that is woken at the first of its answers runs beside this loop, finds one, and is woken again.
        let mut wakes = Vec::new();
        // Returned together, because publishers take units under the same lock.
        let mut budget: Option<Permit> = None;
        for Job { call, budget: own, .. } in jobs {
            wakes.extend(call.answer());
            budget = Some(match budget {
                Some(budget) => budget.merge(own),
                None => own,
            });
        }
        wakes.iter().for_each(|wake| wake.notify_one());
    }
}
