//! Parses a publish: from topic and payload to the write that it requests.
//!
//! The server does what is wanted; the SDK's `check` entry reads the same to say what the server would refuse. Nothing
//! is looked up: whether the resource is there, and whether the key may write it, only the server knows.

use alloc::vec::Vec;

use crate::{
    id::{ActionTypeName, Id},
    payload::{
        LocationWrite, Patch, PayloadError, PropertyWrite, ResourceKind, THNGS_MAX, parse_actions, parse_ids,
        parse_locations, parse_writes,
    },
    topic::{PropertyOwner, Subject, Topic},
};

/// The refusal of a publish on a topic that asks for [`PublishRequest::Nothing`].
pub const SUBSCRIBE_ONLY: &str = "This topic can be subscribed to, but not published on.";

/// What a publish asks for.
#[derive(Debug)]
pub enum PublishRequest {
    /// A new action type.
    ActionType(Patch),
    /// New actions.
    Actions {
        /// What they are about by the path; `None` where it names nothing.
        subject: Option<Subject>,
        /// Whether the topic names their type: then one that does not exist is not found.
        type_in_path: bool,
        /// Their types and documents, at least one.
        actions: Vec<(ActionTypeName, Patch)>,
    },
    /// New values for a resource's own fields.
    Update {
        /// What it is.
        kind: ResourceKind,
        /// Its id.
        id: Id,
        /// The new values.
        patch: Patch,
    },
    /// Thngs that join a collection.
    Thngs {
        /// The collection.
        collection: Id,
        /// The thngs.
        thngs: Vec<Id>,
    },
    /// New property values.
    Properties {
        /// Whose they are.
        owner: PropertyOwner,
        /// The values.
        writes: Vec<PropertyWrite>,
    },
    /// New locations.
    Location {
        /// The thng that is there.
        thng: Id,
        /// The locations.
        writes: Vec<LocationWrite>,
    },
    /// The topic can only be subscribed to.
    Nothing,
}

/// What a publish of `payload` on this topic asks for.
///
/// # Errors
/// What is wrong with the payload.
pub fn parse_publish(topic: &Topic, payload: &[u8]) -> Result<PublishRequest, PayloadError> {
    Ok(match topic {
        Topic::ActionTypes => PublishRequest::ActionType(Patch::parse(ResourceKind::ActionType, payload)?),
        Topic::Actions { subject, action_type } => PublishRequest::Actions {
            subject: *subject,
            type_in_path: action_type.is_some(),
            actions: parse_actions(payload, action_type.as_ref())?,
        },
        Topic::Resource { kind, id } => {
            let kind = kind.resource();
            PublishRequest::Update { kind, id: *id, patch: Patch::parse_update(kind, payload)? }
        }
        Topic::Properties { owner, key } => {
            PublishRequest::Properties { owner: *owner, writes: parse_writes(payload, key.as_ref())? }
        }
        Topic::Location { thng } => {
            PublishRequest::Location { thng: *thng, writes: parse_locations(payload)? }
        }
        Topic::Members { collection } => {
            PublishRequest::Thngs { collection: *collection, thngs: parse_ids(payload, THNGS_MAX)? }
        }
        Topic::Tasks { .. } => PublishRequest::Nothing,
    })
}
