//! Authenticates API keys, and ends connections whose key is revoked.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Identity, KeyLease, Principal};
use crate::{
    auth::keys,
    error::{BrokerError, LogFailure as _},
};

/// How long to wait before the store is asked again after it failed.
const RETRY: Duration = Duration::from_millis(200);

impl Identity {
    /// The principal of a key.
    ///
    /// # Errors
    /// [`BrokerError::InvalidKey`], [`BrokerError::Unavailable`].
    pub async fn authenticate(&self, key: &str) -> Result<Arc<Principal>, BrokerError> {
        let hash = keys::hash(key).map_err(|_| BrokerError::InvalidKey)?;
        if let Some(principal) = self.shared.keys.cached(&hash) {
            return Ok(principal);
        }
        self.shared.keys.look_up(&hash).log_failure()?.ok_or(BrokerError::InvalidKey)
    }

    /// Leases the key of a principal for a connection or a subscription: `wake` is notified once the key is revoked.
    ///
    /// # Errors
    /// [`BrokerError::InvalidKey`] if it is gone already, [`BrokerError::ConnectionLimitPerKey`], [`BrokerError::Unavailable`].
    pub fn lease_key(&self, principal: &Principal, wake: &Arc<Notify>) -> Result<KeyLease, BrokerError> {
        let lease = self
            .shared
            .keys
            .lease(&principal.key, Arc::clone(wake))
            .ok_or(BrokerError::ConnectionLimitPerKey)?;
        // In this order, a revocation in between is noticed either here or by the lease.
        self.check_key(principal)?;
        Ok(lease)
    }

    /// Whether the key of a principal is still there.
    ///
    /// # Errors
    /// [`BrokerError::InvalidKey`], [`BrokerError::Unavailable`].
    pub fn check_key(&self, principal: &Principal) -> Result<(), BrokerError> {
        if self.shared.keys.is_in_force(&principal.key).log_failure()? {
            Ok(())
        } else {
            Err(BrokerError::InvalidKey)
        }
    }

    /// Ends the connections of keys whose application, project or thng is gone, until it is stopped.
    pub async fn run_key_watch(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.shared.keys.shaken()).await.is_some() {
            while let Err(error) = tokio::task::block_in_place(|| self.shared.keys.end_revoked()) {
                tracing::warn!(%error, "the keys of open connections could not be looked up; trying again");
                if stop.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                    return;
                }
            }
        }
    }
}
