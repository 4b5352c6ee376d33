//! A bounded number of turns for long work, which accounts share fairly.
//!
//! A request waits in the queue of its account, and a turn that becomes free goes to the accounts in rotation. So an
//! account with a thousand requests delays another one by a single turn, not by a thousand.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use thng_pubsub_protocol::id::Id;
use tokio::sync::oneshot;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// By account, the requests that wait; none of the queues is empty.
    waiting: HashMap<Id, VecDeque<oneshot::Sender<()>>>,
    /// Accounts in the order in which they get a turn; each that waits is in it once.
    rotation: VecDeque<Id>,
}

/// The right to do long work until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
}

/// A request that waits. When it is dropped, a turn that it was given in the meantime goes to the next one.
struct Waiting<'t> {
    turns: &'t Turns,
    /// `None` once the request has its turn.
    given: Option<oneshot::Receiver<()>>,
}

impl Turns {
    /// So many turns at the same time, 1 or more.
    pub(crate) fn new(most: usize) -> Self {
        let state = State { free: most, waiting: HashMap::new(), rotation: VecDeque::new() };
        Self { state: Mutex::new(state) }
    }

    /// Waits for a turn.
    pub(crate) async fn take(&self, account: Id) -> Turn<'_> {
        let given = {
            let mut state = self.state.lock();
            if state.free > 0 {
                state.free -= 1;
                return Turn { turns: self };
            }
            state.enqueue(account)
        };
        let mut waiting = Waiting { turns: self, given: Some(given) };
        if let Some(given) = &mut waiting.given {
            // The other end is used before it is dropped.
            let _ = given.await;
        }
        waiting.given = None;
        Turn { turns: self }
    }

    fn give_back(&self) {
        let mut state = self.state.lock();
        while let Some(account) = state.rotation.pop_front() {
            let Some(queue) = state.waiting.get_mut(&account) else { continue };
            let next = queue.pop_front();
            match queue.is_empty() {
                true => drop(state.waiting.remove(&account)),
                false => state.rotation.push_back(account),
            }
            if next.is_some_and(|next| next.send(()).is_ok()) {
                return;
            }
        }
        state.free += 1;
    }
}

impl State {
    fn enqueue(&mut self, account: Id) -> oneshot::Receiver<()> {
        let (give, given) = oneshot::channel();
        let queue = self.waiting.entry(account).or_default();
        if queue.is_empty() {
            self.rotation.push_back(account);
        }
        queue.push_back(give);
        given
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.give_back();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(given) = &mut self.given else { return };
        given.close();
        if given.try_recv().is_ok() {
            self.turns.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Poll};

    use futures_util::poll;

    use super::*;

    fn account(letter: &str) -> Id {
        Id::parse(&letter.repeat(24)).expect("an id")
    }

    #[tokio::test]
    async fn a_free_turn_goes_to_the_accounts_in_rotation() {
        let turns = Turns::new(1);
        let (greedy, modest) = (account("a"), account("b"));
        let first = turns.take(greedy).await;
        let (mut second, mut third) = (pin!(turns.take(greedy)), pin!(turns.take(greedy)));
        let mut other = pin!(turns.take(modest));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        assert!(poll!(&mut other).is_pending());
        drop(first);
        let Poll::Ready(second) = poll!(&mut second) else { panic!("the greedy account came first") };
        assert!(poll!(&mut other).is_pending());
        drop(second);
        assert!(poll!(&mut third).is_pending());
        let Poll::Ready(other) = poll!(&mut other) else { panic!("it is the turn of the other account") };
        drop(other);
        assert!(poll!(&mut third).is_ready());
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_passes_its_turn_on() {
        let turns = Turns::new(1);
        let first = turns.take(account("a")).await;
        let mut last = pin!(turns.take(account("c")));
        {
            let mut given_up = pin!(turns.take(account("b")));
            assert!(poll!(&mut given_up).is_pending() && poll!(&mut last).is_pending());
            drop(first);
        }
        let Poll::Ready(last) = poll!(&mut last) else { panic!("the turn was passed on") };
        drop(last);
        assert_eq!(turns.state.lock().free, 1);
    }
}
