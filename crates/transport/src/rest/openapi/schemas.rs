//! The JSON schemas of the API's documents, from the table of fields in `payload::schema`.

use serde_json::{Map, Value, json};
use thng_pubsub_protocol::{
    limits,
    payload::{ERROR_CODES, Field, Form, ResourceKind, SetBy, THNGS_MAX},
};

use crate::rest::examples::ID;

/// A reference to a schema by its name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The schema of what a field holds.
fn form(field: &Field) -> Value {
    let mut schema = match field.form {
        Form::Name(max) => json!({ "type": "string", "minLength": 1, "maxLength": max }),
        Form::Text(max) => json!({ "type": "string", "maxLength": max }),
        Form::Label => json!({ "type": "string", "maxLength": limits::NAME_CHARS_MAX }),
        Form::Email => json!({ "type": "string", "maxLength": limits::EMAIL_CHARS_MAX }),
        Form::OneOf(names) => json!({ "type": "string", "enum": names }),
        Form::Tags => texts(limits::TAGS_MAX, limits::TAG_CHARS_MAX),
        Form::Texts(items, chars) => texts(items, chars),
        Form::Identifiers => json!({
            "type": "object",
            "maxProperties": limits::IDENTIFIERS_MAX,
            "propertyNames": { "type": "string", "maxLength": limits::IDENTIFIER_KEY_CHARS_MAX },
            "additionalProperties": { "type": "string", "maxLength": limits::IDENTIFIER_CHARS_MAX },
        }),
        Form::Object => json!({ "type": "object", "additionalProperties": true }),
        Form::Id => reference("Id"),
        Form::Bool => json!({ "type": "boolean" }),
        Form::Time => time(),
        Form::Number => json!({ "type": "number" }),
        Form::Integer => {
            json!({ "type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX })
        }
        Form::Point => reference("Point"),
        Form::Any => anything(),
    };
    if field.form != Form::Id && field.form != Form::Point {
        schema["description"] = field.about.into();
    }
    schema
}

/// The schema of what a field may be sent as, which is more than it is shown as.
fn sent(field: &Field) -> Value {
    let schema = match field.form {
        Form::Time => sent_time(),
        Form::Email => email(),
        Form::Identifiers => {
            let mut schema = form(field);
            // Numbers and truth values become the text that was sent.
            schema["additionalProperties"]["type"] = json!(["string", "number", "boolean"]);
            schema
        }
        Form::Name(_)
        | Form::Text(_)
        | Form::Label
        | Form::OneOf(_)
        | Form::Tags
        | Form::Texts(..)
        | Form::Object
        | Form::Id
        | Form::Bool
        | Form::Number
        | Form::Integer
        | Form::Point
        | Form::Any => return form(field),
    };
    let mut schema = schema;
    schema["description"] = field.about.into();
    schema
}

fn time() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": limits::TIMESTAMP_MS_MAX })
}

/// A time as clients send it.
fn sent_time() -> Value {
    let digits =
        json!({ "type": "string", "pattern": "^[0-9]{1,15}$", "description": "The same in digits." });
    json!({ "oneOf": [time(), digits] })
}

fn email() -> Value {
    json!({ "type": "string", "maxLength": limits::EMAIL_CHARS_MAX, "pattern": "^[!-?A-~]+@[!-?A-~]+$", "example": "ada@example.com" })
}

pub(super) fn property_key() -> Value {
    let most = limits::PROPERTY_KEY_CHARS_MAX;
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": "^[A-Za-z0-9_.:-]+$" })
}

/// utoipa's types, which the tests read the document with, know no schema without a type.
fn anything() -> Value {
    json!({ "type": ["string", "number", "boolean", "object", "array"] })
}

fn texts(items: usize, chars: usize) -> Value {
    json!({ "type": "array", "maxItems": items, "items": { "type": "string", "maxLength": chars } })
}

/// A document as it is shown.
fn resource(kind: ResourceKind) -> Value {
    let mut properties = Map::new();
    properties.insert("id".into(), json!({ "type": "string", "description": "Its id." }));
    for field in kind.fields() {
        properties.insert(field.name.into(), form(field));
    }
    let time = |about: &str| json!({ "type": "integer", "format": "int64", "description": about });
    properties.insert("createdAt".into(), time("When it was created."));
    if kind != ResourceKind::Action {
        properties.insert("updatedAt".into(), time("When it was changed."));
    }
    let object =
        |about: &str| json!({ "type": "object", "additionalProperties": true, "description": about });
    let text = |about: &str| json!({ "type": "string", "description": about });
    if kind.has_collections() {
        properties.insert("collections".into(), json!({ "type": "array", "items": reference("Id"), "description": "The collections that it is in." }));
    }
    if kind.has_properties() {
        properties.insert("properties".into(), object("The latest value of each property."));
    }
    match kind {
        ResourceKind::Thng => drop(properties.insert("location".into(), reference("Location"))),
        ResourceKind::Action => {
            drop(properties.insert("context".into(), object("How it came about, with `context=true`.")))
        }
        ResourceKind::Application => drop(properties.insert("appApiKey".into(), text("The public key."))),
        ResourceKind::Access | ResourceKind::AccessToken => {
            properties.insert("apiKey".into(), text("The key, where it is shown."));
        }
        _ => {}
    }
    if kind.is_scoped() {
        properties.insert("scopes".into(), reference("Scopes"));
    }
    let mut required: Vec<&str> = Vec::new();
    // What is built in has a name and no more.
    if !matches!(kind, ResourceKind::ActionType | ResourceKind::Role | ResourceKind::AccessPolicy) {
        required.extend(["id", "createdAt"]);
    }
    required.extend(
        kind.fields().iter().filter(|field| field.required && field.name != "email").map(|field| field.name),
    );
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The verbs of rights.
const VERBS: [&str; 4] = ["create", "read", "update", "delete"];

fn degrees(most: i32) -> Value {
    json!({ "type": "number", "minimum": -most, "maximum": most })
}

/// What is sent to create or to change one. Unknown fields are passed over, since clients send whole documents back.
fn input(kind: ResourceKind, is_new: bool) -> Value {
    let mut properties = Map::new();
    for field in kind.fields() {
        let is_open = match field.set_by {
            SetBy::Owner => true,
            SetBy::Creator => is_new,
            SetBy::Server => false,
        };
        if is_open {
            properties.insert(field.name.into(), sent(field));
        }
    }
    if kind.is_scoped() {
        properties.insert("scopes".into(), reference("ScopesWrite"));
    }
    if kind == ResourceKind::Place {
        properties.insert("latitude".into(), degrees(90));
        properties.insert("longitude".into(), degrees(180));
    }
    if is_new {
        if kind == ResourceKind::Action {
            properties.insert("location".into(), reference("LocationWrite"));
        }
        if kind.has_properties() {
            properties.insert(
                "properties".into(),
                json!({
                    "type": "object", "description": "First values.", "maxProperties": limits::PROPERTY_VALUES_MAX,
                    "propertyNames": property_key(), "additionalProperties": anything(),
                }),
            );
        }
        if kind.has_collections() {
            properties.insert(
                "collections".into(),
                json!({ "type": "array", "items": reference("Id"), "maxItems": limits::COLLECTIONS_MAX }),
            );
        }
        if kind == ResourceKind::Thng {
            properties.insert("location".into(), reference("LocationWrite"));
        }
    }
    let mut schema = json!({ "type": "object", "additionalProperties": true });
    if !properties.is_empty() {
        schema["properties"] = properties.into();
    }
    if is_new {
        let required: Vec<&str> = kind
            .fields()
            .iter()
            .filter(|field| field.required && field.set_by != SetBy::Server)
            .map(|field| field.name)
            .collect();
        if !required.is_empty() {
            schema["required"] = required.into();
        }
    }
    schema
}

/// Every document, by name.
#[rustfmt::skip]
pub(in crate::rest) fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    for kind in ResourceKind::ALL {
        schemas.insert(kind.noun().into(), resource(kind));
        schemas.insert(format!("New{}", kind.noun()), input(kind, true));
        schemas.insert(format!("{}Update", kind.noun()), input(kind, false));
    }
    let codes: Vec<u32> = ERROR_CODES.iter().map(|code| code.code).collect();
    let key = || json!({ "type": "string", "minLength": 80, "maxLength": 80 });
    let value = || {
        let mut value = anything();
        value["description"] = "Any JSON value but `null`.".into();
        value
    };
    let many = |of: &str| json!({ "type": "array", "items": reference(of), "maxItems": limits::PROPERTY_VALUES_MAX });
    let mut add = |name: &str, schema: Value| drop(schemas.insert(name.into(), schema));
    add("Id", json!({ "type": "string", "pattern": "^[A-Za-z0-9]{24}$", "example": ID, "description": "24 letters and digits." }));
    add("Ids", json!({ "type": "array", "items": reference("Id"), "maxItems": THNGS_MAX }));
    add("Error", json!({ "type": "object", "required": ["status", "errors", "code", "moreInfo"], "properties": {
        "status": { "type": "integer", "description": "The HTTP status again." },
        "errors": { "type": "array", "minItems": 1, "items": { "type": "string" }, "description": "One sentence a fault." },
        "code": { "type": "integer", "enum": codes, "description": "A number that does not change when sentences do." },
        "moreInfo": { "type": "string", "description": "Where to read on." } } }));
    add("Scopes", json!({ "type": "object", "properties": {
        "projects": { "type": "array", "items": reference("Id"), "maxItems": limits::SCOPES_MAX },
        "users": { "description": "Ids of users, or `all`.", "anyOf": [
            { "type": "array", "items": reference("Id"), "maxItems": limits::SCOPES_MAX },
            { "type": "array", "items": { "type": "string", "enum": ["all"] }, "minItems": 1, "maxItems": 1 }] } } }));
    let signed = |pattern: &str| json!({ "type": "array", "minItems": 1, "items": { "type": "string", "pattern": pattern }, "maxItems": limits::SCOPES_MAX, "description": "A `+` in front of each adds it, a `-` removes it; the others stay." });
    add("ScopesWrite", json!({ "type": "object", "properties": {
        "projects": { "anyOf": [
            { "type": "array", "items": reference("Id"), "maxItems": limits::SCOPES_MAX }, signed("^[+-][A-Za-z0-9]{24}$")] },
        "users": { "description": "Ids of users, or `all`.", "anyOf": [
            { "type": "array", "items": reference("Id"), "maxItems": limits::SCOPES_MAX },
            { "type": "array", "items": { "type": "string", "enum": ["all"] }, "minItems": 1, "maxItems": 1 },
            signed("^[+-](all|[A-Za-z0-9]{24})$")] } } }));
    add("PropertyWrite", json!({ "type": "object", "required": ["value"], "properties": { "key": property_key(), "value": value(), "timestamp": sent_time() } }));
    let some = |of: &str| json!({ "type": "array", "items": reference(of), "minItems": 1, "maxItems": limits::PROPERTY_VALUES_MAX });
    add("PropertyWrites", json!({ "oneOf": [some("PropertyWrite"), reference("PropertyWrite")] }));
    add("PropertyValueWrites", json!({ "description": "Entries, or a lone value.", "oneOf": [some("PropertyWrite"), reference("PropertyWrite"), { "type": ["string", "number", "boolean"] }] }));
    add("PropertyUpdate", json!({ "type": "object", "required": ["key", "value", "timestamp", "createdAt"], "properties": { "key": property_key(), "value": value(), "timestamp": time(), "createdAt": time() } }));
    add("PropertyUpdates", json!({ "type": "array", "items": reference("PropertyUpdate") }));
    add("PropertyHistory", json!({ "type": "array", "items": { "type": "object", "required": ["value", "timestamp", "createdAt"], "properties": { "value": value(), "timestamp": time(), "createdAt": time() } } }));
    add("Point", json!({ "type": "object", "required": ["coordinates"], "properties": {
        "type": { "type": "string", "enum": ["Point"] },
        "coordinates": { "type": "array", "minItems": 2, "maxItems": 3, "items": { "type": "number" }, "description": "Longitude, then latitude, in degrees; a height behind them is passed over.", "example": [8.5, 47.4] } } }));
    add("LocationWrite", json!({ "type": "object", "description": "By `position`, by `latitude` and `longitude`, or by the id of a `place`.", "properties": {
        "position": reference("Point"), "latitude": degrees(90), "longitude": degrees(180), "place": reference("Id"), "timestamp": sent_time() } }));
    add("LocationWrites", json!({ "oneOf": [many("LocationWrite"), reference("LocationWrite")] }));
    add("Location", json!({ "type": "object", "required": ["latitude", "longitude", "position"], "properties": {
        "latitude": degrees(90), "longitude": degrees(180), "position": reference("Point"), "place": reference("Id"), "timestamp": time(), "createdAt": time() } }));
    add("Locations", json!({ "type": "array", "items": reference("Location") }));
    add("ActionWrites", json!({ "oneOf": [reference("NewAction"), { "type": "array", "minItems": 1, "maxItems": limits::ACTIONS_MAX, "items": reference("NewAction") }] }));
    add("ActionOrActions", json!({ "oneOf": [reference("Action"), { "type": "array", "items": reference("Action") }] }));
    add("CommissionState", json!({ "type": "object", "required": ["state"], "properties": {
        "state": { "type": "string", "enum": ["not_commissioned", "commissioned", "decommissioned"] }, "occurredAt": time() } }));
    add("TaskLog", json!({ "type": "array", "items": { "type": "object" } }));
    add("SecretKey", json!({ "type": "object", "required": ["secretApiKey"], "properties": { "secretApiKey": key() } }));
    add("Redirector", json!({ "type": "object", "required": ["rules"], "properties": { "rules": { "type": "array", "description": "Kept as they were given.", "items": { "type": ["string", "number", "boolean", "object", "array", "null"] } } }, "additionalProperties": true }));
    add("Credentials", json!({ "type": "object", "required": ["email", "password"], "properties": { "email": { "type": "string" }, "password": { "type": "string" } } }));
    let (least, most) = limits::PASSWORD_CHARS;
    add("NewUser", json!({ "type": "object", "properties": {
        "email": email(), "password": { "type": "string", "minLength": least, "maxLength": most },
        "firstName": { "type": "string", "maxLength": limits::NAME_CHARS_MAX }, "lastName": { "type": "string", "maxLength": limits::NAME_CHARS_MAX } } }));
    add("Activation", json!({ "type": "object", "required": ["activationCode"], "properties": { "activationCode": { "type": "string" } } }));
    add("UserAccess", json!({ "type": "object", "required": ["evrythngUser", "status"], "properties": {
        "evrythngUser": reference("Id"), "evrythngApiKey": key(), "activationCode": { "type": "string" }, "email": { "type": "string" },
        "status": { "type": "string", "enum": ["anonymous", "inactive", "active"] }, "socialNetwork": { "type": "string" } } }));
    add("UserWithAccess", json!({ "allOf": [reference("User"), { "type": "object", "required": ["access"], "properties": { "access": { "type": "object", "properties": { "apiKey": key() } } } }] }));
    add("UserStatus", json!({ "type": "object", "required": ["activated"], "properties": { "activated": { "type": "boolean" }, "activationDate": time() } }));
    add("Logout", json!({ "type": "object", "required": ["logout"], "properties": { "logout": { "type": "string", "enum": ["ok"] } } }));
    add("DeviceKeyWrite", json!({ "type": "object", "required": ["thngId"], "properties": { "thngId": reference("Id") } }));
    add("DeviceKey", json!({ "type": "object", "required": ["thngId", "thngApiKey"], "properties": { "thngId": reference("Id"), "thngApiKey": key() } }));
    add("PathPermission", json!({ "type": "object", "required": ["path", "access"], "properties": {
        "path": { "type": "string", "pattern": "^/", "maxLength": 256 }, "access": { "type": "string", "pattern": "^[crud]{1,4}$" }, "default": { "type": "boolean" } } }));
    add("OperatorPermission", json!({ "type": "object", "required": ["enabled"], "properties": {
        "name": { "type": "string" }, "enabled": { "type": "boolean" }, "projectScoped": { "type": "boolean" },
        "projects": { "type": "array", "items": reference("Id") }, "children": { "type": "array", "items": reference("OperatorPermission") } } }));
    add("SwitchWrite", json!({ "type": "object", "required": ["enabled"], "properties": {
        "enabled": { "type": "boolean" }, "projects": { "type": "array", "items": reference("Id") } } }));
    add("Permissions", json!({ "description": "Of a role of application users paths with letters, of a role of operators switches.", "anyOf": [
        { "type": "array", "items": reference("PathPermission"), "maxItems": limits::PERMISSIONS_MAX }, { "type": "array", "items": reference("OperatorPermission") }] }));
    add("KeyAccess", json!({ "type": "object", "required": ["account", "actor"], "properties": {
        "account": reference("Id"), "project": reference("Id"), "app": reference("Id"),
        "actor": { "type": "object", "required": ["type", "id"], "properties": { "type": { "type": "string", "enum": ["operator", "app", "userInApp", "device", "accessToken"] }, "id": reference("Id") } } } }));
    add("Reach", json!({ "type": "object", "required": ["kind"], "description": "The resources that an entry reaches.", "properties": {
        "kind": { "type": "string", "enum": ["account", "projects", "user", "device", "conditions", "itself"] },
        "projects": { "type": "array", "items": reference("Id") }, "user": reference("Id"), "thng": reference("Id"), "product": reference("Id"), "id": reference("Id"),
        "conditions": { "type": "array", "items": { "type": "string" } } } }));
    add("PermissionEntry", json!({ "type": "object", "required": ["path", "access", "reach"], "properties": {
        "path": { "type": "string" }, "access": { "type": "string", "description": "Letters of create, read, update and delete; none where the entry grants nothing." }, "reach": reference("Reach") } }));
    add("EffectivePermissions", json!({ "type": "array", "items": reference("PermissionEntry") }));
    add("AccessQuestion", json!({ "type": "object", "required": ["verb", "path"], "properties": {
        "verb": { "type": "string", "enum": VERBS }, "path": { "type": "string", "pattern": "^/[^?#]*$", "maxLength": 4096, "description": "Of a REST call or a topic." },
        "key": { "type": "string", "pattern": "^[0-9A-Fa-f]{8,64}$", "description": "The handle of another key." } } }));
    add("AccessExplanation", json!({ "type": "object", "required": ["outcome", "sentence", "verb", "path", "key", "decidedBy"], "properties": {
        "outcome": { "type": "string", "enum": ["allowed", "forbidden", "notFound"] }, "sentence": { "type": "string" },
        "verb": { "type": "string", "enum": VERBS }, "path": { "type": "string" },
        "key": { "type": "object", "required": ["handle", "kind", "id"], "properties": { "handle": { "type": "string" }, "kind": { "type": "string" }, "id": reference("Id") } },
        "decidedBy": { "type": "array", "items": reference("PermissionEntry"), "description": "The entries that grant the call, or that govern the path in vain." } } }));
    add("Me", json!({ "type": "object", "required": ["id", "operator", "policies", "conditions"], "properties": {
        "id": reference("Id"), "operator": reference("Id"), "name": { "type": "string" }, "email": { "type": "string" },
        "policies": { "type": "array", "items": reference("AccessPolicy") }, "conditions": { "type": "array", "items": { "type": "string" } } } }));
    add("Domains", json!({ "type": "array", "items": { "type": "object", "required": ["id", "accountId", "domain"], "properties": { "id": reference("Id"), "accountId": reference("Id"), "domain": { "type": "string" } } } }));
    add("ShortDomains", json!({ "type": "array", "items": { "type": "string" } }));
    let count = |about: &str| json!({ "type": "integer", "minimum": 0, "description": about });
    add("RateLimits", json!({ "type": "array", "items": { "type": "object", "required": ["name", "rateLimits"], "properties": {
        "name": { "type": "string", "description": "The setting of the server." },
        "rateLimits": { "type": "array", "items": { "type": "object", "required": ["url", "access", "by", "limit", "hits", "hitsRemaining", "reset"], "properties": {
            "url": { "type": "object", "properties": { "path": { "type": "string" }, "depth": { "type": "integer" } } },
            "access": { "type": "string" },
            "by": { "type": "string", "enum": ["key", "address"], "description": "What it is counted by." },
            "limit": { "type": "object", "required": ["rate", "timeFrame", "warningMaxHits", "blockingMaxHits", "burst"], "properties": {
                "rate": { "type": "string", "enum": ["second", "minute", "hour", "day"] }, "timeFrame": { "type": "integer" },
                "warningMaxHits": count("The same as `blockingMaxHits`."), "blockingMaxHits": count("How many come back, evenly, in the time."),
                "burst": count("How many may come at once.") } },
            "hits": count("How many of the burst are used up."), "hitsRemaining": count("How many could come now."),
            "reset": count("Seconds until none are used up.") } } } } } }));
    let word = |about: &str| json!({ "type": "string", "description": about });
    add("ClientEvents", json!({ "type": "array", "items": { "type": "object", "required": ["id", "at", "lastAt", "count", "event", "what", "protocol"], "properties": {
        "id": word("Grows in the order of the list."), "at": time(), "lastAt": time(),
        "count": { "type": "integer", "minimum": 1, "description": "How often it happened between `at` and `lastAt`." },
        "event": { "type": "string", "enum": ["connected", "refused", "disconnected", "takenOver", "throttled", "dropped", "revoked"] },
        "what": { "type": "string", "enum": ["connect", "upgrade", "request", "subscribe", "publish", "will", "deliver", "session", "key"] },
        "reason": word("The word that logs and metrics have."), "sentence": word("What the log says of the reason."), "cure": word("What to do about it."),
        "protocol": word("Such as `mqtt`, `websocket` or `rest`."), "clientId": word("Of MQTT."), "address": word("Of the client; of IPv6 its /64 network."),
        "key": { "type": "object", "required": ["handle"], "description": "Whose key it was, never the key itself.", "properties": {
            "handle": word("The beginning of the key's hash, as `keys list` shows it."), "kind": word("As `GET /access` has it."), "id": reference("Id") } },
        "topic": word("The topic or path, without its options.") } } }));
    add("Time", json!({ "type": "object", "required": ["timestamp"], "properties": {
        "timestamp": time(), "offset": { "type": "integer", "description": "Milliseconds from UTC." }, "localTime": { "type": "string" }, "nextChange": { "type": "integer", "format": "int64" } } }));
    schemas
}
