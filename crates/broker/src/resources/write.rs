//! Resources of every kind by REST: created, changed, deleted, alone and many at once.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{
        Json, LocationInput, LocationUpdate, LocationWrite, Patch, PropertyUpdate, ResourceKind, Scopes,
        parse_locations, parse_writes,
    },
    topic::SubjectKind,
};

use super::{ListQuery, Resources, scan::Slice};
use crate::{
    commands::{
        Create, DELETED_BYTES_AT_ONCE, Delete, DeleteLocation, DeleteMany, DeleteProperties, LEFT_AT_ONCE,
        LeaveCollections, Update, UpdateLocation, UpdateMany, UpdateProperties, deletion_bytes,
    },
    error::{BrokerError, LogFailure as _},
    polls, random,
    request::RequestContext,
    shared::{Changed, Shared},
};
use thng_pubsub_store::{KeyRecord, PropertyOwner, ResourceMeta, ResourceRecord, StoreError, TimestampMs};

/// Bytes that one call writes into many resources.
const BULK_BYTES_MAX: usize = 8 << 20;

/// What is to be created.
#[derive(Debug)]
pub struct NewResource {
    pub id: Id,
    pub patch: Patch,
    pub parent: Option<Id>,
    /// Fields that only the server sets, as JSON.
    pub set: Vec<(&'static str, String)>,
    pub private: Option<Json>,
    pub keys: Vec<KeyRecord>,
    /// Who sees it; what follows from the caller where nothing is said.
    pub scopes: Option<Scopes>,
}

impl NewResource {
    pub fn of(patch: Patch) -> Self {
        let (parent, private, scopes) = (None, None, None);
        Self {
            id: Id::generate(random::byte),
            patch,
            parent,
            set: Vec::new(),
            private,
            keys: Vec::new(),
            scopes,
        }
    }

    /// Says what it belongs to, also in a field of its document.
    pub(crate) fn under(mut self, field: &'static str, parent: Id) -> Self {
        self.parent = Some(parent);
        self.set_id(field, parent);
        self
    }

    pub(crate) fn set_id(&mut self, field: &'static str, id: Id) {
        self.set.push((field, format!("\"{id}\"")));
    }
}

/// What the deletion of one of many resources costs.
#[derive(Debug)]
struct DeletionCost {
    /// It leaves its collections before, since they are more than a thng may be in.
    is_crowded: bool,
    notifications: usize,
    /// As [`DELETED_BYTES_AT_ONCE`] counts them.
    bytes: usize,
}

/// The commands that delete many resources.
#[derive(Debug)]
struct BulkDeletion {
    /// Thngs that leave their collections before.
    crowded: Vec<Id>,
    steps: Vec<DeleteMany>,
}

/// Takes a thng that is in more collections than it may be, from earlier versions or an import, out of them in steps: its
/// deletion notifies each of them.
async fn leave_collections(
    shared: &Shared,
    changed: &Changed,
    account: Id,
    thng: Id,
) -> Result<(), BrokerError> {
    while changed.add(shared.execute(LeaveCollections { account, thng }, 0).await?) == LEFT_AT_ONCE {}
    Ok(())
}

impl Resources {
    /// The authorized command that creates a resource.
    pub(crate) fn creation(&self, request: &RequestContext, new: NewResource) -> Result<Create, BrokerError> {
        request.permit()?;
        self.check_patch(request, &new.patch, None)?;
        self.check_project(request)?;
        let scopes = new.scopes.unwrap_or_else(|| request.default_scopes());
        let NewResource { id, patch, parent, set, private, keys, .. } = new;
        let account = request.principal().account;
        Ok(Create { account, id, parent, patch, set, scopes, private, keys })
    }

    /// Creates something. `payload_bytes` is what it holds in memory.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create(
        &self,
        request: &RequestContext,
        new: NewResource,
        payload_bytes: usize,
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        let command = self.creation(request, new)?;
        self.shared.execute(command, payload_bytes).await
    }

    /// Updates a resource.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn update(
        &self,
        request: &RequestContext,
        id: Id,
        patch: Patch,
        payload_bytes: usize,
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        let meta = self.shared.authorize(request, patch.kind(), id)?;
        let command = self.update_command(request, id, Some(&meta), patch)?;
        self.shared.execute(command, payload_bytes).await
    }

    /// Updates a resource with the payload of a publish on its topic.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn publish_update(
        &self,
        request: &RequestContext,
        kind: SubjectKind,
        id: Id,
        payload: &[u8],
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        let meta = self.shared.authorize(request, kind.resource(), id)?;
        let patch = Patch::parse_update(kind.resource(), payload)?;
        let command = self.update_command(request, id, Some(&meta), patch)?;
        self.shared.execute(command, payload.len()).await
    }

    /// The command that updates a resource, for a caller that may update it.
    pub(crate) fn update_command(
        &self,
        request: &RequestContext,
        id: Id,
        before: Option<&ResourceMeta>,
        mut patch: Patch,
    ) -> Result<Update, BrokerError> {
        Self::keep_scopes(request, &mut patch);
        self.check_patch(request, &patch, before)?;
        let (account, kind) = (request.principal().account, patch.kind());
        Ok(Update { account, kind, id, patch: Box::new(patch), private: None })
    }

    /// Changes what a resource keeps to itself.
    pub(crate) async fn update_private(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        id: Id,
        private: Json,
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        let (account, bytes) = (request.principal().account, private.as_str().len());
        let patch = Box::new(Patch::empty(kind));
        self.shared.execute(Update { account, kind, id, patch, private: Some(private) }, bytes).await
    }

    /// Deletes a resource and all that hangs on it.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn delete(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        id: Id,
    ) -> Result<(), BrokerError> {
        self.shared.authorize(request, kind, id)?;
        if matches!(kind, ResourceKind::Role | ResourceKind::AccessPolicy | ResourceKind::AccessToken) {
            request.may_grant_rights()?;
        }
        let account = request.principal().account;
        let delete = Delete { account, kind, id };
        if kind != ResourceKind::Thng
            || self.shared.store.collections_of(id).log_failure()?.len() <= LEFT_AT_ONCE
        {
            return self.shared.execute(delete, 0).await;
        }
        self.shared
            .in_steps(move |shared, changed| async move {
                leave_collections(&shared, &changed, account, id).await?;
                shared.execute(delete, 0).await
            })
            .await
    }

    /// Plans how to delete resources together, so that each command holds the writer for a short time.
    ///
    /// A deletion that would be refused for its notifications is one command, so that nothing is changed then.
    async fn bulk_deletion(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        ids: Vec<Id>,
    ) -> Result<BulkDeletion, BrokerError> {
        let (account, most) = (request.principal().account, self.shared.settings.notifications_max);
        let delete = |ids| DeleteMany { account, kind, ids, notifications_max: most };
        let (mut crowded, mut caused) = (Vec::new(), 0);
        let (mut steps, mut step, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut turn = self.scans.turn(request).await?;
        let mut slice = Slice::begin();
        for id in &ids {
            let cost = polls::blocking(|| self.deletion_cost(kind, *id)).log_failure()?;
            if cost.is_crowded {
                crowded.push(*id);
            }
            caused += cost.notifications;
            if bytes + cost.bytes > DELETED_BYTES_AT_ONCE && !step.is_empty() {
                steps.push(std::mem::take(&mut step));
                bytes = 0;
            }
            step.push(*id);
            bytes += cost.bytes;
            if slice.is_used_up() {
                self.scans.pass_on(&mut turn, request).await?;
                slice = Slice::begin();
            }
        }
        if caused > most {
            return Ok(BulkDeletion { crowded: Vec::new(), steps: vec![delete(ids)] });
        }
        steps.push(step);
        Ok(BulkDeletion { crowded, steps: steps.into_iter().map(delete).collect() })
    }

    fn deletion_cost(&self, kind: ResourceKind, id: Id) -> Result<DeletionCost, StoreError> {
        let collections = match kind {
            ResourceKind::Thng => self.shared.store.collections_of(id)?.len(),
            _ => 0,
        };
        let is_crowded = collections > LEFT_AT_ONCE;
        let notifications = if is_crowded { 1 } else { 1 + collections };
        let record = self.shared.store.resource(id)?;
        let bytes = record.map_or(0, |record| deletion_bytes(&record, notifications));
        Ok(DeletionCost { is_crowded, notifications, bytes })
    }

    /// Refuses a `?project=` that what is created could not be scoped to. Its own project is always there for a key.
    pub(crate) fn check_project(&self, request: &RequestContext) -> Result<(), BrokerError> {
        match request.project {
            Some(project) if Some(project) != request.principal().project => {
                self.shared.can_reference(request, ResourceKind::Project, project, "project")
            }
            _ => Ok(()),
        }
    }

    /// Changes everything that `ids` or `filter` name, all or nothing. Returns how many there were.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn update_many(
        &self,
        request: &RequestContext,
        patch: Patch,
        query: &ListQuery,
        payload_bytes: usize,
    ) -> Result<usize, BrokerError> {
        let kind = patch.kind();
        request.permit()?;
        let ids = self.selected(request, kind, query, self.shared.settings.bulk_size_max).await?;
        for id in &ids {
            let meta = self.shared.resource_meta(*id).log_failure()?;
            self.check_patch(request, &patch, meta.as_deref())?;
        }
        // They are changed in one transaction, for which every other write waits.
        if payload_bytes.saturating_mul(ids.len()) > BULK_BYTES_MAX {
            return Err(BrokerError::invalid(format!(
                "Together these changes are more than {BULK_BYTES_MAX} bytes. Change fewer at a time; nothing was changed."
            )));
        }
        let (account, patch) = (request.principal().account, Box::new(patch));
        self.shared.execute(UpdateMany { account, kind, ids, patch }, payload_bytes).await
    }

    /// Deletes everything that `ids` or `filter` name. Returns how many there were.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn delete_many(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        query: &ListQuery,
    ) -> Result<usize, BrokerError> {
        request.permit()?;
        let ids = self.selected(request, kind, query, self.shared.settings.bulk_size_max).await?;
        let BulkDeletion { crowded, steps } = self.bulk_deletion(request, kind, ids).await?;
        let account = request.principal().account;
        self.shared
            .in_steps(move |shared, changed| async move {
                for thng in crowded {
                    match leave_collections(&shared, &changed, account, thng).await {
                        // It was deleted meanwhile.
                        Ok(()) | Err(BrokerError::NotFound) => {}
                        Err(refusal) => return Err(refusal),
                    }
                }
                shared.count_in_turn(steps, &changed).await
            })
            .await
    }

    /// Stores property values, of the key in the path or of those in the payload. Returns them as they were stored.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn update_properties(
        &self,
        request: &RequestContext,
        owner: PropertyOwner,
        key: Option<&PropertyKey>,
        payload: &[u8],
    ) -> Result<Arc<[PropertyUpdate]>, BrokerError> {
        self.shared.authorize(request, owner.kind().resource(), owner.id())?;
        let writes = parse_writes(payload, key)?;
        let command = UpdateProperties { account: request.principal().account, owner, writes };
        self.shared.execute(command, payload.len()).await
    }

    /// Stores locations of a thng. Returns them as they were stored.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn update_location(
        &self,
        request: &RequestContext,
        thng: Id,
        payload: &[u8],
    ) -> Result<Arc<[LocationUpdate]>, BrokerError> {
        self.shared.authorize(request, ResourceKind::Thng, thng)?;
        let command = self.location_command(request, thng, parse_locations(payload)?)?;
        self.shared.execute(command, payload.len()).await
    }

    /// The command that stores locations, for a caller that may update the thng.
    pub(crate) fn location_command(
        &self,
        request: &RequestContext,
        thng: Id,
        writes: Vec<LocationWrite>,
    ) -> Result<UpdateLocation, BrokerError> {
        for write in &writes {
            if let LocationInput::Place(place) = write.input {
                self.shared.can_reference(request, ResourceKind::Place, place, "place")?;
            }
        }
        Ok(UpdateLocation { account: request.principal().account, thng, writes })
    }

    /// Forgets property values: of one key or all, those before a time or all.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn delete_properties(
        &self,
        request: &RequestContext,
        owner: PropertyOwner,
        key: Option<PropertyKey>,
        before_ms: Option<TimestampMs>,
    ) -> Result<(), BrokerError> {
        self.shared.authorize(request, owner.kind().resource(), owner.id())?;
        let account = request.principal().account;
        self.shared.execute(DeleteProperties { account, owner, key, before_ms }, 0).await
    }

    /// Forgets a thng's locations: those before a time or all.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn delete_locations(
        &self,
        request: &RequestContext,
        thng: Id,
        before_ms: Option<TimestampMs>,
    ) -> Result<(), BrokerError> {
        self.shared.authorize(request, ResourceKind::Thng, thng)?;
        let account = request.principal().account;
        self.shared.execute(DeleteLocation { account, thng, before_ms }, 0).await
    }
}
