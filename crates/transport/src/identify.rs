//! Identifies the caller of a request, a connection or a topic by its API key.

use std::{net::IpAddr, sync::Arc};

use thng_pubsub_protocol::topic::AccessToken;

use super::Context;
use thng_pubsub_broker::{BrokerError, identity::Principal};

impl Context {
    /// The principal of a key. After too many wrong keys from its address, the key is not even checked.
    ///
    /// # Errors
    /// [`BrokerError::TooOften`], and those of the broker.
    pub(super) async fn authenticate(
        &self,
        address: IpAddr,
        key: &str,
    ) -> Result<Arc<Principal>, BrokerError> {
        self.rates.try_key(address)?;
        let known = self.identity.authenticate(key).await;
        if known == Err(BrokerError::InvalidKey) {
            self.rates.key_failed(address);
        }
        known
    }

    /// The principal that uses a topic: that of the topic's own `access_token`, else the connection's.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate), and [`BrokerError::NoKey`] where there is neither.
    pub(super) async fn principal(
        &self,
        address: IpAddr,
        connection: Option<&Arc<Principal>>,
        access_token: Option<&AccessToken>,
    ) -> Result<Arc<Principal>, BrokerError> {
        match (access_token, connection) {
            (Some(token), _) => self.authenticate(address, token.reveal()).await,
            (None, Some(principal)) => Ok(Arc::clone(principal)),
            (None, None) => Err(BrokerError::NoKey),
        }
    }
}
