//! Reads the closing lines of test runners: how many tests passed and how many failed.
//!
//! Fed line by line by `step`, which also says whose lines they are: a failing test's output may hold the closing line
//! of another runner. The last line of `cargo xtask test` is the sum, so what is not known here is not counted.

use std::fmt;
use std::iter::Sum;
use std::path::Path;
use std::process::Command;

/// A program that runs tests and ends with their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// `cargo nextest run`
    Nextest,
    /// `cargo test`
    CargoTest,
    /// `node --test`, in both of its formats.
    Node,
}

impl Runner {
    /// Whom a command starts, if it is a test runner.
    pub(crate) fn of(command: &Command) -> Option<Self> {
        let program = Path::new(command.get_program()).file_stem()?.to_str()?;
        match (program, command.get_args().next()?.to_str()?) {
            ("cargo", "nextest") => Some(Self::Nextest),
            ("cargo", "test") => Some(Self::CargoTest),
            ("node", "--test") => Some(Self::Node),
            _ => None,
        }
    }
}

/// Tests that passed and that failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Adds what this line of a runner's output says, if it is a closing line.
    pub(crate) fn read(&mut self, runner: Runner, line: &str) {
        let line = without_colors(line);
        match runner {
            // "     Summary [ 1.2s] 9 tests run: 7 passed (1 slow), 1 failed, 1 timed out, 2 skipped"
            Runner::Nextest => {
                if let Some(line) = line.trim_start().strip_prefix("Summary [") {
                    self.passed += count_before(line, "passed");
                    let failures = ["failed", "timed", "exec"];
                    self.failed += failures.map(|word| count_before(line, word)).iter().sum::<u64>();
                }
            }
            // "test result: ok. 3 passed; 0 failed; 1 ignored; ..."
            Runner::CargoTest => {
                if let Some(line) = line.strip_prefix("test result: ") {
                    self.passed += count_before(line, "passed");
                    self.failed += count_before(line, "failed");
                }
            }
            // "# pass 3" (tap), or the same behind an information sign (spec)
            Runner::Node => {
                let closing = line.strip_prefix("# ").or_else(|| line.strip_prefix("\u{2139} "));
                match closing.and_then(|closing| closing.split_once(' ')) {
                    Some(("pass", count)) => self.passed += count.parse().unwrap_or(0),
                    Some(("fail" | "cancelled", count)) => self.failed += count.parse().unwrap_or(0),
                    _ => {}
                }
            }
        }
    }

    /// Whether a runner was seen at all.
    pub(crate) fn ran(self) -> bool {
        self.passed + self.failed > 0
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, one| Self {
            passed: sum.passed + one.passed,
            failed: sum.failed + one.failed,
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ran() { write!(f, "{} passed, {} failed", self.passed, self.failed) } else { Ok(()) }
    }
}

/// The number before `word`, 0 where the word is missing.
fn count_before(line: &str, word: &str) -> u64 {
    let mut before = "";
    for token in line.split([' ', ',', ';', '(', ')']).filter(|token| !token.is_empty()) {
        if token == word {
            return before.parse().unwrap_or(0);
        }
        before = token;
    }
    0
}

/// The line without its terminal colors.
fn without_colors(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\x1b[") {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        let end = sequence.find(|c: char| c.is_ascii_alphabetic()).map_or(sequence.len(), |end| end + 1);
        rest = &sequence[end..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(runner: Runner, lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(runner, line));
        tally
    }

    #[test]
    fn nextest_counts_failures_of_every_kind() {
        let line = "     Summary [   1.204s] 12 tests run: 8 passed (1 slow), 2 failed, 1 timed out, 1 exec failed, 3 skipped";
        assert_eq!(tally(Runner::Nextest, &[line]), Tally { passed: 8, failed: 4 });
        let line = "     Summary [   0.01s] 1 test run: 1 passed";
        assert_eq!(tally(Runner::Nextest, &[line]), Tally { passed: 1, failed: 0 });
    }

    #[test]
    fn a_summary_line_inside_test_output_is_not_counted() {
        let lines = [
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored",
            "     Summary [   1.2s] 2 tests run: 1 passed, 1 failed, 0 skipped",
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored",
        ];
        assert_eq!(tally(Runner::Nextest, &lines), Tally { passed: 1, failed: 1 });
    }

    #[test]
    fn cargo_test_adds_up_over_its_binaries() {
        let first = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        let second = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(tally(Runner::CargoTest, &[first, second]), Tally { passed: 4, failed: 2 });
    }

    #[test]
    fn node_is_read_in_both_formats() {
        let tap = ["# tests 4", "# pass 3", "# fail 1"];
        assert_eq!(tally(Runner::Node, &tap), Tally { passed: 3, failed: 1 });
        let spec = ["\u{2139} pass 5", "\u{2139} fail 0", "\u{2139} cancelled 1"];
        assert_eq!(tally(Runner::Node, &spec), Tally { passed: 5, failed: 1 });
    }

    #[test]
    fn colors_do_not_hide_a_count() {
        let line = "\x1b[32;1m     Summary\x1b[0m [   0.1s] \x1b[1m2\x1b[0m tests run: \x1b[1m2\x1b[0m \x1b[32mpassed\x1b[0m";
        assert_eq!(tally(Runner::Nextest, &[line]), Tally { passed: 2, failed: 0 });
    }

    #[test]
    fn other_lines_count_nothing() {
        for runner in [Runner::Nextest, Runner::CargoTest, Runner::Node] {
            let lines = ["3 passed the door", "# passport 3", "running 3 tests"];
            assert_eq!(tally(runner, &lines), Tally::default());
        }
    }

    #[test]
    fn a_runner_is_known_by_its_command() {
        let of = |program: &str, argument: &str| Runner::of(Command::new(program).arg(argument));
        assert_eq!(of("/somewhere/bin/cargo", "nextest"), Some(Runner::Nextest));
        assert_eq!(of("cargo", "test"), Some(Runner::CargoTest));
        assert_eq!(of("node", "--test"), Some(Runner::Node));
        assert_eq!(of("cargo", "build"), None);
    }
}
