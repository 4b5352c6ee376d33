//! The checks of the fuzz targets: one module a target, with a function `check` that panics where a promise is broken.
//!
//! A fuzz target (`fuzz_targets/`) calls it with inputs of the fuzzer. A test of the protocol crate
//! (`tests/fuzz_corpus.rs`) includes this file and calls it with the committed corpus on every test run.
//! What is read is compared with an oracle that is written in another way, or with what is read from its own output.

pub mod filter;
pub mod mqtt_decode;
pub mod payload;
pub mod topic;
pub mod websocket_message;

mod reader;

/// What a target is called, as its corpus is, and what it runs with each input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 5] = [
    ("mqtt_decode", mqtt_decode::check),
    ("topic", topic::check),
    ("filter", filter::check),
    ("websocket_message", websocket_message::check),
    ("payload", payload::check),
];

/// Undoes the percent-escapes of a text; nothing where one is cut or the outcome is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.as_bytes().first_chunk::<2>()?;
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        bytes.push(value(digits[0])? * 16 + value(digits[1])?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}
