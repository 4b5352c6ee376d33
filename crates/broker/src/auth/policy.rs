//! The policy: may this principal do this on that path, to that resource?
//!
//! Pure functions over what is known of the principal and the resource; REST, MQTT and WebSocket all come here. The
//! verb on the path is decided first: without it the answer is [`AuthzError::Forbidden`], whatever there is. A resource
//! outside of what a key can see does not exist for it: the answer is [`AuthzError::NotFound`], not a hint.

use thng_pubsub_protocol::{id::Id, topic::table::Access};

use super::{
    Principal, Right,
    visibility::{Scoped, Visibility},
};
use thng_pubsub_store::ResourceMeta;

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthzError {
    /// The key may not do this on this path.
    Forbidden,
    /// For this principal there is no such resource.
    NotFound,
}

/// The views that a principal has on a path with a verb; none where it may not use it so. A call asks once.
pub(crate) fn views(principal: &Principal, access: Access, path: &str) -> Vec<Visibility> {
    let own = principal.actor.id();
    let grants = |right: &&Right| right.grants.on(path, own.as_str()).has(access);
    principal.rights.iter().filter(grants).map(|right| right.view.clone()).collect()
}

/// Decides about a path as such, by the views there: making something there, listing what is there.
///
/// # Errors
/// [`AuthzError::Forbidden`].
pub(crate) fn on_path(views: &[Visibility]) -> Result<(), AuthzError> {
    if views.is_empty() { Err(AuthzError::Forbidden) } else { Ok(()) }
}

/// Decides about one resource, by the views of an account on a path.
///
/// # Errors
/// [`AuthzError`].
pub(crate) fn on_resource(
    account: Id,
    views: &[Visibility],
    resource: &ResourceMeta,
) -> Result<(), AuthzError> {
    on_path(views)?;
    let is_visible = resource.account == account && on_event(views, resource);
    if is_visible { Ok(()) } else { Err(AuthzError::NotFound) }
}

/// Decides about an event on its way to a subscriber that has these views.
pub(crate) fn on_event(views: &[Visibility], meta: &impl Scoped) -> bool {
    views.iter().any(|view| view.can_see(meta))
}

#[cfg(test)]
mod tests {
    use thng_pubsub_protocol::payload::{ResourceKind, Scopes};

    use super::*;
    use crate::auth::grants::Grants;
    use thng_pubsub_store::{Actor, KeyHash};

    fn id(text: &str) -> Id {
        Id::parse(&format!("{text:U>24}")).expect("24 letters")
    }

    fn principal(rights: Vec<Right>) -> Principal {
        let (account, actor) = (id("a"), Actor::Operator(id("o")));
        Principal { account, actor, key: KeyHash([0; 32]), project: None, app: None, rights }
    }

    fn on_path(principal: &Principal, access: Access, path: &str) -> Result<(), AuthzError> {
        super::on_path(&views(principal, access, path))
    }

    fn on_resource(
        principal: &Principal,
        access: Access,
        path: &str,
        resource: &ResourceMeta,
    ) -> Result<(), AuthzError> {
        super::on_resource(principal.account, &views(principal, access, path), resource)
    }

    fn thng(account: &str) -> ResourceMeta {
        let (thng, product) = (None, None);
        ResourceMeta {
            id: id("t"),
            kind: ResourceKind::Thng,
            account: id(account),
            scopes: Scopes::default(),
            thng,
            product,
        }
    }

    #[test]
    fn an_operator_may_do_everything_in_their_own_account_only() {
        let operator = principal(vec![Right { grants: Grants::everything(), view: Visibility::Account }]);
        for access in [Access::Create, Access::Read, Access::Update, Access::Delete] {
            assert_eq!(on_path(&operator, access, "/thngs"), Ok(()));
            assert_eq!(on_resource(&operator, access, "/thngs/t", &thng("a")), Ok(()));
            assert_eq!(on_resource(&operator, access, "/thngs/t", &thng("b")), Err(AuthzError::NotFound));
        }
    }

    #[test]
    fn an_ungranted_path_is_forbidden_before_any_lookup() {
        let reader =
            principal(vec![Right { grants: Grants::of([("/thngs", "r")]), view: Visibility::Account }]);
        assert_eq!(on_resource(&reader, Access::Update, "/thngs/t", &thng("b")), Err(AuthzError::Forbidden));
        assert_eq!(on_resource(&reader, Access::Read, "/thngs/t", &thng("b")), Err(AuthzError::NotFound));
    }

    #[test]
    fn each_right_reaches_only_what_its_own_view_shows() {
        let rights = vec![
            Right { grants: Grants::of([("/", "r")]), view: Visibility::Account },
            Right { grants: Grants::of([("/thngs", "u")]), view: Visibility::Projects([id("p")].into()) },
        ];
        let operator = principal(rights);
        assert_eq!(on_resource(&operator, Access::Read, "/thngs/t", &thng("a")), Ok(()));
        assert_eq!(on_resource(&operator, Access::Update, "/thngs/t", &thng("a")), Err(AuthzError::NotFound));
        let mut scoped = thng("a");
        scoped.scopes.projects.push(id("p"));
        assert_eq!(on_resource(&operator, Access::Update, "/thngs/t", &scoped), Ok(()));
    }
}
