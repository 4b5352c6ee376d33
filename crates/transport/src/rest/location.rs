//! Locations of thngs: `/thngs/:id/location`.

use axum::{http::StatusCode, response::Response};
use thng_pubsub_protocol::payload::{ResourceKind, locations_document};

use super::{
    HttpError,
    call::Call,
    json,
    list::{history_answer, history_page},
    property::range,
    resource::{done, visible},
};

pub(super) async fn update(call: Call) -> Result<Response, HttpError> {
    let thng = visible(&call, ResourceKind::Thng, "id").await?;
    let request = call.request_with_context();
    let updates = call.publish(call.resources().update_location(&request, thng, &call.body)).await?;
    Ok(json(StatusCode::OK, locations_document(updates.iter())))
}

pub(super) async fn history(call: Call) -> Result<Response, HttpError> {
    let thng = visible(&call, ResourceKind::Thng, "id").await?;
    let (range, (page, share)) = (range(&call)?, history_page(&call)?);
    let history = call.resources().locations(call.request(), thng, range, page).await?;
    Ok(history_answer(&call, &history, page, share, locations_document(&history.items)))
}

pub(super) async fn delete(call: Call) -> Result<Response, HttpError> {
    let (thng, before_ms) = (visible(&call, ResourceKind::Thng, "id").await?, call.time("to")?);
    call.resources().delete_locations(call.request(), thng, before_ms).await?;
    Ok(done())
}
