//! Application users: `/auth/evrythng…`, `/users…`.

use axum::{http::StatusCode, response::Response};
use thng_pubsub_protocol::payload::ResourceKind;

use super::{
    HttpError,
    call::Call,
    json,
    resource::{created_at, list_scope, show_plain},
};
use thng_pubsub_broker::{
    identity::{Login, NewUser},
    resources::{ListScope, ResourceRecord},
};

fn text(text: &str) -> serde_json::Value {
    serde_json::Value::from(text)
}

fn email(user: &ResourceRecord) -> serde_json::Value {
    text(&user.fields().text("email").unwrap_or_default())
}

pub(super) async fn create(call: Call) -> Result<Response, HttpError> {
    let anonymous = call.says("anonymous");
    let NewUser { user, activation_code, key } =
        call.identity().create_user(call.request(), call.address(), &call.body, anonymous).await?;
    let document = match (activation_code, key) {
        (Some(code), _) => format!(
            r#"{{"evrythngUser":"{}","activationCode":{},"status":"inactive","email":{}}}"#,
            user.id,
            text(&code),
            email(&user)
        ),
        (None, key) => format!(
            r#"{{"evrythngUser":"{}","evrythngApiKey":{},"status":"anonymous","socialNetwork":"evrythng"}}"#,
            user.id,
            text(&key.unwrap_or_default())
        ),
    };
    Ok(created_at(&format!("/users/{}", user.id), document))
}

pub(super) async fn validate(call: Call) -> Result<Response, HttpError> {
    let (user, key) = call.identity().validate_user(call.request(), call.id("id")?, &call.body).await?;
    let document = format!(
        r#"{{"evrythngUser":"{}","evrythngApiKey":"{key}","email":{},"status":"active"}}"#,
        user.id,
        email(&user)
    );
    Ok(json(StatusCode::CREATED, document))
}

pub(super) async fn authenticate(call: Call) -> Result<Response, HttpError> {
    let Login { user, key, .. } = call.log_in().await?;
    let document = format!(
        r#"{{"evrythngUser":"{}","evrythngApiKey":"{key}","email":{},"status":"active","socialNetwork":"evrythng"}}"#,
        user.id,
        email(&user)
    );
    Ok(json(StatusCode::CREATED, document))
}

/// The same, answered with the user's document.
pub(super) async fn log_in(call: Call) -> Result<Response, HttpError> {
    let Login { user, key, role } = call.log_in().await?;
    let (id, role) = (user.id, text(&role));
    let fields = user.fields();
    let (project, app) = (fields.get("project").unwrap_or("null"), fields.get("app").unwrap_or("null"));
    let access = format!(
        r#"{{"id":"{id}","project":{project},"app":{app},"user":"{id}","actor":{{"type":"userInApp","id":"{id}"}},"role":{role},"apiKey":"{key}"}}"#
    );
    let document =
        thng_pubsub_protocol::payload::with_members(&show_plain(&call, &user), &[("access", &access)]);
    Ok(json(StatusCode::OK, document))
}

pub(super) async fn log_out(call: Call) -> Result<Response, HttpError> {
    call.identity().log_out(call.request()).await?;
    Ok(json(StatusCode::CREATED, r#"{"logout":"ok"}"#.into()))
}

/// Users who have a name: anonymous ones are read by their id only.
pub(super) async fn list(call: Call) -> Result<Response, HttpError> {
    list_scope(&call, ResourceKind::User, ListScope::NamedUsers).await
}

pub(super) async fn status(call: Call) -> Result<Response, HttpError> {
    let user = call.resources().read(call.request(), ResourceKind::User, call.id("id")?).await?;
    let activated = user.user_status() == "active";
    let date = user.activated_at_ms().map(|at| format!(r#","activationDate":{at}"#)).unwrap_or_default();
    Ok(json(StatusCode::OK, format!(r#"{{"activated":{activated}{date}}}"#)))
}
