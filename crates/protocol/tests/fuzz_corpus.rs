//! Replays the fuzzer's corpus and findings on every test run.
#![cfg(feature = "payload")]

use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is public in the crate of the fuzz targets")]
mod fuzz;

/// Replays the corpus of one target. An input that breaks a promise is named.
fn replay(target: &str) {
    let (_, check) = fuzz::TARGETS.into_iter().find(|(name, _)| *name == target).expect("a target");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in corpus.read_dir().expect("a target has a corpus") {
        let path = entry.expect("a corpus can be read").path();
        let bytes = std::fs::read(&path).expect("an input can be read");
        let outcome = std::panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "a promise is broken by {}: see above", path.display());
        inputs += 1;
    }
    assert!(inputs >= 30, "the corpus in {} is gone: {inputs} inputs", corpus.display());
}

#[test]
fn the_decoder_keeps_its_promises_on_the_whole_fuzz_corpus() {
    replay("mqtt_decode");
}

#[test]
fn the_topic_reader_passes_the_whole_fuzz_corpus() {
    replay("topic");
}

#[test]
fn filters_keep_their_promises_on_the_whole_fuzz_corpus() {
    replay("filter");
}

#[test]
fn websocket_messages_pass_the_whole_fuzz_corpus() {
    replay("websocket_message");
}

#[test]
fn the_document_readers_pass_the_whole_fuzz_corpus() {
    replay("payload");
}

#[test]
fn every_corpus_has_its_target() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for entry in corpora.read_dir().expect("there are corpora") {
        let name = entry.expect("a corpus").file_name();
        assert!(fuzz::TARGETS.iter().any(|(target, _)| *target == name), "{name:?}");
    }
}
