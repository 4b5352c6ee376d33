//! Finds the prose of a file: paragraphs, list items, titles and table cells, whatever the file's language.
//!
//! Comments of Rust and JavaScript are read as Markdown. Code blocks, link targets and parts that are marked as
//! generated are left out.

use super::lexer::{Kind, Language, pieces};
use crate::tidy::Source;

/// What a passage is to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A heading, or the first paragraph of a module's documentation.
    Title,
    Prose,
    /// A table cell, or text of which no sentence is expected. Its length is not limited.
    Cell,
}

/// Neighboring lines of prose that belong together, each with its number in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) shape: Shape,
    pub(super) lines: Vec<(usize, String)>,
}

/// Begins a part of a Markdown file that a program writes.
pub(super) const GENERATED: &str = "<!-- generated";

/// Ends such a part.
pub(super) const GENERATED_END: &str = "<!-- /generated";

/// First words of SQL statements and their clauses, which are strings but no sentences.
const SQL: [&str; 16] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "PRAGMA", "WITH", "BEGIN", "FROM",
    "WHERE", "AND", "ORDER", "JOIN", "VACUUM",
];

/// All passages of a file; none where its kind holds no prose.
pub(super) fn passages(source: &Source) -> Vec<Passage> {
    let numbered = source.text.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned()));
    match source.path.extension().and_then(|end| end.to_str()).unwrap_or_default() {
        "md" => markdown(numbered.collect(), Shape::Prose),
        "html" => html(numbered.collect()),
        "rs" => program(source, Language::Rust),
        "js" | "mjs" | "cjs" | "ts" | "mts" | "cts" => program(source, Language::JavaScript),
        "toml" | "sh" | "py" | "service" => hash_comments(numbered),
        _ => Vec::new(),
    }
}

fn program(source: &Source, language: Language) -> Vec<Passage> {
    let code_ends = source.code_lines();
    let mut passages = Vec::new();
    for piece in pieces(&source.text, language) {
        let line = piece.lines[0].0;
        match piece.kind {
            Kind::ModuleDoc => passages.extend(markdown(piece.lines, Shape::Title)),
            Kind::Doc | Kind::Comment => passages.extend(markdown(piece.lines, Shape::Prose)),
            Kind::Literal if source.is_test() || line > code_ends => {}
            Kind::Literal if is_sentence(&piece.lines) => passages.extend(literal(piece.lines)),
            Kind::Literal => {}
        }
    }
    passages
}

/// Whether a string is meant to be read: two words and more, and no statement for a database.
fn is_sentence(lines: &[(usize, String)]) -> bool {
    let text: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    let is_word = |part: &&str| {
        part.len() > 1 && part.chars().all(|one| one.is_alphabetic() || ",.:;'!?".contains(one))
    };
    let first = text.split_whitespace().next().unwrap_or_default();
    text.split_whitespace().filter(is_word).take(2).count() == 2
        && !SQL.contains(&first)
        && !text.trim_start().starts_with(['{', '['])
}

/// The passages of a string: an indented line stands for itself, as in a help text.
fn literal(lines: Vec<(usize, String)>) -> Vec<Passage> {
    if lines.iter().any(|(_, line)| line.contains("</") || line.contains("<p")) {
        return html(lines);
    }
    let mut passages = Vec::new();
    let mut open = Vec::new();
    for (number, line) in lines {
        let is_own = line.starts_with("  ");
        if is_own || line.trim().is_empty() {
            flush(&mut passages, &mut open, Shape::Prose);
        }
        if is_own {
            passages.push(Passage { shape: Shape::Cell, lines: vec![(number, line.trim().to_owned())] });
        } else if !line.trim().is_empty() {
            open.push((number, line));
        }
    }
    flush(&mut passages, &mut open, Shape::Prose);
    passages
}

fn flush(passages: &mut Vec<Passage>, open: &mut Vec<(usize, String)>, shape: Shape) {
    if !open.is_empty() {
        passages.push(Passage { shape, lines: std::mem::take(open) });
    }
}

/// The passages of Markdown. `first` is the shape of the first paragraph.
fn markdown(lines: Vec<(usize, String)>, first: Shape) -> Vec<Passage> {
    let mut reader =
        Markdown { passages: Vec::new(), open: Vec::new(), shape: first, skip: None, after_blank: true };
    for (number, line) in lines {
        reader.line(number, &line);
    }
    reader.flush();
    reader.passages
}

struct Markdown {
    passages: Vec<Passage>,
    open: Vec<(usize, String)>,
    /// The shape of the open paragraph.
    shape: Shape,
    /// What ends the part that is skipped now.
    skip: Option<&'static str>,
    after_blank: bool,
}

impl Markdown {
    fn line(&mut self, number: usize, line: &str) {
        let text = line.trim();
        if let Some(end) = self.skip {
            let is_over = if end == "-->" { text.contains(end) } else { text.starts_with(end) };
            self.skip = if is_over { None } else { Some(end) };
            return;
        }
        if let Some(end) = skipped(text) {
            self.flush();
            self.skip = (end != "-->" || !text.contains(end)).then_some(end);
            return;
        }
        let is_code = self.after_blank && self.open.is_empty() && line.starts_with("     ");
        self.after_blank = text.is_empty();
        if text.is_empty() {
            self.flush();
        } else if is_code {
            self.after_blank = true;
        } else if let Some(row) = text.strip_prefix('|') {
            self.flush();
            self.cells(number, row);
        } else if text.starts_with('#') && text.trim_start_matches('#').starts_with(' ') {
            self.flush();
            let title = plain(text.trim_start_matches('#').trim());
            self.passages.push(Passage { shape: Shape::Title, lines: vec![(number, title)] });
        } else {
            let item = list_item(text);
            if item.is_some() {
                self.flush();
            }
            self.open.push((number, item.unwrap_or(text).trim_start_matches("> ").to_owned()));
        }
    }

    fn cells(&mut self, number: usize, row: &str) {
        let mut is_code = false;
        let cells = row.split(move |character: char| {
            is_code ^= character == '`';
            !is_code && character == '|'
        });
        for cell in cells.map(str::trim).filter(|cell| cell.contains(|one: char| one.is_alphabetic())) {
            self.passages.push(Passage { shape: Shape::Cell, lines: vec![(number, plain(cell))] });
        }
    }

    fn flush(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let (numbers, texts): (Vec<usize>, Vec<String>) = std::mem::take(&mut self.open).into_iter().unzip();
        let text = plain(&texts.join("\n"));
        let lines = numbers.into_iter().zip(text.split('\n').map(str::to_owned)).collect();
        self.passages.push(Passage { shape: self.shape, lines });
        self.shape = Shape::Prose;
    }
}

/// What ends the part that this line begins and that is no prose.
fn skipped(text: &str) -> Option<&'static str> {
    let starts = [("```", "```"), ("~~~", "~~~"), (GENERATED, GENERATED_END), ("<!--", "-->")];
    starts.into_iter().find(|(start, _)| text.starts_with(start)).map(|(_, end)| end)
}

/// The text of a list item.
fn list_item(text: &str) -> Option<&str> {
    let bullet = ["- ", "* ", "+ "].into_iter().find_map(|mark| text.strip_prefix(mark));
    bullet.or_else(|| {
        let rest = text.trim_start_matches(|one: char| one.is_ascii_digit());
        (rest.len() < text.len()).then(|| rest.strip_prefix(". ")).flatten()
    })
}

/// Text without link targets, emphasis and tags. Line breaks and inline code stay.
fn plain(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at, mut is_code) = (String::new(), 0, false);
    while let Some(&character) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        match (character, next) {
            ('`', _) => {
                is_code = !is_code;
                out.push('`');
            }
            _ if is_code => out.push(character),
            ('*' | '[', _) => {}
            ('\\', Some(one)) if one.is_ascii_punctuation() => {}
            (']', Some('(')) => at = closing(&chars, at + 2, '(', ')').unwrap_or(at),
            (']', Some('[')) => at = closing(&chars, at + 2, '[', ']').unwrap_or(at),
            (']', _) => {}
            ('<', Some(one)) if one.is_alphabetic() || one == '/' => {
                at = closing(&chars, at + 1, '<', '>').unwrap_or(at);
            }
            _ => out.push(character),
        }
        at += 1;
    }
    out
}

/// Where the bracket closes that was opened just before `at`, on the same line.
fn closing(chars: &[char], at: usize, open: char, close: char) -> Option<usize> {
    let mut depth = 1;
    for (index, &character) in chars.iter().enumerate().skip(at) {
        match character {
            '\n' => return None,
            _ if character == open => depth += 1,
            _ if character == close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

/// The passages of a page: the text between tags that are no mere emphasis.
fn html(lines: Vec<(usize, String)>) -> Vec<Passage> {
    let mut passages = Vec::new();
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut shape = Shape::Prose;
    let mut skip: Option<String> = None;
    for (number, line) in lines {
        let mut text = String::new();
        for part in line.split_inclusive('>') {
            let (before, tag) = part.rsplit_once('<').map_or((part, ""), |(before, tag)| (before, tag));
            let name: String = tag
                .chars()
                .take_while(|one| one.is_ascii_alphanumeric() || *one == '/' || *one == '!')
                .collect();
            if let Some(end) = &skip {
                if name == *end {
                    skip = None;
                }
                continue;
            }
            text.push_str(before);
            match name.as_str() {
                "" | "b" | "/b" | "i" | "/i" | "em" | "/em" | "a" | "/a" | "strong" | "/strong" | "br" => {}
                "code" | "/code" | "kbd" | "/kbd" => text.push('`'),
                _ => {
                    open.push((number, std::mem::take(&mut text).trim().to_owned()));
                    open.retain(|(_, text)| !text.is_empty());
                    flush(&mut passages, &mut open, shape);
                    shape = match name.as_str() {
                        "title" | "h1" | "h2" | "h3" | "h4" => Shape::Title,
                        "td" | "th" => Shape::Cell,
                        _ => Shape::Prose,
                    };
                    if let "script" | "style" | "pre" = name.as_str() {
                        skip = Some(format!("/{name}"));
                    }
                }
            }
        }
        if !text.trim().is_empty() {
            open.push((number, text.trim().to_owned()));
        }
    }
    flush(&mut passages, &mut open, shape);
    passages
}

/// The comments of a file in which they begin with `#`.
fn hash_comments(lines: impl Iterator<Item = (usize, String)>) -> Vec<Passage> {
    let mut passages = Vec::new();
    let mut block = Vec::new();
    for (number, line) in lines {
        match line.trim_start().strip_prefix("# ") {
            Some(text) => block.push((number, text.to_owned())),
            None => passages.extend(markdown(std::mem::take(&mut block), Shape::Prose)),
        }
    }
    passages.extend(markdown(block, Shape::Prose));
    passages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::source;

    fn found(path: &str, text: &str) -> Vec<(Shape, usize, String)> {
        let joined = |passage: Passage| {
            let text: Vec<String> = passage.lines.iter().map(|(_, text)| text.clone()).collect();
            (passage.shape, passage.lines[0].0, text.join("|"))
        };
        passages(&source(path, text)).into_iter().map(joined).collect()
    }

    #[test]
    fn markdown_is_split_into_titles_paragraphs_items_and_cells() {
        let text = "# A title\n\nOne [link](to/x.md) and\ntwo.\n- item *one*\n- item two\n\n| a b | `c|d` e |\n|---|---|\n";
        let expected = [
            (Shape::Title, 1, "A title"),
            (Shape::Prose, 3, "One link and|two."),
            (Shape::Prose, 5, "item one"),
            (Shape::Prose, 6, "item two"),
            (Shape::Cell, 8, "a b"),
            (Shape::Cell, 8, "`c|d` e"),
        ];
        assert_eq!(found("a.md", text), expected.map(|(shape, line, text)| (shape, line, text.to_owned())));
    }

    #[test]
    fn code_blocks_comments_and_generated_parts_are_left_out() {
        let text =
            "a b\n```sh\nc d\n```\n<!-- e f\ng -->\n<!-- generated -->\nh i\n<!-- /generated -->\nj k\n";
        let texts: Vec<String> = found("a.md", text).into_iter().map(|one| one.2).collect();
        assert_eq!(texts, ["a b", "j k"]);
    }

    #[test]
    fn rust_gives_comments_and_sentences_outside_of_tests() {
        let text = "//! Head of it.\n//!\n//! More.\nfn f() { g(\"limit reached: {x}\", \"id\", \"SELECT a FROM b\") } // why\n#[cfg(test)]\nmod tests {\n    // in a test\n    const A: &str = \"not looked at\";\n}\n";
        let expected = [
            (Shape::Title, 1, " Head of it."),
            (Shape::Prose, 3, " More."),
            (Shape::Prose, 4, "limit reached: {x}"),
            (Shape::Prose, 4, " why"),
            (Shape::Prose, 7, " in a test"),
        ];
        let expected = expected.map(|(shape, line, text)| (shape, line, text.trim().to_owned()));
        assert_eq!(found("server/src/a.rs", text), expected);
    }

    #[test]
    fn pages_give_their_text_without_tags_and_scripts() {
        let text =
            "<title>A page</title>\n<script>let x = 1</script>\n<p>One <code>two</code>\n<b>three</b>.</p>\n";
        let expected = [(Shape::Title, 1, "A page"), (Shape::Prose, 3, "One `two`|three.")];
        assert_eq!(found("a.html", text), expected.map(|(shape, line, text)| (shape, line, text.to_owned())));
    }

    #[test]
    fn comments_with_a_hash_are_prose() {
        assert_eq!(found("a.toml", "# why\n# so\nx = 1\n"), [(Shape::Prose, 1, "why|so".to_owned())]);
    }
}
