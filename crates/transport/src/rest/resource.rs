//! Resources of every kind: create, list, read, update, delete, and bulk changes, the same for all of them.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind, latest_document},
    topic::SubjectKind,
};

use super::{
    HttpError,
    call::Call,
    json,
    list::{DocumentArray, answer_with, near, query, with_count},
};
use thng_pubsub_broker::{
    BrokerError,
    resources::{
        ContextVisibility, Extras, ListScope, NewResource, PAGE_BYTES_MAX, ResourceRecord, document,
    },
};

/// Bytes of a document besides its stored part, where it is small: its id and times.
const DOCUMENT_BYTES: usize = 128;

/// A document, with its scopes and context where they are asked for.
pub(super) fn show(call: &Call, record: &ResourceRecord) -> Result<String, HttpError> {
    let extras = call.resources().extras(call.request(), record)?;
    Ok(document(record, &requested_extras(call, extras)))
}

/// A document without what the server would have to look up.
pub(super) fn show_plain(call: &Call, record: &ResourceRecord) -> String {
    document(record, &requested_extras(call, Extras::default()))
}

fn requested_extras(call: &Call, extras: Extras) -> Extras {
    let context = call.says("context").then(|| ContextVisibility::to(call.principal().actor));
    Extras { scopes: call.says("withScopes"), context, ..extras }
}

/// 201 with the document, which is below the path that was called.
pub(super) fn created(call: &Call, name: &str, document: String) -> Response {
    created_at(&format!("{}/{name}", call.path().trim_end_matches('/')), document)
}

/// 201 with the document and where it is.
pub(super) fn created_at(path: &str, document: String) -> Response {
    let mut response = json(StatusCode::CREATED, document);
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// 200 without a body: what is deleted has no document.
pub(super) fn done() -> Response {
    StatusCode::OK.into_response()
}

/// A list of what the caller sees of a kind.
pub(super) async fn list_scope(
    call: &Call,
    kind: ResourceKind,
    scope: ListScope<'_>,
) -> Result<Response, HttpError> {
    call.resources().authorize_list(call.request(), kind, scope)?;
    let mut query = query(call)?;
    if kind == ResourceKind::Place {
        query.near = near(call)?;
    }
    let (page, count) = call.resources().list(call.request(), kind, scope, &query).await?;
    let bytes_max = query.share.as_ref().map_or(PAGE_BYTES_MAX, |share| share.page_bytes());
    let stored_bytes = page.items.iter().map(|record| record.body.len() + DOCUMENT_BYTES).sum::<usize>();
    let mut documents = DocumentArray::new(stored_bytes.min(bytes_max), page.items.len());
    let (mut next, mut last) = (page.next, None);
    for record in page.items {
        let document = show(call, &record)?;
        if last.is_some() && documents.bytes_with(&document) > bytes_max {
            next = last;
            break;
        }
        last = Some(record.cursor());
        documents.push(&document);
    }
    Ok(answer_with(call, &query, documents, next, count))
}

pub(super) async fn list(call: Call, kind: ResourceKind) -> Result<Response, HttpError> {
    list_scope(&call, kind, ListScope::All).await
}

pub(super) async fn create(call: Call, kind: ResourceKind) -> Result<Response, HttpError> {
    let patch = Patch::parse(kind, &call.body).map_err(BrokerError::from)?;
    // What was just given is shown without being read back.
    let properties = (!patch.properties.is_empty()).then(|| patch.properties.clone());
    let record = call.resources().create(call.request(), NewResource::of(patch), call.body.len()).await?;
    let mut extras = Extras::default();
    if kind.has_collections() {
        extras.collections = call.resources().extras(call.request(), &record)?.collections;
    }
    if let Some(properties) = properties {
        let now = record.created_at_ms;
        let updates: Vec<_> = properties
            .into_iter()
            .map(|write| thng_pubsub_protocol::payload::PropertyUpdate {
                key: write.key,
                value: write.value,
                timestamp_ms: write.timestamp_ms.unwrap_or(now),
                created_at_ms: now,
            })
            .collect();
        extras.properties = Some(latest_document(&updates));
    }
    let shown = document(&record, &requested_extras(&call, extras));
    Ok(created(&call, record.id.as_str(), shown))
}

/// The resource of this kind in the path. Thngs and products are also found by `key:value` of an identifier.
pub(super) async fn named(call: &Call, kind: ResourceKind, segment: &str) -> Result<Id, HttpError> {
    match kind {
        ResourceKind::Thng | ResourceKind::Product => {
            let request = call.request();
            Ok(call.resources().named_in_path(request, kind, call.segment(segment)).await?)
        }
        _ => call.id(segment),
    }
}

/// The same, which must be there for the caller: the query and the body are read after this, so that their faults reveal
/// nothing.
pub(super) async fn visible(call: &Call, kind: ResourceKind, segment: &str) -> Result<Id, HttpError> {
    let id = named(call, kind, segment).await?;
    call.resources().authorize(call.request(), kind, id)?;
    Ok(id)
}

pub(super) async fn read(call: Call, kind: ResourceKind) -> Result<Response, HttpError> {
    let id = named(&call, kind, "id").await?;
    let (record, extras) = call.resources().read_whole(call.request(), kind, id)?;
    Ok(json(StatusCode::OK, document(&record, &requested_extras(&call, extras))))
}

pub(super) async fn update(call: Call, kind: ResourceKind) -> Result<Response, HttpError> {
    let id = named(&call, kind, "id").await?;
    let record = match SubjectKind::of(kind) {
        // What other protocols can do as well goes their way.
        Some(kind) => {
            let request = call.request_with_context();
            call.publish(call.resources().publish_update(&request, kind, id, &call.body)).await?
        }
        None => {
            let patch = Patch::parse_update(kind, &call.body).map_err(BrokerError::from)?;
            call.resources().update(call.request(), id, patch, call.body.len()).await?
        }
    };
    Ok(json(StatusCode::OK, show_updated(&call, &record)?))
}

/// What an update answers: the document without latest values, which it did not change.
fn show_updated(call: &Call, record: &ResourceRecord) -> Result<String, HttpError> {
    let mut extras = Extras::default();
    if record.kind.has_collections() {
        extras.collections = call.resources().extras(call.request(), record)?.collections;
    }
    Ok(document(record, &requested_extras(call, extras)))
}

pub(super) async fn delete(call: Call, kind: ResourceKind) -> Result<Response, HttpError> {
    let id = named(&call, kind, "id").await?;
    call.resources().delete(call.request(), kind, id).await?;
    Ok(done())
}

/// Deletes as the newer half of the API answers it: 204.
pub(super) async fn delete_silently(call: Call, kind: ResourceKind) -> Result<Response, HttpError> {
    call.resources().delete(call.request(), kind, call.id("id")?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `PUT` of a part for all that `ids` or `filter` name: 204 with their number.
pub(super) async fn update_many(call: Call, kind: ResourceKind) -> Result<Response, HttpError> {
    let query = query(&call)?;
    let patch = Patch::parse_update(kind, &call.body).map_err(BrokerError::from)?;
    let count = call.resources().update_many(call.request(), patch, &query, call.body.len()).await?;
    Ok(with_count(StatusCode::NO_CONTENT.into_response(), Some(count)))
}

/// `DELETE` of all that `ids` or `filter` name: 200 with their number.
pub(super) async fn delete_many(call: Call, kind: ResourceKind) -> Result<Response, HttpError> {
    let query = query(&call)?;
    let count = call.resources().delete_many(call.request(), kind, &query).await?;
    Ok(with_count(done(), Some(count)))
}
