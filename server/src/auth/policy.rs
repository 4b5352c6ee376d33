//! The policy: may this principal do this to that resource?
//!
//! A pure function over what is known of the principal and the resource; REST, MQTT and WebSocket all come here.
//! A resource outside of what a key can see does not exist for it: the answer is [`Denial::NotFound`], not a hint.

use thng_pubsub_protocol::topic::table::Access;

use super::Principal;
use crate::store::{Actor, ResourceHead};

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// For this principal there is no such resource.
    NotFound,
}

/// Decides about resources of a kind as such: making one, listing them. What a list shows is narrowed to the account.
pub(crate) fn on_kind(principal: &Principal, access: Access) -> Result<(), Denial> {
    match (principal.actor, access) {
        (Actor::Operator(_), Access::Create | Access::Read | Access::Update | Access::Delete) => Ok(()),
    }
}

/// Decides about one resource.
pub(crate) fn on_resource(
    principal: &Principal,
    access: Access,
    resource: &ResourceHead,
) -> Result<(), Denial> {
    if resource.account != principal.account {
        return Err(Denial::NotFound);
    }
    match (principal.actor, access) {
        // An operator may do everything in their account.
        (Actor::Operator(_), Access::Create | Access::Read | Access::Update | Access::Delete) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use thng_pubsub_protocol::{id::Id, payload::Scopes};

    use super::*;
    use crate::store::KeyHash;

    fn id(text: &str) -> Id {
        Id::parse(&format!("{text:U>24}")).expect("24 letters")
    }

    #[test]
    fn an_operator_does_everything_in_their_account_and_sees_nothing_of_another() {
        let operator = Principal { account: id("a"), actor: Actor::Operator(id("o")), key: KeyHash([0; 32]) };
        let own = ResourceHead { account: id("a"), scopes: Scopes::default() };
        let other = ResourceHead { account: id("b"), scopes: Scopes::default() };
        for access in [Access::Create, Access::Read, Access::Update, Access::Delete] {
            assert_eq!(on_kind(&operator, access), Ok(()));
            assert_eq!(on_resource(&operator, access, &own), Ok(()));
            assert_eq!(on_resource(&operator, access, &other), Err(Denial::NotFound));
        }
    }
}
