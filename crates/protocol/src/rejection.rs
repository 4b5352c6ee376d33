//! The answer to a refused publish, for clients that ask for it.
//!
//! MQTT 3.1.1 has no packet that says why a publish was refused. A client that subscribes to [`TOPIC`] at QoS 0 gets a
//! PUBLISH on it for each of its publishes that is refused, directly before the PUBACK or PUBREC.

#[cfg(feature = "payload")]
use alloc::string::String;

use crate::mqtt::PacketId;
#[cfg(feature = "payload")]
use crate::payload::ErrorDocument;

/// The reserved topic. It is no resource: nothing can be published on it, and other servers know nothing of it.
pub const TOPIC: &str = "$thng-pubsub/rejections";

/// What the document of a publish with a packet identifier begins with.
const HEAD: &[u8] = b"{\"packetId\":";

/// Which publish a document is about; `None` for one at QoS 0, which has no packet identifier.
///
/// The rest of the document is the reader's: in a browser JSON belongs to JavaScript.
#[must_use]
pub fn packet_id(document: &[u8]) -> Option<PacketId> {
    let rest = document.strip_prefix(HEAD)?;
    let digits = &rest[..rest.iter().position(|byte| !byte.is_ascii_digit())?];
    PacketId::new(core::str::from_utf8(digits).ok()?.parse().ok()?)
}

/// One refused publish.
#[cfg(feature = "payload")]
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection<'a> {
    /// The packet identifier; none at QoS 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_id: Option<u16>,
    /// The path of its topic, without options and shortened, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    /// The name of the reason, as logs and metrics have it.
    reason: &'a str,
    /// Whether the same publish can succeed later.
    temporary: bool,
    /// What REST answers to the same write.
    #[serde(flatten)]
    error: ErrorDocument,
}

#[cfg(feature = "payload")]
impl<'a> Rejection<'a> {
    /// The answer to a publish that was refused for this reason.
    #[must_use]
    pub fn new(
        packet_id: Option<PacketId>,
        topic: Option<&'a str>,
        (reason, temporary): (&'a str, bool),
        error: ErrorDocument,
    ) -> Self {
        Self { packet_id: packet_id.map(PacketId::get), topic, reason, temporary, error }
    }

    /// The JSON text. The packet identifier comes first.
    #[must_use]
    pub fn to_json(&self) -> String {
        crate::payload::to_json(self)
    }
}

#[cfg(all(test, feature = "payload"))]
mod tests {
    use super::*;
    use crate::payload::ErrorCode;

    fn json(id: Option<u16>) -> String {
        let error = ErrorDocument::new(ErrorCode::NOT_FOUND, ["Gone.".into()].into());
        let id = id.and_then(PacketId::new);
        Rejection::new(id, Some("t"), ("not_found", false), error).to_json()
    }

    #[test]
    fn a_rejection_is_the_error_document_with_its_publish() {
        let rest = r#""topic":"t","reason":"not_found","temporary":false,"status":404,"errors":["Gone."],"code":16777216,"moreInfo":"/docs/errors#16777216"}"#;
        assert_eq!(json(Some(7)), [r#"{"packetId":7,"#, rest].concat());
        assert_eq!(json(None), ["{", rest].concat());
    }

    #[test]
    fn the_packet_identifier_of_a_rejection_is_read_back() {
        for id in [1, 9, 10, 60_000, u16::MAX] {
            assert_eq!(packet_id(json(Some(id)).as_bytes()).map(PacketId::get), Some(id));
        }
        assert_eq!(packet_id(json(None).as_bytes()), None);
    }

    #[test]
    fn what_is_no_rejection_has_no_packet_identifier() {
        for document in [
            "",
            "{",
            "{\"packetId\":",
            "{\"packetId\":7",
            "{\"packetId\":0}",
            "{\"packetId\":70000}",
            "{\"packetId\":-1}",
            " {\"packetId\":7}",
        ] {
            assert_eq!(packet_id(document.as_bytes()), None, "{document}");
        }
    }
}
