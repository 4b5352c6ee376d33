//! Any message, read as what a socket on any path publishes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thng_pubsub_protocol_fuzz::websocket_message::check(bytes));
