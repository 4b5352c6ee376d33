//! Checks what the server promises for every message on a native WebSocket, before it reads the store.
//!
//! The input is the path that the socket was opened on, a line feed, and one message. The server does not distinguish
//! text and binary messages, and another library parses their frames. Three things are ours: the reader that the path
//! chooses, the answer, and that a message from the server can be sent back to it. `payload` checks the readers.

use std::collections::BTreeMap;

use serde_json::Value;
use thng_pubsub_protocol::{
    id::PropertyKey,
    payload::{ErrorCode, ErrorDocument, PropertyUpdate, history_document, latest_document, update_document},
    topic::{Topic, TopicString},
};

use super::reader::{Read, Reader, updates};

/// Reads the second part of `bytes` as a message on the topic that the first part is.
///
/// # Panics
/// If what answers a message, or tells of it, is not what clients take.
pub fn check(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (path, message) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(path) = std::str::from_utf8(path) else { return };
    let path = path.strip_prefix("/v2").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let Ok(TopicString { topic, .. }) = TopicString::parse(path) else { return };
    let Some(reader) = Reader::of_topic(&topic) else { return };
    match reader.read(message) {
        Err(error) => check_refusal(ErrorDocument::new(ErrorCode::INVALID, error.0)),
        Ok(read) => check_notified(&topic, &reader, &read),
    }
}

fn check_refusal(document: ErrorDocument) {
    let (status, code, errors) = (document.status, document.code, document.errors.clone());
    let json: Value = serde_json::from_str(&document.to_json()).expect("an error document is JSON");
    let members: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["code", "errors", "moreInfo", "status"]);
    assert_eq!(
        (&json["status"], &json["code"], &json["errors"]),
        (&status.into(), &code.into(), &errors.into())
    );
}

fn check_notified(topic: &Topic, reader: &Reader, read: &Read) {
    if let Ok(documents) = read.documents() {
        for document in &documents {
            check_sent_back(reader, document);
        }
    }
    if let Read::Writes(writes) = read {
        check_values(topic, &updates(writes));
    }
}

/// What a socket was sent, it may send: it means the same again.
fn check_sent_back(reader: &Reader, document: &str) {
    let _: Value = serde_json::from_str(document).expect("every reader of JSON reads a notification");
    let read = reader.read(document.as_bytes());
    let again = read.and_then(|read| read.documents());
    assert_eq!(again.as_deref(), Ok(&[document.to_owned()][..]), "sent back on {reader:?}");
}

/// Each key's own topic tells of its own values, in a form that it takes.
fn check_values(topic: &Topic, updates: &[PropertyUpdate]) {
    for update in updates {
        let own = match topic {
            Topic::Properties { owner, key: None } => {
                Topic::Properties { owner: *owner, key: Some(update.key.clone()) }
            }
            of_one_key => of_one_key.clone(),
        };
        let own = TopicString::parse(&own.canonical()).expect("a topic that we print is one").topic;
        let reader = Reader::of_topic(&own).expect("properties can be published");
        check_sent_back(&reader, &update_document([update]));
        let history = reader.read(history_document([update]).as_bytes());
        assert_eq!(history, reader.read(update_document([update]).as_bytes()), "without its key on {own}");
    }
    let by_key: BTreeMap<&PropertyKey, &PropertyUpdate> =
        updates.iter().map(|update| (&update.key, update)).collect();
    let latest = latest_document(by_key.values().copied());
    let latest: Value = serde_json::from_str(latest.as_str()).expect("the latest values are JSON");
    assert_eq!(latest.as_object().expect("an object").len(), by_key.len());
    for (key, update) in by_key {
        let value: Value = serde_json::from_str(update.value.as_str()).expect("a value is JSON");
        assert_eq!(latest[key.as_str()], value, "{key}");
    }
}
