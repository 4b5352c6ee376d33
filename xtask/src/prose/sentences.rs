//! Splits a passage into sentences, and a sentence into words.
//!
//! Inline code (in backticks) counts as one word and is never looked into, and neither is a placeholder in braces.

use super::passages::Passage;

/// Words before a period that does not end a sentence.
const ABBREVIATIONS: [&str; 8] = ["e.g", "i.e", "vs", "cf", "resp", "approx", "no", "incl"];

/// One sentence of a passage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    /// The line in the file on which it begins.
    pub(super) line: usize,
    pub(super) text: String,
}

/// A word of a sentence in lower case, without a possessive ending.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// How many line breaks of the sentence are before it.
    pub(super) row: usize,
}

/// The sentences of a passage.
pub(super) fn sentences(passage: &Passage) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    let mut text = String::new();
    let mut start = None;
    for (at, (line, row)) in passage.lines.iter().enumerate() {
        let next_row = passage.lines.get(at + 1).map_or("", |(_, text)| text.trim_start());
        for (token, next) in tokens_with_next(row, next_row) {
            let first = *start.get_or_insert(*line);
            text.push_str(token);
            if ends_sentence(token, next) {
                sentences.push(Sentence { line: first, text: std::mem::take(&mut text) });
                start = None;
            } else {
                text.push(' ');
            }
        }
        if start.is_some() {
            text.pop();
            text.push('\n');
        }
    }
    if let Some(line) = start {
        sentences.push(Sentence { line, text: text.trim_end().to_owned() });
    }
    sentences
}

/// Each token of a row with the one behind it, for the last the first of the next row.
fn tokens_with_next<'a>(row: &'a str, next_row: &'a str) -> Vec<(&'a str, &'a str)> {
    let tokens: Vec<&str> = split_outside_code(row);
    let first_of_next = split_outside_code(next_row).first().copied().unwrap_or_default();
    let following = tokens.iter().skip(1).copied().chain([first_of_next]);
    tokens.iter().copied().zip(following).collect()
}

/// The parts between spaces; a space inside backticks separates nothing.
fn split_outside_code(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let parts = text.split(move |character: char| {
        is_code ^= character == '`';
        !is_code && matches!(character, ' ' | '\t' | '\n')
    });
    parts.filter(|part| !part.is_empty()).collect()
}

fn ends_sentence(token: &str, next: &str) -> bool {
    let bare = token.trim_end_matches([')', '"', '\'', '”', '’', ']']);
    let Some(word) = bare.strip_suffix(['.', '!', '?']) else { return false };
    let word = word.trim_start_matches(['(', '"']).to_lowercase();
    let goes_on = next.starts_with(|character: char| character.is_lowercase());
    !goes_on && !word.is_empty() && !ABBREVIATIONS.contains(&word.as_str())
}

/// How many words a sentence has: parts between spaces with at least one letter or digit.
pub(super) fn length(sentence: &str) -> usize {
    let has_word =
        |part: &&str| part.chars().any(|character| character.is_alphanumeric() || character == '{');
    split_outside_code(sentence).into_iter().filter(has_word).count()
}

/// The words of a sentence outside of code, placeholders, paths and options.
pub(super) fn words(sentence: &str) -> Vec<Word> {
    let mut words = Vec::new();
    for (row, line) in sentence.split('\n').enumerate() {
        let prose = without_code(line);
        for token in prose.split_whitespace().filter(|token| !is_name(token)) {
            let parts = token.split(|character: char| {
                !character.is_alphanumeric() && character != '\'' && character != '’'
            });
            for part in parts {
                let part = part.trim_matches(['\'', '’']).to_lowercase();
                let text = part.strip_suffix("'s").or_else(|| part.strip_suffix("’s")).unwrap_or(&part);
                if !text.is_empty() {
                    words.push(Word { text: text.to_owned(), row });
                }
            }
        }
    }
    words
}

/// The line with a neutral sign in place of inline code and placeholders.
fn without_code(line: &str) -> String {
    let mut prose = String::new();
    let mut closing = None;
    for character in line.chars() {
        match closing {
            Some(end) if character == end => closing = None,
            Some(_) => {}
            None if character == '`' => closing = Some('`'),
            None if character == '{' => closing = Some('}'),
            None => {
                prose.push(character);
                continue;
            }
        }
        if closing.is_none() {
            prose.push_str(" \u{b7} ");
        }
    }
    prose
}

/// Whether a token is an option, a path, an address or an identifier.
fn is_name(token: &str) -> bool {
    token.starts_with("--") || ["_", "::", "://", ".rs", ".md", ".js"].iter().any(|mark| token.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::super::passages::Shape;
    use super::*;

    fn split(text: &str) -> Vec<(usize, String)> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned())).collect();
        let passage = Passage { shape: Shape::Prose, lines };
        sentences(&passage).into_iter().map(|one| (one.line, one.text)).collect()
    }

    #[test]
    fn sentences_end_at_periods_and_go_on_over_lines() {
        let expected =
            [(1, "One goes\non.".to_owned()), (2, "Two?".to_owned()), (2, "Three: a; b".to_owned())];
        assert_eq!(split("One goes\non. Two? Three: a; b"), expected);
    }

    #[test]
    fn abbreviations_numbers_and_code_end_no_sentence() {
        for text in ["A port, e.g. 80, of 1.5 MB.", "See `a. B` there.", "Node.js 20.19 or newer vs. Deno."] {
            assert_eq!(split(text), [(1, text.to_owned())]);
        }
    }

    #[test]
    fn code_and_placeholders_count_as_one_word_each() {
        assert_eq!(length("Run `cargo xtask lint prose` for {count} files – now."), 6);
    }

    #[test]
    fn words_leave_out_code_options_and_paths() {
        let found = words("Nobody's `door` is --kept-max in a/b.rs, {told} or\nself-made.");
        let texts: Vec<(&str, usize)> = found.iter().map(|word| (word.text.as_str(), word.row)).collect();
        let expected =
            [("nobody", 0), ("·", 0), ("is", 0), ("in", 0), ("·", 0), ("or", 0), ("self", 1), ("made", 1)];
        let expected: Vec<_> = expected.into_iter().filter(|(text, _)| *text != "·").collect();
        assert_eq!(texts, expected);
    }
}
