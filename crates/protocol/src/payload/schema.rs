//! The schema of every kind of resource: fields, the party that sets each, allowed values, and fields for filters.
//!
//! `tables.rs` is the only list of a document's fields. Requests are checked against it ([`Patch`](super::Patch)), and stored
//! documents follow its order ([`Fields`](super::Fields)). It marks the fields for filters, and OpenAPI is generated
//! from it.
//!
//! What the server works out when it shows a document (`id`, `createdAt`, `updatedAt`, `properties`, `location`,
//! `collections`, `scopes`, keys) is not listed here: it belongs to no field that is stored.

mod tables;

/// A kind of resource that has an id and a document of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described by its rows in `tables.rs`")]
pub enum ResourceKind {
    Account,
    Operator,
    Access,
    Project,
    Application,
    User,
    Role,
    AccessPolicy,
    AccessToken,
    Thng,
    Product,
    Collection,
    Place,
    ActionType,
    Action,
    Batch,
    Task,
}

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A string of 1 to so many characters.
    Name(usize),
    /// A string of at most so many characters.
    Text(usize),
    /// A short string; an empty one takes the field away.
    Label,
    /// An email address; an empty string says none.
    Email,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// At most 60 strings of at most 256 characters.
    Tags,
    /// An object of strings.
    Identifiers,
    /// An object of anything.
    Object,
    /// At most so many strings of at most so many characters.
    Texts(usize, usize),
    /// The id of a resource.
    Id,
    /// `true` or `false`.
    Bool,
    /// Milliseconds since the epoch.
    Time,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// A GeoJSON point.
    Point,
    /// Any JSON value.
    Any,
}

/// The party that sets a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetBy {
    /// Every client that may change the resource, at any time.
    Owner,
    /// The client that creates the resource; in updates it is ignored.
    Creator,
    /// The server. What a client sends is passed over, since clients send whole documents back.
    Server,
}

/// One field of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the document.
    pub name: &'static str,
    /// What it may hold.
    pub form: Form,
    /// The party that sets it.
    pub set_by: SetBy,
    /// Whether a creation without it is refused.
    pub required: bool,
    /// What it holds where nothing was said, as JSON; without a default it is left out.
    pub default: Option<&'static str>,
    /// Whether lists can be filtered by it, which an index answers.
    pub indexed: bool,
    /// A sentence for those who read the documentation.
    pub about: &'static str,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Account,
        Self::Operator,
        Self::Access,
        Self::Project,
        Self::Application,
        Self::User,
        Self::Role,
        Self::AccessPolicy,
        Self::AccessToken,
        Self::Thng,
        Self::Product,
        Self::Collection,
        Self::Place,
        Self::ActionType,
        Self::Action,
        Self::Batch,
        Self::Task,
    ];

    /// The fields of its document, in their order.
    #[must_use]
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::Account => tables::ACCOUNT,
            Self::Operator => tables::OPERATOR,
            Self::Access => tables::ACCESS,
            Self::Project => tables::PROJECT,
            Self::Application => tables::APPLICATION,
            Self::User => tables::USER,
            Self::Role => tables::ROLE,
            Self::AccessPolicy => tables::ACCESS_POLICY,
            Self::AccessToken => tables::ACCESS_TOKEN,
            Self::Thng => tables::THNG,
            Self::Product => tables::PRODUCT,
            Self::Collection => tables::COLLECTION,
            Self::Place => tables::PLACE,
            Self::ActionType => tables::ACTION_TYPE,
            Self::Action => tables::ACTION,
            Self::Batch => tables::BATCH,
            Self::Task => tables::TASK,
        }
    }

    /// What people call it, and its document in the OpenAPI document.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Account => "Account",
            Self::Operator => "Operator",
            Self::Access => "Access",
            Self::Project => "Project",
            Self::Application => "Application",
            Self::User => "User",
            Self::Role => "Role",
            Self::AccessPolicy => "AccessPolicy",
            Self::AccessToken => "AccessToken",
            Self::Thng => "Thng",
            Self::Product => "Product",
            Self::Collection => "Collection",
            Self::Place => "Place",
            Self::ActionType => "ActionType",
            Self::Action => "Action",
            Self::Batch => "Batch",
            Self::Task => "Task",
        }
    }

    /// Whether it has scopes of its own that narrow who sees it.
    #[must_use]
    pub const fn is_scoped(self) -> bool {
        match self {
            Self::Thng
            | Self::Product
            | Self::Collection
            | Self::Place
            | Self::ActionType
            | Self::Action
            | Self::User => true,
            Self::Account
            | Self::Operator
            | Self::Access
            | Self::Project
            | Self::Application
            | Self::Role
            | Self::AccessPolicy
            | Self::AccessToken
            | Self::Batch
            | Self::Task => false,
        }
    }

    /// Whether it has properties.
    #[must_use]
    pub const fn has_properties(self) -> bool {
        matches!(self, Self::Thng | Self::Product)
    }

    /// Whether it can be in collections.
    #[must_use]
    pub const fn has_collections(self) -> bool {
        matches!(self, Self::Thng | Self::Collection)
    }

    /// The field of this name, and its position.
    #[must_use]
    pub fn field(self, name: &str) -> Option<(usize, &'static Field)> {
        self.fields().iter().enumerate().find(|(_, field)| field.name == name)
    }

    /// The names by which lists of it can be filtered, as a sentence lists them.
    pub fn filterable(self) -> impl Iterator<Item = &'static str> {
        let indexed = self.fields().iter().filter(|field| field.indexed).map(|field| match field.form {
            Form::Identifiers => "identifiers.KEY",
            _ => field.name,
        });
        let custom = self.field("customFields").map(|_| "customFields.KEY");
        let times: &[&str] = match self {
            Self::Action => &["timestamp", "context.city", "context.countryCode", "createdAt"],
            _ => &["createdAt", "updatedAt"],
        };
        let collections = self.has_collections().then_some("collections");
        indexed.chain(collections).chain(times.iter().copied()).chain(custom)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};
    use std::collections::BTreeSet;

    use thng_pubsub_doc_tables::assert_documented;

    use super::*;

    /// What the lists of a kind are called in the documents; an operator is in no list.
    const fn list_of(kind: ResourceKind) -> Option<&'static str> {
        Some(match kind {
            ResourceKind::Account => "accounts",
            ResourceKind::Operator => return None,
            ResourceKind::Access => "accesses",
            ResourceKind::Project => "projects",
            ResourceKind::Application => "applications",
            ResourceKind::User => "users",
            ResourceKind::Role => "roles",
            ResourceKind::AccessPolicy => "access policies",
            ResourceKind::AccessToken => "access tokens",
            ResourceKind::Thng => "thngs",
            ResourceKind::Product => "products",
            ResourceKind::Collection => "collections",
            ResourceKind::Place => "places",
            ResourceKind::ActionType => "action types",
            ResourceKind::Action => "actions",
            ResourceKind::Batch => "batches",
            ResourceKind::Task => "tasks",
        })
    }

    #[test]
    fn every_filter_field_is_documented() {
        let rows = ResourceKind::ALL.iter().filter_map(|kind| {
            let names: Vec<&str> = kind.filterable().collect();
            Some([list_of(*kind)?.into(), format!("`{}`", names.join("`, `"))])
        });
        assert_documented("docs/rest.md", "### Fields", &["list", "fields"], rows);
    }

    #[test]
    fn no_document_has_a_field_twice() {
        for kind in ResourceKind::ALL {
            let names: BTreeSet<_> = kind.fields().iter().map(|field| field.name).collect();
            assert_eq!(names.len(), kind.fields().len(), "{kind:?}");
        }
    }

    /// An index finds texts by their letters. A number has many spellings: a field that held one would need a key for
    /// its value there.
    #[test]
    fn indexed_fields_hold_texts() {
        for field in ResourceKind::ALL.iter().flat_map(|kind| kind.fields()).filter(|field| field.indexed) {
            let holds_texts = match field.form {
                Form::Name(_)
                | Form::Text(_)
                | Form::Label
                | Form::Email
                | Form::OneOf(_)
                | Form::Tags
                | Form::Identifiers
                | Form::Texts(..)
                | Form::Id => true,
                Form::Object
                | Form::Bool
                | Form::Time
                | Form::Number
                | Form::Integer
                | Form::Point
                | Form::Any => false,
            };
            assert!(holds_texts, "{}", field.name);
        }
    }

    #[test]
    fn every_default_is_json() {
        for default in
            ResourceKind::ALL.iter().flat_map(|kind| kind.fields()).filter_map(|field| field.default)
        {
            assert!(serde_json::from_str::<serde_json::Value>(default).is_ok(), "{default}");
        }
    }

    #[test]
    fn no_field_has_a_name_that_clients_take_for_something_else() {
        for field in ResourceKind::ALL.iter().flat_map(|kind| kind.fields()) {
            assert!(
                !["body", "errors", "message", "id", "createdAt", "updatedAt", "scopes"]
                    .contains(&field.name)
            );
        }
    }
}
