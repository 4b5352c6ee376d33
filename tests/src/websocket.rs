//! WebSocket connections: the native one on a topic's own path, and the link that MQTT runs on.
//!
//! Handshake and frames are tungstenite's; what no client sends is written by hand through [`crate::link::Raw`].

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::{HeaderValue, header};
use tungstenite::{Error, Message};

use crate::link::{Arrival, Link, Raw, Stream};
use crate::server::Server;
use crate::tls::Trust;
use crate::wait::WAIT_MAX;

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    socket: tungstenite::WebSocket<Stream>,
    /// The sub-protocol that the server chose.
    pub protocol: Option<String>,
}

/// How the server's side of a WebSocket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseOutcome {
    /// With a close frame of this code.
    Code(u16),
    /// Without one.
    Cut,
}

impl WebSocket {
    /// Opens a topic with the operator's key in the `Authorization` header.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    #[track_caller]
    pub fn open(server: &Server, topic: &str) -> WebSocket {
        WebSocket::request(server, topic, &[("Authorization", server.key())])
            .unwrap_or_else(|status| panic!("{topic} was refused with {status}"))
    }

    /// Opens a path with these headers.
    ///
    /// # Errors
    /// The HTTP status, when the server answers anything but an upgrade.
    #[track_caller]
    pub fn request(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> Result<WebSocket, u16> {
        let url = format!("ws://{}/{}", server.http(), path.trim_start_matches('/'));
        WebSocket::handshake(Raw::connect(server.http()), url, headers)
    }

    /// As [`WebSocket::request`], over HTTPS.
    ///
    /// # Errors
    /// The same.
    #[track_caller]
    pub fn request_over_tls(
        server: &Server,
        trust: &Trust,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<WebSocket, u16> {
        let url = format!("wss://{}/{}", server.https(), path.trim_start_matches('/'));
        WebSocket::handshake(trust.connect(server.https()), url, headers)
    }

    #[track_caller]
    fn handshake(raw: Raw, url: String, headers: &[(&'static str, &str)]) -> Result<WebSocket, u16> {
        let mut request = url.as_str().into_client_request().expect("the path is a URL's");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header's value");
            request.headers_mut().insert(*name, value);
        }
        let stream = raw.into_stream();
        stream.tcp().set_read_timeout(Some(WAIT_MAX)).expect("a timeout can be set");
        match tungstenite::client(request, stream) {
            Ok((socket, answer)) => {
                let protocol = answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
                let protocol = protocol.map(|value| value.to_str().expect("a token is ASCII").to_owned());
                assert!(
                    !answer.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS),
                    "an extension was agreed on that nobody offered"
                );
                Ok(WebSocket { socket, protocol })
            }
            Err(HandshakeError::Failure(Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(error) => panic!("the handshake on {url} failed: {error}"),
        }
    }

    /// Sends one message.
    pub fn send(&mut self, message: impl Into<Message>) {
        // That the other side has closed shows at the next read.
        let _ = self.socket.send(message.into());
    }

    /// The next message, at most `timeout` from now; `Ok(None)` when the time is up.
    ///
    /// # Errors
    /// How the connection ended.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Message>, CloseOutcome> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.get_mut().tcp().set_read_timeout(Some(left)).expect("a timeout can be set");
            match self.socket.read() {
                Ok(Message::Close(frame)) => {
                    // The answer to the close frame, and what the server still sends, are read to the end.
                    while self.socket.read().is_ok() {}
                    return Err(
                        frame.map_or(CloseOutcome::Cut, |frame| CloseOutcome::Code(frame.code.into()))
                    );
                }
                Ok(message) => return Ok(Some(message)),
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if Instant::now() >= deadline {
                        return Ok(None);
                    }
                }
                Err(_) => return Err(CloseOutcome::Cut),
            }
        }
    }

    /// The text of the next message.
    ///
    /// # Panics
    /// When none comes, or it is not a text frame.
    #[track_caller]
    pub fn text(&mut self) -> String {
        match self.receive(WAIT_MAX) {
            Ok(Some(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("expected a text frame, not {other:?}"),
        }
    }

    /// The JSON of the next message.
    #[track_caller]
    pub fn json(&mut self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
    }

    /// Waits for the server to end the connection.
    ///
    /// # Panics
    /// When it does not, or sends a data message first.
    #[track_caller]
    pub fn ended(&mut self) -> CloseOutcome {
        match self.receive(WAIT_MAX) {
            Err(end) => end,
            Ok(message) => panic!("the connection was to end, but there came {message:?}"),
        }
    }

    /// Ends the connection as a polite client does.
    ///
    /// # Panics
    /// When the server does not answer the close frame.
    #[track_caller]
    pub fn close(mut self) {
        self.socket.close(None).expect("a close frame can be sent");
        loop {
            match self.socket.read() {
                Ok(_) => {}
                Err(Error::ConnectionClosed) => return,
                Err(error) => panic!("the close frame was not answered: {error}"),
            }
        }
    }

    /// The stream underneath, to write frames by hand.
    #[must_use]
    pub fn stream(&mut self) -> &mut Stream {
        self.socket.get_mut()
    }
}

/// MQTT's bytes in binary frames at `/mqtt`.
#[derive(Debug)]
pub struct MqttFrames {
    /// The WebSocket underneath.
    pub socket: WebSocket,
}

impl MqttFrames {
    /// Opens `/mqtt` with a sub-protocol, which the server must choose.
    #[must_use]
    #[track_caller]
    pub fn open(server: &Server, protocol: &str) -> MqttFrames {
        MqttFrames::opened(
            WebSocket::request(server, "/mqtt", &[("Sec-WebSocket-Protocol", protocol)]),
            protocol,
        )
    }

    /// As [`MqttFrames::open`], over HTTPS.
    #[must_use]
    #[track_caller]
    pub fn open_over_tls(server: &Server, trust: &Trust, protocol: &str) -> MqttFrames {
        let headers = [("Sec-WebSocket-Protocol", protocol)];
        MqttFrames::opened(WebSocket::request_over_tls(server, trust, "/mqtt", &headers), protocol)
    }

    #[track_caller]
    fn opened(answer: Result<WebSocket, u16>, protocol: &str) -> MqttFrames {
        let socket = answer.unwrap_or_else(|status| panic!("/mqtt was refused with {status}"));
        assert_eq!(socket.protocol.as_deref(), Some(protocol), "the sub-protocol that the server chose");
        MqttFrames { socket }
    }
}

impl Link for MqttFrames {
    fn send(&mut self, bytes: &[u8]) {
        self.socket.send(Message::binary(bytes.to_vec()));
    }

    fn receive(&mut self, timeout: Duration) -> Arrival {
        match self.socket.receive(timeout) {
            Ok(Some(Message::Binary(bytes))) => Arrival::Bytes(bytes.to_vec()),
            // A ping is answered by tungstenite with its next write or read.
            Ok(Some(Message::Ping(_) | Message::Pong(_))) => Arrival::Bytes(Vec::new()),
            Ok(Some(other)) => panic!("MQTT travels in binary frames, not in {other:?}"),
            Ok(None) => Arrival::Nothing,
            Err(_) => Arrival::Closed,
        }
    }

    fn cut(&mut self) {
        let _ = self.socket.stream().tcp().shutdown(std::net::Shutdown::Both);
    }
}
