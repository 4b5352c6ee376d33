//! The context of one call: its principal, verb, path and visibility, computed once.

use std::{borrow::Cow, sync::Arc};

use parking_lot::Mutex;
use thng_pubsub_protocol::{
    id::{ActionTypeName, Id},
    payload::{Json, ResourceKind, Scopes, UserScope},
    topic::{Topic, TopicString, table::Access},
};

use crate::{
    auth::{
        Principal, policy,
        visibility::{Scoped, Visibility},
    },
    error::BrokerError,
};
use thng_pubsub_store::{Actor, IndexScan, ResourceMeta, index_fields, index_key};

/// A call: its principal, verb and path, and the resources that it reaches. Rights are evaluated when it is made.
#[derive(Debug, Clone)]
pub struct RequestContext {
    principal: Arc<Principal>,
    access: Access,
    /// With its percent-escapes, without `/v2` and without a query; of a topic the canonical form.
    path: String,
    /// The views of the rights that grant the verb on the path; none where no right does.
    views: Vec<Visibility>,
    /// `?project=`: only what is scoped to it; what is created is scoped to it.
    pub project: Option<Id>,
    /// `?app=`: only what comes from this application.
    pub app: Option<Id>,
    /// A JSON object that an action remembers: where and how it came about.
    pub context: Option<Json>,
}

impl RequestContext {
    /// A call that is narrowed to nothing. `path` as it came, with its percent-escapes.
    pub fn new(principal: &Arc<Principal>, access: Access, path: impl Into<String>) -> Self {
        let path = path.into();
        let views = policy::views(principal, access, &decoded(&path));
        Self {
            principal: Arc::clone(principal),
            access,
            path,
            views,
            project: None,
            app: None,
            context: None,
        }
    }

    /// A publish, with the verb that the topic's row says.
    ///
    /// # Errors
    /// [`BrokerError::SubscribeOnly`].
    pub fn publish(principal: &Arc<Principal>, topic: TopicString) -> Result<PublishContext, BrokerError> {
        let TopicString { topic, options } = topic;
        let access = topic.kind().row().publish.ok_or(BrokerError::SubscribeOnly)?.access;
        let context = Self { project: options.project, ..Self::new(principal, access, topic.canonical()) };
        Ok(PublishContext { context, topic, authorized: Mutex::default() })
    }

    /// A subscription. Its project is asked of each event, since a resource may come into a project later.
    pub fn subscribe(principal: &Arc<Principal>, topic: TopicString) -> SubscribeContext {
        let context = Self::new(principal, Access::Read, topic.topic.canonical());
        SubscribeContext { context, topic }
    }

    /// The principal that makes the call.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Whether the verb on the path is granted at all; what is there is not looked at.
    ///
    /// # Errors
    /// [`BrokerError::Forbidden`].
    pub fn permit(&self) -> Result<(), BrokerError> {
        Ok(policy::on_path(&self.views)?)
    }

    /// The same for an action type that the body names below a path that ends with `all`: it is granted as if it were in
    /// the path.
    ///
    /// # Errors
    /// [`BrokerError::Forbidden`].
    pub(crate) fn permit_action_type(&self, action_type: &ActionTypeName) -> Result<(), BrokerError> {
        let path = decoded(&self.path);
        let Some(above) = path.strip_suffix("/all") else { return Ok(()) };
        let path = format!("{above}/{}", action_type.as_str());
        Ok(policy::on_path(&policy::views(&self.principal, self.access, &path))?)
    }

    /// The verb of the call.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// The canonical form of the topic, where the path is one.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// What the caller sees on this path.
    pub(crate) fn views(&self) -> &[Visibility] {
        &self.views
    }

    /// Only a caller that may do everything changes what others may do: with a right to give more than it has, any caller
    /// could do everything.
    pub(crate) fn may_grant_rights(&self) -> Result<(), BrokerError> {
        if self.principal.is_admin() { Ok(()) } else { Err(BrokerError::Forbidden) }
    }

    /// Whether a resource is there for the caller.
    pub(crate) fn can_see(&self, meta: &ResourceMeta) -> bool {
        self.can_reference(meta)
            && self.project.is_none_or(|project| !meta.kind.is_scoped() || meta.is_in(project))
    }

    /// Whether the caller can name this resource in what they do here: with the right that they do it with.
    pub(crate) fn can_reference(&self, meta: &ResourceMeta) -> bool {
        policy::on_resource(self.principal.account, &self.views, meta).is_ok()
    }

    /// Whether the caller reaches everything in the account with what they do here.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.views.contains(&Visibility::Account)
    }

    /// Whether [`source`](Self::source) finds what the caller sees of a kind and nothing else.
    pub(crate) fn is_found_by_source(&self, kind: ResourceKind) -> bool {
        self.views.iter().all(|view| match view {
            Visibility::Account => true,
            Visibility::Projects(_) => kind != ResourceKind::Role,
            Visibility::User { .. }
            | Visibility::Device { .. }
            | Visibility::Only(_)
            | Visibility::Itself(_) => false,
        })
    }

    /// Where the resources that the caller [may name](Self::can_reference) are found.
    pub(crate) fn reach(&self, kind: ResourceKind) -> IndexScan {
        let account = self.principal.account;
        let mut sources: Vec<IndexScan> =
            self.views.iter().map(|view| source_of(view, account, kind)).collect();
        match sources.len() {
            _ if sources.contains(&IndexScan::All) => IndexScan::All,
            1 => sources.remove(0),
            _ => IndexScan::Any(sources),
        }
    }

    /// Where the resources that the caller sees are found.
    pub(crate) fn source(&self, kind: ResourceKind) -> IndexScan {
        let account = self.principal.account;
        let seen = self.reach(kind);
        let project = self.project.filter(|_| kind.is_scoped());
        let by_project =
            project.map(|id| IndexScan::Key(index_key(account, kind, index_fields::PROJECT, id.as_str())));
        let by_app = self.app.and_then(|app| {
            let field = match kind {
                ResourceKind::Action => "createdByApp",
                ResourceKind::User => "app",
                _ => return None,
            };
            Some(IndexScan::Key(index_key(account, kind, field, app.as_str())))
        });
        [by_project, by_app].into_iter().flatten().fold(seen, IndexScan::and)
    }

    /// Who sees what the caller creates, unless the document says so.
    pub(crate) fn default_scopes(&self) -> Scopes {
        let all_users = |project| Scopes { projects: vec![project], users: UserScope::All };
        match (self.principal.actor, self.principal.project) {
            (Actor::User(user), Some(project)) => {
                Scopes { projects: vec![project], users: UserScope::Only(vec![user]) }
            }
            (Actor::Application(_) | Actor::TrustedApplication(_), Some(project)) => all_users(project),
            (Actor::Operator(_) | Actor::AccessToken(_), _) => match (self.project, self.own_projects()) {
                (Some(project), _) => all_users(project),
                // A caller that sees one project only must see what it creates.
                (None, Some(projects)) if projects.len() == 1 => all_users(projects[0]),
                (None, _) => Scopes::default(),
            },
            _ => Scopes::default(),
        }
    }

    /// The projects that the caller may scope something to here; `None` for any of the account.
    pub(crate) fn own_projects(&self) -> Option<Vec<Id>> {
        let mut projects: Vec<Id> = self.principal.project.into_iter().collect();
        for view in &self.views {
            match view {
                Visibility::Account => return None,
                Visibility::Projects(own) | Visibility::Device { projects: own, .. } => {
                    projects.extend(own.iter());
                }
                Visibility::Only(conditions) => {
                    let named = conditions.iter().filter(|(kind, _)| *kind == ResourceKind::Project);
                    let before = projects.len();
                    projects.extend(named.map(|(_, id)| *id));
                    if projects.len() == before {
                        return None;
                    }
                }
                Visibility::User { .. } | Visibility::Itself(_) => {}
            }
        }
        projects.sort_unstable();
        projects.dedup();
        Some(projects)
    }
}

/// A publish to a topic: the topic, and the context with the topic's own verb.
///
/// Only [`RequestContext::publish`] makes one, so rights to read, or on another topic, never suffice to publish.
/// It serves any number of publishes: it depends on nothing but the principal and the topic string.
#[derive(Debug)]
pub struct PublishContext {
    context: RequestContext,
    topic: Topic,
    /// The metadata of the resource that the last publish was authorized for, and the generation of its cache.
    authorized: Mutex<Option<(u64, Arc<ResourceMeta>)>>,
}

impl PublishContext {
    /// The principal that publishes.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.context.principal
    }

    /// The topic that is published to.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(crate) fn context(&self) -> &RequestContext {
        &self.context
    }

    /// What [`set_authorized`](Self::set_authorized) got at this generation.
    pub(crate) fn authorized_at(&self, generation: u64) -> Option<Arc<ResourceMeta>> {
        let authorized = self.authorized.lock();
        authorized.as_ref().filter(|(at, _)| *at == generation).map(|(_, meta)| Arc::clone(meta))
    }

    pub(crate) fn set_authorized(&self, generation: u64, meta: &Arc<ResourceMeta>) {
        *self.authorized.lock() = Some((generation, Arc::clone(meta)));
    }
}

/// A subscription to a topic: the topic, and the context that reads it. Only [`RequestContext::subscribe`] makes one.
#[derive(Debug, Clone)]
pub struct SubscribeContext {
    context: RequestContext,
    topic: TopicString,
}

impl SubscribeContext {
    /// The principal that subscribes.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.context.principal
    }

    /// The topic with its options.
    pub fn topic(&self) -> &TopicString {
        &self.topic
    }

    /// The topic with its options, for a subscription that keeps nothing else.
    pub fn into_topic(self) -> TopicString {
        self.topic
    }

    pub(crate) fn context(&self) -> &RequestContext {
        &self.context
    }

    /// The context that reads the topic's state right now: within the project that the topic asks for.
    pub(crate) fn of_state(&self) -> RequestContext {
        RequestContext { project: self.topic.options.project, ..self.context.clone() }
    }
}

/// A path with each segment decoded, as routes and topics take it. A slash that was escaped does not part segments.
pub(crate) fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return path.into();
    }
    let decode =
        |segment| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().replace('/', "\0");
    path.split('/').map(decode).collect::<Vec<String>>().join("/").into()
}

/// Where the resources of a view are found. The view is asked about each of them all the same.
fn source_of(view: &Visibility, account: Id, kind: ResourceKind) -> IndexScan {
    let by = |field: &str, id: &Id| IndexScan::Key(index_key(account, kind, field, id.as_str()));
    let in_projects =
        |projects: &[Id]| IndexScan::Any(projects.iter().map(|id| by(index_fields::PROJECT, id)).collect());
    match (view, kind) {
        // The roles of an account are few, and no secret.
        (Visibility::Account, _)
        | (Visibility::Projects(_) | Visibility::User { .. }, ResourceKind::Role) => IndexScan::All,
        (Visibility::Itself(own), _) => IndexScan::Ids(vec![*own]),
        (Visibility::Projects(projects), ResourceKind::Project) => IndexScan::Ids(projects.to_vec()),
        (Visibility::Projects(projects), _) => in_projects(projects),
        (Visibility::User { user, .. }, ResourceKind::User) => IndexScan::Ids(vec![*user]),
        (Visibility::User { project, user }, _) => {
            IndexScan::Any(vec![by(index_fields::ALL_USERS, project), by(index_fields::USER, user)])
        }
        (Visibility::Device { thng, .. }, ResourceKind::Thng) => IndexScan::Ids(vec![*thng]),
        (Visibility::Device { product, .. }, ResourceKind::Product) => {
            IndexScan::Ids(product.iter().copied().collect())
        }
        (Visibility::Device { thng, product, .. }, ResourceKind::Action) => {
            let by_product = product.iter().map(|product| by("product", product));
            IndexScan::Any(std::iter::once(by("thng", thng)).chain(by_product).collect())
        }
        (Visibility::Device { .. }, ResourceKind::ActionType) => IndexScan::All,
        (Visibility::Device { .. }, _) => IndexScan::Ids(Vec::new()),
        (Visibility::Only(conditions), kind) => {
            let of = |kind| conditions.iter().filter(move |(named, _)| *named == kind).map(|(_, id)| *id);
            let own: Vec<Id> = of(kind).collect();
            let projects: Vec<Id> = of(ResourceKind::Project).collect();
            match (own.is_empty(), projects.is_empty() || !kind.is_scoped() || kind == ResourceKind::Project)
            {
                (false, _) => IndexScan::Ids(own),
                (true, true) => IndexScan::All,
                (true, false) => in_projects(&projects),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_segment_by_segment() {
        for (path, expected) in [
            ("/actions/scans", "/actions/scans"),
            ("/actions/%5Fadmin", "/actions/_admin"),
            ("/actions/a%2Fb/x", "/actions/a\0b/x"),
            ("/actions/%ZZ", "/actions/%ZZ"),
        ] {
            assert_eq!(decoded(path), expected, "{path}");
        }
    }
}
