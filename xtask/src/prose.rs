//! Checks the language of documents, comments and messages: words that are not used, and sentences that are too long.
//!
//! Called by `lint`. The table of words and all limits are in `prose/words.rs`.

mod lexer;
mod names;
mod passages;
mod sentences;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::bail;

use crate::tidy::{Source, sources};
use words::{Row, Why};

/// Files that quote the words themselves, and data that is not ours to phrase.
const EXEMPT: [&str; 3] = ["xtask/src/prose", "tests/keys", "LICENSE"];

/// Files that still say names of earlier versions.
const HISTORY: [&str; 2] = ["CHANGELOG.md", "migrations"];

/// What is wrong with one sentence.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    line: usize,
    what: String,
    sentence: String,
}

/// Checks every file, and the budgets of words.
///
/// # Errors
/// A file has a finding, or a document has more words than its budget.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let sources = sources(root)?;
    let mut counts = BTreeMap::new();
    for source in &sources {
        let findings = findings(source);
        print(source, &findings);
        count(&mut counts, source, findings.len());
    }
    print_counts(&counts);
    let mut faults = Vec::new();
    match counts.values().sum::<usize>() {
        0 => {}
        total => faults.push(format!("{total} finding(s)")),
    }
    for (name, words, budget) in budgets(&sources) {
        eprintln!("{words:6} words of {budget:6}  {name}");
        if words > budget {
            faults.push(format!("{name} has {words} words; its limit is {budget}"));
        }
    }
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

/// Checks the files at or below `paths`, relative to the root.
///
/// # Errors
/// A file has a finding, or there is no file at a path.
pub(crate) fn check_paths(root: &Path, paths: &[String]) -> anyhow::Result<()> {
    let sources = sources(root)?;
    if let Some(missing) = paths.iter().find(|path| !sources.iter().any(|file| file.path.starts_with(path))) {
        bail!("there is no file at `{missing}`, seen from {}", root.display());
    }
    let mut counts = BTreeMap::new();
    for source in sources.iter().filter(|file| paths.iter().any(|path| file.path.starts_with(path))) {
        let findings = findings(source);
        print(source, &findings);
        count(&mut counts, source, findings.len());
    }
    print_counts(&counts);
    match counts.values().sum::<usize>() {
        0 => Ok(()),
        total => bail!("{total} finding(s)"),
    }
}

fn print(source: &Source, findings: &[Finding]) {
    for one in findings {
        let sentence = one.sentence.split_whitespace().collect::<Vec<_>>().join(" ");
        println!("{}:{}: {}: {sentence}", source.path.display(), one.line, one.what);
    }
}

fn count(counts: &mut BTreeMap<String, usize>, source: &Source, findings: usize) {
    if findings > 0 {
        let folder = source.path.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        *counts.entry(if folder.is_empty() { ".".to_owned() } else { folder }).or_default() += findings;
    }
}

fn print_counts(counts: &BTreeMap<String, usize>) {
    for (folder, count) in counts {
        eprintln!("{count:6}  {folder}");
    }
    eprintln!("{:6}  in all", counts.values().sum::<usize>());
}

/// Everything that is wrong with the prose of one file, in the order of its lines.
fn findings(source: &Source) -> Vec<Finding> {
    if EXEMPT.iter().any(|path| source.path.starts_with(path)) {
        return Vec::new();
    }
    let is_history =
        HISTORY.iter().any(|name| source.path.iter().any(|part| part.to_string_lossy().contains(name)));
    let mut findings = Vec::new();
    for passage in passages::passages(source) {
        for (at, sentence) in sentences::sentences(&passage).iter().enumerate() {
            let shape = if at == 0 { passage.shape } else { passages::Shape::Prose };
            findings.extend(of_sentence(sentence, shape, is_history));
        }
    }
    findings.extend(names::tests(source).into_iter().flat_map(|(line, name)| of_name(line, name)));
    findings.sort_by_key(|one| one.line);
    findings
}

/// Everything that is wrong with the name of a test.
fn of_name(line: usize, name: &str) -> Vec<Finding> {
    let finding = |what: String| Finding { line, what, sentence: name.to_owned() };
    let all = sentences::words(&name.replace('_', " "));
    let found = words::find(&all);
    let mut findings: Vec<Finding> =
        found.map(|(_, form, row)| finding(format!("`{form}`, better: {}", row.better))).collect();
    if name.len() > names::LENGTH {
        findings.push(finding(format!("{} characters, at most {}", name.len(), names::LENGTH)));
    }
    findings
}

fn of_sentence(sentence: &sentences::Sentence, shape: passages::Shape, is_history: bool) -> Vec<Finding> {
    let finding = |row: usize, what: String| Finding {
        line: sentence.line + row,
        what,
        sentence: sentence.text.clone(),
    };
    let all = sentences::words(&sentence.text);
    let is_asked = |row: &Row| row.why != Why::Renamed || !is_history;
    let mut seen = BTreeSet::new();
    let mut findings: Vec<Finding> = words::find(&all)
        .filter(|(_, _, row)| is_asked(row))
        .filter(|(at, form, _)| seen.insert((*at, *form)))
        .map(|(at, form, row)| finding(at, format!("`{form}`, better: {}", row.better)))
        .collect();
    findings.extend(words::who(&all, shape, &sentence.text).map(|(at, what)| finding(at, what.to_owned())));
    findings.extend(words::title(shape, &sentence.text).map(|what| finding(0, what.to_owned())));
    let length = sentences::length(&sentence.text);
    if shape != passages::Shape::Cell && length > words::SENTENCE {
        findings.push(finding(0, format!("{length} words, at most {}", words::SENTENCE)));
    }
    findings
}

/// How many words each budget has used, and its limit.
fn budgets(sources: &[Source]) -> impl Iterator<Item = (&'static str, usize, usize)> {
    let is_markdown = |source: &&Source| source.path.extension().is_some_and(|end| end == "md");
    words::BUDGETS.into_iter().map(move |(name, limit)| {
        let files = sources
            .iter()
            .filter(is_markdown)
            .filter(|file| name == words::ALL || file.path == Path::new(name));
        (name, files.map(|file| word_count(&file.text)).sum(), limit)
    })
}

/// The words of a document as `wc -w` counts them, without the parts that a program writes.
fn word_count(text: &str) -> usize {
    let mut is_generated = false;
    let mut words = 0;
    for line in text.lines() {
        if line.starts_with(passages::GENERATED) {
            is_generated = true;
        } else if line.starts_with(passages::GENERATED_END) {
            is_generated = false;
        } else if !is_generated {
            words += line.split_whitespace().count();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::source;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        findings(&source(path, text)).into_iter().map(|one| (one.line, one.what)).collect()
    }

    fn long(words: usize) -> String {
        format!("{}end.\n", "word ".repeat(words - 1))
    }

    #[test]
    fn a_forbidden_word_is_found_with_its_line_and_a_better_one() {
        let found = found("docs/a.md", "Fine.\nThe client\nis Told so, and nobody's `door` opens.\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].0, 3);
        assert!(
            found.iter().any(|(_, what)| what == "`told`, better: notified, informed, reported"),
            "{found:?}"
        );
    }

    #[test]
    fn a_phrase_is_found_over_a_line_break_and_in_every_form() {
        for text in ["It is turned\naway.", "It turns away a client.", "// the way of it"] {
            assert_eq!(found("docs/a.md", text).len(), 1, "{text}");
        }
        assert_eq!(found("docs/a.md", "It turned. Away it went."), []);
    }

    #[test]
    fn a_sentence_of_more_than_thirty_words_is_found() {
        assert_eq!(found("docs/a.md", &long(30)), []);
        assert_eq!(found("docs/a.md", &long(31)), [(1, "31 words, at most 30".to_owned())]);
        assert_eq!(found("docs/a.md", &format!("{}And {}", long(20), long(20))), []);
        let list = format!("{} one; {}", long(16).replace('.', ":"), long(16));
        assert_eq!(found("docs/a.md", &list).len(), 1, "a list behind a colon is one sentence");
    }

    #[test]
    fn tables_code_and_generated_parts_have_no_limit() {
        let long = long(40);
        let text = format!(
            "| {} |\n\n```text\n{long}```\n<!-- generated -->\n{long}<!-- /generated -->\n",
            long.trim()
        );
        assert_eq!(found("docs/a.md", &text), []);
    }

    #[test]
    fn comments_messages_and_pages_are_checked() {
        assert_eq!(
            found("server/src/a.rs", "//! Nobody.\nfn f() { g(\"the client is told\") } // a door\n").len(),
            3
        );
        assert_eq!(found("npm/src/a.js", "// nobody\nf('the client is told', 'told')\n").len(), 2);
        assert_eq!(found("server/src/a.html", "<p>Nobody</p>").len(), 1);
        assert_eq!(found("server/src/a.css", "/* nobody */"), []);
    }

    #[test]
    fn names_of_tests_are_sentences_too() {
        let test = |name: &str| found("server/src/a.rs", &format!("//! A.\n#[test]\nfn {name}() {{}}\n"));
        assert_eq!(test("clients_wait"), []);
        assert_eq!(test("nobody_waits"), [(3, "`nobody`, better: no client, no user, nothing".to_owned())]);
        assert_eq!(test(&"a".repeat(61)), [(3, "61 characters, at most 60".to_owned())]);
    }

    #[test]
    fn strings_of_tests_are_data() {
        assert_eq!(found("tests/src/a.rs", "const A: &str = \"nobody is told\";\n"), []);
    }

    #[test]
    fn a_title_that_starts_with_what_is_found() {
        assert_eq!(
            found("docs/a.md", "# What it does\n\n## What now?\n\nWhat it does is fine here.\n").len(),
            1
        );
        assert_eq!(found("server/src/a.rs", "//! What it does.\n\n/// What it does.\n").len(), 1);
    }

    #[test]
    fn names_of_earlier_versions_stay_in_the_change_log() {
        let text = "The gateway has kept messages.\n";
        assert_eq!(found("docs/a.md", text).len(), 2);
        assert_eq!(found("CHANGELOG.md", text), []);
        assert_eq!(found("CHANGELOG.md", "Nobody.\n").len(), 1);
    }

    #[test]
    fn a_program_is_never_a_who() {
        for text in
            ["A client who reads slowly.", "Who reads slowly waits.", "The connection of who sent it."]
        {
            assert_eq!(found("docs/a.md", text).len(), 1, "{text}");
        }
        for text in ["Users who read slowly.", "Who reads?", "Rights say who may read.", "| who |"] {
            assert_eq!(found("docs/a.md", text), [], "{text}");
        }
    }

    #[test]
    fn words_of_generated_parts_do_not_count() {
        assert_eq!(word_count("one two\n<!-- generated: x -->\nthree\n<!-- /generated -->\n| four |\n"), 5);
    }
}
