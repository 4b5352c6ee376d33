//! Durable MQTT sessions: opened, subscribed, saved and ended. What may be subscribed to was decided before; a session
//! belongs to the key that opened it, whose hash is part of its name.

use thng_pubsub_protocol::id::Id;

use super::{Applied, Command, CommandError, CommandResult, Event, Garbage, Owner};
use thng_pubsub_store::{
    KeyHash, TimestampMs, WriteStore,
    session_queue::{OpenedSession, QueueLimits, SessionNumber, SessionProgress, StoredSubscription},
};

/// Sessions that are ended, and notifications that are dropped, by one [`ExpireSessions`].
pub(crate) const EXPIRED_AT_ONCE: usize = 20;

/// A subscription of a durable session, as it is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DurableSubscription {
    pub filter: Vec<u8>,
    /// The route of its topic, at QoS 1.
    pub route: Option<Vec<u8>>,
}

/// Opens the durable session of a client, or a new one.
#[derive(Debug)]
pub(crate) struct OpenSession {
    pub account: Id,
    pub key: KeyHash,
    pub client_id: Box<str>,
    pub limits: QueueLimits,
}

impl Command for OpenSession {
    type Output = OpenedSession;

    fn name(&self) -> &'static str {
        "open_session"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        Ok(opened(store.open_session(&self.key, &self.client_id, &self.limits)?))
    }
}

fn opened(output: OpenedSession) -> Applied<OpenedSession> {
    let (events, garbage) = match output {
        OpenedSession::StartedInstead { ended, .. } => {
            (vec![Event::SessionEvicted { number: ended }], Garbage::Sessions)
        }
        OpenedSession::Resumed(_)
        | OpenedSession::Started(_)
        | OpenedSession::TooMany
        | OpenedSession::InvalidKey => (Vec::new(), Garbage::None),
    };
    Applied { output, events, garbage }
}

/// Ends a durable session, if there is one.
#[derive(Debug)]
pub(crate) struct EndSession {
    pub account: Id,
    pub key: KeyHash,
    pub client_id: Box<str>,
}

impl Command for EndSession {
    type Output = ();

    fn name(&self) -> &'static str {
        "end_session"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        store.end_session(&self.key, &self.client_id)?;
        Ok(Applied::done(Garbage::Sessions))
    }
}

/// Ends some of the durable sessions whose clients disconnected before a time. The output is how much it ended.
#[derive(Debug)]
pub(crate) struct ExpireSessions {
    pub left_before_ms: TimestampMs,
}

impl Command for ExpireSessions {
    type Output = usize;

    fn name(&self) -> &'static str {
        "expire_sessions"
    }

    fn owner(&self) -> Owner {
        Owner::Server
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        let expired = store.expire_sessions(self.left_before_ms, EXPIRED_AT_ONCE)?;
        Ok(Applied { output: expired, events: Vec::new(), garbage: Garbage::Sessions })
    }
}

/// Stores subscriptions of a durable session. The output is the subscriptions as they were stored, in their order.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub account: Id,
    pub session: SessionNumber,
    pub subscriptions: Vec<DurableSubscription>,
    /// Refused if all sessions together had more subscriptions.
    pub most: usize,
}

impl Command for Subscribe {
    type Output = Vec<StoredSubscription>;

    fn name(&self) -> &'static str {
        "subscribe"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        let Self { session, subscriptions, most, .. } = self;
        if store.queue_stats().subscriptions + subscriptions.len() > *most {
            // One that is there and gets another quality of service adds none.
            let mut new = 0;
            for DurableSubscription { filter, .. } in subscriptions {
                new += usize::from(!store.has_subscription(*session, filter)?);
            }
            if new > 0 && store.queue_stats().subscriptions + new > *most {
                return Err(CommandError::TooManySubscriptions);
            }
        }
        let mut stored = Vec::with_capacity(subscriptions.len());
        for DurableSubscription { filter, route } in subscriptions {
            let subscription = store.put_subscription(*session, filter, route.as_deref())?;
            stored.push(subscription.ok_or(CommandError::NotFound)?);
        }
        Ok(Applied { output: stored, events: Vec::new(), garbage: Garbage::Rows })
    }
}

/// Ends subscriptions of a durable session, by their filters.
#[derive(Debug)]
pub(crate) struct Unsubscribe {
    pub account: Id,
    pub session: SessionNumber,
    pub filters: Vec<Vec<u8>>,
}

impl Command for Unsubscribe {
    type Output = ();

    fn name(&self) -> &'static str {
        "unsubscribe"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        for filter in &self.filters {
            store.remove_subscription(self.session, filter)?;
        }
        Ok(Applied::done(Garbage::Rows))
    }
}

/// Saves how far a durable session has come.
#[derive(Debug)]
pub(crate) struct SaveProgress {
    pub account: Id,
    pub progress: Box<SessionProgress>,
}

impl Command for SaveProgress {
    type Output = ();

    fn name(&self) -> &'static str {
        "save_progress"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        store.save_progress(&self.progress, now_ms)?;
        Ok(Applied::done(Garbage::Rows))
    }
}

/// Applies the command of a QoS 2 publish, unless a publish with this packet id did so before. Both are in the same
/// commit: a client that repeats its publish after a crash finds it applied or not, never twice. Of a publish of several
/// steps the last one is remembered; those before it add members, which changes nothing the second time.
#[derive(Debug)]
pub(crate) struct PublishOnce<C> {
    pub session: SessionNumber,
    pub packet_id: u16,
    pub command: C,
    /// Whether no other step of the publish follows.
    pub is_last: bool,
}

impl<C: Command<Output: Default>> Command for PublishOnce<C> {
    type Output = C::Output;

    fn name(&self) -> &'static str {
        self.command.name()
    }

    fn owner(&self) -> Owner {
        self.command.owner()
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { session, packet_id, command, is_last } = self;
        // The client has another connection by now, and repeats there what this one was not acknowledged.
        if !store.is_current(*session)? {
            return Err(CommandError::NotFound);
        }
        if store.is_received(*session, *packet_id)? {
            return Ok(Applied { output: Default::default(), events: Vec::new(), garbage: Garbage::None });
        }
        let applied = command.apply(store, now_ms)?;
        if *is_last {
            store.receive(*session, *packet_id)?;
        }
        Ok(applied)
    }
}

/// Frees the packet id of a QoS 2 publish, because the client knows that it was received.
#[derive(Debug)]
pub(crate) struct ReleaseQos2 {
    pub account: Id,
    pub session: SessionNumber,
    pub packet_id: u16,
}

impl Command for ReleaseQos2 {
    type Output = ();

    fn name(&self) -> &'static str {
        "release"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        if store.is_current(self.session)? {
            store.release(self.session, self.packet_id)?;
        }
        Ok(Applied::done(Garbage::None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_replaced_session_leaves_garbage() {
        let session = SessionNumber { number: 2, epoch: 1 };
        for (outcome, expected) in [
            (OpenedSession::StartedInstead { session, ended: 1 }, Garbage::Sessions),
            (OpenedSession::Started(session), Garbage::None),
            (OpenedSession::Resumed(session), Garbage::None),
            (OpenedSession::TooMany, Garbage::None),
            (OpenedSession::InvalidKey, Garbage::None),
        ] {
            assert_eq!(opened(outcome).garbage, expected, "{outcome:?}");
        }
    }
}
