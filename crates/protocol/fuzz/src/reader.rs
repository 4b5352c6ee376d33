//! The readers of the protocol's documents under one roof, for the targets that compare what they read.
//!
//! Which one reads a topic's messages is taken from the table of topics, not from the server's translation.

use thng_pubsub_protocol::{
    id::{ActionTypeName, Id, PropertyKey},
    payload::{
        Fields, LocationInput, LocationUpdate, LocationWrite, Patch, PayloadError, Point, PropertyUpdate,
        PropertyWrite, ResourceKind, THNGS_MAX, ids_document, location_value, locations_document,
        parse_actions, parse_ids, parse_locations, parse_writes, update_document,
    },
    topic::{Topic, table::OperationKind},
};

/// The moment of arrival, for what does not say when it was.
const NOW_MS: i64 = 7;

/// The reader of a document.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    /// The body of a creation.
    Creation(ResourceKind),
    /// The body of a change.
    Update(ResourceKind),
    /// Actions, of the type that the path names.
    Actions(Option<ActionTypeName>),
    /// Ids that join a collection.
    Ids,
    /// Locations.
    Locations,
    /// Values of properties, of the key that the path names.
    Writes(Option<PropertyKey>),
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// By [`Reader::Creation`], and then `true`, or [`Reader::Update`].
    Patch(Box<Patch>, bool),
    Actions(Vec<(ActionTypeName, Patch)>),
    Ids(Vec<Id>),
    Locations(Vec<LocationWrite>),
    Writes(Vec<PropertyWrite>),
}

impl Reader {
    /// The reader of what is published on a topic; none where a topic can only be subscribed to.
    pub(super) fn of_topic(topic: &Topic) -> Option<Self> {
        Some(match topic.kind().row().publish?.operation {
            OperationKind::CreateActionType => Self::Creation(ResourceKind::ActionType),
            OperationKind::CreateAction => Self::Actions(action_type(topic)),
            OperationKind::UpdateCollection => Self::Update(ResourceKind::Collection),
            OperationKind::AddThngs => Self::Ids,
            OperationKind::UpdateProduct => Self::Update(ResourceKind::Product),
            OperationKind::UpdateThng => Self::Update(ResourceKind::Thng),
            OperationKind::UpdateLocation => Self::Locations,
            OperationKind::UpdateProperties => Self::Writes(property_key(topic)),
        })
    }

    pub(super) fn read(&self, body: &[u8]) -> Result<Read, PayloadError> {
        Ok(match self {
            Self::Creation(kind) => Read::Patch(Patch::parse(*kind, body)?.into(), true),
            Self::Update(kind) => Read::Patch(Patch::parse_update(*kind, body)?.into(), false),
            Self::Actions(action_type) => Read::Actions(parse_actions(body, action_type.as_ref())?),
            Self::Ids => Read::Ids(parse_ids(body, THNGS_MAX)?),
            Self::Locations => Read::Locations(parse_locations(body)?),
            Self::Writes(key) => Read::Writes(parse_writes(body, key.as_ref())?),
        })
    }
}

fn action_type(topic: &Topic) -> Option<ActionTypeName> {
    if let Topic::Actions { action_type, .. } = topic { action_type.clone() } else { None }
}

fn property_key(topic: &Topic) -> Option<PropertyKey> {
    if let Topic::Properties { key, .. } = topic { key.clone() } else { None }
}

impl Read {
    /// The documents that show what is stored of it; the reader of its like reads them as the same. Nothing where a
    /// required field is missing.
    pub(super) fn documents(&self) -> Result<Vec<String>, PayloadError> {
        Ok(match self {
            Self::Patch(patch, is_new) => vec![document(patch, None, *is_new)?],
            Self::Actions(actions) => actions
                .iter()
                .map(|(action_type, patch)| document(patch, Some(action_type), true))
                .collect::<Result<_, _>>()?,
            Self::Ids(ids) => vec![ids_document(ids)],
            Self::Locations(writes) => {
                vec![locations_document(&writes.iter().map(located).collect::<Vec<_>>())]
            }
            Self::Writes(writes) => vec![update_document(&updates(writes))],
        })
    }
}

/// What is stored of values that are written.
pub(super) fn updates(writes: &[PropertyWrite]) -> Vec<PropertyUpdate> {
    let update = |write: &PropertyWrite| PropertyUpdate {
        key: write.key.clone(),
        value: write.value.clone(),
        timestamp_ms: write.timestamp_ms.unwrap_or(NOW_MS),
        created_at_ms: NOW_MS,
    };
    writes.iter().map(update).collect()
}

/// What is stored of a location. That it was a place's is shown beside the position, which alone counts when both are
/// sent back, so it is left out here.
fn located(write: &LocationWrite) -> LocationUpdate {
    let value = match &write.input {
        LocationInput::At(point) => location_value(point, None),
        LocationInput::Place(_) => {
            location_value(&Point { longitude: "8.50".into(), latitude: "47".into() }, None)
        }
    };
    LocationUpdate { value, timestamp_ms: write.timestamp_ms.unwrap_or(NOW_MS), created_at_ms: NOW_MS }
}

fn document(
    patch: &Patch,
    action_type: Option<&ActionTypeName>,
    is_new: bool,
) -> Result<String, PayloadError> {
    let mut fields = Fields::new(patch.kind());
    fields.apply(patch, is_new)?;
    if let Some(action_type) = action_type {
        fields.set_text("type", action_type.as_str());
    }
    let id = Id::parse("UeECn9a8PBpar8x4FEGdMsDd").expect("an id");
    Ok(fields.document(Some(&id), NOW_MS))
}
