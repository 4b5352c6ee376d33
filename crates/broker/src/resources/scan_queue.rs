//! Shares long work between accounts and keys: the database connections that scan lists, and the reading of long inputs.
//!
//! A scan takes a turn, works for a slice of time, and takes its next turn behind all others that wait. Turns go round
//! robin over the accounts, and within an account over its keys. One key therefore delays another account by one slice,
//! however many requests it sends. Parsing an input is one slice. The queue is bounded: when it is full, the last scan
//! of the key with most of them gives way.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use parking_lot::Mutex;
use thng_pubsub_protocol::id::Id;
use tokio::sync::oneshot;

use thng_pubsub_store::KeyHash;

/// The turns of all scans, and what waits for one.
#[derive(Debug)]
pub(crate) struct ScanQueue {
    state: Mutex<State>,
    waiting_max: usize,
    /// Turns that one key may have at a time: where there are several, one is left for others.
    per_key_max: usize,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    taken: HashMap<KeyHash, usize>,
    waiting: usize,
    accounts: HashMap<Id, Account>,
    /// The accounts that wait, the next one first.
    order: VecDeque<Id>,
    next_ticket: u64,
}

/// What waits of one account; never nothing.
#[derive(Debug, Default)]
struct Account {
    keys: HashMap<KeyHash, VecDeque<Waiter>>,
    /// The keys that wait, the next one first.
    order: VecDeque<KeyHash>,
    waiting: usize,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    sender: oneshot::Sender<ScanPermit>,
}

/// More wait than may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// The right to scan. Dropping it passes it on.
#[derive(Debug)]
pub(crate) struct ScanPermit {
    turns: Arc<ScanQueue>,
    key: KeyHash,
}

impl Drop for ScanPermit {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        state.free += 1;
        if let Some(taken) = state.taken.get_mut(&self.key) {
            *taken -= 1;
            if *taken == 0 {
                state.taken.remove(&self.key);
            }
        }
        let next = state.take_next(self.turns.per_key_max);
        drop(state);
        if let Some((sender, key)) = next {
            // A scan that was given up meanwhile returns its turn, which passes it on.
            drop(sender.send(ScanPermit { turns: Arc::clone(&self.turns), key }));
        }
    }
}

/// A position in the queue. Dropping it gives the position up.
struct QueueTicket<'t> {
    turns: &'t ScanQueue,
    account: Id,
    key: KeyHash,
    ticket: u64,
}

impl Drop for QueueTicket<'_> {
    fn drop(&mut self) {
        self.turns.state.lock().remove(self.account, &self.key, |waiter| waiter.ticket == self.ticket);
    }
}

impl ScanQueue {
    pub(crate) fn new(turns: usize, waiting_max: usize) -> Arc<Self> {
        let state = State { free: turns, ..State::default() };
        let per_key_max = turns.saturating_sub(1).max(1);
        Arc::new(Self { state: Mutex::new(state), waiting_max, per_key_max })
    }

    /// Scans that wait for a turn.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    /// Waits for a turn. Dropping the future gives up the position in the queue.
    pub(crate) async fn take(self: &Arc<Self>, account: Id, key: KeyHash) -> Result<ScanPermit, QueueFull> {
        let (place, turn) = {
            let mut state = self.state.lock();
            if state.may_begin(&key, self.per_key_max) {
                state.begin(key);
                return Ok(ScanPermit { turns: Arc::clone(self), key });
            }
            if state.waiting >= self.waiting_max {
                state.make_way(account, &key)?;
            }
            let (sender, turn) = oneshot::channel();
            let ticket = state.enqueue(account, key, sender);
            (QueueTicket { turns: self, account, key, ticket }, turn)
        };
        let turn = turn.await.map_err(|_| QueueFull);
        drop(place);
        turn
    }
}

impl State {
    /// While a turn is free, no waiter that may have it waits.
    fn may_begin(&self, key: &KeyHash, per_key_max: usize) -> bool {
        self.free > 0 && self.taken.get(key).is_none_or(|taken| *taken < per_key_max)
    }

    fn begin(&mut self, key: KeyHash) {
        self.free -= 1;
        *self.taken.entry(key).or_default() += 1;
    }

    fn enqueue(&mut self, account_id: Id, key: KeyHash, sender: oneshot::Sender<ScanPermit>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting += 1;
        let account = self.accounts.entry(account_id).or_default();
        if account.waiting == 0 {
            self.order.push_back(account_id);
        }
        account.waiting += 1;
        let waiters = account.keys.entry(key).or_default();
        if waiters.is_empty() {
            account.order.push_back(key);
        }
        waiters.push_back(Waiter { ticket, sender });
        ticket
    }

    /// Begins the turn of the scan whose account, and whose key within it, waits for longest.
    fn take_next(&mut self, per_key_max: usize) -> Option<(oneshot::Sender<ScanPermit>, KeyHash)> {
        for _ in 0..self.order.len() {
            let id = self.order.pop_front()?;
            self.order.push_back(id);
            let Some(account) = self.accounts.get_mut(&id) else { continue };
            for _ in 0..account.order.len() {
                let key = account.order.pop_front()?;
                account.order.push_back(key);
                if self.taken.get(&key).is_some_and(|taken| *taken >= per_key_max) {
                    continue;
                }
                let waiter = self.remove(id, &key, |_| true)?;
                self.begin(key);
                return Some((waiter.sender, key));
            }
        }
        None
    }

    /// Takes the first waiter of a key that is meant out of the queue.
    fn remove(
        &mut self,
        account_id: Id,
        key: &KeyHash,
        is_meant: impl Fn(&Waiter) -> bool,
    ) -> Option<Waiter> {
        let account = self.accounts.get_mut(&account_id)?;
        let waiters = account.keys.get_mut(key)?;
        let at = waiters.iter().position(is_meant)?;
        let removed = waiters.remove(at);
        if waiters.is_empty() {
            account.keys.remove(key);
            account.order.retain(|other| other != key);
        }
        account.waiting -= 1;
        self.waiting -= 1;
        if account.waiting == 0 {
            self.accounts.remove(&account_id);
            self.order.retain(|other| *other != account_id);
        }
        removed
    }

    /// Makes one wait less, of the key that waits with most in the account that waits with most; that may be the new one.
    fn make_way(&mut self, account: Id, key: &KeyHash) -> Result<(), QueueFull> {
        let own = self.accounts.get(&account).map_or(0, |own| own.waiting) + 1;
        let most = self.accounts.iter().max_by_key(|(_, account)| account.waiting).ok_or(QueueFull)?;
        let (crowded, most) = (*most.0, most.1.waiting);
        let crowded = if most > own { crowded } else { account };
        let keys = &self.accounts.get(&crowded).ok_or(QueueFull)?.keys;
        let (longest, waiters) = keys.iter().max_by_key(|(_, waiters)| waiters.len()).ok_or(QueueFull)?;
        let own = keys.get(key).map_or(0, VecDeque::len) + 1;
        if crowded == account && own >= waiters.len() {
            return Err(QueueFull);
        }
        let (longest, last) = (*longest, waiters.back().map(|waiter| waiter.ticket));
        // Its sender is dropped, which tells it.
        self.remove(crowded, &longest, |waiter| Some(waiter.ticket) == last).map(drop).ok_or(QueueFull)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::*;

    type Waiting<'t> = Pin<Box<dyn Future<Output = Result<ScanPermit, QueueFull>> + 't>>;

    fn account(number: u8) -> Id {
        Id::generate(|| number)
    }

    fn key(number: u8) -> KeyHash {
        KeyHash([number; 32])
    }

    /// Asks for a turn; what is returned waits, or has one.
    fn asks(turns: &Arc<ScanQueue>, of: u8, with: u8) -> Waiting<'_> {
        let mut waiting: Waiting<'_> = Box::pin(turns.take(account(of), key(with)));
        if let Some(turn) = now(&mut waiting) {
            return Box::pin(std::future::ready(turn));
        }
        waiting
    }

    fn now(waiting: &mut Waiting<'_>) -> Option<Result<ScanPermit, QueueFull>> {
        use futures_util::FutureExt as _;
        waiting.now_or_never()
    }

    #[test]
    fn turns_go_round_accounts_first_and_keys_second() {
        let turns = ScanQueue::new(1, 100);
        let mut running = now(&mut asks(&turns, 1, 1)).expect("the turn is free").expect("a turn");
        let requests = [(1, 1), (1, 1), (1, 1), (1, 2), (2, 3), (3, 4), (3, 4)];
        let mut waiting: Vec<_> =
            requests.iter().map(|(of, with)| (*with, asks(&turns, *of, *with))).collect();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(running);
            let next = waiting
                .iter_mut()
                .enumerate()
                .find_map(|(at, (key, waiting))| now(waiting).map(|turn| (at, *key, turn.expect("a turn"))));
            let (at, key, turn) = next.expect("a turn that is passed on is taken");
            order.push(key);
            drop(waiting.remove(at));
            running = turn;
        }
        assert_eq!(order, [1, 3, 4, 2, 4, 1, 1]);
        assert_eq!(turns.waiting(), 0);
    }

    #[test]
    fn one_key_never_has_all_turns() {
        let turns = ScanQueue::new(3, 100);
        let own: Vec<_> = (0..3).map(|_| asks(&turns, 1, 1)).collect();
        assert_eq!(turns.waiting(), 1, "the third waits, though a turn is free");
        let _other = now(&mut asks(&turns, 1, 2)).expect("it is free for another key").expect("a turn");
        drop(own);
    }

    #[test]
    fn a_place_that_is_given_up_is_passed_over() {
        let turns = ScanQueue::new(1, 100);
        let running = now(&mut asks(&turns, 1, 1)).expect("free").expect("a turn");
        let gone = asks(&turns, 2, 2);
        let mut stays = asks(&turns, 3, 3);
        drop(gone);
        assert_eq!(turns.waiting(), 1);
        drop(running);
        let last = now(&mut stays).expect("its turn").expect("a turn");
        // A turn that comes to one who has gone is passed on as well.
        let gone = asks(&turns, 2, 2);
        let mut stays = asks(&turns, 3, 3);
        drop(last);
        drop(gone);
        assert!(now(&mut stays).expect("its turn").is_ok());
    }

    #[test]
    fn a_full_queue_refuses_the_account_and_key_that_wait_with_most() {
        let turns = ScanQueue::new(1, 4);
        let _running = now(&mut asks(&turns, 9, 9)).expect("free").expect("a turn");
        let mut flood: Vec<_> = (0..4).map(|_| asks(&turns, 1, 1)).collect();
        assert_eq!(now(&mut asks(&turns, 1, 1)).expect("at once").err(), Some(QueueFull));
        let mut other_key = asks(&turns, 1, 2);
        assert!(now(&mut other_key).is_none(), "it waits");
        assert_eq!(now(&mut flood[3]).expect("it gave way").err(), Some(QueueFull));
        let mut other_account = asks(&turns, 2, 3);
        assert!(now(&mut other_account).is_none(), "it waits");
        assert_eq!(now(&mut flood[2]).expect("it gave way").err(), Some(QueueFull));
        assert_eq!(turns.waiting(), 4);
    }
}
