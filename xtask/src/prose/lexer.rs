//! Finds the comments and the string literals of Rust, JavaScript and TypeScript source text.
//!
//! The lexer knows just enough of both grammars to skip everything else. It never fails: text that is no valid
//! program gives some pieces or none.

/// The grammar of a source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    JavaScript,
}

/// A part of a source text that can hold prose.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// Each line of its text with its number in the file. An escaped line break keeps the number.
    pub(super) lines: Vec<(usize, String)>,
}

/// What a piece is in the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A comment that documents a module or a crate of Rust.
    ModuleDoc,
    /// A comment that documents an item.
    Doc,
    /// Any other comment.
    Comment,
    /// The value of a string literal.
    Literal,
}

/// Every comment and string literal, in order. Line comments on neighboring lines form one piece.
pub(super) fn pieces(text: &str, language: Language) -> Vec<Piece> {
    let chars: Vec<char> = text.chars().collect();
    let mut lexer =
        Lexer { chars, at: 0, line: 1, language, last: None, pieces: Vec::new(), open_comment: None };
    lexer.run();
    lexer.pieces
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    language: Language,
    /// The last character of code that is not white space.
    last: Option<char>,
    pieces: Vec<Piece>,
    /// Marker and last line of a line comment that the next line may continue.
    open_comment: Option<(&'static str, usize)>,
}

impl Lexer {
    fn run(&mut self) {
        let mut is_line_start = true;
        while let Some(character) = self.peek(0) {
            let started = self.line;
            match (character, self.peek(1)) {
                ('/', Some('/')) => self.line_comment(is_line_start),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.literal('"'),
                ('`', _) if self.language == Language::JavaScript => self.literal('`'),
                ('\'', _) => self.quote(),
                ('r', Some('"' | '#')) if self.starts_raw_string() => self.raw_string(),
                ('/', _) if self.language == Language::JavaScript && self.is_regex_position() => self.regex(),
                _ => {
                    if !character.is_whitespace() {
                        self.last = Some(character);
                        self.open_comment = None;
                    }
                    self.next();
                }
            }
            is_line_start = self.line != started || (is_line_start && character.is_whitespace());
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek(0)?;
        self.at += 1;
        if character == '\n' {
            self.line += 1;
        }
        Some(character)
    }

    fn is_after_word(&self) -> bool {
        self.at.checked_sub(1).is_some_and(|at| self.chars[at].is_alphanumeric() || self.chars[at] == '_')
    }

    fn line_comment(&mut self, is_own_line: bool) {
        let line = self.line;
        let mut text = String::new();
        while self.peek(0).is_some_and(|character| character != '\n') {
            text.extend(self.next());
        }
        let marker = ["//!", "///", "//"].into_iter().find(|mark| text.starts_with(mark)).unwrap_or("//");
        let kind = match marker {
            "//!" => Kind::ModuleDoc,
            "///" if !text.starts_with("////") => Kind::Doc,
            _ => Kind::Comment,
        };
        let text = text[marker.len()..].to_owned();
        let continues = is_own_line && self.open_comment == Some((marker, line - 1));
        match self.pieces.last_mut() {
            Some(piece) if continues => piece.lines.push((line, text)),
            _ => self.pieces.push(Piece { kind, lines: vec![(line, text)] }),
        }
        self.open_comment = is_own_line.then_some((marker, line));
    }

    fn block_comment(&mut self) {
        self.open_comment = None;
        let is_doc = matches!(self.peek(2), Some('*' | '!')) && self.peek(3) != Some('/');
        let mut lines = vec![(self.line, String::new())];
        self.at += 2;
        let mut depth = 1;
        while let Some(character) = self.next() {
            match (character, self.peek(0)) {
                ('*', Some('/')) => {
                    self.at += 1;
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                ('/', Some('*')) if self.language == Language::Rust => depth += 1,
                ('\n', _) => lines.push((self.line, String::new())),
                _ => push(&mut lines, character),
            }
        }
        for (_, text) in &mut lines {
            *text = text.trim_start().trim_start_matches('*').to_owned();
        }
        self.pieces.push(Piece { kind: if is_doc { Kind::Doc } else { Kind::Comment }, lines });
    }

    /// A string with escapes, which ends in `end`.
    fn literal(&mut self, end: char) {
        self.open_comment = None;
        let mut lines = vec![(self.line, String::new())];
        self.next();
        while let Some(character) = self.next() {
            match character {
                '\\' => self.escape(&mut lines),
                '\n' => lines.push((self.line, String::new())),
                '$' if end == '`' && self.peek(0) == Some('{') => {
                    self.substitution();
                    lines.last_mut().expect("a literal has a line").1.push_str("{}");
                }
                _ if character == end => break,
                _ => push(&mut lines, character),
            }
        }
        self.last = Some(end);
        self.pieces.push(Piece { kind: Kind::Literal, lines });
    }

    fn escape(&mut self, lines: &mut Vec<(usize, String)>) {
        match self.next() {
            Some('n') => lines.push((self.line, String::new())),
            Some('t' | 'r') => push(lines, ' '),
            // The line is continued without its white space.
            Some('\n') => {
                while self.peek(0).is_some_and(char::is_whitespace) {
                    self.next();
                }
            }
            Some(other) => push(lines, other),
            None => {}
        }
    }

    /// Skips `{…}` of a template literal.
    fn substitution(&mut self) {
        let mut depth = 0;
        while let Some(character) = self.next() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// `'`: a string of JavaScript; a character or a lifetime of Rust.
    fn quote(&mut self) {
        if self.language == Language::JavaScript {
            return self.literal('\'');
        }
        self.last = Some('\'');
        if self.peek(1) == Some('\\') {
            self.at += 3;
            while self.next().is_some_and(|character| character != '\'') {}
        } else if self.peek(2) == Some('\'') {
            self.at += 3;
        } else {
            self.next();
        }
    }

    fn starts_raw_string(&self) -> bool {
        let is_prefixed = self.at >= 1 && matches!(self.chars[self.at - 1], 'b' | 'c');
        let mut end = 1;
        while self.peek(end) == Some('#') {
            end += 1;
        }
        self.language == Language::Rust
            && (is_prefixed || !self.is_after_word())
            && self.peek(end) == Some('"')
    }

    fn raw_string(&mut self) {
        self.open_comment = None;
        self.next();
        let mut hashes = 0;
        while self.next() == Some('#') {
            hashes += 1;
        }
        let mut lines = vec![(self.line, String::new())];
        while let Some(character) = self.next() {
            let closes = character == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#'));
            match character {
                _ if closes => break,
                '\n' => lines.push((self.line, String::new())),
                _ => push(&mut lines, character),
            }
        }
        self.at += hashes;
        self.pieces.push(Piece { kind: Kind::Literal, lines });
    }

    /// Whether a `/` starts a regular expression: it does where no value stands before it that could be divided.
    fn is_regex_position(&self) -> bool {
        self.last.is_none_or(|last| {
            !(last.is_alphanumeric() || matches!(last, '_' | '$' | ')' | ']' | '"' | '\'' | '`'))
        })
    }

    fn regex(&mut self) {
        self.last = Some('`');
        self.next();
        let mut is_class = false;
        while let Some(character) = self.next() {
            match character {
                '\\' => {
                    self.next();
                }
                '[' => is_class = true,
                ']' => is_class = false,
                '\n' => return,
                '/' if !is_class => return,
                _ => {}
            }
        }
    }
}

fn push(lines: &mut [(usize, String)], character: char) {
    if let Some((_, text)) = lines.last_mut() {
        text.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, language: Language) -> Vec<(Kind, usize, String)> {
        let joined = |piece: Piece| {
            let text: Vec<String> = piece.lines.iter().map(|(_, text)| text.clone()).collect();
            (piece.kind, piece.lines[0].0, text.join("|"))
        };
        pieces(text, language).into_iter().map(joined).collect()
    }

    #[test]
    fn neighboring_line_comments_of_one_kind_are_one_piece() {
        let text = "//! a\n//! b\n\n/// c\n// d\nlet x = 1; // e\n// f\n";
        let expected = [
            (Kind::ModuleDoc, 1, " a| b".to_owned()),
            (Kind::Doc, 4, " c".to_owned()),
            (Kind::Comment, 5, " d".to_owned()),
            (Kind::Comment, 6, " e".to_owned()),
            (Kind::Comment, 7, " f".to_owned()),
        ];
        assert_eq!(found(text, Language::Rust), expected);
    }

    #[test]
    fn rust_strings_are_found_in_every_spelling() {
        let text = "f(\"a \\\"b\\\" \\\n   c\\nd\", r#\"raw \"x\" // y\"#, b\"bytes\")";
        let texts: Vec<String> = found(text, Language::Rust).into_iter().map(|piece| piece.2).collect();
        assert_eq!(texts, ["a \"b\" c|d", "raw \"x\" // y", "bytes"]);
    }

    #[test]
    fn characters_and_lifetimes_open_no_string() {
        let text = "fn f<'a>(x: &'a str) { g('\"', '\\'', '\\u{22}', \"one\") }";
        assert_eq!(found(text, Language::Rust), [(Kind::Literal, 1, "one".to_owned())]);
    }

    #[test]
    fn javascript_strings_templates_and_comments_are_found() {
        let text = "/** Doc.\n * More. */\nf('it\\'s', `a ${g({ b: 1 })} c`) // end\n";
        let expected = [
            (Kind::Doc, 1, " Doc.| More. ".to_owned()),
            (Kind::Literal, 3, "it's".to_owned()),
            (Kind::Literal, 3, "a {} c".to_owned()),
            (Kind::Comment, 3, " end".to_owned()),
        ];
        assert_eq!(found(text, Language::JavaScript), expected);
    }

    #[test]
    fn regular_expressions_and_divisions_open_no_string() {
        let text = "x.replace(/[\"'/]/g, 'one'); y = a / b; z = 'two'";
        let texts: Vec<String> = found(text, Language::JavaScript).into_iter().map(|piece| piece.2).collect();
        assert_eq!(texts, ["one", "two"]);
    }
}
