//! The tests that `docs/security.md` names exist and run, and each of its bug classes has one.
//!
//! The page names a test as `file.rs::name`: the path starts in `tests/it/`, or at the root of the repository. The rows
//! of a table whose last column is called *test* name one each, or begin with `Not ours: ` and say why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The page of known bugs and attacks.
const SECURITY: &str = "docs/security.md";

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
    let text = read(SECURITY);
    let wrong: Vec<_> = named(&text).filter_map(|(file, name)| attributes(file, name).err()).collect();
    assert!(wrong.is_empty(), "{SECURITY} names what is not there: {wrong:#?}");
    assert!(named(&text).count() > 0, "{SECURITY} names tests");
}

#[test]
fn every_test_row_names_a_running_test_or_a_reason() {
    let rows = rows(&read(SECURITY));
    assert!(!rows.is_empty(), "{SECURITY} has a table of tests");
    let is_covered = |row: &&Vec<String>| {
        let tests = row.last().expect("a row has cells");
        let runs = |(file, name)| attributes(file, name).is_ok_and(|above| !above.contains("#[ignore"));
        let is_not_ours = row.iter().any(|cell| cell.starts_with("Not ours: "));
        if is_not_ours { tests == "–" } else { named(tests).any(runs) }
    };
    let not_covered: Vec<_> = rows.iter().filter(|row| !is_covered(row)).collect();
    assert!(not_covered.is_empty(), "rows of {SECURITY} without a test that runs: {not_covered:#?}");
}

#[test]
fn the_security_page_lists_every_bug_class() {
    let rows = rows(&read(SECURITY));
    let numbers: BTreeSet<u32> = rows.iter().filter_map(|row| row.first()?.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1..=23), "{numbers:?}");
}
