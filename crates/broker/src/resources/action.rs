//! Actions and their types.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::value::{RawValue, to_raw_value};
use thng_pubsub_protocol::{
    filter::{FieldValue, Filter},
    id::{ActionTypeName, Id},
    payload::{
        Json, LocationInput, Patch, ResourceKind, has_duplicate_members, parse_actions, parse_locations,
        texts_at, values_at,
    },
    topic::{Subject, SubjectKind, Topic},
};

use super::{ListQuery, NewResource, Resources};
use crate::{
    commands::{ActionInput, BUILT_IN_TYPES, CreateActions},
    error::{BrokerError, LogFailure as _},
    notifications, random,
    request::RequestContext,
};
use thng_pubsub_store::{Actor, IndexScan, Page, ResourceRecord, index_key};

impl Resources {
    /// The action to create, from a request and its sender. Resources that it names must be visible to the sender.
    fn action_input(
        &self,
        request: &RequestContext,
        subject: Option<Subject>,
        action_type: ActionTypeName,
        type_in_path: bool,
        patch: Patch,
    ) -> Result<ActionInput, BrokerError> {
        self.check_patch(request, &patch, None)?;
        self.check_project(request)?;
        request.permit_action_type(&action_type)?;
        match self.known_type(request, action_type.as_str()) {
            Err(BrokerError::NotFound) if !type_in_path => {
                return Err(BrokerError::invalid("type: there is no such action type."));
            }
            outcome => outcome?,
        }
        for kind in SubjectKind::ALL {
            if let Some(id) = patch.id(kind.name()) {
                self.shared.can_reference(request, kind.resource(), id, kind.name())?;
            }
        }
        let locations = patch.get("location").map(|json| parse_locations(json.as_bytes()));
        for location in locations.into_iter().flatten().flatten() {
            if let LocationInput::Place(place) = location.input {
                self.shared.can_reference(request, ResourceKind::Place, place, "location")?;
            }
        }
        let principal = request.principal();
        let (user, device) = match principal.actor {
            Actor::User(id) => (Some(id), None),
            Actor::Device(id) => (None, Some(id)),
            Actor::Operator(_)
            | Actor::Application(_)
            | Actor::TrustedApplication(_)
            | Actor::AccessToken(_) => (None, None),
        };
        let context = request.context.clone().unwrap_or_else(|| Json::parse("{}".into()).expect("JSON"));
        Ok(ActionInput {
            id: Id::generate(random::byte),
            action_type,
            type_in_path,
            subject,
            patch,
            user,
            device,
            project: principal.project.or(match principal.actor {
                Actor::Operator(_) | Actor::AccessToken(_) => request.project,
                Actor::Application(_) | Actor::TrustedApplication(_) | Actor::User(_) | Actor::Device(_) => {
                    None
                }
            }),
            gained: request.own_projects(),
            app: principal.app,
            scopes: request.default_scopes(),
            context,
        })
    }

    /// Checks that there is an action type of this name for the caller.
    pub(crate) fn known_type(&self, request: &RequestContext, name: &str) -> Result<(), BrokerError> {
        if BUILT_IN_TYPES.contains(&name) {
            return Ok(());
        }
        self.type_id(request, name).map(drop)
    }

    /// The id of an action type that is not built in.
    fn type_id(&self, request: &RequestContext, name: &str) -> Result<Id, BrokerError> {
        let (account, kind) = (request.principal().account, ResourceKind::ActionType);
        let id = self.shared.store.named(account, kind, name).log_failure()?;
        let meta = id.map(|id| self.shared.resource_meta(id)).transpose().log_failure()?.flatten();
        meta.filter(|meta| request.can_reference(meta)).map(|meta| meta.id).ok_or(BrokerError::NotFound)
    }

    /// The action type of a path, if it can be changed.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn own_type(&self, request: &RequestContext, name: &str) -> Result<Id, BrokerError> {
        request.permit()?;
        match BUILT_IN_TYPES.contains(&name) {
            true => Err(BrokerError::invalid("This action type is built in: it cannot be changed.")),
            false => self.type_id(request, name),
        }
    }

    /// Commissions or decommissions a thng. The product may be named by an identifier, as `gs1:01:…`.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn commission(
        &self,
        request: &RequestContext,
        thng: Id,
        action_type: ActionTypeName,
        body: &[u8],
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        self.shared.authorize(request, ResourceKind::Thng, thng)?;
        if std::str::from_utf8(body).is_ok_and(has_duplicate_members) {
            return Err(BrokerError::invalid("The body holds an object that has two members of one name."));
        }
        // Each member stays as it was sent, to the letter.
        let mut members: BTreeMap<String, Box<RawValue>> = match body.is_empty() {
            true => BTreeMap::new(),
            false => serde_json::from_slice(body)
                .map_err(|_| BrokerError::invalid("The body is a JSON object."))?,
        };
        let product = members.get("product").and_then(|json| serde_json::from_str::<String>(json.get()).ok());
        if let Some(product) = product.filter(|product| Id::parse(product).is_err()) {
            let id = self.named_in_path(request, ResourceKind::Product, &product).await;
            let id = id.map_err(|_| BrokerError::invalid("product: there is no such product."))?;
            members
                .insert("product".into(), to_raw_value(id.as_str()).map_err(|_| BrokerError::Unavailable)?);
        }
        if let Some(occurred_at) = members.remove("occurredAt") {
            members.entry("timestamp".into()).or_insert(occurred_at);
        }
        let body = serde_json::to_string(&members).map_err(|_| BrokerError::Unavailable)?;
        let (action_type, patch) = parse_actions(body.as_bytes(), Some(&action_type))?.remove(0);
        let subject = Some(Subject { kind: SubjectKind::Thng, id: thng });
        let input = self.action_input(request, subject, action_type, true, patch)?;
        let actions = self.shared.execute(self.actions_command(request, vec![input]), body.len()).await?;
        Ok(actions.into_iter().next().expect("each input becomes an action"))
    }

    /// Creates the actions of a payload. Returns them in their order.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create_actions(
        &self,
        request: &RequestContext,
        subject: Option<Subject>,
        action_type: Option<&ActionTypeName>,
        payload: &[u8],
    ) -> Result<Vec<Arc<ResourceRecord>>, BrokerError> {
        match subject {
            Some(Subject { kind, id }) => drop(self.shared.authorize(request, kind.resource(), id)?),
            None => request.permit()?,
        }
        let actions = parse_actions(payload, action_type)?;
        let inputs = self.action_inputs(request, subject, action_type.is_some(), actions)?;
        self.shared.execute(self.actions_command(request, inputs), payload.len()).await
    }

    /// The actions to create, as [`action_input`](Self::action_input).
    pub(crate) fn action_inputs(
        &self,
        request: &RequestContext,
        subject: Option<Subject>,
        type_in_path: bool,
        actions: Vec<(ActionTypeName, Patch)>,
    ) -> Result<Vec<ActionInput>, BrokerError> {
        let input =
            |(action_type, patch)| self.action_input(request, subject, action_type, type_in_path, patch);
        actions.into_iter().map(input).collect()
    }

    /// The command that creates actions.
    pub(crate) fn actions_command(
        &self,
        request: &RequestContext,
        inputs: Vec<ActionInput>,
    ) -> CreateActions {
        let notifications_max = self.shared.settings.notifications_max;
        CreateActions { account: request.principal().account, inputs, notifications_max }
    }

    /// Creates an action type.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create_action_type(
        &self,
        request: &RequestContext,
        payload: &[u8],
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        request.permit()?;
        let new = NewResource::of(Patch::parse(ResourceKind::ActionType, payload)?);
        self.create(request, new, payload.len()).await
    }

    /// Where the actions of a path are found. What the path names must be there for the caller.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub(super) fn actions_at(
        &self,
        request: &RequestContext,
        topic: &Topic,
    ) -> Result<IndexScan, BrokerError> {
        match notifications::resource(topic) {
            Some((kind, id)) => drop(self.shared.authorize(request, kind, id)?),
            None => request.permit()?,
        }
        let Topic::Actions { subject, action_type } = topic else { return Err(BrokerError::NotFound) };
        // The root's list of a type that does not exist is empty, as its topic is silent.
        if let Some(name) = notifications::needed_type(topic) {
            self.known_type(request, name.as_str())?;
        }
        Ok(actions_source(request, *subject, action_type.as_ref()))
    }

    /// One action, if it is among those of the path.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn action(
        &self,
        request: &RequestContext,
        topic: &Topic,
        id: Id,
    ) -> Result<ResourceRecord, BrokerError> {
        let source = self.actions_at(request, topic)?.and(IndexScan::Ids(vec![id]));
        let query = ListQuery::one();
        let page = self.list_within(request, ResourceKind::Action, source, &query).await?;
        page.items.into_iter().next().ok_or(BrokerError::NotFound)
    }

    /// Action types: those that are built in, then those of the account.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn action_types(
        &self,
        request: &RequestContext,
        query: &ListQuery,
    ) -> Result<(Page<String>, Option<usize>), BrokerError> {
        let built_in = BUILT_IN_TYPES.iter().map(|name| (*name, format!(r#"{{"name":"{name}"}}"#)));
        let scopes = query.with_scopes;
        self.list_behind(request, ResourceKind::ActionType, built_in, query, move |record| {
            crate::commands::document(record, &crate::commands::Extras { scopes, ..Default::default() })
        })
        .await
    }

    /// One action type by its name.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn action_type(
        &self,
        request: &RequestContext,
        name: &str,
    ) -> Result<Result<&'static str, ResourceRecord>, BrokerError> {
        request.permit()?;
        if let Some(name) = BUILT_IN_TYPES.iter().find(|known| **known == name) {
            return Ok(Ok(name));
        }
        let id = self.type_id(request, name)?;
        let record = self.shared.store.resource(id).log_failure()?;
        record.map(Err).ok_or(BrokerError::NotFound)
    }
}

/// Where the actions of a topic are found.
pub(crate) fn actions_source(
    request: &RequestContext,
    subject: Option<Subject>,
    action_type: Option<&ActionTypeName>,
) -> IndexScan {
    let by = |field: &str, value: &str| {
        IndexScan::Key(index_key(request.principal().account, ResourceKind::Action, field, value))
    };
    let subject = subject.map_or(IndexScan::All, |subject| by(subject.kind.name(), subject.id.as_str()));
    subject.and(action_type.map_or(IndexScan::All, |name| by("type", name.as_str())))
}

/// The action types that say how a thng is commissioned.
pub fn commissioned_type(name: &str) -> bool {
    matches!(name, "commissions" | "decommissions")
}

/// Whether a document that is built in is what a filter asks for.
pub(crate) fn admits_built_in(query: &ListQuery, name: &str, document: &str) -> bool {
    let values = |path: &str| match path {
        "name" => vec![FieldValue::Text(name.to_owned().into())],
        path => values_at(document, Some(path)),
    };
    let is_named =
        |ids: &Vec<Id>| ids.iter().any(|id| texts_at(document, Some("id")).contains(&id.to_string()));
    query.ids.as_ref().is_none_or(is_named)
        && query.filter.as_ref().is_none_or(|filter| {
            let holds = |filter: &Filter| filter.holds(&mut |term| term.admits(values(&term.field).iter()));
            holds(filter) || filter.decoded_again().is_some_and(|again| holds(&again))
        })
}
