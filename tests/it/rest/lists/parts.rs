//! Lists in parts: `perPage`, `sortOrder`, and the `link` to the next part.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use thng_pubsub_tests::{Response, Rest, Server};

/// The path and query behind a `link`, which an existing client decodes once and then uses as it is.
fn next(answer: &Response, server: &Server) -> Option<String> {
    let link = answer.header("link")?;
    let url = link
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix(">; rel=\"next\""))
        .expect("one link, rel=next");
    assert!(!url.contains(['=', '?', ',', ';']), "the whole URL is encoded: {url}");
    let url = percent_decode_str(url).decode_utf8().expect("it decodes to text").into_owned();
    let path = url.strip_prefix(&format!("http://{}", server.http()));
    Some(path.unwrap_or_else(|| panic!("{url} is this server's")).to_owned())
}

/// What `field` is in every item of every part, and how many items each part had.
#[track_caller]
fn walk(server: &Server, first: &str, field: &str) -> (Vec<Value>, Vec<usize>) {
    let mut rest = server.rest();
    let (mut found, mut sizes) = (Vec::new(), Vec::new());
    let mut path = Some(first.to_owned());
    while let Some(at) = path {
        let answer = rest.get(&at);
        let items = answer.expect(200);
        let items = items.as_array().expect("a bare array");
        found.extend(items.iter().map(|item| item[field].clone()));
        sizes.push(items.len());
        path = next(&answer, server);
    }
    (found, sizes)
}

fn thngs(rest: &mut Rest, names: impl Iterator<Item = usize>) {
    for name in names {
        rest.post("/thngs", json!({"name": name.to_string()})).assert_status(201);
    }
}

#[test]
fn thngs_are_walked_part_by_part_in_both_orders() {
    let server = Server::start();
    thngs(&mut server.rest(), 0..5);
    let newest_first = [4, 3, 2, 1, 0].map(|name| json!(name.to_string()));
    let mut oldest_first = newest_first.clone();
    oldest_first.reverse();

    assert_eq!(
        walk(&server, "/thngs", "name"),
        (newest_first.to_vec(), vec![5]),
        "no link where there is no more"
    );
    assert_eq!(walk(&server, "/thngs?perPage=2", "name"), (newest_first.to_vec(), vec![2, 2, 1]));
    assert_eq!(walk(&server, "/thngs?perPage=1&sortOrder=DESCENDING", "name").0, newest_first);
    assert_eq!(walk(&server, "/thngs?perPage=2&sortOrder=ASCENDING", "name").0, oldest_first);
    let (under_v2, _) = walk(&server, "/v2/thngs?perPage=2", "name");
    assert_eq!(under_v2, newest_first);
}

#[test]
fn a_page_has_thirty_items_or_up_to_a_hundred() {
    let server = Server::start();
    let mut rest = server.rest();
    thngs(&mut rest, 0..120);
    assert_eq!(walk(&server, "/thngs", "name").1, [30, 30, 30, 30]);
    assert_eq!(walk(&server, "/thngs?perPage=100", "name").1, [100, 20]);
    for wrong in ["0", "101", "-1", "many", ""] {
        rest.get(&format!("/thngs?perPage={wrong}")).assert_status(400);
    }
    rest.get("/thngs?sortOrder=SIDEWAYS").assert_status(400);
    rest.get("/thngs?nextPageToken=invented").assert_status(400);
}

#[test]
fn what_is_created_or_deleted_meanwhile_shifts_nothing() {
    let server = Server::start();
    let mut rest = server.rest();
    thngs(&mut rest, 0..4);
    let first = rest.get("/thngs?perPage=2");
    let second = next(&first, &server).expect("there is more");
    thngs(&mut rest, 4..6);
    let last_seen = first.json()[1]["id"].as_str().expect("an id").to_owned();
    rest.delete(&format!("/thngs/{last_seen}")).assert_status(200);
    let names: Vec<_> = walk(&server, &second, "name").0;
    assert_eq!(names, ["1", "0"]);
}

#[test]
fn a_history_is_walked_part_by_part_within_its_bounds() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = format!("/thngs/{}/properties/k", rest.thng());
    let sent: Vec<_> = (0..40).map(|n| json!({"value": n, "timestamp": 1_000 + n / 7})).collect();
    rest.put(&path, Value::from(sent)).assert_status(200);
    let newest_first: Vec<_> = (0..40).rev().map(|n| json!(n)).collect();
    assert_eq!(walk(server, &path, "value"), (newest_first.clone(), vec![30, 10]));
    assert_eq!(walk(server, &format!("{path}?perPage=3"), "value").0, newest_first);
    let oldest_first: Vec<_> = (0..40).map(|n| json!(n)).collect();
    assert_eq!(walk(server, &format!("{path}?perPage=3&sortOrder=ASCENDING"), "value").0, oldest_first);
    let bounded: Vec<_> = (7..21).rev().map(|n| json!(n)).collect();
    assert_eq!(walk(server, &format!("{path}?from=1001&to=1002&perPage=4"), "value").0, bounded);
}

#[test]
fn the_link_does_not_repeat_the_key() {
    let server = Server::start();
    thngs(&mut server.rest(), 0..2);
    let mut by_query = Rest::new(server.http(), None);
    let answer = by_query.get(&format!("/thngs?perPage=1&access_token={}", server.key()));
    let link = answer.header("link").expect("there is more");
    assert!(!link.contains(server.key()), "clients add the key themselves: {link}");
}
