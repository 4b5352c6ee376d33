//! `/thngs/:id/properties` and `/thngs/:id/properties/:key`.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use thng_pubsub_protocol::{
    id::PropertyKey,
    payload::{history_document, update_document},
    topic::Topic,
};

use super::{
    Refused,
    call::{Call, Segments, invalid},
    json,
    list::{link, page, refuse_unserved},
    thngs::id,
};
use crate::gateway::{Outcome, PropertyOwner, Refusal, TimeRange};

fn owner(thng: &str) -> Result<PropertyOwner, Refused> {
    id(thng).map(PropertyOwner::Thng)
}

fn key(text: &str) -> Result<PropertyKey, Refused> {
    PropertyKey::parse(text).map_err(|error| invalid(&format!("The path names no property: {error}.")))
}

async fn publish(call: &Call, topic: Topic) -> Result<Response, Refused> {
    match call.publish(&topic).await? {
        Outcome::Properties(updates) => Ok(json(StatusCode::OK, update_document(updates.iter()))),
        Outcome::Thng(_) | Outcome::Done => Err(Refusal::Unavailable.into()),
    }
}

pub(super) async fn update(Segments(thng): Segments<String>, call: Call) -> Result<Response, Refused> {
    publish(&call, Topic::ThngProperties { thng: id(&thng)? }).await
}

pub(super) async fn update_one(
    Segments((thng, name)): Segments<(String, String)>,
    call: Call,
) -> Result<Response, Refused> {
    publish(&call, Topic::ThngProperty { thng: id(&thng)?, key: key(&name)? }).await
}

pub(super) async fn latest(Segments(thng): Segments<String>, call: Call) -> Result<Response, Refused> {
    refuse_unserved(&call)?;
    let latest = call.context.gateway.properties(&call.principal, owner(&thng)?).await;
    Ok(json(StatusCode::OK, update_document(&latest?)))
}

pub(super) async fn history(
    Segments((thng, name)): Segments<(String, String)>,
    call: Call,
) -> Result<Response, Refused> {
    refuse_unserved(&call)?;
    let range = TimeRange { from_ms: call.time("from")?, to_ms: call.time("to")? };
    let (owner, key, page) = (owner(&thng)?, key(&name)?, page(&call)?);
    let history = call.context.gateway.history(&call.principal, owner, &key, range, page).await;
    let history = history?;
    Ok(link(&call, history.next, json(StatusCode::OK, history_document(&history.items))))
}

pub(super) async fn delete(Segments(thng): Segments<String>, call: Call) -> Result<Response, Refused> {
    forget(&call, owner(&thng)?, None).await
}

pub(super) async fn delete_one(
    Segments((thng, name)): Segments<(String, String)>,
    call: Call,
) -> Result<Response, Refused> {
    forget(&call, owner(&thng)?, Some(key(&name)?)).await
}

async fn forget(call: &Call, owner: PropertyOwner, key: Option<PropertyKey>) -> Result<Response, Refused> {
    let before_ms = call.time("to")?;
    let deleted = call.context.gateway.delete_properties(&call.principal, owner, key, before_ms).await;
    deleted?;
    Ok(StatusCode::OK.into_response())
}
