//! Roles with their permissions, access policies and access tokens.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use thng_pubsub_protocol::payload::{Patch, ResourceKind, with_members};

use super::{
    HttpError,
    call::Call,
    json,
    list::{answer, query},
    resource::{created, done, show_plain},
};
use thng_pubsub_broker::{BrokerError, resources::NewResource};

pub(super) async fn list(call: Call) -> Result<Response, HttpError> {
    let query = query(&call)?;
    let (page, count) = call.resources().roles(call.request(), &query).await?;
    Ok(answer(&call, &query, page, count))
}

pub(super) async fn create(call: Call) -> Result<Response, HttpError> {
    let patch = Patch::parse(ResourceKind::Role, &call.body).map_err(BrokerError::from)?;
    let record = call.resources().create_role(call.request(), patch, call.body.len()).await?;
    Ok(created(&call, record.id.as_str(), show_plain(&call, &record)))
}

pub(super) async fn read(call: Call) -> Result<Response, HttpError> {
    let role = call.resources().role(call.request(), call.segment("id")).await?;
    Ok(json(StatusCode::OK, role.document()))
}

pub(super) async fn update(call: Call) -> Result<Response, HttpError> {
    let id = call.resources().own_role(call.request(), call.segment("id")).await?.id;
    let patch = Patch::parse_update(ResourceKind::Role, &call.body).map_err(BrokerError::from)?;
    let record = call.resources().update(call.request(), id, patch, call.body.len()).await?;
    Ok(json(StatusCode::OK, show_plain(&call, &record)))
}

pub(super) async fn delete(call: Call) -> Result<Response, HttpError> {
    let id = call.resources().own_role(call.request(), call.segment("id")).await?.id;
    call.resources().delete(call.request(), ResourceKind::Role, id).await?;
    Ok(done())
}

pub(super) async fn permissions(call: Call) -> Result<Response, HttpError> {
    Ok(json(StatusCode::OK, call.resources().permissions(call.request(), call.segment("id")).await?))
}

pub(super) async fn replace_permissions(call: Call) -> Result<Response, HttpError> {
    let id = call.segment("id");
    Ok(json(StatusCode::OK, call.resources().replace_permissions(call.request(), id, &call.body).await?))
}

pub(super) async fn permission(call: Call) -> Result<Response, HttpError> {
    let (id, name) = (call.segment("id"), call.segment("name"));
    Ok(json(StatusCode::OK, call.resources().permission(call.request(), id, name).await?))
}

pub(super) async fn set_permission(call: Call) -> Result<Response, HttpError> {
    let (id, name) = (call.segment("id"), call.segment("name"));
    Ok(json(StatusCode::OK, call.resources().set_permission(call.request(), id, name, &call.body).await?))
}

pub(super) async fn policies(call: Call) -> Result<Response, HttpError> {
    let query = query(&call)?;
    let (page, count) = call.resources().policies(call.request(), &query).await?;
    Ok(answer(&call, &query, page, count))
}

pub(super) async fn policy(call: Call) -> Result<Response, HttpError> {
    Ok(json(StatusCode::OK, call.resources().policy(call.request(), call.segment("id")).await?))
}

/// The only answer that shows the token's key.
pub(super) async fn create_token(call: Call) -> Result<Response, HttpError> {
    let patch = Patch::parse(ResourceKind::AccessToken, &call.body).map_err(BrokerError::from)?;
    let (record, key) =
        call.identity().create_access_token(call.request(), NewResource::of(patch), call.body.len()).await?;
    let document = with_members(&show_plain(&call, &record), &[("apiKey", &format!("\"{key}\""))]);
    Ok(created(&call, record.id.as_str(), document))
}

pub(super) async fn update_token(call: Call) -> Result<Response, HttpError> {
    let patch = Patch::parse_update(ResourceKind::AccessToken, &call.body).map_err(BrokerError::from)?;
    call.identity().check_access(call.request(), &patch)?;
    let record = call.resources().update(call.request(), call.id("id")?, patch, call.body.len()).await?;
    Ok(json(StatusCode::OK, show_plain(&call, &record)))
}

pub(super) async fn delete_token(call: Call) -> Result<Response, HttpError> {
    call.resources().delete(call.request(), ResourceKind::AccessToken, call.id("id")?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
