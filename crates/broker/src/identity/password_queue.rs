//! Shares the hashing of passwords between client addresses, so that a flood of logins from one delays no other.
//!
//! Hashing takes a processor and megabytes for a while, so few passwords are hashed at a time. The rest wait in a queue for
//! each address, and the addresses take turns. The queues are bounded, for each address and together.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Passwords that are hashed at the same time. Each takes about 20 MiB and 30 ms of a processor.
const HASHED_AT_A_TIME: usize = 2;

/// The part of the queue that one address may fill.
const ADDRESS_SHARE: usize = 4;

/// The passwords that wait to be hashed.
#[derive(Debug)]
pub(crate) struct PasswordQueue {
    waiting_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hashing: usize,
    waiting: usize,
    /// The addresses with a queue, in the order of their turns.
    order: VecDeque<IpAddr>,
    queues: HashMap<IpAddr, VecDeque<oneshot::Sender<HashPermit>>>,
}

/// The right to hash one password; dropping it gives the turn to the next.
#[derive(Debug)]
#[must_use]
pub(crate) struct HashPermit {
    /// `None` once it was handed on.
    queue: Option<Arc<PasswordQueue>>,
}

/// Why a password cannot wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueFull {
    /// Of this address.
    Address,
    /// Of all addresses.
    Total,
}

impl PasswordQueue {
    /// A queue for up to `waiting_max` passwords.
    pub(crate) fn new(waiting_max: usize) -> Self {
        Self { waiting_max, state: Mutex::default() }
    }

    /// Waits for the turn of an address.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub(crate) async fn turn(self: &Arc<Self>, address: IpAddr) -> Result<HashPermit, QueueFull> {
        let turn = {
            let mut state = self.state.lock();
            if state.hashing < HASHED_AT_A_TIME {
                state.hashing += 1;
                return Ok(HashPermit { queue: Some(Arc::clone(self)) });
            }
            state.wait(address, self.waiting_max)?
        };
        // The sender is dropped only with the queue, which `self` keeps.
        turn.await.map_err(|_| QueueFull::Total)
    }

    fn hand_on(self: Arc<Self>) {
        let mut turn = HashPermit { queue: Some(Arc::clone(&self)) };
        loop {
            let Some(next) = self.state.lock().next() else { break };
            match next.send(turn) {
                Ok(()) => return,
                // Its client is gone: the next one.
                Err(back) => turn = back,
            }
        }
        turn.queue = None;
    }
}

impl State {
    fn wait(
        &mut self,
        address: IpAddr,
        waiting_max: usize,
    ) -> Result<oneshot::Receiver<HashPermit>, QueueFull> {
        if self.waiting >= waiting_max {
            return Err(QueueFull::Total);
        }
        let queue = self.queues.entry(address).or_default();
        if queue.len() >= (waiting_max / ADDRESS_SHARE).max(1) {
            return Err(QueueFull::Address);
        }
        if queue.is_empty() {
            self.order.push_back(address);
        }
        let (sender, turn) = oneshot::channel();
        queue.push_back(sender);
        self.waiting += 1;
        Ok(turn)
    }

    /// The one whose turn it is; where there is none, one less is hashing.
    fn next(&mut self) -> Option<oneshot::Sender<HashPermit>> {
        let Some(address) = self.order.pop_front() else {
            self.hashing -= 1;
            return None;
        };
        let queue = self.queues.get_mut(&address).expect("an address in the order has a queue");
        let next = queue.pop_front().expect("a queue in the order is not empty");
        self.waiting -= 1;
        if queue.is_empty() {
            self.queues.remove(&address);
        } else {
            self.order.push_back(address);
        }
        Some(next)
    }
}

impl Drop for HashPermit {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    type Waiting = Pin<Box<dyn Future<Output = Result<HashPermit, QueueFull>>>>;

    fn ask(queue: &Arc<PasswordQueue>, last: u8) -> Waiting {
        let queue = Arc::clone(queue);
        let mut waiting: Waiting = Box::pin(async move { queue.turn(address(last)).await });
        assert!(poll(&mut waiting).is_none(), "it has to wait");
        waiting
    }

    fn poll(waiting: &mut Waiting) -> Option<Result<HashPermit, QueueFull>> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    fn at_once(queue: &Arc<PasswordQueue>, last: u8) -> Result<HashPermit, QueueFull> {
        let queue = Arc::clone(queue);
        let mut waiting: Waiting = Box::pin(async move { queue.turn(address(last)).await });
        poll(&mut waiting).expect("it does not wait")
    }

    #[test]
    fn addresses_take_turns_however_many_one_has() {
        let queue = Arc::new(PasswordQueue::new(100));
        let (first, _second) = (at_once(&queue, 1).expect("free"), at_once(&queue, 1).expect("free"));
        let mut flood: Vec<Waiting> = (0..20).map(|_| ask(&queue, 1)).collect();
        let mut other = ask(&queue, 2);
        drop(first);
        let of_flood = poll(&mut flood[0]).expect("it came first").expect("its turn");
        assert!(poll(&mut other).is_none());
        drop(of_flood);
        let of_other = poll(&mut other).expect("the next turn is the other's").expect("its turn");
        // One whose client is gone is passed over.
        let last = flood.pop().expect("the last");
        flood.clear();
        let mut last = last;
        drop(of_other);
        assert!(poll(&mut last).is_some());
    }

    #[test]
    fn queues_are_bounded_for_each_address_and_together() {
        let queue = Arc::new(PasswordQueue::new(8));
        let running = (at_once(&queue, 1).expect("free"), at_once(&queue, 1).expect("free"));
        let of_one: Vec<Waiting> = (0..2).map(|_| ask(&queue, 1)).collect();
        assert_eq!(at_once(&queue, 1).err(), Some(QueueFull::Address));
        let of_others: Vec<Waiting> = (2..8).map(|last| ask(&queue, last)).collect();
        assert_eq!(at_once(&queue, 9).err(), Some(QueueFull::Total));
        drop((of_one, of_others, running));
        let state = queue.state.lock();
        assert_eq!((state.hashing, state.waiting, state.queues.len(), state.order.len()), (0, 0, 0, 0));
    }
}
