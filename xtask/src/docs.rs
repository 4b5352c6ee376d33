//! Writes the tables of documents that show the code, for `cargo xtask generate`.
//!
//! The tables are made by unit tests beside the code that they show: those with `is_documented` in their name.
//! Without this command the same tests compare the pages with the code.

use std::path::Path;

use anyhow::ensure;
use thng_pubsub_doc_tables::WRITE;

use crate::setup;

/// What the names of the tests have in common.
const TESTS: &str = "is_documented";

/// Runs the tests that make the tables, one at a time: two may write the same page.
///
/// # Errors
/// A page has no place for a table, or the code does not build.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let arguments = ["test", "--workspace", "--lib", "--", "--test-threads=1", TESTS];
    let status = setup::cargo(root).args(arguments).env(WRITE, "1").status()?;
    ensure!(status.success(), "a table could not be written");
    Ok(())
}
