//! Any bytes, read as a connection by either side.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| thng_pubsub_protocol_fuzz::mqtt_decode::check(bytes));
