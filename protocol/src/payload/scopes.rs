//! Scopes: which projects and which of their users see a resource. Hidden from documents unless they are asked for.

use alloc::{borrow::Cow, format, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{Json, Object, PayloadError};
use crate::{id::Id, limits};

/// Who of a project's users sees a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserScope {
    /// `["all"]`: every user.
    All,
    /// These users.
    Only(Vec<Id>),
}

/// Which projects and users a resource is visible to. Operators of the account see it whatever stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    /// The projects.
    pub projects: Vec<Id>,
    /// The users.
    pub users: UserScope,
}

impl Default for Scopes {
    fn default() -> Self {
        Self { projects: Vec::new(), users: UserScope::Only(Vec::new()) }
    }
}

#[derive(Serialize, Deserialize)]
struct ScopesDocument<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    projects: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    users: Option<Vec<Cow<'a, str>>>,
}

impl Serialize for Scopes {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let users = match &self.users {
            UserScope::All => Vec::from(["all".into()]),
            UserScope::Only(users) => users.iter().map(|user| user.as_str().into()).collect(),
        };
        let projects = self.projects.iter().map(|project| project.as_str().into()).collect();
        ScopesDocument { projects: Some(projects), users: Some(users) }.serialize(out)
    }
}

impl Scopes {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> alloc::string::String {
        super::to_json(self)
    }
}

/// A change of scopes: what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopesPatch {
    /// The new projects.
    pub projects: Option<Vec<Id>>,
    /// The new users.
    pub users: Option<UserScope>,
}

impl ScopesPatch {
    /// Changes `scopes` accordingly.
    pub fn apply(self, scopes: &mut Scopes) {
        if let Some(projects) = self.projects {
            scopes.projects = projects;
        }
        if let Some(users) = self.users {
            scopes.users = users;
        }
    }

    pub(super) fn read(raw: &Json) -> Result<Self, PayloadError> {
        let wrong = || {
            PayloadError::one(
                "scopes is an object such as {\"projects\": [project ids], \"users\": [user ids or \"all\"]}.",
            )
        };
        let ids = |ids: &[Cow<'_, str>]| {
            ids.iter().map(|id| Id::parse(id).map_err(|_| wrong())).collect::<Result<Vec<_>, _>>()
        };
        let Object(document): Object<ScopesDocument<'_>> =
            serde_json::from_str(raw.as_str()).map_err(|_| wrong())?;
        let too_many =
            |ids: &Option<Vec<Cow<'_, str>>>| ids.as_ref().is_some_and(|ids| ids.len() > limits::SCOPES_MAX);
        if too_many(&document.projects) || too_many(&document.users) {
            return Err(PayloadError::one(format!(
                "scopes holds at most {} projects and {} users.",
                limits::SCOPES_MAX,
                limits::SCOPES_MAX
            )));
        }
        let projects = document.projects.map(|projects| ids(&projects)).transpose()?;
        let users = match document.users.as_deref() {
            None => None,
            Some([user]) if user == "all" => Some(UserScope::All),
            Some(users) => Some(UserScope::Only(ids(users)?)),
        };
        Ok(Self { projects, users })
    }
}
