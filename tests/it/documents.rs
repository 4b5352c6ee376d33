//! The documents that say which test shows what: the tests that they name are there and run, and nothing is left out.
//!
//! A document names a test as `file.rs::name`: the path starts in `tests/it/`, or at the root of the repository. The rows
//! of a table whose last column is called *test* name one each, or begin with `Not ours: ` and say why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The documents that are held.
const DOCUMENTS: [&str; 2] = [CONFORMANCE, SECURITY];

const SECURITY: &str = "docs/security.md";

const CONFORMANCE: &str = "docs/mqtt-conformance.md";

/// How many statements each section of MQTT 3.1.1 has, by its appendix B: 141 together.
const STATEMENTS: [(&str, usize); 39] = [
    ("1.5.3", 3),
    ("2.2.2", 2),
    ("2.3.1", 7),
    ("3.1.0", 2),
    ("3.1.2", 24),
    ("3.1.3", 11),
    ("3.1.4", 5),
    ("3.2.0", 1),
    ("3.2.2", 6),
    ("3.3.1", 12),
    ("3.3.2", 3),
    ("3.3.4", 1),
    ("3.3.5", 2),
    ("3.6.1", 1),
    ("3.8.1", 1),
    ("3.8.3", 4),
    ("3.8.4", 6),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.12.4", 1),
    ("3.14.1", 1),
    ("3.14.4", 3),
    ("4.1.0", 2),
    ("4.3.1", 1),
    ("4.3.2", 2),
    ("4.3.3", 2),
    ("4.4.0", 1),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.1", 3),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.0", 2),
    ("6.0.0", 4),
    ("7.0.0", 2),
    ("7.1.1", 1),
    ("7.1.2", 1),
];

/// The root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the repository.
#[track_caller]
fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tests that a text names, as file and name.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    // Every other part between backticks is code.
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"))
        .filter(|(file, _)| file.ends_with(".rs"))
}

/// The attributes above a test, or what is wrong with the name.
fn attributes(file: &str, name: &str) -> Result<String, String> {
    let inside = format!("tests/it/{file}");
    let path = if repository().join(&inside).is_file() { inside } else { file.to_owned() };
    let text = read(&path);
    let head = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.strip_prefix("async ").unwrap_or(line).starts_with(&head));
    let at = at.ok_or_else(|| format!("{path} has no {name}"))?;
    let above: Vec<&str> =
        lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).copied().collect();
    let above = above.join("\n");
    // `#[test]`, `#[tokio::test]` and `#[tokio::test(flavor = …)]`.
    let is_test = above.contains("test]") || above.contains("::test(");
    if is_test { Ok(above) } else { Err(format!("{name} in {path} is no test")) }
}

/// The rows of the tables whose last column is called *test*, as cells.
fn rows(document: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut is_of_tests = false;
    let mut is_inside = false;
    for line in document.lines() {
        let is_row = line.starts_with('|');
        if is_row && !is_inside {
            is_of_tests = line.ends_with("| test |");
        } else if is_row && is_of_tests && !line.starts_with("|---") {
            let cells = line.trim_matches('|').split(" | ");
            rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
        }
        is_inside = is_row;
    }
    rows
}

#[test]
fn every_test_that_a_document_names_is_there() {
    for document in DOCUMENTS {
        let text = read(document);
        let wrong: Vec<_> = named(&text).filter_map(|(file, name)| attributes(file, name).err()).collect();
        assert!(wrong.is_empty(), "{document} names what is not there: {wrong:#?}");
        assert!(named(&text).count() > 0, "{document} names tests");
    }
}

#[test]
fn every_test_row_names_a_running_test_or_a_reason() {
    for document in DOCUMENTS {
        let rows = rows(&read(document));
        assert!(!rows.is_empty(), "{document} has a table of tests");
        let is_held = |row: &&Vec<String>| {
            let tests = row.last().expect("a row has cells");
            let runs = |(file, name)| attributes(file, name).is_ok_and(|above| !above.contains("#[ignore"));
            let is_not_ours = row.iter().any(|cell| cell.starts_with("Not ours: "));
            if is_not_ours { tests == "–" } else { named(tests).any(runs) }
        };
        let not_held: Vec<_> = rows.iter().filter(|row| !is_held(row)).collect();
        assert!(not_held.is_empty(), "rows of {document} without a test that runs: {not_held:#?}");
    }
}

#[test]
fn every_statement_of_the_standard_is_in_the_list_once() {
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    let is_number = |cell: &&String| cell.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-');
    for row in rows(&read(CONFORMANCE)) {
        if let Some(number) = row.first().filter(is_number) {
            *listed.entry(number.clone()).or_default() += 1;
        }
    }
    let all = STATEMENTS
        .iter()
        .flat_map(|(section, highest)| (1..=*highest).map(move |n| format!("{section}-{n}")));
    let wrong: Vec<_> = all.filter(|number| listed.remove(number) != Some(1)).collect();
    assert!(wrong.is_empty(), "not in {CONFORMANCE}, or more than once: {wrong:?}");
    assert!(listed.is_empty(), "the standard has no {:?}", listed.keys());
}

#[test]
fn the_security_page_lists_every_bug_class() {
    let rows = rows(&read(SECURITY));
    let numbers: BTreeSet<u32> = rows.iter().filter_map(|row| row.first()?.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1..=23), "{numbers:?}");
}
