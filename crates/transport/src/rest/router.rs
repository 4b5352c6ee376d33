//! The whole URL space of REST on one page: each path and verb with what it does, takes and answers, and its handler.
//!
//! The router and the OpenAPI document ([`super::openapi`]) are built from this table: every route is described, and
//! every description has a route. A test compares it with the topic table.

use std::{
    pin::Pin,
    sync::{Arc, LazyLock},
};

use axum::{Router, response::Response, routing::MethodRouter};
use thng_pubsub_protocol::{
    payload::ResourceKind as Kind,
    topic::{OwnerKind, SubjectKind, table::Access},
};

use super::{
    Context, HttpError, action,
    answered_call::AnsweredCall,
    application,
    call::{Call, RequestReporter},
    client_events, collection, device, location, operator,
    parameters::guard,
    property, resource, role, task, time, user,
};
use thng_pubsub_broker::identity::EXPLAIN;

type Answering = Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send>>;

/// What answers a route.
#[derive(Clone)]
pub(super) enum Handler {
    /// A client with a key that may do this.
    Keyed(Arc<dyn Fn(Call) -> Answering + Send + Sync>),
    /// Any client; the handler gets the query.
    Open(fn(Option<&str>) -> Result<Response, HttpError>),
}

/// A verb of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// What a body or an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// No body at all.
    Nothing,
    /// The document of one resource.
    One(Kind),
    /// An array of them.
    Many(Kind),
    /// A document that `openapi.rs` describes under this name.
    Named(&'static str),
}

/// The parameters behind the `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    /// Nothing of its own.
    Plain,
    /// A list of resources that can be filtered.
    List(Kind),
    /// A history.
    History,
    /// A deletion up to a time.
    Until,
    /// A change of all that `ids` or `filter` name.
    Selection(Kind),
    /// A removal of members: of those that `ids` name, else of all.
    Members,
    /// A creation, with `project`.
    Creation,
    /// `anonymous`.
    Anonymous,
    /// A list of client events.
    ClientEvents,
    /// `tz`.
    TimeZone,
}

/// One verb on one path.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) verb: Verb,
    /// With `{name}` for a segment of any text.
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) query: Query,
    pub(super) body: Shape,
    pub(super) status: u16,
    pub(super) answer: Shape,
    pub(super) handler: Handler,
}

impl Route {
    /// The verb of the right that it needs.
    pub(super) fn access(&self) -> Access {
        match self.verb {
            Verb::Get => Access::Read,
            Verb::Post if self.path == EXPLAIN => Access::Read,
            Verb::Post => Access::Create,
            Verb::Put => Access::Update,
            Verb::Delete => Access::Delete,
        }
    }

    fn covers(&self, path: &str) -> bool {
        let (mut template, mut path) = (self.path.split('/'), path.split('/'));
        let matches = |template: &str, segment: &str| template.starts_with('{') || template == segment;
        template.all(|template| path.next().is_some_and(|segment| matches(template, segment)))
            && path.next().is_none()
    }

    fn tells(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    fn asks(self, query: Query) -> Self {
        Self { query, ..self }
    }

    fn takes(self, body: Shape) -> Self {
        Self { body, ..self }
    }

    fn answers(self, status: u16, answer: Shape) -> Self {
        Self { status, answer, ..self }
    }
}

/// Collects routes under the heading of a tag.
struct Table {
    tag: &'static str,
    routes: Vec<Route>,
}

fn route<F>(
    verb: Verb,
    path: &'static str,
    summary: &'static str,
    handler: impl Fn(Call) -> F + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, HttpError>> + Send + 'static,
{
    let handler = Handler::Keyed(Arc::new(move |call| Box::pin(handler(call))));
    let (query, body, answer) = (Query::Plain, Shape::Nothing, Shape::Nothing);
    let status = if verb == Verb::Post { 201 } else { 200 };
    Route { verb, path, tag: "", summary, about: "", query, body, status, answer, handler }
}

impl Table {
    fn add(&mut self, route: Route) {
        self.routes.push(Route { tag: self.tag, ..route });
    }

    /// What every kind of resource has: a list, and each by its id.
    fn resource(&mut self, list: &'static str, one: &'static str, kind: Kind) {
        self.add(
            route(Verb::Get, list, "List", move |call| resource::list(call, kind))
                .asks(Query::List(kind))
                .answers(200, Shape::Many(kind)),
        );
        self.add(
            route(Verb::Post, list, "Create", move |call| resource::create(call, kind))
                .asks(Query::Creation)
                .takes(Shape::One(kind))
                .answers(201, Shape::One(kind)),
        );
        self.one(one, kind);
        self.add(route(Verb::Delete, one, "Delete", move |call| resource::delete(call, kind)));
    }

    fn one(&mut self, one: &'static str, kind: Kind) {
        self.add(
            route(Verb::Get, one, "Read", move |call| resource::read(call, kind))
                .answers(200, Shape::One(kind)),
        );
        self.add(
            route(Verb::Put, one, "Update", move |call| resource::update(call, kind))
                .tells(MERGE)
                .takes(Shape::One(kind))
                .answers(200, Shape::One(kind)),
        );
    }

    /// Changes of many at once.
    fn bulk(&mut self, list: &'static str, kind: Kind) {
        self.add(
            route(Verb::Put, list, "Update many", move |call| resource::update_many(call, kind))
                .tells(BULK)
                .asks(Query::Selection(kind))
                .takes(Shape::One(kind))
                .answers(204, Shape::Nothing),
        );
        self.add(
            route(Verb::Delete, list, "Delete many", move |call| resource::delete_many(call, kind))
                .tells(BULK)
                .asks(Query::Selection(kind)),
        );
    }

    fn properties(&mut self, all: &'static str, one: &'static str, kind: OwnerKind) {
        self.add(
            route(Verb::Get, all, "Read all properties", move |call| property::latest(call, kind))
                .tells("The latest value of each.")
                .answers(200, Shape::Named("PropertyUpdates")),
        );
        for verb in [Verb::Put, Verb::Post] {
            let status = 200;
            self.add(
                route(verb, all, "Update properties", move |call| property::update(call, kind))
                    .tells("PUT and POST do the same. Subscribers receive what is stored.")
                    .takes(Shape::Named("PropertyWrites"))
                    .answers(status, Shape::Named("PropertyUpdates")),
            );
            self.add(route(verb, one, "Update a property", move |call| property::update_one(call, kind)).tells("Creates it where it is new. Several values with timestamps of their own may come at once.").takes(Shape::Named("PropertyValueWrites")).answers(status, Shape::Named("PropertyUpdates")));
        }
        self.add(
            route(Verb::Delete, all, "Delete all properties", move |call| property::delete(call, kind))
                .asks(Query::Until),
        );
        self.add(
            route(Verb::Get, one, "Read a property's history", move |call| property::history(call, kind))
                .tells("Newest first, unless `sortOrder` says otherwise.")
                .asks(Query::History)
                .answers(200, Shape::Named("PropertyHistory")),
        );
        self.add(
            route(Verb::Delete, one, "Delete a property", move |call| property::delete_one(call, kind))
                .tells("All of its values, or those before `to`.")
                .asks(Query::Until),
        );
    }

    fn actions(&mut self, list: &'static str, one: &'static str, below: action::ActionParent) {
        self.add(
            route(Verb::Get, list, "List actions", move |call| action::list(call, below))
                .tells("Of the type in the path, or of all types with `all`. Newest first.")
                .asks(Query::List(Kind::Action))
                .answers(200, Shape::Many(Kind::Action)),
        );
        self.add(
            route(Verb::Post, list, "Create an action", move |call| action::create(call, below))
                .tells("One, or an array of them. With `all` in the path each names its type.")
                .asks(Query::Creation)
                .takes(Shape::Named("ActionWrites"))
                .answers(201, Shape::Named("ActionOrActions")),
        );
        self.add(
            route(Verb::Get, one, "Read an action", move |call| action::read(call, below))
                .answers(200, Shape::One(Kind::Action)),
        );
        self.add(route(Verb::Delete, one, "Delete an action", move |call| action::delete(call, below)));
    }

    fn account_accesses(&mut self, list: &'static str, one: &'static str) {
        self.add(
            route(Verb::Get, list, "List accesses", operator::accesses)
                .asks(Query::List(Kind::Access))
                .answers(200, Shape::Many(Kind::Access)),
        );
        self.add(
            route(Verb::Post, list, "Let an operator in", operator::create_access)
                .tells("Makes an operator with an API key of their own, which the answer shows.")
                .takes(Shape::One(Kind::Access))
                .answers(201, Shape::One(Kind::Access)),
        );
        self.add(
            route(Verb::Get, one, "Read an access", operator::read_access)
                .answers(200, Shape::One(Kind::Access)),
        );
        self.add(
            route(Verb::Put, one, "Update an access", operator::update_access)
                .takes(Shape::One(Kind::Access))
                .answers(200, Shape::One(Kind::Access)),
        );
        self.add(
            route(Verb::Delete, one, "Take an access away", operator::delete_access)
                .tells("And with it the operator and their key.")
                .answers(204, Shape::Nothing),
        );
    }
}

const MERGE: &str = "What the body names replaces what was there, whole; what it does not name stays. `null` takes a field away.";

const BULK: &str = "All that `ids` or `filter` name. A call that is refused at once changes nothing, also where more are meant than one call changes. A large deletion is stored in several steps: the refusal of a later step says how many resources are changed already. `x-result-count` says how many there were.";

const MEMBERS: &str = "Those that `ids` name; without `ids` all of them. Ids that are not in the collection are passed over. `x-result-count` says how many were removed.";

const CLIENT_EVENTS: &str = "What happened to connections and requests, and why: newest first, about a second later. Equal events of a minute are one with a count. A key that may do everything in the account sees all of the account, any other key what happened with keys of its own actor. The account that `--system-account` names also sees what has no account.";

/// Every route.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Route> {
    let mut t = Table { tag: "Thngs", routes: Vec::new() };
    t.resource("/thngs", "/thngs/{id}", Kind::Thng);
    t.bulk("/thngs", Kind::Thng);
    t.properties("/thngs/{id}/properties", "/thngs/{id}/properties/{key}", OwnerKind::Thng);
    t.add(route(Verb::Get, "/thngs/{id}/location", "Read a thng's locations", location::history).tells("Newest first, unless `sortOrder` says otherwise.").asks(Query::History).answers(200, Shape::Named("Locations")));
    t.add(route(Verb::Put, "/thngs/{id}/location", "Update a thng's location", location::update).takes(Shape::Named("LocationWrites")).answers(200, Shape::Named("Locations")));
    t.add(route(Verb::Delete, "/thngs/{id}/location", "Delete a thng's locations", location::delete).tells("All, or those before `to`.").asks(Query::Until));
    t.add(route(Verb::Get, "/thngs/{id}/commissionState", "Read whether a thng was commissioned", task::commission_state).answers(200, Shape::Named("CommissionState")));
    t.add(route(Verb::Get, "/thngs/{id}/clientEvents", "List client events of a thng", client_events::of_thng).tells("What happened to connections and requests with the thng's own key: newest first, about a second later.").asks(Query::ClientEvents).answers(200, Shape::Named("ClientEvents")));
    t.actions("/thngs/{id}/actions/{type}", "/thngs/{id}/actions/{type}/{action}", Some(SubjectKind::Thng));

    t.tag = "Products";
    t.resource("/products", "/products/{id}", Kind::Product);
    t.bulk("/products", Kind::Product);
    t.properties("/products/{id}/properties", "/products/{id}/properties/{key}", OwnerKind::Product);
    t.actions("/products/{id}/actions/{type}", "/products/{id}/actions/{type}/{action}", Some(SubjectKind::Product));

    t.tag = "Collections";
    t.resource("/collections", "/collections/{id}", Kind::Collection);
    t.bulk("/collections", Kind::Collection);
    t.add(route(Verb::Get, "/collections/{id}/thngs", "List a collection's thngs", collection::thngs).asks(Query::List(Kind::Thng)).answers(200, Shape::Many(Kind::Thng)));
    t.add(route(Verb::Put, "/collections/{id}/thngs", "Add thngs", collection::add_thngs).takes(Shape::Named("Ids")).answers(200, Shape::One(Kind::Collection)));
    t.add(route(Verb::Delete, "/collections/{id}/thngs", "Remove thngs", |call| collection::remove_members(call, Kind::Thng)).tells(MEMBERS).asks(Query::Members));
    t.add(route(Verb::Delete, "/collections/{id}/thngs/{member}", "Remove a thng", collection::remove_thng));
    t.add(route(Verb::Get, "/collections/{id}/collections", "List a collection's collections", collection::collections).asks(Query::List(Kind::Collection)).answers(200, Shape::Many(Kind::Collection)));
    for verb in [Verb::Post, Verb::Put] {
        t.add(route(verb, "/collections/{id}/collections", "Add collections", collection::add_collections).tells("None may be inside itself, also not by way of others.").takes(Shape::Named("Ids")).answers(200, Shape::Nothing));
    }
    t.add(route(Verb::Delete, "/collections/{id}/collections", "Remove collections", |call| collection::remove_members(call, Kind::Collection)).tells(MEMBERS).asks(Query::Members));
    t.add(route(Verb::Delete, "/collections/{id}/collections/{member}", "Remove a collection", collection::remove_collection));
    t.actions("/collections/{id}/actions/{type}", "/collections/{id}/actions/{type}/{action}", Some(SubjectKind::Collection));

    t.tag = "Actions";
    t.add(route(Verb::Get, "/actions", "List action types", action::types).tells("Those that are built in, then those of the account, newest first.").asks(Query::List(Kind::ActionType)).answers(200, Shape::Many(Kind::ActionType)));
    t.add(route(Verb::Post, "/actions", "Create an action type", action::create_type).asks(Query::Creation).takes(Shape::One(Kind::ActionType)).answers(201, Shape::One(Kind::ActionType)));
    t.actions("/actions/{type}", "/actions/{type}/{action}", None);
    t.add(route(Verb::Put, "/actions/{type}", "Update an action type", action::update_type).takes(Shape::One(Kind::ActionType)).answers(200, Shape::One(Kind::ActionType)));
    t.add(route(Verb::Delete, "/actions/{type}", "Delete an action type", action::delete_type).tells("Its actions stay."));
    t.add(route(Verb::Get, "/actionTypes", "List action types", action::types).asks(Query::List(Kind::ActionType)).answers(200, Shape::Many(Kind::ActionType)));
    t.add(route(Verb::Post, "/actionTypes", "Create an action type", action::create_type).asks(Query::Creation).takes(Shape::One(Kind::ActionType)).answers(201, Shape::One(Kind::ActionType)));
    t.add(route(Verb::Get, "/actionTypes/{type}", "Read an action type", action::read_type).answers(200, Shape::One(Kind::ActionType)));
    t.add(route(Verb::Put, "/actionTypes/{type}", "Update an action type", action::update_type).takes(Shape::One(Kind::ActionType)).answers(200, Shape::One(Kind::ActionType)));
    t.add(route(Verb::Delete, "/actionTypes/{type}", "Delete an action type", action::delete_type));

    t.tag = "Places";
    t.resource("/places", "/places/{id}", Kind::Place);

    t.tag = "Batches";
    t.resource("/batches", "/batches/{id}", Kind::Batch);
    t.add(route(Verb::Get, "/batches/{id}/tasks", "List a batch's tasks", task::list).asks(Query::List(Kind::Task)).answers(200, Shape::Many(Kind::Task)));
    t.add(route(Verb::Post, "/batches/{id}/tasks", "Start a task", task::create).tells("The work goes on after the answer; `location` says where the task is. Its end is published on the topics of this path and of the task.").takes(Shape::One(Kind::Task)).answers(202, Shape::Nothing));
    t.add(route(Verb::Get, "/batches/{id}/tasks/{task}", "Read a task", task::read).answers(200, Shape::One(Kind::Task)));
    t.add(route(Verb::Get, "/batches/{id}/tasks/{task}/logs", "Read a task's log", task::logs).answers(200, Shape::Named("TaskLog")));

    t.tag = "Projects and applications";
    t.resource("/projects", "/projects/{id}", Kind::Project);
    t.add(route(Verb::Delete, "/projects", "Delete many", |call| resource::delete_many(call, Kind::Project)).tells(BULK).asks(Query::Selection(Kind::Project)));
    t.add(route(Verb::Get, "/projects/{project}/applications", "List a project's applications", application::list).asks(Query::List(Kind::Application)).answers(200, Shape::Many(Kind::Application)));
    t.add(route(Verb::Post, "/projects/{project}/applications", "Create an application", application::create).tells("With a public and a secret key.").takes(Shape::One(Kind::Application)).answers(201, Shape::One(Kind::Application)));
    t.add(route(Verb::Get, "/projects/{project}/applications/{id}", "Read an application", application::read).answers(200, Shape::One(Kind::Application)));
    t.add(route(Verb::Put, "/projects/{project}/applications/{id}", "Update an application", application::update).tells(MERGE).takes(Shape::One(Kind::Application)).answers(200, Shape::One(Kind::Application)));
    t.add(route(Verb::Delete, "/projects/{project}/applications/{id}", "Delete an application", application::delete).tells("Its keys and its users go with it."));
    t.add(route(Verb::Get, "/projects/{project}/applications/{id}/secretKey", "Read an application's secret key", application::secret_key).answers(200, Shape::Named("SecretKey")));
    t.add(route(Verb::Get, "/projects/{project}/applications/{id}/redirector", "Read an application's redirector rules", application::redirector).answers(200, Shape::Named("Redirector")));
    t.add(route(Verb::Put, "/projects/{project}/applications/{id}/redirector", "Keep an application's redirector rules", application::set_redirector).takes(Shape::Named("Redirector")).answers(200, Shape::Named("Redirector")));
    t.add(route(Verb::Get, "/applications", "List all applications", application::list).asks(Query::List(Kind::Application)).answers(200, Shape::Many(Kind::Application)));
    t.add(route(Verb::Get, "/applications/me", "Read one's own application", application::read).answers(200, Shape::One(Kind::Application)));
    t.add(route(Verb::Put, "/applications/me", "Update one's own application", application::update).tells(MERGE).takes(Shape::One(Kind::Application)).answers(200, Shape::One(Kind::Application)));
    t.add(route(Verb::Get, "/applications/me/redirector", "Read one's own redirector rules", application::redirector).answers(200, Shape::Named("Redirector")));
    t.add(route(Verb::Put, "/applications/me/redirector", "Keep one's own redirector rules", application::set_redirector).takes(Shape::Named("Redirector")).answers(200, Shape::Named("Redirector")));
    t.add(route(Verb::Get, "/applications/{id}", "Read an application", application::read).answers(200, Shape::One(Kind::Application)));
    t.add(route(Verb::Get, "/redirector", "Read the account's redirector rules", application::account_redirector).answers(200, Shape::Named("Redirector")));
    t.add(route(Verb::Put, "/redirector", "Keep the account's redirector rules", application::set_account_redirector).takes(Shape::Named("Redirector")).answers(200, Shape::Named("Redirector")));

    t.tag = "Users and devices";
    t.add(route(Verb::Post, "/auth/evrythng/users", "Create an application user", user::create).tells("Anonymous with `anonymous=true`; else with email and password, to be validated.").asks(Query::Anonymous).takes(Shape::Named("NewUser")).answers(201, Shape::Named("UserAccess")));
    t.add(route(Verb::Post, "/auth/evrythng/users/{id}/validate", "Validate an application user", user::validate).takes(Shape::Named("Activation")).answers(201, Shape::Named("UserAccess")));
    t.add(route(Verb::Post, "/auth/evrythng", "Log an application user in", user::authenticate).takes(Shape::Named("Credentials")).answers(201, Shape::Named("UserAccess")));
    t.add(route(Verb::Post, "/auth/all/logout", "Log out", user::log_out).tells("The key is no key from then on.").answers(201, Shape::Named("Logout")));
    t.add(route(Verb::Post, "/users/login", "Log an application user in", user::log_in).takes(Shape::Named("Credentials")).answers(200, Shape::Named("UserWithAccess")));
    t.add(route(Verb::Get, "/users", "List application users", user::list).tells("Anonymous ones are read by their id only.").asks(Query::List(Kind::User)).answers(200, Shape::Many(Kind::User)));
    t.one("/users/{id}", Kind::User);
    t.add(route(Verb::Delete, "/users/{id}", "Delete", |call| resource::delete(call, Kind::User)));
    t.add(route(Verb::Get, "/users/{id}/status", "Read whether a user is active", user::status).answers(200, Shape::Named("UserStatus")));
    t.add(route(Verb::Post, "/auth/evrythng/thngs", "Give a thng a key", device::create).tells("A thng that has one keeps it.").takes(Shape::Named("DeviceKeyWrite")).answers(201, Shape::Named("DeviceKey")));
    t.add(route(Verb::Get, "/auth/evrythng/thngs/{id}", "Read a thng's key", device::read).answers(200, Shape::Named("DeviceKey")));
    t.add(route(Verb::Delete, "/auth/evrythng/thngs/{id}", "Take a thng's key away", device::delete));

    t.tag = "Roles and policies";
    t.add(route(Verb::Get, "/roles", "List roles", role::list).tells("Those that are built in, then those of the account.").asks(Query::List(Kind::Role)).answers(200, Shape::Many(Kind::Role)));
    t.add(route(Verb::Post, "/roles", "Create a role", role::create).takes(Shape::One(Kind::Role)).answers(201, Shape::One(Kind::Role)));
    t.add(route(Verb::Get, "/roles/{id}", "Read a role", role::read).answers(200, Shape::One(Kind::Role)));
    t.add(route(Verb::Put, "/roles/{id}", "Update a role", role::update).takes(Shape::One(Kind::Role)).answers(200, Shape::One(Kind::Role)));
    t.add(route(Verb::Delete, "/roles/{id}", "Delete a role", role::delete));
    t.add(route(Verb::Get, "/roles/{id}/permissions", "Read what a role grants", role::permissions).answers(200, Shape::Named("Permissions")));
    t.add(route(Verb::Put, "/roles/{id}/permissions", "Replace what a role grants", role::replace_permissions).tells("Of a role of application users everything but the defaults. Open connections keep what they had until they connect again.").takes(Shape::Named("Permissions")).answers(200, Shape::Named("Permissions")));
    t.add(route(Verb::Get, "/roles/{id}/permissions/{name}", "Read one permission of a role of operators", role::permission).answers(200, Shape::Named("OperatorPermission")));
    t.add(route(Verb::Put, "/roles/{id}/permissions/{name}", "Set one permission of a role of operators", role::set_permission).takes(Shape::Named("SwitchWrite")).answers(200, Shape::Named("OperatorPermission")));
    t.add(route(Verb::Get, "/accessPolicies", "List access policies", role::policies).asks(Query::List(Kind::AccessPolicy)).answers(200, Shape::Many(Kind::AccessPolicy)));
    t.add(route(Verb::Post, "/accessPolicies", "Create an access policy", |call| resource::create(call, Kind::AccessPolicy)).takes(Shape::One(Kind::AccessPolicy)).answers(201, Shape::One(Kind::AccessPolicy)));
    t.add(route(Verb::Get, "/accessPolicies/{id}", "Read an access policy", role::policy).answers(200, Shape::One(Kind::AccessPolicy)));
    t.add(route(Verb::Put, "/accessPolicies/{id}", "Update an access policy", |call| resource::update(call, Kind::AccessPolicy)).takes(Shape::One(Kind::AccessPolicy)).answers(200, Shape::One(Kind::AccessPolicy)));
    t.add(route(Verb::Delete, "/accessPolicies/{id}", "Delete an access policy", |call| resource::delete_silently(call, Kind::AccessPolicy)).answers(204, Shape::Nothing));
    t.add(route(Verb::Get, "/accessTokens", "List access tokens", |call| resource::list(call, Kind::AccessToken)).tells("Without their keys.").asks(Query::List(Kind::AccessToken)).answers(200, Shape::Many(Kind::AccessToken)));
    t.add(route(Verb::Post, "/accessTokens", "Create an access token", role::create_token).tells("The answer is the only one that shows its key.").takes(Shape::One(Kind::AccessToken)).answers(201, Shape::One(Kind::AccessToken)));
    t.add(route(Verb::Get, "/accessTokens/{id}", "Read an access token", |call| resource::read(call, Kind::AccessToken)).answers(200, Shape::One(Kind::AccessToken)));
    t.add(route(Verb::Put, "/accessTokens/{id}", "Update an access token", role::update_token).takes(Shape::One(Kind::AccessToken)).answers(200, Shape::One(Kind::AccessToken)));
    t.add(route(Verb::Delete, "/accessTokens/{id}", "Delete an access token", role::delete_token).answers(204, Shape::Nothing));

    t.tag = "Account";
    t.add(route(Verb::Get, "/clientEvents", "List client events", client_events::list).tells(CLIENT_EVENTS).asks(Query::ClientEvents).answers(200, Shape::Named("ClientEvents")));
    t.add(route(Verb::Get, "/access", "Read who a key is", operator::access).answers(200, Shape::Named("KeyAccess")));
    t.add(route(Verb::Get, "/access/permissions", "Read what a key may do", operator::permissions).tells("Its entries, and what each reaches. Rights do not combine: one entry has to grant a call.").answers(200, Shape::Named("EffectivePermissions")));
    t.add(route(Verb::Post, EXPLAIN, "Explain why a call is allowed or refused", operator::explain).tells("For the key itself; an administrator names another key of the account by its handle. What is not visible is explained like what is not there.").takes(Shape::Named("AccessQuestion")).answers(200, Shape::Named("AccessExplanation")));
    t.add(route(Verb::Get, "/me", "Read one's own access", operator::me).tells("With the documents of its policies; for operators only.").answers(200, Shape::Named("Me")));
    t.add(route(Verb::Get, "/operators/{id}", "Read an operator", operator::read).tells("By id or email address.").answers(200, Shape::One(Kind::Operator)));
    t.add(route(Verb::Put, "/operators/{id}", "Update an operator", operator::update).takes(Shape::One(Kind::Operator)).answers(200, Shape::One(Kind::Operator)));
    t.add(route(Verb::Get, "/accounts", "List accounts", operator::accounts).tells("The one that the key belongs to.").asks(Query::List(Kind::Account)).answers(200, Shape::Many(Kind::Account)));
    t.add(route(Verb::Get, "/accounts/{account}", "Read an account", operator::read_account).answers(200, Shape::One(Kind::Account)));
    t.add(route(Verb::Put, "/accounts/{account}", "Update an account", operator::update_account).takes(Shape::One(Kind::Account)).answers(200, Shape::One(Kind::Account)));
    t.account_accesses("/accounts/{account}/accesses", "/accounts/{account}/accesses/{id}");
    t.account_accesses("/accounts/{account}/operatorAccess", "/accounts/{account}/operatorAccess/{id}");
    t.add(route(Verb::Get, "/accounts/{account}/domains", "List an account's domains", operator::domains).answers(200, Shape::Named("Domains")));
    t.add(route(Verb::Get, "/accounts/{account}/shortDomains", "List an account's short domains", operator::short_domains).answers(200, Shape::Named("ShortDomains")));
    t.add(route(Verb::Get, "/rateLimits", "Read the rate limits of the key", operator::rate_limits).tells("Those that are in force for the key, and for the address that it is used from, with what is left of them. This request counts too.").answers(200, Shape::Named("RateLimits")));
    let time = Handler::Open(time::read);
    t.add(Route { handler: time, ..route(Verb::Get, "/time", "Read the time", operator::rate_limits).tells("With `tz` also the local time there.").asks(Query::TimeZone).answers(200, Shape::Named("Time")) });
    t.routes
}

/// Whether a call on a path needs the right to a verb; the path is without `/v2`.
pub(super) fn is_route(access: Access, path: &str) -> bool {
    static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(table);
    ROUTES.iter().any(|route| route.access() == access && route.covers(path))
}

/// The router of these routes. Served at `/` and again at `/v2`.
pub(crate) fn routes() -> Router<Arc<Context>> {
    use axum::extract::RawQuery;
    let mut router = Router::new();
    for route in table() {
        let guard = guard(&route).map(Arc::new);
        let Route { verb, path, handler, .. } = route;
        router = match handler {
            Handler::Keyed(handler) => {
                let answer = move |call: Call| async move {
                    let reporter = RequestReporter::of(&call);
                    let answered = async {
                        guard.map_or(Ok(()), |guard| guard.check(&call))?;
                        let answered = AnsweredCall::by(&call);
                        answered.counted(handler(call).await?).await
                    };
                    answered.await.inspect_err(|error| reporter.refused(error, None))
                };
                router.route(path, on(verb, answer))
            }
            Handler::Open(handler) => router.route(
                path,
                on(verb, move |RawQuery(query): RawQuery| async move { handler(query.as_deref()) }),
            ),
        };
    }
    router
}

fn on<H, T>(verb: Verb, handler: H) -> MethodRouter<Arc<Context>>
where
    H: axum::handler::Handler<T, Arc<Context>>,
    T: 'static,
{
    match verb {
        Verb::Get => axum::routing::get(handler),
        Verb::Post => axum::routing::post(handler),
        Verb::Put => axum::routing::put(handler),
        Verb::Delete => axum::routing::delete(handler),
    }
}
