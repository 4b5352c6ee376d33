//! Writes the tables of `docs/mqtt-conformance.md` from the doc comments of tests, and checks that they are current.
//!
//! A line of a test's documentation states the behavior that the test shows, behind a number of the standard, such as
//! `MQTT-3.1.0-2: A second CONNECT ends the connection.`
//!
//! Other tests that show the same end their documentation with `Also MQTT-3.1.0-2.`
//!
//! A statement for clients only is in the `//!` documentation of a module and begins with `Not ours: `. MQTT 3.1 has no
//! numbers; ours for it have two parts, such as `MQTT-3.1-1`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, bail};

use crate::tidy::sources;

mod standard;
mod statements;

use statements::{Statement, Statements};

/// The page with the tables.
const PAGE: &str = "docs/mqtt-conformance.md";

/// The lines around the part of the page that is written here.
const BEGIN: &str = "<!-- generated: cargo xtask generate -->";
const END: &str = "<!-- /generated -->";

/// How a statement begins that needs no test.
const NOT_OURS: &str = "Not ours: ";

/// Where tests are that have statements; their names on the page leave it out.
const TESTS: &str = "tests/it/";

/// Checks that the page is what the tests say.
///
/// # Errors
/// A statement is missing, has two sentences or no test; or the page is not current.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(root.join(PAGE)).context(PAGE)?;
    if current(root, &page)? != page {
        bail!("{PAGE} is not what the tests say; `cargo xtask generate` writes it");
    }
    Ok(())
}

/// Writes the tables of the page.
///
/// # Errors
/// A statement is missing, has two sentences or no test; or the page cannot be written.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let path = root.join(PAGE);
    let page = std::fs::read_to_string(&path).context(PAGE)?;
    std::fs::write(&path, current(root, &page)?).context(PAGE)
}

/// The page with the tables that the tests say.
fn current(root: &Path, page: &str) -> anyhow::Result<String> {
    with_tables(page, &tables(&statements::read(&sources(root)?)?)?)
}

/// The page with other tables.
fn with_tables(page: &str, tables: &str) -> anyhow::Result<String> {
    let (head, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} has no {BEGIN}"))?;
    let (_, tail) = rest.split_once(END).with_context(|| format!("{PAGE} has no {END}"))?;
    Ok(format!("{head}{BEGIN}\n\n{tables}\n{END}{tail}"))
}

/// The tables of all sections, with their titles.
fn tables(statements: &Statements) -> anyhow::Result<String> {
    let faults = standard::faults(statements);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    let mut text = String::new();
    for (title, prefixes) in standard::SECTIONS {
        let is_here = |number: &str| prefixes.iter().any(|prefix| number.starts_with(prefix));
        let rows = statements.iter().filter(|(number, _)| is_here(&number.0));
        let separator = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{separator}## {title}\n\n| number | behavior | test |\n|---|---|---|\n");
        for (number, statement) in rows {
            let _ = writeln!(text, "{}", row(&number.0, statement));
        }
    }
    Ok(text)
}

fn row(number: &str, statement: &Statement) -> String {
    let tests: Vec<String> = statement.tests.iter().map(|test| format!("`{test}`")).collect();
    let tests = if tests.is_empty() { "–".to_owned() } else { tests.join(", ") };
    format!("| {number} | {} | {tests} |", statement.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::source;

    #[test]
    fn the_tables_replace_what_is_between_the_marks() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nTail.\n");
        let current = with_tables(&page, "new\n").unwrap();
        assert_eq!(current, format!("# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nTail.\n"));
        assert_eq!(with_tables(&current, "new\n").unwrap(), current);
        assert!(with_tables("# Title\n", "new\n").is_err());
    }

    #[test]
    fn a_row_names_the_test_with_the_sentence_first() {
        let text =
            "/// Also MQTT-1.5.3-1.\n#[test]\nfn a() {}\n/// MQTT-1.5.3-1: Text.\n#[test]\nfn b() {}\n";
        let statements = statements::read(&[source("tests/it/mqtt.rs", text)]).unwrap();
        let (number, statement) = statements.iter().next().unwrap();
        assert_eq!(row(&number.0, statement), "| 1.5.3-1 | Text. | `mqtt.rs::b`, `mqtt.rs::a` |");
    }
}
