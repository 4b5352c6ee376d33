//! Between topics and the domain: two pure functions.
//!
//! [`operation`]: (topic, payload) -> what somebody wants done. [`notes`]: an event -> the topics that tell of it, each
//! with its payload. Neither looks anything up: a topic and an event carry every id that is needed.

use bytes::Bytes;
use thng_pubsub_protocol::{
    id::{Id, PropertyKey},
    payload::{PayloadError, PropertyUpdate, ThngInput, parse_writes, update_document},
    topic::Topic,
};

use crate::{
    domain::{Event, Operation},
    store::{PropertyOwner, ThngChange},
};

/// A topic that this server serves, by what lies behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served<'a> {
    /// A thng's own fields.
    Thng(Id),
    /// All properties of something.
    Properties(PropertyOwner),
    /// One property of something.
    Property(PropertyOwner, &'a PropertyKey),
}

/// What lies behind a topic, or `None` for a row of the table that is not served yet.
pub(crate) fn served(topic: &Topic) -> Option<Served<'_>> {
    match topic {
        Topic::Thng { thng } => Some(Served::Thng(*thng)),
        Topic::ThngProperties { thng } => Some(Served::Properties(PropertyOwner::Thng(*thng))),
        Topic::ThngProperty { thng, key } => Some(Served::Property(PropertyOwner::Thng(*thng), key)),
        Topic::ActionTypes
        | Topic::Actions
        | Topic::ActionsOfType { .. }
        | Topic::BatchTasks { .. }
        | Topic::BatchTask { .. }
        | Topic::Collection { .. }
        | Topic::CollectionActions { .. }
        | Topic::CollectionActionsOfType { .. }
        | Topic::CollectionThngs { .. }
        | Topic::Product { .. }
        | Topic::ProductActions { .. }
        | Topic::ProductActionsOfType { .. }
        | Topic::ProductProperties { .. }
        | Topic::ProductProperty { .. }
        | Topic::ThngActions { .. }
        | Topic::ThngActionsOfType { .. }
        | Topic::ThngLocation { .. } => None,
    }
}

impl Served<'_> {
    /// The resource whose account and scopes decide who may use the topic.
    pub(crate) fn resource(self) -> Id {
        match self {
            Self::Thng(id) => id,
            Self::Properties(owner) | Self::Property(owner, _) => owner.id(),
        }
    }
}

/// What a publish of `payload` on this topic asks for.
///
/// # Errors
/// What is wrong with the payload.
pub(crate) fn operation(account: Id, served: Served<'_>, payload: &[u8]) -> Result<Operation, PayloadError> {
    Ok(match served {
        Served::Thng(id) => {
            Operation::UpdateThng { account, id, input: Box::new(ThngInput::parse(payload)?) }
        }
        Served::Properties(owner) => {
            Operation::UpdateProperties { account, owner, writes: parse_writes(payload, None)? }
        }
        Served::Property(owner, key) => {
            Operation::UpdateProperties { account, owner, writes: parse_writes(payload, Some(key))? }
        }
    })
}

/// Who is told of an event, and what: each payload is written once and shared by all its receivers.
///
/// `address` says where a topic's notes go, or `None` where nobody hears them: those are not even written.
pub(crate) fn notes<A>(
    event: &Event,
    mut address: impl FnMut(&Topic) -> Option<A>,
    mut tell: impl FnMut(A, Bytes),
) {
    match event {
        Event::ThngChanged { thng, change: ThngChange::Updated, document, .. } => {
            if let Some(address) = address(&Topic::Thng { thng: *thng }) {
                tell(address, Bytes::copy_from_slice(document.as_bytes()));
            }
        }
        Event::ThngChanged { change: ThngChange::Created | ThngChange::Deleted, .. } => {}
        Event::PropertiesUpdated { owner, updates, .. } => property_notes(*owner, updates, address, tell),
    }
}

/// One note with everything on `/properties`, and one for each key with its own entries on `/properties/:key`.
fn property_notes<A>(
    owner: PropertyOwner,
    updates: &[PropertyUpdate],
    mut address: impl FnMut(&Topic) -> Option<A>,
    mut tell: impl FnMut(A, Bytes),
) {
    let PropertyOwner::Thng(thng) = owner;
    let mut keys: Vec<&PropertyKey> = updates.iter().map(|update| &update.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut whole = None;
    let mut whole = || whole.get_or_insert_with(|| Bytes::from(update_document(updates))).clone();
    for key in &keys {
        let Some(address) = address(&Topic::ThngProperty { thng, key: (*key).clone() }) else { continue };
        let own = || update_document(updates.iter().filter(|update| update.key == **key)).into();
        tell(address, if keys.len() == 1 { whole() } else { own() });
    }
    if let Some(address) = address(&Topic::ThngProperties { thng }) {
        tell(address, whole());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use thng_pubsub_protocol::payload::{Json, Scopes};

    use super::*;
    use crate::store::ResourceHead;

    fn thng() -> Id {
        Id::parse("UeECn9a8PBpar8x4FEGdMsDd").expect("an id")
    }

    fn told(event: &Event) -> Vec<(String, String)> {
        let mut told = Vec::new();
        let everybody = |topic: &Topic| Some(topic.canonical());
        notes(event, everybody, |topic, body| {
            told.push((topic, String::from_utf8(body.to_vec()).expect("JSON is UTF-8")));
        });
        told
    }

    fn updated(pairs: &[(&str, &str)]) -> Event {
        let update = |(key, value): &(&str, &str)| PropertyUpdate {
            key: PropertyKey::parse(key).expect("a key"),
            value: Json::parse((*value).into()).expect("JSON"),
            timestamp_ms: 1,
            created_at_ms: 2,
        };
        let head = Arc::new(ResourceHead { account: thng(), scopes: Scopes::default() });
        let updates = pairs.iter().map(update).collect();
        Event::PropertiesUpdated { seq: 7, head, owner: PropertyOwner::Thng(thng()), updates }
    }

    #[test]
    fn an_update_of_two_keys_reaches_the_collection_whole_and_each_key_with_its_own() {
        let base = format!("/thngs/{}/properties", thng());
        let entry = |key: &str, value: &str| {
            format!(r#"{{"key":"{key}","value":{value},"timestamp":1,"createdAt":2}}"#)
        };
        assert_eq!(
            told(&updated(&[("b", "1"), ("a", "2"), ("b", "3")])),
            [
                (format!("{base}/a"), format!("[{}]", entry("a", "2"))),
                (format!("{base}/b"), format!("[{},{}]", entry("b", "1"), entry("b", "3"))),
                (base, format!("[{},{},{}]", entry("b", "1"), entry("a", "2"), entry("b", "3"))),
            ]
        );
    }

    #[test]
    fn what_nobody_hears_is_not_written() {
        let event = updated(&[("a", "1"), ("b", "2")]);
        let mut told = Vec::new();
        let only_b = |topic: &Topic| topic.canonical().ends_with("/b").then_some(());
        notes(&event, only_b, |(), body| told.push(body));
        assert_eq!(told, [r#"[{"key":"b","value":2,"timestamp":1,"createdAt":2}]"#]);
    }

    #[test]
    fn a_thng_tells_of_its_updates_but_not_of_its_beginning_and_end() {
        let head = Arc::new(ResourceHead { account: thng(), scopes: Scopes::default() });
        for (change, count) in [(ThngChange::Created, 0), (ThngChange::Updated, 1), (ThngChange::Deleted, 0)]
        {
            let event = Event::ThngChanged {
                seq: 1,
                head: Arc::clone(&head),
                thng: thng(),
                change,
                document: "{}".into(),
            };
            assert_eq!(told(&event).len(), count, "{change:?}");
        }
    }
}
