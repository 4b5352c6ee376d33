//! The events that wait to be stored: bounded, and equal ones counted as one.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashMap};

use super::ClientEvent;
use thng_pubsub_store::{
    TimestampMs,
    client_events::{EventOwner, NewClientEvent},
};

/// What makes events equal: those of one key, client, topic and reason.
pub(super) type Fingerprint = u64;

/// Events that wait to be stored, and the owners of revoked keys.
#[derive(Debug)]
pub(super) struct Buffer {
    max: usize,
    hasher: DefaultHashBuilder,
    waiting: Waiting,
    by_fingerprint: HashMap<Fingerprint, usize>,
    routine: usize,
}

/// What is taken from the buffer at a time.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) events: Vec<(Fingerprint, NewClientEvent)>,
    pub(super) revoked: Vec<EventOwner>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.revoked.is_empty()
    }
}

impl Buffer {
    /// For at most so many events.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            hasher: DefaultHashBuilder::default(),
            waiting: Waiting::default(),
            by_fingerprint: HashMap::new(),
            routine: 0,
        }
    }

    /// Adds an event, or counts it with an equal one; `false` where there is no space. Connections that come and go take
    /// half of the space at the most, so that they displace no refusal.
    pub(super) fn add(&mut self, event: &ClientEvent<'_>, now_ms: TimestampMs) -> bool {
        let fingerprint = self.fingerprint(event);
        if let Some(at) = self.by_fingerprint.get(&fingerprint) {
            let (_, equal) = &mut self.waiting.events[*at];
            equal.count += event.count;
            equal.last_at_ms = now_ms;
            return true;
        }
        let is_routine = event.kind.is_routine();
        let max = if is_routine { self.max / 2 } else { self.max };
        if self.waiting.events.len() >= self.max || (is_routine && self.routine >= max) {
            return false;
        }
        self.routine += usize::from(is_routine);
        self.by_fingerprint.insert(fingerprint, self.waiting.events.len());
        let new = NewClientEvent {
            owner: event.owner,
            first_at_ms: now_ms,
            last_at_ms: now_ms,
            count: event.count,
            document: event.document(),
        };
        self.waiting.events.push((fingerprint, new));
        true
    }

    /// Adds the owner of a revoked key; `false` where there is no space.
    pub(super) fn add_revoked(&mut self, owner: EventOwner) -> bool {
        let fits = self.waiting.revoked.len() < self.max;
        if fits {
            self.waiting.revoked.push(owner);
        }
        fits
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn take(&mut self) -> Waiting {
        self.by_fingerprint.clear();
        self.routine = 0;
        std::mem::take(&mut self.waiting)
    }

    fn fingerprint(&self, event: &ClientEvent<'_>) -> Fingerprint {
        // The address distinguishes clients without an id.
        let address = if event.client_id.is_none() { event.address } else { None };
        let client = (event.protocol, event.client_id, address);
        let what = (event.kind, event.activity, event.reason, event.topic);
        self.hasher.hash_one((event.owner.key, event.owner.account, client, what))
    }
}
