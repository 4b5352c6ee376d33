//! The initial state of a subscription: what its topic says right now.

use bytes::Bytes;
use thng_pubsub_protocol::{
    id::ActionTypeName,
    payload::{ResourceKind, locations_document, update_document},
    topic::{Subject, Topic},
};

use super::PubSub;
use crate::{
    commands,
    error::{BrokerError, LogFailure as _},
    request::{RequestContext, SubscribeContext},
    resources::{ListQuery, actions_source},
};

impl PubSub {
    /// What the topic says right now: the document that an update with the stored values would bring.
    ///
    /// `None` where nothing is stored, or where the subscriber does not see it. Rights are asked for again: they
    /// may have gone since the subscription.
    ///
    /// # Errors
    /// Any [`BrokerError`].
    pub async fn initial_state(&self, subscribe: &SubscribeContext) -> Result<Option<Bytes>, BrokerError> {
        let (request, topic) = (&subscribe.of_state(), &subscribe.topic().topic);
        match self.authorize_subscribe(request, topic) {
            Ok(()) => {}
            // It is there, but not in the project that the topic asks for.
            Err(BrokerError::NotFound) if request.project.is_some() => return Ok(None),
            Err(refusal) => return Err(refusal),
        }
        self.state(request, topic).await
    }

    async fn state(&self, request: &RequestContext, topic: &Topic) -> Result<Option<Bytes>, BrokerError> {
        let store = &*self.shared.store;
        let document = match topic {
            Topic::Actions { subject, action_type } => {
                return self.latest_action(request, *subject, action_type.as_ref()).await;
            }
            Topic::Resource { id, .. } => match store.resource(*id).log_failure()? {
                Some(record) => {
                    let collections = match record.kind.has_collections() {
                        true => store.collections_of(*id).log_failure()?,
                        false => Vec::new(),
                    };
                    Some(commands::notification(&record, &collections))
                }
                None => None,
            },
            Topic::Properties { owner, key: None } => {
                let latest = store.latest(*owner).log_failure()?;
                (!latest.is_empty()).then(|| update_document(&latest))
            }
            Topic::Properties { owner, key: Some(key) } => {
                store.latest_of(*owner, key).log_failure()?.map(|latest| update_document([&latest]))
            }
            Topic::Location { thng } => {
                store.latest_location(*thng).log_failure()?.map(|location| locations_document([&location]))
            }
            // These report what happens, and have no value of their own.
            Topic::ActionTypes | Topic::Members { .. } | Topic::Tasks { .. } => None,
        };
        Ok(document.map(Bytes::from))
    }

    /// The newest action on a topic that the caller sees.
    async fn latest_action(
        &self,
        request: &RequestContext,
        subject: Option<Subject>,
        action_type: Option<&ActionTypeName>,
    ) -> Result<Option<Bytes>, BrokerError> {
        let query = ListQuery::one();
        let within = actions_source(request, subject, action_type);
        let page = self.resources.list_within(request, ResourceKind::Action, within, &query).await?;
        Ok(page.items.first().map(|action| commands::notification(action, &[]).into()))
    }
}
