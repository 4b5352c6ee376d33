//! Locations of thngs: `[{"position","timestamp"}]` in, with latitude, longitude and both times out.

use alloc::{borrow::Cow, format, string::String, vec::Vec};
use core::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Json, Object, PayloadError, property::timestamp};
use crate::{id::Id, limits};

/// What a point is, for sentences.
pub(super) const POINT: &str = "a point such as {\"type\": \"Point\", \"coordinates\": [longitude, latitude]}, with a longitude \
     of -180 to 180 and a latitude of -90 to 90";

/// A point on Earth, in degrees, each number the text that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// -180 to 180.
    pub longitude: String,
    /// -90 to 90.
    pub latitude: String,
}

impl Point {
    fn new(longitude: &str, latitude: &str) -> Option<Self> {
        let within = |text: &str, most: f64| text.parse::<f64>().is_ok_and(|degrees| degrees.abs() <= most);
        (within(longitude, 180.0) && within(latitude, 90.0))
            .then(|| Self { longitude: longitude.into(), latitude: latitude.into() })
    }

    /// The GeoJSON text.
    #[must_use]
    pub fn position(&self) -> String {
        format!("{{\"type\":\"Point\",\"coordinates\":[{},{}]}}", self.longitude, self.latitude)
    }

    /// Longitude and latitude as numbers.
    #[must_use]
    pub fn degrees(&self) -> (f64, f64) {
        (self.longitude.parse().unwrap_or_default(), self.latitude.parse().unwrap_or_default())
    }
}

/// Reads a GeoJSON point.
#[must_use]
pub fn point(json: &str) -> Option<Point> {
    #[derive(Deserialize)]
    struct GeoJson<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow)]
        coordinates: Vec<&'a RawValue>,
    }
    let Object(document): Object<GeoJson<'_>> = serde_json::from_str(json).ok()?;
    if document.kind.is_some_and(|kind| kind != "Point") {
        return None;
    }
    match document.coordinates[..] {
        [longitude, latitude] | [longitude, latitude, _] => Point::new(longitude.get(), latitude.get()),
        _ => None,
    }
}

/// Where something is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocationInput {
    /// There.
    At(Point),
    /// Where this place is.
    Place(Id),
}

/// A request to store one location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationWrite {
    /// Where.
    pub input: LocationInput,
    /// Milliseconds since the epoch, or `None` for the moment of arrival.
    pub timestamp_ms: Option<i64>,
}

/// One location that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationUpdate {
    /// An object of `latitude`, `longitude`, `position` and perhaps `place`.
    pub value: Json,
    /// Milliseconds since the epoch: when it was so.
    pub timestamp_ms: i64,
    /// Milliseconds since the epoch: when it arrived here.
    pub created_at_ms: i64,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    position: Option<&'a RawValue>,
    #[serde(borrow, default)]
    latitude: Option<&'a RawValue>,
    #[serde(borrow, default)]
    longitude: Option<&'a RawValue>,
    #[serde(borrow, default)]
    place: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
}

impl LocationWrite {
    /// Reads one location: by its position, by latitude and longitude, or by a place.
    ///
    /// # Errors
    /// What is wrong with it, without a full stop.
    pub(super) fn read(json: &str) -> Result<Self, String> {
        let entry: Result<Object<Entry<'_>>, _> = serde_json::from_str(json);
        entry.map_err(|_| String::from(SHAPE)).and_then(|Object(entry)| entry.read())
    }
}

const SHAPE: &str = "a location has a position, latitude and longitude, or a place";

impl Entry<'_> {
    fn read(self) -> Result<LocationWrite, String> {
        let timestamp_ms = self
            .timestamp
            .map(|raw| timestamp(raw.get()))
            .transpose()
            .map_err(|()| String::from("timestamp is a whole number of milliseconds since 1970"))?
            .flatten();
        let input = match (self.position, self.latitude, self.longitude, self.place) {
            (Some(position), ..) => {
                LocationInput::At(point(position.get()).ok_or_else(|| format!("position is {POINT}"))?)
            }
            (None, Some(latitude), Some(longitude), _) => LocationInput::At(
                Point::new(longitude.get(), latitude.get())
                    .ok_or("latitude is -90 to 90 and longitude -180 to 180 degrees")?,
            ),
            (None, _, _, Some(place)) => {
                LocationInput::Place(Id::parse(&place).map_err(|_| "place is the id of an existing place")?)
            }
            _ => return Err(SHAPE.into()),
        };
        Ok(LocationWrite { input, timestamp_ms })
    }
}

/// Reads what is written to `…/location`: an array of locations, or a lone one. An empty array stores nothing.
///
/// # Errors
/// [`PayloadError`]: not JSON, a location without a place, numbers that are no degrees, or more than
/// [`limits::PROPERTY_VALUES_MAX`].
pub fn parse_locations(body: &[u8]) -> Result<Vec<LocationWrite>, PayloadError> {
    let text = core::str::from_utf8(body).map_err(|_| PayloadError::one("The body is not UTF-8 text."))?;
    let entries: Result<Vec<Object<Entry<'_>>>, _> = match text.trim_start().as_bytes().first() {
        Some(b'[') => serde_json::from_str(text),
        _ => serde_json::from_str(text).map(|entry| [entry].into()),
    };
    let entries = entries.map_err(|error| {
        if error.is_data() {
            PayloadError::one(
                "Locations are an array of entries such as {\"position\": {\"type\": \"Point\", \"coordinates\": [8.5, 47.4]}}.",
            )
        } else {
            PayloadError::syntax(&error)
        }
    })?;
    if entries.len() > limits::PROPERTY_VALUES_MAX {
        return Err(PayloadError::one(format!(
            "An update holds at most {} locations, this one has {}.",
            limits::PROPERTY_VALUES_MAX,
            entries.len()
        )));
    }
    let read = |(index, Object(entry)): (usize, Object<Entry<'_>>)| {
        entry.read().map_err(|fault| PayloadError::one(format!("Entry {index}: {fault}.")))
    };
    entries.into_iter().enumerate().map(read).collect()
}

/// What is stored of a location.
#[must_use]
pub fn location_value(point: &Point, place: Option<&Id>) -> Json {
    let mut out = format!(
        "{{\"latitude\":{},\"longitude\":{},\"position\":{}",
        point.latitude,
        point.longitude,
        point.position()
    );
    if let Some(place) = place {
        let _ = write!(out, ",\"place\":\"{place}\"");
    }
    out.push('}');
    Json::parse(out).expect("numbers that were JSON stay JSON")
}

impl LocationUpdate {
    /// One location as REST shows it.
    #[must_use]
    pub fn document(&self) -> String {
        let (timestamp, created_at) = (self.timestamp_ms, self.created_at_ms);
        super::with_members(
            self.value.as_str(),
            &[("timestamp", &format!("{timestamp}")), ("createdAt", &format!("{created_at}"))],
        )
    }
}

/// The document of an update, of a history, and of a notification.
#[must_use]
pub fn locations_document<'a>(updates: impl IntoIterator<Item = &'a LocationUpdate>) -> String {
    let mut out = String::from("[");
    for update in updates {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&update.document());
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(body: &str) -> Result<LocationWrite, String> {
        let mut writes = parse_locations(body.as_bytes()).map_err(|error| error.0.join(" "))?;
        assert_eq!(writes.len(), 1);
        Ok(writes.remove(0))
    }

    #[test]
    fn a_location_is_a_position_or_degrees_or_a_place() {
        let zurich = Point { longitude: "8.50".into(), latitude: "47".into() };
        for body in [
            r#"[{"position":{"type":"Point","coordinates":[8.50,47]}}]"#,
            r#"{"latitude":47,"longitude":8.50}"#,
            r#"[{"position":{"coordinates":[8.50,47,400]},"latitude":1,"longitude":1}]"#,
        ] {
            assert_eq!(one(body).map(|write| write.input), Ok(LocationInput::At(zurich.clone())), "{body}");
        }
        let place = "a".repeat(24);
        let write = one(&format!(r#"[{{"place":"{place}","timestamp":"5"}}]"#)).expect("a place");
        assert_eq!(write.timestamp_ms, Some(5));
        assert_eq!(write.input, LocationInput::Place(Id::parse(&place).expect("an id")));
    }

    #[test]
    fn what_is_nowhere_is_refused() {
        for body in [
            "5",
            "[5]",
            "[{}]",
            r#"[{"latitude":47}]"#,
            r#"[{"latitude":91,"longitude":0}]"#,
            r#"[{"latitude":"47","longitude":0}]"#,
            r#"[{"position":{"type":"Line","coordinates":[8,47]}}]"#,
            r#"[{"position":{"type":"Point","coordinates":[181,47]}}]"#,
            r#"[{"position":{"type":"Point","coordinates":[8]}}]"#,
            r#"[{"place":"x"}]"#,
            r#"[{"latitude":1,"longitude":1,"timestamp":-1}]"#,
        ] {
            assert!(parse_locations(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(parse_locations(b"[]"), Ok(Vec::new()));
    }

    #[test]
    fn a_location_is_shown_both_ways_with_both_times() {
        let point = Point { longitude: "8.50".into(), latitude: "47".into() };
        let update =
            LocationUpdate { value: location_value(&point, None), timestamp_ms: 1, created_at_ms: 2 };
        assert_eq!(
            locations_document([&update]),
            r#"[{"latitude":47,"longitude":8.50,"position":{"type":"Point","coordinates":[8.50,47]},"timestamp":1,"createdAt":2}]"#
        );
    }
}
