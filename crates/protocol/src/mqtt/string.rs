//! The three kinds of strings on the wire, checked alike when read and when written.
//!
//! Well-formed UTF-8 is what makes a `str`, so only the rest is judged here.
//! A byte order mark is a character like any other and stays `[MQTT-1.5.3-3]`. Control and non-characters, which
//! a receiver may refuse (section 1.5.3), pass. The server's topic grammar says where a filter may have wildcards.

use super::PacketError;

/// A client identifier, a user name.
pub(super) fn check_string(text: &str) -> Result<(), PacketError> {
    // Not `contains`: these strings are short, and its search by words is ten times the code in the SDK.
    if text.bytes().any(|byte| byte == 0) {
        return Err(PacketError::NullCharacter); // [MQTT-1.5.3-2]
    }
    Ok(())
}

/// The topic of a PUBLISH or of a will.
pub(super) fn check_topic_name(topic: &str) -> Result<(), PacketError> {
    if topic.is_empty() {
        return Err(PacketError::EmptyTopic); // [MQTT-4.7.3-1]
    }
    // To the end, whatever is found on the way: without an early exit the loop runs on many bytes at a time.
    if topic.bytes().fold(false, |found, byte| found | matches!(byte, 0 | b'+' | b'#')) {
        check_string(topic)?; // [MQTT-4.7.3-2]
        return Err(PacketError::WildcardInTopicName); // [MQTT-3.3.2-2] [MQTT-4.7.1-1]
    }
    Ok(())
}

/// What a client subscribes to.
pub(super) fn check_topic_filter(filter: &str) -> Result<(), PacketError> {
    if filter.is_empty() {
        return Err(PacketError::EmptyTopic); // [MQTT-4.7.3-1]
    }
    check_string(filter)
}
