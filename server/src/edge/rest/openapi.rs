//! The OpenAPI 3.1 document: the routes of [`super::router`] and the documents of `payload::schema`, put into utoipa's
//! types, which hold it to the standard's form. Made once, at the start.

use serde_json::{Map, Value, json};
use thng_pubsub_protocol::{
    limits,
    payload::{ERROR_CODES, Field, Form, ResourceKind, SetBy, THNGS_MAX},
    topic::table::{Access, TABLE},
};
use utoipa::openapi::OpenApi;

use super::{
    examples::{ID, example, source},
    parameters::{Parameter, query_parameters},
    router::{Handler, Query, Route, Shape, Verb, table},
};
use crate::gateway::who_may;

const ABOUT: &str = "\
Everything that thng-pubsub stores is a REST resource, and most of it is a topic as well: what is written here is told \
to all who subscribe to the path by MQTT or WebSocket, and what they publish is written here.

Send an API key in the `Authorization` header, as it is, or as `?access_token=` where headers cannot be set. What a \
key can see depends on its kind, its role or policies, and the projects that resources are scoped to. What it cannot \
see does not exist for it: the answer is 404.

Lists hold 30 items unless `perPage` asks for up to 100, newest first; the `link` header leads to the next page. Its \
URL is percent-encoded whole, within the angle brackets: decode it once.

All times are milliseconds since 1970, UTC. The same tree is served below `/v2`.";

/// The document.
pub(in crate::edge) fn document() -> String {
    let mut paths = Map::new();
    for route in table() {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[verb(&route)] = operation(&route);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": info(ABOUT),
        "tags": tags(),
        "security": [{ "apiKey": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "apiKey": { "type": "apiKey", "in": "header", "name": "Authorization", "description": "An API key, 80 letters and digits." },
            },
        },
    });
    let document: OpenApi = serde_json::from_value(document).expect("a test holds it against the standard");
    document.to_json().expect("the document becomes JSON")
}

/// What is described, in both documents.
pub(super) fn info(about: &str) -> Value {
    json!({
        "title": "thng-pubsub",
        "version": env!("CARGO_PKG_VERSION"),
        "description": about,
        "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
    })
}

fn tags() -> Value {
    let about = |tag: &str| match tag {
        "Thngs" => "Physical things: their properties, locations and actions.",
        "Products" => "What thngs are instances of.",
        "Collections" => "Groups of thngs and of other collections.",
        "Actions" => "What happens, and of which types.",
        "Places" => "Where things are.",
        "Batches" => "Many thngs at once, made in the background.",
        "Projects and applications" => "What resources are scoped to, and the keys of applications.",
        "Users and devices" => "Application users, and keys of thngs.",
        "Roles and policies" => "What keys may do.",
        _ => "Who one is, and the account.",
    };
    let mut tags: Vec<Value> = Vec::new();
    for route in table() {
        if tags.iter().all(|tag| tag["name"] != route.tag) {
            tags.push(json!({ "name": route.tag, "description": about(route.tag) }));
        }
    }
    Value::Array(tags)
}

fn verb(route: &Route) -> &'static str {
    match route.verb {
        Verb::Get => "get",
        Verb::Post => "post",
        Verb::Put => "put",
        Verb::Delete => "delete",
    }
}

fn access(route: &Route) -> Access {
    match route.verb {
        Verb::Get => Access::Read,
        Verb::Post => Access::Create,
        Verb::Put => Access::Update,
        Verb::Delete => Access::Delete,
    }
}

/// A name that links keep: the verb, and the words of the path.
fn operation_id(route: &Route) -> String {
    let mut id = verb(route).to_owned();
    for segment in route.path.split('/').filter(|segment| !segment.is_empty()) {
        let name = segment.trim_matches(['{', '}']);
        let by = if segment.starts_with('{') { "By" } else { "" };
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter();
        id.push_str(by);
        id.extend(first.chain(letters));
    }
    id
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": responses(route),
    });
    if !route.about.is_empty() {
        operation["description"] = route.about.into();
    }
    if route.body != Shape::Nothing {
        let schema = taken(route);
        let name = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()).unwrap_or_default();
        if let Some(source) = source(route, name) {
            operation["x-example-from"] = source;
        }
        let content = json!({ "application/json": { "example": example(route, name), "schema": schema } });
        operation["requestBody"] = json!({ "required": needs_body(route), "content": content });
    }
    match route.handler {
        Handler::Open(_) => operation["security"] = json!([]),
        Handler::Keyed(_) => operation["x-api-keys"] = who_may(access(route), route.path).into(),
    }
    if let Some(topic) = topic(route) {
        operation["x-topic"] = topic.into();
    }
    operation
}

/// Small clients leave out the body of an action that the path says all of, and of an anonymous user.
fn needs_body(route: &Route) -> bool {
    !matches!(route.body, Shape::Named("ActionWrites" | "NewUser" | "Activation"))
}

/// What the path is as a topic, if it is one.
fn topic(route: &Route) -> Option<String> {
    let is_parameter = |segment: &str| segment.starts_with([':', '{']);
    let fits = |template: &str| {
        let (mut wanted, mut given) = (template.split('/'), route.path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(one), Some(other)) if one == other || (is_parameter(one) && is_parameter(other)) => {}
                _ => return false,
            }
        }
    };
    let row = TABLE.iter().find(|row| fits(row.template))?;
    match (route.verb, row.publish) {
        (Verb::Get, None) => Some("subscribe only".into()),
        (Verb::Get, Some(_)) => Some(row.template.into()),
        (Verb::Post | Verb::Put, Some(publish)) if publish.access == access(route) => {
            Some(row.template.into())
        }
        _ => None,
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = Vec::new();
    for segment in route.path.split('/') {
        if let Some(name) = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            let about = match name {
                "type" => "The name of an action type; `all` for all of them.",
                "key" => "The property's key; upper case is taken for lower case.",
                "name" => "The permission's name.",
                _ => "An id.",
            };
            let schema = match name {
                "key" => property_key(),
                _ => json!({ "type": "string", "minLength": 1 }),
            };
            parameters.push(json!({
                "name": name, "in": "path", "required": true, "description": about, "schema": schema,
            }));
        }
    }
    parameters.extend(query_parameters(route.query).into_iter().map(|Parameter { name, schema, about }| {
        json!({ "name": name, "in": "query", "required": false, "description": about, "schema": schema })
    }));
    parameters
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn shown(shape: Shape) -> Value {
    match shape {
        Shape::Nothing => Value::Null,
        Shape::One(kind) => reference(kind.noun()),
        Shape::Many(kind) => json!({ "type": "array", "items": reference(kind.noun()) }),
        Shape::Named(name) => reference(name),
    }
}

fn taken(route: &Route) -> Value {
    match (route.body, route.verb) {
        (Shape::One(kind), Verb::Post) => reference(&format!("New{}", kind.noun())),
        (Shape::One(kind), _) => reference(&format!("{}Update", kind.noun())),
        (shape, _) => shown(shape),
    }
}

fn responses(route: &Route) -> Value {
    let about = match route.status {
        201 => "Created.",
        202 => "Begun.",
        204 => "Done.",
        _ => "OK.",
    };
    let mut success = json!({ "description": about });
    if route.answer != Shape::Nothing {
        success["content"] = json!({ "application/json": { "schema": shown(route.answer) } });
    }
    let header = |about: &str, schema: Value| json!({ "description": about, "schema": schema });
    let mut headers = Map::new();
    if matches!(route.query, Query::List(_) | Query::History) {
        headers.insert(
            "link".into(),
            header(
                "Where the next page is, if there is one: `<percent-encoded URL>; rel=\"next\"`.",
                json!({ "type": "string" }),
            ),
        );
    }
    if matches!(route.query, Query::List(_) | Query::Selection(_) | Query::Members) {
        headers.insert(
            "x-result-count".into(),
            header("How many there are.", json!({ "type": "string", "pattern": "^[0-9]+$" })),
        );
    }
    if route.verb == Verb::Post && matches!(route.status, 201 | 202) {
        headers.insert("location".into(), header("Where it is.", json!({ "type": "string" })));
    }
    if !headers.is_empty() {
        success["headers"] = Value::Object(headers);
    }
    let mut responses = Map::new();
    responses.insert(route.status.to_string(), success);
    // A commission is answered as the platform did.
    if route.answer == Shape::Named("ActionOrActions") {
        let content = json!({ "application/json": { "schema": reference("Action") } });
        responses.insert(
            "200".into(),
            json!({ "description": "Commissioned or decommissioned.", "content": content }),
        );
    }
    let mut refuse = |status: u16, about: &str| {
        let content = json!({ "application/json": { "schema": reference("Error") } });
        responses.insert(status.to_string(), json!({ "description": about, "content": content }));
    };
    refuse(400, "The request or a field of it cannot be what it says.");
    if matches!(route.handler, Handler::Keyed(_)) {
        let login = matches!(route.body, Shape::Named("Credentials"));
        refuse(401, if login { "No API key, or email and password do not fit." } else { "No API key." });
        refuse(403, "The API key is not known, or may not do this.");
        refuse(404, "There is no such resource, or not for this key.");
        if route.body != Shape::Nothing {
            refuse(409, "It collides with something that exists.");
        }
        // Whoever sends a body where none is wanted is refused all the same when it is too long or of another type.
        refuse(413, "The body is too large.");
        refuse(415, "The body is not JSON.");
        refuse(
            429,
            "It comes more often than the server's settings allow; `Retry-After` says when to try again.",
        );
        refuse(
            503,
            "It cannot be stored or read right now, or too many answers are not read by their clients.",
        );
    }
    Value::Object(responses)
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

fn property_key() -> Value {
    let most = limits::PROPERTY_KEY_CHARS_MAX;
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": "^[A-Za-z0-9_.:-]+$" })
}

/// utoipa's types know no schema without a type.
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
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": true });
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
pub(super) fn schemas() -> Map<String, Value> {
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
    let signed = |pattern: &str| json!({ "type": "array", "minItems": 1, "items": { "type": "string", "pattern": pattern }, "maxItems": limits::SCOPES_MAX, "description": "A `+` in front of each adds it, a `-` takes it away; the others stay." });
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
    add("Time", json!({ "type": "object", "required": ["timestamp"], "properties": {
        "timestamp": time(), "offset": { "type": "integer", "description": "Milliseconds from UTC." }, "localTime": { "type": "string" }, "nextChange": { "type": "integer", "format": "int64" } } }));
    schemas
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn written() -> Value {
        serde_json::from_str(&document()).expect("JSON")
    }

    #[test]
    fn every_route_is_described_and_named_once() {
        let document = written();
        let routes = table();
        let ids: BTreeSet<String> = routes.iter().map(operation_id).collect();
        assert_eq!(ids.len(), routes.len());
        for route in &routes {
            assert!(document["paths"][route.path][verb(route)]["operationId"].is_string(), "{}", route.path);
        }
    }

    #[test]
    fn every_body_has_an_example() {
        let document = written();
        for route in table().iter().filter(|route| route.body != Shape::Nothing) {
            let body = &document["paths"][route.path][verb(route)]["requestBody"];
            let example = &body["content"]["application/json"]["example"];
            assert!(example.is_object() || example.is_array(), "{} {}", verb(route), route.path);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(target)) = members.get("$ref") {
                        found.insert(target.clone());
                    }
                    members.values().for_each(|member| references(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = written();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 40);
        for target in found {
            let pointer = target.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn every_row_of_the_topic_table_is_marked_as_a_topic() {
        let marked: BTreeSet<String> = table().iter().filter_map(topic).collect();
        for row in TABLE.iter().filter(|row| row.publish.is_some()) {
            // The root's list of all actions is the same route as that of a type.
            let is_special = row.template.ends_with("/all");
            assert!(is_special || marked.contains(row.template), "{}", row.template);
        }
    }
}
