//! Reads the statements of the MQTT standard from the documentation of tests.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use anyhow::bail;

use super::{NOT_OURS, TESTS};
use crate::tidy::Source;

/// What begins a number in documentation.
const MARK: &str = "MQTT-";

/// What begins the numbers whose sentence is at another test.
const ALSO: &str = "Also MQTT-";

/// The number of a statement, such as `3.1.2-24`. Numbers sort by value, not by letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number(pub(super) String);

impl Number {
    fn parts(&self) -> Vec<u32> {
        self.0.split(['.', '-']).filter_map(|part| part.parse().ok()).collect()
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What the server does about a statement, and the tests that show it, as `path::name`.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) tests: Vec<String>,
}

pub(super) type Statements = BTreeMap<Number, Statement>;

/// All statements of all files.
///
/// # Errors
/// A statement has two sentences or none, or is not at a test that runs.
pub(super) fn read(sources: &[Source]) -> anyhow::Result<Statements> {
    let mut statements = Statements::new();
    let mut also = Vec::new();
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let path = source.path.to_string_lossy();
        for block in blocks(&source.text) {
            let test =
                block.test.map(|name| format!("{}::{name}", path.strip_prefix(TESTS).unwrap_or(&path)));
            for (number, text) in sentences(&block.documentation) {
                if test.is_some() == text.starts_with(NOT_OURS) {
                    faults.push(format!("{path}: {MARK}{number} is not at a test that runs"));
                }
                let statement = Statement { text, tests: test.iter().cloned().collect() };
                if statements.insert(Number(number.clone()), statement).is_some() {
                    faults.push(format!("{path}: {MARK}{number} has two sentences"));
                }
            }
            let numbers = references(&block.documentation);
            also.extend(numbers.into_iter().map(|number| (number, test.clone(), path.to_string())));
        }
    }
    // git lists new files last; the page must not change when they are added.
    also.sort();
    for (number, test, path) in also {
        match (statements.get_mut(&Number(number.clone())), test) {
            (Some(statement), Some(test)) => statement.tests.push(test),
            (None, _) => faults.push(format!("{path}: {MARK}{number} has no sentence")),
            (Some(_), None) => faults.push(format!("{path}: {MARK}{number} is not at a test that runs")),
        }
    }
    if faults.is_empty() { Ok(statements) } else { bail!("{}", faults.join("\n")) }
}

/// Documentation, and the name of its test where that runs.
#[derive(Debug, Default)]
struct Block<'a> {
    documentation: Vec<&'a str>,
    test: Option<&'a str>,
}

/// The documentation of a module and of each item that has some.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let head: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    blocks.push(Block { documentation: head, test: None });
    let mut open = Block::default();
    let mut attributes = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(line) = line.strip_prefix("///") {
            open.documentation.push(line.trim());
        } else if line.starts_with("#[") {
            attributes.push_str(line);
        } else {
            let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            let is_test = attributes.contains("test]") || attributes.contains("::test(");
            let runs = is_test && !attributes.contains("#[ignore");
            open.test = name.map(|(name, _)| name).filter(|_| runs);
            if !open.documentation.is_empty() {
                blocks.push(std::mem::take(&mut open));
            }
            attributes.clear();
        }
    }
    blocks
}

/// The statements whose sentences are in this documentation.
fn sentences(documentation: &[&str]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut is_open = false;
    for line in documentation {
        let starts = line.strip_prefix(MARK).and_then(|line| line.split_once(": "));
        match (starts, found.last_mut()) {
            (Some((number, text)), _) => {
                found.push((number.to_owned(), text.to_owned()));
                is_open = true;
            }
            (None, Some((_, text))) if is_open && !line.is_empty() && !line.starts_with(ALSO) => {
                text.push(' ');
                text.push_str(line);
            }
            (None, _) => is_open = false,
        }
    }
    found
}

/// The numbers of statements whose sentences are at other tests.
fn references(documentation: &[&str]) -> Vec<String> {
    let lines = documentation.iter().skip_while(|line| !line.starts_with(ALSO));
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).copied().collect();
    let all = lines.join(" ");
    let numbers = all.trim_start_matches("Also ").trim_end_matches('.').split(", ");
    numbers.filter_map(|number| number.strip_prefix(MARK)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::source;

    fn read_text(text: &str) -> anyhow::Result<Statements> {
        read(&[source("tests/it/mqtt.rs", text)])
    }

    #[test]
    fn a_sentence_ends_at_the_next_number_and_at_an_empty_line() {
        let text = "/// Why.\n///\n/// MQTT-1.5.3-2: One\n/// line.\n/// MQTT-1.5.3-10: Two.\n///\n/// More.\n#[test]\nfn a() {}\n";
        let statements = read_text(text).unwrap();
        let texts: Vec<_> =
            statements.iter().map(|(number, one)| (number.0.as_str(), one.text.as_str())).collect();
        assert_eq!(texts, [("1.5.3-2", "One line."), ("1.5.3-10", "Two.")]);
    }

    #[test]
    fn references_continue_over_lines() {
        let text = "/// Also MQTT-1-1, MQTT-1-2,\n/// MQTT-1-3.\n";
        assert_eq!(
            references(&blocks(&format!("{text}fn a() {{}}\n"))[1].documentation),
            ["1-1", "1-2", "1-3"]
        );
    }

    #[test]
    fn a_statement_needs_a_test_that_runs() {
        let statement = "/// MQTT-1-1: Text.\n";
        assert!(read_text(&format!("{statement}#[test]\nfn a() {{}}\n")).is_ok());
        assert!(read_text(&format!("{statement}fn a() {{}}\n")).is_err());
        assert!(read_text(&format!("{statement}#[test]\n#[ignore = \"slow\"]\nfn a() {{}}\n")).is_err());
        assert!(read_text("//! MQTT-1-1: Text.\n").is_err());
        assert!(read_text("//! MQTT-1-1: Not ours: text.\n").is_ok());
    }

    #[test]
    fn a_statement_has_one_sentence() {
        let test = "/// MQTT-1-1: Text.\n#[test]\nfn a() {}\n";
        assert!(read_text(&test.repeat(2)).is_err());
        assert!(read_text("/// Also MQTT-1-1.\n#[test]\nfn a() {}\n").is_err());
    }
}
