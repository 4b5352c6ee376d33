//! Actions: `{"type", …}` in, one or many at a time.

use alloc::{format, string::String, vec::Vec};

use serde_json::value::RawValue;

use super::{Patch, PayloadError, ResourceKind};
use crate::{id::ActionTypeName, limits};

/// Reads what is posted to `…/actions/:type` (`path_type` is that type) or `…/actions/all`: an action, or an array of
/// them. An action without a type has that of the path.
///
/// # Errors
/// [`PayloadError`]: no action, one without a type where the path names none, one of another type than the path, or
/// more than [`limits::ACTIONS_MAX`].
pub fn parse_actions(
    body: &[u8],
    path_type: Option<&ActionTypeName>,
) -> Result<Vec<(ActionTypeName, Patch)>, PayloadError> {
    let text = core::str::from_utf8(body).map_err(|_| PayloadError::one("The body is not UTF-8 text."))?;
    let trimmed = text.trim_start();
    if !trimmed.starts_with('[') {
        // Small clients send nothing where the path says it all.
        let text = if trimmed.is_empty() && path_type.is_some() { "{}" } else { text };
        return Ok([one(text, path_type)?].into());
    }
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| PayloadError::syntax(&error))?;
    if items.is_empty() || items.len() > limits::ACTIONS_MAX {
        return Err(PayloadError::one(format!(
            "One call creates 1 to {} actions, this one has {}.",
            limits::ACTIONS_MAX,
            items.len()
        )));
    }
    let at = |(index, item): (usize, &&RawValue)| {
        one(item.get(), path_type).map_err(|error| {
            PayloadError(error.0.iter().map(|fault| format!("Entry {index}: {fault}")).collect())
        })
    };
    items.iter().enumerate().map(at).collect()
}

fn one(text: &str, path_type: Option<&ActionTypeName>) -> Result<(ActionTypeName, Patch), PayloadError> {
    let patch = Patch::read(ResourceKind::Action, text)?;
    let said: Option<String> = patch.text("type");
    let action_type = match (said, path_type) {
        (Some(said), Some(path_type)) if said != path_type.as_str() => {
            return Err(PayloadError::one("type differs from the action type that the path names."));
        }
        (_, Some(path_type)) => path_type.clone(),
        (Some(said), None) => {
            ActionTypeName::parse(&said).map_err(|error| PayloadError::one(format!("type: {error}.")))?
        }
        (None, None) => return Err(PayloadError::one("type is required, since the path names none.")),
    };
    Ok((action_type, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, path: Option<&str>) -> Result<Vec<String>, PayloadError> {
        let path = path.map(|name| ActionTypeName::parse(name).expect("a name"));
        let actions = parse_actions(body.as_bytes(), path.as_ref())?;
        Ok(actions.iter().map(|(name, _)| name.as_str().into()).collect())
    }

    #[test]
    fn the_type_is_that_of_the_path_or_the_body() {
        assert_eq!(read("{}", Some("scans")), Ok(["scans".into()].into()));
        assert_eq!(read("", Some("scans")), Ok(["scans".into()].into()));
        assert_eq!(read(r#"{"type":"_a"}"#, None), Ok(["_a".into()].into()));
        assert_eq!(read(r#"[{"type":"_a"},{"type":"_b"}]"#, None), Ok(["_a".into(), "_b".into()].into()));
        for (body, path) in [
            (r#"{"type":"_b"}"#, Some("_a")),
            ("{}", None),
            ("", None),
            ("[]", Some("_a")),
            ("5", Some("_a")),
            ("[5]", Some("_a")),
            (r#"{"type":"all"}"#, None),
            (r#"{"thng":"x"}"#, Some("_a")),
        ] {
            assert!(read(body, path).is_err(), "{body}");
        }
    }
}
