//! The parameters of lists: `filter`, `ids`, `page`, `project`, and all of them together, part by part.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::wait::until;
use thng_pubsub_tests::{KEY, Launch, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn name_of(item: &Value) -> String {
    item["name"].as_str().unwrap_or_else(|| panic!("{item} has a name")).to_owned()
}

/// The names in a list, in its order, walked in parts of so many.
#[track_caller]
fn names_by(rest: &mut Rest, list: &str, per_page: usize) -> Vec<String> {
    let joint = if list.contains('?') { '&' } else { '?' };
    let parts = rest.parts(&format!("{list}{joint}perPage={per_page}"));
    let (last, full) = parts.split_last().expect("there is a part");
    assert!(full.iter().all(|part| part.len() == per_page), "all parts but the last are full");
    assert!(!last.is_empty() || full.is_empty(), "no part is empty but a lone one");
    parts.iter().flatten().map(name_of).collect()
}

/// The names that a filter admits, which do not depend on the parts that they come in.
#[track_caller]
fn filtered(rest: &mut Rest, list: &str, filter: &str) -> Vec<String> {
    let list = format!("{list}?filter={}", encode(filter));
    let names = names_by(rest, &list, 100);
    for per_page in [1, 2] {
        assert_eq!(names_by(rest, &list, per_page), names, "{filter} by {per_page}");
    }
    let mut oldest_first = names_by(rest, &format!("{list}&sortOrder=ASCENDING"), 2);
    oldest_first.reverse();
    assert_eq!(oldest_first, names, "{filter} the other way round");
    let counted = rest.get(&format!("{list}&page=1&perPage=1"));
    let count = names.len().to_string();
    assert_eq!(counted.header("x-result-count"), Some(&*count), "the count of {filter}");
    names
}

/// The sentence of a refusal.
#[track_caller]
fn refused(rest: &mut Rest, path: &str) -> String {
    rest.get(path).expect(400)["errors"][0].as_str().expect("a sentence").to_owned()
}

#[test]
fn thngs_are_found_by_every_field_and_operator() {
    let server = Server::start();
    let mut rest = server.rest();
    let lamp = rest.id_of("/products", json!({"name": "lamp"}));
    let fan = rest.id_of("/products", json!({"name": "fan"}));
    let hall = rest.id_of("/collections", json!({"name": "hall"}));
    let roof = rest.id_of("/collections", json!({"name": "roof"}));
    for (name, more) in [
        (
            "Alpha",
            json!({"product": lamp, "tags": ["red", "Round"], "collections": [hall], "customFields": {"watts": 7, "a": {"b": "x"}}}),
        ),
        (
            "beta",
            json!({"product": fan, "tags": ["blue"], "customFields": {"watts": 60.5}, "identifiers": {"gs1:21": "007"}}),
        ),
        (
            "gamma ray",
            json!({"product": lamp, "tags": ["red", "blue"], "collections": [hall, roof], "identifiers": {"gs1:21": "1 2&3"}}),
        ),
        (
            "delta=4",
            json!({"identifiers": {"gs1:21": "(01)5(21)7", "Serial.No": "a,b"}, "customFields": {"watts": "many", "list": ["p", "q"]}}),
        ),
        ("épsilon", json!({"tags": ["grün"], "customFields": {"on": true, "watts": -2}})),
    ] {
        let mut sent = more;
        sent["name"] = json!(name);
        rest.create("/thngs", sent);
    }
    let (a, b, c, d, e) = ("Alpha", "beta", "gamma ray", "delta=4", "épsilon");
    for (filter, expected) in [
        ("name=Alpha".to_owned(), &[a][..]),
        ("name=alpha".to_owned(), &[]),
        ("name=gamma ray".to_owned(), &[c]),
        ("name=delta=4".to_owned(), &[d]),
        ("name=épsilon".to_owned(), &[e]),
        ("name=Alpha,beta,nobody".to_owned(), &[b, a]),
        ("name!=Alpha".to_owned(), &[e, d, c, b]),
        ("name!=Alpha,beta".to_owned(), &[e, d, c]),
        ("name~A".to_owned(), &[d, c, b, a]),
        ("name~PH,ÉPS".to_owned(), &[e, a]),
        ("name=".to_owned(), &[]),
        ("tags=red".to_owned(), &[c, a]),
        ("tags=red,blue".to_owned(), &[c, b, a]),
        ("tags=red&tags=blue".to_owned(), &[c]),
        ("tags!=red".to_owned(), &[e, d, b]),
        ("tags!=red,blue".to_owned(), &[e, d]),
        ("tags~ROUN".to_owned(), &[a]),
        ("tags=grün".to_owned(), &[e]),
        (format!("product={lamp}"), &[c, a]),
        (format!("product={lamp},{fan}"), &[c, b, a]),
        (format!("product!={lamp}"), &[e, d, b]),
        (format!("collections={hall}"), &[c, a]),
        (format!("collections={roof},{hall}"), &[c, a]),
        (format!("collections={roof}&collections={hall}"), &[c]),
        (format!("collections!={hall}"), &[e, d, b]),
        (format!("collections={UNKNOWN}"), &[]),
        ("identifiers.gs1:21=007".to_owned(), &[b]),
        ("identifiers.gs1:21=7".to_owned(), &[]),
        ("identifiers.gs1:21=1 2&3".to_owned(), &[c]),
        ("identifiers.gs1:21=1 2&3&tags=red".to_owned(), &[c]),
        ("identifiers.gs1:21=(01)5(21)7".to_owned(), &[d]),
        ("identifiers.gs1:21!=007".to_owned(), &[e, d, c, a]),
        ("identifiers.gs1:21~&3".to_owned(), &[c]),
        ("identifiers.Serial.No=a\\,b".to_owned(), &[d]),
        ("identifiers.Serial.No=a,b".to_owned(), &[]),
        ("identifiers.serial.no=a\\,b".to_owned(), &[]),
        ("customFields.watts=7".to_owned(), &[a]),
        ("customFields.watts>7".to_owned(), &[b]),
        ("customFields.watts>=7".to_owned(), &[b, a]),
        ("customFields.watts<7".to_owned(), &[e]),
        ("customFields.watts<=60.5".to_owned(), &[e, b, a]),
        ("customFields.watts=many".to_owned(), &[d]),
        ("customFields.a.b=x".to_owned(), &[a]),
        ("customFields.list=q".to_owned(), &[d]),
        ("customFields.on=true".to_owned(), &[e]),
        ("name=Alpha|name=beta".to_owned(), &[b, a]),
        ("name=Alpha|tags=blue&name=beta".to_owned(), &[b, a]),
        ("(name=Alpha|tags=blue)&tags=red".to_owned(), &[c, a]),
        ("((name=Alpha|tags=blue)&tags=red)|name=épsilon".to_owned(), &[e, c, a]),
        (format!("product={lamp}&collections={hall}&tags=red&name~ray"), &[c]),
    ] {
        assert_eq!(filtered(&mut rest, "/thngs", &filter), expected, "{filter}");
    }
}

/// A filter as a client writes it, and as a model of it decides about a thng.
enum Model {
    Term { field: &'static str, is_not: bool, values: Vec<&'static str> },
    Both(Vec<Model>),
    Either(Vec<Model>),
}

impl Model {
    fn random(random: &mut fastrand::Rng, depth: usize) -> Model {
        if depth > 0 && random.bool() {
            let parts = (0..random.usize(2..4)).map(|_| Model::random(random, depth - 1)).collect();
            return if random.bool() { Model::Both(parts) } else { Model::Either(parts) };
        }
        let (field, of) = [
            ("name", &["a", "b", "c"][..]),
            ("tags", &["red", "blue", "round"]),
            ("identifiers.k", &["1", "2", "3"]),
            ("customFields.n", &["5", "6"]),
        ][random.usize(..4)];
        let values = (0..random.usize(1..3)).map(|_| of[random.usize(..of.len())]).collect();
        Model::Term { field, is_not: random.bool(), values }
    }

    fn text(&self) -> String {
        let joined = |parts: &[Model], joint: &str| {
            parts.iter().map(|part| format!("({})", part.text())).collect::<Vec<_>>().join(joint)
        };
        match self {
            Model::Term { field, is_not, values } => {
                format!("{field}{}{}", if *is_not { "!=" } else { "=" }, values.join(","))
            }
            Model::Both(parts) => joined(parts, "&"),
            Model::Either(parts) => joined(parts, "|"),
        }
    }

    fn admits(&self, thng: &Value) -> bool {
        match self {
            Model::Term { field, is_not, values } => {
                let (name, key) =
                    field.split_once('.').map_or((*field, None), |(name, key)| (name, Some(key)));
                let found = key.map_or(&thng[name], |key| &thng[name][key]);
                let is_any = match found {
                    Value::Array(items) => items.iter().any(|item| values.iter().any(|value| item == value)),
                    Value::Number(number) => values.contains(&&*number.to_string()),
                    found => values.iter().any(|value| found == value),
                };
                is_any != *is_not
            }
            Model::Both(parts) => parts.iter().all(|part| part.admits(thng)),
            Model::Either(parts) => parts.iter().any(|part| part.admits(thng)),
        }
    }
}

#[test]
fn whatever_is_joined_however_admits_what_its_terms_say() {
    let server = Server::start();
    let mut rest = server.rest();
    let mut random = thng_pubsub_tests::wait::random();
    for _ in 0..40 {
        let mut sent = json!({"name": (["a", "b", "c"][random.usize(..3)])});
        sent["tags"] = ["red", "blue", "round"].into_iter().filter(|_| random.bool()).collect();
        if random.bool() {
            sent["identifiers"] = json!({"k": (["1", "2"][random.usize(..2)])});
        }
        sent["customFields"] = json!({"n": random.u8(5..7)});
        rest.create("/thngs", sent);
    }
    let thngs = rest.parts("/thngs?perPage=100").concat();
    for _ in 0..60 {
        let model = Model::random(&mut random, 2);
        let filter = model.text();
        let mut expected: Vec<_> = thngs.iter().filter(|thng| model.admits(thng)).cloned().collect();
        let list = format!("/thngs?filter={}", encode(&filter));
        let counted = rest.get(&format!("{list}&withTotalCount=true"));
        assert_eq!(counted.header("x-result-count"), Some(&*expected.len().to_string()), "{filter}");
        for order in ["DESCENDING", "ASCENDING"] {
            let per_page = random.usize(1..15);
            let parts = rest.parts(&format!("{list}&sortOrder={order}&perPage={per_page}"));
            assert_eq!(parts.concat(), expected, "{filter} {order} by {per_page}");
            expected.reverse();
        }
    }
}

#[test]
fn times_are_compared_as_numbers() {
    let server = Server::start();
    let mut rest = server.rest();
    for n in 0..4 {
        rest.create("/thngs", json!({"name": n.to_string()}));
        let before = thng_pubsub_tests::wait::now_ms();
        thng_pubsub_tests::wait::until("the clock goes on", || {
            (thng_pubsub_tests::wait::now_ms() > before).then_some(())
        });
    }
    let all = rest.get("/thngs").expect(200);
    let times: Vec<_> = all
        .as_array()
        .expect("an array")
        .iter()
        .map(|thng| thng["createdAt"].as_u64().expect("a time"))
        .collect();
    let at = times[1];
    for (operator, fits) in [
        (">", (|time, at| time > at) as fn(u64, u64) -> bool),
        (">=", |time, at| time >= at),
        ("<", |time, at| time < at),
        ("<=", |time, at| time <= at),
        ("=", |time, at| time == at),
        ("!=", |time, at| time != at),
    ] {
        let expected: Vec<_> = (0..4).filter(|n| fits(times[*n], at)).map(|n| (3 - n).to_string()).collect();
        assert_eq!(
            filtered(&mut rest, "/thngs", &format!("createdAt{operator}{at}")),
            expected,
            "{operator}"
        );
    }
    let between = format!("createdAt>{}&createdAt<{}", times[3], times[0]);
    assert_eq!(filtered(&mut rest, "/thngs", &between), ["2", "1"]);
    assert_eq!(
        filtered(&mut rest, "/thngs", "createdAt>999"),
        ["3", "2", "1", "0"],
        "as numbers, not as texts"
    );
}

/// An ICCID: twenty digits, of which a floating-point number tells the first sixteen apart.
const ICCID: &str = "89445012345678901234";

/// One item for each spelling of the custom field `v`, named for it, the oldest first.
#[track_caller]
fn spelled(rest: &mut Rest, list: &str, spellings: &[&str]) {
    for spelling in spellings {
        let name = spelling.replace(['"', '[', ']', '{', '}'], "'");
        let body = format!(r#"{{"name":"{name}","customFields":{{"v":{spelling}}}}}"#);
        rest.post(list, body.as_str()).assert_status(201);
    }
}

#[test]
fn numbers_are_equal_by_value_in_every_list() {
    let server = Server::start();
    let mut rest = server.rest();
    for list in ["/thngs", "/products", "/collections", "/places", "/batches", "/projects"] {
        spelled(
            &mut rest,
            list,
            &["5.0", "5E2", "-0.0", ICCID, "89445012345678901235", "\"5.0\"", "[1,5e0]"],
        );
        for (filter, expected) in [
            ("customFields.v=5", &["'1,5e0'", "5.0"][..]),
            ("customFields.v=5.00,7", &["'1,5e0'", "5.0"]),
            ("customFields.v=5.0", &["'1,5e0'", "'5.0'", "5.0"]),
            ("customFields.v=500", &["5E2"]),
            ("customFields.v=0", &["-0.0"]),
            (&*format!("customFields.v={ICCID}"), &[ICCID]),
            (&*format!("customFields.v={ICCID}.0"), &[ICCID]),
            (&*format!("customFields.v>{ICCID}"), &["89445012345678901235"]),
            (&*format!("customFields.v<{ICCID}&customFields.v>499"), &["5E2"]),
            (&*format!("customFields.v>={ICCID}"), &["89445012345678901235", ICCID]),
            ("customFields.v>1e999999999", &[]),
            ("customFields.v!=5&customFields.v<=500", &["'5.0'", "-0.0", "5E2"]),
        ] {
            assert_eq!(filtered(&mut rest, list, filter), expected, "{list}: {filter}");
        }
    }
}

#[test]
fn numbers_of_actions_and_nested_fields_are_equal_by_value() {
    let server = Server::start();
    let mut rest = server.rest();
    for v in ["5.0", "6"] {
        let body = format!(r#"{{"timestamp":17,"customFields":{{"name":"{v}","a":{{"b":{v}}}}}}}"#);
        rest.post("/actions/scans", body.as_str()).assert_status(201);
    }
    for filter in ["customFields.a.b=5", "customFields.a.b!=6.00", "customFields.a.b<6&timestamp=1.7e1"] {
        let found = rest.get(&format!("/actions/all?filter={}", encode(filter))).expect(200);
        let found: Vec<_> = found.as_array().expect("a list").iter().collect();
        assert_eq!(found.len(), 1, "{filter}");
        assert_eq!(found[0]["customFields"]["name"], "5.0", "{filter}");
    }
}

#[test]
fn a_deletion_spares_what_has_the_value_in_another_spelling() {
    let server = Server::start();
    let mut rest = server.rest();
    spelled(&mut rest, "/thngs", &["5.0", "0.05e2", "6"]);
    let deleted = rest.delete(&format!("/thngs?filter={}", encode("customFields.v!=5")));
    assert_eq!((deleted.status, deleted.header("x-result-count")), (200, Some("1")));
    assert_eq!(filtered(&mut rest, "/thngs", "customFields.v=5"), ["0.05e2", "5.0"]);
}

#[test]
fn a_part_of_a_text_is_found_whatever_its_case() {
    let server = Server::start();
    let mut rest = server.rest();
    for name in ["Λάμπας", "ΛΆΜΠΑΣ 2", "Straße", "ODOΣ"] {
        rest.create("/thngs", json!({"name": name}));
    }
    for (filter, expected) in [
        ("name~ΛΆΜΠΑΣ", &["ΛΆΜΠΑΣ 2", "Λάμπας"][..]),
        ("name~λάμπασ", &["ΛΆΜΠΑΣ 2", "Λάμπας"]),
        ("name~STRASSE", &["Straße"]),
        ("name~odoς", &["ODOΣ"]),
    ] {
        assert_eq!(filtered(&mut rest, "/thngs", filter), expected, "{filter}");
    }
}

#[test]
fn a_filter_finds_what_is_so_now_and_not_what_was() {
    let server = Server::start();
    let mut rest = server.rest();
    let sent = json!({"name": "old", "tags": ["old"], "identifiers": {"k": "old"}});
    let path = format!("/thngs/{}", rest.id_of("/thngs", sent));
    let new = json!({"name": "new", "tags": ["new"], "identifiers": {"k": "new"}});
    rest.put(&path, new).assert_status(200);
    for field in ["name", "tags", "identifiers.k"] {
        assert_eq!(filtered(&mut rest, "/thngs", &format!("{field}=old")), [] as [&str; 0], "{field}");
        assert_eq!(filtered(&mut rest, "/thngs", &format!("{field}=new")), ["new"], "{field}");
        assert_eq!(filtered(&mut rest, "/thngs", &format!("{field}!=old")), ["new"], "{field}");
    }
    rest.put(&path, json!({"identifiers": {}, "tags": []})).assert_status(200);
    assert_eq!(filtered(&mut rest, "/thngs", "tags=new|identifiers.k=new"), [] as [&str; 0]);
    rest.delete(&path).assert_status(200);
    assert_eq!(filtered(&mut rest, "/thngs", "name=new"), [] as [&str; 0]);
}

#[test]
fn products_collections_and_places_are_found_by_their_fields() {
    let server = Server::start();
    let mut rest = server.rest();
    let parent = rest.id_of("/collections", json!({"name": "parent"}));
    for list in ["/products", "/collections", "/places"] {
        for (name, tag, code) in [("one", "a", "1"), ("two", "b", "2"), ("three", "a", "1 2&3")] {
            let sent = json!({"name": name, "tags": [tag], "identifiers": {"gs1:01": code}, "customFields": {"n": code}});
            rest.create(list, sent);
        }
        for (filter, expected) in [
            ("name=two", &["two"][..]),
            ("tags=a", &["three", "one"]),
            ("tags=a,b&name!=one", &["three", "two"]),
            ("identifiers.gs1:01=1 2&3", &["three"]),
            ("identifiers.gs1:01=1,2", &["two", "one"]),
            ("customFields.n=2", &["two"]),
        ] {
            assert_eq!(filtered(&mut rest, list, filter), expected, "{filter} of {list}");
        }
    }
    let child = rest.get("/collections?filter=name%3Dtwo").expect(200)[0]["id"].clone();
    rest.post(&format!("/collections/{parent}/collections"), json!([child])).assert_status(200);
    assert_eq!(filtered(&mut rest, "/collections", &format!("collections={parent}")), ["two"]);
    assert_eq!(
        filtered(&mut rest, "/collections", &format!("collections!={parent}")),
        ["three", "one", "parent"]
    );
}

#[test]
fn an_unfilterable_field_is_refused_with_the_known_ones() {
    let mut rest = Server::shared().rest();
    let collection = rest.id_of("/collections", json!({"name": "n"}));
    let common = ["name", "tags", "identifiers", "createdAt"];
    for (list, fields) in [
        ("/thngs".to_owned(), &["product", "collections"][..]),
        (format!("/collections/{collection}/thngs"), &["product", "collections"]),
        ("/products".to_owned(), &[]),
        ("/collections".to_owned(), &["collections"]),
        (format!("/collections/{collection}/collections"), &["collections"]),
        ("/places".to_owned(), &[]),
    ] {
        for filter in [
            "colour=red",
            "Name=x",
            "identifiers=x",
            "identifiers.=x",
            "name.x=y",
            "name=a&colour=red",
            "name=a|(colour=red)",
        ] {
            let sentence = refused(&mut rest, &format!("{list}?filter={}", encode(filter)));
            for field in common.iter().chain(fields) {
                assert!(sentence.contains(field), "{field} in {sentence:?} about {filter} of {list}");
            }
        }
    }
    let sentence = refused(&mut rest, "/products?filter=product%3Dx");
    assert!(!sentence.contains("product,"), "a product is of no product: {sentence}");
}

#[test]
fn an_invalid_filter_is_refused_with_its_column() {
    let mut rest = Server::shared().rest();
    for (filter, column) in [
        ("name", 1),
        ("=x", 1),
        ("name=a&=b", 8),
        ("name=a|colour", 8),
        ("(name=a", 1),
        ("name=a&(name=b|name=c", 8),
        ("name=a)", 7),
        ("(name=a)name=b", 9),
        ("(((((((((name=a)))))))))", 9),
    ] {
        let sentence = refused(&mut rest, &format!("/thngs?filter={}", encode(filter)));
        assert!(sentence.contains("filter"), "{filter}: {sentence}");
        let says = sentence
            .split(|letter: char| !letter.is_ascii_digit())
            .any(|number| number == column.to_string());
        assert!(sentence.contains("column") && says, "column {column} of {filter}: {sentence}");
    }
    let many = |joint: &str, count: usize| vec!["name=a"; count].join(joint);
    let values = |count: usize| format!("name={}", vec!["a"; count].join(","));
    for (fits, too_much) in
        [(many("|", 32), many("|", 33)), (many("&", 32), many("&", 33)), (values(100), values(101))]
    {
        rest.get(&format!("/thngs?filter={}", encode(&fits))).assert_status(200);
        assert!(refused(&mut rest, &format!("/thngs?filter={}", encode(&too_much))).contains("column"));
    }
    let long = |bytes: usize| encode(&format!("name={}", "a".repeat(bytes - 5)));
    rest.get(&format!("/thngs?filter={}", long(2_048))).assert_status(200);
    rest.get(&format!("/thngs?filter={}", long(2_049))).assert_status(400);
    // Nothing is asked for by an empty one.
    rest.get("/thngs?filter=").assert_status(200);
}

/// Three thngs of one name among others, by the number in their custom fields.
#[track_caller]
fn namesakes(rest: &mut Rest) {
    for (n, name) in ["_x y", "_x y", "other", "_x y"].into_iter().enumerate() {
        let sent = json!({"name": name, "customFields": {"n": n}, "identifiers": {"gs1:21": name}});
        rest.create("/thngs", sent);
    }
}

/// As clients send what they mean to be `name=_x y`, and the like.
const ENCODED_TWICE: [&str; 3] =
    ["name%3D_x%2520y", "identifiers.gs1%3A21%3D_x%2520y", "name%3D_x%2520y%26tags!%3Dred"];

fn numbers<'a>(thngs: impl IntoIterator<Item = &'a Value>) -> Vec<Value> {
    thngs.into_iter().map(|thng| thng["customFields"]["n"].clone()).collect()
}

#[test]
fn a_doubly_encoded_value_is_found() {
    let server = Server::start();
    let mut rest = server.rest();
    namesakes(&mut rest);
    for filter in ENCODED_TWICE {
        let found = rest.get(&format!("/thngs?filter={filter}")).expect(200);
        assert_eq!(numbers(found.as_array().expect("an array")), [3, 1, 0], "{filter}");
    }
    rest.create("/thngs", json!({"name": "_x%20y", "customFields": {"n": 4}}));
    let found = rest.get("/thngs?filter=name%3D_x%2520y").expect(200);
    assert_eq!(numbers(found.as_array().expect("an array")), [4]);
}

#[test]
fn a_list_by_a_doubly_encoded_value_is_read_to_its_end() {
    let server = Server::start();
    let mut rest = server.rest();
    namesakes(&mut rest);
    for filter in ENCODED_TWICE {
        for per_page in [1, 2, 3] {
            let parts = rest.parts(&format!("/thngs?filter={filter}&perPage={per_page}"));
            assert_eq!(numbers(parts.iter().flatten()), [3, 1, 0], "{filter} by {per_page}");
        }
    }
}

#[test]
fn a_list_by_a_doubly_encoded_value_is_counted_on_every_page() {
    let server = Server::start();
    let mut rest = server.rest();
    namesakes(&mut rest);
    for filter in ENCODED_TWICE {
        for (page, n) in [(1, 3), (2, 1), (3, 0)] {
            let answer = rest.get(&format!("/thngs?filter={filter}&perPage=1&page={page}"));
            assert_eq!(answer.header("x-result-count"), Some("3"), "page {page} of {filter}");
            assert_eq!(
                numbers(answer.expect(200).as_array().expect("an array")),
                [n],
                "page {page} of {filter}"
            );
        }
    }
}

/// Every list that has pages, with five items in each but for what else it always shows.
fn lists(rest: &mut Rest) -> BTreeMap<String, usize> {
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
