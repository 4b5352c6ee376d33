//! The query parameters of each route: the one list that the OpenAPI document shows and that destructive calls hold
//! their query against.
//!
//! A destructive call is refused for a parameter that it does not know. A name that is misspelled, or known elsewhere
//! only, may be meant to narrow the call, which would otherwise affect more than was named.

use serde_json::{Value, json};
use thng_pubsub_protocol::payload::ResourceKind;

use super::{
    HttpError,
    call::{Call, invalid},
    list::{COUNTED_OFF_MAX, ITEMS},
    router::{Query, Route, Verb},
};
use thng_pubsub_broker::resources::LOOKED_AT_MAX;

/// Parameters that clients append to every call, whatever it does. `project` narrows every call on resources that have
/// scopes; the others narrow no destructive call.
const NEUTRAL: [&str; 5] = ["access_token", "app", "context", "project", "withScopes"];

const FILTER: &str = "\
Terms such as `tags=a,b`, joined by `&` (and) or `|` (or), grouped by parentheses. `=` any of these, `!=` none of \
these, `~` contains, `>`, `>=`, `<`, `<=` for numbers. A backslash takes the meaning of the character behind it.";

/// One query parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) schema: Value,
    /// A sentence for the documentation.
    pub(super) about: String,
}

fn parameter(name: &'static str, schema: Value, about: impl Into<String>) -> Parameter {
    Parameter { name, schema, about: about.into() }
}

/// The parameters that a query of this form has of its own.
pub(super) fn query_parameters(query: Query) -> Vec<Parameter> {
    let text = || json!({ "type": "string" });
    let flag = || json!({ "type": "boolean", "default": false });
    let time = || json!({ "type": "integer", "format": "int64" });
    match query {
        Query::Plain => Vec::new(),
        Query::List(kind) => list(kind),
        Query::History => {
            let mut parameters = page(COUNTED_OFF_MAX + 1, "For those who count pages: which one.");
            parameters.extend([
                parameter("from", time(), "The earliest time, included."),
                parameter("to", time(), "The latest time, included."),
                parameter("filter", text(), "Such as `timestamp>1700000000000`."),
            ]);
            parameters
        }
        Query::Until => vec![parameter("to", time(), "Only values before this time.")],
        Query::Selection(kind) => {
            let mut parameters = vec![parameter("filter", text(), filter(kind)), ids()];
            parameters.extend(kind.is_scoped().then(project));
            parameters
        }
        Query::Members => vec![ids(), project()],
        Query::Creation => {
            vec![project(), parameter("withScopes", flag(), "Whether the answer shows who sees it.")]
        }
        Query::Anonymous => vec![parameter("anonymous", flag(), "Whether the user has no name.")],
        Query::ClientEvents => {
            let mut parameters = page(1, "");
            parameters.retain(|parameter| parameter.name != "page");
            let fields = "Fields: those of the document, such as `clientId`, `key.handle` or `at`.";
            parameters.push(parameter("filter", text(), format!("{FILTER}\n\n{fields}")));
            parameters
        }
        Query::TimeZone => vec![parameter("tz", text(), "A time zone such as `Europe/Zurich`.")],
    }
}

/// Of a list of resources.
fn list(kind: ResourceKind) -> Vec<Parameter> {
    let text = || json!({ "type": "string" });
    let flag = || json!({ "type": "boolean", "default": false });
    let mut parameters = page(
        LOOKED_AT_MAX,
        "For those who count pages: which one. `x-result-count` says how many items there are.",
    );
    parameters.extend([
        parameter("withTotalCount", flag(), "Whether `x-result-count` says how many items there are."),
        parameter("filter", text(), filter(kind)),
        ids(),
    ]);
    if kind.is_scoped() {
        parameters
            .extend([project(), parameter("withScopes", flag(), "Whether documents show who sees them.")]);
    }
    if kind == ResourceKind::Action {
        parameters.push(parameter("context", flag(), "Whether actions show how they came about."));
    }
    if matches!(kind, ResourceKind::Action | ResourceKind::User) {
        parameters.push(parameter("app", id(), "Only what comes from this application."));
    }
    if kind == ResourceKind::Place {
        let degrees = |most: i32| json!({ "type": "number", "minimum": -most, "maximum": most });
        let distance = json!({ "type": "number", "minimum": 0, "maximum": 25_000, "default": 1 });
        parameters.extend([
            parameter("lat", degrees(90), "With `lon`: only places near this point."),
            parameter("lon", degrees(180), "With `lat`."),
            parameter("maxDist", distance, "How near, in kilometres."),
        ]);
    }
    parameters
}

/// Which page of a list or a history.
fn page(pages_max: usize, about_page: &'static str) -> Vec<Parameter> {
    let (usual, most) = ITEMS;
    let items = json!({ "type": "integer", "minimum": 1, "maximum": most, "default": usual });
    let order = json!({ "type": "string", "enum": ["DESCENDING", "ASCENDING"], "default": "DESCENDING" });
    vec![
        parameter("perPage", items, "Items of a page."),
        parameter("sortOrder", order, "Newest or oldest first."),
        parameter(
            "nextPageToken",
            json!({ "type": "string" }),
            "Where the page begins: from the `link` of the page before.",
        ),
        parameter("page", json!({ "type": "integer", "minimum": 1, "maximum": pages_max }), about_page),
    ]
}

fn filter(kind: ResourceKind) -> String {
    let names: Vec<&str> = kind.filterable().collect();
    format!("{FILTER}\n\nFields: `{}`.", names.join("`, `"))
}

fn ids() -> Parameter {
    parameter("ids", json!({ "type": "string" }), "At most 100 ids, joined by commas.")
}

fn project() -> Parameter {
    parameter("project", id(), "Only what is scoped to this project; what is created is scoped to it.")
}

fn id() -> Value {
    json!({ "$ref": "#/components/schemas/Id" })
}

/// What a destructive route takes besides its path; nothing for a route that is not destructive.
///
/// Destructive is what removes something (`DELETE`), and what changes all that its query names.
pub(super) fn guard(route: &Route) -> Option<Guard> {
    let is_destructive = route.verb == Verb::Delete || matches!(route.query, Query::Selection(_));
    is_destructive.then(|| Guard {
        known: query_parameters(route.query).into_iter().map(|parameter| parameter.name).collect(),
        takes_body: route.verb != Verb::Delete,
    })
}

/// Refuses a destructive call that says more than its route understands.
#[derive(Debug)]
pub(super) struct Guard {
    known: Vec<&'static str>,
    takes_body: bool,
}

impl Guard {
    /// # Errors
    /// 400 for a parameter that the route does not know, one that comes twice, and a body where none is taken.
    pub(super) fn check(&self, call: &Call) -> Result<(), HttpError> {
        let mut seen: Vec<&'static str> = Vec::new();
        for (name, _) in call.parameters() {
            let name = self.known_name(&name)?;
            if seen.contains(&name) {
                return Err(invalid(&format!("{name} comes more than once. Nothing was changed.")));
            }
            seen.push(name);
        }
        if !self.takes_body && !says_nothing(&call.body) {
            return Err(invalid(&format!(
                "This call takes no body. {} Nothing was changed.",
                self.understood()
            )));
        }
        Ok(())
    }

    /// The refusal does not repeat the name: a key may have been pasted there.
    fn known_name(&self, given: &str) -> Result<&'static str, HttpError> {
        let mut names = self.known.iter().chain(&NEUTRAL).copied();
        if let Some(name) = names.clone().find(|name| *name == given) {
            return Ok(name);
        }
        let hint = match names.find(|name| name.eq_ignore_ascii_case(given)) {
            Some(name) => format!(" Write {name}, in these letters."),
            None => String::new(),
        };
        Err(invalid(&format!(
            "The query has a parameter that this call does not understand.{hint} {} Nothing was changed.",
            self.understood()
        )))
    }

    fn understood(&self) -> String {
        match &self.known[..] {
            [] => "It acts on what the path names and has no parameters of its own.".to_owned(),
            [name] => format!("Its only parameter is {name}."),
            names => format!("Its parameters are {}.", names.join(", ")),
        }
    }
}

/// Whether a body holds nothing: some clients send an empty object with every call.
fn says_nothing(body: &[u8]) -> bool {
    body.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}") || body.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::router::table;

    #[test]
    fn every_deletion_and_bulk_change_is_guarded() {
        for route in table() {
            let is_bulk = matches!(route.query, Query::Selection(_) | Query::Members);
            assert_eq!(guard(&route).is_some(), route.verb == Verb::Delete || is_bulk, "{}", route.path);
        }
    }

    #[test]
    fn only_an_empty_object_is_an_empty_body() {
        for body in ["", " \n", "{}", " { } "] {
            assert!(says_nothing(body.as_bytes()), "{body}");
        }
        for body in ["[]", "null", "0", r#"{"ids":[]}"#, "{}{}", "{", r#"[""]"#] {
            assert!(!says_nothing(body.as_bytes()), "{body}");
        }
    }
}
