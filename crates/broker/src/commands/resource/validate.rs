//! Checks documents before they are written: sizes, fields that depend on each other, references and unique names.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    limits,
    payload::{Fields, Json, Patch, Point, ResourceKind, UserScope, point},
};

use super::{existing, noun};
use crate::commands::{BUILT_IN_TYPES, CommandError, invalid};
use thng_pubsub_store::{ResourceRecord, TimestampMs, WriteStore};

/// The stored part of a document, if it is not too large. A task's input may be as large as a request.
pub(super) fn body(fields: &Fields, id: &Id, created_at_ms: TimestampMs) -> Result<Arc<str>, CommandError> {
    let document = fields.document(Some(id), created_at_ms);
    let most = limits::DOCUMENT_BYTES_MAX;
    if document.len() > most && fields.kind() != ResourceKind::Task {
        return Err(invalid(format!("The document would be {} bytes; it can have {most}.", document.len())));
    }
    Ok(document.into())
}

/// What follows from the fields that were set, and what no single field can tell is wrong.
pub(super) fn complete(fields: &mut Fields, patch: &Patch) -> Result<(), CommandError> {
    match fields.kind() {
        ResourceKind::Product => {
            let name = fields.text("name").unwrap_or_default();
            fields.set_text("fn", &name);
        }
        ResourceKind::Place => complete_place(fields, patch)?,
        ResourceKind::ActionType => {
            let name = fields.text("name").unwrap_or_default();
            if !name.starts_with('_') || name.len() < 2 {
                return Err(invalid("name: the name of an action type of your own starts with `_`."));
            }
            thng_pubsub_protocol::id::ActionTypeName::parse(&name)
                .map_err(|error| invalid(format!("name: {error}.")))?;
        }
        ResourceKind::Account
        | ResourceKind::Operator
        | ResourceKind::Access
        | ResourceKind::AccessPolicy
        | ResourceKind::AccessToken
        | ResourceKind::Project
        | ResourceKind::Application
        | ResourceKind::User
        | ResourceKind::Role
        | ResourceKind::Thng
        | ResourceKind::Collection
        | ResourceKind::Action
        | ResourceKind::Batch
        | ResourceKind::Task => {}
    }
    Ok(())
}

/// A place says where it is in two ways; what was said last counts, and a position before degrees.
fn complete_place(fields: &mut Fields, patch: &Patch) -> Result<(), CommandError> {
    let json = |text: &str| Json::parse(text.into()).ok();
    let at = match patch.get("position") {
        Some(position) => point(position),
        None if patch.get("latitude").is_some() || patch.get("longitude").is_some() => {
            let (longitude, latitude) = (fields.get("longitude"), fields.get("latitude"));
            let (Some(longitude), Some(latitude)) = (longitude, latitude) else {
                return Err(invalid("latitude and longitude go together."));
            };
            let text = format!("{{\"coordinates\":[{longitude},{latitude}]}}");
            Some(
                point(&text)
                    .ok_or_else(|| invalid("latitude is -90 to 90 and longitude -180 to 180 degrees."))?,
            )
        }
        None => {
            // Removed in one direction, it is gone in the other.
            let ways = ["position", "longitude", "latitude"];
            if ways.iter().any(|way| fields.get(way).is_none()) {
                ways.iter().for_each(|way| fields.set(way, None));
            }
            return Ok(());
        }
    };
    if let Some(at) = at {
        let Point { longitude, latitude } = &at;
        fields.set("longitude", json(longitude));
        fields.set("latitude", json(latitude));
        fields.set("position", json(&at.position()));
    }
    Ok(())
}

/// Refuses what points to nothing, and a name that is taken.
pub(super) fn check_references(
    store: &mut dyn WriteStore,
    before: Option<&ResourceRecord>,
    after: &ResourceRecord,
    fields: &Fields,
) -> Result<(), CommandError> {
    let account = after.account;
    if after.kind == ResourceKind::Thng
        && let Some(product) = fields.id("product")
        && before.is_none_or(|before| before.fields().id("product") != Some(product))
    {
        existing(store, account, product, ResourceKind::Product, "product")?;
    }
    let known = |project: &Id| before.is_some_and(|before| before.scopes.projects.contains(project));
    if after.kind.is_scoped() {
        for project in after.scopes.projects.iter().filter(|project| !known(project)) {
            existing(store, account, *project, ResourceKind::Project, "scopes")?;
        }
        let users_known = before.is_some_and(|before| before.scopes.users == after.scopes.users);
        if let (UserScope::Only(users), false, true) =
            (&after.scopes.users, users_known, after.kind != ResourceKind::User)
        {
            for user in users {
                existing(store, account, *user, ResourceKind::User, "scopes")?;
            }
        }
    }
    if let Some(name) = after.unique_name()
        && before.and_then(ResourceRecord::unique_name).as_ref() != Some(&name)
        && let Some(other) = store.named(account, after.kind, &name)?
        && other != after.id
    {
        let what = match after.kind {
            ResourceKind::User | ResourceKind::Operator => "email",
            _ => "name",
        };
        return Err(CommandError::Conflict(format!(
            "This {what} is taken: another {} has it.",
            noun(after.kind)
        )));
    }
    if after.kind == ResourceKind::ActionType
        && fields.text("name").is_some_and(|name| BUILT_IN_TYPES.contains(&name.as_str()))
    {
        return Err(CommandError::Conflict("This action type is built in.".into()));
    }
    Ok(())
}
