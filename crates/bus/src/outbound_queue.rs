//! The bounded queue from the dispatchers to one session.
//!
//! A dispatcher offers a run of notifications under one lock and wakes the session at most once. The session swaps
//! the whole queue for an empty one and writes everything at once. Neither ever waits for the other.
//! What a full queue means is decided per subscription by its quality of service.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::envelope::NotificationEnvelope;
use super::routes::{DeliveryQos, Run, Tally};

/// What waits in all outbound queues of the process together, for the metrics. It is counted once a batch, so for a moment it
/// may be less than nothing.
#[derive(Debug)]
pub(super) struct QueueTotals {
    messages: AtomicI64,
    bytes: AtomicI64,
}

pub(super) static QUEUE_TOTALS: QueueTotals =
    QueueTotals { messages: AtomicI64::new(0), bytes: AtomicI64::new(0) };

impl QueueTotals {
    pub(super) fn add(&self, messages: u64, bytes: u64) {
        if messages > 0 {
            self.messages.fetch_add(messages.cast_signed(), Ordering::Relaxed);
            self.bytes.fetch_add(bytes.cast_signed(), Ordering::Relaxed);
        }
    }

    fn remove(&self, messages: usize, bytes: usize) {
        if messages > 0 {
            self.messages.fetch_sub((messages as u64).cast_signed(), Ordering::Relaxed);
            self.bytes.fetch_sub((bytes as u64).cast_signed(), Ordering::Relaxed);
        }
    }

    pub(super) fn messages(&self) -> i64 {
        self.messages.load(Ordering::Relaxed).max(0)
    }

    pub(super) fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Relaxed).max(0)
    }
}

/// A notification on its way to one session.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The session's name for the subscription, as given in [`super::Subscriber::slot`].
    pub slot: u32,
    /// The store's event sequence.
    pub seq: u64,
    /// The body of the notification, shared with all its receivers.
    pub body: Bytes,
}

/// The bounds of an outbound queue. One notification always fits an empty queue, however large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboundQueueLimits {
    /// Most deliveries.
    pub messages: usize,
    /// Most bytes, counting the bodies.
    pub bytes: usize,
}

/// The state of an outbound queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundQueueState {
    /// Deliveries are accepted.
    Open,
    /// A delivery at QoS 1 did not fit. Nothing was accepted since; the session must end.
    Overflowed,
    /// [`OutboundQueue::close`] was called.
    Closed,
}

/// The queue of one session.
///
/// The session waits on its `Notify`, which is notified when the queue stops being empty and when the state
/// changes, and then calls [`OutboundQueue::take`] until it comes back empty. A session that leaves notifications in
/// the queue is not woken for more.
pub struct OutboundQueue {
    queue: Mutex<Queue>,
    limits: OutboundQueueLimits,
    dropped: AtomicU64,
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Queue {
    deliveries: Vec<Delivery>,
    bytes: usize,
    state: OutboundQueueState,
}

/// Whether an outbound queue takes anything more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfferResult {
    Keep,
    Forget,
}

impl OutboundQueue {
    /// The capacity that an idle outbound queue may keep, in deliveries of 48 bytes.
    const CAPACITY_IDLE: usize = 16;

    /// An empty outbound queue; it allocates nothing for its queue until something comes.
    pub fn new(limits: OutboundQueueLimits, wake: Arc<Notify>) -> Arc<Self> {
        let queue = Queue { deliveries: Vec::new(), bytes: 0, state: OutboundQueueState::Open };
        Arc::new(Self { queue: Mutex::new(queue), limits, dropped: AtomicU64::new(0), wake })
    }

    /// Swaps what is queued, in the order of arrival, into `into`, whose content is dropped.
    ///
    /// `into` lends its capacity to the queue. A call that finds nothing takes back what is too much of it
    /// from both, so a session that calls until nothing comes stays thin when it is idle.
    pub fn take(&self, into: &mut Vec<Delivery>) -> OutboundQueueState {
        into.clear();
        let mut queue = self.queue.lock();
        std::mem::swap(&mut queue.deliveries, into);
        QUEUE_TOTALS.remove(into.len(), std::mem::take(&mut queue.bytes));
        let state = queue.state;
        let spare = if queue.deliveries.capacity() > (4 * into.len()).max(Self::CAPACITY_IDLE) {
            std::mem::take(&mut queue.deliveries)
        } else {
            Vec::new()
        };
        drop(queue);
        drop(spare);
        if into.is_empty() && into.capacity() > Self::CAPACITY_IDLE {
            *into = Vec::new();
        }
        state
    }

    /// Whether nothing waits in it.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().deliveries.is_empty()
    }

    /// What has become of it.
    pub fn state(&self) -> OutboundQueueState {
        self.queue.lock().state
    }

    /// Ends it: what is queued is dropped, nothing more is accepted, and dispatchers forget it.
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        queue.state = OutboundQueueState::Closed;
        let rest = std::mem::take(&mut queue.deliveries);
        QUEUE_TOTALS.remove(rest.len(), std::mem::take(&mut queue.bytes));
        drop(queue);
        drop(rest);
        self.wake.notify_one();
    }

    /// Notifications for QoS 0 subscriptions that did not fit, since the beginning.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Offers those notifications of `run` whose bit is set in `selected`.
    pub(super) fn offer(
        &self,
        run: &Run<'_>,
        selected: u64,
        slot: u32,
        qos: DeliveryQos,
        tally: &mut Tally,
    ) -> OfferResult {
        let mut queue = self.queue.lock();
        if queue.state != OutboundQueueState::Open {
            return OfferResult::Forget;
        }
        let (queued_before, bytes_before) = (queue.deliveries.len(), queue.bytes);
        let mut dropped = 0;
        for notification in run.selected(selected) {
            if queue.accept(notification, slot, self.limits) {
                continue;
            }
            if qos == DeliveryQos::AtLeastOnce {
                queue.state = OutboundQueueState::Overflowed;
                break;
            }
            dropped += 1;
        }
        let (queued, bytes) = (queue.deliveries.len(), queue.bytes);
        let overflowed = queue.state == OutboundQueueState::Overflowed;
        drop(queue);
        if (queued_before == 0 && queued > 0) || overflowed {
            self.wake.notify_one();
        }
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        tally.delivered += (queued - queued_before) as u64;
        tally.delivered_bytes += (bytes - bytes_before) as u64;
        tally.dropped += dropped;
        tally.overflowed += u64::from(overflowed);
        if overflowed { OfferResult::Forget } else { OfferResult::Keep }
    }
}

impl Queue {
    fn accept(
        &mut self,
        notification: &NotificationEnvelope,
        slot: u32,
        limits: OutboundQueueLimits,
    ) -> bool {
        let bytes = self.bytes + notification.body.len();
        let fits = self.deliveries.len() < limits.messages && bytes <= limits.bytes;
        if !fits && !self.deliveries.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.deliveries.push(Delivery { slot, seq: notification.seq, body: notification.body.clone() });
        true
    }
}

impl Drop for OutboundQueue {
    fn drop(&mut self) {
        let queue = self.queue.get_mut();
        QUEUE_TOTALS.remove(queue.deliveries.len(), queue.bytes);
    }
}

impl fmt::Debug for OutboundQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.queue.lock();
        f.debug_struct("OutboundQueue")
            .field("state", &queue.state)
            .field("queued", &queue.deliveries.len())
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{self, Envelope};
    use crate::{Notification, RouteKey};

    fn notifications(bodies: &[usize]) -> Vec<NotificationEnvelope> {
        let key = RouteKey::new("account", "/thngs");
        let envelope = |(seq, bytes): (u64, &usize)| {
            let body = Bytes::from(vec![b'x'; *bytes]);
            let notification = Notification { key: key.clone(), scopes: Bytes::new(), seq, body };
            match envelope::decode(envelope::encode_notification(0, seq, &notification)) {
                Ok(Envelope::Notification(notification)) => notification,
                other => panic!("{other:?}"),
            }
        };
        (1..).zip(bodies).map(envelope).collect()
    }

    /// Offers notifications with bodies of these sizes, with sequences from 1.
    fn offer(outbound_queue: &OutboundQueue, bodies: &[usize], qos: DeliveryQos) -> (OfferResult, Tally) {
        let (notifications, mut tally) = (notifications(bodies), Tally::default());
        let members: Vec<(u64, u8)> = (0..notifications.len() as u8).map(|position| (0, position)).collect();
        let run = Run { notifications: &notifications, members: &members };
        (outbound_queue.offer(&run, u64::MAX, 0, qos, &mut tally), tally)
    }

    fn taken(outbound_queue: &OutboundQueue) -> (Vec<u64>, OutboundQueueState) {
        let mut batch = Vec::new();
        let state = outbound_queue.take(&mut batch);
        (batch.iter().map(|delivery| delivery.seq).collect(), state)
    }

    fn outbound_queue(messages: usize, bytes: usize) -> Arc<OutboundQueue> {
        OutboundQueue::new(OutboundQueueLimits { messages, bytes }, Arc::new(Notify::new()))
    }

    #[test]
    fn at_qos_0_only_what_does_not_fit_is_dropped() {
        let outbound_queue = outbound_queue(10, 100);
        let (offered, tally) = offer(&outbound_queue, &[60, 60, 40, 1], DeliveryQos::AtMostOnce);
        assert_eq!((offered, tally.delivered, tally.dropped), (OfferResult::Keep, 2, 2));
        assert_eq!(
            (taken(&outbound_queue), outbound_queue.dropped()),
            ((vec![1, 3], OutboundQueueState::Open), 2)
        );
        assert_eq!(offer(&outbound_queue, &[60], DeliveryQos::AtMostOnce).1.delivered, 1, "room again");
    }

    #[test]
    fn at_qos_1_the_first_misfit_ends_the_queue() {
        let outbound_queue = outbound_queue(2, 100);
        let (offered, tally) = offer(&outbound_queue, &[1, 1, 1, 1], DeliveryQos::AtLeastOnce);
        assert_eq!((offered, tally.delivered, tally.overflowed), (OfferResult::Forget, 2, 1));
        assert_eq!(taken(&outbound_queue), (vec![1, 2], OutboundQueueState::Overflowed));
        let (offered, tally) = offer(&outbound_queue, &[1], DeliveryQos::AtMostOnce);
        assert_eq!((offered, tally.delivered, tally.overflowed), (OfferResult::Forget, 0, 0));
        assert_eq!(taken(&outbound_queue), (vec![], OutboundQueueState::Overflowed));
    }

    #[test]
    fn an_empty_queue_accepts_an_oversized_notification() {
        let outbound_queue = outbound_queue(10, 100);
        let (_, tally) = offer(&outbound_queue, &[5000, 1], DeliveryQos::AtMostOnce);
        assert_eq!((tally.delivered, tally.dropped), (1, 1));
        assert_eq!(taken(&outbound_queue).0, vec![1]);
    }

    #[test]
    fn the_session_is_woken_only_when_the_queue_becomes_non_empty() {
        let wake = Arc::new(Notify::new());
        let outbound_queue =
            OutboundQueue::new(OutboundQueueLimits { messages: 100, bytes: 1000 }, Arc::clone(&wake));
        let is_woken = || {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            std::pin::pin!(wake.notified()).as_mut().poll(&mut context).is_ready()
        };
        assert!(!is_woken());
        offer(&outbound_queue, &[1, 1], DeliveryQos::AtMostOnce);
        assert!(is_woken());
        offer(&outbound_queue, &[1], DeliveryQos::AtMostOnce);
        assert!(!is_woken(), "it was told before and has not looked yet");
        taken(&outbound_queue);
        offer(&outbound_queue, &[1], DeliveryQos::AtMostOnce);
        assert!(is_woken());
        outbound_queue.close();
        assert!(is_woken());
    }

    #[test]
    fn closing_drops_what_is_queued_and_refuses_more() {
        let outbound_queue = outbound_queue(10, 100);
        offer(&outbound_queue, &[1, 1], DeliveryQos::AtLeastOnce);
        outbound_queue.close();
        assert_eq!(offer(&outbound_queue, &[1], DeliveryQos::AtLeastOnce).0, OfferResult::Forget);
        assert_eq!(taken(&outbound_queue), (vec![], OutboundQueueState::Closed));
    }

    #[test]
    fn an_idle_queue_shrinks() {
        assert!(size_of::<OutboundQueue>() <= 96, "{}", size_of::<OutboundQueue>());
        assert_eq!(size_of::<Delivery>(), 48);
        let outbound_queue = outbound_queue(1000, 100_000);
        let mut batch = Vec::new();
        assert_eq!(outbound_queue.queue.lock().deliveries.capacity(), 0);
        for _ in 0..3 {
            offer(&outbound_queue, &[1; 64], DeliveryQos::AtMostOnce);
            outbound_queue.take(&mut batch);
            assert_eq!(batch.len(), 64);
        }
        outbound_queue.take(&mut batch);
        let capacity = batch.capacity() + outbound_queue.queue.lock().deliveries.capacity();
        assert!(capacity <= 2 * OutboundQueue::CAPACITY_IDLE, "{capacity} deliveries are kept for nothing");
    }
}
