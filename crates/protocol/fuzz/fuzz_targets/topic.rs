//! Any text, read as a topic with its options.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thng_pubsub_protocol_fuzz::topic::check(bytes));
