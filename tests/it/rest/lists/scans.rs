//! The bounds of a scan: a long list continues by its link, and a total or bulk change is complete or refused.

use serde_json::{Value, json};
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Server};

/// A server with thngs of 50 kB, of which one list goes through some; the name of the oldest is `oldest`.
fn large_documents(launch: Launch) -> Server {
    let server = launch.start();
    let mut rest = server.rest();
    for number in 0..40 {
        let name = if number == 0 { "oldest" } else { "other" };
        let large = json!({"name": name, "customFields": {"x": "x".repeat(50_000)}});
        rest.post("/thngs", large).assert_status(201);
    }
    server
}

/// Issue 14, item 6: a scan is bounded by bytes times terms; a list may end a page anywhere, always with a link.
#[test]
fn a_list_beyond_the_bytes_of_a_scan_goes_on_by_its_link() {
    let server = large_documents(Launch::new().flag("--scan-bytes-max", "1048576"));
    let mut rest = server.rest();
    let parts = rest.parts("/thngs?filter=customFields.x~zzz%7Cname=oldest");
    let found: Vec<&Value> = parts.iter().flatten().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["name"], "oldest");
    assert!((5..=40).contains(&parts.len()), "40 times 150 kB in parts of 1 MiB: {} parts", parts.len());
    let more_terms =
        rest.parts("/thngs?filter=customFields.x~zzz%7Cname=oldest%7CcustomFields.x~a%7CcustomFields.x~b");
    assert!(more_terms.len() > parts.len(), "more terms are more work: {} parts", more_terms.len());
    assert!(server.metric(r#"scans_ended_early_total{bound="bytes"}"#) >= 5);
}

/// Issue 14, item 6: counts and bulk changes never end early: complete, or refused before the first change.
#[test]
fn totals_and_bulk_changes_are_complete_or_refused() {
    let server = large_documents(Launch::new().flag("--scan-bytes-max", "2097152"));
    let mut rest = server.rest();
    let refused = |sample: &str| server.metric(&format!(r#"scans_refused_total{{bound="{sample}"}}"#));
    assert_eq!(refused("bytes"), 0);
    let total = rest.get("/thngs?filter=customFields.x~zzz&withTotalCount=true");
    assert!(total.expect(400)["errors"][0].as_str().expect("text").contains("--scan-bytes-max"));
    rest.get("/thngs?filter=customFields.x~zzz&page=1").assert_status(400);
    for answer in [
        rest.delete("/thngs?filter=customFields.x~xxx"),
        rest.put("/thngs?filter=customFields.x~xxx", json!({"name": "changed"})),
    ] {
        let sentence = answer.expect(400)["errors"][0].as_str().expect("text").to_owned();
        assert!(
            sentence.contains("--scan-bytes-max") && sentence.contains("Nothing was changed"),
            "{sentence}"
        );
    }
    assert_eq!(refused("bytes"), 4);
    let total = rest.get("/thngs?perPage=1&withTotalCount=true");
    assert_eq!(total.header("x-result-count"), Some("40"), "none was deleted");
    assert_eq!(rest.parts("/thngs?filter=name=changed").concat().len(), 0, "none was changed");
    let deleted = rest.delete("/thngs?filter=name=oldest");
    assert_eq!((deleted.status, deleted.header("x-result-count")), (200, Some("1")), "an index answers it");
}

#[test]
fn totals_count_lists_of_more_items_than_a_page_looks_at() {
    let server = Launch::new().flag("--scan-time-max-ms", "600000").start();
    let mut rest = server.rest();
    let (thng, batch) = (rest.thng(), 500);
    let actions = json!(vec![json!({"type": "scans", "tags": ["a"]}); batch]);
    for _ in 0..21 {
        rest.post(&format!("/thngs/{thng}/actions/scans"), actions.clone()).assert_status(201);
    }
    for filter in ["", "&filter=tags=a", "&filter=tags!=b"] {
        let total = rest.get(&format!("/actions/scans?perPage=1&withTotalCount=true{filter}"));
        assert_eq!(total.header("x-result-count"), Some("10500"), "{filter}: {}", total.text());
    }
}

/// Issue 14, item 6: a scan went on when its client had gone.
#[test]
fn scans_of_clients_that_have_gone_end() {
    let server = large_documents(
        Launch::new()
            .flag("--database-readers", "2")
            .flag("--scan-time-max-ms", "5000")
            .flag("--scan-bytes-max", "1099511627776"),
    );
    let terms: Vec<String> = (0..32).map(|n| format!("customFields.x~x{n}y")).collect();
    let path = format!("/thngs?withTotalCount=true&filter={}", terms.join("%7C"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n\r\n");
    let mut clients: Vec<_> = (0..50).map(|_| Raw::connect(server.http()).with(request.as_bytes())).collect();
    until("many scans wait", || (server.metric("scans_waiting") > 20).then_some(()));
    let answered = server.metric(r#"http_requests_total{status="200"}"#);
    clients.drain(..).for_each(drop);
    until("none waits any more", || (server.metric("scans_waiting") == 0).then_some(()));
    let since = server.metric(r#"http_requests_total{status="200"}"#) - answered;
    assert!(since < 50, "their lists were not answered: {since}");
    server.assert_serves();
}
