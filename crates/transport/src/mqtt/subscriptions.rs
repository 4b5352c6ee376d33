//! The subscriptions of a session: asked for, granted or refused, remembered where the session is durable, and ended.
//!
//! The broker decides whether one may be made. [`outgoing`](super::outgoing) sends its messages and, while it is behind,
//! [`durable`](super::durable) does.

use std::sync::Arc;

use hashbrown::HashSet;
use thng_pubsub_protocol::{
    mqtt::{PacketId, QoS, SubAck, SubAckCode, Subscribe, Unsubscribe, encode_unsuback},
    rejection,
    topic::{TopicError, TopicString},
};
use tokio::time::Instant;

use super::{
    disconnect_reason::DisconnectReason,
    durable::Durable,
    session::{Session, insert_by_time},
};
use crate::{client_reports::Refused, logged_error::LoggedError};
use thng_pubsub_broker::{
    BrokerError, RequestContext, SubscriptionsBound,
    identity::{KeyLease, Principal},
    pubsub::{
        DeliveryQos, STORED_AT_ONCE, SessionNumber, StoredSession, StoredSubscription, SubscribeGrant,
        SubscriptionHandle, SubscriptionLease,
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
struct SubscriptionRequest {
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
enum SubscribeOrigin {
    /// In the SUBSCRIBE that is being handled, together with so many others that are granted and not made yet.
    Packet { others: usize },
    /// On an earlier connection of the durable session.
    Resume,
}

impl Session {
    /// Ends what depends on a key that was revoked: a subscription with a token of its own, or the whole session.
    pub(super) async fn check_keys(&mut self) -> Result<(), DisconnectReason> {
        if self.key.as_ref().is_some_and(KeyLease::is_revoked) {
            return Err(DisconnectReason::Revoked);
        }
        if self.durable.as_ref().is_some_and(|durable| durable.is_evicted()) {
            return Err(DisconnectReason::SessionEvicted);
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
                LoggedError::on_text(BrokerError::InvalidKey, None, filter.as_deref().unwrap_or_default());
            self.report_refusal(Refused::EndedSubscription, &rejected);
        }
        Ok(())
    }

    pub(super) async fn subscribe(&mut self, subscribe: &Subscribe<'_>, out: &mut Vec<u8>) {
        let mut codes = Vec::new();
        let mut requests = Vec::new();
        let mut pending = HashSet::new();
        for (filter, qos) in subscribe.filters() {
            if filter == rejection::TOPIC {
                // No resource: nothing of it reaches the bus or the store. It holds for this connection.
                self.sends_rejections = true;
                pending.clear();
                self.grant(std::mem::take(&mut requests), &mut codes).await;
                codes.push(SubAckCode::Granted(QoS::AtMostOnce).byte());
                continue;
            }
            // What a durable session is to remember is stored for many filters at once, but for each filter in its turn.
            if pending.contains(filter) {
                pending.clear();
                self.grant(std::mem::take(&mut requests), &mut codes).await;
            }
            // There may be ten thousand: other tasks have their turn in between.
            tokio::task::coop::consume_budget().await;
            match self
                .prepare(
                    filter,
                    qos.min(QoS::AtLeastOnce),
                    SubscribeOrigin::Packet { others: requests.len() },
                )
                .await
            {
                Ok(request) => {
                    codes.push(SubAckCode::Granted(request.qos).byte());
                    pending.insert(filter);
                    requests.push(request);
                }
                Err(rejected) => codes.push(self.refuse_subscription(&rejected).byte()),
            }
        }
        self.grant(requests, &mut codes).await;
        let answer = SubAck { packet_id: subscribe.packet_id, codes: &codes };
        answer.encode(out).expect("a SUBACK is shorter than its SUBSCRIBE");
    }

    fn refuse_subscription(&self, rejected: &LoggedError) -> SubAckCode {
        self.report_refusal(Refused::Subscription, rejected);
        SubAckCode::Refused
    }

    /// Looks whether a subscription may be made.
    async fn prepare(
        &self,
        filter: &str,
        qos: QoS,
        origin: SubscribeOrigin,
    ) -> Result<SubscriptionRequest, LoggedError> {
        let mut principal = self.principal.clone();
        let request = self.examine(filter, qos, origin, &mut principal).await;
        request.map_err(|refusal| LoggedError::on_text(refusal, principal.as_deref(), filter))
    }

    /// `whose` receives the principal whose rights count.
    async fn examine(
        &self,
        filter: &str,
        qos: QoS,
        origin: SubscribeOrigin,
        whose: &mut Option<Arc<Principal>>,
    ) -> Result<SubscriptionRequest, BrokerError> {
        let slot = self.slots.get(filter).copied();
        let others = if let SubscribeOrigin::Packet { others } = origin { others } else { 0 };
        if slot.is_none() && self.subscriptions.len() + others >= self.context.limits.subscriptions_max {
            return Err(BrokerError::TooManySubscriptions(SubscriptionsBound::Session));
        }
        // Also within a level, or in an option, where they would be ordinary characters elsewhere [MQTT-4.7.1-2]. Messages
        // of such a subscription could not be sent, since a topic name has neither [MQTT-3.3.2-2].
        if filter.contains(['+', '#']) {
            return Err(TopicError::Wildcard.into());
        }
        let topic = TopicString::parse(filter)?;
        let (pubsub, identity) = (&self.context.pubsub, &self.context.identity);
        let token = topic.options.access_token.as_ref();
        let principal = self.context.principal(self.address, self.principal.as_ref(), token).await?;
        *whose = Some(Arc::clone(&principal));
        let key = match topic.options.access_token {
            Some(_) => Some(identity.lease_key(&principal, &self.wake)?),
            None => None,
        };
        let subscribe = RequestContext::subscribe(&principal, topic);
        let granted = pubsub.grant(&subscribe)?;
        let lease = match origin {
            SubscribeOrigin::Packet { .. } if slot.is_none() => {
                // A durable session's subscriptions count for its own key, whichever key a topic names.
                let payer = self.principal.as_ref().filter(|_| self.durable.is_some()).unwrap_or(&principal);
                Some(pubsub.lease_subscription(payer, filter.len())?)
            }
            SubscribeOrigin::Packet { .. } | SubscribeOrigin::Resume => None,
        };
        let topic = subscribe.into_topic();
        Ok(SubscriptionRequest { filter: filter.into(), topic, qos, principal, key, granted, lease })
    }

    /// Makes subscriptions, whose codes are the last ones that were granted.
    async fn grant(&mut self, requests: Vec<SubscriptionRequest>, codes: &mut [u8]) {
        let granted = codes.iter_mut().rev().filter(|code| **code != SubAckCode::Refused.byte());
        let mut codes: Vec<&mut u8> = granted.take(requests.len()).collect();
        codes.reverse();
        // Subscriptions that are new are made or undone together. Undoing one that replaces another would end both, so these
        // are stored in parts, each of them by one command.
        let (mut replacing, mut new) = (Vec::new(), Vec::new());
        for (request, code) in requests.into_iter().zip(codes) {
            match self.replaces(&request) {
                true => replacing.push((request, code)),
                false => new.push((request, code)),
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
    fn replaces(&self, request: &SubscriptionRequest) -> bool {
        self.durable.is_some()
            && self.slots.contains_key(&request.filter)
            && self.slot_at(&request.filter, request.qos).is_none()
    }

    /// Makes all of these subscriptions, or none of them.
    async fn grant_together(&mut self, requests: Vec<(SubscriptionRequest, &mut u8)>) {
        let (requests, codes): (Vec<SubscriptionRequest>, Vec<&mut u8>) = requests.into_iter().unzip();
        let stored = match self.store_subscriptions(&requests).await {
            Ok(stored) => stored,
            Err(refusal) => {
                for (code, request) in codes.into_iter().zip(&requests) {
                    let rejected =
                        LoggedError::on_text(refusal.clone(), Some(&request.principal), &request.filter);
                    *code = self.refuse_subscription(&rejected).byte();
                }
                return;
            }
        };
        for (request, stored) in requests.into_iter().zip(stored) {
            let asks_for_state = request.topic.options.initial_state;
            let slot = self.put_subscription(request, stored.as_ref());
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
        requests: &[SubscriptionRequest],
    ) -> Result<Vec<Option<StoredSubscription>>, BrokerError> {
        let Some(durable) = &self.durable else { return Ok(requests.iter().map(|_| None).collect()) };
        let is_new = |request: &SubscriptionRequest| self.slot_at(&request.filter, request.qos).is_none();
        let new: Vec<(&str, Option<&SubscribeGrant>)> = requests
            .iter()
            .filter(|request| is_new(request))
            .map(|request| (&*request.filter, (request.qos != QoS::AtMostOnce).then_some(&request.granted)))
            .collect();
        if new.is_empty() {
            return Ok(requests.iter().map(|_| None).collect());
        }
        let stored =
            self.context.pubsub.store_subscriptions(durable.account(), durable.number(), &new).await?;
        let mut stored = stored.into_iter();
        Ok(requests.iter().map(|request| if is_new(request) { stored.next() } else { None }).collect())
    }

    /// The slot of a subscription that is there at this quality of service.
    fn slot_at(&self, filter: &str, qos: QoS) -> Option<u32> {
        let slot = *self.slots.get(filter)?;
        self.subscriptions.get(&slot).filter(|known| known.qos == qos).map(|_| slot)
    }

    /// Puts a subscription into its slot, which it returns.
    fn put_subscription(&mut self, request: SubscriptionRequest, stored: Option<&StoredSubscription>) -> u32 {
        let SubscriptionRequest { filter, topic, qos, principal, key, granted, lease } = request;
        // A repeated filter keeps its slot: the new route is there before the old one goes, nothing falls between. In a
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
        let queue = stored.and_then(|stored| stored.queue.map(|queue| (stored.number, queue)));
        let handle = match (&mut self.durable, queue) {
            (Some(durable), Some((number, queue))) => {
                durable.add(slot, number, queue, granted, &mut self.outbound);
                None
            }
            // Repeated: it goes on as it is.
            (Some(_), None) if qos != QoS::AtMostOnce => None,
            _ => {
                let pubsub = &self.context.pubsub;
                let mut earlier = earlier.as_mut().and_then(|earlier| earlier.handle.as_mut());
                let after = pubsub.begin(earlier.as_deref());
                // The store counts the subscriptions of a durable session.
                let lease = lease.filter(|_| self.durable.is_none());
                let lease = lease.or_else(|| earlier.as_mut().and_then(|earlier| earlier.take_lease()));
                let qos = match qos {
                    QoS::AtMostOnce => DeliveryQos::AtMostOnce,
                    QoS::AtLeastOnce | QoS::ExactlyOnce => DeliveryQos::AtLeastOnce,
                };
                Some(pubsub.attach(&granted, self.outbound.outbound_queue(), slot, qos, (after, None), lease))
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
    ) -> Result<(), BrokerError> {
        let principal = self.principal.as_ref().ok_or(BrokerError::NoKey)?;
        let account = principal.account;
        let lease = self.context.pubsub.lease_session(principal, client_id, number, &self.wake)?;
        self.durable = Some(Box::new(Durable::new(account, number, lease)));
        let Some(StoredSession { subscriptions, in_flight, received }) = stored else { return Ok(()) };
        self.received = received.into_iter().filter_map(PacketId::new).collect();
        let mut gone = Vec::new();
        for stored in subscriptions {
            let Some(filter) = self.context.pubsub.stored_filter(&stored) else { continue };
            let qos = if stored.queue.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            // There may be ten thousand: other tasks have their turn in between.
            tokio::task::coop::consume_budget().await;
            match self.prepare(&filter, qos, SubscribeOrigin::Resume).await {
                Ok(request) => {
                    let asks_for_state = request.topic.options.initial_state;
                    let slot = self.put_subscription(request, Some(&stored));
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
            self.context.pubsub.remove_subscriptions(account, number, filters).await?;
        }
        if let Some(durable) = &mut self.durable {
            durable.send_again(&in_flight, &mut self.outbound);
        }
        Ok(())
    }

    pub(super) async fn unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DisconnectReason> {
        if unsubscribe.filters().any(|filter| filter == rejection::TOPIC) {
            self.sends_rejections = false;
        }
        self.end_subscriptions(unsubscribe.filters()).await?;
        encode_unsuback(unsubscribe.packet_id, out);
        Ok(())
    }

    async fn end_subscriptions<'f>(
        &mut self,
        filters: impl Iterator<Item = &'f str>,
    ) -> Result<(), DisconnectReason> {
        let filters = filters.filter(|filter| self.slots.contains_key(*filter)).collect::<Vec<_>>();
        if let Some(durable) = self.durable.as_ref().filter(|_| !filters.is_empty()) {
            let (account, number) = (durable.account(), durable.number());
            let filters = filters.iter().copied();
            let removed = self.context.pubsub.remove_subscriptions(account, number, filters).await;
            // It must not come back with the session.
            removed.map_err(|_| DisconnectReason::Unavailable)?;
        }
        filters.into_iter().for_each(|filter| self.drop_subscription(filter));
        Ok(())
    }

    fn drop_subscription(&mut self, filter: &str) {
        let Some(slot) = self.slots.remove(filter) else { return };
        self.keys.remove(&slot);
        if let Some(durable) = &mut self.durable {
            durable.remove(slot);
            self.outbound.forget(slot);
        }
        if self.subscriptions.remove(&slot).is_some_and(|subscription| subscription.state_due) {
            self.states_due.retain(|(_, due)| *due != slot);
        }
    }
}
