//! Security headers of every page that the server serves, and pages that keep to their policy.

use std::collections::BTreeSet;

use thng_pubsub_tests::{Response, Rest, Server};

/// Where a reader begins; the others are linked from these.
const FIRST: [&str; 4] = ["/docs", "/docs/errors", "/sdk/", "/examples/"];

/// The pages that links must lead to, so that the test cannot pass by finding none.
const LINKED: [&str; 4] = ["/examples/app/", "/examples/sdk/", "/examples/paho/", "/examples/websocket/"];

/// The values of an attribute in a page.
fn attributes<'h>(html: &'h str, name: &str) -> Vec<&'h str> {
    html.split(&format!(" {name}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// The path of a link on a page of this server; `None` for another address.
fn resolved(page: &str, link: &str) -> Option<String> {
    if link.starts_with('/') {
        return Some(link.to_owned());
    }
    if link.is_empty() || link.contains(':') || link.starts_with('#') {
        return None;
    }
    let mut folders: Vec<&str> = page.split('/').collect();
    folders.pop();
    let mut link = link;
    while let Some(rest) = link.strip_prefix("../") {
        folders.pop();
        link = rest;
    }
    Some(format!("{}/{link}", folders.join("/")))
}

/// Every page by its path, found by its links.
fn pages() -> Vec<(String, Response)> {
    let mut rest = Rest::new(Server::shared().http(), None);
    let (mut waiting, mut seen) = (FIRST.map(str::to_owned).to_vec(), BTreeSet::new());
    let mut pages = Vec::new();
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = rest.get(&path);
        if answer.header("content-type").is_some_and(|value| value.starts_with("text/html")) {
            answer.assert_status(200);
            let links = attributes(answer.text(), "href").into_iter();
            waiting.extend(links.filter_map(|link| resolved(&path, link)));
            pages.push((path, answer));
        }
    }
    for page in FIRST.iter().chain(&LINKED) {
        assert!(pages.iter().any(|(path, _)| path == page), "{page} is among {seen:?}");
    }
    pages
}

#[test]
fn every_page_has_security_headers() {
    for (path, page) in pages() {
        let header = |name| page.header(name).unwrap_or_default();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert!(header("permissions-policy").contains("camera=()"), "{path}");
        let policy: Vec<&str> = header("content-security-policy").split(';').map(str::trim).collect();
        for directive in ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
            assert!(policy.contains(&directive), "{path}: {directive} in {policy:?}");
        }
        assert!(policy[0] == "default-src 'none'" || policy[0] == "default-src 'self'", "{path}: {policy:?}");
        for loose in ["unsafe-inline", "'unsafe-eval'", "*"] {
            assert!(!header("content-security-policy").contains(loose), "{path}: {loose} in {policy:?}");
        }
        let connects = policy.iter().find(|directive| directive.starts_with("connect-src"));
        let is_example = path.starts_with("/examples/");
        assert!(is_example || connects.is_none_or(|it| *it == "connect-src 'self'"), "{path}: {connects:?}");
    }
}

#[test]
fn no_page_has_inline_code_or_style() {
    for (path, page) in pages() {
        let html = page.text();
        for script in html.split("<script").skip(1) {
            let tag = script.split('>').next().unwrap_or_default();
            assert!(tag.contains("src="), "{path}: an inline script");
        }
        assert!(!html.contains("<style") && !html.contains(" style="), "{path}: an inline style");
        assert!(!html.contains("javascript:"), "{path}: code in an address");
        let tags = html.split('<').filter_map(|tag| tag.split('>').next());
        for tag in tags {
            let names = tag.split_whitespace().skip(1).filter_map(|part| part.split_once('=').map(|it| it.0));
            let handler = names.into_iter().find(|name| name.starts_with("on"));
            assert_eq!(handler, None, "{path}: an inline handler");
        }
    }
}

#[test]
fn no_answer_is_sniffed_and_only_documents_have_a_policy() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    for path in [&format!("/thngs/{thng}"), "/nothing", "/metrics", "/openapi.json", "/examples/page.js"] {
        let answer = rest.get(path);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("content-security-policy"), None, "{path}");
    }
    let icon = rest.get("/docs/icon.svg");
    assert!(icon.header("content-security-policy").is_some(), "a browser displays it");
}
