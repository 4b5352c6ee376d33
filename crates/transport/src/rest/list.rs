//! Lists: which part is asked for, and where the next part is.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use thng_pubsub_protocol::{
    filter::{Filter, FilterError, integer},
    id::Id,
};

use super::{
    HttpError,
    call::{Call, invalid},
    json,
};
use thng_pubsub_broker::resources::{
    AnswerShare, Cursor, GeoFilter, HistoryPage, ListQuery, Page, PageRequest, SortOrder,
};

/// Items of a page when nothing is asked for, and at the most where the server is not set to less.
pub(super) const ITEMS: (usize, usize) = (30, 100);

/// Ids in `ids` at the most.
const IDS_MAX: usize = 100;

/// What an encoded URL leaves as it is; as `encodeURIComponent` does.
pub(super) const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Reads `perPage`, `sortOrder` and `nextPageToken`.
pub(super) fn page(call: &Call) -> Result<PageRequest, HttpError> {
    let most = call.resources().page_size_max();
    let usual = ITEMS.0.min(most);
    let items = match call.parameter("perPage") {
        None => usual,
        Some(text) => count(&text)
            .filter(|items| (1..=most).contains(items))
            .ok_or_else(|| invalid(&format!("perPage is a number from 1 to {most}.")))?,
    };
    let order = match call.parameter("sortOrder").as_deref() {
        None | Some("DESCENDING") => SortOrder::NewestFirst,
        Some("ASCENDING") => SortOrder::OldestFirst,
        Some(_) => return Err(invalid("sortOrder is ASCENDING or DESCENDING.")),
    };
    let after = match call.parameter("nextPageToken") {
        None => None,
        Some(token) => Some(
            read_token(&token)
                .ok_or_else(|| invalid("nextPageToken is not one that this server gave out."))?,
        ),
    };
    Ok(PageRequest { items, order, after })
}

/// A number of items or pages, which is whole by its value.
fn count(text: &str) -> Option<usize> {
    integer(text).and_then(|number| usize::try_from(number).ok())
}

/// Items that can be counted off in front of a page of a history: they are read, and each may be large. Beyond them,
/// `nextPageToken` leads on.
pub(super) const COUNTED_OFF_MAX: usize = 100;

/// Reads which page of a history is asked for, and reserves what its answer occupies.
pub(super) fn history_page(call: &Call) -> Result<(HistoryPage, Arc<AnswerShare>), HttpError> {
    let page = page(call)?;
    let skip = in_front(call, page)?;
    if skip > COUNTED_OFF_MAX {
        return Err(invalid(&format!(
            "page leads beyond the first {COUNTED_OFF_MAX} values; use the link of each page to go on."
        )));
    }
    let share = call.answer_share();
    share.reserve_page();
    Ok((HistoryPage { page, skip, bytes: share.page_bytes() }, share))
}

/// A page of a history as a response.
pub(super) fn history_answer<T>(
    call: &Call,
    page: &Page<T>,
    request: HistoryPage,
    share: Arc<AnswerShare>,
    document: String,
) -> Response {
    if page.next.is_some() && page.items.len() < request.page.items {
        share.page_ended_early();
    }
    let mut response = json(StatusCode::OK, document);
    response.extensions_mut().insert(share);
    link(call, page.next, response)
}

/// Items in front of the page that `page` names.
fn in_front(call: &Call, request: PageRequest) -> Result<usize, HttpError> {
    match call.parameter("page") {
        Some(number) if request.after.is_none() => {
            let number = count(&number).filter(|number| *number > 0);
            let number = number.ok_or_else(|| invalid("page is a number from 1 on."))?;
            Ok((number - 1).saturating_mul(request.items))
        }
        _ => Ok(0),
    }
}

/// Reads `filter`.
pub(super) fn filter(call: &Call) -> Result<Option<Filter>, HttpError> {
    let Some(text) = call.parameter("filter") else { return Ok(None) };
    match Filter::parse(&text) {
        Ok(filter) => Ok(Some(filter)),
        Err(FilterError::Empty) => Ok(None),
        Err(error) => Err(invalid(&format!("filter: {error}."))),
    }
}

/// Reads everything that a list of resources can be asked for.
pub(super) fn query(call: &Call) -> Result<ListQuery, HttpError> {
    let page = page(call)?;
    let skip = in_front(call, page)?;
    let ids = named_ids(call)?;
    let filter = filter(call)?;
    let with_scopes = call.says("withScopes");
    let counted = call.parameter("page").is_some() || call.says("withTotalCount");
    Ok(ListQuery {
        page,
        skip,
        share: Some(call.answer_share()),
        ids,
        filter,
        near: None,
        with_scopes,
        counted,
    })
}

/// Reads `lat`, `lon` and `maxDist`.
pub(super) fn near(call: &Call) -> Result<Option<GeoFilter>, HttpError> {
    let number = |name: &str, least: f64, most: f64| match call.parameter(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<f64>()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .map(Some)
            .ok_or_else(|| invalid(&format!("{name} is a number from {least} to {most}."))),
    };
    match (number("lat", -90.0, 90.0)?, number("lon", -180.0, 180.0)?, number("maxDist", 0.0, 25_000.0)?) {
        (None, None, None) => Ok(None),
        (Some(latitude), Some(longitude), kilometres_max) => {
            Ok(Some(GeoFilter { latitude, longitude, kilometres_max: kilometres_max.unwrap_or(1.0) }))
        }
        _ => Err(invalid("lat and lon go together, in degrees, with maxDist in kilometres.")),
    }
}

/// Reads `ids`.
pub(super) fn named_ids(call: &Call) -> Result<Option<Vec<Id>>, HttpError> {
    let Some(text) = call.parameter("ids") else { return Ok(None) };
    let ids: Vec<&str> = text.split(',').filter(|id| !id.is_empty()).collect();
    if ids.len() > IDS_MAX {
        return Err(invalid(&format!("ids holds at most {IDS_MAX} ids.")));
    }
    // Text that can be no id names nothing.
    Ok(Some(ids.into_iter().filter_map(|id| Id::parse(id).ok()).collect()))
}

/// A page as a response: a bare array, the length of the whole list if it was counted, and the next page.
pub(super) fn answer(call: &Call, query: &ListQuery, page: Page<String>, count: Option<usize>) -> Response {
    let mut documents = DocumentArray::new(page.items.iter().map(String::len).sum(), page.items.len());
    page.items.iter().for_each(|document| documents.push(document));
    answer_with(call, query, documents, page.next, count)
}

/// The same with documents that are an array already.
pub(super) fn answer_with(
    call: &Call,
    query: &ListQuery,
    documents: DocumentArray,
    next: Option<Cursor>,
    count: Option<usize>,
) -> Response {
    let is_short = next.is_some() && documents.count < query.page.items;
    let mut response = json(StatusCode::OK, documents.finish());
    if let Some(share) = &query.share {
        if is_short {
            share.page_ended_early();
        }
        response.extensions_mut().insert(Arc::clone(share));
    }
    link(call, next, with_count(response, count))
}

/// An array of documents in one buffer, so that a page is in memory once.
pub(super) struct DocumentArray {
    text: String,
    count: usize,
}

impl DocumentArray {
    /// For about so many documents of about so many bytes together.
    pub(super) fn new(bytes: usize, count: usize) -> Self {
        let mut text = String::with_capacity(bytes + count + 2);
        text.push('[');
        Self { text, count: 0 }
    }

    pub(super) fn push(&mut self, document: &str) {
        if self.count > 0 {
            self.text.push(',');
        }
        self.text.push_str(document);
        self.count += 1;
    }

    /// Bytes of the array with one more document.
    pub(super) fn bytes_with(&self, document: &str) -> usize {
        self.text.len() + document.len() + 2
    }

    /// The array as a response.
    pub(super) fn response(self) -> Response {
        json(StatusCode::OK, self.finish())
    }

    fn finish(mut self) -> String {
        self.text.push(']');
        self.text
    }
}

/// Says how many there are.
pub(super) fn with_count(mut response: Response, count: Option<usize>) -> Response {
    if let Some(count) = count {
        response.headers_mut().insert(HeaderName::from_static("x-result-count"), HeaderValue::from(count));
    }
    response
}

/// Says where the next page is, if there is one.
///
/// The whole URL is percent-encoded within the angle brackets, as the platform did. Its clients decode it once and use it
/// as it is, so it also repeats every parameter.
pub(super) fn link(call: &Call, next: Option<Cursor>, mut response: Response) -> Response {
    let Some(next) = next else { return response };
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in
        call.parameters().filter(|(name, _)| !["nextPageToken", "access_token", "page"].contains(&&**name))
    {
        query.append_pair(&name, &value);
    }
    query.append_pair("nextPageToken", &write_token(next));
    let url = format!("{}{}?{}", call.origin(), call.path(), query.finish());
    let link = format!("<{}>; rel=\"next\"", utf8_percent_encode(&url, COMPONENT));
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(HeaderName::from_static("link"), link);
    }
    response
}

fn write_token(cursor: Cursor) -> String {
    format!("{:x}-{:x}", cursor.at_ms, cursor.seq)
}

fn read_token(token: &str) -> Option<Cursor> {
    let (at_ms, seq) = token.split_once('-')?;
    Some(Cursor { at_ms: i64::from_str_radix(at_ms, 16).ok()?, seq: u64::from_str_radix(seq, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_as_what_it_was_written_from() {
        for cursor in [Cursor { at_ms: 0, seq: 0 }, Cursor { at_ms: i64::MAX, seq: u64::MAX }] {
            assert_eq!(read_token(&write_token(cursor)), Some(cursor));
        }
        for token in ["", "-", "1", "x-1", "1-", "1-2-3"] {
            assert_eq!(read_token(token), None, "{token}");
        }
    }
}
