//! Lists: what the caller sees, of what is asked for, a page at a time, from an index.

use std::{cell::LazyCell, sync::Arc};

use hashbrown::HashMap;
use thng_pubsub_protocol::{
    filter::{FieldValue, FieldValues, Filter, Op, Term},
    id::Id,
    payload::{Fields, Form, Members, ResourceKind, point},
    topic::Topic,
};

use super::{AnswerShare, Resources, scan::ScanLease};
use crate::commands;
use crate::{
    error::{BrokerError, LogFailure as _},
    request::RequestContext,
};
use thng_pubsub_store::{
    IndexScan, ListRequest, Page, PageRequest, RecordFilter, ResourceRecord, ScanBounds, index_fields,
    index_key,
};

/// Items that one call looks at: some tenths of a second's work. A page that would need more ends there, with the
/// position to go on from.
pub const LOOKED_AT_MAX: usize = 10_000;

/// Bytes of records that are in memory at a time while what a bulk change means is found.
const SELECTED_BYTES_MAX: usize = 1 << 20;

/// The resources that a list is made of.
#[derive(Debug, Clone, Copy)]
pub enum ListScope<'a> {
    /// All of the kind.
    All,
    /// Those of a project or a batch.
    Below(ResourceKind, Id),
    /// The members of a collection.
    Members(Id),
    /// The actions on a topic.
    Actions(&'a Topic),
    /// The users who are not anonymous.
    NamedUsers,
}

/// What a list is asked for.
#[derive(Debug, Clone)]
pub struct ListQuery {
    pub page: PageRequest,
    /// Items before the page, for those who count pages; with the page at most what one call looks at.
    pub skip: usize,
    pub ids: Option<Vec<Id>>,
    pub filter: Option<Filter>,
    pub near: Option<GeoFilter>,
    /// What bounds the bytes of the page, as it is stored and as it is sent; nothing where it is not sent.
    pub share: Option<Arc<AnswerShare>>,
    /// Whether documents show their scopes.
    pub with_scopes: bool,
    /// Whether the length of the whole list is asked for.
    pub counted: bool,
}

impl ListQuery {
    /// The newest one.
    pub fn one() -> Self {
        let page = PageRequest { items: 1, order: Default::default(), after: None };
        Self {
            page,
            skip: 0,
            share: None,
            ids: None,
            filter: None,
            near: None,
            with_scopes: false,
            counted: false,
        }
    }

    /// Bytes that the page may have.
    fn page_bytes(&self) -> usize {
        self.share.as_ref().map_or(usize::MAX, |share| share.page_bytes())
    }
}

/// Places within a distance of a point.
#[derive(Debug, Clone, Copy)]
pub struct GeoFilter {
    pub latitude: f64,
    pub longitude: f64,
    pub kilometres_max: f64,
}

impl GeoFilter {
    fn admits(&self, fields: &Fields) -> bool {
        let Some(at) = fields.get("position").and_then(point) else { return false };
        let (longitude, latitude) = at.degrees();
        let (a, b) = (self.latitude.to_radians(), latitude.to_radians());
        let (high, wide) = ((b - a) / 2.0, (longitude - self.longitude).to_radians() / 2.0);
        // The haversine formula, on a sphere of the Earth's mean radius.
        let h = high.sin().powi(2) + a.cos() * b.cos() * wide.sin().powi(2);
        2.0 * 6_371.0 * h.sqrt().min(1.0).asin() <= self.kilometres_max
    }
}

/// Refuses a filter that asks for what no list can tell.
///
/// # Errors
/// [`BrokerError::Invalid`] with the fields that there are.
pub(super) fn check_filter(
    request: &RequestContext,
    kind: ResourceKind,
    filter: &Filter,
) -> Result<(), BrokerError> {
    let shows_address =
        commands::ContextVisibility::to(request.principal().actor) == commands::ContextVisibility::Whole;
    let is_known = |term: &Term| {
        let name = term.field.split_once('.').map_or(&*term.field, |(name, _)| name);
        let has_key = term.field.len() > name.len() + 1;
        match name {
            "createdAt" => true,
            "updatedAt" => kind != ResourceKind::Action,
            "timestamp" => kind == ResourceKind::Action,
            // A filter must not reveal what the document does not show.
            "context" if kind == ResourceKind::Action && has_key => {
                shows_address || term.field != commands::ADDRESS_PATH
            }
            "collections" => kind.has_collections(),
            "customFields" => kind.field("customFields").is_some() && has_key,
            "identifiers" => kind.field("identifiers").is_some() && has_key,
            name => kind.field(name).is_some_and(|(_, field)| field.indexed) && name == term.field,
        }
    };
    match filter.terms().find(|term| !is_known(term)) {
        None => Ok(()),
        Some(_) => {
            let names: Vec<&str> = kind.filterable().collect();
            Err(BrokerError::Invalid(vec![format!(
                "filter: this list cannot be filtered by one of these fields. It can be by {}.",
                names.join(", ")
            )]))
        }
    }
}

/// Where what a filter admits is found; the filter is asked about each of them all the same.
fn source_of(filter: &Filter, account: Id, kind: ResourceKind) -> IndexScan {
    match filter {
        Filter::Term(term) => source_of_term(term, account, kind),
        Filter::All(parts) => {
            parts.iter().map(|part| source_of(part, account, kind)).fold(IndexScan::All, IndexScan::and)
        }
        Filter::Any(parts) => any(parts.iter().map(|part| source_of(part, account, kind)).collect()),
    }
}

fn any(mut sources: Vec<IndexScan>) -> IndexScan {
    match sources.len() {
        _ if sources.contains(&IndexScan::All) => IndexScan::All,
        1 => sources.remove(0),
        _ => IndexScan::Any(sources),
    }
}

fn source_of_term(condition: &Term, account: Id, kind: ResourceKind) -> IndexScan {
    if condition.op != Op::Equal {
        return IndexScan::All;
    }
    let name = condition.field.split_once('.').map_or(&*condition.field, |(name, _)| name);
    if name == "collections" {
        let members = condition.values.iter().filter_map(|id| Id::parse(id).ok()).map(IndexScan::Members);
        return any(members.collect());
    }
    let is_indexed = matches!(&*condition.field, "context.city" | "context.countryCode")
        || kind.field(name).is_some_and(|(_, field)| {
            field.indexed && (field.form == Form::Identifiers) == (name.len() < condition.field.len())
        });
    match is_indexed {
        true => any(condition
            .values
            .iter()
            .map(|value| IndexScan::Key(index_key(account, kind, &condition.field, value)))
            .collect()),
        false => IndexScan::All,
    }
}

/// Whether a filter admits a resource. Each field is read once, however many terms ask about it.
fn admits(
    filter: &Filter,
    record: &ResourceRecord,
    fields: &Fields,
    collections: &dyn Fn() -> Vec<Id>,
) -> bool {
    let mut known: HashMap<String, FieldValues> = HashMap::new();
    let mut members: HashMap<String, Option<Members<'_>>> = HashMap::new();
    filter.holds(&mut |term| {
        let values = known.entry_ref(&*term.field).or_insert_with(|| {
            match term.field.split_once('.') {
                _ if term.field == "collections" => {
                    collections().iter().map(|id| FieldValue::Text(id.to_string().into())).collect()
                }
                Some((name, key)) if name != "context" => {
                    let members =
                        members.entry_ref(name).or_insert_with(|| fields.get(name).and_then(Members::of));
                    members.as_ref().map(|members| members.values_at(key)).unwrap_or_default()
                }
                _ => record.values_at(fields, &term.field),
            }
            .into()
        });
        term.admits_field(values)
    })
}

impl Resources {
    /// A page of the resources of a kind that the caller sees, and how many there are on all pages where that is asked for.
    ///
    /// # Errors
    /// [`BrokerError`], also where counting them all would cost more than one call may.
    pub async fn list(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        scope: ListScope<'_>,
        query: &ListQuery,
    ) -> Result<(Page<ResourceRecord>, Option<usize>), BrokerError> {
        let within = self.scan_of(request, kind, scope)?;
        // First, so that no page waits for it in memory.
        let count = match query.counted {
            true => Some(self.count(request, kind, within.clone(), query).await?),
            false => None,
        };
        Ok((self.list_within(request, kind, within, query).await?, count))
    }

    /// Checks that a resource is there for the caller, before what else the call says is read.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn authorize(&self, request: &RequestContext, kind: ResourceKind, id: Id) -> Result<(), BrokerError> {
        self.shared.authorize(request, kind, id).map(drop)
    }

    /// Checks that the caller may list a scope: what it names must be there. A query is read after this, so that its
    /// faults reveal nothing.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn authorize_list(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        scope: ListScope<'_>,
    ) -> Result<(), BrokerError> {
        self.scan_of(request, kind, scope).map(drop)
    }

    /// Where the resources of a scope are found. The verb must be granted, and what the scope names must be there for the
    /// caller.
    fn scan_of(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        scope: ListScope<'_>,
    ) -> Result<IndexScan, BrokerError> {
        let by = |field: &str, value: &str| {
            IndexScan::Key(index_key(request.principal().account, kind, field, value))
        };
        Ok(match scope {
            ListScope::All => {
                request.permit()?;
                IndexScan::All
            }
            ListScope::Below(parent, id) => {
                self.shared.authorize(request, parent, id)?;
                by(index_fields::PARENT, id.as_str())
            }
            ListScope::Members(collection) => {
                self.shared.authorize(request, ResourceKind::Collection, collection)?;
                IndexScan::Members(collection)
            }
            ListScope::Actions(topic) => self.actions_at(request, topic)?,
            ListScope::NamedUsers => {
                request.permit()?;
                by(index_fields::NAMED, "")
            }
        })
    }

    /// A page out of `within`.
    pub(crate) async fn list_within(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        within: IndexScan,
        query: &ListQuery,
    ) -> Result<Page<ResourceRecord>, BrokerError> {
        if let Some(filter) = &query.filter {
            check_filter(request, kind, filter)?;
        }
        if query.skip > 0 && query.skip.saturating_add(query.page.items) > LOOKED_AT_MAX {
            return Err(too_far());
        }
        let mut turn = self.scans.turn(request).await?;
        // Only now: what waits for a turn needs no memory yet.
        query.share.iter().for_each(|share| share.reserve_page());
        self.list_in_turn(request, kind, within, query, &mut turn).await
    }

    /// The same, with a turn that was waited for.
    async fn list_in_turn(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        within: IndexScan,
        query: &ListQuery,
        turn: &mut ScanLease,
    ) -> Result<Page<ResourceRecord>, BrokerError> {
        let mut page = self.page(request, kind, within.clone(), query, turn).await?;
        if let Some(again) = decoded_again(query, page.items.is_empty() && page.next.is_none()) {
            page = self.page(request, kind, within, &again, turn).await?;
        }
        // It ended before the items in front of the page were counted off: from its position on would be another page.
        match query.skip > 0 && page.items.is_empty() && page.next.is_some() {
            true => Err(too_far()),
            false => Ok(page),
        }
    }

    /// A page, scanned slice by slice. It may end anywhere, with the position to go on from.
    async fn page(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        within: IndexScan,
        query: &ListQuery,
        turn: &mut ScanLease,
    ) -> Result<Page<ResourceRecord>, BrokerError> {
        let record_filter = self.record_filter(request, query);
        let mut list = list_request(request, kind, within, query, &record_filter);
        let mut scan = self.scans.begin(passes(query), LOOKED_AT_MAX);
        let mut items = Vec::new();
        loop {
            let part = scan.slice(&mut list, |list| self.shared.store.find(list))?;
            list.skip -= part.scanned.skipped.min(list.skip);
            list.page.items -= part.items.len().min(list.page.items);
            items.extend(part.items);
            let next = part.scanned.next;
            if part.is_full || next.is_none() {
                return Ok(Page { items, next });
            }
            if scan.is_used_up(&part.scanned).is_some() {
                // Items in front of the page that were not counted off make another page of it.
                return if list.skip > 0 { Err(too_far()) } else { Ok(Page { items, next }) };
            }
            list.page.after = next;
            let used: usize = items.iter().map(|item| item.body.len()).sum();
            list.bounds.page_bytes = query.page_bytes().saturating_sub(used);
            // No scan waits with more bytes than are reserved for it.
            if list.bounds.page_bytes == 0 && !items.is_empty() {
                return Ok(Page { items, next });
            }
            self.scans.pass_on(turn, request).await?;
        }
    }

    /// Whether a resource belongs to the list.
    fn record_filter<'q>(
        &'q self,
        request: &'q RequestContext,
        query: &'q ListQuery,
    ) -> impl Fn(&ResourceRecord, &dyn Fn() -> Vec<Id>) -> bool + Sync {
        move |record, collections| {
            // A filter must not reveal the members of a collection that the caller cannot see.
            let seen = || match request.is_unlimited() {
                true => collections(),
                false => {
                    let is_visible = |id: &Id| matches!(self.can_see_collection(request, *id), Ok(true));
                    collections().into_iter().filter(is_visible).collect()
                }
            };
            let fields = LazyCell::new(|| record.fields());
            request.can_see(&record.meta_with(&fields))
                && query.filter.as_ref().is_none_or(|filter| admits(filter, record, &fields, &seen))
                && query.near.is_none_or(|near| near.admits(&fields))
        }
    }

    pub(crate) fn can_see_collection(&self, request: &RequestContext, id: Id) -> Result<bool, BrokerError> {
        Ok(self.shared.resource_meta(id).log_failure()?.is_some_and(|meta| request.can_reference(&meta)))
    }

    /// How many there are on all pages.
    ///
    /// # Errors
    /// [`BrokerError`], also where counting them all would cost more than one call may.
    pub(super) async fn count(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        within: IndexScan,
        query: &ListQuery,
    ) -> Result<usize, BrokerError> {
        let mut turn = self.scans.turn(request).await?;
        let count = self.count_once(request, kind, within.clone(), query, &mut turn).await?;
        match decoded_again(query, count == 0) {
            Some(again) => self.count_once(request, kind, within, &again, &mut turn).await,
            None => Ok(count),
        }
    }

    async fn count_once(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        within: IndexScan,
        query: &ListQuery,
        turn: &mut ScanLease,
    ) -> Result<usize, BrokerError> {
        let record_filter = self.record_filter(request, query);
        let mut list = list_request(request, kind, within, query, &record_filter);
        (list.page.after, list.skip) = (None, 0);
        // Where the index says it all, they are counted without a look at each.
        if request.is_found_by_source(kind) && query.filter.is_none() && query.near.is_none() {
            list.record_filter = None;
        }
        let mut scan = self.scans.begin(passes(query), usize::MAX);
        let mut count = 0;
        loop {
            let (part, scanned) = scan.slice(&mut list, |list| self.shared.store.count(list))?;
            count += part;
            if scanned.next.is_none() {
                return Ok(count);
            }
            if let Some(bound) = scan.is_used_up(&scanned) {
                return Err(self.scans.refused(
                    bound,
                    "The total was not counted, since too much would have to be read for it. Leave withTotalCount and \
                     page out, or narrow the list.",
                ));
            }
            list.page.after = scanned.next;
            self.scans.pass_on(turn, request).await?;
        }
    }

    /// The ids of everything that the caller sees and that `ids` or `filter` name, for a change of many at once. All of
    /// them, or an error. A filter is taken as it was sent: a second reading would change what was not named.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] where neither is given, or more than `most` are meant: then nothing is to be changed.
    pub(super) async fn selected(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        query: &ListQuery,
        most: usize,
    ) -> Result<Vec<Id>, BrokerError> {
        if query.ids.is_none() && query.filter.is_none() {
            return Err(BrokerError::invalid(
                "Say which with ids or filter: a change of everything is not made by leaving both out.",
            ));
        }
        if let Some(filter) = &query.filter {
            check_filter(request, kind, filter)?;
        }
        let mut turn = self.scans.turn(request).await?;
        let record_filter = self.record_filter(request, query);
        let mut list = list_request(request, kind, IndexScan::All, query, &record_filter);
        (list.page.after, list.skip) = (None, 0);
        let mut scan = self.scans.begin(passes(query), LOOKED_AT_MAX);
        let mut ids = Vec::new();
        loop {
            list.page.items = most + 1 - ids.len();
            list.bounds.page_bytes = SELECTED_BYTES_MAX;
            let part = scan.slice(&mut list, |list| self.shared.store.find(list))?;
            ids.extend(part.items.iter().map(|record| record.id));
            if ids.len() > most {
                return Err(BrokerError::invalid(format!(
                    "More than {most} are meant, which is what one call changes at the most. Nothing was changed."
                )));
            }
            if part.scanned.next.is_none() {
                return Ok(ids);
            }
            if let Some(bound) = scan.is_used_up(&part.scanned) {
                return Err(self.scans.refused(
                    bound,
                    &format!(
                        "This call would have to scan more than {LOOKED_AT_MAX} items, or too many bytes. Name the items \
                         with ids, or with a filter that an index answers. Nothing was changed."
                    ),
                ));
            }
            list.page.after = part.scanned.next;
            self.scans.pass_on(&mut turn, request).await?;
        }
    }
}

fn too_far() -> BrokerError {
    BrokerError::invalid(format!(
        "page leads beyond the {LOOKED_AT_MAX} items that one call looks at; use the link of each page to go on."
    ))
}

/// How often each item is gone through: once to read it, and once for each value of the filter.
fn passes(query: &ListQuery) -> u64 {
    let values = query.filter.iter().flat_map(Filter::terms).map(|term| term.values.len()).sum::<usize>();
    1 + u64::try_from(values).unwrap_or(u64::MAX - 1)
}

/// The query with its filter decoded once more, where nothing was found as it came: some clients encode it twice.
fn decoded_again(query: &ListQuery, found_nothing: bool) -> Option<ListQuery> {
    let filter = query.filter.as_ref().filter(|_| found_nothing)?.decoded_again()?;
    Some(ListQuery { filter: Some(filter), ..query.clone() })
}

fn list_request<'q>(
    request: &RequestContext,
    kind: ResourceKind,
    within: IndexScan,
    query: &ListQuery,
    record_filter: RecordFilter<'q>,
) -> ListRequest<'q> {
    let account = request.principal().account;
    let by_filter = query.filter.as_ref().map(|filter| source_of(filter, account, kind));
    let by_ids = query.ids.clone().map(IndexScan::Ids);
    let source =
        [Some(within), by_ids, by_filter].into_iter().flatten().fold(request.source(kind), IndexScan::and);
    ListRequest {
        account,
        kind,
        source,
        record_filter: Some(record_filter),
        page: query.page,
        skip: query.skip,
        looked_at_max: LOOKED_AT_MAX,
        bounds: ScanBounds { page_bytes: query.page_bytes(), ..ScanBounds::NONE },
    }
}
