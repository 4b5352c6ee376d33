//! Topics: the REST paths that can be published and subscribed to, as a typed value.
//!
//! [`TopicString::parse`] reads what a client sent (`thngs/ID/properties?pubStates=1`). It accepts a missing leading
//! and an added trailing slash, which clients in the field send. [`Topic`]'s `Display` writes the one canonical form.
//! [`table`] defines the topics and their meaning; the store knows whether the resource exists.

use alloc::{borrow::Cow, string::String};
use core::fmt;

use crate::{
    id::{ActionTypeName, Id, IdError, PropertyKey},
    limits,
};

mod options;
mod percent;
mod subject;
pub mod table;

pub use options::{AccessToken, TopicOptions};
pub use subject::{OwnerKind, PropertyOwner, Subject, SubjectKind};
use table::{SEGMENTS_MAX, Segment, TABLE, TopicKind};

/// Why a string is no topic of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Longer than [`limits::TOPIC_BYTES_MAX`].
    #[error("the topic is longer than {} bytes", limits::TOPIC_BYTES_MAX)]
    TooLong,
    /// A wildcard. Resources are watched by their own topic; `/actions/all` and `/properties` span what belongs together.
    #[error("wildcards (+ and #) are not supported: subscribe to the resource's own topic")]
    Wildcard,
    /// No row of the table has this shape.
    #[error("no resource has this path: see the list of available topics")]
    Unknown,
    /// The path has the right shape, but an id, key or name in it cannot be one.
    #[error("{0}")]
    Name(#[from] IdError),
    /// A `%` that is not followed by two hexadecimal digits, or that decodes to something that is not UTF-8.
    #[error("a % in the topic is not a valid escape of UTF-8 text")]
    Escape,
    /// An option with a value that it cannot take.
    #[error("the topic option '{0}' has a value that it cannot take")]
    Option(&'static str),
    /// An option that is given twice.
    #[error("a topic option is given more than once")]
    RepeatedOption,
}

/// A resource that is also a topic. [`table::TABLE`] has its paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The action types.
    ActionTypes,
    /// Actions.
    Actions {
        /// What they are about; `None` for all actions of the account.
        subject: Option<Subject>,
        /// Their type; `None` for every type.
        action_type: Option<ActionTypeName>,
    },
    /// A resource's own fields.
    Resource {
        /// Its kind.
        kind: SubjectKind,
        /// Its id.
        id: Id,
    },
    /// Properties.
    Properties {
        /// The resource that has them.
        owner: PropertyOwner,
        /// The key of one property; `None` for all of them.
        key: Option<PropertyKey>,
    },
    /// The location of a thng.
    Location {
        /// The thng.
        thng: Id,
    },
    /// The thngs in a collection.
    Members {
        /// The collection.
        collection: Id,
    },
    /// Tasks of a batch.
    Tasks {
        /// The batch.
        batch: Id,
        /// One task; `None` for all of them.
        task: Option<Id>,
    },
}

/// A parsed topic string: the topic and the options behind its `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicString {
    /// The resource.
    pub topic: Topic,
    /// The options.
    pub options: TopicOptions,
}

impl TopicString {
    /// Reads a topic name or filter as a client sent it.
    ///
    /// # Errors
    /// [`TopicError`]; none of them repeats the text, which may hold a key.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if text.len() > limits::TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong);
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        Ok(Self { topic: Topic::parse_path(path)?, options: TopicOptions::parse(query)? })
    }
}

/// The segments of a path, each with its percent-escapes undone: at most as many as the longest row has.
struct Path<'a> {
    segments: [&'a str; SEGMENTS_MAX],
    count: usize,
}

impl<'a> Path<'a> {
    fn split(path: &'a str) -> Result<Self, TopicError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = [""; SEGMENTS_MAX];
        let mut count = 0;
        for segment in path.split('/') {
            if segment == "+" || segment == "#" {
                return Err(TopicError::Wildcard);
            }
            *segments.get_mut(count).ok_or(TopicError::Unknown)? = segment;
            count += 1;
        }
        Ok(Self { segments, count })
    }

    fn as_slice(&self) -> &[&'a str] {
        &self.segments[..self.count]
    }

    fn matches(&self, row: &table::Row) -> bool {
        let (template, given) = (row.segments(), self.as_slice());
        template.len() == given.len()
            && template.iter().zip(given).all(|(expected, segment)| match expected {
                Segment::Literal(literal) => segment == literal,
                Segment::Parameter => !segment.is_empty(),
            })
    }

    /// The segments at the parameters of a row that the path matches.
    fn parameters(&self, row: &table::Row) -> Parameters<impl Iterator<Item = &'a str>> {
        let segments = row.segments().iter().zip(self.segments);
        Parameters(segments.filter(|(expected, _)| **expected == Segment::Parameter).map(|(_, given)| given))
    }
}

/// Reads the parameters of a path from left to right.
struct Parameters<I>(I);

impl<'a, I: Iterator<Item = &'a str>> Parameters<I> {
    fn text(&mut self) -> Result<Cow<'a, str>, TopicError> {
        percent::decode(self.0.next().expect("a row's template has a parameter for each value of its kind"))
    }

    fn id(&mut self) -> Result<Id, TopicError> {
        Ok(Id::parse(&self.text()?)?)
    }

    fn key(&mut self) -> Result<PropertyKey, TopicError> {
        Ok(PropertyKey::parse(&self.text()?)?)
    }

    fn action_type(&mut self) -> Result<ActionTypeName, TopicError> {
        Ok(ActionTypeName::parse(&self.text()?)?)
    }
}

impl Topic {
    /// Reads a path without options, with or without its leading and a trailing slash.
    ///
    /// # Errors
    /// [`TopicError`].
    pub fn parse_path(path: &str) -> Result<Self, TopicError> {
        let path = Path::split(path)?;
        let row = TABLE.iter().find(|row| path.matches(row)).ok_or(TopicError::Unknown)?;
        let mut parameters = path.parameters(row);
        Ok(match row.kind {
            TopicKind::ActionTypes => Self::ActionTypes,
            TopicKind::Actions { subject, typed } => Self::Actions {
                subject: match subject {
                    Some(kind) => Some(Subject { kind, id: parameters.id()? }),
                    None => None,
                },
                action_type: typed.then(|| parameters.action_type()).transpose()?,
            },
            TopicKind::Resource(kind) => Self::Resource { kind, id: parameters.id()? },
            TopicKind::Properties { owner, keyed } => Self::Properties {
                owner: owner.with_id(parameters.id()?),
                key: keyed.then(|| parameters.key()).transpose()?,
            },
            TopicKind::Location => Self::Location { thng: parameters.id()? },
            TopicKind::Members => Self::Members { collection: parameters.id()? },
            TopicKind::Tasks { single } => {
                Self::Tasks { batch: parameters.id()?, task: single.then(|| parameters.id()).transpose()? }
            }
        })
    }

    /// The kind of its row in the table.
    #[must_use]
    pub fn kind(&self) -> TopicKind {
        self.parts().0
    }

    /// The kind of its row, and the values of the template's parameters in their order.
    fn parts(&self) -> (TopicKind, [Option<&str>; 2]) {
        match self {
            Self::ActionTypes => (TopicKind::ActionTypes, [None, None]),
            Self::Actions { subject, action_type } => {
                let subject = subject.as_ref();
                let kind = TopicKind::Actions {
                    subject: subject.map(|subject| subject.kind),
                    typed: action_type.is_some(),
                };
                let id = subject.map(|subject| subject.id.as_str());
                (kind, [id, action_type.as_ref().map(ActionTypeName::as_str)])
            }
            Self::Resource { kind, id } => (TopicKind::Resource(*kind), [Some(id.as_str()), None]),
            Self::Properties { owner, key } => {
                let kind = TopicKind::Properties { owner: owner.kind(), keyed: key.is_some() };
                let (PropertyOwner::Product(id) | PropertyOwner::Thng(id)) = owner;
                (kind, [Some(id.as_str()), key.as_ref().map(PropertyKey::as_str)])
            }
            Self::Location { thng } => (TopicKind::Location, [Some(thng.as_str()), None]),
            Self::Members { collection } => (TopicKind::Members, [Some(collection.as_str()), None]),
            Self::Tasks { batch, task } => {
                let kind = TopicKind::Tasks { single: task.is_some() };
                (kind, [Some(batch.as_str()), task.as_ref().map(Id::as_str)])
            }
        }
    }

    /// The canonical form: leading slash, no trailing one, escapes only where they are needed, no options.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut out = String::with_capacity(96);
        self.write_canonical(&mut out);
        out
    }

    /// Appends the canonical form.
    pub fn write_canonical(&self, out: &mut String) {
        let (kind, parameters) = self.parts();
        let mut parameters = parameters.into_iter().flatten();
        for segment in kind.row().segments() {
            out.push('/');
            match segment {
                Segment::Literal(literal) => out.push_str(literal),
                Segment::Parameter => {
                    let value = parameters.next().expect("a topic has a value for each parameter of its row");
                    percent::encode(value, out);
                }
            }
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.canonical())
    }
}

#[cfg(test)]
mod tests;
