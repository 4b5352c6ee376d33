//! The identity of a key (`/access`, `/me`), operators, and the account with its accesses.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use thng_pubsub_protocol::payload::{AccessDocument, Actor as ActorDocument, Patch, ResourceKind};

use super::{
    HttpError,
    call::Call,
    json,
    list::{answer, query},
    resource::{created, list_scope, show_plain},
    router::is_route,
};
use crate::rate_limits::EffectiveLimit;
use thng_pubsub_broker::{
    BrokerError,
    identity::{Identity, kind_word},
    rate::whole_seconds,
    resources::{ListScope, Page, ResourceRecord, document},
};

pub(super) async fn access(call: Call) -> Result<Response, HttpError> {
    let principal = call.principal();
    let kind = kind_word(principal.actor);
    let document = AccessDocument {
        account: principal.account.to_string(),
        actor: ActorDocument { kind, id: principal.actor.id().to_string() },
        project: principal.project.map(|id| id.to_string()),
        app: principal.app.map(|id| id.to_string()),
    };
    Ok(json(StatusCode::OK, document.to_json()))
}

pub(super) async fn permissions(call: Call) -> Result<Response, HttpError> {
    Ok(json(StatusCode::OK, call.identity().permissions(call.request())?))
}

pub(super) async fn explain(call: Call) -> Result<Response, HttpError> {
    Ok(json(StatusCode::OK, call.identity().explain(call.request(), &call.body, is_route).await?))
}

pub(super) async fn me(call: Call) -> Result<Response, HttpError> {
    Ok(json(StatusCode::OK, call.identity().me(call.request()).await?))
}

pub(super) async fn read(call: Call) -> Result<Response, HttpError> {
    let operator = call.identity().operator(call.request(), call.segment("id")).await?;
    Ok(json(StatusCode::OK, show_plain(&call, &operator)))
}

pub(super) async fn update(call: Call) -> Result<Response, HttpError> {
    let id = call.identity().operator(call.request(), call.segment("id")).await?.id;
    let patch = Patch::parse_update(ResourceKind::Operator, &call.body).map_err(BrokerError::from)?;
    let record = call.resources().update(call.request(), id, patch, call.body.len()).await?;
    Ok(json(StatusCode::OK, show_plain(&call, &record)))
}

async fn account(call: &Call) -> Result<ResourceRecord, HttpError> {
    Ok(call.identity().account(call.request(), call.id("account")?).await?)
}

pub(super) async fn accounts(call: Call) -> Result<Response, HttpError> {
    list_scope(&call, ResourceKind::Account, ListScope::All).await
}

pub(super) async fn read_account(call: Call) -> Result<Response, HttpError> {
    let record = account(&call).await?;
    Ok(json(StatusCode::OK, show_plain(&call, &record)))
}

pub(super) async fn update_account(call: Call) -> Result<Response, HttpError> {
    let id = account(&call).await?.id;
    let patch = Patch::parse_update(ResourceKind::Account, &call.body).map_err(BrokerError::from)?;
    let record = call.resources().update(call.request(), id, patch, call.body.len()).await?;
    Ok(json(StatusCode::OK, show_plain(&call, &record)))
}

pub(super) async fn domains(call: Call) -> Result<Response, HttpError> {
    let id = account(&call).await?.id;
    Ok(json(StatusCode::OK, Identity::domains(id)))
}

pub(super) async fn short_domains(call: Call) -> Result<Response, HttpError> {
    account(&call).await?;
    Ok(json(StatusCode::OK, Identity::short_domains()))
}

fn show_access(call: &Call, access: &ResourceRecord) -> Result<String, HttpError> {
    Ok(document(access, &call.identity().access_extras(call.request(), access, &call.key)?))
}

pub(super) async fn accesses(call: Call) -> Result<Response, HttpError> {
    account(&call).await?;
    let (kind, query) = (ResourceKind::Access, query(&call)?);
    let (page, count) = call.resources().list(call.request(), kind, ListScope::All, &query).await?;
    let items = page.items.iter().map(|access| show_access(&call, access)).collect::<Result<_, _>>()?;
    Ok(answer(&call, &query, Page { items, next: page.next }, count))
}

async fn one_access(call: &Call) -> Result<ResourceRecord, HttpError> {
    account(call).await?;
    Ok(call.resources().read(call.request(), ResourceKind::Access, call.id("id")?).await?)
}

pub(super) async fn read_access(call: Call) -> Result<Response, HttpError> {
    let access = one_access(&call).await?;
    Ok(json(StatusCode::OK, show_access(&call, &access)?))
}

pub(super) async fn create_access(call: Call) -> Result<Response, HttpError> {
    account(&call).await?;
    let access = call.identity().create_access(call.request(), &call.body).await?;
    Ok(created(&call, access.id.as_str(), show_access(&call, &access)?))
}

pub(super) async fn update_access(call: Call) -> Result<Response, HttpError> {
    let id = one_access(&call).await?.id;
    let patch = Patch::parse_update(ResourceKind::Access, &call.body).map_err(BrokerError::from)?;
    call.identity().check_access(call.request(), &patch)?;
    let access = call.resources().update(call.request(), id, patch, call.body.len()).await?;
    Ok(json(StatusCode::OK, show_access(&call, &access)?))
}

pub(super) async fn delete_access(call: Call) -> Result<Response, HttpError> {
    let id = one_access(&call).await?.id;
    call.identity().delete_access(call.request(), id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The limits that are in force for the caller, as the platform showed them: `burst` and `by` are ours. Nothing is done
/// before a limit is reached, so there is no warning before it either.
pub(super) async fn rate_limits(call: Call) -> Result<Response, HttpError> {
    let limits = call.context.rates.shown(call.address(), &call.principal().key);
    let document = limits.into_iter().map(|EffectiveLimit { name, rate, left }| {
        let burst = rate.burst().get();
        serde_json::json!({
            "name": name.setting,
            "rateLimits": [{
                "url": { "path": "/", "depth": 1 },
                "access": "crud",
                "by": name.scope,
                "limit": {
                    "rate": rate.unit().name(),
                    "timeFrame": 1,
                    "warningMaxHits": rate.count(),
                    "blockingMaxHits": rate.count(),
                    "burst": burst,
                },
                "hits": burst.saturating_sub(left.count),
                "hitsRemaining": left.count,
                "reset": whole_seconds(left.full_in),
            }],
        })
    });
    Ok(json(StatusCode::OK, serde_json::Value::Array(document.collect()).to_string()))
}
