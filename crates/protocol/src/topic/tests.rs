//! The topic grammar: every row, the tolerances, the refusals, and the round trip as a property.

use proptest::prelude::*;
use std::{format, string::String, string::ToString, vec::Vec};

use super::{table::TABLE, *};

const ID: &str = "UeECn9a8PBpar8x4FEGdMsDd";

fn topic_of(row: &table::Row) -> String {
    row.template
        .replace(":type", "_custom")
        .replace(":key", "temperature")
        .split('/')
        .map(|segment| if segment.starts_with(':') { ID } else { segment })
        .collect::<Vec<_>>()
        .join("/")
}

#[test]
fn every_row_parses_to_its_own_kind_and_prints_back() {
    for row in &TABLE {
        let text = topic_of(row);
        let topic = Topic::parse_path(&text).expect("a row of the table is a topic");
        assert_eq!(topic.kind(), row.kind, "{text}");
        assert_eq!(topic.to_string(), text);
    }
}

#[test]
fn slashes_and_options_around_a_topic_do_not_change_it() {
    for row in &TABLE {
        let text = topic_of(row);
        let topic = Topic::parse_path(&text).expect("a row of the table is a topic");
        let bare = text.trim_start_matches('/');
        for variant in
            [format!("{text}/"), bare.to_string(), format!("{bare}/"), format!("{text}?pubStates=1&x=y")]
        {
            let read = TopicString::parse(&variant).expect("a tolerated spelling");
            assert_eq!(read.topic, topic, "{variant}");
            assert_eq!(read.options.initial_state, variant.contains("pubStates=1"));
        }
    }
}

#[test]
fn all_means_every_type_and_not_a_type_of_that_name() {
    assert_eq!(Topic::parse_path("/actions/all"), Ok(Topic::Actions { subject: None, action_type: None }));
    let subject = Some(Subject { kind: SubjectKind::Thng, id: Id::parse(ID).expect("an id") });
    let of_thng = Topic::Actions { subject, action_type: None };
    assert_eq!(Topic::parse_path(&format!("/thngs/{ID}/actions/all")), Ok(of_thng));
    assert_eq!(Topic::parse_path("/actions/%61ll"), Err(TopicError::Name(IdError::ActionType)));
}

#[test]
fn a_type_with_a_space_travels_percent_encoded() {
    let topic = Topic::parse_path("/actions/_x%20y").expect("an escape");
    assert_eq!(topic.to_string(), "/actions/_x%20y");
}

#[test]
fn what_is_no_topic_is_refused_with_its_reason() {
    let long = "/".repeat(65_000);
    let cases: [(&str, TopicError); 12] = [
        ("", TopicError::Unknown),
        ("/", TopicError::Unknown),
        ("//", TopicError::Unknown),
        ("/thngs", TopicError::Unknown),
        ("/thngs//properties", TopicError::Unknown),
        ("/thngs/UeECn9a8PBpar8x4FEGdMsDd/properties/a/b", TopicError::Unknown),
        ("/thngs/nope/properties", TopicError::Name(IdError::Malformed)),
        ("/thngs/UeECn9a8PBpar8x4FEGdMsDd/properties/a b", TopicError::Name(IdError::PropertyKey)),
        ("/thngs/+/properties", TopicError::Wildcard),
        ("#", TopicError::Wildcard),
        ("étage/1", TopicError::Unknown),
        (&long, TopicError::TooLong),
    ];
    for (text, error) in cases {
        assert_eq!(TopicString::parse(text).map(|read| read.topic), Err(error), "{:.40}", text);
    }
}

fn any_id() -> impl Strategy<Value = Id> {
    "[A-Za-z0-9]{24}".prop_map(|text| Id::parse(&text).expect("the pattern of an id"))
}

fn any_key() -> impl Strategy<Value = PropertyKey> {
    "[A-Za-z0-9_.:-]{1,128}".prop_map(|text| PropertyKey::parse(&text).expect("the pattern of a key"))
}

fn any_type() -> impl Strategy<Value = ActionTypeName> {
    "\\PC{1,40}".prop_filter_map("a name of an action type", |text| ActionTypeName::parse(&text).ok())
}

fn any_topic() -> impl Strategy<Value = Topic> {
    (0..TABLE.len(), any_id(), any_id(), any_key(), any_type()).prop_map(
        |(index, id, task, key, action_type)| match TABLE[index].kind {
            TopicKind::ActionTypes => Topic::ActionTypes,
            TopicKind::Actions { subject, typed } => Topic::Actions {
                subject: subject.map(|kind| Subject { kind, id }),
                action_type: typed.then_some(action_type),
            },
            TopicKind::Resource(kind) => Topic::Resource { kind, id },
            TopicKind::Properties { owner, keyed } => {
                Topic::Properties { owner: owner.with_id(id), key: keyed.then_some(key) }
            }
            TopicKind::Location => Topic::Location { thng: id },
            TopicKind::Members => Topic::Members { collection: id },
            TopicKind::Tasks { single } => Topic::Tasks { batch: id, task: single.then_some(task) },
        },
    )
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same_topic(topic in any_topic()) {
        let text = topic.canonical();
        prop_assert_eq!(Topic::parse_path(&text), Ok(topic.clone()));
        prop_assert_eq!(TopicString::parse(&text).map(|read| read.topic), Ok(topic));
    }

    #[test]
    fn whatever_parses_prints_to_one_canonical_form(text in "/?(thngs|products|actions|collections|batches)(/[A-Za-z0-9_%.:]{1,24}){0,4}/?") {
        if let Ok(topic) = Topic::parse_path(&text) {
            let canonical = topic.canonical();
            prop_assert_eq!(Topic::parse_path(&canonical).map(|again| again.canonical()), Ok(canonical));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = TopicString::parse(&text);
    }
}
