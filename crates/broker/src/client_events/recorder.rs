//! The thread that stores client events, once a second.

use std::{io, sync::Arc, thread::JoinHandle, time::Duration};

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};

use super::{
    ClientEvent,
    buffer::{Buffer, Fingerprint, REVOKED_MAX, Waiting, share},
};
use crate::{clock::Clock, metrics::Metrics};
use thng_pubsub_protocol::id::Id;
use thng_pubsub_store::{
    ClientEventFile, ReadStore, TimestampMs,
    client_events::{EventOwner, RepeatedClientEvent},
};

/// How long events wait, so that many are stored at once.
const INTERVAL: Duration = Duration::from_secs(1);

/// Equal events that follow the first one within this time are counted with it.
const COALESCED_MS: TimestampMs = 60_000;

/// Stored events that further ones can be counted with; beyond it they are stored on their own.
const RECENT_MAX: usize = 20_000;

/// The buffer and the thread that empties it.
#[derive(Debug)]
pub(super) struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    file: ClientEventFile,
    state: Mutex<State>,
    /// Notified when the buffer is no longer empty, and at the end.
    changed: Condvar,
    clock: Clock,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct State {
    buffer: Buffer,
    is_stopping: bool,
}

impl Recorder {
    /// Starts the thread; it ends, with everything stored, when this is dropped.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub(super) fn start(
        file: ClientEventFile,
        buffer_max: usize,
        store: Arc<dyn ReadStore>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let state = State { buffer: Buffer::new(buffer_max), is_stopping: false };
        let shared =
            Arc::new(Shared { file, state: Mutex::new(state), changed: Condvar::new(), clock, metrics });
        shared.show_size();
        let thread = std::thread::Builder::new().name("client-events".into()).spawn({
            let shared = Arc::clone(&shared);
            move || Storing { shared, store, recent: HashMap::new(), revoked: Vec::new() }.run()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(super) fn record(&self, event: &ClientEvent<'_>) {
        let now_ms = self.shared.clock.now_ms();
        self.add(1, |buffer| usize::from(buffer.add(event, now_ms)));
    }

    pub(super) fn keys_revoked(&self, owners: impl Iterator<Item = EventOwner>) {
        let owners: Vec<_> = owners.collect();
        self.add(owners.len(), |buffer| {
            owners.into_iter().filter(|owner| buffer.add_revoked(*owner)).count()
        });
    }

    fn add(&self, count: usize, add: impl FnOnce(&mut Buffer) -> usize) {
        let mut state = self.shared.state.lock();
        let was_empty = state.buffer.is_empty();
        let added = add(&mut state.buffer);
        if was_empty && !state.buffer.is_empty() {
            self.shared.changed.notify_one();
        }
        drop(state);
        self.shared.dropped("buffer", count - added);
    }

    pub(super) fn file(&self) -> &ClientEventFile {
        &self.shared.file
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.state.lock().is_stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has reported its failure itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn dropped(&self, reason: &str, count: usize) {
        if count > 0 {
            self.metrics.client_events_dropped.with_label_values(&[reason]).inc_by(count as u64);
        }
    }

    fn show_size(&self) {
        let size = self.file.size();
        self.metrics.client_events.set(size.events.cast_signed());
        self.metrics.client_event_bytes.set(size.bytes.cast_signed());
    }
}

/// The state of the thread.
struct Storing {
    shared: Arc<Shared>,
    store: Arc<dyn ReadStore>,
    /// Stored events by what makes them equal.
    recent: HashMap<Fingerprint, RecentEvent>,
    /// Owners of revoked keys that could not be stored yet.
    revoked: Vec<EventOwner>,
}

/// An event that is stored, and counts equal ones.
struct RecentEvent {
    seq: u64,
    first_at_ms: TimestampMs,
    account: Option<Id>,
}

impl Storing {
    fn run(mut self) {
        loop {
            let (waiting, is_stopping) = self.wait();
            if !waiting.is_empty() {
                self.store(waiting);
            }
            if is_stopping {
                return;
            }
        }
    }

    /// Waits for an event, then for more of them.
    fn wait(&self) -> (Waiting, bool) {
        let mut state = self.shared.state.lock();
        while state.buffer.is_empty() && !state.is_stopping {
            self.shared.changed.wait(&mut state);
        }
        if !state.is_stopping {
            // Nothing notifies a buffer that has events but the end.
            self.shared.changed.wait_for(&mut state, INTERVAL);
        }
        (state.buffer.take(), state.is_stopping)
    }

    fn store(&mut self, Waiting { events, revoked }: Waiting) {
        let now_ms = self.shared.clock.now_ms();
        let count = events.len();
        // Before the events: they may be those of clients with these keys.
        self.revoked.extend(revoked);
        if !self.revoked.is_empty() {
            match self.shared.file.remember_revoked(&self.revoked, now_ms) {
                Ok(()) => self.revoked = Vec::new(),
                Err(error) => {
                    tracing::warn!(%error, "the owners of revoked keys are not stored yet");
                    let surplus = self.revoked.len().saturating_sub(REVOKED_MAX);
                    self.revoked.drain(..surplus);
                }
            }
        }
        let mut of_account = HashMap::<Option<Id>, usize>::new();
        self.recent.retain(|_, recent| {
            let counts = now_ms.saturating_sub(recent.first_at_ms) < COALESCED_MS;
            if counts {
                *of_account.entry(recent.account).or_default() += 1;
            }
            counts
        });
        let (mut fingerprints, mut new, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        for (fingerprint, mut event) in events {
            if let Some(RecentEvent { seq, .. }) = self.recent.get(&fingerprint) {
                let (seq, last_at_ms, count) = (*seq, event.last_at_ms, event.count);
                repeated.push(RepeatedClientEvent { seq, last_at_ms, count });
                continue;
            }
            self.attribute(&mut event.owner);
            fingerprints.push(fingerprint);
            new.push(event);
        }
        match self.shared.file.store(&new, &repeated, now_ms) {
            Ok(seqs) => {
                for ((fingerprint, event), seq) in fingerprints.into_iter().zip(&new).zip(seqs) {
                    let account = event.owner.account;
                    let of_account = of_account.entry(account).or_default();
                    if self.recent.len() < RECENT_MAX && *of_account < share(RECENT_MAX, account) {
                        *of_account += 1;
                        let first_at_ms = event.first_at_ms;
                        self.recent.insert(fingerprint, RecentEvent { seq, first_at_ms, account });
                    }
                }
            }
            Err(error) => {
                self.shared.dropped("store", count);
                tracing::warn!(%error, events = count, "client events were not stored");
            }
        }
        if self.recent.len() * 4 < self.recent.capacity() {
            self.recent.shrink_to_fit();
        }
        self.shared.show_size();
    }

    /// Finds the account of a key that opens nothing any more.
    fn attribute(&self, owner: &mut EventOwner) {
        let (None, Some(key)) = (owner.account, owner.key) else { return };
        let known = match self.shared.file.revoked(&key) {
            Ok(None) => self.store.key(&key).map(|record| {
                // The store compares the beginning of a hash only where it has to.
                let record = record.filter(|record| record.hash == key)?;
                Some(EventOwner { account: Some(record.account), key: Some(key), actor: Some(record.actor) })
            }),
            known => known,
        };
        match known {
            Ok(Some(known)) => *owner = known,
            // No key of this server: its handle says nothing.
            Ok(None) => owner.key = None,
            Err(error) => tracing::warn!(%error, "the owner of a key could not be looked up"),
        }
    }
}
