//! Members of collections.

use thng_pubsub_protocol::{
    id::Id,
    limits::COLLECTIONS_MAX,
    payload::{MembershipChange, ResourceKind, THNGS_MAX, parse_ids},
};

use super::{ListQuery, Resources};
use crate::{
    auth::{Principal, visibility::Scoped as _},
    commands::{self, ADDED_AT_ONCE, ChangeCollections, ChangeThngs},
    error::{BrokerError, LogFailure as _},
    polls,
    request::RequestContext,
    shared::Shared,
};
use thng_pubsub_store::{IndexScan, PageRequest};

/// Members that are listed at a time, to be removed.
const PAGE: usize = 500;

impl Resources {
    /// Removes one thng from a collection.
    ///
    /// # Errors
    /// [`BrokerError`], also where it was not in it.
    pub async fn remove_thng(
        &self,
        request: &RequestContext,
        collection: Id,
        thng: Id,
    ) -> Result<(), BrokerError> {
        self.remove_member(request, collection, ResourceKind::Thng, thng).await
    }

    /// Removes one collection from another one.
    ///
    /// # Errors
    /// [`BrokerError`], also where it was not in it.
    pub async fn remove_collection(
        &self,
        request: &RequestContext,
        collection: Id,
        child: Id,
    ) -> Result<(), BrokerError> {
        self.remove_member(request, collection, ResourceKind::Collection, child).await
    }

    async fn remove_member(
        &self,
        request: &RequestContext,
        collection: Id,
        kind: ResourceKind,
        member: Id,
    ) -> Result<(), BrokerError> {
        match self.remove_members(request, collection, kind, Some(vec![member])).await? {
            0 => Err(BrokerError::NotFound),
            _ => Ok(()),
        }
    }

    /// Removes members of a kind from a collection: these ids, or without ids all of them. A `project` of the caller
    /// leaves those that are scoped to it. Returns how many were removed.
    ///
    /// All are removed in steps where there are more than one notification can name.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn remove_members(
        &self,
        request: &RequestContext,
        collection: Id,
        kind: ResourceKind,
        ids: Option<Vec<Id>>,
    ) -> Result<usize, BrokerError> {
        match (ids, request.project) {
            (Some(ids), None) => remove(&self.shared, request, collection, kind, Some(ids)).await,
            (Some(ids), Some(project)) => {
                let mut in_project = Vec::new();
                for id in ids {
                    if self.shared.resource_meta(id).log_failure()?.is_some_and(|meta| meta.is_in(project)) {
                        in_project.push(id);
                    }
                }
                remove(&self.shared, request, collection, kind, Some(in_project)).await
            }
            (None, None) => {
                let request = request.clone();
                self.shared
                    .in_steps(move |shared, changed| async move {
                        let mut removed = 0;
                        loop {
                            let step = remove(&shared, &request, collection, kind, None).await?;
                            removed += changed.add(step);
                            if step < THNGS_MAX {
                                return Ok(removed);
                            }
                        }
                    })
                    .await
            }
            (None, Some(_)) => self.remove_listed(request, collection, kind).await,
        }
    }

    /// Removes the members that the caller's list of them shows. All are found before the first is removed, so that a scan
    /// that is refused changes nothing.
    async fn remove_listed(
        &self,
        request: &RequestContext,
        collection: Id,
        kind: ResourceKind,
    ) -> Result<usize, BrokerError> {
        self.shared.authorize(request, ResourceKind::Collection, collection)?;
        let page = PageRequest { items: PAGE, ..ListQuery::one().page };
        let mut query = ListQuery { page, ..ListQuery::one() };
        let mut ids = Vec::new();
        loop {
            let page = self.list_within(request, kind, IndexScan::Members(collection), &query).await?;
            ids.extend(page.items.iter().map(|member| member.id));
            if page.next.is_none() {
                break;
            }
            query.page.after = page.next;
        }
        let request = request.clone();
        self.shared
            .in_steps(move |shared, changed| async move {
                let mut removed = 0;
                for part in ids.chunks(PAGE) {
                    let step = remove(&shared, &request, collection, kind, Some(part.to_vec())).await?;
                    removed += changed.add(step);
                }
                Ok(removed)
            })
            .await
    }

    /// Adds thngs to a collection.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn add_thngs(
        &self,
        request: &RequestContext,
        collection: Id,
        payload: &[u8],
    ) -> Result<(), BrokerError> {
        self.shared.authorize(request, ResourceKind::Collection, collection)?;
        let command = self.add_thngs_command(request, collection, parse_ids(payload, THNGS_MAX)?)?;
        let mut steps = self.steps(request.principal(), command).await?;
        if steps.len() > 1 {
            return self.shared.count_of_all(steps).await.map(drop);
        }
        let command = steps.pop().expect("a command has one step or more");
        self.shared.execute(command, payload.len()).await.map(drop)
    }

    /// The command that adds thngs to a collection, for a caller that may update it.
    pub(crate) fn add_thngs_command(
        &self,
        request: &RequestContext,
        collection: Id,
        thngs: Vec<Id>,
    ) -> Result<ChangeThngs, BrokerError> {
        self.check_members(thngs.len())?;
        for thng in &thngs {
            self.shared.can_reference(request, ResourceKind::Thng, *thng, "The body")?;
        }
        let (account, change) = (request.principal().account, MembershipChange::ThngsAdded);
        Ok(ChangeThngs { account, collection, change, thngs })
    }

    /// The commands that make up a command: several where it adds more thngs than one may.
    ///
    /// # Errors
    /// [`BrokerError`]: a thng that is in too many collections is refused before any is added.
    pub(crate) async fn steps(
        &self,
        principal: &Principal,
        command: ChangeThngs,
    ) -> Result<Vec<ChangeThngs>, BrokerError> {
        if command.thngs.len() <= ADDED_AT_ONCE {
            return Ok(vec![command]);
        }
        let ChangeThngs { account, collection, change, thngs } = command;
        for step in thngs.chunks(ADDED_AT_ONCE) {
            let _turn = self.scans.turn_of(principal).await?;
            let kind = ResourceKind::Thng;
            let find = || self.shared.store.first_crowded(collection, kind, step, COLLECTIONS_MAX);
            if let Some(thng) = polls::blocking(find).log_failure()? {
                self.shared
                    .metrics
                    .commands_rejected
                    .with_label_values(&[commands::Bound::Collections.name()])
                    .inc();
                return Err(commands::crowded(kind, thng).into());
            }
        }
        let steps = thngs.chunks(ADDED_AT_ONCE);
        Ok(steps.map(|thngs| ChangeThngs { account, collection, change, thngs: thngs.to_vec() }).collect())
    }

    /// Puts collections into another one.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn add_collections(
        &self,
        request: &RequestContext,
        collection: Id,
        children: Vec<Id>,
    ) -> Result<(), BrokerError> {
        self.check_members(children.len())?;
        for child in &children {
            self.shared.can_reference(request, ResourceKind::Collection, *child, "The body")?;
        }
        self.shared.authorize(request, ResourceKind::Collection, collection)?;
        let account = request.principal().account;
        let command = ChangeCollections { account, collection, joins: true, children: Some(children) };
        self.shared.execute(command, 0).await.map(drop)
    }
}

/// Removes these members, or without ids as many as one notification can name.
async fn remove(
    shared: &Shared,
    request: &RequestContext,
    collection: Id,
    kind: ResourceKind,
    ids: Option<Vec<Id>>,
) -> Result<usize, BrokerError> {
    shared.authorize(request, ResourceKind::Collection, collection)?;
    let account = request.principal().account;
    if kind == ResourceKind::Collection {
        return shared
            .execute(ChangeCollections { account, collection, joins: false, children: ids }, 0)
            .await;
    }
    let (change, thngs) = match ids {
        Some(thngs) => (MembershipChange::ThngsRemoved, thngs),
        None => (MembershipChange::ThngsCleared, Vec::new()),
    };
    shared.execute(ChangeThngs { account, collection, change, thngs }, 0).await
}
