//! Lists part by part, by links and by pages, with every parameter that narrows them.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use thng_pubsub_tests::{Rest, Server};

use super::filters::{UNKNOWN, encode, name_of, names_by, refused};

/// Every list that has pages, with five items in each but for what else it always shows.
pub(super) fn lists(rest: &mut Rest) -> BTreeMap<String, usize> {
    let thngs: Vec<_> = (0..5).map(|n| rest.id_of("/thngs", json!({"name": n.to_string()}))).collect();
    let collections: Vec<_> =
        (0..5).map(|n| rest.id_of("/collections", json!({"name": n.to_string()}))).collect();
    rest.put(&format!("/collections/{}/thngs", collections[0]), json!(thngs)).assert_status(200);
    let outer = rest.id_of("/collections", json!({"name": "outer"}));
    rest.post(&format!("/collections/{outer}/collections"), json!(collections)).assert_status(200);
    let project = rest.project();
    for n in 0..5 {
        for list in ["/products", "/places", "/batches"] {
            rest.create(list, json!({"name": n.to_string()}));
        }
        let sent = json!({"name": n.to_string(), "socialNetworks": {}});
        rest.create(&format!("/projects/{project}/applications"), sent);
        rest.create(&format!("/thngs/{}/actions/scans", thngs[0]), json!({}));
        if n > 0 {
            let _ = rest.project();
        }
    }
    BTreeMap::from([
        ("/thngs".to_owned(), 5),
        ("/collections".to_owned(), 6),
        (format!("/collections/{}/thngs", collections[0]), 5),
        (format!("/collections/{outer}/collections"), 5),
        ("/products".to_owned(), 5),
        ("/places".to_owned(), 5),
        ("/batches".to_owned(), 5),
        ("/projects".to_owned(), 5),
        (format!("/projects/{project}/applications"), 5),
        ("/actions/all".to_owned(), 5),
        ("/actions/scans".to_owned(), 5),
        (format!("/thngs/{}/actions/all", thngs[0]), 5),
        (format!("/collections/{}/actions/scans", collections[0]), 5),
    ])
}

#[test]
fn every_list_is_walked_by_links_and_by_pages_to_the_same_end() {
    let server = Server::start();
    let mut rest = server.rest();
    for (list, count) in lists(&mut rest) {
        let all = rest.get(&list).expect(200);
        let all = all.as_array().expect("an array");
        assert_eq!(all.len(), count, "{list}");
        for per_page in [1, 2, 3, count, 100] {
            let parts = rest.parts(&format!("{list}?perPage={per_page}"));
            assert_eq!(
                parts.len(),
                count.div_ceil(per_page),
                "the last part of {list} by {per_page} has no link"
            );
            assert_eq!(parts.concat(), *all, "{list} by {per_page}");

            let mut counted = Vec::new();
            for page in 1..=count.div_ceil(per_page) {
                let answer = rest.get(&format!("{list}?perPage={per_page}&page={page}"));
                assert_eq!(answer.header("x-result-count"), Some(&*count.to_string()), "{list}");
                let items = answer.expect(200);
                counted.extend(items.as_array().expect("an array").clone());
                let is_last = page * per_page >= count;
                assert_eq!(answer.header("link").is_none(), is_last, "page {page} of {list} by {per_page}");
                if let Some(next) = rest.next(&answer) {
                    assert_eq!(rest.get(&next).json()[0], all[page * per_page], "the link of page {page}");
                }
            }
            assert_eq!(counted, *all, "{list} by {per_page}, counted");
        }
        let beyond = rest.get(&format!("{list}?perPage=2&page=99"));
        assert_eq!(beyond.expect(200), json!([]), "{list}");
        assert_eq!(beyond.header("x-result-count"), Some(&*count.to_string()), "{list}");
        let total = rest.get(&format!("{list}?perPage=1&withTotalCount=true"));
        assert_eq!(total.header("x-result-count"), Some(&*count.to_string()), "{list}");
        for without in ["perPage=1", "withTotalCount=false"] {
            assert_eq!(
                rest.get(&format!("{list}?{without}")).header("x-result-count"),
                None,
                "{list}?{without}"
            );
        }
        for wrong in [
            "perPage=0",
            "perPage=101",
            "perPage=-1",
            "perPage=many",
            "perPage=",
            "page=0",
            "page=-1",
            "page=first",
            "page=",
            "sortOrder=UP",
            "nextPageToken=invented",
            "nextPageToken=",
        ] {
            rest.get(&format!("{list}?{wrong}")).assert_status(400);
        }
    }
}

#[test]
fn histories_are_counted_off_by_pages_too() {
    let mut rest = Server::shared().rest();
    let thng = rest.thng();
    let five = |field: &str| -> Value {
        (1..=5).map(|n| json!({field: n, "longitude": 1, "timestamp": n})).collect::<Vec<_>>().into()
    };
    for (path, field) in [("properties/k", "value"), ("location", "latitude")] {
        let path = format!("/thngs/{thng}/{path}");
        rest.put(&path, five(field)).assert_status(200);
        let mut counted = Vec::new();
        for page in 1..=3 {
            let items = rest.get(&format!("{path}?perPage=2&page={page}")).expect(200);
            counted.extend(items.as_array().expect("an array").iter().map(|item| item[field].clone()));
        }
        assert_eq!(counted, [5, 4, 3, 2, 1], "{path}");
        assert_eq!(rest.get(&format!("{path}?perPage=2&page=4")).expect(200), json!([]), "{path}");
    }
}

#[test]
fn the_link_carries_everything_on_that_was_asked_for() {
    let server = Server::start();
    let mut rest = server.rest();
    let project = rest.project();
    let thngs: Vec<_> = (0..6)
        .map(|n| {
            let path = if n == 2 { "/thngs".to_owned() } else { format!("/thngs?project={project}") };
            rest.id_of(
                &path,
                json!({"name": format!("a&b={n}"), "tags": [if n == 4 { "other" } else { "ü +&=,%" }]}),
            )
        })
        .collect();
    let parameters = [
        ("filter", "tags=ü +\\&\\=\\,%&name~a\\&b".to_owned()),
        ("project", project.clone()),
        ("withScopes", "true".to_owned()),
        ("sortOrder", "ASCENDING".to_owned()),
        ("perPage", "1".to_owned()),
        ("ids", format!("{},{},{},{},{UNKNOWN}", thngs[5], thngs[3], thngs[2], thngs[1])),
    ];
    for prefix in ["", "/v2"] {
        let query: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let mut path = format!("{prefix}/thngs?{}", query.join("&"));
        for (n, expected) in [1, 3, 5].into_iter().enumerate() {
            let answer = rest.get(&path);
            let items = answer.expect(200);
            assert_eq!(items.as_array().map(Vec::len), Some(1), "{items}");
            assert_eq!(items[0]["id"], *thngs[expected], "part {n}");
            assert_eq!(items[0]["scopes"]["projects"], json!([project]), "part {n}");
            let next = rest.next(&answer);
            assert_eq!(next.is_none(), n == 2, "the last part is full and has no link");
            if let Some(next) = next {
                let (address, query) = next.split_once('?').expect("a query");
                assert_eq!(address, format!("{prefix}/thngs"));
                let carried: BTreeMap<_, _> = query
                    .split('&')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| {
                        let value = value.replace('+', " ");
                        (
                            name.to_owned(),
                            percent_decode_str(&value).decode_utf8().expect("text").into_owned(),
                        )
                    })
                    .collect();
                for (name, value) in &parameters {
                    assert_eq!(carried.get(*name), Some(value), "{name} in {query}");
                }
                path = next;
            }
        }
    }
}

#[test]
fn everything_that_narrows_a_list_narrows_it_together() {
    let server = Server::start();
    let mut rest = server.rest();
    let (project, other) = (rest.project(), rest.project());
    let mut ids = BTreeMap::new();
    for (name, of, tag) in [
        ("a", Some(&project), "red"),
        ("b", Some(&project), "blue"),
        ("c", Some(&other), "red"),
        ("d", None, "red"),
        ("e", Some(&project), "red"),
    ] {
        let path = of.map_or("/thngs".to_owned(), |project| format!("/thngs?project={project}"));
        ids.insert(name, rest.id_of(&path, json!({"name": name, "tags": [tag]})));
    }
    let chosen = format!("{},{},{},{},{}", ids["a"], ids["b"], ids["c"], ids["d"], UNKNOWN);
    for (query, expected) in [
        (String::new(), &["e", "d", "c", "b", "a"][..]),
        (format!("project={project}"), &["e", "b", "a"]),
        (format!("project={project}&filter=tags%3Dred"), &["e", "a"]),
        (format!("project={project}&filter=tags%3Dred&ids={chosen}"), &["a"]),
        (format!("filter=tags%3Dred&ids={chosen}"), &["d", "c", "a"]),
        (format!("project={other}&ids={}", ids["a"]), &[]),
    ] {
        for per_page in [1, 2, 30] {
            let list = format!("/thngs?withScopes=true&perPage={per_page}&{query}");
            let parts = rest.parts(&list);
            let found: Vec<_> = parts.iter().flatten().map(name_of).collect();
            assert_eq!(found, expected, "{query} by {per_page}");
            assert!(parts.iter().flatten().all(|thng| thng["scopes"]["projects"].is_array()), "{query}");
        }
        let counted = rest.get(&format!("/thngs?page=1&{query}"));
        assert_eq!(counted.header("x-result-count"), Some(&*expected.len().to_string()), "{query}");
        assert!(counted.json().as_array().expect("an array").iter().all(|thng| thng.get("scopes").is_none()));
    }
}

#[test]
fn a_hundred_ids_name_what_is_there_and_one_more_is_refused() {
    let server = Server::start();
    let mut rest = server.rest();
    let thngs: Vec<_> = (0..40).map(|n| rest.id_of("/thngs", json!({"name": n.to_string()}))).collect();
    let product = rest.id_of("/products", json!({"name": "no thng"}));
    let newest_first: Vec<_> = (0..40).rev().map(|n| n.to_string()).collect();
    let mut hundred = thngs.clone();
    hundred.resize(99, UNKNOWN.to_owned());
    hundred.push(product.clone());
    assert_eq!(names_by(&mut rest, &format!("/thngs?ids={}", hundred.join(",")), 7), newest_first);
    assert_eq!(names_by(&mut rest, &format!("/thngs?ids={}", hundred.join("%2C")), 100), newest_first);
    hundred.push(UNKNOWN.to_owned());
    let sentence = refused(&mut rest, &format!("/thngs?ids={}", hundred.join(",")));
    assert!(sentence.contains("ids") && sentence.contains("100"), "{sentence}");

    for (ids, expected) in [
        (format!("{0},{1},{0}", thngs[3], thngs[8]), &["8", "3"][..]),
        (format!("x,{},%20,{UNKNOWN}", thngs[5]), &["5"]),
        (product, &[]),
        (UNKNOWN.to_owned(), &[]),
        ("x".to_owned(), &[]),
    ] {
        assert_eq!(names_by(&mut rest, &format!("/thngs?ids={ids}"), 30), expected, "{ids}");
    }
}

#[test]
fn changes_between_pages_do_not_shift_a_filtered_list() {
    let server = Server::start();
    let mut rest = server.rest();
    let create = |rest: &mut Rest, name: &str, tag: &str| {
        format!("/thngs/{}", rest.id_of("/thngs", json!({"name": name, "tags": [tag]})))
    };
    let mut paths = BTreeMap::new();
    for (name, tag) in [
        ("a", "red"),
        ("b", "blue"),
        ("c", "red"),
        ("d", "red"),
        ("e", "blue"),
        ("f", "red"),
        ("g", "red"),
        ("h", "red"),
    ] {
        paths.insert(name, create(&mut rest, name, tag));
    }
    for (order, first_names, rest_of_it) in
        [("DESCENDING", ["h", "g"], &["e", "c", "a"][..]), ("ASCENDING", ["a", "c"], &["d", "g", "h", "i"])]
    {
        let first = rest.get(&format!("/thngs?filter=tags%3Dred&perPage=2&sortOrder={order}"));
        let names: Vec<_> = first.json().as_array().expect("an array").iter().map(name_of).collect();
        assert_eq!(names, first_names);
        let next = rest.next(&first).expect("there is more");
        if order == "DESCENDING" {
            // The place where the first part ended, one that was to come, one that is new, and two that change sides.
            rest.put(&paths["g"], json!({"name": "g", "tags": ["red"], "description": "touched"}))
                .assert_status(200);
            rest.delete(&paths["f"]).assert_status(200);
            rest.put(&paths["d"], json!({"tags": ["blue"]})).assert_status(200);
            rest.put(&paths["e"], json!({"tags": ["red"]})).assert_status(200);
            create(&mut rest, "i", "red");
        } else {
            rest.delete(&paths["c"]).assert_status(200);
            rest.put(&paths["d"], json!({"tags": ["red"]})).assert_status(200);
            rest.put(&paths["e"], json!({"tags": ["blue"]})).assert_status(200);
        }
        let found: Vec<_> = rest.parts(&next).iter().flatten().map(name_of).collect();
        assert_eq!(found, rest_of_it, "{order}");
    }
}

#[test]
fn parameters_that_a_list_does_not_know_are_passed_over() {
    let server = Server::start();
    let mut rest = server.rest();
    rest.create("/thngs", json!({"name": "n"}));
    let expected = rest.get("/thngs").expect(200);
    for query in [
        "q=x",
        "search=x",
        "tags=x",
        "types=x",
        "userScope=all",
        "withIds=true",
        "x=%20&y",
        "&&",
        "callback=f",
    ] {
        assert_eq!(rest.get(&format!("/thngs?{query}")).expect(200), expected, "{query}");
    }
}
