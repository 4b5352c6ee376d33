//! Applications of projects, `/applications/me`, secret keys and redirectors.

use axum::{http::StatusCode, response::Response};
use thng_pubsub_protocol::payload::{Patch, ResourceKind};

use super::{
    HttpError,
    call::Call,
    json,
    resource::{created, done, list_scope, show, visible},
};
use thng_pubsub_broker::{
    BrokerError,
    resources::{ListScope, ResourceRecord, Resources},
};

/// The application that the path means: below a project, alone, or the caller's own.
async fn meant(call: &Call) -> Result<ResourceRecord, HttpError> {
    let request = call.request();
    let project = match call.segment("project") {
        "" => None,
        _ => Some(call.id("project")?),
    };
    if let Some(project) = project {
        call.resources().read(request, ResourceKind::Project, project).await?;
    }
    let id = match call.segment("id") {
        "" | "me" => call.resources().own_application(request)?,
        _ => call.id("id")?,
    };
    Ok(call.resources().application(request, project, id).await?)
}

pub(super) async fn list(call: Call) -> Result<Response, HttpError> {
    let scope = match call.segment("project") {
        "" => ListScope::All,
        _ => ListScope::Below(ResourceKind::Project, call.id("project")?),
    };
    list_scope(&call, ResourceKind::Application, scope).await
}

pub(super) async fn create(call: Call) -> Result<Response, HttpError> {
    let project = visible(&call, ResourceKind::Project, "project").await?;
    let patch = Patch::parse(ResourceKind::Application, &call.body).map_err(BrokerError::from)?;
    let record = call.resources().create_application(call.request(), project, patch, call.body.len()).await?;
    Ok(created(&call, record.id.as_str(), show(&call, &record)?))
}

pub(super) async fn read(call: Call) -> Result<Response, HttpError> {
    let record = meant(&call).await?;
    Ok(json(StatusCode::OK, show(&call, &record)?))
}

pub(super) async fn update(call: Call) -> Result<Response, HttpError> {
    let id = meant(&call).await?.id;
    let patch = Patch::parse_update(ResourceKind::Application, &call.body).map_err(BrokerError::from)?;
    let record = call.resources().update_application(call.request(), id, patch, call.body.len()).await?;
    Ok(json(StatusCode::OK, show(&call, &record)?))
}

pub(super) async fn delete(call: Call) -> Result<Response, HttpError> {
    let id = meant(&call).await?.id;
    call.resources().delete(call.request(), ResourceKind::Application, id).await?;
    Ok(done())
}

pub(super) async fn secret_key(call: Call) -> Result<Response, HttpError> {
    let key = call.resources().secret_key(meant(&call).await?.id)?;
    Ok(json(StatusCode::OK, format!(r#"{{"secretApiKey":"{key}"}}"#)))
}

pub(super) async fn redirector(call: Call) -> Result<Response, HttpError> {
    Ok(json(StatusCode::OK, Resources::redirector(&meant(&call).await?)))
}

pub(super) async fn set_redirector(call: Call) -> Result<Response, HttpError> {
    let record = meant(&call).await?;
    let rules = call.resources().set_redirector(call.request(), &record, &call.body).await?;
    Ok(json(StatusCode::OK, rules))
}

/// The rules of the whole account.
async fn account(call: &Call) -> Result<ResourceRecord, HttpError> {
    let account = call.principal().account;
    Ok(call.identity().account(call.request(), account).await?)
}

pub(super) async fn account_redirector(call: Call) -> Result<Response, HttpError> {
    Ok(json(StatusCode::OK, Resources::redirector(&account(&call).await?)))
}

pub(super) async fn set_account_redirector(call: Call) -> Result<Response, HttpError> {
    let record = account(&call).await?;
    let rules = call.resources().set_redirector(call.request(), &record, &call.body).await?;
    Ok(json(StatusCode::OK, rules))
}
