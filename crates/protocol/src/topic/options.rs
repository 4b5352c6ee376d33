//! The options of a topic string, which follow its `?`.
//!
//! `project`, `pubStates` and `access_token`, in any order, percent-encoded as in a URL (`%20`, never `+`, is a space).
//! Others are ignored, as REST passes over query parameters that it does not know.

use alloc::{borrow::Cow, boxed::Box};
use core::fmt;

use super::{TopicError, percent};
use crate::id::Id;

/// An API key as it came with a topic. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Box<str>);

impl AccessToken {
    /// The key itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<key>")
    }
}

/// What a subscriber or publisher asks for beside the topic itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicOptions {
    /// Only what is scoped to this project.
    pub project: Option<Id>,
    /// `pubStates=1`, also as `pubStates` or `pubStates=true`: the current value is sent right after the subscription.
    pub initial_state: bool,
    /// `markStates=1`: that value is marked, so that a client can tell it from an update.
    pub marks_state: bool,
    /// The key that this topic is used with, where it is not the connection's own.
    pub access_token: Option<AccessToken>,
}

impl TopicOptions {
    /// Reads the text behind the `?`.
    ///
    /// # Errors
    /// [`TopicError::Escape`], [`TopicError::Option`] for a value that the option cannot take, and
    /// [`TopicError::RepeatedOption`]: of two tokens it is unclear which one was meant.
    pub fn parse(query: &str) -> Result<Self, TopicError> {
        let mut options = Self::default();
        let (mut project, mut states) = (false, false);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, given) =
                pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
            let value = given.unwrap_or_default();
            match percent::decode(name)?.as_ref() {
                "project" => {
                    once(&mut project)?;
                    options.project = Some(read_project(value)?);
                }
                "pubStates" => {
                    once(&mut states)?;
                    options.initial_state = given.map_or(Ok(true), read_states)?;
                }
                "markStates" => options.marks_state = percent::decode(value)? == "1",
                "access_token" => {
                    let token = percent::decode(value)?;
                    if options.access_token.replace(AccessToken(token.as_ref().into())).is_some() {
                        return Err(TopicError::RepeatedOption);
                    }
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

fn once(seen: &mut bool) -> Result<(), TopicError> {
    if core::mem::replace(seen, true) { Err(TopicError::RepeatedOption) } else { Ok(()) }
}

fn read_project(value: &str) -> Result<Id, TopicError> {
    Id::parse(percent::decode(value)?.as_ref()).map_err(|_| TopicError::Option("project"))
}

fn read_states(value: &str) -> Result<bool, TopicError> {
    let value: Cow<'_, str> = percent::decode(value)?;
    match value.as_ref() {
        "true" => Ok(true),
        "false" => Ok(false),
        number => {
            number.parse::<i64>().map(|number| number == 1).map_err(|_| TopicError::Option("pubStates"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_marked_where_that_is_asked_for() {
        assert!(TopicOptions::parse("pubStates=1&markStates=1").unwrap().marks_state);
        assert!(!TopicOptions::parse("pubStates=1").unwrap().marks_state);
        assert!(!TopicOptions::parse("pubStates=1&markStates=0").unwrap().marks_state);
    }

    #[test]
    fn options_come_in_any_order_and_unknown_ones_are_passed_over() {
        let options =
            TopicOptions::parse("access_token=a%2Bb&x=1&&pubStates=1&project=UeECn9a8PBpar8x4FEGdMsDd");
        let options = options.expect("well formed");
        assert!(options.initial_state);
        assert_eq!(options.project.map(|id| id.as_str().len()), Some(24));
        assert_eq!(options.access_token.as_ref().map(AccessToken::reveal), Some("a+b"));
    }

    #[test]
    fn states_are_asked_for_by_name_alone_too() {
        for (query, expected) in [
            ("pubStates", true),
            ("pubStates=true", true),
            ("pubStates=1", true),
            ("x=1&pubStates&project=UeECn9a8PBpar8x4FEGdMsDd", true),
            ("pubStates=0", false),
            ("pubStates=false", false),
        ] {
            let options = TopicOptions::parse(query).expect(query);
            assert_eq!(options.initial_state, expected, "{query}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let options = TopicOptions::parse("access_token=verysecret").expect("well formed");
        assert!(!std::format!("{options:?}").contains("verysecret"));
    }

    #[test]
    fn what_an_option_cannot_mean_is_refused() {
        assert_eq!(TopicOptions::parse("pubStates=yes"), Err(TopicError::Option("pubStates")));
        assert_eq!(TopicOptions::parse("pubStates="), Err(TopicError::Option("pubStates")));
        assert_eq!(TopicOptions::parse("project=a/b"), Err(TopicError::Option("project")));
        assert_eq!(TopicOptions::parse("access_token=a&access_token=b"), Err(TopicError::RepeatedOption));
        assert_eq!(TopicOptions::parse("pubStates=%zz"), Err(TopicError::Escape));
        assert_eq!(TopicOptions::parse("pubStates=0"), Ok(TopicOptions::default()));
    }
}
