//! The resources in topics: those with a topic of their own, and those with properties.

use crate::id::Id;
#[cfg(feature = "payload")]
use crate::payload::ResourceKind;

/// A kind of resource that has a topic of its own. Actions are about resources of these kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are the resources of these names")]
pub enum SubjectKind {
    Collection,
    Product,
    Thng,
}

impl SubjectKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Thng, Self::Product, Self::Collection];

    /// The resource of this kind.
    #[cfg(feature = "payload")]
    #[must_use]
    pub const fn resource(self) -> ResourceKind {
        match self {
            Self::Collection => ResourceKind::Collection,
            Self::Product => ResourceKind::Product,
            Self::Thng => ResourceKind::Thng,
        }
    }

    /// The kind of a resource; `None` for one without a topic of its own.
    #[cfg(feature = "payload")]
    #[must_use]
    pub fn of(kind: ResourceKind) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.resource() == kind)
    }

    /// Its name, and the field of an action that has the id of what it is about.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collection => "collection",
            Self::Product => "product",
            Self::Thng => "thng",
        }
    }
}

/// What an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its id.
    pub id: Id,
}

/// A kind of resource that has properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are the resources of these names")]
pub enum OwnerKind {
    Product,
    Thng,
}

impl OwnerKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Product, Self::Thng];

    /// The resource of this kind.
    #[cfg(feature = "payload")]
    #[must_use]
    pub const fn resource(self) -> ResourceKind {
        match self {
            Self::Product => ResourceKind::Product,
            Self::Thng => ResourceKind::Thng,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Product => SubjectKind::Product.name(),
            Self::Thng => SubjectKind::Thng.name(),
        }
    }

    /// The owner of this kind with an id.
    #[must_use]
    pub const fn with_id(self, id: Id) -> PropertyOwner {
        match self {
            Self::Product => PropertyOwner::Product(id),
            Self::Thng => PropertyOwner::Thng(id),
        }
    }
}

/// The resource that has properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PropertyOwner {
    /// A product.
    Product(Id),
    /// A thng.
    Thng(Id),
}

impl PropertyOwner {
    /// Its id.
    #[must_use]
    pub const fn id(self) -> Id {
        match self {
            Self::Product(id) | Self::Thng(id) => id,
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> OwnerKind {
        match self {
            Self::Product(_) => OwnerKind::Product,
            Self::Thng(_) => OwnerKind::Thng,
        }
    }
}
