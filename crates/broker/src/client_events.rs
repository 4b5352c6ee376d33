//! Records what happens to clients, and lists it for those whose clients they are.
//!
//! Recording never waits: an event goes into a bounded buffer, and is dropped and counted where that is full. A thread
//! stores what is in the buffer once a second. Equal events of a minute are one with a count.

mod buffer;
mod recorder;

use std::{net::IpAddr, path::Path, sync::Arc};

use serde::Serialize;
use thng_pubsub_protocol::{
    filter::{FieldValues, Filter},
    id::Id,
    payload::{Members, ResourceKind},
};

use crate::{
    auth::Principal,
    clock::Clock,
    error::{BrokerError, LogFailure as _},
    identity::kind_word,
    metrics::Metrics,
    polls, reasons,
    request::RequestContext,
    resources::{LOOKED_AT_MAX, Resources},
};
use recorder::Recorder;
pub use thng_pubsub_store::client_events::{EventOwner, EventScope, JournalLimits};
use thng_pubsub_store::{
    Actor, ClientEventFile, Page, PageRequest, ReadStore,
    client_events::{EventRequest, StoredClientEvent},
};

/// Characters of a sentence that are stored.
const SENTENCE_CHARS: usize = 300;

/// What happened to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    Connected,
    Refused,
    Disconnected,
    TakenOver,
    Throttled,
    Dropped,
    Revoked,
}

impl EventKind {
    /// Whether it happens to each healthy client: what is rare is worth more where there is little memory.
    fn is_routine(self) -> bool {
        match self {
            Self::Connected | Self::Disconnected => true,
            Self::Refused | Self::TakenOver | Self::Throttled | Self::Dropped | Self::Revoked => false,
        }
    }
}

/// What the client did, or what the server did for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Activity {
    Connect,
    Upgrade,
    Request,
    Subscribe,
    Publish,
    Will,
    Deliver,
    Session,
    /// The API key itself.
    Key,
}

/// One event, before it is recorded. Texts of clients are without keys, tokens and options already.
#[derive(Debug, Clone, Copy)]
pub struct ClientEvent<'e> {
    pub kind: EventKind,
    pub activity: Activity,
    /// A word of [`reasons::CURES`]; none for what needs no reason.
    pub reason: Option<&'static str>,
    pub sentence: Option<&'e str>,
    pub protocol: &'static str,
    pub address: Option<IpAddr>,
    pub client_id: Option<&'e str>,
    pub topic: Option<&'e str>,
    pub owner: EventOwner,
    /// How often it happened, 1 or more.
    pub count: u64,
}

impl ClientEvent<'_> {
    /// An event that happened once, of a client of which no more is known.
    pub fn new(kind: EventKind, activity: Activity, protocol: &'static str, address: Option<IpAddr>) -> Self {
        let (reason, sentence, client_id, topic) = (None, None, None, None);
        let owner = EventOwner::default();
        Self { kind, activity, reason, sentence, protocol, address, client_id, topic, owner, count: 1 }
    }
}

/// The settings of the journal.
#[derive(Debug, Clone, Copy)]
pub struct JournalSettings {
    /// `None` where nothing is recorded.
    pub limits: Option<JournalLimits>,
    /// Events that wait to be stored.
    pub buffer_max: usize,
    /// The account that sees what belongs to no account; without it the oldest.
    pub system_account: Option<Id>,
}

/// Whose key it was, for an event.
pub fn owner_of(principal: &Principal) -> EventOwner {
    EventOwner { account: Some(principal.account), key: Some(principal.key), actor: Some(principal.actor) }
}

/// The journal of client events.
#[derive(Debug)]
pub struct ClientEvents {
    store: Arc<dyn ReadStore>,
    system_account: Option<Id>,
    recorder: Option<Recorder>,
}

impl ClientEvents {
    /// Opens the journal in the data folder. A server whose journal cannot be opened serves without one.
    pub fn open(
        directory: &Path,
        settings: JournalSettings,
        store: Arc<dyn ReadStore>,
        clock: Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let JournalSettings { limits, buffer_max, system_account } = settings;
        let opened = limits.map(|limits| {
            let file = ClientEventFile::open(directory, limits).map_err(std::io::Error::other)?;
            Recorder::start(file, buffer_max, Arc::clone(&store), clock, Arc::clone(metrics))
        });
        let recorder = opened.and_then(|opened| {
            opened
                .inspect_err(|error| tracing::error!(%error, "no client events are recorded: the journal cannot be opened"))
                .ok()
        });
        Self { store, system_account, recorder }
    }

    /// A journal that records nothing.
    pub fn off(store: Arc<dyn ReadStore>) -> Self {
        Self { store, system_account: None, recorder: None }
    }

    /// Records an event. Never waits for the disk.
    pub fn record(&self, event: &ClientEvent<'_>) {
        if let Some(recorder) = &self.recorder {
            recorder.record(event);
        }
    }

    /// Remembers the owner of keys that were revoked, so that clients that still use them are attributed to it.
    pub(crate) fn keys_revoked(&self, owners: impl Iterator<Item = EventOwner>) {
        if let Some(recorder) = &self.recorder {
            recorder.keys_revoked(owners);
        }
    }

    /// The events that a request reaches: all of the account with a key that may do everything in it, else those of the
    /// key's own actor. The system account also sees what belongs to no account.
    ///
    /// # Errors
    /// [`BrokerError::Forbidden`], [`BrokerError::Unavailable`].
    pub fn scope(&self, request: &RequestContext) -> Result<EventScope, BrokerError> {
        request.permit()?;
        let principal = request.principal();
        Ok(match principal.is_admin() {
            true if self.is_system(principal.account)? => {
                EventScope::AccountAndUnattributed(principal.account)
            }
            true => EventScope::Account(principal.account),
            false => EventScope::Actor(principal.account, principal.actor),
        })
    }

    /// The events of the key of a thng.
    ///
    /// # Errors
    /// [`BrokerError::Forbidden`], [`BrokerError::NotFound`], [`BrokerError::Unavailable`].
    pub fn scope_of_thng(&self, request: &RequestContext, thng: Id) -> Result<EventScope, BrokerError> {
        request.permit()?;
        let meta = self.store.resource_meta(thng).log_failure()?;
        let is_there = meta.is_some_and(|meta| meta.kind == ResourceKind::Thng && request.can_see(&meta));
        match is_there {
            true => Ok(EventScope::Actor(request.principal().account, Actor::Device(thng))),
            false => Err(BrokerError::NotFound),
        }
    }

    /// The next page of a scope. The call waits for its turn among those that scan lists.
    ///
    /// # Errors
    /// [`BrokerError::TooManyScans`], [`BrokerError::Unavailable`].
    pub async fn page(
        &self,
        resources: &Resources,
        call: &RequestContext,
        scope: EventScope,
        page: PageRequest,
        filter: Option<&Filter>,
    ) -> Result<Page<String>, BrokerError> {
        let Some(recorder) = &self.recorder else { return Ok(Page { items: Vec::new(), next: None }) };
        let request = EventRequest { scope, page, looked_at_max: LOOKED_AT_MAX };
        let mut items = Vec::new();
        let mut admits = |event: &StoredClientEvent| {
            let document = document(event);
            let is_shown = filter.is_none_or(|filter| admits(filter, &document));
            if is_shown {
                items.push(document);
            }
            is_shown
        };
        let _turn = resources.scans.turn(call).await?;
        let found = polls::blocking(|| recorder.file().list(&request, &mut admits)).log_failure()?;
        Ok(Page { items, next: found.next })
    }

    fn is_system(&self, account: Id) -> Result<bool, BrokerError> {
        Ok(match self.system_account {
            Some(system) => system == account,
            None => self.store.accounts(1).log_failure()?.first() == Some(&account),
        })
    }
}

fn admits(filter: &Filter, document: &str) -> bool {
    let members = Members::of(document);
    filter.holds(&mut |term| {
        let values = members.as_ref().map(|members| members.values_at(&term.field)).unwrap_or_default();
        term.admits_field(&FieldValues::from(values))
    })
}

/// The document of an event for clients.
fn document(event: &StoredClientEvent) -> String {
    let StoredClientEvent { seq, handle, actor, first_at_ms, last_at_ms, count, document } = event;
    let mut text = format!(r#"{{"id":"{seq}","at":{first_at_ms},"lastAt":{last_at_ms},"count":{count},"#);
    if let Some(handle) = handle {
        text.push_str(&format!(r#""key":{{"handle":"{handle}""#));
        if let Some(actor) = actor {
            text.push_str(&format!(r#","kind":"{}","id":"{}""#, kind_word(*actor), actor.id()));
        }
        text.push_str("},");
    }
    let members = document.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    text.push_str(members);
    let reason = serde_json::from_str::<StoredReason<'_>>(document).ok().and_then(|stored| stored.reason);
    if let Some(cure) = reason.and_then(reasons::cure) {
        text.push_str(&format!(r#","cure":"{cure}""#));
    }
    text.push('}');
    text
}

#[derive(serde::Deserialize)]
struct StoredReason<'d> {
    #[serde(borrow)]
    reason: Option<&'d str>,
}

/// What is stored of an event besides its owner, times and count.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventDocument<'e> {
    event: EventKind,
    what: Activity,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence: Option<&'e str>,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'e str>,
}

impl ClientEvent<'_> {
    fn document(&self) -> String {
        let sentence = self.sentence.map(|sentence| {
            let end = sentence.char_indices().nth(SENTENCE_CHARS).map_or(sentence.len(), |(at, _)| at);
            &sentence[..end]
        });
        let document = EventDocument {
            event: self.kind,
            what: self.activity,
            reason: self.reason,
            sentence,
            protocol: self.protocol,
            client_id: self.client_id,
            address: self.address.map(|address| address.to_string()),
            topic: self.topic,
        };
        serde_json::to_string(&document).expect("texts become JSON")
    }
}
