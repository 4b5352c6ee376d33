//! Issues, shows, leases and revokes API keys.

use std::{sync::Arc, time::Duration};

use thng_pubsub_protocol::{
    id::Id,
    payload::{Json, ResourceKind},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::gateway::{BrokerError, Gateway, KeyLease, Principal, RequestContext};
use crate::{
    auth::keys,
    commands::{Command, Outcome},
    random,
};
use thng_pubsub_store::{Actor, KeyRecord};

/// How long to wait before the store is asked again after it failed.
const RETRY: Duration = Duration::from_millis(200);

impl Gateway {
    /// Leases the key of a principal for a connection or a subscription: `wake` is notified once the key is revoked.
    ///
    /// # Errors
    /// [`BrokerError::InvalidKey`] if it is gone already, [`BrokerError::ConnectionLimitPerKey`], [`BrokerError::Unavailable`].
    pub fn lease_key(&self, principal: &Principal, wake: &Arc<Notify>) -> Result<KeyLease, BrokerError> {
        let lease =
            self.keys.lease(&principal.key, Arc::clone(wake)).ok_or(BrokerError::ConnectionLimitPerKey)?;
        // In this order, a revocation in between is noticed either here or by the lease.
        self.check_key(principal)?;
        Ok(lease)
    }

    /// Whether the key of a principal is still there.
    ///
    /// # Errors
    /// [`BrokerError::InvalidKey`], [`BrokerError::Unavailable`].
    pub fn check_key(&self, principal: &Principal) -> Result<(), BrokerError> {
        if self.keys.is_in_force(&principal.key)? { Ok(()) } else { Err(BrokerError::InvalidKey) }
    }

    /// Ends the connections of keys whose application, project or thng is gone, until it is stopped.
    pub async fn run_key_watch(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.keys.shaken()).await.is_some() {
            while let Err(error) = tokio::task::block_in_place(|| self.keys.end_revoked()) {
                tracing::warn!(%error, "the keys of open connections could not be looked up; trying again");
                if stop.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                    return;
                }
            }
        }
    }

    /// A new key for an actor, which can be shown again.
    pub(crate) fn new_key(&self, account: Id, actor: Actor) -> KeyRecord {
        let nonce = std::array::from_fn(|_| random::byte());
        let hash = keys::hash(&self.secret.key(actor, &nonce)).expect("a made key has the form of a key");
        KeyRecord { hash, account, actor, nonce: Some(nonce), created_at_ms: 0 }
    }

    /// The text of a key, if it can be shown.
    pub(crate) fn reveal(&self, key: &KeyRecord) -> Option<String> {
        key.nonce.as_ref().map(|nonce| self.secret.key(key.actor, nonce))
    }

    /// The key of an actor, if there is one that can be shown.
    pub(crate) fn key_of(&self, actor: Actor) -> Result<Option<String>, BrokerError> {
        let key = self.store.key_of(actor)?;
        Ok(key.and_then(|key| self.reveal(&key)))
    }

    /// Gives an actor a key, or shows the one that it has.
    pub(crate) async fn issue(
        &self,
        account: Id,
        actor: Actor,
        private: Option<Json>,
    ) -> Result<String, BrokerError> {
        let key = self.new_key(account, actor);
        match self.execute(Command::IssueKey { key, private }, 0).await? {
            Outcome::Key(key) => self.reveal(&key).ok_or(BrokerError::Unavailable),
            Outcome::Resource(_)
            | Outcome::Resources(_)
            | Outcome::Properties(_)
            | Outcome::Locations(_)
            | Outcome::Count(_)
            | Outcome::Session(_)
            | Outcome::Subscriptions(_)
            | Outcome::Done => Err(BrokerError::Unavailable),
        }
    }

    /// The key of a thng: made where it has none.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn issue_device_key(
        &self,
        caller: &RequestContext<'_>,
        thng: Id,
    ) -> Result<String, BrokerError> {
        self.authorise(caller, ResourceKind::Thng, thng)?;
        self.issue(caller.principal.account, Actor::Device(thng), None).await
    }

    /// The key of a thng that has one.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn device_key(&self, caller: &RequestContext<'_>, thng: Id) -> Result<String, BrokerError> {
        self.authorise(caller, ResourceKind::Thng, thng)?;
        self.key_of(Actor::Device(thng))?.ok_or(BrokerError::NotFound)
    }

    /// Takes the key of a thng away.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn revoke_device_key(&self, caller: &RequestContext<'_>, thng: Id) -> Result<(), BrokerError> {
        self.authorise(caller, ResourceKind::Thng, thng)?;
        let (account, actor) = (caller.principal.account, Actor::Device(thng));
        self.execute(Command::RevokeKeys { account, actor }, 0).await.map(drop)
    }

    /// Creates an access token; returns its key, which is not shown again.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create_access_token(
        &self,
        caller: &RequestContext<'_>,
        mut new: crate::gateway::NewResource,
        payload_bytes: usize,
    ) -> Result<(std::sync::Arc<thng_pubsub_store::ResourceRecord>, String), BrokerError> {
        self.permit(caller)?;
        Self::may_give_rights(caller)?;
        for policy in new.patch.texts("policies") {
            self.known_policy(caller, &policy)?;
        }
        let account = caller.principal.account;
        let key = KeyRecord { nonce: None, ..self.new_key(account, Actor::AccessToken(new.id)) };
        let text = keys::generate(random::byte);
        let hash = keys::hash(&text).expect("a made key has the form of a key");
        new.keys.push(KeyRecord { hash, ..key });
        Ok((self.create(caller, new, payload_bytes).await?, text))
    }
}
