//! `/time`: the one resource that needs no key. Devices without a clock of their own ask it.

use axum::{http::StatusCode, response::Response};
use jiff::{Timestamp, tz::TimeZone};

use super::{HttpError, call::invalid, json};
use crate::answer::parameter;
use thng_pubsub_broker::clock::Clock;

pub(super) fn read(query: Option<&str>) -> Result<Response, HttpError> {
    let now_ms = Clock::System.now_ms();
    let document = match parameter(query, "tz") {
        None => format!(r#"{{"timestamp":{now_ms}}}"#),
        Some(name) => {
            let zone = TimeZone::get(&name)
                .map_err(|_| invalid("tz is the name of a time zone, such as Europe/Zurich."))?;
            local(now_ms, &zone)
        }
    };
    Ok(json(StatusCode::OK, document))
}

/// The time in a zone: its offset from UTC in milliseconds, and when that changes next, if it does.
fn local(now_ms: i64, zone: &TimeZone) -> String {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let offset = zone.to_offset(now);
    let local_time = now.display_with_offset(offset);
    let offset_ms = i64::from(offset.seconds()) * 1_000;
    let next = zone.following(now).next().map(|change| change.timestamp().as_millisecond());
    let next = next.map(|at| format!(r#","nextChange":{at}"#)).unwrap_or_default();
    format!(r#"{{"timestamp":{now_ms},"offset":{offset_ms},"localTime":"{local_time}"{next}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_says_its_offset_and_when_it_changes() {
        let zone = TimeZone::get("Europe/Zurich").expect("a known zone");
        let document: serde_json::Value =
            serde_json::from_str(&local(1_700_000_000_000, &zone)).expect("JSON");
        assert_eq!(document["offset"], 3_600_000);
        assert_eq!(document["nextChange"], 1_711_846_800_000_i64);
        assert!(document["localTime"].as_str().is_some_and(|time| time.starts_with("2023-11-14T23:13:20")));
    }

    #[test]
    fn a_zone_that_never_changes_does_not_say_when() {
        let zone = TimeZone::get("UTC").expect("a known zone");
        assert!(!local(0, &zone).contains("nextChange"));
    }
}
