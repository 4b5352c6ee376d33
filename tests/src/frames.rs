//! WebSocket by hand: handshakes and frames that no library would send, and the server's frames one by one.
//!
//! For sockets that behave there is [`crate::websocket`].

use crate::link::{Arrival, Link, Raw};
use crate::server::{KEY, Server};
use crate::wait::WAIT_MAX;
use crate::websocket::CloseOutcome;

/// The line of a handshake that has the client's nonce.
pub const NONCE: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The line that chooses MQTT.
pub const MQTT: &str = "Sec-WebSocket-Protocol: mqtt\r\n";

const FIN: u8 = 0x80;
const CLOSE: u8 = 0x8;

/// A handshake on this path with [`KEY`], and with further lines of its head; at `/mqtt` with the sub-protocol.
#[must_use]
pub fn handshake(path: &str, lines: &str) -> String {
    let sub_protocol = if path == "/mqtt" { MQTT } else { "" };
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         {NONCE}Authorization: {KEY}\r\n{sub_protocol}{lines}\r\n"
    )
}

/// A frame as a client has to mask it: its first byte, and what it carries.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(FIN | length as u8),
        length @ 126..65_536 => {
            frame.push(FIN | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(FIN | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The number of an answer's status line, or `None` where the server hung up without an answer.
#[must_use]
pub fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// A frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// An open WebSocket of which a test sees every byte.
#[derive(Debug)]
pub struct Frames {
    raw: Raw,
    unread: Vec<u8>,
    /// The head of the answer to the handshake.
    pub head: String,
}

impl Frames {
    /// Opens a path.
    #[must_use]
    #[track_caller]
    pub fn open(server: &Server, path: &str) -> Frames {
        Frames::opened(Raw::connect(server.http()).with(handshake(path, "").as_bytes()))
    }

    /// What a connection becomes that has sent its handshake, and perhaps more.
    ///
    /// # Panics
    /// When the server does not agree.
    #[must_use]
    #[track_caller]
    pub fn opened(mut raw: Raw) -> Frames {
        let end_of = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        let mut received = raw.read_until(|received| end_of(received).is_some());
        let unread = received.split_off(end_of(&received).expect("it was read until there"));
        let head = String::from_utf8(received).expect("a head is text");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Frames { raw, unread, head }
    }

    /// Sends bytes that need not be a frame.
    pub fn send(&mut self, bytes: &[u8]) {
        self.raw.send(bytes);
    }

    /// The next frame; `None` when the connection has ended.
    ///
    /// # Panics
    /// When neither comes, or a frame breaks the rules of servers.
    #[track_caller]
    pub fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decode() {
                return Some(frame);
            }
            match self.raw.receive(WAIT_MAX) {
                Arrival::Bytes(bytes) => self.unread.extend(bytes),
                Arrival::Closed => return None,
                Arrival::Nothing => panic!("neither a frame nor the end came in {WAIT_MAX:?}"),
            }
        }
    }

    /// The payload of the next frame, which has to be of this kind.
    #[track_caller]
    pub fn payload(&mut self, opcode: u8) -> Vec<u8> {
        match self.receive() {
            Some(frame) if frame.opcode == opcode => frame.payload,
            other => panic!("a frame of opcode {opcode} was to come, not {other:?}"),
        }
    }

    /// Waits for the server to end the connection, without a word to it, as [`CloseOutcome::Code`] with its close frame's code.
    ///
    /// # Panics
    /// When it does not, or sends data first.
    #[track_caller]
    pub fn ended(&mut self) -> CloseOutcome {
        let mut end = CloseOutcome::Cut;
        while let Some(frame) = self.receive() {
            match (frame.opcode, &*frame.payload) {
                (CLOSE, [high, low, ..]) => end = CloseOutcome::Code(u16::from_be_bytes([*high, *low])),
                (CLOSE, []) => {}
                (9 | 10, _) => continue,
                _ => panic!("the connection was to end, but there came {frame:?}"),
            }
            // Nothing comes after a close frame; that nothing comes from here either lets the server go at once.
            self.raw.finish();
        }
        end
    }

    #[track_caller]
    fn decode(&mut self) -> Option<Frame> {
        let [first, second, rest @ ..] = &*self.unread else { return None };
        assert_eq!(second & FIN, 0, "a server masks nothing");
        assert_eq!(first & !0xf, FIN, "a server sends whole frames without reserved bits, not {first:02x}");
        let (length, from) = match second {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).expect("a length"), 10),
            length => (usize::from(*length), 2),
        };
        let frame = Frame { opcode: first & 0xf, payload: self.unread.get(from..from + length)?.to_vec() };
        self.unread.drain(..from + length);
        Some(frame)
    }
}
