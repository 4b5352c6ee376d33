//! The `filter` of a list: fields, operators, numbers, texts, and what is refused.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use thng_pubsub_tests::{Rest, Server};

pub(super) const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub(super) fn name_of(item: &Value) -> String {
    item["name"].as_str().unwrap_or_else(|| panic!("{item} has a name")).to_owned()
}

/// The names in a list, in its order, walked in parts of so many.
#[track_caller]
pub(super) fn names_by(rest: &mut Rest, list: &str, per_page: usize) -> Vec<String> {
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
pub(super) fn refused(rest: &mut Rest, path: &str) -> String {
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
