//! Which verbs are granted on which paths, as a table of REST paths with letters: `/thngs cru`.
//!
//! A path is governed by the entry that covers it and is the longest; of equally long ones by the one that is more
//! literal. An entry covers what lies below it, too. In an entry `:name`, `{name}` and `*` match any segment, and
//! `:self` matches the id of the principal.

use std::fmt;

use thng_pubsub_protocol::topic::table::Access;

/// A set of the letters `c`, `r`, `u`, `d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verbs(u8);

impl Verbs {
    const ALL: Self = Self(0b1111);

    /// Reads letters; `None` where one of them is unknown or there are none.
    pub fn parse(letters: &str) -> Option<Self> {
        let mut verbs = Self::default();
        for letter in letters.chars() {
            verbs.0 |= match letter {
                'c' => bit(Access::Create),
                'r' => bit(Access::Read),
                'u' => bit(Access::Update),
                'd' => bit(Access::Delete),
                _ => return None,
            };
        }
        (verbs != Self::default()).then_some(verbs)
    }

    pub fn has(self, access: Access) -> bool {
        self.0 & bit(access) != 0
    }

    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub fn with(self, access: Access) -> Self {
        Self(self.0 | bit(access))
    }
}

impl fmt::Display for Verbs {
    /// The letters.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters =
            [('c', Access::Create), ('r', Access::Read), ('u', Access::Update), ('d', Access::Delete)];
        letters
            .iter()
            .filter(|(_, access)| self.has(*access))
            .try_for_each(|(letter, _)| write!(out, "{letter}"))
    }
}

fn bit(access: Access) -> u8 {
    match access {
        Access::Create => 1,
        Access::Read => 2,
        Access::Update => 4,
        Access::Delete => 8,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Any,
    Own,
    Literal(Box<str>),
}

impl Segment {
    fn parse(text: &str) -> Self {
        match text {
            ":self" => Self::Own,
            "*" => Self::Any,
            text if text.starts_with(':') || (text.starts_with('{') && text.ends_with('}')) => Self::Any,
            text => Self::Literal(text.into()),
        }
    }

    fn covers(&self, segment: &str, own: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Own => segment == own,
            Self::Literal(literal) => **literal == *segment,
        }
    }

    /// The more literal, the greater.
    fn weight(&self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Own => 1,
            Self::Literal(_) => 2,
        }
    }
}

/// Verbs on a path and on what lies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pattern: Vec<Segment>,
    verbs: Verbs,
}

/// A table of paths and verbs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    entries: Vec<Entry>,
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

impl Grants {
    /// Everything.
    pub fn everything() -> Self {
        Self { entries: vec![Entry { pattern: Vec::new(), verbs: Verbs::ALL }] }
    }

    /// A table of (path, letters); an entry without letters grants nothing there.
    pub fn of<'t>(table: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let mut grants = Self::default();
        for (path, letters) in table {
            grants.add(path, Verbs::parse(letters).unwrap_or_default());
        }
        grants
    }

    /// Grants more on a path.
    pub fn add(&mut self, path: &str, verbs: Verbs) {
        let pattern: Vec<Segment> = segments(path).map(Segment::parse).collect();
        match self.entries.iter_mut().find(|entry| entry.pattern == pattern) {
            Some(entry) => entry.verbs.0 |= verbs.0,
            None => self.entries.push(Entry { pattern, verbs }),
        }
    }

    /// What is granted on a path to the one with the id `own`.
    pub fn on(&self, path: &str, own: &str) -> Verbs {
        self.governing(path, own).map(Entry::verbs).unwrap_or_default()
    }

    /// The entry that decides on a path for the one with the id `own`.
    pub fn governing(&self, path: &str, own: &str) -> Option<&Entry> {
        self.entries.iter().filter(|entry| entry.covers(path, own)).max_by(|one, other| {
            let weights = |entry: &Entry| entry.pattern.iter().map(Segment::weight).collect::<Vec<_>>();
            one.pattern.len().cmp(&other.pattern.len()).then_with(|| weights(one).cmp(&weights(other)))
        })
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    pub fn verbs(&self) -> Verbs {
        self.verbs
    }

    fn covers(&self, path: &str, own: &str) -> bool {
        let mut path = segments(path);
        self.pattern.iter().all(|pattern| path.next().is_some_and(|segment| pattern.covers(segment, own)))
    }
}

impl fmt::Display for Entry {
    /// The path, with `*` for a segment that may be anything.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pattern.is_empty() {
            return out.write_str("/");
        }
        self.pattern.iter().try_for_each(|segment| match segment {
            Segment::Any => out.write_str("/*"),
            Segment::Own => out.write_str("/:self"),
            Segment::Literal(literal) => write!(out, "/{literal}"),
        })
    }
}

/// What a kind of key may do, before scopes narrow it. Source: section 2 of the platform's reference, and its clients.
type Table = &'static [(&'static str, &'static str)];

/// A public application key: reads products and places, lets users in, scans.
pub(crate) const APPLICATION: Table = &[
    ("/access", "r"),
    ("/time", "r"),
    ("/rateLimits", "r"),
    ("/applications/me", "ru"),
    ("/applications/me/secretKey", ""),
    ("/applications/me/redirector", "r"),
    ("/products", "r"),
    ("/products/:id/actions", ""),
    ("/places", "r"),
    ("/actions", "r"),
    ("/actions/:type", ""),
    ("/actions/scans", "c"),
    ("/actionTypes", "r"),
    ("/auth/evrythng", "c"),
    ("/auth/evrythng/thngs", ""),
    ("/users/login", "c"),
];

/// A secret application key: manages what is in its project.
pub(crate) const TRUSTED_APPLICATION: Table = &[
    ("/access", "r"),
    ("/time", "r"),
    ("/rateLimits", "r"),
    ("/clientEvents", "r"),
    ("/applications/me", "ru"),
    ("/thngs", "crud"),
    ("/thngs/:id/actions", "cr"),
    ("/products", "crud"),
    ("/products/:id/actions", "cr"),
    ("/collections", "crud"),
    ("/collections/:id/actions", "cr"),
    ("/places", "crud"),
    ("/actions", "cr"),
    ("/actions/:type", "crd"),
    ("/actions/:type/:id", "r"),
    ("/actionTypes", "cr"),
    ("/actionTypes/:type", "rd"),
    ("/users", "r"),
    ("/users/login", "c"),
    ("/auth/evrythng", "c"),
    ("/auth/evrythng/thngs", "crd"),
];

/// What every application user may do, whatever their role says: the entries that `GET /roles/:id/permissions` marks
/// as defaults.
pub(crate) const EVERY_USER: Table = &[
    ("/access", "r"),
    ("/time", "r"),
    ("/users/:self", "ru"),
    ("/auth/all/logout", "c"),
    ("/actions", "r"),
    ("/rateLimits", "r"),
    ("/clientEvents", "r"),
];

/// The built-in role `base_app_user`: what a role of application users can grant at the most.
pub(crate) const BASE_APP_USER: Table = &[
    ("/access", "r"),
    ("/time", "r"),
    ("/rateLimits", "r"),
    ("/clientEvents", "r"),
    ("/users/:self", "ru"),
    ("/auth/all/logout", "c"),
    ("/auth/evrythng/thngs", "crd"),
    ("/applications/me", "r"),
    ("/applications/me/secretKey", ""),
    ("/thngs", "cru"),
    ("/thngs/:id/clientEvents", ""),
    ("/products", "cru"),
    ("/products/:id/properties", "crud"),
    ("/collections", "cru"),
    ("/places", "r"),
    ("/actions", "r"),
    ("/actions/:type", "cr"),
    ("/actionTypes", "r"),
    ("/roles", "r"),
];

/// A thng's own key: itself, its product, and actions.
pub(crate) const DEVICE: Table = &[
    ("/access", "r"),
    ("/time", "r"),
    ("/rateLimits", "r"),
    ("/clientEvents", "r"),
    ("/thngs/:self", "ru"),
    ("/thngs/:self/properties", "cru"),
    ("/thngs/:self/location", "cru"),
    ("/thngs/:self/actions", "cr"),
    ("/products/:id", "r"),
    ("/products/:id/properties", "cru"),
    ("/products/:id/actions", "cr"),
    ("/actions", "r"),
    ("/actions/:type", "cr"),
    ("/actionTypes", "r"),
];

/// The kinds of keys that may use a verb on a path, whose segments in braces match anything; for documentation.
pub fn who_may(access: Access, path: &str) -> Vec<&'static str> {
    let kinds = [
        ("Application", APPLICATION),
        ("Trusted Application", TRUSTED_APPLICATION),
        ("Application User", BASE_APP_USER),
        ("Device", DEVICE),
    ];
    let grants = |table: &[(&'static str, &'static str)]| {
        Grants::of(table.iter().copied()).on(path, "{id}").has(access)
    };
    let some = kinds.into_iter().filter(|(_, table)| grants(table)).map(|(name, _)| name);
    // Whose own access it is, an operator's.
    let tokens = (path != "/me").then_some("Access Token");
    ["Operator"].into_iter().chain(tokens).chain(some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_entry_governs_and_of_equal_ones_the_most_literal() {
        let grants = Grants::of([
            ("/thngs", "cru"),
            ("/thngs/:id/properties", "r"),
            ("/actions", "r"),
            ("/actions/:type", "c"),
            ("/actions/scans", "d"),
            ("/users/:self", "u"),
        ]);
        for (path, letters) in [
            ("/thngs", "cru"),
            ("/thngs/x", "cru"),
            ("/thngs/x/location", "cru"),
            ("/thngs/x/properties/k", "r"),
            ("/actions", "r"),
            ("/actions/_a", "c"),
            ("/actions/scans/x", "d"),
            ("/users/me", "u"),
            ("/users/you", ""),
            ("/thngsomething", ""),
            ("/", ""),
        ] {
            assert_eq!(grants.on(path, "me"), Verbs::parse(letters).unwrap_or_default(), "{path}");
        }
    }

    #[test]
    fn everything_covers_every_path_unless_an_entry_takes_it_back() {
        let mut grants = Grants::everything();
        grants.add("/projects", Verbs::default());
        assert!(grants.on("/thngs/x", "").has(Access::Delete));
        assert!(!grants.on("/projects/x", "").has(Access::Read));
    }

    #[test]
    fn an_entry_is_shown_as_a_path_with_letters() {
        let grants = Grants::of([("/thngs/:id/x", "ur"), ("/users/:self", "cd"), ("/", "")]);
        let shown: Vec<_> =
            grants.entries().iter().map(|entry| (entry.to_string(), entry.verbs().to_string())).collect();
        let expected = [("/thngs/*/x", "ru"), ("/users/:self", "cd"), ("/", "")];
        assert_eq!(shown, expected.map(|(path, letters)| (path.to_owned(), letters.to_owned())));
        assert_eq!(grants.governing("/thngs/a/x/y", "").map(Entry::to_string).as_deref(), Some("/thngs/*/x"));
    }

    #[test]
    fn placeholders_are_written_in_three_ways() {
        for path in ["/thngs/:thngId/location", "/thngs/{id}/location", "/thngs/*/location"] {
            let grants = Grants::of([(path, "r")]);
            assert!(grants.on("/thngs/x/location", "").has(Access::Read), "{path}");
            assert!(!grants.on("/thngs/x", "").has(Access::Read), "{path}");
        }
    }

    #[test]
    fn letters_are_those_four_and_not_none() {
        assert!(Verbs::parse("crud").is_some_and(|verbs| verbs == Verbs::ALL));
        assert_eq!(Verbs::parse(""), None);
        assert_eq!(Verbs::parse("rx"), None);
    }

    #[test]
    fn user_defaults_are_within_the_base_role() {
        let base = Grants::of(BASE_APP_USER.iter().copied());
        for (path, letters) in EVERY_USER {
            let verbs = Verbs::parse(letters).expect("letters");
            assert!(verbs.is_within(base.on(path, ":self")), "{path}");
        }
    }
}
