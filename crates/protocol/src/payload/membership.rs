//! Members of a collection: arrays of ids in, `{"operation","timestamp","resources"}` out.

use alloc::{borrow::Cow, format, string::String, vec::Vec};

use serde::Serialize;

use super::{PayloadError, to_json};
use crate::{id::Id, limits};

/// What happened to the thngs of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MembershipChange {
    /// These joined.
    ThngsAdded,
    /// These left.
    ThngsRemoved,
    /// All left.
    ThngsCleared,
}

#[derive(Serialize)]
struct Document<'a> {
    operation: MembershipChange,
    timestamp: i64,
    resources: Vec<&'a str>,
}

/// The notification of a change.
#[must_use]
pub fn membership_document(operation: MembershipChange, timestamp_ms: i64, thngs: &[Id]) -> String {
    to_json(&Document {
        operation,
        timestamp: timestamp_ms,
        resources: thngs.iter().map(Id::as_str).collect(),
    })
}

/// Reads an array of ids, of at most `most`.
///
/// # Errors
/// [`PayloadError`] where it is none.
pub fn parse_ids(body: &[u8], most: usize) -> Result<Vec<Id>, PayloadError> {
    let text = core::str::from_utf8(body).map_err(|_| PayloadError::one("The body is not UTF-8 text."))?;
    let texts: Vec<Cow<'_, str>> = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            PayloadError::one("The body is an array of ids such as [\"UeECn9a8PBpar8x4FEGdMsDd\"].")
        } else {
            PayloadError::syntax(&error)
        }
    })?;
    if texts.len() > most {
        return Err(PayloadError::one(format!(
            "One call takes at most {most} ids, this one has {}.",
            texts.len()
        )));
    }
    let id = |(at, text): (usize, &Cow<'_, str>)| {
        Id::parse(text).map_err(|error| PayloadError::one(format!("Entry {at}: {error}.")))
    };
    texts.iter().enumerate().map(id).collect()
}

/// The most thngs that one call may add to a collection, or that one notification names.
pub const THNGS_MAX: usize = limits::MEMBERSHIP_MAX;

/// A JSON array of ids.
#[must_use]
pub fn ids_document(ids: &[Id]) -> String {
    to_json(&ids.iter().map(Id::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_an_array_and_from_nothing_else() {
        let (a, b) = ("a".repeat(24), "b".repeat(24));
        let read = parse_ids(format!(r#"["{a}","{b}"]"#).as_bytes(), 2).expect("two ids");
        assert_eq!(ids_document(&read), format!(r#"["{a}","{b}"]"#));
        assert!(parse_ids(format!(r#"["{a}","{b}"]"#).as_bytes(), 1).is_err());
        for body in ["{}", "5", "[5]", r#"["x"]"#, "[", ""] {
            assert!(parse_ids(body.as_bytes(), 9).is_err(), "{body}");
        }
    }

    #[test]
    fn a_membership_change_has_the_documented_shape() {
        let id = Id::parse(&"a".repeat(24)).expect("an id");
        assert_eq!(
            membership_document(MembershipChange::ThngsAdded, 5, &[id]),
            format!(r#"{{"operation":"thngsAdded","timestamp":5,"resources":["{id}"]}}"#)
        );
        assert!(membership_document(MembershipChange::ThngsCleared, 5, &[]).contains("thngsCleared"));
        assert!(membership_document(MembershipChange::ThngsRemoved, 5, &[]).contains("thngsRemoved"));
    }
}
