//! `/thngs` and `/thngs/:id`.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use thng_pubsub_protocol::{
    id::Id,
    payload::{ThngInput, latest_document},
    topic::Topic,
};

use super::{
    Refused,
    call::{Call, Segments},
    json,
    list::{link, page, refuse_unserved},
};
use crate::gateway::{Outcome, Refusal, ThngView, thng_document};

/// Whether the caller wants to see scopes.
fn with_scopes(call: &Call) -> bool {
    call.parameter("withScopes").is_some_and(|value| value == "true")
}

fn show(view: &ThngView, with_scopes: bool) -> String {
    let properties = latest_document(&view.properties);
    thng_document(&view.thng, Some(&properties), with_scopes.then_some(&view.thng.scopes))
}

/// The id in a path; text that can be none is simply not found.
pub(super) fn id(text: &str) -> Result<Id, Refused> {
    Id::parse(text).map_err(|_| Refusal::NotFound.into())
}

pub(super) async fn list(call: Call) -> Result<Response, Refused> {
    refuse_unserved(&call)?;
    let (page, project) = (page(&call)?, call.project()?);
    let page = call.context.gateway.thngs(&call.principal, project, page).await?;
    let scopes = with_scopes(&call);
    let thngs: Vec<String> = page.items.iter().map(|view| show(view, scopes)).collect();
    Ok(link(&call, page.next, json(StatusCode::OK, format!("[{}]", thngs.join(",")))))
}

pub(super) async fn create(call: Call) -> Result<Response, Refused> {
    let input = ThngInput::parse(&call.body).map_err(Refusal::from)?;
    let project = call.project()?;
    let created = call.context.gateway.create_thng(&call.principal, input, call.body.len(), project).await;
    let Outcome::Thng(thng) = created? else {
        return Err(Refusal::Unavailable.into());
    };
    let location = format!("{}/{}", call.path().trim_end_matches('/'), thng.id);
    let scopes = with_scopes(&call).then_some(&thng.scopes);
    let mut response = json(StatusCode::CREATED, thng_document(&thng, None, scopes));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn read(Segments(thng): Segments<String>, call: Call) -> Result<Response, Refused> {
    let view = call.context.gateway.thng(&call.principal, id(&thng)?).await?;
    Ok(json(StatusCode::OK, show(&view, with_scopes(&call))))
}

pub(super) async fn update(Segments(thng): Segments<String>, call: Call) -> Result<Response, Refused> {
    let topic = Topic::Thng { thng: id(&thng)? };
    match call.publish(&topic).await? {
        Outcome::Thng(thng) => {
            let scopes = with_scopes(&call).then_some(&thng.scopes);
            Ok(json(StatusCode::OK, thng_document(&thng, None, scopes)))
        }
        Outcome::Properties(_) | Outcome::Done => Err(Refusal::Unavailable.into()),
    }
}

pub(super) async fn delete(Segments(thng): Segments<String>, call: Call) -> Result<Response, Refused> {
    call.context.gateway.delete_thng(&call.principal, id(&thng)?).await?;
    Ok(StatusCode::OK.into_response())
}
