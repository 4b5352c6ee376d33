//! `/access` and `/operators/:id`: who a key is.

use axum::{extract::Path, http::StatusCode, response::Response};
use thng_pubsub_protocol::{
    id::Id,
    payload::{AccessDocument, Actor as ActorDocument, OperatorDocument},
};

use super::{
    call::{Call, Segments},
    json, render,
};
use crate::gateway::{Actor, Refusal};

pub(super) async fn access(call: Call) -> Response {
    let actor = match call.principal.actor {
        Actor::Operator(id) => ActorDocument { kind: "operator", id: id.to_string() },
    };
    json(StatusCode::OK, AccessDocument { account: call.principal.account.to_string(), actor }.to_json())
}

pub(super) async fn operator(Segments(id): Segments<String>, call: Call) -> Response {
    let found = match Id::parse(&id) {
        Ok(id) => call.context.gateway.operator(&call.principal, id).await,
        Err(_) => Err(Refusal::NotFound),
    };
    match found {
        Ok(operator) => json(
            StatusCode::OK,
            OperatorDocument {
                id: operator.id.to_string(),
                created_at: operator.created_at_ms,
                updated_at: operator.updated_at_ms,
                email: operator.email,
                first_name: operator.first_name,
                last_name: operator.last_name,
            }
            .to_json(),
        ),
        Err(refusal) => render(&refusal),
    }
}
