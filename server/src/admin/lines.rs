//! The lines of an export: one JSON object each, with one member that names what it is.
//!
//! The first is `header`, the last `trailer` with counts, which shows an export that was truncated. Between them is a
//! line for each record (`crates/store/src/export.rs`), in the order of its kinds. Documents and values are strings that hold their
//! JSON: they come back letter by letter. docs/operations.md describes the form for those who read it elsewhere.

use std::borrow::Cow;

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};
use thng_pubsub_protocol::{
    id::Id,
    payload::{Json, ResourceKind, Scopes, UserScope},
};

use crate::store::{
    Actor, KeyHash, KeyRecord,
    export::{EventKind, ExportRecord, ExportedEvent, ExportedResource, ExportedSeries, SeriesKind},
};

/// What the header calls the form.
pub(super) const FORMAT: &str = "thng-pubsub-export";

/// The number of the form.
pub(super) const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    /// Of the program that wrote it.
    pub(super) program: String,
    /// Of the database that it is from.
    pub(super) layout: i64,
    /// Unix milliseconds.
    pub(super) created_at: i64,
    pub(super) next_sequence: u64,
    /// What `keys.secret` holds, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
}

/// The last line: how many of each kind there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Trailer {
    pub(super) notes: u64,
    pub(super) accounts: u64,
    pub(super) keys: u64,
    pub(super) series: u64,
    pub(super) events: u64,
    pub(super) resources: u64,
    pub(super) members: u64,
    pub(super) orphans: u64,
}

impl Trailer {
    /// Counts one more.
    pub(super) fn count(&mut self, record: &ExportRecord) {
        let counter = match record {
            ExportRecord::Meta { .. } => &mut self.notes,
            ExportRecord::Account { .. } => &mut self.accounts,
            ExportRecord::Key(_) => &mut self.keys,
            ExportRecord::Series(_) => &mut self.series,
            ExportRecord::Event(_) => &mut self.events,
            ExportRecord::Resource(_) => &mut self.resources,
            ExportRecord::Member { .. } => &mut self.members,
            ExportRecord::Orphan { .. } => &mut self.orphans,
        };
        *counter += 1;
    }
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(super) enum Line<'l> {
    Header(Header),
    Note {
        name: Cow<'l, str>,
        text: Cow<'l, str>,
    },
    Account {
        id: Cow<'l, str>,
        created_at: i64,
    },
    Key {
        hash: Cow<'l, str>,
        account: Cow<'l, str>,
        actor: Cow<'l, str>,
        id: Cow<'l, str>,
        nonce: Option<String>,
        created_at: i64,
    },
    Series {
        number: i64,
        account: Cow<'l, str>,
        owner_kind: Cow<'l, str>,
        owner: Cow<'l, str>,
        kind: Cow<'l, str>,
        key: Cow<'l, str>,
    },
    Event {
        sequence: u64,
        series: i64,
        kind: Cow<'l, str>,
        part: i64,
        timestamp: i64,
        arrived_at: i64,
        body: Cow<'l, str>,
    },
    Resource {
        place: u64,
        id: Cow<'l, str>,
        account: Cow<'l, str>,
        kind: Cow<'l, str>,
        parent: Option<String>,
        document: u64,
        private: Option<String>,
        projects: Vec<String>,
        /// `null` for all of the projects.
        users: Option<Vec<String>>,
        created_at: i64,
        updated_at: i64,
    },
    Member {
        collection: u64,
        kind: Cow<'l, str>,
        member: u64,
    },
    Orphan {
        place: u64,
        id: Cow<'l, str>,
        kind: Cow<'l, str>,
    },
    Trailer(Trailer),
}

impl<'l> Line<'l> {
    /// The line of a record.
    pub(super) fn of(record: &'l ExportRecord) -> Self {
        match record {
            ExportRecord::Meta { name, text } => Self::Note { name: name.into(), text: text.into() },
            ExportRecord::Account { id, created_at_ms } => {
                Self::Account { id: id.as_str().into(), created_at: *created_at_ms }
            }
            ExportRecord::Key(KeyRecord { hash, account, actor, nonce, created_at_ms }) => Self::Key {
                hash: hash.to_hex().into(),
                account: account.as_str().into(),
                actor: actor.kind().into(),
                id: actor.id().to_string().into(),
                nonce: nonce.as_ref().map(|nonce| hex(nonce)),
                created_at: *created_at_ms,
            },
            ExportRecord::Series(ExportedSeries { number, account, owner_kind, owner, kind, key }) => {
                Self::Series {
                    number: *number,
                    account: account.as_str().into(),
                    owner_kind: owner_kind.noun().into(),
                    owner: owner.as_str().into(),
                    kind: series_name(*kind).into(),
                    key: key.into(),
                }
            }
            ExportRecord::Event(ExportedEvent {
                seq,
                series,
                kind,
                part,
                timestamp_ms,
                arrived_at_ms,
                body,
            }) => Self::Event {
                sequence: *seq,
                series: *series,
                kind: event_name(*kind).into(),
                part: *part,
                timestamp: *timestamp_ms,
                arrived_at: *arrived_at_ms,
                body: body.into(),
            },
            ExportRecord::Resource(resource) => Self::Resource {
                place: resource.created_seq,
                id: resource.id.as_str().into(),
                account: resource.account.as_str().into(),
                kind: resource.kind.noun().into(),
                parent: resource.parent.as_ref().map(Id::to_string),
                document: resource.document,
                private: resource.private.as_ref().map(|private| private.as_str().to_owned()),
                projects: resource.scopes.projects.iter().map(Id::to_string).collect(),
                users: match &resource.scopes.users {
                    UserScope::All => None,
                    UserScope::Only(users) => Some(users.iter().map(Id::to_string).collect()),
                },
                created_at: resource.created_at_ms,
                updated_at: resource.updated_at_ms,
            },
            ExportRecord::Member { collection, kind, member } => {
                Self::Member { collection: *collection, kind: kind.noun().into(), member: *member }
            }
            ExportRecord::Orphan { created_seq, id, kind } => {
                Self::Orphan { place: *created_seq, id: id.as_str().into(), kind: kind.noun().into() }
            }
        }
    }

    /// What the line says.
    ///
    /// # Errors
    /// A sentence about the member that is wrong.
    pub(super) fn read(self) -> anyhow::Result<ParsedLine> {
        Ok(ParsedLine::Record(match self {
            Self::Header(header) => return Ok(ParsedLine::Header(header)),
            Self::Trailer(trailer) => return Ok(ParsedLine::Trailer(trailer)),
            Self::Note { name, text } => ExportRecord::Meta { name: name.into(), text: text.into() },
            Self::Account { id, created_at } => {
                ExportRecord::Account { id: read_id("id", &id)?, created_at_ms: created_at }
            }
            Self::Key { hash, account, actor, id, nonce, created_at } => ExportRecord::Key(KeyRecord {
                hash: KeyHash(unhex(&hash).context("hash: it has 64 hexadecimal digits")?),
                account: read_id("account", &account)?,
                actor: read_actor(&actor, read_id("id", &id)?)?,
                nonce: match nonce {
                    Some(nonce) => Some(unhex(&nonce).context("nonce: it has 32 hexadecimal digits")?),
                    None => None,
                },
                created_at_ms: created_at,
            }),
            Self::Series { number, account, owner_kind, owner, kind, key } => {
                ExportRecord::Series(ExportedSeries {
                    number,
                    account: read_id("account", &account)?,
                    owner_kind: read_kind("ownerKind", &owner_kind)?,
                    owner: read_id("owner", &owner)?,
                    kind: named(SeriesKind::ALL, series_name, &kind)?,
                    key: key.into(),
                })
            }
            Self::Event { sequence, series, kind, part, timestamp, arrived_at, body } => {
                ExportRecord::Event(ExportedEvent {
                    seq: sequence,
                    series,
                    kind: named(EventKind::ALL, event_name, &kind)?,
                    part,
                    timestamp_ms: timestamp,
                    arrived_at_ms: arrived_at,
                    body: body.into(),
                })
            }
            Self::Resource {
                place,
                id,
                account,
                kind,
                parent,
                document,
                private,
                projects,
                users,
                created_at,
                updated_at,
            } => {
                let private = private.map(Json::parse).transpose();
                let users = users.map(|users| read_ids("users", &users)).transpose()?;
                ExportRecord::Resource(ExportedResource {
                    created_seq: place,
                    id: read_id("id", &id)?,
                    account: read_id("account", &account)?,
                    kind: read_kind("kind", &kind)?,
                    parent: parent.map(|parent| read_id("parent", &parent)).transpose()?,
                    document,
                    private: private.map_err(|_| anyhow!("private: it is no JSON"))?,
                    scopes: Scopes {
                        projects: read_ids("projects", &projects)?,
                        users: users.map_or(UserScope::All, UserScope::Only),
                    },
                    created_at_ms: created_at,
                    updated_at_ms: updated_at,
                })
            }
            Self::Member { collection, kind, member } => {
                ExportRecord::Member { collection, kind: read_kind("kind", &kind)?, member }
            }
            Self::Orphan { place, id, kind } => ExportRecord::Orphan {
                created_seq: place,
                id: read_id("id", &id)?,
                kind: read_kind("kind", &kind)?,
            },
        }))
    }
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ParsedLine {
    Header(Header),
    Record(ExportRecord),
    Trailer(Trailer),
}

fn series_name(kind: SeriesKind) -> &'static str {
    match kind {
        SeriesKind::Property => "property",
        SeriesKind::Changes => "changes",
        SeriesKind::Location => "location",
        SeriesKind::Actions => "actions",
        SeriesKind::Membership => "membership",
    }
}

fn event_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Value => "value",
        EventKind::Created => "created",
        EventKind::Updated => "updated",
        EventKind::Deleted => "deleted",
        EventKind::Members => "members",
    }
}

fn named<T: Copy, const COUNT: usize>(
    all: [T; COUNT],
    name: fn(T) -> &'static str,
    text: &str,
) -> anyhow::Result<T> {
    let found = all.into_iter().find(|one| name(*one) == text);
    found.with_context(|| format!("kind: it is one of {}", all.map(name).join(", ")))
}

fn read_kind(member: &str, text: &str) -> anyhow::Result<ResourceKind> {
    let found = ResourceKind::ALL.into_iter().find(|kind| kind.noun() == text);
    found.with_context(|| format!("{member}: there is no such kind of resource"))
}

fn read_actor(text: &str, id: Id) -> anyhow::Result<Actor> {
    let actors = [
        Actor::Operator(id),
        Actor::Application(id),
        Actor::TrustedApplication(id),
        Actor::User(id),
        Actor::Device(id),
        Actor::AccessToken(id),
    ];
    let found = actors.into_iter().find(|actor| actor.kind() == text);
    found.with_context(|| format!("actor: it is one of {}", actors.map(Actor::kind).join(", ")))
}

fn read_id(member: &str, text: &str) -> anyhow::Result<Id> {
    Id::parse(text).map_err(|_| anyhow!("{member}: it is no id"))
}

fn read_ids(member: &str, texts: &[String]) -> anyhow::Result<Vec<Id>> {
    texts.iter().map(|text| read_id(member, text)).collect()
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
///
/// # Errors
/// They are no such digits, or not as many.
pub(super) fn unhex<const BYTES: usize>(digits: &str) -> anyhow::Result<[u8; BYTES]> {
    if digits.len() != 2 * BYTES || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        bail!("it has other letters, or not as many");
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).context("it is no text")?;
        *byte = u8::from_str_radix(pair, 16)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_digits_and_nothing_else_does() {
        let bytes: [u8; 4] = [0, 0x0a, 0xf0, 0xff];
        assert_eq!(unhex::<4>(&hex(&bytes)).expect("digits"), bytes);
        for none in ["", "000af0f", "000af0fff", "000af0fg", "000af0+f", "äääää"] {
            assert!(unhex::<4>(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_line_is_one_object_with_one_member_and_round_trips() {
        let id = Id::parse(&"a".repeat(24)).expect("an id");
        let records = [
            ExportRecord::Meta { name: "n".into(), text: "line\nbreak".into() },
            ExportRecord::Account { id, created_at_ms: 1 },
            ExportRecord::Key(KeyRecord {
                hash: KeyHash([0xa5; 32]),
                account: id,
                actor: Actor::TrustedApplication(id),
                nonce: Some([7; 16]),
                created_at_ms: 2,
            }),
            ExportRecord::Series(ExportedSeries {
                number: 1,
                account: id,
                owner_kind: ResourceKind::Thng,
                owner: id,
                kind: SeriesKind::Property,
                key: "temperature".into(),
            }),
            ExportRecord::Event(ExportedEvent {
                seq: 9,
                series: 1,
                kind: EventKind::Value,
                part: 0,
                timestamp_ms: -5,
                arrived_at_ms: 6,
                body: "{\n \"a\": 1e2, \"b\": \"\u{2028}\"}".into(),
            }),
            ExportRecord::Resource(ExportedResource {
                created_seq: 1,
                id,
                account: id,
                kind: ResourceKind::ActionType,
                parent: Some(id),
                document: 2,
                private: Json::parse("{ \"x\":1}".into()).ok(),
                scopes: Scopes { projects: vec![id], users: UserScope::All },
                created_at_ms: 3,
                updated_at_ms: 4,
            }),
            ExportRecord::Member { collection: 1, kind: ResourceKind::Thng, member: 2 },
            ExportRecord::Orphan { created_seq: 1, id, kind: ResourceKind::Project },
        ];
        for record in records {
            let text = serde_json::to_string(&Line::of(&record)).expect("a line");
            assert!(!text.contains('\n'), "{text}");
            let line: Line<'_> = serde_json::from_str(&text).expect("a line");
            assert_eq!(line.read().expect("a record"), ParsedLine::Record(record), "{text}");
        }
    }
}
