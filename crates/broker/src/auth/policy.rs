//! The policy: may this principal do this on that path, to that resource?
//!
//! Pure functions over what is known of the principal and the resource; REST, MQTT and WebSocket all come here. The
//! verb on the path is decided first: without it the answer is [`AuthzError::Forbidden`], whatever there is. A resource
//! outside of what a key can see does not exist for it: the answer is [`AuthzError::NotFound`], not a hint.

use thng_pubsub_protocol::topic::table::Access;

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

/// The views that a principal has on a path with a verb; none where it may not use it so.
pub(crate) fn views<'p>(
    principal: &'p Principal,
    access: Access,
    path: &'p str,
) -> impl Iterator<Item = &'p Visibility> + Clone {
    let own = principal.actor.id();
    let grants = move |right: &&Right| right.grants.on(path, own.as_str()).has(access);
    principal.rights.iter().filter(grants).map(|right| &right.view)
}

/// Decides about a path as such: making something there, listing what is there.
///
/// # Errors
/// [`AuthzError::Forbidden`].
pub(crate) fn on_path(principal: &Principal, access: Access, path: &str) -> Result<(), AuthzError> {
    views(principal, access, path).next().map(drop).ok_or(AuthzError::Forbidden)
}

/// Decides about one resource.
///
/// # Errors
/// [`AuthzError`].
pub(crate) fn on_resource(
    principal: &Principal,
    access: Access,
    path: &str,
    resource: &ResourceMeta,
) -> Result<(), AuthzError> {
    let mut views = views(principal, access, path).peekable();
    if views.peek().is_none() {
        return Err(AuthzError::Forbidden);
    }
    if resource.account != principal.account || !views.any(|view| view.can_see(resource)) {
        return Err(AuthzError::NotFound);
    }
    Ok(())
}

/// Decides about an event on its way to a subscriber that has these views.
pub(crate) fn on_event(views: &[Visibility], meta: &impl Scoped) -> bool {
    views.iter().any(|view| view.can_see(meta))
}

#[cfg(test)]
mod tests {
    use thng_pubsub_protocol::{
        id::Id,
        payload::{ResourceKind, Scopes},
    };

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
