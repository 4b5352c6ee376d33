//! Batch tasks: `/batches/:id/tasks`, and whether a thng was commissioned.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use thng_pubsub_protocol::payload::{Patch, ResourceKind};

use super::{
    HttpError,
    call::Call,
    json,
    resource::{list_scope, named, show, visible},
};
use thng_pubsub_broker::{BrokerError, resources::ListScope};

pub(super) async fn list(call: Call) -> Result<Response, HttpError> {
    list_scope(&call, ResourceKind::Task, ListScope::Below(ResourceKind::Batch, call.id("id")?)).await
}

/// 202: the work goes on after the answer, which says where to look for it.
pub(super) async fn create(call: Call) -> Result<Response, HttpError> {
    let batch = visible(&call, ResourceKind::Batch, "id").await?;
    let patch = Patch::parse(ResourceKind::Task, &call.body).map_err(BrokerError::from)?;
    let task = call.resources().create_task(call.request(), batch, patch, call.body.len()).await?;
    let mut response = StatusCode::ACCEPTED.into_response();
    let location = format!("{}{}/{}", call.origin(), call.path().trim_end_matches('/'), task.id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn read(call: Call) -> Result<Response, HttpError> {
    let task = call.resources().task(call.request(), call.id("id")?, call.id("task")?).await?;
    Ok(json(StatusCode::OK, show(&call, &task)?))
}

/// The log of a task: one line, with its progress.
pub(super) async fn logs(call: Call) -> Result<Response, HttpError> {
    let task = call.resources().task(call.request(), call.id("id")?, call.id("task")?).await?;
    let fields = task.fields();
    let status = fields.get("status").unwrap_or("null");
    let result = fields.get("result").unwrap_or("null");
    let line = format!(r#"[{{"timestamp":{},"status":{status},"result":{result}}}]"#, task.updated_at_ms);
    Ok(json(StatusCode::OK, line))
}

pub(super) async fn commission_state(call: Call) -> Result<Response, HttpError> {
    let thng = named(&call, ResourceKind::Thng, "id").await?;
    let (state, occurred_at) = call.resources().commission_state(call.request(), thng).await?;
    let occurred_at = occurred_at.map(|at| format!(r#","occurredAt":{at}"#)).unwrap_or_default();
    Ok(json(StatusCode::OK, format!(r#"{{"state":"{state}"{occurred_at}}}"#)))
}
