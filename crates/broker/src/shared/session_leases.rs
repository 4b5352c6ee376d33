//! Tells a connection that its durable session was ended for one of another key.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The connections of durable sessions, by the number of the session. Bounded by the connections.
#[derive(Debug, Default)]
pub(crate) struct SessionLeases {
    connected: Mutex<HashMap<i64, ConnectedSession>>,
}

#[derive(Debug)]
struct ConnectedSession {
    ended: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

/// A connection's registration on its session; dropping it ends it.
#[derive(Debug)]
pub struct SessionLease {
    leases: Arc<SessionLeases>,
    number: i64,
    ended: Arc<AtomicBool>,
}

impl SessionLeases {
    /// Registers a connection: `wake` is notified when its session is ended. Whether the session is still there has to be
    /// asked afterwards.
    pub(crate) fn lease(self: &Arc<Self>, number: i64, wake: Arc<Notify>) -> SessionLease {
        let ended = Arc::<AtomicBool>::default();
        let connected = ConnectedSession { ended: Arc::clone(&ended), wake };
        self.connected.lock().insert(number, connected);
        SessionLease { leases: Arc::clone(self), number, ended }
    }

    /// The session with this number was ended.
    pub(crate) fn end(&self, number: i64) {
        if let Some(ConnectedSession { ended, wake }) = self.connected.lock().remove(&number) {
            ended.store(true, Ordering::Release);
            wake.notify_one();
        }
    }
}

impl SessionLease {
    /// Whether the session was ended.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

impl Drop for SessionLease {
    fn drop(&mut self) {
        let mut connected = self.leases.connected.lock();
        // A connection that takes over registers before the earlier one is dropped.
        if connected.get(&self.number).is_some_and(|other| Arc::ptr_eq(&other.ended, &self.ended)) {
            connected.remove(&self.number);
            if connected.len() * 4 < connected.capacity() {
                connected.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_present_connection_of_a_session_learns_of_its_end() {
        let leases = Arc::<SessionLeases>::default();
        let earlier = leases.lease(1, Arc::default());
        let present = leases.lease(1, Arc::default());
        let other = leases.lease(2, Arc::default());
        drop(earlier);
        leases.end(1);
        assert!(present.is_ended() && !other.is_ended());
        drop((present, other));
        assert!(leases.connected.lock().is_empty());
    }
}
