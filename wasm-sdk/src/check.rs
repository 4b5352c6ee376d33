//! Checks topics and payloads as the server would, with the server's own tables and readers.
//!
//! For tests and tools of developers, and to find out why a publish at QoS 0 has no effect: MQTT has no words for it.
//! Only the server knows whether a resource exists and whether a key may write it.

use serde::Serialize;
use thng_pubsub_protocol::{
    publish::{PublishRequest, SUBSCRIBE_ONLY, parse_publish},
    topic::{
        TopicError, TopicString,
        table::{Access, OperationKind},
    },
};
use wasm_bindgen::prelude::*;

/// A topic string, read.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// The topic as the server writes it, without options.
    topic: String,
    /// Its row in the list of topics; a segment that starts with `:` is an id, a key or a name.
    template: &'static str,
    /// What publishing does; nothing for a topic that can only be watched.
    publish: Option<Publish>,
    /// What subscribing delivers and needs.
    subscribe: Subscribe,
    /// The project that the option of that name asks for.
    project: Option<String>,
    /// Whether `pubStates=1` asks for the current value.
    initial_state: bool,
    /// Whether there is an `access_token`. The token itself is not repeated.
    has_access_token: bool,
}

/// What publishing on a topic does.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Publish {
    operation: &'static str,
    right: &'static str,
}

/// What subscribing to a topic delivers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Subscribe {
    events: Vec<&'static str>,
    right: &'static str,
}

/// Reads a topic string as the server would.
///
/// # Errors
/// Why the server would refuse it.
pub fn describe(topic: &str) -> Result<Described, TopicError> {
    let TopicString { topic, options } = TopicString::parse(topic)?;
    let row = topic.kind().row();
    Ok(Described {
        topic: topic.canonical(),
        template: row.template,
        publish: row
            .publish
            .map(|publish| Publish { operation: operation(publish.operation), right: right(publish.access) }),
        subscribe: Subscribe {
            events: row.subscribe.iter().map(|event| event.name()).collect(),
            right: right(Access::Read),
        },
        project: options.project.map(|id| id.to_string()),
        initial_state: options.initial_state,
        has_access_token: options.access_token.is_some(),
    })
}

/// What the server would find wrong with a publish, one sentence a fault; empty where it would try to store it.
#[must_use]
pub fn faults(topic: &str, payload: &[u8]) -> Vec<String> {
    let topic = match TopicString::parse(topic) {
        Ok(topic) => topic.topic,
        Err(error) => return vec![format!("{error}.")],
    };
    match parse_publish(&topic, payload) {
        Ok(PublishRequest::Nothing) => vec![SUBSCRIBE_ONLY.into()],
        Ok(_) => Vec::new(),
        Err(error) => error.0,
    }
}

/// [`describe`] for JavaScript.
///
/// # Errors
/// A string: why the server would refuse the topic.
#[wasm_bindgen(js_name = describeTopic)]
pub fn describe_topic(topic: &str) -> Result<JsValue, JsValue> {
    let described = describe(topic).map_err(|error| JsValue::from(error.to_string()))?;
    Ok(described.serialize(&serde_wasm_bindgen::Serializer::new().serialize_missing_as_null(true))?)
}

/// [`faults`] for JavaScript: an array of strings.
#[must_use]
#[wasm_bindgen(js_name = checkPublish)]
pub fn check_publish(topic: &str, payload: &[u8]) -> Vec<String> {
    faults(topic, payload)
}

const fn right(access: Access) -> &'static str {
    match access {
        Access::Create => "create",
        Access::Read => "read",
        Access::Update => "update",
        Access::Delete => "delete",
    }
}

const fn operation(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::CreateActionType => "createActionType",
        OperationKind::CreateAction => "createAction",
        OperationKind::UpdateCollection => "updateCollection",
        OperationKind::AddThngs => "addThngs",
        OperationKind::UpdateProduct => "updateProduct",
        OperationKind::UpdateThng => "updateThng",
        OperationKind::UpdateLocation => "updateLocation",
        OperationKind::UpdateProperties => "updateProperties",
    }
}

#[cfg(test)]
mod tests {
    use thng_pubsub_protocol::topic::table::TABLE;

    use super::*;

    const THNG: &str = "/thngs/UeECn9a8PBpar8x4FEGdMsDd";

    #[test]
    fn a_topic_says_what_it_takes_and_what_it_delivers() {
        let text = format!("{THNG}/properties/?pubStates=1&access_token=SECRET");
        let described = describe(&text).expect("a topic");
        assert_eq!(described.topic, format!("{THNG}/properties"));
        assert_eq!(described.template, "/thngs/:thngId/properties");
        assert_eq!(described.publish, Some(Publish { operation: "updateProperties", right: "update" }));
        assert_eq!(described.subscribe, Subscribe { events: vec!["propertiesUpdated"], right: "read" });
        assert!(described.initial_state && described.has_access_token);
        assert!(!format!("{described:?}").contains("SECRET"));
    }

    #[test]
    fn what_is_no_topic_is_refused_with_the_servers_reason() {
        assert_eq!(describe("/thngs/+"), Err(TopicError::Wildcard));
        assert_eq!(
            faults("/nothing", b"1"),
            ["no resource has this path: see the list of available topics."]
        );
    }

    #[test]
    fn the_types_of_the_package_name_what_there_is() {
        let types = include_str!("../../npm/types/check.d.cts");
        for row in &TABLE {
            for event in row.subscribe {
                assert!(types.contains(&format!("| '{}'", event.name())), "{}", event.name());
            }
            if let Some(publish) = row.publish {
                let name = operation(publish.operation);
                assert!(types.contains(&format!("| '{name}'")), "{name}");
            }
        }
    }

    #[test]
    fn a_payload_that_the_server_takes_has_no_faults() {
        assert!(faults(&format!("{THNG}/properties"), br#"[{"key":"t","value":1}]"#).is_empty());
    }

    #[test]
    fn each_fault_of_a_payload_is_a_sentence() {
        assert_eq!(faults(THNG, br#"{"name":5,"tags":"red"}"#).len(), 2);
        assert_eq!(faults("/batches/UeECn9a8PBpar8x4FEGdMsDd/tasks", b"{}"), [SUBSCRIBE_ONLY]);
    }
}
