//! Resources as they are stored, with what belongs to them and is stored elsewhere.

use std::{cell::LazyCell, sync::Arc};

use thng_pubsub_protocol::{
    filter::FieldValue,
    id::Id,
    payload::{Fields, Json, LocationUpdate, PropertyUpdate, ResourceKind, Scopes, texts_at, values_at},
};

use super::{Cursor, Sequence, TimestampMs};

/// What every write on a resource and every subscription to it needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceMeta {
    pub id: Id,
    pub kind: ResourceKind,
    pub account: Id,
    pub scopes: Scopes,
    /// The thng that an action happened to.
    pub thng: Option<Id>,
    /// The product that a thng is one of, or that an action happened to.
    pub product: Option<Id>,
}

/// A resource as stored. Properties and locations are in the event log, collections in their own table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRecord {
    pub id: Id,
    pub account: Id,
    pub kind: ResourceKind,
    /// The project of an application, the application of a user, the batch of a task.
    pub parent: Option<Id>,
    /// What [`Fields::document`] wrote.
    pub body: Arc<str>,
    /// A JSON object that no document shows: a password's hash, a role's permissions, an action's context.
    pub private: Option<Json>,
    pub scopes: Scopes,
    pub created_at_ms: TimestampMs,
    pub updated_at_ms: TimestampMs,
    /// The sequence of its creation: its position in every list. 0 until it is stored.
    pub created_seq: Sequence,
}

impl ResourceRecord {
    /// Its fields, to look into or to change.
    pub fn fields(&self) -> Fields {
        Fields::read(self.kind, &self.body).unwrap_or_else(|_| Fields::new(self.kind))
    }

    /// Its position in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { at_ms: 0, seq: self.created_seq }
    }

    pub fn meta(&self) -> ResourceMeta {
        self.meta_with(&LazyCell::new(|| self.fields()))
    }

    /// The same, for those who read the fields anyway.
    pub fn meta_with<F: FnOnce() -> Fields>(&self, fields: &LazyCell<Fields, F>) -> ResourceMeta {
        let (thng, product) = match self.kind {
            ResourceKind::Thng => (None, fields.id("product")),
            ResourceKind::Action => (fields.id("thng"), fields.id("product")),
            _ => (None, None),
        };
        let (id, kind, account, scopes) = (self.id, self.kind, self.account, self.scopes.clone());
        ResourceMeta { id, kind, account, scopes, thng, product }
    }

    /// The name that only one of its kind can have in the account, if the kind has such a one.
    pub fn unique_name(&self) -> Option<String> {
        match self.kind {
            ResourceKind::ActionType | ResourceKind::AccessPolicy => self.fields().text("name"),
            ResourceKind::Operator => self.fields().text("email").map(|email| email.to_lowercase()),
            ResourceKind::User => {
                let email = self.fields().text("email").filter(|email| !email.is_empty())?;
                Some(format!("{}/{}", self.parent.as_ref().map_or("", Id::as_str), email.to_lowercase()))
            }
            ResourceKind::Account
            | ResourceKind::Access
            | ResourceKind::Project
            | ResourceKind::Application
            | ResourceKind::Role
            | ResourceKind::AccessToken
            | ResourceKind::Thng
            | ResourceKind::Product
            | ResourceKind::Collection
            | ResourceKind::Place
            | ResourceKind::Action
            | ResourceKind::Batch
            | ResourceKind::Task => None,
        }
    }

    /// The values at a path of a filter, such as `identifiers.serial`.
    pub fn values_at(&self, fields: &Fields, path: &str) -> Vec<FieldValue<'static>> {
        let number = |number: i64| vec![FieldValue::Number(number.to_string().into())];
        match path {
            "id" => vec![FieldValue::Text(self.id.to_string().into())],
            "createdAt" => number(self.created_at_ms),
            "updatedAt" => number(self.updated_at_ms),
            "collection" if self.kind == ResourceKind::Action => {
                self.action_collections(fields).into_iter().map(|id| FieldValue::Text(id.into())).collect()
            }
            _ => match path.strip_prefix("context.") {
                Some(key) => self.private_values("context", key),
                None => fields.values_at(path),
            },
        }
    }

    /// Whether a user is `anonymous`, `inactive` (not validated yet) or `active`.
    pub fn user_status(&self) -> String {
        self.private_text("status").unwrap_or_default()
    }

    /// When a user was validated, Unix milliseconds; nothing before.
    pub fn activated_at_ms(&self) -> Option<i64> {
        self.private_text("activatedAt")?.parse().ok()
    }

    /// A text that the resource keeps to itself.
    pub fn private_text(&self, member: &str) -> Option<String> {
        texts_at(self.private.as_ref()?.as_str(), Some(member)).into_iter().next()
    }

    pub(crate) fn private_values(&self, member: &str, key: &str) -> Vec<FieldValue<'static>> {
        let private = self.private.as_ref().map(Json::as_str).unwrap_or_default();
        values_at(private, Some(&format!("{member}.{key}")))
    }

    /// The collections that an action belongs to: its own, and those that its thng was in.
    pub(crate) fn action_collections(&self, fields: &Fields) -> Vec<String> {
        let mut collections = fields.texts_at("collection");
        if let Some(private) = &self.private {
            collections.extend(texts_at(private.as_str(), Some("collections")));
        }
        collections
    }
}

/// How much an owner's properties are, as its document shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PropertiesExtent {
    pub count: usize,
    /// Of their latest values.
    pub bytes: usize,
}

/// What happened to a resource itself, as the log keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Created,
    Updated,
    Deleted,
}

/// The thngs that join or leave a collection.
#[derive(Debug, Clone, Copy)]
pub enum Members<'a> {
    /// These.
    These(&'a [Id]),
    /// As many as this of those who are in it.
    UpTo(usize),
}

/// The details of a resource that are stored outside its document.
#[derive(Debug, Default)]
pub struct ResourceDetails {
    /// The collections that it is in, in the order of their creation.
    pub collections: Vec<Id>,
    /// Of a thng or product: the latest value of each property, by key.
    pub latest: Vec<PropertyUpdate>,
    /// Of a thng: where it is.
    pub location: Option<LocationUpdate>,
}
