//! Which part of the server may use which, read from its `crate::` and `super::` paths.
//!
//! The parts are the modules directly below `server/src`. [`ARROWS`] is the picture of the architecture as a table:
//! `main -> admin -> app -> edge -> gateway -> {auth, translate, domain} -> store`. Unit tests may look behind it.

use std::collections::BTreeSet;

use super::{Finding, Source};

/// Leaves that every part may use: they hold no rule of the product and use nothing of ours.
const LEAVES: [&str; 10] = [
    "clock",
    "config",
    "defaults",
    "durable_file",
    "metrics",
    "polls",
    "random",
    "rate",
    "log_throttle",
    "turns",
];

/// What a part may use besides itself and the leaves. A part that is not here is a new one: give it its place.
const ARROWS: [(&str, &[&str]); 21] = [
    ("main", &["admin", "startup"]),
    ("lib", &[]),
    // Reads a whole database beside the server, and asks the rest of the server or of a core of its own.
    ("admin", &["startup", "auth", "edge", "store"]),
    ("startup", &["auth", "domain", "edge", "gateway", "store", "notifications"]),
    ("edge", &["gateway"]),
    // Reading needs no operation: the gateway reads the store itself, once it has authorised.
    ("gateway", &["auth", "domain", "store", "notifications"]),
    ("auth", &["domain", "store"]),
    ("notifications", &["domain", "store"]),
    ("domain", &["store"]),
    ("store", &[]),
    // Measures from where the edges stand, and puts together what `app` does.
    ("measure", &["auth", "domain", "gateway", "store"]),
    ("clock", &["store"]),
    // Whether a given operator key has the form of a key is known in one place.
    ("config", &["auth"]),
    ("defaults", &[]),
    ("durable_file", &[]),
    ("metrics", &[]),
    ("polls", &[]),
    ("random", &[]),
    ("rate", &[]),
    ("log_throttle", &[]),
    ("turns", &[]),
];

/// The edges: one protocol each. They share what else is below `edge`, and none uses another.
const EDGES: [&str; 4] = ["admin", "mqtt", "rest", "websocket"];

/// The part of `edge` that joins the edges behind one listener, and so names them all.
const ROUTER: &str = "http";

/// The folder of the server's sources.
const SERVER: &str = "server/src";

/// Finds every use of a part that the table does not allow, and of one edge by another.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.starts_with(SERVER) || !source.is_rust() || source.is_test() {
        return Vec::new();
    }
    let here = module(source);
    let part = here.first().map_or("lib", String::as_str);
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == part) else {
        let what =
            format!("`{part}` is a new part of the server: give it its place in xtask/src/tidy/arrows.rs");
        return vec![Finding { line: 1, what }];
    };
    let mut findings = BTreeSet::new();
    for (line, used) in uses(source, &here) {
        let target = used[0].as_str();
        let known = ARROWS.iter().any(|(name, _)| *name == target);
        if known && target != part && !allowed.contains(&target) && !LEAVES.contains(&target) {
            findings.insert(Finding { line, what: format!("`{part}` may not use `{target}`") });
        }
        if let Some(what) = between_edges(&here, &used) {
            findings.insert(Finding { line, what });
        }
    }
    findings.into_iter().collect()
}

/// The module path of a file: `edge/mqtt/session.rs` is `[edge, mqtt, session]`; `lib.rs` is empty.
fn module(source: &Source) -> Vec<String> {
    let path = source.path.strip_prefix(SERVER).unwrap_or(&source.path).with_extension("");
    let mut parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// What is wrong with a use of one part of `edge` by another.
fn between_edges(here: &[String], used: &[String]) -> Option<String> {
    let (["edge", own, ..], ["edge", other, ..]) = (&names(here)[..], &names(used)[..]) else {
        return None;
    };
    let is_wrong = own != other && EDGES.contains(other) && *own != ROUTER;
    is_wrong.then(|| format!("`edge/{own}` may not use the edge `{other}`"))
}

fn names(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// Every path of this crate that the code names, as (line, path from the crate's root).
fn uses(source: &Source, here: &[String]) -> BTreeSet<(usize, Vec<String>)> {
    let mut found = BTreeSet::new();
    let code: Vec<(usize, &str)> = source.code().collect();
    for (at, (line, text)) in code.iter().enumerate() {
        for (start, root) in roots(text, here) {
            // A group may go on for some lines: `use crate::{` and then one name each.
            let mut path = text[start..].to_owned();
            if path.contains('{') {
                let more = code[at + 1..].iter().map(|(_, text)| *text);
                for next in more.take_while(|_| !is_balanced_once(&path)).collect::<Vec<_>>() {
                    if is_balanced_once(&path) {
                        break;
                    }
                    path.push_str(next);
                }
            }
            for used in expand(&path) {
                let full: Vec<String> = root.iter().cloned().chain(used).collect();
                if !full.is_empty() {
                    found.insert((*line, full));
                }
            }
        }
    }
    found
}

/// Where `crate::` and `super::` paths of ours start in a line: the rest of the path, and what it is relative to.
fn roots(text: &str, here: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut roots = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':') {
            roots.push((at + "crate::".len(), Vec::new()));
        }
    }
    let mut at = 0;
    while let Some(found) = text[at..].find("super::") {
        let mut end = at + found;
        let mut up = 0;
        while text[end..].starts_with("super::") {
            end += "super::".len();
            up += 1;
        }
        roots.push((end, here[..here.len().saturating_sub(up)].to_vec()));
        at = end;
    }
    roots
}

fn is_balanced_once(path: &str) -> bool {
    let opened = path.matches('{').count();
    opened == 0 || path.matches('}').count() >= opened
}

/// The first two names of every path in `a::b`, `{a::b, c}` or `a::{b, c}`.
fn expand(path: &str) -> Vec<Vec<String>> {
    let path = path.trim_start();
    if let Some(group) = path.strip_prefix('{') {
        return members(group).into_iter().flat_map(|member| expand(&member)).collect();
    }
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    if name.is_empty() {
        return Vec::new();
    }
    let below = match rest.strip_prefix("::") {
        Some(rest) => expand(rest),
        None => Vec::new(),
    };
    if below.is_empty() {
        return vec![vec![name.to_owned()]];
    }
    let with_name = |mut tail: Vec<String>| {
        tail.truncate(1);
        tail.insert(0, name.to_owned());
        tail
    };
    below.into_iter().map(with_name).collect()
}

/// The members of a group up to its closing brace, cut at the commas between them.
fn members(group: &str) -> Vec<String> {
    let (mut members, mut member, mut depth) = (Vec::new(), String::new(), 0);
    for character in group.chars() {
        match character {
            '}' if depth == 0 => break,
            ',' if depth == 0 => members.push(std::mem::take(&mut member)),
            _ => {
                depth += i32::from(character == '{') - i32::from(character == '}');
                member.push(character);
            }
        }
    }
    members.push(member);
    members
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&source(path, text)).into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn an_edge_may_use_the_gateway_and_the_leaves_only() {
        let good =
            "use crate::gateway::Gateway;\nuse crate::{config::Config, defaults};\nuse crate::edge::Stop;\n";
        assert!(findings("server/src/edge/rest.rs", good).is_empty());
        for (text, part) in [
            ("use crate::store::Store;", "store"),
            ("use crate::{gateway, auth::Principal};", "auth"),
            ("fn f(store: &crate::store::Store) {}", "store"),
            ("use crate::{\n    gateway,\n    domain::{Event, Operation},\n};", "domain"),
        ] {
            assert_eq!(findings("server/src/edge/rest.rs", text), [format!("`edge` may not use `{part}`")]);
        }
    }

    #[test]
    fn an_edge_may_not_use_another_edge_by_any_path() {
        for text in
            ["use crate::edge::rest::Router;", "use crate::edge::{rest, Stop};", "use super::super::rest;"]
        {
            let found = findings("server/src/edge/mqtt/session.rs", text);
            assert_eq!(found, ["`edge/mqtt` may not use the edge `rest`"], "{text}");
        }
        for text in [
            "use super::listener;",
            "use crate::edge::mqtt::listener;",
            "use super::super::{Context, accept};",
        ] {
            assert!(findings("server/src/edge/mqtt/session.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn what_the_edges_share_names_none_of_them_but_for_the_router() {
        let text = "use super::{Context, rest};";
        assert!(findings("server/src/edge/http.rs", text).is_empty());
        assert_eq!(
            findings("server/src/edge/upgrade.rs", text),
            ["`edge/upgrade` may not use the edge `rest`"]
        );
    }

    #[test]
    fn the_part_that_holds_the_edges_may_name_them_all() {
        assert!(findings("server/src/edge.rs", "use crate::edge::{mqtt, rest};").is_empty());
    }

    #[test]
    fn arrows_against_the_stream_are_found() {
        assert_eq!(findings("server/src/notifications.rs", "use crate::gateway::Gateway;").len(), 1);
        assert_eq!(findings("server/src/domain/thng.rs", "use crate::gateway::GatewayError;").len(), 1);
        assert!(findings("server/src/domain/thng.rs", "use crate::store::Store;").is_empty());
    }

    #[test]
    fn a_new_part_needs_a_place() {
        assert!(findings("server/src/misc.rs", "")[0].contains("give it its place"));
    }

    #[test]
    fn other_crates_and_tests_are_not_asked() {
        assert!(findings("crates/protocol/src/topic.rs", "use crate::store::Store;").is_empty());
        assert!(findings("server/src/edge/rest/tests.rs", "use crate::store::Store;").is_empty());
        let text = "#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}\n";
        assert!(findings("server/src/edge/rest.rs", text).is_empty());
    }

    #[test]
    fn a_foreign_crate_that_ends_alike_is_not_ours() {
        assert!(findings("server/src/edge/rest.rs", "use some_crate::store::Store;").is_empty());
    }
}
