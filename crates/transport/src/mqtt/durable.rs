//! The durable part of a session: how far each subscription has come, and the way from where it was to the present.
//!
//! A subscription at QoS 1 begins *behind*: it reads its queue page by page, and attaches to the bus only when it has
//! caught up. Order holds because a subscription that is behind sends nothing from the bus. Nothing is lost between the
//! two, because the last page is read after the subscription was put into the bus's table.
//!
//! What was sent before and not acknowledged comes first, under its packet id and marked DUP [MQTT-4.4.0-1].
//!
//! How far it has come is saved a moment after each acknowledgement, and when the connection ends. Whatever dies in
//! between costs repetitions, never messages.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hashbrown::HashMap;
use thng_pubsub_protocol::{id::Id, mqtt::PacketId};
use tokio::time::Instant;

use super::outgoing::OutboundMessages;
use thng_pubsub_broker::{
    BrokerError,
    pubsub::{
        Delivery, DeliveryQos, InFlight, Progress, PubSub, Sequence, SessionLease, SessionNumber,
        SessionProgress, SubscribeGrant, SubscriptionHandle, SubscriptionNumber, TopicNumber,
    },
};

/// How long after an acknowledgement it is saved: what a crash repeats, against writes to the disk.
const SAVE_AFTER: Duration = Duration::from_secs(1);

/// How often is it saved where subscriptions see only part of their topics: what is not for them is never acknowledged, and
/// would be kept.
const SAVE_UNASKED: Duration = Duration::from_secs(30);

/// Bytes of messages that are read at a time to be sent again; more only where one alone is larger.
const AGAIN_BYTES: usize = 128 * 1024;

/// A subscription at QoS 1.
#[derive(Debug)]
struct SubscriptionPosition {
    subscription: SubscriptionNumber,
    topic: TopicNumber,
    granted: SubscribeGrant,
    /// Up to here it was read from the store.
    reached: Sequence,
    /// Up to here the bus has offered everything, once `handle` is there.
    offered: Arc<AtomicU64>,
    /// `None` until it has almost caught up.
    handle: Option<SubscriptionHandle>,
    is_behind: bool,
    saved: Progress,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Durable {
    account: Id,
    number: SessionNumber,
    lease: SessionLease,
    /// By slot.
    positions: HashMap<u32, SubscriptionPosition>,
    /// The slots of those that are behind; the first is read next.
    behind: VecDeque<u32>,
    /// The slot whose last page was read: it has caught up when that was sent.
    last_page: Option<u32>,
    /// What is to be sent again, oldest first.
    again: VecDeque<(PacketId, u32, Sequence)>,
    save_due: Option<Instant>,
    /// Something was acknowledged since it was saved.
    is_dirty: bool,
}

impl Durable {
    pub(super) fn new(account: Id, number: SessionNumber, lease: SessionLease) -> Self {
        Self {
            account,
            number,
            lease,
            positions: HashMap::new(),
            behind: VecDeque::new(),
            last_page: None,
            again: VecDeque::new(),
            save_due: None,
            is_dirty: false,
        }
    }

    /// The account of the key that opened the session.
    pub(super) fn account(&self) -> Id {
        self.account
    }

    pub(super) fn number(&self) -> SessionNumber {
        self.number
    }

    /// Whether the session was ended in favor of one of another key.
    pub(super) fn is_evicted(&self) -> bool {
        self.lease.is_ended()
    }

    /// When [`progress`](Self::progress) is to be saved next.
    pub(super) fn save_due(&self) -> Option<Instant> {
        self.save_due
    }

    /// The client has acknowledged something.
    pub(super) fn acknowledged(&mut self) {
        self.is_dirty = true;
        let due = Instant::now() + SAVE_AFTER;
        self.save_due = Some(self.save_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// A subscription at QoS 1, from where it was.
    pub(super) fn add(
        &mut self,
        slot: u32,
        subscription: SubscriptionNumber,
        (topic, progress): (TopicNumber, Progress),
        granted: SubscribeGrant,
        outbound: &mut OutboundMessages,
    ) {
        if granted.is_narrowed() && self.save_due.is_none() {
            self.save_due = Some(Instant::now() + SAVE_UNASKED);
        }
        outbound.passed(slot, progress.sent);
        let (reached, offered) = (progress.sent, Arc::default());
        let position = SubscriptionPosition {
            subscription,
            topic,
            granted,
            reached,
            offered,
            handle: None,
            is_behind: true,
            saved: progress,
        };
        self.positions.insert(slot, position);
        self.behind.push_back(slot);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if self.positions.remove(&slot).is_some_and(|position| position.is_behind) {
            self.behind.retain(|behind| *behind != slot);
        }
        self.last_page = self.last_page.filter(|last| *last != slot);
    }

    /// Has what an earlier connection left unacknowledged sent again. The subscriptions are there already.
    pub(super) fn send_again(&mut self, in_flight: &[InFlight], outbound: &mut OutboundMessages) {
        let slots: HashMap<SubscriptionNumber, u32> =
            self.positions.iter().map(|(slot, position)| (position.subscription, *slot)).collect();
        for InFlight { packet_id, subscription, seq } in in_flight {
            if let (Some(id), Some(slot)) = (PacketId::new(*packet_id), slots.get(subscription)) {
                outbound.restore_unacked(id, *slot, *seq);
                self.again.push_back((id, *slot, *seq));
            }
        }
    }

    /// Whether there is something to read from the store, or a subscription that has caught up.
    pub(super) fn is_behind(&self) -> bool {
        self.last_page.is_some() || !self.again.is_empty() || !self.behind.is_empty()
    }

    /// Whether something that was kept for a subscription may not have been sent yet.
    pub(super) fn has_unsent(&self, slot: u32) -> bool {
        self.last_page == Some(slot) || self.reading(slot).1
    }

    /// Of a subscription: up to where its messages come from the store, and whether the bus has to wait for that.
    pub(super) fn reading(&self, slot: u32) -> (Sequence, bool) {
        self.positions.get(&slot).map_or((0, false), |position| (position.reached, position.is_behind))
    }

    /// Reads the next part of what was kept. Nothing that was read before may wait in `outbound`. Returns the slot of a
    /// subscription that has caught up with what was read before.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`].
    pub(super) fn catch_up(
        &mut self,
        pubsub: &PubSub,
        outbound: &mut OutboundMessages,
    ) -> Result<Option<u32>, BrokerError> {
        if let Some(slot) = self.last_page.take() {
            return Ok(Some(slot));
        }
        let mut bytes = 0;
        while bytes < AGAIN_BYTES
            && let Some((id, slot, seq)) = self.again.pop_front()
        {
            if !outbound.is_unacked(id) {
                continue;
            }
            let position = self.positions.get(&slot);
            let body = position
                .map(|position| pubsub.queued_message(position.topic, &position.granted, seq))
                .transpose()?;
            match body.flatten() {
                Some(body) => {
                    bytes += body.len().max(1);
                    outbound.stored(Delivery { slot, seq, body }, Some(id));
                }
                // It was dropped, or may not be seen any more.
                None => outbound.acknowledged(id),
            }
        }
        if bytes > 0 {
            return Ok(None);
        }
        let Some(slot) = self.behind.pop_front() else { return Ok(None) };
        let Some(position) = self.positions.get_mut(&slot) else { return Ok(None) };
        position.read(slot, pubsub, outbound)?;
        match (position.is_behind, &position.handle) {
            // What the bus brings for it holds up what it brings for the others.
            (true, Some(_)) => self.behind.push_front(slot),
            (true, None) => self.behind.push_back(slot),
            (false, _) => self.last_page = Some(slot),
        }
        Ok(None)
    }

    /// What is to be saved, if anything has moved. What it returns counts as saved.
    pub(super) fn progress(
        &mut self,
        outbound: &OutboundMessages,
        has_left: bool,
    ) -> Option<SessionProgress> {
        self.save_due = None;
        // Asked for first: what was offered by now is in the queues that are looked at next.
        let offered: HashMap<u32, Sequence> = self
            .positions
            .iter()
            .map(|(slot, position)| (*slot, position.offered.load(Ordering::Acquire)))
            .collect();
        let is_drained = outbound.is_drained();
        let mut oldest: HashMap<u32, Sequence> = HashMap::new();
        let mut in_flight = Vec::new();
        for (id, slot, seq) in outbound.unacked() {
            // An initial state is no event: it is not sent again.
            let Some(position) = self.positions.get(&slot).filter(|_| seq > 0) else { continue };
            oldest.entry(slot).and_modify(|oldest| *oldest = seq.min(*oldest)).or_insert(seq);
            in_flight.push(InFlight { packet_id: id.get(), subscription: position.subscription, seq });
        }
        let mut subscriptions = Vec::new();
        for (slot, position) in &mut self.positions {
            let mut sent = outbound.sent(*slot).max(position.saved.sent);
            if is_drained && !position.is_behind {
                sent = sent.max(offered.get(slot).copied().unwrap_or_default()).max(position.reached);
            }
            let cursor = oldest.get(slot).map_or(sent, |oldest| oldest - 1).max(position.saved.cursor);
            let progress = Progress { cursor, sent };
            if progress != position.saved {
                position.saved = progress;
                subscriptions.push((position.subscription, progress));
            }
        }
        if self.positions.values().any(|position| position.granted.is_narrowed()) {
            self.save_due = Some(Instant::now() + SAVE_UNASKED);
        }
        let moved = has_left || std::mem::take(&mut self.is_dirty) || !subscriptions.is_empty();
        let in_flight = Some(in_flight);
        moved.then_some(SessionProgress { session: self.number, subscriptions, in_flight, has_left })
    }
}

impl SubscriptionPosition {
    fn read(
        &mut self,
        slot: u32,
        pubsub: &PubSub,
        outbound: &mut OutboundMessages,
    ) -> Result<(), BrokerError> {
        // All that was read before has been sent.
        outbound.passed(slot, self.reached);
        let mut page = pubsub.queued_messages(self.topic, &self.granted, self.reached)?;
        if page.is_last && self.handle.is_none() {
            let (qos, offered) = (DeliveryQos::AtLeastOnce, Some(Arc::clone(&self.offered)));
            let outbound_queue = outbound.outbound_queue();
            self.handle =
                Some(pubsub.attach(&self.granted, outbound_queue, slot, qos, (page.up_to, offered), None));
            // What was committed before the bus knew of it, and after the page was read.
            let rest = pubsub.queued_messages(self.topic, &self.granted, page.up_to)?;
            page.messages.extend(rest.messages);
            (page.up_to, page.is_last) = (rest.up_to, rest.is_last);
        }
        self.reached = page.up_to;
        self.is_behind = !page.is_last;
        for (seq, body) in page.messages {
            outbound.stored(Delivery { slot, seq, body }, None);
        }
        Ok(())
    }
}
