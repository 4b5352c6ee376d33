//! Case folding: one spelling for all texts that differ in upper and lower case only.

use alloc::string::String;

/// The text without its case, letter by letter, as Unicode folds it in full: `Σ`, `σ` and `ς` are one letter, and `ß` is
/// `ss`. What is a part of a text is a part of the folded text.
///
/// Lower case alone does not do: it has two forms of a sigma. A letter is folded by the way over its upper case, which
/// Unicode's own table of foldings follows but for the dotless `ı`, which stays apart from `i`.
pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            _ if letter.is_ascii() => out.push(letter.to_ascii_lowercase()),
            'ı' => out.push(letter),
            _ => out.extend(letter.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_case_only_fold_to_one() {
        for (one, other) in [
            ("Λάμπας", "ΛΆΜΠΑΣ"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ﬃ", "FFI"),
            ("Kelvin", "\u{212a}elvin"),
            ("ǅ", "ǆ"),
            ("İ", "i\u{307}"),
            ("ſ", "S"),
            ("ᾳ", "ΑΙ"),
            ("Ა", "ა"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} and {other}");
        }
        for (one, other) in [("ı", "i"), ("e", "é"), ("o", "0")] {
            assert_ne!(folded(one), folded(other), "{one} and {other}");
        }
    }
}
