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
    call::{Call, Segments},
    json,
    list::{link, page, refuse_unserved},
    render, render_publish,
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
pub(super) fn id(text: &str) -> Result<Id, Response> {
    Id::parse(text).map_err(|_| render(&Refusal::NotFound))
}

pub(super) async fn list(call: Call) -> Result<Response, Response> {
    refuse_unserved(&call)?;
    let (page, project) = (page(&call)?, call.project()?);
    let page = call.context.gateway.thngs(&call.principal, project, page).await.map_err(|no| render(&no))?;
    let scopes = with_scopes(&call);
    let thngs: Vec<String> = page.items.iter().map(|view| show(view, scopes)).collect();
    Ok(link(&call, page.next, json(StatusCode::OK, format!("[{}]", thngs.join(",")))))
}

pub(super) async fn create(call: Call) -> Result<Response, Response> {
    let input = ThngInput::parse(&call.body).map_err(|error| render(&error.into()))?;
    let project = call.project()?;
    let created = call.context.gateway.create_thng(&call.principal, input, call.body.len(), project).await;
    let Outcome::Thng(thng) = created.map_err(|no| render(&no))? else {
        return Err(render(&Refusal::Unavailable));
    };
    let location = format!("{}/{}", call.path().trim_end_matches('/'), thng.id);
    let scopes = with_scopes(&call).then_some(&thng.scopes);
    let mut response = json(StatusCode::CREATED, thng_document(&thng, None, scopes));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn read(Segments(thng): Segments<String>, call: Call) -> Result<Response, Response> {
    let view = call.context.gateway.thng(&call.principal, id(&thng)?).await.map_err(|no| render(&no))?;
    Ok(json(StatusCode::OK, show(&view, with_scopes(&call))))
}

pub(super) async fn update(Segments(thng): Segments<String>, call: Call) -> Result<Response, Response> {
    let topic = Topic::Thng { thng: id(&thng)? };
    let updated = call.context.gateway.publish_and_wait(&call.principal, &topic, &call.body).await;
    let updated = updated.map_err(|no| render_publish(&call, &no))?;
    call.stored();
    match updated {
        Outcome::Thng(thng) => {
            let scopes = with_scopes(&call).then_some(&thng.scopes);
            Ok(json(StatusCode::OK, thng_document(&thng, None, scopes)))
        }
        Outcome::Properties(_) | Outcome::Done => Err(render(&Refusal::Unavailable)),
    }
}

pub(super) async fn delete(Segments(thng): Segments<String>, call: Call) -> Result<Response, Response> {
    call.context.gateway.delete_thng(&call.principal, id(&thng)?).await.map_err(|no| render(&no))?;
    Ok(StatusCode::OK.into_response())
}
