//! The subscriptions of a session: asked for, granted or refused, remembered where the session is durable, and ended.
//!
//! Whether one may be made is the gateway's to decide; what comes on it is [`outgoing`](super::outgoing)'s and, behind the
//! present, [`durable`](super::durable)'s.

use std::sync::Arc;

use hashbrown::HashSet;
use thng_pubsub_protocol::{
    mqtt::{PacketId, QoS, SubAck, SubAckCode, Subscribe, Unsubscribe, encode_unsuback},
    rejection,
    topic::{TopicError, TopicString},
};
use tokio::time::Instant;

use super::{
    durable::Durable,
    session::{End, Session, insert_by_time},
};
use crate::{
    edge::rejected::Rejected,
    gateway::{
        DeliveryQos, KeyLease, Principal, Refusal, STORED_AT_ONCE, SessionNumber, StoredSession,
        StoredSubscription, SubscribeGrant, SubscriptionHandle, SubscriptionLease, SubscriptionsBound,
    },
};

/// A subscription, by the exact string that the client sent.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filter: Arc<str>,
    pub(super) topic: TopicString,
    pub(super) qos: QoS,
    /// Whose rights it has: the connection's, or those of its own `access_token`.
    pub(super) principal: Arc<Principal>,
    /// `None` for one at QoS 1 of a durable session, which has its own.
    handle: Option<SubscriptionHandle>,
    /// Its initial state was asked for and not read yet.
    pub(super) state_due: bool,
    /// It is behind in its durable session: its initial state is due once it has caught up.
    state_when_current: bool,
}

/// A subscription that may be made.
struct Wanted {
    filter: Arc<str>,
    topic: TopicString,
    qos: QoS,
    principal: Arc<Principal>,
    /// Of its own `access_token`.
    key: Option<KeyLease>,
    granted: SubscribeGrant,
    /// The memory that it counts; `None` where it is counted already.
    lease: Option<SubscriptionLease>,
}

/// When a subscription was asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// In the SUBSCRIBE that is being handled, together with so many others that are granted and not made yet.
    Now { others: usize },
    /// On an earlier connection of the durable session.
    Before,
}

impl Session {
    /// Ends what stands on a key that was taken away: a subscription with a token of its own, or all of it.
    pub(super) async fn check_keys(&mut self) -> Result<(), End> {
        if self.key.as_ref().is_some_and(KeyLease::is_revoked) {
            return Err(End::Revoked);
        }
        if self.durable.as_ref().is_some_and(|durable| durable.is_evicted()) {
            return Err(End::SessionEvicted);
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

    pub(super) async fn subscribe(&mut self, subscribe: &Subscribe<'_>, out: &mut Vec<u8>) {
        let mut codes = Vec::new();
        let mut asked = Vec::new();
        let mut pending = HashSet::new();
        for (filter, qos) in subscribe.filters() {
            if filter == rejection::TOPIC {
                // No resource: nothing of it reaches the bus or the store. It holds for this connection.
                self.sends_rejections = true;
                pending.clear();
                self.grant(std::mem::take(&mut asked), &mut codes).await;
                codes.push(SubAckCode::Granted(QoS::AtMostOnce).byte());
                continue;
            }
            // What a durable session is to remember is stored for many filters at once, but for each filter in its turn.
            if pending.contains(filter) {
                pending.clear();
                self.grant(std::mem::take(&mut asked), &mut codes).await;
            }
            // There may be ten thousand: other tasks have their turn in between.
            tokio::task::coop::consume_budget().await;
            match self.want(filter, qos.min(QoS::AtLeastOnce), Asked::Now { others: asked.len() }).await {
                Ok(wanted) => {
                    codes.push(SubAckCode::Granted(wanted.qos).byte());
                    pending.insert(filter);
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

    /// Looks whether a subscription may be made.
    async fn want(&self, filter: &str, qos: QoS, asked: Asked) -> Result<Wanted, Rejected> {
        let mut principal = self.principal.clone();
        let wanted = self.examine(filter, qos, asked, &mut principal).await;
        wanted.map_err(|refusal| Rejected::on_text(refusal, principal.as_deref(), filter))
    }

    /// `whose` is told whose rights count.
    async fn examine(
        &self,
        filter: &str,
        qos: QoS,
        asked: Asked,
        whose: &mut Option<Arc<Principal>>,
    ) -> Result<Wanted, Refusal> {
        let slot = self.slots.get(filter).copied();
        let others = if let Asked::Now { others } = asked { others } else { 0 };
        if slot.is_none() && self.subscriptions.len() + others >= self.context.limits.subscriptions_max {
            return Err(Refusal::TooManySubscriptions(SubscriptionsBound::Session));
        }
        // Also within a level, or in an option, where they would be ordinary characters elsewhere [MQTT-4.7.1-2]: what comes
        // on such a subscription could not be sent, since a topic name has neither [MQTT-3.3.2-2].
        if filter.contains(['+', '#']) {
            return Err(TopicError::Wildcard.into());
        }
        let topic = TopicString::parse(filter)?;
        let gateway = &self.context.gateway;
        let principal = self.context.principal(self.address, self.principal.as_ref(), &topic.options).await?;
        *whose = Some(Arc::clone(&principal));
        let key = match topic.options.access_token {
            Some(_) => Some(gateway.lease_key(&principal, &self.wake)?),
            None => None,
        };
        let granted = gateway.grant(&principal, &topic)?;
        let lease = match asked {
            Asked::Now { .. } if slot.is_none() => {
                // A durable session's subscriptions count for its own key, whichever key a topic names.
                let payer = self.principal.as_ref().filter(|_| self.durable.is_some()).unwrap_or(&principal);
                Some(gateway.lease_subscription(payer, filter.len())?)
            }
            Asked::Now { .. } | Asked::Before => None,
        };
        Ok(Wanted { filter: filter.into(), topic, qos, principal, key, granted, lease })
    }

    /// Makes subscriptions, whose codes are the last ones that were granted.
    async fn grant(&mut self, wanted: Vec<Wanted>, codes: &mut [u8]) {
        let granted = codes.iter_mut().rev().filter(|code| **code != SubAckCode::Refused.byte());
        let mut codes: Vec<&mut u8> = granted.take(wanted.len()).collect();
        codes.reverse();
        // Subscriptions that are new are made or undone together. Undoing one in place of another would end both, so these
        // are stored in parts, each of them by one command.
        let (mut replacing, mut new) = (Vec::new(), Vec::new());
        for (wanted, code) in wanted.into_iter().zip(codes) {
            match self.replaces(&wanted) {
                true => replacing.push((wanted, code)),
                false => new.push((wanted, code)),
            }
        }
        self.grant_together(new).await;
        let mut replacing = replacing.into_iter();
        loop {
            let part: Vec<_> = replacing.by_ref().take(STORED_AT_ONCE).collect();
            if part.is_empty() {
                return;
            }
            self.grant_together(part).await;
        }
    }

    /// Whether a durable session has a subscription with this filter, at another quality of service.
    fn replaces(&self, wanted: &Wanted) -> bool {
        self.durable.is_some()
            && self.slots.contains_key(&wanted.filter)
            && self.slot_at(&wanted.filter, wanted.qos).is_none()
    }

    /// Makes all of these subscriptions, or none of them.
    async fn grant_together(&mut self, wanted: Vec<(Wanted, &mut u8)>) {
        let (wanted, codes): (Vec<Wanted>, Vec<&mut u8>) = wanted.into_iter().unzip();
        let stored = match self.store_subscriptions(&wanted).await {
            Ok(stored) => stored,
            Err(refusal) => {
                for (code, wanted) in codes.into_iter().zip(&wanted) {
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
            if asks_for_state {
                self.ask_for_state(slot);
            }
        }
    }

    /// Has the initial state of a subscription sent: in a durable session once it has caught up, since the state is newer
    /// than everything that was kept.
    fn ask_for_state(&mut self, slot: u32) {
        let is_behind = self.durable.as_ref().is_some_and(|durable| durable.has_unsent(slot));
        if let Some(subscription) = self.subscriptions.get_mut(&slot) {
            subscription.state_when_current = true;
        }
        if !is_behind {
            self.caught_up(slot);
        }
    }

    /// A subscription has caught up: its initial state is due, if it was asked for.
    pub(super) fn caught_up(&mut self, slot: u32) {
        let Some(subscription) = self.subscriptions.get_mut(&slot) else { return };
        if std::mem::take(&mut subscription.state_when_current) && !subscription.state_due {
            subscription.state_due = true;
            let due = Instant::now() + self.context.limits.initial_state_delay;
            insert_by_time(&mut self.states_due, due, slot);
        }
    }

    /// Has a durable session remember what it does not know yet, or not at this quality of service.
    async fn store_subscriptions(
        &self,
        wanted: &[Wanted],
    ) -> Result<Vec<Option<StoredSubscription>>, Refusal> {
        let Some(durable) = &self.durable else { return Ok(wanted.iter().map(|_| None).collect()) };
        let is_new = |wanted: &Wanted| self.slot_at(&wanted.filter, wanted.qos).is_none();
        let new: Vec<(&str, Option<&SubscribeGrant>)> = wanted
            .iter()
            .filter(|wanted| is_new(wanted))
            .map(|wanted| (&*wanted.filter, (wanted.qos != QoS::AtMostOnce).then_some(&wanted.granted)))
            .collect();
        if new.is_empty() {
            return Ok(wanted.iter().map(|_| None).collect());
        }
        let stored =
            self.context.gateway.store_subscriptions(durable.account(), durable.number(), &new).await?;
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
        let Wanted { filter, topic, qos, principal, key, granted, lease } = wanted;
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
        let mut earlier = self.subscriptions.remove(&slot);
        let state_due = earlier.as_ref().is_some_and(|earlier| earlier.state_due);
        let state_when_current = earlier.as_ref().is_some_and(|earlier| earlier.state_when_current);
        let kept = stored.and_then(|stored| stored.kept.map(|kept| (stored.number, kept)));
        let handle = match (&mut self.durable, kept) {
            (Some(durable), Some((number, kept))) => {
                durable.add(slot, number, kept, granted, &mut self.deliveries);
                None
            }
            // Repeated: it goes on as it is.
            (Some(_), None) if qos != QoS::AtMostOnce => None,
            _ => {
                let gateway = &self.context.gateway;
                let mut earlier = earlier.as_mut().and_then(|earlier| earlier.handle.as_mut());
                let after = gateway.begin(earlier.as_deref());
                // The store counts the subscriptions of a durable session.
                let lease = lease.filter(|_| self.durable.is_none());
                let lease = lease.or_else(|| earlier.as_mut().and_then(|earlier| earlier.take_lease()));
                let qos = match qos {
                    QoS::AtMostOnce => DeliveryQos::AtMostOnce,
                    QoS::AtLeastOnce | QoS::ExactlyOnce => DeliveryQos::AtLeastOnce,
                };
                Some(gateway.attach(&granted, self.deliveries.outbox(), slot, qos, (after, None), lease))
            }
        };
        drop(earlier);
        let subscription =
            Subscription { filter, topic, qos, principal, handle, state_due, state_when_current };
        self.subscriptions.insert(slot, subscription);
        slot
    }

    /// Goes on with a durable session: what is held for it is sent, what its client may not see any more is ended.
    pub(super) async fn resume(
        &mut self,
        number: SessionNumber,
        client_id: &str,
        stored: Option<StoredSession>,
    ) -> Result<(), Refusal> {
        let principal = self.principal.as_ref().ok_or(Refusal::NoKey)?;
        let account = principal.account;
        let lease = self.context.gateway.lease_session(principal, client_id, number, &self.wake)?;
        self.durable = Some(Box::new(Durable::new(account, number, lease)));
        let Some(StoredSession { subscriptions, in_flight, received }) = stored else { return Ok(()) };
        self.received = received.into_iter().filter_map(PacketId::new).collect();
        let mut gone = Vec::new();
        for stored in subscriptions {
            let Some(filter) = self.context.gateway.stored_filter(&stored) else { continue };
            let qos = if stored.kept.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            // There may be ten thousand: other tasks have their turn in between.
            tokio::task::coop::consume_budget().await;
            match self.want(&filter, qos, Asked::Before).await {
                Ok(wanted) => {
                    let asks_for_state = wanted.topic.options.initial_state;
                    let slot = self.put_subscription(wanted, Some(&stored));
                    if asks_for_state {
                        self.ask_for_state(slot);
                    }
                }
                // What passes must not cost the client its subscription: it comes back later.
                Err(rejected) if rejected.refusal.is_temporary() => return Err(rejected.refusal),
                Err(rejected) => {
                    self.refuse_subscription(&rejected);
                    gone.push(filter);
                }
            }
        }
        if !gone.is_empty() {
            let filters = gone.iter().map(String::as_str);
            self.context.gateway.remove_subscriptions(account, number, filters).await?;
        }
        if let Some(durable) = &mut self.durable {
            durable.send_again(&in_flight, &mut self.deliveries);
        }
        Ok(())
    }

    pub(super) async fn unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), End> {
        if unsubscribe.filters().any(|filter| filter == rejection::TOPIC) {
            self.sends_rejections = false;
        }
        self.end_subscriptions(unsubscribe.filters()).await?;
        encode_unsuback(unsubscribe.packet_id, out);
        Ok(())
    }

    async fn end_subscriptions<'f>(&mut self, filters: impl Iterator<Item = &'f str>) -> Result<(), End> {
        let filters = filters.filter(|filter| self.slots.contains_key(*filter)).collect::<Vec<_>>();
        if let Some(durable) = self.durable.as_ref().filter(|_| !filters.is_empty()) {
            let (account, number) = (durable.account(), durable.number());
            let filters = filters.iter().copied();
            let removed = self.context.gateway.remove_subscriptions(account, number, filters).await;
            // It must not come back with the session.
            removed.map_err(|_| End::Unavailable)?;
        }
        filters.into_iter().for_each(|filter| self.drop_subscription(filter));
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
}
