//! Checks the project's own rules: which file may name what, and the shape of every file.
//!
//! Called by `lint`, on every file that git tracks or would track. The rules are a table in `tidy/words.rs`:
//! which words stay in which files. A rule that is in the way is changed there, in the open, with its reason.

mod modules;
mod words;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// One file of the checkout.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the root of the checkout.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Whether its parent declares it as `#[cfg(test)] mod name;`.
    is_test_module: bool,
}

/// What is wrong in which line (from 1).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    line: usize,
    what: String,
}

impl Source {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|end| end == "rs")
    }

    fn is_javascript(&self) -> bool {
        self.path
            .extension()
            .is_some_and(|end| ["js", "mjs", "cjs", "ts", "mts", "cts"].iter().any(|js| end == *js))
    }

    fn starts_with(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whether the whole file is a test: by its declaration, its folder or its name.
    pub(crate) fn is_test(&self) -> bool {
        if self.is_test_module {
            return true;
        }
        let is_tests = |part: &str| part == "tests" || part == "test" || part == "benches" || part == "fuzz";
        let mut parts = self.path.iter().filter_map(|part| part.to_str());
        let stem = self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        parts.any(is_tests) || stem == "tests" || stem.ends_with("_tests") || stem.ends_with(".test")
    }

    /// The number of lines before the unit tests, which come last.
    pub(crate) fn code_lines(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let opens_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{');
        lines.windows(2).position(opens_tests).unwrap_or(lines.len())
    }

    /// The lines that are code, numbered from 1: without comments, and without the unit tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = self.code_lines();
        let is_comment =
            |line: &str| ["//", "/*", "*", "#!"].iter().any(|mark| line.trim_start().starts_with(mark));
        let numbered = lines.into_iter().take(end).enumerate().map(|(at, line)| (at + 1, line));
        numbered.filter(move |(_, line)| !is_comment(line))
    }
}

/// Checks every file.
///
/// # Errors
/// All findings, one a line, as `path:line: what`.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let mut report = Vec::new();
    let sources = sources(root)?;
    let main = modules::main(&sources);
    for source in &sources {
        let findings = shape(source).into_iter().chain(words::check(source));
        let findings = findings.chain(modules::check(source, main));
        report.extend(findings.map(|one| format!("{}:{}: {}", source.path.display(), one.line, one.what)));
    }
    if report.is_empty() {
        return Ok(());
    }
    bail!("{} finding(s)\n{}", report.len(), report.join("\n"))
}

/// Every text file of the checkout that git tracks, or would track if it were added now.
pub(crate) fn sources(root: &Path) -> anyhow::Result<Vec<Source>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git is not installed")?;
    if !output.status.success() {
        bail!("git cannot list the files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut sources = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        // A file that was removed but not yet from the index, or that is no text, has nothing to say here.
        if let Ok(text) = std::fs::read_to_string(root.join(name)) {
            sources.push(Source { path: PathBuf::from(name), text, is_test_module: false });
        }
    }
    let test_modules: Vec<PathBuf> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        source.is_test_module = test_modules.contains(&source.path);
    }
    Ok(sources)
}

/// The files that a file declares as `#[cfg(test)] mod name;`.
fn test_modules(source: &Source) -> Vec<PathBuf> {
    let folder = match source.path.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") | None => source.path.with_file_name(""),
        Some(_) => source.path.with_extension(""),
    };
    let lines: Vec<&str> = source.text.lines().collect();
    let declared = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let names = declared
        .filter_map(|pair| pair[1].trim().strip_suffix(';')?.split_once("mod "))
        .map(|(_, name)| name);
    names.map(|name| folder.join(name).with_extension("rs")).collect()
}

/// What every file looks like: no trailing white space, one newline at its end, and a head on every Rust module.
fn shape(source: &Source) -> Vec<Finding> {
    if source.path.components().any(|part| part.as_os_str() == "corpus" || part.as_os_str() == "golden") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (at, line) in source.text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding { line: at + 1, what: "white space at the end of the line".to_owned() });
        }
    }
    let lines = source.text.lines().count();
    if !source.text.is_empty() && (!source.text.ends_with('\n') || source.text.ends_with("\n\n")) {
        findings.push(Finding { line: lines, what: "the file should end in exactly one newline".to_owned() });
    }
    let head = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if source.is_rust() && !head.starts_with("//!") && !head.starts_with("#!") {
        let what =
            "a module opens with `//!`: the question it answers, who calls it, what it leaves to others";
        findings.push(Finding { line: 1, what: what.to_owned() });
    }
    findings
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn source(path: &str, text: &str) -> Source {
        Source { path: PathBuf::from(path), text: text.to_owned(), is_test_module: false }
    }

    #[test]
    fn trailing_space_and_a_missing_newline_are_found() {
        let lines: Vec<usize> = shape(&source("a.md", "one \ntwo")).iter().map(|one| one.line).collect();
        assert_eq!(lines, [1, 2]);
        assert_eq!(shape(&source("a.md", "one\ntwo\n")), []);
    }

    #[test]
    fn a_rust_file_without_a_head_is_found() {
        assert_eq!(shape(&source("a.rs", "fn main() {}\n")).len(), 1);
        assert_eq!(shape(&source("a.rs", "//! Says what.\nfn main() {}\n")), []);
    }

    #[test]
    fn comments_and_unit_tests_are_not_code() {
        let text = "//! head\n#[cfg(test)]\nuse a;\n    // why\nfn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n";
        let source = source("a.rs", text);
        let code: Vec<_> = source.code().collect();
        assert_eq!(code, [(2, "#[cfg(test)]"), (3, "use a;"), (5, "fn f() {}")]);
    }

    #[test]
    fn tests_are_known_by_folder_or_name() {
        for path in ["tests/src/matrix.rs", "crates/protocol/src/topic/tests.rs", "npm/test/a.test.js"] {
            assert!(source(path, "").is_test(), "{path}");
        }
        assert!(!source("server/src/edge/rest.rs", "").is_test());
    }

    #[test]
    fn a_module_that_is_declared_for_tests_only_is_a_test() {
        let text = "#[cfg(test)]\nmod contract;\nmod bus;\n#[cfg(test)]\npub(crate) mod fixtures;\n";
        let paths = |path| test_modules(&source(path, text));
        let below_edge = ["server/src/edge/contract.rs", "server/src/edge/fixtures.rs"].map(PathBuf::from);
        assert_eq!(paths("server/src/edge.rs"), below_edge);
        assert_eq!(paths("server/src/lib.rs")[0], PathBuf::from("server/src/contract.rs"));
    }

    #[test]
    fn this_checkout_lists_its_own_files() {
        let files = sources(&crate::setup::root()).unwrap();
        assert!(files.iter().any(|file| file.path == Path::new("xtask/src/tidy.rs")));
    }
}
