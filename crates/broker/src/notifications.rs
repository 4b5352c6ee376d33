//! Makes the notifications of events: for session queues before the commit, for the bus after it.
//!
//! [`SessionEnqueuer`] runs before a commit, [`CommittedPublisher`] after it. Both take the topics and payloads of an event
//! from one [`EventNotifications`], which makes each at most once and reads nothing: an event carries every id that is
//! needed. [`resource`] and [`needed_type`] say what a topic needs to exist. `thng_pubsub_protocol::publish`, which the
//! SDK shares, parses publishes.

use std::{
    cell::OnceCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use thng_pubsub_protocol::{
    id::{ActionTypeName, Id, PropertyKey},
    payload::{PropertyUpdate, ResourceKind, locations_document, update_document},
    topic::{Subject, SubjectKind, Topic},
};

use thng_pubsub_bus::{Bus, Notification, RouteKey, RouteKeyBuffer};
use thng_pubsub_store::{
    Change, ResourceMeta, ResourceRecord, StoreError, TimestampMs, WriteStore,
    client_events::EventOwner,
    session_queue::{QueueLimits, QueuedMessage},
};

use crate::{
    auth::{keys::Keys, visibility},
    client_events::ClientEvents,
    commands::{Event, notification},
    shared::{resource_cache::ResourceCache, session_leases::SessionLeases},
    writer::{AfterCommit, BeforeCommit, CommittedEvent},
};

/// Queues the notifications of an event for the durable sessions that subscribe to their topics.
pub(crate) struct SessionEnqueuer {
    limits: QueueLimits,
    key_buffer: RouteKeyBuffer,
}

impl SessionEnqueuer {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self { limits, key_buffer: RouteKeyBuffer::default() }
    }
}

impl BeforeCommit<EventNotifications> for SessionEnqueuer {
    fn before_commit(
        &mut self,
        event: &Event,
        now_ms: TimestampMs,
        store: &mut dyn WriteStore,
    ) -> Result<Option<EventNotifications>, StoreError> {
        if !store.has_queues() {
            return Ok(None);
        }
        let notifications = EventNotifications::of(event, &mut self.key_buffer, |_| true);
        for entry in &notifications.entries {
            if let Some(topic) = store.session_topic(entry.key.as_bytes()) {
                let Notification { seq, scopes, body, .. } = notifications.make(entry, event);
                let message = QueuedMessage { seq, scopes: scopes.into(), body: body.into() };
                store.enqueue(topic, now_ms, &message, &self.limits)?;
            }
        }
        Ok(Some(notifications))
    }
}

/// Invalidates what the events of a commit made stale, then publishes their notifications to the bus.
pub(crate) struct CommittedPublisher {
    pub(crate) resource_cache: Arc<ResourceCache>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) client_events: Arc<ClientEvents>,
    pub(crate) bus: Arc<Bus>,
    /// The newest sequence of a commit.
    pub(crate) committed: Arc<AtomicU64>,
    pub(crate) session_leases: Arc<SessionLeases>,
    pub(crate) key_buffer: RouteKeyBuffer,
}

impl CommittedPublisher {
    fn invalidate(&self, event: &Event) {
        match event {
            Event::ResourceChanged { meta, change, .. } => {
                if *change != Change::Created {
                    self.resource_cache.forget(meta.id);
                }
            }
            Event::KeysRevoked { account, keys } => {
                // Before the keys end: their clients may come back at once.
                self.client_events.keys_revoked(keys.iter().map(|(actor, key)| EventOwner {
                    account: Some(*account),
                    key: Some(*key),
                    actor: Some(*actor),
                }));
                self.keys.revoke(keys.iter().map(|(_, key)| key));
            }
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

impl AfterCommit<EventNotifications> for CommittedPublisher {
    fn after_commit(&mut self, events: Vec<CommittedEvent<EventNotifications>>) {
        let mut due = Vec::with_capacity(events.len() * 2);
        for CommittedEvent { event, made } in &events {
            self.invalidate(event);
            let Some((seq, _)) = about(event) else { continue };
            self.committed.fetch_max(seq, Ordering::SeqCst);
            // A subscription from here on begins after this commit: topics without subscribers need no notification.
            let of_event;
            let notifications = match made {
                Some(made) => made,
                None => {
                    of_event = EventNotifications::of(event, &mut self.key_buffer, |key| {
                        self.bus.has_subscribers(key)
                    });
                    &of_event
                }
            };
            let entries = notifications.entries.iter();
            let subscribed =
                entries.filter(|entry| made.is_none() || self.bus.has_subscribers(entry.key.as_bytes()));
            due.extend(subscribed.map(|entry| notifications.make(entry, event)));
        }
        if !due.is_empty() {
            self.bus.publish(due);
        }
    }
}

/// The notifications of one event: the keys of its topics, and each payload from the moment that it is needed.
pub(crate) struct EventNotifications {
    seq: u64,
    /// One for each topic of the event that was asked for.
    entries: Vec<Entry>,
    /// The payload of all topics that do not have one of their own.
    body: OnceCell<Bytes>,
    /// The visibility of the event's subject.
    scopes: OnceCell<Bytes>,
}

/// A topic of an event.
struct Entry {
    key: RouteKey,
    /// The resource in the topic, where that is not the event's subject.
    below: Option<Arc<ResourceMeta>>,
    /// The property in the topic, where others were updated too.
    own: Option<(PropertyKey, OnceCell<Bytes>)>,
}

impl EventNotifications {
    /// For the topics of an event whose keys `is_wanted`; none for an event without a topic. Keys are built in `buffer`.
    fn of(event: &Event, buffer: &mut RouteKeyBuffer, mut is_wanted: impl FnMut(&[u8]) -> bool) -> Self {
        let mut entries = Vec::new();
        let Some((seq, meta)) = about(event) else { return Self::new(0, entries) };
        topics(event, |topic, below, own| {
            let key = buffer.set(meta.account.as_str(), |path| topic.write_canonical(path));
            if is_wanted(key) {
                entries.push(Entry {
                    key: buffer.to_key(),
                    below: below.cloned(),
                    own: own.cloned().map(|own| (own, OnceCell::new())),
                });
            }
        });
        Self::new(seq, entries)
    }

    fn new(seq: u64, entries: Vec<Entry>) -> Self {
        Self { seq, entries, body: OnceCell::new(), scopes: OnceCell::new() }
    }

    /// The notification of one of the entries.
    fn make(&self, entry: &Entry, event: &Event) -> Notification {
        let body = match &entry.own {
            Some((key, own)) => own.get_or_init(|| body(event, Some(key))),
            None => self.body.get_or_init(|| body(event, None)),
        };
        let meta = || about(event).map(|(_, meta)| meta).expect("an event with notifications has a subject");
        let scopes = match &entry.below {
            Some(below) => visibility::encode_below(meta(), below),
            None => self.scopes.get_or_init(|| visibility::encode(meta())).clone(),
        };
        Notification { key: entry.key.clone(), scopes, seq: self.seq, body: body.clone() }
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

/// Calls `tell` with each topic of an event. It also receives the resource in the topic where that is not the event's
/// subject, and the property in the topic where the event is about more than that.
fn topics(event: &Event, mut tell: impl FnMut(&Topic, Option<&Arc<ResourceMeta>>, Option<&PropertyKey>)) {
    match event {
        Event::ResourceChanged { change, record, .. } => {
            if let Some(topic) = changed_topic(*change, record) {
                tell(&topic, None, None);
            }
        }
        Event::PropertiesUpdated { owner, updates, .. } => {
            let topic = |key: Option<&PropertyKey>| Topic::Properties { owner: *owner, key: key.cloned() };
            if let [update] = &updates[..] {
                tell(&topic(Some(&update.key)), None, None);
                return tell(&topic(None), None, None);
            }
            let mut keys: Vec<&PropertyKey> = updates.iter().map(|update| &update.key).collect();
            keys.sort_unstable();
            keys.dedup();
            let is_one_of_many = keys.len() > 1;
            for key in keys {
                tell(&topic(Some(key)), None, is_one_of_many.then_some(key));
            }
            tell(&topic(None), None, None);
        }
        Event::LocationsUpdated { thng, .. } => tell(&Topic::Location { thng: *thng }, None, None),
        Event::ActionCreated { meta, about, action_type, collections, .. } => {
            for topic in action_topics(meta, action_type, collections) {
                let below = resource(&topic).and_then(|(_, id)| about.iter().find(|about| about.id == id));
                tell(&topic, below, None);
            }
        }
        Event::MembershipChanged { collection, .. } => {
            tell(&Topic::Members { collection: *collection }, None, None);
        }
        Event::TaskCompleted { batch, record, .. } => {
            for task in [None, Some(record.id)] {
                tell(&Topic::Tasks { batch: batch.id, task }, Some(batch), None);
            }
        }
        Event::KeysRevoked { .. }
        | Event::KeysChanged { .. }
        | Event::RightsChanged
        | Event::SessionEvicted { .. } => {}
    }
}

/// The payload about an event, or about one of the properties that it has updated.
fn body(event: &Event, own: Option<&PropertyKey>) -> Bytes {
    match event {
        Event::ResourceChanged { record, collections, .. } => notification(record, collections).into(),
        Event::PropertiesUpdated { updates, .. } => {
            let is_due = |update: &&PropertyUpdate| own.is_none_or(|key| update.key == *key);
            update_document(updates.iter().filter(is_due)).into()
        }
        Event::LocationsUpdated { updates, .. } => locations_document(updates.iter()).into(),
        Event::ActionCreated { record, .. } | Event::TaskCompleted { record, .. } => {
            notification(record, &[]).into()
        }
        Event::MembershipChanged { document, .. } => Bytes::copy_from_slice(document.as_bytes()),
        Event::KeysRevoked { .. }
        | Event::KeysChanged { .. }
        | Event::RightsChanged
        | Event::SessionEvicted { .. } => Bytes::new(),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use thng_pubsub_protocol::payload::{Fields, Json, Scopes};
    use thng_pubsub_store::PropertyOwner;

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
            created_seq: 1,
        }
    }

    fn notified(event: &Event) -> Vec<(String, String)> {
        let notifications = EventNotifications::of(event, &mut RouteKeyBuffer::default(), |_| true);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let mut notified = Vec::new();
        for entry in &notifications.entries {
            let key = entry.key.as_bytes();
            let topic = key.iter().position(|byte| *byte == b'/').expect("a topic begins with a slash");
            notified.push((text(&key[topic..]), text(&notifications.make(entry, event).body)));
        }
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
    fn a_payload_is_made_once_and_only_for_topics_that_need_it() {
        let event = updated(&[("a", "1"), ("b", "2")]);
        let notifications = EventNotifications::of(&event, &mut RouteKeyBuffer::default(), |_| true);
        let [_, b, all] = &notifications.entries[..] else { panic!("a, b and all") };
        let first = notifications.make(b, &event);
        assert_eq!(first.body, r#"[{"key":"b","value":2,"timestamp":1,"createdAt":2}]"#);
        let is_made = |entry: &Entry| entry.own.as_ref().is_some_and(|(_, body)| body.get().is_some());
        assert_eq!(notifications.entries.iter().map(is_made).collect::<Vec<_>>(), [false, true, false]);
        assert!(notifications.body.get().is_none());
        let second = notifications.make(b, &event);
        assert_eq!(
            (first.body.as_ptr(), first.scopes.as_ptr()),
            (second.body.as_ptr(), second.scopes.as_ptr())
        );
        assert_eq!(notifications.make(all, &event).scopes.as_ptr(), first.scopes.as_ptr());
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
