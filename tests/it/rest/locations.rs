//! Where thngs are and were: `/thngs/:id/location`.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::QoS;
use thng_pubsub_tests::mqtt::Client;
use thng_pubsub_tests::wait::now_ms;
use thng_pubsub_tests::{Response, Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

fn point(longitude: f64, latitude: f64) -> Value {
    json!({"type": "Point", "coordinates": [longitude, latitude]})
}

/// A new thng and the path of its locations.
#[track_caller]
fn thng(rest: &mut Rest) -> String {
    format!("/thngs/{}/location", rest.thng())
}

/// Five locations; the number of each is its time in seconds and its latitude.
#[track_caller]
fn five(rest: &mut Rest) -> String {
    let path = thng(rest);
    let sent: Vec<_> = [3, 1, 5, 2, 4]
        .iter()
        .map(|n| json!({"latitude": n, "longitude": 8, "timestamp": n * 1_000}))
        .collect();
    rest.put(&path, Value::from(sent)).assert_status(200);
    path
}

/// The latitudes of an array of locations.
#[track_caller]
fn latitudes(answer: &Response) -> Vec<Value> {
    let locations = answer.expect(200);
    locations.as_array().expect("an array").iter().map(|location| location["latitude"].clone()).collect()
}

/// The thng that a path of locations belongs to.
fn thng_of(path: &str) -> &str {
    path.trim_end_matches("/location")
}

#[test]
fn every_form_of_a_location_is_answered_in_both() {
    let mut rest = Server::shared().rest();
    let place = rest.id_of("/places", json!({"name": "n", "position": point(-1.5, 2.25)}));
    for (sent, longitude, latitude, named) in [
        (json!([{"position": point(8.5, 47.25)}]), 8.5, 47.25, None),
        (json!([{"position": {"coordinates": [8.5, 47.25]}}]), 8.5, 47.25, None),
        (json!([{"latitude": 47.25, "longitude": 8.5}]), 8.5, 47.25, None),
        (json!({"latitude": -90.0, "longitude": -180.0}), -180.0, -90.0, None),
        (json!({"position": point(180.0, 90.0)}), 180.0, 90.0, None),
        (json!([{"place": place}]), -1.5, 2.25, Some(&place)),
    ] {
        let path = thng(&mut rest);
        let before = now_ms();
        let stored = rest.put(&path, sent.clone()).expect(200);
        let after = now_ms();
        assert_eq!(stored.as_array().map(Vec::len), Some(1), "{stored}");
        let location = &stored[0];
        assert_eq!(location["position"], point(longitude, latitude), "{sent}");
        assert_eq!((&location["latitude"], &location["longitude"]), (&json!(latitude), &json!(longitude)));
        assert_eq!(location.get("place").and_then(Value::as_str), named.map(String::as_str), "{sent}");
        let at = location["timestamp"].as_u64().expect("whole milliseconds");
        assert!((before..=after).contains(&at), "{before} <= {at} <= {after}");

        assert_eq!(rest.get(&path).expect(200), stored, "it reads as it was answered");
        let shown = rest.get(thng_of(&path)).expect(200);
        for field in ["position", "latitude", "longitude", "place", "timestamp"] {
            assert_eq!(shown["location"].get(field), location.get(field), "{field} in the thng after {sent}");
        }
    }
}

#[test]
fn a_location_by_place_is_where_the_place_was_then() {
    let mut rest = Server::shared().rest();
    let place = rest.id_of("/places", json!({"name": "n", "position": point(1.5, 2.5)}));
    let path = thng(&mut rest);
    rest.put(&path, json!([{"place": place, "timestamp": 1_000}])).assert_status(200);
    rest.put(&format!("/places/{place}"), json!({"position": point(3.5, 4.5)})).assert_status(200);
    rest.put(&path, json!([{"place": place, "timestamp": 2_000}])).assert_status(200);
    assert_eq!(latitudes(&rest.get(&path)), [json!(4.5), json!(2.5)]);
    rest.delete(&format!("/places/{place}")).assert_status(200);
    assert_eq!(latitudes(&rest.get(&path)), [json!(4.5), json!(2.5)], "what was stays");
    rest.put(&path, json!([{"place": place}])).assert_status(400);
}

#[test]
fn the_greatest_timestamp_of_several_locations_counts() {
    let mut rest = Server::shared().rest();
    let path = thng(&mut rest);
    assert_eq!(rest.get(&path).expect(200), json!([]));
    assert_eq!(rest.get(thng_of(&path)).expect(200).get("location"), None);

    let sent = json!([
        {"latitude": 2, "longitude": 8, "timestamp": 2_000},
        {"latitude": 3, "longitude": 8, "timestamp": "3000"},
        {"latitude": 1, "longitude": 8, "timestamp": 1_000},
    ]);
    let stored = rest.put(&path, sent);
    assert_eq!(latitudes(&stored), [2, 3, 1], "in the order of the request");
    assert_eq!(stored.json()[1]["timestamp"], 3_000);
    assert_eq!(latitudes(&rest.get(&path)), [3, 2, 1], "in the order of time");
    assert_eq!(rest.get(thng_of(&path)).expect(200)["location"]["latitude"], 3);

    // The past goes into the history only; of two at one time the one that was written last counts.
    for (latitude, timestamp, now_at) in [(4, 2_500, 3), (5, 3_000, 5), (6, 4_000, 6)] {
        let sent = json!([{"latitude": latitude, "longitude": 8, "timestamp": timestamp}]);
        rest.put(&path, sent).assert_status(200);
        assert_eq!(rest.get(thng_of(&path)).expect(200)["location"]["latitude"], now_at);
    }
    assert_eq!(latitudes(&rest.get(&path)), [6, 5, 3, 4, 2, 1]);
    let listed =
        rest.get(&format!("/thngs?ids={}", thng_of(&path).trim_start_matches("/thngs/"))).expect(200);
    assert_eq!(listed[0]["location"]["latitude"], 6);
}

#[test]
fn a_thng_can_be_created_where_it_is() {
    let mut rest = Server::shared().rest();
    let place = rest.id_of("/places", json!({"name": "n", "position": point(1.5, 2.5)}));
    for (sent, latitude) in [
        (json!({"latitude": 47.25, "longitude": 8.5}), 47.25),
        (json!({"position": point(8.5, 47.25)}), 47.25),
        (json!({"place": place}), 2.5),
    ] {
        let thng = rest.id_of("/thngs", json!({"name": "n", "location": sent}));
        assert_eq!(
            rest.get(&format!("/thngs/{thng}")).expect(200)["location"]["latitude"],
            latitude,
            "{sent}"
        );
        assert_eq!(latitudes(&rest.get(&format!("/thngs/{thng}/location"))), [latitude], "{sent}");
        // An update of the thng does not move it.
        rest.put(&format!("/thngs/{thng}"), json!({"location": {"latitude": 1, "longitude": 1}}))
            .assert_status(200);
        assert_eq!(latitudes(&rest.get(&format!("/thngs/{thng}/location"))), [latitude], "{sent}");
    }
}

#[test]
fn a_history_is_bounded_ordered_and_walked() {
    let mut rest = Server::shared().rest();
    let path = five(&mut rest);
    for (query, expected) in [
        ("", &[5, 4, 3, 2, 1][..]),
        ("sortOrder=ASCENDING", &[1, 2, 3, 4, 5]),
        ("from=2000&to=4000", &[4, 3, 2]),
        ("from=4000", &[5, 4]),
        ("to=2000", &[2, 1]),
        ("from=2001&to=2999", &[]),
        ("from=4000&to=2000", &[]),
        ("filter=timestamp%3E3000", &[5, 4]),
        ("filter=timestamp%3C%3D2000", &[2, 1]),
        ("from=2000&filter=timestamp%3C4000", &[3, 2]),
    ] {
        assert_eq!(latitudes(&rest.get(&format!("{path}?{query}"))), expected, "{query}");
        for per_page in [1, 2, 5] {
            let parts = rest.parts(&format!("{path}?{query}&perPage={per_page}"));
            let walked: Vec<_> =
                parts.iter().flatten().map(|location| location["latitude"].clone()).collect();
            assert_eq!(walked, expected, "{query} by {per_page}");
            let full = parts.split_last().expect("a part").1;
            assert!(full.iter().all(|part| part.len() == per_page), "{query} by {per_page}");
        }
    }
    assert_eq!(rest.parts(&format!("{path}?perPage=5")).len(), 1, "no link where there is no more");
    for wrong in [
        "from=yesterday",
        "to=1.5",
        "perPage=0",
        "perPage=101",
        "sortOrder=UP",
        "nextPageToken=invented",
        "filter=latitude%3D1",
        "filter=timestamp%3Dx",
        "filter=timestamp",
    ] {
        rest.get(&format!("{path}?{wrong}")).assert_status(400);
    }
}

#[test]
fn deleting_to_a_time_keeps_what_is_of_that_time_and_later() {
    let mut rest = Server::shared().rest();
    let path = five(&mut rest);
    for (query, remaining) in [
        ("?to=0", &[5, 4, 3, 2, 1][..]),
        ("?to=3000", &[5, 4, 3]),
        ("?to=3001", &[5, 4]),
        ("?to=3001", &[5, 4]),
        ("", &[]),
        ("", &[]),
    ] {
        let answer = rest.delete(&format!("{path}{query}"));
        answer.assert_status(200);
        assert_eq!(answer.text(), "");
        assert_eq!(latitudes(&rest.get(&path)), remaining, "DELETE {query}");
        let shown = rest.get(thng_of(&path)).expect(200);
        let at = shown.get("location").map(|location| location["latitude"].clone());
        assert_eq!(at, remaining.first().map(|n| json!(n)), "the thng after DELETE {query}");
    }
    let path = five(&mut rest);
    for wrong in ["yesterday", "1.5", ""] {
        rest.delete(&format!("{path}?to={wrong}")).assert_status(400);
    }
    assert_eq!(latitudes(&rest.get(&path)).len(), 5);
    rest.delete(&format!("{path}?to=9000")).assert_status(200);
    assert_eq!(rest.get(&path).expect(200), json!([]));
    rest.put(&path, json!([{"latitude": 1, "longitude": 1}])).assert_status(200);
    assert_eq!(latitudes(&rest.get(&path)), [1], "and begins again");
}

#[test]
fn an_update_without_a_location_stores_and_notifies_nothing() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = thng(&mut rest);
    let mut client = Client::connect(server);
    client.subscribed(&path, QoS::AtLeastOnce);
    assert_eq!(rest.put(&path, json!([])).expect(200), json!([]));
    assert_eq!(rest.get(&path).expect(200), json!([]));
    assert_eq!(rest.get(thng_of(&path)).expect(200).get("location"), None);
    let stored = rest.put(&path, json!([{"latitude": 1, "longitude": 1}])).expect(200);
    assert_eq!(client.message().json(), stored, "the first that there was to tell");
    client.assert_nothing_else();
}

#[test]
fn what_is_nowhere_is_refused_whole_with_a_sentence_about_it() {
    let mut rest = Server::shared().rest();
    let path = thng(&mut rest);
    let nowhere = rest.id_of("/places", json!({"name": "nowhere"}));
    let product = rest.id_of("/products", json!({"name": "no place"}));
    for (wrong, word) in [
        (json!({"latitude": 91, "longitude": 0}), "latitude"),
        (json!({"latitude": -90.5, "longitude": 0}), "latitude"),
        (json!({"latitude": 0, "longitude": 180.5}), "longitude"),
        (json!({"latitude": "47", "longitude": "8"}), "latitude"),
        (json!({"latitude": 47}), "longitude"),
        (json!({"longitude": 8}), "latitude"),
        (json!({"position": point(181.0, 47.0)}), "position"),
        (json!({"position": point(8.0, 91.0)}), "position"),
        (json!({"position": {"type": "Point", "coordinates": [8.5]}}), "position"),
        (json!({"position": {"type": "Point", "coordinates": "8.5,47"}}), "position"),
        (json!({"position": {"type": "Polygon", "coordinates": [8.5, 47]}}), "position"),
        (json!({"position": 5}), "position"),
        (json!({}), "position"),
        (json!({"timestamp": 5}), "position"),
        (json!({"place": UNKNOWN}), "place"),
        (json!({"place": "x"}), "place"),
        (json!({"place": nowhere}), "place"),
        (json!({"place": product}), "place"),
        (json!({"latitude": 1, "longitude": 1, "timestamp": "yesterday"}), "timestamp"),
        (json!({"latitude": 1, "longitude": 1, "timestamp": -1}), "timestamp"),
        (json!({"latitude": 1, "longitude": 1, "timestamp": 1.5}), "timestamp"),
        (json!(5), "position"),
        (json!([{"latitude": 1, "longitude": 1}]), "position"),
    ] {
        let refusal = rest.put(&path, json!([{"latitude": 1, "longitude": 1}, wrong])).expect(400);
        let sentence = refusal["errors"][0].as_str().expect("a sentence");
        assert!(sentence.contains(word), "{wrong}: {sentence}");
    }
    for body in ["", "5", "null", "\"here\"", "[", "{}"] {
        rest.put(&path, body).assert_status(400);
    }
    assert_eq!(rest.get(&path).expect(200), json!([]), "nothing of it was stored");
    assert_eq!(rest.get(thng_of(&path)).expect(200).get("location"), None);
}

#[test]
fn locations_of_a_thng_that_is_not_there_are_404() {
    let mut rest = Server::shared().rest();
    let deleted = five(&mut rest);
    rest.delete(thng_of(&deleted)).assert_status(200);
    for path in [deleted, format!("/thngs/{UNKNOWN}/location")] {
        rest.get(&path).assert_status(404);
        rest.put(&path, json!([{"latitude": 1, "longitude": 1}])).assert_status(404);
        rest.delete(&path).assert_status(404);
    }
}

#[test]
fn a_location_update_is_notified_once_as_an_array() {
    let server = Server::shared();
    let mut rest = server.rest();
    let path = thng(&mut rest);
    let place = rest.id_of("/places", json!({"name": "n", "position": point(-1.5, 2.25)}));
    let mut client = Client::connect(server);
    for topic in [&*path, thng_of(&path), &format!("{}/properties", thng_of(&path))] {
        client.subscribed(topic, QoS::AtLeastOnce);
    }
    for sent in [
        json!([{"latitude": 1, "longitude": 1}]),
        json!([{"position": point(2.0, 2.0), "timestamp": 2_000}, {"latitude": 3, "longitude": 3, "timestamp": 1_000}]),
        json!([{"place": place}]),
    ] {
        let stored = rest.put(&path, sent).expect(200);
        let message = client.message();
        assert_eq!((&message.topic, message.json()), (&path, stored));
    }
    client.publish_acknowledged(&path, r#"[{"position":{"type":"Point","coordinates":[8.5,47.25]}}]"#);
    assert_eq!(client.message().json()[0]["latitude"], 47.25);
    assert_eq!(latitudes(&rest.get(&format!("{path}?perPage=1"))), [47.25]);

    // A deletion sends no notification.
    rest.delete(&path).assert_status(200);
    rest.put(thng_of(&path), json!({"description": "marker"})).assert_status(200);
    assert_eq!(client.message().json()["description"], "marker");
    client.assert_nothing_else();
}
