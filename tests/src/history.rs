//! All of a property's history, although one request shows only its newest part.
//!
//! It uses nothing but `to`, whose bound is inclusive. The end of a window may cut the values of one millisecond, so
//! those of the oldest millisecond are taken from the next window, which has all of them.

use serde::Deserialize;
use serde_json::Value;

use crate::rest::Rest;

/// One value of the past.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    pub value: Value,
    pub timestamp: u64,
    pub created_at: u64,
}

/// Every value that the property ever had, oldest first.
///
/// # Panics
/// When one millisecond holds more values than an answer does.
#[must_use]
#[track_caller]
pub fn whole(rest: &mut Rest, thng: &str, key: &str) -> Vec<Point> {
    let mut newest_first = window(rest, thng, key, None);
    while let Some(oldest) = newest_first.last().map(|point| point.timestamp) {
        let next = window(rest, thng, key, Some(oldest));
        let of_that_time = next.iter().filter(|point| point.timestamp == oldest).count();
        let before = newest_first.iter().filter(|point| point.timestamp > oldest).count();
        newest_first.truncate(before);
        let at_its_end = next.len() == of_that_time;
        newest_first.extend(next);
        if at_its_end {
            break;
        }
    }
    newest_first.reverse();
    newest_first
}

#[track_caller]
fn window(rest: &mut Rest, thng: &str, key: &str, to: Option<u64>) -> Vec<Point> {
    let to = to.map_or_else(String::new, |to| format!("&to={to}"));
    let answer = rest.get(&format!("/thngs/{thng}/properties/{key}?perPage=100{to}"));
    let points: Vec<Point> = serde_json::from_value(answer.expect(200)).expect("a history's entries");
    assert!(
        points.is_sorted_by(|newer, older| newer.timestamp >= older.timestamp),
        "newest first: {points:?}"
    );
    points
}
