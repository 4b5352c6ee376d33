//! THE matrix: every resource that is also a topic, what publishing on it does, what subscribing to it delivers, and
//! which right each needs.
//!
//! This is the only place where topic strings are written. Parser, printer, REST router, broker, permission check
//! and the generated tests all read it. A new row is a new [`TopicKind`], and the closed matches over it and over
//! [`Topic`](super::Topic) name every place that has to answer for it.
//!
//! Source: the product description, "Available Topics"; the row without a place there says so.

/// One row of the matrix, without the ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described by its row in TABLE")]
pub enum TopicKind {
    ActionTypes,
    Actions,
    ActionsOfType,
    BatchTasks,
    BatchTask,
    Collection,
    CollectionActions,
    CollectionActionsOfType,
    CollectionThngs,
    Product,
    ProductActions,
    ProductActionsOfType,
    ProductProperties,
    ProductProperty,
    Thng,
    ThngActions,
    ThngActionsOfType,
    ThngLocation,
    ThngProperties,
    ThngProperty,
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

/// One row of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which row this is.
    pub kind: TopicKind,
    /// The REST path; a segment that starts with `:` is an id, a key or a name.
    pub template: &'static str,
    /// What publishing does, or `None` where the topic can only be watched.
    pub publish: Option<Publish>,
    /// What subscribing delivers. Every subscription needs [`Access::Read`] on the resource's path.
    pub subscribe: &'static [EventKind],
}

const fn create(operation: OperationKind) -> Option<Publish> {
    Some(Publish { operation, access: Access::Create })
}

const fn update(operation: OperationKind) -> Option<Publish> {
    Some(Publish { operation, access: Access::Update })
}

/// The rows, in the order of [`TopicKind`]. The first that matches counts. A literal segment comes before a parameter
/// in the same position, so that `all` is never taken for the name of an action type.
#[rustfmt::skip]
pub const TABLE: [Row; 20] = [
    Row { kind: TopicKind::ActionTypes, template: "/actions",
        publish: create(OperationKind::CreateActionType), subscribe: &[EventKind::ActionTypeCreated] },
    Row { kind: TopicKind::Actions, template: "/actions/all",
        publish: create(OperationKind::CreateAction), subscribe: &[EventKind::ActionCreated] },
    Row { kind: TopicKind::ActionsOfType, template: "/actions/:type",
        publish: create(OperationKind::CreateAction), subscribe: &[EventKind::ActionCreated, EventKind::ActionTypeDeleted] },
    Row { kind: TopicKind::BatchTasks, template: "/batches/:batchId/tasks",
        publish: None, subscribe: &[EventKind::TaskCompleted] },
    Row { kind: TopicKind::BatchTask, template: "/batches/:batchId/tasks/:taskId",
        publish: None, subscribe: &[EventKind::TaskCompleted] },
    Row { kind: TopicKind::Collection, template: "/collections/:collectionId",
        publish: update(OperationKind::UpdateCollection), subscribe: &[EventKind::CollectionUpdated, EventKind::CollectionDeleted] },
    Row { kind: TopicKind::CollectionActions, template: "/collections/:collectionId/actions/all",
        publish: create(OperationKind::CreateAction), subscribe: &[EventKind::ActionCreated] },
    Row { kind: TopicKind::CollectionActionsOfType, template: "/collections/:collectionId/actions/:type",
        publish: create(OperationKind::CreateAction), subscribe: &[EventKind::ActionCreated] },
    Row { kind: TopicKind::CollectionThngs, template: "/collections/:collectionId/thngs",
        publish: update(OperationKind::AddThngs), subscribe: &[EventKind::MembershipChanged] },
    // Not in the product description's list; the SDK's product resource needs it, in the manner of a thng.
    Row { kind: TopicKind::Product, template: "/products/:productId",
        publish: update(OperationKind::UpdateProduct), subscribe: &[EventKind::ProductUpdated] },
    Row { kind: TopicKind::ProductActions, template: "/products/:productId/actions/all",
        publish: create(OperationKind::CreateAction), subscribe: &[EventKind::ActionCreated] },
    Row { kind: TopicKind::ProductActionsOfType, template: "/products/:productId/actions/:type",
        publish: create(OperationKind::CreateAction), subscribe: &[EventKind::ActionCreated] },
    Row { kind: TopicKind::ProductProperties, template: "/products/:productId/properties",
        publish: update(OperationKind::UpdateProperties), subscribe: &[EventKind::PropertiesUpdated] },
    Row { kind: TopicKind::ProductProperty, template: "/products/:productId/properties/:key",
        publish: update(OperationKind::UpdateProperties), subscribe: &[EventKind::PropertiesUpdated] },
    Row { kind: TopicKind::Thng, template: "/thngs/:thngId",
        publish: update(OperationKind::UpdateThng), subscribe: &[EventKind::ThngUpdated] },
    Row { kind: TopicKind::ThngActions, template: "/thngs/:thngId/actions/all",
        publish: create(OperationKind::CreateAction), subscribe: &[EventKind::ActionCreated] },
    Row { kind: TopicKind::ThngActionsOfType, template: "/thngs/:thngId/actions/:type",
        publish: create(OperationKind::CreateAction), subscribe: &[EventKind::ActionCreated] },
    Row { kind: TopicKind::ThngLocation, template: "/thngs/:thngId/location",
        publish: update(OperationKind::UpdateLocation), subscribe: &[EventKind::LocationUpdated] },
    Row { kind: TopicKind::ThngProperties, template: "/thngs/:thngId/properties",
        publish: update(OperationKind::UpdateProperties), subscribe: &[EventKind::PropertiesUpdated] },
    Row { kind: TopicKind::ThngProperty, template: "/thngs/:thngId/properties/:key",
        publish: update(OperationKind::UpdateProperties), subscribe: &[EventKind::PropertiesUpdated] },
];

impl TopicKind {
    /// The row of this kind.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
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
    pub(super) fn segments(&self) -> &'static [Segment] {
        let template = &TEMPLATES[self.kind as usize];
        &template.segments[..template.count]
    }
}

/// The templates of [`TABLE`], split before the program runs: a topic is compared with all of them.
static TEMPLATES: [Template; TABLE.len()] = {
    let mut templates = [Template { segments: [Segment::Parameter; SEGMENTS_MAX], count: 0 }; TABLE.len()];
    let mut row = 0;
    while row < TABLE.len() {
        templates[row] = Template::split(TABLE[row].template);
        row += 1;
    }
    templates
};

/// Segments of the longest template.
pub(super) const SEGMENTS_MAX: usize = 4;

#[derive(Clone, Copy)]
struct Template {
    segments: [Segment; SEGMENTS_MAX],
    count: usize,
}

impl Template {
    const fn split(template: &'static str) -> Self {
        let mut split = Self { segments: [Segment::Parameter; SEGMENTS_MAX], count: 0 };
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
                split.segments[split.count] = Segment::Literal(name);
            }
            split.count += 1;
            rest = behind;
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_finds_its_own_row() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, index, "{}", row.template);
            assert_eq!(row.kind.row(), row);
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
        let listed = TABLE.iter().filter(|row| row.kind != TopicKind::Product).count();
        assert_eq!(listed, 19);
    }

    #[test]
    fn only_batch_tasks_cannot_be_published_to() {
        for row in &TABLE {
            let subscribe_only = matches!(row.kind, TopicKind::BatchTasks | TopicKind::BatchTask);
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
