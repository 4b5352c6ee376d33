//! The policy for events on their way: does this subscriber see an event with these scopes?
//!
//! The engine carries scopes as bytes that only this module reads, so that fan-out needs no look-up. The account is
//! part of the engine's route already.

use bytes::Bytes;
use thng_pubsub_protocol::{
    id::Id,
    limits::ID_CHARS,
    payload::{Scopes, UserScope},
};

/// What a subscriber sees of the events of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// All of them.
    Account,
    /// Those whose resource is scoped to this project (the topic option `project`).
    Project(Id),
}

impl Visibility {
    /// Whether an event with these encoded scopes is seen.
    pub(crate) fn admits(self, encoded: &[u8]) -> bool {
        match self {
            Self::Account => true,
            Self::Project(project) => projects(encoded).any(|scope| scope == project.as_str().as_bytes()),
        }
    }

    /// The same for scopes that were not encoded yet.
    pub(crate) fn admits_scopes(self, scopes: &Scopes) -> bool {
        match self {
            Self::Account => true,
            Self::Project(project) => scopes.projects.contains(&project),
        }
    }
}

/// Writes scopes for the engine's envelope: the number of projects as two bytes, big-endian, their ids, then either
/// a single `*` (all users) or the users' ids.
pub(crate) fn encode(scopes: &Scopes) -> Bytes {
    if *scopes == Scopes::default() {
        return Bytes::from_static(&[0, 0]);
    }
    // A resource that is scoped to more projects than fit is seen by those that fit.
    let count = u16::try_from(scopes.projects.len()).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(2 + ID_CHARS * scopes.projects.len() + 1);
    out.extend_from_slice(&count.to_be_bytes());
    for project in scopes.projects.iter().take(usize::from(count)) {
        out.extend_from_slice(project.as_str().as_bytes());
    }
    match &scopes.users {
        UserScope::All => out.push(b'*'),
        UserScope::Only(users) => out.extend(users.iter().flat_map(|user| user.as_str().bytes())),
    }
    out.into()
}

fn projects(encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (count, ids) =
        encoded.split_first_chunk().map_or((0, encoded), |(count, ids)| (u16::from_be_bytes(*count), ids));
    ids.chunks_exact(ID_CHARS).take(usize::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(letter: &str) -> Id {
        Id::parse(&letter.repeat(24)).expect("24 letters")
    }

    #[test]
    fn a_project_sees_what_is_scoped_to_it_and_nothing_else() {
        let users = UserScope::Only(vec![id("p")]);
        for (projects, sees) in [(vec![], false), (vec![id("q")], false), (vec![id("q"), id("p")], true)] {
            let scopes = Scopes { projects, users: users.clone() };
            let visibility = Visibility::Project(id("p"));
            assert_eq!(visibility.admits(&encode(&scopes)), sees, "{scopes:?}");
            assert_eq!(visibility.admits_scopes(&scopes), sees, "{scopes:?}");
            assert!(Visibility::Account.admits(&encode(&scopes)));
        }
    }

    #[test]
    fn bytes_that_were_never_encoded_show_nothing() {
        for bytes in [&b""[..], b"\x01", b"\x00\x01short"] {
            assert!(!Visibility::Project(id("p")).admits(bytes));
        }
    }
}
