//! Places: where they are, in both of their forms, and which of them are near.

use serde_json::{Value, json};
use thng_pubsub_tests::{Rest, Server};

const UNKNOWN: &str = "Uabcdefghkmnpqrstwxy0123";

fn path_of(place: &Value) -> String {
    format!("/places/{}", place["id"].as_str().expect("a place has an id"))
}

fn point(longitude: f64, latitude: f64) -> Value {
    json!({"type": "Point", "coordinates": [longitude, latitude]})
}

/// The three fields that say where a place is; `null` for one that is left out.
fn whereabouts(place: &Value) -> [Value; 3] {
    ["position", "latitude", "longitude"].map(|field| place.get(field).cloned().unwrap_or_default())
}

#[track_caller]
fn names(rest: &mut Rest, list: &str) -> Vec<String> {
    let places = rest.parts(list).into_iter().flatten();
    places.map(|place| place["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_place_is_created_read_updated_and_deleted() {
    let mut rest = Server::shared().rest();
    let sent = json!({
        "name": "Lager", "description": "hinten", "type": "warehouse", "icon": "https://example.com/i.png",
        "address": {"street": "Quai 1", "city": "Zürich", "countryCode": "CH"},
        "tags": ["a"], "customFields": {"n": [1]}, "identifiers": {"gs1:414": "1"},
        "position": point(8.5, 47.25),
    });
    let answer = rest.post("/places", sent.clone());
    let created = answer.expect(201);
    let path = path_of(&created);
    let location = answer.header("location").expect("201 comes with a Location");
    assert!(location.ends_with(&path), "{location}");
    for (field, value) in sent.as_object().expect("an object") {
        assert_eq!(created[field], *value, "{field}");
    }
    assert_eq!(created["updatedAt"], created["createdAt"]);
    assert_eq!(rest.get(&path).expect(200), created);

    let mut sent_back = created.clone();
    for (field, value) in [("id", json!(UNKNOWN)), ("createdAt", json!(1)), ("updatedAt", json!(2))] {
        sent_back[field] = value;
    }
    sent_back["address"] = json!({"city": "Basel"});
    let updated = rest.put(&path, sent_back).expect(200);
    assert!(updated["updatedAt"].as_u64() > created["createdAt"].as_u64(), "{updated}");
    let mut expected = created.clone();
    expected["address"] = json!({"city": "Basel"});
    expected["updatedAt"] = updated["updatedAt"].clone();
    assert_eq!(updated, expected);
    assert_eq!(rest.get(&path).expect(200), expected);
    assert_eq!(
        rest.get(&format!("/places?ids={}", expected["id"].as_str().expect("an id"))).expect(200),
        json!([expected])
    );

    let answer = rest.delete(&path);
    answer.assert_status(200);
    assert_eq!(answer.text(), "");
    for path in [path, format!("/places/{UNKNOWN}")] {
        rest.get(&path).assert_status(404);
        rest.put(&path, json!({"name": "back"})).assert_status(404);
        rest.delete(&path).assert_status(404);
    }
}

#[test]
fn a_place_need_not_say_where_it_is_nor_what_it_is_called() {
    let mut rest = Server::shared().rest();
    for sent in [json!({"name": "n", "customFields": {"a": 1}}), json!({"customFields": {"a": 1}}), json!({})]
    {
        let created = rest.create("/places", sent);
        assert_eq!(whereabouts(&created), [Value::Null, Value::Null, Value::Null]);
        for (field, value) in created.as_object().expect("an object") {
            assert!(!value.is_null(), "{field} in {created}");
        }
        assert_eq!(rest.get(&path_of(&created)).expect(200), created);
    }
}

#[test]
fn position_and_degrees_always_say_the_same() {
    let mut rest = Server::shared().rest();
    let both =
        |longitude: f64, latitude: f64| [point(longitude, latitude), json!(latitude), json!(longitude)];
    for (sent, expected) in [
        (json!({"position": point(8.5, 47.25)}), both(8.5, 47.25)),
        (json!({"position": {"coordinates": [8.5, 47.25]}}), both(8.5, 47.25)),
        (json!({"latitude": 47.25, "longitude": 8.5}), both(8.5, 47.25)),
        (json!({"latitude": -90.0, "longitude": 180.0}), both(180.0, -90.0)),
        (json!({"position": point(1.5, 2.5), "latitude": 3.5, "longitude": 4.5}), both(1.5, 2.5)),
    ] {
        let mut created = sent.clone();
        created["name"] = json!("n");
        let created = rest.create("/places", created);
        assert_eq!(whereabouts(&created), expected, "{sent}");

        // Whatever it was before, an update leaves no form behind.
        let elsewhere = rest.create("/places", json!({"position": point(-1.5, -2.5)}));
        let updated = rest.put(&path_of(&elsewhere), sent.clone()).expect(200);
        assert_eq!(whereabouts(&updated), expected, "PUT {sent}");
        let read = rest.get(&path_of(&elsewhere)).expect(200);
        assert_eq!(whereabouts(&read), expected, "GET after PUT {sent}");
    }

    let place = rest.create("/places", json!({"position": point(8.5, 47.25)}));
    let path = path_of(&place);
    for (sent, expected) in [
        (json!({"latitude": 46.5}), both(8.5, 46.5)),
        (json!({"longitude": 9.5}), both(9.5, 46.5)),
        (json!({"name": "another field"}), both(9.5, 46.5)),
        (json!({"latitude": null, "longitude": 10.5, "position": point(10.5, 11.5)}), both(10.5, 11.5)),
    ] {
        assert_eq!(whereabouts(&rest.put(&path, sent.clone()).expect(200)), expected, "{sent}");
    }
}

#[test]
fn unsetting_one_form_of_a_location_unsets_the_other() {
    let mut rest = Server::shared().rest();
    for gone in [
        json!({"position": null}),
        json!({"latitude": null, "longitude": null}),
        json!({"position": null, "latitude": null, "longitude": null}),
    ] {
        let place = rest.create("/places", json!({"position": point(8.5, 47.25)}));
        let updated = rest.put(&path_of(&place), gone.clone()).expect(200);
        assert_eq!(whereabouts(&updated), [Value::Null, Value::Null, Value::Null], "{gone}");
    }
}

#[test]
fn half_of_a_form_cannot_be_unset() {
    let mut rest = Server::shared().rest();
    for half in [json!({"latitude": null}), json!({"longitude": null})] {
        let place = rest.create("/places", json!({"position": point(8.5, 47.25)}));
        let status = rest.put(&path_of(&place), half.clone()).status;
        let now = whereabouts(&rest.get(&path_of(&place)).expect(200));
        let expected = match status {
            200 => [Value::Null, Value::Null, Value::Null],
            _ => whereabouts(&place),
        };
        assert!([200, 400].contains(&status) && now == expected, "{half}: {status} {now:?}");
    }
}

#[test]
fn a_location_off_the_earth_is_refused_by_name() {
    let mut rest = Server::shared().rest();
    let place = rest.create("/places", json!({"name": "n", "position": point(8.5, 47.25)}));
    for (wrong, field) in [
        (json!({"position": point(180.5, 0.0)}), "position"),
        (json!({"position": point(0.0, -90.5)}), "position"),
        (json!({"position": {"type": "Point", "coordinates": [8.5]}}), "position"),
        (json!({"position": {"type": "Point", "coordinates": ["8.5", "47"]}}), "position"),
        (json!({"position": {"type": "LineString", "coordinates": [[8.5, 47.0], [8.0, 47.0]]}}), "position"),
        (json!({"position": [8.5, 47.25]}), "position"),
        (json!({"position": "here"}), "position"),
        (json!({"latitude": 91, "longitude": 0}), "latitude"),
        (json!({"latitude": 0, "longitude": -181}), "longitude"),
        (json!({"latitude": "47", "longitude": 8.5}), "latitude"),
        (json!({"latitude": 47.25, "longitude": true}), "longitude"),
        (json!({"name": ""}), "name"),
        (json!({"address": "Quai 1"}), "address"),
        (json!({"tags": "one"}), "tags"),
    ] {
        for answer in [rest.post("/places", wrong.clone()), rest.put(&path_of(&place), wrong.clone())] {
            let refusal = answer.expect(400);
            let errors = refusal["errors"].as_array().expect("errors");
            let named = errors.iter().any(|error| error.as_str().is_some_and(|error| error.contains(field)));
            assert!(named, "{wrong}: {refusal}");
        }
    }
    for half in [json!({"latitude": 47.25}), json!({"longitude": 8.5})] {
        rest.post("/places", half).assert_status(400);
    }
    assert_eq!(rest.get(&path_of(&place)).expect(200), place);
}

#[test]
fn places_near_a_point_are_found_within_fractional_kilometers() {
    let server = Server::start();
    let mut rest = server.rest();
    // A degree of latitude is 111.2 km.
    for (name, longitude, latitude, tag) in [
        ("here", 8.0, 47.0, "a"),
        ("300 m", 8.0, 47.0027, "b"),
        ("800 m", 8.0, 47.0072, "a"),
        ("11 km", 8.0, 47.1, "b"),
        ("west of the date line", 179.999, 0.0, "a"),
        ("east of the date line", -179.999, 0.0, "a"),
        ("near the pole", 0.0, 89.999, "a"),
        ("behind the pole", 180.0, 89.999, "a"),
    ] {
        rest.create("/places", json!({"name": name, "position": point(longitude, latitude), "tags": [tag]}));
    }
    rest.create("/places", json!({"name": "nowhere"}));

    for (query, expected) in [
        ("lat=47&lon=8&maxDist=0.5", &["300 m", "here"][..]),
        ("lat=47&lon=8&maxDist=0.1", &["here"]),
        ("lat=47&lon=8&maxDist=0", &["here"]),
        ("lat=47&lon=8&maxDist=1&sortOrder=ASCENDING", &["here", "300 m", "800 m"]),
        ("lat=47.0&lon=8.0&maxDist=11", &["800 m", "300 m", "here"]),
        ("lat=47&lon=8&maxDist=12", &["11 km", "800 m", "300 m", "here"]),
        ("lat=0&lon=180&maxDist=1", &["east of the date line", "west of the date line"]),
        ("lat=0&lon=-180&maxDist=1", &["east of the date line", "west of the date line"]),
        ("lat=89.999&lon=0&maxDist=0.5", &["behind the pole", "near the pole"]),
        ("lat=-47&lon=8&maxDist=100", &[]),
        ("lat=47&lon=8&maxDist=1&filter=tags%3Da", &["800 m", "here"]),
        ("lat=47&lon=8&maxDist=20000&filter=name%3Dnowhere", &[]),
        // The link carries all of it on.
        ("lat=47&lon=8&maxDist=12&perPage=1", &["11 km", "800 m", "300 m", "here"]),
    ] {
        assert_eq!(names(&mut rest, &format!("/places?{query}")), expected, "{query}");
    }
    let counted = rest.get("/places?lat=47&lon=8&maxDist=1&perPage=2&page=2");
    assert_eq!(counted.header("x-result-count"), Some("3"));
    assert_eq!(counted.expect(200)[0]["name"], "here");
    assert_eq!(names(&mut rest, "/places").len(), 9, "without a point all of them");
}

#[test]
fn an_invalid_point_is_refused_with_its_parameter() {
    let mut rest = Server::shared().rest();
    for (query, parameter) in [
        ("lat=47", "lon"),
        ("lon=8", "lat"),
        ("maxDist=1", "lat"),
        ("lat=91&lon=8&maxDist=1", "lat"),
        ("lat=47&lon=181&maxDist=1", "lon"),
        ("lat=north&lon=8&maxDist=1", "lat"),
        ("lat=47&lon=&maxDist=1", "lon"),
        ("lat=NaN&lon=8&maxDist=1", "lat"),
        ("lat=47&lon=8&maxDist=-1", "maxDist"),
        ("lat=47&lon=8&maxDist=far", "maxDist"),
        ("lat=47&lon=8&maxDist=inf", "maxDist"),
        ("lat=47&lon=8&maxDist=NaN", "maxDist"),
    ] {
        let refusal = rest.get(&format!("/places?{query}")).expect(400);
        assert!(
            refusal["errors"][0].as_str().is_some_and(|error| error.contains(parameter)),
            "{query}: {refusal}"
        );
    }
}
