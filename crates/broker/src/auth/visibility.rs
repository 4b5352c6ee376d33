//! Which resources a right reaches, by their scopes and by what they are about.
//!
//! The same rule applies to a resource ([`ResourceMeta`]) and to an event on its way to a subscriber. The event's
//! metadata travels through the bus as bytes that only this module reads ([`EncodedMeta`]), so fan-out needs no look-up.
//! The account is decided before: it is part of the bus's route, and of every look-up.

use std::sync::Arc;

use bytes::Bytes;
use thng_pubsub_protocol::{
    id::Id,
    limits::ID_CHARS,
    payload::{ResourceKind, UserScope},
};

use thng_pubsub_store::ResourceMeta;

/// What a right reaches within its account. Its lists are shared by everything that it is cloned for, such as the
/// subscriptions of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// Everything.
    Account,
    /// What is scoped to one of these projects.
    Projects(Arc<[Id]>),
    /// What a user of a project sees.
    User { project: Id, user: Id },
    /// What a thng sees: itself, its product, and the actions on it.
    Device { thng: Id, product: Option<Id>, projects: Arc<[Id]> },
    /// Everything, but of each kind that is named only those.
    Only(Arc<[(ResourceKind, Id)]>),
    /// One resource: oneself.
    Itself(Id),
}

/// What is asked of a resource to know who sees it.
pub trait Scoped {
    fn kind(&self) -> ResourceKind;
    fn id(&self) -> Id;
    /// Whether it is scoped to a project, or is that project.
    fn is_in(&self, project: Id) -> bool;
    fn is_in_no_project(&self) -> bool;
    fn is_for(&self, user: Id) -> bool;
    fn thng(&self) -> Option<Id>;
    fn product(&self) -> Option<Id>;
}

impl Visibility {
    /// Whether the resource is there for those who have this view.
    pub fn can_see(&self, meta: &impl Scoped) -> bool {
        // The roles of an account are no secret among its operators; its users see those that are for users.
        let is_role = || meta.kind() == ResourceKind::Role;
        match self {
            Self::Account => true,
            Self::Itself(own) => meta.id() == *own,
            Self::Projects(projects) => is_role() || projects.iter().any(|project| meta.is_in(*project)),
            Self::User { project, user } => {
                (is_role() && meta.is_for(*user))
                    || (meta.kind() == ResourceKind::User && meta.id() == *user)
                    || (meta.is_in(*project)
                        && (matches!(meta.kind(), ResourceKind::Application) || meta.is_for(*user)))
            }
            Self::Device { thng, product, projects } => match meta.kind() {
                ResourceKind::Thng => meta.id() == *thng,
                ResourceKind::Product => Some(meta.id()) == *product,
                ResourceKind::Action => {
                    meta.thng() == Some(*thng)
                        || (meta.thng().is_none() && meta.product().is_some() && meta.product() == *product)
                }
                ResourceKind::ActionType => {
                    projects.iter().any(|project| meta.is_in(*project))
                        || (projects.is_empty() && meta.is_in_no_project())
                }
                _ => false,
            },
            Self::Only(conditions) => {
                let is_of_a_project = match meta.kind() {
                    ResourceKind::Application => true,
                    // One that was made in no project is for all of the account.
                    ResourceKind::Batch | ResourceKind::Task => !meta.is_in_no_project(),
                    kind => kind.is_scoped(),
                };
                let of_project = |kind| kind == ResourceKind::Project && is_of_a_project;
                let holds = |kind: ResourceKind| {
                    let mut ids = conditions.iter().filter(|(named, _)| *named == kind).map(|(_, id)| *id);
                    match kind == meta.kind() {
                        true => ids.any(|id| id == meta.id()),
                        false => ids.any(|id| meta.is_in(id)),
                    }
                };
                conditions
                    .iter()
                    .map(|(kind, _)| *kind)
                    .filter(|kind| *kind == meta.kind() || of_project(*kind))
                    .all(holds)
            }
        }
    }
}

impl Scoped for ResourceMeta {
    fn kind(&self) -> ResourceKind {
        self.kind
    }

    fn id(&self) -> Id {
        self.id
    }

    fn is_in(&self, project: Id) -> bool {
        self.scopes.projects.contains(&project) || (self.kind == ResourceKind::Project && self.id == project)
    }

    fn is_in_no_project(&self) -> bool {
        self.scopes.projects.is_empty()
    }

    fn is_for(&self, user: Id) -> bool {
        match &self.scopes.users {
            UserScope::All => true,
            UserScope::Only(users) => users.contains(&user),
        }
    }

    fn thng(&self) -> Option<Id> {
        self.thng
    }

    fn product(&self) -> Option<Id> {
        self.product
    }
}

/// Ids of `thng` and `product` are written as this where there are none.
const NO_ID: [u8; ID_CHARS] = [0; ID_CHARS];

/// Writes metadata for the bus's envelope: kind, id, thng, product, the number of projects as two bytes, big-endian,
/// their ids. A single `*` (all users) or the users' ids follow.
pub(crate) fn encode(meta: &ResourceMeta) -> Bytes {
    // A resource that is scoped to more projects than fit is seen by those that fit.
    let count = u16::try_from(meta.scopes.projects.len()).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(4 + ID_CHARS * (4 + meta.scopes.projects.len()));
    let kind = ResourceKind::ALL.iter().position(|kind| *kind == meta.kind).expect("every kind is among all");
    out.push(kind as u8);
    out.extend_from_slice(meta.id.as_str().as_bytes());
    for id in [&meta.thng, &meta.product] {
        out.extend_from_slice(id.as_ref().map_or(&NO_ID[..], |id| id.as_str().as_bytes()));
    }
    out.extend_from_slice(&count.to_be_bytes());
    for project in meta.scopes.projects.iter().take(usize::from(count)) {
        out.extend_from_slice(project.as_str().as_bytes());
    }
    match &meta.scopes.users {
        UserScope::All => out.push(b'*'),
        UserScope::Only(users) => out.extend(users.iter().flat_map(|user| user.as_str().bytes())),
    }
    out.into()
}

/// Before a pair of metadata. No kind has this number.
const PAIR: u8 = 0xFF;

/// Writes the metadata of an event's subject, and of the resource in its topic where that is another one.
pub(crate) fn encode_below(meta: &ResourceMeta, below: &ResourceMeta) -> Bytes {
    let (meta, below) = (encode(meta), encode(below));
    let length = u32::try_from(meta.len()).expect("a head is far below 4 GiB");
    [&[PAIR][..], &length.to_be_bytes(), &meta, &below].concat().into()
}

/// What [`encode`] or [`encode_below`] wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncodedScopes<'a> {
    /// Of what the event is about.
    pub meta: EncodedMeta<'a>,
    /// Of the resource in the event's topic.
    pub below: Option<EncodedMeta<'a>>,
}

impl<'a> EncodedScopes<'a> {
    /// `None` for bytes that were never encoded.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let Some((&PAIR, rest)) = bytes.split_first() else {
            return Some(Self { meta: EncodedMeta::read(bytes)?, below: None });
        };
        let (length, rest) = rest.split_first_chunk()?;
        let (meta, below) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        Some(Self { meta: EncodedMeta::read(meta)?, below: Some(EncodedMeta::read(below)?) })
    }
}

/// What [`encode`] wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncodedMeta<'a> {
    kind: ResourceKind,
    id: Id,
    thng: Option<Id>,
    product: Option<Id>,
    projects: &'a [u8],
    users: &'a [u8],
}

impl<'a> EncodedMeta<'a> {
    /// `None` for bytes that were never encoded.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let id = |bytes: &[u8; ID_CHARS]| Id::parse(std::str::from_utf8(bytes).ok()?).ok();
        let (kind, rest) = bytes.split_first()?;
        let kind = *ResourceKind::ALL.get(usize::from(*kind))?;
        let (own, rest) = rest.split_first_chunk()?;
        let (thng, rest) = rest.split_first_chunk()?;
        let (product, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (projects, users) = rest.split_at_checked(usize::from(u16::from_be_bytes(*count)) * ID_CHARS)?;
        Some(Self { kind, id: id(own)?, thng: id(thng), product: id(product), projects, users })
    }
}

impl Scoped for EncodedMeta<'_> {
    fn kind(&self) -> ResourceKind {
        self.kind
    }

    fn id(&self) -> Id {
        self.id
    }

    fn is_in(&self, project: Id) -> bool {
        self.projects.chunks_exact(ID_CHARS).any(|id| id == project.as_str().as_bytes())
            || (self.kind == ResourceKind::Project && self.id == project)
    }

    fn is_in_no_project(&self) -> bool {
        self.projects.is_empty()
    }

    fn is_for(&self, user: Id) -> bool {
        self.users == b"*" || self.users.chunks_exact(ID_CHARS).any(|id| id == user.as_str().as_bytes())
    }

    fn thng(&self) -> Option<Id> {
        self.thng
    }

    fn product(&self) -> Option<Id> {
        self.product
    }
}

#[cfg(test)]
mod tests {
    use thng_pubsub_protocol::payload::Scopes;

    use super::*;

    fn id(letter: &str) -> Id {
        Id::parse(&letter.repeat(24)).expect("24 letters")
    }

    fn meta(kind: ResourceKind, projects: &[&str], users: UserScope) -> ResourceMeta {
        let scopes = Scopes { projects: projects.iter().map(|letter| id(letter)).collect(), users };
        ResourceMeta { id: id("r"), kind, account: id("a"), scopes, thng: None, product: None }
    }

    /// Asks the metadata itself, and what is encoded of it.
    fn can_see(view: &Visibility, meta: &ResourceMeta) -> bool {
        let encoded = encode(meta);
        let on_its_way = view.can_see(&EncodedMeta::read(&encoded).expect("just written"));
        assert_eq!(view.can_see(meta), on_its_way, "{view:?} {meta:?}");
        on_its_way
    }

    #[test]
    fn a_project_sees_what_is_scoped_to_it_and_nothing_else() {
        let view = Visibility::Projects([id("p")].into());
        for (projects, expected) in [(&[][..], false), (&["q"], false), (&["q", "p"], true)] {
            let thng = meta(ResourceKind::Thng, projects, UserScope::Only(vec![id("p")]));
            assert_eq!(can_see(&view, &thng), expected, "{projects:?}");
            assert!(can_see(&Visibility::Account, &thng));
        }
    }

    #[test]
    fn a_user_sees_what_is_for_them_within_their_project() {
        let view = Visibility::User { project: id("p"), user: id("u") };
        for (projects, users, expected) in [
            (&["p"][..], UserScope::All, true),
            (&["p"], UserScope::Only(vec![id("v"), id("u")]), true),
            (&["p"], UserScope::Only(vec![id("v")]), false),
            (&["q"], UserScope::All, false),
            (&[], UserScope::Only(vec![id("u")]), false),
        ] {
            assert_eq!(
                can_see(&view, &meta(ResourceKind::Thng, projects, users.clone())),
                expected,
                "{users:?}"
            );
        }
    }

    #[test]
    fn a_device_sees_itself_its_product_and_actions_on_it() {
        let view = Visibility::Device { thng: id("t"), product: Some(id("p")), projects: Arc::default() };
        let of = |kind, own, thng: Option<&str>, product: Option<&str>| ResourceMeta {
            id: id(own),
            thng: thng.map(id),
            product: product.map(id),
            ..meta(kind, &[], UserScope::All)
        };
        for (resource, expected) in [
            (of(ResourceKind::Thng, "t", None, None), true),
            (of(ResourceKind::Thng, "x", None, Some("p")), false),
            (of(ResourceKind::Product, "p", None, None), true),
            (of(ResourceKind::Product, "x", None, None), false),
            (of(ResourceKind::Action, "x", Some("t"), None), true),
            (of(ResourceKind::Action, "x", None, Some("p")), true),
            (of(ResourceKind::Action, "x", Some("y"), Some("p")), false),
            (of(ResourceKind::Action, "x", None, None), false),
            (of(ResourceKind::Collection, "x", None, None), false),
            (of(ResourceKind::ActionType, "x", None, None), true),
        ] {
            assert_eq!(can_see(&view, &resource), expected, "{resource:?}");
        }
    }

    #[test]
    fn conditions_narrow_the_kinds_that_they_name() {
        let view =
            Visibility::Only([(ResourceKind::Place, id("r")), (ResourceKind::Project, id("p"))].into());
        assert!(can_see(&view, &meta(ResourceKind::Place, &["p"], UserScope::All)));
        assert!(!can_see(&view, &meta(ResourceKind::Place, &["q"], UserScope::All)));
        assert!(!can_see(
            &Visibility::Only([(ResourceKind::Place, id("x"))].into()),
            &meta(ResourceKind::Place, &["p"], UserScope::All)
        ));
        assert!(can_see(
            &Visibility::Only([(ResourceKind::Place, id("x"))].into()),
            &meta(ResourceKind::Thng, &[], UserScope::All)
        ));
    }

    #[test]
    fn a_pair_of_metadata_round_trips() {
        let action = meta(ResourceKind::Action, &["p", "q"], UserScope::Only(vec![id("u")]));
        let collection =
            ResourceMeta { id: id("c"), ..meta(ResourceKind::Collection, &["q"], UserScope::All) };
        let bytes = encode_below(&action, &collection);
        let EncodedScopes { meta, below } = EncodedScopes::read(&bytes).expect("just written");
        let below = below.expect("there is one");
        assert_eq!((meta.id(), meta.is_in(id("p")), meta.is_for(id("v"))), (id("r"), true, false));
        assert_eq!((below.id(), below.is_in(id("p")), below.is_for(id("v"))), (id("c"), false, true));
        assert!(EncodedScopes::read(&encode(&action)).is_some_and(|alone| alone.below.is_none()));
        assert!((0..bytes.len() - 1).all(|length| EncodedScopes::read(&bytes[..length]).is_none()));
    }

    #[test]
    fn bytes_that_were_never_encoded_are_no_head() {
        let whole = encode(&meta(ResourceKind::Thng, &["p"], UserScope::All));
        for bytes in [&b""[..], b"\x01", &whole[..60], &[99; 200]] {
            assert!(EncodedMeta::read(bytes).is_none());
        }
    }
}
