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
pub(crate) fn notes(event: &Event, mut tell: impl FnMut(Topic, Bytes)) {
    match event {
        Event::ThngChanged { thng, change: ThngChange::Updated, document, .. } => {
            tell(Topic::Thng { thng: *thng }, Bytes::copy_from_slice(document.as_bytes()));
        }
        Event::ThngChanged { change: ThngChange::Created | ThngChange::Deleted, .. } => {}
        Event::PropertiesUpdated { owner, updates, .. } => property_notes(*owner, updates, tell),
    }
}

/// One note with everything on `/properties`, and one for each key with its own entries on `/properties/:key`.
fn property_notes(owner: PropertyOwner, updates: &[PropertyUpdate], mut tell: impl FnMut(Topic, Bytes)) {
    let PropertyOwner::Thng(thng) = owner;
    let all = Bytes::from(update_document(updates));
    let mut keys: Vec<&PropertyKey> = updates.iter().map(|update| &update.key).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in &keys {
        let body = if keys.len() == 1 {
            all.clone()
        } else {
            update_document(updates.iter().filter(|update| update.key == **key)).into()
        };
        tell(Topic::ThngProperty { thng, key: (*key).clone() }, body);
    }
    tell(Topic::ThngProperties { thng }, all);
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
        notes(event, |topic, body| {
            told.push((topic.canonical(), String::from_utf8(body.to_vec()).expect("JSON is UTF-8")));
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
