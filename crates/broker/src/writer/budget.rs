//! The bytes that may wait for the writer, shared between accounts.
//!
//! One account has at most half of them. What does not fit waits in a queue of its account, and the accounts take turns.
//! A command waits behind those of its own account and behind one of each other account, however many these have. The
//! table of accounts has only those with something here.

use std::{collections::VecDeque, mem, sync::Arc};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::commands::Owner;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Budget {
    units: usize,
    /// Units that one account may have.
    share: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Those that have units, or wait for some.
    accounts: HashMap<Owner, Account>,
    /// Accounts whose next command waits for nothing but free units, in the order of their turns.
    rotation: VecDeque<Owner>,
    next_ticket: u64,
}

#[derive(Debug, Default)]
struct Account {
    used: usize,
    /// In order of their tickets.
    waiting: VecDeque<Waiter>,
    is_in_rotation: bool,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    units: usize,
    grant: oneshot::Sender<()>,
}

/// Units of the budget. Dropping it returns them.
#[derive(Debug)]
pub(super) struct Permit {
    budget: Arc<Budget>,
    owner: Owner,
    units: usize,
}

impl Permit {
    /// Unites two permits, if they are of one account; else the other one is returned.
    pub(super) fn merge(mut self, mut other: Self) -> Self {
        if self.owner == other.owner && Arc::ptr_eq(&self.budget, &other.budget) {
            self.units += mem::take(&mut other.units);
        }
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.units == 0 {
            return;
        }
        self.budget.state.lock().release(self.owner, self.units, self.budget.share);
    }
}

/// A position in the queue of an account. Dropping it gives the position up, or the units that it has got by then.
struct Waiting {
    /// `None` once the units belong to a permit.
    budget: Option<Arc<Budget>>,
    owner: Owner,
    units: usize,
    ticket: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(budget) = &self.budget else { return };
        budget.state.lock().give_up(self.owner, self.units, self.ticket, budget.share);
    }
}

impl Budget {
    pub(super) fn new(units: usize) -> Arc<Self> {
        let state =
            State { free: units, accounts: HashMap::new(), rotation: VecDeque::new(), next_ticket: 0 };
        Arc::new(Self { units, share: (units / 2).max(1), state: Mutex::new(state) })
    }

    /// Units that are in use.
    pub(super) fn used(&self) -> usize {
        self.units - self.state.lock().free
    }

    /// Waits for units; a command that is larger than a share takes a whole one.
    pub(super) async fn take(self: &Arc<Self>, owner: Owner, units: usize) -> Permit {
        let units = units.min(self.share);
        let permit = || Permit { budget: Arc::clone(self), owner, units };
        let (mut waiting, granted) = {
            let mut state = self.state.lock();
            if state.take_at_once(owner, units, self.share) {
                drop(state);
                return permit();
            }
            let (grant, granted) = oneshot::channel();
            let ticket = state.enqueue(owner, units, grant, self.share);
            (Waiting { budget: Some(Arc::clone(self)), owner, units, ticket }, granted)
        };
        // The other end is used before it is dropped.
        let _ = granted.await;
        waiting.budget = None;
        permit()
    }
}

impl State {
    /// Takes units where no other waits for them.
    fn take_at_once(&mut self, owner: Owner, units: usize, share: usize) -> bool {
        if !self.rotation.is_empty() || self.free < units {
            return false;
        }
        let account = self.accounts.entry(owner).or_default();
        if !account.waiting.is_empty() || account.used + units > share {
            return false;
        }
        account.used += units;
        self.free -= units;
        true
    }

    fn enqueue(&mut self, owner: Owner, units: usize, grant: oneshot::Sender<()>, share: usize) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.accounts.entry(owner).or_default().waiting.push_back(Waiter { ticket, units, grant });
        self.settle(owner, share);
        ticket
    }

    fn release(&mut self, owner: Owner, units: usize, share: usize) {
        self.free += units;
        if let Some(account) = self.accounts.get_mut(&owner) {
            account.used -= units;
        }
        self.settle(owner, share);
        self.grant(share);
    }

    fn give_up(&mut self, owner: Owner, units: usize, ticket: u64, share: usize) {
        let Some(account) = self.accounts.get_mut(&owner) else { return };
        match account.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            Ok(at) => {
                account.waiting.remove(at);
                self.settle(owner, share);
                self.grant(share);
            }
            // It was granted meanwhile.
            Err(_) => self.release(owner, units, share),
        }
    }

    /// Puts an account whose state has changed where it belongs: into the rotation, out of it, or out of the table.
    fn settle(&mut self, owner: Owner, share: usize) {
        let Some(account) = self.accounts.get_mut(&owner) else { return };
        let is_ready = account.waiting.front().is_some_and(|next| account.used + next.units <= share);
        if is_ready && !account.is_in_rotation {
            self.rotation.push_back(owner);
        } else if !is_ready && account.is_in_rotation {
            self.rotation.retain(|other| *other != owner);
        }
        account.is_in_rotation = is_ready;
        if account.used == 0 && account.waiting.is_empty() {
            self.accounts.remove(&owner);
            if self.accounts.len() * 4 < self.accounts.capacity() && self.accounts.capacity() > 1_000 {
                self.accounts.shrink_to_fit();
            }
        }
    }

    /// Gives free units to the accounts whose turn it is. The next one is not passed over for smaller ones, or it could
    /// wait forever.
    fn grant(&mut self, share: usize) {
        while let Some(owner) = self.rotation.front().copied() {
            let account = self.accounts.get_mut(&owner).expect("an account in the rotation is in the table");
            let next = account.waiting.front().expect("an account in the rotation waits");
            if next.units > self.free {
                return;
            }
            let next = account.waiting.pop_front().expect("the same");
            self.free -= next.units;
            account.used += next.units;
            account.is_in_rotation = false;
            self.rotation.pop_front();
            // Where its future is dropped, that returns the units.
            let _ = next.grant.send(());
            self.settle(owner, share);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::FutureExt as _;
    use thng_pubsub_protocol::id::Id;

    use super::*;

    type Waits<'b> = Pin<Box<dyn Future<Output = Permit> + 'b>>;

    fn account(letter: &str) -> Owner {
        Owner::Account(Id::parse(&letter.repeat(24)).expect("an id"))
    }

    fn now(waits: &mut Waits<'_>) -> Option<Permit> {
        waits.now_or_never()
    }

    fn asks<'b>(budget: &'b Arc<Budget>, letter: &str, units: usize) -> Waits<'b> {
        let mut waits: Waits<'_> = Box::pin(budget.take(account(letter), units));
        assert!(now(&mut waits).is_none(), "it waits");
        waits
    }

    fn at_once(budget: &Arc<Budget>, letter: &str, units: usize) -> Permit {
        budget.take(account(letter), units).now_or_never().expect("it does not wait")
    }

    fn is_empty(budget: &Budget) -> bool {
        let state = budget.state.lock();
        state.accounts.is_empty() && state.rotation.is_empty() && state.free == budget.units
    }

    #[test]
    fn parked_commands_of_one_account_delay_no_other() {
        let budget = Budget::new(100);
        let taken = at_once(&budget, "a", 50);
        let parked: Vec<_> = (0..100).map(|_| asks(&budget, "a", 10)).collect();
        // The half that is left is for others.
        let other = at_once(&budget, "b", 50);
        assert_eq!(budget.used(), 100);
        drop((taken, parked, other));
        assert!(is_empty(&budget));
    }

    #[test]
    fn accounts_take_turns_for_units_that_become_free() {
        let budget = Budget::new(100);
        let (taken, other) = (at_once(&budget, "a", 50), at_once(&budget, "b", 45));
        let mut greedy: Vec<_> = (0..10).map(|_| asks(&budget, "c", 10)).collect();
        let mut small = asks(&budget, "d", 1);
        drop(other);
        // Five of the greedy account fit but for the small one, which has the second turn.
        let granted: Vec<_> = greedy.iter_mut().filter_map(now).collect();
        assert_eq!(granted.len(), 4);
        let small = now(&mut small).expect("its turn came");
        assert_eq!(budget.used(), 91);
        drop((taken, granted, small));
        let granted: Vec<_> = greedy[4..].iter_mut().filter_map(now).collect();
        assert_eq!(granted.len(), 5, "its share and no more");
        drop((granted, greedy));
        assert!(is_empty(&budget));
    }

    #[test]
    fn merged_permits_return_the_units_of_all() {
        let budget = Budget::new(100);
        let merged = at_once(&budget, "a", 10).merge(at_once(&budget, "a", 20));
        assert_eq!(budget.used(), 30);
        let merged = merged.merge(at_once(&budget, "b", 40));
        assert_eq!(budget.used(), 30, "the other account's are returned");
        let other = Budget::new(100);
        let merged = merged.merge(at_once(&other, "a", 5));
        assert_eq!((budget.used(), is_empty(&other)), (30, true));
        drop(merged);
        assert!(is_empty(&budget));
    }

    #[test]
    fn a_large_command_is_not_passed_over_for_small_ones() {
        let budget = Budget::new(100);
        let (first, second) = (at_once(&budget, "a", 50), at_once(&budget, "b", 50));
        let mut large = asks(&budget, "c", 1_000);
        let mut small = asks(&budget, "d", 1);
        drop(at_once_after(&mut large, first));
        assert!(now(&mut small).is_some());
        drop(second);
        drop((large, small));
        assert!(is_empty(&budget));
    }

    /// The permit of one that waits, once another is returned.
    fn at_once_after(waits: &mut Waits<'_>, returned: Permit) -> Permit {
        drop(returned);
        now(waits).expect("it has units now")
    }

    #[test]
    fn an_command_that_is_given_up_leaves_nothing_behind() {
        let budget = Budget::new(100);
        let first = at_once(&budget, "a", 50);
        let given_up = asks(&budget, "a", 50);
        let mut behind = asks(&budget, "a", 1);
        drop(given_up);
        drop(at_once_after(&mut behind, first));
        let first = at_once(&budget, "a", 50);
        let granted_unseen = asks(&budget, "a", 50);
        let mut last = asks(&budget, "a", 1);
        drop(first);
        drop(granted_unseen);
        assert!(now(&mut last).is_some());
        drop((behind, last));
        assert!(is_empty(&budget));
    }

    #[test]
    fn an_account_has_its_order() {
        let budget = Budget::new(4);
        let taken = at_once(&budget, "a", 2);
        let mut waiting = [asks(&budget, "a", 2), asks(&budget, "a", 1)];
        let first = at_once_after(&mut waiting[0], taken);
        assert!(now(&mut waiting[1]).is_none());
        let [_, second] = &mut waiting;
        drop(at_once_after(second, first));
    }
}
