//! The initial state of a subscription: what its topic says right now.

use bytes::Bytes;
use thng_pubsub_protocol::{
    payload::{ResourceKind, locations_document, update_document},
    publish::{self, Subject},
    topic::{Topic, TopicString, table::Access},
};

use super::PubSub;
use crate::{
    auth::Principal,
    commands,
    error::BrokerError,
    request::RequestContext,
    resources::{ListQuery, actions_source},
};
use thng_pubsub_store::PropertyOwner;

impl PubSub {
    /// What the topic says right now: the document that an update with the stored values would bring.
    ///
    /// `None` where nothing is stored, or where the subscriber does not see it. Rights are asked for again: they
    /// may have gone since the subscription.
    ///
    /// # Errors
    /// Any [`BrokerError`].
    pub async fn initial_state(
        &self,
        principal: &Principal,
        topic: &TopicString,
    ) -> Result<Option<Bytes>, BrokerError> {
        let canonical = topic.topic.canonical();
        let mut caller = RequestContext::new(principal, Access::Read, &canonical);
        caller.project = topic.options.project;
        match self.authorize_subscribe(&caller, &topic.topic) {
            Ok(()) => {}
            // It is there, but not in the project that the topic asks for.
            Err(BrokerError::NotFound) if caller.project.is_some() => return Ok(None),
            Err(refusal) => return Err(refusal),
        }
        if let Some((subject, action_type)) = publish::actions(&topic.topic) {
            return self.latest_action(&caller, subject, action_type.map(|name| name.as_str())).await;
        }
        self.state(&topic.topic)
    }

    fn state(&self, topic: &Topic) -> Result<Option<Bytes>, BrokerError> {
        let store = &*self.shared.store;
        let resource = |id| {
            let Some(record) = store.resource(id)? else { return Ok::<_, BrokerError>(None) };
            let collections = match record.kind.has_collections() {
                true => store.collections_of(id)?,
                false => Vec::new(),
            };
            Ok(Some(commands::notification(&record, &collections)))
        };
        let properties = |owner| {
            let latest = store.latest(owner)?;
            Ok::<_, BrokerError>((!latest.is_empty()).then(|| update_document(&latest)))
        };
        let property = |owner, key| {
            Ok::<_, BrokerError>(store.latest_of(owner, key)?.map(|latest| update_document([&latest])))
        };
        let document = match topic {
            Topic::Thng { thng: id }
            | Topic::Product { product: id }
            | Topic::Collection { collection: id } => resource(*id)?,
            Topic::ThngProperties { thng } => properties(PropertyOwner::Thng(*thng))?,
            Topic::ProductProperties { product } => properties(PropertyOwner::Product(*product))?,
            Topic::ThngProperty { thng, key } => property(PropertyOwner::Thng(*thng), key)?,
            Topic::ProductProperty { product, key } => property(PropertyOwner::Product(*product), key)?,
            Topic::ThngLocation { thng } => {
                store.latest_location(*thng)?.map(|location| locations_document([&location]))
            }
            // These tell of something that happens, and have no value of their own.
            Topic::ActionTypes
            | Topic::BatchTasks { .. }
            | Topic::BatchTask { .. }
            | Topic::CollectionThngs { .. }
            | Topic::Actions
            | Topic::ActionsOfType { .. }
            | Topic::CollectionActions { .. }
            | Topic::CollectionActionsOfType { .. }
            | Topic::ProductActions { .. }
            | Topic::ProductActionsOfType { .. }
            | Topic::ThngActions { .. }
            | Topic::ThngActionsOfType { .. } => None,
        };
        Ok(document.map(Bytes::from))
    }

    /// The newest action on a topic that the caller sees.
    async fn latest_action(
        &self,
        caller: &RequestContext<'_>,
        subject: Subject,
        action_type: Option<&str>,
    ) -> Result<Option<Bytes>, BrokerError> {
        let query = ListQuery::one();
        let within = actions_source(caller, subject, action_type);
        let page = self.resources.list(caller, ResourceKind::Action, within, &query).await?;
        Ok(page.items.first().map(|action| commands::notification(action, &[]).into()))
    }
}
