//! Who is in a collection.

use thng_pubsub_protocol::{
    id::Id,
    payload::{MembershipChange, ResourceKind, THNGS_MAX},
};

use super::{Caller, Gateway, Refusal};
use crate::domain::Operation;

impl Gateway {
    /// Takes one thng out of a collection.
    ///
    /// # Errors
    /// [`Refusal`], also where it was not in it.
    pub(crate) async fn remove_thng(
        &self,
        caller: &Caller<'_>,
        collection: Id,
        thng: Id,
    ) -> Result<(), Refusal> {
        match self.change_thngs(caller, collection, MembershipChange::ThngsRemoved, vec![thng]).await? {
            0 => Err(Refusal::NotFound),
            _ => Ok(()),
        }
    }

    /// Takes all thngs out of a collection, in steps where there are more than one notification can name.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn clear_thngs(&self, caller: &Caller<'_>, collection: Id) -> Result<(), Refusal> {
        while self.change_thngs(caller, collection, MembershipChange::ThngsCleared, Vec::new()).await?
            == THNGS_MAX
        {}
        Ok(())
    }

    async fn change_thngs(
        &self,
        caller: &Caller<'_>,
        collection: Id,
        change: MembershipChange,
        thngs: Vec<Id>,
    ) -> Result<usize, Refusal> {
        self.authorise(caller, ResourceKind::Collection, collection)?;
        let account = caller.principal.account;
        self.count_of(Operation::ChangeThngs { account, collection, change, thngs }, 0).await
    }

    /// Puts collections into another one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn add_collections(
        &self,
        caller: &Caller<'_>,
        collection: Id,
        children: Vec<Id>,
    ) -> Result<(), Refusal> {
        self.check_members(children.len())?;
        for child in &children {
            self.may_name(caller, ResourceKind::Collection, *child, "The body")?;
        }
        self.change_collections(caller, collection, true, Some(children)).await.map(drop)
    }

    /// Takes a collection (`None`: all) out of another one.
    ///
    /// # Errors
    /// [`Refusal`], also where it was not in it.
    pub(crate) async fn remove_collections(
        &self,
        caller: &Caller<'_>,
        collection: Id,
        child: Option<Id>,
    ) -> Result<(), Refusal> {
        let Some(child) = child else {
            while self.change_collections(caller, collection, false, None).await? == THNGS_MAX {}
            return Ok(());
        };
        match self.change_collections(caller, collection, false, Some(vec![child])).await? {
            0 => Err(Refusal::NotFound),
            _ => Ok(()),
        }
    }

    async fn change_collections(
        &self,
        caller: &Caller<'_>,
        collection: Id,
        joins: bool,
        children: Option<Vec<Id>>,
    ) -> Result<usize, Refusal> {
        self.authorise(caller, ResourceKind::Collection, collection)?;
        let account = caller.principal.account;
        self.count_of(Operation::ChangeCollections { account, collection, joins, children }, 0).await
    }
}
