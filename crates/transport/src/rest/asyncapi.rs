//! The AsyncAPI 3 document: the topic table as channels, what is published and delivered on each, and by which
//! protocols. Made once. It is beside the OpenAPI document because both have the same schemas.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use thng_pubsub_protocol::{
    payload::MembershipChange,
    topic::{
        SubjectKind,
        table::{Access, EventKind, OperationKind, Row, TABLE, TopicKind},
    },
};

use super::openapi::{info, schemas};
use thng_pubsub_broker::identity::who_may;

const ABOUT: &str = "\
A topic is the REST path of a resource. Publishing to it performs the REST write on that path; subscribing to it \
delivers the stored result of every such write, whichever protocol wrote it.

Topics take options behind a `?`, in any order. `pubStates=1` (or `pubStates` alone) sends the current value right \
after the subscription, `project=<id>` narrows a subscription to a project, and `access_token=<API key>` is a key for \
this topic. Notifications arrive on exactly the string that the client subscribed with.

By MQTT the user name is `authorization` and the password is the API key; a client that sends neither needs an \
`access_token` on every topic. A native WebSocket is opened on the topic's own path, with the key in the \
`Authorization` header or as `access_token`. Its messages are published there, and it delivers the topic's \
notifications. Wildcards are refused.";

/// The document.
pub(crate) fn document() -> String {
    let (mut channels, mut operations) = (Map::new(), Map::new());
    for row in &TABLE {
        let name = name(row.kind);
        channels.insert(name.clone(), channel(row));
        if row.publish.is_some() {
            operations.insert(format!("publishOn{}", upper(&name)), operation(row, &name, true));
        }
        operations.insert(format!("subscribeTo{}", upper(&name)), operation(row, &name, false));
    }
    let document = json!({
        "asyncapi": "3.0.0",
        "info": info(ABOUT),
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": used_schemas(),
            "securitySchemes": {
                "mqttLogin": {
                    "type": "userPassword",
                    "description": "User name `authorization`, and an API key as the password.",
                },
                "apiKey": {
                    "type": "httpApiKey", "in": "header", "name": "Authorization",
                    "description": "An API key, 80 letters and digits.",
                },
                "accessToken": {
                    "type": "httpApiKey", "in": "query", "name": "access_token",
                    "description": "The same where headers cannot be set.",
                },
            },
        },
    });
    document.to_string()
}

fn servers() -> Value {
    let host = |port: &str| {
        json!({
            "host": { "default": "localhost", "description": "Where the server runs." },
            "port": { "default": port, "description": "The port of its `--mqtt` or `--http`." },
        })
    };
    let login = json!([{ "$ref": "#/components/securitySchemes/mqttLogin" }]);
    let keys = json!([
        { "$ref": "#/components/securitySchemes/apiKey" }, { "$ref": "#/components/securitySchemes/accessToken" },
    ]);
    json!({
        "mqtt": {
            "host": "{host}:{port}", "title": "MQTT", "protocol": "mqtt", "protocolVersion": "3.1.1", "variables": host("1883"),
            "description": "MQTT 3.1 and 3.1.1 over TCP, QoS 0 and 1; a publish at QoS 2 is taken too.",
            "security": login,
        },
        "mqttOverWebSocket": {
            "host": "{host}:{port}", "pathname": "/mqtt", "title": "MQTT over WebSocket", "protocol": "ws", "variables": host("8080"),
            "description": "The same in binary WebSocket messages, with the sub-protocol `mqtt` or `mqttv3.1`.",
            "security": login,
        },
        "webSocket": {
            "host": "{host}:{port}", "title": "WebSocket", "protocol": "ws", "variables": host("8080"),
            "description": "A socket on the topic's own path: a message in is a publish, a message out a notification. \
                            What is refused is answered with an error document, and the socket stays open.",
            "security": keys,
        },
    })
}

fn channel(row: &Row) -> Value {
    let mut parameters = Map::new();
    for segment in row.template.split('/') {
        if let Some(name) = segment.strip_prefix(':') {
            let about = match name {
                "key" => "The property's key; upper case is taken for lower case.",
                "type" => "The name of an action type.",
                _ => "An id, 24 letters and digits.",
            };
            parameters.insert(name.into(), json!({ "description": about }));
        }
    }
    let mut messages = Map::new();
    if let Some(publish) = row.publish {
        messages.insert("write".into(), write(row.kind, publish.operation));
    }
    for event in row.subscribe {
        let (name, message) = notification(*event);
        messages.insert(name.into(), message);
    }
    let mut channel = json!({
        "address": address(row), "title": row.template, "summary": about(row.kind), "messages": messages,
    });
    if !parameters.is_empty() {
        channel["parameters"] = Value::Object(parameters);
    }
    channel
}

/// From the server's side, as AsyncAPI asks for: it receives what clients publish.
fn operation(row: &Row, channel: &str, publish: bool) -> Value {
    let message = |name: &str| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    let (action, access, messages, summary) = match (publish, row.publish) {
        (true, Some(publish)) => {
            ("receive", publish.access, vec![message("write")], about_write(publish.operation))
        }
        _ => {
            let messages = row.subscribe.iter().map(|event| message(notification(*event).0)).collect();
            ("send", Access::Read, messages, "The stored result, for every subscriber that may see it.")
        }
    };
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "summary": summary,
        "messages": messages,
        // REST names every id so, and the grants of devices and users depend on that.
        "x-api-keys": who_may(access, &path(row, |name| if name.ends_with("Id") { "id" } else { name })),
    })
}

fn about(kind: TopicKind) -> String {
    match kind {
        TopicKind::ActionTypes => "Action types that are created.".into(),
        TopicKind::Actions { subject: None, typed: false } => "Every action.".into(),
        TopicKind::Actions { subject: None, typed: true } => {
            "Every action of a type, and the end of the type.".into()
        }
        TopicKind::Actions { subject: Some(subject), typed } => {
            let actions = if typed { "Actions of one type" } else { "Actions" };
            let subjects = match subject {
                SubjectKind::Collection => "a collection and on the thngs in it",
                SubjectKind::Product => "a product and on its thngs",
                SubjectKind::Thng => "a thng",
            };
            format!("{actions} on {subjects}.")
        }
        TopicKind::Resource(SubjectKind::Collection) => "A collection's own fields, and its end.".into(),
        TopicKind::Resource(SubjectKind::Product) => "A product's own fields.".into(),
        TopicKind::Resource(SubjectKind::Thng) => "A thng's own fields, without its properties.".into(),
        TopicKind::Properties { owner, keyed } => {
            let properties = if keyed { "One property" } else { "All properties" };
            format!("{properties} of a {}.", owner.name())
        }
        TopicKind::Location => "Where a thng is.".into(),
        TopicKind::Members => "Which thngs join and leave a collection.".into(),
        TopicKind::Tasks { single: false } => "Every task of a batch that has ended.".into(),
        TopicKind::Tasks { single: true } => "A task, when it has ended.".into(),
    }
}

fn about_write(operation: OperationKind) -> &'static str {
    match operation {
        OperationKind::CreateActionType => "Creates an action type.",
        OperationKind::CreateAction => "Creates actions; the type is optional where the topic names it.",
        OperationKind::UpdateCollection => "Updates the collection.",
        OperationKind::AddThngs => "Adds thngs to the collection.",
        OperationKind::UpdateProduct => "Updates the product's own fields.",
        OperationKind::UpdateThng => "Updates the thng's own fields, not its properties.",
        OperationKind::UpdateLocation => "Stores where the thng is.",
        OperationKind::UpdateProperties => "Creates or updates properties.",
    }
}

/// What is published, and an example of it that the server takes.
fn write(kind: TopicKind, operation: OperationKind) -> Value {
    let on_one_key = matches!(kind, TopicKind::Properties { keyed: true, .. });
    let names_type = kind.row().template.ends_with("/all");
    let (schema, example) = match operation {
        OperationKind::CreateActionType => ("NewActionType", json!({ "name": "_switched" })),
        OperationKind::CreateAction if !names_type => {
            ("ActionWrites", json!({ "customFields": { "on": true } }))
        }
        OperationKind::CreateAction => {
            ("ActionWrites", json!({ "type": "_switched", "customFields": { "on": true } }))
        }
        OperationKind::UpdateCollection => {
            ("CollectionUpdate", json!({ "name": "Lamps of the ground floor" }))
        }
        OperationKind::AddThngs => ("Ids", json!(["UeECn9a8PBpar8x4FEGdMsDd"])),
        OperationKind::UpdateProduct => ("ProductUpdate", json!({ "name": "Lamp", "brand": "Lumen" })),
        OperationKind::UpdateThng => ("ThngUpdate", json!({ "name": "Lamp at the gate", "tags": ["gate"] })),
        OperationKind::UpdateLocation => {
            ("LocationWrites", json!([{ "position": { "type": "Point", "coordinates": [8.5, 47.4] } }]))
        }
        OperationKind::UpdateProperties if on_one_key => ("PropertyValueWrites", json!([{ "value": 21.5 }])),
        OperationKind::UpdateProperties => (
            "PropertyWrites",
            json!([{ "key": "temperature", "value": 21.5 }, { "key": "humidity", "value": 40 }]),
        ),
    };
    json!({
        "name": "write",
        "title": about_write(operation),
        "payload": { "$ref": format!("#/components/schemas/{schema}") },
        "examples": [{ "payload": example }],
    })
}

/// The name of a notification, and what it is.
fn notification(event: EventKind) -> (&'static str, Value) {
    let (title, schema) = match event {
        EventKind::ActionTypeCreated => ("The action type that was created.", "ActionType"),
        EventKind::ActionTypeDeleted => ("The action type that was deleted.", "ActionType"),
        EventKind::ActionCreated => ("The action that was created.", "Action"),
        EventKind::TaskCompleted => ("The task that has ended.", "Task"),
        EventKind::CollectionUpdated => ("The collection as it is now.", "Collection"),
        EventKind::CollectionDeleted => ("The collection that was deleted.", "Collection"),
        EventKind::MembershipChanged => ("Which thngs were added or removed.", "MembershipChange"),
        EventKind::ProductUpdated => ("The product as it is now.", "Product"),
        EventKind::ThngUpdated => ("The thng as it is now, without its properties.", "Thng"),
        EventKind::LocationUpdated => ("What one update stored.", "Locations"),
        EventKind::PropertiesUpdated => ("What one update stored.", "PropertyUpdates"),
    };
    let payload = json!({ "$ref": format!("#/components/schemas/{schema}") });
    (event.name(), json!({ "name": event.name(), "title": title, "payload": payload }))
}

/// The schemas that messages are made of, and those that these are made of.
fn used_schemas() -> Map<String, Value> {
    let mut all = schemas();
    all.insert("MembershipChange".into(), membership_change());
    let mut pending: Vec<String> = Vec::new();
    for row in &TABLE {
        names_in(&channel(row), &mut pending);
    }
    let (mut used, mut seen) = (Map::new(), BTreeSet::new());
    while let Some(name) = pending.pop() {
        if seen.insert(name.clone()) {
            let schema = all.get(&name).expect("a test looks every name up");
            names_in(schema, &mut pending);
            used.insert(name, schema.clone());
        }
    }
    used
}

/// What REST has no document for.
fn membership_change() -> Value {
    use MembershipChange::{ThngsAdded, ThngsCleared, ThngsRemoved};
    json!({
        "type": "object",
        "required": ["operation", "timestamp", "resources"],
        "properties": {
            "operation": { "type": "string", "enum": [ThngsAdded, ThngsRemoved, ThngsCleared] },
            "timestamp": { "type": "integer", "format": "int64", "description": "When, in milliseconds since 1970, UTC." },
            "resources": { "type": "array", "items": { "$ref": "#/components/schemas/Id" } },
        },
    })
}

fn names_in(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                names.extend(target.strip_prefix("#/components/schemas/").map(str::to_owned));
            }
            fields.values().for_each(|field| names_in(field, names));
        }
        Value::Array(items) => items.iter().for_each(|item| names_in(item, names)),
        _ => {}
    }
}

/// The template as AsyncAPI writes it.
fn address(row: &Row) -> String {
    path(row, |name| name)
}

/// The template with other names for its parameters, in braces.
fn path(row: &Row, named: impl Fn(&'static str) -> &'static str) -> String {
    let segments = row.template.split('/').map(|segment| match segment.strip_prefix(':') {
        Some(name) => format!("{{{}}}", named(name)),
        None => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The name of a channel, such as `thngProperties`.
fn name(kind: TopicKind) -> String {
    let below = |resource: &str, what: &str| format!("{resource}{}", upper(what));
    match kind {
        TopicKind::ActionTypes => "actionTypes".into(),
        TopicKind::Actions { subject, typed } => {
            let actions = if typed { "actionsOfType" } else { "actions" };
            subject.map_or_else(|| actions.into(), |subject| below(subject.name(), actions))
        }
        TopicKind::Resource(subject) => subject.name().into(),
        TopicKind::Properties { owner, keyed } => {
            below(owner.name(), if keyed { "property" } else { "properties" })
        }
        TopicKind::Location => "thngLocation".into(),
        TopicKind::Members => "collectionThngs".into(),
        TopicKind::Tasks { single } => if single { "batchTask" } else { "batchTasks" }.into(),
    }
}

fn upper(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use thng_pubsub_doc_tables::assert_documented;
    use thng_pubsub_protocol::{publish, topic::TopicString};

    use super::*;

    #[test]
    fn every_topic_is_documented() {
        let rows = TABLE.iter().map(|row| {
            let (write, right) = row.publish.map_or(("–", "–"), |publish| {
                let right = if publish.access == Access::Create { "create" } else { "update" };
                (about_write(publish.operation), right)
            });
            [format!("`{}`", row.template), write.into(), right.into(), about(row.kind)]
        });
        let columns = ["topic", "publishing", "right", "subscribers receive"];
        assert_documented("docs/topics.md", "## The table", &columns, rows);
    }

    #[test]
    fn the_server_takes_every_example() {
        for row in TABLE.iter().filter(|row| row.publish.is_some()) {
            let topic = row.template.split('/').map(|segment| match segment {
                ":key" => "temperature",
                ":type" => "_switched",
                id if id.starts_with(':') => "UeECn9a8PBpar8x4FEGdMsDd",
                literal => literal,
            });
            let topic = TopicString::parse(&topic.collect::<Vec<_>>().join("/")).expect("a topic");
            let channel = channel(row);
            let example = channel["messages"]["write"]["examples"][0]["payload"].to_string();
            let request = publish::parse_publish(&topic.topic, example.as_bytes());
            assert!(request.is_ok(), "{}: {example}: {:?}", row.template, request.err());
        }
    }

    #[test]
    fn every_row_can_be_subscribed_to_and_every_reference_resolves() {
        let document: Value = serde_json::from_str(&document()).expect("JSON");
        let operations = document["operations"].as_object().expect("an object");
        let sends = operations.values().filter(|operation| operation["action"] == "send").count();
        assert_eq!(sends, TABLE.len());
        fn check(value: &Value, document: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(target)) = fields.get("$ref") {
                        assert!(document.pointer(&target[1..]).is_some(), "{target}");
                    }
                    fields.values().for_each(|field| check(field, document));
                }
                Value::Array(items) => items.iter().for_each(|item| check(item, document)),
                _ => {}
            }
        }
        check(&document, &document);
    }
}
