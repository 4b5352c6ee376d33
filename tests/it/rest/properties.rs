//! Properties over REST: values in, latest values and history out.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use thng_pubsub_tests::history::whole;
use thng_pubsub_tests::wait::now_ms;
use thng_pubsub_tests::{Response, Rest, Server};

/// A new thng and the path of its properties.
#[track_caller]
fn properties(rest: &mut Rest) -> String {
    format!("/thngs/{}/properties", rest.thng())
}

/// The `value`s of an array of entries.
#[track_caller]
fn values(answer: &Response) -> Vec<Value> {
    let entries = answer.expect(200);
    entries.as_array().expect("an array").iter().map(|entry| entry["value"].clone()).collect()
}

/// The text of the first entry's `value`, to the letter.
#[track_caller]
fn value_text(answer: &Response) -> String {
    answer.assert_status(200);
    let entries: Vec<BTreeMap<String, Box<RawValue>>> =
        serde_json::from_slice(&answer.body).expect("an array of objects");
    entries[0]["value"].get().to_owned()
}

#[test]
fn put_and_post_of_several_keys_answer_in_request_order() {
    let mut rest = Server::shared().rest();
    for method in [Rest::put::<Value>, Rest::post::<Value>] {
        let path = properties(&mut rest);
        let before = now_ms();
        let sent = json!([{"key": "b", "value": 1}, {"key": "a", "value": "x"}, {"key": "c", "value": true}]);
        let stored = method(&mut rest, &path, sent).expect(200);
        let after = now_ms();

        let entries = stored.as_array().expect("an array");
        let said: Vec<_> = entries.iter().map(|entry| (&entry["key"], &entry["value"])).collect();
        assert_eq!(said, [(&json!("b"), &json!(1)), (&json!("a"), &json!("x")), (&json!("c"), &json!(true))]);
        for entry in entries {
            let at = entry["timestamp"].as_u64().expect("a timestamp is whole milliseconds");
            assert!((before..=after).contains(&at), "{before} <= {at} <= {after}");
            assert_eq!(entry["timestamp"], entries[0]["timestamp"], "one time for the whole request");
            assert_eq!(entry["createdAt"], entry["timestamp"]);
            assert_eq!(entry.as_object().expect("an object").len(), 4, "{entry}");
        }
    }
}

#[test]
fn put_and_post_of_one_key_answer_entries_with_the_key() {
    let mut rest = Server::shared().rest();
    let path = format!("{}/temperature", properties(&mut rest));
    for method in [Rest::put::<Value>, Rest::post::<Value>] {
        let stored = method(&mut rest, &path, json!([{"value": 21.5}])).expect(200);
        assert_eq!(stored.as_array().map(Vec::len), Some(1), "{stored}");
        assert_eq!(stored[0]["key"], "temperature");
        assert_eq!(stored[0]["value"], 21.5);
        assert!(stored[0]["timestamp"].is_u64() && stored[0]["createdAt"].is_u64(), "{stored}");
    }
}

#[test]
fn a_lone_entry_needs_no_array_around_it() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    let stored = rest.put(&path, json!({"key": "k", "value": 1})).expect(200);
    assert_eq!((&stored[0]["key"], &stored[0]["value"]), (&json!("k"), &json!(1)));
    let stored = rest.put(&format!("{path}/k"), json!({"value": 2})).expect(200);
    assert_eq!((&stored[0]["key"], &stored[0]["value"]), (&json!("k"), &json!(2)));
}

#[test]
fn one_request_may_bring_timed_values_of_one_key() {
    let mut rest = Server::shared().rest();
    let path = format!("{}/k", properties(&mut rest));
    let sent = json!([
        {"key": "k", "value": "second", "timestamp": 2_000},
        {"value": "first", "timestamp": 1_000},
        {"value": "third", "timestamp": 3_000},
    ]);
    let stored = rest.put(&path, sent).expect(200);
    let said: Vec<_> = stored.as_array().expect("an array").iter().map(|entry| &entry["value"]).collect();
    assert_eq!(said, ["second", "first", "third"], "in the order of the request");
    assert_eq!(values(&rest.get(&path)), ["third", "second", "first"], "in the order of time");
}

#[test]
fn the_list_shows_the_latest_value_of_each_key_with_its_key() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    assert_eq!(rest.get(&path).expect(200), json!([]));

    rest.put(&path, json!([{"key": "a", "value": 1}, {"key": "b", "value": 2}])).assert_status(200);
    let newer = rest.put(&format!("{path}/a"), json!([{"value": 3}])).expect(200);

    let shown = rest.get(&path).expect(200);
    let shown = shown.as_array().expect("an array");
    assert_eq!(shown.len(), 2, "{shown:?}");
    let a = shown.iter().find(|entry| entry["key"] == "a").expect("the key a");
    assert_eq!(*a, newer[0], "the entry is the one that the write answered");
    let b = shown.iter().find(|entry| entry["key"] == "b").expect("the key b");
    assert_eq!(b["value"], 2);
}

#[test]
fn history_is_newest_first_and_does_not_repeat_the_key() {
    let mut rest = Server::shared().rest();
    let path = format!("{}/k", properties(&mut rest));
    for value in 1..=5 {
        rest.put(&path, json!([{"value": value}])).assert_status(200);
    }
    let history = rest.get(&path);
    assert_eq!(values(&history), [5, 4, 3, 2, 1], "also within one millisecond");
    for entry in history.json().as_array().expect("an array") {
        let fields: Vec<_> = entry.as_object().expect("an object").keys().collect();
        assert_eq!(fields, ["createdAt", "timestamp", "value"], "{entry}");
    }
}

#[test]
fn a_key_that_was_never_set_has_an_empty_history() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    assert_eq!(rest.get(&format!("{path}/never-set")).expect(200), json!([]));
}

#[test]
fn from_and_to_bound_the_history_and_are_part_of_it() {
    let mut rest = Server::shared().rest();
    let path = format!("{}/k", properties(&mut rest));
    let sent: Vec<_> = (1..=5).map(|n| json!({"value": n, "timestamp": n * 1_000})).collect();
    rest.put(&path, Value::from(sent)).assert_status(200);

    for (query, expected) in [
        ("from=2000&to=4000", &[4, 3, 2][..]),
        ("from=4000", &[5, 4]),
        ("to=2000", &[2, 1]),
        ("from=2001&to=2999", &[]),
        ("from=3000&to=3000", &[3]),
        ("from=6000", &[]),
        ("from=4000&to=2000", &[]),
    ] {
        assert_eq!(values(&rest.get(&format!("{path}?{query}"))), expected, "{query}");
    }
    rest.get(&format!("{path}?from=yesterday")).assert_status(400);
}

#[test]
fn a_long_history_can_be_walked_to_its_beginning() {
    let mut rest = Server::shared().rest();
    let thng = rest.thng();
    for request in 0..8 {
        let sent: Vec<_> = (0..50)
            .map(|n| request * 50 + n)
            .map(|n| json!({"value": n, "timestamp": 1_000 + n / 3}))
            .collect();
        rest.put(&format!("/thngs/{thng}/properties/k"), Value::from(sent)).assert_status(200);
    }
    let walked: Vec<_> = whole(&mut rest, &thng, "k").into_iter().map(|point| point.value).collect();
    assert_eq!(walked, (0..400).collect::<Vec<_>>());
}

#[test]
fn values_of_every_type_round_trip() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    for (n, text) in [
        "0",
        "-1",
        "1.0",
        "1",
        "-0.0",
        "37.20",
        "1e3",
        "1E-7",
        "9007199254740993",
        "18446744073709551616",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "true",
        "false",
        r#""""#,
        r#""null""#,
        r#""text""#,
        r#""10""#,
        r#""\u00e9 é 💡 \ud83d\udca1 \n \\ \" \/""#,
        r#""\u0000""#,
        "[]",
        r#"[1,"a",null,[true]]"#,
        "{}",
        r#"{"z":1,"a":{"b":[1.0]},"A":null,"body":1,"errors":[]}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("{path}/v{n}");
        let sent = format!(r#"[{{"value":{text}}}]"#);
        assert_eq!(value_text(&rest.put(&key, &*sent)), text, "in the answer to the write");
        assert_eq!(value_text(&rest.get(&key)), text, "in the history");
        let list = rest.get(&path);
        assert!(list.text().contains(&format!(r#""value":{text}"#)), "{text} in the list {}", list.text());
        let thng = rest.get(path.trim_end_matches("/properties"));
        assert!(thng.text().contains(&format!(r#""v{n}":{text}"#)), "{text} in the thng {}", thng.text());
    }
}

#[test]
fn a_key_is_the_same_in_upper_and_lower_case_and_shown_in_lower() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    assert_eq!(rest.put(&path, json!([{"key": "camelCase", "value": 1}])).expect(200)[0]["key"], "camelcase");
    assert_eq!(
        rest.put(&format!("{path}/CamelCASE"), json!([{"value": 2}])).expect(200)[0]["key"],
        "camelcase"
    );
    let repeated = json!([{"key": "CAMELCASE", "value": 3}]);
    assert_eq!(rest.put(&format!("{path}/camelCase"), repeated).expect(200)[0]["key"], "camelcase");

    for spelled in ["camelcase", "camelCase", "CAMELCASE", "%63amelcase"] {
        assert_eq!(values(&rest.get(&format!("{path}/{spelled}"))), [3, 2, 1], "{spelled}");
    }
    let list = rest.get(&path).expect(200);
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list[0]["key"], "camelcase");
    rest.delete(&format!("{path}/CAMELcase")).assert_status(200);
    assert_eq!(rest.get(&path).expect(200), json!([]));
}

#[test]
fn keys_may_hold_digits_underscores_dashes_dots_and_colons() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    let longest = "k".repeat(128);
    for key in ["k", "0", "a_b", "a-b", "gs1:01", "v1.2", &longest] {
        rest.put(&format!("{path}/{key}"), json!([{"value": 1}])).assert_status(200);
        assert_eq!(values(&rest.get(&format!("{path}/{key}"))), [1], "{key}");
    }
    rest.put(&format!("{path}/gs1%3A01"), json!([{"value": 2}])).assert_status(200);
    assert_eq!(values(&rest.get(&format!("{path}/gs1:01"))), [2, 1], "escaped or not, the same key");
}

#[test]
fn a_timestamp_in_digits_is_stored_as_a_number() {
    let mut rest = Server::shared().rest();
    let path = format!("{}/k", properties(&mut rest));
    for (sent, expected) in
        [(json!(1_500_000_000_123_u64), 1_500_000_000_123_u64), (json!("1500000000456"), 1_500_000_000_456)]
    {
        let before = now_ms();
        let stored = rest.put(&path, json!([{"value": 1, "timestamp": sent}])).expect(200);
        assert_eq!(stored[0]["timestamp"], expected);
        assert!(stored[0]["createdAt"].as_u64() >= Some(before), "createdAt is the arrival: {stored}");
        assert_eq!(rest.get(&path).expect(200)[0]["timestamp"], expected);
    }
}

#[test]
fn a_past_value_enters_the_history_and_is_not_the_latest() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    let key = format!("{path}/k");
    rest.put(&key, json!([{"value": "now"}])).assert_status(200);
    rest.put(&key, json!([{"value": "long ago", "timestamp": 1_000}])).assert_status(200);
    assert_eq!(values(&rest.get(&path)), ["now"]);
    assert_eq!(rest.get(path.trim_end_matches("/properties")).expect(200)["properties"], json!({"k": "now"}));
    assert_eq!(values(&rest.get(&key)), ["now", "long ago"]);

    let ahead = now_ms() + 3_600_000;
    rest.put(&key, json!([{"value": "to come", "timestamp": ahead}])).assert_status(200);
    rest.put(&key, json!([{"value": "now again"}])).assert_status(200);
    assert_eq!(values(&rest.get(&path)), ["to come"], "the latest is the one with the greatest timestamp");
}

#[test]
fn of_two_values_of_one_time_the_last_written_is_the_latest() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    let key = format!("{path}/k");
    rest.put(&key, json!([{"value": "a", "timestamp": 5_000}])).assert_status(200);
    rest.put(&key, json!([{"value": "b", "timestamp": 5_000}])).assert_status(200);
    rest.put(&key, json!([{"value": "c", "timestamp": 5_000}, {"value": "d", "timestamp": 5_000}]))
        .assert_status(200);
    assert_eq!(values(&rest.get(&path)), ["d"]);
    assert_eq!(values(&rest.get(&key)), ["d", "c", "b", "a"], "nothing replaces anything in the history");
}

#[test]
fn deleting_a_key_removes_its_history_and_nothing_else() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    rest.put(&path, json!([{"key": "a", "value": 1}, {"key": "b", "value": 2}])).assert_status(200);
    rest.put(&format!("{path}/a"), json!([{"value": 3}])).assert_status(200);

    let answer = rest.delete(&format!("{path}/a"));
    answer.assert_status(200);
    assert_eq!(answer.text(), "");
    assert_eq!(rest.get(&format!("{path}/a")).expect(200), json!([]));
    assert_eq!(values(&rest.get(&path)), [2]);
    assert_eq!(rest.get(path.trim_end_matches("/properties")).expect(200)["properties"], json!({"b": 2}));

    rest.put(&format!("{path}/a"), json!([{"value": "new life"}])).assert_status(200);
    assert_eq!(values(&rest.get(&format!("{path}/a"))), ["new life"]);
}

#[test]
fn deleting_all_properties_leaves_the_thng_without_any() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    rest.put(&path, json!([{"key": "a", "value": 1}, {"key": "b", "value": 2}])).assert_status(200);
    let answer = rest.delete(&path);
    answer.assert_status(200);
    assert_eq!(answer.text(), "");
    assert_eq!(rest.get(&path).expect(200), json!([]));
    assert_eq!(rest.get(path.trim_end_matches("/properties")).expect(200)["properties"], json!({}));
}

#[test]
fn deleting_to_a_time_keeps_what_is_of_that_time_and_later() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    let key = format!("{path}/k");
    let sent: Vec<_> = (1..=4).map(|n| json!({"value": n, "timestamp": n * 1_000})).collect();
    rest.put(&key, Value::from(sent)).assert_status(200);

    rest.delete(&format!("{key}?to=3000")).assert_status(200);
    assert_eq!(values(&rest.get(&key)), [4, 3]);
    assert_eq!(values(&rest.get(&path)), [4], "the latest value stays");

    rest.delete(&format!("{key}?to=9000")).assert_status(200);
    assert_eq!(rest.get(&key).expect(200), json!([]));
    assert_eq!(rest.get(&path).expect(200), json!([]));
}

#[test]
fn what_was_written_is_there_after_a_restart_as_it_was() {
    let mut server = Server::start();
    let mut rest = server.rest();
    let path = properties(&mut rest);
    let key = format!("{path}/k");
    let sent = r#"[{"value":1.0,"timestamp":7000},{"value":18446744073709551616,"timestamp":8000}]"#;
    rest.put(&key, sent).assert_status(200);
    rest.put(&path, json!([{"key": "gone", "value": 1}])).assert_status(200);
    rest.delete(&format!("{path}/gone")).assert_status(200);
    let paths =
        [path.clone(), key, format!("{path}/gone"), path.replace("/properties", ""), "/thngs".to_owned()];
    let before: Vec<_> = paths.iter().map(|path| rest.get(path).body).collect();

    server.terminate();
    let server = server.restart();
    let mut rest = server.rest();
    let after: Vec<_> = paths.iter().map(|path| rest.get(path).body).collect();
    assert_eq!(after, before);
}

#[test]
fn an_update_of_which_one_entry_is_wrong_is_refused_whole() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    for wrong in [
        json!({"key": "b"}),
        json!({"value": 1}),
        json!({"key": "", "value": 1}),
        json!({"key": "a b", "value": 1}),
        json!({"key": "schlüssel", "value": 1}),
        json!({"key": "k".repeat(129), "value": 1}),
        json!({"key": 5, "value": 1}),
        json!({"key": "b", "value": 1, "timestamp": "yesterday"}),
        json!({"key": "b", "value": 1, "timestamp": 1.5}),
        json!({"key": "b", "value": 1, "timestamp": -1}),
        json!({"key": "b", "value": 1, "timestamp": true}),
        json!(5),
        json!([]),
    ] {
        rest.put(&path, json!([{"key": "a", "value": 1}, wrong])).assert_status(400);
    }
    rest.put(&format!("{path}/a"), json!([{"value": 1}, {"key": "b", "value": 2}])).assert_status(400);
    assert_eq!(rest.get(&path).expect(200), json!([]), "nothing of it was stored");
}

#[test]
fn a_path_with_an_invalid_key_is_refused() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    for key in ["a%20b", "schl%C3%BCssel", &"k".repeat(129), "%FF", "a%2Fb"] {
        let status = rest.put(&format!("{path}/{key}"), json!([{"value": 1}])).status;
        assert!(matches!(status, 400 | 404), "{key}: {status}");
    }
    assert_eq!(rest.get(&path).expect(200), json!([]));
}

#[test]
fn a_hundred_values_fit_into_one_request() {
    let mut rest = Server::shared().rest();
    let path = properties(&mut rest);
    let sent: Vec<_> = (0..100).map(|n| json!({"key": format!("k{n}"), "value": n})).collect();
    assert_eq!(rest.put(&path, Value::from(sent)).expect(200).as_array().map(Vec::len), Some(100));
    let shown = rest.get(path.trim_end_matches("/properties")).expect(200);
    assert_eq!(shown["properties"].as_object().map(serde_json::Map::len), Some(100));
}

#[test]
fn properties_of_a_thng_that_is_not_there_are_404() {
    let mut rest = Server::shared().rest();
    let path = "/thngs/Uabcdefghkmnpqrstwxy0123/properties";
    rest.get(path).assert_status(404);
    rest.put(path, json!([{"key": "k", "value": 1}])).assert_status(404);
    rest.post(path, json!([{"key": "k", "value": 1}])).assert_status(404);
    rest.get(&format!("{path}/k")).assert_status(404);
    rest.put(&format!("{path}/k"), json!([{"value": 1}])).assert_status(404);
    rest.post(&format!("{path}/k"), json!([{"value": 1}])).assert_status(404);
    rest.delete(&format!("{path}/k")).assert_status(404);
}

#[test]
fn unsupported_parameters_of_a_property_list_are_refused() {
    let mut rest = Server::shared().rest();
    let all = format!("/thngs/{}/properties", rest.thng());
    let one = format!("{all}/k");
    rest.put(&one, r#"[{"value":1}]"#).assert_status(200);
    for (path, parameter, name) in [
        (&all, "filter=timestamp%3E99999999999999", "filter"),
        (&all, "ids=x", "ids"),
        (&one, "ids=x", "ids"),
        (&one, "perPage=5&filter=value%3D1", "filter"),
        (&one, "filter=timestamp%3Dx", "filter"),
        (&one, "filter=timestamp%3E1%7Ctimestamp%3C0", "filter"),
    ] {
        let refused = rest.get(&format!("{path}?{parameter}")).expect(400);
        let said = refused["errors"][0].as_str().is_some_and(|error| error.contains(name));
        assert!(said, "{path}?{parameter}: {refused}");
    }
    rest.get(&all).assert_status(200);
}

#[test]
fn a_history_is_filtered_by_timestamp() {
    let mut rest = Server::shared().rest();
    let path = format!("/thngs/{}/properties/k", rest.thng());
    let values: Vec<String> = (1..=5).map(|n| format!(r#"{{"value":{n},"timestamp":{n}}}"#)).collect();
    rest.put(&path, format!("[{}]", values.join(","))).assert_status(200);
    for (filter, expected) in [
        ("timestamp%3E3", vec![5, 4]),
        ("timestamp%3E%3D3", vec![5, 4, 3]),
        ("timestamp%3C3", vec![2, 1]),
        ("timestamp%3E1%26timestamp%3C%3D3", vec![3, 2]),
        ("timestamp%3D4", vec![4]),
        ("", vec![5, 4, 3, 2, 1]),
    ] {
        let history = rest.get(&format!("{path}?filter={filter}")).expect(200);
        let shown: Vec<i64> = history
            .as_array()
            .expect("a list")
            .iter()
            .map(|value| value["value"].as_i64().expect("a number"))
            .collect();
        assert_eq!(shown, expected, "{filter}");
    }
}

#[test]
fn a_page_of_a_history_ends_at_4_mib_with_a_link() {
    let mut rest = Server::shared().rest();
    let path = format!("/thngs/{}/properties/k", rest.thng());
    for part in 0..10 {
        let values: Vec<_> =
            (1..=6).map(|n| json!({"value": "x".repeat(120_000), "timestamp": part * 10 + n})).collect();
        rest.put(&path, json!(values)).assert_status(200);
    }
    for (path, values) in [(format!("{path}?perPage=100"), 60), (format!("{path}?perPage=50&page=2"), 10)] {
        let parts = rest.parts(&path);
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), values);
        assert!(parts.iter().all(|part| part.len() <= 34), "at most 4 MiB a page");
    }
    assert_eq!(rest.parts(&format!("{path}?perPage=100")).len(), 2);
}
