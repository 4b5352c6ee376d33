//! What each packet means: one client's subscriptions, publishes and acknowledgements.
//!
//! Packets come in through [`Session::handle`], bytes go out into a buffer; the connection decides when to read and
//! when to write. Rights are the gateway's to decide, and order and durability of publishes [`incoming`](super::incoming)'s.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use hashbrown::HashMap;
use thng_pubsub_protocol::{
    mqtt::{
        ConnAck, ConnectCode, Packet, PacketId, Publish, QoS, SubAck, SubAckCode, Subscribe, Unsubscribe,
        encode_pingresp, encode_puback, encode_pubcomp, encode_pubrec, encode_unsuback,
    },
    topic::TopicString,
};
use tokio::{sync::Notify, time::Instant};

use super::{
    incoming::{Answers, Incoming, Owed},
    outgoing::{Addressed, Deliveries, Overflowed},
};
use crate::{
    config::RefusedPublish,
    edge::Context,
    gateway::{Delivery, DeliveryQos, HeldKey, Outbox, Outcome, Principal, Refusal, Watch},
};

/// Why a connection ends. The text goes into the log, the name into the metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum End {
    #[error("the client said good-bye")]
    Disconnect,
    #[error("the client broke off")]
    BrokenOff,
    #[error("{0}")]
    Protocol(&'static str),
    #[error("a QoS 1 or 2 publish was refused: {0}")]
    RefusedPublish(Refusal),
    #[error("the client reads too slowly: a QoS 1 message did not fit into its queue")]
    Slow,
    #[error("nothing came for one and a half times the keep alive")]
    KeepAlive,
    #[error("its API key was taken away")]
    Revoked,
    #[error("another connection with the same key and client id took over")]
    TakenOver,
    #[error("the server is stopping")]
    Stopping,
    #[error("no CONNECT came in time")]
    ConnectTimeout,
    #[error("CONNECT was refused: {0}")]
    ConnectRefused(&'static str),
}

impl End {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::BrokenOff => "broken_off",
            Self::Protocol(_) => "protocol",
            Self::RefusedPublish(_) => "refused_publish",
            Self::Slow => "slow",
            Self::KeepAlive => "keep_alive",
            Self::Revoked => "revoked",
            Self::TakenOver => "taken_over",
            Self::Stopping => "stopping",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectRefused(_) => "connect_refused",
        }
    }
}

/// A subscription, by the exact string that the client sent.
#[derive(Debug)]
struct Subscription {
    filter: Arc<str>,
    topic: TopicString,
    qos: QoS,
    /// Whose rights it has: the connection's, or those of its own `access_token`.
    principal: Arc<Principal>,
    watch: Watch,
    /// Its initial state was asked for and not read yet.
    state_due: bool,
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    context: Arc<Context>,
    protocol: &'static str,
    /// `None` for a client that connected without a key; its topics bring their own.
    principal: Option<Arc<Principal>>,
    /// The key of the principal.
    key: Option<HeldKey>,
    /// By slot, the keys of subscriptions that brought their own.
    keys: HashMap<u32, HeldKey>,
    wake: Arc<Notify>,
    incoming: Incoming,
    answers: Arc<Answers>,
    /// QoS 2 publishes that were acknowledged with PUBREC and wait for PUBREL: their ids are not published again.
    received: BTreeSet<PacketId>,
    deliveries: Deliveries,
    subscriptions: HashMap<u32, Subscription>,
    slots: HashMap<Arc<str>, u32>,
    next_slot: u32,
    /// Initial states that were asked for: when to read them, and for which slot. In order of time.
    states_due: std::collections::VecDeque<(Instant, u32)>,
    /// A refused publish will end the connection when its turn comes: what was sent behind it is not read any more.
    is_ending: bool,
}

impl Session {
    pub(super) fn new(
        context: Arc<Context>,
        protocol: &'static str,
        principal: Option<(Arc<Principal>, HeldKey)>,
        wake: Arc<Notify>,
    ) -> Self {
        let (principal, key) = principal.unzip();
        let outbox = Outbox::new(context.limits.outbox, Arc::clone(&wake));
        let answers = Answers::new(Arc::clone(&wake));
        Self {
            protocol,
            principal,
            key,
            keys: HashMap::new(),
            wake: Arc::clone(&wake),
            incoming: Incoming::new(Arc::clone(&answers)),
            answers,
            received: BTreeSet::new(),
            deliveries: Deliveries::new(outbox, context.limits.deliveries_in_flight_max),
            subscriptions: HashMap::new(),
            slots: HashMap::new(),
            next_slot: 0,
            states_due: Default::default(),
            is_ending: false,
            context,
        }
    }

    /// Ends what stands on a key that was taken away: a subscription with a token of its own, or all of it.
    pub(super) fn check_keys(&mut self) -> Result<(), End> {
        if self.key.as_ref().is_some_and(HeldKey::is_revoked) {
            return Err(End::Revoked);
        }
        let gone: Vec<u32> =
            self.keys.iter().filter(|(_, key)| key.is_revoked()).map(|(slot, _)| *slot).collect();
        for slot in gone {
            if let Some(filter) = self.subscriptions.get(&slot).map(|ended| Arc::clone(&ended.filter)) {
                self.end_subscription(&filter);
            }
            self.context.metrics.subscriptions_revoked.with_label_values(&[self.protocol]).inc();
            self.log_refusal("a subscription was ended", "revoked", &"its access_token was taken away");
        }
        Ok(())
    }

    /// Whether another packet may be read: publishes that wait for their commit are bounded.
    pub(super) fn may_read(&self) -> bool {
        !self.is_ending && self.incoming.len() < self.context.limits.publishes_in_flight_max
    }

    /// Whether every publish that was read has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.incoming.is_empty()
    }

    /// When the session wants to be called again by the clock. One initial state is in memory at a time: the next is
    /// read when the client has room for it.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.states_due.front().filter(|_| !self.deliveries.holds_state()).map(|(due, _)| *due)
    }

    /// Does what a packet asks for; what is to be said to the client at once is appended to `out`.
    pub(super) async fn handle(&mut self, packet: Packet<'_>, out: &mut Vec<u8>) -> Result<(), End> {
        match packet {
            Packet::Publish(publish) => self.publish(&publish, out).await,
            Packet::Subscribe(subscribe) => {
                self.subscribe(&subscribe, out).await;
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(&unsubscribe, out);
                Ok(())
            }
            Packet::PubAck(id) => {
                self.deliveries.acknowledged(id);
                Ok(())
            }
            Packet::PubRel(id) => {
                self.received.remove(&id);
                encode_pubcomp(id, out);
                Ok(())
            }
            Packet::PingReq => {
                encode_pingresp(out);
                Ok(())
            }
            Packet::Disconnect => Err(End::Disconnect),
            Packet::Connect(_) => Err(End::Protocol("a second CONNECT came [MQTT-3.1.0-2]")),
            // Nothing is sent at QoS 2, so nothing of it can be acknowledged.
            Packet::PubRec(_) | Packet::PubComp(_) => {
                Err(End::Protocol("an acknowledgement of QoS 2 came for nothing"))
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(End::Protocol("a packet came that only a server may send"))
            }
        }
    }

    async fn publish(&mut self, publish: &Publish<'_>, out: &mut Vec<u8>) -> Result<(), End> {
        let owed = match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => Owed::PubAck(id),
            (QoS::ExactlyOnce, Some(id)) => Owed::PubRec(id),
            _ => Owed::Nothing,
        };
        if let Owed::PubRec(id) = owed {
            if self.received.contains(&id) {
                encode_pubrec(id, out);
                return Ok(());
            }
            if self.incoming.awaits_pubrec(id) {
                return Ok(());
            }
            if self.received.len() >= self.context.limits.publishes_in_flight_max {
                return Err(End::Protocol("too many QoS 2 publishes wait for their PUBREL"));
            }
        }
        let answers = Arc::clone(&self.answers);
        let when_stored = Box::new(move |outcome: Result<_, _>| answers.put(outcome.map(drop)));
        match self.submit(publish, when_stored).await {
            Ok(()) => self.incoming.submitted(owed),
            Err(refusal) => {
                self.is_ending = owed != Owed::Nothing && !self.is_forgettable(&refusal);
                self.incoming.answered(owed, Err(refusal));
            }
        }
        Ok(())
    }

    async fn submit(
        &self,
        publish: &Publish<'_>,
        when_stored: Box<dyn FnOnce(Result<Outcome, Refusal>) + Send>,
    ) -> Result<(), Refusal> {
        let topic = TopicString::parse(publish.topic)?;
        let gateway = &self.context.gateway;
        let principal = gateway.principal(self.principal.as_ref(), &topic.options).await?;
        gateway.publish(&principal, &topic, publish.payload, when_stored).await
    }

    /// Acknowledges what has been stored since, in order.
    pub(super) fn settle(&mut self, out: &mut Vec<u8>) -> Result<(), End> {
        let mut stored = 0;
        let mut outcome = Ok(());
        while let Some((owed, answer)) = self.incoming.next_answered() {
            stored += u64::from(answer.is_ok());
            if let Err(end) = self.acknowledge(owed, answer, out) {
                outcome = Err(end);
                break;
            }
        }
        if stored > 0 {
            self.context.metrics.publishes.with_label_values(&[self.protocol]).inc_by(stored);
        }
        outcome
    }

    fn acknowledge(&mut self, owed: Owed, answer: Result<(), Refusal>, out: &mut Vec<u8>) -> Result<(), End> {
        if let Err(refusal) = answer {
            let reason = refusal.reason();
            self.context.metrics.publishes_refused.with_label_values(&[self.protocol, reason]).inc();
            self.log_refusal("a publish was refused", reason, &refusal);
            if owed != Owed::Nothing && !self.is_forgettable(&refusal) {
                return Err(End::RefusedPublish(refusal));
            }
        }
        match owed {
            Owed::Nothing => {}
            Owed::PubAck(id) => encode_puback(id, out),
            Owed::PubRec(id) => {
                self.received.insert(id);
                encode_pubrec(id, out);
            }
        }
        Ok(())
    }

    fn log_refusal(&self, what: &'static str, reason: &'static str, why: &dyn fmt::Display) {
        self.context.log_refusal(self.protocol, what, reason, why);
    }

    /// Whether a refused publish is acknowledged all the same. What could not be stored now may be stored later, so
    /// that never is.
    fn is_forgettable(&self, refusal: &Refusal) -> bool {
        *refusal != Refusal::Unavailable && self.context.limits.refused_publish == RefusedPublish::Ack
    }

    async fn subscribe(&mut self, subscribe: &Subscribe<'_>, out: &mut Vec<u8>) {
        let mut codes = Vec::new();
        for (filter, qos) in subscribe.filters() {
            let granted = qos.min(QoS::AtLeastOnce);
            let code = match self.watch(filter, granted).await {
                Ok(()) => SubAckCode::Granted(granted),
                Err(reason) => {
                    self.context
                        .metrics
                        .subscriptions_refused
                        .with_label_values(&[self.protocol, reason])
                        .inc();
                    SubAckCode::Refused
                }
            };
            codes.push(code.byte());
        }
        let answer = SubAck { packet_id: subscribe.packet_id, codes: &codes };
        answer.encode(out).expect("a SUBACK is shorter than its SUBSCRIBE");
    }

    /// Puts one subscription in place, or returns the name of the reason why not.
    async fn watch(&mut self, filter: &str, qos: QoS) -> Result<(), &'static str> {
        let known = self.slots.get(filter).copied();
        if known.is_none() && self.subscriptions.len() >= self.context.limits.subscriptions_max {
            self.log_refusal(
                "a subscription was refused",
                "too_many_subscriptions",
                &"--subscriptions-max is reached",
            );
            return Err("too_many_subscriptions");
        }
        // A repeated filter keeps its slot: the new route is in place before the old one goes, nothing falls between.
        let slot = known.unwrap_or(self.next_slot);
        let (mut subscription, key) = self.route(filter, qos, slot).await.map_err(|refusal| {
            self.log_refusal("a subscription was refused", refusal.reason(), &refusal);
            refusal.reason()
        })?;
        if known.is_none() {
            self.next_slot = self.next_slot.wrapping_add(1);
            self.slots.insert(Arc::clone(&subscription.filter), slot);
        }
        if let Some(key) = key {
            self.keys.insert(slot, key);
        }
        let due_already = self.subscriptions.get(&slot).is_some_and(|earlier| earlier.state_due);
        if subscription.topic.options.initial_state && !due_already {
            self.states_due.push_back((Instant::now() + self.context.limits.initial_state_delay, slot));
        }
        subscription.state_due = subscription.topic.options.initial_state;
        self.subscriptions.insert(slot, subscription);
        Ok(())
    }

    async fn route(
        &self,
        filter: &str,
        qos: QoS,
        slot: u32,
    ) -> Result<(Subscription, Option<HeldKey>), Refusal> {
        let topic = TopicString::parse(filter)?;
        let gateway = &self.context.gateway;
        let principal = gateway.principal(self.principal.as_ref(), &topic.options).await?;
        let key = match topic.options.access_token {
            Some(_) => Some(gateway.hold_key(&principal, &self.wake)?),
            None => None,
        };
        let earlier = self.subscriptions.get(&slot).map(|earlier| &earlier.watch);
        let delivery = match qos {
            QoS::AtMostOnce => DeliveryQos::AtMostOnce,
            QoS::AtLeastOnce | QoS::ExactlyOnce => DeliveryQos::AtLeastOnce,
        };
        let watch =
            gateway.subscribe(&principal, &topic, self.deliveries.outbox(), slot, delivery, earlier).await?;
        let filter = filter.into();
        Ok((Subscription { filter, topic, qos, principal, watch, state_due: false }, key))
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>, out: &mut Vec<u8>) {
        for filter in unsubscribe.filters() {
            self.end_subscription(filter);
        }
        encode_unsuback(unsubscribe.packet_id, out);
    }

    fn end_subscription(&mut self, filter: &str) {
        let Some(slot) = self.slots.remove(filter) else { return };
        self.keys.remove(&slot);
        if self.subscriptions.remove(&slot).is_some_and(|subscription| subscription.state_due) {
            self.states_due.retain(|(_, due)| *due != slot);
        }
    }

    /// Reads the next initial state, if its time has come.
    pub(super) async fn read_state(&mut self, now: Instant) {
        if let Some((due, slot)) = self.states_due.front().copied()
            && due <= now
            && !self.deliveries.holds_state()
        {
            self.states_due.pop_front();
            let Some(subscription) = self.subscriptions.get_mut(&slot) else { return };
            subscription.state_due = false;
            let state =
                self.context.gateway.initial_state(&subscription.principal, &subscription.topic).await;
            match state {
                Ok(Some(body)) => self.deliveries.state(Delivery { slot, seq: 0, body }),
                Ok(None) => {}
                Err(refusal) => {
                    self.log_refusal("an initial state was refused", refusal.reason(), &refusal);
                }
            }
        }
        if self.states_due.is_empty() {
            self.states_due = Default::default();
        }
    }

    /// Encodes waiting notifications into `out` until it holds `bytes_max`.
    pub(super) fn deliver(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), End> {
        let subscriptions = &self.subscriptions;
        let address = |slot| {
            subscriptions
                .get(&slot)
                .map(|subscription| Addressed { filter: &subscription.filter, qos: subscription.qos })
        };
        match self.deliveries.encode(out, bytes_max, address) {
            Ok(0) => Ok(()),
            Ok(count) => {
                self.context.metrics.deliveries.with_label_values(&[self.protocol]).inc_by(count);
                Ok(())
            }
            Err(Overflowed) => Err(End::Slow),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.deliveries.outbox().close();
    }
}

/// CONNACK with this code.
pub(super) fn connack(code: ConnectCode, out: &mut Vec<u8>) {
    ConnAck { session_present: false, code }.encode(out).expect("a CONNACK has four bytes");
}

/// One and a half times the keep alive [MQTT-3.1.2-24], of at most the seconds that the product honours; `None` where
/// the client asked for none.
pub(super) fn patience(keep_alive_s: u16) -> Option<Duration> {
    let honoured = keep_alive_s.min(crate::defaults::KEEP_ALIVE_S_MAX);
    (honoured > 0).then(|| Duration::from_millis(u64::from(honoured) * 1_500))
}
