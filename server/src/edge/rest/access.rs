//! `/access` and `/operators/:id`: who a key is.

use axum::{http::StatusCode, response::Response};
use thng_pubsub_protocol::{
    id::Id,
    payload::{AccessDocument, Actor as ActorDocument, OperatorDocument},
};

use super::{
    Refused,
    call::{Call, Segments},
    json,
};
use crate::gateway::{Actor, Refusal};

pub(super) async fn access(call: Call) -> Response {
    let actor = match call.principal.actor {
        Actor::Operator(id) => ActorDocument { kind: "operator", id: id.to_string() },
    };
    json(StatusCode::OK, AccessDocument { account: call.principal.account.to_string(), actor }.to_json())
}

pub(super) async fn operator(Segments(id): Segments<String>, call: Call) -> Result<Response, Refused> {
    let id = Id::parse(&id).map_err(|_| Refusal::NotFound)?;
    let operator = call.context.gateway.operator(&call.principal, id).await?;
    let document = OperatorDocument {
        id: operator.id.to_string(),
        created_at: operator.created_at_ms,
        updated_at: operator.updated_at_ms,
        email: operator.email,
        first_name: operator.first_name,
        last_name: operator.last_name,
    };
    Ok(json(StatusCode::OK, document.to_json()))
}
