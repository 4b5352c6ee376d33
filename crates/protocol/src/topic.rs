//! Topics: the REST paths that can be published and subscribed to, as a typed value.
//!
//! [`TopicString::parse`] reads what a client sent (`thngs/ID/properties?pubStates=1`). It accepts a missing leading
//! and an added trailing slash, which clients in the field send. [`Topic`]'s `Display` writes the one canonical form.
//! [`table`] defines the topics and their meaning; the store knows whether the resource exists.

use alloc::string::String;
use core::fmt;

use crate::{
    id::{ActionTypeName, Id, IdError, PropertyKey},
    limits,
};

mod options;
mod percent;
pub mod table;

pub use options::{AccessToken, TopicOptions};
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

/// A resource that is also a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is a row of table::TABLE and is described there")]
pub enum Topic {
    ActionTypes,
    Actions,
    ActionsOfType { action_type: ActionTypeName },
    BatchTasks { batch: Id },
    BatchTask { batch: Id, task: Id },
    Collection { collection: Id },
    CollectionActionsOfType { collection: Id, action_type: ActionTypeName },
    CollectionActions { collection: Id },
    CollectionThngs { collection: Id },
    Product { product: Id },
    ProductActionsOfType { product: Id, action_type: ActionTypeName },
    ProductActions { product: Id },
    ProductProperties { product: Id },
    ProductProperty { product: Id, key: PropertyKey },
    Thng { thng: Id },
    ThngActionsOfType { thng: Id, action_type: ActionTypeName },
    ThngActions { thng: Id },
    ThngLocation { thng: Id },
    ThngProperties { thng: Id },
    ThngProperty { thng: Id, key: PropertyKey },
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

    fn text(&self, index: usize) -> Result<alloc::borrow::Cow<'a, str>, TopicError> {
        percent::decode(self.segments[index])
    }

    fn id(&self, index: usize) -> Result<Id, TopicError> {
        Ok(Id::parse(&self.text(index)?)?)
    }

    fn key(&self) -> Result<PropertyKey, TopicError> {
        Ok(PropertyKey::parse(&self.text(3)?)?)
    }

    fn action_type(&self, index: usize) -> Result<ActionTypeName, TopicError> {
        Ok(ActionTypeName::parse(&self.text(index)?)?)
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
        Ok(match row.kind {
            TopicKind::ActionTypes => Self::ActionTypes,
            TopicKind::Actions => Self::Actions,
            TopicKind::ActionsOfType => Self::ActionsOfType { action_type: path.action_type(1)? },
            TopicKind::BatchTasks => Self::BatchTasks { batch: path.id(1)? },
            TopicKind::BatchTask => Self::BatchTask { batch: path.id(1)?, task: path.id(3)? },
            TopicKind::Collection => Self::Collection { collection: path.id(1)? },
            TopicKind::CollectionActionsOfType => {
                Self::CollectionActionsOfType { collection: path.id(1)?, action_type: path.action_type(3)? }
            }
            TopicKind::CollectionActions => Self::CollectionActions { collection: path.id(1)? },
            TopicKind::CollectionThngs => Self::CollectionThngs { collection: path.id(1)? },
            TopicKind::Product => Self::Product { product: path.id(1)? },
            TopicKind::ProductActionsOfType => {
                Self::ProductActionsOfType { product: path.id(1)?, action_type: path.action_type(3)? }
            }
            TopicKind::ProductActions => Self::ProductActions { product: path.id(1)? },
            TopicKind::ProductProperties => Self::ProductProperties { product: path.id(1)? },
            TopicKind::ProductProperty => Self::ProductProperty { product: path.id(1)?, key: path.key()? },
            TopicKind::Thng => Self::Thng { thng: path.id(1)? },
            TopicKind::ThngActionsOfType => {
                Self::ThngActionsOfType { thng: path.id(1)?, action_type: path.action_type(3)? }
            }
            TopicKind::ThngActions => Self::ThngActions { thng: path.id(1)? },
            TopicKind::ThngLocation => Self::ThngLocation { thng: path.id(1)? },
            TopicKind::ThngProperties => Self::ThngProperties { thng: path.id(1)? },
            TopicKind::ThngProperty => Self::ThngProperty { thng: path.id(1)?, key: path.key()? },
        })
    }

    /// Which row of the table this is.
    #[must_use]
    pub fn kind(&self) -> TopicKind {
        match self {
            Self::ActionTypes => TopicKind::ActionTypes,
            Self::Actions => TopicKind::Actions,
            Self::ActionsOfType { .. } => TopicKind::ActionsOfType,
            Self::BatchTasks { .. } => TopicKind::BatchTasks,
            Self::BatchTask { .. } => TopicKind::BatchTask,
            Self::Collection { .. } => TopicKind::Collection,
            Self::CollectionActionsOfType { .. } => TopicKind::CollectionActionsOfType,
            Self::CollectionActions { .. } => TopicKind::CollectionActions,
            Self::CollectionThngs { .. } => TopicKind::CollectionThngs,
            Self::Product { .. } => TopicKind::Product,
            Self::ProductActionsOfType { .. } => TopicKind::ProductActionsOfType,
            Self::ProductActions { .. } => TopicKind::ProductActions,
            Self::ProductProperties { .. } => TopicKind::ProductProperties,
            Self::ProductProperty { .. } => TopicKind::ProductProperty,
            Self::Thng { .. } => TopicKind::Thng,
            Self::ThngActionsOfType { .. } => TopicKind::ThngActionsOfType,
            Self::ThngActions { .. } => TopicKind::ThngActions,
            Self::ThngLocation { .. } => TopicKind::ThngLocation,
            Self::ThngProperties { .. } => TopicKind::ThngProperties,
            Self::ThngProperty { .. } => TopicKind::ThngProperty,
        }
    }

    /// The values of the template's parameters, in their order.
    fn parameters(&self) -> [&str; 2] {
        match self {
            Self::ActionTypes | Self::Actions => ["", ""],
            Self::ActionsOfType { action_type } => [action_type.as_str(), ""],
            Self::BatchTasks { batch } => [batch.as_str(), ""],
            Self::BatchTask { batch, task } => [batch.as_str(), task.as_str()],
            Self::Collection { collection: id }
            | Self::CollectionActions { collection: id }
            | Self::CollectionThngs { collection: id }
            | Self::Product { product: id }
            | Self::ProductActions { product: id }
            | Self::ProductProperties { product: id }
            | Self::Thng { thng: id }
            | Self::ThngActions { thng: id }
            | Self::ThngLocation { thng: id }
            | Self::ThngProperties { thng: id } => [id.as_str(), ""],
            Self::CollectionActionsOfType { collection: id, action_type }
            | Self::ProductActionsOfType { product: id, action_type }
            | Self::ThngActionsOfType { thng: id, action_type } => [id.as_str(), action_type.as_str()],
            Self::ProductProperty { product: id, key } | Self::ThngProperty { thng: id, key } => {
                [id.as_str(), key.as_str()]
            }
        }
    }

    /// The canonical form: leading slash, no trailing one, escapes only where they are needed, no options.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut out = String::with_capacity(96);
        let mut parameters = self.parameters().into_iter();
        for segment in self.kind().row().segments() {
            out.push('/');
            match segment {
                Segment::Literal(literal) => out.push_str(literal),
                Segment::Parameter => {
                    percent::encode(
                        parameters.next().expect("no template has more than two parameters"),
                        &mut out,
                    );
                }
            }
        }
        out
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.canonical())
    }
}

#[cfg(test)]
mod tests;
