//! Any body, read by any reader of JSON documents.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thng_pubsub_protocol_fuzz::payload::check(bytes));
