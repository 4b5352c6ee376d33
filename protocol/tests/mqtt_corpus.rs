//! What the fuzzer was given and what it found, replayed on every test run.

use std::path::Path;

#[path = "../fuzz/src/check.rs"]
mod check;

#[test]
fn the_decoder_keeps_its_promises_on_the_whole_fuzz_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/mqtt_decode");
    let mut inputs = 0;
    for entry in corpus.read_dir().unwrap() {
        check::check(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 20, "the corpus in {} is gone: {inputs} inputs", corpus.display());
}
