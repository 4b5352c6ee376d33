//! Refuses documents that name or grant what their sender may not.

use thng_pubsub_protocol::{
    id::Id,
    payload::{LocationInput, Patch, ResourceKind, Scopes, ScopesPatch, UserScope},
    topic::{SubjectKind, Topic, table::Access},
};

use super::Resources;
use crate::{auth::roles, error::BrokerError, request::RequestContext};
use thng_pubsub_store::{Actor, ResourceMeta};

impl Resources {
    /// Those who are not there to manage what others see leave scopes as they are: a user their own document's, a thng
    /// its own. Clients send whole documents back.
    pub(crate) fn keep_scopes(request: &RequestContext, patch: &mut Patch) {
        let own = match request.principal().actor {
            Actor::User(_) => patch.kind() == ResourceKind::User,
            Actor::Device(_) => true,
            Actor::Operator(_)
            | Actor::Application(_)
            | Actor::TrustedApplication(_)
            | Actor::AccessToken(_) => false,
        };
        if own {
            patch.scopes = None;
        }
    }

    /// Refuses a patch that names what the caller may not name, or gives rights that the caller may not give. `before`
    /// is what it changes: entries that are in its scopes already may stay there.
    pub(crate) fn check_patch(
        &self,
        request: &RequestContext,
        patch: &Patch,
        before: Option<&ResourceMeta>,
    ) -> Result<(), BrokerError> {
        if patch.kind() == ResourceKind::Thng
            && let Some(product) = patch.id("product")
            && before.is_none_or(|before| before.product != Some(product))
        {
            self.shared.can_reference(request, ResourceKind::Product, product, "product")?;
        }
        for collection in &patch.collections {
            self.shared.can_reference(request, ResourceKind::Collection, *collection, "collections")?;
            if before.is_none() {
                self.may_join(request, patch.kind(), *collection)?;
            }
        }
        if let Some(LocationInput::Place(place)) = patch.location.as_ref().map(|location| &location.input) {
            self.shared.can_reference(request, ResourceKind::Place, *place, "location")?;
        }
        match patch.kind() {
            ResourceKind::AccessPolicy => {
                request.may_grant_rights()?;
                if patch.text("name").as_deref() == Some(roles::ACCOUNT_ADMIN) {
                    return Err(BrokerError::Conflict(
                        "This name is that of the policy that is built in.".into(),
                    ));
                }
                roles::check_permissions(&patch.texts("permissions")).map_err(BrokerError::Invalid)?;
            }
            ResourceKind::AccessToken | ResourceKind::Access => {
                request.may_grant_rights()?;
                roles::conditions(&patch.texts("conditions")).map_err(BrokerError::invalid)?;
            }
            ResourceKind::Role => request.may_grant_rights()?,
            _ => {}
        }
        match &patch.scopes {
            Some(scopes) => self.check_scopes(request, scopes, before.map(|before| &before.scopes)),
            None => Ok(()),
        }
    }

    /// Refuses scopes that the caller may not give. `before` is what they change.
    fn check_scopes(
        &self,
        request: &RequestContext,
        patch: &ScopesPatch,
        before: Option<&Scopes>,
    ) -> Result<(), BrokerError> {
        let known = before.cloned().unwrap_or_default();
        let mut after = known.clone();
        patch.clone().apply(&mut after)?;
        if let Some(own) = request.own_projects().filter(|_| patch.changes_projects()) {
            let added = after.projects.iter().filter(|project| !known.projects.contains(project));
            let removed = known.projects.iter().filter(|project| !after.projects.contains(project));
            if added.chain(removed).any(|project| !own.contains(project)) {
                return Err(BrokerError::invalid(
                    "scopes: this API key changes the scopes of its own project only.",
                ));
            }
        }
        if let UserScope::Only(users) = &after.users
            && patch.changes_users()
            && !request.is_unlimited()
        {
            let is_known = |user: &Id| matches!(&known.users, UserScope::Only(known) if known.contains(user));
            for user in
                users.iter().filter(|user| **user != request.principal().actor.id() && !is_known(user))
            {
                self.shared.can_reference(request, ResourceKind::User, *user, "scopes")?;
            }
        }
        Ok(())
    }

    /// Checks that the caller may add a member of this kind to a collection. What is created in a collection needs the
    /// right that adding it afterwards needs.
    fn may_join(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        collection: Id,
    ) -> Result<(), BrokerError> {
        let path = match kind {
            ResourceKind::Collection => {
                let above = Topic::Resource { kind: SubjectKind::Collection, id: collection };
                format!("{}/collections", above.canonical())
            }
            _ => Topic::Members { collection }.canonical(),
        };
        let member = RequestContext::new(request.principal(), Access::Update, path);
        member.permit()?;
        self.shared.can_reference(&member, ResourceKind::Collection, collection, "collections")
    }
}
