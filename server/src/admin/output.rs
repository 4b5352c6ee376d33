//! Prints lines to standard output and messages to standard error, without control sequences.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;

/// Prints lines to standard output.
///
/// # Errors
/// The reader has closed it, or the disk behind it is full.
pub(super) fn print(lines: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{lines}").and_then(|()| stdout.flush()).context("standard output cannot be written to")
}

/// Why a file is not written where there is one.
pub(super) fn is_there_already(path: &Path) -> String {
    format!("{} is there already: give another name, or delete it", path.display())
}

/// Why a file is not written, before what the system says.
pub(super) fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// Says something to the person, beside what the command prints.
pub(super) fn say(sentence: &str) {
    // A closed reader loses nothing: the exit code says the same.
    let _ = writeln!(io::stderr().lock(), "{sentence}");
}

/// Text from elsewhere, for a terminal: without control characters, which could move its cursor or color it.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// Rows of words, in columns as wide as their widest word.
pub(super) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A time, as people read it; `-` for one that was not written down.
pub(super) fn time(at_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(at) if at_ms > 0 => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        _ => "-".into(),
    }
}

/// A number of bytes, as people read it.
pub(super) fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_to_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{9b}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_word() {
        let rows = [["a", "bcd", ""], ["ef", "g", "h"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "a   bcd\nef  g    h");
    }
}
