//! Parses a publish: from topic and payload to the write that it requests.
//!
//! The server does what is wanted; the SDK's `check` entry reads the same to say what the server would refuse. Nothing
//! is looked up: whether the resource is there, and whether the key may write it, only the server knows.

use alloc::vec::Vec;

use crate::{
    id::{ActionTypeName, Id, PropertyKey},
    payload::{
        LocationWrite, Patch, PayloadError, PropertyWrite, ResourceKind, THNGS_MAX, parse_actions, parse_ids,
        parse_locations, parse_writes,
    },
    topic::Topic,
};

/// The refusal of a publish on a topic that asks for [`PublishRequest::Nothing`].
pub const SUBSCRIBE_ONLY: &str = "This topic can be subscribed to, but not published on.";

/// What has properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PropertyOwner {
    /// A thng.
    Thng(Id),
    /// A product.
    Product(Id),
}

impl PropertyOwner {
    /// Its id.
    #[must_use]
    pub fn id(self) -> Id {
        match self {
            Self::Thng(id) | Self::Product(id) => id,
        }
    }

    /// Which of the two it is.
    #[must_use]
    pub fn kind(self) -> ResourceKind {
        match self {
            Self::Thng(_) => ResourceKind::Thng,
            Self::Product(_) => ResourceKind::Product,
        }
    }
}

/// What an action is said to be about by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The path names nothing; the action itself may.
    Nothing,
    /// A thng.
    Thng(Id),
    /// A product.
    Product(Id),
    /// A collection.
    Collection(Id),
}

/// What a topic of actions is about, and the type that it names; `None` for a topic that is not of actions.
#[must_use]
pub fn actions(topic: &Topic) -> Option<(Subject, Option<&ActionTypeName>)> {
    match topic {
        Topic::Actions => Some((Subject::Nothing, None)),
        Topic::ActionsOfType { action_type } => Some((Subject::Nothing, Some(action_type))),
        Topic::CollectionActions { collection } => Some((Subject::Collection(*collection), None)),
        Topic::CollectionActionsOfType { collection, action_type } => {
            Some((Subject::Collection(*collection), Some(action_type)))
        }
        Topic::ProductActions { product } => Some((Subject::Product(*product), None)),
        Topic::ProductActionsOfType { product, action_type } => {
            Some((Subject::Product(*product), Some(action_type)))
        }
        Topic::ThngActions { thng } => Some((Subject::Thng(*thng), None)),
        Topic::ThngActionsOfType { thng, action_type } => Some((Subject::Thng(*thng), Some(action_type))),
        Topic::ActionTypes
        | Topic::BatchTasks { .. }
        | Topic::BatchTask { .. }
        | Topic::Collection { .. }
        | Topic::CollectionThngs { .. }
        | Topic::Product { .. }
        | Topic::ProductProperties { .. }
        | Topic::ProductProperty { .. }
        | Topic::Thng { .. }
        | Topic::ThngLocation { .. }
        | Topic::ThngProperties { .. }
        | Topic::ThngProperty { .. } => None,
    }
}

/// What a publish asks for.
#[derive(Debug)]
pub enum PublishRequest {
    /// A new action type.
    ActionType(Patch),
    /// New actions.
    Actions {
        /// What they are about.
        subject: Subject,
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
    /// The topic can only be watched.
    Nothing,
}

/// What a publish of `payload` on this topic asks for.
///
/// # Errors
/// What is wrong with the payload.
pub fn parse_publish(topic: &Topic, payload: &[u8]) -> Result<PublishRequest, PayloadError> {
    if let Some((subject, action_type)) = actions(topic) {
        let actions = parse_actions(payload, action_type)?;
        return Ok(PublishRequest::Actions { subject, type_in_path: action_type.is_some(), actions });
    }
    let update =
        |kind, id| Ok(PublishRequest::Update { kind, id, patch: Patch::parse_update(kind, payload)? });
    let properties = |owner, key: Option<&PropertyKey>| {
        Ok(PublishRequest::Properties { owner, writes: parse_writes(payload, key)? })
    };
    match topic {
        Topic::ActionTypes => {
            Ok(PublishRequest::ActionType(Patch::parse(ResourceKind::ActionType, payload)?))
        }
        Topic::Collection { collection } => update(ResourceKind::Collection, *collection),
        Topic::CollectionThngs { collection } => {
            Ok(PublishRequest::Thngs { collection: *collection, thngs: parse_ids(payload, THNGS_MAX)? })
        }
        Topic::Product { product } => update(ResourceKind::Product, *product),
        Topic::ProductProperties { product } => properties(PropertyOwner::Product(*product), None),
        Topic::ProductProperty { product, key } => properties(PropertyOwner::Product(*product), Some(key)),
        Topic::Thng { thng } => update(ResourceKind::Thng, *thng),
        Topic::ThngLocation { thng } => {
            Ok(PublishRequest::Location { thng: *thng, writes: parse_locations(payload)? })
        }
        Topic::ThngProperties { thng } => properties(PropertyOwner::Thng(*thng), None),
        Topic::ThngProperty { thng, key } => properties(PropertyOwner::Thng(*thng), Some(key)),
        Topic::BatchTasks { .. } | Topic::BatchTask { .. } => Ok(PublishRequest::Nothing),
        Topic::Actions
        | Topic::ActionsOfType { .. }
        | Topic::CollectionActions { .. }
        | Topic::CollectionActionsOfType { .. }
        | Topic::ProductActions { .. }
        | Topic::ProductActionsOfType { .. }
        | Topic::ThngActions { .. }
        | Topic::ThngActionsOfType { .. } => unreachable!("topics of actions are answered above"),
    }
}
