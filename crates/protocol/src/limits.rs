//! The numbers of the protocol: what a name, a topic or a document may measure at the most.
//!
//! Every parser reads them here. Those that an operator may change are defaults of the server's settings.
//! Each number says its unit, where it comes from and what breaks when it is changed.

/// Characters of an API key, all of `[A-Za-z0-9]`. Existing clients refuse any other length.
pub const API_KEY_CHARS: usize = 80;

/// Characters of a resource id. Existing clients tell an id from a list by this length.
pub const ID_CHARS: usize = 24;

/// Characters of a property key. It becomes part of a topic and of an index key.
pub const PROPERTY_KEY_CHARS_MAX: usize = 128;

/// Bytes of an action type's name after percent-decoding. It becomes part of a topic.
pub const ACTION_TYPE_BYTES_MAX: usize = 256;

/// Projects, and users, that a resource is scoped to. They travel with every notification of it.
pub const SCOPES_MAX: usize = 100;

/// Characters of a resource's `name`.
pub const NAME_CHARS_MAX: usize = 256;

/// Characters of a resource's `description`.
pub const DESCRIPTION_CHARS_MAX: usize = 2_048;

/// Tags of one resource.
pub const TAGS_MAX: usize = 60;

/// Characters of one tag.
pub const TAG_CHARS_MAX: usize = 256;

/// Entries of `identifiers` of one resource.
pub const IDENTIFIERS_MAX: usize = 100;

/// Properties of one resource. They are shown together in one document.
pub const PROPERTIES_MAX: usize = 1_000;

/// Bytes of all latest values of one resource together: its document stays one that a client and a page of a list can
/// hold. Histories may be of any size.
pub const PROPERTIES_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one property value. It is also the default limit of a message of MQTT or WebSocket, so that a value from
/// one protocol can be delivered by every other.
pub const PROPERTY_VALUE_BYTES_MAX: usize = 128 * 1024;

/// Values in one property update. One update becomes one notification, so this bounds a notification too.
pub const PROPERTY_VALUES_MAX: usize = 500;

/// Characters of the key of an identifier.
pub const IDENTIFIER_KEY_CHARS_MAX: usize = 128;

/// Characters of an identifier.
pub const IDENTIFIER_CHARS_MAX: usize = 1_024;

/// Arrays and objects inside one another in a value that a user may store. Parsers of other languages give up between
/// 128 and 10,000; a deeper value would break every client that reads the resource.
pub const JSON_DEPTH_MAX: usize = 100;

/// Bytes of a topic string with its options, as MQTT's two-byte length allows at most 65,535.
/// The longest row with every option needs less than 1 KiB; the rest is for percent-encoding.
pub const TOPIC_BYTES_MAX: usize = 4_096;

/// Milliseconds since the epoch that a timestamp may say at the most: what JavaScript can hold exactly.
pub const TIMESTAMP_MS_MAX: i64 = 9_007_199_254_740_991;

/// Thngs, or collections, that one call may put into a collection, and that one notification of it names.
/// Source: the platform's own limit for `PUT /collections/:id/thngs`.
pub const MEMBERSHIP_MAX: usize = 10_000;

/// Collections that something can be put into when it is created. They are all shown in its document.
pub const COLLECTIONS_MAX: usize = 100;

/// Characters of an email address; the longest that mail servers carry is 254.
pub const EMAIL_CHARS_MAX: usize = 254;

/// Access policies of one access token or operator. They are all read when its key is first used.
pub const POLICIES_MAX: usize = 100;

/// Permissions of one role or access policy.
pub const PERMISSIONS_MAX: usize = 200;

/// Characters of the password of an application user. More would let logins with garbage cost the server work.
pub const PASSWORD_CHARS: (usize, usize) = (8, 64);

/// Actions that one call may create. Each is checked before the first is stored.
pub const ACTIONS_MAX: usize = 500;

/// Bytes of a resource's own document, without its properties: it goes out as one message on its topic, and a message
/// of MQTT or WebSocket holds as much by default.
pub const DOCUMENT_BYTES_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use alloc::{
        format,
        string::{String, ToString as _},
    };

    use thng_pubsub_doc_tables::assert_documented;

    use super::*;

    /// A number as people read it: `10,000`, `128 KiB`.
    fn shown(number: usize, unit: &str) -> String {
        match (unit, number) {
            ("bytes", n) if n % (1024 * 1024) == 0 => format!("{} MiB", n / (1024 * 1024)),
            ("bytes", n) if n % 1024 == 0 => format!("{} KiB", n / 1024),
            ("", n) if n >= 1000 => format!("{},{:03}", n / 1000, n % 1000),
            ("", n) => n.to_string(),
            (unit, n) => format!("{} {unit}", shown(n, "")),
        }
    }

    #[test]
    fn every_limit_is_documented() {
        let (password_min, password_max) = PASSWORD_CHARS;
        let rows = [
            ("document of a resource, without its properties", shown(DOCUMENT_BYTES_MAX, "bytes")),
            ("`name`", shown(NAME_CHARS_MAX, "characters")),
            ("`description`", shown(DESCRIPTION_CHARS_MAX, "characters")),
            ("`tags`", format!("{}, of {}", shown(TAGS_MAX, ""), shown(TAG_CHARS_MAX, "characters"))),
            (
                "`identifiers`",
                format!(
                    "{}, of {}, with keys of {}",
                    shown(IDENTIFIERS_MAX, ""),
                    shown(IDENTIFIER_CHARS_MAX, "characters"),
                    shown(IDENTIFIER_KEY_CHARS_MAX, "")
                ),
            ),
            ("arrays and objects inside one another", shown(JSON_DEPTH_MAX, "")),
            ("projects, and users, in `scopes`", format!("{} each", shown(SCOPES_MAX, ""))),
            ("property key", shown(PROPERTY_KEY_CHARS_MAX, "characters")),
            ("property value", shown(PROPERTY_VALUE_BYTES_MAX, "bytes")),
            ("values, or locations, in one update", shown(PROPERTY_VALUES_MAX, "")),
            (
                "properties of one thng or product",
                format!(
                    "{}, with latest values of {} together",
                    shown(PROPERTIES_MAX, ""),
                    shown(PROPERTIES_BYTES_MAX, "bytes")
                ),
            ),
            ("actions in one call", shown(ACTIONS_MAX, "")),
            ("name of an action type", shown(ACTION_TYPE_BYTES_MAX, "bytes of UTF-8")),
            ("thngs, or collections, that one call adds to a collection", shown(MEMBERSHIP_MAX, "")),
            ("collections that a thng, or a collection, is in", shown(COLLECTIONS_MAX, "")),
            ("email address", shown(EMAIL_CHARS_MAX, "characters")),
            ("password", format!("{password_min} to {password_max} characters")),
            (
                "policies, and conditions, of a token or an access",
                format!("{} each", shown(POLICIES_MAX, "")),
            ),
            ("permissions of a role or a policy", shown(PERMISSIONS_MAX, "")),
            ("topic string with its options", shown(TOPIC_BYTES_MAX, "bytes")),
        ];
        let rows = rows.map(|(what, most)| [what.into(), most]);
        assert_documented("docs/rest.md", "## Limits", &["what", "maximum"], rows);
    }
}
