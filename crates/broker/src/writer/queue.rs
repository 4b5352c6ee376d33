//! Jobs that wait for the writer. Each account has a queue of its own, and the writer's time is shared between them.
//!
//! A deficit round robin: in its turn a queue may use [`QUANTUM`] of the writer's time, and what it used beyond that is
//! taken from its next turns. So an account whose commands are expensive, or many, delays another one by one command and
//! not by all that it has sent. The order within an account is that of arrival. What is done for its
//! sessions and tasks counts as its own. Probes ([`Owner::Probe`]) are outside of the turns.

use std::{collections::VecDeque, mem, time::Duration};

use hashbrown::{HashMap, HashSet};
use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError};

use super::job::Job;
use crate::commands::Owner;

/// The writer's time that a queue may use in a turn: some property updates, so that turns are not changed for each.
const QUANTUM: Duration = Duration::from_millis(1);

/// A command that takes longer makes its owner a heavy one. The owner's next command begins a commit of its own, so that
/// earlier commands do not wait for it.
const HEAVY: Duration = Duration::from_millis(5);

/// Jobs of a queue whose memory is kept for the next one.
const SPARE_JOBS_MAX: usize = 1_024;

/// See the module's text.
pub(super) struct Queue {
    incoming: UnboundedReceiver<Job>,
    /// They come first: whether the store can be written does not depend on what else waits for it.
    probes: VecDeque<Job>,
    /// The queue that has the turn, never empty. It is beside the others because most jobs come and go here.
    current: Option<Lane>,
    /// The other queues that are not empty.
    lanes: HashMap<Owner, Lane>,
    /// Their owners, in the order of their turns.
    rotation: VecDeque<Owner>,
    /// Memory of the last queue that became empty, for the next one.
    spare: VecDeque<Job>,
    /// Owners whose last command was a heavy one.
    heavy: HashSet<Owner>,
    waiting: usize,
}

struct Lane {
    owner: Owner,
    jobs: VecDeque<Job>,
    /// Nanoseconds that are left of its turn; below zero where it used more.
    balance: i64,
}

impl Queue {
    pub(super) fn new(incoming: UnboundedReceiver<Job>) -> Self {
        Self {
            incoming,
            probes: VecDeque::new(),
            current: None,
            lanes: HashMap::new(),
            rotation: VecDeque::new(),
            spare: VecDeque::new(),
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
            let lane = match self.current.take() {
                Some(lane) => lane,
                None => self.next_lane()?,
            };
            let lane = self.current.insert(lane);
            if lane.balance <= 0 {
                lane.balance += nanoseconds(QUANTUM);
                self.pass_turn();
                continue;
            }
            if !is_first && is_heavy(&self.heavy, &lane.owner) {
                return None;
            }
            let job = lane.jobs.pop_front().expect("the current queue is not empty");
            self.waiting -= 1;
            if lane.jobs.is_empty() {
                self.end_lane();
            }
            return Some(job);
        }
    }

    /// Takes the queue whose turn is next from those that wait for it.
    fn next_lane(&mut self) -> Option<Lane> {
        let owner = self.rotation.pop_front()?;
        Some(self.lanes.remove(&owner).expect("an owner in the rotation has a queue"))
    }

    /// Removes the current queue, which is empty.
    fn end_lane(&mut self) {
        if let Some(Lane { jobs, .. }) = self.current.take()
            && jobs.capacity() <= SPARE_JOBS_MAX
        {
            self.spare = jobs;
        }
    }

    /// Ends the turn of the current queue, if there is another.
    fn pass_turn(&mut self) {
        if !self.rotation.is_empty()
            && let Some(lane) = self.current.take()
        {
            self.rotation.push_back(lane.owner);
            self.lanes.insert(lane.owner, lane);
        }
    }

    /// Counts the writer's time that a command took. An owner without further jobs begins anew.
    pub(super) fn charge(&mut self, owner: Owner, used: Duration) {
        if owner == Owner::Probe {
            return;
        }
        if used >= HEAVY {
            self.heavy.insert(owner);
        } else if is_heavy(&self.heavy, &owner) {
            self.heavy.remove(&owner);
        }
        if let Some(lane) = self.lane(&owner) {
            lane.balance = lane.balance.saturating_sub(nanoseconds(used).max(1));
        }
    }

    fn lane(&mut self, owner: &Owner) -> Option<&mut Lane> {
        match &mut self.current {
            Some(lane) if lane.owner == *owner => Some(lane),
            _ if self.lanes.is_empty() => None,
            _ => self.lanes.get_mut(owner),
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
        if job.owner == Owner::Probe {
            self.probes.push_back(job);
            return;
        }
        let owner = job.owner;
        if let Some(lane) = self.lane(&owner) {
            lane.jobs.push_back(job);
            return;
        }
        self.rotation.push_back(owner);
        let mut jobs = mem::take(&mut self.spare);
        jobs.push_back(job);
        self.lanes.insert(owner, Lane { owner, jobs, balance: nanoseconds(QUANTUM) });
    }
}

/// Mostly no owner is a heavy one, and then none is looked up.
fn is_heavy(heavy: &HashSet<Owner>, owner: &Owner) -> bool {
    !heavy.is_empty() && heavy.contains(owner)
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::mpsc;

    use super::{
        super::{budget::Budget, job::PendingCall},
        *,
    };
    use crate::commands::{
        AdvanceTask, Command, EndSession, ExpireSessions, Probe, ReleaseQos2, RevokeKey, Subscribe,
        Unsubscribe,
    };
    use thng_pubsub_protocol::id::Id;
    use thng_pubsub_store::{Actor, KeyHash, session_queue::SessionNumber};

    fn account(letter: &str) -> Owner {
        Owner::Account(Id::parse(&letter.repeat(24)).expect("an id"))
    }

    /// A job that its bytes identify.
    fn job(owner: Owner, payload_bytes: usize) -> Job {
        Job { owner, ..of(Probe, payload_bytes) }
    }

    fn of<C: Command>(command: C, payload_bytes: usize) -> Job {
        let owner = command.owner();
        let budget = Budget::new(1).take(owner, 1).now_or_never().expect("it is free");
        Job { owner, payload_bytes, budget, call: Box::new(PendingCall::new(command, |_| None)) }
    }

    /// What is taken next, and then charged.
    fn taken(queue: &mut Queue, used: Duration) -> Option<(Owner, usize)> {
        let job = queue.pop(true)?;
        queue.charge(job.owner, used);
        Some((job.owner, job.payload_bytes))
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
        assert_eq!(taken(&mut queue, QUANTUM * 50), Some((greedy, 0)));
        // Fifty turns are the other account's, which needs a tenth of one for all that it asks.
        for number in 0..10 {
            assert_eq!(taken(&mut queue, QUANTUM / 100), Some((modest, number)));
        }
        for number in 1..100 {
            assert_eq!(taken(&mut queue, QUANTUM * 50), Some((greedy, number)));
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
            let owner = queue.pop(is_first)?.owner;
            queue.charge(owner, used);
            Some(owner)
        };
        assert_eq!(next(&mut queue, true, HEAVY), Some(heavy));
        assert_eq!(next(&mut queue, false, QUANTUM), Some(light));
        assert_eq!(next(&mut queue, false, QUANTUM), None);
        assert_eq!(next(&mut queue, true, QUANTUM), Some(heavy));
        assert_eq!(next(&mut queue, false, QUANTUM), Some(heavy));
    }

    #[test]
    fn work_for_sessions_and_tasks_takes_turns_of_its_account() {
        let (greedy, modest) = ("a", "b");
        let session = SessionNumber { number: 1, epoch: 1 };
        let commands = |letter: &str| {
            let account = Id::parse(&letter.repeat(24)).expect("an id");
            let (key, client_id) = (KeyHash([0; 32]), Box::from("c"));
            let input = std::sync::Arc::new(Err(String::new()));
            [
                of(AdvanceTask { account, task: account, ids: Vec::new(), input, key_in_force: true }, 0),
                of(EndSession { account, key, client_id }, 0),
                of(Subscribe { account, session, subscriptions: Vec::new(), most: 1 }, 0),
                of(Unsubscribe { account, session, filters: Vec::new() }, 0),
                of(ReleaseQos2 { account, session, packet_id: 1 }, 0),
                of(RevokeKey { account, actor: Actor::Device(account), hash: key }, 0),
            ]
        };
        let (jobs, incoming) = mpsc::unbounded_channel();
        let mut queue = Queue::new(incoming);
        for job in commands(greedy).into_iter().chain(commands(modest)) {
            assert!(jobs.send(job).is_ok());
        }
        let order: Vec<_> = std::iter::from_fn(|| taken(&mut queue, QUANTUM)).collect();
        assert_eq!(order, [(account(greedy), 0), (account(modest), 0)].repeat(6));
    }

    #[test]
    fn a_probe_waits_for_no_work_and_pays_for_none() {
        let (jobs, incoming) = mpsc::unbounded_channel();
        let mut queue = Queue::new(incoming);
        for number in 0..100 {
            assert!(jobs.send(job(account("a"), number)).is_ok());
            assert!(jobs.send(of(ExpireSessions { left_before_ms: 0 }, number)).is_ok());
        }
        assert_eq!(taken(&mut queue, QUANTUM * 50), Some((account("a"), 0)));
        assert_eq!(taken(&mut queue, QUANTUM * 50), Some((Owner::Server, 0)));
        for number in [1_000, 1_001] {
            assert!(jobs.send(of(Probe, number)).is_ok());
            let probe = queue.pop(false).expect("it also joins others in their commit");
            assert_eq!(probe.owner, Owner::Probe);
            queue.charge(probe.owner, HEAVY * 100);
        }
        // What the probes took is taken from no other's turns.
        assert_eq!(taken(&mut queue, QUANTUM), Some((account("a"), 1)));
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
        let expected: Vec<_> = (0..3).flat_map(|number| all.map(|account| (account, number))).collect();
        assert_eq!(order, expected);
    }
}
