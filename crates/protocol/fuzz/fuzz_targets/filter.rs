//! Any text, read as a filter, and asked about other texts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thng_pubsub_protocol_fuzz::filter::check(bytes));
