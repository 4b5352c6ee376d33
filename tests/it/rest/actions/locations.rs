//! The location of an action in each of its forms, and its source.

use serde_json::{Value, json};
use thng_pubsub_tests::Server;

use super::world::id_of;

#[test]
fn every_form_of_a_location_is_shown_in_both_with_its_source() {
    let mut rest = Server::shared().rest();
    let position =
        |longitude: f64, latitude: f64| json!({"type": "Point", "coordinates": [longitude, latitude]});
    let place = rest.id_of("/places", json!({"name": "n", "position": position(-1.5, 2.25)}));
    for (sent, longitude, latitude, named, source) in [
        (
            json!({"location": {"latitude": 47.25, "longitude": 8.5}, "locationSource": "sensor"}),
            8.5,
            47.25,
            None,
            "sensor",
        ),
        (
            json!({"location": {"position": position(8.5, 47.25)}, "locationSource": "sensor"}),
            8.5,
            47.25,
            None,
            "sensor",
        ),
        (
            json!({"location": {"position": {"coordinates": [8.5, 47.25]}}, "locationSource": "geoIp"}),
            8.5,
            47.25,
            None,
            "geoIp",
        ),
        (json!({"location": {"place": place}}), -1.5, 2.25, Some(&place), "place"),
    ] {
        let created = rest.create("/actions/checkins", sent.clone());
        let location = &created["location"];
        assert_eq!(location["position"], position(longitude, latitude), "{sent}");
        assert_eq!((&location["latitude"], &location["longitude"]), (&json!(latitude), &json!(longitude)));
        assert_eq!(location.get("place").and_then(Value::as_str), named.map(String::as_str), "{sent}");
        assert_eq!(created["locationSource"], source, "{sent}");
        assert_eq!(rest.get(&format!("/actions/checkins/{}", id_of(&created))).expect(200), created);
    }
    for nowhere in
        [json!({}), json!({"locationSource": "sensor"}), json!({"location": null}), json!({"location": {}})]
    {
        let created = rest.create("/actions/checkins", nowhere.clone());
        assert_eq!(created.get("location"), None, "{nowhere}");
        assert_eq!(created["locationSource"], "unknown", "{nowhere}");
    }
    for wrong in [
        json!({"latitude": 91, "longitude": 0}),
        json!({"latitude": 47}),
        json!({"latitude": "47", "longitude": "8"}),
        json!({"position": position(181.0, 0.0)}),
        json!({"position": {"type": "Point", "coordinates": []}}),
        json!({"place": "x"}),
        json!("here"),
        json!(5),
    ] {
        let refusal = rest.post("/actions/checkins", json!({"location": wrong})).expect(400);
        assert!(
            refusal["errors"][0].as_str().is_some_and(|error| error.contains("location")),
            "{wrong}: {refusal}"
        );
    }
    // An action does not move its thng.
    let thng = rest.thng();
    let sent = json!({"location": {"latitude": 1, "longitude": 1}});
    rest.create(&format!("/thngs/{thng}/actions/checkins"), sent);
    assert_eq!(rest.get(&format!("/thngs/{thng}")).expect(200).get("location"), None);
}

#[test]
fn the_source_of_a_location_is_one_of_those_that_there_are() {
    let mut rest = Server::shared().rest();
    let known = ["sensor", "geoIp", "place", "unknown"];
    let sent = |said: &str| json!({"location": {"latitude": 1, "longitude": 1}, "locationSource": said});
    for said in known {
        assert_eq!(rest.create("/actions/checkins", sent(said))["locationSource"], said);
    }
    for invented in ["hearsay", "Sensor", ""] {
        let answer = rest.post("/actions/checkins", sent(invented));
        if answer.status != 400 {
            let shown = answer.expect(201)["locationSource"].clone();
            assert!(known.iter().any(|known| shown == *known), "{invented} is shown as {shown}");
        }
    }
}
