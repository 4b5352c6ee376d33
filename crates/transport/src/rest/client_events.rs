//! The journal of client events: `/clientEvents` and `/thngs/:id/clientEvents`.

use axum::response::Response;
use thng_pubsub_protocol::payload::ResourceKind;

use super::{
    HttpError,
    call::Call,
    list::{DocumentArray, filter, link, page},
    resource::named,
};
use thng_pubsub_broker::client_events::EventScope;

pub(super) async fn list(call: Call) -> Result<Response, HttpError> {
    let scope = call.context.client_events.scope(call.request())?;
    answer(&call, scope).await
}

pub(super) async fn of_thng(call: Call) -> Result<Response, HttpError> {
    let thng = named(&call, ResourceKind::Thng, "id").await?;
    let scope = call.context.client_events.scope_of_thng(call.request(), thng)?;
    answer(&call, scope).await
}

async fn answer(call: &Call, scope: EventScope) -> Result<Response, HttpError> {
    let (page, filter) = (page(call)?, filter(call)?);
    let found = call
        .context
        .client_events
        .page(call.resources(), call.request(), scope, page, filter.as_ref())
        .await?;
    let mut documents = DocumentArray::new(found.items.iter().map(String::len).sum(), found.items.len());
    found.items.iter().for_each(|document| documents.push(document));
    Ok(link(call, found.next, documents.response()))
}
