//! Tables of the documents that unit tests make from the code.
//!
//! A test names the page, the heading and the rows, and fails where the page has another table there.
//! `cargo xtask generate` runs these tests with [`WRITE`] set; each then writes its table into its page.
//! The table is between `<!-- generated -->` and `<!-- /generated -->`, one below each heading.

pub mod metrics;

use std::{fs, path::Path};

/// The environment variable with which a table is written instead of compared.
pub const WRITE: &str = "THNG_PUBSUB_WRITE_DOCS";

const BEGIN: &str = "<!-- generated -->\n";
const END: &str = "<!-- /generated -->";

/// Compares the table below a heading of a page with these rows, or writes it where [`WRITE`] is set.
///
/// # Panics
/// The page has another table there, or no place for one.
#[track_caller]
pub fn assert_documented<Row>(
    page: &str,
    heading: &str,
    columns: &[&str],
    rows: impl IntoIterator<Item = Row>,
) where
    Row: AsRef<[String]>,
{
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let Some(updated) = with_table(&text, heading, &table(columns, rows)) else {
        panic!("{page} has no generated table below `{heading}`");
    };
    if updated == text {
        return;
    }
    assert!(
        std::env::var_os(WRITE).is_some(),
        "the table below `{heading}` in {page} is out of date: run `cargo xtask generate`"
    );
    fs::write(&path, updated).unwrap_or_else(|error| panic!("{page}: {error}"));
}

/// The Markdown of a table.
fn table<Row: AsRef<[String]>>(columns: &[&str], rows: impl IntoIterator<Item = Row>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
    let head = line(columns.iter().map(|&column| column.into()).collect());
    let rule = format!("|{}\n", "---|".repeat(columns.len()));
    let body = rows.into_iter().map(|row| line(row.as_ref().iter().map(escaped).collect()));
    [head, rule].into_iter().chain(body).collect()
}

/// The page with this table in the first generated part below the heading.
fn with_table(page: &str, heading: &str, table: &str) -> Option<String> {
    let start = page.find(&format!("\n{heading}\n"))? + heading.len() + 2;
    let length = page[start..].find("\n#").unwrap_or(page.len() - start);
    let section = &page[start..start + length];
    let from = start + section.find(BEGIN)? + BEGIN.len();
    let to = from + page[from..start + length].find(END)?;
    Some(format!("{}{table}{}", &page[..from], &page[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A\n\n## B\n\n<!-- generated -->\nold\n<!-- /generated -->\n\n## C\n\n<!-- generated -->\n<!-- /generated -->\n";

    #[test]
    fn a_table_replaces_the_part_below_its_heading_only() {
        let written = with_table(PAGE, "## C", "new\n").expect("it has a part there");
        assert_eq!(written, PAGE.replace("generated -->\n<!--", "generated -->\nnew\n<!--"));
        assert_eq!(with_table(&written, "## C", "new\n"), Some(written.clone()));
    }

    #[test]
    fn a_heading_without_a_generated_part_has_no_table() {
        assert_eq!(with_table(PAGE, "## D", "new\n"), None);
        assert_eq!(with_table("# A\n\n## B\n\n## C\n<!-- generated -->\n", "## B", "new\n"), None);
    }

    #[test]
    fn cells_are_escaped_for_markdown() {
        let row = ["a|b".to_owned(), "c\nd".to_owned()];
        assert_eq!(table(&["x", "y"], [row]), "| x | y |\n|---|---|\n| a\\|b | c d |\n");
    }
}
