//! The fields of each kind of resource, in the order of its document.

use super::{Field, Form, SetBy};
use crate::limits;

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

pub(super) const ACCOUNT: &[Field] = &[
    field("name", Form::Name(30), "What people call it.").required().indexed(),
    DESCRIPTION,
    TAGS,
    CUSTOM_FIELDS,
];

pub(super) const OPERATOR: &[Field] = &[
    field("email", Form::Email, "The address that the operator is known by.")
        .required()
        .by_creator()
        .indexed(),
    field("firstName", Form::Text(limits::NAME_CHARS_MAX), "Given name.").indexed(),
    field("lastName", Form::Text(limits::NAME_CHARS_MAX), "Family name.").indexed(),
    CUSTOM_FIELDS,
];

pub(super) const ACCESS: &[Field] = &[
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

pub(super) const PROJECT: &[Field] = &[
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

pub(super) const APPLICATION: &[Field] = &[
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

pub(super) const USER: &[Field] = &[
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

pub(super) const ROLE: &[Field] = &[
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

pub(super) const ACCESS_POLICY: &[Field] = &[
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

pub(super) const ACCESS_TOKEN: &[Field] = &[
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

pub(super) const THNG: &[Field] = &[
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

pub(super) const PRODUCT: &[Field] = &[
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

pub(super) const COLLECTION: &[Field] = &[NAME, DESCRIPTION, LABEL, TAGS, CUSTOM_FIELDS, IDENTIFIERS];

pub(super) const PLACE: &[Field] = &[
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

pub(super) const ACTION_TYPE: &[Field] = &[
    field("name", Form::Name(limits::ACTION_TYPE_BYTES_MAX), "Starts with `_`.")
        .required()
        .by_creator()
        .indexed(),
    DESCRIPTION,
    TAGS,
    CUSTOM_FIELDS,
];

pub(super) const ACTION: &[Field] = &[
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

pub(super) const BATCH: &[Field] = &[
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

pub(super) const TASK: &[Field] = &[
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
