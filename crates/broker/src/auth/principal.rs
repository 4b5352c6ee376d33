//! From a stored key to a principal: its actor, project and rights.
//!
//! This is the snapshot that an open connection keeps; a REST request looks it up again whenever something that it
//! depends on has changed. A key whose application, project or thng is gone is invalid.

use thng_pubsub_protocol::{id::Id, payload::ResourceKind};

use super::{
    Principal, Right,
    grants::{APPLICATION, BASE_APP_USER, DEVICE, Grants, TRUSTED_APPLICATION},
    roles::{self, RolePermissions},
    visibility::Visibility,
};
use thng_pubsub_store::{
    Actor, IndexScan, KeyRecord, ListRequest, PageRequest, ReadStore, ResourceRecord, SortOrder, StoreError,
    index_key,
};

/// The principal of a key, if what the key depends on still exists. May block on the disk.
pub(crate) fn of(store: &dyn ReadStore, key: &KeyRecord) -> Result<Option<Principal>, StoreError> {
    let account = key.account;
    let get = |id: Id, kind: ResourceKind| {
        let found = store.resource(id)?;
        Ok::<_, StoreError>(found.filter(|found| found.kind == kind && found.account == account))
    };
    let principal = |project, app, rights| {
        Some(Principal { account, actor: key.actor, key: key.hash, project, app, rights })
    };
    // An application is there as long as its project is.
    let application = |id: Id| {
        let Some(app) = get(id, ResourceKind::Application)? else { return Ok(None) };
        let Some(project) = app.parent else { return Ok(None) };
        Ok::<_, StoreError>(get(project, ResourceKind::Project)?.map(|_| (app, project)))
    };
    Ok(match key.actor {
        Actor::Operator(id) => match get(id, ResourceKind::Operator)? {
            None => None,
            Some(_) => principal(None, None, operator_rights(store, account, id)?),
        },
        Actor::Application(id) => application(id)?
            .and_then(|(_, project)| principal(Some(project), Some(id), in_project(APPLICATION, project))),
        Actor::TrustedApplication(id) => application(id)?.and_then(|(_, project)| {
            principal(Some(project), Some(id), in_project(TRUSTED_APPLICATION, project))
        }),
        Actor::User(id) => {
            let Some(user) = get(id, ResourceKind::User)? else { return Ok(None) };
            let Some(app) = user.parent else { return Ok(None) };
            let Some((application, project)) = application(app)? else { return Ok(None) };
            let grants = user_grants(&application, &get)?;
            let rights = vec![Right { grants, view: Visibility::User { project, user: id } }];
            principal(Some(project), Some(app), rights)
        }
        Actor::Device(id) => get(id, ResourceKind::Thng)?.and_then(|thng| {
            let projects = thng.scopes.projects.as_slice().into();
            let view = Visibility::Device { thng: id, product: thng.meta().product, projects };
            let rights = vec![Right { grants: Grants::of(DEVICE.iter().copied()), view }];
            principal(thng.scopes.projects.first().copied(), None, rights)
        }),
        Actor::AccessToken(id) => match get(id, ResourceKind::AccessToken)? {
            None => None,
            Some(token) => {
                let fields = token.fields();
                let rights =
                    policy_rights(store, account, &fields.texts("policies"), &fields.texts("conditions"))?;
                principal(None, None, rights)
            }
        },
    })
}

fn in_project(table: &[(&'static str, &'static str)], project: Id) -> Vec<Right> {
    vec![Right { grants: Grants::of(table.iter().copied()), view: Visibility::Projects([project].into()) }]
}

/// What the role of an application's users grants.
fn user_grants(
    application: &ResourceRecord,
    get: &impl Fn(Id, ResourceKind) -> Result<Option<ResourceRecord>, StoreError>,
) -> Result<Grants, StoreError> {
    let role = application.fields().text("defaultRole").unwrap_or_default();
    if role == roles::BASE || role.is_empty() {
        return Ok(Grants::of(BASE_APP_USER.iter().copied()));
    }
    let custom = match Id::parse(&role) {
        Ok(id) => get(id, ResourceKind::Role)?,
        Err(_) => None,
    };
    Ok(RolePermissions::read(custom.and_then(|role| role.private).as_ref()).user_grants())
}

/// The one access that an operator has to their account.
pub(crate) fn access_of(
    store: &dyn ReadStore,
    account: Id,
    operator: Id,
) -> Result<Option<ResourceRecord>, StoreError> {
    let kind = ResourceKind::Access;
    let record_filter = move |record: &ResourceRecord, _: &dyn Fn() -> Vec<Id>| {
        record.fields().id("operator") == Some(operator)
    };
    let found = store.find(&ListRequest {
        account,
        kind,
        source: IndexScan::Key(index_key(account, kind, "operator", operator.as_str())),
        record_filter: Some(&record_filter),
        page: PageRequest { items: 1, order: SortOrder::NewestFirst, after: None },
        skip: 0,
        looked_at_max: 100,
        bounds: thng_pubsub_store::ScanBounds::NONE,
    })?;
    Ok(found.items.into_iter().next())
}

fn operator_rights(store: &dyn ReadStore, account: Id, operator: Id) -> Result<Vec<Right>, StoreError> {
    let Some(access) = access_of(store, account, operator)? else { return Ok(Vec::new()) };
    let fields = access.fields();
    let policies = fields.texts("policies");
    if !policies.is_empty() {
        let mut rights = policy_rights(store, account, &policies, &fields.texts("conditions"))?;
        let own = Grants::of([("/operators/:self", "ru"), ("/me", "r")]);
        rights.push(Right { grants: own, view: Visibility::Itself(operator) });
        return Ok(rights);
    }
    let role = fields.text("role").unwrap_or_default();
    if role == roles::ADMIN {
        return Ok(vec![Right { grants: Grants::everything(), view: Visibility::Account }]);
    }
    let custom = match Id::parse(&role) {
        Ok(id) => {
            store.resource(id)?.filter(|role| role.kind == ResourceKind::Role && role.account == account)
        }
        Err(_) => None,
    };
    Ok(custom
        .map(|role| RolePermissions::read(role.private.as_ref()).operator_rights(operator))
        .unwrap_or_default())
}

/// What access policies grant together, within the conditions.
fn policy_rights(
    store: &dyn ReadStore,
    account: Id,
    policies: &[String],
    conditions: &[String],
) -> Result<Vec<Right>, StoreError> {
    let mut grants =
        Grants::of([("/access", "r"), ("/time", "r"), ("/rateLimits", "r"), ("/clientEvents", "r")]);
    for policy in policies {
        if policy == roles::ACCOUNT_ADMIN || policy == roles::ACCOUNT_ADMIN_ID {
            grants = Grants::everything();
            break;
        }
        let id = match Id::parse(policy) {
            Ok(id) => Some(id),
            Err(_) => store.named(account, ResourceKind::AccessPolicy, policy)?,
        };
        let record = id.map(|id| store.resource(id)).transpose()?.flatten();
        let record =
            record.filter(|found| found.kind == ResourceKind::AccessPolicy && found.account == account);
        if let Some(record) = record {
            roles::grant_permissions(&mut grants, &record.fields().texts("permissions"));
        }
    }
    // A condition that cannot be read shows nothing rather than everything.
    let view = match roles::conditions(conditions) {
        Ok(conditions) if conditions.is_empty() => Visibility::Account,
        Ok(conditions) => Visibility::Only(conditions.into()),
        Err(_) => Visibility::Projects([].into()),
    };
    Ok(vec![Right { grants, view }])
}
