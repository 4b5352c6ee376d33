//! Finds the names of Rust tests, which are sentences with underscores.

use crate::tidy::Source;

/// The most characters of a name.
pub(super) const LENGTH: usize = 60;

/// The name of each test function with its line.
pub(super) fn tests(source: &Source) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut is_test = false;
    for (at, line) in source.text.lines().enumerate().filter(|_| source.is_rust()) {
        let line = line.trim();
        if line.starts_with('#') {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            continue;
        }
        let name = line.trim_start_matches("pub ").trim_start_matches("async ").strip_prefix("fn ");
        if let Some((name, _)) = name.filter(|_| is_test).and_then(|rest| rest.split_once('(')) {
            names.push((at + 1, name));
        }
        is_test &= line.starts_with("//");
    }
    names
}

#[cfg(test)]
mod tests {
    use crate::tidy::tests::source;

    #[test]
    fn only_functions_with_the_attribute_are_tests() {
        let text = "fn a() {}\n#[test]\n#[ignore]\n// why\nfn b_c() {}\nfn d() {}\n    #[tokio::test(x)]\n    async fn e() {}\n";
        assert_eq!(super::tests(&source("a.rs", text)), [(5, "b_c"), (8, "e")]);
        assert_eq!(super::tests(&source("a.md", text)), []);
    }
}
