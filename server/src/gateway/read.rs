//! What REST reads. Every call authorises first; what the key cannot see is not found.

use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::PropertyUpdate,
    topic::table::Access,
};

use super::{Gateway, Refusal};
use crate::{
    auth::{Principal, policy},
    store::{Actor, OperatorRecord, Page, PageRequest, PropertyOwner, ThngRecord, TimeRange},
};

/// A thng with the latest values of its properties.
#[derive(Debug)]
pub(crate) struct ThngView {
    pub(crate) thng: ThngRecord,
    pub(crate) properties: Vec<PropertyUpdate>,
}

impl Gateway {
    /// An operator's own record.
    pub(crate) async fn operator(&self, principal: &Principal, id: Id) -> Result<OperatorRecord, Refusal> {
        let Actor::Operator(own) = principal.actor;
        if own != id {
            return Err(Refusal::NotFound);
        }
        tokio::task::block_in_place(|| self.store.operator(id))?.ok_or(Refusal::NotFound)
    }

    /// A thng.
    pub(crate) async fn thng(&self, principal: &Principal, id: Id) -> Result<ThngView, Refusal> {
        self.authorise(principal, Access::Read, id).await?;
        tokio::task::block_in_place(|| {
            let thng = self.store.thng(id)?.ok_or(Refusal::NotFound)?;
            Ok(ThngView { thng, properties: self.store.latest(PropertyOwner::Thng(id))? })
        })
    }

    /// The thngs that the principal sees, or of those the ones of a project.
    pub(crate) async fn thngs(
        &self,
        principal: &Principal,
        project: Option<Id>,
        page: PageRequest,
    ) -> Result<Page<ThngView>, Refusal> {
        policy::on_kind(principal, Access::Read)?;
        tokio::task::block_in_place(|| {
            let Page { items, next } = self.store.thngs(principal.account, project, page)?;
            let views = items.into_iter().map(|thng| {
                let properties = self.store.latest(PropertyOwner::Thng(thng.id))?;
                Ok(ThngView { thng, properties })
            });
            Ok(Page { items: views.collect::<Result<_, Refusal>>()?, next })
        })
    }

    /// The latest value of each property.
    pub(crate) async fn properties(
        &self,
        principal: &Principal,
        owner: PropertyOwner,
    ) -> Result<Vec<PropertyUpdate>, Refusal> {
        self.authorise(principal, Access::Read, owner.id()).await?;
        Ok(tokio::task::block_in_place(|| self.store.latest(owner))?)
    }

    /// A part of one property's history.
    pub(crate) async fn history(
        &self,
        principal: &Principal,
        owner: PropertyOwner,
        key: &PropertyKey,
        range: TimeRange,
        page: PageRequest,
    ) -> Result<Page<PropertyUpdate>, Refusal> {
        self.authorise(principal, Access::Read, owner.id()).await?;
        Ok(tokio::task::block_in_place(|| self.store.history(owner, key, range, page))?)
    }
}
