//! Actions, at the root and below thngs, products and collections, and their types.

use axum::{http::StatusCode, response::Response};
use thng_pubsub_protocol::{
    id::{ActionTypeName, Id},
    payload::{Patch, ResourceKind},
    topic::{Subject, SubjectKind, Topic},
};

use super::{
    HttpError,
    call::Call,
    json,
    list::{COMPONENT, answer, query},
    resource::{created, done, list_scope, named, show_plain},
};
use thng_pubsub_broker::{
    BrokerError,
    resources::{ListScope, commissioned_type},
};

/// The parent of actions: a kind of resource, or `None` for the root.
pub(super) type ActionParent = Option<SubjectKind>;

/// What the actions of the path are about, and their type.
async fn segments(
    call: &Call,
    below: ActionParent,
) -> Result<(Option<Subject>, Option<ActionTypeName>), HttpError> {
    let subject = match below {
        Some(kind) => Some(Subject { kind, id: named(call, kind.resource(), "id").await? }),
        None => None,
    };
    let action_type = match call.segment("type") {
        "all" => None,
        name => Some(ActionTypeName::parse(name).map_err(|_| BrokerError::NotFound)?),
    };
    Ok((subject, action_type))
}

/// The topic that the path is.
async fn topic(call: &Call, below: ActionParent) -> Result<Topic, HttpError> {
    let (subject, action_type) = segments(call, below).await?;
    Ok(Topic::Actions { subject, action_type })
}

pub(super) async fn list(call: Call, below: ActionParent) -> Result<Response, HttpError> {
    let topic = topic(&call, below).await?;
    list_scope(&call, ResourceKind::Action, ListScope::Actions(&topic)).await
}

pub(super) async fn create(call: Call, below: ActionParent) -> Result<Response, HttpError> {
    let (subject, action_type) = segments(&call, below).await?;
    let request = call.request_with_context();
    if let (Some(Subject { kind: SubjectKind::Thng, id }), Some(action_type)) = (subject, &action_type)
        && commissioned_type(action_type.as_str())
    {
        let action = call.resources().commission(&request, id, action_type.clone(), &call.body).await?;
        return Ok(json(StatusCode::OK, show_plain(&call, &action)));
    }
    let write = call.resources().create_actions(&request, subject, action_type.as_ref(), &call.body);
    let actions = call.publish(write).await?;
    let is_array = call.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    match &actions[..] {
        [action] if !is_array => Ok(created(&call, action.id.as_str(), show_plain(&call, action))),
        actions => {
            let documents: Vec<String> = actions.iter().map(|action| show_plain(&call, action)).collect();
            Ok(json(StatusCode::CREATED, format!("[{}]", documents.join(","))))
        }
    }
}

fn action_id(call: &Call) -> Result<Id, HttpError> {
    call.id("action")
}

pub(super) async fn read(call: Call, below: ActionParent) -> Result<Response, HttpError> {
    let topic = topic(&call, below).await?;
    let action = call.resources().action(call.request(), &topic, action_id(&call)?).await?;
    Ok(json(StatusCode::OK, show_plain(&call, &action)))
}

pub(super) async fn delete(call: Call, below: ActionParent) -> Result<Response, HttpError> {
    let topic = topic(&call, below).await?;
    let action = call.resources().action(call.request(), &topic, action_id(&call)?).await?;
    call.resources().delete(call.request(), ResourceKind::Action, action.id).await?;
    Ok(done())
}

pub(super) async fn types(call: Call) -> Result<Response, HttpError> {
    let query = query(&call)?;
    let (page, count) = call.resources().action_types(call.request(), &query).await?;
    Ok(answer(&call, &query, page, count))
}

pub(super) async fn create_type(call: Call) -> Result<Response, HttpError> {
    let request = call.request_with_context();
    let record = call.publish(call.resources().create_action_type(&request, &call.body)).await?;
    let name = record.fields().text("name").unwrap_or_default();
    let name = percent_encoding::utf8_percent_encode(&name, COMPONENT);
    Ok(created(&call, &name.to_string(), show_plain(&call, &record)))
}

pub(super) async fn read_type(call: Call) -> Result<Response, HttpError> {
    let document = match call.resources().action_type(call.request(), call.segment("type")).await? {
        Ok(name) => format!(r#"{{"name":"{name}"}}"#),
        Err(record) => show_plain(&call, &record),
    };
    Ok(json(StatusCode::OK, document))
}

pub(super) async fn update_type(call: Call) -> Result<Response, HttpError> {
    let request = call.request();
    let id = call.resources().own_type(request, call.segment("type"))?;
    let patch = Patch::parse_update(ResourceKind::ActionType, &call.body).map_err(BrokerError::from)?;
    let record = call.resources().update(request, id, patch, call.body.len()).await?;
    Ok(json(StatusCode::OK, show_plain(&call, &record)))
}

pub(super) async fn delete_type(call: Call) -> Result<Response, HttpError> {
    let request = call.request();
    let id = call.resources().own_type(request, call.segment("type"))?;
    call.resources().delete(request, ResourceKind::ActionType, id).await?;
    Ok(done())
}
