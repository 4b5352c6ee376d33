//! Lists: which part is asked for, and where the next part is.

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Refused,
    call::{Call, invalid},
};
use crate::gateway::{Cursor, PageRequest, SortOrder};

/// Items of a page when nothing is asked for, and at the most.
const ITEMS: (usize, usize) = (30, 100);

/// What an encoded URL leaves as it is; as `encodeURIComponent` does.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Reads `perPage`, `sortOrder` and `nextPageToken`.
pub(super) fn page(call: &Call) -> Result<PageRequest, Refused> {
    let (usual, most) = ITEMS;
    let items = match call.parameter("perPage") {
        None => usual,
        Some(text) => text
            .parse()
            .ok()
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

/// Refuses what a list cannot do yet rather than answering with too much.
pub(super) fn refuse_unserved(call: &Call) -> Result<(), Refused> {
    for name in ["filter", "ids"] {
        if call.parameter(name).is_some() {
            return Err(invalid(&format!("{name} is not served by this version of the server.")));
        }
    }
    Ok(())
}

/// Says where the next page is, if there is one.
///
/// The whole URL is percent-encoded within the angle brackets, as the platform did: its clients decode it once and use
/// it as it is, so it also carries every parameter on.
pub(super) fn link(call: &Call, next: Option<Cursor>, mut response: Response) -> Response {
    let Some(next) = next else { return response };
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in
        call.parameters().filter(|(name, _)| name != "nextPageToken" && name != "access_token")
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
