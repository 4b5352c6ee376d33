//! Chooses the batch tasks to work on next, so that accounts take turns.
//!
//! A slot that is free goes to the account with the fewest tasks in work, of equal ones to the account that has waited
//! longest. So a task begins after one part of others, however many tasks another account has.

use hashbrown::HashMap;
use thng_pubsub_protocol::id::Id;

use thng_pubsub_store::OpenTask;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct TaskTurns {
    slots: usize,
    /// The tasks in work, with their accounts.
    working: HashMap<Id, Id>,
    /// The number of the last turn of each account that has open tasks.
    last_turns: HashMap<Id, u64>,
    next_turn: u64,
}

impl TaskTurns {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, working: HashMap::new(), last_turns: HashMap::new(), next_turn: 1 }
    }

    /// Fills the free slots from `open`, which holds the tasks of each account in their order. Returns the tasks that begin.
    pub(crate) fn begin(&mut self, open: &[OpenTask]) -> Vec<Id> {
        let mut in_work: HashMap<Id, usize> = open.iter().map(|task| (task.account, 0)).collect();
        self.last_turns.retain(|account, _| in_work.contains_key(account));
        self.working.values().for_each(|account| *in_work.entry(*account).or_default() += 1);
        let mut begun = Vec::new();
        while self.working.len() < self.slots {
            let idle = open.iter().filter(|open| !self.working.contains_key(&open.task));
            let next = idle.min_by_key(|OpenTask { account, .. }| {
                (in_work.get(account), self.last_turns.get(account).copied())
            });
            let Some(OpenTask { account, task }) = next.copied() else { break };
            self.working.insert(task, account);
            self.last_turns.insert(account, self.next_turn);
            self.next_turn += 1;
            *in_work.entry(account).or_default() += 1;
            begun.push(task);
        }
        begun
    }

    /// A part of a task is done.
    pub(crate) fn end(&mut self, task: Id) {
        self.working.remove(&task);
    }

    /// Whether a task is in work.
    pub(crate) fn is_working(&self, task: Id) -> bool {
        self.working.contains_key(&task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: usize = 4;

    fn id(number: u64) -> Id {
        Id::parse(&format!("U{number:023}")).expect("an id")
    }

    /// The tasks of an account: so many, the numbers of which begin at a thousand times the account's.
    fn open(account: u64, tasks: u64) -> impl Iterator<Item = OpenTask> {
        (0..tasks).map(move |task| OpenTask { account: id(account), task: id(account * 1_000 + task) })
    }

    #[test]
    fn one_account_fills_all_slots_with_its_oldest_tasks() {
        let mut turns = TaskTurns::new(SLOTS);
        let tasks: Vec<_> = open(1, 6).collect();
        assert_eq!(turns.begin(&tasks), [id(1_000), id(1_001), id(1_002), id(1_003)]);
        assert_eq!(turns.begin(&tasks), []);
        turns.end(id(1_002));
        assert_eq!(turns.begin(&tasks), [id(1_002)], "the oldest that is not in work");
    }

    #[test]
    fn an_account_begins_after_one_part_of_another_with_many() {
        let mut turns = TaskTurns::new(SLOTS);
        let mut tasks: Vec<_> = open(1, 16).collect();
        assert_eq!(turns.begin(&tasks).len(), SLOTS);
        tasks.extend(open(2, 1));
        turns.end(id(1_000));
        assert_eq!(turns.begin(&tasks), [id(2_000)]);
        turns.end(id(2_000));
        assert_eq!(turns.begin(&tasks), [id(2_000)], "it keeps its slot");
    }

    #[test]
    fn more_accounts_than_slots_take_turns() {
        let mut turns = TaskTurns::new(SLOTS);
        let tasks: Vec<_> = (1..=10).flat_map(|account| open(account, 5)).collect();
        let mut begun = turns.begin(&tasks);
        for at in 0..36 {
            turns.end(begun[at]);
            let next = turns.begin(&tasks);
            assert_eq!(next.len(), 1);
            begun.extend(next);
        }
        let expected: Vec<Id> = (0..4).flat_map(|_| (1..=10).map(|account| id(account * 1_000))).collect();
        assert_eq!(begun, expected, "each account in its turn, with its oldest task");
    }

    #[test]
    fn what_is_remembered_of_accounts_ends_with_their_tasks() {
        let mut turns = TaskTurns::new(SLOTS);
        for task in turns.begin(&open(1, 2).collect::<Vec<_>>()) {
            turns.end(task);
        }
        assert!(turns.begin(&[]).is_empty());
        assert!(turns.last_turns.is_empty() && turns.working.is_empty());
    }
}
