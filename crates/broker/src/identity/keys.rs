//! Issues, shows and revokes API keys.

use thng_pubsub_protocol::{
    id::Id,
    payload::{Json, ResourceKind},
};

use super::Identity;
use crate::{
    auth::keys,
    commands::{IssueKey, RevokeKeys},
    error::BrokerError,
    random,
    request::RequestContext,
    resources::NewResource,
};
use thng_pubsub_store::{Actor, KeyRecord};

impl Identity {
    /// Gives an actor a key, or shows the one that it has.
    pub(crate) async fn issue(
        &self,
        account: Id,
        actor: Actor,
        private: Option<Json>,
    ) -> Result<String, BrokerError> {
        let key = self.shared.new_key(account, actor);
        let key = self.shared.execute(IssueKey { key, private }, 0).await?;
        self.shared.reveal(&key).ok_or(BrokerError::Unavailable)
    }

    /// The key of a thng: made where it has none.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn issue_device_key(&self, request: &RequestContext, thng: Id) -> Result<String, BrokerError> {
        self.shared.authorize(request, ResourceKind::Thng, thng)?;
        self.issue(request.principal().account, Actor::Device(thng), None).await
    }

    /// The key of a thng that has one.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn device_key(&self, request: &RequestContext, thng: Id) -> Result<String, BrokerError> {
        self.shared.authorize(request, ResourceKind::Thng, thng)?;
        self.shared.key_of(Actor::Device(thng))?.ok_or(BrokerError::NotFound)
    }

    /// Takes the key of a thng away.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn revoke_device_key(&self, request: &RequestContext, thng: Id) -> Result<(), BrokerError> {
        self.shared.authorize(request, ResourceKind::Thng, thng)?;
        let (account, actor) = (request.principal().account, Actor::Device(thng));
        self.shared.execute(RevokeKeys { account, actor }, 0).await
    }

    /// Creates an access token; returns its key, which is not shown again.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create_access_token(
        &self,
        request: &RequestContext,
        mut new: NewResource,
        payload_bytes: usize,
    ) -> Result<(std::sync::Arc<thng_pubsub_store::ResourceRecord>, String), BrokerError> {
        request.permit()?;
        request.may_grant_rights()?;
        for policy in new.patch.texts("policies") {
            self.resources.known_policy(request, &policy)?;
        }
        let account = request.principal().account;
        let key = KeyRecord { nonce: None, ..self.shared.new_key(account, Actor::AccessToken(new.id)) };
        let text = keys::generate(random::byte);
        let hash = keys::hash(&text).expect("a made key has the form of a key");
        new.keys.push(KeyRecord { hash, ..key });
        Ok((self.resources.create(request, new, payload_bytes).await?, text))
    }
}
