//! Shared parts of both kinds of WebSocket: the handshake, the bounds, and the close.

use std::{error::Error as _, time::Duration};

use axum::{
    extract::{
        FromRequestParts as _, Request, WebSocketUpgrade,
        ws::{
            CloseCode, CloseFrame, Message, Utf8Bytes, WebSocket, close_code,
            rejection::WebSocketUpgradeRejection,
        },
    },
    http::{HeaderValue, header},
    response::Response,
};
use thng_pubsub_protocol::payload::ErrorCode;
use tungstenite::error::{CapacityError, Error};

use super::{answer, message_bound};

/// Buffer of one WebSocket, in bytes: small, since most sockets are quiet; large messages go in several reads.
const BUFFER_BYTES: usize = 4 * 1024;

/// With what sockets are closed when the server stops.
pub(super) const RESTART: (CloseCode, &str) = (close_code::RESTART, "the server is stopping");

/// How long a closing handshake may take.
const CLOSING: Duration = Duration::from_secs(1);

/// Reads a handshake, and bounds what the socket will take.
///
/// # Errors
/// The response to a request that is none, in our words.
pub(super) async fn handshake(
    request: Request,
    message_bytes_max: usize,
) -> Result<WebSocketUpgrade, Response> {
    let (mut parts, _) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.map_err(refuse)?;
    Ok(upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(message_bytes_max)
        .max_frame_size(message_bytes_max))
}

fn refuse(rejection: WebSocketUpgradeRejection) -> Response {
    use WebSocketUpgradeRejection::{
        ConnectionNotUpgradable, InvalidConnectionHeader, InvalidUpgradeHeader, InvalidWebSocketVersionHeader,
    };
    let sentence = match rejection {
        InvalidConnectionHeader(_) | InvalidUpgradeHeader(_) | ConnectionNotUpgradable(_) => {
            "This address speaks WebSocket only."
        }
        InvalidWebSocketVersionHeader(_) => "This server speaks version 13 of the WebSocket protocol.",
        _ => {
            let sentence = format!("This is no WebSocket handshake: {}", rejection.body_text());
            return answer::refuse(ErrorCode::INVALID, &sentence);
        }
    };
    let mut response = answer::refuse(ErrorCode::UPGRADE, sentence);
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// With what code to close a socket that broke a rule, or `None` where the peer is simply gone. (RFC 6455, 7.4.1)
pub(super) fn broken_rule(error: &axum::Error) -> Option<(CloseCode, &'static str)> {
    match error.source()?.downcast_ref::<Error>()? {
        Error::Io(error)
            if error.get_ref().is_some_and(|error| error.is::<message_bound::TooManyBytes>()) =>
        {
            Some((
                close_code::SIZE,
                "the message is larger than this server takes from a client without a key",
            ))
        }
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Some((close_code::SIZE, "the message is larger than this server takes"))
        }
        Error::Utf8(_) => Some((close_code::INVALID, "the text is not UTF-8")),
        Error::Protocol(_) => Some((close_code::PROTOCOL, "the WebSocket protocol was broken")),
        _ => None,
    }
}

/// Closes a socket from our side and waits a moment for the peer to agree.
pub(super) async fn close(mut socket: WebSocket, code: CloseCode, reason: &'static str) {
    let farewell = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
    let closing = async {
        if socket.send(farewell).await.is_ok() {
            drain(&mut socket).await;
        }
    };
    // A peer that does not take its farewell in time does without.
    let _ = tokio::time::timeout(CLOSING, closing).await;
}

/// The peer has closed: reading on sends the closing answer.
pub(super) async fn agree_to_close(mut socket: WebSocket) {
    let _ = tokio::time::timeout(CLOSING, drain(&mut socket)).await;
}

async fn drain(socket: &mut WebSocket) {
    while let Some(Ok(_)) = socket.recv().await {}
}
