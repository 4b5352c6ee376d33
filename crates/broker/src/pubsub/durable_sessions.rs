//! Durable MQTT sessions: what a client comes back to, and the notifications that were kept for it meanwhile.
//!
//! A session belongs to the API key that opened it, under its client id. The visibility of its subscriptions is
//! computed at every CONNECT, like that of any other connection. The transport sends its messages
//! (`crates/transport/src/mqtt/durable.rs`), and the store keeps them (`crates/store/src/session_queue.rs`).

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use thng_pubsub_protocol::id::Id;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{OnStored, PubSub, SessionLease, SubscribeGrant};
use crate::{
    auth::Principal,
    clock::{EvenClock, Run},
    commands::{
        DurableSubscription, EXPIRED_AT_ONCE, EndSession, ExpireSessions, OpenSession, ReleaseQos2,
        SaveProgress, Subscribe, Unsubscribe,
    },
    error::{BrokerError, LogFailure as _},
};
use thng_pubsub_store::{
    Sequence, StoreError, TimestampMs, WriteStore,
    session_queue::{
        OpenedSession, QueuedMessages, SessionNumber, SessionProgress, StoredSession, StoredSubscription,
        TopicNumber,
    },
};

/// How often it is looked for sessions that have waited long enough.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// Subscriptions that one command stores, ends or saves the progress of; further ones follow in others, so that no writer waits for all.
pub const STORED_AT_ONCE: usize = 500;

/// Notifications that are read at a time.
const PAGE_MESSAGES: usize = 64;

/// Bytes of notifications that are read at a time; more only where one alone is larger.
const PAGE_BYTES: usize = 128 * 1024;

/// Queued notifications of one topic, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct QueuePage {
    /// Those that the subscriber sees.
    pub messages: Vec<(Sequence, Bytes)>,
    /// Up to here there is no other.
    pub up_to: Sequence,
    /// Whether it reaches to the last commit.
    pub is_last: bool,
}

/// Marks all sessions as disconnected, at the start of the server and before any client connects.
///
/// # Errors
/// [`StoreError`].
pub fn leave_all_sessions(store: &mut dyn WriteStore, now_ms: TimestampMs) -> Result<(), StoreError> {
    store.begin()?;
    store.leave_all_sessions(now_ms)?;
    store.commit()
}

impl PubSub {
    /// Opens the durable session of a key and client id. With what it holds, where there was one.
    ///
    /// # Errors
    /// [`BrokerError::TooManySessions`], [`BrokerError::InvalidKey`] where the key was revoked meanwhile, [`BrokerError::Unavailable`].
    pub async fn open_session(
        &self,
        principal: &Principal,
        client_id: &str,
    ) -> Result<(SessionNumber, Option<StoredSession>), BrokerError> {
        let Principal { account, key, .. } = *principal;
        let (client_id, limits) = (client_id.into(), self.shared.settings.session_queue);
        match self.shared.execute(OpenSession { account, key, client_id, limits }, 0).await? {
            OpenedSession::Started(session) | OpenedSession::StartedInstead { session, .. } => {
                Ok((session, None))
            }
            OpenedSession::Resumed(session) => {
                Ok((session, Some(self.shared.store.session(session).log_failure()?)))
            }
            OpenedSession::TooMany => Err(BrokerError::TooManySessions),
            OpenedSession::InvalidKey => Err(BrokerError::InvalidKey),
        }
    }

    /// Registers the connection of a session: `wake` is notified when the session is ended for one of another key.
    ///
    /// # Errors
    /// [`BrokerError::TooManySessions`] if it has ended already, [`BrokerError::Unavailable`].
    pub fn lease_session(
        &self,
        principal: &Principal,
        client_id: &str,
        session: SessionNumber,
        wake: &Arc<Notify>,
    ) -> Result<SessionLease, BrokerError> {
        let lease = self.session_leases.lease(session.number, Arc::clone(wake));
        // In this order, an end in between is noticed either here or by the connection.
        match self.shared.store.has_session(&principal.key, client_id).log_failure()? {
            true => Ok(lease),
            false => Err(BrokerError::TooManySessions),
        }
    }

    /// Ends the durable session of a key and client id, if there is one.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`].
    pub async fn end_session(&self, principal: &Principal, client_id: &str) -> Result<(), BrokerError> {
        if !self.shared.store.has_session(&principal.key, client_id).log_failure()? {
            return Ok(());
        }
        let Principal { account, key, .. } = *principal;
        let client_id = client_id.into();
        self.shared.execute(EndSession { account, key, client_id }, 0).await
    }

    /// Stores subscriptions: the strings that the client sent, and at QoS 1 what is granted. What is written after this
    /// returned, and some of what was written shortly before, is kept for the latter.
    ///
    /// All are stored or none. Of more than [`STORED_AT_ONCE`], the first may be stored and ended again: none of those may
    /// take the place of another one.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`] if the session has ended or was taken over, [`BrokerError::TooManySubscriptions`],
    /// [`BrokerError::Unavailable`].
    pub async fn store_subscriptions(
        &self,
        account: Id,
        session: SessionNumber,
        subscriptions: &[(&str, Option<&SubscribeGrant>)],
    ) -> Result<Vec<StoredSubscription>, BrokerError> {
        let stored = |(filter, granted): &(&str, Option<&SubscribeGrant>)| DurableSubscription {
            filter: self.shared.secret.encrypt_filter(filter),
            route: granted.map(|granted| granted.route().to_vec()),
        };
        let mut done = Vec::with_capacity(subscriptions.len());
        let mut left = subscriptions.len();
        for part in subscriptions.chunks(STORED_AT_ONCE) {
            left -= part.len();
            // All of them fit, or none is stored.
            let most = self.shared.settings.session_queue.subscriptions.saturating_sub(left);
            let bytes = part.iter().map(|(filter, _)| filter.len()).sum();
            let part = part.iter().map(stored).collect();
            let command = Subscribe { account, session, subscriptions: part, most };
            match self.shared.execute(command, bytes).await {
                Ok(stored) => done.extend(stored),
                Err(refusal) => {
                    let before = subscriptions[..done.len()].iter().map(|(filter, _)| *filter);
                    // The answer to the client says that it has none of them. Where this fails too, the session has ended.
                    let _ = self.remove_subscriptions(account, session, before).await;
                    return Err(refusal);
                }
            }
        }
        Ok(done)
    }

    /// The string that a client subscribed with. `None` where it cannot be read with this server's secret.
    pub fn stored_filter(&self, subscription: &StoredSubscription) -> Option<String> {
        self.shared.secret.decrypt_filter(&subscription.filter)
    }

    /// Ends stored subscriptions; those that are not there are passed over.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`].
    pub async fn remove_subscriptions<'f>(
        &self,
        account: Id,
        session: SessionNumber,
        filters: impl Iterator<Item = &'f str>,
    ) -> Result<(), BrokerError> {
        let filters: Vec<_> = filters.map(|filter| self.shared.secret.encrypt_filter(filter)).collect();
        for part in filters.chunks(STORED_AT_ONCE) {
            let (bytes, filters) = (part.iter().map(Vec::len).sum(), part.to_vec());
            self.shared.execute(Unsubscribe { account, session, filters }, bytes).await?;
        }
        Ok(())
    }

    /// Saves how far a session has come, and waits until that is on the disk.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`]: some of what was acknowledged is sent again then.
    pub async fn save_progress(&self, account: Id, progress: SessionProgress) -> Result<(), BrokerError> {
        for part in progress.into_parts(STORED_AT_ONCE) {
            let progress = Box::new(part);
            self.shared.execute(SaveProgress { account, progress }, 0).await?;
        }
        Ok(())
    }

    /// Saves how far a session has come, and does not wait.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] if the server is stopping.
    pub async fn save_progress_later(
        &self,
        account: Id,
        progress: SessionProgress,
    ) -> Result<(), BrokerError> {
        for part in progress.into_parts(STORED_AT_ONCE) {
            let progress = Box::new(part);
            self.shared.writer.submit(SaveProgress { account, progress }, 0, |_| None).await?;
        }
        Ok(())
    }

    /// The connection of a session has ended before it did anything.
    pub async fn leave_session(&self, account: Id, session: SessionNumber) {
        let (subscriptions, in_flight) = (Vec::new(), None);
        // If it cannot be saved, the session ends with the next start of the server at the earliest.
        let progress = SessionProgress { session, subscriptions, in_flight, has_left: true };
        let _ = self.save_progress(account, progress).await;
    }

    /// Forgets a QoS 2 publish of a session. `on_stored` is called as after a publish, in the same order.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`].
    pub async fn release(
        &self,
        account: Id,
        (session, packet_id): (SessionNumber, u16),
        on_stored: impl OnStored,
    ) -> Result<(), BrokerError> {
        let command = ReleaseQos2 { account, session, packet_id };
        self.submit(command, 0, on_stored).await
    }

    /// The next notifications behind `after` that were kept and that the subscriber sees.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`].
    pub fn queued_messages(
        &self,
        topic: TopicNumber,
        granted: &SubscribeGrant,
        after: Sequence,
    ) -> Result<QueuePage, BrokerError> {
        // What was committed later may not be on the disk yet, and comes by the bus.
        let committed = self.committed.load(Ordering::SeqCst);
        // A few rows side by side: handing them to another thread would cost more, and a thread for each client that
        // comes back.
        let QueuedMessages { messages, is_last } = self
            .shared
            .store
            .queued_messages(topic, after, committed, PAGE_MESSAGES, PAGE_BYTES)
            .log_failure()?;
        let up_to = match messages.last() {
            Some(last) if !is_last => last.seq,
            _ => committed.max(after),
        };
        let messages = messages.into_iter().filter(|message| granted.can_see(&message.scopes));
        Ok(QueuePage {
            messages: messages.map(|message| (message.seq, message.body.into())).collect(),
            up_to,
            is_last,
        })
    }

    /// One notification that was kept, if it still is and the subscriber sees it.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`].
    pub fn queued_message(
        &self,
        topic: TopicNumber,
        granted: &SubscribeGrant,
        seq: Sequence,
    ) -> Result<Option<Bytes>, BrokerError> {
        let queued = self
            .shared
            .store
            .queued_messages(topic, seq.saturating_sub(1), seq, 1, PAGE_BYTES)
            .log_failure()?;
        Ok(queued
            .messages
            .into_iter()
            .find(|message| granted.can_see(&message.scopes))
            .map(|message| message.body.into()))
    }

    /// Ends some of the sessions whose clients went away before this time. Returns whether there may be more.
    async fn expire_sessions(&self, left_before_ms: TimestampMs) -> bool {
        // What fails is logged by the writer, and tried again.
        let Ok(expired) = self.shared.execute(ExpireSessions { left_before_ms }, 0).await else {
            return false;
        };
        if expired > 0 {
            tracing::info!(count = expired, "expired durable sessions");
        }
        expired == EXPIRED_AT_ONCE
    }

    /// Ends sessions whose clients stay away, until it is stopped. Only by a clock that runs evenly: one that is days ahead
    /// for a minute ends nothing.
    pub async fn run_session_expiry(&self, stop: CancellationToken) {
        let after_ms = self.shared.settings.session_expiry_ms;
        let after = Duration::from_millis(after_ms.unsigned_abs());
        let pause = EXPIRY_INTERVAL.min(after);
        let mut clock = EvenClock::new(self.shared.clock.clone(), after, Instant::now());
        loop {
            match clock.look(Instant::now()) {
                Run::Even { now_ms } => {
                    if self.expire_sessions(now_ms.saturating_sub(after_ms)).await && !stop.is_cancelled() {
                        continue;
                    }
                }
                Run::Waiting => {}
                Run::Set { by_ms } => {
                    tracing::warn!(
                        seconds = by_ms / 1_000,
                        "clock was set: no session expires until it has run evenly"
                    );
                    // The writer counts what is behind the last event.
                    if by_ms > 0 {
                        self.shared.metrics.clock_steps.with_label_values(&["ahead"]).inc();
                    }
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }
}
