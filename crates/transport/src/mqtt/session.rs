//! The session of one client: its publishes, acknowledgements and subscriptions.
//!
//! Packets come in through [`Session::handle`], bytes go out into a buffer; the connection decides when to read and
//! when to write. The broker decides about rights, and [`inflight_publishes`](super::inflight_publishes) about the order
//! and durability of publishes.

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use hashbrown::HashMap;
use thng_pubsub_protocol::{
    mqtt::{
        ConnAck, ConnectCode, Packet, PacketId, Publish, QoS, encode_pingresp, encode_puback, encode_pubcomp,
        encode_pubrec,
    },
    rejection::{self, Rejection},
};
use tokio::{sync::Notify, time::Instant};

use super::{
    disconnect_reason::DisconnectReason,
    durable::Durable,
    inflight_publishes::{Completion, Completions, InflightPublishes, PendingAck},
    outgoing::{DeliveryTarget, OutboundMessages, QueueOverflow},
    received::ReceivedIds,
    recent_topics::RecentTopics,
    subscriptions::Subscription,
};
use crate::{
    Context, OnRejectedPublish,
    client_reports::{Client, Refused},
    logged_error::LoggedError,
};
use thng_pubsub_broker::{
    BrokerError, RequestContext,
    client_events::owner_of,
    identity::{KeyHash, KeyLease, Principal},
    pubsub::{Delivery, OutboundQueue},
};

/// What the rate limits have said of the publish that is next.
#[derive(Debug)]
enum Throttle {
    /// Nothing yet.
    Unasked,
    /// Its turn comes then; until then it stays where it was read.
    At(Box<(Instant, KeyHash)>),
    /// Its turn has come.
    Now,
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) context: Arc<Context>,
    pub(super) protocol: &'static str,
    /// Of the client, for what is counted by address.
    pub(super) address: IpAddr,
    /// The client id, for reports.
    pub(super) client_id: Arc<str>,
    /// `None` for a client that connected without a key; its topics bring their own.
    pub(super) principal: Option<Arc<Principal>>,
    /// The key of the principal.
    pub(super) key: Option<KeyLease>,
    /// By slot, the keys of subscriptions that brought their own.
    pub(super) keys: HashMap<u32, KeyLease>,
    pub(super) wake: Arc<Notify>,
    pub(super) publishes: InflightPublishes,
    pub(super) completions: Arc<Completions>,
    /// The topics that were published on last.
    recent: RecentTopics,
    /// QoS 2 publishes whose ids are not published again.
    pub(super) received: ReceivedIds,
    pub(super) outbound: OutboundMessages,
    /// `None` for a client that wants a clean session.
    pub(super) durable: Option<Box<Durable>>,
    pub(super) subscriptions: HashMap<u32, Subscription>,
    pub(super) slots: HashMap<Arc<str>, u32>,
    pub(super) next_slot: u32,
    /// Initial states that were asked for: when to read them, and for which slot. In order of time.
    pub(super) states_due: VecDeque<(Instant, u32)>,
    /// A refused publish will end the connection when its turn comes: what was sent behind it is not read any more.
    pub(super) is_ending: bool,
    /// The client asked for an answer to each refused publish, so none ends the connection.
    pub(super) sends_rejections: bool,
    throttle: Throttle,
}

impl Session {
    pub(super) fn new(
        context: Arc<Context>,
        (protocol, address, client_id): (&'static str, IpAddr, Arc<str>),
        principal: Option<(Arc<Principal>, KeyLease)>,
        wake: Arc<Notify>,
    ) -> Self {
        let (principal, key) = principal.unzip();
        let outbound_queue = OutboundQueue::new(context.limits.outbound_queue, Arc::clone(&wake));
        let completions = Completions::new(Arc::clone(&wake));
        Self {
            protocol,
            address,
            client_id,
            principal,
            key,
            keys: HashMap::new(),
            wake: Arc::clone(&wake),
            publishes: InflightPublishes::new(Arc::clone(&completions)),
            completions,
            recent: RecentTopics::default(),
            received: ReceivedIds::default(),
            outbound: OutboundMessages::new(outbound_queue, context.limits.deliveries_in_flight_max),
            durable: None,
            subscriptions: HashMap::new(),
            slots: HashMap::new(),
            next_slot: 0,
            states_due: Default::default(),
            is_ending: false,
            sends_rejections: false,
            throttle: Throttle::Unasked,
            context,
        }
    }

    /// Whether another packet may be read: publishes that wait for their commit are bounded.
    pub(super) fn may_read(&self) -> bool {
        !self.is_ending && self.publishes.len() < self.context.limits.publishes_in_flight_max
    }

    /// Whether the last publish waits for its turn. It was not taken, and is to be handed in again when its time has come,
    /// before every later packet that may not overtake it.
    pub(super) fn is_throttled(&self) -> bool {
        matches!(self.throttle, Throttle::At(_))
    }

    /// Whether every publish that was read has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.publishes.is_empty()
    }

    /// When the session wants to be called again by the clock. One initial state is in memory at a time: the next is
    /// read when the client can take it.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let state = self.states_due.front().filter(|_| !self.outbound.holds_state()).map(|(due, _)| *due);
        let save = self.durable.as_ref().and_then(|durable| durable.save_due());
        let turn = if let Throttle::At(turn) = &self.throttle { Some(turn.0) } else { None };
        [state, save, turn].into_iter().flatten().min()
    }

    /// Does what the clock asks for.
    pub(super) async fn due(&mut self, now: Instant) {
        if matches!(&self.throttle, Throttle::At(turn) if turn.0 <= now) {
            self.throttle = Throttle::Now;
        }
        if let Some(durable) = &mut self.durable
            && durable.save_due().is_some_and(|due| due <= now)
            && let Some(progress) = durable.progress(&self.outbound, false)
        {
            // The server is stopping: it is saved when the connection ends.
            let _ = self.context.pubsub.save_progress_later(durable.account(), progress).await;
        }
        self.read_state(now).await;
    }

    /// Does what a packet asks for; what is to be said to the client at once is appended to `out`.
    pub(super) async fn handle(
        &mut self,
        packet: Packet<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DisconnectReason> {
        match packet {
            // Boxed, as in `connection.rs`.
            Packet::Publish(publish) => Box::pin(self.publish(&publish, out)).await,
            Packet::Subscribe(subscribe) => {
                Box::pin(self.subscribe(&subscribe, out)).await;
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => Box::pin(self.unsubscribe(&unsubscribe, out)).await,
            Packet::PubAck(id) => {
                self.outbound.acknowledged(id);
                if let Some(durable) = &mut self.durable {
                    durable.acknowledged();
                }
                Ok(())
            }
            Packet::PubRel(id) => {
                Box::pin(self.release(id, out)).await;
                Ok(())
            }
            Packet::PingReq => {
                self.recent.pinged();
                encode_pingresp(out);
                Ok(())
            }
            Packet::Disconnect => Err(DisconnectReason::Disconnect),
            Packet::Connect(_) => Err(DisconnectReason::Protocol("a second CONNECT came [MQTT-3.1.0-2]")),
            // Nothing is sent at QoS 2, so nothing of it can be acknowledged.
            Packet::PubRec(_) | Packet::PubComp(_) => {
                Err(DisconnectReason::Protocol("an acknowledgement of QoS 2 came for nothing"))
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(DisconnectReason::Protocol("a packet came that only a server may send"))
            }
        }
    }

    async fn publish(&mut self, publish: &Publish<'_>, out: &mut Vec<u8>) -> Result<(), DisconnectReason> {
        let ack = match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => PendingAck::PubAck(id),
            (QoS::ExactlyOnce, Some(id)) => PendingAck::PubRec(id),
            _ => PendingAck::Nothing,
        };
        if let PendingAck::PubRec(id) = ack {
            if self.received.contains(id) {
                encode_pubrec(id, out);
                return Ok(());
            }
            if self.publishes.awaits_pubrec(id) {
                return Ok(());
            }
        }
        let submitted = self.submit(publish, ack).await;
        if self.is_throttled() {
            return Ok(());
        }
        self.throttle = Throttle::Unasked;
        match submitted {
            Ok(()) => self.publishes.submitted(ack),
            Err(rejected) => {
                self.is_ending = self.is_the_end(ack, &rejected.refusal);
                self.publishes.answered(ack, Err(rejected));
            }
        }
        Ok(())
    }

    /// Hands a publish to the broker, or delays it.
    async fn submit(&mut self, publish: &Publish<'_>, ack: PendingAck) -> Completion {
        let pubsub = &self.context.pubsub;
        let mut principal = self.principal.clone();
        let client =
            Client { protocol: self.protocol, address: self.address, client_id: Some(&self.client_id) };
        let (recent, throttle) = (&mut self.recent, &mut self.throttle);
        let submitted = async {
            let topic = recent.topic(publish.topic)?;
            let user =
                self.context.principal(self.address, self.principal.as_ref(), topic.access_token()).await?;
            let user = principal.insert(user);
            if !matches!(throttle, Throttle::Now) {
                let wait = self.context.rates.publish_in_turn(self.address, &user.key)?;
                if wait > Duration::ZERO {
                    *throttle = Throttle::At(Box::new((Instant::now() + wait, user.key)));
                    self.context.report_throttled(client, owner_of(user));
                    return Ok(());
                }
            }
            let context = topic.context(user)?;
            let (completions, about) = (Arc::clone(&self.completions), Arc::clone(&context));
            let on_stored = move |outcome: Result<(), BrokerError>| {
                completions.put(outcome.map_err(|refusal| Box::new(LoggedError::of_publish(refusal, &about))))
            };
            match (ack, &self.durable) {
                (PendingAck::PubRec(id), Some(durable)) => {
                    let once = (durable.number(), id.get());
                    pubsub.publish_once(&context, publish.payload, once, on_stored).await
                }
                _ => pubsub.publish(&context, publish.payload, on_stored).await,
            }
        };
        let submitted: Result<(), BrokerError> = submitted.await;
        submitted
            .map_err(|refusal| Box::new(LoggedError::on_text(refusal, principal.as_deref(), publish.topic)))
    }

    /// The client knows that its QoS 2 publish was received. What a durable session remembers of it has to be gone before
    /// the packet id is free again, or the next publish under it would pass for a repetition.
    async fn release(&mut self, id: PacketId, out: &mut Vec<u8>) {
        let Some(durable) = self.durable.as_ref().filter(|_| self.received.contains(id)) else {
            self.received.remove(id);
            return encode_pubcomp(id, out);
        };
        let completions = Arc::clone(&self.completions);
        let rejected = |refusal| Box::new(LoggedError::new(refusal, None));
        let on_stored = move |outcome: Result<(), BrokerError>| completions.put(outcome.map_err(rejected));
        let publish = (durable.number(), id.get());
        match self.context.pubsub.release(durable.account(), publish, on_stored).await {
            Ok(()) => self.publishes.submitted(PendingAck::PubComp(id)),
            Err(refusal) => self.publishes.answered(PendingAck::PubComp(id), Err(rejected(refusal))),
        }
    }

    /// Acknowledges what has been stored since, in order.
    pub(super) fn settle(&mut self, out: &mut Vec<u8>) -> Result<(), DisconnectReason> {
        let mut stored = 0;
        let mut outcome = Ok(());
        while let Some((ack, answer)) = self.publishes.next_answered() {
            stored += u64::from(answer.is_ok() && !matches!(ack, PendingAck::PubComp(_)));
            if let Err(end) = self.acknowledge(ack, answer, out) {
                outcome = Err(end);
                break;
            }
        }
        if stored > 0 {
            self.context.metrics.publishes.with_label_values(&[self.protocol]).inc_by(stored);
        }
        outcome
    }

    fn acknowledge(
        &mut self,
        ack: PendingAck,
        answer: Completion,
        out: &mut Vec<u8>,
    ) -> Result<(), DisconnectReason> {
        if let (PendingAck::PubComp(id), Ok(())) = (ack, &answer) {
            self.received.remove(id);
        }
        if let Err(rejected) = answer {
            self.report_refusal(Refused::Publish, &rejected);
            if self.is_the_end(ack, &rejected.refusal) {
                return Err(match rejected.refusal {
                    refusal @ BrokerError::TooOften(_) => DisconnectReason::RateLimited(refusal),
                    refusal => DisconnectReason::PublishRefused(refusal),
                });
            }
            if self.sends_rejections {
                encode_rejection(ack, &rejected, out);
            }
        }
        match ack {
            PendingAck::Nothing => {}
            PendingAck::PubAck(id) => encode_puback(id, out),
            PendingAck::PubRec(id) => {
                self.received.insert(id);
                encode_pubrec(id, out);
            }
            PendingAck::PubComp(id) => encode_pubcomp(id, out),
        }
        Ok(())
    }

    pub(super) fn report_refusal(&self, refused: Refused, rejected: &LoggedError) {
        self.context.report_refusal(self.client(), refused, rejected);
    }

    /// The client, for reports.
    fn client(&self) -> Client<'_> {
        Client { protocol: self.protocol, address: self.address, client_id: Some(&self.client_id) }
    }

    /// Whether a refused publish ends the connection. MQTT 3.1.1 has no other negative answer, and some clients would repeat
    /// the publish for ever. A final refusal is therefore acknowledged, unless the operator chose otherwise. A temporary
    /// one never is, since the publish may still be stored. A client that asked for an answer gets that instead of
    /// either.
    fn is_the_end(&self, ack: PendingAck, refusal: &BrokerError) -> bool {
        let ends =
            || refusal.is_temporary() || self.context.limits.on_rejected_publish == OnRejectedPublish::Close;
        match ack {
            // There is no acknowledgement to withhold, but a client that publishes too often is delayed.
            PendingAck::Nothing => !self.sends_rejections && matches!(refusal, BrokerError::TooOften(_)),
            PendingAck::PubAck(_) | PendingAck::PubRec(_) => !self.sends_rejections && ends(),
            // No publish: there is no answer to it but PUBCOMP.
            PendingAck::PubComp(_) => ends(),
        }
    }

    /// The connection has ended: what a durable session needs when its client comes back is saved.
    pub(super) async fn save_on_disconnect(&mut self) {
        if let Some(durable) = &mut self.durable
            && let Some(progress) = durable.progress(&self.outbound, true)
            && let Err(refusal) = self.context.pubsub.save_progress(durable.account(), progress).await
        {
            let rejected = LoggedError::new(refusal, self.principal.as_deref());
            self.report_refusal(Refused::SessionSave, &rejected);
        }
    }

    /// Reads the next initial state, if its time has come.
    async fn read_state(&mut self, now: Instant) {
        if let Some((due, slot)) = self.states_due.front().copied()
            && due <= now
            && !self.outbound.holds_state()
        {
            self.states_due.pop_front();
            let Some(subscription) = self.subscriptions.get_mut(&slot) else { return };
            subscription.state_due = false;
            let Subscription { principal, topic, .. } = &*subscription;
            // Made anew: one that each subscription keeps would take memory that no bound counts.
            let subscribe = RequestContext::subscribe(principal, topic.clone());
            let state = self.context.pubsub.initial_state(&subscribe).await;
            match state {
                Ok(Some(body)) => self.outbound.state(Delivery { slot, seq: 0, body }),
                Ok(None) => {}
                // The state is read late anyway, so it can wait until the database has time.
                Err(BrokerError::TooManyScans) => {
                    subscription.state_due = true;
                    insert_by_time(&mut self.states_due, now + crate::STATE_RETRY, slot);
                }
                Err(refusal) => {
                    let topic = &subscription.topic.topic;
                    let rejected = LoggedError::on_topic(refusal, &subscription.principal, topic);
                    self.report_refusal(Refused::InitialState, &rejected);
                }
            }
        }
        if self.states_due.is_empty() {
            self.states_due = Default::default();
        }
    }

    /// Encodes waiting notifications into `out` until it holds `bytes_max`, and reads what a durable session has missed.
    pub(super) fn deliver(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), DisconnectReason> {
        self.encode(out, bytes_max)?;
        while out.len() < bytes_max && !self.outbound.has_stored() {
            let Some(durable) = self.durable.as_mut().filter(|durable| durable.is_behind()) else { break };
            let caught_up = durable.catch_up(&self.context.pubsub, &mut self.outbound);
            if let Some(slot) = caught_up.map_err(|_| DisconnectReason::Unavailable)? {
                self.caught_up(slot);
            }
            self.encode(out, bytes_max)?;
        }
        Ok(())
    }

    fn encode(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), DisconnectReason> {
        let (subscriptions, durable) = (&self.subscriptions, &self.durable);
        let address = |slot| {
            let subscription = subscriptions.get(&slot)?;
            let (stored_up_to, is_behind) =
                durable.as_ref().map_or((0, false), |durable| durable.reading(slot));
            Some(DeliveryTarget {
                filter: &subscription.filter,
                qos: subscription.qos,
                marks_state: subscription.topic.options.marks_state,
                stored_up_to,
                is_behind,
            })
        };
        match self.outbound.encode(out, bytes_max, address) {
            Ok(0) => Ok(()),
            Ok(count) => {
                self.context.metrics.deliveries.with_label_values(&[self.protocol]).inc_by(count);
                Ok(())
            }
            Err(QueueOverflow) => Err(DisconnectReason::SlowConsumer),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let owner = self.principal.as_deref().map(owner_of).unwrap_or_default();
        let dropped = self.outbound.outbound_queue().dropped();
        self.context.report_dropped(self.client(), owner, dropped);
        if let Throttle::At(turn) = &self.throttle {
            self.context.rates.publish_given_up(self.address, &turn.1);
        }
        self.outbound.outbound_queue().close();
    }
}

/// The answer to a refused publish, for a client that asked for it.
fn encode_rejection(ack: PendingAck, rejected: &LoggedError, out: &mut Vec<u8>) {
    let packet_id = match ack {
        PendingAck::Nothing => None,
        PendingAck::PubAck(id) | PendingAck::PubRec(id) => Some(id),
        PendingAck::PubComp(_) => return,
    };
    let refusal = &rejected.refusal;
    let reason = (refusal.reason(), refusal.is_temporary());
    let document = Rejection::new(packet_id, rejected.topic.as_deref(), reason, refusal.document()).to_json();
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        packet_id: None,
        topic: rejection::TOPIC,
        payload: document.as_bytes(),
    };
    publish.encode(out).expect("a refusal is shorter than a packet may be");
}

/// Queues an initial state behind those that are due earlier or at the same time. Mostly that is at the end.
pub(super) fn insert_by_time(states: &mut VecDeque<(Instant, u32)>, due: Instant, slot: u32) {
    let place = states.partition_point(|(other, _)| *other <= due);
    states.insert(place, (due, slot));
}

/// CONNACK with this code.
pub(super) fn connack(code: ConnectCode, session_present: bool, out: &mut Vec<u8>) {
    ConnAck { session_present, code }.encode(out).expect("a CONNACK has four bytes");
}

/// Seconds of keep alive that are honored at the most: the product description's number.
const KEEP_ALIVE_S_MAX: u16 = 120;

/// One and a half times the keep alive [MQTT-3.1.2-24], of at most the seconds that the product honors; `None` where
/// the client asked for none.
pub(super) fn keep_alive_timeout(keep_alive_s: u16) -> Option<Duration> {
    let honoured = keep_alive_s.min(KEEP_ALIVE_S_MAX);
    (honoured > 0).then(|| Duration::from_millis(u64::from(honoured) * 1_500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_tried_again_later_keeps_no_other_waiting() {
        let now = Instant::now();
        let (delay, retry) = (Duration::from_millis(25), crate::STATE_RETRY);
        let mut states = VecDeque::new();
        for (due, slot) in [(now + retry, 0), (now + delay, 1), (now + delay, 2), (now, 3)] {
            insert_by_time(&mut states, due, slot);
        }
        assert_eq!(states.iter().map(|(_, slot)| *slot).collect::<Vec<_>>(), [3, 1, 2, 0]);
        assert!(states.iter().is_sorted_by_key(|(due, _)| *due));
    }

    /// Also MQTT-3.1.2-24.
    #[test]
    fn a_keep_alive_counts_one_and_a_half_times_up_to_120_seconds() {
        for (requested_s, granted_ms) in [
            (0, None),
            (1, Some(1_500)),
            (3, Some(4_500)),
            (119, Some(178_500)),
            (120, Some(180_000)),
            (121, Some(180_000)),
            (u16::MAX, Some(180_000)),
        ] {
            assert_eq!(
                keep_alive_timeout(requested_s),
                granted_ms.map(Duration::from_millis),
                "{requested_s} s"
            );
        }
    }
}
