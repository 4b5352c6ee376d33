//! Properties of thngs and products: `…/properties` and `…/properties/:key`.

use axum::{http::StatusCode, response::Response};
use thng_pubsub_protocol::{
    id::PropertyKey,
    payload::{history_document, update_document},
    topic::{OwnerKind, PropertyOwner},
};

use super::{
    HttpError,
    call::{Call, invalid},
    json,
    list::{history_answer, history_page},
    resource::{done, visible},
};
use thng_pubsub_broker::resources::TimeRange;

async fn owner(call: &Call, kind: OwnerKind) -> Result<PropertyOwner, HttpError> {
    Ok(kind.with_id(visible(call, kind.resource(), "id").await?))
}

fn key(call: &Call) -> Result<PropertyKey, HttpError> {
    PropertyKey::parse(call.segment("key"))
        .map_err(|error| invalid(&format!("The path names no property: {error}.")))
}

async fn publish(
    call: &Call,
    owner: PropertyOwner,
    key: Option<&PropertyKey>,
) -> Result<Response, HttpError> {
    let request = call.request_with_context();
    let write = call.resources().update_properties(&request, owner, key, &call.body);
    let updates = call.publish(write).await?;
    Ok(json(StatusCode::OK, update_document(updates.iter())))
}

pub(super) async fn update(call: Call, kind: OwnerKind) -> Result<Response, HttpError> {
    let owner = owner(&call, kind).await?;
    publish(&call, owner, None).await
}

pub(super) async fn update_one(call: Call, kind: OwnerKind) -> Result<Response, HttpError> {
    let owner = owner(&call, kind).await?;
    let key = key(&call)?;
    publish(&call, owner, Some(&key)).await
}

/// Refuses what would narrow a list, where it does not, rather than answer with too much.
fn refuse(call: &Call, names: &[&str]) -> Result<(), HttpError> {
    match names.iter().find(|name| call.parameter(name).is_some()) {
        Some(name) => Err(invalid(&format!("{name}: properties are not listed by it."))),
        None => Ok(()),
    }
}

pub(super) async fn latest(call: Call, kind: OwnerKind) -> Result<Response, HttpError> {
    let owner = owner(&call, kind).await?;
    refuse(&call, &["filter", "ids"])?;
    let latest = call.resources().properties(call.request(), owner).await?;
    Ok(json(StatusCode::OK, update_document(&latest)))
}

/// The part of a history that is asked for: `from` and `to`, or a filter of timestamps.
pub(super) fn range(call: &Call) -> Result<TimeRange, HttpError> {
    use thng_pubsub_protocol::filter::{Filter, Op, integer};
    let mut range = TimeRange { from_ms: call.time("from")?, to_ms: call.time("to")? };
    let Some(text) = call.parameter("filter").filter(|text| !text.is_empty()) else { return Ok(range) };
    let filter = Filter::parse(&text).map_err(|error| invalid(&format!("filter: {error}.")))?;
    let wrong =
        || invalid("filter: a history can be filtered by timestamp, such as timestamp>1700000000000.");
    if matches!(filter, Filter::Any(_)) {
        return Err(wrong());
    }
    for term in filter.terms() {
        let [value] = &term.values[..] else { return Err(wrong()) };
        let time = integer(value).ok_or_else(wrong)?;
        if term.field != "timestamp" {
            return Err(wrong());
        }
        let (from, to) = match term.op {
            Op::Greater => (Some(time.saturating_add(1)), None),
            Op::GreaterOrEqual => (Some(time), None),
            Op::Less => (None, Some(time.saturating_sub(1))),
            Op::LessOrEqual => (None, Some(time)),
            Op::Equal => (Some(time), Some(time)),
            Op::NotEqual | Op::Contains => return Err(wrong()),
        };
        range.from_ms = range.from_ms.max(from);
        range.to_ms = [range.to_ms, to].into_iter().flatten().min();
    }
    Ok(range)
}

pub(super) async fn history(call: Call, kind: OwnerKind) -> Result<Response, HttpError> {
    let owner = owner(&call, kind).await?;
    refuse(&call, &["ids"])?;
    let (range, key, (page, share)) = (range(&call)?, key(&call)?, history_page(&call)?);
    let history = call.resources().history(call.request(), owner, &key, range, page).await?;
    Ok(history_answer(&call, &history, page, share, history_document(&history.items)))
}

pub(super) async fn delete(call: Call, kind: OwnerKind) -> Result<Response, HttpError> {
    let owner = owner(&call, kind).await?;
    forget(&call, owner, None).await
}

pub(super) async fn delete_one(call: Call, kind: OwnerKind) -> Result<Response, HttpError> {
    let owner = owner(&call, kind).await?;
    let key = key(&call)?;
    forget(&call, owner, Some(key)).await
}

async fn forget(call: &Call, owner: PropertyOwner, key: Option<PropertyKey>) -> Result<Response, HttpError> {
    let before_ms = call.time("to")?;
    call.resources().delete_properties(call.request(), owner, key, before_ms).await?;
    Ok(done())
}
