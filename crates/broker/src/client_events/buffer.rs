//! The events that wait to be stored: bounded, and equal ones counted as one.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashMap};

use super::ClientEvent;
use thng_pubsub_protocol::id::Id;
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
    /// Events that wait of each account, and of none.
    of_account: HashMap<Option<Id>, usize>,
}

/// Owners of revoked keys that wait: as many as the file remembers.
pub(super) const REVOKED_MAX: usize = 100_000;

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
            of_account: HashMap::new(),
        }
    }

    /// Adds an event, or counts it with an equal one; `false` where there is no space. Connections that come and go take
    /// half of the space at the most, so that they displace no refusal. So does an account; what belongs to none takes a
    /// quarter.
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
        let account = event.owner.account;
        let of_account = self.of_account.get(&account).copied().unwrap_or(0);
        if self.waiting.events.len() >= self.max
            || (is_routine && self.routine >= max)
            || of_account >= share(self.max, account)
        {
            return false;
        }
        *self.of_account.entry(account).or_default() += 1;
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
        let fits = self.waiting.revoked.len() < REVOKED_MAX;
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
        self.of_account.clear();
        self.routine = 0;
        std::mem::take(&mut self.waiting)
    }

    fn fingerprint(&self, event: &ClientEvent<'_>) -> Fingerprint {
        // A key that was stolen is used from another address.
        let client = (event.protocol, event.client_id, event.address);
        let what = (event.kind, event.activity, event.reason, event.topic, event.sentence);
        self.hasher.hash_one((event.owner.key, event.owner.account, client, what))
    }
}

/// How much of something an account may take; `None`: all that belongs to no account, together.
pub(super) fn share(all: usize, account: Option<Id>) -> usize {
    let part = if account.is_some() { all / 2 } else { all / 4 };
    part.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_events::{Activity, EventKind};

    fn event<'e>(owner: EventOwner, client_id: &'e str, address: &str) -> ClientEvent<'e> {
        ClientEvent {
            kind: EventKind::Refused,
            activity: Activity::Publish,
            owner,
            reason: Some("no_key"),
            sentence: None,
            protocol: "mqtt",
            client_id: Some(client_id),
            address: Some(address.parse().expect("an address")),
            topic: None,
            count: 1,
        }
    }

    fn owner(account: Option<Id>) -> EventOwner {
        EventOwner { account, key: None, actor: None }
    }

    fn accepted(buffer: &mut Buffer, owner: EventOwner) -> usize {
        (0..100).filter(|number| buffer.add(&event(owner, &number.to_string(), "10.0.0.1"), 0)).count()
    }

    #[test]
    fn no_account_and_no_stranger_fills_the_buffer() {
        let mut buffer = Buffer::new(100);
        let id = |letter: &str| Id::parse(&letter.repeat(24)).expect("an id");
        let [one, other] = ["a", "b"].map(|letter| owner(Some(id(letter))));
        assert_eq!(accepted(&mut buffer, owner(None)), 25);
        assert_eq!(accepted(&mut buffer, one), 50);
        assert_eq!(accepted(&mut buffer, other), 25);
        buffer.take();
        assert_eq!(accepted(&mut buffer, one), 50);
    }

    #[test]
    fn events_of_two_addresses_are_two_events() {
        let mut buffer = Buffer::new(100);
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.2"] {
            assert!(buffer.add(&event(owner(None), "lamp-1", address), 0));
        }
        let counts: Vec<u64> = buffer.take().events.iter().map(|(_, event)| event.count).collect();
        assert_eq!(counts, [1, 2]);
    }
}
