//! An account with two projects and every kind of principal, and calls as transports make them.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
    topic::{TopicString, table::Access},
};
use tokio::sync::Notify;

use crate::{
    auth::Principal,
    error::BrokerError,
    identity::{Identity, Rights},
    pubsub::{DeliveryQos, OutboundQueue, OutboundQueueLimits, PubSub, SubscribeGrant, SubscriptionHandle},
    request::RequestContext,
    resources::{ListQuery, ListScope, NewResource, PageRequest, ResourceRecord, Resources},
    settings::ServiceSettings,
    testing::TestBroker,
};

/// How long anything may take on a busy machine before a test calls it lost.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// A broker, and in one of its accounts two projects with an application and users each.
pub(super) struct World {
    pub(super) broker: TestBroker,
    pub(super) project: ResourceId,
    pub(super) other_project: ResourceId,
    /// Keys of the first project, and of a thng in it.
    pub(super) application: Arc<Principal>,
    pub(super) trusted: Arc<Principal>,
    pub(super) ada: Arc<Principal>,
    pub(super) bob: Arc<Principal>,
    pub(super) device: Arc<Principal>,
    /// An access token for the first project, which may do everything there.
    pub(super) token: Arc<Principal>,
    /// The trusted application and a user of the other project.
    pub(super) other_trusted: Arc<Principal>,
    pub(super) other_user: Arc<Principal>,
}

/// The id of a resource, for documents and paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResourceId(pub(super) Id);

impl serde::Serialize for ResourceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl std::fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

/// The resource that a key belongs to, such as a user or a thng.
pub(super) fn id_of(principal: &Principal) -> ResourceId {
    ResourceId(principal.actor.id())
}

/// A subscription, and what it has received.
pub(super) struct Subscriber {
    queue: Arc<OutboundQueue>,
    _handle: SubscriptionHandle,
}

/// The kind of the resources below a path such as `/thngs` or `/thngs/ID`, and the id if the path has one.
fn resource(path: &str) -> (ResourceKind, Option<Id>) {
    let mut segments = path.split('/').skip(1);
    let kind = match segments.next().expect("a path has a segment") {
        "thngs" => ResourceKind::Thng,
        "products" => ResourceKind::Product,
        "collections" => ResourceKind::Collection,
        "places" => ResourceKind::Place,
        "actionTypes" => ResourceKind::ActionType,
        "actions" => ResourceKind::Action,
        "projects" => ResourceKind::Project,
        "batches" if path.contains("/tasks") => ResourceKind::Task,
        "batches" => ResourceKind::Batch,
        "accessPolicies" => ResourceKind::AccessPolicy,
        other => panic!("{other} is no list of the tests"),
    };
    (kind, segments.last().and_then(|id| Id::parse(id).ok()))
}

/// A call by a principal on a path, which may end in `?project=`.
pub(super) fn context(by: &Arc<Principal>, access: Access, path: &str) -> RequestContext {
    let (path, project) = path.split_once("?project=").map_or((path, None), |(path, id)| (path, Some(id)));
    let project = project.map(|id| Id::parse(id).expect("the id of a project"));
    let mut request = RequestContext::new(by, access, path);
    request.project = project;
    request
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// As [`World::new`], with other settings.
    pub(super) async fn with(change: impl FnOnce(&mut ServiceSettings)) -> Self {
        let broker = TestBroker::open_with(change).await;
        let owner = Arc::clone(&broker.owner);
        let mut projects = Vec::new();
        let mut keys = Vec::new();
        for _ in 0..2 {
            let project = broker.create(ResourceKind::Project, "/projects", r#"{"name":"p"}"#).await.id;
            let body = br#"{"name":"a","socialNetworks":{}}"#;
            let patch = Patch::parse(ResourceKind::Application, body).expect("an application");
            let path = format!("/projects/{project}/applications");
            let request = context(&owner, Access::Create, &path);
            let application =
                broker.resources.create_application(&request, project, patch, 0).await.expect("created").id;
            let (_, public) = broker.resources.public_key(application).expect("stored").expect("a key");
            let public = broker.identity.authenticate(public.trim_matches('"')).await.expect("a key");
            let secret = broker.resources.secret_key(application).expect("a key");
            let trusted = broker.identity.authenticate(&secret).await.expect("a key");
            projects.push(project);
            keys.push((public, trusted));
        }
        let mut users = Vec::new();
        for (application, _) in [&keys[0], &keys[0], &keys[1]] {
            let request = context(application, Access::Create, "/auth/evrythng/users");
            let address = Ipv4Addr::LOCALHOST.into();
            let new = broker.identity.create_user(&request, address, b"{}", true).await.expect("a user");
            users.push(broker.identity.authenticate(&new.key.expect("a key")).await.expect("a key"));
        }
        let account = owner.account.to_string();
        let policy = json!({"name": "all", "permissions": ["thngs:create,read,list,update,delete"]});
        broker.create(ResourceKind::AccessPolicy, "/accessPolicies", &policy.to_string()).await;
        let everything = ["evt:accountAdmin".to_owned()];
        let condition = [format!("projects:{}", projects[0])];
        let token = broker.identity.make_token(Some(&account), "t", &everything, &condition).await;
        let token = broker.identity.authenticate(&token.expect("a token").text).await.expect("a key");
        let (application, trusted) = keys.remove(0);
        let (_, other_trusted) = keys.remove(0);
        let [ada, bob, other_user] = users.try_into().expect("three users");
        let (project, other_project) = (ResourceId(projects[0]), ResourceId(projects[1]));
        let device = Arc::clone(&owner);
        let mut world = Self {
            broker,
            project,
            other_project,
            application,
            trusted,
            ada,
            bob,
            device,
            token,
            other_trusted,
            other_user,
        };
        let product =
            world.create(&owner, &format!("/products?project={project}"), json!({"name": "p"})).await;
        let thng = json!({"name": "t", "product": product.expect("a product")});
        let thng = world.create(&owner, &format!("/thngs?project={project}"), thng).await.expect("a thng");
        world.device = world.device_of(thng).await;
        world
    }

    pub(super) fn pubsub(&self) -> &PubSub {
        &self.broker.pubsub
    }

    pub(super) fn resources(&self) -> &Resources {
        &self.broker.resources
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.broker.identity
    }

    pub(super) fn owner(&self) -> Arc<Principal> {
        Arc::clone(&self.broker.owner)
    }

    /// The key of a thng.
    pub(super) async fn device_of(&self, thng: ResourceId) -> Arc<Principal> {
        let owner = self.owner();
        let request = context(&owner, Access::Create, "/auth/evrythng/thngs");
        let key = self.identity().issue_device_key(&request, thng.0).await.expect("a key");
        self.identity().authenticate(&key).await.expect("a key")
    }

    /// An operator of the account with these policies.
    pub(super) async fn operator(&self, policies: &[&str]) -> Arc<Principal> {
        let account = self.owner().account.to_string();
        let policies = policies.iter().map(|policy| (*policy).to_owned()).collect();
        let rights = Rights { policies, ..Rights::default() };
        let key = self.identity().make_operator_key(Some(&account), "eve@example.com", &rights).await;
        self.identity().authenticate(&key.expect("an operator").text).await.expect("a key")
    }

    /// Creates a resource below a path, which may end in `?project=`.
    pub(super) async fn create(
        &self,
        by: &Arc<Principal>,
        path: &str,
        body: Value,
    ) -> Result<ResourceId, BrokerError> {
        let request = context(by, Access::Create, path);
        let (kind, _) = resource(request.path());
        let patch = Patch::parse(kind, body.to_string().as_bytes())?;
        Ok(ResourceId(self.resources().create(&request, NewResource::of(patch), 0).await?.id))
    }

    /// Something new of the owner's.
    pub(super) async fn made(&self, path: &str, body: Value) -> ResourceId {
        self.create(&self.owner(), path, body).await.expect("it is created")
    }

    pub(super) async fn update(
        &self,
        by: &Arc<Principal>,
        path: &str,
        body: Value,
    ) -> Result<(), BrokerError> {
        let request = context(by, Access::Update, path);
        let (kind, id) = resource(request.path());
        let patch = Patch::parse(kind, body.to_string().as_bytes())?;
        self.resources().update(&request, id.expect("an id"), patch, 0).await.map(drop)
    }

    /// Changes all that `ids` name.
    pub(super) async fn update_many(
        &self,
        by: &Arc<Principal>,
        path: &str,
        ids: &[ResourceId],
        body: Value,
    ) -> Result<usize, BrokerError> {
        let request = context(by, Access::Update, path);
        let body = body.to_string();
        let patch = Patch::parse(resource(request.path()).0, body.as_bytes())?;
        let query = ListQuery { ids: Some(ids.iter().map(|id| id.0).collect()), ..ListQuery::one() };
        self.resources().update_many(&request, patch, &query, body.len()).await
    }

    pub(super) async fn delete(&self, by: &Arc<Principal>, path: &str) -> Result<(), BrokerError> {
        let request = context(by, Access::Delete, path);
        let (kind, id) = resource(request.path());
        self.resources().delete(&request, kind, id.expect("an id")).await
    }

    /// Deletes all that `ids` name.
    pub(super) async fn delete_many(
        &self,
        by: &Arc<Principal>,
        path: &str,
        ids: &[ResourceId],
    ) -> Result<usize, BrokerError> {
        let request = context(by, Access::Delete, path);
        let query = ListQuery { ids: Some(ids.iter().map(|id| id.0).collect()), ..ListQuery::one() };
        self.resources().delete_many(&request, resource(request.path()).0, &query).await
    }

    pub(super) async fn read(&self, by: &Arc<Principal>, path: &str) -> Result<ResourceRecord, BrokerError> {
        let request = context(by, Access::Read, path);
        let (kind, id) = resource(request.path());
        self.resources().read(&request, kind, id.expect("an id")).await
    }

    /// The stored document of a resource, as the owner reads it.
    pub(super) async fn document(&self, path: &str) -> Value {
        let record = self.read(&self.owner(), path).await.expect("it is there");
        serde_json::from_str(&record.body).expect("a document is JSON")
    }

    /// The ids in the list of a path, newest first.
    pub(super) async fn list(&self, by: &Arc<Principal>, path: &str) -> Result<Vec<ResourceId>, BrokerError> {
        let request = context(by, Access::Read, path);
        self.listed(&request, resource(request.path()).0, ListScope::All).await
    }

    /// The members of a kind that a collection has, as the owner lists them.
    pub(super) async fn members(&self, collection: ResourceId, kind: ResourceKind) -> Vec<ResourceId> {
        let owner = self.owner();
        let request = context(&owner, Access::Read, "/collections");
        self.listed(&request, kind, ListScope::Members(collection.0)).await.expect("the owner lists members")
    }

    pub(super) async fn listed(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        scope: ListScope<'_>,
    ) -> Result<Vec<ResourceId>, BrokerError> {
        let page = PageRequest { items: 100, ..ListQuery::one().page };
        let query = ListQuery { page, ..ListQuery::one() };
        let (page, _) = self.resources().list(request, kind, scope, &query).await?;
        Ok(page.items.iter().map(|record| ResourceId(record.id)).collect())
    }

    pub(super) async fn publish(
        &self,
        by: &Arc<Principal>,
        topic: &str,
        payload: Value,
    ) -> Result<(), BrokerError> {
        let topic = TopicString::parse(topic).expect("a topic");
        let publish = RequestContext::publish(by, topic)?;
        self.pubsub().publish_and_wait(&publish, payload.to_string().as_bytes()).await
    }

    /// What a topic says now; `None` where nothing is stored.
    pub(super) async fn state(&self, by: &Arc<Principal>, topic: &str) -> Result<Option<Value>, BrokerError> {
        let topic = TopicString::parse(topic).expect("a topic");
        let state = self.pubsub().initial_state(&RequestContext::subscribe(by, topic)).await?;
        Ok(state.map(|state| serde_json::from_slice(&state).expect("a state is JSON")))
    }

    /// The right to subscribe to a topic.
    pub(super) fn grant(&self, by: &Arc<Principal>, topic: &str) -> Result<SubscribeGrant, BrokerError> {
        let topic = TopicString::parse(topic).expect("a topic");
        self.pubsub().grant(&RequestContext::subscribe(by, topic))
    }

    pub(super) async fn subscribe(
        &self,
        by: &Arc<Principal>,
        topic: &str,
    ) -> Result<Subscriber, BrokerError> {
        let topic = TopicString::parse(topic).expect("a topic");
        let limits = OutboundQueueLimits { messages: 100_000, bytes: 1 << 26 };
        let queue = OutboundQueue::new(limits, Arc::<Notify>::default());
        let subscribe = RequestContext::subscribe(by, topic);
        let handle = self.pubsub().subscribe(&subscribe, &queue, 0, DeliveryQos::AtLeastOnce, None).await?;
        Ok(Subscriber { queue, _handle: handle })
    }

    /// What a subscriber has received since the last call, of all that was answered before this one.
    pub(super) fn received(&self, subscriber: &Subscriber) -> Vec<Value> {
        assert!(self.broker.bus.flush(WAIT_MAX), "the bus delivers");
        let mut batch = Vec::new();
        subscriber.queue.take(&mut batch);
        batch.iter().map(|one| serde_json::from_slice(&one.body).expect("a payload is JSON")).collect()
    }
}

/// The sentences of a refusal.
pub(super) fn sentences<T: std::fmt::Debug>(refused: Result<T, BrokerError>) -> String {
    match refused.expect_err("it is refused") {
        BrokerError::Invalid(sentences) => sentences.join(" "),
        other => panic!("{other:?} is not about the content"),
    }
}
