//! Durable MQTT sessions: opened, subscribed, saved and ended. What may be subscribed to was decided before; a session
//! belongs to the key that opened it, whose hash is part of its name.

use super::{AppliedCommand, Command, CommandError, Event, Outcome};
use thng_pubsub_store::{
    KeyHash, TimestampMs, WriteStore,
    session_queue::{OpenedSession, QueueLimits, SessionNumber, SessionProgress},
};

/// Sessions that are ended, and notifications that are dropped, by one [`Command::ExpireSessions`].
pub(crate) const EXPIRED_AT_ONCE: usize = 20;

/// A subscription of a durable session, as it is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DurableSubscription {
    pub filter: Vec<u8>,
    /// The route of its topic, at QoS 1.
    pub route: Option<Vec<u8>>,
}

fn done(outcome: Outcome) -> AppliedCommand {
    AppliedCommand { outcome, events: Vec::new() }
}

pub(super) fn open(
    store: &mut dyn WriteStore,
    key: &KeyHash,
    client_id: &str,
    limits: &QueueLimits,
) -> Result<AppliedCommand, CommandError> {
    let opened = store.open_session(key, client_id, limits)?;
    let events = match opened {
        OpenedSession::StartedInstead { ended, .. } => vec![Event::SessionEvicted { number: ended }],
        OpenedSession::Resumed(_)
        | OpenedSession::Started(_)
        | OpenedSession::TooMany
        | OpenedSession::InvalidKey => Vec::new(),
    };
    Ok(AppliedCommand { outcome: Outcome::Session(opened), events })
}

pub(super) fn end(
    store: &mut dyn WriteStore,
    key: &KeyHash,
    client_id: &str,
) -> Result<AppliedCommand, CommandError> {
    store.end_session(key, client_id)?;
    Ok(AppliedCommand::done())
}

pub(super) fn expire(
    store: &mut dyn WriteStore,
    left_before_ms: TimestampMs,
) -> Result<AppliedCommand, CommandError> {
    let expired = store.expire_sessions(left_before_ms, EXPIRED_AT_ONCE)?;
    Ok(done(Outcome::Count(expired)))
}

pub(super) fn subscribe(
    store: &mut dyn WriteStore,
    session: SessionNumber,
    subscriptions: &[DurableSubscription],
    most: usize,
) -> Result<AppliedCommand, CommandError> {
    if store.queue_stats().subscriptions + subscriptions.len() > most {
        // One that is there and gets another quality of service adds none.
        let mut new = 0;
        for DurableSubscription { filter, .. } in subscriptions {
            new += usize::from(!store.has_subscription(session, filter)?);
        }
        if new > 0 && store.queue_stats().subscriptions + new > most {
            return Err(CommandError::TooManySubscriptions);
        }
    }
    let mut stored = Vec::with_capacity(subscriptions.len());
    for DurableSubscription { filter, route } in subscriptions {
        let subscription = store.put_subscription(session, filter, route.as_deref())?;
        stored.push(subscription.ok_or(CommandError::NotFound)?);
    }
    Ok(done(Outcome::Subscriptions(stored)))
}

pub(super) fn unsubscribe(
    store: &mut dyn WriteStore,
    session: SessionNumber,
    filters: &[Vec<u8>],
) -> Result<AppliedCommand, CommandError> {
    for filter in filters {
        store.remove_subscription(session, filter)?;
    }
    Ok(AppliedCommand::done())
}

pub(super) fn save(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    progress: &SessionProgress,
) -> Result<AppliedCommand, CommandError> {
    store.save_progress(progress, now_ms)?;
    Ok(AppliedCommand::done())
}

/// Applies a command, unless a QoS 2 publish with this packet id did so before. Both are in the same commit: a client
/// that repeats its publish after a crash finds it applied or not, never twice. Of a publish of several steps the last one
/// is remembered; those before it add members, which changes nothing the second time.
pub(super) fn once(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    (session, packet_id): (SessionNumber, u16),
    command: &Command,
    is_last: bool,
) -> Result<AppliedCommand, CommandError> {
    // The client has another connection by now, and repeats there what this one was not acknowledged.
    if !store.is_current(session)? {
        return Err(CommandError::NotFound);
    }
    if store.is_received(session, packet_id)? {
        return Ok(match is_last {
            true => AppliedCommand::done(),
            false => AppliedCommand { outcome: Outcome::Count(0), events: Vec::new() },
        });
    }
    let applied = command.apply(store, now_ms)?;
    if is_last {
        store.receive(session, packet_id)?;
    }
    Ok(applied)
}

pub(super) fn release(
    store: &mut dyn WriteStore,
    session: SessionNumber,
    packet_id: u16,
) -> Result<AppliedCommand, CommandError> {
    if store.is_current(session)? {
        store.release(session, packet_id)?;
    }
    Ok(AppliedCommand::done())
}

#[cfg(test)]
mod tests {
    use thng_pubsub_protocol::id::Id;

    use super::*;

    #[test]
    fn a_replaced_session_needs_gc() {
        let limits = QueueLimits {
            sessions: 1,
            sessions_per_key: 1,
            subscriptions: 1,
            messages_per_topic: 1,
            bytes: 1,
        };
        let account = Id::parse(&"a".repeat(24)).expect("an id");
        let open = Command::OpenSession { account, key: KeyHash([1; 32]), client_id: "c".into(), limits };
        let session = SessionNumber { number: 2, epoch: 1 };
        for (opened, expected) in [
            (OpenedSession::StartedInstead { session, ended: 1 }, true),
            (OpenedSession::Started(session), false),
            (OpenedSession::Resumed(session), false),
            (OpenedSession::TooMany, false),
            (OpenedSession::InvalidKey, false),
        ] {
            assert_eq!(open.needs_gc(&Outcome::Session(opened)), expected, "{opened:?}");
        }
    }
}
