//! Members of a collection: `/collections/:id/thngs` and `/collections/:id/collections`.

use axum::{http::StatusCode, response::Response};
use thng_pubsub_protocol::payload::{ResourceKind, THNGS_MAX, parse_ids};

use super::{
    HttpError,
    call::Call,
    json,
    list::{named_ids, with_count},
    resource::{done, list_scope, show, visible},
};
use thng_pubsub_broker::{BrokerError, resources::ListScope};

async fn members(call: &Call, kind: ResourceKind) -> Result<Response, HttpError> {
    list_scope(call, kind, ListScope::Members(call.id("id")?)).await
}

pub(super) async fn thngs(call: Call) -> Result<Response, HttpError> {
    members(&call, ResourceKind::Thng).await
}

/// The answer is the collection's document, which the change left as it was.
pub(super) async fn add_thngs(call: Call) -> Result<Response, HttpError> {
    let collection = call.id("id")?;
    let request = call.request_with_context();
    call.publish(call.resources().add_thngs(&request, collection, &call.body)).await?;
    let record = call.resources().read(call.request(), ResourceKind::Collection, collection).await?;
    Ok(json(StatusCode::OK, show(&call, &record)?))
}

pub(super) async fn remove_thng(call: Call) -> Result<Response, HttpError> {
    call.resources().remove_thng(call.request(), call.id("id")?, call.id("member")?).await?;
    Ok(done())
}

/// Removes the members that `ids` and `project` leave, and says how many there were.
pub(super) async fn remove_members(call: Call, kind: ResourceKind) -> Result<Response, HttpError> {
    let collection = visible(&call, ResourceKind::Collection, "id").await?;
    let ids = named_ids(&call)?;
    let removed = call.resources().remove_members(call.request(), collection, kind, ids).await?;
    Ok(with_count(done(), Some(removed)))
}

pub(super) async fn collections(call: Call) -> Result<Response, HttpError> {
    members(&call, ResourceKind::Collection).await
}

pub(super) async fn add_collections(call: Call) -> Result<Response, HttpError> {
    let collection = visible(&call, ResourceKind::Collection, "id").await?;
    let children = parse_ids(&call.body, THNGS_MAX).map_err(BrokerError::from)?;
    call.resources().add_collections(call.request(), collection, children).await?;
    Ok(done())
}

pub(super) async fn remove_collection(call: Call) -> Result<Response, HttpError> {
    call.resources().remove_collection(call.request(), call.id("id")?, call.id("member")?).await?;
    Ok(done())
}
