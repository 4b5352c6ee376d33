//! What each packet means: one client's subscriptions, publishes and acknowledgements.
//!
//! Packets come in through [`Session::handle`], bytes go out into a buffer; the connection decides when to read and
//! when to write. Rights are the gateway's to decide, and order and durability of publishes [`incoming`](super::incoming)'s.

use std::{sync::Arc, time::Duration};

use hashbrown::HashMap;
use thng_pubsub_protocol::{
    mqtt::{
        ConnAck, ConnectCode, Packet, PacketId, Publish, QoS, SubAck, SubAckCode, Subscribe, Unsubscribe,
        encode_pingresp, encode_puback, encode_pubcomp, encode_pubrec, encode_unsuback,
    },
    topic::{TopicError, TopicString},
};
use tokio::{sync::Notify, time::Instant};

use super::{
    durable::Durable,
    incoming::{Answer, Answers, Incoming, Owed},
    outgoing::{Addressed, Deliveries, Overflowed},
    received::ReceivedIds,
};
use crate::{
    config::RefusedPublish,
    edge::{Context, rejected::Rejected},
    gateway::{
        Delivery, DeliveryQos, Granted, HeldKey, Outbox, Outcome, Principal, Refusal, SessionNumber,
        StoredSession, StoredSubscription, Watch,
    },
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
    #[error("the server cannot store or read what belongs to its session right now")]
    Unavailable,
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
            Self::Unavailable => "unavailable",
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
    /// `None` for one at QoS 1 of a durable session, which has its own.
    watch: Option<Watch>,
    /// Its initial state was asked for and not read yet.
    state_due: bool,
}

/// A subscription that may be made.
struct Wanted {
    filter: Arc<str>,
    topic: TopicString,
    qos: QoS,
    principal: Arc<Principal>,
    /// Of its own `access_token`.
    key: Option<HeldKey>,
    granted: Granted,
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
    /// QoS 2 publishes whose ids are not published again.
    received: ReceivedIds,
    deliveries: Deliveries,
    /// `None` for a client that wants a clean session.
    durable: Option<Box<Durable>>,
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
            received: ReceivedIds::default(),
            deliveries: Deliveries::new(outbox, context.limits.deliveries_in_flight_max),
            durable: None,
            subscriptions: HashMap::new(),
            slots: HashMap::new(),
            next_slot: 0,
            states_due: Default::default(),
            is_ending: false,
            context,
        }
    }

    /// Ends what stands on a key that was taken away: a subscription with a token of its own, or all of it.
    pub(super) async fn check_keys(&mut self) -> Result<(), End> {
        if self.key.as_ref().is_some_and(HeldKey::is_revoked) {
            return Err(End::Revoked);
        }
        let gone: Vec<u32> =
            self.keys.iter().filter(|(_, key)| key.is_revoked()).map(|(slot, _)| *slot).collect();
        for slot in gone {
            let filter = self.subscriptions.get(&slot).map(|ended| Arc::clone(&ended.filter));
            if let Some(filter) = &filter {
                Box::pin(self.end_subscriptions([&**filter].into_iter())).await?;
            }
            self.context.metrics.subscriptions_revoked.with_label_values(&[self.protocol]).inc();
            let rejected =
                Rejected::on_text(Refusal::UnknownKey, None, filter.as_deref().unwrap_or_default());
            self.log_refusal("a subscription was ended: its access_token was taken away", &rejected);
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
        let state = self.states_due.front().filter(|_| !self.deliveries.holds_state()).map(|(due, _)| *due);
        let save = self.durable.as_ref().and_then(|durable| durable.save_due());
        [state, save].into_iter().flatten().min()
    }

    /// Does what the clock asks for.
    pub(super) async fn due(&mut self, now: Instant) {
        if let Some(durable) = &mut self.durable
            && durable.save_due().is_some_and(|due| due <= now)
            && let Some(progress) = durable.progress(&self.deliveries, false)
        {
            // The server is stopping: it is saved when the connection ends.
            let _ = self.context.gateway.save_progress_later(progress).await;
        }
        self.read_state(now).await;
    }

    /// Does what a packet asks for; what is to be said to the client at once is appended to `out`.
    pub(super) async fn handle(&mut self, packet: Packet<'_>, out: &mut Vec<u8>) -> Result<(), End> {
        match packet {
            // Boxed, as in `connection.rs`.
            Packet::Publish(publish) => Box::pin(self.publish(&publish, out)).await,
            Packet::Subscribe(subscribe) => {
                Box::pin(self.subscribe(&subscribe, out)).await;
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => Box::pin(self.unsubscribe(&unsubscribe, out)).await,
            Packet::PubAck(id) => {
                self.deliveries.acknowledged(id);
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
            if self.received.contains(id) {
                encode_pubrec(id, out);
                return Ok(());
            }
            if self.incoming.awaits_pubrec(id) {
                return Ok(());
            }
        }
        match self.submit(publish, owed).await {
            Ok(()) => self.incoming.submitted(owed),
            Err(rejected) => {
                self.is_ending = owed != Owed::Nothing && !self.is_forgettable(&rejected.refusal);
                self.incoming.answered(owed, Err(rejected));
            }
        }
        Ok(())
    }

    async fn submit(&self, publish: &Publish<'_>, owed: Owed) -> Answer {
        let gateway = &self.context.gateway;
        let mut principal = self.principal.clone();
        let submitted = async {
            let topic = TopicString::parse(publish.topic)?;
            let user = gateway.principal(self.principal.as_ref(), &topic.options).await?;
            let user = principal.insert(user);
            let (answers, about) = (Arc::clone(&self.answers), (user.actor.id(), topic.topic.clone()));
            let when_stored = Box::new(move |outcome: Result<Outcome, Refusal>| {
                let rejected = |refusal| Box::new(Rejected::on_topic(refusal, about.0, &about.1));
                answers.put(outcome.map(drop).map_err(rejected));
            });
            match (owed, &self.durable) {
                (Owed::PubRec(id), Some(durable)) => {
                    let once = (durable.number(), id.get());
                    gateway.publish_once(user, &topic, publish.payload, once, when_stored).await
                }
                _ => gateway.publish(user, &topic, publish.payload, when_stored).await,
            }
        };
        let submitted: Result<(), Refusal> = submitted.await;
        submitted.map_err(|refusal| Box::new(Rejected::on_text(refusal, principal.as_deref(), publish.topic)))
    }

    /// The client knows that its QoS 2 publish was received. What a durable session remembers of it has to be gone before
    /// the packet id is free again, or the next publish under it would pass for a repetition.
    async fn release(&mut self, id: PacketId, out: &mut Vec<u8>) {
        let Some(durable) = self.durable.as_ref().filter(|_| self.received.contains(id)) else {
            self.received.remove(id);
            return encode_pubcomp(id, out);
        };
        let answers = Arc::clone(&self.answers);
        let rejected = |refusal| Box::new(Rejected::new(refusal, None));
        let when_stored = Box::new(move |outcome: Result<Outcome, Refusal>| {
            answers.put(outcome.map(drop).map_err(rejected));
        });
        match self.context.gateway.release(durable.number(), id.get(), when_stored).await {
            Ok(()) => self.incoming.submitted(Owed::PubComp(id)),
            Err(refusal) => self.incoming.answered(Owed::PubComp(id), Err(rejected(refusal))),
        }
    }

    /// Acknowledges what has been stored since, in order.
    pub(super) fn settle(&mut self, out: &mut Vec<u8>) -> Result<(), End> {
        let mut stored = 0;
        let mut outcome = Ok(());
        while let Some((owed, answer)) = self.incoming.next_answered() {
            stored += u64::from(answer.is_ok() && !matches!(owed, Owed::PubComp(_)));
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

    fn acknowledge(&mut self, owed: Owed, answer: Answer, out: &mut Vec<u8>) -> Result<(), End> {
        if let (Owed::PubComp(id), Ok(())) = (owed, &answer) {
            self.received.remove(id);
        }
        if let Err(rejected) = answer {
            let reason = rejected.refusal.reason();
            self.context.metrics.publishes_refused.with_label_values(&[self.protocol, reason]).inc();
            self.log_refusal("a publish was refused", &rejected);
            if owed != Owed::Nothing && !self.is_forgettable(&rejected.refusal) {
                return Err(End::RefusedPublish(rejected.refusal));
            }
        }
        match owed {
            Owed::Nothing => {}
            Owed::PubAck(id) => encode_puback(id, out),
            Owed::PubRec(id) => {
                self.received.insert(id);
                encode_pubrec(id, out);
            }
            Owed::PubComp(id) => encode_pubcomp(id, out),
        }
        Ok(())
    }

    fn log_refusal(&self, what: &'static str, rejected: &Rejected) {
        self.context.log_refusal(self.protocol, what, rejected);
    }

    /// Whether a refused publish is acknowledged all the same. What could not be stored now may be stored later, so
    /// that never is.
    fn is_forgettable(&self, refusal: &Refusal) -> bool {
        *refusal != Refusal::Unavailable && self.context.limits.refused_publish == RefusedPublish::Ack
    }

    async fn subscribe(&mut self, subscribe: &Subscribe<'_>, out: &mut Vec<u8>) {
        let mut codes = Vec::new();
        let mut asked = Vec::new();
        for (filter, qos) in subscribe.filters() {
            // What a durable session is to remember is stored for many filters at once, but for each filter in its turn.
            if asked.iter().any(|wanted: &Wanted| &*wanted.filter == filter) {
                self.grant(std::mem::take(&mut asked), &mut codes).await;
            }
            match self.want(filter, qos.min(QoS::AtLeastOnce), asked.len()).await {
                Ok(wanted) => {
                    codes.push(SubAckCode::Granted(wanted.qos).byte());
                    asked.push(wanted);
                }
                Err(rejected) => codes.push(self.refuse_subscription(&rejected).byte()),
            }
        }
        self.grant(asked, &mut codes).await;
        let answer = SubAck { packet_id: subscribe.packet_id, codes: &codes };
        answer.encode(out).expect("a SUBACK is shorter than its SUBSCRIBE");
    }

    fn refuse_subscription(&self, rejected: &Rejected) -> SubAckCode {
        let reason = rejected.refusal.reason();
        self.context.metrics.subscriptions_refused.with_label_values(&[self.protocol, reason]).inc();
        self.log_refusal("a subscription was refused", rejected);
        SubAckCode::Refused
    }

    /// Looks whether a subscription may be made; `others` that may are made before it.
    async fn want(&self, filter: &str, qos: QoS, others: usize) -> Result<Wanted, Rejected> {
        let mut principal = self.principal.clone();
        let wanted = self.examine(filter, qos, others, &mut principal).await;
        wanted.map_err(|refusal| Rejected::on_text(refusal, principal.as_deref(), filter))
    }

    /// `whose` is told whose rights count.
    async fn examine(
        &self,
        filter: &str,
        qos: QoS,
        others: usize,
        whose: &mut Option<Arc<Principal>>,
    ) -> Result<Wanted, Refusal> {
        let slot = self.slots.get(filter).copied();
        if slot.is_none() && self.subscriptions.len() + others >= self.context.limits.subscriptions_max {
            return Err(Refusal::TooManySubscriptions);
        }
        // Also within a level, or in an option, where they would be ordinary characters elsewhere [MQTT-4.7.1-2]: what comes
        // on such a subscription could not be sent, since a topic name has neither [MQTT-3.3.2-2].
        if filter.contains(['+', '#']) {
            return Err(TopicError::Wildcard.into());
        }
        let topic = TopicString::parse(filter)?;
        let gateway = &self.context.gateway;
        let principal = gateway.principal(self.principal.as_ref(), &topic.options).await?;
        *whose = Some(Arc::clone(&principal));
        let key = match topic.options.access_token {
            Some(_) => Some(gateway.hold_key(&principal, &self.wake)?),
            None => None,
        };
        let granted = gateway.grant(&principal, &topic)?;
        Ok(Wanted { filter: filter.into(), topic, qos, principal, key, granted })
    }

    /// Makes subscriptions, whose codes are the last ones.
    async fn grant(&mut self, wanted: Vec<Wanted>, codes: &mut [u8]) {
        let stored = match self.store_subscriptions(&wanted).await {
            Ok(stored) => stored,
            Err(refusal) => {
                let granted = codes.iter_mut().rev().filter(|code| **code != SubAckCode::Refused.byte());
                for (code, wanted) in granted.zip(&wanted) {
                    let rejected =
                        Rejected::on_text(refusal.clone(), Some(&wanted.principal), &wanted.filter);
                    *code = self.refuse_subscription(&rejected).byte();
                }
                return;
            }
        };
        for (wanted, stored) in wanted.into_iter().zip(stored) {
            let asks_for_state = wanted.topic.options.initial_state;
            let slot = self.put_subscription(wanted, stored.as_ref());
            let Some(subscription) = self.subscriptions.get_mut(&slot) else { continue };
            if asks_for_state && !subscription.state_due {
                self.states_due.push_back((Instant::now() + self.context.limits.initial_state_delay, slot));
            }
            subscription.state_due = asks_for_state;
        }
    }

    /// Has a durable session remember what it does not know yet, or not at this quality of service.
    async fn store_subscriptions(
        &self,
        wanted: &[Wanted],
    ) -> Result<Vec<Option<StoredSubscription>>, Refusal> {
        let Some(durable) = &self.durable else { return Ok(wanted.iter().map(|_| None).collect()) };
        let is_new = |wanted: &Wanted| self.slot_at(&wanted.filter, wanted.qos).is_none();
        let new: Vec<(&str, Option<&Granted>)> = wanted
            .iter()
            .filter(|wanted| is_new(wanted))
            .map(|wanted| (&*wanted.filter, (wanted.qos != QoS::AtMostOnce).then_some(&wanted.granted)))
            .collect();
        if new.is_empty() {
            return Ok(wanted.iter().map(|_| None).collect());
        }
        let stored = self.context.gateway.store_subscriptions(durable.number(), &new).await?;
        let mut stored = stored.into_iter();
        Ok(wanted.iter().map(|wanted| if is_new(wanted) { stored.next() } else { None }).collect())
    }

    /// The slot of a subscription that is there at this quality of service.
    fn slot_at(&self, filter: &str, qos: QoS) -> Option<u32> {
        let slot = *self.slots.get(filter)?;
        self.subscriptions.get(&slot).filter(|known| known.qos == qos).map(|_| slot)
    }

    /// Puts a subscription in place; returns its slot.
    fn put_subscription(&mut self, wanted: Wanted, stored: Option<&StoredSubscription>) -> u32 {
        let Wanted { filter, topic, qos, principal, key, granted } = wanted;
        // A repeated filter keeps its slot: the new route is in place before the old one goes, nothing falls between. In a
        // durable session that holds at one quality of service; with another it is another subscription.
        let known = match self.durable {
            Some(_) => self.slot_at(&filter, qos),
            None => self.slots.get(&filter).copied(),
        };
        if known.is_none() {
            self.drop_subscription(&filter);
        }
        let slot = known.unwrap_or(self.next_slot);
        if known.is_none() {
            self.next_slot = self.next_slot.wrapping_add(1);
            self.slots.insert(Arc::clone(&filter), slot);
        }
        if let Some(key) = key {
            self.keys.insert(slot, key);
        }
        let earlier = self.subscriptions.remove(&slot);
        let state_due = earlier.as_ref().is_some_and(|earlier| earlier.state_due);
        let kept = stored.and_then(|stored| stored.kept.map(|kept| (stored.number, kept)));
        let watch = match (&mut self.durable, kept) {
            (Some(durable), Some((number, kept))) => {
                durable.add(slot, number, kept, granted, &mut self.deliveries);
                None
            }
            // Repeated: it goes on as it is.
            (Some(_), None) if qos != QoS::AtMostOnce => None,
            _ => {
                let gateway = &self.context.gateway;
                let earlier = earlier.as_ref().and_then(|earlier| earlier.watch.as_ref());
                let after = gateway.begin(earlier);
                let qos = match qos {
                    QoS::AtMostOnce => DeliveryQos::AtMostOnce,
                    QoS::AtLeastOnce | QoS::ExactlyOnce => DeliveryQos::AtLeastOnce,
                };
                Some(gateway.watch(&granted, self.deliveries.outbox(), slot, qos, after, None))
            }
        };
        drop(earlier);
        self.subscriptions.insert(slot, Subscription { filter, topic, qos, principal, watch, state_due });
        slot
    }

    /// Goes on with a durable session: what is held for it is sent, what its client may not see any more is ended.
    pub(super) async fn resume(
        &mut self,
        number: SessionNumber,
        stored: Option<StoredSession>,
    ) -> Result<(), Refusal> {
        self.durable = Some(Box::new(Durable::new(number)));
        let Some(StoredSession { subscriptions, in_flight, received }) = stored else { return Ok(()) };
        self.received = received.into_iter().filter_map(PacketId::new).collect();
        let mut gone = Vec::new();
        for stored in subscriptions {
            let Some(filter) = self.context.gateway.stored_filter(&stored) else { continue };
            let qos = if stored.kept.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            match self.want(&filter, qos, 0).await {
                Ok(wanted) => {
                    self.put_subscription(wanted, Some(&stored));
                }
                Err(Rejected { refusal: Refusal::Unavailable, .. }) => return Err(Refusal::Unavailable),
                Err(rejected) => {
                    self.refuse_subscription(&rejected);
                    gone.push(filter);
                }
            }
        }
        if !gone.is_empty() {
            let filters = gone.iter().map(String::as_str);
            self.context.gateway.remove_subscriptions(number, filters).await?;
        }
        if let Some(durable) = &mut self.durable {
            durable.send_again(&in_flight, &mut self.deliveries);
        }
        Ok(())
    }

    /// The connection has ended: what a durable session needs when its client comes back is saved.
    pub(super) async fn leave(&mut self) {
        let progress = self.durable.as_mut().and_then(|durable| durable.progress(&self.deliveries, true));
        if let Some(progress) = progress
            && let Err(refusal) = self.context.gateway.save_progress(progress).await
        {
            let rejected = Rejected::new(refusal, self.principal.as_deref());
            self.log_refusal("a session was not saved", &rejected);
        }
    }

    async fn unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>, out: &mut Vec<u8>) -> Result<(), End> {
        self.end_subscriptions(unsubscribe.filters()).await?;
        encode_unsuback(unsubscribe.packet_id, out);
        Ok(())
    }

    async fn end_subscriptions<'f>(
        &mut self,
        filters: impl Iterator<Item = &'f str> + Clone,
    ) -> Result<(), End> {
        if let Some(durable) = &self.durable {
            let removed = self.context.gateway.remove_subscriptions(durable.number(), filters.clone()).await;
            // It must not come back with the session.
            removed.map_err(|_| End::Unavailable)?;
        }
        filters.for_each(|filter| self.drop_subscription(filter));
        Ok(())
    }

    fn drop_subscription(&mut self, filter: &str) {
        let Some(slot) = self.slots.remove(filter) else { return };
        self.keys.remove(&slot);
        if let Some(durable) = &mut self.durable {
            durable.remove(slot);
            self.deliveries.forget(slot);
        }
        if self.subscriptions.remove(&slot).is_some_and(|subscription| subscription.state_due) {
            self.states_due.retain(|(_, due)| *due != slot);
        }
    }

    /// Reads the next initial state, if its time has come.
    async fn read_state(&mut self, now: Instant) {
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
                    let topic = &subscription.topic.topic;
                    let rejected = Rejected::on_topic(refusal, subscription.principal.actor.id(), topic);
                    self.log_refusal("an initial state was refused", &rejected);
                }
            }
        }
        if self.states_due.is_empty() {
            self.states_due = Default::default();
        }
    }

    /// Encodes waiting notifications into `out` until it holds `bytes_max`, and reads what a durable session has missed.
    pub(super) fn deliver(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), End> {
        self.encode(out, bytes_max)?;
        while out.len() < bytes_max && !self.deliveries.holds_kept() {
            let Some(durable) = self.durable.as_mut().filter(|durable| durable.is_behind()) else { break };
            durable.catch_up(&self.context.gateway, &mut self.deliveries).map_err(|_| End::Unavailable)?;
            self.encode(out, bytes_max)?;
        }
        Ok(())
    }

    fn encode(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), End> {
        let (subscriptions, durable) = (&self.subscriptions, &self.durable);
        let address = |slot| {
            let subscription = subscriptions.get(&slot)?;
            let (kept_up_to, is_behind) =
                durable.as_ref().map_or((0, false), |durable| durable.reading(slot));
            Some(Addressed { filter: &subscription.filter, qos: subscription.qos, kept_up_to, is_behind })
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
pub(super) fn connack(code: ConnectCode, session_present: bool, out: &mut Vec<u8>) {
    ConnAck { session_present, code }.encode(out).expect("a CONNACK has four bytes");
}

/// One and a half times the keep alive [MQTT-3.1.2-24], of at most the seconds that the product honours; `None` where
/// the client asked for none.
pub(super) fn patience(keep_alive_s: u16) -> Option<Duration> {
    let honoured = keep_alive_s.min(crate::defaults::KEEP_ALIVE_S_MAX);
    (honoured > 0).then(|| Duration::from_millis(u64::from(honoured) * 1_500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keep_alive_counts_one_and_a_half_times_up_to_120_seconds_and_zero_is_none() {
        for (asked_s, granted_ms) in [
            (0, None),
            (1, Some(1_500)),
            (3, Some(4_500)),
            (119, Some(178_500)),
            (120, Some(180_000)),
            (121, Some(180_000)),
            (u16::MAX, Some(180_000)),
        ] {
            assert_eq!(patience(asked_s), granted_ms.map(Duration::from_millis), "{asked_s} s");
        }
    }
}
