//! Findings that each part of the project may still have, rounded up. Temporary: a number here only falls, and the file
//! goes with the last one.

use std::collections::BTreeMap;

use super::words::ALL;

/// The most findings of each part.
const FINDINGS: [(&str, usize); 8] = [
    (".", 10),
    ("bench", 40),
    ("crates", 420),
    ("docs", 150),
    ("examples-web", 10),
    ("npm", 10),
    ("tests", 230),
    ("xtask", 10),
];

/// The most words of each budget until its documents are rewritten.
const WORDS: [(&str, usize); 1] = [(ALL, 39000)];

/// One line for each part that has more findings than it may have.
pub(super) fn compare(counts: &BTreeMap<String, usize>) -> Vec<String> {
    let mut parts: BTreeMap<&str, usize> = BTreeMap::new();
    for (folder, count) in counts {
        *parts.entry(part(folder)).or_default() += count;
    }
    let limit = |name| FINDINGS.iter().find(|(part, _)| *part == name).map_or(0, |(_, limit)| *limit);
    let grown = parts.into_iter().filter(|(name, count)| *count > limit(*name));
    let line = |(name, count)| {
        format!(
            "{name} has {count} finding(s), at most {} are left; see `cargo xtask lint prose`",
            limit(name)
        )
    };
    grown.map(line).collect()
}

/// What is wrong with the number of words of a budget.
pub(super) fn compare_words(name: &str, words: usize, limit: usize) -> Option<String> {
    let limit = WORDS.iter().find(|(budget, _)| *budget == name).map_or(limit, |(_, limit)| *limit);
    (words > limit).then(|| format!("{name} has {words} words; its budget is {limit}"))
}

/// The part of the project to which a folder belongs. Sources move between the crates that are shipped.
fn part(folder: &str) -> &str {
    match folder.split('/').next().unwrap_or_default() {
        "crates" | "protocol" | "server" | "wasm-sdk" => "crates",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(folder: &str, count: usize) -> BTreeMap<String, usize> {
        BTreeMap::from([(folder.to_owned(), count)])
    }

    #[test]
    fn a_part_without_a_baseline_may_have_no_finding() {
        assert_eq!(compare(&counts("new/src", 0)), [""; 0]);
        assert_eq!(compare(&counts("new/src", 1)).len(), 1);
    }

    #[test]
    fn the_folders_of_a_part_share_its_baseline() {
        let (_, limit) = FINDINGS.iter().find(|(name, _)| *name == "crates").unwrap();
        let mut counts = counts("server/src", *limit);
        assert_eq!(compare(&counts), [""; 0]);
        counts.insert("crates/bus/src".to_owned(), 1);
        assert_eq!(compare(&counts).len(), 1);
    }

    #[test]
    fn words_past_the_budget_are_a_fault() {
        assert_eq!(compare_words("x.md", 700, 700), None);
        assert!(compare_words("x.md", 701, 700).unwrap().contains("701 words"));
    }
}
