//! The OpenAPI 3.1 document, from the routes of [`super::router`].
//!
//! It is built once, on the first request. `openapi/schemas.rs` has the schemas of the bodies.

mod schemas;

use serde_json::{Map, Value, json};
use thng_pubsub_protocol::topic::table::TABLE;

use super::{
    examples::{example, source},
    parameters::{Parameter, query_parameters},
    router::{Handler, Query, Route, Shape, Verb, table},
};
pub(super) use schemas::schemas;
use schemas::{property_key, reference};
use thng_pubsub_broker::identity::who_may;

const ABOUT: &str = "\
Everything that thng-pubsub stores is a REST resource, and most resources are topics as well. A write here is \
delivered to the subscribers of its path by MQTT or WebSocket, and a publish there is a write here.

Send an API key in the `Authorization` header, as it is, or as `?access_token=` where headers cannot be set. What a \
key can see depends on its kind, its role or policies, and the projects that resources are scoped to. What it cannot \
see does not exist for it: the answer is 404.

Lists hold 30 items unless `perPage` asks for up to 100, newest first; the `link` header leads to the next page. Its \
URL is percent-encoded whole, within the angle brackets: decode it once.

All times are milliseconds since 1970, UTC. The same tree is served below `/v2`.";

/// The document.
pub(crate) fn document() -> String {
    let mut paths = Map::new();
    for route in table() {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[verb(&route)] = operation(&route);
    }
    json!({
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
    })
    .to_string()
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
        _ => "The identity of a key, and its account.",
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
        Handler::Keyed(_) => operation["x-api-keys"] = who_may(route.access(), route.path).into(),
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
        let (mut template_segments, mut given) = (template.split('/'), route.path.split('/'));
        loop {
            match (template_segments.next(), given.next()) {
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
        (Verb::Post | Verb::Put, Some(publish)) if publish.access == route.access() => {
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
    if matches!(route.query, Query::List(_) | Query::History | Query::ClientEvents) {
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
        // A body where none is expected is also refused when it is too long or of another type.
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
#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn written() -> Value {
        serde_json::from_str(&document()).expect("JSON")
    }

    /// utoipa's types leave out what the standard does not know, and refuse what has another form.
    #[test]
    fn the_document_has_the_form_of_the_standard() {
        let read: utoipa::openapi::OpenApi = serde_json::from_str(&document()).expect("the standard's form");
        assert_eq!(serde_json::to_value(read).expect("JSON"), written());
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
