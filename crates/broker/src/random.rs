//! The one source of randomness: the operating system's. Ids and API keys are made of it.

/// A byte that cannot be guessed.
pub fn byte() -> u8 {
    let mut byte = [0];
    getrandom::fill(&mut byte).expect("the operating system has a source of randomness");
    byte[0]
}
