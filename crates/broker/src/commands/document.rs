//! A resource's document as every protocol shows it: the stored fields, followed by those that the server computes.

use thng_pubsub_protocol::{
    id::Id,
    payload::{Json, ResourceKind, ids_document, with_members},
};

use thng_pubsub_store::{Actor, ResourceRecord};

/// How much of an action's context is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextVisibility {
    Whole,
    /// Without the address that the action came from: that is for those who manage, not for those who share.
    WithoutAddress,
}

/// The field of an action that only the whole context shows.
pub(crate) const ADDRESS_PATH: &str = "context.ipAddress";

impl ContextVisibility {
    /// How much is shown to this one.
    pub fn to(actor: Actor) -> Self {
        match actor {
            Actor::User(_) | Actor::Device(_) | Actor::Application(_) => Self::WithoutAddress,
            Actor::Operator(_) | Actor::TrustedApplication(_) | Actor::AccessToken(_) => Self::Whole,
        }
    }
}

/// What a document shows besides the resource's own fields.
#[derive(Debug, Default)]
pub struct Extras {
    /// The collections that it is in; left out where there are none.
    pub collections: Vec<Id>,
    /// `{"key": value}` of its properties.
    pub properties: Option<Json>,
    /// Its latest location.
    pub location: Option<String>,
    /// Its scopes, where they are asked for.
    pub scopes: bool,
    /// The context of an action, where it is asked for.
    pub context: Option<ContextVisibility>,
    /// Further fields, such as an application's public key.
    pub more: Vec<(&'static str, String)>,
}

/// The document.
pub fn document(record: &ResourceRecord, extras: &Extras) -> String {
    let updated_at = record.updated_at_ms.to_string();
    let collections = ids_document(&extras.collections);
    let scopes = extras.scopes.then(|| record.scopes.to_json());
    let context = extras.context.map(|shown| context(record, shown));
    let mut members: Vec<(&str, &str)> = Vec::with_capacity(8);
    // What has happened is never updated.
    if record.kind != ResourceKind::Action {
        members.push(("updatedAt", &updated_at));
    }
    if !extras.collections.is_empty() {
        members.push(("collections", &collections));
    }
    if let Some(properties) = &extras.properties {
        members.push(("properties", properties.as_str()));
    }
    if let Some(location) = &extras.location {
        members.push(("location", location));
    }
    if let Some(context) = &context {
        members.push(("context", context));
    }
    if let Some(scopes) = &scopes {
        members.push(("scopes", scopes));
    }
    members.extend(extras.more.iter().map(|(name, json)| (*name, json.as_str())));
    with_members(&record.body, &members)
}

/// The document that subscribers get.
pub(crate) fn notification(record: &ResourceRecord, collections: &[Id]) -> String {
    document(record, &Extras { collections: collections.to_vec(), ..Extras::default() })
}

/// Where and how an action came about.
fn context(record: &ResourceRecord, shown: ContextVisibility) -> String {
    let private: Option<serde_json::Map<String, serde_json::Value>> =
        record.private.as_ref().and_then(|private| serde_json::from_str(private.as_str()).ok());
    let mut context = private.and_then(|mut private| private.remove("context"));
    if let (Some(context), ContextVisibility::WithoutAddress) = (&mut context, shown)
        && let Some(members) = context.as_object_mut()
    {
        members.remove("ipAddress");
    }
    context.map_or_else(|| "{}".into(), |context| context.to_string())
}
