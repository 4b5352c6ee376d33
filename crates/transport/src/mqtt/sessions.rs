//! The connected clients by client id, and their take-over.
//!
//! A client id belongs to the key that connected with it. A second connection with the same key and id takes over and
//! ends the first [MQTT-3.1.4-2]. Another key with the same id is another client.

use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use thng_pubsub_broker::identity::KeyHash;

/// The connected clients. Bounded by the number of connections.
#[derive(Debug, Default)]
pub struct Sessions {
    connected: Mutex<HashMap<(KeyHash, Box<str>), ConnectedClient>>,
    count: AtomicU64,
}

#[derive(Debug)]
struct ConnectedClient {
    number: u64,
    taken_over: CancellationToken,
    ended: CancellationToken,
}

/// A client's slot among the connected. Given back with [`Sessions::release`].
#[derive(Debug)]
pub(super) struct SessionSlot {
    key: KeyHash,
    client_id: Box<str>,
    number: u64,
    /// Cancelled when another connection takes over.
    pub(super) taken_over: CancellationToken,
    /// Where this one took over: cancelled when the earlier connection has given back its slot.
    pub(super) earlier: Option<CancellationToken>,
    ended: CancellationToken,
}

impl Sessions {
    /// A number for the next connection, for logs.
    pub(super) fn number(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a client id over, and ends the connection that had it.
    pub(super) fn enter(&self, key: KeyHash, client_id: &str, number: u64) -> SessionSlot {
        let taken_over = CancellationToken::new();
        let ended = CancellationToken::new();
        let connected = ConnectedClient { number, taken_over: taken_over.clone(), ended: ended.clone() };
        let earlier = self.connected.lock().insert((key, client_id.into()), connected);
        let earlier = earlier.map(|earlier| {
            earlier.taken_over.cancel();
            earlier.ended
        });
        SessionSlot { key, client_id: client_id.into(), number, taken_over, earlier, ended }
    }

    /// Releases a client id, unless another connection has it by now.
    pub(super) fn release(&self, slot: &SessionSlot) {
        slot.ended.cancel();
        let mut connected = self.connected.lock();
        let name = (slot.key, slot.client_id.clone());
        if connected.get(&name).is_some_and(|connected| connected.number == slot.number) {
            connected.remove(&name);
            // A storm of clients must not leave its size behind.
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
    fn the_same_key_and_id_take_over_and_another_key_does_not() {
        let sessions = Sessions::default();
        let first = sessions.enter(KeyHash([1; 32]), "lamp", 1);
        let stranger = sessions.enter(KeyHash([2; 32]), "lamp", 2);
        assert!(!first.taken_over.is_cancelled());
        let second = sessions.enter(KeyHash([1; 32]), "lamp", 3);
        assert!(first.taken_over.is_cancelled());
        assert!(!stranger.taken_over.is_cancelled() && !second.taken_over.is_cancelled());
    }

    #[test]
    fn a_replaced_connection_does_not_release_its_successor() {
        let sessions = Sessions::default();
        let first = sessions.enter(KeyHash([1; 32]), "lamp", 1);
        let second = sessions.enter(KeyHash([1; 32]), "lamp", 2);
        sessions.release(&first);
        let third = sessions.enter(KeyHash([1; 32]), "lamp", 3);
        assert!(second.taken_over.is_cancelled());
        sessions.release(&third);
        assert!(sessions.connected.lock().is_empty());
    }
}
