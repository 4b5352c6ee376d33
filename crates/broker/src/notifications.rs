//! Makes the notifications of events: for session queues before the commit, for the bus after it.
//!
//! [`SessionEnqueuer`] runs before a commit, [`CommittedPublisher`] after it; both take the topics and payloads of an event
//! from [`notifications_of`], which reads nothing: an event carries every id that is needed. [`resource`] and
//! [`needed_type`] say what a topic needs to exist. `thng_pubsub_protocol::publish`, which the SDK shares, parses
//! publishes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use thng_pubsub_protocol::{
    id::{ActionTypeName, Id, PropertyKey},
    payload::{PropertyUpdate, ResourceKind, locations_document, update_document},
    topic::{Subject, SubjectKind, Topic},
};

use thng_pubsub_bus::{Bus, Notification, RouteKey};
use thng_pubsub_store::{
    Change, PropertyOwner, ResourceMeta, ResourceRecord, StoreError, TimestampMs, WriteStore,
    session_queue::{QueueLimits, QueuedMessage},
};

use crate::{
    auth::{keys::Keys, visibility},
    commands::{Event, notification},
    shared::{resource_cache::ResourceCache, session_leases::SessionLeases},
    writer::{AfterCommit, BeforeCommit},
};

/// Queues the notifications of an event for the durable sessions that subscribe to their topics.
pub(crate) struct SessionEnqueuer {
    limits: QueueLimits,
}

impl SessionEnqueuer {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self { limits }
    }
}

impl BeforeCommit for SessionEnqueuer {
    fn before_commit(
        &mut self,
        event: &Event,
        now_ms: TimestampMs,
        store: &mut dyn WriteStore,
    ) -> Result<(), StoreError> {
        if !store.has_queues() {
            return Ok(());
        }
        let Some((seq, meta)) = about(event) else { return Ok(()) };
        let mut notifications = Vec::new();
        let address = |topic: &Topic| {
            let route = RouteKey::new(meta.account.as_str(), &topic.canonical());
            store.session_topic(route.as_bytes())
        };
        notifications_of(event, address, |topic, body, below| {
            notifications.push((topic, body, scopes(meta, below)))
        });
        for (topic, body, scopes) in notifications {
            let message = QueuedMessage { seq, scopes: scopes.into(), body: body.into() };
            store.enqueue(topic, now_ms, &message, &self.limits)?;
        }
        Ok(())
    }
}

/// Invalidates what the events of a commit made stale, then publishes their notifications to the bus.
pub(crate) struct CommittedPublisher {
    pub(crate) resource_cache: Arc<ResourceCache>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) bus: Arc<Bus>,
    /// The newest sequence of a commit.
    pub(crate) committed: Arc<AtomicU64>,
    pub(crate) session_leases: Arc<SessionLeases>,
}

impl CommittedPublisher {
    fn invalidate(&self, event: &Event) {
        match event {
            Event::ResourceChanged { meta, change, .. } => {
                if *change != Change::Created {
                    self.resource_cache.forget(meta.id);
                }
            }
            Event::KeysRevoked { hashes } => self.keys.revoke(hashes),
            Event::KeysChanged { hashes } => self.keys.forget(hashes),
            Event::RightsChanged => self.keys.forget_all(),
            Event::SessionEvicted { number } => self.session_leases.end(*number),
            Event::PropertiesUpdated { .. }
            | Event::LocationsUpdated { .. }
            | Event::ActionCreated { .. }
            | Event::MembershipChanged { .. }
            | Event::TaskCompleted { .. } => {}
        }
    }
}

impl AfterCommit for CommittedPublisher {
    fn after_commit(&mut self, events: Vec<Event>) {
        let mut notifications = Vec::with_capacity(events.len() * 2);
        for event in &events {
            self.invalidate(event);
            let Some((seq, meta)) = about(event) else { continue };
            self.committed.fetch_max(seq, Ordering::SeqCst);
            let mut alone = None;
            // A subscription from here on begins after this commit: topics without subscribers need no notification.
            let address = |topic: &Topic| {
                let key = RouteKey::new(meta.account.as_str(), &topic.canonical());
                self.bus.has_subscribers(&key).then_some(key)
            };
            let message = |key, body, below: Option<&ResourceMeta>| {
                let scopes = match below {
                    None => alone.get_or_insert_with(|| scopes(meta, None)).clone(),
                    below => scopes(meta, below),
                };
                notifications.push(Notification { key, scopes, seq, body });
            };
            notifications_of(event, address, message);
        }
        if !notifications.is_empty() {
            self.bus.publish(notifications);
        }
    }
}

/// The visibility of a notification: of the event's subject, and of the resource in the topic where that is another one.
fn scopes(meta: &ResourceMeta, below: Option<&ResourceMeta>) -> Bytes {
    match below {
        Some(below) => visibility::encode_below(meta, below),
        None => visibility::encode(meta),
    }
}

/// The resource in a topic that has to be there and to be visible, whatever is done on the topic.
pub(crate) fn resource(topic: &Topic) -> Option<(ResourceKind, Id)> {
    let subject = |subject: &Subject| (subject.kind.resource(), subject.id);
    match topic {
        Topic::ActionTypes => None,
        Topic::Actions { subject: about, .. } => about.as_ref().map(subject),
        Topic::Resource { kind, id } => Some((kind.resource(), *id)),
        Topic::Properties { owner, .. } => Some((owner.kind().resource(), owner.id())),
        Topic::Location { thng } => Some((ResourceKind::Thng, *thng)),
        Topic::Members { collection } => Some((ResourceKind::Collection, *collection)),
        Topic::Tasks { batch, task: None } => Some((ResourceKind::Batch, *batch)),
        Topic::Tasks { task: Some(task), .. } => Some((ResourceKind::Task, *task)),
    }
}

/// The action type that a topic below a resource names: one that does not exist cannot be subscribed to there. The
/// root's topics can be subscribed to before their type exists.
pub(crate) fn needed_type(topic: &Topic) -> Option<&ActionTypeName> {
    match topic {
        Topic::Actions { subject: Some(_), action_type } => action_type.as_ref(),
        Topic::Actions { subject: None, .. }
        | Topic::ActionTypes
        | Topic::Resource { .. }
        | Topic::Properties { .. }
        | Topic::Location { .. }
        | Topic::Members { .. }
        | Topic::Tasks { .. } => None,
    }
}

/// The resource that an event is about, and its sequence in the log; `None` for an event without a topic.
pub(crate) fn about(event: &Event) -> Option<(u64, &ResourceMeta)> {
    match event {
        Event::ResourceChanged { seq, meta, .. }
        | Event::PropertiesUpdated { seq, meta, .. }
        | Event::LocationsUpdated { seq, meta, .. }
        | Event::ActionCreated { seq, meta, .. }
        | Event::MembershipChanged { seq, meta, .. }
        | Event::TaskCompleted { seq, meta, .. } => Some((*seq, meta)),
        Event::KeysRevoked { .. }
        | Event::KeysChanged { .. }
        | Event::RightsChanged
        | Event::SessionEvicted { .. } => None,
    }
}

/// The topics and payloads of an event: each payload is written once and shared by all its receivers.
///
/// `address` returns the destination of a topic's notifications, or `None` for a topic without subscribers, whose
/// payload is then never written. `tell` receives the payload, and the resource in the topic where that is not the
/// event's subject.
pub(crate) fn notifications_of<A>(
    event: &Event,
    mut address: impl FnMut(&Topic) -> Option<A>,
    mut tell: impl FnMut(A, Bytes, Option<&ResourceMeta>),
) {
    match event {
        Event::ResourceChanged { change, record, collections, .. } => {
            if let Some(topic) = changed_topic(*change, record)
                && let Some(address) = address(&topic)
            {
                tell(address, notification(record, collections).into(), None);
            }
        }
        Event::PropertiesUpdated { owner, updates, .. } => {
            property_notifications(*owner, updates, address, |address, body| tell(address, body, None));
        }
        Event::LocationsUpdated { thng, updates, .. } => {
            if let Some(address) = address(&Topic::Location { thng: *thng }) {
                tell(address, locations_document(updates.iter()).into(), None);
            }
        }
        Event::ActionCreated { meta, about, action_type, collections, record, .. } => {
            let mut body = None;
            for topic in action_topics(meta, action_type, collections) {
                if let Some(address) = address(&topic) {
                    let body = body.get_or_insert_with(|| Bytes::from(notification(record, &[]))).clone();
                    let below =
                        resource(&topic).and_then(|(_, id)| about.iter().find(|about| about.id == id));
                    tell(address, body, below.map(|below| &**below));
                }
            }
        }
        Event::MembershipChanged { collection, document, .. } => {
            if let Some(address) = address(&Topic::Members { collection: *collection }) {
                tell(address, Bytes::copy_from_slice(document.as_bytes()), None);
            }
        }
        Event::TaskCompleted { batch, record, .. } => {
            for task in [None, Some(record.id)] {
                if let Some(address) = address(&Topic::Tasks { batch: batch.id, task }) {
                    tell(address, notification(record, &[]).into(), Some(batch));
                }
            }
        }
        Event::KeysRevoked { .. }
        | Event::KeysChanged { .. }
        | Event::RightsChanged
        | Event::SessionEvicted { .. } => {}
    }
}

/// The topic that tells of a resource's own change, if there is one.
fn changed_topic(change: Change, record: &ResourceRecord) -> Option<Topic> {
    let own = |kind| Some(Topic::Resource { kind, id: record.id });
    match (record.kind, change) {
        (ResourceKind::Thng, Change::Updated) => own(SubjectKind::Thng),
        (ResourceKind::Product, Change::Updated) => own(SubjectKind::Product),
        (ResourceKind::Collection, Change::Updated | Change::Deleted) => own(SubjectKind::Collection),
        (ResourceKind::ActionType, Change::Created) => Some(Topic::ActionTypes),
        (ResourceKind::ActionType, Change::Deleted) => {
            let name = record.fields().text("name")?;
            Some(Topic::Actions { subject: None, action_type: Some(ActionTypeName::parse(&name).ok()?) })
        }
        (
            ResourceKind::Account
            | ResourceKind::Operator
            | ResourceKind::Access
            | ResourceKind::Project
            | ResourceKind::Application
            | ResourceKind::User
            | ResourceKind::Role
            | ResourceKind::AccessPolicy
            | ResourceKind::AccessToken
            | ResourceKind::Thng
            | ResourceKind::Product
            | ResourceKind::Collection
            | ResourceKind::Place
            | ResourceKind::ActionType
            | ResourceKind::Action
            | ResourceKind::Batch
            | ResourceKind::Task,
            Change::Created | Change::Updated | Change::Deleted,
        ) => None,
    }
}

/// Every topic that tells of an action: the root's, and those of what it happened to, by its type and for all types.
fn action_topics(meta: &ResourceMeta, action_type: &str, collections: &[Id]) -> Vec<Topic> {
    let topic = |subject, action_type| Topic::Actions { subject, action_type };
    // A type that is no name was refused when it was created.
    let Ok(action_type) = ActionTypeName::parse(action_type) else { return vec![topic(None, None)] };
    let subject = |kind, id| Some(Subject { kind, id });
    let thng = meta.thng.map(|id| subject(SubjectKind::Thng, id));
    let product = meta.product.map(|id| subject(SubjectKind::Product, id));
    let subjects = [Some(None), thng, product].into_iter().flatten();
    let subjects = subjects.chain(collections.iter().map(|id| subject(SubjectKind::Collection, *id)));
    let mut topics = Vec::with_capacity(2 * (3 + collections.len()));
    for subject in subjects {
        topics.push(topic(subject, None));
        topics.push(topic(subject, Some(action_type.clone())));
    }
    topics
}

/// One notification with everything on `/properties`, and one for each key with its own entries on `/properties/:key`.
fn property_notifications<A>(
    owner: PropertyOwner,
    updates: &[PropertyUpdate],
    mut address: impl FnMut(&Topic) -> Option<A>,
    mut tell: impl FnMut(A, Bytes),
) {
    let topic = |key: Option<&PropertyKey>| Topic::Properties { owner, key: key.cloned() };
    let mut keys: Vec<&PropertyKey> = updates.iter().map(|update| &update.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut whole = None;
    let mut whole = || whole.get_or_insert_with(|| Bytes::from(update_document(updates))).clone();
    for key in &keys {
        let Some(address) = address(&topic(Some(key))) else { continue };
        let own = || update_document(updates.iter().filter(|update| update.key == **key)).into();
        tell(address, if keys.len() == 1 { whole() } else { own() });
    }
    if let Some(address) = address(&topic(None)) {
        tell(address, whole());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use thng_pubsub_protocol::payload::{Fields, Json, Scopes};

    use super::*;

    fn thng() -> Id {
        Id::parse("UeECn9a8PBpar8x4FEGdMsDd").expect("an id")
    }

    fn record(kind: ResourceKind, name: &str) -> ResourceRecord {
        let mut fields = Fields::new(kind);
        fields.set_text("name", name);
        ResourceRecord {
            id: thng(),
            account: thng(),
            kind,
            parent: None,
            body: fields.document(Some(&thng()), 1).into(),
            private: None,
            scopes: Scopes::default(),
            created_at_ms: 1,
            updated_at_ms: 2,
            place: 1,
        }
    }

    fn notified(event: &Event) -> Vec<(String, String)> {
        let mut notified = Vec::new();
        let all_topics = |topic: &Topic| Some(topic.canonical());
        notifications_of(event, all_topics, |topic, body, _| {
            notified.push((topic, String::from_utf8(body.to_vec()).expect("JSON is UTF-8")));
        });
        notified
    }

    fn updated(pairs: &[(&str, &str)]) -> Event {
        let update = |(key, value): &(&str, &str)| PropertyUpdate {
            key: PropertyKey::parse(key).expect("a key"),
            value: Json::parse((*value).into()).expect("JSON"),
            timestamp_ms: 1,
            created_at_ms: 2,
        };
        let meta = Arc::new(record(ResourceKind::Thng, "n").meta());
        let updates = pairs.iter().map(update).collect();
        Event::PropertiesUpdated { seq: 7, meta, owner: PropertyOwner::Thng(thng()), updates }
    }

    #[test]
    fn an_update_of_two_keys_notifies_properties_and_each_key() {
        let base = format!("/thngs/{}/properties", thng());
        let entry = |key: &str, value: &str| {
            format!(r#"{{"key":"{key}","value":{value},"timestamp":1,"createdAt":2}}"#)
        };
        assert_eq!(
            notified(&updated(&[("b", "1"), ("a", "2"), ("b", "3")])),
            [
                (format!("{base}/a"), format!("[{}]", entry("a", "2"))),
                (format!("{base}/b"), format!("[{},{}]", entry("b", "1"), entry("b", "3"))),
                (base, format!("[{},{},{}]", entry("b", "1"), entry("a", "2"), entry("b", "3"))),
            ]
        );
    }

    #[test]
    fn notifications_without_subscribers_are_skipped() {
        let event = updated(&[("a", "1"), ("b", "2")]);
        let mut notified = Vec::new();
        let only_b = |topic: &Topic| topic.canonical().ends_with("/b").then_some(());
        notifications_of(&event, only_b, |(), body, _| notified.push(body));
        assert_eq!(notified, [r#"[{"key":"b","value":2,"timestamp":1,"createdAt":2}]"#]);
    }

    #[test]
    fn resources_notify_exactly_the_topics_of_the_table() {
        for (kind, change, topic) in [
            (ResourceKind::Thng, Change::Created, None),
            (ResourceKind::Thng, Change::Updated, Some("/thngs/UeECn9a8PBpar8x4FEGdMsDd")),
            (ResourceKind::Thng, Change::Deleted, None),
            (ResourceKind::Product, Change::Updated, Some("/products/UeECn9a8PBpar8x4FEGdMsDd")),
            (ResourceKind::Collection, Change::Updated, Some("/collections/UeECn9a8PBpar8x4FEGdMsDd")),
            (ResourceKind::Collection, Change::Deleted, Some("/collections/UeECn9a8PBpar8x4FEGdMsDd")),
            (ResourceKind::ActionType, Change::Created, Some("/actions")),
            (ResourceKind::ActionType, Change::Updated, None),
            (ResourceKind::ActionType, Change::Deleted, Some("/actions/_a%20b")),
            (ResourceKind::Place, Change::Updated, None),
        ] {
            let record = Arc::new(record(kind, "_a b"));
            let meta = Arc::new(record.meta());
            let event = Event::ResourceChanged { seq: 1, meta, change, record, collections: Arc::new([]) };
            let topics: Vec<String> = notified(&event).into_iter().map(|(topic, _)| topic).collect();
            assert_eq!(topics, topic.into_iter().collect::<Vec<_>>(), "{kind:?} {change:?}");
        }
    }

    #[test]
    fn an_action_reaches_the_root_and_all_that_it_happened_to() {
        let (thng, product, collection) =
            ("t".repeat(24), "p".repeat(24), Id::parse(&"c".repeat(24)).expect("an id"));
        let mut fields = Fields::new(ResourceKind::Action);
        for (name, text) in [("type", "scans"), ("thng", &thng), ("product", &product)] {
            fields.set_text(name, text);
        }
        let body = fields.document(Some(&collection), 1).into();
        let record =
            Arc::new(ResourceRecord { kind: ResourceKind::Action, body, ..record(ResourceKind::Place, "n") });
        let meta = Arc::new(record.meta());
        let (action_type, collections) = ("scans".into(), Arc::new([collection]));
        let about = Arc::new([]);
        let event = Event::ActionCreated { seq: 1, meta, about, action_type, collections, record };
        let notified = notified(&event);
        let topics: Vec<&str> = notified.iter().map(|(topic, _)| topic.as_str()).collect();
        let below = |kind: &str, id: &str, last: &str| format!("/{kind}/{id}/actions/{last}");
        let mut expected = vec!["/actions/all".to_owned(), "/actions/scans".into()];
        for (kind, id) in [("thngs", &thng), ("products", &product), ("collections", &collection.to_string())]
        {
            expected.extend(["all", "scans"].map(|last| below(kind, id, last)));
        }
        assert_eq!(topics, expected);
        assert!(
            notified.iter().all(|(_, body)| *body == notified[0].1 && body.contains(r#""type":"scans""#))
        );
    }
}
