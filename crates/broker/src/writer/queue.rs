//! Jobs that wait for the writer. Each account has a queue of its own, and the writer's time is shared between them.
//!
//! A deficit round robin: in its turn a queue may use [`QUANTUM`] of the writer's time, and what it used beyond that is
//! taken from its next turns. So an account whose commands are expensive, or many, delays another one by one command and
//! not by all that it has sent. The order within an account is that of arrival. What is done for its
//! sessions and tasks counts as its own. Probes ([`Command::Probe`]) are outside of the turns.

use std::{collections::VecDeque, time::Duration};

use hashbrown::{HashMap, HashSet};
use thng_pubsub_protocol::id::Id;
use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError};

use super::{Command, Job};

/// The writer's time that a queue may use in a turn: some property updates, so that turns are not changed for each.
const QUANTUM: Duration = Duration::from_millis(1);

/// A command that takes longer makes its owner a heavy one: its next command begins a commit of its own, so that those
/// that were taken before do not wait for it.
const HEAVY: Duration = Duration::from_millis(5);

/// The account of a queue; `None` for what the server does by itself.
type Owner = Option<Id>;

/// See the module's text.
pub(super) struct Queue {
    incoming: UnboundedReceiver<Job>,
    /// They come first: whether the store can be written does not depend on what else waits for it.
    probes: VecDeque<Job>,
    lanes: HashMap<Owner, Lane>,
    /// Owners of queues that are not empty; the first has the turn.
    rotation: VecDeque<Owner>,
    /// Owners whose last command was a heavy one.
    heavy: HashSet<Owner>,
    waiting: usize,
}

struct Lane {
    jobs: VecDeque<Job>,
    /// Nanoseconds that are left of its turn; below zero where it used more.
    balance: i64,
}

impl Queue {
    pub(super) fn new(incoming: UnboundedReceiver<Job>) -> Self {
        Self {
            incoming,
            probes: VecDeque::new(),
            lanes: HashMap::new(),
            rotation: VecDeque::new(),
            heavy: HashSet::new(),
            waiting: 0,
        }
    }

    /// Whether a job is there. `None`: there is none, and there will be none any more.
    pub(super) fn poll(&mut self) -> Option<bool> {
        match self.receive() {
            _ if self.waiting > 0 => Some(true),
            Err(TryRecvError::Disconnected) => None,
            Ok(()) | Err(TryRecvError::Empty) => Some(false),
        }
    }

    /// Waits for a job. `false`: there will be none any more.
    pub(super) fn wait(&mut self) -> bool {
        if self.waiting > 0 {
            return true;
        }
        match self.incoming.blocking_recv() {
            Some(job) => {
                self.push(job);
                true
            }
            None => false,
        }
    }

    /// The next job, of the account whose turn it is. `is_first`: no other is in the commit; else it is only one of an
    /// account whose commands are light.
    pub(super) fn pop(&mut self, is_first: bool) -> Option<Job> {
        let _ = self.receive();
        if let Some(probe) = self.probes.pop_front() {
            self.waiting -= 1;
            return Some(probe);
        }
        loop {
            let owner = *self.rotation.front()?;
            let is_heavy = self.heavy.contains(&owner);
            let lane = self.lanes.get_mut(&owner).expect("an owner in the rotation has a queue");
            if lane.balance <= 0 {
                lane.balance += nanoseconds(QUANTUM);
                self.rotation.rotate_left(1);
                continue;
            }
            if is_heavy && !is_first {
                return None;
            }
            let job = lane.jobs.pop_front().expect("a queue in the rotation is not empty");
            self.waiting -= 1;
            if lane.jobs.is_empty() {
                self.lanes.remove(&owner);
                self.rotation.pop_front();
            }
            return Some(job);
        }
    }

    /// Counts the writer's time that an operation took. An owner without further jobs begins anew.
    pub(super) fn charge(&mut self, command: &Command, used: Duration) {
        if is_probe(command) {
            return;
        }
        let owner = command.account();
        match used >= HEAVY {
            true => drop(self.heavy.insert(owner)),
            false => drop(self.heavy.remove(&owner)),
        }
        if let Some(lane) = self.lanes.get_mut(&owner) {
            lane.balance = lane.balance.saturating_sub(nanoseconds(used).max(1));
        }
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.waiting + self.incoming.len()
    }

    fn receive(&mut self) -> Result<(), TryRecvError> {
        loop {
            let job = self.incoming.try_recv()?;
            self.push(job);
        }
    }

    fn push(&mut self, job: Job) {
        self.waiting += 1;
        if is_probe(&job.command) {
            self.probes.push_back(job);
            return;
        }
        let owner = job.command.account();
        let rotation = &mut self.rotation;
        let lane = self.lanes.entry(owner).or_insert_with(|| {
            rotation.push_back(owner);
            Lane { jobs: VecDeque::new(), balance: nanoseconds(QUANTUM) }
        });
        lane.jobs.push_back(job);
    }
}

fn is_probe(command: &Command) -> bool {
    matches!(command, Command::Probe)
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::mpsc;

    use super::{super::budget::Budget, *};
    use thng_pubsub_store::{KeyHash, session_queue::SessionNumber};

    fn account(letter: &str) -> Id {
        Id::parse(&letter.repeat(24)).expect("an id")
    }

    /// A job that its bytes identify.
    fn job(account: Id, payload_bytes: usize) -> Job {
        of(Command::DeleteLocation { account, thng: account, before_ms: None }, payload_bytes)
    }

    fn of(command: Command, payload_bytes: usize) -> Job {
        let budget = Budget::new(1).take(None, 1).now_or_never().expect("it is free");
        Job { command, reply: Box::new(|_| {}), payload_bytes, _budget: budget }
    }

    /// What is taken next, and then charged.
    fn taken(queue: &mut Queue, used: Duration) -> Option<(Option<Id>, usize)> {
        let job = queue.pop(true)?;
        queue.charge(&job.command, used);
        Some((job.command.account(), job.payload_bytes))
    }

    #[test]
    fn accounts_share_the_time_of_the_writer() {
        let (jobs, incoming) = mpsc::unbounded_channel();
        let mut queue = Queue::new(incoming);
        let (greedy, modest) = (account("a"), account("b"));
        for number in 0..100 {
            assert!(jobs.send(job(greedy, number)).is_ok());
        }
        for number in 0..10 {
            assert!(jobs.send(job(modest, number)).is_ok());
        }
        assert_eq!(taken(&mut queue, QUANTUM * 50), Some((Some(greedy), 0)));
        // Fifty turns are the other account's, which needs a tenth of one for all that it asks.
        for number in 0..10 {
            assert_eq!(taken(&mut queue, QUANTUM / 100), Some((Some(modest), number)));
        }
        for number in 1..100 {
            assert_eq!(taken(&mut queue, QUANTUM * 50), Some((Some(greedy), number)));
        }
        assert_eq!((queue.poll(), queue.len()), (Some(false), 0));
        drop(jobs);
        assert_eq!(queue.poll(), None);
    }

    #[test]
    fn a_heavy_command_begins_a_commit_of_its_own() {
        let (jobs, incoming) = mpsc::unbounded_channel();
        let mut queue = Queue::new(incoming);
        let (heavy, light) = (account("a"), account("b"));
        for owner in [heavy, heavy, light, heavy] {
            assert!(jobs.send(job(owner, 0)).is_ok());
        }
        let next = |queue: &mut Queue, is_first, used| {
            let command = queue.pop(is_first)?.command;
            queue.charge(&command, used);
            command.account()
        };
        assert_eq!(next(&mut queue, true, HEAVY), Some(heavy));
        assert_eq!(next(&mut queue, false, QUANTUM), Some(light));
        assert_eq!(next(&mut queue, false, QUANTUM), None);
        assert_eq!(next(&mut queue, true, QUANTUM), Some(heavy));
        assert_eq!(next(&mut queue, false, QUANTUM), Some(heavy));
    }

    #[test]
    fn work_for_sessions_and_tasks_takes_turns_of_its_account() {
        let (greedy, modest) = (account("a"), account("b"));
        let session = SessionNumber { number: 1, epoch: 1 };
        let commands = |account| {
            let (key, client_id) = (KeyHash([0; 32]), Box::from("c"));
            let input = std::sync::Arc::new(Err(String::new()));
            [
                Command::AdvanceTask { account, task: account, ids: Vec::new(), input, key_in_force: true },
                Command::EndSession { account, key, client_id },
                Command::Subscribe { account, session, subscriptions: Vec::new(), most: 1 },
                Command::Unsubscribe { account, session, filters: Vec::new() },
                Command::ReleaseQos2 { account, session, packet_id: 1 },
                Command::RevokeKey { account, hash: key },
            ]
        };
        let (jobs, incoming) = mpsc::unbounded_channel();
        let mut queue = Queue::new(incoming);
        for command in commands(greedy).into_iter().chain(commands(modest)) {
            assert!(jobs.send(of(command, 0)).is_ok());
        }
        let order: Vec<_> = std::iter::from_fn(|| taken(&mut queue, QUANTUM)).collect();
        assert_eq!(order, [(Some(greedy), 0), (Some(modest), 0)].repeat(6));
    }

    #[test]
    fn a_probe_waits_for_no_work_and_pays_for_none() {
        let (jobs, incoming) = mpsc::unbounded_channel();
        let mut queue = Queue::new(incoming);
        for number in 0..100 {
            assert!(jobs.send(job(account("a"), number)).is_ok());
            assert!(jobs.send(of(Command::ExpireSessions { left_before_ms: 0 }, number)).is_ok());
        }
        assert_eq!(taken(&mut queue, QUANTUM * 50), Some((Some(account("a")), 0)));
        assert_eq!(taken(&mut queue, QUANTUM * 50), Some((None, 0)));
        for number in [1_000, 1_001] {
            assert!(jobs.send(of(Command::Probe, number)).is_ok());
            let probe = queue.pop(false).expect("it also joins others in their commit");
            assert!(is_probe(&probe.command));
            queue.charge(&probe.command, HEAVY * 100);
        }
        // What the probes took is taken from no other's turns.
        assert_eq!(taken(&mut queue, QUANTUM), Some((Some(account("a")), 1)));
        assert_eq!(queue.len(), 197);
    }

    #[test]
    fn an_account_keeps_its_order_and_comes_again_in_its_turn() {
        let (jobs, incoming) = mpsc::unbounded_channel();
        let mut queue = Queue::new(incoming);
        let all = [account("a"), account("b"), account("c")];
        for number in 0..3 {
            for account in all {
                assert!(jobs.send(job(account, number)).is_ok());
            }
        }
        let order: Vec<_> = std::iter::from_fn(|| taken(&mut queue, QUANTUM)).collect();
        let expected: Vec<_> = (0..3).flat_map(|number| all.map(|account| (Some(account), number))).collect();
        assert_eq!(order, expected);
    }
}
