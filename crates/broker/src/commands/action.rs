//! Actions: what happened to a thng, a product or a collection, once and for all.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::{ActionTypeName, Id},
    payload::{Fields, Json, Patch, ResourceKind, Scopes, UserScope, location_value, parse_locations},
    topic::{Subject, SubjectKind},
};

use super::{
    Applied, Bound, Command, CommandError, CommandResult, Event, Garbage, Owner, beyond, invalid, location,
    resource,
};
use thng_pubsub_store::{ResourceRecord, TimestampMs, WriteStore};

/// Action types that are there without having been created.
pub(crate) const BUILT_IN_TYPES: [&str; 8] = [
    "checkins",
    "commissions",
    "decommissions",
    "encodings",
    "implicitScans",
    "invalidScans",
    "scans",
    "shares",
];

/// A new action.
#[derive(Debug, Clone)]
pub(crate) struct ActionInput {
    pub id: Id,
    pub action_type: ActionTypeName,
    /// Whether the type is in the path: then a type that does not exist is not found.
    pub type_in_path: bool,
    pub subject: Option<Subject>,
    pub patch: Patch,
    /// The application user who acts.
    pub user: Option<Id>,
    /// The device that acts: an action that is about nothing is about it.
    pub device: Option<Id>,
    pub project: Option<Id>,
    pub app: Option<Id>,
    /// Who sees it besides those who see what it is about.
    pub scopes: Scopes,
    /// Of the projects of what it is about, those that may see it; `None` for all. Projects that share a product do not
    /// see the actions of each other's users.
    pub gained: Option<Vec<Id>>,
    /// A JSON object: where and how it came about.
    pub context: Json,
}

/// An action that was checked and can be written.
struct ValidatedAction {
    record: ResourceRecord,
    collections: Vec<Id>,
    /// The thng, with what it keeps to itself from now on.
    thng: Option<(ResourceRecord, ResourceRecord)>,
}

/// Creates actions, one event each. The output is the actions in the order of the inputs.
#[derive(Debug)]
pub(crate) struct CreateActions {
    pub account: Id,
    pub inputs: Vec<ActionInput>,
    /// The most notifications that all of them may cause.
    pub notifications_max: usize,
}

impl Command for CreateActions {
    type Output = Vec<Arc<ResourceRecord>>;

    fn name(&self) -> &'static str {
        "create_actions"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, inputs, notifications_max } = self;
        let mut notifications = Notifications { caused: 0, most: *notifications_max };
        let mut ready: Vec<ValidatedAction> = Vec::with_capacity(inputs.len());
        for input in inputs {
            let one = prepare(store, now_ms, *account, input, &mut notifications)?;
            // Each was checked against the state before the call.
            let changed = |ready: &ValidatedAction| ready.thng.as_ref().map(|(before, _)| before.id);
            if changed(&one).is_some() && ready.iter().any(|other| changed(other) == changed(&one)) {
                return Err(invalid("One call commissions or decommissions a thng once."));
            }
            ready.push(one);
        }
        let (mut events, mut records) = (Vec::with_capacity(ready.len()), Vec::with_capacity(ready.len()));
        for (ValidatedAction { mut record, collections, thng }, input) in ready.into_iter().zip(inputs) {
            if let Some((before, after)) = thng {
                store.put_resource(Some(&before), &after)?;
            }
            record.created_seq = store.put_resource(None, &record)?;
            let record = Arc::new(record);
            records.push(Arc::clone(&record));
            let meta = Arc::new(record.meta());
            let mut about = Vec::with_capacity(2 + collections.len());
            for id in [meta.thng, meta.product].into_iter().flatten().chain(collections.iter().copied()) {
                about.extend(store.resource_meta(id)?);
            }
            events.push(Event::ActionCreated {
                seq: record.created_seq,
                meta,
                about: about.into(),
                action_type: input.action_type.as_str().into(),
                collections: collections.into(),
                record,
            });
        }
        Ok(Applied { output: records, events, garbage: Garbage::None })
    }
}

/// Counts what the actions of one command would cause: each is reported to every collection of its thng.
struct Notifications {
    caused: usize,
    most: usize,
}

/// Topics of the root that an action is reported on.
const ROOT_TOPICS: usize = 2;

/// Bytes of a document that one notification may have; a longer one counts as several.
const NOTIFICATION_BYTES: usize = 2048;

impl Notifications {
    /// What the actions of a command may still cause.
    fn left(&self) -> usize {
        self.most.saturating_sub(self.caused)
    }

    /// Counts an action before anything is read or written for it that grows with the number.
    fn add(&mut self, fields: &Fields, collections: usize) -> Result<usize, CommandError> {
        let subjects = ["thng", "product"].iter().filter(|name| fields.get(name).is_some()).count();
        let topics = ROOT_TOPICS * (1 + subjects + collections);
        self.count(topics)?;
        Ok(topics)
    }

    /// Counts what a long document takes on each of its topics.
    fn add_document(&mut self, topics: usize, bytes: usize) -> Result<(), CommandError> {
        self.count(topics.saturating_mul(bytes / NOTIFICATION_BYTES))
    }

    fn count(&mut self, notifications: usize) -> Result<(), CommandError> {
        self.caused = self.caused.saturating_add(notifications);
        if self.caused <= self.most {
            return Ok(());
        }
        Err(beyond(
            Bound::Notifications,
            format!(
                "These actions would cause more than {} notifications, which is the most for one command \
                 (--command-notifications-max). Each is reported to every collection of its thng: send fewer actions at \
                 a time, or take the thng out of collections.",
                self.most
            ),
        ))
    }
}

fn prepare(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    account: Id,
    input: &ActionInput,
    notifications: &mut Notifications,
) -> Result<ValidatedAction, CommandError> {
    check_type(store, account, input)?;
    let mut fields = Fields::new(ResourceKind::Action);
    fields.apply(&input.patch, true)?;
    fields.set_text("type", input.action_type.as_str());
    if fields.get("timestamp").is_none() {
        fields.set_integer("timestamp", now_ms);
    }
    let mut set_id = |name: &str, id: Option<Id>| {
        if let Some(id) = id {
            fields.set_text(name, id.as_str());
        }
    };
    if let Some(subject) = input.subject {
        set_id(subject.kind.name(), Some(subject.id));
    }
    set_id("user", input.user);
    set_id("createdByThng", input.device);
    set_id("createdByProject", input.project);
    set_id("createdByApp", input.app);
    let is_about = SubjectKind::ALL.iter().any(|kind| fields.get(kind.name()).is_some());
    if let Some(device) = input.device.filter(|_| !is_about) {
        fields.set_text("thng", device.as_str());
    }
    let mut scopes = input.scopes.clone();
    let subject = read_subject(store, account, input, &mut fields, &mut scopes, notifications)?;
    if let Some(patch) = input.patch.scopes.clone() {
        patch.apply(&mut scopes)?;
    }
    place(store, account, &mut fields)?;

    let collections: Vec<&str> = subject.collections.iter().map(Id::as_str).collect();
    let collections = serde_json::to_string(&collections).expect("strings become JSON");
    let private = format!(r#"{{"context":{},"collections":{collections}}}"#, input.context.as_str());
    let body: Arc<str> = fields.document(Some(&input.id), now_ms).into();
    notifications.add_document(subject.topics, body.len())?;
    let record = ResourceRecord {
        id: input.id,
        account,
        kind: ResourceKind::Action,
        parent: None,
        body,
        private: Some(Json::parse(private)?),
        scopes,
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        created_seq: 0,
    };
    Ok(ValidatedAction { record, collections: subject.collections, thng: subject.thng })
}

fn check_type(store: &mut dyn WriteStore, account: Id, input: &ActionInput) -> Result<(), CommandError> {
    let name = input.action_type.as_str();
    if BUILT_IN_TYPES.contains(&name) || store.named(account, ResourceKind::ActionType, name)?.is_some() {
        return Ok(());
    }
    match input.type_in_path {
        true => Err(CommandError::NotFound),
        false => Err(invalid("type: there is no such action type.")),
    }
}

/// What the store knows of what an action is about.
#[derive(Default)]
struct SubjectState {
    /// How many topics it is reported on.
    topics: usize,
    collections: Vec<Id>,
    thng: Option<(ResourceRecord, ResourceRecord)>,
}

/// Looks at what the action is about: it is there, its product is the action's, and who sees it sees the action.
fn read_subject(
    store: &mut dyn WriteStore,
    account: Id,
    input: &ActionInput,
    fields: &mut Fields,
    scopes: &mut Scopes,
    notifications: &mut Notifications,
) -> Result<SubjectState, CommandError> {
    let existing = |store: &mut dyn WriteStore, kind: SubjectKind, id: Id| {
        let found = resource::existing(store, account, id, kind.resource(), kind.name());
        let is_in_path = input.subject == Some(Subject { kind, id });
        found.map_err(|error| if is_in_path { CommandError::NotFound } else { error })
    };
    let mut state = SubjectState::default();
    if let Some(id) = fields.id("thng") {
        let meta = existing(store, SubjectKind::Thng, id)?;
        join(scopes, &meta.scopes, input.gained.as_deref());
        if let (None, Some(product)) = (fields.get("product"), &meta.product) {
            fields.set_text("product", product.as_str());
        }
        // One more than may be tells that there are too many.
        let count = store.count_collections(id, notifications.left() + 1)?;
        state.topics = notifications.add(fields, count)?;
        state.collections = store.collections_of(id, count)?;
        state.thng = commission(store, account, id, input, fields)?;
    } else if let Some(id) = fields.id("product") {
        let meta = existing(store, SubjectKind::Product, id)?;
        join(scopes, &meta.scopes, input.gained.as_deref());
    }
    if fields.get("thng").is_none() {
        state.topics = notifications.add(fields, usize::from(fields.get("collection").is_some()))?;
    }
    if let Some(id) = fields.id("collection") {
        let meta = existing(store, SubjectKind::Collection, id)?;
        if state.thng.is_none() && fields.get("thng").is_none() {
            join(scopes, &meta.scopes, input.gained.as_deref());
        }
        if !state.collections.contains(&id) {
            state.collections.push(id);
        }
    }
    Ok(state)
}

/// Who sees the one sees both, within the projects that may gain by it.
fn join(scopes: &mut Scopes, other: &Scopes, gained: Option<&[Id]>) {
    for project in &other.projects {
        if !scopes.projects.contains(project) && gained.is_none_or(|gained| gained.contains(project)) {
            scopes.projects.push(*project);
        }
    }
    match (&mut scopes.users, &other.users) {
        (UserScope::All, _) => {}
        (users, UserScope::All) => *users = UserScope::All,
        (UserScope::Only(users), UserScope::Only(more)) => {
            let new: Vec<Id> = more.iter().filter(|user| !users.contains(user)).copied().collect();
            users.extend(new);
        }
    }
}

/// A thng is commissioned once, and decommissioned when it was.
fn commission(
    store: &mut dyn WriteStore,
    account: Id,
    thng: Id,
    input: &ActionInput,
    fields: &Fields,
) -> Result<Option<(ResourceRecord, ResourceRecord)>, CommandError> {
    let next = match input.action_type.as_str() {
        "commissions" => "commissioned",
        "decommissions" => "decommissioned",
        _ => return Ok(None),
    };
    let before = resource::own(store, account, ResourceKind::Thng, thng)?;
    let state = commission_state(&before);
    let fits = match next {
        "commissioned" => state.0 == "not_commissioned",
        _ => state.0 == "commissioned",
    };
    if !fits {
        return Err(CommandError::Conflict(format!("This thng cannot become {next}: it is {}.", state.0)));
    }
    let occurred_at = fields.integer("timestamp").unwrap_or_default();
    let private = format!(r#"{{"commission":{{"state":"{next}","occurredAt":{occurred_at}}}}}"#);
    let after = ResourceRecord { private: Some(Json::parse(private)?), ..before.clone() };
    Ok(Some((before, after)))
}

/// Whether a thng was commissioned, and when.
pub(crate) fn commission_state(thng: &ResourceRecord) -> (String, Option<String>) {
    let private = thng.private.as_ref().map(Json::as_str).unwrap_or_default();
    let at = |key| thng_pubsub_protocol::payload::texts_at(private, Some(key)).into_iter().next();
    (at("commission.state").unwrap_or_else(|| "not_commissioned".into()), at("commission.occurredAt"))
}

/// Puts the location of an action into the one form, and says where it comes from.
fn place(store: &mut dyn WriteStore, account: Id, fields: &mut Fields) -> Result<(), CommandError> {
    let given = fields.get("location").filter(|json| *json != "{}").map(ToOwned::to_owned);
    let Some(given) = given else {
        fields.set("location", None);
        fields.set_text("locationSource", "unknown");
        return Ok(());
    };
    let writes = parse_locations(given.as_bytes()).map_err(|error| {
        CommandError::Invalid(error.0.iter().map(|fault| format!("location: {fault}")).collect())
    })?;
    let [write] = &writes[..] else {
        return Err(invalid("location: an action has one location."));
    };
    let (point, place) = location::resolve(store, account, &write.input)?;
    fields.set("location", Some(location_value(&point, place.as_ref())));
    if place.is_some() {
        fields.set_text("locationSource", "place");
    } else if fields.get("locationSource").is_none() {
        fields.set_text("locationSource", "sensor");
    }
    Ok(())
}
