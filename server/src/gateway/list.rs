//! Lists: what the caller sees, of what is asked for, a page at a time, from an index.

use thng_pubsub_protocol::{
    filter::{FieldValue, Filter, Op, Term},
    id::Id,
    payload::{Form, ResourceKind, point},
};

use super::{Caller, Gateway, Refusal};
use crate::store::{Find, Keep, Page, PageRequest, ResourceRecord, Source, term};
use crate::{domain, polls};

/// Items that one call looks at: some tenths of a second's work. A page that would need more ends there, with the place
/// to go on from.
pub(crate) const LOOKED_AT_MAX: usize = 10_000;

/// What a list is asked for.
#[derive(Debug, Clone)]
pub(crate) struct ListQuery {
    pub(crate) page: PageRequest,
    /// Items before the page, for those who count pages; with the page at most what one call looks at.
    pub(crate) skip: usize,
    pub(crate) ids: Option<Vec<Id>>,
    pub(crate) filter: Option<Filter>,
    pub(crate) near: Option<Near>,
    /// Whether documents show their scopes.
    pub(crate) with_scopes: bool,
    /// Whether the length of the whole list is asked for.
    pub(crate) counted: bool,
}

impl ListQuery {
    /// The newest one.
    pub(crate) fn one() -> Self {
        let page = PageRequest { items: 1, order: Default::default(), after: None };
        Self { page, skip: 0, ids: None, filter: None, near: None, with_scopes: false, counted: false }
    }
}

/// Places within a distance of a point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Near {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) kilometres_max: f64,
}

impl Near {
    fn admits(&self, record: &ResourceRecord) -> bool {
        let Some(at) = record.fields().get("position").and_then(point) else { return false };
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
/// [`Refusal::Invalid`] with the fields that there are.
pub(crate) fn check_filter(caller: &Caller<'_>, kind: ResourceKind, filter: &Filter) -> Result<(), Refusal> {
    let shows_address = domain::ContextShown::to(caller.principal.actor) == domain::ContextShown::Whole;
    let is_known = |term: &Term| {
        let name = term.field.split_once('.').map_or(&*term.field, |(name, _)| name);
        let has_key = term.field.len() > name.len() + 1;
        match name {
            "createdAt" => true,
            "updatedAt" => kind != ResourceKind::Action,
            "timestamp" => kind == ResourceKind::Action,
            // Nobody finds out by a filter what the document does not show.
            "context" if kind == ResourceKind::Action && has_key => {
                shows_address || term.field != domain::ADDRESS_PATH
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
            Err(Refusal::Invalid(vec![format!(
                "filter: this list cannot be filtered by one of these fields. It can be by {}.",
                names.join(", ")
            )]))
        }
    }
}

/// Where what a filter admits is found; the filter is asked about each of them all the same.
fn source_of(filter: &Filter, account: Id, kind: ResourceKind) -> Source {
    match filter {
        Filter::Term(term) => source_of_term(term, account, kind),
        Filter::All(parts) => {
            parts.iter().map(|part| source_of(part, account, kind)).fold(Source::All, Source::and)
        }
        Filter::Any(parts) => any(parts.iter().map(|part| source_of(part, account, kind)).collect()),
    }
}

fn any(mut sources: Vec<Source>) -> Source {
    match sources.len() {
        _ if sources.contains(&Source::All) => Source::All,
        1 => sources.remove(0),
        _ => Source::Any(sources),
    }
}

fn source_of_term(asked: &Term, account: Id, kind: ResourceKind) -> Source {
    if asked.op != Op::Equal {
        return Source::All;
    }
    let name = asked.field.split_once('.').map_or(&*asked.field, |(name, _)| name);
    if name == "collections" {
        let members = asked.values.iter().filter_map(|id| Id::parse(id).ok()).map(Source::Members);
        return any(members.collect());
    }
    let is_indexed = matches!(&*asked.field, "context.city" | "context.countryCode")
        || kind.field(name).is_some_and(|(_, field)| {
            field.indexed && (field.form == Form::Identifiers) == (name.len() < asked.field.len())
        });
    match is_indexed {
        true => any(asked
            .values
            .iter()
            .map(|value| Source::Term(term(account, kind, &asked.field, value)))
            .collect()),
        false => Source::All,
    }
}

/// Whether a filter admits a resource.
fn admits(filter: &Filter, record: &ResourceRecord, collections: &dyn Fn() -> Vec<Id>) -> bool {
    let fields = record.fields();
    filter.holds(&mut |term| {
        let values = match &*term.field {
            "collections" => collections().iter().map(|id| FieldValue::Text(id.to_string().into())).collect(),
            path => record.values_at(&fields, path),
        };
        term.admits(values.iter())
    })
}

impl Gateway {
    /// A page of the resources of a kind that the caller sees, out of `within`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn list(
        &self,
        caller: &Caller<'_>,
        kind: ResourceKind,
        within: Source,
        query: &ListQuery,
    ) -> Result<Page<ResourceRecord>, Refusal> {
        if let Some(filter) = &query.filter {
            check_filter(caller, kind, filter)?;
        }
        let too_far = || {
            Refusal::invalid(format!(
                "page leads beyond the {LOOKED_AT_MAX} items that one call looks at; use the link of each page to go on."
            ))
        };
        if query.skip > 0 && query.skip.saturating_add(query.page.items) > LOOKED_AT_MAX {
            return Err(too_far());
        }
        let _turn = self.turn(query).await?;
        let page = polls::blocking(|| {
            let page = self.find(caller, kind, within.clone(), query)?;
            match decoded_again(query, page.items.is_empty() && page.next.is_none()) {
                Some(again) => self.find(caller, kind, within, &again),
                None => Ok(page),
            }
        })?;
        // It ended before the items in front of the page were counted off: from its place on would be another page.
        match query.skip > 0 && page.items.is_empty() && page.next.is_some() {
            true => Err(too_far()),
            false => Ok(page),
        }
    }

    /// Waits for a turn. Those who walk through many resources have fewer, so that those who look up one never wait for
    /// all who walk.
    async fn turn(&self, query: &ListQuery) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        let walks = query.filter.is_some() || query.near.is_some();
        let turns = if walks { &self.walks } else { &self.pages };
        turns.acquire().await.map_err(|_| Refusal::Unavailable)
    }

    /// Whether a resource belongs to the list.
    fn keep<'q>(
        &'q self,
        caller: &'q Caller<'_>,
        query: &'q ListQuery,
    ) -> impl Fn(&ResourceRecord, &dyn Fn() -> Vec<Id>) -> bool + Sync {
        move |record, collections| {
            // Who does not see a collection does not learn by a filter who is in it.
            let seen = || match caller.is_unlimited() {
                true => collections(),
                false => {
                    let sees = |id: &Id| matches!(self.sees_collection(caller, *id), Ok(true));
                    collections().into_iter().filter(sees).collect()
                }
            };
            caller.sees(&record.head())
                && query.filter.as_ref().is_none_or(|filter| admits(filter, record, &seen))
                && query.near.is_none_or(|near| near.admits(record))
        }
    }

    pub(super) fn sees_collection(&self, caller: &Caller<'_>, id: Id) -> Result<bool, Refusal> {
        Ok(self.head(id)?.is_some_and(|head| caller.may_name(&head)))
    }

    fn find(
        &self,
        caller: &Caller<'_>,
        kind: ResourceKind,
        within: Source,
        query: &ListQuery,
    ) -> Result<Page<ResourceRecord>, Refusal> {
        let keep = self.keep(caller, query);
        Ok(self.store.find(&request(caller, kind, within, query, &keep))?)
    }

    /// How many there are on all pages; of a list that is longer than one call looks at, as many as it saw.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn count(
        &self,
        caller: &Caller<'_>,
        kind: ResourceKind,
        within: Source,
        query: &ListQuery,
    ) -> Result<usize, Refusal> {
        let _turn = self.walks.acquire().await.map_err(|_| Refusal::Unavailable)?;
        polls::blocking(|| {
            let count = self.count_once(caller, kind, within.clone(), query)?;
            match decoded_again(query, count == 0) {
                Some(again) => self.count_once(caller, kind, within, &again),
                None => Ok(count),
            }
        })
    }

    fn count_once(
        &self,
        caller: &Caller<'_>,
        kind: ResourceKind,
        within: Source,
        query: &ListQuery,
    ) -> Result<usize, Refusal> {
        let keep = self.keep(caller, query);
        let mut request = request(caller, kind, within, query, &keep);
        // Where the index says it all, they are counted without a look at each.
        if caller.is_found_by_source(kind) && query.filter.is_none() && query.near.is_none() {
            request.keep = None;
        }
        Ok(self.store.count(&request)?)
    }

    /// The ids of everything that the caller sees and that `ids` or `filter` name, for a change of many at once.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] where neither is given, or more than `most` are meant: then nothing is to be changed.
    pub(crate) async fn selected(
        &self,
        caller: &Caller<'_>,
        kind: ResourceKind,
        query: &ListQuery,
        most: usize,
    ) -> Result<Vec<Id>, Refusal> {
        if query.ids.is_none() && query.filter.is_none() {
            return Err(Refusal::invalid(
                "Say which with ids or filter: a change of everything is not made by leaving both out.",
            ));
        }
        let mut query = query.clone();
        query.page = PageRequest { items: most + 1, after: None, ..query.page };
        query.skip = 0;
        let page = self.list(caller, kind, Source::All, &query).await?;
        if page.items.len() > most {
            return Err(Refusal::invalid(format!(
                "More than {most} are meant, which is what one call changes at the most. Nothing was changed."
            )));
        }
        if page.next.is_some() {
            return Err(Refusal::invalid(format!(
                "To find what is meant, more than {LOOKED_AT_MAX} would have to be looked at: name them with ids, or with \
                 a filter that an index answers. Nothing was changed."
            )));
        }
        Ok(page.items.iter().map(|record| record.id).collect())
    }
}

/// The query with its filter decoded once more, where nothing was found as it came: some clients encode it twice.
fn decoded_again(query: &ListQuery, found_nothing: bool) -> Option<ListQuery> {
    let filter = query.filter.as_ref().filter(|_| found_nothing)?.decoded_again()?;
    Some(ListQuery { filter: Some(filter), ..query.clone() })
}

fn request<'q>(
    caller: &Caller<'_>,
    kind: ResourceKind,
    within: Source,
    query: &ListQuery,
    keep: Keep<'q>,
) -> Find<'q> {
    let account = caller.principal.account;
    let by_filter = query.filter.as_ref().map(|filter| source_of(filter, account, kind));
    let by_ids = query.ids.clone().map(Source::Ids);
    let source =
        [Some(within), by_ids, by_filter].into_iter().flatten().fold(caller.source(kind), Source::and);
    Find {
        account,
        kind,
        source,
        keep: Some(keep),
        page: query.page,
        skip: query.skip,
        looked_at_max: LOOKED_AT_MAX,
    }
}
