//! Explains rights: the effective permissions of a key, and why a call is allowed or refused.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use thng_pubsub_protocol::{
    id::Id,
    payload::{Object, ResourceKind},
    topic::{Subject, Topic, table::Access},
};

use super::{Identity, administration::range_of};
use crate::{
    auth::{Principal, Right, grants::Entry, roles, visibility::Visibility},
    error::{BrokerError, LogFailure as _},
    request::{RequestContext, decoded},
    resources::ListScope,
};
use thng_pubsub_store::{Actor, KeyHash, ResourceMeta};

/// The path of the call that explains. It is a POST, and needs the right to read.
pub const EXPLAIN: &str = "/access/explain";

/// Keys of all accounts that a handle may name by chance.
const HANDLES_MAX: usize = 16;

/// Bytes of a path that is explained.
const PATH_BYTES_MAX: usize = 4_096;

#[derive(Deserialize)]
struct Question {
    verb: String,
    path: String,
    key: Option<String>,
}

/// What a call would be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Forbidden,
    /// Granted, but not to this kind of key.
    Reserved,
    NotFound,
    /// No protocol has this verb on this path.
    Unserved,
}

impl Identity {
    /// The entries that apply to the key of the call, and what each reaches: a JSON array.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn permissions(&self, request: &RequestContext) -> Result<String, BrokerError> {
        request.permit()?;
        let rights = request.principal().rights.iter();
        let entries = rights.flat_map(|right| right.grants.entries().iter().map(|entry| shown(entry, right)));
        Ok(Value::Array(entries.collect()).to_string())
    }

    /// Whether a key may use a verb on a path, and which entries decide: a JSON object. A key explains itself; an
    /// administrator names another key of the account.
    ///
    /// What is there and not visible is explained like what is not there. `is_route` knows the calls of REST.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn explain(
        &self,
        request: &RequestContext,
        body: &[u8],
        is_route: impl Fn(Access, &str) -> bool,
    ) -> Result<String, BrokerError> {
        request.permit()?;
        let Object(Question { verb, path, key }) = serde_json::from_slice(body).map_err(|_| {
            BrokerError::invalid(r#"The body is an object such as {"verb": "read", "path": "/places"}."#)
        })?;
        let path = path_of(&path)?;
        let access = match verb_of(&verb)? {
            Access::Create if path == EXPLAIN => Access::Read,
            access => access,
        };
        let principal = match key {
            None => Arc::clone(request.principal()),
            Some(handle) => self.principal_named(request, &handle)?,
        };
        let asked = RequestContext::new(&principal, access, path);
        let is_granted = asked.permit().is_ok();
        let (outcome, reached) = match self.reached(&asked, path).await {
            _ if is_granted && !is_route(access, path) && !is_topic(access, path) => {
                (Outcome::Unserved, Vec::new())
            }
            Ok(reached) => (Outcome::Allowed, reached),
            Err(BrokerError::Forbidden) if is_granted => (Outcome::Reserved, Vec::new()),
            Err(BrokerError::Forbidden) => (Outcome::Forbidden, Vec::new()),
            Err(BrokerError::NotFound) => (Outcome::NotFound, Vec::new()),
            Err(other) => return Err(other),
        };
        let key = json!({
            "handle": principal.key.handle(),
            "kind": principal.actor.kind(),
            "id": principal.actor.id().as_str(),
        });
        let document = json!({
            "outcome": outcome.name(),
            "sentence": outcome.sentence(),
            "verb": verb,
            "path": path,
            "key": key,
            "decidedBy": decisive(&principal, &asked, outcome, &reached),
        });
        Ok(document.to_string())
    }

    /// The principal of a key of the account, for an administrator.
    fn principal_named(&self, request: &RequestContext, handle: &str) -> Result<Arc<Principal>, BrokerError> {
        request.may_grant_rights()?;
        let hash = self.key_named(request.principal().account, handle)?;
        let principal = self.shared.keys.look_up(&hash).log_failure()?;
        principal.ok_or_else(|| BrokerError::invalid("key: its owner is gone, so it opens nothing."))
    }

    /// The key of an account that a handle names.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] where no key or several are meant.
    fn key_named(&self, account: Id, handle: &str) -> Result<KeyHash, BrokerError> {
        let (least, greatest) = range_of(handle)?;
        let mut found = self.shared.store.keys_between(&least, &greatest, HANDLES_MAX).log_failure()?;
        found.retain(|key| key.account == account);
        match &found[..] {
            [key] => Ok(key.hash),
            [] => Err(BrokerError::invalid("key: the account has no key with this handle.")),
            _ => Err(BrokerError::invalid("key: several keys begin so: give more digits.")),
        }
    }

    /// The resources that a call names and may use in this way. The order of its checks is that of the call itself.
    async fn reached(
        &self,
        asked: &RequestContext,
        path: &str,
    ) -> Result<Vec<Arc<ResourceMeta>>, BrokerError> {
        asked.permit()?;
        let decoded = decoded(path);
        let segments: Vec<&str> = decoded.split('/').filter(|segment| !segment.is_empty()).collect();
        let rights = RightsCheck::of(asked.access(), &segments);
        if rights == RightsCheck::BeforeResource {
            asked.may_grant_rights()?;
        }
        let reached = self.named_by(asked, path, &segments).await?;
        if rights == RightsCheck::AfterResource {
            asked.may_grant_rights()?;
        }
        Ok(reached)
    }

    /// The resources that the path of a call names, as the call itself would look for them.
    async fn named_by(
        &self,
        asked: &RequestContext,
        path: &str,
        segments: &[&str],
    ) -> Result<Vec<Arc<ResourceMeta>>, BrokerError> {
        let id = |text: &str| Id::parse(text).map_err(|_| BrokerError::NotFound);
        let authorize = |kind, text: &str| self.shared.authorize(asked, kind, id(text)?);
        if let ["actions", name] = segments
            && matches!(asked.access(), Access::Update | Access::Delete)
        {
            // The action type itself.
            return self.resources.known_type(asked, name).map(|()| Vec::new());
        }
        if let Ok(topic @ Topic::Actions { subject, .. }) = &Topic::parse_path(path) {
            self.resources.authorize_list(asked, ResourceKind::Action, ListScope::Actions(topic))?;
            let subject =
                subject.map(|Subject { kind, id }| self.shared.authorize(asked, kind.resource(), id));
            return subject.into_iter().collect();
        }
        match *segments {
            ["batches", batch, "tasks", task, ..] => {
                let task = self.resources.authorize_task(asked, id(batch)?, id(task)?)?;
                Ok(vec![authorize(ResourceKind::Batch, batch)?, Arc::new(task.meta())])
            }
            ["projects", project, "applications", application, ..] => {
                let application =
                    self.resources.application(asked, Some(id(project)?), id(application)?).await?;
                Ok(vec![authorize(ResourceKind::Project, project)?, Arc::new(application.meta())])
            }
            ["actions", _, action] | [_, _, "actions", _, action] => {
                let (above, _) = path.trim_end_matches('/').rsplit_once('/').expect("a path has slashes");
                let topic = Topic::parse_path(above).map_err(|_| BrokerError::NotFound)?;
                let action = self.resources.action(asked, &topic, id(action)?).await?;
                Ok(vec![Arc::new(action.meta())])
            }
            ["actionTypes", name] => self.resources.known_type(asked, name).map(|()| Vec::new()),
            ["auth", _, "thngs", thng, ..] => Ok(vec![authorize(ResourceKind::Thng, thng)?]),
            ["thngs", thng, ..] => self.identified(asked, ResourceKind::Thng, thng).await,
            ["products", product, ..] => self.identified(asked, ResourceKind::Product, product).await,
            ["collections", one, ..] => Ok(vec![authorize(ResourceKind::Collection, one)?]),
            ["places", one, ..] => Ok(vec![authorize(ResourceKind::Place, one)?]),
            ["batches", one, ..] => Ok(vec![authorize(ResourceKind::Batch, one)?]),
            ["projects", one, ..] => Ok(vec![authorize(ResourceKind::Project, one)?]),
            ["users", one] | ["users", one, "status"] if one != "login" => {
                Ok(vec![authorize(ResourceKind::User, one)?])
            }
            ["accessTokens", one, ..] => Ok(vec![authorize(ResourceKind::AccessToken, one)?]),
            ["operators", one, ..] => Ok(vec![Arc::new(self.operator(asked, one).await?.meta())]),
            ["accounts", account, "accesses" | "operatorAccess", access, ..] => {
                self.account(asked, id(account)?).await?;
                Ok(vec![authorize(ResourceKind::Access, access)?])
            }
            ["accounts", account, ..] => Ok(vec![Arc::new(self.account(asked, id(account)?).await?.meta())]),
            ["applications", one, ..] => {
                let id = if one == "me" { self.resources.own_application(asked)? } else { id(one)? };
                Ok(vec![Arc::new(self.resources.application(asked, None, id).await?.meta())])
            }
            // Some of these are built in, and are no resources.
            ["roles", one, ..] => self.resources.role(asked, one).await.map(|_| Vec::new()),
            ["accessPolicies", one, ..] => self.resources.policy(asked, one).await.map(|_| Vec::new()),
            ["me"] if !matches!(asked.principal().actor, Actor::Operator(_)) => Err(BrokerError::Forbidden),
            _ => Ok(Vec::new()),
        }
    }

    async fn identified(
        &self,
        asked: &RequestContext,
        kind: ResourceKind,
        text: &str,
    ) -> Result<Vec<Arc<ResourceMeta>>, BrokerError> {
        let id = self.resources.named_in_path(asked, kind, text).await?;
        Ok(vec![self.shared.authorize(asked, kind, id)?])
    }
}

/// When a call asks whether its caller may change what others may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RightsCheck {
    Never,
    BeforeResource,
    AfterResource,
}

impl RightsCheck {
    fn of(access: Access, segments: &[&str]) -> Self {
        match (access, segments) {
            (Access::Read, _) => Self::Never,
            (_, ["roles", ..]) | (Access::Update, ["accessTokens", ..]) => Self::BeforeResource,
            (_, ["accessPolicies" | "accessTokens", ..])
            | (_, ["accounts", _, "accesses" | "operatorAccess", ..]) => Self::AfterResource,
            _ => Self::Never,
        }
    }
}

/// Whether a subscription, or a publish with this verb, has the path as its topic.
fn is_topic(access: Access, path: &str) -> bool {
    Topic::parse_path(path).is_ok_and(|topic| {
        let publish = topic.kind().row().publish;
        access == Access::Read || publish.is_some_and(|publish| publish.access == access)
    })
}

/// The entries that decide: those that grant the verb to what the path names, or those that govern the path in vain.
fn decisive(
    principal: &Principal,
    asked: &RequestContext,
    outcome: Outcome,
    reached: &[Arc<ResourceMeta>],
) -> Vec<Value> {
    let (path, own) = (decoded(asked.path()), principal.actor.id());
    let sees = |right: &Right| reached.is_empty() || reached.iter().any(|meta| right.view.can_see(&**meta));
    let decides = |right: &Right, granted: bool| match outcome {
        Outcome::Allowed => granted && sees(right),
        Outcome::NotFound | Outcome::Unserved | Outcome::Reserved => granted,
        Outcome::Forbidden => true,
    };
    let entries = principal.rights.iter().filter_map(|right| {
        let entry = right.grants.governing(&path, own.as_str())?;
        decides(right, entry.verbs().has(asked.access())).then(|| shown(entry, right))
    });
    entries.collect()
}

/// An entry with what it reaches.
fn shown(entry: &Entry, right: &Right) -> Value {
    json!({ "path": entry.to_string(), "access": entry.verbs().to_string(), "reach": reach(&right.view) })
}

fn reach(view: &Visibility) -> Value {
    let texts = |ids: &[Id]| ids.iter().map(Id::to_string).collect::<Vec<_>>();
    match view {
        Visibility::Account => json!({ "kind": "account" }),
        Visibility::Projects(projects) => json!({ "kind": "projects", "projects": texts(projects) }),
        Visibility::User { project, user } => {
            json!({ "kind": "user", "user": user.as_str(), "projects": [project.as_str()] })
        }
        Visibility::Device { thng, product, projects } => {
            let mut reach = json!({ "kind": "device", "thng": thng.as_str(), "projects": texts(projects) });
            if let Some(product) = product {
                reach["product"] = product.as_str().into();
            }
            reach
        }
        Visibility::Only(conditions) => {
            let conditions = conditions.iter().map(|(kind, id)| roles::condition(*kind, *id));
            json!({ "kind": "conditions", "conditions": conditions.collect::<Vec<_>>() })
        }
        Visibility::Itself(id) => json!({ "kind": "itself", "id": id.as_str() }),
    }
}

fn verb_of(text: &str) -> Result<Access, BrokerError> {
    Ok(match text {
        "create" => Access::Create,
        "read" => Access::Read,
        "update" => Access::Update,
        "delete" => Access::Delete,
        _ => return Err(BrokerError::invalid("verb is create, read, update or delete.")),
    })
}

/// The path without `/v2`.
fn path_of(text: &str) -> Result<&str, BrokerError> {
    let path = text.strip_prefix("/v2").filter(|rest| rest.starts_with('/')).unwrap_or(text);
    match path.starts_with('/') && path.len() <= PATH_BYTES_MAX && !path.contains(['?', '#']) {
        true => Ok(path),
        false => Err(BrokerError::invalid(format!(
            "path is the path of a REST call or a topic, such as /thngs, without a query and of at most {PATH_BYTES_MAX} \
             bytes."
        ))),
    }
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Forbidden | Self::Reserved => "forbidden",
            Self::NotFound | Self::Unserved => "notFound",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Allowed => "The key may do this.",
            Self::Forbidden => {
                "No entry grants this verb on the path. Give the key's role or policy one that does."
            }
            Self::Reserved => {
                "The verb is granted, but only administrators change what others may do, and only operators read /me."
            }
            Self::Unserved => "No call and no topic has this verb on this path.",
            Self::NotFound => {
                "The verb is granted, but the path names nothing that the key reaches. Check the id, and the projects \
                 and users that it is scoped to."
            }
        }
    }
}
