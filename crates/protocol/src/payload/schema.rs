//! The schema of every kind of resource: fields, the party that sets each, allowed values, and fields for filters.
//!
//! This is the only list of a document's fields. Requests are checked against it ([`Patch`](super::Patch)), and stored
//! documents follow its order ([`Fields`](super::Fields)). It marks the fields for filters, and OpenAPI is generated
//! from it.
//!
//! What the server works out when it shows a document (`id`, `createdAt`, `updatedAt`, `properties`, `location`,
//! `collections`, `scopes`, keys) is not listed here: it belongs to no field that is stored.

use crate::limits;

/// A kind of resource that has an id and a document of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described by its rows below")]
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

const fn field(name: &'static str, form: Form, about: &'static str) -> Field {
    Field { name, form, set_by: SetBy::Owner, required: false, default: None, indexed: false, about }
}

impl Field {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn indexed(self) -> Self {
        Self { indexed: true, ..self }
    }

    const fn default(self, json: &'static str) -> Self {
        Self { default: Some(json), ..self }
    }

    const fn by_creator(self) -> Self {
        Self { set_by: SetBy::Creator, ..self }
    }

    const fn by_server(self) -> Self {
        Self { set_by: SetBy::Server, ..self }
    }
}

const NAME: Field =
    field("name", Form::Name(limits::NAME_CHARS_MAX), "What people call it.").required().indexed();
const DESCRIPTION: Field = field("description", Form::Text(limits::DESCRIPTION_CHARS_MAX), "Free text.");
const LABEL: Field = field("type", Form::Label, "Free text; an empty string removes it.");
const TAGS: Field = field("tags", Form::Tags, "Words to find it by; replaced whole.").default("[]").indexed();
const CUSTOM_FIELDS: Field =
    field("customFields", Form::Object, "Anything of your own; replaced whole.").default("{}");
const IDENTIFIERS: Field =
    field("identifiers", Form::Identifiers, "What other systems call it, such as `gs1:21`; replaced whole.")
        .default("{}")
        .indexed();

const ACCOUNT: &[Field] = &[
    field("name", Form::Name(30), "What people call it.").required().indexed(),
    DESCRIPTION,
    TAGS,
    CUSTOM_FIELDS,
];

const OPERATOR: &[Field] = &[
    field("email", Form::Email, "The address that the operator is known by.")
        .required()
        .by_creator()
        .indexed(),
    field("firstName", Form::Text(limits::NAME_CHARS_MAX), "Given name.").indexed(),
    field("lastName", Form::Text(limits::NAME_CHARS_MAX), "Family name.").indexed(),
    CUSTOM_FIELDS,
];

const ACCESS: &[Field] = &[
    field("account", Form::Id, "The account that is accessed.").by_server(),
    field("operator", Form::Id, "The operator that has this access.").by_server().indexed(),
    field("email", Form::Email, "The operator's address.").required().by_creator().indexed(),
    field("role", Form::Text(64), "The operator's role: `admin`, `none`, or the id of a role.").indexed(),
    TAGS,
    CUSTOM_FIELDS,
    IDENTIFIERS,
    field(
        "policies",
        Form::Texts(limits::POLICIES_MAX, 256),
        "Ids or names of access policies; with any, they count and not the role.",
    )
    .default("[]")
    .indexed(),
    field(
        "conditions",
        Form::Texts(limits::POLICIES_MAX, 256),
        "`kind:id`: only these resources of that kind.",
    )
    .default("[]")
    .indexed(),
];

const PROJECT: &[Field] = &[
    NAME,
    DESCRIPTION,
    field("startsAt", Form::Time, "When it begins."),
    field("endsAt", Form::Time, "When it ends."),
    field("imageUrl", Form::Text(2048), "A picture of it."),
    TAGS,
    CUSTOM_FIELDS,
    IDENTIFIERS,
    field("shortDomains", Form::Texts(100, 256), "Its short domains."),
];

const APPLICATION: &[Field] = &[
    NAME,
    DESCRIPTION,
    field("project", Form::Id, "The project that it belongs to.").by_server().indexed(),
    field("socialNetworks", Form::Object, "Settings of social networks; may be empty.").required(),
    field("defaultRole", Form::Text(64), "The role of its users.").default("\"base_app_user\""),
    field("defaultUrl", Form::Text(2048), "Where it is found."),
    TAGS,
    CUSTOM_FIELDS,
    IDENTIFIERS,
];

const USER: &[Field] = &[
    field("email", Form::Email, "The address to log in with.").by_creator().indexed(),
    field("firstName", Form::Text(limits::NAME_CHARS_MAX), "Given name.").indexed(),
    field("lastName", Form::Text(limits::NAME_CHARS_MAX), "Family name.").indexed(),
    field("birthday", Form::Any, "As the application likes it."),
    field("gender", Form::Text(64), "As the user likes it."),
    field("city", Form::Text(limits::NAME_CHARS_MAX), "Where the user lives."),
    field("country", Form::Text(limits::NAME_CHARS_MAX), "Where the user lives."),
    field("timezone", Form::Text(64), "Such as `Europe/Zurich`."),
    field("locale", Form::Text(64), "Such as `de-CH`."),
    field("photo", Form::Text(2048), "A picture."),
    TAGS,
    CUSTOM_FIELDS,
    field("project", Form::Id, "The project of the application.").by_server(),
    field("app", Form::Id, "The application that the user belongs to.").by_server().indexed(),
];

const ROLE: &[Field] = &[
    NAME,
    DESCRIPTION,
    field(
        "type",
        Form::OneOf(&["userInApp"]),
        "`userInApp` for a role of application users; left out for operators.",
    )
    .by_creator(),
    field("version", Form::Integer, "2 for roles of application users.").by_creator(),
    CUSTOM_FIELDS,
];

const ACCESS_POLICY: &[Field] = &[
    NAME,
    DESCRIPTION,
    field(
        "permissions",
        Form::Texts(limits::PERMISSIONS_MAX, 256),
        "`resource:operation,…`, such as `thngs:read,list`.",
    )
    .required(),
    field(
        "uiPermissions",
        Form::Texts(limits::PERMISSIONS_MAX, 256),
        "What a user interface may show; kept as it is.",
    ),
    field("homepage", Form::Text(2048), "Where a user interface begins; kept as it is."),
    TAGS,
    CUSTOM_FIELDS,
    IDENTIFIERS,
];

const ACCESS_TOKEN: &[Field] = &[
    NAME,
    DESCRIPTION,
    field(
        "policies",
        Form::Texts(limits::POLICIES_MAX, 256),
        "Ids or names of the access policies that it has.",
    )
    .required()
    .indexed(),
    field(
        "conditions",
        Form::Texts(limits::POLICIES_MAX, 256),
        "`kind:id`: only these resources of that kind.",
    )
    .default("[]")
    .indexed(),
    TAGS,
    CUSTOM_FIELDS,
    IDENTIFIERS,
];

const THNG: &[Field] = &[
    NAME,
    DESCRIPTION,
    LABEL,
    field("product", Form::Id, "The product that it is one of.").indexed(),
    TAGS,
    CUSTOM_FIELDS,
    IDENTIFIERS,
    field("batch", Form::Id, "The batch that it was made in.").by_server().indexed(),
    field("createdByTask", Form::Id, "The task that made it.").by_server().indexed(),
];

const PRODUCT: &[Field] = &[
    NAME,
    field("fn", Form::Text(limits::NAME_CHARS_MAX), "The name again.").by_server(),
    DESCRIPTION,
    LABEL,
    field("brand", Form::Text(limits::NAME_CHARS_MAX), "The brand or manufacturer."),
    field("categories", Form::Texts(100, 256), "What it belongs to."),
    field("photos", Form::Texts(100, 2048), "Pictures."),
    field("url", Form::Text(2048), "Its page."),
    TAGS,
    CUSTOM_FIELDS,
    IDENTIFIERS,
];

const COLLECTION: &[Field] = &[NAME, DESCRIPTION, LABEL, TAGS, CUSTOM_FIELDS, IDENTIFIERS];

const PLACE: &[Field] = &[
    field("name", Form::Name(limits::NAME_CHARS_MAX), "What people call it.").indexed(),
    DESCRIPTION,
    LABEL,
    field("icon", Form::Text(2048), "A picture for maps."),
    field(
        "position",
        Form::Point,
        "Where it is: `{\"type\":\"Point\",\"coordinates\":[longitude,latitude]}`.",
    ),
    field("latitude", Form::Number, "Degrees, -90 to 90; goes with `position`."),
    field("longitude", Form::Number, "Degrees, -180 to 180; goes with `position`."),
    field("address", Form::Object, "`street`, `city`, `countryCode`, …"),
    TAGS,
    CUSTOM_FIELDS,
    IDENTIFIERS,
];

const ACTION_TYPE: &[Field] = &[
    field("name", Form::Name(limits::ACTION_TYPE_BYTES_MAX), "Starts with `_`.")
        .required()
        .by_creator()
        .indexed(),
    DESCRIPTION,
    TAGS,
    CUSTOM_FIELDS,
];

const ACTION: &[Field] = &[
    field("type", Form::Name(limits::ACTION_TYPE_BYTES_MAX), "The name of its action type.")
        .by_creator()
        .indexed(),
    field("timestamp", Form::Time, "When it happened; the moment of arrival where nothing is said.")
        .by_creator(),
    field("user", Form::Id, "The application user who did it.").by_server().indexed(),
    field("createdByThng", Form::Id, "The device that did it.").by_server().indexed(),
    field("createdByProject", Form::Id, "The project of the key.").by_server().indexed(),
    field("createdByApp", Form::Id, "The application of the key.").by_server().indexed(),
    field("thng", Form::Id, "The thng that it happened to.").by_creator().indexed(),
    field(
        "product",
        Form::Id,
        "The product that it happened to; a thng's own product where nothing is said.",
    )
    .by_creator()
    .indexed(),
    field("collection", Form::Id, "The collection that it happened to.").by_creator().indexed(),
    field("location", Form::Any, "Where: `position`, `latitude` and `longitude`, or `place`.").by_creator(),
    field(
        "locationSource",
        Form::OneOf(&["sensor", "geoIp", "place", "unknown"]),
        "How it is known where it happened.",
    )
    .by_creator(),
    field("url", Form::Text(2048), "What it links to.").by_creator(),
    TAGS.by_creator(),
    CUSTOM_FIELDS.by_creator(),
    IDENTIFIERS.by_creator(),
    field("reactions", Form::Any, "What the platform did about it.").by_server().default("[]"),
];

const BATCH: &[Field] = &[
    NAME,
    DESCRIPTION,
    TAGS,
    CUSTOM_FIELDS,
    IDENTIFIERS,
    field("status", Form::OneOf(&["EMPTY", "IN_PROGRESS", "COMPLETE"]), "How far its tasks have come.")
        .by_server()
        .default("\"EMPTY\""),
    field("resourceCountsByProduct", Form::Object, "How many thngs its tasks made, by product.")
        .by_server()
        .default("{}"),
];

const TASK: &[Field] = &[
    field("batch", Form::Id, "The batch that it works for.").by_server().indexed(),
    field("type", Form::OneOf(&["POPULATING"]), "What it does.").required().by_creator().indexed(),
    field(
        "status",
        Form::OneOf(&["PENDING", "EXECUTING", "EXECUTED", "EXECUTED_WITH_FAILURES", "FAILED"]),
        "How far it has come.",
    )
    .by_server()
    .indexed(),
    field("completedAt", Form::Time, "When it ended.").by_server(),
    field("inputParameters", Form::Object, "What it is to make.").required().by_creator(),
    field("progress", Form::Object, "What it has made.").by_server(),
    field("result", Form::Object, "What it made in the end.").by_server(),
];

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
            Self::Account => ACCOUNT,
            Self::Operator => OPERATOR,
            Self::Access => ACCESS,
            Self::Project => PROJECT,
            Self::Application => APPLICATION,
            Self::User => USER,
            Self::Role => ROLE,
            Self::AccessPolicy => ACCESS_POLICY,
            Self::AccessToken => ACCESS_TOKEN,
            Self::Thng => THNG,
            Self::Product => PRODUCT,
            Self::Collection => COLLECTION,
            Self::Place => PLACE,
            Self::ActionType => ACTION_TYPE,
            Self::Action => ACTION,
            Self::Batch => BATCH,
            Self::Task => TASK,
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

    /// The field of this name, and its place.
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
