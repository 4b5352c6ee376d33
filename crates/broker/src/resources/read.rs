//! Reads of resources for REST. Every call authorizes first; what the key cannot see is not found.
//!
//! Reads that look up a few rows happen on the runtime's own threads: handing each to another thread costs several times
//! what it takes. Those that walk through many rows say so (`list.rs`).

use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{LocationUpdate, PropertyUpdate, ResourceKind, latest_document},
};

use super::Resources;
use crate::{
    commands::Extras,
    error::{BrokerError, LogFailure as _},
    request::RequestContext,
};
use thng_pubsub_store::{
    HistoryPage, IndexScan, Page, PageRequest, PropertyOwner, ResourceDetails, ResourceRecord, ScanBounds,
    TimeRange, index_key,
};

/// Bytes of resources that are looked at to find the one that an identifier names: some milliseconds' work.
pub(crate) const IDENTIFIED_BYTES_MAX: u64 = 8 << 20;

/// What each further part of a scan for an identifier costs, in bytes: its sources may have little in common.
const CONTINUED_BYTES: u64 = 256 << 10;

/// Positions at which `key:value` in a path is taken apart: each is a look into an index.
const SPLITS_MAX: usize = 64;

impl Resources {
    /// A resource.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn read(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        id: Id,
    ) -> Result<ResourceRecord, BrokerError> {
        self.shared.authorize(request, kind, id)?;
        let record = self.shared.store.resource(id).log_failure()?;
        record.filter(|record| record.kind == kind).ok_or(BrokerError::NotFound)
    }

    /// A resource, and what its document shows besides its own fields, all of one moment.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn read_whole(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        id: Id,
    ) -> Result<(ResourceRecord, Extras), BrokerError> {
        self.shared.authorize(request, kind, id)?;
        let found = self
            .shared
            .store
            .resource_with_details(id)
            .log_failure()?
            .filter(|(record, _)| record.kind == kind);
        let (record, details) = found.ok_or(BrokerError::NotFound)?;
        let extras = self.extras_of(request, &record, details)?;
        Ok((record, extras))
    }

    /// What a resource's document shows besides its own fields: collections, latest values and location.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`].
    pub fn extras(&self, request: &RequestContext, record: &ResourceRecord) -> Result<Extras, BrokerError> {
        let owner = match record.kind {
            ResourceKind::Thng => Some(PropertyOwner::Thng(record.id)),
            ResourceKind::Product => Some(PropertyOwner::Product(record.id)),
            _ => None,
        };
        let details = match owner {
            Some(owner) => self.shared.store.details(owner).log_failure()?,
            None if record.kind.has_collections() => ResourceDetails {
                collections: self.shared.store.collections_of(record.id).log_failure()?,
                ..ResourceDetails::default()
            },
            None => ResourceDetails::default(),
        };
        self.extras_of(request, record, details)
    }

    fn extras_of(
        &self,
        request: &RequestContext,
        record: &ResourceRecord,
        details: ResourceDetails,
    ) -> Result<Extras, BrokerError> {
        let mut extras = Extras::default();
        if record.kind.has_properties() {
            extras.properties = Some(latest_document(&details.latest));
            extras.location = details.location.map(|location| location.document());
        }
        match record.kind {
            ResourceKind::Task => extras.more.extend(self.task_input(record)?),
            ResourceKind::Application => extras.more.extend(self.public_key(record.id)?),
            _ => {}
        }
        for collection in details.collections {
            // A caller that does not see a collection does not see its members.
            let seen = request.is_unlimited() || self.can_see_collection(request, collection)?;
            extras.collections.extend(seen.then_some(collection));
        }
        Ok(extras)
    }

    /// The resource that a path names: by its id, or as `key:value` by one of its identifiers; the newest of several.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub async fn named_in_path(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        text: &str,
    ) -> Result<Id, BrokerError> {
        if let Ok(id) = Id::parse(text) {
            return Ok(id);
        }
        // A key may hold colons, and so may a value: the longest key that leads anywhere counts.
        let splits = text.rmatch_indices(':').map(|(at, _)| (&text[..at], &text[at + 1..]));
        let mut work_bytes = IDENTIFIED_BYTES_MAX;
        for (key, value) in
            splits.filter(|(key, value)| !key.is_empty() && !value.is_empty()).take(SPLITS_MAX)
        {
            if let Some(id) = self.identified(request, kind, key, value, &mut work_bytes)? {
                return Ok(id);
            }
            if work_bytes == 0 {
                break;
            }
        }
        Err(BrokerError::NotFound)
    }

    /// The newest resource with this identifier that the caller may name. Looking for it takes from `work_bytes`.
    pub(crate) fn identified(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        key: &str,
        value: &str,
        work_bytes: &mut u64,
    ) -> Result<Option<Id>, BrokerError> {
        let (account, path) = (request.principal().account, format!("identifiers.{key}"));
        let record_filter = |record: &ResourceRecord, _: &dyn Fn() -> Vec<Id>| {
            request.can_reference(&record.meta())
                && record.values_at(&record.fields(), &path).iter().any(|found| found.as_str() == value)
        };
        let by_identifier = IndexScan::Key(index_key(account, kind, &path, value));
        let mut find = thng_pubsub_store::ListRequest {
            account,
            kind,
            // What the caller may not name must not use up the bound: its answer would tell that it is there.
            source: request.reach(kind).and(by_identifier),
            record_filter: Some(&record_filter),
            page: PageRequest { items: 1, order: Default::default(), after: None },
            skip: 0,
            looked_at_max: 1_000,
            bounds: ScanBounds::NONE,
        };
        while *work_bytes > 0 {
            find.bounds.work_bytes = *work_bytes;
            let found = self.shared.store.find(&find).log_failure()?;
            *work_bytes = work_bytes.saturating_sub(found.scanned.work_bytes);
            if let Some(record) = found.items.first() {
                return Ok(Some(record.id));
            }
            find.page.after = found.scanned.next;
            if find.page.after.is_none() {
                break;
            }
            *work_bytes = work_bytes.saturating_sub(CONTINUED_BYTES);
        }
        Ok(None)
    }

    /// The latest value of each property.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn properties(
        &self,
        request: &RequestContext,
        owner: PropertyOwner,
    ) -> Result<Vec<PropertyUpdate>, BrokerError> {
        self.shared.authorize(request, owner.kind().resource(), owner.id())?;
        self.shared.store.latest(owner).log_failure()
    }

    /// A part of one property's history.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn history(
        &self,
        request: &RequestContext,
        owner: PropertyOwner,
        key: &PropertyKey,
        range: TimeRange,
        page: HistoryPage,
    ) -> Result<Page<PropertyUpdate>, BrokerError> {
        self.shared.authorize(request, owner.kind().resource(), owner.id())?;
        self.shared.store.history(owner, key, range, page).log_failure()
    }

    /// A part of a thng's locations.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn locations(
        &self,
        request: &RequestContext,
        thng: Id,
        range: TimeRange,
        page: HistoryPage,
    ) -> Result<Page<LocationUpdate>, BrokerError> {
        self.shared.authorize(request, ResourceKind::Thng, thng)?;
        self.shared.store.locations(thng, range, page).log_failure()
    }

    /// Whether a thng was commissioned, and when.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn commission_state(
        &self,
        request: &RequestContext,
        thng: Id,
    ) -> Result<(String, Option<String>), BrokerError> {
        Ok(crate::commands::commission_state(&self.read(request, ResourceKind::Thng, thng).await?))
    }
}
