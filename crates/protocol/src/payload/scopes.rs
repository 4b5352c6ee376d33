//! Scopes: which projects and which of their users see a resource. Hidden from documents unless they are asked for.

use alloc::{borrow::Cow, format, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{Json, Object, PayloadError};
use crate::{id::Id, limits};

/// Every user of a project.
const ALL: &str = "all";

/// The users of a project that see a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserScope {
    /// `["all"]`: every user.
    All,
    /// These users.
    Only(Vec<Id>),
}

/// Which projects and users a resource is visible to. Operators of the account see it in any case.
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
            UserScope::All => Vec::from([ALL.into()]),
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
    projects: Option<ProjectsChange>,
    users: Option<UsersChange>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ProjectsChange {
    /// These and no others.
    Replace(Vec<Id>),
    /// `+ID` and `-ID`: the others stay.
    Edit(Edit),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum UsersChange {
    /// These and no others.
    Replace(UserScope),
    /// `+ID`, `-ID`, `+all` and `-all`: the others stay. What is said of all users counts before what is said of one.
    Edit { all: Option<bool>, users: Edit },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Edit {
    added: Vec<Id>,
    removed: Vec<Id>,
}

impl Edit {
    fn apply(self, ids: &mut Vec<Id>) -> Result<(), PayloadError> {
        ids.retain(|id| !self.removed.contains(id));
        for id in self.added {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        if ids.len() > limits::SCOPES_MAX { Err(too_many()) } else { Ok(()) }
    }
}

/// What one entry of a list says.
enum Entry<'t> {
    Plain,
    Add(&'t str),
    Remove(&'t str),
}

impl<'t> Entry<'t> {
    fn of(text: &'t str) -> Self {
        match text.as_bytes().first() {
            Some(b'+') => Self::Add(&text[1..]),
            Some(b'-') => Self::Remove(&text[1..]),
            _ => Self::Plain,
        }
    }
}

impl ScopesPatch {
    /// Changes `scopes` accordingly.
    ///
    /// # Errors
    /// [`PayloadError`] where there would be more than [`limits::SCOPES_MAX`].
    pub fn apply(self, scopes: &mut Scopes) -> Result<(), PayloadError> {
        match self.projects {
            None => {}
            Some(ProjectsChange::Replace(projects)) => scopes.projects = projects,
            Some(ProjectsChange::Edit(edit)) => edit.apply(&mut scopes.projects)?,
        }
        match self.users {
            None => {}
            Some(UsersChange::Replace(users)) => scopes.users = users,
            Some(UsersChange::Edit { all, users }) => {
                match (all, &scopes.users) {
                    (Some(true), _) => scopes.users = UserScope::All,
                    (Some(false), UserScope::All) => scopes.users = UserScope::Only(Vec::new()),
                    (Some(false), UserScope::Only(_)) | (None, _) => {}
                }
                if let UserScope::Only(known) = &mut scopes.users {
                    users.apply(known)?;
                }
            }
        }
        Ok(())
    }

    /// How many projects and users it names.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let of = |edit: &Edit| edit.added.len() + edit.removed.len();
        let projects = match &self.projects {
            None => 0,
            Some(ProjectsChange::Replace(projects)) => projects.len(),
            Some(ProjectsChange::Edit(edit)) => of(edit),
        };
        let users = match &self.users {
            None | Some(UsersChange::Replace(UserScope::All)) => 0,
            Some(UsersChange::Replace(UserScope::Only(users))) => users.len(),
            Some(UsersChange::Edit { users, .. }) => of(users),
        };
        (projects, users)
    }

    /// Whether it says something of projects.
    #[must_use]
    pub fn changes_projects(&self) -> bool {
        self.projects.is_some()
    }

    /// Whether it says something of users.
    #[must_use]
    pub fn changes_users(&self) -> bool {
        self.users.is_some()
    }

    pub(super) fn read(raw: &Json) -> Result<Self, PayloadError> {
        let Object(document): Object<ScopesDocument<'_>> =
            serde_json::from_str(raw.as_str()).map_err(|_| wrong())?;
        let most = |ids: &Option<Vec<Cow<'_, str>>>| ids.as_ref().map_or(0, Vec::len);
        if most(&document.projects).max(most(&document.users)) > limits::SCOPES_MAX {
            return Err(too_many());
        }
        let projects = document.projects.as_deref().map(read_projects).transpose()?;
        let users = document.users.as_deref().map(read_users).transpose()?;
        Ok(Self { projects, users })
    }
}

fn wrong() -> PayloadError {
    PayloadError::one(
        "scopes is an object such as {\"projects\": [project ids], \"users\": [user ids or \"all\"]}; a + or - in front of \
         every entry of a list adds it or removes it.",
    )
}

fn too_many() -> PayloadError {
    let most = limits::SCOPES_MAX;
    PayloadError::one(format!("scopes holds at most {most} projects and {most} users."))
}

fn id(text: &str) -> Result<Id, PayloadError> {
    Id::parse(text).map_err(|_| wrong())
}

fn is_edit(texts: &[Cow<'_, str>]) -> bool {
    texts.first().is_some_and(|text| text.starts_with(['+', '-']))
}

fn read_projects(texts: &[Cow<'_, str>]) -> Result<ProjectsChange, PayloadError> {
    if !is_edit(texts) {
        return Ok(ProjectsChange::Replace(texts.iter().map(|text| id(text)).collect::<Result<_, _>>()?));
    }
    let mut edit = Edit::default();
    for text in texts {
        match Entry::of(text) {
            Entry::Plain => return Err(wrong()),
            Entry::Add(text) => edit.added.push(id(text)?),
            Entry::Remove(text) => edit.removed.push(id(text)?),
        }
    }
    Ok(ProjectsChange::Edit(edit))
}

fn read_users(texts: &[Cow<'_, str>]) -> Result<UsersChange, PayloadError> {
    if let [text] = texts
        && text == ALL
    {
        return Ok(UsersChange::Replace(UserScope::All));
    }
    if !is_edit(texts) {
        let users = texts.iter().map(|text| id(text)).collect::<Result<_, _>>()?;
        return Ok(UsersChange::Replace(UserScope::Only(users)));
    }
    let (mut all, mut users) = (None, Edit::default());
    for text in texts {
        match Entry::of(text) {
            Entry::Plain => return Err(wrong()),
            Entry::Add(ALL) => all = Some(true),
            Entry::Remove(ALL) => all = Some(false),
            Entry::Add(text) => users.added.push(id(text)?),
            Entry::Remove(text) => users.removed.push(id(text)?),
        }
    }
    Ok(UsersChange::Edit { all, users })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(letter: char) -> Id {
        Id::parse(&alloc::string::String::from(letter).repeat(24)).expect("an id")
    }

    fn read(json: &str) -> Result<ScopesPatch, PayloadError> {
        let json = json.replace('A', of('a').as_str()).replace('B', of('b').as_str());
        ScopesPatch::read(&Json::parse(json).expect("JSON"))
    }

    /// What becomes of scopes of project `a` and user `a`.
    fn changed(json: &str) -> (Vec<Id>, UserScope) {
        let mut scopes = Scopes { projects: [of('a')].into(), users: UserScope::Only([of('a')].into()) };
        read(json).expect("a patch").apply(&mut scopes).expect("few");
        (scopes.projects, scopes.users)
    }

    #[test]
    fn entries_with_a_sign_change_a_list_and_others_replace_it() {
        let (a, b) = (of('a'), of('b'));
        let only = |users: &[Id]| UserScope::Only(users.into());
        for (json, projects, users) in [
            (r#"{}"#, &[a][..], only(&[a])),
            (r#"{"projects":["+B"],"users":["+all"]}"#, &[a, b], UserScope::All),
            (r#"{"projects":["+A","+B"]}"#, &[a, b], only(&[a])),
            (r#"{"projects":["-A","+B"],"users":["+B","-A"]}"#, &[b], only(&[b])),
            (r#"{"projects":["-B"],"users":["-all"]}"#, &[a], only(&[a])),
            (r#"{"projects":["B"],"users":["B"]}"#, &[b], only(&[b])),
            (r#"{"projects":[],"users":[]}"#, &[], only(&[])),
            (r#"{"users":["all"]}"#, &[a], UserScope::All),
        ] {
            assert_eq!(changed(json), (projects.to_vec(), users), "{json}");
        }
        let mut scopes = Scopes { projects: Vec::new(), users: UserScope::All };
        read(r#"{"users":["-all","+B"]}"#).expect("a patch").apply(&mut scopes).expect("few");
        assert_eq!(scopes.users, only(&[b]));
    }

    #[test]
    fn a_list_is_replaced_or_changed_and_not_both() {
        for json in [
            r#"{"projects":["+A","B"]}"#,
            r#"{"projects":["A","+B"]}"#,
            r#"{"projects":["+all"]}"#,
            r#"{"projects":["+"]}"#,
            r#"{"projects":["++A"]}"#,
            r#"{"users":["all","A"]}"#,
            r#"{"users":["+all","A"]}"#,
            r#"{"users":["*A"]}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn additions_keep_the_bound() {
        let many: Vec<Id> =
            (0..limits::SCOPES_MAX).map(|n| Id::parse(&format!("U{n:023}")).expect("an id")).collect();
        let mut scopes = Scopes { projects: many, users: UserScope::All };
        assert!(read(r#"{"projects":["+A"]}"#).expect("a patch").apply(&mut scopes.clone()).is_err());
        let first = scopes.projects[0];
        let swap = format!(r#"{{"projects":["+A","-{first}"]}}"#);
        assert!(read(&swap).expect("a patch").apply(&mut scopes).is_ok());
    }
}
