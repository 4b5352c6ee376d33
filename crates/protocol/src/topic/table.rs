//! The topic table: the path of every topic, what a publish on it does, what its subscribers receive, and the rights
//! that each needs.
//!
//! Topic strings are written nowhere else. Parser, printer, broker, permission check, AsyncAPI and the
//! generated tests read it. The closed matches over [`TopicKind`] and [`Topic`](super::Topic) name all other code
//! that a new kind concerns.
//!
//! Source: the product description, "Available Topics"; a row that is not listed there says so.

use super::{OwnerKind, SubjectKind};

/// The kind of a row: a [`Topic`](super::Topic) without its ids, keys and names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicKind {
    /// The action types.
    ActionTypes,
    /// Actions.
    Actions {
        /// The kind of what they are about; `None` for all actions of the account.
        subject: Option<SubjectKind>,
        /// Whether they are of one type.
        typed: bool,
    },
    /// A resource's own fields.
    Resource(SubjectKind),
    /// Properties.
    Properties {
        /// The kind of the resource that has them.
        owner: OwnerKind,
        /// Whether it is one property.
        keyed: bool,
    },
    /// The location of a thng.
    Location,
    /// The thngs in a collection.
    Members,
    /// Tasks of a batch.
    Tasks {
        /// Whether it is one task.
        single: bool,
    },
}

/// The REST write that a publish on a row performs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// `POST /actions`: a new action type.
    CreateActionType,
    /// `POST` of an action; the path says what it happened on and, unless it ends in `all`, its type.
    CreateAction,
    /// `PUT` of a collection's own fields.
    UpdateCollection,
    /// `PUT` of thng ids that join a collection.
    AddThngs,
    /// `PUT` of a product's own fields.
    UpdateProduct,
    /// `PUT` of a thng's own fields, never its properties.
    UpdateThng,
    /// `PUT` of a thng's position.
    UpdateLocation,
    /// `PUT` of one or more property values.
    UpdateProperties,
}

/// The event as a subscriber receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum EventKind {
    ActionTypeCreated,
    ActionTypeDeleted,
    ActionCreated,
    TaskCompleted,
    CollectionUpdated,
    CollectionDeleted,
    MembershipChanged,
    ProductUpdated,
    ThngUpdated,
    LocationUpdated,
    PropertiesUpdated,
}

impl EventKind {
    /// What it is called by programs, such as `propertiesUpdated`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ActionTypeCreated => "actionTypeCreated",
            Self::ActionTypeDeleted => "actionTypeDeleted",
            Self::ActionCreated => "actionCreated",
            Self::TaskCompleted => "taskCompleted",
            Self::CollectionUpdated => "collectionUpdated",
            Self::CollectionDeleted => "collectionDeleted",
            Self::MembershipChanged => "membershipChanged",
            Self::ProductUpdated => "productUpdated",
            Self::ThngUpdated => "thngUpdated",
            Self::LocationUpdated => "locationUpdated",
            Self::PropertiesUpdated => "propertiesUpdated",
        }
    }
}

/// A right on a path, as a role's permissions spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `c`, REST's `POST`.
    Create,
    /// `r`, REST's `GET`, and what a subscription needs.
    Read,
    /// `u`, REST's `PUT`.
    Update,
    /// `d`, REST's `DELETE`.
    Delete,
}

/// What a row offers to those who publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// The write that a publish performs.
    pub operation: OperationKind,
    /// The right that it needs on the resource's path.
    pub access: Access,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The topics of this row.
    pub kind: TopicKind,
    /// The REST path; a segment that starts with `:` is an id, a key or a name.
    pub template: &'static str,
    /// What publishing does, or `None` for a topic that can only be subscribed to.
    pub publish: Option<Publish>,
    /// What subscribing delivers. Every subscription needs [`Access::Read`] on the resource's path.
    pub subscribe: &'static [EventKind],
    /// `template`, split before the program runs: a path is compared with all rows.
    segments: Segments,
}

const fn create(operation: OperationKind) -> Option<Publish> {
    Some(Publish { operation, access: Access::Create })
}

const fn update(operation: OperationKind) -> Option<Publish> {
    Some(Publish { operation, access: Access::Update })
}

const fn row(
    kind: TopicKind,
    template: &'static str,
    publish: Option<Publish>,
    subscribe: &'static [EventKind],
) -> Row {
    Row { kind, template, publish, subscribe, segments: Segments::split(template) }
}

const fn actions(subject: Option<SubjectKind>, typed: bool) -> TopicKind {
    TopicKind::Actions { subject, typed }
}

const fn properties(owner: OwnerKind, keyed: bool) -> TopicKind {
    TopicKind::Properties { owner, keyed }
}

/// The rows. The first that matches a path counts. A literal segment comes before a parameter in the same position:
/// `all` is never taken for the name of an action type.
#[rustfmt::skip]
pub static TABLE: [Row; 20] = [
    row(TopicKind::ActionTypes, "/actions",
        create(OperationKind::CreateActionType), &[EventKind::ActionTypeCreated]),
    row(actions(None, false), "/actions/all",
        create(OperationKind::CreateAction), &[EventKind::ActionCreated]),
    row(actions(None, true), "/actions/:type",
        create(OperationKind::CreateAction), &[EventKind::ActionCreated, EventKind::ActionTypeDeleted]),
    row(TopicKind::Tasks { single: false }, "/batches/:batchId/tasks",
        None, &[EventKind::TaskCompleted]),
    row(TopicKind::Tasks { single: true }, "/batches/:batchId/tasks/:taskId",
        None, &[EventKind::TaskCompleted]),
    row(TopicKind::Resource(SubjectKind::Collection), "/collections/:collectionId",
        update(OperationKind::UpdateCollection), &[EventKind::CollectionUpdated, EventKind::CollectionDeleted]),
    row(actions(Some(SubjectKind::Collection), false), "/collections/:collectionId/actions/all",
        create(OperationKind::CreateAction), &[EventKind::ActionCreated]),
    row(actions(Some(SubjectKind::Collection), true), "/collections/:collectionId/actions/:type",
        create(OperationKind::CreateAction), &[EventKind::ActionCreated]),
    row(TopicKind::Members, "/collections/:collectionId/thngs",
        update(OperationKind::AddThngs), &[EventKind::MembershipChanged]),
    // Not in the product description's list; the SDK's product resource needs it, in the manner of a thng.
    row(TopicKind::Resource(SubjectKind::Product), "/products/:productId",
        update(OperationKind::UpdateProduct), &[EventKind::ProductUpdated]),
    row(actions(Some(SubjectKind::Product), false), "/products/:productId/actions/all",
        create(OperationKind::CreateAction), &[EventKind::ActionCreated]),
    row(actions(Some(SubjectKind::Product), true), "/products/:productId/actions/:type",
        create(OperationKind::CreateAction), &[EventKind::ActionCreated]),
    row(properties(OwnerKind::Product, false), "/products/:productId/properties",
        update(OperationKind::UpdateProperties), &[EventKind::PropertiesUpdated]),
    row(properties(OwnerKind::Product, true), "/products/:productId/properties/:key",
        update(OperationKind::UpdateProperties), &[EventKind::PropertiesUpdated]),
    row(TopicKind::Resource(SubjectKind::Thng), "/thngs/:thngId",
        update(OperationKind::UpdateThng), &[EventKind::ThngUpdated]),
    row(actions(Some(SubjectKind::Thng), false), "/thngs/:thngId/actions/all",
        create(OperationKind::CreateAction), &[EventKind::ActionCreated]),
    row(actions(Some(SubjectKind::Thng), true), "/thngs/:thngId/actions/:type",
        create(OperationKind::CreateAction), &[EventKind::ActionCreated]),
    row(TopicKind::Location, "/thngs/:thngId/location",
        update(OperationKind::UpdateLocation), &[EventKind::LocationUpdated]),
    row(properties(OwnerKind::Thng, false), "/thngs/:thngId/properties",
        update(OperationKind::UpdateProperties), &[EventKind::PropertiesUpdated]),
    row(properties(OwnerKind::Thng, true), "/thngs/:thngId/properties/:key",
        update(OperationKind::UpdateProperties), &[EventKind::PropertiesUpdated]),
];

impl TopicKind {
    /// The row of this kind.
    #[must_use]
    pub fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.kind == self).expect("every kind has a row")
    }
}

/// What a segment of a template asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    /// Exactly this text.
    Literal(&'static str),
    /// An id, a key or a name.
    Parameter,
}

impl Row {
    /// The segments of its template.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments.list[..self.segments.count]
    }
}

/// Segments of the longest template.
pub(super) const SEGMENTS_MAX: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segments {
    list: [Segment; SEGMENTS_MAX],
    count: usize,
}

impl Segments {
    const fn split(template: &'static str) -> Self {
        let mut split = Self { list: [Segment::Parameter; SEGMENTS_MAX], count: 0 };
        let mut rest = template;
        while !rest.is_empty() {
            // Each segment begins with its slash.
            let mut end = 1;
            while end < rest.len() && rest.as_bytes()[end] != b'/' {
                end += 1;
            }
            let (segment, behind) = rest.split_at(end);
            let (_, name) = segment.split_at(1);
            if name.as_bytes()[0] != b':' {
                split.list[split.count] = Segment::Literal(name);
            }
            split.count += 1;
            rest = behind;
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn every_kind_has_exactly_one_row() {
        let both = [false, true];
        let subjects = SubjectKind::ALL.map(Some).into_iter().chain([None]);
        let mut kinds = vec![TopicKind::ActionTypes, TopicKind::Location, TopicKind::Members];
        kinds.extend(SubjectKind::ALL.map(TopicKind::Resource));
        kinds.extend(both.map(|single| TopicKind::Tasks { single }));
        kinds.extend(subjects.flat_map(|subject| both.map(|typed| actions(subject, typed))));
        kinds.extend(OwnerKind::ALL.iter().flat_map(|owner| both.map(|keyed| properties(*owner, keyed))));
        assert_eq!(kinds.len(), TABLE.len());
        for kind in kinds {
            assert_eq!(TABLE.iter().filter(|row| row.kind == kind).count(), 1, "{kind:?}");
            assert_eq!(kind.row().kind, kind);
        }
    }

    #[test]
    fn a_template_is_its_segments() {
        for row in &TABLE {
            let written = row.template[1..].split('/').map(|segment| match segment.starts_with(':') {
                true => Segment::Parameter,
                false => Segment::Literal(segment),
            });
            assert!(row.segments().iter().copied().eq(written), "{}", row.template);
        }
    }

    #[test]
    fn the_table_has_nineteen_documented_rows_and_one_for_the_sdk() {
        let listed = TABLE.iter().filter(|row| row.kind != TopicKind::Resource(SubjectKind::Product)).count();
        assert_eq!(listed, 19);
    }

    #[test]
    fn only_batch_tasks_cannot_be_published_to() {
        for row in &TABLE {
            let subscribe_only = matches!(row.kind, TopicKind::Tasks { .. });
            assert_eq!(row.publish.is_none(), subscribe_only, "{}", row.template);
            assert!(!row.subscribe.is_empty(), "{}", row.template);
        }
    }

    #[test]
    fn actions_are_created_and_everything_else_is_updated() {
        for publish in TABLE.iter().filter_map(|row| row.publish) {
            let creates =
                matches!(publish.operation, OperationKind::CreateAction | OperationKind::CreateActionType);
            assert_eq!(publish.access == Access::Create, creates, "{:?}", publish.operation);
        }
    }
}
