//! Checks what the parser of topics and their options promises for every text.
//!
//! The input is a topic string as a client sends it: a path, and options behind a `?`.

use std::fmt::Write as _;

use thng_pubsub_protocol::{
    limits,
    topic::{Topic, TopicError, TopicOptions, TopicString},
};

use super::percent_decoded;

/// Bytes that a canonical topic has at the most: 22 for the words of the longest row, an id, and an action type's name
/// of 256 bytes, each escaped.
const CANONICAL_BYTES_MAX: usize = 22 + limits::ID_CHARS + 3 * limits::ACTION_TYPE_BYTES_MAX;

/// Reads `bytes` as a topic string.
///
/// # Panics
/// If the reader of topics breaks one of its promises.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let (topic, options) = (Topic::parse_path(path), TopicOptions::parse(query));
    // Both parts are read, also where the whole is refused for the other one.
    if let Ok(topic) = &topic {
        check_topic(path, topic);
    }
    match &options {
        Ok(options) => check_options(query, options),
        Err(error) => check_refused_options(query, *error),
    }
    let expected = if text.len() > limits::TOPIC_BYTES_MAX {
        Err(TopicError::TooLong)
    } else {
        topic.and_then(|topic| Ok(TopicString { topic, options: options? }))
    };
    assert_eq!(TopicString::parse(text), expected, "the whole is what its parts are");
}

fn check_topic(path: &str, topic: &Topic) {
    let canonical = topic.canonical();
    assert_eq!(topic.to_string(), canonical);
    assert!(canonical.len() <= CANONICAL_BYTES_MAX, "{canonical}");
    assert!(
        canonical.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#+&\"<>\\".contains(&byte)),
        "{canonical}"
    );
    let bare = &canonical[1..];
    for spelling in [&canonical, bare, &format!("{canonical}/"), &format!("{bare}/")] {
        assert_eq!(Topic::parse_path(spelling).as_ref(), Ok(topic), "{spelling}");
    }

    let given = path.strip_prefix('/').unwrap_or(path);
    let given = given.strip_suffix('/').unwrap_or(given);
    let template = topic.kind().row().template[1..].split('/');
    assert_eq!(given.split('/').count(), template.clone().count(), "{path} is {canonical}");
    assert!(!given.split('/').any(|segment| segment == "+" || segment == "#"), "{path} has a wildcard");
    for ((given, shown), template) in given.split('/').zip(bare.split('/')).zip(template) {
        let (text, shown) = (percent_decoded(given), percent_decoded(shown));
        match template {
            // The one name that is shown in another way than it was written.
            ":key" => assert_eq!(text.map(|text| text.to_ascii_lowercase()), shown, "{path}"),
            _ if template.starts_with(':') => assert_eq!(text, shown, "{path}"),
            literal => assert_eq!((given, shown.as_deref()), (literal, Some(literal)), "{path}"),
        }
    }
}

fn check_options(query: &str, options: &TopicOptions) {
    let mut written = String::new();
    if let Some(project) = &options.project {
        let _ = write!(written, "project={project}");
    }
    if let Some(token) = &options.access_token {
        written.push_str("&%61ccess_token=");
        for byte in token.reveal().bytes() {
            let _ = write!(written, "%{byte:02x}");
        }
    }
    if options.initial_state {
        written.push_str("&pubStates=1");
    }
    assert_eq!(TopicOptions::parse(&written).as_ref(), Ok(options), "written in another way: {written}");
    assert_eq!(TopicOptions::parse(&format!("x=y&&{query}&pubstates=1")).as_ref(), Ok(options), "{query}");
    let reversed: Vec<&str> = query.rsplit('&').collect();
    assert_eq!(TopicOptions::parse(&reversed.join("&")).as_ref(), Ok(options), "backwards: {query}");

    let twice = TopicOptions::parse(&format!("{query}&{query}"));
    if *options == TopicOptions::default() {
        // Nothing was said, or `pubStates=0`.
        assert!(
            twice.as_ref() == Ok(options) || twice == Err(TopicError::RepeatedOption),
            "{query}: {twice:?}"
        );
    } else {
        assert_eq!(twice, Err(TopicError::RepeatedOption), "{query}");
    }

    if options.access_token.is_some() {
        let another = TopicOptions::parse("access_token=another").expect("a key");
        let masked = TopicOptions { access_token: another.access_token, ..options.clone() };
        assert_eq!(format!("{options:?}"), format!("{masked:?}"), "a key is never printed");
    }
}

fn check_refused_options(query: &str, error: TopicError) {
    assert!(
        matches!(error, TopicError::Escape | TopicError::Option(_) | TopicError::RepeatedOption),
        "{query}: {error:?}"
    );
    let alone = |pair: &str| TopicOptions::parse(pair).is_ok();
    if error != TopicError::RepeatedOption {
        assert!(!query.split('&').all(alone), "{query}: {error:?}, but each option is taken by itself");
    } else {
        assert!(query.contains('&'), "{query} repeats nothing");
    }
}
